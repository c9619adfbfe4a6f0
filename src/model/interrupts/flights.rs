//! Signals on their way: when each came, when CPython noted it, when its handler started.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{
    Address, Delivery, Flag, Generation, Handlers, Lookup, PendingKind, PendingSignals, Signal, SignalSet, SignalStep,
    SignalsInfo, ThreadKey, WaitingSignals,
};
use crate::model::interrupts::sites::{Site, Sites, Told, Write};
use crate::model::intervals::Edge;
use crate::model::snapshot::{PendingInterrupt, Stage};
use crate::time::{MonoNs, Ns};

/// Writes between two looks that are remembered, and deliveries that wait to be added up.
const KEPT: usize = 128;
/// Writes between two looks from which it is learned what they do.
const BETWEEN: usize = 32;
/// So long after a signal was sent or delivered, CPython has noted it, unless something is in the way.
const NOTED: Ns = Ns(1_000_000);
/// A look so long after a step comes after it: it takes a while, and so does the write that it sees.
const LOOKED: Ns = Ns(100_000);

/// An instant that lies in `(at - slack, at]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    pub at: MonoNs,
    pub slack: Ns,
}

impl When {
    pub fn exactly(at: MonoNs) -> When {
        When { at, slack: Ns::ZERO }
    }

    /// After `since`, and by `at`.
    fn after(since: MonoNs, at: MonoNs) -> When {
        When { at, slack: at.since(since) }
    }

    /// Where it is taken to be.
    pub fn middle(&self) -> MonoNs {
        self.at - Ns(self.slack.0 / 2)
    }
}

/// A signal on its way.
#[derive(Debug, Clone)]
pub struct Flight {
    /// Whether it was seen to come.
    pub edge: Edge,
    pub generated: Option<When>,
    pub delivered: Option<MonoNs>,
    pub tripped: Option<When>,
    /// The thread that took it.
    pub taker: Option<ThreadKey>,
    /// The main thread has looked.
    pub cleared: Option<MonoNs>,
    pub company: Company,
    pub merged: u64,
}

/// Whether other signals were tripped at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    Alone,
    WithOthers,
}

impl Flight {
    fn new() -> Flight {
        Flight {
            edge: Edge::Seen,
            generated: None,
            delivered: None,
            tripped: None,
            taker: None,
            cleared: None,
            company: Company::Alone,
            merged: 0,
        }
    }

    /// The earliest that is known of it.
    pub fn arrival(&self) -> When {
        let noted = || self.delivered.map(When::exactly).or(self.tripped);
        self.generated.or_else(noted).unwrap_or(When::exactly(MonoNs(0)))
    }

    fn stage(&self, main_blocks: Option<bool>) -> Stage {
        match (self.tripped, self.delivered, main_blocks) {
            (Some(_), ..) => Stage::Tripped,
            (None, Some(_), _) => Stage::Delivered,
            (None, None, Some(true)) => Stage::Blocked,
            (None, None, _) => Stage::Sent,
        }
    }
}

/// A signal whose handler has started.
#[derive(Debug, Clone)]
pub struct Landed {
    /// `None`: the table is not known.
    pub signal: Option<Signal>,
    pub flight: Flight,
    pub handled: When,
}

/// A write that set the pending word, and of which it is not known yet for which signal.
#[derive(Debug, Clone, Copy)]
struct Trip {
    at: MonoNs,
    by: ThreadKey,
    cleared: Option<MonoNs>,
}

/// All signals of a process on their way.
#[derive(Debug, Clone)]
pub struct Flights {
    main: Option<ThreadKey>,
    kind: Option<PendingKind>,
    handlers: Option<Handlers>,
    told: BTreeSet<SignalStep>,
    /// The word at the newest look, and since then by the writes.
    seen: Flag,
    word: Flag,
    /// The newest write of which it is not known what it did.
    unclear: Option<MonoNs>,
    sites: Sites,
    /// The writes since the newest look, and whether they wait for the next, which may tell what they do.
    between: Vec<Write>,
    waiting_since: Option<usize>,
    trips: Vec<Trip>,
    flights: BTreeMap<Option<Signal>, Flight>,
    /// The newest looks.
    looked: Option<MonoNs>,
    waiting: Option<(MonoNs, WaitingSignals)>,
    landed: Vec<Landed>,
    unresolved: u64,
}

