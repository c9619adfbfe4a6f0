//! Signals on their way to Python, and what decides how long that takes.
//!
//! A signal is *generated*, *delivered* to a thread, whose C handler *trips* it, and then waits for the main thread, which
//! clears it and runs its Python handler. The steps:
//!
//! | step | told by | known to |
//! |---|---|---|
//! | `gilscope interrupt` sends it | [`What::SignalSent`] | the microsecond |
//! | generated | [`What::SignalGenerated`], while [`SignalStep::Generated`] is told | the microsecond |
//! | not delivered, since it is blocked | [`What::SignalsWaiting`] | a look |
//! | delivered | [`What::SignalDelivered`], while [`SignalStep::Delivered`] is told | the microsecond |
//! | tripped, and cleared again | [`What::PendingWritten`], while [`SignalStep::Written`] is told | the microsecond |
//! | tripped, and cleared again | [`What::SignalsPending`] | a look |
//!
//! **Looks.** [`What::SignalsPending`], [`What::SignalsWaiting`] and [`What::MainProgress`] are states found by looking.
//! Each stays in force until the next of its kind, for which it says `gap`, the time since the look before: at that look,
//! all that had been told before was still so. The change lies in between. Without a `gap` there was no such look: it is
//! the first, or some have failed, and what was told before may have ended at any time since. What came and went between
//! two looks was not seen. An instrument that stops looking tells the state as unknown.
//!
//! **Steps.** Between a [`What::SignalStepsBegin`] and the next [`What::SignalStepsEnd`] of the same step, *every* such
//! step of the process is told, whichever thread takes it: silence means that there was none. Outside of them nothing
//! follows from silence. The three kinds of step come and go on their own.
//!
//! **After a step.** At the first look after an instrument has learned of a step (or has sent a signal itself),
//! [`What::SignalsPending`] and [`What::SignalsWaiting`] are told, also where they are as before. So it is known what
//! became of a signal that was handled between two looks; and a recording that is read from a keyframe on, which restates
//! the steps since, does not take the second of two writes for the first.
//!
//! [`What::SignalsPending`]: super::What::SignalsPending
//! [`What::SignalsWaiting`]: super::What::SignalsWaiting
//! [`What::MainProgress`]: super::What::MainProgress
//! [`What::SignalSent`]: super::What::SignalSent
//! [`What::SignalGenerated`]: super::What::SignalGenerated
//! [`What::SignalDelivered`]: super::What::SignalDelivered
//! [`What::SignalStepsBegin`]: super::What::SignalStepsBegin
//! [`What::SignalStepsEnd`]: super::What::SignalStepsEnd
//! [`What::PendingWritten`]: super::What::PendingWritten

mod set;

use serde::{Deserialize, Serialize};

use super::{Address, Refusal, ThreadKey};

pub use set::{DefaultAction, NoSignal, Signal, SignalSet};

/// What is known of a process's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalsInfo {
    /// The thread that CPython takes for its main one: the only one that runs Python handlers. `None` if it does not
    /// tell, or that thread is not in view.
    pub main: Option<ThreadKey>,
    /// The word that says whether any signal waits for its Python handler.
    pub pending: Lookup<PendingKind>,
    /// The table that says which ones do, and what handles each.
    pub handlers: Lookup<Handlers>,
    /// The signals for which the kernel calls a function of the process (`SigCgt`); `None` if that could not be read. One
    /// with a Python handler that is not among them, C code has taken from Python.
    pub caught: Option<SignalSet>,
}

/// What came of looking for something in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// It is not there so far: the program has not made its `signal` module yet, or no longer has it.
    NotYet,
    /// It was looked for in vain: this build is made in another way.
    Nowhere,
    /// The target could not be read.
    Unreadable,
}

impl<T> Lookup<T> {
    /// What was found.
    pub fn found(self) -> Option<T> {
        match self {
            Lookup::Found(it) => Some(it),
            Lookup::NotYet | Lookup::Nowhere | Lookup::Unreadable => None,
        }
    }
}

