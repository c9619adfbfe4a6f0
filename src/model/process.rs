//! The fold of what is observed of one process image: it knows nothing of any other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::blame::Defined;
use super::exactness::Exactness;
use super::gil::exact::Hit;
use super::gil::{self, GilAccount, Observed, Scrutiny, Seen, Threads, Word};
use super::interrupts::{Context, Interrupts, Ticked};
use super::machine::{CoreStep, Machine, OwnTime, Step};
use super::occupied::{AllTold, Places};
use super::runs::Runs;
use super::segments::{Entry, Ladder, Lane, Log, Sampled, Segments};
use super::snapshot::{
    BlameFigures, CaptureFigures, Convoy, CoreFigures, GilFigures, InterpreterFigures, InterruptFigures, MemoryFigures,
    Migrations, ProcessFigures, Source, SwitchFigures, ThreadFigures, ThreadState, UnwatchedFigures,
};
use super::thread::{CoreTime, ThreadAccount};
use super::told::Told;
use super::totals::{Looks, Totals};
use super::{ENDED_THREADS_KEPT, KEYS_KEPT, LONGEST_INTERVAL, blame};
use crate::event::{
    Costs, Cpu, Ending, GilKey, GilSample, Health, InterpreterId, Lags, MAX_CORES, Mode, NativeInfo, NativeKey, Pid,
    ProcessInfo, ProcessKey, RateReason, Spent, StacksMissing, SwitchesEnd, ThreadInfo, ThreadKey, Unwatched, What,
};
use crate::time::{MonoNs, Ns};

/// Children of a process that are listed.
const CHILDREN_KEPT: usize = 1_024;
/// Ended threads that are told apart by whom they made wait, however little is known of them.
const ENDED_APART: usize = 64;
/// So long after its end all is known of a thread's waits, and of who waited for it.
const JOIN_AFTER: Ns = Ns(1_000_000_000);
const JOIN_EVERY: Ns = Ns(500_000_000);
/// Different sets of cores that its threads may use.
const MASKS_KEPT: usize = 1_024;

/// What an instrument says of itself, in force until it says otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looking {
    /// Time between two ticks.
    pub interval: Ns,
    /// Why it is that.
    pub reason: RateReason,
    /// Its totals.
    pub health: Health,
    /// What the target has paid for it.
    pub spent: Spent,
    /// How far records of switches lie from what they stand for.
    pub lags: Lags,
}

impl Default for Looking {
    fn default() -> Looking {
        Looking {
            interval: Ns::MILLISECOND,
            reason: RateReason::Asked,
            health: Health::default(),
            spent: Spent::default(),
            lags: Lags::default(),
        }
    }
}

impl Looking {
    /// Takes what an instrument says of itself.
    pub fn apply(&mut self, what: &What) {
        match what {
            What::RateChanged { interval, reason, .. } => {
                self.interval = (*interval).min(LONGEST_INTERVAL);
                self.reason = *reason;
            }
            What::Health(health, _) => self.health = *health,
            What::Spent(spent, _) => self.spent = *spent,
            What::CostsKnown(costs) => self.lags = costs.lags.bounded(),
            _ => {}
        }
    }
}

/// What the whole capture knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a> {
    /// The time of the newest event.
    pub now: MonoNs,
    /// The precision that is aimed at.
    pub mode: Option<Mode>,
    /// What looking costs.
    pub costs: Option<&'a Costs>,
    /// Frames and stacks.
    pub defined: &'a Arc<Defined>,
    /// What all programs do on the cores.
    pub machine: &'a Machine,
}

