//! A watchpoint on the word by which CPython notes that signals are pending: when each signal was tripped, and when that
//! was cleared, to the microsecond.
//!
//! Every task of the process is armed, since any may run the C handler. The word is hardly ever written, so what this costs
//! is the register's part in each context switch, and that is kept to a part of the budget. Where all are too many or switch
//! too often, the main thread alone is armed: it clears the word, and takes what is sent to the process unless it blocks that
//! (`complete_signal`, kernel/signal.c). Its writes are told then, and nothing follows from silence. Each thread has a ring
//! of its own, and a number of hits after which the kernel disarms it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use crate::event::{Event, Pid, ProcessKey, Refusal, SignalStep, StepsEnd, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::merge::{Merge, Sighting};
use crate::instruments::perf::{self, Record, Ring};
use crate::instruments::purse::{Expense, Purse, Recurring};
use crate::instruments::watchpoints::{Process, refusal};
use crate::target::PendingWord;
use crate::target::descriptors::{self, Kept};
use crate::time::{MonoNs, Ns};

/// Hits that a thread is given: those of 32 signals at least. A page has room for 84.
const HITS: u32 = 64;
/// After so many it is given as many anew.
const RENEWED: u32 = HITS - HITS / 4;
/// Nobody is armed before it is known how often the threads switch.
const PAUSE: Ns = Ns(300_000_000);
/// The time after which arming is tried again; each time twice as long.
const RETRIES: (Ns, Ns) = (Ns(500_000_000), Ns(60_000_000_000));
/// All are armed again where that takes no more than one part in so many of what it may take.
const WIDENED: u64 = 2;
/// The main thread's switches are counted over at least so long.
const COUNTED: Ns = Ns(300_000_000);
/// One part in so many of the budget is for this.
const PART: u64 = 2;
/// Most threads: each takes two locked pages, which switch records need more.
const MOST_THREADS: usize = 128;
/// Time at each look for arming.
const ARMING: Ns = Ns(150_000);

/// What else is paid from the same purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Switch records, which come first: a third of the budget is left to them.
    /// While the main thread alone is armed, twice what that takes is enough.
    Records,
    /// Windows of watchpoints, which leave nothing in the purse whatever this takes.
    Windows,
}

/// The watchpoints on the pending word of one process after the other.
#[derive(Debug)]
pub struct Trips {
    members: BTreeMap<ThreadKey, Member>,
    of: Option<(ProcessKey, PendingWord)>,
    main: MainSwitches,
    scope: Scope,
    /// All are not armed again before then.
    widen: MonoNs,
    state: State,
    beside: Beside,
    retry: Ns,
    refused: Option<Refusal>,
    /// What this has cost lately: it drains by its part of the budget each second.
    owed: Ns,
    reckoned: MonoNs,
    /// Switches of those in the scope.
    switches: Recurring,
}

#[derive(Debug)]
struct Member {
    tid: Tid,
    ring: Option<Ring>,
    armed: Option<OwnedFd>,
    hits: u32,
}

/// Who is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Main(ThreadKey),
}

impl Scope {
    fn has(self, thread: ThreadKey) -> bool {
        match self {
            Scope::All => true,
            Scope::Main(main) => main == thread,
        }
    }
}

/// How often the main thread is given a core.
#[derive(Debug, Default)]
struct MainSwitches {
    thread: Option<ThreadKey>,
    seen: Option<(MonoNs, u64)>,
    /// A second; `None`: not known yet.
    rate: Option<u64>,
}

impl MainSwitches {
    fn is(&mut self, thread: Option<ThreadKey>) {
        if self.thread != thread {
            *self = MainSwitches { thread, seen: None, rate: None };
        }
    }

