//! What is in force at an instant: what a keyframe restates.
//!
//! For every capture, process, interpreter, GIL and thread, the last event
//! of each sort, with its own time, in the order in which they came. Whoever
//! begins at a keyframe folds these first, as ordinary events.

mod signals;
mod stacks;

use std::collections::HashMap;

use self::signals::SignalsStanding;
use self::stacks::StacksStanding;
use super::predict::MAX_REMEMBERED;
use crate::event::{Event, GilKey, InterpreterId, NativeKey, ProcessKey, Scope, ThreadKey, What};

/// Most relations, and most memberships, that are kept of one thread.
const MAX_PER_THREAD: usize = 1024;
/// Most pieces of native code that are restated: four times as many as are told of one process.
const MAX_NATIVES: usize = 4096;

#[derive(Debug, Clone)]
struct Stamped {
    order: u64,
    event: Event,
}

/// What an instrument said of itself.
#[derive(Debug, Default)]
struct InstrumentStanding {
    rate: Option<Stamped>,
    health: Option<Stamped>,
    spent: Option<Stamped>,
}

impl InstrumentStanding {
    fn events(&self) -> impl Iterator<Item = &Stamped> {
        [&self.rate, &self.health, &self.spent].into_iter().flatten()
    }
}

#[derive(Debug, Default)]
struct ProcessStanding {
    found: Option<Stamped>,
    instrument: InstrumentStanding,
    interpreters: Vec<(InterpreterId, Stamped)>,
    signals: SignalsStanding,
    memory: Option<Stamped>,
}

#[derive(Debug, Default)]
struct GilStanding {
    process: Option<ProcessKey>,
    found: Option<Stamped>,
    interval: Option<Stamped>,
    sample: Option<Stamped>,
    /// Why there can be no window.
    window: Option<Stamped>,
}

#[derive(Debug, Default)]
struct ThreadStanding {
    process: Option<ProcessKey>,
    found: Option<Stamped>,
    named: Option<Stamped>,
    affinity: Option<Stamped>,
    usage: Option<Stamped>,
    /// Whether its switches are told.
    switches: Option<Stamped>,
    /// The last of them.
    switched: Option<Stamped>,
    /// Whether its waits on futexes are.
    futexes: Option<Stamped>,
    /// The last of them, if the thread has not switched since.
    entered: Option<Stamped>,
    /// What its looks for progress came to.
    progress: Option<Stamped>,
    joined: Vec<(InterpreterId, Stamped)>,
    relations: Vec<(GilKey, Stamped)>,
}

/// The events in force.
#[derive(Debug, Default)]
pub(super) struct Standing {
    order: u64,
    capture: Option<Stamped>,
    costs: Option<Stamped>,
    cores: Option<Stamped>,
    /// What is said of all processes.
    instrument: InstrumentStanding,
    processes: HashMap<ProcessKey, ProcessStanding>,
    gils: HashMap<GilKey, GilStanding>,
    threads: HashMap<ThreadKey, ThreadStanding>,
    natives: HashMap<NativeKey, Stamped>,
    stacks: StacksStanding,
}

