//! The kernel's record of every context switch of the target's threads: edges to the microsecond.
//!
//! Each thread has a ring of its own, or shares one with those born of the same thread ([`Broods`]). The rings are emptied at
//! every look.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::OwnedFd;

use crate::event::{Cpu, Departure, Event, GilKey, GilSample, Hold, Pid, Relation, SwitchesEnd, ThreadKey, Tid, What};
use crate::instruments::broods::{self, Broods};
use crate::instruments::clock;
use crate::instruments::futexes::{Change, Futexes};
use crate::instruments::merge::{Merge, Sighting};
use crate::instruments::perf::{self, FutexTracepoint, Handed, Record, Ring, Room, Unfollowed, Way};
use crate::instruments::purse::{Expense, Purse};
use crate::instruments::respite::Respite;
use crate::target::GilFutexes;
use crate::time::{MonoNs, Ns};

/// Pages for the records of one thread, by how many threads there are, and one page otherwise: 126 pages at most, with
/// that for a ring's state, as an ordinary user has 129 for each core (`perf_event_mlock_kb`) beside the limit on locked
/// memory (RLIMIT_MEMLOCK). A page holds 170 records.
const PAGES: [(usize, usize); 3] = [(8, 8), (24, 4), (42, 2)];
/// Time over which the number of records is counted.
const WINDOW: Ns = Ns(200_000_000);
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
    process: Option<Pid>,
    /// Those who make threads, which are recorded from birth on.
    broods: Broods,
    /// Processes that the threads have made.
    children: Vec<Pid>,
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
    /// Nobody is followed meanwhile.
    respite: Respite,
}

/// A thread's ring, and the newest record in it, or when it was mapped.
#[derive(Debug)]
struct Followed {
    source: Source,
    last: MonoNs,
    /// Where the newest record leaves it.
    place: Place,
    /// Whether it has moved since a look last made use of it.
    since: Since,
}

