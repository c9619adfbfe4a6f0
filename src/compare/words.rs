//! What a comparison came to, in words.

use crate::compare::{Bound, Comparison, Direction, Row, Run, Tested};

/// Figures named in the verdict.
const NAMED: usize = 4;
/// From this ratio on a change reads as a multiple.
const MULTIPLE: f64 = 2.0;

/// A ratio as a change: `+12 %`, `-98.4 %`, `x2.31`, `from nothing`.
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    match ratio {
        r if r.is_nan() => "?".to_owned(),
        r if r == f64::INFINITY => "from nothing".to_owned(),
        0.0 => "to nothing".to_owned(),
        r if r >= 99.5 => format!("x{r:.0}"),
        r if r >= 9.95 => format!("x{r:.1}"),
        r if r >= MULTIPLE => format!("x{r:.2}"),
        _ if percent.abs() < 0.05 => "0 %".to_owned(),
        // That something is left is not rounded away.
        r if r < 0.0005 => format!("{:.0}th", 1.0 / r).replacen("", "to 1/", 1),
        r if r < 0.005 => format!("{percent:.2} %"),
        _ if (9.95..99.0).contains(&percent.abs()) => format!("{percent:+.0} %"),
        _ => format!("{percent:+.1} %"),
    }
}

/// The change of a figure, with what is known of it.
pub(super) fn tested(tested: &Tested) -> String {
    let shown = change(tested.ratio);
    match tested.bound {
        Bound::Estimate => shown,
        Bound::AtLeast => format!("{shown} or more"),
        Bound::AtMost => format!("{shown} or less"),
    }
}

/// The ratios that are possible: `+8.1 % to +14 %`.
pub(super) fn interval((from, to): (f64, f64)) -> String {
    match to {
        0.0 => change(to),
        f64::INFINITY => format!("{} and up", change(from)),
        _ => format!("{} to {}", change(from), change(to)),
    }
}

/// What a difference is good for.
pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Worse => "worse",
        Direction::Better => "better",
        Direction::More => "more",
        Direction::Less => "less",
    }
}

/// Runs of both sides: `8 + 8 runs`.
pub(super) fn runs(comparison: &Comparison) -> String {
    format!("{} + {} runs", comparison.a.runs.len(), comparison.b.runs.len())
}

/// What it came to, in a sentence that is true.
pub fn verdict(comparison: &Comparison) -> String {
    let runs = runs(comparison);
    let called: Vec<&Row> = comparison.called().collect();
    if comparison.tested == 0 {
        return "No figure is known of both sides: there is nothing to compare.".to_owned();
    }
    if !comparison.can_tell() {
        return format!("{runs} cannot tell a difference from chance: what is shown may be either.");
    }
    if called.is_empty() {
        return format!("No difference that {runs} can show, in any of {} figures.", comparison.tested);
    }
    let named = called.iter().take(NAMED).filter_map(|row| Some((row.figure.title, row.tested()?)));
    let mut named: Vec<String> = named.map(|(title, outcome)| format!("{title} {}", tested(outcome))).collect();
    if let Some(more @ 1..) = called.len().checked_sub(NAMED) {
        named.push(format!("and {more} more"));
    }
    format!("{} of {} figures differ: {}.", called.len(), comparison.tested, named.join(", "))
}

/// Whose the figures are, where there was more than one process, or more than one GIL in it; `named`: what the two sides are
/// called.
pub fn scope(comparison: &Comparison, named: [&str; 2]) -> Option<String> {
    let sides = [&comparison.a, &comparison.b];
    let most = |of: fn(&Run) -> usize| sides.map(|side| side.runs.iter().map(of).max().unwrap_or(0));
    let counted = |counts: [usize; 2]| -> String {
        let each = std::iter::zip(counts, named).map(|(count, name)| match count {
            0 => format!("none in {name}"),
            1 => format!("1 in {name}"),
            more => format!("up to {more} in {name}"),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let (beside, gils) = (most(|run| run.beside), most(|run| run.gils));
    let mut parts = Vec::new();
    if beside.iter().any(|count| *count > 0) {
        parts.push(format!("the GIL's figures are of one process of each run (seen beside it: {})", counted(beside)));
    }
    if gils.iter().any(|count| *count > 1) {
        parts.push(format!(
            "where a process has several GILs the figures are of the main interpreter's ({})",
            counted(gils)
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_the_digits_that_it_needs() {
        for (ratio, text) in [
            (1.0, "0 %"),
            (1.0004, "0 %"),
            (1.031, "+3.1 %"),
            (1.5, "+50 %"),
            (0.98, "-2.0 %"),
            (0.02, "-98 %"),
            (0.004, "-99.60 %"),
            (0.0001, "to 1/10000th"),
            (2.0, "x2.00"),
            (31.44, "x31.4"),
            (1234.0, "x1234"),
            (f64::INFINITY, "from nothing"),
            (0.0, "to nothing"),
        ] {
            assert_eq!(change(ratio), text, "{ratio}");
        }
        assert_eq!(interval((0.5, f64::INFINITY)), "-50 % and up");
        assert_eq!(interval((0.0, 0.0)), "to nothing");
    }
}
