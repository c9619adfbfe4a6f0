//! Whose code a thread is in: its innermost function, and, where that is the C library's, who has called it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::event::{Address, CodePlace, MAX_SYMBOL, NativeInfo, NativeKind, cut, file_name};
use crate::target::elf::{self, Module};
use crate::target::maps::{self, FileId, Mapping};
use crate::target::memory::Memory;
use crate::target::standstill::Standstill;
use crate::target::symbols;
use crate::target::unwind::{Depth, Frame};

/// Frames of the C library that are gone through in search of its caller.
const MAX_FRAMES: usize = 32;
/// Functions that are remembered.
const MAX_FUNCTIONS: usize = 4_096;
/// Modules that are remembered.
const MAX_MODULES: usize = 1_024;
/// The mappings are read again when they are older: a library may have been loaded in place of another.
const MAPS_AGE: Duration = Duration::from_millis(500);
/// How files of the C library, and of those that are called like it, are named: glibc, musl, and what comes with compilers.
const C_LIBRARIES: [&str; 13] = [
    "libc.so",
    "libc-2.",
    "libc.musl",
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "libm.so",
    "libm-2.",
    "libpthread",
    "librt.so",
    "libgcc_s",
    "libstdc++",
    "[vdso]",
];
/// The kernel's library in every process.
const VDSO: &str = "[vdso]";

/// What tells the code of one process image. Files and tables are read when they are needed for the first time, which may
/// take some tens of milliseconds.
#[derive(Debug)]
pub struct Code {
    memory: Memory,
    /// `_PyRuntime`: whatever module has it is the interpreter.
    runtime: Address,
    maps: Vec<Mapping>,
    read: Option<Instant>,
    modules: HashMap<(Address, FileId), Option<Loaded>>,
    functions: Vec<Known>,
}

/// A module that code was found in.
#[derive(Debug, Clone)]
struct Loaded {
    module: Module,
    base: Mapping,
    kind: NativeKind,
}

/// A function that was looked up.
#[derive(Debug, Clone)]
struct Known {
    start: u64,
    length: u64,
    file: FileId,
    kind: NativeKind,
    place: CodePlace,
}

impl Code {
    pub(super) fn new(memory: Memory, runtime: Address) -> Code {
        Code { memory, runtime, maps: Vec::new(), read: None, modules: HashMap::new(), functions: Vec::new() }
    }

    /// The memory that it reads.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whose code a thread is in; `None` where nothing is mapped.
    pub fn locate(&mut self, at: &Standstill) -> Option<NativeInfo> {
        self.refresh();
        let (kind, leaf) = self.place(at.pc, Depth::Innermost)?;
        if kind != NativeKind::CLibrary {
            return Some(NativeInfo { kind, place: leaf, through: None });
        }
        match self.caller_of(at) {
            Some((kind, place)) => Some(NativeInfo { kind, place, through: Some(leaf) }),
            None => Some(NativeInfo { kind, place: leaf, through: None }),
        }
    }

    /// Who has called into the C library, if every step from there to here is known for certain.
    fn caller_of(&mut self, at: &Standstill) -> Option<(NativeKind, CodePlace)> {
        let (mut at, mut depth) = (at.clone(), Depth::Innermost);
        for _ in 0..MAX_FRAMES {
            let of_call = if depth == Depth::Innermost { at.pc } else { Address(at.pc.0.wrapping_sub(1)) };
            let loaded = self.loaded(of_call)?;
            let frame = Frame::find(&self.memory, &loaded.module, of_call)?;
            at = frame.caller(&at, depth)?;
            depth = Depth::Caller;
            match self.place(at.pc, depth)? {
                (NativeKind::CLibrary, _) => {}
                found => return Some(found),
            }
        }
        None
    }

    fn refresh(&mut self) {
        if self.read.is_none_or(|read| read.elapsed() > MAPS_AGE) {
            // Without any nothing is known, which is what is told then.
            self.maps = maps::of_process(self.memory.pid()).unwrap_or_default();
            self.read = Some(Instant::now());
        }
    }

    fn mapping(&self, address: Address) -> Option<&Mapping> {
        let index = self.maps.partition_point(|it| it.end <= address);
        self.maps.get(index).filter(|it| it.contains(address) && it.access.is_executable())
    }

