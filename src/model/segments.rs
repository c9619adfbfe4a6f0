//! What each thread did when: stretches of one state, with the core where it is known, and the handoffs between them.
//!
//! Made of the same as the totals ([`StateTimes`](crate::model::snapshot::StateTimes)): waits from how threads stand to the
//! GIL, with the edges that switch records give; holds from the story of takes, or from the looks; runs from the records; and
//! where a thread's switches are not told, the kernel's totals. What is found out is kept in a log of a fixed number of
//! entries ([`Log`]), whose closed parts are shared, and put together only where somebody looks ([`Segments::of`]).
//!
//! **How late**: up to [`Lane::until`], the newest tick of the thread's GIL. What lies before it can still change in three
//! ways: where a thread waits now is known to the tick, since when it has waited up to 0.1 ms earlier; whether a
//! handoff was forced is known once the dropper has shown what it wants, milliseconds later ([`Passing::Undecided`] until
//! then); and for a thread whose switches are not told, what it does apart from the GIL is known at the next reading of its
//! totals, up to about 0.1 s later (unknown until then). **How far back**: to [`Segments::since`], some seconds in a
//! busy program, minutes in a quiet one. What is settled is added up in bins, which go back for minutes
//! ([`Segments::columns`]).
//!
//! **How sure**: a segment says how its beginning is known ([`Segment::begins`]). Recorded edges are right to some tens of
//! microseconds, those between two looks to half the time between them. Where only an average is known the segment is
//! [`Doing::Mixed`]: a run of the last holder that no look fell into may have been holding or not, and the kernel's totals say
//! how long a thread was on a core between two readings, not when. It becomes a share of a state only over times as long as
//! the average was taken over ([`Mix::over`]). Who is on a core without being seen to hold while a taker was missed
//! may have been that taker: it is unknown.

mod columns;
mod compose;
mod ladder;
mod log;
mod sums;

use std::collections::BTreeMap;

use crate::event::{Cpu, GilKey, StackKey, ThreadKey};
use crate::model::blame::Defined;
pub use crate::model::blame::Stack;
pub use crate::model::intervals::Sharpness;
pub use crate::model::segments::columns::{Columns, Kept};
use crate::model::segments::compose::{Material, Shared};
pub(in crate::model) use crate::model::segments::ladder::Ladder;
pub use crate::model::segments::ladder::Passed;
pub(in crate::model) use crate::model::segments::log::{Edges, Entry, Holding, Log, Off, Share, Stood, Turn};
pub use crate::model::segments::sums::{Spells, Sums};
use crate::model::snapshot::{StateTimes, ThreadState};
use crate::time::{MonoNs, Ns};
use std::sync::Arc;

/// A stretch of time in which a thread was in one state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Its beginning.
    pub from: MonoNs,
    /// Its end.
    pub to: MonoNs,
    /// What the thread did.
    pub doing: Doing,
    /// The core that it was on; `None`: on none, or not told which.
    pub cpu: Option<Cpu>,
    /// How well its beginning is known.
    pub begins: Sharpness,
}

impl Segment {
    /// How long it is.
    pub fn length(&self) -> Ns {
        self.to.since(self.from)
    }

    /// Its part between two instants.
    pub fn within(&self, from: MonoNs, to: MonoNs) -> Ns {
        self.to.min(to).since(self.from.max(from))
    }

    /// The part of it that lies between two instants, by state, for somebody who looks at `over` at a time.
    pub fn states(&self, from: MonoNs, to: MonoNs, over: Ns) -> StateTimes {
        let length = self.within(from, to);
        match self.doing {
            Doing::Is(state) => StateTimes::of(state, length),
            Doing::Mixed(mix) if mix.over <= over => mix.states(length),
            Doing::Mixed(_) => StateTimes::of(ThreadState::Unknown, length),
        }
    }
}

/// What a thread did in a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Doing {
    /// One thing.
    Is(ThreadState),
    /// Several, of which only the shares are known.
    Mixed(Mix),
}

/// Shares of the states that a segment may have been in, in parts of [`Mix::WHOLE`]; the rest is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// On a core with the GIL.
    pub running: u16,
    /// On a core without it.
    pub native: u16,
    /// Queued for a core.
    pub runnable: u16,
    /// The time of which these are averages.
    pub over: Ns,
}

impl Mix {
    /// All of it.
    pub const WHOLE: u16 = 1_000;

    /// The time by state of so much of it.
    pub fn states(self, length: Ns) -> StateTimes {
        let whole = Ns(u64::from(Mix::WHOLE));
        let part = |share: u16| length.scaled(Ns(u64::from(share.min(Mix::WHOLE))), whole);
        let (running, native, runnable) = (part(self.running), part(self.native), part(self.runnable));
        let idle = length.saturating_sub(running + native + runnable);
        StateTimes { running, native, runnable, idle, ..StateTimes::default() }
    }
}

/// A handoff of the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handoff {
    /// Of which GIL.
    pub gil: GilKey,
    /// Who had it last; `None`: not known.
    pub from: Option<ThreadKey>,
    /// Who took it; `None`: not known.
    pub to: Option<ThreadKey>,
    /// When it was taken.
    pub at: MonoNs,
    /// How well that is known.
    pub sharpness: Sharpness,
    /// How it was let go of.
    pub passing: Passing,
}

/// How a GIL that another thread took was let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// By force: a request was pending, and the dropper wants it back.
    Forced,
    /// Of the dropper's own will.
    Voluntary,
    /// It cannot be told.
    Unclear,
    /// The dropper has yet to show it.
    Undecided,
}

/// What a holder, or a waiter, executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// When it was looked at.
    pub at: MonoNs,
    /// Who.
    pub thread: ThreadKey,
    /// Its stack.
    pub stack: StackKey,
}

