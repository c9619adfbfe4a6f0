//! Native code beside stacks: a share names it where both were seen in one hold, and nowhere else.

use gilscope::event::*;
use gilscope::findings::Allowed;
use gilscope::model::Model;
use gilscope::model::snapshot::{Basis, Blamed, Snapshot};
use gilscope::report::{Color, TextOptions, json, text};
use gilscope::time::{MonoNs, Ns};

use crate::blame::{Teller, by};

const RANDOM: SampleCause = SampleCause::Random { every: Ns::from_millis(8) };

/// What is seen at a millisecond of a hold.
#[derive(Clone, Copy)]
enum Seen {
    Stack(u64, u32),
    Native(u64, u32),
}

fn told() -> Teller {
    let mut told = Teller::new(2);
    told.stacks(&["first", "second"]);
    let kinds = [NativeKind::Extension, NativeKind::Extension, NativeKind::Interpreter];
    for (native, (kind, symbol)) in (0u32..).zip(kinds.into_iter().zip(["count", "nap", "long_mul"])) {
        let place = CodePlace { module: "ext.so".to_owned(), symbol: Some(symbol.to_owned()), offset: native.into() };
        let info = Box::new(NativeInfo { kind, place, through: None });
        told.tell(What::NativeFound { native: NativeKey(native), info });
    }
    told
}

/// A hold of thread 1 behind which thread 0 waits, and the other's short turn. Code is told of when it is long over.
fn hold(told: &mut Teller, number: u64, length: u64, seen: &[Seen]) {
    let mut late = Vec::new();
    for ms in 0..length {
        told.tick(by(1), 2 * number, &[0]);
        for one in seen {
            match *one {
                Seen::Stack(at, stack) if at == ms => told.sample(Some(stack), RANDOM),
                Seen::Native(at, native) if at == ms => late.push((told.at, native)),
                _ => {}
            }
        }
    }
    told.tick(by(0), 2 * number + 1, &[]);
    told.tick(by(0), 2 * number + 1, &[]);
    for (instant, native) in late {
        let (gil, thread, native) = (GilKey(0), ThreadKey(1), NativeKey(native));
        told.tell(What::NativeSampled { gil, thread, native, instant, how: SeenHolder::OnCore });
    }
}

fn fold(told: &Teller) -> Snapshot {
    let mut model = Model::new();
    told.events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

/// The native code of each function, as the pair's shares have it.
fn natives(holds: &[(u64, &[Seen])]) -> Vec<(String, Option<String>)> {
    let mut told = told();
    for (number, (length, seen)) in (1..).zip(holds) {
        hold(&mut told, number, *length, seen);
    }
    (0..60).for_each(|_| told.tick(by(0), 1_000, &[]));
    let snapshot = fold(&told);
    let pairs = &snapshot.processes[0].blame.pairs;
    let pair = pairs.iter().find(|pair| pair.holder == Blamed::Thread(ThreadKey(1))).unwrap();
    let mut all: Vec<_> = pair
        .shares
        .iter()
        .filter(|share| share.basis == Basis::Random)
        .map(|share| (share.stack[0].function.clone(), share.native.as_deref().map(str::to_owned)))
        .collect();
    all.sort();
    all
}

fn is(function: &str, native: Option<&str>) -> (String, Option<String>) {
    (function.to_owned(), native.map(str::to_owned))
}

#[test]
fn code_between_two_samples_of_a_stack_is_that_stacks() {
    let seen = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 0));
    let looks = [Seen::Native(30, 0), Seen::Native(34, 0)];
    assert_eq!(natives(&[(100, &[&seen[..], &looks].concat())]), [is("first", Some("ext.so:count"))]);
    // Where it began and ended, nobody saw what was executed.
    assert_eq!(natives(&[(100, &[&seen[..], &[Seen::Native(5, 0)]].concat())]), [is("first", None)]);
    assert_eq!(natives(&[(100, &[&seen[..], &[Seen::Native(90, 0)]].concat())]), [is("first", None)]);
}

