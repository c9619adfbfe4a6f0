//! The findings that are answers: `not-the-gil`, `low-coverage`.

use crate::findings::thresholds::{GOOD_COVERAGE, MIN_OBSERVED};
use crate::findings::verdict::{Answer, Reason, Verdict};
use crate::findings::words::percent;
use crate::findings::{Figure, Finding, Name, Severity};
use crate::model::snapshot::ProcessFigures;

/// What follows from the answer itself.
pub(super) fn find(process: &ProcessFigures, verdict: &Verdict) -> Vec<Finding> {
    match verdict.answer {
        Answer::IsNot => not_the_gil(process, verdict).into_iter().chain(gaps(process)).collect(),
        Answer::Unknown => vec![unknown(process, verdict)],
        Answer::Is | Answer::Partly => gaps(process).into_iter().collect(),
        Answer::NoGil => Vec::new(),
    }
}

/// What it is instead.
fn not_the_gil(process: &ProcessFigures, verdict: &Verdict) -> Option<Finding> {
    let pid = process.target.pid.0;
    let (instead, advice) = match verdict.reason {
        Reason::RunQueue => (
            "run-queue",
            "If it is slow, it is for want of cores: fewer threads that compute at once (OMP_NUM_THREADS and the like), or more \
             cores."
                .to_owned(),
        ),
        Reason::WorkOutside => (
            "native",
            format!("If it is slow, look at the native code that runs without the GIL: perf top -p {pid}."),
        ),
        Reason::OneBusyThread => (
            "one-thread",
            format!("If it is slow, make what that thread does faster: py-spy record -o out.svg --pid {pid} shows where it is."),
        ),
        Reason::Idle => (
            "asleep",
            format!(
                "If it is slow, look at what its threads wait for (I/O, timers, locks of their own): py-spy dump --pid {pid} \
                 shows where they are."
            ),
        ),
        Reason::Uncontended => (
            "mixed",
            format!(
                "If it is slow, look at what its threads do or wait for (I/O, locks of their own, native code): py-spy dump \
                 --pid {pid} shows where they are."
            ),
        ),
        // A finding of its own says more.
        _ => return None,
    };
    let finding = Finding::new(Name::NotTheGil, Severity::Info, verdict.because.clone(), advice);
    Some(finding.with("instead", Figure::Word(instead)))
}

fn unknown(process: &ProcessFigures, verdict: &Verdict) -> Finding {
    let capture = &process.capture;
    let (severity, advice) = match verdict.reason {
        Reason::TooShort => (Severity::Info, "Observe it for longer: -d 10."),
        Reason::TooFewSamples => (Severity::Info, "Observe it for longer (-d), or look more often (-r)."),
        Reason::PoorCoverage => (
            Severity::Warn,
            "The looks came too late or failed: observe with fewer looks (-r 200), or leave gilscope a core; gilscope doctor PID \
             says what may not be read.",
        ),
        Reason::ThreadsUnread => (Severity::Warn, "gilscope doctor PID says what may not be read, and how to get it."),
        Reason::NoInterpreter => (Severity::Info, "Wait until Python is up in it, or type: gilscope doctor PID."),
        _ => (Severity::Warn, "Observe it again; if that does not help, it is a fault of gilscope: report it."),
    };
    let finding = Finding::new(Name::LowCoverage, severity, verdict.because.clone(), advice);
    let finding = finding
        .with("coverage", Figure::Share(capture.coverage))
        .with("samples", Figure::Count(capture.samples))
        .with("duration_ns", Figure::Time(capture.duration));
    Finding { gil: verdict.gil, ..finding }
}

/// The answer stands, and something is missing all the same.
fn gaps(process: &ProcessFigures) -> Option<Finding> {
    let capture = &process.capture;
    if capture.coverage >= GOOD_COVERAGE || capture.duration < MIN_OBSERVED {
        return None;
    }
    let message = format!(
        "Only {} of the time could be observed: what happened in the rest is in no figure.",
        percent(capture.coverage)
    );
    let advice = "Observe with fewer looks (-r 200), or leave gilscope a core.";
    let finding = Finding::new(Name::LowCoverage, Severity::Warn, message, advice);
    Some(finding.with("coverage", Figure::Share(capture.coverage)).with("samples", Figure::Count(capture.samples)))
}
