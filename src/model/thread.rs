//! One thread's account: what it did with its lifetime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::{Cpu, GilKey, InterpreterId, Lags, Placement, Role, Switches, ThreadInfo, ThreadKey, Usage};
use crate::model::gil::Habit;
use crate::model::intervals::{Grain, Intervals, Moment, Open, Sharpness};
use crate::model::runs::Runs;
use crate::model::segments::Entry;
use crate::model::snapshot::{StateTimes, ThreadCore, ThreadFigures, ThreadState};
use crate::time::{MonoNs, Ns};

/// The newest tick of each GIL: what goes on is known up to there.
pub type Ticks<'a> = &'a dyn Fn(GilKey) -> MonoNs;

/// The kernel brings the totals of a thread that runs up to date at its own ticks, which are at most that far apart on most
/// machines.
const TOTALS_LAG: Ns = Ns(4_000_000);
/// Readings that are nearer to each other than this say less than that lag.
const TOTALS_APART: Ns = Ns(20_000_000);

/// What the kernel's totals moved by between two readings.
#[derive(Debug, Clone, Copy)]
pub struct UsageStep {
    /// When the later reading was taken.
    pub at: MonoNs,
    /// Time since the earlier one.
    pub over: Ns,
    /// Time on a core between them.
    pub on_cpu: Ns,
    /// Time queued for a core that ended between them.
    pub run_delay: Ns,
    /// How often it was given a core between them.
    pub timeslices: u64,
}

impl UsageStep {
    /// How much of it lies after `since`.
    pub fn overlap(&self, since: MonoNs) -> Ns {
        self.at.since(since).min(self.over)
    }
}

/// How a thread stands to a GIL at a tick, if it stands to it at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds it.
    Holding,
    /// In `take_gil`.
    Waiting,
    /// In `switch_cond` after a forced drop.
    HandingOver,
    /// It could not be read.
    Unseen,
}

impl Standing {
    /// Whether it is about to take it.
    pub fn wants(self) -> bool {
        matches!(self, Standing::Waiting | Standing::HandingOver)
    }
}

/// A standing that goes on: nothing is summed up until it ends, so that a thread costs nothing while it waits.
#[derive(Debug, Clone, Copy)]
pub struct Stand {
    /// To which GIL.
    pub gil: GilKey,
    /// How.
    pub standing: Standing,
    /// Since when.
    pub open: Open,
    /// What came before.
    pub after: After,
}

/// What a thread came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It had nothing to do with the GIL.
    Apart,
    /// It held the GIL, and lost it.
    Holding,
    /// It was not seen.
    Unseen,
}

/// Everything folded in about one thread.
#[derive(Debug, Clone)]
pub struct ThreadAccount {
    /// What is known of it.
    pub info: ThreadInfo,
    /// The cores that it may use; `None`: those of its process.
    pub cpus: Option<Arc<[Cpu]>>,
    /// Interpreters it has a thread state in.
    pub interpreters: BTreeSet<InterpreterId>,
    /// Start of its lifetime in the capture.
    pub start: MonoNs,
    /// End of it.
    pub end: Option<MonoNs>,
    /// What was before is not added up: it had not been found yet.
    pub added_from: MonoNs,
    /// The step between the two newest readings of the kernel's totals.
    pub step: Option<UsageStep>,
    /// Its contended waits.
    pub waits: Intervals,
    /// Its holds.
    pub holds: Intervals,
    /// How it stands to the GILs it has to do with at present: hardly ever more than one.
    stands: Vec<Stand>,
    /// Handoffs that went to others during its waits.
    pub rounds_lost: u64,
    /// Where it was when it was last seen to hold.
    pub placement: Option<Placement>,
    held_placed: Ns,
    held_asleep: Ns,
    held_unplaced: Ns,
    preempted: Ns,
    handing_over: Ns,
    unobserved: Ns,
    /// Up to here nobody looked, as already counted.
    gap_end: MonoNs,
    blind: Blind,
    /// Run delay that fell into waits and handovers: it is counted there.
    delay_in_wait: Ns,
    baseline: Option<(MonoNs, Usage)>,
    latest: Option<(MonoNs, Usage)>,
    switches: Option<(Switches, Switches)>,
    cpu: Option<Cpu>,
    held_on: BTreeMap<Cpu, Ns>,
    /// Its runs on a core, where its switches are told.
    pub runs: Runs,
    /// Before it, nothing can begin any more: its last standing ended there.
    pub settled: MonoNs,
    /// Where its last wait was told to end.
    pub told: MonoNs,
    /// What looks into its runs found.
    pub habit: Habit,
    /// Since when, and until when, its totals have not moved.
    quiet: Option<(MonoNs, MonoNs)>,
    /// Of what its totals leave for the time apart from the GIL, so much has been told.
    apart_told: Apart,
    /// Up to here.
    apart_until: Option<MonoNs>,
}

