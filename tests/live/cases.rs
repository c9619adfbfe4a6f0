//! What gilscope's figures are of programs whose habits are known: every workload of `gilscope demo`.
//!
//! The case study of the GIL literature runs on an interpreter of every version, the others on one each, by turns, so that a run takes
//! two to three minutes. Ranges are wide where other programs on the machine move the figure: a holder that queues for a
//! core holds for longer, a waiter that does waits for longer, and each is true of the program then.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use gilscope::workloads::{self, CannotRun, Interpreter, Judged, LaidOut, Need, Workload};
use serde_json::Value;

use crate::command::{Desk, PATIENCE, oldest_and_newest, run_to, valid};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons_with_gil};

/// A figure and the range that it has to be in.
type Range = (&'static str, f64, f64);

/// A workload, how many tasks it has when all of it runs, the seconds to observe it for, and what is to be seen.
type Case = (&'static str, usize, f64, &'static [Range]);

/// The switch interval is 5 ms: no wait for a thread that lets go only when asked is shorter. It is longer by the
/// holder's queueing for a core until it can let go: where that is a quarter of the time, there is no telling by how much.
const INTERVAL: Range = ("wait_p50_ms", 4.5, 10.0);
/// The upper edge then.
const INTERVAL_QUEUED: f64 = 200.0;
/// The GIL is held by somebody, but for the moments in which it changes hands and the next one has no core yet.
const HELD: Range = ("load", 0.8, 1.0);
/// Nothing holds it but the moments in which a thread comes and goes; a holder that loses its core then holds on.
const FREE: Range = ("load", 0.0, 0.4);
const NOBODY_WAITS: Range = ("contention", 0.0, 0.05);
/// A thread that computes without the GIL: on a core, in the queue for one, or, where there was no time to look, unknown.
const WITHOUT: Range = ("counter/without", 0.5, 1.0);
const NEVER: Range = ("counter/holding", 0.0, 0.02);
/// Between two calls of an extension there is a moment, and that is all.
const HELD_THROUGHOUT: Range = ("load", 0.95, 1.0);
const WAITED_FOR_THROUGHOUT: Range = ("contention", 0.9, 1.0);

/// The case study.
const STUDY: &[Case] = &[
    (
        "count-python",
        3,
        1.5,
        // The I/O thread rests for 10 ms and waits for 5: a third of the time, but for what it queues for a core.
        &[HELD, ("contention", 0.1, 0.9), INTERVAL, ("io/waiting", 0.1, 0.9), ("counter/holding", 0.4, 1.0)],
    ),
    // It comes back for the GIL some hundred times a second, and loses its core with it in hand now and then.
    ("count-numpy", 3, 1.5, &[FREE, NOBODY_WAITS, ("io/waiting", 0.0, 0.05), WITHOUT]),
    (
        "count-holding",
        3,
        1.5,
        &[
            HELD_THROUGHOUT,
            WAITED_FOR_THROUGHOUT,
            ("held_asleep", 0.0, 0.02),
            ("io/waiting", 0.9, 1.0),
            ("counter/holding", 0.95, 1.0),
        ],
    ),
    ("count-releasing", 3, 1.5, &[FREE, NOBODY_WAITS, ("io/waiting", 0.0, 0.05), WITHOUT, NEVER]),
];

/// Asleep with the GIL in hand, which no meter within the process sees: it looks once in each piece, where a hundred
/// looks a second are due, and pieces are a second or more.
const ASLEEP: &[Range] = &[
    HELD_THROUGHOUT,
    WAITED_FOR_THROUGHOUT,
    ("held_asleep", 0.9, 1.0),
    ("meter/waiting", 0.9, 1.0),
    ("meter/waits_per_s", 0.0, 2.0),
];
/// The same on a core, or in the queue for one.
const BUSY: &[Range] = &[
    HELD_THROUGHOUT,
    WAITED_FOR_THROUGHOUT,
    ("held_asleep", 0.0, 0.02),
    ("meter/waiting", 0.9, 1.0),
    ("meter/waits_per_s", 0.0, 2.0),
];

const OTHERS: &[Case] = &[
    // Between two messages are 4 ms, and two waits follow each.
    ("convoy", 3, 2.0, &[HELD, ("contention", 0.2, 0.98), INTERVAL, ("io-echo/waiting", 0.2, 0.98)]),
    ("starved", 4, 2.0, &[HELD, ("contention", 0.4, 1.0), ("io-echo/waiting", 0.3, 1.0)]),
    // A wait of some 5 ms each second: half a per cent.
    ("count-rarely", 3, 2.5, &[HELD, ("contention", 0.0, 0.08)]),
    // 80 of every 100 ms.
    ("sleeper", 5, 2.0, &[("load", 0.65, 0.95), ("held_asleep", 0.6, 0.9), ("victim-1/waiting", 0.5, 0.9)]),
    ("block-asleep-1s", 3, 3.0, ASLEEP),
    ("block-asleep-4s", 3, 5.0, ASLEEP),
    ("block-asleep-15s", 3, 3.0, ASLEEP),
    ("block-busy-1s", 3, 3.0, BUSY),
    ("block-busy-4s", 3, 5.0, BUSY),
    ("block-busy-15s", 3, 3.0, BUSY),
    ("block-released", 3, 2.0, &[FREE, NOBODY_WAITS, ("held_asleep", 0.0, 0.02), ("blocker/idle", 0.9, 1.0)]),
    // Calls of 80 ms at least, as it measured itself; 160 where the last doubling went just below that.
    // The pause of 20 ms is longer by the queue for a core.
    ("hog", 4, 2.5, &[("load", 0.3, 1.0), ("contention", 0.2, 1.0), ("wait_max_ms", 30.0, 2_000.0)]),
    ("hog-alone", 4, 2.0, &[("load", 0.3, 1.0), NOBODY_WAITS]),
    // A waiter is in line for all of the holder's time, but for 0.1 ms or so of each call. The longest call is 50 ms,
    // and comes twenty times in the time it takes to call all of them ten times.
    ("blame-five", 3, 2.5, &[("load", 0.3, 1.0), ("contention", 0.2, 1.0), ("wait_max_ms", 45.0, 300.0)]),
    // 58 of 59 calls take 1 ms. The pause after each is 0.3 ms, and as long as the holder then queues for a core.
    ("blame-halves", 3, 2.5, &[("load", 0.2, 1.0), ("contention", 0.1, 1.0), ("wait_p50_ms", 0.5, 5.0)]),
    ("blame-alone", 3, 2.0, &[("load", 0.2, 1.0), NOBODY_WAITS]),
    ("saturated", 5, 2.0, &[HELD, ("contention", 0.6, 1.0), ("demand", 2.0, 4.1)]),
    ("trading", 3, 2.0, &[HELD, ("contention", 0.3, 1.0), ("demand", 1.3, 2.1), ("cpu-1/waiting", 0.1, 0.8)]),
    // Four want the two cores of a small machine, so that a holder is without one half of the time.
    ("pool", 6, 2.0, &[("load", 0.5, 1.0), ("contention", 0.2, 1.0), ("cpu-1/waiting", 0.1, 0.9)]),
    ("single", 2, 2.0, &[HELD, NOBODY_WAITS, ("cpu-alone/holding", 0.9, 1.0)]),
    // Each of eight threads takes it some thousand times a second if it has a core.
    ("storm", 9, 2.0, &[("handoffs_per_s", 1_000.0, 200_000.0), ("contention", 0.05, 1.0)]),
    ("storm-one", 2, 2.0, &[("handoffs_per_s", 0.0, 50.0), NOBODY_WAITS]),
    ("bounce", 3, 2.0, &[("handoffs_per_s", 500.0, 100_000.0)]),
    ("bounce-pinned", 3, 2.0, &[("contention", 0.0, 0.2)]),
    // Three share the core; the holder is one of them.
    ("preempted", 3, 2.5, &[("held_preempted", 0.25, 1.0), ("contention", 0.2, 1.0), ("cpu/holding", 0.3, 1.0)]),
    ("pinned", 3, 2.0, &[HELD, ("contention", 0.1, 0.9), INTERVAL]),
    ("run-queue", 2, 2.0, &[NOBODY_WAITS, ("worker/waiting", 0.0, 0.02), ("worker/queueing", 0.2, 0.95)]),
    // Behind twenty, of which some have it before the main thread has; in the other, behind nobody.
    ("alarms", 21, 4.0, &[HELD, ("alarm_ms", 5.0, 2_000.0)]),
    ("alarms-calm", 1, 2.5, &[NOBODY_WAITS, ("alarm_gil_ms", 0.0, 0.5)]),
    // py-spy has no names for the threads of two interpreters.
    ("interpreters", 3, 2.5, &[HELD, ("contention", 0.5, 1.0), ("wait_max_ms", 80.0, 2_000.0)]),
    ("interpreters-own", 3, 2.0, &[("gils", 2.0, 2.0), ("load", 0.8, 1.0), NOBODY_WAITS]),
    ("lock", 5, 2.0, &[FREE, ("contention", 0.0, 0.1)]),
    ("timed", 5, 2.0, &[FREE, ("contention", 0.0, 0.1)]),
    ("parallel", 5, 2.0, &[FREE, ("contention", 0.0, 0.1), ("parallel-1/without", 0.5, 1.0)]),
    ("idle", 5, 1.0, &[("load", 0.0, 0.05), ("contention", 0.0, 0.01), ("worker-1/idle", 0.95, 1.0)]),
];

/// What a report says of a running workload.
struct Seen(Value);

impl Seen {
    /// gilscope's own looks, where the machine had no core for it in time: nothing can be said of such a run.
    fn late(&self) -> f64 {
        let count = |name: &str| self.0["capture"][name].as_f64().expect("a count");
        count("late_samples") / (count("samples") + count("late_samples")).max(1.0)
    }

    fn seconds(&self) -> f64 {
        self.0["capture"]["duration_ns"].as_f64().expect("a duration") / 1e9
    }

    /// Each GIL once.
    fn gils(&self) -> Vec<&Value> {
        let interpreters = self.0["interpreters"].as_array().expect("interpreters");
        let mut gils: Vec<&Value> = Vec::new();
        for gil in interpreters.iter().map(|interpreter| &interpreter["gil"]).filter(|gil| !gil.is_null()) {
            if !gils.iter().any(|other| other["id"] == gil["id"]) {
                gils.push(gil);
            }
        }
        gils
    }

    /// A figure by its name: of the GIL (of several, the greatest), or `THREAD/STATE`.
    fn figure(&self, name: &str) -> Option<f64> {
        if let Some((thread, figure)) = name.split_once('/') {
            return self.of_thread(thread, figure);
        }
        let of_gil = |gil: &&Value| match name {
            "wait_p50_ms" => Some(gil["waits"]["p50_ns"].as_f64()? / 1e6),
            "wait_max_ms" => Some(gil["waits"]["max_ns"].as_f64()? / 1e6),
            "handoffs_per_s" => Some(gil["handoffs"].as_f64()? / self.seconds()),
            _ => gil[name].as_f64(),
        };
        match name {
            "gils" => Some(self.gils().len() as f64),
            "alarm_ms" => self.alarm_ms(|one| &one["delay"]["total_ns"]),
            "alarm_gil_ms" => self.alarm_ms(|one| &one["segments_ns"]["gil_wait"]),
            _ => self.gils().iter().filter_map(of_gil).reduce(f64::max),
        }
    }

    fn of_thread(&self, name: &str, figure: &str) -> Option<f64> {
        let thread = self.0["threads"].as_array()?.iter().find(|thread| thread["name"] == name)?;
        if figure == "waits_per_s" {
            return Some(thread["waits"]["count"].as_f64()? / self.seconds());
        }
        let states = thread["states_ns"].as_object()?;
        let all: f64 = states.values().filter_map(Value::as_f64).sum();
        let share = |names: &[&str]| names.iter().filter_map(|name| states[*name].as_f64()).sum::<f64>() / all;
        Some(match figure {
            "holding" => share(&["running", "holding_off_cpu"]),
            "without" => share(&["native", "runnable"]),
            "queueing" => share(&["runnable", "holding_off_cpu"]),
            _ => share(&[figure]),
        })
    }

    /// What is wrong with the findings, for a workload that is there for one of them.
    fn misjudged(&self, judged: Judged) -> Option<String> {
        let found: Vec<&str> =
            self.0["findings"].as_array()?.iter().filter_map(|finding| finding["id"].as_str()).collect();
        // Of what could not be watched, nothing has to be found; and that others take the holder's core away may be true
        // of any program here.
        let blind = found.contains(&"low-coverage");
        let told = match judged {
            Judged::Is(finding) => blind || found.contains(&finding),
            Judged::IsNot(finding) => finding == "holder-preempted" || !found.contains(&finding),
            Judged::Harmless => {
                found.iter().all(|finding| ["not-the-gil", "low-coverage", "holder-preempted"].contains(finding))
            }
        };
        (!told).then(|| format!("{judged:?}, and found are {found:?}"))
    }

    /// The mean of a time from a signal to its handler: all of it, or what of it the main thread waited for the GIL.
    fn alarm_ms(&self, part: impl Fn(&Value) -> &Value) -> Option<f64> {
        let measured = self.0["interrupts"]["measured"].as_array()?;
        let sum = |of: &dyn Fn(&Value) -> Option<f64>| measured.iter().filter_map(of).sum::<f64>();
        let count = sum(&|one| one["delay"]["count"].as_f64()) + sum(&|one| one["delay"]["censored"].as_f64());
        (count > 0.0).then(|| sum(&|one| part(one).as_f64()) / count / 1e6)
    }
}

/// Where tests keep what they build.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("workloads")
}

