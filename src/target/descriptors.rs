//! gilscope's own file descriptors, of which a target with thousands of threads can ask for more than there are.

#![expect(unsafe_code, reason = "getrlimit(2) has no safe wrapper")]

use std::fs::File;
use std::os::fd::AsRawFd;

/// Descriptors that are left for others: for terminals, recordings, and files that are opened for one read.
const RESERVE: u64 = 64;

/// Whether a file may stay open: the kernel gives out the lowest free number, so a number near the limit
/// (RLIMIT_NOFILE) says that little is left.
pub(crate) fn may_stay_open(file: &File) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    status == 0 && (file.as_raw_fd() as u64).saturating_add(RESERVE) < limit.rlim_cur
}
