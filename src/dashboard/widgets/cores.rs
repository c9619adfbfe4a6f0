//! The lanes of the cores view: one line for each core, time from left to right.
//!
//! What a thread did there is told by the symbol of its state, as everywhere; where another thread begins to do one thing for
//! more than a column, its letter stands in place of the first symbol. A core that the program left alone shows what others did on it, in tenths.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::dashboard::cores::{Access, Cell, Column, CoreRow, Cores, Picture, Shares, When};
use crate::dashboard::rows::tag;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::widgets::{Line, first_shown, lanes, line_of, put, right_of};
use crate::event::ThreadKey;
use crate::model::snapshot::ThreadState;
use crate::text::right;
use crate::time::Ns;

/// Columns of a line's name, with the mark of cores that may not be used.
const NAME: usize = 9;
/// Columns of a share.
const SHARE: usize = 6;
/// From these widths on, there is room for one share, and for all three.
const WITH_ONE: u16 = 64;
const WITH_ALL: u16 = 80;
/// Below this share, what a thread did is a mark without a name.
const HARDLY: f64 = 0.05;
/// From this share of a column on, it is shown in full weight.
const MOSTLY: f64 = 0.5;
/// Lines around the lanes: heads, waiters, axis, legend.
pub const AROUND: u16 = 4;

/// A figure before the lanes, with its name.
type Figure = (&'static str, fn(&Shares) -> Option<f64>);

/// The figures that there is room for.
fn figures(width: u16) -> &'static [Figure] {
    const ALL: [Figure; 3] =
        [("GIL", |shares| shares.held), ("own", |shares| shares.own), ("other", |shares| shares.other)];
    match width {
        WITH_ALL.. => &ALL,
        WITH_ONE.. => &ALL[..1],
        _ => &[],
    }
}

/// Whether others have a line of their own below each core's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Height {
    One,
    Two,
}

fn height(rows: usize, area: Rect) -> Height {
    let room = usize::from(area.height.saturating_sub(AROUND));
    if rows.saturating_mul(2) <= room { Height::Two } else { Height::One }
}

/// The lines that are shown, each with its place and its number.
pub fn rows_shown(cores: &Cores<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let lines = match height(cores.rows.len(), area) {
        Height::One => 1,
        Height::Two => 2,
    };
    let room = usize::from(area.height.saturating_sub(AROUND)) / lines;
    let first = first_shown(cores.cursor, cores.rows.len(), room);
    let place = |number: usize| {
        let line = line_of(area, 1 + (number - first) * lines);
        Rect { height: line.height.saturating_mul(lines as u16).min(area.bottom().saturating_sub(line.y)), ..line }
    };
    (first..cores.rows.len()).take(room).map(|number| (place(number), number)).collect()
}

/// Draws heads, lanes, waiters, axis and legend.
pub fn draw(cores: &Cores<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let figures = figures(area.width);
    let gutter = NAME + figures.len() * SHARE + 2;
    let count = usize::from(area.width).saturating_sub(gutter + 1);
    let places = rows_shown(cores, area);
    let shown = places.first().map_or(0..0, |(_, first)| *first..first + places.len());
    let picture = Picture::of(cores, shown, count);
    head(figures, theme, line_of(area, 0), buffer);
    let lines = height(cores.rows.len(), area);
    let mut next = 1;
    for (place, number) in &places {
        let Some(row) = cores.rows.get(*number) else { break };
        let mut line = name(row, theme);
        let shares = picture.shares(*number, row.count);
        for (_, figure) in figures {
            line.push(right(&share(figure(&shares)), SHARE), theme.style(Tone::Plain));
        }
        line.push(theme.pick(" │", " |"), theme.style(Tone::Faint));
        let first = line_of(*place, 0);
        line.draw(first, buffer);
        lane(cores, &picture, *number, lines, theme, right_of(gutter, first), buffer);
        if cores.cursor == *number && cores.selected.is_some() {
            let label = Rect { width: first.width.min(NAME as u16), ..first };
            buffer.set_style(label.intersection(buffer.area), theme.style(Tone::Selected));
        }
        if lines == Height::Two {
            others(&picture, *number, gutter, theme, line_of(*place, 1), buffer);
        }
        next = usize::from(place.bottom().saturating_sub(area.y));
    }
    let rest = |number: usize| line_of(area, next + number);
    let columns: Vec<lanes::Waiters> = picture.columns.iter().map(waiters).collect();
    lanes::waiters(&columns, gutter, theme, rest(0), buffer);
    lanes::axis(cores.column, count, gutter, theme, rest(1), buffer);
    legend(theme, rest(2), buffer);
}

