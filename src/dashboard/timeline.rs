//! The timeline: which threads have a lane, which time is shown, and what the user has chosen of it.

use std::cmp::Reverse;

use crate::dashboard::rows::contains;
use crate::event::ThreadKey;
use crate::model::segments::{Columns, Handoff, Passed, Sampled, Segment, Segments, Sums};
use crate::model::snapshot::{ProcessFigures, ThreadFigures};
use crate::time::{MonoNs, Ns};

/// Time in one column, by zoom: a screen of a hundred columns shows from 0.1 ms to over a minute.
pub const ZOOMS: [Ns; 19] = [
    Ns::from_micros(1),
    Ns::from_micros(2),
    Ns::from_micros(5),
    Ns::from_micros(10),
    Ns::from_micros(20),
    Ns::from_micros(50),
    Ns::from_micros(100),
    Ns::from_micros(200),
    Ns::from_micros(500),
    Ns::from_millis(1),
    Ns::from_millis(2),
    Ns::from_millis(5),
    Ns::from_millis(10),
    Ns::from_millis(20),
    Ns::from_millis(50),
    Ns::from_millis(100),
    Ns::from_millis(200),
    Ns::from_millis(500),
    Ns::from_millis(1_000),
];
/// Where it begins: 10 ms a column.
const FIRST_ZOOM: usize = 12;
/// So much after the end of what is shown has to be known for all of it to be settled.
const SETTLED_BY: Ns = Ns(150_000_000);
/// Threads whose lanes may be looked at, at most.
const LANES_MOST: usize = 100_000;

/// What the user has chosen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The lane under the cursor.
    pub thread: Option<ThreadKey>,
    /// Place in [`ZOOMS`].
    pub zoom: usize,
    /// The end of the time that is shown; `None`: it goes with what happens.
    pub end: Option<MonoNs>,
    /// The instant under the cursor.
    pub at: Option<MonoNs>,
    /// The other end of the span that is looked at.
    pub anchor: Option<MonoNs>,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { thread: None, zoom: FIRST_ZOOM, end: None, at: None, anchor: None }
    }
}

/// What is on the screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// The lanes, in their order.
    pub threads: Vec<ThreadKey>,
    /// The one under the cursor.
    pub row: usize,
    /// The beginning of the first column.
    pub from: MonoNs,
    /// Columns.
    pub columns: usize,
    /// Time in one.
    pub column: Ns,
    /// Between these everything is known.
    pub known: (MonoNs, MonoNs),
}

impl Grid {
    /// The end of the last column.
    pub fn to(&self) -> MonoNs {
        self.from + Ns(self.column.0.saturating_mul(self.columns as u64))
    }

    /// The instant in the middle of a column.
    pub fn instant(&self, column: usize) -> MonoNs {
        self.from + Ns(self.column.0.saturating_mul(column as u64) + self.column.0 / 2)
    }
}

/// Which way in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the past.
    Back,
    /// To what came after.
    Ahead,
}

impl Choice {
    /// Time in one column.
    pub fn column(&self) -> Ns {
        ZOOMS.get(self.zoom).copied().unwrap_or(Ns::SECOND)
    }

