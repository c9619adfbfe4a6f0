//! The holder does something else than compute with it in bytecode: `never-releases`, `holder-preempted`.

use crate::findings::case::Case;
use crate::findings::thresholds::{
    ASLEEP_UNCONTENDED, CONTENTION_MATTERS, CONTENTION_NEGLIGIBLE, HELD_OTHERWISE, NOT_RELEASED, PREEMPTED, STALL,
};
use crate::findings::words::{percent, quoted};
use crate::findings::{Figure, Finding, Name, Severity};
use crate::model::snapshot::Overdue;
use crate::time::Ns;

/// What follows from how it is held.
pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let preempted = preempted(case);
    // A holder that has no core does not see a request either.
    let mostly = case.preempted.is_some_and(|share| case.load > 0.0 && share / case.load >= HELD_OTHERWISE);
    let kept = asleep(case).or_else(|| if mostly { None } else { deaf(case) });
    kept.into_iter().chain(preempted).collect()
}

const ASLEEP: &str = "Release the GIL around the call that sleeps: Py_BEGIN_ALLOW_THREADS in C, `with nogil` in Cython, \
                      py::gil_scoped_release in pybind11, ctypes.CDLL in place of ctypes.PyDLL.";
const BUSY: &str = "Release the GIL around the call: Py_BEGIN_ALLOW_THREADS in C, `with nogil` in Cython, \
                    py::gil_scoped_release in pybind11. Built-in functions such as sorted() or json.loads() hold it, too: \
                    give them less at a time, or call them in another process.";

fn asleep(case: &Case<'_>) -> Option<Finding> {
    let asleep = case.asleep?;
    let contended = case.contention >= CONTENTION_NEGLIGIBLE;
    let severity = match contended {
        true if asleep < NOT_RELEASED => return None,
        false if asleep < ASLEEP_UNCONTENDED => return None,
        true if case.contention >= CONTENTION_MATTERS => Severity::Problem,
        true => Severity::Warn,
        false => Severity::Info,
    };
    let sleeper = case.sleeper();
    let who = sleeper.map_or("a thread".to_owned(), quoted);
    let instead = match contended {
        true => format!("others wait for it {} of the time", percent(case.contention)),
        false => "any other thread that wants it meanwhile has to wait for that".to_owned(),
    };
    let message = format!(
        "{who} sleeps with the GIL in hand: it is held {} of the time, {} of the time by a thread that is asleep, and \
         {instead}. The CPU is not the bottleneck.",
        percent(case.load),
        percent(asleep)
    );
    let overdue = sleeper.and_then(|thread| of(case, |one| one.holder == thread.key));
    let mut finding = Finding::new(Name::NeverReleases, severity, message, ASLEEP)
        .with("how", Figure::Word("asleep"))
        .with("held_asleep", Figure::Share(asleep))
        .with("contention", Figure::Share(case.contention));
    if let Some(overdue) = overdue {
        finding = finding.with("longest_ns", Figure::Time(overdue.longest));
    }
    if let Some(thread) = sleeper {
        finding = finding.with("holder", Figure::Thread(thread.key));
    }
    Some(finding.on(case.gil.key).by(sleeper.map(|thread| thread.key)))
}

/// The thread that kept it longest of those that `which` picks.
fn of(case: &Case<'_>, which: impl Fn(&Overdue) -> bool) -> Option<Overdue> {
    case.gil.overdue.as_ref()?.iter().copied().filter(which).max_by_key(|one| one.asked)
}

fn deaf(case: &Case<'_>) -> Option<Finding> {
    let all: Ns = case.gil.overdue.as_ref()?.iter().map(|one| one.asked).sum();
    let worst = of(case, |one| one.asked > one.unasked)?;
    let share = case.mean_in(all);
    if share < NOT_RELEASED && worst.longest < STALL {
        return None;
    }
    // By looks alone, a holder without a core looks the same.
    let followed = case.process.capture.switches.is_some_and(|switches| switches.followed > 0);
    if !followed && case.preempted.is_some_and(|preempted| preempted >= share) {
        return None;
    }
    let severity = if share >= CONTENTION_MATTERS { Severity::Problem } else { Severity::Warn };
    let holder = case.thread(worst.holder);
    let who = holder.map_or("a thread".to_owned(), quoted);
    let message = format!(
        "{who} was asked for the GIL and kept it: others waited for up to {} under one hold of it, and {} of the time it was \
         held so. That is C code that does not let go: bytecode does within microseconds.",
        worst.longest,
        percent(share)
    );
    let finding = Finding::new(Name::NeverReleases, severity, message, BUSY)
        .with("how", Figure::Word("busy"))
        .with("holder", Figure::Thread(worst.holder))
        .with("longest_ns", Figure::Time(worst.longest))
        .with("overdue_ns", Figure::Time(all))
        .with("overdue_share", Figure::Share(share.min(1.0)))
        .with("contention", Figure::Share(case.contention));
    Some(finding.on(case.gil.key).by(Some(worst.holder)))
}

fn preempted(case: &Case<'_>) -> Option<Finding> {
    let preempted = case.preempted.filter(|share| *share >= PREEMPTED)?;
    let mostly = preempted >= HELD_OTHERWISE * case.load && case.contention >= CONTENTION_MATTERS;
    let severity = match (mostly, case.contention >= CONTENTION_NEGLIGIBLE) {
        (true, _) => Severity::Problem,
        (false, true) => Severity::Warn,
        (false, false) => Severity::Info,
    };
    let message = format!(
        "Whoever holds the GIL is kept off its core {} of the time, of the {} that it is held: it queues for a core, and those \
         that wait for the GIL wait for that, too.",
        percent(preempted),
        percent(case.load)
    );
    let advice = "Leave it a core: fewer threads and programs that compute at once, a higher priority (nice), or a larger CPU \
                  limit of its container.";
    let finding = Finding::new(Name::HolderPreempted, severity, message, advice)
        .with("held_preempted", Figure::Share(preempted))
        .with("load", Figure::Share(case.load))
        .with("contention", Figure::Share(case.contention))
        .with("mean_queued", Figure::Number(case.mean_in(case.states.runnable)));
    Some(finding.on(case.gil.key))
}
