//! Recordings that gilscope 0.1 made of a real process: what they held then, they hold now.
//!
//! `v1.0.gscope`: the demo `convoy` on CPython 3.11.7, 3.2 s at 200 looks a second. `v1.0-truncated.gscope` ends 200 bytes
//! into its last chunk; in `v1.0-damaged.gscope` a bit of the second events chunk is flipped.

use std::path::{Path, PathBuf};

use gilscope::event::{
    Build, Cpu, Departure, Event, GilKey, Hold, Lags, Mode, Origin, Pid, Placement, ProcessKey, PythonVersion,
    ThreadKey, Usage, What,
};
use gilscope::model::Model;
use gilscope::model::snapshot::Source;
use gilscope::recording::format::Finality;
use gilscope::recording::{Class, Reader, Replay, Start, Warning};
use gilscope::time::{MonoNs, Ns};

use crate::recording::tools::{events, events_from, recording, resumed};

const START: MonoNs = MonoNs(15_184_251_305_588);
const END: MonoNs = MonoNs(15_187_451_619_665);
/// Of `v1.7-lags.gscope`.
const LAGS: Lags = Lags { asking: Ns(4_046), taking: Ns(1_262) };

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn all() -> Vec<Event> {
    events(&mut Reader::open(&path("v1.0.gscope")).unwrap())
}

fn last_usage(events: &[Event], wanted: ThreadKey) -> Usage {
    let usages = events.iter().rev().filter_map(|event| match event.what {
        What::Usage { thread, usage } if thread == wanted => Some(usage),
        _ => None,
    });
    usages.into_iter().next().unwrap()
}

#[test]
fn format_1_0_is_read_as_it_was_written() {
    let mut reader = Reader::open(&path("v1.0.gscope")).unwrap();
    assert_eq!(reader.minor(), 0);
    assert_eq!(reader.chunks().len(), 7);
    assert_eq!(reader.keyframes(), [4]);
    assert_eq!(reader.finality(), Finality::Last);
    assert_eq!(reader.span(), Some((START, END)));
    assert_eq!(Class::ALL.map(|class| reader.count(class)), [14, 608, 301, 916, 4, 0, 0, 0]);
    let provenance = reader.provenance();
    let (at, capture) = provenance.capture.as_ref().unwrap();
    assert_eq!(*at, START);
    assert_eq!((capture.tool_version.as_str(), capture.host.as_str()), ("0.1.0", "workshop"));
    assert_eq!(
        (capture.start_unix_ns, capture.mode, capture.interval),
        (1_795_263_973_168_456_102, Mode::Sampled, Ns(5_000_000))
    );
    let (_, process) = &provenance.processes[0];
    assert_eq!(process.cmdline, ["python3", "convoy.py", "14"]);
    assert_eq!((process.pid, process.build, process.origin), (Pid(10178), Build::Default, Origin::Attached));
    assert_eq!(process.python, PythonVersion { major: 3, minor: 11, patch: Some(7) });
    assert_eq!((process.libc.as_str(), process.cpus_allowed.as_slice()), ("glibc 2.36", &[Cpu(0), Cpu(1)][..]));
    assert_eq!(provenance.gils, [(GilKey(0), ProcessKey(0), Ns(5_000_000))]);

    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    assert_eq!(all.len(), 1_843);
    assert_eq!((all[0].at, all.last().unwrap().at), (START, END));
    assert_eq!(all.last().unwrap().what, What::CaptureEnded);
    let samples: Vec<_> = all
        .iter()
        .filter_map(|event| match event.what {
            What::GilSample(sample) => Some(sample),
            _ => None,
        })
        .collect();
    let (first, last) = (samples[0], samples[607]);
    assert_eq!((first.switch_number, last.switch_number), (298, 1_024));
    assert_eq!(samples.iter().filter_map(|sample| sample.waiters).sum::<u32>(), 398);
    let hog = |cpu| Hold::By { thread: ThreadKey(2), placement: Some(Placement::OnOrQueued(Cpu(cpu))) };
    assert_eq!((first.hold, last.hold), (hog(0), hog(1)));
    let on_cpu = [0, 1, 2].map(|thread| last_usage(&all, ThreadKey(thread)).on_cpu.0);
    assert_eq!(on_cpu, [60_592_625, 73_341_865, 4_089_848_193]);
    let run_delay = [0, 1, 2].map(|thread| last_usage(&all, ThreadKey(thread)).run_delay.0);
    assert_eq!(run_delay, [32_410_690, 149_336_077, 548_740_609]);
    // What this version writes is read as the same.
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}

