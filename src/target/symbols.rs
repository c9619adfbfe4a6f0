//! The name of the function at an address: from the module's file as the target has it open, else from the dynamic symbols
//! in its memory.
//!
//! Tables are read through, never kept: whoever asks remembers the answer. A program's files are its own to choose, so each
//! table has a bound, and what makes no sense is no name.

use std::fmt::{self, Write};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use object::LittleEndian as LE;
use object::elf;
use object::pod::{self, Pod};

use crate::event::{Address, MAX_SYMBOL, cut};
use crate::target::elf::Module;
use crate::target::maps::Mapping;
use crate::target::memory::Memory;

/// Most symbols of one table that are looked at: 120 MB, as much as the largest libraries have.
const MAX_SYMBOLS: u64 = 5_000_000;
/// Symbols read at once.
const BATCH: u64 = 8_192;
/// Sections of a file that are looked at.
const MAX_SECTIONS: u64 = 4_096;
/// Segments of a file that are compared with memory, in bytes of their headers.
const MAX_HEADERS: usize = 64 * 56;
/// Longest note that is compared.
const MAX_NOTE: u64 = 4_096;
/// Longest mangled name that is read.
const MAX_MANGLED: usize = 4_096;
/// How deep a mangled name may be nested.
const MAX_NESTING: u32 = 64;

type Symbol = elf::Sym64<LE>;
const SYMBOL: u64 = size_of::<Symbol>() as u64;

/// A function as a symbol has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Demangled, at most [`MAX_SYMBOL`] bytes.
    pub name: String,
    /// Where it begins in memory.
    pub start: Address,
    /// How long it is.
    pub length: u64,
}

/// The function whose symbol covers an address in memory. `base` is the mapping that the module begins with.
pub(crate) fn function_at(
    memory: &Memory,
    module: &Module,
    base: Option<&Mapping>,
    address: Address,
) -> Option<Function> {
    let wanted = address.0.wrapping_sub(module.bias());
    let of_file = base.and_then(|base| in_file(&open(memory, base)?, wanted));
    let (name, symbol) = of_file.or_else(|| in_memory(memory, module, wanted))?;
    let name = readable(&name);
    (!name.is_empty()).then(|| Function {
        name,
        start: Address(module.bias().wrapping_add(symbol.st_value.get(LE))),
        length: symbol.st_size.get(LE),
    })
}

/// The file that is mapped, and no other that has its name by now.
fn open(memory: &Memory, base: &Mapping) -> Option<File> {
    let pid = memory.pid().0;
    // The kernel gives the first only to whoever may do anything (proc_pid_map_files(5)): it is the file itself, deleted or not.
    let itself = format!("/proc/{pid}/map_files/{:x}-{:x}", base.start.0, base.end.0);
    let by_name = format!("/proc/{pid}/root{}", base.path);
    // A name may be that of a pipe by now.
    let open = |path: &str| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let is_mapped = |file: &File| {
        file.metadata().is_ok_and(|it| it.is_file() && it.ino() == base.file.inode) && is_same(memory, base, file)
    };
    [itself, by_name].iter().filter_map(|path| open(path).ok()).find(is_mapped)
}

/// Whether a file begins as the mapping does, notes included: linkers put a hash of the whole there (build id).
fn is_same(memory: &Memory, base: &Mapping, file: &File) -> bool {
    let same = |offset: u64, length: usize| {
        let (mut here, mut there) = (vec![0; length], vec![0; length]);
        let at = Address(base.start.0.wrapping_add(offset));
        file.read_exact_at(&mut here, offset).is_ok() && memory.read(at, &mut there).is_ok() && here == there
    };
    let Some(header) = structure::<elf::FileHeader64<LE>>(file, 0) else { return false };
    let headers = usize::from(header.e_phnum.get(LE)) * size_of::<elf::ProgramHeader64<LE>>();
    let table = header.e_phoff.get(LE);
    let notes_are = |index: u64| {
        let at = table.wrapping_add(index * size_of::<elf::ProgramHeader64<LE>>() as u64);
        let Some(segment) = structure::<elf::ProgramHeader64<LE>>(file, at) else { return false };
        let (offset, length) = (segment.p_offset.get(LE), segment.p_filesz.get(LE));
        let is_mapped = offset.saturating_add(length) <= base.end.0 - base.start.0;
        segment.p_type.get(LE) != elf::PT_NOTE || !is_mapped || length > MAX_NOTE || same(offset, length as usize)
    };
    headers <= MAX_HEADERS
        && same(0, size_of::<elf::FileHeader64<LE>>())
        && same(table, headers)
        && (0..u64::from(header.e_phnum.get(LE))).all(notes_are)
}

/// The symbol of a file that covers `wanted`: from all of its symbols if it has them, else from those that it exports.
fn in_file(file: &File, wanted: u64) -> Option<(Vec<u8>, Symbol)> {
    let header: elf::FileHeader64<LE> = structure(file, 0)?;
    let section = |index: u64| -> Option<elf::SectionHeader64<LE>> {
        let at = index.checked_mul(size_of::<elf::SectionHeader64<LE>>() as u64)?;
        structure(file, header.e_shoff.get(LE).checked_add(at)?)
    };
    let number = u64::from(header.e_shnum.get(LE)).min(MAX_SECTIONS);
    for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        let table = (0..number).filter_map(section).find(|section| section.sh_type.get(LE) == kind);
        let Some(table) = table else { continue };
        let Some(strings) = section(u64::from(table.sh_link.get(LE))) else { continue };
        let (symbols, from) = (table.sh_size.get(LE) / SYMBOL, table.sh_offset.get(LE));
        let found = covering(symbols, wanted, |index, batch| {
            let at = from.checked_add(index * SYMBOL)?;
            file.read_exact_at(pod::bytes_of_slice_mut(batch), at).ok()
        });
        if let Some(symbol) = found {
            let name = u64::from(symbol.st_name.get(LE));
            let room = strings.sh_size.get(LE).checked_sub(name)?.min(MAX_MANGLED as u64) as usize;
            let mut bytes = vec![0; room];
            file.read_exact_at(&mut bytes, strings.sh_offset.get(LE).checked_add(name)?).ok()?;
            return Some((until_zero(bytes), symbol));
        }
    }
    None
}

