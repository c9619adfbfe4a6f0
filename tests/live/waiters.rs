//! Where a waiter wants the GIL back: one that comes back for it at two places, three times as often at one of them.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::command::valid;
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::Child;
use crate::support::pythons::pythons_with_gil;

const PATIENCE: Duration = Duration::from_secs(60);
/// Fewer say nothing, as where every core is busy with something else.
const LEAST_SAMPLES: f64 = 40.0;

/// Behind a thread that lets go when it is made to, each wait is one switch interval, wherever it is.
const WAITER: &str = "\
import sys, threading, time
def rarely():
    time.sleep(0.001)
def often():
    time.sleep(0.001)
def waiter():
    while True:
        often()
        often()
        rarely()
        often()
def busy():
    while True:
        sum(range(100))
threading.Thread(target=waiter, name='waiter', daemon=True).start()
threading.Thread(target=busy, name='busy', daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
";

#[test]
fn waiters_are_seen_where_they_want_it_back() {
    let _alone = alone();
    let mut judged = 0;
    for python in pythons_with_gil() {
        let mut child = Child::spawn(Command::new(&python.program).args(["-c", WAITER]));
        child.ready(PATIENCE);
        let pid = child.pid().to_string();
        let mut command = gilscope();
        command.args(["report", "-q", "-f", "json", "-d", "5", "-p", &pid]);
        let report = valid(&Child::spawn(&mut command).succeed(PATIENCE).stdout);
        let process = &report["processes"][0];
        let threads = process["threads"].as_array().expect("threads");
        let entries = process["waiter_stacks"].as_array().expect("waiter stacks");
        for thread in threads {
            let own = entries.iter().filter(|entry| entry["waiter"] == thread["id"]);
            let sum: u64 = own.map(|entry| entry["ns"].as_u64().expect("nanoseconds")).sum();
            assert_eq!(Some(sum), thread["lost_ns"].as_u64(), "{python}: {entries:?}");
        }
        // The one that lost most: names are not known of every interpreter.
        let waiter = threads.iter().max_by_key(|thread| thread["lost_ns"].as_u64()).expect("a thread");
        let own: Vec<&Value> = entries.iter().filter(|entry| entry["waiter"] == waiter["id"]).collect();
        let innermost = |entry: &Value| entry["stack"].as_array().and_then(|stack| Some(stack.last()?.to_string()));
        let (mut often, mut rarely, mut samples) = (0.0, 0.0, 0.0);
        for entry in own.iter().filter(|entry| entry["basis"] == "random") {
            let (place, ns) = (innermost(entry).expect("a frame"), entry["ns"].as_f64().expect("nanoseconds"));
            samples += entry["samples"].as_f64().expect("a count");
            match place {
                place if place.contains(":often:") => often += ns,
                place if place.contains(":rarely:") => rarely += ns,
                // Between two calls it is made to let go now and then.
                _ => {}
            }
        }
        let whole: f64 = own.iter().filter_map(|entry| entry["ns"].as_f64()).sum();
        let capture = &process["capture"];
        let share = often / (often + rarely).max(1.0);
        eprintln!(
            "{python}: {samples} samples, {} rejected; often {share:.3} of both, both {:.3} of {:.2} s",
            capture["waiters_rejected"],
            (often + rarely) / whole,
            whole / 1e9
        );
        if samples < LEAST_SAMPLES {
            eprintln!("not judged: too few");
            continue;
        }
        judged += 1;
        assert!((often + rarely) / whole > 0.5, "{python}: {own:?}");
        // Three standard errors, and a point for what a wait is longer where the holder has to queue for a core.
        let error = (0.75f64 * 0.25 / samples).sqrt();
        assert!((share - 0.75).abs() <= 3.0 * error + 0.03, "{python}: {share}, {own:?}");
    }
    assert!(judged > 0, "no interpreter whose waiters can be seen");
}
