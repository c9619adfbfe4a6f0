//! sched_getaffinity(2) and sched_setaffinity(2).
#![expect(unsafe_code, reason = "the masks are handed to the kernel by address")]

use std::io;
use std::mem::size_of_val;

use crate::affinity::set::{CpuSet, LARGEST};
use crate::event::Tid;

const WORDS: usize = (LARGEST as usize + 1) / 64;

/// A set of cores as the kernel takes it; to be made before a fork, so that a child needs no memory to use it.
#[derive(Debug, Clone)]
pub struct Mask([u64; WORDS]);

impl Mask {
    /// The mask of a set.
    pub fn of(set: &CpuSet) -> Mask {
        let mut words = [0; WORDS];
        for cpu in set.cpus() {
            if let Some(word) = words.get_mut(usize::from(*cpu) / 64) {
                *word |= 1 << (cpu % 64);
            }
        }
        Mask(words)
    }

    /// Has the calling thread run on these cores only; does nothing but one system call.
    ///
    /// # Errors
    /// The kernel's: none of them is there, or may be used.
    pub fn apply_here(&self) -> io::Result<()> {
        self.apply(0)
    }

    fn apply(&self, tid: libc::pid_t) -> io::Result<()> {
        // SAFETY: the kernel reads `size_of_val` bytes from the words, which live until it has returned.
        let answer = unsafe { libc::sched_setaffinity(tid, size_of_val(&self.0), self.0.as_ptr().cast()) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn pid_t(tid: Tid) -> io::Result<libc::pid_t> {
    libc::pid_t::try_from(tid.0).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))
}

/// The cores that a task may run on.
///
/// # Errors
/// The kernel's: there is no such task.
pub fn of(tid: Tid) -> io::Result<CpuSet> {
    let mut words = [0u64; WORDS];
    // SAFETY: the kernel writes at most `size_of_val` bytes to the words.
    let answer = unsafe { libc::sched_getaffinity(pid_t(tid)?, size_of_val(&words), words.as_mut_ptr().cast()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    let cpus =
        (0..=LARGEST).filter(|cpu| words.get(usize::from(*cpu) / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1));
    CpuSet::of(cpus).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Has a task run on these cores only.
///
/// # Errors
/// The kernel's: there is no such task, it is another user's, or none of the cores may be used.
pub fn set(tid: Tid, cpus: &CpuSet) -> io::Result<()> {
    Mask::of(cpus).apply(pid_t(tid)?)
}
