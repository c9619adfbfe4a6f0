//! How long it would take until the main thread looks for signals, from any instant on.
//!
//! The instants are all those observed; what is assumed of each:
//!
//! | the main thread | the delay |
//! |---|---|
//! | executes bytecode | none that could be seen: it looks every few instructions |
//! | waits for the GIL, or is on a core without it | up to the end of that, which was seen: of a spell of length L, every rest from 0 to L once |
//! | holds the GIL and is not seen to move | up to where it was seen to move; if it let go instead, up to where it has the GIL again, since a handler that is called while another waits lets go first: at most that, since a short loop looks the same |
//! | sleeps, and nobody holds the GIL | none: its call is taken to end at a signal (EINTR), as those of CPython's own do |
//! | sleeps, and another holds the GIL | what threads that wake up wait for it: its own waits, else those of all |
//! | anything else | not predictable |
//!
//! A spell whose end was not seen counts as not predictable, for as long as it was seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::course::{Doing, Held, Stretch};
use crate::model::snapshot::{Distribution, PredictedInterrupt, Source, Unpredictable, Woken};
use crate::time::{MonoNs, Ns};

/// Parts that the time is divided into, to see how much the figures vary: at most.
const PARTS: usize = 64;
/// Fewer do not tell how much they vary.
const PARTS_NEEDED: usize = 6;
/// The first length of a part; it doubles whenever there are too many.
const FIRST_LENGTH: u64 = 1_000_000_000;
/// Waits of the main thread itself that are enough to go by.
const OWN_ENOUGH: u64 = 30;
/// Waits of all threads that are enough to go by.
const ENOUGH: u64 = 5;
/// Longest time that is told apart.
const LONGEST: u64 = 1 << 50;
/// One instant in so much time is counted.
const COUNTED: u64 = 1_000_000;
/// Steps of an octave, as a power of two.
const FINE: u32 = 4;

/// Lengths, by size: how many, and their sum.
#[derive(Debug, Clone, Default)]
struct Lengths(BTreeMap<u16, (u64, u64)>);

/// Sixteen steps an octave.
fn step_of(length: u64) -> u16 {
    let length = length.clamp(1, LONGEST);
    let octave = length.ilog2();
    match octave.checked_sub(FINE) {
        None => length as u16,
        Some(shift) => ((shift + 1) << FINE) as u16 + ((length >> shift) as u16 & ((1 << FINE) - 1)),
    }
}

/// Where a step begins.
fn begin_of(step: u16) -> u64 {
    let (octave, within) = (step >> FINE, u64::from(step) & ((1 << FINE) - 1));
    match octave.checked_sub(1) {
        None => within,
        Some(shift) => ((1 << FINE) + within) << shift,
    }
}

impl Lengths {
    fn add(&mut self, length: Ns) {
        let entry = self.0.entry(step_of(length.0)).or_default();
        entry.0 = entry.0.saturating_add(1);
        entry.1 = entry.1.saturating_add(length.0.min(LONGEST));
    }

    fn merge(&mut self, other: &Lengths) {
        for (step, (count, sum)) in &other.0 {
            let entry = self.0.entry(*step).or_default();
            entry.0 = entry.0.saturating_add(*count);
            entry.1 = entry.1.saturating_add(*sum);
        }
    }

    fn count(&self) -> u64 {
        self.0.values().fold(0, |all, (count, _)| all.saturating_add(*count))
    }

    fn sum(&self) -> f64 {
        self.0.values().map(|(_, sum)| *sum as f64).sum()
    }

    fn longest(&self) -> u64 {
        self.0.keys().next_back().map_or(0, |step| begin_of(step + 1))
    }

    /// Time in them with no more than `rest` of its interval left.
    fn nearly_over(&self, rest: f64) -> f64 {
        self.0.values().map(|(count, sum)| (rest * *count as f64).min(*sum as f64)).sum()
    }

    /// Those that are no longer than `length`.
    fn up_to(&self, length: f64) -> f64 {
        let within = |(count, sum): &&(u64, u64)| *sum as f64 <= length * *count as f64;
        self.0.values().filter(within).map(|(count, _)| *count as f64).sum()
    }
}

