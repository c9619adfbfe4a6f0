//! When to look.

use crate::time::{MonoNs, Ns};

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// As was asked for: the mean time between two looks.
    Asked(Ns),
    /// As often as pays.
    Suited,
}

/// What tells of the edges of waits between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Edges {
    /// The switches of all threads.
    BySwitches {
        /// The shortest switch interval in force.
        switch_interval: Ns,
        /// Handoffs a second.
        handoffs: f64,
    },
    /// Nothing but the looks.
    ByLooks,
}

impl Rate {
    /// The mean time between two looks. Where all switches are told, half as many find no less (a table in ARCHITECTURE.md
    /// has both), as long as two and a half fall into a switch interval, since a convoy wants two to be told, and three come
    /// to two handoffs: of several between two looks not everyone's part can be told.
    pub fn interval(self, edges: Edges) -> Ns {
        match (self, edges) {
            (Rate::Asked(interval), _) => interval,
            (Rate::Suited, Edges::ByLooks) => BY_LOOKS,
            (Rate::Suited, Edges::BySwitches { switch_interval, handoffs }) => {
                let calm = Ns(switch_interval.0 / 5 * 2).clamp(BY_LOOKS, BY_SWITCHES);
                let wanted = Ns((Ns::SECOND.0 as f64 / (LOOKS_A_HANDOFF * handoffs.max(1.0))) as u64);
                // In steps, or it would change all the time.
                let steps = std::iter::successors(Some(calm), |interval| Some(Ns(interval.0 / 2)));
                let mut steps = steps.take_while(|interval| *interval >= BUSIEST);
                steps.find(|interval| *interval <= wanted).unwrap_or(BUSIEST)
            }
        }
    }
}

/// How many handoffs there are of late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bustle {
    counted: Option<(MonoNs, u64)>,
    rate: f64,
}

impl Bustle {
    /// CPython has counted so many by now. More are believed at once, fewer by and by.
    pub fn count(&mut self, now: MonoNs, handoffs: u64) {
        let Some((before, counted)) = self.counted.replace((now, handoffs)) else { return };
        let length = now.since(before).as_secs_f64().max(f64::MIN_POSITIVE);
        let rate = handoffs.saturating_sub(counted) as f64 / length;
        self.rate = rate.max((self.rate * 3.0 + rate) / 4.0);
    }

    /// Handoffs a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

/// Instants on an absolute grid, each moved to a random place within its own cell.
///
/// One instant falls in every cell of one interval: the mean rate is exact, and no schedule of the target (the
/// 5 ms switch interval is one) can beat with it. The draws are seeded, so that a test can repeat them.
#[derive(Debug, Clone)]
pub struct Schedule {
    origin: MonoNs,
    interval: Ns,
    cell: u64,
    random: fastrand::Rng,
}

/// The next instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When to look.
    pub at: MonoNs,
    /// Instants that had passed before anybody asked: they are left out, never made up.
    pub skipped: u64,
}

/// Between two looks that nothing else completes.
const BY_LOOKS: Ns = Ns::MILLISECOND;
/// Between two looks where all switches are told.
const BY_SWITCHES: Ns = Ns::from_millis(2);
/// The same while the GIL goes from hand to hand.
const BUSIEST: Ns = Ns(250_000);
const LOOKS_A_HANDOFF: f64 = 1.5;
/// Shortest interval: 50 kHz.
pub const SHORTEST: Ns = Ns(20_000);
/// Longest interval: one look a second.
pub const LONGEST: Ns = Ns::SECOND;
/// A wake-up by timer takes 20 to 60 us on an idle machine.
const LEAST_TOLERANCE: Ns = Ns(100_000);

