//! The help: all keys, from the action table, and what letters and blocks mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::widgets::{Block, Clear, Widget};

use crate::dashboard::action::Group;
use crate::dashboard::theme::{Theme, Tone, letter, word};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{Line, line_of};
use crate::model::snapshot::ThreadState;
use crate::text::left;

const KEYS: usize = 12;
/// Columns of the whole, where there is room.
const WIDTH: u16 = 86;

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Draws it over the middle of `area`, scrolled down by so many lines.
pub fn draw(view: &ViewModel<'_>, scrolled: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let lines = lines(view, theme);
    let width = if area.width < WIDTH + 8 { area.width } else { WIDTH };
    let height = area.height.min(u16::try_from(lines.len() + 2).unwrap_or(u16::MAX));
    let area = Rect {
        x: area.x.saturating_add((area.width - width) / 2),
        y: area.y.saturating_add((area.height - height) / 2),
        width,
        height,
    };
    Clear.render(area, buffer);
    let frame = Block::bordered()
        .border_set(theme.pick(border::PLAIN, ASCII))
        .border_style(theme.style(Tone::Faint))
        .title_style(theme.style(Tone::Title));
    let inner = frame.inner(area);
    let room = usize::from(inner.height);
    let first = scrolled.min(lines.len().saturating_sub(room));
    let title = match lines.len() > room {
        true => format!(" Help {}-{} of {} ", first + 1, (first + room).min(lines.len()), lines.len()),
        false => " Help ".to_owned(),
    };
    frame.title(title).render(area, buffer);
    for (number, line) in lines.iter().skip(first).take(room).enumerate() {
        line.draw(line_of(inner, number), buffer);
    }
}

fn lines(view: &ViewModel<'_>, theme: Theme) -> Vec<Line> {
    let mut lines = Vec::new();
    let heading = |text: &str| {
        let mut line = Line::new();
        line.push(format!(" {text}"), theme.style(Tone::Title));
        line
    };
    for group in Group::ALL {
        lines.push(heading(group.title()));
        for bound in view.keys.offered(view.session).filter(|bound| bound.binding.group == group) {
            let mut line = Line::new();
            line.push(format!("  {} ", left(&bound.written(), KEYS)), theme.style(Tone::Key));
            line.push(bound.binding.help, Style::new());
            lines.push(line);
        }
    }
    lines.push(heading("States: letter, block, word"));
    for pair in ThreadState::ALL.chunks(3) {
        let mut line = Line::new();
        line.push("  ", Style::new());
        for state in pair {
            let text = format!("{} {} {}", letter(*state), theme.block(*state), word(*state));
            line.push(left(&text, 24), theme.style(Tone::State(*state)));
        }
        lines.push(line);
    }
    lines.push(heading("Figures"));
    for text in [
        "last 8 s: a second a cell; a block: that state took two thirds of it; a letter: most of it",
        "wait, hold, native: shares of the window (w) in which the thread was seen",
        "lost, waits, p50, p99, max: of the whole capture; only contended waits count",
        "<1.00 ms: shorter than the time between two looks, and no more is known",
        "+N cut: not seen whole, so in no percentile; ?: not observed",
        "z: the holder sleeps in the kernel with the GIL in hand",
    ] {
        let mut line = Line::new();
        line.push(format!("  {text}"), theme.style(Tone::Plain));
        lines.push(line);
    }
    lines
}
