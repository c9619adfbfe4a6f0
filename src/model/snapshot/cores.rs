//! What the target did on each core, and what others did there.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Cpu;
use crate::model::snapshot::ProcessFigures;
use crate::time::Ns;

/// Pairs of cores that are told apart: all of 128 cores.
const PAIRS_KEPT: usize = 128 * 128;

/// One core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreFigures {
    /// Which core.
    pub cpu: Cpu,
    /// Time the target's threads were on it; `None`: not observable at this precision.
    pub target_on_cpu: Option<Ns>,
    /// Time a GIL of the target was held on it.
    pub gil_held: Ns,
    /// Time it was not idle while no thread of the target was on it: others used it, or the machine below it; known to a clock
    /// tick (10 ms) at each end. `None`: not observable here.
    pub other: Option<Ns>,
    /// Time it was not idle, for whomever; `None`: not observable here.
    pub busy: Option<Ns>,
    /// Of that, time it waited for the machine that it is a virtual part of.
    pub stolen: Option<Ns>,
}

impl CoreFigures {
    /// Whether the target was seen on it.
    pub fn is_used(&self) -> bool {
        self.gil_held > Ns::ZERO || self.target_on_cpu.is_some_and(|time| time > Ns::ZERO)
    }
}

/// How often threads went on, after a time off their core, on another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    pairs: BTreeMap<(Cpu, Cpu), u64>,
    total: u64,
}

impl Migrations {
    /// One more.
    pub(in crate::model) fn note(&mut self, from: Cpu, to: Cpu) {
        self.total += 1;
        let room = self.pairs.len() < PAIRS_KEPT;
        match self.pairs.get_mut(&(from, to)) {
            Some(count) => *count += 1,
            None if room => drop(self.pairs.insert((from, to), 1)),
            None => {}
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those to a core, by where from, the most first.
    pub fn to(&self, cpu: Cpu) -> Vec<(Cpu, u64)> {
        most_first(self.pairs.iter().filter(|((_, to), _)| *to == cpu).map(|((from, _), count)| (*from, *count)))
    }

    /// Those from a core, by where to, the most first.
    pub fn from(&self, cpu: Cpu) -> Vec<(Cpu, u64)> {
        most_first(self.pairs.iter().filter(|((from, _), _)| *from == cpu).map(|((_, to), count)| (*to, *count)))
    }
}

fn most_first(pairs: impl Iterator<Item = (Cpu, u64)>) -> Vec<(Cpu, u64)> {
    let mut pairs: Vec<(Cpu, u64)> = pairs.collect();
    pairs.sort_by_key(|(cpu, count)| (std::cmp::Reverse(*count), *cpu));
    pairs
}

impl ProcessFigures {
    /// The cores that any of its threads may use now, in order.
    pub fn cores_allowed(&self) -> Vec<Cpu> {
        let common = &self.target.cpus_allowed;
        let alive = || self.threads.iter().filter(|thread| thread.end.is_none());
        if alive().all(|thread| thread.cpus_allowed.is_none()) {
            return common.clone();
        }
        let mut cores = BTreeSet::new();
        if alive().any(|thread| thread.cpus_allowed.is_none()) {
            cores.extend(common.iter().copied());
        }
        let mut last: Option<&[Cpu]> = None;
        for own in alive().filter_map(|thread| thread.cpus_allowed.as_deref()) {
            // Threads share their sets: most of them follow one another.
            if last.is_none_or(|last| !std::ptr::eq(last, own)) {
                cores.extend(own.iter().copied());
            }
            last = Some(own);
        }
        cores.into_iter().collect()
    }
}
