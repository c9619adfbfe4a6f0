//! How long signals wait for their Python handlers: those that came, and the one that has not been sent yet.
//!
//! Only the main thread runs handlers, when it executes bytecode. So what it does from tick to tick ([`course`]) tells
//! what a delay consisted of, and also, without any signal, how long one would take ([`predicted`]). Signals on their way
//! are followed apart from that ([`flights`]).
//!
//! **From what a delay is taken.** It begins where the kernel generates the signal or gilscope sends it, else where CPython
//! notes it. It ends where the main thread clears the pending word, 10 to 20 us before the first handler starts, or where
//! CPython's table no longer has the signal. What only looks have told lies between two of them and is taken to lie in the
//! middle; such a delay is known to half the sum of both gaps, and below that not at all.

mod called;
mod course;
mod flights;
mod predicted;
mod sites;

use std::collections::BTreeMap;

use crate::event::{InterpreterId, Progress, PythonVersion, Signal, Sleep, ThreadKey, What};
use crate::model::gil::{GilAccount, Threads};
use crate::model::interrupts::called::{Calls, Seen};
use crate::model::interrupts::course::{Course, Doing, Held, Look, Rest};
use crate::model::interrupts::flights::{Company, Flight, Flights, Landed, When};
use crate::model::interrupts::predicted::{Predicted, Waiter};
use crate::model::intervals::{Edge, Grain, Intervals};
use crate::model::snapshot::{
    ArrivalKind, Culprit, Fault, InterruptFigures, MeasuredInterrupts, NewestInterrupt, PendingInterrupt, Segments,
    Source,
};
use crate::model::thread::After;
use crate::time::{MonoNs, Ns};

/// From clearing the pending word to the start of the handler, measured: below it, no delay is known.
const CALLING: Ns = Ns(20_000);
/// A delay whose ends are known to no better than this many intervals, and to less than a quarter of itself, is not told.
const TIMELY: u64 = 4;
/// Threads that are kept as culprits, for each signal.
const CULPRITS: usize = 256;
/// Of those, shown.
const CULPRITS_SHOWN: usize = 8;
/// So long does no delay last without a cause: from there on a fault of CPython is looked for.
const LONG: Ns = Ns(50_000_000);

/// What is known of the signals of one process.
#[derive(Debug, Clone, Default)]
pub struct Interrupts {
    looked_for: bool,
    flights: Flights,
    course: Course,
    predicted: Predicted,
    progress: Option<(Progress, Sleep)>,
    measured: BTreeMap<(Option<Signal>, ArrivalKind), Measured>,
    newest: Option<NewestInterrupt>,
    called: Calls,
}

/// The delays of one signal.
#[derive(Debug, Clone)]
struct Measured {
    lengths: Intervals,
    resolution: Ns,
    source: Source,
    segments: Segments,
    culprits: BTreeMap<Option<ThreadKey>, (Ns, u64)>,
    with_others: u64,
    merged: u64,
    faults: BTreeMap<Fault, u64>,
}

impl Default for Measured {
    fn default() -> Measured {
        Measured {
            lengths: Intervals::new(Grain::Coarse),
            resolution: Ns::ZERO,
            source: Source::Exact,
            segments: Segments::default(),
            culprits: BTreeMap::new(),
            with_others: 0,
            merged: 0,
            faults: BTreeMap::new(),
        }
    }
}

/// What a tick of the main thread's GIL tells.
#[derive(Clone, Copy)]
pub struct Ticked<'a> {
    pub at: MonoNs,
    pub gil: &'a GilAccount,
    pub interval: Ns,
}

/// What else is known of the process.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub threads: &'a Threads,
    pub python: PythonVersion,
}

/// The main thread between two instants.
#[derive(Debug, Clone, Default)]
struct Meanwhile {
    waited: Ns,
    held: Ns,
    moved: Ns,
    elsewhere: Ns,
    unknown: Ns,
    behind: BTreeMap<Option<ThreadKey>, (Ns, u64)>,
}

