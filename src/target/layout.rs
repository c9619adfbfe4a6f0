//! Where CPython keeps what gilscope reads, by version and machine.
//!
//! Up to 3.12 the offsets are tables: they follow from CPython's internal headers (`pycore_runtime.h`,
//! `pycore_interp.h`, `pycore_gil.h`, `cpython/pystate.h`) and were read from the debug information of builds
//! of every minor version. From 3.13 on CPython publishes most of them in `_Py_DebugOffsets`
//! (`pycore_debug_offsets.h`), at the very start of `_PyRuntime`.
//!
//! Nothing in here is trusted by itself: [`Target::attach`](crate::target::Target::attach) checks what it
//! finds at these places before it believes it.

use crate::event::Address;
use crate::target::c_library::LibcKind;
use crate::target::error::ReadError;
use crate::target::memory::Memory;
use crate::target::version::{Detected, Flavour};

/// All offsets, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub runtime: RuntimeLayout,
    pub interpreter: InterpreterLayout,
    pub thread: ThreadLayout,
    pub gil: GilLayout,
}

/// In `_PyRuntimeState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuntimeLayout {
    pub finalizing: u64,
    pub interpreters_head: u64,
    pub interpreters_main: u64,
    /// The main thread's `pthread_t`.
    pub main_thread: u64,
    pub size: RuntimeSize,
}

/// What is known of `sizeof(_PyRuntimeState)`, which the symbol's size has to agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeSize {
    Exactly(u64),
    /// It differs between patch levels.
    AtLeast(u64),
}

/// In `PyInterpreterState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InterpreterLayout {
    pub next: u64,
    pub id: u64,
    pub threads_head: u64,
    pub gil: GilPlace,
}

/// How an interpreter's GIL is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GilPlace {
    /// One for all, in `_PyRuntimeState` (up to 3.11).
    InRuntime(u64),
    /// Behind a pointer in the interpreter (PEP 684).
    BehindInterpreter(u64),
}

/// In `PyThreadState`. `prev`, `next` and `interp` have been its first three fields ever since 3.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadLayout {
    /// The `pthread_t`.
    pub thread_id: u64,
    /// The kernel's task id (3.11 on).
    pub native_thread_id: Option<u64>,
    /// A number that the interpreter never gives twice.
    pub unique_id: u64,
    pub confirm: Confirm,
    pub drop_request: DropPlace,
}

impl ThreadLayout {
    pub const PREV: u64 = 0;
    pub const NEXT: u64 = 8;
    pub const INTERPRETER: u64 = 16;
    /// Most bytes that [`ThreadLayout::length`] returns.
    pub const MAX_LENGTH: usize = 384;

    /// How much of a thread state has to be read to see all of the above.
    pub fn length(&self) -> usize {
        (self.unique_id as usize + 8).min(Self::MAX_LENGTH)
    }
}

/// The second witness that a thread state holds the GIL, beside the GIL's own `last_holder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// `_PyRuntime.gilstate.tstate_current` points to it (up to 3.11).
    RuntimeCurrent(u64),
    /// A bit in a word of the thread state itself.
    Bits { offset: u64, mask: u32 },
}

/// Where a waiter leaves its request that the holder drop the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropPlace {
    /// One word for all (up to 3.8).
    Runtime(u64),
    /// One word an interpreter (3.9 to 3.12).
    Interpreter(u64),
    /// Bit 0 of the holder's `eval_breaker` (3.13 on).
    ThreadBreaker(u64),
}

/// In `struct _gil_runtime_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GilLayout {
    /// Whether there is a GIL at all; free-threaded builds only.
    pub enabled: Option<u64>,
    pub interval: u64,
    pub last_holder: u64,
    pub locked: u64,
    pub switch_number: u64,
    pub cond: u64,
    pub mutex: u64,
    pub switch_cond: u64,
    pub switch_mutex: u64,
    pub size: u64,
}

/// `sizeof(pthread_cond_t)`, the same on all 64-bit Linux.
pub(crate) const COND_SIZE: u64 = 48;

