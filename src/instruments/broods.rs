//! Threads that live for a moment: recorded from their birth on, by events that whoever made them hands down to them.
//!
//! A thread has to be seen before an event of its own can be opened: one to four milliseconds after its birth, which is
//! the whole life of a thread that answers one request. So a thread that makes others gets an event on each core that
//! they inherit, with one ring a core for the records of all.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Cpu, Pid, ThreadKey, Tid};
use crate::instruments::clock;
use crate::instruments::perf::{self, Handed, Ring, Room};
use crate::instruments::respite::Respite;
use crate::target::cpus;
use crate::target::descriptors::{self, Kept};
use crate::time::{MonoNs, Ns};

/// Each birth takes 2 us more for each core (as was measured with 2 to 64 of them): on a machine with more, a birth
/// would take longer than half as long again.
const MOST_CORES: usize = 16;
/// Those that make threads, at most.
const MOST_BROODS: usize = 4;
/// Pages for the records of one brood on one core: 400 records.
const PAGES: usize = 4;
/// Without a birth for so long, and with nobody left of it, a brood is given up.
const BARREN: Ns = Ns(10_000_000_000);
/// Born, and not met yet, at most.
const MOST_UNMET: usize = 1_024;
/// Records of somebody who was not met yet, at most.
const MOST_RECORDS: usize = 256;
/// One event that is handed down costs a birth as much as so many switch records.
const RECORDS_A_BIRTH: u64 = 4;

/// Those who make threads, and those whom they made.
#[derive(Debug)]
pub struct Broods {
    /// The cores of the machine; none where there are too many.
    cores: Vec<Cpu>,
    broods: BTreeMap<ThreadKey, Brood>,
    /// Who made a thread, and is to get a brood.
    due: VecDeque<ThreadKey>,
    /// Who came into view, and under which name the kernel has it.
    met: BTreeMap<Tid, (ThreadKey, ThreadKey)>,
    unmet: BTreeMap<Tid, Newborn>,
    /// The buffer of one emptying.
    gathered: Vec<(ThreadKey, Handed)>,
    respite: Respite,
    /// What was not paid for yet, in switch records.
    unpaid: u64,
    births: u64,
}

#[derive(Debug)]
struct Brood {
    rings: Vec<Ring>,
    /// Since when there is one on every core: who was born before has not inherited all of them.
    complete: Option<MonoNs>,
    /// The newest birth, or when it was begun.
    newest: MonoNs,
}

/// A thread that was born, and is recorded.
#[derive(Debug)]
struct Newborn {
    /// When: it had not run yet.
    at: MonoNs,
    maker: ThreadKey,
    records: Vec<Handed>,
}

/// What the rings told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Something about a thread that was met.
    Of(ThreadKey, Handed),
    /// Of a thread that was met there may be records missing up to here, and so many are.
    Hole(ThreadKey, MonoNs, u64),
}

impl Broods {
    /// None yet.
    pub fn begin(now: MonoNs) -> Broods {
        let cores = cpus::online().unwrap_or_default();
        Broods {
            cores: if cores.len() <= MOST_CORES { cores } else { Vec::new() },
            broods: BTreeMap::new(),
            due: VecDeque::new(),
            met: BTreeMap::new(),
            unmet: BTreeMap::new(),
            gathered: Vec::new(),
            respite: Respite::none(now),
            unpaid: 0,
            births: 0,
        }
    }

    /// A thread has made another one: those that it will make are recorded from birth on, as soon as there is time.
    pub fn made_one(&mut self, maker: ThreadKey) {
        let is_new = !self.broods.contains_key(&maker) && !self.due.contains(&maker);
        if is_new && !self.respite.is_resting() && !self.cores.is_empty() {
            self.due.push_back(maker);
            self.due.truncate(MOST_BROODS);
        }
    }

