//! What a GIL's account tells the log of segments: who held it when, how sure that is, and the handoffs.

use super::course::{Course, by_takes};
use super::handoffs::Takes;
use super::tick::{Step, Tick};
use super::{GilAccount, Threads};
use crate::event::{GilKey, Hold, Placement, ThreadKey};
use crate::model::intervals::{Moment, Sharpness};
use crate::model::segments::{Edges, Entry, Handoff, Holding, Passing, Share, Stood};
use crate::model::thread::{Stand, Standing, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// Of how many looks the share is an average that a run holds which nobody looked at.
const AVERAGED: u64 = 20;
/// What one account has to tell between two ticks, at most.
const MOST: usize = 1 << 14;

/// What is to be told of one GIL.
#[derive(Debug, Clone, Default)]
pub(super) struct Chart {
    told: Vec<Entry>,
    /// A hold that may go on.
    held: Option<Entry>,
    /// A time in which a taker was missed, that may go on.
    missed: Option<Entry>,
}

impl Chart {
    pub(super) fn push(&mut self, entry: Entry) {
        if self.told.len() < MOST {
            self.told.push(entry);
        }
    }

    /// A thread held it; a hold that goes on is one.
    fn held(&mut self, gil: GilKey, thread: ThreadKey, how: Holding, (from, to): (MonoNs, MonoNs), edges: Edges) {
        if from >= to {
            return;
        }
        if let Some(Entry::Held { thread: before, how: so, until, edges: known, .. }) = &mut self.held
            && (*before, *so, *until) == (thread, how, from)
        {
            (*until, known.ends) = (to, edges.ends);
            return;
        }
        let next = Entry::Held { thread, gil, how, from, until: to, edges };
        let done = self.held.replace(next);
        done.into_iter().for_each(|done| self.push(done));
    }

    fn missed(&mut self, gil: GilKey, from: MonoNs, to: MonoNs, handoffs: u64) {
        let handoffs = u32::try_from(handoffs).unwrap_or(u32::MAX);
        let next = Entry::Missed { gil, from, until: to, handoffs };
        let done = self.missed.replace(next);
        done.into_iter().for_each(|done| self.push(done));
    }

    /// All of it, what goes on included.
    pub(super) fn all(&self) -> impl Iterator<Item = Entry> + '_ {
        self.told.iter().chain(&self.held).chain(&self.missed).copied()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry> + '_ {
        self.told.drain(..)
    }
}

/// Where a piece of a hold begins and ends, and how well that is known.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: Moment,
    to: Moment,
}

impl Piece {
    fn span(&self) -> (MonoNs, MonoNs) {
        (self.from.at, self.to.at)
    }

    fn edges(&self) -> Edges {
        Edges { begins: self.from.sharpness, ends: self.to.sharpness }
    }
}

fn looked(at: MonoNs) -> Moment {
    Moment { at, sharpness: Sharpness::Tick }
}

fn by_look(tick: &Tick) -> Holding {
    match tick.placement() {
        Some(Placement::OnOrQueued(cpu)) => Holding::Awake(Some(cpu)),
        Some(Placement::Asleep(_)) => Holding::Asleep,
        Some(Placement::Unknown) | None => Holding::Awake(None),
    }
}

impl GilAccount {
    /// Tells who held it between two ticks: by the story or the takes where there are any, else by what its last owner did
    /// if nobody else took it, else by the looks.
    pub(super) fn chart_holds(&mut self, step: &Step, takes: &Takes, story: Option<&Course>, threads: &mut Threads) {
        let Step { last, tick, handoffs, .. } = step;
        if [last, tick].iter().any(|tick| tick.sample.hold == Hold::ByUnknown) {
            let unseen = if self.tells_handoffs(step, takes) { 0 } else { *handoffs };
            self.chart.missed(self.key, last.at, tick.at, unseen);
            return self.chart_halves(step);
        }
        let course = match story {
            Some(course) => Some(course.clone()),
            None if *handoffs > 0 && takes.is_complete() => Some(by_takes(step, takes, threads)),
            None => None,
        };
        if let Some(course) = course {
            // It tells who held when, and yet not of all handoffs: those are counted where they end, and hide nothing.
            if *handoffs > 0 && !self.tells_handoffs(step, takes) {
                self.chart.missed(self.key, tick.at, tick.at, *handoffs);
            }
            return self.chart_course(step, &course);
        }
        match handoffs {
            0 => self.chart_owner(step, threads),
            // One handoff, from the one to the other: somewhere between the two looks.
            _ if self.only_handoff(step).is_some() => self.chart_halves(step),
            handoffs => {
                self.chart.missed(self.key, last.at, tick.at, *handoffs);
                self.chart_halves(step);
            }
        }
    }

