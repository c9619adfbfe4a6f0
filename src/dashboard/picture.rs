//! A screen without a terminal: as text, or as a picture.

use std::fmt::{self, Write};

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use crate::dashboard::theme::Theme;
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::screen;

/// Width and height of a character cell, in the picture's units.
const CELL: (f32, f32) = (8.4, 18.0);
const MARGIN: f32 = 12.0;
const INK: &str = "#d7dae0";
const PAPER: &str = "#16181d";
/// The sixteen colours, as a dark terminal has them.
const PALETTE: [&str; 16] = [
    "#3b4048", "#f07178", "#a5d46a", "#ffcb6b", "#7aa2f7", "#c792ea", "#7fdbe5", "#c8ccd4", "#7d8590", "#ff8b92",
    "#c3e88d", "#ffe08a", "#9cc0ff", "#ddaaff", "#a6ecf2", "#ffffff",
];

/// A screen of this size.
pub fn draw(view: &ViewModel<'_>, theme: Theme, width: u16, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    screen::draw(view, theme, buffer.area, &mut buffer);
    buffer
}

/// It as lines of text, without colours and without blanks at their ends.
pub fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut out = String::new();
    for y in 0..area.height {
        let (mut line, mut x) = (String::new(), 0);
        while let Some(cell) = buffer.cell((x, y)).filter(|_| x < area.width) {
            line.push_str(cell.symbol());
            x += columns(cell);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// How many columns a cell's character takes.
fn columns(cell: &Cell) -> u16 {
    u16::try_from(cell.symbol().width().max(1)).unwrap_or(1)
}

/// It as an SVG, in the sixteen colours of a dark terminal. Every character has its own place, whatever the width of the
/// viewer's font.
///
/// # Errors
/// Never: a string takes what is written to it.
pub fn svg(buffer: &Buffer) -> Result<String, fmt::Error> {
    let area = buffer.area;
    let (wide, high) = (f32::from(area.width) * CELL.0 + 2.0 * MARGIN, f32::from(area.height) * CELL.1 + 2.0 * MARGIN);
    let mut out = String::new();
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}">"#
    )?;
    writeln!(out, r#"<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>"#)?;
    writeln!(
        out,
        r#"<g font-family="ui-monospace, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">"#
    )?;
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            x += run(buffer, x, y, &mut out)?;
        }
    }
    out.push_str("</g>\n</svg>\n");
    Ok(out)
}

/// Draws the cells of one style from (x, y) on; how many those are.
fn run(buffer: &Buffer, x: u16, y: u16, out: &mut String) -> Result<u16, fmt::Error> {
    let Some(first) = buffer.cell((x, y)) else { return Ok(1) };
    let mut text = String::new();
    let mut length = 0;
    while let Some(cell) = buffer.cell((x + length, y)).filter(|cell| cell.style() == first.style()) {
        text.push_str(cell.symbol());
        length += columns(cell);
    }
    let (ink, paper) = colors(first);
    let (left, top) = (MARGIN + f32::from(x) * CELL.0, MARGIN + f32::from(y) * CELL.1);
    let wide = f32::from(length) * CELL.0;
    if let Some(paper) = paper {
        writeln!(out, r#"<rect x="{left:.1}" y="{top:.1}" width="{wide:.1}" height="{:.1}" fill="{paper}"/>"#, CELL.1)?;
    }
    if !text.trim().is_empty() {
        let weight = if first.modifier.contains(Modifier::BOLD) { r#" font-weight="bold""# } else { "" };
        let faint = if first.modifier.contains(Modifier::DIM) { r#" opacity="0.65""# } else { "" };
        writeln!(out, r#"<text fill="{ink}"{weight}{faint}>"#)?;
        words(&text, left, top + 13.5, out)?;
        writeln!(out, "</text>")?;
    }
    Ok(length.max(1))
}

fn words(text: &str, left: f32, base: f32, out: &mut String) -> fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let mut places = String::new();
        for c in word.chars() {
            write!(places, "{:.1} ", left + CELL.0 * column as f32)?;
            column += c.to_string().width();
        }
        column += 1;
        if !word.is_empty() {
            let word = word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            write!(out, r#"<tspan x="{}" y="{base:.1}">{word}</tspan>"#, places.trim_end())?;
        }
    }
    Ok(())
}

/// Ink, and paper where it is not the terminal's own.
fn colors(cell: &Cell) -> (&'static str, Option<&'static str>) {
    let ink = named(cell.fg).unwrap_or(INK);
    match (cell.modifier.contains(Modifier::REVERSED), named(cell.bg)) {
        (true, paper) => (paper.unwrap_or(PAPER), Some(ink)),
        (false, paper) => (ink, paper),
    }
}

fn named(color: Color) -> Option<&'static str> {
    let index = match color {
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
        _ => return None,
    };
    PALETTE.get(index).copied()
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    fn screen() -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        buffer.set_string(0, 0, "a <b> & 語x", Style::new().fg(Color::Red));
        buffer.set_string(3, 1, "]]>", Style::new().add_modifier(Modifier::REVERSED));
        buffer
    }

    #[test]
    fn text_is_what_the_screen_says() {
        assert_eq!(text(&screen()), "a <b> & 語x\n   ]]>\n");
        assert_eq!(text(&Buffer::empty(Rect::new(0, 0, 0, 3))), "\n\n\n");
    }

    #[test]
    fn a_picture_is_well_formed_whatever_it_says() {
        let picture = svg(&screen()).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert!(picture.contains("&lt;b&gt;") && picture.contains("&amp;") && picture.contains("]]&gt;"), "{picture}");
        assert!(picture.contains(PALETTE[1]) && picture.contains(INK));
        // A wide character takes two columns: what follows it is that much further right.
        let place = |column: f32| format!("{:.1}", MARGIN + CELL.0 * column);
        assert!(picture.contains(&format!("{} {}\"", place(8.0), place(10.0))), "{picture}");
    }
}
