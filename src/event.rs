//! The one vocabulary of observations.
//!
//! Every instrument speaks in [`Event`]s, live capture and replay differ only in
//! who produces them, and everything shown is derived from them alone. An event
//! is a raw observation: it says what was read, never what it means in sum.
//!
//! **Ticks.** A sampling instrument looks at an instant. What it saw there comes
//! as a group of events with one and the same [`Event::at`]: first what changed
//! ([`What::Relation`], [`What::Usage`], births, names), then one
//! [`What::GilSample`] per GIL, which closes the tick for that GIL. A relation
//! stays in force at every later tick until another one replaces it: a sampler
//! may leave a thread unread only where it can prove that nothing changed.
//!
//! **Order.** Definitions ([`What::ProcessFound`], [`What::GilFound`],
//! [`What::ThreadFound`]) precede the first use of their key. Times never go
//! back. Keys are unique in a capture and never reused, whatever the kernel or
//! CPython recycles.
//!
//! Whatever comes from the target (names, command lines, counters) is hostile:
//! it is bounded where it is read, and made safe to show where it is shown.

mod cores;
mod cost;
mod footprint;
mod native;
pub mod signals;
pub mod stacks;
mod text;

use serde::{Deserialize, Serialize};

pub use cores::{CoreTotals, MAX_CORES};
pub use cost::{CostOrigin, Costs, Lags, Refusal, Spent, WindowEnd};
pub use footprint::Footprint;
pub use native::{CodePlace, LONG_HOLD, MAX_SYMBOL, NativeInfo, NativeKey, NativeKind, SeenHolder};
pub use signals::{
    DefaultAction, Delivery, Flag, Generation, Handler, Handlers, Lookup, PendingKind, PendingSignals, Progress,
    Signal, SignalSet, SignalStep, SignalsInfo, Sleep, StepsEnd, WaitingSignals,
};
pub use stacks::{Frame, FrameKey, MAX_FRAMES, SampleCause, StackKey, StacksMissing, file_name};
pub use text::cut;

use crate::time::{MonoNs, Ns};

/// A process id in gilscope's own PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub u32);

/// A kernel task id in gilscope's own PID namespace. Recycled by the kernel: only [`ThreadKey`] identifies a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tid(pub u32);

/// A core's number, as in `/proc/cpuinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpu(pub u16);

/// An address in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(pub u64);

/// A process image in this capture: after an `exec`, the same [`Pid`] is another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessKey(pub u32);

/// A thread in this capture: (tid, start time) under a number of its own. Tids recycle, keys do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadKey(pub u32);

/// A GIL in this capture. Since CPython 3.12 a process may have several (PEP 684).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GilKey(pub u32);

/// `PyInterpreterState.id`: 0 is the main interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InterpreterId(pub i64);

/// One observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it was observed.
    pub at: MonoNs,
    /// What was observed.
    pub what: What,
}

