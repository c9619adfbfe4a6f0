//! Who made whom wait: every nanosecond of a wait goes to the thread that held the GIL in it.
//!
//! A wait is divided when it is over, along the log of who held the GIL. What the log does not tell, and what it says the
//! waiter held itself, is [`Party::Unknown`]; while nobody held it, the waiter was on its way to a core: [`Party::Free`].
//! So the parts of a wait add up to the wait, and a thread's column to the time it has lost.
//!
//! Bounded: of too many pairs the smallest become one, "others"; a pair that comes back then begins anew.

mod defined;
mod figures;
mod holds;
mod shares;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use defined::{Defined, Stack};
pub use figures::figures;
pub use holds::Party;
pub use shares::{Basis, Part, Shares};

use crate::event::{SampleCause, StackKey, ThreadKey};
use crate::model::blame::holds::Holds;
use crate::time::{MonoNs, Ns};

/// Pairs of threads that are kept one by one.
pub const PAIRS_KEPT: usize = 4_096;
/// Pairs beyond that, before the smallest are merged.
const SLACK: usize = PAIRS_KEPT / 4;
/// Stretches of the log that are kept for waits that go on.
const STRETCHES: usize = 8_192;
/// Waits that are over and may still be sampled, and for how long.
const RECENT: (usize, Ns) = (4_096, Ns(200_000_000));
/// After so long, the waits of an instant are known.
const SETTLED: Ns = Ns(20_000_000);
/// Samples that wait for that.
const SAMPLES: usize = 4_096;

/// A thread that waits, and since when.
pub type Waiting = (ThreadKey, MonoNs);

/// One thread's time behind another, or behind something else.
#[derive(Debug, Clone, Default)]
struct Pair {
    time: Ns,
    shares: Shares,
}

/// `None`: threads that are no longer kept one by one.
type Key = (Option<ThreadKey>, Party);

#[derive(Debug, Clone, Copy)]
struct Waited {
    thread: ThreadKey,
    from: MonoNs,
    until: MonoNs,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    instant: MonoNs,
    holder: ThreadKey,
    stack: Option<StackKey>,
    cause: SampleCause,
}

/// Who made whom wait for one GIL.
#[derive(Debug, Clone, Default)]
pub struct Blame {
    holds: Holds,
    pairs: BTreeMap<Key, Pair>,
    /// Who held it while somebody waited.
    holders: BTreeMap<ThreadKey, Pair>,
    /// Where those who waited want it back.
    waiters: BTreeMap<ThreadKey, Shares>,
    /// Waits that are over, in a step whose holds are not logged yet.
    fresh: Vec<Waited>,
    recent: VecDeque<Waited>,
    samples: VecDeque<Sample>,
    /// Waits that go on and are divided up to some instant.
    divided: BTreeMap<ThreadKey, MonoNs>,
    accepted: u64,
    rejected: u64,
    /// Samples of waiters with a stack, and those without.
    of_waiters: (u64, u64),
}

impl Blame {
    /// Somebody, or nobody, held the GIL.
    pub fn held(&mut self, from: MonoNs, until: MonoNs, by: Party) {
        self.holds.push(from, until, by);
    }

    /// A thread held the GIL for so long while somebody waited.
    pub fn contended(&mut self, holder: ThreadKey, time: Ns) {
        self.holders.entry(holder).or_default().time += time;
    }

    /// Who held the GIL while somebody waited, and how long.
    pub fn holders(&self) -> impl Iterator<Item = (ThreadKey, Ns, &Shares)> {
        self.holders.iter().map(|(holder, pair)| (*holder, pair.time, &pair.shares))
    }

    /// A wait is over that ended within the step that is being gathered.
    pub fn waited(&mut self, thread: ThreadKey, from: MonoNs, until: MonoNs) {
        self.fresh.push(Waited { thread, from, until });
    }

    /// A wait is over whose holds are all logged.
    pub fn cut(&mut self, thread: ThreadKey, from: MonoNs, until: MonoNs) {
        self.divide(Waited { thread, from, until });
    }

