//! Handoffs one by one: who took the GIL after whom, on which core, and whether the drop was forced.
//!
//! A drop is forced if a request was pending and the dropper wants the GIL back at once. No record says so, but both
//! leave traces. A request takes a waiter that slept through a whole switch interval under one holder, so only the first
//! handoff after such a time can be forced. Whoever was forced sleeps in `switch_cond` until the taker wakes it, asks for
//! the GIL again within some microseconds on a core, and sleeps on it or has it; whoever let go for reasons of its own
//! sleeps elsewhere, or runs on without it.
use super::brief::{RELEASE_AFTER_WAKING, RELEASE_BEFORE_WAKING};
use super::tick::{Seen, Step};
use super::{GilAccount, Threads};
use crate::event::{Cpu, GilKey, Relation, ThreadKey};
use crate::model::intervals::{Moment, Sharpness};
use crate::model::runs::Spell;
use crate::model::segments::{Entry, Handoff, Passing};
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// Time on a core between waking up in `switch_cond` and sleeping on the GIL: 5 to 25 us were seen.
const ASKING_AGAIN: Ns = Ns(50_000);
/// Whoever runs for this long without the GIL does not want it.
const OWN_WORK: Ns = Ns(200_000);
/// A look that comes later than this may find that a wait is over.
const LATE_LOOK: Ns = Ns(3_000_000);
/// After a take, whoever dropped the GIL is woken; by then it has a core, if there is one.
const WOKEN_BY_TAKER: Ns = Ns(500_000);
/// Whoever has slept for this long at a tick has been looked at there.
const LOOKED_AT: Ns = Ns(300_000);
/// Whoever is woken in `switch_cond` may sleep again, on a mutex that the taker still has: for 5 to 33 us, as was seen. No
/// call that lets go of the GIL sleeps for as little.
const ON_A_MUTEX: Ns = Ns(40_000);
/// Nobody queues for a core that long.
const LONGEST_QUEUE: Ns = Ns(50_000_000);
/// By how much a recorded edge may be off what it stands for.
const SLACK: Ns = Ns(100_000);
/// Drops that are not decided yet, at most: the kernel's totals are read every 100 ms.
const OPEN_DROPS: usize = 64;
/// One in so many may be unclear in a figure that is shown.
const MOSTLY: u64 = 32;

/// What has been found out about handoffs so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Handoffs {
    /// Whether the switches of anybody who had to do with the GIL were told.
    told: bool,
    forced: u64,
    /// May have been forced or not.
    unclear: u64,
    /// Those that a request may have brought about, and of which the dropper then seemed to sleep on something else.
    own_will: u64,
    cross_core: u64,
    /// From an unknown core, or to one.
    unplaced: u64,
    open: Vec<Drop>,
    /// Who took it last, though it was free again at the tick.
    last: Option<ThreadKey>,
}

impl Handoffs {
    /// Forced handoffs; `None`: not known to a thirtieth.
    pub(super) fn forced(&self, apart: Apart) -> Option<u64> {
        let unclear = match apart {
            Apart::Asleep => self.unclear,
            Apart::AsleepOrQueued => self.unclear + self.own_will,
        };
        self.is_shown(unclear, self.forced).then_some(self.forced)
    }

    /// Handoffs that may have been forced or not.
    pub(super) fn unclear(&self) -> u64 {
        self.unclear
    }

    /// Handoffs to another core, of `counted`; `None`: for too many it is not known.
    pub(super) fn cross_core(&self, counted: u64) -> Option<u64> {
        self.is_shown(self.unplaced, counted).then_some(self.cross_core)
    }

    fn is_shown(&self, unknown: u64, of: u64) -> bool {
        self.told && unknown.saturating_sub(1).saturating_mul(MOSTLY) <= of
    }

    /// Handoffs that nobody followed, over `length`.
    pub(super) fn miss(&mut self, handoffs: u64, length: Ns, switch_interval: Ns) {
        self.unplaced += handoffs;
        // A request takes a switch interval.
        self.unclear += handoffs.min(length.0 / switch_interval.0.max(1) + 1);
    }

    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Forced => self.forced += 1,
            Verdict::Unclear => self.unclear += 1,
            Verdict::Voluntary => {}
        }
    }
}

