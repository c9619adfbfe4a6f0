//! What a recording costs, and how fast one finds one's way in it: a made-up capture of ten million events.
//!
//! `cargo bench --bench recording [-- EVENTS [THREADS]]`. Prints a table; the aims are those of the design, not verdicts.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and ends where it cannot go on"
)]

#[path = "../it/recording/stream.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of what the tests share")]
mod stream;

use std::path::Path;
use std::time::{Duration, Instant};

use gilscope::event::Event;
use gilscope::model::Model;
use gilscope::recording::format::ChunkKind;
use gilscope::recording::{Existing, Item, Reader, RecordingFile, Replay, Start, Writer};
use gilscope::time::{MonoNs, Ns};

const EVENTS: usize = 10_000_000;
const THREADS: usize = 8;
const SEEKS: u64 = 200;
/// Copies of the model that a session keeps while it plays.
const CHECKPOINTS: usize = 128;

fn main() {
    // cargo bench says --bench.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let count = numbers.next().unwrap_or(EVENTS).max(1_000);
    let threads = numbers.next().unwrap_or(THREADS).max(2);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made-up.gscope");
    println!("{count} events of {threads} threads");
    let bare =
        timed(|| stream::Stream::new(1, threads).take(count).for_each(|event| drop(std::hint::black_box(event))));
    let ((), wrote) = timed(|| write(&path, count, threads));
    let bytes = std::fs::metadata(&path).expect("a file").len();
    let writing = wrote.saturating_sub(bare.1);
    row("bytes an event (aim 4)", format!("{:.2}", bytes as f64 / count as f64));
    row("file", format!("{:.1} MiB", bytes as f64 / 1_048_576.0));
    row("encode and write", rate(count, writing));

    let (mut reader, opened) = timed(|| Reader::open(&path).expect("a recording"));
    let (start, end) = reader.span().expect("events");
    let stored = |kind| {
        let of_kind = reader.chunks().iter().filter(|chunk| chunk.header.kind == kind);
        of_kind.map(|chunk| chunk.header.total_len()).sum::<u64>() as f64 / count as f64
    };
    row(
        "of that, events and keyframes",
        format!("{:.2}, {:.2}", stored(ChunkKind::Events), stored(ChunkKind::Keyframe)),
    );
    row("open: skim all headers", format!("{opened:.1?}, {} chunks", reader.chunks().len()));
    let (_, first) = timed(|| {
        let mut model = Model::new();
        let replay = Replay::new(Reader::open(&path).expect("a recording"), Start::Beginning);
        let until = start + Ns::SECOND;
        replay.take_while(|placed| placed.event.at <= until).for_each(|placed| model.apply(&placed.event));
        model.snapshot()
    });
    row("open and first screen (aim 1 s)", format!("{first:.1?}"));
    row("memory so far", memory());

    let (decoded, took) = timed(|| reader.events(Start::Beginning).filter(|item| is_event(item.as_ref().ok())).count());
    assert_eq!(decoded, count);
    row("decode", rate(count, took));

    let mut random = fastrand::Rng::with_seed(3);
    let seeks = (0..SEEKS).map(|_| {
        let to = MonoNs(random.u64(start.0..=end.0));
        let (_, took) = timed(|| {
            // All that is decoded on the way: from the keyframe, with what it restates, to the instant.
            let events = reader.events(Start::Time(to)).map(|item| item.expect("a whole recording"));
            events.take_while(|item| before(item, to)).count()
        });
        took
    });
    row("seek anywhere, to the state there (aim 100 ms)", spread(seeks.collect()));

    let mut checkpoints = Vec::new();
    let every = count.div_ceil(CHECKPOINTS) as u64;
    let (model, took) = timed(|| {
        let mut model = Model::new();
        for placed in Replay::new(Reader::open(&path).expect("a recording"), Start::Beginning) {
            if placed.position % every == 0 {
                checkpoints.push((placed.event.at, placed.position - 1, model.clone()));
            }
            model.apply(&placed.event);
        }
        model
    });
    row("decode and fold all (the whole report)", rate(count, took));
    row("memory with the checkpoints", memory());
    let whole = format!("{:?}", model.snapshot());
    let mut last = String::new();
    let seeks = (0..SEEKS).map(|n| {
        let to = if n == 0 { end } else { MonoNs(random.u64(start.0..=end.0)) };
        let (snapshot, took) = timed(|| {
            let nearest = checkpoints.partition_point(|(at, ..)| *at <= to).checked_sub(1);
            let (position, mut model) =
                nearest.map_or((0, Model::new()), |n| (checkpoints[n].1, checkpoints[n].2.clone()));
            let events = reader.events(Start::Event(position)).filter_map(|item| item.ok()?.into_event());
            events.take_while(|event| event.at <= to).for_each(|event| model.apply(&event));
            model.snapshot()
        });
        if n == 0 {
            last = format!("{snapshot:?}");
        }
        took
    });
    row("seek anywhere, to the figures there, once folded (aim 100 ms)", spread(seeks.collect()));
    assert_eq!(last, whole, "a seek to the end gives what folding all gave");
}

fn write(path: &Path, count: usize, threads: usize) {
    let mut writer = Writer::new(RecordingFile::create(path, Existing::Refuse).expect("a file")).expect("a writer");
    for event in stream::Stream::new(1, threads).take(count) {
        writer.push(&event).expect("room");
    }
    writer.finish().expect("room");
}

fn is_event(item: Option<&Item>) -> bool {
    matches!(item, Some(Item::Event(_)))
}

fn before(item: &Item, to: MonoNs) -> bool {
    match item {
        Item::Event(Event { at, .. }) => *at <= to,
        Item::Resumed(_) => true,
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn row(what: &str, figure: String) {
    println!("  {what:62} {figure}");
}

fn rate(count: usize, took: Duration) -> String {
    format!("{:.2?}, {:.1} M events/s", took, count as f64 / took.as_secs_f64() / 1e6)
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("median {:.1?}, p99 {:.1?}, longest {:.1?}", at(50), at(99), at(100))
}

/// The most memory this process has had so far.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?");
    format!("{} at most", peak.trim())
}
