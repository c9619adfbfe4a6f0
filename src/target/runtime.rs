//! A CPython found in a process: its `_PyRuntime` and how that is laid out.

use std::fmt;

use crate::event::{Address, Build, PythonVersion};
use crate::target::c_library::{self, Libc, LibcKind};
use crate::target::elf::{self, Foreign, Module, Modules, Symbol};
use crate::target::error::ReadError;
use crate::target::layout::{self, Layout, Machine, NoLayout, RuntimeSize};
use crate::target::memory::Memory;
use crate::target::version::{self, Flavour, Hurry, NoVersion};

/// Everything needed to read a CPython.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runtime {
    /// Of `_PyRuntime`.
    pub address: Address,
    pub version: PythonVersion,
    pub build: Build,
    pub layout: Layout,
    pub libc: Libc,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NoRuntime {
    /// Nothing in the process is a Python.
    NotPython,
    /// It looks like a Python that has not got to its interpreter yet.
    NotYet,
    /// A CPython, or so it seems, without `_PyRuntime`.
    Hidden,
    /// Neither on glibc nor on musl.
    OtherLibc,
    /// Python 2.
    Python2,
    /// Not CPython.
    Other(&'static str),
    /// Not a program of this machine.
    Foreign,
    /// A version that gilscope does not know.
    UnknownVersion(String),
    /// An alpha, beta or release candidate.
    Prerelease(String),
    /// Not laid out as its version should be.
    Layout(String, &'static str),
    /// Memory could not be read.
    Read(ReadError),
}

impl From<ReadError> for NoRuntime {
    fn from(error: ReadError) -> NoRuntime {
        NoRuntime::Read(error)
    }
}

impl Runtime {
    /// Finds the CPython among a process's modules.
    pub fn find(memory: &Memory, modules: &Modules, hurry: Hurry) -> Result<Runtime, NoRuntime> {
        let found = match elf::find(memory, &modules.native, "_PyRuntime")? {
            None => version::find_by_cookie(memory, &modules.native)?,
            found => found,
        };
        let Some((module, symbol)) = found else {
            return Err(without_runtime(memory, modules, hurry)?);
        };
        let detected = match version::detect(memory, module, symbol, hurry) {
            Ok(detected) => detected,
            Err(NoVersion::NotYet) => return Err(NoRuntime::NotYet),
            Err(NoVersion::Unknown(version)) => return Err(NoRuntime::UnknownVersion(version)),
            Err(NoVersion::Prerelease(version)) => return Err(NoRuntime::Prerelease(version)),
            Err(NoVersion::Read(error)) => return Err(NoRuntime::Read(error)),
        };
        let mismatch = |what| NoRuntime::Layout(detected.version.to_string(), what);
        let layout = |libc| match layout::of(memory, symbol.address, &detected, Machine::HERE, libc) {
            Ok(layout) => Ok(layout),
            Err(NoLayout::UnknownVersion) => Err(NoRuntime::UnknownVersion(detected.version.to_string())),
            Err(NoLayout::Implausible(what)) => Err(mismatch(what)),
            Err(NoLayout::Read(error)) => Err(NoRuntime::Read(error)),
        };
        let Some(libc) = c_library::detect(memory, &modules.native)? else {
            // Right after exec(2), the libraries are not there yet; where the list of interpreters lies depends on none.
            let first = layout(LibcKind::Glibc)?.runtime.interpreters_head;
            let first = memory.read_ptr(Address(symbol.address.0.wrapping_add(first)))?;
            return Err(match (hurry, first) {
                (Hurry::CanWait, _) | (_, Address(0)) => NoRuntime::NotYet,
                (Hurry::LastChance, _) => NoRuntime::OtherLibc,
            });
        };
        let layout = layout(libc.kind)?;
        if !fits(layout.runtime.size, symbol) {
            return Err(mismatch("its _PyRuntime has another size"));
        }
        let build = match detected.flavour {
            Flavour::FreeThreaded => Build::FreeThreaded,
            // Defined only with Py_REF_DEBUG (Objects/object.c), which --with-pydebug implies.
            Flavour::WithGil if module.symbol(memory, "_Py_NegativeRefcount")?.is_some() => Build::Debug,
            Flavour::WithGil => Build::Default,
        };
        Ok(Runtime { address: symbol.address, version: detected.version, build, layout, libc })
    }

    /// An address in `_PyRuntime`.
    pub fn at(&self, offset: u64) -> Address {
        Address(self.address.0.wrapping_add(offset))
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPython {} on {}", self.version, self.libc)
    }
}

fn fits(size: RuntimeSize, symbol: Symbol) -> bool {
    match size {
        RuntimeSize::Exactly(size) => symbol.size == size,
        RuntimeSize::AtLeast(size) => symbol.size >= size,
    }
}

/// What a process is that has no `_PyRuntime`.
fn without_runtime(memory: &Memory, modules: &Modules, hurry: Hurry) -> Result<NoRuntime, ReadError> {
    let named = |words: &[&str]| {
        modules
            .native
            .iter()
            .map(|it: &Module| it.name.as_str())
            .any(|name| words.iter().any(|word| name.contains(word)))
    };
    if named(&["pypy"]) {
        return Ok(NoRuntime::Other("PyPy"));
    }
    if named(&["libpythonvm", "graalpy"]) {
        return Ok(NoRuntime::Other("GraalPy"));
    }
    if elf::find(memory, &modules.native, "PyString_Type")?.is_some() {
        return Ok(NoRuntime::Python2);
    }
    if elf::find(memory, &modules.native, "PyUnicode_Type")?.is_some() {
        // `_PyRuntime` came with 3.7; `_PyThreadState_Current` was global up to 3.6.
        let old = elf::find(memory, &modules.native, "_PyThreadState_Current")?.is_some();
        let minor = modules.native.iter().find_map(|it| version::minor_in_name(&it.name));
        return Ok(match (minor, old) {
            (Some(minor @ 0..=6), _) => NoRuntime::UnknownVersion(format!("3.{minor}")),
            (_, true) => NoRuntime::UnknownVersion("3.6 or older".to_owned()),
            _ => NoRuntime::Hidden,
        });
    }
    // Right after exec(2), the libraries are not there yet.
    if named(&["python3"]) {
        return Ok(match hurry {
            Hurry::CanWait => NoRuntime::NotYet,
            Hurry::LastChance => NoRuntime::Hidden,
        });
    }
    Ok(match (modules.foreign, modules.native.is_empty()) {
        (Foreign::Present, true) => NoRuntime::Foreign,
        _ => NoRuntime::NotPython,
    })
}