impl Interrupts {
    /// Folds in an event about signals.
    pub fn apply(&mut self, at: MonoNs, what: &What) {
        match what {
            What::SignalsKnown { info, .. } => {
                self.looked_for = true;
                if self.flights.main() != info.main {
                    self.course = Course::default();
                    self.progress = None;
                }
                self.flights.known(info);
            }
            What::SignalsPending { pending, gap, .. } => self.flights.pending(at, *pending, *gap),
            What::SignalsWaiting { waiting, gap, .. } => self.flights.waiting(at, *waiting, *gap),
            What::SignalStepsBegin { step, .. } => self.flights.steps_begin(*step),
            What::SignalStepsEnd { step, .. } => self.flights.steps_end(*step),
            What::SignalSent { signal, .. } => self.flights.sent(at, *signal),
            What::SignalGenerated { signal, outcome, .. } => self.flights.generated(at, *signal, *outcome),
            What::SignalDelivered { thread, signal, to, .. } => self.flights.delivered(at, *thread, *signal, *to),
            What::PendingWritten { thread, ip, .. } => self.flights.written(at, *thread, *ip),
            What::MainProgress { thread, progress, sleep, gap } if self.flights.main() == Some(*thread) => {
                self.progress = Some((*progress, *sleep));
                if let Some(gap) = gap {
                    self.predicted.looked_after(*gap);
                }
            }
            _ => {}
        }
    }

    /// The thread that runs the handlers.
    pub fn main(&self) -> Option<ThreadKey> {
        self.flights.main()
    }

    /// A tick of the GIL that the main thread takes.
    pub fn tick(&mut self, ticked: Ticked<'_>, context: Context<'_>) {
        let Some(main) = self.flights.main() else { return };
        let Some(account) = context.threads.get(&main).filter(|account| account.end.is_none()) else { return };
        let at = ticked.at;
        let stand = account.standing(ticked.gil.key());
        let standing = stand.map(|stand| stand.standing);
        let (progress, sleep) = self.progress.unwrap_or((Progress::Unknown, Sleep::Unknown));
        let rest = match (account.runs.covers(at) && account.runs.is_placed(), account.runs.asleep_since(at)) {
            (false, _) => Rest::Untold,
            (true, Some(_)) => Rest::Asleep,
            (true, None) => Rest::Awake,
        };
        let look = Look {
            at,
            doing: course::doing(standing, progress, sleep, rest),
            held: ticked.gil.holder().into(),
            asked: stand.filter(|stand| stand.standing.wants()).map(|stand| stand.open.told),
        };
        let mut mine = Vec::new();
        for wait in ticked.gil.waits_over() {
            let length = wait.until.since(wait.from);
            let who = if wait.thread == main { Waiter::Main } else { Waiter::Another };
            if who == Waiter::Main {
                mine.push(*wait);
            }
            if wait.after == After::Apart {
                self.predicted.woken(at, length, who);
            }
        }
        let gap = ticked.gil.bridged(ticked.interval);
        for stretch in self.course.tick(look, &mine, gap) {
            self.predicted.push(&stretch);
        }
        let landed = self.flights.take_landed(at);
        let seen = Seen { at, gil: ticked.gil, threads: context.threads, main: (main, account), sleep, waits: &mine };
        for (mut landed, begun) in self.called.tick(landed, seen) {
            if let Some(begun) = begun {
                landed.flight.cleared = Some(begun);
                landed.handled = When::exactly(begun);
            }
            self.add(landed, ticked.interval, context);
        }
    }

