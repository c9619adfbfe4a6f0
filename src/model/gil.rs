//! One GIL's account: ticks in, time integrals and intervals out.
//!
//! Between two ticks the state is taken to have changed half way: each half of
//! the time goes to what was seen at its end. Over ticks at random instants that
//! is unbiased for shares; an edge is known to about one sampling interval.
//!
//! A tick costs by what changed at it, not by how many threads wait.

mod actors;
mod brief;
mod callers;
mod charted;
mod collisions;
mod contended;
mod convoys;
mod course;
pub mod exact;
mod figures;
mod follow;
mod handoffs;
mod joined;
mod long;
mod named;
pub mod perturbed;
mod relations;
mod sequence;
mod settled;
mod sites;
mod takers;
mod tenure;
mod tick;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::{
    GilKey, GilSample, Hold, NativeInfo, NativeKey, Placement, ProcessKey, Refusal, Relation, SampleCause, SeenHolder,
    StackKey, ThreadKey,
};
use crate::model::blame::{Blame, Waiting};
use crate::model::gil::callers::Callers;
use crate::model::gil::charted::Chart;
pub use crate::model::gil::charted::Habit;
pub(in crate::model) use crate::model::gil::charted::going_on;
use crate::model::gil::convoys::{Convoys, Instrument, Setting};
use crate::model::gil::exact::{Doings, Exact, Hit};
use crate::model::gil::handoffs::{Handoffs, Takes};
use crate::model::gil::long::{Executed, LongHolds};
use crate::model::gil::perturbed::Perturbed;
pub use crate::model::gil::perturbed::Scrutiny;
use crate::model::gil::tenure::Tenures;
pub use crate::model::gil::tick::Seen;
use crate::model::gil::tick::{Step, Tick};
use crate::model::intervals::{Edge, Grain, Intervals, Moment, Open, Sharpness};
use crate::model::lanes::Lanes;
use crate::model::thread::{After, Stand, Standing, ThreadAccount};
use crate::model::timeline::{Bin, Timeline};
use crate::time::{MonoNs, Ns};

/// The threads of the capture, by key.
pub type Threads = BTreeMap<ThreadKey, ThreadAccount>;

/// Two ticks further apart than this many intervals are not bridged: what happened between them is unknown.
const GIL_GAP: u64 = 20;

/// A placement that was read this long ago still holds for a holder that kept the GIL.
const PLACEMENT_HOLDS: Ns = Ns(2_000_000);

/// The kernel has no more tasks (`PID_MAX_LIMIT`): a larger count of waiters was misread.
const MOST_TASKS: u32 = 1 << 22;

/// A word of a GIL that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `locked`.
    Locked,
    /// Its condition variable.
    Cond,
}

/// Everything folded in about one GIL.
#[derive(Debug, Clone)]
pub struct GilAccount {
    key: GilKey,
    process: ProcessKey,
    switch_interval: Ns,
    found: MonoNs,
    ended: Option<MonoNs>,
    last: Option<Tick>,
    /// The tick before that.
    before_last: MonoNs,
    /// Who took it between these two; `None`: that is not known of all.
    takers: Option<Vec<ThreadKey>>,
    /// Who takes it from native code.
    callers: Callers,
    /// Who got a core in the newest step, if the GIL was free at its end.
    woken: Vec<ThreadKey>,
    /// Relations other than `Apart` in force at the last tick, the holder's included.
    relations: BTreeMap<ThreadKey, Relation>,
    /// What changes at the tick that is being gathered.
    changes: BTreeMap<ThreadKey, Relation>,
    /// Threads that stand to it as waiting.
    waiting: u32,
    /// Of those that wait, who is no longer asleep on it.
    awake: BTreeSet<ThreadKey>,
    /// Who was seen to hold it under the present count of handoffs.
    owner: Option<ThreadKey>,
    placed: Option<(MonoNs, Placement)>,
    observed: Ns,
    /// Of that, what lies between looks so far apart that nobody can say what happened.
    blurred: Ns,
    held: Ns,
    held_placed: Ns,
    held_asleep: Ns,
    preempted: Ns,
    contended: Ns,
    lost: Ns,
    max_waiters: u32,
    samples: u64,
    handoffs_seen: u64,
    handoffs_counted: u64,
    /// No handoff since then, at the latest.
    tenure: MonoNs,
    followed: Handoffs,
    tenures: Tenures,
    convoys: Convoys,
    waits: Intervals,
    holds: Intervals,
    history: Arc<Timeline>,
    lanes: Arc<Lanes>,
    /// What watchpoints have told.
    exact: Exact,
    refused: Option<Refusal>,
    perturbed: Perturbed,
    /// Waits whose end the newest tick has told.
    over: Vec<Wait>,
    long: LongHolds,
    /// Who made whom wait.
    blame: Blame,
    /// What is to be told of it, stretch by stretch.
    chart: Chart,
}

