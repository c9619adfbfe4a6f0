//! Attaching: from a pid to a [`Target`] whose layout has been checked, or to the reason why not.

use std::fs::{self, File};
use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use crate::event::{Origin, Pid, ProcessInfo, Tid};
use crate::target::affinity;
use crate::target::elf;
use crate::target::error::{AttachError, ReadError};
use crate::target::gil::{GilReading, Lock};
use crate::target::interpreters::{Finalization, Interpreter};
use crate::target::maps;
use crate::target::memory::Memory;
use crate::target::namespace;
use crate::target::permission::Refusal;
use crate::target::runtime::{NoRuntime, Runtime};
use crate::target::threads::{MainThread, ThreadState};
use crate::target::version::Hurry;
use crate::target::{ImageState, Target, bounded};
use crate::time::Ns;

/// Pause between two looks at a process that is starting up: short at first, since a Python is up within 20 ms.
const PAUSES: [Duration; 2] = [Duration::from_micros(300), Duration::from_millis(1)];
/// How many short pauses there are.
const SHORT_PAUSES: usize = 200;
/// How often a check is repeated before a contradiction counts: the target runs on while it is made.
const CHECKS: usize = 5;
/// PF_KTHREAD in a task's flags (linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;
/// Most arguments of a command line that are kept.
const MAX_ARGUMENTS: usize = 256;
/// Longest command line that is read, in bytes.
const MAX_CMDLINE: u64 = 64 << 10;
/// The longest switch interval that is believed: ten thousand seconds.
const MAX_INTERVAL: Ns = Ns::from_millis(10_000_000);

/// One look that did not end in a [`Target`].
enum Setback {
    /// It may be there in a moment.
    NotYet(AttachError),
    /// Looking again changes nothing.
    Final(AttachError),
}

pub(super) fn attach(pid: Pid, patience: Ns, origin: Origin) -> Result<Target, AttachError> {
    let deadline = Instant::now().checked_add(Duration::from_nanos(patience.0));
    let mut looks = 0;
    loop {
        let hurry = match deadline {
            Some(deadline) if Instant::now() >= deadline => Hurry::LastChance,
            _ => Hurry::CanWait,
        };
        match look(pid, origin, hurry) {
            Ok(target) => return Ok(target),
            Err(Setback::Final(error)) => return Err(error),
            Err(Setback::NotYet(error)) if hurry == Hurry::LastChance => return Err(error),
            Err(Setback::NotYet(_)) => {}
        }
        looks += 1;
        thread::sleep(PAUSES[usize::from(looks > SHORT_PAUSES)]);
    }
}

fn look(pid: Pid, origin: Origin, hurry: Hurry) -> Result<Target, Setback> {
    let directory = File::open(format!("/proc/{}", pid.0)).map_err(|error| no_proc(pid, error))?;
    is_a_live_process(pid)?;
    let memory = Memory::open(pid).map_err(|error| no_proc(pid, error))?;
    let unreadable = |error| not_readable(pid, error);
    let find = || {
        let maps = maps::of_process(pid).map_err(|error| no_proc(pid, error))?;
        if maps.is_empty() {
            return Err(Setback::NotYet(AttachError::StillStarting(pid)));
        }
        let modules = elf::modules(&memory, &maps).map_err(unreadable)?;
        Ok(Runtime::find(&memory, &modules, hurry))
    };
    let runtime = match find()? {
        // Its libraries may have come after the maps were read: by now its interpreter is up, and they are there.
        Err(NoRuntime::OtherLibc) => find()?,
        found => found,
    };
    let runtime = runtime.map_err(|none| no_runtime(pid, origin, none))?;
    let namespace = namespace::of(pid).map_err(|error| no_proc(pid, error))?;
    let info = ProcessInfo {
        pid,
        cmdline: cmdline(pid),
        python: runtime.version,
        build: runtime.build,
        libc: runtime.libc.to_string(),
        // Empty where it has gone by now, which the checks below find.
        cpus_allowed: affinity::cores_of(Tid(pid.0)).unwrap_or_default(),
        origin,
    };
    let target = Target { info, memory, runtime, namespace, directory };
    let mut checked = check(&target);
    for _ in 1..CHECKS {
        match checked {
            Err(Doubt::Contradiction(_)) => checked = check(&target),
            _ => break,
        }
    }
    // Whatever was read, it counts only if it was of one image all the time.
    match (target.image(), checked) {
        (ImageState::Same, Ok(())) => Ok(target),
        (ImageState::Same, Err(Doubt::NotYet)) => Err(Setback::NotYet(AttachError::StillStarting(pid))),
        (ImageState::Same, Err(Doubt::ShutDown)) => Err(Setback::Final(AttachError::Finalized(pid))),
        (ImageState::Same, Err(Doubt::Unreadable(error))) => Err(unreadable(error)),
        // A child that was forked just now is put in order by CPython itself (`PyOS_AfterFork_Child`).
        (ImageState::Same, Err(Doubt::Contradiction(what))) => {
            Err(Setback::NotYet(AttachError::LayoutMismatch { pid, version: target.runtime.version.to_string(), what }))
        }
        (ImageState::Replaced { .. }, _) => Err(Setback::NotYet(AttachError::StillStarting(pid))),
        (ImageState::Gone, _) => Err(Setback::Final(AttachError::GoneWhileAttaching(pid))),
    }
}

