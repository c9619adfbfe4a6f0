//! How long signals wait for their Python handlers, for people.

use crate::event::ThreadKey;
use crate::model::snapshot::{
    Distribution, Fault, InterruptFigures, MeasuredInterrupts, PendingInterrupt, PredictedInterrupt, ProcessFigures,
    Segment, Stage, Woken,
};
use crate::report::{figures, paint, text};
use crate::time::{MonoNs, Ns};
use crate::units;

/// Width of a thread's name.
const NAME: usize = 24;
/// Culprits named.
const CULPRITS: usize = 3;

/// A row: its label, and its parts.
pub(super) type Row = (String, Vec<String>);

/// The rows of the section, each of parts that stay whole.
pub(super) fn rows(process: &ProcessFigures, interrupts: &InterruptFigures, now: MonoNs) -> Vec<Row> {
    let mut rows: Vec<Row> = interrupts.measured.iter().map(|m| measured(process, m)).collect();
    rows.extend(interrupts.pending.iter().map(|p| pending(p, now)));
    if interrupts.unresolved > 0 {
        let parts = vec![format!("of {} signals it was not seen what became", units::count(interrupts.unresolved))];
        rows.push(("unresolved".to_owned(), parts));
    }
    match &interrupts.predicted {
        Some(predicted) => rows.push(("predicted".to_owned(), prediction(predicted))),
        None => rows.push(("predicted".to_owned(), vec!["not observed yet".to_owned()])),
    }
    rows
}

fn name(signal: Option<crate::event::Signal>) -> String {
    signal.map_or("some signal".to_owned(), |signal| signal.to_string())
}

fn measured(process: &ProcessFigures, m: &MeasuredInterrupts) -> Row {
    let mut parts = vec![format!("{}x", units::count(m.delay.count()))];
    parts.extend(quantiles(&m.delay));
    if let Some((segment, _)) = m.segments.longest().filter(|_| m.delay.count() > 0) {
        let culprits: Vec<String> = m
            .culprits
            .iter()
            .filter_map(|c| Some((c.thread?, c.times)))
            .take(CULPRITS)
            .map(|(thread, times)| format!("{} (x{})", thread_name(process, thread), units::count(times)))
            .collect();
        parts.push(match (segment, culprits.is_empty()) {
            (Segment::GilWait, false) => format!("mostly the GIL, behind {}", culprits.join(", ")),
            (segment, _) => format!("mostly {}", in_words(segment)),
        });
    }
    if m.delay.censored > 0 {
        parts.push(format!("{} more not seen whole", units::count(m.delay.censored)));
    }
    if m.with_others > 0 {
        parts.push(format!("{} with others at once", units::count(m.with_others)));
    }
    if m.merged > 0 {
        parts.push(format!("{} became one with another", units::count(m.merged)));
    }
    parts.extend(m.faults.iter().map(|(f, times)| format!("{}x: {}", units::count(*times), fault(*f))));
    (name(m.signal), parts)
}

fn quantiles(d: &Distribution) -> Vec<String> {
    let show = |name: &str, share: f64| d.quantile(share).map(|at| format!("{name} {}", text::length(at)));
    let mut parts: Vec<String> = [show("p50", 0.5), show("p99", 0.99)].into_iter().flatten().collect();
    parts.extend(d.max().map(|max| format!("max {}", text::length(max))));
    parts
}

fn thread_name(process: &ProcessFigures, thread: ThreadKey) -> String {
    match process.threads.iter().find(|t| t.key == thread) {
        Some(thread) if !thread.name.is_empty() => paint::foreign(&thread.name, NAME),
        _ => format!("thread {}", thread.0),
    }
}

fn in_words(segment: Segment) -> &'static str {
    match segment {
        Segment::Deliver => "until a thread took it",
        Segment::Trip => "until its C handler had run",
        Segment::Uninterruptible => "in a C call that does not look",
        Segment::GilWait => "waiting for the GIL",
        Segment::HandlerStart => "behind another signal's handler",
        Segment::Unknown => "unknown",
    }
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::NotNoticed => "a fault of CPython 3.9 to 3.12: taken by another thread, the main one does not notice",
        Fault::OtherInterpreter => "a fault of CPython 3.9 to 3.12: another interpreter's holder sees no request",
    }
}

fn pending(pending: &PendingInterrupt, now: MonoNs) -> Row {
    let stage = match pending.stage {
        Stage::Blocked => "the main thread blocks it",
        Stage::Sent => "sent, not seen to arrive",
        Stage::Delivered => "a thread takes it",
        Stage::Tripped => "the main thread has not looked",
    };
    let mut parts = vec![format!("pending for {}", now.since(pending.since)), stage.to_owned()];
    parts.extend(pending.fault.map(|f| fault(f).to_owned()));
    (name(pending.signal), parts)
}

fn prediction(predicted: &PredictedInterrupt) -> Vec<String> {
    let range = |range: Option<(Ns, Ns)>| match range {
        Some((low, high)) if low == Ns::ZERO => format!(" (up to {high})"),
        Some((low, high)) => format!(" ({low} to {high})"),
        None => String::new(),
    };
    let show = |name: &str, share: f64, of: String| {
        predicted.delay.quantile(share).map(|at| format!("{name} {}{of}", text::length(at)))
    };
    let mut parts: Vec<String> = [
        show("p50", 0.5, range(predicted.p50_range)),
        show("p90", 0.9, range(predicted.p90_range)),
        show("p99", 0.99, String::new()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let share = |value: f64| figures::share(value).filter(|share| *share >= 0.001).map(units::percent);
    if let Some(share) = share(predicted.not_predictable) {
        parts.push(format!("not predictable for {share} of the time"));
    }
    if let Some(share) = share(predicted.at_most) {
        parts.push(format!("at most that, for {share} of the time"));
    }
    match predicted.woken {
        Woken::All => parts.push("when it sleeps: by the waits of all threads that wake up".to_owned()),
        Woken::Own | Woken::Nobody => {}
    }
    parts
}
