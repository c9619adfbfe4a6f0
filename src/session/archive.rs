//! Recordings as a session sees them: a file that can be replayed, and the last while of a live capture, which may
//! be written down from its oldest instant on.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Event;
use crate::recording::format::Finality;
use crate::recording::{Existing, KeptPast, Reader, RecordingError, RecordingFile, RecordingState, Replay, Start};
use crate::session::source::{Archive, Events, Numbered, Past};
use crate::session::{RecordingStatus, Span};
use crate::time::MonoNs;

/// A recording that is read. Every stretch of its events is read through a reader of its own.
#[derive(Debug)]
pub struct Recorded {
    path: PathBuf,
    span: Option<Span>,
    finality: Finality,
    trouble: Trouble,
}

/// What was found wrong so far, by whoever reads.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Vec<String>>>);

impl Trouble {
    fn add(&self, found: impl IntoIterator<Item = String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in found {
            if !known.contains(&problem) {
                known.push(problem);
            }
        }
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Recorded {
    /// The recording at `path`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(path: &Path) -> Result<Recorded, RecordingError> {
        let reader = Reader::open(path)?;
        let trouble = Trouble::default();
        trouble.add(reader.warnings().iter().map(ToString::to_string));
        Ok(Recorded {
            path: path.to_owned(),
            span: reader.span().map(|(from, to)| Span { from, to }),
            finality: reader.finality(),
            trouble,
        })
    }
}

impl Archive for Recorded {
    fn span(&self) -> Option<Span> {
        self.span
    }

    fn events_from(&mut self, position: u64) -> Events {
        match Reader::<File>::open(&self.path) {
            Ok(reader) => {
                Box::new(Placed { replay: Replay::new(reader, start(position)), trouble: self.trouble.clone() })
            }
            Err(error) => {
                self.trouble.add([error.to_string()]);
                Box::new(std::iter::empty())
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let open = "the recording was not closed: its recorder was killed, or is still at it";
        let open = (self.finality == Finality::Open).then(|| open.to_owned());
        self.trouble.told().into_iter().chain(open).collect()
    }
}

fn start(position: u64) -> Start {
    if position == 0 { Start::Beginning } else { Start::Event(position) }
}

/// A replay's events, with their numbers; at its end what was found wrong is told.
struct Placed<R> {
    replay: Replay<R>,
    trouble: Trouble,
}

impl<R: Read + Seek> Iterator for Placed<R> {
    type Item = Numbered;

    fn next(&mut self) -> Option<Numbered> {
        let next = self.replay.next();
        if next.is_none() {
            self.trouble.add(self.replay.reader().warnings().iter().map(ToString::to_string));
            self.trouble.add(self.replay.failure().map(ToString::to_string));
        }
        next.map(|placed| Numbered { event: placed.event, position: placed.position })
    }
}

/// Names the next recording.
pub type Naming = Box<dyn FnMut() -> PathBuf + Send>;

/// The last while of a live capture, and the recording that is made of it.
pub struct Kept {
    past: KeptPast,
    recording: Option<Recording>,
    naming: Naming,
    trouble: Trouble,
}

struct Recording {
    path: PathBuf,
    since: MonoNs,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("past", &self.past).finish_non_exhaustive()
    }
}

impl Kept {
    /// Keeps at most `limit` bytes of encoded events; `naming` names the recordings that are made.
    ///
    /// # Errors
    /// As [`KeptPast::new`].
    pub fn new(limit: usize, naming: Naming) -> Result<Kept, RecordingError> {
        Ok(Kept { past: KeptPast::new(limit)?, recording: None, naming, trouble: Trouble::default() })
    }

    /// Records into `file`, in which nothing is yet, from the oldest event kept.
    ///
    /// # Errors
    /// As [`KeptPast::record`].
    pub fn record_into(&mut self, file: RecordingFile) -> Result<(), RecordingError> {
        let path = file.path().to_owned();
        self.past.record(file)?;
        self.recording = Some(Recording { path, since: self.past.span().map_or(MonoNs(0), |(from, _)| from) });
        Ok(())
    }
}

impl Archive for Kept {
    fn span(&self) -> Option<Span> {
        self.past.span().map(|(from, to)| Span { from, to })
    }

    fn events_from(&mut self, position: u64) -> Events {
        match self.past.replay(start(position)) {
            Ok(replay) => Box::new(Placed { replay, trouble: self.trouble.clone() }),
            Err(error) => {
                self.trouble.add([error.to_string()]);
                Box::new(std::iter::empty())
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let dropped = self.past.recording().map_or(0, |progress| progress.dropped);
        let gap = (dropped > 0).then(|| format!("the disk is too slow: {dropped} events are missing in the recording"));
        self.trouble.told().into_iter().chain(gap).collect()
    }
}

impl Past for Kept {
    fn keep(&mut self, events: &[Event]) {
        if let Err(error) = self.past.keep(events) {
            self.trouble.add([error.to_string()]);
        }
        if self.past.recording().is_some_and(|progress| progress.state == RecordingState::Failed)
            && let Err(problem) = self.end_recording()
        {
            self.trouble.add([problem]);
        }
    }

    fn record(&mut self) -> Result<(), String> {
        if self.recording.is_some() {
            return Ok(());
        }
        let path = (self.naming)();
        let begun = RecordingFile::create(&path, Existing::Refuse).and_then(|file| self.record_into(file));
        begun.map_err(|error| format!("cannot record to {}: {error}", path.display()))
    }

    fn end_recording(&mut self) -> Result<(), String> {
        let Some(recording) = self.recording.take() else { return Ok(()) };
        let path = recording.path.display();
        match self.past.end_recording() {
            Ok(Some(outcome)) if outcome.dropped > 0 => {
                Err(format!("{path} lacks {} events that the disk was too slow for", outcome.dropped))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{path} ended early: {error}")),
        }
    }

    fn recording(&self) -> Option<RecordingStatus> {
        let recording = self.recording.as_ref()?;
        let progress = self.past.recording()?;
        Some(RecordingStatus { path: recording.path.clone(), bytes: progress.written.bytes, since: recording.since })
    }
}
