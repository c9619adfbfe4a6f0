//! Task ids across PID namespaces (pid_namespaces(7)): CPython and the C library know a thread by the number
//! it has inside, `/proc` by the number it has here.

use std::collections::HashMap;
use std::fs;
use std::io;

use crate::event::{Pid, Tid};

/// Whether the target lives in another PID namespace than gilscope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PidNamespace {
    Same,
    Other,
}

/// In which PID namespace the process lives.
pub(crate) fn of(pid: Pid) -> io::Result<PidNamespace> {
    let own = fs::read_link("/proc/self/ns/pid")?;
    let target = fs::read_link(format!("/proc/{}/ns/pid", pid.0))?;
    Ok(if own == target { PidNamespace::Same } else { PidNamespace::Other })
}

/// The tasks of a process by their innermost numbers. `tasks` are its task ids here.
pub(crate) fn inner_to_outer(pid: Pid, tasks: &[Tid]) -> HashMap<u32, Tid> {
    let mut known = HashMap::new();
    for &tid in tasks {
        // A task that ended meanwhile has no number any more.
        let Ok(status) = fs::read_to_string(format!("/proc/{}/task/{}/status", pid.0, tid.0)) else { continue };
        if let Some(inner) = innermost(&status) {
            known.insert(inner, tid);
        }
    }
    known
}

/// The last number of `NSpid:`, the one that the task has for itself (proc_pid_status(5)).
fn innermost(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_number_counts() {
        assert_eq!(innermost("Name:\tNSpid: 3\nNSpid:\t4711\t12\t7\nNSsid:\t1\n"), Some(7));
        assert_eq!(innermost("NSpid:\t4711\n"), Some(4711));
        assert_eq!(innermost("NSpid:\tx\n"), None);
        assert_eq!(innermost("NSpid:\n"), None);
        assert_eq!(innermost(""), None);
    }

    #[test]
    fn own_namespace() {
        let pid = Pid(std::process::id());
        assert_eq!(of(pid).unwrap(), PidNamespace::Same);
        assert_eq!(inner_to_outer(pid, &[Tid(pid.0)]).get(&pid.0), Some(&Tid(pid.0)));
    }
}
