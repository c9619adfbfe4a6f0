//! Recordings as a session sees them: a file that can be replayed, and the last while of a live capture, which may
//! be written down from its oldest instant on.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Event, GilKey, ProcessKey, Relation, ThreadKey, What};
use crate::recording::format::Finality;
use crate::recording::{
    ChunkRing, Cut, Encoder, Existing, Item, Reader, RecordingError, RecordingFile, Resumed, Start,
};
use crate::session::source::{Archive, Events, Numbered, Past};
use crate::session::{RecordingStatus, Span};
use crate::time::MonoNs;

/// Events that are decoded at once.
const BATCH: usize = 16_384;

/// A recording that is read.
pub struct Recorded<R> {
    reader: Arc<Mutex<Reader<R>>>,
}

impl<R> std::fmt::Debug for Recorded<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded").finish_non_exhaustive()
    }
}

impl<R: Read + Seek + Send + 'static> Recorded<R> {
    /// What `reader` reads.
    pub fn new(reader: Reader<R>) -> Recorded<R> {
        Recorded { reader: Arc::new(Mutex::new(reader)) }
    }
}

fn lock<R>(reader: &Mutex<Reader<R>>) -> MutexGuard<'_, Reader<R>> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Read + Seek + Send + 'static> Archive for Recorded<R> {
    fn span(&self) -> Option<Span> {
        lock(&self.reader).span().map(|(from, to)| Span { from, to })
    }

    fn events_from(&mut self, position: u64) -> Events {
        Box::new(Decoded::new(Arc::clone(&self.reader), position))
    }

    fn warnings(&self) -> Vec<String> {
        let reader = lock(&self.reader);
        let open = "the recording was not closed: its recorder was killed, or is still at it";
        let open = (reader.finality() == Finality::Open).then(|| open.to_owned());
        reader.warnings().iter().map(ToString::to_string).chain(open).collect()
    }
}

/// Events out of a reader that others use too, decoded a batch at a time.
struct Decoded<R> {
    reader: Arc<Mutex<Reader<R>>>,
    position: u64,
    ready: VecDeque<Numbered>,
    ended: bool,
}

impl<R: Read + Seek> Decoded<R> {
    fn new(reader: Arc<Mutex<Reader<R>>>, position: u64) -> Decoded<R> {
        Decoded { reader, position, ready: VecDeque::new(), ended: false }
    }

    fn refill(&mut self) {
        let mut reader = lock(&self.reader);
        let start = if self.position == 0 { Start::Beginning } else { Start::Event(self.position) };
        let mut events = reader.events(start);
        while self.ready.len() < BATCH {
            // An error ends what can be read; the reader keeps it as a warning where it is damage.
            let Some(Ok(item)) = events.next() else {
                self.ended = true;
                return;
            };
            match item {
                Item::Event(event) => {
                    self.position = events.position();
                    self.ready.push_back(Numbered { event, position: self.position });
                }
                Item::Resumed(resumed) => {
                    self.position = resumed.position;
                    self.ready.extend(restated(&resumed));
                }
            }
        }
    }
}

impl<R: Read + Seek> Iterator for Decoded<R> {
    type Item = Numbered;

    fn next(&mut self) -> Option<Numbered> {
        if self.ready.is_empty() && !self.ended {
            self.refill();
        }
        self.ready.pop_front()
    }
}

/// The state at a keyframe as events. After a loss, whoever is not said to want a GIL wants none.
fn restated(resumed: &Resumed) -> Vec<Numbered> {
    let number = |event: Event| Numbered { event, position: resumed.position };
    let mut events: Vec<Numbered> = resumed.standing.iter().cloned().map(number).collect();
    if resumed.lost > 0 {
        let mut gils: Vec<(ProcessKey, GilKey)> = Vec::new();
        let mut threads: Vec<(ProcessKey, ThreadKey)> = Vec::new();
        let mut stated: BTreeSet<(ThreadKey, GilKey)> = BTreeSet::new();
        for event in &resumed.standing {
            match &event.what {
                What::GilFound { gil, process, .. } => gils.push((*process, *gil)),
                What::ThreadFound { thread, info } => threads.push((info.process, *thread)),
                What::Relation { thread, gil, .. } => drop(stated.insert((*thread, *gil))),
                _ => {}
            }
        }
        let apart = threads.iter().flat_map(|(process, thread)| {
            let own = gils.iter().filter(move |(of, _)| of == process);
            own.map(move |(_, gil)| (*thread, *gil))
        });
        events.extend(apart.filter(|pair| !stated.contains(pair)).map(|(thread, gil)| {
            number(Event { at: resumed.at, what: What::Relation { thread, gil, relation: Relation::Apart } })
        }));
    }
    events
}

