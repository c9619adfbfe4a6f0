//! What is in force of a process's signals.

use super::{Stamped, put_last};
use crate::event::{Flag, Signal, SignalSet, SignalStep, What};

/// Most steps of signals that are kept until a look tells what became of them.
const MAX_STEPS: usize = 64;

/// The last event of each sort, and the steps that are not known to be over.
#[derive(Debug, Default)]
pub(super) struct SignalsStanding {
    known: Option<Stamped>,
    pending: Option<Stamped>,
    waiting: Option<Stamped>,
    /// Which steps are told.
    told: Vec<(SignalStep, Stamped)>,
    steps: Vec<Stamped>,
}

impl SignalsStanding {
    /// Takes note of an event about signals.
    pub(super) fn observe(&mut self, stamped: Stamped) {
        match stamped.event.what {
            What::SignalsKnown { .. } => self.known = Some(stamped),
            What::SignalsPending { .. } => {
                self.pending = Some(stamped);
                self.settle();
            }
            What::SignalsWaiting { .. } => {
                self.waiting = Some(stamped);
                self.settle();
            }
            What::SignalStepsBegin { step, .. } | What::SignalStepsEnd { step, .. } => {
                put_last(&mut self.told, step, Some(stamped));
            }
            What::SignalSent { .. }
            | What::SignalGenerated { .. }
            | What::SignalDelivered { .. }
            | What::PendingWritten { .. } => {
                // A state from before steps that are not restated would be taken for that after them.
                if self.steps.len() >= MAX_STEPS {
                    self.steps.clear();
                    (self.pending, self.waiting) = (None, None);
                }
                self.steps.push(stamped);
            }
            _ => {}
        }
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Stamped> {
        let told = self.told.iter().map(|(_, stamped)| stamped);
        [&self.known, &self.pending, &self.waiting].into_iter().flatten().chain(told).chain(&self.steps)
    }

    /// With the pending word clear, all that was delivered before is over; and what was not delivered only goes on waiting
    /// where the kernel says so.
    fn settle(&mut self) {
        let Some((clear, cleared)) = self.pending.as_ref().and_then(|stamped| match stamped.event.what {
            What::SignalsPending { pending, .. } => Some((pending.flag == Flag::Clear, stamped.order)),
            _ => None,
        }) else {
            return;
        };
        if !clear {
            return;
        }
        let (waiting, looked) = self.waiting.as_ref().map_or((SignalSet::EMPTY, 0), |stamped| {
            let sets = match stamped.event.what {
                What::SignalsWaiting { waiting: Some(waiting), .. } => waiting.process | waiting.main,
                _ => SignalSet::EMPTY,
            };
            (sets, stamped.order)
        });
        let deliveries: Vec<(Signal, u64)> = self
            .steps
            .iter()
            .filter_map(|stamped| match stamped.event.what {
                What::SignalDelivered { signal, .. } if stamped.order < cleared => Some((signal, stamped.order)),
                _ => None,
            })
            .collect();
        self.steps.retain(|stamped| match stamped.event.what {
            _ if stamped.order > cleared => true,
            What::SignalSent { signal, .. } | What::SignalGenerated { signal, .. } => {
                let delivered = deliveries.iter().any(|(other, order)| *other == signal && *order > stamped.order);
                !delivered && (looked < stamped.order || waiting.contains(signal))
            }
            _ => false,
        });
    }
}
