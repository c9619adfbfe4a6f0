//! How a pair's time is divided over what the holder executed.
//!
//! **The estimator.** Instants are drawn at random with a known intensity, whatever the threads do, and count while the
//! thread waits. A sample stands for the mean time between two instants when it was drawn, the inverse of its chance to be
//! drawn (Horvitz and Thompson, J. Am. Stat. Assoc. 47, 1952); the shares are ratios of such sums (Hájek, in Foundations
//! of Statistical Inference, 1971), and are applied to the pair's time, which is known without samples. The length of a
//! hold is no weight: a long hold is hit more often by itself. A sample whose stack was not found out keeps its weight,
//! as "unsampled": left out, it would favour those that are easy to walk.

use crate::event::{SampleCause, StackKey};
use crate::time::Ns;

/// Fewer samples say nothing about shares.
pub const LEAST_SAMPLES: u32 = 5;
/// Stacks of a pair that are kept one by one.
const STACKS: usize = 48;

/// What a part of a pair's time rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Samples at random instants.
    Random,
    /// One sample of a long hold: it names, and divides nothing.
    LongHold,
    /// There are too few samples, or their stacks were not found out.
    Unsampled,
}

/// A part of a pair's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What the holder executed; `None`: not known.
    pub stack: Option<StackKey>,
    /// The time.
    pub time: Ns,
    /// The samples behind it.
    pub samples: u32,
    /// What it rests on.
    pub basis: Basis,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    stack: Option<StackKey>,
    weight: Ns,
    samples: u32,
}

/// The samples of a pair.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    random: Vec<Share>,
    named: Option<StackKey>,
}

impl Shares {
    /// Takes a sample.
    pub fn add(&mut self, stack: Option<StackKey>, cause: SampleCause) {
        match cause {
            SampleCause::Random { every } => self.weigh(Share { stack, weight: every, samples: 1 }),
            SampleCause::LongHold => self.named = stack.or(self.named),
        }
    }

    /// Takes those of another pair: the sums of both are that of both together.
    pub fn absorb(&mut self, other: &Shares) {
        other.random.iter().for_each(|share| self.weigh(*share));
        self.named = self.named.or(other.named);
    }

    /// How many there are.
    pub fn samples(&self) -> u32 {
        self.random.iter().fold(0, |sum, share| sum.saturating_add(share.samples))
    }

    /// The time that its samples stand for.
    pub fn weight(&self) -> Ns {
        self.random.iter().map(|share| share.weight).sum()
    }

    fn weigh(&mut self, share: Share) {
        if let Some(known) = self.random.iter_mut().find(|known| known.stack == share.stack) {
            known.weight += share.weight;
            known.samples = known.samples.saturating_add(share.samples);
            return;
        }
        if self.random.len() >= STACKS {
            let named = self.random.iter().enumerate().filter(|(_, share)| share.stack.is_some());
            if let Some((smallest, _)) = named.min_by_key(|(_, share)| share.weight) {
                let smallest = self.random.swap_remove(smallest);
                self.random.push(share);
                return self.weigh_unnamed(smallest);
            }
        }
        self.random.push(share);
    }

    fn weigh_unnamed(&mut self, share: Share) {
        match self.random.iter_mut().find(|known| known.stack.is_none()) {
            Some(known) => {
                known.weight += share.weight;
                known.samples = known.samples.saturating_add(share.samples);
            }
            None => self.random.push(Share { stack: None, ..share }),
        }
    }

    /// Divides the pair's `time`: the parts add up to it.
    pub fn divide(&self, time: Ns) -> Vec<Part> {
        let samples = self.samples();
        let weight = self.weight();
        if samples < LEAST_SAMPLES || weight == Ns::ZERO {
            return vec![match self.named {
                Some(stack) => Part { stack: Some(stack), time, samples, basis: Basis::LongHold },
                None => Part { stack: None, time, samples, basis: Basis::Unsampled },
            }];
        }
        // Weights beyond all measure, of a damaged recording, have a sum that is too small.
        let mut left = time;
        let part = |share: &Share| {
            let time = time.scaled(share.weight, weight).min(left);
            left = left.saturating_sub(time);
            let basis = if share.stack.is_some() { Basis::Random } else { Basis::Unsampled };
            Part { stack: share.stack, time, samples: share.samples, basis }
        };
        let mut parts: Vec<Part> = self.random.iter().map(part).collect();
        parts.sort_by_key(|part| std::cmp::Reverse((part.time, part.stack)));
        let rest = time.saturating_sub(parts.iter().map(|part| part.time).sum());
        if let Some(largest) = parts.first_mut() {
            largest.time += rest;
        }
        parts
    }
}
