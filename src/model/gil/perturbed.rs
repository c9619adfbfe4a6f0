//! What watching changes: contention and handoffs as the sampler sees them, while an instrument looks that may change
//! them, and while none does.

use super::Step;
use crate::model::snapshot::Perturbation;
use crate::time::Ns;

/// Less time than this on one side compares nothing.
const COMPARABLE: Ns = Ns(300_000_000);
/// Contention of less than this share of the time is none.
const NONE: f64 = 0.002;
/// Handoffs, of fewer than which no rate is made.
const FEW: u64 = 20;
/// Where the GIL was left alone for one part in so many of the time, contention is what was seen then.
const PART: u64 = 4;

/// Whether an instrument looks that may change what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// One does.
    Close,
    /// The sampler alone, whom the target does not notice.
    Distant,
}

/// Contention and handoffs with and without such an instrument.
#[derive(Debug, Clone, Copy, Default)]
pub struct Perturbed {
    last: Option<Scrutiny>,
    close: Sum,
    distant: Sum,
    /// Whether the instrument is the watchpoints.
    windows: Windows,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Windows {
    #[default]
    None,
    Some,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    time: Ns,
    contended: Ns,
    handoffs: u64,
}

impl Sum {
    fn contention(&self) -> f64 {
        self.contended.share_of(self.time).unwrap_or(0.0)
    }

    fn handoffs_a_second(&self) -> f64 {
        self.handoffs as f64 / (self.time.0.max(1) as f64 / Ns::SECOND.0 as f64)
    }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Sum) {
        self.time += other.time;
        self.contended += other.contended;
        self.handoffs += other.handoffs;
    }
}

impl std::ops::AddAssign for Perturbed {
    fn add_assign(&mut self, other: Perturbed) {
        self.close += other.close;
        self.distant += other.distant;
    }
}

impl Perturbed {
    /// The time between two ticks; what changed sides between them counts for neither.
    pub(super) fn add(&mut self, step: &Step, scrutiny: Scrutiny) {
        if self.last.replace(scrutiny) != Some(scrutiny) {
            return;
        }
        let length = step.tick.at.since(step.last.at);
        let half = Ns(length.0 / 2);
        let mut contended = Ns::ZERO;
        for (end, part) in [(step.last, half), (step.tick, length.saturating_sub(half))] {
            if end.waiters > 0 {
                contended += part;
            }
        }
        let sum = match scrutiny {
            Scrutiny::Close => &mut self.close,
            Scrutiny::Distant => &mut self.distant,
        };
        *sum += Sum { time: length, contended, handoffs: step.handoffs };
    }

    /// Windows were open: what they cause is not the target's.
    pub(super) fn has_windows(&mut self) {
        self.windows = Windows::Some;
    }

    /// Contention without the watchpoints, if there were any, and there was time enough without them.
    pub(super) fn contention_alone(&self, observed: Ns) -> Option<f64> {
        let enough = self.distant.time >= Ns(observed.0 / PART).max(COMPARABLE);
        (self.windows == Windows::Some && enough).then(|| self.distant.contention())
    }

    /// The two compared, where there was time enough of both.
    pub fn compare(&self) -> Option<Perturbation> {
        let (close, distant) = (&self.close, &self.distant);
        if close.time.min(distant.time) < COMPARABLE {
            return None;
        }
        let contention = (distant.contention() >= NONE).then(|| close.contention() / distant.contention());
        let handoffs = (distant.handoffs >= FEW).then(|| close.handoffs_a_second() / distant.handoffs_a_second());
        Some(Perturbation { contention, handoffs, compared: (close.time, distant.time) })
    }
}
