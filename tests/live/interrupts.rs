//! What is told of signals beside the stamps of who sends them and of the Python handler, on every interpreter.
//!
//! Stamps are CLOCK_MONOTONIC: the sender's is taken before kill(2), the handler's is the first thing that it does. So a
//! signal is tripped between the two, and cleared before the second.

use std::path::Path;
use std::time::Duration;

use gilscope::event::{Delivery, Event, Flag, Generation, Lookup, Signal, SignalStep, SignalsInfo, StepsEnd, What};

use crate::support::alone;
use crate::support::budget::read;
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons, pythons_with_gil};
use crate::tracepoints::traced;

const PATIENCE: Duration = Duration::from_secs(30);
const SIGNALS: usize = 20;
/// A handler's delay from which on a look at 1 kHz has to have seen it, on a machine that is busy.
const LONG: u64 = 8_000_000;

/// Stamps each SIGUSR1, and calls C for some milliseconds at a time until SIGUSR2, beside as many sleeping threads as it is
/// told to.
const TARGET: &str = r"
import signal, sys, threading, time
stamps, over = [], []
def handler(number, frame):
    stamps.append(time.monotonic_ns())
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGUSR2, lambda number, frame: over.append(1))
began = time.monotonic_ns()
sum(range(100000))
count = int(1e5 * 12e6 / (time.monotonic_ns() - began))
for _ in range(int(sys.argv[1])):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
sys.stdout.write('ready\n')
sys.stdout.flush()
while not over:
    sum(range(count))
sys.stdout.write('ready %s\n' % ' '.join(map(str, stamps)))
sys.stdout.flush()
sys.stdin.read()
";

/// Waits for a line, sends as many signals as it is told to, says when.
const SENDER: &str = r"
import os, signal, sys, time
pid, count = int(sys.argv[1]), int(sys.argv[2])
sys.stdin.readline()
stamps = []
for number in range(count):
    stamps.append(time.monotonic_ns())
    os.kill(pid, signal.SIGUSR1)
    time.sleep(0.03 + 0.0007 * number)
os.kill(pid, signal.SIGUSR2)
sys.stdout.write('ready %s\n' % ' '.join(map(str, stamps)))
";

struct Observed {
    events: Vec<Event>,
    /// When each signal was sent, and when its handler began.
    signals: Vec<(u64, u64)>,
}

/// Records while signals are sent; `None`, with a word, where two of them became one.
fn observe(python: &Python, sleepers: usize, file: &Path, arguments: &[&str]) -> Option<Observed> {
    let mut target = Child::spawn(python.command().args(["-c", TARGET, &sleepers.to_string()]));
    target.ready(PATIENCE);
    let (pid, count) = (target.pid().to_string(), SIGNALS.to_string());
    let mut sender = Child::spawn(python.command().args(["-c", SENDER, &pid, &count]));
    // How often the main thread alone leaves its core is known after a second or two.
    let (before, length) = if sleepers == 0 { (700, "1.7") } else { (3_000, "4.5") };
    let mut recorder = traced(&["record", "-q", "--force", "-d", length, "-p", &pid, "-o"]);
    let mut recorder = Child::spawn(recorder.arg(file).args(arguments));
    // Half a second and more without signals, in which nothing is to be told of any.
    std::thread::sleep(Duration::from_millis(before));
    sender.say("on\n");
    let stamps = |words: Vec<String>| words.iter().map(|word| word.parse().unwrap()).collect::<Vec<u64>>();
    let sent = stamps(sender.ready(PATIENCE));
    let handled = stamps(target.ready(PATIENCE));
    let ended = recorder.finish(PATIENCE);
    if matches!(ended.status.code(), Some(1 | 3)) {
        eprintln!("skipped: {}", ended.stderr);
        return None;
    }
    assert!(ended.status.success(), "{python}: {}", ended.stderr);
    let events = read(file);
    let pairs: Vec<(u64, u64)> = sent.iter().copied().zip(handled.iter().copied()).collect();
    let one_by_one = pairs.windows(2).all(|pair| pair[0].1 < pair[1].0);
    if handled.len() != SIGNALS || !one_by_one {
        eprintln!("{python}: skipped: signals came while others were on their way");
        return None;
    }
    Some(Observed { events, signals: pairs })
}

fn known(observed: &Observed) -> SignalsInfo {
    let told = observed.events.iter().rev().find_map(|event| match &event.what {
        What::SignalsKnown { info, .. } => Some(**info),
        _ => None,
    });
    told.expect("what is known of its signals")
}

/// When looks told that SIGUSR1 was pending, and from when to when each such state changed to what was told.
fn pending(events: &[Event]) -> Vec<(u64, Option<u64>, bool)> {
    let told = events.iter().filter_map(|event| match event.what {
        What::SignalsPending { pending, gap, .. } => {
            let is_pending = pending.tripped.is_some_and(|tripped| tripped.contains(Signal::SIGUSR1));
            Some((event.at.0, gap.map(|gap| gap.0), is_pending))
        }
        _ => None,
    });
    told.collect()
}

