//! Snapshots made by hand: say what the threads did with their time, and the figures follow.
//!
//! ```ignore
//! let snapshot = Scene::new(7)
//!     .lasting(12.0)
//!     .thread(Thread::main("MainThread").waits(0.02))
//!     .thread(Thread::named("hog").holds(0.97))
//!     .snapshot();
//! ```
//! The same seed gives the same snapshot. Shares are of the scene's duration, what is left over is idle.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made fails its test")]

mod blamed;
mod cores;
pub mod frames;
mod interrupted;
mod lanes;
mod scenes;

use std::sync::Arc;

use gilscope::event::{
    Build, CaptureInfo, Cpu, DropRequest, Ending, GilKey, Health, InterpreterId, Mode, Origin, Pid, Placement,
    ProcessInfo, ProcessKey, PythonVersion, RateReason, Role, Spent, ThreadKey, Tid,
};
use gilscope::model::lanes::{Holding, Lanes, Stretch};
use gilscope::model::segments::Segments;
use gilscope::model::snapshot::{
    CaptureFigures, CoreFigures, Distribution, GilFigures, GilNow, InterpreterFigures, MemoryFigures, ProcessFigures,
    Snapshot, Source, StateTimes, ThreadCore, ThreadFigures, ThreadState, UnwatchedFigures,
};
use gilscope::model::timeline::{Bin, Timeline};
use gilscope::time::{MonoNs, Ns};
use hdrhistogram::Histogram;

pub use blamed::*;
pub use cores::*;
pub use interrupted::*;
pub use lanes::*;
pub use scenes::*;

/// When every scene starts.
pub const START: MonoNs = MonoNs(5_000_000_000_000);

/// A process under construction.
#[derive(Debug, Clone)]
pub struct Scene {
    random: fastrand::Rng,
    duration: Ns,
    interval: Ns,
    cmdline: Vec<String>,
    python: PythonVersion,
    build: Build,
    gils: Vec<Vec<i64>>,
    free: Vec<i64>,
    threads: Vec<Thread>,
    contention: Option<f64>,
    coverage: f64,
    gaps: Vec<(f64, f64)>,
    reason: RateReason,
    ending: Option<Ending>,
    folded: u64,
}

/// A thread under construction.
#[derive(Debug, Clone)]
pub struct Thread {
    name: String,
    role: Role,
    interpreter: i64,
    running: f64,
    off_cpu: f64,
    waiting: f64,
    handing_over: f64,
    native: f64,
    runnable: f64,
    unknown: f64,
    lived: f64,
    wait: Ns,
    cpus: Vec<u16>,
    ended: bool,
}

impl Thread {
    /// A Python thread that does nothing yet.
    pub fn named(name: impl Into<String>) -> Thread {
        Thread {
            name: name.into(),
            role: Role::Python,
            interpreter: 0,
            running: 0.0,
            off_cpu: 0.0,
            waiting: 0.0,
            handing_over: 0.0,
            native: 0.0,
            runnable: 0.0,
            unknown: 0.0,
            lived: 1.0,
            wait: Ns::from_micros(5_100),
            cpus: vec![0, 1],
            ended: false,
        }
    }

    pub fn main(name: impl Into<String>) -> Thread {
        Thread { role: Role::Main, ..Thread::named(name) }
    }

    pub fn native_task(name: impl Into<String>) -> Thread {
        Thread { role: Role::Native, ..Thread::named(name) }
    }

    /// Holds the GIL on a core.
    pub fn holds(self, share: f64) -> Thread {
        Thread { running: share, ..self }
    }

    /// Holds the GIL asleep.
    pub fn holds_asleep(self, share: f64) -> Thread {
        Thread { off_cpu: share, ..self }
    }

    pub fn waits(self, share: f64) -> Thread {
        Thread { waiting: share, ..self }
    }

    /// The typical length of its waits.
    pub fn each_wait(self, wait: Ns) -> Thread {
        Thread { wait, ..self }
    }