#[test]
fn its_figures_are_what_the_program_did() {
    let mut model = Model::new();
    Replay::new(Reader::open(&path("v1.0.gscope")).unwrap(), Start::Beginning)
        .for_each(|placed| model.apply(&placed.event));
    let process = &model.snapshot().processes[0];
    let gil = process.interpreters[0].gil.as_deref().unwrap();
    assert_eq!(gil.handoffs, 726);
    assert_eq!(process.capture.samples, 608);
    let names: Vec<&str> = process.threads.iter().map(|thread| thread.name.as_str()).collect();
    assert_eq!(names, ["MainThread", "io-echo", "cpu-hog"]);
    // Shares are derived anew by each version, and a better one may move them a little.
    assert!(
        (gil.load - 0.959).abs() < 0.01 && (gil.contention - 0.651).abs() < 0.01,
        "{} {}",
        gil.load,
        gil.contention
    );
}

#[test]
fn the_truncated_one_has_all_but_its_last_chunk() {
    let mut reader = Reader::open(&path("v1.0-truncated.gscope")).unwrap();
    assert_eq!(reader.warnings(), [Warning::TruncatedTail { offset: 10_206, bytes: 300 }]);
    assert_eq!(reader.finality(), Finality::Open);
    assert_eq!(events(&mut reader), all()[..1_609]);
}

#[test]
fn the_damaged_one_has_all_but_the_way_to_its_keyframe() {
    let mut reader = Reader::open(&path("v1.0-damaged.gscope")).unwrap();
    assert_eq!(reader.warnings(), [], "the index is whole");
    let all = all();
    let read = events(&mut reader);
    assert_eq!(read[..368], all[..368]);
    assert_eq!(read[368..], all[1_221..]);
    assert_eq!(
        reader.warnings(),
        [Warning::DamagedChunk { offset: 2_628, sequence: 2 }, Warning::Unreadable { position: 368, events: 853 },]
    );
    let resumed = resumed(&mut reader, Start::Beginning);
    assert_eq!((resumed[0].position, resumed[0].lost, resumed[0].standing.len()), (1_221, 853, 20));
    assert_eq!(events_from(&mut reader, Start::Keyframe(0)), all[1_221..]);
}

/// `v1.1.gscope`: the same demo, 1.5 s at 200 looks a second, with the kernel's switch records.
#[test]
fn format_1_1_is_read_as_it_was_written() {
    let mut reader = Reader::open(&path("v1.1.gscope")).unwrap();
    assert_eq!(reader.minor(), 1);
    assert_eq!(reader.finality(), Finality::Last);
    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    let ways = |wanted: fn(&What) -> bool| all.iter().filter(|event| wanted(&event.what)).count();
    let counts = [
        ways(|what| matches!(what, What::SwitchesBegin { .. })),
        ways(|what| matches!(what, What::SwitchedIn { .. })),
        ways(|what| matches!(what, What::SwitchedOut { how: Departure::Asleep, .. })),
        ways(|what| matches!(what, What::SwitchedOut { how: Departure::Preempted, .. })),
    ];
    assert_eq!((all.len(), counts), (2_671, [3, 958, 838, 120]));
    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let snapshot = model.snapshot();
    let process = &snapshot.processes[0];
    assert_eq!(process.capture.switches.unwrap().records as usize, counts[1] + counts[2] + counts[3]);
    let waits = &process.interpreters[0].gil.as_deref().unwrap().waits;
    assert_eq!(waits.source, Source::Fused);
    // A sleep of 2 ms and a wait of a switch interval fit 207 times into 1.5 s; at 200 looks a second some may stay unseen.
    let io = process.threads.iter().find(|thread| thread.name == "io-echo").unwrap();
    assert!((195..=207).contains(&io.waits.count()), "{}", io.waits.count());
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}

