//! Facts as checks: what was found, what its lack costs, and what to type.

use crate::doctor::facts::{Facts, Host, Memory, Namespace, OwnWatchpoint, Process, Protected, Seccomp};
use crate::doctor::facts::{Python, WATCHED_WORDS, Waiters};
use crate::doctor::{Check, Outcome};
use crate::event::Build;
use crate::instruments::perf::{Place, Refusal, Why};
use crate::target::AttachError;
use crate::units;

/// Without switch records.
const NO_SWITCHES: &str = "single waits are known to the sampling interval (1 ms), not to some 10 us";
/// Without watchpoints.
const NO_WATCHPOINTS: &str = "no exact mode: holds that nobody waited for, and waits below 100 us, stay uncertain";
/// Without memory reads.
const NO_MEMORY: &str = "everything: who holds the GIL is in the program's memory";

/// All checks, gilscope's surroundings first.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = of_host(&facts.host);
    checks.extend(facts.process.iter().flat_map(|process| of_process(process, &facts.host)));
    checks
}

fn check(id: &'static str, what: &'static str, outcome: Outcome, detail: impl Into<String>) -> Check {
    Check { id, what, outcome, detail: detail.into(), costs: None, next: None }
}

impl Check {
    fn costs(mut self, costs: impl Into<String>) -> Check {
        self.costs = Some(costs.into());
        self
    }

    fn next(mut self, next: impl Into<String>) -> Check {
        self.next = Some(next.into());
        self
    }
}

fn of_host(host: &Host) -> Vec<Check> {
    vec![
        kernel(host),
        rights(host),
        surroundings(host),
        match &host.own_memory {
            Ok(()) => {
                check("memory-reads", "memory reads", Outcome::Works, "process_vm_readv(2) works on gilscope itself")
            }
            Err(error) => check("memory-reads", "memory reads", Outcome::Missing, error)
                .costs(NO_MEMORY)
                .next(unfilter(host.place)),
        },
        match &host.switch_records {
            Ok(()) => check("switch-records", "switch records", Outcome::Works, "gilscope may have its own"),
            Err(refusal) => refused("switch-records", "switch records", refusal).costs(NO_SWITCHES),
        },
        watchpoint(host),
        rings(host),
        descriptors(host),
        tracepoints(host),
        stack_samples(host),
    ]
}

fn kernel(host: &Host) -> Check {
    let Host { kernel, architecture, cores, .. } = host;
    let detail = format!("Linux {kernel} on {architecture}, {cores} cores");
    match *architecture {
        "x86_64" | "aarch64" => check("kernel", "kernel", Outcome::Works, detail),
        _ => check("kernel", "kernel", Outcome::Missing, detail).costs("gilscope knows x86_64 and aarch64 only"),
    }
}

fn rights(host: &Host) -> Check {
    let user = host.uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
    let names = host.capabilities.names();
    let capabilities = if names.is_empty() { "no capability that helps".to_owned() } else { names.join(", ") };
    let yama = match host.yama {
        None => String::new(),
        Some(scope) => format!("; kernel.yama.ptrace_scope {scope}"),
    };
    let paranoid = match host.paranoid {
        None => String::new(),
        Some(level) => format!("; kernel.perf_event_paranoid {level}"),
    };
    check("rights", "rights", Outcome::Note, format!("{user}, {capabilities}{yama}{paranoid}"))
}

fn surroundings(host: &Host) -> Check {
    let place = match host.place {
        Place::Host => "no container in sight",
        Place::Container => "in a container",
        Place::Pod => "in a Kubernetes pod",
    };
    let seccomp = match host.seccomp {
        Seccomp::Off => "system calls are not filtered",
        Seccomp::Filter => "system calls are filtered (seccomp)",
        Seccomp::Unknown => "whether system calls are filtered is not known",
    };
    let namespace = match host.user_namespace {
        Namespace::Nested => "; in a user namespace, where capabilities end at its border",
        Namespace::Initial | Namespace::Unknown => "",
    };
    check("surroundings", "surroundings", Outcome::Note, format!("{place}; {seccomp}{namespace}"))
}

