//! One thread's runs on a core, as the kernel recorded them, and what they say about the edges of its waits.
//!
//! A thread that asks for the GIL and does not get it goes to sleep within some microseconds; it wakes up to take it,
//! to find that another was faster, or because its time-out is over, after which it asks for the GIL to be dropped
//! and sleeps on. So a wait is a chain of sleeps. The runs between them are as short as those pieces of `take_gil`
//! are; a run in which the GIL was taken goes on through the eval loop at least.

mod lags;
mod named;
mod time_outs;

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Cpu, Departure, FutexSite, GilKey, ThreadKey};
use crate::model::runs::named::{Entered, Whole};
use crate::model::segments::{Entry, Off, Turn};
use crate::time::{MonoNs, Ns};

/// Runs that are remembered: those between two ticks, and the time-outs of a long wait before them.
const REMEMBERED: usize = 48;
/// The longest run that a time-out, or a lost race, explains: 2 to 12 us were seen, with the switches around it. A take
/// with even an empty hold takes 20 us and more, since whoever takes the GIL also wakes whoever dropped it.
pub const TIME_OUT_RUN: Ns = Ns(15_000);
/// The longest run that waking up and asking for the GIL explains: 7 to 20 us were seen.
const ASKING_RUN: Ns = Ns(25_000);
/// A run this long is work of the thread's own.
const LONG_RUN: Ns = Ns(200_000);
/// Who fell asleep so shortly before a tick may not have been asked at it on what.
pub const NOT_ASKED_YET: Ns = Ns(100_000);
/// A sleep this much shorter than the switch interval did not end by its time-out.
const EARLY: Ns = Ns(200_000);

/// The longest time on a core from birth to asking for the GIL for the first time: 15 to 35 us were seen.
pub const BIRTH: Ns = Ns(45_000);
/// From waking up to taking a GIL that is free: 10 to 30 us were seen.
pub const GETTING_TO_IT: Ns = Ns(60_000);

/// A thread that waits at a tick, and did not at the one before.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// The tick before.
    pub last: MonoNs,
    /// The tick.
    pub tick: MonoNs,
    /// Its time-outs come at this interval.
    pub interval: Ns,
    /// In a spell of up to this it did not take the GIL.
    pub shortest: Ns,
    /// If it is on a core at the tick.
    pub awake: Awake,
    /// When its life began.
    pub born: MonoNs,
}

/// What it means that somebody is on a core who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awake {
    /// It has just asked, and falls asleep.
    Asks,
    /// The GIL is free, and it has been woken to take it.
    WasWoken,
}

/// The runs of one thread.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// Since when its switches have been told; `None`: they are not.
    told: Option<MonoNs>,
    recent: VecDeque<Run>,
    /// Since when all of them are there.
    remembered: MonoNs,
    current: Current,
    /// Up to here it is known where it was.
    known: MonoNs,
    totals: Totals,
    /// Since when its sleeps on futexes of a GIL are named; `None`: they are not.
    named: Option<MonoNs>,
    /// What it is about to sleep on.
    entered: Option<Entered>,
}

/// What the records add up to since the thread came into view.
#[derive(Debug, Clone, Default)]
struct Totals {
    /// Time during which it is known whether it was on a core.
    known: Ns,
    on_core: Ns,
    /// By core, as far as that was told.
    cores: BTreeMap<Cpu, Ns>,
    /// Off a core that it wanted back.
    preempted: Ns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Current {
    #[default]
    Unknown,
    On(MonoNs, Option<Cpu>),
    Off,
}

/// A time on a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    from: MonoNs,
    to: MonoNs,
    how: Departure,
    /// `None`: it was on it already when its switches began to be told.
    cpu: Option<Cpu>,
    /// The sleep after it.
    slept: Slept,
    purpose: Purpose,
}

/// What a run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Untold,
    /// A time-out: the GIL was asked for, and not taken.
    TimeOut,
}

/// What a thread slept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slept {
    /// It was not told.
    Untold,
    /// One of a GIL's futexes.
    On(GilKey, FutexSite),
    /// Not a GIL's futex.
    Elsewhere,
    /// The mutex around a GIL that it had, on the way to letting go of it.
    BeforeTheDrop,
}

