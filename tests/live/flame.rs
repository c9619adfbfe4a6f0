//! Flame graphs of running programs and of their recordings, and native code beside stacks: workloads of `gilscope demo`,
//! on every interpreter.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use gilscope::workloads;
use serde_json::Value;

use crate::cases::laid_out;
use crate::command::{Desk, PATIENCE, valid};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons_with_gil};

/// A workload of three tasks, all of them there.
fn running(name: &str, python: &Python) -> Option<Child> {
    let files = laid_out(workloads::named(name).expect("a workload"), python, 60.0)?;
    let child = Child::spawn(&mut files.command());
    let pid = child.pid();
    eventually(PATIENCE, "the threads of the workload", || {
        (fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) >= 3).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    // The files may go: the interpreter has read them.
    Some(child)
}

fn collapsed(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (stack, time) = line.rsplit_once(' ').expect("a time");
        (stack.to_owned(), time.parse().expect("a number"))
    };
    text.lines().map(line).collect()
}

/// What a recording's graph shows is what its report says.
#[test]
fn a_recordings_graph_shows_who_to_blame() {
    let _alone = alone();
    let mut drawn = 0;
    for python in pythons_with_gil() {
        let Some(child) = running("blame-five", python) else { continue };
        let desk = Desk::new();
        let [file, svg] = ["run.gscope", "out.svg"].map(|name| desk.path(name));
        let pid = child.pid().to_string();
        Child::spawn(gilscope().args(["record", "-q", "-d", "4", "-p", &pid, "-o"]).arg(&file)).succeed(PATIENCE);
        drop(child);
        let report =
            valid(&Child::spawn(gilscope().args(["report", "-f", "json"]).arg(&file)).succeed(PATIENCE).stdout);
        let process = &report["processes"][0];
        let lost = |thread: &Value| thread["lost_ns"].as_u64().expect("nanoseconds");
        let lost: u64 = process["threads"].as_array().expect("threads").iter().map(lost).sum();
        let graph = |of: &str| {
            let mut command = gilscope();
            command.args(["flame", "-q", "-f", "collapsed", "--of", of]).arg(&file);
            collapsed(&Child::spawn(&mut command).succeed(PATIENCE).stdout)
        };
        let blame = graph("blame");
        assert_eq!(blame.values().sum::<u64>(), lost, "{python}: {blame:?}");
        Child::spawn(gilscope().args(["flame", "-q", "-o"]).arg(&svg).arg(&file)).succeed(PATIENCE);
        let svg = fs::read_to_string(&svg).expect("an SVG");
        assert!(svg.contains(&format!("total_samples=\"{lost}\"")), "{python}");
        let samples = process["capture"]["stack_samples"].as_u64().expect("a count");
        eprintln!("{python}: {samples} samples, {:.2} s lost, {} stacks", lost as f64 / 1e9, blame.len());
        // Through a loader of its own an interpreter looks like no Python to py-spy.
        if samples < 60 {
            assert!(blame.keys().any(|stack| stack.ends_with("(unsampled)")), "{python}: {blame:?}");
            continue;
        }
        drawn += 1;
        for of in [&blame, &graph("holds")] {
            let within = |name: &str| {
                let of_it = of.iter().filter(|(stack, _)| stack.contains(&format!("{name} (")));
                of_it.map(|(_, time)| time).sum::<u64>() as f64 / of.values().sum::<u64>() as f64
            };
            // A third of the time is the longest calls', a fifteenth the shortest ones'; a hundred samples and more.
            let (long, short) = (within("hold_50ms"), within("hold_1ms"));
            assert!(long > 0.12 && short < 0.25 && long > short, "{python}: {long} and {short} of {of:?}");
        }
        assert!(svg.contains("hold_50ms"), "{python}");
    }
    assert!(drawn > 0, "no interpreter whose stacks can be read");
}

/// A count in C that holds the GIL: the line that calls it, and the function in the library.
#[test]
fn native_code_is_beside_the_line_that_called_it() {
    let _alone = alone();
    let (mut named, mut sampled) = (0, 0);
    for python in pythons_with_gil() {
        let Some(child) = running("count-holding", python) else { continue };
        let pid = child.pid().to_string();
        let mut command = gilscope();
        command.args(["report", "-q", "-f", "json", "-d", "4", "-p", &pid]);
        let report = valid(&Child::spawn(&mut command).succeed(PATIENCE).stdout);
        let process = &report["processes"][0];
        let entries = process["blame"].as_array().expect("blame");
        let random: Vec<&Value> = entries.iter().filter(|entry| entry["basis"] == "random").collect();
        let gil = &process["interpreters"][0]["gil"];
        let seen = gil["long_holds"].as_array().expect("holds").iter().any(|hold| hold["samples"].as_u64() > Some(8));
        if random.is_empty() || !seen {
            eprintln!("{python}: not judged: {} shares, native code seen: {seen}", random.len());
            continue;
        }
        sampled += 1;
        for entry in random {
            let innermost = entry["stack"].as_array().and_then(|stack| stack.last()).expect("a frame").to_string();
            let native = entry["native"].as_str();
            eprintln!("{python}: {} us in {innermost}: {native:?}", entry["ns"].as_u64().unwrap_or(0) / 1_000);
            // Whatever is named is named rightly.
            let is_it = |name: &str| name.starts_with("countext") && name.ends_with("count_holding");
            assert!(native.is_none_or(is_it), "{python}: {entry}");
            assert!(native.is_none() || innermost.contains("count_in_c"), "{python}: {entry}");
            named += usize::from(native.is_some());
        }
        if named > 0 {
            let graph = Child::spawn(gilscope().args(["flame", "-q", "-f", "collapsed", "-d", "2", "-p", &pid]));
            let graph = collapsed(&{ graph }.succeed(PATIENCE).stdout);
            let native = |stack: &&String| stack.contains("count_in_c (") && stack.ends_with("count_holding (native)");
            eprintln!("{python}: in the graph: {}", graph.keys().any(|stack| native(&stack)));
        }
    }
    assert!(sampled == 0 || named > 0, "stacks and native code were seen {sampled} times, and never together");
}