    pub fn hands_over(self, share: f64) -> Thread {
        Thread { handing_over: share, ..self }
    }

    /// On a core without the GIL.
    pub fn native(self, share: f64) -> Thread {
        Thread { native: share, ..self }
    }

    /// Wants a core.
    pub fn queues(self, share: f64) -> Thread {
        Thread { runnable: share, ..self }
    }

    pub fn unknown(self, share: f64) -> Thread {
        Thread { unknown: share, ..self }
    }

    pub fn in_interpreter(self, id: i64) -> Thread {
        Thread { interpreter: id, ..self }
    }

    pub fn on(self, cpus: &[u16]) -> Thread {
        Thread { cpus: cpus.to_vec(), ..self }
    }

    /// Ended after this share of the scene, in which its shares are.
    pub fn ended_after(self, share: f64) -> Thread {
        Thread { lived: share, ended: true, ..self }
    }
}

fn part(whole: Ns, share: f64) -> Ns {
    Ns((whole.0 as f64 * share) as u64)
}

impl Scene {
    /// An empty process of 12 s on CPython 3.11 with one GIL.
    pub fn new(seed: u64) -> Scene {
        Scene {
            random: fastrand::Rng::with_seed(seed),
            duration: Ns::from_millis(12_000),
            interval: Ns::MILLISECOND,
            cmdline: ["python3.11", "server.py", "--port", "8080"].map(str::to_owned).to_vec(),
            python: PythonVersion { major: 3, minor: 11, patch: Some(7) },
            build: Build::Default,
            gils: vec![vec![0]],
            free: Vec::new(),
            threads: Vec::new(),
            contention: None,
            coverage: 0.998,
            gaps: Vec::new(),
            reason: RateReason::Asked,
            ending: None,
            folded: 0,
        }
    }

    pub fn lasting(self, seconds: f64) -> Scene {
        Scene { duration: part(Ns::SECOND, seconds), ..self }
    }

    pub fn sampled_every(self, interval: Ns, reason: RateReason) -> Scene {
        Scene { interval, reason, ..self }
    }

    pub fn command(self, words: &[&str]) -> Scene {
        Scene { cmdline: words.iter().map(|w| (*w).to_owned()).collect(), ..self }
    }

    pub fn python(self, minor: u8, build: Build) -> Scene {
        Scene { python: PythonVersion { major: 3, minor, patch: Some(1) }, build, ..self }
    }

    /// The interpreters, by the GIL they share.
    pub fn interpreters(self, gils: &[&[i64]]) -> Scene {
        Scene { gils: gils.iter().map(|ids| ids.to_vec()).collect(), ..self }
    }

    /// Interpreters that run without a GIL.
    pub fn without_gil(self, interpreters: &[i64]) -> Scene {
        Scene { free: interpreters.to_vec(), gils: Vec::new(), ..self }
    }

    pub fn thread(mut self, thread: Thread) -> Scene {
        self.threads.push(thread);
        self
    }

    /// Contention, where it does not follow from the waits (at most their sum).
    pub fn contended(self, share: f64) -> Scene {
        Scene { contention: Some(share), ..self }
    }

    pub fn coverage(self, share: f64) -> Scene {
        Scene { coverage: share, ..self }
    }

    /// Not observed from `from` to `to`, as shares of the duration.
    pub fn gap(mut self, from: f64, to: f64) -> Scene {
        self.gaps.push((from, to));
        self
    }

    pub fn ended(self, ending: Ending) -> Scene {
        Scene { ending: Some(ending), ..self }
    }

    pub fn folded(self, threads: u64) -> Scene {
        Scene { folded: threads, ..self }
    }

    /// The process as a snapshot of its own.
    pub fn snapshot(self) -> Snapshot {
        let (at, interval) = (START + self.duration, self.interval);
        Snapshot { start: START, at, info: Some(Arc::new(info(interval))), processes: vec![self.process(0)] }
    }

