//! Durations as they are found: whole ones into a histogram, cut ones apart.

use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::model::snapshot::{Distribution, Source};
use crate::time::{MonoNs, Ns};

/// Smallest duration that the histograms tell apart.
const LOWEST: u64 = 1_000;
/// Longest duration that they tell apart, about 12 days; longer ones count as this long.
const HIGHEST: u64 = 1 << 50;
/// Below it, a duration between two switches is not known: the edges lie some tens of microseconds from what they
/// stand for.
pub const SHARP: Ns = Ns(100_000);
/// An interval in so many may be known to ticks only among those that are known to switches.
const MOSTLY: u64 = 50;
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

/// How well an instant is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharpness {
    /// It lies somewhere between two ticks.
    Tick,
    /// The kernel recorded it.
    Switch,
}

/// When something began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: MonoNs,
    /// How well that is known.
    pub sharpness: Sharpness,
}

impl Moment {
    /// One that the kernel recorded.
    pub fn recorded(at: MonoNs) -> Moment {
        Moment { at, sharpness: Sharpness::Switch }
    }
}

/// An interval that has begun and not yet ended.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// The look, or the switch, that it is known to have begun by.
    pub start: MonoNs,
    /// Where it is told to have begun: a switch record lags behind.
    pub told: MonoNs,
    /// Whether it was seen to begin.
    pub edge: Edge,
    /// How well its beginning is known.
    pub sharpness: Sharpness,
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
    /// Whole ones of which an edge is known to a tick only.
    blurred: u64,
}

impl Intervals {
    /// None so far.
    pub fn new(grain: Grain) -> Intervals {
        Intervals { grain, histogram: None, total: Ns::ZERO, censored: 0, below_resolution: 0, blurred: 0 }
    }

    /// Sum of all that have ended, cut ones included.
    pub fn total(&self) -> Ns {
        self.total
    }

    /// The interval `open` was seen to end at `end`, and going on at the tick `last` before.
    pub fn close(&mut self, open: Open, end: Moment, last: MonoNs, resolution: Ns) {
        let length = end.at.since(open.told);
        let is_sharp = open.sharpness == Sharpness::Switch && end.sharpness == Sharpness::Switch;
        match open.edge {
            Edge::Cut => self.cut(open, end.at),
            Edge::Seen if is_sharp => self.whole(length, length, SHARP.min(resolution)),
            // What a single tick fell into may have been as short as can be: in the sum it counts by its chance to
            // be hit, but it has no length to show.
            Edge::Seen => {
                self.blurred += 1;
                let shown = if last <= open.first { length.min(Ns(resolution.0 / 2)) } else { length };
                self.whole(length, shown, resolution);
            }
        }
    }

    /// The interval `open` was still going on at `end`, where the observation stops.
    pub fn cut(&mut self, open: Open, end: MonoNs) {
        self.total += end.since(open.told);
        self.censored += 1;
    }

    /// One of this length was seen whole, to the instant.
    pub fn add(&mut self, length: Ns) {
        self.whole(length, length, Ns::ZERO);
    }

    /// One was seen in part, for so long.
    pub fn add_cut(&mut self, length: Ns) {
        self.total += length;
        self.censored += 1;
    }

    /// Of what was added with [`Intervals::add`] and [`Intervals::add_cut`], whose instruments distort what is shorter
    /// than `resolution`.
    pub fn exact(&self, resolution: Ns) -> Distribution {
        let below = |histogram: &Arc<Histogram<u32>>| match resolution.0 {
            0 => 0,
            resolution => histogram.count_between(0, resolution - 1),
        };
        Distribution {
            source: Source::Exact,
            resolution,
            below_resolution: self.histogram.as_ref().map_or(0, below),
            histogram: self.histogram.clone(),
            total: self.total,
            censored: self.censored,
        }
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
        let whole = self.histogram.as_ref().map_or(0, |histogram| histogram.len());
        let is_sharp = whole > 0 && self.blurred.saturating_mul(MOSTLY) <= whole;
        Distribution {
            source: if is_sharp { Source::Fused } else { Source::Sampled },
            resolution: if is_sharp { SHARP.min(resolution) } else { resolution },
            histogram: self.histogram.clone(),
            total: self.total + open.iter().map(|(open, now)| now.since(open.told)).sum(),
            censored: self.censored + open.len() as u64,
            below_resolution: self.below_resolution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(start: u64, edge: Edge) -> Open {
        let start = MonoNs(start);
        Open { start, told: start, edge, sharpness: Sharpness::Tick, first: start, switch_number: 0 }
    }

    fn tick(at: u64) -> Moment {
        Moment { at: MonoNs(at), sharpness: Sharpness::Tick }
    }

    #[test]
    fn between_two_switches_a_length_is_known_and_one_blurred_edge_spoils_it() {
        let mut waits = Intervals::new(Grain::Fine);
        let sharp = |start, end| {
            let open = Open { sharpness: Sharpness::Switch, ..open(start, Edge::Seen) };
            (open, Moment { at: MonoNs(end), sharpness: Sharpness::Switch })
        };
        for (open, end) in [sharp(0, 300_000), sharp(10_000_000, 10_060_000)] {
            waits.close(open, end, open.first, Ns::MILLISECOND);
        }
        let d = waits.distribution(&[], Ns::MILLISECOND);
        assert_eq!((d.source, d.resolution, d.below_resolution), (Source::Fused, SHARP, 1));
        assert!(matches!(d.max(), Some(crate::model::snapshot::Length::Known(Ns(300_000..=300_500)))), "{:?}", d.max());
        waits.close(open(0, Edge::Seen), tick(5_000_000), MonoNs(4_000_000), Ns::MILLISECOND);
        assert_eq!(waits.distribution(&[], Ns::MILLISECOND).source, Source::Sampled);
    }

    #[test]
    fn cut_intervals_are_in_the_total_and_in_no_percentile() {
        let mut waits = Intervals::new(Grain::Fine);
        waits.close(open(0, Edge::Seen), tick(5_000_000), MonoNs(4_000_000), Ns::MILLISECOND);
        waits.close(open(0, Edge::Cut), tick(900_000_000), MonoNs(899_000_000), Ns::MILLISECOND);
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
        waits.close(open(0, Edge::Seen), tick(300_000), MonoNs(200_000), Ns::MILLISECOND);
        let d = waits.distribution(&[], Ns::MILLISECOND);
        assert_eq!(d.below_resolution, 1);
        assert_eq!(d.quantile(0.5), Some(crate::model::snapshot::Length::Below(Ns::MILLISECOND)));
    }

    #[test]
    fn what_one_tick_fell_into_has_no_length_but_counts_in_the_sum() {
        let mut waits = Intervals::new(Grain::Coarse);
        waits.close(open(0, Edge::Seen), tick(1_700_000), MonoNs(0), Ns::MILLISECOND);
        let d = waits.distribution(&[], Ns::MILLISECOND);
        assert_eq!((d.count(), d.below_resolution, d.total), (1, 1, Ns(1_700_000)));
        assert_eq!(d.max(), Some(crate::model::snapshot::Length::Below(Ns::MILLISECOND)));
    }

    #[test]
    fn days_fit() {
        let mut waits = Intervals::new(Grain::Fine);
        waits.close(open(0, Edge::Seen), tick(86_400_000_000_000), MonoNs(1), Ns::MILLISECOND);
        assert_eq!(waits.distribution(&[], Ns::MILLISECOND).count(), 1);
    }
}