    /// Opens events for those who are to get a brood, until an instant. `tid` is who a thread is to the kernel.
    pub fn open(&mut self, until: MonoNs, tid: impl Fn(ThreadKey) -> Option<Tid>) {
        while clock::now() < until
            && let Some(&maker) = self.due.front()
        {
            if self.broods.len() >= MOST_BROODS && !self.broods.contains_key(&maker) {
                self.due.clear();
                return;
            }
            let now = clock::now();
            let brood =
                self.broods.entry(maker).or_insert_with(|| Brood { rings: Vec::new(), complete: None, newest: now });
            let core = self.cores.get(brood.rings.len()).copied();
            match core.map(|core| tid(maker).and_then(|tid| ring(tid, core))) {
                Some(Some(ring)) => brood.rings.push(ring),
                // It ended, or there is no room.
                Some(None) => {
                    self.broods.remove(&maker);
                    self.due.pop_front();
                }
                None => {
                    brood.complete = Some(now);
                    self.due.pop_front();
                }
            }
        }
    }

    /// Empties the rings: what they tell of those who were met, in the order of time, goes to `each`.
    pub fn drain(&mut self, process: Option<Pid>, mut each: impl FnMut(Told)) {
        let mut gathered = std::mem::take(&mut self.gathered);
        let now = clock::now();
        let mut full = Vec::new();
        for (&maker, brood) in &mut self.broods {
            for ring in &mut brood.rings {
                let room = ring.drain_whole(&mut [0; perf::LONGEST], |record| {
                    let unreadable = Handed::Lost { at: now, records: 1 };
                    gathered.push((maker, record.map_or(unreadable, Handed::parse)));
                });
                if room == Room::Full {
                    full.push((maker, Handed::Lost { at: now, records: 0 }));
                }
            }
        }
        gathered.append(&mut full);
        gathered.sort_by_key(|(_, record)| record.at());
        for (maker, record) in gathered.drain(..) {
            match record {
                Handed::Switch { tid, .. } | Handed::Ends { tid, .. } => {
                    self.unpaid += 1;
                    match (self.unmet.get_mut(&tid), self.met.get(&tid)) {
                        (Some(newborn), _) if newborn.records.len() < MOST_RECORDS => newborn.records.push(record),
                        (Some(_), _) => drop(self.unmet.remove(&tid)),
                        (None, Some((thread, by))) if *by == maker => each(Told::Of(*thread, record)),
                        (None, _) => {}
                    }
                }
                Handed::Born { tid, process: of, at } if Some(Pid(of)) == process => {
                    self.births += 1;
                    self.unpaid += RECORDS_A_BIRTH * self.cores.len() as u64;
                    let Some(brood) = self.broods.get_mut(&maker) else { continue };
                    brood.newest = at;
                    if brood.complete.is_some_and(|complete| complete <= at) && self.unmet.len() < MOST_UNMET {
                        self.met.remove(&tid);
                        self.unmet.insert(tid, Newborn { at, maker, records: Vec::new() });
                    }
                }
                Handed::Lost { at, records } => {
                    self.unpaid += records;
                    // Whose they were nobody knows.
                    self.unmet.retain(|_, newborn| newborn.maker != maker);
                    let children = self.met.values().filter(|(_, by)| *by == maker);
                    children.for_each(|(thread, _)| each(Told::Hole(*thread, at, records)));
                }
                Handed::Born { .. } | Handed::Other => {}
            }
        }
        self.gathered = gathered;
    }

    /// Those that were born and not met so far, and when.
    pub fn unmet(&self) -> impl Iterator<Item = (Tid, MonoNs)> + '_ {
        self.unmet.iter().map(|(tid, newborn)| (*tid, newborn.at))
    }

    /// A thread has come into view: if it was born into a brood, when that was, and what it did since.
    pub fn meet(&mut self, thread: ThreadKey, tid: Tid) -> Option<(MonoNs, Vec<Handed>)> {
        let newborn = self.unmet.remove(&tid)?;
        self.met.insert(tid, (thread, newborn.maker));
        Some((newborn.at, newborn.records))
    }

    /// A thread is not to be followed: it was known before, under an event of its own.
    pub fn pass_over(&mut self, tid: Tid) {
        self.unmet.remove(&tid);
    }

    /// A thread has ended.
    pub fn ended(&mut self, thread: ThreadKey) {
        self.met.retain(|_, (met, _)| *met != thread);
    }

    /// The process is over.
    pub fn clear(&mut self) {
        self.broods.clear();
        self.due.clear();
        self.met.clear();
        self.unmet.clear();
    }

    /// What is to be paid for since this was asked last, in switch records.
    pub fn unpaid(&mut self) -> u64 {
        std::mem::take(&mut self.unpaid)
    }

    /// Births into broods since this was asked last.
    pub fn births(&mut self) -> u64 {
        std::mem::take(&mut self.births)
    }

    /// Gives up those that have made nobody for long and of whom nobody is left.
    pub fn tidy(&mut self, now: MonoNs) {
        self.respite.ends(now);
        let (met, unmet) = (&self.met, &self.unmet);
        self.broods.retain(|maker, brood| {
            now.since(brood.newest) < BARREN
                || met.values().any(|(_, by)| by == maker)
                || unmet.values().any(|newborn| newborn.maker == *maker)
        });
    }

    /// They are too dear: nobody is handed an event for a while. Those who are no longer recorded.
    pub fn give_up(&mut self, now: MonoNs) -> Vec<ThreadKey> {
        self.respite.begin(now);
        let met = self.met.values().map(|(thread, _)| *thread).collect();
        self.clear();
        met
    }
}

