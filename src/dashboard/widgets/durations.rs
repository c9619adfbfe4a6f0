//! How long waits and holds take: two histograms side by side.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::threads::known;
use crate::dashboard::widgets::{Line, centred, line_of, titled};
use crate::model::snapshot::{Distribution, ThreadState};
use crate::text::{left, right};
use crate::time::Ns;
use crate::units;

/// Draws them.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let whose = match &view.durations.whose {
        Some(name) if name.is_empty() => "of one thread".to_owned(),
        Some(name) => format!("of {}", name.fit(24)),
        None => "of all threads".to_owned(),
    };
    let half = area.width / 2;
    let gap = u16::from(area.width > 2);
    let waits = Rect { width: half.saturating_sub(gap), ..area };
    let holds = Rect { x: area.x.saturating_add(half), width: area.width - half, ..area };
    let state = Tone::State(ThreadState::Waiting);
    one("Waits", &whose, view.durations.waits, state, theme, waits, buffer);
    one("Holds", &whose, view.durations.holds, Tone::State(ThreadState::Running), theme, holds, buffer);
}

fn one(title: &str, whose: &str, of: Option<&Distribution>, tone: Tone, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let area = titled(area, buffer, theme, title, &[(whose.to_owned(), Tone::Faint)]);
    let Some(distribution) = of.filter(|distribution| distribution.count() > 0) else {
        centred(area, buffer, "none seen whole yet", theme.style(Tone::Faint));
        return;
    };
    summary(distribution, theme, line_of(area, 0), buffer);
    let room = usize::from(area.height.saturating_sub(1));
    let buckets = fitted(buckets(distribution), room);
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
    let labels = buckets.iter().map(|bucket| bucket.label().chars().count()).max().unwrap_or(0);
    let counts = buckets.iter().map(|bucket| units::count(bucket.count).len()).max().unwrap_or(0);
    let width = usize::from(area.width).saturating_sub(labels + counts + 4);
    for (number, bucket) in buckets.iter().enumerate() {
        let mut line = Line::new();
        line.push(format!(" {} ", right(&bucket.label(), labels)), theme.style(Tone::Label));
        let bar = theme.bar(bucket.count as f64 / most as f64, width);
        line.push(left(&bar, width), theme.style(tone));
        line.push(format!(" {}", right(&units::count(bucket.count), counts)), Style::new());
        line.draw(line_of(area, 1 + number), buffer);
    }
}

fn summary(distribution: &Distribution, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let value = |share: f64| distribution.quantile(share).map_or("-".to_owned(), known);
    line.push(format!(" {} ", units::count(distribution.count())), theme.style(Tone::Strong));
    for (name, text) in [
        ("p50", value(0.5)),
        ("p99", value(0.99)),
        ("max", distribution.max().map_or("-".to_owned(), known)),
        ("sum", distribution.total.to_string()),
    ] {
        if line.width() + name.len() + text.chars().count() + 3 > usize::from(area.width) {
            break;
        }
        line.push(format!(" {name} "), theme.style(Tone::Label));
        line.push(format!("{text} "), theme.style(Tone::Plain));
    }
    if distribution.censored > 0 {
        let cut = format!(" +{} cut", units::count(distribution.censored));
        line.push_whole(&cut, theme.style(Tone::Faint), area.width);
    }
    line.draw(area, buffer);
}

/// Durations above the bucket before and up to `upper`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    bound: Bound,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Shorter than the resolution.
    Unresolved(Ns),
    /// At most this.
    UpTo(Ns),
}

impl Bucket {
    fn label(&self) -> String {
        match self.bound {
            Bound::Unresolved(resolution) => format!("<{}", short(resolution)),
            Bound::UpTo(upper) => short(upper),
        }
    }
}

/// A round duration without needless digits: `20 ms`.
fn short(length: Ns) -> String {
    match length.0 {
        ns if ns >= 1_000_000_000 => format!("{} s", ns / 1_000_000_000),
        ns if ns >= 1_000_000 => format!("{} ms", ns / 1_000_000),
        ns if ns >= 1_000 => format!("{} us", ns / 1_000),
        ns => format!("{ns} ns"),
    }
}

