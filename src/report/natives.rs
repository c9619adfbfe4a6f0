//! Long holds in words: how long, in which native code, by whom.

use crate::event::{NativeInfo, NativeKind};
use crate::model::snapshot::{GilFigures, LongHold, ProcessFigures, Release};
use crate::report::names::NAME;
use crate::report::paint;
use crate::units;

/// Long holds that are shown.
const SHOWN: usize = 4;
/// Columns that a function's may.
const FUNCTION: usize = 60;

/// The rows of one GIL: holds in native code, and those of the interpreter that others wait for.
pub(super) fn rows(process: &ProcessFigures, gil: &GilFigures) -> Vec<(&'static str, Vec<String>)> {
    let is_told = |hold: &&LongHold| match hold.native.as_ref().map(|native| native.kind) {
        None => false,
        Some(NativeKind::Interpreter) => hold.release == Release::Never,
        Some(_) => true,
    };
    let mut labels = std::iter::once("long holds").chain(std::iter::repeat(""));
    gil.long_holds
        .iter()
        .filter(is_told)
        .take(SHOWN)
        .filter_map(|hold| Some((labels.next()?, row(process, hold)?)))
        .collect()
}

fn row(process: &ProcessFigures, hold: &LongHold) -> Option<Vec<String>> {
    let native = hold.native.as_deref()?;
    let thread = process.thread(hold.thread);
    let thread =
        thread.map_or_else(|| "a thread that has ended".to_owned(), |thread| paint::foreign(&thread.name, NAME));
    let mut parts = vec![format!("{} in {}", hold.held, name(native))];
    if let Some(detail) = detail(native) {
        parts.push(detail);
    }
    parts.push(format!("by {thread}"));
    parts.push(match (hold.asleep, hold.samples - hold.asleep.min(hold.samples)) {
        (0, _) => "busy".to_owned(),
        (_, 0) => "asleep".to_owned(),
        (asleep, _) => format!("asleep {}", units::percent(asleep as f64 / hold.samples as f64)),
    });
    if hold.holds > 1 {
        parts.push(format!("{} times, up to {}", units::count(hold.holds), hold.longest));
    }
    match (hold.release, hold.ongoing) {
        (Release::Never, Some(_)) if process.ending.is_some() => parts.push("never released to its end".to_owned()),
        (Release::Never, Some(_)) => parts.push("never released so far".to_owned()),
        (Release::Never, None) => parts.push("never released meanwhile".to_owned()),
        (Release::NotKnown, Some(_)) if process.ending.is_none() => parts.push("goes on".to_owned()),
        (Release::NotKnown, _) => {}
    }
    Some(parts)
}

fn name(native: &NativeInfo) -> String {
    paint::foreign(&native.place.to_string(), FUNCTION)
}

fn detail(native: &NativeInfo) -> Option<String> {
    match (&native.through, native.kind) {
        (Some(through), _) => Some(format!("in {}", paint::foreign(&through.to_string(), FUNCTION))),
        (None, NativeKind::CLibrary) => Some("called from ?".to_owned()),
        (None, NativeKind::Interpreter) => Some("the interpreter itself".to_owned()),
        (None, _) => None,
    }
}
