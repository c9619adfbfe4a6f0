//! For how long somebody waited between two ticks: as the waits tell where all are known, else as the ticks do.
//!
//! Some thousand looks at random instants err by one or two points; waits with both edges from switches do not.

use super::tick::{Seen, Step, Tick};
use super::{GilAccount, Threads, WAITS_TOLD, waiting};
use crate::event::Hold;
use crate::time::{MonoNs, Ns};

impl GilAccount {
    /// Time between two ticks during which at least one thread waited; `None`: somebody waited of whom no wait tells.
    pub(super) fn contended_between(&self, step: &Step, seen: Seen<'_>, threads: &Threads) -> Option<Ns> {
        let Step { last, tick, .. } = step;
        // Those who sleep on the condition variable without being known to.
        let strangers = |tick: &Tick| tick.sample.waiters.is_some_and(|waiters| waiters > tick.waiters_known);
        let is_clear = |tick: &Tick| tick.sample.hold != Hold::ByUnknown && !strangers(tick);
        if !seen.told.covers(last.at) || !is_clear(last) || !is_clear(tick) || self.over.len() >= WAITS_TOLD {
            return None;
        }
        let mut waits: Vec<(MonoNs, MonoNs)> =
            self.over.iter().map(|wait| (wait.from.max(last.at), wait.until.min(tick.at))).collect();
        for (_, since) in waiting(self.key, &self.relations, threads) {
            if since <= last.at {
                return Some(tick.at.since(last.at));
            }
            waits.push((since, tick.at));
        }
        waits.sort_unstable();
        let mut reached = last.at;
        let mut contended = Ns::ZERO;
        for (from, until) in waits {
            contended += until.since(from.max(reached));
            reached = reached.max(until);
        }
        Some(contended)
    }
}
