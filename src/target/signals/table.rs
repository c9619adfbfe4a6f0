//! CPython's `Handlers[]` (Modules/signalmodule.c): for each signal whether its C handler has run, and the Python object
//! that is to handle it. 65 entries of `{ int tripped; PyObject *func; }`, in all versions from 3.7 to 3.15.
//!
//! What is in it whatever the program does, and tells its other values apart:
//!
//! * Entry 0 is never used.
//! * SIGKILL and SIGSTOP can be asked for but not set, so their entries keep the object for `SIG_DFL`. It is the integer
//!   0, and usually the most frequent of all pointers, but a program may have handlers for everything else.
//! * Signals 32 and 33 are the C library's (glibc: `SIGCANCEL`, `SIGSETXID`; musl: `SIGTIMER`, `SIGCANCEL`), which refuses
//!   to say anything about them, so their entries keep `None`, which means: not Python's business.
//! * An object for `SIG_IGN`, the integer 1, is there only if some signal is ignored, as SIGPIPE is unless the
//!   program wants it otherwise.
//! * Before the `signal` module is there, and after `Py_Finalize`, all is zero.

use crate::event::{Address, Build, Handler, Handlers, Signal, SignalSet};
use crate::target::error::ReadError;
use crate::target::memory::Memory;

/// Entries of the table: `Py_NSIG` on glibc and musl.
const ENTRIES: usize = 65;
/// An entry in words of 64 bits.
const ENTRY_WORDS: usize = 2;
/// The table in words of 64 bits.
pub(super) const TABLE_WORDS: usize = ENTRIES * ENTRY_WORDS;
/// The table in bytes.
pub(super) const TABLE_BYTES: u64 = TABLE_WORDS as u64 * 8;
/// Two signals that the C library keeps to itself.
const OF_THE_C_LIBRARY: [usize; 2] = [32, 33];
/// Two signals that cannot be handled.
const NOT_TO_BE_HANDLED: [usize; 2] = [libc::SIGKILL as usize, libc::SIGSTOP as usize];
/// The name of the function that raises `KeyboardInterrupt`, with its end.
const DEFAULT_INT_HANDLER: [u8; 20] = *b"default_int_handler\0";

/// The table, found in a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerTable {
    pub(super) address: Address,
    pub(super) objects: Objects,
    pub(super) header: u64,
}

/// The objects in the table that stand for something else than a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objects {
    pub default: u64,
    /// Where it is known without looking at the object.
    pub ignored: Option<u64>,
    pub none: u64,
}

impl Objects {
    /// Those of a table, from the entries that no program can change; `None` while they are not there.
    pub fn of(entries: &Entries) -> Result<Option<Objects>, ReadError> {
        let same = |[first, second]: [usize; 2]| {
            let value = entries.function(first);
            (value == entries.function(second)).then_some(value).ok_or(UNLIKE)
        };
        let (default, none) = (same(NOT_TO_BE_HANDLED)?, same(OF_THE_C_LIBRARY)?);
        match (default, none) {
            (0, 0) => Ok(None),
            (0, _) | (_, 0) => Err(UNLIKE),
            (default, none) if default == none => Err(UNLIKE),
            (default, none) => Ok(Some(Objects { default, ignored: None, none })),
        }
    }
}

const UNLIKE: ReadError = ReadError::Inconsistent("its table of signal handlers is none");

/// `sizeof(PyObject)`: what stands before an object's own fields.
pub(super) fn header(build: Build) -> u64 {
    match build {
        Build::FreeThreaded => 32,
        Build::Default | Build::Debug => 16,
    }
}

/// The table's values, each of which is possible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entries {
    pub tripped: SignalSet,
    functions: [u64; ENTRIES],
}

