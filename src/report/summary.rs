//! One line for those who watch without a terminal.

use crate::findings::figures::{self, SharedGil};
use crate::model::snapshot::{GilFigures, ProcessFigures, Snapshot};
use crate::model::timeline::Bin;
use crate::report::paint;
use crate::time::{MonoNs, Ns};
use crate::units;

/// The time that load, contention, waiters and handoffs of the line are of.
const RECENT: Ns = Ns::SECOND;

/// One line, without its newline: time since the start; load, contention, mean waiters and handoffs of about the last
/// second; lost time so far and the thread that lost most. With several GILs it is about the most contended one.
pub fn summary_line(snapshot: &Snapshot) -> String {
    let worst = snapshot
        .processes
        .iter()
        .flat_map(|process| figures::gils(process).into_iter().map(move |gil| (process, gil)))
        .max_by(|(_, a), (_, b)| contention(a).total_cmp(&contention(b)));
    match (worst, snapshot.processes.first()) {
        (Some((process, shared)), _) => of_gil(snapshot, process, &shared),
        (None, Some(process)) if process.interpreters.is_empty() => {
            format!("{}  no interpreter found yet", elapsed(snapshot, process))
        }
        (None, Some(process)) => format!("{}  runs without a GIL", elapsed(snapshot, process)),
        (None, None) => "nothing observed yet".to_owned(),
    }
}

fn contention(shared: &SharedGil<'_>) -> f64 {
    figures::share(shared.gil.contention).unwrap_or(-1.0)
}

fn of_gil(snapshot: &Snapshot, process: &ProcessFigures, shared: &SharedGil<'_>) -> String {
    let recent = recent(shared.gil, snapshot.at);
    let share =
        |part: Ns| part.share_of(recent.observed).and_then(figures::share).map_or("?".to_owned(), units::percent);
    let waiters = recent.lost.share_of(recent.observed).map_or("?".to_owned(), units::mean_count);
    let handoffs = match recent.observed {
        Ns::ZERO => "?".to_owned(),
        observed => units::rate(recent.handoffs as f64 / observed.as_secs_f64()),
    };
    let mut line = format!(
        "{}  load {}  contention {}  waiting {}  handoffs {}  lost {}",
        elapsed(snapshot, process),
        paint::right(&share(recent.held), 7),
        paint::right(&share(recent.contended), 7),
        paint::right(&waiters, 5),
        paint::right(&handoffs, 8),
        paint::right(&shared.gil.lost.to_string(), 7),
    );
    if let Some(thread) = figures::most_lost(process.threads.iter()) {
        let name = if thread.name.is_empty() { "(no name)".to_owned() } else { paint::foreign(&thread.name, 24) };
        line.push_str(&format!(", most by {name}"));
        if let Some(share) = figures::lost_share(thread) {
            line.push_str(&format!(" ({} of its time)", units::percent(share)));
        }
    }
    let (processes, gils) = (snapshot.processes.len(), figures::gils(process).len());
    if processes > 1 || gils > 1 {
        line.push_str(&format!("  [pid {}, {}]", process.target.pid.0, shared.whose()));
    }
    line
}

fn elapsed(snapshot: &Snapshot, process: &ProcessFigures) -> String {
    paint::right(&snapshot.at.since(process.capture.start).to_string(), 8)
}

/// What the newest bins hold. The bin in progress counts too: it knows how much of it was observed.
fn recent(gil: &GilFigures, now: MonoNs) -> Bin {
    let since = now - RECENT;
    gil.history.ring_since(since, now).bins().filter(|(start, _)| *start >= since).fold(
        Bin::default(),
        |sum, (_, bin)| Bin {
            observed: sum.observed + bin.observed,
            held: sum.held + bin.held,
            held_asleep: sum.held_asleep + bin.held_asleep,
            contended: sum.contended + bin.contended,
            lost: sum.lost + bin.lost,
            handoffs: sum.handoffs.saturating_add(bin.handoffs),
        },
    )
}
