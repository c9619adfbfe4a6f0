//! Who waited behind whom: a row for each waiter, a column for each holder and one for the scheduler.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::dashboard::blame::{Behind, Matrix, Measure, Waiter};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::widgets::{Line, centred, line_of, titled, who};
use crate::event::StacksMissing;
use crate::text::{cut, left, right};
use crate::time::Ns;
use crate::units;

/// Lines that are no rows: title, header and totals.
const FRAME: usize = 3;
/// Columns of a total.
const TOTAL: usize = 8;
/// Columns of a share.
const SHARE: usize = 7;
/// Columns of a cell: glyph and figure.
const CELL: usize = 10;
/// The same where there is room for whole names.
const WIDE: usize = 20;
/// Columns of a waiter's name.
const NAME: (usize, usize) = (8, 24);

/// What of it is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    /// Columns of a waiter's name, and of a cell.
    name: usize,
    cell: usize,
    /// The first row, and how many there are.
    rows: (usize, usize),
    /// Which columns.
    columns: Vec<usize>,
}

/// Lines it would use.
pub fn wanted(matrix: &Matrix<'_>) -> u16 {
    u16::try_from(matrix.waiters.len().max(1) + FRAME).unwrap_or(u16::MAX)
}

/// Rows that fit into `area`.
pub fn page(area: Rect) -> usize {
    usize::from(area.height).saturating_sub(FRAME)
}

fn shown(matrix: &Matrix<'_>, area: Rect) -> Shown {
    let width = usize::from(area.width);
    let name = (width / 5).clamp(NAME.0, NAME.1);
    // Letter, name and total, each with a gap.
    let room = width.saturating_sub(2 + name + 1 + TOTAL + 1);
    let all = matrix.columns.len();
    let cell = (room / all.max(1)).saturating_sub(1).clamp(CELL, WIDE);
    let fit = (room / (cell + 1)).min(all);
    let rows = page(area).min(matrix.waiters.len());
    let first = matrix.at.0.saturating_sub(rows / 2).min(matrix.waiters.len() - rows);
    Shown { name, cell, rows: (first, rows), columns: columns(all, matrix.at.1, fit) }
}

/// `fit` of all columns: the scheduler's stays, the others scroll so that the cursor's is among them.
fn columns(all: usize, cursor: usize, fit: usize) -> Vec<usize> {
    match fit {
        0 => Vec::new(),
        1 => vec![cursor],
        fit => {
            let (scrolling, beside) = (all - 1, fit - 1);
            let first = cursor.saturating_sub(1).saturating_sub(beside / 2).min(scrolling - beside);
            std::iter::once(0).chain(1 + first..1 + first + beside).collect()
        }
    }
}

/// Draws it.
pub fn draw(matrix: &Matrix<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let shown = shown(matrix, area);
    let inner = titled(area, buffer, theme, "Blame", &remarks(matrix, &shown));
    if matrix.waiters.is_empty() {
        let why = match matrix.total {
            Ns::ZERO => "nobody has waited for the GIL",
            _ => "nobody whom the filter lets through has waited for the GIL",
        };
        centred(inner, buffer, why, theme.style(Tone::Faint));
        return;
    }
    header(matrix, &shown, theme, line_of(inner, 0), buffer);
    let (first, rows) = shown.rows;
    for (number, (waiter, time)) in matrix.waiters.iter().enumerate().skip(first).take(rows) {
        row(matrix, (number, *waiter, *time), &shown, theme, line_of(inner, 1 + number - first), buffer);
    }
    totals(matrix, &shown, theme, line_of(inner, 1 + rows), buffer);
}