/// `v1.2.gscope`: a thread of bytecode beside one that sleeps for 2 ms by turns, 2 s at 200 looks a second, with watchpoints.
#[test]
fn format_1_2_is_read_as_it_was_written() {
    let mut reader = Reader::open(&path("v1.2.gscope")).unwrap();
    assert_eq!((reader.minor(), reader.finality()), (2, Finality::Last));
    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    let ways = |wanted: fn(&What) -> bool| all.iter().filter(|event| wanted(&event.what)).count();
    let counts = [
        ways(|what| matches!(what, What::WindowBegins { .. })),
        ways(|what| matches!(what, What::WindowEnds { .. })),
        ways(|what| matches!(what, What::LockWritten { .. })),
        ways(|what| matches!(what, What::CondWritten { .. })),
        ways(|what| matches!(what, What::CostsKnown(_) | What::Spent(..))),
    ];
    assert_eq!((all.len(), counts), (5_312, [3, 3, 929, 700, 3]));
    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let snapshot = model.snapshot();
    let process = &snapshot.processes[0];
    let (exact, gil) = (process.capture.exact.unwrap(), process.interpreters[0].gil.as_deref().unwrap());
    assert_eq!((exact.windows as usize, exact.resyncs, gil.holds.source), (counts[0], 0, Source::Exact));
    // Every hold in the windows is two hits.
    let holds = gil.holds.count() + gil.holds.censored;
    assert!((2 * holds).abs_diff(counts[2] as u64) <= 2 * exact.windows + 8, "{holds} holds of {} hits", counts[2]);
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}

/// `v1.7-lags.gscope`: a thread of bytecode beside one that sleeps for 3 ms by turns, 0.6 s at 1,000 looks a second. Older ones do not
/// tell how far switch records lie from what they stand for.
#[test]
fn format_1_7_tells_how_far_switch_records_lag() {
    let lags = |name: &str| {
        let mut reader = Reader::open(&path(name)).unwrap();
        let all = events(&mut reader);
        assert_eq!(reader.warnings(), []);
        assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
        let told = all.iter().filter_map(|event| match event.what {
            What::CostsKnown(costs) => Some(costs.lags),
            _ => None,
        });
        (reader.minor(), told.collect::<Vec<Lags>>(), all)
    };
    let (minor, told, _) = lags("v1.2.gscope");
    assert_eq!((minor, &told[..]), (2, &[Lags::default()][..]));
    let (minor, told, all) = lags("v1.7-lags.gscope");
    assert_eq!((minor, &told[..]), (7, &[LAGS][..]));
    let waits = |lags: Lags| {
        let mut model = Model::new();
        for event in &all {
            let mut event = event.clone();
            if let What::CostsKnown(costs) = &mut event.what {
                costs.lags = lags;
            }
            model.apply(&event);
        }
        let snapshot = model.snapshot();
        let waits = &snapshot.processes[0].interpreters[0].gil.as_deref().unwrap().waits;
        (waits.count(), waits.total)
    };
    let ((count, with), (same, without)) = (waits(LAGS), waits(Lags::default()));
    assert_eq!(count, same);
    // Each wait is longer by both, but for those before they were known.
    let each = (LAGS.asking + LAGS.taking).0;
    let more = with.saturating_sub(without).0;
    assert!((count * each * 8 / 10..=(count + 2) * each).contains(&more), "{more} ns more in {count} waits");
}

/// `v1.2-named.gscope`: the same program, 1.5 s, with the kernel's tracepoint of futex(2).
#[test]
fn named_sleeps_of_format_1_2_are_read_as_they_were_written() {
    let mut reader = Reader::open(&path("v1.2-named.gscope")).unwrap();
    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    let named = all.iter().filter(|event| matches!(event.what, What::FutexEntered { .. })).count();
    assert_eq!((all.len(), named), (3_046, 951));
    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let waits = &model.snapshot().processes[0].interpreters[0].gil.as_deref().unwrap().waits.clone();
    assert_eq!(waits.source, Source::Fused);
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}
