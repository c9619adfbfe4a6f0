//! What looking costs on this machine, measured on gilscope's own threads and memory.
//!
//! Takes ten milliseconds of one core, or a few times that on a slow machine, and then 50 ms in which some three are used. CPU time
//! counts, not time: others may use the machine meanwhile. What cannot be measured (refused, or drowned in noise) stays as assumed.

mod lags;

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use crate::event::{Address, CostOrigin, Costs, Tid};
use crate::instruments::clock;
use crate::instruments::perf::{self, Ring};
use crate::time::Ns;

/// Batches of which the median counts.
const BATCHES: usize = 7;
/// Writes to a watched word in one batch.
const WRITES: u32 = 32;
/// Round trips between two threads in one batch.
const TRIPS: u32 = 50;
/// Watchpoints armed and taken away in one batch.
const ARMS: u32 = 8;

/// What things cost here, as far as that can be measured; otherwise as assumed.
pub fn calibrate() -> Costs {
    let mut costs = Costs::ASSUMED;
    let mut measure = |cost: &mut Ns, measured: Option<Ns>, plausible: (u64, u64)| {
        if let Some(measured) = measured {
            *cost = Ns(measured.0.clamp(plausible.0, plausible.1));
            costs.origin = CostOrigin::Measured;
        }
    };
    let (mut exception, mut arming) = (costs.exception, costs.arming);
    let (mut record, mut armed_switch) = (costs.record, costs.armed_switch);
    measure(&mut exception, time_of_exception(), (200, 200_000));
    measure(&mut arming, time_of_arming(), (500, 500_000));
    if let Some((recorded, armed)) = times_of_switches() {
        measure(&mut record, recorded, (100, 5_000));
        measure(&mut armed_switch, armed, (100, 20_000));
    }
    let lags = lags::measure().unwrap_or_default();
    Costs { exception, arming, record, armed_switch, lags, ..costs }
}

fn own_tid() -> Option<Tid> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok().map(Tid)
}

fn median<T: Ord + Copy>(mut times: Vec<T>) -> Option<T> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn address_of(word: &AtomicU32) -> Address {
    Address(std::ptr::from_ref(word) as u64)
}

fn time_of_exception() -> Option<Ns> {
    let tid = own_tid()?;
    let word = AtomicU32::new(0);
    let write = || {
        let began = clock::thread_cpu();
        (0..WRITES).for_each(|n| word.store(n, Ordering::SeqCst));
        clock::thread_cpu().saturating_sub(began).0
    };
    let mut ring = Ring::map(perf::task_records(tid).ok()?, 1).ok()?;
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let bare = write();
        let watchpoint = perf::watchpoint(tid, address_of(&word)).ok()?;
        perf::share_ring(&watchpoint, ring.event()).ok()?;
        perf::arm(&watchpoint, WRITES).ok()?;
        let watched = write();
        drop(watchpoint);
        ring.drain(|_| {});
        times.push(watched.saturating_sub(bare) / u64::from(WRITES));
    }
    median(times).map(Ns)
}

fn time_of_arming() -> Option<Ns> {
    let tid = own_tid()?;
    let word = AtomicU32::new(0);
    let mut times = Vec::new();
    for _ in 0..BATCHES {
        let began = clock::thread_cpu();
        for _ in 0..ARMS {
            let watchpoint = perf::watchpoint(tid, address_of(&word)).ok()?;
            perf::arm(&watchpoint, 1).ok()?;
        }
        times.push(clock::thread_cpu().saturating_sub(began).0 / u64::from(ARMS));
    }
    median(times).map(Ns)
}

/// A thread that answers with the CPU time that it has used, on the same core as its partner: each answer is a switch to
/// it and one away from it, and the time of a switch is counted as that of one of the two.
struct Partner {
    asked: PipeWriter,
    answered: PipeReader,
    tid: Tid,
}