/// The buckets from the first to the last that has something in it: 1, 2, 5, 10, 20, ...
fn buckets(distribution: &Distribution) -> Vec<Bucket> {
    let Some(histogram) = &distribution.histogram else { return Vec::new() };
    let resolution = distribution.resolution;
    let mut bounds: Vec<u64> = Vec::new();
    let mut decade = 1u64;
    for _ in 0..14 {
        bounds.extend([1, 2, 5].map(|step| decade.saturating_mul(step)));
        decade = decade.saturating_mul(10);
    }
    bounds.retain(|bound| *bound > resolution.0);
    let mut found: Vec<Bucket> =
        bounds.iter().map(|bound| Bucket { bound: Bound::UpTo(Ns(*bound)), count: 0 }).collect();
    let mut unresolved = 0;
    for step in histogram.iter_recorded() {
        let (value, count) = (step.value_iterated_to(), step.count_since_last_iteration());
        if Ns(value) < resolution {
            unresolved += count;
            continue;
        }
        // A value of the histogram stands for a range around it, of which this is the upper end.
        let place = bounds.partition_point(|bound| bound.saturating_add(bound / 64) < value);
        if let Some(bucket) = found.get_mut(place.min(bounds.len().saturating_sub(1))) {
            bucket.count += count;
        }
    }
    let first = found.iter().position(|bucket| bucket.count > 0).unwrap_or(found.len());
    let last = found.iter().rposition(|bucket| bucket.count > 0).map_or(first, |last| last + 1);
    let mut shown: Vec<Bucket> = found.get(first..last).unwrap_or_default().to_vec();
    if unresolved > 0 {
        shown.insert(0, Bucket { bound: Bound::Unresolved(resolution), count: unresolved });
    }
    shown
}

/// Neighbours are put together, the emptiest first, until there is room for all.
fn fitted(mut buckets: Vec<Bucket>, room: usize) -> Vec<Bucket> {
    while buckets.len() > room && buckets.len() > 1 {
        let sum = |pair: &[Bucket]| pair.iter().map(|bucket| bucket.count).sum::<u64>();
        let keep_unresolved = |pair: &[Bucket]| matches!(pair, [Bucket { bound: Bound::Unresolved(_), .. }, _]);
        let Some((place, _)) =
            buckets.windows(2).enumerate().filter(|(_, pair)| !keep_unresolved(pair)).min_by_key(|(_, pair)| sum(pair))
        else {
            break;
        };
        let count = buckets.remove(place).count;
        if let Some(bucket) = buckets.get_mut(place) {
            bucket.count += count;
        }
    }
    buckets.truncate(room);
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(ms: u64, count: u64) -> Bucket {
        Bucket { bound: Bound::UpTo(Ns::from_millis(ms)), count }
    }

    #[test]
    fn putting_buckets_together_loses_nothing() {
        let all = vec![bucket(1, 5), bucket(2, 1), bucket(5, 2), bucket(10, 90), bucket(20, 3)];
        for room in 1..=5 {
            let fitted = fitted(all.clone(), room);
            assert_eq!(fitted.len(), room);
            assert_eq!(fitted.iter().map(|b| b.count).sum::<u64>(), 101);
            assert_eq!(fitted.last().map(|b| b.bound), Some(Bound::UpTo(Ns::from_millis(20))));
        }
        assert!(fitted(all, 0).is_empty());
    }

    #[test]
    fn every_interval_is_in_one_bucket() {
        let mut histogram = hdrhistogram::Histogram::<u32>::new_with_bounds(1, 3_600_000_000_000, 2).unwrap();
        for ns in [10, 300_000, 1_000_000, 4_990_000, 5_000_000, 5_200_000, 3_000_000_000] {
            histogram.saturating_record(ns);
        }
        let mut distribution = Distribution::empty(crate::model::snapshot::Source::Sampled, Ns::MILLISECOND);
        distribution.histogram = Some(std::sync::Arc::new(histogram));
        let found = buckets(&distribution);
        assert_eq!(found.iter().map(|b| b.count).sum::<u64>(), 7);
        assert_eq!(found.first().map(|b| (b.label(), b.count)), Some(("<1 ms".to_owned(), 2)));
        let five = found.iter().find(|b| b.bound == Bound::UpTo(Ns::from_millis(5))).map(|b| b.count);
        assert_eq!(five, Some(2));
        assert_eq!(found.last().map(|b| b.label()), Some("5 s".to_owned()));
    }
}