/// The fold of one process image.
#[derive(Debug, Clone)]
pub(super) struct ProcessAccount {
    key: ProcessKey,
    info: Arc<ProcessInfo>,
    start: MonoNs,
    pub end: Option<MonoNs>,
    ending: Option<Ending>,
    children: Vec<Pid>,
    unwatched: UnwatchedChildren,
    interpreters: BTreeMap<InterpreterId, Option<GilKey>>,
    ended_interpreters: BTreeSet<InterpreterId>,
    gils: BTreeMap<GilKey, GilAccount>,
    threads: Threads,
    pub looking: Looking,
    /// The time of the newest event of it.
    now: MonoNs,
    /// Threads whose totals were read at this instant.
    read: Vec<ThreadKey>,
    /// Threads that have got a core since the newest tick.
    woken: Vec<ThreadKey>,
    /// When that was.
    ticked: MonoNs,
    /// Threads whose switches are told.
    followed: BTreeSet<ThreadKey>,
    /// Ended threads that are still kept one by one.
    ended_threads: usize,
    /// Those of them that are told apart however little is known of them, and when they ended.
    ended_apart: Vec<(MonoNs, ThreadKey)>,
    join_due: MonoNs,
    folded_threads: u64,
    records: Records,
    /// Per core: the time of ended threads that are no longer kept, and what is missing of it.
    folded_cores: BTreeMap<Cpu, CoreTime>,
    folded_missing: Ns,
    /// What it does on the cores, between the instants when those were read.
    own_time: OwnTime,
    migrations: Arc<Migrations>,
    /// Where its threads are, and were.
    places: Places,
    /// Sets of cores that its threads may use: they share them.
    masks: BTreeSet<Arc<[Cpu]>>,
    interrupts: Interrupts,
    stacks_missing: Option<StacksMissing>,
    /// What it has in memory.
    memory: MemoryFigures,
    /// What each thread did when.
    log: Log,
    /// What they did before.
    ladder: Arc<Ladder>,
}

impl ProcessAccount {
    pub fn new(key: ProcessKey, info: ProcessInfo, at: MonoNs, looking: Looking) -> ProcessAccount {
        ProcessAccount {
            key,
            info: Arc::new(info),
            start: at,
            end: None,
            ending: None,
            children: Vec::new(),
            unwatched: UnwatchedChildren::default(),
            interpreters: BTreeMap::new(),
            ended_interpreters: BTreeSet::new(),
            gils: BTreeMap::new(),
            threads: Threads::new(),
            looking,
            now: at,
            read: Vec::new(),
            woken: Vec::new(),
            ticked: MonoNs(0),
            followed: BTreeSet::new(),
            ended_threads: 0,
            ended_apart: Vec::new(),
            join_due: MonoNs(0),
            folded_threads: 0,
            records: Records::default(),
            folded_cores: BTreeMap::new(),
            folded_missing: Ns::ZERO,
            own_time: OwnTime::default(),
            migrations: Arc::default(),
            places: Places::beginning(at),
            masks: BTreeSet::new(),
            interrupts: Interrupts::default(),
            stacks_missing: None,
            memory: MemoryFigures::default(),
            log: Log::default(),
            ladder: Arc::new(Ladder::beginning(at)),
        }
    }

    /// Its threads that are kept one by one, ended ones included.
    pub fn threads_known(&self) -> usize {
        self.threads.len()
    }

    /// Bytes that a copy of what its threads did holds on to by itself.
    pub fn history_weight(&self) -> usize {
        self.log.weight() + self.ladder.weight()
    }

    /// Time moves on.
    fn move_to(&mut self, at: MonoNs) {
        if at > self.now {
            self.read.clear();
            if self.ticked == self.now {
                self.woken.clear();
            }
            let told = if self.records.told.covers(self.now) { AllTold::Yes } else { AllTold::No };
            self.places.move_to(at, told);
            self.now = at;
        }
    }

