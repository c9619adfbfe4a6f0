//! The whole screen: which panels there are, and how they share the room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::state::{Focus, Panel};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{centred, durations, footer, head, help, lanes, line_of, threads, transport};

/// Least width and height on which it makes sense.
pub const MINIMUM: (u16, u16) = (60, 12);

/// Lines of durations: title, summary, buckets.
const DURATIONS: u16 = 9;
/// Lines that the threads keep before others get any.
const THREADS: u16 = 8;

/// Where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// The head lines.
    pub head: Rect,
    /// The thread table.
    pub threads: Rect,
    /// The lanes.
    pub lanes: Rect,
    /// The histograms.
    pub durations: Rect,
    /// The transport bar.
    pub transport: Rect,
    /// The keys.
    pub footer: Rect,
}

/// Shares `area` among the panels. One that gets nothing has an empty place.
pub fn places(view: &ViewModel<'_>, area: Rect) -> Places {
    let mut rest = area;
    let top = |height: u16, rest: &mut Rect| {
        let height = height.min(rest.height);
        let taken = Rect { height, ..*rest };
        *rest = Rect { y: rest.y.saturating_add(height), height: rest.height - height, ..*rest };
        taken
    };
    let head = top(head::height(view), &mut rest);
    let below = u16::from(view.transport.is_shown()) + 1;
    let mut body = top(rest.height.saturating_sub(below), &mut rest);
    let transport = top(below - 1, &mut rest);
    let footer = top(1, &mut rest);
    let mut places = Places { head, transport, footer, ..Places::default() };
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
            places.threads = top(body.height - lanes - durations, &mut body);
            places.lanes = top(lanes, &mut body);
            places.durations = top(durations, &mut body);
        }
    }
    places
}

/// Draws everything.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.width < MINIMUM.0 || area.height < MINIMUM.1 {
        too_small(theme, area, buffer);
        return;
    }
    let places = places(view, area);
    head::draw(view, theme, places.head, buffer);
    for (place, draw) in [
        (places.threads, threads::draw as fn(&ViewModel<'_>, Theme, Rect, &mut Buffer)),
        (places.lanes, lanes::draw),
        (places.durations, durations::draw),
    ] {
        if !place.is_empty() {
            draw(view, theme, place, buffer);
        }
    }
    if view.transport.is_shown() {
        transport::draw(view, theme, places.transport, buffer);
    }
    footer::draw(view, theme, places.footer, buffer);
    if let Focus::Help { scrolled } = view.focus {
        let above_footer = Rect { height: area.height.saturating_sub(1), ..area };
        help::draw(view, scrolled, theme, above_footer, buffer);
    }
}

fn too_small(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (width, height) = MINIMUM;
    let middle = line_of(area, usize::from(area.height / 2));
    centred(
        middle,
        buffer,
        &format!("needs {width}x{height}, has {}x{}", area.width, area.height),
        theme.style(Tone::Warn),
    );
}
