//! Events in, figures out.
//!
//! [`Model::apply`] folds one event after another, in fixed memory;
//! [`Model::snapshot`] says what is known by then. Pure: it reads no clock, no
//! process, no configuration, and a replayed recording gives what live gave.

pub mod blame;
mod exactness;
mod gil;
mod interrupts;
mod intervals;
pub mod lanes;
mod runs;
pub mod segments;
pub mod snapshot;
mod thread;
pub mod timeline;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::{
    CaptureInfo, Costs, Cpu, Ending, Event, GilKey, Health, InterpreterId, Mode, NativeInfo, NativeKey, Pid,
    ProcessInfo, ProcessKey, RateReason, Spent, StacksMissing, SwitchesEnd, ThreadKey, What,
};
use crate::model::blame::Defined;
use crate::model::exactness::Exactness;
use crate::model::gil::exact::Hit;
use crate::model::gil::{GilAccount, Scrutiny, Seen, Threads, Word};
use crate::model::interrupts::{Context, Interrupts, Ticked};
use crate::model::runs::Runs;
use crate::model::segments::{Entry, Lane, Log, Sampled, Segments};
use crate::model::snapshot::{
    BlameFigures, CaptureFigures, Convoy, CoreFigures, InterpreterFigures, InterruptFigures, ProcessFigures, Snapshot,
    Source, SwitchFigures, ThreadFigures, ThreadState,
};
use crate::model::thread::{CoreTime, ThreadAccount};
use crate::model::told::Told;
use crate::time::{MonoNs, Ns};

/// Ended threads of a process that are kept one by one.
pub const ENDED_THREADS_KEPT: usize = 4_096;
/// Children of a process that are listed.
const CHILDREN_KEPT: usize = 1_024;
/// Threads, and interpreters of a process, that a capture may define; more is a damaged recording.
const KEYS_KEPT: usize = 1 << 20;
/// Processes, and GILs, that a capture may define; more is a damaged recording.
const PROCESSES_KEPT: usize = 1 << 16;
/// Pieces of native code that a capture may define.
const NATIVES_KEPT: usize = 4_096;
/// The sampler is never slower; a longer interval is a damaged recording.
const LONGEST_INTERVAL: Ns = Ns::SECOND;

/// The fold of all events so far.
#[derive(Debug, Clone)]
pub struct Model {
    now: MonoNs,
    start: MonoNs,
    info: Option<Arc<CaptureInfo>>,
    interval: Ns,
    interval_reason: RateReason,
    health: Health,
    processes: BTreeMap<ProcessKey, ProcessAccount>,
    gils: BTreeMap<GilKey, GilAccount>,
    threads: Threads,
    /// Threads whose totals were read at this instant.
    read: Vec<ThreadKey>,
    /// Threads that have got a core since the newest tick.
    woken: Vec<ThreadKey>,
    /// When that was.
    ticked: MonoNs,
    costs: Option<Costs>,
    spent: Spent,
    /// Threads whose switches are told.
    told: BTreeSet<ThreadKey>,
    natives: BTreeMap<NativeKey, Arc<NativeInfo>>,
    /// Frames and stacks.
    defined: Arc<Defined>,
    /// What each thread did when.
    log: Log,
}

#[derive(Debug, Clone)]
struct ProcessAccount {
    info: Arc<ProcessInfo>,
    start: MonoNs,
    end: Option<MonoNs>,
    ending: Option<Ending>,
    children: Vec<Pid>,
    interpreters: BTreeMap<InterpreterId, Option<GilKey>>,
    ended_interpreters: BTreeSet<InterpreterId>,
    /// Ended threads that are still kept one by one.
    ended_threads: usize,
    folded_threads: u64,
    switches: SwitchFigures,
    told: Told,
    /// When they were given up last.
    given_up: MonoNs,
    /// Per core: the time of ended threads that are no longer kept, and what is missing of it.
    folded_cores: BTreeMap<Cpu, CoreTime>,
    folded_missing: Ns,
    interrupts: Interrupts,
    stacks_missing: Option<StacksMissing>,
}

impl ProcessAccount {
    /// The GIL that the main thread takes.
    fn main_gil(&self) -> Option<GilKey> {
        *self.interpreters.get(&InterpreterId(0))?
    }

