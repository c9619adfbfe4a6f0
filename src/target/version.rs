//! Which CPython it is, from its memory.

use crate::event::{Address, PythonVersion};
use crate::target::elf::{Module, SegmentAccess, Symbol};
use crate::target::error::ReadError;
use crate::target::memory::Memory;

/// What `_Py_DebugOffsets` begins with (pycore_debug_offsets.h).
const COOKIE: [u8; 8] = *b"xdebugpy";
/// Most of a module's data that is searched for the version string.
const MAX_SCAN: u64 = 64 << 20;
/// Most of a segment that is searched for the cookie.
const MAX_COOKIE_SCAN: u64 = 16 << 20;
/// `Py_GetVersion` cuts each of its three parts at 80 bytes.
const MAX_VERSION_STRING: usize = 256;

/// A version, found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detected {
    pub version: PythonVersion,
    pub flavour: Flavour,
}

/// Whether it was built with `--disable-gil`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    WithGil,
    FreeThreaded,
}

/// Why there is no version.
#[derive(Debug)]
pub(crate) enum NoVersion {
    /// It has not been written to memory so far.
    NotYet,
    /// None that gilscope knows.
    Unknown(String),
    /// An alpha, beta or release candidate.
    Prerelease(String),
    /// Memory could not be read.
    Read(ReadError),
}

impl From<ReadError> for NoVersion {
    fn from(error: ReadError) -> NoVersion {
        NoVersion::Read(error)
    }
}

/// Whether to wait for a better answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurry {
    CanWait,
    LastChance,
}

/// Finds the version of the CPython whose `_PyRuntime` this is.
pub(crate) fn detect(memory: &Memory, module: &Module, runtime: Symbol, hurry: Hurry) -> Result<Detected, NoVersion> {
    let mut head = [0u64; 3];
    memory.read(runtime.address, object::pod::bytes_of_slice_mut(&mut head))?;
    let [cookie, version, free_threaded] = head;
    if cookie.to_le_bytes() == COOKIE {
        let hex = u32::try_from(version).map_err(|_| NoVersion::Unknown(format!("{version:#x}")))?;
        let flavour = if free_threaded & 1 == 1 { Flavour::FreeThreaded } else { Flavour::WithGil };
        return Ok(Detected { version: released(hex, 13..=15)?, flavour });
    }
    if let Some(symbol) = module.symbol(memory, "Py_Version")? {
        let hex = memory.read_u32(symbol.address)?;
        if hex == 0 {
            return Err(NoVersion::NotYet);
        }
        return Ok(Detected { version: released(hex, 11..=12)?, flavour: Flavour::WithGil });
    }
    let version = match scan(memory, module)? {
        Some(text) => from_text(&text)?,
        None => match (hurry, minor_in_name(&module.name)) {
            (Hurry::LastChance, Some(minor @ 7..=10)) => PythonVersion { major: 3, minor, patch: None },
            _ => return Err(NoVersion::NotYet),
        },
    };
    Ok(Detected { version, flavour: Flavour::WithGil })
}

/// Finds the `_PyRuntime` of a CPython that exports no symbols, a fully static one say: by what 3.13 and later begin
/// it with. Its size is what it says of itself.
pub(crate) fn find_by_cookie<'a>(
    memory: &Memory,
    modules: &'a [Module],
) -> Result<Option<(&'a Module, Symbol)>, ReadError> {
    for module in modules {
        for segment in module.segments().iter().filter(|it| it.access == SegmentAccess::Data) {
            let mut bytes = vec![0u8; segment.length.min(MAX_COOKIE_SCAN) as usize];
            match memory.read(segment.start, &mut bytes) {
                Ok(()) => {}
                Err(ReadError::Fault { .. }) => continue,
                Err(error) => return Err(error),
            }
            for at in memchr::memmem::find_iter(&bytes, &COOKIE) {
                let word = |offset: usize| {
                    let bytes = bytes.get(at + offset..)?.first_chunk::<8>()?;
                    Some(u64::from_le_bytes(*bytes))
                };
                let is_python_3 = word(8).is_some_and(|version| version >> 24 == 3);
                if let Some(size) = word(24).filter(|_| is_python_3 && segment.start.0.wrapping_add(at as u64) % 8 == 0)
                {
                    let address = Address(segment.start.0.wrapping_add(at as u64));
                    return Ok(Some((module, Symbol { address, size })));
                }
            }
        }
    }
    Ok(None)
}

/// Takes `PY_VERSION_HEX` apart (patchlevel.h).
fn released(hex: u32, minors: std::ops::RangeInclusive<u8>) -> Result<PythonVersion, NoVersion> {
    let [major, minor, patch, level] = hex.to_be_bytes();
    let text = format!("{major}.{minor}.{patch}");
    if major != 3 || !minors.contains(&minor) {
        return Err(NoVersion::Unknown(text));
    }
    let kind = match level >> 4 {
        0xf => return Ok(PythonVersion { major, minor, patch: Some(patch) }),
        0xa => 'a',
        0xb => 'b',
        0xc => return Err(NoVersion::Prerelease(format!("{text}rc{}", level & 0xf))),
        _ => '?',
    };
    Err(NoVersion::Prerelease(format!("{text}{kind}{}", level & 0xf)))
}