/// What it means that a thread was seen neither on a core nor in the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apart {
    /// It sleeps on something else.
    Asleep,
    /// That, or it was woken and queues for a core.
    AsleepOrQueued,
}

/// Who took the GIL between two ticks, and when: in the order of time.
#[derive(Debug, Default)]
pub(super) struct Takes {
    known: Vec<(MonoNs, ThreadKey)>,
    /// Whether these are all.
    complete: bool,
}

impl Takes {
    /// When another than `own` took it first; `None`: not known.
    pub(super) fn first_of_others(&self, own: ThreadKey) -> Option<Moment> {
        let first = self.known.iter().find(|(_, thread)| *thread != own).filter(|_| self.complete);
        first.map(|(taken, _)| Moment::recorded(*taken))
    }

    /// Whether these are all.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Who took it; `None`: not of all that is known.
    pub(super) fn takers(&self) -> Option<impl Iterator<Item = ThreadKey>> {
        self.complete.then(|| self.known.iter().map(|(_, thread)| *thread))
    }

    /// The takes, in the order of time.
    pub(super) fn known(&self) -> impl Iterator<Item = (MonoNs, ThreadKey)> + '_ {
        self.known.iter().copied()
    }

    /// When the first and the last of them were; `None`: none, or not all are known.
    pub(super) fn ends(&self) -> Option<(MonoNs, MonoNs)> {
        let ends = self.known.first().zip(self.known.last());
        ends.filter(|_| self.complete).map(|((first, _), (last, _))| (*first, *last))
    }

    /// How many takes by others came before `at`; `None`: not known.
    pub(super) fn before(&self, at: MonoNs, own: ThreadKey) -> Option<u64> {
        let earlier = self.known.iter().filter(|(taken, thread)| *taken < at && *thread != own);
        self.complete.then(|| earlier.count() as u64)
    }
}

/// A drop of which is not yet known whether it was forced.
#[derive(Debug, Clone, Copy)]
struct Drop {
    dropper: ThreadKey,
    /// Who took it, and how well is known when; `None`: not known.
    to: Option<(ThreadKey, Sharpness)>,
    /// When the taker woke up.
    taken: MonoNs,
    /// It was seen in `switch_cond`.
    handing_over: bool,
    /// It was seen off its core and elsewhere: asleep, or woken and queued.
    apart: bool,
    request: Request,
}

/// Whether the holder had been asked to drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Pending,
    /// Those who waited are not told of.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Forced,
    Voluntary,
    Unclear,
}

/// What is known of the first drop between two ticks.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Known(Verdict),
    /// The dropper has yet to show it.
    Open,
}

impl From<Verdict> for Passing {
    fn from(verdict: Verdict) -> Passing {
        match verdict {
            Verdict::Forced => Passing::Forced,
            Verdict::Voluntary => Passing::Voluntary,
            Verdict::Unclear => Passing::Unclear,
        }
    }
}

/// What a tick says of whoever dropped the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Holds,
    Waits,
    HandsOver,
    Apart,
    Unseen,
}

impl GilAccount {
    /// The takes between two ticks, of which there were as many as CPython counted handoffs.
    pub(super) fn takes(&self, step: &Step, waits_ended: Vec<(MonoNs, ThreadKey)>, threads: &Threads) -> Takes {
        let mut known = waits_ended;
        known.sort_unstable();
        let count = known.len() as u64;
        let last = known.last().map(|(_, thread)| *thread);
        if let Some(holder) = step.tick.holder().filter(|holder| last.or(self.dropper()) != Some(*holder))
            && count + 1 == step.handoffs
            && let Some(runs) =
                threads.get(&holder).map(|thread| &thread.runs).filter(|runs| runs.told_since().is_some())
        {
            // It found the GIL free: some time after it woke up.
            let woke = runs.around(step.tick.at, step.tick.at).last().map_or(step.last.at, |spell| spell.from);
            let after = known.last().map_or(step.last.at, |(taken, _)| *taken);
            known.push((woke.max(after), holder));
        }
        let last = known.last().map(|(_, thread)| *thread);
        let fits = step.tick.holder().is_none_or(|holder| last.or(self.dropper()) == Some(holder));
        Takes { complete: known.len() as u64 == step.handoffs && fits, known }
    }

