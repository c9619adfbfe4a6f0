//! The GIL's figures over the last while, in columns of one length, for sparklines.

use crate::model::snapshot::GilFigures;
use crate::model::timeline::{Bin, Timeline, WIDTHS};
use crate::time::{MonoNs, Ns};

/// A figure over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Share of time held.
    Load,
    /// Share of time with a waiter.
    Contention,
    /// Mean number of waiters: the time lost in a second.
    Waiting,
    /// Handoffs a second.
    Handoffs,
}

impl Figure {
    /// All, in the order in which they are shown.
    pub const ALL: [Figure; 4] = [Figure::Load, Figure::Contention, Figure::Waiting, Figure::Handoffs];

    fn of(self, bin: &Bin) -> Option<f64> {
        match self {
            Figure::Load => bin.held.share_of(bin.observed),
            Figure::Contention => bin.contended.share_of(bin.observed),
            Figure::Waiting => bin.lost.share_of(bin.observed),
            Figure::Handoffs => (bin.observed > Ns::ZERO).then(|| bin.handoffs as f64 / bin.observed.as_secs_f64()),
        }
    }
}

/// The figures over time.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Whose; `None`: there is no GIL.
    pub gil: Option<&'a GilFigures>,
    /// Time in a column.
    pub column: Ns,
    /// The instant at the right end.
    pub at: MonoNs,
}

impl<'a> History<'a> {
    /// Those of `gil` up to `at`, with `column` of time in each column, or as little as is kept.
    pub fn of(gil: Option<&'a GilFigures>, column: Ns, at: MonoNs) -> History<'a> {
        History { gil, column: column.max(WIDTHS[0]), at }
    }

    /// The last `count` columns of a figure, oldest first; `None`: not observed.
    pub fn columns(&self, figure: Figure, count: usize) -> Vec<Option<f64>> {
        match self.gil {
            Some(gil) => sums(&gil.history, self.column, self.at, count).iter().map(|sum| figure.of(sum)).collect(),
            None => vec![None; count],
        }
    }
}

/// What happened in each column. The one that has just begun is left out; all begin at multiples of their length, so
/// that they do not flicker while time goes on.
fn sums(line: &Timeline, column: Ns, at: MonoNs, count: usize) -> Vec<Bin> {
    let mut sums = vec![Bin::default(); count];
    let length = column.0.max(1);
    let newest = at.0 / length;
    let reach = Ns(length.saturating_mul(count as u64 + 1));
    let ring = line.ring_since(at - reach, at);
    for (start, bin) in ring.bins() {
        // A bin that is wider than a column stands in each of those that it covers.
        let last = start.0.saturating_add(ring.width.0.max(1) - 1) / length;
        for number in (start.0 / length)..=last {
            let behind = newest.checked_sub(number.saturating_add(1)).and_then(|behind| usize::try_from(behind).ok());
            let place = behind.and_then(|behind| count.checked_sub(behind.saturating_add(1)));
            if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
                sum.add(bin);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_figure_is_of_the_time_that_was_observed_and_a_gap_is_none() {
        let mut line = Timeline::default();
        let bin = |observed: u64, held: u64, handoffs| Bin {
            observed: Ns(observed * MS),
            held: Ns(held * MS),
            contended: Ns(held * MS / 2),
            lost: Ns(held * MS * 3),
            handoffs,
            ..Bin::default()
        };
        line.add(MonoNs(0), MonoNs(200 * MS), &bin(200, 100, 40));
        line.add(MonoNs(400 * MS), MonoNs(600 * MS), &bin(100, 100, 10));
        let columns = |figure: Figure, column: u64, count| -> Vec<Option<f64>> {
            sums(&line, Ns(column * MS), MonoNs(700 * MS), count).iter().map(|bin| figure.of(bin)).collect()
        };
        assert_eq!(columns(Figure::Load, 200, 3), [Some(0.5), None, Some(1.0)]);
        assert_eq!(columns(Figure::Contention, 200, 3), [Some(0.25), None, Some(0.5)]);
        assert_eq!(columns(Figure::Waiting, 200, 3), [Some(1.5), None, Some(3.0)]);
        assert_eq!(columns(Figure::Handoffs, 200, 3), [Some(200.0), None, Some(100.0)]);
        assert_eq!(columns(Figure::Load, 100, 7), [Some(0.5), Some(0.5), None, None, Some(1.0), Some(1.0), None]);
        assert_eq!(columns(Figure::Load, 200, 0), []);
        assert_eq!(columns(Figure::Load, 200, 5)[..2], [None, None], "before it began");
    }
}
