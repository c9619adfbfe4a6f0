//! Which native code holds a GIL.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Ns;

/// A hold that lasts longer is a long one: its native code is worth asking for. Python code with a waiter lets go after a
/// switch interval, of 5 ms by default.
pub const LONG_HOLD: Ns = Ns::from_millis(20);

/// Longest name of a file or a function that is taken from a target, in bytes.
pub const MAX_SYMBOL: usize = 256;

/// A piece of native code in this capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NativeKey(pub u32);

/// Where a thread was in native code: of all frames, the one whose doing it is.
///
/// A thread in the C library is there for somebody: `place` is then who called, if that is known for certain, and
/// [`through`](NativeInfo::through) what was called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NativeInfo {
    /// What kind of code `place` is.
    pub kind: NativeKind,
    /// Whose code it is.
    pub place: CodePlace,
    /// The function of the C library that it has called and that the thread is in; `None`: the thread is in `place` itself.
    pub through: Option<CodePlace>,
}

impl NativeInfo {
    /// Whether its names are no longer than [`MAX_SYMBOL`]: others are of a damaged recording.
    pub fn is_bounded(&self) -> bool {
        let fits = |place: &CodePlace| {
            place.module.len() <= MAX_SYMBOL && place.symbol.as_ref().is_none_or(|symbol| symbol.len() <= MAX_SYMBOL)
        };
        fits(&self.place) && self.through.as_ref().is_none_or(fits)
    }
}

/// A function, as well as it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CodePlace {
    /// The file's name without directories, at most [`MAX_SYMBOL`] bytes, otherwise as the target has it.
    pub module: String,
    /// The function's name, demangled, at most [`MAX_SYMBOL`] bytes; `None`: no symbol covers the address.
    pub symbol: Option<String>,
    /// Where the function begins, as the file counts its addresses; where that is not known, the instruction.
    pub offset: u64,
}

/// `countext.cpython-311.so:count_cext`, or `countext.cpython-311.so+0x1234` where no symbol covers it. Not safe for a
/// terminal.
impl fmt::Display for CodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.symbol {
            Some(symbol) => write!(f, "{}:{symbol}", self.module),
            None => write!(f, "{}+{:#x}", self.module, self.offset),
        }
    }
}

/// What kind of code holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NativeKind {
    /// CPython itself, bytecode evaluation included: the module with `_PyRuntime`.
    Interpreter,
    /// An extension module of Python.
    Extension,
    /// Another library, or the program.
    Library,
    /// The C library or one like it (the C++ runtime, the kernel's vDSO), and who called it is not known.
    CLibrary,
    /// Code in no file: made at run time.
    Anonymous,
}

/// How the holder was seen in its native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenHolder {
    /// It ran on a core.
    OnCore,
    /// It slept in the kernel.
    Asleep,
}
