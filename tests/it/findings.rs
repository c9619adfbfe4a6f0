//! Each finding: a world that makes it, and one alike that does not; and that none contradicts the answer.

use std::sync::Arc;

use gilscope::event::stacks::Frame;
use gilscope::event::{
    CodePlace, DropRequest, Event, GilKey, InterpreterId, NativeInfo, NativeKind, Signal, ThreadKey, What,
};
use gilscope::findings::{Allowed, Answer, DOCUMENT, Figure, Finding, Findings, Name, Severity, explain, find};
use gilscope::model::snapshot::{
    ArrivalKind, Basis, BlameFigures, BlamePair, BlameShare, Blamed, Fault, InterruptFigures, LongHold,
    MeasuredInterrupts, PendingInterrupt, Release, Segments, Snapshot, Stage,
};
use gilscope::time::Ns;

use crate::convoys::{hog, io, look_alikes};
use crate::fixtures::{self, Scene, Thread};
use crate::sampling::Sampling;
use crate::simulator::{Script, Step, Truth, World};
use crate::switches::{fused, snapshot};

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

fn us(n: u64) -> Ns {
    Ns::from_micros(n)
}

fn events(truth: &Truth) -> Vec<Event> {
    fused(&Sampling::at(Ns::MILLISECOND, 3), truth)
}

fn seen(truth: &Truth) -> Findings {
    of(&snapshot(&events(truth)))
}

fn of(snapshot: &Snapshot) -> Findings {
    find(&snapshot.processes[0], Allowed::NONE)
}

fn get(found: &Findings, name: Name) -> Option<&Finding> {
    found.list.iter().find(|finding| finding.name == name)
}

fn names(found: &Findings) -> Vec<(&'static str, Severity)> {
    found.list.iter().map(|finding| (finding.name.id(), finding.severity)).collect()
}

fn figure(finding: &Finding, name: &str) -> Figure {
    finding.evidence.iter().find(|(key, _)| *key == name).unwrap().1
}

fn play(seed: u64, scripts: &[Script]) -> Truth {
    World::play(seed, ms(10_000), scripts)
}

#[test]
fn a_convoy_is_found_and_its_culprit_named() {
    let found = seen(&play(1, &[hog(), io(2_000)]));
    assert_eq!(found.verdict.answer, Answer::Is);
    let convoy = get(&found, Name::Convoy).unwrap();
    assert_eq!(convoy.severity, Severity::Problem);
    assert_eq!(convoy.culprit, Some(ThreadKey(0)));
    assert!(convoy.message.starts_with("\"Thread-1\" lets go of the GIL for a moment"), "{}", convoy.message);
    assert!(convoy.message.contains("behind \"Thread-0\""), "{}", convoy.message);
    assert_eq!(get(&found, Name::GilHog), None, "the convoy names the hog: {:?}", names(&found));
    assert_eq!(get(&found, Name::NeverReleases), None, "{:?}", names(&found));
}

#[test]
fn a_convoy_that_costs_little_is_for_information() {
    let found = seen(&play(2, &[hog(), io(500_000)]));
    let convoy = get(&found, Name::Convoy).unwrap();
    assert_eq!(convoy.severity, Severity::Info);
    assert_eq!(found.verdict.answer, Answer::IsNot, "{:?}", names(&found));
}

#[test]
fn what_looks_like_a_convoy_is_no_finding() {
    for (name, truth) in look_alikes() {
        assert_eq!(get(&seen(&truth), Name::Convoy), None, "{name}");
    }
}