/// What was seen in a part of the time.
#[derive(Debug, Clone, Default)]
struct Part {
    /// Without a delay.
    at_once: u64,
    /// Asleep while another held the GIL.
    behind: u64,
    /// Of which nothing can be told.
    untold: u64,
    /// Nor of this: it held the GIL, and where it was could not be read.
    holding: u64,
    /// Spells at whose end it looks.
    spells: Lengths,
    /// Those in which it was not seen to move.
    deaf: Lengths,
    /// Waits of the main thread after waking up.
    own: Lengths,
    /// Those of all threads.
    all: Lengths,
}

impl Part {
    fn merge(&mut self, other: &Part) {
        self.at_once = self.at_once.saturating_add(other.at_once);
        self.behind = self.behind.saturating_add(other.behind);
        self.untold = self.untold.saturating_add(other.untold);
        self.holding = self.holding.saturating_add(other.holding);
        for (mine, theirs) in [
            (&mut self.spells, &other.spells),
            (&mut self.deaf, &other.deaf),
            (&mut self.own, &other.own),
            (&mut self.all, &other.all),
        ] {
            mine.merge(theirs);
        }
    }

    fn woken(&self, by: Woken) -> Option<&Lengths> {
        match by {
            Woken::Own => Some(&self.own),
            Woken::All => Some(&self.all),
            Woken::Nobody => None,
        }
    }

    /// Time for which the delay is known, but for that behind others.
    fn direct(&self) -> f64 {
        self.at_once as f64 + self.spells.sum() + self.deaf.sum()
    }

    /// Of that, time with a delay of no more than `delay`.
    fn direct_up_to(&self, delay: f64) -> f64 {
        self.at_once as f64 + self.spells.nearly_over(delay) + self.deaf.nearly_over(delay)
    }
}

/// Whose wait it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiter {
    Main,
    Another,
}

/// A spell that goes on.
#[derive(Debug, Clone, Copy)]
enum Spell {
    /// It waits for the GIL, or is on a core without it.
    Away(MonoNs),
    /// It is not seen to move.
    Deaf(MonoNs),
    /// It was not seen to move, and then let go of the GIL: it looks when it has it again, or begins the handler then.
    Late(MonoNs),
}

/// The fold of what the main thread did.
#[derive(Debug, Clone)]
pub struct Predicted {
    start: Option<MonoNs>,
    now: MonoNs,
    length: u64,
    parts: VecDeque<Part>,
    spell: Option<Spell>,
    /// Time between two looks at whether it moves.
    look: Ns,
}

impl Default for Predicted {
    fn default() -> Predicted {
        Predicted {
            start: None,
            now: MonoNs(0),
            length: FIRST_LENGTH,
            parts: VecDeque::new(),
            spell: None,
            look: Ns::ZERO,
        }
    }
}

impl Predicted {
    /// So much time lies between two looks at whether it moves.
    pub fn looked_after(&mut self, gap: Ns) {
        // Some looks are late: what counts is most of them.
        let gap = gap.0.min(LONGEST);
        self.look = match self.look.0 {
            0 => Ns(gap),
            usual => Ns((usual.saturating_mul(7).saturating_add(gap)) / 8),
        };
    }

    fn note(&mut self, at: MonoNs, what: impl FnOnce(&mut Part)) {
        let start = *self.start.get_or_insert(at);
        while at.since(start).0 / self.length >= PARTS as u64 {
            self.length = self.length.saturating_mul(2);
            let halves = std::mem::take(&mut self.parts);
            for (i, half) in halves.into_iter().enumerate() {
                match self.parts.back_mut().filter(|_| i % 2 == 1) {
                    Some(whole) => whole.merge(&half),
                    None => self.parts.push_back(half),
                }
            }
        }
        let index = (at.since(start).0 / self.length) as usize;
        while self.parts.len() <= index {
            self.parts.push_back(Part::default());
        }
        self.parts.get_mut(index).map(what);
    }

    /// A thread that was woken waited for so long to get the GIL.
    pub fn woken(&mut self, at: MonoNs, length: Ns, who: Waiter) {
        self.note(at, |part| {
            part.all.add(length);
            if who == Waiter::Main {
                part.own.add(length);
            }
        });
    }

