//! From what was told of one thread to what it did when.
//!
//! Where several things were told of an instant, a wait goes first, for its edges are recorded where any are; then what
//! the thread held; then what a look saw of it. What is left is told by where it was: on a core, off it, or by the kernel's
//! totals.

use super::{Doing, Edges, Entry, Holding, Lane, Mix, Segment, Share, Sharpness, Stood};
use crate::event::{Cpu, Departure, GilKey};
use crate::model::snapshot::ThreadState;
use crate::time::{MonoNs, Ns};

/// Whoever is forced to let go of the GIL sleeps within that time after another took it.
const BEFORE_SLEEPING: Ns = Ns(100_000);
/// From this share on, what the totals say is taken to be all.
const ALL: f64 = 0.99;

/// What was told of one thread.
pub(super) struct Material<'a> {
    lane: &'a Lane,
    core: Vec<Piece<Core>>,
    stood: Vec<Piece<Stood>>,
    held: Vec<Piece<Holding>>,
    used: Vec<Piece<Used>>,
    /// When others took what it was forced to let go of.
    forced: Vec<MonoNs>,
}

#[derive(Debug, Clone, Copy)]
struct Piece<T> {
    from: MonoNs,
    to: MonoNs,
    what: T,
    edges: Edges,
}

const RECORDED: Edges = Edges { begins: Sharpness::Switch, ends: Sharpness::Switch };
const LOOKED: Edges = Edges { begins: Sharpness::Tick, ends: Sharpness::Tick };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Core {
    On(Option<Cpu>),
    Off(Departure),
}

#[derive(Debug, Clone, Copy)]
struct Used {
    native: Ns,
    queued: Ns,
}

/// What touches everybody at a GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Common {
    Missed,
    Gap,
}

/// The same of all GILs, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Shared {
    missed: Vec<(GilKey, Piece<Common>)>,
    gaps: Vec<(GilKey, Piece<Common>)>,
}

impl Shared {
    /// Takes an entry that is no thread's own.
    pub(super) fn add(&mut self, entry: &Entry) {
        let piece = |from: &MonoNs, to: &MonoNs, what| Piece { from: *from, to: *to, what, edges: LOOKED };
        match entry {
            Entry::Missed { gil, from, until, .. } => self.missed.push((*gil, piece(from, until, Common::Missed))),
            Entry::Gap { gil, from, until } => self.gaps.push((*gil, piece(from, until, Common::Gap))),
            _ => {}
        }
    }

    /// That is all.
    pub(super) fn settle(&mut self) {
        self.missed.sort_by_key(|(_, piece)| (piece.from, piece.to));
        self.gaps.sort_by_key(|(_, piece)| (piece.from, piece.to));
    }

    /// What touches one that takes these GILs and was on a core then. Whether somebody was missed matters to nobody else.
    fn for_one(&self, gils: &[GilKey], core: &[Piece<Core>]) -> Vec<Piece<Common>> {
        let is_own = |(gil, _): &&(GilKey, Piece<Common>)| gils.contains(gil);
        let mut on = core.iter().filter(|piece| matches!(piece.what, Core::On(_))).peekable();
        let mut own: Vec<Piece<Common>> = Vec::new();
        for (_, missed) in self.missed.iter().filter(is_own) {
            while on.next_if(|piece| piece.to <= missed.from).is_some() {}
            if on.peek().is_some_and(|piece| piece.from < missed.to) {
                own.push(*missed);
            }
        }
        own.extend(self.gaps.iter().filter(is_own).map(|(_, gap)| *gap));
        own.sort_by_key(|piece| (piece.from, piece.to));
        own
    }
}

/// What a thread did at an instant, before the totals are divided.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    Is(ThreadState, Option<Cpu>),
    OnCore(Share, Option<Cpu>),
    /// Told by the reading of the totals with this number.
    Totals(usize),
}

