//! Text that people read: paragraphs, headings and pairs of name and figure, in lines of some width.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::Foreign;
use crate::dashboard::widgets::{Line, line_of, wrapped};
use crate::text::{cut, left};

/// Longer lines are hard to read.
const WIDEST: usize = 100;
/// Columns of a figure's name.
const NAME: usize = 24;
/// Below this width a name gets fewer.
const NARROW: usize = 64;
const NARROW_NAME: usize = 14;
/// What is said of a process may hold a name of its; no such text is longer than this.
const LONGEST: usize = 4_096;

/// A text in lines.
#[derive(Debug, Clone, Default)]
pub struct Prose {
    width: usize,
    lines: Vec<(String, Tone)>,
}

impl Prose {
    /// An empty one, for `width` columns.
    pub fn new(width: u16) -> Prose {
        Prose { width: usize::from(width).saturating_sub(2).min(WIDEST), lines: Vec::new() }
    }

    /// Begins a part.
    pub fn heading(&mut self, text: &str) {
        if !self.lines.is_empty() {
            self.lines.push((String::new(), Tone::Plain));
        }
        self.lines.push((cut(text, self.width), Tone::Title));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str, tone: Tone) {
        let text = Foreign::new(text).fit(LONGEST);
        self.lines.extend(wrapped(&text, self.width).into_iter().map(|line| (line, tone)));
    }

    /// A figure. What is long goes on in the next line.
    pub fn figure(&mut self, name: &str, value: &str) {
        let columns = if self.width < NARROW { NARROW_NAME } else { NAME };
        let name = cut(name, columns);
        let value = Foreign::new(value).fit(LONGEST);
        let room = self.width.saturating_sub(columns + 3).max(8);
        for (number, part) in wrapped(&value, room).into_iter().enumerate() {
            let name = if number == 0 { name.as_str() } else { "" };
            self.lines.push((cut(&format!("  {} {part}", left(name, columns)), self.width), Tone::Plain));
        }
    }

    /// Paragraphs of Markdown, without its marks of emphasis and code.
    pub fn markdown(&mut self, text: &str) {
        for (number, paragraph) in text.split("\n\n").enumerate() {
            if number > 0 {
                self.lines.push((String::new(), Tone::Plain));
            }
            let flowing = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
            self.paragraph(&unmarked(&flowing), Tone::Plain);
        }
    }

    /// Its lines.
    pub fn height(&self) -> usize {
        self.lines.len()
    }

    /// Lines beyond the first `room`: how far it can be scrolled down.
    pub fn reach(&self, room: usize) -> usize {
        self.lines.len().saturating_sub(room)
    }

    /// Draws it, scrolled down by so many lines.
    pub fn draw(&self, scrolled: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
        let room = usize::from(area.height);
        for (number, (text, tone)) in self.lines.iter().skip(scrolled.min(self.reach(room))).take(room).enumerate() {
            let mut line = Line::new();
            line.push(format!(" {text}"), theme.style(*tone));
            line.draw(line_of(area, number), buffer);
        }
    }

    /// What of it is on the screen: `lines 3-20 of 41`; `None`: all.
    pub fn extent(&self, scrolled: usize, room: usize) -> Option<String> {
        let first = scrolled.min(self.reach(room));
        (self.lines.len() > room).then(|| format!("lines {}-{} of {}", first + 1, first + room, self.lines.len()))
    }
}

/// Without backquotes, and without the stars around words.
fn unmarked(text: &str) -> String {
    let all: Vec<char> = text.chars().filter(|c| *c != '`').collect();
    let is_mark = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| all.get(before)).copied().unwrap_or(' ');
        let after = all.get(at + 1).copied().unwrap_or(' ');
        let opens = !before.is_alphanumeric() && !after.is_whitespace();
        let closes = !before.is_whitespace() && !after.is_alphanumeric();
        opens || closes
    };
    all.iter().enumerate().filter(|(at, c)| **c != '*' || !is_mark(*at)).map(|(_, c)| *c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_markdown_go_and_words_stay() {
        assert_eq!(
            unmarked("is *asleep*: `held` (*so busy*) for 3 * 4 or 2*3"),
            "is asleep: held (so busy) for 3 * 4 or 2*3"
        );
    }

    #[test]
    fn a_text_is_scrolled_no_further_than_its_end() {
        let mut prose = Prose::new(20);
        prose.markdown("one two three four five six seven\neight nine\n\nten");
        assert_eq!((prose.reach(2), prose.reach(9)), (3, 0));
        assert_eq!(prose.extent(99, 2).as_deref(), Some("lines 4-5 of 5"));
        assert_eq!(prose.extent(0, 5), None);
    }
}
