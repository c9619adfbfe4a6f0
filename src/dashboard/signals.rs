//! The signals of the interrupts view: which there are, and which of them is looked at.

use crate::event::Signal;
use crate::model::snapshot::{
    ArrivalKind, InterruptFigures, MeasuredInterrupts, PendingInterrupt, PredictedInterrupt, ProcessFigures,
};
use crate::time::MonoNs;

/// Delays that are told together: those of one signal that begin at the same kind of instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalKey {
    /// Which; `None`: CPython's table could not be read.
    pub signal: Option<Signal>,
    /// Where its delays begin.
    pub from: ArrivalKind,
}

impl SignalKey {
    /// Whose these are.
    pub fn of(measured: &MeasuredInterrupts) -> SignalKey {
        SignalKey { signal: measured.signal, from: measured.from }
    }
}

/// How long signals wait for their handlers.
#[derive(Debug, Clone)]
pub struct Signals<'a> {
    /// The process whose signals they are.
    pub process: Option<&'a ProcessFigures>,
    /// The figures; `None`: nobody looked.
    pub figures: Option<&'a InterruptFigures>,
    /// The one under the cursor, if the user has chosen one.
    pub selected: Option<SignalKey>,
    /// The row whose delays are shown.
    pub cursor: usize,
    /// The instant shown.
    pub at: MonoNs,
}

impl<'a> Signals<'a> {
    /// Those of `process` at `at`. Unless the user has chosen another, the one that came most often is looked at.
    pub fn of(process: Option<&'a ProcessFigures>, selected: Option<SignalKey>, at: MonoNs) -> Signals<'a> {
        let figures = process.and_then(|process| process.interrupts.as_deref());
        let measured = figures.map_or(&[][..], |figures| &figures.measured);
        let selected = selected.filter(|key| measured.iter().any(|measured| SignalKey::of(measured) == *key));
        let chosen = measured.iter().position(|measured| Some(SignalKey::of(measured)) == selected);
        let most = || {
            let counts = measured.iter().map(|measured| measured.delay.count()).enumerate();
            counts.rev().max_by_key(|(_, count)| *count).map(|(row, _)| row)
        };
        let cursor = chosen.or_else(most).unwrap_or(0);
        Signals { process, figures, selected, cursor, at }
    }

    /// Signals that came, each with its delays.
    pub fn measured(&self) -> &'a [MeasuredInterrupts] {
        self.figures.map_or(&[], |figures| &figures.measured)
    }

    /// The delays that are looked at.
    pub fn shown(&self) -> Option<&'a MeasuredInterrupts> {
        self.measured().get(self.cursor)
    }

    /// Signals whose handler has not started, the oldest first.
    pub fn pending(&self) -> Vec<PendingInterrupt> {
        let mut pending = self.figures.map_or_else(Vec::new, |figures| figures.pending.clone());
        pending.sort_by_key(|pending| pending.since);
        pending
    }

    /// How long one would take.
    pub fn predicted(&self) -> Option<&'a PredictedInterrupt> {
        self.figures.and_then(|figures| figures.predicted.as_ref())
    }

    /// The keys of the rows.
    pub fn keys(&self) -> Vec<SignalKey> {
        self.measured().iter().map(SignalKey::of).collect()
    }
}
