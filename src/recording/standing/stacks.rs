//! Which frames and stacks are defined.

use std::collections::HashSet;

use super::Stamped;
use crate::event::{FrameKey, ProcessKey, StackKey, What};

/// Most bytes of definitions that are kept: a keyframe has to hold them all.
const MAX_BYTES: usize = 4 << 20;
/// What a definition takes beside its texts and lists.
const OVERHEAD: usize = 16;
/// What a frame takes in a list.
const LISTED: usize = 3;
/// Most processes without stacks.
const MAX_MISSING: usize = 1024;

/// The definitions told so far, and who has none.
#[derive(Debug, Default)]
pub(super) struct StacksStanding {
    defined: Vec<Stamped>,
    frames: HashSet<FrameKey>,
    stacks: HashSet<StackKey>,
    bytes: usize,
    missing: Vec<(ProcessKey, Stamped)>,
}

impl StacksStanding {
    /// Takes note of an event about stacks.
    pub(super) fn observe(&mut self, stamped: Stamped) {
        let (bytes, is_new) = match &stamped.event.what {
            What::FrameFound { frame, info } => {
                (OVERHEAD + info.file.len() + info.function.len(), !self.frames.contains(frame))
            }
            What::StackFound { stack, frames } => (OVERHEAD + LISTED * frames.len(), !self.stacks.contains(stack)),
            What::StacksMissing { process, .. } => {
                let process = *process;
                self.missing.retain(|(other, _)| *other != process);
                if self.missing.len() < MAX_MISSING {
                    self.missing.push((process, stamped));
                }
                return;
            }
            _ => return,
        };
        if !is_new || self.bytes.saturating_add(bytes) > MAX_BYTES {
            return;
        }
        self.bytes += bytes;
        match &stamped.event.what {
            What::FrameFound { frame, .. } => drop(self.frames.insert(*frame)),
            What::StackFound { stack, .. } => drop(self.stacks.insert(*stack)),
            _ => {}
        }
        self.defined.push(stamped);
    }

    /// The process is gone.
    pub(super) fn process_ended(&mut self, process: ProcessKey) {
        self.missing.retain(|(other, _)| *other != process);
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Stamped> {
        self.defined.iter().chain(self.missing.iter().map(|(_, stamped)| stamped))
    }
}
