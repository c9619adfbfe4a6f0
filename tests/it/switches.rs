//! The kernel's switch records of a simulated GIL, and what the model makes of them beside samples: waits that are right
//! one by one, where samples alone give shares.

use gilscope::event::{
    CaptureInfo, Costs, Cpu, Departure, DropRequest, Event, FutexSite, GilKey, GilSample, Hold, InterpreterId, Lags,
    Mode, ProcessKey, Role, SwitchesEnd, ThreadInfo, ThreadKey, Tid, What,
};
use gilscope::model::Model;
use gilscope::model::snapshot::{Distribution, Length, Snapshot, Source};
use gilscope::time::{MonoNs, Ns};

use crate::sampling::{ORIGIN, Sampling, info, target};
use crate::simulator::{Script, State, Step, ThreadState, Truth, World};

/// From waking up to being asleep on the GIL, or to having taken it.
const ASK: u64 = 8_000;
/// What a time-out or a lost race costs.
const BLIP: u64 = 5_000;

/// A time on a core, in virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    pub from: u64,
    pub to: u64,
    how: Departure2,
}

impl Run {
    /// On one of three cores: a thread is moved now and then.
    pub fn cpu(&self, thread: usize) -> Cpu {
        Cpu(((self.from / 7_000_000 + thread as u64 * 5) % 3) as u16)
    }
}

/// [`Departure`], with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Departure2 {
    Asleep,
    Preempted,
}

pub fn runs(truth: &Truth, thread: usize) -> Vec<Run> {
    let changes = &truth.states[thread];
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([truth.end]);
    let mut runs: Vec<Run> =
        truth.blips[thread].iter().map(|at| Run { from: *at, to: at + BLIP, how: Departure2::Asleep }).collect();
    let mut before = State::Gone;
    for ((from, state), to) in changes.iter().zip(ends) {
        let how = match state {
            State::HoldingQueued | State::Runnable => Departure2::Preempted,
            _ => Departure2::Asleep,
        };
        if state.on_core() {
            // Whoever was woken is on a core a little before it has the GIL.
            let from = if before == State::Waiting { from - ASK } else { *from };
            runs.push(Run { from, to, how: Departure2::Asleep });
        } else if let Some(last) = runs.last_mut().filter(|last| last.to == *from) {
            last.how = how;
        }
        if *state == State::Waiting && !before.on_core() {
            runs.push(Run { from: from.saturating_sub(ASK), to: *from, how: Departure2::Asleep });
        }
        if before == State::HandingOver && *state == State::Idle {
            // Woken in `switch_cond`, on the way to sleep elsewhere.
            runs.push(Run { from: *from, to: from + BLIP, how: Departure2::Asleep });
        }
        before = *state;
    }
    runs.sort_unstable();
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.from <= last.to => (last.to, last.how) = (last.to.max(run.to), run.how),
            _ => joined.push(run),
        }
    }
    joined
}

/// The same, and beside it what the tracepoint tells: on which futex each sleep is.
fn named(sampling: &Sampling, truth: &Truth) -> Vec<Event> {
    let mut events = fused(sampling, truth);
    // Whoever sleeps while it holds has been awake to take, and is so to let go.
    for (n, states) in truth.states.iter().enumerate() {
        let thread = ThreadKey(n as u32);
        for pair in states.windows(2) {
            let [(_, before), (at, state)] = [pair[0], pair[1]];
            let at_least = 22_000;
            let sleeps_on = !before.on_core() && !state.on_core();
            if sleeps_on && (before.holds() || state.holds()) && at > ASK && at + at_least < truth.end {
                let [from, to] = [at - ASK, at + at_least].map(|at| MonoNs(ORIGIN + at));
                events.push(Event { at: from, what: What::SwitchedIn { thread, cpu: Cpu(0) } });
                events.push(Event { at: to, what: What::SwitchedOut { thread, how: Departure::Asleep } });
            }
        }
    }
    events.sort_by_key(|event| (event.at, event.what == What::CaptureEnded));
    let begins: Vec<Event> = events
        .iter()
        .filter_map(|event| match event.what {
            What::SwitchesBegin { thread } => Some(Event { at: event.at, what: What::FutexesBegin { thread } }),
            _ => None,
        })
        .collect();
    let entered: Vec<Event> = events
        .iter()
        .filter_map(|event| {
            let What::SwitchedOut { thread, how: Departure::Asleep } = event.what else { return None };
            let states = &truth.states[thread.0 as usize];
            let next = states.partition_point(|(at, _)| ORIGIN + at <= event.at.0);
            let site = match states[next.checked_sub(1)?].1 {
                State::Waiting => FutexSite::Cond,
                State::HandingOver => FutexSite::SwitchCond,
                _ => return None,
            };
            let what = What::FutexEntered { gil: GilKey(0), thread, site };
            Some(Event { at: MonoNs(event.at.0 - 1_000), what })
        })
        .collect();
    events.extend(begins);
    events.extend(entered);
    events.sort_by_key(|event| (event.at, event.what == What::CaptureEnded));
    events
}

