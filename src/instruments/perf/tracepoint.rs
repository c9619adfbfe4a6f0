//! The kernel's tracepoint at the entry of futex(2), as tracefs describes it: its number, and where its arguments lie.
//!
//! The layout is what Documentation/trace/events.rst calls the format file. Nothing of it is taken for granted.

use std::fs;
use std::io::ErrorKind;

use crate::event::Address;
use crate::instruments::perf::refusal::Why;

/// Where tracefs is mounted, if it is.
const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The tracepoint's folder there.
const EVENT: &str = "events/syscalls/sys_enter_futex";

/// `FUTEX_WAIT`, `FUTEX_WAIT_BITSET`, `FUTEX_WAKE` and the flags beside them (include/uapi/linux/futex.h).
const WAIT: u64 = 0;
const WAIT_BITSET: u64 = 9;
const WAKE: u64 = 1;
const PRIVATE: u64 = 128;
const CLOCK_REALTIME: u64 = 256;

/// The tracepoint of this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutexTracepoint {
    id: u64,
    address: Field,
    operation: Field,
}

/// Where an argument lies in what the tracepoint records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    offset: usize,
    size: usize,
}

impl FutexTracepoint {
    /// Looks it up.
    ///
    /// # Errors
    /// Where tracefs is not mounted or not for us, or the kernel does not trace system calls.
    pub fn find() -> Result<FutexTracepoint, Why> {
        let (id, format) = describe(EVENT)?;
        FutexTracepoint::parse(&id, &format).ok_or(Why::NoTracepoint)
    }

    fn parse(id: &str, format: &str) -> Option<FutexTracepoint> {
        Some(FutexTracepoint {
            id: id.trim().parse().ok()?,
            address: field(format, "uaddr")?,
            operation: field(format, "op")?,
        })
    }

    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What the kernel is to leave out: all that is not on a futex between two addresses, and wake-ups, of which there are
    /// many.
    pub fn filter(&self, ranges: &[(Address, Address)]) -> String {
        let ranges: Vec<String> =
            ranges.iter().map(|(from, to)| format!("(uaddr >= {:#x} && uaddr < {:#x})", from.0, to.0)).collect();
        format!("({}) && op != {WAKE} && op != {}", ranges.join(" || "), WAKE | PRIVATE)
    }

    /// The futex that a task is about to sleep on, by what the tracepoint has recorded; `None` if it does something else.
    pub(super) fn wait(&self, recorded: &[u8]) -> Option<Address> {
        let operation = self.operation.read(recorded)? & u64::from(u32::MAX) & !(PRIVATE | CLOCK_REALTIME);
        matches!(operation, WAIT | WAIT_BITSET).then(|| self.address.read(recorded).map(Address))?
    }
}

impl Field {
    /// Its value, without a sign.
    pub fn read(self, recorded: &[u8]) -> Option<u64> {
        let mut word = [0; 8];
        word.get_mut(..self.size)?.copy_from_slice(recorded.get(self.offset..self.offset + self.size)?);
        Some(u64::from_le_bytes(word))
    }
}

/// The number and the format of the tracepoint in a folder of tracefs.
pub(super) fn describe(event: &str) -> Result<(String, String), Why> {
    let mut why = Why::NoTracefs;
    for root in ROOTS {
        let read = |name: &str| fs::read_to_string(format!("{root}/{event}/{name}"));
        match read("id").and_then(|id| Ok((id, read("format")?))) {
            Ok(found) => return Ok(found),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => why = Why::TracefsOfRoot,
            Err(_) if fs::exists(format!("{root}/events")).unwrap_or(false) => why = Why::NoTracepoint,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Finds `field:u32 * uaddr; offset:16; size:8; signed:0;` and the like, with tabs between its parts.
pub(super) fn field(format: &str, name: &str) -> Option<Field> {
    let mut parts = format.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';');
        (parts.next()?.split_whitespace().next_back()? == name).then_some(parts)
    })?;
    let mut number = |key: &str| parts.next()?.trim().strip_prefix(key)?.parse().ok();
    let field = Field { offset: number("offset:")?, size: number("size:")? };
    (matches!(field.size, 4 | 8) && field.offset <= 64).then_some(field)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of Linux 6.18 on x86_64.
    const FORMAT: &str = "name: sys_enter_futex\nID: 522\nformat:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;
\tfield:u32 * uaddr;\toffset:16;\tsize:8;\tsigned:0;
\tfield:int op;\toffset:24;\tsize:8;\tsigned:0;
\tfield:u32 val;\toffset:32;\tsize:8;\tsigned:0;
\tfield:u32 * uaddr2;\toffset:48;\tsize:8;\tsigned:0;

print fmt: \"uaddr: 0x%08lx\"\n";

    #[test]
    fn what_is_waited_for_is_read_where_the_format_says() {
        let tracepoint = FutexTracepoint::parse("522\n", FORMAT).unwrap();
        let recorded = |uaddr: u64, op: u64| {
            let words = [0, 202, uaddr, op, 7];
            words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect::<Vec<u8>>()
        };
        for (op, waits) in [(0, true), (128, true), (137, true), (0x189, true), (1, false), (129, false), (134, false)]
        {
            assert_eq!(tracepoint.wait(&recorded(0x7f00, op)), waits.then_some(Address(0x7f00)), "{op}");
        }
        assert_eq!(tracepoint.wait(&recorded(0x7f00, 0)[..20]), None);
        let moved = FORMAT.replace("offset:16;", "offset:32;");
        assert_eq!(FutexTracepoint::parse("522", &moved).unwrap().wait(&recorded(0x7f00, 0)), Some(Address(7)));
        assert_eq!(FutexTracepoint::parse("522", &FORMAT.replace("uaddr;", "address;")), None);
        assert_eq!(
            tracepoint.filter(&[(Address(0x10), Address(0x20)), (Address(0x40), Address(0x50))]),
            "((uaddr >= 0x10 && uaddr < 0x20) || (uaddr >= 0x40 && uaddr < 0x50)) && op != 1 && op != 129"
        );
    }

    proptest! {
        #[test]
        fn never_panics(format: String, recorded: Vec<u8>) {
            FutexTracepoint::parse("1", &format);
            FutexTracepoint::parse("1", FORMAT).unwrap().wait(&recorded);
        }
    }
}
