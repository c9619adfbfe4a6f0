//! Probes of gilscope's own surroundings, on gilscope itself.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::doctor::facts::{Capabilities, Host, Namespace, OwnWatchpoint, Rings, Seccomp};
use crate::event::{Address, Pid, Tid};
use crate::instruments::perf::{self, Attempt, Place, Refusal, Ring};
use crate::target::{Memory, ReadError};

/// The calling thread, to perf_event_open(2).
const OWN_THREAD: Tid = Tid(0);
/// Most rings that are tried: their number is bounded by limits of a few hundred where there are limits.
const MAX_RINGS: usize = 1024;

/// Tries what needs no target. `threads` is for how many there should be rings; if that is open, it is found out how
/// many there can be.
pub(super) fn examine(threads: Option<usize>) -> Host {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<i64>().ok();
    let capabilities = field(&status, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
    Host {
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        architecture: std::env::consts::ARCH,
        cores: thread::available_parallelism().map_or(1, usize::from),
        uid: field(&status, "Uid:").and_then(|uid| uid.parse().ok()),
        capabilities: Capabilities(capabilities),
        paranoid: number("/proc/sys/kernel/perf_event_paranoid").and_then(|level| i32::try_from(level).ok()),
        yama: number("/proc/sys/kernel/yama/ptrace_scope").and_then(|scope| u8::try_from(scope).ok()),
        seccomp: match field(&status, "Seccomp:") {
            Some("0") => Seccomp::Off,
            Some(_) => Seccomp::Filter,
            None => Seccomp::Unknown,
        },
        place: Place::here(),
        user_namespace: user_namespace(Pid(std::process::id())),
        own_memory: own_memory(),
        switch_records: perf::try_switch_records(OWN_THREAD),
        watchpoint: own_watchpoint(),
        threads,
        rings: rings(threads.map_or(MAX_RINGS, |threads| threads.min(MAX_RINGS))),
        memory_lock: limit(&limits, "Max locked memory"),
        perf_lock_kb: number("/proc/sys/kernel/perf_event_mlock_kb").and_then(|kb| u64::try_from(kb).ok()),
        descriptors: limit(&limits, "Max open files"),
        tracepoints: perf::try_futex_waits(OWN_THREAD).map(drop),
        stack_samples: perf::try_user_samples(OWN_THREAD),
    }
}

/// The first word behind a name in a `/proc/PID/status`.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

/// The soft limit in a `/proc/PID/limits`; none for `unlimited`.
fn limit(limits: &str, name: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The initial user namespace maps all ids to themselves (user_namespaces(7)).
pub(super) fn user_namespace(pid: Pid) -> Namespace {
    match fs::read_to_string(format!("/proc/{}/uid_map", pid.0)) {
        Ok(map) => match map.split_whitespace().collect::<Vec<_>>()[..] {
            ["0", "0", "4294967295"] => Namespace::Initial,
            _ => Namespace::Nested,
        },
        Err(_) => Namespace::Unknown,
    }
}

fn own_memory() -> Result<(), String> {
    let word = 0x6c69_6773u32;
    let memory = Memory::open(Pid(std::process::id())).map_err(|error| error.to_string())?;
    match memory.read_u32(Address(std::ptr::from_ref(&word).addr() as u64)) {
        Ok(read) if read == word => Ok(()),
        Ok(_) => Err("it reads something else".to_owned()),
        Err(ReadError::NotPermitted) => Err("process_vm_readv(2) is refused even on gilscope itself".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Watches a word of gilscope's own, writes to it, and sees whether that was counted.
fn own_watchpoint() -> OwnWatchpoint {
    let word = AtomicU32::new(0);
    let address = Address(std::ptr::from_ref(&word).addr() as u64);
    let event = match perf::watchpoint(OWN_THREAD, address) {
        Ok(event) => event,
        Err(error) => return OwnWatchpoint::Refused(Refusal::look_around(Attempt::Watchpoint, &error)),
    };
    let armed = perf::arm(&event, 1);
    word.store(1, Ordering::SeqCst);
    let mut hits = [0u8; 8];
    match armed.and_then(|()| File::from(event).read_exact(&mut hits)) {
        Ok(()) if u64::from_ne_bytes(hits) > 0 => OwnWatchpoint::Hits,
        _ => OwnWatchpoint::Deaf,
    }
}

/// Maps as many rings as there are threads to follow, and lets go of them.
fn rings(tried: usize) -> Rings {
    let mut kept = Vec::new();
    for _ in 0..tried {
        let ring = perf::task_records(OWN_THREAD)
            .map_err(|error| (Attempt::Event, error))
            .and_then(|event| Ring::map(event, 1).map_err(|error| (Attempt::Ring, error)));
        match ring {
            // As whoever follows threads: the last descriptors are left to others.
            Ok(ring) if !ring.leaves_descriptors() => {
                return Rings { tried, had: kept.len(), refusal: Some(Refusal::of_descriptors()) };
            }
            Ok(ring) => kept.push(ring),
            Err((attempt, error)) => {
                let had = kept.len();
                // Looking around opens files.
                drop(kept);
                return Rings { tried, had, refusal: Some(Refusal::look_around(attempt, &error)) };
            }
        }
    }
    Rings { tried, had: kept.len(), refusal: None }
}

/// Takes up to four debug registers of a thread, without arming one, and gives them back at once.
///
/// They watch the first page of the address space, where nothing can be mapped (`vm.mmap_min_addr`), and are never
/// loaded into the core: the thread does not notice.
pub(super) fn free_registers(tid: Tid) -> Result<usize, Refusal> {
    const REGISTERS: u64 = 4;
    const NOWHERE: u64 = 8;
    let mut kept: Vec<OwnedFd> = Vec::new();
    for register in 0..REGISTERS {
        match perf::watchpoint(tid, Address(NOWHERE + 4 * register)) {
            Ok(event) => kept.push(event),
            Err(error) if kept.is_empty() => return Err(Refusal::look_around(Attempt::Watchpoint, &error)),
            Err(_) => break,
        }
    }
    Ok(kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_the_soft_ones() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max locked memory         65536                unlimited            bytes     \n\
                      Max open files            unlimited            unlimited            files     \n";
        assert_eq!(limit(limits, "Max locked memory"), Some(65_536));
        assert_eq!(limit(limits, "Max open files"), None);
        assert_eq!(limit("", "Max open files"), None);
    }

    #[test]
    fn own_memory_can_be_read() {
        assert_eq!(own_memory(), Ok(()));
    }
}