impl Entries {
    /// Takes them from the table's words, as many as [`TABLE_WORDS`].
    pub fn parse(words: &[u64]) -> Result<Entries, ReadError> {
        let mut entries = Entries { tripped: SignalSet::EMPTY, functions: [0; ENTRIES] };
        let mut tripped = 0u64;
        let mut read = 0;
        for (number, (entry, function)) in words.chunks_exact(ENTRY_WORDS).zip(&mut entries.functions).enumerate() {
            // The half of the first word that is no part of `tripped` has been zero since the program began.
            match (number, entry) {
                (0, [0, 0]) => {}
                (1.., &[flag @ (0 | 1), value]) if is_null_or_object(value) => {
                    tripped |= flag << (number - 1);
                    *function = value;
                }
                _ => return Err(UNLIKE),
            }
            read += 1;
        }
        entries.tripped = SignalSet::from_mask(tripped);
        if read == ENTRIES { Ok(entries) } else { Err(UNLIKE) }
    }

    /// The `func` of a signal.
    pub fn function(&self, number: usize) -> u64 {
        self.functions.get(number).copied().unwrap_or(0)
    }

    /// Whether no entry is used, as before the `signal` module is there.
    pub fn is_empty(&self) -> bool {
        self.functions.iter().all(|function| *function == 0)
    }

    /// Whether every signal has something.
    pub fn is_filled(&self) -> bool {
        self.functions.iter().skip(1).all(|function| *function != 0)
    }
}

/// Objects are aligned, and in the half of addresses that programs have.
fn is_null_or_object(value: u64) -> bool {
    value == 0 || value.is_multiple_of(8) && (1 << 12..1 << 56).contains(&value)
}

impl HandlerTable {
    /// Where the table begins.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Whether an address lies in it.
    pub(super) fn covers(&self, address: Address) -> bool {
        address >= self.address && address.0 - self.address.0 < TABLE_BYTES
    }

    /// Where a signal's `tripped` is: a C `int`, 4 bytes, aligned. CPython's C handler sets it to 1, in whichever thread
    /// the kernel has chosen; the main thread sets it to 0 just before it calls the signal's Python handler
    /// (10 to 20 us, measured).
    pub fn tripped_word(&self, signal: Signal) -> Address {
        Address(self.address.0.wrapping_add(u64::from(signal.number()) * 16))
    }

    /// The signals whose C handler has run and whose Python handler has not begun. One read of 1,040 bytes.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] if there is something else.
    pub fn tripped(&self, memory: &Memory) -> Result<SignalSet, ReadError> {
        read_entries(memory, self.address).map(|entries| entries.tripped)
    }

    /// Who handles each signal in Python. One read, and up to three for each object in the table that is
    /// none of the usual ones.
    ///
    /// The kernel may have been told otherwise since, by C code: only a signal that is also in
    /// [`SignalStatus::caught`](super::SignalStatus) gets to CPython's C handler, or to another one.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] if there is something else, also if the program has shut
    /// its Python down and begun another one.
    pub fn handlers(&self, memory: &Memory) -> Result<Handlers, ReadError> {
        let entries = read_entries(memory, self.address)?;
        if Objects::of(&entries)?.is_some_and(|it| (it.default, it.none) != (self.objects.default, self.objects.none)) {
            return Err(UNLIKE);
        }
        let mut known: Vec<(u64, Handler)> = Vec::new();
        Signal::all()
            .map(|signal| {
                let function = entries.function(usize::from(signal.number()));
                let handler = match known.iter().find(|(other, _)| *other == function) {
                    Some((_, handler)) => *handler,
                    None => {
                        let handler = self.handler(memory, function)?;
                        known.push((function, handler));
                        handler
                    }
                };
                Ok((signal, handler))
            })
            .collect()
    }

    fn handler(&self, memory: &Memory, function: u64) -> Result<Handler, ReadError> {
        let Objects { default, ignored, none } = self.objects;
        Ok(match function {
            0 => Handler::Absent,
            it if it == default => Handler::Default,
            it if it == none => Handler::NotPython,
            it if Some(it) == ignored => Handler::Ignored,
            it if ignored.is_none() && small_integer(memory, it)? == small_integer(memory, default)?.and_then(one) => {
                Handler::Ignored
            }
            it if self.is_default_int_handler(memory, it)? => Handler::KeyboardInterrupt,
            _ => Handler::Python,
        })
    }

