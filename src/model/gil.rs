//! One GIL's account: ticks in, time integrals and intervals out.
//!
//! Between two ticks the state is taken to have changed half way: each half of
//! the time goes to what was seen at its end. Over ticks at random instants that
//! is unbiased for shares; an edge is known to about one sampling interval.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{DropRequest, GilKey, GilSample, Hold, Placement, Relation, ThreadKey};
use crate::model::intervals::{Edge, Intervals, Open};
use crate::model::lanes::{Holding, Lanes, Stretch};
use crate::model::snapshot::{GilFigures, GilNow, ThreadState};
use crate::model::thread::ThreadAccount;
use crate::model::timeline::{Bin, Timeline};
use crate::time::{MonoNs, Ns};

/// The threads of the capture, by key.
pub type Threads = BTreeMap<ThreadKey, ThreadAccount>;

/// On-core time by which a thread that has taken the GIL and lost it again between two ticks differs from one
/// that only timed out and asked again. A time-out costs 2 to 5 us plus the switch; a take with even an empty
/// hold runs on through the eval loop and another request.
const TAKE_ON_CPU: Ns = Ns(15_000);

/// A tick without [`GIL_GAP`] intervals to the one before is not bridged: what happened between is unknown.
const GIL_GAP: u64 = 20;

/// Everything folded in about one GIL.
#[derive(Debug, Clone)]
pub struct GilAccount {
    switch_interval: Ns,
    found: MonoNs,
    ended: Option<MonoNs>,
    first: Option<(MonoNs, u64)>,
    last: Option<Tick>,
    /// Relations other than `Apart`, as of the last tick.
    relations: BTreeMap<ThreadKey, Relation>,
    /// What changes at the tick that is being gathered.
    changes: Vec<(ThreadKey, Relation)>,
    observed: Ns,
    held: Ns,
    held_placed: Ns,
    held_asleep: Ns,
    preempted: Ns,
    contended: Ns,
    lost: Ns,
    max_waiters: u32,
    samples: u64,
    handoffs_seen: u64,
    waits: Intervals,
    holds: Intervals,
    history: Arc<Timeline>,
    lanes: Arc<Lanes>,
}

/// How well a GIL, or several together, was observed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observed {
    /// From when it came into view.
    pub lifetime: Ns,
    /// Of that, bridged by ticks.
    pub bridged: Ns,
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
        self.bridged += other.bridged;
        self.samples += other.samples;
        self.handoffs_seen += other.handoffs_seen;
        self.handoffs_counted += other.handoffs_counted;
    }
}

#[derive(Debug, Clone, Copy)]
struct Tick {
    at: MonoNs,
    sample: GilSample,
    waiters: u32,
}

impl Tick {
    fn holder(&self) -> Option<ThreadKey> {
        match self.sample.hold {
            Hold::By { thread, .. } => Some(thread),
            Hold::Free | Hold::ByUnknown => None,
        }
    }

    fn is_held(&self) -> bool {
        self.sample.hold != Hold::Free
    }

    fn stretch(&self) -> Stretch {
        let hold = self.is_held().then(|| {
            let how = match self.placement() {
                Some(Placement::OnOrQueued(cpu)) => Holding::On(cpu),
                Some(Placement::Asleep(cpu)) => Holding::Asleep(cpu),
                Some(Placement::Unknown) | None => Holding::Unplaced,
            };
            (self.holder(), how)
        });
        Stretch { hold, waiters: self.waiters }
    }

    fn placement(&self) -> Option<Placement> {
        match self.sample.hold {
            Hold::By { placement, .. } => placement,
            Hold::Free | Hold::ByUnknown => None,
        }
    }
}

