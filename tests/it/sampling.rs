//! The sampler's view of a [`Truth`]: the events that `gilscope::event` documents, in the order it documents.

use std::ops::Range;

use gilscope::event::{
    Build, CaptureInfo, Cpu, DropRequest, Event, GilKey, GilSample, Hold, InterpreterId, Mode, Origin, Pid, Placement,
    ProcessInfo, ProcessKey, PythonVersion, Relation, Role, ThreadInfo, ThreadKey, Tid, Usage, What,
};
use gilscope::time::{MonoNs, Ns};

use crate::simulator::{State, Truth};

/// Virtual time 0 on the clock.
pub const ORIGIN: u64 = 1_000_000_000_000;
/// The kernel brings a running thread's total up to date this often.
const CLOCK_TICK: u64 = 4_000_000;
/// Time on a core that a time-out of a wait costs, or a race that was lost.
const BLIP: u64 = 4_000;
/// A holder that keeps the GIL is looked for on its core no more often.
const PLACEMENT_SPACING: u64 = 900_000;
/// Every thread's totals are read this often.
const SWEEP: u64 = 100_000_000;

/// How to look.
#[derive(Debug, Clone)]
pub struct Sampling {
    pub seed: u64,
    pub interval: Ns,
    pub process: ProcessKey,
    pub gil: GilKey,
    /// Thread `n` of the truth is this key plus `n`.
    pub first_thread: u32,
    /// No ticks in these spans of virtual time.
    pub gaps: Vec<Range<u64>>,
    /// One tick in so many fails altogether; 0: none.
    pub fails: u32,
    /// In these spans nobody's relation can be read, nor who holds.
    pub unreadable: Vec<Range<u64>>,
    /// Whether the condition variable's layout is known.
    pub count_waiters: Count,
    /// From and until when.
    pub capture: Range<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Known,
    NotKnown,
}

impl Sampling {
    pub fn at(interval: Ns, seed: u64) -> Sampling {
        Sampling {
            seed,
            interval,
            process: ProcessKey(0),
            gil: GilKey(0),
            first_thread: 0,
            gaps: Vec::new(),
            fails: 0,
            unreadable: Vec::new(),
            count_waiters: Count::Known,
            capture: 0..u64::MAX,
        }
    }

    pub fn key(&self, thread: usize) -> ThreadKey {
        ThreadKey(self.first_thread + thread as u32)
    }

    /// All events of a capture of `truth`.
    pub fn look(&self, truth: &Truth) -> Vec<Event> {
        Looking {
            sampling: self,
            truth,
            events: Vec::new(),
            at: MonoNs(0),
            relations: vec![None; truth.states.len()],
            told: vec![None; truth.states.len()],
            totals: vec![Totals::default(); truth.states.len()],
            last: None,
            placed_at: 0,
        }
        .run()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Always,
    IfMoved,
}

struct Looking<'a> {
    sampling: &'a Sampling,
    truth: &'a Truth,
    events: Vec<Event>,
    at: MonoNs,
    /// As told; `None`: the thread is not there.
    relations: Vec<Option<Relation>>,
    told: Vec<Option<Usage>>,
    totals: Vec<Totals>,
    last: Option<(Option<usize>, u64)>,
    placed_at: u64,
}

/// A thread's totals up to its change of state number `changes`.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    changes: usize,
    on_cpu: u64,
    run_delay: u64,
    timeslices: u64,
}

