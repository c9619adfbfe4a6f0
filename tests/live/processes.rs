//! Several processes: those that a program makes, in every way that it can, and several that were named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{Desk, PATIENCE, oldest_and_newest, run_to, valid};
use crate::observed::gilscope;
use crate::support::child::Child;
use crate::support::pythons::{Python, newest_with_gil, pythons_with_gil};

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth/family.py")
}

/// `gilscope report -s -f json -o FILE -- PYTHON family.py ARGS`: what it says, and what the program said.
fn reported(python: &Python, arguments: &[&str]) -> (Vec<Value>, String) {
    let desk = Desk::new();
    let file = desk.path("report.json");
    let mut command = gilscope();
    command.args(["report", "-q", "-s", "-f", "json", "-o"]).arg(&file).arg("--");
    let ended = run_to(0, command.arg(&python.program).arg(program()).args(arguments));
    (processes(&valid(&String::from_utf8_lossy(&desk.read("report.json")))), ended.stdout)
}

fn processes(report: &Value) -> Vec<Value> {
    report["processes"].as_array().expect("a list").clone()
}

fn gil(process: &Value, figure: &str) -> f64 {
    process["interpreters"][0]["gil"][figure].as_f64().expect("a figure")
}

fn pid(process: &Value) -> u64 {
    process["target"]["pid"].as_u64().expect("a pid")
}

fn unwatched(process: &Value, why: &str) -> u64 {
    process["unwatched_children"][why].as_u64().expect("a number")
}

