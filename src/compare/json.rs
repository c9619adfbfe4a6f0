//! A comparison for programs: names and order are the public contract, `assets/schema/compare.v1.json` says what each means.

use std::io::{self, Write};

use serde::Serialize;

use crate::compare::words::{direction, scope, verdict};
use crate::compare::{Bound, Call, Change, Comparison, RATE, Readings, Row, Sequence, Side};
use crate::event::cut;
use crate::figures::{Reading, Unit, Worse};
use crate::report::write_terminal_safe;

/// The version of the document. It changes when a reader of the old one would go wrong; fields may be added without.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema (2020-12) of the document, with meaning and unit of every field.
pub const SCHEMA: &str = include_str!("../../assets/schema/compare.v1.json");

/// Longest string of a target or of a path that is told.
const MOST: usize = 4096;

#[derive(Serialize)]
struct Document {
    schema_version: u32,
    tool: Tool,
    verdict: String,
    scope: Option<String>,
    a: DocumentSide,
    b: DocumentSide,
    differences: Vec<DocumentDifference>,
    sequence: &'static str,
    method: Method,
    figures: Vec<DocumentFigure>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct DocumentSide {
    name: String,
    runs: Vec<DocumentRun>,
}

#[derive(Serialize)]
struct DocumentRun {
    name: String,
    start_unix_ns: Option<u64>,
    duration_ns: Option<u64>,
    processes: usize,
    gils: usize,
    processes_left_out: u64,
}

#[derive(Serialize)]
struct DocumentDifference {
    about: &'static str,
    a: Vec<String>,
    b: Vec<String>,
}

#[derive(Serialize)]
struct Method {
    test: &'static str,
    false_discovery_rate: f64,
    level: f64,
    tested: usize,
    can_tell: bool,
}

#[derive(Serialize)]
struct DocumentFigure {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    worse: &'static str,
    a: DocumentReadings,
    b: DocumentReadings,
    outcome: &'static str,
    because: Option<String>,
    direction: Option<&'static str>,
    ratio: Option<f64>,
    bound: Option<&'static str>,
    interval: Option<[Option<f64>; 2]>,
    p_value: Option<f64>,
}

#[derive(Serialize)]
struct DocumentReadings {
    median: DocumentReading,
    runs: Vec<DocumentReading>,
}

#[derive(Serialize)]
struct DocumentReading {
    value: Option<f64>,
    below: Option<f64>,
    missing: Option<&'static str>,
}

/// The comparison as a JSON value.
///
/// # Errors
/// None that a comparison could cause: serde_json's own, should it refuse a value.
pub fn json(comparison: &Comparison) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(document(comparison))
}

/// Writes the comparison as one line of JSON that does nothing to a terminal.
///
/// # Errors
/// When `out` refuses to be written to.
pub fn write_json(comparison: &Comparison, out: impl Write) -> io::Result<()> {
    write_terminal_safe(&document(comparison), out)
}

fn document(comparison: &Comparison) -> Document {
    Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        verdict: verdict(comparison),
        scope: scope(comparison, ["A", "B"]),
        a: side(&comparison.a),
        b: side(&comparison.b),
        differences: comparison
            .differences
            .iter()
            .map(|one| DocumentDifference { about: one.about, a: strings(&one.a), b: strings(&one.b) })
            .collect(),
        sequence: match comparison.sequence {
            Sequence::Mixed => "mixed",
            Sequence::Phases => "phases",
            Sequence::AtOnce => "at-once",
            Sequence::NotKnown => "not-known",
        },
        method: Method {
            test: "wilcoxon-mann-whitney-exact",
            false_discovery_rate: RATE,
            level: comparison.level,
            tested: comparison.tested,
            can_tell: comparison.can_tell(),
        },
        figures: comparison.rows.iter().map(figure).collect(),
    }
}

fn strings(values: &[String]) -> Vec<String> {
    values.iter().map(|value| cut(value, MOST).to_owned()).collect()
}

fn side(side: &Side) -> DocumentSide {
    let run = |run: &super::Run| DocumentRun {
        name: cut(&run.name, MOST).to_owned(),
        start_unix_ns: run.when.map(|(start, _)| start),
        duration_ns: run.when.map(|(_, length)| length.0),
        processes: run.extent.processes,
        gils: run.extent.gils,
        processes_left_out: run.extent.left_out.total().saturating_add(run.extent.unseen as u64),
    };
    DocumentSide { name: cut(&side.name, MOST).to_owned(), runs: side.runs.iter().map(run).collect() }
}

fn figure(row: &Row) -> DocumentFigure {
    let tested = row.tested();
    let finite = |value: f64| value.is_finite().then_some(value);
    DocumentFigure {
        name: row.figure.name,
        title: row.figure.title,
        unit: match row.figure.unit {
            Unit::Share => "share",
            Unit::Mean => "mean",
            Unit::TimeRate => "seconds-per-second",
            Unit::Rate => "per-second",
            Unit::Duration => "ns",
            Unit::Bytes => "bytes",
            Unit::Count => "count",
        },
        worse: match row.figure.worse {
            Worse::More => "more",
            Worse::Less => "less",
            Worse::Neither => "neither",
        },
        a: readings(&row.a),
        b: readings(&row.b),
        outcome: match tested.map(|tested| tested.call) {
            Some(Call::Differs) => "differs",
            Some(Call::NotShown) => "not-shown",
            None => "not-compared",
        },
        because: match &row.change {
            Change::NotCompared(why) => Some(why.clone()),
            Change::Tested(_) => None,
        },
        direction: row.direction().map(direction),
        ratio: tested.and_then(|tested| finite(tested.ratio)),
        bound: tested.map(|tested| match tested.bound {
            Bound::Estimate => "estimate",
            Bound::AtLeast => "at-least",
            Bound::AtMost => "at-most",
        }),
        interval: tested.and_then(|tested| tested.interval).map(|(from, to)| [finite(from), finite(to)]),
        p_value: tested.map(|tested| tested.p_value),
    }
}

fn readings(readings: &Readings) -> DocumentReadings {
    DocumentReadings { median: reading(readings.median), runs: readings.each.iter().map(|one| reading(*one)).collect() }
}

fn reading(reading: Reading) -> DocumentReading {
    let nothing = DocumentReading { value: None, below: None, missing: None };
    match reading {
        Reading::Known { value, .. } => DocumentReading { value: Some(value), ..nothing },
        Reading::Below { resolution } => DocumentReading { below: Some(resolution), ..nothing },
        Reading::Nothing => DocumentReading { missing: Some("nothing"), ..nothing },
        Reading::Unknown(_) => DocumentReading { missing: Some("unknown"), ..nothing },
    }
}
