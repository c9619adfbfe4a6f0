//! What the command says of what it cannot observe: what happened, why, what to type next, and an exit status.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::command::{Desk, IDLE, PATIENCE, in_shell, run, run_to, send, valid};
use crate::observed::gilscope;
use crate::support::child::{Child, Ended, eventually};
use crate::support::pythons::{python2, pythons};

/// `gilscope report -p PID`, which has to fail with this status, this said first and this said last.
#[track_caller]
fn refused(pid: u32, status: i32, what: &str, next: &str) {
    let pid = pid.to_string();
    let ended = run_to(status, gilscope().args(["report", "-q", "-d", "1", "-p", &pid]));
    assert_said(&ended, what, next);
}

#[track_caller]
fn assert_said(ended: &Ended, what: &str, next: &str) {
    assert_eq!(ended.stdout, "");
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert!(said.first().is_some_and(|it| it.starts_with("gilscope: ") && it.contains(what)), "{what}: {said:?}");
    assert!(said.len() == 1 + usize::from(!next.is_empty()), "one line each for what and what next: {said:?}");
    assert!(said.last().is_some_and(|it| it.contains(next)), "{next}: {said:?}");
}

#[test]
fn what_cannot_be_observed_is_named() {
    // Beyond the largest that Linux gives out (PID_MAX_LIMIT).
    refused(4_194_304, 6, "there is no process 4194304", "pgrep -af python");
    let sleep = Child::spawn(Command::new("sleep").arg("1000"));
    let comm = format!("/proc/{}/comm", sleep.pid());
    eventually(PATIENCE, "sleep to run", || fs::read_to_string(&comm).is_ok_and(|it| it == "sleep\n").then_some(()));
    refused(sleep.pid(), 4, "runs no Python", &format!("pgrep -P {} -a", sleep.pid()));
    let mut cat = Child::spawn(&mut Command::new("cat"));
    cat.say_no_more();
    let stat = format!("/proc/{}/stat", cat.pid());
    eventually(PATIENCE, "cat to end", || fs::read_to_string(&stat).is_ok_and(|it| it.contains(") Z ")).then_some(()));
    refused(cat.pid(), 6, "has exited already", "");
}

#[test]
fn a_thread_of_the_kernel_and_init_are_named() {
    if fs::read_to_string("/proc/2/comm").unwrap_or_default().trim() == "kthreadd" {
        refused(2, 4, "process 2 is a thread of the kernel", "");
    } else {
        eprintln!("skipped: no thread of the kernel is in sight");
    }
    // Whatever it is here: an init, a container's first program, perhaps even a Python.
    let ended = run(gilscope().args(["report", "-q", "-d", "0.2", "-p", "1"]));
    match ended.status.code() {
        Some(0) => assert!(ended.stdout.contains("How this was observed"), "{}", ended.stdout),
        Some(3) => assert!(ended.stderr.contains("not permitted to look into process 1: "), "{}", ended.stderr),
        Some(4) => assert!(ended.stderr.starts_with("gilscope: process 1 "), "{}", ended.stderr),
        status => panic!("{status:?}: {}", ended.stderr),
    }
}

#[test]
fn another_python_is_named() {
    let released = "run the program with a released 64-bit CPython";
    match python2() {
        Some(python) => {
            let mut child = Child::spawn(python.command().args(["-c", IDLE]));
            child.ready(PATIENCE);
            refused(child.pid(), 4, "runs Python 2", released);
        }
        None => eprintln!("skipped: there is no Python 2"),
    }
    let pypy = ["pypy3", "pypy"].into_iter().find(|it| Command::new(it).arg("--version").output().is_ok());
    match pypy {
        Some(pypy) => {
            let mut child = Child::spawn(Command::new(pypy).args(["-c", IDLE]));
            child.ready(PATIENCE);
            refused(child.pid(), 4, "runs PyPy, not CPython", released);
        }
        None => eprintln!("skipped: there is no PyPy"),
    }
}

