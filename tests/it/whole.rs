//! Several processes, and several GILs in one, taken together: what adds up is the sum of the parts, and nothing else is added.

use std::sync::Arc;

use gilscope::compare::{Comparison, Run, Side, scope};
use gilscope::event::{Ending, Event, Footprint, GilKey, InterpreterId, Origin, Pid, ProcessKey, What};
use gilscope::figures::{self, Extent, Figure, Reading, Unit, Whole};
use gilscope::model::Model;
use gilscope::model::snapshot::{GilFigures, InterpreterFigures, ProcessFigures, Snapshot, Source, UnwatchedFigures};
use gilscope::recording::Reader;
use gilscope::report;
use gilscope::time::{MonoNs, Ns};

use crate::fixtures::{self, Scene, Thread};
use crate::model::{SECOND, fold};
use crate::recording::tools::events;
use crate::sampling::Sampling;
use crate::simulator::{Script, State, Step, Truth, World};

/// Figures that are of one process, or of the one GIL that has most.
const OF_ONE: [&str; 5] =
    ["load", "held_off_cpu", "contention", "interrupts.predicted.p50", "interrupts.predicted.p90"];

fn reading(snapshot: &Snapshot, figure: &Figure) -> Reading {
    let whole = Whole::of(snapshot).unwrap();
    figures::readings(&whole).into_iter().find(|(one, _)| *one == figure).unwrap().1
}

#[track_caller]
fn value(snapshot: &Snapshot, figure: &Figure) -> f64 {
    match reading(snapshot, figure) {
        Reading::Known { value, .. } => value,
        other => panic!("{}: {other:?}", figure.name),
    }
}

#[track_caller]
fn near(what: &str, got: f64, wanted: f64, tolerance: f64) {
    assert!((got - wanted).abs() <= tolerance * wanted.abs(), "{what}: {got}, should be {wanted} +- {tolerance}");
}

fn only(snapshot: &Snapshot, process: &ProcessFigures) -> Snapshot {
    Snapshot { processes: vec![process.clone()], ..snapshot.clone() }
}

fn gil(process: &ProcessFigures) -> &GilFigures {
    process.interpreters[0].gil.as_ref().unwrap()
}

fn gil_mut(process: &mut ProcessFigures) -> &mut GilFigures {
    Arc::make_mut(process.interpreters[0].gil.as_mut().unwrap())
}

/// Two processes that were looked at a thousand times a second, the second from so many nanoseconds on.
fn together(first: &Truth, second: &Truth, later: u64) -> Snapshot {
    let looks = |seed: u64, key: u32| Sampling {
        process: ProcessKey(key),
        gil: GilKey(key),
        first_thread: 100 * key,
        ..Sampling::at(Ns::MILLISECOND, seed)
    };
    let mut all = looks(3, 0).look(first);
    let end = all.last().unwrap().at;
    let of_second = looks(4, 1).look(second).into_iter().filter_map(|event| {
        let at = event.at + Ns(later);
        let what = match event.what {
            What::CaptureStarted(_) => return None,
            What::CaptureEnded => What::ProcessEnded { process: ProcessKey(1), ending: Ending::Exited },
            What::ProcessFound { process, mut info } => {
                info.pid = Pid(info.pid.0 + 1);
                What::ProcessFound { process, info }
            }
            what => what,
        };
        Some(Event { at, what })
    });
    all.extend(of_second.filter(|event| event.at <= end));
    all.sort_by_key(|event| (event.at, matches!(event.what, What::CaptureEnded)));
    fold(&all).snapshot()
}

