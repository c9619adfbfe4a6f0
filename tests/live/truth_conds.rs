//! What the GIL's condition variables tell beside the threads' own stamps, and gilscope beside both.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gilscope::event::{Event, Hold, ThreadKey, What};

use crate::observed::{Observed, gilscope, report};
use crate::support::alone;
use crate::support::budget::read;
use crate::support::pythons::pythons_with_gil;
use crate::support::scenario::Scenario;
use crate::support::truth::{Cycle, Kind, Truth};

/// Runs a logged scenario on every interpreter with headers while `watch` looks on, and gives what it saw and all that was
/// logged and stamped to `check`.
fn on_each_logged<T>(name: &str, watch: impl Fn(u32) -> T, check: impl Fn(&str, &T, &Truth)) {
    let _alone = alone();
    let mut checked = 0;
    for python in pythons_with_gil() {
        let Some(scenario) = Scenario::start_logged(python, name, &[], |_| {}) else { continue };
        let seen = watch(scenario.pid());
        check(&python.to_string(), &seen, &scenario.stop());
        checked += 1;
    }
    assert!(checked > 0, "no interpreter with headers");
}

/// Between the stamps around `PyEval_RestoreThread` lies the take that the log tells, between those around
/// `PyEval_SaveThread` the drop, and a take that lasted for long is one in which the thread slept, on the condition variable or the mutex.
#[test]
fn every_stamped_take_is_logged_between_its_stamps() {
    on_each_logged(
        "contended",
        |_| thread::sleep(Duration::from_millis(600)),
        |python, (), stamped| {
            let logged = stamped.clone().by_sleeps();
            let workers = stamped.threads.iter().zip(&logged.threads).filter(|(thread, _)| thread.kind != Kind::Apart);
            let mut takes = 0;
            for (thread, logged) in workers {
                // The last one may be cut.
                let whole: Vec<&Cycle> =
                    logged.cycles.iter().filter(|cycle| cycle.drop < stamped.complete.end).collect();
                let first = thread.cycles.first().map_or(0, |cycle| cycle.ask);
                let pairs: Vec<(&Cycle, &&Cycle)> =
                    thread.cycles.iter().zip(whole.iter().filter(|cycle| cycle.ask >= first)).collect();
                takes += pairs.len();
                for (stamps, log) in pairs {
                    assert!(
                        stamps.ask <= log.ask && log.taken <= stamps.taken,
                        "{python}: {} took it at {log:?}, not within {stamps:?}",
                        thread.name
                    );
                    assert!(
                        stamps.drop <= log.drop && log.drop <= stamps.dropped,
                        "{python}: {} dropped it at {log:?}, not within {stamps:?}",
                        thread.name
                    );
                    let waited = stamps.taken - stamps.ask;
                    assert!(log.ask < log.taken || waited < 3_000_000, "{python}: {waited} ns without a sleep");
                }
            }
            eprintln!("{python}: {takes} takes");
            assert!(takes >= 40, "{python}: {takes} takes");
            assert_eq!(logged.overlapping_holds(), None, "{python}");
        },
    );
}