/// By which word CPython notes that signals wait for their Python handlers. Each is set by the C handler, a few
/// instructions apart; they differ in what else sets and in what clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingKind {
    /// `is_tripped`. Cleared by whoever calls the handlers (the main thread in the eval loop, or C code in it by
    /// `PyErr_CheckSignals`), before the first of them is called. Set once more, without a signal, by a handler that
    /// raises (as SIGINT's does by default), since others may still be waiting; the main thread's next look clears it.
    IsTripped,
    /// `_PyRuntime.ceval.signals_pending` (3.8 to 3.11). Cleared by the eval loop of the main thread before it calls the
    /// handlers, and set once more when one raises. C code that calls `PyErr_CheckSignals` does not clear it: so it
    /// may stay set when all has been handled, until the main thread is back in bytecode.
    SignalsPending,
    /// `_PyRuntime.ceval.pending.calls_to_do` (3.7). As [`PendingKind::SignalsPending`], and also set for
    /// `Py_AddPendingCall`, which has nothing to do with signals.
    CallsToDo,
}

/// What CPython does when its C handler has been called for a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// The table is empty: no `signal` module yet, or no longer.
    Absent,
    /// `SIG_DFL`: nothing. The kernel does what it does by default, unless C code has set a handler of its own.
    Default,
    /// `SIG_IGN`: nothing.
    Ignored,
    /// `None`: nothing. Something else than Python handles it.
    NotPython,
    /// It raises `KeyboardInterrupt`, by `signal.default_int_handler`: what SIGINT has to begin with.
    KeyboardInterrupt,
    /// It calls another Python object.
    Python,
}

impl Handler {
    /// Whether Python code (or `default_int_handler`) runs for it.
    pub fn runs_python(self) -> bool {
        matches!(self, Handler::KeyboardInterrupt | Handler::Python)
    }
}

/// What CPython does for each signal, at one moment. Beside it, the kernel's word counts: [`SignalsInfo::caught`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Handlers {
    /// Those with another Python object: [`Handler::Python`].
    pub python: SignalSet,
    /// Those with [`Handler::KeyboardInterrupt`].
    pub keyboard_interrupt: SignalSet,
    /// Those with [`Handler::NotPython`].
    pub not_python: SignalSet,
    /// Those with [`Handler::Ignored`].
    pub ignored: SignalSet,
    /// Those with [`Handler::Default`]. All others are [`Handler::Absent`].
    pub default: SignalSet,
}

impl Handlers {
    /// What it does for a signal.
    pub fn of(&self, signal: Signal) -> Handler {
        [
            (self.python, Handler::Python),
            (self.keyboard_interrupt, Handler::KeyboardInterrupt),
            (self.not_python, Handler::NotPython),
            (self.ignored, Handler::Ignored),
            (self.default, Handler::Default),
        ]
        .into_iter()
        .find_map(|(signals, handler)| signals.contains(signal).then_some(handler))
        .unwrap_or(Handler::Absent)
    }

    /// Those for which Python code (or `default_int_handler`) runs.
    pub fn runs_python(&self) -> SignalSet {
        self.python | self.keyboard_interrupt
    }
}

impl FromIterator<(Signal, Handler)> for Handlers {
    fn from_iter<T: IntoIterator<Item = (Signal, Handler)>>(handlers: T) -> Handlers {
        let mut all = Handlers::default();
        for (signal, handler) in handlers {
            let with_it = match handler {
                Handler::Absent => continue,
                Handler::Default => &mut all.default,
                Handler::Ignored => &mut all.ignored,
                Handler::NotPython => &mut all.not_python,
                Handler::KeyboardInterrupt => &mut all.keyboard_interrupt,
                Handler::Python => &mut all.python,
            };
            *with_it = *with_it | [signal].into_iter().collect();
        }
        all
    }
}

/// Which signals wait for their Python handlers, as CPython's own memory says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSignals {
    /// What the pending word says: [`PendingKind`] has what that means.
    pub flag: Flag,
    /// Those whose C handler has run, and whose Python handler has not begun: the main thread sets `tripped` back just
    /// before it calls that (10 to 20 us, measured). `None` if it was not read: there is no table, or the flag was clear.
    pub tripped: Option<SignalSet>,
}

