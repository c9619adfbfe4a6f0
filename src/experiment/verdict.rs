//! What a variant came to against the first, in a sentence that is true: what was measured, and what stands beside it.

use crate::compare::{Bound, Call, Comparison, Readings, Row, Tested, change, scope};
use crate::experiment::plan::Variant;
use crate::figures::{self, Figure, Reading, shown};

/// Changes of the GIL's figures that are named.
const NAMED: usize = 3;
/// A ratio from which a time reads as a multiple.
const MULTIPLE: f64 = 1.3;
/// Where the medians say another ratio than that of all pairs of runs, by more than this factor, one sentence cannot tell both: a
/// side is in two regimes, or has a handful of intervals.
const AGREE: f64 = 1.25;
/// Share of the time on cores without the GIL from which pinning takes something away, and below which there is nothing to take.
const NATIVE: (f64, f64) = (0.10, 0.01);
/// Change of CPU time, and of memory, from which it is worth a word.
const CPU: f64 = 1.03;
const MEMORY: f64 = 1.1;
/// The GIL's figures that are worth a word, the weightiest first, each as the subject of a sentence.
const TELLING: [(&Figure, &str, Number); 7] = [
    (&figures::MEASURED_P50, "the median delay of interrupts", Number::One),
    (&figures::LOST, "time lost waiting", Number::One),
    (&figures::FORCED, "forced handoffs", Number::Many),
    (&figures::HANDOFFS, "handoffs", Number::Many),
    (&figures::WAITS_P50, "the median wait", Number::One),
    (&figures::WAITS_P99, "the 99th percentile of waits", Number::One),
    (&figures::CONTENTION, "the share of time somebody waits", Number::One),
];

/// Of how many a sentence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    One,
    Many,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It may use fewer cores than the first.
    FewerCores,
    /// Anything else.
    Other,
}

/// What a variant has another than the first, in words, and whether it has fewer cores.
pub fn describe(first: &Variant, other: &Variant) -> (String, Change) {
    let mut parts = Vec::new();
    if first.name != other.name {
        let name = |variant: &Variant| variant.name.clone().unwrap_or_else(|| "as it is".to_owned());
        parts.push(format!("{} instead of {}", name(other), name(first)));
    }
    if first.cpus != other.cpus {
        let cores =
            |variant: &Variant| variant.cpus.as_ref().map_or("all that it had".to_owned(), |cpus| cpus.to_string());
        parts.push(format!("cores {} instead of {}", cores(other), cores(first)));
    }
    if first.switch_interval != other.switch_interval {
        let interval = |variant: &Variant| variant.switch_interval.map_or("its own".to_owned(), |own| own.to_string());
        parts.push(format!("a switch interval of {} instead of {}", interval(other), interval(first)));
    }
    let fewer = match (&first.cpus, &other.cpus) {
        (Some(first), Some(other)) => other != first && other.is_within(first),
        (None, Some(other)) => other.cpus().len() == 1,
        (_, None) => false,
    };
    (parts.join(", "), if fewer { Change::FewerCores } else { Change::Other })
}

/// The sentence.
pub fn sentence(comparison: &Comparison, change: Change) -> String {
    let row = |figure: &Figure| comparison.rows.iter().find(|row| row.figure == figure);
    let wall = row(&figures::RUN_WALL).filter(|row| row.tested().is_some()).or_else(|| row(&figures::LOAD));
    let runs = wall.map_or(0, |row| row.a.known().min(row.b.known()));
    let wall = row(&figures::RUN_WALL).and_then(Row::tested);
    let gil = gil(comparison);
    let mut said = match (wall, &gil) {
        (Some(wall), _) => time(wall, comparison, runs),
        (None, Some(_)) => "what it gets done is not measured here, but".to_owned(),
        (None, None) => {
            format!("no difference that {} can show; what it gets done is not measured here", a_side(runs))
        }
    };
    if let Some(cpu) = beside(comparison, &figures::RUN_CPU, "CPU time", CPU).filter(|_| wall.is_some()) {
        said.push_str(&format!("; {cpu}"));
    }
    if let Some(gil) = gil {
        let separator = if wall.is_some() { "; " } else { " " };
        said.push_str(separator);
        said.push_str(&gil);
    }
    let slower = wall.is_some_and(|wall| wall.call == Call::Differs && wall.ratio > 1.0);
    if let Some(share) = native_share(comparison)
        && change == Change::FewerCores
    {
        let percent = crate::units::percent(share);
        match share {
            share if share >= NATIVE.0 => {
                said.push_str(&format!(
                    "; {percent} of its time on cores was without the GIL, and that has fewer cores now"
                ));
            }
            share if share < NATIVE.1 && !slower => {
                said.push_str("; next to nothing ran without the GIL, so nothing is crippled");
            }
            _ => said.push_str(&format!("; {percent} of its time on cores was without the GIL")),
        }
    }
    if let Some(memory) = beside(comparison, &figures::MEMORY, "memory of all processes (PSS)", MEMORY) {
        said.push_str(&format!("; {memory}"));
    }
    if let Some(scope) = scope(comparison, ["the one", "the other"]).filter(|_| gil_is_known(comparison)) {
        said.push_str(&format!("; {scope}"));
    }
    said.push('.');
    said
}

