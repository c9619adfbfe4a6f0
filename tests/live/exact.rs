//! Windows of the watchpoints beside what the threads stamped themselves, under the same exceptions.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gilscope::event::{Event, ThreadKey, What, WindowEnd};
use gilscope::model::Model;
use gilscope::model::snapshot::Snapshot;
use gilscope::recording::{Reader, Start};

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::budget::{keeps_to_the_budget, read};
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons_with_gil};
use crate::support::scenario::Scenario;
use crate::support::truth::{Kind, Truth, percentile};
use crate::support::windows::{whole_requests, windows, within};

const PATIENCE: Duration = Duration::from_secs(60);

const CHURN: &str = "
import os, sys, time
fd = os.open('/dev/null', os.O_WRONLY)
def spin(seconds):
    # CPU time, so that it does not matter who else wants the cores; exceptions are in it.
    end, n = time.thread_time() + seconds, 0
    while time.thread_time() < end:
        for _ in range(1000):
            os.write(fd, b'x')
        n += 1000
    return n
";

fn speed(child: &mut Child) -> u64 {
    child.line(PATIENCE).trim().parse().unwrap()
}

/// What `--mode exact` recorded of `pid`; `None` where watchpoints are not permitted, as it says.
fn record(pid: u32, file: &Path, arguments: &[&str]) -> Option<Vec<Event>> {
    let ended = Child::spawn(
        gilscope()
            .args(["record", "-q", "--force", "--mode", "exact", "-p", &pid.to_string(), "-o"])
            .arg(file)
            .args(arguments),
    )
    .finish(PATIENCE);
    if ended.status.code() == Some(3) {
        eprintln!("skipped: {}", ended.stderr);
        return None;
    }
    assert!(ended.status.success(), "{}", ended.stderr);
    Some(read(file))
}