/// The sampler's events of `truth`, and the kernel's records of its switches, in the order of time.
pub fn fused(sampling: &Sampling, truth: &Truth) -> Vec<Event> {
    let mut events = Vec::new();
    let mut told_from = vec![u64::MAX; truth.states.len()];
    for mut event in sampling.look(truth) {
        if let What::CaptureStarted(info) = &mut event.what {
            info.mode = Mode::Fused;
        }
        let found = match &event.what {
            What::ThreadFound { thread, .. } => Some(*thread),
            _ => None,
        };
        let at = event.at;
        events.push(event);
        if let Some(thread) = found {
            told_from[thread.0 as usize] = at.0 - ORIGIN;
            events.push(Event { at, what: What::SwitchesBegin { thread } });
        }
    }
    for (n, from) in told_from.iter().enumerate() {
        let thread = ThreadKey(n as u32);
        for run in runs(truth, n).into_iter().filter(|run| run.from > *from && run.to < truth.end) {
            let how = match run.how {
                Departure2::Asleep => Departure::Asleep,
                Departure2::Preempted => Departure::Preempted,
            };
            let at = |at: u64| MonoNs(ORIGIN + at);
            events.push(Event { at: at(run.from), what: What::SwitchedIn { thread, cpu: run.cpu(n) } });
            events.push(Event { at: at(run.to), what: What::SwitchedOut { thread, how } });
        }
    }
    // What comes at the same time comes in the order in which it was told, and the end comes last.
    events.sort_by_key(|event| (event.at, event.what == What::CaptureEnded));
    events
}

