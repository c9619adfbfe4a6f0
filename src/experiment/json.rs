//! An experiment for programs: names are the public contract, `assets/schema/experiment.v1.json` says what each means.

use serde_json::{Value, json};

use crate::compare::{self, Side};
use crate::experiment::outcome::{Cost, Outcome};
use crate::experiment::plan::Variant;
use crate::experiment::verdict::{describe, sentence};

/// The version of the document. It changes when a reader of the old one would go wrong; fields may be added without.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema (2020-12) of the document, with meaning and unit of every field.
pub const SCHEMA: &str = include_str!("../../assets/schema/experiment.v1.json");

/// The outcome as a document.
///
/// # Errors
/// None that an outcome could cause: serde_json's own, should it refuse a value.
pub fn json(outcome: &Outcome) -> serde_json::Result<Value> {
    let first = outcome.plan.variants.first();
    let mut comparisons = Vec::new();
    for (place, comparison) in &outcome.comparisons {
        let changed = first.zip(outcome.plan.variants.get(*place)).map(|(first, other)| describe(first, other));
        let said = changed.map(|(what, kind)| (what, sentence(comparison, kind)));
        comparisons.push(json!({
            "variant": place,
            "changed": said.as_ref().map(|(what, _)| what),
            "verdict": said.as_ref().map(|(_, verdict)| verdict),
            "comparison": compare::json(comparison)?,
        }));
    }
    Ok(json!({
        "schema_version": SCHEMA_VERSION,
        "tool": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
        "seed": outcome.plan.seed,
        "variants": std::iter::zip(&outcome.plan.variants, &outcome.sides).map(variant).collect::<Vec<_>>(),
        "comparisons": comparisons,
        "cost": outcome.cost.as_ref().map(cost),
        "failures": outcome.failures.iter().map(|(place, status)| json!({ "variant": place, "status": status })).collect::<Vec<_>>(),
    }))
}

fn variant((variant, side): (&Variant, &Side)) -> Value {
    json!({
        "label": variant.label(),
        "directory": variant.directory(),
        "command": variant.command,
        "cpus": variant.cpus.as_ref().map(|cpus| cpus.cpus().to_vec()),
        "switch_interval_ns": variant.switch_interval.map(|interval| interval.0),
        "runs": side.runs.iter().filter(|run| run.coverage.is_some()).count(),
        "bare_runs": side.runs.iter().filter(|run| run.coverage.is_none()).count(),
    })
}

fn cost(cost: &Cost) -> Value {
    let interval = |interval: Option<(f64, f64)>| interval.map(|(from, to)| [finite(from), finite(to)]);
    json!({
        "bare_runs": cost.runs.0,
        "observed_runs": cost.runs.1,
        "wall": finite(cost.wall),
        "wall_interval": interval(cost.wall_interval),
        "cpu": finite(cost.cpu),
        "cpu_interval": interval(cost.cpu_interval),
    })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
