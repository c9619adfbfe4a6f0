//! The answer to "is the GIL my problem?", from figures alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gilscope::event::{Build, Ending, RateReason};
use gilscope::findings::thresholds::{CONTENTION_MATTERS, CONTENTION_NEGLIGIBLE};
use gilscope::findings::{Answer, Reason, Verdict, verdict};
use gilscope::model::snapshot::Snapshot;
use gilscope::time::Ns;
use std::sync::Arc;

use crate::fixtures::{self, Scene, Thread};

fn of(snapshot: &Snapshot) -> Verdict {
    verdict(&snapshot.processes[0])
}

/// A hog and a thread that waits for this share of the time.
fn waiting(share: f64) -> Scene {
    Scene::new(1).thread(Thread::main("hog").holds(0.9)).thread(Thread::named("victim").waits(share))
}

#[test]
fn figures_to_answers() {
    let short_lived = Scene::new(1)
        .lasting(60.0)
        .thread(Thread::main("m").holds(0.5))
        .thread(Thread::named("brief").waits(0.6).ended_after(0.05))
        .snapshot();
    let mut burst = Scene::new(1).contended(0.03).thread(Thread::main("m").holds(0.3));
    for i in 0..40 {
        burst = burst.thread(Thread::named(format!("w{i}")).waits(0.01));
    }
    let stall = Scene::new(1)
        .lasting(60.0)
        .thread(Thread::main("m").holds(0.3))
        .thread(Thread::named("w").waits(0.03).each_wait(Ns::from_millis(800)))
        .snapshot();
    let preempted = with_gil(fixtures::contended(2), |gil| gil.held_preempted = Some(0.7));
    let sleeper = Scene::new(1).thread(Thread::main("m").holds(0.01).holds_asleep(0.79)).snapshot();
    let outside = Scene::new(1).thread(Thread::main("m")).thread(Thread::named("np").native(0.97)).snapshot();
    let blind = Scene::new(1).thread(Thread::main("m").unknown(0.8).waits(0.2)).snapshot();
    let slow = waiting(0.5).lasting(3.0).sampled_every(Ns::from_millis(10), RateReason::TooCostly).snapshot();
    let broken = with_gil(fixtures::contended(2), |gil| gil.contention = f64::NAN);
    let table = [
        ("three compute", fixtures::contended(3), Answer::Is, Reason::Contended),
        ("a thousand share", fixtures::many_threads(1000, 3), Answer::Is, Reason::Contended),
        ("one waits half its time", fixtures::one_victim(), Answer::Is, Reason::Contended),
        ("the holder sleeps", fixtures::sleeping_holder(), Answer::Is, Reason::HolderAsleep),
        ("the holder has no core", preempted, Answer::Is, Reason::HolderPreempted),
        ("a thread waits a tenth", waiting(0.10).snapshot(), Answer::Partly, Reason::Contended),
        ("a brief thread starves", short_lived, Answer::Partly, Reason::OneVictim),
        ("forty at once, rarely", burst.snapshot(), Answer::Partly, Reason::Bursts),
        ("one long wait", stall, Answer::Partly, Reason::LongWaits),
        ("one busy thread", fixtures::one_busy(), Answer::IsNot, Reason::OneBusyThread),
        ("some load, little waiting", waiting(0.01).snapshot(), Answer::IsNot, Reason::OneBusyThread),
        ("a sleeper nobody waits for", sleeper, Answer::IsNot, Reason::AsleepUncontended),
        ("no core", fixtures::run_queue(), Answer::IsNot, Reason::RunQueue),
        ("native code", outside, Answer::IsNot, Reason::WorkOutside),
        ("nothing", fixtures::idle(), Answer::IsNot, Reason::Idle),
        ("free-threaded", fixtures::free_threaded(), Answer::NoGil, Reason::FreeThreaded),
        ("too short", fixtures::too_short(), Answer::Unknown, Reason::TooShort),
        ("too few", slow, Answer::Unknown, Reason::TooFewSamples),
        ("too little seen", waiting(0.5).coverage(0.4).snapshot(), Answer::Unknown, Reason::PoorCoverage),
        ("threads unread", blind, Answer::Unknown, Reason::ThreadsUnread),
        ("nonsense", broken, Answer::Unknown, Reason::Inconsistent),
        ("not found yet", fixtures::just_found(), Answer::Unknown, Reason::NoInterpreter),
        ("one GIL of two", fixtures::two_interpreters(), Answer::Is, Reason::Contended),
    ];
    for (name, snapshot, answer, reason) in table {
        let verdict = of(&snapshot);
        assert_eq!((verdict.answer, verdict.reason), (answer, reason), "{name}: {}", verdict.because);
        assert!(verdict.because.ends_with(['.', ')']), "{name}: {}", verdict.because);
    }
}

