//! The GIL followed from hand to hand between two ticks: who held it, who waited for it and who found it free.
//!
//! Whoever holds the GIL lets go of it when it falls asleep. Who wakes up just then, out of a sleep that began while it was
//! held, has waited for it; where nobody does, the GIL is free until the next thread wakes up and does more than a
//! time-out does. Such a story is believed only if it agrees with what is known: with CPython's count of handoffs, with
//! who holds at both ticks, and with every wait that the ticks saw end. Otherwise nothing follows.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::actors::{Actor, Ilk, Retakes, SHORTEST_TAKES, State, Taker, Telling, Took};
use super::brief::{RELEASE_AFTER_WAKING, RELEASE_BEFORE_WAKING};
use super::course::Course;
use super::settled::{Settled, Wait};
use super::tick::{Gathered, Step};
use super::{GilAccount, Threads};
use crate::event::{Departure, Hold, Relation, ThreadKey};
use crate::model::runs::{Awake, Runs};
use crate::model::thread::Standing;
use crate::time::{MonoNs, Ns};

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

impl GilAccount {
    /// What the threads that have moved did about the GIL, if there is a story that agrees with what is known.
    pub(super) fn sequence(&self, gathered: &Gathered<'_>) -> Option<Story> {
        let Gathered { step, threads, .. } = *gathered;
        let is_clear = |hold: Hold| hold != Hold::ByUnknown;
        let told = is_clear(step.last.sample.hold) && is_clear(step.tick.sample.hold);
        if !told || !(1..=MOST_HANDOFFS).contains(&step.handoffs) {
            return None;
        }
        let actors = self.actors(gathered);
        // It matters where the GIL is free: seldom, among many that wait.
        let waits_unseen = if step.tick.is_held() { 0 } else { self.waits_unseen(step) };
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

    /// How many wait at the tick, by the condition variable, that are not seen to.
    fn waits_unseen(&self, step: &Step) -> u32 {
        let waiting = self.relations.values().filter(|relation| **relation == Relation::Waiting).count() as u32;
        step.tick.sample.waiters.unwrap_or(0).saturating_sub(waiting)
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
                        let awake = if took.is_some() { Awake::Asks } else { step.tick.awake() };
                        let last = took.unwrap_or(step.last.at);
                        account.runs.wait_began(self.waits_since(step, last, awake, shortest, account))
                    };
                    // It had let go of the GIL, which was free then; it has moved since, after the tick.
                    let let_go = |began| story.owner == Some(actor.key) && began < actor.not_before;
                    let asked = |began| if let_go(began) { step.tick.at } else { began };
                    let began = match !actor.waits && waits_on(&actor) {
                        true => actor.pending.or_else(|| began().map(asked)),
                        false => None,
                    };
                    (actor.key, Settled { began, ..actor.settled })
                })
                .collect(),
        })
    }
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
