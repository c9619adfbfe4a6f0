//! Events of several sources, put in the order of their times.
//!
//! A record is published a little after the instant that it speaks of, so that of the newest ones some may be missing.
//! What was gathered is let go of behind a horizon.

use crate::event::{Event, What};
use crate::time::{MonoNs, Ns};

/// Behind this age all records of an instant are taken to be published: far longer than the kernel takes, also where
/// a virtual machine is put off its core meanwhile.
const HORIZON: Ns = Ns(2_000_000);

/// What was told, but is not behind the horizon yet.
#[derive(Debug, Default)]
pub struct Merge {
    pending: Vec<Event>,
    /// Up to here everything was let go of.
    released: MonoNs,
}

/// How much to let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// What is certain to be complete, when the sources were asked last at this instant.
    BehindHorizon(MonoNs),
    /// All: nothing more will come.
    All,
}

/// What a source found while its rings were emptied, beside what it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing.
    Nothing,
    /// A task was born.
    Birth,
}

impl Merge {
    /// Takes what was observed at `at`. What comes too late for its place is told as of the newest that was let go of.
    pub fn push(&mut self, at: MonoNs, what: What) {
        self.pending.push(Event { at: at.max(self.released), what });
    }

    /// Up to here everything was let go of.
    pub fn released(&self) -> MonoNs {
        self.released
    }

    /// The time of what was pushed last.
    pub fn newest(&self) -> MonoNs {
        self.pending.last().map_or(self.released, |event| event.at)
    }

    /// All that is behind the horizon, together with `events`, in the order of their times.
    pub fn release(&mut self, events: &mut Vec<Event>, until: Release) -> Vec<Event> {
        let mut all = std::mem::take(&mut self.pending);
        all.append(events);
        all.sort_by_key(|event| event.at);
        let behind = match until {
            Release::BehindHorizon(now) => {
                let horizon = now - HORIZON;
                self.released = self.released.max(horizon);
                all.partition_point(|event| event.at < horizon)
            }
            Release::All => all.len(),
        };
        self.pending = all.split_off(behind);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.at.0).collect()
    }

    #[test]
    fn all_comes_in_its_order_and_nothing_before_its_time() {
        let what = || What::Marked { instant: MonoNs(0) };
        let mut merge = Merge::default();
        merge.push(MonoNs(30_000_000), what());
        merge.push(MonoNs(10_000_000), what());
        let mut batch = vec![Event { at: MonoNs(20_000_000), what: what() }];
        let first = merge.release(&mut batch, Release::BehindHorizon(MonoNs(25_000_000)));
        assert_eq!((marked(&first), batch.len()), (vec![10_000_000, 20_000_000], 0));
        // Too late: its place has been told already.
        merge.push(MonoNs(5_000_000), what());
        assert_eq!(merge.newest(), merge.released());
        assert_eq!(marked(&merge.release(&mut Vec::new(), Release::All)), [23_000_000, 30_000_000]);
    }
}
