//! Waits from switch records and samples together, beside what the threads stamped themselves.
//!
//! Tolerances: of a thousand waits in some seconds a few begin and end unseen between two looks, more of them where this
//! machine keeps the sampler off its core; an edge is a wake-up, which comes 5 to 30 us before the take. The table of the
//! accuracy benchmark is over longer runs.

use std::time::Duration;

use serde_json::Value;

use crate::observed::{Observed, gilscope, on_each};
use crate::support::alone;
use crate::support::child::Child;
use crate::support::pythons::pythons_with_gil;
use crate::support::truth::{Kind, TruthFigures, percentile};

const PATIENCE: Duration = Duration::from_secs(60);
/// From here on single waits are compared.
const LONG: u64 = 100_000;

/// Whether this machine permits switch records; says so if it does not.
fn is_fused(process: &Value) -> bool {
    let fused = process["capture"]["mode"] == "fused";
    if !fused {
        eprintln!("skipped: switch records are not permitted here");
    }
    fused
}

fn waits_are_right(observed: &Observed, truth: &TruthFigures) {
    if !is_fused(&observed.process) {
        return;
    }
    // What begins and ends between two looks stays unseen, the more of it the more looks are left out.
    let unseen = 0.06 + observed.late();
    let waits = &observed.process["interpreters"][0]["gil"]["waits"];
    if observed.late() > 0.05 {
        eprintln!("skipped: {:.0} % of the looks were late", 100.0 * observed.late());
        return;
    }
    let number = |name: &str| waits[name].as_f64().unwrap_or_else(|| panic!("no {name} in {waits}"));
    let mut real: Vec<u64> =
        truth.threads.iter().filter(|t| t.kind != Kind::Bytecode).flat_map(|t| t.waits.iter().copied()).collect();
    real.retain(|wait| *wait >= LONG);
    real.sort_unstable();
    let (counted, long) = (number("count") - number("below_resolution"), real.len() as f64);
    assert!((counted - long).abs() <= (long * unseen).max(8.0), "{counted} waits, in truth {long}");
    let total: u64 = real.iter().sum();
    let off = (number("total_ns") - total as f64) / total as f64;
    assert!(off.abs() <= unseen, "the total is off by {off}");
    let (median, exact) = (number("p50_ns"), percentile(&real, 0.5) as f64);
    assert!((median - exact).abs() <= (exact * unseen).max(100_000.0), "the median is {median}, in truth {exact}");
}

#[test]
fn waits_of_contending_threads_are_right_one_by_one() {
    on_each("contended", 4.0, |observed, truth| {
        waits_are_right(observed, truth);
        let waits = &observed.process["interpreters"][0]["gil"]["waits"];
        if is_fused(&observed.process) && observed.late() <= 0.01 {
            assert_eq!(waits["source"], "fused", "{waits}");
        }
    });
}

#[test]
fn long_waits_are_right_one_by_one() {
    on_each("long_waits", 4.0, waits_are_right);
}

/// The GIL's forced handoffs, where they and the looks allow to judge them.
fn forced(observed: &Observed) -> Option<(f64, f64)> {
    if !is_fused(&observed.process) {
        return None;
    }
    let gil = &observed.process["interpreters"][0]["gil"];
    eprintln!(
        "forced {} to another core {} of {}",
        gil["forced_handoffs"], gil["cross_core_handoffs"], gil["handoffs"]
    );
    if observed.late() > 0.05 {
        eprintln!("skipped: {:.0} % of the looks were late", 100.0 * observed.late());
        return None;
    }
    let handoffs = gil["handoffs"].as_f64().unwrap();
    // More than a thirtieth may be unclear, and then nothing is said. That something is said is held by the simulated GIL.
    let Some(forced) = gil["forced_handoffs"].as_f64() else {
        eprintln!("skipped: not told");
        return None;
    };
    Some((forced, handoffs))
}

