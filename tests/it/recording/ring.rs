//! The last while of a capture in bounded memory: one scrubs back in it, and records after the fact.

use gilscope::event::{Event, What};
use gilscope::model::Model;
use gilscope::recording::{
    ChunkRing, Cut, Encoder, Existing, KeptPast, Reader, RecordingError, RecordingFile, RecordingState, Replay, Start,
};
use gilscope::time::MonoNs;

use crate::recording::stream::{Stream, hurried};
use crate::recording::tools::{events, events_from};

const LIMIT: usize = 20_000;

#[test]
fn a_ring_forgets_the_oldest_up_to_a_keyframe() {
    let all = hurried(2, 20_000);
    let mut encoder = Encoder::new().unwrap();
    let mut ring = ChunkRing::new(LIMIT);
    for event in &all {
        encoder.push(event).unwrap();
        for chunk in encoder.take_chunks() {
            ring.push(chunk);
            assert!(ring.held() <= LIMIT);
        }
    }
    encoder.cut(Cut::End).unwrap();
    encoder.take_chunks().into_iter().for_each(|chunk| ring.push(chunk));
    let mut reader = ring.reader().unwrap();
    let kept = events(&mut reader);
    assert!(kept.len() > 500 && kept.len() < all.len() / 2, "{} of {}", kept.len(), all.len());
    assert_eq!(kept, all[all.len() - kept.len()..]);
    assert_eq!(reader.warnings(), []);
    assert!(reader.provenance().capture.is_some(), "where it comes from is not forgotten");
    let (first, last) = ring.span().unwrap();
    assert!(first <= kept[0].at && last == all.last().unwrap().at);
}

#[test]
fn a_chunk_larger_than_the_ring_leaves_it_empty_and_the_next_keyframe_fills_it() {
    let all = hurried(2, 3_000);
    let mut encoder = Encoder::new().unwrap();
    let mut ring = ChunkRing::new(10);
    for event in &all {
        encoder.push(event).unwrap();
        encoder.take_chunks().into_iter().for_each(|chunk| ring.push(chunk));
        assert!(ring.held() <= 10);
    }
    assert_eq!(events(&mut ring.reader().unwrap()), []);
}

#[test]
fn what_is_kept_can_be_had_again_from_any_event() {
    let all = hurried(2, 20_000);
    let mut past = KeptPast::new(LIMIT).unwrap();
    assert_eq!(past.span(), None);
    for some in all.chunks(33) {
        past.keep(some).unwrap();
    }
    assert_eq!(past.position(), all.len() as u64);
    assert_eq!(past.span().unwrap().1, all.last().unwrap().at);
    let oldest = past.replay(Start::Beginning).unwrap();
    let first = oldest.reader().chunks().iter().find(|chunk| chunk.header.events() > 0).unwrap().header.position;
    assert!(first > 0);
    let from = all.len() as u64 - 700;
    let later: Vec<_> = past.replay(Start::Event(from)).unwrap().collect();
    assert_eq!(later.iter().map(|placed| placed.event.clone()).collect::<Vec<_>>(), all[from as usize..]);
    assert_eq!(
        later.iter().map(|placed| placed.position).collect::<Vec<_>>(),
        (from + 1..=all.len() as u64).collect::<Vec<_>>()
    );
    // From before the oldest: what is in force there, then the rest.
    let whole: Vec<_> = past.replay(Start::Event(0)).unwrap().collect();
    assert!(matches!(whole[0].event.what, What::CaptureStarted(_)));
    let restated = whole.iter().take_while(|placed| placed.position == first).count();
    assert_eq!(whole[restated..].iter().map(|placed| placed.event.clone()).collect::<Vec<_>>(), all[first as usize..]);
    // What is kept later does not show in a replay that was begun before.
    let before = past.replay(Start::Event(from)).unwrap();
    past.keep(&[Event { at: all.last().unwrap().at, what: What::CaptureEnded }]).unwrap();
    assert_eq!(before.count(), 700);
}

