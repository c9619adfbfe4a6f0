//! Recordings of several processes: one file, in which everything is of one of them.

use gilscope::event::{Event, ProcessKey, RateReason, Scope, Unwatched, What};
use gilscope::model::Model;
use gilscope::recording::Reader;
use gilscope::recording::format::Finality;

use crate::recording::tools::{events, recording};

/// `v1.6-processes.gscope`: two threads that compute for half a second, in a program that has made two processes, a Python
/// that sleeps for two seconds, and one that is none; `record -s` at 200 looks a second.
#[test]
fn several_processes_of_format_1_6_are_read_as_they_were_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.6-processes.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!((reader.minor(), reader.finality()), (6, Finality::Last));
    let all = events(&mut reader);
    assert_eq!((reader.warnings(), all.len()), (vec![], 2_209));
    let of = |process: u32| Scope::Process(ProcessKey(process));
    let is_quiet = |event: &Event, process: u32| matches!(event.what, What::RateChanged { reason: RateReason::Quiet, of: whose, .. } if whose == of(process));
    for process in [0, 1] {
        assert_eq!(all.iter().filter(|event| is_quiet(event, process)).count(), 1, "{process}");
    }
    let unwatched = |event: &&Event| {
        matches!(event.what, What::ChildUnwatched { process: ProcessKey(0), why: Unwatched::NotPython, .. })
    };
    assert_eq!(all.iter().filter(unwatched).count(), 1);

    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let snapshot = model.snapshot();
    let [parent, child] = &snapshot.processes[..] else { panic!("{} processes", snapshot.processes.len()) };
    assert_eq!((parent.target.pid.0, child.target.pid.0), (14_644, 14_657));
    assert_eq!((parent.children.len(), child.children.len(), parent.unwatched.not_python), (2, 0, 1));
    let gil = |process: &gilscope::model::snapshot::ProcessFigures| {
        let gil = process.interpreters[0].gil.as_ref().unwrap();
        (gil.handoffs, (gil.contention * 1e3) as u64, gil.lost.0 / 1_000_000)
    };
    // The looks are 5 to 8 ms apart, and see 417 ms; the waits, of which the records tell, come to less.
    assert_eq!((gil(parent), gil(child)), ((66, 172, 363), (0, 0, 0)));
    assert_eq!((parent.threads.len(), child.threads.len()), (3, 1));
    // What an instrument says of itself is of its process.
    assert!(parent.capture.health.ticks > 300 && child.capture.health.ticks > 200);
    assert_ne!(parent.capture.health.ticks, child.capture.health.ticks);
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}
