//! What looking may cost the target, and what it has cost: one purse for all its threads and GILs. Purses of several
//! processes are filled from one pot.
//!
//! No second of the target may lose more than the budget. What cannot be bounded beforehand (a context switch that is
//! recorded) is counted when it is seen, and its instrument given up for a while where it has used the purse up; what
//! can be bounded (the hits of a watchpoint) is not begun unless the purse has it whole.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Costs, Spent};
use crate::time::{MonoNs, Ns};

/// Spendings closer together than this are kept as one.
const GRAIN: Ns = Ns(5_000_000);

/// Something that the target pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expense {
    /// Debug exceptions.
    Exceptions(u64),
    /// Switches of threads whose watchpoints are armed, off a core and on again.
    ArmedSwitches(u64),
    /// Switch records.
    Records(u64),
    /// Watchpoints armed and disarmed.
    Arms(u64),
    /// Records of the tracepoint of futex(2), and times that traced threads left a core.
    Traces(u64),
    /// Samples of registers and stacks.
    Samples(u64),
}

/// How often something has happened whose rate alone is known.
#[derive(Debug, Clone, Copy)]
pub struct Recurring {
    /// Counted up to here.
    until: MonoNs,
    /// What has not come to one yet, in billionths.
    rest: u64,
}

impl Recurring {
    /// Counted from `since` on.
    pub fn since(since: MonoNs) -> Recurring {
        Recurring { until: since, rest: 0 }
    }

    /// How often since it was asked last, at `rate` a second.
    pub fn count(&mut self, now: MonoNs, rate: u64) -> u64 {
        let parts = rate.saturating_mul(now.since(self.until).0).saturating_add(self.rest);
        self.until = self.until.max(now);
        self.rest = parts % Ns::SECOND.0;
        parts / Ns::SECOND.0
    }
}

/// What was spent within the last second.
#[derive(Debug, Default)]
struct LastSecond {
    /// Oldest first.
    recent: VecDeque<(MonoNs, Ns)>,
    sum: Ns,
}

impl LastSecond {
    fn spend(&mut self, now: MonoNs, cost: Ns) {
        self.forget(now);
        self.sum += cost;
        match self.recent.back_mut().filter(|(at, _)| now.since(*at) < GRAIN) {
            Some((_, last)) => *last += cost,
            None => self.recent.push_back((now, cost)),
        }
    }

    fn forget(&mut self, now: MonoNs) {
        while let Some((_, cost)) = self.recent.front().copied().filter(|(at, _)| now.since(*at) >= Ns::SECOND + GRAIN)
        {
            self.sum = self.sum.saturating_sub(cost);
            self.recent.pop_front();
        }
    }

    /// What it has left of `most`.
    fn left(&mut self, now: MonoNs, most: Ns) -> Ns {
        self.forget(now);
        most.saturating_sub(self.sum)
    }
}

/// What looking may cost several processes together in any second. All who look at one of them have the same.
#[derive(Debug, Clone)]
pub struct Pot {
    most: Ns,
    spent: Arc<Mutex<LastSecond>>,
}

impl Pot {
    /// A full one.
    pub fn new(most: Ns) -> Pot {
        Pot { most, spent: Arc::default() }
    }

    fn spent(&self) -> MutexGuard<'_, LastSecond> {
        // Sums are whole whatever happened to whoever held it.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of the budget of one process.
#[derive(Debug)]
pub struct Purse {
    costs: Costs,
    recent: LastSecond,
    spent: Spent,
    /// Its part of the budget, 0 to 1.
    part: f64,
    pot: Option<Pot>,
}

impl Purse {
    /// A full one.
    pub fn new(costs: Costs) -> Purse {
        Purse { costs, recent: LastSecond::default(), spent: Spent::default(), part: 1.0, pot: None }
    }

    /// The same, filled from a pot that others are filled from too.
    pub fn out_of(pot: Pot, costs: Costs) -> Purse {
        Purse { pot: Some(pot), ..Purse::new(costs) }
    }

    /// From here on it has this part of the budget, 0 to 1.
    pub fn have(&mut self, part: f64) {
        self.part = part.clamp(0.0, 1.0);
    }

    /// What things cost.
    pub fn costs(&self) -> &Costs {
        &self.costs
    }

    /// What any second may cost.
    pub fn budget(&self) -> Ns {
        Ns((self.costs.budget.0 as f64 * self.part) as u64)
    }

    /// They were measured. What was spent before is worth what it is known now to have cost.
    pub fn reprice(&mut self, now: MonoNs, costs: Costs) {
        self.costs = costs;
        let Spent { exceptions, armed_switches, records, arms, .. } = self.spent;
        let worth = [
            (exceptions, costs.exception),
            (armed_switches, costs.armed_switch),
            (records, costs.record),
            (arms, costs.arming),
        ]
        .iter()
        .fold(Ns::ZERO, |sum, (number, each)| sum + Ns(each.0.saturating_mul(*number)));
        let more = worth.saturating_sub(self.spent.cost);
        self.spend(now, more);
        self.spent.cost = worth;
    }

