//! One run of a program: on the cores it may use, in a group of its own, and what it cost as a whole.
#![expect(
    unsafe_code,
    reason = "wait4(2) tells what a child and all that it has waited for have used; kill(2) ends a group"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::affinity::{CpuSet, Mask};
use crate::event::Pid;
use crate::time::Ns;

/// What a run took: of the program and of all processes that it has started and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// From before its start until it had ended.
    pub wall: Ns,
    /// CPU time in its own code.
    pub user: Ns,
    /// CPU time in the kernel.
    pub system: Ns,
    /// Context switches because it slept.
    pub voluntary_switches: u64,
    /// Context switches because another was to run.
    pub involuntary_switches: u64,
    /// The most memory that any one of its processes had at a time (RSS), in bytes.
    pub max_rss: u64,
    /// What gilscope itself had when it made the process: the kernel counts that, too, so less than a little more is not told.
    pub rss_floor: u64,
    /// How it ended: its exit status, or 128 and the number of the signal that ended it.
    pub status: i32,
}

/// A program that runs. Dropped, it is ended with all of its group.
#[derive(Debug)]
pub struct Started {
    pid: Pid,
    over: Arc<AtomicBool>,
    /// Whether its number may be another's by now. Signals are sent, and it is reaped, with this locked.
    reaped: Arc<Mutex<bool>>,
    waiter: Option<JoinHandle<io::Result<Measured>>>,
}

/// How long a group has to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(3);

impl Started {
    /// Starts a program on these cores; `None`: on those that gilscope may use.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command, cpus: Option<&CpuSet>) -> io::Result<Started> {
        command.process_group(0);
        // SAFETY: between fork and exec this makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // Should gilscope be killed, its program is not left behind to run into whatever is measured next.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        if let Some(mask) = cpus.map(Mask::of) {
            // SAFETY: between fork and exec this makes one system call and allocates nothing.
            unsafe { command.pre_exec(move || mask.apply_here()) };
        }
        let rss_floor = own_rss();
        let began = Instant::now();
        let child = command.spawn()?;
        let pid = child.id();
        let number = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        let (over, reaped) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(false)));
        let (flag, gone) = (Arc::clone(&over), Arc::clone(&reaped));
        // Its handle does not reap it: this thread does, and asks what it used.
        drop(child);
        let waiter = std::thread::Builder::new().name("gilscope-wait".to_owned()).spawn(move || {
            let measured = wait(number, began, rss_floor, &gone);
            flag.store(true, Ordering::Release);
            measured
        })?;
        Ok(Started { pid: Pid(pid), over, reaped, waiter: Some(waiter) })
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until it has ended, unless `is_stopped` says so before: then its group is ended, and there is nothing.
    ///
    /// # Errors
    /// If the system cannot tell what it used.
    pub fn finish(mut self, is_stopped: impl Fn() -> bool) -> io::Result<Option<Measured>> {
        while !self.is_over() {
            if is_stopped() {
                self.end();
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let waiter = self.waiter.take().ok_or(io::ErrorKind::Other)?;
        let measured = waiter.join().map_err(|_| io::Error::other("the waiting thread has failed"))??;
        Ok(Some(measured))
    }

    /// Ends the group: it is asked to, then it is made to.
    fn end(&mut self) {
        self.signal(libc::SIGTERM);
        let until = Instant::now() + PATIENCE;
        while !self.is_over() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal(libc::SIGKILL);
        if let Some(waiter) = self.waiter.take() {
            let _measured = waiter.join();
        }
    }

    fn signal(&self, signal: i32) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if let (false, Ok(group)) = (*reaped, libc::pid_t::try_from(self.pid.0)) {
            // SAFETY: kill takes two integers; the group has the number of our child, which has not been reaped.
            let _none_left = unsafe { libc::kill(-group, signal) };
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.waiter.is_some() {
            self.end();
        }
    }
}

/// What this process has in memory, and a tenth more: the kernel's own counts lag behind.
fn own_rss() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    // SAFETY: sysconf takes a number and gives one.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096);
    pages.saturating_mul(page) / 10 * 11
}

/// Waits until a child has ended, ends what it has left behind in its group, which would run into the next run, and reaps it.
fn wait(pid: libc::pid_t, began: Instant, rss_floor: u64, reaped: &Mutex<bool>) -> io::Result<Measured> {
    let mut ended = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the place is this function's, and as large as the kernel writes to it.
    until_uninterrupted(|| unsafe {
        libc::waitid(libc::P_PID, pid.unsigned_abs(), ended.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT)
    })?;
    let wall = Ns(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: kill takes two integers; the group has the number of our child, which has not been reaped.
    let _none_left = unsafe { libc::kill(-pid, libc::SIGKILL) };
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both places are this function's, and as large as the kernel writes to them.
    until_uninterrupted(|| unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) })?;
    *reaped = true;
    drop(reaped);
    // SAFETY: zeroed is a valid rusage, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    let time =
        |value: libc::timeval| Ns((value.tv_sec as u64).saturating_mul(1_000_000_000) + value.tv_usec as u64 * 1_000);
    let status = ExitStatus::from_raw(status);
    Ok(Measured {
        wall,
        user: time(usage.ru_utime),
        system: time(usage.ru_stime),
        voluntary_switches: usage.ru_nvcsw as u64,
        involuntary_switches: usage.ru_nivcsw as u64,
        max_rss: (usage.ru_maxrss as u64).saturating_mul(1024),
        rss_floor,
        status: status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1),
    })
}

/// Makes a system call again as long as a signal interrupts it.
fn until_uninterrupted(mut call: impl FnMut() -> i32) -> io::Result<()> {
    loop {
        if call() >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
