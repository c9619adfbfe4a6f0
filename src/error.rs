//! What can go wrong with a command: what happened, why, and what to type next.

use std::fmt;

/// Exit statuses, a public contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done; Ctrl-C and the target's own end included.
    Ok = 0,
    /// A defect of gilscope or of the system under it.
    Internal = 1,
    /// The command line is not understood.
    Usage = 2,
    /// Not permitted here, or a precision that cannot be had.
    NotPermitted = 3,
    /// Not a CPython that is supported.
    Unsupported = 4,
    /// A recording that cannot be read.
    Unreadable = 5,
    /// No such process, or it has vanished.
    NoSuchProcess = 6,
    /// A condition of `--fail-if` is met, or could not be decided.
    ConditionMet = 7,
    /// Refused for the target's sake.
    Refused = 8,
    /// A program to start that cannot be executed; as shells have it.
    NotExecutable = 126,
    /// A program to start that is not there; as shells have it.
    CommandNotFound = 127,
}

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    /// The exit status it maps to.
    pub status: Status,
    /// What happened and why.
    pub what: String,
    /// What to type next, where there is something.
    pub next: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(status: Status, what: impl fmt::Display) -> Failure {
        Failure { status, what: what.to_string(), next: None }
    }

    /// With what to type next.
    pub fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "\n{next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
