//! Many threads, many interpreters, several gilscopes; and targets that go while they are followed.
//!
//! Ranges are as wide as in `observed`: what is asserted is that nothing goes wrong, not how good the figures are.

use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

use gilscope::event::{Event, SwitchesEnd, What};
use serde_json::Value;

use crate::command::{Desk, PATIENCE, of_capture, run_to, send, valid};
use crate::observed::{Observed, gilscope, near, observe, on_one};
use crate::support::alone;
use crate::support::budget::{keeps_to_the_budget, read};
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons_with_gil};
use crate::support::scenario::Scenario;
use crate::support::truth::TruthFigures;

fn newest() -> &'static Python {
    pythons_with_gil().pop().expect("an interpreter")
}

fn is_fused(process: &Value) -> bool {
    let fused = process["capture"]["mode"] == "fused";
    if !fused {
        eprintln!("skipped: switch records are not permitted here");
    }
    fused
}

fn shares_are_right(observed: &Observed, truth: &TruthFigures) {
    near(observed.gil_share("load"), truth.load.expect("all are stamped"), observed.bound(4.0), "load");
    near(observed.gil_share("contention"), truth.contention, observed.bound(4.0), "contention");
    observed.states_add_up();
}

#[test]
fn a_thousand_threads_are_followed() {
    on_one("crowd", &[], 3.0, |observed, truth| {
        shares_are_right(observed, truth);
        let capture = &observed.process["capture"];
        if is_fused(&observed.process) {
            let (followed, living) = (&capture["followed_threads"], &capture["living_threads"]);
            assert!(followed == living && living.as_u64() > Some(1_000), "{followed} of {living}");
        }
        let own = capture["own_cpu_ns"].as_f64().expect("a figure") / capture["duration_ns"].as_f64().expect("one");
        eprintln!("own CPU {own:.3}");
        // It keeps to 12 % of a core at its looks, and looks at names and totals beside that, more of them in a debug
        // build.
        assert!(own < 0.6, "{own}");
    });
}

#[test]
fn two_hundred_native_threads_call_in_by_turns() {
    on_one("natives", &[], 3.0, shares_are_right);
}

#[test]
fn interpreters_with_gils_of_their_own_are_told_apart() {
    let _alone = alone();
    let Some(python) = pythons_with_gil().into_iter().rev().find(|python| python.minor() >= 12) else {
        eprintln!("skipped: no CPython 3.12 or later");
        return;
    };
    for tenants in ["2", "4", "8"] {
        let Some(observed) = observe(python, "subinterpreters", &[tenants], 1.5) else {
            eprintln!("skipped: no headers to build with");
            return;
        };
        if observed.late() > 0.2 {
            eprintln!("skipped {tenants}: {:.0} % of the looks were late", 100.0 * observed.late());
            continue;
        }
        for interpreter in observed.process["interpreters"].as_array().expect("interpreters") {
            let (id, gil) = (interpreter["id"].as_i64().expect("an id"), &interpreter["gil"]);
            let truth = observed.stamps.within_interpreter(id, observed.window.clone());
            let load = gil["load"].as_f64().expect("a load");
            near(
                load,
                truth.load.expect("all are stamped"),
                observed.bound(4.0),
                &format!("load of {id} of {tenants}"),
            );
            assert!(gil["waits"]["count"].as_u64() < Some(10), "nobody shares a GIL here: {}", gil["waits"]);
        }
    }
}