/// A run, or several between which the thread was kept off its core although it wanted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// When it woke up.
    pub from: MonoNs,
    /// When it went to sleep; `None`: it has not yet.
    pub to: Option<MonoNs>,
    /// Time on a core in it.
    pub on_core: Ns,
    /// What it went to sleep on.
    slept: Slept,
    purpose: Purpose,
}

/// A time asleep, from falling asleep to waking up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// When it fell asleep.
    pub from: MonoNs,
    /// When it woke up.
    pub until: MonoNs,
    /// Time on a core in the spell before it; none if that is known to be a time-out.
    pub before: Ns,
}

impl Run {
    /// Whether what it did went on in the run after it.
    fn goes_on(&self) -> bool {
        self.how == Departure::Preempted || self.slept == Slept::BeforeTheDrop
    }
}

impl Totals {
    fn ran(&mut self, cpu: Option<Cpu>, length: Ns) {
        self.on_core += length;
        if let Some(cpu) = cpu {
            *self.cores.entry(cpu).or_default() += length;
        }
    }
}

impl Sleep {
    /// Whether the spell before it was as short as asking for the GIL is, or so long that it held something else. In
    /// between, the GIL may have been taken and let go of before the sleep.
    pub fn may_follow_asking(&self) -> bool {
        self.follows_asking() || self.before >= LONG_RUN
    }

    /// Whether more was done in the spell before it than a time-out does.
    pub fn follows_a_take(&self) -> bool {
        self.before > TIME_OUT_RUN
    }

    /// Whether the spell before it was as short as asking for the GIL is.
    pub fn follows_asking(&self) -> bool {
        self.before <= ASKING_RUN
    }
}

impl Spell {
    /// A time from waking up to falling asleep, whatever came between.
    pub fn between(from: MonoNs, to: MonoNs) -> Spell {
        Spell { from, to: Some(to), on_core: to.since(from), slept: Slept::Untold, purpose: Purpose::Untold }
    }

    /// Both, with a sleep between them that does not count.
    pub fn and(self, later: Spell) -> Spell {
        Spell { from: self.from, on_core: self.on_core + later.on_core, ..later }
    }

    /// Whether more was done in it than a time-out does.
    pub fn is_a_take(&self) -> bool {
        self.is_longer_than(TIME_OUT_RUN)
    }

    /// Whether more was done in it than in `shortest`, unless it is known to be a time-out.
    pub fn is_longer_than(&self, shortest: Ns) -> bool {
        self.purpose == Purpose::Untold && self.on_core > shortest
    }

    fn asking(&self) -> Ns {
        match self.purpose {
            Purpose::Untold => self.on_core,
            Purpose::TimeOut => Ns::ZERO,
        }
    }
}

impl Runs {
    /// From here on its switches are told.
    pub fn begin(&mut self, at: MonoNs) {
        if self.told.is_none() {
            self.forget();
            self.told = Some(at);
            (self.known, self.remembered) = (at, at);
        }
    }

    /// Its switches are no longer told.
    pub fn end(&mut self) {
        self.forget();
        self.told = None;
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.current = Current::Unknown;
        self.entered = None;
    }

    /// A record from before `at` is missing.
    fn distrust(&mut self, at: MonoNs) {
        self.recent.clear();
        self.remembered = at;
    }

    /// Since when its switches have been told; `None`: they are not.
    pub fn told_since(&self) -> Option<MonoNs> {
        self.told
    }

    /// It got a core. The core that it was on before, if that is another one.
    pub fn switched_in(&mut self, at: MonoNs, cpu: Cpu) -> Option<Cpu> {
        self.told?;
        let moved = self.recent.back().filter(|_| self.current == Current::Off).and_then(|run| run.cpu);
        match self.current {
            // It never left: a record is missing.
            Current::On(..) => self.distrust(at),
            Current::Off | Current::Unknown => {
                self.totals.known += at.since(self.known);
                if let Some(run) = self.recent.back().filter(|run| run.how == Departure::Preempted) {
                    self.totals.preempted += at.since(run.to);
                }
            }
        }
        self.known = at;
        self.current = Current::On(at, Some(cpu));
        moved.filter(|from| *from != cpu)
    }

