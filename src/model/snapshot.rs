//! What the model knows at one instant: derived, immutable, shared as `Arc<Snapshot>`.
//!
//! Reports, exports and the dashboard read this and nothing else. A figure that
//! could not be observed is `None`, never zero. Shares are of the capture, a
//! thread's of its lifetime in the capture.

mod blame;
mod convoys;
mod cores;
mod interrupts;
mod memory;

use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::event::{
    CaptureInfo, Costs, Cpu, DropRequest, Ending, GilKey, Health, InterpreterId, NativeInfo, Pid, Placement,
    ProcessInfo, ProcessKey, RateReason, Refusal, Role, Spent, ThreadKey, Tid,
};
use crate::model::machine::{CoreStep, OwnStep, Steps};
use crate::model::occupied::Occupied;
use crate::time::{MonoNs, Ns};

pub use blame::{Basis, BlameFigures, BlameHolder, BlamePair, BlameShare, BlameWaiter, Blamed};
pub use convoys::{Convoy, ConvoyCulprit, Overdue};
pub use cores::{CoreFigures, Migrations};
pub use interrupts::{
    ArrivalKind, Culprit, Fault, InterruptFigures, MeasuredInterrupts, NewestInterrupt, PendingInterrupt,
    PredictedInterrupt, Segment, Segments, Stage, Unpredictable, Woken,
};
pub use memory::{MemoryFigures, MemoryReadings};

/// Everything that is known at [`Snapshot::at`].
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When the capture began: the instant that [`CaptureInfo::start_unix_ns`] is the wall-clock time of.
    pub start: MonoNs,
    /// The time of the newest event folded in.
    pub at: MonoNs,
    /// The capture's provenance; `None` before its first event.
    pub info: Option<Arc<CaptureInfo>>,
    /// One entry for each process image, in order of appearance.
    pub processes: Vec<ProcessFigures>,
}

/// One process image.
#[derive(Debug, Clone)]
pub struct ProcessFigures {
    /// Its key.
    pub key: ProcessKey,
    /// What is known of it.
    pub target: Arc<ProcessInfo>,
    /// How it ended, if it did.
    pub ending: Option<Ending>,
    /// Children it made while watched.
    pub children: Vec<Pid>,
    /// Those that are not looked into although that was asked for, and what they made.
    pub unwatched: UnwatchedFigures,
    /// How well it was observed.
    pub capture: CaptureFigures,
    /// Its interpreters, the main one first.
    pub interpreters: Vec<InterpreterFigures>,
    /// Its threads in order of appearance, ended ones included.
    pub threads: Vec<ThreadFigures>,
    /// Ended threads beyond the number that is kept one by one; they are in every sum but in no row.
    pub folded_threads: u64,
    /// The cores: all of them where somebody tells what they do, else those that it was seen to use.
    pub cores: Vec<CoreFigures>,
    /// What all programs together did on the cores, step by step.
    pub machine: Arc<Steps<CoreStep>>,
    /// What it did on them itself, in the same steps.
    pub own_time: Arc<Steps<OwnStep>>,
    /// How often its threads moved from one core to another; `None`: not observable at this precision.
    pub migrations: Option<Arc<Migrations>>,
    /// What its threads did on each core when, as far as their switches are told.
    pub occupied: Arc<Occupied>,
    /// How long signals wait for their Python handlers; `None`: nobody looked.
    pub interrupts: Option<Arc<InterruptFigures>>,
    /// Who made whom wait.
    pub blame: Arc<BlameFigures>,
    /// Threads in convoys, in the order of time; `None`: there were too few looks to find any.
    pub convoys: Option<Vec<Convoy>>,
    /// What it has in memory.
    pub memory: MemoryFigures,
    /// What each thread did when, as far back as that is kept.
    pub segments: crate::model::segments::Segments,
}

impl ProcessFigures {
    /// A thread of it, unless that has ended and is not kept one by one.
    pub fn thread(&self, key: ThreadKey) -> Option<&ThreadFigures> {
        self.threads.get(self.place(key)?)
    }

