//! What threads did, as far as it is settled: their segments, added up in bins of a few widths, which reach back further than
//! the log.
//!
//! A thread that did nothing in a bin is not in it. Memory is fixed by the number of bins, and by what they hold together.

use std::collections::BTreeMap;

use super::sums::{Going, Spells, Sums, by_column};
use super::{Doing, Handoff, Lane, Passing, Segment, Segments, Sharpness};
use crate::event::ThreadKey;
use crate::model::bins::{Gathering, Ring, Rings, WIDTHS};
use crate::model::snapshot::{StateTimes, ThreadState};
use crate::time::{MonoNs, Ns};

/// What is older than this does not change any more, but for totals that are read late.
const SETTLED: Ns = Ns(150_000_000);
/// Late totals are waited for no longer than this.
const AWAITED: Ns = Ns(1_000_000_000);
/// How often what is settled is added up where the log forgets nothing.
const EVERY: Ns = Ns(100_000_000);
/// Bins that are added up at once, of the finest width.
const AT_ONCE: u64 = 100;
/// Of a longer time that the log reaches back to, so much is added up: at most twenty minutes.
const LONGEST: Ns = Ns(1_200_000_000_000);

/// Handoffs in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Those that were seen.
    pub seen: u64,
    /// Of these, the forced ones.
    pub forced: u64,
    /// Of these, those of which it is not clear.
    pub unclear: u64,
    /// Those of which CPython's count tells alone.
    pub missed: u64,
}

impl Passed {
    /// All of them, by CPython's count.
    pub fn counted(&self) -> u64 {
        self.seen + self.missed
    }

    /// Adds one that was seen.
    pub(in crate::model) fn note(&mut self, handoff: &Handoff) {
        self.seen += 1;
        match handoff.passing {
            Passing::Forced => self.forced += 1,
            Passing::Voluntary => {}
            Passing::Unclear | Passing::Undecided => self.unclear += 1,
        }
    }

    /// Adds those of another stretch.
    pub fn add(&mut self, other: &Passed) {
        self.seen += other.seen;
        self.forced += other.forced;
        self.unclear += other.unclear;
        self.missed += other.missed;
    }
}

/// What happened in one bin of the finest width.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Piece {
    /// Those that did anything.
    threads: Vec<(ThreadKey, Sums)>,
    passed: Passed,
    told: Ns,
}

/// The bin in progress.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Gathered {
    threads: BTreeMap<ThreadKey, Sums>,
    passed: Passed,
    told: Ns,
}

/// A bin.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Bin {
    /// So much of it was still kept when it was added up.
    told: Ns,
    passed: Passed,
    /// Those that did anything, by key.
    cells: Box<[Cell]>,
}

/// What a thread did in a bin, in less room: time in units of [`UNIT`].
#[derive(Debug, Clone, Copy)]
struct Cell {
    thread: ThreadKey,
    known: [u32; ThreadState::LIVING.len()],
    average: [u32; AVERAGES.len()],
    /// In microseconds, like what follows.
    over: u32,
    waits: Tight,
    holds: Tight,
}

#[derive(Debug, Clone, Copy)]
struct Tight {
    number: u32,
    /// The longest in microseconds, and in the lowest bit whether one began before.
    longest: u32,
}

/// With which a minute still fits.
const UNIT: u64 = 16;

/// Those of which there may be averages.
const AVERAGES: [ThreadState; 4] =
    [ThreadState::Running, ThreadState::Native, ThreadState::Runnable, ThreadState::Idle];

fn packed(length: Ns) -> u32 {
    // What was there does not vanish.
    let units = (length.0 + UNIT / 2) / UNIT;
    u32::try_from(units.max(u64::from(length > Ns::ZERO))).unwrap_or(u32::MAX)
}

fn micros(length: Ns) -> u32 {
    u32::try_from(length.0.div_ceil(1_000)).unwrap_or(u32::MAX)
}

impl Tight {
    fn of(spells: &Spells) -> Tight {
        let number = u32::try_from(spells.number).unwrap_or(u32::MAX);
        let longest = micros(spells.longest).min(u32::MAX >> 1) << 1 | u32::from(spells.carried > 0);
        Tight { number, longest }
    }

