//! What really happened to the GIL: the stamps of the threads that took it, and the figures that follow from them.
//!
//! The figures have gilscope's words but share no code with it. All times are `CLOCK_MONOTONIC` nanoseconds.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::conds::{Call, Conds, Operation, Request, Waits, requests, story};

/// A stamped take that lasted longer is one for which the thread had to wait.
pub const CONTENDED_NS: u64 = 50_000;

/// What a thread did in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stamped; on a core (or wanting one) while it held the GIL.
    HoldsBusy,
    /// Stamped; asleep while it held the GIL.
    HoldsAsleep,
    /// Pure Python: took the GIL unstamped, always wanting it.
    Bytecode,
    /// Never wanted the GIL.
    Apart,
}

/// One take and drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// Before it asked.
    pub ask: u64,
    /// After it had taken.
    pub taken: u64,
    /// Before it dropped.
    pub drop: u64,
    /// After it had dropped: later than that by far where it had to hand over first.
    pub dropped: u64,
}

/// One thread's stamps.
#[derive(Debug, Clone)]
pub struct Thread {
    /// The kernel's id, as in `/proc/PID/task`.
    pub tid: u32,
    /// Its name, also its `comm`.
    pub name: String,
    /// What it did.
    pub kind: Kind,
    /// `PyInterpreterState.id`: whose GIL it took.
    pub interpreter: i64,
    /// Its life.
    pub life: Range<u64>,
    /// Its cycles, in order.
    pub cycles: Vec<Cycle>,
    /// A take that lasted longer is one for which it had to wait: [`CONTENDED_NS`] as stamped, 0 where the waiting itself was
    /// logged.
    pub contended_ns: u64,
}

/// Everything that was stamped in one process.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The process.
    pub pid: u32,
    /// From when to when the stamps are complete.
    pub complete: Range<u64>,
    /// The threads, in order of birth.
    pub threads: Vec<Thread>,
    /// What they did with the GIL's condition variables, where that was logged ([`Truth::by_conds`]).
    pub conds: Conds,
}

/// What happened in a window.
#[derive(Debug, Clone)]
pub struct TruthFigures {
    /// Length of the window.
    pub duration_ns: u64,
    /// Share of time held; `None` where bytecode threads held it unstamped.
    pub load: Option<f64>,
    /// Share of time held by a thread that slept meanwhile (of its own will: preemption is not in the stamps).
    pub held_asleep: f64,
    /// Share of time with a stamped thread waiting. A lower bound where bytecode threads waited too.
    pub contention: f64,
    /// Integral of the number of stamped threads waiting.
    pub lost_ns: u64,
    /// Takes by another stamped thread than the last; `None` where bytecode threads took it in between.
    pub handoffs: Option<u64>,
    /// The threads that lived in the window.
    pub threads: Vec<ThreadFigures>,
}

/// What happened to one thread in a window.
#[derive(Debug, Clone)]
pub struct ThreadFigures {
    /// As in [`Thread`].
    pub tid: u32,
    /// As in [`Thread`].
    pub name: String,
    /// As in [`Thread`].
    pub kind: Kind,
    /// How much of its life lies in the window.
    pub lived_ns: u64,
    /// Time between ask and taken in contended takes, cut at the window's edges.
    pub wait_total: u64,
    /// The contended waits that lie in the window whole, sorted.
    pub waits: Vec<u64>,
    /// Time held, cut at the window's edges.
    pub hold_total: u64,
    /// The holds that lie in the window whole, sorted.
    pub holds: Vec<u64>,
    /// Time in drops that took longer than [`CONTENDED_NS`]: handing over after a forced drop, or preempted.
    pub handing_over_total: u64,
    /// Share of its life in the window that it waited.
    pub waiting_share: f64,
    /// Share of its life in the window that it held.
    pub holding_share: f64,
}

impl ThreadFigures {
    /// Number of contended waits seen whole.
    pub fn wait_count(&self) -> usize {
        self.waits.len()
    }
}

/// The value below which a share of a sorted list lies (nearest rank); 0 for an empty one.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

impl Truth {
    /// Reads a dump of the extension.
    ///
    /// # Panics
    /// If it is not one, or a thread ran out of room for its stamps.
    pub fn load(path: &Path) -> Truth {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut dump = Dump { bytes: &bytes, path };
        assert_eq!(dump.take(8), b"GILTRUTH", "{} is no dump", path.display());
        assert_eq!(dump.u32(), 3, "{}: version", path.display());
        let pid = dump.u32();
        let complete = dump.u64()..dump.u64();
        let count = dump.u32();
        let mut threads: Vec<Thread> = (0..count).map(|_| dump.thread()).collect();
        let conds = dump.conds();
        assert!(dump.bytes.is_empty(), "{}: {} bytes too many", path.display(), dump.bytes.len());
        threads.reverse();
        Truth { pid, complete, threads, conds }
    }

