//! The way from the sampler to the file: it never makes the sampler wait.
//!
//! The sampler's end is a [`Recorder`], the other end a thread with a [`Writer`].
//! Between them lies a bounded queue. Where it is full, samples are dropped and
//! counted, and the count is recorded in [`Health::dropped_events`]. What stays
//! in force until it is changed (definitions, endings, relations, rates, what is
//! known of signals) is never dropped but owed: it follows as soon as there is
//! room, before any later sample, so that what is recorded after a gap is right
//! again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::RecordingError;
use super::kinds::{Class, class};
use super::writer::{Writer, Written};
use crate::event::{
    Event, GilKey, Health, ProcessKey, Scope, SignalStep, StepsEnd, SwitchesEnd, ThreadKey, What, WindowEnd,
};
use crate::time::{MonoNs, Ns};

/// How many events a queue holds unless told otherwise.
pub const DEFAULT_QUEUE: usize = 1 << 16;

/// Events go over in batches of this many ...
const BATCH: usize = 256;

/// ... or of this much time, whichever is less.
const BATCH_TIME: Ns = Ns::from_millis(50);

/// How often the writer's thread looks at the clock.
const TICK: Duration = Duration::from_millis(50);

/// Most events that are owed. Beyond it they are dropped too, and counted.
const MAX_OWED: usize = 1 << 16;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is on its way, or will be before any later event.
    Taken,
    /// There was no room: it is gone, and counted.
    Dropped,
    /// The writer has failed; [`Recorder::finish`] tells why.
    Stopped,
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What was written.
    pub written: Written,
    /// Events that the queue had no room for.
    pub dropped: u64,
}

/// The sampler's end of a recording. Nothing here waits, but [`Recorder::finish`].
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Vec<Event>>,
    shared: Arc<Shared>,
    room: usize,
    thread: JoinHandle<Result<Written, RecordingError>>,
    batch: Vec<Event>,
    owed: Vec<Option<Event>>,
    owed_states: HashMap<State, usize>,
    replaced: usize,
    /// Threads of which switches were dropped since there was room last, and how many.
    holes: BTreeMap<ThreadKey, u64>,
    /// GILs of whose windows something was dropped since there was room last: the windows ended there.
    broken: BTreeSet<GilKey>,
    /// Steps of signals of which some were dropped since there was room last.
    untold: BTreeSet<(ProcessKey, SignalStep)>,
    /// The newest event that found no room.
    newest: MonoNs,
    flow: Flow,
}

/// What is in force until it is told anew: only the last word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Relation(ThreadKey, GilKey),
    SignalsPending(ProcessKey),
    SignalsWaiting(ProcessKey),
    MainProgress(ThreadKey),
}

impl State {
    fn of(what: &What) -> Option<State> {
        match what {
            What::Relation { thread, gil, .. } => Some(State::Relation(*thread, *gil)),
            What::SignalsPending { process, .. } => Some(State::SignalsPending(*process)),
            What::SignalsWaiting { process, .. } => Some(State::SignalsWaiting(*process)),
            What::MainProgress { thread, .. } => Some(State::MainProgress(*thread)),
            _ => None,
        }
    }
}

/// Takes back what a state says of the one before it, which is not told.
fn forget_gap(what: &mut What) {
    match what {
        What::SignalsPending { gap, .. } | What::SignalsWaiting { gap, .. } | What::MainProgress { gap, .. } => {
            *gap = None
        }
        _ => {}
    }
}

/// Whether events find room at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Free,
    Blocked,
    Stopped,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    /// Batches in the queue: how the only sender knows whether there is room.
    queued: AtomicUsize,
}

impl Recorder {
    /// Starts the thread that writes. `capacity` is the number of events the queue holds.
    ///
    /// # Errors
    /// [`RecordingError::Io`] if the thread cannot be started.
    pub fn start(writer: Writer, capacity: usize) -> Result<Recorder, RecordingError> {
        let room = (capacity / BATCH).max(1);
        let (queue, incoming) = sync_channel(room);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("gilscope-writer".to_owned())
            .spawn(move || write_all(writer, &incoming, &theirs))
            .map_err(RecordingError::io("start a thread for"))?;
        Ok(Recorder {
            queue,
            shared,
            room,
            thread,
            batch: Vec::with_capacity(BATCH),
            owed: Vec::new(),
            owed_states: HashMap::new(),
            replaced: 0,
            holes: BTreeMap::new(),
            broken: BTreeSet::new(),
            untold: BTreeSet::new(),
            newest: MonoNs(0),
            flow: Flow::Free,
        })
    }