/// What an [`Event`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum What {
    /// The capture begins: how it looks and with what. Always the first event.
    CaptureStarted(Box<CaptureInfo>),
    /// The capture ends here; intervals still open are cut.
    CaptureEnded,

    /// A process image came into view.
    ProcessFound {
        /// Its key from here on.
        process: ProcessKey,
        /// What is known of it.
        info: Box<ProcessInfo>,
    },
    /// A process image is no longer there, or can no longer be read.
    ProcessEnded {
        /// Which.
        process: ProcessKey,
        /// How it ended.
        ending: Ending,
    },
    /// The process made a child.
    Forked {
        /// The parent.
        process: ProcessKey,
        /// The child's pid.
        child: Pid,
    },
    /// A child, or a child's child, that is not looked into, as far as is known by now: it may yet come into view.
    ChildUnwatched {
        /// The nearest of its ancestors that is looked into.
        process: ProcessKey,
        /// The child's pid.
        child: Pid,
        /// Why not.
        why: Unwatched,
    },
    /// An interpreter came into view.
    InterpreterFound {
        /// Its process.
        process: ProcessKey,
        /// CPython's id of it.
        interpreter: InterpreterId,
        /// The GIL its threads take; `None` on a free-threaded build that runs without one.
        gil: Option<GilKey>,
    },
    /// An interpreter is gone.
    InterpreterEnded {
        /// Its process.
        process: ProcessKey,
        /// CPython's id of it.
        interpreter: InterpreterId,
    },
    /// A GIL came into view. Precedes the interpreters that use it.
    GilFound {
        /// Its key from here on.
        gil: GilKey,
        /// Its process.
        process: ProcessKey,
        /// The switch interval in force (`sys.getswitchinterval()`).
        switch_interval: Ns,
    },
    /// The switch interval was changed.
    SwitchIntervalChanged {
        /// Of which GIL.
        gil: GilKey,
        /// The interval in force from here on.
        switch_interval: Ns,
    },
    /// A thread came into view.
    ThreadFound {
        /// Its key from here on.
        thread: ThreadKey,
        /// What is known of it.
        info: Box<ThreadInfo>,
    },
    /// The thread's name became known, or changed.
    ThreadNamed {
        /// Which thread.
        thread: ThreadKey,
        /// Its name, at most [`MAX_NAME`] bytes, otherwise as the target has it.
        name: String,
    },
    /// The thread has a thread state in an interpreter, and so takes that interpreter's GIL.
    ThreadJoined {
        /// Which thread.
        thread: ThreadKey,
        /// The interpreter it entered.
        interpreter: InterpreterId,
    },
    /// The thread was gone when looked for.
    ThreadEnded {
        /// Which thread.
        thread: ThreadKey,
    },

    /// The state of one GIL at this instant, from its own words in memory. Closes the tick for that GIL.
    GilSample(GilSample),
    /// How a thread stands to a GIL from this tick on, from where it sleeps in the kernel.
    Relation {
        /// Which thread.
        thread: ThreadKey,
        /// Which GIL.
        gil: GilKey,
        /// The relation in force until the next.
        relation: Relation,
    },
    /// The kernel's running totals for a thread.
    Usage {
        /// Which thread.
        thread: ThreadKey,
        /// The totals.
        usage: Usage,
    },
    /// From here on every context switch of the thread is told, as the kernel recorded it.
    SwitchesBegin {
        /// Which thread.
        thread: ThreadKey,
    },
    /// Some switches of the thread between the last one told and here were not told, nor will those to come be.
    SwitchesEnd {
        /// Which thread.
        thread: ThreadKey,
        /// Why.
        why: SwitchesEnd,
    },
    /// The thread got a core, to the microsecond.
    SwitchedIn {
        /// Which thread.
        thread: ThreadKey,
        /// The core it got.
        cpu: Cpu,
    },
    /// The thread left its core, to the microsecond.
    SwitchedOut {
        /// Which thread.
        thread: ThreadKey,
        /// Whether it wanted to.
        how: Departure,
    },
    /// From here on, as long as its switches are told, it is told of the thread's every entry into a wait on a futex of a
    /// GIL of its process.
    FutexesBegin {
        /// Which thread.
        thread: ThreadKey,
    },
    /// Up to here it was told of them.
    FutexesEnd {
        /// Which thread.
        thread: ThreadKey,
        /// Why.
        why: SwitchesEnd,
    },
    /// The thread is about to sleep on one of a GIL's futexes, unless what it would wait for has just happened.
    FutexEntered {
        /// Whose futex it is.
        gil: GilKey,
        /// Which thread.
        thread: ThreadKey,
        /// Which futex.
        site: FutexSite,
    },
    /// What looking costs the target here, and what it may.
    CostsKnown(Costs),
    /// What the target has paid for so far, about once a second and at the end.
    Spent(Spent, Scope),
    /// From here on every write to the GIL's `locked` and to its condition variable is told, whichever thread of the
    /// process writes.
    WindowBegins {
        /// Which GIL.
        gil: GilKey,
    },
    /// Up to here they were told.
    WindowEnds {
        /// Which GIL.
        gil: GilKey,
        /// Why.
        why: WindowEnd,
    },
    /// There can be no window for now.
    WindowRefused {
        /// Of which GIL.
        gil: GilKey,
        /// Why.
        why: Refusal,
    },
    /// The thread has written to the GIL's `locked`: it took or dropped it.
    LockWritten {
        /// Which GIL.
        gil: GilKey,
        /// Which thread.
        thread: ThreadKey,
        /// The instruction after the one that wrote: tells takes from drops.
        ip: Address,
        /// On which core.
        cpu: Cpu,
    },
    /// The thread has written to the word of the GIL's condition variable that changes when a thread begins to wait, and
    /// sometimes when one is woken.
    CondWritten {
        /// Which GIL.
        gil: GilKey,
        /// Which thread.
        thread: ThreadKey,
        /// The instruction after the one that wrote: tells waiters from droppers.
        ip: Address,
        /// On which core.
        cpu: Cpu,
    },
    /// What is known of the process's signals from here on: told when it comes into view, and again when it has changed.
    SignalsKnown {
        /// Which process.
        process: ProcessKey,
        /// What is known.
        info: Box<SignalsInfo>,
    },
    /// Which signals wait for their Python handlers, from this look on (see [`signals`]).
    SignalsPending {
        /// Which process.
        process: ProcessKey,
        /// What CPython's memory says.
        pending: PendingSignals,
        /// Time since the look before, at which all told before was still so.
        gap: Option<Ns>,
    },
    /// Which signals wait in the kernel, from this look on (see [`signals`]).
    SignalsWaiting {
        /// Which process.
        process: ProcessKey,
        /// What the kernel says; `None` if it could not be read.
        waiting: Option<WaitingSignals>,
        /// Time since the look before, at which all told before was still so.
        gap: Option<Ns>,
    },
    /// From here on every such step of any signal of the process is told.
    SignalStepsBegin {
        /// Which process.
        process: ProcessKey,
        /// Which step.
        step: SignalStep,
    },
    /// Up to here they were told.
    SignalStepsEnd {
        /// Which process.
        process: ProcessKey,
        /// Which step.
        step: SignalStep,
        /// Why.
        why: StepsEnd,
    },
    /// `gilscope interrupt` has sent the process a signal: with the time just before kill(2), told when that has succeeded.
    SignalSent {
        /// Which process.
        process: ProcessKey,
        /// Which signal.
        signal: Signal,
    },
    /// Somebody has sent the process, or one of its threads, a signal.
    SignalGenerated {
        /// Which process.
        process: ProcessKey,
        /// The thread it was sent to; `None`: the process, of which the kernel chooses a thread.
        thread: Option<ThreadKey>,
        /// Which signal.
        signal: Signal,
        /// What the kernel did with it.
        outcome: Generation,
    },
    /// The thread is about to do what the signal makes it do.
    SignalDelivered {
        /// Which process.
        process: ProcessKey,
        /// The thread that runs the handler: not the main one, where that blocks the signal.
        thread: ThreadKey,
        /// Which signal.
        signal: Signal,
        /// What it does.
        to: Delivery,
    },
    /// The thread has written to the word by which CPython notes that signals are pending ([`SignalsInfo::pending`]): it
    /// has set or cleared it, which the hit itself does not say.
    PendingWritten {
        /// Which process.
        process: ProcessKey,
        /// Which thread.
        thread: ThreadKey,
        /// The instruction after the one that wrote.
        ip: Address,
        /// On which core.
        cpu: Cpu,
    },
    /// Whether the main thread executes bytecode, and where it sleeps, from this look on (see [`signals`]).
    ///
    /// Told when either differs from what was told before; `progress` is about the time between the two last looks, so
    /// that as long as it stays in force, the same was found of every pair of looks since. No move has been seen from
    /// `gap` before a [`Progress::NotSeen`] to `gap` before the [`Progress::Moved`] that follows it.
    MainProgress {
        /// Which thread.
        thread: ThreadKey,
        /// What became of it since the look before.
        progress: Progress,
        /// Where it sleeps at this look.
        sleep: Sleep,
        /// Time since the look before.
        gap: Option<Ns>,
    },
    /// A piece of native code came into view.
    NativeFound {
        /// Its key from here on.
        native: NativeKey,
        /// What is known of it.
        info: Box<NativeInfo>,
    },
    /// A thread was seen in native code in the middle of a long hold of a GIL ([`LONG_HOLD`]). Told a little later: names take
    /// their time.
    NativeSampled {
        /// The GIL that it held, before and after that instant, by the same count of handoffs.
        gil: GilKey,
        /// Which thread.
        thread: ThreadKey,
        /// In which code.
        native: NativeKey,
        /// When that was.
        instant: MonoNs,
        /// Whether it ran.
        how: SeenHolder,
    },
    /// A frame came into view.
    FrameFound {
        /// Its key from here on.
        frame: FrameKey,
        /// What it is.
        info: Box<Frame>,
    },
    /// A stack came into view. Its frames precede it.
    StackFound {
        /// Its key from here on.
        stack: StackKey,
        /// Its frames, the innermost first; none: the thread executed no Python.
        frames: Vec<FrameKey>,
    },
    /// What the holder of a GIL executed (see [`stacks`]).
    StackSampled {
        /// Which GIL.
        gil: GilKey,
        /// Who held it at that instant.
        thread: ThreadKey,
        /// The instant: a little before this event's own time.
        instant: MonoNs,
        /// What it executed; `None`: it was not found out, since the thread held the GIL anew by then, or changed its frames
        /// under the look.
        stack: Option<StackKey>,
        /// Why it was looked at.
        cause: SampleCause,
    },
    /// What a thread that waits for a GIL executed (see [`stacks`]): where it wants it back.
    WaiterSampled {
        /// Which GIL.
        gil: GilKey,
        /// Who waited at that instant.
        thread: ThreadKey,
        /// The instant: a little before this event's own time.
        instant: MonoNs,
        /// What it executed; `None`: it was not found out, since it did not sleep on, or its frames could not be read.
        stack: Option<StackKey>,
        /// The waiting that it stands for: the inverse of its chance to be drawn.
        stands_for: Ns,
    },
    /// From here on no stacks of the process are told.
    StacksMissing {
        /// Which process.
        process: ProcessKey,
        /// Why.
        why: StacksMissing,
    },
    /// The sampler's interval from here on: it adapts to what a tick costs, and says so.
    RateChanged {
        /// Mean time between two ticks.
        interval: Ns,
        /// Why.
        reason: RateReason,
        /// Of which processes.
        of: Scope,
    },
    /// The instrument's running totals about itself, about once a second and at the end.
    Health(Health, Scope),
    /// What all programs together have used of each core that is online, about four times a second and at both ends of the
    /// capture (see [`CoreTotals`]). Without any core: that cannot be told here, from now on.
    CoresRead {
        /// The clock tick that the totals are counted in.
        tick: Ns,
        /// The cores, in the order of their numbers.
        cores: Vec<CoreTotals>,
    },
    /// The cores that the thread may use from here on; those of [`ProcessInfo::cpus_allowed`] as long as it was not told.
    AffinityKnown {
        /// Which thread.
        thread: ThreadKey,
        /// The cores, in the order of their numbers (`sched_getaffinity`).
        cpus: Vec<Cpu>,
    },
    /// What the process has in memory, now and then: at the beginning, more and more rarely, and at the end of the observation if it
    /// is still there.
    MemoryRead {
        /// Which process.
        process: ProcessKey,
        /// Its own.
        own: Footprint,
        /// Of it and of the processes that it has started, and these, together.
        tree: Footprint,
    },
    /// The user marked an instant, which may lie in the past.
    Marked {
        /// Which.
        instant: MonoNs,
    },
}