impl Default for Flights {
    fn default() -> Flights {
        Flights {
            main: None,
            kind: None,
            handlers: None,
            told: BTreeSet::new(),
            seen: Flag::Unknown,
            word: Flag::Unknown,
            unclear: None,
            sites: Sites::default(),
            between: Vec::new(),
            waiting_since: None,
            trips: Vec::new(),
            flights: BTreeMap::new(),
            looked: None,
            waiting: None,
            landed: Vec::new(),
            unresolved: 0,
        }
    }
}

impl Flights {
    /// What is known of the process's signals.
    pub fn known(&mut self, info: &SignalsInfo) {
        self.main = info.main;
        let kind = info.pending.found();
        if kind != self.kind {
            self.sites.forget();
        }
        self.kind = kind;
        self.handlers = info.handlers.found();
        if info.handlers == Lookup::Unreadable {
            self.give_up();
        }
    }

    /// The thread that runs the handlers.
    pub fn main(&self) -> Option<ThreadKey> {
        self.main
    }

    /// Signals of which it was not seen what became of them.
    pub fn unresolved(&self) -> u64 {
        self.unresolved
    }

    fn is_told(&self, step: SignalStep) -> bool {
        self.told.contains(&step)
    }

    /// From here on every step of this kind is told.
    pub fn steps_begin(&mut self, step: SignalStep) {
        self.told.insert(step);
        if step == SignalStep::Written {
            // As at the newest look, which comes again if it was otherwise in between.
            self.word = self.seen;
            self.trips.clear();
        }
    }

    /// No longer.
    pub fn steps_end(&mut self, step: SignalStep) {
        self.told.remove(&step);
        if step == SignalStep::Written {
            self.word = Flag::Unknown;
            self.trips.clear();
            (self.between, self.waiting_since) = (Vec::new(), None);
        }
    }

    /// Whether a Python handler runs for it.
    fn is_pythons(&self, signal: Signal) -> bool {
        self.handlers.is_some_and(|handlers| handlers.runs_python().contains(signal))
    }

    /// The only signal that can be meant where none is named.
    fn unnamed(&self) -> Option<Signal> {
        let mut all = self.handlers?.runs_python().iter();
        all.next().filter(|_| all.next().is_none())
    }

    /// The signal that a write of which nothing else is known was for: one that is known to have been on its way.
    fn untripped(&self) -> Option<Signal> {
        let mut known = self.flights.iter().filter(|(_, flight)| flight.tripped.is_none());
        known.next().map_or_else(|| self.unnamed(), |(signal, _)| *signal)
    }

    /// Nothing more is known of any signal.
    pub fn give_up(&mut self) {
        self.unresolved = self.unresolved.saturating_add(self.flights.len() as u64);
        self.flights.clear();
        self.trips.clear();
        (self.word, self.seen) = (Flag::Unknown, Flag::Unknown);
        self.looked = None;
    }

    /// Somebody sends it.
    pub fn generated(&mut self, at: MonoNs, signal: Signal, outcome: Generation) {
        if !self.is_pythons(signal) || matches!(outcome, Generation::Ignored | Generation::Overflow) {
            return;
        }
        self.land_cleared(Some(signal));
        match self.flights.get_mut(&Some(signal)) {
            // gilscope has sent it, and this is what became of that.
            Some(flight) if flight.tripped.is_none() && outcome == Generation::Queued => {
                flight.generated = Some(When::exactly(at));
                flight.edge = Edge::Seen;
            }
            Some(flight) => flight.merged = flight.merged.saturating_add(1),
            None => {
                let flight = Flight { generated: Some(When::exactly(at)), ..Flight::new() };
                self.flights.insert(Some(signal), flight);
            }
        }
    }