#[test]
fn code_between_two_stacks_is_nobodys() {
    let seen = [(10, 0), (14, 0), (18, 0), (22, 0), (26, 0), (50, 1), (60, 1), (70, 1), (80, 1), (90, 1)];
    let seen = seen.map(|(at, stack)| Seen::Stack(at, stack));
    let with = |at| natives(&[(100, &[&seen[..], &[Seen::Native(at, 0)]].concat())]);
    assert_eq!(with(40), [is("first", None), is("second", None)]);
    assert_eq!(with(20), [is("first", Some("ext.so:count")), is("second", None)]);
    assert_eq!(with(75), [is("first", None), is("second", Some("ext.so:count"))]);
}

#[test]
fn code_of_another_hold_is_no_evidence() {
    let stacks = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 0));
    let others = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 1));
    let looks = [Seen::Native(30, 0)];
    assert_eq!(natives(&[(100, &stacks), (100, &looks)]), [is("first", None)]);
    let both = [&others[..], &looks].concat();
    assert_eq!(natives(&[(100, &stacks), (100, &both)]), [is("first", None), is("second", Some("ext.so:count"))]);
}

#[test]
fn what_is_not_one_place_is_none() {
    let stacks = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 0));
    let two = [&stacks[..], &[Seen::Native(30, 0), Seen::Native(50, 1)]].concat();
    assert_eq!(natives(&[(100, &two)]), [is("first", None)]);
    let interpreter = [&stacks[..], &[Seen::Native(30, 2)]].concat();
    assert_eq!(natives(&[(100, &interpreter)]), [is("first", None)]);
}

/// One long hold, looked into, says nothing about a stack that is mostly seen in short ones.
#[test]
fn a_stack_of_short_holds_is_not_named_after_a_long_one() {
    let long: &[Seen] = &[Seen::Stack(5, 0), Seen::Stack(20, 0), Seen::Native(12, 0)];
    let short: &[Seen] = &[Seen::Stack(3, 0)];
    let holds = |shorts: usize| [vec![(30, long); 2], vec![(6, short); shorts]].concat();
    assert_eq!(natives(&holds(2)), [is("first", Some("ext.so:count"))]);
    assert_eq!(natives(&holds(40)), [is("first", None)]);
}

#[test]
fn reports_say_it_and_are_safe() {
    let mut told = told();
    let place =
        CodePlace { module: "\u{1b}[31mevil.so".to_owned(), symbol: Some("f\u{202e}\u{7}".to_owned()), offset: 0 };
    let info = Box::new(NativeInfo { kind: NativeKind::Extension, place, through: None });
    told.tell(What::NativeFound { native: NativeKey(9), info });
    let stacks = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 0));
    let others = [10, 20, 40, 60, 80].map(|at| Seen::Stack(at, 1));
    hold(&mut told, 1, 100, &[&stacks[..], &[Seen::Native(30, 0)]].concat());
    hold(&mut told, 2, 100, &[&others[..], &[Seen::Native(30, 9)]].concat());
    (0..60).for_each(|_| told.tick(by(0), 1_000, &[]));
    let snapshot = fold(&told);
    let document = json(&snapshot, Allowed::NONE).unwrap();
    let blame = document["processes"][0]["blame"].as_array().unwrap();
    assert!(blame.iter().any(|entry| entry["native"] == "ext.so:count"), "{blame:?}");
    let shown = text(&snapshot, &TextOptions { width: 100, color: Color::Never, allowed: Allowed::NONE });
    assert!(shown.contains("first in app.py (n=5)   in ext.so:count"), "{shown}");
    assert!(shown.contains("evil.so") && !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
}

/// Whatever was seen in however many holds: what is kept stays bounded.
#[test]
fn holds_and_stacks_without_end_are_bounded() {
    let mut told = told();
    for number in 0..3_000u64 {
        let at = told.at;
        for n in 0..12u32 {
            let sample = What::StackSampled {
                gil: GilKey(0),
                thread: ThreadKey(1),
                instant: MonoNs(at.0 + u64::from(n) * 100_000),
                stack: Some(StackKey(number as u32 * 7 + n / 2)),
                cause: RANDOM,
            };
            told.tell(sample);
        }
        hold(&mut told, number + 1, 22, &[Seen::Native(1, 0)]);
    }
    assert!(fold(&told).processes[0].blame.pairs.iter().flat_map(|pair| &pair.shares).count() < 100);
}
