//! The lanes of the timeline: one cell tells most of what a thread did in a column, and that there was something else if
//! that matters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::theme::{Theme, Tone, letter, word};
use crate::dashboard::timeline::{Shown, Timeline};
use crate::dashboard::widgets::{Line, first_shown, line_of, put, right_of, who};
use crate::event::ThreadKey;
use crate::model::segments::{Handoff, Kept, Passed, Passing};
use crate::model::snapshot::{StateTimes, ThreadState};
use crate::text::{left, right};
use crate::time::{MonoNs, Ns};

/// Lines of what is counted below the lanes: handoffs, and the forced among them.
pub const COUNTS: u16 = 2;
/// Columns of a thread's name: at least, and at most.
const GUTTER: (u16, u16) = (14, 26);

/// States by how much they matter to whoever looks for what the GIL does: the first that is there at all is not passed over.
const BY_WEIGHT: [ThreadState; 8] = [
    ThreadState::HoldingOffCpu,
    ThreadState::Waiting,
    ThreadState::HandingOver,
    ThreadState::Running,
    ThreadState::Runnable,
    ThreadState::Native,
    ThreadState::Unknown,
    ThreadState::Idle,
];

/// Whether there is a line between two lanes, in which handoffs are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// There is.
    Apart,
    /// There is none.
    Close,
}

fn gutter(area: Rect) -> u16 {
    (area.width / 6).clamp(GUTTER.0, GUTTER.1).min(area.width)
}

/// Columns of time that fit.
pub fn columns(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(gutter(area)))
}

/// The part of a line in which time is shown.
pub fn time_of(line: Rect) -> Rect {
    right_of(usize::from(gutter(line)), line)
}

/// How so many lanes are spaced.
pub fn spacing(count: usize, area: Rect) -> Spacing {
    match (2 * count).saturating_sub(1) <= usize::from(area.height) {
        true => Spacing::Apart,
        false => Spacing::Close,
    }
}

/// Of so many lanes, how many fit.
pub fn rows(count: usize, area: Rect) -> usize {
    usize::from(area.height).min(count).max(1)
}

/// The lines of the lanes on the screen, each with the number of its lane.
pub fn lines(of: &Timeline<'_>, area: Rect, spacing: Spacing) -> impl Iterator<Item = (Rect, usize)> {
    let count = of.rows.len();
    let room = rows(count, area);
    let first = first_shown(of.cursor, count, room);
    let apart = if spacing == Spacing::Apart { 2 } else { 1 };
    (first..count).take(room.min(usize::from(area.height))).map(move |row| (line_of(area, (row - first) * apart), row))
}

/// What is drawn of a column: the state of most of it, and one that matters more if there was any.
pub fn cell(sum: &StateTimes) -> Option<(ThreadState, Option<ThreadState>)> {
    let times = BY_WEIGHT.map(|state| (state, sum.get(state)));
    // Of two that are alike the one that matters more.
    let (most, _) = times.into_iter().rev().max_by_key(|(_, time)| *time).filter(|(_, time)| *time > Ns::ZERO)?;
    let beside = times.into_iter().find(|(state, time)| *state == most || *time > Ns::ZERO);
    Some((most, beside.map(|(state, _)| state).filter(|state| *state != most)))
}

fn drawn(sum: &StateTimes, theme: Theme) -> (char, Style) {
    match cell(sum) {
        None => (' ', Style::new()),
        Some((most, None)) => (theme.block(most), theme.style(Tone::State(most))),
        // Held most of it, and waited for in it: not all of the cell is filled.
        Some((ThreadState::Running, Some(_))) => (theme.pick('▆', 'H'), theme.style(Tone::State(ThreadState::Running))),
        // Whoever waits most of a column is told so; that it held in between goes without saying.
        Some((most @ (ThreadState::Waiting | ThreadState::HandingOver | ThreadState::HoldingOffCpu), Some(_))) => {
            (theme.block(most), theme.style(Tone::State(most)))
        }
        Some((_, Some(beside))) => (some_of(beside), theme.style(Tone::State(beside))),
    }
}

/// The mark of a state that was there, but not for most of a column.
fn some_of(state: ThreadState) -> char {
    match state {
        // Its own is what a whole cell is drawn with in ASCII.
        ThreadState::Runnable => 'r',
        state => letter(state).to_ascii_lowercase(),
    }
}

