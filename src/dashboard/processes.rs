//! The processes of a capture, one line each: what there is to say of them, and in what order.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::dashboard::view::Foreign;
use crate::event::{Ending, Pid, ProcessKey};
use crate::findings::figures::{self, InAll};
use crate::model::snapshot::{Length, ProcessFigures, Snapshot, UnwatchedFigures};
use crate::session::Recent;
use crate::time::Ns;
use crate::words;

/// What has become of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    There,
    /// It has ended, or its interpreter has.
    Ended,
    /// It has become another program.
    Replaced,
    /// It can no longer be read.
    OutOfSight,
}

/// A process.
#[derive(Debug, Clone)]
pub struct ProcessRow {
    /// Its key.
    pub key: ProcessKey,
    /// Its pid.
    pub pid: Pid,
    /// What it runs.
    pub program: Foreign,
    /// Its command line, whole.
    pub command: Foreign,
    /// What has become of it.
    pub fate: Fate,
    /// Share of time held, of late; of several GILs the greatest. `None`: not observed.
    pub load: Option<f64>,
    /// Share of time with a waiter, of late.
    pub contention: Option<f64>,
    /// The longest wait so far.
    pub worst: Option<Length>,
    /// Time lost so far.
    pub lost: Ns,
    /// Its threads that live.
    pub threads: usize,
}

/// All of them.
#[derive(Debug, Clone)]
pub struct Processes {
    /// Those that are there before those that have ended, and those that lost most first.
    pub rows: Vec<ProcessRow>,
    /// The row under the cursor.
    pub cursor: usize,
    /// Whether a row was chosen.
    pub chosen: Option<ProcessKey>,
    /// The one that the other views are of.
    pub shown: Option<ProcessKey>,
    /// Descendants that are not looked into.
    pub unwatched: UnwatchedFigures,
}

impl Processes {
    /// Those of `snapshot`. `shown` is what the other views are of.
    pub fn of(
        snapshot: &Snapshot,
        recent: Option<&Recent>,
        chosen: Option<ProcessKey>,
        shown: Option<ProcessKey>,
    ) -> Processes {
        let mut rows: Vec<ProcessRow> = newest(snapshot).map(|process| row(process, recent)).collect();
        rows.sort_by_key(|row| (row.fate != Fate::There, Reverse(row.lost), row.key));
        let place = |key: Option<ProcessKey>| rows.iter().position(|row| Some(row.key) == key);
        Processes {
            cursor: place(chosen).or_else(|| place(shown)).unwrap_or(0),
            chosen,
            shown,
            unwatched: snapshot.processes.iter().map(|process| process.unwatched).sum(),
            rows,
        }
    }

    /// The one under the cursor.
    pub fn row(&self) -> Option<&ProcessRow> {
        self.rows.get(self.cursor)
    }

    /// How many there are, looked into or not.
    pub fn known(&self) -> usize {
        self.rows.len().saturating_add(usize::try_from(self.unwatched.total()).unwrap_or(usize::MAX))
    }

    /// Their keys, in the order of the rows.
    pub fn keys(&self) -> Vec<ProcessKey> {
        self.rows.iter().map(|row| row.key).collect()
    }
}

/// The newest image of each process.
fn newest(snapshot: &Snapshot) -> impl Iterator<Item = &ProcessFigures> {
    let mut seen = BTreeSet::new();
    snapshot.processes.iter().rev().filter(move |process| {
        let replaced = matches!(process.ending, Some(Ending::Execed { .. }));
        seen.insert(process.target.pid) || !replaced
    })
}

fn row(process: &ProcessFigures, recent: Option<&Recent>) -> ProcessRow {
    let InAll { load, contention, worst, lost } = figures::in_all(process);
    let fate = match process.ending {
        None => Fate::There,
        Some(Ending::Exited | Ending::Finalized) => Fate::Ended,
        Some(Ending::Execed { .. }) => Fate::Replaced,
        Some(Ending::LostSight { .. }) => Fate::OutOfSight,
    };
    let (load, contention) = match recent {
        Some(recent) => of_late(process, recent),
        None => (load, contention),
    };
    ProcessRow {
        key: process.key,
        pid: process.target.pid,
        program: Foreign::new(&words::program(&process.target.cmdline)),
        command: Foreign::new(&process.target.cmdline.join(" ")),
        fate,
        load,
        contention,
        worst,
        lost,
        threads: match fate {
            Fate::There => process.threads.iter().filter(|thread| thread.end.is_none()).count(),
            Fate::Ended | Fate::Replaced | Fate::OutOfSight => 0,
        },
    }
}

/// Load and contention within the window; of several GILs, the greatest.
fn of_late(process: &ProcessFigures, recent: &Recent) -> (Option<f64>, Option<f64>) {
    let bins = || {
        let gils = process.interpreters.iter().filter_map(|interpreter| interpreter.gil.as_ref());
        gils.filter_map(|gil| recent.gils.get(&gil.key))
    };
    let load = bins().filter_map(|bin| bin.held.share_of(bin.observed)).max_by(f64::total_cmp);
    let contention = bins().filter_map(|bin| bin.contended.share_of(bin.observed)).max_by(f64::total_cmp);
    (load, contention)
}
