//! What a holder executed while a thread waited behind it: functions and stacks by time.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::blame::{Behind, Matrix, Part};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::Foreign;
use crate::dashboard::widgets::{Line, first_shown, line_of, matrix, rows_shown, titled, wrapped};
use crate::event::{Frame, file_name};
use crate::model::snapshot::Basis;
use crate::text::{left, right};
use crate::units;

/// Columns of a share, of a time, and of a number of samples.
const SHARE: usize = 7;
const TIME: usize = 9;
const SAMPLES: usize = 9;
/// From this width on there is room for a bar.
const WITH_BAR: u16 = 90;
const BAR: usize = 12;
/// Columns of a line number, with its colon.
const LINE: usize = 6;

/// Draws the title of the cell that is looked at; what is left of `area`.
pub fn title(of: &Matrix<'_>, aside: &str, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let Some((waiter, behind, time)) = of.cell() else { return titled(area, buffer, theme, "Pair", &[]) };
    let (_, who, _) = matrix::waiting(of, waiter, 24);
    let (_, whom, _) = matrix::holder(of, behind, 24);
    let name = match behind {
        Behind::Thread(_) | Behind::Others => format!("{who} behind {whom}"),
        Behind::Scheduler => format!("{who}, GIL free"),
        Behind::Unknown => format!("{who}, holder not seen"),
    };
    let mut remarks = vec![(format!("{time},"), Tone::Strong)];
    remarks.extend(
        time.share_of(of.total).map(|share| (format!("{} of all waiting,", units::percent(share)), Tone::Plain)),
    );
    remarks.push((aside.to_owned(), Tone::Faint));
    titled(area, buffer, theme, &name, &remarks)
}