    /// It left its core; the time that it was on it, if that is known.
    pub(in crate::model) fn switched_out(&mut self, at: MonoNs, how: Departure) -> Option<Turn> {
        let since = self.told?;
        let (from, cpu) = match self.current {
            Current::On(from, cpu) => (from, cpu),
            // It was on a core when its switches began to be told.
            Current::Unknown => (since, None),
            Current::Off => {
                self.distrust(at);
                self.known = at;
                (at, None)
            }
        };
        let slept = match how {
            Departure::Asleep => self.falls_asleep(from, at, if cpu.is_some() { Whole::Yes } else { Whole::No }),
            Departure::Preempted => {
                self.put_off(from, at);
                Slept::Untold
            }
        };
        let turn = Turn { before: self.off_until(from), from, to: at, cpu };
        self.totals.known += at.since(self.known);
        self.known = at;
        self.totals.ran(cpu, at.since(from));
        if self.recent.len() >= REMEMBERED
            && let Some(forgotten) = self.recent.pop_front()
        {
            self.remembered = forgotten.to;
        }
        self.recent.push_back(Run { from, to: at, how, cpu, slept, purpose: Purpose::Untold });
        self.current = Current::Off;
        (from < at).then_some(turn)
    }

    /// Since when it was off a core before it got one at `at`, and why.
    fn off_until(&self, at: MonoNs) -> Option<Off> {
        let last = self.recent.back().filter(|run| run.to <= at)?;
        Some(Off { since: last.to, how: last.how })
    }

    /// Where it is at `now`, and since when.
    pub(in crate::model) fn going_on(&self, thread: ThreadKey, now: MonoNs) -> Option<Entry> {
        match self.current {
            Current::Unknown => None,
            Current::On(from, cpu) => {
                Some(Entry::Ran { thread, turn: Turn { before: self.off_until(from), from, to: now, cpu } })
            }
            Current::Off => Some(Entry::Left { thread, off: self.off_until(now)?, until: now }),
        }
    }

    /// Its spells that reach into the time between two instants, the oldest first, as of the later; `None`: not all are
    /// known.
    pub fn between(&self, from: MonoNs, to: MonoNs) -> Option<Vec<Spell>> {
        if !self.remembers(from) || self.current == Current::Unknown {
            return None;
        }
        let within = self.spells(to).take_while(|spell| spell.to.is_none_or(|ended| ended > from));
        let mut spells: Vec<Spell> = within.filter(|spell| spell.from < to).collect();
        spells.reverse();
        Some(spells)
    }

    /// Time until `now` of which is known whether it was on a core.
    pub fn known(&self, now: MonoNs) -> Ns {
        match (self.told, self.current) {
            (Some(_), Current::On(..) | Current::Off) => self.totals.known + now.since(self.known),
            _ => self.totals.known,
        }
    }

    /// Time on a core until `now`, as far as it is known.
    pub fn total(&self, now: MonoNs) -> Ns {
        self.totals.on_core + self.current_run(now).map_or(Ns::ZERO, |(_, length)| length)
    }

    /// The same by core, as far as that was told.
    pub fn cores(&self, now: MonoNs) -> BTreeMap<Cpu, Ns> {
        let mut cores = self.totals.cores.clone();
        if let Some((Some(cpu), length)) = self.current_run(now) {
            *cores.entry(cpu).or_default() += length;
        }
        cores
    }

    fn current_run(&self, now: MonoNs) -> Option<(Option<Cpu>, Ns)> {
        match self.current {
            Current::On(from, cpu) => Some((cpu, now.since(from))),
            Current::Off | Current::Unknown => None,
        }
    }

    /// The core that it got last, by `at`; `None`: not told.
    pub fn core_at(&self, at: MonoNs) -> Option<Cpu> {
        match self.current {
            Current::On(from, cpu) if from <= at => cpu,
            _ => self.recent.iter().rev().find(|run| run.from <= at)?.cpu,
        }
    }

    /// Time between two instants in which it was off a core and wanted it back, as far as that is remembered.
    pub fn preempted(&self, from: MonoNs, to: MonoNs) -> Ns {
        let next = match self.current {
            Current::On(from, _) => from,
            Current::Off | Current::Unknown => to,
        };
        let newer = self.recent.iter().skip(1).map(|run| run.from).chain([next]);
        let spans = self.recent.iter().zip(newer).filter(|(run, _)| run.how == Departure::Preempted);
        spans.map(|(run, back)| back.min(to).since(run.to.max(from))).sum()
    }

