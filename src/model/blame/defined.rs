//! The frames and stacks that were defined.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Frame, FrameKey, MAX_FRAMES, MAX_NAME, StackKey};

/// Frames, and stacks, that a capture may define; more is a damaged recording.
const MOST: usize = 1 << 16;

/// A stack: its frames, the innermost first.
pub type Stack = Arc<[Arc<Frame>]>;

/// What the keys of frames and stacks mean.
#[derive(Debug, Clone, Default)]
pub struct Defined {
    frames: BTreeMap<FrameKey, Arc<Frame>>,
    stacks: BTreeMap<StackKey, Stack>,
}

impl Defined {
    /// Defines a frame. A key that is defined keeps its meaning.
    pub fn frame(&mut self, key: FrameKey, frame: &Frame) {
        if self.frames.len() < MOST {
            let bounded =
                |text: &str| text.char_indices().take_while(|(at, _)| *at < MAX_NAME).map(|(_, c)| c).collect();
            let frame = || Frame { file: bounded(&frame.file), function: bounded(&frame.function), line: frame.line };
            self.frames.entry(key).or_insert_with(|| Arc::new(frame()));
        }
    }

    /// Defines a stack of frames that are defined.
    pub fn stack(&mut self, key: StackKey, frames: &[FrameKey]) {
        if self.stacks.len() < MOST && !self.stacks.contains_key(&key) {
            let frames = frames.iter().take(MAX_FRAMES).filter_map(|frame| self.frames.get(frame).cloned());
            self.stacks.insert(key, frames.collect());
        }
    }

    /// A stack's frames, if it is defined.
    pub fn get(&self, key: StackKey) -> Option<&Stack> {
        self.stacks.get(&key)
    }
}
