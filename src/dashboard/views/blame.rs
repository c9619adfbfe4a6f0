//! Blame: who made whom wait, in which function, down to single stacks.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::blame::{Depth, Matrix};
use crate::dashboard::mouse::Spot;
use crate::dashboard::theme::Theme;
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{matrix, parts, take_top};

/// Lines that the matrix keeps before the pair below it gets any.
const MATRIX: u16 = 6;
/// Fewer lines of the pair say nothing: title, header and two rows.
const PAIR: u16 = 4;
/// Lines of a stack below those of a pair, from this height of both on.
const WITH_STACK: u16 = 14;

/// Matrix and pair, while the matrix is shown.
fn places(of: &Matrix<'_>, mut area: Rect) -> (Rect, Rect) {
    let kept = if of.waiters.is_empty() { 0 } else { (area.height / 3).max(PAIR) };
    let most = area.height.saturating_sub(kept).max(MATRIX).min(area.height);
    let above = take_top(matrix::wanted(of).min(most), &mut area);
    match area.height < PAIR || of.waiters.is_empty() {
        // It gets the rest, too.
        true => (Rect { height: above.height + area.height, ..above }, Rect::default()),
        false => (above, area),
    }
}

/// Stacks of the open pair, and the one under the cursor.
fn open(mut area: Rect) -> (Rect, Rect) {
    let list = if area.height >= WITH_STACK { area.height / 2 } else { area.height };
    (take_top(list, &mut area), area)
}

/// Rows that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    let Some(of) = &view.blame else { return 1 };
    match of.choice.depth {
        Depth::Matrix => matrix::page(places(of, area).0),
        Depth::Pair => usize::from(open(area).0.height.saturating_sub(2)),
        Depth::Stack => usize::from(area.height.saturating_sub(2)),
    }
}

/// How far an open stack can be scrolled down.
pub fn reach(view: &ViewModel<'_>, area: Rect) -> usize {
    match &view.blame {
        Some(of) if of.choice.depth == Depth::Stack => {
            let frames = of.parts().get(of.choice.part).map_or(0, |part| part.stack.len());
            frames.saturating_sub(page(view, area))
        }
        _ => 0,
    }
}

/// What can be pointed at: cells, or rows of stacks.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, Spot)> {
    let Some(of) = &view.blame else { return Vec::new() };
    match of.choice.depth {
        Depth::Matrix => {
            let cells = matrix::spots(of, places(of, area).0);
            cells.into_iter().map(|(area, (row, column))| (area, Spot::Cell(row, column))).collect()
        }
        Depth::Pair => {
            let mut list = open(area).0;
            take_top(1, &mut list);
            let rows = parts::spots(of.parts().len(), of.choice.part, list);
            rows.into_iter().map(|(area, row)| (area, Spot::Row(row))).collect()
        }
        Depth::Stack => Vec::new(),
    }
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(of) = &view.blame else { return };
    match of.choice.depth {
        Depth::Matrix => {
            let (above, below) = places(of, area);
            matrix::draw(of, theme, above, buffer);
            if !below.is_empty() {
                let inner = parts::title(of, "by function", theme, below, buffer);
                parts::draw(of, &of.functions(), None, theme, inner, buffer);
            }
        }
        Depth::Pair => {
            let found = of.parts();
            let cursor = of.choice.part.min(found.len().saturating_sub(1));
            let (list, stack) = open(area);
            let aside = format!("{} by stack; Esc: back", count(found.len(), "stack"));
            let inner = parts::title(of, &aside, theme, list, buffer);
            parts::draw(of, &found, Some(cursor), theme, inner, buffer);
            if !stack.is_empty() && !found.is_empty() {
                parts::stack(found.get(cursor), 0, theme, stack, buffer);
            }
        }
        Depth::Stack => {
            let found = of.parts();
            let part = found.get(of.choice.part.min(found.len().saturating_sub(1)));
            let mut rest = area;
            let inner = take_top(1, &mut rest);
            parts::title(of, "Esc: back", theme, inner, buffer);
            parts::stack(part, of.choice.scrolled, theme, rest, buffer);
        }
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what},"),
        several => format!("{several} {what}s,"),
    }
}