    /// The process as the `number`th of a snapshot.
    pub fn process(mut self, number: u32) -> ProcessFigures {
        let specs = std::mem::take(&mut self.threads);
        let threads: Vec<ThreadFigures> =
            specs.iter().enumerate().map(|(i, spec)| self.figures(i as u32, spec)).collect();
        let sharing = std::mem::take(&mut self.gils);
        let mut interpreters = Vec::new();
        for (key, ids) in sharing.iter().enumerate() {
            let gil = Arc::new(self.gil(GilKey(key as u32), ids, &threads));
            interpreters
                .extend(ids.iter().map(|id| InterpreterFigures { id: InterpreterId(*id), gil: Some(gil.clone()) }));
        }
        interpreters.extend(self.free.iter().map(|id| InterpreterFigures { id: InterpreterId(*id), gil: None }));
        interpreters.sort_by_key(|i| i.id);
        let counted = interpreters.iter().filter_map(|i| i.gil.as_ref()).map(|gil| gil.handoffs).sum::<u64>();
        let samples = self.duration.0 / self.interval.0.max(1);
        ProcessFigures {
            blame: Arc::default(),
            segments: Segments::default(),
            key: ProcessKey(number),
            target: Arc::new(ProcessInfo {
                pid: Pid(4242 + number),
                cmdline: self.cmdline.clone(),
                python: self.python,
                build: self.build,
                libc: "glibc 2.36".to_owned(),
                cpus_allowed: vec![Cpu(0), Cpu(1)],
                origin: Origin::Attached,
            }),
            ending: self.ending.clone(),
            children: Vec::new(),
            unwatched: UnwatchedFigures::default(),
            capture: CaptureFigures {
                start: START,
                duration: self.duration,
                coverage: self.coverage,
                resolution: self.interval,
                interval: self.interval,
                interval_reason: self.reason,
                samples,
                health: Health {
                    ticks: samples,
                    late: samples / 900,
                    failed_reads: 3,
                    torn_reads: samples / 400,
                    dropped_events: 0,
                    own_cpu: part(self.duration, 0.031),
                },
                handoffs_seen: counted * 9 / 10,
                handoffs_counted: counted,
                switches: None,
                exact: None,
                costs: None,
                spent: Spent::default(),
                perturbation: None,
            },
            interpreters,
            cores: cores(&threads),
            machine: Arc::default(),
            own_time: Arc::default(),
            migrations: None,
            occupied: Arc::default(),
            threads,
            folded_threads: self.folded,
            memory: MemoryFigures::default(),
            interrupts: None,
            convoys: Some(Vec::new()),
        }
    }

    fn figures(&mut self, number: u32, spec: &Thread) -> ThreadFigures {
        let life = part(self.duration, spec.lived);
        let of = |share: f64| part(life, share);
        let mut states = StateTimes {
            running: of(spec.running),
            holding_off_cpu: of(spec.off_cpu),
            waiting: of(spec.waiting),
            handing_over: of(spec.handing_over),
            native: of(spec.native),
            runnable: of(spec.runnable),
            idle: Ns::ZERO,
            unknown: of(spec.unknown),
        };
        states.idle = life.saturating_sub(states.total());
        let waits = self.distribution(states.waiting, spec.wait);
        let holds = self.distribution(states.holding(), Ns::from_micros(5_000));
        let held_on = |cpu: &u16| ThreadCore {
            cpu: Cpu(*cpu),
            on_cpu: None,
            gil_held: Ns(states.holding().0 / spec.cpus.len() as u64),
        };
        ThreadFigures {
            key: ThreadKey(number),
            tid: Some(Tid(4242 + number)),
            name: spec.name.clone(),
            role: spec.role,
            interpreters: if spec.role == Role::Native { Vec::new() } else { vec![InterpreterId(spec.interpreter)] },
            start: START,
            end: spec.ended.then_some(START + life),
            states,
            now: if spec.ended { ThreadState::Ended } else { likeliest(&states) },
            cpu: spec.cpus.first().map(|cpu| Cpu(*cpu)),
            cpus_allowed: None,
            lost: states.waiting,
            rounds_lost: Some(waits.count()),
            needless_releases: None,
            voluntary_switches: Some(waits.count() * 2),
            involuntary_switches: Some(waits.count() / 7),
            cores: spec.cpus.iter().map(held_on).filter(|core| core.gil_held > Ns::ZERO).collect(),
            waits,
            holds,
        }
    }

