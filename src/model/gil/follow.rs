//! From how every thread stood to the GIL at one tick to how it stands at the next: what ends and begins, and when.

use super::brief::{self, Brief};
use super::handoffs::Takes;
use super::settled::Settled;
use super::tick::{Gathered, Seen, Step, Tick};
use super::{GilAccount, Threads, Wait};
use crate::event::{Hold, Lags, ThreadKey};
use crate::model::intervals::{Edge, Intervals, Moment, Open, Sharpness};
use crate::model::runs::{Awake, Spell, TIME_OUT_RUN, Waits};
use crate::model::thread::{After, Stand, Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// How a thread's standing to the GIL moves at a tick.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) thread: ThreadKey,
    pub(super) from: Option<Standing>,
    pub(super) to: Option<Standing>,
    /// Between two waits: the spell in which it took the GIL and lost it again.
    between: Option<Spell>,
}

/// What switches tell about a move beside the thread's own.
#[derive(Debug, Clone, Copy)]
struct Hint<'a> {
    /// When the GIL was handed over, if that was once.
    handed: Option<Moment>,
    /// Before it the GIL was not let go of.
    released: MonoNs,
    /// What the thread did between the ticks.
    brief: Option<Brief>,
    /// Who took the GIL between them.
    takes: &'a Takes,
    /// Its waits, if they are settled.
    settled: Option<&'a Settled>,
    /// How far the records lie from what they stand for.
    lags: Lags,
}

