//! What lies between the records of a thread's switches and what it does.

use super::{Current, Run, Runs};
use crate::event::{Departure, Lags};
use crate::time::MonoNs;

impl Runs {
    /// When it asked for what it fell asleep on at `at`: within the run that ended then.
    pub fn asked(&self, at: MonoNs, lags: Lags) -> MonoNs {
        let falls_asleep = |run: &&Run| run.to == at && run.how == Departure::Asleep;
        let run = self.recent.iter().rev().find(falls_asleep);
        run.map_or(at, |run| (at - lags.asking).max(run.from))
    }

    /// When it took what it woke up for at `at`: within the run that began then.
    pub fn took(&self, at: MonoNs, lags: Lags) -> MonoNs {
        match self.current {
            Current::On(from, _) if from == at => at + lags.taking,
            _ => self.recent.iter().rev().find(|run| run.from == at).map_or(at, |run| (at + lags.taking).min(run.to)),
        }
    }
}