fn refused(id: &'static str, what: &'static str, refusal: &Refusal) -> Check {
    check(id, what, Outcome::Missing, format!("refused: {refusal}")).next(refusal.next_step())
}

/// What is refused for a reason that was told already.
fn as_own(id: &'static str, what: &'static str, refusal: &Refusal) -> Check {
    check(id, what, Outcome::Missing, "refused, as gilscope's own").next(refusal.next_step())
}

fn watchpoint(host: &Host) -> Check {
    const ID: &str = "watchpoints";
    match &host.watchpoint {
        OwnWatchpoint::Hits => check(ID, ID, Outcome::Works, "one on gilscope's own memory hit"),
        OwnWatchpoint::Deaf => check(
            ID,
            ID,
            Outcome::Missing,
            "one on gilscope's own memory was taken, but did not hit: is this a virtual machine?",
        )
        .costs(NO_WATCHPOINTS)
        .next("do without, or run it on a machine whose debug registers work"),
        OwnWatchpoint::Refused(refusal) => refused(ID, ID, refusal).costs(NO_WATCHPOINTS),
    }
}

fn rings(host: &Host) -> Check {
    const ID: &str = "memory-lock";
    const WHAT: &str = "memory lock";
    let limit = host.memory_lock.map_or_else(|| "unlimited".to_owned(), units::bytes);
    let kernel = host.perf_lock_kb.map_or_else(String::new, |kb| format!(", kernel.perf_event_mlock_kb {kb} a core"));
    let limits = format!("RLIMIT_MEMLOCK {limit}{kernel}");
    let rings = &host.rings;
    match rings.refusal.as_ref().map(|refusal| (refusal, &refusal.why)) {
        None => {
            let more = if host.threads.is_none() { " or more" } else { "" };
            check(ID, WHAT, Outcome::Works, format!("room for the rings of {}{more}; {limits}", threads(rings.tried)))
        }
        Some((refusal, Why::Locked)) if host.threads.is_some() || rings.had == 0 => {
            let outcome = if rings.had == 0 { Outcome::Missing } else { Outcome::Partly };
            let detail =
                format!("room for the rings of {} of {}: {refusal}; {limits}", rings.had, threads(rings.tried));
            check(ID, WHAT, outcome, detail)
                .costs(format!("of the other threads, {NO_SWITCHES}"))
                .next(refusal.next_step())
        }
        Some((_, Why::Locked)) => {
            check(ID, WHAT, Outcome::Works, format!("room for the rings of {}; {limits}", threads(rings.had)))
        }
        // Their rows say why.
        Some((_, Why::Descriptors)) if rings.had > 0 => {
            check(ID, WHAT, Outcome::Works, format!("room for the rings of {} or more; {limits}", threads(rings.had)))
        }
        Some(_) => check(ID, WHAT, Outcome::Unknown, format!("no ring to try it with; {limits}")),
    }
}

/// So many threads.
pub(super) fn threads(n: usize) -> String {
    if n == 1 { "1 thread".to_owned() } else { format!("{n} threads") }
}

fn descriptors(host: &Host) -> Check {
    // For what is always open.
    const SPARE: usize = 64;
    const ID: &str = "descriptors";
    const WHAT: &str = "file descriptors";
    let limit = host.descriptors.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let limit = format!("RLIMIT_NOFILE {limit}");
    let ended = host.rings.refusal.as_ref().is_some_and(|refusal| refusal.why == Why::Descriptors);
    match (host.threads, host.descriptors) {
        (Some(wanted), Some(few)) if ended || few < (wanted + SPARE) as u64 => {
            check(ID, WHAT, Outcome::Partly, format!("{limit}, and {} to follow", threads(wanted)))
                .costs("threads without one are sampled only, and each look costs more")
                .next(format!(
                    "ulimit -n {}, and start gilscope again from that shell",
                    (4 * wanted + SPARE).next_power_of_two()
                ))
        }
        _ if ended => check(ID, WHAT, Outcome::Works, format!("{limit}: enough for {}", threads(host.rings.had))),
        _ => check(ID, WHAT, Outcome::Works, limit),
    }
}

