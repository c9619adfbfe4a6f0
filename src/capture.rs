//! A live capture: the instruments on a thread of their own, events out of a bounded queue.
//!
//! The sampling thread waits for nobody. While the queue is full it keeps what
//! it has; beyond a bound it drops observations, counts them, and keeps the
//! definitions, without which later events would mean nothing.

mod calibration;
mod crowd;
mod family;
mod holes;
mod live;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use crate::event::{
    Costs, Ending, Event, GilKey, Health, Mode, Origin, Pid, ProcessKey, RateReason, Scope, Signal, StacksMissing,
    What, WindowEnd,
};
use crate::instruments::clock;
use crate::instruments::perf::FutexTracepoint;
use crate::instruments::schedule::{self, Bustle, Edges, Rate, Schedule};
use crate::instruments::{
    Arrivals, Beside, Births, Definitions, Keys, Memory, Merge, Moves, NativeLooks, Natives, Pot, Process, Punctuality,
    Purse, Release, Sampler, Sighting, Stacks, Switches, Trips, Verdict, Watchpoints, Writes,
};
use crate::target::{AttachError, ReadError, Target};
use crate::time::{MonoNs, Ns};

pub use crate::capture::family::{MOST_FOLLOWED, Root};
pub use crate::capture::live::Capture;

use crate::capture::calibration::Calibration;
use crate::capture::crowd::{Change, Crowd, Place};
use crate::capture::family::News;
use crate::capture::live::{Heard, Teller};

/// Events leave in batches at least this often.
const BATCH: Ns = Ns(40_000_000);
/// Events that may wait for room in the queue.
const BACKLOG: usize = 200_000;
/// Longest single sleep, so that a stop is noticed.
const NAP: Ns = Ns(50_000_000);
/// Intervals without a tick after which one counts however late it is. The model bridges no gap that long, so what it
/// sees counts from then on only.
const PATIENCE: u64 = 25;
/// How long a process that replaced itself may take to become a Python again.
const REPLACED_PATIENCE: Ns = Ns(3_000_000_000);
/// Doublings of the interval, at most: from the shortest to the longest.
const MOST_STRETCHED: u32 = 16;
/// `DEFAULT_INTERVAL` in Python/ceval_gil.h.
const DEFAULT_SWITCH_INTERVAL: Ns = Ns::from_millis(5);
/// Time over which the share of a core that ticks use is measured.
const SHARE_WINDOW: Ns = Ns(250_000_000);
/// So many times its share the sampler may have while the GIL is handed over more often than it is looked at otherwise.
const BUSY_TIMES: f64 = 2.0;

/// How to capture.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often to look.
    pub rate: Rate,
    /// How long, by the wall clock; `None`: until the target ends or it is stopped.
    pub duration: Option<Ns>,
    /// Which instruments look.
    pub precision: Precision,
    /// What is to name the sleeps of threads, beside switch records; tried before.
    pub tracepoint: Option<FutexTracepoint>,
    /// Whether to find out which native code holds.
    pub native: NativeLooks,
    /// Whether to look at what holders execute.
    pub stacks: StackLooks,
    /// What looking costs here, where that was measured before; `None`: it is measured, beside the first looks.
    pub costs: Option<Costs>,
    /// Whether the processes that the target makes are looked into.
    pub descendants: Descendants,
    /// gilscope's version.
    pub tool_version: String,
}

impl Options {
    /// The mean time between the first looks.
    fn first_interval(&self) -> Ns {
        let edges = match self.precision {
            Precision::Fused { .. } => Edges::BySwitches { switch_interval: DEFAULT_SWITCH_INTERVAL, handoffs: 0.0 },
            Precision::Sampled | Precision::Exact { .. } => Edges::ByLooks,
        };
        self.rate.interval(edges).clamp(schedule::SHORTEST, schedule::LONGEST)
    }
}

/// Whether the processes that a target makes are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descendants {
    /// They are told of.
    Left,
    /// They are, and what they make.
    Followed,
}

