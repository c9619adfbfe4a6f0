//! `gilscope demo`, and the report for programs on processes of every sort.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::{PATIENCE, TERMINAL, oldest_and_newest, run_to, send, valid};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons, pythons_with_gil};

fn demo(python: &Python, arguments: &[&str]) -> Command {
    let mut command = gilscope();
    command.args(["demo", "-q", "--python"]).arg(&python.program).args(arguments);
    command
}

/// What each workload is there to show, in the words of the verdict. Each runs on another interpreter, so that all of
/// them have been used when there are as many.
#[test]
fn each_workload_is_judged_as_what_it_is() {
    let _alone = alone();
    // One of the workloads needs ctypes.
    let pythons: Vec<_> = pythons_with_gil().into_iter().filter(|python| python.ctypes).collect();
    for (index, (name, headline, reasons)) in
        [
            (
                "convoy",
                "The GIL is your problem.",
                &[
                    "convoy problem \"io-echo\" lets go of the GIL for a moment",
                    "behind \"cpu-hog\", which lets go only",
                ][..],
            ),
            ("starved", "The GIL is your problem.", &["Worst off is \"io-echo\"", "\"cpu-hog-"]),
            ("saturated", "The GIL is your problem.", &["Worst off is \"cpu-", "saturated problem"]),
            (
                "sleeper",
                "The GIL is your problem.",
                &["never-releases problem \"c-sleeper\" sleeps with the GIL in hand"],
            ),
            ("single", "The GIL is not your problem.", &["not-the-gil info", "load is not contention"]),
            ("idle", "The GIL is not your problem.", &["not-the-gil info"]),
        ]
        .into_iter()
        .enumerate()
    {
        let python = pythons[pythons.len() - 1 - index % pythons.len()];
        let ended = run_to(0, &mut demo(python, &["-d", "2", name]));
        let said = ended.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(headline), "{name} on {python}:\n{}", ended.stdout);
        for reason in reasons {
            assert!(said.contains(reason), "{name} on {python}: no {reason} in\n{}", ended.stdout);
        }
        assert!(ended.stdout.lines().next().is_some_and(|it| it.contains("handoffs")), "a line a second comes first");
        assert_eq!(ended.stderr, "", "{name} on {python}");
    }
}

#[test]
fn the_first_demo_is_the_convoy_on_the_python_of_the_path() {
    let _alone = alone();
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: no python3 on PATH");
        return;
    }
    let ended = run_to(0, gilscope().args(["demo", "-d", "1"]));
    assert!(ended.stderr.starts_with("gilscope: demo `convoy`: An I/O thread in a convoy"), "{}", ended.stderr);
    assert!(ended.stdout.contains("convoy.py"), "{}", ended.stdout);
}

/// A program that does as the code says, observed for so many seconds after it called `ready()`.
fn observed(python: &Python, code: &str, seconds: &str, meanwhile: impl FnOnce(u32)) -> Value {
    let code = format!("import sys, threading, time\ndef ready(): print('ready')\n{code}");
    let mut child = Child::spawn(python.command().args(["-uc", &code]));
    child.ready(PATIENCE);
    let pid = child.pid();
    let mut report = Child::spawn(gilscope().args(["report", "-f", "json", "-d", seconds, "-p", &pid.to_string()]));
    meanwhile(pid);
    valid(&report.succeed(PATIENCE).stdout)
}

/// Two threads of Python that compute, and the main thread that waits for them.
const CONTENDED: &str = "\
def spin():
    while True: pass
for _ in range(2): threading.Thread(target=spin, daemon=True).start()
ready()
time.sleep(1000)";

