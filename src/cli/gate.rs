//! `--fail-if`: conditions on figures become an exit status.

use crate::cli::{Gate, complain};
use crate::compare::{Comparison, judge};
use crate::error::{Failure, Status};
use crate::figures::{Condition, Judged, Limit, Whole, readings};
use crate::model::snapshot::Snapshot;

/// Conditions of a change make no sense where there is one side.
///
/// # Errors
/// If there is one.
pub fn takes_one_side(gate: &Gate) -> Result<(), Failure> {
    match gate.fail_if.iter().find(|condition| matches!(condition.limit, Limit::Change(_))) {
        None => Ok(()),
        Some(condition) => {
            let name = condition.figure.name;
            Err(Failure::new(Status::Usage, format!("--fail-if '{condition}': a change takes two sides")).next(format!(
                "name a value, as --fail-if '{name} > ...'; or compare two recordings: gilscope compare A B --fail-if '{condition}'"
            )))
        }
    }
}

/// The exit status of a report.
///
/// # Errors
/// If a condition is met, or undecided, with what it was.
pub fn status(gate: &Gate, snapshot: &Snapshot) -> Result<u8, Failure> {
    let known = Whole::of(snapshot).as_ref().map(readings).unwrap_or_default();
    verdict(gate, |condition| match known.iter().find(|(figure, _)| *figure == condition.figure) {
        Some((_, reading)) => condition.judge(*reading),
        None => Judged::Undecided(format!("{condition}: no process was observed")),
    })
}

/// The exit status of a comparison.
///
/// # Errors
/// As [`status`].
pub fn compared(gate: &Gate, comparison: &Comparison) -> Result<u8, Failure> {
    verdict(gate, |condition| judge(comparison, condition))
}

/// A condition that cannot be decided fails like one that is met: what was not checked has not passed.
fn verdict(gate: &Gate, judged: impl Fn(&Condition) -> Judged) -> Result<u8, Failure> {
    let mut failures = Vec::new();
    for condition in &gate.fail_if {
        match judged(condition) {
            Judged::Met(what) => failures.push(Failure::new(Status::ConditionMet, format!("--fail-if {what}"))),
            Judged::Undecided(why) => {
                failures.push(Failure::new(Status::ConditionMet, format!("--fail-if cannot be decided: {why}")).next(
                    "what is not known has not passed: leave the condition out, or observe so that the figure is known",
                ))
            }
            Judged::NotMet => {}
        }
    }
    let last = failures.pop();
    failures.iter().for_each(complain);
    last.map_or(Ok(Status::Ok as u8), Err)
}