/// Whether to look at what holders execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackLooks {
    /// At random instants while somebody waits.
    AtRandom,
    /// Never.
    Never,
}

/// Which instruments look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Precision {
    /// The sampler alone.
    Sampled,
    /// The sampler and the kernel's switch records.
    Fused {
        /// What the records may cost the target: a share of its time.
        budget: f64,
    },
    /// They, and watchpoints in windows.
    Exact {
        /// What all of it may cost the target: a share of its time.
        budget: f64,
    },
}

impl Precision {
    fn mode(self) -> Mode {
        match self {
            Precision::Sampled => Mode::Sampled,
            Precision::Fused { .. } => Mode::Fused,
            Precision::Exact { .. } => Mode::Exact,
        }
    }

    fn budget(self) -> f64 {
        match self {
            Precision::Sampled => 0.0,
            Precision::Fused { budget } | Precision::Exact { budget } => budget,
        }
    }
}

/// Asks a capture to end: it takes the totals a last time and closes the stream in order.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Tells a capture of the signals that are sent to its target: they are events like others.
#[derive(Debug, Clone)]
pub struct SignalsSent(Sender<(MonoNs, Signal)>);

impl SignalsSent {
    /// One is sent at this instant. A capture that is over does not mind.
    pub fn tell(&self, at: MonoNs, signal: Signal) {
        let _over = self.0.send((at, signal));
    }
}

/// What one that looks is given.
struct Post {
    options: Options,
    stop: Stop,
    /// Until when it looks.
    until: Option<MonoNs>,
    teller: Teller,
    /// Where it tells of processes.
    news: Sender<News>,
    /// Where it hears of signals that are sent.
    sent: Option<Receiver<(MonoNs, Signal)>>,
    crowd: Crowd,
    /// What looking may cost all of them.
    pot: Pot,
    /// What looking costs; `None`: nothing that the target pays for.
    calibration: Option<Calibration>,
}

/// The sampling thread's state.
struct Run {
    options: Options,
    stop: Stop,
    /// Until when it looks.
    until: Option<MonoNs>,
    teller: Teller,
    news: Sender<News>,
    sent: Option<Receiver<(MonoNs, Signal)>>,
    keys: Keys,
    /// The newest image of the process.
    process: Option<ProcessKey>,
    schedule: Schedule,
    /// How often the interval was doubled for what looks cost.
    stretched: u32,
    /// Among others that look.
    place: Place,
    batch: Vec<Event>,
    batch_since: MonoNs,
    /// Events in their order, on their way out.
    ready: Vec<Event>,
    /// What the kernel's rings told, and what was seen meanwhile, until it is all in order.
    merge: Merge,
    switches: Option<Switches>,
    watchpoints: Option<Watchpoints>,
    /// The watchpoint on the word for pending signals.
    trips: Option<Trips>,
    /// The tracepoints of signals.
    arrivals: Option<Arrivals>,
    /// What names the native code that holds.
    natives: Option<Natives>,
    /// What holders execute.
    stacks: Option<Stacks>,
    defined: Definitions,
    /// What the process has in memory.
    memory: Option<Memory>,
    purse: Purse,
    /// Measures what looking costs, on a thread of its own.
    calibration: Option<Calibration>,
    health: Health,
    health_told: MonoNs,
    dropped: u64,
    /// Whether the sampler has to tell anew what it told of signals.
    hole: Hole,
    share_from: (MonoNs, Ns),
    /// How often the GIL is handed over.
    bustle: Bustle,
    cpu_before: Ns,
    reads_before: (u64, u64),
}

/// Why a process is no longer looked at.
enum Over {
    Stopped,
    Ended(Ending),
}

