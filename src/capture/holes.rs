//! What is dropped where nobody takes the events, and what is told in its place.

use crate::event::{Event, PendingSignals, Progress, Sleep, StepsEnd, What};

/// Whether later events keep their meaning without it.
pub(super) fn is_observation(what: &What) -> bool {
    what.window().is_some()
        || matches!(
            what,
            What::GilSample(_)
                | What::Relation { .. }
                | What::Usage { .. }
                | What::CoresRead { .. }
                | What::MemoryRead { .. }
                | What::SwitchedIn { .. }
                | What::SwitchedOut { .. }
                | What::FutexEntered { .. }
                | What::SignalsPending { .. }
                | What::SignalsWaiting { .. }
                | What::MainProgress { .. }
                | What::SignalStepsBegin { .. }
                | What::SignalStepsEnd { .. }
                | What::NativeSampled { .. }
                | What::StackSampled { .. }
                | What::WaiterSampled { .. }
        )
        || what.signal_step().is_some()
}

/// What is to be told of signals where the first of what is dropped stood: their states are unknown, their steps lost.
pub(super) fn of_signals(dropped: &[Event]) -> Vec<Event> {
    let mut holes: Vec<Event> = Vec::new();
    for event in dropped {
        let unknown = match &event.what {
            What::SignalsPending { process, .. } => {
                What::SignalsPending { process: *process, pending: PendingSignals::UNKNOWN, gap: None }
            }
            What::SignalsWaiting { process, .. } => {
                What::SignalsWaiting { process: *process, waiting: None, gap: None }
            }
            What::MainProgress { thread, .. } => {
                What::MainProgress { thread: *thread, progress: Progress::Unknown, sleep: Sleep::Unknown, gap: None }
            }
            What::SignalStepsBegin { process, step } | What::SignalStepsEnd { process, step, .. } => {
                What::SignalStepsEnd { process: *process, step: *step, why: StepsEnd::Lost { records: 0 } }
            }
            what => match what.signal_step() {
                Some((process, step)) => What::SignalStepsEnd { process, step, why: StepsEnd::Lost { records: 0 } },
                None => continue,
            },
        };
        if !holes.iter().any(|hole| hole.what == unknown) {
            holes.push(Event { at: event.at, what: unknown });
        }
    }
    holes
}
