//! A set of cores, as taskset(1) writes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units;

/// The largest number of a core that can be named: that of the largest mask the kernel is asked for.
pub const LARGEST: u16 = 8_191;

/// Cores, in order and each once; never none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(Vec<u16>);

impl CpuSet {
    /// These cores; `None` if there is none, or one that cannot be named.
    pub fn of(cpus: impl IntoIterator<Item = u16>) -> Option<CpuSet> {
        let mut cpus: Vec<u16> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        let fits = cpus.last().is_some_and(|last| *last <= LARGEST);
        fits.then_some(CpuSet(cpus))
    }

    /// A list such as `0-3,8`.
    ///
    /// # Errors
    /// If it is none, with what could be written.
    pub fn parse(text: &str) -> Result<CpuSet, String> {
        let none = || format!("`{text}` is no list of cores: write one such as 0 or 0-3,8");
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u16>().ok().filter(|cpu| digits && *cpu <= LARGEST).ok_or_else(none)
            };
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(none());
            }
            cpus.extend(first..=last);
        }
        CpuSet::of(cpus).ok_or_else(none)
    }

    /// The cores, in order.
    pub fn cpus(&self) -> &[u16] {
        &self.0
    }

    /// Whether all of its cores are in another.
    pub fn is_within(&self, other: &CpuSet) -> bool {
        self.0.iter().all(|cpu| other.0.binary_search(cpu).is_ok())
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&units::cpu_list(&self.0))
    }
}

impl TryFrom<String> for CpuSet {
    type Error = String;
    fn try_from(text: String) -> Result<CpuSet, String> {
        CpuSet::parse(&text)
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> String {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_taskset_takes_is_taken() {
        for (text, cpus) in
            [("0", vec![0]), ("0-3", vec![0, 1, 2, 3]), ("3,1,1-2", vec![1, 2, 3]), ("8191", vec![8191])]
        {
            assert_eq!(CpuSet::parse(text).unwrap().cpus(), cpus);
        }
        for text in ["", "x", "0-", "-1", "3-1", "0,,1", "8192", "0-99999999", "+1", " 1"] {
            assert!(CpuSet::parse(text).unwrap_err().contains("0-3,8"), "{text}");
        }
        let set = CpuSet::parse("0,1,2,8").unwrap();
        assert_eq!(set.to_string(), "0-2,8");
        assert!(CpuSet::parse("1,8").unwrap().is_within(&set) && !set.is_within(&CpuSet::parse("0-2").unwrap()));
        assert_eq!(serde_json::from_str::<CpuSet>("\"0-2,8\"").unwrap(), set);
        assert!(serde_json::from_str::<CpuSet>("\"\"").is_err());
    }
}