    /// Durations around `typical` that add up to about `total`, with a long tail.
    fn distribution(&mut self, total: Ns, typical: Ns) -> Distribution {
        let mut empty = Distribution::empty(Source::Sampled, self.interval);
        let count = (total.0 / typical.0.max(1)).min(50_000);
        if count == 0 {
            return Distribution { total, censored: u64::from(total > Ns::ZERO), ..empty };
        }
        let mut histogram = Histogram::<u32>::new_with_bounds(1, 3_600_000_000_000, 2).unwrap();
        for _ in 0..count {
            let tail = 1.0 / (1.0 - 0.97 * self.random.f64()).powf(0.25);
            let ns = (typical.0 as f64 * (0.75 + 0.2 * self.random.f64()) * tail) as u64;
            histogram.saturating_record(ns);
            empty.below_resolution += u64::from(ns < self.interval.0);
        }
        Distribution { histogram: Some(Arc::new(histogram)), total, censored: 1, ..empty }
    }

    fn gil(&mut self, key: GilKey, ids: &[i64], threads: &[ThreadFigures]) -> GilFigures {
        let users: Vec<&ThreadFigures> =
            threads.iter().filter(|t| t.interpreters.iter().any(|id| ids.contains(&id.0))).collect();
        let sum = |of: fn(&StateTimes) -> Ns| users.iter().map(|t| of(&t.states)).sum::<Ns>();
        let observed = part(self.duration, self.coverage);
        let share = |length: Ns| length.share_of(observed).unwrap_or(0.0);
        let load = share(sum(StateTimes::holding)).min(1.0);
        let asleep = share(sum(|s| s.holding_off_cpu)).min(1.0);
        let waiters = share(sum(|s| s.waiting));
        let contention = self.contention.unwrap_or(waiters.min(1.0));
        let waits = merged(users.iter().map(|t| &t.waits), self.interval);
        let holds = merged(users.iter().map(|t| &t.holds), self.interval);
        let waiting = users.iter().filter(|t| t.lost > Ns::ZERO).count() as u32;
        let holder = users.iter().max_by_key(|t| t.states.holding()).filter(|_| load > 0.5);
        GilFigures {
            key,
            switch_interval: Ns::from_millis(5),
            lifetime: self.duration,
            observed,
            load,
            held_off_cpu: Some(asleep),
            held_preempted: None,
            held_asleep: Some(asleep),
            contention,
            demand: load + waiters,
            mean_waiters: waiters,
            max_waiters: waiting.min((waiters * 3.0).ceil() as u32),
            lost: sum(|s| s.waiting),
            handoffs: waits.count() + 1,
            forced_handoffs: None,
            unclear_handoffs: 0,
            cross_core_handoffs: None,
            overdue: Some(Vec::new()),
            drop_latency: None,
            now: GilNow {
                holder: holder.map(|t| t.key),
                placement: holder.map(|_| Placement::OnOrQueued(Cpu(0))),
                waiters: Some(waiters.round() as u32),
                drop_request: DropRequest::Absent,
            },
            lanes: Arc::new(self.lanes(&users, load, waiters)),
            long_holds: Vec::new(),
            history: Arc::new(self.history(load, asleep, contention, waiters, waits.count())),
            waits,
            holds,
        }
    }

