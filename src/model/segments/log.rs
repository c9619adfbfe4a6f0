//! The log of what was found out: a fixed number of entries, the oldest of which go first.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Handoff, Passing, Sampled, Sharpness};
use crate::event::{Cpu, Departure, GilKey, ThreadKey};
use crate::time::{MonoNs, Ns};

/// Entries in one part of the log.
const PART: usize = 512;
/// Closed parts that are kept: together 32,768 entries, of 48 bytes.
const PARTS: usize = 64;

/// How a thread stood to a GIL without holding it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Stood {
    /// In `take_gil`.
    Waiting,
    /// In `switch_cond`.
    HandingOver,
    /// It could not be read.
    Unseen,
}

/// How a thread held a GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Holding {
    /// Not asleep; the core is that of the last look.
    Awake(Option<Cpu>),
    /// A look, or the record of a sleep that a look fell into, found it asleep.
    Asleep,
    /// It had been the last to hold, ran, and nobody looked: of such runs it held for this share.
    Perhaps(Share),
}

/// A share, in parts of [`Mix::WHOLE`](super::Mix::WHOLE), and the microseconds of which it is an average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Share {
    pub(in crate::model) parts: u16,
    pub(in crate::model) over_us: u32,
}

/// How well the beginning and the end of something are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Edges {
    pub(in crate::model) begins: Sharpness,
    pub(in crate::model) ends: Sharpness,
}

/// A time off a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Off {
    pub(in crate::model) since: MonoNs,
    pub(in crate::model) how: Departure,
}

/// A time on a core, and the time off it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) struct Turn {
    /// `None`: what was before is not known.
    pub(in crate::model) before: Option<Off>,
    pub(in crate::model) from: MonoNs,
    pub(in crate::model) to: MonoNs,
    pub(in crate::model) cpu: Option<Cpu>,
}

/// Something that was found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::model) enum Entry {
    /// A thread was on a core, and off it before.
    Ran { thread: ThreadKey, turn: Turn },
    /// A thread is off its core.
    Left { thread: ThreadKey, off: Off, until: MonoNs },
    /// A thread stood so to a GIL.
    Stood { thread: ThreadKey, how: Stood, from: MonoNs, until: MonoNs, edges: Edges },
    /// A thread held a GIL.
    Held { thread: ThreadKey, gil: GilKey, how: Holding, from: MonoNs, until: MonoNs, edges: Edges },
    /// By the kernel's totals, a thread was on a core without the GIL, and queued for one, for so long.
    Used { thread: ThreadKey, from: MonoNs, until: MonoNs, native: Ns, queued: Ns },
    /// Some may have held the GIL, unseen; so many handoffs are not told.
    Missed { gil: GilKey, from: MonoNs, until: MonoNs, handoffs: u32 },
    /// Nobody looked.
    Gap { gil: GilKey, from: MonoNs, until: MonoNs },
    /// Another thread took it.
    Passed(Handoff),
    /// Its holder was looked at.
    Sampled(Sampled),
}

impl Entry {
    /// Whose segments depend on it; `None`: those of everybody at a GIL, or nobody's.
    pub(super) fn thread(&self) -> Option<ThreadKey> {
        match self {
            Entry::Ran { thread, .. }
            | Entry::Left { thread, .. }
            | Entry::Stood { thread, .. }
            | Entry::Held { thread, .. }
            | Entry::Used { thread, .. } => Some(*thread),
            // Whoever was forced to let go of it has handed it over.
            Entry::Passed(Handoff { from, passing: Passing::Forced, .. }) => *from,
            Entry::Missed { .. } | Entry::Gap { .. } | Entry::Passed(_) | Entry::Sampled(_) => None,
        }
    }

    /// When it began.
    pub(super) fn from(&self) -> MonoNs {
        match self {
            Entry::Ran { turn, .. } => turn.before.map_or(turn.from, |off| off.since),
            Entry::Left { off, .. } => off.since,
            Entry::Stood { from, .. }
            | Entry::Held { from, .. }
            | Entry::Used { from, .. }
            | Entry::Missed { from, .. }
            | Entry::Gap { from, .. } => *from,
            Entry::Passed(handoff) => handoff.at,
            Entry::Sampled(sampled) => sampled.at,
        }
    }

