//! What the cores do, in recordings: what was read last, and what each thread may use, is known from every keyframe.

use gilscope::event::{CoreTotals, Cpu, Event, ProcessKey, Role, ThreadInfo, ThreadKey, What};
use gilscope::model::Model;
use gilscope::recording::format::Finality;
use gilscope::recording::{Encoder, Reader, Start};
use gilscope::time::{MonoNs, Ns};

use crate::recording::tools::{events, file_of, recording, resumed};

#[test]
fn a_keyframe_restates_the_newest_reading_and_what_threads_may_use() {
    let read = |busy: u64| What::CoresRead {
        tick: Ns::from_millis(10),
        cores: vec![CoreTotals { cpu: Cpu(3), idle: 5, busy, stolen: 1 }],
    };
    let found = |thread: u32| What::ThreadFound {
        thread: ThreadKey(thread),
        info: Box::new(ThreadInfo {
            process: ProcessKey(0),
            tid: None,
            name: String::new(),
            role: Role::Python,
            started: MonoNs(0),
        }),
    };
    let may_use = |thread: u32, cpu: u16| What::AffinityKnown { thread: ThreadKey(thread), cpus: vec![Cpu(cpu)] };
    let told = [
        read(1),
        found(0),
        found(1),
        may_use(0, 1),
        may_use(1, 2),
        read(2),
        may_use(0, 3),
        What::ThreadEnded { thread: ThreadKey(1) },
    ];
    let mut encoder = Encoder::new().unwrap();
    for (what, n) in told.into_iter().zip(1u64..) {
        encoder.push(&Event { at: MonoNs(n * 1_000), what }).unwrap();
    }
    encoder.restate().unwrap();
    let mut reader = Reader::from_bytes(file_of(&encoder.take_chunks())).unwrap();
    let standing: Vec<What> =
        resumed(&mut reader, Start::Keyframe(0))[0].standing.iter().map(|event| event.what.clone()).collect();
    assert_eq!(standing, [found(0), read(2), may_use(0, 3)]);
}

/// `v1.6-cores.gscope`: a thread that computes for 6 ms of every 20 on core 0, and is sent to core 1 after about a second, beside
/// other programs; 3 s at 200 looks a second.
#[test]
fn cores_of_format_1_6_are_read_as_they_were_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.6-cores.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!((reader.minor(), reader.finality()), (6, Finality::Last));
    let all = events(&mut reader);
    assert_eq!(reader.warnings(), []);
    let readings: Vec<usize> = all
        .iter()
        .filter_map(|event| match &event.what {
            What::CoresRead { cores, .. } => Some(cores.len()),
            _ => None,
        })
        .collect();
    assert_eq!((all.len(), readings), (2_756, vec![2; 14]));
    let mut model = Model::new();
    all.iter().for_each(|event| model.apply(event));
    let process = &model.snapshot().processes[0];
    assert_eq!((process.target.cpus_allowed.clone(), process.cores_allowed()), (vec![Cpu(0)], vec![Cpu(1)]));
    let [first, second] = &process.cores[..] else { panic!("{:?}", process.cores) };
    for (core, own) in [(first, 250), (second, 297)] {
        let (busy, other) = (core.busy.unwrap(), core.other.unwrap());
        assert_eq!(core.target_on_cpu.unwrap().0 / 1_000_000, own);
        assert!(busy > Ns::from_millis(2_000) && busy < Ns::from_millis(3_000), "{core:?}");
        // Both are known to a tick at each end.
        let own = core.target_on_cpu.unwrap();
        assert!((own + other).0.abs_diff(busy.0) <= 40_000_000, "{core:?}");
    }
    assert_eq!(events(&mut Reader::from_bytes(recording(&all)).unwrap()), all);
}
