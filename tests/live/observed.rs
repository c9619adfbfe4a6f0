//! `gilscope report` on real processes, beside what their threads stamped themselves.
//!
//! Tolerances: a run here is a few seconds of a shared machine. A share of 3,000 samples that fall one into every
//! interval has a standard error well under a point; what is asserted leaves room for a sampler that is kept off its
//! core now and then. The tables of the accuracy benchmark are over longer runs.

use std::ops::Range;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::alone;
use crate::support::child::{Child, Ended};
use crate::support::pythons::{Python, pythons, pythons_with_gil};
use crate::support::scenario::Scenario;
use crate::support::truth::{Kind, Truth, TruthFigures, percentile};

const PATIENCE: Duration = Duration::from_secs(120);

/// The `gilscope` under test.
pub fn gilscope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gilscope"));
    // Not with the configuration of whoever runs the tests.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// What `gilscope report -f json` says of a process in `seconds`.
pub fn report(pid: u32, seconds: f64) -> Value {
    let ended =
        Child::spawn(gilscope().args(["report", "-f", "json", "-d", &seconds.to_string(), "-p", &pid.to_string()]))
            .succeed(PATIENCE);
    parse(&ended)
}

fn parse(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{}", ended.stdout))
}

/// A scenario observed: gilscope's process entry, and the truth within its capture.
pub struct Observed {
    pub process: Value,
    pub stamps: Truth,
    pub window: Range<u64>,
}

/// Where so many of the looks came late twice, the machine had no core to look from: nothing can be said of it.
const TOO_LATE: f64 = 0.2;

pub fn observe(python: &Python, scenario: &str, arguments: &[&str], seconds: f64) -> Option<Observed> {
    let first = observe_once(python, scenario, arguments, seconds)?;
    if first.late() <= TOO_LATE {
        return Some(first);
    }
    std::thread::sleep(Duration::from_secs(2));
    observe_once(python, scenario, arguments, seconds)
}

fn observe_once(python: &Python, scenario: &str, arguments: &[&str], seconds: f64) -> Option<Observed> {
    let running = Scenario::start(python, scenario, arguments)?;
    let report = report(running.pid(), seconds);
    let stamps = running.stop();
    let process = report["processes"][0].clone();
    let from = process["capture"]["start_monotonic_ns"].as_u64().expect("a start");
    let to = from + process["capture"]["duration_ns"].as_u64().expect("a duration");
    Some(Observed { process, stamps, window: from..to })
}

/// Runs a check on every interpreter that has a GIL and headers; at least one must be there.
pub fn on_each(scenario: &str, seconds: f64, check: impl Fn(&Observed, &TruthFigures)) {
    let _alone = alone();
    let mut checked = 0;
    for python in pythons_with_gil() {
        match observe(python, scenario, &[], seconds) {
            Some(observed) => {
                let truth = observed.truth();
                eprintln!("{python}: {}", observed.summary(&truth));
                checked += 1;
                if observed.late() > TOO_LATE {
                    eprintln!("skipped {python}: {:.0} % of the looks were late", 100.0 * observed.late());
                    continue;
                }
                check(&observed, &truth);
            }
            None => eprintln!("skipped {python}: no headers to build the truth harness with"),
        }
    }
    assert!(checked > 0, "no interpreter with headers");
}

/// As [`on_each`], on the newest interpreter only.
pub fn on_one(scenario: &str, arguments: &[&str], seconds: f64, check: impl Fn(&Observed, &TruthFigures)) {
    let _alone = alone();
    let observed = pythons_with_gil()
        .into_iter()
        .rev()
        .find_map(|python| observe(python, scenario, arguments, seconds))
        .expect("an interpreter with headers");
    let truth = observed.truth();
    eprintln!("{}", observed.summary(&truth));
    if observed.late() > TOO_LATE {
        eprintln!("skipped: {:.0} % of the looks were late", 100.0 * observed.late());
        return;
    }
    check(&observed, &truth);
}

impl Observed {
    fn gil(&self) -> &Value {
        &self.process["interpreters"][0]["gil"]
    }

    pub fn gil_share(&self, name: &str) -> f64 {
        self.gil()[name].as_f64().unwrap_or_else(|| panic!("{name} in {}", self.gil()))
    }

    fn thread(&self, tid: u32) -> &Value {
        let threads = self.process["threads"].as_array().expect("threads");
        threads.iter().find(|thread| thread["tid"] == tid).unwrap_or_else(|| panic!("no thread {tid} was seen"))
    }

    pub fn named(&self, name: &str) -> &Value {
        let threads = self.process["threads"].as_array().expect("threads");
        threads.iter().find(|thread| thread["name"] == name).unwrap_or_else(|| panic!("no thread {name} was seen"))
    }

