//! Where `is_tripped` is up to 3.11: a static variable without a symbol, which exported code begins by testing.

use crate::event::Address;
use crate::target::elf::{Module, SegmentAccess};
use crate::target::error::ReadError;
use crate::target::memory::Memory;

/// How much of the function is looked at: its prologue and the test are over by then.
const LENGTH: usize = 64;

/// The exported function that returns at once unless `is_tripped` (Modules/signalmodule.c of that version).
fn function(minor: u8) -> Option<&'static str> {
    match minor {
        7 => Some("PyErr_CheckSignals"),
        8 => Some("_PyErr_CheckSignals"),
        9..=11 => Some("_PyErr_CheckSignalsTstate"),
        _ => None,
    }
}

/// The word that the function tests, if it lies in the module's data; on another machine than x86_64 there is none.
pub(super) fn is_tripped(memory: &Memory, module: &Module, minor: u8) -> Result<Option<Address>, ReadError> {
    let Some(name) = function(minor).filter(|_| cfg!(target_arch = "x86_64")) else { return Ok(None) };
    let Some(symbol) = module.symbol(memory, name)? else { return Ok(None) };
    let mut code = [0u8; LENGTH];
    match memory.read(symbol.address, &mut code) {
        Ok(()) => {}
        Err(ReadError::Fault { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let is_data = |word: Address| {
        module.segments().iter().filter(|it| it.access == SegmentAccess::Data).any(|it| {
            let end = it.start.0.saturating_add(it.length);
            word.0 >= it.start.0 && word.0.saturating_add(4) <= end
        })
    };
    Ok(tested_word(&code, symbol.address).filter(|word| word.0 % 4 == 0 && is_data(*word)))
}

/// The address of the first word of 32 bits that x86_64 code at `start` loads and compares with 0:
/// `mov REG, [rip + N]` with `test REG, REG` behind it, or `cmp dword [rip + N], 0`.
fn tested_word(code: &[u8], start: Address) -> Option<Address> {
    let behind = |end: usize, displacement: [u8; 4]| {
        let next = start.0.wrapping_add(end as u64);
        Address(next.wrapping_add_signed(i64::from(i32::from_le_bytes(displacement))))
    };
    code.windows(8).enumerate().find_map(|(at, bytes)| match *bytes {
        [0x8b, load, a, b, c, d, 0x85, test] if load & 0xc7 == 0x05 && test == 0xc0 | load & 0x38 | load >> 3 & 7 => {
            Some(behind(at + 6, [a, b, c, d]))
        }
        [0x83, 0x3d, a, b, c, d, 0, _] => Some(behind(at + 7, [a, b, c, d])),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As GCC 12 compiles it.
    #[test]
    fn the_first_word_that_is_tested() {
        let at_once = [0x8b, 0x05, 0x82, 0xfb, 0x14, 0x00, 0x85, 0xc0, 0x75, 0x06, 0x31, 0xc0, 0xc3];
        assert_eq!(tested_word(&at_once, Address(0x1e_36d0)), Some(Address(0x33_3258)));
        let behind_a_prologue = [
            0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53, 0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x3c, 0x24,
            0x8b, 0x05, 0x68, 0x44, 0x2e, 0x00, 0x85, 0xc0, 0x75, 0x14,
        ];
        assert_eq!(tested_word(&behind_a_prologue, Address(0x2d_4f50)), Some(Address(0x5b_93d0)));
        // ECX, and backwards.
        let other_register = [0x8b, 0x0d, 0xfa, 0xff, 0xff, 0xff, 0x85, 0xc9];
        assert_eq!(tested_word(&other_register, Address(0x1000)), Some(Address(0x1000)));
        let compared = [0x90, 0x83, 0x3d, 0x10, 0, 0, 0, 0, 0x74, 0x05];
        assert_eq!(tested_word(&compared, Address(0x1000)), Some(Address(0x1018)));
        // Another register is tested; the load is of 64 bits; nothing is tested.
        for other in [
            &[0x8b, 0x05, 0, 0, 0, 0, 0x85, 0xc9, 0, 0][..],
            &[0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x48, 0x85, 0xc0],
            &[0x90; 64],
            &[],
        ] {
            assert_eq!(tested_word(other, Address(0)), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(code: Vec<u8>, start: u64) {
            tested_word(&code, Address(start));
        }
    }
}
