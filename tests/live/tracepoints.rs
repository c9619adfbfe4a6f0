//! Sleeps that the kernel's tracepoint names, beside those that are inferred, and beside what the threads stamped
//! themselves. Takes root, and tracefs: where that is not mounted, gilscope gets it in a mount namespace of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gilscope::event::{Departure, Event, FutexSite, ThreadKey, What};
use gilscope::model::Model;
use gilscope::model::snapshot::{ProcessFigures, Snapshot};
use gilscope::recording::{Reader, Start};

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, Ended};
use crate::support::pythons::pythons_with_gil;
use crate::support::scenario::Scenario;
use crate::support::truth::{Kind, Truth};

const PATIENCE: Duration = Duration::from_secs(60);
/// From here on single waits are compared.
const LONG: u64 = 100_000;
/// A stamp is taken before a thread asks and after it has taken; a core that is lost in between is no sleep.
const STAMP: u64 = 60_000;
/// From entering futex(2) to sleeping in it.
const ENTERING: u64 = 15_000;

/// `gilscope`, where tracefs is mounted.
pub fn traced(arguments: &[&str]) -> Command {
    if fs::exists("/sys/kernel/tracing/events").unwrap_or(false) {
        let mut command = gilscope();
        command.args(arguments);
        return command;
    }
    let mut command = Command::new("unshare");
    let mount = "mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null; exec \"$@\"";
    command.args(["--mount", "sh", "-c", mount, "sh", env!("CARGO_BIN_EXE_gilscope")]).args(arguments);
    command
}

/// `None`, with a word, where tracepoints may not be had.
fn run(arguments: &[&str]) -> Option<Ended> {
    let ended = Child::spawn(&mut traced(arguments)).finish(PATIENCE);
    if matches!(ended.status.code(), Some(1 | 3)) {
        eprintln!("skipped: {}", ended.stderr);
        return None;
    }
    assert!(ended.status.success(), "{}", ended.stderr);
    Some(ended)
}

fn record(pid: u32, file: &Path, more: &[&str]) -> Option<Vec<Event>> {
    let (pid, file_name) = (pid.to_string(), file.to_str().unwrap());
    let always = ["record", "-q", "--force", "--tracepoints", "always", "-d", "4", "-p", &pid, "-o", file_name];
    run(&[&always[..], more].concat())?;
    let mut reader = Reader::open(file).unwrap();
    Some(reader.events(Start::Beginning).map(|item| item.unwrap()).filter_map(|item| item.into_event()).collect())
}

fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Snapshot {
    let mut model = Model::new();
    events.into_iter().for_each(|event| model.apply(event));
    model.snapshot()
}

fn is_traced(event: &Event) -> bool {
    matches!(event.what, What::FutexesBegin { .. } | What::FutexesEnd { .. } | What::FutexEntered { .. })
}

/// A sleep, and what it was on.
struct Named {
    thread: ThreadKey,
    from: u64,
    until: u64,
}

/// The sleeps that were entered by the condition variable.
fn cond_sleeps(events: &[Event]) -> Vec<Named> {
    let mut entered: BTreeMap<ThreadKey, (u64, FutexSite)> = BTreeMap::new();
    let mut asleep: BTreeMap<ThreadKey, u64> = BTreeMap::new();
    let mut sleeps = Vec::new();
    for event in events {
        match event.what {
            What::FutexEntered { thread, site, .. } => drop(entered.insert(thread, (event.at.0, site))),
            What::SwitchedOut { thread, how: Departure::Asleep } => {
                // What it would have waited for may have happened: then it goes on, and sleeps on something else.
                let on_cond = |(at, site)| site == FutexSite::Cond && event.at.0 - at <= ENTERING;
                if entered.remove(&thread).is_some_and(on_cond) {
                    asleep.insert(thread, event.at.0);
                }
            }
            What::SwitchedIn { thread, .. } => {
                let from = asleep.remove(&thread);
                sleeps.extend(from.map(|from| Named { thread, from, until: event.at.0 }));
            }
            What::SwitchesEnd { thread, .. } => drop((entered.remove(&thread), asleep.remove(&thread))),
            _ => {}
        }
    }
    sleeps
}

/// Contended waits of the stamped threads, and their sum, by the stamps within the capture and by a fold of it.
fn compared(process: &ProcessFigures, truth: &Truth) -> [(f64, f64); 2] {
    let from = process.capture.start.0;
    let figures = truth.within(from..from + process.capture.duration.0);
    let (mut real, mut seen) = ((0.0, 0.0), (0.0, 0.0));
    for thread in figures.threads.iter().filter(|thread| thread.kind != Kind::Bytecode) {
        real.0 += thread.waits.iter().filter(|wait| **wait >= LONG).count() as f64;
        real.1 += thread.wait_total as f64;
        let of = process.threads.iter().find(|of| of.tid.is_some_and(|tid| tid.0 == thread.tid)).expect("it was seen");
        seen.0 += (of.waits.count() - of.waits.below_resolution) as f64;
        seen.1 += of.waits.total.0 as f64;
    }
    [real, seen]
}

