//! Time-outs: the spells in which a thread that waits asks for the GIL to be dropped, and the holder that runs into the
//! mutex which it has meanwhile.

use super::{LONG_RUN, Purpose, Run, Runs, Slept, is_a_time_out};
use crate::event::Departure;
use crate::time::{MonoNs, Ns};

/// The longest run after a time-out in which the GIL is asked for, and was not taken: 10 to 90 us were seen where the
/// holder ran into the mutex meanwhile, and had to be woken.
const ASKING_TO_DROP: Ns = Ns(150_000);
/// The longest run from getting the mutex to sleeping in `switch_cond`, or to being put off the core by whoever was woken:
/// 10 to 30 us were seen.
const LETTING_GO: Ns = Ns(60_000);
/// A thread that waits for the mutex around the GIL gets it so soon after whoever had it has gone to sleep.
const MUTEX_HANDED_OVER: Ns = Ns(100_000);
/// So long before it falls asleep, whoever sleeps on the GIL lets go of the mutex.
const MUTEX_LET_GO: Ns = Ns(20_000);

/// A spell in which a thread that waits can have asked for the GIL to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOut {
    /// When it woke up.
    pub from: MonoNs,
    /// When it slept again.
    pub asleep: MonoNs,
    /// When it woke up from that; `None`: it has not yet.
    pub woken: Option<MonoNs>,
}

impl Runs {
    /// Its spells between two instants in which it can have asked for the GIL to be dropped: after a sleep through `interval`,
    /// and before another. The oldest first.
    pub fn time_outs(&self, after: MonoNs, until: MonoNs, interval: Ns) -> Vec<TimeOut> {
        let Some(spells) = self.between(after - interval, until) else { return Vec::new() };
        let triples = spells.windows(2).enumerate().filter_map(|(index, pair)| {
            let slept = pair[1].from.since(pair[0].to?);
            let asleep = pair[1].to.filter(|_| pair[1].from > after && pair[1].on_core <= ASKING_TO_DROP)?;
            let woken = spells.get(index + 2).map(|next| next.from);
            is_a_time_out(slept, interval).then_some(TimeOut { from: pair[1].from, asleep, woken })
        });
        triples.collect()
    }

    /// Whether it had to sleep on the mutex around the GIL that it wanted to let go of, as whoever asked for that had the mutex
    /// still in its time-out: it fell asleep meanwhile, and woke up when that was over, before the other did again. It
    /// lets go only after that.
    pub fn runs_into(&mut self, time_out: &TimeOut) -> bool {
        let got_it = time_out.asleep - MUTEX_LET_GO..time_out.asleep + MUTEX_HANDED_OVER;
        let lets_go = |at: MonoNs| {
            let run = self.recent.iter().rev().find(|run| run.from == at);
            run.is_some_and(|run| run.to.since(run.from) <= LETTING_GO)
        };
        let mut sleeps = self.sleeps(time_out.from - LONG_RUN, got_it.end).filter(|(sleep, _)| {
            let held = sleep.before >= LONG_RUN;
            let meanwhile = time_out.from <= sleep.from && sleep.from <= time_out.asleep;
            let first = time_out.woken.is_none_or(|woken| sleep.until < woken);
            held && meanwhile && first && got_it.contains(&sleep.until) && lets_go(sleep.until)
        });
        let found = sleeps.next().map(|(sleep, _)| sleep.from);
        drop(sleeps);
        let Some(from) = found else { return false };
        let run = self.recent.iter_mut().rev().find(|run| run.to == from && run.how == Departure::Asleep);
        run.map(|run| run.slept = Slept::BeforeTheDrop).is_some()
    }

    /// It did not take the GIL then.
    pub fn timed_out(&mut self, time_out: &TimeOut) {
        let within = |run: &&mut Run| run.from >= time_out.from && run.to <= time_out.asleep;
        self.recent.iter_mut().filter(within).for_each(|run| run.purpose = Purpose::TimeOut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::runs::Spell;
    use crate::model::runs::tests::{INTERVAL, runs, us};

    /// The waiter times out at 5,000, has the mutex until 5,030, and sleeps again until it is let go of at 5,070.
    #[test]
    fn a_holder_that_runs_into_the_mutex_has_not_let_go_yet() {
        let mut waiter = runs(&[(0, 10), (5_050, 5_080), (5_150, 5_200)]);
        let time_out = waiter.time_outs(us(5_000), us(6_000), INTERVAL)[0];
        assert_eq!(time_out, TimeOut { from: us(5_050), asleep: us(5_080), woken: Some(us(5_150)) });
        let mut holder = runs(&[(0, 5_060), (5_095, 5_106), (5_180, 0)]);
        assert!(holder.runs_into(&time_out));
        let spell = holder.first_to_end(us(5_000), us(6_000)).unwrap();
        assert_eq!((spell.from, spell.to), (us(0), Some(us(5_106))), "it slept on the mutex, and held it until then");
        assert_eq!(holder.departures(us(5_000), us(6_000)).next(), Some((us(5_106), Departure::Asleep)));
        assert_eq!(holder.on_core(us(5_000), us(5_100)), Some(Ns(65_000)), "where it was is as before");
        let takes = |waiter: &Runs| -> Vec<bool> {
            waiter.between(us(5_020), us(6_000)).unwrap().iter().map(Spell::is_a_take).collect()
        };
        assert_eq!(takes(&waiter), [true, true]);
        waiter.timed_out(&time_out);
        assert_eq!(takes(&waiter), [false, true]);
        assert_eq!(waiter.wait_ended(us(10), us(4_000), us(0), us(6_000)), Some(us(5_150)));
    }

    #[test]
    fn a_holder_that_was_made_to_let_go_did_not_run_into_the_mutex() {
        let waiter = runs(&[(0, 10), (5_050, 5_080)]);
        let time_out = waiter.time_outs(us(5_000), us(6_000), INTERVAL)[0];
        // The waiter took it at once, and held it for 25 us; then the other has it again, and goes on.
        let mut holder = runs(&[(0, 5_060), (5_095, 0)]);
        assert!(!holder.runs_into(&time_out));
        let mut put_off = runs(&[(0, 5_060), (5_095, -5_106), (5_140, 0)]);
        assert!(put_off.runs_into(&time_out), "whoever was woken got its core");
        let mut asleep = runs(&[(0, 5_060), (5_095, 5_400)]);
        assert!(!asleep.runs_into(&time_out), "300 us are more than letting go takes");
        let mut other = runs(&[(0, 5_040), (5_095, 5_100)]);
        assert!(!other.runs_into(&time_out), "it slept before the waiter woke up");
        let woken = TimeOut { woken: Some(us(5_090)), ..time_out };
        let mut in_switch_cond = runs(&[(0, 5_060), (5_095, 5_106)]);
        assert!(!in_switch_cond.runs_into(&woken), "the waiter took it, and woke up whoever had dropped it");
        assert_eq!(runs(&[(0, 10), (3_000, 3_030)]).time_outs(us(0), us(6_000), INTERVAL), [], "it was woken");
    }
}
