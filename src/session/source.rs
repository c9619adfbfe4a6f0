//! Where a session's events come from, and where they can be had again.

use std::time::Duration;

use crate::event::Event;
use crate::session::{RecordingStatus, Span};

/// Events as they happen.
pub trait Feed: Send {
    /// The next batch, if there is one within `limit`.
    fn next_within(&mut self, limit: Duration) -> Fed;
    /// Asks the instruments to end in order; the rest of their events still comes.
    fn stop(&mut self);
}

/// What a [`Feed`] had.
#[derive(Debug, Clone, PartialEq)]
pub enum Fed {
    /// Events.
    Events(Vec<Event>),
    /// None in time.
    Nothing,
    /// None any more, ever.
    Over,
}

/// An event with its place in the capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// The event.
    pub event: Event,
    /// Number of events of the capture up to and including it.
    pub position: u64,
}

/// Events in order, owned: it goes on while the archive is added to, but need not see what is added.
pub type Events = Box<dyn Iterator<Item = Numbered> + Send>;

/// Events of the past that can be had again.
pub trait Archive: Send {
    /// The time it covers; `None` while it is empty.
    fn span(&self) -> Option<Span>;

    /// Its events from the one after the first `position` on, in order; from 0: all there are, after what restates
    /// the state at its beginning.
    fn events_from(&mut self, position: u64) -> Events;

    /// What is wrong with it, in words.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a live session keeps of its past.
pub trait Past: Archive {
    /// Keeps these too, and writes them down if it records. The oldest may go for it.
    fn keep(&mut self, events: &[Event]);

    /// Begins to record, from the oldest event that is kept.
    ///
    /// # Errors
    /// Why not, in words, with what to type next.
    fn record(&mut self) -> Result<(), String>;

    /// Closes the recording in order.
    ///
    /// # Errors
    /// What may be missing in it.
    fn end_recording(&mut self) -> Result<(), String>;

    /// The recording in progress.
    fn recording(&self) -> Option<RecordingStatus>;
}
