//! How far the records of a thread's switches lie from what it does, measured on gilscope's own threads.
//!
//! One waits as `take_gil` does (Python/ceval_gil.c): for a condition, with a time-out of the default switch interval. The other
//! wakes it up. Each time, the records of the first lie between two readings of its clock. It has used the caches for something
//! else before, and waits come a millisecond after each other: warm ones make it half as long. For the same reason it is measured
//! while the target runs: on a core that is idle else it takes twice as long as on one that others use as well.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{median, own_tid};
use crate::event::Lags;
use crate::instruments::clock;
use crate::instruments::perf::{self, Record, Ring, Way};
use crate::time::MonoNs;

/// Waits of which the median counts.
const WAITS: usize = 48;
/// Fewer say nothing.
const ENOUGH: usize = 16;
/// How long a wait lasts.
const WAIT: Duration = Duration::from_millis(1);
/// CPython's switch interval.
const TIME_OUT: Duration = Duration::from_millis(5);
/// A core's own caches have no room for more, or for little more.
const USED: usize = 1 << 20;
/// What a cache keeps together.
const LINE: usize = 64;

/// What they are on this machine; `None`: nothing is recorded, or the machine is too busy.
pub fn measure() -> Option<Lags> {
    let (mutex, condition) = (Mutex::new(Turn::GoesOn), Condvar::new());
    let wake = || {
        // Not for ever, whatever becomes of the other.
        for _ in 0..4 * WAITS {
            std::thread::sleep(WAIT);
            if *mutex.lock().unwrap_or_else(PoisonError::into_inner) == Turn::Over {
                return;
            }
            condition.notify_one();
        }
    };
    let wait = || {
        let lags = waits(&mutex, &condition);
        *mutex.lock().unwrap_or_else(PoisonError::into_inner) = Turn::Over;
        lags
    };
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let waiter = named("gilscope-waits").spawn_scoped(scope, wait).ok()?;
        let _ends_with_the_waiter = named("gilscope-wakes").spawn_scoped(scope, wake).ok()?;
        waiter.join().ok()?
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    GoesOn,
    Over,
}

fn waits(mutex: &Mutex<Turn>, condition: &Condvar) -> Option<Lags> {
    let mut ring = Ring::map(perf::switch_records(own_tid()?).ok()?, 1).ok()?;
    let mut memory = vec![0; USED];
    let (mut asking, mut taking) = (Vec::new(), Vec::new());
    for _ in 0..WAITS {
        use_caches(&mut memory);
        ring.drain(|_| {});
        let turn = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = clock::now();
        let turn = condition.wait_timeout(turn, TIME_OUT).unwrap_or_else(PoisonError::into_inner).0;
        let took = clock::now();
        drop(turn);
        let mut switches: Vec<(MonoNs, Way)> = Vec::new();
        ring.drain(|record| match record {
            Record::Switch { at, way, .. } if asked <= at && at <= took => switches.push((at, way)),
            _ => {}
        });
        // What was put off its core, or woken twice, tells something else.
        if let [(left, Way::OutAsleep), (got, Way::In)] = switches.as_slice() {
            asking.push(left.since(asked));
            taking.push(took.since(*got));
        }
    }
    if asking.len() < ENOUGH {
        return None;
    }
    Some(Lags { asking: median(asking)?, taking: median(taking)? }.bounded())
}

fn use_caches(memory: &mut [u8]) {
    memory.iter_mut().step_by(LINE).for_each(|byte| *byte = byte.wrapping_add(1));
    std::hint::black_box(memory);
}