    /// The place of a thread among them: they have their keys in order of appearance.
    pub fn place(&self, key: ThreadKey) -> Option<usize> {
        self.threads.binary_search_by_key(&key, |thread| thread.key).ok()
    }
}

/// Descendants of a process that are not looked into, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnwatchedFigures {
    /// They had ended before they could be.
    pub too_short: u64,
    /// They are no Python that is supported.
    pub not_python: u64,
    /// They may not be, or make no sense.
    pub unreadable: u64,
    /// The newest of these by its number, to find out why.
    pub unreadable_pid: Option<Pid>,
    /// So many were looked into already.
    pub too_many: u64,
}

impl UnwatchedFigures {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.too_short, self.not_python, self.unreadable, self.too_many].into_iter().fold(0, u64::saturating_add)
    }
}

impl std::iter::Sum for UnwatchedFigures {
    fn sum<I: Iterator<Item = UnwatchedFigures>>(iter: I) -> UnwatchedFigures {
        iter.fold(UnwatchedFigures::default(), |all, one| UnwatchedFigures {
            too_short: all.too_short.saturating_add(one.too_short),
            not_python: all.not_python.saturating_add(one.not_python),
            unreadable: all.unreadable.saturating_add(one.unreadable),
            unreadable_pid: all.unreadable_pid.max(one.unreadable_pid),
            too_many: all.too_many.saturating_add(one.too_many),
        })
    }
}

/// How well a process was observed.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureFigures {
    /// When its observation began.
    pub start: MonoNs,
    /// How long it has been observed.
    pub duration: Ns,
    /// Share of that time during which the stated precision held, 0..=1.
    pub coverage: f64,
    /// Below it, a duration is not known.
    pub resolution: Ns,
    /// The sampler's present interval, and why it is that.
    pub interval: Ns,
    /// Why the interval is what it is.
    pub interval_reason: RateReason,
    /// Samples of its GILs.
    pub samples: u64,
    /// The instrument's own totals.
    pub health: Health,
    /// Handoffs where both the dropper and the taker were seen.
    pub handoffs_seen: u64,
    /// Handoffs by CPython's own count.
    pub handoffs_counted: u64,
    /// What the kernel's switch records came to; `None`: they were not asked for.
    pub switches: Option<SwitchFigures>,
    /// What the watchpoints came to; `None`: they were not asked for.
    pub exact: Option<ExactFigures>,
    /// What looking costs here; `None`: nothing that the target pays for.
    pub costs: Option<Costs>,
    /// What the target has paid for.
    pub spent: Spent,
    /// What the instruments change in what they watch.
    pub perturbation: Option<Perturbation>,
}

/// What the watchpoints on the GILs of a process came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExactFigures {
    /// Share of the time in which the windows were open and the state known, 0..=1; of several GILs, together.
    pub coverage: f64,
    /// Windows.
    pub windows: u64,
    /// Impossible sequences, after which it was begun anew.
    pub resyncs: u64,
    /// Takes in the windows.
    pub takes: u64,
    /// Of those, by another thread than the one that had dropped it.
    pub handoffs: u64,
    /// Of those, on another core.
    pub cross_core_handoffs: u64,
    /// Drops at a request, by a thread that wanted the GIL back at once; `None`: too many are undecided.
    pub forced_handoffs: Option<u64>,
    /// Why there can be no window at present.
    pub refused: Option<Refusal>,
}

/// Contention and handoffs, as the sampler sees them while the most intrusive instrument looks over while it does
/// not: 1 is no change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perturbation {
    /// Of the contention; `None` where there is none without the instrument.
    pub contention: Option<f64>,
    /// Of the handoffs a second; `None` where there are none without the instrument.
    pub handoffs: Option<f64>,
    /// Time that is compared: with the instrument, and without.
    pub compared: (Ns, Ns),
}

impl Perturbation {
    /// Whether what is watched is another program than the one that runs unwatched: more than chance makes of a second
    /// of each.
    pub fn is_large(&self) -> bool {
        [self.contention, self.handoffs].into_iter().flatten().any(|ratio| !(0.75..=1.33).contains(&ratio))
    }
}

