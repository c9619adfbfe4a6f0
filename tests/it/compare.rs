//! Two sides of runs: what is called is there, what is there is called, and nothing is said of what is not known.

use std::sync::Arc;

use gilscope::compare::{
    Bound, Call, Change, Comparison, Direction, RATE, Run, SCHEMA, Sequence, Side, json, judge, text, verdict,
    write_json,
};
use gilscope::event::Mode;
use gilscope::figures::{self, Condition, Judged, Reading, Whole};
use gilscope::model::snapshot::{Distribution, Snapshot, Source};
use gilscope::report::Color;
use gilscope::time::Ns;
use hdrhistogram::Histogram;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::fixtures;

/// Draws from the normal distribution (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

/// Runs of one and the same program: some figures go together, some runs fall into another regime.
struct Program {
    random: fastrand::Rng,
    base: Run,
}

impl Program {
    fn new(seed: u64) -> Program {
        let mut snapshot = fixtures::typical();
        let gil = Arc::get_mut(snapshot.processes[0].interpreters[0].gil.as_mut().unwrap()).unwrap();
        gil.forced_handoffs = Some(gil.handoffs / 3);
        gil.cross_core_handoffs = Some(gil.handoffs / 5);
        let waits = gil.waits.clone();
        for thread in &mut snapshot.processes[0].threads {
            thread.rounds_lost = Some(40);
            (thread.voluntary_switches, thread.involuntary_switches) = (Some(900), Some(60));
        }
        snapshot.processes[0].interrupts = Some(Arc::new(fixtures::interrupts(&waits)));
        Program { random: fastrand::Rng::with_seed(seed), base: Run::of("run", &snapshot).unwrap() }
    }

    /// A run whose figures differ from those of the next by `spread`; one in five is in the other regime.
    fn run(&mut self, spread: f64) -> Run {
        let mut run = self.base.clone();
        let together = spread * normal(&mut self.random);
        let regime = if self.random.f64() < 0.2 { 4.0 } else { 1.0 };
        for (figure, reading) in &mut run.readings {
            let waits = figure.name.starts_with("waits") || ["lost", "contention", "demand"].contains(&figure.name);
            let own = spread * normal(&mut self.random);
            if let Reading::Known { value, .. } = reading {
                *value *= (together + own).exp() * if waits { regime } else { 1.0 };
            }
        }
        run
    }

    fn side(&mut self, letter: char, runs: usize, mut make: impl FnMut(&mut Program) -> Run) -> Side {
        Side { letter, name: format!("side {letter}"), runs: (0..runs).map(|_| make(self)).collect() }
    }
}

/// Holds of about 50 us, each run's times `factor`.
fn holds(random: &mut fastrand::Rng, factor: f64) -> Distribution {
    let mut histogram = Histogram::<u32>::new_with_bounds(1_000, 1 << 40, 3).unwrap();
    for _ in 0..3_000 {
        histogram.record((50_000.0 * factor * (0.3 * normal(random)).exp()) as u64).unwrap();
    }
    let mut all = Distribution::empty(Source::Exact, Ns(1_000));
    all.histogram = Some(Arc::new(histogram));
    all
}

/// A run with such holds, read off a snapshot as any other.
fn with_holds(program: &mut Program, spread: f64, factor: f64) -> Run {
    let mut snapshot = fixtures::typical();
    let own = factor * (spread * normal(&mut program.random)).exp();
    let gil = Arc::get_mut(snapshot.processes[0].interpreters[0].gil.as_mut().unwrap()).unwrap();
    gil.holds = holds(&mut program.random, own);
    let read = Run::of("run", &snapshot).unwrap();
    let mut run = program.run(spread);
    run.holds = read.holds.clone();
    for ((_, reading), (figure, of_holds)) in run.readings.iter_mut().zip(&read.readings) {
        if figure.name.starts_with("holds.p") {
            *reading = *of_holds;
        }
    }
    run
}