/// A thread's time on one core, or several threads'.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoreTime {
    /// On it, by the records of its switches.
    pub on_core: Ns,
    /// Holding a GIL, when it was last seen there.
    pub held: Ns,
}

/// What the kernel's totals say about time in which nobody looked: it belongs to no state.
#[derive(Debug, Clone, Copy, Default)]
struct Blind {
    /// Unobserved time since the newest reading.
    pending: Ns,
    /// Unobserved time between readings.
    covered: Ns,
    on_cpu: Ns,
    run_delay: Ns,
}

/// Time apart from the GIL that was not idle, beside the time that the GIL was held.
#[derive(Debug, Clone, Copy, Default)]
struct Apart {
    native: Ns,
    queued: Ns,
    held: Ns,
}

impl Blind {
    fn cover(&mut self, step: &UsageStep, length: Ns) {
        let part = length.min(step.over);
        self.covered += part;
        self.on_cpu += step.on_cpu.scaled(part, step.over);
        self.run_delay += step.run_delay.scaled(part, step.over);
    }
}

impl ThreadAccount {
    /// A thread that came into view at `seen`, in a capture that began at `capture_start`.
    pub fn new(info: ThreadInfo, seen: MonoNs, capture_start: MonoNs) -> ThreadAccount {
        let born_in_view = info.started > capture_start;
        let start = info.started.max(capture_start).min(seen);
        ThreadAccount {
            // A thread born in view had used nothing when it was born: its totals count from there.
            baseline: born_in_view.then(|| (start, Usage { switches: Some(Switches::default()), ..Usage::default() })),
            info,
            cpus: None,
            interpreters: BTreeSet::new(),
            start,
            end: None,
            added_from: start,
            step: None,
            waits: Intervals::new(Grain::Coarse),
            holds: Intervals::new(Grain::Coarse),
            stands: Vec::new(),
            rounds_lost: 0,
            placement: None,
            held_placed: Ns::ZERO,
            held_asleep: Ns::ZERO,
            held_unplaced: Ns::ZERO,
            preempted: Ns::ZERO,
            handing_over: Ns::ZERO,
            unobserved: Ns::ZERO,
            gap_end: MonoNs(0),
            blind: Blind::default(),
            delay_in_wait: Ns::ZERO,
            latest: None,
            switches: None,
            cpu: None,
            held_on: BTreeMap::new(),
            runs: Runs::default(),
            settled: start,
            told: start,
            habit: Habit::default(),
            quiet: None,
            apart_told: Apart::default(),
            apart_until: None,
        }
    }

    /// It has a thread state in `interpreter`.
    pub fn joined(&mut self, interpreter: InterpreterId) {
        const MOST: usize = 4_096;
        if self.interpreters.len() < MOST {
            self.interpreters.insert(interpreter);
        }
        if self.info.role == Role::Native {
            self.info.role = Role::Python;
        }
    }