impl GilAccount {
    /// Moves every thread concerned from how it stood to how it stands; who took the GIL meanwhile.
    pub(super) fn follow(
        &mut self,
        step: &Step,
        touched: &[ThreadKey],
        seen: Seen<'_>,
        threads: &mut Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) -> Takes {
        let Seen { read, lags, .. } = seen;
        self.find_collisions(step, touched, seen, threads);
        let gathered = Gathered { step, touched, seen, threads: &*threads, mine };
        let named = self.named(&gathered);
        // Who was born just now is not named yet, and what it did is a matter of inference as ever.
        let all_named = seen.woken.iter().chain(touched).all(|thread| named.contains_key(thread));
        let story = match !named.is_empty() && all_named {
            true => None,
            false => self.sequence(&gathered).filter(|story| story.agrees_with(&named)),
        };
        let (settled, course, told) = match story {
            Some(story) => (story.settled, Some(story.course), Some(story.takes)),
            None => (named, None, None),
        };
        let mut brief = self.brief_waits(step, seen, threads, mine);
        brief.retain(|thread, _| !settled.contains_key(thread));
        // What happened between timely looks is known as well as the interval says, and what CPython's count agrees with.
        if step.is_blurred() && step.handoffs > 0 && told.is_none() && settled.is_empty() {
            self.blurred += step.tick.at.since(step.last.at);
        }
        let between = self.owner.zip(step.tick.holder()).filter(|(from, to)| from != to);
        self.handoffs_seen += match (&told, step.handoffs) {
            (Some(_), handoffs) => handoffs,
            (None, 1) => u64::from(between.is_some()),
            (None, _) => 0,
        };
        self.follow_run_delay(step, read, threads);
        let moves: Vec<Move> = touched
            .iter()
            .map(|&thread| Move {
                thread,
                from: threads.get(&thread).and_then(|t| t.standing(self.key)).map(|stand| stand.standing),
                to: self.standing_at(&step.tick, thread),
                between: None,
            })
            .collect();
        let released = self.released(step, threads);
        // Where one thread woke up to take it, the one before had let go of it.
        let woke = |moved: &Move| {
            self.wait_ends(moved, released, settled.get(&moved.thread), step, threads.get(&moved.thread)?)
        };
        let whole: Vec<(ThreadKey, MonoNs, MonoNs)> = brief
            .iter()
            .filter_map(|(thread, brief)| match brief {
                Brief::Waited(sleep) => Some((*thread, sleep.from, sleep.until)),
                Brief::Waits(_) => None,
            })
            .chain(
                settled
                    .iter()
                    .flat_map(|(thread, settled)| settled.whole.iter().map(|wait| (*thread, wait.from, wait.until))),
            )
            .collect();
        let unseen = self.takers_unseen(step, &moves, read, &settled, threads);
        let ended = moves.iter().filter_map(|moved| Some((woke(moved)?.at, moved.thread)));
        let ended = ended.chain(unseen.iter().filter_map(|(thread, spell)| Some((spell.as_ref()?.from, *thread))));
        let ended = ended.chain(whole.iter().map(|(thread, _, until)| (*until, *thread)));
        let takes = self.takes(step, told.unwrap_or_else(|| ended.collect()), threads);
        let handed_by_wait = moves.iter().find_map(woke);
        self.chart_holds(step, &takes, course.as_ref(), threads);
        self.log_holds(step, &takes, course, threads);
        self.follow_handoffs(step, &takes, touched, seen, threads);
        let hint = Hint { handed: None, released: MonoNs(0), brief: None, takes: &takes, settled: None, lags };
        for (thread, between) in unseen {
            let waiting = Some(Standing::Waiting);
            self.restand(step, Move { thread, from: waiting, to: waiting, between }, hint, threads);
        }
        for (thread, start, until) in whole {
            let from = moves.iter().find(|moved| moved.thread == thread).and_then(|moved| moved.from);
            if let Some(account) = threads.get_mut(&thread) {
                let rounds = takes.before(until, thread).zip(takes.before(start, thread));
                account.rounds_lost += rounds.map_or(0, |(after, before)| after - before);
                let open = Open {
                    start,
                    told: account.told_to_wait(Moment::recorded(start), lags),
                    edge: Edge::Seen,
                    sharpness: Sharpness::Switch,
                    first: step.last.at,
                    switch_number: step.last.sample.switch_number,
                };
                let end = account.told_to_take(Moment::recorded(until), lags);
                self.chart_wait(thread, open.told, end.at);
                self.wait_is_over(Wait { thread, from: open.told, until: end.at, after: came_from(from) });
                self.blame.waited(thread, open.told, end.at);
                end_interval([&mut account.waits, &mut self.waits], open, end, step, false);
            }
        }
        let took = |moved: &Move| match (brief.get(&moved.thread), settled.get(&moved.thread)) {
            _ if moved.to != Some(Standing::Holding) => None,
            (_, Some(settled)) => settled.whole.last().map(|wait| Moment::recorded(wait.until)),
            (Some(Brief::Waited(sleep)), None) => Some(Moment::recorded(sleep.until)),
            (Some(Brief::Waits(_)) | None, None) => None,
        };
        let handed = match step.handoffs {
            1 => handed_by_wait.or_else(|| moves.iter().find_map(took)),
            _ => None,
        };
        for moved in moves {
            let retaken = moved.to == Some(Standing::Holding) && step.handoffs > 0;
            if moved.from != moved.to || retaken {
                let (brief, settled) = (brief.get(&moved.thread).copied(), settled.get(&moved.thread));
                let hint = Hint { handed, released, brief, takes: &takes, settled, lags };
                self.restand(step, moved, hint, threads);
            }
        }
        takes
    }

    /// Before it the GIL was not let go of, with one handoff between the ticks.
    fn released(&self, step: &Step, threads: &Threads) -> MonoNs {
        let dropper = step.last.holder().filter(|_| step.handoffs == 1).and_then(|holder| threads.get(&holder));
        let first = dropper.and_then(|thread| thread.runs.first_to_end(step.last.at, step.tick.at)?.to);
        first.map_or(MonoNs(0), |first| first - brief::RELEASE_AFTER_WAKING)
    }

    /// When the wait of `moved` ended, as its switches tell.
    fn wait_ends(
        &self,
        moved: &Move,
        released: MonoNs,
        settled: Option<&Settled>,
        step: &Step,
        account: &ThreadAccount,
    ) -> Option<Moment> {
        let stand = account.standing(self.key).filter(|stand| stand.standing == Standing::Waiting)?;
        let at = match moved.between {
            Some(spell) => spell.from,
            None if moved.to == Some(Standing::Waiting) => return None,
            None => match settled.and_then(|settled| settled.ended) {
                Some(ended) => ended.max(stand.open.start),
                None => account.runs.wait_ended(stand.open.start, step.last.at, released, step.tick.at)?,
            },
        };
        Some(Moment::recorded(at))
    }

