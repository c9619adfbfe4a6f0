//! How figures and threads read in a sentence.

use crate::findings::figures;
use crate::model::snapshot::ThreadFigures;
use crate::time::Ns;
use crate::units;

pub(super) fn quoted(thread: &ThreadFigures) -> String {
    match (thread.name.is_empty(), thread.tid) {
        (false, _) => format!("\"{}\"", units::printable(&thread.name, 24)),
        (true, Some(tid)) => format!("thread {}", tid.0),
        (true, None) => "a thread without a name".to_owned(),
    }
}

pub(super) fn percent(share: f64) -> String {
    figures::share(share).map_or("an unknown share".to_owned(), units::percent)
}

pub(super) fn per_time(length: Ns, whole: Ns) -> f64 {
    length.share_of(whole).unwrap_or(0.0)
}

/// `0.98 threads`, `1.00 thread`, `12.3 threads`.
pub(super) fn threads(mean: f64) -> String {
    let number = units::mean_count(mean);
    if number == "1.00" { "1.00 thread".to_owned() } else { format!("{number} threads") }
}

pub(super) fn threads_are(mean: f64) -> String {
    let threads = threads(mean);
    if threads.ends_with('s') { format!("{threads} are") } else { format!("{threads} is") }
}

pub(super) fn threads_queue(mean: f64) -> String {
    let threads = threads(mean);
    if threads.ends_with('s') { format!("{threads} queue") } else { format!("{threads} queues") }
}

/// `3.5 times`.
pub(super) fn times(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() => "many times".to_owned(),
        r if r < 9.95 => format!("{r:.1} times"),
        r => format!("{r:.0} times"),
    }
}
