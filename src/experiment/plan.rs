//! Which runs, and in which order.

use serde::{Deserialize, Serialize};

use crate::affinity::CpuSet;
use crate::time::Ns;

/// One way of running the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// What it is called, if it was given a name.
    pub name: Option<String>,
    /// The program with its arguments; none where a process runs already.
    pub command: Vec<String>,
    /// The cores it may run on; `None`: as it comes.
    pub cpus: Option<CpuSet>,
    /// The switch interval that is set; `None`: as it comes.
    pub switch_interval: Option<Ns>,
}

impl Variant {
    /// What it is called in tables: `threads · cores 0 · 500 us`.
    pub fn label(&self) -> String {
        let mut parts: Vec<String> = self.name.iter().cloned().collect();
        parts.extend(self.cpus.as_ref().map(|cpus| format!("cores {cpus}")));
        parts.extend(self.switch_interval.map(|interval| format!("interval {interval}")));
        if parts.is_empty() { "as it is".to_owned() } else { parts.join(", ") }
    }

    /// The same as the name of a directory.
    pub fn directory(&self) -> String {
        let mut name = String::new();
        for c in self.label().chars() {
            match c {
                c if c.is_ascii_alphanumeric() || ".-".contains(c) => name.push(c),
                _ if name.ends_with('_') || name.is_empty() => {}
                _ => name.push('_'),
            }
        }
        let name = name.trim_end_matches(['_', '.']).to_owned();
        if name.is_empty() || name.starts_with('.') { format!("variant{name}") } else { name }
    }
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It is observed, and dropped: caches fill, cores clock up.
    WarmUp,
    /// It is observed and counts.
    Observed,
    /// Nobody looks: it tells what looking costs.
    Bare,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trial {
    /// Its number, from 0 on.
    pub number: usize,
    /// Which variant, by its place in the plan.
    pub variant: usize,
    /// What it is for.
    pub kind: Kind,
    /// Which of this variant's runs of that kind it is, from 1 on.
    pub run: usize,
}

/// An experiment to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The variants; the first is what the others are compared with.
    pub variants: Vec<Variant>,
    /// Runs of each variant that are observed and count.
    pub runs: usize,
    /// Runs of each before them that are dropped.
    pub warm_ups: usize,
    /// Runs of each that nobody looks at.
    pub bare: usize,
    /// What the order is drawn from.
    pub seed: u64,
}

impl Plan {
    /// Every variant on all of `cpus`, with each switch interval: all combinations, the first of each before others.
    pub fn combinations(commands: &[(Option<String>, Vec<String>)], cpus: &[CpuSet], intervals: &[Ns]) -> Vec<Variant> {
        let cpus: Vec<Option<CpuSet>> =
            if cpus.is_empty() { vec![None] } else { cpus.iter().cloned().map(Some).collect() };
        let intervals: Vec<Option<Ns>> =
            if intervals.is_empty() { vec![None] } else { intervals.iter().copied().map(Some).collect() };
        let mut variants: Vec<Variant> = Vec::new();
        for (name, command) in commands {
            for cpus in &cpus {
                for switch_interval in &intervals {
                    let variant = Variant {
                        name: name.clone(),
                        command: command.clone(),
                        cpus: cpus.clone(),
                        switch_interval: *switch_interval,
                    };
                    if !variants.contains(&variant) {
                        variants.push(variant);
                    }
                }
            }
        }
        variants
    }

    /// How many runs it has.
    pub fn size(&self) -> usize {
        let each = self.runs.saturating_add(self.warm_ups).saturating_add(self.bare);
        each.saturating_mul(self.variants.len())
    }

    /// All runs in their order: rounds with every variant once, each in an order of its own. The rounds that nobody
    /// looks at lie among the others by chance. The same seed gives the same order.
    pub fn trials(&self) -> Vec<Trial> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut rounds = vec![Kind::Observed; self.runs];
        rounds.extend(vec![Kind::Bare; self.bare]);
        random.shuffle(&mut rounds);
        let mut all = vec![Kind::WarmUp; self.warm_ups];
        all.append(&mut rounds);
        let mut trials = Vec::new();
        let mut made = [0usize; 3];
        for kind in all {
            let made = match kind {
                Kind::WarmUp => &mut made[0],
                Kind::Observed => &mut made[1],
                Kind::Bare => &mut made[2],
            };
            *made += 1;
            let mut order: Vec<usize> = (0..self.variants.len()).collect();
            random.shuffle(&mut order);
            for variant in order {
                trials.push(Trial { number: trials.len(), variant, kind, run: *made });
            }
        }
        trials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        let cpus = [CpuSet::parse("0").unwrap(), CpuSet::parse("0-1").unwrap()];
        let command = (None, vec!["python3".to_owned()]);
        let variants = Plan::combinations(&[command], &cpus, &[Ns::from_micros(500), Ns::from_millis(5)]);
        Plan { variants, runs: 8, warm_ups: 1, bare: 4, seed }
    }

    #[test]
    fn every_round_has_every_variant_once_and_orders_differ() {
        let trials = plan(1).trials();
        assert_eq!(trials.len(), 4 * 13);
        for round in trials.chunks(4) {
            let mut variants: Vec<usize> = round.iter().map(|trial| trial.variant).collect();
            variants.sort_unstable();
            assert_eq!(variants, [0, 1, 2, 3]);
            assert!(round.iter().all(|trial| trial.kind == round[0].kind && trial.run == round[0].run));
        }
        assert!(trials[..4].iter().all(|trial| trial.kind == Kind::WarmUp));
        let of = |kind| trials.iter().filter(|trial| trial.kind == kind).count();
        assert_eq!((of(Kind::Observed), of(Kind::Bare)), (32, 16));
        let orders: std::collections::BTreeSet<Vec<usize>> =
            trials.chunks(4).map(|round| round.iter().map(|trial| trial.variant).collect()).collect();
        assert!(orders.len() > 5, "{orders:?}");
        assert_eq!(trials, plan(1).trials());
        assert_ne!(trials, plan(2).trials());
    }

    #[test]
    fn a_variant_has_a_label_and_a_directory_of_its_own() {
        let variants = plan(1).variants;
        assert_eq!(variants[1].label(), "cores 0, interval 5.00 ms");
        assert_eq!(variants[1].directory(), "cores_0_interval_5.00_ms");
        let names: std::collections::BTreeSet<String> = variants.iter().map(Variant::directory).collect();
        assert_eq!(names.len(), 4);
        let odd =
            |name: &str| Variant { name: Some(name.to_owned()), command: vec![], cpus: None, switch_interval: None };
        assert_eq!(odd("../../etc").directory(), "variant.._.._etc");
        assert_eq!(odd("a/b\u{1b}").directory(), "a_b");
        assert_eq!(odd("..").directory(), "variant");
    }
}
