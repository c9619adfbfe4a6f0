//! The GIL followed from hand to hand between two ticks: who held it, who waited for it and who found it free.
//!
//! Whoever holds the GIL lets go of it when it falls asleep. Who wakes up just then, out of a sleep that began while it was
//! held, has waited for it; where nobody does, the GIL is free until the next thread wakes up and does more than a
//! time-out does. Such a story is believed only if it agrees with what is known: with CPython's count of handoffs, with
//! who holds at both ticks, and with every wait that the ticks saw end. Otherwise nothing follows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::brief::{RELEASE_AFTER_WAKING, RELEASE_BEFORE_WAKING};
use super::course::Course;
use super::follow::WithinStep;
use super::settled::{Settled, Wait};
use super::tick::{Seen, Step};
use super::{GilAccount, Threads};
use crate::event::{Departure, Hold, Relation, ThreadKey};
use crate::model::runs::{BIRTH, GETTING_TO_IT, NOT_ASKED_YET, Runs, Sleep, Spell};
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// From the look at a thread to the instant of its tick.
const LOOK_AT_MOST: Ns = Ns(100_000);

/// Who is woken may sleep again on the mutex around the GIL, until whoever has it lets go: for 5 to 20 us, as was seen.
const ON_A_MUTEX: Ns = Ns(100_000);

/// Who runs for no longer has not taken it: a time-out, or a race that was lost. The longer, where the threads of a slow
/// machine come between each other.
const SHORTEST_TAKES: [Ns; 9] =
    [Ns(15_000), Ns(18_000), Ns(21_000), Ns(25_000), Ns(29_000), Ns(34_000), Ns(45_000), Ns(60_000), Ns(80_000)];
/// Who was woken just before a tick may have no core for so long.
const WOKEN_AT_THE_TICK: Ns = Ns(300_000);

/// Who is on a core for so long when it is let go of has it before whoever let go sleeps: there is nobody to wait for in
/// `switch_cond`, and that sleep is one on the GIL.
const ALREADY_TAKEN: Ns = Ns(8_000);

/// More handoffs between two ticks are not followed one by one.
const MOST_HANDOFFS: u64 = 128;

/// Who took the GIL between two ticks, and who waited for it.
#[derive(Debug)]
pub(super) struct Story {
    /// The handoffs in the order of time: when, and to whom. That to the holder at the tick may be missing.
    pub(super) takes: Vec<(MonoNs, ThreadKey)>,
    /// Who held it, from take to release.
    pub(super) course: Course,
    /// The waits of the threads that moved.
    pub(super) settled: BTreeMap<ThreadKey, Settled>,
}

impl Story {
    /// How many waits ended in it.
    fn waits(&self) -> usize {
        self.settled.values().map(|settled| settled.whole.len() + usize::from(settled.ended.is_some())).sum()
    }

    /// Whether it has those whose sleeps are named take the GIL as often as these tell.
    pub(super) fn agrees_with(&self, named: &BTreeMap<ThreadKey, Settled>) -> bool {
        let takes = |thread| self.settled.get(thread).map_or(0, Settled::takes);
        named.iter().all(|(thread, named)| takes(thread) == named.takes())
    }
}

/// A thread that may have had to do with the GIL between two ticks.
#[derive(Debug, Clone)]
struct Actor {
    key: ThreadKey,
    ilk: Ilk,
    /// Its sleeps that ended there, the oldest first, each with the spell that it ended in.
    sleeps: Vec<(Sleep, Spell)>,
    first: First,
    lately: Lately,
    /// It waited at the tick before, and has not taken the GIL since.
    waits: bool,
    /// It has not asked before: it let go of the GIL then, or the GIL was not held.
    not_before: MonoNs,
    /// It was woken before, but another was faster: since when it waits.
    pending: Option<MonoNs>,
    settled: Settled,
    state: State,
}

/// Whether a thread keeps its thread state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    /// It may have another at each take.
    Anew,
}

/// Whether a thread takes the GIL at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ilk {
    /// It has held it or waited for it before, or is too young to tell.
    Taker,
    /// It was never seen to.
    Stranger,
}

