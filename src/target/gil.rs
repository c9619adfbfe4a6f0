//! One GIL, read whole: `struct _gil_runtime_state` (pycore_gil.h), and the thread state of its holder.
//!
//! **What can be believed.** `take_gil` writes `locked = 1`, then `last_holder` and `switch_number`; `drop_gil` writes
//! `last_holder`, then `locked = 0` (Python/ceval_gil.c). So while `locked` is 0 nobody holds it and `last_holder`
//! is stale; while it is 1, `last_holder` is the holder but for a few instructions after a take. One system call
//! reads the struct, the thread state of the holder expected, and the struct again. What stands between two equal
//! (`last_holder`, `switch_number`) belongs to that holder.

use std::collections::HashMap;

use crate::event::{Address, DropRequest, InterpreterId, Pid, Tid};
use crate::target::c_library::LibcKind;
use crate::target::error::ReadError;
use crate::target::interpreters::Interpreter;
use crate::target::layout::{COND_SIZE, Confirm, DropPlace, ThreadLayout};
use crate::target::memory::Memory;
use crate::target::namespace::PidNamespace;
use crate::target::runtime::Runtime;
use crate::target::threads::{Identity, half_word, word};
use crate::time::Ns;

/// How often one reading is begun anew before it counts as torn.
const ATTEMPTS: usize = 4;
/// The largest `struct _gil_runtime_state`.
const MAX_GIL: usize = 240;
/// Most waiters that are counted in musl's list, one read each.
const MAX_MUSL_WAITERS: u32 = 1024;
/// Most waiters that are believed.
const MAX_WAITERS: u32 = 1 << 22;
/// Most holders whose task ids are kept.
const MAX_KNOWN: usize = 4096;

/// The state of a GIL at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GilReading {
    /// Whether it is held.
    pub lock: Lock,
    /// The thread state that holds it or held it last; stale and maybe freed unless `lock` is [`Lock::Held`].
    pub last_holder: Address,
    /// How often it has passed to another thread state.
    pub switch_number: u64,
    /// The switch interval (`sys.getswitchinterval()`).
    pub interval: Ns,
    /// The number of threads that wait in its condition variable; `None` where that is not known to be readable.
    pub waiters: Option<u32>,
    /// Whether the holder has been asked to drop it; absent without a holder.
    pub drop_request: DropRequest,
    /// Who holds it; `None` unless `lock` is [`Lock::Held`].
    pub holder: Option<HolderState>,
}

/// `_gil_runtime_state.locked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// -1: the interpreter has not made it yet.
    NotCreated,
    /// 0.
    Free,
    /// 1.
    Held,
}

/// The thread state that holds a GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HolderState {
    /// Of its `PyThreadState`.
    pub thread_state: Address,
    /// Of the interpreter that it belongs to.
    pub interpreter: Address,
    /// CPython's `id` of it, unique within its interpreter.
    pub unique_id: u64,
    /// Its task id, as [`ThreadState::tid`](crate::target::ThreadState::tid).
    pub tid: Option<Tid>,
    /// Its `pthread_t`.
    pub pthread: Address,
    /// Whether the thread state says so too.
    pub confirmed: Confirmation,
}

/// Whether a second witness agrees that a thread state holds the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// It does.
    Confirmed,
    /// It does not: the holder is inside `take_gil` or `drop_gil`, a few instructions from the edge. It still
    /// holds the lock.
    InTransition,
}

/// Which of a GIL's four futexes an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GilSite {
    /// `cond`: waits for the GIL in `take_gil`.
    Cond,
    /// `mutex`: for microseconds, at the edges of takes and drops.
    Mutex,
    /// `switch_cond`: in `drop_gil` after a forced drop, until another thread has taken it.
    SwitchCond,
    /// `switch_mutex`: as `mutex`.
    SwitchMutex,
}

/// Where the futexes of a GIL lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GilFutexes {
    cond: Address,
    mutex: Address,
    switch_cond: Address,
    switch_mutex: Address,
    end: Address,
}

impl GilFutexes {
    /// From the first to behind the last.
    pub fn range(&self) -> (Address, Address) {
        (self.cond, self.end)
    }

    /// Which of them an address belongs to. By range, never by word: which word of a condition variable it is differs
    /// between versions of glibc.
    pub fn site(&self, futex: Address) -> Option<GilSite> {
        match futex {
            it if it < self.cond || it >= self.end => None,
            it if it < self.mutex => Some(GilSite::Cond),
            it if it < self.switch_cond => Some(GilSite::Mutex),
            it if it < self.switch_mutex => Some(GilSite::SwitchCond),
            _ => Some(GilSite::SwitchMutex),
        }
    }
}