    fn chart_course(&mut self, step: &Step, course: &Course) {
        let Step { last, tick, .. } = step;
        let (mut since, mut holder) = (looked(last.at), last.holder());
        for (at, next) in course {
            let at = Moment::recorded((*at).max(since.at).min(tick.at));
            self.chart_piece(holder, last, Piece { from: since, to: at });
            (since, holder) = (at, *next);
        }
        let changed = if holder == tick.holder() { tick.at } else { since.at.midpoint(tick.at) };
        self.chart_piece(holder, last, Piece { from: since, to: looked(changed) });
        self.chart_piece(tick.holder(), tick, Piece { from: looked(changed), to: looked(tick.at) });
    }

    /// A piece of a hold that nobody looked at is as the look says if that saw the same thread.
    fn chart_piece(&mut self, holder: Option<ThreadKey>, look: &Tick, piece: Piece) {
        let Some(thread) = holder else { return };
        let how = if look.holder() == Some(thread) { by_look(look) } else { Holding::Awake(None) };
        self.chart.held(self.key, thread, how, piece.span(), piece.edges());
    }

    /// Each half of the time goes to what was seen at its end.
    fn chart_halves(&mut self, step: &Step) {
        let Step { last, tick, .. } = step;
        let middle = step.edge();
        self.chart_piece(last.holder(), last, Piece { from: looked(last.at), to: middle });
        self.chart_piece(tick.holder(), tick, Piece { from: middle, to: looked(tick.at) });
    }

    /// Nobody but its owner can have held it. Where the owner's switches are told, it let go when it fell asleep, if no look
    /// fell into that sleep.
    fn chart_owner(&mut self, step: &Step, threads: &mut Threads) {
        let Step { last, tick, interval, .. } = step;
        let Some(owner) = last.holder().or(tick.holder()).or(self.dropper()) else {
            // Nobody has been seen to hold it yet: whoever does may have.
            return self.chart.missed(self.key, last.at, tick.at, 0);
        };
        let Some(account) = threads.get_mut(&owner) else { return };
        let held = [last, tick].map(|tick| tick.holder() == Some(owner));
        let Some(spells) = account.runs.between(last.at, tick.at) else { return self.chart_halves(step) };
        let share = account.habit.share(Ns(interval.0.saturating_mul(AVERAGED)));
        let is_on = spells.last().is_some_and(|spell| spell.to.is_none());
        if is_on {
            account.habit.looked(held[1]);
        }
        let mut asleep_since = looked(last.at);
        let mut pieces: Vec<(Piece, Holding)> = Vec::new();
        for spell in &spells {
            // The sleep before it.
            if spell.from > last.at && asleep_since.at == last.at && held[0] {
                pieces.push((Piece { from: asleep_since, to: Moment::recorded(spell.from) }, Holding::Asleep));
            }
            let from = if spell.from > last.at { Moment::recorded(spell.from) } else { looked(last.at) };
            let to = spell.to.filter(|to| *to <= tick.at).map_or(looked(tick.at), Moment::recorded);
            let whole = Piece { from, to };
            let (begins, ends) = (spell.from <= last.at, to.sharpness == Sharpness::Tick);
            match (begins, ends) {
                (true, true) => match held {
                    [true, true] => pieces.push((whole, Holding::Awake(None))),
                    [true, false] => pieces.push((Piece { to: step.edge(), ..whole }, Holding::Awake(None))),
                    [false, true] => pieces.push((Piece { from: step.edge(), ..whole }, Holding::Awake(None))),
                    [false, false] => {}
                },
                (true, false) if held[0] => pieces.push((whole, Holding::Awake(None))),
                (false, true) if held[1] => pieces.push((whole, Holding::Awake(None))),
                (true, false) | (false, true) => {}
                (false, false) => pieces.push((whole, Holding::Perhaps(share))),
            }
            asleep_since = to;
        }
        if asleep_since.at < tick.at || spells.is_empty() {
            let from = if spells.is_empty() { looked(last.at) } else { asleep_since };
            let whole = Piece { from, to: looked(tick.at) };
            match held {
                [_, true] if !spells.is_empty() => pieces.push((whole, Holding::Asleep)),
                [true, true] => pieces.push((whole, Holding::Asleep)),
                [true, false] if spells.is_empty() => {
                    pieces.push((Piece { to: step.edge(), ..whole }, Holding::Asleep));
                }
                [false, true] => pieces.push((Piece { from: step.edge(), ..whole }, Holding::Asleep)),
                _ => {}
            }
        }
        for (piece, how) in pieces {
            self.chart.held(self.key, owner, how, piece.span(), piece.edges());
        }
    }

    /// Nobody looked; so many handoffs were counted meanwhile.
    pub(super) fn chart_gap(&mut self, from: MonoNs, until: MonoNs, handoffs: u64) {
        self.chart.push(Entry::Gap { gil: self.key, from, until });
        if handoffs > 0 {
            self.chart.missed(self.key, from, until, handoffs);
        }
    }

