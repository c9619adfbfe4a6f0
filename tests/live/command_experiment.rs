//! `gilscope experiment` and `gilscope compare` on real programs, and what they leave behind on a process: nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use gilscope::affinity::{self, CpuSet};
use gilscope::compare::SCHEMA as COMPARE_SCHEMA;
use gilscope::event::Tid;
use gilscope::experiment::SCHEMA as EXPERIMENT_SCHEMA;
use serde_json::Value;

use crate::command::{PATIENCE, run_to, send};
use crate::observed::gilscope;
use crate::support::child::{Child, Ended, eventually};
use crate::support::pythons::newest_with_gil;

/// Two threads and a main thread, each with cores of its own. At each line on stdin another thread is started, by a
/// thread that was there before, and a child process.
const PINNED: &str = "\
import os, subprocess, sys, threading, time
cores = sorted(os.sched_getaffinity(0))
def busy(own):
    if own is not None:
        os.sched_setaffinity(0, own)
    sys.stdout.write('%d\\n' % threading.get_native_id()); sys.stdout.flush()
    while True:
        sum(range(200))
        time.sleep(0.001)
for own in ({cores[0]}, {cores[1]}):
    threading.Thread(target=busy, args=(own,), daemon=True).start()
    time.sleep(0.05)
sys.stdout.write('ready\\n'); sys.stdout.flush()
for line in sys.stdin:
    threading.Thread(target=busy, args=(None,), daemon=True).start()
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])
";

/// Fixed work in two threads that want the GIL all the time.
const WORK: &str = "\
import threading
def work():
    n = 0
    for _ in range(600000):
        n = (n * 31 + 7) % 1000003
threads = [threading.Thread(target=work) for _ in range(2)]
for t in threads: t.start()
for t in threads: t.join()
";

/// The first two cores there are; `None`, and it is said, where there is one.
fn two_cores() -> Option<(CpuSet, CpuSet)> {
    let all = affinity::of(Tid(std::process::id())).unwrap();
    let [first, second, ..] = *all.cpus() else {
        eprintln!("skipped: there is one core");
        return None;
    };
    Some((CpuSet::of([first])?, CpuSet::of([first, second])?))
}

fn pinned() -> Child {
    let mut child = Child::spawn(Command::new(&newest_with_gil().program).args(["-c", PINNED]));
    child.ready(PATIENCE);
    child
}

/// Where each thread of a process may run.
fn masks(pid: u32) -> BTreeMap<u32, CpuSet> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .filter_map(|tid| Some((tid, affinity::of(Tid(tid)).ok()?)))
        .collect()
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn on_a_process(pid: u32, sets: &[&CpuSet], directory: &Path, more: &[&str]) -> Command {
    let mut command = gilscope();
    command.args(["experiment", "-p", &pid.to_string(), "--mode", "sampled", "-o"]).arg(directory);
    for set in sets {
        command.args(["--cpus", &set.to_string()]);
    }
    command.args(more);
    command
}