impl Run {
    fn new(post: Post, keys: Keys) -> Run {
        clock::punctual();
        let now = clock::now();
        let Post { options, stop, until, teller, news, sent, crowd, pot, calibration } = post;
        Run {
            schedule: Schedule::new(now, options.first_interval(), now.0),
            stretched: 0,
            place: crowd.enter(now),
            merge: Merge::default(),
            switches: (options.precision != Precision::Sampled).then(|| Switches::begin(options.tracepoint)),
            watchpoints: matches!(options.precision, Precision::Exact { .. }).then(Watchpoints::begin),
            arrivals: options.tracepoint.map(|_| Arrivals::begin()),
            natives: None,
            trips: match options.precision {
                Precision::Sampled => None,
                Precision::Fused { .. } => Some(Trips::begin(Beside::Records)),
                Precision::Exact { .. } => Some(Trips::begin(Beside::Windows)),
            },
            stacks: None,
            defined: Definitions::default(),
            memory: None,
            purse: Purse::out_of(pot, options.costs.unwrap_or(Costs::ASSUMED).within(options.precision.budget())),
            calibration,
            options,
            stop,
            until,
            teller,
            news,
            sent,
            keys,
            process: None,
            batch: Vec::new(),
            batch_since: now,
            ready: Vec::new(),
            health: Health::default(),
            health_told: now,
            dropped: 0,
            hole: Hole::None,
            share_from: (now, clock::thread_cpu()),
            bustle: Bustle::default(),
            cpu_before: clock::process_cpu(),
            reads_before: (0, 0),
        }
    }

    fn observe(mut self, target: Target, process: ProcessKey) {
        let pid = target.info().pid;
        let mut next = Some((target, process));
        while let Some((target, process)) = next.take() {
            match self.observe_image(target, process) {
                Over::Ended(Ending::Execed { .. }) => {
                    next = self.attach_again(pid).map(|target| (target, self.keys.process()));
                }
                Over::Ended(_) | Over::Stopped => {}
            }
        }
        self.calibrated(Calibrated::Awaited);
        self.tell_health(clock::now());
        self.flush(Flush::Wait);
        let _over = self.news.send(News::Over(clock::now()));
    }

    /// After an exec, the new program is found afresh, if it is a Python.
    fn attach_again(&mut self, pid: Pid) -> Option<Target> {
        self.flush(Flush::Try);
        let until = clock::now() + REPLACED_PATIENCE;
        loop {
            match Target::attach(pid, Ns::from_millis(20), Origin::Launched) {
                Ok(target) => return Some(target),
                Err(AttachError::NoSuchProcess { .. }) => return None,
                Err(_) if clock::now() >= until || self.is_over(clock::now()) => return None,
                Err(_) => {}
            }
        }
    }

    fn is_over(&self, now: MonoNs) -> bool {
        self.stop.is_requested() || self.until.is_some_and(|until| now >= until)
    }