/// Whether it took the GIL between the tick before the last and the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lately {
    /// It did, or may have.
    MayHaveTaken,
    /// Others did, by CPython's own count, or nobody.
    DidNotTake,
}

/// What the first of its sleeps is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// A sleep.
    Sleep,
    /// The time before its life: it did not wait in it.
    Birth,
}

/// A story as far as it is told.
#[derive(Debug)]
struct Telling<'a> {
    step: &'a Step,
    /// The longest that anybody runs without taking the GIL.
    shortest: Ns,
    /// After so long a waiter asks for it.
    interval: Ns,
    retakes: Retakes,
    /// So many wait at the tick that are not seen to: they have been woken.
    waits_unseen: u32,
    /// Who had it last before.
    owner: Option<ThreadKey>,
    /// When it was taken so far, and by whom.
    past: Vec<(MonoNs, ThreadKey)>,
}

/// Whether CPython counts it when a thread with another state takes the GIL that it had last: unless that lies where the old
/// one was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retakes {
    Counted,
    NotCounted,
}

/// Who was faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Took {
    Own,
    Other,
}

/// Who may take the GIL next, and how.
#[derive(Debug, Clone, Copy)]
struct Taker {
    actor: usize,
    at: MonoNs,
    /// Since when it had waited; `None`: it found it free.
    waited: Option<MonoNs>,
}