    /// gilscope sends it.
    pub fn sent(&mut self, at: MonoNs, signal: Signal) {
        if !self.is_pythons(signal) {
            return;
        }
        self.land_cleared(Some(signal));
        match self.flights.get_mut(&Some(signal)) {
            Some(flight) => flight.merged = flight.merged.saturating_add(1),
            None => {
                let flight = Flight { generated: Some(When::exactly(at)), ..Flight::new() };
                self.flights.insert(Some(signal), flight);
            }
        }
    }

    /// A thread takes it.
    pub fn delivered(&mut self, at: MonoNs, thread: ThreadKey, signal: Signal, to: Delivery) {
        if !self.is_pythons(signal) {
            return;
        }
        if matches!(to, Delivery::Default | Delivery::Ignored) {
            self.flights.remove(&Some(signal));
            return;
        }
        self.land_cleared(Some(signal));
        let flight = self.flights.entry(Some(signal)).or_insert_with(Flight::new);
        match flight.tripped.is_some() || flight.delivered.is_some() {
            true => flight.merged = flight.merged.saturating_add(1),
            false => (flight.delivered, flight.taker) = (Some(at), Some(thread)),
        }
    }

    /// The pending word was written.
    pub fn written(&mut self, at: MonoNs, thread: ThreadKey, ip: Address) {
        // 3.7 has the word for other calls as well.
        if matches!(self.kind, None | Some(PendingKind::CallsToDo)) {
            return;
        }
        let write = Write { at, by: thread, ip };
        let known = self.sites.of(ip);
        if self.between.len() < BETWEEN {
            if known.is_none() {
                self.waiting_since.get_or_insert(self.between.len());
            }
            self.between.push(write);
            if self.waiting_since.is_some() {
                return;
            }
        }
        self.take(write, known);
    }

    /// The looks before and after tell what unknown instructions did; what waited for that is taken in.
    fn learn(&mut self, after: Flag) {
        let writes = std::mem::take(&mut self.between);
        let told = if self.is_told(SignalStep::Written) { Told::Every } else { Told::Some };
        self.sites.learn(self.main, self.seen, after, &writes, told);
        let from = self.waiting_since.take().unwrap_or(writes.len());
        for write in writes.into_iter().skip(from) {
            self.take(write, self.sites.of(write.ip));
        }
    }

    fn take(&mut self, Write { at, by: thread, .. }: Write, site: Option<Site>) {
        match site {
            Some(Site::Trips) => {
                self.word = Flag::Set;
                let mut here = self
                    .flights
                    .values_mut()
                    .filter(|flight| flight.tripped.is_none() && flight.taker.is_some_and(|taker| taker == thread));
                match (here.next(), here.next()) {
                    (Some(flight), None) => flight.tripped = Some(When::exactly(at)),
                    _ => {
                        if self.trips.len() < KEPT {
                            self.trips.push(Trip { at, by: thread, cleared: None });
                        }
                    }
                }
                self.note_company();
            }
            Some(Site::Clears) => {
                self.word = Flag::Clear;
                for trip in &mut self.trips {
                    trip.cleared.get_or_insert(at);
                }
                for flight in self.flights.values_mut().filter(|flight| flight.tripped.is_some()) {
                    flight.cleared.get_or_insert(at);
                }
            }
            Some(Site::SetsAgain) => self.word = Flag::Set,
            None => (self.word, self.unclear) = (Flag::Unknown, Some(at)),
        }
    }

    fn note_company(&mut self) {
        let on_their_way = |flight: &&mut Flight| flight.tripped.is_some() && flight.cleared.is_none();
        if self.flights.values_mut().filter(on_their_way).count() > 1 {
            for flight in self.flights.values_mut().filter(on_their_way) {
                flight.company = Company::WithOthers;
            }
        }
    }

