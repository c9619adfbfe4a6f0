//! Sums over a snapshot that more than one report shows.

use crate::event::{GilKey, InterpreterId};
use crate::model::snapshot::{GilFigures, Length, ProcessFigures, ThreadFigures};
use crate::time::Ns;

/// A share as it may be shown: finite and 0..=1 but for rounding, else unknown.
pub(crate) fn share(value: f64) -> Option<f64> {
    (value.is_finite() && (-1e-6..=1.0 + 1e-6).contains(&value)).then(|| value.clamp(0.0, 1.0))
}

/// A mean number of threads as it may be shown: finite and not negative, else unknown.
pub(crate) fn mean(value: f64) -> Option<f64> {
    (value.is_finite() && value >= -1e-6).then(|| value.max(0.0))
}

/// A GIL and the interpreters that share it.
pub(crate) struct SharedGil<'a> {
    pub(crate) gil: &'a GilFigures,
    pub(crate) interpreters: Vec<InterpreterId>,
}

impl SharedGil<'_> {
    /// `interpreter 0`, `interpreters 0, 2`, `interpreters 0, 1, 2 and 9 more`.
    pub(crate) fn whose(&self) -> String {
        const SHOWN: usize = 3;
        let ids: Vec<String> = self.interpreters.iter().take(SHOWN).map(|id| id.0.to_string()).collect();
        let plural = if self.interpreters.len() == 1 { "" } else { "s" };
        match self.interpreters.len().saturating_sub(SHOWN) {
            0 => format!("interpreter{plural} {}", ids.join(", ")),
            more => format!("interpreter{plural} {} and {more} more", ids.join(", ")),
        }
    }
}

/// Each GIL of a process once, in order of its interpreters.
pub(crate) fn gils(process: &ProcessFigures) -> Vec<SharedGil<'_>> {
    let mut found: Vec<SharedGil<'_>> = Vec::new();
    let mut place: std::collections::HashMap<GilKey, usize> = std::collections::HashMap::new();
    for interpreter in &process.interpreters {
        let Some(gil) = interpreter.gil.as_deref() else { continue };
        let index = *place.entry(gil.key).or_insert_with(|| {
            found.push(SharedGil { gil, interpreters: Vec::new() });
            found.len() - 1
        });
        if let Some(shared) = found.get_mut(index) {
            shared.interpreters.push(interpreter.id);
        }
    }
    found
}

/// What the GILs of a process come to: of several, the worst of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InAll {
    pub(crate) load: Option<f64>,
    pub(crate) contention: Option<f64>,
    pub(crate) worst: Option<Length>,
    pub(crate) lost: Ns,
}

/// The figures of a process in one line.
pub(crate) fn in_all(process: &ProcessFigures) -> InAll {
    let gils = gils(process);
    let seen = || gils.iter().map(|shared| shared.gil).filter(|gil| gil.observed > Ns::ZERO);
    let worst_of = |of: fn(&GilFigures) -> f64| seen().filter_map(|gil| share(of(gil))).max_by(f64::total_cmp);
    let length = |length: &Length| match *length {
        Length::Known(ns) | Length::Below(ns) => ns,
    };
    InAll {
        load: worst_of(|gil| gil.load),
        contention: worst_of(|gil| gil.contention),
        worst: seen().filter_map(|gil| gil.waits.max()).max_by_key(length),
        lost: seen().map(|gil| gil.lost).sum(),
    }
}

/// The threads that take this GIL; all threads where the process has only this one.
pub(crate) fn users<'a>(
    process: &'a ProcessFigures,
    shared: &'a SharedGil<'_>,
    only: Only,
) -> impl Iterator<Item = &'a ThreadFigures> {
    process.threads.iter().filter(move |thread| {
        matches!(only, Only::One) || thread.interpreters.iter().any(|id| shared.interpreters.contains(id))
    })
}

/// Whether a process has one GIL or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    One,
    OfSeveral,
}

/// The share of its lifetime that a thread lost; `None` without a lifetime.
pub(crate) fn lost_share(thread: &ThreadFigures) -> Option<f64> {
    thread.lost.share_of(thread.states.total()).and_then(share)
}

/// The thread that lost most time, if any lost some.
pub(crate) fn most_lost<'a>(threads: impl Iterator<Item = &'a ThreadFigures>) -> Option<&'a ThreadFigures> {
    threads.filter(|thread| thread.lost > Ns::ZERO).max_by_key(|thread| (thread.lost, std::cmp::Reverse(thread.key)))
}
