//! The table of threads: those who lost most come first, and what does not fit is dropped in a declared order.

use std::cmp::Reverse;

use unicode_width::UnicodeWidthStr;

use crate::event::Role;
use crate::findings::figures;
use crate::findings::thresholds::CONTENTION_MATTERS;
use crate::model::snapshot::{Length, StateTimes, ThreadFigures};
use crate::report::paint::{self, Line, Style};
use crate::time::Ns;
use crate::units;

/// Rows shown; the rest is summed up in one.
const ROWS: usize = 20;
const NAME_MIN: usize = 12;
const NAME_MAX: usize = 28;
/// Marks before a name.
const MARKS: usize = 2;

/// A column, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Tid,
    Lost,
    Wait,
    Hold,
    OffCpu,
    HandingOver,
    Native,
    Runnable,
    Idle,
    Unknown,
    Waits,
    P50,
    P99,
    Max,
    Rounds,
}

const ORDER: [Column; 15] = [
    Column::Tid,
    Column::Lost,
    Column::Wait,
    Column::Hold,
    Column::OffCpu,
    Column::HandingOver,
    Column::Native,
    Column::Runnable,
    Column::Idle,
    Column::Unknown,
    Column::Waits,
    Column::P50,
    Column::P99,
    Column::Max,
    Column::Rounds,
];

/// What goes first where there is no room. What is not in here always stays.
const DROPPED: [Column; 12] = [
    Column::Rounds,
    Column::HandingOver,
    Column::P50,
    Column::P99,
    Column::Idle,
    Column::Tid,
    Column::Waits,
    Column::Unknown,
    Column::Native,
    Column::Runnable,
    Column::Max,
    Column::OffCpu,
];

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Tid => "tid",
            Column::Lost => "lost",
            Column::Wait => "wait",
            Column::Hold => "hold",
            Column::OffCpu => "off",
            Column::HandingOver => "hand",
            Column::Native => "native",
            Column::Runnable => "queue",
            Column::Idle => "idle",
            Column::Unknown => "?",
            Column::Waits => "waits",
            Column::P50 => "wait p50",
            Column::P99 => "wait p99",
            Column::Max => "wait max",
            Column::Rounds => "rounds",
        }
    }

    /// What the title stands for, where it does not say so itself.
    fn legend(self) -> Option<&'static str> {
        Some(match self {
            Column::Lost => "lost: time waiting for the GIL",
            Column::OffCpu => "off: of that, asleep or kept off its core",
            Column::Hold => "hold: has it",
            Column::HandingOver => "hand: gave it up by force, until another has it",
            Column::Native => "native: on a core without the GIL",
            Column::Runnable => "queue: wants a core, not the GIL",
            Column::Unknown => "?: not observed",
            Column::Rounds => "rounds: handoffs to others while it waited",
            _ => return None,
        })
    }

    fn cell(self, thread: &ThreadFigures) -> Cell {
        match self {
            Column::Tid => Cell::of(thread.tid.map(|tid| tid.0.to_string())),
            Column::Lost => Cell::time(thread.lost),
            Column::Waits => Cell::count(Some(thread.waits.count().saturating_add(thread.waits.censored))),
            Column::P50 => Cell::length(thread.waits.quantile(0.5)),
            Column::P99 => Cell::length(thread.waits.quantile(0.99)),
            Column::Max => Cell::length(thread.waits.max()),
            Column::Rounds => Cell::count(thread.rounds_lost),
            state => Cell::share(state.of(&thread.states), thread.states.total()),
        }
    }

    /// The cell of the row that sums up the rest; empty where no sum makes sense.
    fn sum(self, threads: &[&ThreadFigures], states: &StateTimes) -> Cell {
        match self {
            Column::Lost => Cell::time(threads.iter().map(|t| t.lost).sum()),
            Column::Waits => Cell::count(Some(
                threads.iter().map(|t| t.waits.count().saturating_add(t.waits.censored)).fold(0, u64::saturating_add),
            )),
            Column::Rounds => Cell::count(
                threads.iter().map(|t| t.rounds_lost).try_fold(0u64, |sum, rounds| Some(sum.saturating_add(rounds?))),
            ),
            Column::Tid | Column::P50 | Column::P99 | Column::Max => Cell::Nothing(String::new()),
            state => Cell::share(state.of(states), states.total()),
        }
    }

    fn of(self, states: &StateTimes) -> Ns {
        match self {
            Column::Wait => states.waiting,
            Column::Hold => states.holding(),
            Column::OffCpu => states.holding_off_cpu,
            Column::HandingOver => states.handing_over,
            Column::Native => states.native,
            Column::Runnable => states.runnable,
            Column::Idle => states.idle,
            _ => states.unknown,
        }
    }
}

