//! What a variant came to against the first, in a sentence that is true: what was measured, and what stands beside it.

use crate::compare::{Call, Comparison, Row, Tested, change};
use crate::experiment::plan::Variant;
use crate::figures::{self, Figure, Reading};

/// Changes of the GIL's figures that are named.
const NAMED: usize = 2;
/// A ratio from which a time reads as a multiple.
const MULTIPLE: f64 = 1.3;
/// Share of the time on cores without the GIL from which pinning takes something away, and below which there is nothing to take.
const NATIVE: (f64, f64) = (0.10, 0.01);
/// The GIL's figures that are worth a word, the weightiest first.
const TELLING: [&Figure; 5] =
    [&figures::LOST, &figures::FORCED, &figures::WAITS_P99, &figures::HANDOFFS, &figures::CONTENTION];

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
            format!("no difference that {runs} runs a side can show; what it gets done is not measured here")
        }
    };
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
            format!("no difference in wall time that {runs} runs a side can show (within {within:.1} %)")
        }
        (_, None) => format!(
            "{runs} runs a side are too few to tell whether its wall time differs (it is {} in these)",
            change(wall.ratio)
        ),
    }
}

/// What changed in the GIL's figures, the weightiest first; `None`: nothing is called.
fn gil(comparison: &Comparison) -> Option<String> {
    let called: Vec<&Row> =
        TELLING.iter().filter_map(|figure| comparison.called().find(|row| row.figure == *figure)).take(NAMED).collect();
    let said = |row: &&Row| {
        let ratio = row.tested()?.ratio;
        Some(match ratio {
            0.0 => format!("{} falls to nothing", row.figure.title),
            ratio if ratio < 1.0 => format!("{} falls by {}", row.figure.title, change(ratio).trim_start_matches('-')),
            f64::INFINITY => format!("{} rises from nothing", row.figure.title),
            ratio if ratio < 2.0 => format!("{} rises by {}", row.figure.title, change(ratio).trim_start_matches('+')),
            ratio => format!("{} becomes {}", row.figure.title, change(ratio)),
        })
    };
    let parts: Vec<String> = called.iter().filter_map(said).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
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
