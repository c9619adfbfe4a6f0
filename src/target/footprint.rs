//! What a process has in memory.

use std::fs;
use std::io;

use crate::event::Pid;

/// What of the process is in memory, in bytes, shared pages in full (RSS). The kernel keeps count of it: that costs the process
/// nothing.
///
/// # Errors
/// If there is no such process, or nothing of it is left.
pub fn resident(pid: Pid) -> io::Result<u64> {
    field(&fs::read_to_string(format!("/proc/{}/status", pid.0))?, "VmRSS:")
}

/// The same with each page that n processes share at 1/n of its size (PSS). The kernel looks at every page for that, with the
/// process's memory map locked against changes.
///
/// # Errors
/// If it may not be read (as for its memory), the kernel does not tell, or nothing of it is left.
pub fn proportional(pid: Pid) -> io::Result<u64> {
    field(&fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.0))?, "Pss:")
}

/// A field in kB, in bytes.
fn field(text: &str, name: &str) -> io::Result<u64> {
    let found =
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    found.map(|kilobytes| kilobytes.saturating_mul(1024)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_bytes() {
        let text = "Name:\tVmRSS: 7 kB\nVmRSS:\t   10240 kB\nPss_Anon: 3 kB\nPss:  12 kB\n";
        assert_eq!(field(text, "VmRSS:").unwrap(), 10 << 20);
        assert_eq!(field(text, "Pss:").unwrap(), 12 << 10);
        assert!(field("VmRSS: x kB\n", "VmRSS:").is_err() && field("", "Pss:").is_err());
    }

    #[test]
    fn one_has_memory_oneself_and_more_after_taking_some() {
        let own = Pid(std::process::id());
        let before = proportional(own).unwrap();
        let more = vec![1u8; 32 << 20];
        let after = proportional(own).unwrap();
        assert!(after > before + (24 << 20), "{before} and {after}");
        assert!(resident(own).unwrap() >= after && more.iter().all(|byte| *byte == 1));
        assert!(resident(Pid(u32::MAX)).is_err() && proportional(Pid(u32::MAX)).is_err());
    }
}
