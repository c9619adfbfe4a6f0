//! Dynamic symbols of the target's modules, looked up the way the dynamic linker does it, in the target's own
//! memory: no file is opened, so deleted files, other mount namespaces and stripped binaries are all the same.
//!
//! Facts: elf(5), glibc's elf/dl-lookup.c (`do_lookup_x`), the structures of the `object` crate.

use object::LittleEndian as LE;
use object::elf;
use object::pod::{self, Pod};

use crate::event::Address;
use crate::target::error::ReadError;
use crate::target::maps::{FileId, Mapping};
use crate::target::memory::Memory;

const MAX_SEGMENTS: u64 = 64;
const MAX_DYNAMIC: u64 = 1024;
/// Longest hash chain that is followed; real ones have a handful of links.
const MAX_CHAIN: u64 = 4096;
/// Most modules that are looked at; scientific programs load some hundreds.
const MAX_MODULES: usize = 4096;

/// The machine that gilscope was built for, the only one whose programs it reads.
#[cfg(target_arch = "x86_64")]
const MACHINE: elf::Machine = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const MACHINE: elf::Machine = elf::EM_AARCH64;

/// A program or shared library as it lies in the target's memory.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// The file's name without directories: a hint.
    pub name: String,
    bias: u64,
    segments: Vec<Segment>,
    tables: Option<Tables>,
    /// `PT_GNU_EH_FRAME`: the table of how to unwind.
    frames: Option<(Address, u64)>,
}

/// A `PT_LOAD` segment, at its place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub start: Address,
    /// With the part that is in no file (`.bss`).
    pub length: u64,
    pub access: SegmentAccess,
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentAccess {
    Code,
    Data,
    ReadOnly,
}

#[derive(Debug, Clone, Copy)]
struct Tables {
    symbols: Address,
    strings: Address,
    strings_length: u64,
    hash: HashTable,
}

#[derive(Debug, Clone, Copy)]
enum HashTable {
    Gnu(Address),
    SysV(Address),
}

/// A defined symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub address: Address,
    /// In bytes.
    pub size: u64,
}

/// Where a module's dynamic symbols lie in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DynamicSymbols {
    pub symbols: Address,
    pub number: u64,
    pub strings: Address,
    pub strings_length: u64,
}

/// What the modules of a process turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// Those that can be read, in the order of their addresses.
    pub native: Vec<Module>,
    /// There are programs among the mappings, for another word length or machine.
    pub foreign: Foreign,
}

/// Whether a process runs code of another machine.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    #[default]
    Absent,
    Present,
}