/// Machines that tables exist for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    #[cfg_attr(all(not(target_arch = "x86_64"), not(test)), expect(dead_code, reason = "the other machine"))]
    X86_64,
    #[cfg_attr(all(not(target_arch = "aarch64"), not(test)), expect(dead_code, reason = "the other machine"))]
    Aarch64,
}

impl Machine {
    /// The one gilscope runs on.
    #[cfg(target_arch = "x86_64")]
    pub const HERE: Machine = Machine::X86_64;
    /// The one gilscope runs on.
    #[cfg(target_arch = "aarch64")]
    pub const HERE: Machine = Machine::Aarch64;

    /// `sizeof(pthread_mutex_t)`.
    fn mutex_size(self, libc: LibcKind) -> u64 {
        match (self, libc) {
            (Machine::Aarch64, LibcKind::Glibc) => 48,
            _ => 40,
        }
    }
}

impl GilLayout {
    fn new(flavour: Flavour, mutex_size: u64) -> GilLayout {
        let shift = match flavour {
            Flavour::WithGil => 0,
            Flavour::FreeThreaded => 8,
        };
        let cond = shift + 32;
        let mutex = cond + COND_SIZE;
        let switch_cond = mutex + mutex_size;
        let switch_mutex = switch_cond + COND_SIZE;
        GilLayout {
            enabled: (flavour == Flavour::FreeThreaded).then_some(0),
            interval: shift,
            last_holder: shift + 8,
            locked: shift + 16,
            switch_number: shift + 24,
            cond,
            mutex,
            switch_cond,
            switch_mutex,
            size: switch_mutex + mutex_size,
        }
    }
}