    fn count(&mut self, at: MonoNs, timeslices: u64) {
        match self.seen {
            Some((from, _)) if at.since(from) < COUNTED => {}
            Some((from, before)) => {
                let more = timeslices.saturating_sub(before);
                self.rate = Some(more.saturating_mul(Ns::SECOND.0) / at.since(from).0.max(1));
                self.seen = Some((at, timeslices));
            }
            None => self.seen = Some((at, timeslices)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody is armed, and nobody to be before then.
    Off(MonoNs),
    /// Some of the scope are armed, and not all are known to be.
    Arming,
    /// All of the scope are, since then.
    On(MonoNs),
}

impl Trips {
    /// Nobody is armed yet.
    pub fn begin(beside: Beside) -> Trips {
        let now = clock::now();
        Trips {
            members: BTreeMap::new(),
            of: None,
            main: MainSwitches::default(),
            scope: Scope::All,
            widen: now,
            state: State::Off(now + PAUSE),
            beside,
            retry: RETRIES.0,
            refused: None,
            owed: Ns::ZERO,
            reckoned: now,
            switches: Recurring::since(now),
        }
    }

    /// Whether all writes of the word are told, by whichever thread: then silence says that there was none.
    pub fn tells_all(&self) -> bool {
        matches!(self.state, State::On(_)) && self.scope == Scope::All
    }

    /// Notes whom `news` says that came into view, and whom it says that ended.
    pub fn follow(&mut self, news: &[Event], process: Pid, told: &mut Merge) {
        for event in news {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.members.insert(*thread, Member { tid, ring: None, armed: None, hits: 0 });
                        // Its birth is known by now, if those before it are armed.
                        if self.scope == Scope::All {
                            self.end(info.started, StepsEnd::Birth, told);
                        }
                    }
                }
                What::SignalsKnown { info, .. } => {
                    // The kernel prefers the process's first task.
                    let leads = |main: &ThreadKey| self.members.get(main).is_some_and(|it| it.tid.0 == process.0);
                    self.main.is(info.main.filter(leads));
                }
                What::Usage { thread, usage } if self.main.thread == Some(*thread) => {
                    self.main.count(event.at, usage.timeslices);
                }
                What::ThreadEnded { thread } => {
                    // Its last hits are in its ring.
                    self.empty(process, told);
                    self.members.remove(thread);
                }
                _ => {}
            }
        }
    }

    /// From `at` on not every step is told any more.
    fn end(&mut self, at: MonoNs, why: StepsEnd, told: &mut Merge) {
        if let (State::On(since), Some((process, _))) = (self.state, self.of) {
            if self.scope == Scope::All {
                told.push(at.max(since), ends_for(process, why));
            }
            self.state = State::Arming;
        }
    }

    /// Empties the rings. How many steps were told, and whether somebody was born.
    pub fn drain(&mut self, process: Pid, purse: &mut Purse, told: &mut Merge) -> (u64, Sighting) {
        let (hits, found) = self.empty(process, told);
        purse.pay(clock::now(), Expense::Exceptions(hits));
        self.owed += Ns(purse.costs().exception.0.saturating_mul(hits));
        (hits, found)
    }

    fn empty(&mut self, of_process: Pid, told: &mut Merge) -> (u64, Sighting) {
        let Some((process, _)) = self.of else { return (0, Sighting::Nothing) };
        let mut ends: Option<(MonoNs, StepsEnd)> = None;
        let scope = self.scope;
        let mut end = |at: MonoNs, why: StepsEnd| {
            if ends.is_none_or(|(earlier, _)| at < earlier) {
                ends = Some((at, why));
            }
        };
        let (mut all, mut found) = (0, Sighting::Nothing);
        for (&thread, member) in &mut self.members {
            let Some(ring) = &mut member.ring else { continue };
            let hits = &mut member.hits;
            let mut disarm = false;
            ring.drain(|record| match record {
                Record::Hit { at, cpu, ip, .. } => {
                    all += 1;
                    *hits += 1;
                    told.push(at, What::PendingWritten { process, thread, ip, cpu });
                    if *hits >= HITS {
                        disarm = true;
                        end(at, StepsEnd::Spent);
                    }
                }
                Record::Lost { records, .. } => end(told.released(), StepsEnd::Lost { records }),
                Record::Forked { at, process: of, .. } if of == of_process.0 => {
                    found = Sighting::Birth;
                    if scope == Scope::All {
                        end(at, StepsEnd::Birth);
                    }
                }
                _ => {}
            });
            if disarm {
                member.armed = None;
            }
        }
        if let Some((at, why)) = ends {
            self.end(at, why, told);
        }
        (all, found)
    }

