//! The whole screen: head, tabs, the view, where in time it is, keys; and how they share the room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::state::Focus;
use crate::dashboard::theme::{Symbols, Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{centred, footer, head, help, line_of, tabs, take_top, transport};

/// Least width and height on which it makes sense.
pub const MINIMUM: (u16, u16) = (60, 12);

/// From this height on, a line is spent on the tabs.
const WITH_TABS: u16 = 16;

/// Where everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    /// The head lines.
    pub head: Rect,
    /// The tabs.
    pub tabs: Rect,
    /// The view.
    pub body: Rect,
    /// The transport bar.
    pub transport: Rect,
    /// The keys.
    pub footer: Rect,
}

/// Shares `area` among what is there in every view, and the view.
pub fn places(view: &ViewModel<'_>, area: Rect) -> Places {
    let mut rest = area;
    let head = take_top(head::height(view), &mut rest);
    let tabs = take_top(u16::from(area.height >= WITH_TABS), &mut rest);
    let below = u16::from(view.transport.is_shown()) + 1;
    let body = take_top(rest.height.saturating_sub(below), &mut rest);
    let transport = take_top(below - 1, &mut rest);
    let footer = take_top(1, &mut rest);
    Places { head, tabs, body, transport, footer }
}

/// Draws everything.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    draw_all(view, theme, area, buffer);
    if theme.symbols == Symbols::Ascii {
        only_ascii(area, buffer);
    }
}

/// Names and marks of what was cut may have other characters, whatever the theme has: such a terminal cannot show them.
fn only_ascii(area: Rect, buffer: &mut Buffer) {
    for position in area.positions() {
        let Some(cell) = buffer.cell_mut(position) else { continue };
        match cell.symbol() {
            symbol if symbol.is_ascii() => {}
            "…" => {
                cell.set_char('~');
            }
            _ => {
                cell.set_char('?');
            }
        }
    }
}

fn draw_all(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.width < MINIMUM.0 || area.height < MINIMUM.1 {
        too_small(theme, area, buffer);
        return;
    }
    let places = places(view, area);
    head::draw(view, theme, places.head, buffer);
    tabs::draw(view, theme, places.tabs, buffer);
    if !places.body.is_empty() {
        view.shown.draw(view, theme, places.body, buffer);
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