    /// Its time by core, as of `now`, and time on a core that is missing there.
    pub fn cores(&self, now: MonoNs) -> (BTreeMap<Cpu, CoreTime>, Ns) {
        let end = self.end.unwrap_or(now);
        let mut cores: BTreeMap<Cpu, CoreTime> = BTreeMap::new();
        for (cpu, held) in &self.held_on {
            cores.entry(*cpu).or_default().held = *held;
        }
        let mut placed = Ns::ZERO;
        for (cpu, on_core) in self.runs.cores(end) {
            cores.entry(cpu).or_default().on_core = on_core;
            placed += on_core;
        }
        (cores, self.untold(end) + self.runs.total(end).saturating_sub(placed))
    }

    /// How long it may have been on a core without a record that says so: no longer than it was not followed, nor than
    /// the kernel's totals have more than the records.
    fn untold(&self, end: MonoNs) -> Ns {
        let lifetime = end.since(self.start);
        let beyond = self.used().0.saturating_sub(self.runs.total(end));
        lifetime.saturating_sub(self.runs.known(end)).min(beyond + lifetime.saturating_sub(self.covered()))
    }

    /// Time of its life, by `now`, of which no record tells whether it was on a core, or on which; and what it has used of
    /// cores by the newest reading of the kernel's totals.
    pub fn unrecorded(&self, now: MonoNs) -> (Ns, Ns) {
        let end = self.end.unwrap_or(now);
        let placed: Ns = self.runs.cores(end).into_values().sum();
        let unplaced = self.runs.total(end).saturating_sub(placed);
        (end.since(self.start).saturating_sub(self.runs.known(end)) + unplaced, self.used().0)
    }

    /// Whether its records tell its time on a core: they were there most of its lifetime, and what they may have missed is
    /// no more than a hundredth of it.
    fn is_followed(&self, end: MonoNs, missing: Ns) -> bool {
        let lifetime = end.since(self.start);
        let known = self.runs.known(end);
        known > Ns::ZERO && known.0.saturating_mul(2) >= lifetime.0 && missing.0.saturating_mul(100) <= lifetime.0
    }

    /// How long the kernel's totals were followed.
    fn covered(&self) -> Ns {
        match (&self.baseline, &self.latest) {
            (Some((from, _)), Some((to, _))) => to.since(*from),
            _ => Ns::ZERO,
        }
    }

    /// A reading of the kernel's totals.
    pub fn usage(&mut self, at: MonoNs, usage: Usage) {
        let (since, before) = *self.latest.as_ref().or(self.baseline.as_ref()).unwrap_or(&(at, usage));
        let step = UsageStep {
            at,
            over: at.since(since),
            on_cpu: usage.on_cpu.saturating_sub(before.on_cpu),
            run_delay: usage.run_delay.saturating_sub(before.run_delay),
            timeslices: usage.timeslices.saturating_sub(before.timeslices),
        };
        let unseen = self.stands.iter().filter(|s| s.standing == Standing::Unseen);
        let blind = unseen.map(|s| step.overlap(s.open.start)).max().unwrap_or(Ns::ZERO);
        let pending = std::mem::take(&mut self.blind.pending);
        self.blind.cover(&step, blind + pending);
        self.step = Some(step);
        let baseline = *self.baseline.get_or_insert((at, usage));
        if let Some(now) = usage.switches {
            let (first, _) = self.switches.unwrap_or((baseline.1.switches.unwrap_or(now), now));
            self.switches = Some((first, now));
        }
        self.latest = Some((at, usage));
    }

    /// The step that was read at just this tick.
    pub fn step_at(&self, at: MonoNs) -> Option<UsageStep> {
        self.step.filter(|step| step.at == at)
    }

    /// It held a GIL for `length`.
    pub fn held(&mut self, length: Ns, placement: Option<Placement>) {
        let cpu = match placement {
            Some(Placement::OnOrQueued(cpu)) => {
                self.held_placed += length;
                Some(cpu)
            }
            Some(Placement::Asleep(cpu)) => {
                self.held_asleep += length;
                Some(cpu)
            }
            Some(Placement::Unknown) | None => {
                self.held_unplaced += length;
                None
            }
        };
        if let Some(cpu) = cpu {
            self.cpu = Some(cpu);
            *self.held_on.entry(cpu).or_default() += length;
        }
    }

