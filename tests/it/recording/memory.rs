//! What processes have in memory, in recordings and in figures.

use gilscope::event::{Build, Ending, Event, Footprint, Origin, Pid, ProcessInfo, ProcessKey, PythonVersion, What};
use gilscope::figures::{self, Reading, Whole};
use gilscope::model::Model;
use gilscope::recording::format::Finality;
use gilscope::recording::{Encoder, Reader, Start};
use gilscope::time::MonoNs;

use crate::recording::tools::{events, file_of, recording, resumed};

fn known(pss: u64, processes: u32) -> Footprint {
    Footprint::Known { pss, processes }
}

fn read(own: Footprint, tree: Footprint) -> What {
    What::MemoryRead { process: ProcessKey(0), own, tree }
}

fn found() -> What {
    What::ProcessFound {
        process: ProcessKey(0),
        info: Box::new(ProcessInfo {
            pid: Pid(1),
            cmdline: Vec::new(),
            python: PythonVersion { major: 3, minor: 11, patch: Some(7) },
            build: Build::Default,
            libc: String::new(),
            cpus_allowed: Vec::new(),
            origin: Origin::Attached,
        }),
    }
}

fn stamped(told: impl IntoIterator<Item = What>) -> Vec<Event> {
    told.into_iter().zip(1u64..).map(|(what, n)| Event { at: MonoNs(n * 1_000), what }).collect()
}

fn folded(told: impl IntoIterator<Item = What>) -> Model {
    let mut model = Model::new();
    stamped(told).iter().for_each(|event| model.apply(event));
    model
}

fn figure(model: &Model) -> Reading {
    let snapshot = model.snapshot();
    let read = figures::readings(&Whole::of(&snapshot).unwrap());
    read.iter().find(|(figure, _)| figure.name == "memory.pss").unwrap().1
}

#[test]
fn the_most_of_all_readings_counts_and_what_is_not_known_is_said() {
    let rising =
        [found(), read(known(5, 1), known(9, 2)), read(known(7, 1), known(30, 4)), read(known(6, 1), known(8, 2))];
    let model = folded(rising);
    let memory = model.snapshot().processes[0].memory;
    assert_eq!((memory.own.peak, memory.own.last), (Some((7, MonoNs(3_000))), Some((6, MonoNs(4_000)))));
    assert_eq!((memory.tree.peak, memory.tree.processes, memory.tree.count), (Some((30, MonoNs(3_000))), 4, 3));
    assert_eq!(figure(&model), Reading::known(30.0));
    let grown = [found(), read(known(5, 1), known(5, 1)), read(Footprint::TooLarge, Footprint::TooLarge)];
    assert!(matches!(figure(&folded(grown.clone())), Reading::Unknown(why) if why.contains("so large")));
    let read_at_the_end = grown.into_iter().chain([read(known(900, 1), known(900, 1))]);
    assert_eq!(figure(&folded(read_at_the_end)), Reading::known(900.0));
    let ended = What::ProcessEnded { process: ProcessKey(0), ending: Ending::Execed { path: String::new() } };
    assert_eq!(
        figure(&folded([found(), read(known(5, 1), known(5, 1)), ended, read(known(9, 1), known(9, 1))])),
        Reading::known(5.0)
    );
    let hidden = [found(), read(known(5, 1), Footprint::Unreadable)];
    assert!(matches!(figure(&folded(hidden)), Reading::Unknown(why) if why.contains("may not be read")));
    assert!(matches!(figure(&folded([found()])), Reading::Unknown(_)));
}

#[test]
fn a_keyframe_restates_the_newest_reading_of_a_process_that_is_there() {
    let (first, second) = (read(known(5, 1), known(5, 1)), read(known(6, 1), Footprint::TooLarge));
    let mut encoder = Encoder::new().unwrap();
    for event in stamped([found(), first, second.clone()]) {
        encoder.push(&event).unwrap();
    }
    encoder.restate().unwrap();
    let mut reader = Reader::from_bytes(file_of(&encoder.take_chunks())).unwrap();
    let standing: Vec<What> =
        resumed(&mut reader, Start::Keyframe(0))[0].standing.iter().map(|event| event.what.clone()).collect();
    assert_eq!(standing, [found(), second]);
}

/// `v1.6-memory.gscope`: a program that takes 40 MiB, and whose child takes 30 MiB more; 1.5 s.
#[test]
fn memory_of_format_1_6_is_read_as_it_was_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.6-memory.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!((reader.minor(), reader.finality()), (6, Finality::Last));
    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let memory = model.snapshot().processes[0].memory;
    assert_eq!(memory.tree.processes, 2);
    let (own, tree) = (memory.own.peak.unwrap().0 >> 20, memory.tree.peak.unwrap().0 >> 20);
    assert_eq!((own, tree), (27, 82));
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}
