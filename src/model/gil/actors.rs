//! The threads that a story of the GIL between two ticks is about: what each may have done in its sleeps and spells.

use super::brief::{RELEASE_AFTER_WAKING, RELEASE_BEFORE_WAKING};
use super::settled::Settled;
use super::tick::{Gathered, Step};
use super::{GilAccount, Threads};
use crate::event::ThreadKey;
use crate::model::runs::{BIRTH, GETTING_TO_IT, NOT_ASKED_YET, Sleep, Spell};
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// From the look at a thread to the instant of its tick.
const LOOK_AT_MOST: Ns = Ns(100_000);

/// Who is woken may sleep again on the mutex around the GIL, until whoever has it lets go: for 5 to 20 us, as was seen.
const ON_A_MUTEX: Ns = Ns(100_000);

/// Who runs for no longer has not taken it: a time-out, or a race that was lost. The longer, where the threads of a slow
/// machine come between each other.
pub(super) const SHORTEST_TAKES: [Ns; 9] =
    [Ns(15_000), Ns(18_000), Ns(21_000), Ns(25_000), Ns(29_000), Ns(34_000), Ns(45_000), Ns(60_000), Ns(80_000)];

/// Who was woken just before a tick may have no core for so long.
const WOKEN_AT_THE_TICK: Ns = Ns(300_000);

/// A thread that may have had to do with the GIL between two ticks.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) key: ThreadKey,
    pub(super) ilk: Ilk,
    /// Its sleeps that ended there, the oldest first, each with the spell that it ended in.
    pub(super) sleeps: Vec<(Sleep, Spell)>,
    pub(super) first: First,
    pub(super) lately: Lately,
    /// It waited at the tick before, and has not taken the GIL since.
    pub(super) waits: bool,
    /// It has not asked before: it let go of the GIL then, or the GIL was not held.
    pub(super) not_before: MonoNs,
    /// It was woken before, but another was faster: since when it waits.
    pub(super) pending: Option<MonoNs>,
    pub(super) settled: Settled,
    pub(super) state: State,
}

/// Whether a thread keeps its thread state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    /// It may have another at each take.
    Anew,
}

/// Whether a thread takes the GIL at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ilk {
    /// It has held it or waited for it before, or is too young to tell.
    Taker,
    /// It was never seen to.
    Stranger,
}

/// Whether it took the GIL between the tick before the last and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lately {
    /// It did, or may have.
    MayHaveTaken,
    /// Others did, by CPython's own count, or nobody.
    DidNotTake,
}

/// What the first of its sleeps is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// A sleep.
    Sleep,
    /// The time before its life: it did not wait in it.
    Birth,
}

/// A story as far as it is told.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    pub(super) step: &'a Step,
    /// The longest that anybody runs without taking the GIL.
    pub(super) shortest: Ns,
    /// After so long a waiter asks for it.
    pub(super) interval: Ns,
    pub(super) retakes: Retakes,
    /// So many wait at the tick, if the GIL is free there, that are not seen to: they have been woken.
    pub(super) waits_unseen: u32,
    /// Who had it last before.
    pub(super) owner: Option<ThreadKey>,
    /// When it was taken so far, and by whom.
    pub(super) past: Vec<(MonoNs, ThreadKey)>,
}

/// Whether CPython counts it when a thread with another state takes the GIL that it had last: unless that lies where the old
/// one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retakes {
    Counted,
    NotCounted,
}

/// Who was faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Took {
    Own,
    Other,
}

/// Who may take the GIL next, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker {
    pub(super) actor: usize,
    pub(super) at: MonoNs,
    /// Since when it had waited; `None`: it found it free.
    pub(super) waited: Option<MonoNs>,
}

impl Telling<'_> {
    /// Whether CPython counts it if `actor` takes what `owner` had last.
    pub(super) fn is_counted(&self, actor: &Actor, owner: Option<ThreadKey>) -> bool {
        owner != Some(actor.key) || (actor.state, self.retakes) == (State::Anew, Retakes::Counted)
    }

    /// Whether it has waited long enough to ask for the GIL.
    pub(super) fn is_forced_by(&self, taker: Taker) -> bool {
        taker.waited.is_some_and(|since| self.has_asked(since, taker.at))
    }

    fn has_asked(&self, since: MonoNs, at: MonoNs) -> bool {
        at.since(since) >= self.interval
    }

    pub(super) fn is_a_take(&self, spell: &Spell) -> bool {
        spell.to.is_none() || spell.is_longer_than(self.shortest)
    }
}

