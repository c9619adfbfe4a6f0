//! What the machine's cores did, and how much of it was the target's: the rest was other programs'.
//!
//! All that a core did comes from the kernel's clock ticks, between two readings; what the target's threads did on it from
//! the records of their switches. Both are added up between the same two instants, so that the difference is off by no
//! more than a tick at each end, however long it lasts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{CoreTotals, Cpu, MAX_CORES, ThreadKey};
use crate::model::thread::CoreTime;
use crate::time::{MonoNs, Ns};

/// Steps that are kept of each grain.
const STEPS_KEPT: usize = 600;
/// Grains: each reading for itself, and what has come together after a second, and after a minute.
const GRAINS: [Ns; 3] = [Ns::ZERO, Ns(1_000_000_000), Ns(60_000_000_000)];
/// Readings that follow one another faster tell nothing: a tick is 10 ms.
const SHORTEST: Ns = Ns(100_000_000);
/// A reading is believed if what it adds up to is the time that has passed, but for this part of it and so many ticks.
const OFF: (f64, u64) = (0.3, 5);
/// Of a step, so much of the target's own time may be untold: this part, and a tick, to which the rest is known anyway.
const UNTOLD: (f64, Ns) = (0.02, Ns(10_000_000));
/// Beginning and end of an observation that readings do not cover: until a thread that was on a core has left it, and since
/// the newest reading.
const RECENT: Ns = Ns(1_200_000_000);

/// What one core did during a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreStep {
    /// Which core.
    pub cpu: Cpu,
    /// Not idle: busy for whomever, or waiting for the machine that it is a virtual part of.
    pub busy: Ns,
    /// Of that, waiting for that machine.
    pub stolen: Ns,
}

/// What the target did on one core during a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnStep {
    /// Which core.
    pub cpu: Cpu,
    /// Its threads were on it for so long.
    pub on_core: Ns,
}

/// The time between two readings, or between several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<T> {
    /// When it began.
    pub from: MonoNs,
    /// When it ended.
    pub to: MonoNs,
    /// By core, in the order of their numbers; `None`: not known.
    pub cores: Option<Arc<[T]>>,
}

/// What can be added up over steps.
pub trait Part: Copy {
    /// Of which core it tells.
    fn cpu(&self) -> Cpu;
    /// Adds what another step has of that core.
    fn add(&mut self, other: &Self);
}

impl Part for CoreStep {
    fn cpu(&self) -> Cpu {
        self.cpu
    }
    fn add(&mut self, other: &CoreStep) {
        self.busy += other.busy;
        self.stolen += other.stolen;
    }
}

impl Part for OwnStep {
    fn cpu(&self) -> Cpu {
        self.cpu
    }
    fn add(&mut self, other: &OwnStep) {
        self.on_core += other.on_core;
    }
}

/// Steps of one grain, the newest last.
#[derive(Debug, Clone)]
struct Ring<T> {
    grain: Ns,
    steps: VecDeque<Step<T>>,
    gathering: Option<(MonoNs, MonoNs, BTreeMap<Cpu, T>, Whole)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    /// Something in it is not known.
    No,
}

impl<T: Part> Ring<T> {
    fn push(&mut self, step: &Step<T>) {
        if self.grain == Ns::ZERO {
            self.keep(step.clone());
            return;
        }
        let number = |at: MonoNs| at.0 / self.grain.0;
        if let Some((from, to, ..)) = &self.gathering
            && (*to != step.from || number(*from) != number(step.from))
            && let Some((from, to, sums, whole)) = self.gathering.take()
        {
            let cores = (whole == Whole::Yes).then(|| sums.into_values().collect());
            self.keep(Step { from, to, cores });
        }
        let (_, to, sums, whole) =
            self.gathering.get_or_insert_with(|| (step.from, step.to, BTreeMap::new(), Whole::Yes));
        *to = step.to;
        match &step.cores {
            None => *whole = Whole::No,
            Some(cores) => {
                for core in cores.iter() {
                    sums.entry(core.cpu()).and_modify(|sum| sum.add(core)).or_insert(*core);
                }
            }
        }
    }

    fn keep(&mut self, step: Step<T>) {
        if self.steps.len() >= STEPS_KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }
}

/// Steps of a few grains: the finest for minutes, the coarsest for hours.
#[derive(Debug, Clone)]
pub struct Steps<T> {
    rings: [Ring<T>; GRAINS.len()],
}

