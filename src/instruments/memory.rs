//! What the target and the processes that it has started have in memory (PSS), now and then.
//!
//! While the kernel adds that up, the process's memory map is locked against changes: a thread that maps memory meanwhile waits
//! (25 us for each MiB, where pages have 4 KiB). So of a large process it is read at the end only, when nothing is
//! observed any more that this could delay.

use std::time::Duration;

use crate::event::{Footprint, Pid, ProcessKey, What};
use crate::instruments::background::{Answer, Background};
use crate::instruments::clock;
use crate::target::{descendants, footprint};
use crate::time::{MonoNs, Ns};

/// Time from the beginning to the second reading; each time to the next is twice that, up to [`SPACING`].
const FIRST: Ns = Ns::from_millis(100);
/// Time between two readings.
const SPACING: Ns = Ns(5_000_000_000);
/// Processes are held up for this part of the time, at most.
const SHARE: u64 = 200;
/// The largest process that is read while it is observed: it is held up by some 6 ms at most.
const LARGEST_OBSERVED: u64 = 256 << 20;
/// What a process may be held up by at the end: this part of the time that it was observed.
const LAST_SHARE: u64 = 50;
/// Time that the kernel takes to read a MiB in pages of 4 KiB: measured, 17 to 25 us.
const PACE: Ns = Ns::from_micros(25);

/// Tells what a process has in memory. The thread behind it ends by itself when this value is dropped.
#[derive(Debug)]
pub struct Memory {
    pid: Pid,
    process: ProcessKey,
    reader: Option<Background<Reading>>,
    began: MonoNs,
    due: MonoNs,
    spacing: Ns,
}

/// A reading of the process, and of it and its descendants together.
#[derive(Debug)]
struct Reading {
    at: MonoNs,
    /// How long memory maps were locked for it.
    held: Ns,
    own: Footprint,
    tree: Footprint,
}

impl Memory {
    /// Begins.
    pub fn begin(pid: Pid, process: ProcessKey) -> Memory {
        let pause = Duration::from_nanos(FIRST.0 / 2);
        let reader = Background::start("gilscope-memory", pause, move || match read(pid, LARGEST_OBSERVED) {
            Some(reading) => Answer::Found(reading),
            None => Answer::Never,
        });
        if let Some(reader) = &reader {
            reader.ask();
        }
        let now = clock::now();
        Memory { pid, process, reader, began: now, due: now + FIRST, spacing: FIRST }
    }

    /// What was read since it was asked last. It is read again when it is time to.
    pub fn drain(&mut self, now: MonoNs) -> Option<(MonoNs, What)> {
        let reader = self.reader.as_ref()?;
        let reading = reader.answer();
        if let Some(reading) = &reading {
            let rest = Ns(reading.held.0.saturating_mul(SHARE));
            self.due = self.due.max(reading.at + rest);
        }
        if now >= self.due {
            reader.ask();
            self.spacing = Ns(self.spacing.0 * 2).min(SPACING);
            self.due = now + self.spacing;
        }
        reading.map(|reading| reading.tell(self.process))
    }

    /// What was read meanwhile, and the last reading, which is taken now: of what is still there.
    pub fn finish(mut self) -> Vec<(MonoNs, What)> {
        let now = clock::now();
        self.due = MonoNs(u64::MAX);
        let mut all: Vec<(MonoNs, What)> = self.drain(now).into_iter().collect();
        let largest = now.since(self.began).0 / LAST_SHARE / PACE.0.max(1) * (1 << 20);
        all.extend(read(self.pid, largest).map(|reading| reading.tell(self.process)));
        all
    }
}

impl Reading {
    fn tell(self, process: ProcessKey) -> (MonoNs, What) {
        (self.at, What::MemoryRead { process, own: self.own, tree: self.tree })
    }
}

/// Reads it, if no process of them is larger than that; `None`: it is over.
fn read(pid: Pid, largest: u64) -> Option<Reading> {
    let children = descendants(pid).unwrap_or_default();
    let began = clock::now();
    let own = read_one(pid, largest)?;
    let mut tree = own;
    for child in children {
        // Whoever is over by now has nothing.
        tree = read_one(child, largest).map_or(tree, |child| sum(tree, child));
    }
    let held = clock::now().since(began);
    Some(Reading { at: began + Ns(held.0 / 2), held, own, tree })
}

fn read_one(pid: Pid, largest: u64) -> Option<Footprint> {
    let resident = footprint::resident(pid).ok()?;
    if resident > largest {
        return Some(Footprint::TooLarge);
    }
    match footprint::proportional(pid) {
        Ok(pss) => Some(Footprint::Known { pss, processes: 1 }),
        // Is it over, or may it not be read?
        Err(_) => footprint::resident(pid).ok().map(|_| Footprint::Unreadable),
    }
}

/// Two together.
fn sum(all: Footprint, one: Footprint) -> Footprint {
    match (all, one) {
        (Footprint::Known { pss, processes }, Footprint::Known { pss: more, processes: of }) => {
            Footprint::Known { pss: pss.saturating_add(more), processes: processes.saturating_add(of) }
        }
        (Footprint::Unreadable, _) | (_, Footprint::Unreadable) => Footprint::Unreadable,
        (Footprint::TooLarge, _) | (_, Footprint::TooLarge) => Footprint::TooLarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_child_are_read_together_and_a_large_one_is_left_alone() {
        let own = Pid(std::process::id());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let reading = read(own, u64::MAX).unwrap();
        let small = read(own, 1).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let (Footprint::Known { pss, processes: 1 }, Footprint::Known { pss: all, processes }) =
            (reading.own, reading.tree)
        else {
            panic!("{reading:?}")
        };
        assert!(processes >= 2 && all > pss, "{reading:?}");
        assert_eq!((small.own, small.tree), (Footprint::TooLarge, Footprint::TooLarge));
        assert!(read(Pid(u32::MAX), u64::MAX).is_none());
    }

    #[test]
    fn what_is_not_known_of_one_is_not_known_of_all() {
        let known = |pss| Footprint::Known { pss, processes: 1 };
        assert_eq!(sum(known(3), known(4)), Footprint::Known { pss: 7, processes: 2 });
        assert_eq!(sum(known(3), Footprint::TooLarge), Footprint::TooLarge);
        assert_eq!(sum(Footprint::TooLarge, Footprint::Unreadable), Footprint::Unreadable);
    }

    #[test]
    fn it_is_read_at_the_beginning_and_at_the_end() {
        let mut memory = Memory::begin(Pid(std::process::id()), ProcessKey(3));
        let began = clock::now();
        let mut first = None;
        while first.is_none() && clock::now().since(began) < Ns(20_000_000_000) {
            std::thread::sleep(Duration::from_millis(5));
            first = memory.drain(clock::now());
        }
        // So short an observation allows for no reading that holds anybody up.
        memory.began = MonoNs(0);
        let last = memory.finish();
        let known =
            |what: &What| matches!(what, What::MemoryRead { process: ProcessKey(3), own: Footprint::Known { .. }, .. });
        assert!(first.is_some_and(|(at, what)| at >= began - Ns::SECOND && known(&what)));
        assert!(last.last().is_some_and(|(_, what)| known(what)), "{last:?}");
    }
}
