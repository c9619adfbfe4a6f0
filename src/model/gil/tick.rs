//! A look at a GIL, and the step from one look to the next.

use super::Threads;
use crate::event::{GilSample, Hold, Lags, Placement, ThreadKey};
use crate::model::gil::perturbed::Scrutiny;
use crate::model::intervals::{Moment, Sharpness};
use crate::model::lanes::{Holding, Stretch};
use crate::model::runs::Awake;
use crate::model::thread::ThreadAccount;
use crate::model::told::Told;
use crate::time::{MonoNs, Ns};

/// No handoff is faster: a counter that moves more often was misread.
const FASTEST_HANDOFF: Ns = Ns(100);

/// Two ticks further apart than this many intervals: looks between them came too late.
const TIMELY: u64 = 4;

#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) at: MonoNs,
    pub(super) sample: GilSample,
    pub(super) waiters: u32,
    /// Those of them that are known by name.
    pub(super) waiters_known: u32,
}

impl Tick {
    pub(super) fn holder(&self) -> Option<ThreadKey> {
        match self.sample.hold {
            Hold::By { thread, .. } => Some(thread),
            Hold::Free | Hold::ByUnknown => None,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.sample.hold != Hold::Free
    }

    /// What it means that a thread is on a core that waits, and has not taken the GIL since the tick before.
    pub(super) fn awake(&self) -> Awake {
        if self.is_held() { Awake::Asks } else { Awake::WasWoken }
    }

    pub(super) fn stretch(&self) -> Stretch {
        let hold = self.is_held().then(|| {
            let how = match self.placement() {
                Some(Placement::OnOrQueued(cpu)) => Holding::On(cpu),
                Some(Placement::Asleep(cpu)) => Holding::Asleep(cpu),
                Some(Placement::Unknown) | None => Holding::Unplaced,
            };
            (self.holder(), how)
        });
        Stretch { hold, waiters: self.waiters }
    }

    pub(super) fn placement(&self) -> Option<Placement> {
        match self.sample.hold {
            Hold::By { placement, .. } => placement,
            Hold::Free | Hold::ByUnknown => None,
        }
    }

    /// Handoffs since `earlier` by CPython's count; none where the count cannot be right.
    pub(super) fn handoffs_since(&self, earlier: &Tick) -> u64 {
        let most = self.at.since(earlier.at).0 / FASTEST_HANDOFF.0 + 2;
        let counted = self.sample.switch_number.checked_sub(earlier.sample.switch_number);
        counted.filter(|handoffs| *handoffs <= most).unwrap_or(0)
    }
}

/// What is known of a tick beside the sample, and threads of which it tells more.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Their kernel totals were read at it.
    pub read: &'a [ThreadKey],
    /// They have got a core since the tick before.
    pub woken: &'a [ThreadKey],
    /// Whether an instrument that may change it looks.
    pub scrutiny: Scrutiny,
    /// Since when the switches of all threads of the process are told.
    pub told: Told,
    /// How far they lie from what they stand for.
    pub lags: Lags,
}

/// Two ticks that are bridged, and what counts happened between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) last: Tick,
    pub(super) tick: Tick,
    pub(super) handoffs: u64,
    pub(super) interval: Ns,
}

impl Step {
    /// Whether looks that were due between the two came too late.
    pub(super) fn is_blurred(&self) -> bool {
        self.tick.at.since(self.last.at).0 > self.interval.0.saturating_mul(TIMELY)
    }

    /// Where something changed between the two, for all that the ticks tell.
    pub(super) fn edge(&self) -> Moment {
        Moment { at: self.last.at.midpoint(self.tick.at), sharpness: Sharpness::Tick }
    }
}

/// A step, the threads that may have had to do with it, and what is known of them.
#[derive(Clone, Copy)]
pub(super) struct Gathered<'a> {
    pub(super) step: &'a Step,
    /// Those whose standing has changed, or that held it.
    pub(super) touched: &'a [ThreadKey],
    pub(super) seen: Seen<'a>,
    pub(super) threads: &'a Threads,
    /// Whether a thread takes this GIL.
    pub(super) mine: &'a dyn Fn(&ThreadAccount) -> bool,
}