    /// The span that is looked at.
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        let (at, anchor) = self.at.zip(self.anchor)?;
        Some((at.min(anchor), at.max(anchor)))
    }

    /// Moves the cursor by so many columns. The instant that the session has to show for it, if there is one.
    pub fn step(&mut self, way: Way, columns: usize, grid: &Grid) -> Option<MonoNs> {
        let by = Ns(grid.column.0.saturating_mul(columns as u64));
        let here = self.at.unwrap_or_else(|| grid.instant(grid.columns.saturating_sub(1)));
        let at = match (way, self.at) {
            (Way::Back, _) => here - by,
            (Way::Ahead, _) => here + by,
        };
        self.at = Some(at);
        self.show(at, grid)
    }

    /// Moves what is shown by half of it.
    pub fn pan(&mut self, way: Way, grid: &Grid) -> Option<MonoNs> {
        let half = Ns(grid.column.0.saturating_mul((grid.columns / 2).max(1) as u64));
        let end = match way {
            Way::Back => grid.to() - half,
            Way::Ahead => grid.to() + half,
        };
        self.end_at(end, grid)
    }

    /// Points at an instant, and begins anew if a span was looked at.
    pub fn point_at(&mut self, at: MonoNs, grid: &Grid) -> Option<MonoNs> {
        (self.at, self.anchor) = (Some(at), None);
        self.show(at, grid)
    }

    /// Draws a span from where the cursor was to an instant.
    pub fn drag_to(&mut self, at: MonoNs, grid: &Grid) -> Option<MonoNs> {
        self.anchor = self.anchor.or(self.at).or(Some(at));
        self.at = Some(at);
        self.show(at, grid)
    }

    /// One end of a span is where the cursor is; with a span, there is none again.
    pub fn mark_span(&mut self, grid: &Grid) -> Option<MonoNs> {
        match (self.at, self.anchor) {
            (None, _) => return self.step(Way::Back, 0, grid),
            (Some(at), None) => self.anchor = Some(at),
            (Some(_), Some(_)) => self.anchor = None,
        }
        None
    }

    /// More or less time in a column; what is under the cursor stays where it is.
    pub fn zoom_to(&mut self, zoom: usize, grid: &Grid) -> Option<MonoNs> {
        self.zoom = zoom.min(ZOOMS.len() - 1);
        let end = self.end?;
        let pinned = self.at.filter(|at| *at >= grid.from && *at <= grid.to()).unwrap_or(end);
        let share = grid.to().since(pinned).share_of(grid.to().since(grid.from)).unwrap_or(0.0);
        let whole = self.column().0.saturating_mul(grid.columns as u64);
        self.end_at(pinned + Ns((whole as f64 * share) as u64), grid)
    }

    /// The span that is looked at fills the screen.
    pub fn zoom_to_span(&mut self, grid: &Grid) -> Option<MonoNs> {
        let (from, to) = self.span()?;
        let columns = grid.columns.max(1) as u64;
        let fits = |column: &Ns| column.0.saturating_mul(columns) >= to.since(from).0 + column.0;
        self.zoom = ZOOMS.iter().position(fits).unwrap_or(ZOOMS.len() - 1);
        let rest = Ns((self.column().0.saturating_mul(columns)).saturating_sub(to.since(from).0));
        self.end_at(to + Ns(rest.0 / 2), grid)
    }

    /// One step back; `None`: there is none.
    pub fn back(&mut self) -> Option<()> {
        match self {
            Choice { anchor: Some(_), .. } => self.anchor = None,
            Choice { at: Some(_), .. } => self.at = None,
            Choice { end: Some(_), .. } => self.end = None,
            Choice { thread: Some(_), .. } => self.thread = None,
            _ => return None,
        }
        Some(())
    }

    /// It goes with what happens again.
    pub fn follow(&mut self) {
        (self.end, self.at, self.anchor) = (None, None, None);
    }

    /// Brings an instant onto the screen, which stands still from now on.
    fn show(&mut self, at: MonoNs, grid: &Grid) -> Option<MonoNs> {
        let end = match self.end {
            _ if at < grid.from => grid.to() - grid.from.since(at),
            _ if at >= grid.to() => grid.to() + at.since(grid.to()) + grid.column,
            Some(_) => return None,
            None => grid.to(),
        };
        self.end_at(end, grid)
    }

    /// The instant that the session has to show so that everything up to `end` is known.
    fn end_at(&mut self, end: MonoNs, grid: &Grid) -> Option<MonoNs> {
        let stood = self.end.replace(end).is_some();
        let length = Ns(self.column().0.saturating_mul(grid.columns as u64));
        let is_there = end - length >= grid.known.0 && end + SETTLED_BY <= grid.known.1;
        (!stood || !is_there).then_some(end + SETTLED_BY)
    }
}

/// Lanes over time.
#[derive(Debug, Clone)]
pub struct Timeline<'a> {
    /// The process whose threads they are.
    pub process: &'a ProcessFigures,
    /// The lanes there may be, in their order.
    pub rows: Vec<&'a ThreadFigures>,
    /// The one under the cursor.
    pub cursor: usize,
    /// What was chosen.
    pub choice: Choice,
    /// The end of the last column.
    pub end: MonoNs,
}

/// What is shown of the time on the screen.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its first instant.
    pub from: MonoNs,
    /// What threads did, by column.
    pub columns: Columns,
}

impl Shown {
    /// The handoffs in all of it.
    pub fn passed(&self) -> Passed {
        let mut all = Passed::default();
        self.columns.passed.iter().for_each(|passed| all.add(passed));
        all
    }
}

/// What is told of a span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its first instant.
    pub from: MonoNs,
    /// Its last.
    pub to: MonoNs,
    /// The bins that it had to be rounded to, for what is kept in them alone.
    pub bins: Option<Ns>,
    /// What threads did in it: one column.
    pub columns: Columns,
}

impl Span {
    /// Its length.
    pub fn length(&self) -> Ns {
        self.to.since(self.from)
    }

