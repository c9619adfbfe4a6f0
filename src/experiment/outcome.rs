//! What an experiment came to: each variant's runs, how each differs from the first, and what looking cost.

use crate::compare::{Comparison, Run, Side};
use crate::experiment::child::Measured;
use crate::experiment::plan::{Kind, Plan};
use crate::experiment::store::Done;
use crate::figures::{self, Figure, Reading};
use crate::stats::ranks::{MOST, Pairs};

/// The error of the interval for what looking costs.
const COST_LEVEL: f64 = 0.05;

/// What an experiment came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was planned.
    pub plan: Plan,
    /// The runs of each variant: what the GIL did is of the observed ones, what they took of those that nobody looked at.
    pub sides: Vec<Side>,
    /// How each variant but the first differs from it; where both have runs.
    pub comparisons: Vec<(usize, Comparison)>,
    /// What looking cost; `None`: no run was bare, or none was observed.
    pub cost: Option<Cost>,
    /// Runs that ended with another status than 0, by variant and status.
    pub failures: Vec<(usize, i32)>,
}

/// How many times as much a run takes when it is observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Of wall time.
    pub wall: f64,
    /// From and to; `None`: there are too few runs.
    pub wall_interval: Option<(f64, f64)>,
    /// Of CPU time.
    pub cpu: f64,
    /// From and to.
    pub cpu_interval: Option<(f64, f64)>,
    /// Runs that nobody looked at, and runs that were observed.
    pub runs: (usize, usize),
}

impl Measured {
    /// The figures of the run as a whole.
    pub fn readings(&self) -> Vec<(&'static Figure, Reading)> {
        vec![
            (&figures::RUN_WALL, Reading::known(self.wall.0 as f64)),
            (&figures::RUN_CPU, Reading::known((self.user + self.system).0 as f64)),
            (
                &figures::RUN_SWITCHES,
                Reading::known(self.voluntary_switches.saturating_add(self.involuntary_switches) as f64),
            ),
            (&figures::RUN_RSS, self.rss()),
        ]
    }
}

impl Measured {
    /// The most memory of a process: not known where it may have been that of gilscope, before it became the program.
    fn rss(&self) -> Reading {
        match self.max_rss > self.rss_floor {
            true => Reading::Known { value: self.max_rss as f64, resolution: self.rss_floor as f64 },
            false => Reading::Below { resolution: self.rss_floor as f64 },
        }
    }
}

impl Outcome {
    /// What came of what was done; `runs` has what was recorded of each of those, where something was.
    pub fn of(plan: &Plan, done: &[Done], runs: impl Fn(&Done) -> Option<Run>) -> Outcome {
        let mut sides = Vec::new();
        for (place, variant) in plan.variants.iter().enumerate() {
            let of =
                |kind: Kind| done.iter().filter(move |done| done.trial.variant == place && done.trial.kind == kind);
            let whole = |done: &Done| done.measured.map(|measured| measured.readings()).unwrap_or_default();
            let unobserved = |done: &Done| Run::unobserved(variant.label(), done.start_unix_ns, whole(done));
            let bare: Vec<Run> = of(Kind::Bare).map(unobserved).collect();
            // What it takes is taken from runs that nobody looks at, if there are any.
            let observed = of(Kind::Observed).filter_map(|done| match (runs(done), bare.is_empty()) {
                (Some(run), false) => Some(run),
                (Some(mut run), true) => {
                    run.readings.splice(0..0, whole(done));
                    Some(run)
                }
                // It could not be observed, but that was tried: it is none of those that nobody looked at.
                (None, false) => None,
                (None, true) => Some(unobserved(done)),
            });
            let all: Vec<Run> = observed.chain(bare.iter().cloned()).collect();
            sides.push(Side { letter: 'A', name: variant.label(), runs: all });
        }
        let lettered = |side: &Side, letter: char| Side { letter, ..side.clone() };
        let comparisons = sides.first().map_or(Vec::new(), |first| {
            let others = sides.iter().enumerate().skip(1);
            let both = others.filter(|(_, side)| !first.runs.is_empty() && !side.runs.is_empty());
            both.map(|(place, side)| (place, Comparison::of(lettered(first, 'A'), lettered(side, 'B')))).collect()
        });
        let mut failures: Vec<(usize, i32)> = done
            .iter()
            .filter_map(|done| Some((done.trial.variant, done.measured?.status)).filter(|(_, status)| *status != 0))
            .collect();
        failures.sort_unstable();
        Outcome { plan: plan.clone(), sides, comparisons, cost: cost(plan, done), failures }
    }
}

/// Each run as a multiple of its variant's median, so that all variants count together.
fn cost(plan: &Plan, done: &[Done]) -> Option<Cost> {
    let relative = |of: fn(&Measured) -> f64| -> (Vec<f64>, Vec<f64>) {
        let (mut bare, mut observed) = (Vec::new(), Vec::new());
        for place in 0..plan.variants.len() {
            let own = done.iter().filter(|done| done.trial.variant == place && done.trial.kind != Kind::WarmUp);
            let values: Vec<(Kind, f64)> =
                own.filter_map(|done| Some((done.trial.kind, of(&done.measured?)))).collect();
            let mut sorted: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            sorted.sort_by(f64::total_cmp);
            let Some(median) = sorted.get(sorted.len() / 2).copied().filter(|median| *median > 0.0) else { continue };
            for (kind, value) in values {
                let side = if kind == Kind::Bare { &mut bare } else { &mut observed };
                side.push(value / median);
            }
        }
        bare.truncate(MOST);
        observed.truncate(MOST);
        (bare, observed)
    };
    let (bare_wall, wall) = relative(|measured| measured.wall.0 as f64);
    let (bare_cpu, cpu) = relative(|measured| (measured.user + measured.system).0 as f64);
    let (walls, cpus) = (Pairs::of(&bare_wall, &wall)?, Pairs::of(&bare_cpu, &cpu)?);
    Some(Cost {
        wall: walls.ratio(),
        wall_interval: walls.interval(COST_LEVEL),
        cpu: cpus.ratio(),
        cpu_interval: cpus.interval(COST_LEVEL),
        runs: (bare_wall.len(), wall.len()),
    })
}
