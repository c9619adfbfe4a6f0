//! What all programs together do on each core, from `/proc/stat`.
//!
//! The kernel adds up more for that file than is wanted here (all interrupts of all cores), which takes it 10 us on two
//! cores and milliseconds on a large machine: so it is read on a thread of its own, and at both ends of the capture.

use std::fs;
use std::time::Duration;

use crate::event::{CoreTotals, Cpu, MAX_CORES, What};
use crate::instruments::background::{Answer, Background};
use crate::instruments::clock;
use crate::time::{MonoNs, Ns};

/// Time between two readings.
const SPACING: Duration = Duration::from_millis(250);
/// The unit of `/proc/stat`: USER_HZ, 100 a second wherever gilscope runs (sysconf(_SC_CLK_TCK)).
const TICK: Ns = Ns::from_millis(10);

/// Tells what the machine's cores do. The thread behind it ends by itself when this value is dropped.
#[derive(Debug)]
pub struct Cores {
    reader: Option<Background<(MonoNs, What)>>,
}

impl Cores {
    /// Begins. What is told first is what the rest is counted from.
    pub fn begin() -> (Cores, (MonoNs, What)) {
        let first = read();
        let reader = match first.1 {
            What::CoresRead { ref cores, .. } if !cores.is_empty() => {
                Background::start("gilscope-cores", SPACING, || Answer::Found(read()))
            }
            _ => None,
        };
        if let Some(reader) = &reader {
            reader.ask();
        }
        (Cores { reader }, first)
    }

    /// What was read since it was asked last.
    pub fn drain(&self) -> impl Iterator<Item = (MonoNs, What)> + '_ {
        let reader = self.reader.iter();
        reader.flat_map(|reader| {
            reader.ask();
            std::iter::from_fn(|| reader.answer())
        })
    }

    /// The last reading, which is taken now; `None` where there was none before.
    pub fn finish(self) -> Option<(MonoNs, What)> {
        self.reader.map(|_| read())
    }
}

/// The totals, and when they were so.
fn read() -> (MonoNs, What) {
    let before = clock::now();
    let text = if is_made_up() { String::new() } else { fs::read_to_string("/proc/stat").unwrap_or_default() };
    let took = clock::now().since(before);
    (before + Ns(took.0 / 2), What::CoresRead { tick: TICK, cores: totals(&text) })
}

/// Whether somebody has put another file in its place, as lxcfs does: then it tells of one container only.
fn is_made_up() -> bool {
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| has_mount(&mounts, "/proc/stat"))
}

/// Whether something is mounted at `path` (proc_pid_mountinfo(5): the fifth field).
fn has_mount(mounts: &str, path: &str) -> bool {
    mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(path))
}

/// The lines `cpuN` of proc_stat(5).
fn totals(stat: &str) -> Vec<CoreTotals> {
    let mut cores: Vec<CoreTotals> = stat.lines().filter_map(core).take(MAX_CORES).collect();
    cores.sort_unstable_by_key(|core| core.cpu);
    cores.dedup_by_key(|core| core.cpu);
    cores
}

fn core(line: &str) -> Option<CoreTotals> {
    let (number, fields) = line.strip_prefix("cpu")?.split_once(' ')?;
    let cpu = Cpu(number.parse().ok()?);
    let mut fields = fields.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let [user, nice, system, idle, iowait, irq, softirq, steal] =
        [next()?, next()?, next()?, next()?, next()?, next()?, next()?, next()?];
    // What guests use (the ninth and tenth) is in `user` and `nice` already.
    let busy = [user, nice, system, irq, softirq].into_iter().fold(0_u64, u64::saturating_add);
    Some(CoreTotals { cpu, idle: idle.saturating_add(iowait), busy, stolen: steal })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_core_has_a_line() {
        let stat =
            "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 2 3 400 50 6 7 8 1 2\ncpu12 1 0 0 5 0 0 0 0 0 0\nintr 5 0 1\nbtime 7\n";
        let expected = [
            CoreTotals { cpu: Cpu(0), idle: 450, busy: 28, stolen: 8 },
            CoreTotals { cpu: Cpu(12), idle: 5, busy: 1, stolen: 0 },
        ];
        assert_eq!(totals(stat), expected);
    }

    #[test]
    fn nonsense_is_left_out() {
        assert_eq!(totals("cpu0 1 2 3\ncpux 1 1 1 1 1 1 1 1\ncpu99999 1 1 1 1 1 1 1 1\ncpu1 a 1 1 1 1 1 1 1\n"), []);
    }

    #[test]
    fn a_mount_in_its_place_is_seen() {
        let mounts = "24 31 0:22 / /proc rw - proc proc rw\n";
        let lxcfs = "712 24 0:52 /proc/stat /proc/stat rw,nosuid - fuse.lxcfs lxcfs rw\n";
        assert!(!has_mount(mounts, "/proc/stat"));
        assert!(has_mount(&format!("{mounts}{lxcfs}"), "/proc/stat"));
    }

    #[test]
    fn this_machine_has_cores_that_go_on() {
        let (cores, (at, first)) = Cores::begin();
        let What::CoresRead { cores: first, .. } = first else { panic!("{first:?}") };
        std::thread::sleep(Duration::from_millis(100));
        let Some((later, What::CoresRead { cores: last, .. })) = cores.finish() else { return };
        assert!(later > at);
        let sum = |cores: &[CoreTotals]| cores.iter().map(|core| core.idle + core.busy + core.stolen).sum::<u64>();
        assert!(sum(&last) > sum(&first), "{first:?} {last:?}");
    }

    proptest! {
        #[test]
        fn never_panics(stat in "(cpu[0-9]{0,6} [0-9 ]{0,80}\n){0,4}.{0,20}") {
            totals(&stat);
        }
    }
}
