//! Why the kernel refuses a performance event, and how to change that.
//!
//! The rules: `perf_event_open` in kernel/events/core.c wants `PTRACE_MODE_READ` of the task or `CAP_PERFMON`. Debian
//! and Ubuntu add that nobody may open one while `perf_event_paranoid` is 3 or more, unless with `CAP_SYS_ADMIN`:
//! on many of them `CAP_PERFMON` is not enough. They say `EACCES`. Docker's profile and containerd's say `EPERM` unless
//! there is `CAP_SYS_ADMIN` or, in newer versions, `CAP_PERFMON`.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::event::{Address, Tid};
use crate::target::descriptors::{self, Kept};

use super::{FutexTracepoint, Ring, futex_waits, switch_records, task_records, user_samples, watchpoint};
use crate::time::Ns;

/// Above this level of `perf_event_paranoid` the kernels of distributions refuse all of it.
const MOST_PARANOID: i32 = 2;

/// Where no program has anything: the first page is never mapped (`vm.mmap_min_addr`).
const NOWHERE: Address = Address(8);

/// A performance event that may not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why not.
    pub why: Why,
    /// Where gilscope runs: it changes what to type.
    pub place: Place,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The task has ended.
    Gone,
    /// The kernel has none of them.
    Absent,
    /// `kernel.perf_event_paranoid` is as high as this.
    Paranoid(i32),
    /// gilscope may not even follow itself: a filter of system calls, or a security module.
    Filtered(String),
    /// gilscope may follow itself, but not that task: another user's, or one that is protected.
    Stranger,
    /// No file descriptor is left (`RLIMIT_NOFILE`).
    Descriptors,
    /// No more memory may be locked for rings (`RLIMIT_MEMLOCK`, `kernel.perf_event_mlock_kb`).
    Locked,
    /// All debug registers of the task are taken.
    Registers,
    /// The machine has no debug registers for this.
    NoWatchpoints,
    /// tracefs, where tracepoints are described, is not mounted.
    NoTracefs,
    /// tracefs is there, but not for gilscope's user.
    TracefsOfRoot,
    /// The kernel does not trace system calls.
    NoTracepoint,
    /// gilscope may follow the task's switches, but not the tracepoint.
    Unprivileged,
    /// Anything else, in the kernel's words.
    Other(String),
}

/// Where gilscope runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the machine itself, as far as can be seen.
    Host,
    /// In a container.
    Container,
    /// In a container of a Kubernetes pod.
    Pod,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// To open an event.
    Event,
    /// To map its ring.
    Ring,
    /// To open a watchpoint.
    Watchpoint,
    /// To open a tracepoint.
    Tracepoint,
}

/// Tries whether switch records of a task may be had, ring and all.
///
/// # Errors
/// With the reason.
pub fn try_switch_records(tid: Tid) -> Result<(), Refusal> {
    let event = switch_records(tid).map_err(|error| Refusal::look_around(Attempt::Event, &error))?;
    if !descriptors::may_stay_open(&event, Kept::ForLack) {
        return Err(Refusal::of_descriptors());
    }
    Ring::map(event, 1).map(drop).map_err(|error| Refusal::look_around(Attempt::Ring, &error))
}

/// Tries whether so many watchpoints of a task may be had at once, and a ring for their hits. They are never armed.
///
/// # Errors
/// With the reason.
pub fn try_watchpoints(tid: Tid, number: usize) -> Result<(), Refusal> {
    let mut kept = Vec::new();
    for _ in 0..number {
        let one = watchpoint(tid, NOWHERE).map_err(|error| Refusal::look_around(Attempt::Watchpoint, &error))?;
        kept.push(one);
    }
    let event = task_records(tid).map_err(|error| Refusal::look_around(Attempt::Event, &error))?;
    Ring::map(event, 1).map(drop).map_err(|error| Refusal::look_around(Attempt::Ring, &error))
}

/// Tries whether a task's registers and stack may be sampled. None is taken.
///
/// # Errors
/// With the reason.
pub fn try_user_samples(tid: Tid) -> Result<(), Refusal> {
    let event = user_samples(tid, Ns::SECOND).map_err(|error| Refusal::look_around(Attempt::Event, &error))?;
    Ring::map(event, 1).map(drop).map_err(|error| Refusal::look_around(Attempt::Ring, &error))
}