impl CaptureFigures {
    /// Share of the target's time that observing has cost it; `None`: nothing that it pays for was used.
    pub fn overhead(&self) -> Option<f64> {
        self.costs.and_then(|_| self.spent.cost.share_of(self.duration))
    }
}

/// What the kernel's switch records came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwitchFigures {
    /// Threads whose switches are told at present.
    pub followed: usize,
    /// Threads that are there.
    pub threads: usize,
    /// Records so far.
    pub records: u64,
    /// Entries into waits on a GIL's futexes that the tracepoint told.
    pub named: u64,
    /// Records that are missing.
    pub lost: u64,
    /// How often they were given up, of all threads, because they cost too much.
    pub given_up: u64,
}

/// One interpreter and the GIL it uses.
#[derive(Debug, Clone)]
pub struct InterpreterFigures {
    /// CPython's id of it.
    pub id: InterpreterId,
    /// Its GIL; `None` where it runs without one. Interpreters that share a GIL show the same figures.
    pub gil: Option<Arc<GilFigures>>,
}

/// One GIL.
#[derive(Debug, Clone)]
pub struct GilFigures {
    /// Its key.
    pub key: GilKey,
    /// The switch interval in force.
    pub switch_interval: Ns,
    /// From when it came into view to its end, or to [`Snapshot::at`].
    pub lifetime: Ns,
    /// Time during which it was observed: the whole that the shares below are of.
    pub observed: Ns,
    /// Share of time held.
    pub load: f64,
    /// Share of time held by a thread that was not on a core: preempted or asleep. `None`: not observed.
    pub held_off_cpu: Option<f64>,
    /// Of that, queued for a core.
    pub held_preempted: Option<f64>,
    /// Of that, asleep in the kernel.
    pub held_asleep: Option<f64>,
    /// Share of time with at least one waiter.
    pub contention: f64,
    /// Mean number of threads that hold or want it.
    pub demand: f64,
    /// Mean number of waiters.
    pub mean_waiters: f64,
    /// Most waiters seen at one instant.
    pub max_waiters: u32,
    /// Integral of the number of waiters over time, in thread-time.
    pub lost: Ns,
    /// Handoffs by CPython's own count.
    pub handoffs: u64,
    /// Of those, forced ones; `None`: not observable at this precision.
    pub forced_handoffs: Option<u64>,
    /// Of all, those that may have been forced or not: where they are more than a few, nothing is said of forced ones.
    pub unclear_handoffs: u64,
    /// Of all, between threads on different cores; `None`: not observable at this precision.
    pub cross_core_handoffs: Option<u64>,
    /// Who kept it although others had waited for it far longer than the switch interval, the longest first; `None`:
    /// requests cannot be read here.
    pub overdue: Option<Vec<Overdue>>,
    /// From a drop request to the drop; `None`: not observable at this precision.
    pub drop_latency: Option<Distribution>,
    /// Contended waits of all its threads.
    pub waits: Distribution,
    /// Holds of all its threads. At sampled precision a hold is a run of samples with the same holder and no
    /// handoff between: holds that a thread strings together without losing the GIL read as one.
    pub holds: Distribution,
    /// The state at [`Snapshot::at`].
    pub now: GilNow,
    /// Load, contention and waiters over time, oldest first, at a few fixed widths of bin.
    pub history: Arc<crate::model::timeline::Timeline>,
    /// Who held it on which core over time.
    pub lanes: Arc<crate::model::lanes::Lanes>,
    /// Long holds, by thread and by the code that it was seen in, the most time first; one that goes on is in it.
    pub long_holds: Vec<LongHold>,
}

