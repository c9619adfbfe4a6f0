#![doc = include_str!("FORMAT.md")]

mod compact;
mod dump;
mod encoder;
mod error;
mod events;
mod file;
pub mod format;
mod kinds;
mod past;
mod predict;
mod provenance;
mod queue;
mod reader;
mod replay;
mod ring;
mod standing;
mod wire;
mod writer;

pub use dump::dump;
pub use encoder::{CUT_AFTER, CUT_AT, Chunk, Cut, Encoder, KEYFRAME_AFTER};
pub use error::{RecordingError, Warning};
pub use events::{Events, Item, Resumed, Start};
pub use file::{Existing, RecordingFile};
pub use kinds::{Class, class};
pub use past::{KeptPast, Progress, RecordingState};
pub use predict::MAX_REMEMBERED;
pub use provenance::{MAX_NAMED, Provenance};
pub use queue::{DEFAULT_QUEUE, Offer, Outcome, Recorder};
pub use reader::{ChunkEntry, MAX_CHUNKS, Reader};
pub use replay::{Placed, Replay};
pub use ring::{ChunkRing, DEFAULT_RING, RingSource};
pub use wire::{MAX_LIST, MAX_LIST_BYTES, MAX_TEXT};
pub use writer::{FLUSH_AFTER, Writer, Written};