    /// When what `moved` goes into began, as its switches tell, after `ended`.
    fn standing_begins(
        &self,
        step: &Step,
        moved: &Move,
        hint: Hint<'_>,
        ended: Moment,
        account: &ThreadAccount,
    ) -> Option<Moment> {
        let told = hint.settled.and_then(|settled| match moved.to? {
            Standing::Waiting => settled.began,
            Standing::Holding => Some(settled.whole.last()?.until),
            Standing::HandingOver | Standing::Unseen => None,
        });
        if let Some(at) = told.filter(|_| moved.between.is_none()) {
            return Some(Moment::recorded(at.max(account.settled)));
        }
        let at = match (moved.to?, moved.between, hint.brief) {
            (Standing::Waiting, Some(spell), _) => spell.to?,
            (Standing::Waiting, None, Some(Brief::Waits(since))) => since,
            (Standing::Waiting, None, brief) => {
                // Whoever took it has let go of it, and asks again.
                let awake = if brief.is_some() { Awake::Asks } else { step.tick.awake() };
                account.runs.wait_began(self.waits_since(step, step.last.at, awake, TIME_OUT_RUN, account))?
            }
            (Standing::Holding, _, Some(Brief::Waited(sleep))) => sleep.until,
            // Whoever waited holds from the instant at which it woke up.
            (Standing::Holding, ..) if moved.from == Some(Standing::Waiting) => return Some(ended),
            (Standing::Holding | Standing::HandingOver | Standing::Unseen, ..) => return None,
        };
        Some(Moment::recorded(at.max(account.settled)))
    }

    /// What is known of a thread that waits at a tick, did not at `last`, and did not take the GIL in a spell of up to `shortest`.
    pub(super) fn waits_since(
        &self,
        step: &Step,
        last: MonoNs,
        awake: Awake,
        shortest: Ns,
        account: &ThreadAccount,
    ) -> Waits {
        Waits { last, tick: step.tick.at, interval: self.switch_interval, shortest, awake, born: account.start }
    }

    /// Ends what a thread was in, and begins what it is in.
    fn restand(&mut self, step: &Step, moved: Move, hint: Hint<'_>, threads: &mut Threads) {
        let Some(account) = threads.get_mut(&moved.thread) else { return };
        let ends = match moved.from {
            Some(Standing::Waiting) => self.wait_ends(&moved, hint.released, hint.settled, step, account),
            Some(Standing::Holding) => hint.handed.or_else(|| hint.takes.first_of_others(moved.thread)),
            Some(Standing::HandingOver | Standing::Unseen) | None => None,
        };
        let mut ends = ends.unwrap_or_else(|| step.edge());
        // Whoever waits has let go of it before.
        if let Some(asked) = hint.settled.and_then(Settled::asked).filter(|_| moved.from != Some(Standing::Waiting)) {
            ends.at = ends.at.min(asked.max(step.last.at));
        }
        // Where one side could not be read, that something began or ended there was not seen.
        let blind = |here: &Tick, other: Option<Standing>, standing: Standing| {
            other == Some(Standing::Unseen) || (standing == Standing::Holding && here.sample.hold == Hold::ByUnknown)
        };
        if let Some(stand) = account.finish(self.key, ends.at) {
            let unseen = blind(&step.tick, moved.to, stand.standing);
            let end = match stand.standing {
                Standing::Waiting => account.told_to_take(ends, hint.lags),
                Standing::Holding | Standing::HandingOver | Standing::Unseen => ends,
            };
            self.chart_stand(moved.thread, &stand, end);
            match stand.standing {
                Standing::Waiting => {
                    self.waiting = self.waiting.saturating_sub(1);
                    let seen = step.last.sample.switch_number.checked_sub(stand.open.switch_number);
                    let since =
                        hint.takes.before(ends.at, moved.thread).filter(|_| ends.sharpness == Sharpness::Switch);
                    let rounds = seen.unwrap_or(0).saturating_add(since.unwrap_or(0));
                    account.rounds_lost = account.rounds_lost.saturating_add(rounds);
                    if !unseen {
                        let (from, after) = (stand.open.told, stand.after);
                        self.wait_is_over(Wait { thread: moved.thread, from, until: end.at, after });
                    }
                    self.blame.waited(moved.thread, stand.open.told, end.at);
                    end_interval([&mut account.waits, &mut self.waits], stand.open, end, step, unseen);
                }
                Standing::Holding => {
                    end_interval([&mut account.holds, &mut self.holds], stand.open, end, step, unseen);
                }
                Standing::HandingOver | Standing::Unseen => {}
            }
        }
        if let Some(standing) = moved.to {
            let seen = !blind(&step.last, moved.from, standing);
            let begins = self.standing_begins(step, &moved, hint, ends, account);
            let begins = begins.unwrap_or(Moment { at: step.edge().at.max(account.settled), ..step.edge() });
            let told = match standing {
                Standing::Waiting => account.told_to_wait(begins, hint.lags),
                Standing::Holding => account.told_to_take(begins, hint.lags).at,
                Standing::HandingOver | Standing::Unseen => begins.at,
            };
            let open = Open {
                start: begins.at,
                told,
                edge: if seen { Edge::Seen } else { Edge::Cut },
                sharpness: begins.sharpness,
                first: step.tick.at,
                switch_number: match moved.between {
                    // The spell after which it waits again may have ended in a short sleep of another kind.
                    Some(_) => step.tick.sample.switch_number,
                    None => count_at(step, begins, moved.thread, hint.takes),
                },
            };
            account.begin(Stand { gil: self.key, standing, open, after: came_from(moved.from) });
            self.waiting += u32::from(standing == Standing::Waiting);
        }
    }

