//! The sampled instrument: one process image, one tick after another.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Address, Ending, Event, GilKey, InterpreterId, Pid, ProcessKey, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::job::Job;
use crate::instruments::keys::Keys;
use crate::instruments::roster::{Depth, Roster, StateKey, Swept};
use crate::instruments::signals::{SignalLooks, Writes};
use crate::instruments::switches::Moves;
use crate::instruments::watch::{Found, Watch, holder_state};
use crate::instruments::watchpoints::{Process, Words};
use crate::target::{
    Code, Finalization, GilFutexes, GilProbe, GilReading, ImageState, Interpreter, MainThread, PendingWord, ReadError,
    Target, ThreadState,
};
use crate::time::{MonoNs, Ns};

/// Shortest time between two looks at who is there, where nothing tells of births, and where records of all threads do.
const SCAN_SPACING: (Ns, Ns) = (Ns(20_000_000), Ns(100_000_000));
/// Shortest time between two looks that a waiter nobody knows, or a failed read, gave cause for.
const URGENT_SPACING: Ns = Ns(2_000_000);
/// Shortest time between two readings of all threads' totals.
const SWEEP_SPACING: Ns = Ns(100_000_000);
/// Shortest time between two readings of context switches.
const SWITCHES_SPACING: Ns = Ns(5_000_000_000);
/// Files of the sweep that one tick may read, a cheap one taking about 2 us.
const SWEEP_READS: usize = 48;
/// A recurring job may use this share of the time: one part in so many.
const SHARE: u64 = 60;

/// Whether the process image can be looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    GoesOn,
    /// It is gone, or another.
    Over(Ending),
}

/// Whether a look is taken at the instant at which it was due.
///
/// When every core is busy, a look that is due waits for one, and gets it just when somebody lets go of it, which may be
/// a thread of the target that lets go of the GIL: what such a look sees is not what a random instant sees. It counts
/// only where it proves that nothing has changed since the look before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Punctuality {
    /// It is.
    OnTime,
    /// It is not.
    Late,
}

/// Whether births of tasks are told by another instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Births {
    /// All of them.
    Told,
    /// Not all.
    Unseen,
}

/// What the reads of an instrument came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// Reads that failed.
    pub failed: u64,
    /// Reads thrown away because the GIL changed under them.
    pub torn: u64,
}

/// Samples one process image.
#[derive(Debug)]
pub struct Sampler {
    target: Target,
    process: ProcessKey,
    roster: Roster,
    watches: Vec<Watch>,
    gils: BTreeMap<Address, GilKey>,
    interpreters: BTreeMap<InterpreterId, Interpreter>,
    reads: Reads,
    scan: Job,
    sweep: Job,
    sweeping: Swept,
    switches: Job,
    cause: Cause,
    signals: SignalLooks,
    /// Probes of GILs that have come into view, for another instrument.
    probes: Vec<(GilKey, GilProbe)>,
    /// The thread states that there are, and whether another instrument has been told of them.
    states: (Vec<ThreadState>, Told),
}

/// Whether others know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    NotYet,
}

/// Why to look at who is there before it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    None,
    Unexplained,
}

/// A read of a GIL's words takes 3 to 8 us, and they are copied just before its end. Where the reader was kept off its core
/// for longer than this, that was before or after it, and what was read is of no known instant.
const PROMPT: Ns = Ns(30_000);

impl Sampler {
    /// Begins to observe `target`, as `process`, and tells what is there.
    ///
    /// # Errors
    /// If its interpreters cannot be read. That it was found has been told by then.
    pub fn begin(
        target: Target,
        process: ProcessKey,
        keys: &mut Keys,
        events: &mut Vec<Event>,
    ) -> Result<Sampler, ReadError> {
        let at = clock::now();
        let info = target.info().clone();
        let pid = info.pid;
        let cpus = info.cpus_allowed.clone();
        events.push(Event { at, what: What::ProcessFound { process, info: Box::new(info) } });
        let mut sampler = Sampler {
            target,
            process,
            roster: Roster::new(process, pid, cpus),
            watches: Vec::new(),
            gils: BTreeMap::new(),
            interpreters: BTreeMap::new(),
            reads: Reads::default(),
            scan: Job::new(SCAN_SPACING.0, SHARE),
            sweep: Job::new(SWEEP_SPACING, SHARE),
            sweeping: Swept::All,
            switches: Job::new(SWITCHES_SPACING, SHARE),
            cause: Cause::None,
            signals: SignalLooks::new(process),
            probes: Vec::new(),
            states: (Vec::new(), Told::Yes),
        };
        sampler.look_who_is_there(keys, at, events)?;
        sampler.sweep_totals(at, usize::MAX, events);
        sampler.signals.look(&sampler.target, events);
        Ok(sampler)
    }