    fn duration(&self) -> f64 {
        self.process["capture"]["duration_ns"].as_f64().expect("a duration")
    }

    fn lost_share(&self, tid: u32) -> f64 {
        self.thread(tid)["lost_ns"].as_f64().expect("lost") / self.duration()
    }

    /// What really happened while it was watched, in a process with one GIL.
    fn truth(&self) -> TruthFigures {
        self.stamps.within(self.window.clone())
    }

    /// By how much a share may differ: what is seen at the instants looked at, and nothing at those missed.
    ///
    /// 3,000 looks at random instants at states that last a few looks each err by about half a point.
    pub fn bound(&self, points: f64) -> f64 {
        points / 100.0 + 0.5 * self.late()
    }

    /// Share of the looks that came late.
    pub fn late(&self) -> f64 {
        let capture = &self.process["capture"];
        let late = capture["late_samples"].as_f64().expect("late");
        late / (late + capture["samples"].as_f64().expect("samples"))
    }

    fn summary(&self, truth: &TruthFigures) -> String {
        format!(
            "load {:.3} (truth {:?}) contention {:.3} ({:.3}) asleep {:.3} ({:.3}) handoffs {} ({:?}) late {}",
            self.gil_share("load"),
            truth.load,
            self.gil_share("contention"),
            truth.contention,
            self.gil()["held_asleep"].as_f64().unwrap_or(-1.0),
            truth.held_asleep,
            self.gil()["handoffs"],
            truth.handoffs,
            self.process["capture"]["late_samples"],
        )
    }

    /// Every state adds up to the thread's life, as the contract says.
    pub fn states_add_up(&self) {
        for thread in self.process["threads"].as_array().expect("threads") {
            let sum: u64 = thread["states_ns"].as_object().expect("states").values().filter_map(Value::as_u64).sum();
            let end = thread["end_ns"].as_u64();
            let capture = &self.process["capture"];
            let last = capture["start_monotonic_ns"].as_u64().expect("start")
                + capture["duration_ns"].as_u64().expect("duration");
            let life = end.unwrap_or(last) - thread["start_ns"].as_u64().expect("start");
            assert!(sum.abs_diff(life) <= 1_000, "states {sum} of a life of {life}: {thread}");
        }
    }
}

#[track_caller]
pub fn near(seen: f64, truth: f64, tolerance: f64, what: &str) {
    assert!((seen - truth).abs() <= tolerance, "{what}: {seen:.4}, in truth {truth:.4} (may differ by {tolerance})");
}

#[test]
fn three_contending_threads_read_as_they_are() {
    on_each("contended", 3.0, |observed, truth| {
        near(observed.gil_share("load"), truth.load.expect("all are stamped"), observed.bound(2.0), "load");
        near(observed.gil_share("contention"), truth.contention, observed.bound(2.0), "contention");
        for thread in truth.threads.iter().filter(|thread| thread.kind == Kind::HoldsBusy) {
            near(observed.lost_share(thread.tid), thread.waiting_share, observed.bound(3.0), &thread.name);
        }
        let (seen, truth) = (observed.gil()["handoffs"].as_f64().expect("a count"), truth.handoffs);
        // The main thread takes the GIL now and then without a stamp; each such take is two handoffs.
        near(seen, truth.expect("all are stamped") as f64, 0.02 * seen + 12.0, "handoffs");
        observed.states_add_up();
    });
}

#[test]
fn a_holder_asleep_is_a_holder() {
    on_each("sleeper", 3.0, |observed, truth| {
        near(observed.gil_share("load"), 0.80, observed.bound(3.0), "load");
        near(observed.gil_share("held_off_cpu"), truth.held_asleep, observed.bound(3.0), "held off-CPU");
        for thread in truth.threads.iter().filter(|thread| thread.name.starts_with("victim")) {
            near(observed.lost_share(thread.tid), thread.waiting_share, observed.bound(3.0), &thread.name);
        }
    });
}

#[test]
fn an_io_thread_in_a_convoy_waits_as_long_as_it_waits() {
    on_each("convoy", 3.0, |observed, truth| {
        let io = truth.thread("io");
        near(observed.lost_share(io.tid), io.waiting_share, observed.bound(3.0), "waiting share of the I/O thread");
        let seen = observed.thread(io.tid)["waits"]["p50_ns"].as_f64().expect("a median");
        // Each edge of a wait is known to an interval, 1 ms.
        near(seen / 1e6, percentile(&io.waits, 0.5) as f64 / 1e6, 1.5, "median wait in ms");
        let hog = observed.named("hog-1");
        assert!(hog["states_ns"]["running"].as_f64().expect("running") / observed.duration() > 0.8, "{hog}");
    });
}

