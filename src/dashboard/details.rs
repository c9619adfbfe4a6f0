//! What is known of one thread: itself, its time, and who made it wait.

use crate::dashboard::blame::{Behind, behind};
use crate::event::Frame;
use crate::model::snapshot::{ProcessFigures, ThreadFigures};
use crate::time::{MonoNs, Ns};

/// One thread.
#[derive(Debug, Clone)]
pub struct Details<'a> {
    /// Its process.
    pub process: &'a ProcessFigures,
    /// What is known of it in all.
    pub thread: &'a ThreadFigures,
    /// What its waits went by with, the most time first.
    pub behind: Vec<Made<'a>>,
    /// The instant shown.
    pub at: MonoNs,
}

/// A part of a thread's waiting.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// Behind whom.
    pub behind: Behind,
    /// For how long.
    pub time: Ns,
    /// What that one executed most of it, with its share, where it was sampled.
    pub code: Option<(&'a Frame, f64)>,
}

impl<'a> Details<'a> {
    /// Those of a thread of `process`.
    pub fn of(process: &'a ProcessFigures, thread: &'a ThreadFigures, at: MonoNs) -> Details<'a> {
        let key = thread.key;
        let mut behind: Vec<Made<'a>> = process
            .blame
            .pairs
            .iter()
            .filter(|pair| pair.waiter == Some(key))
            .map(|pair| {
                let share = pair.shares.iter().find(|share| !share.stack.is_empty());
                let code = share.and_then(|share| Some((&**share.stack.first()?, share.time.share_of(pair.time)?)));
                Made { behind: behind(pair), time: pair.time, code }
            })
            .collect();
        behind.sort_by_key(|made| std::cmp::Reverse(made.time));
        Details { process, thread, behind, at }
    }
}
