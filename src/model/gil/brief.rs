//! Waits that began and ended between two ticks, so that no sample fell into them.

use std::collections::BTreeMap;

use super::tick::{Seen, Step};
use super::{GilAccount, Threads};
use crate::event::ThreadKey;
use crate::model::runs::{Sleep, Spell};
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// Whoever lets go of the GIL while somebody waits wakes that thread, and goes to sleep itself soon after: in
/// `switch_cond`, or in the call that it released the GIL for.
pub(super) const RELEASE_BEFORE_WAKING: Ns = Ns(100_000);
/// The one that is woken may be on a core before the other is off its own.
pub(super) const RELEASE_AFTER_WAKING: Ns = Ns(40_000);

/// What switches tell of a thread that did not wait at the tick before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brief {
    /// It waited, and took the GIL.
    Waited(Sleep),
    /// It was woken, but another was faster: it waits, since then.
    Waits(MonoNs),
}

impl GilAccount {
    /// The waits of threads that did not wait at the tick before, as far as they ended before this one.
    ///
    /// Followed from hand to hand: whoever holds the GIL lets go of it when it falls asleep, and who wakes up just then
    /// after a sleep that had begun before has waited for it. CPython's count says how many handoffs there were.
    /// Where the switches of one thread are not told it may have been the taker, whoever else woke up just then, so
    /// that nothing follows. `mine` tells whether a thread takes this GIL.
    pub(super) fn brief_waits(
        &self,
        step: &Step,
        seen: Seen<'_>,
        threads: &Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) -> BTreeMap<ThreadKey, Brief> {
        let mut found = BTreeMap::new();
        let woken = seen.woken;
        if !seen.told.covers(step.last.at) {
            return found;
        }
        let in_hand = step.last.is_held() || step.last.sample.waiters.is_some_and(|waiters| waiters > 0);
        let Some(mut holder) = step.last.holder().or(self.owner).filter(|_| in_hand && step.handoffs > 0) else {
            return found;
        };
        let mut sleeps: BTreeMap<ThreadKey, Vec<(Sleep, Spell)>> = BTreeMap::new();
        for key in woken {
            if let Some(thread) = threads.get(key).filter(|thread| mine(thread)) {
                sleeps.entry(*key).or_insert_with(|| {
                    let mut own: Vec<_> = thread.runs.sleeps(self.before_last, step.tick.at).collect();
                    own.reverse();
                    own
                });
            }
        }
        // In `switch_cond`, whoever let go of it is woken by the next take, and does not wait.
        let mut released_by: BTreeMap<ThreadKey, MonoNs> = BTreeMap::new();
        let mut began = None;
        let mut since = step.last.at - RELEASE_AFTER_WAKING;
        for _ in 0..step.handoffs.min(woken.len() as u64) {
            let spell = threads.get(&holder).and_then(|thread| thread.runs.first_to_end(since, step.tick.at));
            let Some((spell, released)) = spell.and_then(|spell| spell.to.map(|to| (spell, to))) else { break };
            // Whoever fell asleep before all this began did not find the GIL held.
            let began = *began.get_or_insert(spell.from - RELEASE_AFTER_WAKING);
            released_by.insert(holder, released);
            let mut next: Option<(MonoNs, ThreadKey, Sleep)> = None;
            for (key, own) in sleeps.iter().filter(|(key, _)| **key != holder) {
                let not_before = released_by.get(key).copied().unwrap_or(began);
                match woken_by(released, not_before, own) {
                    Some((sleep, true)) if next.is_none_or(|(until, ..)| sleep.until < until) => {
                        next = Some((sleep.until, *key, sleep));
                    }
                    Some((sleep, false)) if self.did_not_wait(key, threads) => {
                        found.entry(*key).or_insert(Brief::Waits(sleep.from));
                    }
                    _ => {}
                }
            }
            let Some((until, key, sleep)) = next else { break };
            if self.did_not_wait(&key, threads) {
                found.insert(key, Brief::Waited(sleep));
            }
            (holder, since) = (key, until);
        }
        found
    }

    fn did_not_wait(&self, key: &ThreadKey, threads: &Threads) -> bool {
        let stand = threads.get(key).and_then(|thread| thread.standing(self.key));
        stand.is_none_or(|stand| stand.standing != Standing::Waiting)
    }
}

/// The sleep out of which a thread was woken when the GIL was let go of at `released`, and whether it took it; on the
/// way it may have gone to sleep again for some microseconds, on the mutex around the GIL. A sleep from `not_before` or earlier is not
/// for the GIL: its own release put it into `switch_cond`, or the GIL was not held then.
fn woken_by(released: MonoNs, not_before: MonoNs, sleeps: &[(Sleep, Spell)]) -> Option<(Sleep, bool)> {
    let earliest = released - RELEASE_AFTER_WAKING;
    let mut woken = sleeps.iter().filter(|(sleep, _)| sleep.until >= earliest && sleep.from > not_before);
    let (first, spell) = woken.next()?;
    if !first.may_follow_asking() || first.from >= released || first.until > released + RELEASE_BEFORE_WAKING {
        return None;
    }
    let took = |spell: &Spell| spell.to.is_none() || spell.is_a_take();
    if took(spell) {
        return Some((*first, true));
    }
    match woken.next() {
        Some((last, spell)) if took(spell) => Some((Sleep { until: last.until, ..*first }, true)),
        _ => Some((*first, false)),
    }
}