/// What happens in two processes is known: all figures of both together follow from that.
#[test]
fn two_processes_are_what_both_did_in_the_time_of_all() {
    let work =
        |ms: u64, off: u64| Script::new(&[Step::Bytecode(Ns::from_millis(ms)), Step::Native(Ns::from_millis(off))]);
    let busy = || Script::new(&[Step::Bytecode(Ns::SECOND)]);
    let (length, part, later) = (20 * SECOND, 8 * SECOND, 5 * SECOND);
    for (first, second) in [
        (vec![busy(), busy()], vec![busy(), busy(), work(3, 40)]),
        (vec![work(2, 30), work(4, 50)], vec![busy(), busy(), work(7, 20)]),
    ] {
        let (first, second) = (World::play(1, Ns(length), &first), World::play(2, Ns(part), &second));
        let snapshot = together(&first, &second, later);
        assert_eq!(snapshot.processes.len(), 2);
        let (of_first, of_second) = (first.contention(), second.contention());
        let share = part as f64 / length as f64;
        let held = [first.load(), second.load() * share];
        near("load", value(&snapshot, &figures::LOAD), held[0].max(held[1]), 0.01);
        near("contention", value(&snapshot, &figures::CONTENTION), of_first.0.max(of_second.0 * share), 0.02);
        let waiters = of_first.1 + of_second.1 * share;
        near("lost", value(&snapshot, &figures::LOST), waiters, 0.02);
        near("demand", value(&snapshot, &figures::DEMAND), held[0] + held[1] + waiters, 0.02);
        let handoffs = (first.handoffs.len() + second.handoffs.len()) as f64 / (length as f64 / 1e9);
        near("handoffs", value(&snapshot, &figures::HANDOFFS), handoffs, 0.01);
        let mut waits: Vec<u64> = first.waits.iter().chain(&second.waits).map(|wait| wait.length()).collect();
        waits.sort_unstable();
        near("waits", value(&snapshot, &figures::WAITS), waits.len() as f64 / (length as f64 / 1e9), 0.03);
        for (figure, share) in [(&figures::WAITS_P50, 0.5), (&figures::WAITS_P90, 0.9)] {
            let wanted = waits[((waits.len() - 1) as f64 * share) as usize] as f64;
            let got = value(&snapshot, figure);
            assert!((got - wanted).abs() <= 1e6 + 0.02 * wanted, "{}: {got}, should be {wanted}", figure.name);
        }
        let on_cores = |which: fn(State) -> bool| {
            let of =
                |truth: &Truth| (0..truth.states.len()).map(|n| truth.time_in(n, 0, truth.end, which)).sum::<u64>();
            (of(&first) + of(&second)) as f64 / length as f64
        };
        near("cores.gil", value(&snapshot, &figures::CORES_GIL), on_cores(State::holds), 0.02);
        let native = on_cores(|state| state == State::Native);
        let got = value(&snapshot, &figures::CORES_NATIVE);
        assert!((got - native).abs() < 0.03, "cores.native: {got}, should be {native}");
        let whole = Whole::of(&snapshot).unwrap();
        assert_eq!(whole.extent(), Extent { processes: 2, gils: 2, ..Extent::default() });
        assert!((whole.length().0 as f64 / length as f64 - 1.0).abs() < 1e-3 && whole.coverage() > 0.99);
    }
}

/// The parts of a snapshot, each by itself as it would be compared alone, against the whole.
#[track_caller]
fn is_the_sum_of_its_parts(snapshot: &Snapshot) -> usize {
    let whole = Whole::of(snapshot).unwrap();
    let alone: Vec<Snapshot> = snapshot.processes.iter().map(|process| only(snapshot, process)).collect();
    let mut checked = 0;
    for (figure, of_all) in figures::readings(&whole) {
        let is_distribution = figure.unit == Unit::Duration || figure.unit == Unit::Bytes;
        if is_distribution || figure.name.starts_with("interrupts") {
            continue;
        }
        let parts: Vec<f64> = std::iter::zip(&alone, &snapshot.processes)
            .filter_map(|(alone, process)| {
                let Reading::Known { value, .. } = reading(alone, figure) else { return None };
                Some(value * process.capture.duration.share_of(whole.length()).unwrap())
            })
            .collect();
        let Reading::Known { value, .. } = of_all else { continue };
        let wanted = match OF_ONE.contains(&figure.name) {
            true => parts.iter().copied().fold(0.0, f64::max),
            false => parts.iter().sum(),
        };
        assert!((value - wanted).abs() <= 1e-9 * (1.0 + wanted), "{}: {value}, parts {parts:?}", figure.name);
        checked += 1;
    }
    let count = |of: fn(&GilFigures) -> u64| snapshot.processes.iter().map(|process| of(gil(process))).sum::<u64>();
    assert_eq!(whole.waits().unwrap().count(), count(|gil| gil.waits.count()));
    assert_eq!(whole.holds().unwrap().count(), count(|gil| gil.holds.count()));
    assert_eq!(whole.holds().unwrap().total.0, count(|gil| gil.holds.total.0));
    checked
}