    /// What was spent since the beginning.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Notes an expense.
    pub fn pay(&mut self, now: MonoNs, expense: Expense) {
        let (number, each) = match expense {
            Expense::Exceptions(n) => {
                self.spent.exceptions += n;
                (n, self.costs.exception)
            }
            Expense::ArmedSwitches(n) => {
                self.spent.armed_switches += n;
                (n, self.costs.armed_switch)
            }
            Expense::Records(n) => {
                self.spent.records += n;
                (n, self.costs.record)
            }
            Expense::Arms(n) => {
                self.spent.arms += n;
                (n, self.costs.arming)
            }
            Expense::Samples(n) => (n, self.costs.sample()),
            Expense::Traces(n) => {
                self.spent.traces += n;
                (n, self.costs.trace)
            }
        };
        self.spend(now, Ns(each.0.saturating_mul(number)));
    }

    fn spend(&mut self, now: MonoNs, cost: Ns) {
        if cost == Ns::ZERO {
            return;
        }
        self.recent.spend(now, cost);
        if let Some(pot) = &self.pot {
            pot.spent().spend(now, cost);
        }
        self.spent.cost += cost;
        self.spent.worst_second = self.spent.worst_second.max(self.recent.sum);
    }

    /// What the second that ends at `now` has left.
    pub fn left(&mut self, now: MonoNs) -> Ns {
        let own = self.recent.left(now, self.budget());
        match &self.pot {
            Some(pot) => own.min(pot.spent().left(now, pot.most)),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(at: u64) -> MonoNs {
        MonoNs(at * 1_000_000)
    }

    #[test]
    fn a_time_at_a_low_rate_is_not_counted_at_a_later_higher_one() {
        let mut switches = Recurring::since(ms(0));
        assert_eq!((1..=2_000).map(|at| switches.count(ms(at), 0)).sum::<u64>(), 0);
        let ten = (2_001..=2_010).map(|at| switches.count(ms(at), 3_500)).sum::<u64>();
        assert_eq!(ten, 35, "ten milliseconds of it");
        assert_eq!((2_011..=3_010).map(|at| switches.count(ms(at), 3)).sum::<u64>(), 3, "rare ones add up");
    }

    #[test]
    fn a_second_has_one_budget_and_what_is_older_is_forgotten() {
        let costs = Costs { exception: Ns(10_000), budget: Ns::from_millis(20), ..Costs::ASSUMED };
        let mut purse = Purse::new(costs);
        for at in [0, 2, 400] {
            purse.pay(ms(at), Expense::Exceptions(500));
        }
        assert_eq!(purse.left(ms(401)), Ns::from_millis(5));
        assert_eq!(purse.left(ms(1_006)), Ns::from_millis(15), "the first two were as of 0");
        purse.pay(ms(1_010), Expense::Exceptions(2_000));
        assert_eq!(purse.left(ms(1_011)), Ns::ZERO);
        let spent = purse.spent();
        assert_eq!(
            (spent.exceptions, spent.cost, spent.worst_second),
            (3_500, Ns::from_millis(35), Ns::from_millis(25))
        );
    }

    #[test]
    fn several_have_a_part_each_and_never_more_than_there_is() {
        let costs = Costs { record: Ns(1_000), budget: Ns::from_millis(20), ..Costs::ASSUMED };
        let pot = Pot::new(Ns::from_millis(40));
        let mut purses: Vec<Purse> = (0..4).map(|_| Purse::out_of(pot.clone(), costs)).collect();
        assert_eq!(purses[0].left(ms(0)), Ns::from_millis(20), "the others have spent nothing");
        purses[0].have(0.5);
        purses[0].pay(ms(1), Expense::Records(8_000));
        assert_eq!((purses[0].budget(), purses[0].left(ms(1))), (Ns::from_millis(10), Ns::from_millis(2)));
        purses[1].pay(ms(2), Expense::Records(20_000));
        assert_eq!(purses[2].left(ms(3)), Ns::from_millis(12));
        purses[2].pay(ms(4), Expense::Records(12_000));
        assert_eq!((purses[0].left(ms(5)), purses[3].left(ms(5))), (Ns::ZERO, Ns::ZERO));
        assert_eq!(purses[3].left(ms(1_010)), Ns::from_millis(20));
    }

    #[test]
    fn what_was_bought_before_the_price_was_known_is_paid_for_too() {
        let mut purse = Purse::new(Costs { record: Ns(1_000), budget: Ns::from_millis(20), ..Costs::ASSUMED });
        purse.pay(ms(0), Expense::Records(5_000));
        purse.reprice(ms(50), Costs { record: Ns(3_000), ..*purse.costs() });
        assert_eq!(purse.left(ms(51)), Ns::from_millis(5));
        assert_eq!(purse.spent().cost, Ns::from_millis(15));
        assert_eq!(purse.left(ms(1_100)), Ns::from_millis(20));
        purse.reprice(ms(1_200), Costs { record: Ns(2_000), ..*purse.costs() });
        assert_eq!((purse.spent().cost, purse.left(ms(1_201))), (Ns::from_millis(10), Ns::from_millis(20)));
    }
}
