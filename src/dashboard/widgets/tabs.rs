//! The tabs: which views there are, with their keys, and which one is shown.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::views::View;
use crate::dashboard::widgets::Line;
use crate::text::cut;

/// A tab, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    /// What it shows.
    pub view: View,
    /// Its place.
    pub area: Rect,
    key: String,
    title: String,
}

/// The tabs in the first line of `area`. Where there is no room for all titles, those of the others are cut; where there
/// is none for that either, keys are left.
pub fn places(shown: View, area: Rect) -> Vec<Tab> {
    let width = usize::from(area.width);
    let longest = View::ALL.into_iter().map(|view| view.title().len()).max().unwrap_or(0);
    let fits = |most: &usize| View::ALL.into_iter().map(|view| columns(view, shown, *most)).sum::<usize>() <= width;
    let most = (0..=longest).rev().find(fits).unwrap_or(0);
    let mut x = area.x;
    View::ALL
        .into_iter()
        .map(|view| {
            let tab = u16::try_from(columns(view, shown, most)).unwrap_or(u16::MAX);
            let place = Rect { x, width: tab, height: area.height.min(1), ..area }.intersection(area);
            x = x.saturating_add(tab);
            let key = view.keys().first().map_or(String::new(), ToString::to_string);
            Tab { view, area: place, key, title: title(view, shown, most) }
        })
        .collect()
}

fn title(view: View, shown: View, most: usize) -> String {
    if view == shown { view.title().to_owned() } else { cut(view.title(), most) }
}

/// A blank without, and within it a blank, key, blank, title, blank.
fn columns(view: View, shown: View, most: usize) -> usize {
    5 + title(view, shown, most).chars().count()
}

/// Draws them into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    for tab in places(view.shown, area) {
        let mut line = Line::new();
        line.push(" ", Style::new());
        match tab.view == view.shown {
            true => line.push(format!(" {} {} ", tab.key, tab.title), theme.style(Tone::Selected)),
            false => {
                line.push(format!(" {}", tab.key), theme.style(Tone::Key));
                line.push(format!(" {} ", tab.title), Style::new());
            }
        }
        line.draw(tab.area, buffer);
    }
}