    /// Turns of five milliseconds, to each holder by its share.
    fn lanes(&self, users: &[&ThreadFigures], load: f64, waiters: f64) -> Lanes {
        let mut lanes = Lanes::default();
        let mut random = fastrand::Rng::with_seed(9);
        let turn = Ns::from_millis(5);
        let all: u64 = users.iter().map(|t| t.states.holding().0).sum();
        for i in 0..(self.duration.0 / turn.0).min(4_000) {
            let from = START + Ns(turn.0 * i);
            let mut drawn = random.u64(..all.max(1));
            let holder = users.iter().find(|t| {
                let mine = t.states.holding().0;
                let hit = drawn < mine;
                drawn = drawn.saturating_sub(mine);
                hit
            });
            let hold = holder.filter(|_| random.f64() < load).map(|t| {
                let core = t.cores.get(i as usize / 40 % t.cores.len().max(1)).map_or(Cpu(0), |core| core.cpu);
                let asleep = random.f64() * t.states.holding().0 as f64 >= t.states.running.0 as f64;
                (Some(t.key), if asleep { Holding::Asleep(core) } else { Holding::On(core) })
            });
            lanes.add(from, from + turn, &Stretch { hold, waiters: waiters.round() as u32 });
        }
        lanes
    }

    fn history(&mut self, load: f64, asleep: f64, contention: f64, waiters: f64, handoffs: u64) -> Timeline {
        let mut line = Timeline::default();
        let step = Ns::from_millis(100);
        let steps = (self.duration.0 / step.0).min(20_000);
        for i in 0..steps {
            let at = i as f64 / steps as f64;
            if self.gaps.iter().any(|(from, to)| (*from..*to).contains(&at)) {
                continue;
            }
            let wave = if load > 0.995 { 1.0 } else { 0.6 + 0.4 * (at * 9.0).sin() + 0.3 * (self.random.f64() - 0.5) };
            let of = |share: f64| part(step, (share * wave).clamp(0.0, 1.0));
            let bin = Bin {
                observed: step,
                held: of(load),
                held_asleep: of(asleep),
                contended: of(contention),
                lost: part(step, (waiters * wave).max(0.0)),
                handoffs: handoffs / steps.max(1),
            };
            let from = START + Ns(step.0 * i);
            line.add(from, from + step, &bin);
        }
        line
    }
}

fn info(interval: Ns) -> CaptureInfo {
    CaptureInfo {
        tool_version: "0.1.0".to_owned(),
        start_unix_ns: 1_790_000_000_000_000_000,
        mode: Mode::Sampled,
        interval: interval.min(Ns::MILLISECOND),
        host: "build-7".to_owned(),
        kernel: "6.18.5".to_owned(),
    }
}

fn likeliest(states: &StateTimes) -> ThreadState {
    [
        (states.idle, ThreadState::Idle),
        (states.running, ThreadState::Running),
        (states.holding_off_cpu, ThreadState::HoldingOffCpu),
        (states.waiting, ThreadState::Waiting),
        (states.native, ThreadState::Native),
        (states.runnable, ThreadState::Runnable),
        (states.unknown, ThreadState::Unknown),
    ]
    .into_iter()
    .max_by_key(|(length, _)| *length)
    .map_or(ThreadState::Unknown, |(_, state)| state)
}

fn merged<'a>(parts: impl Iterator<Item = &'a Distribution>, resolution: Ns) -> Distribution {
    let mut all = Distribution::empty(Source::Sampled, resolution);
    let mut sum: Option<Histogram<u32>> = None;
    for part in parts {
        all.total += part.total;
        all.censored += part.censored;
        all.below_resolution += part.below_resolution;
        if let Some(histogram) = &part.histogram {
            match &mut sum {
                Some(sum) => sum.add(&**histogram).unwrap(),
                None => sum = Some((**histogram).clone()),
            }
        }
    }
    all.histogram = sum.map(Arc::new);
    all
}

fn cores(threads: &[ThreadFigures]) -> Vec<CoreFigures> {
    let mut held = std::collections::BTreeMap::<Cpu, Ns>::new();
    for core in threads.iter().flat_map(|t| &t.cores) {
        *held.entry(core.cpu).or_default() += core.gil_held;
    }
    held.into_iter()
        .map(|(cpu, gil_held)| CoreFigures {
            cpu,
            target_on_cpu: None,
            gil_held,
            other: None,
            busy: None,
            stolen: None,
        })
        .collect()
}