    /// The main thread has looked since this one was tripped, and it was alone: its handler has started.
    fn land_cleared(&mut self, signal: Option<Signal>) {
        let Some(flight) = self.flights.get(&signal) else { return };
        let alone = flight.company == Company::Alone;
        if let Some(cleared) = flight.cleared.filter(|_| alone) {
            self.land(signal, When::exactly(cleared));
        }
    }

    fn land(&mut self, signal: Option<Signal>, handled: When) {
        let Some(flight) = self.flights.remove(&signal) else { return };
        if self.landed.len() < KEPT {
            self.landed.push(Landed { signal, flight, handled });
        } else {
            self.unresolved = self.unresolved.saturating_add(1);
        }
    }

    /// A look at CPython's memory.
    pub fn pending(&mut self, at: MonoNs, pending: PendingSignals, gap: Option<Ns>) {
        let since = gap.map(|gap| at - gap);
        self.learn(if gap.is_some() { pending.flag } else { Flag::Unknown });
        let present: Vec<Option<Signal>> = match (pending.tripped, pending.flag) {
            (Some(tripped), _) => tripped.iter().map(Some).collect(),
            (None, Flag::Clear) => Vec::new(),
            (None, Flag::Set) if self.word == Flag::Set && self.trips.is_empty() && self.flights.is_empty() => {
                // Set again by a handler that has raised, as its writes tell.
                Vec::new()
            }
            (None, Flag::Set) => vec![self.unnamed()],
            (None, Flag::Unknown) => return self.give_up(),
        };
        self.seen = pending.flag;
        self.word = match pending.flag {
            Flag::Unknown => self.word,
            known => known,
        };
        self.name_trips(at, since, &present, pending.flag);
        self.land_missing(at, since, &present);
        self.looked = Some(at);
        self.land_untripped(at);
        self.note_company();
    }

    /// Which signals the writes since the look before were for.
    fn name_trips(&mut self, at: MonoNs, since: Option<MonoNs>, present: &[Option<Signal>], flag: Flag) {
        let trips = std::mem::take(&mut self.trips);
        // Those that the main thread has looked at since, and which are not there again.
        let (mut over, open): (Vec<Trip>, Vec<Trip>) = trips.into_iter().partition(|trip| trip.cleared.is_some());
        let is_new = |flights: &Flights, signal: &Option<Signal>| {
            flights.flights.get(signal).is_none_or(|flight| flight.tripped.is_none())
        };
        // CPython clears the word before the signals, and sets it after them: what is new beside a clear word is about to be
        // handled, or its write is still to come.
        let every_write = self.is_told(SignalStep::Written);
        let is_between = flag == Flag::Clear && (every_write || !over.is_empty());
        if is_between {
            let alone = over.len() == 1;
            for signal in present.iter().filter(|signal| is_new(self, signal)).copied().collect::<Vec<_>>() {
                let Some(trip) = over.pop() else { break };
                let flight = self.flights.entry(signal).or_insert_with(Flight::new);
                (flight.tripped, flight.taker) = (Some(When::exactly(trip.at)), Some(trip.by));
                flight.cleared = trip.cleared.filter(|_| alone);
            }
        }
        for trip in over {
            let signal = self.untripped();
            if self.flights.get(&signal).and_then(|flight| flight.cleared).is_some_and(|cleared| cleared <= trip.at) {
                self.land_cleared(signal);
            }
            let flight = self.flights.entry(signal).or_insert_with(Flight::new);
            match flight.tripped {
                Some(_) => flight.merged = flight.merged.saturating_add(1),
                None => (flight.tripped, flight.taker) = (Some(When::exactly(trip.at)), Some(trip.by)),
            }
            if let Some(cleared) = trip.cleared {
                self.land(signal, When::exactly(cleared));
            }
        }
        let new: Vec<Option<Signal>> = match is_between {
            true => Vec::new(),
            false => present.iter().copied().filter(|signal| is_new(self, signal)).collect(),
        };
        if new.is_empty() {
            // The look may be a little older than the write.
            self.trips = open.iter().filter(|trip| at.since(trip.at) < NOTED).copied().collect();
        }
        if flag == Flag::Clear && !every_write {
            self.land_open(at);
        }
        for signal in present {
            if is_between {
                // Which of several is handled first is not known.
                if let Some(flight) = self.flights.get_mut(signal).filter(|it| it.company == Company::WithOthers) {
                    flight.cleared = None;
                }
                continue;
            }
            let is_new = new.contains(signal);
            let flight = self.flights.entry(*signal).or_insert_with(|| Flight {
                edge: if since.is_some() || !open.is_empty() { Edge::Seen } else { Edge::Cut },
                ..Flight::new()
            });
            if is_new {
                let noted = match (open.first(), open.last(), since) {
                    (Some(first), Some(last), _) => {
                        flight.taker = flight.taker.or((open.len() == 1).then_some(first.by));
                        When::after(first.at, last.at)
                    }
                    (_, _, Some(since)) => {
                        let before = flight.delivered.or(flight.generated.map(|g| g.at - g.slack));
                        When::after(since.max(before.unwrap_or(since)).min(at), at)
                    }
                    _ => When::exactly(at),
                };
                flight.tripped = Some(noted);
            } else {
                // It is still there: another one's handler ran, or it has come again.
                flight.cleared = None;
            }
        }
    }