    fn observe_image(&mut self, target: Target, process: ProcessKey) -> Over {
        self.reads_before = (self.health.failed_reads, self.health.torn_reads);
        self.process = Some(process);
        let mut sampler = match Sampler::begin(target, process, &mut self.keys, &mut self.batch) {
            Ok(sampler) => sampler,
            Err(error) => {
                let ending = match error {
                    ReadError::Gone => Ending::Exited,
                    error => Ending::LostSight { reason: error.to_string() },
                };
                self.batch
                    .push(Event { at: clock::now(), what: What::ProcessEnded { process, ending: ending.clone() } });
                return Over::Ended(ending);
            }
        };
        let _over = self.news.send(News::Found { pid: sampler.pid(), process });
        self.natives = Some(Natives::begin(self.options.native, sampler.code()));
        self.memory = Some(Memory::begin(sampler.pid(), sampler.process()));
        self.begin_stacks(&sampler);
        self.follow(0, &sampler);
        let mut looked = clock::now();
        loop {
            let now = clock::now();
            if self.is_over(now) {
                // A last look, for the handoffs up to here.
                let moves = Moves::default();
                let _last = sampler.tick(Punctuality::OnTime, &moves, &mut self.keys, &mut self.batch);
                sampler.finish(&mut self.batch);
                self.unwatch(&mut sampler);
                self.count_reads(&sampler);
                return Over::Stopped;
            }
            let due = self.schedule.next(now);
            self.health.late += due.skipped;
            self.sleep_until(due.at);
            let now = clock::now();
            if self.is_over(now) {
                continue;
            }
            let late = now.since(due.at) > self.schedule.tolerance()
                && now.since(looked) < Ns(self.schedule.interval().0.saturating_mul(PATIENCE));
            let when = if late { Punctuality::Late } else { Punctuality::OnTime };
            let told = self.batch.len();
            if std::mem::replace(&mut self.hole, Hole::None) == Hole::Made {
                sampler.forget_signals();
            }
            self.tell_sent(&mut sampler);
            self.drain(&mut sampler);
            self.meet_newborns(&mut sampler);
            let all_told = self.trips.as_ref().is_some_and(Trips::tells_all);
            sampler.writes_are(if all_told { Writes::Told } else { Writes::Unseen });
            let reads = sampler.reads();
            let moves = self.switches.as_ref().map_or_else(Moves::default, Switches::moves);
            let verdict = sampler.tick(when, &moves, &mut self.keys, &mut self.batch);
            // What a look that came too late, or that could not read, has not used is there for the next one.
            if let Some(switches) = self.switches.as_mut().filter(|_| verdict.is_some() && sampler.reads() == reads) {
                switches.looked();
            }
            let born = self.follow(told, &sampler);
            if born == Sighting::Birth {
                sampler.expect_a_birth();
            }
            let Some(verdict) = verdict else {
                self.health.late += 1;
                continue;
            };
            looked = now;
            self.health.ticks += 1;
            let now = clock::now();
            self.adapt(now, &mut sampler);
            self.calibrated(Calibrated::Already);
            if now.since(self.health_told) >= Ns::SECOND {
                self.count_reads(&sampler);
                self.tell_health(now);
            }
            if now.since(self.batch_since) >= BATCH {
                self.drain(&mut sampler);
                self.flush(Flush::Try);
            }
            if let Verdict::Over(ending) = verdict {
                self.unwatch(&mut sampler);
                self.count_reads(&sampler);
                return Over::Ended(ending);
            }
        }
    }

    /// Follows the threads that were told of in the batch from `told` on, and keeps to the budget.
    fn follow(&mut self, told: usize, sampler: &Sampler) -> Sighting {
        let now = clock::now();
        let news = self.batch.get(told..).unwrap_or_default();
        let mut begun = Vec::new();
        let mut switch_rate = 0;
        if let Some(watchpoints) = &mut self.watchpoints {
            watchpoints.follow(news);
        }
        if let Some(trips) = &mut self.trips {
            trips.follow(news, sampler.pid(), &mut self.merge);
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.follow(news, &mut self.merge);
        }
        if let Some(switches) = &mut self.switches {
            if news.iter().any(|event| matches!(event.what, What::GilFound { .. } | What::InterpreterEnded { .. })) {
                switches.look_at(sampler.futexes(), &mut begun);
            }
            switches.govern(now, &mut self.purse, &mut self.merge, &mut begun);
            switches.follow(news, &mut self.merge, &mut begun);
            switch_rate = switches.rate() / 2;
        }
        if let Some(natives) = &mut self.natives {
            natives.follow(news);
        }
        self.batch.append(&mut begun);
        // Nothing is armed before it is known what its hits cost here.
        if self.calibration.is_some() {
            return Sighting::Nothing;
        }
        let seen = match &mut self.watchpoints {
            Some(watchpoints) => watchpoints.govern(now, sampler, switch_rate, &mut self.purse, &mut self.merge),
            None => Sighting::Nothing,
        };
        if let Some(natives) = &mut self.natives {
            natives.govern(now, &mut self.purse, &mut self.keys, &mut self.batch);
        }
        let tripped = self.watch_trips(now, switch_rate, sampler);
        if tripped == Sighting::Birth { tripped } else { seen }
    }

