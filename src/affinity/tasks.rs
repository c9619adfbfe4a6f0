//! Which tasks a process has, each with the time of its start: numbers alone are used again.

use std::fs;

use crate::event::{Pid, Tid};

/// A task, or a process, that is not mistaken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Its number.
    pub tid: Tid,
    /// When it was started, in the kernel's ticks since boot.
    pub started: u64,
}

/// Most processes that are looked for below one.
const MOST_CHILDREN: usize = 4_096;

/// When the task `tid` of a process was started; `None`: it is gone, or over and not yet reaped.
pub fn started(pid: Pid, tid: Tid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/task/{}/stat", pid.0, tid.0)).ok()?;
    // The name may hold anything, a parenthesis included: what counts stands behind the last one (proc_pid_stat(5)).
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// The tasks of a process; none if it is over.
pub fn tasks(pid: Pid) -> Vec<TaskId> {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/task", pid.0)) else { return Vec::new() };
    let tids = entries.filter_map(|entry| Some(Tid(entry.ok()?.file_name().to_str()?.parse().ok()?)));
    tids.filter_map(|tid| Some(TaskId { tid, started: started(pid, tid)? })).collect()
}

/// The processes that a process has made, and those that they have made, as far as they still have it for a parent.
pub fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found: Vec<Pid> = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied().filter(|_| found.len() < MOST_CHILDREN) {
        next += 1;
        for task in tasks(parent) {
            let path = format!("/proc/{}/task/{}/children", parent.0, task.tid.0);
            let children = fs::read_to_string(path).unwrap_or_default();
            found.extend(children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).map(Pid));
        }
    }
    found.remove(0);
    found
}
