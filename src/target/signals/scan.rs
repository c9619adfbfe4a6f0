//! The search for `Handlers[]` up to 3.11, where it is a static variable without a symbol.

use crate::event::Address;
use crate::target::elf::{Module, SegmentAccess};
use crate::target::error::ReadError;
use crate::target::memory::Memory;
use crate::target::signals::table::{self, Entries, Objects, TABLE_BYTES, TABLE_WORDS};

/// Most of a module's data that is searched. That takes some 30 ms; a CPython has 1 to 3 MiB of data.
const MAX_SCAN: u64 = 64 << 20;
/// How much is read at once.
const CHUNK: u64 = 1 << 20;

/// What the objects in a table have to be, as far as the module's symbols tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// `PyLong_Type`, of which the object for `SIG_DFL` is.
    pub integer_type: Option<Address>,
    /// `_Py_NoneStruct`.
    pub none: Option<Address>,
}

/// The table in the data of a module, if there is one and only one.
pub(super) fn find(
    memory: &Memory,
    module: &Module,
    expected: Expected,
) -> Result<Option<(Address, Objects)>, ReadError> {
    let mut found = Vec::new();
    let mut left = MAX_SCAN;
    let mut words = Vec::new();
    for segment in module.segments().iter().filter(|it| it.access == SegmentAccess::Data) {
        let start = segment.start.0.next_multiple_of(8);
        let end = segment.start.0.saturating_add(segment.length.min(left));
        left = left.saturating_sub(segment.length);
        let mut at = start;
        while at.saturating_add(TABLE_BYTES) <= end {
            // Chunks overlap, so that a table is whole in one of them.
            let length = (end - at).min(CHUNK + TABLE_BYTES) / 8;
            words.resize(length as usize, 0u64);
            match memory.read(Address(at), object::pod::bytes_of_slice_mut(&mut words)) {
                Ok(()) => {
                    for (index, objects) in candidates(&words) {
                        if is_expected(memory, objects, expected)? {
                            found.push((Address(at.wrapping_add(index as u64 * 8)), objects));
                        }
                    }
                }
                // A part that is protected, or gone.
                Err(ReadError::Fault { .. }) => {}
                Err(error) => return Err(error),
            }
            at = at.saturating_add(CHUNK);
        }
    }
    found.dedup_by_key(|(address, _)| *address);
    Ok(match found.as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

/// Every place among words at which a table may begin.
fn candidates(words: &[u64]) -> impl Iterator<Item = (usize, Objects)> + '_ {
    words.windows(TABLE_WORDS).enumerate().filter_map(|(index, window)| {
        // Entry 0, SIGKILL and SIGSTOP rule out nearly all places at once.
        let function = |number: usize| window.get(number * 2 + 1).copied().unwrap_or(0);
        if window.first() != Some(&0) || function(0) != 0 || function(9) == 0 || function(9) != function(19) {
            return None;
        }
        let entries = Entries::parse(window).ok().filter(Entries::is_filled)?;
        Some((index, Objects::of(&entries).ok()??))
    })
}

/// Whether the objects are what they have to be: an integer 0, and `None`.
fn is_expected(memory: &Memory, objects: Objects, expected: Expected) -> Result<bool, ReadError> {
    let Some(zero) = table::small_integer(memory, objects.default)? else { return Ok(false) };
    Ok(zero.value == 0
        && expected.integer_type.is_none_or(|it| it.0 == zero.of_type)
        && expected.none.is_none_or(|it| it.0 == objects.none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pid;
    use crate::target::elf::Segment;
    use crate::target::signals::table::tests::{DEFAULT, NONE, filled};

    fn search(data: &[u64], expected: Expected) -> Option<u64> {
        let memory = Memory::open(Pid(std::process::id())).unwrap();
        let start = Address(data.as_ptr().addr() as u64);
        let segment = Segment { start, length: data.len() as u64 * 8, access: SegmentAccess::Data };
        let found = find(&memory, &Module::without_symbols(vec![segment]), expected).unwrap();
        found.map(|(address, _)| (address.0 - start.0) / 8)
    }

    /// A table whose `SIG_DFL` is a real integer object.
    fn real(zero: &[u64; 4]) -> [u64; TABLE_WORDS] {
        filled(0x5000, 0x6000).map(|word| if word == DEFAULT { zero.as_ptr().addr() as u64 } else { word })
    }

    const UNKNOWN: Expected = Expected { integer_type: None, none: None };

    #[test]
    fn the_one_table_is_found_wherever_it_lies() {
        let zero = [1u64, 0x9000, 0, 0];
        let chunk = CHUNK as usize / 8;
        for at in [0, 1, 77, chunk - TABLE_WORDS, chunk - 1, chunk, chunk + 3, 2 * chunk] {
            let mut data = vec![0u64; 2 * chunk + TABLE_WORDS];
            data[at..at + TABLE_WORDS].copy_from_slice(&real(&zero));
            assert_eq!(search(&data, UNKNOWN), Some(at as u64), "{at}");
            let typed = Expected { integer_type: Some(Address(0x9000)), none: Some(Address(NONE)) };
            assert_eq!(search(&data, typed), Some(at as u64), "{at}");
        }
    }

    #[test]
    fn two_tables_or_none_are_not_found() {
        let zero = [1u64, 0x9000, 0, 0];
        let mut data = vec![0u64; 1024];
        assert_eq!(search(&data, UNKNOWN), None);
        data[8..8 + TABLE_WORDS].copy_from_slice(&real(&zero));
        for other in [
            Expected { integer_type: Some(Address(0x9010)), none: None },
            Expected { integer_type: None, none: Some(Address(0x9010)) },
        ] {
            assert_eq!(search(&data, other), None);
        }
        data[512..512 + TABLE_WORDS].copy_from_slice(&real(&zero));
        assert_eq!(search(&data, UNKNOWN), None);
        assert_eq!(search(&data[..512], UNKNOWN), Some(8));
        // Cut off, or its `SIG_DFL` another number, or nowhere.
        assert_eq!(search(&data[..8 + TABLE_WORDS - 1], UNKNOWN), None);
        let one = [1u64, 0x9000, 1, 1];
        assert_eq!(search(&real(&one), UNKNOWN), None);
        assert_eq!(search(&filled(0x5000, 0x6000), UNKNOWN), None);
    }
}
