//! When to send the next signal.

use crate::time::Ns;

/// Draws the pauses between signals: at random, so that they fall into every state of the program by its share of the
/// time, and never into what the signal before has stirred up.
///
/// A pause is at least three times the longest delay so far, and beyond that exponential: then the instants of
/// sending are those of a Poisson process outside of the times that are left out (Wolff, "Poisson Arrivals See Time Averages",
/// Operations Research 30(2), 1982).
#[derive(Debug, Clone)]
pub struct Pace {
    mean: Ns,
    longest: Ns,
    random: fastrand::Rng,
}

/// The pause is at least this many times the longest delay.
const APART: u64 = 3;
/// However long that is, no pause is longer than this plus the random part.
const LONGEST_REST: Ns = Ns(10_000_000_000);

impl Pace {
    /// With random parts of `mean` on average.
    pub fn new(mean: Ns, seed: u64) -> Pace {
        Pace { mean, longest: Ns::ZERO, random: fastrand::Rng::with_seed(seed) }
    }

    /// It took so long until a signal was handled.
    pub fn took(&mut self, delay: Ns) {
        self.longest = self.longest.max(delay);
    }

    /// The next pause.
    pub fn pause(&mut self) -> Ns {
        let rest = Ns(self.longest.0.saturating_mul(APART)).min(LONGEST_REST);
        // 1 - f64() is never 0.
        let drawn = -(1.0 - self.random.f64()).ln() * self.mean.0 as f64;
        rest + Ns(drawn as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_exponential_beyond_a_rest() {
        let mut pace = Pace::new(Ns::from_millis(100), 3);
        pace.took(Ns::from_millis(20));
        pace.took(Ns::from_millis(5));
        let mut pauses: Vec<u64> = (0..20_000).map(|_| pace.pause().0).collect();
        pauses.sort_unstable();
        let rest = 60_000_000.0;
        assert!(pauses[0] as f64 >= rest);
        let mean = pauses.iter().sum::<u64>() as f64 / pauses.len() as f64 - rest;
        let median = pauses[pauses.len() / 2] as f64 - rest;
        assert!((mean / 1e8 - 1.0).abs() < 0.03, "{mean}");
        assert!((median / mean - std::f64::consts::LN_2).abs() < 0.03, "{median}");
    }

    #[test]
    fn a_delay_without_end_does_not_stop_it() {
        let mut pace = Pace::new(Ns::MILLISECOND, 1);
        pace.took(Ns(u64::MAX));
        assert!(pace.pause() <= LONGEST_REST + Ns::SECOND);
    }
}
