//! Who made whom wait, in which function, beside the stamps of who waited and of the functions themselves, on every
//! interpreter.
//!
//! A victim asks for the GIL again and again, and stamps its waits; another thread holds it in functions of known names,
//! which stamp their calls. Where the two overlap is what a function is to blame for. Shares rest on some hundred samples
//! at random instants: what is asserted is three standard errors of that many, and a point.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons_with_gil};
use crate::support::scenario::Scenario;
use crate::support::truth::Truth;

const PATIENCE: Duration = Duration::from_secs(60);
/// Fewer samples, as where every core is busy with something else, say nothing.
const LEAST_SAMPLES: f64 = 60.0;

/// One function's share of the time that the victim waited behind the hog: as reported, and as stamped.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    reported: f64,
    stamped: f64,
}

struct Blamed {
    process: Value,
    shares: BTreeMap<String, Share>,
    samples: f64,
    /// The victim's time behind the hog, as reported and as stamped, in seconds.
    behind: (f64, f64),
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The function of ours that a stack is in.
fn function(entry: &Value) -> Option<String> {
    let frames = entry["stack"].as_array()?.iter().filter_map(Value::as_str);
    let mut held = frames.filter_map(|frame| frame.rsplit(':').nth(1)).filter(|name| name.starts_with("hold_"));
    held.next().map(str::to_owned)
}

/// `None` without headers to build the truth harness with.
fn blame(python: &Python, lengths: &[&str], seconds: f64, arguments: &[&str]) -> Option<Blamed> {
    let mut running = Scenario::start(python, "blame", lengths)?;
    let (pid, seconds) = (running.pid().to_string(), seconds.to_string());
    let mut report =
        Child::spawn(gilscope().args(["report", "-f", "json", "-d", &seconds, "-p", &pid]).args(arguments));
    let report = report.succeed(PATIENCE);
    let stamps = running.end();
    let truth = Truth::load(&stamps);
    let calls = fs::read_to_string(stamps.with_extension("calls")).expect("the calls' stamps");
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let process = report["processes"][0].clone();
    let from = process["capture"]["start_monotonic_ns"].as_u64().expect("a start");
    let to = from + process["capture"]["duration_ns"].as_u64().expect("a duration");
    adds_up(&process);

    let waits: Vec<_> = truth.thread("victim").waits().filter(|wait| wait.end > from && wait.start < to).collect();
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    let mut all = 0.0;
    for call in calls.lines() {
        let fields: Vec<u64> = call.split(':').filter_map(|field| field.parse().ok()).collect();
        let [length, began, ended] = fields[..] else { continue };
        let (began, ended) = (began.max(from), ended.min(to));
        let first = waits.partition_point(|wait| wait.end <= began);
        let within = waits[first..].iter().take_while(|wait| wait.start < ended);
        let time = within.map(|wait| ended.min(wait.end).saturating_sub(began.max(wait.start))).sum::<u64>() as f64;
        shares.entry(format!("hold_{length}")).or_default().stamped += time;
        all += time;
    }
    shares.values_mut().for_each(|share| share.stamped /= all);
    let id = |name: &str| {
        let tid = truth.thread(name).tid;
        let threads = process["threads"].as_array().expect("threads");
        threads.iter().find(|thread| thread["tid"] == tid).unwrap_or_else(|| panic!("no {name}"))["id"].clone()
    };
    let (victim, hog) = (id("victim"), id("hog"));
    let entries = process["blame"].as_array().expect("blame");
    let ours: Vec<&Value> = entries.iter().filter(|it| it["waiter"] == victim && it["holder"] == hog).collect();
    let whole: f64 = ours.iter().map(|entry| number(&entry["ns"])).sum();
    let mut samples = 0.0;
    for entry in &ours {
        if let Some(name) = function(entry) {
            shares.entry(name).or_default().reported += number(&entry["ns"]) / whole;
            samples += number(&entry["samples"]);
        }
    }
    Some(Blamed { process, shares, samples, behind: (whole / 1e9, all / 1e9) })
}

/// The parts of every waiter add up to what it has lost.
fn adds_up(process: &Value) {
    for thread in process["threads"].as_array().expect("threads") {
        let own = process["blame"].as_array().expect("blame").iter().filter(|entry| entry["waiter"] == thread["id"]);
        let sum: u64 = own.map(|entry| entry["ns"].as_u64().expect("nanoseconds")).sum();
        assert_eq!(Some(sum), thread["lost_ns"].as_u64(), "{} of {}", thread["name"], process["blame"]);
    }
}

fn shares_are_right(what: &str, blamed: &Blamed) {
    let capture = &blamed.process["capture"];
    let counts = format!("{} samples, {} rejected", capture["stack_samples"], capture["stacks_rejected"]);
    eprintln!("{what}: {counts}, behind {:?}: {:?}", blamed.behind, blamed.shares);
    if blamed.samples < LEAST_SAMPLES {
        eprintln!("skipped {what}: {} samples are too few", blamed.samples);
        return;
    }
    for (name, share) in &blamed.shares {
        let error = (share.stamped * (1.0 - share.stamped) / blamed.samples).sqrt();
        let off = (share.reported - share.stamped).abs();
        assert!(off <= 3.0 * error + 0.01, "{what}: {name} is off by {off}, with {counts}: {share:?}");
    }
}

#[test]
fn functions_get_the_time_that_others_waited_for_them() {
    let _alone = alone();
    let mut sampled = 0;
    for python in pythons_with_gil() {
        let Some(blamed) = blame(python, &["1", "2", "5", "20", "50"], 6.0, &[]) else { continue };
        let stacks = number(&blamed.process["capture"]["stack_samples"]);
        if stacks == 0.0 {
            // Through a loader of its own, an interpreter looks like no Python to py-spy: blame goes on by thread.
            eprintln!("{python}: no stacks");
            let blame = blamed.process["blame"].as_array().expect("blame");
            assert!(blame.iter().any(|entry| entry["held_by"] == "thread" && number(&entry["ns"]) > 2e8), "{blame:?}");
            assert!(blame.iter().all(|entry| entry["basis"] == "unsampled"), "{blame:?}");
            continue;
        }
        sampled += 1;
        shares_are_right(&python.to_string(), &blamed);
    }
    assert!(sampled > 0, "no interpreter whose stacks can be read");
}

/// Each sample stands for time, not for the hold that it fell in.
#[test]
fn holds_of_1_ms_and_of_50_ms_are_weighed_alike() {
    let _alone = alone();
    let known = pythons_with_gil().into_iter().rev().find_map(|python| {
        let blamed = blame(python, &["1", "50"], 10.0, &[])?;
        (number(&blamed.process["capture"]["stack_samples"]) > 0.0).then_some((python, blamed))
    });
    let (python, blamed) = known.expect("an interpreter whose stacks can be read");
    shares_are_right(&python.to_string(), &blamed);
}

#[test]
fn without_stacks_blame_goes_by_thread() {
    let _alone = alone();
    for mode in ["sampled", "auto"] {
        let without = ["--stacks", "never", "--mode", mode];
        let blamed = pythons_with_gil().into_iter().find_map(|python| blame(python, &["5"], 3.0, &without));
        let blamed = blamed.expect("an interpreter with headers");
        assert_eq!(blamed.process["capture"]["stack_samples"], 0);
        let entries = blamed.process["blame"].as_array().expect("blame");
        assert!(entries.iter().all(|entry| entry["stack"] == serde_json::json!([])), "{entries:?}");
        let capture = &blamed.process["capture"];
        let (reported, stamped) = blamed.behind;
        // What nobody looked at is in no wait.
        let covered = number(&capture["coverage"]);
        eprintln!("{mode}: {reported:.2} s behind the hog, {stamped:.2} by the stamps, coverage {covered}");
        assert!((reported / stamped - 1.0).abs() < 0.1 + 2.0 * (1.0 - covered), "{mode}: {reported} for {stamped}");
    }
}
