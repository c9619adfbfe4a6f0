//! How long signals wait for their Python handlers, for people.

use crate::model::snapshot::{
    Distribution, InterruptFigures, MeasuredInterrupts, PendingInterrupt, PredictedInterrupt, ProcessFigures, Segment,
};
use crate::report::names::thread_name;
use crate::time::{MonoNs, Ns};
use crate::units;
use crate::words;

/// Culprits named.
const CULPRITS: usize = 3;

/// A row: its label, and its parts.
pub(super) type Row = (String, Vec<String>);

/// The rows of the section, each of parts that stay whole.
pub(super) fn rows(process: &ProcessFigures, interrupts: &InterruptFigures, now: MonoNs) -> Vec<Row> {
    let mut rows: Vec<Row> = interrupts.measured.iter().map(|m| measured(process, m)).collect();
    rows.extend(interrupts.pending.iter().map(|p| pending(p, now)));
    if interrupts.unresolved > 0 {
        let parts = vec![words::unresolved(interrupts.unresolved)];
        rows.push(("unresolved".to_owned(), parts));
    }
    match &interrupts.predicted {
        Some(predicted) => rows.push(("predicted".to_owned(), prediction(predicted))),
        None => rows.push(("predicted".to_owned(), vec!["not observed yet".to_owned()])),
    }
    rows
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
            (segment, _) => format!("mostly {}", words::segment(segment)),
        });
    }
    parts.extend(words::remarks(m));
    parts.extend(words::faults(m));
    (words::signal(m.signal), parts)
}

fn quantiles(d: &Distribution) -> Vec<String> {
    let show = |name: &str, share: f64| d.quantile(share).map(|at| format!("{name} {}", words::length(at)));
    let mut parts: Vec<String> = [show("p50", 0.5), show("p99", 0.99)].into_iter().flatten().collect();
    parts.extend(d.max().map(|max| format!("max {}", words::length(max))));
    parts
}

fn pending(pending: &PendingInterrupt, now: MonoNs) -> Row {
    let mut parts = vec![format!("pending for {}", now.since(pending.since)), words::stage(pending.stage).to_owned()];
    parts.extend(pending.fault.map(|f| words::fault(f).to_owned()));
    (words::signal(pending.signal), parts)
}

fn prediction(predicted: &PredictedInterrupt) -> Vec<String> {
    let range = |range: Option<(Ns, Ns)>| range.map_or(String::new(), |range| format!(" ({})", words::range(range)));
    let show = |name: &str, share: f64, of: String| {
        predicted.delay.quantile(share).map(|at| format!("{name} {}{of}", words::length(at)))
    };
    let mut parts: Vec<String> = [
        show("p50", 0.5, range(predicted.p50_range)),
        show("p90", 0.9, range(predicted.p90_range)),
        show("p99", 0.99, String::new()),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.extend(words::reservations(predicted));
    parts
}