/// The same, of those that a module exports, in memory.
fn in_memory(memory: &Memory, module: &Module, wanted: u64) -> Option<(Vec<u8>, Symbol)> {
    let table = module.dynamic_symbols()?;
    let symbol = covering(table.number, wanted, |index, batch| {
        let at = Address(table.symbols.0.wrapping_add(index * SYMBOL));
        memory.read(at, pod::bytes_of_slice_mut(batch)).ok()
    })?;
    let name = u64::from(symbol.st_name.get(LE));
    let room = table.strings_length.checked_sub(name)?.min(MAX_MANGLED as u64) as usize;
    let mut bytes = vec![0; room];
    memory.read(Address(table.strings.0.wrapping_add(name)), &mut bytes).ok()?;
    Some((until_zero(bytes), symbol))
}

/// Of the functions that cover `wanted` the shortest, and of several names for one the most public.
fn covering(number: u64, wanted: u64, mut read: impl FnMut(u64, &mut [Symbol]) -> Option<()>) -> Option<Symbol> {
    let number = number.min(MAX_SYMBOLS);
    let mut batch = vec![Symbol::default(); number.min(BATCH) as usize];
    let mut best: Option<(u64, u8, Symbol)> = None;
    let mut index = 0;
    while index < number {
        let length = (number - index).min(BATCH) as usize;
        let part = batch.get_mut(..length)?;
        read(index, part)?;
        index += length as u64;
        for symbol in part.iter().filter(|symbol| covers(symbol, wanted)) {
            let rank = (symbol.st_size.get(LE), rank_of(symbol));
            if best.is_none_or(|(size, binding, _)| rank < (size, binding)) {
                best = Some((rank.0, rank.1, *symbol));
            }
        }
    }
    best.map(|(.., symbol)| symbol)
}

fn covers(symbol: &Symbol, wanted: u64) -> bool {
    // Also what has no type: written in assembler. And functions chosen at load time, whose chooser it is.
    let is_code = matches!(symbol.st_info.0 & 0xf, STT_NOTYPE | STT_FUNC | STT_GNU_IFUNC);
    is_code
        && symbol.st_shndx.get(LE) != elf::SHN_UNDEF
        && wanted.wrapping_sub(symbol.st_value.get(LE)) < symbol.st_size.get(LE)
}

const STT_NOTYPE: u8 = 0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;

/// Global names first, then weak ones, then those of one file.
fn rank_of(symbol: &Symbol) -> u8 {
    match symbol.st_info.0 >> 4 {
        1 => 0,
        2 => 1,
        _ => 2,
    }
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// A name as its author wrote it, without parameters; one that is not mangled as it is.
pub(super) fn readable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut out = Bounded(String::new());
    if let Ok(demangled) = rustc_demangle::try_demangle(&text) {
        // An error is a name that was cut.
        let _cut = write!(out, "{demangled:#}");
    } else if name.starts_with(b"_Z") {
        let parse = cpp_demangle::ParseOptions::default().recursion_limit(MAX_NESTING);
        let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type().recursion_limit(MAX_NESTING);
        if let Ok(symbol) = cpp_demangle::Symbol::new_with_options(name, &parse) {
            let _cut = symbol.structured_demangle(&mut out, &options);
        }
    }
    match out.0.is_empty() {
        true => cut(&text, MAX_SYMBOL).to_owned(),
        false => out.0,
    }
}

/// Text that ends where it has become too long: what a mangled name says may be a million times longer than it.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let part = cut(text, MAX_SYMBOL - self.0.len());
        self.0.push_str(part);
        if part.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

fn structure<T: Pod>(file: &File, offset: u64) -> Option<T> {
    let mut words = [0u64; 8];
    let bytes = pod::bytes_of_slice_mut(&mut words).get_mut(..size_of::<T>())?;
    file.read_exact_at(bytes, offset).ok()?;
    pod::from_bytes::<T>(bytes).ok().map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_and_bounded() {
        for (mangled, readable_as) in [
            ("count_cext", "count_cext"),
            ("_ZN3foo3barEii", "foo::bar"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Zwhatever", "_Zwhatever"),
            ("", ""),
        ] {
            assert_eq!(readable(mangled.as_bytes()), readable_as, "{mangled}");
        }
        assert_eq!(readable(&[b'a'; 5_000]).len(), MAX_SYMBOL);
        assert_eq!(readable(b"\xff\xfea"), "\u{fffd}\u{fffd}a");
        // Each of the last arguments is a pair of the one before: its length doubles with each.
        let doubling = format!("_Z1fI1aI{}EE", "S_S_".repeat(100));
        assert!(readable(doubling.as_bytes()).len() <= MAX_SYMBOL);
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_survived(name: Vec<u8>, mangled in "_Z[A-Z0-9a-z_]{0,60}", rust in "_R[A-Z0-9a-z_]{0,60}") {
            for name in [&name[..], mangled.as_bytes(), rust.as_bytes()] {
                assert!(readable(name).len() <= MAX_SYMBOL);
            }
        }
    }
}
