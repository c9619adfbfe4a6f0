//! What tests against real interpreters share. Nothing in here knows gilscope: it tells what really happens.

pub mod child;
pub mod extension;
pub mod pythons;
pub mod scenario;
pub mod truth;

/// Keeps the tests of a binary that measure a process apart: two on the same cores would measure each other.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