/// Draws the lanes, and between them the handoffs.
pub fn draw(
    of: &Timeline<'_>,
    shown: &Shown,
    count: usize,
    spacing: Spacing,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let lanes: Vec<(Rect, usize)> = lines(of, area, spacing).collect();
    for (line, row) in &lanes {
        let Some(thread) = of.rows.get(*row) else { break };
        lane(of, shown, thread.key, theme, *line, buffer);
        name(of, *row, theme, *line, buffer);
    }
    if spacing == Spacing::Apart {
        joints(of, shown, &lanes, count, theme, area, buffer);
    }
}

fn name(of: &Timeline<'_>, row: usize, theme: Theme, line: Rect, buffer: &mut Buffer) {
    let Some(thread) = of.rows.get(row) else { return };
    let gutter = gutter(line);
    let (tag, name, tone) = who::thread(Some(of.process), thread.key, usize::from(gutter.saturating_sub(4)));
    let mut text = Line::new();
    text.push(format!(" {tag} "), theme.style(tone));
    text.push(left(&name, usize::from(gutter.saturating_sub(4))), Style::new());
    let place = Rect { width: gutter, ..line };
    text.draw(place, buffer);
    if row == of.cursor {
        let marked = Rect { width: gutter.saturating_sub(1), ..line };
        buffer.set_style(marked.intersection(buffer.area), theme.style(Tone::Selected));
    }
    let edge = Rect { x: line.x.saturating_add(gutter.saturating_sub(1)), width: gutter.min(1), ..line };
    let mut border = Line::new();
    border.push(theme.pick("│", "|"), theme.style(Tone::Faint));
    border.draw(edge, buffer);
}

fn lane(of: &Timeline<'_>, shown: &Shown, thread: ThreadKey, theme: Theme, line: Rect, buffer: &mut Buffer) {
    let place = time_of(line);
    let cursor = of
        .choice
        .at
        .map(|at| at.since(shown.from).0 / of.column().0.max(1))
        .filter(|_| of.choice.at >= Some(shown.from));
    let span = of.choice.span();
    let (columns, begun) = (&shown.columns, of.process.capture.start);
    for (number, (sum, kept)) in columns.of(thread).iter().zip(&columns.kept).enumerate() {
        let start = shown.from + Ns(of.column().0.saturating_mul(number as u64));
        let (symbol, mut style) = match kept {
            Kept::Not if start + of.column() > begun => (theme.pick('┈', '~'), theme.style(Tone::Faint)),
            Kept::Not | Kept::InBins | Kept::InFull => drawn(&sum.states(of.column()), theme),
        };
        let is_within = span.is_some_and(|(from, to)| start + of.column() > from && start < to);
        if is_within || cursor == Some(number as u64) {
            style = style.patch(theme.style(Tone::Selected));
        }
        put(place, number, symbol, style, buffer);
    }
}

/// The handoffs of one column.
fn by_column<'a>(handoffs: &'a [Handoff], shown: &Shown, column: Ns, count: usize) -> Vec<Vec<&'a Handoff>> {
    let mut columns = vec![Vec::new(); count];
    for handoff in handoffs {
        let number = handoff.at.since(shown.from).0 / column.0.max(1);
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| columns.get_mut(number)) {
            slot.push(handoff);
        }
    }
    columns
}

/// Draws in the lines between the lanes how the GIL went from one to another.
fn joints(
    of: &Timeline<'_>,
    shown: &Shown,
    lanes: &[(Rect, usize)],
    count: usize,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let place = |thread: Option<ThreadKey>| {
        lanes.iter().position(|(_, row)| of.rows.get(*row).map(|row| row.key) == thread && thread.is_some())
    };
    let handoffs = of.handoffs(shown);
    for (column, all) in by_column(&handoffs, shown, of.column(), count).iter().enumerate() {
        let [handoff] = all.as_slice() else {
            several(of, all, lanes, column, theme, area, buffer);
            continue;
        };
        let (Some(from), Some(to)) = (place(handoff.from), place(handoff.to)) else { continue };
        let is_forced = handoff.passing == Passing::Forced;
        let style = theme.style(if is_forced { Tone::Bad } else { Tone::Plain });
        let shaft = if is_forced { theme.pick('┃', '!') } else { theme.pick('│', '|') };
        let head = match (from < to, is_forced) {
            (true, true) => theme.pick('▼', 'V'),
            (true, false) => theme.pick('▽', 'v'),
            (false, true) => theme.pick('▲', 'A'),
            (false, false) => theme.pick('△', '^'),
        };
        let (first, last) = (from.min(to), from.max(to));
        for gap in first..last {
            let is_head = if from < to { gap + 1 == to } else { gap == to };
            let line = time_of(line_of(area, 2 * gap + 1));
            put(line, column, if is_head { head } else { shaft }, style, buffer);
        }
    }
}

