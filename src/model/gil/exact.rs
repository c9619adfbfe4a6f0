//! What the watchpoints say: every take, drop and wait within a window.
//!
//! A hit carries no value, only who wrote, where in the program, and when. Whether a write to `locked` was a take or
//! a drop follows from who held it: the holder drops, another takes. And from the place: there are a few in each
//! build, which are learned and never assumed. Where the two disagree, a hit is missing; the place is right.
//!
//! `take_gil` begins to wait with the mutex held and `locked` set, and writes the condition variable then, and again
//! after each time-out; `drop_gil` clears `locked` before it signals the condition variable, with the same mutex held
//! (Python/ceval_gil.c). So a write to it is a waiter's while the GIL is held and a dropper's otherwise.
//!
//! Intervals that a window's edge cuts are counted apart and are in no percentile. That biases the percentiles
//! by little: a window is so many hits long, however long they take, so that of those intervals only the ones at
//! its two edges are cut, the long and the short ones alike.

use std::collections::BTreeMap;

use crate::event::{Address, Cpu, Hold, ThreadKey};
use crate::model::gil::sites::{Meaning, Sites};
use crate::model::intervals::{Grain, Intervals};
use crate::time::{MonoNs, Ns};

/// A sample this far from the hits around it saw what is between them.
const CLEAR: Ns = Ns(50_000);
/// So many samples between two hits that contradict what is known prove it wrong.
const CONVINCING: u32 = 2;
/// One this long after a hit has read after its write: nearly always. Of those between two hits 10 us apart that came sooner, half had
/// read before it; of 80 others none.
const LIKELY: Ns = Ns(5_000);
/// Who wants the GIL back this soon need not have let go of it.
const NEEDLESS: Ns = Ns(50_000);
/// Who dropped the GIL at a request and asks for it again after so little time on a core, exceptions included, has done
/// nothing between: it only slept until another thread had taken it.
const AT_ONCE_ON_CORE: Ns = Ns(100_000);
/// And after having slept no longer than one sleeps on the mutex around the GIL.
const ON_A_MUTEX: Ns = Ns(200_000);
/// The same by the clock from that take on, where its switches are not told: longer than a wake-up takes.
const AT_ONCE: Ns = Ns(150_000);
/// What a thread did between a drop, a take by another, and its next asking; `None`: its switches are not told.
pub type Meanwhile<'a> = &'a dyn Fn(ThreadKey, [MonoNs; 3]) -> Option<Doings>;

/// What a thread did between its drop and its next asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doings {
    /// Time on a core.
    pub on_core: Ns,
    /// The longest sleep that began after another thread had taken the GIL: until then it may have slept for that.
    pub slept: Ns,
}

/// Threads kept; more is a damaged recording.
const THREADS: usize = 1 << 16;

/// What the windows on one GIL have told.
#[derive(Debug, Clone)]
pub struct Exact {
    window: Option<Window>,
    sites: Sites,
    covered: Ns,
    windows: u64,
    resyncs: u64,
    takes: u64,
    handoffs: u64,
    cross_core: u64,
    forced: u64,
    undecided: u64,
    holds: Intervals,
    waits: Intervals,
    drop_latency: Intervals,
    threads: BTreeMap<ThreadKey, ExactThread>,
}

/// What they have told of one thread.
#[derive(Debug, Clone)]
pub struct ExactThread {
    /// Its holds.
    pub holds: Intervals,
    /// Its contended waits.
    pub waits: Intervals,
    /// Releases, without having been asked, after which it wanted the GIL back within 50 us.
    pub needless_releases: u64,
}

/// A hit of a watchpoint.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// When.
    pub at: MonoNs,
    /// Whose.
    pub thread: ThreadKey,
    /// The instruction after the one that wrote.
    pub ip: Address,
    /// On which core.
    pub cpu: Cpu,
}

