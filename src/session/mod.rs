//! One engine for live and replay behind the dashboard.
//!
//! Events come in, from a capture or from a recording; [`Frame`]s go out, the
//! latest wins; [`Command`]s change what is shown of the time line. Who looks at
//! frames cannot tell live from replay, except by [`Capabilities`].
//!
//! Pausing freezes what is shown, never the capture: events are folded and
//! recorded meanwhile, and what is past can be looked at as long as it is kept.

mod archive;
mod checkpoints;
mod engine;
mod fold;
mod recent;
mod reel;
mod source;
mod thread;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::snapshot::Snapshot;
use crate::time::{MonoNs, Ns};

pub use archive::{Kept, Naming, Recorded};
pub use checkpoints::{CHECKPOINTS_KEPT, Checkpoints};
pub use engine::{Busy, Engine, Turn};
pub use fold::Fold;
pub use recent::{LONGEST_WINDOW, Lately, Recent, TALLY_EVERY, Tallies};
pub use source::{Archive, Events, Fed, Feed, Numbered, Past};
pub use thread::Session;

/// What is to be shown: immutable, shared, replaced by the next one.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Counts frames; a frame with the same number shows the same.
    pub number: u64,
    /// What is known at the position shown.
    pub snapshot: Arc<Snapshot>,
    /// The last second before that position.
    pub second: Arc<Recent>,
    /// The last ten seconds before that position.
    pub ten: Arc<Recent>,
    /// What each thread did in the last seconds before that position.
    pub lately: Lately,
    /// How the session stands.
    pub status: Status,
    /// What it is to be compared with, if that was asked for and is there.
    pub baseline: Option<Arc<Baseline>>,
}

/// What was known at another instant.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// The instant that was asked for.
    pub at: MonoNs,
    /// What was known at it.
    pub snapshot: Arc<Snapshot>,
}

/// How a session stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it does.
    pub play: Play,
    /// The time shown.
    pub position: MonoNs,
    /// The time that can be shown.
    pub range: Span,
    /// Speed of replay, as a factor of real time.
    pub speed: f64,
    /// A position that is being worked towards, and how far that is, 0..=1.
    pub seeking: Option<(MonoNs, f64)>,
    /// The recording that is being written.
    pub recording: Option<RecordingStatus>,
    /// Where marks were set, oldest first.
    pub marks: Vec<Mark>,
    /// What the user should know, newest last; safe to show only after sanitising.
    pub warnings: Vec<String>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Shows what happens now.
    Live,
    /// Shows the past at some speed.
    Replaying,
    /// Shows one instant.
    Paused,
    /// Shows the last instant there will ever be.
    Ended,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its start.
    pub from: MonoNs,
    /// Its end.
    pub to: MonoNs,
}

impl Span {
    /// The point in the span that is nearest to `at`.
    pub fn clamp(self, at: MonoNs) -> MonoNs {
        at.max(self.from).min(self.to.max(self.from))
    }
}

/// A point in time that the user wants to find again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: MonoNs,
}

/// A recording that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingStatus {
    /// Where.
    pub path: PathBuf,
    /// Bytes written.
    pub bytes: u64,
    /// Since when.
    pub since: MonoNs,
}

/// What a session may do. A view offers an action only if its session can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Where its events come from.
    pub origin: Origin,
    /// Whether the past can be looked at.
    pub past: Ability,
    /// Whether a recording can be made.
    pub recording: Ability,
}

/// Where a session's events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From instruments, as it happens.
    Live,
    /// From a recording.
    Recording,
}

/// Whether a session can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// It can.
    Can,
    /// It cannot.
    Cannot,
}

/// What a session is asked to do. What it cannot do it ignores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Show this instant until further notice.
    Pause,
    /// Go on: live goes back to now, replay plays on from where it is.
    Resume,
    /// Show the instant `at`.
    SeekTo(MonoNs),
    /// Move by this many ticks of the sampler, backwards if negative.
    Step(i32),
    /// Move by a length of time.
    Move(Shift),
    /// Replay at this multiple of real time; clamped to 1/64 to 64.
    Speed(f64),
    /// Set a mark at the instant shown.
    Mark,
    /// Hand out what was known at that instant beside what is shown; nothing more with `None`.
    CompareWith(Option<MonoNs>),
    /// Begin to record, from the oldest instant that is still kept.
    RecordStart,
    /// Close the recording.
    RecordStop,
    /// End the capture in order.
    Stop,
}

/// A move in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// Towards the past.
    Back(Ns),
    /// Towards the present.
    Ahead(Ns),
}

/// What a dashboard needs of a session.
pub trait Watch {
    /// The newest frame.
    fn latest(&self) -> Arc<Frame>;
    /// Asks for something; it shows in a later frame.
    fn send(&self, command: Command);
    /// What may be asked for.
    fn capabilities(&self) -> Capabilities;
}
