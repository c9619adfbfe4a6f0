//! Points in time and lengths of time, as types.
//!
//! Everything in gilscope is stamped with `CLOCK_MONOTONIC`, the clock that
//! CPython's own timed waits use since 3.8 and that `perf_event_open` can be
//! told to use. Nothing downstream of an [`Event`](crate::event::Event) reads a
//! clock: time arrives with the observation.

use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// A point on `CLOCK_MONOTONIC`, in nanoseconds since an unspecified start (boot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoNs(pub u64);

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ns(pub u64);

impl Ns {
    /// No time at all.
    pub const ZERO: Ns = Ns(0);
    /// One microsecond.
    pub const MICROSECOND: Ns = Ns(1_000);
    /// One millisecond.
    pub const MILLISECOND: Ns = Ns(1_000_000);
    /// One second.
    pub const SECOND: Ns = Ns(1_000_000_000);

    /// This many microseconds; saturates at the largest representable length.
    pub const fn from_micros(us: u64) -> Ns {
        Ns(us.saturating_mul(1_000))
    }

    /// This many milliseconds; saturates at the largest representable length.
    pub const fn from_millis(ms: u64) -> Ns {
        Ns(ms.saturating_mul(1_000_000))
    }

    /// The length in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// `self - other`, or zero where that would be negative.
    pub const fn saturating_sub(self, other: Ns) -> Ns {
        Ns(self.0.saturating_sub(other.0))
    }

    /// `self * part / whole`, rounded down; zero where `whole` is zero.
    pub const fn scaled(self, part: Ns, whole: Ns) -> Ns {
        if whole.0 == 0 {
            return Ns::ZERO;
        }
        let scaled = self.0 as u128 * part.0 as u128 / whole.0 as u128;
        if scaled > u64::MAX as u128 { Ns(u64::MAX) } else { Ns(scaled as u64) }
    }

    /// `self` as a share of `whole`; `None` where `whole` is zero.
    pub fn share_of(self, whole: Ns) -> Option<f64> {
        (whole.0 > 0).then(|| self.0 as f64 / whole.0 as f64)
    }
}

impl MonoNs {
    /// The length of time from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: MonoNs) -> Ns {
        Ns(self.0.saturating_sub(earlier.0))
    }

    /// The point in the middle between `self` and `other`.
    pub const fn midpoint(self, other: MonoNs) -> MonoNs {
        MonoNs(self.0.midpoint(other.0))
    }
}

impl Add<Ns> for MonoNs {
    type Output = MonoNs;
    fn add(self, length: Ns) -> MonoNs {
        MonoNs(self.0.saturating_add(length.0))
    }
}

impl Sub<Ns> for MonoNs {
    type Output = MonoNs;
    fn sub(self, length: Ns) -> MonoNs {
        MonoNs(self.0.saturating_sub(length.0))
    }
}

impl Add for Ns {
    type Output = Ns;
    fn add(self, other: Ns) -> Ns {
        Ns(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Ns {
    fn add_assign(&mut self, other: Ns) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Ns {
    fn sum<I: Iterator<Item = Ns>>(iter: I) -> Ns {
        iter.fold(Ns::ZERO, Add::add)
    }
}