    fn switches_end(&mut self, why: SwitchesEnd, at: MonoNs) {
        match why {
            SwitchesEnd::Lost { records } => self.switches.lost = self.switches.lost.saturating_add(records),
            // It is told of each thread.
            SwitchesEnd::TooCostly if self.given_up != at => {
                self.given_up = at;
                self.switches.given_up += 1;
            }
            SwitchesEnd::TooCostly | SwitchesEnd::Refused => {}
        }
    }
}

impl Default for Model {
    fn default() -> Model {
        Model {
            now: MonoNs(0),
            start: MonoNs(0),
            info: None,
            interval: Ns::MILLISECOND,
            interval_reason: RateReason::Asked,
            health: Health::default(),
            processes: BTreeMap::new(),
            gils: BTreeMap::new(),
            threads: Threads::new(),
            read: Vec::new(),
            woken: Vec::new(),
            ticked: MonoNs(0),
            costs: None,
            spent: Spent::default(),
            told: BTreeSet::new(),
            natives: BTreeMap::new(),
            defined: Arc::default(),
            log: Log::default(),
        }
    }
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
        if at > self.now {
            self.read.clear();
            if self.ticked == self.now {
                self.woken.clear();
            }
        }
        self.now = at;
        match &event.what {
            What::CaptureStarted(info) => {
                self.start = at;
                self.interval = info.interval.min(LONGEST_INTERVAL);
                self.info = Some(Arc::new((**info).clone()));
            }
            What::CaptureEnded => {
                let running: Vec<ProcessKey> =
                    self.processes.iter().filter(|(_, p)| p.end.is_none()).map(|(k, _)| *k).collect();
                for process in running {
                    self.close(process, at);
                }
            }
            What::ProcessFound { process, info } if self.processes.len() < PROCESSES_KEPT => {
                self.processes.entry(*process).or_insert_with(|| ProcessAccount {
                    info: Arc::new((**info).clone()),
                    start: at,
                    end: None,
                    ending: None,
                    children: Vec::new(),
                    interpreters: BTreeMap::new(),
                    ended_interpreters: BTreeSet::new(),
                    ended_threads: 0,
                    folded_threads: 0,
                    switches: SwitchFigures::default(),
                    told: Told::default(),
                    given_up: MonoNs(0),
                    folded_cores: BTreeMap::new(),
                    folded_missing: Ns::ZERO,
                    interrupts: Interrupts::default(),
                    stacks_missing: None,
                });
            }
            What::ProcessEnded { process, ending } => {
                self.close(*process, at);
                if let Some(account) = self.processes.get_mut(process) {
                    account.ending.get_or_insert_with(|| ending.clone());
                }
            }
            What::Forked { process, child } => {
                if let Some(account) = self.processes.get_mut(process)
                    && account.children.len() < CHILDREN_KEPT
                    && !account.children.contains(child)
                {
                    account.children.push(*child);
                }
            }
            What::InterpreterFound { process, interpreter, gil } => {
                if let Some(account) = self.processes.get_mut(process)
                    && account.interpreters.len() < KEYS_KEPT
                {
                    account.interpreters.insert(*interpreter, *gil);
                }
            }
            What::GilFound { gil, process, switch_interval }
                if self.gils.len() < PROCESSES_KEPT && self.processes.contains_key(process) =>
            {
                self.gils.entry(*gil).or_insert_with(|| GilAccount::new(*gil, *process, *switch_interval, at));
            }
            What::SwitchIntervalChanged { gil, switch_interval } => {
                if let Some(account) = self.gils.get_mut(gil) {
                    account.set_switch_interval(*switch_interval);
                }
            }
            What::ThreadFound { thread, info } if self.threads.len() < KEYS_KEPT => {
                if let Some(process) = self.processes.get_mut(&info.process) {
                    let start = process.start;
                    self.threads.entry(*thread).or_insert_with(|| {
                        process.told.found(at);
                        ThreadAccount::new((**info).clone(), at, start)
                    });
                }
            }
            What::ThreadNamed { thread, name } => {
                if let Some(account) = self.threads.get_mut(thread) {
                    account.info.name.clone_from(name);
                }
            }
            What::ThreadJoined { thread, interpreter } => {
                if let Some(account) = self.threads.get_mut(thread) {
                    account.joined(*interpreter);
                }
            }
            What::ThreadEnded { thread } => self.end_thread(*thread, at),
            What::GilSample(sample) => {
                // Switch records are in the nature of the fused instrument; windows are told to the account itself.
                let scrutiny = match self.told.is_empty() || self.mode() == Some(Mode::Exact) {
                    true => Scrutiny::Distant,
                    false => Scrutiny::Close,
                };
                if let Some(account) = self.gils.get_mut(&sample.gil) {
                    let process = account.process();
                    let told = self.processes.get(&process).map_or(Told::default(), |p| p.told);
                    let interpreters = self.processes.get(&process).map(|p| &p.interpreters);
                    let takes_it = |t: &ThreadAccount| {
                        t.info.process == process
                            && t.interpreters.iter().any(|i| {
                                interpreters.and_then(|all| all.get(i)).is_some_and(|gil| *gil == Some(sample.gil))
                            })
                    };
                    let seen = Seen { read: &self.read, woken: &self.woken, scrutiny, told };
                    account.tick(at, *sample, self.interval, &mut self.threads, seen, &takes_it);
                    account.charted().for_each(|entry| self.log.push(entry));
                    self.ticked = at;
                    let ticked = Ticked { at, gil: account, interval: self.interval };
                    if let Some(process) = self.processes.get_mut(&process).filter(|p| p.main_gil() == Some(sample.gil))
                    {
                        let context = Context { threads: &self.threads, python: process.info.python };
                        process.interrupts.tick(ticked, context);
                    }
                }
            }
            What::Relation { thread, gil, relation } => {
                if let Some((gil, account)) = self.gils.get_mut(gil).zip(self.threads.get(thread)) {
                    gil.relate(*thread, *relation, account);
                }
            }
            What::Usage { thread, usage } => {
                if let Some(account) = self.threads.get_mut(thread).filter(|account| account.end.is_none()) {
                    if account.step_at(at).is_none() && self.read.len() < KEYS_KEPT {
                        self.read.push(*thread);
                    }
                    account.usage(at, *usage);
                    account.told_by_totals(*thread).for_each(|entry| self.log.push(entry));
                }
            }
            What::RateChanged { interval, reason } => {
                self.interval = (*interval).min(LONGEST_INTERVAL);
                self.interval_reason = *reason;
            }
            What::Health(health) => self.health = *health,
            What::CostsKnown(costs) => self.costs = Some(*costs),
            What::Spent(spent) => self.spent = *spent,
            What::WindowBegins { gil } => self.gil(*gil, |gil, _| gil.window_begins(at)),
            What::WindowEnds { gil, .. } => self.gil(*gil, |gil, _| gil.window_ends(at)),
            What::WindowRefused { gil, why } => self.gil(*gil, |gil, _| gil.window_refused(*why)),
            What::LockWritten { gil, thread, ip, cpu } => {
                let hit = Hit { at, thread: *thread, ip: *ip, cpu: *cpu };
                self.gil(*gil, |gil, threads| gil.written(Word::Locked, hit, threads));
            }
            What::CondWritten { gil, thread, ip, cpu } => {
                let hit = Hit { at, thread: *thread, ip: *ip, cpu: *cpu };
                self.gil(*gil, |gil, threads| gil.written(Word::Cond, hit, threads));
            }
            What::SwitchesBegin { thread } => {
                if self.told.len() < KEYS_KEPT {
                    self.told.insert(*thread);
                }
                let ticked = self.ticked;
                self.runs(*thread, |runs, process| {
                    if runs.told_since().is_none() {
                        process.told.begins(at, ticked);
                    }
                    runs.begin(at);
                });
            }
            What::SwitchesEnd { thread, why } => {
                self.told.remove(thread);
                self.runs(*thread, |runs, process| {
                    if runs.told_since().is_some() {
                        process.told.ends();
                    }
                    runs.end();
                    process.switches_end(*why, at);
                });
            }
            What::SwitchedIn { thread, cpu } => {
                if self.woken.len() < KEYS_KEPT && self.woken.last() != Some(thread) {
                    self.woken.push(*thread);
                }
                self.runs(*thread, |runs, process| {
                    process.switches.records += 1;
                    runs.switched_in(at, *cpu);
                });
            }
            What::FutexesBegin { thread } => self.runs(*thread, |runs, _| runs.futexes_begin(at)),
            What::FutexesEnd { thread, .. } => self.runs(*thread, |runs, _| runs.futexes_end()),
            What::FutexEntered { gil, thread, site } => self.runs(*thread, |runs, process| {
                process.switches.named += 1;
                runs.futex_entered(at, *gil, *site);
            }),
            What::SwitchedOut { thread, how } => {
                let mut turn = None;
                self.runs(*thread, |runs, process| {
                    process.switches.records += 1;
                    turn = runs.switched_out(at, *how);
                });
                if let Some(turn) = turn {
                    self.log.push(Entry::Ran { thread: *thread, turn });
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
            | What::PendingWritten { process, .. } => self.interrupts(*process, at, &event.what),
            What::MainProgress { thread, .. } => {
                if let Some(process) = self.threads.get(thread).map(|account| account.info.process) {
                    self.interrupts(process, at, &event.what);
                }
            }
            What::NativeFound { native, info } => {
                if self.natives.len() < NATIVES_KEPT && info.is_bounded() {
                    self.natives.entry(*native).or_insert_with(|| Arc::new((**info).clone()));
                }
            }
            What::NativeSampled { gil, thread, native, instant, how } => {
                if let Some((gil, info)) = self.gils.get_mut(gil).zip(self.natives.get(native)) {
                    gil.native_sampled(*thread, (*native, info), *instant, *how);
                }
            }
            // For whoever looks at the time line; no figure depends on it.
            What::Marked { .. } => {}
            What::FrameFound { frame, info } => Arc::make_mut(&mut self.defined).frame(*frame, info),
            What::StackFound { stack, frames } => Arc::make_mut(&mut self.defined).stack(*stack, frames),
            What::StackSampled { gil, thread, instant, stack, cause } => {
                if let Some(gil) = self.gils.get_mut(gil) {
                    gil.stack_sampled(*instant, *thread, *stack, *cause);
                    if let Some(stack) = *stack {
                        self.log.push(Entry::Sampled(Sampled { at: *instant, thread: *thread, stack }));
                    }
                }
            }
            What::WaiterSampled { gil, thread, stack, stands_for, .. } => {
                let is_known = self.threads.contains_key(thread);
                if let Some(gil) = self.gils.get_mut(gil).filter(|_| is_known) {
                    gil.waiter_sampled(*thread, *stack, *stands_for);
                }
            }
            What::StacksMissing { process, why } => {
                if let Some(account) = self.processes.get_mut(process) {
                    account.stacks_missing = Some(*why);
                }
            }
            What::InterpreterEnded { process, interpreter } => self.end_interpreter(*process, *interpreter),
            What::ProcessFound { .. } | What::GilFound { .. } | What::ThreadFound { .. } => {}
        }
    }

    fn mode(&self) -> Option<Mode> {
        self.info.as_ref().map(|info| info.mode)
    }

    fn interrupts(&mut self, process: ProcessKey, at: MonoNs, what: &What) {
        if let Some(account) = self.processes.get_mut(&process).filter(|account| account.end.is_none()) {
            account.interrupts.apply(at, what);
        }
    }

    fn gil(&mut self, gil: GilKey, note: impl FnOnce(&mut GilAccount, &Threads)) {
        if let Some(account) = self.gils.get_mut(&gil) {
            note(account, &self.threads);
        }
    }

    fn runs(&mut self, thread: ThreadKey, note: impl FnOnce(&mut Runs, &mut ProcessAccount)) {
        if let Some(account) = self.threads.get_mut(&thread).filter(|account| account.end.is_none())
            && let Some(process) = self.processes.get_mut(&account.info.process)
        {
            note(&mut account.runs, process);
        }
    }

    fn end_thread(&mut self, key: ThreadKey, at: MonoNs) {
        let Some(account) = self.threads.get_mut(&key).filter(|account| account.end.is_none()) else { return };
        account.end = Some(at);
        self.told.remove(&key);
        let told = account.runs.told_since().is_some();
        let process = account.info.process;
        for gil in self.gils.values_mut().filter(|gil| gil.process() == process) {
            gil.thread_ended(key, account);
        }
        if let Some(process) = self.processes.get_mut(&process) {
            process.ended_threads += 1;
            if !told {
                process.told.begins(at, self.ticked);
            }
        }
        self.fold_ended(process);
    }

    /// An own GIL ends with the last interpreter that used it.
    fn end_interpreter(&mut self, process: ProcessKey, interpreter: InterpreterId) {
        let Some(account) = self.processes.get_mut(&process) else { return };
        let Some(gil) = account.interpreters.get(&interpreter).copied() else { return };
        account.ended_interpreters.insert(interpreter);
        let Some(gil) = gil else { return };
        let in_use =
            account.interpreters.iter().any(|(id, g)| *g == Some(gil) && !account.ended_interpreters.contains(id));
        if let Some(ended) = self.gils.get_mut(&gil).filter(|_| !in_use) {
            ended.end(&mut self.threads);
        }
    }

    /// Keeps the number of ended threads bounded: those that lost and held least go first.
    fn fold_ended(&mut self, process: ProcessKey) {
        let Some(account) = self.processes.get_mut(&process) else { return };
        if account.ended_threads < 2 * ENDED_THREADS_KEPT {
            return;
        }
        let mut by_weight: Vec<((Ns, Ns), ThreadKey)> = self
            .threads
            .iter()
            .filter(|(_, t)| t.end.is_some() && t.info.process == process)
            .map(|(key, t)| (t.weight(), *key))
            .collect();
        by_weight.sort_unstable();
        by_weight.truncate(by_weight.len().saturating_sub(ENDED_THREADS_KEPT));
        let folded: BTreeSet<ThreadKey> = by_weight.iter().map(|(_, key)| *key).collect();
        for gil in self.gils.values_mut().filter(|gil| gil.process() == process) {
            gil.forget(&folded);
        }
        for (_, key) in by_weight {
            if let Some(thread) = self.threads.remove(&key) {
                account.ended_threads = account.ended_threads.saturating_sub(1);
                account.folded_threads += 1;
                let (cores, missing) = thread.cores(self.now);
                account.folded_missing += missing;
                for (cpu, time) in cores {
                    let folded = account.folded_cores.entry(cpu).or_default();
                    folded.held += time.held;
                    folded.on_core += time.on_core;
                }
            }
        }
    }

    fn close(&mut self, process: ProcessKey, at: MonoNs) {
        let Some(account) = self.processes.get_mut(&process).filter(|p| p.end.is_none()) else { return };
        account.end = Some(at);
        for gil in self.gils.values_mut().filter(|gil| gil.process() == process) {
            gil.end(&mut self.threads);
        }
    }

    /// Number of threads that are kept one by one, ended ones included.
    pub fn threads_known(&self) -> usize {
        self.threads.len()
    }

    /// What is known by now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            start: self.start,
            at: self.now,
            info: self.info.clone(),
            processes: self.processes.iter().map(|(key, account)| self.process(*key, account)).collect(),
        }
    }

    /// What its threads did on which core. For how long they were on it is told if what the records may have missed, of
    /// all threads together, is no more than a hundredth of the time: no core's figure is further off than that.
    fn cores(&self, key: ProcessKey, account: &ProcessAccount, now: MonoNs) -> Vec<CoreFigures> {
        let mut cores = account.folded_cores.clone();
        let mut missing = account.folded_missing;
        for thread in self.threads.values().filter(|thread| thread.info.process == key) {
            let (own, own_missing) = thread.cores(now);
            missing += own_missing;
            for (cpu, time) in own {
                let sum = cores.entry(cpu).or_default();
                sum.held += time.held;
                sum.on_core += time.on_core;
            }
        }
        let is_told = account.switches.records > 0 && missing.0.saturating_mul(100) <= now.since(account.start).0;
        cores.retain(|_, time| is_told || time.held > Ns::ZERO);
        let figures = |(cpu, time): (Cpu, CoreTime)| CoreFigures {
            cpu,
            target_on_cpu: is_told.then_some(time.on_core),
            gil_held: time.held,
            other: None,
        };
        cores.into_iter().map(figures).collect()
    }

    fn interrupt_figures(&self, account: &ProcessAccount, now: MonoNs) -> Option<InterruptFigures> {
        let interrupts = &account.interrupts;
        let main = interrupts.main().and_then(|main| self.threads.get(&main));
        let waits = main.map(|main| main.waits.distribution(&[], self.interval));
        let (source, resolution) =
            waits.map_or((Source::Sampled, self.interval), |waits| (waits.source, waits.resolution));
        let context = Context { threads: &self.threads, python: account.info.python };
        interrupts.figures(now, context, source, resolution)
    }

    fn blame(&self, key: ProcessKey, account: &ProcessAccount) -> BlameFigures {
        let gils = self.gils.values().filter(|gil| gil.process() == key);
        blame::figures(gils, &self.threads, &self.defined, account.stacks_missing)
    }

    fn segments(&self, key: ProcessKey, account: &ProcessAccount) -> Segments {
        let now = account.end.unwrap_or(self.now);
        let gils = || self.gils.values().filter(|gil| gil.process() == key);
        let lane = |(thread, own): (&ThreadKey, &ThreadAccount)| {
            let takes = own.interpreters.iter().filter_map(|id| account.interpreters.get(id).copied().flatten());
            let mut takes: Vec<GilKey> = takes.collect();
            takes.dedup();
            let tick = |gil: GilKey| self.gils.get(&gil).map_or(now, GilAccount::last_tick);
            let end = own.end.unwrap_or(now);
            let until = takes.iter().map(|gil| tick(*gil)).max().unwrap_or(now).min(end);
            let open = own.going_on(*thread, end).chain(gil::going_on(*thread, own, tick)).collect();
            Lane { thread: *thread, start: own.start, until, gils: takes, open }
        };
        let own = self.threads.iter().filter(|(_, thread)| thread.info.process == key);
        let open = gils().flat_map(GilAccount::chart_open).collect();
        Segments::new(self.log.clone(), own.map(lane).collect(), open, Arc::clone(&self.defined))
    }

    /// Without a GIL there are none for certain.
    fn convoys(&self, key: ProcessKey) -> Option<Vec<Convoy>> {
        let mut gils = self.gils.values().filter(|gil| gil.process() == key).map(GilAccount::convoys).peekable();
        if gils.peek().is_none() {
            return Some(Vec::new());
        }
        gils.flatten().reduce(|mut all, more| {
            all.extend(more);
            all
        })
    }

    fn process(&self, key: ProcessKey, account: &ProcessAccount) -> ProcessFigures {
        let now = account.end.unwrap_or(self.now);
        let duration = now.since(account.start);
        let resolution = self.interval;
        let exactness = Exactness::of(self.gils.values().filter(|gil| gil.process() == key), now, self.costs.as_ref());
        let mut gils = BTreeMap::new();
        let mut whole = gil::Observed::default();
        for (gil, gil_account) in self.gils.iter().filter(|(_, gil)| gil.process() == key) {
            whole += gil_account.observed(now);
            gils.insert(*gil, Arc::new(gil_account.figures(&self.threads, resolution, exactness.distortion)));
        }
        let waits = gils.values().map(|gil: &Arc<snapshot::GilFigures>| &gil.waits);
        let edges = waits.filter(|waits| waits.source != Source::Sampled).map(|waits| waits.resolution).max();
        let coverage = match gils.is_empty() {
            true => 1.0,
            false => whole.covered.share_of(whole.lifetime).unwrap_or(0.0).min(1.0),
        };
        let ticks = |gil: GilKey| self.gils.get(&gil).map_or(now, GilAccount::last_tick);
        let threads: Vec<ThreadFigures> = self
            .threads
            .iter()
            .filter(|(_, thread)| thread.info.process == key)
            .map(|(thread_key, thread)| thread.figures(*thread_key, now, resolution, &ticks))
            .map(|figures| exactness.sharpen(figures))
            .map(|figures| match account.ending {
                Some(Ending::Exited | Ending::Execed { .. }) => ThreadFigures { now: ThreadState::Ended, ..figures },
                _ => figures,
            })
            .collect();
        ProcessFigures {
            key,
            target: Arc::clone(&account.info),
            ending: account.ending.clone(),
            children: account.children.clone(),
            capture: CaptureFigures {
                start: account.start,
                duration,
                coverage,
                resolution: edges.unwrap_or(resolution),
                interval: self.interval,
                interval_reason: self.interval_reason,
                samples: whole.samples,
                health: self.health,
                handoffs_seen: whole.handoffs_seen,
                handoffs_counted: whole.handoffs_counted,
                switches: self.mode().filter(|mode| *mode != Mode::Sampled).map(|_| {
                    let there = || self.threads.values().filter(|t| t.info.process == key && t.end.is_none());
                    let followed = there().filter(|thread| thread.runs.told_since().is_some()).count();
                    SwitchFigures { followed, threads: there().count(), ..account.switches }
                }),
                exact: (self.mode() == Some(Mode::Exact)).then(|| exactness.figures()),
                costs: self.costs,
                spent: self.spent,
                perturbation: exactness.perturbation(),
            },
            interpreters: account
                .interpreters
                .iter()
                .map(|(id, gil)| InterpreterFigures { id: *id, gil: gil.and_then(|g| gils.get(&g).cloned()) })
                .collect(),
            cores: self.cores(key, account, now),
            interrupts: self.interrupt_figures(account, now).map(Arc::new),
            blame: Arc::new(self.blame(key, account)),
            convoys: self.convoys(key),
            segments: self.segments(key, account),
            threads,
            folded_threads: account.folded_threads,
        }
    }
}
