//! What gilscope does where it may not have all that it wants: refused by a filter, by permissions, by limits. Each on a
//! real process, each said in a line, and nothing wrong in what is left.
#![expect(unsafe_code, reason = "filters and limits are set in the child, between fork and exec")]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{IDLE, PATIENCE, run, run_to, valid};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, Ended};
use crate::support::pythons::{Python, pythons_with_gil};

/// A user without rights: `nobody` on most machines.
const ORDINARY: u32 = 65_534;

/// The system calls of a command are refused with `errno` if they are perf_event_open(2).
pub fn without_events(mut command: Command, errno: i32) -> Command {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    // seccomp(2): the number of the call is the first word of what the filter sees.
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_perf_event_open as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: both calls read integers and, the second, a program of `len` steps, which `filter` is.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes system calls only, and touches nothing but its own memory.
    unsafe { command.pre_exec(install) };
    command
}

/// A command under limits of a resource: soft and hard.
fn limited(mut command: Command, resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> Command {
    let set = move || {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: the kernel reads one rlimit, which `limit` is.
        if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure makes a system call only.
    unsafe { command.pre_exec(set) };
    command
}

/// Runs as another user, who may reach `gilscope` and an interpreter.
pub struct Ordinary {
    pub directory: tempfile::TempDir,
    pub python: &'static Python,
}

impl Ordinary {
    /// `None`, with a word, where that cannot be.
    pub fn find() -> Option<Ordinary> {
        // SAFETY: geteuid takes nothing and touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            eprintln!("skipped: becoming another user takes root");
            return None;
        }
        let reaches = |python: &&'static Python| {
            let mut command = python.command();
            command.args(["-c", ""]).uid(ORDINARY).gid(ORDINARY).current_dir("/").stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let Some(python) = pythons_with_gil().into_iter().rev().find(reaches) else {
            eprintln!("skipped: no interpreter is within another user's reach");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        fs::copy(env!("CARGO_BIN_EXE_gilscope"), directory.path().join("gilscope")).expect("a copy");
        Some(Ordinary { directory, python })
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("gilscope")
    }

    pub fn gilscope(&self) -> Command {
        self.become_it(Command::new(self.program()))
    }

    pub fn python(&self) -> Command {
        self.become_it(self.python.command())
    }

    fn become_it(&self, mut command: Command) -> Command {
        command.uid(ORDINARY).gid(ORDINARY).current_dir("/");
        command
    }
}

fn with_arguments(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Idle threads first, and then two that never stop: each waits while the other runs.
fn crowd(command: &mut Command, idle: usize) -> Child {
    let code = format!(
        "import threading, sys, time\n\
         threading.stack_size(256 * 1024)\n\
         def spin():\n    while True: pass\n\
         for _ in range({idle}): threading.Thread(target=threading.Event().wait, daemon=True).start()\n\
         for _ in range(2): threading.Thread(target=spin, daemon=True, name='hog').start()\n\
         print('ready', flush=True)\n\
         time.sleep(1000)"
    );
    let mut child = Child::spawn(command.args(["-c", &code]));
    child.ready(PATIENCE);
    child
}

fn json(ended: &Ended) -> Value {
    valid(&ended.stdout)["processes"][0].clone()
}

/// Two threads that never stop: one of them waits at almost any time, and the other holds.
#[track_caller]
fn two_contend(process: &Value) {
    let capture = &process["capture"];
    let (late, looks) = (capture["late_samples"].as_f64().unwrap_or(0.0), capture["samples"].as_f64().unwrap_or(0.0));
    if looks < 100.0 || late > looks {
        eprintln!("skipped: most of the looks were late");
        return;
    }
    let gil = &process["interpreters"][0]["gil"];
    let share = |name: &str| gil[name].as_f64().unwrap_or_else(|| panic!("{name} of {gil}"));
    // While it changes hands nobody holds it, or waits: some microseconds in 5 ms, and more on a machine that is busy.
    assert!(share("load") > 0.7, "{}", share("load"));
    assert!(share("contention") > 0.6, "{}", share("contention"));
    // Two that want it and one that has it at a time: a mean of one waiter, and hardly ever a thousand.
    assert!(share("mean_waiters") < 1.3, "{}", share("mean_waiters"));
}

fn followed(process: &Value) -> (u64, u64) {
    let of = |name: &str| process["capture"][name].as_u64().unwrap_or_else(|| panic!("{name}: {}", process["capture"]));
    (of("followed_threads"), of("living_threads"))
}

#[test]
fn a_filter_that_refuses_events_is_named_and_samples_go_on() {
    let _alone = alone();
    let mut child = Child::spawn(pythons_with_gil()[0].command().args(["-c", IDLE]));
    child.ready(PATIENCE);
    let pid = child.pid().to_string();
    for errno in [libc::EPERM, libc::ENOSYS] {
        let arguments = ["report", "-f", "json", "-d", "0.3", "-p", &pid];
        let ended = run_to(0, &mut without_events(with_arguments(gilscope(), &arguments), errno));
        let said: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("gilscope: waits are known to 1.00 ms only, not to the microsecond: "), "{said:?}");
        let process = json(&ended);
        assert_eq!(process["capture"]["mode"], "sampled");
        assert!(process["capture"]["followed_threads"].is_null() && process["capture"]["samples"].as_u64() > Some(50));
        let fused = [&arguments[..], &["--mode", "fused"]].concat();
        let ended = run_to(3, &mut without_events(with_arguments(gilscope(), &fused), errno));
        let said: Vec<&str> = ended.stderr.lines().collect();
        assert!(said.len() == 2 && ended.stdout.is_empty(), "what and what next: {said:?}");
        assert!(said[0].starts_with("gilscope: the kernel's switch records are refused: "), "{said:?}");
        let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
        if paranoid.trim().parse::<i32>().is_ok_and(|level| level <= 2) {
            assert!(said[0].contains("even for gilscope itself") && said[0].contains("seccomp"), "{said:?}");
        }
    }
}

#[test]
fn a_program_that_the_kernel_protects_is_not_looked_into() {
    let Some(ordinary) = Ordinary::find() else { return };
    // Whoever gives up root is no longer dumpable (PR_SET_DUMPABLE in prctl(2)).
    let code = format!(
        "import os, sys, time\nos.setgid({ORDINARY}); os.setuid({ORDINARY})\nprint('ready', flush=True)\ntime.sleep(1000)"
    );
    let mut child = Child::spawn(pythons_with_gil()[0].command().args(["-c", &code]));
    child.ready(PATIENCE);
    for mode in ["auto", "fused", "sampled"] {
        let arguments = ["report", "-d", "0.3", "--mode", mode, "-p", &child.pid().to_string()];
        let ended = run_to(3, &mut with_arguments(ordinary.gilscope(), &arguments));
        let said: Vec<&str> = ended.stderr.lines().collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("not permitted to look into process"), "{said:?}");
        assert!(said[1].contains("sudo gilscope attach") || said[1].contains("SYS_PTRACE"), "{said:?}");
    }
}

/// Nor is a child of one that may be looked into, which is said, with what to type.
#[test]
fn a_child_that_the_kernel_protects_is_told_of() {
    let Some(ordinary) = Ordinary::find() else { return };
    let code = "import ctypes, os, sys, time\n\
        child = os.fork()\n\
        if child == 0:\n    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n    print('ready', os.getpid(), flush=True)\n    time.sleep(1000)\n\
        time.sleep(1000)";
    let mut parent = Child::spawn(ordinary.python().args(["-c", code]));
    let child = parent.ready(PATIENCE).last().cloned().expect("the child's pid");
    let pid = parent.pid().to_string();
    let run = |arguments: &[&str]| {
        run_to(0, &mut with_arguments(ordinary.gilscope(), &[arguments, &["-s", "--mode", "sampled"]].concat())).stdout
    };
    let unreadable = |report: &str| valid(report)["processes"][0]["unwatched_children"]["unreadable"].as_u64();
    assert_eq!(unreadable(&run(&["report", "-f", "json", "-d", "0.5", "-p", &pid])), Some(1));
    let says_so = |text: &str| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["1 may not be read", &format!("gilscope doctor {child}"), "sudo gilscope"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    };
    says_so(&run(&["report", "-d", "0.5", "-p", &pid]));
    says_so(&run(&["attach", "--once", "--view", "processes", "-d", "0.5", &pid]));
    // SAFETY: a signal to a process that this test has made.
    unsafe { libc::kill(child.parse().expect("a pid"), libc::SIGKILL) };
}

/// An ordinary user without locked memory has `perf_event_mlock_kb` for each core: two pages a thread.
#[test]
fn where_rings_are_scarce_those_who_contend_get_them() {
    let _alone = alone();
    let Some(ordinary) = Ordinary::find() else { return };
    let kilobytes: usize = fs::read_to_string("/proc/sys/kernel/perf_event_mlock_kb")
        .map_or(516, |it| it.trim().parse().expect("a number"));
    let cores = fs::read_dir("/sys/devices/system/cpu").map_or(1, |entries| {
        let cores = entries.flatten().filter(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix("cpu"))
                .is_some_and(|n| n.parse::<u16>().is_ok())
        });
        cores.count()
    });
    let most = kilobytes / 8 * cores;
    if most > 1_500 {
        eprintln!("skipped: {cores} cores give rings for {most} threads");
        return;
    }
    let child = crowd(&mut ordinary.python(), most + 40);
    let pid = child.pid().to_string();
    let record = ordinary.directory.path().join("here");
    fs::create_dir(&record).expect("a directory");
    fs::set_permissions(&record, fs::Permissions::from_mode(0o777)).expect("permissions");
    let file = record.join("scarce.gscope");
    let path = file.to_str().expect("a name");
    let command = with_arguments(ordinary.gilscope(), &["record", "-q", "-d", "2.5", "-p", &pid, "-o", path]);
    run_to(0, &mut limited(command, libc::RLIMIT_MEMLOCK, 0, 0));
    let ended = run_to(0, &mut with_arguments(gilscope(), &["report", "-f", "json", path]));
    let process = json(&ended);
    if process["capture"]["mode"] != "fused" {
        eprintln!("skipped: switch records are not permitted here");
        return;
    }
    let (followed, living) = followed(&process);
    assert!(followed > most as u64 / 2 && followed < living, "{followed} of {living}, with rings for {most}");
    two_contend(&process);
    let text = run_to(0, &mut with_arguments(gilscope(), &["report", path])).stdout;
    assert!(text.contains(&format!("for {followed} of {living} threads")), "{text}");
    // They came last, when nothing was left.
    let dump = run_to(0, &mut with_arguments(gilscope(), &["dump", path])).stdout;
    let told = |what: &str, thread: &Value| {
        let lines = dump.lines().rev().filter(|line| line.contains(what));
        let mut events = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        events.find(|event| event["what"][what]["thread"] == *thread).and_then(|event| event["at"].as_u64())
    };
    let hogs = process["threads"].as_array().expect("threads").iter();
    let hogs: Vec<&Value> = hogs.filter(|thread| thread["lost_ns"].as_u64() > Some(300_000_000)).collect();
    assert_eq!(hogs.len(), 2, "both wait for about half of the time");
    for hog in hogs {
        let (refused, begun) = (told("SwitchesEnd", &hog["id"]), told("SwitchesBegin", &hog["id"]));
        assert!(begun.is_some() && refused <= begun, "refused {refused:?}, followed since {begun:?}");
    }
}