/// Where a thread's records come from.
#[derive(Debug)]
enum Source {
    /// A ring of its own.
    Own {
        ring: Ring,
        /// What names its sleeps there.
        traced: Option<OwnedFd>,
        pages: usize,
    },
    /// Those of its brood.
    Handed,
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
            process: None,
            broods: Broods::begin(now),
            children: Vec::new(),
            futexes: tracepoint.map(|tracepoint| Futexes::begin(tracepoint, now)),
            moved: Vec::new(),
            unpaid: 0,
            unpaid_traces: 0,
            window: (now, 0),
            rate: 0,
            respite: Respite::none(now),
        }
    }

    /// Follows whom `news` says that came into view, some at each call, and lets go of whom it says that ended.
    pub fn follow(&mut self, news: &[Event], told: &mut Merge, events: &mut Vec<Event>) {
        for event in news {
            match &event.what {
                What::ProcessFound { info, .. } => self.process = Some(info.pid),
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.tids.insert(*thread, tid);
                        if !self.respite.is_resting() && !self.followed.contains_key(thread) {
                            self.due.push_back(*thread);
                        }
                    }
                }
                What::ThreadEnded { thread } => {
                    self.tids.remove(thread);
                    self.refused.remove(thread);
                    self.followed.remove(thread);
                    self.broods.ended(*thread);
                }
                What::ProcessEnded { .. } => {
                    self.tids.clear();
                    self.due.clear();
                    self.refused.clear();
                    self.followed.clear();
                    self.broods.clear();
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
        while !self.respite.is_resting()
            && let Some(thread) = self.due.pop_front()
        {
            self.open(thread, told, events);
            if clock::now() >= until {
                break;
            }
        }
        let tids = &self.tids;
        self.broods.open(until, |thread| tids.get(&thread).copied());
        while let Some(futexes) = &mut self.futexes
            && clock::now() < until
            && let Some(thread) = futexes.next_due()
        {
            if let Some((followed, tid)) = self.followed.get_mut(&thread).zip(self.tids.get(&thread))
                && let Source::Own { ring, traced, .. } = &mut followed.source
                && traced.is_none()
            {
                *traced = futexes.trace(*tid, ring);
                if traced.is_some() {
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
            if let Source::Own { traced, .. } = &mut followed.source
                && traced.take().is_some()
            {
                events.push(Event { at, what: What::FutexesEnd { thread, why } });
            }
        }
    }

    /// A thread is no longer followed.
    fn let_go(&mut self, thread: ThreadKey, why: SwitchesEnd, events: &mut Vec<Event>) {
        if let Some(followed) = self.followed.remove(&thread) {
            let traced = match followed.source {
                Source::Own { traced, .. } => traced.map(|_| What::FutexesEnd { thread, why }),
                Source::Handed => None,
            };
            let ends = traced.into_iter().chain([What::SwitchesEnd { thread, why }]);
            events.extend(ends.map(|what| Event { at: clock::now(), what }));
        }
    }

    /// Whether another thread can be followed, at the price of one that has been quiet for long if need be.
    fn may_have_room(&mut self, now: MonoNs, events: &mut Vec<Event>) -> bool {
        if self.own_rings() < self.most {
            return true;
        }
        let own = self.followed.iter().filter(|(_, followed)| followed.pages().is_some());
        let quietest = own.min_by_key(|(_, followed)| followed.last);
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
        if self.own_rings() >= self.most {
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
                    Followed {
                        source: Source::Own { ring, traced: None, pages },
                        last: at,
                        place: Place::Unknown,
                        since: Since::Moved,
                    },
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
                    self.most = self.own_rings();
                }
                self.refuse(thread, events);
            }
        }
    }

    /// From here on no ring has more than one page: those that have are mapped again.
    fn make_small(&mut self, told: &mut Merge, events: &mut Vec<Event>) {
        self.rings = Rings::Small;
        let _last = self.drain(told);
        let is_large = |followed: &Followed| followed.pages().is_some_and(|pages| pages > 1);
        let large: Vec<ThreadKey> = self.followed.iter().filter(|(_, it)| is_large(it)).map(|(key, _)| *key).collect();
        for thread in large {
            self.let_go(thread, SwitchesEnd::Lost { records: 0 }, events);
            self.due.push_front(thread);
        }
    }

    /// Empties the rings.
    pub fn drain(&mut self, told: &mut Merge) -> Sighting {
        let mut found = Sighting::Nothing;
        let (records, traces) = (&mut self.unpaid, &mut self.unpaid_traces);
        let mut births = Vec::new();
        for (&thread, followed) in &mut self.followed {
            let Source::Own { ring, traced, .. } = &mut followed.source else { continue };
            let mut tale = Tale {
                thread,
                last: &mut followed.last,
                place: &mut followed.place,
                since: &mut followed.since,
                moved: &mut self.moved,
            };
            let room = ring.drain(|record| match record {
                Record::Switch { at, cpu, way } => {
                    *records += 1;
                    *traces += u64::from(traced.is_some() && way != Way::In);
                    tale.switches(told, at, cpu, way);
                }
                Record::FutexWait { at, address } => {
                    *traces += 1;
                    if let Some((gil, site)) = self.futexes.as_ref().and_then(|futexes| futexes.site(address)) {
                        told.push(at, What::FutexEntered { gil, thread, site });
                    }
                }
                Record::Ends { at } => tale.ends(told, at),
                Record::Lost { at, records: lost } => {
                    // They took their time all the same.
                    *records += lost;
                    tale.misses(told, at.unwrap_or_else(clock::now), lost);
                }
                // A process is numbered like its first thread.
                Record::Forked { process, tid, .. } if process == tid.0 => self.children.push(Pid(process)),
                Record::Forked { process, .. } => {
                    found = Sighting::Birth;
                    births.push((thread, process));
                }
                Record::Hit { .. } | Record::Signal { .. } | Record::Other => {}
            });
            if room == Room::Full {
                tale.misses(told, clock::now(), 0);
            }
        }
        for (maker, process) in births {
            if self.process == Some(Pid(process)) {
                self.broods.made_one(maker);
            }
        }
        let (followed, moved) = (&mut self.followed, &mut self.moved);
        self.broods.drain(self.process, |record| {
            let (broods::Told::Of(thread, _) | broods::Told::Hole(thread, ..)) = record;
            let Some(followed) = followed.get_mut(&thread) else { return };
            let Followed { last, place, since, .. } = followed;
            let mut tale = Tale { thread, last, place, since, moved };
            match record {
                broods::Told::Of(_, record) => tale.hears(told, record),
                broods::Told::Hole(_, at, records) => tale.misses(told, at, records),
            }
        });
        self.unpaid += self.broods.unpaid();
        if self.broods.unmet().next().is_some() {
            found = Sighting::Birth;
        }
        found
    }

    /// Who was born and is recorded since, but not known yet, and when that was.
    pub fn newborns(&self) -> Vec<(Tid, MonoNs)> {
        self.broods.unmet().collect()
    }

    /// A newborn has come into view as `thread`, which was told just before; or as nobody, as it was known already.
    pub fn meet(&mut self, tid: Tid, thread: Option<ThreadKey>, told: &mut Merge, events: &mut Vec<Event>) {
        let Some(thread) = thread else { return self.broods.pass_over(tid) };
        let Some((at, records)) = self.broods.meet(thread, tid) else { return };
        self.tids.insert(thread, tid);
        events.push(Event { at: at.max(told.released()), what: What::SwitchesBegin { thread } });
        let mut followed = Followed { source: Source::Handed, last: at, place: Place::Unknown, since: Since::Moved };
        self.moved.push(thread);
        let Followed { last, place, since, .. } = &mut followed;
        let mut tale = Tale { thread, last, place, since, moved: &mut self.moved };
        records.into_iter().for_each(|record| tale.hears(told, record));
        self.followed.insert(thread, followed);
    }

    /// Threads with a ring of their own.
    fn own_rings(&self) -> usize {
        self.followed.values().filter(|followed| followed.pages().is_some()).count()
    }

    /// What the threads did since a look last made use of it.
    pub fn moves(&self) -> Moves<'_> {
        Moves { followed: Some(&self.followed), moved: &self.moved }
    }

    /// Whether the switches of all threads are told, and with them their births.
    pub fn tells_all(&self) -> bool {
        !self.respite.is_resting() && self.due.is_empty() && self.refused.is_empty()
    }

    /// A look has made use of it.
    pub fn looked(&mut self) {
        for thread in self.moved.drain(..) {
            if let Some(followed) = self.followed.get_mut(&thread) {
                followed.since = Since::Stayed;
            }
        }
    }

    /// The processes that the threads have made since this was asked last.
    pub fn take_children(&mut self) -> Vec<Pid> {
        std::mem::take(&mut self.children)
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
        self.broods.tidy(now);
        if self.broods.births() > 0 && purse.left(now).0 <= purse.budget().0 / 4 {
            let _last = self.drain(told);
            for thread in self.broods.give_up(now) {
                self.let_go(thread, SwitchesEnd::TooCostly, events);
                self.due.push_back(thread);
            }
        }
        if let Some(futexes) = &mut self.futexes {
            // They go first: without them the records still tell most.
            if traces > 0 && purse.left(now).0 <= purse.budget().0 / 4 {
                futexes.give_up(now);
                let _last = self.drain(told);
                self.untrace(SwitchesEnd::TooCostly, events);
            } else if futexes.resumes(now) {
                self.trace_all();
            }
        }
        self.window.1 += records;
        let length = now.since(self.window.0);
        if length >= WINDOW && !self.respite.is_resting() {
            self.rate = self.window.1.saturating_mul(Ns::SECOND.0) / length.0;
        }
        if length >= WINDOW {
            self.window = (now, 0);
        }
        // The next look may bring as many again.
        let too_dear = records > 0 && purse.left(now).0 <= purse.costs().record.0.saturating_mul(records);
        if !self.respite.is_resting() && too_dear {
            self.rate = self.rate.max(self.window.1.saturating_mul(Ns::SECOND.0) / length.0.max(WINDOW.0));
            let _last = self.drain(told);
            let followed: Vec<ThreadKey> = self.followed.keys().copied().collect();
            followed.into_iter().for_each(|thread| self.let_go(thread, SwitchesEnd::TooCostly, events));
            self.due.clear();
            self.broods.clear();
            self.respite.begin(clock::now());
        } else if self.respite.ends(now) {
            self.due = self.tids.keys().copied().collect();
            self.most = usize::MAX;
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

impl Followed {
    /// The pages of its own ring.
    fn pages(&self) -> Option<usize> {
        match self.source {
            Source::Own { pages, .. } => Some(pages),
            Source::Handed => None,
        }
    }
}

/// What the records say of one thread.
struct Tale<'a> {
    thread: ThreadKey,
    last: &'a mut MonoNs,
    place: &'a mut Place,
    since: &'a mut Since,
    moved: &'a mut Vec<ThreadKey>,
}

impl Tale<'_> {
    fn moves(&mut self, to: Place) {
        *self.place = to;
        if std::mem::replace(self.since, Since::Moved) == Since::Stayed {
            self.moved.push(self.thread);
        }
    }

    fn switches(&mut self, told: &mut Merge, at: MonoNs, cpu: Cpu, way: Way) {
        *self.last = at;
        self.moves(match way {
            Way::In => Place::On(cpu),
            Way::OutAsleep => Place::Asleep,
            Way::OutPreempted => Place::PutOff(cpu),
        });
        let thread = self.thread;
        let what = match way {
            Way::In => What::SwitchedIn { thread, cpu },
            Way::OutAsleep => What::SwitchedOut { thread, how: Departure::Asleep },
            Way::OutPreempted => What::SwitchedOut { thread, how: Departure::Preempted },
        };
        told.push(at, what);
    }

    /// A record of its brood is about it.
    fn hears(&mut self, told: &mut Merge, record: Handed) {
        match record {
            Handed::Switch { at, cpu, way, .. } => self.switches(told, at, cpu, way),
            Handed::Ends { at, .. } => self.ends(told, at),
            Handed::Born { .. } | Handed::Lost { .. } | Handed::Other => {}
        }
    }

    /// It ends: it has its core for the last time.
    fn ends(&mut self, told: &mut Merge, at: MonoNs) {
        if let Place::On(cpu) = *self.place {
            self.switches(told, at, cpu, Way::OutAsleep);
        }
    }

    /// Records may be missing since the newest one: from the end of the hole on the thread is followed again.
    fn misses(&mut self, told: &mut Merge, until: MonoNs, records: u64) {
        self.moves(Place::Unknown);
        let (thread, until) = (self.thread, until.max(*self.last));
        told.push(*self.last, What::SwitchesEnd { thread, why: SwitchesEnd::Lost { records } });
        told.push(until, What::SwitchesBegin { thread });
        *self.last = until;
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