fn with_gil(mut snapshot: Snapshot, change: impl FnOnce(&mut gilscope::model::snapshot::GilFigures)) -> Snapshot {
    let gil = snapshot.processes[0].interpreters[0].gil.as_mut().unwrap();
    change(Arc::get_mut(gil).unwrap());
    snapshot
}

#[test]
fn load_alone_never_makes_it_a_problem() {
    for load in [0.0, 0.2, 0.5, 0.9, 0.998] {
        let answer = of(&Scene::new(1).thread(Thread::main("m").holds(load)).snapshot());
        assert_eq!(answer.answer, Answer::IsNot, "{load}: {}", answer.because);
    }
}

#[test]
fn more_waiting_never_makes_it_less_of_a_problem() {
    let rank = |answer| match answer {
        Answer::IsNot => 0,
        Answer::Partly => 1,
        Answer::Is => 2,
        other => panic!("{other:?}"),
    };
    let answers: Vec<u8> = (0..=90).map(|p| rank(of(&waiting(f64::from(p) / 100.0).snapshot()).answer)).collect();
    assert!(answers.is_sorted(), "{answers:?}");
    let first = |answer| answers.iter().position(|a| *a == answer).unwrap() as f64 / 100.0;
    assert_eq!((first(1), first(2)), (CONTENTION_NEGLIGIBLE, CONTENTION_MATTERS));
}

#[test]
fn the_sleeping_holder_is_named() {
    let verdict = of(&fixtures::sleeping_holder());
    for part in ["\"db-sync\"", "held 81.2 %", "79.2 %", "the CPU is not the bottleneck", "\"MainThread\""] {
        assert!(verdict.in_full().contains(part), "{part}: {}", verdict.in_full());
    }
}

#[test]
fn all_gils_are_named_and_the_worst_decides() {
    let verdict = of(&fixtures::two_interpreters());
    assert!(verdict.because.starts_with("The worst of 2 GILs is that of interpreter 1."), "{}", verdict.because);
    assert!(verdict.because.contains("The GIL of interpreters 0, 2: no problem"), "{}", verdict.because);
    assert_eq!(verdict.gil, Some(gilscope::event::GilKey(1)));
    assert_eq!(verdict.victim, Some(gilscope::event::ThreadKey(2)));
    let ids: Vec<[i64; 1]> = (0..200).map(|i| [i]).collect();
    let sharing: Vec<&[i64]> = ids.iter().map(|id| &id[..]).collect();
    let many = of(&Scene::new(1).python(13, Build::Default).interpreters(&sharing).snapshot());
    assert!(many.because.contains("195 more are no worse."), "{}", many.because);
}

#[test]
fn the_end_is_told_and_what_the_target_says_is_made_safe() {
    for (ending, told) in [
        (Ending::Exited, "has ended"),
        (Ending::Finalized, "shut down"),
        (Ending::Execed { path: "/bin/\x1b[31mls".to_owned() }, "/bin/\\u{1b}[31mls"),
        (Ending::LostSight { reason: "no\nmore".to_owned() }, "no\\u{a}more"),
    ] {
        let verdict = of(&waiting(0.5).ended(ending).snapshot());
        assert!(verdict.in_full().contains(told), "{}", verdict.in_full());
        assert_eq!(verdict.answer, Answer::Is);
    }
    for (name, snapshot) in fixtures::all() {
        for process in &snapshot.processes {
            let text = verdict(process).in_full();
            assert!(!text.chars().any(char::is_control), "{name}: {text}");
        }
    }
}