fn snapshot(events: &[Event]) -> Snapshot {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

/// Plays a scenario under the microscope on each interpreter.
fn on_each(name: &str, check: impl Fn(&Python, &[Event], &Snapshot, &Truth)) {
    on_each_started(|python| Scenario::start(python, name, &[]), check);
}

/// The same for whatever is started.
fn on_each_started(start: impl Fn(&Python) -> Option<Scenario>, check: impl Fn(&Python, &[Event], &Snapshot, &Truth)) {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("exact.gscope");
    let mut played = 0;
    for python in pythons_with_gil() {
        let Some(scenario) = start(python) else { continue };
        let events = record(scenario.pid(), &file, &["-d", "2.5", "--max-overhead", "60"]);
        let truth = scenario.stop();
        let Some(events) = events else { return };
        let snapshot = snapshot(&events);
        let capture = &snapshot.processes[0].capture;
        let exact = capture.exact.unwrap();
        eprintln!("{python}: {exact:?} {:?}", capture.costs);
        check(python, &events, &snapshot, &truth);
        played += 1;
    }
    assert!(played > 0, "no interpreter with headers to build the extension with");
}

/// A thread of bytecode that is asked for the GIL two hundred times a second: how long it took each time.
#[test]
fn every_drop_at_a_request_is_told() {
    let start = |python: &Python| Scenario::start_logged(python, "convoy", &[], |_| {});
    on_each_started(start, |python, events, snapshot, truth| {
        let process = &snapshot.processes[0];
        let gil = process.interpreters[0].gil.as_ref().expect("a GIL");
        let seen = gil.drop_latency.as_ref().unwrap_or_else(|| panic!("{python}: none is told"));
        let windows = windows(events);
        let (real, doubtful) = within(&windows, whole_requests(truth, &windows));
        let (count, total) = (real.len(), real.iter().sum::<u64>());
        eprintln!("{python}: {} drops, {} ns; in truth {count}, {total} ns", seen.count(), seen.total.0);
        assert!(count > 50, "{python}: {count} drops at a request");
        // Before the places are learned, and after each window's edge, some count for nothing.
        let spare = (doubtful + windows.len() + 2) as u64;
        assert!(seen.count().abs_diff(count as u64) <= spare, "{python}: {} of {count} drops", seen.count());
        // Each is known as well as an exception is short, and one that is in doubt a millisecond long at most.
        let exception = process.capture.costs.expect("they are told").exception.0;
        let off = count as u64 * exception + spare * 1_000_000;
        assert!(seen.total.0.abs_diff(total) <= off, "{python}: {} ns, in truth {total}", seen.total.0);
    });
}

fn every_hold_and_wait(python: &Python, events: &[Event], snapshot: &Snapshot, truth: &Truth) {
    let process = &snapshot.processes[0];
    let exact = process.capture.exact.unwrap();
    // A pause now and then is meant, to compare with.
    assert!(exact.coverage > 0.5, "{python}: {exact:?}");
    // An exception's own time may end up in the mutex around the GIL, and a take be missed there: hardly ever.
    assert!(exact.resyncs <= 2 + exact.takes / 2_000, "{python}: {exact:?}");
    let windows = windows(events);
    let cost = process.capture.costs.unwrap().exception.0;
    for thread in truth.threads.iter().filter(|thread| matches!(thread.kind, Kind::HoldsBusy | Kind::HoldsAsleep)) {
        let Some(seen) = process.threads.iter().find(|seen| seen.tid.is_some_and(|tid| tid.0 == thread.tid)) else {
            panic!("{python}: {} was not seen", thread.name);
        };
        let (mut totals, mut counts) = ((0, 0), 0);
        for (what, seen, (real, doubtful)) in [
            ("holds", &seen.holds, within(&windows, thread.holds())),
            ("waits", &seen.waits, within(&windows, thread.waits())),
        ] {
            // Before the places are learned some count for nothing; a wait whose thread was not seen to drop before is cut.
            let spare = doubtful + windows.len() + 12;
            let count = seen.count() as usize;
            // Whoever blocked on the mutex alone, as exceptions make it happen, has not waited in this sense.
            let real_ones = match what {
                "waits" => real.iter().filter(|wait| **wait > 150_000).count(),
                _ => real.len(),
            };
            assert!(
                count + spare >= real_ones && count <= real.len() + doubtful + 2,
                "{python} {}: {count} {what}, in truth {} to {}; {doubtful} doubtful, {exact:?}",
                thread.name,
                real_ones,
                real.len()
            );
            totals.0 += seen.total.0;
            totals.1 += real.iter().sum::<u64>();
            counts += count as u64;
        }
        // From asking to dropping: where in between it was taken, the stamps know only from behind `take_gil`, which wakes
        // the dropper after it has taken and may lose its core by that.
        let spare = totals.1 / 50 + counts * cost + windows.len() as u64 * 20_000_000;
        // A thread may queue for a core between its stamp and the write with which it begins to wait, or on the mutex.
        let queued = totals.1 / 10;
        assert!(
            totals.0 <= totals.1 + spare && totals.1 <= totals.0 + spare + queued,
            "{python} {}: waits and holds take {} ns, in truth {}; {counts} of them",
            thread.name,
            totals.0,
            totals.1
        );
    }
}

/// Threads that hold in C and then sleep let go of it for that alone, asked or not.
fn none_is_forced(python: &Python, events: &[Event], snapshot: &Snapshot, truth: &Truth) {
    every_hold_and_wait(python, events, snapshot, truth);
    let process = &snapshot.processes[0];
    let exact = process.capture.exact.unwrap();
    assert!(exact.forced_handoffs.is_none_or(|forced| forced * 20 <= exact.handoffs), "{python}: {exact:?}");
    for thread in truth.threads.iter().filter(|thread| thread.kind == Kind::HoldsBusy) {
        let (real, _) = within(&windows(events), thread.holds());
        let Some(seen) = process.threads.iter().find(|seen| seen.tid.is_some_and(|tid| tid.0 == thread.tid)) else {
            panic!("{python}: {} was not seen", thread.name);
        };
        let (median, cost) = (percentile(&real, 0.5), process.capture.costs.unwrap().exception.0);
        let seen = seen.holds.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(0.5));
        assert!(
            real.len() < 30 || seen.abs_diff(median) <= median / 20 + 4 * cost,
            "{python} {}: the median hold is {seen}, in truth {median}",
            thread.name
        );
    }
}

