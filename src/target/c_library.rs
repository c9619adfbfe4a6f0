//! Which C library the target runs on, and where that keeps a thread's task id.

use crate::event::Address;
use crate::target::elf::{self, Module, SegmentAccess};
use crate::target::error::ReadError;
use crate::target::layout::Machine;
use crate::target::memory::Memory;

/// Most of a module that is searched for what tells its C library.
const MAX_SCAN: u64 = 8 << 20;
/// Of `tid` in musl's `struct pthread` (src/internal/pthread_impl.h).
const MUSL_TID_OFFSET: u64 = match Machine::HERE {
    Machine::X86_64 => 48,
    Machine::Aarch64 => 32,
};
/// What every program with musl's `strerror` holds (src/errno/__strerror.h); glibc says "Success".
const OF_MUSL: &[u8] = b"No error information\0";
/// What every program with glibc's `malloc` holds, also a static one: the names of its tunables, since 2.26.
const OF_GLIBC: &[u8] = b"glibc.malloc.";

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
}

impl std::fmt::Display for Libc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind, self.minor) {
            (LibcKind::Glibc, Some(minor)) => write!(f, "glibc 2.{minor}"),
            (LibcKind::Glibc, None) => f.write_str("glibc"),
            (LibcKind::Musl, _) => f.write_str("musl"),
        }
    }
}

/// Finds the C library among the modules; `None` if there is none, or not one of these.
pub(crate) fn detect(memory: &Memory, modules: &[Module]) -> Result<Option<Libc>, ReadError> {
    if let Some((module, _)) = elf::find(memory, modules, "gnu_get_libc_version")? {
        let mut minor = None;
        for bytes in constants(memory, module) {
            minor = minor_in_banner(&bytes?);
            if minor.is_some() {
                break;
            }
        }
        return Ok(Some(Libc { kind: LibcKind::Glibc, minor, tid_offset: glibc_tid_offset(memory, modules)? }));
    }
    // Alpine's musl is called ld-musl-x86_64.so.1, Debian's libc.so, and a static one has no name at all.
    let (likely, others): (Vec<&Module>, Vec<&Module>) =
        modules.iter().partition(|it| it.name.starts_with("ld-musl-") || it.name.starts_with("libc."));
    for module in likely.into_iter().chain(others) {
        for bytes in constants(memory, module) {
            let bytes = bytes?;
            let holds = |words: &[u8]| memchr::memmem::find(&bytes, words).is_some();
            if holds(OF_MUSL) {
                return Ok(Some(Libc { kind: LibcKind::Musl, minor: None, tid_offset: MUSL_TID_OFFSET }));
            }
            if holds(OF_GLIBC) {
                let tid_offset = glibc_tid_offset(memory, modules)?;
                return Ok(Some(Libc { kind: LibcKind::Glibc, minor: minor_in_banner(&bytes), tid_offset }));
            }
        }
    }
    Ok(None)
}

fn glibc_tid_offset(memory: &Memory, modules: &[Module]) -> Result<u64, ReadError> {
    Ok(published_tid_offset(memory, modules)?.unwrap_or(match Machine::HERE {
        Machine::X86_64 => 720,
        Machine::Aarch64 => 208,
    }))
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

/// The segments of a module that may hold constants, each read when it is asked for.
fn constants(memory: &Memory, module: &Module) -> impl Iterator<Item = Result<Vec<u8>, ReadError>> {
    // Older linkers put constants into the code segment.
    let segments = [SegmentAccess::ReadOnly, SegmentAccess::Code]
        .into_iter()
        .flat_map(|access| module.segments().iter().filter(move |it| it.access == access));
    segments.filter_map(|segment| {
        let mut bytes = vec![0u8; segment.length.min(MAX_SCAN) as usize];
        match memory.read(segment.start, &mut bytes) {
            Ok(()) => Some(Ok(bytes)),
            Err(ReadError::Fault { .. }) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

/// `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`
fn minor_in_banner(bytes: &[u8]) -> Option<u16> {
    const BANNER: &[u8] = b"GNU C Library (";
    const VERSION: &[u8] = b"release version 2.";
    let at = memchr::memmem::find(bytes, BANNER)?;
    let banner = bytes.get(at..bytes.len().min(at + 256))?;
    let at = memchr::memmem::find(banner, VERSION)? + VERSION.len();
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
    use crate::event::Pid;
    use crate::target::elf::Segment;

    /// What a static program with these constants runs on.
    fn detected(constants: &[u8]) -> Option<LibcKind> {
        let memory = Memory::open(Pid(std::process::id())).unwrap();
        let start = Address(constants.as_ptr().addr() as u64);
        let segment = Segment { start, length: constants.len() as u64, access: SegmentAccess::ReadOnly };
        detect(&memory, &[Module::without_symbols(vec![segment])]).unwrap().map(|libc| libc.kind)
    }

    #[test]
    fn a_static_program_shows_its_c_library() {
        assert_eq!(detected(b"..\0No error information\0Illegal byte sequence\0"), Some(LibcKind::Musl));
        assert_eq!(detected(b"..glibc.malloc.mxfast\0"), Some(LibcKind::Glibc));
        assert_eq!(detected(b"Success\0"), None);
    }

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