/// Tries whether the waits of a task on futexes may be traced. Nothing is traced.
///
/// # Errors
/// With the reason.
pub fn try_futex_waits(tid: Tid) -> Result<FutexTracepoint, Refusal> {
    let tracepoint = FutexTracepoint::find().map_err(|why| Refusal { why, place: Place::here() })?;
    let owner = switch_records(tid).map_err(|error| Refusal::look_around(Attempt::Event, &error))?;
    let filter = tracepoint.filter(&[(NOWHERE, NOWHERE)]);
    match Ring::map(owner, 1) {
        Err(error) => Err(Refusal::look_around(Attempt::Ring, &error)),
        Ok(ring) => match futex_waits(tid, &tracepoint, &filter, ring.event()) {
            Err(error) => Err(Refusal::look_around(Attempt::Tracepoint, &error)),
            Ok(_) => Ok(tracepoint),
        },
    }
}

impl Refusal {
    /// Few file descriptors are left, and those are for what has to be opened now and then.
    pub fn of_descriptors() -> Refusal {
        Refusal { why: Why::Descriptors, place: Place::here() }
    }

    /// Looks around for the cause of an error.
    pub fn look_around(attempt: Attempt, error: &io::Error) -> Refusal {
        const OWN_THREAD: Tid = Tid(0);
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok();
        let paranoid = paranoid.and_then(|level| level.trim().parse().ok());
        let own = match switch_records(OWN_THREAD) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::ENOSYS)) => {
                OwnThread::Refused
            }
            _ => OwnThread::Permitted,
        };
        Refusal { why: why(attempt, error, own, paranoid), place: Place::here() }
    }

    /// What to type.
    pub fn next_step(&self) -> &'static str {
        match (&self.why, self.place) {
            (Why::Gone, _) => "find its pid with: pgrep -af python",
            (Why::Paranoid(_), Place::Host) => {
                "permit it until the next start of the machine: sudo sysctl kernel.perf_event_paranoid=2"
            }
            (Why::Paranoid(_), Place::Container | Place::Pod) => {
                "on the machine, outside the container: sudo sysctl kernel.perf_event_paranoid=2"
            }
            (Why::Filtered(_), Place::Container) => {
                "start the container with: docker run --cap-add SYS_PTRACE --cap-add PERFMON ... (an older Docker: \
                 --cap-add SYS_PTRACE --security-opt seccomp=unconfined)"
            }
            (Why::Filtered(_), Place::Pod) => {
                "kubectl debug POD -it --image=IMAGE --target=CONTAINER --profile=sysadmin, or set securityContext: \
                 {seccompProfile: {type: Unconfined}}"
            }
            (Why::Filtered(_), Place::Host) => "run gilscope outside of the sandbox or service that it was started in",
            (Why::Stranger, Place::Host) => "run it as the target's user, or with sudo",
            (Why::Stranger, Place::Container) => {
                "run it as the target's user, or as root with: docker run --cap-add PERFMON ..."
            }
            (Why::Stranger, Place::Pod) => {
                "run it as the target's user, or: kubectl debug POD -it --image=IMAGE --target=CONTAINER \
                 --profile=sysadmin"
            }
            (Why::Descriptors, _) => "ulimit -n 65536, and start gilscope again from that shell",
            (Why::Locked, _) => {
                "ulimit -l unlimited, and start gilscope again from that shell; or: sudo sysctl \
                 kernel.perf_event_mlock_kb=16384"
            }

            // Those that ptrace(2) took (`ptrace_set_breakpoint_addr` in arch/x86/kernel/ptrace.c).
            (Why::Registers, _) => {
                "end the debugger (registers that gdb has used stay taken until the thread ends), or do with less: \
                 --mode fused"
            }
            (Why::NoTracefs, Place::Host) => {
                "sudo mount -t tracefs nodev /sys/kernel/tracing, or do without: --tracepoints never"
            }
            (Why::NoTracefs, Place::Container | Place::Pod) => {
                "start the container as root with: -v /sys/kernel/tracing:/sys/kernel/tracing:ro, or do without: \
                 --tracepoints never"
            }
            (Why::TracefsOfRoot | Why::Unprivileged, _) => "run it with sudo, or do without: --tracepoints never",
            (Why::NoTracepoint, _) => "do without: --tracepoints never",
            (Why::Absent | Why::NoWatchpoints | Why::Other(_), _) => "do without: --mode sampled",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Gone => f.write_str("the thread is gone"),
            Why::Absent => f.write_str("this kernel has no performance events"),
            Why::Paranoid(level) => write!(f, "kernel.perf_event_paranoid is {level}"),
            Why::Filtered(error) => match self.place {
                Place::Host => write!(
                    f,
                    "perf_event_open(2) says \"{error}\" even for gilscope itself: a seccomp filter or a security module"
                ),
                Place::Container | Place::Pod => write!(
                    f,
                    "perf_event_open(2) says \"{error}\" even for gilscope itself: the container's seccomp profile"
                ),
            },
            Why::Stranger => f.write_str("it is another user's process, or a protected one"),
            Why::Descriptors => f.write_str("no file descriptor is left"),
            Why::Locked => f.write_str("no more memory may be locked for its ring"),
            Why::Registers => f.write_str("all debug registers of its threads are taken, as by a debugger"),
            Why::NoWatchpoints => f.write_str("this machine offers no debug registers"),
            Why::NoTracefs => f.write_str("tracefs, which describes them, is not mounted"),
            Why::TracefsOfRoot => f.write_str("tracefs, which describes them, is for root"),
            Why::NoTracepoint => f.write_str("this kernel does not trace system calls"),
            Why::Unprivileged => f.write_str("they need CAP_PERFMON"),
            Why::Other(error) => write!(f, "perf_event_open(2) says \"{error}\""),
        }
    }
}

