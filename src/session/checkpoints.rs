//! Copies of the fold at instants of the past, in bounded number and memory: to go back to one of them and fold on
//! is quicker than to fold from the start.

use crate::session::fold::Fold;
use crate::time::{MonoNs, Ns};

/// Most copies that are kept.
pub const CHECKPOINTS_KEPT: usize = 96;
/// Most memory that they may hold on to together, in bytes.
const WEIGHT_KEPT: usize = 384 * 1024 * 1024;
/// With fewer there is no going back worth its name.
const FEWEST: usize = 4;
/// Time between two copies at first.
const SPACING: Ns = Ns(2_000_000_000);

/// Copies of the fold, oldest first.
#[derive(Debug)]
pub struct Checkpoints {
    kept: Vec<Fold>,
    spacing: Ns,
}

impl Default for Checkpoints {
    fn default() -> Checkpoints {
        Checkpoints { kept: Vec::new(), spacing: SPACING }
    }
}

impl Checkpoints {
    /// Copies `fold` if the newest copy is old enough. Call between two instants, never within a tick: `next` is the
    /// time of the first event that is not folded in yet.
    pub fn offer(&mut self, fold: &Fold, next: MonoNs) {
        let Some(at) = fold.at().filter(|at| next > *at) else { return };
        if self.kept.last().and_then(Fold::at).is_some_and(|last| at.since(last) < self.spacing || at <= last) {
            return;
        }
        self.kept.push(fold.clone());
        let most = (WEIGHT_KEPT / fold.weight().max(1)).clamp(FEWEST, CHECKPOINTS_KEPT);
        if self.kept.len() > most {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.spacing = Ns(self.spacing.0.saturating_mul(2));
        }
    }

    /// The newest copy at or before `at` that is not older than `oldest`.
    pub fn before(&self, at: MonoNs, oldest: Option<MonoNs>) -> Option<&Fold> {
        self.kept.iter().rev().find(|fold| fold.at().is_some_and(|time| time <= at)).filter(|fold| fold.at() >= oldest)
    }

    /// The oldest copy from which what is kept since `oldest` can be folded on.
    pub fn oldest_since(&self, oldest: MonoNs) -> Option<MonoNs> {
        self.kept.iter().filter_map(Fold::at).find(|at| *at >= oldest)
    }

    /// Drops copies older than `oldest`, from which nothing can be folded on any more.
    pub fn forget_before(&mut self, oldest: MonoNs) {
        self.kept.retain(|fold| fold.at().is_some_and(|at| at >= oldest));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
