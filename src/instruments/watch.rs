//! One GIL under watch: its words at every tick, and who waits for it.

use std::collections::{BTreeMap, HashSet};

use crate::event::{Address, Cpu, Event, GilKey, GilSample, Hold, InterpreterId, Placement, Relation, ThreadKey, What};
use crate::instruments::clock;
use crate::instruments::roster::{Roster, StateKey, Told};
use crate::instruments::switches::{Moves, Place};
use crate::instruments::watchpoints::Words;
use crate::target::{
    Blocked, GilFutexes, GilProbe, GilReading, GilSite, Lock, Memory, ReadError, TaskError, TaskState,
};
use crate::time::{MonoNs, Ns};

/// Threads asked at one tick in search of a waiter that only the condition variable knows of.
const SEARCH: usize = 48;
/// Where a holder is, is looked up this often at most, and whenever the holder changes. What was seen counts until the
/// next look, so that a longer time would give the beginning of a hold more than its share.
const PLACEMENT_SPACING: Ns = Ns(900_000);
/// What is read of the GIL and of its threads within this time, but for that in which the reader has its core, is taken to
/// be of one instant.
const LONGEST_AWAY: Ns = Ns(150_000);

/// A GIL under watch.
#[derive(Debug)]
pub struct Watch {
    /// Its key.
    pub gil: GilKey,
    /// The interpreters that use it.
    pub interpreters: Vec<InterpreterId>,
    probe: GilProbe,
    switch_interval: Ns,
    last: Option<Last>,
    /// Threads that stand to it in some way, as of the last tick.
    stands: Stands,
    /// Threads that may take it, those that lately had to do with it first.
    candidates: Vec<ThreadKey>,
    /// Threads without a thread state, which may take it all the same: whoever calls in has one for that long only.
    natives: HashSet<ThreadKey>,
    /// Where the search among the others goes on.
    cursor: usize,
    placed_at: MonoNs,
    core: Option<Core>,
    /// CPU time of the reading thread when it began to read.
    cpu_before: Ns,
    lively: bool,
}

/// The core that a thread was on after it had been given one so many times.
#[derive(Debug, Clone, Copy)]
struct Core {
    of: ThreadKey,
    timeslices: u64,
    cpu: Cpu,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    reading: GilReading,
    holder: Option<ThreadKey>,
}

type Stands = BTreeMap<ThreadKey, Stand>;

/// How a thread stands to a GIL, as its sleep in the kernel shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Asleep on the condition variable: stays so until it takes the GIL, but for its time-outs.
    Cond,
    /// Asleep on the mutex around it: about to ask, or about to take.
    Mutex,
    /// Counted by the condition variable, but not asleep on it: it was woken, or its time-out is just over.
    Woken,
    /// Awake and no longer counted, but nobody has taken the GIL since it waited: it is about to.
    Taking,
    /// In `drop_gil` after a forced drop.
    SwitchCond,
}

impl Stand {
    fn relation(self) -> Relation {
        match self {
            Stand::Cond | Stand::Mutex | Stand::Woken | Stand::Taking => Relation::Waiting,
            Stand::SwitchCond => Relation::HandingOver,
        }
    }

    /// Whether it is among those that the condition variable counts.
    fn is_counted(self) -> bool {
        matches!(self, Stand::Cond | Stand::Woken)
    }
}

impl Watch {
    /// Watches a GIL through its probe.
    pub fn new(gil: GilKey, probe: GilProbe, switch_interval: Ns) -> Watch {
        Watch {
            gil,
            interpreters: Vec::new(),
            probe,
            switch_interval,
            last: None,
            stands: Stands::new(),
            candidates: Vec::new(),
            natives: HashSet::new(),
            cursor: 0,
            placed_at: MonoNs(0),
            core: None,
            cpu_before: Ns::ZERO,
            lively: true,
        }
    }

    /// The threads that may take it are these, of which those known keep their order, and the `natives` that may call in.
    pub fn set_candidates(&mut self, threads: &[ThreadKey], natives: HashSet<ThreadKey>) {
        self.natives = natives;
        let there: HashSet<ThreadKey> = threads.iter().copied().collect();
        self.candidates.retain(|thread| there.contains(thread));
        let known: HashSet<ThreadKey> = self.candidates.iter().copied().collect();
        let new = threads.iter().copied().filter(|thread| !known.contains(thread));
        self.candidates.splice(0..0, new);
    }

