//! Which cores a task may use.

#![expect(unsafe_code, reason = "sched_getaffinity(2) has no safe wrapper for masks of any length")]

use std::io;

use crate::event::{Cpu, MAX_CORES, Tid};

/// Words of a mask that is long enough for every kernel.
const WORDS: usize = MAX_CORES / 64;

/// The cores that a task may use and that are online, in order. A system call of less than a microsecond, which needs no
/// permission.
///
/// # Errors
/// If there is no such task.
pub fn cores_of(tid: Tid) -> io::Result<Vec<Cpu>> {
    let mut mask = [0_u64; WORDS];
    let pid = libc::pid_t::try_from(tid.0).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel writes at most as many bytes as it is told that the mask has.
    let written = unsafe { libc::syscall(libc::SYS_sched_getaffinity, pid, size_of_val(&mask), mask.as_mut_ptr()) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(in_mask(&mask))
}

fn in_mask(mask: &[u64]) -> Vec<Cpu> {
    let set = |(place, word): (usize, &u64)| {
        let word = *word;
        (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit)
    };
    mask.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(set).map(|cpu| Cpu(cpu as u16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_cores() {
        assert_eq!(in_mask(&[0b1011, 0, 1 << 63]), [0, 1, 3, 191].map(Cpu));
        assert_eq!(in_mask(&[0; 4]), []);
    }

    #[test]
    fn one_has_a_core_oneself() {
        let own = Tid(std::process::id());
        let cores = cores_of(own).unwrap();
        let listed = std::fs::read_to_string("/proc/self/status").unwrap();
        let list = listed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        let allowed = crate::target::cpus::listed(list);
        assert!(!cores.is_empty() && cores.iter().all(|core| allowed.contains(core)), "{cores:?} of {allowed:?}");
    }

    #[test]
    fn nobody_has_none() {
        assert!(cores_of(Tid(u32::MAX)).is_err());
    }
}
