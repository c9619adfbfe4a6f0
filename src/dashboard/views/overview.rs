//! The overview: the GIL over time, threads, the GIL on the cores, waits and holds; all of them, or one alone; and one
//! thread in full.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::mouse::Spot;
use crate::dashboard::state::Panel;
use crate::dashboard::theme::{Depth, Symbols, Theme};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{details, durations, figures, lanes, take_top, threads};

/// Lines of durations: title, summary, buckets.
const DURATIONS: u16 = 9;
/// Lines that the threads keep before others get any.
const THREADS: u16 = 8;
/// Lines that they keep beside one of them in full; on a screen with fewer than twice as many they give way to it.
const BESIDE_DETAILS: u16 = 6;
/// From this height on there is room for the figures over time.
const WITH_FIGURES: u16 = 26;

/// Where its panels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// The figures over time.
    pub figures: Rect,
    /// One thread in full.
    pub details: Rect,
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
        Panel::All if view.details.is_some() => {
            // How things look does not change how many lines they have.
            let plain = Theme { depth: Depth::Mono, symbols: Symbols::Ascii };
            let wanted = details::wanted(view, plain, body.width);
            let threads = if body.height >= 2 * BESIDE_DETAILS { BESIDE_DETAILS } else { 0 };
            let details = wanted.min(body.height - threads);
            let spare = body.height - threads - details;
            let durations = if spare >= 5 { spare.min(DURATIONS) } else { 0 };
            places.threads = take_top(body.height - details - durations, &mut body);
            places.details = take_top(details, &mut body);
            places.durations = take_top(durations, &mut body);
        }
        Panel::All => {
            if body.height >= WITH_FIGURES {
                places.figures = take_top(figures::HEIGHT, &mut body);
            }
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
        (places.figures, figures::draw as fn(&ViewModel<'_>, Theme, Rect, &mut Buffer)),
        (places.threads, threads::draw),
        (places.details, details::draw),
        (places.lanes, lanes::draw),
        (places.durations, durations::draw),
    ] {
        if !place.is_empty() {
            draw(view, theme, place, buffer);
        }
    }
}
