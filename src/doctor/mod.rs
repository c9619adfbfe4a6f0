//! What works here and for a target, what each missing piece costs in precision, and what to type to get it.
//!
//! Three steps: probes ([`examine`]) try things and gather [`Facts`]; [`diagnose`] turns facts into checks and
//! verdicts, and looks at nothing else; [`text()`] and [`write_json`] write those down.

mod checks;
mod facts;
mod host;
mod json;
mod judge;
mod process;
mod text;

use crate::event::Pid;
use crate::time::Ns;

pub use facts::{
    Capabilities, Facts, Host, Memory, Namespace, OwnWatchpoint, Process, Protected, Python, Rings, Seccomp,
    WATCHED_WORDS, Waiters,
};
pub use json::{SCHEMA, SCHEMA_VERSION, write_json};
pub use judge::diagnose;
pub use text::text;

/// Everything that was found, in words.
#[derive(Debug)]
pub struct Diagnosis {
    /// The process that was asked about.
    pub pid: Option<Pid>,
    /// What was looked at, in one line.
    pub about: String,
    /// Each precision, and whether it can be had: sampled, fused, exact.
    pub verdicts: Vec<Verdict>,
    /// What `--mode auto` would take, if anything.
    pub auto: Option<Precision>,
    /// What was tried.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name for programs; stays the same from version to version.
    pub id: &'static str,
    /// Its name for people.
    pub what: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was found. May hold text of the target's.
    pub detail: String,
    /// What its lack costs.
    pub costs: Option<String>,
    /// What to type.
    pub next: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Works,
    /// It works in part.
    Partly,
    /// It does not.
    Missing,
    /// It could not be found out.
    Unknown,
    /// Nothing depends on it.
    Note,
}

/// Whether a precision can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub precision: Precision,
    /// Whether.
    pub outcome: Outcome,
    /// Why, or why not.
    pub reason: String,
    /// What to type to get it.
    pub next: Option<String>,
}

/// How precisely a program can be observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Memory and /proc at intervals.
    Sampled,
    /// Beside that the kernel's switch records.
    Fused,
    /// Watchpoints on the words of the GIL.
    Exact,
}

/// Tries all there is to try, here and on `pid`; an interpreter that is starting up is waited for up to `patience`.
pub fn examine(pid: Option<Pid>, patience: Ns) -> Facts {
    let process = pid.map(|pid| process::examine(pid, patience));
    // Of a process that cannot be seen no more is known than of none.
    let threads = process.as_ref().and_then(|process| process.threads);
    Facts { host: host::examine(threads), process }
}
