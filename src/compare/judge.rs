//! Conditions of `--fail-if` on a comparison.

use crate::compare::words::change;
use crate::compare::{Bound, Change, Comparison, RATE};
use crate::figures::{Condition, Judged, Limit};

/// Judges a condition: one with a value by the median of B's runs, one of a change by how many times A B is.
///
/// A change counts as soon as its estimate is that large and, where there are runs enough to tell, the test of that figure alone
/// excludes chance at [`RATE`]. With fewer runs the estimate decides. A figure that is not known decides nothing.
pub fn judge(comparison: &Comparison, condition: &Condition) -> Judged {
    let Some(row) = comparison.rows.iter().find(|row| row.figure == condition.figure) else {
        return Judged::Undecided(format!("{condition}: it was not measured"));
    };
    let Limit::Change(limit) = condition.limit else { return condition.judge(row.b.median) };
    let tested = match &row.change {
        Change::Tested(tested) => tested,
        Change::NotCompared(why) => return Judged::Undecided(format!("{condition}: {why}")),
    };
    let rises = limit > 1.0;
    let reached = if rises { tested.ratio >= limit } else { tested.ratio <= limit };
    let name = row.figure.name;
    let shown = change(tested.ratio);
    match (reached, tested.bound) {
        // What is known is a bound on the other side.
        (false, Bound::AtLeast) if rises => {
            return Judged::Undecided(format!(
                "{condition}: {name} changed by {shown} or more, A is below what can be told"
            ));
        }
        (false, Bound::AtMost) if !rises => {
            return Judged::Undecided(format!(
                "{condition}: {name} changed by {shown} or less, B is below what can be told"
            ));
        }
        (true, Bound::Estimate | Bound::AtLeast) if rises => {}
        (true, Bound::Estimate | Bound::AtMost) if !rises => {}
        _ => return Judged::NotMet,
    }
    // It was named before anybody looked: it is the only one that is tested.
    let sure = tested.p_value <= RATE || !comparison.can_tell();
    match sure {
        true => Judged::Met(format!("{condition}: {name} changed by {shown}")),
        false => Judged::NotMet,
    }
}
