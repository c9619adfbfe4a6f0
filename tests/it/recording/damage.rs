//! Files cut short and bits flipped: what is whole is read, what is not is said, and nothing is made up.

use gilscope::event::{Event, What};
use gilscope::model::Model;
use gilscope::recording::format::{ChunkKind, PREAMBLE_LEN};
use gilscope::recording::{Reader, Replay, Start, Warning};

use crate::recording::stream::hurried;
use crate::recording::tools::{chunks, events, file_of, recording, resumed};

/// Some twenty chunks with keyframes between them, in some KB.
fn small() -> Vec<Event> {
    hurried(5, 1_000)
}

#[test]
fn a_file_cut_anywhere_keeps_every_chunk_before_the_cut() {
    let all = small();
    let made = chunks(&all);
    let bytes = file_of(&made);
    assert!(made.iter().filter(|chunk| chunk.header().kind == ChunkKind::Keyframe).count() >= 3);
    // Where each chunk ends, and how many events are whole by then.
    let mut ends = vec![(PREAMBLE_LEN, 0)];
    for chunk in &made {
        let (end, whole) = *ends.last().unwrap();
        ends.push((end + chunk.bytes().len(), whole + chunk.observed() as usize));
    }
    for length in 1..=bytes.len() {
        let cut = bytes[..length].to_vec();
        let mut reader = Reader::from_bytes(cut).unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        let read = events(&mut reader);
        let whole = ends.iter().rev().find(|(end, _)| *end <= length).map_or(0, |(_, whole)| *whole);
        assert_eq!(read, all[..whole], "cut at {length}");
        let between = ends.iter().any(|(end, _)| *end == length);
        assert_eq!(reader.warnings().is_empty(), between, "cut at {length}: {:?}", reader.warnings());
    }
    assert_eq!(ends.last().unwrap().1, all.len());
}

#[test]
fn a_file_that_grows_again_is_read_on() {
    let all = small();
    let bytes = recording(&all);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grows.gscope");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    let before = events(&mut reader).len();
    assert!(before < all.len() && matches!(reader.warnings()[..], [Warning::TruncatedTail { .. }]));
    std::fs::write(&path, &bytes).unwrap();
    reader.refresh().unwrap();
    assert_eq!(events(&mut reader), all);
    assert_eq!(reader.warnings(), []);
}

#[test]
fn a_flipped_bit_costs_no_more_than_the_way_to_the_next_keyframe() {
    const POSITIONS: usize = 10_000;
    let all = small();
    let bytes = recording(&all);
    let longest_way = {
        let reader = Reader::from_bytes(bytes.clone()).unwrap();
        let mut at: Vec<u64> = reader.keyframes().iter().map(|n| reader.chunks()[*n].header.position).collect();
        at.insert(0, 0);
        at.push(all.len() as u64);
        // A damaged keyframe breaks the way before it and the one behind it.
        at.windows(3).map(|w| w[2] - w[0]).max().unwrap() as usize
    };
    assert!(longest_way < all.len() / 2);
    let mut random = fastrand::Rng::with_seed(17);
    let (mut lossless, mut lossy) = (0, 0);
    for number in 0..POSITIONS {
        let bit = random.usize(0..bytes.len() * 8);
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut reader = match Reader::from_bytes(flipped.clone()) {
            Ok(reader) => reader,
            // Only what says what the file is can make all of it unreadable.
            Err(error) => {
                assert!(bit / 8 < 8, "bit {bit}: {error}");
                continue;
            }
        };
        let read = events(&mut reader);
        assert!(!reader.warnings().is_empty(), "bit {bit} went unnoticed");
        // What is read is the beginning and the end of what was written; what is missing was told.
        let front = read.iter().zip(&all).take_while(|(a, b)| a == b).count();
        let back = read.len() - front;
        assert_eq!(read[front..], all[all.len() - back..], "bit {bit}: something was made up");
        let lost = all.len() - read.len();
        assert!(lost <= longest_way, "bit {bit}: {lost} events lost");
        if lost == 0 {
            lossless += 1;
        } else {
            lossy += 1;
            let told: u64 = reader
                .warnings()
                .iter()
                .map(|warning| match warning {
                    Warning::Unreadable { events, .. } => *events,
                    _ => 0,
                })
                .sum();
            let at_the_end = back == 0;
            assert!(told == lost as u64 || at_the_end, "bit {bit}: {told} of {lost} lost events told");
        }
        // And it folds.
        if number % 8 > 0 {
            continue;
        }
        let mut model = Model::new();
        let replay = Replay::new(Reader::from_bytes(flipped).unwrap(), Start::Beginning);
        replay.for_each(|placed| model.apply(&placed.event));
        assert_eq!(model.snapshot().processes.len(), 1, "bit {bit}");
    }
    assert!(lossless > 50 && lossy > 1_000, "{lossless} and {lossy}: not a test of both");
}

