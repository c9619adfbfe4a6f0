//! What probes bring back. Plain data: what to make of it is said elsewhere.

use crate::event::{Build, Pid, PythonVersion};
use crate::instruments::perf::{Place, Refusal};
use crate::target::AttachError;

/// Words of a GIL that the exact mode watches: who holds it, and who waits for it.
pub const WATCHED_WORDS: usize = 2;

/// All facts.
#[derive(Debug)]
pub struct Facts {
    /// Of gilscope and the machine.
    pub host: Host,
    /// Of the target, if there is one.
    pub process: Option<Process>,
}

/// gilscope's surroundings, and what it may do with itself.
#[derive(Debug)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// The machine, such as `x86_64`.
    pub architecture: &'static str,
    /// Cores that gilscope may use.
    pub cores: usize,
    /// gilscope's user.
    pub uid: Option<u32>,
    /// gilscope's effective capabilities.
    pub capabilities: Capabilities,
    /// `kernel.perf_event_paranoid`.
    pub paranoid: Option<i32>,
    /// `kernel.yama.ptrace_scope`; none without Yama.
    pub yama: Option<u8>,
    /// Filters of system calls that gilscope runs under.
    pub seccomp: Seccomp,
    /// Where gilscope runs.
    pub place: Place,
    /// The user namespace that gilscope runs in: capabilities count only within it.
    pub user_namespace: Namespace,
    /// Whether `process_vm_readv` works on gilscope's own memory; the error if not.
    pub own_memory: Result<(), String>,
    /// Whether gilscope may have switch records of itself.
    pub switch_records: Result<(), Refusal>,
    /// Whether a watchpoint on gilscope's own memory hits.
    pub watchpoint: OwnWatchpoint,
    /// How many threads there are to follow, if that is known.
    pub threads: Option<usize>,
    /// How many rings could be mapped at once.
    pub rings: Rings,
    /// Bytes of memory that may be locked (`RLIMIT_MEMLOCK`); none: unlimited.
    pub memory_lock: Option<u64>,
    /// `kernel.perf_event_mlock_kb`, for each core and user.
    pub perf_lock_kb: Option<u64>,
    /// File descriptors that gilscope may have (`RLIMIT_NOFILE`); none: unlimited.
    pub descriptors: Option<u64>,
    /// Whether gilscope may have the kernel's tracepoint of its own waits on futexes.
    pub tracepoints: Result<(), Refusal>,
    /// Whether gilscope's own registers and stack may be sampled.
    pub stack_samples: Result<(), Refusal>,
}

/// A set of capabilities (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The bits of those that matter here (linux/capability.h).
    const NAMED: [(u32, &'static str); 4] =
        [(14, "CAP_IPC_LOCK"), (19, "CAP_SYS_PTRACE"), (21, "CAP_SYS_ADMIN"), (38, "CAP_PERFMON")];

    /// Whether one is in it, by its bit.
    fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Whether `CAP_SYS_PTRACE` is.
    pub fn ptrace(self) -> bool {
        self.has(19)
    }

    /// Those that matter here.
    pub fn names(self) -> Vec<&'static str> {
        Capabilities::NAMED.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name).collect()
    }
}

/// `Seccomp:` in proc_pid_status(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seccomp {
    /// None.
    Off,
    /// A filter, or strict mode.
    Filter,
    /// The kernel does not say.
    Unknown,
}

/// Which namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// The machine's own.
    Initial,
    /// One within it.
    Nested,
    /// It could not be found out.
    Unknown,
}

/// How a watchpoint on gilscope's own memory went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnWatchpoint {
    /// It hit when the memory was written.
    Hits,
    /// It was opened, and did not hit: some virtual machines lose debug registers.
    Deaf,
    /// It was not opened.
    Refused(Refusal),
}

/// Rings of the smallest size that were mapped at once, on gilscope itself, to see how many there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rings {
    /// How many were tried.
    pub tried: usize,
    /// How many could be had.
    pub had: usize,
    /// Why no more.
    pub refusal: Option<Refusal>,
}

/// The target.
#[derive(Debug)]
pub struct Process {
    /// Which.
    pub pid: Pid,
    /// Its user.
    pub uid: Option<u32>,
    /// Whether other processes of its user may look into it (`PR_SET_DUMPABLE`).
    pub protected: Option<Protected>,
    /// Its user namespace.
    pub user_namespace: Namespace,
    /// Its tasks; none if `/proc/PID/task` cannot be read.
    pub threads: Option<usize>,
    /// Who traces it.
    pub tracer: Option<Pid>,
    /// Whether its memory can be read.
    pub memory: Memory,
    /// Whether gilscope may have its switch records.
    pub switch_records: Result<(), Refusal>,
    /// How many watchpoints its main thread has room for, up to four; or why it has none.
    pub watchpoints: Result<usize, Refusal>,
    /// Its Python.
    pub python: Result<Python, AttachError>,
}

/// Whether a process is dumpable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protected {
    /// Its files in `/proc/PID` belong to root although it does not: it has changed its user, or asked for it.
    Yes,
    /// They belong to its user.
    No,
}

/// Reading a target's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// It works.
    Works,
    /// `PTRACE_MODE_ATTACH` is refused.
    NotPermitted {
        /// Why.
        why: String,
        /// What to type.
        next: String,
    },
    /// The process may be looked into, but `process_vm_readv` is refused.
    Filtered(String),
    /// The process is gone.
    Gone,
    /// Any other error.
    Failed(String),
}

/// What is known of a CPython that gilscope can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// Its version.
    pub version: PythonVersion,
    /// Its build.
    pub build: Build,
    /// Its C library.
    pub libc: String,
    /// Its interpreters.
    pub interpreters: usize,
    /// Its thread states.
    pub threads: usize,
    /// Its GILs.
    pub gils: usize,
    /// Whether those who wait for a GIL can be counted.
    pub waiters: Waiters,
}

/// Whether waiters can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiters {
    /// The C library counts them where gilscope can read it.
    Counted,
    /// Not on this C library.
    NotCounted,
    /// There was no GIL to try it on.
    NoGil,
}