/// What an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A process.
    Process(ProcessKey),
    /// A GIL, and so its process.
    Gil(GilKey),
    /// A thread, and so its process.
    Thread(ThreadKey),
}

/// Of which processes an instrument tells something about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Of all: it is the only one.
    Capture,
    /// Of this one, which has an instrument to itself.
    Process(ProcessKey),
}

impl What {
    /// What it is of; `None`: of the whole capture.
    pub fn subject(&self) -> Option<Subject> {
        Some(match self {
            What::CaptureStarted(_)
            | What::CaptureEnded
            | What::CostsKnown(_)
            | What::NativeFound { .. }
            | What::FrameFound { .. }
            | What::StackFound { .. }
            | What::CoresRead { .. }
            | What::Marked { .. }
            | What::RateChanged { of: Scope::Capture, .. }
            | What::Health(_, Scope::Capture)
            | What::Spent(_, Scope::Capture) => return None,
            What::ProcessFound { process, .. }
            | What::ProcessEnded { process, .. }
            | What::Forked { process, .. }
            | What::ChildUnwatched { process, .. }
            | What::InterpreterFound { process, .. }
            | What::InterpreterEnded { process, .. }
            | What::GilFound { process, .. }
            | What::SignalsKnown { process, .. }
            | What::SignalsPending { process, .. }
            | What::SignalsWaiting { process, .. }
            | What::SignalStepsBegin { process, .. }
            | What::SignalStepsEnd { process, .. }
            | What::SignalSent { process, .. }
            | What::SignalGenerated { process, .. }
            | What::SignalDelivered { process, .. }
            | What::PendingWritten { process, .. }
            | What::StacksMissing { process, .. }
            | What::MemoryRead { process, .. }
            | What::RateChanged { of: Scope::Process(process), .. }
            | What::Health(_, Scope::Process(process))
            | What::Spent(_, Scope::Process(process)) => Subject::Process(*process),
            What::ThreadFound { info, .. } => Subject::Process(info.process),
            What::SwitchIntervalChanged { gil, .. }
            | What::GilSample(GilSample { gil, .. })
            | What::Relation { gil, .. }
            | What::WindowBegins { gil }
            | What::WindowEnds { gil, .. }
            | What::WindowRefused { gil, .. }
            | What::LockWritten { gil, .. }
            | What::CondWritten { gil, .. }
            | What::NativeSampled { gil, .. }
            | What::StackSampled { gil, .. }
            | What::WaiterSampled { gil, .. } => Subject::Gil(*gil),
            What::ThreadNamed { thread, .. }
            | What::AffinityKnown { thread, .. }
            | What::ThreadJoined { thread, .. }
            | What::ThreadEnded { thread }
            | What::Usage { thread, .. }
            | What::SwitchesBegin { thread }
            | What::SwitchesEnd { thread, .. }
            | What::SwitchedIn { thread, .. }
            | What::SwitchedOut { thread, .. }
            | What::FutexesBegin { thread }
            | What::FutexesEnd { thread, .. }
            | What::FutexEntered { thread, .. }
            | What::MainProgress { thread, .. } => Subject::Thread(*thread),
        })
    }

