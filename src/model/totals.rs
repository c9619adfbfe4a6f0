//! Running totals: of a snapshot's figures, those of which one wants to know what they were like of late.

use std::collections::{BTreeMap, BTreeSet};

use super::Model;
use super::snapshot::{Snapshot, StateTimes};
use crate::event::{GilKey, Health, ProcessKey, ThreadKey};
use crate::time::{MonoNs, Ns};

/// Running totals at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// When.
    pub at: MonoNs,
    /// Each thread's time by state.
    pub threads: BTreeMap<ThreadKey, StateTimes>,
    /// Each GIL's.
    pub gils: BTreeMap<GilKey, GilTotals>,
    /// How each process was looked at.
    pub looks: BTreeMap<ProcessKey, Looks>,
}

/// How a process was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// CPU time that gilscope itself used, for all processes.
    pub own_cpu: Ns,
    /// Looks taken, as told about once a second.
    pub ticks: u64,
    /// Looks that came too late, as told about once a second.
    pub late: u64,
    /// Looks that gave a sample of every GIL.
    pub samples: u64,
}

/// One GIL's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GilTotals {
    /// Time observed.
    pub observed: Ns,
    /// Time held.
    pub held: Ns,
    /// Time somebody waited.
    pub contended: Ns,
    /// Integral of the number of waiters.
    pub lost: Ns,
    /// Handoffs.
    pub handoffs: u64,
}

impl Looks {
    /// What the instrument says of itself, beside the samples of every GIL.
    pub(super) fn of(health: &Health, samples: u64) -> Looks {
        Looks { own_cpu: health.own_cpu, ticks: health.ticks, late: health.late, samples }
    }
}

impl Totals {
    /// Those of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Totals {
        let mut totals = Totals { at: snapshot.at, ..Totals::default() };
        for process in &snapshot.processes {
            totals.threads.extend(process.threads.iter().map(|thread| (thread.key, thread.states)));
            let health = &process.capture.health;
            let gils: BTreeSet<GilKey> =
                process.interpreters.iter().filter_map(|i| i.gil.as_ref()).map(|gil| gil.key).collect();
            let looks = Looks::of(health, process.capture.samples / gils.len().max(1) as u64);
            totals.looks.insert(process.key, looks);
            for gil in process.interpreters.iter().filter_map(|i| i.gil.as_deref()) {
                let part = |share: f64| Ns((gil.observed.0 as f64 * share.clamp(0.0, 1.0)).round() as u64);
                let of_gil = GilTotals {
                    observed: gil.observed,
                    held: part(gil.load),
                    contended: part(gil.contention),
                    lost: gil.lost,
                    handoffs: gil.handoffs,
                };
                totals.gils.insert(gil.key, of_gil);
            }
        }
        totals
    }
}

impl Model {
    /// The totals by now: those of [`Model::snapshot`], without the work for the rest of it.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { at: self.now, ..Totals::default() };
        self.processes.values().for_each(|process| process.total_up(self.now, &mut totals));
        totals
    }
}