#[test]
fn the_whole_is_the_sum_of_its_parts() {
    let mut snapshot = fixtures::processes(5);
    assert!(is_the_sum_of_its_parts(&snapshot) > 12);
    // Not all are there at the same time.
    snapshot.processes[1].capture.start = snapshot.processes[1].capture.start + Ns(SECOND);
    snapshot.processes[1].capture.duration = Ns(3 * SECOND);
    gil_mut(&mut snapshot.processes[1]).observed = Ns(2 * SECOND);
    snapshot.processes[2].capture.start = snapshot.processes[2].capture.start + Ns(6 * SECOND);
    assert!(is_the_sum_of_its_parts(&snapshot) > 12);
    assert_eq!(Whole::of(&snapshot).unwrap().length(), Ns(14 * SECOND));
}

/// The same against the report of a recording, which knows nothing of the whole.
#[test]
fn the_whole_of_a_recording_is_the_sum_of_what_is_reported_of_each_process() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.6-processes.gscope");
    let mut model = Model::new();
    events(&mut Reader::open(&golden).unwrap()).iter().for_each(|event| model.apply(event));
    let snapshot = model.snapshot();
    assert!(is_the_sum_of_its_parts(&snapshot) >= 8);
    let document = report::json(&snapshot, gilscope::findings::Allowed::default()).unwrap();
    let processes = document["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2);
    let length = Whole::of(&snapshot).unwrap().length();
    let of_gils = |name: &str| -> f64 {
        processes.iter().map(|process| process["interpreters"][0]["gil"][name].as_f64().unwrap()).sum()
    };
    // What was not observed is made up for by each process's own: some thousandths.
    near("lost", value(&snapshot, &figures::LOST), of_gils("lost_ns") / length.0 as f64, 0.02);
    near("handoffs", value(&snapshot, &figures::HANDOFFS), of_gils("handoffs") / length.as_secs_f64(), 0.02);
    let running: f64 = processes
        .iter()
        .flat_map(|process| process["threads"].as_array().unwrap())
        .map(|thread| thread["states_ns"]["running"].as_f64().unwrap())
        .sum();
    near("cores.gil", value(&snapshot, &figures::CORES_GIL), running / length.0 as f64, 1e-6);
    let extent = Whole::of(&snapshot).unwrap().extent();
    let left_out = UnwatchedFigures { not_python: 1, ..UnwatchedFigures::default() };
    assert_eq!(extent, Extent { processes: 2, gils: 2, left_out, unseen: 0 });
}

#[test]
fn several_gils_in_one_process_are_taken_together() {
    let snapshot = fixtures::two_interpreters();
    let gils: Vec<&GilFigures> = [0, 1].map(|n| snapshot.processes[0].interpreters[n].gil.as_deref().unwrap()).to_vec();
    near("lost", value(&snapshot, &figures::LOST), gils.iter().map(|gil| gil.mean_waiters).sum(), 0.001);
    near("demand", value(&snapshot, &figures::DEMAND), gils.iter().map(|gil| gil.demand).sum(), 0.001);
    assert_eq!(value(&snapshot, &figures::LOAD), gils.iter().map(|gil| gil.load).fold(0.0, f64::max));
    let whole = Whole::of(&snapshot).unwrap();
    assert_eq!((whole.extent().processes, whole.extent().gils), (1, 2), "the third interpreter shares the first's");
    // One that was there for a part of the time counts for that part.
    let mut short = snapshot.clone();
    let brief = |interpreter: &mut InterpreterFigures| {
        let gil = Arc::make_mut(interpreter.gil.as_mut().unwrap());
        (gil.observed, gil.lifetime) = (Ns(gil.observed.0 / 10), Ns(gil.lifetime.0 / 10));
        (gil.lost, gil.handoffs) = (Ns(gil.lost.0 / 10), gil.handoffs / 10);
    };
    short.processes[0].interpreters.iter_mut().filter(|one| one.id == InterpreterId(1)).for_each(brief);
    let lost = gils[0].mean_waiters + gils[1].mean_waiters / 10.0;
    near("lost", value(&short, &figures::LOST), lost, 0.01);
    assert_eq!(value(&short, &figures::LOAD), gils[0].load);
}

