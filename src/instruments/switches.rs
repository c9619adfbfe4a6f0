//! The kernel's record of every context switch of the target's threads: edges to the microsecond.
//!
//! Each thread has a ring of its own. The rings are emptied at every look.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;

use crate::event::{Cpu, Departure, Event, GilKey, GilSample, Hold, Relation, SwitchesEnd, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::futexes::{Change, Futexes};
use crate::instruments::merge::{Merge, Sighting};
use crate::instruments::perf::{self, FutexTracepoint, Record, Ring, Room, Unfollowed, Way};
use crate::instruments::purse::{Expense, Purse};
use crate::target::GilFutexes;
use crate::time::{MonoNs, Ns};

/// Pages for the records of one thread, by how many threads there are, and one page otherwise: 126 pages at most, with
/// that for a ring's state, as an ordinary user has 129 for each core (`perf_event_mlock_kb`) beside the limit on locked
/// memory (RLIMIT_MEMLOCK). A page holds 170 records.
const PAGES: [(usize, usize); 3] = [(8, 8), (24, 4), (42, 2)];
/// Time over which the number of records is counted.
const WINDOW: Ns = Ns(200_000_000);
/// For how long the records are left alone after they were too dear; each time twice as long.
const PAUSES: (Ns, Ns) = (Ns(2_000_000_000), Ns(60_000_000_000));
/// Time at each look for opening events, of which one takes 15 to 30 us, and 300 us on a machine that is busy.
const OPENING: Ns = Ns(60_000);
/// A thread that has not switched for so long makes room for another that has to do with the GIL.
const QUIET: Ns = Ns(300_000_000);

/// Follows the switches of all threads that are there, as far as the kernel gives rings for them.
#[derive(Debug)]
pub struct Switches {
    followed: HashMap<ThreadKey, Followed>,
    tids: HashMap<ThreadKey, Tid>,
    /// Those to follow as soon as there is time.
    due: VecDeque<ThreadKey>,
    /// Those for whom there was no room, and of whom that was told.
    refused: HashSet<ThreadKey>,
    /// So many threads could be followed when there was no room for one more.
    most: usize,
    rings: Rings,
    /// What names their sleeps, if that was asked for.
    futexes: Option<Futexes>,
    /// Who switched, or came to be followed, since a look last made use of it; some more than once.
    moved: Vec<ThreadKey>,
    /// Records that were not paid for yet.
    unpaid: u64,
    /// Those that name sleeps, and times that traced threads left a core.
    unpaid_traces: u64,
    window: (MonoNs, u64),
    /// Records a second, when they were counted last.
    rate: u64,
    state: State,
    /// For how long nobody is followed the next time that it is too dear.
    pause: Ns,
}

/// A thread's ring, and the newest record in it, or when it was mapped.
#[derive(Debug)]
struct Followed {
    ring: Ring,
    /// What names its sleeps there.
    traced: Option<OwnedFd>,
    pages: usize,
    last: MonoNs,
    /// Where the newest record leaves it.
    place: Place,
    /// Whether it has moved since a look last made use of it.
    since: Since,
}

/// What a thread did since a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Nothing: it is where it was.
    Stayed,
    /// It moved, or may have.
    Moved,
}

/// Where a thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a core.
    On(Cpu),
    /// It was put off this core, and is queued.
    PutOff(Cpu),
    /// It fell asleep: it sleeps, or was woken and is queued.
    Asleep,
    /// Nobody knows.
    Unknown,
}

/// How large rings are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rings {
    /// By the number of threads.
    Large,
    /// As small as there are: the memory for them is used up.
    Small,
}

/// Since when threads are followed, or until when they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Following(MonoNs),
    Pausing(MonoNs),
}

impl Switches {
    /// Nobody is followed yet. With a tracepoint, their sleeps will be named.
    pub fn begin(tracepoint: Option<FutexTracepoint>) -> Switches {
        let now = clock::now();
        Switches {
            followed: HashMap::new(),
            tids: HashMap::new(),
            due: VecDeque::new(),
            refused: HashSet::new(),
            most: usize::MAX,
            rings: Rings::Large,
            futexes: tracepoint.map(|tracepoint| Futexes::begin(tracepoint, now)),
            moved: Vec::new(),
            unpaid: 0,
            unpaid_traces: 0,
            window: (now, 0),
            rate: 0,
            state: State::Following(now),
            pause: PAUSES.0,
        }
    }