impl GilAccount {
    /// A GIL that came into view at `found`.
    pub fn new(switch_interval: Ns, found: MonoNs) -> GilAccount {
        GilAccount {
            switch_interval,
            found,
            ended: None,
            first: None,
            last: None,
            relations: BTreeMap::new(),
            changes: Vec::new(),
            observed: Ns::ZERO,
            held: Ns::ZERO,
            held_placed: Ns::ZERO,
            held_asleep: Ns::ZERO,
            preempted: Ns::ZERO,
            contended: Ns::ZERO,
            lost: Ns::ZERO,
            max_waiters: 0,
            samples: 0,
            handoffs_seen: 0,
            waits: Intervals::default(),
            holds: Intervals::default(),
            history: Arc::default(),
            lanes: Arc::default(),
        }
    }

    /// The switch interval was changed.
    pub fn set_switch_interval(&mut self, switch_interval: Ns) {
        self.switch_interval = switch_interval;
    }

    /// A thread's relation from the coming tick on.
    pub fn relate(&mut self, thread: ThreadKey, relation: Relation) {
        self.changes.push((thread, relation));
    }

    /// How well it has been observed by `now`.
    pub fn observed(&self, now: MonoNs) -> Observed {
        Observed {
            lifetime: self.ended.unwrap_or(now).since(self.found),
            bridged: self.observed,
            samples: self.samples,
            handoffs_seen: self.handoffs_seen,
            handoffs_counted: self.handoffs(),
        }
    }

    /// Handoffs by CPython's own count since the first tick.
    pub fn handoffs(&self) -> u64 {
        match (self.first, self.last) {
            (Some((_, first)), Some(last)) => last.sample.switch_number.wrapping_sub(first),
            _ => 0,
        }
    }

    /// Closes a tick. `mine` tells whether a thread takes this GIL.
    pub fn tick(
        &mut self,
        at: MonoNs,
        mut sample: GilSample,
        interval: Ns,
        threads: &mut Threads,
        mine: &dyn Fn(&ThreadAccount) -> bool,
    ) {
        self.samples += 1;
        let before = std::mem::take(&mut self.relations);
        let mut after = before.clone();
        for (thread, relation) in self.changes.drain(..) {
            after.insert(thread, relation);
        }
        after.retain(|thread, relation| *relation != Relation::Apart && threads.contains_key(thread));
        if let Hold::By { thread, placement } = &mut sample.hold {
            after.remove(thread);
            if placement.is_none() {
                *placement = self.carried_placement(*thread, sample.switch_number, at);
            }
        }
        let identified = after.values().filter(|r| **r == Relation::Waiting).count() as u32;
        let waiters = identified.max(sample.waiters.unwrap_or(0));
        let tick = Tick { at, sample, waiters };
        self.max_waiters = self.max_waiters.max(waiters);

        let gap = Ns(interval.0.saturating_mul(GIL_GAP)).max(Ns::from_millis(GIL_GAP));
        match self.last {
            Some(last) if at.since(last.at) <= gap => self.integrate(&last, &tick, &before, &after, interval, threads),
            Some(last) => {
                self.cut_all(last.at, threads);
                for thread in threads.values_mut().filter(|t| t.end.is_none() && mine(t)) {
                    thread.unobserved(at.since(last.at.max(thread.start)));
                }
                self.open_all(&tick, &after, Edge::Cut, threads);
            }
            None => self.open_all(&tick, &after, Edge::Cut, threads),
        }

        self.show(&tick, &before, &after, threads);
        self.relations = after;
        self.first.get_or_insert((at, sample.switch_number));
        self.last = Some(tick);
    }

    /// A holder that was not looked at is where it was, as long as the GIL stayed with it and that was just now.
    fn carried_placement(&self, thread: ThreadKey, switch_number: u64, at: MonoNs) -> Option<Placement> {
        self.last
            .filter(|last| last.holder() == Some(thread) && last.sample.switch_number == switch_number)
            .filter(|last| at.since(last.at) <= Ns::from_millis(2))
            .and_then(|last| last.placement())
    }

