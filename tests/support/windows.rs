//! What the threads stamped themselves, in the windows of the watchpoints alone.

use std::ops::Range;

use gilscope::event::{Event, What};

use super::truth::Truth;

/// A stamp and the hit beside it are a few instructions apart, and an exception.
const STAMP: u64 = 60_000;

/// From the first hit of each window to its end.
pub fn windows(events: &[Event]) -> Vec<Range<u64>> {
    let mut windows = Vec::new();
    let (mut open, mut first) = (false, None);
    for event in events {
        match event.what {
            What::WindowBegins { .. } => (open, first) = (true, None),
            What::LockWritten { .. } if open => first = first.or(Some(event.at.0)),
            What::WindowEnds { .. } => {
                windows.extend(first.take().map(|first| first..event.at.0));
                open = false;
            }
            _ => {}
        }
    }
    windows
}

/// The lengths of the intervals that lie in a window whole, sorted, and how many may.
pub fn within(windows: &[Range<u64>], intervals: impl Iterator<Item = Range<u64>>) -> (Vec<u64>, usize) {
    let (mut whole, mut doubtful) = (Vec::new(), 0);
    for interval in intervals {
        let is_in = |window: &Range<u64>, margin: u64| {
            interval.start + margin >= window.start && interval.end <= window.end + margin
        };
        if windows.iter().any(|window| is_in(window, 0)) {
            whole.push(interval.end - interval.start);
        } else if windows.iter().any(|window| is_in(window, STAMP)) {
            doubtful += 1;
        }
    }
    whole.sort_unstable();
    (whole, doubtful)
}

/// Whether one window shows both instants.
pub fn in_one(windows: &[Range<u64>], instants: [u64; 2]) -> bool {
    windows.iter().any(|window| instants.iter().all(|at| window.contains(at)))
}

/// From request to drop, where a window shows the sleep before it as well: without that it may have been the thread's first.
pub fn whole_requests<'a>(truth: &Truth, windows: &'a [Range<u64>]) -> impl Iterator<Item = Range<u64>> + 'a {
    let requests = truth.requests().into_iter().filter(|request| in_one(windows, [request.slept, request.asked]));
    requests.map(|request| request.asked..request.dropped)
}