#[test]
fn where_nothing_differs_nothing_is_called_more_often_than_is_said() {
    let (rounds, mut any, mut excluded, mut intervals) = (1_000, 0, 0u32, 0u32);
    let mut program = Program::new(1);
    for round in 0..rounds {
        let runs = [6, 8, 12][round % 3];
        let a = program.side('A', runs, |program| program.run(0.05));
        let b = program.side('B', runs, |program| program.run(0.05));
        let comparison = Comparison::of(a, b);
        assert!(comparison.tested >= 20, "{}", comparison.tested);
        any += usize::from(comparison.called().next().is_some());
        for tested in comparison.rows.iter().filter_map(|row| row.tested()) {
            if let Some((from, to)) = tested.interval {
                intervals += 1;
                let out = from > 1.0 || to < 1.0;
                excluded += u32::from(out);
                assert_eq!(out, tested.call == Call::Differs, "test and interval agree");
            }
        }
    }
    let expected = RATE * rounds as f64;
    let error = (expected * (1.0 - RATE)).sqrt();
    assert!((any as f64) <= expected + 3.0 * error, "{any} of {rounds} comparisons called something");
    assert!(any > 0, "a test that never calls anything is none");
    // A twentieth of that is called on average where figures have nothing to do with each other; these go together, and are called together.
    assert!(f64::from(excluded) / f64::from(intervals) < RATE / 5.0, "{excluded} of {intervals}");
}

#[test]
fn five_per_cent_of_the_holds_are_found_with_eight_runs_a_side() {
    // Run-to-run spread of 1.5 % (one standard deviation), over that of 3,000 holds.
    let (rounds, mut found, mut wrong) = (200, 0, 0);
    let mut program = Program::new(2);
    for _ in 0..rounds {
        let a = program.side('A', 8, |program| with_holds(program, 0.015, 1.0));
        let b = program.side('B', 8, |program| with_holds(program, 0.015, 1.05));
        let comparison = Comparison::of(a, b);
        let longer = |row: &&gilscope::compare::Row| row.figure.name == "holds.p50";
        let row = comparison.called().find(longer);
        found += usize::from(row.is_some_and(|row| row.direction() == Some(Direction::More)));
        wrong += usize::from(row.is_some_and(|row| row.direction() == Some(Direction::Less)));
    }
    assert!(found >= rounds * 8 / 10 && wrong == 0, "found {found} of {rounds}, {wrong} the wrong way round");
}

#[test]
fn one_run_a_side_shows_and_does_not_judge() {
    let mut program = Program::new(3);
    let a = program.side('A', 1, |program| with_holds(program, 0.0, 1.0));
    let b = program.side('B', 1, |program| with_holds(program, 0.0, 3.0));
    let comparison = Comparison::of(a, b);
    assert_eq!(comparison.called().count(), 0);
    assert!(verdict(&comparison).contains("1 + 1 runs cannot tell"), "{}", verdict(&comparison));
    let shown = text(&comparison, 100, Color::Never);
    assert!(shown.contains("What may differ") && !shown.contains("What differs"), "{shown}");
    let row = comparison.rows.iter().find(|row| row.figure.name == "holds.p50").unwrap();
    let tested = row.tested().unwrap();
    assert!((2.9..3.1).contains(&tested.ratio) && tested.interval.is_none(), "{tested:?}");
    // A gate is an order: it decides by what there is.
    let condition = Condition::parse("holds.p50 +100%").unwrap();
    assert!(matches!(judge(&comparison, &condition), Judged::Met(_)));
}

#[test]
fn what_is_not_known_is_compared_with_nothing() {
    let mut program = Program::new(4);
    let without = |program: &mut Program, reading: Reading| {
        let mut run = program.run(0.02);
        for (figure, of) in &mut run.readings {
            if figure.name == "handoffs.forced" {
                *of = reading;
            }
        }
        run
    };
    let a = program.side('A', 8, |program| without(program, Reading::Unknown("it was not observed")));
    let b = program.side('B', 8, |program| program.run(0.02));
    let comparison = Comparison::of(a, b);
    let row = comparison.rows.iter().find(|row| row.figure.name == "handoffs.forced").unwrap();
    assert!(matches!(&row.change, Change::NotCompared(why) if why.contains("unknown in A")), "{:?}", row.change);
    for (condition, decided) in [("handoffs.forced +10%", false), ("handoffs.forced > 1/s", true)] {
        let judged = judge(&comparison, &Condition::parse(condition).unwrap());
        assert_eq!(!matches!(judged, Judged::Undecided(_)), decided, "{condition}: {judged:?}");
    }
    assert!(text(&comparison, 100, Color::Never).contains("handoffs.forced: unknown in A"));
}