    /// Hands an event over. Never waits.
    pub fn offer(&mut self, event: Event) -> Offer {
        match self.flow {
            Flow::Free => {
                let due = self.batch.len() + 1 >= BATCH
                    || self.batch.first().is_some_and(|first| event.at.since(first.at) >= BATCH_TIME);
                self.batch.push(event);
                if due {
                    self.flush();
                }
            }
            Flow::Blocked => {
                let offer = self.owe_or_drop(event);
                self.flush();
                if offer == Offer::Dropped {
                    return offer;
                }
            }
            Flow::Stopped => return Offer::Stopped,
        }
        if self.flow == Flow::Stopped { Offer::Stopped } else { Offer::Taken }
    }

    /// Sends off what was gathered so far. Never waits.
    pub fn flush(&mut self) {
        if self.flow == Flow::Blocked {
            if self.shared.queued.load(Ordering::Acquire) >= self.room {
                return;
            }
            self.settle();
        }
        if self.batch.is_empty() {
            return;
        }
        // Counted before it is there, so that the other side never counts below nothing.
        self.shared.queued.fetch_add(1, Ordering::AcqRel);
        match self.queue.try_send(std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH))) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                self.shared.queued.fetch_sub(1, Ordering::AcqRel);
                self.flow = Flow::Blocked;
                for event in batch {
                    self.owe_or_drop(event);
                }
            }
            Err(TrySendError::Disconnected(_)) => self.flow = Flow::Stopped,
        }
    }

    /// What was owed goes with the next batch.
    fn settle(&mut self) {
        self.batch.extend(self.owed.drain(..).flatten());
        // Without a word, a thread's switches from before and after the hole would be taken for a sequence.
        for (thread, records) in std::mem::take(&mut self.holes) {
            let end = What::SwitchesEnd { thread, why: SwitchesEnd::Lost { records } };
            self.batch.extend([end, What::SwitchesBegin { thread }].map(|what| Event { at: self.newest, what }));
        }
        // They ended where the first was dropped.
        for (process, step) in std::mem::take(&mut self.untold) {
            self.batch.push(Event { at: self.newest, what: What::SignalStepsBegin { process, step } });
        }
        self.owed_states.clear();
        self.broken.clear();
        self.replaced = 0;
        self.flow = Flow::Free;
    }

    /// What is in the file by now.
    pub fn written(&self) -> Written {
        Written { events: self.shared.events.load(Ordering::Relaxed), bytes: self.shared.bytes.load(Ordering::Relaxed) }
    }

    /// Events that the queue had no room for so far.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Ends the recording in order, and waits until all is written.
    ///
    /// # Errors
    /// Whatever stopped the writer: see [`Writer::push`].
    pub fn finish(mut self) -> Result<Outcome, RecordingError> {
        if self.flow == Flow::Blocked {
            self.settle();
        }
        // The sampler has ended: waiting for room does no harm any more. A failed writer has closed the queue.
        if !self.batch.is_empty() && self.flow != Flow::Stopped {
            let _ = self.queue.send(std::mem::take(&mut self.batch));
        }
        drop(self.queue);
        let written = self.thread.join().map_err(|_| RecordingError::WriterGone)??;
        Ok(Outcome { written, dropped: self.shared.dropped.load(Ordering::Relaxed) })
    }

    fn owe_or_drop(&mut self, mut event: Event) -> Offer {
        self.newest = self.newest.max(event.at);
        if let Some(gil) = event.what.window() {
            // Without a word, the window would be taken for one in which nothing happened.
            if self.broken.insert(gil) {
                let what = What::WindowEnds { gil, why: WindowEnd::Lost { records: 0 } };
                self.owed.push(Some(Event { at: event.at, what }));
            }
            return self.drop_one();
        }
        if let Some((process, step)) = event.what.signal_step() {
            // Without a word, silence would mean that there was none.
            if self.untold.insert((process, step)) {
                let what = What::SignalStepsEnd { process, step, why: StepsEnd::Lost { records: 0 } };
                self.owed.push(Some(Event { at: event.at, what }));
            }
            return self.drop_one();
        }
        match &event.what {
            What::SwitchesBegin { thread } | What::SwitchesEnd { thread, .. } | What::ThreadEnded { thread } => {
                self.holes.remove(thread);
            }
            What::SignalStepsBegin { process, step } | What::SignalStepsEnd { process, step, .. } => {
                self.untold.remove(&(*process, *step));
            }
            What::ProcessEnded { process, .. } => self.untold.retain(|(other, _)| other != process),
            What::SwitchedIn { thread, .. } | What::SwitchedOut { thread, .. } | What::FutexEntered { thread, .. } => {
                *self.holes.entry(*thread).or_default() += 1;
                return self.drop_one();
            }
            What::RateChanged { .. }
            | What::StacksMissing { .. }
            | What::FutexesBegin { .. }
            | What::FutexesEnd { .. }
            | What::SignalSent { .. }
            | What::Relation { .. }
            | What::SignalsPending { .. }
            | What::SignalsWaiting { .. }
            | What::MainProgress { .. } => {}
            what if class(what) == Class::Definition => {}
            _ => return self.drop_one(),
        }
        let state = State::of(&event.what);
        if let Some(state) = state
            && let Some(earlier) = self.owed_states.remove(&state)
        {
            self.owed[earlier] = None;
            self.replaced += 1;
            self.drop_one();
            forget_gap(&mut event.what);
        }
        if self.owed.len() >= MAX_OWED && self.replaced >= MAX_OWED / 4 {
            self.close_up();
        }
        if self.owed.len() >= MAX_OWED {
            return self.drop_one();
        }
        if let Some(state) = state {
            self.owed_states.insert(state, self.owed.len());
        }
        self.owed.push(Some(event));
        Offer::Taken
    }

    /// Takes out what later relations have replaced.
    fn close_up(&mut self) {
        self.owed.retain(Option::is_some);
        self.replaced = 0;
        self.owed_states.clear();
        for (place, event) in self.owed.iter().enumerate() {
            if let Some(state) = event.as_ref().and_then(|event| State::of(&event.what)) {
                self.owed_states.insert(state, place);
            }
        }
    }

    fn drop_one(&mut self) -> Offer {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        Offer::Dropped
    }
}