/// Why a layout is not believed.
enum Doubt {
    /// The interpreter is not up.
    NotYet,
    /// It was up, and is no more.
    ShutDown,
    /// Something that cannot be in that layout.
    Contradiction(&'static str),
    /// Memory could not be read.
    Unreadable(ReadError),
}

impl From<ReadError> for Doubt {
    fn from(error: ReadError) -> Doubt {
        match error {
            ReadError::Inconsistent(what) => Doubt::Contradiction(what),
            ReadError::Fault { .. } => Doubt::Contradiction("it points to memory that is not there"),
            ReadError::Torn => Doubt::Contradiction("its lists do not hang together"),
            error => Doubt::Unreadable(error),
        }
    }
}

/// Compares what lies where the layout says with what has to be there.
fn check(target: &Target) -> Result<(), Doubt> {
    let main = target.main_interpreter()?;
    if main.0 == 0 {
        // Either end of its life; the version string, found before, is there from the first to the last.
        let finalizing = target.memory.read_u64(target.runtime.at(target.runtime.layout.runtime.finalizing))?;
        return Err(if finalizing != 0 { Doubt::ShutDown } else { Doubt::NotYet });
    }
    let interpreters = target.interpreters()?;
    let Some(interpreter) = interpreters.iter().find(|it| it.address == main) else {
        return Err(Doubt::Contradiction("its main interpreter is not among its interpreters"));
    };
    if interpreter.id.0 != 0 {
        return Err(Doubt::Contradiction("its main interpreter is not the first"));
    }
    let threads = target.thread_states(interpreter)?;
    if threads.is_empty() {
        return Err(match target.finalization()? {
            Finalization::NotBegun => Doubt::NotYet,
            _ => Doubt::ShutDown,
        });
    }
    threads_are_tasks(target, &threads)?;
    for interpreter in &interpreters {
        if let Some(gil) = interpreter.gil {
            let reading = target.probe(gil, interpreter).read(&target.memory)?;
            gil_is_plausible(target, &interpreters, interpreter, &reading)?;
        } else if target.runtime.layout.gil.enabled.is_none() && interpreter.address == main {
            return Err(Doubt::NotYet);
        }
    }
    Ok(())
}

/// A wrong offset for task ids gives numbers that are no tasks.
fn threads_are_tasks(target: &Target, threads: &[ThreadState]) -> Result<(), Doubt> {
    let mut tasks = Vec::new();
    target.tasks(&mut tasks).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Gone,
        _ => ReadError::Io(error),
    })?;
    let is_task = |tid: Tid| tasks.contains(&tid);
    let main = threads.iter().find(|it| it.main == MainThread::Main).and_then(|it| it.tid);
    if main.is_some_and(|tid| !is_task(tid)) {
        return Err(Doubt::Contradiction("its main thread is no task"));
    }
    let mut known = threads.iter().filter_map(|it| it.tid).peekable();
    if known.peek().is_none() {
        return Err(Doubt::NotYet);
    }
    if !known.any(is_task) {
        return Err(Doubt::Contradiction("its threads are no tasks"));
    }
    Ok(())
}

fn gil_is_plausible(
    target: &Target,
    interpreters: &[Interpreter],
    user: &Interpreter,
    reading: &GilReading,
) -> Result<(), Doubt> {
    if reading.interval > MAX_INTERVAL {
        return Err(Doubt::Contradiction("its switch interval is impossible"));
    }
    // That of a sub-interpreter may come any time; without the main one Python does not run.
    if reading.lock == Lock::NotCreated && user.id.0 == 0 {
        return Err(Doubt::NotYet);
    }
    let Some(holder) = reading.holder else { return Ok(()) };
    let Some(of) = interpreters.iter().find(|it| it.address == holder.interpreter && it.gil == user.gil) else {
        return Err(Doubt::Contradiction("its GIL is held from an interpreter that does not use it"));
    };
    let threads = target.thread_states(of)?;
    if !threads.iter().any(|it| it.address == holder.thread_state && it.unique_id == holder.unique_id) {
        return Err(Doubt::Contradiction("its GIL is held by no thread of its"));
    }
    Ok(())
}

