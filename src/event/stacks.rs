//! What a thread executes, as far as it was looked at.
//!
//! **Definitions.** A [`Frame`] is a line of a function, a stack is a list of frames, the innermost first. Both are told
//! once, before their first use, and mean the same to the end of the capture.
//!
//! **Samples.** [`What::StackSampled`](super::What::StackSampled) says what the holder of a GIL executed at an instant.
//! Those [at random](SampleCause::Random) are for shares: each stands for the time between two of them. The others only
//! name what a thread does. [`What::WaiterSampled`](super::What::WaiterSampled) is the same of a thread that waits.

use serde::{Deserialize, Serialize};

use crate::time::Ns;

/// Most frames of a stack: the innermost ones.
pub const MAX_FRAMES: usize = 128;

/// A frame in this capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameKey(pub u32);

/// A stack in this capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackKey(pub u32);

/// A line of a Python function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The file, as the target has it, at most [`MAX_NAME`](super::MAX_NAME) bytes.
    pub file: String,
    /// The function, qualified where CPython says so (3.11 and later), at most as long.
    pub function: String,
    /// The line; 0: not known.
    pub line: u32,
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Why a stack was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SampleCause {
    /// The instant was drawn at random, and somebody waited.
    Random {
        /// Mean time between two such instants when it was drawn: what the sample stands for.
        every: Ns,
    },
    /// The thread had held the GIL for long.
    LongHold,
}

/// Why there are no stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StacksMissing {
    /// They were not asked for.
    NotAsked,
    /// This interpreter's frames are laid out in no way that is known.
    UnknownLayout,
    /// Its memory cannot be read, or it has no GIL that anybody waits for.
    Unreadable,
}
