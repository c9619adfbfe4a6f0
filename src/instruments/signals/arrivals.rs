//! Signals as the kernel sends and delivers them, by its tracepoints.
//!
//! A signal is sent by anybody, to any task, and a task is delivered one soon after its birth. So all tasks of the machine
//! are traced, by an event and a ring for each core, and those of the process are picked out here: there are few signals.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use crate::event::{Cpu, Event, ProcessKey, Refusal, SignalStep, StepsEnd, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::merge::Merge;
use crate::instruments::perf::{self, Addressee, Record, Ring, Room, SignalTrace, SignalTracepoints};
use crate::instruments::watchpoints::Process;
use crate::target::cpus;
use crate::time::{MonoNs, Ns};

/// Pages of each core's ring: some 300 signals between two looks.
const PAGES: usize = 8;
/// Records a second that are too many.
const MOST: u64 = 20_000;
/// Time over which they are counted.
const WINDOW: Ns = Ns(200_000_000);
/// The link of the machine's own PID namespace (`PROC_PID_INIT_INO`): elsewhere the records have other task ids.
const OUTERMOST: &str = "pid:[4026531836]";

/// What the tracepoints tell of one process after the other.
#[derive(Debug)]
pub struct Arrivals {
    cores: Vec<Core>,
    of: Option<ProcessKey>,
    tids: BTreeMap<Tid, ThreadKey>,
    state: State,
    window: (MonoNs, u64),
}

#[derive(Debug)]
struct Core {
    ring: Ring,
    _delivered: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// They are not told, since this, of which every process is told.
    Off(StepsEnd),
    /// They will be, from the next process on, or from here on.
    Ready,
    /// They are told, since then.
    On(MonoNs),
}

const STEPS: [SignalStep; 2] = [SignalStep::Generated, SignalStep::Delivered];

impl Arrivals {
    /// Opens them.
    pub fn begin() -> Arrivals {
        let (cores, state) = match open() {
            Ok(cores) => (cores, State::Ready),
            Err(why) => (Vec::new(), State::Off(StepsEnd::Refused { why })),
        };
        Arrivals { cores, of: None, tids: BTreeMap::new(), state, window: (clock::now(), 0) }
    }