    /// Follows whom `news` says that came into view, some at each call, and lets go of whom it says that ended.
    pub fn follow(&mut self, news: &[Event], told: &mut Merge, events: &mut Vec<Event>) {
        for event in news {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.tids.insert(*thread, tid);
                        if matches!(self.state, State::Following(_)) {
                            self.due.push_back(*thread);
                        }
                    }
                }
                What::ThreadEnded { thread } => {
                    self.tids.remove(thread);
                    self.refused.remove(thread);
                    self.followed.remove(thread);
                }
                What::ProcessEnded { .. } => {
                    self.tids.clear();
                    self.due.clear();
                    self.refused.clear();
                    self.followed.clear();
                }
                What::Relation { thread, relation: Relation::Waiting, .. }
                | What::GilSample(GilSample { hold: Hold::By { thread, .. }, .. })
                    if self.refused.contains(thread) && self.may_have_room(event.at, events) =>
                {
                    self.due.push_front(*thread);
                }
                _ => {}
            }
        }
        let until = clock::now() + OPENING;
        while matches!(self.state, State::Following(_))
            && let Some(thread) = self.due.pop_front()
        {
            self.open(thread, told, events);
            if clock::now() >= until {
                break;
            }
        }
        while let Some(futexes) = &mut self.futexes
            && clock::now() < until
            && let Some(thread) = futexes.next_due()
        {
            if let Some((followed, tid)) = self.followed.get_mut(&thread).zip(self.tids.get(&thread))
                && followed.traced.is_none()
            {
                followed.traced = futexes.trace(*tid, &mut followed.ring);
                if followed.traced.is_some() {
                    events.push(Event { at: clock::now(), what: What::FutexesBegin { thread } });
                }
            }
        }
    }

    /// There are these GILs; `None` if nobody can tell whose futex an address is.
    pub fn look_at(&mut self, gils: Option<Vec<(GilKey, GilFutexes)>>, events: &mut Vec<Event>) {
        let change = self.futexes.as_mut().map(|futexes| futexes.look_at(gils.unwrap_or_default()));
        if change == Some(Change::Gils) {
            self.untrace(SwitchesEnd::Lost { records: 0 }, events);
            self.trace_all();
        }
    }

    fn trace_all(&mut self) {
        if let Some(futexes) = &mut self.futexes {
            self.followed.keys().for_each(|thread| futexes.is_due(*thread));
        }
    }

    fn untrace(&mut self, why: SwitchesEnd, events: &mut Vec<Event>) {
        let at = clock::now();
        for (&thread, followed) in &mut self.followed {
            if followed.traced.take().is_some() {
                events.push(Event { at, what: What::FutexesEnd { thread, why } });
            }
        }
    }

    /// A thread is no longer followed.
    fn let_go(&mut self, thread: ThreadKey, why: SwitchesEnd, events: &mut Vec<Event>) {
        if let Some(followed) = self.followed.remove(&thread) {
            let traced = followed.traced.map(|_| What::FutexesEnd { thread, why });
            let ends = traced.into_iter().chain([What::SwitchesEnd { thread, why }]);
            events.extend(ends.map(|what| Event { at: clock::now(), what }));
        }
    }

    /// Whether another thread can be followed, at the price of one that has been quiet for long if need be.
    fn may_have_room(&mut self, now: MonoNs, events: &mut Vec<Event>) -> bool {
        if self.followed.len() < self.most {
            return true;
        }
        let quietest = self.followed.iter().min_by_key(|(_, followed)| followed.last);
        let Some((&thread, _)) = quietest.filter(|(_, followed)| now.since(followed.last) >= QUIET) else {
            return false;
        };
        self.let_go(thread, SwitchesEnd::Refused, events);
        self.refused.insert(thread);
        true
    }

    fn refuse(&mut self, thread: ThreadKey, events: &mut Vec<Event>) {
        if self.refused.insert(thread) {
            let what = What::SwitchesEnd { thread, why: SwitchesEnd::Refused };
            events.push(Event { at: clock::now(), what });
        }
    }

    fn open(&mut self, thread: ThreadKey, told: &mut Merge, events: &mut Vec<Event>) {
        let Some(tid) = self.tids.get(&thread).filter(|_| !self.followed.contains_key(&thread)) else { return };
        if self.followed.len() >= self.most {
            return self.refuse(thread, events);
        }
        let pages = match self.rings {
            Rings::Large => PAGES.iter().find(|(threads, _)| self.tids.len() <= *threads).map_or(1, |(_, n)| *n),
            Rings::Small => 1,
        };
        match perf::follow(*tid, pages) {
            Ok(ring) => {
                let at = clock::now();
                self.followed.insert(
                    thread,
                    Followed { ring, traced: None, pages, last: at, place: Place::Unknown, since: Since::Moved },
                );
                if let Some(futexes) = &mut self.futexes {
                    futexes.is_due(thread);
                }
                self.refused.remove(&thread);
                self.moved.push(thread);
                events.push(Event { at, what: What::SwitchesBegin { thread } });
            }
            // It ended: no refusal.
            Err(Unfollowed::Gone) => {}
            Err(Unfollowed::LockedMemory) if self.rings == Rings::Large => {
                self.make_small(told, events);
                self.due.push_front(thread);
            }
            Err(why) => {
                if why.is_of_want() {
                    self.most = self.followed.len();
                }
                self.refuse(thread, events);
            }
        }
    }

    /// From here on no ring has more than one page: those that have are mapped again.
    fn make_small(&mut self, told: &mut Merge, events: &mut Vec<Event>) {
        self.rings = Rings::Small;
        let _last = self.drain(told);
        let large: Vec<ThreadKey> = self.followed.iter().filter(|(_, it)| it.pages > 1).map(|(key, _)| *key).collect();
        for thread in large {
            self.let_go(thread, SwitchesEnd::Lost { records: 0 }, events);
            self.due.push_front(thread);
        }
    }

    /// Empties the rings.
    pub fn drain(&mut self, told: &mut Merge) -> Sighting {
        let mut found = Sighting::Nothing;
        let (moved, records, traces) = (&mut self.moved, &mut self.unpaid, &mut self.unpaid_traces);
        for (&thread, Followed { ring, traced, last, place, since, .. }) in &mut self.followed {
            let mut moves = |now: Place| {
                *place = now;
                if std::mem::replace(since, Since::Moved) == Since::Stayed {
                    moved.push(thread);
                }
            };
            // From the end of a hole on the thread is followed again.
            let hole = |told: &mut Merge, from: MonoNs, to: MonoNs, records: u64| {
                told.push(from, What::SwitchesEnd { thread, why: SwitchesEnd::Lost { records } });
                told.push(to, What::SwitchesBegin { thread });
            };
            let room = ring.drain(|record| match record {
                Record::Switch { at, cpu, way } => {
                    *records += 1;
                    *traces += u64::from(traced.is_some() && way != Way::In);
                    *last = at;
                    moves(match way {
                        Way::In => Place::On(cpu),
                        Way::OutAsleep => Place::Asleep,
                        Way::OutPreempted => Place::PutOff(cpu),
                    });
                    let what = match way {
                        Way::In => What::SwitchedIn { thread, cpu },
                        Way::OutAsleep => What::SwitchedOut { thread, how: Departure::Asleep },
                        Way::OutPreempted => What::SwitchedOut { thread, how: Departure::Preempted },
                    };
                    told.push(at, what);
                }
                Record::FutexWait { at, address } => {
                    *traces += 1;
                    if let Some((gil, site)) = self.futexes.as_ref().and_then(|futexes| futexes.site(address)) {
                        told.push(at, What::FutexEntered { gil, thread, site });
                    }
                }
                Record::Lost { at, records: lost } => {
                    // They took their time all the same.
                    *records += lost;
                    moves(Place::Unknown);
                    let at = at.unwrap_or_else(clock::now).max(*last);
                    hole(told, *last, at, lost);
                    *last = at;
                }
                Record::Forked { .. } => found = Sighting::Birth,
                Record::Hit { .. } | Record::Signal { .. } | Record::Other => {}
            });
            if room == Room::Full {
                let now = clock::now();
                moves(Place::Unknown);
                hole(told, *last, now, 0);
                *last = now;
            }
        }
        found
    }

    /// What the threads did since a look last made use of it.
    pub fn moves(&self) -> Moves<'_> {
        Moves { followed: Some(&self.followed), moved: &self.moved }
    }

    /// Whether the switches of all threads are told, and with them their births.
    pub fn tells_all(&self) -> bool {
        matches!(self.state, State::Following(_)) && self.due.is_empty() && self.refused.is_empty()
    }

    /// A look has made use of it.
    pub fn looked(&mut self) {
        for thread in self.moved.drain(..) {
            if let Some(followed) = self.followed.get_mut(&thread) {
                followed.since = Since::Stayed;
            }
        }
    }

    /// Whether there was no room for the rings of all threads.
    pub fn is_in_want(&self) -> bool {
        self.most != usize::MAX
    }

    /// Records a second of late: those that there were, while nobody is followed.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Keeps to the budget: before the purse is empty, nobody is followed for a while.
    pub fn govern(&mut self, now: MonoNs, purse: &mut Purse, told: &mut Merge, events: &mut Vec<Event>) {
        let records = std::mem::take(&mut self.unpaid);
        purse.pay(now, Expense::Records(records));
        let traces = std::mem::take(&mut self.unpaid_traces);
        purse.pay(now, Expense::Traces(traces));
        if let Some(futexes) = &mut self.futexes {
            // They go first: without them the records still tell most.
            if traces > 0 && purse.left(now).0 <= purse.costs().budget.0 / 4 {
                futexes.give_up(now);
                let _last = self.drain(told);
                self.untrace(SwitchesEnd::TooCostly, events);
            } else if futexes.resumes(now) {
                self.trace_all();
            }
        }
        self.window.1 += records;
        let length = now.since(self.window.0);
        if length >= WINDOW && matches!(self.state, State::Following(_)) {
            self.rate = self.window.1.saturating_mul(Ns::SECOND.0) / length.0;
        }
        if length >= WINDOW {
            self.window = (now, 0);
        }
        match self.state {
            // The next look may bring as many again.
            State::Following(since)
                if records > 0 && purse.left(now).0 <= purse.costs().record.0.saturating_mul(records) =>
            {
                self.rate = self.rate.max(self.window.1.saturating_mul(Ns::SECOND.0) / length.0.max(WINDOW.0));
                let _last = self.drain(told);
                let now = clock::now();
                let followed: Vec<ThreadKey> = self.followed.keys().copied().collect();
                followed.into_iter().for_each(|thread| self.let_go(thread, SwitchesEnd::TooCostly, events));
                self.due.clear();
                if now.since(since) > PAUSES.1 {
                    self.pause = PAUSES.0;
                }
                self.state = State::Pausing(now + self.pause);
                self.pause = Ns(self.pause.0 * 2).min(PAUSES.1);
            }
            State::Pausing(until) if now >= until => {
                self.state = State::Following(now);
                self.due = self.tids.keys().copied().collect();
                self.most = usize::MAX;
            }
            State::Following(_) | State::Pausing(_) => {}
        }
    }

    /// Tells that `dropped` events of those before `at` came to nobody: what follows is a new beginning.
    pub fn tell_a_hole(&self, at: MonoNs, dropped: u64, events: &mut Vec<Event>) {
        for (n, thread) in self.followed.keys().enumerate() {
            let records = if n == 0 { dropped } else { 0 };
            let end = What::SwitchesEnd { thread: *thread, why: SwitchesEnd::Lost { records } };
            events.extend([end, What::SwitchesBegin { thread: *thread }].map(|what| Event { at, what }));
        }
    }
}

/// What the threads did between two looks, as far as their switches are recorded.
#[derive(Debug, Default)]
pub struct Moves<'a> {
    followed: Option<&'a HashMap<ThreadKey, Followed>>,
    moved: &'a [ThreadKey],
}

impl Moves<'_> {
    /// Whether a thread is known not to have moved: it is where it was at the look before.
    pub fn stayed(&self, thread: ThreadKey) -> bool {
        self.find(thread).is_some_and(|followed| followed.since == Since::Stayed)
    }

    /// Whether all its switches are recorded.
    pub fn is_followed(&self, thread: ThreadKey) -> bool {
        self.find(thread).is_some()
    }

    /// Where the newest record leaves a thread.
    pub fn place(&self, thread: ThreadKey) -> Place {
        self.find(thread).map_or(Place::Unknown, |followed| followed.place)
    }

    fn find(&self, thread: ThreadKey) -> Option<&Followed> {
        self.followed?.get(&thread)
    }

    /// Who has fallen asleep, and sleeps.
    pub fn fell_asleep(&self) -> impl Iterator<Item = ThreadKey> + '_ {
        self.moved.iter().copied().filter(|thread| self.place(*thread) == Place::Asleep)
    }
}
