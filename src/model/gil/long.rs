//! Long holds, and the native code that their holders were seen in.
//!
//! A hold is a run of ticks with one holder and one count of handoffs. Native code is told of instants in the middle of
//! it, a little later than they were. A hold's time is divided by how often what was seen in it: samples of one hold are
//! evenly spread over it, those of different holds are not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{CodePlace, Hold, LONG_HOLD, NativeInfo, NativeKey, NativeKind, SeenHolder, StackKey, ThreadKey};
use crate::model::gil::joined::{Joined, Scenes};
use crate::model::gil::tick::Tick;
use crate::model::snapshot::{LongHold, Release};
use crate::time::{MonoNs, Ns};

/// Holds that are over, of which it may still be told what was seen in them.
const RECENT: usize = 64;
/// Pieces of code that are kept of one hold.
const PLACES: usize = 32;
/// Threads and the code that they were seen in; what is beyond is counted as code that was not looked at.
const ROWS: usize = 1_024;
/// Of them, those that are shown: the ones with the most time.
const SHOWN: usize = 64;
/// What may be unknown of a hold beside a tenth of it: until somebody else comes, and a switch interval.
const EDGES: Ns = Ns::from_millis(10);
/// How late a sample's instant may be for the last tick of its hold.
const SLACK: Ns = Ns::from_millis(2);
/// Samples of stacks that wait for the tick behind them.
const SAMPLES: usize = 4_096;

/// The long holds of one GIL.
#[derive(Debug, Clone, Default)]
pub struct LongHolds {
    current: Option<Held>,
    recent: VecDeque<Held>,
    rows: BTreeMap<(ThreadKey, Option<NativeKey>), Row>,
    by_place: BTreeMap<(NativeKind, CodePlace), NativeKey>,
    places: BTreeMap<NativeKey, Ways>,
    executed: VecDeque<Executed>,
    joined: Joined,
}

/// What a holder executed at an instant, and the time that the sample stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Executed {
    pub(super) instant: MonoNs,
    pub(super) thread: ThreadKey,
    pub(super) stack: StackKey,
    pub(super) weight: Ns,
}

#[derive(Debug, Clone)]
struct Held {
    thread: ThreadKey,
    switch_number: u64,
    from: MonoNs,
    until: MonoNs,
    /// Since when others have waited without a break.
    waited: Option<MonoNs>,
    /// The longest time that others did, after the first switch interval of it.
    kept: Ns,
    seen: BTreeMap<NativeKey, Seen>,
    scenes: Scenes,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    samples: u64,
    asleep: u64,
}

/// What was seen of one thread in one piece of code.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    holds: u64,
    held: Ns,
    seen: Seen,
    longest: Ns,
    /// Of the longest.
    kept: Ns,
    ongoing: Option<Ns>,
}

impl Row {
    fn add(&mut self, other: Row) {
        self.holds += other.holds;
        self.held += other.held;
        self.seen.samples += other.seen.samples;
        self.seen.asleep += other.seen.asleep;
        if other.longest > self.longest {
            (self.longest, self.kept) = (other.longest, other.kept);
        }
        self.ongoing = self.ongoing.max(other.ongoing);
    }
}

impl Held {
    fn length(&self) -> Ns {
        self.until.since(self.from)
    }

    /// It, by what was seen in it.
    fn rows(&self, ongoing: Option<Ns>) -> impl Iterator<Item = (Option<NativeKey>, Row)> {
        let whole = Row {
            holds: 1,
            held: self.length(),
            seen: Seen::default(),
            longest: self.length(),
            kept: self.kept,
            ongoing,
        };
        let samples: u64 = self.seen.values().map(|seen| seen.samples).sum();
        let part = move |seen: &Seen| {
            let held = u128::from(whole.held.0) * u128::from(seen.samples) / u128::from(samples.max(1));
            Row { held: Ns(held as u64), seen: *seen, ..whole }
        };
        let unseen = (samples == 0).then_some((None, whole));
        self.seen.iter().map(move |(native, seen)| (Some(*native), part(seen))).chain(unseen)
    }
}

impl LongHolds {
    /// Takes a tick. `since` is the one before; ticks further apart than `bridged` are not of one hold.
    pub(super) fn tick(&mut self, tick: &Tick, since: MonoNs, bridged: Ns, switch_interval: Ns) {
        let at = tick.at;
        let holder = match tick.sample.hold {
            Hold::By { thread, .. } => Some(thread),
            Hold::Free | Hold::ByUnknown => None,
        };
        let goes_on = |held: &Held| {
            Some(held.thread) == holder
                && held.switch_number == tick.sample.switch_number
                && at.since(held.until) <= bridged
        };
        let goes_on = self.current.as_ref().is_some_and(goes_on);
        if let Some(held) = self.current.as_mut().filter(|_| goes_on) {
            held.until = at;
        }
        self.place_stacks(at);
        if !goes_on {
            self.end();
            let from = if at.since(since) <= bridged { since.midpoint(at) } else { at };
            let switch_number = tick.sample.switch_number;
            self.current = holder.map(|thread| Held {
                thread,
                switch_number,
                from,
                until: at,
                waited: None,
                kept: Ns::ZERO,
                seen: BTreeMap::new(),
                scenes: Scenes::default(),
            });
        }
        let Some(held) = &mut self.current else { return };
        held.waited = (tick.waiters > 0).then(|| held.waited.unwrap_or(at));
        if let Some(waited) = held.waited {
            held.kept = held.kept.max(at.since(waited).saturating_sub(switch_interval));
        }
    }