    /// Notes whom `news` says that came into view. Whoever ended has sent and been sent what is in the rings.
    pub fn follow(&mut self, news: &[Event], told: &mut Merge) {
        for event in news {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.tids.insert(tid, *thread);
                    }
                    if self.of.replace(info.process) != Some(info.process) {
                        self.meet(info.process, told);
                    }
                }
                What::ThreadEnded { thread } => self.tids.retain(|_, key| key != thread),
                _ => {}
            }
        }
    }

    fn meet(&mut self, process: ProcessKey, told: &mut Merge) {
        match self.state {
            State::Off(why) => tell(told, clock::now(), |step| What::SignalStepsEnd { process, step, why }),
            State::Ready | State::On(_) => {
                for core in &mut self.cores {
                    core.ring.drain(|_| {});
                }
                self.start(process, told);
            }
        }
    }

    fn start(&mut self, process: ProcessKey, told: &mut Merge) {
        let now = clock::now();
        self.state = State::On(now);
        tell(told, now, |step| What::SignalStepsBegin { process, step });
    }

    /// Empties the rings. How many steps were told.
    pub fn drain(&mut self, there: &impl Process, told: &mut Merge) -> u64 {
        let Some(process) = self.of else { return 0 };
        let State::On(since) = self.state else { return 0 };
        let mut ends: Option<(MonoNs, StepsEnd)> = None;
        let (mut steps, mut all) = (0, 0);
        let (released, tids) = (told.released(), &self.tids);
        let mut tasks: Option<Vec<Tid>> = None;
        let mut end = |at: MonoNs, why: StepsEnd| {
            if ends.is_none_or(|(earlier, _)| at < earlier) {
                ends = Some((at, why));
            }
        };
        for core in &mut self.cores {
            let room = core.ring.drain(|record| match record {
                Record::Signal { at, trace } if at >= since => {
                    all += 1;
                    let (SignalTrace::Generated { task, .. } | SignalTrace::Delivered { task, .. }) = trace;
                    let Some(&thread) = tids.get(&task) else {
                        // One that is not in view yet may be of this process.
                        let tasks = tasks.get_or_insert_with(|| {
                            let mut tasks = Vec::new();
                            let _gone = there.tasks(&mut tasks);
                            tasks
                        });
                        if tasks.contains(&task) {
                            end(at, StepsEnd::Birth);
                        }
                        return;
                    };
                    steps += 1;
                    told.push(at, what(process, thread, trace));
                }
                Record::Lost { records, .. } => end(released, StepsEnd::Lost { records }),
                _ => {}
            });
            if room == Room::Full {
                end(released, StepsEnd::Lost { records: 0 });
            }
        }
        let now = clock::now();
        self.window.1 += all;
        let length = now.since(self.window.0);
        if length >= WINDOW {
            let rate = self.window.1.saturating_mul(Ns::SECOND.0) / length.0.max(1);
            self.window = (now, 0);
            if rate > MOST {
                end(now, StepsEnd::TooCostly);
                self.cores.clear();
            }
        }
        if let Some((at, why)) = ends {
            tell(told, at.max(since), |step| What::SignalStepsEnd { process, step, why });
            match self.cores.is_empty() {
                true => self.state = State::Off(StepsEnd::TooCostly),
                false => self.start(process, told),
            }
        }
        steps
    }

    /// The image is over, or the observation.
    pub fn finish(&mut self, there: &impl Process, told: &mut Merge) {
        self.drain(there, told);
        if let (State::On(_), Some(process)) = (self.state, self.of.take()) {
            let why = StepsEnd::Closed;
            tell(told, clock::now(), |step| What::SignalStepsEnd { process, step, why });
            self.state = State::Ready;
        }
        self.tids.clear();
    }

    /// Tells that what came before `at` came to nobody: what follows is a new beginning.
    pub fn tell_a_hole(&self, at: MonoNs, events: &mut Vec<Event>) {
        if let (State::On(since), Some(process)) = (self.state, self.of)
            && since < at
        {
            events.extend(STEPS.map(|step| Event { at, what: What::SignalStepsBegin { process, step } }));
        }
    }
}

fn tell(told: &mut Merge, at: MonoNs, what: impl Fn(SignalStep) -> What) {
    STEPS.into_iter().for_each(|step| told.push(at, what(step)));
}

fn what(process: ProcessKey, thread: ThreadKey, trace: SignalTrace) -> What {
    match trace {
        SignalTrace::Generated { signal, to, outcome, .. } => {
            let thread = (to == Addressee::Task).then_some(thread);
            What::SignalGenerated { process, thread, signal, outcome }
        }
        SignalTrace::Delivered { signal, to, .. } => What::SignalDelivered { process, thread, signal, to },
    }
}

fn open() -> Result<Vec<Core>, Refusal> {
    let outermost = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == OUTERMOST);
    let tracepoints = SignalTracepoints::find().ok().filter(|_| outermost).ok_or(Refusal::NotPermitted)?;
    let cores = cpus::online().map_err(|_| Refusal::NotPermitted)?.into_iter();
    cores.map(|cpu| open_on(cpu, &tracepoints).map_err(|error| refusal(&error))).collect()
}

fn open_on(cpu: Cpu, tracepoints: &SignalTracepoints) -> io::Result<Core> {
    let [generated, delivered] = perf::signals_on(cpu, tracepoints)?;
    let mut ring = Ring::map(generated, PAGES)?;
    ring.expect(perf::Samples::Signals(*tracepoints));
    perf::share_ring(&delivered, ring.event())?;
    perf::enable(ring.event())?;
    perf::enable(&delivered)?;
    Ok(Core { ring, _delivered: delivered })
}

fn refusal(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Refusal::Limits,
        _ => Refusal::NotPermitted,
    }
}