    fn integrate(
        &mut self,
        last: &Tick,
        tick: &Tick,
        before: &BTreeMap<ThreadKey, Relation>,
        after: &BTreeMap<ThreadKey, Relation>,
        interval: Ns,
        threads: &mut Threads,
    ) {
        let length = tick.at.since(last.at);
        let first_half = Ns(length.0 / 2);
        let mut bin = Bin { observed: length, ..Bin::default() };
        for (end, relations, half) in [(last, before, first_half), (tick, after, length.saturating_sub(first_half))] {
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
                bin.lost += Ns(half.0.saturating_mul(u64::from(end.waiters)));
            }
            for (thread, relation) in relations {
                let Some(account) = threads.get_mut(thread) else { continue };
                match relation {
                    Relation::Waiting => account.waited(half),
                    Relation::HandingOver => account.handed_over(half),
                    Relation::Unknown => account.unobserved(half),
                    Relation::Apart => {}
                }
            }
        }
        let handoffs = tick.sample.switch_number.wrapping_sub(last.sample.switch_number);
        bin.handoffs = handoffs;
        self.observed += bin.observed;
        self.held += bin.held;
        self.held_asleep += bin.held_asleep;
        self.contended += bin.contended;
        self.lost += bin.lost;
        Arc::make_mut(&mut self.history).add(last.at, tick.at, &bin);
        let lanes = Arc::make_mut(&mut self.lanes);
        lanes.add(last.at, last.at + first_half, &last.stretch());
        lanes.add(last.at + first_half, tick.at, &tick.stretch());

