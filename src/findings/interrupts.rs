//! Whose turn never comes: `slow-interrupt`, `starved-interpreter`.

use crate::event::Signal;
use crate::findings::figures;
use crate::findings::thresholds::{MIN_OBSERVED, NOT_RELEASED, PREDICTION_STANDS, SIGNAL_STUCK, STALL};
use crate::findings::words::{percent, quoted};
use crate::findings::{Figure, Finding, Name, Severity};
use crate::model::snapshot::{Fault, InterruptFigures, Length, ProcessFigures, Segment, Stage};
use crate::time::Ns;

/// What follows for signals, and for interpreters that share a GIL.
pub(super) fn find(process: &ProcessFigures) -> Vec<Finding> {
    let slow = process.interrupts.as_deref().and_then(|interrupts| slow(process, interrupts));
    starved(process).into_iter().chain(slow).collect()
}

/// CPython 3.9 to 3.12 keep the request for the GIL with the waiter's interpreter.
fn asks_its_own_interpreter(process: &ProcessFigures) -> bool {
    process.target.python.major == 3 && (9..=12).contains(&process.target.python.minor)
}

fn starved(process: &ProcessFigures) -> Option<Finding> {
    if !asks_its_own_interpreter(process) {
        return None;
    }
    let fault = process.interrupts.as_deref().is_some_and(|interrupts| {
        let pending = interrupts.pending.iter().any(|pending| pending.fault == Some(Fault::OtherInterpreter));
        let is_it = |fault: &(Fault, u64)| fault.0 == Fault::OtherInterpreter && fault.1 > 0;
        pending || interrupts.measured.iter().any(|measured| measured.faults.iter().any(is_it))
    });
    let (gil, holder, unasked, longest) = figures::gils(process)
        .iter()
        .filter(|shared| shared.interpreters.len() > 1)
        .filter(|shared| shared.gil.observed >= MIN_OBSERVED)
        .find_map(|shared| {
            let worst = shared.gil.overdue.as_ref()?.iter().max_by_key(|one| one.unasked)?;
            let share = worst.unasked.share_of(shared.gil.observed)?;
            let starves = worst.unasked > worst.asked && (share >= NOT_RELEASED || worst.longest >= STALL);
            (starves || fault).then_some((shared.gil.key, worst.holder, share, worst.longest))
        })?;
    let message = format!(
        "{} kept the GIL from other interpreters for up to {longest}, {} of the time in all: nobody asked it to let go. CPython \
         {} sends the request to the waiter's interpreter, and a holder in another one that shares the GIL never sees it.",
        process.thread(holder).map_or("A thread".to_owned(), quoted),
        percent(unasked.min(1.0)),
        process.target.python
    );
    let advice = "Use CPython 3.13, where this is mended, or one interpreter for each process. Until then, a thread of a \
                  sub-interpreter must let go now and then by itself: time.sleep(0).";
    let finding = Finding::new(Name::StarvedInterpreter, Severity::Problem, message, advice)
        .with("holder", Figure::Thread(holder))
        .with("longest_ns", Figure::Time(longest))
        .with("unasked_share", Figure::Share(unasked.min(1.0)));
    Some(finding.on(gil).by(Some(holder)))
}

/// The delays that matter most.
struct Slow {
    severity: Severity,
    what: String,
    delay: Ns,
    kind: &'static str,
    part: Option<Segment>,
}

fn slow(process: &ProcessFigures, interrupts: &InterruptFigures) -> Option<Finding> {
    let now = process.capture.start + process.capture.duration;
    let name = |signal: Option<Signal>| signal.map_or("A signal".to_owned(), |signal| signal.to_string());
    let pending = interrupts
        .pending
        .iter()
        .filter(|pending| pending.stage != Stage::Blocked && now.since(pending.since) >= SIGNAL_STUCK)
        .max_by_key(|pending| now.since(pending.since))
        .map(|pending| {
            let delay = now.since(pending.since);
            let what = format!("{} has waited for its Python handler for {delay}.", name(pending.signal));
            Slow { severity: Severity::Problem, what, delay, kind: "pending", part: None }
        });
    let measured = || {
        let longest = |length: Option<Length>| match length {
            Some(Length::Known(length)) => length,
            Some(Length::Below(_)) | None => Ns::ZERO,
        };
        let worst = interrupts.measured.iter().max_by_key(|measured| longest(measured.delay.max()))?;
        let delay = longest(worst.delay.max());
        let median = longest(worst.delay.quantile(0.5));
        let severity = if median >= STALL { Severity::Problem } else { Severity::Warn };
        let what = format!(
            "{} waited for its Python handler for up to {delay} ({} seen, median {}).",
            name(worst.signal),
            worst.delay.count(),
            if median == Ns::ZERO { "below what is known".to_owned() } else { median.to_string() }
        );
        let part = worst.segments.longest().map(|(segment, _)| segment);
        (delay >= STALL).then_some(Slow { severity, what, delay, kind: "measured", part })
    };
    let predicted = || {
        let predicted = interrupts.predicted.as_ref()?;
        let stands = predicted.not_predictable < PREDICTION_STANDS && predicted.at_most < PREDICTION_STANDS;
        let Some(Length::Known(delay)) = predicted.delay.quantile(0.9).filter(|_| stands) else { return None };
        let what = format!("A signal would wait for its Python handler for {delay} or more, one time in ten.");
        (delay >= STALL && process.capture.duration >= MIN_OBSERVED).then_some(Slow {
            severity: Severity::Info,
            what,
            delay,
            kind: "predicted",
            part: None,
        })
    };
    let slow = pending.or_else(measured).or_else(predicted)?;
    let (word, advice) = match slow.part {
        Some(Segment::GilWait) => (
            "gil-wait",
            "The main thread waits for the GIL: what helps against that (see the other findings) helps here.",
        ),
        Some(Segment::Uninterruptible) => (
            "uninterruptible",
            "The main thread is in C code that does not look for signals, with the GIL or without it: call it for less at a \
             time, or in another thread or process.",
        ),
        Some(Segment::Deliver) => ("deliver", "No thread took the signal from the kernel: they block it."),
        Some(Segment::Trip | Segment::HandlerStart | Segment::Unknown) | None => (
            "unknown",
            "Python runs handlers in the main thread only, and between bytecodes: keep it free of long calls, and leave the \
             computing to others.",
        ),
    };
    let finding = Finding::new(Name::SlowInterrupt, slow.severity, slow.what, advice)
        .with("kind", Figure::Word(slow.kind))
        .with("delay_ns", Figure::Time(slow.delay))
        .with("part", Figure::Word(word));
    Some(finding)
}
