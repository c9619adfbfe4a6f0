//! Logarithmic buckets of durations: 1, 2, 5, 10, 20, ... Several distributions share one axis.

use crate::model::snapshot::{Distribution, Length};
use crate::time::Ns;

/// Percentiles that are marked.
const MARKED: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Durations above the bucket before and up to `bound`, of `N` distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket<const N: usize> {
    /// Its upper end.
    pub bound: Bound,
    /// How many intervals of each distribution are in it.
    pub counts: [u64; N],
}

/// Where a bucket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Shorter than the resolution.
    Unresolved(Ns),
    /// At most this.
    UpTo(Ns),
}

impl<const N: usize> Bucket<N> {
    /// What stands before it.
    pub fn label(&self) -> String {
        match self.bound {
            Bound::Unresolved(resolution) => format!("<{}", short(resolution)),
            Bound::UpTo(upper) => short(upper),
        }
    }

    /// Whether a duration is no longer than its end.
    fn reaches(&self, ns: u64) -> bool {
        match self.bound {
            Bound::Unresolved(resolution) => ns < resolution.0,
            Bound::UpTo(upper) => ns <= with_slack(upper.0),
        }
    }
}

/// The bucket that a duration is in.
pub fn place<const N: usize>(buckets: &[Bucket<N>], length: Ns) -> Option<usize> {
    buckets.iter().position(|bucket| bucket.reaches(length.0))
}

/// A value of the histogram stands for a range around it, of which this is the upper end.
fn with_slack(bound: u64) -> u64 {
    bound.saturating_add(bound / 64)
}

/// A duration without needless digits, if it is a round one: `20 ms`, but `3.98 ms`.
fn short(length: Ns) -> String {
    let (unit, name) = match length.0 {
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        1_000.. => (1_000, "us"),
        _ => (1, "ns"),
    };
    match length.0 % unit {
        0 => format!("{} {name}", length.0 / unit),
        _ => length.to_string(),
    }
}

/// The buckets from the first to the last that has something in it. What is below the resolution of one of them is not
/// told apart in any.
pub fn buckets<const N: usize>(distributions: [Option<&Distribution>; N]) -> Vec<Bucket<N>> {
    let filled = distributions.iter().flatten().filter(|distribution| distribution.count() > 0);
    let Some(resolution) = filled.map(|distribution| distribution.resolution).max() else { return Vec::new() };
    let mut bounds: Vec<u64> = Vec::new();
    let mut decade = 1u64;
    for _ in 0..14 {
        bounds.extend([1, 2, 5].map(|step| decade.saturating_mul(step)));
        decade = decade.saturating_mul(10);
    }
    bounds.retain(|bound| *bound > resolution.0);
    let mut found: Vec<Bucket<N>> =
        bounds.iter().map(|bound| Bucket { bound: Bound::UpTo(Ns(*bound)), counts: [0; N] }).collect();
    let mut unresolved = [0u64; N];
    for (which, distribution) in distributions.iter().enumerate() {
        let Some(histogram) = distribution.and_then(|distribution| distribution.histogram.as_ref()) else { continue };
        for step in histogram.iter_recorded() {
            let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
            let counts = match Ns(value) < resolution {
                true => Some(&mut unresolved),
                false => {
                    let place = bounds.partition_point(|bound| with_slack(*bound) < value);
                    found.get_mut(place.min(bounds.len().saturating_sub(1))).map(|bucket| &mut bucket.counts)
                }
            };
            if let Some(sum) = counts.and_then(|counts| counts.get_mut(which)) {
                *sum = sum.saturating_add(count);
            }
        }
    }
    let is_filled = |bucket: &Bucket<N>| bucket.counts.iter().any(|count| *count > 0);
    let first = found.iter().position(is_filled).unwrap_or(found.len());
    let last = found.iter().rposition(is_filled).map_or(first, |last| last + 1);
    let mut shown: Vec<Bucket<N>> = found.get(first..last).unwrap_or_default().to_vec();
    if unresolved.iter().any(|count| *count > 0) {
        shown.insert(0, Bucket { bound: Bound::Unresolved(resolution), counts: unresolved });
    }
    shown
}

/// Neighbours are put together, those with the smallest share first, until there is room for all.
pub fn fitted<const N: usize>(mut buckets: Vec<Bucket<N>>, room: usize) -> Vec<Bucket<N>> {
    let mut wholes = [0.0f64; N];
    for bucket in &buckets {
        std::iter::zip(&mut wholes, bucket.counts).for_each(|(whole, count)| *whole += count as f64);
    }
    let share = |bucket: &Bucket<N>| -> f64 {
        std::iter::zip(&bucket.counts, &wholes).map(|(count, whole)| *count as f64 / whole.max(1.0)).sum()
    };
    while buckets.len() > room && buckets.len() > 1 {
        let sum = |pair: &[Bucket<N>]| pair.iter().map(share).sum::<f64>();
        let keep_unresolved = |pair: &[Bucket<N>]| matches!(pair, [Bucket { bound: Bound::Unresolved(_), .. }, _]);
        let Some((place, _)) = buckets
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| !keep_unresolved(pair))
            .min_by(|(_, a), (_, b)| sum(a).total_cmp(&sum(b)))
        else {
            break;
        };
        let counts = buckets.remove(place).counts;
        if let Some(bucket) = buckets.get_mut(place) {
            for (sum, count) in std::iter::zip(&mut bucket.counts, counts) {
                *sum += count;
            }
        }
    }
    buckets.truncate(room);
    buckets
}