        if handoffs == 1 && last.is_held() && tick.is_held() && last.holder() != tick.holder() {
            self.handoffs_seen += 1;
        }
        self.follow_run_delay(last, tick, before, after, threads);
        self.follow_hold(last, tick, handoffs, interval, threads);
        self.follow_waits(last, tick, before, after, handoffs, interval, threads);
    }

    /// Where a thread was queued for a core while it held or waited, that time belongs there.
    fn follow_run_delay(
        &mut self,
        last: &Tick,
        tick: &Tick,
        before: &BTreeMap<ThreadKey, Relation>,
        after: &BTreeMap<ThreadKey, Relation>,
        threads: &mut Threads,
    ) {
        let kept = tick
            .holder()
            .filter(|h| last.holder() == Some(*h) && last.sample.switch_number == tick.sample.switch_number);
        if let Some(account) = kept.and_then(|holder| threads.get_mut(&holder))
            && let Some(step) = account.step_at(tick.at)
        {
            account.preempted(step.run_delay);
            self.preempted += step.run_delay;
        }
        for thread in before.iter().filter(|(_, r)| **r == Relation::Waiting).map(|(t, _)| t) {
            let still = after.contains_key(thread) || tick.holder() == Some(*thread);
            if let Some(account) = threads.get_mut(thread).filter(|_| still)
                && let Some(step) = account.step_at(tick.at)
            {
                account.delayed_in_wait(step.run_delay);
            }
        }
    }

    fn follow_hold(&mut self, last: &Tick, tick: &Tick, handoffs: u64, interval: Ns, threads: &mut Threads) {
        if last.holder() == tick.holder() && handoffs == 0 {
            return;
        }
        let edge = last.at.midpoint(tick.at);
        if let Some(account) = last.holder().and_then(|holder| threads.get_mut(&holder))
            && let Some(open) = account.open_hold.take()
        {
            account.holds.close(open, edge, interval);
            self.holds.close(open, edge, interval);
        }
        if let Some(account) = tick.holder().and_then(|holder| threads.get_mut(&holder)) {
            account.open_hold = Some(Open { start: edge, edge: Edge::Seen, switch_number: tick.sample.switch_number });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "both ticks with their relations are one step of the fold")]
    fn follow_waits(
        &mut self,
        last: &Tick,
        tick: &Tick,
        before: &BTreeMap<ThreadKey, Relation>,
        after: &BTreeMap<ThreadKey, Relation>,
        handoffs: u64,
        interval: Ns,
        threads: &mut Threads,
    ) {
        let edge = last.at.midpoint(tick.at);
        let waits =
            |relations: &BTreeMap<ThreadKey, Relation>, t: &ThreadKey| relations.get(t) == Some(&Relation::Waiting);
        let lost_and_back = takers_unseen(last, tick, handoffs, before, after, threads);
        for thread in before.keys().filter(|t| waits(before, t)) {
            let goes_on = waits(after, thread);
            if goes_on && !lost_and_back.contains(thread) {
                continue;
            }
            let Some(account) = threads.get_mut(thread) else { continue };
            if let Some(open) = account.open_wait.take() {
                account.waits.close(open, edge, interval);
                self.waits.close(open, edge, interval);
                account.rounds_lost += last.sample.switch_number.wrapping_sub(open.switch_number);
            }
        }
        for thread in after.keys().filter(|t| waits(after, t)) {
            if let Some(account) = threads.get_mut(thread).filter(|a| a.open_wait.is_none()) {
                let switch_number = tick.sample.switch_number;
                account.open_wait = Some(Open { start: edge, edge: Edge::Seen, switch_number });
            }
        }
    }

    /// Everything open ends unseen at `at`.
    fn cut_all(&mut self, at: MonoNs, threads: &mut Threads) {
        let holder = self.last.and_then(|last| last.holder());
        if let Some(account) = holder.and_then(|holder| threads.get_mut(&holder))
            && let Some(open) = account.open_hold.take()
        {
            account.holds.cut(open, at);
            self.holds.cut(open, at);
        }
        for thread in self.relations.keys() {
            if let Some(account) = threads.get_mut(thread)
                && let Some(open) = account.open_wait.take()
            {
                account.waits.cut(open, at);
                self.waits.cut(open, at);
            }
        }
    }

    fn open_all(&mut self, tick: &Tick, after: &BTreeMap<ThreadKey, Relation>, edge: Edge, threads: &mut Threads) {
        let open = Open { start: tick.at, edge, switch_number: tick.sample.switch_number };
        if let Some(account) = tick.holder().and_then(|holder| threads.get_mut(&holder)) {
            account.open_hold = Some(open);
        }
        for (thread, _) in after.iter().filter(|(_, r)| **r == Relation::Waiting) {
            if let Some(account) = threads.get_mut(thread) {
                account.open_wait = Some(open);
            }
        }
    }

    /// Sets the state that each thread shows.
    fn show(
        &self,
        tick: &Tick,
        before: &BTreeMap<ThreadKey, Relation>,
        after: &BTreeMap<ThreadKey, Relation>,
        threads: &mut Threads,
    ) {
        let was = self.last.and_then(|last| last.holder());
        for thread in before.keys().chain(was.iter()) {
            if let Some(account) = threads.get_mut(thread) {
                account.gil_state = None;
            }
        }
        for (thread, relation) in after {
            if let Some(account) = threads.get_mut(thread) {
                account.gil_state = match relation {
                    Relation::Waiting => Some(ThreadState::Waiting),
                    Relation::HandingOver => Some(ThreadState::HandingOver),
                    Relation::Unknown => Some(ThreadState::Unknown),
                    Relation::Apart => None,
                };
            }
        }
        if let Some(account) = tick.holder().and_then(|holder| threads.get_mut(&holder)) {
            account.gil_state = Some(match tick.placement() {
                Some(Placement::Asleep(_)) => ThreadState::HoldingOffCpu,
                Some(Placement::OnOrQueued(_) | Placement::Unknown) | None => ThreadState::Running,
            });
        }
    }

    /// A thread ended at `at`: what it had open ends there, unseen.
    pub fn thread_ended(&mut self, key: ThreadKey, at: MonoNs, account: &mut ThreadAccount) {
        let at = self.last.map_or(at, |last| at.min(last.at));
        if self.relations.remove(&key).is_some()
            && let Some(open) = account.open_wait.take()
        {
            account.waits.cut(open, at);
            self.waits.cut(open, at);
        }
        if let Some(last) = self.last.as_mut().filter(|last| last.holder() == Some(key)) {
            last.sample.hold = Hold::ByUnknown;
            if let Some(open) = account.open_hold.take() {
                account.holds.cut(open, at);
                self.holds.cut(open, at);
            }
        }
        account.gil_state = None;
    }

    /// The observation of this GIL ends.
    pub fn end(&mut self, threads: &mut Threads) {
        if let Some(last) = self.last {
            self.cut_all(last.at, threads);
            self.ended.get_or_insert(last.at);
        }
        for thread in self.relations.keys() {
            if let Some(account) = threads.get_mut(thread) {
                account.gil_state = None;
            }
        }
        self.relations.clear();
    }

    /// The figures to show.
    pub fn figures(&self, key: GilKey, threads: &Threads, now: MonoNs, resolution: Ns) -> GilFigures {
        let share = |length: Ns| length.share_of(self.observed).unwrap_or(0.0);
        let holder = self.last.and_then(|last| last.holder());
        let account = |thread: &ThreadKey| threads.get(thread);
        let open_hold: Vec<Open> = holder.iter().filter_map(account).filter_map(|a| a.open_hold).collect();
        let open_waits: Vec<Open> = self.relations.keys().filter_map(account).filter_map(|a| a.open_wait).collect();
        let mean_waiters = share(self.lost);
        let load = share(self.held);
        let placed = self.held_placed + self.held_asleep;
        let of_placed = |length: Ns| match placed {
            Ns::ZERO if self.held > Ns::ZERO => None,
            Ns::ZERO => Some(0.0),
            placed => length.share_of(placed).map(|s| s * load),
        };
        let preempted = self.preempted.min(self.held_placed);
        GilFigures {
            key,
            switch_interval: self.switch_interval,
            observed: self.observed,
            load,
            held_off_cpu: of_placed(preempted + self.held_asleep),
            held_preempted: of_placed(preempted),
            held_asleep: of_placed(self.held_asleep),
            contention: share(self.contended),
            demand: load + mean_waiters,
            mean_waiters,
            max_waiters: self.max_waiters,
            lost: self.lost,
            handoffs: self.handoffs(),
            forced_handoffs: None,
            cross_core_handoffs: None,
            drop_latency: None,
            waits: self.waits.distribution(&open_waits, now, resolution),
            holds: self.holds.distribution(&open_hold, now, resolution),
            now: GilNow {
                holder,
                placement: self.last.and_then(|last| last.placement()),
                waiters: self.last.map(|last| last.waiters),
                drop_request: self.last.map_or(DropRequest::Unknown, |last| last.sample.drop_request),
            },
            history: Arc::clone(&self.history),
            lanes: Arc::clone(&self.lanes),
        }
    }
}

