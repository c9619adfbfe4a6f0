//! When to look: at random, and no more often than this may cost.

use crate::time::{MonoNs, Ns};

/// Mean time between two instants.
const EVERY: Ns = Ns(12_000_000);
/// The longest that it gets.
const LONGEST: Ns = Ns::SECOND;
/// Share of a core that the looks may use before there are fewer.
const SHARE: f64 = 0.02;
/// Time over which that share is measured.
const WINDOW: Ns = Ns(500_000_000);

/// The instants of a Poisson process: at each the next is as far away as at any other, whatever the target does.
#[derive(Debug)]
pub(super) struct Pace {
    every: Ns,
    /// The least that it may be.
    least: Ns,
    due: MonoNs,
    from: Option<(MonoNs, Ns)>,
    random: fastrand::Rng,
}

impl Pace {
    pub(super) fn new(seed: u64) -> Pace {
        Pace { every: EVERY, least: EVERY, due: MonoNs(0), from: None, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next instant after `now`, and the mean time between two.
    pub(super) fn next(&mut self, now: MonoNs) -> (MonoNs, Ns) {
        // What has passed while another was looked at is left out, never made up.
        loop {
            let draw = -(1.0 - self.random.f64()).ln();
            self.due = self.due.max(now - LONGEST) + Ns((self.every.0 as f64 * draw) as u64);
            if self.due >= now {
                return (self.due, self.every);
            }
        }
    }

    /// From here on instants are so many times as far apart as they would be at least.
    pub(super) fn slow(&mut self, times: u32) {
        self.least = Ns(EVERY.0.saturating_mul(u64::from(times.max(1)))).min(LONGEST);
        self.every = self.least;
        self.due = MonoNs(0);
    }

    /// What has been used up to here is not counted.
    pub(super) fn forget(&mut self, now: MonoNs, cpu: Ns) {
        self.from = Some((now, cpu));
    }

    /// Keeps to the share of a core: `cpu` is what this thread has used by `now`.
    pub(super) fn adapt(&mut self, now: MonoNs, cpu: Ns) {
        let (from, before) = *self.from.get_or_insert((now, cpu));
        let length = now.since(from);
        if length < WINDOW {
            return;
        }
        self.from = Some((now, cpu));
        let share = cpu.saturating_sub(before).share_of(length).unwrap_or(0.0);
        if share > SHARE {
            self.every = Ns((self.every.0 as f64 * (share / SHARE).min(4.0)) as u64).min(LONGEST);
        } else if share < SHARE / 2.0 {
            self.every = Ns((self.every.0 as f64 * 0.8) as u64).max(self.least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_as_far_apart_as_is_said_and_keep_to_no_rhythm() {
        let mut pace = Pace::new(1);
        let (mut now, mut gaps) = (MonoNs(5_000_000_000), Vec::new());
        for _ in 0..20_000 {
            let (due, every) = pace.next(now);
            assert_eq!(every, EVERY);
            gaps.push(due.since(now).0 as f64);
            now = due;
        }
        let mean = gaps[1..].iter().sum::<f64>() / (gaps.len() - 1) as f64;
        let spread = gaps[1..].iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (gaps.len() - 1) as f64;
        // Of an exponential distribution the standard deviation is the mean.
        assert!((mean / EVERY.0 as f64 - 1.0).abs() < 0.05, "{mean}");
        assert!((spread.sqrt() / mean - 1.0).abs() < 0.05, "{spread}");
    }

    #[test]
    fn costly_looks_become_fewer_and_recover() {
        let mut pace = Pace::new(1);
        let (mut now, mut cpu) = (MonoNs(0), Ns::ZERO);
        pace.adapt(now, cpu);
        for _ in 0..4 {
            now = now + WINDOW;
            cpu += Ns(WINDOW.0 / 10);
            pace.adapt(now, cpu);
        }
        assert!(pace.every > Ns(EVERY.0 * 4), "{:?}", pace.every);
        for _ in 0..100 {
            now = now + WINDOW;
            pace.adapt(now, cpu);
        }
        assert_eq!(pace.every, EVERY);
    }
}