fn remarks(matrix: &Matrix<'_>, shown: &Shown) -> Vec<(String, Tone)> {
    if matrix.waiters.is_empty() {
        return Vec::new();
    }
    let what = match matrix.choice.measure {
        Measure::OfAll => "shares of all waiting",
        Measure::OfWaiter => "shares of each waiter's own",
        Measure::Time => "times",
    };
    let mut remarks = vec![(format!("{} waited,", matrix.total), Tone::Strong)];
    let ((first, rows), all) = (shown.rows, matrix.waiters.len());
    if rows < all {
        remarks.push((format!("rows {}-{} of {},", first + 1, first + rows, all), Tone::Warn));
    }
    if shown.columns.len() < matrix.columns.len() {
        remarks.push((format!("columns {} of {},", shown.columns.len(), matrix.columns.len()), Tone::Warn));
    }
    remarks.push((format!("{what},"), Tone::Faint));
    if let Some(figures) = matrix.figures() {
        let samples = match figures.missing {
            None => format!("{} samples", units::count(figures.samples)),
            Some(missing) => why(missing).to_owned(),
        };
        remarks.push((samples, Tone::Faint));
    }
    if let Some(more) = matrix.unnamed() {
        remarks.push((format!("({more} more lost by waiters that were counted, not seen who)"), Tone::Warn));
    }
    remarks
}

/// Why there are no stacks.
pub fn why(missing: StacksMissing) -> &'static str {
    match missing {
        StacksMissing::NotAsked => "stacks: not asked for",
        StacksMissing::UnknownLayout => "no stacks: this interpreter's frames cannot be read",
        StacksMissing::Unreadable => "no stacks: the program's memory cannot be read for them",
    }
}

/// A holder's letter, its name in at most `width` columns, and how it is coloured.
pub fn holder(matrix: &Matrix<'_>, behind: Behind, width: usize) -> (char, String, Tone) {
    match behind {
        Behind::Scheduler => (' ', cut("scheduler", width), Tone::Plain),
        Behind::Thread(key) => who::thread(matrix.process, key, width),
        Behind::Others => (' ', cut("others", width), Tone::Plain),
        Behind::Unknown => (' ', cut("not seen", width), Tone::Plain),
    }
}

/// The same of a waiter.
pub fn waiting(matrix: &Matrix<'_>, waiter: Waiter, width: usize) -> (char, String, Tone) {
    match waiter {
        Waiter::Thread(key) => who::thread(matrix.process, key, width),
        Waiter::Others => (' ', cut("others", width), Tone::Plain),
    }
}

fn of_cursor(style: Style) -> Style {
    style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
}

fn header(matrix: &Matrix<'_>, shown: &Shown, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(left("  waiter", 2 + shown.name), theme.style(Tone::Label));
    line.push(format!(" {}", right("waited", TOTAL)), theme.style(Tone::Label));
    for number in &shown.columns {
        let Some((behind, _)) = matrix.columns.get(*number) else { continue };
        let is_thread = matches!(behind, Behind::Thread(_));
        let room = shown.cell - if is_thread { 2 } else { 0 };
        let (letter, name, tone) = holder(matrix, *behind, room);
        let blank = room.saturating_sub(unicode_width::UnicodeWidthStr::width(name.as_str()));
        line.push(" ".repeat(1 + blank), Style::new());
        if is_thread {
            line.push(format!("{letter} "), theme.style(tone));
        }
        let style = theme.style(Tone::Label);
        line.push(name, if *number == matrix.at.1 { of_cursor(Style::new()) } else { style });
    }
    line.draw(area, buffer);
}

fn row(
    matrix: &Matrix<'_>,
    (number, waiter, time): (usize, Waiter, Ns),
    shown: &Shown,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut line = Line::new();
    let (letter, name, tone) = waiting(matrix, waiter, shown.name);
    line.push(format!("{letter} "), theme.style(tone));
    let blank = shown.name.saturating_sub(unicode_width::UnicodeWidthStr::width(name.as_str()));
    line.push(name, if number == matrix.at.0 { of_cursor(Style::new()) } else { Style::new() });
    line.push(" ".repeat(blank), Style::new());
    line.push(format!(" {}", right(&time.to_string(), TOTAL)), theme.style(Tone::Strong));
    for column in &shown.columns {
        let (whole, most) = match matrix.choice.measure {
            Measure::OfWaiter => (time, time),
            Measure::OfAll | Measure::Time => (matrix.total, matrix.most),
        };
        let is_chosen = matrix.at == (number, *column);
        let (text, mut style) = match matrix.is_itself(number, *column) {
            true => (String::new(), Style::new()),
            false => cell(matrix, matrix.time(number, *column), whole, most, theme),
        };
        if is_chosen {
            style = theme.style(Tone::Selected);
        }
        line.push(" ", Style::new());
        line.push(right(&text, shown.cell), style);
    }
    line.draw(area, buffer);
}