    /// Signals that were tripped, and are no longer, while not every write is told.
    fn land_open(&mut self, at: MonoNs) {
        let (gone, recent) = std::mem::take(&mut self.trips).into_iter().partition(|it| at.since(it.at) >= LOOKED);
        self.trips = recent;
        let gone: Vec<Trip> = gone;
        let [trip] = gone.as_slice() else { return };
        let signal = self.untripped();
        let flight = self.flights.entry(signal).or_insert_with(Flight::new);
        if flight.tripped.is_none() {
            (flight.tripped, flight.taker) = (Some(When::exactly(trip.at)), Some(trip.by));
            self.land(signal, When::after(trip.at, at));
        }
    }

    /// Signals that CPython no longer has: their handlers have started since the look before.
    fn land_missing(&mut self, at: MonoNs, since: Option<MonoNs>, present: &[Option<Signal>]) {
        let gone: Vec<(Option<Signal>, Option<MonoNs>)> = self
            .flights
            .iter()
            .filter(|(signal, flight)| flight.tripped.is_some() && !present.contains(signal))
            .map(|(signal, flight)| (*signal, flight.cleared))
            .collect();
        let mut first = true;
        for (signal, cleared) in gone {
            let noted = self.flights.get(&signal).and_then(|flight| flight.tripped);
            let noted = noted.map_or(at, |noted| noted.at - noted.slack);
            match (cleared, since) {
                // CPython calls the handlers in the order of their numbers.
                (Some(cleared), _) if first => self.land(signal, When::exactly(cleared)),
                (Some(cleared), _) => self.land(signal, When::after(cleared.min(at), at)),
                (None, Some(since)) => self.land(signal, When::after(since.max(noted).min(at), at)),
                (None, None) => {
                    self.flights.remove(&signal);
                    self.unresolved = self.unresolved.saturating_add(1);
                }
            }
            first = false;
        }
    }

