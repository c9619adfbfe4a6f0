//! Lines of styled text that know how wide they are.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::units;

/// Whether styles become ANSI escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Plain text: not one escape.
    Never,
    /// Bold, dim and the terminal's own 16 colours.
    Ansi,
}

/// What a piece of text is. Every style differs by weight as well as by colour, and none carries a meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Heading,
    Faint,
    Bad,
    Warn,
    Good,
}

impl Style {
    fn escape(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Heading => Some("\x1b[1m"),
            Style::Faint => Some("\x1b[2m"),
            Style::Bad => Some("\x1b[1;31m"),
            Style::Warn => Some("\x1b[1;33m"),
            Style::Good => Some("\x1b[1;36m"),
        }
    }
}

/// One line.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    pub(super) fn new() -> Line {
        Line::default()
    }

    pub(super) fn with(mut self, style: Style, text: impl Into<String>) -> Line {
        self.push(style, text);
        self
    }

    pub(super) fn push(&mut self, style: Style, text: impl Into<String>) {
        self.0.push((style, text.into()));
    }

    /// Appends the line to `out`, cut to `width` columns, without blanks at its end.
    fn render(&self, width: usize, color: Color, out: &mut String) {
        let whole: usize = self.0.iter().map(|(_, text)| text.width()).sum();
        let mut room = width;
        let mut line = String::new();
        for (style, text) in &self.0 {
            let shown = if whole > width { cut(text, room) } else { text.clone() };
            room = room.saturating_sub(shown.width());
            match style.escape().filter(|_| color == Color::Ansi && !shown.trim().is_empty()) {
                Some(escape) => line.push_str(&format!("{escape}{shown}\x1b[0m")),
                None => line.push_str(&shown),
            }
            if shown.width() < text.width() {
                break;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// The lines as text, none wider than `width` columns.
pub(super) fn render(lines: &[Line], width: usize, color: Color) -> String {
    let mut out = String::new();
    for line in lines {
        line.render(width, color, &mut out);
    }
    out
}

/// At most `width` columns of `text`, with `…` where something was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Text from a target in at most `width` columns: safe for a terminal, and with no more than two marks on a letter.
pub(super) fn foreign(text: &str, width: usize) -> String {
    const MARKS: usize = 2;
    let mut marks = 0;
    let calm: String = units::printable(text, width.saturating_mul(MARKS + 1))
        .chars()
        .filter(|c| {
            marks = if c.width() == Some(0) { marks + 1 } else { 0 };
            marks <= MARKS
        })
        .collect();
    cut(&calm, width)
}

/// `text` with blanks on its right up to `width` columns.
pub(super) fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text` with blanks on its left up to `width` columns.
pub(super) fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text` broken at blanks into lines of at most `width` columns.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The words of `text`; a figure and its unit are one word.
fn words(text: &str) -> Vec<String> {
    const UNITS: [&str; 11] = ["%", "ns", "us", "ms", "s", "min", "h", "/s", "k/s", "M/s", "threads"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
        let ends_in_digit = |word: &String| word.chars().next_back().is_some_and(|c| c.is_ascii_digit());
        match words.last_mut() {
            Some(last) if UNITS.contains(&bare) && ends_in_digit(last) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn a_name_with_a_thousand_marks_stays_in_its_line() {
        let name = format!("a{}b", "\u{301}".repeat(1_000));
        assert!(foreign(&name, 20).chars().count() <= 4, "{}", foreign(&name, 20));
    }

    #[test]
    fn a_figure_stays_with_its_unit() {
        assert_eq!(wrap("it took 5.10 ms, or 97.1 % of it", 11), ["it took", "5.10 ms, or", "97.1 % of", "it"]);
    }

    #[test]
    fn plain_text_has_no_escape() {
        let lines = [Line::new().with(Style::Bad, "a").with(Style::Faint, "b")];
        assert_eq!(render(&lines, 80, Color::Never), "ab\n");
        assert_eq!(render(&lines, 80, Color::Ansi), "\x1b[1;31ma\x1b[0m\x1b[2mb\x1b[0m\n");
    }
}
