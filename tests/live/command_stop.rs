//! `gilscope report -p PID` that is told to end early, or is ended: a report of what was seen, and a target left alone.

use std::thread;
use std::time::{Duration, Instant};

use crate::command::{
    IDLE, PATIENCE, TERMINAL, in_shell, of_capture, oldest_and_newest, proc_status, run_to, send, valid,
};
use crate::observed::gilscope;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons};

fn idle(python: &Python) -> Child {
    let mut child = Child::spawn(python.command().args(["-c", IDLE]));
    child.ready(PATIENCE);
    child
}

/// Until a gilscope has the target's memory open.
fn attached(gilscope: u32, target: u32) {
    let memory = format!("/proc/{target}/mem");
    eventually(PATIENCE, "gilscope to attach", || {
        let descriptors = std::fs::read_dir(format!("/proc/{gilscope}/fd")).ok()?.flatten();
        let mut paths = descriptors.filter_map(|it| std::fs::read_link(it.path()).ok());
        paths.any(|path| path.as_os_str() == memory.as_str()).then_some(())
    });
}

#[test]
fn interrupted_it_reports_what_it_has_seen() {
    for python in oldest_and_newest() {
        let target = idle(python);
        for signal in ["INT", "TERM", "HUP"] {
            let pid = target.pid().to_string();
            let mut report = Child::spawn(gilscope().args(["report", "-f", "json", "-d", "60", "-p", &pid]));
            attached(report.pid(), target.pid());
            thread::sleep(Duration::from_millis(300));
            let sent = Instant::now();
            send(signal, report.pid());
            let ended = report.succeed(PATIENCE);
            // A tick, the report, and whatever else runs on this machine.
            assert!(sent.elapsed() < Duration::from_secs(5), "SIG{signal}: {:?}", sent.elapsed());
            let seconds = of_capture(&valid(&ended.stdout), "duration_ns") as f64 / 1e9;
            assert!((0.1..10.0).contains(&seconds), "SIG{signal}: {seconds} s");
            assert_eq!(ended.stderr, "", "SIG{signal}");
        }
    }
}

#[test]
fn ctrl_c_in_a_terminal_reports_what_it_has_seen() {
    let python = pythons().last().expect("one at least");
    let target = idle(python);
    let command = ["report", "-d", "60", "-p", &target.pid().to_string()].map(str::to_owned);
    let mut terminal = python.command();
    terminal
        .args(["-W", "ignore", "-c", TERMINAL, "Ctrl-C ends it early", env!("CARGO_BIN_EXE_gilscope")])
        .args(command);
    let said = run_to(0, &mut terminal).stdout;
    assert!(said.contains("How this was observed") && said.ends_with("exit status: 0\n"), "{said}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A reader that does not read: the report cannot be written, and the first signal cannot end it.
    let target = idle(&pythons()[0]);
    let mut command = gilscope();
    command.args(["report", "-f", "json", "-d", "60", "-p", &target.pid().to_string()]);
    // The shell gives it a pipe that is full already.
    let line = "mkfifo full; exec 3<>full; timeout 0.3 cat /dev/zero >&3; exec \"$@\" >&3";
    let desk = crate::command::Desk::new();
    let mut report = Child::spawn(in_shell(line, &command).current_dir(desk.path("")));
    attached(report.pid(), target.pid());
    send("TERM", report.pid());
    // Let go of the target, it writes: and waits.
    eventually(PATIENCE, "the capture to end", || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", report.pid())).ok()?.count();
        (threads == 1).then_some(())
    });
    thread::sleep(Duration::from_millis(100));
    assert!(proc_status(report.pid(), "State").is_some_and(|it| it.starts_with('S')), "it waits to write");
    send("TERM", report.pid());
    assert_eq!(report.finish(PATIENCE).status.code(), Some(128 + 15));
}

#[test]
fn nohup_keeps_it_going() {
    let target = idle(&pythons()[0]);
    let mut command = gilscope();
    command.args(["report", "-f", "json", "-d", "1", "-p", &target.pid().to_string()]);
    let mut report = Child::spawn(&mut in_shell("trap '' HUP; exec \"$@\"", &command));
    attached(report.pid(), target.pid());
    send("HUP", report.pid());
    let seconds = of_capture(&valid(&report.succeed(PATIENCE).stdout), "duration_ns") as f64 / 1e9;
    assert!(seconds > 0.9, "it was ended after {seconds} s");
}

#[test]
fn killed_it_leaves_the_target_as_it_was() {
    for python in oldest_and_newest() {
        let code = "import sys, threading, time\n\
                    def spin():\n    while True: pass\n\
                    threading.Thread(target=spin, daemon=True).start()\n\
                    print('ready')\n\
                    for line in sys.stdin: print('still here', flush=True)\n";
        let mut target = Child::spawn(python.command().args(["-uc", code]));
        target.ready(PATIENCE);
        let pid = target.pid().to_string();
        for _ in 0..2 {
            let mut report = Child::spawn(gilscope().args(["report", "-d", "60", "-r", "5k", "-p", &pid]));
            attached(report.pid(), target.pid());
            thread::sleep(Duration::from_millis(100));
            // It is not traced even while it is observed.
            assert_eq!(proc_status(target.pid(), "TracerPid").as_deref(), Some("0"), "{python}");
            send("KILL", report.pid());
            assert_eq!(report.finish(PATIENCE).status.code(), None, "{python}");
            assert_eq!(proc_status(target.pid(), "TracerPid").as_deref(), Some("0"), "{python}");
            let state = proc_status(target.pid(), "State").expect("it runs");
            assert!(state.starts_with(['R', 'S', 'D']), "{python}: {state}");
            target.say("hello\n");
            assert_eq!(target.line(PATIENCE), "still here", "{python}");
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let target = idle(&pythons()[0]);
    let pid = target.pid().to_string();
    for arguments in [
        &["report", "-d", "0.3", "-p", &pid][..],
        &["report", "-d", "0.3", "-f", "json", "-p", &pid],
        &["report", "--help"],
    ] {
        let mut command = gilscope();
        command.args(arguments);
        let desk = crate::command::Desk::new();
        let line = "(\"$@\"; echo $? >status) | true";
        let ended = run_to(0, in_shell(line, &command).current_dir(desk.path("")));
        assert_eq!(ended.stderr, "", "{arguments:?}");
        let first_line = run_to(0, &mut in_shell("\"$@\" | head -1", &command));
        assert_eq!((first_line.stdout.lines().count(), &*first_line.stderr), (1, ""), "{arguments:?}");
        // The shell that wrote it may end a moment after the pipe's last command.
        let status = eventually(PATIENCE, "its status", || {
            std::fs::read_to_string(desk.path("status")).ok().filter(|it| it.ends_with('\n'))
        });
        assert_eq!(status, "0\n", "{arguments:?}");
    }
}
