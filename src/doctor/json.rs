//! A diagnosis for programs: one JSON document by a public, versioned schema.

use std::io::{self, Write};

use serde::Serialize;

use crate::doctor::{Diagnosis, Outcome};
use crate::report::write_terminal_safe;

/// The version of the document. It changes when a reader of the old one would go wrong; fields may be added without.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema (2020-12) of the document, with the meaning of every field.
pub const SCHEMA: &str = include_str!("../../assets/schema/doctor.v1.json");

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    tool: Tool,
    pid: Option<u32>,
    about: &'a str,
    auto: Option<&'static str>,
    precisions: Vec<Precision<'a>>,
    checks: Vec<Check<'a>>,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Precision<'a> {
    precision: &'static str,
    outcome: &'static str,
    reason: &'a str,
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Check<'a> {
    id: &'static str,
    outcome: &'static str,
    detail: &'a str,
    costs: Option<&'a str>,
    next: Option<&'a str>,
}

/// Writes a diagnosis as one line of JSON, with a newline at its end; safe for a terminal.
///
/// # Errors
/// When `out` refuses to be written to.
pub fn write_json(diagnosis: &Diagnosis, out: impl Write) -> io::Result<()> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        pid: diagnosis.pid.map(|pid| pid.0),
        about: &diagnosis.about,
        auto: diagnosis.auto.map(super::Precision::word),
        precisions: diagnosis
            .verdicts
            .iter()
            .map(|verdict| Precision {
                precision: verdict.precision.word(),
                outcome: word(verdict.outcome),
                reason: &verdict.reason,
                next: verdict.next.as_deref(),
            })
            .collect(),
        checks: diagnosis
            .checks
            .iter()
            .map(|check| Check {
                id: check.id,
                outcome: word(check.outcome),
                detail: &check.detail,
                costs: check.costs.as_deref(),
                next: check.next.as_deref(),
            })
            .collect(),
    };
    write_terminal_safe(&document, out)
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Works => "works",
        Outcome::Partly => "partly",
        Outcome::Missing => "missing",
        Outcome::Unknown => "unknown",
        Outcome::Note => "note",
    }
}
