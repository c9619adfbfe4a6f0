//! Who held the GIL between two ticks, as it goes into the log by which waits are divided.

use super::handoffs::Takes;
use super::tick::{Step, Tick};
use super::{GilAccount, Threads};
use crate::event::{Hold, ThreadKey};
use crate::model::blame::Party;
use crate::time::{MonoNs, Ns};

/// Who held it from which instant on; `None`: nobody.
pub(super) type Course = Vec<(MonoNs, Option<ThreadKey>)>;

impl GilAccount {
    /// Logs who held it: by the story of its takes and releases where there is one, else by its takes if all are known,
    /// else each half of the time goes to what was seen at its end.
    pub(super) fn log_holds(&mut self, step: &Step, takes: &Takes, story: Option<Course>, threads: &Threads) {
        let (from, until) = (step.last.at, step.tick.at);
        let by_takes = || (takes.is_complete() && step.handoffs > 0).then(|| by_takes(step, takes, threads));
        let (mut since, mut by) = (from, party(&step.last));
        for (at, holder) in story.or_else(by_takes).unwrap_or_default() {
            let at = at.max(since).min(until);
            self.blame.held(since, at, by);
            (since, by) = (at, holder.map_or(Party::Free, Party::Thread));
        }
        let last = party(&step.tick);
        let changed = if by == last { until } else { since.midpoint(until) };
        self.blame.held(since, changed, by);
        self.blame.held(changed, until, last);
    }
}

fn party(tick: &Tick) -> Party {
    match tick.sample.hold {
        Hold::By { thread, .. } => Party::Thread(thread),
        Hold::Free => Party::Free,
        Hold::ByUnknown => Party::Unknown,
    }
}

/// From take to take. Who is off its core when the next takes it had let go of it before it left the core.
pub(super) fn by_takes(step: &Step, takes: &Takes, threads: &Threads) -> Course {
    let mut course = Course::new();
    let (mut holder, mut since) = (step.last.holder(), step.last.at);
    for (at, thread) in takes.known() {
        let left = holder.and_then(|holder| {
            let runs = &threads.get(&holder)?.runs;
            let (left, _) = runs.departures(since, at).last().filter(|_| runs.covers(since))?;
            (runs.ran(left, at) == Ns::ZERO).then_some(left)
        });
        course.extend(left.map(|left| (left, None)));
        course.push((at, Some(thread)));
        (holder, since) = (Some(thread), at);
    }
    course
}