#[test]
fn runs_are_compared_by_the_coarser_resolution() {
    let mut program = Program::new(5);
    let wait = |program: &mut Program, reading: Reading| {
        let mut run = program.run(0.02);
        for (figure, of) in &mut run.readings {
            if figure.name == "waits.p50" {
                *of = reading;
            }
        }
        run
    };
    // A by looks a millisecond apart, B to the microsecond: 0.3 ms may be more or less than A's.
    let short = Reading::Known { value: 3e5, resolution: 1e5 };
    let long = Reading::Known { value: 5e6, resolution: 1e5 };
    for (of_b, bound) in [(short, None), (long, Some(Bound::AtLeast))] {
        let a = program.side('A', 8, |program| wait(program, Reading::Below { resolution: 1e6 }));
        let b = program.side('B', 8, |program| wait(program, of_b));
        let comparison = Comparison::of(a, b);
        let row = comparison.rows.iter().find(|row| row.figure.name == "waits.p50").unwrap();
        assert_eq!(row.tested().map(|tested| tested.bound), bound);
        if let Some(tested) = row.tested() {
            assert!((tested.ratio - 5.0).abs() < 1e-9 && tested.call == Call::Differs, "{tested:?}");
            let shown = text(&comparison, 120, Color::Never);
            assert!(shown.contains("x5.00 or more"), "{shown}");
        }
    }
}

/// A scene recorded elsewhere at some time.
fn recorded(start: u64, edit: impl FnOnce(&mut Snapshot)) -> Run {
    let mut snapshot = fixtures::typical();
    let mut info = snapshot.info.as_deref().unwrap().clone();
    info.start_unix_ns = start;
    snapshot.info = Some(Arc::new(info));
    edit(&mut snapshot);
    Run::of("run", &snapshot).unwrap()
}

fn side(letter: char, runs: Vec<Run>) -> Side {
    Side { letter, name: letter.to_string(), runs }
}

#[test]
fn where_runs_come_from_is_said_first() {
    let hour = 3_600_000_000_000;
    let other = |snapshot: &mut Snapshot| {
        let mut info = snapshot.info.as_deref().unwrap().clone();
        (info.mode, info.host) = (Mode::Exact, "else\u{1b}[2Jwhere".to_owned());
        snapshot.info = Some(Arc::new(info));
    };
    let a = side('A', vec![recorded(0, |_| {}), recorded(hour, |_| {})]);
    let b = side('B', vec![recorded(2 * hour, other), recorded(3 * hour, other)]);
    let comparison = Comparison::of(a, b);
    let abouts: Vec<&str> = comparison.differences.iter().map(|one| one.about).collect();
    assert!(abouts.contains(&"host") && abouts.contains(&"mode"), "{abouts:?}");
    let shown = text(&comparison, 100, Color::Never);
    assert!(shown.find("Not the same") < shown.find("cannot tell"), "{shown}");
    assert!(shown.contains("else\\u{1b}[2Jwhere") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn the_order_of_the_runs_is_told() {
    let hour = 3_600_000_000_000;
    let at = |hours: [u64; 2]| hours.map(|h| recorded(h * hour, |_| {})).to_vec();
    for (a, b, sequence) in [
        ([0, 1], [2, 3], Sequence::Phases),
        ([0, 2], [1, 3], Sequence::Mixed),
        ([0, 3], [1, 2], Sequence::Mixed),
        ([0, 1], [1, 2], Sequence::AtOnce),
    ] {
        let comparison = Comparison::of(side('A', at(a)), side('B', at(b)));
        assert_eq!(comparison.sequence, sequence, "{a:?} {b:?}");
    }
}

#[test]
fn the_document_keeps_its_schema_and_the_text_its_width() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut program = Program::new(6);
    let mut nothing = program.run(0.1);
    nothing.readings.iter_mut().for_each(|(_, reading)| *reading = Reading::known(0.0));
    nothing.name = "a\u{1b}[2J.gscope".to_owned();
    let sides = [
        (program.side('A', 8, |p| with_holds(p, 0.02, 1.0)), program.side('B', 8, |p| with_holds(p, 0.02, 2.0))),
        (program.side('A', 1, |p| p.run(0.1)), program.side('B', 5, |p| p.run(0.1))),
        (side('A', vec![nothing; 4]), program.side('B', 4, |p| p.run(0.1))),
        (
            side('A', vec![recorded(0, |snapshot| snapshot.processes[0].interpreters.clear())]),
            side('B', vec![recorded(9, |_| {})]),
        ),
    ];
    for (a, b) in sides {
        let comparison = Comparison::of(a, b);
        let document = json(&comparison).unwrap();
        validator.validate(&document).map_err(|error| format!("{error} at {}", error.instance_path())).unwrap();
        let mut bytes = Vec::new();
        write_json(&comparison, &mut bytes).unwrap();
        assert!(!bytes.contains(&0x1b));
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), document);
        for width in [0, 1, 20, 40, 79, 80, 100, 200] {
            for line in text(&comparison, width, Color::Never).lines() {
                assert!(line.width() <= usize::from(width), "{width}: {line:?}");
            }
        }
    }
}