fn several(
    of: &Timeline<'_>,
    all: &[&Handoff],
    lanes: &[(Rect, usize)],
    column: usize,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let place = |thread: Option<ThreadKey>| {
        lanes.iter().position(|(_, row)| of.rows.get(*row).map(|row| row.key) == thread && thread.is_some())
    };
    let ends = all.iter().flat_map(|handoff| [place(handoff.from), place(handoff.to)]).flatten();
    let (mut low, mut high) = (usize::MAX, 0);
    for end in ends {
        (low, high) = (low.min(end), high.max(end));
    }
    let is_forced = all.iter().any(|handoff| handoff.passing == Passing::Forced);
    let style = theme.style(if is_forced { Tone::Bad } else { Tone::Faint });
    let symbol = if is_forced { theme.pick('┇', ';') } else { theme.pick('┊', ':') };
    for gap in low..high {
        put(time_of(line_of(area, 2 * gap + 1)), column, symbol, style, buffer);
    }
}

/// Draws how many handoffs there were in each column by CPython's count, and how many of them were forced.
pub fn counts(shown: &Shown, theme: Theme, area: Rect, buffer: &mut Buffer) {
    for (number, (title, of)) in
        [("handoffs", handoffs as fn(&Passed) -> _), ("forced", forced)].into_iter().enumerate()
    {
        let line = line_of(area, number);
        caption(title, theme, line, buffer);
        for (column, passed) in shown.columns.passed.iter().enumerate() {
            if let Some((symbol, tone)) = of(passed) {
                put(time_of(line), column, symbol, theme.style(tone), buffer);
            }
        }
    }
}

fn digit(count: u64) -> Option<char> {
    match count {
        0 => None,
        few @ 1..=9 => char::from_digit(few as u32, 10),
        _ => Some('+'),
    }
}

fn handoffs(passed: &Passed) -> Option<(char, Tone)> {
    let tone = if passed.missed > 0 { Tone::Warn } else { Tone::Plain };
    Some((digit(passed.counted())?, tone))
}

/// How many were forced at least; where none was seen to be, and some may have been, that is not known.
fn forced(passed: &Passed) -> Option<(char, Tone)> {
    let unknown = (passed.unclear + passed.missed > 0).then_some(('?', Tone::Faint));
    digit(passed.forced).map(|digit| (digit, Tone::Bad)).or(unknown)
}

fn caption(title: &str, theme: Theme, line: Rect, buffer: &mut Buffer) {
    let gutter = usize::from(gutter(line));
    let mut text = Line::new();
    text.push(right(title, gutter.saturating_sub(2)), theme.style(Tone::Label));
    text.push(theme.pick(" │", " |"), theme.style(Tone::Faint));
    text.draw(Rect { width: line.width.min(gutter as u16), ..line }, buffer);
}

/// Time since the start, as exactly as the columns are wide: `12.345 s`, `12.345 678 s`.
pub fn clock(at: MonoNs, start: MonoNs, column: Ns) -> String {
    let since = at.since(start).0;
    let (s, ms, us) = (since / 1_000_000_000, since / 1_000_000 % 1_000, since / 1_000 % 1_000);
    match column < Ns::MILLISECOND {
        true => format!("{s}.{ms:03} {us:03} s"),
        false => format!("{s}.{ms:03} s"),
    }
}

/// Draws which time is shown.
pub fn axis(of: &Timeline<'_>, count: usize, start: MonoNs, theme: Theme, area: Rect, buffer: &mut Buffer) {
    caption("time", theme, area, buffer);
    let place = time_of(area);
    let from = of.from(count);
    let mut line = Line::new();
    line.push(clock(from, start, of.column()), theme.style(Tone::Faint));
    let end = if of.choice.end.is_some() { String::new() } else { "now, ".to_owned() };
    line.push_right(format!("{end}{}", clock(of.end, start, of.column())), theme.style(Tone::Faint));
    line.draw(place, buffer);
    if let Some(at) = of.choice.at.filter(|at| *at >= from && *at < of.end) {
        let column = usize::try_from(at.since(from).0 / of.column().0.max(1)).unwrap_or(usize::MAX);
        let text = format!("{}{}", theme.pick('▲', '^'), clock(at, start, of.column()));
        let room = count.saturating_sub(column);
        // Where there is no room to its right it stands to the left of its mark.
        let (x, text) = match text.chars().count() <= room {
            true => (column, text),
            false => {
                let text = format!("{}{}", clock(at, start, of.column()), theme.pick('▲', '^'));
                ((column + 1).saturating_sub(text.chars().count()), text)
            }
        };
        for (offset, symbol) in text.chars().enumerate() {
            put(place, x + offset, symbol, theme.style(Tone::Strong), buffer);
        }
    }
}

