//! Who made whom wait, for people.

use std::collections::BTreeMap;

use crate::event::{StacksMissing, file_name};
use crate::model::snapshot::{Basis, BlameFigures, BlamePair, BlameShare, BlameWaiter, Blamed, ProcessFigures};
use crate::report::names::thread_name;
use crate::report::paint;
use crate::time::Ns;
use crate::units;

/// Width of a function's name, and of its file's.
const FUNCTION: (usize, usize) = (32, 24);
/// Width of native code's name.
const NATIVE: usize = 44;
/// Pairs shown one by one.
const PAIRS: usize = 6;
/// Waiters shown one by one.
const WAITERS: usize = 4;
/// Functions of a pair shown one by one.
const FUNCTIONS: usize = 3;
/// A pair, or a function, with a smaller share is not shown.
const LEAST: f64 = 0.01;
/// Less time is not worth a section.
const LEAST_TIME: Ns = Ns(1_000_000);

/// A row: its label, and its parts.
pub(super) type Row = (String, Vec<String>);

/// The rows of the section, each of parts that stay whole; none where nobody has waited.
pub(super) fn rows(process: &ProcessFigures, label: usize) -> Vec<Row> {
    let blame = &process.blame;
    let lost: Ns = blame.pairs.iter().map(|pair| pair.time).sum();
    if lost < LEAST_TIME {
        return Vec::new();
    }
    let is_shown = |pair: &&BlamePair| pair.time.share_of(lost).is_some_and(|share| share >= LEAST);
    let shown: Vec<&BlamePair> = blame.pairs.iter().filter(is_shown).take(PAIRS).collect();
    let mut rows = Vec::new();
    for pair in &shown {
        let waiter = pair.waiter.map_or_else(|| "others".to_owned(), |thread| thread_name(process, thread));
        let holder = match pair.holder {
            Blamed::Thread(thread) => format!("behind {}", thread_name(process, thread)),
            Blamed::Free => "the GIL was free, it had no core yet".to_owned(),
            Blamed::Unknown => "behind a holder that nobody saw".to_owned(),
            Blamed::Others => "behind others".to_owned(),
        };
        let mut parts = vec![holder, pair.time.to_string()];
        parts.extend(pair.time.share_of(lost).map(|share| format!("{} of all waiting", units::percent(share))));
        let (first, rest) = match waiter.chars().count() < label {
            true => (waiter, parts),
            false => (String::new(), std::iter::once(waiter).chain(parts).collect()),
        };
        rows.push((first, rest));
        if matches!(pair.holder, Blamed::Thread(_)) && blame.missing.is_none() {
            let mut parts = functions(&pair.shares, pair.time);
            if let Some(first) = parts.first_mut() {
                first.insert_str(0, "  ");
                rows.push((String::new(), parts));
            }
        }
    }
    let more = blame.pairs.len() - shown.len();
    if more > 0 {
        let rest = lost.saturating_sub(shown.iter().map(|pair| pair.time).sum());
        let share = rest.share_of(lost).map_or_else(String::new, units::percent);
        rows.push((String::new(), vec![format!("{} more pairs, {share} of all waiting", units::count(more as u64))]));
    }
    rows.extend(waiters(process, lost, label));
    rows.push(("stacks".to_owned(), stacks(blame)));
    rows
}

/// Where those who waited most want the GIL back.
fn waiters(process: &ProcessFigures, lost: Ns, label: usize) -> Vec<Row> {
    let is_shown = |waiter: &&BlameWaiter| {
        let sampled = waiter.shares.iter().any(|share| share.basis == Basis::Random);
        sampled && waiter.time.share_of(lost).is_some_and(|share| share >= LEAST)
    };
    let shown = process.blame.waiters.iter().filter(is_shown).take(WAITERS);
    let row = |waiter: &BlameWaiter| {
        let parts = std::iter::once("wants it back in".to_owned()).chain(functions(&waiter.shares, waiter.time));
        let name = thread_name(process, waiter.thread);
        match name.chars().count() < label {
            true => (name, parts.collect()),
            false => (String::new(), std::iter::once(name).chain(parts).collect()),
        }
    };
    shown.map(row).collect()
}

/// A function and its file, and the native code that it was in.
type Place<'a> = (&'a str, &'a str, Option<&'a str>);

/// The time and the samples of a place, and what they rest on.
type Sum = (Ns, u32, Basis);

/// What was executed in a time, by the innermost Python function and the native code that this was in.
fn functions(shares: &[BlameShare], whole: Ns) -> Vec<String> {
    let mut by_place: BTreeMap<Place<'_>, Sum> = BTreeMap::new();
    let mut unsampled = Ns::ZERO;
    for share in shares {
        if share.basis == Basis::Unsampled {
            unsampled += share.time;
            continue;
        }
        let (file, function) =
            share.stack.first().map_or(("", ""), |frame| (frame.file.as_str(), frame.function.as_str()));
        let place = (file, function, share.native.as_deref());
        let sum = by_place.entry(place).or_insert((Ns::ZERO, 0, share.basis));
        (sum.0, sum.1) = (sum.0 + share.time, sum.1.saturating_add(share.samples));
    }
    let mut by_time: Vec<_> = by_place.into_iter().collect();
    by_time.sort_by_key(|(place, (time, ..))| (std::cmp::Reverse(*time), *place));
    let percent = |time: Ns| time.share_of(whole).filter(|share| *share >= LEAST).map(units::percent);
    let mut parts: Vec<String> = Vec::new();
    for ((file, function, native), (time, samples, basis)) in by_time.iter().take(FUNCTIONS) {
        let name = function_name(file, function);
        match (basis, percent(*time)) {
            (Basis::LongHold, _) => parts.push(format!("seen in {name}")),
            (Basis::Random | Basis::Unsampled, Some(share)) => {
                parts.push(format!("{share} {name} (n={})", units::count(u64::from(*samples))));
            }
            (Basis::Random | Basis::Unsampled, None) => continue,
        }
        parts.extend(native.map(|native| format!("in {}", paint::foreign(native, NATIVE))));
    }
    parts.extend(percent(unsampled).map(|share| format!("{share} unsampled")));
    parts
}

fn function_name(file: &str, function: &str) -> String {
    if function.is_empty() && file.is_empty() {
        return "no Python function".to_owned();
    }
    format!("{} in {}", paint::foreign(function, FUNCTION.0), paint::foreign(file_name(file), FUNCTION.1))
}

fn stacks(blame: &BlameFigures) -> Vec<String> {
    let why = match blame.missing {
        None => {
            let mut parts = vec![format!("{} samples at random while somebody waited", units::count(blame.samples))];
            if blame.rejected > 0 {
                parts.push(format!("{} more could not be read", units::count(blame.rejected)));
            }
            if blame.waiter_samples > 0 {
                parts.push(format!("{} of waiters", units::count(blame.waiter_samples)));
            }
            return parts;
        }
        Some(StacksMissing::NotAsked) => "not asked for",
        Some(StacksMissing::UnknownLayout) => "none: the frames of this interpreter cannot be read",
        Some(StacksMissing::Unreadable) => "none: the program's memory cannot be read for them",
    };
    vec![why.to_owned()]
}
