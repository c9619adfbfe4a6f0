//! Who had the GIL for a switch interval and longer, and for how much longer than somebody else wanted it.
//!
//! A tenure goes from one handoff to the next, or until the GIL is seen free. A thread that lets go of it and takes it again
//! with nobody else in between, and is not seen in between, has one tenure: CPython's count tells no more.

use std::collections::{BTreeMap, VecDeque};

use super::Threads;
use super::handoffs::Takes;
use super::tick::Step;
use crate::event::{DropRequest, Placement, ThreadKey};
use crate::model::snapshot::Overdue;
use crate::time::{MonoNs, Ns};

/// Long tenures that are remembered: at the default switch interval those of five seconds and more.
const REMEMBERED: usize = 1_024;
/// Threads whose overdue time is kept.
const HOLDERS: usize = 256;
/// Of those, shown.
const HOLDERS_SHOWN: usize = 8;
/// By how much a recorded edge may be off what it stands for.
const SLACK: Ns = Ns(100_000);
/// Bytecode that was asked to let go does so within some tens of microseconds; a holder that was just put off its core has
/// it back by then, where there is one.
const OBEYED_BY_THEN: Ns = Ns(5_000_000);

/// The tenures of one GIL.
#[derive(Debug, Clone, Default)]
pub(super) struct Tenures {
    current: Option<Tenure>,
    /// Those of a switch interval and longer, in the order of time.
    long: VecDeque<Long>,
    /// Since when all of them are known.
    reach: MonoNs,
    overdue: BTreeMap<ThreadKey, Overdue>,
    /// Whether requests could be read.
    asked: bool,
}

#[derive(Debug, Clone, Copy)]
struct Tenure {
    holder: Option<ThreadKey>,
    since: MonoNs,
    /// Since when somebody has waited under it.
    wanted: Option<MonoNs>,
    /// Since then, the holder was kept off its core for so long, as far as its switches tell.
    preempted: Ns,
}

/// A tenure that ended by force, or ran past the switch interval: who asks for the GIL does not say so earlier, and who is
/// asked later has ignored it.
#[derive(Debug, Clone, Copy)]
struct Long {
    holder: Option<ThreadKey>,
    from: MonoNs,
    to: MonoNs,
}

/// Part of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Under {
    /// Who had the GIL for long; `None`: not seen who.
    pub(super) holder: Option<ThreadKey>,
    /// For so much of the wait.
    pub(super) length: Ns,
}

impl Tenures {
    /// Nothing is known from before `at`.
    pub(super) fn lose(&mut self, at: MonoNs) {
        self.current = None;
        self.long.clear();
        self.reach = at;
    }

    /// The step from one tick to the next.
    pub(super) fn step(&mut self, step: &Step, takes: &Takes, switch_interval: Ns, threads: &Threads) {
        let tick = &step.tick;
        let edge = step.edge().at;
        if step.handoffs > 0 {
            let (first, last) = takes.ends().unwrap_or((edge, edge));
            let slack = if takes.ends().is_some() { SLACK } else { SLACK + step.interval };
            self.end(first, switch_interval.saturating_sub(slack), threads);
            if tick.is_held() {
                self.current = Some(Tenure { holder: tick.holder(), since: last, wanted: None, preempted: Ns::ZERO });
            }
        } else if !tick.is_held() {
            self.end(edge, switch_interval.saturating_sub(SLACK + step.interval), threads);
        } else {
            let current = self.current.get_or_insert(Tenure {
                holder: tick.holder(),
                since: edge,
                wanted: None,
                preempted: Ns::ZERO,
            });
            current.holder = current.holder.or(tick.holder());
        }
        let Some(current) = &mut self.current else { return };
        if tick.waiters == 0 {
            (current.wanted, current.preempted) = (None, Ns::ZERO);
            return;
        }
        let wanted = *current.wanted.get_or_insert(edge.max(current.since));
        let patience = switch_interval + switch_interval.max(OBEYED_BY_THEN) + step.interval;
        // Without a core it cannot see a request.
        let preempted = |from: MonoNs| {
            let runs = || Some(&threads.get(&tick.holder()?)?.runs);
            runs().map_or(Ns::ZERO, |runs| runs.preempted(from, tick.at))
        };
        current.preempted += preempted(step.last.at.max(wanted));
        let since = (wanted + patience + current.preempted).max(step.last.at);
        let beyond = tick.at.since(since).saturating_sub(preempted(since));
        self.asked |= tick.sample.drop_request != DropRequest::Unknown;
        let Some(holder) = current.holder.filter(|_| beyond > Ns::ZERO) else { return };
        if self.overdue.len() >= HOLDERS && !self.overdue.contains_key(&holder) {
            return;
        }
        let none = Overdue { holder, asked: Ns::ZERO, asleep: Ns::ZERO, unasked: Ns::ZERO, longest: Ns::ZERO };
        let overdue = self.overdue.entry(holder).or_insert(none);
        match tick.sample.drop_request {
            DropRequest::Pending => overdue.asked += beyond,
            DropRequest::Absent => overdue.unasked += beyond,
            DropRequest::Unknown => {}
        }
        if let Some(Placement::Asleep(_)) = tick.placement() {
            overdue.asleep += beyond;
        }
        overdue.longest = overdue.longest.max(tick.at.since(wanted).saturating_sub(current.preempted));
    }

    fn end(&mut self, at: MonoNs, least: Ns, threads: &Threads) {
        let Some(tenure) = self.current.take() else { return };
        let length = at.since(tenure.since);
        // Whoever was mostly kept off its core did not keep the GIL for the sake of it.
        let runs = || Some(&threads.get(&tenure.holder?)?.runs);
        let preempted = || runs().map_or(Ns::ZERO, |runs| runs.preempted(tenure.since, at));
        let is_long = length >= least;
        if !is_long || (length.saturating_sub(preempted()) < least && preempted().0.saturating_mul(2) > length.0) {
            return;
        }
        if self.long.len() >= REMEMBERED
            && let Some(forgotten) = self.long.pop_front()
        {
            self.reach = forgotten.to;
        }
        self.long.push_back(Long { holder: tenure.holder, from: tenure.since, to: at });
    }

    /// Of a wait that is over: how much of it is remembered, and what of that lies under long tenures, by holder.
    pub(super) fn under(&self, from: MonoNs, until: MonoNs) -> (Ns, Vec<Under>) {
        let from = from.max(self.reach);
        let long = self.long.iter().rev().take_while(|long| long.to > from);
        let mut parts: BTreeMap<Option<ThreadKey>, Ns> = BTreeMap::new();
        for long in long {
            *parts.entry(long.holder).or_default() += long.to.min(until).since(long.from.max(from));
        }
        parts.retain(|_, length| *length > Ns::ZERO);
        (until.since(from), parts.into_iter().map(|(holder, length)| Under { holder, length }).collect())
    }

    /// Who kept the GIL far longer than it was asked to, the longest first; `None`: requests cannot be read.
    pub(super) fn overdue(&self, observed: Ns) -> Option<Vec<Overdue>> {
        if !self.asked && observed > Ns::ZERO && !self.overdue.is_empty() {
            return None;
        }
        let mut all: Vec<Overdue> = self.overdue.values().copied().collect();
        all.sort_by_key(|one| std::cmp::Reverse((one.asked + one.unasked, one.holder)));
        all.truncate(HOLDERS_SHOWN);
        Some(all)
    }
}
