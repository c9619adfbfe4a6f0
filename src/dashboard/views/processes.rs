//! Processes: one line each, and below them the whole command line of one. Each has a GIL of its own.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::processes::{Fate, ProcessRow, Processes};
use crate::dashboard::state::Window;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::prose::Prose;
use crate::dashboard::widgets::table::{self, Column, Side};
use crate::dashboard::widgets::{centred, line_of, rows_shown, take_top, titled};
use crate::units;
use crate::words;

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    State,
    Pid,
    Load,
    Contention,
    Worst,
    Lost,
    Threads,
    Command,
}

/// In the order in which they are shown: title, width, and the narrowest table that still shows the column.
const CELLS: [(Cell, &str, usize, u16); 8] = [
    (Cell::State, "state", 9, 0),
    (Cell::Pid, "pid", 8, 0),
    (Cell::Load, "load", 7, 0),
    (Cell::Contention, "contention", 10, 0),
    (Cell::Worst, "worst wait", 10, 0),
    (Cell::Lost, "lost", 8, 76),
    (Cell::Threads, "threads", 7, 88),
    (Cell::Command, "command", 0, 0),
];

/// From this height on there is something below the list; it takes a third of it at most.
const WITH_MORE: u16 = 10;

/// The list, and what stands below it.
fn places(processes: &Processes, mut area: Rect) -> (Rect, Rect, Prose) {
    let more = more(processes, area.width);
    let most = if area.height < WITH_MORE { 0 } else { area.height / 3 };
    let wanted = u16::try_from(more.height().saturating_add(1)).unwrap_or(u16::MAX);
    let list = take_top(area.height.saturating_sub(wanted.min(most)), &mut area);
    (list, area, more)
}

/// Whom nobody looks into, with what to do about it, and the whole command line of the process under the cursor.
fn more(processes: &Processes, width: u16) -> Prose {
    let mut more = Prose::new(width);
    let unwatched = words::unwatched(&processes.unwatched);
    if !unwatched.is_empty() {
        let tone = if processes.unwatched.unreadable > 0 { Tone::Warn } else { Tone::Faint };
        more.paragraph(&format!("not watched: {}", unwatched.join(", ")), tone);
    }
    if let Some(row) = processes.row() {
        more.paragraph(&format!("{}: {}", row.pid.0, row.command.fit(usize::from(u16::MAX))), Tone::Plain);
    }
    more
}

/// Rows that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    usize::from(places(&view.processes, area).0.height.saturating_sub(2))
}

/// The rows on the screen, each with its number.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let list = places(&view.processes, area).0;
    rows_shown(list, 2, view.processes.cursor, view.processes.rows.len()).collect()
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let processes = &view.processes;
    let (list, below, more) = places(processes, area);
    let inner = titled(list, buffer, theme, "Processes", &remarks(processes, view.threads.window));
    if !below.is_empty() {
        more.draw(0, theme, titled(below, buffer, theme, "More", &[]), buffer);
    }
    if processes.rows.is_empty() {
        centred(inner, buffer, "nothing observed yet", theme.style(Tone::Faint));
        return;
    }
    let (mut cells, spare) = table::fitting(&CELLS, inner.width);
    for (cell, _, columns) in &mut cells {
        if *cell == Cell::Command {
            *columns = spare;
        }
    }
    table::header(&cells, side, theme, line_of(inner, 0), buffer);
    for (place, number) in rows_shown(inner, 1, processes.cursor, processes.rows.len()) {
        let Some(row) = processes.rows.get(number) else { break };
        table::line(&cells, side, |column| says(processes, row, column, theme), theme, place, buffer);
        if number == processes.cursor {
            buffer.set_style(place.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
}

fn remarks(processes: &Processes, window: Window) -> Vec<(String, Tone)> {
    let ended = processes.rows.iter().filter(|row| row.fate != Fate::There).count();
    let mut counted = format!("{} alive", units::count((processes.rows.len() - ended) as u64));
    if ended > 0 {
        counted.push_str(&format!(", {} ended", units::count(ended as u64)));
    }
    let mut remarks = vec![(counted, Tone::Strong)];
    if processes.unwatched.total() > 0 {
        remarks.push((format!("({} more not watched)", units::count(processes.unwatched.total())), Tone::Warn));
    }
    let over = match window {
        Window::Second => "over 1 s",
        Window::Ten => "over 10 s",
        Window::Whole => "over all",
    };
    remarks.push((format!("load, contention {over}; waits, lost since the start"), Tone::Faint));
    remarks
}

fn side(cell: Cell) -> Side {
    match cell {
        Cell::State | Cell::Command => Side::Left,
        _ => Side::Right,
    }
}

fn says(processes: &Processes, row: &ProcessRow, column: Column<Cell>, theme: Theme) -> (String, Tone) {
    let (cell, _, columns) = column;
    let share = |share: Option<f64>| share.map_or("-".to_owned(), units::percent);
    match cell {
        Cell::State => {
            let mark = if processes.shown == Some(row.key) { theme.pick('▸', '>') } else { ' ' };
            let (word, tone) = match row.fate {
                Fate::There => ("alive", Tone::Good),
                Fate::Ended => ("ended", Tone::Faint),
                Fate::Replaced => ("replaced", Tone::Faint),
                Fate::OutOfSight => ("unseen", Tone::Warn),
            };
            (format!("{mark}{word}"), tone)
        }
        Cell::Pid => (row.pid.0.to_string(), Tone::Strong),
        Cell::Load => (share(row.load), Tone::Plain),
        Cell::Contention => {
            let tone = match row.contention {
                Some(share) if share >= 0.3 => Tone::Bad,
                Some(share) if share >= 0.1 => Tone::Warn,
                _ => Tone::Plain,
            };
            (share(row.contention), tone)
        }
        Cell::Worst => (row.worst.map_or("-".to_owned(), words::length), Tone::Plain),
        Cell::Lost => (row.lost.to_string(), Tone::Plain),
        Cell::Threads => (units::count(row.threads as u64), Tone::Plain),
        Cell::Command => (row.program.fit_command(columns), Tone::Faint),
    }
}