    /// The GIL of whose window this tells: its bounds, and the hits in it. They mean nothing without one another.
    pub fn window(&self) -> Option<GilKey> {
        match self {
            What::WindowBegins { gil }
            | What::WindowEnds { gil, .. }
            | What::LockWritten { gil, .. }
            | What::CondWritten { gil, .. } => Some(*gil),
            _ => None,
        }
    }

    /// Whose steps of signals this is one of. They mean nothing without all of their kind since the beginning.
    pub fn signal_step(&self) -> Option<(ProcessKey, SignalStep)> {
        match self {
            What::SignalGenerated { process, .. } => Some((*process, SignalStep::Generated)),
            What::SignalDelivered { process, .. } => Some((*process, SignalStep::Delivered)),
            What::PendingWritten { process, .. } => Some((*process, SignalStep::Written)),
            _ => None,
        }
    }
}

/// Why a child is not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unwatched {
    /// It had ended before it could be.
    TooShort,
    /// It is no Python that is supported.
    NotPython,
    /// It may not be, or makes no sense.
    Unreadable,
    /// So many are looked into already.
    TooMany,
}

/// How a thread left its core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Departure {
    /// It went to sleep.
    Asleep,
    /// Somebody else was given the core; it wants it back.
    Preempted,
}

/// The futexes of a GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FutexSite {
    /// `cond`: in `take_gil`, the thread waits for the GIL.
    Cond,
    /// `mutex`: for microseconds, at the edges of takes and drops.
    Mutex,
    /// `switch_cond`: in `drop_gil` after a forced drop, until another thread has taken it.
    SwitchCond,
    /// `switch_mutex`: as `mutex`.
    SwitchMutex,
}

