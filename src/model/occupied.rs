//! What a process's threads did on each core over time, by the records of their switches: on it, or queued for it.
//!
//! Bins are filled in the order of time, so a thread that stays where it is counts bin by bin, as time goes on. Who of
//! those on a core holds the GIL is told by [`Lanes`](crate::model::lanes::Lanes), whose bins are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Cpu, Departure, ThreadKey};
use crate::model::bins::{BINS, Gathering, Rings, WIDTHS};
use crate::model::lanes::Company;
use crate::time::{MonoNs, Ns};

/// Different (core, thread) pairs that are told apart within one bin; what is beyond belongs to nobody.
const PAIRS_KEPT: usize = 1_024;
/// Threads whose places are followed at one time.
const PLACES_KEPT: usize = 1 << 16;

/// What the threads did on the cores, at a few widths of bin.
pub type Occupied = Rings<Gathered>;

/// What happened in one bin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OccupiedBin {
    /// Time in it during which the switches of all threads were told; zero is a gap.
    pub told: Ns,
    /// The cores that a thread was on, or queued for, by number.
    pub cores: Vec<OccupiedCell>,
}

/// One core in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OccupiedCell {
    /// Which core.
    pub cpu: Cpu,
    /// Time a thread was on it.
    pub on_core: Ns,
    /// Thread-time spent queued for a core by threads that were on this one last.
    pub queued: Ns,
    /// The thread that was on it longest, or queued if none was.
    pub thread: ThreadKey,
    /// Whether others were, too.
    pub company: Company,
}

/// What is added to a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The switches of all threads were told.
    Told,
    /// A thread was on a core.
    On(Cpu, ThreadKey),
    /// A thread was queued for a core; it was on this one last.
    Queued(Cpu, ThreadKey),
}

/// The bin in progress.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    told: Ns,
    pairs: BTreeMap<(Cpu, ThreadKey), Pair>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    on_core: Ns,
    queued: Ns,
}

impl Gathering for Gathered {
    type Piece = Piece;
    type Bin = OccupiedBin;

    fn add(&mut self, length: Ns, piece: &Piece) {
        let (key, on_core, queued) = match *piece {
            Piece::Told => {
                self.told += length;
                return;
            }
            Piece::On(cpu, thread) => ((cpu, thread), length, Ns::ZERO),
            Piece::Queued(cpu, thread) => ((cpu, thread), Ns::ZERO, length),
        };
        if self.pairs.len() < PAIRS_KEPT || self.pairs.contains_key(&key) {
            let pair = self.pairs.entry(key).or_default();
            pair.on_core += on_core;
            pair.queued += queued;
        }
    }

    fn is_empty(&self) -> bool {
        self.told == Ns::ZERO && self.pairs.is_empty()
    }

    fn bin(&self) -> OccupiedBin {
        let mut cores: Vec<OccupiedCell> = Vec::new();
        let mut longest = Pair::default();
        for ((cpu, thread), pair) in &self.pairs {
            match cores.last_mut().filter(|cell| cell.cpu == *cpu) {
                Some(cell) => {
                    cell.on_core += pair.on_core;
                    cell.queued += pair.queued;
                    cell.company = Company::WithOthers;
                    if (pair.on_core, pair.queued) > (longest.on_core, longest.queued) {
                        (longest, cell.thread) = (*pair, *thread);
                    }
                }
                None => {
                    longest = *pair;
                    cores.push(OccupiedCell {
                        cpu: *cpu,
                        on_core: pair.on_core,
                        queued: pair.queued,
                        thread: *thread,
                        company: Company::Alone,
                    });
                }
            }
        }
        OccupiedBin { told: self.told, cores }
    }
}

/// Where each thread is, and the bins that follow from it.
#[derive(Debug, Clone, Default)]
pub struct Places {
    now: MonoNs,
    at: BTreeMap<ThreadKey, Place>,
    bins: Arc<Occupied>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    piece: Piece,
    since: MonoNs,
}

/// Whether the switches of all threads are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllTold {
    /// They are.
    Yes,
    /// Of some, they are not.
    No,
}

impl Places {
    /// Nobody is anywhere yet.
    pub fn beginning(at: MonoNs) -> Places {
        Places { now: at, ..Places::default() }
    }

    /// Time moves on to `at`: whoever is somewhere has been there up to now. Costs nothing within a bin.
    pub fn move_to(&mut self, at: MonoNs, told: AllTold) {
        let [width, ..] = WIDTHS;
        let number = |at: MonoNs| at.0 / width.0;
        if number(at) <= number(self.now) {
            return;
        }
        // Nobody told anything for longer than the finest bins reach: where threads were meanwhile is not made up.
        if number(at) - number(self.now) > BINS as u64 {
            self.now = at;
            self.at.values_mut().for_each(|place| place.since = at);
            return;
        }
        let bins = Arc::make_mut(&mut self.bins);
        while number(self.now) < number(at) {
            let edge = MonoNs((number(self.now) + 1).saturating_mul(width.0));
            for place in self.at.values_mut() {
                bins.add(place.since, edge, &place.piece);
                place.since = edge;
            }
            if told == AllTold::Yes {
                bins.add(self.now, edge, &Piece::Told);
            }
            self.now = edge;
        }
        if told == AllTold::Yes {
            bins.add(self.now, at, &Piece::Told);
        }
        self.now = at;
    }

    /// The thread got a core.
    pub fn arrives(&mut self, thread: ThreadKey, at: MonoNs, cpu: Cpu) {
        self.leaves(thread, at);
        self.put(thread, at, Piece::On(cpu, thread));
    }

    /// The thread left its core.
    pub fn departs(&mut self, thread: ThreadKey, at: MonoNs, how: Departure) {
        if let Some(Place { piece: Piece::On(cpu, _), .. }) = self.leaves(thread, at)
            && how == Departure::Preempted
        {
            self.put(thread, at, Piece::Queued(cpu, thread));
        }
    }

    /// Where the thread is, is no longer told.
    pub fn forget(&mut self, thread: ThreadKey, at: MonoNs) {
        self.leaves(thread, at);
    }

    /// Where threads are, is no longer told.
    pub fn forget_all(&mut self, at: MonoNs) {
        for thread in self.at.keys().copied().collect::<Vec<_>>() {
            self.leaves(thread, at);
        }
    }

    fn put(&mut self, thread: ThreadKey, at: MonoNs, piece: Piece) {
        if self.at.len() < PLACES_KEPT {
            self.at.insert(thread, Place { piece, since: at });
        }
    }

    fn leaves(&mut self, thread: ThreadKey, at: MonoNs) -> Option<Place> {
        let place = self.at.remove(&thread)?;
        if place.since < at {
            Arc::make_mut(&mut self.bins).add(place.since, at, &place.piece);
        }
        Some(place)
    }

    /// The bins, as far as they are filled: up to the newest edge of one, and what has ended since.
    pub fn bins(&self) -> &Arc<Occupied> {
        &self.bins
    }
}
