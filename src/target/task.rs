//! What the kernel says about one task: `/proc/PID/task/TID/{syscall,stat,schedstat,status,comm}`.
//!
//! The files are opened when first asked for, kept open and read again from their beginning, which the kernel
//! answers afresh each time; that costs a third of opening them. An open one means *that* task for good: once
//! it has ended, reads fail, even when its number is given to another. Formats: proc(5), fs/proc/array.c.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use thiserror::Error;

use crate::event::{Address, Cpu, Pid, Switches, Tid, Usage};
use crate::target::clock;
use crate::target::descriptors::{self, Kept};
use crate::target::signals::SignalStatus;
use crate::time::{MonoNs, Ns};

/// futex(2) in the kernel's table of system calls.
#[cfg(target_arch = "x86_64")]
const FUTEX: u64 = 202;
#[cfg(target_arch = "aarch64")]
const FUTEX: u64 = 98;
/// futex_wait(2), the same on both.
const FUTEX_WAIT: u64 = 455;
/// The unit of times in `stat`: USER_HZ, 100 a second on both machines (sysconf(_SC_CLK_TCK)).
const CLOCK_TICK: Ns = Ns::from_millis(10);
/// A `status` is longer only by its list of groups.
const MAX_STATUS: u64 = 1 << 20;

/// One task of the target.
#[derive(Debug)]
pub struct Task {
    pid: Pid,
    tid: Tid,
    suspended: Ns,
    syscall: Option<File>,
    stat: Option<File>,
    schedstat: Option<File>,
}

/// Where a task is, as its `syscall` file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// On a core, or queued for one.
    Running,
    /// Asleep in futex(2).
    Futex {
        /// The word it sleeps on.
        address: Address,
        /// The operation, such as `FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG`; 0 for futex_wait(2).
        op: u32,
    },
    /// Asleep in another system call.
    Syscall {
        /// Its number.
        number: u64,
    },
    /// Asleep, but not in a system call: in a page fault, or stopped.
    Asleep,
}

/// Where a task sleeps in the kernel: which call, with which arguments, from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsleepAt {
    /// The system call's number and arguments; `None`: it is in none.
    pub call: Option<[u64; 7]>,
    /// Its stack pointer.
    pub stack: Address,
    /// The instruction it will go on with.
    pub pc: Address,
}

/// What the scheduler makes of a task, as its `stat` file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// `R`: on a core, or queued for one.
    Running,
    /// `S`: asleep, a signal would wake it.
    Sleeping,
    /// `D`: asleep, a signal would not.
    Uninterruptible,
    /// `T`, `t`: stopped by a signal or a debugger.
    Stopped,
    /// `Z`, `X`: it has ended.
    Dead,
    /// Any other letter.
    Other,
}

/// A task's `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskStat {
    /// What it does.
    pub state: TaskState,
    /// The core it is on, or was on last.
    pub cpu: Cpu,
    /// When it was started, in steps of 10 ms, rounded down. With the tid it identifies a task.
    pub started: MonoNs,
    /// CPU time in user mode, in steps of 10 ms.
    pub user: Ns,
    /// CPU time in the kernel, in steps of 10 ms.
    pub system: Ns,
}

/// Why a task could not be looked at.
#[derive(Debug, Error)]
pub enum TaskError {
    /// It has ended.
    #[error("the task has ended")]
    Gone,
    /// The kernel does not show it to this user.
    #[error("the task may not be looked at")]
    NotPermitted,
    /// Any other error, or an answer that could not be understood.
    #[error("the task cannot be read: {0}")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> TaskError {
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => TaskError::Gone,
            Some(libc::EPERM | libc::EACCES) => TaskError::NotPermitted,
            _ => TaskError::Failed(error),
        }
    }
}

fn nonsense() -> TaskError {
    TaskError::Failed(io::Error::from(io::ErrorKind::InvalidData))
}

impl Task {
    /// A task that nothing has been asked of yet. Opens nothing.
    pub fn new(pid: Pid, tid: Tid) -> Task {
        Task { pid, tid, suspended: clock::suspended(), syscall: None, stat: None, schedstat: None }
    }

    /// Its id.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Where it is: running, or asleep on what.
    ///
    /// # Errors
    /// [`TaskError::NotPermitted`] without `PTRACE_MODE_ATTACH`; [`TaskError::Gone`] when it has ended.
    pub fn blocked(&mut self) -> Result<Blocked, TaskError> {
        let mut buffer = [0u8; 256];
        let text = read(&mut self.syscall, (self.pid, self.tid, "syscall"), &mut buffer)?;
        parse_syscall(text).ok_or_else(nonsense)
    }

    /// Where it sleeps; `None` while it runs, or wants to.
    ///
    /// # Errors
    /// As [`Task::blocked`].
    pub fn asleep_at(&mut self) -> Result<Option<AsleepAt>, TaskError> {
        let mut buffer = [0u8; 256];
        let text = read(&mut self.syscall, (self.pid, self.tid, "syscall"), &mut buffer)?;
        parse_asleep(text).ok_or_else(nonsense)
    }

    /// Its state, core, start and CPU times.
    ///
    /// # Errors
    /// [`TaskError::Gone`] when it has ended.
    pub fn stat(&mut self) -> Result<TaskStat, TaskError> {
        let mut buffer = [0u8; 1024];
        let text = read(&mut self.stat, (self.pid, self.tid, "stat"), &mut buffer)?;
        parse_stat(text, self.suspended).ok_or_else(nonsense)
    }