    /// The process image that it samples.
    pub fn process(&self) -> ProcessKey {
        self.process
    }

    /// What tells the code that its threads are in; `None` without a file descriptor left.
    pub fn code(&self) -> Option<Code> {
        self.target.code().ok()
    }

    /// Reads that failed so far.
    pub fn reads(&self) -> Reads {
        Reads { failed: self.reads.failed + self.roster.failed_reads, torn: self.reads.torn }
    }

    /// Handoffs of all GILs, by CPython's own count.
    pub fn handoffs(&self) -> u64 {
        self.watches.iter().map(Watch::counted).fold(0, u64::saturating_add)
    }

    /// The shortest switch interval in force; the longest there can be where there is no GIL.
    pub fn switch_interval(&self) -> Ns {
        self.watches.iter().map(Watch::switch_interval).min().unwrap_or(Ns(u64::MAX))
    }

    /// The GILs whose futexes can be told by their addresses, and where those lie; `None` where that does not go for all.
    pub fn futexes(&self) -> Option<Vec<(GilKey, GilFutexes)>> {
        self.watches.iter().map(|watch| Some((watch.gil, watch.futexes()?))).collect()
    }

    /// Looks once. `moves` is what the threads did since the look before, as far as that is known. `None`: it was too late for a look to count.
    pub fn tick(
        &mut self,
        when: Punctuality,
        moves: &Moves<'_>,
        keys: &mut Keys,
        events: &mut Vec<Event>,
    ) -> Option<Verdict> {
        let (cpu, began) = (clock::thread_cpu(), clock::now());
        let mut trouble = Cause::None;
        let mut readings = Vec::with_capacity(self.watches.len());
        for watch in &mut self.watches {
            readings.push(watch.read(self.target.memory(), cpu));
        }
        let read = clock::now();
        let (at, when) = match clock::was_kept_off(began, cpu, PROMPT) {
            true => (began, Punctuality::Late),
            false => (read, when),
        };
        // However late it is: what is pending is, and the next look is later still.
        self.signals.look(&self.target, events);
        self.signals.look_at_main(self.target.memory(), when, moves, events);
        if when == Punctuality::Late {
            let moved = |(watch, reading): (&Watch, &Result<GilReading, ReadError>)| {
                reading.as_ref().map_or(true, |reading| watch.has_moved(reading))
            };
            if self.watches.iter().zip(&readings).any(moved) {
                return None;
            }
        }
        for (index, reading) in readings.into_iter().enumerate() {
            match reading {
                Ok(reading) => trouble = trouble.or(self.tell(index, reading, moves, keys, at, events)),
                Err(ReadError::Torn) => self.reads.torn += 1,
                Err(_) => {
                    self.reads.failed += 1;
                    trouble = Cause::Unexplained;
                }
            }
        }
        self.cause = trouble;
        let early = self.cause == Cause::Unexplained
            && at.since(self.scan.began) >= URGENT_SPACING.max(Ns(self.scan.due.since(self.scan.began).0 / 2));
        if self.scan.is_due(at) || early {
            match self.target.image() {
                ImageState::Same => {}
                ImageState::Gone => return Some(self.over(Ending::Exited, at, events)),
                ImageState::Replaced { path } => return Some(self.over(Ending::Execed { path }, at, events)),
            }
            if self.look_who_is_there(keys, at, events).is_err() {
                self.reads.failed += 1;
                // While a process shuts down its interpreter goes first: what is left of it tells nothing.
                if matches!(self.target.finalization(), Ok(Finalization::Done)) {
                    return Some(self.over(Ending::Finalized, at, events));
                }
            }
        }
        self.sweep_totals(at, SWEEP_READS, events);
        Some(Verdict::GoesOn)
    }

    /// Whether another instrument tells of all births.
    pub fn births_are(&mut self, told: Births) {
        self.scan.spacing = match told {
            Births::Told => SCAN_SPACING.1,
            Births::Unseen => SCAN_SPACING.0,
        };
    }

    /// Whether another instrument tells every write of the word for pending signals.
    pub fn writes_are(&mut self, told: Writes) {
        self.signals.writes_are(told);
    }

    /// Whether at the newest look somebody waited for a GIL, or another thread held one than at the look before.
    pub fn is_lively(&self) -> bool {
        self.watches.iter().any(Watch::is_lively)
    }

