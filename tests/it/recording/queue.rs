//! The way to the file: it never waits, and what it drops is known.

use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gilscope::event::{Cpu, Event, Health, Scope, SwitchesEnd, ThreadKey, What};
use gilscope::recording::{Class, Existing, Offer, Reader, Recorder, RecordingError, RecordingFile, Writer, class};
use gilscope::time::MonoNs;

use crate::recording::stream::Stream;
use crate::recording::tools::events;

#[test]
fn what_is_offered_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.gscope");
    let writer = Writer::new(RecordingFile::create(&path, Existing::Refuse).unwrap()).unwrap();
    let mut recorder = Recorder::start(writer, 1 << 20).unwrap();
    let all: Vec<Event> = Stream::new(9, 6).take(50_000).collect();
    for event in &all {
        assert_eq!(recorder.offer(event.clone()), Offer::Taken);
    }
    let outcome = recorder.finish().unwrap();
    assert_eq!((outcome.written.events, outcome.dropped), (50_000, 0));
    assert_eq!(events(&mut Reader::open(&path).unwrap()), all);
}

#[test]
fn events_reach_the_file_within_a_second_though_no_more_come() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.gscope");
    let writer = Writer::new(RecordingFile::create(&path, Existing::Refuse).unwrap()).unwrap();
    let mut recorder = Recorder::start(writer, 1 << 16).unwrap();
    let all: Vec<Event> = Stream::new(9, 3).take(20).collect();
    all.iter().for_each(|event| assert_eq!(recorder.offer(event.clone()), Offer::Taken));
    recorder.flush();
    let start = Instant::now();
    let read = loop {
        let read = events(&mut Reader::open(&path).unwrap());
        if read.len() == all.len() || start.elapsed() > Duration::from_secs(5) {
            break read;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let took = start.elapsed();
    assert_eq!(read, all);
    assert!(took < Duration::from_secs(2), "{took:?}: a second, and what a loaded machine takes");
    recorder.finish().unwrap();
}

/// A recording that goes through a pipe to `read`, which runs in a thread.
pub fn pipe_to<T: Send + 'static>(read: impl FnOnce(File) -> T + Send + 'static) -> (RecordingFile, JoinHandle<T>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (opened, is_open) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || {
            let pipe = File::open(path).unwrap();
            is_open.recv().unwrap();
            read(pipe)
        }
    });
    let file = loop {
        match RecordingFile::create(&path, Existing::Refuse) {
            Ok(file) => break file,
            Err(RecordingError::NoListener { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    opened.send(()).unwrap();
    (file, reader)
}

/// A pipe that nobody empties for now is a disk that stands still.
#[test]
fn a_file_that_stands_still_costs_samples_and_nothing_else() {
    let (go_on, stand_still) = std::sync::mpsc::channel::<()>();
    let (file, reader) = pipe_to(move |mut pipe| {
        stand_still.recv().unwrap();
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut recorder = Recorder::start(Writer::new(file).unwrap(), 8_192).unwrap();
    let mut stream = Stream::new(9, 8);
    let mut offered = Vec::new();
    let mut switches = 0;
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    // Until the pipe and the queue are full, and then as much again.
    while recorder.dropped() < 20_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is dropped");
        let event = stream.next().unwrap();
        let start = Instant::now();
        recorder.offer(event.clone());
        longest = longest.max(start.elapsed());
        let switch = Event { at: event.at, what: What::SwitchedIn { thread: ThreadKey(9_999), cpu: Cpu(0) } };
        recorder.offer(switch);
        switches += 1;
        offered.push(event);
    }
    assert!(longest < Duration::from_millis(500), "the sampler waited {longest:?}");
    go_on.send(()).unwrap();
    // It flows again.
    for _ in 0..30_000 {
        let event = stream.next().unwrap();
        recorder.offer(event.clone());
        offered.push(event);
        if offered.len() % 1_000 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    let last = Event { at: offered.last().unwrap().at, what: What::CaptureEnded };
    recorder.offer(last.clone());
    let outcome = recorder.finish().unwrap();
    let read = events(&mut Reader::from_bytes(reader.join().unwrap()).unwrap());
    assert_eq!(read.last().map(|event| event.at), Some(last.at));
    assert!(read.contains(&last));
    let told = read.iter().rev().find_map(|event| match event.what {
        What::Health(health, _) => Some(health.dropped_events),
        _ => None,
    });
    assert_eq!(told, Some(outcome.dropped), "the recording knows what it misses");
    assert!(outcome.dropped >= 20_000);
    let is_standing = |event: &&Event| {
        !matches!(event.what, What::GilSample(_) | What::Usage { .. } | What::Relation { .. } | What::Health(..))
            && class(&event.what) != Class::Switch
    };
    let (mut there, mut missing) = (0, 0);
    for event in &read {
        match event.what {
            What::SwitchedIn { .. } => there += 1,
            What::SwitchesEnd { why: SwitchesEnd::Lost { records }, .. } => missing += records,
            _ => {}
        }
    }
    assert!(missing > 0, "switches were dropped");
    assert_eq!(there + missing, switches, "a hole among the switches is told, with its size");
    let definitions: Vec<&Event> = read.iter().filter(is_standing).collect();
    let mut wanted: Vec<&Event> = offered.iter().filter(is_standing).collect();
    wanted.push(&last);
    assert_eq!(definitions, wanted, "definitions are never dropped");
    assert!(read.is_sorted_by_key(|event| event.at));
}

#[test]
fn a_writer_that_failed_says_why_at_the_end() {
    let (file, reader) = pipe_to(drop);
    reader.join().unwrap();
    let mut recorder = Recorder::start(Writer::new(file).unwrap(), 1 << 16).unwrap();
    let mut at = MonoNs(0);
    for _ in 0..100_000 {
        at.0 += 10_000_000;
        if recorder.offer(Event { at, what: What::Health(Health::default(), Scope::Capture) }) == Offer::Stopped {
            break;
        }
        recorder.flush();
    }
    let error = recorder.finish().unwrap_err();
    assert!(matches!(error, RecordingError::Io { doing: "write", .. }), "{error}");
}