    fn meanwhile(&self, from: MonoNs, to: MonoNs) -> Meanwhile {
        let mut sum = Meanwhile::default();
        let mut behind = None;
        for stretch in self.course.between(from, to) {
            let length = stretch.length();
            let mut now = None;
            match stretch.doing {
                Doing::Waiting => {
                    sum.waited += length;
                    let holder = match stretch.held {
                        // At an edge it may be the main thread itself: who held it then was not seen.
                        Held::By(thread) if Some(thread) != self.flights.main() => Some(thread),
                        Held::By(_) | Held::Free | Held::Unseen => None,
                    };
                    let known = sum.behind.len() < CULPRITS || sum.behind.contains_key(&holder);
                    let entry = sum.behind.entry(if known { holder } else { None }).or_default();
                    entry.0 += length;
                    entry.1 += u64::from(behind != Some(holder));
                    now = Some(holder);
                }
                Doing::Bytecode => {
                    sum.held += length;
                    sum.moved += length;
                }
                Doing::Deaf | Doing::Holding => sum.held += length,
                Doing::Native | Doing::Blocked => sum.elsewhere += length,
                Doing::Unknown => sum.unknown += length,
            }
            behind = now;
        }
        let told = sum.waited + sum.held + sum.elsewhere + sum.unknown;
        sum.unknown += to.since(from).saturating_sub(told);
        sum
    }

    fn add(&mut self, landed: Landed, interval: Ns, context: Context<'_>) {
        let Landed { signal, mut flight, handled } = landed;
        let timely = Ns(interval.0.saturating_mul(TIMELY)).max(CALLING);
        let end = handled.middle();
        let resolution = |arrival: When| Ns((arrival.slack + handled.slack).0 / 2).max(CALLING);
        let known = |arrival: When| {
            let resolution = resolution(arrival);
            resolution <= timely || resolution.0 <= end.since(arrival.middle()).0 / 4
        };
        // Seen to wait in the kernel by a look long after the one before: when CPython noted it is known better.
        if flight.generated.is_some_and(|it| !known(it)) && flight.tripped.is_some_and(known) {
            flight.generated = None;
        }
        let arrival = flight.arrival();
        let kind = if flight.generated.is_some() { ArrivalKind::Generate } else { ArrivalKind::Trip };
        let start = arrival.middle();
        let delay = end.since(start);
        let resolution = resolution(arrival);
        let noted =
            flight.tripped.map(|t| t.middle()).or(flight.delivered).unwrap_or(start).clamp(start, end.max(start));
        let looked = flight.cleared.unwrap_or(end).clamp(noted, end.max(noted));
        let meanwhile = self.meanwhile(noted, looked);
        let fault = self.fault(&flight, signal, looked.since(noted), &meanwhile, context);
        let measured = self.measured.entry((signal, kind)).or_default();
        measured.with_others += u64::from(flight.company == Company::WithOthers);
        measured.merged = measured.merged.saturating_add(flight.merged);
        if flight.edge == Edge::Cut || !known(arrival) {
            measured.lengths.add_cut(delay);
            return;
        }
        measured.lengths.add(delay);
        measured.resolution = measured.resolution.max(resolution.min(timely));
        if arrival.slack + handled.slack > Ns::ZERO {
            measured.source = Source::Sampled;
        }
        let more = |sum: &mut Option<Ns>, part: Ns| *sum = Some(sum.unwrap_or(Ns::ZERO) + part);
        let segments = &mut measured.segments;
        if flight.generated.is_some() && (flight.delivered.is_some() || flight.tripped.is_some()) {
            more(&mut segments.deliver, flight.delivered.unwrap_or(noted).min(noted).since(start));
        }
        if flight.delivered.is_some() && flight.tripped.is_some() {
            more(&mut segments.trip, noted.since(flight.delivered.unwrap_or(noted)));
        }
        more(&mut segments.uninterruptible, meanwhile.held + meanwhile.elsewhere);
        more(&mut segments.gil_wait, meanwhile.waited);
        if flight.cleared.is_some() {
            more(&mut segments.handler_start, end.since(looked));
        }
        segments.unknown += meanwhile.unknown;
        for (thread, (length, times)) in meanwhile.behind {
            let known = measured.culprits.len() < CULPRITS || measured.culprits.contains_key(&thread);
            let entry = measured.culprits.entry(if known { thread } else { None }).or_default();
            entry.0 += length;
            entry.1 = entry.1.saturating_add(times);
        }
        if let Some(fault) = fault {
            *measured.faults.entry(fault).or_default() += 1;
        }
        self.newest = Some(NewestInterrupt { signal, at: end, delay, resolution });
    }