/// A workload ready to run on this interpreter; `None`, with a word, where that lacks something.
///
/// # Panics
/// If it fails for another reason.
pub fn laid_out(workload: &Workload, python: &Python, seconds: f64) -> Option<LaidOut> {
    match workload.lay_out(&OsString::from(&python.program), seconds, Some(&cache())) {
        Ok(files) => Some(files),
        Err(CannotRun::Missing(missing)) => {
            eprintln!("skipped {} on {python}: {missing}", workload.name);
            None
        }
        Err(error) => panic!("{} on {python}: {error}", workload.name),
    }
}

/// Observes a workload when all of it runs.
fn observe(&(name, tasks, seconds, _): &Case, python: &Python) -> Option<Seen> {
    let files = laid_out(workloads::named(name).expect("a workload"), python, 60.0)?;
    let child = Child::spawn(&mut files.command());
    let pid = child.pid();
    eventually(PATIENCE, "the threads of the workload", || {
        (fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) >= tasks).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    let mut command = gilscope();
    command.args(["report", "-f", "json", "-d", &seconds.to_string(), "-p", &pid.to_string()]);
    let report = valid(&Child::spawn(&mut command).succeed(PATIENCE).stdout);
    Some(Seen(report["processes"][0].clone()))
}

/// Whether a case could be run here; adds what was wrong.
fn check(case: &Case, python: &Python, wrong: &mut Vec<String>) -> bool {
    let (name, .., ranges) = case;
    let Some(mut seen) = observe(case, python) else { return false };
    if seen.late() > 0.2 {
        thread::sleep(Duration::from_secs(2));
        seen = observe(case, python).expect("it could run before");
    }
    let figures = ranges.iter().map(|(figure, low, high)| (figure, low, high, seen.figure(figure)));
    let mut line = format!("{name} on {python}:");
    let judged = workloads::named(name).expect("a workload").judged;
    let mut outside: Vec<String> = seen.misjudged(judged).into_iter().collect();
    let queued = seen.figure("held_preempted").is_none_or(|share| share > 0.25);
    for (figure, low, high, value) in figures {
        let high = if *figure == INTERVAL.0 && queued { &INTERVAL_QUEUED } else { high };
        line += &value.map_or_else(|| format!(" {figure} ?"), |value| format!(" {figure} {value:.3}"));
        if !value.is_some_and(|value| (*low..=*high).contains(&value)) {
            outside.push(format!("{figure} is not within {low}..={high}"));
        }
    }
    eprintln!("{line}");
    if seen.late() > 0.2 {
        eprintln!("not judged: {:.0} % of the looks were late", 100.0 * seen.late());
    } else if !outside.is_empty() {
        wrong.push(format!("{line}\n    {}", outside.join(", ")));
    }
    true
}

#[test]
fn the_case_study_reads_as_it_is_on_every_version() {
    let _alone = alone();
    let mut wrong = Vec::new();
    let mut checked = 0;
    let mut versions = BTreeSet::new();
    for python in pythons_with_gil() {
        // Some are installed under two names.
        if !versions.insert(python.version) {
            continue;
        }
        for case in STUDY {
            checked += usize::from(check(case, python, &mut wrong));
        }
    }
    assert!(checked > 0, "no interpreter to run it on");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_other_workload_reads_as_it_is() {
    let _alone = alone();
    let pythons = pythons_with_gil();
    let mut wrong = Vec::new();
    for (index, case) in OTHERS.iter().enumerate() {
        let by_turns = (0..pythons.len()).map(|turn| pythons[(index + turn) % pythons.len()]);
        // Where nothing here can run it, a word on stderr has said why.
        let _ran = by_turns.into_iter().any(|python| check(case, python, &mut wrong));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_workload_is_a_case() {
    for workload in workloads::all() {
        let cases = STUDY.iter().chain(OTHERS).filter(|(name, ..)| *name == workload.name).count();
        assert_eq!(cases, 1, "{}", workload.name);
    }
}

fn demo(python: &Python, arguments: &[&str]) -> Command {
    let mut command = gilscope();
    command.arg("demo").arg("--python").arg(&python.program).args(arguments);
    command
}

#[test]
fn the_list_says_what_each_shows_and_which_cannot_run() {
    for python in oldest_and_newest() {
        let interpreter = Interpreter::ask(python.program.as_os_str()).expect("it answers");
        let (major, minor, patch) = python.version;
        assert_eq!(interpreter.version, python.version);
        assert_eq!(interpreter.headers, python.include.is_some(), "{python}");

        let ended = run_to(0, &mut demo(python, &["--list"]));
        assert_eq!(ended.stderr, "");
        assert!(ended.stdout.lines().next().is_some_and(|it| it.contains(&format!("CPython {major}.{minor}.{patch}"))));
        let mut lines = ended.stdout.lines();
        for workload in workloads::all() {
            let name = format!("  {:16}  ", workload.name);
            let shows = lines.find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("no {}", workload.name));
            assert_eq!(shows, format!("{name}{}", workload.shows));
            let expect = lines.next().expect("a line more");
            assert_eq!(expect.trim_start(), format!("expect: {}", workload.expect));
            if let Some(missing) = workload.missing(&interpreter) {
                let why = lines.next().expect("a line more");
                assert!(why.trim_start().starts_with(&format!("cannot run here: {missing}")), "{why}");
            }
        }
        let told = ended.stdout.matches("cannot run here: ").count();
        let missing = workloads::all().filter(|workload| workload.missing(&interpreter).is_some()).count();
        assert_eq!(told, missing, "{}", ended.stdout);
    }
}

#[test]
fn without_a_compiler_it_says_so_and_what_to_type() {
    let Some(python) = pythons_with_gil().into_iter().find(|python| python.include.is_some()) else {
        eprintln!("skipped: no interpreter with headers");
        return;
    };
    let desk = Desk::new();
    let empty = desk.path("");
    let listed = run_to(0, demo(python, &["--list"]).env("PATH", &empty)).stdout;
    let words = "cannot run here: there is no C compiler (cc); apt install gcc, or what your distribution calls it";
    let extensions = workloads::all().filter(|workload| workload.needs.contains(&Need::Extension)).count();
    assert_eq!(listed.matches(words).count(), extensions, "{listed}");
    let ended = run_to(4, demo(python, &["count-holding"]).env("PATH", &empty));
    assert_eq!(
        ended.stderr,
        "gilscope: the workload `count-holding` cannot run here: there is no C compiler (cc)\n\
         apt install gcc, or what your distribution calls it\n"
    );
}

#[test]
fn an_interpreter_that_is_none_is_named() {
    let mut command = gilscope();
    let ended = run_to(127, command.args(["demo", "--list", "--python", "/nowhere/python3"]));
    assert!(ended.stderr.starts_with("gilscope: cannot start `/nowhere/python3`: "), "{}", ended.stderr);
    let ended = run_to(4, gilscope().args(["demo", "count-holding", "--python", "true"]));
    assert!(ended.stderr.contains("`true` does not answer as a Python 3 would"), "{}", ended.stderr);
    run_to(2, gilscope().args(["demo", "--list", "convoy"]));
}

/// What is in a directory, with all below.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).map(|read| read.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.unwrap_or_default().into_iter().flat_map(below).collect()
}

#[test]
fn the_extension_is_built_once_and_only_where_nobody_else_writes() {
    let Some(python) = pythons_with_gil().into_iter().rev().find(|python| python.include.is_some()) else {
        eprintln!("skipped: no interpreter with headers");
        return;
    };
    let desk = Desk::new();
    let home = desk.path("cache");
    let run = || {
        let mut command = demo(python, &["-q", "-f", "json", "-d", "0.5", "block-released"]);
        valid(&run_to(0, command.env("XDG_CACHE_HOME", &home)).stdout)
    };
    run();
    let kept = files(&home);
    assert_eq!(kept.len(), 1, "{kept:?}: one file, and nothing of the building");
    let built = |path: &Path| fs::metadata(path).expect("it is there").ino();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let directory = home.join("gilscope");
    assert_eq!((mode(&directory), mode(kept[0].parent().expect("one")), mode(&kept[0])), (0o700, 0o700, 0o700));
    let first = built(&kept[0]);
    run();
    assert_eq!(built(&kept[0]), first, "it was built again");

    // A link may lead to anybody's file.
    fs::remove_file(&kept[0]).expect("it goes");
    std::os::unix::fs::symlink("/nowhere", &kept[0]).expect("a link");
    run();
    assert!(fs::symlink_metadata(&kept[0]).is_ok_and(|file| file.is_file()));

    // Where others may write it is neither used nor replaced.
    fs::write(&kept[0], "not an extension").expect("it is ours");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("it is ours");
    run();
    assert_eq!(fs::read(&kept[0]).expect("it is there"), b"not an extension");

    // Nor is there a cache where none can be made.
    let file = desk.file("a-file", "");
    run_to(0, demo(python, &["-q", "-f", "json", "-d", "0.5", "block-released"]).env("XDG_CACHE_HOME", file));
}
