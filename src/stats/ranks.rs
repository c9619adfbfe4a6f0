//! The rank-sum test of Wilcoxon, Mann and Whitney, exact, and by inversion of it the interval for a ratio.
//!
//! The ratio is the median of the ratios of all pairs (Hodges and Lehmann, Ann. Math. Stat. 34, 1963, on logarithms), its
//! interval ends at two of them (Moses; see Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 4.3). Pairs
//! that are equal count against a difference: the test is valid with ties, and rejects "no change" just where the interval
//! excludes the ratio 1.

/// Most values of a side. More would add nothing but time.
pub const MOST: usize = 64;

/// Two sides of values that are not negative, by all their pairs.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// B over A, in order.
    ratios: Vec<f64>,
    null: Null,
}

impl Pairs {
    /// All pairs of values that are finite and not negative; `None` if a side has none, or more than [`MOST`].
    pub fn of(a: &[f64], b: &[f64]) -> Option<Pairs> {
        let fits = |side: &[f64]| (1..=MOST).contains(&side.len()) && side.iter().all(|v| v.is_finite() && *v >= 0.0);
        if !fits(a) || !fits(b) {
            return None;
        }
        let mut ratios: Vec<f64> = a.iter().flat_map(|a| b.iter().map(|b| ratio(*a, *b))).collect();
        ratios.sort_by(f64::total_cmp);
        Some(Pairs { ratios, null: Null::of(a.len(), b.len()) })
    }

    /// How many times A B is: 0 and infinity are possible, where one side has nothing.
    pub fn ratio(&self) -> f64 {
        let middle = self.ratios.len() / 2;
        match (self.ratios.get(middle.saturating_sub(1)), self.ratios.get(middle)) {
            (Some(low), Some(high)) if self.ratios.len().is_multiple_of(2) => {
                let mean = low.sqrt() * high.sqrt();
                if mean.is_nan() { 1.0 } else { mean }
            }
            (_, Some(middle)) => *middle,
            _ => 1.0,
        }
    }

    /// The probability that two sides that do not differ differ as much as these, in either direction.
    pub fn p_value(&self) -> f64 {
        let more = self.ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let less = self.ratios.iter().filter(|ratio| **ratio < 1.0).count();
        let short_of_all = self.ratios.len() - more.max(less);
        (2.0 * self.null.at_most(short_of_all)).min(1.0)
    }

    /// The ratios that the test at this level does not reject, from and to; `None`: so few values reject nothing.
    pub fn interval(&self, level: f64) -> Option<(f64, f64)> {
        let cut = self.null.rejected(level).checked_sub(1)?;
        Some((*self.ratios.get(cut)?, *self.ratios.get(self.ratios.len().checked_sub(1 + cut)?)?))
    }

    /// The smallest probability that so few values can come to.
    pub fn least(&self) -> f64 {
        (2.0 * self.null.at_most(0)).min(1.0)
    }
}

fn ratio(a: f64, b: f64) -> f64 {
    if a == b { 1.0 } else { b / a }
}

/// How many pairs of two sides that do not differ have the larger value in one of them: Mann and Whitney's U.
#[derive(Debug, Clone)]
struct Null {
    /// The probability of each number.
    probabilities: Vec<f64>,
}

impl Null {
    /// By the recursion of Mann and Whitney (Ann. Math. Stat. 18, 1947): the largest value of all is in A or in B.
    fn of(a: usize, b: usize) -> Null {
        // Of all numbers of A up to now, the distribution with so many of B.
        let mut with: Vec<Vec<f64>> = vec![vec![1.0]; b + 1];
        for of_a in 1..=a {
            let mut next: Vec<Vec<f64>> = Vec::with_capacity(b + 1);
            for of_b in 0..=b {
                let all = (of_a + of_b) as f64;
                let mut here = vec![0.0; of_a * of_b + 1];
                let largest_in_a = with.get(of_b).into_iter().flatten();
                for (sum, probability) in here.iter_mut().skip(of_b).zip(largest_in_a) {
                    *sum += of_a as f64 / all * probability;
                }
                let largest_in_b = of_b.checked_sub(1).and_then(|fewer| next.get(fewer)).into_iter().flatten();
                for (sum, probability) in here.iter_mut().zip(largest_in_b) {
                    *sum += of_b as f64 / all * probability;
                }
                next.push(here);
            }
            with = next;
        }
        Null { probabilities: with.pop().unwrap_or_default() }
    }

