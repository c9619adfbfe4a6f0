//! How long signals wait for their handlers, against a simulated GIL: what was measured of signals at random instants,
//! and what was predicted without any.

use gilscope::event::{
    Address, Cpu, Delivery, Event, Flag, Generation, Handlers, Lookup, PendingKind, PendingSignals, ProcessKey,
    Progress, Signal, SignalSet, SignalStep, SignalsInfo, Sleep, StepsEnd, ThreadKey, WaitingSignals, What,
};
use gilscope::model::snapshot::{ArrivalKind, Fault, InterruptFigures, Length, Segment, Stage};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::model::{SECOND, fold};
use crate::sampling::{ORIGIN, Sampling};
use crate::simulator::{Script, State, Step, Truth, World};
use crate::switches::fused;

/// No handler starts sooner than this after its signal.
const CALL: u64 = 2_000;
/// From calling it to leaving the core at its first instruction.
const LETTING_GO: u64 = 15_000;
const P: ProcessKey = ProcessKey(0);
const MAIN: ThreadKey = ThreadKey(0);
/// Where the C handler sets the word, and where the main thread clears it.
const TRIP: Address = Address(0x100);
const CLEAR: Address = Address(0x200);

/// A signal that came, and how long its handler took to start.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: u64,
    /// How long until its handler was called, and until it began.
    called: u64,
    delay: u64,
}

impl Sent {
    /// When it was called: if it lets go of the GIL then, that takes it some microseconds.
    fn cleared(&self) -> u64 {
        let letting_go = if self.delay > self.called { LETTING_GO } else { 0 };
        self.at + self.called.saturating_sub(letting_go).max(CALL)
    }
}

/// How the signals' words are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Looks,
    /// All writes, and it is said that these are all.
    Writes,
    /// Those of the main thread, which alone is armed.
    MainWrites,
}

fn state_at(truth: &Truth, now: u64) -> State {
    let changes = &truth.states[0];
    changes[changes.partition_point(|(at, _)| *at <= now) - 1].1
}

/// Where the state at `now` ends.
fn next_change(truth: &Truth, now: u64) -> u64 {
    let changes = &truth.states[0];
    changes.get(changes.partition_point(|(at, _)| *at <= now)).map_or(truth.end, |(at, _)| *at)
}

fn in_c(truth: &Truth, now: u64) -> Option<u64> {
    let calls = &truth.in_c[0];
    let call = calls[..calls.partition_point(|call| call.from <= now)].last()?;
    (now < call.to).then_some(call.to)
}

/// How long from `now` until the main thread calls a handler, and until that begins, where that does not depend on the
/// signal.
fn delay_at(truth: &Truth, now: u64) -> Option<(u64, u64)> {
    let (mut at, mut called) = (now, None);
    loop {
        if at >= truth.end {
            return None;
        }
        match state_at(truth, at) {
            State::Idle => return None,
            state if state.holds() => {
                let looks = if called.is_some() { at } else { in_c(truth, at).unwrap_or(at) };
                let called = *called.get_or_insert(looks - now);
                // It calls the handler, and lets go of the GIL at the handler's first instruction if it has to.
                if state_at(truth, looks).holds() {
                    return Some((called, looks - now));
                }
                at = looks;
            }
            _ => at = next_change(truth, at),
        }
    }
}

/// Bytecode that the main thread executed between two instants.
fn moved(truth: &Truth, from: u64, to: u64) -> bool {
    let in_c: u64 = truth.in_c[0].iter().map(|c| c.to.min(to).saturating_sub(c.from.max(from))).sum();
    truth.time_in(0, from, to, State::holds) > in_c
}

fn signals(truth: &Truth, seed: u64, spacing: u64) -> Vec<Sent> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = spacing;
    let mut sent = Vec::new();
    while at < truth.end {
        if let Some((called, delay)) = delay_at(truth, at).filter(|(_, delay)| at + delay + 3_000_000 < truth.end) {
            sent.push(Sent { at, called, delay });
            at += delay;
        }
        at += spacing / 2 + random.u64(0..spacing);
    }
    sent
}

