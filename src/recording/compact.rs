//! How one event lies in a chunk.
//!
//! The first byte says what follows (the table is in `FORMAT.md`):
//!
//! | byte | meaning |
//! |---|---|
//! | `0x00..=0x1f` | a delimited kind: number, length, body |
//! | `0x20..=0x3f` | a short kind: as many integers as the low two bits say, plus one |
//! | `0x40..=0x7f` | time moves on; no event |
//! | `0x80..=0xbf` | a GIL sample, as what differs from the last one |
//! | `0xc0..=0xdf` | a relation |
//! | `0xe0..=0xff` | a usage, as what differs from the last one |
//!
//! A newer minor may add delimited and short kinds only: a reader can skip both without knowing them.

use super::kinds::{put_body, take_body};
use super::predict::Prediction;
use super::wire::{Input, Misread, difference, put_delta, put_varint, unzigzag, zigzag};
use crate::event::{
    Cpu, DropRequest, Event, GilKey, GilSample, Hold, Placement, Relation, Switches, ThreadKey, Usage, What,
};
use crate::time::{MonoNs, Ns};

const EXTENDED: u8 = 0x1f;
const SHORT: u8 = 0x20;
const TIME: u8 = 0x40;
const SAMPLE: u8 = 0x80;
const RELATION: u8 = 0xc0;
const USAGE: u8 = 0xe0;

const HOLD: u8 = 1 << 0;
const PLACEMENT: u8 = 1 << 1;
const SWITCHES: u8 = 1 << 2;
const WAITERS: u8 = 1 << 3;
const DROP_REQUEST: u8 = 1 << 4;
const OTHER_GIL: u8 = 1 << 5;

const RUN_DELAY: u8 = 1 << 0;
const TIMESLICES: u8 = 1 << 1;
const CONTEXT_SWITCHES: u8 = 1 << 2;

/// What one record in a chunk was.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    /// An event.
    Event(Event),
    /// An event of a kind, or with a value, that a newer minor has introduced.
    Unknown,
}

/// Appends `event` to `out`. `scratch` is working memory.
pub(super) fn put_event(event: &Event, prediction: &mut Prediction, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    if event.at != prediction.at() {
        put_time(event.at, prediction, out);
    }
    match &event.what {
        What::GilSample(sample) => put_sample(sample, prediction, out),
        What::Relation { thread, gil, relation } => put_relation(*thread, *gil, *relation, prediction, out),
        What::Usage { thread, usage } => put_usage(*thread, usage, prediction, out),
        what => {
            scratch.clear();
            if let Some(number) = put_body(what, scratch) {
                match u8::try_from(number) {
                    Ok(number) if number < EXTENDED => out.push(number),
                    _ => {
                        out.push(EXTENDED);
                        put_varint(number, out);
                    }
                }
                put_varint(scratch.len() as u64, out);
                out.extend_from_slice(scratch);
            }
        }
    }
    prediction.observe(event);
}

/// Reads the next record; `None` at the chunk's end.
pub(super) fn take_record(input: &mut Input<'_>, prediction: &mut Prediction) -> Result<Option<Record>, Misread> {
    loop {
        if input.is_empty() {
            return Ok(None);
        }
        let first = input.byte()?;
        let what = match first {
            0..SHORT => {
                let number = if first == EXTENDED { input.varint()? } else { u64::from(first) };
                let length = input.varint()?;
                let mut body = Input::new(input.bytes(length)?);
                match take_body(number, &mut body) {
                    Ok(what) => what,
                    Err(Misread::Newer) => return Ok(Some(Record::Unknown)),
                    Err(Misread::Malformed) => return Err(Misread::Malformed),
                }
            }
            SHORT..TIME => {
                for _ in 0..=(first & 3) {
                    input.varint()?;
                }
                return Ok(Some(Record::Unknown));
            }
            TIME..SAMPLE => {
                take_time(first, input, prediction)?;
                continue;
            }
            SAMPLE..RELATION => take_sample(first, input, prediction)?,
            RELATION..USAGE => take_relation(first, input, prediction)?,
            USAGE.. => take_usage(first, input, prediction)?,
        };
        let event = Event { at: prediction.at(), what };
        prediction.observe(&event);
        return Ok(Some(Record::Event(event)));
    }
}

