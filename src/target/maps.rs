//! `/proc/PID/maps`: what is mapped where (proc_pid_maps(5)).
//!
//! File names in it are the target's to choose: they may hold spaces, newlines (which the kernel escapes)
//! and words like ` (deleted)`. They are used as hints only.

use std::fs::File;
use std::io::{self, Read};

use crate::event::{Address, Pid, file_name};

/// Longest file that is read, in bytes: 64 MiB is about 700,000 mappings, ten times the kernel's default limit.
const MAX_BYTES: u64 = 64 << 20;

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub start: Address,
    pub end: Address,
    pub access: Access,
    /// Where in the file it begins.
    pub offset: u64,
    /// Device and inode; inode 0 for what is no file.
    pub file: FileId,
    /// As the kernel writes it; empty for anonymous memory.
    pub path: String,
}

/// The permissions of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access([u8; 4]);

impl Access {
    pub fn is_readable(self) -> bool {
        self.0[0] == b'r'
    }

    pub fn is_executable(self) -> bool {
        self.0[2] == b'x'
    }
}

/// A file's identity, as far as `maps` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub device: (u32, u32),
    pub inode: u64,
}

impl Mapping {
    /// The file's name without directories and without the kernel's remark that it was deleted.
    pub fn file_name(&self) -> &str {
        let path = self.path.strip_suffix(" (deleted)").unwrap_or(&self.path);
        file_name(path)
    }

    pub fn contains(&self, address: Address) -> bool {
        (self.start..self.end).contains(&address)
    }
}

/// All mappings of a process in the order of their addresses. Empty for a zombie and for a thread of the kernel.
pub(crate) fn of_process(pid: Pid) -> io::Result<Vec<Mapping>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{}/maps", pid.0))?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Parses a whole `maps`; lines that are none are left out.
pub(super) fn parse(text: &str) -> Vec<Mapping> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mapping> {
    // The path is what follows the fifth field and its padding; it may itself begin or end with spaces.
    let mut rest = line;
    let mut next = || {
        let (field, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        field
    };
    let (range, access, offset, device, inode) = (next(), next(), next(), next(), next());
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    (start < end).then_some(())?;
    Some(Mapping {
        start: Address(start),
        end: Address(end),
        access: Access(access.as_bytes().try_into().ok()?),
        offset: u64::from_str_radix(offset, 16).ok()?,
        file: FileId {
            device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
            inode: inode.parse().ok()?,
        },
        path: rest.trim_start_matches(' ').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_each_kind() {
        let maps = parse(
            "55d0a4a00000-55d0a4a2f000 r-xp 00001000 fe:01 1234                       /usr/bin/my python (deleted)\n\
             7ffd1000-7ffd2000 rw-p 00000000 00:00 0 \n\
             7fff0000-7fff1000 r--p 00000000 00:00 0                          [vvar]\n",
        );
        assert_eq!(maps.len(), 3);
        assert_eq!(maps[0].start, Address(0x55d0_a4a0_0000));
        assert!(maps[0].access.is_readable() && maps[0].access.is_executable());
        assert_eq!(maps[0].offset, 0x1000);
        assert_eq!(maps[0].file, FileId { device: (0xfe, 1), inode: 1234 });
        assert_eq!(maps[0].path, "/usr/bin/my python (deleted)");
        assert_eq!(maps[0].file_name(), "my python");
        assert_eq!(maps[1].path, "");
        assert_eq!(maps[2].file_name(), "[vvar]");
        assert!(maps[1].contains(Address(0x7ffd_1fff)) && !maps[1].contains(Address(0x7ffd_2000)));
    }

    #[test]
    fn nonsense_is_left_out() {
        for line in [
            "",
            "-",
            "a-b",
            "2-1 r--p 0 0:0 0",
            "1-2 r-p 0 0:0 0",
            "1-2 r--p z 0:0 0",
            "1-2 r--p 0 0 0",
            "1-2 r--p 0 0:0 -1",
            "11111111111111111-2 r--p 0 0:0 0",
        ] {
            assert_eq!(parse_line(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            parse(&text);
        }

        #[test]
        fn fields_survive(start in 0u64..1 << 47, length in 1u64..1 << 30, offset: u64, inode: u64, path in "/[^\n]{0,40}") {
            let line = format!("{start:x}-{:x} rw-s {offset:08x} 00:2a {inode}                {path}", start + length);
            let mapping = parse_line(&line).unwrap();
            prop_assert_eq!(mapping.start, Address(start));
            prop_assert_eq!(mapping.end, Address(start + length));
            prop_assert_eq!(mapping.offset, offset);
            prop_assert_eq!(mapping.file.inode, inode);
            prop_assert_eq!(mapping.path, path);
        }
    }
}
