//! Whether a thread makes progress in bytecode: where its current frame is, and at which instruction.
//!
//! A signal's Python handler runs between two instructions of the main thread. So whether those follow one upon another,
//! or one of them has been going on since the last look, is what an interrupt's delay depends on while the main thread
//! holds the GIL.
//!
//! # What a comparison of two positions proves
//!
//! **Moved** proves progress: between the two looks the thread executed bytecode. CPython stores the instruction pointer in
//! the frame at every instruction (up to 3.10 `f_lasti`, in 3.11 and 3.12 `prev_instr`, later `instr_ptr`), not only before
//! calls: of the nine instructions of an arithmetic loop, 8 to 10 positions are seen on every version.
//!
//! **Not moved proves nothing by itself.** The thread was at the same instruction twice. It may have been there all the
//! time, or have come back: to a call in a loop, or by a jump to itself. Of pairs of looks 1 ms apart these were not told
//! apart, on 3.7 to 3.15, by the instruction alone and with the first slots of the frame, which [`Place`] includes:
//!
//! | main thread | instruction | with slots |
//! |---|---|---|
//! | `sum(range(1 << 60))`, `time.sleep(1000)`, `deque(map(..))` without an end: one C call | 100 % | 100 % |
//! | `while True: pass`, which is a single jump to itself | 100 % | 100 % |
//! | `time.sleep(0.003)` in a loop | 99 to 100 % | 99 to 100 % |
//! | `while True: sum(range(30000))`, calls of 0.3 ms | 99 to 100 % | 99 to 100 % |
//! | `while True: sum(range(300))`, calls of 3 us | 86 to 96 % | 86 to 95 % |
//! | `for i in ..: sum(range(300))`, the same with a loop variable | 85 to 96 % | 31 to 49 % |
//! | a function called in a loop | 19 to 52 % | 14 to 52 % |
//! | a generator iterated over | 19 to 43 % | 19 to 43 % |
//! | `x = (x * 3 + 7) % 1000003` in a loop | 20 to 32 % | 2 to 17 % |
//!
//! What *n* looks in a row say that have not moved: this one instruction takes at least about 1 − 3/*n* of the thread's
//! time (with 95 % confidence, if looks fall at random), be it in one call or in many. So an interrupt may have to wait
//! as long as they went on, or for 3 us. To tell these apart takes somebody who sees every store:
//! [`Place::instruction_word`] is what to watch.

use crate::event::{Address, Progress};
use crate::target::error::ReadError;
use crate::target::memory::Memory;
use crate::target::runtime::Runtime;
use crate::target::threads::{ThreadState, word};

/// How many of a frame's slots are looked at: local variables first, and from 3.11 on the values it computes with.
const SLOTS: usize = 8;
/// Most bytes of a frame in front of its slots.
const MAX_HEADER: usize = 360;
/// Most bytes of bytecode in one code object.
const MAX_CODE: u64 = 1 << 24;
/// How often a frame is looked for that changes while it is read.
const LOOKS: usize = 4;

/// Where a thread's current frame is, and what of it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameLayout {
    /// Of the pointer to the frame in the thread state, or of that to the `cframe`.
    in_thread: u64,
    /// Of the pointer to the frame in the `cframe`, in 3.11 and 3.12.
    in_cframe: Option<u64>,
    /// Of the code object, in the frame.
    code: u64,
    instruction: Instruction,
    slots: u64,
    extent: Extent,
}

/// How a frame names its instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instruction {
    /// By a number, an `int` (up to 3.10): -1 before the first instruction.
    Number(u64),
    /// By a pointer into the code object.
    Pointer(u64),
    /// By a pointer, which need not lead into the code object (3.13 on: free-threaded builds have copies).
    AnyPointer(u64),
}

impl Instruction {
    fn offset(self) -> u64 {
        match self {
            Instruction::Number(offset) | Instruction::Pointer(offset) | Instruction::AnyPointer(offset) => offset,
        }
    }

