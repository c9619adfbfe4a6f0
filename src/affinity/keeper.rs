//! Changes the cores of a process, with a guardian that puts them back.
#![expect(unsafe_code, reason = "the guardian begins a session of its own, so that no terminal ends it")]

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::affinity::guardian::{READY, Told};
use crate::affinity::kernel;
use crate::affinity::restore::{Kept, Restored};
use crate::affinity::set::CpuSet;
use crate::affinity::tasks::{self, TaskId};
use crate::event::Pid;

/// Passes over the threads at most, until all are where they shall be.
const PASSES: usize = 20;

/// Why the cores of a process are not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It is over.
    #[error("process {} is gone", .0.0)]
    Gone(Pid),
    /// It is another user's.
    #[error("not permitted to change the cores of process {}: {error}", pid.0)]
    NotPermitted {
        /// Which.
        pid: Pid,
        /// The kernel's word.
        error: io::Error,
    },
    /// None of these cores is there, or may be used.
    #[error("process {} cannot run on cores {cpus}: {error}", pid.0)]
    NoSuchCores {
        /// Which.
        pid: Pid,
        /// Which cores.
        cpus: CpuSet,
        /// The kernel's word.
        error: io::Error,
    },
    /// There is no guardian, so nothing is changed.
    #[error("cannot start the process that puts the cores back, so nothing was changed: {0}")]
    NoGuardian(io::Error),
    /// The guardian is gone; what was there was put back at once.
    #[error("the process that puts the cores back is gone, so they were put back at once")]
    GuardianGone,
}

/// Changes the cores that the threads of a process may run on, and has them put back when it is dropped, or gone.
#[derive(Debug)]
pub struct Keeper {
    kept: Kept,
    guardian: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
    applied: Vec<CpuSet>,
}

impl Keeper {
    /// Notes what is there, and starts the guardian by `command`: this program, told to [`guard`](crate::affinity::guard)
    /// its stdin. Nothing is changed yet, but whether it may be is tried, by setting what is set.
    ///
    /// # Errors
    /// If nothing may be changed, or there is no guardian.
    pub fn begin(pid: Pid, mut command: Command) -> Result<Keeper, KeepError> {
        let kept = Kept::of(pid).ok_or(KeepError::Gone(pid))?;
        if let Some(thread) = kept.threads.first() {
            kernel::set(thread.tid, &thread.cpus).map_err(|error| refused(pid, &thread.cpus, error))?;
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // SAFETY: setsid(2) takes nothing, allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                // It is no leader of a group, having just been made; if that fails, it stays in this session.
                libc::setsid();
                Ok(())
            });
        }
        let mut guardian = command.spawn().map_err(KeepError::NoGuardian)?;
        let missing = || KeepError::NoGuardian(io::ErrorKind::BrokenPipe.into());
        let tell = guardian.stdin.take().ok_or_else(missing)?;
        let hear = BufReader::new(guardian.stdout.take().ok_or_else(missing)?);
        let mut keeper = Keeper { kept, guardian, tell: Some(tell), hear, applied: Vec::new() };
        keeper.tell(&Told::Kept(keeper.kept.clone())).map_err(KeepError::NoGuardian)?;
        let mut ready = String::new();
        keeper.hear.read_line(&mut ready).map_err(KeepError::NoGuardian)?;
        if ready.trim() != READY {
            return Err(missing());
        }
        Ok(keeper)
    }

    /// What was there.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Puts all threads of the process on these cores; `None`: where they were.
    ///
    /// # Errors
    /// If the process is over, the cores may not be used, or the guardian is gone.
    pub fn apply(&mut self, cpus: Option<&CpuSet>) -> Result<(), KeepError> {
        let pid = self.kept.pid;
        if !self.kept.is_there() {
            return Err(KeepError::Gone(pid));
        }
        let Some(cpus) = cpus else {
            self.kept.restore(&self.applied);
            return Ok(());
        };
        // It is told before anything is changed.
        if self.tell(&Told::Applying(cpus.clone())).is_err() || !matches!(self.guardian.try_wait(), Ok(None)) {
            self.kept.restore(&self.applied);
            return Err(KeepError::GuardianGone);
        }
        self.applied.push(cpus.clone());
        let mut done: Vec<TaskId> = Vec::new();
        for _ in 0..PASSES {
            let new: Vec<TaskId> = tasks::tasks(pid).into_iter().filter(|task| !done.contains(task)).collect();
            if new.is_empty() {
                break;
            }
            for task in new {
                if tasks::started(pid, task.tid) != Some(task.started) {
                    continue;
                }
                done.push(task);
                match kernel::set(task.tid, cpus) {
                    Ok(()) => {}
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) => return Err(refused(pid, cpus, error)),
                }
            }
        }
        if self.kept.is_there() { Ok(()) } else { Err(KeepError::Gone(pid)) }
    }

    /// Whether all threads are still where they were put; threads that end meanwhile are.
    pub fn holds(&self, cpus: Option<&CpuSet>) -> bool {
        let Some(cpus) = cpus else { return true };
        let pid = self.kept.pid;
        tasks::tasks(pid).iter().all(|task| kernel::of(task.tid).map_or(true, |now| now.is_within(cpus)))
    }

    /// Has what was there put back, and says what came of it.
    ///
    /// # Errors
    /// If the guardian cannot tell; then it was done here.
    pub fn finish(mut self) -> Result<Restored, KeepError> {
        self.tell = None;
        let mut said = String::new();
        let heard = self.hear.read_line(&mut said).ok().and_then(|_| serde_json::from_str(&said).ok());
        let _reaped = self.guardian.wait();
        heard.ok_or_else(|| {
            self.kept.restore(&self.applied);
            KeepError::GuardianGone
        })
    }

    fn tell(&mut self, what: &Told) -> io::Result<()> {
        let line = serde_json::to_string(what)?;
        let pipe = self.tell.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(pipe, "{line}").and_then(|()| pipe.flush())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The pipe closes, and it does its work; whoever drops this waits for that.
        self.tell = None;
        let _reaped = self.guardian.wait();
    }
}

fn refused(pid: Pid, cpus: &CpuSet, error: io::Error) -> KeepError {
    match error.raw_os_error() {
        Some(libc::ESRCH) => KeepError::Gone(pid),
        Some(libc::EINVAL) => KeepError::NoSuchCores { pid, cpus: cpus.clone(), error },
        _ => KeepError::NotPermitted { pid, error },
    }
}
