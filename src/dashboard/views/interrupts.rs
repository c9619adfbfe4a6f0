//! Interrupts: how long signals waited for their Python handlers, how long the next one would, and why.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::signals::Signals;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::table::{self, Column, Side};
use crate::dashboard::widgets::{Line, centred, delays, line_of, rows_shown, segments, take_top, titled, wrapped};
use crate::model::snapshot::{Distribution, Length, MeasuredInterrupts, PendingInterrupt, PredictedInterrupt};
use crate::text::left;
use crate::units;
use crate::words;

/// Lines that the histograms keep before causes and remarks get any: title and buckets.
const HISTOGRAMS: u16 = 6;
/// Lines of the table: title, header, and the first row of what came and what is predicted.
const TABLE: u16 = 4;
/// Fewer lines of a panel say nothing: its title, and one of what it shows.
const LEAST: u16 = 2;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Signal,
    From,
    Count,
    P50,
    P90,
    P99,
    Max,
    Mostly,
}

/// In the order in which they are shown: title, width, and the narrowest table that still shows the column.
const CELLS: [(Cell, &str, usize, u16); 8] = [
    (Cell::Signal, "signal", 10, 0),
    (Cell::From, "from", 5, 68),
    (Cell::Count, "times", 7, 0),
    (Cell::P50, "p50", 8, 0),
    (Cell::P90, "p90", 8, 50),
    (Cell::P99, "p99", 8, 30),
    (Cell::Max, "max", 8, 40),
    (Cell::Mostly, " mostly", 0, 74),
];

/// Where its panels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Places {
    table: Rect,
    delays: Rect,
    causes: Rect,
    remarks: Rect,
}

fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn places(signals: &Signals<'_>, mut area: Rect) -> Places {
    let rows = signals.measured().len().max(1) + signals.pending().len() + usize::from(signals.predicted().is_some());
    let buckets = delays::wanted(signals);
    let kept = buckets.min(HISTOGRAMS);
    // Title and header; and a third of the screen, where there are very many.
    let wanted = lines(rows).saturating_add(2);
    let most = if wanted > area.height / 2 { area.height / 3 } else { area.height.saturating_sub(kept) };
    let table = wanted.min(most.max(TABLE)).min(area.height);
    let spare = area.height.saturating_sub(table).saturating_sub(kept);
    let least = |height: u16| if height < LEAST { 0 } else { height };
    let causes = least(segments::wanted(signals).min(spare));
    let remarks = least(lines(remarks(signals, area.width).len()).saturating_add(1).min(spare - causes));
    let left = area.height.saturating_sub(table).saturating_sub(causes + remarks);
    Places {
        table: take_top(table, &mut area),
        delays: take_top(buckets.min(left), &mut area),
        causes: take_top(causes, &mut area),
        remarks: take_top(remarks, &mut area),
    }
}

/// Signals that fit into the table.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    let signals = &view.signals;
    shares(signals, places(signals, area).table).0
}

/// The signals on the screen, each with its row.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let signals = &view.signals;
    let table = places(signals, area).table;
    let (room, _) = shares(signals, table);
    rows_shown(signal_rows(table, room, 2), 2, signals.cursor, signals.measured().len()).collect()
}

/// What of the table is left for `room` signals, with the `above` lines before them.
fn signal_rows(table: Rect, room: usize, above: u16) -> Rect {
    Rect { height: table.height.min(lines(room).saturating_add(above)), ..table }
}

/// How many signals and how many pending ones there is room for. What goes on comes first.
fn shares(signals: &Signals<'_>, table: Rect) -> (usize, usize) {
    let room = usize::from(table.height.saturating_sub(2));
    let predicted = usize::from(signals.predicted().is_some());
    // The head tells of the oldest one as well.
    let pending = signals.pending().len().min(room / 3);
    (room.saturating_sub(pending + predicted).min(signals.measured().len().max(1)), pending)
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let signals = &view.signals;
    if signals.figures.is_none() {
        let area = titled(area, buffer, theme, "Interrupts", &[]);
        centred(area, buffer, "signals have not been looked at", theme.style(Tone::Faint));
        return;
    }
    let places = places(signals, area);
    signal_table(signals, theme, places.table, buffer);
    if places.delays.height >= LEAST {
        delays::draw(signals, theme, places.delays, buffer);
    }
    if !places.causes.is_empty() {
        segments::draw(signals, theme, places.causes, buffer);
    }
    if !places.remarks.is_empty() {
        let area = titled(places.remarks, buffer, theme, "What to know", &[]);
        for (number, (text, tone)) in remarks(signals, area.width).into_iter().enumerate() {
            let mut line = Line::new();
            line.push(text, theme.style(tone));
            line.draw(line_of(area, number), buffer);
        }
    }
}