/// Ids are unique in a report, whatever process they are of.
fn ids_are_unique(all: &[Value]) {
    let threads = all.iter().flat_map(|process| process["threads"].as_array().expect("threads"));
    let ids: Vec<u64> = threads.map(|thread| thread["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
}

/// The workers compute all the time, each with a GIL of its own, and say who they are; the two threads beside them share one.
#[test]
fn a_pool_beside_threads_has_a_gil_for_each_process() {
    for python in oldest_and_newest().into_iter().filter(|python| !python.free_threaded) {
        for how in ["fork", "spawn", "forkserver"] {
            let (all, said) = reported(python, &["pool", "2", how]);
            ids_are_unique(&all);
            let workers: BTreeSet<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            assert_eq!(workers.len(), 2, "{python}, {how}: {said}");
            let of_workers: Vec<&Value> = all.iter().filter(|process| workers.contains(&pid(process))).collect();
            assert_eq!(of_workers.len(), 2, "{python}, {how}: both are looked into");
            for worker in of_workers {
                assert_eq!(gil(worker, "contention"), 0.0, "{python}, {how}: nobody is there to wait");
                assert_eq!(gil(worker, "handoffs"), 0.0, "{python}, {how}");
                // It starts up and ends within the time that it is looked at.
                assert!(gil(worker, "load") > 0.5, "{python}, {how}: {}", gil(worker, "load"));
            }
            let parent = &all[0];
            // Four want the two cores of a small machine: a thread that queues for one asks for nothing.
            assert!(gil(parent, "contention") > 0.2, "{python}, {how}: {}", gil(parent, "contention"));
            assert!(gil(parent, "lost_ns") > 1e8, "{python}, {how}");
            assert_eq!(unwatched(parent, "unreadable"), 0, "{python}, {how}");
        }
    }
}

#[test]
fn children_that_are_too_short_are_counted_and_have_no_figures() {
    let (all, _) = reported(newest_with_gil(), &["brief", "1", "20"]);
    assert_eq!(all.len(), 1, "a child that lives for 2 ms is no process to speak of");
    let too_short = unwatched(&all[0], "too_short");
    match all[0]["capture"]["mode"] == "fused" {
        // The kernel tells of each.
        true => assert_eq!(too_short, 20),
        false => assert!(too_short <= 20, "{too_short}"),
    }
    assert_eq!(all[0]["children"].as_array().map(Vec::len), Some(too_short as usize));
}

#[test]
fn another_python_and_what_is_none_are_told_apart() {
    let pythons = pythons_with_gil();
    let (python, other) = (pythons[pythons.len() - 1], pythons[0]);
    let (all, _) = reported(python, &["others", "1.5", &other.program.to_string_lossy()]);
    let versions: Vec<&str> = all.iter().filter_map(|process| process["target"]["python"].as_str()).collect();
    let version = |python: &Python| format!("{}.{}.{}", python.version.0, python.version.1, python.version.2);
    // The third is a child of the shell, which is none.
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert_eq!(versions.iter().filter(|it| **it == version(python)).count(), if python == other { 3 } else { 2 });
    assert!(versions.contains(&version(other).as_str()), "{versions:?}");
    assert_eq!(unwatched(&all[0], "not_python"), 1, "the shell");
}

#[test]
fn the_child_of_a_child_is_followed() {
    let (all, _) = reported(newest_with_gil(), &["grandchild", "1.5"]);
    assert_eq!(all.len(), 3);
    let child_of = |process: &Value| {
        process["children"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect::<Vec<_>>()
    };
    assert_eq!(child_of(&all[0]), [pid(&all[1])]);
    assert_eq!(child_of(&all[1]), [pid(&all[2])]);
    assert!(gil(&all[2], "load") > 0.8 && gil(&all[1], "load") < 0.5);
}

/// A program that is no Python, and stays one, is followed for those that it starts.
#[test]
fn what_a_script_starts_is_followed() {
    let desk = Desk::new();
    let file = desk.path("report.json");
    let python = newest_with_gil().program.to_string_lossy().into_owned();
    let line = format!("'{python}' '{}' grandchild 1; exit 3", program().display());
    let mut command = gilscope();
    command.args(["report", "-q", "-s", "-f", "json", "-o"]).arg(&file).args(["--", "sh", "-c", &line]);
    run_to(3, &mut command);
    assert_eq!(processes(&valid(&String::from_utf8_lossy(&desk.read("report.json")))).len(), 3);
}

#[test]
fn several_that_were_named_and_those_that_are_there_already() {
    let start = |arguments: &[&str]| {
        let mut child = Child::spawn(Command::new(&newest_with_gil().program).arg(program()).args(arguments));
        child.ready(PATIENCE);
        child
    };
    let (one, two) = (start(&["grandchild", "8"]), start(&["grandchild", "8"]));
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (first, second) = (one.pid().to_string(), two.pid().to_string());
    let report = |arguments: &[&str]| {
        let ended = run_to(0, gilscope().args(["report", "-q", "-f", "json", "-d", "1", "-p", &first]).args(arguments));
        processes(&valid(&ended.stdout))
    };
    let both = report(&["-p", &second]);
    assert_eq!(both.iter().map(pid).collect::<Vec<_>>(), [one.pid(), two.pid()].map(u64::from));
    assert_eq!(report(&["-s"]).len(), 3, "its child, and that one's");
    assert_eq!(report(&[]).len(), 1);
    let text = run_to(0, gilscope().args(["report", "-q", "-d", "1", "-s", "-p", &first])).stdout;
    for part in ["3 processes", "Each has a GIL of its own.", "ran Python on", "worst wait"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// One file has all of them, and is read as it was seen.
#[test]
fn a_recording_has_all_processes_in_one_file() {
    let desk = Desk::new();
    let file = desk.path("family.gscope");
    let mut command = gilscope();
    command.args(["record", "-q", "-s", "-o"]).arg(&file).arg("--");
    run_to(0, command.arg(&newest_with_gil().program).arg(program()).args(["pool", "2", "fork"]));
    let all = processes(&valid(&run_to(0, gilscope().args(["report", "-f", "json"]).arg(&file)).stdout));
    assert_eq!(all.len(), 3);
    ids_are_unique(&all);
    assert!(all.iter().all(|process| process["capture"]["coverage"].as_f64() > Some(0.5)));
    let screen = run_to(0, gilscope().arg("replay").arg(&file).args(["--once", "--view", "processes"])).stdout;
    for process in &all {
        assert!(screen.contains(&pid(process).to_string()), "{screen}");
    }
    assert!(screen.contains("ended") && screen.contains("contention"), "{screen}");
    run_to(0, gilscope().args(["dump"]).arg(&file));
}