#[test]
fn missing_and_added_bytes_in_the_middle_are_got_over() {
    let all = small();
    let made = chunks(&all);
    let bytes = file_of(&made);
    let middle = bytes.len() / 2;
    let mut cases = Vec::new();
    for count in [1, 7, 99, 100, 101, 500] {
        let mut without = bytes.clone();
        without.drain(middle..middle + count);
        cases.push(without);
        let mut more = bytes.clone();
        more.splice(middle..middle, (0..count).map(|n| n as u8));
        cases.push(more);
        let mut inverted = bytes.clone();
        inverted[middle..middle + count].iter_mut().for_each(|byte| *byte = !*byte);
        cases.push(inverted);
    }
    for (number, case) in cases.into_iter().enumerate() {
        let mut reader = Reader::from_bytes(case).unwrap();
        let read = events(&mut reader);
        assert!(!reader.warnings().is_empty(), "case {number}");
        assert_eq!(read.last(), all.last(), "case {number}: the end is whole");
        assert!(read.len() > all.len() / 2, "case {number}: {} of {}", read.len(), all.len());
        assert_eq!(resumed(&mut reader, Start::Beginning).len(), 1, "case {number}");
    }
}

#[test]
fn what_ended_in_a_damaged_part_has_ended_behind_it() {
    let mut all = hurried(5, 900);
    // One thread ends, and another one begins, somewhere in the middle.
    let gone = all.iter().find_map(|event| match &event.what {
        What::ThreadFound { thread, .. } => Some(*thread),
        _ => None,
    });
    let gone = gone.unwrap();
    let at = all[400].at;
    all.retain(|event| {
        let mine = match &event.what {
            What::Usage { thread, .. } | What::Relation { thread, .. } => *thread == gone,
            _ => false,
        };
        event.at < at || !mine
    });
    let place = all.iter().position(|event| event.at >= at).unwrap();
    all.insert(place, Event { at, what: What::ThreadEnded { thread: gone } });
    let made = chunks(&all);
    let holds_it = |position: u64, events: u64| (position..position + events).contains(&(place as u64));
    let mut bytes = file_of(&[]);
    for chunk in &made {
        let mut chunk_bytes = chunk.bytes().to_vec();
        if chunk.header().kind == ChunkKind::Events && holds_it(chunk.header().position, chunk.observed()) {
            *chunk_bytes.last_mut().unwrap() ^= 1;
        }
        bytes.extend_from_slice(&chunk_bytes);
    }
    let mut replay = Replay::new(Reader::from_bytes(bytes).unwrap(), Start::Beginning);
    let told: Vec<Event> = replay.by_ref().map(|placed| placed.event).collect();
    assert!(replay.lost() > 0);
    assert!(told.contains(&all[0]) && told.last() == all.last());
    let endings: Vec<&Event> = told.iter().filter(|event| matches!(event.what, What::ThreadEnded { .. })).collect();
    assert_eq!(endings.len(), 1);
    assert_eq!(endings[0].what, What::ThreadEnded { thread: gone });
    assert!(endings[0].at >= at);
    assert!(told.is_sorted_by_key(|event| event.at), "times go back");
    // Nobody else has ended for it.
    let mut model = Model::new();
    told.iter().for_each(|event| model.apply(event));
    let process = &model.snapshot().processes[0];
    assert_eq!(process.threads.iter().filter(|thread| thread.end.is_some()).count(), 1);
    assert!(process.ending.is_none());
    assert!(process.capture.coverage < 0.95, "the damaged part counts as not observed: {}", process.capture.coverage);
}