#[test]
fn a_thread_that_takes_the_gil_between_two_looks_has_waited_twice() {
    on_each("rivals", 3.0, |observed, truth| {
        for name in ["eager", "calm"] {
            let io = truth.thread(name);
            near(observed.lost_share(io.tid), io.waiting_share, observed.bound(3.0), name);
            let waits = &observed.thread(io.tid)["waits"];
            let seen = waits["count"].as_f64().expect("a count") + waits["censored"].as_f64().expect("a count");
            eprintln!("{name}: {seen} waits of {}", io.waits.len());
            // A wait missed joins two into one of twice the length. The waits that are cut at the window's ends count.
            near(seen / io.waits.len() as f64, 1.0, observed.bound(12.0), "number of waits");
        }
    });
}

#[test]
fn load_is_not_contention() {
    on_each("single", 2.0, |observed, _| {
        assert!(observed.gil_share("load") > 0.97, "one busy thread holds it all the time");
        assert!(observed.gil_share("contention") < 0.005, "and nobody waits");
        assert!(observed.gil()["waits"]["count"].as_u64() < Some(3), "{}", observed.gil()["waits"]);
    });
}

#[test]
fn an_idle_process_is_idle() {
    on_one("idle", &[], 2.0, |observed, _| {
        assert!(observed.gil_share("load") < 0.01 && observed.gil_share("contention") < 0.005);
        observed.states_add_up();
        for thread in observed.process["threads"].as_array().expect("threads") {
            assert!(thread["states_ns"]["idle"].as_f64().expect("idle") / observed.duration() > 0.95, "{thread}");
        }
    });
}

#[test]
fn a_timed_wait_that_is_not_for_the_gil_is_no_wait() {
    on_one("decoy", &[], 2.0, |observed, _| {
        assert_eq!(observed.gil()["waits"]["count"], 0, "{}", observed.gil());
        assert!(observed.gil_share("contention") < 0.002);
        assert!(observed.named("decoy-1")["states_ns"]["idle"].as_f64().expect("idle") / observed.duration() > 0.9);
    });
}

#[test]
fn waiting_for_a_core_is_not_waiting_for_the_gil() {
    on_one("run_queue", &[], 3.0, |observed, truth| {
        let lonely = truth.thread("lonely");
        let states = &observed.thread(lonely.tid)["states_ns"];
        let off_core =
            states["runnable"].as_f64().expect("runnable") + states["holding_off_cpu"].as_f64().expect("off");
        assert!(off_core / observed.duration() > 0.1, "it shares a core with a stranger: {states}");
        assert!(observed.lost_share(lonely.tid) < 0.01, "and never waits for the GIL: {states}");
        observed.states_add_up();
    });
}

#[test]
fn threads_that_live_ten_milliseconds_are_seen() {
    on_one("mayflies", &[], 3.0, |observed, truth| {
        near(observed.gil_share("load"), truth.load.expect("all are stamped"), observed.bound(4.0), "load");
        near(observed.gil_share("contention"), truth.contention, observed.bound(4.0), "contention");
        let lived = truth.threads.len() as f64;
        let seen = observed.process["threads"].as_array().expect("threads").len() as f64;
        assert!(seen > 0.5 * lived, "{seen} of {lived} threads were seen");
        assert!(seen < 1.1 * lived + 5.0, "{seen} of {lived} threads: some were counted twice");
        // Most of their waits are the first thing that they do: before they could be met at a look, one in ten was seen. Of
        // those stamped some are no waits: whoever is kept off its core on its way to a free GIL.
        let stamped = truth.threads.iter().map(|thread| thread.waits.iter().filter(|ns| **ns > 100_000).count());
        let (stamped, seen) = (stamped.sum::<usize>(), observed.gil()["waits"]["count"].as_u64().expect("a count"));
        eprintln!("{seen} waits of {stamped}");
        let fused = observed.process["capture"]["followed_threads"].as_u64().is_some_and(|followed| followed > 0);
        assert!(!fused || stamped < 10 || seen as f64 > 0.4 * stamped as f64, "{seen} waits of {stamped} were seen");
        observed.states_add_up();
    });
}

#[test]
fn a_thousand_threads_are_sampled_without_falling_behind() {
    on_one("crowd", &[], 4.0, |observed, truth| {
        near(observed.gil_share("load"), truth.load.expect("all are stamped"), observed.bound(3.0), "load");
        near(observed.gil_share("contention"), truth.contention, observed.bound(3.0), "contention");
        for thread in truth.threads.iter().filter(|thread| thread.name.starts_with("busy")) {
            near(observed.lost_share(thread.tid), thread.waiting_share, observed.bound(4.0), &thread.name);
        }
        let capture = &observed.process["capture"];
        let late = capture["late_samples"].as_f64().expect("late") / capture["samples"].as_f64().expect("samples");
        // Those missed before the rate has adapted count too.
        assert!(late < 0.5, "{late} of the samples were late: {capture}");
        observed.states_add_up();
    });
}