    /// A thread no longer stands so to it.
    pub(super) fn chart_stand(&mut self, thread: ThreadKey, stand: &Stand, end: Moment) {
        self.chart.stood_until(thread, stand, end);
    }

    /// A wait of which no tick told.
    pub(super) fn chart_wait(&mut self, thread: ThreadKey, from: MonoNs, until: MonoNs) {
        let edges = Edges { begins: Sharpness::Switch, ends: Sharpness::Switch };
        self.chart.push(Entry::Stood { thread, how: Stood::Waiting, from, until, edges });
    }

    /// From whom to whom it went, if it did once, and both are known.
    pub(super) fn only_handoff(&self, step: &Step) -> Option<(ThreadKey, ThreadKey)> {
        self.dropper().zip(step.tick.holder()).filter(|(from, to)| step.handoffs == 1 && from != to)
    }

    /// Whether the handoffs of a step are told one by one.
    fn tells_handoffs(&self, step: &Step, takes: &Takes) -> bool {
        takes.is_complete() || self.only_handoff(step).is_some()
    }

    /// Handoffs between two ticks; how the first was let go of, if that is known.
    pub(super) fn chart_handoffs(&mut self, step: &Step, takes: &Takes, first: Option<Passing>) {
        let mut from = self.dropper();
        if takes.is_complete() {
            let mut passing = first;
            for (at, to) in takes.known() {
                // The others came too soon after another one to be forced, unless the looks were far apart.
                let others = match step.tick.at.since(step.last.at) < self.switch_interval {
                    true => Passing::Voluntary,
                    false => Passing::Unclear,
                };
                let sharpness = Sharpness::Switch;
                if let Some(passing) = passing {
                    self.chart.push(Entry::Passed(Handoff {
                        gil: self.key,
                        from,
                        to: Some(to),
                        at,
                        sharpness,
                        passing,
                    }));
                }
                (from, passing) = (Some(to), Some(others));
            }
        } else if let Some((from, to)) = self.only_handoff(step)
            && let Some(passing) = first
        {
            let Moment { at, sharpness } = step.edge();
            let handoff = Handoff { gil: self.key, from: Some(from), to: Some(to), at, sharpness, passing };
            self.chart.push(Entry::Passed(handoff));
        }
    }

    /// What is to be told of it since it was asked last.
    pub(in crate::model) fn charted(&mut self) -> impl Iterator<Item = Entry> + '_ {
        self.chart.drain()
    }

    /// The same, and what goes on or is not decided.
    pub(in crate::model) fn chart_open(&self) -> impl Iterator<Item = Entry> + '_ {
        self.chart.all().chain(self.undecided())
    }
}

impl Chart {
    fn stood_until(&mut self, thread: ThreadKey, stand: &Stand, end: Moment) {
        if let Some(entry) = stood(thread, stand, end) {
            self.push(entry);
        }
    }
}

/// How a thread stood to a GIL, unless it held it.
fn stood(thread: ThreadKey, stand: &Stand, end: Moment) -> Option<Entry> {
    let how = match stand.standing {
        Standing::Waiting => Stood::Waiting,
        Standing::HandingOver => Stood::HandingOver,
        Standing::Unseen => Stood::Unseen,
        Standing::Holding => return None,
    };
    let edges = Edges { begins: stand.open.sharpness, ends: end.sharpness };
    Some(Entry::Stood { thread, how, from: stand.open.told, until: end.at, edges })
}

/// What a thread was found to do at looks into runs after which nobody else had taken the GIL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habit {
    looks: u32,
    held: u32,
}

impl Habit {
    /// The newest looks count most: of older ones, half is forgotten at each so many.
    const REMEMBERED: u32 = 512;

    /// It was on a core at a look, and held the GIL or not.
    pub fn looked(&mut self, held: bool) {
        self.looks += 1;
        self.held += u32::from(held);
        if self.looks >= Habit::REMEMBERED {
            (self.looks, self.held) = (self.looks / 2, self.held / 2);
        }
    }

    /// Of such a run, how much it holds.
    fn share(self, over: Ns) -> Share {
        let whole = u32::from(crate::model::segments::Mix::WHOLE);
        // Before any look a run is as likely one as the other.
        let parts = (self.held * whole).checked_div(self.looks).unwrap_or(whole / 2);
        let over_us = u32::try_from(over.0 / 1_000).unwrap_or(u32::MAX);
        Share { parts: u16::try_from(parts).unwrap_or(u16::MAX), over_us }
    }
}

/// How a thread stands to GILs, up to the newest tick of each.
pub(in crate::model) fn going_on(
    thread: ThreadKey,
    account: &ThreadAccount,
    tick: impl Fn(GilKey) -> MonoNs,
) -> impl Iterator<Item = Entry> {
    account.stands().filter_map(move |stand| stood(thread, stand, looked(tick(stand.gil))))
}
