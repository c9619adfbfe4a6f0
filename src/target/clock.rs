//! The clocks that the kernel stamps processes with.

#![expect(unsafe_code, reason = "clock_gettime(2) is how a given clock is read")]

use crate::time::{MonoNs, Ns};

/// Now, on the clock of every [`MonoNs`].
pub fn monotonic_now() -> MonoNs {
    MonoNs(read(libc::CLOCK_MONOTONIC))
}

/// Time that the machine has been suspended: `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`, to the millisecond,
/// so that it is the same figure at every call.
pub(crate) fn suspended() -> Ns {
    let monotonic = read(libc::CLOCK_MONOTONIC);
    let boottime = read(libc::CLOCK_BOOTTIME);
    Ns::from_millis(boottime.saturating_sub(monotonic) / 1_000_000)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the answer.
    let status = unsafe { libc::clock_gettime(clock, &mut now) };
    // Cannot fail for these clocks (Linux 2.6.39); if it did, zero is a time before everything.
    if status != 0 {
        return 0;
    }
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let before = monotonic_now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(monotonic_now().since(before) >= Ns::from_millis(2));
    }
}