/// The share of each distribution in each bucket: on one scale, so that bars compare.
pub fn shares<const N: usize>(buckets: &[Bucket<N>]) -> Vec<[f64; N]> {
    let mut wholes = [0u64; N];
    for bucket in buckets {
        std::iter::zip(&mut wholes, bucket.counts).for_each(|(whole, count)| *whole = whole.saturating_add(count));
    }
    let of = |bucket: &Bucket<N>| {
        let mut shares = [0.0; N];
        for ((share, count), whole) in shares.iter_mut().zip(bucket.counts).zip(wholes) {
            *share = count as f64 / whole.max(1) as f64;
        }
        shares
    };
    buckets.iter().map(of).collect()
}

/// Which percentiles are in each bucket: `p50`, or `p50-p99` if all between these are.
pub fn marks<const N: usize>(buckets: &[Bucket<N>], durations: &Distribution) -> Vec<String> {
    let mut found: Vec<Vec<&str>> = vec![Vec::new(); buckets.len()];
    for (name, share) in MARKED {
        let length = match durations.quantile(share) {
            Some(Length::Known(length)) => length,
            // Wherever it is, it is in the first.
            Some(Length::Below(_)) => Ns::ZERO,
            None => continue,
        };
        let place = place(buckets, length).unwrap_or(buckets.len().saturating_sub(1));
        if let Some(names) = found.get_mut(place) {
            names.push(name);
        }
    }
    found
        .into_iter()
        .map(|names| match names[..] {
            [] => String::new(),
            [one] => one.to_owned(),
            [first, .., last] => format!("{first}-{last}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(ms: u64, count: u64) -> Bucket<2> {
        Bucket { bound: Bound::UpTo(Ns::from_millis(ms)), counts: [count, 2 * count] }
    }

    fn of(resolution: Ns, lengths: &[u64]) -> Distribution {
        let mut histogram = hdrhistogram::Histogram::<u32>::new_with_bounds(1, 3_600_000_000_000, 2).unwrap();
        lengths.iter().for_each(|ns| histogram.saturating_record(*ns));
        let mut distribution = Distribution::empty(crate::model::snapshot::Source::Sampled, resolution);
        distribution.histogram = Some(std::sync::Arc::new(histogram));
        distribution
    }

    #[test]
    fn putting_buckets_together_loses_nothing() {
        let all = vec![bucket(1, 5), bucket(2, 1), bucket(5, 2), bucket(10, 90), bucket(20, 3)];
        for room in 1..=5 {
            let fitted = fitted(all.clone(), room);
            assert_eq!(fitted.len(), room);
            assert_eq!(fitted.iter().map(|b| b.counts[0]).sum::<u64>(), 101);
            assert_eq!(fitted.iter().map(|b| b.counts[1]).sum::<u64>(), 202);
            assert_eq!(fitted.last().map(|b| b.bound), Some(Bound::UpTo(Ns::from_millis(20))));
        }
        assert!(fitted(all, 0).is_empty());
    }

    #[test]
    fn every_interval_is_in_one_bucket() {
        let distribution =
            of(Ns::MILLISECOND, &[10, 300_000, 1_000_000, 4_990_000, 5_000_000, 5_200_000, 3_000_000_000]);
        let found = buckets([Some(&distribution)]);
        assert_eq!(found.iter().map(|b| b.counts[0]).sum::<u64>(), 7);
        assert_eq!(found.first().map(|b| (b.label(), b.counts)), Some(("<1 ms".to_owned(), [2])));
        let five = found.iter().find(|b| b.bound == Bound::UpTo(Ns::from_millis(5))).map(|b| b.counts);
        assert_eq!(five, Some([2]));
        assert_eq!(found.last().map(|b| b.label()), Some("5 s".to_owned()));
    }

    #[test]
    fn two_distributions_share_an_axis_and_the_coarser_resolution() {
        let fine = of(Ns::from_micros(20), &[10, 300_000, 4_000_000]);
        let coarse = of(Ns::MILLISECOND, &[10, 70_000_000]);
        let found = buckets([Some(&fine), Some(&coarse)]);
        assert_eq!(found.first().map(|b| (b.label(), b.counts)), Some(("<1 ms".to_owned(), [2, 1])));
        assert_eq!(found.get(1).map(|b| (b.label(), b.counts)), Some(("5 ms".to_owned(), [1, 0])));
        assert_eq!(found.last().map(|b| (b.label(), b.counts)), Some(("100 ms".to_owned(), [0, 1])));
        assert_eq!(found.len(), 6, "those in between are there");
        assert_eq!(place(&found, Ns(5)), Some(0));
        assert_eq!(place(&found, Ns::from_millis(4)), Some(1));
        assert_eq!(place(&found, Ns::from_millis(60)), Some(5));
        assert_eq!(place(&found, Ns::SECOND), None);
        assert_eq!(buckets([None, Some(&fine)]).len(), buckets([Some(&fine)]).len());
        assert!(buckets([None::<&Distribution>, None]).is_empty());
        // A resolution that is not round is not rounded down: what is 3.5 ms long is in there, too.
        let odd = buckets([Some(&of(Ns(3_980_000), &[3_500_000]))]);
        assert_eq!(odd.first().map(Bucket::label), Some("<3.98 ms".to_owned()));
    }
}
