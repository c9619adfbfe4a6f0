//! Recordings that gilscope 0.1 made of a real process: what they held then, they hold now.
//!
//! `v1.0.gscope`: the demo `convoy` on CPython 3.11.7, 2.5 s at 200 looks a second. `v1.0-truncated.gscope` ends 200 bytes
//! into its last chunk; in `v1.0-damaged.gscope` a bit of the second events chunk is flipped.

use std::path::{Path, PathBuf};

use gilscope::event::{
    Build, Cpu, Event, GilKey, Hold, Mode, Origin, Pid, Placement, ProcessKey, PythonVersion, ThreadKey, Usage, What,
};
use gilscope::model::Model;
use gilscope::recording::format::Finality;
use gilscope::recording::{Class, Reader, Replay, Start, Warning};
use gilscope::time::{MonoNs, Ns};

use crate::recording::tools::{events, events_from, recording, resumed};

const START: MonoNs = MonoNs(14_125_332_787_280);
const END: MonoNs = MonoNs(14_127_832_983_338);

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
    assert_eq!(reader.chunks().len(), 6);
    assert_eq!(reader.keyframes(), [4]);
    assert_eq!(reader.finality(), Finality::Last);
    assert_eq!(reader.span(), Some((START, END)));
    assert_eq!(Class::ALL.map(|class| reader.count(class)), [14, 500, 244, 763, 3]);
    let provenance = reader.provenance();
    let (at, capture) = provenance.capture.as_ref().unwrap();
    assert_eq!(*at, START);
    assert_eq!((capture.tool_version.as_str(), capture.host.as_str()), ("0.1.0", "workshop"));
    assert_eq!(
        (capture.start_unix_ns, capture.mode, capture.interval),
        (1_795_262_914_249_151_580, Mode::Sampled, Ns(5_000_000))
    );
    let (_, process) = &provenance.processes[0];
    assert_eq!(process.cmdline, ["python3", "convoy.py", "12"]);
    assert_eq!((process.pid, process.build, process.origin), (Pid(8664), Build::Default, Origin::Attached));
    assert_eq!(process.python, PythonVersion { major: 3, minor: 11, patch: Some(7) });
    assert_eq!((process.libc.as_str(), process.cpus_allowed.as_slice()), ("glibc 2.36", &[Cpu(0), Cpu(1)][..]));
    assert_eq!(provenance.gils, [(GilKey(0), ProcessKey(0), Ns(5_000_000))]);

    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    assert_eq!(all.len(), 1_524);
    assert_eq!((all[0].at, all.last().unwrap().at), (START, END));
    assert_eq!(all.last().unwrap().what, What::CaptureEnded);
    let samples: Vec<_> = all
        .iter()
        .filter_map(|event| match event.what {
            What::GilSample(sample) => Some(sample),
            _ => None,
        })
        .collect();
    let (first, last) = (samples[0], samples[499]);
    assert_eq!((first.switch_number, last.switch_number), (420, 1_022));
    assert_eq!(samples.iter().filter_map(|sample| sample.waiters).sum::<u32>(), 318);
    let hog = |cpu| Hold::By { thread: ThreadKey(2), placement: Some(Placement::OnOrQueued(Cpu(cpu))) };
    assert_eq!((first.hold, last.hold), (hog(1), hog(0)));
    let on_cpu = [0, 1, 2].map(|thread| last_usage(&all, ThreadKey(thread)).on_cpu.0);
    assert_eq!(on_cpu, [34_635_184, 35_040_024, 3_436_834_171]);
    let run_delay = [0, 1, 2].map(|thread| last_usage(&all, ThreadKey(thread)).run_delay.0);
    assert_eq!(run_delay, [23_072_026, 48_692_048, 537_707_904]);
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
    assert_eq!(gil.handoffs, 602);
    assert_eq!(process.capture.samples, 500);
    let names: Vec<&str> = process.threads.iter().map(|thread| thread.name.as_str()).collect();
    assert_eq!(names, ["MainThread", "io-echo", "cpu-hog"]);
    // Shares are derived anew by each version, and a better one may move them a little.
    assert!(
        (gil.load - 0.988).abs() < 0.01 && (gil.contention - 0.636).abs() < 0.01,
        "{} {}",
        gil.load,
        gil.contention
    );
}

#[test]
fn the_truncated_one_has_all_but_its_last_chunk() {
    let mut reader = Reader::open(&path("v1.0-truncated.gscope")).unwrap();
    assert_eq!(reader.warnings(), [Warning::TruncatedTail { offset: 7_777, bytes: 300 }]);
    assert_eq!(reader.finality(), Finality::Open);
    assert_eq!(events(&mut reader), all()[..1_288]);
}

#[test]
fn the_damaged_one_has_all_but_the_way_to_its_keyframe() {
    let mut reader = Reader::open(&path("v1.0-damaged.gscope")).unwrap();
    assert_eq!(reader.warnings(), [], "the index is whole");
    let all = all();
    let read = events(&mut reader);
    assert_eq!(read[..447], all[..447]);
    assert_eq!(read[447..], all[1_288..]);
    assert_eq!(
        reader.warnings(),
        [Warning::DamagedChunk { offset: 2_768, sequence: 2 }, Warning::Unreadable { position: 447, events: 841 },]
    );
    let resumed = resumed(&mut reader, Start::Beginning);
    assert_eq!((resumed[0].position, resumed[0].lost, resumed[0].standing.len()), (1_288, 841, 19));
    assert_eq!(events_from(&mut reader, Start::Keyframe(0)), all[1_288..]);
}