/// Why switches, or futexes, are no longer told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchesEnd {
    /// The ring had no room for them.
    Lost {
        /// How many records are missing.
        records: u64,
    },
    /// There were so many that they cost the target more than its budget.
    TooCostly,
    /// The kernel gives no more: the limit for locked memory, or for open files, is reached.
    Refused,
}

/// Longest thread name and command-line argument that is taken from a target, in bytes.
pub const MAX_NAME: usize = 256;

/// How the capture looks, and with what: provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureInfo {
    /// gilscope's version.
    pub tool_version: String,
    /// Wall-clock time at [`Event::at`] of the first event, nanoseconds since 1970.
    pub start_unix_ns: u64,
    /// The precision that is aimed at.
    pub mode: Mode,
    /// Mean time between two ticks that was asked for.
    pub interval: Ns,
    /// The machine's name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
}

/// The level of precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Memory and `/proc` are read at intervals; durations are known to the interval.
    Sampled,
    /// Beside that, the kernel's switch records: waits are known to the microsecond.
    Fused,
    /// Beside that, watchpoints on the GIL's words in windows: every take, drop and wait in them.
    Exact,
}

/// What is known of a process image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its pid.
    pub pid: Pid,
    /// Its command line, bounded.
    pub cmdline: Vec<String>,
    /// CPython's version.
    pub python: PythonVersion,
    /// What kind of build.
    pub build: Build,
    /// Its C library, such as `glibc 2.36` or `musl`.
    pub libc: String,
    /// The cores it may use (`sched_getaffinity` of its main thread).
    pub cpus_allowed: Vec<Cpu>,
    /// Whether gilscope saw it from before its program's first line.
    pub origin: Origin,
}