/// How the wall time changed.
fn time(wall: &Tested, comparison: &Comparison, runs: usize) -> String {
    let confidence = format!("{:.1} %", (1.0 - comparison.level) * 100.0);
    let multiple = |ratio: f64| format!("{ratio:.2}");
    match (wall.call, wall.interval) {
        (Call::Differs, Some((from, to))) => {
            let (word, ratio, from, to) = match wall.ratio > 1.0 {
                true => ("slower", wall.ratio, from, to),
                false => ("faster", 1.0 / wall.ratio, 1.0 / to, 1.0 / from),
            };
            match ratio >= MULTIPLE {
                true => format!("{}x {word} ({confidence} CI {} to {})", multiple(ratio), multiple(from), multiple(to)),
                false => {
                    let percent = |ratio: f64| format!("{:.1}", (ratio - 1.0) * 100.0);
                    format!("{} % {word} ({confidence} CI {} to {} %)", percent(ratio), percent(from), percent(to))
                }
            }
        }
        (_, Some((from, to))) => {
            let within = (to - 1.0).max(1.0 - from) * 100.0;
            format!("no difference in wall time that {} can show (within {within:.1} %)", a_side(runs))
        }
        (_, None) => format!(
            "with {} it cannot be told whether its wall time differs (it is {} in these)",
            a_side(runs),
            change(wall.ratio)
        ),
    }
}

fn a_side(runs: usize) -> String {
    let plural = if runs == 1 { "" } else { "s" };
    format!("{runs} run{plural} a side")
}

/// What changed in the GIL's figures, the weightiest first; `None`: nothing is called.
fn gil(comparison: &Comparison) -> Option<String> {
    let said = |(figure, subject, number): &(&Figure, &str, Number)| {
        let row = comparison.rows.iter().find(|row| row.figure == *figure)?;
        began_or_ended(row).or_else(|| changed(row, subject, *number))
    };
    let is_called = |figure: &Figure| comparison.called().any(|row| row.figure == figure);
    // Forced ones are most of them.
    let is_said = |figure: &Figure| *figure == figures::HANDOFFS && is_called(&figures::FORCED);
    let telling = TELLING.iter().filter(|(figure, ..)| !is_said(figure));
    let parts: Vec<String> = telling.filter_map(said).take(NAMED).collect();
    let (last, before) = parts.split_last()?;
    Some(match before {
        [] => last.clone(),
        before => format!("{} and {last}", before.join(", ")),
    })
}

/// How a figure changed, if that is called: with its medians, since a multiple of next to nothing is next to nothing.
fn changed(row: &Row, subject: &str, number: Number) -> Option<String> {
    let tested = row.tested().filter(|tested| tested.call == Call::Differs)?;
    if let (Reading::Known { value: from, .. }, Reading::Known { value: to, .. }) = (row.a.median, row.b.median)
        && from > 0.0
        && tested.ratio > 0.0
        && tested.ratio.is_finite()
        && (to / from / tested.ratio).ln().abs() > AGREE.ln()
    {
        return None;
    }
    let (falls, rises, becomes) = match number {
        Number::One => ("falls", "rises", "becomes"),
        Number::Many => ("fall", "rise", "become"),
    };
    // What is below the resolution may be less still.
    let bound = match (tested.bound, tested.ratio < 1.0) {
        (Bound::Estimate, _) => "",
        (Bound::AtLeast, false) | (Bound::AtMost, true) => " or more",
        (Bound::AtLeast, true) | (Bound::AtMost, false) => " or less",
    };
    let amount = change(tested.ratio);
    let amount = format!("{}{bound}", amount.trim_start_matches(['-', '+']));
    let (from, to) = (shown(row.a.median, row.figure.unit), shown(row.b.median, row.figure.unit));
    Some(match tested.ratio {
        0.0 => format!("{subject} {falls} to nothing (from {from})"),
        ratio if ratio < 1.0 => format!("{subject} {falls} by {amount} (from {from} to {to})"),
        f64::INFINITY => format!("{subject} {rises} from nothing (to {to})"),
        ratio if ratio < 2.0 => format!("{subject} {rises} by {amount} (from {from} to {to})"),
        _ => format!("{subject} {becomes} {amount} (from {from} to {to})"),
    })
}

/// Where one side has no waits at all, those of the other cannot be a multiple of them.
fn began_or_ended(row: &Row) -> Option<String> {
    if *row.figure != figures::WAITS_P50 {
        return None;
    }
    // Runs that nobody looked at have nothing to say.
    let none = |side: &Readings| side.known() == 0 && side.each.contains(&Reading::Nothing);
    let median = |side: &Readings| shown(side.median, row.figure.unit);
    match (&row.a, &row.b) {
        (a, b) if none(a) && b.known() > 0 => Some(format!("there are waits, and the median one takes {}", median(b))),
        (a, b) if a.known() > 0 && none(b) => Some(format!("there are no waits left (their median was {})", median(a))),
        _ => None,
    }
}

/// How a figure changed that stands beside the others, if that is called and at least by this factor.
fn beside(comparison: &Comparison, figure: &Figure, subject: &str, least: f64) -> Option<String> {
    let row = comparison.rows.iter().find(|row| row.figure == figure)?;
    let ratio = row.tested()?.ratio;
    if ratio < least && ratio > 1.0 / least {
        return None;
    }
    changed(row, subject, Number::One)
}

fn gil_is_known(comparison: &Comparison) -> bool {
    comparison.rows.iter().any(|row| *row.figure == figures::LOAD && row.tested().is_some())
}

/// The share of the first's time on cores that was without the GIL; `None`: not known.
fn native_share(comparison: &Comparison) -> Option<f64> {
    let median = |figure: &Figure| {
        let row = comparison.rows.iter().find(|row| row.figure == figure)?;
        match row.a.median {
            Reading::Known { value, .. } => Some(value),
            _ => None,
        }
    };
    let (gil, native) = (median(&figures::CORES_GIL)?, median(&figures::CORES_NATIVE)?);
    (gil + native > 0.0).then(|| native / (gil + native))
}