#[derive(Debug, Clone)]
struct Window {
    /// Since when the state has been known; what came before counts for nothing.
    known: Option<MonoNs>,
    since: MonoNs,
    lock: Lock,
    last: Option<Hit>,
    sample: Option<(MonoNs, Hold)>,
    /// Samples since the last hit that contradict what is taken for known.
    against: u32,
    /// Since when the holder has been asked to drop it.
    request: Option<MonoNs>,
    /// Takes in this window.
    takes: u64,
    asking: BTreeMap<ThreadKey, Asking>,
    dropped: BTreeMap<ThreadKey, Drop>,
    last_drop: Option<(ThreadKey, Cpu)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    Unknown,
    Free,
    /// `since`: `None` where the take was not seen.
    Held {
        by: ThreadKey,
        since: Option<MonoNs>,
    },
}

/// A thread that waits.
#[derive(Debug, Clone, Copy)]
struct Asking {
    /// Since when; where that was not seen, the first that was.
    since: MonoNs,
    is_whole: bool,
    /// Takes before it wrote last.
    takes_at_write: u64,
}

/// A thread's last drop.
#[derive(Debug, Clone, Copy)]
struct Drop {
    at: MonoNs,
    how: Dropped,
    /// When another thread took it.
    taken: Option<MonoNs>,
}

/// Whether the holder had been asked to drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    AtRequest,
    Unasked,
}

impl Default for Exact {
    fn default() -> Exact {
        Exact {
            window: None,
            sites: Sites::default(),
            covered: Ns::ZERO,
            windows: 0,
            resyncs: 0,
            takes: 0,
            handoffs: 0,
            cross_core: 0,
            forced: 0,
            undecided: 0,
            holds: Intervals::new(Grain::Fine),
            waits: Intervals::new(Grain::Fine),
            drop_latency: Intervals::new(Grain::Fine),
            threads: BTreeMap::new(),
        }
    }
}

/// Totals over all windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Time in windows in which the state was known.
    pub covered: Ns,
    /// Windows.
    pub windows: u64,
    /// Impossible sequences, after which it was begun anew.
    pub resyncs: u64,
    /// Takes.
    pub takes: u64,
    /// Takes by another thread than the one that had dropped it.
    pub handoffs: u64,
    /// Of those, on another core.
    pub cross_core: u64,
    /// Drops at a request by a thread that wanted the GIL back at once.
    pub forced: u64,
    /// Drops at a request of which is not known what the thread did next.
    pub undecided: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.covered += other.covered;
        self.windows += other.windows;
        self.resyncs += other.resyncs;
        self.takes += other.takes;
        self.handoffs += other.handoffs;
        self.cross_core += other.cross_core;
        self.forced += other.forced;
        self.undecided += other.undecided;
    }
}

impl Exact {
    /// Whether hits are told at present.
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Whether they have told anything yet.
    pub fn has_told(&self) -> bool {
        self.takes > 0
    }

    /// Totals so far.
    pub fn totals(&self) -> Totals {
        Totals {
            covered: self.covered,
            windows: self.windows,
            resyncs: self.resyncs,
            takes: self.takes,
            handoffs: self.handoffs,
            cross_core: self.cross_core,
            forced: self.forced,
            undecided: self.undecided,
        }
    }

    /// Its holds, waits, and times from a request to the drop.
    pub fn intervals(&self) -> [&Intervals; 3] {
        [&self.holds, &self.waits, &self.drop_latency]
    }

    /// What is known of a thread.
    pub fn thread(&self, thread: ThreadKey) -> Option<&ExactThread> {
        self.threads.get(&thread)
    }

    /// A window begins.
    pub fn begin(&mut self, at: MonoNs) {
        self.end(at);
        self.windows += 1;
        self.window = Some(Window {
            known: None,
            since: at,
            lock: Lock::Unknown,
            last: None,
            sample: None,
            against: 0,
            request: None,
            takes: 0,
            asking: BTreeMap::new(),
            dropped: BTreeMap::new(),
            last_drop: None,
        });
    }

