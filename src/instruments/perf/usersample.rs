//! Samples of a task's registers and of the top of its stack, taken apart. Pure.

use perf_event_open_sys::bindings as sys;

use crate::event::Address;
use crate::instruments::perf::record::HEADER;
use crate::target::{Register, Standstill};
use crate::time::MonoNs;

/// Bytes of the stack in each sample: frames of the C library are small, and its caller is what is searched for.
pub(super) const STACK: u32 = 4_096;

/// Longest record of a sample: its header, its time, 34 words about registers, two about the stack, and that.
pub const LONGEST_SAMPLE: usize = HEADER + 8 + 34 * 8 + 16 + STACK as usize;

/// `PERF_SAMPLE_REGS_ABI_64`.
const ABI_64: u64 = 2;

/// The registers that are sampled, as the kernel numbers them (arch/x86/include/uapi/asm/perf_regs.h): all but flags and
/// segments.
#[cfg(target_arch = "x86_64")]
pub(super) const REGISTERS: u64 = 0x00ff_01ff;
/// The same, in their order there, by their DWARF numbers; the instruction is 16, the column of the return address.
#[cfg(target_arch = "x86_64")]
const ORDER: [u16; 17] = [0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15];
#[cfg(target_arch = "x86_64")]
const INSTRUCTION: u16 = 16;

/// The registers that are sampled (arch/arm64/include/uapi/asm/perf_regs.h): x0 to x30, the stack pointer, the instruction.
#[cfg(target_arch = "aarch64")]
pub(super) const REGISTERS: u64 = (1 << 33) - 1;
#[cfg(target_arch = "aarch64")]
const ORDER: [u16; 33] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    31, 32,
];
#[cfg(target_arch = "aarch64")]
const INSTRUCTION: u16 = 32;

/// A task, as it was at an instant.
#[derive(Debug, Clone)]
pub struct UserSample {
    /// When.
    pub at: MonoNs,
    /// Its registers and stack.
    pub standstill: Standstill,
}

impl UserSample {
    /// Takes a whole record apart; `None` for any other, and for a program of 32 bits.
    pub fn parse(record: &[u8]) -> Option<UserSample> {
        let word = |at: usize| record.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let kind = u32::from_le_bytes(*record.first_chunk()?);
        if kind != sys::PERF_RECORD_SAMPLE || word(HEADER + 8)? != ABI_64 {
            return None;
        }
        let registers = HEADER + 16;
        let values = ORDER.iter().enumerate().map(|(index, number)| Some((*number, word(registers + 8 * index)?)));
        let values: Vec<(u16, u64)> = values.collect::<Option<_>>()?;
        let of = |number: u16| values.iter().find(|(other, _)| *other == number).map(|(_, value)| *value);
        let stack = registers + 8 * ORDER.len();
        let length = usize::try_from(word(stack)?).ok()?;
        let bytes = record.get(stack + 8..)?;
        // As many bytes as asked for, and how many of them could be read.
        let there =
            bytes.get(length..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let there = usize::try_from(there).ok()?.min(length);
        let (pc, sp) = (of(INSTRUCTION)?, of(Register::STACK.0)?);
        let mut standstill = Standstill::new(Address(pc), Address(sp), bytes.get(..there)?.to_vec());
        for (number, value) in values {
            if number != INSTRUCTION {
                standstill.set(Register(number), Some(value));
            }
        }
        Some(UserSample { at: MonoNs(word(HEADER)?), standstill })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(registers: usize, stack: &[u64], there: u64) -> Vec<u8> {
        let mut words = vec![77, ABI_64];
        words.extend((0..registers as u64).map(|n| 1_000 + n));
        words.push(stack.len() as u64 * 8);
        words.extend(stack);
        words.push(there);
        let mut bytes = sys::PERF_RECORD_SAMPLE.to_le_bytes().to_vec();
        bytes.extend([0, 0, 0, 0]);
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes
    }

    #[test]
    fn registers_and_stack_are_where_the_kernel_puts_them() {
        let found = UserSample::parse(&sample(ORDER.len(), &[5, 6, 7], 16)).unwrap();
        assert_eq!(found.at, MonoNs(77));
        let of = |number: u16| 1_000 + ORDER.iter().position(|other| *other == number).unwrap() as u64;
        assert_eq!(found.standstill.pc, Address(of(INSTRUCTION)));
        assert_eq!(found.standstill.get(Register::STACK), Some(of(Register::STACK.0)));
        assert_eq!(found.standstill.get(Register(3)), Some(of(3)));
        let cut = &sample(ORDER.len(), &[], 0)[..HEADER + 16 + 8 * (ORDER.len() - 1)];
        assert!(UserSample::parse(cut).is_none());
        let mut other = sample(ORDER.len(), &[5], 8);
        other[0] = 1;
        assert!(UserSample::parse(&other).is_none());
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>, cut: usize) {
            UserSample::parse(&bytes);
            bytes = sample(ORDER.len(), &[1, 2], 16);
            bytes.truncate(cut % (bytes.len() + 1));
            UserSample::parse(&bytes);
        }
    }
}