    /// Whether an object is the built-in function of that name: `PyCFunctionObject` begins with a pointer to its
    /// `PyMethodDef`, which begins with one to its name. A chain of two pointers does not end in these twenty
    /// bytes by accident.
    fn is_default_int_handler(&self, memory: &Memory, object: u64) -> Result<bool, ReadError> {
        let name = || {
            let definition = memory.read_ptr(Address(object.wrapping_add(self.header)))?;
            let start = memory.read_ptr(definition)?;
            let mut name = [0u8; DEFAULT_INT_HANDLER.len()];
            memory.read(start, &mut name)?;
            Ok(name)
        };
        match name() {
            Ok(name) => Ok(name == DEFAULT_INT_HANDLER),
            // Another object's fields lead anywhere.
            Err(ReadError::Fault { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Reads a table, whatever is there.
pub(super) fn read_entries(memory: &Memory, address: Address) -> Result<Entries, ReadError> {
    let mut words = [0u64; TABLE_WORDS];
    memory.read(address, object::pod::bytes_of_slice_mut(&mut words))?;
    Entries::parse(&words)
}

/// An integer object of 3.7 to 3.11 and of at most one digit: its type and its value. (`PyLongObject`: `ob_refcnt`,
/// `ob_type`, `ob_size`, which is the number of digits with the number's sign, `ob_digit`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SmallInteger {
    /// Of its type object.
    pub of_type: u64,
    pub value: u32,
}

/// The 1 of the type of a 0.
fn one(zero: SmallInteger) -> Option<SmallInteger> {
    (zero.value == 0).then_some(SmallInteger { value: 1, ..zero })
}

/// Reads an object as an integer; `None` if it can be none of at most one digit.
pub(super) fn small_integer(memory: &Memory, object: u64) -> Result<Option<SmallInteger>, ReadError> {
    let mut words = [0u64; 4];
    match memory.read(Address(object), object::pod::bytes_of_slice_mut(&mut words)) {
        Ok(()) => Ok(parse_integer(words)),
        Err(ReadError::Fault { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_integer([references, of_type, size, digit]: [u64; 4]) -> Option<SmallInteger> {
    let value = match size {
        0 => 0,
        1 => digit as u32,
        _ => return None,
    };
    (references as i64 > 0 && of_type != 0 && is_null_or_object(of_type)).then_some(SmallInteger { of_type, value })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Pid;

    pub const DEFAULT: u64 = 0x7f00_0000_1000;
    pub const NONE: u64 = 0x7f00_0000_2000;

    /// A table as it is after start-up, its handlers at `int` and, for SIGPIPE, at `ignored`.
    pub fn filled(int: u64, ignored: u64) -> [u64; TABLE_WORDS] {
        let mut words = [0u64; TABLE_WORDS];
        for number in 1..ENTRIES {
            words[number * 2 + 1] = match number {
                2 => int,
                13 => ignored,
                32 | 33 => NONE,
                _ => DEFAULT,
            };
        }
        words
    }

    #[test]
    fn a_table_and_what_is_tripped_in_it() {
        let mut words = filled(0x5000, 0x6000);
        (words[2 * 2], words[2 * 64]) = (1, 1);
        let entries = Entries::parse(&words).unwrap();
        assert_eq!(entries.tripped.iter().map(Signal::number).collect::<Vec<_>>(), [2, 64]);
        assert!(entries.is_filled() && !entries.is_empty());
        let objects = Objects::of(&entries).unwrap().unwrap();
        assert_eq!(objects, Objects { default: DEFAULT, ignored: None, none: NONE });

        let empty = Entries::parse(&[0; TABLE_WORDS]).unwrap();
        assert!(empty.is_empty() && !empty.is_filled());
        assert_eq!(Objects::of(&empty).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_in_a_table_is_refused() {
        let good = filled(0x5000, 0x6000);
        for (word, value) in [
            (0, 1),
            (1, DEFAULT),
            (2, 2),
            (4, u64::MAX),
            (4, 1 << 32),
            (128, 0x100),
            (5, 0x5001),
            (5, 8),
            (5, 1 << 63),
            (5, u64::MAX),
        ] {
            let mut bad = good;
            bad[word] = value;
            assert!(matches!(Entries::parse(&bad), Err(ReadError::Inconsistent(_))), "word {word} = {value:#x}");
        }
        for length in [0, 1, TABLE_WORDS - 2, TABLE_WORDS - 1] {
            assert!(Entries::parse(&good[..length]).is_err(), "{length}");
        }
        // SIGKILL, SIGSTOP, 32 and 33 have what no program can change.
        for (number, value) in [(9, 0x5000), (19, 0x5000), (32, 0x5000), (33, DEFAULT), (9, 0), (33, 0)] {
            let mut bad = good;
            bad[number * 2 + 1] = value;
            assert!(Objects::of(&Entries::parse(&bad).unwrap()).is_err(), "{number} = {value:#x}");
        }
        let mut bad = good;
        (bad[9 * 2 + 1], bad[19 * 2 + 1]) = (NONE, NONE);
        assert!(Objects::of(&Entries::parse(&bad).unwrap()).is_err());
    }

    #[test]
    fn integers() {
        let integer = |of_type, value| Some(SmallInteger { of_type, value });
        assert_eq!(parse_integer([500, 0x9000, 0, 77]), integer(0x9000, 0));
        assert_eq!(parse_integer([1, 0x9000, 1, 1]), integer(0x9000, 1));
        // Refcount 0, no type, -1, two digits.
        for words in [[0, 0x9000, 0, 0], [1, 0, 0, 0], [1, 0x9000, u64::MAX, 1], [1, 0x9000, 2, 1], [u64::MAX, 8, 0, 0]]
        {
            assert_eq!(parse_integer(words), None, "{words:x?}");
        }
    }

    /// Handlers of all kinds, laid out here as CPython lays them out.
    #[test]
    fn handlers_are_told_apart_by_what_they_are() {
        let memory = Memory::open(Pid(std::process::id())).unwrap();
        let at = |of: &[u64]| of.as_ptr().addr() as u64;
        let (zero, one, two) = ([1u64, 0x9000, 0, 0], [1u64, 0x9000, 1, 1], [1u64, 0x9000, 1, 2]);
        let name = b"default_int_handler\0";
        let definition = [name.as_ptr().addr() as u64, 0];
        let function = [1u64, 0xa000, at(&definition), 0];
        let wild = [1u64, 0xa000, 0x10, 0];
        let mut words = filled(at(&function), at(&one));
        for number in 1..ENTRIES {
            if words[number * 2 + 1] == DEFAULT {
                words[number * 2 + 1] = at(&zero);
            }
        }
        for (number, object) in [(10, at(&wild)), (12, at(&two)), (14, 0x10_0000)] {
            words[number * 2 + 1] = object;
        }
        let objects = Objects { default: at(&zero), ignored: None, none: NONE };
        let table = HandlerTable { address: Address(at(&words)), objects, header: 16 };
        let handlers = table.handlers(&memory).unwrap();
        for (number, handler) in [
            (1, Handler::Default),
            (2, Handler::KeyboardInterrupt),
            (9, Handler::Default),
            (10, Handler::Python),
            (12, Handler::Python),
            (13, Handler::Ignored),
            (14, Handler::Python),
            (32, Handler::NotPython),
        ] {
            assert_eq!(handlers.of(Signal::new(number).unwrap()), handler, "{number}");
        }
        assert_eq!(handlers.runs_python().iter().map(Signal::number).collect::<Vec<_>>(), [2, 10, 12, 14]);
        assert_eq!(table.tripped_word(Signal::SIGINT).0, at(&words) + 32);

        // The address of `SIG_IGN`'s object is known: no object is read for it.
        let known = HandlerTable { objects: Objects { ignored: Some(at(&two)), ..objects }, ..table };
        let handlers = known.handlers(&memory).unwrap();
        assert_eq!(handlers.of(Signal::new(12).unwrap()), Handler::Ignored);
        assert_eq!(handlers.of(Signal::new(13).unwrap()), Handler::Python);
        // Another Python has been begun: what was known is of no use.
        let stale = HandlerTable { objects: Objects { default: 0x9000, ..objects }, ..table };
        assert!(matches!(stale.handlers(&memory), Err(ReadError::Inconsistent(_))));
    }

    proptest! {
        #[test]
        fn never_panics(words in proptest::collection::vec(any::<u64>(), 0..140)) {
            if let Ok(entries) = Entries::parse(&words) {
                let _any = Objects::of(&entries);
            }
        }
    }
}