fn waiters(column: &Column) -> lanes::Waiters {
    lanes::Waiters { mean: column.waited.share_of(column.observed), unobserved: lanes::unobserved(column.when) }
}

fn head(figures: &[Figure], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(right("core", NAME - 1), theme.style(Tone::Label));
    line.push(" ", Style::new());
    for (name, _) in figures {
        line.push(right(name, SHARE), theme.style(Tone::Label));
    }
    line.draw(area, buffer);
}

/// Its number, or its numbers; marked where the program may not use it.
fn name(row: &CoreRow, theme: Theme) -> Line {
    let mut line = Line::new();
    let label = match row.count {
        0 | 1 => format!("core {}", row.first.0),
        _ => format!("{}-{}", row.first.0, row.last.0),
    };
    let (mark, tone) = match row.access {
        Access::Denied => (theme.pick("×", "x"), Tone::Faint),
        Access::Allowed => (" ", Tone::Strong),
        Access::Unknown => (" ", Tone::Plain),
    };
    line.push(right(&label, NAME - 1), theme.style(tone));
    line.push(mark, theme.style(Tone::Faint));
    line
}

/// A share in at most four columns.
fn share(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if !share.is_finite() => "?".to_owned(),
        Some(share) if share > 0.0 && share < 0.005 => "<1%".to_owned(),
        Some(share) => format!("{:.0}%", 100.0 * share.clamp(0.0, 9.99)),
    }
}

fn lane(
    cores: &Cores<'_>,
    picture: &Picture,
    row: usize,
    lines: Height,
    theme: Theme,
    place: Rect,
    buffer: &mut Buffer,
) {
    let access = cores.rows.get(row).map_or(Access::Unknown, |row| row.access);
    let there = |number: usize, column: &Column| {
        let cell = picture.cell(row, number);
        (shown(&cell, column, access, lines), cell.thread())
    };
    let all: Vec<(Shown, Option<ThreadKey>)> =
        picture.columns.iter().enumerate().map(|(number, column)| there(number, column)).collect();
    let mut path: Option<usize> = None;
    let mut lettered: Option<ThreadKey> = None;
    for (number, (column, (what, thread))) in picture.columns.iter().zip(&all).enumerate() {
        let own = named(*what, *thread);
        let drawn = match what {
            Shown::Doing { state, weight: Weight::Mark } => (',', theme.style(Tone::State(*state))),
            Shown::Doing { state, weight } => {
                let style = theme.style(Tone::State(*state));
                let style = if *weight == Weight::Full { style.add_modifier(Modifier::BOLD) } else { style };
                let next = all.get(number + 1).and_then(|(what, thread)| named(*what, *thread));
                // A letter hides what the thread does: the column after it has to tell.
                let goes_on = own.is_some_and(|(_, thread)| lettered == Some(thread));
                match own.filter(|_| !goes_on && own == next) {
                    Some((_, thread)) => {
                        lettered = Some(thread);
                        (letter(cores, thread), style)
                    }
                    None => {
                        lettered = lettered.filter(|_| goes_on);
                        (theme.block(*state), style)
                    }
                }
            }
            other => match passes(path, column.path.map(|(row, _)| row), row) {
                true => (theme.pick('│', '|'), theme.style(Tone::State(ThreadState::Running))),
                false => blank(*other, theme),
            },
        };
        lettered = lettered.filter(|_| own.is_some());
        path = column
            .path
            .filter(|(_, time)| time.share_of(column.observed).is_some_and(|share| share >= MOSTLY))
            .map(|(row, _)| row);
        put(place, number, drawn.0, drawn.1, buffer);
    }
}

