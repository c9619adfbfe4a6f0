//! A recording as one stream of ordinary events, whatever has happened to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::io::{Read, Seek};

use super::error::RecordingError;
use super::events::{Decoder, Item, Resumed, Start};
use super::predict::MAX_REMEMBERED;
use super::reader::Reader;
use crate::event::{Ending, Event, InterpreterId, ProcessKey, ThreadKey, What};
use crate::time::MonoNs;

/// The events of a recording, owned, to be folded one after the other as those of a live capture are.
///
/// Where decoding begins or resumes at a keyframe, what it restates comes as events. Of what was lost to damage only the outcome
/// is told: threads, interpreters and processes that are gone behind it end there, at the keyframe's time.
/// Times never go back, but where the recording's own do.
pub struct Replay<R> {
    reader: Reader<R>,
    decoder: Decoder,
    alive: Alive,
    waiting: VecDeque<Event>,
    last: Option<MonoNs>,
    lost: u64,
    failed: Option<RecordingError>,
}

impl<R> std::fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("reader", &self.reader).field("last", &self.last).finish_non_exhaustive()
    }
}

/// An event and its place in the capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The event.
    pub event: Event,
    /// Number of events of the capture up to and including it; of one that is restated: up to where it is restated.
    pub position: u64,
}

impl<R: Read + Seek> Replay<R> {
    /// The events from `start` on.
    pub fn new(reader: Reader<R>, start: Start) -> Replay<R> {
        let decoder = Decoder::new(&reader, start);
        Replay { reader, decoder, alive: Alive::default(), waiting: VecDeque::new(), last: None, lost: 0, failed: None }
    }

    /// The recording: its warnings are complete once all events have come.
    pub fn reader(&self) -> &Reader<R> {
        &self.reader
    }

    /// Events lost to damage so far, where decoding could go on behind it.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Events so far that only a newer gilscope knows. They are skipped.
    pub fn unknown(&self) -> u64 {
        self.decoder.unknown()
    }

    /// Why the events ended before the recording did, if so.
    pub fn failure(&self) -> Option<&RecordingError> {
        self.failed.as_ref()
    }

    /// As [`Replay::failure`], to be handed on.
    pub fn into_failure(self) -> Option<RecordingError> {
        self.failed
    }

    /// Makes what a keyframe restates into events that may follow what came already.
    fn resume(&mut self, resumed: Resumed) {
        self.lost = self.lost.saturating_add(resumed.lost);
        // What is older than the last event came already: nothing was lost before that one.
        let news = resumed.standing.iter().filter(|event| self.last.is_none_or(|last| event.at >= last));
        self.waiting.extend(news.cloned());
        let at = self.last.map_or(resumed.at, |last| last.max(resumed.at));
        let ended = self.alive.missing_in(&resumed.standing);
        self.waiting.extend(ended.into_iter().map(|what| Event { at, what }));
    }
}

impl<R: Read + Seek> Iterator for Replay<R> {
    type Item = Placed;

    fn next(&mut self) -> Option<Placed> {
        while self.waiting.is_empty() {
            match self.decoder.next(&mut self.reader)? {
                Ok(Item::Event(event)) => self.waiting.push_back(event),
                Ok(Item::Resumed(resumed)) => self.resume(*resumed),
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            }
        }
        let event = self.waiting.pop_front()?;
        self.last = Some(event.at);
        self.alive.observe(&event);
        Some(Placed { event, position: self.decoder.position() })
    }
}

/// What has begun and not ended.
#[derive(Debug, Default)]
struct Alive {
    processes: BTreeMap<ProcessKey, BTreeSet<InterpreterId>>,
    threads: HashMap<ThreadKey, ProcessKey>,
}

impl Alive {
    fn observe(&mut self, event: &Event) {
        match &event.what {
            What::ProcessFound { process, .. } if self.processes.len() < MAX_REMEMBERED => {
                self.processes.entry(*process).or_default();
            }
            What::ProcessEnded { process, .. } => {
                self.processes.remove(process);
                self.threads.retain(|_, owner| owner != process);
            }
            What::InterpreterFound { process, interpreter, .. } => {
                if let Some(interpreters) = self.processes.get_mut(process)
                    && interpreters.len() < MAX_REMEMBERED
                {
                    interpreters.insert(*interpreter);
                }
            }
            What::InterpreterEnded { process, interpreter } => {
                if let Some(interpreters) = self.processes.get_mut(process) {
                    interpreters.remove(interpreter);
                }
            }
            What::ThreadFound { thread, info } if self.threads.len() < MAX_REMEMBERED => {
                self.threads.insert(*thread, info.process);
            }
            What::ThreadEnded { thread } => {
                self.threads.remove(thread);
            }
            _ => {}
        }
    }

    /// The endings of what a keyframe no longer knows: threads first, then interpreters, then processes.
    fn missing_in(&self, standing: &[Event]) -> Vec<What> {
        let (mut processes, mut interpreters, mut threads) = (HashSet::new(), HashSet::new(), HashSet::new());
        for event in standing {
            match &event.what {
                What::ProcessFound { process, .. } => {
                    let _new = processes.insert(*process);
                }
                What::InterpreterFound { process, interpreter, .. } => {
                    let _new = interpreters.insert((*process, *interpreter));
                }
                What::ThreadFound { thread, .. } => {
                    let _new = threads.insert(*thread);
                }
                _ => {}
            }
        }
        let mut ended = Vec::new();
        let mut gone: Vec<ThreadKey> =
            self.threads.keys().copied().filter(|thread| !threads.contains(thread)).collect();
        gone.sort_unstable();
        // A keyframe restates only so many: of what it cannot hold, nothing follows from its silence.
        if threads.len() < MAX_REMEMBERED {
            ended.extend(gone.into_iter().map(|thread| What::ThreadEnded { thread }));
        }
        for (process, known) in &self.processes {
            let missing = known.iter().filter(|id| !interpreters.contains(&(*process, **id)));
            ended.extend(missing.map(|id| What::InterpreterEnded { process: *process, interpreter: *id }));
        }
        for process in self.processes.keys().filter(|process| !processes.contains(*process)) {
            let reason = "its end lies in a damaged part of the recording".to_owned();
            ended.push(What::ProcessEnded { process: *process, ending: Ending::LostSight { reason } });
        }
        ended
    }
}