    /// Counts the handoffs between two ticks, and those of before that can be decided now.
    pub(super) fn follow_handoffs(
        &mut self,
        step: &Step,
        takes: &Takes,
        touched: &[ThreadKey],
        seen: Seen<'_>,
        threads: &Threads,
    ) {
        let is_told = |thread: &ThreadKey| threads.get(thread).is_some_and(|t| t.runs.told_since().is_some());
        self.followed.told |= touched.iter().any(is_told);
        if step.handoffs > 0 {
            self.count_cores(step, takes, threads);
            let first = match self.begin_drop(step, takes, touched, threads) {
                Fate::Known(verdict) => {
                    self.followed.count(verdict);
                    Some(verdict.into())
                }
                Fate::Open => None,
            };
            self.chart_handoffs(step, takes, first);
            self.followed.last = takes.known.last().filter(|_| takes.complete).map(|(_, thread)| *thread);
        }
        let open = std::mem::take(&mut self.followed.open);
        for mut drop in open {
            let now = self.now(step, drop.dropper);
            drop.handing_over |= now == Now::HandsOver;
            drop.apart |= now == Now::Apart && step.tick.at.since(drop.taken) >= LOOKED_AT;
            // Whoever ends lets go of its own will.
            let there = threads.get(&drop.dropper).filter(|thread| thread.end.is_none());
            let let_go = |at| self.let_go_around(at, drop.dropper, step, seen.woken, threads);
            let verdict = match there {
                Some(thread) => drop.verdict(thread, now, step.tick.at, takes, let_go),
                None => Some(Verdict::Voluntary),
            };
            let verdict = match verdict {
                // Nobody looked for long: what is seen now may be what came after.
                Some(_) if step.is_blurred() => Verdict::Unclear,
                Some(Verdict::Forced) if drop.request == Request::Unknown && !drop.handing_over => Verdict::Unclear,
                Some(verdict) => verdict,
                None => {
                    self.followed.open.push(drop);
                    continue;
                }
            };
            self.followed.count(verdict);
            self.followed.own_will += u64::from(verdict == Verdict::Voluntary && there.is_some());
            drop.passed(self.key, verdict.into()).into_iter().for_each(|passed| self.chart.push(passed));
        }
    }