/// The step from the last time, less the interval that ticks have: six bits here, the rest as an integer.
fn put_time(at: MonoNs, prediction: &mut Prediction, out: &mut Vec<u8>) {
    let expected = prediction.at().0.wrapping_add(prediction.interval().0);
    let surprise = zigzag(difference(expected, at.0));
    out.push(TIME | (surprise & 0x3f) as u8);
    put_varint(surprise >> 6, out);
    prediction.move_to(at);
}

fn take_time(first: u8, input: &mut Input<'_>, prediction: &mut Prediction) -> Result<(), Misread> {
    let high = input.varint()?;
    if high >> 58 != 0 {
        return Err(Misread::Malformed);
    }
    let surprise = unzigzag(high << 6 | u64::from(first & 0x3f));
    let expected = prediction.at().0.wrapping_add(prediction.interval().0);
    prediction.move_to(MonoNs(expected.wrapping_add_signed(surprise)));
    Ok(())
}

fn put_sample(sample: &GilSample, prediction: &Prediction, out: &mut Vec<u8>) {
    let first_at = out.len();
    let mut first = SAMPLE;
    out.push(first);
    if sample.gil != prediction.next_gil() {
        first |= OTHER_GIL;
        put_varint(u64::from(sample.gil.0), out);
    }
    let last = prediction.gil(sample.gil);
    let (hold, placement) = split(sample.hold);
    let (last_hold, last_placement) = split(last.hold);
    if hold != last_hold {
        first |= HOLD;
        put_varint(hold, out);
    }
    if placement != last_placement {
        first |= PLACEMENT;
        put_varint(placement, out);
    }
    if sample.switch_number != last.switch_number {
        first |= SWITCHES;
        put_delta(last.switch_number, sample.switch_number, out);
    }
    if sample.waiters != last.waiters {
        first |= WAITERS;
        put_varint(sample.waiters.map_or(0, |waiters| u64::from(waiters) + 1), out);
    }
    if sample.drop_request != last.drop_request {
        first |= DROP_REQUEST;
        out.push(match sample.drop_request {
            DropRequest::Absent => 0,
            DropRequest::Pending => 1,
            DropRequest::Unknown => 2,
        });
    }
    out[first_at] = first;
}

fn take_sample(first: u8, input: &mut Input<'_>, prediction: &Prediction) -> Result<What, Misread> {
    let gil = if first & OTHER_GIL != 0 { GilKey(narrow(input.varint()?)?) } else { prediction.next_gil() };
    let mut sample = prediction.gil(gil);
    let (mut hold, mut placement) = split(sample.hold);
    if first & HOLD != 0 {
        hold = input.varint()?;
    }
    if first & PLACEMENT != 0 {
        placement = input.varint()?;
    }
    sample.hold = join(hold, placement)?;
    if first & SWITCHES != 0 {
        sample.switch_number = input.delta(sample.switch_number)?;
    }
    if first & WAITERS != 0 {
        sample.waiters = match input.varint()? {
            0 => None,
            more => Some(narrow(more - 1)?),
        };
    }
    if first & DROP_REQUEST != 0 {
        sample.drop_request = match input.byte()? {
            0 => DropRequest::Absent,
            1 => DropRequest::Pending,
            2 => DropRequest::Unknown,
            _ => return Err(Misread::Malformed),
        };
    }
    Ok(What::GilSample(sample))
}

/// The two numbers of a hold: who, and where.
fn split(hold: Hold) -> (u64, u64) {
    match hold {
        Hold::Free => (0, 0),
        Hold::ByUnknown => (1, 0),
        Hold::By { thread, placement } => (
            u64::from(thread.0) + 2,
            match placement {
                None => 0,
                Some(Placement::Unknown) => 1,
                Some(Placement::OnOrQueued(cpu)) => 2 + 2 * u64::from(cpu.0),
                Some(Placement::Asleep(cpu)) => 3 + 2 * u64::from(cpu.0),
            },
        ),
    }
}

