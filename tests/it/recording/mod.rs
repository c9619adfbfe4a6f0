//! Recordings: whatever happens to them, what was flushed is read again.

mod commands;
mod cores;
mod damage;
mod files;
mod fold;
mod format;
mod golden;
mod hostile;
mod killed;
mod memory;
mod natives;
mod processes;
mod queue;
mod ring;
mod roundtrip;
mod signals;
mod stacks;
mod stream;
pub mod tools;