/// Runs an experiment on a process until all of its threads are on one core, has it start others, and does `end` to gilscope;
/// then all has to be as it was.
#[track_caller]
fn is_put_back(more: &[&str], end: impl FnOnce(&mut Child)) {
    let Some((one, two)) = two_cores() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut target = pinned();
    let before = masks(target.pid());
    assert!(before.len() >= 3 && before.values().any(|set| *set != two), "{before:?}");
    let mut tool = Child::spawn(&mut on_a_process(target.pid(), &[&one, &two], &directory.path().join("x"), more));
    let pid = target.pid();
    eventually(PATIENCE, "all threads on one core", || masks(pid).values().all(|set| *set == one).then_some(()));
    let guardian = *children(tool.pid()).first().expect("a guardian");
    target.say("more\n");
    eventually(PATIENCE, "a thread and a child started meanwhile", || {
        (masks(pid).len() > before.len() && !children(pid).is_empty()).then_some(())
    });
    end(&mut tool);
    eventually(PATIENCE, "the guardian to end", || {
        let stat = fs::read_to_string(format!("/proc/{guardian}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    let after = masks(pid);
    for (tid, set) in &before {
        assert_eq!(after.get(tid), Some(set), "thread {tid}: {before:?} became {after:?}");
    }
    let main = &before[&pid];
    let new: Vec<u32> = after.keys().copied().filter(|tid| !before.contains_key(tid)).collect();
    assert!(!new.is_empty());
    for tid in new.into_iter().chain(children(pid)) {
        assert_eq!(affinity::of(Tid(tid)).ok().as_ref(), Some(main), "thread {tid} started meanwhile");
    }
    for child in children(pid) {
        send("KILL", child);
    }
}

#[test]
fn cores_are_put_back_at_the_end() {
    is_put_back(&["--yes", "--period", "300ms", "-n", "1"], |tool| {
        let ended = tool.succeed(PATIENCE);
        assert!(ended.stderr.contains("may run where they could before"), "{}", ended.stderr);
    });
}

#[test]
fn cores_are_put_back_on_ctrl_c() {
    is_put_back(&["--yes", "--period", "30s", "-n", "1"], |tool| {
        send("INT", tool.pid());
        tool.succeed(PATIENCE);
    });
}

#[test]
fn cores_are_put_back_when_gilscope_is_killed() {
    is_put_back(&["--yes", "--period", "30s", "-n", "1"], |tool| {
        send("KILL", tool.pid());
        assert_eq!(tool.finish(PATIENCE).status.signal(), Some(9));
    });
}

#[test]
fn cores_that_are_not_there_change_nothing() {
    let Some((one, _)) = two_cores() else { return };
    let directory = tempfile::tempdir().unwrap();
    let target = pinned();
    let before = masks(target.pid());
    let nowhere = CpuSet::of([8_000]).unwrap();
    let more = ["--yes", "--period", "200ms", "-n", "1", "--seed", "1"];
    let ended = run_to(2, &mut on_a_process(target.pid(), &[&nowhere, &one], &directory.path().join("x"), &more));
    assert!(ended.stderr.contains("cannot run on cores 8000"), "{}", ended.stderr);
    assert_eq!(masks(target.pid()), before);
}

#[test]
fn nobody_is_moved_unasked_and_a_target_that_ends_gives_a_word() {
    let Some((one, two)) = two_cores() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut target = pinned();
    let before = masks(target.pid());
    let ended = run_to(8, &mut on_a_process(target.pid(), &[&one], &directory.path().join("x"), &[]));
    assert!(ended.stderr.contains("--yes") && ended.stderr.contains("changes a running process"), "{}", ended.stderr);
    assert_eq!(masks(target.pid()), before);
    let more = ["--yes", "--period", "30s", "-n", "1"];
    let mut tool = Child::spawn(&mut on_a_process(target.pid(), &[&one, &two], &directory.path().join("y"), &more));
    let pid = target.pid();
    eventually(PATIENCE, "its threads to be moved", || masks(pid).values().all(|set| *set == one).then_some(()));
    send("KILL", pid);
    target.finish(PATIENCE);
    drop(target);
    let ended = tool.finish(PATIENCE);
    assert_eq!(ended.status.code(), Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("process {pid} is gone")), "{}", ended.stderr);
}

#[track_caller]
fn valid(schema: &str, text: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let document: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.validate(&document).unwrap_or_else(|error| panic!("{error} at {}", error.instance_path()));
    document
}

fn experiment(directory: &Path, more: &[&str], program: &[&str]) -> Command {
    let mut command = gilscope();
    command.args(["experiment", "--mode", "sampled", "-f", "json", "-o"]).arg(directory).args(more).arg("--");
    command.arg(&newest_with_gil().program).args(program);
    command
}

#[test]
fn all_combinations_are_run_and_can_be_compared_and_the_interval_is_set() {
    let Some((one, _)) = two_cores() else { return };
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own");
    fs::create_dir(&own).unwrap();
    // The program's own sitecustomize runs as if nobody had been there.
    let marker = directory.path().join("marker");
    let site = format!(
        "import sys\nopen({:?}, 'a').write(repr([sys.getswitchinterval(), sys.path[0], __file__]) + '\\n')\n",
        marker
    );
    fs::write(own.join("sitecustomize.py"), site).unwrap();
    let root = directory.path().join("experiment");
    let sets = one.to_string();
    let more = [
        "--cpus",
        &sets,
        "--switch-interval",
        "0.5ms",
        "--switch-interval",
        "100ms",
        "-n",
        "2",
        "--bare",
        "1",
        "--seed",
        "7",
    ];
    let mut command = experiment(&root, &more, &["-c", WORK]);
    let ended = run_to(0, command.env("PYTHONPATH", &own));
    let document = valid(EXPERIMENT_SCHEMA, &ended.stdout);
    let variants = document["variants"].as_array().unwrap();
    assert_eq!(variants.iter().map(|one| one["runs"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 2]);
    assert!(document["cost"]["bare_runs"] == 2 && document["cost"]["observed_runs"] == 4, "{}", document["cost"]);
    let marked = fs::read_to_string(&marker).unwrap();
    let intervals: Vec<bool> = marked.lines().map(|line| line.starts_with("[0.0005")).collect();
    assert_eq!((intervals.len(), intervals.iter().filter(|is| **is).count()), (8, 4), "{marked}");
    assert!(
        marked.lines().all(|line| line.contains("own/sitecustomize.py") && !line.contains("gilscope-interval")),
        "{marked}"
    );
    let directories: Vec<_> = variants.iter().map(|one| root.join(one["directory"].as_str().unwrap())).collect();
    let ended = run_to(0, gilscope().arg("compare").args(&directories).args(["-f", "json"]));
    let compared = valid(COMPARE_SCHEMA, &ended.stdout);
    let abouts: Vec<&str> =
        compared["differences"].as_array().unwrap().iter().filter_map(|one| one["about"].as_str()).collect();
    assert!(abouts.contains(&"switch interval") && !abouts.contains(&"allowed CPUs"), "{abouts:?}");
    assert_eq!(compared["method"]["can_tell"], false);
    // By turns, but on one core a time-out of 0.5 ms waits for the scheduler's slice of 3 to 4 ms: 150 to 290 handoffs a second
    // were seen. With 100 ms there are hardly any.
    let handoffs = compared["figures"].as_array().unwrap().iter().find(|one| one["name"] == "handoffs").unwrap();
    assert!(handoffs["ratio"].as_f64().unwrap() < 0.3, "{handoffs}");
    let gate = |condition: &str, status| {
        run_to(status, gilscope().arg("compare").args(&directories).args(["--fail-if", condition]))
    };
    assert!(gate("handoffs -50%", 7).stderr.contains("--fail-if handoffs -50%"));
    gate("handoffs +50%", 0);
    assert!(gate("handoffs.forced > 1000000/s", 7).stderr.contains("cannot be decided"), "sampled: it is not known");
    let one = directories[0].join("run-001.gscope");
    run_to(7, gilscope().arg("report").arg(&one).args(["--fail-if", "load > 1%"]));
    run_to(0, gilscope().arg("report").arg(&one).args(["--fail-if", "load < 1%", "-q"]));
    assert!(run_to(2, gilscope().arg("report").arg(&one).args(["--fail-if", "load +1%"])).stderr.contains("two sides"));
    assert!(
        run_to(2, gilscope().arg("report").arg(&one).args(["--fail-if", "laod > 1%"])).stderr.contains("waits.p99")
    );
}

/// Takes 40 MiB, and a child that was forked from it takes 30 MiB more.
const LARGE: &str = "\
import os, time
own = bytearray(40 << 20)
own[::4096] = b'x' * len(own[::4096])
if os.fork() == 0:
    more = bytearray(30 << 20)
    more[::4096] = b'x' * len(more[::4096])
    time.sleep(1.2)
    os._exit(0)
time.sleep(1.2)
os.wait()
";

#[test]
fn memory_is_that_of_all_processes_and_shared_pages_count_once() {
    let directory = tempfile::tempdir().unwrap();
    let more = ["-n", "1", "--bare", "0", "--warm-up", "0"];
    run_to(0, &mut experiment(&directory.path().join("x"), &more, &["-c", LARGE]));
    let recording = directory.path().join("x/as_it_is/run-001.gscope");
    let report = run_to(0, gilscope().arg("report").arg(&recording).args(["-f", "json"]));
    let document: Value = serde_json::from_str(&report.stdout).unwrap();
    let memory = &document["processes"][0]["memory"];
    let peak = |whose: &str| memory[whose]["peak_pss_bytes"].as_u64().unwrap() >> 20;
    // The 40 MiB are shared: half of them counts for each. An interpreter has 5 to 15 MiB of its own.
    assert!((20..100).contains(&peak("own")) && (70..100).contains(&peak("tree")), "{memory}");
    assert_eq!(memory["tree"]["processes"], 2, "{memory}");
    run_to(7, gilscope().arg("report").arg(&recording).args(["--fail-if", "memory.pss > 64MiB"]));
    run_to(0, gilscope().arg("report").arg(&recording).args(["--fail-if", "memory.pss > 128MiB"]));
}

/// Runs two ways of the fixed work once, observed as precisely as may be, and compares the recordings.
fn two_ways(root: &Path, ways: [&str; 2]) -> (Value, String) {
    let python = newest_with_gil();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/experiments/fixed_work.py");
    let mut command = gilscope();
    command.args(["experiment", "-f", "json", "-n", "1", "--bare", "0", "--warm-up", "0", "-o"]).arg(root);
    for way in ways {
        command.arg("--variant");
        command.arg(format!("{way}='{}' '{program}' {way} python 4 24000000", python.program.display()));
    }
    let ended = run_to(0, &mut command);
    let document = valid(EXPERIMENT_SCHEMA, &ended.stdout);
    (document["comparisons"][0]["comparison"].clone(), ended.stderr)
}

fn value(comparison: &Value, side: &str, figure: &str) -> f64 {
    let figures = comparison["figures"].as_array().unwrap();
    let found = figures.iter().find(|one| one["name"] == figure).unwrap();
    found[side]["median"]["value"].as_f64().unwrap_or_else(|| panic!("{side} has no {figure}: {found}"))
}

/// What a variant does in other processes is in its figures, and what is said of all is the sum of what is reported of each.
#[test]
fn the_figures_are_of_all_processes_that_a_program_makes() {
    let directory = tempfile::tempdir().unwrap();
    let (comparison, said) = two_ways(&directory.path().join("x"), ["threads", "pools"]);
    let scope = comparison["scope"].as_str().unwrap();
    assert!(scope.contains("A: 1 process; B: 2 processes, each with a GIL of its own"), "{scope}");
    assert!(said.contains(", 2 processes"), "{said}");
    for (side, processes) in [("a", 1), ("b", 2)] {
        let run = &comparison[side]["runs"][0];
        assert!(run["processes"] == processes && run["gils"] == processes && run["processes_left_out"] == 0, "{run}");
        // Four threads of one process, and twice two of two, all want to compute all the time.
        assert!(value(&comparison, side, "demand") > 2.0, "{side}: {comparison}");
        assert!(value(&comparison, side, "load") <= 1.0 && value(&comparison, side, "contention") <= 1.0);
    }
    if two_cores().is_some() {
        // One GIL is one core's worth of Python. Others use the machine.
        let of = |side| value(&comparison, side, "cores.gil");
        assert!(of("a") < 1.01 && of("b") > 1.2 * of("a"), "{} and {} cores", of("a"), of("b"));
    }
    let recording = directory.path().join("x/pools/run-001.gscope");
    let report = run_to(0, gilscope().arg("report").arg(&recording).args(["-f", "json"]));
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let processes = report["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 2);
    let gil = |process: &Value, name: &str| process["interpreters"][0]["gil"][name].as_f64().unwrap();
    let seconds = comparison["b"]["runs"][0]["duration_ns"].as_f64().unwrap() / 1e9;
    let coverage = |process: &Value| process["capture"]["coverage"].as_f64().unwrap();
    for (figure, of) in [("lost", "lost_ns"), ("handoffs", "handoffs")] {
        let scale = if of.ends_with("_ns") { 1e9 } else { 1.0 };
        let each: Vec<f64> = processes.iter().map(|process| gil(process, of) / scale).collect();
        assert!(
            each.iter().all(|part| *part > 0.2 * each.iter().sum::<f64>()),
            "{figure}: both have their part, {each:?}"
        );
        let sum = each.iter().sum::<f64>() / seconds;
        let all = value(&comparison, "b", figure);
        // What was missed of one, its own rate makes up for.
        let most_missed = 1.0 - processes.iter().map(coverage).fold(1.0, f64::min);
        assert!(
            all >= sum * 0.999 && all <= sum * (1.02 + most_missed),
            "{figure}: {all}, parts {sum}, missed {most_missed}"
        );
    }
    let both = gil(&processes[0], "load").max(gil(&processes[1], "load"));
    assert!(value(&comparison, "b", "load") <= both + 1e-9 && value(&comparison, "b", "load") > 0.8 * both);
    // A condition is of all of them, too.
    let limit = format!("demand > {}", 0.9 * value(&comparison, "b", "demand"));
    run_to(7, gilscope().arg("report").arg(&recording).args(["-q", "--fail-if", &limit]));
}

/// Children that are gone at once, a shell, and what that starts.
#[test]
fn what_could_not_be_looked_into_is_counted_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let python = newest_with_gil();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth/family.py");
    let mut command = gilscope();
    command.args(["experiment", "-f", "json", "-n", "1", "--bare", "0", "--warm-up", "0", "-o"]);
    command.arg(directory.path().join("x"));
    command.args(["--variant", &format!("brief='{}' '{program}' brief 1 5", python.program.display())]);
    let others = format!("'{}' '{program}' others 1 '{}'", python.program.display(), python.program.display());
    command.args(["--variant", &format!("others=sh -c \"{others}; true\"")]);
    let document = valid(EXPERIMENT_SCHEMA, &run_to(0, &mut command).stdout);
    let comparison = &document["comparisons"][0]["comparison"];
    let scope = comparison["scope"].as_str().unwrap();
    let [brief, others] = ["a", "b"].map(|side| &comparison[side]["runs"][0]);
    assert!(brief["processes"] == 1 && brief["processes_left_out"].as_u64() > Some(0), "{brief}");
    // The program, the Python that it starts, and one that it starts by a shell.
    assert!(others["processes"] == 3 && others["processes_left_out"] == 1, "{others}");
    assert!(scope.contains("that ended too soon") && scope.contains("B: 1 that ran no Python"), "{scope}");
}

/// A way that fails at once would look like the fastest of all.
#[test]
fn every_way_of_the_fixed_work_does_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let python = newest_with_gil();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/experiments/fixed_work.py");
    let mut command = gilscope();
    command.args(["experiment", "--mode", "sampled", "-f", "json", "-n", "1", "--bare", "1", "--warm-up", "0", "-o"]);
    command.arg(directory.path().join("x"));
    let ways = ["threads", "processes", "pools", "interpreters"];
    let ways = if python.minor() >= 12 { &ways[..] } else { &ways[..3] };
    for way in ways {
        command.arg("--variant");
        command.arg(format!("{way}='{}' '{program}' {way} python 4 6000000", python.program.display()));
    }
    let document = valid(EXPERIMENT_SCHEMA, &run_to(0, &mut command).stdout);
    assert_eq!(document["failures"], serde_json::json!([]));
    let comparisons = document["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), ways.len() - 1);
    for one in comparisons {
        let figures = one["comparison"]["figures"].as_array().unwrap();
        let cpu = figures.iter().find(|figure| figure["name"] == "run.cpu").unwrap();
        // The same work; cores that others use are slower, and interpreters take a while to start.
        assert!((0.5..2.0).contains(&cpu["ratio"].as_f64().unwrap()), "{}: {cpu}", one["changed"]);
    }
    let mut failing = experiment(&directory.path().join("y"), &["-n", "1", "--bare", "0", "--warm-up", "0"], &[]);
    let ended = run_to(0, failing.args([program, "threads", "python", "2", "6e5"]));
    assert_eq!(valid(EXPERIMENT_SCHEMA, &ended.stdout)["failures"][0]["status"], 1);
}

#[test]
fn an_interval_that_cannot_be_set_is_refused_with_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |name: &str, program: &[&str], said: &str| {
        let more = ["--switch-interval", "1ms", "-n", "1", "--bare", "0", "--warm-up", "0"];
        let ended = run_to(2, &mut experiment(&directory.path().join(name), &more, program));
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    };
    refused("isolated", &["-I", "-c", WORK], "-I has Python ignore its environment");
    let own = format!("import sys; sys.setswitchinterval(0.002)\n{WORK}");
    refused("own", &["-c", &own], "was to be 1.00 ms and is 2.00 ms");
    let shell = format!("exec {} -I -c '{}'", newest_with_gil().program.display(), WORK);
    let mut command = gilscope();
    command.args(["experiment", "--mode", "sampled", "-n", "1", "--switch-interval", "1ms", "-o"]);
    command.arg(directory.path().join("shell")).args(["--", "sh", "-c", &shell]);
    let ended = run_to(2, &mut command);
    assert!(ended.stderr.contains("leaves sitecustomize out"), "{}", ended.stderr);
}

#[test]
fn it_goes_on_after_ctrl_c() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("experiment");
    let more = ["-n", "3", "--bare", "1", "--warm-up", "1"];
    let mut tool = Child::spawn(&mut experiment(&root, &more, &["-c", WORK]));
    let runs = root.join("runs.jsonl");
    let made = || fs::read_to_string(&runs).unwrap_or_default().lines().count();
    eventually(PATIENCE, "a run to be over", || (made() >= 1).then_some(()));
    send("INT", tool.pid());
    let ended = tool.succeed(PATIENCE);
    let before = made();
    assert!((1..5).contains(&before), "{before} runs: {}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    let again = |more: &[&str]| -> Ended {
        run_to(0, gilscope().args(["experiment", "--mode", "sampled", "-f", "json", "--resume"]).arg(&root).args(more))
    };
    let document = valid(EXPERIMENT_SCHEMA, &again(&[]).stdout);
    assert_eq!((document["variants"][0]["runs"].as_u64(), made()), (Some(3), 5));
    assert_eq!(valid(EXPERIMENT_SCHEMA, &again(&[]).stdout)["variants"], document["variants"], "all was done");
    // What is in its place is not overwritten.
    let ended = run_to(2, &mut experiment(&root, &more, &["-c", WORK]));
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
}