/// A whole program for i386: it waits for a signal, again and again.
fn program_of_32_bits() -> Vec<u8> {
    const BASE: u32 = 0x0040_0000;
    const HEADERS: u32 = 52 + 32;
    // mov eax, 29 (pause); int 0x80; jmp to the start
    let code = [0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7];
    let size = HEADERS + code.len() as u32;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC for EM_386, version 1, entry, program headers, no section headers, flags.
    for half in [2u16, 3] {
        file.extend(half.to_le_bytes());
    }
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD of the whole file, readable and executable.
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

#[test]
fn a_program_of_32_bits_is_named() {
    let desk = Desk::new();
    let file = desk.file("program", program_of_32_bits());
    let started = in_shell("exec \"$@\"", &Command::new(&file)).spawn();
    let mut started = started.expect("a shell");
    thread::sleep(Duration::from_millis(200));
    if let Ok(Some(status)) = started.try_wait() {
        eprintln!("skipped: this kernel runs no program of 32 bits ({status})");
        return;
    }
    let pid = started.id();
    let ended = run(gilscope().args(["report", "-q", "-p", &pid.to_string()]));
    started.kill().expect("it runs");
    started.wait().expect("it ran");
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
    assert_said(&ended, "is not a 64-bit program of this machine's kind", "64-bit CPython");
}

#[test]
fn a_stranger_is_told_what_to_type() {
    let mut child = Child::spawn(pythons()[0].command().args(["-c", IDLE]));
    child.ready(PATIENCE);
    let pid = child.pid().to_string();
    let mut stranger = gilscope();
    stranger.args(["report", "-q", "-p", &pid]).uid(65534).gid(65534).current_dir("/");
    let Ok(answer) = stranger.output() else {
        eprintln!("skipped: becoming another user takes root, and the program has to be within that user's reach");
        return;
    };
    let said = String::from_utf8_lossy(&answer.stderr);
    assert_eq!(answer.status.code(), Some(3), "{said}");
    assert!(said.starts_with(&format!("gilscope: not permitted to look into process {pid}: ")), "{said}");
    assert!(said.contains("runs as user 65534"), "why: {said}");
    let next = said.lines().nth(1).unwrap_or_default();
    assert!(next.contains(&format!("gilscope attach {pid}")) || next.contains("--cap-add=SYS_PTRACE"), "{said}");
}

/// Whenever the target goes, there is a report of what was seen, or word that it is gone; never anything else.
#[test]
fn a_target_that_goes_while_it_is_attached_to() {
    let python = &pythons()[0];
    let (mut gone, mut reported) = (0, 0);
    for round in 0..24u64 {
        let mut child = Child::spawn(python.command().args(["-c", IDLE]));
        child.ready(PATIENCE);
        let pid = child.pid();
        let mut report = Child::spawn(gilscope().args(["report", "-f", "json", "-d", "10", "-p", &pid.to_string()]));
        thread::sleep(Duration::from_micros(round * 700));
        // Every other one is not even reaped: a zombie.
        let unreaped = if round % 2 == 0 {
            drop(child);
            None
        } else {
            send("KILL", pid);
            Some(child)
        };
        let ended = report.finish(PATIENCE);
        drop(unreaped);
        match ended.status.code() {
            Some(0) => {
                valid(&ended.stdout);
                reported += 1;
            }
            status => {
                assert_eq!(status, Some(6), "{}", ended.stderr);
                let said = &ended.stderr;
                let known = ["there is no process", "has exited already", "ended while gilscope attached"];
                assert!(known.iter().any(|it| said.contains(it)), "{said}");
                gone += 1;
            }
        }
    }
    eprintln!("{gone} were gone, {reported} were reported");
    assert!(gone > 0, "none went before it was attached to: this test has tested nothing");
}

#[test]
fn a_command_line_that_makes_no_sense_has_status_2() {
    for arguments in [
        &["report"][..],
        &["report", "-p"],
        &["report", "-p", "abc"],
        &["report", "-p", "0"],
        &["report", "-p", "-1"],
        &["report", "-p", "99999999999"],
        &["report", "--"],
        &["report", "-p", "1", "--", "true"],
        &["report", "-p", "1", "-d", "0"],
        &["report", "-p", "1", "-d", "soon"],
        &["report", "-p", "1", "-r", "0"],
        &["report", "-p", "1", "-r", "1G"],
        &["report", "-p", "1", "-f", "yaml"],
        &["report", "-p", "1", "-q", "-v"],
        &["demo", "no-such-workload"],
        &["no-such-command"],
        &["--no-such-option"],
    ] {
        let ended = run_to(2, gilscope().args(arguments));
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.contains("error: "), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("Usage:") || ended.stderr.contains("--help"), "{arguments:?}: {}", ended.stderr);
    }
    for arguments in [&["--help"][..], &["--version"], &["report", "-h"], &["demo", "--help"]] {
        let ended = run_to(0, gilscope().args(arguments));
        assert!(ended.stdout.contains("gilscope") && ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_fails_before_anything_is_done() {
    let desk = Desk::new();
    let done = desk.path("done");
    let nowhere = desk.path("nowhere/report.json");
    let directory = desk.path("");
    for (output, what, next) in
        [(&nowhere, "No such file or directory", "mkdir -p "), (&directory, "Is a directory", "-o FILE")]
    {
        let mut command = gilscope();
        command.args(["report", "-o"]).arg(output).args(["--", "touch"]).arg(&done);
        let ended = run_to(2, &mut command);
        assert_said(&ended, what, next);
        assert!(!done.exists(), "the program was started");
    }
}

#[test]
fn a_report_replaces_an_older_one_only_when_there_is_one() {
    let desk = Desk::new();
    let older = "an older report, longer than the newer one is, by far\n".repeat(2_000);
    let file = desk.file("report.json", &older);
    let python = &pythons()[0];
    run_to(6, gilscope().args(["report", "-p", "4194304", "-o"]).arg(&file));
    assert!(desk.read("report.json") == older.as_bytes(), "nothing was observed");
    let mut child = Child::spawn(python.command().args(["-c", IDLE]));
    child.ready(PATIENCE);
    let pid = child.pid().to_string();
    run_to(0, gilscope().args(["report", "-d", "0.2", "-f", "json", "-p", &pid, "-o"]).arg(&file));
    desk.report("report.json");
    // A pipe is written as it is.
    let to_stdout = run_to(0, gilscope().args(["report", "-d", "0.2", "-f", "json", "-p", &pid, "-o", "/dev/stdout"]));
    valid(&to_stdout.stdout);
    // A full disk is no success.
    for line in ["exec \"$@\" >/dev/full", "exec \"$@\" -o /dev/full"] {
        let mut command = gilscope();
        command.args(["report", "-d", "0.1", "-p", &pid]);
        let ended = run_to(1, &mut in_shell(line, &command));
        assert!(ended.stderr.contains("No space left on device"), "{line}: {}", ended.stderr);
    }
}

#[test]
fn a_demo_needs_an_interpreter() {
    let desk = Desk::new();
    let plain = desk.file("plain", "no program");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for (python, status, what) in [
        ("gilscope-no-such-python", 127, "cannot start `gilscope-no-such-python`"),
        (plain.to_str().unwrap(), 126, "Permission denied"),
        ("true", 4, "`true` ended "),
    ] {
        let ended = run_to(status, gilscope().args(["demo", "-q", "--python", python]));
        assert_said(&ended, what, if status == 4 { "python3" } else { "gilscope demo --python /path/to/python3" });
    }
}