impl PendingSignals {
    /// Nothing is known, from here on.
    pub const UNKNOWN: PendingSignals = PendingSignals { flag: Flag::Unknown, tripped: None };
}

/// What a word of CPython's says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// It is 0.
    Clear,
    /// It is 1.
    Set,
    /// There is none, or it could not be read.
    Unknown,
}

/// Signals that the kernel has and does not deliver, as `/proc/PID/task/TID/status` of the main thread says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WaitingSignals {
    /// Sent to the process, and not delivered to any of its threads (`ShdPnd`).
    pub process: SignalSet,
    /// Sent to the main thread itself (`SigPnd`).
    pub main: SignalSet,
    /// Not delivered to the main thread as long as it blocks them (`SigBlk`). Another thread may take those that were sent
    /// to the process.
    pub blocked: SignalSet,
}

/// The steps of a signal's way that are told as they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalStep {
    /// Somebody sends it: the kernel's tracepoint `signal:signal_generate`.
    Generated,
    /// A thread is about to run what handles it: the kernel's tracepoint `signal:signal_deliver`.
    Delivered,
    /// The pending word is written: a watchpoint on it.
    Written,
}

/// Why a step is no longer told, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepsEnd {
    /// Some are missing.
    Lost {
        /// How many are known to be.
        records: u64,
    },
    /// A thread was born, of which they are not told yet.
    Birth,
    /// A thread has used up the hits that it was given.
    Spent,
    /// They cost the target more than its budget.
    TooCostly,
    /// What they need is used for something else.
    Yielded,
    /// The word has moved: there is another one, or none.
    Moved,
    /// They cannot be told here. There need not have been a beginning.
    Refused {
        /// Why.
        why: Refusal,
    },
    /// The observation ends.
    Closed,
}

/// What the kernel did with a signal that somebody sent (`result` of `signal:signal_generate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// It will be delivered, once it is not blocked.
    Queued,
    /// One of the same number is waiting already: this one is gone, and both become one delivery.
    Merged,
    /// It is ignored, or somebody else, such as a debugger, does not let it through.
    Ignored,
    /// There was no room to queue it.
    Overflow,
}

/// What a delivered signal makes a thread do (`sa_handler` of `signal:signal_deliver`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// What the kernel does by default (`SIG_DFL`).
    Default,
    /// Nothing (`SIG_IGN`).
    Ignored,
    /// It calls a function. CPython has one for all signals that it handles: another one is somebody else's.
    Calls {
        /// The function.
        function: Address,
    },
    /// It was not told.
    Unknown,
}

/// What two looks at the main thread say of the time between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// It executed bytecode. That is proved.
    Moved,
    /// It was at the same instruction both times, which is no proof of the opposite: it is what is seen of one long C call,
    /// but also of `while True: pass`, and nearly always of a loop of C calls of 0.3 ms. After *n* looks in a row without
    /// progress, that one instruction takes at least about 1 − 3/*n* of the thread's time (95 % confidence).
    NotSeen,
    /// One of the looks does not tell.
    Unknown,
}

/// Where a thread sleeps, as `/proc/PID/task/TID/syscall` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sleep {
    /// It does not: it is on a core, or queued for one.
    Awake,
    /// On a futex. Whether that is one of a GIL's, [`Relation`](super::Relation) tells.
    Futex,
    /// In another system call.
    Syscall {
        /// Its number, in the table of the machine that was observed.
        number: u32,
    },
    /// Not in a system call: in a page fault, or stopped.
    Elsewhere,
    /// It could not be read, or was not.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_handler_is_told_from_the_others() {
        let all = [
            Handler::Default,
            Handler::Ignored,
            Handler::NotPython,
            Handler::KeyboardInterrupt,
            Handler::Python,
            Handler::Absent,
        ];
        let given = || Signal::all().zip(all.into_iter().cycle());
        let handlers: Handlers = given().collect();
        for (signal, handler) in given() {
            assert_eq!(handlers.of(signal), handler, "{signal}");
            assert_eq!(handlers.runs_python().contains(signal), handler.runs_python(), "{signal}");
        }
        assert_eq!(Handlers::default().of(Signal::SIGINT), Handler::Absent);
    }
}
