//! Records of a ring, taken apart. Pure.

use perf_event_open_sys::bindings as sys;

use crate::event::{Address, Cpu, Tid};
use crate::instruments::perf::signalpoints::{SignalTrace, SignalTracepoints};
use crate::instruments::perf::tracepoint::FutexTracepoint;
use crate::time::MonoNs;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The task got a core, or left it.
    Switch {
        /// When.
        at: MonoNs,
        /// The core.
        cpu: Cpu,
        /// Which of the two.
        way: Way,
    },
    /// A watchpoint was hit.
    Hit {
        /// When.
        at: MonoNs,
        /// The core.
        cpu: Cpu,
        /// The address that is watched.
        address: Address,
        /// The instruction after the one that wrote.
        ip: Address,
    },
    /// The task is about to sleep on a futex.
    FutexWait {
        /// When.
        at: MonoNs,
        /// The futex.
        address: Address,
    },
    /// A signal was sent, or is about to be handled.
    Signal {
        /// When.
        at: MonoNs,
        /// Which, and by whom.
        trace: SignalTrace,
    },
    /// The task made another one, which may be a process.
    Forked {
        /// When.
        at: MonoNs,
        /// Its process, as the kernel numbers it outside all namespaces but that of whoever opened the event.
        process: u32,
        /// Its task.
        tid: Tid,
    },
    /// The task ends. It leaves its core soon after, of which there is no record.
    Ends {
        /// When.
        at: MonoNs,
    },
    /// Records that the ring had no room for.
    Lost {
        /// When there was room again, if it tells.
        at: Option<MonoNs>,
        /// How many.
        records: u64,
    },
    /// Any other.
    Other,
}

/// What the samples in a ring are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// Hits of watchpoints.
    Hits,
    /// What the tracepoint has recorded.
    Futexes(FutexTracepoint),
    /// What the tracepoints of signals have recorded.
    Signals(SignalTracepoints),
}

/// Which way a switch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It got a core.
    In,
    /// It went to sleep.
    OutAsleep,
    /// It was put off its core and wants it back.
    OutPreempted,
}

/// Length of `struct perf_event_header`.
pub const HEADER: usize = 8;

/// The length of the record that begins with `header`, header included; `None` if it makes no sense.
pub fn length(header: [u8; HEADER]) -> Option<usize> {
    let [.., low, high] = header;
    Some(usize::from(u16::from_le_bytes([low, high]))).filter(|length| *length >= HEADER && length % 8 == 0)
}

/// The longest record that is taken apart, of those that events here make: a tracepoint's, with 96 bytes.
pub const LONGEST: usize = 128;

/// Takes a whole record apart. Its parts are those that [`switch_records`], [`watchpoint`] and [`futex_waits`] ask for.
///
/// [`switch_records`]: super::switch_records
/// [`watchpoint`]: super::watchpoint
/// [`futex_waits`]: super::futex_waits
pub fn parse(record: &[u8], samples: &Samples) -> Record {
    let u32_at = |at: usize| u32_in(record, at);
    let u64_at = |at: usize| u64_in(record, at);
    let parsed = match u32_at(0) {
        Some(sys::PERF_RECORD_SWITCH) => u64_at(HEADER).zip(u32_at(HEADER + 8)).map(|(time, cpu)| Record::Switch {
            at: MonoNs(time),
            cpu: Cpu(u16::try_from(cpu).unwrap_or(u16::MAX)),
            way: way(record),
        }),
        Some(sys::PERF_RECORD_SAMPLE) => (|| match samples {
            // The parts of a sample that `watchpoint` asks for: ip, time, address, core.
            Samples::Hits => Some(Record::Hit {
                ip: Address(u64_at(HEADER)?),
                at: MonoNs(u64_at(HEADER + 8)?),
                address: Address(u64_at(HEADER + 16)?),
                cpu: Cpu(u16::try_from(u32_at(HEADER + 24)?).unwrap_or(u16::MAX)),
            }),
            // And `futex_waits`: time, core, the length of what was recorded, and that.
            Samples::Futexes(tracepoint) => {
                let at = MonoNs(u64_at(HEADER)?);
                let length = u32_at(HEADER + 16)? as usize;
                let recorded = record.get(HEADER + 20..)?;
                let address = tracepoint.wait(recorded.get(..length.min(recorded.len()))?)?;
                Some(Record::FutexWait { at, address })
            }
            // As those: a record of theirs that makes no sense is one that is missing.
            Samples::Signals(tracepoints) => {
                let at = MonoNs(u64_at(HEADER)?);
                let length = u32_at(HEADER + 16)? as usize;
                let recorded = record.get(HEADER + 20..)?;
                let trace = tracepoints.trace(recorded.get(..length.min(recorded.len()))?);
                Some(trace.map_or(Record::Lost { at: Some(at), records: 1 }, |trace| Record::Signal { at, trace }))
            }
        })(),
        // pid, ppid, tid, ptid, time.
        Some(sys::PERF_RECORD_FORK) => (|| {
            let at = MonoNs(u64_at(HEADER + 16)?);
            Some(Record::Forked { at, process: u32_at(HEADER)?, tid: Tid(u32_at(HEADER + 8)?) })
        })(),
        // The same.
        Some(sys::PERF_RECORD_EXIT) => u64_at(HEADER + 16).map(|time| Record::Ends { at: MonoNs(time) }),
        // id, lost; then `sample_id` as of the record that found room.
        Some(sys::PERF_RECORD_LOST) => {
            u64_at(HEADER + 8).map(|records| Record::Lost { at: u64_at(HEADER + 16).map(MonoNs), records })
        }
        _ => None,
    };
    parsed.unwrap_or(Record::Other)
}

