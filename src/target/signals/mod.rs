//! Where CPython keeps the signals that its main thread has yet to handle, and what the kernel says of signals.
//!
//! A signal gets to Python in steps. The kernel calls CPython's C handler, in whichever thread it has chosen. That sets
//! the signal's `tripped` in the [table of handlers](HandlerTable), then `is_tripped`, then tells the eval loop. The main
//! thread, once it is back in bytecode with the GIL (or in C code that calls `PyErr_CheckSignals`), clears `is_tripped`
//! and goes through the table: it clears `tripped` and calls the Python handler of each signal that had it set.
//!
//! | version | table and `is_tripped` | how the eval loop is told |
//! |---|---|---|
//! | 3.7 | static variables | `_PyRuntime.ceval.pending.calls_to_do`, which pending calls share |
//! | 3.8 to 3.11 | static variables | `_PyRuntime.ceval.signals_pending` |
//! | 3.12 | `_PyRuntime.signals` | no word of its own at a place that is the same in all builds |
//! | 3.13 and later | `_PyRuntime.signals` | bit 1 of the main thread state's `eval_breaker` |
//!
//! Static variables have no symbol in a stripped binary. The table is found by what is in it (`signals/scan.rs`),
//! `is_tripped` by the code that tests it (`signals/code.rs`).

mod code;
mod scan;
mod status;
mod table;

use crate::event::{Address, PendingKind};
use crate::target::elf::{self, Module};
use crate::target::error::ReadError;
use crate::target::interpreters::retry;
use crate::target::layout::GilPlace;
use crate::target::maps;
use crate::target::memory::Memory;
use crate::target::runtime::Runtime;
use crate::target::signals::scan::Expected;
use crate::target::signals::table::{Entries, Objects, TABLE_WORDS};

pub use crate::target::signals::status::{Disposition, SignalStatus};
pub use crate::target::signals::table::HandlerTable;

/// Where a target keeps its pending signals, as far as that was found. What is `None` may yet come: the table is
/// filled when the `signal` module is made, which is some milliseconds into the start of a Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSites {
    /// The table of handlers, which tells one signal from another.
    pub handlers: Option<HandlerTable>,
    /// `is_tripped`. From 3.12 on it is always known when the table is; before, on x86_64 only.
    pub is_tripped: Option<PendingWord>,
    /// By what the C handler tells the eval loop, up to 3.11.
    pub eval_loop: Option<PendingWord>,
}

/// A word that is 1 while some signal waits for its Python handler, and 0 otherwise: a C `int`, 4 bytes, aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingWord {
    /// Where it is.
    pub address: Address,
    /// Which one it is.
    pub kind: PendingKind,
}

impl PendingWord {
    /// Its length in bytes.
    pub const SIZE: u64 = 4;

    /// Whether it is set.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] for a value that it cannot have.
    pub fn is_set(&self, memory: &Memory) -> Result<bool, ReadError> {
        match memory.read_u32(self.address)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ReadError::Inconsistent("its flag for pending signals is neither set nor clear")),
        }
    }
}

impl SignalSites {
    /// The best word to tell that any signal waits for its handler: `is_tripped`, or what the eval loop is told.
    pub fn pending(&self) -> Option<PendingWord> {
        self.is_tripped.or(self.eval_loop)
    }
}

/// Of `signals` in `_PyRuntimeState`, from 3.12 on.
fn in_runtime(runtime: &Runtime) -> Option<u64> {
    match runtime.version.minor {
        12 => Some(464),
        // Nothing that lies between the two has changed (pycore_runtime.h of 3.13 to 3.15).
        13.. => Some(runtime.layout.runtime.interpreters_head + 448),
        _ => None,
    }
}

/// By what the eval loop is told, up to 3.11.
fn eval_loop(runtime: &Runtime) -> Option<PendingWord> {
    let (offset, kind) = match (runtime.version.minor, runtime.layout.interpreter.gil) {
        (7, _) => (736, PendingKind::CallsToDo),
        // It stands right before the GIL.
        (8..=11, GilPlace::InRuntime(gil)) => (gil.checked_sub(8)?, PendingKind::SignalsPending),
        _ => return None,
    };
    Some(PendingWord { address: runtime.at(offset), kind })
}

/// Finds it all.
pub(super) fn find(memory: &Memory, runtime: &Runtime) -> Result<SignalSites, ReadError> {
    if let Some(offset) = in_runtime(runtime) {
        return retry(|| published(memory, runtime, runtime.at(offset)));
    }
    let eval_loop = eval_loop(runtime).filter(|word| word.is_set(memory).is_ok());
    let mut sites = SignalSites { handlers: None, is_tripped: None, eval_loop };
    let maps = maps::of_process(memory.pid()).map_err(ReadError::Io)?;
    let modules = elf::modules(memory, &maps)?;
    let Some(module) = modules.native.iter().find(|it| it.contains(runtime.address)) else { return Ok(sites) };
    let header = table::header(runtime.build);
    sites.handlers = scan::find(memory, module, expected(memory, module)?)?.map(|(address, objects)| HandlerTable {
        address,
        objects,
        header,
    });
    if let Some(address) = code::is_tripped(memory, module, runtime.version.minor)? {
        let word = PendingWord { address, kind: PendingKind::IsTripped };
        sites.is_tripped = agrees(memory, word, sites.handlers)?.then_some(word);
    }
    Ok(sites)
}