#[test]
fn the_report_for_programs_keeps_its_schema_on_every_python() {
    let _alone = alone();
    for python in pythons() {
        let report = observed(python, CONTENDED, "0.6", |_| {});
        let process = &report["processes"][0];
        let (major, minor, patch) = python.version;
        assert_eq!(process["target"]["python"], format!("{major}.{minor}.{patch}"), "{python}");
        assert_eq!(process["threads"].as_array().map(Vec::len), Some(3), "{python}: {}", process["threads"]);
        let gil = &process["interpreters"][0]["gil"];
        if python.free_threaded {
            assert!(gil.is_null(), "{python}: {gil}");
        } else {
            // Two that want it always, and a machine that others use too.
            assert!(gil["load"].as_f64() > Some(0.8), "{python}: {gil}");
            assert!(gil["contention"].as_f64() > Some(0.2), "{python}: {gil}");
        }
    }
}

#[test]
fn the_report_for_programs_keeps_its_schema_whatever_happens() {
    let _alone = alone();
    for python in oldest_and_newest() {
        observed(python, "ready()\ntime.sleep(1000)", "0.3", |_| {});
        observed(python, "ready()\ntime.sleep(1000)", "0.001", |_| {});
        observed(python, "ready()\ntime.sleep(0.4)", "30", |_| {});
        let report = observed(python, CONTENDED, "30", |pid| {
            thread::sleep(Duration::from_millis(500));
            send("KILL", pid);
        });
        let seconds = report["processes"][0]["capture"]["duration_ns"].as_f64().expect("a duration") / 1e9;
        // It was seen for half a second, less the time that attaching takes.
        assert!((0.05..5.0).contains(&seconds), "{python}: {seconds}");
        let births = "ready()\nwhile True:\n    threading.Thread(target=time.sleep, args=(0.01,)).start()\n    time.sleep(0.002)";
        let report = observed(python, births, "0.6", |_| {});
        assert!(report["processes"][0]["threads"].as_array().map(Vec::len) > Some(20), "{python}");
    }
}

#[test]
fn names_that_cannot_be_trusted_are_written_as_text() {
    let python = pythons_with_gil()[0];
    let code = "t = threading.Thread(target=time.sleep, args=(1000,), name='\\x1b[31mred\\u202e\\x07\\n')\n\
                t.daemon = True\nt.start()\ntime.sleep(1000)";
    let code = format!("import sys, threading, time\nprint('ready')\n{code}");
    let mut child = Child::spawn(python.command().args(["-uc", &code, "\u{1b}]0;title\u{7}"]));
    child.ready(PATIENCE);
    let ended = run_to(0, gilscope().args(["report", "-d", "1", "-p", &child.pid().to_string()]));
    let wrong = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!ended.stdout.contains(wrong), "{:?}", ended.stdout);
    assert!(ended.stdout.contains("red"), "its name is there all the same: {}", ended.stdout);
}

/// The processes whose command line has this in it.
fn with_command_line(part: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(part))
        .collect()
}

#[test]
fn ctrl_c_ends_a_demo_with_its_report() {
    let python = pythons().last().expect("one at least");
    for name in ["convoy", "idle"] {
        let command = demo(python, &["-d", "50", "-f", "text", name]);
        let mut terminal = python.command();
        terminal.args(["-W", "ignore", "-c", TERMINAL, "handoffs"]).arg(command.get_program()).args(command.get_args());
        let said = run_to(0, &mut terminal).stdout;
        assert!(said.contains("How this was observed"), "{said}");
        assert!(!said.contains("Traceback") && !said.contains("KeyboardInterrupt"), "{said}");
        assert!(said.ends_with("exit status: 0\n"), "{said}");
    }
    // Its number of seconds: 50 and the demo's reserve.
    let left = with_command_line(".py 80 ");
    assert!(!left.iter().any(|line| line.contains("gilscope-demo-")), "{left:?}");
}

#[test]
fn a_demo_that_is_told_to_end_ends_its_workload() {
    let python = &pythons()[0];
    let mut child = Child::spawn(&mut demo(python, &["-d", "51", "saturated"]));
    child.line(PATIENCE);
    send("TERM", child.pid());
    let ended = child.succeed(PATIENCE);
    assert!(ended.stdout.contains("How this was observed"), "{}", ended.stdout);
    let left = with_command_line("saturated.py 81 ");
    assert!(left.is_empty(), "{left:?}");
}