/// Finds the modules among the mappings. One whose headers make no sense is left out.
pub(crate) fn modules(memory: &Memory, maps: &[Mapping]) -> Result<Modules, ReadError> {
    let mut found = Modules::default();
    for mapping in maps.iter().filter(|it| it.offset == 0 && it.file.inode != 0 && it.access.is_readable()) {
        if found.native.len() >= MAX_MODULES {
            break;
        }
        match module(memory, mapping, maps) {
            Ok(Some(Found::Native(module))) => found.native.push(module),
            Ok(Some(Found::Foreign)) => found.foreign = Foreign::Present,
            Ok(None) => {}
            // A mapping beyond the end of its file cannot be read, nor one that was unmapped meanwhile.
            Err(ReadError::Fault { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The module whose beginning a mapping is; `None` if it is none that can be read.
pub(crate) fn module_at(memory: &Memory, mapping: &Mapping, maps: &[Mapping]) -> Option<Module> {
    match module(memory, mapping, maps) {
        Ok(Some(Found::Native(module))) => Some(module),
        _ => None,
    }
}

enum Found {
    Native(Module),
    Foreign,
}

fn module(memory: &Memory, mapping: &Mapping, maps: &[Mapping]) -> Result<Option<Found>, ReadError> {
    let header: elf::FileHeader64<LE> = structure(memory, mapping.start)?;
    if header.e_ident.magic != elf::ELFMAG {
        return Ok(None);
    }
    let is_program = matches!(header.e_type.get(LE), elf::ET_EXEC | elf::ET_DYN);
    // A file that is only looked at (mapped as data) has no executable part.
    if !is_program || !maps.iter().any(|it| it.file == mapping.file && it.access.is_executable()) {
        return Ok(None);
    }
    if header.e_ident.class != elf::ELFCLASS64
        || header.e_ident.data != elf::ELFDATA2LSB
        || header.e_machine.get(LE) != MACHINE
    {
        return Ok(Some(Found::Foreign));
    }
    let count = u64::from(header.e_phnum.get(LE));
    let table = mapping.start.0.wrapping_add(header.e_phoff.get(LE));
    if count == 0
        || count > MAX_SEGMENTS
        || u64::from(header.e_phentsize.get(LE)) != size_of_u64::<elf::ProgramHeader64<LE>>()
    {
        return Ok(None);
    }
    let mut bias = None;
    let mut segments = Vec::new();
    let mut dynamic = None;
    let mut frames = None;
    for index in 0..count {
        let at = Address(table.wrapping_add(index * size_of_u64::<elf::ProgramHeader64<LE>>()));
        let segment: elf::ProgramHeader64<LE> = structure(memory, at)?;
        let address = segment.p_vaddr.get(LE);
        let length = segment.p_memsz.get(LE);
        match segment.p_type.get(LE) {
            elf::PT_LOAD => {
                let bias = *bias.get_or_insert_with(|| {
                    mapping.start.0.wrapping_sub(address.wrapping_sub(segment.p_offset.get(LE)))
                });
                let flags = segment.p_flags.get(LE).0;
                let access = match (flags & elf::PF_X.0 != 0, flags & elf::PF_W.0 != 0) {
                    (true, _) => SegmentAccess::Code,
                    (false, true) => SegmentAccess::Data,
                    (false, false) => SegmentAccess::ReadOnly,
                };
                segments.push(Segment { start: Address(bias.wrapping_add(address)), length, access });
            }
            elf::PT_GNU_EH_FRAME => frames = Some((address, length)),
            elf::PT_DYNAMIC => dynamic = Some((address, length)),
            _ => {}
        }
    }
    let Some(bias) = bias else { return Ok(None) };
    if !is_loaded_here(&segments, mapping.file, maps) {
        return Ok(None);
    }
    let tables = match dynamic {
        Some((address, length)) => tables(memory, bias, Address(bias.wrapping_add(address)), length)?,
        None => None,
    };
    let name = mapping.file_name().to_owned();
    let frames = frames.map(|(address, length)| (Address(bias.wrapping_add(address)), length));
    Ok(Some(Found::Native(Module { name, bias, segments, tables, frames })))
}

/// Whether the code segment lies where the headers say, in an executable mapping of that file.
fn is_loaded_here(segments: &[Segment], file: FileId, maps: &[Mapping]) -> bool {
    segments
        .iter()
        .filter(|it| it.access == SegmentAccess::Code)
        .any(|code| maps.iter().any(|it| it.file == file && it.access.is_executable() && it.contains(code.start)))
}

fn tables(memory: &Memory, bias: u64, dynamic: Address, length: u64) -> Result<Option<Tables>, ReadError> {
    // The dynamic linker of glibc relocates these addresses in place, that of musl does not.
    let place = |value: u64| Address(if value < bias { bias.wrapping_add(value) } else { value });
    let (mut symbols, mut strings, mut strings_length, mut gnu, mut sysv) = (None, None, 0, None, None);
    for index in 0..(length / size_of_u64::<elf::Dyn64<LE>>()).min(MAX_DYNAMIC) {
        let entry: elf::Dyn64<LE> =
            structure(memory, Address(dynamic.0.wrapping_add(index * size_of_u64::<elf::Dyn64<LE>>())))?;
        let value = entry.d_val.get(LE);
        match entry.d_tag.get(LE) {
            elf::DT_NULL => break,
            elf::DT_SYMTAB => symbols = Some(place(value)),
            elf::DT_STRTAB => strings = Some(place(value)),
            elf::DT_STRSZ => strings_length = value,
            elf::DT_GNU_HASH => gnu = Some(place(value)),
            elf::DT_HASH => sysv = Some(place(value)),
            _ => {}
        }
    }
    let hash = gnu.map(HashTable::Gnu).or(sysv.map(HashTable::SysV));
    Ok(match (symbols, strings, hash) {
        (Some(symbols), Some(strings), Some(hash)) => Some(Tables { symbols, strings, strings_length, hash }),
        _ => None,
    })
}

impl Module {
    /// One that exports nothing.
    #[cfg(test)]
    pub fn without_symbols(segments: Vec<Segment>) -> Module {
        Module { name: String::new(), bias: 0, segments, tables: None, frames: None }
    }

    /// The segments in memory.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What is added to an address in the file for one in memory.
    pub fn bias(&self) -> u64 {
        self.bias
    }

    /// `.eh_frame_hdr` in memory: where, and how long.
    pub fn frames(&self) -> Option<(Address, u64)> {
        self.frames
    }

    /// The dynamic symbols, as they lie in memory: where they begin, how many they are at most, and where their names are.
    /// Linkers put the names behind the symbols; where they are elsewhere, nothing tells the number.
    pub fn dynamic_symbols(&self) -> Option<DynamicSymbols> {
        let Tables { symbols, strings, strings_length, .. } = self.tables?;
        let number = strings.0.checked_sub(symbols.0)? / size_of_u64::<elf::Sym64<LE>>();
        Some(DynamicSymbols { symbols, number, strings, strings_length })
    }

    /// Whether an address lies in one of its segments.
    pub fn contains(&self, address: Address) -> bool {
        self.segments.iter().any(|it| address >= it.start && address.0 - it.start.0 < it.length)
    }

    /// Looks up a symbol that this module defines.
    pub fn symbol(&self, memory: &Memory, name: &str) -> Result<Option<Symbol>, ReadError> {
        let Some(tables) = self.tables else { return Ok(None) };
        let found = match tables.hash {
            HashTable::Gnu(table) => self.by_gnu_hash(memory, &tables, table, name),
            HashTable::SysV(table) => self.by_sysv_hash(memory, &tables, table, name),
        };
        match found {
            // Damaged tables: the same as none.
            Err(ReadError::Fault { .. }) => Ok(None),
            found => found,
        }
    }

    fn by_gnu_hash(
        &self,
        memory: &Memory,
        tables: &Tables,
        table: Address,
        name: &str,
    ) -> Result<Option<Symbol>, ReadError> {
        let header: elf::GnuHashHeader<LE> = structure(memory, table)?;
        let hash = elf::gnu_hash(name.as_bytes());
        let (buckets, base) = (u64::from(header.bucket_count.get(LE)), u64::from(header.symbol_base.get(LE)));
        let (bloom_words, shift) = (u64::from(header.bloom_count.get(LE)), header.bloom_shift.get(LE));
        if buckets == 0 || bloom_words == 0 {
            return Ok(None);
        }
        let bloom_at = table.0.wrapping_add(size_of_u64::<elf::GnuHashHeader<LE>>());
        let word = memory.read_u64(Address(bloom_at.wrapping_add(u64::from(hash / 64) % bloom_words * 8)))?;
        let second = hash.checked_shr(shift).unwrap_or(0);
        if word >> (hash % 64) & word >> (second % 64) & 1 == 0 {
            return Ok(None);
        }
        let buckets_at = bloom_at.wrapping_add(bloom_words * 8);
        let first = u64::from(memory.read_u32(Address(buckets_at.wrapping_add(u64::from(hash) % buckets * 4)))?);
        if first < base {
            return Ok(None);
        }
        let chain_at = buckets_at.wrapping_add(buckets * 4);
        for index in first..first + MAX_CHAIN {
            let link = memory.read_u32(Address(chain_at.wrapping_add((index - base) * 4)))?;
            if link | 1 == hash | 1
                && let Some(symbol) = self.symbol_at(memory, tables, index, name)?
            {
                return Ok(Some(symbol));
            }
            if link & 1 == 1 {
                break;
            }
        }
        Ok(None)
    }

    fn by_sysv_hash(
        &self,
        memory: &Memory,
        tables: &Tables,
        table: Address,
        name: &str,
    ) -> Result<Option<Symbol>, ReadError> {
        let header: elf::HashHeader<LE> = structure(memory, table)?;
        let (buckets, chains) = (u64::from(header.bucket_count.get(LE)), u64::from(header.chain_count.get(LE)));
        if buckets == 0 {
            return Ok(None);
        }
        let buckets_at = table.0.wrapping_add(size_of_u64::<elf::HashHeader<LE>>());
        let chains_at = buckets_at.wrapping_add(buckets * 4);
        let slot = u64::from(elf::hash(name.as_bytes())) % buckets;
        let mut index = u64::from(memory.read_u32(Address(buckets_at.wrapping_add(slot * 4)))?);
        for _ in 0..MAX_CHAIN {
            if index == 0 || index >= chains {
                return Ok(None);
            }
            if let Some(symbol) = self.symbol_at(memory, tables, index, name)? {
                return Ok(Some(symbol));
            }
            index = u64::from(memory.read_u32(Address(chains_at.wrapping_add(index * 4)))?);
        }
        Ok(None)
    }

    /// The symbol of that number, if it has that name and is defined here.
    fn symbol_at(&self, memory: &Memory, tables: &Tables, index: u64, name: &str) -> Result<Option<Symbol>, ReadError> {
        let at = tables.symbols.0.wrapping_add(index.wrapping_mul(size_of_u64::<elf::Sym64<LE>>()));
        let symbol: elf::Sym64<LE> = structure(memory, Address(at))?;
        let mut buffer = [0u8; 64];
        let Some(spelled) = buffer.get_mut(..name.len() + 1) else { return Ok(None) };
        let start = u64::from(symbol.st_name.get(LE));
        if symbol.st_shndx.get(LE) == elf::SHN_UNDEF
            || start.saturating_add(spelled.len() as u64) > tables.strings_length
        {
            return Ok(None);
        }
        memory.read(Address(tables.strings.0.wrapping_add(start)), spelled)?;
        let same = spelled.split_last().is_some_and(|(end, spelled)| *end == 0 && spelled == name.as_bytes());
        Ok(same.then(|| Symbol {
            address: Address(self.bias.wrapping_add(symbol.st_value.get(LE))),
            size: symbol.st_size.get(LE),
        }))
    }
}

/// The symbol from the first module that defines it, which is the one that the dynamic linker binds to
/// except where libraries shadow one another.
pub(crate) fn find<'a>(
    memory: &Memory,
    modules: &'a [Module],
    name: &str,
) -> Result<Option<(&'a Module, Symbol)>, ReadError> {
    for module in modules {
        if let Some(symbol) = module.symbol(memory, name)? {
            return Ok(Some((module, symbol)));
        }
    }
    Ok(None)
}

/// Reads one of `object`'s structures, which are at most 64 bytes long.
fn structure<T: Pod>(memory: &Memory, address: Address) -> Result<T, ReadError> {
    const SHORT: ReadError = ReadError::Inconsistent("a structure of more than 64 bytes");
    let mut words = [0u64; 8];
    let bytes = pod::bytes_of_slice_mut(&mut words);
    memory.read(address, bytes.get_mut(..size_of::<T>()).ok_or(SHORT)?)?;
    pod::from_bytes::<T>(bytes).map(|(value, _)| *value).map_err(|()| SHORT)
}

const fn size_of_u64<T>() -> u64 {
    size_of::<T>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pid;
    use crate::target::maps;

    /// Our own modules: whatever the linker made of them, libc's `environ` is where libc says it is.
    #[test]
    fn own_symbols_are_where_the_linker_put_them() {
        let pid = Pid(std::process::id());
        let memory = Memory::open(pid).unwrap();
        let modules = modules(&memory, &maps::of_process(pid).unwrap()).unwrap();
        assert_eq!(modules.foreign, Foreign::Absent);
        let (_, symbol) = find(&memory, &modules.native, "getpid").unwrap().unwrap();
        assert_eq!(symbol.address.0, libc::getpid as *const () as u64);
        assert!(symbol.size > 0);
        assert_eq!(find(&memory, &modules.native, "no_such_symbol_anywhere").unwrap().map(|it| it.1), None);
    }

    /// A file that is mapped only to be looked at is no module, and headers of noise are survived.
    #[test]
    fn noise_is_no_module() {
        let pid = Pid(std::process::id());
        let memory = Memory::open(pid).unwrap();
        let mut state = 1u64;
        for round in 0..200 {
            let mut page = vec![0u64; 512];
            for word in &mut page {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *word = if round % 2 == 0 { state } else { state >> 56 };
            }
            page[0] = u64::from_le_bytes([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
            page[2] = 3 | u64::from(MACHINE.0) << 16 | 1 << 32;
            page[4] = 64;
            page[6] = 64 | 56 << 32 | 8 << 48;
            page[8] = 1 | 5 << 32;
            let start = Address(page.as_ptr().addr() as u64);
            let line = format!("{:x}-{:x} r-xp 00000000 00:01 7 /x\n", start.0, start.0 + 4096);
            let maps = maps::parse(&line);
            let found = super::modules(&memory, &maps).unwrap();
            for module in &found.native {
                assert_eq!(module.symbol(&memory, "_PyRuntime").unwrap(), None);
            }
        }
    }
}
