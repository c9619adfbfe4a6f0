//! The kinds of event and their numbers in a file: **the one place to add a kind**.
//!
//! To add a kind to [`What`]: give it the next free number in the table below
//! (its fields must implement `Wire`; structs and enums of their own get a line
//! in `wire.rs`), name its [`Class`] in [`class`], and say in `standing.rs`
//! whether a keyframe has to restate it. The compiler points at each of the
//! three. Raise [`MINOR`](super::format::MINOR), add the number to `FORMAT.md`
//! and record a new golden file. Readers of an older minor skip the new kind
//! and count it.
//!
//! A number never changes its meaning and is never used again. A kind that is
//! recorded thousands of times a second may become a *short* kind instead: at
//! most four integers, see `compact.rs`.

use super::wire::{Input, Misread, Wire};
use crate::event::What;

/// What a kind is about; chunk headers count events by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Beginnings, endings, names and settings of captures, processes, interpreters, GILs and threads.
    Definition,
    /// [`What::GilSample`].
    GilSample,
    /// [`What::Relation`].
    Relation,
    /// [`What::Usage`], [`What::CoresRead`] and [`What::MemoryRead`]: what is used, as the kernel counts it.
    Usage,
    /// The instrument about itself: rate and health.
    Instrument,
    /// Context switches, and what names the sleeps between them.
    Switch,
    /// Watchpoints: their windows and hits.
    Watchpoint,
    /// Signals: their steps, those that wait, and the main thread's progress.
    Signal,
}

impl Class {
    /// All classes, in the order of their counters in a chunk's header.
    pub const ALL: [Class; 8] = [
        Class::Definition,
        Class::GilSample,
        Class::Relation,
        Class::Usage,
        Class::Instrument,
        Class::Switch,
        Class::Watchpoint,
        Class::Signal,
    ];

    /// Which of the header's counters is this class's.
    pub const fn slot(self) -> usize {
        match self {
            Class::Definition => 0,
            Class::GilSample => 1,
            Class::Relation => 2,
            Class::Usage => 3,
            Class::Instrument => 4,
            Class::Switch => 5,
            Class::Watchpoint => 6,
            Class::Signal => 7,
        }
    }
}

/// The class of an event.
pub const fn class(what: &What) -> Class {
    match what {
        What::CaptureStarted(_)
        | What::CaptureEnded
        | What::ProcessFound { .. }
        | What::ProcessEnded { .. }
        | What::Forked { .. }
        | What::ChildUnwatched { .. }
        | What::InterpreterFound { .. }
        | What::InterpreterEnded { .. }
        | What::GilFound { .. }
        | What::SwitchIntervalChanged { .. }
        | What::ThreadFound { .. }
        | What::ThreadNamed { .. }
        | What::ThreadJoined { .. }
        | What::ThreadEnded { .. }
        | What::SignalsKnown { .. }
        | What::NativeFound { .. }
        | What::FrameFound { .. }
        | What::StackFound { .. }
        | What::AffinityKnown { .. }
        | What::Marked { .. } => Class::Definition,
        What::GilSample(_) => Class::GilSample,
        What::Relation { .. } => Class::Relation,
        What::Usage { .. } | What::CoresRead { .. } | What::MemoryRead { .. } => Class::Usage,
        What::NativeSampled { .. }
        | What::RateChanged { .. }
        | What::Health(..)
        | What::CostsKnown(_)
        | What::Spent(..)
        | What::StackSampled { .. }
        | What::WaiterSampled { .. }
        | What::StacksMissing { .. } => Class::Instrument,
        What::WindowBegins { .. }
        | What::WindowEnds { .. }
        | What::WindowRefused { .. }
        | What::LockWritten { .. }
        | What::CondWritten { .. } => Class::Watchpoint,
        What::SignalsPending { .. }
        | What::SignalsWaiting { .. }
        | What::SignalStepsBegin { .. }
        | What::SignalStepsEnd { .. }
        | What::SignalSent { .. }
        | What::SignalGenerated { .. }
        | What::SignalDelivered { .. }
        | What::PendingWritten { .. }
        | What::MainProgress { .. } => Class::Signal,
        What::SwitchesBegin { .. }
        | What::SwitchesEnd { .. }
        | What::SwitchedIn { .. }
        | What::SwitchedOut { .. }
        | What::FutexesBegin { .. }
        | What::FutexesEnd { .. }
        | What::FutexEntered { .. } => Class::Switch,
    }
}

