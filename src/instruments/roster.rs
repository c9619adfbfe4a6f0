//! Who is there: the tasks of the process, their thread states, births, deaths and names.

use std::collections::{HashMap, HashSet};

use crate::event::{
    Address, Cpu, Event, InterpreterId, Pid, ProcessKey, Role, ThreadInfo, ThreadKey, Tid, Usage, What,
};
use crate::instruments::background::Background;
use crate::instruments::keys::Keys;
use crate::instruments::names::{self, Names};
use crate::target::{Target, Task, TaskError, ThreadState, cores_of};
use crate::time::{MonoNs, Ns};

/// `PyInterpreterState.id` of the first interpreter.
const MAIN_INTERPRETER: InterpreterId = InterpreterId(0);

/// A thread that is there.
#[derive(Debug)]
pub struct Member {
    /// Its files in `/proc`; `None` where CPython does not tell which task it is.
    pub task: Option<Task>,
    /// When it came into view.
    found: MonoNs,
    /// The last totals that were told.
    told: Option<Usage>,
    /// What the kernel called it when it was asked last.
    kernel_name: String,
    /// The cores that it may use, as was told; `None`: those of the process.
    cpus: Option<Vec<Cpu>>,
    /// When the kernel is asked for them next.
    cpus_due: MonoNs,
}

/// A thread state, told from another at the same address by CPython's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateKey {
    /// Where it lies.
    pub address: Address,
    /// `PyThreadState.id`.
    pub unique_id: u64,
}

/// Between two questions for names while somebody has none: at first, and at most. Some never get one.
const NAME_PAUSES: (Ns, Ns) = (Ns(200_000_000), Ns(30_000_000_000));

/// Between two questions for the cores that a thread may use.
const CPUS_SPACING: Ns = Ns(1_000_000_000);

/// Everybody who is there.
#[derive(Debug)]
pub struct Roster {
    process: ProcessKey,
    pid: Pid,
    /// The cores that the process might use when it was found.
    cpus: Vec<Cpu>,
    members: HashMap<ThreadKey, Member>,
    by_tid: HashMap<Tid, ThreadKey>,
    by_state: HashMap<StateKey, ThreadKey>,
    by_pthread: HashMap<Address, ThreadKey>,
    joined: HashSet<(ThreadKey, InterpreterId)>,
    names: Option<Background<Names>>,
    named: HashMap<ThreadKey, String>,
    /// When names are asked for again while somebody has none, and how long after that.
    names_due: (MonoNs, Ns),
    scanned: Option<MonoNs>,
    tids: Vec<Tid>,
    /// Whose totals are still to be read in the sweep that has begun.
    unswept: Vec<ThreadKey>,
    depth: Depth,
    /// Reads of `/proc` that failed for another reason than the thread's end.
    pub failed_reads: u64,
}

impl Roster {
    /// Nobody yet.
    pub fn new(process: ProcessKey, pid: Pid, cpus: Vec<Cpu>) -> Roster {
        Roster {
            process,
            pid,
            cpus,
            members: HashMap::new(),
            by_tid: HashMap::new(),
            by_state: HashMap::new(),
            by_pthread: HashMap::new(),
            joined: HashSet::new(),
            names: names::reader(pid),
            named: HashMap::new(),
            names_due: (MonoNs(0), NAME_PAUSES.0),
            scanned: None,
            tids: Vec::new(),
            unswept: Vec::new(),
            depth: Depth::Times,
            failed_reads: 0,
        }
    }