/// The long holds ([`LONG_HOLD`](crate::event::LONG_HOLD)) of one thread, as far as it was seen in one piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongHold {
    /// Whose.
    pub thread: ThreadKey,
    /// The code; `None`: nobody looked, or it could not be told.
    pub native: Option<Arc<NativeInfo>>,
    /// Holds in which it was seen there.
    pub holds: u64,
    /// Their time, as far as it is this code's: each hold is divided by how often what was seen in it.
    pub held: Ns,
    /// The longest of them, as a whole.
    pub longest: Ns,
    /// How often it was seen there.
    pub samples: u64,
    /// Of that, asleep.
    pub asleep: u64,
    /// Whether it gave the GIL away in the longest of them.
    pub release: Release,
    /// One of them goes on, or did when the observation ended, and has lasted so long.
    pub ongoing: Option<Ns>,
}

/// Whether a thread gave the GIL away within a hold: whoever drops it and takes it again, with no handoff between, looks as
/// if it had held it all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// It did not: others waited for longer than a switch interval almost all the time, and whoever drops the GIL then has
    /// to wait until another has taken it (`drop_gil` in Python/ceval_gil.c).
    Never,
    /// Nobody waited all the time: it is not known.
    NotKnown,
}

/// The state of a GIL at the newest tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GilNow {
    /// Who holds it.
    pub holder: Option<ThreadKey>,
    /// Where the holder is.
    pub placement: Option<Placement>,
    /// How many wait; `None`: unknown.
    pub waiters: Option<u32>,
    /// Whether a drop request is pending.
    pub drop_request: DropRequest,
}

/// One thread.
#[derive(Debug, Clone)]
pub struct ThreadFigures {
    /// Its key, unique in the capture.
    pub key: ThreadKey,
    /// The kernel's task.
    pub tid: Option<Tid>,
    /// Its name, as the target has it: sanitise before showing.
    pub name: String,
    /// Main, Python or native.
    pub role: Role,
    /// Interpreters it has a thread state in.
    pub interpreters: Vec<InterpreterId>,
    /// Start of its lifetime in the capture.
    pub start: MonoNs,
    /// End of its lifetime, once it ended.
    pub end: Option<MonoNs>,
    /// Its time by state; adds up to its lifetime in the capture.
    pub states: StateTimes,
    /// Its state at the newest tick.
    pub now: ThreadState,
    /// The core it was last seen on.
    pub cpu: Option<Cpu>,
    /// The cores that it may use, where these are not those of [`ProcessInfo::cpus_allowed`].
    pub cpus_allowed: Option<Arc<[Cpu]>>,
    /// Time it has waited for the GIL.
    pub lost: Ns,
    /// Handoffs that went to others during its waits; `None`: not observable.
    pub rounds_lost: Option<u64>,
    /// Releases after which it wanted the GIL back within 50 us; `None`: not observable at this precision.
    pub needless_releases: Option<u64>,
    /// Its contended waits.
    pub waits: Distribution,
    /// Its holds, as [`GilFigures::holds`].
    pub holds: Distribution,
    /// Voluntary context switches in the capture; `None`: not read.
    pub voluntary_switches: Option<u64>,
    /// Involuntary ones.
    pub involuntary_switches: Option<u64>,
    /// Time it held the GIL while its last known core was this one.
    pub cores: Vec<ThreadCore>,
}

/// A thread's share of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadCore {
    /// Which core.
    pub cpu: Cpu,
    /// Time on it; `None`: not observable at this precision.
    pub on_cpu: Option<Ns>,
    /// Time it held a GIL there.
    pub gil_held: Ns,
}

/// Exclusive thread states, see [`ThreadState`]. They add up to the thread's lifetime in the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateTimes {
    /// Holds the GIL, on a core.
    pub running: Ns,
    /// Holds the GIL, not on a core: preempted, or asleep in C.
    pub holding_off_cpu: Ns,
    /// In `take_gil`.
    pub waiting: Ns,
    /// In `switch_cond` after a forced drop.
    pub handing_over: Ns,
    /// On a core without the GIL.
    pub native: Ns,
    /// Wants a core, not the GIL.
    pub runnable: Ns,
    /// Off core, wants nothing.
    pub idle: Ns,
    /// Not observed.
    pub unknown: Ns,
}

