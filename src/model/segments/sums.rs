//! What a thread did in a stretch of time, added up.

use super::{Doing, Segment};
use crate::model::snapshot::{StateTimes, ThreadState};
use crate::time::{MonoNs, Ns};

/// What a thread did in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Time by state, as far as it is known instant by instant.
    pub(in crate::model) known: StateTimes,
    /// Time of which only averages are known, by those.
    pub(in crate::model) average: StateTimes,
    /// The longest time of which one of them is an average.
    pub(in crate::model) over: Ns,
    /// Its waits.
    pub waits: Spells,
    /// Its holds.
    pub holds: Spells,
}

/// The waits, or the holds, of a thread that reach into a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spells {
    /// How many.
    pub number: u64,
    /// Of these, those that began before it: one at most.
    pub(in crate::model) carried: u64,
    /// The longest, from its beginning, as far as that is kept, to its end, or to the end of the stretch.
    pub longest: Ns,
}

impl Spells {
    /// Goes on with what came right after.
    fn then(&mut self, later: &Spells) {
        match self.number {
            // One that goes on here was not seen before.
            0 => (self.number, self.carried) = (later.number, later.carried),
            _ => self.number += later.number.saturating_sub(later.carried),
        }
        self.longest = self.longest.max(later.longest);
    }
}

impl Sums {
    /// What a thread did, by its segments, in each of `count` columns, the first of which begins at `from`.
    pub fn by_column(segments: &[Segment], from: MonoNs, column: Ns, count: usize) -> Vec<Sums> {
        by_column(segments, from, column, count, &mut Going::default())
    }

    /// Time by state, for somebody who looks at `over` at a time: averages over more than that tell nothing.
    pub fn states(&self, over: Ns) -> StateTimes {
        let mut states = self.known;
        match self.over <= over {
            true => states += self.average,
            false => states.unknown += self.average.total(),
        }
        states
    }

    /// All of it.
    pub fn total(&self) -> Ns {
        self.known.total() + self.average.total()
    }

    /// Whether it did nothing.
    pub(in crate::model) fn is_idle(&self) -> bool {
        self.known.idle == self.total()
    }

    /// Goes on with what came right after.
    pub(in crate::model) fn then(&mut self, later: &Sums) {
        self.known += later.known;
        self.average += later.average;
        self.over = self.over.max(later.over);
        self.waits.then(&later.waits);
        self.holds.then(&later.holds);
    }

    fn add(&mut self, segment: &Segment, from: MonoNs, to: MonoNs) {
        let length = segment.within(from, to);
        match segment.doing {
            Doing::Is(state) => self.known.add(state, length),
            Doing::Mixed(mix) => {
                self.average += mix.states(length);
                self.over = self.over.max(mix.over);
            }
        }
    }
}

/// Since when a wait, and a hold, of a thread go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::model) struct Going {
    waits: Option<MonoNs>,
    holds: Option<MonoNs>,
}

impl Going {
    /// Whether anything goes on.
    pub(in crate::model) fn is_on(&self) -> bool {
        self.waits.is_some() || self.holds.is_some()
    }
}

/// What a thread did in each of `count` columns of a width, the first of which begins at `from`. `going` is what went on
/// where the segments begin, and then what goes on where they end.
pub(in crate::model) fn by_column(
    segments: &[Segment],
    from: MonoNs,
    width: Ns,
    count: usize,
    going: &mut Going,
) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); count];
    let width = Ns(width.0.max(1));
    for segment in segments {
        let waits = segment.doing == Doing::Is(ThreadState::Waiting);
        let holds = matches!(segment.doing, Doing::Is(ThreadState::Running | ThreadState::HoldingOffCpu));
        // Segments of one wait, or one hold, follow each other: on a core and off it.
        let went_on = *going;
        going.waits = waits.then(|| going.waits.unwrap_or(segment.from));
        going.holds = holds.then(|| going.holds.unwrap_or(segment.from));
        let first = segment.from.since(from).0 / width.0;
        let last = segment.to.since(from).0.saturating_sub(1) / width.0;
        for number in first..=last {
            let Some(sum) = usize::try_from(number).ok().and_then(|number| sums.get_mut(number)) else { break };
            let start = from + Ns(number.saturating_mul(width.0));
            let end = (start + width).min(segment.to);
            sum.add(segment, start, end);
            let is_entered = segment.from <= start;
            for (since, before, spells) in
                [(going.waits, went_on.waits, &mut sum.waits), (going.holds, went_on.holds, &mut sum.holds)]
            {
                let Some(since) = since else { continue };
                let is_new = before.is_none() && number == first;
                if is_new || is_entered {
                    spells.number += 1;
                    spells.carried += u64::from(since < start);
                }
                spells.longest = spells.longest.max(end.since(since));
            }
        }
    }
    sums
}