    /// Arms whoever is to be, and keeps to the budget. `switch_rate` is how often the threads leave a core, a second.
    pub fn govern(
        &mut self,
        now: MonoNs,
        there: &impl Process,
        word: Option<(ProcessKey, PendingWord)>,
        switch_rate: u64,
        purse: &mut Purse,
        told: &mut Merge,
    ) -> Sighting {
        if self.of != word {
            self.disarm(now, there.pid(), StepsEnd::Moved, told);
            self.of = word;
            (self.refused, self.retry) = (None, RETRIES.0);
        }
        let Some((process, word)) = self.of else { return Sighting::Nothing };
        let part = Ns(purse.budget().0 / PART);
        let length = now.since(self.reckoned);
        self.reckoned = now;
        self.owed = self.owed.saturating_sub(part.scaled(length, Ns::SECOND));
        self.pay_switches(now, self.rate(self.scope, switch_rate).unwrap_or(switch_rate), purse);
        let scope = self.affordable(now, switch_rate, purse);
        let Some(scope) = scope else {
            if !self.are_few() && self.main.thread.is_none() {
                return self.refuse(now, there.pid(), process, Refusal::TooManyThreads, told);
            }
            match self.state {
                State::Off(until) if now < until => {}
                State::Off(_) => self.rest(now),
                State::Arming | State::On(_) => {
                    self.disarm(now, there.pid(), StepsEnd::TooCostly, told);
                    self.rest(now);
                }
            }
            return Sighting::Nothing;
        };
        match self.state {
            State::Off(until) if now < until => return Sighting::Nothing,
            State::Off(_) => self.choose(now, scope),
            State::Arming | State::On(_) if scope != self.scope => {
                self.disarm(now, there.pid(), StepsEnd::TooCostly, told);
                self.choose(now, scope);
            }
            State::Arming | State::On(_) => {}
        }
        match self.state {
            State::On(_) if self.members.values().any(|member| member.hits >= RENEWED) => {
                // Some microseconds without it, now, in place of up to a tick at a time that the signals choose.
                self.empty(there.pid(), told);
                self.end(clock::now(), StepsEnd::Spent, told);
                let used = self.members.values_mut().filter(|member| member.hits >= RENEWED);
                used.for_each(|member| member.armed = None);
                self.arm(now, there, process, word, purse, told)
            }
            State::On(_) => Sighting::Nothing,
            State::Off(_) | State::Arming => self.arm(now, there, process, word, purse, told),
        }
    }

    /// How often those in the scope leave a core, a second, where it is known; all do so `switch_rate` times.
    fn rate(&self, scope: Scope, switch_rate: u64) -> Option<u64> {
        match scope {
            Scope::All => Some(switch_rate),
            Scope::Main(_) => self.main.rate,
        }
    }

    /// Whether all threads may be armed.
    fn are_few(&self) -> bool {
        self.members.len() <= MOST_THREADS
    }

    /// Who can be armed, as many as possible.
    fn affordable(&self, now: MonoNs, switch_rate: u64, purse: &mut Purse) -> Option<Scope> {
        let (left, budget, costs) = (purse.left(now), purse.budget(), purse.costs());
        let part = Ns(budget.0 / PART);
        let within = |scope, part| {
            let rate = self.rate(scope, switch_rate)?;
            let a_second = Ns(costs.armed_switch.0.saturating_mul(rate));
            let is_left = match (self.beside, scope) {
                (Beside::Records, Scope::All) => left.0 > budget.0 / 3,
                (Beside::Records, Scope::Main(_)) => left.0 / 2 > a_second.0,
                (Beside::Windows, _) => true,
            };
            (is_left && self.owed <= part && a_second <= part).then_some(scope)
        };
        let few = self.are_few();
        let all = match self.scope {
            Scope::All if few => within(Scope::All, part),
            Scope::Main(_) if few && now >= self.widen => within(Scope::All, Ns(part.0 / WIDENED)),
            Scope::All | Scope::Main(_) => None,
        };
        all.or_else(|| within(Scope::Main(self.main.thread?), part))
    }

    fn choose(&mut self, now: MonoNs, scope: Scope) {
        if scope != Scope::All && self.scope == Scope::All {
            self.widen = now + self.next_retry();
        }
        self.scope = scope;
    }

    /// How long it is left alone this time: each time twice as long.
    fn next_retry(&mut self) -> Ns {
        let retry = self.retry;
        self.retry = Ns(retry.0 * 2).min(RETRIES.1);
        retry
    }

    /// In windows those are paid for already.
    fn pay_switches(&mut self, now: MonoNs, switch_rate: u64, purse: &mut Purse) {
        let switches = self.switches.count(now, switch_rate);
        if !matches!(self.state, State::Off(_)) && self.beside != Beside::Windows {
            purse.pay(now, Expense::ArmedSwitches(switches));
        }
    }