/// Draws what symbols mean.
pub fn legend(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(" ", Style::new());
    for state in BY_WEIGHT {
        let text = format!("{}  ", word(state));
        if line.width() + 2 + text.len() > usize::from(area.width) {
            break;
        }
        line.push(format!("{} ", theme.block(state)), theme.style(Tone::State(state)));
        line.push(text, theme.style(Tone::Faint));
    }
    let more = format!("letter: some of it  {}: held, and more", theme.pick('▆', 'H'));
    line.push_whole(&more, theme.style(Tone::Faint), area.width);
    line.draw(area, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::theme::{Depth, Symbols};
    use crate::model::segments::{Doing, Mix, Segment, Sharpness, Sums};

    fn segment(from: u64, to: u64, state: ThreadState) -> Segment {
        let (from, to) = (MonoNs(from * 1_000), MonoNs(to * 1_000));
        Segment { from, to, doing: Doing::Is(state), cpu: None, begins: Sharpness::Switch }
    }

    #[test]
    fn a_short_wait_does_not_vanish_and_fills_nothing() {
        let theme = Theme { depth: Depth::Mono, symbols: Symbols::Unicode };
        let lane = [
            segment(0, 4_000, ThreadState::Idle),
            segment(4_000, 4_050, ThreadState::Waiting),
            segment(4_050, 10_000, ThreadState::Idle),
            segment(10_000, 14_000, ThreadState::Running),
            segment(14_000, 14_050, ThreadState::Waiting),
            segment(14_050, 20_000, ThreadState::Running),
            segment(20_000, 26_000, ThreadState::Waiting),
            segment(26_000, 30_000, ThreadState::Running),
        ];
        let column = Ns::from_millis(10);
        let symbols: String = Sums::by_column(&lane, MonoNs(0), column, 4)
            .iter()
            .map(|sum| drawn(&sum.states(column), theme).0)
            .collect();
        assert_eq!(symbols, "w▆▒ ");
        let column = Ns::from_micros(10);
        let near = Sums::by_column(&lane, MonoNs(3_990_000), column, 8);
        let near: String = near.iter().map(|sum| drawn(&sum.states(column), theme).0).collect();
        assert_eq!(near, "·▒▒▒▒▒··");
    }

    #[test]
    fn averages_are_shown_only_as_such() {
        let mix = Mix { running: 800, native: 200, runnable: 0, over: Ns::from_millis(20) };
        let doing = Doing::Mixed(mix);
        let lane = [Segment { doing, ..segment(0, 100_000, ThreadState::Idle) }];
        let of = |column| Sums::by_column(&lane, MonoNs(0), column, 1).remove(0).states(column);
        assert_eq!(cell(&of(Ns::MILLISECOND)), Some((ThreadState::Unknown, None)));
        assert_eq!(cell(&of(Ns::from_millis(20))), Some((ThreadState::Running, None)));
    }

    #[test]
    fn every_state_can_be_told_from_the_others_in_a_cell() {
        for symbols in [Symbols::Unicode, Symbols::Ascii] {
            let theme = Theme { depth: Depth::Mono, symbols };
            let whole = BY_WEIGHT.map(|state| drawn(&StateTimes::of(state, Ns(1)), theme).0);
            let mut parts: Vec<char> = whole.to_vec();
            for state in
                BY_WEIGHT.into_iter().filter(|state| *state != ThreadState::Idle && *state != ThreadState::Unknown)
            {
                let mut sum = StateTimes::of(ThreadState::Idle, Ns(99));
                sum += StateTimes::of(state, Ns(1));
                parts.push(drawn(&sum, theme).0);
            }
            parts.push(theme.pick('▆', 'H'));
            let all = parts.len();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), all, "{parts:?}");
        }
    }
}
