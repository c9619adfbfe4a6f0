//! Two distributions of durations, one over the other.

use crate::buckets::{buckets, fitted, shares};
use crate::compare::{Comparison, Run};
use crate::model::snapshot::Distribution;
use crate::report::paint::{Line, Style};
use crate::text::{left, right};
use crate::units;

/// Lines of a histogram at most.
const ROWS: usize = 14;
/// Columns beside the bars: labels and shares.
const BESIDE: usize = 30;
/// Widest bar.
const WIDEST: usize = 60;
/// What both have, what A has more, and what B has more.
const MARKS: [char; 3] = ['█', '░', '▒'];

/// The waits and the holds of both sides, as far as there are any.
pub(super) fn lines(comparison: &Comparison, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let waits: fn(&Run) -> Option<&Distribution> = |run| run.waits.as_ref();
    for (title, of) in [("Waits", waits), ("Holds", |run| run.holds.as_ref())] {
        let (a, b) = (comparison.a.together(of), comparison.b.together(of));
        let count = |side: &Option<Distribution>| side.as_ref().map_or(0, Distribution::count);
        if count(&a) + count(&b) == 0 {
            continue;
        }
        let (of_a, of_b) = (units::count(count(&a)), units::count(count(&b)));
        lines.push(Line::new());
        lines.push(Line::new().with(Style::Heading, title).with(
            Style::Faint,
            format!("  A {of_a}, B {of_b};  {} both  {} only A  {} only B", MARKS[0], MARKS[1], MARKS[2]),
        ));
        lines.extend(bars([a.as_ref(), b.as_ref()], width));
    }
    lines
}

fn bars(sides: [Option<&Distribution>; 2], width: usize) -> Vec<Line> {
    let buckets = fitted(buckets(sides), ROWS);
    let shares = shares(&buckets);
    let most = shares.iter().flatten().copied().fold(0.0, f64::max);
    let room = width.saturating_sub(BESIDE).min(WIDEST);
    let labels = buckets.iter().map(|bucket| bucket.label().chars().count()).max().unwrap_or(0);
    let columns = |share: f64| ((share / most.max(f64::MIN_POSITIVE)) * room as f64).round() as usize;
    std::iter::zip(&buckets, shares)
        .map(|(bucket, [a, b])| {
            let (of_a, of_b) = (columns(a), columns(b));
            let more = if of_a > of_b { MARKS[1] } else { MARKS[2] };
            let mut bar = MARKS[0].to_string().repeat(of_a.min(of_b));
            bar.push_str(&more.to_string().repeat(of_a.abs_diff(of_b)));
            let share = |share: f64| right(&units::percent(share), 8);
            Line::new()
                .with(Style::Faint, format!("  {} ", right(&bucket.label(), labels)))
                .with(Style::Plain, left(&bar, room))
                .with(Style::Plain, format!(" {}{}", share(a), share(b)))
        })
        .collect()
}