impl StateTimes {
    /// So much of one state; what has ended is in none.
    pub fn of(state: ThreadState, length: Ns) -> StateTimes {
        let mut times = StateTimes::default();
        times.add(state, length);
        times
    }

    /// So much more of one state.
    pub(in crate::model) fn add(&mut self, state: ThreadState, length: Ns) {
        *match state {
            ThreadState::Running => &mut self.running,
            ThreadState::HoldingOffCpu => &mut self.holding_off_cpu,
            ThreadState::Waiting => &mut self.waiting,
            ThreadState::HandingOver => &mut self.handing_over,
            ThreadState::Native => &mut self.native,
            ThreadState::Runnable => &mut self.runnable,
            ThreadState::Idle => &mut self.idle,
            ThreadState::Unknown => &mut self.unknown,
            ThreadState::Ended => return,
        } += length;
    }

    /// The time in a state; what has ended is in none.
    pub fn get(&self, state: ThreadState) -> Ns {
        match state {
            ThreadState::Running => self.running,
            ThreadState::HoldingOffCpu => self.holding_off_cpu,
            ThreadState::Waiting => self.waiting,
            ThreadState::HandingOver => self.handing_over,
            ThreadState::Native => self.native,
            ThreadState::Runnable => self.runnable,
            ThreadState::Idle => self.idle,
            ThreadState::Unknown => self.unknown,
            ThreadState::Ended => Ns::ZERO,
        }
    }

    /// The sum of all states: the lifetime.
    pub fn total(&self) -> Ns {
        self.running
            + self.holding_off_cpu
            + self.waiting
            + self.handing_over
            + self.native
            + self.runnable
            + self.idle
            + self.unknown
    }

    /// Time it held the GIL.
    pub fn holding(&self) -> Ns {
        self.running + self.holding_off_cpu
    }
}

impl<'a> std::iter::Sum<&'a StateTimes> for StateTimes {
    fn sum<I: Iterator<Item = &'a StateTimes>>(iter: I) -> StateTimes {
        iter.fold(StateTimes::default(), |mut all, one| {
            all += *one;
            all
        })
    }
}

impl std::ops::AddAssign for StateTimes {
    fn add_assign(&mut self, other: StateTimes) {
        self.running += other.running;
        self.holding_off_cpu += other.holding_off_cpu;
        self.waiting += other.waiting;
        self.handing_over += other.handing_over;
        self.native += other.native;
        self.runnable += other.runnable;
        self.idle += other.idle;
        self.unknown += other.unknown;
    }
}

/// What a thread does at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThreadState {
    /// Holds the GIL, on a core (or queued: `/proc` does not tell which).
    Running,
    /// Holds the GIL, asleep or known to be preempted.
    HoldingOffCpu,
    /// In `take_gil`.
    Waiting,
    /// In `switch_cond` after a forced drop.
    HandingOver,
    /// On a core without the GIL.
    Native,
    /// Wants a core, not the GIL.
    Runnable,
    /// Off core, wants nothing.
    Idle,
    /// Not observed.
    Unknown,
    /// The thread has ended.
    Ended,
}

impl ThreadState {
    /// All of them, those that hold first.
    pub const ALL: [ThreadState; 9] = [
        ThreadState::Running,
        ThreadState::HoldingOffCpu,
        ThreadState::Waiting,
        ThreadState::HandingOver,
        ThreadState::Native,
        ThreadState::Runnable,
        ThreadState::Idle,
        ThreadState::Unknown,
        ThreadState::Ended,
    ];

    /// Those that a living thread is in, in the same order.
    pub const LIVING: [ThreadState; 8] = {
        let [living @ .., _ended] = ThreadState::ALL;
        living
    };
}

/// How a distribution was observed: the least precise way is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// From samples: durations to the resolution.
    Sampled,
    /// From the kernel's switch records, whose meaning samples tell.
    Fused,
    /// From watchpoints, in windows.
    Exact,
}