    /// A thread was born that may take it.
    pub fn may_call_in(&mut self, thread: ThreadKey) {
        self.natives.insert(thread);
    }

    /// The switch interval in force, when it was looked at last.
    pub fn switch_interval(&self) -> Ns {
        self.switch_interval
    }

    /// Whether at the newest look somebody waited for it, or another thread held it than at the look before.
    pub fn is_lively(&self) -> bool {
        self.lively
    }

    /// Handoffs by CPython's own count, at the newest look.
    pub fn counted(&self) -> u64 {
        self.last.map_or(0, |last| last.reading.switch_number)
    }

    /// Where its words lie.
    pub fn words(&self) -> Words {
        Words { gil: self.gil, locked: self.probe.locked(), cond: self.probe.cond_sequence() }
    }

    /// Where its futexes lie; `None` where the C library has them elsewhere.
    pub fn futexes(&self) -> Option<GilFutexes> {
        self.probe.futexes()
    }

    /// Reads the GIL's words: the first thing a tick does, whose instant is the end of it. This thread had used `cpu` before.
    pub fn read(&mut self, memory: &Memory, cpu: Ns) -> Result<GilReading, ReadError> {
        self.cpu_before = cpu;
        self.probe.read(memory)
    }

    /// Whether this thread has been without a core for a while in the look that began at `at`.
    fn was_kept_off(&self, at: MonoNs) -> bool {
        clock::was_kept_off(at, self.cpu_before, LONGEST_AWAY)
    }