    /// Folds in one event of this process.
    pub fn apply(&mut self, at: MonoNs, what: &What, mode: Option<Mode>) {
        self.move_to(at);
        match what {
            What::ProcessEnded { ending, .. } => {
                self.close(at);
                self.ending.get_or_insert_with(|| ending.clone());
            }
            What::Forked { child, .. } => {
                if self.children.len() < CHILDREN_KEPT && !self.children.contains(child) {
                    self.children.push(*child);
                }
            }
            What::ChildUnwatched { child, why, .. } => self.unwatched.tell(*child, *why),
            What::InterpreterFound { interpreter, gil, .. } => {
                if self.interpreters.len() < KEYS_KEPT {
                    self.interpreters.insert(*interpreter, *gil);
                }
            }
            What::InterpreterEnded { interpreter, .. } => self.end_interpreter(*interpreter),
            What::SwitchIntervalChanged { gil, switch_interval } => {
                self.gil(*gil, |gil, _| gil.set_switch_interval(*switch_interval));
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
            What::AffinityKnown { thread, cpus } => self.affinity(*thread, cpus),
            What::GilSample(sample) => self.tick(at, *sample, mode),
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
            What::RateChanged { .. } | What::Health(..) | What::Spent(..) => self.looking.apply(what),
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
                if self.followed.len() < KEYS_KEPT {
                    self.followed.insert(*thread);
                }
                let ticked = self.ticked;
                self.runs(*thread, |runs, records| {
                    if runs.told_since().is_none() {
                        records.told.begins(at, ticked);
                    }
                    runs.begin(at);
                });
            }
            What::SwitchesEnd { thread, why } => {
                self.followed.remove(thread);
                self.places.forget(*thread, at);
                self.runs(*thread, |runs, records| {
                    if runs.told_since().is_some() {
                        records.told.ends();
                    }
                    runs.end();
                    records.end(*why, at);
                });
            }
            What::SwitchedIn { thread, cpu } => {
                if self.woken.len() < KEYS_KEPT && self.woken.last() != Some(thread) {
                    self.woken.push(*thread);
                }
                let moved = self.runs(*thread, |runs, records| {
                    records.figures.records += 1;
                    runs.switched_in(at, *cpu)
                });
                if self.followed.contains(thread) {
                    self.places.arrives(*thread, at, *cpu);
                }
                if let Some(from) = moved.flatten() {
                    Arc::make_mut(&mut self.migrations).note(from, *cpu);
                }
            }
            What::SwitchedOut { thread, how } => {
                self.places.departs(*thread, at, *how);
                let turn = self.runs(*thread, |runs, records| {
                    records.figures.records += 1;
                    runs.switched_out(at, *how)
                });
                if let Some(turn) = turn.flatten() {
                    self.log.push(Entry::Ran { thread: *thread, turn });
                }
            }
            What::FutexesBegin { thread } => {
                self.runs(*thread, |runs, _| runs.futexes_begin(at));
            }
            What::FutexesEnd { thread, .. } => {
                self.runs(*thread, |runs, _| runs.futexes_end());
            }
            What::FutexEntered { gil, thread, site } => {
                self.runs(*thread, |runs, records| {
                    records.figures.named += 1;
                    runs.futex_entered(at, *gil, *site);
                });
            }
            What::SignalsKnown { .. }
            | What::SignalsPending { .. }
            | What::SignalsWaiting { .. }
            | What::SignalStepsBegin { .. }
            | What::SignalStepsEnd { .. }
            | What::SignalSent { .. }
            | What::SignalGenerated { .. }
            | What::SignalDelivered { .. }
            | What::PendingWritten { .. }
            | What::MainProgress { .. } => {
                if self.end.is_none() {
                    self.interrupts.apply(at, what);
                }
            }
            What::StackSampled { gil, thread, instant, stack, cause } => {
                self.gil(*gil, |gil, _| gil.stack_sampled(*instant, *thread, *stack, *cause));
                if let Some(stack) = *stack {
                    self.log.push(Entry::Sampled(Sampled { at: *instant, thread: *thread, stack }));
                }
            }
            What::WaiterSampled { gil, thread, stack, stands_for, .. } => {
                if self.threads.contains_key(thread) {
                    self.gil(*gil, |gil, _| gil.waiter_sampled(*thread, *stack, *stands_for));
                }
            }
            What::StacksMissing { why, .. } => self.stacks_missing = Some(*why),
            // After its end there is another program in its place, or none.
            What::MemoryRead { own, tree, .. } => {
                if self.end.is_none() {
                    self.memory.read(at, *own, *tree);
                }
            }
            // They are the capture's, or bring a key into view or end one: `Model` knows those.
            What::CaptureStarted(_)
            | What::CaptureEnded
            | What::ProcessFound { .. }
            | What::GilFound { .. }
            | What::ThreadFound { .. }
            | What::ThreadEnded { .. }
            | What::NativeFound { .. }
            | What::NativeSampled { .. }
            | What::FrameFound { .. }
            | What::StackFound { .. }
            | What::CostsKnown(_)
            | What::CoresRead { .. }
            | What::Marked { .. } => {}
        }
    }

