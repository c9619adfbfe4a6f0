//! One run, as it is compared.

use std::collections::BTreeSet;

use hdrhistogram::Histogram;

use crate::compare::Readings;
use crate::compare::origin::{Fact, facts, gils};
use crate::event::Pid;
use crate::figures::{self, Figure, Reading};
use crate::model::snapshot::{Distribution, ProcessFigures, Snapshot, Source};
use crate::time::Ns;

/// A side of a comparison.
#[derive(Debug, Clone)]
pub struct Side {
    /// `A` or `B`, as it is called in what is said.
    pub letter: char,
    /// What it is called: the file or directory, or the variant.
    pub name: String,
    /// Its runs, in the order of their names.
    pub runs: Vec<Run>,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it is called: a file.
    pub name: String,
    /// Its figures.
    pub readings: Vec<(&'static Figure, Reading)>,
    /// Processes beside the one that its figures are of: recorded too, or only seen to be started.
    pub beside: usize,
    /// GILs that the process has: its figures are of the main interpreter's.
    pub gils: usize,
    /// Where it comes from.
    pub facts: Vec<Fact>,
    /// When it began by the wall clock, and how long it was observed; `None`: not known.
    pub when: Option<(u64, Ns)>,
    /// Share of that time during which the stated precision held, 0..=1; `None`: it was not observed.
    pub coverage: Option<f64>,
    /// The waits of the GIL that its figures are of.
    pub waits: Option<Distribution>,
    /// The holds of it.
    pub holds: Option<Distribution>,
}

impl Run {
    /// A run from what is known at its end; `None`: no process was observed.
    pub fn of(name: impl Into<String>, snapshot: &Snapshot) -> Option<Run> {
        let process = figures::subject(snapshot)?;
        let gil = figures::main_gil(process);
        let start = snapshot.info.as_ref().map(|info| info.start_unix_ns);
        Some(Run {
            name: name.into(),
            readings: figures::readings(process),
            beside: beside(snapshot, process),
            gils: gils(process),
            facts: facts(snapshot, process),
            when: start.map(|start| (start, process.capture.duration)),
            coverage: Some(process.capture.coverage),
            waits: gil.map(|gil| gil.waits.clone()),
            holds: gil.map(|gil| gil.holds.clone()),
        })
    }

    /// A run of which nothing is known but these figures.
    pub fn unobserved(name: String, start_unix_ns: u64, readings: Vec<(&'static Figure, Reading)>) -> Run {
        let when = Some((start_unix_ns, Ns::ZERO));
        Run { name, readings, beside: 0, gils: 0, facts: Vec::new(), when, coverage: None, waits: None, holds: None }
    }

    /// Whether watchpoints saw its holds one by one; `None`: nobody observed it.
    pub fn saw_all(&self) -> Option<bool> {
        self.holds.as_ref().map(|holds| holds.source == Source::Exact)
    }
}

/// Processes beside this one. One that has replaced its program is still the same.
fn beside(snapshot: &Snapshot, process: &ProcessFigures) -> usize {
    let recorded: BTreeSet<Pid> = snapshot.processes.iter().map(|one| one.target.pid).collect();
    let together = usize::try_from(process.memory.tree.processes).unwrap_or(usize::MAX);
    recorded.len().max(together).saturating_sub(1).max(process.children.len())
}

impl Side {
    /// What each run has for a figure.
    pub fn readings(&self, figure: &Figure) -> Vec<Reading> {
        let of = |run: &Run| run.readings.iter().find(|(one, _)| *one == figure).map(|(_, reading)| *reading);
        self.runs.iter().map(|run| of(run).unwrap_or(Reading::Unknown("it was not measured"))).collect()
    }

    /// The median of what its runs have for a figure.
    pub fn median(&self, figure: &Figure) -> Reading {
        Readings::of(self.readings(figure)).median
    }

    /// The durations of all runs together, as they were seen by the run that saw least; `None`: there are none.
    pub fn together<'a>(&'a self, of: impl Fn(&'a Run) -> Option<&'a Distribution>) -> Option<Distribution> {
        let mut all: Option<Distribution> = None;
        for one in self.runs.iter().filter_map(of) {
            match &mut all {
                None => all = Some(one.clone()),
                Some(sum) => {
                    sum.resolution = sum.resolution.max(one.resolution);
                    sum.total += one.total;
                    sum.censored = sum.censored.saturating_add(one.censored);
                    sum.below_resolution = sum.below_resolution.saturating_add(one.below_resolution);
                    sum.histogram = match (sum.histogram.take(), &one.histogram) {
                        (Some(mut mine), Some(other)) => {
                            let both: &mut Histogram<u32> = std::sync::Arc::make_mut(&mut mine);
                            both.add(other.as_ref()).ok()?;
                            Some(mine)
                        }
                        (mine, other) => mine.or_else(|| other.clone()),
                    };
                }
            }
        }
        all
    }
}
