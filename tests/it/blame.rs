//! Who made whom wait, against a simulated GIL: every column adds up to the time lost, the parts are the truth's, and the
//! shares of functions are right whatever the lengths of their holds and the rate of sampling.

use std::collections::BTreeMap;

use gilscope::event::*;
use gilscope::model::Model;
use gilscope::model::blame::PAIRS_KEPT;
use gilscope::model::snapshot::{Basis, BlamePair, Blamed, ProcessFigures, Snapshot};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::sampling::{ORIGIN, Sampling, info, target};
use crate::simulator::{Interval, Script, Step, Truth, World};
use crate::switches::{fused, worlds};

fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Snapshot {
    let mut model = Model::new();
    events.into_iter().for_each(|event| model.apply(event));
    model.snapshot()
}

/// Every waiter's parts add up to what it has lost, and every pair's shares to the pair.
#[track_caller]
fn adds_up(what: &str, snapshot: &Snapshot) {
    for process in &snapshot.processes {
        let mut columns: BTreeMap<Option<ThreadKey>, Ns> = BTreeMap::new();
        for pair in &process.blame.pairs {
            *columns.entry(pair.waiter).or_default() += pair.time;
            assert_eq!(pair.time, pair.shares.iter().map(|share| share.time).sum(), "{what}: {pair:?}");
        }
        for thread in &process.threads {
            let column = columns.get(&Some(thread.key)).copied().unwrap_or_default();
            let is_joined = thread.end.is_some() && column < thread.lost;
            assert!(is_joined || column == thread.lost, "{what}: {:?} of {:#?}", thread.key, process.blame.pairs);
        }
        // What is missing of many that have ended is with the others.
        let listed: Ns = process.threads.iter().map(|thread| thread.lost).sum();
        assert!(columns.values().copied().sum::<Ns>() >= listed, "{what}: {:#?}", process.blame.pairs);
    }
}

fn time(process: &ProcessFigures, waiter: u32, holder: Blamed) -> f64 {
    let of = |pair: &&BlamePair| pair.waiter == Some(ThreadKey(waiter)) && pair.holder == holder;
    process.blame.pairs.iter().filter(of).map(|pair| pair.time.as_secs_f64()).sum()
}

/// How long `waiter` really waited while `holder` held the GIL.
fn truth_of(truth: &Truth, waiter: usize, holder: usize) -> f64 {
    let mut holds: Vec<&Interval> = truth.holds.iter().filter(|hold| hold.thread == holder).collect();
    holds.sort_unstable_by_key(|hold| hold.from);
    let overlap = |wait: &Interval| -> u64 {
        let first = holds.partition_point(|hold| hold.to <= wait.from);
        let within = holds[first..].iter().take_while(|hold| hold.from < wait.to);
        within.map(|hold| hold.to.min(wait.to) - hold.from.max(wait.from)).sum()
    };
    truth.waits.iter().filter(|wait| wait.thread == waiter).map(overlap).sum::<u64>() as f64 / 1e9
}

#[test]
fn columns_add_up_to_the_time_lost_at_every_instant() {
    for (name, truth) in worlds() {
        for events in [Sampling::at(Ns::MILLISECOND, 3).look(&truth), fused(&Sampling::at(Ns::MILLISECOND, 3), &truth)]
        {
            let mut model = Model::new();
            for (n, event) in events.iter().enumerate() {
                model.apply(event);
                if n % 4_999 == 0 {
                    adds_up(name, &model.snapshot());
                }
            }
            adds_up(name, &model.snapshot());
        }
    }
}