    /// A task was born, as another instrument has seen: who is there is looked up at the next tick.
    pub fn expect_a_birth(&mut self) {
        self.scan.due = self.scan.due.min(self.scan.began + URGENT_SPACING);
    }

    /// Meets a task that was born at an instant, as another instrument has recorded. `None`: it was known already.
    pub fn meet(&mut self, tid: Tid, born: MonoNs, keys: &mut Keys, events: &mut Vec<Event>) -> Option<ThreadKey> {
        let thread = self.roster.born(tid, born, keys, events)?;
        if let [only] = self.watches.as_mut_slice() {
            only.may_call_in(thread);
        }
        Some(thread)
    }

    /// Probes of their own of the GILs that have come into view since this was asked last.
    pub fn new_probes(&mut self) -> Vec<(GilKey, GilProbe)> {
        std::mem::take(&mut self.probes)
    }

    /// All thread states, if others have come into view since this was asked last.
    pub fn new_thread_states(&mut self) -> Option<Vec<ThreadState>> {
        (std::mem::replace(&mut self.states.1, Told::Yes) == Told::NotYet).then(|| self.states.0.clone())
    }

    /// The thread of a thread state, if it is known.
    pub fn thread_of(&self, state: StateKey) -> Option<ThreadKey> {
        self.roster.find_state(state)
    }

    /// Another instrument has learned of a step of some signal, or has sent one: the next look says what became of it.
    pub fn expect_signals(&mut self) {
        self.signals.expect();
    }

    /// What was told of signals came to nobody: all is told anew.
    pub fn forget_signals(&mut self) {
        self.signals.forget();
    }

    /// Where CPython notes that signals are pending, if that is known.
    pub fn pending_word(&self) -> Option<(ProcessKey, PendingWord)> {
        self.signals.pending_word().map(|word| (self.process, word))
    }