impl Lately {
    fn only_asked(self, sleep: &Sleep) -> bool {
        self == Lately::DidNotTake && SHORTEST_TAKES.last().is_some_and(|longest| sleep.before <= *longest)
    }
}

impl First {
    /// Whether its life began with no more, before the sleep at `index`, than asking for the GIL takes.
    fn asked_before(self, index: usize, sleep: &Sleep) -> bool {
        (index, self) == (1, First::Birth) && sleep.before <= BIRTH
    }
}

impl Actor {
    /// Out of which sleep it was woken when the GIL was let go of at `released`, as (since when it had waited, when it
    /// woke up, who took it). On the way it may have slept again for some microseconds, on the mutex around the GIL.
    pub(super) fn woken_by(&self, story: &Telling<'_>, released: MonoNs) -> Option<(MonoNs, MonoNs, Took)> {
        let earliest = released - RELEASE_AFTER_WAKING;
        let (index, (first, _)) = self.sleeps.iter().enumerate().find(|(index, (sleep, _))| {
            sleep.until >= earliest && sleep.from < released && self.may_wait_in(*index, story)
        })?;
        if first.until > released + RELEASE_BEFORE_WAKING {
            return None;
        }
        let since = self.pending.unwrap_or_else(|| self.asked(index, story));
        let at_once = self.sleeps.get(index..).unwrap_or_default();
        let mut at_once = at_once.iter().take_while(|(sleep, _)| sleep.until.since(first.until) <= ON_A_MUTEX);
        // Whoever has to let go of it sleeps next in `switch_cond`, or on the GIL that was taken meanwhile. It does neither where a
        // taker is done with it by then: that one has only asked.
        let is_done =
            |woke: MonoNs, spell: &Spell| story.has_asked(since, woke) && spell.to.is_some_and(|to| to <= released);
        let took = |(sleep, spell): &&(Sleep, Spell)| story.is_a_take(spell) && !is_done(sleep.until, spell);
        Some(match at_once.find(took) {
            Some((last, _)) => (since, last.until, Took::Own),
            None => (since, first.until, Took::Other),
        })
    }

    /// Its first take of a GIL that has been free since `released`: (since when it had waited, when it woke up).
    pub(super) fn finds_free(&self, story: &Telling<'_>, released: MonoNs) -> Option<(Option<MonoNs>, MonoNs)> {
        let earliest = released - RELEASE_BEFORE_WAKING;
        let is_next = |(index, (sleep, spell)): (usize, &(Sleep, Spell))| {
            let asks = (index, self.first) == (0, First::Birth) && !spell.is_longer_than(BIRTH) && spell.to.is_some();
            let goes_on = spell.to.is_none_or(|to| to > released);
            sleep.until >= earliest && goes_on && story.is_a_take(spell) && !asks
        };
        let index = self.sleeps.iter().enumerate().position(is_next)?;
        let (sleep, _) = &self.sleeps[index];
        // It was woken for the GIL, and queued for a core. Its life begins with some microseconds before it can ask.
        let asked = match (index, self.first) {
            (1, First::Birth) => self.first.asked_before(index, sleep),
            _ => !sleep.follows_a_take() || self.only_asked_before(sleep, story.step),
        };
        let since = self.asked(index, story);
        let waited = self.waits || (since < released && asked && self.may_wait_in(index, story));
        Some((waited.then(|| self.pending.unwrap_or(since)), sleep.until))
    }

    /// Whether there was time, by a tick, to take a GIL that was free when it woke up at an instant: if it still wants its
    /// core, on that.
    pub(super) fn got_to_it(&self, woke: MonoNs, tick: MonoNs) -> bool {
        let spell = self.sleeps.iter().find(|(sleep, _)| sleep.until == woke).map(|(_, spell)| spell);
        let had = spell.filter(|spell| spell.to.is_none()).map_or(tick.since(woke), |spell| spell.on_core);
        had >= GETTING_TO_IT
    }