/// What there is to say instead of stacks, if there is anything.
fn instead(of: &Matrix<'_>) -> Option<&'static str> {
    let (_, behind, time) = of.cell()?;
    match behind {
        _ if of.is_itself(of.at.0, of.at.1) => Some("A thread does not wait behind itself."),
        _ if time == crate::time::Ns::ZERO => Some("It never waited there."),
        Behind::Scheduler => {
            Some("Nobody held the GIL: the waiter was on its way to a core. The scheduler decides how long that takes.")
        }
        Behind::Unknown => Some("Somebody held the GIL, or nobody, and who was not seen."),
        Behind::Others => None,
        Behind::Thread(_) => of.figures()?.missing.map(matrix::why),
    }
}

/// Draws `parts` with the `cursor`'s under it, if there is one.
pub fn draw(of: &Matrix<'_>, parts: &[Part<'_>], cursor: Option<usize>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if let Some(text) = instead(of) {
        for (number, text) in wrapped(text, usize::from(area.width).saturating_sub(2)).into_iter().enumerate() {
            let mut line = Line::new();
            line.push(format!(" {text}"), theme.style(Tone::Faint));
            line.draw(line_of(area, number), buffer);
        }
        return;
    }
    let columns = Columns::of(area.width, parts);
    header(&columns, theme, line_of(area, 0), buffer);
    let room = page(area);
    let first = first_shown(cursor.unwrap_or(0), parts.len(), room);
    for (line, number) in rows_shown(area, 1, cursor.unwrap_or(0), parts.len()) {
        let Some(part) = parts.get(number) else { break };
        row(part, &columns, theme, line, buffer);
        if cursor == Some(number) {
            buffer.set_style(line.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
    let more = parts.len().saturating_sub(first + room);
    if more > 0 && cursor.is_none() && room > 0 {
        let time = parts.iter().skip(first + room - 1).map(|part| part.time).sum::<crate::time::Ns>();
        let last = line_of(area, room);
        buffer.set_style(last.intersection(buffer.area), Style::reset());
        let mut line = Line::new();
        let text = format!(" {} more: {time}; Enter shows all", units::count(more as u64 + 1));
        line.push(left(&text, usize::from(area.width)), theme.style(Tone::Faint));
        line.draw(last, buffer);
    }
}

/// Rows that fit below the header.
pub fn page(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(1))
}

/// The rows on the screen, each with its number.
pub fn spots(parts: usize, cursor: usize, area: Rect) -> Vec<(Rect, usize)> {
    rows_shown(area, 1, cursor, parts).collect()
}

/// How wide what is.
struct Columns {
    bar: usize,
    function: usize,
    place: usize,
    native: usize,
}

impl Columns {
    fn of(width: u16, parts: &[Part<'_>]) -> Columns {
        let bar = if width >= WITH_BAR { BAR + 1 } else { 0 };
        let rest = usize::from(width).saturating_sub(1 + SHARE + 1 + bar + TIME + 1 + SAMPLES + 1);
        let native = if parts.iter().any(|part| part.native.is_some()) { rest * 9 / 20 } else { 0 };
        let rest = rest - native;
        let function = rest * 11 / 20;
        Columns { bar, function, place: rest - function, native }
    }
}

fn header(columns: &Columns, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let style = theme.style(Tone::Label);
    line.push(format!(" {} ", right("share", SHARE)), style);
    line.push(" ".repeat(columns.bar), style);
    line.push(format!("{} {} ", right("time", TIME), right("samples", SAMPLES)), style);
    line.push(left(&crate::text::cut(" holder's function", columns.function), columns.function), style);
    line.push(left(&crate::text::cut(" file:line", columns.place), columns.place), style);
    line.push(crate::text::cut(" native code", columns.native), style);
    line.draw(area, buffer);
}

fn row(part: &Part<'_>, columns: &Columns, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let share = match part.basis {
        Basis::LongHold => "?".to_owned(),
        Basis::Random | Basis::Unsampled => units::percent(part.share),
    };
    line.push(format!(" {} ", right(&share, SHARE)), theme.style(Tone::Strong));
    if columns.bar > 0 {
        let width = columns.bar - 1;
        let bar = if part.basis == Basis::Random { theme.bar(part.share, width) } else { String::new() };
        line.push(format!("{} ", left(&bar, width)), theme.style(Tone::Thread(0)));
    }
    line.push(format!("{} ", right(&part.time.to_string(), TIME)), Style::new());
    let samples = match part.basis {
        Basis::LongHold => "seen once".to_owned(),
        Basis::Random | Basis::Unsampled => format!("n={}", units::count(u64::from(part.samples))),
    };
    line.push(format!("{} ", right(&samples, SAMPLES)), theme.style(Tone::Faint));
    let (function, place, tone) = match (part.basis, part.frame()) {
        (Basis::Unsampled, _) => ("unsampled".to_owned(), String::new(), Tone::Faint),
        (_, None) => ("no Python function".to_owned(), String::new(), Tone::Faint),
        (_, Some(frame)) => (
            function(frame, columns.function.saturating_sub(1)),
            place(frame, columns.place.saturating_sub(1)),
            Tone::Plain,
        ),
    };
    line.push(
        left(&format!(" {}", crate::text::cut(&function, columns.function.saturating_sub(1))), columns.function),
        theme.style(tone),
    );
    line.push(left(&format!(" {place}"), columns.place), theme.style(Tone::Faint));
    if columns.native > 0 {
        let native = part.native.map_or(String::new(), |native| Foreign::new(native).fit_name(columns.native - 1));
        line.push(format!(" {native}"), theme.style(Tone::Plain));
    }
    line.draw(area, buffer);
}

/// A function's name.
fn function(frame: &Frame, width: usize) -> String {
    match frame.function.is_empty() {
        true => "(no name)".to_owned(),
        false => Foreign::new(&frame.function).fit_name(width),
    }
}

/// The last part of a file's path, and the line.
fn place(frame: &Frame, width: usize) -> String {
    at_line(file_name(&frame.file), frame.line, width)
}

fn at_line(file: &str, line: u32, width: usize) -> String {
    let line = if line == 0 { String::new() } else { format!(":{line}") };
    format!("{}{line}", Foreign::new(file).fit_name(width.saturating_sub(line.len().max(LINE))))
}

/// Draws a whole stack from the `scrolled`th frame on, the innermost first.
pub fn stack(part: Option<&Part<'_>>, scrolled: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let frames = part.map_or(&[][..], |part| part.stack);
    let native = part.and_then(|part| part.native);
    let room = usize::from(area.height.saturating_sub(1));
    let first = scrolled.min(frames.len().saturating_sub(room));
    let count = match frames.len() {
        0 => "no Python frames".to_owned(),
        1 => "1 frame".to_owned(),
        all if all <= room => format!("{all} frames, the innermost first"),
        all => format!("frames {}-{} of {all}", first + 1, first + room),
    };
    let mut remarks = vec![(count, Tone::Faint)];
    remarks.extend(native.map(|native| (format!("in {}", Foreign::new(native).fit_name(60)), Tone::Strong)));
    let area = titled(area, buffer, theme, "Its stack", &remarks);
    let width = usize::from(area.width);
    let name = (width / 3).clamp(12, 48).min(width);
    for (number, frame) in frames.iter().enumerate().skip(first).take(room) {
        let mut line = Line::new();
        let tone = if number == 0 { Tone::Strong } else { Tone::Plain };
        line.push(format!(" {} ", left(&function(frame, name), name)), theme.style(tone));
        let room = width.saturating_sub(name + 3);
        line.push(at_line(&frame.file, frame.line, room), theme.style(Tone::Faint));
        line.draw(line_of(area, number - first), buffer);
    }
}