fn tracepoints(host: &Host) -> Check {
    // Nothing depends on them, so that there is nothing to do about them.
    let detail = match &host.tracepoints {
        Ok(()) => "gilscope may have its own, where --tracepoints always asks for them".to_owned(),
        Err(refusal) => format!("refused: {refusal}; only --tracepoints always asks for them"),
    };
    check("tracepoints", "tracepoints", Outcome::Note, detail)
}

fn stack_samples(host: &Host) -> Check {
    const ID: &str = "stack-samples";
    const WHAT: &str = "stack samples";
    match &host.stack_samples {
        Ok(()) => check(ID, WHAT, Outcome::Works, "gilscope may have its own"),
        Err(refusal) => refused(ID, WHAT, refusal)
            .costs("native code that holds the GIL on a core has no name; --native always fails"),
    }
}

fn of_process(process: &Process, host: &Host) -> Vec<Check> {
    let python = python(process);
    // Of what is not there, nothing else can be said.
    if process.uid.is_none() {
        return python;
    }
    let mut checks = vec![target(process, host), memory(process, host)];
    checks.push(match &process.switch_records {
        Ok(()) => check("target-switch-records", "its switch records", Outcome::Works, "may be had"),
        Err(refusal) if host.switch_records.as_ref() == Err(refusal) => {
            as_own("target-switch-records", "its switch records", refusal).costs(NO_SWITCHES)
        }
        Err(refusal) => refused("target-switch-records", "its switch records", refusal).costs(NO_SWITCHES),
    });
    checks.push(watchpoints(process, host));
    checks.push(match process.tracer {
        None => check("tracer", "its tracer", Outcome::Note, "nobody traces it"),
        Some(tracer) => check("tracer", "its tracer", Outcome::Note, format!("process {} traces it, as a debugger does: it may be stopped, and what it does then is the debugger's doing", tracer.0)),
    });
    checks.extend(python);
    checks
}

fn target(process: &Process, host: &Host) -> Check {
    const ID: &str = "target";
    const WHAT: &str = "process";
    let whose = match (process.uid, host.uid) {
        (Some(uid), Some(own)) if uid == own => format!("of user {uid}, as gilscope"),
        (Some(uid), _) => format!("of user {uid}"),
        (None, _) => "of an unknown user".to_owned(),
    };
    let protected = match process.protected {
        Some(Protected::Yes) => ", protected (not dumpable)",
        Some(Protected::No) | None => "",
    };
    let namespace = match process.user_namespace {
        Namespace::Nested if host.user_namespace != Namespace::Nested => ", in a user namespace of its own",
        _ => "",
    };
    match process.threads {
        Some(tasks) => {
            let detail = format!("{whose}{protected}{namespace}; {} in /proc/{}/task", threads(tasks), process.pid.0);
            check(ID, WHAT, Outcome::Works, detail)
        }
        None => check(
            ID,
            WHAT,
            Outcome::Missing,
            format!("{whose}{protected}; /proc/{}/task cannot be read", process.pid.0),
        )
        .costs("everything: its threads are not known"),
    }
}

fn memory(process: &Process, host: &Host) -> Check {
    const ID: &str = "target-memory";
    const WHAT: &str = "its memory";
    // What the kernel permits to one it may refuse to the other, and each alone is of little use.
    let (and, but) = match process.watchpoints {
        Ok(_) => ("", "; watchpoints are permitted, but where to put them is in its memory"),
        Err(_) => ("; its watchpoints are refused all the same", ""),
    };
    match &process.memory {
        Memory::Works => check(ID, WHAT, Outcome::Works, format!("can be read{and}")),
        Memory::NotPermitted { why, next } => {
            check(ID, WHAT, Outcome::Missing, format!("may not be read: {why}{but}")).costs(NO_MEMORY).next(next)
        }
        Memory::Filtered(what) => {
            let detail = format!("may be opened, but {what}: a seccomp filter or a security module{but}");
            check(ID, WHAT, Outcome::Missing, detail).costs(NO_MEMORY).next(unfilter(host.place))
        }
        Memory::Gone => check(ID, WHAT, Outcome::Missing, "the process is gone, or has no memory of its own"),
        Memory::Failed(error) => check(ID, WHAT, Outcome::Missing, format!("cannot be read: {error}")).costs(NO_MEMORY),
    }
}

