//! Records of a task and of those that it has made, in one ring: each tells whose it is. Pure.

use perf_event_open_sys::bindings as sys;

use super::record::{HEADER, Way, u32_in, u64_in, way};
use crate::event::{Cpu, Tid};
use crate::time::MonoNs;

/// What a record of [`handed_records`](super::handed_records) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// A task got a core, or left it.
    Switch {
        /// Which.
        tid: Tid,
        /// When.
        at: MonoNs,
        /// The core.
        cpu: Cpu,
        /// Which of the two.
        way: Way,
    },
    /// A task made another one, to which the event was handed down.
    Born {
        /// The new one.
        tid: Tid,
        /// The process that it belongs to, as whoever opened the event sees it.
        process: u32,
        /// When: it has not run yet.
        at: MonoNs,
    },
    /// A task ends. It leaves its core soon after, of which there is no record.
    Ends {
        /// Which.
        tid: Tid,
        /// When.
        at: MonoNs,
    },
    /// Records that the ring had no room for.
    Lost {
        /// When there was room again.
        at: MonoNs,
        /// How many.
        records: u64,
    },
    /// Any other.
    Other,
}

impl Handed {
    /// Takes a whole record apart.
    pub fn parse(record: &[u8]) -> Handed {
        let u32_at = |at: usize| u32_in(record, at);
        let u64_at = |at: usize| u64_in(record, at);
        let parsed = match u32_at(0) {
            // `sample_id` alone: pid, tid, time, core.
            Some(sys::PERF_RECORD_SWITCH) => (|| {
                Some(Handed::Switch {
                    tid: Tid(u32_at(HEADER + 4)?),
                    at: MonoNs(u64_at(HEADER + 8)?),
                    cpu: Cpu(u16::try_from(u32_at(HEADER + 16)?).unwrap_or(u16::MAX)),
                    way: way(record),
                })
            })(),
            // pid, ppid, tid, ptid, time.
            Some(sys::PERF_RECORD_FORK) => (|| {
                Some(Handed::Born {
                    process: u32_at(HEADER)?,
                    tid: Tid(u32_at(HEADER + 8)?),
                    at: MonoNs(u64_at(HEADER + 16)?),
                })
            })(),
            // The same.
            Some(sys::PERF_RECORD_EXIT) => {
                (|| Some(Handed::Ends { tid: Tid(u32_at(HEADER + 8)?), at: MonoNs(u64_at(HEADER + 16)?) }))()
            }
            // id, lost; then `sample_id` as of the record that found room.
            Some(sys::PERF_RECORD_LOST) => {
                (|| Some(Handed::Lost { records: u64_at(HEADER + 8)?, at: MonoNs(u64_at(HEADER + 24)?) }))()
            }
            _ => None,
        };
        parsed.unwrap_or(Handed::Other)
    }

    /// Its time, where it has one.
    pub fn at(&self) -> MonoNs {
        match self {
            Handed::Switch { at, .. } | Handed::Born { at, .. } | Handed::Ends { at, .. } | Handed::Lost { at, .. } => {
                *at
            }
            Handed::Other => MonoNs(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::tests::bytes;
    use super::*;

    #[test]
    fn each_kind_tells_whose_it_is() {
        let (tid, at) = (Tid(12), MonoNs(77));
        let sample_id = [10 | 12 << 32, 77, 3];
        let switch = |way| Handed::Switch { tid, at, cpu: Cpu(3), way };
        assert_eq!(Handed::parse(&bytes(14, 0, &sample_id)), switch(Way::In));
        assert_eq!(Handed::parse(&bytes(14, 1 << 13, &sample_id)), switch(Way::OutAsleep));
        assert_eq!(Handed::parse(&bytes(14, 1 << 13 | 1 << 14, &sample_id)), switch(Way::OutPreempted));
        let born = bytes(7, 0, &[10 | 10 << 32, 12 | 11 << 32, 77, 10 | 11 << 32, 76, 3]);
        assert_eq!(Handed::parse(&born), Handed::Born { tid, process: 10, at });
        let ends = bytes(4, 0, &[10 | 9 << 32, 12 | 9 << 32, 77, 10 | 12 << 32, 76, 3]);
        assert_eq!(Handed::parse(&ends), Handed::Ends { tid, at });
        let lost = bytes(2, 0, &[1, 40, 10 | 12 << 32, 77, 3]);
        assert_eq!(Handed::parse(&lost), Handed::Lost { at, records: 40 });
        assert_eq!(Handed::parse(&bytes(14, 0, &[])), Handed::Other);
        assert_eq!(Handed::parse(&bytes(3, 0, &[1, 2, 3])), Handed::Other);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            Handed::parse(&bytes);
        }
    }
}