/// Why there is no layout.
#[derive(Debug)]
pub(crate) enum NoLayout {
    /// No table for that version.
    UnknownVersion,
    /// The debug offsets contradict each other.
    Implausible(&'static str),
    /// They could not be read.
    Read(ReadError),
}

impl From<ReadError> for NoLayout {
    fn from(error: ReadError) -> NoLayout {
        NoLayout::Read(error)
    }
}

/// The layout of a version on a machine; `runtime` is `_PyRuntime`'s address.
pub(crate) fn of(
    memory: &Memory,
    runtime: Address,
    detected: &Detected,
    machine: Machine,
    libc: LibcKind,
) -> Result<Layout, NoLayout> {
    match detected.version.minor {
        7..=12 => table(detected.version.minor, machine.mutex_size(libc)).ok_or(NoLayout::UnknownVersion),
        minor @ 13..=15 => {
            let mut bytes = [0u8; DebugFields::MAX_SIZE];
            let fields = DebugFields::of(minor);
            let length = fields.size.min(bytes.len());
            memory.read(runtime, bytes.get_mut(..length).unwrap_or_default())?;
            from_debug_offsets(&bytes, &fields, minor, detected.flavour, machine.mutex_size(libc))
        }
        _ => Err(NoLayout::UnknownVersion),
    }
}

/// 3.7.4 to 3.12.
fn table(minor: u8, mutex_size: u64) -> Option<Layout> {
    // `_PyRuntime.gilstate` of 3.7 and 3.8 lies behind the GIL's two mutexes.
    let behind_gil = 2 * (mutex_size - 40);
    let gil = GilLayout::new(Flavour::WithGil, mutex_size);
    let one_gil = |offset| GilPlace::InRuntime(offset);
    let thread = |thread_id, native_thread_id, unique_id, confirm, drop_request| ThreadLayout {
        thread_id,
        native_thread_id,
        unique_id,
        confirm,
        drop_request,
    };
    let (finalizing, head, main_thread, size, next_id, threads_head, place, thread) = match minor {
        7 => (
            8,
            24,
            720,
            RuntimeSize::Exactly(1520 + behind_gil),
            16,
            8,
            one_gil(1264),
            thread(176, None, 272, Confirm::RuntimeCurrent(1480 + behind_gil), DropPlace::Runtime(716)),
        ),
        8 => (
            16,
            32,
            72,
            RuntimeSize::Exactly(1464 + behind_gil),
            16,
            8,
            one_gil(1152),
            thread(176, None, 256, Confirm::RuntimeCurrent(1368 + behind_gil), DropPlace::Runtime(596)),
        ),
        9 => (
            16,
            32,
            72,
            RuntimeSize::Exactly(656 + behind_gil),
            24,
            8,
            one_gil(352),
            thread(176, None, 256, Confirm::RuntimeCurrent(568 + behind_gil), DropPlace::Interpreter(76)),
        ),
        10 => (
            16,
            32,
            72,
            RuntimeSize::Exactly(672 + behind_gil),
            24,
            8,
            one_gil(352),
            thread(176, None, 256, Confirm::RuntimeCurrent(568 + behind_gil), DropPlace::Interpreter(72)),
        ),
        11 => (
            24,
            40,
            80,
            RuntimeSize::AtLeast(100_000),
            48,
            16,
            one_gil(360),
            thread(152, Some(160), 240, Confirm::RuntimeCurrent(576 + behind_gil), DropPlace::Interpreter(104)),
        ),
        12 => (
            24,
            40,
            64,
            RuntimeSize::AtLeast(300_000),
            8,
            72,
            GilPlace::BehindInterpreter(384),
            thread(136, Some(144), 224, Confirm::Bits { offset: 24, mask: 1 << 4 }, DropPlace::Interpreter(372)),
        ),
        _ => return None,
    };
    Some(Layout {
        runtime: RuntimeLayout { finalizing, interpreters_head: head, interpreters_main: head + 8, main_thread, size },
        interpreter: InterpreterLayout { next: 0, id: next_id, threads_head, gil: place },
        thread,
        gil,
    })
}

/// Where `_Py_DebugOffsets` has its fields: it grew in the middle with each version.
#[derive(Debug, Clone, Copy)]
struct DebugFields {
    size: usize,
    ceval_gil: usize,
    gil: usize,
    gil_locked: usize,
    gil_holder: usize,
    thread_prev: usize,
    thread_next: usize,
    thread_interp: usize,
    thread_id: usize,
    native_thread_id: usize,
    status: usize,
    eval_breaker: Option<usize>,
    holds_gil: Option<usize>,
}

impl DebugFields {
    const MAX_SIZE: usize = 888;
    // These have not moved.
    const RUNTIME_SIZE: usize = 24;
    const FINALIZING: usize = 32;
    const INTERPRETERS_HEAD: usize = 40;
    const INTERPRETER_SIZE: usize = 48;
    const INTERPRETER_ID: usize = 56;
    const INTERPRETER_NEXT: usize = 64;
    const THREADS_HEAD: usize = 72;

