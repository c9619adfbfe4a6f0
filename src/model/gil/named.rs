//! What named sleeps settle: waits that no tick fell into, takes between two waits, and edges that need no guess.

use std::collections::BTreeMap;

use super::GilAccount;
use super::settled::{Settled, Wait};
use super::tick::{Gathered, Step};
use crate::event::ThreadKey;
use crate::model::thread::{Standing, ThreadAccount};

impl GilAccount {
    /// Of the threads that have moved, or whose standing has: those whose sleeps are all named.
    pub(super) fn named(&self, gathered: &Gathered<'_>) -> BTreeMap<ThreadKey, Settled> {
        let Gathered { step, touched, seen, threads, mine } = *gathered;
        let concerned = seen.woken.iter().chain(touched);
        concerned
            .filter_map(|key| {
                let thread = threads.get(key).filter(|thread| thread.runs.is_named() && mine(thread))?;
                Some((*key, self.named_of(step, *key, thread)?))
            })
            .collect()
    }

    fn named_of(&self, step: &Step, key: ThreadKey, thread: &ThreadAccount) -> Option<Settled> {
        let (last, tick) = (step.last.at, step.tick.at);
        let mut waits = thread.runs.named_waits(self.key, last, tick)?;
        let mut named = Settled::default();
        let stood = thread.standing(self.key).filter(|stand| stand.standing == Standing::Waiting);
        let waits_now = self.standing_at(&step.tick, key) == Some(Standing::Waiting);
        // What ended before the tick before is settled.
        let from = stood.map_or(last, |stand| stand.open.start);
        waits.retain(|wait| {
            wait.until
                .is_none_or(|until| until > from && (stood.is_none() || wait.done.is_none_or(|done| done >= last)))
        });
        if waits_now && waits.last().is_some_and(|wait| !wait.is_over()) {
            named.began = waits.pop().map(|wait| wait.from);
            if waits.is_empty() && stood.is_some() {
                // It goes on.
                named.began = None;
            }
        } else if waits_now {
            // It fell asleep between the tick and the look at where it sleeps.
            named.began = Some(tick);
        }
        if stood.is_some() && !waits.is_empty() {
            named.ended = waits.remove(0).until;
        }
        let waits = waits.iter().filter(|wait| wait.is_for_the_gil());
        named.whole = waits.filter_map(|wait| Some(Wait { from: wait.from, until: wait.until? })).collect();
        // A run of some tens of microseconds between two sleeps on the GIL may be a lost race: it is a take only if the
        // count has one for it, and one for whoever took it meanwhile.
        let own = named.whole.len() as u64 + u64::from(named.ended.is_some());
        let others = if waits_now { own } else { own.saturating_sub(1) };
        (step.handoffs >= own + others).then_some(named)
    }
}