#[test]
fn parts_are_what_happened() {
    for (name, truth) in worlds() {
        let threads = truth.states.len();
        let whole: f64 = (0..threads).flat_map(|thread| truth.waits_of(thread)).sum::<u64>() as f64 / 1e9;
        let sampling = Sampling::at(Ns::MILLISECOND, 3);
        for (how, events, tolerance) in
            [("sampled", sampling.look(&truth), 0.05), ("fused", fused(&sampling, &truth), 0.025)]
        {
            let snapshot = fold(&events);
            let process = &snapshot.processes[0];
            for waiter in 0..threads {
                for holder in (0..threads).filter(|holder| *holder != waiter) {
                    let got = time(process, waiter as u32, Blamed::Thread(ThreadKey(holder as u32)));
                    let wanted = truth_of(&truth, waiter, holder);
                    assert!(
                        (got - wanted).abs() <= tolerance * whole + 0.02,
                        "{name}, {how}: {waiter} behind {holder}: {got:.3} s for {wanted:.3} of {whole:.3}"
                    );
                }
            }
        }
    }
}

/// A waiter that is woken and queues for a core waits behind nobody.
#[test]
fn a_free_gil_is_nobodys_fault() {
    let mut told = Teller::new(2);
    for n in 0..400u64 {
        let hold = if n % 2 == 0 { Hold::By { thread: ThreadKey(1), placement: None } } else { Hold::Free };
        told.tick(hold, n / 2 + 1, &[0]);
    }
    let snapshot = fold(&told.events);
    adds_up("half free", &snapshot);
    let process = &snapshot.processes[0];
    let free = time(process, 0, Blamed::Free);
    assert!((free - 0.2).abs() < 0.01, "{free}: {:?}", process.blame.pairs);
}

/// Ticks every millisecond of a process with so many threads.
pub struct Teller {
    pub events: Vec<Event>,
    pub at: MonoNs,
    waits: Vec<u32>,
}

impl Teller {
    pub fn new(threads: u32) -> Teller {
        let at = MonoNs(ORIGIN);
        let mut told = Teller { events: Vec::new(), at, waits: Vec::new() };
        told.tell(What::CaptureStarted(Box::new(info(Ns::MILLISECOND))));
        told.tell(What::ProcessFound { process: ProcessKey(0), info: Box::new(target()) });
        told.tell(What::GilFound { gil: GilKey(0), process: ProcessKey(0), switch_interval: Ns::from_millis(5) });
        told.tell(What::InterpreterFound {
            process: ProcessKey(0),
            interpreter: InterpreterId(0),
            gil: Some(GilKey(0)),
        });
        (0..threads).for_each(|thread| told.born(thread));
        told
    }

    pub fn born(&mut self, thread: u32) {
        let info = ThreadInfo {
            process: ProcessKey(0),
            tid: Some(Tid(100 + thread)),
            name: format!("t{thread}"),
            role: Role::Python,
            started: MonoNs(ORIGIN),
        };
        self.tell(What::ThreadFound { thread: ThreadKey(thread), info: Box::new(info) });
        self.tell(What::ThreadJoined { thread: ThreadKey(thread), interpreter: InterpreterId(0) });
    }

    pub fn tell(&mut self, what: What) {
        self.events.push(Event { at: self.at, what });
    }

    pub fn tick(&mut self, hold: Hold, switch_number: u64, waiting: &[u32]) {
        self.at = self.at + Ns::MILLISECOND;
        for thread in std::mem::replace(&mut self.waits, waiting.to_vec()) {
            if !waiting.contains(&thread) {
                self.tell(relation(thread, Relation::Apart));
            }
        }
        waiting.iter().for_each(|thread| self.tell(relation(*thread, Relation::Waiting)));
        self.tell(What::GilSample(GilSample {
            gil: GilKey(0),
            hold,
            switch_number,
            waiters: Some(waiting.len() as u32),
            drop_request: DropRequest::Absent,
        }));
    }

    pub fn stacks(&mut self, functions: &[&str]) {
        for (n, function) in functions.iter().enumerate() {
            let (frame, stack) = (FrameKey(n as u32), StackKey(n as u32));
            let info = Frame { file: "app.py".to_owned(), function: (*function).to_owned(), line: 7 };
            self.tell(What::FrameFound { frame, info: Box::new(info) });
            self.tell(What::StackFound { stack, frames: vec![frame] });
        }
    }