fn looks_are_right(python: &Python, observed: &Observed) {
    let info = known(observed);
    assert!(matches!(info.pending, Lookup::Found(_)), "{python}: {info:?}");
    let handlers = info.handlers.found().unwrap_or_else(|| panic!("{python}: {info:?}"));
    assert!(handlers.python.contains(Signal::SIGUSR1), "{python}: {handlers:?}");
    assert!(info.caught.unwrap().contains(Signal::SIGUSR1) && info.main.is_some(), "{python}: {info:?}");
    let told = pending(&observed.events);
    let (mut seen, mut long) = (0, 0);
    let mut gaps = Vec::new();
    for (at, gap, _) in told.iter().filter(|(_, _, is_pending)| *is_pending) {
        // It was seen between its being sent and its handler's first line: never else.
        let of = observed.signals.iter().find(|(sent, handled)| sent <= at && at <= handled);
        assert!(of.is_some(), "{python}: pending at {at}, which is in none of {:?}", observed.signals);
        gaps.extend(*gap);
    }
    for (sent, handled) in &observed.signals {
        let set = told.iter().position(|(at, _, is_pending)| *is_pending && sent <= at && at <= handled);
        long += usize::from(handled - sent >= LONG);
        let Some(set) = set else {
            assert!(handled - sent < 4 * LONG, "{python}: {} ns, and never seen", handled - sent);
            continue;
        };
        seen += 1;
        // Tripped within the gap of the first look that saw it, cleared within that of the first that no longer did.
        let (at, gap, _) = told[set];
        assert!(gap.is_some_and(|gap| at - gap <= *handled), "{python}: {at} {gap:?}");
        let clear = told[set..].iter().find(|(_, _, is_pending)| !is_pending).expect("it was cleared");
        let gap = clear.1.expect("a look before it");
        // The main thread may lose its core between that and its handler's first line, for as long as others want it.
        assert!(clear.0 - gap <= *handled, "{python}: {clear:?}, sent at {sent}, handled at {handled}: {told:?}");
    }
    gaps.sort_unstable();
    eprintln!(
        "{python}: {seen} of {} signals seen pending, {long} of them long; gaps {:?} to {:?} ns",
        observed.signals.len(),
        gaps.first(),
        gaps.last()
    );
    assert!(seen + 1 >= long, "{python}: {seen} seen, {long} were pending for long");
}

/// How its steps ended; `None`, with a word, where there were none.
fn trips_are_right(python: &Python, observed: &Observed) -> Option<()> {
    let events = &observed.events;
    let begin =
        events.iter().position(|event| matches!(event.what, What::SignalStepsBegin { step: SignalStep::Written, .. }));
    let end = |from: usize| {
        events[from..].iter().find_map(|event| match event.what {
            What::SignalStepsEnd { step: SignalStep::Written, why, .. } => Some((event.at.0, why)),
            _ => None,
        })
    };
    let Some(begin) = begin else {
        let why = end(0).map(|(_, why)| why);
        assert!(why.is_none_or(|why| matches!(why, StepsEnd::Refused { .. } | StepsEnd::TooCostly)), "{why:?}");
        eprintln!("{python}: skipped: no steps are told: {why:?}");
        return None;
    };
    let (until, why) = end(begin).expect("an end");
    let from = events[begin].at.0;
    if from > observed.signals[0].0 {
        eprintln!("{python}: skipped: armed too late, this machine is busy");
        return None;
    }
    assert_eq!(why, StepsEnd::Closed, "{python}");
    let hits: Vec<u64> = events
        .iter()
        .filter(|event| matches!(event.what, What::PendingWritten { .. }))
        .map(|event| event.at.0)
        .filter(|at| (from..=until).contains(at))
        .collect();
    let mut late = Vec::new();
    for (sent, handled) in &observed.signals {
        let of: Vec<&u64> = hits.iter().filter(|at| (*sent..=*handled).contains(at)).collect();
        // Tripped and cleared. The last is stamped in the exception, before the handler is called.
        assert_eq!(of.len(), 2, "{python}: {of:?} from {sent} to {handled}, of {hits:?}");
        late.push((of[0] - sent, handled - of[1]));
    }
    let (mut to_trip, mut from_clear): (Vec<u64>, Vec<u64>) = late.into_iter().unzip();
    to_trip.sort_unstable();
    from_clear.sort_unstable();
    eprintln!(
        "{python}: sent to tripped {} us, {} at most; cleared to handled {} us, {} at most",
        to_trip[SIGNALS / 2] / 1_000,
        to_trip[SIGNALS - 1] / 1_000,
        from_clear[SIGNALS / 2] / 1_000,
        from_clear[SIGNALS - 1] / 1_000
    );
    // Nothing but those, and what SIGUSR2 did.
    let phantoms = hits.iter().filter(|at| **at < observed.signals[0].0).count();
    assert!(phantoms == 0 && hits.len() <= 2 * SIGNALS + 2, "{python}: {hits:?}");
    Some(())
}