    /// When it asked, that slept on the GIL in the sleep at `index`: whoever sleeps twice with no time to take it before
    /// either was woken too late in between.
    fn asked(&self, index: usize, story: &Telling<'_>) -> MonoNs {
        let slept_on_it = |pair: &[(Sleep, Spell)]| {
            let [(earlier, _), (later, _)] = pair else { return false };
            let too_late = later.before <= story.shortest || self.only_asked_before(later, story.step);
            earlier.from > self.not_before && earlier.follows_asking() && too_late
        };
        let sleeps = self.sleeps.get(..=index).unwrap_or_default();
        let again = sleeps.windows(2).rev().take_while(|pair| slept_on_it(pair)).count();
        self.sleeps[index - again].0.from
    }

    /// Whether the spell before a sleep is known to be none in which it took the GIL, though it was long for that.
    fn only_asked_before(&self, sleep: &Sleep, step: &Step) -> bool {
        sleep.from <= step.last.at && self.lately.only_asked(sleep)
    }

    /// Whether it may have slept on the GIL in the sleep at `index`. Whoever went to sleep under the same holder as it had
    /// woken up under has not taken it meanwhile.
    fn may_wait_in(&self, index: usize, story: &Telling<'_>) -> bool {
        if (index, self.first) == (0, First::Birth) {
            return false;
        }
        let sleep = &self.sleeps[index].0;
        let asked = || {
            sleep.may_follow_asking()
                || self.first.asked_before(index, sleep)
                || self.cannot_have_taken_before(index, story)
        };
        self.waits || (sleep.from > self.not_before && asked())
    }

    /// Whether it is known not to have taken the GIL in the spell before the sleep at `index`: nor did it before the last tick,
    /// and what it does in this story would be counted, for others had it last.
    fn cannot_have_taken_before(&self, index: usize, story: &Telling<'_>) -> bool {
        let asleep = self.sleeps[index].0.from;
        let woke = index.checked_sub(1).and_then(|before| self.sleeps.get(before)).map(|(before, _)| before.until);
        let since = match (woke, self.lately) {
            (_, Lately::DidNotTake) => woke.or(Some(MonoNs(0))),
            (Some(woke), Lately::MayHaveTaken) => Some(woke).filter(|woke| *woke >= story.step.last.at),
            (None, Lately::MayHaveTaken) => None,
        };
        since.is_some_and(|woke| {
            let owner = story.past.iter().rev().find(|(taken, _)| *taken < woke).map(|(_, by)| *by).or(story.owner);
            let took = story.past.iter().any(|(taken, by)| (woke..asleep).contains(taken) && *by == self.key);
            owner.is_some_and(|owner| owner != self.key) && !took
        })
    }
}

