//! The commands that read recordings, as they are typed: what they say, where, and with what status.

use std::path::Path;
use std::process::{Command, Output};

use gilscope::recording::format::{MAJOR, MINOR, preamble};
use serde_json::Value;

use crate::recording::stream::{Stream, hurried};
use crate::recording::tools::recording;

fn gilscope(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gilscope")).args(args).output().unwrap()
}

fn on(command: &str, path: &Path) -> Output {
    gilscope(&[command, path.to_str().unwrap()])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn what_cannot_be_read_ends_with_5_and_says_what_to_type() {
    let files = Files::new();
    let pipe = files.0.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let cases = [
        (files.with("empty.gscope", ""), "is empty", "gilscope record"),
        (files.with("other.gscope", "a text"), "not a gilscope recording", "gilscope record"),
        (files.with("new.gscope", preamble(MAJOR + 4, 2)), "format 5.2", "Get gilscope 5.0 or newer"),
        (files.0.path().to_owned(), "is a directory", "Save it to a file"),
        (pipe, "is a pipe", "Save it to a file"),
        ("/dev/null".into(), "is a device", "Save it to a file"),
        (files.0.path().join("none"), "No such file", "Check the path"),
    ];
    for (path, what, next) in &cases {
        for command in ["report", "dump"] {
            let output = on(command, path);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(5), "{command} {}: {said}", path.display());
            assert!(said.contains(what) && said.contains(next), "{command}: {said}");
            assert!(said.contains(path.to_str().unwrap()), "{command} does not name the file: {said}");
            assert!(output.stdout.is_empty());
        }
    }
    // Whole, but without a single event: there is nothing to report on.
    let output = on("report", &files.with("bare.gscope", preamble(MAJOR, MINOR)));
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("no observation of a process"));
}

#[test]
fn a_report_on_a_recording_is_the_report_of_its_events() {
    let files = Files::new();
    let all: Vec<_> = Stream::new(8, 4).take(20_000).collect();
    let path = files.with("whole.gscope", recording(&all));
    let output = gilscope(&["report", "-f", "json", path.to_str().unwrap()]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let live = gilscope::report::json(&crate::model::fold(&all).snapshot(), gilscope::findings::Allowed::NONE).unwrap();
    assert_eq!(said, live);
    let told = text(&on("report", &path).stdout);
    assert!(told.contains("The GIL is your problem") && told.contains("worker-1"), "{told}");
}

#[test]
fn a_damaged_recording_is_reported_on_with_a_warning() {
    let files = Files::new();
    let all = hurried(8, 2_000);
    let mut bytes = recording(&all);
    let (length, middle) = (bytes.len(), bytes.len() / 2);
    bytes[middle] ^= 0x40;
    let output = on("report", &files.with("damaged.gscope", &bytes[..length - 9]));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: ") && said.contains("lost to damage"), "{said}");
    assert!(said.contains("ends inside a chunk") && said.contains("did not end in order"), "{said}");
    assert!(text(&output.stdout).contains("worker-1"));
}

#[test]
fn a_dump_has_every_event_on_a_line_of_its_own() {
    let files = Files::new();
    let all = hurried(8, 2_000);
    let output = on("dump", &files.with("whole.gscope", recording(&all)));
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<&Value> = lines.iter().filter(|line| line.get("event").is_some()).collect();
    assert_eq!(told.len(), all.len());
    for (number, (line, event)) in told.iter().zip(&all).enumerate() {
        let wanted = serde_json::json!({"event": number, "at": event.at, "what": event.what});
        assert_eq!(**line, wanted);
    }
    assert_eq!(lines[0], serde_json::json!({"file": {"major": MAJOR, "minor": MINOR}}));
    // Whoever has seen enough of it is no failure.
    let path = files.with("long.gscope", recording(&Stream::new(1, 4).take(20_000).collect::<Vec<_>>()));
    let piped = Command::new("sh")
        .args(["-c", "\"$0\" dump \"$1\" | head -n 1; true", env!("CARGO_BIN_EXE_gilscope"), path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(text(&piped.stderr), "");
    assert_eq!(text(&piped.stdout).lines().count(), 1);
}

#[test]
fn what_would_not_fit_together_is_a_usage_error() {
    for args in [
        &["report"][..],
        &["report", "a.gscope", "-p", "1"],
        &["report", "a.gscope", "-d", "3"],
        &["report", "a.gscope", "--rate", "100"],
        &["report", "a.gscope", "--", "true"],
        &["record"],
        &["record", "-p", "1", "--", "true"],
        &["record", "-p", "1", "--force"],
        &["record", "-p", "0"],
        &["dump"],
    ] {
        let output = gilscope(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    }
    let nobody = gilscope(&["record", "-p", "2147483646", "-o", "/dev/null"]);
    assert_eq!(nobody.status.code(), Some(6), "{}", text(&nobody.stderr));
}

/// A few kilobytes that unpack to eight million events, read with little memory to spare.
#[test]
fn a_hostile_file_is_read_in_bounded_memory() {
    let files = Files::new();
    let path = files.with("bomb.gscope", bomb(1));
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 300000; exec \"$0\" report \"$1\"", env!("CARGO_BIN_EXE_gilscope")])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("busy.py"));
}

/// A good recording, then chunks that unpack to 8 MiB each, of events that are each one byte.
fn bomb(count: u64) -> Vec<u8> {
    use gilscope::recording::format::{Codec, MAX_CONTENT};
    const EVENTS: usize = MAX_CONTENT / 2;
    let made = crate::recording::tools::chunks(&hurried(8, 100));
    let mut bytes = crate::recording::tools::file_of(&made);
    let last = *made.last().unwrap().header();
    let content = [&last.last.0.to_le_bytes()[..], &vec![0x80; EVENTS]].concat();
    let stored = zstd::bulk::compress(&content, 3).unwrap();
    let events = EVENTS as u64;
    let mut position = last.position + last.events();
    for sequence in 0..count {
        let header = gilscope::recording::format::ChunkHeader {
            codec: Codec::Zstd,
            content_len: content.len() as u32,
            sequence: last.sequence + 1 + sequence,
            position,
            counts: [0, events as u32, 0, 0, 0, 0, 0, 0],
            ..last
        };
        position += events;
        bytes.extend(crate::recording::tools::chunk_of(header, &stored));
    }
    bytes
}
