//! Sleeps that are named: what a thread slept on is told, so that a wait is seen for what it is, and a take is certain
//! where the sleep after it is not for the GIL.

use super::{Runs, Slept, Spell, TIME_OUT_RUN};
use crate::event::{FutexSite, GilKey};
use crate::time::{MonoNs, Ns};

/// A wait, as its sleeps tell: from falling asleep on the GIL to waking up to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedWait {
    /// When the thread fell asleep.
    pub from: MonoNs,
    /// When it woke up for the spell in which it took the GIL; `None`: it has not.
    pub until: Option<MonoNs>,
    /// When that spell ended; `None`: it has not.
    pub done: Option<MonoNs>,
    /// Time on a core in it.
    on_core: Ns,
    /// On what it slept.
    depth: Depth,
    /// Whether what came before was named, so that it did not begin earlier.
    start: Start,
}

/// How well the beginning of a wait is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Known,
    /// The sleep before may have been part of it.
    Unknown,
}

/// What a wait consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// It slept on the mutex around the GIL alone, as droppers do too.
    Mutex,
    /// It slept on the condition variable: it had to wait.
    Cond,
}

impl NamedWait {
    /// Whether the thread had to wait for the GIL, and not for the mutex around it alone.
    pub fn is_for_the_gil(&self) -> bool {
        self.depth == Depth::Cond
    }

    /// Whether it is known to be over: the thread did more than a time-out does, or sleeps on something else.
    pub fn is_over(&self) -> bool {
        self.until.is_some() && (self.done.is_some() || self.on_core > TIME_OUT_RUN)
    }
}

impl Runs {
    /// Whether its sleeps on futexes of a GIL are named.
    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// Its waits for a GIL as far as they are remembered, the oldest first, as of `now`; `None` where a sleep since `after`
    /// was not named.
    pub fn named_waits(&self, gil: GilKey, after: MonoNs, now: MonoNs) -> Option<Vec<NamedWait>> {
        if !self.covers(after) || self.named.is_none_or(|named| named > after) {
            return None;
        }
        let spells: Vec<Spell> = self.spells(now).collect();
        let mut waits: Vec<NamedWait> = Vec::new();
        let mut open: Option<NamedWait> = None;
        let mut before = Slept::Untold;
        for spell in spells.into_iter().rev() {
            // What it was before it fell asleep again.
            let last = open.take();
            let depth = match (spell.to, spell.slept) {
                (Some(to), Slept::Untold) if to > after => return None,
                (_, Slept::On(of, FutexSite::Cond)) if of == gil => Some(Depth::Cond),
                (_, Slept::On(of, FutexSite::Mutex)) if of == gil => Some(Depth::Mutex),
                _ => None,
            };
            open = match (last, spell.to.zip(depth)) {
                // A time-out, a lost race, or the mutex behind the condition variable.
                (Some(wait), Some((_, depth))) if spell.on_core <= TIME_OUT_RUN => {
                    let depth = if depth == Depth::Cond { depth } else { wait.depth };
                    Some(NamedWait { depth, ..wait })
                }
                (last, next) => {
                    let (until, on_core) = (Some(spell.from), spell.on_core);
                    waits.extend(last.map(|wait| NamedWait { until, done: spell.to, on_core, ..wait }));
                    let unknown = before == Slept::Untold && on_core <= TIME_OUT_RUN;
                    let start = if unknown { Start::Unknown } else { Start::Known };
                    let begin =
                        |(from, depth)| NamedWait { from, until: None, done: None, on_core: Ns::ZERO, depth, start };
                    next.map(begin)
                }
            };
            before = spell.slept;
        }
        waits.extend(open);
        let is_known = |wait: &NamedWait| wait.start == Start::Known || wait.until.is_some_and(|until| until <= after);
        waits.iter().all(is_known).then_some(waits)
    }
}

/// The longest time on a core from entering futex(2) to sleeping in it: 1 to 5 us were seen. Whoever does not sleep, since
/// what it would have waited for has just happened, takes the GIL, for which longer is needed.
const ENTERING: Ns = TIME_OUT_RUN;

/// What a thread is about to sleep on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) gil: GilKey,
    pub(super) site: FutexSite,
    /// Since then it was on a core, or had been for so long before it was put off it.
    pub(super) since: MonoNs,
    pub(super) on_core: Ns,
}

impl Runs {
    /// From here on each of its waits on a GIL's futex is told.
    pub fn futexes_begin(&mut self, at: MonoNs) {
        self.named = Some(at);
    }

    /// They are no longer told.
    pub fn futexes_end(&mut self) {
        (self.named, self.entered) = (None, None);
    }

    /// It is about to sleep on a GIL's futex.
    pub fn futex_entered(&mut self, at: MonoNs, gil: GilKey, site: FutexSite) {
        self.entered = Some(Entered { gil, site, since: at, on_core: Ns::ZERO });
    }

    /// It was put off its core at `at`, and had got it at `from`.
    pub(super) fn put_off(&mut self, from: MonoNs, at: MonoNs) {
        if let Some(entered) = &mut self.entered {
            entered.on_core += at.since(entered.since.max(from));
        }
    }

    /// What it falls asleep on at `at`, after a run since `from`; that `is_whole` if its beginning was told.
    pub(super) fn falls_asleep(&mut self, from: MonoNs, at: MonoNs, whole: Whole) -> Slept {
        self.put_off(from, at);
        match (self.entered.take(), self.named) {
            // What it would have waited for had happened: it went on, to sleep on something else.
            (Some(entered), _) if entered.on_core > ENTERING => Slept::Untold,
            (Some(entered), _) => Slept::On(entered.gil, entered.site),
            (None, Some(named)) if whole == Whole::Yes && from >= named => Slept::Elsewhere,
            (None, _) => Slept::Untold,
        }
    }
}

/// Whether a run was told from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Yes,
    No,
}
