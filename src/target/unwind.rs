//! From a frame to the one that called it, by the unwinding tables that every module has in memory (`.eh_frame`).
//!
//! Nothing is guessed: where a table needs a register whose value is not known, or there is none, the caller is not known.
//! That is why this is not done by a crate that wants the frame pointer: of a thread that sleeps, the kernel tells
//! the stack pointer and the instruction only. Tables are read from the target's memory, no more than what one step needs.
//! Formats: the Linux Standard Base Core, "Exception Frames".

use gimli::{BaseAddresses, CfaRule, EhFrame, EhFrameOffset, LittleEndian, RegisterRule, UnwindContext, UnwindSection};

use crate::event::Address;
use crate::target::elf::Module;
use crate::target::memory::Memory;
use crate::target::standstill::{Register, Standstill};

/// Longest entry of a table that is read. Real ones have some hundred bytes.
const MAX_ENTRY: u32 = 64 << 10;
/// Functions of one module that a table may list; the largest modules have some millions.
const MAX_FUNCTIONS: u64 = 1 << 26;
/// `DW_EH_PE_sdata4 | DW_EH_PE_datarel`, which linkers write `.eh_frame_hdr`'s table in.
const TABLE_ENCODING: u8 = 0x3b;
/// `DW_EH_PE_udata4`, for its length.
const COUNT_ENCODING: u8 = 0x03;

/// The entry of the table for one function.
pub(crate) struct Frame {
    section: Vec<u8>,
    bases: BaseAddresses,
    /// Where the description lies behind what it shares with others.
    offset: usize,
    /// Where the function begins.
    pub start: Address,
    /// How long it is.
    pub length: u64,
}

/// Which of the frames, counted from the innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The innermost: the instruction is the next one to be executed.
    Innermost,
    /// It has called another one: the instruction is the one behind the call.
    Caller,
}

impl Frame {
    /// The one for the code at `address`; `None` if the module's tables have none.
    pub fn find(memory: &Memory, module: &Module, address: Address) -> Option<Frame> {
        let description = Address(described_at(memory, module, address)?);
        let (mut function, shared_at) = entry(memory, description)?;
        let (shared, _) = entry(memory, Address(shared_at))?;
        // One behind the other, as if they were a whole section. What they refer to relatively stays right for the function.
        let offset = shared.len();
        let distance = u32::try_from(offset + 4).ok()?;
        function.get_mut(4..8)?.copy_from_slice(&distance.to_le_bytes());
        let section = [shared, function].concat();
        let bases = BaseAddresses::default().set_eh_frame(description.0.wrapping_sub(offset as u64));
        let mut frame = Frame { section, bases, offset, start: Address(0), length: 0 };
        let (start, length) = frame.with(|_, described| Some((described.initial_address(), described.len())))?;
        (frame.start, frame.length) = (Address(start), length);
        (address.0.wrapping_sub(start) < length).then_some(frame)
    }

    fn with<T>(
        &self,
        ask: impl FnOnce(&EhFrame<Slice<'_>>, &gimli::FrameDescriptionEntry<Slice<'_>>) -> Option<T>,
    ) -> Option<T> {
        let mut section = EhFrame::new(&self.section, LittleEndian);
        section.set_address_size(8);
        #[cfg(target_arch = "aarch64")]
        section.set_vendor(gimli::Vendor::AArch64);
        let described = section
            .fde_from_offset(&self.bases, EhFrameOffset(self.offset), |section, bases, offset| {
                section.cie_from_offset(bases, offset)
            })
            .ok()?;
        ask(&section, &described)
    }