fn expected(memory: &Memory, module: &Module) -> Result<Expected, ReadError> {
    let address = |name| Ok::<_, ReadError>(module.symbol(memory, name)?.map(|it| it.address));
    Ok(Expected { integer_type: address("PyLong_Type")?, none: address("_Py_NoneStruct")? })
}

/// How often a word is compared with the table: the main thread may be about to clear it.
const LOOKS: usize = 5;

/// Whether a word that should be `is_tripped` says the same as the table: clear as long as nothing is tripped.
fn agrees(memory: &Memory, word: PendingWord, handlers: Option<HandlerTable>) -> Result<bool, ReadError> {
    if handlers.is_some_and(|table| table.covers(word.address)) {
        return Ok(false);
    }
    for _ in 0..LOOKS {
        let set = match word.is_set(memory) {
            Ok(set) => set,
            Err(ReadError::Inconsistent(_) | ReadError::Fault { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let tripped = handlers.map(|table| table.tripped(memory)).transpose()?;
        if !set || tripped.is_some_and(|tripped| !tripped.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// From 3.12 on: all of `struct _signals_runtime_state` (pycore_signal.h), which is `handlers`, `wakeup` (two `int`s),
/// `is_tripped`, `default_handler`, `ignore_handler`.
fn published(memory: &Memory, runtime: &Runtime, address: Address) -> Result<SignalSites, ReadError> {
    let mut words = [0u64; TABLE_WORDS + 4];
    memory.read(address, object::pod::bytes_of_slice_mut(&mut words))?;
    let (objects, is_tripped) = parse_published(&words)?;
    let header = table::header(runtime.build);
    let word = PendingWord { address: at(address, IS_TRIPPED), kind: PendingKind::IsTripped };
    Ok(SignalSites {
        handlers: objects.map(|objects| HandlerTable { address, objects, header }),
        is_tripped: is_tripped.then_some(word),
        eval_loop: None,
    })
}

/// Of `is_tripped` in `struct _signals_runtime_state`.
const IS_TRIPPED: u64 = 1048;

fn at(start: Address, offset: u64) -> Address {
    Address(start.0.wrapping_add(offset))
}

/// The objects in the table, if it is filled, and whether the whole of it is in use.
fn parse_published(words: &[u64]) -> Result<(Option<Objects>, bool), ReadError> {
    const UNLIKE: ReadError = ReadError::Inconsistent("its signals are not where its version has them");
    let (table, behind) = words.split_at_checked(TABLE_WORDS).ok_or(UNLIKE)?;
    let &[_wakeup, is_tripped, default, ignored] = behind else { return Err(UNLIKE) };
    let entries = Entries::parse(table)?;
    // The half behind `is_tripped` is padding.
    if is_tripped > 1 {
        return Err(UNLIKE);
    }
    match (default, ignored) {
        (0, 0) if entries.is_empty() && entries.tripped.is_empty() => return Ok((None, false)),
        (0, _) | (_, 0) => return Err(UNLIKE),
        (default, ignored) if default == ignored => return Err(UNLIKE),
        _ => {}
    }
    match Objects::of(&entries)? {
        None if entries.is_empty() => Ok((None, true)),
        Some(objects) if objects.default == default => Ok((Some(Objects { ignored: Some(ignored), ..objects }), true)),
        _ => Err(UNLIKE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::signals::table::tests::{DEFAULT, filled};

    fn published(table: [u64; TABLE_WORDS], behind: [u64; 4]) -> Vec<u64> {
        table.into_iter().chain(behind).collect()
    }

    #[test]
    fn a_published_table_is_checked_against_what_stands_behind_it() {
        let table = filled(0x5000, 0x6000);
        let wakeup = 0x1_ffff_ffff;
        let (objects, in_use) = parse_published(&published(table, [wakeup, 1, DEFAULT, 0x6000])).unwrap();
        assert_eq!((objects.unwrap().ignored, in_use), (Some(0x6000), true));
        // Not there yet; there, and no `signal` module yet.
        assert_eq!(parse_published(&[0; TABLE_WORDS + 4]).unwrap(), (None, false));
        let empty = published([0; TABLE_WORDS], [wakeup, 0, DEFAULT, 0x6000]);
        assert_eq!(parse_published(&empty).unwrap(), (None, true));
        for behind in [
            [wakeup, 2, DEFAULT, 0x6000],
            [wakeup, 1 << 32, DEFAULT, 0x6000],
            [wakeup, 0, 0x5000, 0x6000],
            [wakeup, 0, DEFAULT, DEFAULT],
            [wakeup, 0, DEFAULT, 0],
            [wakeup, 0, 0, 0x6000],
            [wakeup, 0, 0, 0],
        ] {
            assert!(parse_published(&published(table, behind)).is_err(), "{behind:x?}");
        }
        assert!(parse_published(&table).is_err());
        assert!(parse_published(&[]).is_err());
    }

    #[test]
    fn a_flag_is_set_or_clear() {
        let memory = Memory::open(crate::event::Pid(std::process::id())).unwrap();
        for (value, set) in [(0u32, Some(false)), (1, Some(true)), (2, None), (u32::MAX, None)] {
            let word = PendingWord {
                address: Address(std::ptr::from_ref(&value).addr() as u64),
                kind: PendingKind::IsTripped,
            };
            assert_eq!(word.is_set(&memory).ok(), set, "{value}");
        }
    }
}