    /// What the holder executed at an instant.
    pub fn sampled(&mut self, instant: MonoNs, holder: ThreadKey, stack: Option<StackKey>, cause: SampleCause) {
        *(if stack.is_some() { &mut self.accepted } else { &mut self.rejected }) += 1;
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { instant, holder, stack, cause });
    }

    /// What a thread that waited executed. The sample stands for so much of its waiting.
    pub fn waiter_sampled(&mut self, thread: ThreadKey, stack: Option<StackKey>, stands_for: Ns) {
        *(if stack.is_some() { &mut self.of_waiters.0 } else { &mut self.of_waiters.1 }) += 1;
        self.waiters.entry(thread).or_default().add(stack, SampleCause::Random { every: stands_for });
    }

    /// Where a thread that waited wants the GIL back.
    pub fn waiter(&self, thread: ThreadKey) -> Option<&Shares> {
        self.waiters.get(&thread)
    }

    /// Samples of waiters with a stack, and those without.
    pub fn samples_of_waiters(&self) -> (u64, u64) {
        self.of_waiters
    }

    /// Samples with a stack, and those without.
    pub fn samples(&self) -> (u64, u64) {
        (self.accepted, self.rejected)
    }

    /// A step's holds are logged, and its waits told. `waiting` knows those who wait.
    pub fn settle<I: Iterator<Item = Waiting>>(&mut self, at: MonoNs, waiting: impl Fn() -> I) {
        for waited in std::mem::take(&mut self.fresh) {
            self.divide(waited);
        }
        while self.recent.front().is_some_and(|waited| waited.until + RECENT.1 < at) {
            self.recent.pop_front();
        }
        while let Some(sample) = self.samples.front().copied().filter(|sample| sample.instant + SETTLED <= at) {
            self.samples.pop_front();
            self.place(sample, waiting());
        }
        if self.holds.len() > STRETCHES {
            let until = self.holds.middle();
            for (thread, since) in waiting().filter(|(_, since)| *since < until) {
                let from = self.divided.get(&thread).map_or(since, |divided| since.max(*divided));
                self.divide_up_to(thread, from, until);
                self.divided.insert(thread, until);
            }
            self.holds.forget_before(until);
        }
        if self.pairs.len() > PAIRS_KEPT + SLACK {
            self.merge_the_smallest();
        }
    }

    /// These threads are no longer kept one by one.
    pub fn forget(&mut self, threads: &BTreeSet<ThreadKey>) {
        self.holders.retain(|holder, _| !threads.contains(holder));
        self.waiters.retain(|waiter, _| !threads.contains(waiter));
        self.merge(threads, |_| true);
    }

    /// These threads ended a while ago. Where there are too few samples of a pair to divide it, it becomes one with the others
    /// that have ended: of many short-lived threads together there may be enough.
    pub fn join_ended(&mut self, threads: &BTreeSet<ThreadKey>) {
        self.merge(threads, |pair| pair.shares.samples() < shares::LEAST_SAMPLES);
    }

    /// The pairs of these threads, those that are `meant`, become those of the others.
    fn merge(&mut self, threads: &BTreeSet<ThreadKey>, meant: impl Fn(&Pair) -> bool) {
        let concerns = |(waiter, party): &Key| {
            waiter.is_some_and(|waiter| threads.contains(&waiter))
                || matches!(party, Party::Thread(holder) if threads.contains(holder))
        };
        let merged = self.pairs.iter().filter(|(key, pair)| concerns(key) && meant(pair));
        for key in merged.map(|(key, _)| *key).collect::<Vec<_>>() {
            let waiter = key.0.filter(|waiter| !threads.contains(waiter));
            let party = match key.1 {
                Party::Thread(holder) if threads.contains(&holder) => Party::Others,
                party => party,
            };
            self.move_pair(key, (waiter, party));
        }
    }

    fn move_pair(&mut self, from: Key, to: Key) {
        if let Some(pair) = self.pairs.remove(&from) {
            let into = self.pairs.entry(to).or_default();
            into.time += pair.time;
            into.shares.absorb(&pair.shares);
        }
    }

    /// The pairs by now, the waits that go on included: they are known up to `now`.
    pub fn pairs(&self, now: MonoNs, waiting: impl Iterator<Item = Waiting>) -> BTreeMap<Key, (Ns, Option<&Shares>)> {
        let mut pairs: BTreeMap<Key, (Ns, Option<&Shares>)> =
            self.pairs.iter().map(|(key, pair)| (*key, (pair.time, Some(&pair.shares)))).collect();
        let mut add = |waited: Waited| {
            self.parts(waited.thread, self.undivided(waited), waited.until, |key, time| {
                pairs.entry(key).or_insert((Ns::ZERO, None)).0 += time;
            });
        };
        self.fresh.iter().copied().for_each(&mut add);
        waiting.for_each(|(thread, from)| add(Waited { thread, from, until: now }));
        pairs.retain(|_, (time, _)| *time > Ns::ZERO);
        if pairs.len() > PAIRS_KEPT + SLACK {
            for key in smallest(pairs.iter().map(|(key, (time, _))| (*time, *key))) {
                let time = pairs.remove(&key).map_or(Ns::ZERO, |(time, _)| time);
                pairs.entry((key.0, Party::Others)).or_insert((Ns::ZERO, None)).0 += time;
            }
        }
        pairs
    }

    /// From where on a wait is not divided yet.
    fn undivided(&self, waited: Waited) -> MonoNs {
        self.divided.get(&waited.thread).map_or(waited.from, |divided| waited.from.max(*divided))
    }

    fn divide(&mut self, waited: Waited) {
        let from = self.undivided(waited);
        if self.divided.remove(&waited.thread).is_some() && from > waited.until {
            self.take_back(waited.thread, from.since(waited.until));
        }
        self.divide_up_to(waited.thread, from, waited.until);
        if self.recent.len() >= RECENT.0 {
            self.recent.pop_front();
        }
        self.recent.push_back(waited);
    }

    fn divide_up_to(&mut self, thread: ThreadKey, from: MonoNs, until: MonoNs) {
        let mut parts = Vec::new();
        self.parts(thread, from, until, |key, time| parts.push((key, time)));
        for (key, time) in parts {
            self.pairs.entry(key).or_default().time += time;
        }
    }

    /// The parts of a wait: they add up to it.
    fn parts(&self, thread: ThreadKey, from: MonoNs, until: MonoNs, mut each: impl FnMut(Key, Ns)) {
        self.holds.between(from, until, |party, time| {
            let party = if party == Party::Thread(thread) { Party::Unknown } else { party };
            each((Some(thread), party), time);
        });
    }

    /// A wait that had been divided up to some instant turned out to have ended before it.
    fn take_back(&mut self, thread: ThreadKey, mut time: Ns) {
        let first = (Some(thread), Party::FIRST);
        for (_, pair) in self.pairs.range_mut(first..).take_while(|((waiter, _), _)| *waiter == Some(thread)) {
            let part = pair.time.min(time);
            pair.time = pair.time.saturating_sub(part);
            time = time.saturating_sub(part);
        }
    }

    /// A sample stands for time of everybody who waited at its instant.
    fn place(&mut self, sample: Sample, waiting: impl Iterator<Item = Waiting>) {
        let holder = Party::Thread(sample.holder);
        let over = self.recent.iter().filter(|w| w.from <= sample.instant && sample.instant < w.until);
        let waiters: BTreeSet<ThreadKey> = over
            .map(|waited| waited.thread)
            .chain(waiting.filter(|(_, since)| *since <= sample.instant).map(|(thread, _)| thread))
            .filter(|thread| *thread != sample.holder)
            .collect();
        if !waiters.is_empty()
            && let Some(held) = self.holders.get_mut(&sample.holder)
        {
            held.shares.add(sample.stack, sample.cause);
        }
        for waiter in waiters {
            self.pairs.entry((Some(waiter), holder)).or_default().shares.add(sample.stack, sample.cause);
        }
    }

    fn merge_the_smallest(&mut self) {
        let all = self.pairs.iter().map(|(key, pair)| (pair.time.max(pair.shares.weight()), *key));
        for key in smallest(all) {
            self.move_pair(key, (key.0, Party::Others));
        }
    }
}

/// The smallest of the pairs of threads, so many that the others can be kept.
fn smallest(all: impl Iterator<Item = (Ns, Key)>) -> Vec<Key> {
    let mut by_time: Vec<(Ns, Key)> = all.filter(|(_, (_, party))| matches!(party, Party::Thread(_))).collect();
    by_time.sort_unstable();
    by_time.truncate(by_time.len().saturating_sub(PAIRS_KEPT));
    by_time.into_iter().map(|(_, key)| key).collect()
}