#[test]
fn holds_and_waits_in_windows_are_those_that_there_were() {
    on_each("contended", none_is_forced);
}

#[test]
fn a_convoy_under_the_microscope_is_right() {
    on_each("convoy", every_hold_and_wait);
}

/// One thread that takes the GIL hundreds of thousands of times a second: it is watched in windows, and loses no more
/// than the budget, whatever it does.
#[test]
fn a_churner_keeps_its_speed() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let code = format!("{CHURN}print('ready', flush=True)\nwhile True: print(spin(1.0), flush=True)");
    let mut child = Child::spawn(python.command().args(["-c", &code]));
    child.ready(PATIENCE);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("churn.gscope");
    let before = (0..3).map(|_| speed(&mut child)).max().unwrap();
    let Some(events) = record(child.pid(), &file, &["-d", "4"]) else { return };
    // Lines of the seconds in which it was watched.
    let during = (0..4).map(|_| speed(&mut child)).max().unwrap();
    let after = (0..2).map(|_| speed(&mut child)).max().unwrap();
    eprintln!("{before} a second before, {during} during, {after} after");
    // The best of some seconds each, on a machine that others use: half would mean that hits are paid for and not told.
    assert!(during * 2 > before && after * 2 > before, "{before} a second before, {during} during, {after} after");
    keeps_to_the_budget("a churner", &events, 0);
    let snapshot = snapshot(&events);
    let capture = &snapshot.processes[0].capture;
    let exact = capture.exact.unwrap();
    assert!(exact.windows >= 8 && exact.coverage < 0.5, "{exact:?}");
    assert!(exact.takes > 300, "{exact:?}");
    assert!(snapshot.processes[0].interpreters[0].gil.as_ref().unwrap().contention < 0.02);
}

/// Threads that live for some milliseconds: a window ends with each birth, so little is covered, and that is right.
#[test]
fn births_end_windows_and_spoil_nothing() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let code = "
import threading, time
def live():
    end = time.monotonic() + 0.010
    while time.monotonic() < end:
        sum(range(2000))
print('ready', flush=True)
while True:
    threads = [threading.Thread(target=live) for _ in range(2)]
    for t in threads: t.start()
    for t in threads: t.join()
";
    let mut child = Child::spawn(python.command().args(["-c", code]));
    child.ready(PATIENCE);
    let directory = tempfile::tempdir().unwrap();
    let Some(events) =
        record(child.pid(), &directory.path().join("births.gscope"), &["-d", "3", "--max-overhead", "50"])
    else {
        return;
    };
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &events {
        if let What::WindowEnds { why, .. } = event.what {
            *ends.entry(if why == WindowEnd::Birth { "birth" } else { "other" }).or_default() += 1;
        }
    }
    let snapshot = snapshot(&events);
    let process = &snapshot.processes[0];
    let exact = process.capture.exact.unwrap();
    eprintln!("{ends:?} {exact:?}");
    assert!(ends.get("birth").copied().unwrap_or(0) >= 5, "{ends:?}");
    assert!(exact.coverage < 0.9, "{exact:?}");
    assert!(exact.resyncs <= 3 + exact.takes / 200, "{exact:?}");
    let held = process.interpreters[0].gil.as_ref().unwrap();
    // No thread runs for longer than 10 ms of its own, on a machine that may take its core from it.
    let longest = held.holds.histogram.as_ref().map_or(0, |histogram| histogram.max());
    assert!(longest < 400_000_000, "a hold of {longest} ns");
}

