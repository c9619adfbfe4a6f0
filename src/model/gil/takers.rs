//! Who took the GIL between two ticks and lost it again, so that nobody saw it hold.

use std::collections::BTreeMap;

use super::follow::Move;
use super::settled::Settled;
use super::tick::Step;
use super::{GilAccount, Threads};
use crate::event::ThreadKey;
use crate::model::runs::Spell;
use crate::model::thread::Standing;
use crate::time::Ns;

/// Time on a core that one time-out of a wait explains: 2 to 5 us, and the switch.
const TIME_OUT_ON_CPU: Ns = Ns(7_000);

/// Time on a core beyond time-outs by which a thread that has taken the GIL and lost it again between two ticks
/// differs from one that only timed out: a take with even an empty hold runs on through the eval loop and another
/// request, 20 us and more.
const TAKE_ON_CPU: Ns = Ns(12_000);

impl GilAccount {
    /// Threads that wait at both ticks, but have taken the GIL and lost it again between them.
    ///
    /// The count of handoffs tells how many takers nobody saw. A thread is one of them if it has used a core for
    /// longer than time-outs of its wait explain; where more threads have, those that used it longest. Whose waits are
    /// settled is one of them for certain, or is not.
    pub(super) fn takers_unseen(
        &self,
        step: &Step,
        moves: &[Move],
        read: &[ThreadKey],
        settled: &BTreeMap<ThreadKey, Settled>,
        threads: &Threads,
    ) -> Vec<(ThreadKey, Option<Spell>)> {
        let left_a_wait = |moved: &&Move| {
            moved.from == Some(Standing::Waiting) && matches!(moved.to, None | Some(Standing::HandingOver))
        };
        let seen = u64::from(step.tick.is_held()) + moves.iter().filter(left_a_wait).count() as u64;
        // What is settled need not be guessed.
        let sure: Vec<_> = settled.iter().filter_map(|(key, settled)| Some((*key, Some(settled.between()?)))).collect();
        let seen = seen + settled.values().map(Settled::takes).sum::<u64>();
        let unseen = usize::try_from(step.handoffs.saturating_sub(seen)).unwrap_or(usize::MAX);
        if unseen == 0 {
            return sure;
        }
        let longest = step.tick.at.since(step.last.at) + Ns::SECOND;
        let waits_on = |key: &ThreadKey| {
            let thread = threads.get(key)?;
            let waited = thread.standing(self.key)?.standing == Standing::Waiting;
            let waits = self.standing_at(&step.tick, *key) == Some(Standing::Waiting);
            (waited && waits).then_some(thread)
        };
        let mut spells: Vec<(Ns, ThreadKey, Spell)> = self
            .relations
            .keys()
            .filter(|key| !settled.contains_key(key))
            .filter_map(|key| {
                let spell = waits_on(key)?.runs.take_between(step.last.at, step.tick.at)?;
                Some((spell.on_core, *key, spell))
            })
            .collect();
        spells.sort_unstable_by_key(|(on_core, key, _)| std::cmp::Reverse((*on_core, *key)));
        let told = |key: &ThreadKey| threads.get(key).is_some_and(|thread| thread.runs.covers(step.last.at));
        let mut ran: Vec<(Ns, ThreadKey)> = read
            .iter()
            .filter(|key| !told(key))
            .filter_map(|key| {
                let thread = threads.get(key)?;
                let waited = thread.standing(self.key)?.standing == Standing::Waiting;
                let waits = self.standing_at(&step.tick, *key) == Some(Standing::Waiting);
                let usage = thread.step_at(step.tick.at).filter(|usage| waited && waits && usage.over <= longest)?;
                let time_outs_at_least = usage.over.0 / self.switch_interval.0.max(1);
                // Who took it was woken for it, and once more to ask again: that makes up for a time-out it did not have.
                if usage.timeslices <= time_outs_at_least {
                    return None;
                }
                let time_outs = (time_outs_at_least + 1).min(usage.timeslices);
                let explained = Ns(TIME_OUT_ON_CPU.0.saturating_mul(time_outs));
                let beyond = usage.on_cpu.saturating_sub(explained);
                (beyond >= TAKE_ON_CPU).then_some((beyond, *key))
            })
            .collect();
        ran.sort_unstable_by(|a, b| b.cmp(a));
        ran.dedup();
        let spells = spells.into_iter().map(|(_, thread, spell)| (thread, Some(spell)));
        let guessed = spells.chain(ran.into_iter().map(|(_, thread)| (thread, None))).take(unseen);
        sure.into_iter().chain(guessed).collect()
    }
}
