//! Histograms: how long waits and holds take, of all threads or of one, beside those of another.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::buckets::{Bucket, buckets, fitted, marks, shares};
use crate::dashboard::histograms::{Histograms, Of, Row, Split};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{Transport, ViewModel};
use crate::dashboard::widgets::durations::summary;
use crate::dashboard::widgets::{Line, centred, line_of, rows_shown, take_top, titled, who};
use crate::model::snapshot::{Distribution, ThreadState};
use crate::text::{left, right};
use crate::units;

/// Columns of the list of threads.
const LIST: (u16, u16) = (22, 38);
/// Columns of a name in a title.
const NAME: usize = 24;
/// Columns of the marks: `p50-p99`.
const MARKS: usize = 7;
/// Columns of a share.
const SHARE: usize = 7;
/// From this width of a histogram on there is room for counts, and for marks.
const WITH_COUNTS: u16 = 48;
const WITH_MARKS: u16 = 26;

/// The list, waits, and holds.
fn places(mut area: Rect) -> (Rect, Rect, Rect) {
    let width = (area.width / 4).clamp(LIST.0, LIST.1).min(area.width);
    let list = Rect { width: width.saturating_sub(1), ..area };
    area = Rect { x: area.x.saturating_add(width), width: area.width - width, ..area };
    let waits = take_top(area.height.div_ceil(2), &mut area);
    (list, waits, area)
}

/// Rows that fit into the list.
pub fn page(area: Rect) -> usize {
    usize::from(places(area).0.height.saturating_sub(1))
}

/// The rows on the screen, each with its number.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let Some(of) = &view.histograms else { return Vec::new() };
    rows_shown(places(area).0, 1, of.cursor, of.rows.len()).collect()
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(of) = &view.histograms else { return };
    let (list, waits, holds) = places(area);
    threads(of, theme, list, buffer);
    let sides = match sides(of, &view.transport) {
        Ok(sides) => sides,
        Err(why) => {
            let both = waits.union(holds);
            let inner = titled(both, buffer, theme, "Before and after the mark", &[]);
            return centred(inner, buffer, why, theme.style(Tone::Faint));
        }
    };
    block(&sides, Part::Waits, theme, waits, buffer);
    block(&sides, Part::Holds, theme, holds, buffer);
}

/// Waits, or holds.
#[derive(Debug, Clone, Copy)]
enum Part {
    Waits,
    Holds,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Part::Waits => "Waits",
            Part::Holds => "Holds",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Part::Waits => Tone::State(ThreadState::Waiting),
            Part::Holds => Tone::State(ThreadState::Running),
        }
    }
}

/// What stands beside what.
struct Side<'a> {
    of: String,
    waits: &'a Distribution,
    holds: &'a Distribution,
}

impl Side<'_> {
    /// Those that there are.
    fn part(&self, part: Part) -> Option<&Distribution> {
        let durations = match part {
            Part::Waits => self.waits,
            Part::Holds => self.holds,
        };
        Some(durations).filter(|durations| durations.count() > 0)
    }
}

/// One row, beside another, or before a mark beside after it; or why there is nothing to show.
fn sides<'a>(of: &'a Histograms<'_>, transport: &Transport) -> Result<[Option<Side<'a>>; 2], &'static str> {
    let side = |row: &Row<'a>, what: &str| {
        let of = format!("{what} {}", named(of, row, NAME).1);
        Side { of, waits: row.waits, holds: row.holds }
    };
    match &of.split {
        None => Ok([of.shown().map(|row| side(row, "of")), of.beside().map(|row| side(row, "compared with"))]),
        Some(Split::Coming) => Err("it is being worked out"),
        Some(Split::Ahead) => Err("what is shown lies before the mark"),
        Some(Split::Unknown) => Err("what came before and what after cannot be told apart"),
        Some(Split::Made { before, after }) => {
            let place = transport.marks.iter().position(|mark| Some(mark.at) == of.choice.mark);
            let mark = place.map_or("the mark".to_owned(), |place| format!("mark #{}", place + 1));
            let made = |when: &str, [waits, holds]: &'a [Distribution; 2]| {
                Some(Side { of: format!("{when} {mark}"), waits, holds })
            };
            Ok([made("before", before), made("after", after)])
        }
    }
}