    /// Its time on a core and queued for one, and how often it got one. Without context switches.
    ///
    /// # Errors
    /// [`TaskError::Gone`] when it has ended; [`TaskError::Failed`] on a kernel without `CONFIG_SCHED_INFO`.
    pub fn schedstat(&mut self) -> Result<Usage, TaskError> {
        let mut buffer = [0u8; 128];
        let text = read(&mut self.schedstat, (self.pid, self.tid, "schedstat"), &mut buffer)?;
        parse_schedstat(text).ok_or_else(nonsense)
    }

    /// Its context switches. Opens and reads `status`, which costs several times what the others do.
    ///
    /// # Errors
    /// [`TaskError::Gone`] when it has ended.
    pub fn switches(&self) -> Result<Switches, TaskError> {
        parse_switches(&self.status()?).ok_or_else(nonsense)
    }

    /// Which signals it blocks, and which wait for it; which the process ignores and handles. Costs as much as
    /// [`Task::switches`].
    ///
    /// # Errors
    /// [`TaskError::Gone`] when it has ended.
    pub fn signals(&self) -> Result<SignalStatus, TaskError> {
        SignalStatus::parse(&self.status()?).ok_or_else(nonsense)
    }

    fn status(&self) -> Result<Vec<u8>, TaskError> {
        let file = File::open(path((self.pid, self.tid, "status")))?;
        let mut status = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_STATUS), &mut status)?;
        Ok(status)
    }

    /// Its name, as the kernel has it: at most 15 bytes; what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// [`TaskError::Gone`] when it has ended.
    pub fn name(&self) -> Result<String, TaskError> {
        let mut buffer = [0u8; 64];
        let text = read(&mut None, (self.pid, self.tid, "comm"), &mut buffer)?;
        Ok(String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(text)).into_owned())
    }

    /// Closes its files, which are opened again when they are needed.
    pub fn close(&mut self) {
        (self.syscall, self.stat, self.schedstat) = (None, None, None);
    }
}

fn path((pid, tid, name): (Pid, Tid, &str)) -> String {
    format!("/proc/{}/task/{}/{name}", pid.0, tid.0)
}

/// Reads a file from its beginning, opening it if it is not open.
fn read<'a>(kept: &mut Option<File>, which: (Pid, Tid, &str), buffer: &'a mut [u8]) -> Result<&'a [u8], TaskError> {
    let length = match kept {
        Some(file) => file.read_at(buffer, 0)?,
        None => {
            let file = File::open(path(which))?;
            let length = file.read_at(buffer, 0)?;
            // The last file descriptors are left to whoever needs them more: sampling goes on, at a price.
            *kept = descriptors::may_stay_open(&file, Kept::ForSpeed).then_some(file);
            length
        }
    };
    if length == 0 {
        return Err(TaskError::Gone);
    }
    Ok(buffer.get(..length).unwrap_or_default())
}

fn parse_syscall(text: &[u8]) -> Option<Blocked> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_end();
    if text == "running" {
        return Some(Blocked::Running);
    }
    let mut fields = text.split(' ');
    let number = fields.next()?;
    if number == "-1" {
        return Some(Blocked::Asleep);
    }
    let number = number.parse().ok()?;
    let mut argument = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    match number {
        FUTEX => Some(Blocked::Futex { address: Address(argument()?), op: argument()? as u32 }),
        FUTEX_WAIT => Some(Blocked::Futex { address: Address(argument()?), op: 0 }),
        number => Some(Blocked::Syscall { number }),
    }
}

fn parse_asleep(text: &[u8]) -> Option<Option<AsleepAt>> {
    let text = std::str::from_utf8(text).ok()?.trim_ascii_end();
    if text == "running" {
        return Some(None);
    }
    let mut fields = text.split(' ');
    let number = fields.next()?;
    let mut hex = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    let call = match number {
        "-1" => None,
        number => {
            let mut call = [number.parse().ok()?, 0, 0, 0, 0, 0, 0];
            for argument in call.iter_mut().skip(1) {
                *argument = hex()?;
            }
            Some(call)
        }
    };
    Some(Some(AsleepAt { call, stack: Address(hex()?), pc: Address(hex()?) }))
}

fn parse_stat(text: &[u8], suspended: Ns) -> Option<TaskStat> {
    // The name is the target's to choose and may hold anything, also `) R 1`; the last `)` ends it.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = match fields.next()? {
        "R" => TaskState::Running,
        "S" => TaskState::Sleeping,
        "D" => TaskState::Uninterruptible,
        "T" | "t" => TaskState::Stopped,
        "Z" | "X" | "x" => TaskState::Dead,
        _ => TaskState::Other,
    };
    let ticks = |field: &str| field.parse::<u64>().ok().map(|ticks| Ns(ticks.saturating_mul(CLOCK_TICK.0)));
    // Fields 14, 15, 22 and 39 of proc_pid_stat(5), counted from the state's 3.
    let user = ticks(fields.nth(10)?)?;
    let system = ticks(fields.next()?)?;
    let started = ticks(fields.nth(6)?)?;
    let cpu = Cpu(fields.nth(16)?.parse().ok()?);
    Some(TaskStat { state, cpu, started: MonoNs(started.saturating_sub(suspended).0), user, system })
}

fn parse_schedstat(text: &[u8]) -> Option<Usage> {
    let mut fields = std::str::from_utf8(text).ok()?.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let mut next = || fields.next().flatten();
    Some(Usage { on_cpu: Ns(next()?), run_delay: Ns(next()?), timeslices: next()?, switches: None })
}

fn parse_switches(status: &[u8]) -> Option<Switches> {
    let count = |name: &[u8]| {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        std::str::from_utf8(line).ok()?.trim().parse::<u64>().ok()
    };
    Some(Switches {
        voluntary: count(b"voluntary_ctxt_switches:")?,
        involuntary: count(b"nonvoluntary_ctxt_switches:")?,
    })
}