/// What a thread does in a column, and who it is, where both are shown.
fn named(what: Shown, thread: Option<ThreadKey>) -> Option<(ThreadState, ThreadKey)> {
    match what {
        Shown::Doing { state, weight: Weight::Full | Weight::Part } => Some((state, thread?)),
        _ => None,
    }
}

/// Whether the GIL passed a line on its way from one to another.
fn passes(from: Option<usize>, to: Option<usize>, row: usize) -> bool {
    from.zip(to).is_some_and(|(from, to)| (from.min(to) + 1..from.max(to)).contains(&row))
}

fn letter(cores: &Cores<'_>, thread: ThreadKey) -> char {
    cores.process.and_then(|process| process.place(thread)).map_or('*', tag)
}

/// What a column of a lane shows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    /// What the program's threads did there.
    Doing { state: ThreadState, weight: Weight },
    /// Others were there, for so many tenths of the time.
    Others(u32),
    /// Nobody was, and the program might have been.
    Idle,
    /// There is nothing to show.
    Nothing,
    /// Nobody looked.
    Unseen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// Most of the time.
    Full,
    /// Some of it.
    Part,
    /// Hardly any: too little to name.
    Mark,
}

fn shown(cell: &Cell, column: &Column, access: Access, lines: Height) -> Shown {
    if column.seen() == Ns::ZERO {
        return if column.when == When::Watched { Shown::Unseen } else { Shown::Nothing };
    }
    let doing = cell.doing(column);
    let share = |time: Ns| time.share_of(column.seen()).unwrap_or(0.0);
    let (state, most) = doing.most();
    if share(doing.total()) >= HARDLY {
        let weight = if share(most) >= MOSTLY { Weight::Full } else { Weight::Part };
        return Shown::Doing { state, weight };
    }
    let others = cell.other().map_or(0, |share| (share.clamp(0.0, 0.94) * 10.0).round() as u32);
    match (lines, others) {
        _ if doing.total() > Ns::ZERO => Shown::Doing { state, weight: Weight::Mark },
        (Height::One, 1..) => Shown::Others(others),
        _ if access == Access::Denied => Shown::Nothing,
        _ => Shown::Idle,
    }
}

fn blank(shown: Shown, theme: Theme) -> (char, Style) {
    let faint = theme.style(Tone::Faint);
    match shown {
        Shown::Others(tenths) => (char::from_digit(tenths, 10).unwrap_or('9'), faint),
        Shown::Idle => (theme.block(ThreadState::Idle), faint),
        Shown::Unseen => ('?', faint),
        Shown::Nothing | Shown::Doing { .. } => (' ', faint),
    }
}

/// Other programs' load below a core's lane, in tenths.
fn others(picture: &Picture, row: usize, gutter: usize, theme: Theme, place: Rect, buffer: &mut Buffer) {
    lanes::labelled("others ", gutter, theme).draw(place, buffer);
    let place = right_of(gutter, place);
    for (number, column) in picture.columns.iter().enumerate() {
        let symbol = match picture.cell(row, number).other() {
            None if column.is_recent || column.when == When::Outside => ' ',
            None => '?',
            Some(share) => match (share.clamp(0.0, 0.94) * 10.0).round() as u32 {
                0 => ' ',
                tenths => char::from_digit(tenths, 10).unwrap_or('9'),
            },
        };
        put(place, number, symbol, theme.style(Tone::Faint), buffer);
    }
}

fn legend(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let states = [
        (ThreadState::Running, "holds the GIL"),
        (ThreadState::HoldingOffCpu, "holds it, off the core"),
        (ThreadState::Native, "without it"),
        (ThreadState::Runnable, "queued"),
        (ThreadState::Idle, "idle"),
    ];
    for (state, says) in states {
        line.push(format!(" {}", theme.block(state)), theme.style(Tone::State(state)));
        line.push(format!(" {says} "), theme.style(Tone::Faint));
    }
    let rest = [("1-9", "others, in tenths"), (theme.pick("×", "x"), "may not be used"), ("a", "thread a begins")];
    for (symbol, says) in rest {
        line.push_whole(&format!(" {symbol} {says} "), theme.style(Tone::Faint), area.width);
    }
    line.draw(area, buffer);
}