fn known() -> What {
    let python: SignalSet = [Signal::SIGINT].into_iter().collect();
    What::SignalsKnown {
        process: P,
        info: Box::new(SignalsInfo {
            main: Some(MAIN),
            pending: Lookup::Found(PendingKind::IsTripped),
            handlers: Lookup::Found(Handlers { keyboard_interrupt: python, ..Handlers::default() }),
            caught: Some(python),
        }),
    }
}

fn pending(at: u64, sent: &[Sent], gap: Option<u64>) -> What {
    let is_there = sent.iter().any(|s| s.at <= at && at < s.cleared());
    let tripped = is_there.then(|| [Signal::SIGINT].into_iter().collect());
    let flag = if is_there { Flag::Set } else { Flag::Clear };
    What::SignalsPending { process: P, pending: PendingSignals { flag, tripped }, gap: gap.map(Ns) }
}

/// The events of a capture, and what the instruments for signals tell.
fn looked_at(truth: &Truth, events: Vec<Event>, sent: &[Sent], by: By) -> Vec<Event> {
    let mut all = Vec::new();
    let (mut last, mut told) = (None, None);
    let mut writes: Vec<(u64, Address)> = sent.iter().flat_map(|s| [(s.at, TRIP), (s.cleared(), CLEAR)]).collect();
    if by == By::Looks {
        writes.clear();
    }
    let mut writes = writes.into_iter().peekable();
    for event in events {
        let now = event.at.0 - ORIGIN;
        while let Some((at, ip)) = writes.next_if(|(at, _)| last.is_some() && *at <= now) {
            let what = What::PendingWritten { process: P, thread: MAIN, ip, cpu: Cpu(0) };
            all.push(Event { at: MonoNs(ORIGIN + at), what });
        }
        let at = event.at;
        let tell = |what| Event { at, what };
        if let What::GilSample(_) = event.what {
            let gap = last.map(|last| now - last);
            if last.is_none() {
                all.push(tell(known()));
                if by == By::Writes {
                    all.push(tell(What::SignalStepsBegin { process: P, step: SignalStep::Written }));
                }
            }
            all.push(tell(pending(now, sent, gap)));
            let progress = match last {
                Some(last) if moved(truth, last, now) => Progress::Moved,
                Some(_) => Progress::NotSeen,
                None => Progress::Unknown,
            };
            let sleep = match state_at(truth, now) {
                state if state.on_core() => Sleep::Awake,
                State::Waiting | State::HandingOver => Sleep::Futex,
                _ => Sleep::Syscall { number: 23 },
            };
            if told != Some((progress, sleep)) {
                told = Some((progress, sleep));
                all.push(tell(What::MainProgress { thread: MAIN, progress, sleep, gap: gap.map(Ns) }));
            }
            last = Some(now);
        }
        all.push(event);
    }
    all.sort_by_key(|event| event.at);
    all
}

fn figures(events: &[Event]) -> InterruptFigures {
    let snapshot = fold(events).snapshot();
    (**snapshot.processes[0].interrupts.as_ref().unwrap()).clone()
}

fn at_1khz() -> Sampling {
    Sampling::at(Ns::MILLISECOND, 5)
}

fn hog() -> Script {
    Script::new(&[Step::Bytecode(Ns::SECOND)])
}

fn hogs(main: &[Step], count: usize) -> Vec<Script> {
    std::iter::once(Script::new(main)).chain((0..count).map(|_| hog())).collect()
}

fn ns(length: Option<Length>) -> u64 {
    match length {
        Some(Length::Known(Ns(ns)) | Length::Below(Ns(ns))) => ns,
        None => panic!("no length"),
    }
}

fn quantile(lengths: &mut [u64], share: f64) -> u64 {
    lengths.sort_unstable();
    lengths[((lengths.len() - 1) as f64 * share).round() as usize]
}