    /// The handoffs of which it is not decided yet how the GIL was let go of.
    pub(super) fn undecided(&self) -> impl Iterator<Item = Entry> + '_ {
        self.followed.open.iter().filter_map(|drop| drop.passed(self.key, Passing::Undecided))
    }

    /// Who let go of it, or will, at the next handoff.
    pub(super) fn dropper(&self) -> Option<ThreadKey> {
        self.owner.or(self.followed.last)
    }

    /// Whether somebody else went to sleep around `at`, as whoever lets go of the GIL does.
    fn let_go_around(
        &self,
        at: MonoNs,
        dropper: ThreadKey,
        step: &Step,
        woken: &[ThreadKey],
        threads: &Threads,
    ) -> bool {
        let earliest = at - RELEASE_BEFORE_WAKING;
        let others = woken.iter().chain(self.owner.as_ref()).filter(|key| **key != dropper);
        let mut others = others.filter_map(|key| threads.get(key)).filter(|t| t.info.process == self.process);
        others.any(|thread| {
            let slept = thread.runs.first_to_end(earliest, step.tick.at).and_then(|spell| spell.to);
            slept.is_some_and(|slept| slept <= at + RELEASE_AFTER_WAKING)
        })
    }

    fn count_cores(&mut self, step: &Step, takes: &Takes, threads: &Threads) {
        let core = |thread: ThreadKey, at: MonoNs| -> Option<Cpu> { threads.get(&thread)?.runs.core_at(at) };
        let mut placed = 0;
        if let Some(mut from) = self.dropper().filter(|_| takes.complete) {
            for (at, to) in &takes.known {
                if let (Some(here), Some(there)) = (core(from, *at), core(*to, *at)) {
                    placed += 1;
                    self.followed.cross_core += u64::from(here != there);
                }
                from = *to;
            }
        }
        self.followed.unplaced += step.handoffs.saturating_sub(placed);
    }

    /// The first handoff of a step may have been forced; the others came too soon after another one.
    fn begin_drop(&mut self, step: &Step, takes: &Takes, touched: &[ThreadKey], threads: &Threads) -> Fate {
        let length = step.tick.at.since(step.last.at);
        let since = std::mem::replace(&mut self.tenure, takes.known.last().map_or(step.last.at, |(taken, _)| *taken));
        self.followed.unclear += (step.handoffs - 1).min(length.0 / self.switch_interval.0.max(1));
        let least = self.switch_interval.saturating_sub(SLACK);
        if step.tick.at.since(since) < least {
            return Fate::Known(Verdict::Voluntary);
        }
        let Some(request) = self.request(since - SLACK, step, touched, threads) else {
            return Fate::Known(Verdict::Voluntary);
        };
        let Some(dropper) = self.dropper() else { return Fate::Known(Verdict::Unclear) };
        let slept = || threads.get(&dropper)?.runs.first_to_end(step.last.at, step.tick.at)?.to;
        let first = takes.known.first();
        let to = match first.filter(|_| takes.complete) {
            Some((_, thread)) => Some((*thread, Sharpness::Switch)),
            None => self.only_handoff(step).map(|(_, holder)| (holder, Sharpness::Tick)),
        };
        let taken = first.map(|(taken, _)| *taken).or_else(slept);
        let Some(taken) = taken.filter(|_| self.followed.open.len() < OPEN_DROPS) else {
            return Fate::Known(Verdict::Unclear);
        };
        if taken.since(since) < least {
            return Fate::Known(Verdict::Voluntary);
        }
        self.followed.open.push(Drop { dropper, to, taken, handing_over: false, apart: false, request });
        Fate::Open
    }

    /// Whether a waiter had slept through a switch interval under the holder since `since`; `None`: none had.
    fn request(&self, since: MonoNs, step: &Step, touched: &[ThreadKey], threads: &Threads) -> Option<Request> {
        let least = self.switch_interval.saturating_sub(SLACK);
        let waited =
            |thread: &ThreadAccount| thread.standing(self.key).is_some_and(|stand| stand.standing == Standing::Waiting);
        let mut untold = false;
        for thread in touched.iter().chain(self.relations.keys()).filter_map(|key| threads.get(key)) {
            if !waited(thread) {
                continue;
            }
            match thread.runs.told_since() {
                Some(told) if told <= since => {
                    if thread.runs.slept_through(since, step.tick.at, least) {
                        return Some(Request::Pending);
                    }
                }
                _ => untold = true,
            }
        }
        untold.then_some(Request::Unknown)
    }

    fn now(&self, step: &Step, thread: ThreadKey) -> Now {
        if step.tick.holder() == Some(thread) {
            return Now::Holds;
        }
        match self.relations.get(&thread) {
            Some(Relation::Waiting) => Now::Waits,
            Some(Relation::HandingOver) => Now::HandsOver,
            Some(Relation::Unknown) => Now::Unseen,
            Some(Relation::Apart) | None => Now::Apart,
        }
    }
}

impl Drop {
    fn passed(&self, gil: GilKey, passing: Passing) -> Option<Entry> {
        let (to, sharpness) = self.to?;
        Some(Entry::Passed(Handoff { gil, from: Some(self.dropper), to: Some(to), at: self.taken, sharpness, passing }))
    }