    /// What the main thread did next.
    pub fn push(&mut self, stretch: &Stretch) {
        self.now = self.now.max(stretch.to);
        let length = stretch.length().0;
        match (self.spell, stretch.doing) {
            (Some(Spell::Away(_) | Spell::Late(_)), Doing::Waiting | Doing::Native)
            | (Some(Spell::Deaf(_)), Doing::Deaf) => return,
            (Some(Spell::Deaf(from)), Doing::Waiting | Doing::Native) if self.is_long(stretch.from.since(from)) => {
                self.spell = Some(Spell::Late(from));
                return;
            }
            (Some(spell), next) => self.end_spell(spell, stretch.from, next),
            (None, _) => {}
        }
        let (at, is_free) = (stretch.from, stretch.held == Held::Free);
        self.note(at, |part| {
            let sum = match stretch.doing {
                Doing::Waiting | Doing::Native | Doing::Deaf => return,
                Doing::Bytecode => &mut part.at_once,
                Doing::Blocked if is_free => &mut part.at_once,
                Doing::Blocked => &mut part.behind,
                Doing::Holding => &mut part.holding,
                Doing::Unknown => &mut part.untold,
            };
            *sum = sum.saturating_add(length);
        });
        match stretch.doing {
            Doing::Waiting | Doing::Native => self.spell = Some(Spell::Away(at)),
            Doing::Deaf => self.spell = Some(Spell::Deaf(at)),
            Doing::Bytecode | Doing::Blocked | Doing::Holding | Doing::Unknown => {}
        }
    }

    /// Two looks that fall into one short pause tell nothing of a long one.
    fn is_long(&self, length: Ns) -> bool {
        length.0 > self.look.0.saturating_add(self.look.0 / 2)
    }

    fn end_spell(&mut self, spell: Spell, at: MonoNs, next: Doing) {
        self.spell = None;
        let (Spell::Away(from) | Spell::Deaf(from) | Spell::Late(from)) = spell;
        let (length, is_seen) = (at.since(from), next != Doing::Unknown);
        let is_long = self.is_long(length);
        self.note(at, |part| {
            let sum = match spell {
                Spell::Away(_) if is_seen => return part.spells.add(length),
                Spell::Deaf(_) if is_seen && !is_long => &mut part.at_once,
                Spell::Deaf(_) | Spell::Late(_) if is_seen => return part.deaf.add(length),
                Spell::Away(_) | Spell::Deaf(_) | Spell::Late(_) => &mut part.untold,
            };
            *sum = sum.saturating_add(length.0);
        });
    }

    /// The figures. `waits` are the main thread's, for how well edges are known; below `resolution` nothing is.
    pub fn figures(&self, waits: Source, resolution: Ns) -> Option<PredictedInterrupt> {
        let mut sum = Part::default();
        self.parts.iter().for_each(|part| sum.merge(part));
        let open = match self.spell {
            Some(Spell::Away(from) | Spell::Deaf(from) | Spell::Late(from)) => self.now.since(from).0,
            None => 0,
        };
        let woken = match (sum.own.count(), sum.all.count()) {
            (OWN_ENOUGH.., _) => Woken::Own,
            (_, ENOUGH..) => Woken::All,
            _ => Woken::Nobody,
        };
        let law = Law { parts: &self.parts, sum: &sum, woken };
        let known = law.known();
        let behind = if woken == Woken::Nobody { sum.behind } else { 0 };
        let untold = sum.untold as f64 + sum.holding as f64 + open as f64 + behind as f64;
        if known + untold <= 0.0 {
            return None;
        }
        let share = |time: u64| time as f64 / (known + untold);
        let resolution = resolution.max(if sum.at_once > 0 { self.look } else { Ns::ZERO });
        let seen = |(low, high): (Ns, Ns)| (if low < resolution { Ns::ZERO } else { low }, high.max(resolution));
        Some(PredictedInterrupt {
            delay: law.distribution(waits, resolution),
            p50_range: law.range(0.5).map(seen),
            p90_range: law.range(0.9).map(seen),
            not_predictable: untold / (known + untold),
            because: Unpredictable {
                unseen: share(sum.untold),
                holding: share(sum.holding),
                unfinished: share(open),
                asleep: share(behind),
            },
            at_most: sum.deaf.sum() / (known + untold),
            woken,
        })
    }
}

/// The distribution of the delay.
struct Law<'a> {
    parts: &'a VecDeque<Part>,
    sum: &'a Part,
    woken: Woken,
}