    /// The cores were read. `step`: what they did since the reading before.
    pub fn cores_read(&mut self, at: MonoNs, step: Option<&Step<CoreStep>>) {
        if self.end.is_some() {
            return;
        }
        let unrecorded = (!self.followed.is_empty()).then(|| {
            let all = self.threads.iter().map(|(key, thread)| (*key, thread.unrecorded(at)));
            all.filter(|(_, (time, _))| *time > Ns::ZERO).collect()
        });
        self.own_time.read(at, &self.used_cores(at).0, unrecorded, step);
    }

    /// A process with this pid has come into view after all.
    pub fn watched(&mut self, pid: Pid) {
        self.unwatched.by_pid.remove(&pid);
    }

    fn affinity(&mut self, thread: ThreadKey, cpus: &[Cpu]) {
        let Some(account) = self.threads.get_mut(&thread) else { return };
        let cpus = cpus.get(..MAX_CORES).unwrap_or(cpus);
        account.cpus = match self.masks.get(cpus) {
            Some(mask) => Some(Arc::clone(mask)),
            None if self.masks.len() < MASKS_KEPT => {
                let mask: Arc<[Cpu]> = cpus.into();
                self.masks.insert(Arc::clone(&mask));
                Some(mask)
            }
            None => None,
        };
    }

    /// A GIL came into view.
    pub fn gil_found(&mut self, gil: GilKey, switch_interval: Ns, at: MonoNs) {
        self.move_to(at);
        let key = self.key;
        self.gils.entry(gil).or_insert_with(|| GilAccount::new(gil, key, switch_interval, at));
    }

    /// A thread came into view.
    pub fn thread_found(&mut self, thread: ThreadKey, info: &ThreadInfo, at: MonoNs) {
        self.move_to(at);
        let (records, start, added) = (&mut self.records, self.start, self.ladder.until());
        self.threads.entry(thread).or_insert_with(|| {
            records.told.found(at);
            let mut account = ThreadAccount::new(info.clone(), at, start);
            account.added_from = added;
            account
        });
    }

    /// A holder was seen in native code.
    pub fn native_sampled(&mut self, at: MonoNs, what: &What, native: NativeKey, info: &Arc<NativeInfo>) {
        self.move_to(at);
        if let What::NativeSampled { gil, thread, instant, how, .. } = what {
            self.gil(*gil, |gil, _| gil.native_sampled(*thread, (native, info), *instant, *how));
        }
    }

    fn tick(&mut self, at: MonoNs, sample: GilSample, mode: Option<Mode>) {
        // Switch records are in the nature of the fused instrument; windows are told to the account itself.
        let scrutiny = match self.followed.is_empty() || mode == Some(Mode::Exact) {
            true => Scrutiny::Distant,
            false => Scrutiny::Close,
        };
        let Some(account) = self.gils.get_mut(&sample.gil) else { return };
        let interpreters = &self.interpreters;
        let takes_it = |thread: &ThreadAccount| {
            thread.interpreters.iter().any(|id| interpreters.get(id).is_some_and(|gil| *gil == Some(sample.gil)))
        };
        let seen =
            Seen { read: &self.read, woken: &self.woken, scrutiny, told: self.records.told, lags: self.looking.lags };
        account.tick(at, sample, self.looking.interval, &mut self.threads, seen, &takes_it);
        account.charted().for_each(|entry| self.log.push(entry));
        let before = std::mem::replace(&mut self.ticked, at);
        // The main thread takes the main interpreter's.
        if interpreters.get(&InterpreterId(0)).copied().flatten() == Some(sample.gil) {
            let ticked = Ticked { at, gil: account, interval: self.looking.interval };
            let context = Context { threads: &self.threads, python: self.info.python };
            self.interrupts.tick(ticked, context);
        }
        let told = || {
            let living = self.threads.values().filter(|account| account.end.is_none());
            living.filter_map(ThreadAccount::totals_until).min().unwrap_or(at)
        };
        if let Some(to) = self.ladder.is_due((before, at), self.log.forgets_next(), told) {
            self.add_up(at, to);
        }
    }

