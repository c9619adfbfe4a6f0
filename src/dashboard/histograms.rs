//! The rows of the histograms view: all threads together and each by itself, and which of them are looked at.

use std::cmp::Reverse;

use crate::event::ThreadKey;
use crate::model::snapshot::{Distribution, GilFigures, ProcessFigures, ThreadFigures};

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
}

impl Choice {
    /// Compares with what is looked at from now on, or with nothing if that was it.
    pub fn compare(&mut self, shown: Option<Of>) {
        self.against = if self.against == shown { None } else { shown };
    }

    /// One step back; `None`: there is none.
    pub fn back(&mut self) -> Option<()> {
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
}

impl<'a> Histograms<'a> {
    /// Those of `process` on `gil`.
    pub fn of(process: Option<&'a ProcessFigures>, gil: Option<&'a GilFigures>, choice: Choice) -> Histograms<'a> {
        let all = gil.map(|gil| Row { of: Of::All, thread: None, waits: &gil.waits, holds: &gil.holds });
        let mut threads: Vec<&ThreadFigures> =
            process.map_or_else(Vec::new, |process| process.threads.iter().collect());
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
        Histograms { process, cursor, against, rows, choice }
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
