//! The microscope: watchpoints on a GIL's words, armed in windows. Every take, drop and wait in them, at the cost of a
//! debug exception each.
//!
//! In a window every task of the process is armed, with a number of hits of its own after which the kernel disarms it:
//! what a window costs is bounded by their sum, and not begun unless the purse has it. A window lasts until a thread's
//! hits are used up, not for a time: so long waits are not cut by it. It ends for all threads at the instant at
//! which it is no longer whole: with the first thread whose hits are used up, or with a birth.
//!
//! Of several GILs, one is watched at a time, by turns.

mod credit;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use crate::event::{Address, Event, GilKey, Pid, Refusal, ThreadKey, Tid, What, WindowEnd};
use crate::instruments::clock;
use crate::instruments::merge::{Merge, Sighting};
use crate::instruments::perf::{self, Record, Ring};
use crate::instruments::purse::{Expense, Purse, Recurring};
use crate::instruments::watchpoints::credit::{Credit, Need};
use crate::time::{MonoNs, Ns};

/// Pages for the hits of one thread, by how many threads there are: an ordinary user has about 128 pages a core, and
/// the switch records need some of them.
const PAGES: [(usize, usize); 3] = [(8, 8), (24, 2), (usize::MAX, 1)];
/// Hits that a page holds, with room for other records.
const HITS_A_PAGE: u32 = 84;
/// How long nobody is watched before the first window, and between two stretches of windows, on average: what the
/// windows change shows beside it.
const PAUSE: Ns = Ns(120_000_000);
/// How long windows follow one another before a pause, on average.
const STRETCH: Ns = Ns(1_200_000_000);
/// A window with fewer hits is not closed for a pause: it would cut the long waits and holds that it consists of.
const COMPARABLE: u64 = 100;
/// How long a window may last where other GILs wait for theirs.
const TURN: Ns = Ns(400_000_000);
/// The time after which a refused window is tried again; each time twice as long.
const RETRIES: (Ns, Ns) = (Ns(500_000_000), Ns(30_000_000_000));
/// Arming may take one part in so many of gilscope's time.
const REST: u64 = 25;
/// The time after which a window is tried again where a thread was there that is not known yet.
const BRIEF: Ns = Ns(1_000_000);

/// Where the words of a GIL lie that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Of which GIL.
    pub gil: GilKey,
    /// `locked`.
    pub locked: Address,
    /// A word of its condition variable that every thread writes that begins to wait; `None` where none is known.
    pub cond: Option<Address>,
}

/// What the microscope needs to know of the process.
pub trait Process {
    /// Its pid.
    fn pid(&self) -> Pid;
    /// Its GILs.
    fn words(&self) -> Vec<Words>;
    /// All its tasks, appended.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn tasks(&self, out: &mut Vec<Tid>) -> io::Result<()>;
}

/// The watchpoints of one process.
#[derive(Debug)]
pub struct Watchpoints {
    members: BTreeMap<ThreadKey, Member>,
    state: State,
    turn: usize,
    /// Until when windows follow one another without a pause.
    stretch: MonoNs,
    /// Before it, arming again would take more than its share of gilscope's own time.
    rested: MonoNs,
    retry: Ns,
    refused: Option<(GilKey, Refusal)>,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Member {
    tid: Tid,
    ring: Option<Ring>,
    armed: Option<Armed>,
    /// Hits of late.
    busy: u64,
}

#[derive(Debug)]
struct Armed {
    locked: Side,
    cond: Option<Side>,
}

/// One watchpoint of one thread.
#[derive(Debug)]
struct Side {
    address: Address,
    given: u32,
    hits: u32,
    _event: OwnedFd,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// No window, and none to be opened before then.
    Closed(MonoNs),
    Open(Window),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    gil: GilKey,
    since: MonoNs,
    /// Hits so far.
    hits: u64,
    /// Then it is another GIL's turn.
    turn: MonoNs,
    /// Of armed threads.
    switches: Recurring,
}

/// Why a window could not be opened.
enum NoWindow {
    Refused(Refusal),
    /// A thread is there that is not known yet.
    Unknown,
    /// The process is on its way out.
    Gone,
}

impl Watchpoints {
    /// None is armed yet.
    pub fn begin() -> Watchpoints {
        let now = clock::now();
        Watchpoints {
            members: BTreeMap::new(),
            state: State::Closed(now + PAUSE),
            turn: 0,
            stretch: now + PAUSE + STRETCH,
            rested: now,
            retry: RETRIES.0,
            refused: None,
            random: fastrand::Rng::with_seed(now.0),
        }
    }