    /// What threads did up to an instant goes into the bins.
    fn add_up(&mut self, now: MonoNs, to: MonoNs) {
        let segments = self.segments(self.ladder.until(), now);
        let ended = |thread: ThreadKey| self.threads.get(&thread).and_then(|account| account.end);
        Arc::make_mut(&mut self.ladder).advance(&segments, to, ended);
    }

    fn gil(&mut self, gil: GilKey, note: impl FnOnce(&mut GilAccount, &Threads)) {
        if let Some(account) = self.gils.get_mut(&gil) {
            note(account, &self.threads);
        }
    }

    fn runs<T>(&mut self, thread: ThreadKey, note: impl FnOnce(&mut Runs, &mut Records) -> T) -> Option<T> {
        let account = self.threads.get_mut(&thread).filter(|account| account.end.is_none())?;
        Some(note(&mut account.runs, &mut self.records))
    }

    /// A thread was gone when looked for. Those that are no longer kept one by one for it.
    pub fn end_thread(&mut self, key: ThreadKey, at: MonoNs) -> BTreeSet<ThreadKey> {
        self.move_to(at);
        let Some(account) = self.threads.get_mut(&key).filter(|account| account.end.is_none()) else {
            return BTreeSet::new();
        };
        account.end = Some(at);
        self.followed.remove(&key);
        self.places.forget(key, at);
        let told = account.runs.told_since().is_some();
        for gil in self.gils.values_mut() {
            gil.thread_ended(key, account);
        }
        self.ended_threads += 1;
        if !told {
            self.records.told.begins(at, self.ticked);
        }
        self.ended_apart.push((at, key));
        self.join_ended(at);
        self.fold_ended()
    }

