//! Flame graphs: widths that add up to the totals they are taken from, and names that break nothing.

use std::process::{Command, Output};

use gilscope::event::*;
use gilscope::flame::{Flame, Of, SCHEDULER, UNCONTENDED, UNSAMPLED};
use gilscope::model::Model;
use gilscope::model::snapshot::Snapshot;
use gilscope::time::Ns;
use proptest::prelude::*;

use crate::blame::{Teller, by};
use crate::recording::tools::recording;
use crate::sampling::Sampling;
use crate::switches::{fused, worlds};

const RANDOM: SampleCause = SampleCause::Random { every: Ns::from_millis(8) };

fn fold(events: &[Event]) -> Snapshot {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

/// A holder behind which another waits, asleep for the last fifth of a second, and a GIL that is free for a while.
fn observed() -> Teller {
    let mut told = Teller::new(2);
    told.stacks(&["first", "second"]);
    for n in 0..900u64 {
        let (hold, waiting) = match n {
            0..600 => (by(1), &[0][..]),
            600..700 => (Hold::Free, &[0][..]),
            _ => (by(1), &[][..]),
        };
        told.tick(hold, 1, waiting);
        if n < 600 && n % 10 == 5 {
            told.sample(Some(u32::from(n % 40 == 5)), RANDOM);
            let (gil, thread, instant, stack) = (GilKey(0), ThreadKey(0), told.at, Some(StackKey(1)));
            told.tell(What::WaiterSampled { gil, thread, instant, stack, stands_for: Ns::MILLISECOND });
        }
    }
    told
}

fn parsed(collapsed: &str) -> Vec<(Vec<String>, u64)> {
    let line = |line: &str| {
        let (stack, time) = line.rsplit_once(' ').unwrap();
        (stack.split(';').map(str::to_owned).collect(), time.parse().unwrap())
    };
    collapsed.lines().map(line).collect()
}

/// The widths of a graph add up to what it is taken from.
#[track_caller]
fn adds_up(what: &str, snapshot: &Snapshot) {
    for of in [Of::Blame, Of::Waits, Of::Holds] {
        let flame = Flame::of(snapshot, of);
        let process = &snapshot.processes[0];
        let wanted: Ns = match of {
            Of::Blame | Of::Waits => process.blame.pairs.iter().map(|pair| pair.time).sum(),
            Of::Holds => process.threads.iter().map(|thread| thread.states.holding()).sum(),
        };
        assert_eq!(flame.total(), wanted, "{what}: {of:?}");
        let sum: u64 = parsed(&flame.collapsed()).iter().map(|(_, time)| time).sum();
        assert_eq!(Ns(sum), wanted, "{what}: {of:?}");
    }
}

#[test]
fn widths_add_up_to_the_totals() {
    for (name, truth) in worlds() {
        for events in [Sampling::at(Ns::MILLISECOND, 3).look(&truth), fused(&Sampling::at(Ns::MILLISECOND, 3), &truth)]
        {
            let snapshot = fold(&events);
            let lost: Ns = snapshot.processes[0].threads.iter().map(|thread| thread.lost).sum();
            assert_eq!(Flame::of(&snapshot, Of::Blame).total(), lost, "{name}");
            adds_up(name, &snapshot);
        }
    }
    adds_up("half sampled", &fold(&observed().events));
}

#[test]
fn each_time_is_in_its_frame() {
    let snapshot = fold(&observed().events);
    let share = |of: Of, stack: &[&str]| {
        let flame = Flame::of(&snapshot, of);
        let is_it = |known: &[String]| known.iter().map(String::as_str).eq(stack.iter().copied());
        flame.stacks().filter(|(known, _)| is_it(known)).map(|(_, time)| time.0 as f64 / 1e6).sum::<f64>()
    };
    let holder = "t1 (tid 101)";
    let [first, second] = ["first (app.py:7)", "second (app.py:7)"];
    let near = |got: f64, wanted: f64| assert!((got - wanted).abs() < 3.0, "{got} ms for {wanted}");
    near(share(Of::Blame, &[holder, first]), 450.0);
    near(share(Of::Blame, &[holder, second]), 150.0);
    near(share(Of::Blame, &[SCHEDULER]), 100.0);
    near(share(Of::Waits, &["t0 (tid 100)", second]), 700.0);
    near(share(Of::Holds, &[holder, first]), 450.0);
    near(share(Of::Holds, &[holder, second]), 150.0);
    near(share(Of::Holds, &[holder, UNCONTENDED]), 200.0);
}

#[test]
fn what_was_not_sampled_is_there() {
    let mut told = Teller::new(2);
    (0..100).for_each(|_| told.tick(by(1), 1, &[0]));
    let snapshot = fold(&told.events);
    for of in [Of::Blame, Of::Holds] {
        let flame = Flame::of(&snapshot, of);
        let all: Vec<_> = flame.stacks().map(|(stack, _)| stack.join(";")).collect();
        assert_eq!(all, [format!("t1 (tid 101);{UNSAMPLED}")], "{of:?}");
    }
    let nothing = Flame::of(&fold(&Teller::new(2).events), Of::Blame);
    assert_eq!((nothing.total(), nothing.collapsed()), (Ns::ZERO, String::new()));
}

const NASTY: [&str; 9] = [
    "a;b;c 12",
    "</title><script>alert(1)</script>",
    "\" onload=\"evil()",
    "two\r\nlines 99 17",
    "\u{1b}[31m\u{7}\u{0}\u{202e}",
    "# a comment",
    "_[k]",
    " \u{2003} ",
    "&amp;]]>\u{ffff}",
];

/// An SVG's text, of which nothing but tags of its own may be made.
fn is_calm(svg: &str) {
    assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
    let wild =
        |c: char| (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202e}' | '\u{fffe}' | '\u{ffff}');
    assert!(!svg.contains(wild), "{:?}", svg.chars().find(|c| wild(*c)));
    assert_eq!(svg.matches("<script").count(), 1, "inferno's own");
    assert!(!svg.contains("onload=\"evil"));
    for part in svg.split("<title>").skip(1) {
        let text = part.split("</title>").next().unwrap();
        assert!(!text.contains(['<', '>']), "{text}");
    }
}

fn hostile(names: &[&str]) -> Snapshot {
    let mut told = Teller::new(2);
    told.stacks(names);
    for (n, name) in names.iter().enumerate() {
        for _ in 0..80 {
            told.tick(by(1), 1, &[0]);
            told.sample(Some(n as u32), RANDOM);
        }
        told.tell(What::ThreadNamed { thread: ThreadKey(1), name: (*name).to_owned() });
    }
    (0..40).for_each(|_| told.tick(by(1), 1, &[0]));
    fold(&told.events)
}

#[test]
fn hostile_names_break_neither_lines_nor_svg() {
    let snapshot = hostile(&NASTY);
    adds_up("nasty", &snapshot);
    for of in [Of::Blame, Of::Holds] {
        let flame = Flame::of(&snapshot, of);
        let collapsed = flame.collapsed();
        assert_eq!(collapsed.lines().count(), NASTY.len());
        assert!(parsed(&collapsed).iter().all(|(stack, _)| stack.len() == 2), "{collapsed}");
        let mut svg = Vec::new();
        flame.svg(NASTY[1], &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        is_calm(&svg);
        // No line was taken for a comment or for two numbers.
        assert!(svg.contains(&format!("total_samples=\"{}\"", flame.total().0)), "{of:?}");
        assert!(svg.contains("&lt;script&gt;"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_names_there_are_widths_add_up(names in proptest::collection::vec("\\PC{0,40}|.{0,40}|[ ;#0-9._\\[\\]]{0,9}", 1..6)) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let snapshot = hostile(&names);
        adds_up("any names", &snapshot);
        let flame = Flame::of(&snapshot, Of::Blame);
        let mut svg = Vec::new();
        flame.svg("any names", &mut svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        is_calm(&svg);
        let total = format!("total_samples=\"{}\"", flame.total().0);
        prop_assert!(svg.contains(&total));
    }
}

fn flame(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gilscope")).arg("flame").args(arguments).output().unwrap()
}

#[test]
fn the_command_draws_recordings() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let events = observed().events;
    std::fs::write(path("run.gscope"), recording(&events)).unwrap();
    let snapshot = fold(&events);
    for (of, flag) in [(Of::Blame, "blame"), (Of::Waits, "waits"), (Of::Holds, "holds")] {
        let drawn = Flame::of(&snapshot, of);
        let ended = flame(&["-q", "--of", flag, "-f", "collapsed", &path("run.gscope")]);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_eq!(String::from_utf8(ended.stdout).unwrap(), drawn.collapsed());
        let ended = flame(&["-q", "--of", flag, "-o", &path("out.svg"), &path("run.gscope")]);
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(0), 0), "{ended:?}");
        let svg = std::fs::read_to_string(path("out.svg")).unwrap();
        is_calm(&svg);
        assert!(svg.contains("second (app.py:7)") && svg.contains(&format!("\"{}\"", drawn.total().0)));
    }
    std::fs::write(path("calm.gscope"), recording(&Teller::new(2).events)).unwrap();
    let ended = flame(&[&path("calm.gscope")]);
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(0), 0), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("nobody waited for the GIL"), "{ended:?}");
    assert_eq!(flame(&[]).status.code(), Some(2));
    assert_eq!(flame(&["-d", "3", &path("run.gscope")]).status.code(), Some(2));
    assert_eq!(flame(&[&path("none.gscope")]).status.code(), Some(5));
}