impl<T> Default for Steps<T> {
    fn default() -> Steps<T> {
        Steps { rings: GRAINS.map(|grain| Ring { grain, steps: VecDeque::new(), gathering: None }) }
    }
}

impl<T: Part> Steps<T> {
    fn push(&mut self, step: &Step<T>) {
        self.rings.iter_mut().for_each(|ring| ring.push(step));
    }
}

impl<T> Steps<T> {
    /// The steps since `from`, the newest first: as fine as they are still kept.
    pub fn since(&self, from: MonoNs) -> impl Iterator<Item = &Step<T>> {
        let mut oldest = MonoNs(u64::MAX);
        let rings = self.rings.iter().flat_map(|ring| ring.steps.iter().rev());
        rings.filter(move |step| {
            // Of what a finer ring has told, no coarser one tells again.
            let is_news = step.to <= oldest && step.to > from;
            if is_news {
                oldest = step.from;
            }
            is_news
        })
    }
}

/// The totals of all cores at one instant.
#[derive(Debug, Clone)]
struct Reading {
    at: MonoNs,
    cores: Arc<[CoreTotals]>,
}

/// What the machine's cores did since the capture began.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    last: Option<Reading>,
    steps: Arc<Steps<CoreStep>>,
}

impl Machine {
    /// A reading. What was between it and the one before, if that can be told.
    pub fn read(&mut self, at: MonoNs, tick: Ns, cores: &[CoreTotals]) -> Option<Step<CoreStep>> {
        let cores = cores.get(..MAX_CORES).unwrap_or(cores);
        let Some(before) = self.last.as_ref().filter(|_| !cores.is_empty()) else {
            self.last = (!cores.is_empty()).then(|| Reading { at, cores: cores.into() });
            return None;
        };
        let passed = at.since(before.at);
        if passed < SHORTEST {
            return None;
        }
        let mut steps: Vec<CoreStep> = Vec::new();
        for core in cores {
            if let Ok(place) = before.cores.binary_search_by_key(&core.cpu, |core| core.cpu)
                && let Some(earlier) = before.cores.get(place)
                && let Some(step) = step(earlier, core, passed, tick)
                && steps.last().is_none_or(|last| last.cpu < step.cpu)
            {
                steps.push(step);
            }
        }
        let step = Step { from: before.at, to: at, cores: Some(steps.into()) };
        self.last = Some(Reading { at, cores: cores.into() });
        Arc::make_mut(&mut self.steps).push(&step);
        Some(step)
    }

    /// When it was read last.
    pub fn read_at(&self) -> Option<MonoNs> {
        self.last.as_ref().map(|last| last.at)
    }

    /// What was between the readings.
    pub fn steps(&self) -> &Arc<Steps<CoreStep>> {
        &self.steps
    }
}

/// What a core did between two readings; `None` if they do not fit together.
fn step(before: &CoreTotals, after: &CoreTotals, passed: Ns, tick: Ns) -> Option<CoreStep> {
    let ticks = |before: u64, after: u64| Ns(after.saturating_sub(before).saturating_mul(tick.0));
    let idle = ticks(before.idle, after.idle);
    let stolen = ticks(before.stolen, after.stolen);
    let sum = idle + ticks(before.busy, after.busy) + stolen;
    let allowed = passed.0 as f64 * OFF.0 + (OFF.1.saturating_mul(tick.0)) as f64;
    if sum.0.abs_diff(passed.0) as f64 > allowed {
        return None;
    }
    // Idle time is measured, the rest is what ticks happened to hit.
    let busy = passed.saturating_sub(idle);
    Some(CoreStep { cpu: after.cpu, busy, stolen: stolen.min(busy) })
}

/// What one process did on the cores between the same readings.
#[derive(Debug, Clone, Default)]
pub struct OwnTime {
    last: Option<Used>,
    steps: Arc<Steps<OwnStep>>,
    sums: BTreeMap<Cpu, Sum>,
}

/// What a process has used by one instant.
#[derive(Debug, Clone)]
struct Used {
    at: MonoNs,
    cores: BTreeMap<Cpu, Ns>,
    /// Time that no record tells of, and what the kernel has counted by then, of each thread that has such time;
    /// `None`: nobody records.
    unrecorded: Option<BTreeMap<ThreadKey, (Ns, Ns)>>,
}

/// What is known of a core, and of other programs on it.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    known: Ns,
    busy: Ns,
    stolen: Ns,
    /// While it is also known what the target did.
    shared: Shared,
}

#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    known: Ns,
    busy: Ns,
    own: Ns,
}

