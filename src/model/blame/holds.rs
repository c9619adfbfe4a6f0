//! The log of who held a GIL.

use std::collections::VecDeque;

use crate::event::ThreadKey;
use crate::time::{MonoNs, Ns};

/// Who a part of a wait goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The thread that held the GIL.
    Thread(ThreadKey),
    /// Nobody held it: whoever waited was on its way to a core.
    Free,
    /// Somebody whom nobody saw.
    Unknown,
    /// Threads that are no longer kept one by one.
    Others,
}

impl Party {
    /// Before all others.
    pub const FIRST: Party = Party::Thread(ThreadKey(0));
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: MonoNs,
    until: MonoNs,
    by: Party,
}

/// Who held it when, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds {
    stretches: VecDeque<Stretch>,
}

impl Holds {
    pub(super) fn push(&mut self, from: MonoNs, until: MonoNs, by: Party) {
        let last = self.stretches.back_mut();
        let from = last.as_ref().map_or(from, |last| from.max(last.until));
        match last {
            _ if until <= from => {}
            Some(last) if last.by == by && last.until == from => last.until = until,
            _ => self.stretches.push_back(Stretch { from, until, by }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stretches.len()
    }

    /// The end of its older half.
    pub(super) fn middle(&self) -> MonoNs {
        self.stretches.get(self.stretches.len() / 2).map_or(MonoNs(0), |stretch| stretch.from)
    }

    pub(super) fn forget_before(&mut self, at: MonoNs) {
        let gone = self.stretches.partition_point(|stretch| stretch.until <= at);
        self.stretches.drain(..gone);
    }

    /// Who held it between two instants, and how long; what is not logged is unknown. Adds up to the time between them.
    pub(super) fn between(&self, from: MonoNs, until: MonoNs, mut each: impl FnMut(Party, Ns)) {
        let mut unknown = until.since(from);
        let first = self.stretches.partition_point(|stretch| stretch.until <= from);
        for stretch in self.stretches.range(first..).take_while(|stretch| stretch.from < until) {
            let time = stretch.until.min(until).since(stretch.from.max(from));
            unknown = unknown.saturating_sub(time);
            if time > Ns::ZERO {
                each(stretch.by, time);
            }
        }
        if unknown > Ns::ZERO {
            each(Party::Unknown, unknown);
        }
    }
}
