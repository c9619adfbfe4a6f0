//! How threads are called in the text report.

use crate::event::ThreadKey;
use crate::model::snapshot::ProcessFigures;
use crate::report::paint;

/// Columns that a thread's name may take.
pub(super) const NAME: usize = 24;

/// A thread's name, or its number where it has none; safe to print.
pub(super) fn thread_name(process: &ProcessFigures, thread: ThreadKey) -> String {
    match process.thread(thread) {
        Some(thread) if !thread.name.is_empty() => paint::foreign(&thread.name, NAME),
        _ => format!("thread {}", thread.0),
    }
}