    /// Time on a core between two instants, as far as that is remembered.
    pub fn ran(&self, from: MonoNs, to: MonoNs) -> Ns {
        let current = match self.current {
            Current::On(since, _) => to.since(since.max(from)),
            Current::Off | Current::Unknown => Ns::ZERO,
        };
        self.recent.iter().map(|run| run.to.min(to).since(run.from.max(from))).sum::<Ns>() + current
    }

    /// From the spell on after which it slept at `at`, or else that it was in: the oldest first, as of `now`.
    pub fn around(&self, at: MonoNs, now: MonoNs) -> Vec<Spell> {
        let mut spells = Vec::new();
        for spell in self.spells(now) {
            let ended_before = spell.to.is_some_and(|to| to <= at);
            if ended_before && spells.last().is_some_and(|newer: &Spell| newer.from <= at) {
                break;
            }
            spells.push(spell);
            if ended_before {
                break;
            }
        }
        spells.reverse();
        spells
    }

    /// Whether it slept through to a time-out of `interval` between two instants.
    pub fn slept_through(&self, from: MonoNs, until: MonoNs, interval: Ns) -> bool {
        let mut sleeps = self.sleeps(from, until);
        sleeps.any(|(sleep, _)| sleep.from >= from && sleep.until <= until && sleep.until.since(sleep.from) >= interval)
    }

