//! Threads that call in from native code, by CPython's own count.
//!
//! Whoever has no thread state of its own gets another one at each call (`PyGILState_Ensure` in Python/pystate.c), and
//! CPython counts whenever another state than the last takes the GIL (`take_gil` in Python/ceval_gil.h). So it counts such a
//! thread when it takes the GIL again that it had last, and nobody else: of others that is no handoff. It shows where one and
//! the same thread holds at two ticks with a single handoff between them: a round trip by way of another takes two.

use std::collections::BTreeSet;

use super::tick::Step;
use crate::event::ThreadKey;
use crate::model::thread::ThreadAccount;
use crate::time::{MonoNs, Ns};

/// Whoever is younger may call in, where others do, and not have been seen to yet.
const YOUNG: Ns = Ns(100_000_000);
/// So many are remembered, the youngest.
const REMEMBERED: usize = 4_096;

/// Who calls in.
#[derive(Debug, Clone, Default)]
pub(super) struct Callers {
    seen: BTreeSet<ThreadKey>,
}

impl Callers {
    /// What a step tells before which `owner` was the last who was seen to hold.
    pub(super) fn look(&mut self, step: &Step, owner: Option<ThreadKey>) {
        let same = owner.filter(|owner| step.tick.holder() == Some(*owner));
        if let Some(thread) = same.filter(|_| step.handoffs == 1) {
            self.seen.insert(thread);
            if self.seen.len() > REMEMBERED {
                self.seen.pop_first();
            }
        }
    }

    /// Whether a thread may have another state each time that it takes the GIL, as far as is known at `now`.
    pub(super) fn may_be(&self, thread: ThreadKey, account: &ThreadAccount, now: MonoNs) -> bool {
        self.seen.contains(&thread) || (!self.seen.is_empty() && now.since(account.start) < YOUNG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DropRequest, GilKey, GilSample, Hold};
    use crate::model::gil::tick::Tick;

    #[test]
    fn a_single_handoff_from_a_thread_to_itself_tells_of_another_state() {
        let tick = |at: u64, holder: Option<u32>, switch_number| {
            let hold = match holder {
                Some(thread) => Hold::By { thread: ThreadKey(thread), placement: None },
                None => Hold::Free,
            };
            let (gil, drop_request) = (GilKey(0), DropRequest::Absent);
            let sample = GilSample { gil, hold, switch_number, waiters: Some(0), drop_request };
            Tick { at: MonoNs(at), sample, waiters: 0, waiters_known: 0 }
        };
        let seen = |owner: u32, last, now: Tick| {
            let mut callers = Callers::default();
            let handoffs = now.handoffs_since(&last);
            callers.look(&Step { last, tick: now, handoffs, interval: Ns(2_000_000) }, Some(ThreadKey(owner)));
            callers.seen.contains(&ThreadKey(owner))
        };
        let (first, second) = (2_000_000, 4_000_000);
        assert!(seen(1, tick(first, Some(1), 5), tick(second, Some(1), 6)));
        assert!(seen(1, tick(first, None, 5), tick(second, Some(1), 6)), "it was free, after it had it");
        assert!(!seen(1, tick(first, Some(1), 5), tick(second, Some(1), 5)), "it has kept it, or taken it as the same");
        assert!(!seen(1, tick(first, Some(1), 5), tick(second, Some(1), 7)), "another had it meanwhile");
        assert!(!seen(1, tick(first, Some(1), 5), tick(second, Some(2), 6)));
        assert!(!seen(1, tick(first, Some(1), 5), tick(second, None, 6)));
    }
}
