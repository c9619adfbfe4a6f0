//! Facts as verdicts: which precision can be had, and what `--mode auto` would take.

use crate::doctor::checks::{checks, threads};
use crate::doctor::facts::{Facts, Memory, OwnWatchpoint, Python, Rings, WATCHED_WORDS};
use crate::doctor::{Check, Diagnosis, Outcome, Precision, Verdict};
use crate::instruments::perf::Why;

/// Says what the facts mean.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let checks = checks(facts);
    let sampled = sampled(facts, &checks);
    let fused =
        if sampled.outcome == Outcome::Missing { needs_sampled(Precision::Fused) } else { fused(facts, &checks) };
    let exact =
        if sampled.outcome == Outcome::Missing { needs_sampled(Precision::Exact) } else { exact(facts, &checks) };
    let auto = match (sampled.outcome, fused.outcome) {
        (Outcome::Missing, _) => None,
        (_, Outcome::Missing) => Some(Precision::Sampled),
        _ => Some(Precision::Fused),
    };
    let pid = facts.process.as_ref().map(|process| process.pid);
    Diagnosis { pid, about: about(facts), verdicts: vec![sampled, fused, exact], auto, checks }
}

fn about(facts: &Facts) -> String {
    match &facts.process {
        None => "this machine, and what gilscope may do here".to_owned(),
        Some(process) => match &process.python {
            Ok(Python { version, libc, .. }) => format!("pid {}: CPython {version} on {libc}", process.pid.0),
            Err(_) => format!("pid {}", process.pid.0),
        },
    }
}

fn verdict(precision: Precision, outcome: Outcome, reason: impl Into<String>, next: Option<String>) -> Verdict {
    Verdict { precision, outcome, reason: reason.into(), next }
}

fn needs_sampled(precision: Precision) -> Verdict {
    verdict(precision, Outcome::Missing, "it needs what sampled needs", None)
}

/// The next step of a check.
fn next_of(checks: &[Check], id: &str) -> Option<String> {
    checks.iter().find(|check| check.id == id)?.next.clone()
}

fn sampled(facts: &Facts, checks: &[Check]) -> Verdict {
    let missing = |reason: &str, id: &str| verdict(Precision::Sampled, Outcome::Missing, reason, next_of(checks, id));
    let Some(process) = &facts.process else { return sampled_of_any(facts, checks) };
    if process.uid.is_none() {
        return missing("there is no such process", "python");
    }
    match (&process.memory, &process.python) {
        (Memory::NotPermitted { why, .. }, _) => {
            missing(&format!("its memory may not be read: {why}"), "target-memory")
        }
        (Memory::Filtered(what), _) => missing(&format!("its memory may not be read: {what}"), "target-memory"),
        (_, Err(error)) => missing(&error.to_string(), "python"),
        (_, Ok(python)) if python.gils == 0 => missing("there is no GIL to look at", "python"),
        (_, Ok(_)) if process.threads.is_none() => missing("its threads are not known", "target"),
        (_, Ok(_)) => verdict(Precision::Sampled, Outcome::Works, "its memory and /proc can be read", None),
    }
}

/// Without a process: which processes could be read.
fn sampled_of_any(facts: &Facts, checks: &[Check]) -> Verdict {
    let host = &facts.host;
    if host.own_memory.is_err() {
        let next = next_of(checks, "memory-reads");
        return verdict(Precision::Sampled, Outcome::Missing, "no memory may be read, not even its own", next);
    }
    let (outcome, reason, next) = match (host.capabilities.ptrace(), host.yama) {
        (_, Some(3..)) => (
            Outcome::Missing,
            "kernel.yama.ptrace_scope is 3: nothing may be looked into until the machine is started anew",
            None,
        ),
        (true, _) => (Outcome::Works, "of every process here (CAP_SYS_PTRACE)", None),
        (false, None | Some(0)) => (
            Outcome::Partly,
            "of processes of the same user",
            Some(
                "of others: sudo gilscope attach PID, or once: sudo setcap 'cap_sys_ptrace,cap_perfmon=ep' \"$(command -v gilscope)\"",
            ),
        ),
        (false, Some(1)) => (
            Outcome::Partly,
            "of programs that gilscope starts itself: kernel.yama.ptrace_scope is 1",
            Some("of all your processes: sudo sysctl kernel.yama.ptrace_scope=0, or sudo gilscope attach PID"),
        ),
        (false, Some(_)) => (
            Outcome::Missing,
            "kernel.yama.ptrace_scope is 2: only with CAP_SYS_PTRACE",
            Some("sudo gilscope attach PID, or: sudo sysctl kernel.yama.ptrace_scope=0"),
        ),
    };
    verdict(Precision::Sampled, outcome, reason, next.map(str::to_owned))
}

fn fused(facts: &Facts, checks: &[Check]) -> Verdict {
    let of = |outcome, reason: &str, next| verdict(Precision::Fused, outcome, reason, next);
    let (records, id) = match &facts.process {
        Some(process) => (&process.switch_records, "target-switch-records"),
        None => (&facts.host.switch_records, "switch-records"),
    };
    match (records, &facts.host.rings) {
        (Err(refusal), _) => {
            of(Outcome::Missing, &format!("switch records are refused: {refusal}"), next_of(checks, id))
        }
        (Ok(()), Rings { tried, had, refusal: Some(refusal) }) if *had == 0 || facts.host.threads.is_some() => {
            let outcome = if *had == 0 { Outcome::Missing } else { Outcome::Partly };
            let id = if refusal.why == Why::Descriptors { "descriptors" } else { "memory-lock" };
            let reason = format!("switch records of {had} of {}: {refusal}", threads(*tried));
            of(outcome, &reason, next_of(checks, id).or_else(|| Some(refusal.next_step().to_owned())))
        }
        (Ok(()), _) if facts.process.is_none() => of(Outcome::Works, "switch records of what may be sampled", None),
        (Ok(()), Rings { tried, .. }) => {
            of(Outcome::Works, &format!("switch records of its {}", threads(*tried)), None)
        }
    }
}

fn exact(facts: &Facts, checks: &[Check]) -> Verdict {
    let of = |outcome, reason: &str, next| verdict(Precision::Exact, outcome, reason, next);
    match &facts.host.watchpoint {
        OwnWatchpoint::Hits => {}
        OwnWatchpoint::Deaf => {
            let next = next_of(checks, "watchpoints");
            return of(Outcome::Missing, "watchpoints do not hit on this machine", next);
        }
        OwnWatchpoint::Refused(refusal) => {
            let reason = format!("watchpoints are refused: {refusal}");
            return of(Outcome::Missing, &reason, next_of(checks, "watchpoints"));
        }
    }
    if facts.host.rings.had == 0 {
        let reason = "no ring for what watchpoints record";
        return of(Outcome::Missing, reason, next_of(checks, "memory-lock"));
    }
    let next = || next_of(checks, "target-watchpoints");
    match facts.process.as_ref().map(|process| &process.watchpoints) {
        None => of(Outcome::Works, "watchpoints of what may be sampled", None),
        Some(Ok(free)) if *free >= WATCHED_WORDS => of(Outcome::Works, "watchpoints on the words of its GIL", None),
        Some(Ok(_)) => of(Outcome::Missing, "too few of its debug registers are free", next()),
        Some(Err(refusal)) => of(Outcome::Missing, &format!("watchpoints are refused: {refusal}"), next()),
    }
}
