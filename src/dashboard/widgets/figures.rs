//! The GIL's figures over the last while: a sparkline each, with gaps where nothing was observed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::history::Figure;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{Line, line_of, titled};
use crate::model::snapshot::ThreadState;
use crate::text::{left, right};
use crate::units;

/// Lines that it uses: its title, and one for each figure.
pub const HEIGHT: u16 = 1 + Figure::ALL.len() as u16;
/// Columns of a figure's name, and of its most.
const NAME: usize = 11;
const MOST: usize = 12;

/// Draws them.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let remarks =
        [(format!("{} a column", view.history.column), Tone::Plain), ("blank: not observed".to_owned(), Tone::Faint)];
    let inner = titled(area, buffer, theme, "GIL over time", &remarks);
    let room = usize::from(inner.width).saturating_sub(NAME + MOST + 2);
    for (number, figure) in Figure::ALL.into_iter().enumerate() {
        let columns = view.history.columns(figure, room);
        let most = columns.iter().flatten().copied().fold(0.0, f64::max);
        let (name, tone, scale, text) = match figure {
            Figure::Load => ("load", Tone::State(ThreadState::Running), 1.0, units::percent(most)),
            Figure::Contention => ("contention", Tone::State(ThreadState::Waiting), 1.0, units::percent(most)),
            // Waiting is at least one thread high, so that a little of it does not look like much.
            Figure::Waiting => ("waiting", Tone::State(ThreadState::Waiting), most.max(1.0), units::mean_count(most)),
            Figure::Handoffs => ("handoffs", Tone::Plain, most, units::rate(most)),
        };
        let mut line = Line::new();
        line.push(format!(" {}", left(name, NAME)), theme.style(Tone::Label));
        for value in &columns {
            let symbol = value.map_or(' ', |value| theme.spark(value, scale));
            line.push_symbol(symbol, theme.style(tone));
        }
        let seen = columns.iter().any(Option::is_some);
        let most = if seen { format!("max {text}") } else { "max ?".to_owned() };
        line.push(right(&most, MOST), theme.style(Tone::Faint));
        line.draw(line_of(inner, number), buffer);
    }
}