impl<'a> Material<'a> {
    pub(super) fn of(lane: &'a Lane) -> Material<'a> {
        let (core, stood, held, used, forced) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut own = Material { lane, core, stood, held, used, forced };
        lane.open.iter().for_each(|entry| own.add(*entry));
        own
    }

    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Ran { turn, .. } => {
                if let Some(off) = turn.before {
                    self.core.push(Piece { from: off.since, to: turn.from, what: Core::Off(off.how), edges: RECORDED });
                }
                self.core.push(Piece { from: turn.from, to: turn.to, what: Core::On(turn.cpu), edges: RECORDED });
            }
            Entry::Left { off, until, .. } => {
                self.core.push(Piece { from: off.since, to: until, what: Core::Off(off.how), edges: RECORDED });
            }
            Entry::Stood { how, from, until, edges, .. } => {
                self.stood.push(Piece { from, to: until, what: how, edges });
            }
            Entry::Held { how, from, until, edges, .. } => {
                self.held.push(Piece { from, to: until, what: how, edges });
            }
            Entry::Used { from, until, native, queued, .. } => {
                self.used.push(Piece { from, to: until, what: Used { native, queued }, edges: LOOKED });
            }
            Entry::Passed(handoff) => self.forced.push(handoff.at),
            Entry::Missed { .. } | Entry::Gap { .. } | Entry::Sampled(_) => {}
        }
    }

    /// Its segments between two instants.
    pub(super) fn segments(mut self, shared: &Shared, from: MonoNs, to: MonoNs) -> Vec<Segment> {
        let (from, to) = (from.max(self.lane.start), to.min(self.lane.until));
        if from >= to {
            return Vec::new();
        }
        ordered(&mut self.core);
        ordered(&mut self.held);
        ordered(&mut self.used);
        let common = shared.for_one(&self.lane.gils, &self.core);
        self.hand_over();
        // What the totals say is of all the time between two readings.
        let whole = self.used.iter().filter(|piece| piece.to > from && piece.from < to);
        let whole = whole.fold((from, to), |(a, b), piece| (a.min(piece.from), b.max(piece.to)));
        let found = self.found(&common, whole.0.max(self.lane.start), whole.1);
        let mixes = self.mixes(&found);
        let mut segments: Vec<Segment> = Vec::new();
        for piece in found {
            let (start, end) = (piece.from.max(from), piece.to.min(to));
            if start >= end {
                continue;
            }
            let (doing, cpu) = match piece.what {
                Found::Is(state, cpu) => (Doing::Is(state), cpu),
                Found::OnCore(share, cpu) => (on_core(share), cpu),
                Found::Totals(number) => (mixes.get(number).copied().unwrap_or(UNKNOWN), None),
            };
            match segments.last_mut().filter(|last| (last.doing, last.cpu) == (doing, cpu)) {
                Some(last) => last.to = end,
                None => segments.push(Segment { from: start, to: end, doing, cpu, begins: piece.edges.begins }),
            }
        }
        segments
    }

    /// Whoever was forced to let go of it has slept in `switch_cond` until the taker woke it.
    fn hand_over(&mut self) {
        for at in &self.forced {
            let sleeps = self.core.partition_point(|piece| piece.to <= *at);
            let sleep = self.core.get(sleeps).filter(|piece| piece.from <= *at + BEFORE_SLEEPING);
            if let Some(sleep) = sleep.filter(|piece| piece.what == Core::Off(Departure::Asleep)) {
                self.stood.push(Piece { from: sleep.from, to: sleep.to, what: Stood::HandingOver, edges: RECORDED });
            }
        }
        self.stood.sort_by_key(|piece| (piece.from, piece.to));
    }

    /// What it did from edge to edge.
    fn found(&self, shared: &[Piece<Common>], from: MonoNs, to: MonoNs) -> Vec<Piece<Found>> {
        let mut edges: Vec<(MonoNs, Sharpness)> = vec![(from, Sharpness::Tick), (to, Sharpness::Tick)];
        edges_of(&self.core, &mut edges);
        edges_of(&self.stood, &mut edges);
        edges_of(&self.held, &mut edges);
        edges_of(&self.used, &mut edges);
        edges_of(shared, &mut edges);
        edges.retain(|(at, _)| (from..=to).contains(at));
        // Of several at one instant the sharpest is told.
        edges.sort_by_key(|(at, sharpness)| (*at, *sharpness == Sharpness::Tick));
        edges.dedup_by_key(|(at, _)| *at);
        let mut core = Walk::new(&self.core);
        let mut stood = Walk::new(&self.stood);
        let mut held = Walk::new(&self.held);
        let mut used = Walk::new(&self.used);
        let mut common = Walk::new(shared);
        let mut found: Vec<Piece<Found>> = Vec::with_capacity(edges.len());
        for ((at, begins), (end, _)) in edges.iter().zip(edges.iter().skip(1)) {
            let stands = stood.all(*at).fold(None, |best: Option<Stood>, piece| match (best, piece.what) {
                (Some(Stood::Waiting), _) | (_, Stood::Waiting) => Some(Stood::Waiting),
                (_, other) => Some(other),
            });
            let seen = common.all(*at).fold(None, |worst: Option<Common>, piece| match (worst, piece.what) {
                (Some(Common::Gap), _) | (_, Common::Gap) => Some(Common::Gap),
                _ => Some(Common::Missed),
            });
            let here = core.at(*at).map(|(_, piece)| piece.what);
            let what = state(stands, seen, held.at(*at).map(|(_, piece)| piece.what), here, || {
                used.at(*at).map_or(Found::Is(ThreadState::Unknown, None), |(number, _)| Found::Totals(number))
            });
            match found.last_mut().filter(|last| last.what == what) {
                Some(last) => last.to = *end,
                None => found.push(Piece { from: *at, to: *end, what, edges: Edges { begins: *begins, ..LOOKED } }),
            }
        }
        found
    }

    /// What the totals leave for the time apart from the GIL, by reading.
    fn mixes(&self, found: &[Piece<Found>]) -> Vec<Doing> {
        let mut all = Vec::with_capacity(self.used.len());
        for (number, reading) in self.used.iter().enumerate() {
            let first = found.partition_point(|piece| piece.to <= reading.from);
            let within = found.iter().skip(first).take_while(|piece| piece.from < reading.to);
            let own = within.filter(|piece| piece.what == Found::Totals(number));
            let apart: Ns = own.map(|piece| piece.to.since(piece.from)).sum();
            let native = reading.what.native.min(apart);
            let queued = reading.what.queued.min(apart.saturating_sub(native));
            all.push(apart_from_the_gil(native, queued, apart, reading.to.since(reading.from)));
        }
        all
    }
}

