//! Convoys: episodes in which a thread waited again and again behind threads that let go only when made to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::convoys::Convoys;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::table::{self, Column, Side};
use crate::dashboard::widgets::{Line, centred, line_of, rows_shown, take_top, titled, who};
use crate::event::ThreadKey;
use crate::model::snapshot::{Convoy, ConvoyCulprit, Length};
use crate::text::{left, right};
use crate::time::{MonoNs, Ns};
use crate::units;
use crate::words;

/// Lines of the episode that is looked at, before the table gets more than a few.
const EPISODE: u16 = 7;
/// Fewer lines of it say nothing.
const LEAST: u16 = 3;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    When,
    Lasted,
    Victim,
    Behind,
    Waits,
    Each,
    Lost,
    Slowdown,
    Interval,
    Strip,
}

/// In the order in which they are shown: title, width, and the narrowest table that still shows the column.
const CELLS: [(Cell, &str, usize, u16); 10] = [
    (Cell::When, "began", 9, 0),
    (Cell::Lasted, "lasted", 8, 50),
    (Cell::Victim, "victim", 14, 0),
    (Cell::Behind, "behind", 14, 0),
    (Cell::Waits, "waits", 7, 64),
    (Cell::Each, "each", 8, 84),
    (Cell::Lost, "lost", 8, 0),
    (Cell::Slowdown, "slower", 7, 74),
    (Cell::Interval, "interval", 8, 98),
    (Cell::Strip, "when", 0, 130),
];

/// The table, and the episode that is looked at.
fn places(convoys: &Convoys<'_>, mut area: Rect) -> (Rect, Rect) {
    let rows = u16::try_from(convoys.rows.len().max(1)).unwrap_or(u16::MAX).saturating_add(2);
    let kept = match convoys.shown() {
        Some(_) => EPISODE.min(area.height / 2),
        None => 0,
    };
    let table = take_top(rows.min(area.height.saturating_sub(kept)), &mut area);
    if area.height < LEAST || convoys.shown().is_none() {
        return (Rect { height: table.height + area.height, ..table }, Rect::default());
    }
    (table, area)
}

/// Rows that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    usize::from(places(&view.convoys, area).0.height.saturating_sub(2))
}