/// A wait that is over.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// Who waited.
    pub thread: ThreadKey,
    /// Since when, or since when it was seen.
    pub from: MonoNs,
    /// When it took the GIL.
    pub until: MonoNs,
    /// What it did before.
    pub after: After,
}

/// Waits that end between two ticks and are told one by one.
const WAITS_TOLD: usize = 1_024;

/// How well a GIL, or several together, was observed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// From when it came into view.
    pub lifetime: Ns,
    /// Of that, time of which is known what happened.
    pub covered: Ns,
    /// Ticks.
    pub samples: u64,
    /// Handoffs where dropper and taker were seen.
    pub handoffs_seen: u64,
    /// Handoffs by CPython's own count.
    pub handoffs_counted: u64,
}

impl std::ops::AddAssign for Observed {
    fn add_assign(&mut self, other: Observed) {
        self.lifetime += other.lifetime;
        self.covered += other.covered;
        self.samples += other.samples;
        self.handoffs_seen += other.handoffs_seen;
        self.handoffs_counted += other.handoffs_counted;
    }
}

impl GilAccount {
    /// A GIL of `process` that came into view at `found`.
    pub fn new(key: GilKey, process: ProcessKey, switch_interval: Ns, found: MonoNs) -> GilAccount {
        GilAccount {
            key,
            process,
            switch_interval,
            found,
            ended: None,
            last: None,
            before_last: found,
            takers: None,
            callers: Callers::default(),
            woken: Vec::new(),
            relations: BTreeMap::new(),
            changes: BTreeMap::new(),
            waiting: 0,
            awake: BTreeSet::new(),
            owner: None,
            placed: None,
            observed: Ns::ZERO,
            blurred: Ns::ZERO,
            held: Ns::ZERO,
            held_placed: Ns::ZERO,
            held_asleep: Ns::ZERO,
            preempted: Ns::ZERO,
            contended: Ns::ZERO,
            lost: Ns::ZERO,
            max_waiters: 0,
            samples: 0,
            handoffs_seen: 0,
            handoffs_counted: 0,
            tenure: found,
            followed: Handoffs::default(),
            tenures: Tenures::default(),
            convoys: Convoys::default(),
            waits: Intervals::new(Grain::Fine),
            holds: Intervals::new(Grain::Fine),
            history: Arc::default(),
            lanes: Arc::default(),
            exact: Exact::default(),
            refused: None,
            perturbed: Perturbed::default(),
            over: Vec::new(),
            long: LongHolds::default(),
            blame: Blame::default(),
            chart: Chart::default(),
        }
    }

    /// A window of the watchpoints begins.
    pub fn window_begins(&mut self, at: MonoNs) {
        if self.ended.is_none() {
            self.refused = None;
            self.perturbed.has_windows();
            self.exact.begin(at);
        }
    }

    /// It ends.
    pub fn window_ends(&mut self, at: MonoNs) {
        self.exact.end(at);
    }

    /// There can be none.
    pub fn window_refused(&mut self, why: Refusal) {
        self.refused = Some(why);
    }

    /// A thread wrote to one of its words.
    pub fn written(&mut self, word: Word, hit: Hit, threads: &Threads) {
        let meanwhile = |thread, [drop, taken, asks]: [MonoNs; 3]| {
            let runs = &threads.get(&thread)?.runs;
            let slept = runs.sleeps(taken, asks).map(|(sleep, _)| sleep.until.since(sleep.from)).max();
            Some(Doings { on_core: runs.on_core(drop, asks)?, slept: slept.unwrap_or(Ns::ZERO) })
        };
        match word {
            Word::Locked => self.exact.lock_written(hit, &meanwhile),
            Word::Cond => self.exact.cond_written(hit, &meanwhile),
        }
    }

    /// Who made whom wait.
    pub fn blame(&self) -> &Blame {
        &self.blame
    }

    /// What its holder executed at an instant.
    pub fn stack_sampled(&mut self, instant: MonoNs, thread: ThreadKey, stack: Option<StackKey>, cause: SampleCause) {
        self.blame.sampled(instant, thread, stack, cause);
        let weight = match cause {
            SampleCause::Random { every } => every,
            SampleCause::LongHold => Ns::ZERO,
        };
        if let Some(stack) = stack {
            self.long.executed(Executed { instant, thread, stack, weight });
        }
    }