fn join(hold: u64, placement: u64) -> Result<Hold, Misread> {
    let holder = match (hold, placement) {
        (0, 0) => return Ok(Hold::Free),
        (1, 0) => return Ok(Hold::ByUnknown),
        (0 | 1, _) => return Err(Misread::Malformed),
        (holder, _) => ThreadKey(narrow(holder - 2)?),
    };
    let placement = match placement {
        0 => None,
        1 => Some(Placement::Unknown),
        on if on % 2 == 0 => Some(Placement::OnOrQueued(Cpu(narrow((on - 2) / 2)?))),
        asleep => Some(Placement::Asleep(Cpu(narrow((asleep - 3) / 2)?))),
    };
    Ok(Hold::By { thread: holder, placement })
}

/// Two bits for the thread: 0 it follows, 1 the same as last, 2 and 3 the next and the one after.
fn put_thread(thread: ThreadKey, prediction: &Prediction, out: &mut Vec<u8>) -> u8 {
    match thread.0.wrapping_sub(prediction.last_thread().0) {
        step @ 0..=2 => step as u8 + 1,
        _ => {
            put_varint(u64::from(thread.0), out);
            0
        }
    }
}

fn take_thread(mode: u8, input: &mut Input<'_>, prediction: &Prediction) -> Result<ThreadKey, Misread> {
    match mode & 3 {
        0 => narrow(input.varint()?).map(ThreadKey),
        step => Ok(ThreadKey(prediction.last_thread().0.wrapping_add(u32::from(step) - 1))),
    }
}

fn put_relation(thread: ThreadKey, gil: GilKey, relation: Relation, prediction: &Prediction, out: &mut Vec<u8>) {
    let first_at = out.len();
    out.push(0);
    let mode = put_thread(thread, prediction, out);
    let other_gil = if prediction.thread(thread).gil.unwrap_or(GilKey(0)) == gil {
        0
    } else {
        put_varint(u64::from(gil.0), out);
        1
    };
    let relation = match relation {
        Relation::Apart => 0,
        Relation::Waiting => 1,
        Relation::HandingOver => 2,
        Relation::Unknown => 3,
    };
    out[first_at] = RELATION | mode << 3 | other_gil << 2 | relation;
}

fn take_relation(first: u8, input: &mut Input<'_>, prediction: &Prediction) -> Result<What, Misread> {
    let thread = take_thread(first >> 3, input, prediction)?;
    let gil = match first >> 2 & 1 {
        0 => prediction.thread(thread).gil.unwrap_or(GilKey(0)),
        _ => GilKey(narrow(input.varint()?)?),
    };
    let relation = match first & 3 {
        0 => Relation::Apart,
        1 => Relation::Waiting,
        2 => Relation::HandingOver,
        _ => Relation::Unknown,
    };
    Ok(What::Relation { thread, gil, relation })
}

fn put_usage(thread: ThreadKey, usage: &Usage, prediction: &Prediction, out: &mut Vec<u8>) {
    let first_at = out.len();
    out.push(0);
    let mut first = USAGE | put_thread(thread, prediction, out) << 3;
    let memory = prediction.thread(thread);
    let last = memory.usage;
    put_on_cpu(difference(last.on_cpu.0, usage.on_cpu.0), difference(memory.usage_at.0, prediction.at().0), out);
    if usage.run_delay != last.run_delay {
        first |= RUN_DELAY;
        put_delta(last.run_delay.0, usage.run_delay.0, out);
    }
    if usage.switches != last.switches {
        first |= CONTEXT_SWITCHES;
        put_switches(last.switches, usage.switches, out);
    }
    let expected = expected_timeslices(&last, usage.switches);
    if usage.timeslices != expected {
        first |= TIMESLICES;
        put_delta(expected, usage.timeslices, out);
    }
    out[first_at] = first;
}

