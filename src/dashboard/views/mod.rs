//! The views: what fills the screen between the head and the keys, one at a time.
//!
//! To add one: a name in [`View`] with a line in each `match` below, a file here that draws it, and what it shows in
//! [`ViewModel`]. Its key, the tabs, footer, help and README follow; keys that mean nothing in it are told by
//! [`Binding::views`](crate::dashboard::action::Binding::views).

pub mod interrupts;
pub mod overview;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::action::{Press, letter};
use crate::dashboard::theme::Theme;
use crate::dashboard::view::ViewModel;

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// A bit of everything: threads, the GIL's way over the cores, waits and holds.
    Overview,
    /// How long signals wait for their Python handlers.
    Interrupts,
}

impl View {
    /// All, in the order of the tabs.
    pub const ALL: [View; 2] = [View::Overview, View::Interrupts];

    /// What the tab says.
    pub fn title(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Interrupts => "Interrupts",
        }
    }

    /// The key that shows it: its place among the tabs.
    pub const fn keys(self) -> &'static [Press] {
        match self {
            View::Overview => const { &[letter('1')] },
            View::Interrupts => const { &[letter('2')] },
        }
    }

    /// What the help says.
    pub const fn help(self) -> &'static str {
        match self {
            View::Overview => "overview: threads, the GIL on the cores, waits and holds",
            View::Interrupts => "interrupts: how long signals wait for their handlers, and why",
        }
    }

    /// The one `steps` further on, round and round.
    pub fn step(self, steps: isize) -> View {
        let here = View::ALL.iter().position(|view| *view == self).unwrap_or(0) as isize;
        let index = (here + steps).rem_euclid(View::ALL.len() as isize) as usize;
        View::ALL.get(index).copied().unwrap_or(self)
    }

    /// Rows that the page keys move by, if it is drawn into `area`.
    pub fn page(self, view: &ViewModel<'_>, area: Rect) -> usize {
        match self {
            View::Overview => overview::page(view, area),
            View::Interrupts => interrupts::page(view, area),
        }
    }

    /// Draws it.
    pub fn draw(self, view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
        match self {
            View::Overview => overview::draw(view, theme, area, buffer),
            View::Interrupts => interrupts::draw(view, theme, area, buffer),
        }
    }
}