    /// What the caller's frame was like; `None` if that is not known, or there is no caller.
    pub fn caller(&self, at: &Standstill, depth: Depth) -> Option<Standstill> {
        self.with(|section, described| {
            // A call may be a function's last instruction. A signal's frame was not made by one.
            let asked = match depth {
                Depth::Innermost => at.pc.0,
                Depth::Caller if described.is_signal_trampoline() => at.pc.0,
                Depth::Caller => at.pc.0.wrapping_sub(1),
            };
            let mut context = UnwindContext::new();
            let row = described.unwind_info_for_address(section, &self.bases, &mut context, asked).ok()?;
            let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
            let cfa = at.get(Register(register.0))?.wrapping_add_signed(offset);
            let value = |register: Register| {
                let rule = row.register(gimli::Register(register.0));
                let kept = match register {
                    Register::RETURN => depth == Depth::Innermost && cfg!(target_arch = "aarch64"),
                    register => register.is_preserved(),
                };
                match rule {
                    Some(RegisterRule::Offset(offset)) => at.word(cfa.wrapping_add_signed(offset)),
                    Some(RegisterRule::ValOffset(offset)) => Some(cfa.wrapping_add_signed(offset)),
                    Some(RegisterRule::Register(other)) => at.get(Register(other.0)),
                    Some(RegisterRule::SameValue) => at.get(register),
                    None if kept => at.get(register),
                    // The outermost frame says so of its return address.
                    _ => None,
                }
            };
            let pc = stripped(value(Register::RETURN)?);
            let mut caller = at.clone();
            for register in Standstill::registers() {
                caller.set(register, value(register));
            }
            caller.set(Register::STACK, Some(cfa));
            caller.pc = Address(pc);
            // Stacks grow downwards: a caller's frame lies above, but for a leaf of aarch64.
            let grown = cfa > at.get(Register::STACK)? || depth == Depth::Innermost;
            (pc != 0 && grown).then_some(caller)
        })
    }
}

type Slice<'a> = gimli::EndianSlice<'a, LittleEndian>;

/// Without the bits that sign it (pointer authentication of aarch64).
fn stripped(address: u64) -> u64 {
    if cfg!(target_arch = "aarch64") { address & ((1 << 48) - 1) } else { address }
}

/// Searches a module's `.eh_frame_hdr` for the description of the function that may have the code at `address`.
fn described_at(memory: &Memory, module: &Module, address: Address) -> Option<u64> {
    let (header, length) = module.frames()?;
    let [version, pointer, count, table] = memory.read_u32(header).ok()?.to_le_bytes();
    let pointer = match pointer & 0x0f {
        0x03 | 0x0b => 4,
        0x00 | 0x04 | 0x0c => 8,
        _ => return None,
    };
    if version != 1 || count != COUNT_ENCODING || table != TABLE_ENCODING {
        return None;
    }
    let number = u64::from(memory.read_u32(Address(header.0.wrapping_add(4 + pointer))).ok()?);
    let table = header.0.wrapping_add(8 + pointer);
    if number == 0 || number > MAX_FUNCTIONS || number * 8 > length {
        return None;
    }
    let at = |index: u64| {
        let entry = memory.read_u64(Address(table.wrapping_add(index * 8))).ok()?;
        let place = |word: u64| header.0.wrapping_add_signed(i64::from(word as u32 as i32));
        Some((place(entry), place(entry >> 32)))
    };
    // The last that begins at the address or before it.
    let (mut from, mut until) = (0, number);
    while from + 1 < until {
        let middle = from + (until - from) / 2;
        if at(middle)?.0 <= address.0 { from = middle } else { until = middle }
    }
    let (start, description) = at(from)?;
    (start <= address.0).then_some(description)
}

/// An entry of `.eh_frame`, with its length before it, and where that lies which it shares with others.
fn entry(memory: &Memory, at: Address) -> Option<(Vec<u8>, u64)> {
    let length = memory.read_u32(at).ok()?;
    if !(4..=MAX_ENTRY).contains(&length) {
        return None;
    }
    let mut bytes = vec![0; length as usize + 4];
    memory.read(at, &mut bytes).ok()?;
    let distance = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((bytes, at.0.wrapping_add(4).wrapping_sub(u64::from(distance))))
}