/// Threads that have slept for long and then all wake up at once, again and again.
#[test]
fn a_crowd_that_wakes_up_stays_within_the_budget() {
    let _alone = alone();
    let code = "import sys, threading, time\n\
                threading.stack_size(256 * 1024)\n\
                go = threading.Event()\n\
                def churn():\n    go.wait()\n    while True: time.sleep(0.002)\n\
                for _ in range(1000): threading.Thread(target=churn, daemon=True).start()\n\
                print('ready', flush=True)\n\
                sys.stdin.readline()\n\
                go.set()\n\
                time.sleep(1000)";
    let mut child = Child::spawn(newest().command().args(["-c", code]));
    child.ready(PATIENCE);
    let desk = Desk::new();
    let (file, pid) = (desk.path("churn.gscope"), child.pid().to_string());
    let budget = 0.5;
    let mut recording = gilscope();
    recording.args(["record", "-q", "-d", "6", "--max-overhead", &budget.to_string(), "-p", &pid, "-o"]).arg(&file);
    let mut recording = Child::spawn(&mut recording);
    thread::sleep(Duration::from_millis(1_200));
    child.say("go\n");
    recording.succeed(PATIENCE);
    let events = read(&file);
    if !events.iter().any(|event| matches!(event.what, What::SwitchesBegin { .. })) {
        eprintln!("skipped: switch records are not permitted here");
        return;
    }
    let too_costly = |event: &Event| matches!(event.what, What::SwitchesEnd { why: SwitchesEnd::TooCostly, .. });
    let reaction = events.iter().find(|event| too_costly(event)).expect("it is too much").at.0 + 1_000_000_000;
    // It is noticed at a look, and looks that come late bring more at once.
    keeps_to_the_budget("a crowd that wakes up", &events, reaction);
    let switches = |event: &&Event| matches!(event.what, What::SwitchedIn { .. }) && event.at.0 > reaction;
    assert!(events.iter().any(|event| switches(&event)), "it is tried again, and that is what is judged");
}

#[test]
fn two_gilscopes_see_the_same() {
    let _alone = alone();
    let scenario = pythons_with_gil().into_iter().rev().find_map(|python| Scenario::start(python, "contended", &[]));
    let Some(scenario) = scenario else { return eprintln!("skipped: no interpreter with headers") };
    let pid = scenario.pid().to_string();
    let mut both: Vec<Child> =
        (0..2).map(|_| Child::spawn(gilscope().args(["report", "-f", "json", "-d", "3", "-p", &pid]))).collect();
    let reports: Vec<Value> = both.iter_mut().map(|child| valid(&child.succeed(PATIENCE).stdout)).collect();
    let stamps = scenario.stop();
    for report in reports {
        let process = &report["processes"][0];
        let (late, looks) = (of_capture(&report, "late_samples") as f64, of_capture(&report, "samples") as f64);
        let from = of_capture(&report, "start_monotonic_ns");
        let truth = stamps.within(from..from + of_capture(&report, "duration_ns"));
        let late = late / (late + looks);
        if late > 0.2 {
            eprintln!("skipped: {:.0} % of the looks were late", 100.0 * late);
            continue;
        }
        let gil = &process["interpreters"][0]["gil"];
        let bound = 0.03 + 0.5 * late;
        near(gil["contention"].as_f64().expect("a share"), truth.contention, bound, "contention");
        near(gil["load"].as_f64().expect("a share"), truth.load.expect("all are stamped"), bound, "load");
        if is_fused(process) {
            let total: u64 = truth.lost_ns;
            let seen = gil["waits"]["total_ns"].as_f64().expect("a total");
            near(seen / total as f64, 1.0, 0.06 + late, "waits in total");
        }
    }
}

