//! What named sleeps settle: waits that no tick fell into, takes between two waits, and edges that need no guess.

use std::collections::BTreeMap;

use super::{GilAccount, Seen, Step, Threads};
use crate::event::ThreadKey;
use crate::model::runs::{NamedWait, Spell};
use crate::model::thread::{Standing, ThreadAccount};
use crate::time::MonoNs;

/// A thread's waits between two ticks, where all its sleeps are named.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    /// When the wait ended that it was in at the tick before.
    pub(super) ended: Option<MonoNs>,
    /// Waits that it was in at neither tick.
    pub(super) whole: Vec<NamedWait>,
    /// When the wait began that it is in at the tick.
    pub(super) began: Option<MonoNs>,
}

impl GilAccount {
    /// Of the threads that have moved, or whose standing has: those whose sleeps are all named.
    pub(super) fn named(
        &self,
        step: &Step,
        touched: &[ThreadKey],
        seen: Seen<'_>,
        threads: &Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) -> BTreeMap<ThreadKey, Named> {
        let concerned = seen.woken.iter().chain(touched);
        concerned
            .filter_map(|key| {
                let thread = threads.get(key).filter(|thread| thread.runs.is_named() && mine(thread))?;
                Some((*key, self.named_of(step, *key, thread)?))
            })
            .collect()
    }

    fn named_of(&self, step: &Step, key: ThreadKey, thread: &ThreadAccount) -> Option<Named> {
        let (last, tick) = (step.last.at, step.tick.at);
        let mut waits = thread.runs.named_waits(self.key, last, tick)?;
        let mut named = Named::default();
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
        named.whole = waits;
        named.whole.retain(|wait| wait.until.is_some() && wait.is_for_the_gil());
        // A run of some tens of microseconds between two sleeps on the GIL may be a lost race: it is a take only if the
        // count has one for it, and one for whoever took it meanwhile.
        let own = named.whole.len() as u64 + u64::from(named.ended.is_some());
        let others = if waits_now { own } else { own.saturating_sub(1) };
        (step.handoffs >= own + others).then_some(named)
    }
}

impl Named {
    /// How often it has taken the GIL and lost it again, of which no tick tells.
    pub(super) fn takes(&self) -> u64 {
        u64::from(self.between().is_some()) + self.whole.len() as u64
    }

    /// When it fell asleep for the first of them that it was not in at the tick before.
    pub(super) fn asked(&self) -> Option<MonoNs> {
        self.whole.first().map(|wait| wait.from).or(self.began)
    }

    /// From the end of the wait that it was in to the beginning of that which it is in.
    pub(super) fn between(&self) -> Option<Spell> {
        self.ended.zip(self.began).map(|(from, to)| Spell::between(from, to))
    }
}