/// A CPython version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PythonVersion {
    /// Always 3.
    pub major: u8,
    /// 7 to 15.
    pub minor: u8,
    /// The patch level; `None` where an interpreter does not tell.
    pub patch: Option<u8>,
}

impl std::fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(f, ".{patch}"),
            None => Ok(()),
        }
    }
}

/// The kind of CPython build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// An ordinary build.
    Default,
    /// Built with `--disable-gil` (PEP 703); may still run with a GIL.
    FreeThreaded,
    /// Built with `--with-pydebug`.
    Debug,
}

/// How the process came under observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was running already.
    Attached,
    /// gilscope started it.
    Launched,
}

/// What is known of a thread when it comes into view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadInfo {
    /// Its process.
    pub process: ProcessKey,
    /// The kernel's task; `None` where CPython does not tell which task runs a thread state
    /// (3.12 sub-interpreters).
    pub tid: Option<Tid>,
    /// The best name known so far, at most [`MAX_NAME`] bytes, otherwise as the target has it.
    pub name: String,
    /// Whether it is the process's main thread, the only one that runs signal handlers.
    pub role: Role,
    /// When it was started, as well as that is known: never later than when it was first seen.
    pub started: MonoNs,
}

/// A thread's role in its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The main thread.
    Main,
    /// Any other thread with a Python thread state.
    Python,
    /// A task of the process without a Python thread state (so far).
    Native,
}