impl Place {
    /// What the marks say that containers usually leave.
    pub fn here() -> Place {
        let marked = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
        let cgroup = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
        let service = Path::new("/var/run/secrets/kubernetes.io").exists();
        if service || cgroup.contains("kubepods") {
            Place::Pod
        } else if marked || ["docker", "containerd", "libpod", "lxc"].iter().any(|name| cgroup.contains(name)) {
            Place::Container
        } else {
            Place::Host
        }
    }
}

/// Whether gilscope may have events of its own thread, for which no right over others is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnThread {
    Permitted,
    Refused,
}

fn why(attempt: Attempt, error: &io::Error, own: OwnThread, paranoid: Option<i32>) -> Why {
    match (error.raw_os_error(), attempt) {
        (Some(libc::ESRCH), _) => Why::Gone,
        (Some(libc::EMFILE | libc::ENFILE), _) => Why::Descriptors,
        (Some(libc::EPERM | libc::ENOMEM), Attempt::Ring) => Why::Locked,
        (Some(libc::ENOSPC), Attempt::Watchpoint) => Why::Registers,
        (Some(libc::EOPNOTSUPP | libc::ENODEV | libc::ENOENT | libc::EINVAL), Attempt::Watchpoint) => {
            Why::NoWatchpoints
        }
        (Some(libc::ENOENT | libc::ENODEV | libc::EINVAL), Attempt::Tracepoint) => Why::NoTracepoint,
        (Some(libc::EACCES | libc::EPERM), Attempt::Tracepoint) => Why::Unprivileged,
        // Without `perf_event_paranoid` there are no events; with it, a filter says so.
        (Some(libc::ENOSYS), _) if paranoid.is_none() => Why::Absent,
        (Some(errno @ (libc::EACCES | libc::EPERM | libc::ENOSYS)), _) => match (own, paranoid) {
            (OwnThread::Permitted, _) => Why::Stranger,
            (OwnThread::Refused, Some(level)) if level > MOST_PARANOID && errno == libc::EACCES => Why::Paranoid(level),
            (OwnThread::Refused, _) => Why::Filtered(words(error)),
        },
        _ => Why::Other(words(error)),
    }
}

/// The kernel's words without the number that Rust adds.
fn words(error: &io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_cause() {
        let of = |errno, attempt, own, paranoid| why(attempt, &io::Error::from_raw_os_error(errno), own, paranoid);
        let (event, ring, watchpoint) = (Attempt::Event, Attempt::Ring, Attempt::Watchpoint);
        let (yes, no) = (OwnThread::Permitted, OwnThread::Refused);
        assert_eq!(of(libc::EACCES, event, no, Some(4)), Why::Paranoid(4));
        assert_eq!(of(libc::EPERM, event, no, Some(2)), Why::Filtered("Operation not permitted".to_owned()));
        assert!(matches!(of(libc::EPERM, event, no, Some(4)), Why::Filtered(_)), "a container on Ubuntu");
        assert!(matches!(of(libc::ENOSYS, event, no, Some(2)), Why::Filtered(_)));
        assert_eq!(of(libc::ENOSYS, event, no, None), Why::Absent);
        assert_eq!(of(libc::EACCES, event, yes, Some(2)), Why::Stranger);
        assert_eq!(of(libc::EPERM, ring, yes, Some(2)), Why::Locked);
        assert_eq!(of(libc::EMFILE, event, yes, Some(2)), Why::Descriptors);
        assert_eq!(of(libc::ENOSPC, watchpoint, yes, Some(2)), Why::Registers);
        assert_eq!(of(libc::EOPNOTSUPP, watchpoint, yes, Some(2)), Why::NoWatchpoints);
        assert_eq!(of(libc::EACCES, Attempt::Tracepoint, yes, Some(2)), Why::Unprivileged);
        assert_eq!(of(libc::ESRCH, event, yes, Some(2)), Why::Gone);
        assert!(matches!(of(libc::E2BIG, event, yes, Some(2)), Why::Other(_)));
    }
}