/// The threads of a debugger's target have no registers to spare: that is said, and observation goes on without.
#[test]
fn whoever_has_the_registers_is_left_in_peace() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let mut child = Child::spawn(
        python.command().args(["-c", "import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)"]),
    );
    child.ready(PATIENCE);
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first.gscope");
    let pid = child.pid().to_string();
    // Two gilscopes take two registers each: a third finds none.
    let watch = || {
        gilscope()
            .args(["record", "-q", "--mode", "exact", "-d", "6", "-p", &pid, "-o"])
            .arg(directory.path().join(format!("{}.gscope", fastrand::u64(..))))
            .spawn()
            .unwrap()
    };
    let mut others = [watch(), watch()];
    std::thread::sleep(Duration::from_millis(1_500));
    let events = record(child.pid(), &first, &["-d", "3"]);
    for other in &mut others {
        other.wait().unwrap();
    }
    let Some(events) = events else { return };
    let snapshot = snapshot(&events);
    let process = &snapshot.processes[0];
    let exact = process.capture.exact.unwrap();
    eprintln!("{exact:?}");
    let refused = events.iter().any(|event| matches!(event.what, What::WindowRefused { .. }));
    assert!(refused, "four registers are there, and six were asked for: {exact:?}");
    assert!(process.capture.coverage > 0.8, "the sampler goes on");
}

/// What a window is, by the threads of one process: each hit is of a thread that is known.
#[test]
fn hits_are_of_threads_that_are_known() {
    let _alone = alone();
    let python = pythons_with_gil().remove(0);
    let Some(scenario) = Scenario::start(python, "contended", &[]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let events = record(scenario.pid(), &directory.path().join("known.gscope"), &["-d", "2"]);
    drop(scenario.stop());
    let Some(events) = events else { return };
    let mut known: Vec<ThreadKey> = Vec::new();
    let mut hits = 0;
    for event in &events {
        match &event.what {
            What::ThreadFound { thread, .. } => known.push(*thread),
            What::LockWritten { thread, .. } | What::CondWritten { thread, .. } => {
                assert!(known.contains(thread));
                hits += 1;
            }
            _ => {}
        }
    }
    assert!(hits > 100, "{hits} hits");
    assert!(events.is_sorted_by_key(|event| event.at));
}

/// gilscope is killed while its watchpoints are armed: the kernel takes them away with it.
#[test]
fn a_gilscope_that_is_killed_leaves_nothing_behind() {
    let _alone = alone();
    let python = pythons_with_gil().pop().unwrap();
    let code = format!("{CHURN}print('ready', flush=True)\nwhile True: print(spin(0.5), flush=True)");
    let mut child = Child::spawn(python.command().args(["-c", &code]));
    child.ready(PATIENCE);
    let before = (0..4).map(|_| speed(&mut child)).max().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for attempt in 0..3 {
        let file = directory.path().join(format!("{attempt}.gscope"));
        let mut watcher = gilscope()
            .args(["record", "-q", "--mode", "exact", "--max-overhead", "60", "-p", &child.pid().to_string(), "-o"])
            .arg(&file)
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1_700 + 37 * attempt));
        watcher.kill().unwrap();
        if watcher.wait().unwrap().code() == Some(3) {
            eprintln!("skipped: watchpoints are not permitted here");
            return;
        }
        let mut reader = Reader::open(&file).unwrap();
        let windows = reader
            .events(Start::Beginning)
            .filter_map(|item| item.ok()?.into_event())
            .filter(|event| matches!(event.what, What::WindowBegins { .. }))
            .count();
        assert!(windows > 0, "it was killed before it had armed anything");
    }
    let _while_watched = speed(&mut child);
    let after = (0..4).map(|_| speed(&mut child)).max().unwrap();
    eprintln!("{before} in half a second before, {after} after");
    assert!(after * 2 > before, "{before} in half a second before, {after} after");
}