    /// The hold that goes on is over. Not at the end of the observation: then it went on.
    fn end(&mut self) {
        let Some(held) = self.current.take().filter(|held| held.length() >= LONG_HOLD) else { return };
        if self.recent.len() >= RECENT
            && let Some(oldest) = self.recent.pop_front()
        {
            let thread = oldest.thread;
            self.joined.add(thread, &oldest.scenes);
            for (native, row) in oldest.rows(None) {
                let full = self.rows.len() >= ROWS && !self.rows.contains_key(&(thread, native));
                // One that has no room of its own has it with what was not looked at, as far as there is any.
                let native = if full { None } else { native };
                if self.rows.len() < 2 * ROWS || self.rows.contains_key(&(thread, native)) {
                    self.rows.entry((thread, native)).or_default().add(row);
                }
            }
        }
        self.recent.push_back(held);
    }

    /// The holder executed that.
    pub(super) fn executed(&mut self, executed: Executed) {
        if self.executed.len() < SAMPLES {
            self.executed.push_back(executed);
        }
    }

    /// The samples up to this tick belong to the holds that they fell into.
    fn place_stacks(&mut self, at: MonoNs) {
        while let Some(sample) = self.executed.front().copied().filter(|sample| sample.instant <= at) {
            self.executed.pop_front();
            self.joined.executed(sample.thread, sample.stack, sample.weight);
            let is_it = |held: &&mut Held| {
                held.thread == sample.thread && held.from <= sample.instant && sample.instant <= held.until
            };
            if let Some(held) = self.current.iter_mut().chain(self.recent.iter_mut().rev()).find(is_it) {
                held.scenes.executed(sample.instant, sample.stack, sample.weight);
            }
        }
    }

    /// The native code that stacks of threads stand for, where that is known.
    pub(super) fn natives(&self) -> BTreeMap<(ThreadKey, StackKey), Arc<str>> {
        let mut fresh = Joined::default();
        let current = self.current.iter().filter(|held| held.length() >= LONG_HOLD);
        self.recent.iter().chain(current).for_each(|held| fresh.add(held.thread, &held.scenes));
        let name = |native| {
            let way = self.places.get(&native)?.way().filter(|way| way.kind != NativeKind::Interpreter)?;
            Some(Arc::from(way.place.to_string()))
        };
        self.joined.natives(&fresh).filter_map(|(key, native)| Some((key, name(native)?))).collect()
    }

    /// The holder was seen in that code.
    pub(super) fn sampled(
        &mut self,
        thread: ThreadKey,
        (native, info): (NativeKey, &Arc<NativeInfo>),
        instant: MonoNs,
        how: SeenHolder,
    ) {
        let is_it = |held: &&Held| held.thread == thread && held.from <= instant && instant <= held.until + SLACK;
        let within = self.current.iter().chain(self.recent.iter()).any(|held| is_it(&held));
        if !within {
            return;
        }
        let place = self.place_of(native, info);
        let mut holds = self.current.iter_mut().chain(self.recent.iter_mut().rev());
        let Some(held) = holds.find(|held| is_it(&&**held)) else { return };
        if held.seen.len() < PLACES || held.seen.contains_key(&place) {
            let seen = held.seen.entry(place).or_default();
            seen.samples += 1;
            seen.asleep += u64::from(how == SeenHolder::Asleep);
        }
        held.scenes.was_in(instant, place);
    }

    /// Those with the most time first.
    pub(super) fn figures(&self) -> Vec<LongHold> {
        let mut sums: BTreeMap<(ThreadKey, Option<NativeKey>), Row> = BTreeMap::new();
        let current = self.current.iter().filter(|held| held.length() >= LONG_HOLD);
        let open = current.flat_map(|held| held.rows(Some(held.length())).map(|row| (held.thread, row)));
        let recent = self.recent.iter().flat_map(|held| held.rows(None).map(|row| (held.thread, row)));
        let old = self.rows.iter().map(|((thread, native), row)| (*thread, (*native, *row)));
        for (thread, (native, row)) in old.chain(recent).chain(open) {
            sums.entry((thread, native)).or_default().add(row);
        }
        let mut holds: Vec<LongHold> = sums
            .into_iter()
            .map(|((thread, native), row)| LongHold {
                thread,
                native: native.and_then(|native| self.places.get(&native)?.way()),
                holds: row.holds,
                held: row.held,
                longest: row.longest,
                samples: row.seen.samples,
                asleep: row.seen.asleep,
                release: match row.longest.saturating_sub(row.kept) <= Ns(row.longest.0 / 10) + EDGES {
                    true => Release::Never,
                    false => Release::NotKnown,
                },
                ongoing: row.ongoing,
            })
            .collect();
        holds.sort_by_key(|hold| std::cmp::Reverse(hold.held));
        holds.truncate(SHOWN);
        holds
    }

    /// The key that stands for all ways into one place.
    fn place_of(&mut self, native: NativeKey, info: &Arc<NativeInfo>) -> NativeKey {
        let place = *self.by_place.entry((info.kind, info.place.clone())).or_insert(native);
        let way = self.places.entry(place).or_default().ways.entry(native).or_insert_with(|| (0, Arc::clone(info)));
        way.0 += 1;
        place
    }
}

/// The ways into one place: from itself, or by functions of the C library. How often each was seen.
#[derive(Debug, Clone, Default)]
struct Ways {
    ways: BTreeMap<NativeKey, (u64, Arc<NativeInfo>)>,
}

impl Ways {
    /// The one that was seen most often stands for all.
    fn way(&self) -> Option<Arc<NativeInfo>> {
        self.ways.values().max_by_key(|(times, _)| *times).map(|(_, info)| Arc::clone(info))
    }
}