    /// Of very many threads that have ended, those that lost and held least are not told apart where there are too few
    /// samples of them.
    fn join_ended(&mut self, at: MonoNs) {
        if self.ended_apart.len() < 2 * ENDED_APART || at < self.join_due {
            return;
        }
        self.join_due = at + JOIN_EVERY;
        let (settled, mut apart): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ended_apart).into_iter().partition(|(ended, _)| *ended + JOIN_AFTER <= at);
        let weight = |key: ThreadKey| Some((self.threads.get(&key)?.weight(), key));
        let mut by_weight: Vec<_> =
            settled.into_iter().filter_map(|(ended, key)| Some((weight(key)?, (ended, key)))).collect();
        by_weight.sort_unstable();
        let heaviest = by_weight.split_off(by_weight.len().saturating_sub(ENDED_APART));
        apart.extend(heaviest.into_iter().map(|(_, ended)| ended));
        self.ended_apart = apart;
        let joined: BTreeSet<ThreadKey> = by_weight.into_iter().map(|(_, (_, key))| key).collect();
        self.gils.values_mut().for_each(|gil| gil.join_ended(&joined));
    }

    /// An own GIL ends with the last interpreter that used it.
    fn end_interpreter(&mut self, interpreter: InterpreterId) {
        let Some(gil) = self.interpreters.get(&interpreter).copied() else { return };
        self.ended_interpreters.insert(interpreter);
        let Some(gil) = gil else { return };
        let in_use = self.interpreters.iter().any(|(id, g)| *g == Some(gil) && !self.ended_interpreters.contains(id));
        if let Some(ended) = self.gils.get_mut(&gil).filter(|_| !in_use) {
            ended.end(&mut self.threads);
        }
    }

    /// Keeps the number of ended threads bounded: those that lost and held least go first.
    fn fold_ended(&mut self) -> BTreeSet<ThreadKey> {
        if self.ended_threads < 2 * ENDED_THREADS_KEPT {
            return BTreeSet::new();
        }
        let ended = self.threads.iter().filter(|(_, thread)| thread.end.is_some());
        let mut by_weight: Vec<((Ns, Ns), ThreadKey)> = ended.map(|(key, t)| (t.weight(), *key)).collect();
        by_weight.sort_unstable();
        by_weight.truncate(by_weight.len().saturating_sub(ENDED_THREADS_KEPT));
        let folded: BTreeSet<ThreadKey> = by_weight.iter().map(|(_, key)| *key).collect();
        for gil in self.gils.values_mut() {
            gil.forget(&folded);
        }
        for key in &folded {
            if let Some(thread) = self.threads.remove(key) {
                self.ended_threads = self.ended_threads.saturating_sub(1);
                self.folded_threads += 1;
                let (cores, missing) = thread.cores(self.now);
                self.folded_missing += missing;
                for (cpu, time) in cores {
                    let folded = self.folded_cores.entry(cpu).or_default();
                    folded.held += time.held;
                    folded.on_core += time.on_core;
                }
            }
        }
        folded
    }

    /// It is over, or the capture is.
    pub fn close(&mut self, at: MonoNs) {
        if self.end.is_some() {
            return;
        }
        self.move_to(at);
        self.end = Some(at);
        self.places.forget_all(at);
        for gil in self.gils.values_mut() {
            gil.end(&mut self.threads);
        }
    }

    /// What its threads have used of each core by `now`, and how much of that may be missing.
    fn used_cores(&self, now: MonoNs) -> (BTreeMap<Cpu, CoreTime>, Ns) {
        let mut cores = self.folded_cores.clone();
        let mut missing = self.folded_missing;
        for thread in self.threads.values() {
            let (own, own_missing) = thread.cores(now);
            missing += own_missing;
            for (cpu, time) in own {
                let sum = cores.entry(cpu).or_default();
                sum.held += time.held;
                sum.on_core += time.on_core;
            }
        }
        (cores, missing)
    }

    /// What its threads did on which core. For how long they were on it is told if what the records may have missed, of
    /// all threads together, is no more than a hundredth of the time: no core's figure is further off than that.
    fn cores(&self, now: MonoNs) -> Vec<CoreFigures> {
        let lifetime = now.since(self.start);
        let (mut cores, missing) = self.used_cores(now);
        let is_told = self.records.figures.records > 0 && missing.0.saturating_mul(100) <= lifetime.0;
        cores.retain(|_, time| is_told || time.held > Ns::ZERO);
        let loads = self.own_time.loads(lifetime);
        for cpu in loads.keys() {
            cores.entry(*cpu).or_default();
        }
        let figures = |(cpu, time): (Cpu, CoreTime)| {
            let load = loads.get(&cpu);
            CoreFigures {
                cpu,
                target_on_cpu: is_told.then_some(time.on_core),
                gil_held: time.held,
                other: load.and_then(|load| load.other).filter(|_| is_told),
                busy: load.map(|load| load.busy),
                stolen: load.map(|load| load.stolen),
            }
        };
        cores.into_iter().map(figures).collect()
    }

    fn interrupt_figures(&self, now: MonoNs) -> Option<InterruptFigures> {
        let interrupts = &self.interrupts;
        let main = interrupts.main().and_then(|main| self.threads.get(&main));
        let waits = main.map(|main| main.waits.distribution(&[], self.looking.interval));
        let (source, resolution) =
            waits.map_or((Source::Sampled, self.looking.interval), |waits| (waits.source, waits.resolution));
        let context = Context { threads: &self.threads, python: self.info.python };
        interrupts.figures(now, context, source, resolution)
    }

    fn blame(&self, defined: &Defined) -> BlameFigures {
        blame::figures(self.gils.values(), &self.threads, defined, self.stacks_missing)
    }

    /// Without a GIL there are none for certain.
    fn convoys(&self) -> Option<Vec<Convoy>> {
        let mut gils = self.gils.values().map(GilAccount::convoys).peekable();
        if gils.peek().is_none() {
            return Some(Vec::new());
        }
        gils.flatten().reduce(|mut all, more| {
            all.extend(more);
            all
        })
    }

    /// What threads that were there after `since` did.
    fn segments(&self, since: MonoNs, now: MonoNs) -> Segments {
        let tick = |gil: GilKey| self.gils.get(&gil).map_or(now, GilAccount::last_tick);
        let lane = |(thread, own): (&ThreadKey, &ThreadAccount)| {
            let takes = own.interpreters.iter().filter_map(|id| self.interpreters.get(id).copied().flatten());
            let mut takes: Vec<GilKey> = takes.collect();
            takes.dedup();
            let end = own.end.unwrap_or(now);
            let until = takes.iter().map(|gil| tick(*gil)).max().unwrap_or(now).min(end);
            let open = own.going_on(*thread, end).chain(gil::going_on(*thread, own, tick)).collect();
            Lane { thread: *thread, start: own.start, added_from: own.added_from, until, gils: takes, open }
        };
        let open = self.gils.values().flat_map(GilAccount::chart_open).collect();
        let there = self.threads.iter().filter(|(_, own)| own.end.is_none_or(|end| end > since));
        Segments::new(self.log.clone(), there.map(lane).collect(), open)
    }

    /// Adds the running totals by `now`.
    pub fn total_up(&self, now: MonoNs, totals: &mut Totals) {
        let now = self.end.unwrap_or(now);
        let ticks = |gil: GilKey| self.gils.get(&gil).map_or(now, GilAccount::last_tick);
        totals.threads.extend(self.threads.iter().map(|(key, thread)| (*key, thread.states(now, &ticks))));
        let used: BTreeSet<GilKey> = self.interpreters.values().flatten().copied().collect();
        let mut of_all = Observed::default();
        self.gils.values().for_each(|gil| of_all += gil.observed(now));
        let looks = Looks::of(&self.looking.health, of_all.samples / used.len().max(1) as u64);
        totals.looks.insert(self.key, looks);
        let own = used.iter().filter_map(|key| Some((*key, self.gils.get(key)?)));
        totals.gils.extend(own.map(|(key, gil)| (key, gil.totals())));
    }

    /// What is known of it by now.
    pub fn figures(&self, shared: Shared<'_>) -> ProcessFigures {
        let now = self.end.unwrap_or(shared.now);
        let duration = now.since(self.start);
        let resolution = self.looking.interval;
        let exactness = Exactness::of(self.gils.values(), now, shared.costs);
        let mut gils = BTreeMap::new();
        let mut whole = Observed::default();
        for (gil, gil_account) in &self.gils {
            whole += gil_account.observed(now);
            gils.insert(*gil, Arc::new(gil_account.figures(now, &self.threads, resolution, exactness.distortion)));
        }
        let waits = gils.values().map(|gil: &Arc<GilFigures>| &gil.waits);
        let edges = waits.filter(|waits| waits.source != Source::Sampled).map(|waits| waits.resolution).max();
        let coverage = match gils.is_empty() {
            true => 1.0,
            false => whole.covered.share_of(whole.lifetime).unwrap_or(0.0).min(1.0),
        };
        let ticks = |gil: GilKey| self.gils.get(&gil).map_or(now, GilAccount::last_tick);
        let threads: Vec<ThreadFigures> = self
            .threads
            .iter()
            .map(|(thread_key, thread)| thread.figures(*thread_key, now, resolution, &ticks))
            .map(|figures| exactness.sharpen(figures))
            .map(|figures| match self.ending {
                Some(Ending::Exited | Ending::Execed { .. }) => ThreadFigures { now: ThreadState::Ended, ..figures },
                _ => figures,
            })
            .collect();
        ProcessFigures {
            key: self.key,
            target: Arc::clone(&self.info),
            ending: self.ending.clone(),
            children: self.children.clone(),
            unwatched: self.unwatched.figures(),
            capture: CaptureFigures {
                start: self.start,
                duration,
                coverage,
                resolution: edges.unwrap_or(resolution),
                interval: self.looking.interval,
                interval_reason: self.looking.reason,
                samples: whole.samples,
                health: self.looking.health,
                handoffs_seen: whole.handoffs_seen,
                handoffs_counted: whole.handoffs_counted,
                switches: shared.mode.filter(|mode| *mode != Mode::Sampled).map(|_| {
                    let there = || self.threads.values().filter(|t| t.end.is_none());
                    let followed = there().filter(|thread| thread.runs.told_since().is_some()).count();
                    SwitchFigures { followed, threads: there().count(), ..self.records.figures }
                }),
                exact: (shared.mode == Some(Mode::Exact)).then(|| exactness.figures()),
                costs: shared.costs.copied(),
                spent: self.looking.spent,
                perturbation: exactness.perturbation(),
            },
            interpreters: self
                .interpreters
                .iter()
                .map(|(id, gil)| InterpreterFigures { id: *id, gil: gil.and_then(|g| gils.get(&g).cloned()) })
                .collect(),
            cores: self.cores(now),
            machine: Arc::clone(shared.machine.steps()),
            own_time: Arc::clone(self.own_time.steps()),
            migrations: (self.records.figures.records > 0).then(|| Arc::clone(&self.migrations)),
            occupied: Arc::clone(self.places.bins()),
            interrupts: self.interrupt_figures(now).map(Arc::new),
            blame: Arc::new(self.blame(shared.defined)),
            convoys: self.convoys(),
            segments: self.segments(MonoNs(0), now).with(Arc::clone(&self.ladder), Arc::clone(shared.defined)),
            threads,
            folded_threads: self.folded_threads,
            memory: self.memory,
        }
    }
}

