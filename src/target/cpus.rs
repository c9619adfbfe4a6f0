//! Lists of cores, as the kernel writes them.

use std::fs;
use std::io;

use crate::event::Cpu;

/// The cores of a list such as `0-3,8` (cpuset(7)), in order; what is no range in it is left out. White space around it
/// does not count.
pub fn listed(list: &str) -> Vec<Cpu> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    });
    let mut cpus: Vec<Cpu> = ranges.take(1 << 12).flatten().take(1 << 16).map(Cpu).collect();
    cpus.sort_unstable();
    cpus.dedup();
    cpus
}

/// The cores of the machine that are on.
///
/// # Errors
/// If sysfs cannot be read.
pub fn online() -> io::Result<Vec<Cpu>> {
    fs::read_to_string("/sys/devices/system/cpu/online").map(|list| listed(&list))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_of_cores() {
        assert_eq!(listed("0-2,8"), [Cpu(0), Cpu(1), Cpu(2), Cpu(8)]);
        assert_eq!(listed("0-3,5\n"), [0, 1, 2, 3, 5].map(Cpu));
        assert_eq!(listed("3"), [Cpu(3)]);
        assert_eq!(listed("0\n"), [Cpu(0)]);
        assert_eq!(listed("1,1-1,x,4-"), [Cpu(1)]);
        assert_eq!(listed("x,7-"), []);
        assert_eq!(listed(""), []);
        assert!(listed(&"0-65535,".repeat(100)).len() <= 1 << 16);
    }

    proptest! {
        #[test]
        fn never_panics(list in "[0-9,-]{0,30}") {
            listed(&list);
        }
    }
}