/// Workloads of the main thread beside hogs.
fn cells() -> Vec<(&'static str, Vec<Script>)> {
    let bytecode = [Step::Bytecode(Ns::SECOND)];
    let in_c = [Step::Bytecode(Ns::from_millis(20)), Step::HoldInC(Ns::from_millis(60))];
    let native = [Step::Bytecode(Ns::from_millis(2)), Step::Native(Ns::from_millis(30))];
    // It lets go soon after its handler has begun, not before that.
    let naps = [Step::Bytecode(Ns(40_000)), Step::Sleep(Ns(200_000))];
    let rival_in_c = Script::new(&[Step::HoldInC(Ns::from_millis(40)), Step::Bytecode(Ns::from_millis(10))]);
    vec![
        ("bytecode alone", hogs(&bytecode, 0)),
        ("bytecode beside 1", hogs(&bytecode, 1)),
        ("bytecode beside 4", hogs(&bytecode, 4)),
        ("bytecode beside 16", hogs(&bytecode, 16)),
        ("in C alone", hogs(&in_c, 0)),
        ("in C beside 2", hogs(&in_c, 2)),
        ("native alone", hogs(&native, 0)),
        ("native beside 2", hogs(&native, 2)),
        ("naps beside 2", hogs(&naps, 2)),
        ("beside a rival in C", vec![Script::new(&bytecode), rival_in_c]),
    ]
}

/// Delays from instants spread evenly over all that can be told.
fn true_delays(truth: &Truth) -> Vec<u64> {
    (0..truth.end - SECOND).step_by(777_777).filter_map(|at| Some(delay_at(truth, at)?.1)).collect()
}

#[test]
fn measured_delays_are_right_to_the_stated_resolution_and_none_is_invented() {
    for (name, scripts) in cells() {
        let truth = World::play(3, Ns(30 * SECOND), &scripts);
        let sent = signals(&truth, 7, 90_000_000);
        assert!(sent.len() > 100, "{name}: {}", sent.len());
        for (by, sampling) in
            [(By::Looks, "sampled"), (By::Looks, "fused"), (By::Writes, "fused"), (By::MainWrites, "fused")]
        {
            let events = match sampling {
                "sampled" => at_1khz().look(&truth),
                _ => fused(&at_1khz(), &truth),
            };
            let figures = figures(&looked_at(&truth, events, &sent, by));
            let what = format!("{name}, {sampling} by {by:?}");
            assert!(figures.pending.is_empty() && figures.unresolved == 0, "{what}: {figures:?}");
            // What comes and goes between two looks leaves no trace in them.
            let sure = sent.iter().filter(|s| s.called > 3_000_000).count() as u64;
            let Some(measured) = figures.measured.first() else {
                assert_eq!((by, sure), (By::Looks, 0), "{what}: none found");
                continue;
            };
            assert_eq!(figures.measured.len(), 1, "{what}");
            assert_eq!((measured.signal, measured.from), (Some(Signal::SIGINT), ArrivalKind::Trip));
            let d = &measured.delay;
            assert!(d.count() + d.censored <= sent.len() as u64, "{what}: {} of {}", d.count(), sent.len());
            assert!(d.count() + d.censored >= sure, "{what}: {} of {sure}", d.count());
            if by != By::Looks {
                assert_eq!((d.count(), d.censored), (sent.len() as u64, 0), "{what}");
                assert!(d.resolution <= Ns(20_000), "{what}");
            }
            // Looks see when it was called.
            let told = |s: &Sent| if by == By::Looks { s.called } else { s.delay };
            let mut delays: Vec<u64> = sent.iter().map(told).collect();
            let longest = quantile(&mut delays, 1.0);
            let room = d.resolution.0 + longest / 50 + 20_000;
            assert!(ns(d.max()).abs_diff(longest.max(d.resolution.0)) <= room, "{what}: {:?} {longest}", d.max());
            let total: u64 = delays.iter().filter(|d| **d > 3_000_000).sum();
            let got = d.total.0 as f64;
            assert!(got >= total as f64 * 0.95 - room as f64, "{what}: {got} {total}");
            assert!(got <= delays.iter().sum::<u64>() as f64 * 1.05 + 50e6, "{what}: {got}");
        }
    }
}

