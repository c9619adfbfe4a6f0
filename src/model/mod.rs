//! Events in, figures out.
//!
//! [`Model::apply`] folds one event after another, in fixed memory;
//! [`Model::snapshot`] says what is known by then. Pure: it reads no clock, no
//! process, no configuration, and a replayed recording gives what live gave.

pub mod bins;
pub mod blame;
mod exactness;
mod gil;
mod interrupts;
mod intervals;
pub mod lanes;
pub mod machine;
pub mod occupied;
mod process;
mod runs;
pub mod segments;
pub mod snapshot;
mod thread;
pub mod timeline;
mod told;
pub mod totals;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{
    CaptureInfo, Costs, Event, GilKey, Mode, NativeInfo, NativeKey, ProcessKey, Scope, Subject, ThreadKey, What,
};
use crate::model::blame::Defined;
use crate::model::machine::Machine;
use crate::model::process::{Looking, ProcessAccount, Shared};
use crate::model::snapshot::Snapshot;
use crate::time::{MonoNs, Ns};

/// Ended threads of a process that are kept one by one.
pub const ENDED_THREADS_KEPT: usize = 1_024;
/// Threads, and interpreters of a process, that a capture may define; more is a damaged recording.
const KEYS_KEPT: usize = 1 << 20;
/// Processes, and GILs, that a capture may define; more is a damaged recording.
const PROCESSES_KEPT: usize = 1 << 16;
/// Pieces of native code that a capture may define.
const NATIVES_KEPT: usize = 4_096;
/// The sampler is never slower; a longer interval is a damaged recording.
const LONGEST_INTERVAL: Ns = Ns::SECOND;

/// The fold of all events so far.
#[derive(Debug, Clone, Default)]
pub struct Model {
    now: MonoNs,
    start: MonoNs,
    info: Option<Arc<CaptureInfo>>,
    /// What was said of how all processes are looked at; each goes on from there.
    looking: Looking,
    processes: BTreeMap<ProcessKey, ProcessAccount>,
    /// Whose GILs are whose.
    gils: BTreeMap<GilKey, ProcessKey>,
    /// Whose threads, as far as they are kept one by one.
    threads: BTreeMap<ThreadKey, ProcessKey>,
    costs: Option<Costs>,
    natives: BTreeMap<NativeKey, Arc<NativeInfo>>,
    /// Frames and stacks.
    defined: Arc<Defined>,
    /// What all programs do on the cores.
    machine: Machine,
}

impl Model {
    /// Nothing observed yet.
    pub fn new() -> Model {
        Model::default()
    }

    /// Folds in one event. Events whose keys were never defined are ignored: a damaged recording gives fewer
    /// figures, not wrong ones.
    pub fn apply(&mut self, event: &Event) {
        let at = event.at.max(self.now);
        self.now = at;
        match &event.what {
            What::CaptureStarted(info) => {
                self.start = at;
                self.looking.interval = info.interval.min(LONGEST_INTERVAL);
                self.info = Some(Arc::new((**info).clone()));
            }
            What::CaptureEnded => self.processes.values_mut().for_each(|process| process.close(at)),
            What::ProcessFound { process, info } => {
                if self.processes.len() < PROCESSES_KEPT {
                    let (key, looking) = (*process, self.looking);
                    let begun = || ProcessAccount::new(key, (**info).clone(), at, looking);
                    self.processes.values_mut().for_each(|other| other.watched(info.pid));
                    self.processes.entry(key).or_insert_with(begun);
                }
            }
            What::GilFound { gil, process, switch_interval } => {
                if self.gils.len() < PROCESSES_KEPT
                    && !self.gils.contains_key(gil)
                    && let Some(account) = self.processes.get_mut(process)
                {
                    self.gils.insert(*gil, *process);
                    account.gil_found(*gil, *switch_interval, at);
                }
            }
            What::ThreadFound { thread, info } => {
                if self.threads.len() < KEYS_KEPT
                    && !self.threads.contains_key(thread)
                    && let Some(account) = self.processes.get_mut(&info.process)
                {
                    self.threads.insert(*thread, info.process);
                    account.thread_found(*thread, info, at);
                }
            }
            What::ThreadEnded { thread } => {
                let owner = self.threads.get(thread).and_then(|owner| self.processes.get_mut(owner));
                for folded in owner.map(|process| process.end_thread(*thread, at)).into_iter().flatten() {
                    self.threads.remove(&folded);
                }
            }
            what @ (What::RateChanged { of: Scope::Capture, .. }
            | What::Health(_, Scope::Capture)
            | What::Spent(_, Scope::Capture)) => self.all_are_looked_at_so(what),
            what @ What::CostsKnown(costs) => {
                self.costs = Some(*costs);
                self.all_are_looked_at_so(what);
            }
            What::CoresRead { tick, cores } => {
                let step = self.machine.read(at, *tick, cores);
                self.processes.values_mut().for_each(|process| process.cores_read(at, step.as_ref()));
            }
            What::NativeFound { native, info } => {
                if self.natives.len() < NATIVES_KEPT && info.is_bounded() {
                    self.natives.entry(*native).or_insert_with(|| Arc::new((**info).clone()));
                }
            }
            What::NativeSampled { native, .. } => {
                let owner = self.owner(&event.what).and_then(|owner| self.processes.get_mut(&owner));
                if let Some((process, info)) = owner.zip(self.natives.get(native)) {
                    process.native_sampled(at, &event.what, *native, info);
                }
            }
            What::FrameFound { frame, info } => Arc::make_mut(&mut self.defined).frame(*frame, info),
            What::StackFound { stack, frames } => Arc::make_mut(&mut self.defined).stack(*stack, frames),
            // For whoever looks at the time line; no figure depends on it.
            What::Marked { .. } => {}
            what => {
                let mode = self.mode();
                if let Some(process) = self.owner(what).and_then(|owner| self.processes.get_mut(&owner)) {
                    process.apply(at, what, mode);
                }
            }
        }
    }

    fn all_are_looked_at_so(&mut self, what: &What) {
        self.looking.apply(what);
        self.processes.values_mut().for_each(|process| process.looking.apply(what));
    }

    fn mode(&self) -> Option<Mode> {
        self.info.as_ref().map(|info| info.mode)
    }

    /// The process that an event is of, if it is of one, and one that is known.
    fn owner(&self, what: &What) -> Option<ProcessKey> {
        match what.subject()? {
            Subject::Process(process) => Some(process),
            Subject::Gil(gil) => self.gils.get(&gil).copied(),
            Subject::Thread(thread) => self.threads.get(&thread).copied(),
        }
    }

    /// Number of threads that are kept one by one, ended ones included.
    pub fn threads_known(&self) -> usize {
        self.processes.values().map(ProcessAccount::threads_known).sum()
    }

    /// Bytes that a copy of what threads did holds on to by itself.
    pub fn history_weight(&self) -> usize {
        self.processes.values().map(ProcessAccount::history_weight).sum()
    }

    /// What is known by now.
    pub fn snapshot(&self) -> Snapshot {
        let shared = Shared {
            now: self.now,
            mode: self.mode(),
            costs: self.costs.as_ref(),
            defined: &self.defined,
            machine: &self.machine,
        };
        Snapshot {
            start: self.start,
            at: self.now,
            info: self.info.clone(),
            processes: self.processes.values().map(|process| process.figures(shared)).collect(),
        }
    }
}
