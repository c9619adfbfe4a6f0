//! Keys for what comes into view: numbered in order of appearance, never reused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::event::{FrameKey, GilKey, NativeKey, ProcessKey, StackKey, ThreadKey};

/// Hands out the keys of one capture, also to several that look.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    processes: AtomicU32,
    threads: AtomicU32,
    gils: AtomicU32,
    natives: AtomicU32,
    frames: AtomicU32,
    stacks: AtomicU32,
}

impl Keys {
    /// A key for a process image.
    pub fn process(&self) -> ProcessKey {
        ProcessKey(next(&self.0.processes))
    }

    /// A key for a thread.
    pub fn thread(&self) -> ThreadKey {
        ThreadKey(next(&self.0.threads))
    }

    /// A key for a GIL.
    pub fn gil(&self) -> GilKey {
        GilKey(next(&self.0.gils))
    }

    /// A key for a piece of native code.
    pub fn native(&self) -> NativeKey {
        NativeKey(next(&self.0.natives))
    }

    /// A key for a frame.
    pub fn frame(&self) -> FrameKey {
        FrameKey(next(&self.0.frames))
    }

    /// A key for a stack.
    pub fn stack(&self) -> StackKey {
        StackKey(next(&self.0.stacks))
    }
}

fn next(counter: &AtomicU32) -> u32 {
    counter.fetch_add(1, Ordering::Relaxed)
}