/// A distribution of durations.
///
/// Count, extremes and percentiles are of intervals that were seen whole.
/// Intervals cut by an edge of the observation are counted apart and are in no
/// percentile. A percentile below [`Distribution::resolution`] is not known.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// How it was observed.
    pub source: Source,
    /// Below it, a duration is not known.
    pub resolution: Ns,
    /// Durations in nanoseconds, of intervals seen whole; `None`: none yet.
    pub histogram: Option<Arc<Histogram<u32>>>,
    /// Sum of all of them, cut ones included.
    pub total: Ns,
    /// Intervals cut by an edge: their length is a lower bound.
    pub censored: u64,
    /// Of the whole ones, those shorter than the resolution.
    pub below_resolution: u64,
}

/// A duration read off a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Known to the resolution.
    Known(Ns),
    /// Shorter than the resolution: how much shorter is not known.
    Below(Ns),
}

impl Distribution {
    /// An empty one.
    pub fn empty(source: Source, resolution: Ns) -> Distribution {
        Distribution { source, resolution, histogram: None, total: Ns::ZERO, censored: 0, below_resolution: 0 }
    }

    /// Intervals seen whole.
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, |h| h.len())
    }

    /// Whether there is no interval in it, not even a cut one.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.censored == 0
    }

    /// The intervals of both, known as well as those that are known less well. One that has none has no say in that.
    pub fn with(self, other: &Distribution) -> Distribution {
        if other.is_empty() {
            return self;
        }
        if self.is_empty() {
            return other.clone();
        }
        let resolution = self.resolution.max(other.resolution);
        let histogram = match (self.histogram, &other.histogram) {
            (Some(mut all), Some(more)) => {
                let sum: &mut Histogram<u32> = Arc::make_mut(&mut all);
                // They grow as is needed.
                sum.auto(true);
                let added = sum.add(&**more);
                debug_assert!(added.is_ok(), "a histogram that grows has room for every value");
                Some(all)
            }
            (mine, more) => mine.or_else(|| more.clone()),
        };
        let below = |histogram: &Arc<Histogram<u32>>| match resolution.0 {
            0 => 0,
            resolution => histogram.count_between(0, resolution - 1),
        };
        Distribution {
            source: self.source.min(other.source),
            resolution,
            below_resolution: histogram.as_ref().map_or(0, below),
            histogram,
            total: self.total + other.total,
            censored: self.censored.saturating_add(other.censored),
        }
    }

    /// The duration at or below which a `share` (0..=1) of the whole intervals lie; `None` without any.
    pub fn quantile(&self, share: f64) -> Option<Length> {
        let h = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(self.length(h.value_at_quantile(share.clamp(0.0, 1.0))))
    }

    /// What came since `before`, which is this very distribution at an earlier instant; `None`: it is not.
    pub fn since(&self, before: &Distribution) -> Option<Distribution> {
        let histogram = match (&self.histogram, &before.histogram) {
            (now, None) => now.clone(),
            (None, Some(_)) => return None,
            (Some(now), Some(before)) => {
                let mut new = Histogram::clone(now);
                new.subtract(&**before).ok()?;
                Some(Arc::new(new))
            }
        };
        Some(Distribution {
            histogram,
            total: self.total.saturating_sub(before.total),
            censored: self.censored.saturating_sub(before.censored),
            below_resolution: self.below_resolution.saturating_sub(before.below_resolution),
            ..self.clone()
        })
    }

    /// The shortest whole interval.
    pub fn min(&self) -> Option<Length> {
        let h = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(self.length(h.min()))
    }

    /// The longest whole interval.
    pub fn max(&self) -> Option<Length> {
        let h = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(self.length(h.max()))
    }

    /// The mean of the whole intervals.
    pub fn mean(&self) -> Option<Length> {
        let h = self.histogram.as_ref().filter(|h| !h.is_empty())?;
        Some(self.length(h.mean() as u64))
    }

    fn length(&self, ns: u64) -> Length {
        match Ns(ns) {
            known if known >= self.resolution => Length::Known(known),
            _ => Length::Below(self.resolution),
        }
    }
}