    /// It ends: what goes on is cut.
    pub fn end(&mut self, at: MonoNs) {
        let Some(mut window) = self.window.take() else { return };
        self.cut(&mut window, at);
        if let Some(known) = window.known {
            self.covered += at.since(known);
        }
    }

    fn cut(&mut self, window: &mut Window, at: MonoNs) {
        if let Lock::Held { by, since } = window.lock {
            self.close(Kind::Hold, by, since.or(window.known).unwrap_or(at), at, Seen::InPart);
        }
        for (thread, asking) in std::mem::take(&mut window.asking) {
            self.close(Kind::Wait, thread, asking.since, at, Seen::InPart);
        }
        window.dropped.clear();
        (window.request, window.last_drop) = (None, None);
    }

    fn close(&mut self, kind: Kind, thread: ThreadKey, from: MonoNs, to: MonoNs, seen: Seen) {
        if self.threads.len() >= THREADS && !self.threads.contains_key(&thread) {
            return;
        }
        let own = self.threads.entry(thread).or_insert_with(|| ExactThread {
            holds: Intervals::new(Grain::Coarse),
            waits: Intervals::new(Grain::Coarse),
            needless_releases: 0,
        });
        let length = to.since(from);
        let sums = match kind {
            Kind::Hold => [&mut own.holds, &mut self.holds],
            Kind::Wait => [&mut own.waits, &mut self.waits],
        };
        for sum in sums {
            match seen {
                Seen::Whole => sum.add(length),
                Seen::InPart => sum.add_cut(length),
            }
        }
    }

    /// The sampler has looked, a microsecond or two before its instant, or, where it was kept from it, after.
    pub fn sampled(&mut self, at: MonoNs, hold: Hold) {
        let Some(window) = &mut self.window else { return };
        window.sample = Some((at, hold));
        let before = window.last.map_or(window.since, |last| last.at);
        let agrees = match (window.lock, hold) {
            // `take_gil` writes `locked` before `last_holder`: a taker that loses its core there looks like the dropper.
            (Lock::Held { by, .. }, Hold::By { thread, .. }) => {
                by == thread || window.last_drop.is_some_and(|(dropper, _)| dropper == thread)
            }
            (Lock::Held { .. }, Hold::Free) => false,
            (Lock::Free, hold) => hold == Hold::Free,
            (Lock::Unknown, _) | (_, Hold::ByUnknown) => true,
        };
        window.against += u32::from(!agrees && at >= before + CLEAR);
    }

    /// A write to `locked`.
    pub fn lock_written(&mut self, hit: Hit, meanwhile: Meanwhile<'_>) {
        let Some(mut window) = self.window.take() else { return };
        self.check(&mut window, &hit);
        let by_state = match window.lock {
            Lock::Unknown => None,
            Lock::Free => Some(Meaning::Take),
            Lock::Held { by, .. } if by == hit.thread => Some(Meaning::Drop),
            // It cannot take what another holds, nor drop it.
            Lock::Held { .. } => Some(Meaning::Neither),
        };
        let by_site = self.sites.meaning(hit.ip);
        match (by_state, by_site) {
            (None, None) => self.learn_from_pair(&mut window, &hit),
            (None, Some(meaning)) => {
                self.resume(&mut window, &hit, meaning);
                window.known = Some(hit.at);
            }
            (Some(Meaning::Neither), None) => self.lose(&mut window),
            (Some(meaning), None) => self.write(&mut window, &hit, meaning, meanwhile),
            (Some(known), Some(meaning)) if known == meaning => self.write(&mut window, &hit, meaning, meanwhile),
            (Some(_), Some(meaning)) => {
                self.lose(&mut window);
                self.resume(&mut window, &hit, meaning);
                window.known = Some(hit.at);
            }
        }
        window.last = Some(hit);
        self.window = Some(window);
    }

