//! What differs between two sides of runs, A and B: largest and surest first, and where that cannot be told, no word.
//!
//! A pure function of the runs' figures. Each figure is tested by ranks ([`crate::stats::ranks`]), and all together with
//! their number in mind ([`crate::stats::adjust`]): of the differences that are called, a share of at most [`RATE`] is false
//! on average. Intervals are at the level that belongs to that.

mod json;
mod judge;
mod origin;
mod overlay;
mod run;
mod text;
mod words;

use crate::figures::{Figure, Meaning, Reading, Worse};
use crate::stats::adjust::select;
use crate::stats::ranks::{MOST, Pairs};

pub use json::{SCHEMA, SCHEMA_VERSION, json, write_json};
pub use judge::judge;
pub use origin::{Difference, Sequence};
pub use run::{Run, Side};
pub use text::text;
pub use words::{change, extent, is_of_several, scope, verdict};

/// The share of false ones among the differences that are called, on average and at most; and how often anything is called
/// where nothing differs.
pub const RATE: f64 = 0.05;
/// Most runs of a side.
pub const MOST_RUNS: usize = MOST;

/// Two sides, compared.
#[derive(Debug)]
pub struct Comparison {
    /// The sides: what is said is of B as against A.
    pub a: Side,
    /// The other.
    pub b: Side,
    /// What was not the same on both sides, or within one.
    pub differences: Vec<Difference>,
    /// In which order the runs were made.
    pub sequence: Sequence,
    /// All figures: those that differ first, the surest and largest before all; then those not shown to, then those that
    /// are not compared.
    pub rows: Vec<Row>,
    /// The error that each single test and interval may have, so that all together have [`RATE`].
    pub level: f64,
    /// How many figures were tested.
    pub tested: usize,
}

/// One figure of both sides.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub figure: &'static Figure,
    /// What each run of A has for it, and their median.
    pub a: Readings,
    /// The same of B.
    pub b: Readings,
    /// What came of it.
    pub change: Change,
}

/// A figure of all runs of a side.
#[derive(Debug, Clone)]
pub struct Readings {
    /// Of each run.
    pub each: Vec<Reading>,
    /// Their median: of those that have one.
    pub median: Reading,
}

/// What came of comparing a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It was tested.
    Tested(Tested),
    /// There is nothing to compare, and why.
    NotCompared(String),
}

/// A figure that was tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested {
    /// How many times A B is; 0 and infinity are possible.
    pub ratio: f64,
    /// How well that is known.
    pub bound: Bound,
    /// How often chance alone would do that.
    pub p_value: f64,
    /// The ratios that the test does not reject; `None`: so few runs reject nothing.
    pub interval: Option<(f64, f64)>,
    /// Whether a difference is called.
    pub call: Call,
}

/// How well a ratio is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As well as the figures.
    Estimate,
    /// It is that or more: A is below the resolution.
    AtLeast,
    /// It is that or less: B is.
    AtMost,
}

/// Whether a difference is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It is there.
    Differs,
    /// It may be chance.
    NotShown,
}

/// What a change is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// B is worse.
    Worse,
    /// B is better.
    Better,
    /// There is more of it.
    More,
    /// There is less.
    Less,
}

impl Row {
    /// What it came to, if it was tested.
    pub fn tested(&self) -> Option<&Tested> {
        match &self.change {
            Change::Tested(tested) => Some(tested),
            Change::NotCompared(_) => None,
        }
    }

    /// What a called difference is good for.
    pub fn direction(&self) -> Option<Direction> {
        let tested = self.tested().filter(|tested| tested.call == Call::Differs)?;
        let more = tested.ratio > 1.0;
        Some(match (self.figure.worse, more) {
            (Worse::More, true) | (Worse::Less, false) => Direction::Worse,
            (Worse::More, false) | (Worse::Less, true) => Direction::Better,
            (Worse::Neither, true) => Direction::More,
            (Worse::Neither, false) => Direction::Less,
        })
    }
}

impl Tested {
    /// How far from no change it is at least, as a logarithm; without an interval, nothing is sure.
    fn sureness(&self) -> f64 {
        let (from, to) = self.interval.unwrap_or((1.0, 1.0));
        from.ln().max(-to.ln()).max(0.0)
    }
}

impl Comparison {
    /// Compares two sides of at least a run each.
    pub fn of(a: Side, b: Side) -> Comparison {
        let differences = origin::differences(&a, &b);
        let sequence = origin::sequence(&a, &b);
        let mut figures: Vec<&'static Figure> = Vec::new();
        for (figure, _) in a.runs.iter().chain(&b.runs).flat_map(|run| &run.readings) {
            if !figures.contains(figure) {
                figures.push(figure);
            }
        }
        let mut tests: Vec<Pairs> = Vec::new();
        let mut rows: Vec<Row> = Vec::new();
        for figure in figures {
            let (of_a, of_b) = (a.readings(figure), b.readings(figure));
            let coarsest = of_a.iter().chain(&of_b).map(|reading| reading.resolution()).fold(0.0, f64::max);
            let coarsened = |side: &[Reading]| -> Vec<Reading> { side.iter().map(|r| r.coarsened(coarsest)).collect() };
            let (of_a, of_b) = (Readings::of(coarsened(&of_a)), Readings::of(coarsened(&of_b)));
            let change = match pairs(figure, (&a, &of_a), (&b, &of_b)) {
                Ok(pairs) => {
                    let tested = Tested {
                        ratio: pairs.ratio(),
                        bound: bound(of_a.median, of_b.median),
                        p_value: pairs.p_value(),
                        interval: None,
                        call: Call::NotShown,
                    };
                    tests.push(pairs);
                    Change::Tested(tested)
                }
                Err(why) => Change::NotCompared(why),
            };
            rows.push(Row { figure, a: of_a, b: of_b, change });
        }
        let p_values: Vec<f64> = rows.iter().filter_map(|row| row.tested().map(|tested| tested.p_value)).collect();
        let selection = select(&p_values, RATE);
        let mut outcomes = std::iter::zip(&tests, &selection.called);
        for row in &mut rows {
            if let Change::Tested(tested) = &mut row.change
                && let Some((pairs, called)) = outcomes.next()
            {
                tested.interval = pairs.interval(selection.level);
                tested.call = if *called { Call::Differs } else { Call::NotShown };
            }
        }
        rows.sort_by(|x, y| order(x).cmp(&order(y)).then(sureness(y).total_cmp(&sureness(x))));
        Comparison { a, b, differences, sequence, rows, level: selection.level, tested: p_values.len() }
    }

