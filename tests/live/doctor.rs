//! `gilscope doctor` as its users type it: what is refused is really refused, by the kernel.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use gilscope::doctor::SCHEMA;
use serde_json::Value;

use crate::command::{Desk, IDLE, PATIENCE, in_shell, oldest_and_newest, proc_status, run, run_to};
use crate::observed::gilscope;
use crate::support::child::{Child, Ended, eventually};
use crate::support::pythons::{Python, pythons_with_gil};

/// Runs a command under a seccomp filter that refuses one system call. Arguments: its number, the command.
const WITHOUT: &str = r"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def code(what, jt, jf, k): return struct.pack('HBBI', what, jt, jf, k)
# Loads the number; equal: EPERM; else: allow.
program = code(0x20, 0, 0, 0) + code(0x15, 0, 1, int(sys.argv[1])) + code(0x6, 0, 0, 0x50001) + code(0x6, 0, 0, 0x7fff0000)
kept = ctypes.create_string_buffer(program, len(program))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
what = Program(4, ctypes.cast(kept, ctypes.c_void_p))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(what), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
";

/// Plays a debugger with hardware watchpoints: takes all four debug registers of a process (x86_64), says `ready` and
/// lets go when its stdin ends.
const DEBUGGER: &str = r"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ptrace = libc.ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ptrace.restype = ctypes.c_long
pid = int(sys.argv[1])
assert ptrace(0x4206, pid, None, None) == 0
assert ptrace(0x4207, pid, None, None) == 0
os.waitpid(pid, 0x40000000)
for register in range(4):
    assert ptrace(6, pid, 848 + 8 * register, 0x1000 + 8 * register) == 0
assert ptrace(7, pid, None, None) == 0
print('ready', flush=True)
sys.stdin.read()
";

#[cfg(target_arch = "x86_64")]
const PERF_EVENT_OPEN: (&str, &str) = ("298", "310");
#[cfg(target_arch = "aarch64")]
const PERF_EVENT_OPEN: (&str, &str) = ("241", "270");

/// What the doctor said: outcomes by check and by precision, and everything as JSON.
struct Said {
    outcomes: BTreeMap<String, String>,
    auto: Option<String>,
    whole: Value,
}