/// Refuses what can be no target, whatever its memory.
fn is_a_live_process(pid: Pid) -> Result<(), Setback> {
    let status = fs::read(format!("/proc/{}/status", pid.0)).map_err(|error| no_proc(pid, error))?;
    let stat = fs::read(format!("/proc/{}/stat", pid.0)).map_err(|error| no_proc(pid, error))?;
    let status = String::from_utf8_lossy(&status);
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|it| it.trim().parse().ok());
    if let Some(process) = process.map(Pid).filter(|process| *process != pid) {
        return Err(Setback::Final(AttachError::NotAProcess { thread: pid, process }));
    }
    let (state, flags) = state_and_flags(&stat).unwrap_or_default();
    if flags & KERNEL_THREAD != 0 {
        return Err(Setback::Final(AttachError::KernelThread(pid)));
    }
    if matches!(state, 'Z' | 'X') {
        return Err(Setback::Final(AttachError::Zombie(pid)));
    }
    Ok(())
}

/// Fields 3 and 9 of proc_pid_stat(5).
fn state_and_flags(stat: &[u8]) -> Option<(char, u64)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.nth(5)?.parse().ok()?))
}

fn cmdline(pid: Pid) -> Vec<String> {
    let mut bytes = Vec::new();
    // Empty where it cannot be read: nothing depends on it.
    let _unreadable =
        File::open(format!("/proc/{}/cmdline", pid.0)).and_then(|file| file.take(MAX_CMDLINE).read_to_end(&mut bytes));
    bytes
        .strip_suffix(b"\0")
        .unwrap_or(&bytes)
        .split(|byte| *byte == 0)
        .take(MAX_ARGUMENTS)
        .map(|argument| bounded(&String::from_utf8_lossy(argument)))
        .collect()
}

fn no_proc(pid: Pid, error: io::Error) -> Setback {
    Setback::Final(match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::NotFound, _) | (_, Some(libc::ESRCH)) => AttachError::NoSuchProcess(pid),
        (io::ErrorKind::PermissionDenied, _) => AttachError::NotPermitted { pid, refusal: Refusal::look_around(pid) },
        _ => AttachError::Io { pid, source: error },
    })
}

fn not_readable(pid: Pid, error: ReadError) -> Setback {
    Setback::Final(match error {
        ReadError::Gone => AttachError::GoneWhileAttaching(pid),
        ReadError::NotPermitted => AttachError::NotPermitted { pid, refusal: Refusal::look_around(pid) },
        ReadError::Io(source) => AttachError::Io { pid, source },
        // Modules come and go while a program is being loaded.
        ReadError::Torn | ReadError::Fault { .. } | ReadError::Inconsistent(_) => {
            return Setback::NotYet(AttachError::StillStarting(pid));
        }
    })
}

fn no_runtime(pid: Pid, origin: Origin, none: NoRuntime) -> Setback {
    let program = || {
        let path = fs::read_link(format!("/proc/{}/exe", pid.0)).unwrap_or_default();
        bounded(&path.to_string_lossy())
    };
    // A launched program may be a shell that will yet turn into a Python; another one will not.
    let now_or_later = |error| match origin {
        Origin::Launched => Setback::NotYet(error),
        Origin::Attached => Setback::Final(error),
    };
    match none {
        NoRuntime::NotYet => Setback::NotYet(AttachError::StillStarting(pid)),
        NoRuntime::NotPython => now_or_later(AttachError::NotPython { pid, program: program() }),
        NoRuntime::Foreign => now_or_later(AttachError::Bits32(pid)),
        NoRuntime::Hidden => Setback::Final(AttachError::RuntimeHidden(pid)),
        NoRuntime::OtherLibc => Setback::Final(AttachError::OtherLibc(pid)),
        NoRuntime::Python2 => now_or_later(AttachError::Python2(pid)),
        NoRuntime::Other(implementation) => now_or_later(AttachError::OtherImplementation { pid, implementation }),
        NoRuntime::UnknownVersion(version) => Setback::Final(AttachError::UnknownVersion { pid, version }),
        NoRuntime::Prerelease(version) => Setback::Final(AttachError::Prerelease { pid, version }),
        NoRuntime::Layout(version, what) => Setback::Final(AttachError::LayoutMismatch { pid, version, what }),
        NoRuntime::Read(error) => not_readable(pid, error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_does_not_forge_a_state() {
        assert_eq!(state_and_flags(b"7 (x) Z 1 1 1 0 -1 9) S 1 2 3 4 -1 4194560 0"), Some(('S', 4_194_560)));
        assert_eq!(state_and_flags(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0"), Some(('S', 2_129_984)));
        assert_eq!(state_and_flags(b"7 x S"), None);
        assert_eq!(state_and_flags(b""), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            state_and_flags(&bytes);
        }
    }
}
