//! The kernel's record of every context switch of the target's threads: edges to the microsecond.
//!
//! Each thread has a ring of its own. The rings are emptied at every look.

use std::collections::{BTreeMap, HashMap};

use crate::event::{Departure, Event, SwitchesEnd, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::merge::Merge;
use crate::instruments::perf::{self, Record, Ring, Way};
use crate::instruments::purse::{Expense, Purse};
use crate::time::{MonoNs, Ns};

/// Pages for the records of one thread, by how many threads there are: an ordinary user has about 128 pages a core
/// (`perf_event_mlock_kb`), a page holds 170 records.
const PAGES: [(usize, usize); 3] = [(8, 8), (24, 4), (48, 2)];
/// Time over which the number of records is counted.
const WINDOW: Ns = Ns(200_000_000);
/// For how long the records are left alone after they were too dear; each time twice as long.
const PAUSES: (Ns, Ns) = (Ns(2_000_000_000), Ns(60_000_000_000));

/// Follows the switches of all threads that are there.
#[derive(Debug)]
pub struct Switches {
    rings: HashMap<ThreadKey, Ring>,
    tids: HashMap<ThreadKey, Tid>,
    /// Who switched, or came to be followed, since this was asked last; and whether it sleeps by the newest record.
    moved: BTreeMap<ThreadKey, Now>,
    /// Records that were not paid for yet.
    unpaid: u64,
    window: (MonoNs, u64),
    /// Records a second, when they were counted last.
    rate: u64,
    state: State,
    /// For how long nobody is followed the next time that it is too dear.
    pause: Ns,
}

/// Since when threads are followed, or until when they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Following(MonoNs),
    Pausing(MonoNs),
}

/// What was found while the rings were emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing but switches.
    Switches,
    /// A task was born.
    Birth,
}

impl Switches {
    /// Nobody is followed yet.
    pub fn begin() -> Switches {
        let now = clock::now();
        Switches {
            rings: HashMap::new(),
            tids: HashMap::new(),
            moved: BTreeMap::new(),
            unpaid: 0,
            window: (now, 0),
            rate: 0,
            state: State::Following(now),
            pause: PAUSES.0,
        }
    }

