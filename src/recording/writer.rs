//! Events into a file.

use std::time::{Duration, Instant};

use super::encoder::{Cut, Encoder};
use super::error::RecordingError;
use super::file::RecordingFile;
use crate::event::Event;

/// Events that wait this long by the wall clock are flushed at the next [`Writer::tick`].
pub const FLUSH_AFTER: Duration = Duration::from_millis(700);

/// What a writer has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Events taken.
    pub events: u64,
    /// Bytes in the file.
    pub bytes: u64,
}

/// Encodes events into a file, and flushes at least once a second: by the events' own time, and by the wall clock.
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    file: RecordingFile,
    pending_since: Option<Instant>,
}

impl Writer {
    /// A writer into a file just made.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn new(file: RecordingFile) -> Result<Writer, RecordingError> {
        Ok(Writer { encoder: Encoder::new()?, file, pending_since: None })
    }

    /// Adds an event.
    ///
    /// # Errors
    /// As [`RecordingFile::append`]; what was flushed before is whole.
    pub fn push(&mut self, event: &Event) -> Result<(), RecordingError> {
        self.encoder.push(event)?;
        self.append()
    }

    /// To be called several times a second: flushes what has waited long enough, even where no more events come.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn tick(&mut self, now: Instant) -> Result<(), RecordingError> {
        if self.encoder.pending() == 0 {
            self.pending_since = None;
            return Ok(());
        }
        let since = *self.pending_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= FLUSH_AFTER { self.flush() } else { Ok(()) }
    }

    /// Flushes at once.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        self.pending_since = None;
        self.encoder.cut(Cut::Flush)?;
        self.append()
    }

    /// Ends the recording in order.
    ///
    /// # Errors
    /// As [`Writer::push`].
    pub fn finish(mut self) -> Result<Written, RecordingError> {
        self.encoder.cut(Cut::End)?;
        self.append()?;
        self.file.sync()?;
        Ok(self.written())
    }

    /// What was done so far.
    pub fn written(&self) -> Written {
        Written { events: self.encoder.position(), bytes: self.file.written() }
    }

    fn append(&mut self) -> Result<(), RecordingError> {
        for chunk in self.encoder.take_chunks() {
            self.pending_since = None;
            self.file.append(&chunk)?;
        }
        Ok(())
    }
}
