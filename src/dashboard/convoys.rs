//! The rows of the convoys view: episodes, and which of them is looked at.

use crate::dashboard::rows::contains;
use crate::event::{GilKey, ThreadKey};
use crate::model::snapshot::{Convoy, ProcessFigures};
use crate::time::MonoNs;

/// An episode: one thread begins only one on one GIL at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvoyKey {
    /// For which GIL.
    pub gil: GilKey,
    /// Who waited.
    pub victim: ThreadKey,
    /// Since when.
    pub start: MonoNs,
}

impl ConvoyKey {
    /// Whose this is.
    pub fn of(convoy: &Convoy) -> ConvoyKey {
        ConvoyKey { gil: convoy.gil, victim: convoy.victim, start: convoy.start }
    }
}

/// The convoys of a process.
#[derive(Debug, Clone)]
pub struct Convoys<'a> {
    /// The process whose threads they are.
    pub process: Option<&'a ProcessFigures>,
    /// The episodes, the newest first.
    pub rows: Vec<&'a Convoy>,
    /// The row that is looked at.
    pub cursor: usize,
    /// The one under the cursor, if the user has chosen one.
    pub selected: Option<ConvoyKey>,
    /// The instant shown.
    pub at: MonoNs,
}

impl<'a> Convoys<'a> {
    /// Those of `process` at `at`, with a thread in them that `filter` lets through. Unless the user has chosen another, the newest is looked at.
    pub fn of(
        process: Option<&'a ProcessFigures>,
        selected: Option<ConvoyKey>,
        filter: &str,
        at: MonoNs,
    ) -> Convoys<'a> {
        let convoys = process.and_then(|process| process.convoys.as_deref()).unwrap_or_default();
        let wanted = filter.to_lowercase();
        let matches = |key: ThreadKey| process.and_then(|it| it.thread(key)).is_some_and(|one| contains(one, &wanted));
        let passes = |convoy: &&Convoy| {
            let mut all = std::iter::once(convoy.victim).chain(convoy.culprits.iter().map(|culprit| culprit.thread));
            wanted.is_empty() || all.any(matches)
        };
        let rows: Vec<&Convoy> = convoys.iter().rev().filter(passes).collect();
        let chosen = rows.iter().position(|convoy| Some(ConvoyKey::of(convoy)) == selected);
        let selected = selected.filter(|_| chosen.is_some());
        Convoys { process, rows, cursor: chosen.unwrap_or(0), selected, at }
    }

    /// Whether any could be found.
    pub fn were_looked_for(&self) -> bool {
        self.process.is_some_and(|process| process.convoys.is_some())
    }

    /// The episode that is looked at.
    pub fn shown(&self) -> Option<&'a Convoy> {
        self.rows.get(self.cursor).copied()
    }
}