/// Pure bytecode lets go of the GIL only when asked, and threads that take it in C only of their own will. Beside 3 %,
/// there is what the late looks missed, and a handful at the edges.
#[test]
fn forced_drops_are_those_of_bytecode() {
    on_each("saturated", 3.0, |observed, _| {
        let Some((forced, handoffs)) = forced(observed) else { return };
        let bound = (0.03 + observed.late()) * handoffs + 3.0;
        assert!(handoffs - forced <= bound, "{forced} of {handoffs} are forced, all are");
    });
    on_each("convoy", 3.0, |observed, truth| {
        let Some((forced, handoffs)) = forced(observed) else { return };
        // Beside one hog, a take that had to wait for the switch interval was given by force.
        let waits =
            truth.threads.iter().filter(|thread| thread.kind != Kind::Bytecode).flat_map(|thread| &thread.waits);
        let real = waits.filter(|wait| **wait >= 5_000_000).count() as f64;
        let bound = (0.03 + observed.late()) * real + 3.0;
        assert!((forced - real).abs() <= bound, "{forced} of {handoffs} are forced, in truth {real}");
    });
    on_each("contended", 3.0, |observed, _| {
        let Some((forced, handoffs)) = forced(observed) else { return };
        let bound = (0.03 + observed.late()) * handoffs + 3.0;
        assert!(forced <= bound, "{forced} of {handoffs} are forced, none is");
    });
}

/// The kernel's own total of a thread's time on a core is the sum over the cores. It is up to a clock tick behind for a
/// thread that runs, and read every 100 ms. Of each thread the first 5 to 10 ms go by before its switches are told, and cores are
/// told where no more than a hundredth of the time is missing, of all threads together.
#[test]
fn time_on_cores_adds_up() {
    on_each("contended", 5.0, |observed, _| {
        if !is_fused(&observed.process) || observed.late() > 0.05 {
            eprintln!("skipped: {:.0} % of the looks were late", 100.0 * observed.late());
            return;
        }
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("not told: {}", observed.process));
        let threads = observed.process["threads"].as_array().unwrap();
        let by_thread: f64 = threads
            .iter()
            .flat_map(|thread| thread["cores"].as_array().unwrap())
            .map(|core| number(&core["on_cpu_ns"]))
            .sum();
        let cores = observed.process["cores"].as_array().unwrap();
        let by_core: f64 = cores.iter().map(|core| number(&core["target_on_cpu_ns"])).sum();
        let states = |name: &str| threads.iter().map(|thread| number(&thread["states_ns"][name])).sum::<f64>();
        let duration = number(&observed.process["capture"]["duration_ns"]);
        let by_state = states("running") + states("native");
        eprintln!("by thread {by_thread}, by core {by_core}, by state {by_state} of {duration}");
        assert!((by_thread - by_core).abs() <= 0.01 * duration, "by thread {by_thread}, by core {by_core}");
        // Who holds is known to the look, and a holder that was woken and queues for a core looks as if it were on it.
        assert!((by_state - by_core).abs() <= 0.1 * duration, "by state {by_state}, by core {by_core}");
        assert!(cores.iter().all(|core| number(&core["target_on_cpu_ns"]) <= 1.01 * duration), "{cores:?}");
    });
}

/// A thread that does nothing but sleep for an instant switches tens of thousands of times a second: its records are
/// given up, and what samples tell goes on.
#[test]
fn records_that_would_cost_too_much_are_given_up() {
    let _alone = alone();
    let code = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0)";
    let python = pythons_with_gil().pop().unwrap();
    let mut child = Child::spawn(python.command().args(["-c", code]));
    child.ready(PATIENCE);
    let pid = child.pid().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("costly.gscope");
    let record = |budget: &str| {
        Child::spawn(
            gilscope().args(["record", "-q", "--max-overhead", budget, "-d", "1.5", "-p", &pid, "-o"]).arg(&file),
        )
        .succeed(PATIENCE);
        let dumped = Child::spawn(gilscope().arg("dump").arg(&file)).succeed(PATIENCE).stdout;
        std::fs::remove_file(&file).unwrap();
        dumped
    };
    let dumped = record("0.001");
    if !dumped.contains("SwitchesBegin") {
        eprintln!("skipped: switch records are not permitted here");
        return;
    }
    let (before, after) = dumped.split_once("too-costly").expect("they were given up");
    assert!(before.contains("SwitchedOut") && !after.contains("SwitchedOut"), "none come after that");
    assert!(after.contains("GilSample"), "samples go on");
    assert!(!record("100").contains("too-costly"), "whoever allows it gets them");
}