    /// All threads that are there.
    pub fn threads(&self) -> impl Iterator<Item = ThreadKey> + '_ {
        self.members.keys().copied()
    }

    /// A member.
    pub fn member(&mut self, thread: ThreadKey) -> Option<&mut Member> {
        self.members.get_mut(&thread)
    }

    /// Compares the process's tasks and thread states with those known, and tells what changed.
    pub fn scan(
        &mut self,
        target: &Target,
        states: &[(InterpreterId, ThreadState)],
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) {
        let mut tids = std::mem::take(&mut self.tids);
        tids.clear();
        let listed = target.tasks(&mut tids).is_ok();
        if listed {
            let there: HashSet<Tid> = tids.iter().copied().collect();
            let gone: Vec<ThreadKey> =
                self.by_tid.iter().filter(|(tid, _)| !there.contains(tid)).map(|(_, key)| *key).collect();
            for key in gone {
                self.ended(key, at, events);
            }
            for tid in &tids {
                self.task(*tid, keys, at, events);
            }
        } else {
            self.failed_reads += 1;
        }
        self.tids = tids;
        let present: HashSet<StateKey> = states.iter().map(|(_, state)| key_of(state)).collect();
        self.by_state.retain(|state, _| present.contains(state));
        let without_task: Vec<ThreadKey> = self
            .members
            .iter()
            .filter(|(key, member)| member.task.is_none() && !self.by_state.values().any(|k| k == *key))
            .map(|(key, _)| *key)
            .collect();
        for key in without_task {
            self.ended(key, at, events);
        }
        let mut news = false;
        // The oldest first: of two with the same ids, the younger one is about to be born of the other's thread.
        let mut taken = HashSet::new();
        for (interpreter, state) in states.iter().rev() {
            if state.tid.is_some_and(|tid| !taken.insert((*interpreter, tid))) {
                continue;
            }
            let known = self.by_state.contains_key(&key_of(state));
            news |= !known;
            self.state(*interpreter, state, keys, at, events);
        }
        self.scanned = Some(at);
        self.tell_names(news, at, events);
    }

    /// The thread that a thread state belongs to; it is added if it was not known. `None` for a thread that has not
    /// begun to run or has ended: nobody knows which task it is.
    pub fn state(
        &mut self,
        interpreter: InterpreterId,
        state: &ThreadState,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> Option<ThreadKey> {
        let known = self.by_state.get(&key_of(state)).copied();
        let key = match (known, state.tid) {
            // Also if it is known: up to 3.11 a newborn's state has its creator's ids until the newborn itself runs
            // (`new_threadstate` in Python/pystate.c, then `thread_run` in Modules/_threadmodule.c).
            (_, Some(tid)) => self.task(tid, keys, at, events),
            (Some(key), None) => key,
            // Up to 3.12 CPython does not tell which task runs in a sub-interpreter: its GIL is taken all the same.
            (None, None) if interpreter != MAIN_INTERPRETER && state.pthread != Address(0) => {
                let name = format!("interpreter {} thread", interpreter.0);
                self.add(None, name, Role::Python, at, keys, at, events)
            }
            (None, None) => return None,
        };
        self.by_state.insert(key_of(state), key);
        if state.tid.is_some() {
            self.by_pthread.insert(state.pthread, key);
        }
        if self.joined.insert((key, interpreter)) {
            events.push(Event { at, what: What::ThreadJoined { thread: key, interpreter } });
        }
        Some(key)
    }

    /// The thread that a thread state belongs to, if it is known.
    pub fn thread_of(&self, state: &ThreadState) -> Option<ThreadKey> {
        self.find_state(key_of(state))
    }

    /// The thread of a thread state's key, if it is known.
    pub fn find_state(&self, state: StateKey) -> Option<ThreadKey> {
        self.by_state.get(&state).copied()
    }

    /// A task was born at an instant, as another instrument has recorded. `None`: it has come into view meanwhile.
    pub fn born(&mut self, tid: Tid, at: MonoNs, keys: &mut Keys, events: &mut Vec<Event>) -> Option<ThreadKey> {
        if let Some(&known) = self.by_tid.get(&tid) {
            let before = self.members.get(&known).is_some_and(|member| member.found < at);
            if !before {
                return None;
            }
            // The kernel has given the number of one that ended to it.
            self.ended(known, at, events);
        }
        Some(self.add_task(Task::new(self.pid, tid), at, keys, at, events))
    }

    fn task(&mut self, tid: Tid, keys: &mut Keys, at: MonoNs, events: &mut Vec<Event>) -> ThreadKey {
        if let Some(key) = self.by_tid.get(&tid) {
            return *key;
        }
        let mut task = Task::new(self.pid, tid);
        let started = task.stat().map_or(at, |stat| stat.started);
        let started = self.scanned.map_or(started, |scanned| started.max(scanned)).min(at);
        self.add_task(task, started, keys, at, events)
    }

    fn add_task(
        &mut self,
        task: Task,
        started: MonoNs,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> ThreadKey {
        let tid = task.tid();
        let name = task.name().unwrap_or_else(|_| tid.0.to_string());
        let role = if tid.0 == self.pid.0 { Role::Main } else { Role::Native };
        let key = self.add(Some(task), name, role, started, keys, at, events);
        self.by_tid.insert(tid, key);
        key
    }

    #[expect(clippy::too_many_arguments, reason = "what a thread is told with, once")]
    fn add(
        &mut self,
        task: Option<Task>,
        name: String,
        role: Role,
        started: MonoNs,
        keys: &mut Keys,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) -> ThreadKey {
        let key = keys.thread();
        let tid = task.as_ref().map(Task::tid);
        self.members
            .insert(key, Member { task, found: at, told: None, kernel_name: name.clone(), cpus: None, cpus_due: at });
        let info = ThreadInfo { process: self.process, tid, name, role, started };
        events.push(Event { at, what: What::ThreadFound { thread: key, info: Box::new(info) } });
        key
    }

    /// A thread is gone.
    pub fn ended(&mut self, thread: ThreadKey, at: MonoNs, events: &mut Vec<Event>) {
        if self.members.remove(&thread).is_none() {
            return;
        }
        self.by_tid.retain(|_, key| *key != thread);
        self.by_state.retain(|_, key| *key != thread);
        self.by_pthread.retain(|_, key| *key != thread);
        self.joined.retain(|(key, _)| *key != thread);
        self.named.remove(&thread);
        events.push(Event { at, what: What::ThreadEnded { thread } });
    }

    /// What the kernel calls threads now, if that is news: CPython tells it their names since 3.14.
    fn tell_kernel_names(&mut self, threads: &[ThreadKey], at: MonoNs, events: &mut Vec<Event>) {
        for thread in threads {
            let Some(member) = self.members.get_mut(thread) else { continue };
            if let Some(name) = member.task.as_ref().and_then(|task| task.name().ok())
                && name != member.kernel_name
            {
                member.kernel_name.clone_from(&name);
                events.push(Event { at, what: What::ThreadNamed { thread: *thread, name } });
            }
        }
    }

    fn tell_names(&mut self, news: bool, at: MonoNs, events: &mut Vec<Event>) {
        // A thread's name is set a little after its birth, and a program that starts up cannot be asked at all.
        let (due, pause) = if news { (at, NAME_PAUSES.0) } else { self.names_due };
        if at >= due {
            self.names_due = (at + pause, Ns(pause.0 * 2).min(NAME_PAUSES.1));
            let unnamed = self.by_pthread.values().filter(|thread| !self.named.contains_key(thread));
            let unnamed: Vec<ThreadKey> = if news { Vec::new() } else { unnamed.copied().collect() };
            if let Some(reader) = &self.names
                && (news || !unnamed.is_empty())
            {
                reader.ask();
            }
            self.tell_kernel_names(&unnamed, at, events);
        }
        let Some(found) = self.names.as_ref().and_then(Background::answer) else { return };
        for (pthread, name) in found {
            let Some(thread) = self.by_pthread.get(&pthread).copied() else { continue };
            if self.named.get(&thread) != Some(&name) {
                self.named.insert(thread, name.clone());
                events.push(Event { at, what: What::ThreadNamed { thread, name } });
            }
        }
    }

    /// Begins to read the kernel's totals of every thread. What was left of an earlier sweep is dropped.
    pub fn begin_sweep(&mut self, depth: Depth) {
        self.depth = depth;
        self.unswept.clear();
        self.unswept.extend(self.members.keys());
    }

    /// Goes on with the sweep that has begun, by `reads` files at most, and tells what they say.
    pub fn sweep(&mut self, reads: usize, at: MonoNs, events: &mut Vec<Event>) -> Swept {
        let threads = reads / self.depth.reads();
        for thread in self.unswept.split_off(self.unswept.len().saturating_sub(threads.max(1))) {
            let Some(member) = self.members.get_mut(&thread) else { continue };
            let Some(task) = member.task.as_mut() else { continue };
            match task.schedstat() {
                Ok(mut usage) => {
                    if self.depth == Depth::WithSwitches {
                        usage.switches = task.switches().ok();
                    }
                    member.tell(thread, usage, at, events);
                    member.tell_cpus(thread, &self.cpus, at, events);
                }
                Err(TaskError::Gone) => self.ended(thread, at, events),
                Err(_) => self.failed_reads += 1,
            }
        }
        if self.unswept.is_empty() { Swept::All } else { Swept::Some }
    }

    /// Reads one thread's totals and tells them if there is news. How often it was given a core so far.
    pub fn tell_usage(&mut self, thread: ThreadKey, told: Told, at: MonoNs, events: &mut Vec<Event>) -> Option<u64> {
        let member = self.members.get_mut(&thread)?;
        let task = member.task.as_mut()?;
        match task.schedstat() {
            Ok(usage) => {
                if member.has_news(&usage, told) {
                    member.tell(thread, usage, at, events);
                }
                return Some(usage.timeslices);
            }
            Err(TaskError::Gone) => self.ended(thread, at, events),
            Err(_) => self.failed_reads += 1,
        }
        None
    }
}

/// When totals that were read are worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// When any of them moved.
    IfMoved,
    /// When it was given a core: core time alone moves at every clock tick of a running thread.
    IfDelayed,
}