/// How `pthread_cond_t` is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CondLayout {
    /// glibc up to 2.40: `__wrefs` at 36, `__g_signals` at 40 and 44.
    GlibcOld,
    /// glibc 2.41 on, and wherever `__g_refs` was removed (glibc bug 25847): `__wrefs` at 28, `__g_signals` at 32 and 36.
    GlibcNew,
    /// musl: a list of the waiters, which lie on their stacks.
    Musl,
    /// Not known.
    Unknown,
}

/// Reads one GIL, again and again.
#[derive(Debug)]
pub struct GilProbe {
    pid: Pid,
    gil: Address,
    runtime: Runtime,
    /// The main interpreter, whose thread states always name their threads.
    main_interpreter: Address,
    namespace: PidNamespace,
    cond: CondLayout,
    /// The holder of the last reading, expected to be that of the next.
    expected: Address,
    /// The interpreter of that holder.
    interpreter: Address,
    /// Task ids that cost more than a look at the thread state, by thread state and `id`.
    known: HashMap<(Address, u64), Option<Tid>>,
}

/// What one system call brought.
enum Attempt {
    Reading(GilReading),
    /// Read again, for this holder.
    Again {
        expected: Address,
        interpreter: Address,
    },
}

impl GilProbe {
    pub(crate) fn new(
        pid: Pid,
        gil: Address,
        interpreter: &Interpreter,
        main_interpreter: Address,
        runtime: Runtime,
        namespace: PidNamespace,
    ) -> GilProbe {
        let cond = match (runtime.libc.kind, runtime.libc.minor) {
            (LibcKind::Glibc, Some(..41)) => CondLayout::GlibcOld,
            (LibcKind::Glibc, Some(_)) => CondLayout::GlibcNew,
            (LibcKind::Musl, _) => CondLayout::Musl,
            _ => CondLayout::Unknown,
        };
        GilProbe {
            pid,
            gil,
            runtime,
            main_interpreter,
            namespace,
            cond,
            expected: Address(0),
            interpreter: interpreter.address,
            known: HashMap::new(),
        }
    }

    /// Where the GIL lies.
    pub fn gil(&self) -> Address {
        self.gil
    }

    /// Where its `last_holder` lies.
    pub fn last_holder(&self) -> Address {
        Address(self.gil.0.wrapping_add(self.runtime.layout.gil.last_holder))
    }

    /// How far into an interpreter's state the head of the list of its thread states lies.
    pub fn threads_head_offset(&self) -> u64 {
        self.runtime.layout.interpreter.threads_head
    }