/// One thread as far as the log does not tell: its lifetime, and what goes on.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Whose.
    pub thread: ThreadKey,
    /// Start of its lifetime in the capture.
    pub start: MonoNs,
    /// What was before it was found is in no bin: those that were filled by then end here.
    pub(in crate::model) added_from: MonoNs,
    /// What it does is known up to here.
    pub until: MonoNs,
    /// The GILs that it takes.
    pub gils: Vec<GilKey>,
    /// What goes on.
    pub(in crate::model) open: Vec<Entry>,
}

/// What the threads of one process did, as far back as that is kept. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Segments {
    log: Log,
    lanes: Arc<[Lane]>,
    /// What its GILs have not put into the log yet.
    open: Arc<[Entry]>,
    /// What was before.
    ladder: Arc<Ladder>,
    defined: Arc<Defined>,
}

impl Segments {
    pub(in crate::model) fn new(log: Log, lanes: Vec<Lane>, open: Vec<Entry>) -> Segments {
        Segments { log, lanes: lanes.into(), open: open.into(), ..Segments::default() }
    }

    pub(in crate::model) fn with(self, ladder: Arc<Ladder>, defined: Arc<Defined>) -> Segments {
        Segments { ladder, defined, ..self }
    }

    /// Since when everything is told.
    pub fn since(&self) -> MonoNs {
        self.log.since()
    }

    /// Up to where what threads did is known: the newest tick.
    pub fn until(&self) -> MonoNs {
        self.lanes.iter().map(|lane| lane.until).max().unwrap_or(MonoNs(0))
    }

    /// The threads there are, ended ones included, in order of appearance.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// What `threads` did between two instants: for each its segments in the order of time, without holes from its birth, or
    /// `from`, to where it is known.
    pub fn of(&self, threads: &[ThreadKey], from: MonoNs, to: MonoNs) -> BTreeMap<ThreadKey, Vec<Segment>> {
        self.composed(threads.iter().filter_map(|key| self.lane(*key)), from, to)
    }

    /// What all threads did.
    pub fn all(&self, from: MonoNs, to: MonoNs) -> BTreeMap<ThreadKey, Vec<Segment>> {
        self.composed(self.lanes.iter(), from, to)
    }

    fn composed<'a>(
        &'a self,
        lanes: impl Iterator<Item = &'a Lane>,
        from: MonoNs,
        to: MonoNs,
    ) -> BTreeMap<ThreadKey, Vec<Segment>> {
        let from = from.max(self.since());
        let mut material: BTreeMap<ThreadKey, Material<'_>> =
            lanes.map(|lane| (lane.thread, Material::of(lane))).collect();
        let mut shared = Shared::default();
        for entry in self.log.between(from, to).chain(self.open.iter()) {
            match entry.thread() {
                Some(thread) => {
                    if let Some(own) = material.get_mut(&thread) {
                        own.add(*entry);
                    }
                }
                None => shared.add(entry),
            }
        }
        shared.settle();
        material
            .into_iter()
            .map(|(thread, own)| (thread, own.segments(&shared, from, to)))
            .filter(|(_, segments)| !segments.is_empty())
            .collect()
    }

    fn entries(&self, from: MonoNs, to: MonoNs) -> impl Iterator<Item = &Entry> {
        let is_within = move |entry: &&Entry| entry.until() >= from && entry.from() <= to;
        self.log.between(from, to).chain(self.open.iter()).filter(is_within)
    }

    /// The handoffs between two instants, in the order of time, as far as it was seen when they were.
    pub fn handoffs(&self, from: MonoNs, to: MonoNs) -> Vec<Handoff> {
        let is_own = |handoff: &Handoff| self.lanes.iter().any(|lane| lane.gils.contains(&handoff.gil));
        let of = |entry: &Entry| match entry {
            Entry::Passed(handoff) => Some(*handoff),
            _ => None,
        };
        let mut handoffs: Vec<Handoff> = self.entries(from, to).filter_map(of).collect();
        // One GIL is looked up once.
        let gils: BTreeMap<GilKey, bool> = handoffs.iter().map(|handoff| (handoff.gil, is_own(handoff))).collect();
        handoffs.retain(|handoff| gils.get(&handoff.gil) == Some(&true));
        handoffs.sort_by_key(|handoff| handoff.at);
        handoffs
    }

    /// Handoffs between two instants by CPython's own count of which it was not seen when they were, nor who took part;
    /// those of a step from one tick to the next count for the span in which it ends.
    pub fn unseen_handoffs(&self, from: MonoNs, to: MonoNs) -> u64 {
        self.unseen(from, to).map(|(_, handoffs)| handoffs).sum()
    }

    /// The same, each with the end of the step.
    fn unseen(&self, from: MonoNs, to: MonoNs) -> impl Iterator<Item = (MonoNs, u64)> {
        self.entries(from, to).filter_map(move |entry| match entry {
            Entry::Missed { until, handoffs, .. } if *until > from && *until <= to => {
                Some((*until, u64::from(*handoffs)))
            }
            _ => None,
        })
    }

    /// What was executed between two instants by holders, as far as it was sampled, in the order of time.
    pub fn samples(&self, from: MonoNs, to: MonoNs) -> Vec<Sampled> {
        let of = |entry: &Entry| match entry {
            Entry::Sampled(sampled) => Some(*sampled),
            _ => None,
        };
        let mut samples: Vec<Sampled> = self.entries(from, to).filter_map(of).collect();
        samples.sort_by_key(|sampled| sampled.at);
        samples
    }

    /// The frames of a stack, the innermost first.
    pub fn stack(&self, key: StackKey) -> Option<&Stack> {
        self.defined.get(key)
    }
}
