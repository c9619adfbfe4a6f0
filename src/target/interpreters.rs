//! The interpreters of a process (PEP 734), from `_PyRuntime.interpreters`.

use std::collections::HashSet;

use crate::event::{Address, InterpreterId};
use crate::target::error::ReadError;
use crate::target::layout::GilPlace;
use crate::target::memory::Memory;
use crate::target::runtime::Runtime;

/// Most interpreters that are followed in one process.
const MAX_INTERPRETERS: usize = 4096;
/// How often a walk is begun anew when the list changed under it.
const ATTEMPTS: usize = 3;

/// One interpreter, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter {
    /// CPython's number for it; 0 is the main interpreter.
    pub id: InterpreterId,
    /// Of its `PyInterpreterState`.
    pub address: Address,
    /// Of its GIL. Several interpreters may share one: all do up to 3.11, legacy ones do later (PEP 684).
    /// `None` on a free-threaded build that runs without a GIL, and for an interpreter so young that it has none.
    pub gil: Option<Address>,
}

/// Whether the interpreter of a process is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalization {
    /// It runs.
    NotBegun,
    /// `Py_Finalize` is under way: other threads than the main one no longer get the GIL.
    UnderWay,
    /// There is no interpreter any more.
    Done,
}

/// All interpreters, the newest first.
pub(crate) fn walk(memory: &Memory, runtime: &Runtime) -> Result<Vec<Interpreter>, ReadError> {
    retry(|| walk_once(memory, runtime))
}

/// Begins again what was torn or ran into freed memory, a few times.
pub(crate) fn retry<T>(mut walk: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
    for _ in 1..ATTEMPTS {
        match walk() {
            Err(ReadError::Torn | ReadError::Fault { .. } | ReadError::Inconsistent(_)) => {}
            outcome => return outcome,
        }
    }
    walk()
}

fn walk_once(memory: &Memory, runtime: &Runtime) -> Result<Vec<Interpreter>, ReadError> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut address = memory.read_ptr(runtime.at(runtime.layout.runtime.interpreters_head))?;
    while address.0 != 0 {
        if !seen.insert(address) {
            return Err(ReadError::Inconsistent("its list of interpreters is a ring"));
        }
        if found.len() >= MAX_INTERPRETERS {
            return Err(ReadError::Inconsistent("its list of interpreters does not end"));
        }
        let (interpreter, next) = read(memory, runtime, address)?;
        found.push(interpreter);
        address = next;
    }
    Ok(found)
}

/// One interpreter, and the address of the next.
fn read(memory: &Memory, runtime: &Runtime, address: Address) -> Result<(Interpreter, Address), ReadError> {
    let layout = &runtime.layout.interpreter;
    let at = |offset: u64| Address(address.0.wrapping_add(offset));
    let gil_word = match layout.gil {
        GilPlace::InRuntime(_) => 0,
        GilPlace::BehindInterpreter(offset) => offset,
    };
    let mut words = [0u64; 3];
    memory.read_many(
        &[(at(layout.next), 8), (at(layout.id), 8), (at(gil_word), 8)],
        object::pod::bytes_of_slice_mut(&mut words),
    )?;
    let [next, id, gil] = words;
    if id as i64 > 1 << 40 || (id as i64) < 0 {
        return Err(ReadError::Inconsistent("an interpreter has an impossible number"));
    }
    let gil = match layout.gil {
        GilPlace::InRuntime(offset) => Some(runtime.at(offset)),
        GilPlace::BehindInterpreter(_) => Some(Address(gil)).filter(|it| it.0 != 0),
    };
    let gil = match (gil, runtime.layout.gil.enabled) {
        (Some(gil), Some(enabled)) => {
            let enabled = memory.read_u32(Address(gil.0.wrapping_add(enabled)))?;
            (enabled != 0).then_some(gil)
        }
        (gil, _) => gil,
    };
    Ok((Interpreter { id: InterpreterId(id as i64), address, gil }, Address(next)))
}

/// How far the shutdown has come.
pub(crate) fn finalization(memory: &Memory, runtime: &Runtime) -> Result<Finalization, ReadError> {
    let layout = &runtime.layout.runtime;
    let mut words = [0u64; 2];
    memory.read_many(
        &[(runtime.at(layout.finalizing), 8), (runtime.at(layout.interpreters_head), 8)],
        object::pod::bytes_of_slice_mut(&mut words),
    )?;
    Ok(match words {
        [_, 0] => Finalization::Done,
        [0, _] => Finalization::NotBegun,
        _ => Finalization::UnderWay,
    })
}