fn threads(of: &Histograms<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let threads = of.rows.iter().filter(|row| row.thread.is_some()).count();
    let remarks = [(format!("{}, by time lost", units::count(threads as u64)), Tone::Faint)];
    let inner = titled(area, buffer, theme, "Threads", &remarks);
    if of.rows.is_empty() {
        centred(inner, buffer, "none yet", theme.style(Tone::Faint));
        return;
    }
    for (place, number) in rows_shown(inner, 0, of.cursor, of.rows.len()) {
        let Some(row) = of.rows.get(number) else { break };
        let time = row.thread.map_or(row.waits.total, |thread| thread.lost).to_string();
        let columns = usize::from(inner.width).saturating_sub(time.len() + 5);
        let (letter, name, tone) = named(of, row, columns);
        let mark = if of.against == Some(number) { theme.pick("◆", "=") } else { " " };
        let mut line = Line::new();
        line.push(mark, theme.style(Tone::Warn));
        line.push(format!("{letter} "), theme.style(tone));
        line.push(left(&name, columns), Style::new());
        line.push(format!(" {time}"), theme.style(Tone::Faint));
        line.draw(place, buffer);
        if number == of.cursor {
            buffer.set_style(place.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
}

fn named(of: &Histograms<'_>, row: &Row<'_>, columns: usize) -> (char, String, Tone) {
    match row.of {
        Of::All => (' ', crate::text::cut("all threads", columns), Tone::Plain),
        Of::Thread(key) => who::thread(of.process, key, columns),
    }
}

fn block(sides: &[Option<Side<'_>>; 2], part: Part, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let half = area.width / 2;
    let places = match &sides[1] {
        None => [area, Rect::default()],
        Some(_) => [
            Rect { width: half.saturating_sub(1), ..area },
            Rect { x: area.x.saturating_add(half), width: area.width - half, ..area },
        ],
    };
    let all = [0, 1].map(|which: usize| sides.get(which).and_then(Option::as_ref).and_then(|side| side.part(part)));
    let room = usize::from(area.height.saturating_sub(2));
    let buckets = fitted(buckets(all), room);
    let most = shares(&buckets).into_iter().flatten().fold(0.0, f64::max);
    for (which, ((of, place), durations)) in sides.iter().zip(places).zip(all).enumerate() {
        let Some(of) = of.as_ref().filter(|_| !place.is_empty()) else { continue };
        let inner = titled(place, buffer, theme, part.title(), &[(of.of.clone(), Tone::Faint)]);
        let Some(durations) = durations else {
            centred(inner, buffer, "none seen whole yet", theme.style(Tone::Faint));
            continue;
        };
        summary(durations, theme, line_of(inner, 0), buffer);
        let below = Rect { y: inner.y.saturating_add(1), height: inner.height.saturating_sub(1), ..inner };
        side(&buckets, which, durations, most, part.tone(), theme, below, buffer);
    }
}

#[expect(clippy::too_many_arguments, reason = "what is drawn, of whom, how, and where")]
fn side(
    buckets: &[Bucket<2>],
    which: usize,
    durations: &Distribution,
    most: f64,
    tone: Tone,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let labels = buckets.iter().map(|bucket| bucket.label().chars().count()).max().unwrap_or(0);
    let count = |bucket: &Bucket<2>| bucket.counts.get(which).copied().unwrap_or(0);
    let counts = match area.width >= WITH_COUNTS {
        true => buckets.iter().map(|bucket| units::count(count(bucket)).len()).max().unwrap_or(0) + 1,
        false => 0,
    };
    let marked = if area.width >= WITH_MARKS { MARKS + 1 } else { 0 };
    let width = usize::from(area.width).saturating_sub(labels + 3 + SHARE + counts + marked + 1);
    let rows = buckets.iter().zip(shares(buckets)).zip(marks(buckets, durations));
    for (number, ((bucket, shares), marks)) in rows.enumerate() {
        let share = shares.get(which).copied().unwrap_or(0.0);
        let is_marked = !marks.is_empty();
        let mut line = Line::new();
        line.push(format!(" {} ", right(&bucket.label(), labels)), theme.style(Tone::Label));
        let bar = theme.bar(share / most.max(f64::MIN_POSITIVE), width);
        line.push(left(&bar, width), theme.style(tone));
        let text = if share > 0.0 { units::percent(share) } else { String::new() };
        line.push(format!(" {}", right(&text, SHARE)), theme.style(Tone::Plain));
        if counts > 0 {
            line.push(right(&units::count(count(bucket)), counts), theme.style(Tone::Faint));
        }
        if marked > 0 && is_marked {
            line.push(format!(" {marks}"), theme.style(Tone::Strong));
        }
        line.draw(line_of(area, number), buffer);
    }
}