#[test]
fn where_files_are_scarce_the_report_says_who_is_followed() {
    let _alone = alone();
    let child = crowd(&mut pythons_with_gil().pop().expect("an interpreter").command(), 180);
    let pid = child.pid().to_string();
    let arguments = ["report", "-d", "1", "-p", &pid];
    let json_of = |command: Command| json(&run_to(0, &mut with_arguments(command, &["-f", "json"])));
    let process = json_of(limited(with_arguments(gilscope(), &arguments), libc::RLIMIT_NOFILE, 200, 200));
    if process["capture"]["mode"] != "fused" {
        eprintln!("skipped: switch records are not permitted here");
        return;
    }
    let (few, living) = followed(&process);
    assert!(few > 20 && few < living, "{few} of {living}");
    assert_eq!(process["capture"]["failed_reads"], 0, "what is left is enough to sample");
    two_contend(&process);
    // The soft limit is gilscope's own to raise.
    let hard = 4_096;
    let process = json_of(limited(with_arguments(gilscope(), &arguments), libc::RLIMIT_NOFILE, 200, hard));
    assert_eq!(followed(&process).0, living, "all are");
    // Too few for anything.
    let ended = run(&mut limited(with_arguments(gilscope(), &arguments), libc::RLIMIT_NOFILE, 40, 40));
    assert!(ended.stderr.contains("no file descriptor is left"), "{}", ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn a_program_that_is_started_keeps_its_own_limits() {
    let python = pythons_with_gil().pop().expect("an interpreter");
    let code = "import resource, time; time.sleep(0.5); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])";
    let mut command = gilscope();
    command.args(["report", "-q", "--"]).arg(&python.program).args(["-c", code]);
    let ended = run_to(0, &mut limited(command, libc::RLIMIT_NOFILE, 300, 4_096));
    assert_eq!(ended.stdout.trim(), "300");
}
