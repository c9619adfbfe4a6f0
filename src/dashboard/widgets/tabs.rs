//! The tabs: which views there are, with their keys, and which one is shown.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::action::Action;
use crate::dashboard::keys::Keymap;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::views::View;
use crate::dashboard::widgets::Line;
use crate::text::cut;
use unicode_width::UnicodeWidthStr;

/// Columns of a filter.
const FILTER: usize = 24;

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

/// The tabs in the first line of `area`, where there are so many `processes`. Where there is no room for all titles, those
/// of the others are cut; where there is none for that either, keys are left.
fn places(shown: View, processes: usize, keys: &Keymap, area: Rect) -> Vec<Tab> {
    let width = usize::from(area.width);
    let views = || View::tabs(processes).iter().copied();
    let longest = views().map(|view| view.title().len()).max().unwrap_or(0);
    let fits = |most: &usize| views().map(|view| columns(view, shown, keys, *most)).sum::<usize>() <= width;
    let most = (0..=longest).rev().find(fits).unwrap_or(0);
    let mut x = area.x;
    views()
        .map(|view| {
            let tab = u16::try_from(columns(view, shown, keys, most)).unwrap_or(u16::MAX);
            let place = Rect { x, width: tab, height: area.height.min(1), ..area }.intersection(area);
            x = x.saturating_add(tab);
            let key = key(view, keys);
            Tab { view, area: place, key, title: title(view, shown, most) }
        })
        .collect()
}

fn title(view: View, shown: View, most: usize) -> String {
    if view == shown { view.title().to_owned() } else { cut(view.title(), most) }
}

fn key(view: View, keys: &Keymap) -> String {
    keys.first(Action::Show(view)).map_or(String::new(), |press| press.to_string())
}

/// A blank without, and within it a blank, key, blank, title, blank.
fn columns(view: View, shown: View, keys: &Keymap, most: usize) -> usize {
    4 + key(view, keys).chars().count() + title(view, shown, most).chars().count()
}

/// What is filtered by, where no table says it itself.
fn filter(view: &ViewModel<'_>) -> Option<String> {
    let is_told = view.shown != View::Overview && !view.threads.filter.is_empty();
    is_told.then(|| format!("filter: {} ", view.threads.filter.fit(FILTER)))
}

/// The tabs of a view in the first line of `area`, with room for what is filtered by.
pub fn of(view: &ViewModel<'_>, area: Rect) -> Vec<Tab> {
    let filter = filter(view).map_or(0, |text| u16::try_from(text.width() + 1).unwrap_or(u16::MAX));
    places(view.shown, view.processes.known(), &view.keys, Rect { width: area.width.saturating_sub(filter), ..area })
}

/// Draws them into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let tabs = of(view, area);
    if let Some(filter) = filter(view) {
        let used = tabs.last().map_or(0, |tab| tab.area.right().saturating_sub(area.x));
        let rest = Rect { x: area.x.saturating_add(used), width: area.width.saturating_sub(used), ..area };
        let mut line = Line::new();
        line.push_right(filter, theme.style(Tone::Warn));
        line.draw(rest, buffer);
    }
    for tab in tabs {
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
