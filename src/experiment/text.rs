//! An experiment for people: a line for each run as it comes, and at the end what each variant came to.

use crate::compare::{Run, Side, change, extent, is_of_several};
use crate::experiment::child::Measured;
use crate::experiment::outcome::{Cost, Outcome};
use crate::experiment::plan::{Kind, Trial, Variant};
use crate::experiment::verdict::{describe, sentence};
use crate::figures::{self, Figure, shown};
use crate::report::Color;
use crate::report::paint::{self, Line, Style};

/// Wider lines are hard to read.
const WIDEST: usize = 120;
/// Columns of a figure.
const COLUMN: usize = 11;
/// Most columns of a variant's name.
const NAME: usize = 36;
/// The figures of the table, each with its heading.
const SHOWN: [(&Figure, &str); 14] = [
    (&figures::RUN_WALL, "wall"),
    (&figures::RUN_CPU, "CPU"),
    (&figures::LOST, "lost"),
    (&figures::WAITS_P50, "wait p50"),
    (&figures::WAITS_P99, "wait p99"),
    (&figures::MEASURED_P50, "delay p50"),
    (&figures::MEASURED_P90, "delay p90"),
    (&figures::HANDOFFS, "handoffs"),
    (&figures::FORCED, "forced"),
    (&figures::CONTENTION, "contention"),
    (&figures::CORES_NATIVE, "native"),
    (&figures::MEMORY, "PSS"),
    (&figures::RUN_SWITCHES, "switches"),
    (&figures::RUN_RSS, "max RSS"),
];

/// A run that has just ended, in a line.
pub fn line(trial: Trial, variant: &Variant, measured: Option<&Measured>, run: Option<&Run>) -> String {
    let kind = match trial.kind {
        Kind::WarmUp => "warm-up",
        Kind::Observed => "run",
        Kind::Bare => "bare run",
    };
    let what = if variant.command.is_empty() { "period" } else { kind };
    let mut said = format!("{what} {} with {}", trial.run, paint::foreign(&variant.label(), NAME));
    let mut readings = measured.map(Measured::readings).unwrap_or_default();
    readings.extend(run.into_iter().flat_map(|run| run.readings.iter().copied()));
    let mut parts: Vec<String> = SHOWN
        .iter()
        .filter_map(|(figure, title)| {
            let (_, reading) = readings.iter().find(|(one, _)| one == figure)?;
            reading.rank().map(|_| format!("{title} {}", shown(*reading, figure.unit)))
        })
        .collect();
    let processes = run.map_or(0, |run| run.extent.processes);
    if processes > 1 {
        parts.push(format!("{processes} processes"));
    }
    if !parts.is_empty() {
        said.push_str(": ");
        said.push_str(&parts.join(", "));
    }
    said
}

/// The outcome as text of at most `width` columns, with a newline after each line.
pub fn outcome_text(outcome: &Outcome, width: u16, color: Color) -> String {
    let width = usize::from(width).min(WIDEST);
    let mut lines = table(outcome, width);
    let mut prose = |style: Style, first: &str, text: &str| {
        for (number, line) in paint::wrap(&format!("{first}{text}"), width.saturating_sub(2)).iter().enumerate() {
            let indent = if number == 0 { "" } else { "  " };
            lines.push(Line::new().with(style, format!("{indent}{line}")));
        }
    };
    // Where there is another variant, its sentence says so.
    if outcome.comparisons.is_empty()
        && let Some(side) = outcome.sides.iter().find(|side| is_of_several(side))
    {
        prose(Style::Plain, "", "");
        prose(
            Style::Plain,
            "",
            &format!(
                "The GIL's figures are of {} together; shares of time of the one GIL that has most.",
                extent(side)
            ),
        );
    }
    if let Some(first) = outcome.plan.variants.first() {
        for (place, comparison) in &outcome.comparisons {
            let Some(variant) = outcome.plan.variants.get(*place) else { continue };
            let (what, kind) = describe(first, variant);
            prose(Style::Plain, "", "");
            prose(Style::Heading, &format!("With {}: ", paint::foreign(&what, 200)), &sentence(comparison, kind));
        }
    }
    if let Some(cost) = &outcome.cost {
        prose(Style::Plain, "", "");
        prose(Style::Faint, "", &cost_text(cost));
    }
    for (place, status) in dedup(&outcome.failures) {
        let name =
            outcome.plan.variants.get(place).map(|variant| paint::foreign(&variant.label(), NAME)).unwrap_or_default();
        let times = outcome.failures.iter().filter(|failure| **failure == (place, status)).count();
        prose(
            Style::Warn,
            "",
            &format!("{times} runs of {name} ended with status {status}: are they what was to be measured?"),
        );
    }
    paint::render(&lines, width, color)
}

fn dedup(failures: &[(usize, i32)]) -> Vec<(usize, i32)> {
    let mut each = failures.to_vec();
    each.dedup();
    each
}

/// The medians of each variant.
fn table(outcome: &Outcome, width: usize) -> Vec<Line> {
    let names: Vec<String> = outcome.sides.iter().map(|side| paint::foreign(&side.name, NAME)).collect();
    let name = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let room = (width.saturating_sub(name + 9) / COLUMN).max(1);
    let is_known = |(figure, _): &&(&Figure, &str)| {
        outcome.sides.iter().any(|side| side.readings(figure).iter().any(|reading| reading.rank().is_some()))
    };
    let known: Vec<&(&Figure, &str)> = SHOWN.iter().filter(is_known).collect();
    let mut lines = Vec::new();
    for (part, columns) in known.chunks(room).enumerate() {
        let mut header = format!("{}  {}", paint::left("", name), paint::right(if part == 0 { "runs" } else { "" }, 5));
        columns.iter().for_each(|(_, title)| header.push_str(&paint::right(title, COLUMN)));
        lines.push(Line::new().with(Style::Faint, header));
        for (side, label) in outcome.sides.iter().zip(&names) {
            let mut line = Line::new().with(Style::Heading, paint::left(label, name));
            let observed = side.runs.iter().filter(|run| run.coverage.is_some()).count();
            let runs = format!("{observed}+{}", side.runs.len() - observed);
            line.push(Style::Plain, format!("  {}", paint::right(if part == 0 { &runs } else { "" }, 5)));
            for (figure, _) in columns {
                line.push(Style::Plain, paint::right(&median(side, figure), COLUMN));
            }
            lines.push(line);
        }
    }
    lines
}

fn median(side: &Side, figure: &Figure) -> String {
    shown(side.median(figure), figure.unit)
}

fn cost_text(cost: &Cost) -> String {
    let part = |ratio: f64, interval: Option<(f64, f64)>| {
        let interval = interval.map_or("too few runs for an interval".to_owned(), |(from, to)| {
            format!("95 % CI {} to {}", change(from), change(to))
        });
        format!("{} ({interval})", change(ratio))
    };
    format!(
        "What observing cost, by {} bare runs beside {} observed ones: wall time {}, CPU time {}.",
        cost.runs.0,
        cost.runs.1,
        part(cost.wall, cost.wall_interval),
        part(cost.cpu, cost.cpu_interval),
    )
}
