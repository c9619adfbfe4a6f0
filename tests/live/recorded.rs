//! `gilscope record` on real processes: ended in order, killed, at a limit, and beside the program it started.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gilscope::recording::format::Finality;
use gilscope::recording::{Reader, Warning};
use serde_json::Value;

use crate::observed::gilscope;
use crate::support::child::{Child, Ended, eventually};
use crate::support::pythons::newest_with_gil;

const PATIENCE: Duration = Duration::from_secs(60);

/// Two threads that want the GIL all the time, until stdin closes.
const BUSY: &str = "\
import sys, threading
def busy():
    while True:
        sum(range(500))
for n in range(2):
    threading.Thread(target=busy, name=f'busy-{n}', daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
";

fn busy() -> Child {
    let mut child = Child::spawn(Command::new(&newest_with_gil().program).args(["-c", BUSY]));
    child.ready(PATIENCE);
    child
}

fn recorder(target: &Child, path: &Path, more: &[&str]) -> Command {
    let mut command = gilscope();
    command.args(["record", "-p", &target.pid().to_string(), "-o"]).arg(path).args(more);
    command
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill");
    assert!(status.success());
}

/// Waits until a recording has some chunks.
fn grown(path: &Path, to: u64) {
    eventually(PATIENCE, "the recording to grow", || {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.len() >= to).then_some(())
    });
}

fn report(path: &Path) -> Value {
    let ended = Child::spawn(gilscope().args(["report", "-f", "json"]).arg(path)).succeed(PATIENCE);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

fn assert_summary(ended: &Ended, path: &Path) {
    let said = &ended.stderr;
    assert!(said.contains("GIL"), "no verdict: {said}");
    assert!(said.contains(&format!("gilscope report {}", path.display())) && said.contains("none dropped"), "{said}");
    assert_eq!(ended.stdout, "");
}

#[test]
fn the_first_signal_ends_a_recording_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = busy();
    for name in ["INT", "TERM"] {
        let path = directory.path().join(format!("{name}.gscope"));
        let mut recorder = Child::spawn(&mut recorder(&target, &path, &[]));
        grown(&path, 2_000);
        signal(recorder.pid(), name);
        let ended = recorder.succeed(PATIENCE);
        assert_summary(&ended, &path);
        let reader = Reader::open(&path).expect("a recording");
        assert_eq!(reader.finality(), Finality::Last);
        assert_eq!(reader.warnings(), []);
        let report = report(&path);
        let process = &report["processes"][0];
        assert_eq!(process["target"]["pid"], target.pid());
        let names: Vec<_> = process["threads"].as_array().expect("threads").iter().map(|t| &t["name"]).collect();
        assert!(names.contains(&&Value::from("busy-0")) && names.contains(&&Value::from("busy-1")), "{names:?}");
        assert_eq!(process["capture"]["dropped_events"], 0);
    }
}

#[test]
fn a_killed_recorder_loses_at_most_its_last_second() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("killed.gscope");
    let target = busy();
    let mut recorder = recorder(&target, &path, &["-q"]).stdin(Stdio::null()).spawn().expect("a recorder");
    grown(&path, 200);
    // The first chunk was cut 0.7 s after the recording began.
    let seen = Instant::now();
    std::thread::sleep(Duration::from_millis(2_150));
    let lasted = seen.elapsed() + Duration::from_millis(700);
    recorder.kill().expect("killed");
    recorder.wait().expect("reaped");
    let reader = Reader::open(&path).expect("a recording");
    let (first, last) = reader.span().expect("events");
    let lost = lasted.saturating_sub(Duration::from_nanos(last.since(first).0));
    // A second, and what a loaded machine adds.
    assert!(lost < Duration::from_millis(1_500), "{lost:?} of {lasted:?} lost");
    assert!(reader.warnings().iter().all(|warning| matches!(warning, Warning::TruncatedTail { .. })));
    let ended = Child::spawn(gilscope().arg("report").arg(&path)).succeed(PATIENCE);
    assert!(ended.stdout.contains("busy-0"), "{}", ended.stdout);
    assert!(ended.stderr.contains("did not end in order"), "{}", ended.stderr);
    // Nobody holds the file any more: it may be replaced, if that is asked for.
    let refused = Child::spawn(&mut self::recorder(&target, &path, &["-d", "0.2"])).finish(PATIENCE);
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("exists already") && refused.stderr.contains("--force"), "{}", refused.stderr);
    Child::spawn(&mut self::recorder(&target, &path, &["-d", "0.2", "--force"])).succeed(PATIENCE);
    assert_eq!(Reader::open(&path).expect("a recording").finality(), Finality::Last);
}