/// How a process image ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It exited or was killed.
    Exited,
    /// It replaced itself by another program.
    Execed {
        /// The new program's path, bounded.
        path: String,
    },
    /// Its interpreter shut down; the process may go on.
    Finalized,
    /// It can no longer be read, and why.
    LostSight {
        /// The reason, in words.
        reason: String,
    },
}

/// The state of one GIL at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GilSample {
    /// Which GIL.
    pub gil: GilKey,
    /// Whether it is held, and by whom.
    pub hold: Hold,
    /// CPython's own count of handoffs (`switch_number`): goes up by one whenever
    /// another thread state than the last one takes the GIL.
    pub switch_number: u64,
    /// The number of threads that wait, from the condition variable itself;
    /// `None` where its layout is not known.
    pub waiters: Option<u32>,
    /// Whether a waiter has asked the holder to drop it.
    pub drop_request: DropRequest,
}

/// Whether a GIL is held, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Nobody holds it.
    Free,
    /// This thread holds it.
    By {
        /// The holder.
        thread: ThreadKey,
        /// Where it is; `None`: not looked at in this tick.
        placement: Option<Placement>,
    },
    /// It is held, but by whom could not be read.
    ByUnknown,
}

/// Where a thread is, as `/proc/PID/task/TID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// State `R`: on this core, or queued for it. `/proc` does not tell which.
    OnOrQueued(Cpu),
    /// Asleep in the kernel (`S`, `D`, …); it ran last on this core.
    Asleep(Cpu),
    /// Could not be read.
    Unknown,
}

/// Whether a drop request is pending against the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropRequest {
    /// None.
    Absent,
    /// A waiter has timed out and asked for the GIL.
    Pending,
    /// Not readable here.
    Unknown,
}

/// How a thread stands to a GIL, apart from holding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Relation {
    /// It wants nothing from it (or holds it).
    Apart,
    /// In `take_gil`: asleep on the GIL's condition variable or mutex, or just woken from it.
    Waiting,
    /// In `drop_gil` after a forced drop, asleep on `switch_cond` until another thread has taken it.
    HandingOver,
    /// Not readable at this tick.
    Unknown,
}

/// The kernel's running totals for a thread, from `/proc/PID/task/TID/{schedstat,status}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a core (`sum_exec_runtime`). Exact while it sleeps; up to one clock tick behind while it runs.
    pub on_cpu: Ns,
    /// Time queued for a core (`run_delay`), credited when it gets one.
    pub run_delay: Ns,
    /// How often it was given a core (`pcount`).
    pub timeslices: u64,
    /// Voluntary and involuntary context switches, where they were read.
    pub switches: Option<Switches>,
}

/// Context switches of a thread since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Switches {
    /// It went to sleep.
    pub voluntary: u64,
    /// It was preempted.
    pub involuntary: u64,
}

/// Why the sampler's interval changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateReason {
    /// As asked for, or as suits what else tells of the threads, where nothing was asked for.
    Asked,
    /// A tick costs more time than its share of the tool's own CPU budget.
    TooCostly,
    /// It fits again.
    Recovered,
    /// Several processes are looked at, and in this one nobody waits and the GIL stays with its thread.
    Quiet,
}

/// An instrument's running totals about itself since the capture began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Ticks taken.
    pub ticks: u64,
    /// Instants at which a tick was due but could not be taken in time, nor was it proven that nothing had changed since
    /// the tick before: they are left out, never made up.
    pub late: u64,
    /// Reads of the target that failed.
    pub failed_reads: u64,
    /// Reads thrown away because the GIL changed under them.
    pub torn_reads: u64,
    /// Events that the bounded queue had no room for.
    pub dropped_events: u64,
    /// CPU time that gilscope itself has used since the capture began: finding the target is not in it.
    pub own_cpu: Ns,
}
