//! Convoys, and holders that do not let go: figures.

use crate::event::{GilKey, ThreadKey};
use crate::time::{MonoNs, Ns};

/// An episode in which a thread waited again and again, after letting go of the GIL of its own will, until others were
/// forced to let go of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Convoy {
    /// For which GIL.
    pub gil: GilKey,
    /// Who waited.
    pub victim: ThreadKey,
    /// Who had the GIL for a switch interval or longer meanwhile, the longest first.
    pub culprits: Vec<ConvoyCulprit>,
    /// When its first wait began.
    pub start: MonoNs,
    /// When its last wait ended.
    pub end: MonoNs,
    /// Its waits.
    pub waits: u64,
    /// What they come to.
    pub lost: Ns,
    /// How many times as long everything took as it would have without waiting.
    pub slowdown: f64,
    /// The switch interval in force.
    pub switch_interval: Ns,
}

/// A thread that others waited for in a convoy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvoyCulprit {
    /// Which.
    pub thread: ThreadKey,
    /// Its part of the time waited, 0..=1.
    pub share: f64,
}

/// A thread that kept the GIL although others had waited for it far longer than a switch interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Which.
    pub holder: ThreadKey,
    /// Time beyond, with a request pending that it did not see.
    pub asked: Ns,
    /// Of all, asleep.
    pub asleep: Ns,
    /// Time beyond, with no request pending where it looks for one.
    pub unasked: Ns,
    /// The longest time that somebody waited under one hold of it.
    pub longest: Ns,
}
