//! What can go wrong between gilscope and a target, each with what to type next.

use std::io;

use thiserror::Error;

use crate::event::{Address, Pid};
use crate::target::permission::Refusal;

/// A read of the target that failed. None of these says anything about what the target did.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The process is gone.
    #[error("the process is gone")]
    Gone,
    /// The kernel no longer lets this user read it.
    #[error("reading its memory is no longer permitted")]
    NotPermitted,
    /// Not mapped.
    #[error("its memory at {:#x} cannot be read", address.0)]
    Fault {
        /// The start of the range that could not be read.
        address: Address,
    },
    /// It changed while it was read, several times over.
    #[error("it changed while it was read")]
    Torn,
    /// What was read contradicts itself: damaged memory, or not the layout that was assumed.
    #[error("its memory makes no sense: {0}")]
    Inconsistent(&'static str),
    /// Any other error.
    #[error("its memory cannot be read: {0}")]
    Io(#[source] io::Error),
}

/// Why a process cannot be observed.
#[derive(Debug, Error)]
pub enum AttachError {
    /// No process has this pid.
    #[error("there is no process {}", .0.0)]
    NoSuchProcess(Pid),
    /// The number is that of a thread.
    #[error("{} is a thread of process {}", thread.0, process.0)]
    NotAProcess {
        /// The number given.
        thread: Pid,
        /// The process it belongs to.
        process: Pid,
    },
    /// It has exited already, and waits for its parent to notice.
    #[error("process {} has exited already (a zombie)", .0.0)]
    Zombie(Pid),
    /// A thread of the kernel.
    #[error("process {} is a thread of the kernel", .0.0)]
    KernelThread(Pid),
    /// It went away while it was looked at.
    #[error("process {} ended while gilscope attached to it", .0.0)]
    GoneWhileAttaching(Pid),
    /// Its interpreter has shut down.
    #[error("process {} still exists, but its Python has shut down", .0.0)]
    Finalized(Pid),
    /// Its interpreter was not up within the patience given.
    #[error("process {} is still starting up its Python", .0.0)]
    StillStarting(Pid),
    /// The kernel refuses to show it.
    #[error("not permitted to look into process {}: {refusal}", pid.0)]
    NotPermitted {
        /// Which process.
        pid: Pid,
        /// Why, as far as it can be found out.
        refusal: Refusal,
    },
    /// Not a Python at all.
    #[error("process {} ({program}) runs no Python", pid.0)]
    NotPython {
        /// Which process.
        pid: Pid,
        /// The program it runs.
        program: String,
    },
    /// Python 2.
    #[error("process {} runs Python 2, whose GIL is another thing altogether", .0.0)]
    Python2(Pid),
    /// Another Python than CPython.
    #[error("process {} runs {implementation}, not CPython", pid.0)]
    OtherImplementation {
        /// Which process.
        pid: Pid,
        /// Its name.
        implementation: &'static str,
    },
    /// A program for a 32-bit machine, or for another machine than this one.
    #[error("process {} is not a 64-bit program of this machine's kind", .0.0)]
    Bits32(Pid),
    /// A CPython without the symbol that everything starts from.
    #[error("process {} runs a CPython that hides its `_PyRuntime`", .0.0)]
    RuntimeHidden(Pid),
    /// On a C library whose waiters gilscope could not tell.
    #[error("process {} runs a CPython on a C library that is neither glibc nor musl", .0.0)]
    OtherLibc(Pid),
    /// Too old, too new, or unknown.
    #[error("process {} runs Python {version}; gilscope knows 3.7.4 to 3.15", pid.0)]
    UnknownVersion {
        /// Which process.
        pid: Pid,
        /// What it says of itself.
        version: String,
    },
    /// An alpha, beta or release candidate: its layout may be anything.
    #[error("process {} runs Python {version}, a pre-release", pid.0)]
    Prerelease {
        /// Which process.
        pid: Pid,
        /// What it says of itself.
        version: String,
    },
    /// The memory does not look the way this version's memory looks.
    #[error("process {} says it is Python {version}, but its memory is laid out differently: {what}", pid.0)]
    LayoutMismatch {
        /// Which process.
        pid: Pid,
        /// The version assumed.
        version: String,
        /// What did not fit.
        what: &'static str,
    },
    /// Any other error.
    #[error("process {} cannot be read: {source}", pid.0)]
    Io {
        /// Which process.
        pid: Pid,
        /// The error.
        source: io::Error,
    },
}

/// What an [`AttachError`] means for the caller; the program maps it to its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// More rights are needed.
    NotPermitted,
    /// Not a CPython that gilscope can read.
    Unsupported,
    /// No such process, or no longer.
    NoSuchProcess,
    /// Something unforeseen.
    Internal,
}

impl AttachError {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            AttachError::NoSuchProcess(_)
            | AttachError::NotAProcess { .. }
            | AttachError::Zombie(_)
            | AttachError::GoneWhileAttaching(_)
            | AttachError::Finalized(_) => Kind::NoSuchProcess,
            AttachError::NotPermitted { .. } => Kind::NotPermitted,
            AttachError::KernelThread(_)
            | AttachError::StillStarting(_)
            | AttachError::NotPython { .. }
            | AttachError::Python2(_)
            | AttachError::OtherImplementation { .. }
            | AttachError::Bits32(_)
            | AttachError::RuntimeHidden(_)
            | AttachError::OtherLibc(_)
            | AttachError::UnknownVersion { .. }
            | AttachError::Prerelease { .. }
            | AttachError::LayoutMismatch { .. } => Kind::Unsupported,
            AttachError::Io { .. } => Kind::Internal,
        }
    }

    /// What to do about it, where anything can be done: usually a command to type.
    pub fn next_step(&self) -> Option<String> {
        match self {
            AttachError::NoSuchProcess(_) => Some("find its pid with: pgrep -af python".to_owned()),
            AttachError::NotAProcess { process, .. } => Some(format!("gilscope attach {}", process.0)),
            AttachError::NotPermitted { pid, refusal } => Some(refusal.next_step(*pid)),
            AttachError::NotPython { pid, .. } => {
                Some(format!("if a Python runs below it, find it with: pgrep -P {} -a", pid.0))
            }
            AttachError::StillStarting(pid) => Some(format!("try again: gilscope attach {}", pid.0)),
            AttachError::RuntimeHidden(_) | AttachError::OtherLibc(_) => Some(
                "run the program with an ordinary CPython 3.7.4 to 3.15, from python.org or a distribution".to_owned(),
            ),
            AttachError::Python2(_)
            | AttachError::OtherImplementation { .. }
            | AttachError::Bits32(_)
            | AttachError::UnknownVersion { .. }
            | AttachError::Prerelease { .. } => {
                Some("run the program with a released 64-bit CPython 3.7.4 to 3.15".to_owned())
            }
            AttachError::Zombie(_)
            | AttachError::KernelThread(_)
            | AttachError::GoneWhileAttaching(_)
            | AttachError::Finalized(_)
            | AttachError::LayoutMismatch { .. }
            | AttachError::Io { .. } => None,
        }
    }
}