    /// Notes whom `told` says that came into view, and whom it says that ended.
    pub fn follow(&mut self, told: &[Event]) {
        for event in told {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.members.insert(*thread, Member { tid, ring: None, armed: None, busy: 0 });
                    }
                }
                What::ThreadEnded { thread } => drop(self.members.remove(thread)),
                _ => {}
            }
        }
    }

    /// Empties the rings. Ends the window at the instant at which it is no longer whole.
    pub fn drain(&mut self, process: Pid, purse: &mut Purse, told: &mut Merge) -> Sighting {
        let State::Open(Window { gil, .. }) = self.state else { return Sighting::Nothing };
        let mut ends: Option<(MonoNs, WindowEnd)> = None;
        let mut end = |at: MonoNs, why: WindowEnd| {
            if ends.is_none_or(|(earlier, _)| at < earlier) {
                ends = Some((at, why));
            }
        };
        let mut found = Sighting::Nothing;
        let mut hits = 0;
        for (&thread, member) in &mut self.members {
            let (Some(ring), armed, busy) = (&mut member.ring, &mut member.armed, &mut member.busy) else { continue };
            ring.drain(|record| match record {
                Record::Hit { at, cpu, address, ip } => {
                    hits += 1;
                    *busy += 1;
                    let Some(armed) = armed else { return };
                    let side = match &mut armed.cond {
                        Some(cond) if cond.address == address => {
                            told.push(at, What::CondWritten { gil, thread, ip, cpu });
                            cond
                        }
                        _ => {
                            told.push(at, What::LockWritten { gil, thread, ip, cpu });
                            &mut armed.locked
                        }
                    };
                    side.hits += 1;
                    if side.hits >= side.given {
                        end(at, WindowEnd::Spent);
                    }
                }
                Record::Lost { records, .. } => end(told.released(), WindowEnd::Lost { records }),
                Record::Forked { at, process: of, .. } if of == process.0 => {
                    found = Sighting::Birth;
                    end(at, WindowEnd::Birth);
                }
                Record::Forked { .. }
                | Record::Switch { .. }
                | Record::FutexWait { .. }
                | Record::Signal { .. }
                | Record::Ends { .. }
                | Record::Other => {}
            });
        }
        let now = clock::now();
        purse.pay(now, Expense::Exceptions(hits));
        if let State::Open(window) = &mut self.state {
            window.hits += hits;
        }
        if let Some((at, why)) = ends {
            self.close(now, at, why, purse, told);
        }
        found
    }

    /// Opens and closes windows. `switch_rate` is how often the threads leave a core, a second.
    pub fn govern(
        &mut self,
        now: MonoNs,
        process: &impl Process,
        switch_rate: u64,
        purse: &mut Purse,
        told: &mut Merge,
    ) -> Sighting {
        match &mut self.state {
            State::Open(window) => {
                purse.pay(now, Expense::ArmedSwitches(window.switches.count(now, switch_rate)));
                let compares = now >= self.stretch && window.hits >= COMPARABLE;
                if compares || now >= window.turn {
                    let found = self.drain(process.pid(), purse, told);
                    if matches!(self.state, State::Open(_)) {
                        self.close(now, now, WindowEnd::Paused, purse, told);
                    }
                    return found;
                }
                Sighting::Nothing
            }
            State::Closed(from) if now >= *from => self.open(now, process, switch_rate, purse, told),
            State::Closed(_) => Sighting::Nothing,
        }
    }

    /// Whether it lacks something that another watchpoint has taken: a register, locked memory, a file descriptor.
    pub fn is_in_want(&self) -> bool {
        matches!(self.refused, Some((_, Refusal::Registers | Refusal::Limits)))
    }

    /// Ends the observation: nothing is armed any more.
    pub fn finish(&mut self, process: Pid, purse: &mut Purse, told: &mut Merge) {
        self.drain(process, purse, told);
        let now = clock::now();
        self.close(now, now, WindowEnd::Closed, purse, told);
        self.members.clear();
    }

    /// Hits that were told came to nobody: what is left of the window is worth nothing.
    pub fn tell_a_hole(&mut self, purse: &mut Purse, told: &mut Merge) {
        let now = clock::now();
        self.close(now, told.released(), WindowEnd::Lost { records: 0 }, purse, told);
    }

    fn open(
        &mut self,
        now: MonoNs,
        process: &impl Process,
        switch_rate: u64,
        purse: &mut Purse,
        told: &mut Merge,
    ) -> Sighting {
        let all = process.words();
        self.turn = self.turn.wrapping_add(1);
        let Some(words) = all.get(self.turn % all.len().max(1)).copied() else {
            self.state = State::Closed(now + RETRIES.0);
            return Sighting::Nothing;
        };
        let need = Need {
            threads: self.members.len(),
            words: 1 + usize::from(words.cond.is_some()),
            most_a_word: pages(self.members.len()).1,
            switch_rate,
            patience: self.random.f64(),
        };
        let credit = match Credit::ask(&need, now, purse) {
            Some(Ok(credit)) => credit,
            // Not yet: the purse fills while time goes by.
            Some(Err(later)) => {
                self.state = State::Closed(now + later);
                return Sighting::Nothing;
            }
            None => {
                self.refuse(now, words.gil, Refusal::TooManyThreads, told);
                return Sighting::Nothing;
            }
        };
        let began = clock::thread_cpu();
        let armed = self.arm_all(&words, &credit, process, purse);
        // Where there are so many threads that this takes long, looking would come too short.
        self.rested = now + Ns(clock::thread_cpu().saturating_sub(began).0.saturating_mul(REST));
        match armed {
            Ok(since) => {
                (self.retry, self.refused) = (RETRIES.0, None);
                if now >= self.stretch {
                    self.stretch = now + STRETCH;
                }
                let turn = if all.len() > 1 { TURN } else { Ns(u64::MAX / 2) };
                self.state = State::Open(Window {
                    gil: words.gil,
                    since,
                    hits: 0,
                    turn: since + turn,
                    switches: Recurring::since(since),
                });
                told.push(since, What::WindowBegins { gil: words.gil });
                Sighting::Nothing
            }
            Err(why) => {
                self.disarm();
                match why {
                    NoWindow::Refused(refusal) => self.refuse(now, words.gil, refusal, told),
                    NoWindow::Unknown | NoWindow::Gone => self.state = State::Closed(now + BRIEF),
                }
                if matches!(why, NoWindow::Unknown) { Sighting::Birth } else { Sighting::Nothing }
            }
        }
    }

    fn arm_all(
        &mut self,
        words: &Words,
        credit: &Credit,
        process: &impl Process,
        purse: &mut Purse,
    ) -> Result<MonoNs, NoWindow> {
        let pages = pages(self.members.len()).0;
        let busiest: u64 = self.members.values().map(|member| member.busy + 1).sum();
        for member in self.members.values_mut() {
            match member.arm(words, credit.share(member.busy + 1, busiest), pages) {
                Ok(()) => {}
                // It has ended, and the sampler will say so.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => return Err(NoWindow::Refused(refusal(&error))),
            }
            // The busy of late count, not those of long ago.
            member.busy /= 2;
        }
        let armed = self.members.values().filter(|member| member.armed.is_some());
        let tids: BTreeSet<Tid> = armed.map(|member| member.tid).collect();
        purse.pay(clock::now(), Expense::Arms(credit.arms()));
        let since = clock::now();
        let mut there = Vec::new();
        process.tasks(&mut there).map_err(|_| NoWindow::Gone)?;
        match there.iter().all(|tid| tids.contains(tid)) {
            true => Ok(since),
            false => Err(NoWindow::Unknown),
        }
    }

    fn refuse(&mut self, now: MonoNs, gil: GilKey, why: Refusal, told: &mut Merge) {
        self.state = State::Closed(now + self.retry);
        self.retry = Ns(self.retry.0 * 2).min(RETRIES.1);
        if self.refused.replace((gil, why)) != Some((gil, why)) {
            told.push(now, What::WindowRefused { gil, why });
        }
    }

    /// Nothing is armed any more; up to `at` all was told.
    fn close(&mut self, now: MonoNs, at: MonoNs, why: WindowEnd, purse: &mut Purse, told: &mut Merge) {
        let State::Open(window) = self.state else { return };
        told.push(at.max(window.since), What::WindowEnds { gil: window.gil, why });
        self.disarm();
        let mut late = 0;
        for ring in self.members.values_mut().filter_map(|member| member.ring.as_mut()) {
            ring.drain(|record| late += u64::from(matches!(record, Record::Hit { .. })));
        }
        purse.pay(now, Expense::Exceptions(late));
        let mut from = now;
        if now >= self.stretch {
            // Jittered, so that nothing that recurs in the target falls into pauses always.
            let about = |of: Ns, by: f64| Ns((of.0 as f64 * (0.5 + by)) as u64);
            from = now + about(PAUSE, self.random.f64());
            self.stretch = from + about(STRETCH, self.random.f64());
        }
        self.state = State::Closed(from.max(self.rested));
    }

    fn disarm(&mut self) {
        self.members.values_mut().for_each(|member| member.armed = None);
    }
}

impl Member {
    fn arm(&mut self, words: &Words, hits: u32, pages: usize) -> io::Result<()> {
        self.armed = None;
        let ring = match &self.ring {
            Some(ring) => ring,
            None => self.ring.insert(Ring::map(perf::task_records(self.tid)?, pages)?),
        };
        let side = |address: Address| -> io::Result<Side> {
            let event = perf::armed_watchpoint(self.tid, address, ring.event(), hits)?;
            Ok(Side { address, given: hits, hits: 0, _event: event })
        };
        self.armed = Some(Armed { locked: side(words.locked)?, cond: words.cond.map(side).transpose()? });
        Ok(())
    }
}

/// Pages of a thread's ring, and how many hits of one word fit into it beside as many of the other.
fn pages(threads: usize) -> (usize, u32) {
    let pages = PAGES.iter().find(|(most, _)| threads <= *most).map_or(1, |(_, pages)| *pages);
    (pages, u32::try_from(pages).unwrap_or(1) * HITS_A_PAGE / 2)
}

/// Why a watchpoint cannot be had.
pub fn refusal(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => Refusal::Registers,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EPERM) => Refusal::Limits,
        _ => Refusal::NotPermitted,
    }
}