    /// The same threads, bytecode too, with the cycles that the GIL's condition variables tell: a wait is one in `gil->cond`,
    /// from its first call to the setting of the flag; what `take_gil` and `drop_gil` do before and after is not in it.
    ///
    /// # Panics
    /// If they were not logged: [`Scenario::start_logged`](super::scenario::Scenario::start_logged).
    pub fn by_conds(self) -> Truth {
        self.by_log(Waits::ForTheCondition)
    }

    /// The same, with waits that begin as soon as a thread sleeps in `take_gil`, be it on the mutex.
    ///
    /// # Panics
    /// As [`Truth::by_conds`].
    pub fn by_sleeps(self) -> Truth {
        self.by_log(Waits::ForAnything)
    }

    fn by_log(mut self, waits: Waits) -> Truth {
        assert!(!self.conds.operations.is_empty(), "what they do with condition variables was not logged");
        let gils = self.conds.gils();
        for thread in &mut self.threads {
            let own = self.conds.operations.iter().filter(|operation| operation.tid == thread.tid);
            thread.cycles = story(own, &gils, waits, self.complete.end);
            thread.contended_ns = 0;
        }
        self
    }

    /// The requests for the GIL that were heeded, in a process with one, where they were logged.
    pub fn requests(&self) -> Vec<Request> {
        let mut operations: Vec<&Operation> = self.conds.operations.iter().collect();
        operations.sort_by_key(|operation| operation.at);
        requests(operations.into_iter(), &self.conds.gils())
    }

    /// The thread of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn thread(&self, name: &str) -> &Thread {
        self.threads.iter().find(|thread| thread.name == name).unwrap_or_else(|| panic!("no thread is called {name}"))
    }

    /// The figures of a window, in a process with one GIL.
    ///
    /// # Panics
    /// If the stamps are not complete there, or threads took several GILs.
    pub fn within(&self, window: Range<u64>) -> TruthFigures {
        let mut takers = self.threads.iter().filter(|thread| thread.kind != Kind::Apart);
        let first = takers.next().map_or(0, |thread| thread.interpreter);
        assert!(takers.all(|thread| thread.interpreter == first), "several GILs: say of which interpreter");
        self.within_interpreter(first, window)
    }

    /// The figures of a window for the GIL of one interpreter.
    ///
    /// # Panics
    /// If the stamps are not complete there.
    pub fn within_interpreter(&self, interpreter: i64, window: Range<u64>) -> TruthFigures {
        assert!(
            self.complete.start <= window.start && window.start < window.end && window.end <= self.complete.end,
            "stamps are complete in {:?}, not in {window:?}",
            self.complete
        );
        let members: Vec<&Thread> = self
            .threads
            .iter()
            .filter(|thread| thread.interpreter == interpreter && overlap(&thread.life, &window) > 0)
            .collect();
        let duration_ns = window.end - window.start;
        let share = |ns: u64| ns as f64 / duration_ns as f64;
        let unstamped = members.iter().any(|thread| thread.kind == Kind::Bytecode && thread.cycles.is_empty());
        let threads: Vec<ThreadFigures> = members.iter().map(|thread| thread.within(&window)).collect();
        let waits = members.iter().flat_map(|thread| thread.waits());
        let asleep = threads.iter().filter(|thread| thread.kind == Kind::HoldsAsleep);
        TruthFigures {
            duration_ns,
            load: (!unstamped).then(|| share(threads.iter().map(|thread| thread.hold_total).sum())),
            held_asleep: share(asleep.map(|thread| thread.hold_total).sum()),
            contention: share(union_within(waits, &window)),
            lost_ns: threads.iter().map(|thread| thread.wait_total).sum(),
            handoffs: (!unstamped).then(|| self.handoffs(interpreter, &window)),
            threads,
        }
    }

    /// Two holds of one GIL by different threads at the same time, which no GIL allows.
    pub fn overlapping_holds(&self) -> Option<String> {
        let mut holds: Vec<(i64, u64, u64, &str)> = self
            .threads
            .iter()
            .flat_map(|thread| thread.holds().map(|hold| (thread.interpreter, hold.start, hold.end, &*thread.name)))
            .collect();
        holds.sort_unstable();
        holds
            .windows(2)
            .find(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2)
            .map(|pair| format!("{:?} and {:?}", pair[0], pair[1]))
    }

    /// Takes in the window by another thread than the one that held last.
    fn handoffs(&self, interpreter: i64, window: &Range<u64>) -> u64 {
        self.passed(interpreter, window, |_| true)
    }

    /// Handoffs in the window from threads of bytecode, which never drop it unless they are made to.
    pub fn forced_handoffs(&self, interpreter: i64, window: &Range<u64>) -> u64 {
        self.passed(interpreter, window, |from| from.kind == Kind::Bytecode)
    }

    /// Takes in the window by another than held last, who was such a thread.
    fn passed(&self, interpreter: i64, window: &Range<u64>, from: impl Fn(&Thread) -> bool) -> u64 {
        let mut takes: Vec<(u64, usize)> = self
            .threads
            .iter()
            .enumerate()
            .filter(|(_, thread)| thread.interpreter == interpreter)
            .flat_map(|(index, thread)| thread.cycles.iter().map(move |cycle| (cycle.taken, index)))
            .filter(|(taken, _)| *taken < window.end)
            .collect();
        takes.sort_unstable();
        let handoffs = takes.windows(2).filter(|pair| pair[1].0 >= window.start && pair[0].1 != pair[1].1);
        handoffs.filter(|pair| from(&self.threads[pair[0].1])).count() as u64
    }
}

