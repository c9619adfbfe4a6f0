//! The mouse: what is where on the screen as it was drawn last, and what a click or the wheel means there.
//!
//! A click chooses a view by its tab, the findings by the one in the head, and a row or a cell by itself; on what is chosen already it opens it. The wheel moves
//! as the cursor keys do. Nothing can be done by the mouse alone.

use std::time::Duration;

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use crate::dashboard::rows::{Column, Sort};
use crate::dashboard::state::{Focus, Rows, State};
use crate::dashboard::timeline::Way;
use crate::dashboard::view::ViewModel;
use crate::dashboard::views::View;
use crate::dashboard::widgets::{head, line_of, screen, tabs};
use crate::session::Command;

/// Whether the mouse is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mouse {
    /// It is. The terminal selects text with Shift held.
    #[default]
    Heard,
    /// It is left to the terminal.
    Left,
}

/// Something on the screen that can be pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The tab of a view.
    Tab(View),
    /// A row of the view's table.
    Row(usize),
    /// A row and a column of the matrix.
    Cell(usize, usize),
    /// The head of a column that can be sorted by.
    Head(Column),
    /// A text that scrolls by itself.
    Text,
    /// A lane of the timeline, and which of its columns.
    Instant(usize, usize),
}

/// What is where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spots(Vec<(Rect, Spot)>);

impl Spots {
    /// What there is of `view` in `area`.
    pub fn of(view: &ViewModel<'_>, area: Rect) -> Spots {
        if area.width < screen::MINIMUM.0 || area.height < screen::MINIMUM.1 || view.focus != Focus::Screen {
            return Spots::default();
        }
        let places = screen::places(view, area);
        let mut spots: Vec<(Rect, Spot)> =
            tabs::of(view, places.tabs).into_iter().map(|tab| (tab.area, Spot::Tab(tab.view))).collect();
        spots.extend(view.shown.spots(view, places.body));
        if view.head.finding.is_some() {
            let line = line_of(places.head, head::finding_line(view));
            spots.push((line, Spot::Tab(View::Findings)));
        }
        Spots(spots)
    }

    /// The places.
    pub fn areas(&self) -> impl Iterator<Item = Rect> {
        self.0.iter().map(|(area, _)| *area)
    }

    /// What is at a place.
    pub fn at(&self, column: u16, row: u16) -> Option<Spot> {
        let (area, spot) = self.0.iter().find(|(area, _)| area.contains((column, row).into()))?;
        Some(match spot {
            Spot::Instant(row, _) => Spot::Instant(*row, usize::from(column - area.x)),
            other => *other,
        })
    }
}

/// What the mouse did, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gesture {
    /// The left button went down.
    Click,
    /// The mouse was moved with the left button down.
    Drag,
    /// The wheel was turned towards the beginning.
    WheelUp,
    /// Towards the end.
    WheelDown,
    /// To the left.
    WheelLeft,
    /// To the right.
    WheelRight,
}

impl Gesture {
    /// What an event is.
    pub fn of(event: &MouseEvent) -> Option<Gesture> {
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Gesture::Click),
            MouseEventKind::Drag(MouseButton::Left) => Some(Gesture::Drag),
            MouseEventKind::ScrollUp => Some(Gesture::WheelUp),
            MouseEventKind::ScrollDown => Some(Gesture::WheelDown),
            MouseEventKind::ScrollLeft => Some(Gesture::WheelLeft),
            MouseEventKind::ScrollRight => Some(Gesture::WheelRight),
            _ => None,
        }
    }
}

impl State {
    /// Takes what the mouse did at a spot. `rows` are as they are on the screen. What the session is to do for it.
    pub fn point(&mut self, gesture: Gesture, spot: Option<Spot>, rows: &Rows) -> Option<Command> {
        match (&mut self.focus, gesture) {
            (Focus::Help { scrolled }, Gesture::WheelUp) => *scrolled = scrolled.saturating_sub(1),
            (Focus::Help { scrolled }, Gesture::WheelDown) => *scrolled = scrolled.saturating_add(1),
            (Focus::Help { .. } | Focus::Filter { .. } | Focus::Instant { .. }, Gesture::Click) => {
                self.focus = Focus::Screen;
            }
            (Focus::Help { .. } | Focus::Filter { .. } | Focus::Instant { .. }, _) => {}
            (Focus::Screen, _) => return self.point_at(gesture, spot, rows),
        }
        None
    }

    fn point_at(&mut self, gesture: Gesture, spot: Option<Spot>, rows: &Rows) -> Option<Command> {
        let grid = &rows.timeline;
        let seek = match (gesture, spot) {
            (Gesture::Click, Some(Spot::Instant(row, column))) => {
                self.go(row, rows);
                self.timeline.point_at(grid.instant(column), grid)
            }
            (Gesture::Drag, Some(Spot::Instant(_, column))) => self.timeline.drag_to(grid.instant(column), grid),
            (Gesture::WheelLeft, _) if self.view == View::Timeline => self.timeline.pan(Way::Back, grid),
            (Gesture::WheelRight, _) if self.view == View::Timeline => self.timeline.pan(Way::Ahead, grid),
            _ => None,
        };
        match (gesture, spot) {
            (Gesture::Drag, _) => {}
            (Gesture::Click, Some(spot)) => self.click(spot, rows),
            (Gesture::Click, None) => {}
            (Gesture::WheelUp, Some(Spot::Text)) => self.scroll(-1, rows),
            (Gesture::WheelDown, Some(Spot::Text)) => self.scroll(1, rows),
            (Gesture::WheelUp, _) => self.go(self.row(rows).saturating_sub(1), rows),
            (Gesture::WheelDown, _) => self.go(self.row(rows).saturating_add(1), rows),
            (Gesture::WheelLeft | Gesture::WheelRight, _) if self.view != View::Blame => {}
            (Gesture::WheelLeft, _) => self.blame.step(-1, &rows.blame),
            (Gesture::WheelRight, _) => self.blame.step(1, &rows.blame),
        }
        seek.map(Command::SeekTo)
    }

    /// What is chosen already is opened.
    fn click(&mut self, spot: Spot, rows: &Rows) {
        match spot {
            Spot::Tab(view) => self.view = view,
            Spot::Head(column) if self.sort.column == column => self.sort = self.sort.reversed(),
            Spot::Head(column) => self.sort = Sort::by(column),
            Spot::Cell(row, column) if self.blame.cell.is_some() && rows.blame.at == (row, column) => self.open(rows),
            Spot::Cell(row, column) => self.blame.point_at(row, column, &rows.blame),
            Spot::Row(row) if matches!(self.view, View::Blame | View::Processes) && self.row(rows) == row => {
                self.open(rows);
            }
            Spot::Row(row) => self.go(row, rows),
            Spot::Text | Spot::Instant(..) => {}
        }
    }
}

/// Lets one turn of the wheel through at a time: a touchpad sends hundreds a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wheel {
    last: Option<Duration>,
}

impl Wheel {
    /// Least time between two turns that count.
    const APART: Duration = Duration::from_millis(20);

    /// Whether a gesture at `now` counts.
    pub fn takes(&mut self, gesture: Gesture, now: Duration) -> bool {
        let too_soon = self.last.is_some_and(|last| now.saturating_sub(last) < Wheel::APART);
        if matches!(gesture, Gesture::Click | Gesture::Drag) {
            return true;
        }
        if !too_soon {
            self.last = Some(now);
        }
        !too_soon
    }
}