#[test]
fn a_hog_is_one_that_holds_for_longer_than_all_others_together() {
    // Both are forced to let go, so this is no convoy; one of them sleeps half its time.
    let pauses = Script::new(&[Step::Bytecode(ms(30)), Step::Sleep(ms(100))]);
    let found = seen(&play(3, &[hog(), pauses]));
    let hog_ = get(&found, Name::GilHog).unwrap_or_else(|| panic!("{:?}", names(&found)));
    assert_eq!(hog_.culprit, Some(ThreadKey(0)));
    assert_eq!(get(&seen(&play(4, &[hog(), hog()])), Name::GilHog), None, "they share it");
    assert_eq!(
        get(&seen(&play(5, &[hog(), Script::new(&[Step::Native(ms(10))])])), Name::GilHog),
        None,
        "nobody waits"
    );
}

#[test]
fn saturated_is_shared_fairly() {
    let found = seen(&play(6, &vec![hog(); 4]));
    let saturated = get(&found, Name::Saturated).unwrap_or_else(|| panic!("{:?}", names(&found)));
    let Figure::Number(demand) = figure(saturated, "demand") else { panic!("{saturated:?}") };
    assert!((3.8..=4.05).contains(&demand), "{demand}");
    assert_eq!(figure(saturated, "speedup_bound"), Figure::Number(2.0), "it has two cores");
    assert_eq!(get(&found, Name::GilHog), None);
    assert_eq!(get(&found, Name::Convoy), None);
    assert_eq!(get(&seen(&play(7, &[hog()])), Name::Saturated), None, "load is not contention");
    assert_eq!(get(&seen(&play(8, &[hog(), io(2_000)])), Name::Saturated), None, "one has most of it");
}

#[test]
fn a_holder_that_sleeps_or_is_deaf_never_releases() {
    let asleep = seen(&play(9, &[Script::new(&[Step::HoldAsleep(ms(80)), Step::Sleep(ms(20))]), io(2_000)]));
    let found = get(&asleep, Name::NeverReleases).unwrap_or_else(|| panic!("{:?}", names(&asleep)));
    assert_eq!((found.severity, found.culprit), (Severity::Problem, Some(ThreadKey(0))));
    assert_eq!(figure(found, "how"), Figure::Word("asleep"));
    assert_eq!(asleep.list[0].name, Name::NeverReleases, "the cause comes first: {:?}", names(&asleep));
    let busy = seen(&play(10, &[Script::new(&[Step::HoldInC(ms(150)), Step::Sleep(ms(200))]), io(2_000)]));
    let found = get(&busy, Name::NeverReleases).unwrap_or_else(|| panic!("{:?}", names(&busy)));
    assert_eq!((found.culprit, figure(found, "how")), (Some(ThreadKey(0)), Figure::Word("busy")));
    let Figure::Time(longest) = figure(found, "longest_ns") else { panic!("{found:?}") };
    // 150 ms, more or less by a third, and what the waiter came late.
    assert!((ms(140)..=ms(200)).contains(&longest), "{longest}");
    // Holds that are as long, without anybody who wants the GIL; and bytecode, which obeys.
    let alone = seen(&play(11, &[Script::new(&[Step::HoldInC(ms(150)), Step::Sleep(ms(200))])]));
    assert_eq!(get(&alone, Name::NeverReleases), None, "{:?}", names(&alone));
    for hogs in [1, 4] {
        let mut scripts = vec![hog(); hogs];
        scripts.push(io(2_000));
        let obeys = seen(&play(12, &scripts));
        assert_eq!(get(&obeys, Name::NeverReleases), None, "{:?}", names(&obeys));
    }
}

#[test]
fn a_hold_is_named_while_it_lasts() {
    let truth =
        World::play(13, ms(3_000), &[Script::new(&[Step::Sleep(ms(500)), Step::HoldInC(ms(60_000))]), io(2_000)]);
    let found = seen(&truth);
    let never = get(&found, Name::NeverReleases).unwrap_or_else(|| panic!("{:?}", names(&found)));
    assert_eq!(never.severity, Severity::Problem);
    let Figure::Time(longest) = figure(never, "longest_ns") else { panic!("{never:?}") };
    assert!((ms(2_000)..ms(3_000)).contains(&longest), "{longest}");
}