impl Partner {
    fn start() -> Option<Partner> {
        let (mut hears, asked) = std::io::pipe().ok()?;
        let (answered, mut says) = std::io::pipe().ok()?;
        let (tell, told) = mpsc::channel();
        let core = clock::current_core()?;
        clock::stay_on(core);
        std::thread::Builder::new()
            .name("gilscope-calibrate".to_owned())
            .spawn(move || {
                clock::stay_on(core);
                let _ = tell.send(own_tid());
                let mut byte = [0];
                // Ends when the pipe does.
                while hears.read_exact(&mut byte).is_ok()
                    && says.write_all(&clock::thread_cpu().0.to_ne_bytes()).is_ok()
                {}
            })
            .ok()?;
        Some(Partner { asked, answered, tid: told.recv().ok()?? })
    }

    fn trips(&mut self) -> Option<u64> {
        let (began, theirs) = (clock::thread_cpu(), self.trip()?);
        let last = (1..TRIPS).try_fold(theirs, |_, _| self.trip())?;
        Some(clock::thread_cpu().saturating_sub(began).0 + last.saturating_sub(theirs))
    }

    /// The CPU time that the other has used by then.
    fn trip(&mut self) -> Option<u64> {
        let mut used = [0; 8];
        self.asked.write_all(&[0]).ok()?;
        self.answered.read_exact(&mut used).ok()?;
        Some(u64::from_ne_bytes(used))
    }
}

/// What one switch record, and what armed watchpoints at a thread's leaving its core and coming back, cost. Measured on a
/// thread that ends with it, for it stays on one core.
fn times_of_switches() -> Option<(Option<Ns>, Option<Ns>)> {
    let measure = || {
        let mut partner = Partner::start()?;
        let words = [AtomicU32::new(0), AtomicU32::new(0)];
        let (mut recorded, mut armed) = (Vec::new(), Vec::new());
        partner.trips()?;
        for _ in 0..BATCHES {
            let bare = partner.trips()?;
            let ring = Ring::map(perf::switch_records(partner.tid).ok()?, 4).ok()?;
            let with_records = partner.trips()?;
            drop(ring);
            let watch = |word| -> Option<OwnedFd> {
                let watchpoint = perf::watchpoint(partner.tid, address_of(word)).ok()?;
                perf::arm(&watchpoint, 1).ok()?;
                Some(watchpoint)
            };
            let watchpoints: Vec<Option<OwnedFd>> = words.iter().map(watch).collect();
            let with_watchpoints = partner.trips()?;
            recorded.push(with_records.saturating_sub(bare) / u64::from(2 * TRIPS));
            if watchpoints.iter().all(Option::is_some) {
                armed.push(with_watchpoints.saturating_sub(bare) / u64::from(TRIPS));
            }
        }
        Some((median(recorded).map(Ns), median(armed).map(Ns)))
    };
    std::thread::scope(|scope| {
        let name = "gilscope-calibrate".to_owned();
        std::thread::Builder::new().name(name).spawn_scoped(scope, measure).ok()?.join().ok()?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lags;

    #[test]
    fn costs_are_measured_where_performance_events_are_permitted() {
        let costs = calibrate();
        if let Err(error) = perf::switch_records(own_tid().unwrap()) {
            eprintln!("skipped: {error}");
            assert_eq!(costs, Costs::ASSUMED);
            return;
        }
        assert_eq!(costs.origin, CostOrigin::Measured);
        // An exception enters the kernel: no machine does that in less, and none needs longer than some ten microseconds
        // but for noise.
        assert!((200..=200_000).contains(&costs.exception.0), "{costs:?}");
        assert_eq!(costs.budget, Costs::ASSUMED.budget);
        // A system call lies in each, and nothing else that takes long. Where others take the cores too often, nothing is known.
        let lags = (0..20).find_map(|_| lags::measure()).expect("one in twenty times");
        for lag in [lags.asking, lags.taking] {
            assert!((100..Lags::LONGEST.0).contains(&lag.0), "{lags:?}");
        }
    }
}
