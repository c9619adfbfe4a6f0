//! The workloads of `gilscope demo`: they run anywhere, end when told to, and are what they say they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use gilscope::workloads::{self, LaidOut};

use crate::cases::laid_out;
use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons, pythons_with_gil};
use crate::support::truth::{Truth, percentile};
use crate::support::uprobe::Uprobes;

/// The files.
fn sources() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/workloads");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("the workloads").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn start(python: &Python, file: &Path, seconds: Option<&str>) -> Child {
    let mut command = python.command();
    command.args(["-W", "error"]).arg(file).args(seconds);
    Child::spawn(&mut command)
}

fn tasks(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process").flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The sleeper calls into the C library by `ctypes`, which a Python may lack.
fn can_run(python: &Python, workload: &Path) -> bool {
    let can = python.ctypes || !workload.ends_with("sleeper.py");
    if !can {
        eprintln!("skipped the sleeper on {python}: no ctypes");
    }
    can
}

#[test]
fn each_ends_after_its_seconds_and_says_nothing() {
    let _alone = alone();
    for python in pythons() {
        let files: Vec<_> = workloads::all().filter_map(|workload| laid_out(workload, python, 1.0)).collect();
        let start = |files: &LaidOut| Child::spawn(files.command().env("PYTHONWARNINGS", "error"));
        // More at a time would take longer than they say for want of cores.
        for some in files.chunks(8) {
            let mut running: Vec<(String, Child)> =
                some.iter().map(|files| (format!("{:?}", files.command()), start(files))).collect();
            for (command, child) in &mut running {
                let ended = child.succeed(Duration::from_secs(60));
                assert_eq!((&*ended.stdout, &*ended.stderr), ("", ""), "{command} on {python}");
            }
        }
    }
}

#[test]
fn a_killed_one_leaves_nothing_behind() {
    let python = pythons().last().expect("one at least");
    for name in ["convoy.py", "starved.py"] {
        let file = sources().into_iter().find(|file| file.ends_with(name)).expect("a workload");
        let child = start(python, &file, None);
        let knocker = eventually(Duration::from_secs(20), "the process that knocks", || children(child.pid()).pop());
        eventually(Duration::from_secs(20), "the threads", || (tasks(child.pid()) >= 3).then_some(()));
        drop(child);
        let proc = format!("/proc/{knocker}/status");
        eventually(Duration::from_secs(10), "the process that knocks to end", || {
            let status = fs::read_to_string(&proc).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        });
    }
}

/// What happens in a workload on the oldest and the newest interpreter where uprobes can tell.
fn probed(name: &str, threads: usize) -> Vec<(String, Truth)> {
    let file = sources().into_iter().find(|file| file.ends_with(name)).expect("a workload");
    let _alone = alone();
    let tell = |python: &&Python| {
        if !can_run(python, &file) {
            return None;
        }
        let child = start(python, &file, None);
        eventually(Duration::from_secs(20), "the threads", || (tasks(child.pid()) == threads).then_some(()));
        thread::sleep(Duration::from_millis(200));
        match Uprobes::attach(child.pid()) {
            Err(why) => {
                eprintln!("skipped {python}: {why}");
                None
            }
            Ok(uprobes) => {
                thread::sleep(Duration::from_millis(800));
                Some((python.to_string(), uprobes.finish()))
            }
        }
    };
    let pythons = pythons_with_gil();
    let mut told: Vec<_> = pythons.iter().find_map(tell).into_iter().collect();
    if !told.is_empty() {
        told.extend(pythons.iter().rev().find_map(tell));
    }
    told
}

#[test]
fn the_convoy_is_one() {
    for (python, truth) in probed("convoy.py", 3) {
        let figures = truth.within(truth.complete.clone());
        // The main thread only joins; of the other two the hog is the one that holds.
        let mut threads = figures.threads;
        threads.sort_by_key(|thread| thread.hold_total);
        let (io, hog) = (&threads[1], &threads[2]);
        let wait_us = percentile(&io.waits, 0.5) / 1000;
        eprintln!(
            "{python}: io waits {:.3}, median {wait_us} us; hog holds {:.3}",
            io.waiting_share, hog.holding_share
        );
        assert!(io.wait_count() >= 10, "{python}: {} waits", io.wait_count());
        // At least a switch interval; more where the hog has to queue for its core before it can let go.
        assert!((4_500..=100_000).contains(&wait_us), "{python}: median wait {wait_us} us");
        assert!(io.waiting_share > 0.4 && io.holding_share < 0.1 && hog.holding_share > 0.5, "{python}");
    }
}

#[test]
fn the_sleeper_holds_most_of_the_time() {
    for (python, truth) in probed("sleeper.py", 5) {
        let figures = truth.within(truth.complete.clone());
        eprintln!("{python}: load {:?}, contention {:.3}", figures.load, figures.contention);
        assert!(figures.load.is_some_and(|load| (0.7..=0.88).contains(&load)), "{python}: {:?}", figures.load);
        assert!(figures.contention > 0.6, "{python}: {}", figures.contention);
    }
}