    fn spells(self) -> Spells {
        let longest = Ns::from_micros(u64::from(self.longest >> 1));
        Spells { number: u64::from(self.number), carried: u64::from(self.longest & 1), longest }
    }
}

impl Cell {
    fn of(thread: ThreadKey, sums: &Sums) -> Cell {
        Cell {
            thread,
            known: ThreadState::LIVING.map(|state| packed(sums.known.get(state))),
            average: AVERAGES.map(|state| packed(sums.average.get(state))),
            over: micros(sums.over),
            waits: Tight::of(&sums.waits),
            holds: Tight::of(&sums.holds),
        }
    }

    fn sums(&self) -> Sums {
        let times = |states: &[ThreadState], lengths: &[u32]| {
            let mut times = StateTimes::default();
            for (state, length) in states.iter().zip(lengths) {
                times.add(*state, Ns(u64::from(*length) * UNIT));
            }
            times
        };
        Sums {
            known: times(&ThreadState::LIVING, &self.known),
            average: times(&AVERAGES, &self.average),
            over: Ns::from_micros(u64::from(self.over)),
            waits: self.waits.spells(),
            holds: self.holds.spells(),
        }
    }
}

impl Bin {
    /// So much of it is told of.
    pub(super) fn told(&self) -> Ns {
        self.told
    }

    /// Its handoffs.
    pub(super) fn passed(&self) -> &Passed {
        &self.passed
    }

    /// What threads did in it, to be asked for one after the other.
    pub(super) fn threads(&self) -> Cells<'_> {
        Cells(&self.cells)
    }
}

/// What threads did in a bin, by their keys.
pub(super) struct Cells<'a>(&'a [Cell]);

impl Cells<'_> {
    /// What a thread did, beside nothing. Those before it are passed over.
    pub(super) fn next_for(&mut self, thread: ThreadKey) -> Option<Sums> {
        while let Some((first, rest)) = self.0.split_first().filter(|(first, _)| first.thread <= thread) {
            self.0 = rest;
            if first.thread == thread {
                return Some(first.sums());
            }
        }
        None
    }
}

impl Gathering for Gathered {
    type Piece = Piece;
    type Bin = Bin;

    /// A wide screen of columns that are five times as wide.
    const BINS: usize = 1_280;
    /// Of 76 bytes each: some 40 MB, if 1,000 threads do something all the time. They then reach back two minutes by the second.
    const WEIGHT: usize = 1 << 17;

    fn weight(bin: &Bin) -> usize {
        bin.cells.len()
    }

    fn add(&mut self, _length: Ns, piece: &Piece) {
        for (thread, sums) in &piece.threads {
            self.threads.entry(*thread).or_default().then(sums);
        }
        self.told += piece.told;
        self.passed.add(&piece.passed);
    }

    fn is_empty(&self) -> bool {
        self.told == Ns::ZERO && self.threads.is_empty()
    }

    fn bin(&self) -> Bin {
        let cells = self.threads.iter().map(|(thread, sums)| Cell::of(*thread, sums)).collect();
        Bin { told: self.told, passed: self.passed, cells }
    }
}

/// The bins of a process.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Ladder {
    bins: Rings<Gathered>,
    /// Up to here everything is in them: an edge of the finest.
    until: MonoNs,
    /// What went on there.
    going: BTreeMap<ThreadKey, Going>,
}

fn edge_before(at: MonoNs) -> MonoNs {
    let [finest, ..] = WIDTHS;
    MonoNs(at.0 / finest.0 * finest.0)
}

impl Ladder {
    /// Of what begins at `at`.
    pub(in crate::model) fn beginning(at: MonoNs) -> Ladder {
        Ladder { until: edge_before(at), ..Ladder::default() }
    }

    /// Up to here everything is in it.
    pub(in crate::model) fn until(&self) -> MonoNs {
        self.until
    }

    /// Bytes that its closed bins take.
    pub(in crate::model) fn weight(&self) -> usize {
        self.bins.all().iter().map(Ring::weight).sum::<usize>().saturating_mul(std::mem::size_of::<Cell>())
    }

