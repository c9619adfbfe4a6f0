//! What an account comes to: the figures to show.

use std::sync::Arc;

use super::handoffs::Apart;
use super::{GilAccount, Threads};
use crate::event::{DropRequest, ThreadKey};
use crate::model::snapshot::{Convoy, GilFigures, GilNow};
use crate::model::thread::{Standing, ThreadAccount};
use crate::model::totals::GilTotals;
use crate::time::{MonoNs, Ns};

/// Time that the threads queue for cores, of all time, up to which whoever is apart counts as asleep.
const MOST_QUEUED: f64 = 0.03;

impl GilAccount {
    /// The convoys on it; `None`: there were too few looks to find any.
    pub fn convoys(&self) -> Option<Vec<Convoy>> {
        self.convoys.figures(self.key)
    }

    /// Whether who wants the GIL shows it by sleeping on it. Who was woken from the mutex around it and queues for a core is
    /// neither asleep nor running, and looks as if it had let go for reasons of its own.
    fn apart(&self, threads: &Threads) -> Apart {
        let own = threads.values().filter(|thread| thread.info.process == self.process);
        let queued: Ns = own.map(ThreadAccount::queued).sum();
        match queued.share_of(self.observed).is_some_and(|share| share <= MOST_QUEUED) {
            true => Apart::Asleep,
            false => Apart::AsleepOrQueued,
        }
    }

    /// Of its figures, the running totals.
    pub fn totals(&self) -> GilTotals {
        let alone = self.perturbed.contention_alone(self.observed);
        let contended =
            alone.map_or(self.contended, |share| Ns((self.observed.0 as f64 * share.clamp(0.0, 1.0)).round() as u64));
        GilTotals {
            observed: self.observed,
            held: self.held,
            contended,
            lost: self.lost,
            handoffs: self.handoffs_counted,
        }
    }

    /// The figures to show by `now`. Watchpoints distort what is shorter than `distortion`.
    pub fn figures(&self, now: MonoNs, threads: &Threads, resolution: Ns, distortion: Ns) -> GilFigures {
        let share = |length: Ns| length.share_of(self.observed).unwrap_or(0.0);
        let holder = self.last.and_then(|last| last.holder());
        let account = |thread: &ThreadKey| threads.get(thread);
        let open = |standing, thread: &ThreadKey| {
            let stand = account(thread)?.standing(self.key).filter(|stand| stand.standing == standing)?;
            Some((stand.open, self.last_tick()))
        };
        let open_hold: Vec<_> = holder.iter().filter_map(|t| open(Standing::Holding, t)).collect();
        let open_waits: Vec<_> = self.relations.keys().filter_map(|t| open(Standing::Waiting, t)).collect();
        let mean_waiters = share(self.lost);
        let load = share(self.held);
        let placed = self.held_placed + self.held_asleep;
        let of_placed = |length: Ns| match placed {
            Ns::ZERO if self.held > Ns::ZERO => None,
            Ns::ZERO => Some(0.0),
            placed => length.share_of(placed).map(|s| s * load),
        };
        let preempted = self.preempted.min(self.held_placed);
        let exact = self.exact.has_told().then(|| self.exact.intervals());
        GilFigures {
            key: self.key,
            switch_interval: self.switch_interval,
            lifetime: self.observed(now).lifetime,
            observed: self.observed,
            load,
            held_off_cpu: of_placed(preempted + self.held_asleep),
            held_preempted: of_placed(preempted),
            held_asleep: of_placed(self.held_asleep),
            contention: self.perturbed.contention_alone(self.observed).unwrap_or_else(|| share(self.contended)),
            demand: load + mean_waiters,
            mean_waiters,
            max_waiters: self.max_waiters,
            lost: self.lost,
            handoffs: self.handoffs_counted,
            forced_handoffs: self.followed.forced(self.apart(threads)),
            unclear_handoffs: self.followed.unclear(),
            cross_core_handoffs: self.followed.cross_core(self.handoffs_counted),
            overdue: self.tenures.overdue(self.observed),
            drop_latency: exact.map(|[_, _, latency]| latency.exact(distortion)),
            waits: match exact {
                Some([_, waits, _]) => waits.exact(distortion),
                None => self.waits.distribution(&open_waits, resolution),
            },
            holds: match exact {
                Some([holds, ..]) => holds.exact(distortion),
                None => self.holds.distribution(&open_hold, resolution),
            },
            now: GilNow {
                holder,
                placement: self.last.and_then(|last| last.placement()),
                waiters: self.last.map(|last| last.waiters),
                drop_request: self.last.map_or(DropRequest::Unknown, |last| last.sample.drop_request),
            },
            history: Arc::clone(&self.history),
            lanes: Arc::clone(&self.lanes),
            long_holds: self.long.figures(),
        }
    }
}
