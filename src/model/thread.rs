//! One thread's account: what it did with its lifetime.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Cpu, InterpreterId, Placement, Role, Switches, ThreadInfo, ThreadKey, Usage};
use crate::model::intervals::{Intervals, Open};
use crate::model::snapshot::{StateTimes, ThreadCore, ThreadFigures, ThreadState};
use crate::time::{MonoNs, Ns};

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

/// Everything folded in about one thread.
#[derive(Debug, Clone)]
pub struct ThreadAccount {
    /// What is known of it.
    pub info: ThreadInfo,
    /// Interpreters it has a thread state in.
    pub interpreters: BTreeSet<InterpreterId>,
    /// Start of its lifetime in the capture.
    pub start: MonoNs,
    /// End of it.
    pub end: Option<MonoNs>,
    /// The step between the two newest readings of the kernel's totals.
    pub step: Option<UsageStep>,
    /// Its contended waits.
    pub waits: Intervals,
    /// Its holds.
    pub holds: Intervals,
    /// The wait it is in.
    pub open_wait: Option<Open>,
    /// The hold it is in.
    pub open_hold: Option<Open>,
    /// Handoffs that went to others during its waits.
    pub rounds_lost: u64,
    /// Its state at the newest tick, as far as a GIL is concerned.
    pub gil_state: Option<ThreadState>,
    held_placed: Ns,
    held_asleep: Ns,
    held_unplaced: Ns,
    preempted: Ns,
    waiting: Ns,
    handing_over: Ns,
    unobserved: Ns,
    /// Run delay that fell into waits and handovers: it is counted there.
    delay_in_wait: Ns,
    baseline: Option<(MonoNs, Usage)>,
    latest: Option<(MonoNs, Usage)>,
    switches: Option<(Switches, Switches)>,
    cpu: Option<Cpu>,
    held_on: BTreeMap<Cpu, Ns>,
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
            interpreters: BTreeSet::new(),
            start,
            end: None,
            step: None,
            waits: Intervals::default(),
            holds: Intervals::default(),
            open_wait: None,
            open_hold: None,
            rounds_lost: 0,
            gil_state: None,
            held_placed: Ns::ZERO,
            held_asleep: Ns::ZERO,
            held_unplaced: Ns::ZERO,
            preempted: Ns::ZERO,
            waiting: Ns::ZERO,
            handing_over: Ns::ZERO,
            unobserved: Ns::ZERO,
            delay_in_wait: Ns::ZERO,
            latest: None,
            switches: None,
            cpu: None,
            held_on: BTreeMap::new(),
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

    /// Time it held a GIL, by the core it was then last seen on.
    pub fn held_on(&self) -> impl Iterator<Item = (Cpu, Ns)> + '_ {
        self.held_on.iter().map(|(cpu, held)| (*cpu, *held))
    }

    /// A reading of the kernel's totals.
    pub fn usage(&mut self, at: MonoNs, usage: Usage) {
        let (since, before) = *self.latest.as_ref().or(self.baseline.as_ref()).unwrap_or(&(at, usage));
        self.step = Some(UsageStep {
            at,
            over: at.since(since),
            on_cpu: usage.on_cpu.saturating_sub(before.on_cpu),
            run_delay: usage.run_delay.saturating_sub(before.run_delay),
            timeslices: usage.timeslices.saturating_sub(before.timeslices),
        });
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

    /// It waited for a GIL for `length`.
    pub fn waited(&mut self, length: Ns) {
        self.waiting += length;
    }

    /// It sat in `switch_cond` for `length`.
    pub fn handed_over(&mut self, length: Ns) {
        self.handing_over += length;
    }

    /// Nobody looked for `length`.
    pub fn unobserved(&mut self, length: Ns) {
        self.unobserved += length;
    }

    /// It was queued for a core for `length` while it held.
    pub fn preempted(&mut self, length: Ns) {
        self.preempted += length;
    }

    /// It was queued for a core for `length` on its way out of a wait.
    pub fn delayed_in_wait(&mut self, length: Ns) {
        self.delay_in_wait += length;
    }

    /// Time it has waited.
    pub fn lost(&self) -> Ns {
        self.waiting
    }

    /// Its lifetime in the capture, by state. What was sampled of the GIL comes first, the kernel's own totals
    /// divide the rest, and what they do not cover is unknown.
    pub fn states(&self, now: MonoNs) -> StateTimes {
        let end = self.end.unwrap_or(now).max(self.start);
        let lifetime = end.since(self.start);
        let mut left = lifetime;
        let mut take = |wanted: Ns| {
            let got = wanted.min(left);
            left = left.saturating_sub(got);
            got
        };
        let unplaced_asleep = self.held_unplaced.scaled(self.held_asleep, self.held_placed + self.held_asleep);
        let preempted = self.preempted.min(self.held_placed);
        let running =
            take(self.held_placed.saturating_sub(preempted) + self.held_unplaced.saturating_sub(unplaced_asleep));
        let holding_off_cpu = take(self.held_asleep + preempted + unplaced_asleep);
        let waiting = take(self.waiting);
        let handing_over = take(self.handing_over);
        let gaps = take(self.unobserved);
        let covered = match (&self.baseline, &self.latest) {
            (Some((from, _)), Some((to, _))) => to.since(*from),
            _ => Ns::ZERO,
        };
        let uncovered = take(lifetime.saturating_sub(covered).saturating_sub(gaps));
        let (on_cpu, run_delay) = self.used();
        let native = take(on_cpu.saturating_sub(running));
        let runnable = take(run_delay.saturating_sub(preempted + self.delay_in_wait));
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
        if let Some(state) = self.gil_state {
            return state;
        }
        match self.step {
            None => ThreadState::Unknown,
            Some(step) if step.over == Ns::ZERO => ThreadState::Unknown,
            Some(step) if step.on_cpu.0.saturating_mul(2) >= step.over.0 => ThreadState::Native,
            Some(step) if step.run_delay.0.saturating_mul(2) >= step.over.0 => ThreadState::Runnable,
            Some(_) => ThreadState::Idle,
        }
    }

    /// The figures to show.
    pub fn figures(&self, key: ThreadKey, now: MonoNs, resolution: Ns) -> ThreadFigures {
        let until = self.end.unwrap_or(now);
        ThreadFigures {
            key,
            tid: self.info.tid,
            name: self.info.name.clone(),
            role: self.info.role,
            interpreters: self.interpreters.iter().copied().collect(),
            start: self.start,
            end: self.end,
            states: self.states(now),
            now: self.now(),
            cpu: self.cpu,
            lost: self.lost(),
            rounds_lost: Some(self.rounds_lost),
            needless_releases: None,
            waits: self.waits.distribution(self.open_wait.as_slice(), until, resolution),
            holds: self.holds.distribution(self.open_hold.as_slice(), until, resolution),
            voluntary_switches: self.switches.map(|(a, b)| b.voluntary.saturating_sub(a.voluntary)),
            involuntary_switches: self.switches.map(|(a, b)| b.involuntary.saturating_sub(a.involuntary)),
            cores: self.held_on.iter().map(|(&cpu, &gil_held)| ThreadCore { cpu, on_cpu: None, gil_held }).collect(),
        }
    }
}
