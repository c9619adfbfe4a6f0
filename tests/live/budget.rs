//! No second of a program loses more than the budget, whatever the program does: by counting, with each thing at what it
//! was measured to cost on this machine. That those costs are right is for the cost benchmark, which measures the loss.

use std::path::Path;
use std::time::Duration;

use gilscope::event::What;

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::budget::{keeps_to_the_budget, paid, read};
use crate::support::child::Child;
use crate::support::pythons::pythons_with_gil;
use crate::support::workloads::Workload;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether it was recorded; if not, what is missing was said.
fn record(pid: u32, file: &Path, budget: &str) -> bool {
    let mut command = gilscope();
    command.args(["record", "-q", "--force", "--mode", "exact", "--max-overhead", budget, "-d", "3.5", "-p"]);
    let ended = Child::spawn(command.arg(pid.to_string()).arg("-o").arg(file)).finish(PATIENCE);
    if ended.status.code() == Some(3) {
        eprintln!("skipped: {}", ended.stderr);
        return false;
    }
    assert!(ended.status.success(), "{}", ended.stderr);
    true
}

#[test]
fn no_second_of_any_workload_costs_more_than_the_budget() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("paid.gscope");
    for workload in Workload::ALL {
        for budget in ["1", "5"] {
            let mut working = workload.start(python);
            if !record(working.pid(), &file, budget) {
                return;
            }
            let events = read(&file);
            let paid = keeps_to_the_budget(&format!("{} at {budget} %", workload.name()), &events, 0);
            assert!(paid.spent.exceptions > 20, "nothing was spent: {paid:?}");
            let done = working.work(0.2);
            assert!(done.count > 0.0 && done.seconds < 10.0 && done.cpu_seconds > 0.0, "it works on: {done:?}");
        }
    }
}

/// The sum is one that can be too much.
#[test]
fn what_is_spent_shows() {
    let _alone = alone();
    let working = Workload::Worst.start(pythons_with_gil().pop().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("paid.gscope");
    if !record(working.pid(), &file, "20") {
        return;
    }
    let mut events = read(&file);
    for event in &mut events {
        if let What::CostsKnown(costs) = &mut event.what {
            costs.budget.0 /= 10;
        }
    }
    let paid = paid(&events, 0).unwrap();
    assert!(paid.worst_told > paid.budget && paid.worst_counted > paid.budget, "{paid:?}");
}