/// After each step the next look says what became of it.
fn looks_follow_steps(python: &Python, events: &[Event]) {
    for (index, event) in events.iter().enumerate() {
        if !matches!(event.what, What::PendingWritten { .. }) {
            continue;
        }
        let look = events[index..].iter().find_map(|later| match later.what {
            What::SignalsPending { pending, .. } => Some((later.at.0, pending.flag)),
            _ => None,
        });
        let Some((at, flag)) = look else { panic!("{python}: no look after a step") };
        assert!(flag != Flag::Unknown && at - event.at.0 < 200_000_000, "{python}: {flag:?} at {at}");
    }
}

#[test]
fn each_signal_is_seen_and_timed_on_every_interpreter() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.gscope");
    let mut compared = 0;
    for python in pythons() {
        let Some(observed) = observe(python, 0, &file, &[]) else { continue };
        looks_are_right(python, &observed);
        if trips_are_right(python, &observed).is_some() {
            looks_follow_steps(python, &observed.events);
        }
        compared += 1;
    }
    assert!(compared > 0, "nothing was compared");
}

#[test]
fn without_watchpoints_and_beside_windows_too() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.gscope");
    let python = pythons_with_gil().pop().unwrap();
    if let Some(observed) = observe(python, 0, &file, &["--mode", "sampled"]) {
        looks_are_right(python, &observed);
        let steps = observed.events.iter().filter(|event| event.what.signal_step().is_some()).count();
        assert_eq!(steps, 0, "{python}: nobody is watched");
    }
    if let Some(observed) = observe(python, 0, &file, &["--mode", "exact"]) {
        looks_are_right(python, &observed);
        trips_are_right(python, &observed);
    }
}

/// The main thread's writes are told then, and nothing follows from there being none.
#[test]
fn beside_too_many_threads_the_main_one_alone_is_armed() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.gscope");
    let mut compared = 0;
    for python in pythons_with_gil() {
        let Some(observed) = observe(python, 150, &file, &[]) else { continue };
        let is_written = |what: &What| matches!(what, What::SignalStepsBegin { step, .. } | What::SignalStepsEnd { step, .. } if *step == SignalStep::Written);
        let ends: Vec<&What> =
            observed.events.iter().map(|event| &event.what).filter(|what| is_written(what)).collect();
        let hits: Vec<u64> = observed
            .events
            .iter()
            .filter(|event| matches!(event.what, What::PendingWritten { .. }))
            .map(|event| event.at.0)
            .collect();
        if hits.is_empty()
            && ends.iter().any(|end| matches!(end, What::SignalStepsEnd { why: StepsEnd::Refused { .. }, .. }))
        {
            eprintln!("{python}: skipped: {ends:?}");
            continue;
        }
        assert!(!ends.iter().any(|end| matches!(end, What::SignalStepsBegin { .. })), "{python}: {ends:?}");
        let told =
            |(sent, handled): &&(u64, u64)| hits.iter().filter(|at| (*sent..=*handled).contains(at)).count() == 2;
        let both = observed.signals.iter().filter(told).count();
        eprintln!("{python}: both writes are told of {both} of {SIGNALS} signals");
        // The main thread takes them, unless it is about to be armed once more, which is rare.
        assert!(both >= SIGNALS * 3 / 4, "{python}: {hits:?} of {:?}", observed.signals);
        assert!(hits.iter().all(|at| *at > observed.signals[0].0), "{python}: {hits:?}");
        compared += 1;
    }
    assert!(compared > 0, "nothing was compared");
}

/// Sent, delivered, tripped: each within the one before and the next.
#[test]
fn tracepoints_tell_when_it_was_sent_and_delivered() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.gscope");
    let python = pythons_with_gil().pop().unwrap();
    let Some(observed) = observe(python, 0, &file, &["--tracepoints", "always"]) else { return };
    let refused = observed.events.iter().find_map(|event| match event.what {
        What::SignalStepsEnd { step: SignalStep::Generated, why: StepsEnd::Refused { why }, .. } => Some(why),
        _ => None,
    });
    if let Some(why) = refused {
        eprintln!("skipped: {why:?}");
        return;
    }
    let usr1 = |what: &What| match what {
        What::SignalGenerated { signal: Signal::SIGUSR1, thread, outcome, .. } => {
            assert_eq!((*thread, *outcome), (None, Generation::Queued), "to the process");
            Some(0)
        }
        What::SignalDelivered { signal: Signal::SIGUSR1, to, .. } => {
            assert!(matches!(to, Delivery::Calls { .. }), "{to:?}");
            Some(1)
        }
        What::PendingWritten { .. } => Some(2),
        _ => None,
    };
    let steps: Vec<(u64, u8)> =
        observed.events.iter().filter_map(|event| Some((event.at.0, usr1(&event.what)?))).collect();
    let are_watched = trips_are_right(python, &observed).is_some();
    for (sent, handled) in &observed.signals {
        let of: Vec<u8> =
            steps.iter().filter(|(at, _)| (sent..=handled).contains(&at)).map(|(_, step)| *step).collect();
        let expected: &[u8] = if are_watched { &[0, 1, 2, 2] } else { &[0, 1] };
        assert!(of.starts_with(expected), "{python}: {of:?}");
    }
    let sent = steps.iter().filter(|(_, step)| *step == 0).count();
    assert_eq!(sent, SIGNALS, "{python}: {steps:?}");
}