    /// What the newest step of its totals tells of a thread whose switches do not: as long as they do not move, nothing.
    pub(in crate::model) fn told_by_totals(&mut self, key: ThreadKey) -> impl Iterator<Item = Entry> + use<> {
        let mut told = [None, None];
        let Some(step) = self.step else { return told.into_iter().flatten() };
        let (all, so_far) = (self.apart(), self.apart_told);
        let from = *self.apart_until.get_or_insert(step.at - step.over);
        let over = step.at.since(from);
        if over < TOTALS_APART && !self.runs.is_placed() {
            return told.into_iter().flatten();
        }
        // Half ticks add up to the right time, not to the right part of it: what was told too much is made up for.
        let room = over.saturating_sub(all.held.saturating_sub(so_far.held));
        let native = all.native.saturating_sub(so_far.native).min(room);
        let queued = all.queued.saturating_sub(so_far.queued).min(room.saturating_sub(native));
        let idle = room.saturating_sub(native + queued);
        let native = if native > Ns::ZERO && idle <= TOTALS_LAG { native + idle } else { native };
        self.apart_told = Apart { native: so_far.native + native, queued: so_far.queued + queued, held: all.held };
        self.apart_until = Some(step.at);
        if !self.runs.is_placed() {
            let moved = native + queued > Ns::ZERO;
            let quiet = self.quiet.filter(|(_, until)| *until == from && !moved);
            if quiet.is_none() {
                told[0] = self.quiet(key);
            }
            self.quiet = (!moved).then_some((quiet.map_or(from, |(since, _)| since), step.at));
            told[1] = moved.then_some(Entry::Used { thread: key, from, until: step.at, native, queued });
        }
        told.into_iter().flatten()
    }

    /// Up to where its totals have told what its switches do not; `None`: nothing has to be told, or nothing was yet.
    pub(in crate::model) fn totals_until(&self) -> Option<MonoNs> {
        self.apart_until.filter(|_| !self.runs.is_placed())
    }

    fn quiet(&self, thread: ThreadKey) -> Option<Entry> {
        let (from, until) = self.quiet?;
        Some(Entry::Used { thread, from, until, native: Ns::ZERO, queued: Ns::ZERO })
    }

    /// What is known of it that goes on at `now`.
    pub(in crate::model) fn going_on(&self, key: ThreadKey, now: MonoNs) -> impl Iterator<Item = Entry> {
        self.runs.going_on(key, now).into_iter().chain(self.quiet(key))
    }

    /// How it stands to the GILs that it has to do with.
    pub fn stands(&self) -> impl Iterator<Item = &Stand> {
        self.stands.iter()
    }

    /// How it stands to `gil`.
    pub fn standing(&self, gil: GilKey) -> Option<&Stand> {
        self.stands.iter().find(|stand| stand.gil == gil)
    }

    /// From here on it stands so to a GIL.
    pub fn begin(&mut self, stand: Stand) {
        self.stands.retain(|s| s.gil != stand.gil);
        self.stands.push(stand);
    }

    /// It no longer stands to `gil` so. Its waits and holds are the caller's to close.
    pub fn finish(&mut self, gil: GilKey, end: MonoNs) -> Option<Stand> {
        let index = self.stands.iter().position(|stand| stand.gil == gil)?;
        let stand = self.stands.swap_remove(index);
        self.settled = self.settled.max(end);
        let length = end.since(stand.open.start);
        match stand.standing {
            Standing::HandingOver => self.handing_over += length,
            Standing::Unseen => {
                self.unobserved += length;
                let read = self.latest.map_or(stand.open.start, |(at, _)| at);
                self.blind.pending += end.since(stand.open.start.max(read));
            }
            Standing::Holding | Standing::Waiting => {}
        }
        Some(stand)
    }

    /// Where a wait that begins at `begins` is told to: not before it had what it waited for before.
    pub fn told_to_wait(&self, begins: Moment, lags: Lags) -> MonoNs {
        match begins.sharpness {
            Sharpness::Tick => begins.at,
            Sharpness::Switch => self.runs.asked(begins.at, lags).max(self.told.min(begins.at)),
        }
    }

