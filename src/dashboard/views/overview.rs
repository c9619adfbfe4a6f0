//! The overview: threads, the GIL on the cores, waits and holds; all of them, or one alone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::mouse::Spot;
use crate::dashboard::state::Panel;
use crate::dashboard::theme::Theme;
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{durations, lanes, take_top, threads};

/// Lines of durations: title, summary, buckets.
const DURATIONS: u16 = 9;
/// Lines that the threads keep before others get any.
const THREADS: u16 = 8;

/// Where its panels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// The thread table.
    pub threads: Rect,
    /// The lanes.
    pub lanes: Rect,
    /// The histograms.
    pub durations: Rect,
}

/// Shares `body` among the panels. One that gets nothing has an empty place.
pub fn places(view: &ViewModel<'_>, mut body: Rect) -> Places {
    let mut places = Places::default();
    match view.panel {
        Panel::Threads => places.threads = body,
        Panel::Lanes => places.lanes = body,
        Panel::Durations => places.durations = body,
        Panel::All => {
            let spare = body.height.saturating_sub(THREADS);
            // Waiters and axis need a core or two above them to mean anything.
            let lanes = lanes::wanted(view).min(spare.max(spare / 2));
            let lanes = if lanes >= 4 { lanes } else { 0 };
            let spare = spare - lanes;
            let durations = if spare >= 5 { spare.min(DURATIONS) } else { 0 };
            // A short table leaves its room to the histograms.
            let rows = u16::try_from(view.threads.rows.len()).unwrap_or(u16::MAX).max(6).saturating_add(2);
            let threads = body.height - lanes - durations;
            let left = threads.saturating_sub(rows.max(THREADS));
            let durations = if durations > 0 { durations + left.min(8) } else { 0 };
            places.threads = take_top(body.height - lanes - durations, &mut body);
            places.lanes = take_top(lanes, &mut body);
            places.durations = take_top(durations, &mut body);
        }
    }
    places
}

/// Rows of the thread table that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    threads::page(places(view, area).threads)
}

/// What can be pointed at.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, Spot)> {
    threads::spots(view, places(view, area).threads)
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let places = places(view, area);
    for (place, draw) in [
        (places.threads, threads::draw as fn(&ViewModel<'_>, Theme, Rect, &mut Buffer)),
        (places.lanes, lanes::draw),
        (places.durations, durations::draw),
    ] {
        if !place.is_empty() {
            draw(view, theme, place, buffer);
        }
    }
}