#[test]
fn interpreters_with_gils_of_their_own_are_told_apart() {
    let _alone = alone();
    let mut checked = 0;
    for python in pythons_with_gil().into_iter().filter(|python| python.minor() >= 12) {
        let Some(observed) = observe(python, "subinterpreters", &[], 3.0) else { continue };
        let own: Vec<&Value> = observed.process["interpreters"].as_array().expect("interpreters").iter().collect();
        let mut busy = 0;
        for interpreter in own {
            let (id, gil) = (interpreter["id"].as_i64().expect("an id"), &interpreter["gil"]);
            let truth = observed.stamps.within_interpreter(id, observed.window.clone());
            let load = truth.load.expect("all are stamped");
            busy += u32::from(load > 0.5);
            near(gil["load"].as_f64().expect("a load"), load, observed.bound(3.0), &format!("load of {id}"));
            let waits = &gil["waits"]["count"];
            assert!(waits.as_u64() < Some(10), "{python}: nobody shares a GIL here, {waits} waits");
        }
        assert_eq!(busy, 2, "{python}: two GILs are busy at once");
        checked += 1;
    }
    if checked == 0 {
        eprintln!("skipped: no CPython 3.12 or later with headers");
    }
}

#[test]
fn a_free_threaded_build_has_no_gil_and_says_so() {
    let _alone = alone();
    let mut checked = 0;
    for python in pythons().iter().filter(|python| python.free_threaded) {
        let mut child = Child::spawn(python.command().args(["-uc", "print('ready')\nwhile True: pass"]));
        child.ready(PATIENCE);
        let report = report(child.pid(), 1.0);
        let process = &report["processes"][0];
        assert_eq!(process["target"]["build"], "free-threaded", "{python}");
        assert!(process["interpreters"][0]["gil"].is_null(), "{python}: {}", process["interpreters"]);
        checked += 1;
    }
    if checked == 0 {
        eprintln!("skipped: no free-threaded CPython found; name one in GILSCOPE_TEST_PYTHONS");
    }
}

#[test]
fn a_target_that_exits_or_is_killed_ends_the_report_in_order() {
    let _alone = alone();
    let python = pythons_with_gil()[0];
    for (body, ending) in [("import time; time.sleep(1)", "exited"), ("import time; time.sleep(60)", "killed")] {
        let mut child = Child::spawn(python.command().args(["-uc", &format!("print('ready')\n{body}")]));
        child.ready(PATIENCE);
        let pid = child.pid();
        let killer = (ending == "killed").then(|| {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(700));
                Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs")
            })
        });
        let report = report(pid, 30.0);
        let seconds = report["processes"][0]["capture"]["duration_ns"].as_f64().expect("a duration") / 1e9;
        assert!(seconds < 10.0, "{ending}: the report took {seconds} s");
        if let Some(killer) = killer {
            let _status = killer.join();
        }
    }
}

#[test]
fn an_exec_is_another_program() {
    let _alone = alone();
    let python = pythons_with_gil().into_iter().find(|p| p.program == p.executable).expect("an interpreter");
    let program = python.program.display().to_string();
    let body = format!(
        "import os, time\nprint('ready')\ntime.sleep(1)\nos.execv({program:?}, [{program:?}, '-c', 'import time; time.sleep(1.5)'])"
    );
    let mut child = Child::spawn(python.command().args(["-uc", &body]));
    child.ready(PATIENCE);
    let report = report(child.pid(), 20.0);
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 2, "before and after the exec: {processes:?}");
    assert_eq!(processes[0]["target"]["pid"], processes[1]["target"]["pid"]);
    assert!(processes[1]["target"]["cmdline"].to_string().contains("1.5"), "{}", processes[1]["target"]);
}

#[test]
fn a_fork_is_noticed() {
    let _alone = alone();
    let python = pythons_with_gil()[0];
    let body = "import os, time\nprint('ready')\ntime.sleep(1)\npid = os.fork()\n\
                if pid == 0: time.sleep(3); os._exit(0)\nprint(pid)\ntime.sleep(30)";
    let mut child = Child::spawn(python.command().args(["-uc", body]));
    child.ready(PATIENCE);
    let report = report(child.pid(), 2.5);
    let children = report["processes"][0]["children"].as_array().expect("children");
    assert_eq!(children.len(), 1, "{children:?}");
    let text = Child::spawn(gilscope().args(["report", "-d", "0.3", "-p", &children[0].to_string()])).succeed(PATIENCE);
    assert!(text.stdout.contains("CPython 3."), "the child is a Python too: {}", text.stdout);
}
