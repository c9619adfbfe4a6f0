//! Tables: which columns fit, and a line of them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::widgets::Line;
use crate::text::{cut, left, right};

/// To which side a column's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Texts.
    Left,
    /// Figures.
    Right,
}

/// A column: what it shows, its title, and its width without the blank before it.
pub type Column<C> = (C, &'static str, usize);

/// Those of `declared` that fit into `width`, and what is left of it. Each is declared with the narrowest table that
/// still shows it.
pub fn fitting<C: Copy>(declared: &[(C, &'static str, usize, u16)], width: u16) -> (Vec<Column<C>>, usize) {
    let fits = declared.iter().filter(|(.., from)| width >= *from);
    let columns: Vec<Column<C>> = fits.map(|(cell, title, columns, _)| (*cell, *title, *columns)).collect();
    let used: usize = columns.iter().map(|(.., columns)| columns + 1).sum();
    (columns, usize::from(width).saturating_sub(used))
}

/// Draws the titles.
pub fn header<C: Copy>(columns: &[Column<C>], side: fn(C) -> Side, theme: Theme, area: Rect, buffer: &mut Buffer) {
    line(columns, side, |(_, title, _)| (title.to_owned(), Tone::Label), theme, area, buffer);
}

/// Draws a line, with what each column says.
pub fn line<C: Copy>(
    columns: &[Column<C>],
    side: fn(C) -> Side,
    says: impl Fn(Column<C>) -> (String, Tone),
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let mut line = Line::new();
    for column in columns {
        let (cell, _, width) = *column;
        let (text, tone) = says(*column);
        let text = cut(&text, width);
        let text = match side(cell) {
            Side::Left => left(&text, width),
            Side::Right => right(&text, width),
        };
        line.push(format!(" {text}"), theme.style(tone));
    }
    line.draw(area, buffer);
}