const UNKNOWN: Doing = Doing::Is(ThreadState::Unknown);

fn on_core(share: Share) -> Doing {
    let held = share.parts.min(Mix::WHOLE);
    Doing::Mixed(Mix {
        running: held,
        native: Mix::WHOLE - held,
        runnable: 0,
        over: Ns::from_micros(u64::from(share.over_us)),
    })
}

fn apart_from_the_gil(native: Ns, queued: Ns, apart: Ns, over: Ns) -> Doing {
    let share = |part: Ns| part.share_of(apart).unwrap_or(0.0).clamp(0.0, 1.0);
    let idle = apart.saturating_sub(native + queued);
    let states = [(native, ThreadState::Native), (queued, ThreadState::Runnable), (idle, ThreadState::Idle)];
    if let Some((_, state)) = states.into_iter().find(|(part, _)| share(*part) >= ALL) {
        return Doing::Is(state);
    }
    let parts = |part: Ns| (share(part) * f64::from(Mix::WHOLE)).round() as u16;
    Doing::Mixed(Mix { running: 0, native: parts(native), runnable: parts(queued), over })
}

/// What a thread did at an instant of which so much was told.
fn state(
    stood: Option<Stood>,
    shared: Option<Common>,
    held: Option<Holding>,
    core: Option<Core>,
    totals: impl FnOnce() -> Found,
) -> Found {
    use ThreadState as S;
    let on = match core {
        Some(Core::On(cpu)) => cpu,
        _ => None,
    };
    if stood == Some(Stood::Unseen) || (shared == Some(Common::Gap) && stood.is_none()) {
        return Found::Is(S::Unknown, on);
    }
    if stood == Some(Stood::Waiting) {
        return Found::Is(S::Waiting, on);
    }
    match (held, core) {
        (Some(Holding::Perhaps(share)), Some(Core::On(cpu))) => return Found::OnCore(share, cpu),
        (Some(Holding::Perhaps(_)), _) | (None, _) => {}
        (Some(_), Some(Core::On(cpu))) => return Found::Is(S::Running, cpu),
        (Some(_), Some(Core::Off(Departure::Preempted))) => return Found::Is(S::HoldingOffCpu, None),
        (Some(Holding::Asleep), _) => return Found::Is(S::HoldingOffCpu, None),
        // Whoever sleeps has let go of it first, unless a look says otherwise.
        (Some(Holding::Awake(_)), Some(Core::Off(Departure::Asleep))) => {}
        (Some(Holding::Awake(cpu)), None) => return Found::Is(S::Running, cpu),
    }
    // In `switch_cond` it sleeps.
    if stood == Some(Stood::HandingOver) && !matches!(core, Some(Core::On(_))) {
        return Found::Is(S::HandingOver, None);
    }
    match core {
        // Somebody whom nobody saw held it: it may have been this one.
        Some(Core::On(cpu)) if shared == Some(Common::Missed) => Found::Is(S::Unknown, cpu),
        Some(Core::On(cpu)) => Found::Is(S::Native, cpu),
        Some(Core::Off(Departure::Preempted)) => Found::Is(S::Runnable, None),
        Some(Core::Off(Departure::Asleep)) => Found::Is(S::Idle, None),
        None => totals(),
    }
}

