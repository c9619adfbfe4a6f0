//! How values lie in a body: variable-length integers, texts, lists, and the types of [`crate::event`].
//!
//! Everything read here is hostile: a length is compared with what is left before anything is allocated.

use crate::event::{
    Address, Build, CaptureInfo, CodePlace, CoreTotals, CostOrigin, Costs, Cpu, Delivery, Departure, Ending, Flag,
    Footprint, Frame, FrameKey, FutexSite, Generation, GilKey, Handlers, Health, InterpreterId, Lags, Lookup, Mode,
    NativeInfo, NativeKey, NativeKind, Origin, PendingKind, PendingSignals, Pid, ProcessInfo, ProcessKey, Progress,
    PythonVersion, RateReason, Refusal, Role, SampleCause, Scope, SeenHolder, Signal, SignalSet, SignalStep,
    SignalsInfo, Sleep, Spent, StackKey, StacksMissing, StepsEnd, SwitchesEnd, ThreadInfo, ThreadKey, Tid, Unwatched,
    WaitingSignals, WindowEnd, cut,
};
use crate::time::{MonoNs, Ns};

/// Longest text that is written; the rest of a longer one is cut off at a character boundary.
pub const MAX_TEXT: usize = 16 * 1024;

/// Most items of a list that are written.
pub const MAX_LIST: usize = 65_536;

/// Most bytes the items of one list take; the rest of a longer list is cut off at an item's boundary.
pub const MAX_LIST_BYTES: usize = 256 * 1024;

/// Why bytes could not be made into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misread {
    /// They are not what this format allows.
    Malformed,
    /// They use a value that a newer minor version has introduced.
    Newer,
}

/// Bytes being read, from the front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Misread> {
        let (first, rest) = self.rest.split_first().ok_or(Misread::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn bytes(&mut self, length: u64) -> Result<&'a [u8], Misread> {
        let length = usize::try_from(length).map_err(|_| Misread::Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Misread::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned integer of at most 64 bits in LEB128.
    pub(super) fn varint(&mut self) -> Result<u64, Misread> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Misread::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Misread::Malformed)
    }

    /// A difference, as [`put_delta`] writes it, applied to `from`.
    pub(super) fn delta(&mut self, from: u64) -> Result<u64, Misread> {
        Ok(from.wrapping_add_signed(unzigzag(self.varint()?)))
    }
}

/// Writes an unsigned integer in LEB128: seven bits a byte, least significant first.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small magnitudes of either sign become small unsigned numbers: 0, -1, 1, -2, 2, ...
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// The difference from `from` to `to`, in the ring of 64-bit numbers: exact for every pair.
pub(super) const fn difference(from: u64, to: u64) -> i64 {
    to.wrapping_sub(from) as i64
}

/// Writes the difference from `from` to `to` as a zigzag varint.
pub(super) fn put_delta(from: u64, to: u64, out: &mut Vec<u8>) {
    put_varint(zigzag(difference(from, to)), out);
}

/// A value with a place in a body.
pub(super) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut Input<'_>) -> Result<Self, Misread>;
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(*self, out);
    }
    fn take(input: &mut Input<'_>) -> Result<u64, Misread> {
        input.varint()
    }
}

macro_rules! narrow {
    ($($type:ty),*) => { $(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_varint(u64::from(*self), out);
            }
            fn take(input: &mut Input<'_>) -> Result<$type, Misread> {
                <$type>::try_from(input.varint()?).map_err(|_| Misread::Malformed)
            }
        }
    )* };
}
narrow!(u8, u16, u32);

impl Wire for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(zigzag(*self), out);
    }
    fn take(input: &mut Input<'_>) -> Result<i64, Misread> {
        Ok(unzigzag(input.varint()?))
    }
}

