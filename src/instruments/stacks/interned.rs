//! Frames and stacks that were told of.

use std::collections::HashMap;

use crate::event::{Frame, FrameKey, StackKey, What};
use crate::instruments::keys::Keys;
use crate::instruments::merge::Merge;
use crate::time::MonoNs;

/// Most frames, and most stacks, that are told of.
const MOST: usize = 65_536;
/// Most bytes of definitions: every keyframe of a recording restates them.
const MAX_BYTES: usize = 3 << 20;

/// Who is known under which key.
#[derive(Debug, Default)]
pub(super) struct Interned {
    frames: HashMap<Frame, FrameKey>,
    stacks: HashMap<Vec<FrameKey>, StackKey>,
    bytes: usize,
}

impl Interned {
    /// The key of a stack, told of before if it is new; `None`: there are too many.
    pub(super) fn stack(
        &mut self,
        frames: Vec<Frame>,
        at: MonoNs,
        keys: &mut Keys,
        merge: &mut Merge,
    ) -> Option<StackKey> {
        let mut list = Vec::with_capacity(frames.len());
        for frame in frames {
            let key = match self.frames.get(&frame) {
                Some(key) => *key,
                None => {
                    self.grow(frame.file.len() + frame.function.len(), self.frames.len())?;
                    let key = keys.frame();
                    merge.push(at, What::FrameFound { frame: key, info: Box::new(frame.clone()) });
                    self.frames.insert(frame, key);
                    key
                }
            };
            list.push(key);
        }
        if let Some(key) = self.stacks.get(&list) {
            return Some(*key);
        }
        self.grow(3 * list.len(), self.stacks.len())?;
        let key = keys.stack();
        merge.push(at, What::StackFound { stack: key, frames: list.clone() });
        self.stacks.insert(list, key);
        Some(key)
    }

    fn grow(&mut self, bytes: usize, known: usize) -> Option<()> {
        let bytes = self.bytes + bytes + 16;
        if known >= MOST || bytes > MAX_BYTES {
            return None;
        }
        self.bytes = bytes;
        Some(())
    }
}
