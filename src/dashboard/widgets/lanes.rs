//! The lanes: one row per core, time from left to right. A letter says which thread held the GIL there.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::cores::When;
use crate::dashboard::rows::tag;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{LanesView, ViewModel};
use crate::dashboard::widgets::{Line, centred, line_of, titled};
use crate::event::{Cpu, ThreadKey};
use crate::model::lanes::LaneBin;
use crate::model::snapshot::ThreadState;
use crate::text::{left, right};
use crate::time::Ns;

/// Columns of a core's name.
const GUTTER: usize = 8;
/// From this share of a column on, its holder is shown in full weight.
const MOSTLY: f64 = 0.5;
/// Below this share, a hold is a mark without a name.
const HARDLY: f64 = 0.05;

/// Lines it would use: title, cores, waiters, axis.
pub fn wanted(view: &ViewModel<'_>) -> u16 {
    u16::try_from(view.lanes.cores.len().clamp(1, 16)).unwrap_or(1).saturating_add(3)
}

/// What happened in one column.
#[derive(Debug, Clone, Default)]
struct ColumnSum {
    /// Whether something should have been seen in it.
    when: When,
    observed: Ns,
    unplaced: Ns,
    waited: Ns,
    cores: Vec<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    cpu: Cpu,
    running: Ns,
    asleep: Ns,
    longest: (Ns, ThreadKey),
}

impl ColumnSum {
    fn waiters(&self) -> Waiters {
        Waiters { mean: self.waited.share_of(self.observed), unobserved: unobserved(self.when) }
    }

    fn add(&mut self, bin: &LaneBin) {
        self.observed += bin.observed;
        self.unplaced += bin.unplaced;
        self.waited += bin.waited;
        for cell in &bin.cores {
            let held = cell.running + cell.asleep;
            match self.cores.iter_mut().find(|core| core.cpu == cell.cpu) {
                Some(core) => {
                    core.running += cell.running;
                    core.asleep += cell.asleep;
                    core.longest = core.longest.max((held, cell.thread));
                }
                None => self.cores.push(Held {
                    cpu: cell.cpu,
                    running: cell.running,
                    asleep: cell.asleep,
                    longest: (held, cell.thread),
                }),
            }
        }
    }
}

/// The columns up to now, the newest last. They begin at multiples of their length, so that they do not flicker
/// while time goes on.
fn columns(view: &LanesView<'_>, count: usize) -> Vec<ColumnSum> {
    let mut columns = vec![ColumnSum::default(); count];
    let Some(lanes) = view.lanes else { return columns };
    let length = view.column.0.max(1);
    let newest = view.at.0 / length;
    for (behind, column) in columns.iter_mut().rev().enumerate() {
        let number = newest.checked_sub(behind as u64);
        if number.is_none_or(|number| number < view.start.0 / length) {
            column.when = When::Outside;
        }
    }
    // The column that has just begun may have nothing in it yet.
    if let Some(newest) = columns.last_mut() {
        newest.when = When::Outside;
    }
    for (start, bin) in lanes.ring_within(view.column).bins() {
        let behind = newest.saturating_sub(start.0 / length);
        let place = usize::try_from(behind).ok().and_then(|behind| count.checked_sub(behind + 1));
        if let Some(column) = place.and_then(|place| columns.get_mut(place)) {
            column.add(&bin);
        }
    }
    columns
}

/// Draws them.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let lanes = &view.lanes;
    let remarks = [
        (format!("{} a column", lanes.column), Tone::Plain),
        ("letter: who held it most, z: its holder slept".to_owned(), Tone::Faint),
    ];
    let area = titled(area, buffer, theme, "GIL by core", &remarks);
    if lanes.lanes.is_none() {
        centred(area, buffer, "no GIL to follow", theme.style(Tone::Faint));
        return;
    }
    let count = usize::from(area.width).saturating_sub(GUTTER + 1);
    let columns = columns(lanes, count);
    let unplaced = columns.iter().any(|column| column.unplaced > Ns::ZERO);
    let extra = 2 + usize::from(unplaced);
    let room = usize::from(area.height).saturating_sub(extra).max(1);
    let cores = shown_cores(lanes, &columns, room);
    for (number, cpu) in cores.iter().enumerate() {
        core(*cpu, lanes, &columns, theme, line_of(area, number), buffer);
    }
    let mut next = cores.len();
    if unplaced {
        let mut line = gutter("core ?", theme);
        for column in &columns {
            let share = column.unplaced.share_of(column.observed).unwrap_or(0.0);
            line.push(if share >= HARDLY { "?" } else { " " }, theme.style(Tone::Faint));
        }
        line.draw(line_of(area, next), buffer);
        next += 1;
    }
    let waiting: Vec<Waiters> = columns.iter().map(ColumnSum::waiters).collect();
    waiters(&waiting, GUTTER, theme, line_of(area, next), buffer);
    axis(lanes.column, count, GUTTER, theme, line_of(area, next + 1), buffer);
}

