//! A ring for the switches of one thread of many.

use super::{Ring, switch_records};
use crate::event::Tid;
use crate::target::descriptors::{self, Kept};

/// Why there is no ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfollowed {
    /// The task has ended.
    Gone,
    /// The limit on open files is reached.
    Descriptors,
    /// The limits on memory that is locked for rings are reached.
    LockedMemory,
    /// It is refused for another reason.
    Refused,
}

impl Unfollowed {
    /// Whether it is for want of something that a ring which is given up gives back.
    pub fn is_of_want(self) -> bool {
        matches!(self, Unfollowed::Descriptors | Unfollowed::LockedMemory)
    }
}

/// A ring of `pages` pages (a power of two) with a record of each switch of a task. The last file descriptors are left to
/// others.
///
/// # Errors
/// With the reason.
pub fn follow(tid: Tid, pages: usize) -> Result<Ring, Unfollowed> {
    let event = switch_records(tid).map_err(|error| match error.raw_os_error() {
        Some(libc::ESRCH) => Unfollowed::Gone,
        Some(libc::EMFILE | libc::ENFILE) => Unfollowed::Descriptors,
        _ => Unfollowed::Refused,
    })?;
    if !descriptors::may_stay_open(&event, Kept::ForLack) {
        return Err(Unfollowed::Descriptors);
    }
    Ring::map(event, pages).map_err(|error| match error.raw_os_error() {
        // Not ENOMEM, as one might expect.
        Some(libc::EPERM) => Unfollowed::LockedMemory,
        _ => Unfollowed::Refused,
    })
}