    /// Up to where segments are to be added up at a tick, with the one before it: what is settled, now and then, so that
    /// nobody who looks has to; and what the log is about to forget, which is what ended by `next`. `told`: up to where
    /// everybody's totals are known, for which it takes a look at every thread.
    pub(in crate::model) fn is_due(
        &self,
        (before, at): (MonoNs, MonoNs),
        next: Option<MonoNs>,
        told: impl FnOnce() -> MonoNs,
    ) -> Option<MonoNs> {
        let settled = edge_before(at - SETTLED);
        let to = match next {
            Some(next) if next > self.until => settled,
            _ if settled.since(self.until) < EVERY || edge_before(before) == edge_before(at) => return None,
            _ => settled.min(edge_before(told().max(at - AWAITED))),
        };
        (to > self.until).then_some(to)
    }

    /// Adds up segments up to an edge. `ended`: when a thread ended, if it has.
    pub(in crate::model) fn advance(
        &mut self,
        segments: &Segments,
        to: MonoNs,
        ended: impl Fn(ThreadKey) -> Option<MonoNs>,
    ) {
        if to.since(self.until) > LONGEST {
            (self.until, self.going) = (edge_before(to - LONGEST), BTreeMap::new());
        }
        let [width, ..] = WIDTHS;
        while self.until < to {
            let from = self.until;
            let count = (to.since(from).0 / width.0).clamp(1, AT_ONCE);
            let end = from + Ns(count * width.0);
            let number = |at: MonoNs| usize::try_from(at.since(from).0 / width.0).unwrap_or(usize::MAX);
            let mut pieces = vec![Piece::default(); count as usize];
            let is_there = |lane: &&Lane| lane.start < end && ended(lane.thread).is_none_or(|ended| ended > from);
            let lanes: Vec<&Lane> = segments.lanes().iter().filter(is_there).collect();
            let mut all = segments.composed(lanes.iter().copied(), from, end);
            let mut going = BTreeMap::new();
            for lane in lanes {
                let mut own = all.remove(&lane.thread).unwrap_or_default();
                let begins = lane.start.max(from).max(segments.since());
                let known = own.last().map_or(begins, |last| last.to);
                let lived = ended(lane.thread).unwrap_or(end).min(end);
                if known < lived {
                    own.push(Segment { from: known, to: lived, ..UNTOLD });
                }
                let mut goes_on = self.going.get(&lane.thread).copied().filter(|_| begins == from).unwrap_or_default();
                let sums = by_column(&own, from, width, pieces.len(), &mut goes_on);
                if goes_on.is_on() {
                    going.insert(lane.thread, goes_on);
                }
                for (piece, sums) in pieces.iter_mut().zip(sums).filter(|(_, sums)| !sums.is_idle()) {
                    piece.threads.push((lane.thread, sums));
                }
            }
            for handoff in segments.handoffs(from, end) {
                if let Some(piece) = pieces.get_mut(number(handoff.at)) {
                    piece.passed.note(&handoff);
                }
            }
            for (until, handoffs) in segments.unseen(from, end) {
                if let Some(piece) = pieces.get_mut(number(until - Ns(1))) {
                    piece.passed.missed += handoffs;
                }
            }
            for (place, mut piece) in (0..).zip(pieces) {
                let start = from + Ns(place * width.0);
                piece.told = (start + width).since(start.max(segments.since()));
                self.bins.add(start, start + width, &piece);
            }
            (self.until, self.going) = (end, going);
        }
    }

    /// The finest width of which bins reach back to an instant.
    pub(super) fn width_at(&self, at: MonoNs) -> Option<Ns> {
        let reaches = |ring: &&Ring<Gathered>| ring.since() <= at && at < self.until;
        self.bins.all().iter().find(reaches).map(|ring| ring.width)
    }

    /// The bins that fit into columns.
    pub(super) fn ring(&self, from: MonoNs, column: Ns) -> Option<&Ring<Gathered>> {
        let fits = |ring: &&Ring<Gathered>| {
            column.0.is_multiple_of(ring.width.0) && from.0.is_multiple_of(ring.width.0) && ring.width <= column
        };
        self.bins.all().iter().rev().find(fits)
    }

    /// What went on with a thread where the bins end.
    pub(super) fn going(&self, thread: ThreadKey) -> Going {
        self.going.get(&thread).copied().unwrap_or_default()
    }
}

const UNTOLD: Segment = Segment {
    from: MonoNs(0),
    to: MonoNs(0),
    doing: Doing::Is(ThreadState::Unknown),
    cpu: None,
    begins: Sharpness::Tick,
};