#[test]
fn the_part_that_took_the_time_is_named_and_who_is_to_blame() {
    let named = |scripts: &[Script]| {
        let truth = World::play(4, Ns(20 * SECOND), scripts);
        let sent = signals(&truth, 9, 80_000_000);
        let events = looked_at(&truth, fused(&at_1khz(), &truth), &sent, By::Writes);
        figures(&events).measured.remove(0)
    };
    let waiting = named(&hogs(&[Step::Bytecode(Ns::SECOND)], 3));
    assert_eq!(waiting.segments.longest().unwrap().0, Segment::GilWait, "{:?}", waiting.segments);
    let threads: Vec<_> = waiting.culprits.iter().filter_map(|c| c.thread).collect();
    for hog in 1..=3 {
        assert!(threads.contains(&ThreadKey(hog)), "{:?}", waiting.culprits);
    }
    assert!(!threads.contains(&MAIN), "{:?}", waiting.culprits);
    let shares: f64 = waiting.culprits.iter().map(|c| c.share).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{shares}");
    let in_c = named(&hogs(&[Step::Bytecode(Ns::from_millis(20)), Step::HoldInC(Ns::from_millis(60))], 0));
    let (segment, length) = in_c.segments.longest().unwrap();
    assert_eq!(segment, Segment::Uninterruptible, "{:?}", in_c.segments);
    assert!(length.0 as f64 > in_c.delay.total.0 as f64 * 0.95, "{:?}", in_c.segments);
    assert!(in_c.culprits.is_empty(), "{:?}", in_c.culprits);
}

#[test]
fn predicted_delays_hold_for_signals_that_nobody_sent() {
    let (mut cells_in, mut cells_of) = (0, 0);
    let mut missed = Vec::new();
    for (name, scripts) in cells() {
        for seed in [1, 2] {
            let truth = World::play(seed, Ns(40 * SECOND), &scripts);
            let mut delays = true_delays(&truth);
            for sampling in ["sampled", "fused"] {
                let events = match sampling {
                    "sampled" => at_1khz().look(&truth),
                    _ => fused(&at_1khz(), &truth),
                };
                let figures = figures(&looked_at(&truth, events, &[], By::Looks));
                assert!(figures.measured.is_empty() && figures.pending.is_empty(), "{name}: a phantom");
                let predicted = figures.predicted.unwrap();
                assert!(predicted.not_predictable < 0.05, "{name}: {}", predicted.not_predictable);
                for (share, range) in [(0.5, predicted.p50_range), (0.9, predicted.p90_range)] {
                    let (low, high) = range.unwrap();
                    let truly = quantile(&mut delays, share);
                    let got = predicted.delay.quantile(share).unwrap();
                    let near = match got {
                        Length::Known(Ns(got)) => got.abs_diff(truly) <= (truly / 5).max(1_000_000),
                        Length::Below(resolution) => truly <= resolution.0,
                    };
                    let within = (low.0..=high.0).contains(&truly);
                    cells_of += 1;
                    cells_in += u32::from(near || within);
                    if !(near || within) {
                        missed.push(format!("{name} {sampling} {share}: {got:?} [{low} {high}], truly {truly}"));
                    }
                }
            }
        }
    }
    assert!(cells_in * 10 >= cells_of * 9, "{cells_in} of {cells_of}: {missed:#?}");
}

#[test]
fn a_sleeping_main_thread_needs_as_long_as_its_own_waits() {
    // Its sleeps end at instants that have nothing to do with the hogs, as a signal would end them.
    let main =
        Script { spread: 0.9, ..Script::new(&[Step::Bytecode(Ns::from_micros(50)), Step::Sleep(Ns::from_millis(70))]) };
    for count in [1, 3] {
        let scripts: Vec<Script> = std::iter::once(main.clone()).chain((0..count).map(|_| hog())).collect();
        let truth = World::play(6, Ns(60 * SECOND), &scripts);
        let predicted = figures(&looked_at(&truth, fused(&at_1khz(), &truth), &[], By::Looks)).predicted.unwrap();
        let mut waits = truth.waits_of(0);
        for share in [0.5, 0.9] {
            let (truly, got) = (quantile(&mut waits, share), ns(predicted.delay.quantile(share)));
            assert!(got.abs_diff(truly) <= (truly / 5).max(1_000_000), "{count} {share}: {got}, truly {truly}");
        }
        assert!(predicted.not_predictable < 0.05, "{}", predicted.not_predictable);
    }
    // Alone, nobody keeps it waiting; behind somebody whom it was never seen to wait for, nothing can be told.
    let alone = World::play(6, Ns(20 * SECOND), &[main]);
    let predicted = figures(&looked_at(&alone, fused(&at_1khz(), &alone), &[], By::Looks)).predicted.unwrap();
    assert!(matches!(predicted.delay.quantile(0.9), Some(Length::Below(_))), "{:?}", predicted.delay.quantile(0.9));
    let sleeper = World::play(6, Ns(10 * SECOND), &hogs(&[Step::Sleep(Ns(100 * SECOND))], 1));
    let predicted = figures(&looked_at(&sleeper, fused(&at_1khz(), &sleeper), &[], By::Looks)).predicted.unwrap();
    assert!(predicted.not_predictable > 0.95, "{}", predicted.not_predictable);
    assert!(predicted.because.asleep > 0.95, "{:?}", predicted.because);
}