/// Children that are not looked into.
#[derive(Debug, Clone, Default)]
struct UnwatchedChildren {
    /// Those that may be yet.
    by_pid: BTreeMap<Pid, Unwatched>,
    too_short: u64,
}

impl UnwatchedChildren {
    fn tell(&mut self, child: Pid, why: Unwatched) {
        match why {
            Unwatched::TooShort => {
                self.by_pid.remove(&child);
                self.too_short += 1;
            }
            _ if self.by_pid.len() < CHILDREN_KEPT || self.by_pid.contains_key(&child) => {
                self.by_pid.insert(child, why);
            }
            _ => {}
        }
    }

    fn figures(&self) -> UnwatchedFigures {
        let of = |why: Unwatched| self.by_pid.values().filter(|own| **own == why).count() as u64;
        UnwatchedFigures {
            too_short: self.too_short,
            not_python: of(Unwatched::NotPython),
            unreadable: of(Unwatched::Unreadable),
            unreadable_pid: self.by_pid.iter().rfind(|(_, why)| **why == Unwatched::Unreadable).map(|(pid, _)| *pid),
            too_many: of(Unwatched::TooMany),
        }
    }
}

/// The switch records of a process.
#[derive(Debug, Clone, Default)]
struct Records {
    figures: SwitchFigures,
    told: Told,
    /// When they were given up last.
    given_up: MonoNs,
}

impl Records {
    /// Those of a thread are no longer told.
    fn end(&mut self, why: SwitchesEnd, at: MonoNs) {
        match why {
            SwitchesEnd::Lost { records } => self.figures.lost = self.figures.lost.saturating_add(records),
            // It is told of each thread.
            SwitchesEnd::TooCostly if self.given_up != at => {
                self.given_up = at;
                self.figures.given_up += 1;
            }
            SwitchesEnd::TooCostly | SwitchesEnd::Refused => {}
        }
    }
}