    /// The spells that are remembered, the newest first, as of `now`.
    fn spells(&self, now: MonoNs) -> impl Iterator<Item = Spell> + '_ {
        let mut open = match self.current {
            Current::On(from, _) => {
                Some(Spell { from, to: None, on_core: now.since(from), slept: Slept::Untold, purpose: Purpose::Untold })
            }
            Current::Off | Current::Unknown => None,
        };
        let mut runs = self.recent.iter().rev();
        std::iter::from_fn(move || {
            loop {
                let Some(run) = runs.next() else { return open.take() };
                let length = run.to.since(run.from);
                match &mut open {
                    // It wanted its core back, or had yet to let go: the same spell.
                    Some(spell) if run.goes_on() => {
                        (spell.from, spell.on_core) = (run.from, spell.on_core + length);
                    }
                    _ => {
                        let to = (!run.goes_on()).then_some(run.to);
                        let (slept, purpose) = (run.slept, run.purpose);
                        if let Some(done) = open.replace(Spell { from: run.from, to, on_core: length, slept, purpose })
                        {
                            return Some(done);
                        }
                    }
                }
            }
        })
    }

    /// Since when it has slept; `None`: it has not, or has done more since `last` than a time-out does.
    pub fn asleep_since(&self, last: MonoNs) -> Option<MonoNs> {
        let newest = self.recent.back().filter(|run| run.how == Departure::Asleep)?;
        let mut since = self.spells(newest.to).take_while(|spell| spell.to.is_none_or(|to| to > last));
        (self.current == Current::Off && since.all(|spell| !spell.is_a_take())).then_some(newest.to)
    }

    /// Whether a record has told since the last hole if it has a core.
    pub fn is_placed(&self) -> bool {
        self.current != Current::Unknown
    }

    /// Whether its switches have been told from `since` on.
    pub fn covers(&self, since: MonoNs) -> bool {
        self.told.is_some_and(|told| told <= since)
    }

    /// Whether its switches have been told from its birth on, and are all there.
    pub fn are_told_from(&self, birth: MonoNs) -> bool {
        self.told == Some(birth) && self.remembers(birth)
    }

    /// When the wait began that the thread is in. `None`: where it was since the tick before is not known.
    pub fn wait_began(&self, waits: Waits) -> Option<MonoNs> {
        let mut spells = self.spells(waits.tick).peekable();
        match (self.current, waits.awake) {
            (Current::Unknown, _) => return None,
            (Current::Off, _) => {}
            // It was woken, and has had no time to take it.
            (Current::On(..), Awake::WasWoken) if spells.peek()?.on_core <= GETTING_TO_IT => {
                spells.next();
            }
            // It went to sleep between the tick and the look at where it sleeps.
            (Current::On(..), Awake::WasWoken | Awake::Asks) => return Some(waits.tick),
        }
        let mut newer = spells.next()?;
        let mut began = newer.to.filter(|to| *to <= waits.tick)?;
        if began + NOT_ASKED_YET < waits.last {
            // At the tick before it slept on something else: since then it has moved, after the tick.
            return Some(waits.tick);
        }
        while let Some(spell) = spells.next() {
            let Some(slept) = spell.to else { break };
            let timed_out = is_a_time_out(newer.from.since(slept), waits.interval);
            // Whoever sleeps twice with no time to take it before either was woken too late in between.
            let is_first = spells.peek().is_none();
            let is_whole = !is_first || spell.from > self.remembered;
            let is_birth = is_first && self.are_told_from(waits.born);
            let only_asked = if is_birth { BIRTH.max(waits.shortest) } else { waits.shortest };
            let too_late = is_whole && !spell.is_longer_than(only_asked);
            if newer.is_longer_than(waits.shortest) || !(timed_out || too_late) || slept < waits.last {
                return Some(began);
            }
            (began, newer) = (slept, spell);
        }
        // What came before was not told, and may have been part of the wait.
        (self.covers(waits.last) || newer.is_longer_than(waits.shortest)).then_some(began)
    }

    /// When the wait ended that began at `began` and went on at `last`, for a thread that no longer waits at `tick`:
    /// when it woke up to take the GIL, which was not let go of before `released`.
    pub fn wait_ended(&self, began: MonoNs, last: MonoNs, released: MonoNs, tick: MonoNs) -> Option<MonoNs> {
        if !self.covers(last) {
            return None;
        }
        let mut woke: Option<Spell> = None;
        for spell in self.spells(tick) {
            if spell.from <= began || spell.to.is_some_and(|to| to < last) {
                break;
            }
            if woke.is_none_or(|newer| spell.is_a_take() && (spell.from >= released || newer.from < released)) {
                woke = Some(spell);
            }
        }
        woke.map(|spell| spell.from)
    }

    /// Its sleeps that began and ended between two instants, the newest first, each with the spell that it ended in.
    pub fn sleeps(&self, after: MonoNs, until: MonoNs) -> impl Iterator<Item = (Sleep, Spell)> + '_ {
        self.wakings(after, until).take_while(move |(sleep, _)| sleep.from > after)
    }

    /// Its sleeps that ended between two instants, whenever they began, the newest first, each with the spell that it ended
    /// in.
    pub fn wakings(&self, after: MonoNs, until: MonoNs) -> impl Iterator<Item = (Sleep, Spell)> + '_ {
        let mut newer: Option<Spell> = None;
        let sleeps = self.spells(until).filter_map(move |spell| {
            let newer = newer.replace(spell)?;
            spell.to.map(|from| (Sleep { from, until: newer.from, before: spell.asking() }, newer))
        });
        sleeps.take_while(move |(sleep, _)| sleep.until > after)
    }

    /// When it left its core between two instants, and how: the oldest first.
    pub fn departures(&self, after: MonoNs, until: MonoNs) -> impl Iterator<Item = (MonoNs, Departure)> + '_ {
        let within = self.recent.iter().filter(move |run| run.to > after && run.to <= until);
        within.filter(|run| run.slept != Slept::BeforeTheDrop).map(|run| (run.to, run.how))
    }

    /// The begin of its first run that began after an instant and has lasted longer than `least` by `now`.
    pub fn first_lasting(&self, after: MonoNs, least: Ns, now: MonoNs) -> Option<MonoNs> {
        let recent = self.recent.iter().map(|run| (run.from, run.to));
        let open = match self.current {
            Current::On(since, _) => Some((since, now)),
            Current::Off | Current::Unknown => None,
        };
        recent.chain(open).find(|(from, to)| *from > after && to.since(*from) > least).map(|(from, _)| from)
    }

    /// Its first spell that ended between two instants, by falling asleep.
    pub fn first_to_end(&self, after: MonoNs, until: MonoNs) -> Option<Spell> {
        if !self.covers(after) {
            return None;
        }
        self.spells(until)
            .take_while(|spell| spell.to.is_none_or(|to| to > after))
            .filter(|spell| spell.to.is_some())
            .last()
    }

    /// Whether it woke up between two instants; `None`: its switches were not told, or are forgotten.
    pub fn woke_between(&self, after: MonoNs, until: MonoNs) -> Option<bool> {
        self.remembers(after).then(|| self.spells(until).any(|spell| spell.from > after && spell.from <= until))
    }

    /// Whether all its runs since an instant are known.
    fn remembers(&self, since: MonoNs) -> bool {
        self.told.is_some() && self.remembered <= since
    }

    /// Time on a core between two instants; `None`: its switches were not told, or are forgotten.
    pub fn on_core(&self, from: MonoNs, to: MonoNs) -> Option<Ns> {
        if !self.remembers(from) || self.current == Current::Unknown {
            return None;
        }
        let part = |run_from: MonoNs, run_to: MonoNs| run_to.min(to).since(run_from.max(from));
        let open = match self.current {
            Current::On(since, _) => part(since, to),
            Current::Off | Current::Unknown => Ns::ZERO,
        };
        Some(self.recent.iter().map(|run| part(run.from, run.to)).sum::<Ns>() + open)
    }

    /// The longest spell between two ticks at both of which the thread waits, if the GIL can have been taken in it.
    pub fn take_between(&self, last: MonoNs, tick: MonoNs) -> Option<Spell> {
        let within = self.spells(tick).take_while(|spell| spell.from > last);
        within.filter(|spell| spell.to.is_some() && spell.is_a_take()).max_by_key(|spell| spell.on_core)
    }
}