/// In the order of time, none reaching into the next.
fn ordered<T>(pieces: &mut [Piece<T>]) {
    pieces.sort_by_key(|piece| (piece.from, piece.to));
    let mut end = MonoNs(0);
    for piece in pieces {
        piece.from = piece.from.max(end);
        piece.to = piece.to.max(piece.from);
        end = piece.to;
    }
}

fn edges_of<T>(pieces: &[Piece<T>], edges: &mut Vec<(MonoNs, Sharpness)>) {
    edges.extend(pieces.iter().flat_map(|piece| [(piece.from, piece.edges.begins), (piece.to, piece.edges.ends)]));
}

/// Pieces in the order of time, asked of later and later instants.
struct Walk<'a, T> {
    pieces: &'a [Piece<T>],
    next: usize,
}

impl<'a, T> Walk<'a, T> {
    fn new(pieces: &'a [Piece<T>]) -> Walk<'a, T> {
        Walk { pieces, next: 0 }
    }

    /// Those that an instant lies in. Pieces may overlap, as long as few do.
    fn all(&mut self, at: MonoNs) -> impl Iterator<Item = &'a Piece<T>> {
        while self.pieces.get(self.next).is_some_and(|piece| piece.to <= at) {
            self.next += 1;
        }
        let rest = self.pieces.get(self.next..).unwrap_or_default();
        rest.iter().take_while(move |piece| piece.from <= at).filter(move |piece| piece.to > at)
    }

    /// The one that an instant lies in, with its number, where none overlap.
    fn at(&mut self, at: MonoNs) -> Option<(usize, &'a Piece<T>)> {
        let found = self.all(at).next()?;
        Some((self.next, found))
    }
}