    pub fn sample(&mut self, stack: Option<u32>, cause: SampleCause) {
        let (thread, instant) = (ThreadKey(1), self.at);
        self.tell(What::StackSampled { gil: GilKey(0), thread, instant, stack: stack.map(StackKey), cause });
    }
}

fn relation(thread: u32, relation: Relation) -> What {
    What::Relation { thread: ThreadKey(thread), gil: GilKey(0), relation }
}

pub fn by(thread: u32) -> Hold {
    Hold::By { thread: ThreadKey(thread), placement: None }
}

fn shares(process: &ProcessFigures) -> BTreeMap<String, (f64, u32, Basis)> {
    let pair = process.blame.pairs.iter().find(|pair| pair.holder == Blamed::Thread(ThreadKey(1))).unwrap();
    let name = |share: &gilscope::model::snapshot::BlameShare| {
        share.stack.first().map_or_else(String::new, |frame| frame.function.clone())
    };
    let share = |time: Ns| time.share_of(pair.time).unwrap();
    pair.shares.iter().map(|it| (name(it), (share(it.time), it.samples, it.basis))).collect()
}

/// For a quarter of the samples each stands for four times as much: both functions had half of the time.
#[test]
fn a_sample_stands_for_the_time_between_two_at_its_rate() {
    let mut told = Teller::new(2);
    told.stacks(&["early", "late"]);
    for n in 0..2_000u64 {
        told.tick(by(1), 1, &[0]);
        let (stack, every) = if n < 1_000 { (0, 4) } else { (1, 16) };
        if n % every == 0 {
            told.sample(Some(stack), SampleCause::Random { every: Ns::from_millis(every) });
        }
    }
    let snapshot = fold(&told.events);
    adds_up("two rates", &snapshot);
    let process = &snapshot.processes[0];
    assert_eq!((process.blame.samples, process.blame.rejected), (312, 0));
    let shares = shares(process);
    let (early, late) = (shares["early"], shares["late"]);
    // The samples of the last 20 ms wait until the waits of their instants are known.
    assert!((early.0 - 0.5).abs() < 0.02 && early.1 == 250, "{shares:?}");
    assert!((late.0 - 0.5).abs() < 0.02 && late.2 == Basis::Random, "{shares:?}");
}

/// Holds of 1 ms and of 50 ms, half of the time each: whatever their lengths, instants at random fall into each by its time.
#[test]
fn long_holds_get_no_more_than_their_time() {
    let short = [Step::Bytecode(Ns::MILLISECOND), Step::Sleep(Ns::from_micros(20))];
    let steps: Vec<Step> =
        short.iter().copied().cycle().take(100).chain([Step::HoldInC(Ns::from_millis(50)), short[1]]).collect();
    let scripts = [Script::new(&steps), Script::new(&steps)];
    let truth = World::play(11, Ns::from_millis(60_000), &scripts);
    let mut events = Sampling::at(Ns::MILLISECOND, 5).look(&truth);
    let mut random = fastrand::Rng::with_seed(3);
    let (mut at, mut samples) = (0.0, Vec::new());
    let every = Ns::from_millis(8);
    let names = Teller::new(0);
    loop {
        at -= every.0 as f64 * (1.0 - random.f64()).ln();
        let instant = at as u64;
        if instant + 10_000_000 >= truth.end {
            break;
        }
        let waits = truth.waits.iter().any(|wait| wait.from <= instant && instant < wait.to);
        let hold = truth.holds.iter().find(|hold| hold.from <= instant && instant < hold.to).filter(|_| waits);
        let Some(hold) = hold else { continue };
        let is_long = truth.in_c[hold.thread].iter().any(|c| c.from <= instant && instant < c.to);
        let what = What::StackSampled {
            gil: GilKey(0),
            thread: ThreadKey(hold.thread as u32),
            instant: MonoNs(ORIGIN + instant),
            stack: Some(StackKey(u32::from(is_long))),
            cause: SampleCause::Random { every },
        };
        samples.push(Event { at: MonoNs(ORIGIN + instant), what });
    }
    let mut defined = Teller { events: Vec::new(), at: MonoNs(ORIGIN), ..names };
    defined.stacks(&["short", "long"]);
    events.extend(samples);
    events.sort_by_key(|event| (event.at, event.what == What::CaptureEnded));
    events.splice(1..1, defined.events);
    let snapshot = fold(&events);
    adds_up("1 and 50 ms", &snapshot);
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for share in snapshot.processes[0].blame.pairs.iter().flat_map(|pair| &pair.shares) {
        let name = share.stack.first().map_or_else(String::new, |frame| frame.function.clone());
        *sums.entry(name).or_default() += share.time.as_secs_f64();
    }
    // What really was waited for, by function.
    let all: f64 = truth_of(&truth, 0, 1) + truth_of(&truth, 1, 0);
    let in_c =
        |holder: usize| Truth { waits: truth.waits.clone(), holds: truth.in_c[holder].clone(), ..Truth::default() };
    let wanted: f64 = truth_of(&in_c(1), 0, 1) + truth_of(&in_c(0), 1, 0);
    let share = sums["long"] / (sums["long"] + sums["short"]);
    // About 5,000 samples: three standard errors are 2.1 points.
    assert!((share - wanted / all).abs() < 0.022, "{share} for {} of {sums:?}", wanted / all);
}

