//! The thread table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::dashboard::columns::{Cell, GAP, NAME_AT_LEAST};
use crate::dashboard::mouse::Spot;
use crate::dashboard::rows::{Order, Row, kind, tag};
use crate::dashboard::state::Focus;
use crate::dashboard::theme::{Theme, Tone, letter, mostly, word};
use crate::dashboard::view::{Foreign, Threads, ViewModel};
use crate::dashboard::widgets::{Line, centred, line_of, rows_shown, titled};
use crate::event::Role;
use crate::model::snapshot::{Length, StateTimes, ThreadState};
use crate::text::{left, right};
use crate::time::Ns;
use crate::units;
use crate::words;

/// Share of a second from which on it is told by one state.
const MOSTLY: f64 = 2.0 / 3.0;

/// Rows of threads that fit into `area` with its title and its header.
pub fn page(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(2))
}

/// What can be pointed at in it: its rows, and the heads of columns.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, Spot)> {
    let table = &view.threads;
    let rows = rows_shown(area, 2, cursor(table), table.rows.len());
    let mut spots: Vec<(Rect, Spot)> = rows.map(|(line, number)| (line, Spot::Row(number))).collect();
    let head = line_of(area, 1);
    let mut x = head.x;
    for (cell, columns) in table.columns.fitting(area.width.into()) {
        let width = u16::try_from(columns + GAP).unwrap_or(u16::MAX);
        spots.push((Rect { x, width, ..head }.intersection(head), Spot::Head(cell.sorts_by())));
        x = x.saturating_add(width);
    }
    spots
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let table = &view.threads;
    let area = titled(area, buffer, theme, "Threads", &remarks(view, theme));
    let cells = table.columns.fitting(area.width.into());
    header(table, &cells, theme, line_of(area, 0), buffer);
    if table.rows.is_empty() {
        let why = match (table.of, table.filter.is_empty()) {
            (0, _) => "no thread seen yet",
            (_, false) => "no thread matches the filter: Esc clears it",
            (_, true) => "no threads",
        };
        let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
        centred(below, buffer, why, theme.style(Tone::Faint));
        return;
    }
    for (line, number) in rows_shown(area, 1, cursor(table), table.rows.len()) {
        let Some(row) = table.rows.get(number) else { break };
        draw_row(table, row, &cells, theme, line, buffer);
        if table.selected == Some(row.thread.key) {
            // Over whatever the cells have, so that the row is one bar also where they have colours of their own.
            buffer.set_style(line.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
}

/// Where the table has scrolled to; to its beginning, as long as nothing was selected.
fn cursor(table: &Threads<'_>) -> usize {
    if table.selected.is_some() { table.cursor } else { 0 }
}

fn remarks(view: &ViewModel<'_>, theme: Theme) -> Vec<(String, Tone)> {
    let table = &view.threads;
    let shown: usize = table.rows.iter().map(Row::count).sum();
    let count = match shown == table.of {
        true => units::count(table.of as u64),
        false => format!("{} of {}", units::count(shown as u64), units::count(table.of as u64)),
    };
    let arrow = match table.sort.order {
        Order::Falling => theme.pick('▼', 'v'),
        Order::Rising => theme.pick('▲', '^'),
    };
    let mut remarks = vec![(count, Tone::Plain), (format!("by {} {arrow}", table.sort.column.title()), Tone::Plain)];
    const FILTER_COLUMNS: usize = 24;
    match &view.focus {
        Focus::Filter { .. } => {
            remarks.push((format!("filter: {}{}", table.filter.end(FILTER_COLUMNS), theme.pick('▏', '_')), Tone::Warn));
        }
        _ if !table.filter.is_empty() => {
            remarks.push((format!("filter: {}", table.filter.fit(FILTER_COLUMNS)), Tone::Warn));
        }
        _ => {}
    }
    remarks
}

fn is_left(cell: Cell) -> bool {
    matches!(cell, Cell::Tag | Cell::State | Cell::Word | Cell::Name | Cell::History | Cell::Bar)
}

fn header(table: &Threads<'_>, cells: &[(Cell, usize)], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    for (cell, columns) in cells {
        let title = crate::text::cut(cell.title(), *columns);
        let text = if is_left(*cell) { left(&title, *columns) } else { right(&title, *columns) };
        let style = match cell.sorts_by() == table.sort.column {
            true => theme.style(Tone::Title).add_modifier(Modifier::UNDERLINED),
            false => theme.style(Tone::Label),
        };
        line.push(text, style);
        line.push(" ".repeat(GAP), Style::new());
    }
    line.draw(area, buffer);
}

fn draw_row(
    table: &Threads<'_>,
    row: &Row<'_>,
    cells: &[(Cell, usize)],
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let thread = row.thread;
    let state = Tone::State(thread.now);
    let ended = thread.now == ThreadState::Ended;
    let plain = if ended { Tone::Faint } else { Tone::Plain };
    let percent = |part: fn(&StateTimes) -> Ns| row.share(part).map_or("?".to_owned(), units::percent);
    let length = |length: Option<Length>| length.map_or("-".to_owned(), words::length);
    let mut line = Line::new();
    for (cell, columns) in cells {
        let (text, tone) = match cell {
            Cell::Tag if row.together.is_some() => ("*".to_owned(), plain),
            Cell::Tag => (tag(row.place).to_string(), Tone::Thread(row.place)),
            Cell::State => (letter(thread.now).to_string(), state),
            Cell::Word => (word(thread.now).to_owned(), state),
            Cell::Name => (name(row, *columns), plain),
            Cell::Tid | Cell::Core | Cell::History | Cell::P50 | Cell::P99 if row.together.is_some() => {
                (String::new(), plain)
            }
            Cell::Tid => (thread.tid.map_or("?".to_owned(), |tid| tid.0.to_string()), plain),
            Cell::Core => (thread.cpu.map_or("?".to_owned(), |cpu| cpu.0.to_string()), plain),
            Cell::History => {
                history(&table.lately.of(thread.key), *columns, theme, &mut line);
                line.push(" ".repeat(GAP), Style::new());
                continue;
            }
            Cell::Bar => {
                states(row.recent, *columns, theme, &mut line);
                line.push(" ".repeat(GAP), Style::new());
                continue;
            }
            Cell::Wait => (percent(|s| s.waiting), alarming(row, plain)),
            Cell::Hold => (percent(StateTimes::holding), plain),
            Cell::Native => (percent(|s| s.native), plain),
            Cell::Lost => (row.lost().to_string(), plain),
            Cell::Waits => (units::count(row.waits()), plain),
            Cell::P50 => (length(row.quantile(0.5)), plain),
            Cell::P99 => (length(row.quantile(0.99)), plain),
            Cell::Max => (length(row.longest()), plain),
        };
        let text = crate::text::cut(&text, *columns);
        line.push(if is_left(*cell) { left(&text, *columns) } else { right(&text, *columns) }, theme.style(tone));
        line.push(" ".repeat(GAP), Style::new());
    }
    line.draw(area, buffer);
}

fn alarming(row: &Row<'_>, plain: Tone) -> Tone {
    match row.share(|s| s.waiting) {
        Some(share) if share >= 0.3 => Tone::Bad,
        Some(share) if share >= 0.1 => Tone::Warn,
        _ => plain,
    }
}

fn name(row: &Row<'_>, columns: usize) -> String {
    let thread = row.thread;
    if let Some(together) = row.together {
        let count = format!(" x{}", units::count(together.count as u64));
        let name = if thread.name.is_empty() { "(no name)" } else { &thread.name };
        let room = columns.saturating_sub(count.len());
        return format!("{}{count}", Foreign::new(&kind(name)).fit_name(room));
    }
    let role = match thread.role {
        Role::Main => " (main)",
        Role::Native => " (native)",
        Role::Python => "",
    };
    let role = if thread.name == "MainThread" { "" } else { role };
    let room = columns.saturating_sub(role.len());
    match (thread.name.is_empty(), room >= NAME_AT_LEAST) {
        (true, _) => "(no name)".to_owned(),
        (false, true) => format!("{}{role}", Foreign::new(&thread.name).fit_name(room)),
        (false, false) => Foreign::new(&thread.name).fit_name(columns),
    }
}

/// What a thread mostly did in each of the last seconds.
fn history(seconds: &[Option<StateTimes>], columns: usize, theme: Theme, line: &mut Line) {
    let shown = seconds.get(seconds.len().saturating_sub(columns)..).unwrap_or_default();
    line.push(" ".repeat(columns.saturating_sub(shown.len())), Style::new());
    for times in shown {
        let (symbol, tone) = times.as_ref().map_or((' ', Tone::Plain), |times| second(times, theme));
        line.push_symbol(symbol, theme.style(tone));
    }
}

/// The block of the state that took two thirds of some time; where none did, the letter of the one that took most.
fn second(times: &StateTimes, theme: Theme) -> (char, Tone) {
    let total = times.total();
    let share = |state| time_in(times, state).share_of(total).unwrap_or(0.0);
    let most = ThreadState::ALL.into_iter().max_by(|one, other| share(*one).total_cmp(&share(*other)));
    match most {
        Some(state) if share(state) >= MOSTLY => (theme.block(state), Tone::State(state)),
        Some(state) => (mostly(state), Tone::State(state)),
        None => (' ', Tone::Plain),
    }
}

/// Time by state, in blocks; what is left over by rounding goes to the largest.
pub(super) fn states(times: Option<StateTimes>, columns: usize, theme: Theme, line: &mut Line) {
    let Some(times) = times.filter(|times| times.total() > Ns::ZERO) else {
        line.push(left("?", columns), theme.style(Tone::Faint));
        return;
    };
    let total = times.total();
    let parts = ThreadState::ALL.map(|state| (state, time_in(&times, state)));
    let mut cells: Vec<(ThreadState, usize)> = parts
        .iter()
        .map(|(state, time)| {
            let exact = time.share_of(total).unwrap_or(0.0) * columns as f64;
            (*state, exact.round() as usize)
        })
        .collect();
    let drawn: usize = cells.iter().map(|(_, columns)| columns).sum();
    if let Some((_, most)) = cells.iter_mut().max_by_key(|(_, columns)| *columns) {
        *most = (*most + columns).saturating_sub(drawn);
    }
    let mut room = columns;
    for (state, columns) in cells {
        let columns = columns.min(room);
        room -= columns;
        line.push(theme.block(state).to_string().repeat(columns), theme.style(Tone::State(state)));
    }
    line.push(" ".repeat(room), Style::new());
}

/// Of these, the time in a state.
pub(super) fn time_in(times: &StateTimes, state: ThreadState) -> Ns {
    match state {
        ThreadState::Running => times.running,
        ThreadState::HoldingOffCpu => times.holding_off_cpu,
        ThreadState::Waiting => times.waiting,
        ThreadState::HandingOver => times.handing_over,
        ThreadState::Native => times.native,
        ThreadState::Runnable => times.runnable,
        ThreadState::Idle => times.idle,
        ThreadState::Unknown => times.unknown,
        ThreadState::Ended => Ns::ZERO,
    }
}
