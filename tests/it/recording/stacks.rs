//! Stacks in recordings: definitions are there from every keyframe on, and hostile ones are bounded.

use gilscope::event::*;
use gilscope::recording::{Class, Reader, Start};
use gilscope::time::{MonoNs, Ns};

use crate::recording::tools::{events, events_from, recording, resumed};

const PROCESS: ProcessKey = ProcessKey(0);
const GIL: GilKey = GilKey(0);

fn timed(ways: impl IntoIterator<Item = What>) -> Vec<Event> {
    let at = |n: usize| MonoNs(9_000_000_000 + n as u64 * 1_000_000);
    ways.into_iter().enumerate().map(|(n, what)| Event { at: at(n), what }).collect()
}

fn frame(key: u32, file: &str, function: &str, line: u32) -> What {
    let info = Frame { file: file.to_owned(), function: function.to_owned(), line };
    What::FrameFound { frame: FrameKey(key), info: Box::new(info) }
}

fn stack(key: u32, frames: &[u32]) -> What {
    What::StackFound { stack: StackKey(key), frames: frames.iter().copied().map(FrameKey).collect() }
}

fn sampled(at: u64, stack: Option<u32>, cause: SampleCause) -> What {
    let instant = MonoNs(9_000_000_000 + at * 1_000_000);
    What::StackSampled { gil: GIL, thread: ThreadKey(3), instant, stack: stack.map(StackKey), cause }
}

fn one_of_each() -> Vec<Event> {
    let random = SampleCause::Random { every: Ns(8_000_000) };
    timed([
        frame(0, "/srv/app.py", "Worker.run.<locals>.burn", 41),
        frame(1, "/srv/app.py", "", 0),
        frame(2, "<frozen importlib._bootstrap>", "größer", u32::MAX),
        stack(0, &[0, 1]),
        stack(1, &[]),
        sampled(4, Some(0), random),
        sampled(5, Some(1), SampleCause::LongHold),
        sampled(6, None, random),
        What::StacksMissing { process: PROCESS, why: StacksMissing::NotAsked },
        What::StacksMissing { process: PROCESS, why: StacksMissing::UnknownLayout },
        What::StacksMissing { process: PROCESS, why: StacksMissing::Unreadable },
    ])
}

/// `v1.4-stacks.gscope`: these very events, as the first gilscope with this format wrote them.
#[test]
fn format_1_4_is_read_as_it_was_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.4-stacks.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!(reader.minor(), 4);
    assert_eq!(events(&mut reader), one_of_each());
    assert_eq!(events(&mut Reader::from_bytes(recording(&one_of_each())).unwrap()), one_of_each());
    assert_eq!(reader.warnings(), []);
    assert_eq!((reader.count(Class::Definition), reader.count(Class::Instrument)), (5, 6));
}

fn waiter(at: u64, stack: Option<u32>, stands_for: u64) -> What {
    let instant = MonoNs(9_000_000_000 + at * 1_000_000);
    let stack = stack.map(StackKey);
    What::WaiterSampled { gil: GIL, thread: ThreadKey(4), instant, stack, stands_for: Ns(stands_for) }
}

fn of_waiters() -> Vec<Event> {
    timed([
        frame(0, "/srv/app.py", "Worker.reply", 12),
        stack(0, &[0]),
        waiter(2, Some(0), 32_000_000),
        waiter(3, None, u64::MAX),
        waiter(4, Some(7), 0),
    ])
}

/// `v1.5-waiters.gscope`: these very events, as the first gilscope with this format wrote them.
#[test]
fn format_1_5_is_read_as_it_was_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.5-waiters.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!(reader.minor(), 5);
    assert_eq!(events(&mut reader), of_waiters());
    assert_eq!(events(&mut Reader::from_bytes(recording(&of_waiters())).unwrap()), of_waiters());
    assert_eq!(reader.warnings(), []);
    assert_eq!((reader.count(Class::Definition), reader.count(Class::Instrument)), (2, 3));
}

#[test]
fn definitions_are_restated_at_keyframes_and_samples_are_not() {
    let mut ways = vec![frame(0, "a.py", "f", 1), frame(1, "a.py", "g", 2), stack(0, &[0, 1])];
    ways.extend((0..20_000).map(|n| sampled(n, Some(0), SampleCause::LongHold)));
    // A key that is told again keeps its meaning.
    ways.push(frame(0, "b.py", "other", 9));
    ways.extend((0..20_000).map(|n| sampled(n, None, SampleCause::LongHold)));
    ways.push(waiter(1, Some(0), 1));
    let all = timed(ways);
    let mut reader = Reader::from_bytes(recording(&all)).unwrap();
    let keyframes = reader.keyframes().len();
    assert!(keyframes > 1, "{keyframes}");
    for keyframe in [0, keyframes - 1] {
        let resumed = resumed(&mut reader, Start::Keyframe(keyframe));
        assert_eq!(resumed[0].standing, all[..3], "keyframe {keyframe}");
        let rest = events_from(&mut reader, Start::Keyframe(keyframe));
        assert_eq!(rest, all[all.len() - rest.len()..]);
    }
}

/// A keyframe has to be able to hold what it restates, whatever was defined.
#[test]
fn definitions_without_end_do_not_make_keyframes_without_end() {
    let long = "x".repeat(16_000);
    let ways = (0..1_500).map(|n| match n % 3 {
        0 => frame(n, &long, &long, n),
        1 => stack(n, &vec![n; 30_000]),
        _ => sampled(u64::from(n), Some(n), SampleCause::LongHold),
    });
    let mut all: Vec<Event> = timed(ways);
    for (n, event) in all.iter_mut().enumerate() {
        event.at = MonoNs(9_000_000_000 + n as u64 * 40_000_000);
    }
    let mut reader = Reader::from_bytes(recording(&all)).unwrap();
    assert_eq!(events(&mut reader), all);
    let last = reader.keyframes().len() - 1;
    let standing = &resumed(&mut reader, Start::Keyframe(last))[0].standing;
    assert!((50..500).contains(&standing.len()), "{}", standing.len());
}
