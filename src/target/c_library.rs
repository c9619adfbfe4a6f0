//! Which C library the target runs on, and where that keeps a thread's task id.

use crate::event::Address;
use crate::target::elf::{self, Module, SegmentAccess};
use crate::target::error::ReadError;
use crate::target::layout::Machine;
use crate::target::memory::Memory;

/// Most of the C library that is searched for its banner.
const MAX_SCAN: u64 = 8 << 20;

/// The target's C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Libc {
    pub kind: LibcKind,
    /// The 36 in `glibc 2.36`.
    pub minor: Option<u16>,
    /// Where the `pid_t` lies behind a `pthread_t`.
    pub tid_offset: u64,
}

/// Its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LibcKind {
    Glibc,
    Musl,
    Unknown,
}

impl std::fmt::Display for Libc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.minor) {
            (LibcKind::Glibc, Some(minor)) => write!(f, "glibc 2.{minor}"),
            (LibcKind::Glibc, None) => f.write_str("glibc"),
            (LibcKind::Musl, _) => f.write_str("musl"),
            (LibcKind::Unknown, _) => f.write_str("unknown"),
        }
    }
}

/// Finds the C library among the modules.
pub(crate) fn detect(memory: &Memory, modules: &[Module]) -> Result<Libc, ReadError> {
    if let Some((module, _)) = elf::find(memory, modules, "gnu_get_libc_version")? {
        return Ok(Libc {
            kind: LibcKind::Glibc,
            minor: glibc_minor(memory, module)?,
            tid_offset: published_tid_offset(memory, modules)?.unwrap_or(match Machine::HERE {
                Machine::X86_64 => 720,
                Machine::Aarch64 => 208,
            }),
        });
    }
    let musl = modules.iter().any(|it| it.name.starts_with("ld-musl-") || it.name.starts_with("libc.musl-"));
    // `struct pthread` in musl's src/internal/pthread_impl.h.
    let tid_offset = match Machine::HERE {
        Machine::X86_64 => 48,
        Machine::Aarch64 => 32,
    };
    Ok(Libc { kind: if musl { LibcKind::Musl } else { LibcKind::Unknown }, minor: None, tid_offset })
}

/// What glibc publishes for debuggers (nptl_db/structs.def): bits, count, offset.
fn published_tid_offset(memory: &Memory, modules: &[Module]) -> Result<Option<u64>, ReadError> {
    let Some((_, symbol)) = elf::find(memory, modules, "_thread_db_pthread_tid")? else { return Ok(None) };
    let mut words = [0u32; 3];
    memory.read(symbol.address, object::pod::bytes_of_slice_mut(&mut words))?;
    Ok(match words {
        [32, 1, offset @ 4..4096] => Some(u64::from(offset)),
        _ => None,
    })
}

/// The version in glibc's banner, which lies among its constants.
fn glibc_minor(memory: &Memory, module: &Module) -> Result<Option<u16>, ReadError> {
    // Older linkers put constants into the code segment.
    for access in [SegmentAccess::ReadOnly, SegmentAccess::Code] {
        for segment in module.segments().iter().filter(|it| it.access == access) {
            let mut bytes = vec![0u8; segment.length.min(MAX_SCAN) as usize];
            match memory.read(segment.start, &mut bytes) {
                Ok(()) => {
                    if let Some(minor) = minor_in_banner(&bytes) {
                        return Ok(Some(minor));
                    }
                }
                Err(ReadError::Fault { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

/// `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
fn minor_in_banner(bytes: &[u8]) -> Option<u16> {
    const BANNER: &[u8] = b"GNU C Library (";
    const VERSION: &[u8] = b"release version 2.";
    let at = bytes.windows(BANNER.len()).position(|it| it == BANNER)?;
    let banner = bytes.get(at..bytes.len().min(at + 256))?;
    let at = banner.windows(VERSION.len()).position(|it| it == VERSION)? + VERSION.len();
    let digits: String =
        banner.get(at..)?.iter().take_while(|it| it.is_ascii_digit()).take(4).map(|it| char::from(*it)).collect();
    digits.parse().ok()
}

/// Where the kernel's id of a thread lies.
pub(crate) fn tid_address(pthread: Address, libc: &Libc) -> Address {
    Address(pthread.0.wrapping_add(libc.tid_offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners() {
        let debian = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u13) stable release version 2.36.\nCopyright";
        assert_eq!(minor_in_banner(debian), Some(36));
        assert_eq!(minor_in_banner(b"GNU C Library (GNU libc) release release version 2.43."), Some(43));
        assert_eq!(minor_in_banner(b"GNU C Library (GNU libc) release release version 3.1."), None);
        assert_eq!(minor_in_banner(b"GNU C Library ("), None);
        assert_eq!(minor_in_banner(b""), None);
    }
}