    fn size(self) -> u64 {
        match self {
            Instruction::Number(_) => 4,
            Instruction::Pointer(_) | Instruction::AnyPointer(_) => 8,
        }
    }
}

/// How far what stands at a frame's slots belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// To where the word at this offset points: `f_valuestack`, behind the local variables (up to 3.10).
    Until(u64),
    /// If the byte at this offset, its owner, is 0, it lies on the thread's own stack of frames, and what is behind
    /// it is written by that thread's bytecode only. Otherwise it lies in a generator, and its end is not known (3.11 on).
    OnStackIfZero(u64),
}

/// Where a thread was in its bytecode at one moment. Two of one thread can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At an instruction.
    At(Place),
    /// It went from frame to frame while it was looked at.
    Moving,
    /// What should be its frame is none. In 3.11 and 3.12 that is so for some instructions whenever C code calls a Python
    /// function or goes on with a generator; a thread can lose its core there.
    Unclear,
    /// It has no frame: it is on its way into its program, or out of it.
    Nowhere,
}

/// An instruction in a frame, at one moment. Nothing to be understood, only to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    frame: Address,
    code: u64,
    instruction: u64,
    slots: Option<[u64; SLOTS]>,
    word: (u64, u64),
}

impl Place {
    /// Where the frame keeps its instruction, and of how many bytes (4 or 8, aligned): the thread stores there whenever it
    /// begins one, as long as this frame is the current one.
    pub fn instruction_word(&self) -> (Address, u64) {
        let (offset, size) = self.word;
        (Address(self.frame.0.wrapping_add(offset)), size)
    }

    /// Whether another look found the thread elsewhere. Slots count if both have them.
    fn differs(&self, other: &Place) -> bool {
        let at = |place: &Place| (place.frame, place.code, place.instruction);
        at(self) != at(other) || matches!((self.slots, other.slots), (Some(mine), Some(its)) if mine != its)
    }
}

impl Position {
    /// What happened since an earlier look at the same thread.
    ///
    /// [`Progress::Moved`] is proved. [`Progress::NotSeen`] is no proof of the opposite: it is what is seen of one long C call,
    /// but also of `while True: pass`, and nearly always of a loop of C calls of 0.3 ms. After *n* looks in a row without
    /// progress, that one instruction takes at least about 1 − 3/*n* of the thread's time (95 % confidence).
    pub fn since(&self, earlier: &Position) -> Progress {
        match (earlier, self) {
            (_, Position::Moving) => Progress::Moved,
            (Position::At(earlier), Position::At(later)) if !later.differs(earlier) => Progress::NotSeen,
            (Position::At(_), Position::At(_) | Position::Nowhere) | (Position::Nowhere, Position::At(_)) => {
                Progress::Moved
            }
            (Position::Moving | Position::Unclear, _) | (_, Position::Unclear) => Progress::Unknown,
            (Position::Nowhere, Position::Nowhere) => Progress::Unknown,
        }
    }
}

/// Looks at one thread's position, over and over.
#[derive(Debug, Clone, Copy)]
pub struct ProgressProbe {
    thread: Address,
    unique_id: (Address, u64),
    layout: FrameLayout,
}

impl ProgressProbe {
    pub(super) fn new(memory: &Memory, runtime: &Runtime, thread: &ThreadState) -> Result<ProgressProbe, ReadError> {
        let unique_id = Address(thread.address.0.wrapping_add(runtime.layout.thread.unique_id));
        let layout = layout(memory, runtime)?;
        Ok(ProgressProbe { thread: thread.address, unique_id: (unique_id, thread.unique_id), layout })
    }