fn signal_table(signals: &Signals<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut title = Vec::new();
    if let Some(newest) = signals.figures.and_then(|figures| figures.newest) {
        let known = newest.delay >= newest.resolution;
        let length = if known { Length::Known(newest.delay) } else { Length::Below(newest.resolution) };
        let (name, ago) = (words::signal(newest.signal), signals.at.since(newest.at));
        title.push((format!("last {name} {}, {ago} ago", words::length(length)), Tone::Plain));
    }
    title.push(("from a signal to the start of its Python handler".to_owned(), Tone::Faint));
    let area = titled(area, buffer, theme, "Interrupts", &title);
    let cells = layout(area.width);
    table::header(&cells, side, theme, line_of(area, 0), buffer);
    let full = Rect { y: area.y.saturating_sub(1), height: area.height.saturating_add(1), ..area };
    let (room, waiting) = shares(signals, full);
    let measured = signals.measured();
    let mut next = 1;
    for (place, number) in rows_shown(signal_rows(area, room, 1), 1, signals.cursor, measured.len()) {
        let Some(row) = measured.get(number) else { break };
        table::line(&cells, side, |(cell, ..)| of_measured(row, cell), theme, place, buffer);
        if signals.selected.is_some() && signals.cursor == number {
            buffer.set_style(place.intersection(buffer.area), theme.style(Tone::Selected));
        }
        next += 1;
    }
    if measured.is_empty() && room > 0 {
        let mut line = Line::new();
        line.push(" none has come", theme.style(Tone::Faint));
        line.draw(line_of(area, next), buffer);
        next += 1;
    }
    if let Some(predicted) = signals.predicted() {
        let place = line_of(area, next);
        table::line(&cells, side, |(cell, ..)| of_predicted(predicted, cell), theme, place, buffer);
        next += 1;
    }
    let pending = signals.pending();
    for (number, one) in pending.iter().take(waiting).enumerate() {
        let hidden = if number + 1 == waiting { pending.len() - waiting } else { 0 };
        draw_pending(one, hidden, signals, theme, line_of(area, next + number), buffer);
    }
}

/// The columns that fit, with their widths; the last takes what is left.
fn layout(width: u16) -> Vec<Column<Cell>> {
    let (mut cells, spare) = table::fitting(&CELLS, width);
    if let Some((Cell::Mostly, _, columns)) = cells.last_mut() {
        *columns = spare;
    }
    cells
}

fn side(cell: Cell) -> Side {
    match cell {
        Cell::Signal | Cell::From | Cell::Mostly => Side::Left,
        _ => Side::Right,
    }
}

fn quantile(delay: &Distribution, cell: Cell) -> String {
    let length = match cell {
        Cell::P50 => delay.quantile(0.5),
        Cell::P90 => delay.quantile(0.9),
        Cell::P99 => delay.quantile(0.99),
        _ => delay.max(),
    };
    length.map_or("-".to_owned(), words::length)
}

fn of_measured(row: &MeasuredInterrupts, cell: Cell) -> (String, Tone) {
    match cell {
        Cell::Signal => (words::signal(row.signal), Tone::Strong),
        Cell::From => (words::arrival(row.from).to_owned(), Tone::Faint),
        Cell::Count => (units::count(row.delay.count()), Tone::Plain),
        Cell::P50 | Cell::P90 | Cell::P99 | Cell::Max => (quantile(&row.delay, cell), Tone::Plain),
        Cell::Mostly => {
            let longest = row.segments.longest().map_or("-", |(segment, _)| words::segment(segment));
            (format!(" {longest}"), Tone::Plain)
        }
    }
}

fn of_predicted(predicted: &PredictedInterrupt, cell: Cell) -> (String, Tone) {
    match cell {
        Cell::Signal => ("predicted".to_owned(), Tone::Strong),
        Cell::From => ("any".to_owned(), Tone::Faint),
        Cell::Count => ("-".to_owned(), Tone::Plain),
        Cell::P50 | Cell::P90 | Cell::P99 | Cell::Max => (quantile(&predicted.delay, cell), Tone::Plain),
        Cell::Mostly => {
            let of = |name: &str, range| Some(format!("{name} {}", words::range(range?)));
            let ranges: Vec<String> =
                [of("p50", predicted.p50_range), of("p90", predicted.p90_range)].into_iter().flatten().collect();
            (format!(" {}", ranges.join(", ")), Tone::Faint)
        }
    }
}

/// A signal whose handler has not started, and how many there are beyond it.
fn draw_pending(
    pending: &PendingInterrupt,
    hidden: usize,
    signals: &Signals<'_>,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut line = Line::new();
    line.push(format!(" {} ", left(&words::signal(pending.signal), 10)), theme.style(Tone::Strong));
    line.push(format!("pending for {}", signals.at.since(pending.since)), theme.style(Tone::Bad));
    line.push(format!("  {}", words::stage(pending.stage)), Style::new());
    if let Some(fault) = pending.fault {
        line.push(format!("; {}", words::fault(fault)), theme.style(Tone::Warn));
    }
    if hidden > 0 {
        line.push_right(format!("{} more pending ", units::count(hidden as u64)), theme.style(Tone::Bad));
    }
    line.draw(area, buffer);
}

/// What one has to know beside the figures, in lines.
fn remarks(signals: &Signals<'_>, width: u16) -> Vec<(String, Tone)> {
    let mut remarks: Vec<(String, Tone)> = Vec::new();
    if let Some(shown) = signals.shown() {
        let name = words::signal(shown.signal);
        remarks.extend(words::faults(shown).into_iter().map(|fault| (format!("{name} {fault}"), Tone::Warn)));
        let others = words::remarks(shown);
        if !others.is_empty() {
            remarks.push((format!("{name}: {}", others.join(", ")), Tone::Plain));
        }
    }
    if let Some(predicted) = signals.predicted() {
        let reservations = words::reservations(predicted).into_iter();
        remarks.extend(reservations.map(|text| (format!("predicted: {text}"), Tone::Plain)));
    }
    if let Some(unresolved) = signals.figures.map(|figures| figures.unresolved).filter(|count| *count > 0) {
        remarks.push((words::unresolved(unresolved), Tone::Plain));
    }
    let room = usize::from(width).saturating_sub(4);
    let mut out = Vec::new();
    for (text, tone) in remarks {
        for (number, line) in wrapped(&text, room).into_iter().enumerate() {
            out.push((format!("{}{line}", if number == 0 { " - " } else { "   " }), tone));
        }
    }
    out
}