#[test]
fn a_long_hold_names_only_where_there_are_no_shares() {
    let with = |random: usize| {
        let mut told = Teller::new(2);
        told.stacks(&["random", "named"]);
        for n in 0..200 {
            told.tick(by(1), 1, &[0]);
            if n < random {
                told.sample(Some(0), SampleCause::Random { every: Ns::from_millis(8) });
            }
        }
        told.sample(Some(1), SampleCause::LongHold);
        (0..100).for_each(|_| told.tick(by(1), 1, &[0]));
        let snapshot = fold(&told.events);
        adds_up("a long hold", &snapshot);
        shares(&snapshot.processes[0])
    };
    assert_eq!(with(2), BTreeMap::from([("named".to_owned(), (1.0, 2, Basis::LongHold))]));
    assert_eq!(with(20), BTreeMap::from([("random".to_owned(), (1.0, 20, Basis::Random))]));
}

#[test]
fn what_was_not_found_out_is_unsampled_and_keeps_its_weight() {
    let mut told = Teller::new(2);
    told.stacks(&["seen"]);
    for n in 0..1_000 {
        told.tick(by(1), 1, &[0]);
        if n % 10 == 0 && n < 900 {
            let stack = if n % 40 == 0 { None } else { Some(0) };
            told.sample(stack, SampleCause::Random { every: Ns::from_millis(10) });
        }
    }
    let snapshot = fold(&told.events);
    let process = &snapshot.processes[0];
    assert_eq!((process.blame.samples, process.blame.rejected), (67, 23));
    let shares = shares(process);
    assert!((shares["seen"].0 - 67.0 / 90.0).abs() < 1e-6, "{shares:?}");
    assert_eq!((shares[""].1, shares[""].2), (23, Basis::Unsampled));
}

/// A wait that goes on while two others pass the GIL to and fro far longer than the log of holds reaches.
#[test]
fn a_wait_longer_than_the_log_is_divided_all_the_same() {
    let mut told = Teller::new(3);
    for n in 0..40_000u64 {
        told.tick(by(1 + (n % 2) as u32), n, &[0]);
    }
    let snapshot = fold(&told.events);
    adds_up("a starved thread", &snapshot);
    for holder in [1, 2] {
        let got = time(&snapshot.processes[0], 0, Blamed::Thread(ThreadKey(holder)));
        assert!((got - 20.0).abs() < 0.01, "{holder}: {got}");
    }
    // It ends after all.
    told.tick(by(0), 50_000, &[]);
    told.tick(by(0), 50_000, &[]);
    adds_up("it is over", &fold(&told.events));
}