macro_rules! kinds {
    ($($number:literal => $kind:ident { $($field:tt: $name:ident),* };)* compact { $($compact:ident),* }) => {
        /// Writes the body of a delimited kind and returns its number; `None` for the kinds with a compact coding.
        pub(super) fn put_body(what: &What, out: &mut Vec<u8>) -> Option<u64> {
            match what {
                $( What::$kind { $($field: $name),* } => {
                    $( $name.put(out); )*
                    Some($number)
                } )*
                $( What::$compact { .. } => None, )*
            }
        }

        /// Makes the body of the delimited kind `number` into an event; what a newer minor has appended is left unread.
        pub(super) fn take_body(number: u64, body: &mut Input<'_>) -> Result<What, Misread> {
            match number {
                $( $number => Ok(What::$kind { $($field: Wire::take(body)?),* }), )*
                _ => Err(Misread::Newer),
            }
        }
    };
}

kinds! {
    1 => CaptureStarted { 0: info };
    2 => CaptureEnded {};
    3 => ProcessFound { process: process, info: info };
    4 => ProcessEnded { process: process, ending: ending };
    5 => Forked { process: process, child: child };
    6 => InterpreterFound { process: process, interpreter: interpreter, gil: gil };
    7 => InterpreterEnded { process: process, interpreter: interpreter };
    8 => GilFound { gil: gil, process: process, switch_interval: switch_interval };
    9 => SwitchIntervalChanged { gil: gil, switch_interval: switch_interval };
    10 => ThreadFound { thread: thread, info: info };
    11 => ThreadNamed { thread: thread, name: name };
    12 => ThreadJoined { thread: thread, interpreter: interpreter };
    13 => ThreadEnded { thread: thread };
    14 => RateChanged { interval: interval, reason: reason, of: scope };
    15 => Health { 0: totals, 1: scope };
    16 => Marked { instant: instant };
    17 => SwitchesBegin { thread: thread };
    18 => SwitchesEnd { thread: thread, why: why };
    19 => SwitchedIn { thread: thread, cpu: cpu };
    20 => SwitchedOut { thread: thread, how: how };
    21 => CostsKnown { 0: costs };
    22 => Spent { 0: totals, 1: scope };
    23 => WindowBegins { gil: gil };
    24 => WindowEnds { gil: gil, why: why };
    25 => WindowRefused { gil: gil, why: why };
    26 => LockWritten { gil: gil, thread: thread, ip: ip, cpu: cpu };
    27 => CondWritten { gil: gil, thread: thread, ip: ip, cpu: cpu };
    28 => FutexesBegin { thread: thread };
    29 => FutexesEnd { thread: thread, why: why };
    30 => FutexEntered { gil: gil, thread: thread, site: site };
    31 => SignalsKnown { process: process, info: info };
    32 => SignalsPending { process: process, pending: pending, gap: gap };
    33 => SignalsWaiting { process: process, waiting: waiting, gap: gap };
    34 => SignalStepsBegin { process: process, step: step };
    35 => SignalStepsEnd { process: process, step: step, why: why };
    36 => SignalSent { process: process, signal: signal };
    37 => SignalGenerated { process: process, thread: thread, signal: signal, outcome: outcome };
    38 => SignalDelivered { process: process, thread: thread, signal: signal, to: to };
    39 => PendingWritten { process: process, thread: thread, ip: ip, cpu: cpu };
    40 => MainProgress { thread: thread, progress: progress, sleep: sleep, gap: gap };
    41 => FrameFound { frame: frame, info: info };
    42 => StackFound { stack: stack, frames: frames };
    43 => StackSampled { gil: gil, thread: thread, instant: instant, stack: stack, cause: cause };
    44 => StacksMissing { process: process, why: why };
    45 => NativeFound { native: native, info: info };
    46 => NativeSampled { gil: gil, thread: thread, native: native, instant: instant, how: how };
    47 => WaiterSampled { gil: gil, thread: thread, instant: instant, stack: stack, stands_for: stands_for };
    48 => CoresRead { tick: tick, cores: cores };
    49 => AffinityKnown { thread: thread, cpus: cpus };
    50 => ChildUnwatched { process: process, child: child, why: why };
    60 => MemoryRead { process: process, own: own, tree: tree };
    compact { GilSample, Relation, Usage }
}
