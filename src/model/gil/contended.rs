//! For how long somebody waited between two ticks, and how many: as the waits tell where all are known, else as the ticks do.
//!
//! Some thousand looks at random instants err by one or two points; waits with both edges from switches do not.

use super::handoffs::Takes;
use super::tick::{Seen, Step, Tick};
use super::{GilAccount, Threads, WAITS_TOLD, waiting};
use crate::event::Hold;
use crate::time::{MonoNs, Ns};

/// Of more threads that wait not each is asked since when, at each tick. Somebody waits then in any case.
const MOST_ASKED: u32 = 64;

/// Where it changes hands more often between two ticks some waits stay unseen, and the looks tell it better.
const MOST_HANDOFFS: u64 = 3;

/// What the waits come to between two ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waited {
    /// Time during which at least one thread waited.
    pub(super) contended: Ns,
    /// Sum over the threads.
    pub(super) lost: Ns,
}

impl GilAccount {
    /// What the waits come to between two ticks; `None`: somebody may have waited of whom no wait tells.
    pub(super) fn waited_between(
        &self,
        step: &Step,
        takes: &Takes,
        seen: Seen<'_>,
        threads: &Threads,
    ) -> Option<Waited> {
        let Step { last, tick, handoffs, .. } = step;
        // Where it is not known who took it, it is not known either who waited for that.
        let is_followed = *handoffs == 0 || (takes.is_complete() && *handoffs <= MOST_HANDOFFS);
        // Those who sleep on the condition variable without being known to.
        let strangers = |tick: &Tick| tick.waiters > tick.waiters_known;
        let is_clear = |tick: &Tick| tick.sample.hold != Hold::ByUnknown && !strangers(tick);
        let is_told = seen.told.covers(last.at) && self.over.len() < WAITS_TOLD && self.waiting <= MOST_ASKED;
        if !is_followed || !is_told || !is_clear(last) || !is_clear(tick) {
            return None;
        }
        let over = self.over.iter().map(|wait| (wait.from, wait.until));
        let open = waiting(self.key, &self.relations, threads).map(|(_, since)| (since, tick.at));
        let mut waits: Vec<(MonoNs, MonoNs)> =
            over.chain(open).map(|(from, until)| (from.max(last.at), until.min(tick.at))).collect();
        waits.sort_unstable();
        let mut reached = last.at;
        let mut waited = Waited::default();
        for (from, until) in waits {
            waited.lost += until.since(from);
            waited.contended += until.since(from.max(reached));
            reached = reached.max(until);
        }
        Some(waited)
    }
}