macro_rules! newtype {
    ($($type:ident),*) => { $(
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(input: &mut Input<'_>) -> Result<$type, Misread> {
                Wire::take(input).map($type)
            }
        }
    )* };
}
newtype!(
    MonoNs,
    Ns,
    Pid,
    Tid,
    Cpu,
    Address,
    ProcessKey,
    ThreadKey,
    GilKey,
    InterpreterId,
    FrameKey,
    StackKey,
    NativeKey
);

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        let text = cut(self, MAX_TEXT);
        put_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    }
    fn take(input: &mut Input<'_>) -> Result<String, Misread> {
        let length = input.varint()?;
        if length > MAX_TEXT as u64 {
            return Err(Misread::Malformed);
        }
        let text = std::str::from_utf8(input.bytes(length)?).map_err(|_| Misread::Malformed)?;
        Ok(text.to_owned())
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        let mut items = Vec::new();
        let mut count = 0u64;
        for item in self.iter().take(MAX_LIST) {
            let whole = items.len();
            item.put(&mut items);
            if items.len() > MAX_LIST_BYTES {
                items.truncate(whole);
                break;
            }
            count += 1;
        }
        put_varint(count, out);
        out.append(&mut items);
    }
    fn take(input: &mut Input<'_>) -> Result<Vec<T>, Misread> {
        let count = input.varint()?;
        // Every item takes a byte at least, so this bounds the list by what is really there.
        if count > MAX_LIST as u64 || count > input.left() as u64 {
            return Err(Misread::Malformed);
        }
        (0..count).map(|_| T::take(input)).collect()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.put(out);
            }
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Option<T>, Misread> {
        match input.byte()? {
            0 => Ok(None),
            1 => T::take(input).map(Some),
            _ => Err(Misread::Malformed),
        }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
    fn take(input: &mut Input<'_>) -> Result<Box<T>, Misread> {
        T::take(input).map(Box::new)
    }
}

/// The last field of its body: where there is none, as before 1.6, it is the whole capture's.
impl Wire for Scope {
    fn put(&self, out: &mut Vec<u8>) {
        if let Scope::Process(process) = self {
            process.put(out);
        }
    }

    fn take(input: &mut Input<'_>) -> Result<Scope, Misread> {
        if input.is_empty() {
            return Ok(Scope::Capture);
        }
        Wire::take(input).map(Scope::Process)
    }
}

/// They stand at the end of their kind, and are missing in recordings of before 1.7: then they are not known.
impl Wire for Lags {
    fn put(&self, out: &mut Vec<u8>) {
        self.asking.put(out);
        self.taking.put(out);
    }

    fn take(input: &mut Input<'_>) -> Result<Lags, Misread> {
        if input.is_empty() {
            return Ok(Lags::default());
        }
        Ok(Lags { asking: Wire::take(input)?, taking: Wire::take(input)? })
    }
}

impl Wire for Signal {
    fn put(&self, out: &mut Vec<u8>) {
        self.number().put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Signal, Misread> {
        Signal::try_from(u8::take(input)?).map_err(|_| Misread::Malformed)
    }
}

impl Wire for SignalSet {
    fn put(&self, out: &mut Vec<u8>) {
        self.mask().put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<SignalSet, Misread> {
        Wire::take(input).map(SignalSet::from_mask)
    }
}

impl<T: Wire> Wire for Lookup<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Lookup::Found(it) => {
                put_varint(0, out);
                it.put(out);
            }
            Lookup::NotYet => put_varint(1, out),
            Lookup::Nowhere => put_varint(2, out),
            Lookup::Unreadable => put_varint(3, out),
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Lookup<T>, Misread> {
        match input.varint()? {
            0 => T::take(input).map(Lookup::Found),
            1 => Ok(Lookup::NotYet),
            2 => Ok(Lookup::Nowhere),
            3 => Ok(Lookup::Unreadable),
            _ => Err(Misread::Newer),
        }
    }
}

/// A struct is its fields, one after the other. New fields go to the end.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $( self.$field.put(out); )*
            }
            fn take(input: &mut Input<'_>) -> Result<$type, Misread> {
                Ok($type { $( $field: Wire::take(input)? ),* })
            }
        }
    };
}

/// An enum is the number of its case, then the case's fields. A number never changes its meaning.
macro_rules! cases {
    ($type:ident { $($number:literal => $case:ident { $($field:ident),* }),* $(,)? }) => {
        impl Wire for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $( $type::$case { $($field),* } => {
                        put_varint($number, out);
                        $( $field.put(out); )*
                    } )*
                }
            }
            fn take(input: &mut Input<'_>) -> Result<$type, Misread> {
                match input.varint()? {
                    $( $number => Ok($type::$case { $( $field: Wire::take(input)? ),* }), )*
                    _ => Err(Misread::Newer),
                }
            }
        }
    };
}