    /// Follows whom `told` says that came into view, and lets go of whom it says that ended.
    pub fn follow(&mut self, told: &[Event], events: &mut Vec<Event>) {
        for event in told {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.tids.insert(*thread, tid);
                        if matches!(self.state, State::Following(_)) {
                            self.open(*thread, tid, events);
                        }
                    }
                }
                What::ThreadEnded { thread } => {
                    self.tids.remove(thread);
                    self.rings.remove(thread);
                }
                What::ProcessEnded { .. } => {
                    self.tids.clear();
                    self.rings.clear();
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, thread: ThreadKey, tid: Tid, events: &mut Vec<Event>) {
        let pages = PAGES.iter().find(|(threads, _)| self.tids.len() <= *threads).map_or(1, |(_, pages)| *pages);
        match perf::switch_records(tid).and_then(|event| Ring::map(event, pages)) {
            Ok(ring) => {
                self.rings.insert(thread, ring);
                self.moved.insert(thread, Now::Awake);
                events.push(Event { at: clock::now(), what: What::SwitchesBegin { thread } });
            }
            // It ended: no refusal.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(_) => {
                let what = What::SwitchesEnd { thread, why: SwitchesEnd::Refused };
                events.push(Event { at: clock::now(), what });
            }
        }
    }

    /// Empties the rings.
    pub fn drain(&mut self, told: &mut Merge) -> Found {
        let mut found = Found::Switches;
        for (&thread, ring) in &mut self.rings {
            let (moved, records) = (&mut self.moved, &mut self.unpaid);
            ring.drain(|record| match record {
                Record::Switch { at, cpu, way } => {
                    *records += 1;
                    let now = if way == Way::OutAsleep { Now::Asleep } else { Now::Awake };
                    moved.insert(thread, now);
                    let what = match way {
                        Way::In => What::SwitchedIn { thread, cpu },
                        Way::OutAsleep => What::SwitchedOut { thread, how: Departure::Asleep },
                        Way::OutPreempted => What::SwitchedOut { thread, how: Departure::Preempted },
                    };
                    told.push(at, what);
                }
                Record::Lost { records } => {
                    moved.insert(thread, Now::Awake);
                    // From here on it is followed again; what came before has a hole.
                    let at = told.newest();
                    let why = SwitchesEnd::Lost { records };
                    told.push(at, What::SwitchesEnd { thread, why });
                    told.push(at, What::SwitchesBegin { thread });
                }
                Record::Forked { .. } => found = Found::Birth,
                Record::Hit { .. } | Record::Other => {}
            });
        }
        found
    }

    /// What the threads did since this was asked last.
    pub fn moves(&mut self) -> Moves<'_> {
        Moves { followed: Some(&self.rings), moved: std::mem::take(&mut self.moved) }
    }

    /// Records a second of late: those that there were, while nobody is followed.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Keeps to the budget: where the purse is empty, nobody is followed for a while.
    pub fn govern(&mut self, now: MonoNs, purse: &mut Purse, told: &mut Merge, events: &mut Vec<Event>) {
        let records = std::mem::take(&mut self.unpaid);
        purse.pay(now, Expense::Records(records));
        self.window.1 += records;
        let length = now.since(self.window.0);
        if length >= WINDOW && matches!(self.state, State::Following(_)) {
            self.rate = self.window.1.saturating_mul(Ns::SECOND.0) / length.0;
        }
        if length >= WINDOW {
            self.window = (now, 0);
        }
        match self.state {
            State::Following(since) if records > 0 && purse.left(now) == Ns::ZERO => {
                self.rate = self.rate.max(self.window.1.saturating_mul(Ns::SECOND.0) / length.0.max(WINDOW.0));
                let _last = self.drain(told);
                self.rings.clear();
                for thread in self.tids.keys() {
                    let what = What::SwitchesEnd { thread: *thread, why: SwitchesEnd::TooCostly };
                    events.push(Event { at: now, what });
                }
                if now.since(since) > PAUSES.1 {
                    self.pause = PAUSES.0;
                }
                self.state = State::Pausing(now + self.pause);
                self.pause = Ns(self.pause.0 * 2).min(PAUSES.1);
            }
            State::Pausing(until) if now >= until => {
                self.state = State::Following(now);
                let tids: Vec<(ThreadKey, Tid)> = self.tids.iter().map(|(thread, tid)| (*thread, *tid)).collect();
                for (thread, tid) in tids {
                    self.open(thread, tid, events);
                }
            }
            State::Following(_) | State::Pausing(_) => {}
        }
    }

    /// Tells that `dropped` events of those before `at` came to nobody: what follows is a new beginning.
    pub fn tell_a_hole(&self, at: MonoNs, dropped: u64, events: &mut Vec<Event>) {
        for (n, thread) in self.rings.keys().enumerate() {
            let records = if n == 0 { dropped } else { 0 };
            let end = What::SwitchesEnd { thread: *thread, why: SwitchesEnd::Lost { records } };
            events.extend([end, What::SwitchesBegin { thread: *thread }].map(|what| Event { at, what }));
        }
    }
}

/// What a thread did last, by its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Asleep,
    Awake,
}

/// What the threads did between two looks, as far as their switches are recorded.
#[derive(Debug, Default)]
pub struct Moves<'a> {
    followed: Option<&'a HashMap<ThreadKey, Ring>>,
    moved: BTreeMap<ThreadKey, Now>,
}

impl Moves<'_> {
    /// Whether a thread is known not to have moved: it is where it was at the look before.
    pub fn stayed(&self, thread: ThreadKey) -> bool {
        self.is_followed(thread) && !self.moved.contains_key(&thread)
    }

    /// Whether all its switches are recorded.
    pub fn is_followed(&self, thread: ThreadKey) -> bool {
        self.followed.is_some_and(|followed| followed.contains_key(&thread))
    }

    /// Who has fallen asleep, and sleeps.
    pub fn fell_asleep(&self) -> impl Iterator<Item = ThreadKey> + '_ {
        self.moved.iter().filter(|(_, now)| **now == Now::Asleep).map(|(thread, _)| *thread)
    }
}
