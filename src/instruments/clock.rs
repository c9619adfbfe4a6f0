//! `CLOCK_MONOTONIC`, and waiting until an instant on it.
#![expect(unsafe_code, reason = "clocks and scheduling are the kernel's")]

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

/// Whether the calling thread, which had used `cpu` at an instant, has been without a core for longer than `limit` since.
pub fn was_kept_off(since: MonoNs, cpu: Ns, limit: Ns) -> bool {
    let length = now().since(since);
    length > limit && length.saturating_sub(thread_cpu().saturating_sub(cpu)) > limit
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

/// Asks the kernel to run the calling thread on time: a look that waits for a core sees the target only at the moments
/// when a core is let go.
///
/// Three requests, each of which may be refused without harm: no timer slack, whose default of 50 us is as long as the
/// shortest sampling intervals; a short slice, with which an EEVDF scheduler lets a thread that wakes go first (Linux
/// 6.12, `sched_setattr(2)`; older kernels ignore it); and, where this user may and has not made gilscope
/// nice, a nice value that does the same. Threads that the caller starts do not inherit the last two.
pub fn punctual() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory.
    let _refused = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000) };
    // SAFETY: getpriority takes integers only; 0 means the calling thread. An error reads as -1, which is harmless.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let eager = if nice > 0 { nice } else { nice.min(EAGER) };
    let _granted = schedule_as(eager) || schedule_as(nice);
}

/// The core that the calling thread is on.
pub fn current_core() -> Option<usize> {
    // SAFETY: sched_getcpu takes nothing and touches no memory.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Keeps the calling thread on one core, if that is permitted.
pub fn stay_on(core: usize) {
    let mut cores = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    if core >= 8 * size_of::<libc::cpu_set_t>() {
        return;
    }
    // SAFETY: a set of zeroes is an empty one, and the core was checked to be within it.
    unsafe { libc::CPU_SET(core, cores.assume_init_mut()) };
    // SAFETY: the kernel reads as many bytes as the set has; 0 means the calling thread.
    let _refused = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), cores.as_ptr()) };
}

fn schedule_as(nice: i32) -> bool {
    let attributes = SchedulingAttributes {
        size: size_of::<SchedulingAttributes>() as u32,
        policy: libc::SCHED_OTHER as u32,
        flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
        nice,
        priority: 0,
        runtime: SLICE.0,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes from the pointer, and those are the struct's; 0 means the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
}

/// Nice value asked for: eager, but not the most eager of the machine.
const EAGER: i32 = -15;
/// Slice asked for: the shortest that the kernel takes, and twice what a look takes.
const SLICE: Ns = Ns(100_000);

/// `struct sched_attr` of linux/sched/types.h, in its first version (48 bytes).
#[repr(C)]
struct SchedulingAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
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

    #[test]
    fn being_punctual_is_for_one_thread_only() {
        let nice_of_a_new_thread = || {
            let told = std::thread::spawn(|| std::fs::read_to_string("/proc/thread-self/stat")).join();
            told.ok().and_then(Result::ok).and_then(|stat| stat.rsplit(") ").next()?.split(' ').nth(16)?.parse().ok())
        };
        let before: Option<i32> = nice_of_a_new_thread();
        assert!(before.is_some());
        let after = std::thread::spawn(move || {
            punctual();
            nice_of_a_new_thread()
        });
        assert_eq!(after.join().ok().flatten(), before);
    }
}