/// How much of a thread's totals to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Core time and run delay: one cheap file.
    Times,
    /// Context switches too: a dear one.
    WithSwitches,
}

impl Depth {
    /// Cheap reads that one thread's totals cost.
    fn reads(self) -> usize {
        match self {
            Depth::Times => 1,
            Depth::WithSwitches => 8,
        }
    }
}

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// To its end.
    All,
    /// Not to its end.
    Some,
}

impl Member {
    fn tell(&mut self, thread: ThreadKey, usage: Usage, at: MonoNs, events: &mut Vec<Event>) {
        self.told = Some(usage);
        events.push(Event { at, what: What::Usage { thread, usage } });
    }

    /// Which cores it may use, if that is news and it is time to ask. `common`: what is taken to be known.
    fn tell_cpus(&mut self, thread: ThreadKey, common: &[Cpu], at: MonoNs, events: &mut Vec<Event>) {
        if at < self.cpus_due {
            return;
        }
        self.cpus_due = at + CPUS_SPACING;
        let Some(cpus) = self.task.as_ref().and_then(|task| cores_of(task.tid()).ok()) else { return };
        if self.cpus.as_deref().unwrap_or(common) != cpus {
            self.cpus = Some(cpus.clone());
            events.push(Event { at, what: What::AffinityKnown { thread, cpus } });
        }
    }

    fn has_news(&self, usage: &Usage, told: Told) -> bool {
        self.told.is_none_or(|before| {
            before.run_delay != usage.run_delay
                || before.timeslices != usage.timeslices
                || (told == Told::IfMoved && before.on_cpu != usage.on_cpu)
        })
    }
}

fn key_of(state: &ThreadState) -> StateKey {
    StateKey { address: state.address, unique_id: state.unique_id }
}
