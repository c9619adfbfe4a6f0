//! What is drawn: pure functions of a view model and a theme into a rectangle, of whatever size.

pub mod cores;
pub mod delays;
pub mod details;
pub mod durations;
pub mod figures;
pub mod footer;
pub mod head;
pub mod help;
pub mod instant;
pub mod lanes;
pub mod matrix;
pub mod parts;
pub mod prose;
pub mod screen;
pub mod segments;
pub mod strands;
pub mod table;
pub mod tabs;
pub mod threads;
pub mod transport;
pub mod who;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use crate::dashboard::theme::{Theme, Tone};
use crate::text::cut;

/// A line under construction: pieces from the left, and pieces that are flush right while there is room.
#[derive(Debug, Clone, Default)]
pub struct Line {
    left: Vec<(String, Style)>,
    right: Vec<(String, Style)>,
}

impl Line {
    /// An empty one.
    pub fn new() -> Line {
        Line::default()
    }

    /// Adds to the left part.
    pub fn push(&mut self, text: impl Into<String>, style: Style) {
        self.left.push((text.into(), style));
    }

    /// Adds one symbol of one column to the left part.
    pub fn push_symbol(&mut self, symbol: char, style: Style) {
        match self.left.last_mut().filter(|(_, last)| *last == style) {
            Some((text, _)) => text.push(symbol),
            None => self.left.push((symbol.to_string(), style)),
        }
    }

    /// Adds to the left part if all of it fits into `width` columns.
    pub fn push_whole(&mut self, text: &str, style: Style, width: u16) {
        if self.width() + text.width() <= usize::from(width) {
            self.push(text, style);
        }
    }

    /// Adds to the right part.
    pub fn push_right(&mut self, text: impl Into<String>, style: Style) {
        self.right.push((text.into(), style));
    }

    /// Columns of the left part.
    pub fn width(&self) -> usize {
        self.left.iter().map(|(text, _)| text.width()).sum()
    }

    /// Draws it into the first line of `area`. Where there is no room for both, the right part goes.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        let mut x = area.x;
        for (text, style) in &self.left {
            let room = usize::from(area.right().saturating_sub(x));
            if room == 0 {
                break;
            }
            x = buffer.set_stringn(x, area.y, cut(text, room), room, *style).0;
        }
        let wanted: usize = self.right.iter().map(|(text, _)| text.width()).sum();
        let free = usize::from(area.right().saturating_sub(x));
        if wanted == 0 || wanted + 1 > free {
            return;
        }
        let mut x = area.right().saturating_sub(u16::try_from(wanted).unwrap_or(u16::MAX));
        for (text, style) in &self.right {
            x = buffer.set_stringn(x, area.y, text, text.width(), *style).0;
        }
    }
}

/// What of a line is right of a gutter of so many columns.
pub fn right_of(gutter: usize, line: Rect) -> Rect {
    let gutter = u16::try_from(gutter).unwrap_or(u16::MAX).min(line.width);
    Rect { x: line.x.saturating_add(gutter), width: line.width - gutter, ..line }
}

/// Draws one symbol of one column into a line, if it reaches that far.
pub fn put(line: Rect, column: usize, symbol: char, style: Style, buffer: &mut Buffer) {
    let Ok(column) = u16::try_from(column) else { return };
    let x = line.x.saturating_add(column);
    if column < line.width
        && line.height > 0
        && let Some(cell) = buffer.cell_mut((x, line.y))
    {
        cell.set_char(symbol).set_style(style);
    }
}

/// The `number`th line of `area`; empty where there is none.
pub fn line_of(area: Rect, number: usize) -> Rect {
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    match number < area.height {
        true => Rect { y: area.y.saturating_add(number), height: 1, ..area },
        false => Rect { height: 0, ..area },
    }
}

/// The first of `count` rows that `room` lines show: the cursor's stays about in the middle.
pub fn first_shown(cursor: usize, count: usize, room: usize) -> usize {
    cursor.saturating_sub(room / 2).min(count.saturating_sub(room))
}

/// The rows that are shown below the first `above` lines of `area`, each with its line and its number.
pub fn rows_shown(area: Rect, above: u16, cursor: usize, count: usize) -> impl Iterator<Item = (Rect, usize)> {
    let room = usize::from(area.height.saturating_sub(above));
    let first = first_shown(cursor, count, room);
    (first..count).take(room).map(move |number| (line_of(area, usize::from(above) + number - first), number))
}

/// Cuts up to `height` lines off the top of `rest`.
pub fn take_top(height: u16, rest: &mut Rect) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    *rest = Rect { y: rest.y.saturating_add(height), height: rest.height - height, ..*rest };
    taken
}

/// `text` in lines of at most `width` columns, broken at blanks. A word that is longer is cut.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(cut(&word, width)),
        }
    }
    lines
}

/// Words, and figures with their units: `a`, `wait`, `of`, `3.0 ms,`.
fn words(text: &str) -> Vec<String> {
    let is_unit = |word: &str| {
        matches!(word.trim_end_matches([',', ':', ';', ')']), "%" | "ns" | "us" | "ms" | "s" | "min" | "h")
    };
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match words.last_mut() {
            Some(before) if is_unit(word) => {
                before.push(' ');
                before.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// A panel's title line: name and remarks on a rule. What is left of `area` is for the panel.
pub fn titled(area: Rect, buffer: &mut Buffer, theme: Theme, title: &str, remarks: &[(String, Tone)]) -> Rect {
    let rule = theme.pick('─', '-');
    let mut line = Line::new();
    line.push(format!("{rule} "), theme.style(Tone::Faint));
    line.push(title, theme.style(Tone::Title));
    line.push(" ", Style::new());
    for (text, tone) in remarks {
        line.push_whole(&format!("{text} "), theme.style(*tone), area.width);
    }
    let rest = usize::from(area.width).saturating_sub(line.width());
    line.push(rule.to_string().repeat(rest), theme.style(Tone::Faint));
    line.draw(line_of(area, 0), buffer);
    match area.height {
        0 => area,
        height => Rect { y: area.y.saturating_add(1), height: height - 1, ..area },
    }
}

/// A text in the middle of `area`, for where there is nothing else to show.
pub fn centred(area: Rect, buffer: &mut Buffer, text: &str, style: Style) {
    let width = usize::from(area.width);
    let shown = cut(text, width);
    let indent = width.saturating_sub(shown.width()) / 2;
    let mut line = Line::new();
    line.push(" ".repeat(indent), Style::new());
    line.push(shown, style);
    line.draw(line_of(area, usize::from(area.height / 2)), buffer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_but_not_within_a_figure() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("for 3.0 % of it", 7), ["for", "3.0 %", "of it"]);
        assert_eq!(wrapped("a 12.5 ms, b", 9), ["a", "12.5 ms,", "b"]);
        assert_eq!(wrapped("incomprehensible", 6), ["incom…"]);
        assert_eq!(wrapped("", 6), [""]);
        assert!(wrapped("one two", 0).iter().all(String::is_empty));
    }
}