#[test]
fn what_is_not_known_of_one_is_not_known_of_all_unless_it_can_be_nothing() {
    let mut snapshot = fixtures::processes(4);
    for process in &mut snapshot.processes {
        gil_mut(process).forced_handoffs = Some(gil(process).handoffs / 2);
    }
    assert!(matches!(reading(&snapshot, &figures::FORCED), Reading::Known { .. }));
    let idle = gil_mut(&mut snapshot.processes[2]);
    (idle.forced_handoffs, idle.handoffs) = (None, 0);
    let mut without_idle = snapshot.clone();
    without_idle.processes.remove(2);
    assert_eq!(value(&snapshot, &figures::FORCED), value(&without_idle, &figures::FORCED), "nobody was handed it");
    gil_mut(&mut snapshot.processes[2]).handoffs = 1;
    assert!(matches!(reading(&snapshot, &figures::FORCED), Reading::Unknown(_)));
    // If it is known of none, it is not nothing.
    for process in &mut snapshot.processes {
        let gil = gil_mut(process);
        (gil.forced_handoffs, gil.handoffs) = (None, 0);
    }
    assert!(matches!(reading(&snapshot, &figures::FORCED), Reading::Unknown(_)));
    // Holds that watchpoints saw one by one are not put together with others.
    assert!(matches!(reading(&snapshot, &figures::HOLDS_P50), Reading::Known { .. }));
    gil_mut(&mut snapshot.processes[1]).holds.source = Source::Exact;
    for figure in [&figures::HOLDS, &figures::HOLDS_P50, &figures::HOLDS_P99] {
        assert!(matches!(reading(&snapshot, figure), Reading::Unknown(why) if why.contains("some of its GILs")));
    }
    // Percentiles are known as the least precise of them are, but one that has nothing makes nothing less precise.
    let resolution = Ns::from_millis(40);
    gil_mut(&mut snapshot.processes[2]).waits.resolution = resolution;
    assert_eq!(Whole::of(&snapshot).unwrap().waits().unwrap().resolution, Ns::MILLISECOND);
    gil_mut(&mut snapshot.processes[0]).waits.resolution = resolution;
    let below = Reading::Below { resolution: resolution.0 as f64 };
    assert_eq!(reading(&snapshot, &figures::WAITS_P50), below);
    let waits = Whole::of(&snapshot).unwrap().waits().unwrap().clone();
    assert!(waits.below_resolution > waits.count() * 9 / 10, "{} of {}", waits.below_resolution, waits.count());
}

#[test]
fn where_there_is_no_gil_nothing_is_lost_for_it() {
    let snapshot = fixtures::free_threaded();
    for figure in [&figures::LOAD, &figures::LOST, &figures::HANDOFFS, &figures::WAITS_P50, &figures::ROUNDS_LOST] {
        assert_eq!(reading(&snapshot, figure), Reading::Nothing, "{}", figure.name);
    }
    near("cores.native", value(&snapshot, &figures::CORES_NATIVE), 2.7, 0.001);
    // One that was found, and not seen to be without, may have one.
    let found = fixtures::just_found();
    assert!(matches!(reading(&found, &figures::LOST), Reading::Unknown(_)));
    let mut both = snapshot.clone();
    both.processes.push(fixtures::typical().processes.remove(0));
    assert_eq!(reading(&both, &figures::LOST), reading(&fixtures::typical(), &figures::LOST));
}

/// A helper that is gone at once does not decide what is said of the whole.
#[test]
fn a_brief_process_counts_for_as_long_as_it_is_there() {
    let long = |number| {
        let scene = Scene::new(7).lasting(10.0).thread(Thread::main("main").holds(0.4).waits(0.1));
        scene.thread(Thread::named("other").holds(0.3).waits(0.1)).contended(0.2).process(number)
    };
    let mut snapshot = Scene::new(1).lasting(10.0).snapshot();
    snapshot.processes = vec![long(0)];
    let alone = snapshot.clone();
    let scene = Scene::new(8).lasting(0.02).coverage(0.3).thread(Thread::main("main").holds(0.3)).contended(1.0);
    let mut brief = scene.process(1);
    let gil = gil_mut(&mut brief);
    (gil.load, gil.contention) = (1.0, 1.0);
    snapshot.processes.push(brief);
    for figure in [&figures::LOAD, &figures::CONTENTION] {
        assert_eq!(value(&snapshot, figure), value(&alone, figure), "{}", figure.name);
    }
    let coverage = |snapshot: &Snapshot| Whole::of(snapshot).unwrap().coverage();
    assert_eq!(coverage(&snapshot), coverage(&alone), "what is missing of 20 ms is less than what is missing of 10 s");
    // One that is there all the time does.
    snapshot.processes[1] = Scene::new(8).lasting(10.0).coverage(0.3).process(1);
    assert!((coverage(&snapshot) - 0.3).abs() < 1e-9);
}