    /// The figures that differ, the surest and largest first.
    pub fn called(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.tested().is_some_and(|tested| tested.call == Call::Differs))
    }

    /// Whether so many runs can show any difference at all.
    pub fn can_tell(&self) -> bool {
        least(self.a.runs.len(), self.b.runs.len()) <= RATE
    }

    /// Runs a side from which a difference in one figure alone can be shown.
    pub fn runs_for_one_figure(&self) -> usize {
        let level = RATE / self.tested.max(1) as f64;
        (2..=MOST_RUNS).find(|runs| least(*runs, *runs) <= level).unwrap_or(MOST_RUNS)
    }
}

/// The smallest probability that so many runs can come to: one order of all that there are, in either direction.
fn least(a: usize, b: usize) -> f64 {
    let orders = (1..=a).fold(1.0, |orders, place| orders * (b + place) as f64 / place as f64);
    2.0 / orders
}

fn order(row: &Row) -> u8 {
    match &row.change {
        Change::Tested(Tested { call: Call::Differs, .. }) => 0,
        Change::Tested(_) => 1,
        Change::NotCompared(_) => 2,
    }
}

fn sureness(row: &Row) -> f64 {
    match row.tested() {
        // Of those that differ, by how much at least; of the others, how nearly they do.
        Some(tested) if tested.call == Call::Differs => tested.sureness(),
        Some(tested) => 1.0 - tested.p_value,
        None => 0.0,
    }
}

impl Readings {
    fn of(each: Vec<Reading>) -> Readings {
        let mut known: Vec<(f64, Reading)> =
            each.iter().filter_map(|reading| Some((reading.rank()?, *reading))).collect();
        known.sort_by(|(a, x), (b, y)| a.total_cmp(b).then(is_known(*x).cmp(&is_known(*y))));
        let middle = known.len() / 2;
        let median = match (middle.checked_sub(1).and_then(|low| known.get(low)), known.get(middle)) {
            (Some((_, low @ Reading::Known { value: a, .. })), Some((_, Reading::Known { value: b, .. })))
                if known.len().is_multiple_of(2) =>
            {
                Reading::Known { value: a.midpoint(*b), resolution: low.resolution() }
            }
            (Some((_, low)), Some(_)) if known.len().is_multiple_of(2) => *low,
            (_, Some((_, middle))) => *middle,
            (_, None) => each.first().copied().unwrap_or(Reading::Unknown("there was no run")),
        };
        Readings { each, median }
    }

    /// Runs that have a value.
    pub fn known(&self) -> usize {
        self.each.len() - self.missing()
    }

    /// Runs that have no value.
    fn missing(&self) -> usize {
        self.each.iter().filter(|reading| reading.rank().is_none()).count()
    }

    fn ranks(&self) -> Vec<f64> {
        self.each.iter().filter_map(|reading| reading.rank()).collect()
    }
}

fn is_known(reading: Reading) -> bool {
    matches!(reading, Reading::Known { .. })
}

fn bound(a: Reading, b: Reading) -> Bound {
    match (a, b) {
        (Reading::Below { .. }, Reading::Known { .. }) => Bound::AtLeast,
        (Reading::Known { .. }, Reading::Below { .. }) => Bound::AtMost,
        _ => Bound::Estimate,
    }
}

/// The pairs of a figure, or why there are none.
fn pairs(figure: &Figure, a: (&Side, &Readings), b: (&Side, &Readings)) -> Result<Pairs, String> {
    for (side, readings) in [a, b] {
        if readings.ranks().is_empty() {
            return Err(match readings.each.first() {
                Some(Reading::Unknown(why)) => format!("unknown in {}: {why}", side.letter),
                _ => format!("there was none in {}", side.letter),
            });
        }
    }
    let all = || a.1.each.iter().chain(&b.1.each);
    if all().all(|reading| !is_known(*reading)) {
        return Err("below what can be told on both sides".to_owned());
    }
    let exact: Vec<bool> = a.0.runs.iter().chain(&b.0.runs).filter_map(|run| run.saw_all()).collect();
    if figure.meaning == Meaning::ByInstrument && exact.iter().any(|one| Some(one) != exact.first()) {
        return Err("watchpoints saw it in some runs only, and mean another thing by it".to_owned());
    }
    Pairs::of(&a.1.ranks(), &b.1.ranks()).ok_or_else(|| format!("of more than {MOST_RUNS} runs a side"))
}
