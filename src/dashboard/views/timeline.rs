//! The timeline: a lane for each thread, what it did from left to right, and the GIL's way from lane to lane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::timeline::{Grid, Timeline};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::instant::{self, Detail};
use crate::dashboard::widgets::strands;
use crate::dashboard::widgets::{centred, take_top, titled};
use crate::model::segments::Passed;
use crate::units;

/// From this height on there is a legend.
const WITH_LEGEND: u16 = 12;
/// Lanes are never fewer than this for the sake of what stands below them.
const LANES_LEAST: u16 = 4;

/// What is where.
struct Places {
    title: Rect,
    lanes: Rect,
    counts: Rect,
    axis: Rect,
    legend: Rect,
    detail: Rect,
}

fn places(of: &Timeline<'_>, mut rest: Rect) -> Places {
    let legend_height = u16::from(rest.height >= WITH_LEGEND);
    let title = take_top(1, &mut rest);
    let fixed = strands::COUNTS + 1 + legend_height;
    let room = rest.height.saturating_sub(fixed);
    let detail_height = instant::wanted(of).min(room.saturating_sub(LANES_LEAST));
    let lanes = take_top(room - detail_height, &mut rest);
    let counts = take_top(strands::COUNTS, &mut rest);
    let axis = take_top(1, &mut rest);
    let legend = take_top(legend_height, &mut rest);
    Places { title, lanes, counts, axis, legend, detail: rest }
}

/// Lanes that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    view.timeline.as_ref().map_or(1, |of| {
        let lanes = places(of, area).lanes;
        strands::rows(of.rows.len(), lanes)
    })
}

/// What is on the screen.
pub fn grid(view: &ViewModel<'_>, area: Rect) -> Grid {
    view.timeline.as_ref().map_or_else(Grid::default, |of| of.grid(strands::columns(area)))
}

/// The lanes on the screen, each with its number: only the part in which time is shown.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    let Some(of) = &view.timeline else { return Vec::new() };
    let lanes = places(of, area).lanes;
    let spacing = strands::spacing(of.rows.len(), lanes);
    strands::lines(of, lanes, spacing).map(|(line, row)| (strands::time_of(line), row)).collect()
}

/// What of the lanes is not to be taken at its word.
fn doubts(of: &Timeline<'_>, passed: &Passed) -> Vec<(String, Tone)> {
    let mut doubts = Vec::new();
    if of.process.capture.switches.is_none() {
        let edges = format!("(by looks alone, to {})", of.process.capture.interval);
        doubts.push((edges, Tone::Warn));
    }
    if passed.missed > 0 {
        let (seen, all) = (units::count(passed.seen), units::count(passed.counted()));
        doubts.push((format!("({seen} of {all} handoffs seen)"), Tone::Warn));
    }
    doubts
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(of) = &view.timeline else {
        let inner = titled(area, buffer, theme, "Timeline", &[]);
        return centred(inner, buffer, "nothing was found yet", theme.style(Tone::Faint));
    };
    let places = places(of, area);
    let columns = strands::columns(area);
    let span = crate::time::Ns(of.column().0.saturating_mul(columns as u64));
    let lanes =
        format!("{} of {} lanes,", strands::rows(of.rows.len(), places.lanes).min(of.rows.len()), of.rows.len());
    let mut remarks = vec![
        (format!("{} a column,", of.column()), Tone::Plain),
        (format!("{span} in all,"), Tone::Faint),
        (lanes, Tone::Faint),
        (if of.choice.end.is_some() { "stands still" } else { "goes with time" }.to_owned(), Tone::Faint),
    ];
    if of.rows.is_empty() {
        titled(places.title, buffer, theme, "Timeline", &remarks);
        let why = match view.threads.filter.is_empty() {
            true => "no thread lived then",
            false => "no thread that lived then matches the filter: Esc clears it",
        };
        return centred(places.lanes, buffer, why, theme.style(Tone::Faint));
    }
    let spacing = strands::spacing(of.rows.len(), places.lanes);
    let rows = strands::lines(of, places.lanes, spacing);
    let threads: Vec<_> = rows.filter_map(|(_, row)| of.rows.get(row).map(|thread| thread.key)).collect();
    let shown = of.shown(&threads, columns);
    remarks.extend(doubts(of, &shown.passed()));
    titled(places.title, buffer, theme, "Timeline", &remarks);
    strands::draw(of, &shown, columns, spacing, theme, places.lanes, buffer);
    strands::counts(&shown, theme, places.counts, buffer);
    strands::axis(of, columns, view.transport.start, theme, places.axis, buffer);
    strands::legend(theme, places.legend, buffer);
    let detail = Detail { of, start: view.transport.start };
    detail.draw(theme, places.detail, buffer);
}
