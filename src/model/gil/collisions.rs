//! The holder that runs into the mutex of whoever asks it to drop the GIL.
//!
//! A waiter whose time-out is over has `gil->mutex` while it asks, and until it sleeps again (`take_gil` in
//! Python/ceval_gil.c). A holder that is on a core sees the request within a microsecond, and `drop_gil` begins with that mutex:
//! so it sleeps on it, for 15 to 50 us, before it lets go. In switch records that looks like a release, and the
//! waiter's 20 us on a core like a take; told as such, every wait in a convoy would end 50 to 100 us early, and the holder
//! would seem to wait.

use super::tick::{Seen, Step};
use super::{GilAccount, Threads};
use crate::event::ThreadKey;
use crate::model::thread::{Stand, Standing};
use crate::time::Ns;

/// A collision that the tick before fell into is found at the next.
const ACROSS_THE_TICK: Ns = Ns(500_000);

/// Where more threads wait, each of which times out in every switch interval, none is looked for.
const MOST_WAITING: u32 = 64;

impl GilAccount {
    /// Finds the collisions between two ticks, and puts them down in the runs of those who collided.
    pub(super) fn find_collisions(&self, step: &Step, touched: &[ThreadKey], seen: Seen<'_>, threads: &mut Threads) {
        if self.waiting > MOST_WAITING {
            return;
        }
        let since = step.last.at - ACROSS_THE_TICK;
        let is_long = |stand: &Stand| {
            stand.standing == Standing::Waiting && step.tick.at.since(stand.open.start) >= self.switch_interval
        };
        let mut waiters: Vec<ThreadKey> = seen.woken.iter().chain(touched).copied().collect();
        waiters.retain(|key| threads.get(key).and_then(|thread| thread.standing(self.key)).is_some_and(is_long));
        waiters.sort_unstable();
        waiters.dedup();
        let mut holders: Vec<ThreadKey> =
            [step.last.holder(), self.dropper(), step.tick.holder()].into_iter().flatten().collect();
        holders.sort_unstable();
        holders.dedup();
        for waiter in waiters {
            let Some(thread) = threads.get(&waiter) else { continue };
            for time_out in thread.runs.time_outs(since, step.tick.at, self.switch_interval) {
                let others = holders.iter().filter(|key| **key != waiter);
                let mut collided = false;
                for key in others {
                    collided |= threads.get_mut(key).is_some_and(|thread| thread.runs.runs_into(&time_out));
                }
                if let Some(thread) = threads.get_mut(&waiter).filter(|_| collided) {
                    thread.runs.timed_out(&time_out);
                }
            }
        }
    }
}
