//! Probes of a target. Nothing is written to it, and it is not stopped.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use crate::doctor::facts::{self, Process, Protected, Python, Waiters};
use crate::doctor::host::{field, free_registers, user_namespace};
use crate::event::{Address, Origin, Pid, Tid};
use crate::instruments::perf;
use crate::target::{Memory, ReadError, Refusal, Target};
use crate::time::Ns;

/// Where no process has memory: a read of it fails by that, unless it fails earlier, for want of a right.
const NOWHERE: Address = Address(8);

/// Tries what can be tried on a process.
pub(super) fn examine(pid: Pid, patience: Ns) -> Process {
    let main = Tid(pid.0);
    let status = fs::read(format!("/proc/{}/status", pid.0)).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let uid = field(&status, "Uid:").and_then(|uid| uid.parse().ok());
    // That of the directory says nothing (`task_dump_owner` in fs/proc/base.c).
    let owner = fs::metadata(format!("/proc/{}/status", pid.0)).ok().map(|file| file.uid());
    Process {
        pid,
        uid,
        protected: owner.zip(uid).map(|(owner, uid)| if owner == uid { Protected::No } else { Protected::Yes }),
        user_namespace: user_namespace(pid),
        threads: fs::read_dir(format!("/proc/{}/task", pid.0)).ok().map(Iterator::count).filter(|tasks| *tasks > 0),
        tracer: field(&status, "TracerPid:").and_then(|tracer| tracer.parse().ok()).filter(|it| *it != 0).map(Pid),
        memory: memory(pid),
        switch_records: perf::try_switch_records(main),
        watchpoints: free_registers(main),
        python: Target::attach(pid, patience, Origin::Attached).map(|target| python(&target)),
    }
}

fn memory(pid: Pid) -> facts::Memory {
    let memory = match Memory::open(pid) {
        Ok(memory) => memory,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let refusal = Refusal::look_around(pid);
            return facts::Memory::NotPermitted { why: refusal.to_string(), next: refusal.next_step(pid) };
        }
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            return facts::Memory::Gone;
        }
        Err(error) => return facts::Memory::Failed(error.to_string()),
    };
    match memory.read_u32(NOWHERE) {
        Ok(_) | Err(ReadError::Fault { .. }) => facts::Memory::Works,
        Err(ReadError::Gone) => facts::Memory::Gone,
        // The same right was there a moment ago.
        Err(ReadError::NotPermitted) => facts::Memory::Filtered("process_vm_readv(2) is not permitted".to_owned()),
        Err(ReadError::Io(error)) if error.raw_os_error() == Some(libc::ENOSYS) => {
            facts::Memory::Filtered(format!("process_vm_readv(2) says \"{error}\""))
        }
        Err(error) => facts::Memory::Failed(error.to_string()),
    }
}

fn python(target: &Target) -> Python {
    let info = target.info();
    // A program that runs on may be in the middle of anything: what cannot be read now is not counted.
    let interpreters = target.interpreters().unwrap_or_default();
    let threads = interpreters.iter().filter_map(|it| target.thread_states(it).ok()).map(|states| states.len()).sum();
    let mut gils: Vec<Address> = interpreters.iter().filter_map(|it| it.gil).collect();
    gils.sort_unstable();
    gils.dedup();
    let counted = interpreters.iter().filter_map(|interpreter| {
        let reading = target.probe(interpreter.gil?, interpreter).read(target.memory()).ok()?;
        Some(reading.waiters.is_some())
    });
    let waiters = match counted.reduce(|any, one| any || one) {
        Some(true) => Waiters::Counted,
        Some(false) => Waiters::NotCounted,
        None => Waiters::NoGil,
    };
    Python {
        version: info.python,
        build: info.build,
        libc: info.libc.clone(),
        interpreters: interpreters.len(),
        threads,
        gils: gils.len(),
        waiters,
    }
}