    /// Takes the totals a last time: the observation ends here.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        (self.sweep.due, self.switches.due, self.sweeping) = (MonoNs(0), MonoNs(0), Swept::All);
        self.sweep_totals(clock::now(), usize::MAX, events);
    }

    fn over(&mut self, ending: Ending, at: MonoNs, events: &mut Vec<Event>) -> Verdict {
        events.push(Event { at, what: What::ProcessEnded { process: self.process, ending: ending.clone() } });
        Verdict::Over(ending)
    }

    fn tell(
        &mut self,
        index: usize,
        reading: GilReading,
        moves: &Moves<'_>,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> Cause {
        let holder = self.holder(&reading, keys, at, events);
        let memory = self.target.memory();
        let found = self.watches[index].tell(reading, holder, moves, memory, &mut self.roster, at, events);
        if found == Found::Torn {
            self.reads.torn += 1;
        }
        match (found, holder, holder_state(&reading)) {
            (Found::Fewer, _, _) | (_, None, Some(_)) => Cause::Unexplained,
            _ => Cause::None,
        }
    }

    /// The thread that holds, which may have been born since the last scan.
    fn holder(
        &mut self,
        reading: &GilReading,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> Option<ThreadKey> {
        let state = holder_state(reading)?;
        if let Some(thread) = self.roster.find_state(state) {
            return Some(thread);
        }
        let found = reading.holder?;
        let interpreter = self.interpreters.values().find(|i| i.address == found.interpreter)?.id;
        let state = ThreadState {
            address: found.thread_state,
            unique_id: found.unique_id,
            pthread: found.pthread,
            tid: found.tid,
            main: MainThread::Unknown,
        };
        self.roster.state(interpreter, &state, keys, at, events)
    }

    fn look_who_is_there(&mut self, keys: &mut Keys, at: MonoNs, events: &mut Vec<Event>) -> Result<(), ReadError> {
        let began = clock::now();
        self.scan.begins(began);
        let found = self.target.interpreters()?;
        self.meet_interpreters(&found, keys, at, events);
        let mut states: Vec<(InterpreterId, ThreadState)> = Vec::new();
        for interpreter in &found {
            match self.target.thread_states(interpreter) {
                Ok(those) => states.extend(those.into_iter().map(|state| (interpreter.id, state))),
                Err(_) => self.reads.failed += 1,
            }
        }
        self.roster.scan(&self.target, &states, keys, at, events);
        if !self.states.0.iter().eq(states.iter().map(|(_, state)| state)) {
            self.states = (states.iter().map(|(_, state)| *state).collect(), Told::NotYet);
        }
        self.meet_main(&found, &states, events);
        // Which GIL a native thread takes when it calls in is not known before, unless there is but one.
        let only = self.watches.len() == 1;
        for watch in &mut self.watches {
            let takers: BTreeSet<ThreadKey> = states
                .iter()
                .filter(|(interpreter, _)| watch.interpreters.contains(interpreter))
                .filter_map(|(_, state)| self.roster.thread_of(state))
                .collect();
            let others = self.roster.threads().filter(|thread| only && !takers.contains(thread)).collect();
            let takers: Vec<ThreadKey> = takers.into_iter().collect();
            watch.set_candidates(&takers, others);
        }
        self.scan.spent(began);
        Ok(())
    }

    /// Which of the thread states is the main thread's.
    fn meet_main(&mut self, found: &[Interpreter], states: &[(InterpreterId, ThreadState)], events: &mut Vec<Event>) {
        let main = self.target.main_interpreter().ok();
        let interpreter = found.iter().find(|it| Some(it.address) == main).map(|it| it.id);
        let of_it = states.iter().filter(|(of, _)| Some(*of) == interpreter).map(|(_, state)| *state);
        let main = ThreadState::of_main(of_it).and_then(|state| Some((self.roster.thread_of(&state)?, state)));
        self.signals.meet_main(&self.target, main, events);
    }

    fn meet_interpreters(&mut self, found: &[Interpreter], keys: &mut Keys, at: MonoNs, events: &mut Vec<Event>) {
        let there: BTreeSet<InterpreterId> = found.iter().map(|i| i.id).collect();
        let gone: Vec<InterpreterId> = self.interpreters.keys().copied().filter(|id| !there.contains(id)).collect();
        for interpreter in gone {
            self.interpreters.remove(&interpreter);
            events.push(Event { at, what: What::InterpreterEnded { process: self.process, interpreter } });
            for watch in &mut self.watches {
                watch.interpreters.retain(|id| *id != interpreter);
            }
            self.watches.retain(|watch| !watch.interpreters.is_empty());
            let watched: BTreeSet<GilKey> = self.watches.iter().map(|watch| watch.gil).collect();
            self.gils.retain(|_, gil| watched.contains(gil));
        }
        for interpreter in found {
            if self.interpreters.get(&interpreter.id).is_some_and(|known| known.gil == interpreter.gil) {
                continue;
            }
            let gil = interpreter.gil.map(|address| self.watch(address, interpreter, keys, at, events));
            self.interpreters.insert(interpreter.id, *interpreter);
            events.push(Event {
                at,
                what: What::InterpreterFound { process: self.process, interpreter: interpreter.id, gil },
            });
        }
    }

    fn watch(
        &mut self,
        address: Address,
        interpreter: &Interpreter,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> GilKey {
        if let Some(gil) = self.gils.get(&address) {
            if let Some(watch) = self.watches.iter_mut().find(|watch| watch.gil == *gil) {
                watch.interpreters.push(interpreter.id);
            }
            return *gil;
        }
        let gil = keys.gil();
        let mut probe = self.target.probe(address, interpreter);
        let switch_interval = probe.read(self.target.memory()).map_or(Ns::from_millis(5), |reading| reading.interval);
        events.push(Event { at, what: What::GilFound { gil, process: self.process, switch_interval } });
        self.probes.push((gil, self.target.probe(address, interpreter)));
        let mut watch = Watch::new(gil, probe, switch_interval);
        watch.interpreters.push(interpreter.id);
        self.watches.push(watch);
        self.gils.insert(address, gil);
        gil
    }

    /// Reads everybody's totals, by a part at each tick.
    fn sweep_totals(&mut self, at: MonoNs, reads: usize, events: &mut Vec<Event>) {
        if self.sweeping == Swept::All {
            if !self.sweep.is_due(at) {
                return;
            }
            let depth = if self.switches.is_due(at) { Depth::WithSwitches } else { Depth::Times };
            if depth == Depth::WithSwitches {
                self.switches.begins(at);
                self.switches.due = at + self.switches.spacing;
            }
            self.sweep.begins(at);
            self.roster.begin_sweep(depth);
        }
        let began = clock::now();
        self.sweeping = self.roster.sweep(reads, at, events);
        self.sweep.spent(began);
    }
}

impl Process for Sampler {
    fn pid(&self) -> Pid {
        self.target.info().pid
    }

    fn words(&self) -> Vec<Words> {
        self.watches.iter().map(Watch::words).collect()
    }

    fn tasks(&self, out: &mut Vec<Tid>) -> std::io::Result<()> {
        self.target.tasks(out)
    }
}

impl Cause {
    fn or(self, other: Cause) -> Cause {
        match self {
            Cause::None => other,
            Cause::Unexplained => self,
        }
    }
}
