//! Sending, to one process and no other.
#![expect(unsafe_code, reason = "pidfd_open(2) and pidfd_send_signal(2) have no wrapper in the C library")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use thiserror::Error;

use crate::event::Pid;
use crate::interrupt::Permit;

/// Sends signals to one process. It refers to the process itself (`pidfd_open(2)`, Linux 5.3): after its end nothing is
/// sent, whoever has its number then.
#[derive(Debug)]
pub struct Sender {
    pid: Pid,
    process: OwnedFd,
}

/// Why nothing was sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// It is over.
    #[error("process {} is gone", .0.0)]
    Gone(Pid),
    /// By the kernel's rules for kill(2): another user's process.
    #[error("not permitted to send signals to process {}, which is another user's", .0.0)]
    NotPermitted(Pid),
    /// Something else.
    #[error("cannot send a signal to process {}: {error}", pid.0)]
    Refused {
        /// To whom.
        pid: Pid,
        /// The kernel's word.
        error: io::Error,
    },
}

impl Sender {
    /// One for the process that has this number now.
    ///
    /// # Errors
    /// If there is none, or Linux is older than 5.3.
    pub fn open(pid: Pid) -> Result<Sender, SendError> {
        // SAFETY: pidfd_open takes two integers and touches no memory.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0 as libc::pid_t, 0) };
        let Some(descriptor) = i32::try_from(opened).ok().filter(|descriptor| *descriptor >= 0) else {
            return Err(refused(pid));
        };
        // SAFETY: the call has just returned this descriptor, and nobody else has it.
        Ok(Sender { pid, process: unsafe { OwnedFd::from_raw_fd(descriptor) } })
    }

    /// Sends what is permitted.
    ///
    /// # Errors
    /// If the process is gone, or is another user's.
    pub fn send(&self, permit: Permit) -> Result<(), SendError> {
        let signal = i32::from(permit.signal().number());
        let information: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: the descriptor is open; a null pointer for the information means what kill(2) would say.
        let sent =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.process.as_raw_fd(), signal, information, 0) };
        if sent == 0 { Ok(()) } else { Err(refused(self.pid)) }
    }
}

fn refused(pid: Pid) -> SendError {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ESRCH) => SendError::Gone(pid),
        Some(libc::EPERM) => SendError::NotPermitted(pid),
        _ => SendError::Refused { pid, error },
    }
}
