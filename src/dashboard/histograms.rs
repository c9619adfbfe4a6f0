//! The rows of the histograms view: all threads together and each by itself, and which of them are looked at.

use std::cmp::Reverse;

use crate::dashboard::rows::contains;
use crate::event::{GilKey, ThreadKey};
use crate::model::snapshot::{Distribution, GilFigures, ProcessFigures, ThreadFigures};
use crate::session::{Baseline, Frame};
use crate::time::MonoNs;

/// Whose durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those of all threads on the GIL.
    All,
    /// Those of one.
    Thread(ThreadKey),
}

/// What the user has chosen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// The row under the cursor.
    pub row: Option<Of>,
    /// What it is compared with.
    pub against: Option<Of>,
    /// The mark before and after which it is compared.
    pub mark: Option<MonoNs>,
}

impl Choice {
    /// Compares with what is looked at from now on, or with nothing if that was it.
    pub fn compare(&mut self, shown: Option<Of>) {
        self.against = if self.against == shown { None } else { shown };
    }

    /// One step back; `None`: there is none.
    pub fn back(&mut self) -> Option<()> {
        if self.mark.take().is_some() {
            return Some(());
        }
        match (self.against.take(), self.row) {
            (None, None) => None,
            (None, Some(_)) => {
                self.row = None;
                Some(())
            }
            (Some(_), _) => Some(()),
        }
    }
}

/// A row, and what it has.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Whose.
    pub of: Of,
    /// The thread, if it is one.
    pub thread: Option<&'a ThreadFigures>,
    /// Contended waits.
    pub waits: &'a Distribution,
    /// Holds.
    pub holds: &'a Distribution,
}

/// Waits and holds by length.
#[derive(Debug, Clone)]
pub struct Histograms<'a> {
    /// The process whose threads they are.
    pub process: Option<&'a ProcessFigures>,
    /// All threads first, then each, those that lost most first.
    pub rows: Vec<Row<'a>>,
    /// The row that is looked at.
    pub cursor: usize,
    /// The row that it is compared with.
    pub against: Option<usize>,
    /// What the user has chosen.
    pub choice: Choice,
    /// What is looked at before and after a mark; `None`: it is not asked for.
    pub split: Option<Split>,
}

/// Waits and holds before a mark and after it.
#[derive(Debug, Clone)]
pub enum Split {
    /// It is being worked out.
    Coming,
    /// What is shown lies before the mark.
    Ahead,
    /// They cannot be told apart.
    Unknown,
    /// These.
    Made {
        /// Waits and holds before it.
        before: [Distribution; 2],
        /// Waits and holds after it.
        after: [Distribution; 2],
    },
}

impl Split {
    /// That of a row, by what was known at the mark.
    fn of(row: &Row<'_>, gil: Option<GilKey>, mark: MonoNs, at: MonoNs, baseline: Option<&Baseline>) -> Split {
        if at < mark {
            return Split::Ahead;
        }
        let Some(baseline) = baseline.filter(|baseline| baseline.at == mark) else { return Split::Coming };
        let now = [row.waits, row.holds];
        let nothing = || now.map(|now| Distribution::empty(now.source, now.resolution));
        let processes = || baseline.snapshot.processes.iter();
        let before = match row.of {
            Of::Thread(key) => processes()
                .find_map(|process| process.thread(key))
                .map_or_else(nothing, |thread| [thread.waits.clone(), thread.holds.clone()]),
            Of::All => processes()
                .flat_map(|process| process.interpreters.iter().filter_map(|one| one.gil.as_deref()))
                .find(|one| Some(one.key) == gil)
                .map_or_else(nothing, |gil| [gil.waits.clone(), gil.holds.clone()]),
        };
        match (now[0].since(&before[0]), now[1].since(&before[1])) {
            (Some(waits), Some(holds)) => Split::Made { before, after: [waits, holds] },
            _ => Split::Unknown,
        }
    }
}

impl<'a> Histograms<'a> {
    /// Those of `process` on `gil`, of the threads that `filter` lets through.
    pub fn of(
        process: Option<&'a ProcessFigures>,
        gil: Option<&'a GilFigures>,
        choice: Choice,
        filter: &str,
        frame: &Frame,
    ) -> Histograms<'a> {
        let wanted = filter.to_lowercase();
        let all = gil.map(|gil| Row { of: Of::All, thread: None, waits: &gil.waits, holds: &gil.holds });
        let mut threads: Vec<&ThreadFigures> = process.map_or_else(Vec::new, |process| {
            process.threads.iter().filter(|thread| contains(thread, &wanted)).collect()
        });
        threads.sort_by_key(|thread| (Reverse(thread.lost), Reverse(thread.states.holding()), thread.key));
        let each = threads.into_iter().map(|thread| Row {
            of: Of::Thread(thread.key),
            thread: Some(thread),
            waits: &thread.waits,
            holds: &thread.holds,
        });
        let rows: Vec<Row<'a>> = all.into_iter().chain(each).collect();
        let place = |of: Option<Of>| rows.iter().position(|row| Some(row.of) == of);
        let (cursor, against) = (place(choice.row).unwrap_or(0), place(choice.against));
        let shown = rows.get(cursor).zip(choice.mark);
        let split = shown.map(|(row, mark)| {
            Split::of(row, gil.map(|gil| gil.key), mark, frame.snapshot.at, frame.baseline.as_deref())
        });
        Histograms { process, cursor, against, rows, choice, split }
    }

    /// The row that is looked at.
    pub fn shown(&self) -> Option<&Row<'a>> {
        self.rows.get(self.cursor)
    }

    /// What it is compared with, unless that is itself.
    pub fn beside(&self) -> Option<&Row<'a>> {
        self.against.filter(|place| *place != self.cursor).and_then(|place| self.rows.get(place))
    }
}