/// A cell's text, and whether it says anything: a column that says nothing is left out.
enum Cell {
    Something(String),
    Nothing(String),
}

impl Cell {
    fn of(text: Option<String>) -> Cell {
        text.map_or(Cell::Nothing("-".to_owned()), Cell::Something)
    }

    fn share(part: Ns, whole: Ns) -> Cell {
        match part.share_of(whole).and_then(figures::share) {
            Some(share) => {
                let text = units::percent(share);
                let bare = text.strip_suffix(" %").unwrap_or(&text).to_owned();
                if part == Ns::ZERO { Cell::Nothing(bare) } else { Cell::Something(bare) }
            }
            None => Cell::Nothing("-".to_owned()),
        }
    }

    fn time(length: Ns) -> Cell {
        if length == Ns::ZERO { Cell::Nothing("0".to_owned()) } else { Cell::Something(length.to_string()) }
    }

    fn count(count: Option<u64>) -> Cell {
        match count {
            Some(0) => Cell::Nothing("0".to_owned()),
            Some(count @ 1..1_000_000) => Cell::Something(units::count(count)),
            Some(count) => Cell::Something(units::rate(count as f64).trim_end_matches("/s").to_owned()),
            None => Cell::Nothing("-".to_owned()),
        }
    }

    fn length(length: Option<Length>) -> Cell {
        Cell::of(length.map(crate::words::length))
    }

    fn text(&self) -> &str {
        match self {
            Cell::Something(text) | Cell::Nothing(text) => text,
        }
    }
}

/// The table's lines, title and legend included; none for no threads.
pub(super) fn lines(threads: &[ThreadFigures], gil: Gil, width: usize) -> Vec<Line> {
    let mut sorted: Vec<&ThreadFigures> = threads.iter().collect();
    sorted.sort_by_key(|t| (Reverse((t.lost, t.states.holding())), t.key));
    if sorted.is_empty() {
        return vec![Line::new().with(Style::Faint, "  none has been seen yet")];
    }
    // One row of sums for one thread would hide it for nothing.
    let shown = if sorted.len() <= ROWS + 1 { sorted.len() } else { ROWS };
    let (top, rest) = sorted.split_at(shown);
    let names: Vec<String> = top.iter().map(|thread| paint::foreign(&name(thread), NAME_MAX)).collect();
    let wanted = names.iter().map(|name| name.width()).max().unwrap_or(0).clamp(NAME_MIN, NAME_MAX);
    let columns = fitting(top, rest, gil, width.saturating_sub(MARKS + wanted));
    let taken: usize = columns.iter().map(Filled::taken).sum();
    let name_width = wanted.min(width.saturating_sub(MARKS + taken));
    let mut lines = vec![header(&columns, name_width)];
    lines.extend(
        top.iter().zip(&names).enumerate().map(|(i, (thread, name))| row(thread, i, name, &columns, name_width)),
    );
    if !rest.is_empty() {
        lines.push(sum_row(rest.len(), &columns, name_width));
    }
    lines.extend(legend(&columns, top, width));
    lines
}

/// Whether there is a GIL to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gil {
    Present,
    Absent,
}

/// A column with its cells, and as wide as they are.
struct Filled {
    column: Column,
    cells: Vec<Cell>,
    sum: Cell,
    width: usize,
}

impl Filled {
    fn new(column: Column, top: &[&ThreadFigures], rest: &[&ThreadFigures], states: &StateTimes) -> Filled {
        let cells: Vec<Cell> = top.iter().map(|thread| column.cell(thread)).collect();
        let sum = column.sum(rest, states);
        let texts = cells.iter().chain([&sum]).map(|cell| cell.text().width());
        let width = texts.max().unwrap_or(0).max(column.title().width());
        Filled { column, cells, sum, width }
    }