impl Looking<'_> {
    fn tell(&mut self, what: What) {
        self.events.push(Event { at: self.at, what });
    }

    fn run(mut self) -> Vec<Event> {
        let (process, gil) = (self.sampling.process, self.sampling.gil);
        let capture = self.sampling.capture.start..self.sampling.capture.end.min(self.truth.end);
        self.at = MonoNs(ORIGIN + capture.start);
        self.tell(What::CaptureStarted(Box::new(info(self.sampling.interval))));
        self.tell(What::ProcessFound { process, info: Box::new(target()) });
        self.tell(What::GilFound { gil, process, switch_interval: self.truth.switch_interval });
        self.tell(What::InterpreterFound { process, interpreter: InterpreterId(0), gil: Some(gil) });
        let mut random = fastrand::Rng::with_seed(self.sampling.seed);
        let mut cell = capture.start;
        let mut sweep = capture.start;
        while cell < capture.end {
            let now = cell + random.u64(0..self.sampling.interval.0);
            let fails = self.sampling.fails > 0 && random.u32(0..self.sampling.fails) == 0;
            cell += self.sampling.interval.0;
            if now >= capture.end || fails || within(&self.sampling.gaps, now) {
                continue;
            }
            self.at = MonoNs(ORIGIN + now);
            self.births(now);
            if now >= sweep {
                sweep = now + SWEEP;
                (0..self.relations.len()).for_each(|thread| self.usage(thread, now, Told::Always));
            }
            self.tick(now);
        }
        self.at = MonoNs(ORIGIN + capture.end);
        (0..self.relations.len()).for_each(|thread| self.usage(thread, capture.end, Told::Always));
        self.tell(What::CaptureEnded);
        self.events
    }

    fn births(&mut self, now: u64) {
        for thread in 0..self.relations.len() {
            let key = self.sampling.key(thread);
            let there = state_at(self.truth, thread, now) != State::Gone;
            match (self.relations[thread], there) {
                (None, true) => {
                    let started = self.truth.states[thread].iter().find(|(_, s)| *s != State::Gone).unwrap().0;
                    let info = ThreadInfo {
                        process: self.sampling.process,
                        tid: Some(Tid(100 + thread as u32)),
                        name: format!("Thread-{thread}"),
                        role: if thread == 0 { Role::Main } else { Role::Python },
                        started: MonoNs(ORIGIN + started),
                    };
                    self.tell(What::ThreadFound { thread: key, info: Box::new(info) });
                    self.tell(What::ThreadJoined { thread: key, interpreter: InterpreterId(0) });
                    self.relations[thread] = Some(Relation::Apart);
                }
                (Some(_), false) => {
                    self.tell(What::ThreadEnded { thread: key });
                    self.relations[thread] = None;
                }
                _ => {}
            }
        }
    }

    fn tick(&mut self, now: u64) {
        let readable = !within(&self.sampling.unreadable, now);
        let switch_number = self.truth.handoffs.partition_point(|(at, _)| *at <= now) as u64;
        let threads = 0..self.relations.len();
        let holder = threads.clone().find(|t| state_at(self.truth, *t, now).holds());
        let hidden = self.last.is_some_and(|(_, n)| switch_number - n > u64::from(holder.is_some()));
        for thread in threads.clone().filter(|t| self.relations[*t].is_some()).collect::<Vec<_>>() {
            let relation = match state_at(self.truth, thread, now) {
                _ if !readable => Relation::Unknown,
                State::Waiting => Relation::Waiting,
                State::HandingOver => Relation::HandingOver,
                _ => Relation::Apart,
            };
            let changed = self.relations[thread] != Some(relation);
            if relation == Relation::Waiting && (changed || hidden) {
                self.usage(thread, now, Told::IfMoved);
            }
            if changed {
                self.relations[thread] = Some(relation);
                self.tell(What::Relation { thread: self.sampling.key(thread), gil: self.sampling.gil, relation });
            }
        }
        let kept = self.last == Some((holder, switch_number));
        let placement = holder.filter(|_| !kept || now - self.placed_at >= PLACEMENT_SPACING).map(|thread| {
            self.usage(thread, now, Told::IfMoved);
            self.placed_at = now;
            let cpu = Cpu(thread as u16 % 2);
            match state_at(self.truth, thread, now) {
                State::HoldingAsleep => Placement::Asleep(cpu),
                _ => Placement::OnOrQueued(cpu),
            }
        });
        let hold = match holder {
            Some(_) if !readable => Hold::ByUnknown,
            Some(thread) => Hold::By { thread: self.sampling.key(thread), placement },
            None => Hold::Free,
        };
        let waiting = threads.filter(|t| state_at(self.truth, *t, now) == State::Waiting).count() as u32;
        self.tell(What::GilSample(GilSample {
            gil: self.sampling.gil,
            hold,
            switch_number,
            waiters: (self.sampling.count_waiters == Count::Known).then_some(waiting),
            drop_request: match self.truth.requests[..self.truth.requests.partition_point(|(at, _)| *at <= now)].last()
            {
                Some((_, until)) if holder.is_some() && now < *until => DropRequest::Pending,
                _ => DropRequest::Absent,
            },
        }));
        self.last = Some((holder, switch_number));
    }

    fn usage(&mut self, thread: usize, now: u64, told: Told) {
        if self.relations[thread].is_none() {
            return;
        }
        let usage = self.totals[thread].usage_at(self.truth, thread, now);
        if told == Told::Always || self.told[thread] != Some(usage) {
            self.told[thread] = Some(usage);
            self.tell(What::Usage { thread: self.sampling.key(thread), usage });
        }
    }
}

fn within(spans: &[Range<u64>], now: u64) -> bool {
    spans.iter().any(|span| span.contains(&now))
}

fn state_at(truth: &Truth, thread: usize, now: u64) -> State {
    let changes = &truth.states[thread];
    changes[changes.partition_point(|(at, _)| *at <= now) - 1].1
}

impl Totals {
    /// The kernel's totals: a running thread's are brought up to date at clock ticks, a queued one's when it gets a
    /// core.
    fn usage_at(&mut self, truth: &Truth, thread: usize, now: u64) -> Usage {
        let changes = &truth.states[thread];
        while let Some((end, _)) = changes.get(self.changes + 1).filter(|(at, _)| *at <= now) {
            let (start, state) = changes[self.changes];
            let was_on_core = self.changes > 0 && changes[self.changes - 1].1.on_core();
            if state.on_core() {
                self.on_cpu += end - start;
                self.timeslices += u64::from(!was_on_core);
            }
            if matches!(state, State::Runnable | State::HoldingQueued) {
                self.run_delay += end - start;
            }
            self.changes += 1;
        }
        let (start, state) = changes[self.changes];
        let so_far = if state.on_core() { (now / CLOCK_TICK * CLOCK_TICK).max(start) - start } else { 0 };
        let blips = truth.blips[thread].partition_point(|at| *at <= now) as u64;
        Usage {
            on_cpu: Ns(self.on_cpu + so_far + blips * BLIP),
            run_delay: Ns(self.run_delay),
            timeslices: self.timeslices + blips,
            switches: None,
        }
    }
}

pub fn info(interval: Ns) -> CaptureInfo {
    CaptureInfo {
        tool_version: "0".to_owned(),
        start_unix_ns: 0,
        mode: Mode::Sampled,
        interval,
        host: "simulator".to_owned(),
        kernel: "6".to_owned(),
    }
}

pub fn target() -> ProcessInfo {
    ProcessInfo {
        pid: Pid(100),
        cmdline: vec!["python".to_owned()],
        python: PythonVersion { major: 3, minor: 11, patch: Some(7) },
        build: Build::Default,
        libc: "glibc 2.36".to_owned(),
        cpus_allowed: vec![Cpu(0), Cpu(1)],
        origin: Origin::Attached,
    }
}