    /// Where a thread was queued for a core while it held or waited, that time belongs there.
    fn follow_run_delay(&mut self, step: &Step, read: &[ThreadKey], threads: &mut Threads) {
        let kept = step.last.holder().filter(|holder| step.handoffs == 0 && step.tick.holder() == Some(*holder));
        let is_told = |account: &ThreadAccount| account.runs.told_since().is_some_and(|told| told <= step.last.at);
        if let Some(account) = kept.and_then(|holder| threads.get_mut(&holder)).filter(|account| is_told(account)) {
            let delay = account.runs.preempted(step.last.at, step.tick.at);
            account.preempted(delay);
            self.preempted += delay;
        }
        for thread in read {
            let to = self.standing_at(&step.tick, *thread);
            let Some(account) = threads.get_mut(thread) else { continue };
            let Some((usage, stand)) = account.step_at(step.tick.at).zip(account.standing(self.key).copied()) else {
                continue;
            };
            let delay = usage.run_delay.min(step.tick.at.since(stand.open.start));
            match (stand.standing, to) {
                (Standing::Holding, Some(Standing::Holding)) if step.handoffs == 0 && !is_told(account) => {
                    account.preempted(delay);
                    self.preempted += delay;
                }
                (Standing::Waiting, Some(Standing::Waiting | Standing::Holding)) => account.delayed_in_wait(delay),
                _ => {}
            }
        }
    }
}

/// What a thread comes from that stood so at the tick before.
fn came_from(standing: Option<Standing>) -> After {
    match standing {
        None => After::Apart,
        Some(Standing::Holding | Standing::HandingOver | Standing::Waiting) => After::Holding,
        Some(Standing::Unseen) => After::Unseen,
    }
}

/// CPython's count of handoffs when something began: who took the GIL since then, within this step, took it after.
fn count_at(step: &Step, begins: Moment, thread: ThreadKey, takes: &Takes) -> u64 {
    let by_the_tick = step.tick.sample.switch_number;
    let after = || {
        let all = takes.before(step.tick.at, thread)?;
        Some(all.saturating_sub(takes.before(begins.at, thread)?))
    };
    match begins.sharpness {
        Sharpness::Switch => by_the_tick.saturating_sub(after().unwrap_or(0)),
        Sharpness::Tick => by_the_tick,
    }
}

fn end_interval(sums: [&mut Intervals; 2], open: Open, end: Moment, step: &Step, unseen: bool) {
    for sum in sums {
        match unseen {
            true => sum.cut(open, end.at),
            false => sum.close(open, end, step.last.at, step.interval),
        }
    }
}