fields!(CaptureInfo { tool_version, start_unix_ns, mode, interval, host, kernel });
fields!(ProcessInfo { pid, cmdline, python, build, libc, cpus_allowed, origin });
fields!(PythonVersion { major, minor, patch });
fields!(ThreadInfo { process, tid, name, role, started });
fields!(Health { ticks, late, failed_reads, torn_reads, dropped_events, own_cpu });
fields!(Costs { exception, armed_switch, record, arming, trace, budget, origin, lags });
fields!(Spent { exceptions, armed_switches, records, arms, traces, cost, worst_second });
fields!(SignalsInfo { main, pending, handlers, caught });
fields!(Handlers { python, keyboard_interrupt, not_python, ignored, default });
fields!(PendingSignals { flag, tripped });
fields!(WaitingSignals { process, main, blocked });
fields!(NativeInfo { kind, place, through });
fields!(CodePlace { module, symbol, offset });
fields!(Frame { file, function, line });
fields!(CoreTotals { cpu, idle, busy, stolen });

cases!(Mode { 0 => Sampled {}, 1 => Fused {}, 2 => Exact {} });
cases!(CostOrigin { 0 => Assumed {}, 1 => Measured {} });
cases!(WindowEnd { 0 => Spent {}, 1 => Birth {}, 2 => Lost { records }, 3 => Paused {}, 4 => Closed {} });
cases!(Refusal { 0 => Registers {}, 1 => Limits {}, 2 => TooManyThreads {}, 3 => NotPermitted {} });
cases!(Build { 0 => Default {}, 1 => FreeThreaded {}, 2 => Debug {} });
cases!(Origin { 0 => Attached {}, 1 => Launched {} });
cases!(Departure { 0 => Asleep {}, 1 => Preempted {} });
cases!(FutexSite { 0 => Cond {}, 1 => Mutex {}, 2 => SwitchCond {}, 3 => SwitchMutex {} });
cases!(SwitchesEnd { 0 => Lost { records }, 1 => TooCostly {}, 2 => Refused {} });
cases!(Role { 0 => Main {}, 1 => Python {}, 2 => Native {} });
cases!(RateReason { 0 => Asked {}, 1 => TooCostly {}, 2 => Recovered {}, 3 => Quiet {} });
cases!(Unwatched { 0 => TooShort {}, 1 => NotPython {}, 2 => Unreadable {}, 3 => TooMany {} });
cases!(Ending { 0 => Exited {}, 1 => Execed { path }, 2 => Finalized {}, 3 => LostSight { reason } });
cases!(PendingKind { 0 => IsTripped {}, 1 => SignalsPending {}, 2 => CallsToDo {} });
cases!(NativeKind { 0 => Interpreter {}, 1 => Extension {}, 2 => Library {}, 3 => CLibrary {}, 4 => Anonymous {} });
cases!(SeenHolder { 0 => OnCore {}, 1 => Asleep {} });
cases!(Footprint { 0 => Known { pss, processes }, 1 => TooLarge {}, 2 => Unreadable {} });
cases!(Flag { 0 => Clear {}, 1 => Set {}, 2 => Unknown {} });
cases!(SignalStep { 0 => Generated {}, 1 => Delivered {}, 2 => Written {} });
cases!(StepsEnd {
    0 => Lost { records },
    1 => Birth {},
    2 => Spent {},
    3 => TooCostly {},
    4 => Yielded {},
    5 => Moved {},
    6 => Refused { why },
    7 => Closed {},
});
cases!(Generation { 0 => Queued {}, 1 => Merged {}, 2 => Ignored {}, 3 => Overflow {} });
cases!(Delivery { 0 => Default {}, 1 => Ignored {}, 2 => Calls { function }, 3 => Unknown {} });
cases!(SampleCause { 0 => Random { every }, 1 => LongHold {} });
cases!(StacksMissing { 0 => NotAsked {}, 1 => UnknownLayout {}, 2 => Unreadable {} });
cases!(Progress { 0 => Moved {}, 1 => NotSeen {}, 2 => Unknown {} });
cases!(Sleep { 0 => Awake {}, 1 => Futex {}, 2 => Syscall { number }, 3 => Elsewhere {}, 4 => Unknown {} });