    fn arm(
        &mut self,
        now: MonoNs,
        there: &impl Process,
        process: ProcessKey,
        word: PendingWord,
        purse: &mut Purse,
        told: &mut Merge,
    ) -> Sighting {
        self.state = State::Arming;
        let scope = self.scope;
        let mut arms = 0;
        let due = self.members.iter_mut().filter(|(thread, member)| scope.has(**thread) && member.armed.is_none());
        for (_, member) in due {
            if clock::now().since(now) > ARMING {
                break;
            }
            match member.arm(word) {
                Ok(()) => arms += 1,
                // It has ended, and the sampler will say so.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => return self.refuse(now, there.pid(), process, refusal(&error), told),
            }
        }
        purse.pay(now, Expense::Arms(arms));
        // Who sleeps does not notice.
        self.owed += Ns(purse.costs().arming.0.saturating_mul(arms.min(2)));
        if let Scope::Main(main) = self.scope {
            if self.members.get(&main).is_some_and(|member| member.armed.is_some()) {
                self.state = State::On(clock::now());
                self.refused = None;
            }
            return Sighting::Nothing;
        }
        let armed: BTreeSet<Tid> =
            self.members.values().filter(|member| member.armed.is_some()).map(|member| member.tid).collect();
        if armed.len() < self.members.len() {
            return Sighting::Nothing;
        }
        let since = clock::now();
        let mut tasks = Vec::new();
        if there.tasks(&mut tasks).is_err() {
            return Sighting::Nothing;
        }
        if !tasks.iter().all(|tid| armed.contains(tid)) {
            return Sighting::Birth;
        }
        self.state = State::On(since);
        (self.refused, self.retry) = (None, RETRIES.0);
        told.push(since, What::SignalStepsBegin { process, step: SignalStep::Written });
        Sighting::Nothing
    }

    fn refuse(&mut self, now: MonoNs, pid: Pid, process: ProcessKey, why: Refusal, told: &mut Merge) -> Sighting {
        self.disarm(now, pid, StepsEnd::Refused { why }, told);
        if self.refused.replace(why) != Some(why) {
            told.push(now, ends_for(process, StepsEnd::Refused { why }));
        }
        self.rest(now);
        Sighting::Nothing
    }

    fn rest(&mut self, now: MonoNs) {
        match self.scope {
            Scope::All => {
                self.state = State::Off(now + self.next_retry());
            }
            // One thread is soon armed.
            Scope::Main(_) => self.state = State::Off(now + RETRIES.0),
        }
    }

    /// Its registers or its memory are needed for something else.
    pub fn give_way(&mut self, pid: Pid, told: &mut Merge) {
        if !matches!(self.state, State::Off(_)) {
            let now = clock::now();
            self.disarm(now, pid, StepsEnd::Yielded, told);
            self.rest(now);
        }
    }

    /// Nobody is armed any more.
    fn disarm(&mut self, now: MonoNs, pid: Pid, why: StepsEnd, told: &mut Merge) {
        if let State::Off(_) = self.state {
            return;
        }
        self.empty(pid, told);
        self.end(now, why, told);
        for member in self.members.values_mut() {
            (member.armed, member.ring) = (None, None);
        }
        self.state = State::Off(now);
    }

    /// The image is over, or the observation.
    pub fn finish(&mut self, pid: Pid, purse: &mut Purse, told: &mut Merge) {
        self.drain(pid, purse, told);
        let now = clock::now();
        self.disarm(now, pid, StepsEnd::Closed, told);
        self.members.clear();
        self.main = MainSwitches::default();
        (self.of, self.scope) = (None, Scope::All);
        self.state = State::Off(now + PAUSE);
    }

    /// Tells that what came before `at` came to nobody: what follows is a new beginning.
    pub fn tell_a_hole(&self, at: MonoNs, events: &mut Vec<Event>) {
        // One that begins later is still to be told.
        if let (State::On(since), Some((process, _)), Scope::All) = (self.state, self.of, self.scope)
            && since < at
        {
            events.push(Event { at, what: What::SignalStepsBegin { process, step: SignalStep::Written } });
        }
    }
}

fn ends_for(process: ProcessKey, why: StepsEnd) -> What {
    What::SignalStepsEnd { process, step: SignalStep::Written, why }
}

impl Member {
    fn arm(&mut self, word: PendingWord) -> io::Result<()> {
        let ring = match &self.ring {
            Some(ring) => ring,
            None => {
                let event = perf::task_records(self.tid)?;
                if !descriptors::may_stay_open(&event, Kept::ForLack) {
                    return Err(io::Error::from_raw_os_error(libc::EMFILE));
                }
                self.ring.insert(Ring::map(event, 1)?)
            }
        };
        let event = perf::armed_watchpoint(self.tid, word.address, ring.event(), HITS)?;
        (self.armed, self.hits) = (Some(event), 0);
        Ok(())
    }
}