/// What `Py_GetVersion` composed, up to the first blank: `3.9.18`, `3.10.0rc2+`.
fn from_text(text: &str) -> Result<PythonVersion, NoVersion> {
    let unknown = || NoVersion::Unknown(text.to_owned());
    let (numbers, suffix) =
        text.find(|c: char| !c.is_ascii_digit() && c != '.').map_or((text, ""), |at| text.split_at(at));
    let mut parts = numbers.split('.').map(str::parse::<u8>);
    let (Some(Ok(3)), Some(Ok(minor)), Some(Ok(patch)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unknown());
    };
    // A `+` marks a build from a checkout after that release.
    if !suffix.is_empty() && suffix != "+" {
        return Err(NoVersion::Prerelease(text.to_owned()));
    }
    if !(7..=10).contains(&minor) || (minor == 7 && patch < 4) {
        return Err(unknown());
    }
    Ok(PythonVersion { major: 3, minor, patch: Some(patch) })
}

/// Searches the module's variables for the buffer that `Py_GetVersion` fills (Python/getversion.c).
fn scan(memory: &Memory, module: &Module) -> Result<Option<String>, ReadError> {
    const CHUNK: usize = 64 << 10;
    let mut chunk = vec![0u8; CHUNK];
    let mut left = MAX_SCAN;
    for segment in module.segments().iter().filter(|it| it.access == SegmentAccess::Data) {
        let mut at = 0;
        while at < segment.length && left > 0 {
            let length = (segment.length - at).min(CHUNK as u64);
            let bytes = chunk.get_mut(..length as usize).unwrap_or_default();
            match memory.read(Address(segment.start.0.wrapping_add(at)), bytes) {
                Ok(()) => {
                    if let Some(text) = version_in(bytes) {
                        return Ok(Some(text));
                    }
                }
                // A part that the dynamic linker or the program has taken away.
                Err(ReadError::Fault { .. }) => {}
                Err(error) => return Err(error),
            }
            left = left.saturating_sub(length);
            // Overlap, so that no string is cut in two.
            at += if length == CHUNK as u64 { length - MAX_VERSION_STRING as u64 } else { length };
        }
    }
    Ok(None)
}

/// The version in `3.9.18 (default, ...) \n[GCC ...]` or, without the line's end, `3.10.13 (main, ...) [GCC ...]`, if
/// there is one.
fn version_in(bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|it| it == b"3.") {
        let here = rest.get(at..)?;
        let here = here.get(..here.len().min(MAX_VERSION_STRING))?;
        if let Some(end) = here.windows(2).position(|it| it == b" (").filter(|end| *end <= 16)
            && (here.windows(4).any(|it| it == b") \n[") || here.windows(3).any(|it| it == b") ["))
            && let Some(text) = here.get(..end).and_then(|it| std::str::from_utf8(it).ok())
            && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'.' || it == b'+')
        {
            return Some(text.to_owned());
        }
        rest = rest.get(at + 2..)?;
    }
    None
}

/// The minor version in `python3.8`, `libpython3.7m.so.1.0`, `python3.10-debug`.
pub(crate) fn minor_in_name(name: &str) -> Option<u8> {
    let digits = name.split_once("python3.")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pid;
    use crate::target::elf::Segment;

    /// Where a `_PyRuntime` is found that lies in our own memory behind `words`.
    fn found_by_cookie(words: &[u64]) -> Option<(u64, u64)> {
        let memory = Memory::open(Pid(std::process::id())).unwrap();
        let start = Address(words.as_ptr().addr() as u64);
        let data = Segment { start, length: size_of_val(words) as u64, access: SegmentAccess::Data };
        let nothing = Segment { start: Address(4096), length: 4096, access: SegmentAccess::Data };
        let modules = [Module::without_symbols(vec![nothing, data])];
        let found = find_by_cookie(&memory, &modules).unwrap();
        found.map(|(_, symbol)| ((symbol.address.0 - start.0) / 8, symbol.size))
    }

    #[test]
    fn a_runtime_without_symbols_is_found_by_its_cookie() {
        let cookie = u64::from_le_bytes(COOKIE);
        assert_eq!(found_by_cookie(&[7, cookie, 5, cookie, 0x30d_05f0, 0, 283_408]), Some((3, 283_408)));
        assert_eq!(found_by_cookie(&[cookie, 0x20d_05f0, 0, 283_408]), None, "not Python 3");
        assert_eq!(found_by_cookie(&[0, cookie, 0x30d_05f0, 0]), None, "cut off");
        let shifted = [cookie << 8, cookie >> 56 | 0x30d_05f0 << 8, 0x30d_05f0 >> 56, 283_408 << 8, 0];
        assert_eq!(found_by_cookie(&shifted), None, "not aligned");
        assert_eq!(found_by_cookie(&[0; 8]), None);
    }

    #[test]
    fn what_py_get_version_composes_is_found_in_either_form() {
        let old = b"\0x3.\x013.9.18 (default, Jun  1 2024, 10:00:00) \n[GCC 12.2.0]\0\0";
        let new = b"3.\x003.10.13 (main, May  9 2026, 07:34:36) [GCC 12.2.0]\0";
        assert_eq!(version_in(old).as_deref(), Some("3.9.18"));
        assert_eq!(version_in(new).as_deref(), Some("3.10.13"));
        assert_eq!(version_in(b"needs 3.9 (or later) and [brackets]\0"), None);
        assert_eq!(version_in(b"3.10.13 (main, May"), None);
    }
}