    /// What a thread did in it.
    pub fn sums(&self, thread: ThreadKey) -> Sums {
        self.columns.of(thread).first().copied().unwrap_or_default()
    }

    /// The handoffs in it.
    pub fn passed(&self) -> Passed {
        self.columns.passed.first().copied().unwrap_or_default()
    }
}

impl<'a> Timeline<'a> {
    /// Of a process, with the lanes that `filter` lets through.
    pub fn of(process: Option<&'a ProcessFigures>, choice: Choice, filter: &str) -> Option<Timeline<'a>> {
        let process = process?;
        let wanted = filter.to_lowercase();
        let column = choice.column();
        // Before anything is known of them, threads have empty lanes.
        let until = match process.segments.until() {
            MonoNs(0) => process.capture.start + process.capture.duration,
            until => until,
        };
        let end = choice.end.unwrap_or(until);
        // Columns begin at multiples of their length, so that they do not flicker while time goes on.
        let end = MonoNs(end.0.div_ceil(column.0).saturating_mul(column.0));
        let widest = Ns(column.0.saturating_mul(256));
        let is_there =
            |thread: &&ThreadFigures| thread.start < end && thread.end.is_none_or(|ended| ended > end - widest);
        let takes = |thread: &ThreadFigures| thread.holds.total > Ns::ZERO || thread.lost > Ns::ZERO;
        let there = process.threads.iter().filter(is_there);
        let mut rows: Vec<&ThreadFigures> = there.filter(|thread| contains(thread, &wanted)).take(LANES_MOST).collect();
        // Those that have to do with the GIL come first, and of those that have ended those that were there last.
        let gone = |thread: &ThreadFigures| thread.end.filter(|ended| *ended <= end);
        rows.sort_by_key(|thread| (!takes(thread), gone(thread).map(Reverse), thread.key));
        let chosen = choice.thread.and_then(|key| rows.iter().position(|thread| thread.key == key));
        Some(Timeline { process, cursor: chosen.unwrap_or(0), rows, choice, end })
    }

    /// Time in a column.
    pub fn column(&self) -> Ns {
        self.choice.column()
    }

    /// The beginning of the first of so many columns.
    pub fn from(&self, columns: usize) -> MonoNs {
        self.end - Ns(self.column().0.saturating_mul(columns as u64))
    }

    /// What is known of its threads.
    pub fn segments(&self) -> &'a Segments {
        &self.process.segments
    }

    /// What is on the screen.
    pub fn grid(&self, columns: usize) -> Grid {
        Grid {
            threads: self.rows.iter().map(|thread| thread.key).collect(),
            row: self.cursor,
            from: self.from(columns),
            columns,
            column: self.column(),
            known: (self.segments().since(), self.segments().until()),
        }
    }

    /// What some threads did in the newest so many columns.
    pub fn shown(&self, threads: &[ThreadKey], columns: usize) -> Shown {
        let from = self.from(columns);
        Shown { from, columns: self.segments().columns(threads, from, self.column(), columns) }
    }

    /// The handoffs on the screen, as far as they are kept one by one.
    pub fn handoffs(&self, shown: &Shown) -> Vec<Handoff> {
        self.segments().handoffs(shown.from.max(self.segments().since()), self.end)
    }

    /// What some threads did in a span; where that is kept in bins alone, it is made as long as they need.
    pub fn span(&self, threads: &[ThreadKey], from: MonoNs, to: MonoNs) -> Span {
        let segments = self.segments();
        let bins = if from < segments.since() { segments.bins_at(from) } else { None };
        let (from, to) = bins.map_or((from, to), |width| {
            (MonoNs(from.0 / width.0 * width.0), MonoNs(to.0.div_ceil(width.0).saturating_mul(width.0)))
        });
        Span { from, to, bins, columns: segments.columns(threads, from, to.since(from), 1) }
    }

    /// What some threads did in the column that an instant lies in, or in a bin where those are wider.
    pub fn around(&self, threads: &[ThreadKey], at: MonoNs) -> Option<Span> {
        let width = self.segments().bins_at(at)?.max(self.column());
        let from = MonoNs(at.0 / width.0 * width.0);
        Some(self.span(threads, from, from + width))
    }

    /// What the holder executed when it was looked at last before an instant, while it held on.
    pub fn executed(&self, holder: &Segment, thread: ThreadKey, at: MonoNs) -> Option<Sampled> {
        let samples = self.segments().samples(holder.from, holder.to);
        let own = samples.into_iter().filter(|sample| sample.thread == thread);
        own.min_by_key(|sample| sample.at.since(at).0.max(at.since(sample.at).0))
    }
}
