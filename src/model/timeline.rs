//! GIL figures over time in fixed memory: a few rings of bins, each ring coarser than the one before.

use std::collections::VecDeque;

use crate::time::{MonoNs, Ns};

/// Bins kept in each ring.
pub const BINS: usize = 600;

/// Widths of the bins, finest first: 0.1 s for a minute, 1 s for ten minutes, 1 min for ten hours, 30 min for 12 days.
pub const WIDTHS: [Ns; 4] = [Ns(100_000_000), Ns(1_000_000_000), Ns(60_000_000_000), Ns(1_800_000_000_000)];

/// What happened in one bin, as integrals over its observed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bin {
    /// Observed time in it; zero is a gap.
    pub observed: Ns,
    /// Of that, held.
    pub held: Ns,
    /// Of that, held by a thread asleep in the kernel.
    pub held_asleep: Ns,
    /// Of that, with at least one waiter.
    pub contended: Ns,
    /// Integral of the number of waiters.
    pub lost: Ns,
    /// Handoffs.
    pub handoffs: u64,
}

impl Bin {
    /// Adds what happened in another one.
    pub fn add(&mut self, other: &Bin) {
        self.observed += other.observed;
        self.held += other.held;
        self.held_asleep += other.held_asleep;
        self.contended += other.contended;
        self.lost += other.lost;
        self.handoffs = self.handoffs.saturating_add(other.handoffs);
    }
}

/// One ring of bins of one width.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Width of a bin.
    pub width: Ns,
    /// Number of the newest bin: its start is `newest * width` on `CLOCK_MONOTONIC`.
    newest: u64,
    bins: VecDeque<Bin>,
}

impl Ring {
    fn new(width: Ns) -> Ring {
        Ring { width, newest: 0, bins: VecDeque::new() }
    }

    fn add(&mut self, at: MonoNs, bin: &Bin) {
        let number = at.0 / self.width.0;
        if self.bins.is_empty() {
            self.newest = number;
            self.bins.push_back(Bin::default());
        }
        let ahead = number.saturating_sub(self.newest);
        if ahead >= BINS as u64 {
            self.bins.clear();
            self.bins.push_back(Bin::default());
        } else {
            for _ in 0..ahead {
                self.bins.push_back(Bin::default());
            }
        }
        self.newest = self.newest.max(number);
        while self.bins.len() > BINS {
            self.bins.pop_front();
        }
        let behind = usize::try_from(self.newest - number.min(self.newest)).unwrap_or(usize::MAX);
        let len = self.bins.len();
        if let Some(slot) = len.checked_sub(behind.saturating_add(1)).and_then(|i| self.bins.get_mut(i)) {
            slot.add(bin);
        }
    }

    /// The bins with the start of each, oldest first. Gaps are bins with no observed time.
    pub fn bins(&self) -> impl ExactSizeIterator<Item = (MonoNs, &Bin)> {
        let first = (self.newest + 1).saturating_sub(self.bins.len() as u64);
        self.bins.iter().enumerate().map(move |(i, bin)| (MonoNs((first + i as u64) * self.width.0), bin))
    }
}

/// Figures over time at a few widths, in fixed memory.
#[derive(Debug, Clone)]
pub struct Timeline {
    rings: [Ring; WIDTHS.len()],
}

impl Default for Timeline {
    fn default() -> Timeline {
        Timeline { rings: WIDTHS.map(Ring::new) }
    }
}

impl Timeline {
    /// Adds what was observed from `from` to `to`. It is spread over the bins it covers in proportion.
    pub fn add(&mut self, from: MonoNs, to: MonoNs, bin: &Bin) {
        let whole = to.since(from);
        if whole == Ns::ZERO {
            return;
        }
        for ring in &mut self.rings {
            let mut start = from;
            while start < to {
                let bin_end = MonoNs((start.0 / ring.width.0 + 1).saturating_mul(ring.width.0));
                let end = bin_end.min(to);
                let part = |length: Ns| length.scaled(end.since(start), whole);
                ring.add(
                    start,
                    &Bin {
                        observed: part(bin.observed),
                        held: part(bin.held),
                        held_asleep: part(bin.held_asleep),
                        contended: part(bin.contended),
                        lost: part(bin.lost),
                        handoffs: if end == to { bin.handoffs } else { 0 },
                    },
                );
                start = end;
            }
        }
    }

    /// The finest ring that reaches back to `since`, else the coarsest.
    pub fn ring_since(&self, since: MonoNs, now: MonoNs) -> &Ring {
        let span = now.since(since);
        let [first, .., last] = &self.rings;
        if span.0 <= first.width.0 * BINS as u64 {
            return first;
        }
        self.rings.iter().find(|ring| span.0 <= ring.width.0 * BINS as u64).unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ns: u64) -> Bin {
        Bin { observed: Ns(ns), held: Ns(ns), ..Bin::default() }
    }

    #[test]
    fn what_spans_bins_is_spread_and_adds_up() {
        let mut line = Timeline::default();
        line.add(MonoNs(50_000_000), MonoNs(250_000_000), &held(200_000_000));
        let bins: Vec<_> = line.rings[0].bins().map(|(at, b)| (at.0, b.held.0)).collect();
        assert_eq!(bins, [(0, 50_000_000), (100_000_000, 100_000_000), (200_000_000, 50_000_000)]);
    }

    #[test]
    fn gaps_stay_gaps() {
        let mut line = Timeline::default();
        line.add(MonoNs(0), MonoNs(100_000_000), &held(100_000_000));
        line.add(MonoNs(500_000_000), MonoNs(600_000_000), &held(100_000_000));
        let observed: Vec<_> = line.rings[0].bins().map(|(_, b)| b.observed.0 / 1_000_000).collect();
        assert_eq!(observed, [100, 0, 0, 0, 0, 100]);
    }

    #[test]
    fn memory_is_fixed_however_long_it_runs() {
        let mut line = Timeline::default();
        for s in 0..100_000u64 {
            line.add(MonoNs(s * 1_000_000_000), MonoNs((s + 1) * 1_000_000_000), &held(1_000_000_000));
        }
        for ring in &line.rings {
            assert!(ring.bins.len() <= BINS);
        }
        let now = MonoNs(100_000 * 1_000_000_000);
        assert_eq!(line.ring_since(now - Ns::from_millis(30_000), now).width, WIDTHS[0]);
        assert_eq!(line.ring_since(MonoNs(0), now).width, WIDTHS[3]);
    }
}
