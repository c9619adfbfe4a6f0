//! Lines of styled text that know how wide they are.

use unicode_width::UnicodeWidthStr;

pub(crate) use crate::text::{cut, foreign, foreign_command, left, right};

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
pub(crate) enum Style {
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
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    pub(crate) fn new() -> Line {
        Line::default()
    }

    pub(crate) fn with(mut self, style: Style, text: impl Into<String>) -> Line {
        self.push(style, text);
        self
    }

    pub(crate) fn push(&mut self, style: Style, text: impl Into<String>) {
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
pub(crate) fn render(lines: &[Line], width: usize, color: Color) -> String {
    let mut out = String::new();
    for line in lines {
        line.render(width, color, &mut out);
    }
    out
}

/// `text` broken at blanks into lines of at most `width` columns.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
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