    /// When it is told to take what it got a core for at `ends`.
    pub fn told_to_take(&mut self, ends: Moment, lags: Lags) -> Moment {
        let at = match ends.sharpness {
            Sharpness::Tick => ends.at,
            Sharpness::Switch => self.runs.took(ends.at, lags),
        };
        self.told = self.told.max(at);
        Moment { at, ..ends }
    }

    /// Nobody looked from `from` until `at`, the tick that is being gathered.
    pub fn gap(&mut self, from: MonoNs, at: MonoNs) {
        let length = at.since(from.max(self.start).max(self.gap_end));
        self.gap_end = self.gap_end.max(at);
        self.unobserved += length;
        match self.step_at(at) {
            Some(step) => self.blind.cover(&step, length),
            None => self.blind.pending += length,
        }
    }

    /// It was queued for a core for `length` while it held.
    pub fn preempted(&mut self, length: Ns) {
        self.preempted += length;
    }

    /// It was queued for a core for `length` on its way out of a wait.
    pub fn delayed_in_wait(&mut self, length: Ns) {
        self.delay_in_wait += length;
    }

    /// Time it has waited, up to the newest tick of each GIL.
    fn lost(&self, ticks: Ticks) -> Ns {
        self.waits.total() + self.open_time(Standing::Waiting, ticks)
    }

    /// What an ended thread weighs: the time it waited and held.
    pub fn weight(&self) -> (Ns, Ns) {
        (self.waits.total(), self.held_placed + self.held_asleep + self.held_unplaced)
    }

    fn open<'a>(&'a self, standing: Standing, ticks: Ticks<'a>) -> impl Iterator<Item = (Open, MonoNs)> + 'a {
        self.stands.iter().filter(move |s| s.standing == standing).map(move |s| (s.open, ticks(s.gil)))
    }

    fn open_time(&self, standing: Standing, ticks: Ticks) -> Ns {
        self.open(standing, ticks).map(|(open, now)| now.since(open.told)).sum()
    }

    /// Its lifetime in the capture, by state. What was sampled of the GIL comes first, the kernel's own totals
    /// divide the rest, and what they do not cover is unknown.
    pub fn states(&self, now: MonoNs, ticks: Ticks) -> StateTimes {
        let end = self.end.unwrap_or(now).max(self.start);
        let lifetime = end.since(self.start);
        let mut left = lifetime;
        let mut take = |wanted: Ns| {
            let got = wanted.min(left);
            left = left.saturating_sub(got);
            got
        };
        let (on, off) = self.held_on_and_off();
        let running = take(on);
        let holding_off_cpu = take(off);
        let waiting = take(self.lost(ticks));
        let handing_over = take(self.handing_over + self.open_time(Standing::HandingOver, ticks));
        let unseen = self.unobserved + self.open_time(Standing::Unseen, ticks);
        let gaps = take(unseen);
        let is_followed = self.is_followed(end, self.untold(end));
        let covered = if is_followed { lifetime } else { self.covered() };
        let gaps_elsewhere = gaps.saturating_sub(self.blind.covered);
        let uncovered = take(lifetime.saturating_sub(covered).saturating_sub(gaps_elsewhere));
        let apart = self.apart();
        let recorded = self.runs.total(end).saturating_sub(running + self.blind.on_cpu);
        let native = take(if is_followed { recorded } else { apart.native });
        let runnable = take(apart.queued);
        StateTimes {
            running,
            holding_off_cpu,
            waiting,
            handing_over,
            native,
            runnable,
            unknown: gaps + uncovered,
            idle: left,
        }
    }

    /// Of the time it held, how much it was on a core, and off it.
    fn held_on_and_off(&self) -> (Ns, Ns) {
        let asleep = self.held_unplaced.scaled(self.held_asleep, self.held_placed + self.held_asleep);
        let preempted = self.preempted.min(self.held_placed);
        let on = self.held_placed.saturating_sub(preempted) + self.held_unplaced.saturating_sub(asleep);
        (on, self.held_asleep + preempted + asleep)
    }

