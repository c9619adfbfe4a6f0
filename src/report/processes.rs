//! Several processes: one line each, and what they come to together.

use std::cmp::Reverse;

use crate::event::Ending;
use crate::findings::figures::{self, InAll};
use crate::findings::{self, Allowed, Severity};
use crate::model::snapshot::{ProcessFigures, Snapshot, StateTimes};
use crate::report::paint::{self, Line, Style};
use crate::units;
use crate::words;

/// Rows shown; the rest is counted.
const ROWS: usize = 32;
/// Processes with a section of their own.
pub(super) const SECTIONS: usize = 16;
/// Columns of figures, with their widths: all of them stand before the command.
const COLUMNS: [(&str, usize); 6] =
    [("pid", 8), ("load", 8), ("contention", 11), ("worst wait", 11), ("lost", 9), ("finding", 18)];

/// The processes, those that lost most first.
pub(super) fn by_loss(snapshot: &Snapshot) -> Vec<&ProcessFigures> {
    let mut all: Vec<(InAll, &ProcessFigures)> =
        snapshot.processes.iter().map(|it| (figures::in_all(it), it)).collect();
    all.sort_by_key(|(sums, process)| {
        let load = (sums.load.unwrap_or(0.0) * 1e6) as u64;
        (Reverse((sums.lost, load)), process.key)
    });
    all.into_iter().map(|(_, process)| process).collect()
}

/// The table.
pub(super) fn lines(snapshot: &Snapshot, allowed: Allowed, width: usize) -> Vec<Line> {
    let processes = by_loss(snapshot);
    let there = processes.iter().filter(|process| process.ending.is_none()).count();
    let ended = processes.len() - there;
    let counted = match ended {
        0 => format!("{} processes", units::count(processes.len() as u64)),
        ended => {
            format!("{} processes, of which {} ended", units::count(processes.len() as u64), units::count(ended as u64))
        }
    };
    let mut lines = vec![Line::new().with(Style::Heading, counted).with(Style::Faint, "  most lost time first")];
    for line in paint::wrap(&together(snapshot), width.saturating_sub(2)) {
        lines.push(Line::new().with(Style::Plain, format!("  {line}")));
    }
    lines.push(Line::new());
    let mut header: String = COLUMNS.iter().map(|(title, columns)| paint::right(title, *columns)).collect();
    header.push_str("  command");
    lines.push(Line::new().with(Style::Faint, paint::cut(&header, width)));
    lines.extend(processes.iter().take(ROWS).map(|process| line(process, allowed, width)));
    if let Some(more @ 1..) = processes.len().checked_sub(ROWS) {
        lines.push(Line::new().with(Style::Faint, format!("  … and {more} more; the JSON report has them all")));
    }
    if let Some(more @ 1..) = processes.len().checked_sub(SECTIONS) {
        let text = format!(
            "The {SECTIONS} that lost most follow one by one, in the order in which they came; the other {more} are in the JSON report."
        );
        lines.extend(paint::wrap(&text, width).into_iter().map(|line| Line::new().with(Style::Faint, line)));
    }
    lines
}

/// Loads of several GILs do not add up to one: what they come to is time on cores.
fn together(snapshot: &Snapshot) -> String {
    let length = snapshot.at.since(snapshot.start);
    let states = snapshot.processes.iter().flat_map(|it| &it.threads).map(|thread| &thread.states).sum::<StateTimes>();
    let cores = states.running.share_of(length).and_then(figures::mean);
    let cores = cores.map_or("?".to_owned(), units::mean_count);
    let lost: crate::time::Ns = snapshot.processes.iter().map(|process| figures::in_all(process).lost).sum();
    let own = snapshot.processes.iter().map(|process| process.capture.health.own_cpu).max().unwrap_or_default();
    let own = own.share_of(length).map_or("?".to_owned(), units::percent);
    format!(
        "Each has a GIL of its own. Together they ran Python on {cores} cores on average, and lost {lost} waiting for \
         their GILs. gilscope used {own} of a core for all of them."
    )
}

fn line(process: &ProcessFigures, allowed: Allowed, width: usize) -> Line {
    let InAll { load, contention, worst, lost } = figures::in_all(process);
    let percent = |share: Option<f64>| share.map_or("?".to_owned(), units::percent);
    let found = findings::find(process, allowed);
    let first =
        found.list.iter().max_by_key(|finding| finding.severity).map(|finding| (finding.name.id(), finding.severity));
    let (finding, severity) = first.unwrap_or(("-", Severity::Info));
    let cells = [
        process.target.pid.0.to_string(),
        percent(load),
        percent(contention),
        worst.map_or("-".to_owned(), words::length),
        lost.to_string(),
        finding.to_owned(),
    ];
    let style = match severity {
        Severity::Problem => Style::Bad,
        Severity::Warn => Style::Warn,
        Severity::Info => Style::Plain,
    };
    let mut line = Line::new();
    let mut used = 0;
    for ((_, columns), text) in COLUMNS.iter().zip(&cells) {
        let text = paint::right(&paint::cut(text, *columns - 1), *columns);
        line.push(if text.trim() == finding { style } else { Style::Plain }, text);
        used += columns;
    }
    let ending = match process.ending {
        None => "",
        Some(Ending::Exited | Ending::Finalized) => "(ended) ",
        Some(Ending::Execed { .. }) => "(replaced itself) ",
        Some(Ending::LostSight { .. }) => "(lost sight of) ",
    };
    let command = words::program(&process.target.cmdline);
    let room = width.saturating_sub(used + 2 + ending.len());
    line.push(Style::Faint, format!("  {ending}{}", paint::foreign_command(&command, room)));
    line
}
