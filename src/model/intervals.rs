//! Durations as they are found: whole ones into a histogram, cut ones apart.

use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::model::snapshot::{Distribution, Source};
use crate::time::{MonoNs, Ns};

/// Smallest duration that the histograms tell apart.
const LOWEST: u64 = 1_000;
/// Longest duration that they tell apart, about 12 days; longer ones count as this long.
const HIGHEST: u64 = 1 << 50;
/// How finely durations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// To 0.1 %: for the few histograms that a capture has one of per GIL.
    Fine,
    /// To 1 %, in an eighth of the memory: for those that it has thousands of.
    Coarse,
}

impl Grain {
    fn digits(self) -> u8 {
        match self {
            Grain::Fine => 3,
            Grain::Coarse => 2,
        }
    }
}

/// Whether the beginning of an interval was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// It was seen to begin.
    Seen,
    /// It had begun before the observation did.
    Cut,
}

/// An interval that has begun and not yet ended.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Where it is taken to have begun.
    pub start: MonoNs,
    /// Whether it was seen to begin.
    pub edge: Edge,
    /// The first tick at which it was seen.
    pub first: MonoNs,
    /// CPython's handoff count at its first tick.
    pub switch_number: u64,
}

/// Collects the intervals of one kind.
#[derive(Debug, Clone)]
pub struct Intervals {
    grain: Grain,
    histogram: Option<Arc<Histogram<u32>>>,
    total: Ns,
    censored: u64,
    below_resolution: u64,
}

impl Intervals {
    /// None so far.
    pub fn new(grain: Grain) -> Intervals {
        Intervals { grain, histogram: None, total: Ns::ZERO, censored: 0, below_resolution: 0 }
    }

    /// Sum of all that have ended, cut ones included.
    pub fn total(&self) -> Ns {
        self.total
    }

    /// The interval `open` was seen to end at `end`, and going on at the tick `last` before.
    pub fn close(&mut self, open: Open, end: MonoNs, last: MonoNs, resolution: Ns) {
        let length = end.since(open.start);
        match open.edge {
            Edge::Cut => self.cut(open, end),
            // What a single tick fell into may have been as short as can be: in the sum it counts by its chance to
            // be hit, but it has no length to show.
            Edge::Seen if last <= open.first => self.whole(length, length.min(Ns(resolution.0 / 2)), resolution),
            Edge::Seen => self.whole(length, length, resolution),
        }
    }

    /// The interval `open` was still going on at `end`, where the observation stops.
    pub fn cut(&mut self, open: Open, end: MonoNs) {
        self.total += end.since(open.start);
        self.censored += 1;
    }

    fn whole(&mut self, length: Ns, shown: Ns, resolution: Ns) {
        self.total += length;
        if shown < resolution {
            self.below_resolution += 1;
        }
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(LOWEST, 2 * LOWEST, self.grain.digits()).ok().map(|mut h| {
                h.auto(true);
                Arc::new(h)
            });
        }
        if let Some(histogram) = &mut self.histogram {
            let value = shown.0.clamp(LOWEST, HIGHEST);
            let recorded = Arc::make_mut(histogram).record(value);
            debug_assert!(recorded.is_ok(), "within bounds, and the histogram grows");
        }
    }

    /// What was collected, with `open` intervals counted as cut at the instant beside each.
    pub fn distribution(&self, open: &[(Open, MonoNs)], resolution: Ns) -> Distribution {
        Distribution {
            source: Source::Sampled,
            resolution,
            histogram: self.histogram.clone(),
            total: self.total + open.iter().map(|(open, now)| now.since(open.start)).sum(),
            censored: self.censored + open.len() as u64,
            below_resolution: self.below_resolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(start: u64, edge: Edge) -> Open {
        Open { start: MonoNs(start), edge, first: MonoNs(start), switch_number: 0 }
    }

    #[test]
    fn cut_intervals_are_in_the_total_and_in_no_percentile() {
        let mut waits = Intervals::new(Grain::Fine);
        waits.close(open(0, Edge::Seen), MonoNs(5_000_000), MonoNs(4_000_000), Ns::MILLISECOND);
        waits.close(open(0, Edge::Cut), MonoNs(900_000_000), MonoNs(899_000_000), Ns::MILLISECOND);
        let d = waits.distribution(&[(open(0, Edge::Seen), MonoNs(1_000_000))], Ns::MILLISECOND);
        assert_eq!((d.count(), d.censored, d.total), (1, 2, Ns(906_000_000)));
        let max = d.max();
        assert!(
            matches!(max, Some(crate::model::snapshot::Length::Known(Ns(ns))) if (4_990_000..5_010_000).contains(&ns)),
            "{max:?}"
        );
    }

    #[test]
    fn a_length_below_the_resolution_is_counted_and_not_invented() {
        let mut waits = Intervals::new(Grain::Fine);
        waits.close(open(0, Edge::Seen), MonoNs(300_000), MonoNs(200_000), Ns::MILLISECOND);
        let d = waits.distribution(&[], Ns::MILLISECOND);
        assert_eq!(d.below_resolution, 1);
        assert_eq!(d.quantile(0.5), Some(crate::model::snapshot::Length::Below(Ns::MILLISECOND)));
    }

    #[test]
    fn what_one_tick_fell_into_has_no_length_but_counts_in_the_sum() {
        let mut waits = Intervals::new(Grain::Coarse);
        waits.close(open(0, Edge::Seen), MonoNs(1_700_000), MonoNs(0), Ns::MILLISECOND);
        let d = waits.distribution(&[], Ns::MILLISECOND);
        assert_eq!((d.count(), d.below_resolution, d.total), (1, 1, Ns(1_700_000)));
        assert_eq!(d.max(), Some(crate::model::snapshot::Length::Below(Ns::MILLISECOND)));
    }

    #[test]
    fn days_fit() {
        let mut waits = Intervals::new(Grain::Fine);
        waits.close(open(0, Edge::Seen), MonoNs(86_400_000_000_000), MonoNs(1), Ns::MILLISECOND);
        assert_eq!(waits.distribution(&[], Ns::MILLISECOND).count(), 1);
    }
}