#[test]
fn a_pending_signal_has_a_running_clock_and_the_fault_behind_it_a_name() {
    let truth = World::play(8, Ns(4 * SECOND), &hogs(&[Step::Bytecode(Ns::SECOND)], 0));
    let at = SECOND;
    let sent = [Sent { at, called: 100 * SECOND, delay: 100 * SECOND }];
    let taker = |thread| What::SignalDelivered {
        process: P,
        thread,
        signal: Signal::SIGINT,
        to: Delivery::Calls { function: Address(1) },
    };
    for (thread, fault) in [(ThreadKey(9), Some(Fault::NotNoticed)), (MAIN, None)] {
        let mut events = looked_at(&truth, at_1khz().look(&truth), &sent, By::Looks);
        events.push(Event { at: MonoNs(ORIGIN + at), what: taker(thread) });
        events.sort_by_key(|event| event.at);
        let figures = figures(&events);
        assert!(figures.measured.is_empty(), "{figures:?}");
        let [pending] = figures.pending[..] else { panic!("{:?}", figures.pending) };
        assert_eq!((pending.signal, pending.stage, pending.fault), (Some(Signal::SIGINT), Stage::Tripped, fault));
        assert!(pending.since.since(MonoNs(ORIGIN + at)) <= Ns(2_000_000), "{pending:?}");
    }
}

/// The watchpoint comes and goes, and what was handled between two looks is known by the one after it.
#[test]
fn no_signal_is_lost_or_joined_to_another_where_the_watchpoint_comes_and_goes() {
    let truth = World::play(8, Ns(2 * SECOND), &hogs(&[Step::Bytecode(Ns::SECOND)], 0));
    let mut events = at_1khz().look(&truth);
    let first = events.iter().find(|event| matches!(event.what, What::GilSample(_))).unwrap().at.0 - ORIGIN;
    let mut tell = |at: u64, what| events.push(Event { at: MonoNs(ORIGIN + at), what });
    let waiting = WaitingSignals { process: SignalSet::EMPTY, main: SignalSet::EMPTY, blocked: SignalSet::EMPTY };
    let look = |tell: &mut dyn FnMut(u64, What), at: u64, gap: Option<u64>| {
        let gap = gap.map(Ns);
        tell(at, What::SignalsWaiting { process: P, waiting: Some(waiting), gap });
        let pending = PendingSignals { flag: Flag::Clear, tripped: Some(SignalSet::EMPTY) };
        tell(at + 20_000, What::SignalsPending { process: P, pending, gap });
    };
    tell(first, known());
    look(&mut tell, first, None);
    let step = SignalStep::Written;
    for number in 0..20 {
        let at = 500_000_000 + number * 50_000_000;
        let is_watched = number % 4 >= 2;
        if number % 4 == 2 {
            tell(at - 20_000_000, What::SignalStepsBegin { process: P, step });
        }
        tell(at, What::SignalSent { process: P, signal: Signal::SIGINT });
        if is_watched {
            for (after, ip) in [(50_000, TRIP), (70_000, CLEAR)] {
                tell(at + after, What::PendingWritten { process: P, thread: MAIN, ip, cpu: Cpu(0) });
            }
        }
        look(&mut tell, at + 400_000, Some(1_000_000));
        if number % 4 == 3 {
            tell(at + 20_000_000, What::SignalStepsEnd { process: P, step, why: StepsEnd::TooCostly });
        }
    }
    events.sort_by_key(|event| event.at);
    let figures = figures(&events);
    let [measured] = &figures.measured[..] else { panic!("{figures:?}") };
    assert_eq!((measured.delay.count(), measured.merged, figures.unresolved), (20, 0, 0), "{measured:?}");
    assert!(figures.pending.is_empty(), "{figures:?}");
    let most = measured.delay.max();
    assert!(
        most.is_some_and(|most| matches!(most, Length::Below(Ns(ns)) | Length::Known(Ns(ns)) if ns <= 1_500_000)),
        "{most:?}"
    );
}