#[test]
fn a_request_that_another_interpreter_does_not_see() {
    let truth = play(14, &[Script::new(&[Step::HoldInC(ms(900)), Step::Sleep(ms(100))]), io(2_000)]);
    let shared = |version: u8, request: DropRequest| {
        let mut events = events(&truth);
        let process = gilscope::event::ProcessKey(0);
        for event in &mut events {
            match &mut event.what {
                What::ProcessFound { info, .. } => info.python.minor = version,
                What::GilSample(sample) => sample.drop_request = request,
                _ => {}
            }
        }
        let at = events[3].at;
        let second = What::InterpreterFound { process, interpreter: InterpreterId(1), gil: Some(GilKey(0)) };
        events.insert(4, Event { at, what: second });
        of(&snapshot(&events))
    };
    let starved = shared(11, DropRequest::Absent);
    let found = get(&starved, Name::StarvedInterpreter).unwrap_or_else(|| panic!("{:?}", names(&starved)));
    assert_eq!((found.severity, found.culprit), (Severity::Problem, Some(ThreadKey(0))));
    assert_eq!(get(&starved, Name::NeverReleases), None, "nobody asked it");
    for (version, request) in [(13, DropRequest::Absent), (11, DropRequest::Pending)] {
        assert_eq!(get(&shared(version, request), Name::StarvedInterpreter), None);
    }
    assert_eq!(get(&seen(&truth), Name::StarvedInterpreter), None, "one interpreter");
}

#[test]
fn many_short_handoffs_are_a_storm() {
    let quick = || Script::new(&[Step::Bytecode(us(60)), Step::Sleep(us(60))]);
    let found = seen(&World::play(15, ms(2_000), &[quick(), quick(), quick(), quick()]));
    let storm = get(&found, Name::HandoffStorm).unwrap_or_else(|| panic!("{:?}", names(&found)));
    let Figure::Number(rate) = figure(storm, "handoffs_per_second") else { panic!("{storm:?}") };
    assert!(rate > 5_000.0, "{rate}");
    for scripts in [vec![hog(); 4], vec![Script::new(&[Step::HoldInC(us(500)), Step::Sleep(ms(1))]); 4]] {
        assert_eq!(get(&seen(&play(16, &scripts)), Name::HandoffStorm), None);
    }
}

#[test]
fn a_gil_that_hops_between_cores() {
    let bounce = |native: f64| {
        let scene = Scene::new(1)
            .thread(Thread::main("a").holds(0.5).waits(0.1).native(native))
            .thread(Thread::named("b").holds(0.4).waits(0.1));
        with_gil(scene.snapshot(), |gil| {
            gil.handoffs = 30_000;
            gil.cross_core_handoffs = Some(24_000);
        })
    };
    for (native, word) in [(0.0, "Pinning the process to one core"), (0.3, "Do not pin the process")] {
        let found = of(&bounce(native));
        let hops = get(&found, Name::CrossCoreBounce).unwrap_or_else(|| panic!("{:?}", names(&found)));
        assert!(hops.advice.starts_with(word), "{}", hops.advice);
    }
    for crossed in [None, Some(3_000), Some(9_000)] {
        let found = of(&with_gil(bounce(0.0), |gil| gil.cross_core_handoffs = crossed));
        assert_eq!(get(&found, Name::CrossCoreBounce), None, "{crossed:?}");
    }
    // In a simulated world, where threads are moved now and then.
    let found = seen(&play(17, &vec![hog(); 3]));
    assert_eq!(get(&found, Name::CrossCoreBounce), None, "200 a second are few");
}

fn with_gil(mut snapshot: Snapshot, change: impl FnOnce(&mut gilscope::model::snapshot::GilFigures)) -> Snapshot {
    let gil = snapshot.processes[0].interpreters[0].gil.as_mut().unwrap();
    change(Arc::make_mut(gil));
    snapshot
}