    /// Where the thread is. Two or three reads of together less than 600 bytes, up to four times that if it moves meanwhile.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] and [`ReadError::Fault`] when the thread state is no more.
    pub fn look(&self, memory: &Memory) -> Result<Position, ReadError> {
        let mut unsettled = Position::Unclear;
        for _ in 0..LOOKS {
            let (link, frame) = self.frame(memory)?;
            if frame.0 == 0 {
                return Ok(Position::Nowhere);
            }
            match self.place(memory, link, frame) {
                Ok(Some(place)) => return Ok(Position::At(place)),
                Ok(None) => unsettled = Position::Moving,
                // No frame, or one that has been left meanwhile.
                Err(ReadError::Inconsistent(_) | ReadError::Fault { .. }) => {
                    if memory.read_u64(self.unique_id.0)? != self.unique_id.1 {
                        return Err(ReadError::Inconsistent("its thread state is another one by now"));
                    }
                    if self.frame(memory)? != (link, frame) {
                        unsettled = Position::Moving;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unsettled)
    }

    /// Where the pointer to the current frame is, and that pointer.
    fn frame(&self, memory: &Memory) -> Result<(Address, Address), ReadError> {
        let link = at(self.thread, self.layout.in_thread);
        let pointer = memory.read_ptr(link)?;
        match self.layout.in_cframe {
            Some(_) if pointer.0 == 0 => Ok((link, pointer)),
            Some(offset) => {
                let link = at(pointer, offset);
                match memory.read_ptr(link) {
                    // It was on a stack that has gone with its thread of C (a greenlet's): as good as none.
                    Err(ReadError::Fault { .. }) => Ok((link, UNREADABLE)),
                    frame => Ok((link, frame?)),
                }
            }
            None => Ok((link, pointer)),
        }
    }

    /// The place in a frame; `None` if by the end of the read it was no longer the current one.
    fn place(&self, memory: &Memory, link: Address, frame: Address) -> Result<Option<Place>, ReadError> {
        if !frame.0.is_multiple_of(8) {
            return Err(NO_FRAME);
        }
        let mut buffer = [0u8; MAX_HEADER + SLOTS * 8 + 24];
        let header = self.layout.slots as usize;
        let in_thread = at(self.thread, self.layout.in_thread);
        let mut read = |slots: usize| -> Result<usize, ReadError> {
            let ranges = [
                (frame, header),
                (at(frame, self.layout.slots), slots),
                (link, 8),
                (in_thread, 8),
                (self.unique_id.0, 8),
            ];
            let bytes = buffer.get_mut(..header + slots + 24).ok_or(NO_FRAME)?;
            memory.read_many(&ranges, bytes).map(|()| slots)
        };
        let slots = match read(SLOTS * 8) {
            // The frame may be the last thing before memory ends.
            Err(ReadError::Fault { .. }) => read(0)?,
            slots => slots?,
        };
        let (header, rest) = buffer.split_at_checked(header).ok_or(NO_FRAME)?;
        let (slots, rest) = rest.split_at_checked(slots).ok_or(NO_FRAME)?;
        if word(rest, 16) != self.unique_id.1 {
            return Err(NO_FRAME);
        }
        let expected_in_thread = match self.layout.in_cframe {
            Some(offset) => link.0.wrapping_sub(offset),
            None => frame.0,
        };
        if Address(word(rest, 0)) != frame || word(rest, 8) != expected_in_thread {
            return Ok(None);
        }
        self.layout.parse(frame, header, slots).map(Some)
    }
}

/// The address of no frame.
const UNREADABLE: Address = Address(1);
const NO_FRAME: ReadError = ReadError::Inconsistent("its current frame is none");

fn at(start: Address, offset: u64) -> Address {
    Address(start.0.wrapping_add(offset))
}

impl FrameLayout {
    /// Takes a place from a frame's bytes: those in front of its slots, and of its slots none or all.
    fn parse(&self, frame: Address, header: &[u8], slots: &[u8]) -> Result<Place, ReadError> {
        let possible = |pointer: u64| (1 << 12..1 << 56).contains(&pointer);
        let code = word(header, self.code);
        let raw = word(header, self.instruction.offset());
        let instruction = match self.instruction {
            Instruction::Number(_) => raw & u64::from(u32::MAX),
            Instruction::Pointer(_) | Instruction::AnyPointer(_) => raw,
        };
        let in_code = match self.instruction {
            // -1 is that of a frame that has not begun.
            Instruction::Number(_) => instruction < MAX_CODE || instruction == u64::from(u32::MAX),
            Instruction::Pointer(_) => instruction.wrapping_sub(code) < MAX_CODE && instruction % 2 == 0,
            Instruction::AnyPointer(_) => possible(instruction) && instruction % 2 == 0,
        };
        if !possible(code) || !in_code {
            return Err(NO_FRAME);
        }
        let own = match self.extent {
            Extent::Until(offset) => {
                let length = word(header, offset).wrapping_sub(frame.0.wrapping_add(self.slots));
                if length > 1 << 20 || !length.is_multiple_of(8) {
                    return Err(NO_FRAME);
                }
                length as usize / 8
            }
            Extent::OnStackIfZero(offset) => match header.get(offset as usize) {
                Some(0) => SLOTS,
                _ => 0,
            },
        };
        let mut kept = [0u64; SLOTS];
        for (index, slot) in kept.iter_mut().enumerate().take(own) {
            *slot = word(slots, index as u64 * 8);
        }
        let slots = (!slots.is_empty()).then_some(kept);
        let word = (self.instruction.offset(), self.instruction.size());
        Ok(Place { frame, code, instruction, slots, word })
    }
}

/// The layout of a version.
fn layout(memory: &Memory, runtime: &Runtime) -> Result<FrameLayout, ReadError> {
    let minor = runtime.version.minor;
    match table(minor) {
        Some(layout) => Ok(layout),
        None => {
            let mut bytes = [0u8; 360];
            memory.read(runtime.address, &mut bytes)?;
            from_debug_offsets(&bytes, minor)
        }
    }
}

/// 3.7 to 3.12: `frame`, or `cframe` and `current_frame`, in `PyThreadState` (cpython/pystate.h); `f_code`, `f_lasti`,
/// `f_valuestack`, `f_localsplus` in `PyFrameObject` (cpython/frameobject.h); `f_code`, `prev_instr`, `owner`,
/// `localsplus` in `_PyInterpreterFrame` (pycore_frame.h). Read from the debug information of builds of each.
fn table(minor: u8) -> Option<FrameLayout> {
    let object = |instruction, slots| FrameLayout {
        in_thread: 24,
        in_cframe: None,
        code: 32,
        instruction: Instruction::Number(instruction),
        slots,
        extent: Extent::Until(64),
    };
    let internal = |in_cframe, code, owner| FrameLayout {
        in_thread: 56,
        in_cframe: Some(in_cframe),
        code,
        instruction: Instruction::Pointer(56),
        slots: 72,
        extent: Extent::OnStackIfZero(owner),
    };
    match minor {
        7..=9 => Some(object(104, 360)),
        10 => Some(object(96, 352)),
        11 => Some(internal(8, 32, 69)),
        12 => Some(internal(0, 0, 70)),
        _ => None,
    }
}

/// 3.13 to 3.15: `thread_state.current_frame` and `interpreter_frame` in `_Py_DebugOffsets` (pycore_debug_offsets.h),
/// which is `size`, `previous`, `executable`, `instr_ptr`, `localsplus`, `owner`.
fn from_debug_offsets(bytes: &[u8], minor: u8) -> Result<FrameLayout, ReadError> {
    const IMPLAUSIBLE: ReadError = ReadError::Inconsistent("its debug offsets for frames are impossible");
    let (current_frame, frame) = match minor {
        13 => (184, 224),
        14 => (208, 248),
        15 => (208, 312),
        _ => return Err(ReadError::Inconsistent("its version has frames that are not known")),
    };
    let size = word(bytes, frame);
    let inside = |at: u64, limit: u64, align: u64| {
        let offset = word(bytes, at);
        (offset < limit && offset.is_multiple_of(align)).then_some(offset).ok_or(IMPLAUSIBLE)
    };
    if !(16..=MAX_HEADER as u64).contains(&size) {
        return Err(IMPLAUSIBLE);
    }
    let slots = inside(frame + 32, size, 8)?;
    let code = inside(frame + 16, slots.saturating_sub(7), 8)?;
    let instruction = inside(frame + 24, slots.saturating_sub(7), 8)?;
    // Where `code` is 0 by nature, an instruction at 0 means that nothing was read.
    if instruction == code {
        return Err(IMPLAUSIBLE);
    }
    Ok(FrameLayout {
        in_thread: inside(current_frame, 4096, 8)?,
        in_cframe: None,
        code,
        instruction: Instruction::AnyPointer(instruction),
        slots,
        extent: Extent::OnStackIfZero(inside(frame + 40, slots, 1)?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: Address = Address(0x7f00_0000_1000);
    const CODE: u64 = 0x7f00_0000_8000;

    /// A frame's bytes: words at offsets.
    fn header(layout: &FrameLayout, words: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0u8; layout.slots as usize];
        for (offset, value) in words {
            let at = *offset as usize;
            let length = 8.min(bytes.len() - at);
            bytes[at..at + length].copy_from_slice(&value.to_ne_bytes()[..length]);
        }
        bytes
    }

    fn slots(first: u64) -> Vec<u8> {
        (0..SLOTS as u64).flat_map(|index| (first + index).to_ne_bytes()).collect()
    }

    #[test]
    fn a_frame_of_each_kind() {
        let old = table(8).unwrap();
        let locals = |count: u64| FRAME.0 + old.slots + count * 8;
        let frame = |lasti: u64, count: u64| header(&old, &[(32, CODE), (64, locals(count)), (104, lasti)]);
        let place = old.parse(FRAME, &frame(46, 2), &slots(7)).unwrap();
        assert_eq!((place.instruction, place.slots), (46, Some([7, 8, 0, 0, 0, 0, 0, 0])));
        assert_eq!(place.instruction_word(), (Address(FRAME.0 + 104), 4));
        // What is not the frame's own does not count.
        assert!(
            !old.parse(FRAME, &frame(46, 0), &slots(9))
                .unwrap()
                .differs(&old.parse(FRAME, &frame(46, 0), &slots(7)).unwrap())
        );
        assert_eq!(old.parse(FRAME, &frame(u64::from(u32::MAX), 0), &[]).unwrap().slots, None);
        for (lasti, count) in [(u64::from(u32::MAX) - 1, 0), (1 << 31, 0), (1 << 25, 0), (0, u64::MAX), (0, 1 << 20)] {
            let damaged = header(
                &old,
                &[(32, CODE), (64, FRAME.0.wrapping_add(old.slots).wrapping_add(count.wrapping_mul(8))), (104, lasti)],
            );
            assert!(old.parse(FRAME, &damaged, &slots(0)).is_err(), "{lasti:#x} {count}");
        }
        assert!(old.parse(FRAME, &header(&old, &[(64, locals(0))]), &slots(0)).is_err(), "no code");

        let new = table(12).unwrap();
        let place = new.parse(FRAME, &header(&new, &[(0, CODE), (56, CODE + 200)]), &slots(7)).unwrap();
        assert_eq!(place.slots, Some([7, 8, 9, 10, 11, 12, 13, 14]));
        assert_eq!(place.instruction_word(), (Address(FRAME.0 + 56), 8));
        let in_generator = header(&new, &[(0, CODE), (56, CODE + 200), (64, 1 << 48)]);
        assert_eq!(new.parse(FRAME, &in_generator, &slots(7)).unwrap().slots, Some([0; SLOTS]));
        for instruction in [0, CODE - 2, CODE + 201, CODE + MAX_CODE, u64::MAX] {
            let damaged = header(&new, &[(0, CODE), (56, instruction)]);
            assert!(new.parse(FRAME, &damaged, &slots(7)).is_err(), "{instruction:#x}");
        }
    }

    #[test]
    fn only_a_difference_is_progress() {
        let place = Place { frame: FRAME, code: CODE, instruction: 4, slots: Some([1; SLOTS]), word: (56, 8) };
        let at = Position::At;
        for (later, progress) in [
            (place, Progress::NotSeen),
            (Place { slots: None, ..place }, Progress::NotSeen),
            (Place { slots: Some([2; SLOTS]), ..place }, Progress::Moved),
            (Place { instruction: 6, ..place }, Progress::Moved),
            (Place { frame: Address(FRAME.0 + 80), ..place }, Progress::Moved),
            (Place { code: CODE + 64, ..place }, Progress::Moved),
        ] {
            assert_eq!(at(later).since(&at(place)), progress, "{later:?}");
            assert_eq!(at(place).since(&at(later)), progress, "{later:?}");
        }
        let at = at(place);
        for (earlier, later, progress) in [
            (at, Position::Nowhere, Progress::Moved),
            (Position::Nowhere, at, Progress::Moved),
            (Position::Nowhere, Position::Nowhere, Progress::Unknown),
            (at, Position::Moving, Progress::Moved),
            (Position::Unclear, Position::Moving, Progress::Moved),
            (Position::Moving, Position::Moving, Progress::Moved),
            // It moved during the earlier look; where it was at its end is not known.
            (Position::Moving, at, Progress::Unknown),
            (at, Position::Unclear, Progress::Unknown),
            (Position::Unclear, at, Progress::Unknown),
            (Position::Unclear, Position::Unclear, Progress::Unknown),
        ] {
            assert_eq!(later.since(&earlier), progress, "{earlier:?} {later:?}");
        }
    }

    #[test]
    fn debug_offsets_of_each_version() {
        for (minor, current_frame, frame) in [(13, 184, 224), (14, 208, 248), (15, 208, 312)] {
            let fields = [
                (current_frame, 72),
                (frame, 88),
                (frame + 16, 0),
                (frame + 24, 56),
                (frame + 32, 80),
                (frame + 40, 74),
            ];
            let bytes = |damage: Option<(usize, u64)>| {
                let mut bytes = [0u8; 360];
                for (at, value) in fields.into_iter().chain(damage) {
                    bytes[at..at + 8].copy_from_slice(&u64::to_ne_bytes(value));
                }
                bytes
            };
            let layout = from_debug_offsets(&bytes(None), minor).unwrap();
            assert_eq!((layout.in_thread, layout.code, layout.slots), (72, 0, 80));
            assert_eq!((layout.instruction.offset(), layout.extent), (56, Extent::OnStackIfZero(74)));
            for (at, _) in fields {
                for value in [u64::MAX, u64::MAX - 7, 1 << 40, 5003] {
                    assert!(
                        from_debug_offsets(&bytes(Some((at, value))), minor).is_err(),
                        "3.{minor}: {at} = {value:#x}"
                    );
                }
            }
            assert!(from_debug_offsets(&[0; 360], minor).is_err());
            assert!(from_debug_offsets(&[], minor).is_err());
        }
        assert!(from_debug_offsets(&[0; 360], 16).is_err());
        for minor in 7..=12 {
            assert!(table(minor).unwrap().slots as usize <= MAX_HEADER);
        }
        assert_eq!(table(6), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, slots: Vec<u8>, frame: u64, minor in 7u8..17) {
            let layout = table(minor).map_or_else(|| from_debug_offsets(&bytes, minor), Ok);
            if let Ok(layout) = layout {
                let _any = layout.parse(Address(frame), &bytes, &slots);
            }
        }
    }
}