pub(super) fn u32_in(record: &[u8], at: usize) -> Option<u32> {
    record.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_in(record: &[u8], at: usize) -> Option<u64> {
    record.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Which way a record of a switch went. A task that is put off its core is marked since Linux 4.17; before, it looks like one
/// that went to sleep.
pub(super) fn way(record: &[u8]) -> Way {
    let misc = record.get(4..6).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let has = |bit: u32| u32::from(misc) & bit != 0;
    match (has(sys::PERF_RECORD_MISC_SWITCH_OUT), has(sys::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT)) {
        (false, _) => Way::In,
        (true, false) => Way::OutAsleep,
        (true, true) => Way::OutPreempted,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as the kernel writes it.
    pub(in crate::instruments::perf) fn bytes(kind: u32, misc: u16, words: &[u64]) -> Vec<u8> {
        let length = (HEADER + 8 * words.len()) as u16;
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(misc.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes
    }

    #[test]
    fn each_kind() {
        let switch = |misc, way| (bytes(14, misc, &[77, 3]), Record::Switch { at: MonoNs(77), cpu: Cpu(3), way });
        for (bytes, record) in [
            switch(0, Way::In),
            switch(1 << 13, Way::OutAsleep),
            switch(1 << 13 | 1 << 14, Way::OutPreempted),
            (
                bytes(7, 0, &[10 | 9 << 32, 12 | 11 << 32, 77]),
                Record::Forked { at: MonoNs(77), process: 10, tid: Tid(12) },
            ),
            (
                bytes(9, 0, &[0x401_000, 77, 0x7f00_0010, 3]),
                Record::Hit { at: MonoNs(77), cpu: Cpu(3), address: Address(0x7f00_0010), ip: Address(0x401_000) },
            ),
            (bytes(4, 0, &[10 | 9 << 32, 12 | 9 << 32, 77]), Record::Ends { at: MonoNs(77) }),
            (bytes(2, 0, &[1, 40]), Record::Lost { at: None, records: 40 }),
            (bytes(2, 0, &[1, 40, 77, 3]), Record::Lost { at: Some(MonoNs(77)), records: 40 }),
            (bytes(3, 0, &[1, 2, 3]), Record::Other),
            (bytes(14, 0, &[]), Record::Other),
        ] {
            assert_eq!(parse(&bytes, &Samples::Hits), record);
            assert_eq!(length(*bytes.first_chunk().unwrap()), Some(bytes.len()));
        }
        assert_eq!(length([0; 8]), None);
        assert_eq!(length([0, 0, 0, 0, 0, 0, 9, 0]), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            parse(&bytes, &Samples::Hits);
        }
    }
}
