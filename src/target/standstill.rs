//! A thread at one instant: its registers and the top of its stack, as far as they are known.

use crate::event::Address;

/// A register by its DWARF number: those of the x86_64 psABI (figure 3.36) and of "DWARF for the Arm 64-bit Architecture".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u16);

/// Number of registers that are kept: the general ones of both machines.
const REGISTERS: usize = 33;

impl Register {
    /// The stack pointer.
    #[cfg(target_arch = "x86_64")]
    pub const STACK: Register = Register(7);
    /// The stack pointer.
    #[cfg(target_arch = "aarch64")]
    pub const STACK: Register = Register(31);

    /// Where the return address is, by the convention of unwinding tables.
    #[cfg(target_arch = "x86_64")]
    pub const RETURN: Register = Register(16);
    /// Where the return address is, by the convention of unwinding tables.
    #[cfg(target_arch = "aarch64")]
    pub const RETURN: Register = Register(30);

    /// Whether a function leaves it as it found it, but for what its unwinding table says.
    pub fn is_preserved(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, 3 | 6 | 12..=15);
        #[cfg(target_arch = "aarch64")]
        return matches!(self.0, 19..=29);
    }
}

/// A thread at one instant.
#[derive(Debug, Clone)]
pub struct Standstill {
    /// Its instruction.
    pub pc: Address,
    registers: [Option<u64>; REGISTERS],
    stack: Address,
    bytes: Vec<u8>,
}

impl Standstill {
    /// With nothing but an instruction known, and memory from `stack` on.
    pub fn new(pc: Address, stack: Address, bytes: Vec<u8>) -> Standstill {
        let mut standstill = Standstill { pc, registers: [None; REGISTERS], stack, bytes };
        standstill.set(Register::STACK, Some(stack.0));
        standstill
    }

    /// A register's value, if it is known.
    pub fn get(&self, register: Register) -> Option<u64> {
        self.registers.get(usize::from(register.0)).copied().flatten()
    }

    /// Notes a register's value.
    pub fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(slot) = self.registers.get_mut(usize::from(register.0)) {
            *slot = value;
        }
    }

    /// All that are kept.
    pub(super) fn registers() -> impl Iterator<Item = Register> {
        (0..REGISTERS as u16).map(Register)
    }

    /// A word of the stack, as far as that was kept.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.stack.0)?).ok()?;
        self.bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}