#[test]
fn a_holder_without_a_core() {
    let without = Script::new(&[Step::Bytecode(us(400)), Step::HoldQueued(us(7_000)), Step::Sleep(us(2_000))]);
    let found = seen(&play(18, &[without, io(3_000), io(4_000)]));
    let preempted = get(&found, Name::HolderPreempted).unwrap_or_else(|| panic!("{:?}", names(&found)));
    assert_eq!(preempted.severity, Severity::Problem);
    assert_eq!(get(&found, Name::NeverReleases), None, "it cannot see a request: {:?}", names(&found));
    let queued = Script::new(&[Step::Bytecode(us(400)), Step::Queued(us(7_000)), Step::Sleep(us(2_000))]);
    let found = seen(&play(19, &[queued, io(3_000), io(4_000)]));
    assert_eq!(get(&found, Name::HolderPreempted), None, "it has let go: {:?}", names(&found));
}

#[test]
fn signals_that_wait_long() {
    let sigint = Signal::named("SIGINT");
    let with = |interrupts: InterruptFigures| {
        let mut snapshot = fixtures::one_busy();
        snapshot.processes[0].interrupts = Some(Arc::new(interrupts));
        of(&snapshot)
    };
    let none = || InterruptFigures {
        main: Some(ThreadKey(0)),
        measured: Vec::new(),
        newest: None,
        pending: Vec::new(),
        unresolved: 0,
        predicted: None,
    };
    let pending = |stage, before: u64| PendingInterrupt {
        signal: sigint,
        since: fixtures::START + ms(12_000 - before),
        stage,
        fault: None::<Fault>,
    };
    let stuck = with(InterruptFigures { pending: vec![pending(Stage::Tripped, 4_000)], ..none() });
    let slow = get(&stuck, Name::SlowInterrupt).unwrap();
    assert_eq!(slow.severity, Severity::Problem);
    assert!(slow.message.starts_with("SIGINT has waited for its Python handler for 4.00 s"), "{}", slow.message);
    assert_eq!(stuck.verdict.answer, Answer::IsNot, "a signal can be late without the GIL's help");
    for quiet in [pending(Stage::Blocked, 4_000), pending(Stage::Tripped, 200)] {
        assert_eq!(get(&with(InterruptFigures { pending: vec![quiet], ..none() }), Name::SlowInterrupt), None);
    }
    let measured = |delay: Ns| {
        let template = fixtures::contended(2).processes[0].threads[1].waits.clone();
        let mut histogram = hdrhistogram::Histogram::<u32>::new_with_bounds(1, 1 << 40, 3).unwrap();
        histogram.record(delay.0).unwrap();
        let delay = gilscope::model::snapshot::Distribution { histogram: Some(Arc::new(histogram)), ..template };
        let segments = Segments { gil_wait: Some(ms(300)), ..Segments::default() };
        MeasuredInterrupts {
            signal: sigint,
            from: ArrivalKind::Trip,
            delay,
            segments,
            culprits: Vec::new(),
            with_others: 0,
            merged: 0,
            faults: Vec::new(),
        }
    };
    let late = with(InterruptFigures { measured: vec![measured(ms(300))], ..none() });
    assert_eq!(figure(get(&late, Name::SlowInterrupt).unwrap(), "part"), Figure::Word("gil-wait"));
    assert_eq!(get(&with(InterruptFigures { measured: vec![measured(ms(30))], ..none() }), Name::SlowInterrupt), None);
    assert_eq!(get(&with(none()), Name::SlowInterrupt), None);
}

