//! What a live session keeps of its past, and the recording that can be made of it at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::encoder::{Chunk, Cut, Encoder};
use super::error::RecordingError;
use super::events::Start;
use super::file::RecordingFile;
use super::queue::Outcome;
use super::replay::Replay;
use super::ring::{ChunkRing, RingSource};
use super::writer::Written;
use crate::event::Event;
use crate::time::MonoNs;

/// Chunks that may wait for the file, which the ring holds too: more than two minutes's.
const QUEUE: usize = 256;

/// The last while of a capture, encoded, in bounded memory; while it records, all that comes goes into a file too,
/// through a thread of its own: nothing here waits, but [`KeptPast::end_recording`].
#[derive(Debug)]
pub struct KeptPast {
    encoder: Encoder,
    ring: ChunkRing,
    recording: Option<ChunkWriter>,
}

impl KeptPast {
    /// Keeps at most `limit` bytes: [`DEFAULT_RING`](super::DEFAULT_RING) unless told otherwise.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(limit: usize) -> Result<KeptPast, RecordingError> {
        Ok(KeptPast { encoder: Encoder::new()?, ring: ChunkRing::new(limit), recording: None })
    }

    /// Keeps these too. The oldest go where there is no room.
    ///
    /// # Errors
    /// As [`Encoder::push`]. A recording that has failed does not show here, but in [`KeptPast::recording`].
    pub fn keep(&mut self, events: &[Event]) -> Result<(), RecordingError> {
        events.iter().try_for_each(|event| self.encoder.push(event))?;
        self.distribute()
    }

    /// The times of the oldest and the newest event kept; `None` while there is none.
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        match (self.ring.span(), self.encoder.pending_span()) {
            (Some((first, _)), Some((_, last))) => Some((first, last)),
            (ring, pending) => ring.or(pending),
        }
    }

    /// Number of events kept so far, those that have gone since included.
    pub fn position(&self) -> u64 {
        self.encoder.position()
    }

    /// The events from `start` on, as of now: it shares the chunks, and sees nothing that is kept later.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn replay(&mut self, start: Start) -> Result<Replay<RingSource>, RecordingError> {
        self.encoder.cut(Cut::Flush)?;
        self.distribute()?;
        Ok(Replay::new(self.ring.reader()?, start))
    }

    /// Begins to record into a file just made, from the oldest event kept.
    ///
    /// # Errors
    /// [`RecordingError::Io`] if the thread that writes cannot be started, or as [`Encoder::push`].
    pub fn record(&mut self, file: RecordingFile) -> Result<(), RecordingError> {
        self.encoder.cut(Cut::Flush)?;
        self.distribute()?;
        self.recording = Some(ChunkWriter::start(file, self.ring.clone())?);
        Ok(())
    }

    /// What the recording has come to so far; `None` where there is none.
    pub fn recording(&self) -> Option<Progress> {
        self.recording.as_ref().map(ChunkWriter::progress)
    }

    /// Ends the recording in order, and waits until all is written; `None` where there is none.
    ///
    /// # Errors
    /// Whatever stopped it: see [`RecordingFile::append`].
    pub fn end_recording(&mut self) -> Result<Option<Outcome>, RecordingError> {
        let Some(mut recording) = self.recording.take() else { return Ok(None) };
        self.encoder.cut(Cut::End)?;
        for chunk in self.encoder.take_chunks() {
            recording.write_last(chunk.clone());
            self.ring.push(chunk);
        }
        recording.finish().map(Some)
    }

    fn distribute(&mut self) -> Result<(), RecordingError> {
        for chunk in self.encoder.take_chunks() {
            if let Some(recording) = &mut self.recording {
                recording.offer(chunk.clone());
            }
            self.ring.push(chunk);
        }
        Ok(())
    }
}

/// How a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is in the file.
    pub written: Written,
    /// Events that the way to the file had no room for. They are missing in it, and it says so.
    pub dropped: u64,
    /// Whether it goes on.
    pub state: RecordingState,
}

/// Whether a recording goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingState {
    /// It does.
    Going,
    /// The file takes no more; ending the recording tells why.
    Failed,
}

/// A thread that brings chunks into a file.
#[derive(Debug)]
struct ChunkWriter {
    queue: SyncSender<Chunk>,
    thread: JoinHandle<Result<Written, RecordingError>>,
    shared: Arc<Shared>,
    dropped: u64,
    state: RecordingState,
}

#[derive(Debug, Default)]
struct Shared {
    events: AtomicU64,
    bytes: AtomicU64,
}

impl ChunkWriter {
    fn start(file: RecordingFile, ring: ChunkRing) -> Result<ChunkWriter, RecordingError> {
        let (queue, incoming) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("gilscope-writer".to_owned())
            .spawn(move || write_all(file, ring, &incoming, &theirs))
            .map_err(RecordingError::io("start a thread for"))?;
        Ok(ChunkWriter { queue, thread, shared, dropped: 0, state: RecordingState::Going })
    }

    /// Where there is no room the chunk is left out: the numbers of the events tell readers how many are missing,
    /// and they go on at the next keyframe.
    fn offer(&mut self, chunk: Chunk) {
        match self.queue.try_send(chunk) {
            Ok(()) => {}
            Err(TrySendError::Full(chunk)) => self.dropped += chunk.observed(),
            Err(TrySendError::Disconnected(_)) => self.state = RecordingState::Failed,
        }
    }

    /// As [`ChunkWriter::offer`], but waits for room.
    fn write_last(&mut self, chunk: Chunk) {
        if self.queue.send(chunk).is_err() {
            self.state = RecordingState::Failed;
        }
    }

    fn progress(&self) -> Progress {
        let (events, bytes) = (self.shared.events.load(Ordering::Relaxed), self.shared.bytes.load(Ordering::Relaxed));
        let state = if self.thread.is_finished() { RecordingState::Failed } else { self.state };
        Progress { written: Written { events, bytes }, dropped: self.dropped, state }
    }

    fn finish(self) -> Result<Outcome, RecordingError> {
        drop(self.queue);
        let written = self.thread.join().map_err(|_| RecordingError::WriterGone)??;
        Ok(Outcome { written, dropped: self.dropped })
    }
}

fn write_all(
    mut file: RecordingFile,
    ring: ChunkRing,
    incoming: &Receiver<Chunk>,
    shared: &Shared,
) -> Result<Written, RecordingError> {
    let mut events = 0;
    let mut write = |chunk: &Chunk| {
        file.append(chunk)?;
        events += chunk.observed();
        shared.events.store(events, Ordering::Relaxed);
        shared.bytes.store(file.written(), Ordering::Relaxed);
        Ok::<(), RecordingError>(())
    };
    ring.chunks().try_for_each(&mut write)?;
    drop(ring);
    incoming.iter().try_for_each(|chunk| write(&chunk))?;
    file.sync()?;
    Ok(Written { events, bytes: file.written() })
}
