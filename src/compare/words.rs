//! What a comparison came to, in words.

use crate::compare::{Bound, Comparison, Direction, Row, Run, Side, Tested};

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

/// Of how many processes and GILs the figures are, where there was more than one; `named`: what the two sides are called.
pub fn scope(comparison: &Comparison, named: [&str; 2]) -> Option<String> {
    let sides = [&comparison.a, &comparison.b];
    let of_each = |said: [Option<String>; 2]| -> Option<String> {
        let each = std::iter::zip(named, said).filter_map(|(name, said)| Some(format!("{name}: {}", said?)));
        Some(each.collect::<Vec<_>>().join("; ")).filter(|said| !said.is_empty())
    };
    let mut parts = Vec::new();
    if sides.iter().any(|side| is_of_several(side)) {
        let each = of_each(sides.map(|side| Some(extent(side)))).unwrap_or_default();
        parts.push(format!(
            "the GIL's figures are of all GILs together ({each}), but shares of time of the one GIL that has most"
        ));
    }
    if let Some(each) = of_each(sides.map(left_out)) {
        parts.push(format!("processes that were not looked into are in none of these ({each})"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Whether a run of this side had several processes, or several GILs.
pub fn is_of_several(side: &Side) -> bool {
    side.runs.iter().any(|run| run.extent.processes > 1 || run.extent.gils > 1)
}

/// How many processes and GILs the figures of a side's runs are of: `2 processes, each with a GIL of its own`.
pub fn extent(side: &Side) -> String {
    let observed = || side.runs.iter().filter(|run| run.coverage.is_some()).map(|run| run.extent);
    let processes = counted(observed().map(|extent| extent.processes), ["process", "processes"]);
    let gils = counted(observed().map(|extent| extent.gils), ["GIL", "GILs"]);
    let is_each = observed().all(|extent| extent.processes == extent.gils);
    let most = observed().map(|extent| extent.gils).max();
    match (is_each, most) {
        (_, None) => "no process".to_owned(),
        (_, Some(0)) => format!("{processes} without a GIL"),
        (true, Some(1)) => processes,
        (true, Some(_)) => format!("{processes}, each with a GIL of its own"),
        (false, Some(_)) => format!("{processes} with {gils}"),
    }
}

/// Processes of a side's runs that were not looked into, by the reason; `None`: none is known of.
fn left_out(side: &Side) -> Option<String> {
    let most = |of: fn(&Run) -> u64| side.runs.iter().map(of).max().unwrap_or(0);
    let reasons = [
        (most(|run| run.extent.left_out.too_short), "that ended too soon"),
        (most(|run| run.extent.left_out.not_python), "that ran no Python"),
        (most(|run| run.extent.left_out.unreadable), "that may not be read"),
        (most(|run| run.extent.left_out.too_many), "beyond as many as are looked into"),
        (most(|run| run.extent.unseen as u64), "that nobody was to look into (-s does)"),
    ];
    let is_one_run = side.runs.iter().filter(|run| run.coverage.is_some()).count() == 1;
    let up_to = if is_one_run { "" } else { "up to " };
    let said = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{up_to}{count} {why}"));
    Some(said.collect::<Vec<_>>().join(" and ")).filter(|said| !said.is_empty())
}

/// `1 process`, `2 processes`, `1 to 3 processes`.
fn counted(counts: impl Iterator<Item = usize> + Clone, [one, many]: [&str; 2]) -> String {
    let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    match (least, most) {
        (1, 1) => format!("1 {one}"),
        (least, most) if least == most => format!("{most} {many}"),
        (least, most) => format!("{least} to {most} {many}"),
    }
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