pub fn snapshot(events: &[Event]) -> Snapshot {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

fn waits(snapshot: &Snapshot) -> &Distribution {
    &snapshot.processes[0].interpreters[0].gil.as_deref().unwrap().waits
}

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

/// Each wait ends, for the records, with the wake-up: by how much that makes their sum less.
fn edges(truth: &Truth) -> f64 {
    let total: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
    (truth.waits.len() as u64 * ASK) as f64 / total as f64
}

/// The regimes that waits come from.
pub fn worlds() -> Vec<(&'static str, Truth)> {
    let io = |sleep: u64| Script::new(&[Step::Bytecode(Ns::from_micros(30)), Step::Sleep(Ns::from_micros(sleep))]);
    let hog = || Script::new(&[Step::Bytecode(Ns::SECOND)]);
    let play = |seed, scripts: &[Script]| World::play(seed, ms(20_000), scripts);
    vec![
        ("one hog beside I/O", play(1, &[hog(), io(2_000)])),
        ("two hogs beside I/O", play(2, &[hog(), hog(), io(3_000)])),
        ("four hogs beside I/O", play(3, &[hog(), hog(), hog(), hog(), io(7_000)])),
        ("holds of 5 ms", play(4, &vec![Script::new(&[Step::HoldInC(ms(5)), Step::Sleep(ms(4))]); 3])),
        (
            "holds of 1 to 50 ms",
            play(
                5,
                &[
                    Script::new(&[Step::HoldInC(ms(1)), Step::Sleep(ms(2))]),
                    Script::new(&[Step::HoldInC(ms(10)), Step::Sleep(ms(9))]),
                    Script::new(&[Step::HoldInC(ms(50)), Step::Sleep(ms(70))]),
                ],
            ),
        ),
        (
            "a holder asleep",
            play(6, &[Script::new(&[Step::HoldAsleep(ms(80)), Step::Sleep(ms(20))]), io(500), io(800)]),
        ),
        (
            "many that hold for half a millisecond",
            play(7, &vec![Script::new(&[Step::HoldInC(Ns::from_micros(500)), Step::Sleep(ms(25))]); 32]),
        ),
    ]
}

#[test]
fn waits_are_right_one_by_one() {
    for (name, truth) in worlds() {
        let snapshot = snapshot(&fused(&Sampling::at(Ns::MILLISECOND, 7), &truth));
        let seen = waits(&snapshot);
        let mut real: Vec<u64> =
            truth.waits.iter().filter(|wait| wait.to < truth.end).map(|wait| wait.length()).collect();
        real.sort_unstable();
        let long = real.iter().filter(|wait| **wait >= 100_000).count() as f64;
        let counted = (seen.count() - seen.below_resolution) as f64;
        assert_eq!(seen.source, Source::Fused, "{name}");
        // An edge is a wake-up, which comes some microseconds before the take; between two ticks a wait may stay unseen.
        assert!((counted - long).abs() <= (long * 0.03).max(2.0), "{name}: {counted} waits, in truth {long}");
        real.retain(|wait| *wait >= 100_000);
        let total: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
        let off = (seen.total.0 as f64 - total as f64) / total as f64;
        assert!(off.abs() <= 0.01 + edges(&truth), "{name}: the total is off by {off}");
        for share in [0.5, 0.9, 0.99] {
            // Shorter ones are not all seen, nor meant to be: percentiles of the others.
            let of_all = (seen.below_resolution as f64 + counted * share) / seen.count() as f64;
            let Some(Length::Known(Ns(ns))) = seen.quantile(of_all) else { panic!("{name}: no percentile") };
            // A percentile between two humps moves far with a single wait more or less: a hundredth of them may differ.
            let at = |share: f64| real[((real.len() - 1) as f64 * share.clamp(0.0, 1.0)).round() as usize];
            let (low, high) = (at(share - 0.01), at(share + 0.01));
            let right = (low - low / 50).saturating_sub(20_000)..=high + high / 50 + 20_000;
            assert!(right.contains(&ns), "{name}: p{share} is {ns}, in truth {low} to {high}");
        }
    }
}

/// The records of a thread that needs so long from asking to leaving its core, and from getting one to taking it: what is known of
/// that is made up for, wait by wait.
#[test]
fn the_lags_of_records_are_made_up_for() {
    const ASKING: u64 = 6_000;
    for (name, truth) in worlds() {
        let mut events = fused(&Sampling::at(Ns::MILLISECOND, 7), &truth);
        for event in &mut events {
            let What::SwitchedOut { thread, how: Departure::Asleep } = event.what else { continue };
            let asks = (event.at.0 - ORIGIN, State::Waiting);
            if truth.states[thread.0 as usize].contains(&asks) {
                event.at = event.at + Ns(ASKING);
            }
        }
        events.sort_by_key(|event| (event.at, event.what == What::CaptureEnded));
        let told = |lags: Lags| {
            let mut events = events.clone();
            let costs = Costs { lags, ..Costs::ASSUMED };
            events.insert(1, Event { at: events[0].at, what: What::CostsKnown(costs) });
            let snapshot = snapshot(&events);
            let lost: Ns = snapshot.processes[0].threads.iter().map(|thread| thread.lost).sum();
            let waits = waits(&snapshot);
            assert_eq!(lost, waits.total, "{name}: the threads' waits are the GIL's");
            (waits.count(), waits.total.0 as f64)
        };
        let (count, total) = told(Lags { asking: Ns(ASKING), taking: Ns(ASK) });
        let (same, short) = told(Lags::default());
        assert_eq!(count, same, "{name}: they are no other waits");
        let real: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
        let (made_up, lags) = ((total - short) / count as f64, (ASKING + ASK) as f64);
        println!(
            "{name}: {made_up:.0} ns made up for, each of {count} off by {:.0}",
            (total - real as f64) / count as f64
        );
        // Where an edge is a look's there is no lag.
        assert!((lags * 0.9..=lags * 1.01).contains(&made_up), "{name}: {made_up} ns a wait, of {lags}");
        let off = (total - real as f64) / real as f64;
        assert!(off.abs() <= 0.01, "{name}: the total is off by {off}");
    }
}

/// Where the GIL changes hands seldom the waits tell it, of which up to three in two hundred stay unseen; where
/// it does often, the looks do.
#[test]
fn contention_is_the_time_in_which_somebody_waits() {
    for (name, truth) in
        worlds().into_iter().chain([crate::columns::busy_world(), ("lanes", crate::fixtures::lanes_truth())])
    {
        let snapshot = snapshot(&fused(&Sampling::at(Ns::MILLISECOND, 7), &truth));
        let gil = snapshot.processes[0].interpreters[0].gil.as_deref().unwrap();
        let (contention, waiters) = truth.contention();
        println!(
            "{name}: {:.4} and {:.4}, in truth {contention:.4} and {waiters:.4}",
            gil.contention, gil.mean_waiters
        );
        assert!(
            (gil.contention - contention).abs() <= 0.015 * contention,
            "{name}: {}, in truth {contention}",
            gil.contention
        );
        assert!(
            (gil.mean_waiters - waiters).abs() <= 0.017 * waiters,
            "{name}: {}, in truth {waiters}",
            gil.mean_waiters
        );
    }
}

/// CPython counts it as a handoff when such a thread takes the GIL that it had last, with another state.
#[test]
fn waits_of_threads_that_call_in_are_right_one_by_one() {
    let calls = |sleep| {
        let steps = [Step::HoldInC(Ns::from_micros(500)), Step::Sleep(ms(sleep))];
        Script { state: ThreadState::Anew, ..Script::new(&steps) }
    };
    let truth = World::play(11, ms(20_000), &[calls(2), calls(7)]);
    let retakes = truth.handoffs.windows(2).filter(|pair| pair[0].1 == pair[1].1).count();
    assert!(retakes > 1_000, "{retakes} times a thread took what it had last");
    let snapshot = snapshot(&fused(&Sampling::at(ms(2), 7), &truth));
    let seen = waits(&snapshot);
    let real = truth.waits.iter().filter(|wait| wait.to < truth.end && wait.length() >= 100_000).count() as f64;
    let counted = (seen.count() - seen.below_resolution) as f64;
    println!("{counted} waits, in truth {real}, {retakes} retakes");
    assert!((counted - real).abs() <= real * 0.03, "{counted} waits, in truth {real}");
}

/// Named sleeps make certain what switches and samples have to guess: every wait is found, also where takes are hidden
/// between two looks that are far apart.
#[test]
fn named_sleeps_make_hidden_takes_certain() {
    let (mut better, mut worse) = (0, 0);
    for (name, truth) in worlds() {
        for (interval, tolerance) in [(Ns::MILLISECOND, 0.001), (ms(4), 0.004)] {
            let sampling = Sampling::at(interval, 7);
            let (guessed, named) = (snapshot(&fused(&sampling, &truth)), snapshot(&named(&sampling, &truth)));
            let whole: Vec<u64> =
                truth.waits.iter().filter(|wait| wait.to < truth.end).map(|wait| wait.length()).collect();
            let off =
                |snapshot: &Snapshot| (waits(snapshot).count() + waits(snapshot).censored).abs_diff(whole.len() as u64);
            eprintln!("{name} at {interval}: {} waits, off by {} and {}", whole.len(), off(&guessed), off(&named));
            assert!(off(&named) as f64 <= whole.len() as f64 * tolerance + 4.0, "{name}: off by {}", off(&named));
            (better, worse) = (better + off(&named), worse + off(&guessed));
            let total: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
            let seen = waits(&named).total.0 as f64;
            let off = (seen - total as f64) / total as f64;
            assert!(off.abs() <= 0.01 + edges(&truth), "{name}: the total is off by {off}");
        }
    }
    assert!(better * 4 < worse, "named sleeps are off by {better}, guessed ones by {worse}");
}

#[test]
fn a_hog_beside_a_sleeper_does_not_wait() {
    let scripts =
        [Script::new(&[Step::Bytecode(Ns::SECOND)]), Script::new(&[Step::Sleep(ms(3)), Step::Native(Ns(40_000))])];
    let truth = World::play(8, ms(5_000), &scripts);
    let snapshot = snapshot(&fused(&Sampling::at(Ns::MILLISECOND, 9), &truth));
    // It asks once, when it is born.
    let born: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
    let seen = waits(&snapshot);
    assert!(seen.count() + seen.censored <= 1 && seen.total.0 <= born, "{} {:?}", seen.count(), seen.total);
}

/// Where records are missing the samples stay, and no wait is made up from halves.
#[test]
fn lost_records_cost_precision_and_nothing_else() {
    let (_, truth) = worlds().swap_remove(1);
    let sampling = Sampling::at(Ns::MILLISECOND, 7);
    let mut random = fastrand::Rng::with_seed(3);
    let mut events: Vec<Event> = Vec::new();
    for event in fused(&sampling, &truth) {
        let of = match event.what {
            What::SwitchedIn { thread, .. } | What::SwitchedOut { thread, .. } => Some(thread),
            _ => None,
        };
        match of.filter(|_| random.u32(0..20) == 0) {
            Some(thread) => {
                let end = What::SwitchesEnd { thread, why: SwitchesEnd::Lost { records: 1 } };
                events.push(Event { at: event.at, what: end });
                events.push(Event { at: event.at, what: What::SwitchesBegin { thread } });
            }
            None => events.push(event),
        }
    }
    let snapshot = snapshot(&events);
    let total: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
    let off = (waits(&snapshot).total.0 as f64 - total as f64) / total as f64;
    assert!(off.abs() <= 0.03, "the total is off by {off}");
    let longest = truth.waits.iter().map(|wait| wait.length()).max().unwrap();
    let Some(Length::Known(Ns(seen))) = waits(&snapshot).max() else { panic!("no longest wait") };
    assert!(seen <= longest + 2_000_000, "{seen}, in truth at most {longest}");
}

/// The regimes, each as it is told when the switches of some threads are not followed.
fn half_followed(unfollowed: impl Fn(usize, MonoNs) -> bool) -> Vec<(&'static str, Truth, Snapshot)> {
    let told = |events: Vec<Event>| -> Vec<Event> {
        events
            .into_iter()
            .filter_map(|event| match event.what {
                What::CaptureStarted(info) => {
                    let what = What::CaptureStarted(Box::new(CaptureInfo { mode: Mode::Fused, ..*info }));
                    Some(Event { what, ..event })
                }
                What::SwitchesBegin { thread } if unfollowed(thread.0 as usize, event.at) => {
                    let what = What::SwitchesEnd { thread, why: SwitchesEnd::Refused };
                    Some(Event { what, ..event })
                }
                What::SwitchedIn { thread, .. } | What::SwitchedOut { thread, .. }
                    if unfollowed(thread.0 as usize, event.at) =>
                {
                    None
                }
                _ => Some(event),
            })
            .collect()
    };
    let look = |truth: &Truth| told(fused(&Sampling::at(Ns::MILLISECOND, 7), truth));
    worlds()
        .into_iter()
        .map(|(name, truth)| (name, snapshot(&look(&truth)), truth))
        .map(|(n, s, t)| (n, t, s))
        .collect()
}

/// Held to what samples alone could tell: shares and totals are right, and no wait is made up.
#[track_caller]
fn nothing_is_wrong(name: &str, truth: &Truth, snapshot: &Snapshot) {
    let seen = waits(snapshot);
    let total: u64 = truth.waits.iter().map(|wait| wait.length()).sum();
    let off = (seen.total.0 as f64 - total as f64) / total as f64;
    assert!(off.abs() <= 0.03 + edges(truth), "{name}: the total is off by {off}");
    let longest = truth.waits.iter().map(|wait| wait.length()).max().unwrap();
    let Some(Length::Known(Ns(most))) = seen.max() else { panic!("{name}: no longest wait") };
    // Two waits with a short hold between may look like one to samples, if the records do not tell.
    assert!(most <= 2 * longest + 2_000_000, "{name}: {most}, in truth at most {longest}");
    let real = truth.waits.len() as f64;
    assert!((seen.count() as f64) <= real * 1.02 + 2.0, "{name}: {} waits, in truth {real}", seen.count());
}

#[test]
fn one_thread_that_is_not_followed_costs_precision_and_nothing_else() {
    for without in 0..3 {
        for (name, truth, snapshot) in half_followed(|thread, _| thread == without) {
            nothing_is_wrong(&format!("{name} without thread {without}"), &truth, &snapshot);
            let figures = snapshot.processes[0].capture.switches.expect("a fused capture");
            assert_eq!(figures.followed, figures.threads - usize::from(without < figures.threads), "{name}");
        }
    }
}

#[test]
fn a_single_thread_that_is_followed_gets_no_waits_of_others() {
    for only in 0..3 {
        for (name, truth, snapshot) in half_followed(|thread, _| thread != only) {
            nothing_is_wrong(&format!("{name} with thread {only} alone"), &truth, &snapshot);
            for (n, thread) in snapshot.processes[0].threads.iter().enumerate() {
                let real = truth.waits_of(n).iter().sum::<u64>() as f64;
                let seen = thread.waits.total.0 as f64;
                assert!(seen <= real * 1.04 + 10_000_000.0, "{name}, thread {n}: {seen}, in truth {real}");
            }
        }
    }
}

/// The holder lets go, and while one thread takes the GIL another wakes up by chance, out of a sleep of its own.
fn a_take_and_a_chance(taker: Told) -> Snapshot {
    let at = |us: u64| MonoNs(ORIGIN + us * 1_000);
    let (process, gil) = (ProcessKey(0), GilKey(0));
    let (holder, sleeper, other) = (ThreadKey(0), ThreadKey(1), ThreadKey(2));
    let mut events: Vec<(u64, What)> = vec![
        (0, What::CaptureStarted(Box::new(CaptureInfo { mode: Mode::Fused, ..info(Ns::MILLISECOND) }))),
        (0, What::ProcessFound { process, info: Box::new(target()) }),
        (0, What::GilFound { gil, process, switch_interval: ms(5) }),
        (0, What::InterpreterFound { process, interpreter: InterpreterId(0), gil: Some(gil) }),
    ];
    for thread in [holder, sleeper, other] {
        let tid = Some(Tid(100 + thread.0));
        let info = ThreadInfo { process, tid, name: String::new(), role: Role::Python, started: at(0) };
        events.push((0, What::ThreadFound { thread, info: Box::new(info) }));
        events.push((0, What::ThreadJoined { thread, interpreter: InterpreterId(0) }));
        if thread != other || taker == Told::Yes {
            events.push((1, What::SwitchesBegin { thread }));
        }
    }
    let sample = |thread, switch_number| {
        let hold = Hold::By { thread, placement: None };
        What::GilSample(GilSample { gil, hold, switch_number, waiters: Some(0), drop_request: DropRequest::Unknown })
    };
    let run = |thread, from, to| {
        [(from, What::SwitchedIn { thread, cpu: Cpu(0) }), (to, What::SwitchedOut { thread, how: Departure::Asleep })]
    };
    events.extend([(1_000, sample(holder, 1)), (2_000, sample(holder, 1))]);
    events.extend(run(holder, 1_500, 2_500));
    events.extend(run(sleeper, 2_050, 2_060));
    events.push((2_530, What::SwitchedIn { thread: sleeper, cpu: Cpu(1) }));
    if taker == Told::Yes {
        // It was asleep before the GIL was held, and on a core first.
        events.extend(run(other, 2_100, 2_110));
        events.push((2_505, What::SwitchedIn { thread: other, cpu: Cpu(0) }));
    }
    events.push((3_000, sample(other, 2)));
    let mut events: Vec<Event> = events.into_iter().map(|(us, what)| Event { at: at(us), what }).collect();
    events.sort_by_key(|event| event.at);
    snapshot(&events)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

#[test]
fn who_wakes_up_by_chance_has_not_waited_for_what_an_unfollowed_thread_took() {
    let waits_of = |taker| {
        let snapshot = a_take_and_a_chance(taker);
        snapshot.processes[0].threads.iter().map(|thread| thread.waits.count()).collect::<Vec<_>>()
    };
    assert_eq!(waits_of(Told::Yes), [0, 0, 1], "the taker was told of, and was first");
    assert_eq!(waits_of(Told::No), [0, 0, 0]);
}