impl TruthFigures {
    /// The thread of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn thread(&self, name: &str) -> &ThreadFigures {
        self.threads.iter().find(|thread| thread.name == name).unwrap_or_else(|| panic!("no thread is called {name}"))
    }
}

impl Thread {
    /// Its contended waits.
    pub fn waits(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let takes = self.cycles.iter().map(|cycle| cycle.ask..cycle.taken);
        takes.filter(|take| take.end - take.start > self.contended_ns)
    }

    /// Its holds.
    pub fn holds(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.cycles.iter().map(|cycle| cycle.taken..cycle.drop)
    }

    fn within(&self, window: &Range<u64>) -> ThreadFigures {
        let lived_ns = overlap(&self.life, window);
        let wait_total = self.waits().map(|wait| overlap(&wait, window)).sum();
        let hold_total = self.holds().map(|hold| overlap(&hold, window)).sum();
        let drops = self.cycles.iter().map(|cycle| cycle.drop..cycle.dropped);
        ThreadFigures {
            tid: self.tid,
            name: self.name.clone(),
            kind: self.kind,
            lived_ns,
            wait_total,
            waits: whole(self.waits(), window),
            hold_total,
            holds: whole(self.holds(), window),
            handing_over_total: drops
                .filter(|drop| drop.end - drop.start > CONTENDED_NS)
                .map(|drop| overlap(&drop, window))
                .sum(),
            waiting_share: wait_total as f64 / lived_ns as f64,
            holding_share: hold_total as f64 / lived_ns as f64,
        }
    }
}

/// How much of an interval lies in the window.
fn overlap(interval: &Range<u64>, window: &Range<u64>) -> u64 {
    interval.end.min(window.end).saturating_sub(interval.start.max(window.start))
}

/// The lengths of the intervals that lie in the window from end to end, sorted.
fn whole(intervals: impl Iterator<Item = Range<u64>>, window: &Range<u64>) -> Vec<u64> {
    let mut lengths: Vec<u64> = intervals
        .filter(|interval| window.start <= interval.start && interval.end <= window.end)
        .map(|interval| interval.end - interval.start)
        .collect();
    lengths.sort_unstable();
    lengths
}

/// Time in the window during which at least one of the intervals lasted.
fn union_within(intervals: impl Iterator<Item = Range<u64>>, window: &Range<u64>) -> u64 {
    let mut intervals: Vec<Range<u64>> = intervals.collect();
    intervals.sort_unstable_by_key(|interval| interval.start);
    let (mut total, mut covered) = (0, window.start);
    for interval in intervals {
        total += overlap(&(interval.start.max(covered)..interval.end), window);
        covered = covered.max(interval.end);
    }
    total
}

/// What is left to read of a dump.
struct Dump<'a> {
    bytes: &'a [u8],
    path: &'a Path,
}

impl<'a> Dump<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .unwrap_or_else(|| panic!("{}: it ends in the middle", self.path.display()));
        self.bytes = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4));
        u32::from_le_bytes(bytes)
    }

    fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8));
        u64::from_le_bytes(bytes)
    }

    fn conds(&mut self) -> Conds {
        let apart = self.u64();
        let count = self.u64();
        let operations = (0..count)
            .map(|_| {
                let (at, cond, tid) = (self.u64(), self.u64(), self.u32());
                let call = match self.u32() {
                    0 => Call::Signal,
                    1 => Call::TimedWait,
                    2 => Call::Blocked,
                    other => panic!("{}: operation {other}", self.path.display()),
                };
                Operation { at, cond, tid, call, locked: self.u64() }
            })
            .collect();
        Conds { apart, operations }
    }

    fn thread(&mut self) -> Thread {
        let tid = self.u32();
        let kind = match self.u32() {
            0 => Kind::HoldsBusy,
            1 => Kind::HoldsAsleep,
            2 => Kind::Bytecode,
            3 => Kind::Apart,
            other => panic!("{}: kind {other}", self.path.display()),
        };
        let interpreter = i64::from_le_bytes(self.u64().to_le_bytes());
        let life = self.u64()..self.u64();
        let unstamped = self.u64();
        let count = self.u64();
        let name = self.take(64).split(|byte| *byte == 0).next().map(String::from_utf8_lossy).unwrap_or_default();
        assert_eq!(unstamped, 0, "{}: {name} ran out of room for its stamps", self.path.display());
        let cycles = (0..count)
            .map(|_| Cycle { ask: self.u64(), taken: self.u64(), drop: self.u64(), dropped: self.u64() })
            .collect();
        Thread { tid, name: name.into_owned(), kind, interpreter, life, cycles, contended_ns: CONTENDED_NS }
    }
}