fn take_usage(first: u8, input: &mut Input<'_>, prediction: &Prediction) -> Result<What, Misread> {
    let thread = take_thread(first >> 3, input, prediction)?;
    let memory = prediction.thread(thread);
    let last = memory.usage;
    let step = take_on_cpu(difference(memory.usage_at.0, prediction.at().0), input)?;
    let on_cpu = Ns(last.on_cpu.0.wrapping_add_signed(step));
    let run_delay = if first & RUN_DELAY != 0 { Ns(input.delta(last.run_delay.0)?) } else { last.run_delay };
    let switches = if first & CONTEXT_SWITCHES != 0 { take_switches(last.switches, input)? } else { last.switches };
    let expected = expected_timeslices(&last, switches);
    let timeslices = if first & TIMESLICES != 0 { input.delta(expected)? } else { expected };
    Ok(What::Usage { thread, usage: Usage { on_cpu, run_delay, timeslices, switches } })
}

/// The step of a thread's core time is near nothing if it slept, and near the time that has passed if it ran.
/// One bit tells which of the two the difference is to, six bits of that difference follow, then the rest.
fn put_on_cpu(step: i64, passed: i64, out: &mut Vec<u8>) {
    let from_passed = step.wrapping_sub(passed);
    let (ran, surprise) =
        if from_passed.unsigned_abs() < step.unsigned_abs() { (1, zigzag(from_passed)) } else { (0, zigzag(step)) };
    let first = ran | ((surprise & 0x3f) << 1) as u8;
    match surprise >> 6 {
        0 => out.push(first),
        more => {
            out.push(0x80 | first);
            put_varint(more, out);
        }
    }
}

fn take_on_cpu(passed: i64, input: &mut Input<'_>) -> Result<i64, Misread> {
    let first = input.byte()?;
    let more = if first & 0x80 == 0 { 0 } else { input.varint()? };
    if more >> 58 != 0 {
        return Err(Misread::Malformed);
    }
    let surprise = unzigzag(more << 6 | u64::from(first >> 1 & 0x3f));
    Ok(if first & 1 == 0 { surprise } else { surprise.wrapping_add(passed) })
}

/// Each switch away is followed by a new timeslice.
fn expected_timeslices(last: &Usage, switches: Option<Switches>) -> u64 {
    let (before, now) = (last.switches.unwrap_or_default(), switches.unwrap_or_default());
    last.timeslices
        .wrapping_add(now.voluntary.wrapping_sub(before.voluntary))
        .wrapping_add(now.involuntary.wrapping_sub(before.involuntary))
}

/// 0: not read. 1: two differences follow. From 2 on: both differences, each 0 to 7, in one number.
fn put_switches(last: Option<Switches>, switches: Option<Switches>, out: &mut Vec<u8>) {
    let Some(switches) = switches else {
        return put_varint(0, out);
    };
    let last = last.unwrap_or_default();
    let voluntary = switches.voluntary.wrapping_sub(last.voluntary);
    let involuntary = switches.involuntary.wrapping_sub(last.involuntary);
    if voluntary < 8 && involuntary < 8 {
        put_varint(2 + voluntary * 8 + involuntary, out);
    } else {
        put_varint(1, out);
        put_delta(last.voluntary, switches.voluntary, out);
        put_delta(last.involuntary, switches.involuntary, out);
    }
}

fn take_switches(last: Option<Switches>, input: &mut Input<'_>) -> Result<Option<Switches>, Misread> {
    let last = last.unwrap_or_default();
    Ok(match input.varint()? {
        0 => None,
        1 => {
            let voluntary = input.delta(last.voluntary)?;
            Some(Switches { voluntary, involuntary: input.delta(last.involuntary)? })
        }
        both @ 2..=65 => Some(Switches {
            voluntary: last.voluntary.wrapping_add((both - 2) / 8),
            involuntary: last.involuntary.wrapping_add((both - 2) % 8),
        }),
        _ => return Err(Misread::Malformed),
    })
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, Misread> {
    T::try_from(value).map_err(|_| Misread::Malformed)
}