    /// Two hits that follow one another, of two threads: the first let go of what the second took.
    fn learn_from_pair(&mut self, window: &mut Window, hit: &Hit) {
        let Some(last) = window.last.filter(|last| last.thread != hit.thread) else { return };
        self.sites.vote(last.ip, Meaning::Drop);
        self.sites.vote(hit.ip, Meaning::Take);
        self.resume(window, hit, Meaning::Take);
        window.known = Some(hit.at);
    }

    /// The state is known from here on.
    fn resume(&mut self, window: &mut Window, hit: &Hit, meaning: Meaning) {
        window.lock = match meaning {
            Meaning::Take => Lock::Held { by: hit.thread, since: Some(hit.at) },
            Meaning::Drop | Meaning::Neither => Lock::Free,
        };
        match meaning {
            Meaning::Take => {
                // Whether it had waited was not seen.
                window.asking.remove(&hit.thread);
            }
            Meaning::Drop | Meaning::Neither => {
                window.dropped.insert(hit.thread, Drop { at: hit.at, how: Dropped::Unasked, taken: None });
                window.last_drop = Some((hit.thread, hit.cpu));
            }
        }
    }

    /// What was taken for known is not. What goes on is of no known length: it counts for nothing.
    fn lose(&mut self, window: &mut Window) {
        self.resyncs += 1;
        window.asking.clear();
        window.dropped.clear();
        (window.request, window.last_drop, window.lock) = (None, None, Lock::Unknown);
        if let Some((known, last)) = window.known.take().zip(window.last) {
            self.covered += last.at.since(known);
        }
    }

    /// What the sampler saw since the last hit is between the two.
    fn check(&mut self, window: &mut Window, hit: &Hit) {
        let against = std::mem::take(&mut window.against);
        let Some((at, hold)) = window.sample.take() else { return };
        let before = window.last.map_or(window.since, |last| last.at);
        let holder = match hold {
            Hold::By { thread, .. } => Some(thread),
            Hold::Free => None,
            Hold::ByUnknown => return,
        };
        let is_clear = at >= before + CLEAR && hit.at >= at + CLEAR;
        match (window.lock, holder) {
            (Lock::Unknown, _) if at >= before + LIKELY => {
                let [first, second] = match holder {
                    Some(_) => [Meaning::Take, Meaning::Drop],
                    None => [Meaning::Drop, Meaning::Take],
                };
                let is_next = holder.is_none_or(|holder| holder == hit.thread);
                if let Some(last) = window.last.filter(|last| is_next && holder.is_none_or(|h| h == last.thread)) {
                    self.sites.vote(last.ip, first);
                }
                if is_next {
                    self.sites.vote(hit.ip, second);
                }
                if is_clear && is_next {
                    window.lock = holder.map_or(Lock::Free, |by| Lock::Held { by, since: None });
                    window.known = Some(at);
                }
            }
            // One look may have been kept from reading for a while after its instant.
            (Lock::Held { .. } | Lock::Free, _) if is_clear && against >= CONVINCING => self.lose(window),
            _ => {}
        }
    }

    fn write(&mut self, window: &mut Window, hit: &Hit, meaning: Meaning, meanwhile: Meanwhile<'_>) {
        self.sites.vote(hit.ip, meaning);
        match meaning {
            Meaning::Take => self.take(window, hit, meanwhile),
            Meaning::Drop => self.dropped(window, hit),
            Meaning::Neither => {}
        }
    }

