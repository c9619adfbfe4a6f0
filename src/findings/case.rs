//! The figures of one GIL, checked, with what belongs to it.

use std::cmp::Reverse;

use crate::event::ThreadKey;
use crate::findings::figures::{self, Only, SharedGil};
use crate::findings::thresholds::{LOST_TIME_NEGLIGIBLE, MIN_OBSERVED};
use crate::findings::verdict;
use crate::findings::words::per_time;
use crate::model::snapshot::{GilFigures, ProcessFigures, StateTimes, ThreadFigures};
use crate::time::Ns;

/// The figures of one GIL.
pub(super) struct Case<'a> {
    pub(super) process: &'a ProcessFigures,
    pub(super) gil: &'a GilFigures,
    pub(super) load: f64,
    pub(super) contention: f64,
    pub(super) waiters: f64,
    pub(super) asleep: Option<f64>,
    pub(super) preempted: Option<f64>,
    pub(super) threads: Vec<&'a ThreadFigures>,
    pub(super) states: StateTimes,
}

impl<'a> Case<'a> {
    /// Those of a GIL that is known well enough.
    pub(super) fn of(process: &'a ProcessFigures, shared: &'a SharedGil<'a>, only: Only) -> Option<Case<'a>> {
        let threads: Vec<&ThreadFigures> = figures::users(process, shared, only).collect();
        let states: StateTimes = threads.iter().map(|t| &t.states).sum();
        if verdict::too_little(process, shared.gil, &states).is_some() {
            return None;
        }
        Case::checked(process, shared, threads, states)
    }

    /// The same; `None`: its figures contradict themselves.
    pub(super) fn checked(
        process: &'a ProcessFigures,
        shared: &'a SharedGil<'a>,
        threads: Vec<&'a ThreadFigures>,
        states: StateTimes,
    ) -> Option<Case<'a>> {
        let gil = shared.gil;
        let of_the_time = |share: Option<f64>| share.and_then(figures::share);
        Some(Case {
            process,

            gil,
            load: figures::share(gil.load)?,
            contention: figures::share(gil.contention)?,
            waiters: figures::mean(gil.mean_waiters)?,
            asleep: of_the_time(gil.held_asleep),
            preempted: of_the_time(gil.held_preempted),
            threads,
            states,
        })
    }

    pub(super) fn mean_in(&self, state: Ns) -> f64 {
        per_time(state, self.gil.observed)
    }

    /// The thread that lost most, and its share of its lifetime, if it lived and lost enough to count.
    pub(super) fn victim(&self) -> Option<(&'a ThreadFigures, f64)> {
        self.threads
            .iter()
            .filter(|t| t.states.total() >= MIN_OBSERVED)
            .filter(|t| self.mean_in(t.lost) >= LOST_TIME_NEGLIGIBLE)
            .filter_map(|t| figures::lost_share(t).map(|share| (*t, share)))
            .max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.key.cmp(&a.key)))
    }

    /// The thread that held it longest, and the share of the observed time.
    pub(super) fn top_holder(&self) -> Option<(&'a ThreadFigures, f64)> {
        let top = self.threads.iter().copied().max_by_key(|t| (t.states.holding(), Reverse(t.key)))?;
        Some((top, self.mean_in(top.states.holding()))).filter(|(_, share)| *share > 0.0)
    }

    /// The longest that another than `first` held it, as a share of the observed time.
    pub(super) fn second_holder(&self, first: ThreadKey) -> f64 {
        let others = self.threads.iter().filter(|thread| thread.key != first);
        others.map(|thread| self.mean_in(thread.states.holding())).fold(0.0, f64::max)
    }

    /// The thread that did most of the sleeping with the GIL in hand.
    pub(super) fn sleeper(&self) -> Option<&'a ThreadFigures> {
        let top = self.threads.iter().copied().max_by_key(|t| t.states.holding_off_cpu)?;
        (top.states.holding_off_cpu.0 > self.states.holding_off_cpu.0 / 2).then_some(top)
    }

    /// A thread of the process, by its key.
    pub(super) fn thread(&self, key: ThreadKey) -> Option<&'a ThreadFigures> {
        self.process.thread(key)
    }
}