    /// Whether it was forced; `None`: the dropper has yet to show it.
    fn verdict(
        &self,
        thread: &ThreadAccount,
        now: Now,
        tick: MonoNs,
        takes: &Takes,
        let_go: impl Fn(MonoNs) -> bool,
    ) -> Option<Verdict> {
        let runs = &thread.runs;
        if runs.told_since().is_none_or(|told| told > self.taken) {
            return Some(Verdict::Unclear);
        }
        let spells = runs.around(self.taken, tick);
        let mut spells = spells.iter().copied().peekable();
        let Some(dropped) = spells.next() else { return Some(Verdict::Unclear) };
        let ran_on = runs.ran(self.taken.max(dropped.from), dropped.to.unwrap_or(tick));
        let Some(slept) = dropped.to else { return awake(ran_on, now) };
        if ran_on > ASKING_AGAIN {
            return Some(if ran_on > OWN_WORK { Verdict::Voluntary } else { Verdict::Unclear });
        }
        let Some(mut back) = spells.next() else {
            return match now {
                Now::Waits => Some(Verdict::Forced),
                Now::Holds => Some(Verdict::Unclear),
                Now::Apart if tick.since(slept) >= LONGEST_QUEUE => Some(Verdict::Voluntary),
                Now::Apart | Now::HandsOver | Now::Unseen => None,
            };
        };
        let took = |spell: &Spell| {
            let own = takes.known.iter().filter(|(_, thread)| *thread == self.dropper);
            own.into_iter().any(|(at, _)| *at >= spell.from && spell.to.is_none_or(|to| *at <= to))
        };
        let late = back.from.since(self.taken.max(slept));
        if !self.handing_over && late > WOKEN_BY_TAKER {
            // It slept elsewhere, or was woken and queued for a core: the kernel's totals tell, once they are read.
            let read = thread.step.filter(|step| step.at >= back.from)?;
            let before = read.at - read.over;
            let queued = read.run_delay.saturating_sub(runs.preempted(before, read.at));
            if queued + WOKEN_BY_TAKER < late {
                let hardly_queued = queued.0.saturating_mul(4) <= late.0;
                return Some(if self.apart && hardly_queued { Verdict::Voluntary } else { Verdict::Unclear });
            }
        }
        back = through_mutex(back, &mut spells);
        let Some(slept) = back.to else { return awake(back.on_core, now) };
        if back.on_core > ASKING_AGAIN {
            return Some(if took(&back) { Verdict::Forced } else { Verdict::Unclear });
        }
        let Some(again) = spells.next() else { return asleep(slept, now, tick) };
        let again = through_mutex(again, &mut spells);
        // A wait ends when somebody lets go, and whoever does goes to sleep soon; any other sleep ends when it likes.
        match (took(&again), let_go(again.from), again.to) {
            (true, ..) => Some(Verdict::Forced),
            (false, true, None) if now == Now::Holds => Some(Verdict::Forced),
            (false, false, Some(_)) => Some(Verdict::Voluntary),
            (false, _, None) if again.on_core <= OWN_WORK && now != Now::Holds => None,
            _ => Some(Verdict::Unclear),
        }
    }
}

/// The spell, and those that follow it after a sleep as short as on the mutex around the GIL, as one.
fn through_mutex(mut spell: Spell, more: &mut std::iter::Peekable<impl Iterator<Item = Spell>>) -> Spell {
    while let Some(slept) = spell.to
        && let Some(next) = more.next_if(|next| next.from.since(slept) <= ON_A_MUTEX)
    {
        spell = spell.and(next);
    }
    spell
}

/// It has slept since `slept`, after it had time to ask for the GIL: on the GIL, or elsewhere.
fn asleep(slept: MonoNs, now: Now, tick: MonoNs) -> Option<Verdict> {
    match now {
        Now::Waits => Some(Verdict::Forced),
        Now::HandsOver | Now::Unseen => None,
        Now::Apart if tick.since(slept) < LOOKED_AT => None,
        // A wait may be over by then, and the thread woken and queued for a core.
        Now::Apart if tick.since(slept) > LATE_LOOK => Some(Verdict::Unclear),
        Now::Apart => Some(Verdict::Voluntary),
        Now::Holds => Some(Verdict::Unclear),
    }
}

/// It has run for `length` since, without sleeping. Whoever holds again wanted it back.
fn awake(length: Ns, now: Now) -> Option<Verdict> {
    match now {
        Now::Waits | Now::Holds => Some(Verdict::Forced),
        _ if length <= OWN_WORK => None,
        Now::Apart => Some(Verdict::Voluntary),
        Now::HandsOver | Now::Unseen => Some(Verdict::Unclear),
    }
}
