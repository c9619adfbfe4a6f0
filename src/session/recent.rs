//! Figures of late: what the last second, or the last ten, were like.
//!
//! A snapshot's figures are of the whole capture. A small ring of running totals
//! is kept beside it, so that rates and shares over a recent window are exact
//! differences of totals, in bounded memory, and follow the position in a replay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::event::{GilKey, ThreadKey};
use crate::model::snapshot::{Snapshot, StateTimes};
use crate::model::timeline::Bin;
use crate::time::{MonoNs, Ns};

/// Time between two totals that are kept.
pub const TALLY_EVERY: Ns = Ns(200_000_000);
/// Longest window that can be looked back over.
pub const LONGEST_WINDOW: Ns = Ns(10_000_000_000);

/// Running totals at one instant.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    at: MonoNs,
    threads: BTreeMap<ThreadKey, StateTimes>,
    gils: BTreeMap<GilKey, GilTally>,
    own_cpu: Ns,
    ticks: u64,
    late: u64,
    samples: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct GilTally {
    observed: Ns,
    held: Ns,
    contended: Ns,
    lost: Ns,
    handoffs: u64,
}

impl Tally {
    /// The totals of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Tally {
        let mut tally = Tally { at: snapshot.at, ..Tally::default() };
        for process in &snapshot.processes {
            tally.threads.extend(process.threads.iter().map(|thread| (thread.key, thread.states)));
            let health = &process.capture.health;
            (tally.own_cpu, tally.ticks, tally.late) = (health.own_cpu, health.ticks, health.late);
            let gils: BTreeSet<GilKey> =
                process.interpreters.iter().filter_map(|i| i.gil.as_ref()).map(|gil| gil.key).collect();
            tally.samples += process.capture.samples / gils.len().max(1) as u64;
            for gil in process.interpreters.iter().filter_map(|i| i.gil.as_deref()) {
                let part = |share: f64| Ns((gil.observed.0 as f64 * share.clamp(0.0, 1.0)) as u64);
                tally.gils.insert(
                    gil.key,
                    GilTally {
                        observed: gil.observed,
                        held: part(gil.load),
                        contended: part(gil.contention),
                        lost: gil.lost,
                        handoffs: gil.handoffs,
                    },
                );
            }
        }
        tally
    }
}

/// The totals of the last while, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    kept: VecDeque<Arc<Tally>>,
}

impl Tallies {
    /// Whether it is time to keep another one at `at`.
    pub fn is_due(&self, at: MonoNs) -> bool {
        self.kept.back().is_none_or(|last| at.since(last.at) >= TALLY_EVERY)
    }

    /// Keeps the totals of `snapshot`, and forgets those that no window reaches any more.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.kept.push_back(Arc::new(Tally::of(snapshot)));
        let reach = LONGEST_WINDOW + TALLY_EVERY;
        while self.kept.len() > 2 && self.kept.get(1).is_some_and(|next| snapshot.at.since(next.at) > reach) {
            self.kept.pop_front();
        }
    }

    /// The totals at the last whole seconds before `at`. They stay the same for a second, so that nothing flickers.
    pub fn lately(&self, at: MonoNs) -> Lately {
        let last = at.0 / Ns::SECOND.0;
        let ends = (0..=Lately::SECONDS as u64).rev().filter_map(|back| last.checked_sub(back));
        let mut kept: Vec<Arc<Tally>> = Vec::new();
        for end in ends {
            let newest = self.kept.iter().rev().find(|tally| tally.at <= MonoNs(end * Ns::SECOND.0));
            if let Some(tally) = newest.filter(|one| kept.last().is_none_or(|before| before.at < one.at)) {
                kept.push(Arc::clone(tally));
            }
        }
        Lately(kept)
    }

    /// What happened over about the last `window` before `snapshot`.
    pub fn recent(&self, snapshot: &Snapshot, window: Ns) -> Recent {
        let now = Tally::of(snapshot);
        let since = snapshot.at - window;
        let base = self
            .kept
            .iter()
            .rev()
            .find(|tally| tally.at <= since)
            .or_else(|| self.kept.front())
            .cloned()
            .unwrap_or_else(|| Arc::new(Tally { at: snapshot.at, ..Tally::default() }));
        Recent::between(&base, &now)
    }
}

/// Running totals at the whole seconds of the last while, oldest first: what each thread did in each of them.
#[derive(Debug, Clone, Default)]
pub struct Lately(Vec<Arc<Tally>>);

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
    /// CPU time that gilscope itself used.
    pub own_cpu: Ns,
    /// Looks taken, as told about once a second.
    pub ticks: u64,
    /// Looks that came too late, as told about once a second.
    pub late: u64,
    /// Looks that gave a sample of every GIL.
    pub samples: u64,
}

impl Recent {
    fn between(from: &Tally, to: &Tally) -> Recent {
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
        Recent {
            length: to.at.since(from.at),
            threads,
            gils,
            own_cpu: to.own_cpu.saturating_sub(from.own_cpu),
            ticks: to.ticks.saturating_sub(from.ticks),
            late: to.late.saturating_sub(from.late),
            samples: to.samples.saturating_sub(from.samples),
        }
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