fn ring(tid: Tid, core: Cpu) -> Option<Ring> {
    let event = perf::handed_records(tid, core).ok()?;
    if !descriptors::may_stay_open(&event, Kept::ForSpeed) {
        return None;
    }
    Ring::map(event, PAGES).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::instruments::perf::Way;

    fn own_tid() -> Tid {
        let link = fs::read_link("/proc/thread-self").expect("it is there");
        let tid = link.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        Tid(tid.expect("a number"))
    }

    /// A thread that makes another one for each word that it is sent, each of which sleeps twice and tells its tid.
    fn maker() -> (mpsc::Sender<()>, mpsc::Receiver<Tid>, Tid) {
        let (ask, asked) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            tell.send(own_tid()).unwrap();
            for () in asked {
                let born = std::thread::spawn(|| {
                    (0..2).for_each(|_| std::thread::sleep(Duration::from_micros(200)));
                    own_tid()
                });
                tell.send(born.join().unwrap()).unwrap();
            }
        });
        let tid = told.recv().unwrap();
        (ask, told, tid)
    }

    #[test]
    fn who_is_born_is_recorded_for_all_of_its_life() {
        let (ask, told, tid) = maker();
        let (maker, child, own) = (ThreadKey(0), ThreadKey(1), Some(Pid(std::process::id())));
        let mut broods = Broods::begin(clock::now());
        broods.made_one(maker);
        broods.open(clock::now() + Ns::SECOND, |_| Some(tid));
        if broods.broods.is_empty() {
            eprintln!("skipped: too many cores, or performance events are refused");
            return;
        }
        ask.send(()).unwrap();
        let born = told.recv().unwrap();
        let mut of_others = 0;
        broods.drain(own, |_| of_others += 1);
        assert_eq!((of_others, broods.births()), (0, 1));
        assert_eq!(broods.unmet().map(|(tid, _)| tid).collect::<Vec<_>>(), [born]);
        let (at, records) = broods.meet(child, born).unwrap();
        assert!(broods.unmet().next().is_none());
        let ways: Vec<Way> = records
            .iter()
            .filter_map(|record| match record {
                Handed::Switch { tid, at: when, way, .. } => {
                    assert!(*tid == born && *when >= at, "{record:?}");
                    Some(*way)
                }
                _ => None,
            })
            .collect();
        assert!(ways.iter().enumerate().all(|(n, way)| (*way == Way::In) == (n % 2 == 0)), "by turns: {ways:?}");
        assert!(ways.iter().filter(|way| **way == Way::OutAsleep).count() >= 2, "two sleeps: {ways:?}");
        assert!(matches!(records.last(), Some(Handed::Ends { tid, .. }) if *tid == born), "{records:?}");
        // Another one, who is told of as soon as it was met; and of processes nobody is met.
        ask.send(()).unwrap();
        let next = told.recv().unwrap();
        broods.drain(None, |_| {});
        assert!(broods.unmet().next().is_none());
        assert!(broods.meet(child, next).is_none());
        // Given up, its rings are gone.
        assert_eq!(broods.give_up(clock::now()), [child]);
        broods.made_one(maker);
        assert!(broods.due.is_empty());
    }
}
