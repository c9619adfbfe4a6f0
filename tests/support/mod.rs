//! What tests against real interpreters share. Nothing in here knows gilscope, but for `budget` and `windows`, which
//! read its recordings: it tells what really happens.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod budget;
pub mod child;
pub mod conds;
pub mod extension;
pub mod pythons;
pub mod ranks;
pub mod scenario;
pub mod truth;
#[path = "../truth/uprobe.rs"]
pub mod uprobe;
pub mod windows;
pub mod workloads;

/// Held by a test while it measures: two measurements on a few cores would measure each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed while it held this leaves nothing half done: its children went with it.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