impl Standing {
    /// Takes note of an event.
    pub(super) fn observe(&mut self, event: &Event) {
        self.order += 1;
        let order = self.order;
        let stamped = || Some(Stamped { order, event: event.clone() });
        match &event.what {
            What::CaptureStarted(_) => self.capture = stamped(),
            What::RateChanged { of, .. } => {
                if let Some(own) = self.instrument(*of) {
                    own.rate = stamped();
                }
            }
            What::Health(_, of) => {
                if let Some(own) = self.instrument(*of) {
                    own.health = stamped();
                }
            }
            What::Spent(_, of) => {
                if let Some(own) = self.instrument(*of) {
                    own.spent = stamped();
                }
            }
            What::CostsKnown(_) => self.costs = stamped(),
            What::CoresRead { .. } => self.cores = stamped(),
            // Whoever begins here has not seen the hits of a window before it: its next one counts.
            What::WindowBegins { .. } | What::LockWritten { .. } | What::CondWritten { .. } => {}
            What::WindowEnds { gil, .. } => {
                if let Some(standing) = entry(&mut self.gils, *gil) {
                    standing.window = None;
                }
            }
            What::WindowRefused { gil, .. } => {
                if let Some(standing) = entry(&mut self.gils, *gil) {
                    standing.window = stamped();
                }
            }
            What::NativeFound { native, .. } => {
                if self.natives.len() < MAX_NATIVES || self.natives.contains_key(native) {
                    self.natives.insert(*native, Stamped { order, event: event.clone() });
                }
            }
            // It was of one instant.
            What::NativeSampled { .. } => {}
            // Nothing is in force after the end, and a fork or a mark leaves nothing in force.
            What::CaptureEnded
            | What::Forked { .. }
            | What::ChildUnwatched { .. }
            | What::Marked { .. }
            | What::StackSampled { .. }
            | What::WaiterSampled { .. } => {}
            What::FrameFound { .. } | What::StackFound { .. } | What::StacksMissing { .. } => {
                self.stacks.observe(Stamped { order, event: event.clone() });
            }

            What::ProcessFound { process, .. } => {
                if let Some(standing) = entry(&mut self.processes, *process) {
                    standing.found = stamped();
                }
            }
            What::MemoryRead { process, .. } => {
                if let Some(standing) = entry(&mut self.processes, *process) {
                    standing.memory = stamped();
                }
            }
            What::ProcessEnded { process, .. } => {
                self.processes.remove(process);
                self.stacks.process_ended(*process);
                self.gils.retain(|_, gil| gil.process != Some(*process));
                self.threads.retain(|_, thread| thread.process != Some(*process));
            }
            What::InterpreterFound { process, interpreter, .. } => {
                if let Some(standing) = entry(&mut self.processes, *process) {
                    put_last(&mut standing.interpreters, *interpreter, stamped());
                }
            }
            What::InterpreterEnded { process, interpreter } => {
                if let Some(standing) = self.processes.get_mut(process) {
                    standing.interpreters.retain(|(id, _)| id != interpreter);
                }
            }

            What::GilFound { gil, process, .. } => {
                if let Some(standing) = entry(&mut self.gils, *gil) {
                    standing.process = Some(*process);
                    standing.found = stamped();
                }
            }
            What::SwitchIntervalChanged { gil, .. } => {
                if let Some(standing) = entry(&mut self.gils, *gil) {
                    standing.interval = stamped();
                }
            }
            What::GilSample(sample) => {
                if let Some(standing) = entry(&mut self.gils, sample.gil) {
                    standing.sample = stamped();
                }
            }

            What::ThreadFound { thread, info } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.process = Some(info.process);
                    standing.found = stamped();
                }
            }
            What::ThreadNamed { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.named = stamped();
                }
            }
            What::AffinityKnown { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.affinity = stamped();
                }
            }
            What::ThreadJoined { thread, interpreter } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    put_last(&mut standing.joined, *interpreter, stamped());
                }
            }
            What::ThreadEnded { thread } => {
                self.threads.remove(thread);
            }
            What::Relation { thread, gil, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    put_last(&mut standing.relations, *gil, stamped());
                }
            }
            What::Usage { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.usage = stamped();
                }
            }
            What::SwitchesBegin { thread } | What::SwitchesEnd { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    (standing.switches, standing.switched, standing.entered) = (stamped(), None, None);
                }
            }
            What::FutexesBegin { thread } | What::FutexesEnd { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.futexes = stamped();
                }
            }
            // It names the sleep to come.
            What::FutexEntered { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.entered = stamped();
                }
            }
            What::SwitchedIn { thread, .. } | What::SwitchedOut { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    (standing.switched, standing.entered) = (stamped(), None);
                }
            }
            What::MainProgress { thread, .. } => {
                if let Some(standing) = entry(&mut self.threads, *thread) {
                    standing.progress = stamped();
                }
            }
            What::SignalsKnown { process, .. }
            | What::SignalsPending { process, .. }
            | What::SignalsWaiting { process, .. }
            | What::SignalStepsBegin { process, .. }
            | What::SignalStepsEnd { process, .. }
            | What::SignalSent { process, .. }
            | What::SignalGenerated { process, .. }
            | What::SignalDelivered { process, .. }
            | What::PendingWritten { process, .. } => {
                if let Some(standing) = entry(&mut self.processes, *process) {
                    standing.signals.observe(Stamped { order, event: event.clone() });
                }
            }
        }
    }

    /// Where what an instrument says of itself is kept; `None`: its process is over.
    fn instrument(&mut self, of: Scope) -> Option<&mut InstrumentStanding> {
        match of {
            Scope::Capture => Some(&mut self.instrument),
            Scope::Process(process) => self.processes.get_mut(&process).map(|process| &mut process.instrument),
        }
    }

    /// The events in force, in the order in which they came.
    pub(super) fn events(&self) -> Vec<&Event> {
        let mut all: Vec<&Stamped> = Vec::new();
        all.extend([&self.capture, &self.costs, &self.cores].into_iter().flatten());
        all.extend(self.instrument.events());
        all.extend(self.natives.values());
        all.extend(self.stacks.events());
        for process in self.processes.values() {
            all.extend(&process.found);
            all.extend(process.instrument.events());
            all.extend(process.interpreters.iter().map(|(_, stamped)| stamped));
            all.extend(process.signals.events());
            all.extend(&process.memory);
        }
        for gil in self.gils.values() {
            all.extend([&gil.found, &gil.interval, &gil.sample, &gil.window].into_iter().flatten());
        }
        for thread in self.threads.values() {
            all.extend([&thread.found, &thread.named, &thread.affinity, &thread.usage].into_iter().flatten());
            all.extend(&thread.progress);
            all.extend([&thread.switches, &thread.switched, &thread.futexes, &thread.entered].into_iter().flatten());
            all.extend(thread.joined.iter().map(|(_, stamped)| stamped));
            all.extend(thread.relations.iter().map(|(_, stamped)| stamped));
        }
        all.sort_unstable_by_key(|stamped| stamped.order);
        all.into_iter().map(|stamped| &stamped.event).collect()
    }
}

/// The place for `key`, unless there are too many already: then it is not restated.
fn entry<K: Eq + std::hash::Hash, V: Default>(map: &mut HashMap<K, V>, key: K) -> Option<&mut V> {
    if map.len() >= MAX_REMEMBERED && !map.contains_key(&key) {
        return None;
    }
    Some(map.entry(key).or_default())
}

fn put_last<K: PartialEq>(list: &mut Vec<(K, Stamped)>, key: K, stamped: Option<Stamped>) {
    let Some(stamped) = stamped else { return };
    if let Some((_, last)) = list.iter_mut().find(|(known, _)| *known == key) {
        *last = stamped;
    } else if list.len() < MAX_PER_THREAD {
        list.push((key, stamped));
    }
}