impl GilAccount {
    /// The threads that may have had to do with it in a step, as of its tick.
    pub(super) fn actors(&self, gathered: &Gathered<'_>) -> Vec<Actor> {
        let Gathered { step, touched, seen, threads, mine } = *gathered;
        let mut keys: Vec<ThreadKey> = seen.woken.iter().chain(touched).copied().collect();
        // Where it was free, whoever had just been woken may have taken it right after.
        keys.extend(self.woken.iter().filter(|key| is_on_its_way(key, step.last.at, threads)));
        keys.sort_unstable();
        keys.dedup();
        // Somebody waited at the tick before who is not known to.
        let uncounted = step.last.sample.waiters.is_some_and(|waiters| waiters > self.waiting);
        let actor = |key: ThreadKey| {
            // A native thread may have had no thread state at any look.
            let may_call_in = |thread: &ThreadAccount| {
                thread.interpreters.is_empty() && thread.info.process == self.process && thread.end.is_none()
            };
            let thread = threads.get(&key).filter(|thread| mine(thread) || may_call_in(thread))?;
            let mut sleeps: Vec<_> = thread.runs.wakings(self.before_last, step.tick.at).collect();
            sleeps.reverse();
            let stood = thread.standing(self.key).map(|stand| stand.standing);
            let waits = stood == Some(Standing::Waiting);
            if waits {
                // At the tick it was in a sleep on it, which may go on: those before were others.
                let within = sleeps.iter().rposition(|(sleep, _)| sleep.from <= step.last.at);
                let is_over = |(sleep, _): &(Sleep, Spell)| sleep.until + LOOK_AT_MOST < step.last.at;
                let others = within.map_or(0, |within| within + usize::from(is_over(&sleeps[within])));
                sleeps.drain(..others);
            }
            // Whoever waits has slept since its birth.
            let birth = birth(thread, self.before_last, step.tick.at).filter(|_| !waits);
            let (is_born, first) = match birth {
                Some(birth) => {
                    sleeps.retain(|(sleep, _)| sleep.from > birth.1.from);
                    sleeps.insert(0, birth);
                    (true, First::Birth)
                }
                None => (thread.start > self.before_last, First::Sleep),
            };
            let had_it = self.dropper() == Some(key);
            let took = self.takers.as_ref().map(|takers| had_it || takers.contains(&key));
            let lately = match took {
                Some(false) => Lately::DidNotTake,
                Some(true) | None => Lately::MayHaveTaken,
            };
            // Whoever slept on it before was asked at the tick, but for those who had just fallen asleep, and those who were
            // woken just then and had no core yet, or were on their way: of those CPython's own count may tell.
            let newest = sleeps.iter().rposition(|(sleep, _)| sleep.from <= step.last.at);
            let queued = newest.is_some_and(|index| {
                let (sleep, spell) = &sleeps[index];
                let runs = spell.to.is_none_or(|to| to > step.last.at);
                let woken = step.last.at - GETTING_TO_IT..=step.last.at + WOKEN_AT_THE_TICK;
                let may_be_it = uncounted || woken.contains(&sleep.until);
                let asked = !sleep.follows_a_take() || lately.only_asked(sleep) || first.asked_before(index, sleep);
                asked && sleep.from > self.before_last && runs && may_be_it
            });
            // Whoever had it last has let go of it, and sleeps on something else.
            let not_before = match (had_it || stood == Some(Standing::HandingOver), queued) {
                (true, _) => step.last.at,
                (false, true) => self.before_last - NOT_ASKED_YET,
                (false, false) => step.last.at - NOT_ASKED_YET,
            };
            let ilk = match stood.is_some()
                || is_born
                || had_it
                || took == Some(true)
                || step.tick.holder() == Some(key)
                || thread.weight() != (Ns::ZERO, Ns::ZERO)
            {
                true => Ilk::Taker,
                false => Ilk::Stranger,
            };
            let state = match self.callers.may_be(key, thread, step.tick.at) {
                true => State::Anew,
                false => State::Kept,
            };
            Some(Actor {
                key,
                ilk,
                sleeps,
                first,
                lately,
                waits,
                not_before,
                pending: None,
                settled: Settled::default(),
                state,
            })
        };
        keys.into_iter().filter_map(actor).collect()
    }
}

/// The time before the life of a thread whose first spell went on after `before_last`, and that spell, as of `tick`.
fn birth(thread: &ThreadAccount, before_last: MonoNs, tick: MonoNs) -> Option<(Sleep, Spell)> {
    let runs = Some(&thread.runs).filter(|runs| runs.are_told_from(thread.start))?;
    let first = runs.between(thread.start, tick)?.first().copied()?;
    let unborn = Sleep { from: thread.start, until: first.from, before: Ns(u64::MAX) };
    first.to.is_none_or(|to| to > before_last).then_some((unborn, first))
}

/// Whether it woke up before `tick`, was still awake, and had been on a core for so short a time that it may not have taken a
/// free GIL yet.
fn is_on_its_way(key: &ThreadKey, tick: MonoNs, threads: &Threads) -> bool {
    let Some(runs) = threads.get(key).map(|thread| &thread.runs) else { return false };
    let newest = runs.around(tick, tick).last().copied();
    newest.is_some_and(|spell| spell.to.is_none_or(|to| to > tick) && runs.ran(spell.from, tick) < GETTING_TO_IT)
}
