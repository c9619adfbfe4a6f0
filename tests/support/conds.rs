//! What threads did with condition variables, as `tests/truth/gilconds.c` logs it, and the takes and drops of the GIL
//! that follow from it (Python/ceval_gil.c, CPython 3.8 to 3.15).

use std::collections::{BTreeMap, BTreeSet};

use super::truth::Cycle;

/// A function of the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `pthread_cond_signal`.
    Signal,
    /// `pthread_cond_timedwait` or `pthread_cond_clockwait`.
    TimedWait,
    /// `pthread_mutex_lock` of the mutex behind it, which another thread has.
    Blocked,
}

/// One call, when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub at: u64,
    /// The condition variable's address.
    pub cond: u64,
    /// The caller.
    pub tid: u32,
    /// What was called.
    pub call: Call,
    /// When its newest lock of a mutex came back.
    pub locked: u64,
}

/// All calls of a process; each thread's in order.
#[derive(Debug, Clone, Default)]
pub struct Conds {
    /// From `gil->cond` to `gil->switch_cond`, bytes.
    pub apart: u64,
    /// The calls.
    pub operations: Vec<Operation>,
}

/// The condition variables of all GILs of a process.
#[derive(Debug, Clone, Default)]
pub struct Gils {
    /// Of those who wait for the GIL.
    pub wanted: BTreeSet<u64>,
    /// Of those who were made to drop it and wait for another to take it.
    pub switch: BTreeSet<u64>,
}

impl Conds {
    /// Two that are signalled and lie as far from each other as the two of a GIL.
    pub fn gils(&self) -> Gils {
        let signals = self.operations.iter().filter(|operation| operation.call == Call::Signal);
        let signalled: BTreeSet<u64> = signals.map(|operation| operation.cond).collect();
        let wanted: BTreeSet<u64> =
            signalled.iter().copied().filter(|cond| signalled.contains(&(cond + self.apart))).collect();
        let switch = wanted.iter().map(|cond| cond + self.apart).collect();
        Gils { wanted, switch }
    }
}

/// From where on whoever is in `take_gil` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// When it begins to wait for the condition.
    ForTheCondition,
    /// When it has to sleep first, be it on the mutex: others may take the GIL and let go of it before it gets a core for that.
    ForAnything,
}

/// One thread's calls as takes and drops. What lasts still is cut at the end.
pub fn story<'a>(calls: impl Iterator<Item = &'a Operation>, gils: &Gils, waits: Waits, end: u64) -> Vec<Cycle> {
    let mut cycles = Vec::new();
    let (mut asked, mut held): (Option<u64>, Option<(u64, u64)>) = (None, None);
    for Operation { at, cond, call, .. } in calls {
        match call {
            Call::TimedWait if gils.wanted.contains(cond) => asked = asked.or(Some(*at)),
            Call::Blocked if gils.wanted.contains(cond) && held.is_none() && waits == Waits::ForAnything => {
                asked = asked.or(Some(*at));
            }
            Call::Signal if gils.switch.contains(cond) => held = Some((asked.take().unwrap_or(*at), *at)),
            Call::Signal if gils.wanted.contains(cond) => {
                let taken = held.take();
                cycles.extend(taken.map(|(ask, taken)| Cycle { ask, taken, drop: *at, dropped: *at }));
            }
            _ => {}
        }
    }
    let last = held.or(asked.map(|ask| (ask, end.max(ask))));
    cycles.extend(last.map(|(ask, taken)| Cycle { ask, taken, drop: end.max(taken), dropped: end.max(taken) }));
    cycles
}

/// From a thread's asking the holder for the GIL to the drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When whoever asked began to sleep for the time-out after which it did.
    pub slept: u64,
    /// When it had asked: it begins to sleep again.
    pub asked: u64,
    /// The drop: the mutex is the dropper's, and the flag is cleared next.
    pub dropped: u64,
}

/// All requests for one GIL that were heeded, of `calls` in the order of time: whoever sleeps on it again, and nobody has taken
/// it since it slept before, has asked for it. Of several that ask, the first counts.
pub fn requests<'a>(calls: impl Iterator<Item = &'a Operation>, gils: &Gils) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut asleep: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let (mut takes, mut pending) = (0, None);
    for Operation { at, cond, tid, call, locked } in calls {
        match call {
            Call::TimedWait if gils.wanted.contains(cond) => {
                let before = asleep.insert(*tid, (*at, takes)).filter(|(_, then)| *then == takes);
                pending = pending.or(before.map(|(slept, _)| (slept, *at)));
            }
            Call::Signal if gils.switch.contains(cond) => {
                asleep.remove(tid);
                (takes, pending) = (takes + 1, None);
            }
            Call::Signal if gils.wanted.contains(cond) => {
                let heeded = pending.take();
                requests.extend(heeded.map(|(slept, asked)| Request { slept, asked, dropped: *locked }));
            }
            _ => {}
        }
    }
    requests
}