/// A program that replaces itself by another one, in which something else lies at the watched address or, in a Python that
/// is not position independent, another GIL: the watchpoints end with the old one, and the new one is found afresh.
#[test]
fn watchpoints_do_not_outlive_the_program() {
    let _alone = alone();
    // Every third, and so a Python of each kind: shared and static, old and new.
    for python in pythons_with_gil().into_iter().step_by(3) {
        let code = format!(
            "{CHURN}
if len(sys.argv) < 2: print('ready', flush=True)
for _ in range(3): print(spin(0.5), flush=True)
if len(sys.argv) < 4: os.execv(sys.executable, [sys.executable, __file__] + ['again'] * len(sys.argv))
while True: print(spin(0.5), flush=True)
"
        );
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("again.py");
        std::fs::write(&script, code).unwrap();
        let mut child = Child::spawn(python.command().arg(&script));
        child.ready(PATIENCE);
        // What the places do is learned from looks that fall into windows: where an exception is dear, and so windows short
        // and rare, a second of two per cent may be too little for it.
        let exact = ["-d", "4", "--max-overhead", "20"];
        let Some(events) = record(child.pid(), &directory.path().join("exec.gscope"), &exact) else { return };
        let images = events.iter().filter(|event| matches!(event.what, What::ProcessFound { .. })).count();
        assert!(images >= 2, "{python}: {images} programs were seen");
        let snapshot = snapshot(&events);
        let last = &snapshot.processes[snapshot.processes.len() - 1];
        let exact = last.capture.exact.unwrap();
        eprintln!("{python}: {images} programs, {exact:?}");
        // On a machine that is slow to start the last of them, it is seen for too short a time to learn anything.
        let long = last.capture.duration >= gilscope::time::Ns::SECOND;
        assert!(exact.resyncs <= 2 && (!long || exact.takes > 0), "{python}: {exact:?}");
        let speeds: Vec<u64> = (0..9).map(|_| speed(&mut child)).collect();
        let after = (0..2).map(|_| speed(&mut child)).max().unwrap();
        let slowest = speeds.iter().skip(1).min().unwrap();
        // A watchpoint that nobody counts makes it fifty times slower; a start in the half second, or the machine, less.
        assert!(slowest * 8 > after, "{python}: {speeds:?} while watched, {after} after");
    }
}

/// Interpreters with GILs of their own are watched by turns.
#[test]
fn several_gils_are_watched_by_turns() {
    let _alone = alone();
    let mut played = 0;
    for python in pythons_with_gil().into_iter().filter(|python| python.minor() >= 12) {
        let Some(scenario) = Scenario::start(python, "subinterpreters", &[]) else { continue };
        let directory = tempfile::tempdir().unwrap();
        let events =
            record(scenario.pid(), &directory.path().join("gils.gscope"), &["-d", "4", "--max-overhead", "50"]);
        let truth = scenario.stop();
        let Some(events) = events else { return };
        let snapshot = snapshot(&events);
        let process = &snapshot.processes[0];
        let exact = process.capture.exact.unwrap();
        eprintln!("{python}: {exact:?}");
        let watched: std::collections::BTreeSet<_> = events
            .iter()
            .filter_map(|event| match event.what {
                What::WindowBegins { gil } => Some(gil),
                _ => None,
            })
            .collect();
        let gils = events.iter().filter(|event| matches!(event.what, What::GilFound { .. })).count();
        assert!(watched.len() >= 2 && watched.len() <= gils, "{python}: {watched:?} of {gils}");
        assert!(exact.takes > 0 && exact.resyncs <= 3 + exact.takes / 100, "{python}: {exact:?}");
        let longest = truth.threads.iter().flat_map(|thread| thread.holds().map(|hold| hold.end - hold.start)).max();
        let seen = process
            .interpreters
            .iter()
            .filter_map(|interpreter| interpreter.gil.as_ref()?.holds.histogram.as_ref().map(|h| h.max()))
            .max();
        assert!(seen.unwrap_or(0) <= longest.unwrap_or(0) * 2 + 50_000_000, "{python}: {seen:?} of {longest:?}");
        played += 1;
    }
    if played == 0 {
        eprintln!("skipped: no interpreter with sub-interpreters and headers");
    }
}