/// The kernel takes a profiler's events with it: whatever the profiler was doing, the target is as it was.
#[test]
fn a_killed_gilscope_leaves_nothing_behind() {
    let _alone = alone();
    let code = "import sys, time\n\
                print('ready', flush=True)\n\
                while True:\n    \
                    n, until = 0, time.monotonic() + 0.1\n    \
                    while time.monotonic() < until:\n        \
                        time.sleep(0); n += 1\n    \
                    print(n, flush=True)";
    let mut child = Child::spawn(newest().command().args(["-c", code]));
    child.ready(PATIENCE);
    let pace = |child: &mut Child| {
        let mut rounds: Vec<u64> = (0..7).map(|_| child.line(PATIENCE).parse().expect("a number")).collect();
        rounds.sort_unstable();
        rounds[3] as f64
    };
    let before = pace(&mut child);
    let pid = child.pid().to_string();
    let mut watching = Child::spawn(gilscope().args(["report", "--max-overhead", "100", "-d", "30", "-p", &pid]));
    thread::sleep(Duration::from_millis(700));
    while let Some(_line) = child.try_line() {}
    let watched = pace(&mut child);
    assert!(send("KILL", watching.pid()).success());
    assert!(!watching.finish(PATIENCE).status.success());
    while let Some(_line) = child.try_line() {}
    let after = pace(&mut child);
    eprintln!("{before} rounds in 100 ms before, {watched} while watched, {after} after");
    // The machine's pace varies by a third; events left behind would halve it: two records and a ring that is full.
    assert!(after > 0.6 * before, "{before} rounds in 100 ms before, {after} after");
}

#[test]
fn a_target_that_replaces_itself_is_followed_anew() {
    let _alone = alone();
    let second = "import threading, time\n\
                  def spin():\n    while True: pass\n\
                  threading.Thread(target=spin, daemon=True).start()\n\
                  time.sleep(1000)";
    let code = format!(
        "import os, sys, threading, time\n\
         def spin():\n    while True: pass\n\
         for _ in range(3): threading.Thread(target=spin, daemon=True).start()\n\
         print('ready', flush=True)\n\
         time.sleep(1.5)\n\
         os.execv(sys.executable, [sys.executable, '-c', {second:?}])"
    );
    let mut child = Child::spawn(newest().command().args(["-c", &code]));
    child.ready(PATIENCE);
    let ended = run_to(0, gilscope().args(["report", "-f", "json", "-d", "3", "-p", &child.pid().to_string()]));
    let report = valid(&ended.stdout);
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 2, "{report}");
    for process in processes {
        for thread in process["threads"].as_array().expect("threads") {
            let lived = process["capture"]["duration_ns"].as_u64().expect("a figure");
            assert!(thread["lost_ns"].as_u64() <= Some(lived + 2_000_000), "{thread}");
        }
    }
    let waits = &processes[1]["interpreters"][0]["gil"]["contention"];
    // The main thread sleeps.
    assert!(waits.as_f64() < Some(0.1), "one thread does not contend: {waits}");
    if is_fused(&processes[1]) {
        assert_eq!(processes[1]["capture"]["followed_threads"], processes[1]["capture"]["living_threads"]);
    }
}

#[test]
fn a_target_that_is_killed_is_reported_up_to_there() {
    let _alone = alone();
    let code = "import threading, time\n\
                def spin():\n    while True: pass\n\
                for _ in range(40): threading.Thread(target=time.sleep, args=(0.8,)).start()\n\
                for _ in range(2): threading.Thread(target=spin, daemon=True).start()\n\
                print('ready', flush=True)\n\
                time.sleep(1000)";
    let mut target = newest().command();
    target.args(["-c", code]).process_group(0);
    let mut child = Child::spawn(&mut target);
    child.ready(PATIENCE);
    let mut watching =
        Child::spawn(gilscope().args(["report", "-f", "json", "-d", "20", "-p", &child.pid().to_string()]));
    thread::sleep(Duration::from_millis(2_000));
    assert!(send("KILL", child.pid()).success());
    let report = valid(&watching.succeed(PATIENCE).stdout);
    let process = &report["processes"][0];
    assert_eq!(process["ending"]["kind"], "exited", "{}", process["ending"]);
    let duration = of_capture(&report, "duration_ns");
    assert!(duration < 15_000_000_000, "it did not wait for its time to be up");
    for thread in process["threads"].as_array().expect("threads") {
        assert!(thread["lost_ns"].as_u64() <= Some(duration + 2_000_000), "{thread}");
    }
    let gil = &process["interpreters"][0]["gil"];
    assert!(gil["mean_waiters"].as_f64() < Some(1.3), "two that never stop: {}", gil["mean_waiters"]);
}
