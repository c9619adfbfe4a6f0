//! The dashboard as an SVG picture, from a recording: what the README shows.
//!
//! `cargo run --example picture -- FILE [SECONDS [WIDTHxHEIGHT]] > assets/dashboard.svg`
//!
//! SECONDS: from the recording's beginning, to its end if not given. It is drawn by the dashboard's own code.
#![expect(clippy::print_stdout, reason = "the picture goes to stdout")]

use std::error::Error;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use gilscope::dashboard::state::State;
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::widgets::screen;
use gilscope::session::{Command, Engine, Frame, Recorded, Session, Watch};
use gilscope::time::{MonoNs, Ns};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

const THEME: Theme = Theme { depth: Depth::Ansi16, symbols: Symbols::Unicode };
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

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a recording")?;
    let seconds: Option<f64> = arguments.next().map(|it| it.parse()).transpose()?;
    let size = arguments.next().unwrap_or_else(|| "120x36".to_owned());
    let (width, height) = size.split_once('x').ok_or("a size looks like 120x36")?;
    let session = Session::start(Engine::replay(Box::new(Recorded::open(file.as_ref())?)))?;
    session.send(Command::Pause);
    let range = session.latest().status.range;
    let at = seconds.map_or(range.to, |seconds| range.from + Ns((seconds * 1e9) as u64));
    session.send(Command::SeekTo(at));
    let frame = settled(&session, at)?;
    let view = ViewModel::of(&frame, &State::default(), session.capabilities());
    let mut buffer = Buffer::empty(Rect::new(0, 0, width.parse()?, height.parse()?));
    screen::draw(&view, THEME, buffer.area, &mut buffer);
    print!("{}", svg(&buffer)?);
    Ok(())
}

/// The frame at `at`, or at the instant before it that the session stops at.
fn settled(session: &Session, at: MonoNs) -> Result<std::sync::Arc<Frame>, Box<dyn Error>> {
    let begun = Instant::now();
    let mut last = session.latest();
    while begun.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(300));
        let frame = session.latest();
        let there = frame.status.seeking.is_none() && at.since(frame.status.position) < Ns::SECOND;
        if there && frame.number == last.number {
            return Ok(frame);
        }
        last = frame;
    }
    Err("the session does not come to rest".into())
}

fn svg(buffer: &Buffer) -> Result<String, std::fmt::Error> {
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
fn run(buffer: &Buffer, x: u16, y: u16, out: &mut String) -> Result<u16, std::fmt::Error> {
    let Some(first) = buffer.cell((x, y)) else { return Ok(1) };
    let mut text = String::new();
    let mut length = 0;
    while let Some(cell) = buffer.cell((x + length, y)).filter(|cell| cell.style() == first.style()) {
        text.push_str(cell.symbol());
        length += u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
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

/// Every character at its own place, whatever the width of the viewer's font.
fn words(text: &str, left: f32, base: f32, out: &mut String) -> std::fmt::Result {
    let mut column = 0;
    for word in text.split(' ') {
        let mut places = String::new();
        for c in word.chars() {
            write!(places, "{:.1} ", left + CELL.0 * column as f32)?;
            column += c.to_string().width();
        }
        column += 1;
        if !word.is_empty() {
            let word = word.replace('&', "&amp;").replace('<', "&lt;");
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