#[test]
fn two_recorders_do_not_share_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("shared.gscope");
    let target = busy();
    let mut first = Child::spawn(&mut recorder(&target, &path, &[]));
    grown(&path, 16);
    let second = Child::spawn(&mut recorder(&target, &path, &["-d", "0.2", "--force"])).finish(PATIENCE);
    assert_eq!(second.status.code(), Some(2), "{}", second.stderr);
    assert!(second.stderr.contains("another gilscope"), "{}", second.stderr);
    signal(first.pid(), "INT");
    assert_summary(&first.succeed(PATIENCE), &path);
}

#[test]
fn a_full_disk_ends_the_recording_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("full.gscope");
    let target = busy();
    // 96 blocks of 512 bytes: a few seconds' worth.
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "ulimit -f 96; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_gilscope"),
        "record",
        "-d",
        "30",
        "-p",
    ]);
    limited.arg(target.pid().to_string()).arg("-o").arg(&path);
    let ended = Child::spawn(&mut limited).finish(PATIENCE);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no room left") && ended.stderr.contains("Free some space"), "{}", ended.stderr);
    assert!(ended.stderr.contains("full.gscope"), "{}", ended.stderr);
    let reader = Reader::open(&path).expect("a recording");
    assert!(reader.event_count() > 100);
    assert_eq!(reader.warnings(), []);
    let full = Child::spawn(&mut recorder(&target, Path::new("/dev/full"), &[])).finish(PATIENCE);
    assert_eq!(full.status.code(), Some(1), "{}", full.stderr);
    assert!(full.stderr.contains("no room left"), "{}", full.stderr);
}

#[test]
fn a_program_that_is_recorded_keeps_its_streams_its_signals_and_its_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = "\
import signal, sys, threading, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.stdin.readline())))
print('ready', flush=True)
print('to stderr', file=sys.stderr, flush=True)
while True:
    time.sleep(0.01)
";
    let mut child = gilscope()
        .current_dir(directory.path())
        .args(["record", "--"])
        .arg(&newest_with_gil().program)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gilscope");
    let mut said = [0; 6];
    child.stdout.as_mut().expect("stdout").read_exact(&mut said).expect("a line");
    assert_eq!(&said, b"ready\n");
    std::thread::sleep(Duration::from_millis(300));
    signal(child.id(), "TERM");
    child.stdin.take().expect("stdin").write_all(b"42\n").expect("a listener");
    let output = child.wait_with_output().expect("an end");
    let talk = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(42), "{talk}");
    assert_eq!(output.stdout, b"");
    assert!(talk.contains("to stderr\n"), "{talk}");
    let names: Vec<String> = std::fs::read_dir(directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("text"))
        .collect();
    let [name] = names.as_slice() else { panic!("one recording, not {names:?}") };
    assert!(talk.contains(&format!("gilscope report {name}")), "{talk}");
    let shape: String = name.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(shape.starts_with("gilscope-0") && shape.ends_with("-00000000T000000Z.gscope"), "{name}");
    let report = report(&directory.path().join(name));
    assert!(name.starts_with(&format!("gilscope-{}-", report["processes"][0]["target"]["pid"])), "{name}");

    // A program that cannot be started leaves no file behind.
    let path = directory.path().join("none.gscope");
    let ended =
        Child::spawn(gilscope().args(["record", "-o"]).arg(&path).args(["--", "/no/such/program"])).finish(PATIENCE);
    assert_eq!(ended.status.code(), Some(127), "{}", ended.stderr);
    assert!(!path.exists());
}
