//! The tabs: which views there are, with their keys, and which one is shown.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::views::View;
use crate::dashboard::widgets::Line;

/// Draws them into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    for one in View::ALL {
        let key = one.keys().first().map_or(String::new(), ToString::to_string);
        line.push(" ", theme.style(Tone::Plain));
        match one == view.shown {
            true => line.push(format!(" {key} {} ", one.title()), theme.style(Tone::Selected)),
            false => {
                line.push(format!(" {key}"), theme.style(Tone::Key));
                line.push(format!(" {} ", one.title()), theme.style(Tone::Plain));
            }
        }
    }
    line.draw(area, buffer);
}