    /// What a thread that waited executed.
    pub fn waiter_sampled(&mut self, thread: ThreadKey, stack: Option<StackKey>, stands_for: Ns) {
        self.blame.waiter_sampled(thread, stack, stands_for);
    }

    /// These threads are no longer kept one by one.
    pub fn forget(&mut self, threads: &BTreeSet<ThreadKey>) {
        self.blame.forget(threads);
    }

    /// These threads ended a while ago, and are some of many.
    pub fn join_ended(&mut self, threads: &BTreeSet<ThreadKey>) {
        self.blame.join_ended(threads);
    }

    /// The native code that was seen beside stacks of its holders, as `lib.so:symbol`.
    pub fn natives(&self) -> BTreeMap<(ThreadKey, StackKey), Arc<str>> {
        self.long.natives()
    }

    /// Who waits, and since when.
    pub fn waiting<'a>(&'a self, threads: &'a Threads) -> impl Iterator<Item = Waiting> + 'a {
        waiting(self.key, &self.relations, threads)
    }

    /// What watchpoints have told.
    pub fn exact(&self) -> &Exact {
        &self.exact
    }

    /// Why there can be no window.
    pub fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    /// Contention and handoffs while it was watched closely, and while it was not.
    pub fn perturbed(&self) -> Perturbed {
        self.perturbed
    }

    /// Its holder was seen in native code.
    pub fn native_sampled(
        &mut self,
        thread: ThreadKey,
        native: (NativeKey, &Arc<NativeInfo>),
        instant: MonoNs,
        how: SeenHolder,
    ) {
        self.long.sampled(thread, native, instant, how);
    }

    /// The process whose threads take it.
    pub fn process(&self) -> ProcessKey {
        self.process
    }

    /// Its key.
    pub fn key(&self) -> GilKey {
        self.key
    }

    /// Ticks further apart are not bridged.
    pub fn bridged(&self, interval: Ns) -> Ns {
        Ns(interval.0.saturating_mul(GIL_GAP)).max(Ns::from_millis(GIL_GAP))
    }

    /// Waits whose end the newest tick has told; of very many, some.
    pub fn waits_over(&self) -> &[Wait] {
        &self.over
    }

    fn wait_is_over(&mut self, wait: Wait) {
        if self.over.len() < WAITS_TOLD {
            self.over.push(wait);
        }
    }

    /// Who held it at the newest tick.
    pub fn holder(&self) -> Hold {
        self.last.map_or(Hold::ByUnknown, |last| last.sample.hold)
    }

    /// Its newest tick.
    pub fn last_tick(&self) -> MonoNs {
        self.last.map_or(self.found, |last| last.at)
    }

    /// How long whoever waits for it waits before asking for it.
    pub fn switch_interval(&self) -> Ns {
        self.switch_interval
    }

    /// The switch interval was changed.
    pub fn set_switch_interval(&mut self, switch_interval: Ns) {
        self.convoys.close();
        self.switch_interval = switch_interval;
    }

    /// A thread's relation from the coming tick on. `account` is its account.
    pub fn relate(&mut self, thread: ThreadKey, relation: Relation, account: &ThreadAccount) {
        if self.ended.is_none() && self.is_known(account) {
            self.changes.insert(thread, relation);
        }
    }

    fn is_known(&self, account: &ThreadAccount) -> bool {
        account.end.is_none() && account.info.process == self.process
    }

    /// How well it has been observed by `now`.
    pub fn observed(&self, now: MonoNs) -> Observed {
        Observed {
            lifetime: self.ended.unwrap_or(now).since(self.found),
            covered: self.observed.saturating_sub(self.blurred),
            samples: self.samples,
            handoffs_seen: self.handoffs_seen,
            handoffs_counted: self.handoffs_counted,
        }
    }

