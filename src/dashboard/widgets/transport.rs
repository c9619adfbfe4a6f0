//! The transport bar: where in time the view is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{Transport, ViewModel};
use crate::dashboard::widgets::Line;
use crate::session::{Origin, Play};
use crate::time::MonoNs;
use crate::units;

/// Draws it into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let transport = &view.transport;
    let symbol = match transport.play {
        Play::Live => theme.pick("●", "*"),
        Play::Replaying => theme.pick("▶", ">"),
        Play::Paused => theme.pick("‖", "="),
        Play::Ended => theme.pick("■", "#"),
    };
    let speed = match transport.origin {
        Origin::Recording => format!(" {}", factor(transport.speed)),
        Origin::Live => String::new(),
    };
    let at = |instant: MonoNs| units::clock(instant.since(transport.start));
    let mut line = Line::new();
    line.push(format!(" {symbol}{speed} "), theme.style(Tone::Warn));
    line.push(at(transport.position), theme.style(Tone::Strong));
    line.push(format!("  {} ", at(transport.range.from)), theme.style(Tone::Label));
    let end = match transport.seeking {
        Some(done) => format!(" {}  seeking {:.0} %", at(transport.range.to), done * 100.0),
        None => format!(" {} ", at(transport.range.to)),
    };
    let room = usize::from(area.width).saturating_sub(line.width() + end.chars().count() + 1);
    for (symbol, tone) in track(transport, room, theme) {
        line.push_symbol(symbol, theme.style(tone));
    }
    line.push(end, theme.style(Tone::Label));
    line.push(" ", Style::new());
    line.draw(area, buffer);
}

fn track(transport: &Transport, width: usize, theme: Theme) -> Vec<(char, Tone)> {
    let whole = transport.range.to.since(transport.range.from);
    let place = |at: MonoNs| {
        let share = at.since(transport.range.from).share_of(whole).unwrap_or(1.0).clamp(0.0, 1.0);
        (share * width.saturating_sub(1) as f64).round() as usize
    };
    let here = place(transport.position);
    let mut track: Vec<(char, Tone)> = (0..width)
        .map(|x| match x <= here {
            true => (theme.pick('━', '='), Tone::Plain),
            false => (theme.pick('─', '-'), Tone::Faint),
        })
        .collect();
    // By their numbers, which name them where one goes to an instant.
    for (number, mark) in (1..).zip(&transport.marks) {
        if let Some(slot) = track.get_mut(place(mark.at)) {
            let digit = char::from_digit(number, 10).unwrap_or_else(|| theme.pick('◆', 'm'));
            *slot = (digit, Tone::Warn);
        }
    }
    if let Some(slot) = track.get_mut(here) {
        *slot = (theme.pick('┃', '|'), Tone::Strong);
    }
    track
}

/// A speed of replay: `x2`, `x1/4`.
fn factor(speed: f64) -> String {
    match speed {
        s if s >= 1.0 => format!("x{s:.0}"),
        s if s > 0.0 => format!("x1/{:.0}", 1.0 / s),
        _ => "x0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_read_as_on_a_player() {
        assert_eq!((factor(1.0), factor(8.0), factor(0.25)), ("x1".into(), "x8".into(), "x1/4".into()));
    }
}
