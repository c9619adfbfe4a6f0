//! Replay cannot be told from live: the same events give the same figures, from wherever they are decoded.

use gilscope::event::{Event, What};
use gilscope::model::Model;
use gilscope::model::snapshot::Snapshot;
use gilscope::recording::{Reader, Replay, Start};
use gilscope::time::Ns;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{SECOND, fold};
use crate::recording::tools::recording;
use crate::sampling::Sampling;
use crate::simulator::{Script, Step, World};

fn step() -> impl Strategy<Value = Step> {
    let length = (50_000u64..30_000_000).prop_map(Ns);
    (0..7, length).prop_map(|(kind, length)| match kind {
        0 | 1 => Step::Bytecode(length),
        2 => Step::HoldInC(length),
        3 => Step::HoldAsleep(length),
        4 => Step::HoldQueued(length),
        5 => Step::Native(length),
        _ => Step::Sleep(length),
    })
}

fn script() -> impl Strategy<Value = Script> {
    (vec(step(), 1..4), 0u64..3, 3u64..40).prop_map(|(steps, born, lives)| Script {
        born: born * SECOND,
        ends: (born + lives) * SECOND,
        ..Script::new(&steps)
    })
}

/// What a sampler says of random threads over some seconds: several keyframes' worth.
fn capture() -> impl Strategy<Value = Vec<Event>> {
    (vec(script(), 1..5), 5u64..9, any::<u64>()).prop_map(|(mut scripts, seconds, seed)| {
        scripts[0].born = 0;
        let truth = World::play(seed, Ns(seconds * SECOND), &scripts);
        Sampling::at(Ns(4_000_000), seed).look(&truth)
    })
}

/// All that a snapshot says, to the last bucket.
fn all_of(model: &Model) -> String {
    format!("{:?}", model.snapshot())
}

fn replayed(bytes: &[u8], start: Start, mut model: Model) -> Model {
    let mut replay = Replay::new(Reader::from_bytes(bytes.to_vec()).unwrap(), start);
    for placed in &mut replay {
        model.apply(&placed.event);
    }
    assert!(replay.failure().is_none() && replay.reader().warnings().is_empty() && replay.lost() == 0);
    model
}

/// What holds at the snapshot's instant, apart from what is summed up over time.
fn standing(snapshot: &Snapshot) -> Vec<String> {
    let mut all = Vec::new();
    for process in &snapshot.processes {
        all.push(format!("{:?} {:?} {:?}", process.key, process.target, process.ending));
        for interpreter in &process.interpreters {
            let gil = interpreter.gil.as_ref().map(|gil| (gil.key, gil.switch_interval, gil.now));
            all.push(format!("{:?} {gil:?}", interpreter.id));
        }
        for thread in process.threads.iter().filter(|thread| thread.end.is_none()) {
            all.push(format!("{:?} {:?} {} {:?}", thread.key, thread.tid, thread.name, thread.interpreters));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn replay_cannot_be_told_from_live(events in capture()) {
        let live = all_of(&fold(&events));
        prop_assert_eq!(all_of(&replayed(&recording(&events), Start::Beginning, Model::new())), live);
    }

    #[test]
    fn from_a_checkpoint_comes_what_comes_from_the_start(events in capture(), at in any::<proptest::sample::Index>()) {
        let live = all_of(&fold(&events));
        let at = at.index(events.len() + 1);
        let checkpoint = fold(&events[..at]);
        let mut resumed = checkpoint.clone();
        events[at..].iter().for_each(|event| resumed.apply(event));
        prop_assert_eq!(&all_of(&resumed), &live);
        // The same with the rest from the recording, decoded from the keyframe before the checkpoint.
        let bytes = recording(&events);
        prop_assert_eq!(&all_of(&replayed(&bytes, Start::Event(at as u64), checkpoint)), &live);
    }

    #[test]
    fn every_keyframe_restates_what_is_in_force(events in capture()) {
        let bytes = recording(&events);
        let reader = Reader::from_bytes(bytes.clone()).unwrap();
        prop_assert!(!reader.keyframes().is_empty());
        for (number, chunk) in reader.keyframes().iter().enumerate() {
            let position = reader.chunks()[*chunk].header.position as usize;
            // At the keyframe itself, from nothing but what it restates.
            let mut replay = Replay::new(Reader::from_bytes(bytes.clone()).unwrap(), Start::Keyframe(number));
            let mut resumed = Model::new();
            let mut last = None;
            for placed in &mut replay {
                if placed.position > position as u64 {
                    last = Some(placed);
                    break;
                }
                resumed.apply(&placed.event);
            }
            prop_assert_eq!(standing(&resumed.snapshot()), standing(&fold(&events[..position]).snapshot()));
            prop_assert_eq!(last.map(|placed| placed.event), events.get(position).cloned());
            // And from there to the end: the same state, from the same events.
            let to_the_end = replayed(&bytes, Start::Keyframe(number), Model::new());
            prop_assert_eq!(standing(&to_the_end.snapshot()), standing(&fold(&events).snapshot()));
        }
    }
}

#[test]
fn what_is_recorded_is_not_too_little_to_prove_anything() {
    let scripts = [Script::new(&[Step::Bytecode(Ns(9_000_000))]), Script::new(&[Step::Sleep(Ns(3_000_000))])];
    let events = Sampling::at(Ns(4_000_000), 1).look(&World::play(1, Ns(6 * SECOND), &scripts));
    assert!(events.iter().filter(|event| matches!(event.what, What::GilSample(_))).count() > 1_000);
    let other = Sampling::at(Ns(4_000_000), 2).look(&World::play(2, Ns(6 * SECOND), &scripts));
    assert_ne!(all_of(&fold(&events)), all_of(&fold(&other)));
}
