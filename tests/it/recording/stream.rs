//! A stream of events like one from a sampler at 1 kHz: CPU-bound threads that pass one GIL around. Made up, the same for the same seed.

use gilscope::event::{
    Build, CaptureInfo, Cpu, DropRequest, Event, GilKey, GilSample, Health, Hold, InterpreterId, Mode, Origin, Pid,
    Placement, ProcessInfo, ProcessKey, PythonVersion, RateReason, Relation, Role, Scope, Switches, ThreadInfo,
    ThreadKey, Tid, Usage, What,
};
use gilscope::time::{MonoNs, Ns};

const GIL: GilKey = GilKey(0);
const CORES: u16 = 4;
const INTERVAL: u64 = 1_000_000;

/// The generator: an endless iterator of events.
pub struct Stream {
    random: fastrand::Rng,
    now: u64,
    threads: Vec<Usage>,
    relations: Vec<Relation>,
    holder: usize,
    until: u64,
    switch_number: u64,
    health_due: u64,
    ticks: u64,
    ready: std::collections::VecDeque<Event>,
}

impl Stream {
    pub fn new(seed: u64, threads: usize) -> Stream {
        let now = 77_000_000_000_000;
        let mut stream = Stream {
            random: fastrand::Rng::with_seed(seed),
            now,
            threads: vec![Usage { switches: Some(Switches::default()), ..Usage::default() }; threads],
            relations: vec![Relation::Apart; threads],
            holder: 0,
            until: now,
            switch_number: 1_000,
            health_due: now + 1_000_000_000,
            ticks: 0,
            ready: std::collections::VecDeque::new(),
        };
        stream.begin();
        stream
    }

    fn begin(&mut self) {
        self.say(What::CaptureStarted(Box::new(CaptureInfo {
            tool_version: "0.1.0".into(),
            start_unix_ns: 1_790_000_000_000_000_000,
            mode: Mode::Sampled,
            interval: Ns(INTERVAL),
            host: "workshop".into(),
            kernel: "6.18.0".into(),
        })));
        let process = ProcessKey(0);
        self.say(What::ProcessFound {
            process,
            info: Box::new(ProcessInfo {
                pid: Pid(4711),
                cmdline: vec!["python3.11".into(), "busy.py".into(), "--threads=8".into()],
                python: PythonVersion { major: 3, minor: 11, patch: Some(7) },
                build: Build::Default,
                libc: "glibc 2.36".into(),
                cpus_allowed: (0..CORES).map(Cpu).collect(),
                origin: Origin::Attached,
            }),
        });
        self.say(What::GilFound { gil: GIL, process, switch_interval: Ns::from_millis(5) });
        self.say(What::InterpreterFound { process, interpreter: InterpreterId(0), gil: Some(GIL) });
        for number in 0..self.threads.len() as u32 {
            let thread = ThreadKey(number);
            self.say(What::ThreadFound {
                thread,
                info: Box::new(ThreadInfo {
                    process,
                    tid: Some(Tid(4711 + number)),
                    name: format!("worker-{number}"),
                    role: if number == 0 { Role::Main } else { Role::Python },
                    started: MonoNs(self.now - 1_000_000_000),
                }),
            });
            self.say(What::ThreadJoined { thread, interpreter: InterpreterId(0) });
        }
        self.say(What::RateChanged { interval: Ns(INTERVAL), reason: RateReason::Asked, of: Scope::Capture });
    }

    fn say(&mut self, what: What) {
        self.ready.push_back(Event { at: MonoNs(self.now), what });
    }

    fn relate(&mut self, thread: usize, relation: Relation) {
        if self.relations[thread] != relation {
            self.relations[thread] = relation;
            self.say(What::Relation { thread: ThreadKey(thread as u32), gil: GIL, relation });
        }
    }

    fn tick(&mut self) {
        let step = INTERVAL * 3 / 4 + self.random.u64(0..INTERVAL / 2);
        self.now += step;
        self.ticks += 1;
        self.threads[self.holder].on_cpu += Ns(step - self.random.u64(0..20_000));
        let (mut old, mut moved) = (self.holder, false);
        if self.now >= self.until {
            // A handoff: after a switch interval, or a little sooner or later.
            moved = true;
            old = self.holder;
            self.holder = (self.holder + 1 + self.random.usize(0..self.threads.len() - 1)) % self.threads.len();
            self.until = self.now + self.random.u64(4_500_000..5_600_000);
            self.switch_number += 1;
            for (thread, voluntary) in [(old, 2), (self.holder, 1)] {
                let usage = &mut self.threads[thread];
                usage.run_delay += Ns(self.random.u64(1_000..60_000));
                usage.timeslices += voluntary;
                if let Some(switches) = &mut usage.switches {
                    switches.voluntary += voluntary;
                }
            }
        }
        for thread in 0..self.threads.len() {
            let relation = match thread {
                _ if thread == self.holder => Relation::Apart,
                _ if thread == old && moved && self.random.u8(0..20) == 0 => Relation::HandingOver,
                _ => Relation::Waiting,
            };
            self.relate(thread, relation);
        }
        for thread in std::collections::BTreeSet::from([old, self.holder]) {
            self.say(What::Usage { thread: ThreadKey(thread as u32), usage: self.threads[thread] });
        }
        if self.now >= self.health_due {
            self.health_due += 1_000_000_000;
            let health = Health {
                ticks: self.ticks,
                own_cpu: Ns(self.ticks * 9_000),
                late: self.ticks / 500,
                ..Health::default()
            };
            self.say(What::Health(health, Scope::Capture));
        }
        let pending = self.until - self.now.min(self.until) < 500_000;
        self.say(What::GilSample(GilSample {
            gil: GIL,
            hold: Hold::By {
                thread: ThreadKey(self.holder as u32),
                placement: Some(Placement::OnOrQueued(Cpu(self.holder as u16 % CORES))),
            },
            switch_number: self.switch_number,
            waiters: Some(self.threads.len() as u32 - 1),
            drop_request: if pending { DropRequest::Pending } else { DropRequest::Absent },
        }));
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

/// The same events with the times pulled together, so that few of them span many seconds.
pub fn hurried(seed: u64, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Stream::new(seed, 3).take(count).collect();
    let start = events[0].at.0;
    for event in &mut events {
        event.at = MonoNs(start + (event.at.0 - start) * 40);
    }
    events
}
