//! What others do on the cores, and what a program may use, beside what they say of themselves.

use std::time::Duration;

use serde_json::Value;

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::Child;
use crate::support::pythons::newest_with_gil;

const PATIENCE: Duration = Duration::from_secs(60);

/// Computes on one core for 6 ms of every 20, and goes to another one when told.
const TARGET: &str = "
import os, sys, threading, time
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, cores[:1])
print('ready', flush=True)
def compute():
    while True:
        until = time.monotonic() + 0.006
        while time.monotonic() < until: pass
        time.sleep(0.014)
worker = threading.Thread(target=compute, daemon=True)
worker.start()
sys.stdin.readline()
os.sched_setaffinity(worker.native_id, cores[-1:])
print('moved', cores[-1], flush=True)
sys.stdin.readline()
";

/// Uses half of the last core, and says how much that was when told to end.
const STRANGER: &str = "
import os, sys, threading, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
over = []
threading.Thread(target=lambda: over.append(sys.stdin.readline()), daemon=True).start()
print('ready', os.sched_getaffinity(0), flush=True)
while not over:
    until = time.monotonic() + 0.01
    while time.monotonic() < until: pass
    time.sleep(0.01)
";

fn on_core(pid: u32) -> u64 {
    let read = |task: &std::path::Path| std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let used =
        tasks.map(|task| read(&task.unwrap().path()).split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0));
    used.sum::<u64>()
}

#[test]
fn what_others_use_is_told_apart_from_what_the_target_does() {
    let _alone = alone();
    let python = newest_with_gil();
    let mut target = Child::spawn(python.command().args(["-c", TARGET]));
    target.ready(PATIENCE);
    let mut stranger = Child::spawn(python.command().args(["-c", STRANGER]));
    stranger.ready(PATIENCE);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let before = on_core(stranger.pid());
    let mut report = Child::spawn(
        gilscope().args(["report", "-d", "3", "-f", "json", "-p", &target.pid().to_string(), "-o"]).arg(&file),
    );
    report.finish(PATIENCE);
    let strangers = on_core(stranger.pid()).saturating_sub(before) as f64;
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let process = &report["processes"][0];
    if process["capture"]["mode"] != "fused" {
        eprintln!("skipped: switch records are not permitted here");
        return;
    }
    let cores = process["cores"].as_array().unwrap();
    if cores.len() < 2 || cores.iter().all(|core| core["busy_ns"].is_null()) {
        eprintln!("skipped: one core, or /proc/stat does not tell of the machine's");
        return;
    }
    let number = |core: &Value, name: &str| core[name].as_f64().unwrap_or_else(|| panic!("no {name} in {core}"));
    let duration = number(&process["capture"], "duration_ns");
    for core in cores {
        let (own, other) = (number(core, "target_on_cpu_ns"), number(core, "other_ns"));
        let busy = number(core, "busy_ns");
        eprintln!("cpu {}: own {own}, other {other}, busy {busy} of {duration}", core["cpu"]);
        // A tick at each end, and what the records begin and end with. Of the first reading, a tenth of a second or two, it
        // is not known whose it was if some thread stayed on its core until then.
        let off = own + other - busy;
        let ends = 0.03 * duration + 20e6;
        assert!(off <= ends && -off <= ends + 200e6, "{core}");
        assert!(busy <= 1.01 * duration, "{core}");
    }
    // What it used before and after the capture is in its own figure; what else is on that core, in ours.
    let last = cores.iter().rfind(|core| number(core, "busy_ns") > 0.2 * duration).unwrap();
    let other = number(last, "other_ns");
    assert!(other >= 0.7 * strangers - 40e6, "{other}, the stranger alone {strangers}");
    stranger.say("over\n");
}

#[test]
fn a_thread_that_may_use_other_cores_than_before_is_seen() {
    let _alone = alone();
    let mut target = Child::spawn(newest_with_gil().command().args(["-c", TARGET]));
    target.ready(PATIENCE);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("moved.gscope");
    let mut recorder =
        Child::spawn(gilscope().args(["record", "-q", "-d", "4", "-p", &target.pid().to_string(), "-o"]).arg(&file));
    std::thread::sleep(Duration::from_millis(1_500));
    target.say("move\n");
    let moved = target.line(PATIENCE);
    let core = moved.trim().strip_prefix("moved ").unwrap().parse::<u64>().unwrap();
    recorder.finish(PATIENCE);
    let report = Child::spawn(gilscope().args(["report", "-f", "json"]).arg(&file)).succeed(PATIENCE).stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    let process = &report["processes"][0];
    let threads = process["threads"].as_array().unwrap();
    let allowed: Vec<&Value> = threads.iter().map(|thread| &thread["cpus_allowed"]).collect();
    let found = process["target"]["cpus_allowed"].as_array().unwrap();
    assert_eq!(found.len(), 1, "as it was found: {found:?}");
    if found[0] == core {
        eprintln!("skipped: there is one core only");
        return;
    }
    assert_eq!(allowed.iter().filter(|cpus| ***cpus == serde_json::json!([core])).count(), 1, "{allowed:?}");
    assert_eq!(allowed.iter().filter(|cpus| cpus.is_null()).count(), threads.len() - 1, "{allowed:?}");
}