#[test]
fn a_recording_begun_late_has_the_past_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late.gscope");
    let all = hurried(2, 20_000);
    let mut past = KeptPast::new(LIMIT).unwrap();
    past.keep(&all[..15_000]).unwrap();
    assert!(past.recording().is_none() && past.end_recording().unwrap().is_none());
    past.record(RecordingFile::create(&path, Existing::Refuse).unwrap()).unwrap();
    for some in all[15_000..18_000].chunks(50) {
        past.keep(some).unwrap();
    }
    assert_eq!(past.recording().unwrap().state, RecordingState::Going);
    let outcome = past.end_recording().unwrap().unwrap();
    assert_eq!(outcome.dropped, 0);
    assert!(past.recording().is_none());
    past.keep(&all[18_000..]).unwrap();

    let mut reader = Reader::open(&path).unwrap();
    let read = events(&mut reader);
    assert_eq!(outcome.written.events, read.len() as u64);
    assert_eq!(outcome.written.bytes, std::fs::metadata(&path).unwrap().len());
    assert!(read.len() > 4_000);
    assert_eq!(read, all[18_000 - read.len()..18_000]);
    assert_eq!(reader.warnings(), []);
    assert_eq!(reader.finality(), gilscope::recording::format::Finality::Last);
    let mut model = Model::new();
    Replay::new(Reader::open(&path).unwrap(), Start::Beginning).for_each(|placed| model.apply(&placed.event));
    assert_eq!(model.snapshot().processes[0].threads.len(), 3, "threads are known though they began before");
    // A second one, later, from the same past.
    let again = directory.path().join("again.gscope");
    past.record(RecordingFile::create(&again, Existing::Refuse).unwrap()).unwrap();
    past.end_recording().unwrap();
    let read = events(&mut Reader::open(&again).unwrap());
    assert_eq!(read, all[all.len() - read.len()..]);
}

#[test]
fn a_recording_that_fails_says_why_and_the_past_goes_on() {
    let all: Vec<Event> = Stream::new(4, 6).take(30_000).collect();
    let mut past = KeptPast::new(1 << 20).unwrap();
    let (ours, theirs) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&theirs));
    past.record(RecordingFile::create(path.as_ref(), Existing::Refuse).unwrap()).unwrap();
    drop(ours);
    for some in all.chunks(100) {
        past.keep(some).unwrap();
    }
    let error = past.end_recording().unwrap_err();
    assert!(matches!(error, RecordingError::Io { doing: "write", .. }), "{error}");
    assert_eq!(past.replay(Start::Event(0)).unwrap().count(), all.len());
}

/// A session keeps its past on a thread of its own.
#[test]
fn the_past_and_its_replays_go_from_thread_to_thread() {
    let all = hurried(2, 2_000);
    let mut past = KeptPast::new(1 << 20).unwrap();
    past.keep(&all).unwrap();
    let (past, count) = std::thread::spawn(move || {
        let replay = past.replay(Start::Event(500)).unwrap();
        (past, std::thread::spawn(move || replay.count()).join().unwrap())
    })
    .join()
    .unwrap();
    assert_eq!((past.position(), count), (2_000, 1_500));
}

#[test]
fn one_finds_the_state_at_any_time() {
    let all = hurried(6, 5_000);
    let mut past = KeptPast::new(1 << 20).unwrap();
    past.keep(&all).unwrap();
    let mut replay = past.replay(Start::Beginning).unwrap();
    assert_eq!(replay.by_ref().count(), all.len());
    let bytes = crate::recording::tools::recording(&all);
    let mut reader = Reader::from_bytes(bytes).unwrap();
    for n in (0..all.len()).step_by(499) {
        let read = events_from(&mut reader, Start::Time(all[n].at));
        let first = all.len() - read.len();
        assert_eq!(read, all[first..]);
        assert!(all[..first].iter().all(|event| event.at < all[n].at), "an event of that time is missing");
        assert!(all[n].at.since(all[first].at).0 < 17_000_000_000, "begun too early");
    }
    assert_eq!(events_from(&mut reader, Start::Time(MonoNs(0))), all);
}
