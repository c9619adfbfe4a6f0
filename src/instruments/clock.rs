//! `CLOCK_MONOTONIC`, and waiting until an instant on it.
#![expect(unsafe_code, reason = "clock_gettime, clock_nanosleep and prctl are the kernel's")]

use crate::time::{MonoNs, Ns};

pub use crate::target::clock::monotonic_now as now;

/// The present wall-clock time in nanoseconds since 1970.
pub fn unix_now() -> u64 {
    read(libc::CLOCK_REALTIME).0
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Ns {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that the whole of gilscope has used.
pub fn process_cpu() -> Ns {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Ns {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill; the clocks asked for always exist on Linux.
    let failed = unsafe { libc::clock_gettime(clock, &mut time) };
    debug_assert_eq!(failed, 0);
    Ns((time.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64))
}

/// Sleeps until `until`; returns early only if a signal handler ran.
pub fn sleep_until(until: MonoNs) {
    let time = libc::timespec {
        tv_sec: (until.0 / 1_000_000_000) as libc::time_t,
        tv_nsec: (until.0 % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: `time` is a valid timespec; with TIMER_ABSTIME the remainder pointer is unused and may be null.
    let _interrupted =
        unsafe { libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &time, std::ptr::null_mut()) };
}

/// Asks the kernel to wake the calling thread on time: the default timer slack of 50 us is as long as the shortest
/// sampling intervals.
pub fn punctual() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory.
    let _refused = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_until_an_instant_does_not_return_before_it() {
        let until = now() + Ns::from_millis(2);
        sleep_until(until);
        assert!(now() >= until);
    }
}