/// Names the next recording.
pub type Naming = Box<dyn FnMut() -> PathBuf + Send>;

/// The last while of a live capture, encoded, and the recording that is made of it.
pub struct Kept {
    encoder: Encoder,
    ring: ChunkRing,
    file: Option<Writing>,
    naming: Naming,
    trouble: Vec<String>,
}

struct Writing {
    file: RecordingFile,
    since: MonoNs,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("held", &self.ring.held()).finish_non_exhaustive()
    }
}

impl Kept {
    /// Keeps at most `limit` bytes of encoded events; `naming` names the recordings that are made.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(limit: usize, naming: Naming) -> Result<Kept, RecordingError> {
        Ok(Kept { encoder: Encoder::new()?, ring: ChunkRing::new(limit), file: None, naming, trouble: Vec::new() })
    }

    /// Records into `file`, in which nothing is yet, what comes from here on. For a session that has not begun.
    pub fn record_into(&mut self, file: RecordingFile) {
        self.file = Some(Writing { file, since: MonoNs(0) });
    }

    /// Hands finished chunks on.
    fn hand_on(&mut self) {
        for chunk in self.encoder.take_chunks() {
            if let Some(writing) = &mut self.file
                && let Err(error) = writing.file.append(&chunk)
            {
                self.trouble.push(format!("{} ended early: {error}", writing.file.path().display()));
                self.file = None;
            }
            self.ring.push(chunk);
        }
    }

    fn cut(&mut self, cut: Cut) -> Result<(), RecordingError> {
        let outcome = self.encoder.cut(cut);
        self.hand_on();
        outcome
    }
}

impl Archive for Kept {
    fn span(&self) -> Option<Span> {
        self.ring.span().map(|(from, to)| Span { from, to })
    }

    fn events_from(&mut self, position: u64) -> Events {
        match self.cut(Cut::Flush).and_then(|()| self.ring.reader()) {
            Ok(reader) => Box::new(Decoded::new(Arc::new(Mutex::new(reader)), position)),
            Err(error) => {
                self.trouble.push(error.to_string());
                Box::new(std::iter::empty())
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.trouble.clone()
    }
}

impl Past for Kept {
    fn keep(&mut self, events: &[Event]) {
        for event in events {
            if let Err(error) = self.encoder.push(event) {
                let error = error.to_string();
                if self.trouble.last() != Some(&error) {
                    self.trouble.push(error);
                }
            }
        }
        self.hand_on();
    }

    fn record(&mut self) -> Result<(), String> {
        if self.file.is_some() {
            return Ok(());
        }
        let path = (self.naming)();
        let begun = self.cut(Cut::Flush).and_then(|()| {
            let mut file = RecordingFile::create(&path, Existing::Refuse)?;
            self.ring.save(&mut file)?;
            Ok(file)
        });
        let file = begun.map_err(|error| format!("cannot record to {}: {error}", path.display()))?;
        let since = self.ring.span().map_or(MonoNs(0), |(from, _)| from);
        self.file = Some(Writing { file, since });
        Ok(())
    }

    fn end_recording(&mut self) -> Result<(), String> {
        if self.file.is_none() {
            return Ok(());
        }
        let ended = self.cut(Cut::End);
        let Some(writing) = self.file.take() else { return Ok(()) };
        let path = writing.file.path().display().to_string();
        ended.and_then(|()| writing.file.sync()).map_err(|error| format!("{path} may lack its end: {error}"))
    }

    fn recording(&self) -> Option<RecordingStatus> {
        self.file.as_ref().map(|writing| RecordingStatus {
            path: writing.file.path().to_owned(),
            bytes: writing.file.written(),
            since: writing.since,
        })
    }
}
