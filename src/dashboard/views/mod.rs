//! The views: what fills the screen between the head and the keys, one at a time.
//!
//! To add one: a name in [`View`] with a line in each `match` below, a file here that draws it, and what it shows in
//! [`ViewModel`]. Its key, the tabs, footer, help and README follow; keys that mean nothing in it are told by
//! [`Binding::views`](crate::dashboard::action::Binding::views).

pub mod blame;
pub mod convoys;
pub mod cores;
pub mod findings;
pub mod histograms;
pub mod interrupts;
pub mod overview;
pub mod processes;
pub mod timeline;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::keys::{Press, letter};
use crate::dashboard::mouse::Spot;
use crate::dashboard::theme::Theme;
use crate::dashboard::timeline::Grid;
use crate::dashboard::view::ViewModel;

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// A bit of everything: threads, the GIL's way over the cores, waits and holds.
    Overview,
    /// Who ran on which core, where the GIL was, and what others did there.
    Cores,
    /// What each thread did when.
    Timeline,
    /// How long waits and holds take, compared.
    Histograms,
    /// Threads that wait about a switch interval, again and again.
    Convoys,
    /// How long signals wait for their Python handlers.
    Interrupts,
    /// Who made whom wait, and in which code.
    Blame,
    /// What was found, why, and what to do about it.
    Findings,
    /// One line for each process.
    Processes,
}

impl View {
    /// All, in the order of the tabs.
    pub const ALL: [View; 9] = [
        View::Overview,
        View::Cores,
        View::Timeline,
        View::Histograms,
        View::Convoys,
        View::Interrupts,
        View::Blame,
        View::Findings,
        View::Processes,
    ];

    /// What the tab says.
    pub fn title(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Cores => "Cores",
            View::Timeline => "Timeline",
            View::Histograms => "Histograms",
            View::Convoys => "Convoys",
            View::Interrupts => "Interrupts",
            View::Blame => "Blame",
            View::Findings => "Findings",
            View::Processes => "Processes",
        }
    }

    /// What it is called on the command line and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            View::Overview => "overview",
            View::Cores => "cores",
            View::Timeline => "timeline",
            View::Histograms => "histograms",
            View::Convoys => "convoys",
            View::Interrupts => "interrupts",
            View::Blame => "blame",
            View::Findings => "findings",
            View::Processes => "processes",
        }
    }

    /// The key that shows it by default: its place among the tabs.
    pub const fn keys(self) -> &'static [Press] {
        match self {
            View::Overview => const { &[letter('1')] },
            View::Cores => const { &[letter('2')] },
            View::Timeline => const { &[letter('3')] },
            View::Histograms => const { &[letter('4')] },
            View::Convoys => const { &[letter('5')] },
            View::Interrupts => const { &[letter('6')] },
            View::Blame => const { &[letter('7')] },
            View::Findings => const { &[letter('8')] },
            View::Processes => const { &[letter('0')] },
        }
    }

    /// What the help says.
    pub const fn help(self) -> &'static str {
        match self {
            View::Overview => "overview: threads, the GIL on the cores, waits and holds",
            View::Cores => "cores: which threads ran where, the GIL's way, other programs' load, what may be used",
            View::Timeline => "timeline: what each thread did when, and how the GIL went from one to the next",
            View::Histograms => "histograms: how long waits and holds take, of one thread beside another",
            View::Convoys => "convoys: threads that wait about a switch interval, again and again",
            View::Interrupts => "interrupts: how long signals wait for their handlers, and why",
            View::Blame => "blame: who made whom wait, and in which code",
            View::Findings => "findings: what was found, why, and what to do about it",
            View::Processes => "processes, where there are several: one line each",
        }
    }

    /// Those that have a tab: the list of processes is for several.
    pub fn tabs(processes: usize) -> &'static [View] {
        let one = View::ALL.len() - 1;
        if processes > 1 { &View::ALL } else { View::ALL.get(..one).unwrap_or(&View::ALL) }
    }

    /// The one `steps` further on among those with a tab, round and round.
    pub fn step(self, steps: isize, processes: usize) -> View {
        let tabs = View::tabs(processes);
        let here = tabs.iter().position(|view| *view == self).unwrap_or(0) as isize;
        let index = (here + steps).rem_euclid(tabs.len() as isize) as usize;
        tabs.get(index).copied().unwrap_or(self)
    }

    /// Rows that the page keys move by, if it is drawn into `area`.
    pub fn page(self, view: &ViewModel<'_>, area: Rect) -> usize {
        match self {
            View::Overview => overview::page(view, area),
            View::Cores => cores::page(view, area),
            View::Timeline => timeline::page(view, area),
            View::Histograms => histograms::page(area),
            View::Convoys => convoys::page(view, area),
            View::Interrupts => interrupts::page(view, area),
            View::Blame => blame::page(view, area),
            View::Findings => findings::page(view, area),
            View::Processes => processes::page(view, area),
        }
    }

    /// How far a text in it can be scrolled down.
    pub fn reach(self, view: &ViewModel<'_>, area: Rect) -> usize {
        match self {
            View::Blame => blame::reach(view, area),
            View::Findings => findings::reach(view, area),
            View::Overview
            | View::Cores
            | View::Timeline
            | View::Histograms
            | View::Convoys
            | View::Interrupts
            | View::Processes => 0,
        }
    }

    /// Which time is on the screen, and whose.
    pub fn grid(self, view: &ViewModel<'_>, area: Rect) -> Grid {
        match self {
            View::Timeline => timeline::grid(view, area),
            _ => Grid::default(),
        }
    }

    /// What in it can be pointed at.
    pub fn spots(self, view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, Spot)> {
        let rows = |rows: Vec<(Rect, usize)>| rows.into_iter().map(|(area, row)| (area, Spot::Row(row))).collect();
        match self {
            View::Overview => overview::spots(view, area),
            View::Cores => rows(cores::spots(view, area)),
            View::Timeline => {
                timeline::spots(view, area).into_iter().map(|(area, row)| (area, Spot::Instant(row, 0))).collect()
            }
            View::Histograms => rows(histograms::spots(view, area)),
            View::Convoys => rows(convoys::spots(view, area)),
            View::Interrupts => rows(interrupts::spots(view, area)),
            View::Blame => blame::spots(view, area),
            View::Processes => rows(processes::spots(view, area)),
            View::Findings => {
                let (list, text) = findings::spots(view, area);
                let mut spots: Vec<(Rect, Spot)> = rows(list);
                spots.push((text, Spot::Text));
                spots
            }
        }
    }

    /// Draws it.
    pub fn draw(self, view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
        match self {
            View::Overview => overview::draw(view, theme, area, buffer),
            View::Cores => cores::draw(view, theme, area, buffer),
            View::Timeline => timeline::draw(view, theme, area, buffer),
            View::Histograms => histograms::draw(view, theme, area, buffer),
            View::Convoys => convoys::draw(view, theme, area, buffer),
            View::Interrupts => interrupts::draw(view, theme, area, buffer),
            View::Blame => blame::draw(view, theme, area, buffer),
            View::Findings => findings::draw(view, theme, area, buffer),
            View::Processes => processes::draw(view, theme, area, buffer),
        }
    }
}