#[test]
fn what_it_is_instead() {
    let queued = || Script::new(&[Step::Native(us(3_000)), Step::Queued(us(6_000)), Step::Bytecode(us(50))]);
    let sleeps = || Script::new(&[Step::Bytecode(us(50)), Step::Sleep(ms(50))]);
    for (instead, truth) in [
        ("run-queue", play(20, &[queued(), queued(), queued()])),
        ("native", play(21, &[Script::new(&[Step::Native(ms(20)), Step::Bytecode(us(50))]), sleeps()])),
        ("one-thread", play(22, &[hog(), Script::new(&[Step::Sleep(ms(900_000))])])),
        ("asleep", play(23, &[sleeps(), sleeps()])),
    ] {
        let found = seen(&truth);
        let not = get(&found, Name::NotTheGil).unwrap_or_else(|| panic!("{instead}: {:?}", names(&found)));
        assert_eq!(figure(not, "instead"), Figure::Word(instead), "{}", not.message);
        assert_eq!(found.verdict.answer, Answer::IsNot, "{instead}");
        assert!(found.list.iter().all(|finding| finding.severity == Severity::Info), "{instead}: {:?}", names(&found));
    }
    let is = seen(&play(24, &vec![hog(); 3]));
    assert_eq!(get(&is, Name::NotTheGil), None);
}

#[test]
fn too_little_is_said_to_be() {
    let scene = || Scene::new(1).thread(Thread::main("m").holds(0.5).waits(0.3));
    for (snapshot, severity) in [
        (scene().coverage(0.4).snapshot(), Severity::Warn),
        (scene().coverage(0.8).snapshot(), Severity::Warn),
        (fixtures::too_short(), Severity::Info),
    ] {
        let found = of(&snapshot);
        assert_eq!(get(&found, Name::LowCoverage).map(|finding| finding.severity), Some(severity));
    }
    assert_eq!(get(&of(&scene().coverage(0.97).snapshot()), Name::LowCoverage), None);
    let short = World::play(25, ms(600), &vec![hog(); 3]);
    assert_eq!(names(&seen(&short)), [("low-coverage", Severity::Info)], "half a second decides nothing");
}

#[test]
fn no_finding_contradicts_the_answer() {
    let of_worlds =
        crate::switches::worlds().into_iter().chain(look_alikes()).map(|(name, truth)| (name, seen(&truth)));
    let of_scenes =
        fixtures::all().into_iter().filter(|(_, s)| !s.processes.is_empty()).map(|(name, s)| (name, of(&s)));
    for (name, found) in of_worlds.chain(of_scenes) {
        println!("{name}: {:?} {:?}", found.verdict, names(&found));
        let worst = found.list.iter().filter(|finding| finding.gil.is_some()).map(|finding| finding.severity).max();
        match found.verdict.answer {
            Answer::IsNot => assert!(worst <= Some(Severity::Info), "{name}: {:?}", names(&found)),
            Answer::NoGil => assert_eq!(worst, None, "{name}"),
            Answer::Unknown => assert!(found.list.iter().all(|f| f.name == Name::LowCoverage), "{name}"),
            Answer::Is | Answer::Partly => {
                assert_eq!(get(&found, Name::NotTheGil), None, "{name}");
                assert!(found.because().is_some(), "{name}");
            }
        }
        let order: Vec<Severity> = found.list.iter().map(|finding| finding.severity).collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "{name}: {:?}", names(&found));
        for finding in &found.list {
            for text in [&finding.message, &finding.advice] {
                assert!(text.ends_with(['.', ')']) && !text.contains("  "), "{name}: {text}");
                assert!(!text.chars().any(char::is_control), "{name}: {text}");
                assert!(!text.contains("NaN") && !text.contains(" inf "), "{name}: {text}");
            }
        }
    }
}