    /// Watches the word for pending signals, unless what that takes is needed for something else.
    fn watch_trips(&mut self, now: MonoNs, switch_rate: u64, sampler: &Sampler) -> Sighting {
        let in_want = self.watchpoints.as_ref().is_some_and(Watchpoints::is_in_want)
            || self.switches.as_ref().is_some_and(Switches::is_in_want);
        let Some(trips) = &mut self.trips else { return Sighting::Nothing };
        if in_want {
            trips.give_way(sampler.pid(), &mut self.merge);
            return Sighting::Nothing;
        }
        trips.govern(now, sampler, sampler.pending_word(), switch_rate, &mut self.purse, &mut self.merge)
    }

    /// Takes over what was told of signals. What was let go of already cannot be put in its place any more.
    fn tell_sent(&mut self, sampler: &mut Sampler) {
        for (at, signal) in self.sent.iter().flat_map(Receiver::try_iter) {
            let at = at.max(self.batch_since);
            self.merge.push(at, What::SignalSent { process: sampler.process(), signal });
            sampler.expect_signals();
        }
    }

    /// Empties the kernel's rings, and takes over what was read beside the ticks.
    fn drain(&mut self, sampler: &mut Sampler) {
        if let Some((at, read)) = self.memory.as_mut().and_then(|memory| memory.drain(clock::now())) {
            self.merge.push(at.max(self.batch_since), read);
        }
        if let Some(stacks) = &mut self.stacks {
            stacks.drain(self.batch_since, sampler, &mut self.defined, &mut self.keys, &mut self.merge);
        }
        let switched = self.switches.as_mut().map(|switches| switches.drain(&mut self.merge));
        let hit = self.watchpoints.as_mut().map(|w| w.drain(sampler.pid(), &mut self.purse, &mut self.merge));
        let tripped = self.trips.as_mut().map(|trips| trips.drain(sampler.pid(), &mut self.purse, &mut self.merge));
        let (steps, tripped) = tripped.unwrap_or((0, Sighting::Nothing));
        let arrived = self.arrivals.as_mut().map_or(0, |arrivals| arrivals.drain(&*sampler, &mut self.merge));
        if steps + arrived > 0 {
            sampler.expect_signals();
        }
        for child in self.switches.as_mut().map(Switches::take_children).into_iter().flatten() {
            let _over = self.news.send(News::Born { parent: sampler.pid(), child, at: clock::now() });
        }
        if [switched, hit, Some(tripped)].contains(&Some(Sighting::Birth)) {
            sampler.expect_a_birth();
        }
    }

    /// Makes known who was born and has been recorded since, in time for the look that follows.
    fn meet_newborns(&mut self, sampler: &mut Sampler) {
        let Some(switches) = &mut self.switches else { return };
        for (tid, born) in switches.newborns() {
            let born = born.max(self.merge.released());
            let thread = sampler.meet(tid, born, &mut self.keys, &mut self.batch);
            switches.meet(tid, thread, &mut self.merge, &mut self.batch);
        }
    }

    fn begin_stacks(&mut self, sampler: &Sampler) {
        let process = sampler.process();
        let missing = match self.options.stacks {
            StackLooks::Never => StacksMissing::NotAsked,
            StackLooks::AtRandom => {
                self.stacks = Stacks::begin(sampler.pid(), process);
                if self.stacks.is_some() {
                    return;
                }
                StacksMissing::Unreadable
            }
        };
        self.batch.push(Event { at: clock::now(), what: What::StacksMissing { process, why: missing } });
    }

