//! The Python threads of an interpreter: its list of `PyThreadState`s, and which task of the kernel each one is.

use std::collections::HashMap;

use crate::event::{Address, InterpreterId, Tid};
use crate::target::c_library;
use crate::target::error::ReadError;
use crate::target::interpreters::Interpreter;
use crate::target::layout::ThreadLayout;
use crate::target::memory::Memory;
use crate::target::runtime::Runtime;

/// Most thread states that are followed in one interpreter.
const MAX_THREAD_STATES: usize = 100_000;

/// One `PyThreadState`, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadState {
    /// Of the `PyThreadState`. Recycled by CPython: only together with `unique_id` it identifies one.
    pub address: Address,
    /// CPython's `id` of it, unique within the interpreter for good.
    pub unique_id: u64,
    /// Its thread's `pthread_t`; 0 while the thread has not begun to run.
    pub pthread: Address,
    /// The kernel's task id, in gilscope's own PID namespace. `None` for a thread that has not begun to run or has
    /// ended, and where CPython does not tell: up to 3.12, the first thread state of a sub-interpreter
    /// names the thread that made it, whichever thread runs in it.
    pub tid: Option<Tid>,
    /// Whether it belongs to the main thread.
    pub main: MainThread,
}

impl ThreadState {
    /// The main thread's among those of the main interpreter, the newest first: the oldest, should C code have made it
    /// another one.
    pub fn of_main(mut states: impl DoubleEndedIterator<Item = ThreadState>) -> Option<ThreadState> {
        states.rfind(|state| state.main == MainThread::Main)
    }
}

/// Whether a thread state belongs to the main thread: the one that CPython takes for it
/// (`_PyRuntime.main_thread`), which runs the signal handlers. In a forked child that is the thread that forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainThread {
    /// It does.
    Main,
    /// It belongs to another thread.
    Other,
    /// CPython does not tell.
    Unknown,
}

/// What a thread state says of its own identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub next: Address,
    pub prev: Address,
    pub interpreter: Address,
    pub unique_id: u64,
    pub pthread: Address,
    /// 0 where the version has none.
    pub native: u64,
}

impl Identity {
    /// Takes it from the thread state's bytes, as many as [`ThreadLayout::length`] says.
    pub fn parse(bytes: &[u8], layout: &ThreadLayout) -> Identity {
        Identity {
            prev: Address(word(bytes, ThreadLayout::PREV)),
            next: Address(word(bytes, ThreadLayout::NEXT)),
            interpreter: Address(word(bytes, ThreadLayout::INTERPRETER)),
            unique_id: word(bytes, layout.unique_id),
            pthread: Address(word(bytes, layout.thread_id)),
            native: layout.native_thread_id.map_or(0, |offset| word(bytes, offset)),
        }
    }

    /// Whether the thread that it names is the one that runs it.
    fn names_its_runner(&self, interpreter: InterpreterId, minor: u8) -> bool {
        minor >= 13 || interpreter.0 == 0 || self.unique_id > 1
    }

    /// The task id that the target has for the thread.
    pub fn inner_tid(
        &self,
        memory: &Memory,
        runtime: &Runtime,
        interpreter: InterpreterId,
    ) -> Result<Option<u32>, ReadError> {
        if self.pthread.0 == 0 || !self.names_its_runner(interpreter, runtime.version.minor) {
            return Ok(None);
        }
        let tid = match runtime.layout.thread.native_thread_id {
            Some(_) => u32::try_from(self.native).unwrap_or(0),
            None => match memory.read_u32(c_library::tid_address(self.pthread, &runtime.libc)) {
                Ok(tid) => tid,
                // The thread has ended and its stack is unmapped.
                Err(ReadError::Fault { .. }) => 0,
                Err(error) => return Err(error),
            },
        };
        Ok((1..=1 << 22).contains(&tid).then_some(tid))
    }
}

/// An unsigned word out of a struct's bytes; 0 behind their end.
pub(crate) fn word(bytes: &[u8], offset: u64) -> u64 {
    let offset = offset as usize;
    bytes.get(offset..offset.saturating_add(8)).and_then(|it| it.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

/// Half a word out of a struct's bytes; 0 behind their end.
pub(crate) fn half_word(bytes: &[u8], offset: u64) -> u32 {
    let offset = offset as usize;
    bytes.get(offset..offset.saturating_add(4)).and_then(|it| it.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// How task ids inside become task ids here.
#[derive(Debug)]
pub(crate) enum Translation {
    /// They are the same.
    Identity,
    /// By this table.
    Table(HashMap<u32, Tid>),
}

impl Translation {
    pub fn translate(&self, inner: u32) -> Option<Tid> {
        match self {
            Translation::Identity => Some(Tid(inner)),
            Translation::Table(table) => table.get(&inner).copied(),
        }
    }
}

/// All thread states of an interpreter, the newest first.
pub(crate) fn walk(
    memory: &Memory,
    runtime: &Runtime,
    interpreter: &Interpreter,
    translation: &Translation,
) -> Result<Vec<ThreadState>, ReadError> {
    let layout = &runtime.layout.thread;
    let mut buffer = [0u8; ThreadLayout::MAX_LENGTH];
    let bytes = buffer.get_mut(..layout.length()).unwrap_or_default();
    let main_thread = memory.read_ptr(runtime.at(runtime.layout.runtime.main_thread))?;
    let head = Address(interpreter.address.0.wrapping_add(runtime.layout.interpreter.threads_head));
    let mut found = Vec::new();
    let mut previous = Address(0);
    let mut address = memory.read_ptr(head)?;
    while address.0 != 0 {
        if found.len() >= MAX_THREAD_STATES {
            return Err(ReadError::Inconsistent("its list of threads does not end"));
        }
        memory.read(address, bytes)?;
        let identity = Identity::parse(bytes, layout);
        // Links that agree both ways also make a ring impossible: its head would need a predecessor.
        if identity.prev != previous {
            return Err(ReadError::Torn);
        }
        if identity.interpreter != interpreter.address {
            return Err(ReadError::Inconsistent("a thread state belongs to another interpreter"));
        }
        let tid = identity.inner_tid(memory, runtime, interpreter.id)?.and_then(|inner| translation.translate(inner));
        let main = if identity.pthread.0 == 0 || !identity.names_its_runner(interpreter.id, runtime.version.minor) {
            MainThread::Unknown
        } else if identity.pthread == main_thread {
            MainThread::Main
        } else {
            MainThread::Other
        };
        found.push(ThreadState { address, unique_id: identity.unique_id, pthread: identity.pthread, tid, main });
        previous = address;
        address = identity.next;
    }
    Ok(found)
}