    /// Signals that were sent, and are neither in the kernel nor in CPython: their handlers have started between two
    /// looks, unless somebody else has taken them.
    fn land_untripped(&mut self, at: MonoNs) {
        let every_write = self.is_told(SignalStep::Written);
        let Some(looked) = self.looked.filter(|_| !every_write || self.unclear.is_some()) else {
            return self.land_untold(at);
        };
        let unclear = self.unclear;
        let delivered_told = self.is_told(SignalStep::Delivered);
        let candidates: Vec<(Option<Signal>, MonoNs, Option<MonoNs>)> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.tripped.is_none())
            .map(|(signal, flight)| (*signal, flight.arrival().at, flight.delivered))
            .filter(|(_, arrival, _)| !every_write || unclear.is_some_and(|unclear| unclear >= *arrival))
            .collect();
        for (signal, arrival, delivered) in candidates {
            let Some(number) = signal else { continue };
            let kernel = self.waiting.filter(|(waited, _)| *waited >= arrival && *waited <= looked);
            let in_kernel = kernel.map(|(_, waiting)| (waiting.process | waiting.main).contains(number));
            let blocked = kernel.is_some_and(|(_, waiting)| waiting.blocked.contains(number));
            match (delivered, in_kernel) {
                (Some(delivered), _) if looked.since(delivered) >= LOOKED => {
                    self.land(signal, When::after(delivered, looked));
                }
                (Some(_), _) | (None, None | Some(true)) => {}
                (None, Some(false)) if looked.since(arrival) < LOOKED || delivered_told => {}
                (None, Some(false)) if blocked => {
                    self.flights.remove(&signal);
                    self.unresolved = self.unresolved.saturating_add(1);
                }
                (None, Some(false)) => self.land(signal, When::after(arrival, looked)),
            }
        }
    }

    /// Where every write is told, what was sent long ago, is not in the kernel and was not noted, somebody else has taken.
    fn land_untold(&mut self, at: MonoNs) {
        let Some((waited, waiting)) = self.waiting else { return };
        let kernel = waiting.process | waiting.main;
        let before = self.flights.len();
        self.flights.retain(|signal, flight| {
            let in_kernel = signal.is_some_and(|signal| kernel.contains(signal)) || waited < flight.arrival().at;
            let recent = at.since(flight.delivered.unwrap_or(flight.arrival().at)) < Ns::SECOND;
            flight.tripped.is_some() || in_kernel || recent
        });
        self.unresolved = self.unresolved.saturating_add((before - self.flights.len()) as u64);
    }

    /// A look at what the kernel has.
    pub fn waiting(&mut self, at: MonoNs, waiting: Option<WaitingSignals>, gap: Option<Ns>) {
        self.waiting = waiting.map(|waiting| (at, waiting));
        let Some(waiting) = waiting else { return };
        let pythons = self.handlers.map_or(SignalSet::EMPTY, |handlers| handlers.runs_python());
        for signal in ((waiting.process | waiting.main) & pythons).iter() {
            self.flights.entry(Some(signal)).or_insert_with(|| Flight {
                edge: if gap.is_some() { Edge::Seen } else { Edge::Cut },
                generated: Some(When { at, slack: gap.unwrap_or(Ns::ZERO) }),
                ..Flight::new()
            });
        }
        self.land_untripped(at);
    }

    /// Whether the main thread blocks it; `None`: not known.
    pub fn main_blocks(&self, signal: Option<Signal>) -> Option<bool> {
        let (_, waiting) = self.waiting?;
        Some(waiting.blocked.contains(signal?))
    }

    /// Those whose handlers have started by `at`.
    pub fn take_landed(&mut self, by: MonoNs) -> Vec<Landed> {
        let (landed, later) = std::mem::take(&mut self.landed).into_iter().partition(|l| l.handled.middle() <= by);
        self.landed = later;
        landed
    }

    /// Those on their way.
    pub fn on_their_way(&self) -> impl Iterator<Item = (Option<Signal>, &Flight)> {
        self.flights.iter().map(|(signal, flight)| (*signal, flight))
    }

    /// As they are shown. What was just sent is not pending yet.
    pub fn shown(&self, now: MonoNs) -> impl Iterator<Item = (&Flight, PendingInterrupt)> {
        let is_pending = move |flight: &Flight| {
            flight.cleared.is_none() && (flight.tripped.is_some() || now.since(flight.arrival().at) >= NOTED)
        };
        self.on_their_way().filter(move |(_, flight)| is_pending(flight)).map(|(signal, flight)| {
            let stage = flight.stage(self.main_blocks(signal));
            (flight, PendingInterrupt { signal, since: flight.arrival().at, stage, fault: None })
        })
    }
}
