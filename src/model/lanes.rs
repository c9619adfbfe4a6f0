//! Where one GIL was over time: which thread held it on which core, in fixed memory.
//!
//! A GIL is in one place at a time, so one sequence of bins tells about every
//! core: a bin lists the cores on which the GIL was held during it. Bins come in
//! a few widths, and each ring of bins is of fixed length.

use crate::event::{Cpu, ThreadKey};
use crate::model::bins::{self, Rings};
use crate::time::Ns;

/// Different (core, thread) pairs that are told apart within one bin; what is beyond counts as unplaced.
const PAIRS_KEPT: usize = 512;

/// How a thread holds, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// On this core, or queued for it.
    On(Cpu),
    /// Asleep in the kernel; it ran last on this core.
    Asleep(Cpu),
    /// Nobody could tell where.
    Unplaced,
}

/// What was seen during one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Who held it and how; `None`: it was free.
    pub hold: Option<(Option<ThreadKey>, Holding)>,
    /// How many waited.
    pub waiters: u32,
}

/// What happened in one bin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneBin {
    /// Observed time in it; zero is a gap.
    pub observed: Ns,
    /// Of that, held where nobody could tell.
    pub unplaced: Ns,
    /// Integral of the number of waiters.
    pub waited: Ns,
    /// The cores on which it was held, by number.
    pub cores: Vec<LaneCell>,
}

/// One core in one bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneCell {
    /// Which core.
    pub cpu: Cpu,
    /// Time the GIL was held there by a thread on the core (or queued for it).
    pub running: Ns,
    /// Time it was held by a thread that slept, having run there last.
    pub asleep: Ns,
    /// The thread that held it longest there.
    pub thread: ThreadKey,
    /// Whether other threads held it there as well.
    pub company: Company,
}

/// Whether one thread held on a core in a bin, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// Only the one named.
    Alone,
    /// Others too.
    WithOthers,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    cpu: Cpu,
    thread: ThreadKey,
    running: Ns,
    asleep: Ns,
}

/// The bin in progress.
#[derive(Debug, Clone, Default)]
pub struct Gathering {
    observed: Ns,
    unplaced: Ns,
    waited: Ns,
    pairs: Vec<Pair>,
}

impl bins::Gathering for Gathering {
    type Piece = Stretch;
    type Bin = LaneBin;

    fn add(&mut self, length: Ns, stretch: &Stretch) {
        self.observed += length;
        self.waited += Ns(length.0.saturating_mul(u64::from(stretch.waiters)));
        let placed = match stretch.hold {
            None => return,
            Some((Some(thread), Holding::On(cpu))) => Some((thread, cpu, length, Ns::ZERO)),
            Some((Some(thread), Holding::Asleep(cpu))) => Some((thread, cpu, Ns::ZERO, length)),
            Some((_, Holding::Unplaced) | (None, _)) => None,
        };
        let Some((thread, cpu, running, asleep)) = placed else {
            self.unplaced += length;
            return;
        };
        let room = self.pairs.len() < PAIRS_KEPT;
        match self.pairs.iter_mut().find(|pair| pair.cpu == cpu && pair.thread == thread) {
            Some(pair) => {
                pair.running += running;
                pair.asleep += asleep;
            }
            None if room => self.pairs.push(Pair { cpu, thread, running, asleep }),
            None => self.unplaced += length,
        }
    }

    fn is_empty(&self) -> bool {
        self.observed == Ns::ZERO
    }

    fn bin(&self) -> LaneBin {
        let mut pairs = self.pairs.clone();
        pairs.sort_unstable_by_key(|p| (p.cpu, std::cmp::Reverse(p.running + p.asleep), p.thread));
        let mut cores: Vec<LaneCell> = Vec::new();
        for pair in pairs {
            match cores.last_mut().filter(|cell| cell.cpu == pair.cpu) {
                Some(cell) => {
                    cell.running += pair.running;
                    cell.asleep += pair.asleep;
                    cell.company = Company::WithOthers;
                }
                None => cores.push(LaneCell {
                    cpu: pair.cpu,
                    running: pair.running,
                    asleep: pair.asleep,
                    thread: pair.thread,
                    company: Company::Alone,
                }),
            }
        }
        LaneBin { observed: self.observed, unplaced: self.unplaced, waited: self.waited, cores }
    }
}

/// Where a GIL was, at a few widths of bin.
pub type Lanes = Rings<Gathering>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bins::BINS;
    use crate::time::MonoNs;

    fn on(thread: u32, cpu: u16, waiters: u32) -> Stretch {
        Stretch { hold: Some((Some(ThreadKey(thread)), Holding::On(Cpu(cpu)))), waiters }
    }

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    #[test]
    fn every_nanosecond_lands_in_one_place() {
        let mut lanes = Lanes::default();
        lanes.add(ms(5), ms(25), &on(1, 0, 2));
        lanes.add(ms(25), ms(28), &on(2, 0, 0));
        lanes.add(ms(28), ms(29), &Stretch { hold: Some((Some(ThreadKey(2)), Holding::Asleep(Cpu(3)))), waiters: 0 });
        lanes.add(ms(29), ms(30), &Stretch { hold: Some((None, Holding::Unplaced)), waiters: 0 });
        let bins: Vec<_> = lanes.ring_for(Ns::SECOND).bins().collect();
        assert_eq!(
            bins.iter().map(|(at, b)| (at.0 / 1_000_000, b.observed.0)).collect::<Vec<_>>(),
            [(0, 5_000_000), (10, 10_000_000), (20, 10_000_000)]
        );
        let last = &bins[2].1;
        assert_eq!((last.unplaced, last.waited), (Ns::MILLISECOND, Ns::from_millis(10)));
        assert_eq!(last.cores.len(), 2);
        assert_eq!(last.cores[0].running, Ns::from_millis(8));
        assert_eq!((last.cores[0].thread, last.cores[0].company), (ThreadKey(1), Company::WithOthers));
        assert_eq!((last.cores[1].cpu, last.cores[1].asleep), (Cpu(3), Ns::MILLISECOND));
    }

    #[test]
    fn gaps_stay_gaps_and_memory_is_fixed() {
        let mut lanes = Lanes::default();
        lanes.add(ms(0), ms(10), &on(1, 0, 0));
        lanes.add(ms(40), ms(50), &on(1, 0, 0));
        let observed: Vec<u64> = lanes.ring_for(Ns::SECOND).bins().map(|(_, b)| b.observed.0 / 1_000_000).collect();
        assert_eq!(observed, [10, 0, 0, 0, 10]);
        for s in 0..20_000u64 {
            lanes.add(ms(1_000 * s), ms(1_000 * s + 7), &on(s as u32, (s % 64) as u16, 1));
        }
        lanes.add(ms(900_000_000), ms(900_000_001), &on(1, 0, 0));
        for ring in lanes.all() {
            assert!(ring.bins().count() <= BINS);
            assert!(ring.in_progress().pairs.len() <= PAIRS_KEPT);
        }
    }

    #[test]
    fn pairs_beyond_the_bound_are_unplaced_and_not_lost() {
        let mut lanes = Lanes::default();
        for n in 0..2_000u32 {
            let at = MonoNs(u64::from(n) * 1_000);
            lanes.add(at, at + Ns(1_000), &on(n, (n % 300) as u16, 0));
        }
        let (_, bin) = lanes.ring_for(Ns::SECOND).bins().next().unwrap();
        let placed: Ns = bin.cores.iter().map(|c| c.running + c.asleep).sum();
        assert_eq!(placed + bin.unplaced, bin.observed);
        assert_eq!(bin.observed, Ns(2_000_000));
    }
}