#[test]
fn every_figure_has_a_name_of_its_own_and_is_read() {
    let names: Vec<&str> = figures::all().map(|figure| figure.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len(), "{names:?}");
    let snapshot = fixtures::typical();
    let read = figures::readings(&Whole::of(&snapshot).unwrap());
    assert_eq!(read.iter().map(|(figure, _)| figure.name).collect::<Vec<_>>(), names);
    let gil = snapshot.processes[0].interpreters[0].gil.as_ref().unwrap();
    let of = |name: &str| read.iter().find(|(figure, _)| figure.name == name).and_then(|(_, reading)| reading.rank());
    let seconds = gil.observed.as_secs_f64();
    assert_eq!(of("load"), Some(gil.load));
    assert!((of("lost").unwrap() - gil.lost.as_secs_f64() / seconds).abs() < 1e-9);
    assert_eq!(of("handoffs"), Some(gil.handoffs as f64 / seconds));
    assert_eq!(of("waits.rate"), Some((gil.waits.count() + gil.waits.censored) as f64 / seconds));
    assert!(of("waits.p99") >= of("waits.p90") && of("waits.p90") >= of("waits.p50"));
}

#[test]
fn a_change_by_chance_fails_nothing() {
    let mut program = Program::new(7);
    let (mut met, rounds) = (0, 400);
    for _ in 0..rounds {
        let a = program.side('A', 8, |program| program.run(0.1));
        let b = program.side('B', 8, |program| program.run(0.1));
        let comparison = Comparison::of(a, b);
        let condition = Condition::parse("handoffs +3%").unwrap();
        met += u32::from(matches!(judge(&comparison, &condition), Judged::Met(_)));
    }
    assert!(met <= rounds / 20 + 14, "{met} of {rounds}: half of 5 % is upwards");
    let a = program.side('A', 8, |program| program.run(0.02));
    let b = program.side('B', 8, |program| {
        let mut run = program.run(0.02);
        run.readings.iter_mut().filter(|(figure, _)| figure.name == "handoffs").for_each(|(_, reading)| {
            if let Reading::Known { value, .. } = reading {
                *value *= 1.5;
            }
        });
        run
    });
    let comparison = Comparison::of(a, b);
    for (condition, is_met) in [("handoffs +30%", true), ("handoffs +70%", false), ("handoffs -10%", false)] {
        let judged = judge(&comparison, &Condition::parse(condition).unwrap());
        assert_eq!(matches!(judged, Judged::Met(_)), is_met, "{condition}: {judged:?}");
    }
}
