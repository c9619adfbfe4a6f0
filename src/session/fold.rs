//! A model with the running totals of late beside it: what a checkpoint keeps.

use std::sync::Arc;

use crate::event::{Event, What};
use crate::model::Model;
use crate::model::snapshot::Snapshot;
use crate::session::Mark;
use crate::session::recent::{Lately, Recent, Tallies};
use crate::time::{MonoNs, Ns};

/// Marks that are kept.
pub const MARKS_KEPT: usize = 1_000;

/// The fold of all events up to some instant.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    model: Model,
    tallies: Tallies,
    marks: Arc<Vec<Mark>>,
    at: Option<MonoNs>,
    position: u64,
}

impl Fold {
    /// Nothing folded yet.
    pub fn new() -> Fold {
        Fold::default()
    }

    /// Folds in one event; `position` is the number of events of the capture up to and including it.
    pub fn apply(&mut self, event: &Event, position: u64) {
        if self.at.is_some_and(|at| event.at > at) && self.tallies.is_due(event.at) {
            // Between two instants: every tick is whole.
            self.tallies.keep(self.model.totals());
        }
        self.model.apply(event);
        if let What::Marked { instant } = event.what
            && self.marks.len() < MARKS_KEPT
            && let Err(place) = self.marks.binary_search_by_key(&instant, |mark| mark.at)
        {
            Arc::make_mut(&mut self.marks).insert(place, Mark { at: instant });
        }
        self.at = Some(self.at.map_or(event.at, |at| at.max(event.at)));
        self.position = position;
    }

    /// The time of the newest event; `None` before the first.
    pub fn at(&self) -> Option<MonoNs> {
        self.at
    }

    /// The number of events of the capture up to this state.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where marks were set, oldest first.
    pub fn marks(&self) -> &Arc<Vec<Mark>> {
        &self.marks
    }

    /// What is known by now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.model.snapshot())
    }

    /// What happened over about the last windows, of these lengths.
    pub fn recent<const N: usize>(&self, windows: [Ns; N]) -> [Arc<Recent>; N] {
        let now = self.model.totals();
        windows.map(|window| Arc::new(self.tallies.recent(&now, window)))
    }

    /// What each thread did in the last seconds before `at`.
    pub fn lately(&self, at: MonoNs) -> Lately {
        self.tallies.lately(at)
    }

    /// A bound of the memory a copy holds on to by itself, in bytes.
    pub fn weight(&self) -> usize {
        const A_THREAD: usize = 96 * 1024;
        const AT_LEAST: usize = 2 * 1024 * 1024;
        let threads = self.model.threads_known().saturating_mul(A_THREAD);
        threads.saturating_add(self.model.history_weight()).saturating_add(AT_LEAST)
    }
}