/// Signals one by one while the main thread executes bytecode alone, of each of which this is told. Its times are
/// nanoseconds after it was sent.
fn told_of_each(begins: Option<SignalStep>, told: &[(u64, What)]) -> InterruptFigures {
    let truth = World::play(8, Ns(2 * SECOND), &hogs(&[Step::Bytecode(Ns::SECOND)], 0));
    let mut events = at_1khz().look(&truth);
    let first = events.iter().find(|event| matches!(event.what, What::GilSample(_))).unwrap().at.0 - ORIGIN;
    let mut tell = |at: u64, what| events.push(Event { at: MonoNs(ORIGIN + at), what });
    tell(first, known());
    tell(first, pending(first, &[], None));
    if let Some(step) = begins {
        tell(first, What::SignalStepsBegin { process: P, step });
    }
    for number in 0..10 {
        for (after, what) in told {
            tell(500_000_000 + number * 50_000_000 + after, what.clone());
        }
    }
    events.sort_by_key(|event| event.at);
    figures(&events)
}

fn wrote(ip: Address) -> What {
    What::PendingWritten { process: P, thread: MAIN, ip, cpu: Cpu(0) }
}

fn looked(flag: Flag, tripped: SignalSet) -> What {
    What::SignalsPending {
        process: P,
        pending: PendingSignals { flag, tripped: Some(tripped) },
        gap: Some(Ns(1_000_000)),
    }
}

/// CPython clears the word before it clears the signal and calls its handler, and a hit delays it there.
#[test]
fn a_look_between_the_word_and_the_signal_sees_no_other_signal() {
    let sigint: SignalSet = [Signal::SIGINT].into_iter().collect();
    for begins in [Some(SignalStep::Written), None] {
        let figures = told_of_each(
            begins,
            &[
                (50_000, wrote(TRIP)),
                (90_000, wrote(CLEAR)),
                (150_000, looked(Flag::Clear, sigint)),
                (1_150_000, looked(Flag::Clear, SignalSet::EMPTY)),
            ],
        );
        let [measured] = &figures.measured[..] else { panic!("{figures:?}") };
        assert_eq!(
            (measured.delay.count(), measured.merged, figures.unresolved),
            (10, 0, 0),
            "{begins:?} {measured:?}"
        );
        assert!(ns(measured.delay.max()) <= 60_000, "{begins:?} {measured:?}");
    }
}

/// A look at the kernel that sees a signal wait, long after the look before, says less of when it came than the write does.
#[test]
fn what_is_not_known_of_a_signal_in_the_kernel_does_not_spoil_what_is_known_of_its_trip() {
    let sigint: SignalSet = [Signal::SIGINT].into_iter().collect();
    let waits = |process, gap| {
        let waiting = WaitingSignals { process, main: SignalSet::EMPTY, blocked: SignalSet::EMPTY };
        What::SignalsWaiting { process: P, waiting: Some(waiting), gap: Some(Ns(gap)) }
    };
    let figures = told_of_each(
        Some(SignalStep::Written),
        &[
            (2_000_000, waits(sigint, 45_000_000)),
            (5_000_000, wrote(TRIP)),
            (5_040_000, wrote(CLEAR)),
            (6_000_000, waits(SignalSet::EMPTY, 4_000_000)),
            (6_020_000, looked(Flag::Clear, SignalSet::EMPTY)),
        ],
    );
    let [measured] = &figures.measured[..] else { panic!("{figures:?}") };
    assert_eq!(
        (measured.from, measured.delay.count(), measured.delay.censored),
        (ArrivalKind::Trip, 10, 0),
        "{measured:?}"
    );
    assert!(ns(measured.delay.max()) <= 60_000, "{measured:?}");
}