    /// What the kernel's totals leave for the time apart from the GIL.
    fn apart(&self) -> Apart {
        let (on_cpu, run_delay) = self.used();
        let (running, off) = self.held_on_and_off();
        let elsewhere = self.preempted.min(self.held_placed) + self.delay_in_wait;
        Apart {
            native: on_cpu.saturating_sub(running + self.blind.on_cpu),
            queued: run_delay.saturating_sub(elsewhere + self.blind.run_delay),
            held: running + off,
        }
    }

    fn used(&self) -> (Ns, Ns) {
        match (&self.baseline, &self.latest) {
            (Some((_, first)), Some((_, last))) => {
                (last.on_cpu.saturating_sub(first.on_cpu), last.run_delay.saturating_sub(first.run_delay))
            }
            _ => (Ns::ZERO, Ns::ZERO),
        }
    }

    /// Its state at the newest tick: from the GIL where that says, else from the kernel's totals of late.
    fn now(&self) -> ThreadState {
        if self.end.is_some() {
            return ThreadState::Ended;
        }
        let stands = |standing| self.stands.iter().any(|s| s.standing == standing);
        if stands(Standing::Holding) {
            return match self.placement {
                Some(Placement::Asleep(_)) => ThreadState::HoldingOffCpu,
                Some(Placement::OnOrQueued(_) | Placement::Unknown) | None => ThreadState::Running,
            };
        }
        for (standing, state) in [
            (Standing::Waiting, ThreadState::Waiting),
            (Standing::HandingOver, ThreadState::HandingOver),
            (Standing::Unseen, ThreadState::Unknown),
        ] {
            if stands(standing) {
                return state;
            }
        }
        match self.step {
            None => ThreadState::Unknown,
            Some(step) if step.over == Ns::ZERO => ThreadState::Unknown,
            Some(step) if step.on_cpu.0.saturating_mul(2) >= step.over.0 => ThreadState::Native,
            Some(step) if step.run_delay.0.saturating_mul(2) >= step.over.0 => ThreadState::Runnable,
            Some(_) => ThreadState::Idle,
        }
    }

    /// Time that it has queued for a core, as far as the kernel's totals were read.
    pub fn queued(&self) -> Ns {
        let totals = self.baseline.zip(self.latest);
        totals.map_or(Ns::ZERO, |((_, from), (_, to))| to.run_delay.saturating_sub(from.run_delay))
    }

    /// The figures to show. `ticks` knows the newest tick of each GIL.
    pub fn figures(&self, key: ThreadKey, now: MonoNs, resolution: Ns, ticks: Ticks) -> ThreadFigures {
        let open = |standing| self.open(standing, ticks).collect::<Vec<_>>();
        let (cores, missing) = self.cores(now);
        let is_followed = self.is_followed(self.end.unwrap_or(now), missing);
        let on_cpu = |time: &CoreTime| is_followed.then_some(time.on_core);
        ThreadFigures {
            key,
            tid: self.info.tid,
            name: self.info.name.clone(),
            role: self.info.role,
            interpreters: self.interpreters.iter().copied().collect(),
            start: self.start,
            end: self.end,
            states: self.states(now, ticks),
            now: self.now(),
            cpu: self.cpu,
            cpus_allowed: self.cpus.clone(),
            lost: self.lost(ticks),
            rounds_lost: Some(self.rounds_lost),
            needless_releases: None,
            waits: self.waits.distribution(&open(Standing::Waiting), resolution),
            holds: self.holds.distribution(&open(Standing::Holding), resolution),
            voluntary_switches: self.switches.map(|(a, b)| b.voluntary.saturating_sub(a.voluntary)),
            involuntary_switches: self.switches.map(|(a, b)| b.involuntary.saturating_sub(a.involuntary)),
            cores: cores
                .iter()
                .filter(|(_, time)| is_followed || time.held > Ns::ZERO)
                .map(|(&cpu, time)| ThreadCore { cpu, on_cpu: on_cpu(time), gil_held: time.held })
                .collect(),
        }
    }
}
