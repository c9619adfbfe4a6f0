//! One screen in place of the dashboard: `--once` and `--snapshot`, of a running process and of a recording.

use std::fs;

use unicode_width::UnicodeWidthStr;

use crate::command::{Desk, PATIENCE, run_to};
use crate::observed::gilscope;
use crate::support::child::Child;
use crate::support::pythons::newest_with_gil;

/// Two threads that want the GIL all the time.
const BUSY: &str = "\
import threading, time
def busy():
    while True:
        sum(range(500))
for n in range(2):
    threading.Thread(target=busy, name=f'busy-{n}', daemon=True).start()
print('ready', flush=True)
time.sleep(1000)
";

/// A screen of this size, that says all of this, and has nothing for a terminal in it.
fn says(screen: &str, width: usize, height: usize, all: &[&str]) {
    assert_eq!(screen.lines().count(), height, "{screen}");
    assert!(screen.lines().all(|line| line.width() <= width), "{screen}");
    assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
    for what in all {
        assert!(screen.contains(what), "no {what} in\n{screen}");
    }
}

#[test]
fn one_screen_is_taken_of_what_runs_and_of_what_was_recorded() {
    let desk = Desk::new();
    let mut target = Child::spawn(newest_with_gil().command().args(["-c", BUSY]));
    target.ready(PATIENCE);
    let pid = target.pid().to_string();
    let live = run_to(0, gilscope().args(["attach", &pid, "--once", "-d", "1", "--size", "110x30"]));
    says(&live.stdout, 110, 30, &["busy-0", "busy-1", &pid, "load", "Overview"]);

    let file = desk.path("busy.gscope");
    run_to(0, gilscope().args(["record", "-q", "-d", "2", "-p", &pid, "-o"]).arg(&file));
    let replay = |arguments: &[&str]| run_to(0, gilscope().arg("replay").arg(&file).args(arguments));
    says(&replay(&["--once"]).stdout, 120, 36, &["busy-0", "busy-1", "GIL"]);
    let findings = replay(&["--once", "--view", "findings", "--size", "80x24"]).stdout;
    says(&findings, 80, 24, &["The GIL is your problem.", "saturated"]);
    // Half a second from the beginning, less had been waited than at the end.
    let early = replay(&["--once", "--at", "0.5"]).stdout;
    says(&early, 120, 36, &["busy-0"]);
    assert_ne!(early, replay(&["--once"]).stdout);

    let picture = desk.path("screen.svg");
    let both = run_to(0, gilscope().arg("replay").arg(&file).arg("--once").arg("--snapshot").arg(&picture));
    says(&both.stdout, 120, 36, &["busy-0"]);
    let picture = fs::read_to_string(picture).expect("a picture");
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && picture.contains("busy-0"), "{picture}");
}

#[test]
fn what_is_wrong_with_it_is_said() {
    let desk = Desk::new();
    let file = desk.file("no.gscope", "");
    let usage = |arguments: &[&str]| run_to(2, gilscope().arg("replay").arg(&file).args(arguments)).stderr;
    assert!(usage(&["--once", "--view", "nothing"]).contains("overview, cores, timeline, histograms"));
    for size in ["0x5", "12", "65535x65535", "-1x2"] {
        assert!(usage(&["--once", &format!("--size={size}")]).contains("120x36"), "{size}");
    }
    for alone in [["--view", "blame"], ["--size", "80x24"], ["--at", "1"]] {
        assert!(usage(&alone).contains("--once"), "{alone:?}");
    }
    let nowhere = desk.path("none/screen.svg");
    let mut demo = gilscope();
    demo.args(["demo", "single", "-q", "--python"]).arg(&newest_with_gil().program).arg("--snapshot").arg(&nowhere);
    assert!(run_to(2, &mut demo).stderr.contains("mkdir -p"), "the directory is missing");
}