/// Who clears the word is known from its writes alone; what was never seen to be set is not taken for a signal.
#[test]
fn writes_that_are_not_known_to_be_all_tell_no_signal_by_themselves() {
    let empty = SignalSet::EMPTY;
    // Another thread takes each: of the main thread only the clearing is told.
    let figures = told_of_each(None, &[(400_000, wrote(CLEAR)), (900_000, looked(Flag::Clear, empty))]);
    let found: u64 = figures.measured.iter().map(|it| it.delay.count() + it.delay.censored).sum();
    assert_eq!((found, figures.pending.len()), (0, 0), "{figures:?}");
    // A look has seen it wait.
    let sigint: SignalSet = [Signal::SIGINT].into_iter().collect();
    let seen = [
        (1_000_000, looked(Flag::Set, sigint)),
        (20_000_000, looked(Flag::Set, sigint)),
        (20_500_000, wrote(CLEAR)),
        (21_000_000, looked(Flag::Clear, empty)),
    ];
    let figures = told_of_each(None, &seen);
    let [measured] = &figures.measured[..] else { panic!("{figures:?}") };
    assert_eq!((measured.delay.count(), measured.delay.censored), (10, 0), "{measured:?}");
    assert!(ns(measured.delay.max()).abs_diff(20_000_000) <= 1_100_000, "{measured:?}");
}

#[test]
fn two_at_once_are_said_to_be_and_what_was_pending_before_is_cut() {
    let truth = World::play(8, Ns(2 * SECOND), &hogs(&[Step::Bytecode(Ns::SECOND)], 0));
    let python: SignalSet = [Signal::SIGINT, Signal::SIGUSR1].into_iter().collect();
    let mut all = Vec::new();
    let mut last = None;
    for event in at_1khz().look(&truth) {
        let (at, now) = (event.at, event.at.0 - ORIGIN);
        if let What::GilSample(_) = event.what {
            if last.is_none() {
                let What::SignalsKnown { process, mut info } = known() else { unreachable!() };
                info.handlers = Lookup::Found(Handlers { python, ..Handlers::default() });
                all.push(Event { at, what: What::SignalsKnown { process, info } });
            }
            // Both from 500 to 540 ms, and one from before the first look on.
            let early = (now < 100_000_000).then_some(Signal::SIGUSR1);
            let both = (500_000_000..540_000_000).contains(&now);
            let there: SignalSet = if both { python } else { early.into_iter().collect() };
            let flag = if there.is_empty() { Flag::Clear } else { Flag::Set };
            let pending = PendingSignals { flag, tripped: Some(there) };
            all.push(Event {
                at,
                what: What::SignalsPending { process: P, pending, gap: last.map(|last| Ns(now - last)) },
            });
            last = Some(now);
        }
        all.push(event);
    }
    let figures = figures(&all);
    assert_eq!(figures.measured.len(), 2, "{figures:?}");
    for measured in &figures.measured {
        assert_eq!((measured.delay.count(), measured.with_others), (1, 1), "{measured:?}");
        assert!(ns(measured.delay.max()).abs_diff(40_000_000) < 2_000_000, "{measured:?}");
        let cut = u64::from(measured.signal == Some(Signal::SIGUSR1));
        assert_eq!(measured.delay.censored, cut, "{measured:?}");
    }
}

fn signal() -> impl Strategy<Value = Signal> {
    (1u8..5).prop_map(|n| Signal::try_from(n).unwrap())
}