    /// Columns of the terminal that it takes, the blanks before it included.
    fn taken(&self) -> usize {
        self.width + 2
    }

    fn says_something(&self, gil: Gil) -> bool {
        let always = gil == Gil::Present && matches!(self.column, Column::Lost | Column::Wait | Column::Hold);
        always || self.cells.iter().chain([&self.sum]).any(|cell| matches!(cell, Cell::Something(_)))
    }
}

/// The columns that say something and fit into `room`.
fn fitting(top: &[&ThreadFigures], rest: &[&ThreadFigures], gil: Gil, room: usize) -> Vec<Filled> {
    let states: StateTimes = rest.iter().map(|thread| &thread.states).sum();
    let mut columns: Vec<Filled> = ORDER
        .into_iter()
        .map(|column| Filled::new(column, top, rest, &states))
        .filter(|filled| filled.says_something(gil))
        .collect();
    for dropped in DROPPED {
        if columns.iter().map(Filled::taken).sum::<usize>() <= room {
            break;
        }
        columns.retain(|filled| filled.column != dropped);
    }
    columns
}

fn header(columns: &[Filled], name_width: usize) -> Line {
    let mut text = paint::left("  thread", name_width + MARKS);
    for filled in columns {
        text.push_str("  ");
        text.push_str(&paint::right(filled.column.title(), filled.width));
    }
    Line::new().with(Style::Faint, text)
}

fn name(thread: &ThreadFigures) -> String {
    match (thread.name.is_empty(), thread.role) {
        (false, _) => thread.name.clone(),
        (true, Role::Main) => "main thread".to_owned(),
        (true, Role::Python | Role::Native) => "(no name)".to_owned(),
    }
}

fn mark(thread: &ThreadFigures) -> char {
    match (thread.role, thread.end) {
        (_, Some(_)) => '†',
        (Role::Main, None) => '*',
        (Role::Python | Role::Native, None) => ' ',
    }
}

fn row(thread: &ThreadFigures, number: usize, name: &str, columns: &[Filled], name_width: usize) -> Line {
    let name = paint::left(&paint::cut(name, name_width), name_width);
    let mut line = Line::new().with(Style::Plain, format!("{} {name}", mark(thread)));
    let suffers = figures::lost_share(thread).is_some_and(|share| share >= CONTENTION_MATTERS);
    for filled in columns {
        let Some(cell) = filled.cells.get(number) else { continue };
        let style = match (filled.column, cell) {
            (Column::Lost | Column::Wait, Cell::Something(_)) if suffers => Style::Warn,
            (_, Cell::Nothing(_)) => Style::Faint,
            (_, Cell::Something(_)) => Style::Plain,
        };
        line.push(style, format!("  {}", paint::right(cell.text(), filled.width)));
    }
    line
}

fn sum_row(rest: usize, columns: &[Filled], name_width: usize) -> Line {
    let label = format!("… and {} more", units::count(rest as u64));
    let mut text = paint::left(&paint::cut(&label, name_width + MARKS), name_width + MARKS);
    for filled in columns {
        text.push_str("  ");
        text.push_str(&paint::right(filled.sum.text(), filled.width));
    }
    Line::new().with(Style::Faint, text)
}

fn legend(columns: &[Filled], rows: &[&ThreadFigures], width: usize) -> Vec<Line> {
    let mut parts: Vec<&str> = Vec::new();
    if rows.iter().any(|thread| mark(thread) == '*') {
        parts.push("* main thread");
    }
    if rows.iter().any(|thread| mark(thread) == '†') {
        parts.push("† ended");
    }
    parts.push("states in % of a thread's time");
    parts.extend(columns.iter().filter_map(|filled| filled.column.legend()));
    if columns.iter().any(|filled| filled.cells.iter().any(|cell| cell.text() == "-")) {
        parts.push("-: none, or not known");
    }
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.width() + 3 + part.width() + 2 <= width => {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::new().with(Style::Faint, format!("  {line}"))).collect()
}