/// One thread of bytecode that is made to let go every switch interval, and then gets the GIL back at once, beside one that
/// does I/O. It sleeps in `switch_cond`, and on the mutex of whoever asks it: neither is a wait, nor an end of the other's.
#[test]
fn whoever_is_made_to_let_go_does_not_wait_meanwhile() {
    on_each_logged(
        "convoy",
        |pid| report(pid, 4.0),
        |python, report, stamped| {
            let process = report["processes"][0].clone();
            if process["capture"]["mode"] != "fused" {
                return eprintln!("skipped {python}: switch records are not permitted here");
            }
            let from = process["capture"]["start_monotonic_ns"].as_u64().expect("a start");
            let to = from + process["capture"]["duration_ns"].as_u64().expect("a duration");
            let truth = stamped.clone().by_conds();
            let figures = truth.within(from..to);
            let observed = Observed { process, stamps: truth, window: from..to };
            if observed.late() > 0.05 {
                return eprintln!("skipped {python}: {:.0} % of the looks were late", 100.0 * observed.late());
            }
            let forced = observed.stamps.forced_handoffs(0, &(from..to)) as f64;
            let gil = &observed.process["interpreters"][0]["gil"];
            let told = gil["forced_handoffs"].as_f64();
            let of = |name: &str| {
                let lost = observed.named(name)["lost_ns"].as_f64().expect("lost");
                (lost, figures.thread(name).wait_total as f64)
            };
            let ((hog, hog_waited), (io, waited)) = (of("hog-1"), of("io"));
            eprintln!(
                "{python}: forced {told:?} ({forced}), the hog waits {:.1} ms ({:.1}), I/O {:.4} of the truth",
                hog / 1e6,
                hog_waited / 1e6,
                io / waited
            );
            // Of 430 drops 3 % and the edges; what a late look missed is unclear.
            let bound = (0.03 + observed.late()) * forced + 3.0;
            assert!(told.is_none_or(|told| (told - forced).abs() <= bound), "{python}: {told:?}, in truth {forced}");
            // Told of at each of them, it would wait for 40 to 100 us more: half a per cent of the time or more.
            let most = (0.002 + 0.02 * observed.late()) * (to - from) as f64;
            assert!(hog - hog_waited <= most, "{python}: the hog waits for {hog} ns, in truth {hog_waited}");
            // Each edge is some microseconds off, of 5 ms.
            assert!((io / waited - 1.0).abs() <= 0.02 + observed.late(), "{python}: {io} ns, in truth {waited}");
        },
    );
}

/// The holders that a recording's looks name, and when.
fn named(events: &[Event]) -> Vec<(u64, u32)> {
    let mut tids: HashMap<ThreadKey, u32> = HashMap::new();
    let mut named = Vec::new();
    for event in events {
        match &event.what {
            What::ThreadFound { thread, info } => tids.extend(info.tid.map(|tid| (*thread, tid.0))),
            What::GilSample(sample) => {
                if let Hold::By { thread, .. } = sample.hold {
                    named.extend(tids.get(&thread).map(|tid| (event.at.0, *tid)));
                }
            }
            _ => {}
        }
    }
    named
}

/// What watches wants the cores that everybody wants, and is the last to get one: it is put off its core in the middle of looks.
#[test]
fn no_look_names_who_held_at_another_instant() {
    /// An edge of a hold is logged within so much of the write to the flag.
    const EDGE: u64 = 15_000;
    let watch = |pid: u32| {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("looks.gscope");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop()
                    }
                });
            }
            let mut command = Command::new("nice");
            command.args(["-n", "10"]).arg(gilscope().get_program());
            command.args(["record", "-q", "-r", "4k", "-d", "2", "-p", &pid.to_string(), "-o"]).arg(&file);
            let output = command.output();
            over.store(true, Ordering::Relaxed);
            let output = output.expect("gilscope runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        });
        named(&read(&file))
    };
    on_each_logged("many", watch, |python, named, stamped| {
        let truth = stamped.clone().by_conds();
        let mut holds: Vec<(u64, u64, u32)> =
            truth.threads.iter().flat_map(|t| t.holds().map(|hold| (hold.start, hold.end, t.tid))).collect();
        holds.sort_unstable();
        let (mut sure, mut wrong) = (0, 0);
        for (at, tid) in named {
            let before = holds.partition_point(|(start, ..)| start < at);
            let Some((start, end, holder)) = before.checked_sub(1).map(|index| holds[index]) else { continue };
            if start + EDGE < *at && *at + EDGE < end {
                sure += 1;
                wrong += u32::from(holder != *tid);
            }
        }
        eprintln!("{python}: {wrong} of {sure} looks name another");
        assert!(sure >= 50, "{python}: {sure} looks are in the middle of holds");
        // A virtual machine's own pauses are on nobody's account.
        assert!(wrong * 300 <= sure, "{python}: {wrong} of {sure} looks name another holder than the log");
    });
}
