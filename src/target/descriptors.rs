//! gilscope's own file descriptors, of which a target with thousands of threads can ask for more than there are.

#![expect(unsafe_code, reason = "getrlimit(2) and setrlimit(2) have no safe wrapper")]

use std::os::fd::AsRawFd;

/// Descriptors that are left for others: for terminals, recordings, and files that are opened for one read.
const RESERVE: u64 = 64;

/// What a descriptor is kept open for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// To save the time of opening it again. Half of all descriptors may be used for that.
    ForSpeed,
    /// There is no doing without it.
    ForLack,
}

/// Whether a file may stay open: the kernel gives out the lowest free number, so a number near the limit
/// (RLIMIT_NOFILE) says that little is left.
pub(crate) fn may_stay_open(file: &impl AsRawFd, why: Kept) -> bool {
    let Some(limit) = limit() else { return false };
    let most = match why {
        Kept::ForSpeed => limit.rlim_cur / 2,
        Kept::ForLack => limit.rlim_cur,
    };
    (file.as_raw_fd() as u64).saturating_add(RESERVE) < most.max(RESERVE)
}

/// Raises the soft limit on open files, which is low for the sake of programs that use select(2), to the hard one.
/// Programs that gilscope has started keep the limit that they began with. Where that is refused, the limit stays.
pub fn use_all() {
    let Some(limit) = limit().filter(|limit| limit.rlim_cur < limit.rlim_max) else { return };
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one rlimit, which `raised` is.
    let _refused = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
}

fn limit() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (status == 0).then_some(limit)
}
