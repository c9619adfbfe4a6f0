//! Starts a program and keeps out of its way: it has gilscope's own stdin,
//! stdout and stderr, gets the signals that gilscope gets, and its exit status
//! is passed on.
#![expect(unsafe_code, reason = "kill(2) forwards a signal to our own child")]

use std::ffi::OsString;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::event::Pid;
use crate::signals::heeded;

/// Signals that are passed on, unless whoever started gilscope has them ignored.
const PASSED_ON: [i32; 7] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];

/// A program that gilscope started.
#[derive(Debug)]
pub struct Launched {
    pid: Pid,
    child: Arc<Mutex<Child>>,
    signals: signal_hook::iterator::Handle,
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No program was named.
    #[error("no program to start was given after `--`")]
    Empty,
    /// It could not be started.
    #[error("cannot start `{program}`: {error}")]
    Refused {
        /// Its name.
        program: String,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Signals could not be set up.
    #[error("cannot prepare to pass signals on: {0}")]
    Signals(std::io::Error),
}

impl Launched {
    /// Starts `command`. From here on, signals that gilscope gets go to it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &[OsString]) -> Result<Launched, LaunchError> {
        let (program, args) = command.split_first().ok_or(LaunchError::Empty)?;
        let mut signals = SignalsInfo::<WithOrigin>::new(heeded(&PASSED_ON)).map_err(LaunchError::Signals)?;
        let handle = signals.handle();
        let child = Command::new(program)
            .args(args)
            .spawn()
            .map_err(|error| LaunchError::Refused { program: program.to_string_lossy().into_owned(), error })?;
        let pid = Pid(child.id());
        let child = Arc::new(Mutex::new(child));
        let receiver = Arc::clone(&child);
        thread::Builder::new()
            .name("gilscope-signals".to_owned())
            .spawn(move || {
                for origin in signals.forever() {
                    // The terminal sends its signals to the whole foreground group: the child has had them.
                    if !matches!(origin.cause, Cause::Kernel) || !matches!(origin.signal, SIGINT | SIGQUIT | SIGWINCH) {
                        pass_on(&receiver, origin.signal);
                    }
                }
            })
            .map_err(LaunchError::Signals)?;
        Ok(Launched { pid, child, signals: handle })
    }

    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn try_status(&self) -> std::io::Result<Option<ExitStatus>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn wait(&self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_status()? {
                return Ok(status);
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.signals.close();
    }
}

fn pass_on(child: &Mutex<Child>, signal: i32) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // Under the lock, and only while it is not reaped: the pid cannot have become another's.
    if let Ok(None) = child.try_wait()
        && let Ok(pid) = libc::pid_t::try_from(child.id())
    {
        // SAFETY: kill takes two integers; the pid is that of our own child, which has not been reaped.
        let _refused = unsafe { libc::kill(pid, signal) };
    }
}