#[test]
fn very_many_pairs_are_merged_and_nothing_is_lost() {
    let threads = 120u32;
    let mut told = Teller::new(threads);
    for n in 0..6_000u64 {
        let holder = (n % u64::from(threads)) as u32;
        let waiting: Vec<u32> = (0..threads).filter(|thread| *thread != holder).collect();
        told.tick(by(holder), n + 1, &waiting);
    }
    let snapshot = fold(&told.events);
    adds_up("everybody behind everybody", &snapshot);
    let pairs = &snapshot.processes[0].blame.pairs;
    assert!(pairs.len() <= PAIRS_KEPT * 5 / 4 + 3 * threads as usize, "{}", pairs.len());
    assert!(pairs.iter().any(|pair| pair.holder == Blamed::Others));
}

#[test]
fn threads_that_are_no_longer_listed_are_others() {
    let mut told = Teller::new(1);
    // A server with a thread for each request: each waits for the main one, and is waited for.
    for born in 1..9_001u32 {
        let n = u64::from(born);
        told.born(born);
        told.tick(by(0), 2 * n, &[born]);
        told.tick(by(born), 2 * n + 1, &[0]);
        told.tell(What::ThreadEnded { thread: ThreadKey(born) });
    }
    let snapshot = fold(&told.events);
    adds_up("a thread for each request", &snapshot);
    let process = &snapshot.processes[0];
    let listed: Vec<ThreadKey> = process.threads.iter().map(|thread| thread.key).collect();
    assert!(process.folded_threads > 0);
    for pair in &process.blame.pairs {
        assert!(pair.waiter.is_none_or(|waiter| listed.contains(&waiter)), "{pair:?}");
        assert!(!matches!(pair.holder, Blamed::Thread(holder) if !listed.contains(&holder)), "{pair:?}");
    }
    let main = process.threads.iter().find(|thread| thread.key == ThreadKey(0)).unwrap();
    assert!(time(process, 0, Blamed::Others) > 0.4 * main.lost.as_secs_f64());
}

/// Behind each of many threads that live for a moment there are too few samples to say what it did; behind all of them not.
#[test]
fn samples_of_many_short_lived_threads_count_together() {
    let mut told = Teller::new(1);
    told.stacks(&["parse", "compress"]);
    for born in 1..2_001u32 {
        told.born(born);
        // One in four does the one thing, the others another; each is sampled once.
        for ms in 0..4u32 {
            told.tick(by(born), 2 * u64::from(born), &[0]);
            if (born + ms) % 4 == 0 {
                let (thread, instant, stack) = (ThreadKey(born), told.at, Some(StackKey(u32::from(born % 4 != 0))));
                let cause = SampleCause::Random { every: Ns::from_millis(4) };
                told.tell(What::StackSampled { gil: GilKey(0), thread, instant, stack, cause });
            }
        }
        told.tick(by(0), 2 * u64::from(born) + 1, &[]);
        told.tell(What::ThreadEnded { thread: ThreadKey(born) });
    }
    let snapshot = fold(&told.events);
    adds_up("many short-lived threads", &snapshot);
    let process = &snapshot.processes[0];
    let of_main = |pair: &&BlamePair| pair.waiter == Some(ThreadKey(0)) && pair.holder == Blamed::Others;
    let others = process.blame.pairs.iter().find(of_main).expect("most of them are gone");
    let share = |function: &str| {
        let of = others.shares.iter().filter(|share| share.stack.first().is_some_and(|f| f.function == function));
        of.map(|share| share.time.as_secs_f64()).sum::<f64>() / others.time.as_secs_f64()
    };
    assert!((share("parse") - 0.25).abs() < 0.03, "{}", share("parse"));
    assert!((share("compress") - 0.75).abs() < 0.03, "{}", share("compress"));
}