/// Cores that were used in the time shown come first where there is no room for all.
fn shown_cores(lanes: &LanesView<'_>, columns: &[ColumnSum], room: usize) -> Vec<Cpu> {
    let mut all: Vec<(Ns, Cpu)> = lanes.cores.iter().map(|cpu| (Ns::ZERO, *cpu)).collect();
    for held in columns.iter().flat_map(|column| &column.cores) {
        match all.iter_mut().find(|(_, cpu)| *cpu == held.cpu) {
            Some((time, _)) => *time += held.running + held.asleep,
            None => all.push((held.running + held.asleep, held.cpu)),
        }
    }
    if all.len() > room {
        all.sort_unstable_by(|(a, left), (b, right)| b.cmp(a).then(left.cmp(right)));
        all.truncate(room);
    }
    let mut cores: Vec<Cpu> = all.into_iter().map(|(_, cpu)| cpu).collect();
    cores.sort_unstable();
    cores
}

fn gutter(name: &str, theme: Theme) -> Line {
    labelled(name, GUTTER, theme)
}

/// A lane's beginning: `width` columns with its name at their end.
pub(super) fn labelled(name: &str, width: usize, theme: Theme) -> Line {
    let mut line = Line::new();
    line.push(right(name, width.saturating_sub(1)), theme.style(Tone::Label));
    line.push(theme.pick("│", "|"), theme.style(Tone::Faint));
    line
}

fn core(cpu: Cpu, lanes: &LanesView<'_>, columns: &[ColumnSum], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = gutter(&format!("core {}", cpu.0), theme);
    for column in columns {
        let (symbol, tone) = cell(cpu, lanes, column, theme);
        line.push_symbol(symbol, tone);
    }
    line.draw(area, buffer);
}

fn cell(cpu: Cpu, lanes: &LanesView<'_>, column: &ColumnSum, theme: Theme) -> (char, ratatui::style::Style) {
    if column.observed == Ns::ZERO {
        return (unobserved(column.when), theme.style(Tone::Faint));
    }
    let Some(held) = column.cores.iter().find(|core| core.cpu == cpu) else {
        return (' ', theme.style(Tone::Plain));
    };
    let share = (held.running + held.asleep).share_of(column.observed).unwrap_or(0.0);
    let (_, thread) = held.longest;
    let place = lanes.place(thread);
    if share < HARDLY {
        return (theme.pick('·', '.'), theme.style(Tone::Faint));
    }
    if held.asleep > held.running {
        return ('z', theme.style(Tone::State(ThreadState::HoldingOffCpu)));
    }
    let symbol = place.map_or('*', tag);
    let style = theme.style(place.map_or(Tone::Plain, Tone::Thread));
    let style = match share >= MOSTLY {
        true => style.add_modifier(ratatui::style::Modifier::BOLD),
        false => style,
    };
    match lanes.selected == Some(thread) {
        true => (symbol, style.patch(theme.style(Tone::Selected))),
        false => (symbol, style),
    }
}

/// What stands where nothing was seen.
pub(super) fn unobserved(when: When) -> char {
    match when {
        When::Watched => '?',
        When::Outside => ' ',
    }
}

/// How many waited in a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiters {
    /// On the mean; `None`: nobody looked.
    pub mean: Option<f64>,
    /// What stands where nobody looked.
    pub unobserved: char,
}

/// How many waited on the mean, as a digit.
pub(super) fn waiters(columns: &[Waiters], gutter: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = labelled("waiting", gutter, theme);
    for column in columns {
        let (symbol, tone) = match column.mean {
            None => (column.unobserved, Tone::Faint),
            Some(mean) if mean <= 0.0 => (' ', Tone::Plain),
            Some(mean) if mean < 0.5 => (theme.pick('·', '.'), Tone::State(ThreadState::Waiting)),
            Some(mean) if mean < 9.5 => {
                (char::from_digit(mean.round() as u32, 10).unwrap_or('+'), Tone::State(ThreadState::Waiting))
            }
            Some(_) => ('+', Tone::Bad),
        };
        line.push_symbol(symbol, theme.style(tone));
    }
    line.draw(area, buffer);
}

/// The time shown, of `count` columns.
pub(super) fn axis(column: Ns, count: usize, gutter: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let span = Ns(column.0.saturating_mul(count as u64));
    let mut line = Line::new();
    line.push(left("", gutter), theme.style(Tone::Faint));
    line.push(format!("-{span}"), theme.style(Tone::Faint));
    line.push_right("now ", theme.style(Tone::Faint));
    line.draw(area, buffer);
}
