//! Handlers that the main thread has called, and when they begin.
//!
//! The pending word is cleared before the first handler is called. Where a request for the GIL is pending by then, CPython
//! lets go of it at the handler's first instruction (`RESUME`; up to 3.10 the begin of each frame): the main thread leaves
//! its core and waits for the GIL once more, and only then is the handler executed.

use std::collections::VecDeque;

use crate::event::{Sleep, ThreadKey};
use crate::model::gil::{GilAccount, Threads, Wait};
use crate::model::interrupts::course::Held;
use crate::model::interrupts::flights::Landed;
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// Whoever lets go of the GIL at its handler's first instruction leaves its core so soon after clearing the pending word: 8
/// to 65 us were seen, and 120 three times in 8,000 on a busy virtual machine.
const LETS_GO: Ns = Ns(80_000);
/// Who waits for the GIL falls asleep again sooner than this after waking up (measured: 3 to 25 us).
const LASTING: Ns = Ns(40_000);
/// From clearing the pending word, a handler's first instruction is executed no sooner (measured: 6 to 40 us).
const CALLING: Ns = Ns(10_000);
/// By how much two switch records may be off each other.
const SLACK: Ns = Ns(10_000);
/// Takes of the main thread that are remembered.
const TAKES: usize = 8;
/// Handlers of which it is not known yet whether they began: most.
const KEPT: usize = 64;

/// The handlers that were called and may not have begun.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    called: Vec<Call>,
    /// When the main thread has got the GIL after waiting for it, the newest last.
    takes: VecDeque<MonoNs>,
}

#[derive(Debug, Clone)]
struct Call {
    landed: Landed,
    /// The main thread was seen to be without the GIL since, having executed next to nothing.
    let_go: bool,
}

#[derive(Debug, Clone, Copy)]
enum Begins {
    AtOnce,
    /// When the main thread has the GIL again.
    At(MonoNs),
    NotYet,
}

/// What is known at a tick.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    pub at: MonoNs,
    pub gil: &'a GilAccount,
    pub threads: &'a Threads,
    pub main: (ThreadKey, &'a ThreadAccount),
    pub sleep: Sleep,
    /// The main thread's waits that have ended since the tick before.
    pub waits: &'a [Wait],
}

impl Calls {
    /// A tick: those that have begun, each with the instant of that if it is later than the call.
    pub fn tick(&mut self, new: Vec<Landed>, seen: Seen<'_>) -> Vec<(Landed, Option<MonoNs>)> {
        self.takes.extend(seen.waits.iter().map(|wait| wait.until));
        self.takes.drain(..self.takes.len().saturating_sub(TAKES));
        let new = new.into_iter().map(|landed| Call { landed, let_go: false });
        let mut begun = Vec::new();
        for mut called in std::mem::take(&mut self.called).into_iter().chain(new) {
            match self.begins(&mut called, seen) {
                Begins::NotYet if self.called.len() < KEPT => self.called.push(called),
                Begins::NotYet | Begins::AtOnce => begun.push((called.landed, None)),
                Begins::At(instant) => begun.push((called.landed, Some(instant))),
            }
        }
        begun
    }

    fn begins(&self, called: &mut Call, seen: Seen<'_>) -> Begins {
        let (key, main) = seen.main;
        let (landed, now) = (&called.landed, seen.at);
        let since = landed.handled.at;
        if landed.handled.slack > Ns::ZERO || !main.runs.covers(since) {
            return Begins::AtOnce;
        }
        if now < since + LETS_GO {
            return Begins::NotYet;
        }
        if main.runs.departures(since, now).next().is_none_or(|(left, _)| left > since + LETS_GO)
            || !self.may_be_asked(since + CALLING, seen)
        {
            return Begins::AtOnce;
        }
        let standing = main.standing(seen.gil.key()).map(|stand| stand.standing);
        let held = Held::from(seen.gil.holder());
        // Who was put off its core for another reason has gone on meanwhile.
        let at_once = |until: MonoNs| main.runs.on_core(since, until).is_some_and(|ran| ran <= LETS_GO + LETS_GO);
        // Woken by who took it, and queued for a core, it does not wait yet.
        let is_queued = seen.sleep == Sleep::Awake && matches!(held, Held::By(thread) if thread != key);
        let is_without = standing.map_or(is_queued, Standing::wants);
        called.let_go |= is_without && at_once(now);
        // Not the wait after which it has called the handler.
        let again = |wait: &&Wait| wait.until > since && (wait.from >= since || wait.until > since + LETS_GO);
        let again = match seen.waits.iter().filter(again).map(|wait| (wait.from, wait.until)).min() {
            None if called.let_go && !standing.is_some_and(Standing::wants) => {
                main.runs.first_lasting(since, LASTING, now).map(|from| (from, from))
            }
            wait => wait,
        };
        match again {
            Some((from, until)) if called.let_go || at_once(from) => Begins::At(until),
            None if called.let_go && is_without => Begins::NotYet,
            Some(_) | None => Begins::AtOnce,
        }
    }

    /// Whether by `instant` the main thread can have been asked for the GIL that it has: who asks has waited for a whole switch
    /// interval with no take meanwhile, and wakes up to do so, and once more with every further one (`take_gil`,
    /// `ceval_gil.h`).
    fn may_be_asked(&self, instant: MonoNs, seen: Seen<'_>) -> bool {
        let interval = seen.gil.switch_interval();
        let took = self.takes.iter().rfind(|took| **took <= instant);
        let earliest = took.map_or(MonoNs(0), |took| *took + interval.saturating_sub(SLACK));
        if instant < earliest {
            return false;
        }
        let recent = earliest.max(instant - interval - interval);
        seen.threads
            .iter()
            .filter(|(key, rival)| **key != seen.main.0 && rival.info.process == seen.main.1.info.process)
            .any(|(_, rival)| rival.runs.woke_between(recent, instant).unwrap_or(true))
    }
}
