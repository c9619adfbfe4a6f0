//! What happened in bins of time, in fixed memory: a few widths of bin, and a ring of fixed length of each.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use crate::time::{MonoNs, Ns};

/// Bins kept in each ring, unless what is put together says otherwise.
pub const BINS: usize = 600;

/// Widths of the bins, finest first: 10 ms for six seconds, 0.1 s for a minute, 1 s for ten minutes, 1 min for ten hours.
pub const WIDTHS: [Ns; 4] = [Ns(10_000_000), Ns(100_000_000), Ns(1_000_000_000), Ns(60_000_000_000)];

/// What is put together in a bin in progress.
pub trait Gathering: Default + Clone + Debug {
    /// What is put in.
    type Piece;
    /// What comes of it; without anything put in: a gap.
    type Bin: Default + Clone + Debug;

    /// Bins kept in each ring.
    const BINS: usize = BINS;
    /// What the bins of a ring may weigh together; the oldest go first.
    const WEIGHT: usize = usize::MAX;

    /// What a bin weighs.
    fn weight(_bin: &Self::Bin) -> usize {
        0
    }
    /// Takes something that lasted for `length`.
    fn add(&mut self, length: Ns, piece: &Self::Piece);
    /// Whether anything was put in.
    fn is_empty(&self) -> bool;
    /// What has come of it.
    fn bin(&self) -> Self::Bin;
}

/// One ring of bins of one width.
#[derive(Debug, Clone)]
pub struct Ring<G: Gathering> {
    /// Width of a bin.
    pub width: Ns,
    /// Number of the bin in progress: its start is `number * width`.
    number: u64,
    current: G,
    /// Closed bins, oldest first, up to the one before `number`.
    closed: VecDeque<Arc<G::Bin>>,
    /// What they weigh together.
    weight: usize,
    gap: Arc<G::Bin>,
}

impl<G: Gathering> Ring<G> {
    fn new(width: Ns) -> Ring<G> {
        Ring { width, number: 0, current: G::default(), closed: VecDeque::new(), weight: 0, gap: Arc::default() }
    }

    fn add(&mut self, start: MonoNs, length: Ns, piece: &G::Piece) {
        let number = start.0 / self.width.0;
        if number > self.number {
            let first = self.closed.is_empty() && self.current.is_empty();
            if !first {
                let done = std::mem::take(&mut self.current).bin();
                self.weight += G::weight(&done);
                self.closed.push_back(Arc::new(done));
                let missing = (number - self.number - 1).min(G::BINS as u64);
                self.closed.extend((0..missing).map(|_| Arc::clone(&self.gap)));
                while self.closed.len() >= G::BINS || self.weight > G::WEIGHT {
                    let Some(gone) = self.closed.pop_front() else { break };
                    self.weight = self.weight.saturating_sub(G::weight(&gone));
                }
            }
            self.number = number;
        }
        self.current.add(length, piece);
    }

    /// The start of the oldest bin.
    pub fn since(&self) -> MonoNs {
        MonoNs(self.number.saturating_sub(self.closed.len() as u64).saturating_mul(self.width.0))
    }

    /// What its closed bins weigh together.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The bins with the start of each, oldest first; the last one is still in progress.
    pub fn bins(&self) -> impl Iterator<Item = (MonoNs, Arc<G::Bin>)> + '_ {
        let first = self.number.saturating_sub(self.closed.len() as u64);
        let current = (!self.current.is_empty()).then(|| Arc::new(self.current.bin()));
        self.closed
            .iter()
            .cloned()
            .chain(current)
            .enumerate()
            .map(move |(i, bin)| (MonoNs((first + i as u64).saturating_mul(self.width.0)), bin))
    }

    #[cfg(test)]
    pub(super) fn in_progress(&self) -> &G {
        &self.current
    }
}

/// Bins of a few widths.
#[derive(Debug, Clone)]
pub struct Rings<G: Gathering> {
    rings: [Ring<G>; WIDTHS.len()],
}

impl<G: Gathering> Default for Rings<G> {
    fn default() -> Rings<G> {
        Rings { rings: WIDTHS.map(Ring::new) }
    }
}

impl<G: Gathering> Rings<G> {
    /// Adds what was so from `from` to `to`. Nothing may be added to a bin that later ones have begun after.
    pub fn add(&mut self, from: MonoNs, to: MonoNs, piece: &G::Piece) {
        for ring in &mut self.rings {
            let mut start = from;
            while start < to {
                let bin_end = MonoNs((start.0 / ring.width.0 + 1).saturating_mul(ring.width.0));
                let end = bin_end.min(to);
                ring.add(start, end.since(start), piece);
                start = end;
            }
        }
    }

    /// The rings, finest first.
    pub fn all(&self) -> &[Ring<G>] {
        &self.rings
    }

    /// The coarsest ring whose bins are no wider than `width`, and fit into it without a rest.
    pub fn ring_within(&self, width: Ns) -> &Ring<G> {
        let [first, ..] = &self.rings;
        let fits = |ring: &&Ring<G>| ring.width <= width && width.0.is_multiple_of(ring.width.0);
        self.rings.iter().rev().find(fits).unwrap_or(first)
    }

    /// The finest ring that reaches back by `span`, else the coarsest.
    pub fn ring_for(&self, span: Ns) -> &Ring<G> {
        let [.., last] = &self.rings;
        self.rings.iter().find(|ring| span.0 <= ring.width.0.saturating_mul(G::BINS as u64)).unwrap_or(last)
    }
}