/// What all programs used of a core while a process was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreLoad {
    /// It was not idle.
    pub busy: Ns,
    /// Of that, it waited for the machine that it is a virtual part of.
    pub stolen: Ns,
    /// Not idle, and not for the target; `None`: not known.
    pub other: Option<Ns>,
}

impl Used {
    /// What was used since `before`; `None`: too much of it may not have been recorded.
    fn since(&self, before: &Used) -> Option<Arc<[OwnStep]>> {
        let passed = self.at.since(before.at);
        let earlier = before.unrecorded.as_ref()?;
        let untold = |(thread, (now, used)): (&ThreadKey, &(Ns, Ns))| {
            let (known, counted) = earlier.get(thread).copied().unwrap_or_default();
            // Whoever used nothing has missed no record.
            if *used == counted && known > Ns::ZERO { Ns::ZERO } else { now.saturating_sub(known) }
        };
        let untold: Ns = self.unrecorded.as_ref()?.iter().map(untold).sum();
        if untold.saturating_sub(UNTOLD.1).0 as f64 > passed.0 as f64 * UNTOLD.0 {
            return None;
        }
        let used = |cpu: &Cpu, time: &Ns| time.saturating_sub(before.cores.get(cpu).copied().unwrap_or_default());
        let steps = self.cores.iter().map(|(cpu, time)| OwnStep { cpu: *cpu, on_core: used(cpu, time).min(passed) });
        Some(steps.filter(|step| step.on_core > Ns::ZERO).take(MAX_CORES).collect())
    }
}

impl OwnTime {
    /// At an instant when the cores were read: what its threads have used of each core by then, and of which of them there
    /// is time that no record tells of; `None`: nobody records. `step`: what the cores did since the reading before.
    pub fn read(
        &mut self,
        at: MonoNs,
        cores: &BTreeMap<Cpu, CoreTime>,
        unrecorded: Option<BTreeMap<ThreadKey, (Ns, Ns)>>,
        step: Option<&Step<CoreStep>>,
    ) {
        let cores = cores.iter().map(|(cpu, time)| (*cpu, time.on_core)).collect();
        let now = Used { at, cores, unrecorded };
        let before = self.last.take();
        let Some(step) = step else {
            // It begins, or the reading came too soon after another one.
            self.last = before.or(Some(now));
            return;
        };
        if let Some(before) = before.filter(|before| before.at == step.from) {
            let own = now.since(&before);
            self.sum(step, own.as_deref());
            Arc::make_mut(&mut self.steps).push(&Step { from: step.from, to: at, cores: own });
        }
        self.last = Some(now);
    }

    fn sum(&mut self, step: &Step<CoreStep>, own: Option<&[OwnStep]>) {
        let passed = step.to.since(step.from);
        for core in step.cores.iter().flat_map(|cores| cores.iter()) {
            if self.sums.len() >= MAX_CORES && !self.sums.contains_key(&core.cpu) {
                continue;
            }
            let sum = self.sums.entry(core.cpu).or_default();
            sum.known += passed;
            sum.busy += core.busy;
            sum.stolen += core.stolen;
            if let Some(own) = own {
                sum.shared.known += passed;
                sum.shared.busy += core.busy;
                sum.shared.own += time_on(own, core.cpu);
            }
        }
    }

    /// What was used of each core in a process's `lifetime`, as far as that is known.
    pub fn loads(&self, lifetime: Ns) -> BTreeMap<Cpu, CoreLoad> {
        let is_whole = |known: Ns| {
            let gap = lifetime.saturating_sub(known);
            known > Ns::ZERO && (gap <= RECENT || gap.0.saturating_mul(50) <= lifetime.0)
        };
        let loads = self.sums.iter().filter(|(_, sum)| is_whole(sum.known)).map(|(cpu, sum)| {
            let other = is_whole(sum.shared.known).then(|| sum.shared.busy.saturating_sub(sum.shared.own));
            (*cpu, CoreLoad { busy: sum.busy, stolen: sum.stolen, other })
        });
        loads.collect()
    }

    /// What it did between the readings.
    pub fn steps(&self) -> &Arc<Steps<OwnStep>> {
        &self.steps
    }
}

/// The time on one core among those of a step.
pub fn time_on(own: &[OwnStep], cpu: Cpu) -> Ns {
    own.binary_search_by_key(&cpu, |step| step.cpu)
        .ok()
        .and_then(|place| own.get(place))
        .map_or(Ns::ZERO, |step| step.on_core)
}