fn write_all(mut writer: Writer, incoming: &Receiver<Vec<Event>>, shared: &Shared) -> Result<Written, RecordingError> {
    let mut tally = Tally::default();
    loop {
        match incoming.recv_timeout(TICK) {
            Ok(batch) => {
                shared.queued.fetch_sub(1, Ordering::AcqRel);
                for event in batch {
                    tally.dropped = shared.dropped.load(Ordering::Relaxed);
                    tally.write(event, &mut writer)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.tick(Instant::now())?;
        let written = writer.written();
        shared.events.store(written.events, Ordering::Relaxed);
        shared.bytes.store(written.bytes, Ordering::Relaxed);
    }
    tally.dropped = shared.dropped.load(Ordering::Relaxed);
    tally.write_last(&mut writer)?;
    writer.finish()
}

/// Brings the queue's count of dropped events into the recording.
#[derive(Debug, Default)]
struct Tally {
    dropped: u64,
    stated: u64,
    /// What was said last, of each process or of all.
    health: BTreeMap<Scope, Health>,
    at: MonoNs,
}

impl Tally {
    fn write(&mut self, mut event: Event, writer: &mut Writer) -> Result<(), RecordingError> {
        self.at = event.at;
        match &mut event.what {
            What::Health(health, of) => {
                if self.health.len() < MAX_OWED || self.health.contains_key(of) {
                    self.health.insert(*of, *health);
                }
                health.dropped_events = health.dropped_events.saturating_add(self.dropped);
                if self.health.len() == 1 {
                    self.stated = self.dropped;
                }
            }
            What::ProcessEnded { process, .. } => {
                self.health.remove(&Scope::Process(*process));
            }
            // As soon as samples are dropped, the recording says so; but figures that nobody has stated are not made up.
            _ if self.dropped > self.stated && !self.health.is_empty() => self.restate(writer)?,
            _ => {}
        }
        writer.push(&event)
    }

    fn write_last(&mut self, writer: &mut Writer) -> Result<(), RecordingError> {
        if self.dropped > self.stated {
            if self.health.is_empty() {
                self.health.insert(Scope::Capture, Health::default());
            }
            self.restate(writer)?;
        }
        Ok(())
    }

    fn restate(&mut self, writer: &mut Writer) -> Result<(), RecordingError> {
        self.stated = self.dropped;
        for (of, mut health) in self.health.clone() {
            health.dropped_events = health.dropped_events.saturating_add(self.dropped);
            writer.push(&Event { at: self.at, what: What::Health(health, of) })?;
        }
        Ok(())
    }
}