    fn take(&mut self, window: &mut Window, hit: &Hit, meanwhile: Meanwhile<'_>) {
        self.takes += 1;
        let asking = window.asking.remove(&hit.thread);
        if let Some(asking) = asking {
            let seen = if asking.is_whole { Seen::Whole } else { Seen::InPart };
            self.close(Kind::Wait, hit.thread, asking.since, hit.at, seen);
        } else {
            self.wants_again(window, hit, meanwhile);
        }
        if let Some((dropper, cpu)) = window.last_drop.filter(|(dropper, _)| *dropper != hit.thread) {
            self.handoffs += 1;
            self.cross_core += u64::from(cpu != hit.cpu);
            if let Some(drop) = window.dropped.get_mut(&dropper) {
                drop.taken.get_or_insert(hit.at);
            }
        }
        window.takes += 1;
        window.request = None;
        window.lock = Lock::Held { by: hit.thread, since: Some(hit.at) };
    }

    fn dropped(&mut self, window: &mut Window, hit: &Hit) {
        if let Lock::Held { by, since } = window.lock {
            match since {
                Some(since) => self.close(Kind::Hold, by, since, hit.at, Seen::Whole),
                None => self.close(Kind::Hold, by, window.known.unwrap_or(hit.at), hit.at, Seen::InPart),
            }
        }
        if let Some(request) = window.request {
            self.drop_latency.add(hit.at.since(request));
        }
        let how = if window.request.is_some() { Dropped::AtRequest } else { Dropped::Unasked };
        window.dropped.insert(hit.thread, Drop { at: hit.at, how, taken: None });
        window.last_drop = Some((hit.thread, hit.cpu));
        window.lock = Lock::Free;
    }

    /// A thread wants the GIL again for the first time since it dropped it.
    fn wants_again(&mut self, window: &mut Window, hit: &Hit, meanwhile: Meanwhile<'_>) {
        let Some(drop) = window.dropped.remove(&hit.thread) else { return };
        match (drop.how, drop.taken) {
            (Dropped::AtRequest, Some(taken)) => {
                let at_once = match meanwhile(hit.thread, [drop.at, taken, hit.at]) {
                    Some(doings) => Some(doings.on_core <= AT_ONCE_ON_CORE && doings.slept <= ON_A_MUTEX),
                    None => (hit.at.since(taken) <= AT_ONCE).then_some(true),
                };
                self.forced += u64::from(at_once == Some(true));
                self.undecided += u64::from(at_once.is_none());
            }
            (Dropped::Unasked, _) if hit.at.since(drop.at) <= NEEDLESS => {
                if let Some(own) = self.threads.get_mut(&hit.thread) {
                    own.needless_releases += 1;
                }
            }
            _ => {}
        }
    }

    /// A write to the condition variable.
    pub fn cond_written(&mut self, hit: Hit, meanwhile: Meanwhile<'_>) {
        let Some(mut window) = self.window.take() else { return };
        // The dropper's own, as it wakes a waiter.
        let is_waiter = matches!(window.lock, Lock::Held { by, .. } if by != hit.thread);
        if is_waiter {
            let takes = window.takes;
            match window.asking.get_mut(&hit.thread) {
                Some(asking) => {
                    // A time-out, and nobody else has taken the GIL meanwhile: it has asked for it just now.
                    if asking.takes_at_write == takes {
                        window.request.get_or_insert(hit.at);
                    }
                    asking.takes_at_write = takes;
                }
                None => {
                    // Its drop was seen, so this is its first.
                    let is_whole = window.dropped.contains_key(&hit.thread);
                    self.wants_again(&mut window, &hit, meanwhile);
                    if window.asking.len() < THREADS {
                        let asking = Asking { since: hit.at, is_whole, takes_at_write: takes };
                        window.asking.insert(hit.thread, asking);
                    }
                }
            }
        }
        self.window = Some(window);
    }

    /// A thread has ended.
    pub fn thread_ended(&mut self, thread: ThreadKey, at: MonoNs) {
        if let Some(mut window) = self.window.take() {
            if let Some(asking) = window.asking.remove(&thread) {
                self.close(Kind::Wait, thread, asking.since, at, Seen::InPart);
            }
            window.dropped.remove(&thread);
            self.window = Some(window);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Hold,
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Whole,
    InPart,
}