impl Schedule {
    /// A schedule that begins at `origin`.
    pub fn new(origin: MonoNs, interval: Ns, seed: u64) -> Schedule {
        Schedule {
            origin,
            interval: interval.clamp(SHORTEST, LONGEST),
            cell: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The mean time between two instants.
    pub fn interval(&self) -> Ns {
        self.interval
    }

    /// From `now` on, another interval.
    pub fn change(&mut self, now: MonoNs, interval: Ns) {
        self.origin = now;
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self.cell = 0;
    }

    /// The next instant that is not yet over at `now`.
    pub fn next(&mut self, now: MonoNs) -> Due {
        let reached = now.since(self.origin).0 / self.interval.0;
        let mut skipped = reached.saturating_sub(self.cell);
        self.cell = self.cell.max(reached);
        loop {
            let start = self.origin + Ns(self.cell.saturating_mul(self.interval.0));
            let at = start + Ns(self.random.u64(0..self.interval.0));
            self.cell += 1;
            if at >= now {
                return Due { at, skipped };
            }
            skipped += 1;
        }
    }

    /// How long after its instant a look still counts as taken at that instant
    /// ([`Punctuality`](crate::instruments::Punctuality)).
    pub fn tolerance(&self) -> Ns {
        Ns(self.interval.0 / 4).max(LEAST_TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_instant_falls_in_every_cell() {
        let mut schedule = Schedule::new(MonoNs(1_000), Ns::MILLISECOND, 7);
        let mut now = MonoNs(1_000);
        for cell in 0..10_000u64 {
            let due = schedule.next(now);
            let start = 1_000 + cell * 1_000_000;
            assert!((start..start + 1_000_000).contains(&due.at.0), "cell {cell}: {due:?}");
            assert_eq!(due.skipped, 0);
            now = due.at;
        }
    }

    #[test]
    fn places_within_the_cells_are_spread_evenly() {
        let mut schedule = Schedule::new(MonoNs(0), Ns::MILLISECOND, 1);
        let mut tenths = [0u32; 10];
        let mut now = MonoNs(0);
        for _ in 0..10_000 {
            let due = schedule.next(now);
            tenths[(due.at.0 % 1_000_000 / 100_000) as usize] += 1;
            now = due.at;
        }
        for tenth in tenths {
            assert!((850..1150).contains(&tenth), "{tenths:?}");
        }
    }

    #[test]
    fn what_was_missed_is_skipped_and_counted() {
        let mut schedule = Schedule::new(MonoNs(0), Ns::MILLISECOND, 3);
        assert_eq!(schedule.next(MonoNs(0)).skipped, 0);
        let due = schedule.next(MonoNs(10_400_000));
        assert!((9..=10).contains(&due.skipped), "{due:?}");
        assert!((10_400_000..12_000_000).contains(&due.at.0), "{due:?}");
    }

    #[test]
    fn who_did_not_ask_for_a_rate_gets_the_one_that_pays() {
        let told = |ms| Edges::BySwitches { switch_interval: Ns::from_millis(ms), handoffs: 100.0 };
        let suited = [Edges::ByLooks, told(5), told(4), told(1), told(100)].map(|edges| Rate::Suited.interval(edges));
        assert_eq!(suited, [1_000_000, 2_000_000, 1_600_000, 1_000_000, 2_000_000].map(Ns));
        assert_eq!(Rate::Asked(Ns(300_000)).interval(told(5)), Ns(300_000));
        let busy = |handoffs| Edges::BySwitches { switch_interval: Ns::from_millis(5), handoffs };
        let suited = [0.0, 300.0, 350.0, 800.0, 1e9, f64::NAN].map(|handoffs| Rate::Suited.interval(busy(handoffs)));
        assert_eq!(suited, [2_000_000, 2_000_000, 1_000_000, 500_000, 250_000, 2_000_000].map(Ns));
    }

    #[test]
    fn more_handoffs_are_believed_at_once_and_fewer_by_and_by() {
        let mut bustle = Bustle::default();
        let mut told = |ms: u64, counted| {
            bustle.count(MonoNs(ms * 1_000_000), counted);
            bustle.rate().round()
        };
        assert_eq!(told(1_000, 7_000), 0.0, "those of before are not of late");
        assert_eq!(told(1_250, 7_250), 1_000.0);
        assert_eq!([told(1_500, 7_250), told(1_750, 7_250)], [750.0, 563.0]);
        assert_eq!(told(2_000, 0), 422.0, "another GIL counts anew");
    }

    #[test]
    fn absurd_rates_are_clamped() {
        assert_eq!(Schedule::new(MonoNs(0), Ns(0), 0).interval(), SHORTEST);
        assert_eq!(Schedule::new(MonoNs(0), Ns(u64::MAX), 0).interval(), LONGEST);
    }
}