    /// When it ended.
    pub(super) fn until(&self) -> MonoNs {
        match self {
            Entry::Ran { turn, .. } => turn.to,
            Entry::Left { until, .. }
            | Entry::Stood { until, .. }
            | Entry::Held { until, .. }
            | Entry::Used { until, .. }
            | Entry::Missed { until, .. }
            | Entry::Gap { until, .. } => *until,
            Entry::Passed(handoff) => handoff.at,
            Entry::Sampled(sampled) => sampled.at,
        }
    }
}

/// Entries that belong together only by when they were told.
#[derive(Debug, Clone)]
struct Part {
    entries: Vec<Entry>,
    /// When the first of them began, and the last ended.
    from: MonoNs,
    until: MonoNs,
}

impl Default for Part {
    fn default() -> Part {
        Part { entries: Vec::new(), from: MonoNs(u64::MAX), until: MonoNs(0) }
    }
}

/// What was found out, as far back as it is kept: an entry is told when what it tells of is over.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Log {
    closed: VecDeque<Arc<Part>>,
    open: Arc<Part>,
    since: MonoNs,
}

impl Log {
    /// Adds one; the oldest part goes if there are too many.
    pub(in crate::model) fn push(&mut self, entry: Entry) {
        let open = Arc::make_mut(&mut self.open);
        open.from = open.from.min(entry.from());
        open.until = open.until.max(entry.until());
        open.entries.push(entry);
        if open.entries.len() < PART {
            return;
        }
        self.closed.push_back(std::mem::take(&mut self.open));
        if self.closed.len() > PARTS
            && let Some(gone) = self.closed.pop_front()
        {
            self.since = self.since.max(gone.until);
        }
    }

    /// What ended after this is all there.
    pub(super) fn since(&self) -> MonoNs {
        self.since
    }

    /// When what it will forget next has ended; `None`: there is room yet.
    pub(in crate::model) fn forgets_next(&self) -> Option<MonoNs> {
        self.closed.front().filter(|_| self.closed.len() >= PARTS).map(|part| part.until)
    }

    /// Bytes that it takes.
    pub(in crate::model) fn weight(&self) -> usize {
        (self.closed.len() + 1).saturating_mul(PART * std::mem::size_of::<Entry>())
    }

    /// All entries that touch a span, and some others.
    pub(super) fn between(&self, from: MonoNs, to: MonoNs) -> impl Iterator<Item = &Entry> {
        let parts = self.closed.iter().chain([&self.open]);
        parts.filter(move |part| part.from <= to && part.until >= from).flat_map(|part| &part.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(n: u64) -> Entry {
        let off = Off { since: MonoNs(n * 10), how: Departure::Asleep };
        Entry::Left { thread: ThreadKey(0), off, until: MonoNs(n * 10 + 10) }
    }

    #[test]
    fn memory_is_fixed_and_what_is_there_is_whole() {
        let mut log = Log::default();
        for n in 0..200_000 {
            log.push(left(n));
        }
        let kept: Vec<&Entry> = log.between(MonoNs(0), MonoNs(u64::MAX)).collect();
        assert!(kept.len() <= PART * (PARTS + 1) && kept.len() >= PART * PARTS, "{}", kept.len());
        assert_eq!(kept.first().map(|entry| entry.from()), Some(log.since()));
        assert_eq!(kept.last().map(|entry| entry.until()), Some(MonoNs(2_000_000)));
        assert!(std::mem::size_of::<Entry>() <= 48, "{}", std::mem::size_of::<Entry>());
    }

    #[test]
    fn copies_share_what_is_closed() {
        let mut log = Log::default();
        for n in 0..10_000 {
            log.push(left(n));
        }
        let copy = log.clone();
        log.push(left(10_000));
        assert!(copy.closed.iter().zip(&log.closed).all(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(copy.between(MonoNs(0), MonoNs(u64::MAX)).count(), 10_000);
    }
}
