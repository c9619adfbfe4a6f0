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
