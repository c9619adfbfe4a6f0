//! What threads did, column by column: by their segments as far as those are kept, before that by bins.

use std::collections::{BTreeMap, BTreeSet};

use super::ladder::Passed;
use super::sums::{Going, Sums, by_column};
use super::{Lane, Segments};
use crate::event::ThreadKey;
use crate::time::{MonoNs, Ns};

/// What threads did in columns of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Each thread's row.
    rows: BTreeMap<ThreadKey, usize>,
    /// Row by row, and by column; zero where a thread was not there. In one piece, which the allocator learns to keep.
    sums: Vec<Sums>,
    /// Handoffs, by column.
    pub passed: Vec<Passed>,
    /// How each column is kept.
    pub kept: Vec<Kept>,
}

/// How what happened at a time is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kept {
    /// Not at all, or only in bins that are wider.
    #[default]
    Not,
    /// Added up in bins.
    InBins,
    /// Segment by segment.
    InFull,
}

impl Columns {
    /// What one thread did.
    pub fn of(&self, thread: ThreadKey) -> &[Sums] {
        let row = self.rows.get(&thread).and_then(|row| self.sums.chunks_exact(self.kept.len().max(1)).nth(*row));
        row.unwrap_or_default()
    }

    /// What each of them did, by key.
    pub fn threads(&self) -> impl Iterator<Item = (ThreadKey, &[Sums])> {
        self.rows.keys().map(|thread| (*thread, self.of(*thread)))
    }
}

impl Segments {
    /// What `threads` did in each of `count` columns, the first of which begins at `from`. It is told by bins where these fit,
    /// which takes least: where columns are as wide as they are or a multiple of it, and begin where they do.
    pub fn columns(&self, threads: &[ThreadKey], from: MonoNs, column: Ns, count: usize) -> Columns {
        let column = Ns(column.0.max(1));
        let to = from + Ns(column.0.saturating_mul(count as u64));
        let since = self.since();
        let by_key: BTreeSet<ThreadKey> = threads.iter().copied().collect();
        let mut columns = Columns {
            rows: by_key.into_iter().zip(0..).collect(),
            sums: vec![Sums::default(); threads.len().saturating_mul(count)],
            passed: vec![Passed::default(); count],
            kept: vec![Kept::Not; count],
        };
        let ring = self.ladder.ring(from, column).filter(|_| self.ladder.until() > from);
        // Bins are filled up to there; the log goes on from there.
        let seam = match ring {
            Some(_) => since.max(self.ladder.until()).min(to),
            None => since.max(from).min(to),
        };
        let number = |at: MonoNs| usize::try_from(at.since(from).0 / column.0).unwrap_or(usize::MAX);
        let bins = ring.into_iter().flat_map(|ring| ring.bins().map(|(start, bin)| (start, ring.width, bin)));
        // Both are in the order of their keys.
        let mut rows: Vec<(&Lane, &mut [Sums])> = (columns.rows.keys())
            .zip(columns.sums.chunks_exact_mut(count.max(1)))
            .filter_map(|(thread, sums)| Some((self.lane(*thread)?, sums)))
            .collect();
        for (start, width, bin) in bins.filter(|(start, ..)| *start >= from && *start < seam) {
            let place = number(start);
            let end = (start + width).min(self.ladder.until());
            if let Some(passed) = columns.passed.get_mut(place) {
                passed.add(bin.passed());
            }
            if let Some(kept) = columns.kept.get_mut(place).filter(|_| bin.told() > Ns::ZERO) {
                *kept = Kept::InBins;
            }
            let untold = end.since(start).saturating_sub(bin.told());
            let mut cells = bin.threads();
            for (lane, sums) in &mut rows {
                let Some(sum) = sums.get_mut(place) else { continue };
                let own = cells.next_for(lane.thread);
                let told = own.map_or(Ns::ZERO, |own| own.total());
                if let Some(own) = own {
                    sum.then(&own);
                }
                complete(sum, told, lane, (start, end), untold);
            }
        }
        // The column that the seam lies in is the first of which the log tells.
        let first = number(seam).min(count);
        let begins = from + Ns(column.0.saturating_mul(first as u64));
        let mut log = self.of(threads, seam, to);
        for (lane, sums) in rows {
            let thread = lane.thread;
            let Some(own) = log.remove(&thread) else { continue };
            let goes_on = seam == self.ladder.until() && own.first().is_some_and(|first| first.from == seam);
            let mut going = if goes_on { self.ladder.going(thread) } else { Going::default() };
            let told = by_column(&own, begins, column, count - first, &mut going);
            sums.iter_mut().skip(first).zip(&told).for_each(|(sum, later)| sum.then(later));
        }
        for handoff in self.handoffs(seam, to).iter().filter(|handoff| handoff.at >= seam) {
            if let Some(passed) = columns.passed.get_mut(number(handoff.at)) {
                passed.note(handoff);
            }
        }
        for (until, handoffs) in self.unseen(seam, to) {
            if let Some(passed) = columns.passed.get_mut(number(until - Ns(1))) {
                passed.missed += handoffs;
            }
        }
        for (place, kept) in columns.kept.iter_mut().enumerate() {
            let start = from + Ns(column.0.saturating_mul(place as u64));
            if start >= since || (start + column > since && *kept == Kept::Not) {
                *kept = Kept::InFull;
            }
        }
        columns
    }

    /// The width of the finest bins that are kept of an instant; `None`: there are none.
    pub fn bins_at(&self, at: MonoNs) -> Option<Ns> {
        self.ladder.width_at(at)
    }

    pub(super) fn lane(&self, thread: ThreadKey) -> Option<&Lane> {
        let place = self.lanes.binary_search_by_key(&thread, |lane| lane.thread).ok()?;
        self.lanes.get(place)
    }
}

/// Adds the rest of a bin, of which a thread was told to have done something for so long: beside that it did nothing.
fn complete(sum: &mut Sums, told: Ns, lane: &Lane, (start, end): (MonoNs, MonoNs), untold: Ns) {
    let lived = lane.until.min(end).since(lane.start.max(start));
    let rest = lived.saturating_sub(told);
    let not_found_yet = lane.added_from.min(end).since(lane.start.max(start));
    let unknown = rest.min(untold + not_found_yet);
    sum.known.unknown += unknown;
    sum.known.idle += rest.saturating_sub(unknown);
}