/// Folded with the names of the sleeps and without, one and the same capture says nearly the same; with them it is no
/// further from the truth, and every sleep that is named so was a wait.
#[test]
fn named_sleeps_are_waits_and_agree_with_those_inferred() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("traced.gscope");
    let (mut off_named, mut off_inferred, mut all) = (0.0, 0.0, 0.0);
    for name in ["contended", "convoy"] {
        for python in pythons_with_gil() {
            let Some(scenario) = Scenario::start(python, name, &[]) else { continue };
            let events = record(scenario.pid(), &file, &[]);
            let truth = scenario.stop();
            let Some(events) = events else { return };
            let (named, inferred) = (fold(&events), fold(events.iter().filter(|event| !is_traced(event))));
            let [named, inferred] = [&named.processes[0], &inferred.processes[0]];
            let [real, with] = compared(named, &truth);
            let [_, without] = compared(inferred, &truth);
            let late = named.capture.health.late as f64 / (named.capture.samples + named.capture.health.late) as f64;
            eprintln!(
                "{python} {name}: {} waits in truth, {} named, {} inferred; in all {:.4} and {:.4} of the truth; {:.0} % late; {:?}",
                real.0,
                with.0,
                without.0,
                with.1 / real.1,
                without.1 / real.1,
                100.0 * late,
                named.capture.spent
            );
            assert!(named.capture.switches.unwrap().named > 100, "{python}: hardly a sleep was named");
            let sleeps = cond_sleeps(&events);
            let tids: BTreeMap<ThreadKey, u32> = named.threads.iter().filter_map(|t| Some((t.key, t.tid?.0))).collect();
            let (mut named_sleeps, mut strangers) = (0, Vec::new());
            for sleep in sleeps.iter().filter(|sleep| sleep.until - sleep.from > LONG) {
                let Some(thread) = truth.threads.iter().find(|t| tids.get(&sleep.thread) == Some(&t.tid)) else {
                    continue;
                };
                let stamped = thread.kind != Kind::Bytecode && truth.complete.contains(&sleep.from);
                if !stamped || truth.complete.end < sleep.until {
                    continue;
                }
                named_sleeps += 1;
                if !thread.waits().any(|wait| wait.start <= sleep.from && sleep.until <= wait.end + STAMP) {
                    strangers.push(format!("{} slept from {} to {}", thread.name, sleep.from, sleep.until));
                }
            }
            // A thread that is woken may queue for a core for longer than its stamp is late otherwise.
            assert!(
                strangers.len() <= 2 + named_sleeps / 100,
                "{python}: of {named_sleeps} sleeps on the GIL, these were no waits: {strangers:?}"
            );
            if late > 0.05 {
                eprintln!("skipped: {:.0} % of the looks were late", 100.0 * late);
                continue;
            }
            assert!(
                (with.0 - without.0).abs() <= real.0 * (0.06 + late) + 8.0,
                "{python}: {} and {} waits",
                with.0,
                without.0
            );
            assert!((with.1 - without.1).abs() <= real.1 * (0.02 + late), "{python}: {} and {} ns", with.1, without.1);
            assert!((with.0 - real.0).abs() <= real.0 * 0.02 + 8.0, "{python}: {} waits, in truth {}", with.0, real.0);
            all += real.0;
            off_named += (with.0 - real.0).abs();
            off_inferred += (without.0 - real.0).abs();
        }
    }
    eprintln!("off by {off_named} waits with names and by {off_inferred} without, of {all}");
    assert!(all > 0.0 && off_named <= off_inferred + all * 0.002, "{off_named} and {off_inferred} of {all}");
}

/// Names that would cost too much are given up, and what switches and samples tell goes on.
#[test]
fn names_that_would_cost_too_much_are_given_up() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("costly.gscope");
    let python = pythons_with_gil().pop().unwrap();
    let Some(scenario) = Scenario::start(python, "contended", &[]) else { return };
    let events = record(scenario.pid(), &file, &["--max-overhead", "0.01"]);
    scenario.stop();
    let Some(events) = events else { return };
    let ended =
        events.iter().position(|event| matches!(event.what, What::FutexesEnd { .. })).expect("they were given up");
    let pause = &events[ended..];
    let until = pause.iter().position(|event| matches!(event.what, What::FutexesBegin { .. })).unwrap_or(pause.len());
    let after = |is: fn(&What) -> bool| pause[..until].iter().filter(|event| is(&event.what)).count();
    assert!(after(|what| matches!(what, What::GilSample(_))) > 100, "samples go on");
    // Those that had come by then are told yet.
    assert!(after(|what| matches!(what, What::FutexEntered { .. })) < 30, "none come after that");
}

#[test]
fn what_cannot_be_had_is_refused_with_a_word() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let mut child = Child::spawn(python.command().args(["-c", "print('ready', flush=True); input()"]));
    child.ready(PATIENCE);
    let pid = child.pid().to_string();
    let report = ["report", "-d", "0.3", "-p", &pid, "--tracepoints", "always"];
    let sampled = Child::spawn(traced(&report).args(["--mode", "sampled"])).finish(PATIENCE);
    assert!(matches!(sampled.status.code(), Some(2 | 3)), "{}", sampled.stderr);
    if !fs::exists("/sys/kernel/tracing/events").unwrap_or(false) {
        let refused = Child::spawn(gilscope().args(report)).finish(PATIENCE);
        assert_eq!(refused.status.code(), Some(3), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("tracefs") && refused.stderr.contains("--tracepoints never"),
            "{}",
            refused.stderr
        );
    }
}