impl Said {
    #[track_caller]
    fn in_json(text: &str) -> Said {
        let whole: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let schema: Value = serde_json::from_str(SCHEMA).expect("the schema");
        let validator = jsonschema::validator_for(&schema).expect("the schema");
        if let Err(error) = validator.validate(&whole) {
            panic!("{error} at {} of {text}", error.instance_path());
        }
        let rows = |list: &str, name: &str| {
            let rows = whole[list].as_array().expect("a list").clone();
            rows.into_iter()
                .map(|row| (row[name].as_str().unwrap().to_owned(), row["outcome"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let outcomes = rows("checks", "id").into_iter().chain(rows("precisions", "precision")).collect();
        Said { outcomes, auto: whole["auto"].as_str().map(str::to_owned), whole }
    }

    #[track_caller]
    fn assert(&self, expected: &[(&str, &str)]) {
        for (name, outcome) in expected {
            assert_eq!(self.outcomes.get(*name).map(String::as_str), Some(*outcome), "{name} of {:#}", self.whole);
        }
    }

    /// A field of a check.
    fn of(&self, id: &str, field: &str) -> String {
        let checks = self.whole["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id} of {:#}", self.whole));
        check[field].as_str().unwrap_or_default().to_owned()
    }
}

fn idle(python: &Python) -> Child {
    let mut child = Child::spawn(python.command().args(["-c", IDLE]));
    child.ready(PATIENCE);
    child
}

fn doctor(pid: u32) -> Command {
    let mut command = gilscope();
    command.args(["doctor", "-f", "json", &pid.to_string()]);
    command
}

#[track_caller]
fn says(status: i32, command: &mut Command) -> Said {
    Said::in_json(&run_to(status, command).stdout)
}

fn a_python() -> &'static Python {
    pythons_with_gil().into_iter().find(|python| python.ctypes).expect("a CPython with ctypes")
}

/// A command under a filter that refuses a system call.
fn without(call: &str, command: &Command) -> Command {
    let mut wrapped = a_python().command();
    wrapped.args(["-c", WITHOUT, call]).arg(command.get_program()).args(command.get_args());
    wrapped
}

/// What the kernel permits here at all: nothing is to be proven where the machine itself refuses.
fn permitted() -> bool {
    let said = says(0, gilscope().args(["doctor", "-f", "json"]));
    let works = |id: &str| said.outcomes.get(id).is_some_and(|outcome| outcome == "works");
    let all = works("sampled") && works("switch-records") && works("watchpoints");
    if !all {
        eprintln!("skipped: not everything is permitted here: {:#}", said.whole);
    }
    all
}

#[test]
fn a_python_is_known_to_its_layout() {
    for python in oldest_and_newest() {
        let child = idle(python);
        let said = says(0, &mut doctor(child.pid()));
        said.assert(&[("target", "works"), ("target-memory", "works")]);
        let (major, minor, patch) = python.version;
        assert!(said.of("python", "detail").contains(&format!("CPython {major}.{minor}.{patch}")), "{python}");
        if python.free_threaded {
            continue;
        }
        said.assert(&[("python", "works"), ("sampled", "works"), ("waiters", "works")]);
        assert!(said.of("python", "detail").contains("1 interpreter, 1 GIL, 1 Python thread"), "{:#}", said.whole);
    }
}

#[test]
fn what_auto_takes_is_what_a_report_takes() {
    let child = idle(a_python());
    let pid = child.pid().to_string();
    let said = says(0, &mut doctor(child.pid()));
    let report = run_to(0, gilscope().args(["report", "-q", "-d", "0.3", "-f", "json", "-p", &pid]));
    let report: Value = serde_json::from_str(&report.stdout).expect("a report");
    assert_eq!(report["processes"][0]["capture"]["mode"].as_str().map(str::to_owned), said.auto);
}

#[test]
fn memory_reads_and_performance_events_are_tried_apart() {
    if !permitted() {
        return;
    }
    let child = idle(a_python());
    let (perf, readv) = PERF_EVENT_OPEN;
    let both = says(0, &mut doctor(child.pid()));
    both.assert(&[("target-memory", "works"), ("target-watchpoints", "works"), ("exact", "works"), ("fused", "works")]);
    let reads_only = says(0, &mut without(perf, &doctor(child.pid())));
    reads_only.assert(&[
        ("target-memory", "works"),
        ("target-switch-records", "missing"),
        ("target-watchpoints", "missing"),
        ("watchpoints", "missing"),
        ("sampled", "works"),
        ("fused", "missing"),
        ("exact", "missing"),
    ]);
    assert_eq!(reads_only.auto.as_deref(), Some("sampled"));
    assert!(reads_only.of("switch-records", "detail").contains("even for gilscope itself"));
    assert!(reads_only.of("target-switch-records", "detail").contains("as gilscope's own"));
    assert!(!reads_only.of("target-switch-records", "next").is_empty());
    assert!(reads_only.of("surroundings", "detail").contains("are filtered"));
    let watchpoints_only = says(3, &mut without(readv, &doctor(child.pid())));
    watchpoints_only.assert(&[
        ("memory-reads", "missing"),
        ("target-memory", "missing"),
        ("target-watchpoints", "works"),
        ("sampled", "missing"),
        ("exact", "missing"),
    ]);
    assert!(watchpoints_only.of("target-memory", "detail").contains("watchpoints are permitted"));
    assert_eq!(watchpoints_only.auto, None);
    let neither = says(3, &mut without(perf, &without(readv, &doctor(child.pid()))));
    neither.assert(&[("target-memory", "missing"), ("target-watchpoints", "missing"), ("sampled", "missing")]);
    assert!(!neither.of("target-memory", "detail").contains("watchpoints are permitted"));
    // Without a process nothing works either, and the status says so.
    says(3, &mut without(readv, gilscope().args(["doctor", "-f", "json"])));
}

#[test]
fn a_stranger_is_told_of_each_refusal() {
    let child = idle(a_python());
    let mut stranger = doctor(child.pid());
    stranger.uid(65534).gid(65534).current_dir("/");
    let Ok(answer) = stranger.output() else {
        eprintln!("skipped: becoming another user takes root, and the program has to be within that user's reach");
        return;
    };
    assert_eq!(answer.status.code(), Some(3), "{}", String::from_utf8_lossy(&answer.stderr));
    let said = Said::in_json(&String::from_utf8_lossy(&answer.stdout));
    said.assert(&[("target-memory", "missing"), ("target-watchpoints", "missing"), ("python", "unknown")]);
    assert!(said.of("target-memory", "detail").contains("runs as user 65534"), "{:#}", said.whole);
    assert!(!said.of("target-memory", "next").is_empty());
}

#[test]
fn debug_registers_that_a_debugger_holds_are_seen_and_others_given_back() {
    if !cfg!(target_arch = "x86_64") || !permitted() {
        eprintln!("skipped: the debugger of this test is for x86_64, where all is permitted");
        return;
    }
    let child = idle(a_python());
    // Once more, and again: nothing of the first look is left behind.
    for _ in 0..3 {
        let said = says(0, &mut doctor(child.pid()));
        said.assert(&[("target-watchpoints", "works"), ("exact", "works")]);
        assert!(said.of("target-watchpoints", "detail").contains("4 debug registers"), "{:#}", said.whole);
    }
    let mut debugger = Child::spawn(a_python().command().args(["-c", DEBUGGER, &child.pid().to_string()]));
    debugger.ready(PATIENCE);
    let said = says(0, &mut doctor(child.pid()));
    said.assert(&[("target-watchpoints", "missing"), ("exact", "missing"), ("sampled", "works"), ("fused", "works")]);
    let tracer = said.of("tracer", "detail");
    assert!(tracer.contains(&format!("process {} traces it", debugger.pid())), "{tracer}");
    assert!(said.of("target-watchpoints", "next").contains(&debugger.pid().to_string()));
    debugger.finish(PATIENCE);
    // The kernel may keep them until the thread ends; the one that held them is named no more.
    let said = says(0, &mut doctor(child.pid()));
    assert_eq!(said.of("tracer", "detail"), "nobody traces it");
    assert!(!said.of("target-watchpoints", "next").contains(&debugger.pid().to_string()), "{:#}", said.whole);
}

/// Starts so many threads, as another user if one is given, who lets others of that user look into the process or not.
/// Arguments: threads, user, whether to be dumpable (`PR_SET_DUMPABLE`).
const CROWD: &str = r"
import ctypes, os, sys, threading, time
threads, user, dumpable = map(int, sys.argv[1:])
if user:
    os.setgid(user)
    os.setuid(user)
    ctypes.CDLL(None).prctl(4, dumpable, 0, 0, 0)
for _ in range(threads):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print('ready', flush=True)
time.sleep(1000)
";

fn crowd(threads: usize, user: u32, dumpable: u32) -> Child {
    let arguments = [threads.to_string(), user.to_string(), dumpable.to_string()];
    let mut child = Child::spawn(a_python().command().args(["-c", CROWD]).args(arguments));
    child.ready(PATIENCE);
    child
}

/// Whether the tests may become other users, and those may run gilscope.
fn other_users() -> bool {
    let ran = gilscope().arg("--version").uid(65533).gid(65533).current_dir("/").output();
    if ran.is_err() {
        eprintln!("skipped: becoming another user takes root, and the program has to be within that user's reach");
    }
    ran.is_ok()
}

#[test]
fn a_protected_process_is_not_shown_to_its_own_user() {
    if !other_users() {
        return;
    }
    for (dumpable, status) in [(1, 0), (0, 3)] {
        let child = crowd(1, 65533, dumpable);
        if dumpable == 1 && fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|it| it.trim() != "0") {
            continue;
        }
        let said = says(status, doctor(child.pid()).uid(65533).gid(65533).current_dir("/"));
        let detail = said.of("target", "detail");
        assert_eq!(detail.contains("protected (not dumpable)"), dumpable == 0, "{detail}");
    }
}

#[test]
fn small_limits_are_counted_in_threads() {
    if !permitted() {
        return;
    }
    let child = crowd(80, 0, 1);
    let said = says(0, &mut in_shell("ulimit -n 110; exec \"$@\"", &doctor(child.pid())));
    said.assert(&[("sampled", "works"), ("fused", "partly"), ("descriptors", "partly")]);
    assert!(said.of("descriptors", "detail").contains("RLIMIT_NOFILE 110, and 81 threads"), "{:#}", said.whole);
    assert!(said.of("descriptors", "next").starts_with("ulimit -n "));
}

/// Someone with CAP_IPC_LOCK has no such limit; others have what the kernel gives each user, and RLIMIT_MEMLOCK.
#[test]
fn locked_memory_is_counted_in_threads() {
    const THREADS: usize = 600;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let kilobytes = number("/proc/sys/kernel/perf_event_mlock_kb").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A ring takes two pages at least.
    if !permitted() || !other_users() || kilobytes * cores / 8 >= THREADS {
        eprintln!("skipped: not permitted here, or a machine with room for the rings of {THREADS} threads");
        return;
    }
    let child = crowd(THREADS, 65533, 1);
    let mut limited = in_shell("ulimit -l 0; exec \"$@\"", &doctor(child.pid()));
    let answer = limited.uid(65533).gid(65533).current_dir("/").output().expect("sh runs");
    let said = Said::in_json(&String::from_utf8_lossy(&answer.stdout));
    if said.of("target-memory", "outcome") != "works" {
        eprintln!("skipped: this user may not look into its own processes: {:#}", said.whole);
        return;
    }
    assert_eq!(answer.status.code(), Some(0));
    said.assert(&[("sampled", "works"), ("fused", "partly"), ("memory-lock", "partly")]);
    assert!(said.of("memory-lock", "detail").contains(&format!("of {} threads", THREADS + 1)), "{:#}", said.whole);
    assert!(said.of("memory-lock", "next").contains("ulimit -l"), "{:#}", said.whole);
}

#[test]
fn what_is_no_target_has_the_status_of_observing() {
    let sleep = Child::spawn(Command::new("sleep").arg("1000"));
    eventually(PATIENCE, "sleep to run", || {
        proc_status(sleep.pid(), "Name").is_some_and(|name| name == "sleep").then_some(())
    });
    let said = says(4, &mut doctor(sleep.pid()));
    said.assert(&[("target", "works"), ("target-memory", "works"), ("python", "missing"), ("sampled", "missing")]);
    assert!(said.of("python", "detail").contains("runs no Python"));
    let said = says(6, &mut doctor(4_194_304));
    said.assert(&[("python", "missing"), ("sampled", "missing"), ("kernel", "works")]);
    assert!(!said.outcomes.contains_key("target-memory"), "of what is not there, nothing else can be said");
    for arguments in [&["doctor", "abc"][..], &["doctor", "1", "-p", "1"], &["doctor", "-f", "yaml"]] {
        assert_eq!(run(gilscope().args(arguments)).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn text_is_for_a_pipe_a_file_and_an_unknown_terminal() {
    let desk = Desk::new();
    let file = desk.path("doctor.txt");
    let child = idle(a_python());
    let pid = child.pid().to_string();
    let Ended { stdout, stderr, .. } = run_to(0, gilscope().args(["doctor", &pid]));
    assert!(stdout.contains("Precision\n") && stdout.contains("What was tried\n"), "{stdout}");
    assert!(!stdout.contains('\u{1b}') && stderr.is_empty(), "{stdout}{stderr}");
    run_to(0, gilscope().args(["doctor", "-p", &pid, "-o"]).arg(&file));
    assert!(String::from_utf8(desk.read("doctor.txt")).expect("text").contains("What was tried\n"));
    let painted = run_to(0, gilscope().args(["doctor", &pid, "--color", "always"]));
    assert!(painted.stdout.contains("\x1b[1;36m"), "{}", painted.stdout);
    let nowhere = OsString::from("/dev/null/doctor.txt");
    assert!(!Path::new(&nowhere).exists());
    run_to(2, gilscope().args(["doctor", "-o"]).arg(&nowhere));
}