impl Telling<'_> {
    /// Whether CPython counts it if `actor` takes what `owner` had last.
    fn is_counted(&self, actor: &Actor, owner: Option<ThreadKey>) -> bool {
        owner != Some(actor.key) || (actor.state, self.retakes) == (State::Anew, Retakes::Counted)
    }

    /// Whether it has waited long enough to ask for the GIL.
    fn is_forced_by(&self, taker: Taker) -> bool {
        taker.waited.is_some_and(|since| taker.at.since(since) >= self.interval)
    }

    fn is_a_take(&self, spell: &Spell) -> bool {
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
    fn woken_by(&self, story: &Telling<'_>, released: MonoNs) -> Option<(MonoNs, MonoNs, Took)> {
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
        Some(match at_once.find(|(_, spell)| story.is_a_take(spell)) {
            Some((last, _)) => (since, last.until, Took::Own),
            None => (since, first.until, Took::Other),
        })
    }

    /// Its first take of a GIL that has been free since `released`: (since when it had waited, when it woke up).
    fn finds_free(&self, story: &Telling<'_>, released: MonoNs) -> Option<(Option<MonoNs>, MonoNs)> {
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
    fn got_to_it(&self, woke: MonoNs, tick: MonoNs) -> bool {
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
    /// What the threads that have moved did about the GIL, if there is a story that agrees with what is known.
    pub(super) fn sequence(
        &self,
        step: &Step,
        touched: &[ThreadKey],
        seen: Seen<'_>,
        threads: &Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) -> Option<Story> {
        let is_clear = |hold: Hold| hold != Hold::ByUnknown;
        let told = is_clear(step.last.sample.hold) && is_clear(step.tick.sample.hold);
        if !told || !(1..=MOST_HANDOFFS).contains(&step.handoffs) {
            return None;
        }
        let actors = self.actors(step, touched, seen, threads, mine);
        let waiting = self.relations.values().filter(|relation| **relation == Relation::Waiting).count() as u32;
        let waits_unseen = step.tick.sample.waiters.unwrap_or(0).saturating_sub(waiting);
        let told_of = |whom: fn(&Actor) -> bool| {
            let actors: Vec<Actor> = actors.iter().filter(|actor| whom(actor)).cloned().collect();
            let best = |retakes| {
                let stories = SHORTEST_TAKES.iter().filter_map(|&shortest| {
                    let (interval, owner) = (self.switch_interval, self.dropper());
                    let story = Telling { step, shortest, interval, retakes, waits_unseen, owner, past: Vec::new() };
                    self.story(story, actors.clone(), threads)
                });
                // That somebody woke up just when the GIL was let go of is less often chance than anything else.
                stories.min_by_key(|story| Reverse(story.waits()))
            };
            let anew = actors.iter().any(|actor| actor.state == State::Anew);
            best(Retakes::NotCounted).or_else(|| anew.then(|| best(Retakes::Counted)).flatten())
        };
        let has_strangers = actors.iter().any(|actor| actor.ilk == Ilk::Stranger);
        told_of(|actor| actor.ilk == Ilk::Taker).or_else(|| has_strangers.then(|| told_of(|_| true)).flatten())
    }

    fn story(&self, mut story: Telling<'_>, mut actors: Vec<Actor>, threads: &Threads) -> Option<Story> {
        let step = story.step;
        let (mut holder, mut owner) = (step.last.holder(), story.owner);
        let mut now = step.last.at - RELEASE_AFTER_WAKING;
        let (mut takes, mut course) = (Vec::new(), Course::new());
        let most = actors.iter().map(|actor| actor.sleeps.len()).sum::<usize>() * 2 + 2;
        for _ in 0..most {
            let next = match holder {
                Some(holds) => {
                    let runs = &threads.get(&holds)?.runs;
                    let Some((taker, released)) = let_go(&mut actors, (holds, now), &story, runs) else {
                        break;
                    };
                    now = released;
                    course.push((released, None));
                    taker
                }
                None => found_free_by(&actors, &story, threads, now),
            };
            let Some(taker) = next else {
                if holder.take().is_none() {
                    break;
                }
                continue;
            };
            if taker.at >= step.tick.at {
                break;
            }
            let key = actors[taker.actor].key;
            let is_counted = story.is_counted(&actors[taker.actor], owner);
            let is_on_its_way = step.tick.holder().is_none() && !actors[taker.actor].got_to_it(taker.at, step.tick.at);
            let is_all = actors[taker.actor].waits && is_counted && takes.len() as u64 == step.handoffs;
            let is_awaited = taker.waited.is_some() && story.waits_unseen > 0;
            if is_on_its_way && (is_all || is_awaited) {
                // It has been woken, and the tick came before it got there.
                actors.retain(|actor| actor.key != key);
                break;
            }
            let actor = &mut actors[taker.actor];
            match (actor.waits, taker.waited) {
                (true, _) => actor.settled.ended = Some(taker.at),
                (false, Some(from)) if from < taker.at => actor.settled.whole.push(Wait { from, until: taker.at }),
                (false, _) => {}
            }
            (actor.waits, actor.pending) = (false, None);
            if taker.waited.is_none() && taker.at > now + RELEASE_BEFORE_WAKING {
                // It was free for so long that nobody can have waited. Who fell asleep before did not find it held.
                actors.iter_mut().for_each(|actor| actor.not_before = actor.not_before.max(taker.at));
            }
            if is_counted {
                takes.push((taker.at, key));
            }
            story.past.push((taker.at, key));
            course.push((taker.at, Some(key)));
            (holder, owner, now) = (Some(key), Some(key), taker.at);
        }
        let last = step.tick.holder();
        let counted = takes.len() as u64;
        let agrees = match last {
            // It was let go of just before the tick.
            None => counted == step.handoffs,
            Some(last) if holder == Some(last) => counted == step.handoffs,
            // It got its core between the tick and the look at who holds.
            Some(last) => {
                let counts = actors.iter().any(|actor| actor.key == last && story.is_counted(actor, owner));
                counted + 1 == step.handoffs && (counts || owner != Some(last))
            }
        };
        let is_told = |actor: &Actor| last.is_none_or(|last| actor.key != last || holder == Some(last));
        actors.retain(is_told);
        let waits_on = |actor: &Actor| self.standing_at(&step.tick, actor.key) == Some(Standing::Waiting);
        let shortest = story.shortest;
        let settled = actors.iter().all(|actor| !actor.waits || waits_on(actor));
        (agrees && settled).then(|| Story {
            takes,
            course,
            settled: actors
                .into_iter()
                .map(|actor| {
                    let took = actor.settled.whole.last().map(|wait| wait.until).or(actor.settled.ended);
                    let began = || {
                        let account = threads.get(&actor.key)?;
                        let since = match took {
                            Some(took) => (took, WithinStep::Took),
                            None => (step.last.at, WithinStep::DidNotTake),
                        };
                        account.runs.wait_began(self.waits_since(step, since, shortest, account))
                    };
                    // It fell asleep on something else where the GIL was free; it has moved since, after the tick.
                    let asked = |began: MonoNs| if began < actor.not_before { step.tick.at } else { began };
                    let began = match !actor.waits && waits_on(&actor) {
                        true => actor.pending.or_else(|| began().map(asked)),
                        false => None,
                    };
                    (actor.key, Settled { began, ..actor.settled })
                })
                .collect(),
        })
    }

    fn actors(
        &self,
        step: &Step,
        touched: &[ThreadKey],
        seen: Seen<'_>,
        threads: &Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) -> Vec<Actor> {
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
            let lately = match &self.takers {
                Some(takers) if !takers.contains(&key) && self.dropper() != Some(key) => Lately::DidNotTake,
                _ => Lately::MayHaveTaken,
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
            let not_before = match (self.dropper() == Some(key) || stood == Some(Standing::HandingOver), queued) {
                (true, _) => step.last.at,
                (false, true) => self.before_last - NOT_ASKED_YET,
                (false, false) => step.last.at - NOT_ASKED_YET,
            };
            let ilk = match stood.is_some()
                || is_born
                || self.dropper() == Some(key)
                || self.takers.as_ref().is_some_and(|takers| takers.contains(&key))
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
    let runs = Some(&thread.runs).filter(|runs| runs.told_since() == Some(thread.start))?;
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

/// To whom and when the GIL went that somebody has held since some instant; `None`: it has not let go.
///
/// It falls asleep soon after, unless whoever it has woken gets its core first: then it is put off it at once.
fn let_go(
    actors: &mut [Actor],
    (holder, held): (ThreadKey, MonoNs),
    story: &Telling<'_>,
    runs: &Runs,
) -> Option<(Option<Taker>, MonoNs)> {
    let tick = story.step.tick.at;
    for (at, how) in runs.departures(held, tick) {
        let next = handed_to(actors, holder, story, at);
        if next.is_none() && how == Departure::Preempted {
            continue;
        }
        let asleep = runs.first_to_end(at - Ns(1), tick).and_then(|spell| spell.to).unwrap_or(at);
        let asks_at_once = next.is_some_and(|taker| story.is_forced_by(taker) && taker.at + ALREADY_TAKEN <= asleep);
        let not_before = if asks_at_once { asleep - Ns(1) } else { asleep };
        for actor in actors.iter_mut() {
            if actor.key == holder {
                actor.not_before = actor.not_before.max(not_before);
            } else if let Some((since, _, Took::Other)) = actor.woken_by(story, at) {
                actor.pending = actor.pending.or(Some(since));
            }
        }
        return Some((next, at));
    }
    None
}

/// To whom the GIL went that was let go of at `released`.
fn handed_to(actors: &[Actor], holder: ThreadKey, story: &Telling<'_>, released: MonoNs) -> Option<Taker> {
    let others = actors.iter().enumerate().filter(|(_, actor)| actor.key != holder);
    let taken = others.filter_map(|(index, actor)| match actor.woken_by(story, released)? {
        (since, at, Took::Own) => Some(Taker { actor: index, at, waited: Some(since) }),
        (_, _, Took::Other) => None,
    });
    taken.min_by_key(|taker| taker.at)
}

/// Who takes the GIL next that has been free since `released`.
fn found_free_by(actors: &[Actor], story: &Telling<'_>, threads: &Threads, released: MonoNs) -> Option<Taker> {
    // Whoever has just woken up may not have got to it yet.
    let tick = &story.step.tick;
    // Whoever runs on from then to the tick has it there, or has not taken it.
    let may_let_go = |actor: &Actor, at: MonoNs| {
        let runs = threads.get(&actor.key).map(|thread| &thread.runs);
        tick.holder().is_none() || runs.is_some_and(|runs| runs.departures(at, tick.at).next().is_some())
    };
    let in_time = |actor: &Actor, at: MonoNs| {
        tick.holder() == Some(actor.key) || (actor.got_to_it(at, tick.at) && may_let_go(actor, at))
    };
    let found = actors.iter().enumerate().filter_map(|(index, actor)| {
        let (waited, at) = actor.finds_free(story, released)?;
        in_time(actor, at).then_some(Taker { actor: index, at, waited })
    });
    found.min_by_key(|taker| taker.at)
}
