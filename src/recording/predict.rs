//! What writer and reader both expect next.
//!
//! The frequent kinds are written as differences from what was last said of the
//! same thread or GIL. [`Prediction`] is that memory. Writer and reader
//! keep one each and show it every event, so the two agree; at a keyframe both
//! begin anew with the events the keyframe restates.

use std::collections::{BTreeMap, HashMap};

use crate::event::{DropRequest, Event, GilKey, GilSample, Hold, RateReason, ThreadKey, Usage, What};
use crate::time::{MonoNs, Ns};

/// Most threads, and most GILs, that are remembered. What lies beyond is written in full,
/// so that a hostile file cannot make a reader remember without bound.
pub const MAX_REMEMBERED: usize = 1 << 18;

/// What was last said of a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ThreadMemory {
    pub(super) usage: Usage,
    pub(super) usage_at: MonoNs,
    pub(super) gil: Option<GilKey>,
}

/// The memory that differences refer to.
#[derive(Debug, Clone)]
pub(super) struct Prediction {
    threads: HashMap<ThreadKey, ThreadMemory>,
    gils: BTreeMap<GilKey, GilSample>,
    interval: Ns,
    at: MonoNs,
    last_thread: ThreadKey,
    last_gil: Option<GilKey>,
}

impl Prediction {
    /// Nothing was said yet.
    pub(super) fn new() -> Prediction {
        Prediction {
            threads: HashMap::new(),
            gils: BTreeMap::new(),
            interval: Ns::MILLISECOND,
            at: MonoNs(0),
            last_thread: ThreadKey(0),
            last_gil: None,
        }
    }

    /// A chunk begins; its times count from `base`.
    pub(super) fn begin_chunk(&mut self, base: MonoNs) {
        self.at = base;
        self.last_thread = ThreadKey(0);
        self.last_gil = None;
    }

    pub(super) fn at(&self) -> MonoNs {
        self.at
    }

    pub(super) fn interval(&self) -> Ns {
        self.interval
    }

    pub(super) fn move_to(&mut self, at: MonoNs) {
        self.at = at;
        self.last_gil = None;
    }

    pub(super) fn last_thread(&self) -> ThreadKey {
        self.last_thread
    }

    pub(super) fn thread(&self, thread: ThreadKey) -> ThreadMemory {
        self.threads.get(&thread).copied().unwrap_or_default()
    }

    /// The GIL whose sample comes next: at each tick all are sampled in the order of their keys.
    pub(super) fn next_gil(&self) -> GilKey {
        let next = match self.last_gil {
            None => self.gils.first_key_value(),
            Some(last) => self.gils.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).next(),
        };
        next.or_else(|| self.gils.first_key_value()).map_or(GilKey(0), |(gil, _)| *gil)
    }

    pub(super) fn gil(&self, gil: GilKey) -> GilSample {
        self.gils.get(&gil).copied().unwrap_or(GilSample {
            gil,
            hold: Hold::Free,
            switch_number: 0,
            waiters: None,
            drop_request: DropRequest::Absent,
        })
    }

    /// Takes note of an event, once it is written or read.
    pub(super) fn observe(&mut self, event: &Event) {
        match &event.what {
            What::GilSample(sample) => {
                self.last_gil = Some(sample.gil);
                if self.gils.len() < MAX_REMEMBERED || self.gils.contains_key(&sample.gil) {
                    self.gils.insert(sample.gil, *sample);
                }
            }
            What::Relation { thread, gil, .. } => {
                self.last_thread = *thread;
                if let Some(memory) = self.remember(*thread) {
                    memory.gil = Some(*gil);
                }
            }
            What::Usage { thread, usage } => {
                self.last_thread = *thread;
                if let Some(memory) = self.remember(*thread) {
                    memory.usage = *usage;
                    memory.usage_at = event.at;
                }
            }
            What::CaptureStarted(info) => self.interval = info.interval,
            // A reader of an older minor skips the event, and must go on expecting the same.
            What::RateChanged { reason: RateReason::Quiet, .. } => {}
            What::RateChanged { interval, .. } => self.interval = *interval,
            // The other kinds are written in full. A kind of a newer minor must not
            // be remembered here for one of an older minor: its reader skips it.
            _ => {}
        }
    }

    fn remember(&mut self, thread: ThreadKey) -> Option<&mut ThreadMemory> {
        if self.threads.len() >= MAX_REMEMBERED && !self.threads.contains_key(&thread) {
            return None;
        }
        Some(self.threads.entry(thread).or_default())
    }
}