impl Law<'_> {
    fn behind(&self, part: &Part) -> f64 {
        if self.woken == Woken::Nobody { 0.0 } else { part.behind as f64 }
    }

    /// Time for which the delay can be told.
    fn known(&self) -> f64 {
        self.sum.direct() + self.behind(self.sum)
    }

    /// Share of the waits after waking up that are no longer than `delay`.
    fn woken_up_to(&self, delay: f64) -> f64 {
        let Some(woken) = self.sum.woken(self.woken) else { return 0.0 };
        woken.up_to(delay) / (woken.count() as f64).max(1.0)
    }

    /// Share of the time with a delay of no more than `delay`.
    fn up_to(&self, delay: f64) -> f64 {
        let time = self.sum.direct_up_to(delay) + self.behind(self.sum) * self.woken_up_to(delay);
        time / self.known().max(1.0)
    }

    fn longest(&self) -> u64 {
        let woken = self.sum.woken(self.woken).filter(|_| self.behind(self.sum) > 0.0).map_or(0, Lengths::longest);
        woken.max(self.sum.spells.longest()).max(self.sum.deaf.longest())
    }

    /// The shortest delay that `share` of the time does not exceed.
    fn quantile(&self, share: f64) -> Ns {
        let (mut low, mut high) = (0, self.longest());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.up_to(middle as f64) >= share {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ns(low)
    }

    /// Where the quantile lies with 95 % confidence: after Woodruff (J. Am. Stat. Assoc. 47, 1952), from how much the
    /// share of the time up to the estimate varies between the parts (a ratio, so by its linearised residuals).
    fn range(&self, share: f64) -> Option<(Ns, Ns)> {
        let known = self.known();
        let parts = self.parts.iter().filter(|part| part.direct() + self.behind(part) > 0.0).count();
        if parts < PARTS_NEEDED {
            return None;
        }
        let delay = self.quantile(share).0 as f64;
        let (all, woken) = (self.up_to(delay), self.woken_up_to(delay));
        let count = self.sum.woken(self.woken).map_or(1.0, |lengths| lengths.count() as f64).max(1.0);
        let squares: f64 = self
            .parts
            .iter()
            .map(|part| {
                let (direct, behind) = (part.direct(), self.behind(part));
                let time = part.direct_up_to(delay) + behind * woken - all * (direct + behind);
                let own = part.woken(self.woken);
                let of_woken = own.map_or(0.0, |own| own.up_to(delay) - woken * own.count() as f64)
                    * self.behind(self.sum)
                    / count;
                (time + of_woken).powi(2)
            })
            .sum();
        let error = (squares * parts as f64 / (parts - 1) as f64).sqrt() / known;
        let margin = student(parts - 1) * error;
        Some((self.quantile((share - margin).max(0.0)), self.quantile((share + margin).min(1.0))))
    }

    /// One instant a millisecond.
    fn distribution(&self, source: Source, resolution: Ns) -> Distribution {
        let mut distribution = Distribution::empty(source, resolution);
        let instants = (self.known() / COUNTED as f64).round();
        let Ok(mut histogram) = Histogram::<u32>::new_with_bounds(1_000, 2_000, 2) else { return distribution };
        histogram.auto(true);
        let mut told = 0u64;
        let (first, last) = (step_of(1_000), step_of(self.longest().max(1_000)));
        for step in first..=last.saturating_add(1) {
            let (from, to) = (begin_of(step), begin_of(step + 1));
            let by_now = match step > last {
                true => instants,
                false => (self.up_to(to as f64) * instants).round(),
            } as u64;
            let (count, length) = (by_now.saturating_sub(told), from.midpoint(to));
            told = told.max(by_now);
            if count > 0 && histogram.record_n(length, u32::try_from(count).unwrap_or(u32::MAX)).is_ok() {
                distribution.total += Ns(length.saturating_mul(count));
                distribution.below_resolution += if length < resolution.0 { count } else { 0 };
            }
        }
        distribution.histogram = (!histogram.is_empty()).then(|| Arc::new(histogram));
        distribution
    }
}

/// The 97.5 % point of Student's distribution.
fn student(freedom: usize) -> f64 {
    match freedom {
        0..=5 => 2.571,
        6..=7 => 2.447,
        8..=10 => 2.306,
        11..=15 => 2.201,
        16..=30 => 2.120,
        _ => 2.04,
    }
}