    fn of(minor: u8) -> DebugFields {
        match minor {
            13 => DebugFields {
                size: 584,
                ceval_gil: 112,
                gil: 120,
                gil_locked: 136,
                gil_holder: 144,
                thread_prev: 160,
                thread_next: 168,
                thread_interp: 176,
                thread_id: 192,
                native_thread_id: 200,
                status: 216,
                eval_breaker: None,
                holds_gil: None,
            },
            14 => DebugFields {
                size: 760,
                ceval_gil: 120,
                gil: 128,
                gil_locked: 144,
                gil_holder: 152,
                thread_prev: 184,
                thread_next: 192,
                thread_interp: 200,
                thread_id: 216,
                native_thread_id: 224,
                status: 240,
                eval_breaker: Some(712),
                holds_gil: None,
            },
            _ => DebugFields {
                size: 888,
                ceval_gil: 120,
                gil: 128,
                gil_locked: 144,
                gil_holder: 152,
                thread_prev: 184,
                thread_next: 192,
                thread_interp: 200,
                thread_id: 240,
                native_thread_id: 248,
                status: 264,
                eval_breaker: Some(840),
                holds_gil: Some(272),
            },
        }
    }
}

/// 3.13 to 3.15. What CPython does not publish follows from what it does: the fields beside have kept their
/// distances in all builds looked at, on both machines, with and without a GIL.
fn from_debug_offsets(
    bytes: &[u8],
    fields: &DebugFields,
    minor: u8,
    flavour: Flavour,
    mutex_size: u64,
) -> Result<Layout, NoLayout> {
    let at = |field: usize| -> Result<u64, NoLayout> {
        bytes
            .get(field..field + 8)
            .and_then(|word| word.try_into().ok())
            .map(u64::from_le_bytes)
            .ok_or(NoLayout::Implausible("its debug offsets are cut off"))
    };
    let runtime_size = at(DebugFields::RUNTIME_SIZE)?;
    let interpreter_size = at(DebugFields::INTERPRETER_SIZE)?;
    if runtime_size > 1 << 24 || interpreter_size > 1 << 24 {
        return Err(NoLayout::Implausible("its debug offsets name impossible sizes"));
    }
    let inside = |field: usize, size: u64, align: u64| -> Result<u64, NoLayout> {
        let offset = at(field)?;
        if offset.saturating_add(8) > size || offset % align != 0 {
            return Err(NoLayout::Implausible("its debug offsets point outside of their structs"));
        }
        Ok(offset)
    };
    let head = inside(DebugFields::INTERPRETERS_HEAD, runtime_size.saturating_sub(32), 8)?;
    let gil = GilLayout::new(flavour, mutex_size);
    let own_gil = inside(fields.gil, interpreter_size, 8)?;
    if at(fields.gil_locked)? != own_gil + gil.locked || at(fields.gil_holder)? != own_gil + gil.last_holder {
        return Err(NoLayout::Implausible("its GIL has other fields"));
    }
    if at(fields.thread_prev)? != ThreadLayout::PREV
        || at(fields.thread_next)? != ThreadLayout::NEXT
        || at(fields.thread_interp)? != ThreadLayout::INTERPRETER
    {
        return Err(NoLayout::Implausible("its thread states begin otherwise"));
    }
    let thread_size = ThreadLayout::MAX_LENGTH as u64;
    let native_thread_id = inside(fields.native_thread_id, thread_size - 72, 8)?;
    let status = inside(fields.status, thread_size, 4)?;
    let confirm = match fields.holds_gil {
        Some(field) => Confirm::Bits { offset: inside(field, thread_size, 4)?, mask: 1 },
        None if minor == 13 => Confirm::Bits { offset: status, mask: 1 << 5 },
        None => Confirm::Bits { offset: status + 4, mask: 1 },
    };
    Ok(Layout {
        runtime: RuntimeLayout {
            finalizing: inside(DebugFields::FINALIZING, runtime_size, 8)?,
            interpreters_head: head,
            interpreters_main: head + 8,
            main_thread: head + 24,
            size: RuntimeSize::Exactly(runtime_size),
        },
        interpreter: InterpreterLayout {
            next: inside(DebugFields::INTERPRETER_NEXT, interpreter_size, 8)?,
            id: inside(DebugFields::INTERPRETER_ID, interpreter_size, 8)?,
            threads_head: inside(DebugFields::THREADS_HEAD, interpreter_size, 8)?,
            gil: GilPlace::BehindInterpreter(inside(fields.ceval_gil, interpreter_size, 8)?),
        },
        thread: ThreadLayout {
            thread_id: inside(fields.thread_id, thread_size, 8)?,
            native_thread_id: Some(native_thread_id),
            unique_id: native_thread_id + 64,
            confirm,
            drop_request: DropPlace::ThreadBreaker(match fields.eval_breaker {
                Some(field) => inside(field, thread_size, 8)?,
                None => 24,
            }),
        },
        gil,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from the debug information of Debian's and of own builds.
    #[test]
    fn gils_of_both_machines() {
        let x86_64 = GilLayout::new(Flavour::WithGil, Machine::X86_64.mutex_size(LibcKind::Glibc));
        assert_eq!((x86_64.cond, x86_64.mutex, x86_64.switch_cond, x86_64.switch_mutex), (32, 80, 120, 168));
        assert_eq!((x86_64.locked, x86_64.switch_number, x86_64.size), (16, 24, 208));
        let aarch64 = GilLayout::new(Flavour::WithGil, Machine::Aarch64.mutex_size(LibcKind::Glibc));
        assert_eq!((aarch64.mutex, aarch64.switch_cond, aarch64.switch_mutex, aarch64.size), (80, 128, 176, 224));
        let free_threaded = GilLayout::new(Flavour::FreeThreaded, 40);
        assert_eq!((free_threaded.locked, free_threaded.cond, free_threaded.size), (24, 40, 216));
        assert_eq!(Machine::Aarch64.mutex_size(LibcKind::Musl), 40);
    }

    #[test]
    fn tables_of_both_machines() {
        let current = |minor, mutex| match table(minor, mutex).unwrap().thread.confirm {
            Confirm::RuntimeCurrent(offset) => offset,
            Confirm::Bits { .. } => 0,
        };
        assert_eq!([7, 8, 9, 10, 11, 12].map(|minor| current(minor, 40)), [1480, 1368, 568, 568, 576, 0]);
        assert_eq!([7, 8, 9, 10, 11, 12].map(|minor| current(minor, 48)), [1496, 1384, 584, 584, 592, 0]);
        assert_eq!(table(9, 48).unwrap().runtime.size, RuntimeSize::Exactly(672));
        assert!(table(6, 40).is_none() && table(13, 40).is_none());
    }

    #[test]
    fn debug_offsets_that_contradict_themselves_are_refused() {
        let fields = DebugFields::of(13);
        let mut bytes = [0u8; DebugFields::MAX_SIZE];
        let mut set = |field: usize, value: u64| bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
        for (field, value) in [
            (DebugFields::RUNTIME_SIZE, 283_320),
            (DebugFields::FINALIZING, 608),
            (DebugFields::INTERPRETERS_HEAD, 632),
            (DebugFields::INTERPRETER_SIZE, 194_968),
            (DebugFields::INTERPRETER_ID, 7272),
            (DebugFields::INTERPRETER_NEXT, 7264),
            (DebugFields::THREADS_HEAD, 7344),
            (fields.ceval_gil, 16),
            (fields.gil, 7752),
            (fields.gil_locked, 7768),
            (fields.gil_holder, 7760),
            (fields.thread_next, 8),
            (fields.thread_interp, 16),
            (fields.thread_id, 152),
            (fields.native_thread_id, 160),
            (fields.status, 32),
        ] {
            set(field, value);
        }
        let layout = from_debug_offsets(&bytes, &fields, 13, Flavour::WithGil, 40).unwrap();
        assert_eq!(layout.thread.unique_id, 224);
        assert_eq!(layout.thread.confirm, Confirm::Bits { offset: 32, mask: 32 });
        assert_eq!(layout.runtime.main_thread, 656);
        assert!(layout.thread.length() <= ThreadLayout::MAX_LENGTH);
        for field in [
            DebugFields::INTERPRETERS_HEAD,
            DebugFields::INTERPRETER_NEXT,
            DebugFields::THREADS_HEAD,
            fields.gil,
            fields.gil_locked,
            fields.thread_next,
            fields.thread_id,
            fields.native_thread_id,
        ] {
            for value in [u64::MAX, u64::MAX - 7, 1 << 40, 3] {
                let mut damaged = bytes;
                damaged[field..field + 8].copy_from_slice(&value.to_le_bytes());
                let refused = from_debug_offsets(&damaged, &fields, 13, Flavour::WithGil, 40);
                assert!(matches!(refused, Err(NoLayout::Implausible(_))), "field {field} = {value:#x}");
            }
        }
        assert!(from_debug_offsets(&bytes, &fields, 13, Flavour::FreeThreaded, 40).is_err());
        assert!(from_debug_offsets(&[0; 8], &fields, 13, Flavour::WithGil, 40).is_err());
    }
}