    /// Tells what `reading` and the threads' sleeps say. `holder` is the thread that the reading names, and `moves` is
    /// what the threads did since the last tick.
    #[expect(clippy::too_many_arguments, reason = "a tick's whole context")]
    pub fn tell(
        &mut self,
        reading: GilReading,
        holder: Option<ThreadKey>,
        moves: &Moves<'_>,
        memory: &Memory,
        roster: &mut Roster,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> Found {
        if reading.interval != self.switch_interval {
            self.switch_interval = reading.interval;
            events.push(Event {
                at,
                what: What::SwitchIntervalChanged { gil: self.gil, switch_interval: reading.interval },
            });
        }
        if let Some(thread) = holder {
            self.bring_forward(thread);
        }
        let moved_on = self.last.is_none_or(|last| last.reading.switch_number != reading.switch_number);
        self.lively = moved_on || reading.waiters.is_some_and(|waiters| waiters > 0);
        let asleep: Vec<ThreadKey> = moves
            .fell_asleep()
            .filter(|thread| self.natives.contains(thread) || self.candidates.contains(thread))
            .filter(|thread| self.stands.get(thread) != Some(&Stand::Cond))
            .take(SEARCH)
            .collect();
        let found = match self.is_unchanged(&reading, holder) && asleep.is_empty() {
            true => Found::All,
            false => {
                let (stands, found) = self.identify(&reading, holder, moves, &asleep, memory, roster);
                // Kept off its core in between, a look sees the GIL at one instant and the threads at another.
                if self.was_kept_off(at) && self.probe.read(memory).is_ok_and(|now| moved(&reading, &now)) {
                    return Found::Torn;
                }
                self.tell_relations(stands, &reading, moves, roster, at, events);
                found
            }
        };
        let hold = match (reading.lock, holder) {
            (Lock::Held, Some(thread)) => {
                Hold::By { thread, placement: self.place(thread, &reading, moves, memory, roster, at, events) }
            }
            (Lock::Held, None) => Hold::ByUnknown,
            (Lock::Free | Lock::NotCreated, _) => Hold::Free,
        };
        events.push(Event {
            at,
            what: What::GilSample(GilSample {
                gil: self.gil,
                hold,
                switch_number: reading.switch_number,
                waiters: reading.waiters,
                drop_request: reading.drop_request,
            }),
        });
        self.last = Some(Last { reading, holder });
        found
    }

    /// Whether the GIL's own words tell of a change since the last tick: another state, a handoff, another number of
    /// waiters.
    pub fn has_moved(&self, reading: &GilReading) -> bool {
        self.last.is_none_or(|last| moved(&last.reading, reading))
    }

    /// Whether nobody's standing can have changed since the last tick: the GIL did not move, and all whom the condition
    /// variable counts are known to sleep on it.
    fn is_unchanged(&self, reading: &GilReading, holder: Option<ThreadKey>) -> bool {
        !self.has_moved(reading)
            && self.last.is_some_and(|last| last.holder == holder)
            && reading.waiters.is_some_and(|waiters| waiters as usize == self.stands.len())
            && self.stands.values().all(|stand| *stand == Stand::Cond)
    }

    /// Handoffs since the last tick.
    fn handoffs(&self, reading: &GilReading) -> u64 {
        self.last.map_or(u64::MAX, |last| reading.switch_number.wrapping_sub(last.reading.switch_number))
    }

    /// Finds out who waits, asking only those whose standing may have changed.
    fn identify(
        &mut self,
        reading: &GilReading,
        holder: Option<ThreadKey>,
        moves: &Moves<'_>,
        asleep: &[ThreadKey],
        memory: &Memory,
        roster: &mut Roster,
    ) -> (Stands, Found) {
        let nodes = self.listed_waiters(memory);
        let handoffs = self.handoffs(reading);
        let before = self.last.and_then(|last| last.holder);
        let mut stands = Stands::new();
        let mut running: Vec<ThreadKey> = Vec::new();
        for (thread, stand) in self.stands.clone() {
            if Some(thread) == holder {
                continue;
            }
            // A sleeper on the condition variable leaves it only by taking the GIL, which counts as a handoff. With
            // one handoff, the one that left is the holder, unless it has let go of it already.
            let nobody_else_left = handoffs <= u64::from(holder.is_some());
            let proven = stand == Stand::Cond && nobody_else_left && reading.waiters.is_some_and(|w| w > 0);
            let sleeps_on = matches!(stand, Stand::Cond | Stand::Mutex | Stand::SwitchCond) && moves.stayed(thread);
            if proven || sleeps_on {
                stands.insert(thread, stand);
                continue;
            }
            match self.stand_of(thread, nodes.as_deref(), roster) {
                Asked::Stands(stand) => drop(stands.insert(thread, stand)),
                Asked::Runs if stand != Stand::SwitchCond && handoffs == 0 && before != Some(thread) => {
                    stands.insert(thread, Stand::Taking);
                    running.push(thread);
                }
                Asked::Runs if stand.is_counted() || stand == Stand::Mutex => running.push(thread),
                Asked::Runs | Asked::Elsewhere => {}
            }
        }
        if let Some(thread) = before.filter(|b| Some(*b) != holder && !stands.contains_key(b))
            && let Asked::Stands(stand) = self.stand_of(thread, nodes.as_deref(), roster)
        {
            stands.insert(thread, stand);
        }
        let mut awake: Vec<ThreadKey> = Vec::new();
        for thread in asleep {
            if Some(*thread) == holder || stands.contains_key(thread) {
                continue;
            }
            match self.stand_of(*thread, nodes.as_deref(), roster) {
                Asked::Stands(stand) => drop(stands.insert(*thread, stand)),
                Asked::Runs => awake.push(*thread),
                Asked::Elsewhere => {}
            }
        }
        // Of those whom the condition variable counts and who sleep on it, each has been found: the others are those who fell
        // asleep since the last tick and have been woken by now, if they are as many.
        let counted = stands.values().filter(|stand| stand.is_counted()).count() + running.len() + awake.len();
        let agrees = reading.waiters.is_some_and(|waiters| waiters as usize == counted);
        if agrees && self.candidates.iter().all(|candidate| moves.is_followed(*candidate)) {
            running.append(&mut awake);
        }
        let found = self.complete(&mut stands, running, reading, holder, nodes.as_deref(), roster);
        (stands, found)
    }

    /// On musl, the futexes of those who wait: its condition variable is a list of them.
    fn listed_waiters(&mut self, memory: &Memory) -> Option<Vec<Address>> {
        let mut nodes = Vec::new();
        match self.probe.musl_waiters(memory, &mut nodes) {
            Ok(()) if !nodes.is_empty() => Some(nodes),
            Ok(()) | Err(_) => None,
        }
    }

    /// Compares those found with the number that the condition variable counts, and searches on if there are fewer.
    fn complete(
        &mut self,
        stands: &mut Stands,
        running: Vec<ThreadKey>,
        reading: &GilReading,
        holder: Option<ThreadKey>,
        nodes: Option<&[Address]>,
        roster: &mut Roster,
    ) -> Found {
        let count = |stands: &Stands| stands.values().filter(|stand| stand.is_counted()).count();
        let nobody_else_left = self.handoffs(reading) <= u64::from(holder.is_some());
        let wanted = reading.waiters.map_or(usize::MAX, |waiters| waiters as usize);
        if count(stands) > wanted {
            for (thread, known) in std::mem::take(stands) {
                match self.stand_of(thread, nodes, roster) {
                    Asked::Stands(stand) => drop(stands.insert(thread, stand)),
                    // The only one that can have left is the holder. This one's time-out is over, or it was woken since.
                    Asked::Runs if nobody_else_left => drop(stands.insert(thread, known)),
                    Asked::Runs | Asked::Elsewhere => {}
                }
            }
        }
        if reading.waiters.is_some() {
            let room = wanted.saturating_sub(count(stands));
            stands.extend(running.into_iter().take(room).map(|thread| (thread, Stand::Woken)));
        }
        if count(stands) >= wanted || self.candidates.is_empty() {
            return if reading.waiters.is_some() && count(stands) < wanted { Found::Fewer } else { Found::All };
        }
        let candidates = self.candidates.len();
        let near = SEARCH / 2;
        let asked = (0..near.min(candidates))
            .chain(
                (0..near.min(candidates.saturating_sub(near))).map(|i| near + (self.cursor + i) % (candidates - near)),
            )
            .map(|i| self.candidates[i])
            .collect::<Vec<_>>();
        self.cursor = self.cursor.wrapping_add(near);
        for thread in asked {
            if Some(thread) == holder || stands.contains_key(&thread) {
                continue;
            }
            if let Asked::Stands(stand) = self.stand_of(thread, nodes, roster) {
                stands.insert(thread, stand);
                self.bring_forward(thread);
            }
            if count(stands) >= wanted {
                return Found::All;
            }
        }
        if reading.waiters.is_some() { Found::Fewer } else { Found::All }
    }

    fn stand_of(&mut self, thread: ThreadKey, nodes: Option<&[Address]>, roster: &mut Roster) -> Asked {
        let Some(task) = roster.member(thread).and_then(|member| member.task.as_mut()) else {
            return Asked::Elsewhere;
        };
        let blocked = match task.blocked() {
            Ok(blocked) => blocked,
            Err(TaskError::Gone) => return Asked::Elsewhere,
            Err(_) => {
                roster.failed_reads += 1;
                return Asked::Elsewhere;
            }
        };
        match blocked {
            Blocked::Running => Asked::Runs,
            Blocked::Futex { address, .. } if nodes.is_some_and(|nodes| nodes.contains(&address)) => {
                Asked::Stands(Stand::Cond)
            }
            Blocked::Futex { address, .. } => match self.probe.site(address) {
                Some(GilSite::Cond) => {
                    self.probe.note_cond_futex(address);
                    Asked::Stands(Stand::Cond)
                }
                Some(GilSite::Mutex) => Asked::Stands(Stand::Mutex),
                Some(GilSite::SwitchCond) => Asked::Stands(Stand::SwitchCond),
                Some(GilSite::SwitchMutex) | None => Asked::Elsewhere,
            },
            Blocked::Syscall { .. } | Blocked::Asleep => Asked::Elsewhere,
        }
    }

    fn tell_relations(
        &mut self,
        stands: Stands,
        reading: &GilReading,
        moves: &Moves<'_>,
        roster: &mut Roster,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) {
        let hidden =
            self.last.map_or(0, |_| self.handoffs(reading).saturating_sub(u64::from(reading.lock == Lock::Held)));
        for thread in self.stands.keys().filter(|thread| !stands.contains_key(thread)) {
            events
                .push(Event { at, what: What::Relation { thread: *thread, gil: self.gil, relation: Relation::Apart } });
        }
        for (thread, stand) in &stands {
            let was = self.stands.get(thread).map(|stand| stand.relation());
            let is = stand.relation();
            // Whoever waits at both ticks may have taken the GIL between them: its core time tells, or its switches.
            let may_have_taken = hidden > 0 && !moves.is_followed(*thread);
            if is == Relation::Waiting && (was != Some(is) || may_have_taken) {
                roster.tell_usage(*thread, Told::IfMoved, at, events);
            }
            if was != Some(is) {
                events.push(Event { at, what: What::Relation { thread: *thread, gil: self.gil, relation: is } });
            }
        }
        self.stands = stands;
    }

    #[expect(clippy::too_many_arguments, reason = "a tick's whole context")]
    fn place(
        &mut self,
        thread: ThreadKey,
        reading: &GilReading,
        moves: &Moves<'_>,
        memory: &Memory,
        roster: &mut Roster,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> Option<Placement> {
        let same = self
            .last
            .is_some_and(|last| last.holder == Some(thread) && last.reading.switch_number == reading.switch_number);
        if same && at.since(self.placed_at) < PLACEMENT_SPACING {
            return None;
        }
        self.placed_at = at;
        let told = match moves.place(thread) {
            Place::On(cpu) | Place::PutOff(cpu) => Some(Placement::OnOrQueued(cpu)),
            // It may have been woken since, and queue for a core.
            Place::Asleep | Place::Unknown => None,
        };
        // Its totals move only with a switch.
        if told.is_some() && moves.stayed(thread) {
            return told;
        }
        let timeslices = roster.tell_usage(thread, Told::IfDelayed, at, events);
        if told.is_some() {
            return told;
        }
        let task = roster.member(thread)?.task.as_mut()?;
        // A task changes its core only by being given another: until then `syscall` tells the rest, for a quarter of
        // what `stat` costs.
        let known = self.core.filter(|core| core.of == thread && timeslices == Some(core.timeslices));
        let found = match known {
            Some(Core { cpu, .. }) => task.blocked().map(|blocked| (blocked == Blocked::Running, cpu)),
            None => task.stat().map(|stat| (stat.state == TaskState::Running, stat.cpu)),
        };
        match found {
            Ok((wants_core, cpu)) => {
                self.core = timeslices.map(|timeslices| Core { of: thread, timeslices, cpu });
                // Where holds are short, it sleeps because it has let go meanwhile.
                let is_over = |now: &GilReading| moved(reading, now);
                match wants_core {
                    true => Some(Placement::OnOrQueued(cpu)),
                    false if self.probe.read(memory).as_ref().is_ok_and(is_over) => None,
                    false => Some(Placement::Asleep(cpu)),
                }
            }
            Err(TaskError::Gone) => None,
            Err(_) => {
                roster.failed_reads += 1;
                Some(Placement::Unknown)
            }
        }
    }

    fn bring_forward(&mut self, thread: ThreadKey) {
        if let Some(index) = self.candidates.iter().position(|t| *t == thread) {
            self.candidates[..=index].rotate_right(1);
        }
    }
}

/// Whether all that the condition variable counts were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// All of them.
    All,
    /// Fewer: somebody waits that is not known.
    Fewer,
    /// The GIL moved on while they were looked for: nothing was told.
    Torn,
}

fn moved(before: &GilReading, now: &GilReading) -> bool {
    holder_state(before) != holder_state(now)
        || before.switch_number != now.switch_number
        || before.lock != now.lock
        || before.waiters != now.waiters
}

enum Asked {
    Stands(Stand),
    Runs,
    Elsewhere,
}

/// The thread state that a reading names as the holder.
pub fn holder_state(reading: &GilReading) -> Option<StateKey> {
    let holder = reading.holder.as_ref()?;
    (reading.lock == Lock::Held).then_some(StateKey { address: holder.thread_state, unique_id: holder.unique_id })
}