#[test]
fn memory_is_read_of_the_process_that_all_descend_from() {
    let mut model = Model::new();
    let found = |key: u32, origin: Origin| {
        let mut info = crate::sampling::target();
        (info.pid, info.origin) = (Pid(10 + key), origin);
        What::ProcessFound { process: ProcessKey(key), info: Box::new(info) }
    };
    let read = |key: u32, pss: u64, processes: u32| {
        let own = Footprint::Known { pss: pss / 2, processes: 1 };
        What::MemoryRead { process: ProcessKey(key), own, tree: Footprint::Known { pss, processes } }
    };
    let mut at = 0;
    let mut tell = |model: &mut Model, what: What| {
        at += 1_000;
        model.apply(&Event { at: MonoNs(at), what });
    };
    tell(&mut model, found(0, Origin::Attached));
    tell(&mut model, read(0, 100, 3));
    tell(&mut model, What::Forked { process: ProcessKey(0), child: Pid(11) });
    tell(&mut model, found(1, Origin::Attached));
    tell(&mut model, read(1, 40, 1));
    assert_eq!(value(&model.snapshot(), &figures::MEMORY), 100.0, "the child's is in it");
    assert_eq!(Whole::of(&model.snapshot()).unwrap().extent().unseen, 1, "it has memory, and nothing was told of it");
    // One of which it is not known who made it.
    let mut stray = model.clone();
    tell(&mut stray, found(2, Origin::Attached));
    tell(&mut stray, read(2, 70, 1));
    assert!(matches!(reading(&stray.snapshot(), &figures::MEMORY), Reading::Unknown(why) if why.contains("descend")));
    // Unless gilscope has started it all.
    let mut launched = Model::new();
    for what in [found(0, Origin::Launched), read(0, 100, 2), found(2, Origin::Attached), read(2, 70, 1)] {
        tell(&mut launched, what);
    }
    assert_eq!(value(&launched.snapshot(), &figures::MEMORY), 100.0);
}

#[test]
fn it_is_said_of_how_many_the_figures_are() {
    let run = |snapshot: &Snapshot| Run::of("run", snapshot).unwrap();
    let side = |letter: char, runs: Vec<Run>| Side { letter, name: letter.to_string(), runs };
    let said = |a: Vec<Run>, b: Vec<Run>| scope(&Comparison::of(side('A', a), side('B', b)), ["A", "B"]);
    let one = || run(&fixtures::typical());
    assert_eq!(said(vec![one()], vec![one()]), None);
    let mut two = fixtures::processes(2);
    two.processes[0].unwatched = UnwatchedFigures::default();
    assert_eq!(
        said(vec![one()], vec![run(&two)]).unwrap(),
        "the GIL's figures are of all GILs together (A: 1 process; B: 2 processes, each with a GIL of its own), but shares of time of \
         the one GIL that has most"
    );
    let interpreters = run(&fixtures::two_interpreters());
    let several = said(vec![one(), interpreters], vec![one(), run(&fixtures::processes(5))]).unwrap();
    assert!(
        several.contains("(A: 1 process with 1 to 2 GILs; B: 1 to 5 processes, each with a GIL of its own)"),
        "{several}"
    );
    assert!(several.ends_with("(B: up to 7 that ended too soon and up to 1 that ran no Python)"), "{several}");
    // A child that nobody was to look into.
    let mut alone = fixtures::typical();
    alone.processes[0].children = vec![Pid(1)];
    assert_eq!(
        said(vec![one()], vec![run(&alone)]).unwrap(),
        "processes that were not looked into are in none of these (B: 1 that nobody was to look into (-s does))"
    );
    let difference = Comparison::of(side('A', vec![one()]), side('B', vec![run(&two)])).differences;
    let of = |about: &str| difference.iter().find(|one| one.about == about).map(|one| (one.a.concat(), one.b.concat()));
    assert_eq!(of("processes"), Some(("1".to_owned(), "2".to_owned())));
    // The same program without a GIL.
    let free = said(vec![run(&fixtures::free_threaded())], vec![run(&two)]).unwrap();
    assert!(free.contains("(A: 1 process without a GIL; B: 2 processes"), "{free}");
}