/// Threads that wait at both ticks, but have taken the GIL and lost it again between them.
///
/// The count of handoffs tells how many takers nobody saw. A thread is one of them if it has used a core for longer
/// than time-outs of its wait explain; where more threads have, those that used it longest.
fn takers_unseen(
    last: &Tick,
    tick: &Tick,
    handoffs: u64,
    before: &BTreeMap<ThreadKey, Relation>,
    after: &BTreeMap<ThreadKey, Relation>,
    threads: &Threads,
) -> Vec<ThreadKey> {
    let seen = u64::from(tick.is_held());
    let unseen = usize::try_from(handoffs.saturating_sub(seen)).unwrap_or(usize::MAX);
    if unseen == 0 {
        return Vec::new();
    }
    let mut ran: Vec<(Ns, ThreadKey)> = before
        .iter()
        .filter(|(thread, relation)| **relation == Relation::Waiting && after.get(thread) == Some(&Relation::Waiting))
        .filter_map(|(thread, _)| {
            let step = threads
                .get(thread)?
                .step_at(tick.at)
                .filter(|step| step.over <= tick.at.since(last.at) + Ns::SECOND)?;
            let per_slice = Ns(step.on_cpu.0 / step.timeslices.max(1));
            (per_slice >= TAKE_ON_CPU).then_some((step.on_cpu, *thread))
        })
        .collect();
    ran.sort_unstable_by(|a, b| b.cmp(a));
    ran.into_iter().take(unseen).map(|(_, thread)| thread).collect()
}