    /// Closes a tick. `mine` tells whether a thread takes this GIL.
    pub fn tick(
        &mut self,
        at: MonoNs,
        sample: GilSample,
        interval: Ns,
        threads: &mut Threads,
        seen: Seen<'_>,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) {
        if self.ended.is_some() {
            return;
        }
        self.samples += 1;
        self.over.clear();
        // A thread state of which CPython does not tell the task is not known under the name that the hits have.
        let is_named = |thread: &ThreadKey| threads.get(thread).is_some_and(|account| account.info.tid.is_some());
        self.exact.sampled(
            at,
            match sample.hold {
                Hold::By { thread, .. } if !is_named(&thread) => Hold::ByUnknown,
                hold => hold,
            },
        );
        let mut tick = Tick { at, sample: self.credible(at, sample, threads), waiters: 0, waiters_known: 0 };
        let gap = self.bridged(interval);
        let handoffs = self.last.map_or(0, |last| tick.handoffs_since(&last));
        let mut touched = self.take_changes(&tick, handoffs, threads);
        self.handoffs_counted = self.handoffs_counted.saturating_add(handoffs);
        match self.last.filter(|last| at.since(last.at) <= gap) {
            Some(last) => {
                touched.extend(last.holder().into_iter().chain(tick.holder()));
                touched.sort_unstable();
                touched.dedup();
                let step = Step { last, tick, handoffs, interval };
                self.callers.look(&step, self.owner);
                // Whoever had it may have taken it again, which CPython does not count.
                let before = self.dropper();
                let takes = self.follow(&step, &touched, seen, threads, mine);
                self.takers = takes.takers().map(|takers| takers.chain(before).collect());
                self.count_waiters(&mut tick);
                let step = Step { tick, ..step };
                self.tenures.step(&step, &takes, self.switch_interval, threads);
                let (tenures, switch_interval) = (&self.tenures, self.switch_interval);
                let instrument = match seen.told.covers(last.at) {
                    true => Instrument::WithSwitches,
                    false => Instrument::Looks,
                };
                let setting = Setting { tenures, threads: &*threads, switch_interval, interval, instrument };
                self.convoys.step(at, at.since(last.at), &self.over, setting);
                let scrutiny = if self.exact.is_open() { Scrutiny::Close } else { seen.scrutiny };
                self.perturbed.add(&step, scrutiny);
                self.integrate(&step, &takes, seen, threads);
            }
            None => {
                self.takers = None;
                self.tenures.lose(at);
                if let Some(last) = self.last {
                    self.chart_gap(last.at, at, handoffs);
                    self.followed.miss(handoffs, at.since(last.at), self.switch_interval);
                    self.tenure = at;
                    self.cut_all(last.at, touched, threads);
                    for thread in threads.values_mut().filter(|t| t.end.is_none() && mine(t)) {
                        thread.gap(last.at, at);
                    }
                }
                self.begin_all(&tick, threads);
                self.count_waiters(&mut tick);
            }
        }
        self.owner = match tick.holder() {
            None if handoffs == 0 => self.owner,
            holder => holder,
        };
        let (key, relations) = (self.key, &self.relations);
        self.blame.settle(at, || waiting(key, relations, threads));
        self.max_waiters = self.max_waiters.max(tick.waiters);
        self.long.tick(&tick, self.last.map_or(at, |last| last.at), gap, self.switch_interval);
        self.before_last = self.last.map_or(at, |last| last.at);
        self.woken.clear();
        if !tick.is_held() {
            self.woken.extend_from_slice(seen.woken);
        }
        self.last = Some(tick);
    }

    /// What a sample says, without what cannot be.
    fn credible(&mut self, at: MonoNs, mut sample: GilSample, threads: &mut Threads) -> GilSample {
        sample.waiters = sample.waiters.filter(|waiters| *waiters <= MOST_TASKS);
        let Hold::By { thread, placement } = &mut sample.hold else {
            self.placed = None;
            return sample;
        };
        let Some(account) = threads.get_mut(thread).filter(|account| self.is_known(account)) else {
            self.placed = None;
            sample.hold = Hold::ByUnknown;
            return sample;
        };
        // A holder that was not looked at is where it was, as long as the GIL stayed with it and that was just now.
        let kept = self
            .last
            .is_some_and(|last| last.holder() == Some(*thread) && last.sample.switch_number == sample.switch_number);
        self.placed = match *placement {
            Some(read) => Some((at, read)),
            None => self.placed.filter(|(read_at, _)| kept && at.since(*read_at) <= PLACEMENT_HOLDS),
        };
        *placement = self.placed.map(|(_, placement)| placement);
        account.placement = *placement;
        sample
    }

    fn count_waiters(&self, tick: &mut Tick) {
        tick.waiters_known = self.waiting;
        tick.waiters = self.waiting.max(tick.sample.waiters.unwrap_or(0));
    }