    fn at_most(&self, number: usize) -> f64 {
        self.probabilities.iter().take(number + 1).sum()
    }

    /// How many of the smallest numbers together, and as many of the largest, are no likelier than this.
    fn rejected(&self, level: f64) -> usize {
        let mut sum = 0.0;
        // Sums of thousands of terms are known to so much.
        let slack = 1.0 + 1e-9;
        self.probabilities
            .iter()
            .take_while(|probability| {
                sum += **probability;
                2.0 * sum <= level * slack
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_the_tabled_one() {
        // Of 5 and 5 the critical value of U at 0.05 is 2, of 8 and 8 it is 13, of 10 and 7 it is 14.
        for (a, b, critical) in [(5, 5, 2), (8, 8, 13), (10, 7, 14), (20, 20, 127)] {
            let null = Null::of(a, b);
            assert!((null.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!(null.rejected(0.05), critical + 1, "{a} and {b}");
        }
        assert!((Null::of(5, 5).at_most(0) - 1.0 / 252.0).abs() < 1e-15);
        assert_eq!(Null::of(3, 3).rejected(0.05), 0, "no three and three can show anything");
    }

    #[test]
    fn test_and_interval_agree_with_ties_and_without() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..2_000 {
            let mut side = |factor: f64| -> Vec<f64> {
                (0..random.usize(3..9)).map(|_| (random.f64() * 12.0 * factor).round()).collect()
            };
            let (a, b) = (side(1.0), side(1.6));
            let pairs = Pairs::of(&a, &b).unwrap();
            for level in [0.2, 0.05, 0.01] {
                let excludes = pairs.interval(level).is_some_and(|(from, to)| from > 1.0 || to < 1.0);
                assert_eq!(excludes, pairs.p_value() <= level * (1.0 + 1e-9), "{a:?} {b:?} {level}");
            }
        }
    }

    #[test]
    fn a_ratio_is_found_and_what_comes_of_nothing_has_none() {
        let pairs = Pairs::of(&[1.0, 1.1, 0.9, 1.05], &[2.0, 2.2, 1.8, 2.1]).unwrap();
        assert!((pairs.ratio() - 2.0).abs() < 0.05, "{}", pairs.ratio());
        assert_eq!(Pairs::of(&[0.0, 0.0], &[3.0, 4.0]).unwrap().ratio(), f64::INFINITY);
        assert_eq!(Pairs::of(&[3.0, 4.0], &[0.0, 0.0]).unwrap().ratio(), 0.0);
        assert_eq!(Pairs::of(&[0.0], &[0.0]).unwrap().ratio(), 1.0);
        assert!(Pairs::of(&[], &[1.0]).is_none() && Pairs::of(&[f64::NAN], &[1.0]).is_none());
    }

    #[test]
    fn the_interval_holds_the_ratio_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(11);
        let rounds = 2_000;
        let mut held = 0;
        for _ in 0..rounds {
            // Two regimes: no normal distribution.
            let mut run = |factor: f64| {
                let regime = if random.f64() < 0.3 { 4.0 } else { 1.0 };
                factor * regime * (1.0 + 0.1 * random.f64())
            };
            let a: Vec<f64> = (0..7).map(|_| run(1.0)).collect();
            let b: Vec<f64> = (0..7).map(|_| run(1.5)).collect();
            let (from, to) = Pairs::of(&a, &b).unwrap().interval(0.05).unwrap();
            held += u32::from((from..=to).contains(&1.5));
        }
        let share = f64::from(held) / f64::from(rounds);
        assert!((0.95..=0.985).contains(&share), "{share}: exact, so never below 95 %");
    }
}