    /// The fault of CPython behind a delay of `length` since the signal was noted.
    fn fault(
        &self,
        flight: &Flight,
        signal: Option<Signal>,
        length: Ns,
        meanwhile: &Meanwhile,
        context: Context<'_>,
    ) -> Option<Fault> {
        let is_affected = context.python.major == 3 && (9..=12).contains(&context.python.minor);
        if !is_affected || length < LONG || flight.tripped.is_none() {
            return None;
        }
        let mostly = |part: Ns| part.0 / 9 >= length.0 / 10;
        let elsewhere = match flight.taker {
            Some(taker) => Some(taker) != self.flights.main(),
            None => self.flights.main_blocks(signal) == Some(true),
        };
        if elsewhere && mostly(meanwhile.held) && mostly(meanwhile.moved) {
            return Some(Fault::NotNoticed);
        }
        let (culprit, _) = meanwhile.behind.iter().max_by_key(|(_, (length, _))| *length)?;
        let (held, _) = *meanwhile.behind.get(culprit)?;
        let interpreters = &context.threads.get(&(*culprit)?)?.interpreters;
        let is_foreign = !interpreters.is_empty() && !interpreters.contains(&InterpreterId(0));
        (is_foreign && mostly(held)).then_some(Fault::OtherInterpreter)
    }

    /// What is known by `now`; the main thread's waits are known to `resolution`.
    pub fn figures(
        &self,
        now: MonoNs,
        context: Context<'_>,
        waits: Source,
        resolution: Ns,
    ) -> Option<InterruptFigures> {
        if !self.looked_for {
            return None;
        }
        let pending = self.flights.shown(now).map(|(flight, shown)| {
            let noted = flight.tripped.map_or(now, |tripped| tripped.at);
            let until = self.course.until().unwrap_or(now);
            let meanwhile = self.meanwhile(noted, until);
            let fault = self.fault(flight, shown.signal, until.since(noted), &meanwhile, context);
            PendingInterrupt { fault, ..shown }
        });
        Some(InterruptFigures {
            main: self.flights.main(),
            measured: self.measured.iter().map(|((signal, from), m)| m.figures(*signal, *from)).collect(),
            newest: self.newest,
            pending: pending.collect(),
            unresolved: self.flights.unresolved(),
            predicted: self.predicted.figures(waits, resolution),
        })
    }
}

impl Measured {
    fn figures(&self, signal: Option<Signal>, from: ArrivalKind) -> MeasuredInterrupts {
        let whole: Ns = self.culprits.values().map(|(length, _)| *length).sum();
        let mut culprits: Vec<Culprit> = self
            .culprits
            .iter()
            .map(|(thread, (length, times))| Culprit {
                thread: *thread,
                share: length.share_of(whole).unwrap_or(0.0).min(1.0),
                times: *times,
            })
            .collect();
        culprits.sort_by(|a, b| b.share.total_cmp(&a.share));
        culprits.truncate(CULPRITS_SHOWN);
        let mut delay = self.lengths.exact(self.resolution.max(CALLING));
        delay.source = self.source;
        MeasuredInterrupts {
            signal,
            from,
            delay,
            segments: self.segments,
            culprits,
            with_others: self.with_others,
            merged: self.merged,
            faults: self.faults.iter().map(|(fault, times)| (*fault, *times)).collect(),
        }
    }
}
