//! The target's memory, read from outside and never written.
//!
//! Two ways in: `process_vm_readv(2)` for the reads of every tick (several
//! ranges, one system call), and `/proc/PID/mem`, whose open file pins the
//! *address space* it was opened on. The second says what the first cannot:
//! whether the pid still runs the image that was attached to.

#![expect(unsafe_code, reason = "process_vm_readv(2) has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::pod::{self, Pod};

use crate::event::{Address, Pid};
use crate::target::error::ReadError;

/// Most ranges that one [`Memory::read_many`] takes.
pub const MAX_RANGES: usize = 16;

/// Another process's memory.
#[derive(Debug)]
pub struct Memory {
    pid: Pid,
    pinned: File,
}

/// What `/proc/PID/mem` says about the address space that was attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressSpace {
    /// It is still in use.
    Alive,
    /// Its last user exited or replaced it (`exec`).
    Dead,
}

impl Memory {
    /// Opens the memory of a process.
    ///
    /// # Errors
    /// As `open("/proc/PID/mem")`: `NotFound` without such a process, `PermissionDenied` where the
    /// kernel refuses `PTRACE_MODE_ATTACH`.
    pub fn open(pid: Pid) -> io::Result<Memory> {
        Ok(Memory { pid, pinned: File::open(format!("/proc/{}/mem", pid.0))? })
    }

    /// The same memory, for another thread.
    ///
    /// # Errors
    /// `EMFILE` without a file descriptor left.
    pub fn try_clone(&self) -> io::Result<Memory> {
        Ok(Memory { pid: self.pid, pinned: self.pinned.try_clone()? })
    }

    /// Whose memory it is.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Reads one range.
    ///
    /// # Errors
    /// [`ReadError::Fault`] unless all of it could be read; [`ReadError::Gone`] without the process.
    pub fn read(&self, address: Address, out: &mut [u8]) -> Result<(), ReadError> {
        self.read_many(&[(address, out.len())], out)
    }

    /// Reads several ranges, in the order given, with one system call, one behind the other into `out`.
    /// The call is not atomic: the target runs on meanwhile.
    ///
    /// # Errors
    /// [`ReadError::Fault`] with the first range that could not be read whole; [`ReadError::Gone`]
    /// without the process; [`ReadError::Inconsistent`] if `out` is not as long as the ranges are
    /// together or there are more than [`MAX_RANGES`].
    pub fn read_many(&self, ranges: &[(Address, usize)], out: &mut [u8]) -> Result<(), ReadError> {
        let mut remote = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MAX_RANGES];
        let mut total = 0usize;
        if ranges.len() > MAX_RANGES {
            return Err(ReadError::Inconsistent("too many ranges in one read"));
        }
        for (slot, &(address, length)) in remote.iter_mut().zip(ranges) {
            slot.iov_base = std::ptr::without_provenance_mut(address.0 as usize);
            slot.iov_len = length;
            total = total.saturating_add(length);
        }
        if total != out.len() {
            return Err(ReadError::Inconsistent("ranges and buffer differ in length"));
        }
        if total == 0 {
            return Ok(());
        }
        let local = libc::iovec { iov_base: out.as_mut_ptr().cast(), iov_len: total };
        // SAFETY: `local` describes `out`, exclusively borrowed and `total` bytes long; `remote` holds
        // `ranges.len()` entries, whose addresses mean the other process and are never followed here.
        let got = unsafe {
            libc::process_vm_readv(self.pid.0 as libc::pid_t, &local, 1, remote.as_ptr(), ranges.len() as u64, 0)
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::ESRCH) => ReadError::Gone,
                Some(libc::EPERM) => ReadError::NotPermitted,
                Some(libc::EFAULT) => ReadError::Fault { address: ranges.first().map_or(Address(0), |range| range.0) },
                _ => ReadError::Io(error),
            });
        }
        let mut got = got as usize;
        for &(address, length) in ranges {
            if got < length {
                return Err(ReadError::Fault { address });
            }
            got -= length;
        }
        Ok(())
    }

    /// Reads a plain value as it lies in memory.
    pub(crate) fn read_pod<T: Pod + Default>(&self, address: Address) -> Result<T, ReadError> {
        let mut value = T::default();
        self.read(address, pod::bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// Reads a C `unsigned int`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn read_u32(&self, address: Address) -> Result<u32, ReadError> {
        self.read_pod(address)
    }

    /// Reads a C `unsigned long`.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn read_u64(&self, address: Address) -> Result<u64, ReadError> {
        self.read_pod(address)
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn read_ptr(&self, address: Address) -> Result<Address, ReadError> {
        self.read_u64(address).map(Address)
    }

    /// Whether the address space that was opened is still in use. `witness` is a mapped address.
    /// A read of a dead one returns no bytes (`mem_rw` in the kernel's fs/proc/base.c).
    pub(crate) fn address_space(&self, witness: Address) -> AddressSpace {
        let mut byte = [0u8];
        match self.pinned.read_at(&mut byte, witness.0) {
            Ok(1..) => AddressSpace::Alive,
            _ => AddressSpace::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Memory {
        Memory::open(Pid(std::process::id())).unwrap()
    }

    fn address<T>(of: &T) -> Address {
        Address(std::ptr::from_ref(of).addr() as u64)
    }

    #[test]
    fn several_ranges_come_with_one_read() {
        let (a, b) = (0x1122_3344_5566_7788u64, 7u32);
        let mut out = [0u8; 14];
        own().read_many(&[(address(&b), 4), (address(&a), 8), (address(&b), 2)], &mut out).unwrap();
        assert_eq!(out[..4], 7u32.to_ne_bytes());
        assert_eq!(out[4..12], a.to_ne_bytes());
        assert_eq!(out[12..], 7u16.to_ne_bytes());
        assert_eq!(own().read_u64(address(&a)).unwrap(), a);
    }

    #[test]
    fn what_is_not_mapped_is_named() {
        let a = 1u64;
        let mut out = [0u8; 16];
        let error = own().read_many(&[(address(&a), 8), (Address(16), 8)], &mut out).unwrap_err();
        assert!(matches!(error, ReadError::Fault { address: Address(16) }), "{error:?}");
        let error = own().read(Address(u64::MAX - 3), &mut out).unwrap_err();
        assert!(matches!(error, ReadError::Fault { .. }), "{error:?}");
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        let a = 1u64;
        assert!(own().read_many(&[(address(&a), 8)], &mut [0u8; 4]).is_err());
        assert!(own().read_many(&[(address(&a), 0); MAX_RANGES + 1], &mut []).is_err());
        assert!(own().read_many(&[], &mut []).is_ok());
    }

    #[test]
    fn an_address_space_dies_with_its_last_user() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let memory = Memory::open(Pid(child.id())).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
        let start = u64::from_str_radix(maps.split('-').next().unwrap(), 16).unwrap();
        assert_eq!(memory.address_space(Address(start)), AddressSpace::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(memory.address_space(Address(start)), AddressSpace::Dead);
        assert!(matches!(memory.read_u32(Address(start)), Err(ReadError::Gone)));
    }
}
