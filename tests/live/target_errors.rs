//! What the target layer says about processes that it cannot observe, or not yet.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use gilscope::event::{Origin, Pid};
use gilscope::target::{AttachError, Kind, Target};
use gilscope::time::Ns;

use crate::support::child::{Child, eventually};
use crate::support::pythons::{python2, pythons};

const PATIENCE: Duration = Duration::from_secs(20);
/// Names the process to [`a_stranger_asks`].
const PID: &str = "GILSCOPE_TEST_STRANGER_PID";

fn refusal(pid: u32) -> AttachError {
    Target::attach(Pid(pid), Ns::from_millis(20), Origin::Attached).expect_err("it cannot be attached to")
}

#[test]
fn no_such_process() {
    let error = refusal(4_194_304);
    assert!(matches!(error, AttachError::NoSuchProcess(_)), "{error:?}");
    assert_eq!(error.kind(), Kind::NoSuchProcess);
    assert!(error.next_step().is_some());
}

#[test]
fn another_program() {
    let child = Child::spawn(Command::new("sleep").arg("1000"));
    eventually(PATIENCE, "sleep to run", || {
        std::fs::read_to_string(format!("/proc/{}/comm", child.pid())).is_ok_and(|it| it == "sleep\n").then_some(())
    });
    let error = refusal(child.pid());
    assert!(matches!(&error, AttachError::NotPython { program, .. } if program.contains("/")), "{error:?}");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn python2_and_older_python3() {
    let Some(python) = python2() else {
        eprintln!("skipped: there is no Python 2");
        return;
    };
    let code = "import sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()";
    let mut child = Child::spawn(python.command().args(["-c", code]));
    child.ready(PATIENCE);
    let error = refusal(child.pid());
    assert!(matches!(error, AttachError::Python2(_)), "{error:?}");
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn a_thread_of_the_kernel() {
    let comm = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if comm.trim() != "kthreadd" {
        eprintln!("skipped: no thread of the kernel is in sight");
        return;
    }
    assert!(matches!(refusal(2), AttachError::KernelThread(_)));
}

#[test]
fn a_zombie() {
    let mut child = Child::spawn(&mut Command::new("cat"));
    child.say_no_more();
    eventually(PATIENCE, "cat to end", || {
        std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).is_ok_and(|it| it.contains(") Z ")).then_some(())
    });
    let error = refusal(child.pid());
    assert!(matches!(error, AttachError::Zombie(_)), "{error:?}");
    assert_eq!(error.kind(), Kind::NoSuchProcess);
}

#[test]
fn a_thread_is_no_process() {
    let code = "import os, sys, threading\n\
                threading.Thread(target=lambda: (print('ready', os.readlink('/proc/thread-self').rsplit('/', 1)[1], flush=True), sys.stdin.read())).start()";
    let mut child = Child::spawn(pythons()[0].command().args(["-c", code]));
    let tid: u32 = child.ready(PATIENCE)[0].parse().unwrap();
    let error = refusal(tid);
    assert!(matches!(error, AttachError::NotAProcess { process, .. } if process.0 == child.pid()), "{error:?}");
    assert_eq!(error.next_step(), Some(format!("gilscope attach {}", child.pid())));
}

#[test]
fn a_stranger_is_refused_and_told_how() {
    let code = "import sys; print('ready', flush=True); sys.stdin.read()";
    let mut child = Child::spawn(pythons()[0].command().args(["-c", code]));
    child.ready(PATIENCE);
    let mut stranger = Command::new(std::env::current_exe().unwrap());
    stranger.args(["--exact", "target_errors::a_stranger_asks", "--ignored", "--nocapture"]);
    stranger.env(PID, child.pid().to_string()).uid(65534).gid(65534).current_dir("/");
    let Ok(answer) = stranger.output() else {
        eprintln!("skipped: becoming another user takes root");
        return;
    };
    let (answer, complaint) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.contains("kind: NotPermitted"), "{answer}\n{complaint}");
    assert!(answer.contains("it belongs to user 0, gilscope runs as user 65534"), "{answer}");
    let next = answer.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
    assert!(["sudo ", "run it as that user: docker exec -u 0 "].iter().any(|how| next.starts_with(how)), "{answer}");
    assert!(next.ends_with(&format!("gilscope attach {}", child.pid())), "{answer}");
}

#[test]
#[ignore = "the other half of a_stranger_is_refused_and_told_how, run by it as another user"]
fn a_stranger_asks() {
    let pid = std::env::var(PID).unwrap().parse().unwrap();
    let error = refusal(pid);
    println!("kind: {:?}\nerror: {error}\nnext: {}", error.kind(), error.next_step().unwrap_or_default());
}

/// From its first instant on, a Python is either read right or said to be starting up.
#[test]
fn a_python_that_starts_up_is_waited_for() {
    let mut starting = 0;
    for python in pythons() {
        for round in 0..6u64 {
            let mut child = Child::spawn(python.command().args(["-c", "import time; time.sleep(1000)"]));
            std::thread::sleep(Duration::from_micros(700 * round * round));
            match Target::attach(Pid(child.pid()), Ns::ZERO, Origin::Launched) {
                Ok(_) => {}
                Err(AttachError::StillStarting(_) | AttachError::NotPython { .. } | AttachError::RuntimeHidden(_)) => {
                    starting += 1
                }
                Err(error) => child.fail(&format!("was refused: {error:?}")),
            }
            let target = match Target::attach(Pid(child.pid()), Ns::SECOND + Ns::SECOND, Origin::Launched) {
                Ok(target) => target,
                Err(error) => child.fail(&format!("was refused: {error:?}")),
            };
            assert_eq!(target.info().python.patch, Some(python.version.2), "{python}");
        }
    }
    assert!(starting > 0, "none was seen starting up: this test has tested nothing");
}

/// `record -- CMD` starts whatever CMD is; a script may do things of its own before it becomes a Python.
#[test]
fn a_launched_script_may_turn_into_a_python() {
    for python in pythons() {
        let mut child = Child::spawn(
            Command::new("sh")
                .args(["-c", "echo ready; sleep 0.2; exec \"$0\" -c 'import time; time.sleep(1000)'"])
                .arg(&python.program),
        );
        child.ready(PATIENCE);
        let error = Target::attach(Pid(child.pid()), Ns::from_millis(50), Origin::Launched).expect_err("it is a shell");
        assert!(matches!(error, AttachError::NotPython { .. }), "{python}: {error:?}");
        let target = Target::attach(Pid(child.pid()), Ns::from_millis(5_000), Origin::Launched);
        assert_eq!(target.unwrap().info().python.minor, python.minor(), "{python}");
    }
}
