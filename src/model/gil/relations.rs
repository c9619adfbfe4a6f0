//! How each thread stands to a GIL at a tick: as the looks tell, and as follows from what cannot be otherwise.

use std::collections::BTreeSet;

use super::tick::Tick;
use super::{GilAccount, Threads};
use crate::event::{Relation, ThreadKey};
use crate::model::thread::Standing;
use crate::time::Ns;

/// Whoever was woken gets a core by then, on most machines.
const SHORT_QUEUE: Ns = Ns(10_000_000);

/// Why a thread that waits is not seen asleep on the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awake {
    /// It was woken to take it, and has no core yet.
    Queued,
    /// It asks for the GIL to be dropped, or has just done so.
    ForATimeOut,
}

impl GilAccount {
    /// Puts the gathered relations into force; the threads whose relation was told, or changes by itself.
    ///
    /// A wait ends by a take only, and a take by another than who had it last is a handoff. Who was woken to take the GIL
    /// and has no core yet, or is awake for a time-out, is not seen asleep on it and waits all the same. The former is
    /// still among the `waiters` that the condition variable counts.
    pub(super) fn take_changes(&mut self, tick: &Tick, handoffs: u64, threads: &Threads) -> Vec<ThreadKey> {
        let mut changes = std::mem::take(&mut self.changes);
        for thread in std::mem::take(&mut self.awake) {
            changes.entry(thread).or_insert(Relation::Apart);
        }
        let touched = changes.keys().copied().collect();
        let (apart, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(_, relation)| *relation == Relation::Apart);
        self.relations.extend(others);
        let known: BTreeSet<ThreadKey> = apart.into_iter().map(|(thread, _)| thread).collect();
        let asleep =
            |(thread, relation): &(&ThreadKey, &Relation)| **relation == Relation::Waiting && !known.contains(thread);
        let asleep = self.relations.iter().filter(asleep).count();
        let mut counted = tick.sample.waiters.map(|waiters| (waiters as usize).saturating_sub(asleep));
        for thread in known {
            let why = match self.relations.get(&thread) {
                Some(Relation::Waiting) => self.still_waits(thread, tick, handoffs, threads),
                _ => None,
            };
            let has_room = match (why, &mut counted) {
                (None, _) => false,
                (Some(Awake::Queued), Some(0)) => false,
                (Some(Awake::Queued), Some(counted)) => {
                    *counted -= 1;
                    true
                }
                (Some(Awake::Queued), None) | (Some(Awake::ForATimeOut), _) => true,
            };
            if has_room {
                self.awake.insert(thread);
            } else {
                self.relations.remove(&thread);
            }
        }
        touched
    }

    /// Why a thread that waited at the tick before, and no longer sleeps on it, cannot have taken it yet.
    fn still_waits(&self, thread: ThreadKey, tick: &Tick, handoffs: u64, threads: &Threads) -> Option<Awake> {
        let runs = threads.get(&thread).map(|account| &account.runs)?;
        let last = self.last_tick();
        let slept = runs.asleep_since(last);
        let nobody_took_it = handoffs == 0 && self.dropper().is_some_and(|owner| owner != thread);
        if nobody_took_it && runs.covers(last) && slept.is_none_or(|slept| slept > last) {
            return Some(Awake::ForATimeOut);
        }
        slept.filter(|slept| tick.at.since(*slept) <= self.switch_interval + SHORT_QUEUE).map(|_| Awake::Queued)
    }

    /// How a thread stands to it at `tick`.
    pub(super) fn standing_at(&self, tick: &Tick, thread: ThreadKey) -> Option<Standing> {
        if tick.holder() == Some(thread) {
            return Some(Standing::Holding);
        }
        match self.relations.get(&thread)? {
            Relation::Apart => None,
            Relation::Waiting => Some(Standing::Waiting),
            Relation::HandingOver => Some(Standing::HandingOver),
            Relation::Unknown => Some(Standing::Unseen),
        }
    }
}