    /// The time between two ticks: each half goes to what was seen at its end, but for what the waits tell.
    fn integrate(&mut self, step: &Step, takes: &Takes, seen: Seen<'_>, threads: &mut Threads) {
        let Step { last, tick, handoffs, .. } = step;
        let length = tick.at.since(last.at);
        let first_half = Ns(length.0 / 2);
        let mut bin = Bin { observed: length, handoffs: *handoffs, ..Bin::default() };
        for (end, half) in [(last, first_half), (tick, length.saturating_sub(first_half))] {
            if end.is_held() {
                bin.held += half;
            }
            if let Some(account) = end.holder().and_then(|holder| threads.get_mut(&holder)) {
                account.held(half, end.placement());
                match end.placement() {
                    Some(Placement::Asleep(_)) => bin.held_asleep += half,
                    Some(Placement::OnOrQueued(_)) => self.held_placed += half,
                    Some(Placement::Unknown) | None => {}
                }
            }
            if end.waiters > 0 {
                bin.contended += half;
                end.holder().into_iter().for_each(|holder| self.blame.contended(holder, half));
                bin.lost += Ns(half.0.saturating_mul(u64::from(end.waiters)));
            }
        }
        if let Some(waited) = self.waited_between(step, takes, seen, threads) {
            (bin.contended, bin.lost) = (waited.contended, waited.lost);
        }
        self.observed += bin.observed;
        self.held += bin.held;
        self.held_asleep += bin.held_asleep;
        self.contended += bin.contended;
        self.lost += bin.lost;
        Arc::make_mut(&mut self.history).add(last.at, tick.at, &bin);
        let lanes = Arc::make_mut(&mut self.lanes);
        lanes.add(last.at, last.at + first_half, &last.stretch());
        lanes.add(last.at + first_half, tick.at, &tick.stretch());
    }

    /// Everything open ends unseen at `at`, also for threads that no longer stand to it: the `others`.
    fn cut_all(&mut self, at: MonoNs, mut others: Vec<ThreadKey>, threads: &mut Threads) {
        others.extend(self.last.and_then(|last| last.holder()));
        others.extend(self.relations.keys());
        for thread in others {
            if let Some(account) = threads.get_mut(&thread) {
                self.cut(at, thread, account);
            }
        }
    }

    /// What one thread was in ends unseen at `at`.
    fn cut(&mut self, at: MonoNs, thread: ThreadKey, account: &mut ThreadAccount) {
        let Some(stand) = account.finish(self.key, at) else { return };
        self.chart_stand(thread, &stand, Moment { at, sharpness: Sharpness::Tick });
        match stand.standing {
            Standing::Waiting => {
                self.waiting = self.waiting.saturating_sub(1);
                self.blame.cut(thread, stand.open.told, at);
                account.waits.cut(stand.open, at);
                self.waits.cut(stand.open, at);
            }
            Standing::Holding => {
                account.holds.cut(stand.open, at);
                self.holds.cut(stand.open, at);
            }
            Standing::HandingOver | Standing::Unseen => {}
        }
    }

    /// Everything there is at `tick` began before it, unseen.
    fn begin_all(&mut self, tick: &Tick, threads: &mut Threads) {
        let concerned: Vec<ThreadKey> = self.relations.keys().copied().chain(tick.holder()).collect();
        let open = Open {
            start: tick.at,
            told: tick.at,
            edge: Edge::Cut,
            sharpness: Sharpness::Tick,
            first: tick.at,
            switch_number: tick.sample.switch_number,
        };
        self.waiting = 0;
        for thread in concerned {
            let standing = self.standing_at(tick, thread);
            if let Some((account, standing)) = threads.get_mut(&thread).zip(standing) {
                account.begin(Stand { gil: self.key, standing, open, after: After::Unseen });
                self.waiting += u32::from(standing == Standing::Waiting);
            }
        }
    }

    /// A thread ended: what it had open ends at the last tick, unseen.
    pub fn thread_ended(&mut self, key: ThreadKey, account: &mut ThreadAccount) {
        self.relations.remove(&key);
        self.awake.remove(&key);
        self.changes.remove(&key);
        self.convoys.thread_ended(key);
        if let Some(last) = self.last {
            self.exact.thread_ended(key, last.at);
            self.cut(last.at, key, account);
        }
        if let Some(last) = self.last.as_mut().filter(|last| last.holder() == Some(key)) {
            last.sample.hold = Hold::ByUnknown;
        }
    }

    /// The observation of this GIL ends.
    pub fn end(&mut self, threads: &mut Threads) {
        if self.ended.is_some() {
            return;
        }
        let at = self.last_tick();
        self.cut_all(at, Vec::new(), threads);
        self.ended = Some(at);
        self.convoys.close();
        self.relations.clear();
        self.awake.clear();
        self.changes.clear();
        self.exact.end(at);
    }
}

fn waiting<'a>(
    gil: GilKey,
    relations: &'a BTreeMap<ThreadKey, Relation>,
    threads: &'a Threads,
) -> impl Iterator<Item = Waiting> + 'a {
    relations.keys().filter_map(move |thread| {
        let stand = threads.get(thread)?.standing(gil).filter(|stand| stand.standing == Standing::Waiting)?;
        Some((*thread, stand.open.told))
    })
}
