//! Keys for what comes into view: numbered in order of appearance, never reused.

use crate::event::{FrameKey, GilKey, NativeKey, ProcessKey, StackKey, ThreadKey};

/// Hands out the keys of one capture.
#[derive(Debug, Default)]
pub struct Keys {
    processes: u32,
    threads: u32,
    gils: u32,
    natives: u32,
    frames: u32,
    stacks: u32,
}

impl Keys {
    /// A key for a process image.
    pub fn process(&mut self) -> ProcessKey {
        ProcessKey(next(&mut self.processes))
    }

    /// A key for a thread.
    pub fn thread(&mut self) -> ThreadKey {
        ThreadKey(next(&mut self.threads))
    }

    /// A key for a GIL.
    pub fn gil(&mut self) -> GilKey {
        GilKey(next(&mut self.gils))
    }

    /// A key for a piece of native code.
    pub fn native(&mut self) -> NativeKey {
        NativeKey(next(&mut self.natives))
    }

    /// A key for a frame.
    pub fn frame(&mut self) -> FrameKey {
        FrameKey(next(&mut self.frames))
    }

    /// A key for a stack.
    pub fn stack(&mut self) -> StackKey {
        StackKey(next(&mut self.stacks))
    }
}

fn next(counter: &mut u32) -> u32 {
    let key = *counter;
    *counter = counter.saturating_add(1);
    key
}
