//! A made-up capture on a machine with many cores: the events of a fused one, so many a second, the same for the same seed.
//!
//! One thread computes, the others hold the GIL for half a millisecond, wait for it again, or run native code, each time on
//! another core.

use std::collections::VecDeque;

use gilscope::event::{
    Build, CaptureInfo, CoreTotals, Cpu, Departure, DropRequest, Event, GilKey, GilSample, Hold, InterpreterId, Mode,
    Origin, Pid, Placement, ProcessInfo, ProcessKey, PythonVersion, RateReason, Relation, Role, Scope, ThreadInfo,
    ThreadKey, Tid, What,
};
use gilscope::time::{MonoNs, Ns};

const GIL: GilKey = GilKey(0);
const PROCESS: ProcessKey = ProcessKey(0);
const MILLISECOND: u64 = 1_000_000;
/// From one reading of the cores' totals to the next.
const CORES_EVERY: u64 = 250;
/// Milliseconds from handoff to handoff.
const HOLDS: u64 = 5;

/// How it is made.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Cores.
    pub cores: u16,
    /// Threads.
    pub threads: u32,
    /// Events a second, about.
    pub events: u64,
}

/// The generator: an endless iterator of events.
pub struct Stream {
    machine: Machine,
    random: fastrand::Rng,
    ready: VecDeque<Event>,
    begun: u64,
    milliseconds: u64,
    holder: u32,
    handoffs: u64,
    busy: Vec<u64>,
}

impl Stream {
    /// Its events from the beginning.
    pub fn of(machine: Machine) -> Stream {
        let mut stream = Stream {
            machine,
            random: fastrand::Rng::with_seed(9),
            ready: VecDeque::new(),
            begun: 77_000_000_000_000,
            milliseconds: 0,
            holder: 0,
            handoffs: 0,
            busy: vec![0; usize::from(machine.cores)],
        };
        stream.begin();
        stream
    }

    fn say(&mut self, at: u64, what: What) {
        self.ready.push_back(Event { at: MonoNs(at), what });
    }

    fn begin(&mut self) {
        let at = self.begun;
        let capture = CaptureInfo {
            tool_version: "bench".to_owned(),
            start_unix_ns: 1_790_000_000_000_000_000,
            mode: Mode::Fused,
            interval: Ns::MILLISECOND,
            host: "workshop".to_owned(),
            kernel: "6.18.0".to_owned(),
        };
        self.say(at, What::CaptureStarted(Box::new(capture)));
        let process = ProcessInfo {
            pid: Pid(4_711),
            cmdline: vec!["python3.11".to_owned(), "busy.py".to_owned()],
            python: PythonVersion { major: 3, minor: 11, patch: Some(7) },
            build: Build::Default,
            libc: "glibc 2.36".to_owned(),
            cpus_allowed: (0..self.machine.cores).map(Cpu).collect(),
            origin: Origin::Attached,
        };
        self.say(at, What::ProcessFound { process: PROCESS, info: Box::new(process) });
        self.say(at, What::GilFound { gil: GIL, process: PROCESS, switch_interval: Ns::from_millis(5) });
        self.say(at, What::InterpreterFound { process: PROCESS, interpreter: InterpreterId(0), gil: Some(GIL) });
        for number in 0..self.machine.threads {
            let thread = ThreadKey(number);
            let info = ThreadInfo {
                process: PROCESS,
                tid: Some(Tid(4_711 + number)),
                name: format!("worker-{number}"),
                role: if number == 0 { Role::Main } else { Role::Python },
                started: MonoNs(at),
            };
            self.say(at, What::ThreadFound { thread, info: Box::new(info) });
            self.say(at, What::ThreadJoined { thread, interpreter: InterpreterId(0) });
            self.say(at, What::SwitchesBegin { thread });
        }
        let reason = RateReason::Asked;
        self.say(at, What::RateChanged { interval: Ns::MILLISECOND, reason, of: Scope::Capture });
        self.get_core(at, self.holder);
    }

    fn get_core(&mut self, at: u64, thread: u32) -> Cpu {
        let cpu = Cpu(self.random.u16(0..self.machine.cores));
        self.say(at, What::SwitchedIn { thread: ThreadKey(thread), cpu });
        cpu
    }

    fn leave_core(&mut self, at: u64, thread: u32) {
        self.say(at, What::SwitchedOut { thread: ThreadKey(thread), how: Departure::Asleep });
    }

    fn relate(&mut self, at: u64, thread: u32, relation: Relation) {
        self.say(at, What::Relation { thread: ThreadKey(thread), gil: GIL, relation });
    }

    /// One millisecond: native code of some threads, then a look, now and then with a handoff.
    fn tick(&mut self) {
        let at = self.begun + self.milliseconds * MILLISECOND;
        self.milliseconds += 1;
        // A run is two events; a look with its relations about as many.
        let runs = (self.machine.events / 1_000).saturating_sub(2) / 2;
        let share = MILLISECOND * 8 / 10 / runs.max(1);
        for number in 0..runs {
            let thread = self.random.u32(0..self.machine.threads);
            if thread == self.holder {
                continue;
            }
            let begins = at + number * share;
            let length = self.random.u64(share / 4..share / 2);
            let cpu = self.get_core(begins, thread);
            self.leave_core(begins + length, thread);
            if let Some(busy) = self.busy.get_mut(usize::from(cpu.0)) {
                *busy += length;
            }
        }
        let look = at + MILLISECOND * 9 / 10;
        if self.milliseconds.is_multiple_of(HOLDS) {
            let old = self.holder;
            self.holder = (old + 1 + self.random.u32(0..self.machine.threads - 1)) % self.machine.threads;
            self.handoffs += 1;
            self.leave_core(look - 60_000, old);
            self.get_core(look - 50_000, self.holder);
            self.relate(look, old, Relation::Waiting);
            self.relate(look, self.holder, Relation::Apart);
        }
        let sample = GilSample {
            gil: GIL,
            hold: Hold::By {
                thread: ThreadKey(self.holder),
                placement: Some(Placement::OnOrQueued(Cpu((self.handoffs % u64::from(self.machine.cores)) as u16))),
            },
            switch_number: self.handoffs,
            waiters: Some(self.machine.threads / 2),
            drop_request: DropRequest::Absent,
        };
        self.say(look, What::GilSample(sample));
        if self.milliseconds.is_multiple_of(CORES_EVERY) {
            let cores = self.totals(look);
            self.say(look, What::CoresRead { tick: Ns::from_millis(10), cores });
        }
    }

    fn totals(&self, at: u64) -> Vec<CoreTotals> {
        let ticks = (at - self.begun) / (10 * MILLISECOND);
        let total = |(number, busy): (usize, &u64)| {
            let own = busy / (10 * MILLISECOND);
            let busy = own + ticks.saturating_sub(own) * (number as u64 % 7) / 20;
            CoreTotals { cpu: Cpu(number as u16), idle: ticks.saturating_sub(busy), busy, stolen: 0 }
        };
        self.busy.iter().enumerate().map(total).collect()
    }
}

impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            self.tick();
        }
        self.ready.pop_front()
    }
}
