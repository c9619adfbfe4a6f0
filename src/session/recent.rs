//! Figures of late: what the last second, or the last ten, were like.
//!
//! A snapshot's figures are of the whole capture. A small ring of running totals
//! is kept beside it, so that rates and shares over a recent window are exact
//! differences of totals, in bounded memory, and follow the position in a replay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{GilKey, ProcessKey, ThreadKey};
use crate::model::snapshot::StateTimes;
use crate::model::timeline::Bin;
use crate::model::totals::{Looks, Totals};
use crate::time::{MonoNs, Ns};

/// Time between two totals that are kept.
pub const TALLY_EVERY: Ns = Ns(200_000_000);
/// Longest window that can be looked back over.
pub const LONGEST_WINDOW: Ns = Ns(10_000_000_000);

/// The totals of the last while, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    kept: VecDeque<Arc<Totals>>,
}

impl Tallies {
    /// Whether it is time to keep another one at `at`.
    pub fn is_due(&self, at: MonoNs) -> bool {
        self.kept.back().is_none_or(|last| at.since(last.at) >= TALLY_EVERY)
    }

    /// Keeps totals, and forgets those that no window reaches any more.
    pub fn keep(&mut self, totals: Totals) {
        let at = totals.at;
        self.kept.push_back(Arc::new(totals));
        let reach = LONGEST_WINDOW + TALLY_EVERY;
        while self.kept.len() > 2 && self.kept.get(1).is_some_and(|next| at.since(next.at) > reach) {
            self.kept.pop_front();
        }
    }

    /// The totals at the last whole seconds before `at`. They stay the same for a second, so that nothing flickers.
    pub fn lately(&self, at: MonoNs) -> Lately {
        let last = at.0 / Ns::SECOND.0;
        let ends = (0..=Lately::SECONDS as u64).rev().filter_map(|back| last.checked_sub(back));
        let mut kept: Vec<Arc<Totals>> = Vec::new();
        for end in ends {
            let newest = self.kept.iter().rev().find(|tally| tally.at <= MonoNs(end * Ns::SECOND.0));
            if let Some(tally) = newest.filter(|one| kept.last().is_none_or(|before| before.at < one.at)) {
                kept.push(Arc::clone(tally));
            }
        }
        Lately(kept)
    }

    /// What happened over about the last `window` before `now`.
    pub fn recent(&self, now: &Totals, window: Ns) -> Recent {
        let since = now.at - window;
        let base = self
            .kept
            .iter()
            .rev()
            .find(|tally| tally.at <= since)
            .or_else(|| self.kept.front())
            .cloned()
            .unwrap_or_else(|| Arc::new(Totals { at: now.at, ..Totals::default() }));
        Recent::between(&base, now)
    }
}

/// Running totals at the whole seconds of the last while, oldest first: what each thread did in each of them.
#[derive(Debug, Clone, Default)]
pub struct Lately(Vec<Arc<Totals>>);

impl Lately {
    /// Seconds that are told.
    pub const SECONDS: usize = 8;

    /// The time of a thread by state in each of the seconds, oldest first. `None`: it was not there, or nothing was
    /// observed. A second begins and ends at the newest total that was kept before it.
    pub fn of(&self, thread: ThreadKey) -> Vec<Option<StateTimes>> {
        let missing = Lately::SECONDS.saturating_sub(self.0.len().saturating_sub(1));
        let told = self.0.iter().zip(self.0.iter().skip(1)).map(|(from, to)| {
            let (before, after) = (from.threads.get(&thread)?, to.threads.get(&thread)?);
            Some(difference(after, before)).filter(|states| states.total() > Ns::ZERO)
        });
        std::iter::repeat_n(None, missing).chain(told).collect()
    }
}

/// What happened over a window, as differences of running totals.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// How long the window is; shorter than asked for where the capture is younger.
    pub length: Ns,
    /// Each thread's time by state within it.
    pub threads: BTreeMap<ThreadKey, StateTimes>,
    /// Each GIL's integrals over it.
    pub gils: BTreeMap<GilKey, Bin>,
    /// How each process was looked at.
    pub looks: BTreeMap<ProcessKey, Looks>,
}

impl Recent {
    /// How a process was looked at.
    pub fn looks(&self, process: ProcessKey) -> Looks {
        self.looks.get(&process).copied().unwrap_or_default()
    }

    fn between(from: &Totals, to: &Totals) -> Recent {
        let none = StateTimes::default();
        let threads = to
            .threads
            .iter()
            .map(|(key, states)| (*key, difference(states, from.threads.get(key).unwrap_or(&none))))
            .collect();
        let gils = to
            .gils
            .iter()
            .map(|(key, total)| {
                let before = from.gils.get(key).copied().unwrap_or_default();
                let bin = Bin {
                    observed: total.observed.saturating_sub(before.observed),
                    held: total.held.saturating_sub(before.held),
                    held_asleep: Ns::ZERO,
                    contended: total.contended.saturating_sub(before.contended),
                    lost: total.lost.saturating_sub(before.lost),
                    handoffs: total.handoffs.saturating_sub(before.handoffs),
                };
                (*key, bin)
            })
            .collect();
        let looks = to
            .looks
            .iter()
            .map(|(key, total)| {
                let before = from.looks.get(key).copied().unwrap_or_default();
                let looks = Looks {
                    own_cpu: total.own_cpu.saturating_sub(before.own_cpu),
                    ticks: total.ticks.saturating_sub(before.ticks),
                    late: total.late.saturating_sub(before.late),
                    samples: total.samples.saturating_sub(before.samples),
                };
                (*key, looks)
            })
            .collect();
        Recent { length: to.at.since(from.at), threads, gils, looks }
    }
}

/// States never run backwards by more than the kernel's accounting lag; what does is taken as none.
fn difference(now: &StateTimes, before: &StateTimes) -> StateTimes {
    StateTimes {
        running: now.running.saturating_sub(before.running),
        holding_off_cpu: now.holding_off_cpu.saturating_sub(before.holding_off_cpu),
        waiting: now.waiting.saturating_sub(before.waiting),
        handing_over: now.handing_over.saturating_sub(before.handing_over),
        native: now.native.saturating_sub(before.native),
        runnable: now.runnable.saturating_sub(before.runnable),
        idle: now.idle.saturating_sub(before.idle),
        unknown: now.unknown.saturating_sub(before.unknown),
    }
}