    /// The image is over, or the observation: nothing of it is watched any more.
    fn unwatch(&mut self, sampler: &mut Sampler) {
        if let Some(watchpoints) = &mut self.watchpoints {
            watchpoints.finish(sampler.pid(), &mut self.purse, &mut self.merge);
        }
        if let Some(trips) = &mut self.trips {
            trips.finish(sampler.pid(), &mut self.purse, &mut self.merge);
        }
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.finish(sampler, &mut self.merge);
        }
        if let Some(switches) = &mut self.switches {
            switches.drain(&mut self.merge);
        }
        for (at, read) in self.memory.take().into_iter().flat_map(Memory::finish) {
            self.merge.push(at.max(self.batch_since), read);
        }
        if let Some(mut natives) = self.natives.take() {
            natives.finish(&mut self.keys, &mut self.batch);
        }
        if let Some(mut stacks) = self.stacks.take() {
            stacks.drain(self.batch_since, sampler, &mut self.defined, &mut self.keys, &mut self.merge);
        }
    }

    /// Takes over what looking costs here, once that was measured.
    fn calibrated(&mut self, how: Calibrated) {
        let Some(calibration) = &self.calibration else { return };
        let costs = match how {
            Calibrated::Already => calibration.known(),
            Calibrated::Awaited => Some(calibration.awaited()),
        };
        let Some(costs) = costs else { return };
        self.calibration = None;
        let costs = costs.within(self.options.precision.budget());
        let now = clock::now();
        self.purse.reprice(now, costs);
        self.batch.push(Event { at: now, what: What::CostsKnown(costs) });
    }

    fn sleep_until(&self, due: MonoNs) {
        loop {
            let now = clock::now();
            if now >= due || self.is_over(now) {
                return;
            }
            let end = self.until.unwrap_or(MonoNs(u64::MAX));
            clock::sleep_until(due.min(now + NAP).min(end));
        }
    }

    /// What tells of the edges of waits at present.
    fn edges(&self, sampler: &Sampler) -> Edges {
        let told = matches!(self.options.precision, Precision::Fused { .. })
            && self.switches.as_ref().is_some_and(Switches::tells_all);
        match told {
            true => Edges::BySwitches { switch_interval: sampler.switch_interval(), handoffs: self.bustle.rate() },
            false => Edges::ByLooks,
        }
    }

    /// Looks as often as was asked for, or as pays; lengthens the interval while ticks cost more than their share of a core,
    /// or while there is nothing to see in this process and others are looked at too, and shortens it again. Right after a
    /// tick, so that no time between two of them is longer than their interval.
    fn adapt(&mut self, now: MonoNs, sampler: &mut Sampler) {
        let woke = sampler.is_lively() && self.place.saw(now) == Change::Woke;
        let (from, cpu_from) = self.share_from;
        let length = now.since(from);
        if length < SHARE_WINDOW && !woke {
            return;
        }
        if length >= SHARE_WINDOW {
            self.bustle.count(now, sampler.handoffs());
        }
        let edges = self.edges(sampler);
        let asked = self.options.rate.interval(edges);
        if length >= SHARE_WINDOW {
            let cpu = clock::thread_cpu();
            let share = cpu.saturating_sub(cpu_from).share_of(length).unwrap_or(0.0);
            self.share_from = (now, cpu);
            self.purse.have(self.place.part());
            sampler.births_are(if edges == Edges::ByLooks { Births::Unseen } else { Births::Told });
            // Who asks for more than 1 kHz has asked for the cost that comes with it; without that, it is at most doubled.
            let times = (Ns::MILLISECOND.0 as f64 / asked.0.max(1) as f64).max(1.0);
            let most = if matches!(self.options.rate, Rate::Suited) { BUSY_TIMES } else { times };
            let allowed = self.place.share() * times.min(most);
            if share > allowed {
                self.stretched = (self.stretched + 1).min(MOST_STRETCHED);
            } else if share < allowed * 0.4 {
                self.stretched = self.stretched.saturating_sub(1);
            }
        }
        let records = self.switches.as_ref().map_or(0, Switches::rate);
        let afforded = Ns(asked.0.saturating_mul(1 << self.stretched)).min(schedule::LONGEST);
        let shared = self.place.interval(now, asked, records);
        let next = shared.max(afforded);
        if next == self.schedule.interval() {
            return;
        }
        let reason = match (shared > afforded, self.stretched > 0) {
            (true, _) => RateReason::Quiet,
            (false, true) => RateReason::TooCostly,
            (false, false) => RateReason::Recovered,
        };
        self.schedule.change(now, next);
        let interval = self.schedule.interval();
        self.batch.push(Event { at: now, what: What::RateChanged { interval, reason, of: self.scope() } });
        if let Some(stacks) = &self.stacks {
            let times = if reason == RateReason::Quiet { interval.0 / asked.0.max(1) } else { 1 };
            stacks.slow(u32::try_from(times).unwrap_or(u32::MAX));
        }
    }

    /// Whose the totals of these instruments are.
    fn scope(&self) -> Scope {
        self.process.map_or(Scope::Capture, Scope::Process)
    }

    fn count_reads(&mut self, sampler: &Sampler) {
        let reads = sampler.reads();
        self.health.failed_reads = self.reads_before.0 + reads.failed;
        self.health.torn_reads = self.reads_before.1 + reads.torn;
    }

    fn tell_health(&mut self, now: MonoNs) {
        self.health.own_cpu = clock::process_cpu().saturating_sub(self.cpu_before);
        self.health.dropped_events = self.dropped;
        self.health_told = now;
        self.batch.push(Event { at: now, what: What::Health(self.health, self.scope()) });
        if self.switches.is_some() {
            self.batch.push(Event { at: now, what: What::Spent(self.purse.spent(), self.scope()) });
        }
    }

    fn flush(&mut self, how: Flush) {
        let now = clock::now();
        self.batch_since = now;
        let until = match (how, &self.switches) {
            (Flush::Wait, _) | (_, None) => Release::All,
            (Flush::Try, Some(_)) => Release::BehindHorizon(now),
        };
        self.ready.append(&mut self.merge.release(&mut self.batch, until));
        let told = match until {
            Release::All => now,
            Release::BehindHorizon(_) => self.merge.released(),
        };
        if self.teller.tell(&mut self.ready, told, how) == Heard::ByNobody {
            self.stop.request();
        }
        if self.ready.len() > BACKLOG {
            self.drop_observations();
        }
    }

    /// Nobody takes the events: of those that wait, only the definitions are kept.
    fn drop_observations(&mut self) {
        let before = self.ready.len();
        let mut windows: BTreeMap<GilKey, MonoNs> = BTreeMap::new();
        for event in &self.ready {
            if let Some(gil) = event.what.window() {
                windows.entry(gil).or_insert(event.at);
            }
        }
        let holes = holes::of_signals(&self.ready);
        self.ready.retain(|event| !holes::is_observation(&event.what));
        let dropped = (before - self.ready.len()) as u64;
        self.dropped += dropped;
        if let Some(switches) = &self.switches {
            switches.tell_a_hole(self.merge.released(), dropped, &mut self.ready);
        }
        for hole in holes {
            let place = self.ready.partition_point(|event| event.at < hole.at);
            self.ready.insert(place, hole);
        }
        if let Some(trips) = &self.trips {
            trips.tell_a_hole(self.merge.released(), &mut self.ready);
        }
        if let Some(arrivals) = &self.arrivals {
            arrivals.tell_a_hole(self.merge.released(), &mut self.ready);
        }
        self.hole = Hole::Made;
        // A window with a hole in it ended where the hole begins.
        for (gil, at) in windows {
            let what = What::WindowEnds { gil, why: WindowEnd::Lost { records: 0 } };
            let place = self.ready.partition_point(|event| event.at < at);
            self.ready.insert(place, Event { at, what });
        }
        if let Some(watchpoints) = &mut self.watchpoints {
            watchpoints.tell_a_hole(&mut self.purse, &mut self.merge);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    None,
    /// Observations were dropped.
    Made,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calibrated {
    /// If that is done.
    Already,
    /// The observation ends: whatever it takes.
    Awaited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// Never waits for the reader.
    Try,
    /// Waits: the last batch closes the stream.
    Wait,
}
