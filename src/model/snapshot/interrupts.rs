//! How long signals wait for their Python handlers: figures.

use crate::event::{Signal, ThreadKey};
use crate::model::snapshot::Distribution;
use crate::time::{MonoNs, Ns};

/// How long signals of a process wait for their Python handlers, measured and predicted.
#[derive(Debug, Clone)]
pub struct InterruptFigures {
    /// The thread that runs the handlers; `None`: not known.
    pub main: Option<ThreadKey>,
    /// Delays that happened, by signal and by where they begin.
    pub measured: Vec<MeasuredInterrupts>,
    /// The newest of them.
    pub newest: Option<NewestInterrupt>,
    /// Signals whose handler has not started yet.
    pub pending: Vec<PendingInterrupt>,
    /// Signals of which it was not seen what became of them.
    pub unresolved: u64,
    /// How long it would take, over all instants; `None`: nothing observed of the main thread.
    pub predicted: Option<PredictedInterrupt>,
}

/// Where a delay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArrivalKind {
    /// The kernel generated the signal, or gilscope sent it.
    Generate,
    /// The C handler noted it.
    Trip,
}

/// The delays of one signal.
#[derive(Debug, Clone)]
pub struct MeasuredInterrupts {
    /// Which; `None`: CPython's table could not be read.
    pub signal: Option<Signal>,
    /// Where they begin.
    pub from: ArrivalKind,
    /// From there to the start of the Python handler. Cut: those that were pending when the observation began or ended.
    pub delay: Distribution,
    /// The parts of all of them together.
    pub segments: Segments,
    /// Who held the GIL while the main thread waited for it, the longest first.
    pub culprits: Vec<Culprit>,
    /// Those of them that others were pending with: the first handler that runs delays the next.
    pub with_others: u64,
    /// How often the kernel made one signal of several of the same number.
    pub merged: u64,
    /// Those that a fault of CPython made late.
    pub faults: Vec<(Fault, u64)>,
}

/// The parts of a delay, or of several added up. `None`: not observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segments {
    /// The kernel has it, and no thread has taken it. Where its delivery is not told, up to the trip.
    pub deliver: Option<Ns>,
    /// From delivery until the C handler has noted it.
    pub trip: Option<Ns>,
    /// Then: the main thread does not look, and does not wait for the GIL. It is in one C call, with the GIL or without.
    pub uninterruptible: Option<Ns>,
    /// It waits for the GIL.
    pub gil_wait: Option<Ns>,
    /// It has looked, and the handler has not started: another signal's runs first.
    pub handler_start: Option<Ns>,
    /// What the main thread did then is not known.
    pub unknown: Ns,
}

/// The part that took longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// [`Segments::deliver`].
    Deliver,
    /// [`Segments::trip`].
    Trip,
    /// [`Segments::uninterruptible`].
    Uninterruptible,
    /// [`Segments::gil_wait`].
    GilWait,
    /// [`Segments::handler_start`].
    HandlerStart,
    /// [`Segments::unknown`].
    Unknown,
}

impl Segments {
    /// All parts, in the order in which they come.
    pub fn parts(&self) -> [(Segment, Option<Ns>); 6] {
        [
            (Segment::Deliver, self.deliver),
            (Segment::Trip, self.trip),
            (Segment::Uninterruptible, self.uninterruptible),
            (Segment::GilWait, self.gil_wait),
            (Segment::HandlerStart, self.handler_start),
            (Segment::Unknown, Some(self.unknown)),
        ]
    }

    /// The longest part; `None`: there is none.
    pub fn longest(&self) -> Option<(Segment, Ns)> {
        self.parts()
            .into_iter()
            .filter_map(|(segment, length)| Some((segment, length.filter(|length| *length > Ns::ZERO)?)))
            .max_by_key(|(_, length)| *length)
    }
}

/// A thread that held the GIL while the main thread waited for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Culprit {
    /// Which; `None`: nobody held it, or who did was not seen.
    pub thread: Option<ThreadKey>,
    /// Its share of that time, 0..=1.
    pub share: f64,
    /// How often it was seen to hold it, at least.
    pub times: u64,
}

/// The newest delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestInterrupt {
    /// Which signal; `None`: CPython's table could not be read.
    pub signal: Option<Signal>,
    /// When its handler started.
    pub at: MonoNs,
    /// How long it took.
    pub delay: Ns,
    /// Below it, that is not known.
    pub resolution: Ns,
}

/// A signal whose handler has not started yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingInterrupt {
    /// Which; `None`: CPython's table could not be read.
    pub signal: Option<Signal>,
    /// Since when, at the latest.
    pub since: MonoNs,
    /// Where it is.
    pub stage: Stage,
    /// Why it takes long, if that is a fault of CPython.
    pub fault: Option<Fault>,
}

/// How far a signal has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The kernel has it, since the main thread blocks it.
    Blocked,
    /// It was sent. No more is known.
    Sent,
    /// A thread takes it.
    Delivered,
    /// CPython has noted it, and the main thread has not looked.
    Tripped,
}

/// Faults of CPython that delay a handler without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// 3.9 to 3.12: another thread took the signal, which then does not set the main thread's `eval_breaker`. Alone with
    /// the GIL, the main thread does not notice until it next takes it.
    NotNoticed,
    /// 3.9 to 3.12: a request for the GIL goes to the waiter's interpreter. A holder in another one that shares the
    /// GIL never sees it.
    OtherInterpreter,
}

/// How long it takes from any instant until the main thread would run handlers. No signal is sent.
#[derive(Debug, Clone)]
pub struct PredictedInterrupt {
    /// The distribution over all instants that it can be told for; it counts one a millisecond.
    pub delay: Distribution,
    /// The range that holds the median with 95 % confidence; `None`: observed for too short.
    pub p50_range: Option<(Ns, Ns)>,
    /// The range that holds the 90th percentile.
    pub p90_range: Option<(Ns, Ns)>,
    /// Share of the time for which nothing can be told, 0..=1.
    pub not_predictable: f64,
    /// Why.
    pub because: Unpredictable,
    /// Share of the time for which the delay is one at most: the main thread was not seen to move, and may have all the same.
    pub at_most: f64,
    /// What the time that a blocked main thread takes to get the GIL was modelled from.
    pub woken: Woken,
}

/// Why nothing can be told of a time: shares of all of the time, which add up to
/// [`PredictedInterrupt::not_predictable`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Unpredictable {
    /// What the main thread did was not seen, or not how it ended.
    pub unseen: f64,
    /// It held the GIL, and whether it executed bytecode could not be read.
    pub holding: f64,
    /// A wait or a C call goes on: how long it will is not known.
    pub unfinished: f64,
    /// It slept while others held the GIL, and what a thread that wakes up waits for it was not seen.
    pub asleep: f64,
}

/// What tells how long a main thread that is woken waits for the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Its own waits after sleeping elsewhere.
    Own,
    /// Those of all threads.
    All,
    /// There were none: not predictable while the GIL was held by others.
    Nobody,
}