/// Anything that can be said of signals, in any order.
fn said() -> impl Strategy<Value = What> {
    let set = || any::<u64>().prop_map(|mask| SignalSet::from_mask(mask & 0x1f));
    let gap = || proptest::option::of(prop_oneof![0..5_000_000u64, any::<u64>()].prop_map(Ns));
    let thread = || (0..4u32).prop_map(ThreadKey);
    let flag = || prop_oneof![Just(Flag::Set), Just(Flag::Clear), Just(Flag::Unknown)];
    let step = || prop_oneof![Just(SignalStep::Generated), Just(SignalStep::Delivered), Just(SignalStep::Written)];
    let kind =
        prop_oneof![Just(PendingKind::IsTripped), Just(PendingKind::SignalsPending), Just(PendingKind::CallsToDo)];
    let progress = prop_oneof![Just(Progress::Moved), Just(Progress::NotSeen), Just(Progress::Unknown)];
    let sleep = prop_oneof![Just(Sleep::Awake), Just(Sleep::Futex), Just(Sleep::Elsewhere), Just(Sleep::Unknown)];
    let outcome = prop_oneof![Just(Generation::Queued), Just(Generation::Merged), Just(Generation::Overflow)];
    let to = prop_oneof![Just(Delivery::Unknown), Just(Delivery::Default)];
    prop_oneof![
        (proptest::option::of(thread()), set(), kind).prop_map(|(main, python, kind)| What::SignalsKnown {
            process: P,
            info: Box::new(SignalsInfo {
                main,
                pending: Lookup::Found(kind),
                handlers: Lookup::Found(Handlers { python, ..Handlers::default() }),
                caught: None,
            }),
        }),
        (flag(), proptest::option::of(set()), gap()).prop_map(|(flag, tripped, gap)| What::SignalsPending {
            process: P,
            pending: PendingSignals { flag, tripped },
            gap,
        }),
        (set(), set(), gap()).prop_map(|(process, blocked, gap)| What::SignalsWaiting {
            process: P,
            waiting: Some(WaitingSignals { process, main: blocked, blocked }),
            gap,
        }),
        step().prop_map(|step| What::SignalStepsBegin { process: P, step }),
        step().prop_map(|step| What::SignalStepsEnd { process: P, step, why: StepsEnd::Birth }),
        signal().prop_map(|signal| What::SignalSent { process: P, signal }),
        (signal(), outcome).prop_map(|(signal, outcome)| What::SignalGenerated {
            process: P,
            thread: None,
            signal,
            outcome
        }),
        (signal(), thread(), to).prop_map(|(signal, thread, to)| What::SignalDelivered {
            process: P,
            thread,
            signal,
            to
        }),
        (thread(), 0..4u64).prop_map(|(thread, ip)| What::PendingWritten {
            process: P,
            thread,
            ip: Address(ip),
            cpu: Cpu(0)
        }),
        (thread(), progress, sleep, gap()).prop_map(|(thread, progress, sleep, gap)| What::MainProgress {
            thread,
            progress,
            sleep,
            gap
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_is_said_the_figures_stay_possible(said in proptest::collection::vec((said(), 0..200u64), 0..400)) {
        let truth = World::play(2, Ns(SECOND / 2), &hogs(&[Step::Bytecode(Ns::SECOND)], 2));
        let mut events = at_1khz().look(&truth);
        let mut at = ORIGIN;
        for (what, later) in said {
            at += later * 10_000;
            events.push(Event { at: MonoNs(at), what });
        }
        events.sort_by_key(|event| event.at);
        let snapshot = fold(&events).snapshot();
        let Some(figures) = snapshot.processes[0].interrupts.as_deref() else { return Ok(()) };
        let length = snapshot.at.since(snapshot.start);
        prop_assert!(figures.measured.len() <= 130 && figures.pending.len() <= 65);
        for measured in &figures.measured {
            prop_assert!(measured.culprits.len() <= 8);
            let max = measured.delay.max().map_or(0, |max| ns(Some(max)));
            prop_assert!(max <= length.0 + length.0 / 50 + measured.delay.resolution.0, "{} > {}", max, length);
            prop_assert!(measured.culprits.iter().all(|c| (0.0..=1.0).contains(&c.share)));
        }
        if let Some(predicted) = &figures.predicted {
            prop_assert!((0.0..=1.0).contains(&predicted.not_predictable), "{}", predicted.not_predictable);
            let why = predicted.because;
            let sum = why.unseen + why.holding + why.unfinished + why.asleep;
            prop_assert!((sum - predicted.not_predictable).abs() < 1e-9, "{why:?}");
            prop_assert!((0.0..=1.0).contains(&predicted.at_most), "{}", predicted.at_most);
        }
        gilscope::report::json(&snapshot, gilscope::findings::Allowed::NONE).unwrap();
    }
}