fn totals(matrix: &Matrix<'_>, shown: &Shown, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(left("  all", 2 + shown.name), theme.style(Tone::Label));
    line.push(format!(" {}", right(&matrix.total.to_string(), TOTAL)), theme.style(Tone::Strong));
    for number in &shown.columns {
        let time = matrix.columns.get(*number).map_or(Ns::ZERO, |(_, time)| *time);
        let (text, _) = cell(matrix, time, matrix.total, matrix.total, theme);
        line.push(format!(" {}", right(&text, shown.cell)), theme.style(Tone::Strong));
    }
    line.draw(area, buffer);
}

/// A time as a share of a `whole`, beside how much it is of the `most` there is.
fn cell(matrix: &Matrix<'_>, time: Ns, whole: Ns, most: Ns, theme: Theme) -> (String, Style) {
    let share = time.share_of(whole).unwrap_or(0.0);
    if time == Ns::ZERO {
        return ("-".to_owned(), theme.style(Tone::Faint));
    }
    let glyph = density(time.share_of(most).unwrap_or(0.0), theme);
    let (figure, width) = match matrix.choice.measure {
        Measure::Time => (time.to_string(), TOTAL),
        Measure::OfAll | Measure::OfWaiter => (units::percent(share), SHARE),
    };
    (format!("{glyph} {}", right(&figure, width)), theme.style(weight(share)))
}

/// The denser, the more. Of the most there is, since with many threads no share is a large one.
fn density(share: f64, theme: Theme) -> char {
    match share {
        share if share >= 0.5 => theme.pick('█', '#'),
        share if share >= 0.2 => theme.pick('▓', '%'),
        share if share >= 0.05 => theme.pick('▒', '='),
        share if share >= 0.01 => theme.pick('░', '-'),
        _ => theme.pick('·', '.'),
    }
}

/// What is a large share by itself stands out.
fn weight(share: f64) -> Tone {
    match share {
        share if share >= 0.5 => Tone::Bad,
        share if share >= 0.2 => Tone::Warn,
        share if share >= 0.01 => Tone::Plain,
        _ => Tone::Faint,
    }
}

/// The rows and cells on the screen, each with its place in the matrix.
pub fn spots(matrix: &Matrix<'_>, area: Rect) -> Vec<(Rect, (usize, usize))> {
    let shown = shown(matrix, area);
    let (first, rows) = shown.rows;
    let columns = |number: usize, line: Rect| {
        let mut x = line.x.saturating_add(u16::try_from(2 + shown.name + 1 + TOTAL).unwrap_or(u16::MAX));
        let width = u16::try_from(shown.cell + 1).unwrap_or(u16::MAX);
        let whole = (line, (number, matrix.at.1));
        let cells = shown.columns.iter().map(move |column| {
            let place = Rect { x, width, ..line }.intersection(line);
            x = x.saturating_add(width);
            (place, (number, *column))
        });
        // The first that is hit counts.
        cells.chain(std::iter::once(whole)).collect::<Vec<_>>()
    };
    (0..rows).flat_map(|row| columns(first + row, line_of(area, 2 + row))).collect()
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_scroll_beside_the_schedulers_and_keep_the_cursor() {
        assert_eq!(columns(3, 1, 3), [0, 1, 2]);
        assert_eq!(columns(10, 0, 3), [0, 1, 2]);
        assert_eq!(columns(10, 9, 3), [0, 8, 9]);
        assert_eq!(columns(10, 7, 1), [7]);
        assert!(columns(10, 7, 0).is_empty());
        for (cursor, fit) in (0..12).flat_map(|cursor| (1..=12).map(move |fit| (cursor, fit))) {
            let columns = columns(12, cursor, fit);
            assert!(columns.len() == fit && columns.contains(&cursor), "{cursor} of {columns:?}");
            assert!(columns.is_sorted() && columns.iter().all(|column| *column < 12), "{columns:?}");
        }
    }
}