/// How to get rid of a filter that refuses process_vm_readv(2). Docker's lets it through on Linux 4.8 or later, or
/// with CAP_SYS_PTRACE; so does containerd's.
fn unfilter(place: Place) -> &'static str {
    match place {
        Place::Host => "run gilscope outside of the sandbox or service that it was started in",
        Place::Container => "start the container with: docker run --cap-add SYS_PTRACE ...",
        Place::Pod => "kubectl debug POD -it --image=IMAGE --target=CONTAINER --profile=general",
    }
}

fn watchpoints(process: &Process, host: &Host) -> Check {
    const ID: &str = "target-watchpoints";
    const WHAT: &str = "its watchpoints";
    match &process.watchpoints {
        Ok(free) if *free >= WATCHED_WORDS => {
            check(ID, WHAT, Outcome::Works, format!("may be had; {free} debug registers of its main thread are free"))
        }
        Ok(free) => check(ID, WHAT, Outcome::Missing, format!("{free} debug register of its main thread is free, {WATCHED_WORDS} are needed: a debugger or a profiler has the others"))
            .costs(NO_WATCHPOINTS)
            .next(detach(process)),
        Err(refusal) if refusal.why == Why::Registers => {
            refused(ID, WHAT, refusal).costs(NO_WATCHPOINTS).next(detach(process))
        }
        Err(refusal) if host.watchpoint == OwnWatchpoint::Refused(refusal.clone()) => {
            as_own(ID, WHAT, refusal).costs(NO_WATCHPOINTS)
        }
        Err(refusal) => refused(ID, WHAT, refusal).costs(NO_WATCHPOINTS),
    }
}

fn detach(process: &Process) -> String {
    match process.tracer {
        Some(tracer) => format!(
            "drop the hardware watchpoints of the debugger, or end it and start the program anew (what it is: ps -fp {})",
            tracer.0
        ),
        // The kernel frees what ptrace(2) took of a thread when the thread ends, not when its tracer leaves
        // (`ptrace_set_breakpoint_addr` in arch/x86/kernel/ptrace.c).
        None => {
            "end the profiler that watches it (pgrep -af 'perf|gilscope'); if it was a debugger that has left, they \
                 stay taken until the program is started anew"
                .to_owned()
        }
    }
}

fn python(process: &Process) -> Vec<Check> {
    match &process.python {
        Ok(python) => vec![of_python(python), waiters(python)],
        Err(error) => {
            let outcome = match error {
                AttachError::NotPermitted { .. } => Outcome::Unknown,
                _ => Outcome::Missing,
            };
            let refused = matches!(error, AttachError::NotPermitted { .. });
            let detail = if refused { "not known: its memory may not be read".to_owned() } else { error.to_string() };
            let what = if process.uid.is_none() { "process" } else { "its Python" };
            let mut check = check("python", what, outcome, detail);
            check.next = error.next_step().filter(|_| !refused);
            vec![check]
        }
    }
}

fn of_python(python: &Python) -> Check {
    let build = match python.build {
        Build::Default => "",
        Build::FreeThreaded => ", a free-threaded build",
        Build::Debug => ", a debug build",
    };
    let several = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let detail = format!(
        "CPython {}{build}, layout known and checked; {}, {}, {}",
        python.version,
        several(python.interpreters, "interpreter"),
        several(python.gils, "GIL"),
        several(python.threads, "Python thread")
    );
    if python.gils == 0 {
        return check("python", "its Python", Outcome::Missing, detail).costs("there is no GIL to wait for");
    }
    check("python", "its Python", Outcome::Works, detail)
}

fn waiters(python: &Python) -> Check {
    const ID: &str = "waiters";
    const WHAT: &str = "its C library";
    let libc = &python.libc;
    match python.waiters {
        Waiters::Counted => {
            check(ID, WHAT, Outcome::Works, format!("{libc}: those who wait for the GIL can be counted"))
        }
        Waiters::NotCounted => {
            check(ID, WHAT, Outcome::Partly, format!("{libc}: those who wait for the GIL cannot be counted"))
                .costs("every thread has to be asked at each look whether it waits: with many, fewer looks")
        }
        Waiters::NoGil => check(ID, WHAT, Outcome::Note, libc),
    }
}