/// The rows on the screen, each with its number.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let convoys = &view.convoys;
    rows_shown(places(convoys, area).0, 2, convoys.cursor, convoys.rows.len()).collect()
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let convoys = &view.convoys;
    let (top, below) = places(convoys, area);
    let count = match convoys.rows.len() {
        0 => Vec::new(),
        number => {
            let lost: Ns = convoys.rows.iter().map(|convoy| convoy.lost).sum();
            let plural = if number == 1 { "" } else { "s" };
            vec![
                (format!("{} episode{plural},", units::count(number as u64)), Tone::Plain),
                (format!("{lost} lost;"), Tone::Strong),
            ]
        }
    };
    let aside = [("each wait about a switch interval, after letting go of its own will".to_owned(), Tone::Faint)];
    let inner = titled(top, buffer, theme, "Convoys", &[&count[..], &aside[..]].concat());
    if convoys.rows.is_empty() {
        let why = match (convoys.process, convoys.were_looked_for()) {
            (None, _) => "nothing observed yet",
            (Some(_), true) if !view.threads.filter.is_empty() => "none with a thread that the filter lets through",
            (Some(_), true) => "none was found",
            (Some(_), false) => "too few looks to find any: they come faster than -r looks, or it has just begun",
        };
        centred(inner, buffer, why, theme.style(Tone::Faint));
        return;
    }
    let cells = layout(inner.width);
    table::header(&cells, side, theme, line_of(inner, 0), buffer);
    for (place, number) in rows_shown(inner, 1, convoys.cursor, convoys.rows.len()) {
        let Some(convoy) = convoys.rows.get(number) else { break };
        table::line(&cells, side, |column| says(convoys, convoy, column, theme), theme, place, buffer);
        if convoys.cursor == number && convoys.selected.is_some() {
            buffer.set_style(place.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
    if let Some(convoy) = convoys.shown().filter(|_| !below.is_empty()) {
        episode(convoys, convoy, theme, below, buffer);
    }
}

/// The columns that fit, with their widths; what is left goes to names, and then to the strip.
fn layout(width: u16) -> Vec<Column<Cell>> {
    let (mut cells, spare) = table::fitting(&CELLS, width);
    let mut spare = spare.saturating_sub(1);
    for (cell, _, columns) in &mut cells {
        match cell {
            Cell::Victim | Cell::Behind => {
                let more = (spare / 3).min(12);
                *columns += more;
                spare -= more;
            }
            Cell::Strip => *columns = spare,
            _ => {}
        }
    }
    cells
}

fn side(cell: Cell) -> Side {
    match cell {
        Cell::Victim | Cell::Behind | Cell::Strip => Side::Left,
        _ => Side::Right,
    }
}

fn says(convoys: &Convoys<'_>, convoy: &Convoy, column: Column<Cell>, theme: Theme) -> (String, Tone) {
    let (cell, _, columns) = column;
    match cell {
        Cell::When => (convoy.start.since(beginning(convoys)).to_string(), Tone::Plain),
        Cell::Lasted => (convoy.end.since(convoy.start).to_string(), Tone::Plain),
        Cell::Victim => (named(convoys, convoy.victim, columns), Tone::Strong),
        Cell::Behind => (culprits(convoys, &convoy.culprits, columns), Tone::Plain),
        Cell::Waits => (units::count(convoy.waits), Tone::Plain),
        Cell::Each => (mean(convoy).map_or("-".to_owned(), |mean| mean.to_string()), Tone::Plain),
        Cell::Lost => (convoy.lost.to_string(), Tone::Warn),
        Cell::Slowdown => (slower(convoy.slowdown), Tone::Strong),
        Cell::Interval => (convoy.switch_interval.to_string(), Tone::Faint),
        Cell::Strip => (strip(convoys, convoy, columns, theme), Tone::Faint),
    }
}

/// When the capture began: recordings count from there.
fn beginning(convoys: &Convoys<'_>) -> MonoNs {
    convoys.process.map_or(MonoNs(0), |process| process.capture.start)
}

fn mean(convoy: &Convoy) -> Option<Ns> {
    convoy.lost.0.checked_div(convoy.waits).map(Ns)
}

fn slower(times: f64) -> String {
    match times {
        times if !times.is_finite() => "?".to_owned(),
        times if times < 99.95 => format!("x{times:.1}"),
        times => format!("x{times:.0}"),
    }
}

fn named(convoys: &Convoys<'_>, thread: ThreadKey, columns: usize) -> String {
    let (letter, name, _) = who::thread(convoys.process, thread, columns.saturating_sub(2));
    format!("{letter} {name}")
}

fn culprits(convoys: &Convoys<'_>, culprits: &[ConvoyCulprit], columns: usize) -> String {
    let more = match culprits.len() {
        0 => return "not seen".to_owned(),
        1 => String::new(),
        several => format!(" +{}", several - 1),
    };
    let first =
        culprits.first().map_or(String::new(), |one| named(convoys, one.thread, columns.saturating_sub(more.len())));
    format!("{first}{more}")
}

/// When it was, in the time observed.
fn strip(convoys: &Convoys<'_>, convoy: &Convoy, columns: usize, theme: Theme) -> String {
    let whole = convoys.at.since(beginning(convoys));
    let place = |at: MonoNs| {
        let share = at.since(beginning(convoys)).share_of(whole).unwrap_or(0.0).clamp(0.0, 1.0);
        ((share * columns as f64) as usize).min(columns.saturating_sub(1))
    };
    let (from, to) = (place(convoy.start), place(convoy.end));
    (0..columns).map(|x| if (from..=to).contains(&x) { theme.pick('▒', '=') } else { theme.pick('·', '.') }).collect()
}

/// The episode that is looked at.
fn episode(convoys: &Convoys<'_>, convoy: &Convoy, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let name = named(convoys, convoy.victim, 24);
    let aside = [
        (format!("{} lost in {}", convoy.lost, convoy.end.since(convoy.start)), Tone::Strong),
        (slower(convoy.slowdown), Tone::Strong),
    ];
    let area = titled(area, buffer, theme, &name, &aside);
    let mut text = Line::new();
    let each = mean(convoy).map_or(String::new(), |mean| format!(", {} each", words::length(Length::Known(mean))));
    let told = format!(
        " {} waits{each}; the switch interval was {}. Everything took {} as long.",
        units::count(convoy.waits),
        convoy.switch_interval,
        slower(convoy.slowdown).replace('x', "") + " times",
    );
    text.push(told, theme.style(Tone::Plain));
    text.draw(line_of(area, 0), buffer);
    if convoy.culprits.is_empty() {
        let mut line = Line::new();
        line.push(" who held the GIL meanwhile was not seen", theme.style(Tone::Faint));
        line.draw(line_of(area, 1), buffer);
        return;
    }
    let columns = usize::from(area.width).saturating_sub(28);
    let name = columns.min(28);
    let width = columns.saturating_sub(name).min(60);
    for (number, culprit) in convoy.culprits.iter().enumerate() {
        let (letter, who, tone) = who::thread(convoys.process, culprit.thread, name);
        let mut line = Line::new();
        let label = if number == 0 { "behind" } else { "" };
        line.push(format!(" {} ", left(label, 6)), theme.style(Tone::Label));
        line.push(format!("{letter} "), theme.style(tone));
        line.push(left(&who, name), Style::new());
        let share = if culprit.share.is_finite() { culprit.share.clamp(0.0, 1.0) } else { 0.0 };
        line.push(format!(" {}", left(&theme.bar(share, width), width)), theme.style(tone));
        line.push(format!(" {} of it", right(&units::percent(culprit.share), 8)), theme.style(Tone::Plain));
        line.draw(line_of(area, 1 + number), buffer);
    }
}