    /// The function with the code at `pc`.
    fn place(&mut self, pc: Address, depth: Depth) -> Option<(NativeKind, CodePlace)> {
        // A call may be the last instruction of its function.
        let pc = if depth == Depth::Caller { Address(pc.0.wrapping_sub(1)) } else { pc };
        let mapping = self.mapping(pc)?;
        let (file, path) = (mapping.file, mapping.path.clone());
        if let Some(known) = self.functions.iter().find(|it| it.file == file && pc.0.wrapping_sub(it.start) < it.length)
        {
            return Some((known.kind, known.place.clone()));
        }
        let Some(loaded) = self.loaded(pc) else {
            let in_file = file.inode != 0;
            let module = if in_file { mapping_name(&path) } else { "[anonymous]".to_owned() };
            let kind = if in_file { NativeKind::Library } else { NativeKind::Anonymous };
            return Some((kind, CodePlace { module, symbol: None, offset: 0 }));
        };
        let base = (loaded.base.file.inode != 0).then_some(&loaded.base);
        let named = symbols::function_at(&self.memory, &loaded.module, base, pc);
        // A function without a name has a beginning, by which it is told from others.
        let (start, length) = match &named {
            Some(function) => (function.start, function.length),
            None => match Frame::find(&self.memory, &loaded.module, pc) {
                Some(frame) => (frame.start, frame.length),
                None => (pc, 1),
            },
        };
        let place = CodePlace {
            module: mapping_name(&path),
            symbol: named.map(|function| function.name),
            offset: start.0.wrapping_sub(loaded.module.bias()),
        };
        if self.functions.len() >= MAX_FUNCTIONS {
            self.functions.clear();
        }
        let known = Known { start: start.0, length, file, kind: loaded.kind, place: place.clone() };
        self.functions.push(known);
        Some((loaded.kind, place))
    }

    /// The module with the code at `address`; `None` for code in no file, and for files that are no modules.
    fn loaded(&mut self, address: Address) -> Option<Loaded> {
        let mapping = self.mapping(address)?;
        if mapping.file.inode == 0 && mapping.path != VDSO {
            return None;
        }
        let file = mapping.file;
        let before = self.maps.iter().rev().skip_while(|it| it.start > address);
        let base = match file.inode {
            0 => mapping,
            _ => before
                .take_while(|it| it.file == file || it.file.inode == 0)
                .find(|it| it.file == file && it.offset == 0)?,
        };
        let key = (base.start, file);
        if let Some(known) = self.modules.get(&key) {
            return known.clone();
        }
        let base = base.clone();
        let loaded = elf::module_at(&self.memory, &base, &self.maps).map(|module| {
            let kind = self.kind_of(&module, &base);
            Loaded { module, base, kind }
        });
        if self.modules.len() >= MAX_MODULES {
            self.modules.clear();
        }
        self.modules.insert(key, loaded.clone());
        loaded
    }

    fn kind_of(&self, module: &Module, base: &Mapping) -> NativeKind {
        let name = base.file_name();
        // A shared interpreter's program is a few lines that call it.
        let is_python = |mapping: &Mapping| mapping.file == base.file && name.starts_with("python");
        if module.contains(self.runtime) || self.maps.iter().any(is_python) && !name.contains(".so") {
            return NativeKind::Interpreter;
        }
        if C_LIBRARIES.iter().any(|prefix| name.starts_with(prefix)) {
            return NativeKind::CLibrary;
        }
        let stem = name.split('.').next().unwrap_or_default();
        let entry = format!("PyInit_{stem}");
        let is_tagged = [".cpython-", ".abi3.", ".pypy"].iter().any(|tag| name.contains(tag));
        match is_tagged || module.symbol(&self.memory, &entry).is_ok_and(|it| it.is_some()) {
            true => NativeKind::Extension,
            false => NativeKind::Library,
        }
    }
}

/// A file's name without directories.
fn mapping_name(path: &str) -> String {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    cut(file_name(path), MAX_SYMBOL).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Pid, Tid};
    use crate::target::task::Task;

    /// Our own sleeping thread: in libc, called from here.
    #[test]
    fn the_caller_of_the_c_library_is_known_for_certain() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            tell.send(link.file_name().unwrap().to_str().unwrap().parse().map(Tid).unwrap()).unwrap();
            std::thread::sleep(Duration::from_secs(20));
        });
        let tid = told.recv().unwrap();
        let pid = Pid(std::process::id());
        let mut task = Task::new(pid, tid);
        let asleep = loop {
            match task.asleep_at() {
                Ok(Some(asleep)) if asleep.call.is_some_and(|call| call[0] != 202) => break asleep,
                Ok(_) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => {
                    eprintln!("skipped: {error}");
                    return;
                }
            }
        };
        let memory = Memory::open(pid).unwrap();
        let mut stack = vec![0; 4096];
        memory.read(asleep.stack, &mut stack).unwrap();
        let mut code = Code::new(memory, Address(0));
        let found = code.locate(&Standstill::new(asleep.pc, asleep.stack, stack)).unwrap();
        assert_eq!(found.kind, NativeKind::Library, "{found:?}");
        assert!(found.place.symbol.as_deref().is_some_and(|name| name.contains("sleep")), "{found:?}");
        assert!(found.through.as_ref().is_some_and(|leaf| leaf.module.starts_with("libc")), "{found:?}");
        // Without the stack it is not known, and not guessed.
        let blind = code.locate(&Standstill::new(asleep.pc, asleep.stack, Vec::new())).unwrap();
        assert_eq!((blind.kind, &blind.through), (NativeKind::CLibrary, &None));
        assert_eq!(code.locate(&Standstill::new(Address(16), asleep.stack, Vec::new())), None);
    }
}
