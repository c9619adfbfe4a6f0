//! Jobs of the sampler that recur, each as often as its cost allows.

use crate::instruments::clock;
use crate::time::{MonoNs, Ns};

/// A job that recurs, as often as its cost allows.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Shortest time between two beginnings.
    pub spacing: Ns,
    /// When it is due.
    pub due: MonoNs,
    /// When it began last.
    pub began: MonoNs,
    share: u64,
    cost: Ns,
}

impl Job {
    /// One that is due, and may take one part in `share` of the time.
    pub fn new(spacing: Ns, share: u64) -> Job {
        Job { spacing, due: MonoNs(0), began: MonoNs(0), share, cost: Ns(0) }
    }

    /// Whether it is due.
    pub fn is_due(&self, now: MonoNs) -> bool {
        now >= self.due
    }

    /// It begins.
    pub fn begins(&mut self, now: MonoNs) {
        (self.began, self.cost) = (now, Ns(0));
    }

    /// A part of it took from `since` until now: the more it has cost, the later it is due again.
    pub fn spent(&mut self, since: MonoNs) {
        self.cost += clock::now().since(since);
        self.due = self.began + self.spacing.max(Ns(self.cost.0.saturating_mul(self.share)));
    }
}
