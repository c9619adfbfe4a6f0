//! How many hits a window may have, and how they are divided among the threads.

use crate::instruments::purse::Purse;
use crate::time::{MonoNs, Ns};

/// Hits that each word of each thread is given at least.
const LEAST: u64 = 2;
/// A window with fewer hits than this, beyond what each thread gets, tells too little to be worth arming for.
const WORTHWHILE: u64 = 48;
/// While a full purse would open a window of so many hits, windows need not wait for it to fill.
const PORTION: f64 = 0.1;
/// How long to wait for the purse to fill before asking again.
const LATER: Ns = Ns(4_000_000);

/// What a window is needed for.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Threads to be armed.
    pub threads: usize,
    /// Words watched in each.
    pub words: usize,
    /// Hits of one word that a thread's ring has room for.
    pub most_a_word: u32,
    /// How often the threads leave a core, a second.
    pub switch_rate: u64,
    /// 0 to 1, at random: how full the purse has to be, so that windows do not beat with what recurs in the target.
    pub patience: f64,
}

/// The hits of a window.
#[derive(Debug, Clone, Copy)]
pub struct Credit {
    /// Beyond what each word of each thread gets, for each of the words.
    spare: u64,
    most_a_word: u32,
    arms: u64,
}

impl Credit {
    /// As many hits as the purse has money for: all of them together never cost more. `Err`: later;
    /// `None`: not even a full purse would do.
    pub fn ask(need: &Need, now: MonoNs, purse: &mut Purse) -> Option<Result<Credit, Ns>> {
        let costs = *purse.costs();
        let words = need.words.max(1) as u64;
        let watchpoints = need.threads as u64 * words;
        // Who sleeps does not notice that it is armed: those pay that are on a core, hardly ever more than two threads.
        let arms = watchpoints.min(2 * words);
        // What is not bounded by the hits: a second of it is kept back.
        let reserve = Ns(need.switch_rate.saturating_mul(2 * costs.record.0 + costs.armed_switch.0))
            + Ns(arms.saturating_mul(costs.arming.0));
        let hits = |money: Ns| money.saturating_sub(reserve).0 / costs.exception.0.max(1);
        let least = watchpoints * LEAST + WORTHWHILE;
        let most = hits(purse.budget());
        if most < least {
            return None;
        }
        let wanted = least.max((most as f64 * PORTION * (0.5 + need.patience)) as u64);
        let there = hits(purse.left(now));
        if there < wanted {
            return Some(Err(LATER));
        }
        let spare = there.saturating_sub(watchpoints * LEAST) / words;
        Some(Ok(Credit { spare, most_a_word: need.most_a_word, arms }))
    }

    /// The hits for each word of a thread that had `busy` of `all` hits of late.
    pub fn share(&self, busy: u64, all: u64) -> u32 {
        let part = u128::from(self.spare) * u128::from(busy) / u128::from(all.max(busy).max(1));
        u32::try_from(part).unwrap_or(u32::MAX).saturating_add(LEAST as u32).min(self.most_a_word)
    }

    /// Watchpoints whose arming the target notices.
    pub fn arms(&self) -> u64 {
        self.arms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Costs;
    use crate::instruments::purse::Expense;

    const NEED: Need = Need { threads: 4, words: 2, most_a_word: 300, switch_rate: 0, patience: 0.5 };

    #[test]
    fn a_purse_that_is_empty_fills_and_a_thousand_threads_may_be_too_many() {
        let mut purse = Purse::new(Costs::ASSUMED);
        assert!(matches!(Credit::ask(&NEED, MonoNs(0), &mut purse), Some(Ok(_))));
        purse.pay(MonoNs(0), Expense::Exceptions(1_660));
        assert!(matches!(Credit::ask(&NEED, MonoNs(1), &mut purse), Some(Err(_))));
        assert!(matches!(Credit::ask(&NEED, MonoNs(2_000_000_000), &mut purse), Some(Ok(_))));
        assert!(Credit::ask(&Need { threads: 1_000, ..NEED }, MonoNs(3_000_000_000), &mut purse).is_none());
    }

    proptest! {
        #[test]
        fn a_window_never_costs_more_than_the_purse_has(
            spent in 0u64..2_000,
            busy in proptest::collection::vec(0u64..1_000, 1..40),
            switch_rate in 0u64..10_000,
            patience in 0.0f64..1.0,
        ) {
            let mut purse = Purse::new(Costs::ASSUMED);
            purse.pay(MonoNs(0), Expense::Exceptions(spent));
            let need = Need { threads: busy.len(), switch_rate, patience, ..NEED };
            let Some(Ok(credit)) = Credit::ask(&need, MonoNs(1), &mut purse) else { return Ok(()) };
            let all: u64 = busy.iter().map(|busy| busy + 1).sum();
            let hits: u64 = busy.iter().map(|busy| 2 * u64::from(credit.share(busy + 1, all))).sum();
            let cost = Ns(hits * Costs::ASSUMED.exception.0 + credit.arms() * Costs::ASSUMED.arming.0);
            prop_assert!(cost <= purse.left(MonoNs(1)), "{hits} hits");
            prop_assert!(busy.iter().all(|busy| credit.share(busy + 1, all) >= LEAST as u32));
        }
    }
}