fn held() -> impl Strategy<Value = Hold> {
    prop_oneof![6 => (0u32..5).prop_map(by), 2 => Just(Hold::Free), 1 => Just(Hold::ByUnknown)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is told, and however much of it is contradictory: columns add up.
    #[test]
    fn columns_add_up_for_any_schedule(
        ticks in proptest::collection::vec(
            (held(), 0u64..4, proptest::collection::vec((0u32..5, 0u8..4), 0..4), 0u64..40, any::<Option<(u8, u8)>>()),
            1..120,
        )
    ) {
        let mut told = Teller::new(5);
        told.stacks(&["a", "b", "c"]);
        let mut switch_number = 0;
        for (hold, handoffs, relations, gap, more) in ticks {
            switch_number += handoffs;
            // Now and then a gap that is not bridged.
            told.at = told.at + Ns::from_micros(if gap == 0 { 60_000 } else { gap * 50 });
            for (thread, to) in relations {
                let to = [Relation::Waiting, Relation::Apart, Relation::HandingOver, Relation::Unknown][usize::from(to)];
                told.tell(relation(thread, to));
            }
            told.tell(What::GilSample(GilSample {
                gil: GilKey(0), hold, switch_number, waiters: None, drop_request: DropRequest::Absent,
            }));
            match more {
                Some((0..20, thread)) => told.tell(What::ThreadEnded { thread: ThreadKey(u32::from(thread % 5)) }),
                Some((20..120, stack)) => told.sample(
                    Some(u32::from(stack % 4)).filter(|stack| *stack < 3),
                    SampleCause::Random { every: Ns::from_millis(8) },
                ),
                Some((120..200, thread)) => {
                    told.tell(What::SwitchesBegin { thread: ThreadKey(u32::from(thread % 5)) });
                    told.tell(What::SwitchedIn { thread: ThreadKey(u32::from(thread % 5)), cpu: Cpu(0) });
                }
                Some((200.., thread)) => {
                    told.tell(What::SwitchedOut { thread: ThreadKey(u32::from(thread % 5)), how: Departure::Asleep });
                }
                None => {}
            }
            adds_up("any schedule", &fold(&told.events));
        }
        told.tell(What::ProcessEnded { process: ProcessKey(0), ending: Ending::Exited });
        adds_up("at its end", &fold(&told.events));
    }

    /// Stacks are hostile as well: keys that were never defined, frames without names, weights beyond all measure.
    #[test]
    fn hostile_stacks_change_no_column(
        what in proptest::collection::vec((any::<u32>(), any::<u64>(), proptest::option::of(0u32..4), ".{0,400}"), 0..60)
    ) {
        let mut told = Teller::new(2);
        for (key, every, stack, text) in what {
            told.tick(by(1), 1, &[0]);
            let info = Frame { file: text.clone(), function: text, line: key };
            told.tell(What::FrameFound { frame: FrameKey(key % 7), info: Box::new(info) });
            told.tell(What::StackFound { stack: StackKey(key % 5), frames: (0..key % 300).map(FrameKey).collect() });
            let (gil, thread) = (GilKey(key % 2), ThreadKey(key % 4));
            let (cause, instant) = (SampleCause::Random { every: Ns(every) }, MonoNs(ORIGIN + u64::from(key)));
            told.tell(What::StackSampled { gil, thread, instant, stack: stack.map(StackKey), cause });
        }
        (0..40).for_each(|_| told.tick(by(1), 1, &[0]));
        let snapshot = fold(&told.events);
        adds_up("hostile stacks", &snapshot);
        let shares = snapshot.processes[0].blame.pairs.iter().flat_map(|pair| &pair.shares);
        for frame in shares.flat_map(|share| share.stack.iter()) {
            prop_assert!(frame.file.len() <= MAX_NAME + 3 && frame.function.len() <= MAX_NAME + 3);
        }
    }
}