/// Whether a sleep of this length on the GIL ended by its time-out.
fn is_a_time_out(length: Ns, interval: Ns) -> bool {
    length + EARLY >= interval && length <= interval + Ns(interval.0 / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const INTERVAL: Ns = Ns(5_000_000);

    /// Runs from (wakes, sleeps) in microseconds; a negative end means that it was preempted there.
    pub(super) fn runs(of: &[(u64, i64)]) -> Runs {
        let mut runs = Runs::default();
        runs.begin(MonoNs(0));
        for (from, to) in of {
            runs.switched_in(MonoNs(from * 1_000), Cpu(0));
            match to {
                0 => {}
                to => {
                    let how = if *to < 0 { Departure::Preempted } else { Departure::Asleep };
                    runs.switched_out(MonoNs(to.unsigned_abs() * 1_000), how);
                }
            }
        }
        runs
    }

    fn waits(last: u64, tick: u64) -> Waits {
        let (last, tick) = (us(last), us(tick));
        Waits { last, tick, interval: INTERVAL, shortest: TIME_OUT_RUN, awake: Awake::Asks, born: MonoNs(u64::MAX) }
    }

    pub(super) fn us(at: u64) -> MonoNs {
        MonoNs(at * 1_000)
    }

    #[test]
    fn a_wait_begins_with_the_sleep_that_a_tick_falls_into() {
        // Asleep for something else until 9,000, then asks and sleeps at 9,012.
        let runs = runs(&[(100, 200), (9_000, 9_012)]);
        assert_eq!(runs.wait_began(waits(8_500, 9_500)), Some(us(9_012)));
    }

    #[test]
    fn time_outs_are_part_of_the_wait_and_sleeps_that_ended_early_are_not() {
        let timed_out = runs(&[(0, 1_000), (6_060, 6_066), (11_120, 11_125)]);
        assert_eq!(timed_out.wait_began(waits(0, 12_000)), Some(us(1_000)));
        let other = timed_out.wait_began(waits(6_000, 12_000));
        assert_eq!(other, Some(us(6_066)), "it did not wait at 6,000");
        let forced = runs(&[(0, 9_000), (9_041, 9_046)]);
        assert_eq!(forced.wait_began(waits(0, 9_500)), Some(us(9_046)), "41 us in switch_cond are no wait");
        let took = runs(&[(0, 1_000), (6_060, 6_160)]);
        assert_eq!(took.wait_began(waits(0, 7_000)), Some(us(6_160)), "100 us are more than a time-out");
        let awake = runs(&[(0, 1_000), (1_100, 0)]);
        assert_eq!(awake.wait_began(waits(0, 1_200)), Some(us(1_200)), "about to sleep");
        let woken = Waits { awake: Awake::WasWoken, ..waits(0, 1_150) };
        assert_eq!(awake.wait_began(woken), Some(us(1_000)), "the GIL is free: it has been woken for it");
        assert_eq!(awake.wait_began(Waits { tick: us(1_200), ..woken }), Some(us(1_200)), "there was time to take it");
    }

    #[test]
    fn the_first_thing_that_a_newborn_does_is_to_ask() {
        // Born at 0; asks after 25 us on a core, and is woken too late once.
        let newborn = runs(&[(10, 35), (300, 306)]);
        assert_eq!(newborn.wait_began(Waits { born: us(0), ..waits(0, 500) }), Some(us(35)));
        assert_eq!(newborn.wait_began(waits(0, 500)), Some(us(306)), "of another, the first 25 us may be a take");
        let works = runs(&[(10, 70), (300, 306)]);
        assert_eq!(works.wait_began(Waits { born: us(0), ..waits(0, 500) }), Some(us(306)), "60 us may be one, too");
    }

    #[test]
    fn a_wait_ends_when_the_taker_woke_up() {
        // A time-out at 369, then woken at 400 and running on.
        let taker = runs(&[(0, 300), (369, 380), (400, 0)]);
        assert_eq!(taker.wait_ended(us(300), us(350), us(0), us(1_000)), Some(us(400)));
        // Put off its core twice on the way: it woke up at 557.
        let pushed = runs(&[(0, 337), (557, -562), (569, -573), (579, 610)]);
        assert_eq!(pushed.wait_ended(us(337), us(501), us(0), us(1_309)), Some(us(557)));
        // Its time-out took long, for the mutex was held: the GIL was let go of at 238.
        let slow = runs(&[(0, 9), (100, 154), (268, 0)]);
        assert_eq!(slow.wait_ended(us(9), us(50), us(238), us(1_000)), Some(us(268)));
        // It was just awake when the last tick came.
        let awake = runs(&[(0, 300), (995, 0)]);
        assert_eq!(awake.wait_ended(us(300), us(1_000), us(0), us(2_000)), Some(us(995)));
        assert_eq!(runs(&[(0, 300)]).wait_ended(us(300), us(400), us(0), us(500)), None);
    }

    #[test]
    fn a_take_between_two_ticks_is_longer_than_a_time_out() {
        let between = runs(&[(0, 100), (5_100, 5_106), (5_300, 5_340), (5_400, 5_405)]);
        let take = between.take_between(us(5_000), us(6_000)).unwrap();
        assert_eq!((take.from, take.to), (us(5_300), Some(us(5_340))));
        assert_eq!(between.take_between(us(5_350), us(6_000)), None);
    }

    #[test]
    fn sleeps_between_two_ticks() {
        let runs = runs(&[(0, 100), (300, 340), (400, 405), (900, 0)]);
        let sleeps: Vec<_> = runs.sleeps(us(200), us(1_000)).map(|(sleep, _)| sleep).collect();
        let sleep = |from, until, before: u64| Sleep { from: us(from), until: us(until), before: Ns(before * 1_000) };
        assert_eq!(sleeps, [sleep(405, 900, 5), sleep(340, 400, 40)]);
        let asked: Vec<bool> = sleeps.iter().map(Sleep::may_follow_asking).collect();
        assert_eq!(asked, [true, false]);
    }

    #[test]
    fn time_on_a_core_is_the_sum_of_the_parts_of_runs() {
        let runs = runs(&[(0, 100), (300, 340), (400, -405), (900, 0)]);
        assert_eq!(runs.on_core(us(50), us(320)), Some(Ns(70_000)));
        assert_eq!(runs.on_core(us(320), us(1_000)), Some(Ns(20_000 + 5_000 + 100_000)));
        assert_eq!(Runs::default().on_core(us(0), us(1)), None);
    }

    #[test]
    fn a_missing_record_is_noticed() {
        let mut runs = runs(&[(0, 100), (200, 300)]);
        runs.switched_out(us(400), Departure::Asleep);
        assert_eq!(runs.wait_began(waits(0, 500)), Some(us(400)));
        assert_eq!(runs.recent.len(), 1, "what came before is not trusted");
        runs.end();
        assert_eq!((runs.wait_began(waits(0, 500)), runs.told_since()), (None, None));
    }
}