#[test]
fn each_can_be_allowed_by_name_and_is_explained() {
    let snapshot = snapshot(&events(&play(26, &[hog(), hog(), io(2_000)])));
    let all = of(&snapshot);
    assert!(all.list.len() >= 2, "{:?}", names(&all));
    for finding in &all.list {
        let allowed = Allowed::NONE.and(finding.name);
        let rest = find(&snapshot.processes[0], allowed);
        assert_eq!(rest.verdict, all.verdict, "the answer stays");
        assert_eq!(rest.list.len(), all.list.len() - 1);
        assert_eq!(get(&rest, finding.name), None);
    }
    let mut headings: Vec<&str> = DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut ids: Vec<&str> = Name::ALL.into_iter().map(Name::id).collect();
    assert_eq!((headings.len(), headings.sort_unstable()), (ids.len(), ids.sort_unstable()));
    assert_eq!(headings, ids);
    for name in Name::ALL {
        assert_eq!(Name::named(name.id()), Some(name));
        let section = explain(name);
        assert!(section.len() > 100 && !section.contains("\n## "), "{}: {section}", name.id());
    }
    assert_eq!(Name::named("gil"), None);
}

/// What others wait for it is in one function for 60 % of the time, by `samples`.
fn blamed(snapshot: &mut Snapshot, holder: ThreadKey, function: &str, samples: u32) {
    let share = |function: &str, time: u64, basis: Basis| BlameShare {
        time: ms(time),
        samples: if basis == Basis::Random { samples } else { 1 },
        basis,
        stack: [Arc::new(Frame { file: "/srv/app.py".to_owned(), function: function.to_owned(), line: 7 })].into(),
        native: None,
    };
    let shares = vec![
        share(function, 600, Basis::Random),
        share("other", 100, Basis::Random),
        share("a_long_hold", 300, Basis::LongHold),
    ];
    let pair = BlamePair { waiter: Some(ThreadKey(2)), holder: Blamed::Thread(holder), time: ms(1_000), shares };
    snapshot.processes[0].blame = Arc::new(BlameFigures { pairs: vec![pair], ..BlameFigures::default() });
}

fn held_in(snapshot: &mut Snapshot, holder: ThreadKey, kind: NativeKind, symbol: &str) {
    let place = CodePlace { module: "ext.so".to_owned(), symbol: Some(symbol.to_owned()), offset: 0 };
    let hold = LongHold {
        thread: holder,
        native: Some(Arc::new(NativeInfo { kind, place, through: None })),
        holds: 3,
        held: ms(900),
        longest: ms(400),
        samples: 12,
        asleep: 12,
        release: Release::Never,
        ongoing: None,
    };
    let gil = snapshot.processes[0].interpreters[0].gil.as_mut().unwrap();
    Arc::make_mut(gil).long_holds.push(hold);
}

#[test]
fn a_finding_names_the_code_of_its_culprit_where_that_is_known() {
    let mut snapshot = fixtures::sleeping_holder();
    let holder = get(&of(&snapshot), Name::NeverReleases).unwrap().culprit.unwrap();
    let bare = get(&of(&snapshot), Name::NeverReleases).unwrap().clone();
    assert_eq!((&bare.function, &bare.native), (&None, &None));

    // Too few samples, the interpreter's own code: nothing is named.
    blamed(&mut snapshot, holder, "crunch", 9);
    held_in(&mut snapshot, holder, NativeKind::Interpreter, "long_mul");
    assert_eq!(get(&of(&snapshot), Name::NeverReleases), Some(&bare));

    let mut snapshot = fixtures::sleeping_holder();
    blamed(&mut snapshot, holder, "crunch\u{1b}[2J", 40);
    held_in(&mut snapshot, holder, NativeKind::Extension, "count_cext");
    let found = of(&snapshot);
    let finding = get(&found, Name::NeverReleases).unwrap();
    assert_eq!(finding.function.as_deref(), Some("app.py:crunch\u{1b}[2J"));
    assert_eq!(finding.native.as_deref(), Some("ext.so:count_cext"));
    assert!(finding.message.contains("100.0 % of its long holds are in ext.so:count_cext."), "{}", finding.message);
    assert!(finding.message.contains("For 60.0 % of the time that others wait for it, it is in app.py:crunch"));
    assert!(!finding.message.contains('\u{1b}'), "{:?}", finding.message);
}