    /// A word that holds a thread state's address: the link to it in the list of thread states of its interpreter. `None`: it
    /// is in no list, or no longer there.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn link_to(&self, memory: &Memory, thread_state: Address) -> Result<Option<Address>, ReadError> {
        let mut bytes = [0u8; 24];
        memory.read(thread_state, &mut bytes)?;
        let [before, interpreter] = [ThreadLayout::PREV, ThreadLayout::INTERPRETER].map(|offset| word(&bytes, offset));
        let link = match before {
            0 => Address(interpreter.wrapping_add(self.threads_head_offset())),
            before => Address(before.wrapping_add(ThreadLayout::NEXT)),
        };
        Ok((memory.read_ptr(link)? == thread_state).then_some(link))
    }

    /// How far into a GIL's struct its `last_holder` lies.
    pub fn last_holder_offset(&self) -> u64 {
        self.runtime.layout.gil.last_holder
    }

    /// Where its `locked` lies.
    pub fn locked(&self) -> Address {
        Address(self.gil.0.wrapping_add(self.runtime.layout.gil.locked))
    }

    /// Where a word of its condition variable lies that a thread writes when it begins to wait, with the mutex held:
    /// glibc's `__wseq` (`pthread_cond_wait.c`), the head of musl's list of waiters (`pthread_cond_timedwait.c`).
    pub fn cond_sequence(&self) -> Option<Address> {
        let offset = match self.cond {
            CondLayout::GlibcOld | CondLayout::GlibcNew => 0,
            CondLayout::Musl => 8,
            CondLayout::Unknown => return None,
        };
        Some(Address(self.gil.0.wrapping_add(self.runtime.layout.gil.cond + offset)))
    }

    /// Reads it: one system call, one more when the holder is another one than last time. Does not allocate but
    /// for holders not seen before.
    ///
    /// # Errors
    /// [`ReadError::Torn`] when it kept changing under the reads, otherwise as [`Memory::read_many`].
    pub fn read(&mut self, memory: &Memory) -> Result<GilReading, ReadError> {
        let mut outcome = Err(ReadError::Torn);
        for _ in 0..ATTEMPTS {
            match self.attempt(memory) {
                Ok(Attempt::Reading(reading)) => return Ok(reading),
                Ok(Attempt::Again { expected, interpreter }) => {
                    (self.expected, self.interpreter) = (expected, interpreter);
                    outcome = Err(ReadError::Torn);
                }
                // The thread state expected was freed and its memory unmapped.
                Err(error @ ReadError::Fault { .. }) if self.expected.0 != 0 => {
                    (self.expected, self.interpreter) = (Address(0), self.main_interpreter);
                    outcome = Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        outcome
    }

    fn attempt(&mut self, memory: &Memory) -> Result<Attempt, ReadError> {
        let Runtime { layout, .. } = self.runtime;
        let mut buffer = [0u8; MAX_GIL + ThreadLayout::MAX_LENGTH + 12 + MAX_GIL];
        let mut ranges = [(Address(0), 0usize); 5];
        let size = layout.gil.size as usize;
        let thread = if self.expected.0 == 0 { 0 } else { layout.thread.length() };
        let current = match layout.thread.confirm {
            Confirm::RuntimeCurrent(offset) => (self.runtime.at(offset), 8),
            Confirm::Bits { .. } => (Address(0), 0),
        };
        let request = match layout.thread.drop_request {
            DropPlace::Runtime(offset) => (self.runtime.at(offset), 4),
            DropPlace::Interpreter(offset) => (Address(self.interpreter.0.wrapping_add(offset)), 4),
            DropPlace::ThreadBreaker(_) => (Address(0), 0),
        };
        let again = layout.gil.cond as usize;
        let mut total = 0;
        for (slot, range) in
            ranges.iter_mut().zip([(self.gil, size), (self.expected, thread), current, request, (self.gil, again)])
        {
            *slot = range;
            total += range.1;
        }
        let bytes = buffer.get_mut(..total).ok_or(ReadError::Inconsistent("a GIL larger than any"))?;
        memory.read_many(&ranges, bytes)?;
        let (before, rest) = bytes.split_at(size);
        let (holder, rest) = rest.split_at(thread);
        let (current, rest) = rest.split_at(current.1);
        let (request, after) = rest.split_at(request.1);

        let last_holder = Address(word(before, layout.gil.last_holder));
        let switch_number = word(before, layout.gil.switch_number);
        let lock = lock(before, layout.gil.locked)?;
        lock_is_possible(after, layout.gil.locked)?;
        let mut reading = GilReading {
            lock,
            last_holder,
            switch_number,
            interval: Ns::from_micros(word(before, layout.gil.interval).max(1)),
            waiters: None,
            drop_request: DropRequest::Absent,
            holder: None,
        };
        if lock == Lock::Held {
            let unchanged = last_holder == Address(word(after, layout.gil.last_holder))
                && switch_number == word(after, layout.gil.switch_number);
            if !unchanged || last_holder != self.expected {
                let expected = Address(word(after, layout.gil.last_holder));
                return Ok(Attempt::Again { expected, interpreter: self.interpreter });
            }
            let identity = Identity::parse(holder, &layout.thread);
            if identity.interpreter != self.interpreter {
                if identity.interpreter.0 == 0 {
                    return Err(ReadError::Inconsistent("the holder of the GIL belongs to no interpreter"));
                }
                return Ok(Attempt::Again { expected: last_holder, interpreter: identity.interpreter });
            }
            let confirmed = match layout.thread.confirm {
                Confirm::RuntimeCurrent(_) => Address(word(current, 0)) == last_holder,
                Confirm::Bits { offset, mask } => half_word(holder, offset) & mask != 0,
            };
            let asked = match layout.thread.drop_request {
                DropPlace::ThreadBreaker(offset) => word(holder, offset) & 1 != 0,
                DropPlace::Runtime(_) | DropPlace::Interpreter(_) => half_word(request, 0) != 0,
            };
            reading.drop_request = if asked { DropRequest::Pending } else { DropRequest::Absent };
            reading.holder = Some(HolderState {
                thread_state: last_holder,
                interpreter: identity.interpreter,
                unique_id: identity.unique_id,
                tid: self.tid(memory, last_holder, &identity)?,
                pthread: identity.pthread,
                confirmed: if confirmed { Confirmation::Confirmed } else { Confirmation::InTransition },
            });
        }
        reading.waiters = if lock == Lock::NotCreated { None } else { self.waiters(memory, before) };
        Ok(Attempt::Reading(reading))
    }

    /// The task of a holder.
    fn tid(&mut self, memory: &Memory, thread_state: Address, identity: &Identity) -> Result<Option<Tid>, ReadError> {
        // Only whether it is the main one matters here.
        let interpreter = InterpreterId(i64::from(identity.interpreter != self.main_interpreter));
        let costly = self.runtime.layout.thread.native_thread_id.is_none() || self.namespace == PidNamespace::Other;
        let key = (thread_state, identity.unique_id);
        if costly && let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let inner = identity.inner_tid(memory, &self.runtime, interpreter)?;
        let tid = match self.namespace {
            PidNamespace::Same => inner.map(Tid),
            PidNamespace::Other => inner.and_then(|inner| super::translation_of(self.pid).translate(inner)),
        };
        // A thread that has only just begun may not have its number yet: not knowing is not kept.
        if costly && tid.is_some() {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(key, tid);
        }
        Ok(tid)
    }

    fn waiters(&self, memory: &Memory, gil: &[u8]) -> Option<u32> {
        let cond = self.runtime.layout.gil.cond;
        let references = match self.cond {
            CondLayout::GlibcOld => half_word(gil, cond + 36),
            CondLayout::GlibcNew => half_word(gil, cond + 28),
            CondLayout::Musl => return walk_musl(memory, Address(word(gil, cond + 8)), |_| {}).ok(),
            CondLayout::Unknown => return None,
        };
        // The low three bits are flags (glibc's nptl/pthread_cond_wait.c).
        Some(references >> 3).filter(|waiters| *waiters <= MAX_WAITERS)
    }

    /// Which part of this GIL a futex belongs to; `None` if to none. On musl waiters sleep on words of their own:
    /// see [`GilProbe::musl_waiters`].
    pub fn site(&self, futex: Address) -> Option<GilSite> {
        self.ranges().site(futex)
    }

    /// Where its futexes lie, if whoever waits for it sleeps on one of them; on musl they sleep on their stacks.
    pub fn futexes(&self) -> Option<GilFutexes> {
        (self.cond != CondLayout::Musl).then(|| self.ranges())
    }

    fn ranges(&self) -> GilFutexes {
        let layout = &self.runtime.layout.gil;
        let at = |offset: u64| Address(self.gil.0.wrapping_add(offset));
        GilFutexes {
            cond: at(layout.cond),
            mutex: at(layout.mutex),
            switch_cond: at(layout.switch_cond),
            switch_mutex: at(layout.switch_mutex),
            end: at(layout.size),
        }
    }

    /// Learns from a waiter's futex how this glibc lays out its condition variables, whatever its version
    /// number says: distributions port changes back.
    pub fn note_cond_futex(&mut self, futex: Address) {
        let cond = self.gil.0.wrapping_add(self.runtime.layout.gil.cond);
        let offset = futex.0.wrapping_sub(cond);
        if offset >= COND_SIZE || self.cond == CondLayout::Musl {
            return;
        }
        match (offset, self.cond) {
            (40 | 44, _) => self.cond = CondLayout::GlibcOld,
            (36, _) => self.cond = CondLayout::GlibcNew,
            // In the old layout this is the lock inside of the condition variable, which is waited on too, if rarely.
            (32, CondLayout::Unknown) => self.cond = CondLayout::GlibcNew,
            _ => {}
        }
    }

    /// On musl: the futex addresses of the threads that wait for this GIL, appended to `out`. Elsewhere nothing.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Torn`] when the list changed while it was followed.
    pub fn musl_waiters(&self, memory: &Memory, out: &mut Vec<Address>) -> Result<(), ReadError> {
        if self.cond != CondLayout::Musl {
            return Ok(());
        }
        let head = self.gil.0.wrapping_add(self.runtime.layout.gil.cond).wrapping_add(8);
        let head = memory.read_ptr(Address(head))?;
        walk_musl(memory, head, |node| out.push(Address(node.0.wrapping_add(20)))).map(|_| ())
    }
}

/// Follows musl's list of waiters (`struct waiter` in src/thread/pthread_cond_timedwait.c: prev, next, state,
/// barrier, notify) and counts them.
fn walk_musl(memory: &Memory, head: Address, mut each: impl FnMut(Address)) -> Result<u32, ReadError> {
    let (mut node, mut previous, mut count) = (head, Address(0), 0);
    while node.0 != 0 {
        if count >= MAX_MUSL_WAITERS {
            return Err(ReadError::Inconsistent("a list of waiters does not end"));
        }
        let mut links = [0u64; 2];
        memory.read(node, object::pod::bytes_of_slice_mut(&mut links))?;
        if Address(links[0]) != previous {
            return Err(ReadError::Torn);
        }
        each(node);
        count += 1;
        (previous, node) = (node, Address(links[1]));
    }
    Ok(count)
}

fn lock(gil: &[u8], offset: u64) -> Result<Lock, ReadError> {
    match half_word(gil, offset) as i32 {
        -1 => Ok(Lock::NotCreated),
        0 => Ok(Lock::Free),
        1 => Ok(Lock::Held),
        _ => Err(ReadError::Inconsistent("its GIL is neither locked nor unlocked")),
    }
}

fn lock_is_possible(gil: &[u8], offset: u64) -> Result<(), ReadError> {
    lock(gil, offset).map(|_| ())
}
