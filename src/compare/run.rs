//! One run, as it is compared.

use crate::compare::Readings;
use crate::compare::origin::{Fact, facts};
use crate::figures::{self, Extent, Figure, Reading, Whole};
use crate::model::snapshot::{Distribution, Snapshot, Source};
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
    /// Of how many processes and GILs they are, and of how many they are not.
    pub extent: Extent,
    /// Where it comes from.
    pub facts: Vec<Fact>,
    /// When it began by the wall clock, and how long it was observed; `None`: not known.
    pub when: Option<(u64, Ns)>,
    /// [`Whole::coverage`]; `None`: it was not observed.
    pub coverage: Option<f64>,
    /// The waits for all GILs.
    pub waits: Option<Distribution>,
    /// The holds of all GILs.
    pub holds: Option<Distribution>,
}

impl Run {
    /// A run from what is known at its end; `None`: no process was observed.
    pub fn of(name: impl Into<String>, snapshot: &Snapshot) -> Option<Run> {
        let whole = Whole::of(snapshot)?;
        let start = snapshot.info.as_ref().map(|info| info.start_unix_ns);
        Some(Run {
            name: name.into(),
            readings: figures::readings(&whole),
            extent: whole.extent(),
            facts: facts(snapshot, &whole),
            when: start.map(|start| (start, whole.length())),
            coverage: Some(whole.coverage()),
            waits: whole.waits().cloned(),
            holds: whole.holds().cloned(),
        })
    }

    /// A run of which nothing is known but these figures.
    pub fn unobserved(name: String, start_unix_ns: u64, readings: Vec<(&'static Figure, Reading)>) -> Run {
        let when = Some((start_unix_ns, Ns::ZERO));
        let extent = Extent::default();
        Run { name, readings, extent, facts: Vec::new(), when, coverage: None, waits: None, holds: None }
    }

    /// Whether watchpoints saw its holds one by one; `None`: nobody observed it.
    pub fn saw_all(&self) -> Option<bool> {
        self.holds.as_ref().map(|holds| holds.source == Source::Exact)
    }
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
        let all = self.runs.iter().filter_map(of);
        all.fold(None, |sum: Option<Distribution>, one| Some(sum.map_or_else(|| one.clone(), |sum| sum.with(one))))
    }
}
