//! Where waiters want the GIL back: samples stand for the inverse of their chance, so the shares are those of the waiting,
//! however many wait beside, and for however short.

use std::collections::BTreeMap;

use gilscope::event::*;
use gilscope::findings::Allowed;
use gilscope::instruments::draw;
use gilscope::model::Model;
use gilscope::model::snapshot::{Basis, BlameWaiter, Snapshot};
use gilscope::report::{Color, TextOptions, json, text};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::blame::{Teller, by};

const EVERY: Ns = Ns::from_millis(4);

fn fold(told: &Teller) -> Snapshot {
    let mut model = Model::new();
    told.events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

fn sampled(told: &mut Teller, thread: u32, stack: Option<u32>, stands_for: Ns) {
    let (gil, thread, instant) = (GilKey(0), ThreadKey(thread), told.at);
    told.tell(What::WaiterSampled { gil, thread, instant, stack: stack.map(StackKey), stands_for });
}

fn of(snapshot: &Snapshot, thread: u32) -> &BlameWaiter {
    snapshot.processes[0].blame.waiters.iter().find(|waiter| waiter.thread == ThreadKey(thread)).unwrap()
}

fn shares(snapshot: &Snapshot, thread: u32) -> BTreeMap<String, f64> {
    let waiter = of(snapshot, thread);
    let name = |share: &gilscope::model::snapshot::BlameShare| {
        share.stack.first().map_or_else(String::new, |frame| frame.function.clone())
    };
    waiter.shares.iter().map(|share| (name(share), share.time.share_of(waiter.time).unwrap())).collect()
}

/// The parts of every waiter add up to what it has lost.
#[track_caller]
fn adds_up(snapshot: &Snapshot) {
    for process in &snapshot.processes {
        for thread in &process.threads {
            let own = process.blame.waiters.iter().filter(|waiter| waiter.thread == thread.key);
            let sum: Ns = own.flat_map(|waiter| &waiter.shares).map(|share| share.time).sum();
            // Many that have ended are not told apart.
            let is_joined = thread.end.is_some() && sum == Ns::ZERO;
            assert!(is_joined || sum == thread.lost, "{:?}", process.blame.waiters);
        }
    }
}

/// Thread 0 waits at two places, half of its waiting each: alone for 40 ms at a time, and for 1 ms in a crowd of six. Of those
/// in a crowd it is one in six that is drawn.
#[test]
fn a_crowd_hides_nobody() {
    const CROWD: [u32; 6] = [0, 2, 3, 4, 5, 6];
    let mut told = Teller::new(8);
    told.stacks(&["alone", "in a crowd"]);
    let mut random = fastrand::Rng::with_seed(9);
    let (mut count, mut next) = ([0u32; 2], 0.0);
    for ms in 0..60_000u64 {
        // 40 ms alone, then 40 waits of 1 ms with as long in between.
        let phase = ms % 120;
        let waiting: &[u32] = match phase {
            0..40 => &[0],
            _ if phase % 2 == 0 => &CROWD,
            _ => &[],
        };
        told.tick(by(1), ms / 2 + 1, waiting);
        while next < (ms + 1) as f64 {
            let waits = |index: usize| waiting.contains(&(index as u32)).then_some(());
            if let Some(drawn) = draw(&mut random, 8, Some(waiting.len() as u32), waits) {
                let stack = u32::from(phase >= 40);
                if drawn.index == 0 {
                    count[stack as usize] += 1;
                }
                sampled(&mut told, drawn.index as u32, Some(stack), drawn.stands_for(EVERY));
            }
            next -= EVERY.0 as f64 / 1e6 * (1.0 - random.f64()).ln();
        }
    }
    let snapshot = fold(&told);
    adds_up(&snapshot);
    let shares = shares(&snapshot, 0);
    // Some 800 samples in the crowd, of 5,000: the standard error is about a point.
    assert!((shares["alone"] - 0.5).abs() < 0.05, "{shares:?} of {count:?}");
    assert!(count[0] > 3 * count[1], "without weights it would be another answer: {count:?}");
    // What the samples stand for is the waiting itself.
    let stands_for = |thread: u32| {
        let of_it =
            |event: &&Event| matches!(event.what, What::WaiterSampled { thread: t, .. } if t == ThreadKey(thread));
        let weight = |event: &Event| match event.what {
            What::WaiterSampled { stands_for, .. } => stands_for.as_secs_f64(),
            _ => 0.0,
        };
        told.events.iter().filter(of_it).map(weight).sum::<f64>()
    };
    for (thread, seconds) in CROWD.into_iter().zip([40.0, 20.0, 20.0, 20.0, 20.0, 20.0]) {
        let got = stands_for(thread);
        assert!((got / seconds - 1.0).abs() < 0.2, "{thread}: {got} s for {seconds}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whoever waits beside whom, and however wrong the number expected is: each waiter's samples stand for the same time.
    #[test]
    fn what_a_draw_stands_for_is_unbiased(
        waits in proptest::collection::vec(any::<bool>(), 1..24),
        expected in proptest::option::of(0u32..40),
        seed in any::<u64>(),
    ) {
        const DRAWS: u32 = 20_000;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sums = vec![0.0; waits.len()];
        let mut largest: f64 = 1.0;
        for _ in 0..DRAWS {
            if let Some(drawn) = draw(&mut random, waits.len(), expected, |index| waits[index].then_some(())) {
                let stands_for = drawn.stands_for(EVERY).0 as f64 / EVERY.0 as f64;
                sums[drawn.index] += stands_for;
                largest = largest.max(stands_for);
            }
        }
        for (index, sum) in sums.iter().enumerate() {
            let wanted = if waits[index] { 1.0 } else { 0.0 };
            let mean = sum / f64::from(DRAWS);
            // The variance of one is at most its largest value times its mean.
            let error = (largest / f64::from(DRAWS)).sqrt();
            prop_assert!((mean - wanted).abs() <= 6.0 * error * wanted, "{index}: {mean} for {wanted} of {waits:?}");
        }
    }

    /// Keys that were never defined, weights beyond all measure, threads that are not there.
    #[test]
    fn hostile_samples_change_no_sum(
        what in proptest::collection::vec((any::<u32>(), any::<u64>(), proptest::option::of(0u32..90)), 0..200)
    ) {
        let mut told = Teller::new(2);
        told.stacks(&["a", "b", "c"]);
        for (key, stands_for, stack) in what {
            told.tick(by(1), 1, &[0]);
            let (gil, thread) = (GilKey(key % 2), ThreadKey(key % 4));
            let instant = MonoNs(u64::from(key));
            told.tell(What::WaiterSampled { gil, thread, instant, stack: stack.map(StackKey), stands_for: Ns(stands_for) });
        }
        let snapshot = fold(&told);
        adds_up(&snapshot);
        prop_assert!(snapshot.processes[0].blame.waiters.iter().all(|waiter| waiter.shares.len() <= 50));
    }
}

#[test]
fn what_was_not_found_out_keeps_its_weight_and_few_samples_say_nothing() {
    let mut told = Teller::new(2);
    told.stacks(&["here"]);
    for n in 0..100 {
        told.tick(by(1), 1, &[0]);
        if n % 10 == 0 {
            sampled(&mut told, 0, (n % 40 != 0).then_some(0), EVERY);
        }
        if n == 35 {
            let early = fold(&told);
            assert_eq!(of(&early, 0).shares[0].basis, Basis::Unsampled, "four samples");
            adds_up(&early);
        }
    }
    let snapshot = fold(&told);
    adds_up(&snapshot);
    let blame = &snapshot.processes[0].blame;
    assert_eq!((blame.waiter_samples, blame.waiters_rejected), (7, 3));
    let shares = shares(&snapshot, 0);
    assert!((shares["here"] - 0.7).abs() < 0.01 && (shares[""] - 0.3).abs() < 0.01, "{shares:?}");
}

#[test]
fn reports_say_where_it_is_wanted_back() {
    let mut told = Teller::new(2);
    told.stacks(&["reply", "poll\u{1b}[31m"]);
    for n in 0..100u32 {
        told.tick(by(1), 1, &[0]);
        if n % 5 == 0 {
            sampled(&mut told, 0, Some(u32::from(n % 20 == 0)), EVERY);
        }
    }
    let snapshot = fold(&told);
    let document = json(&snapshot, Allowed::NONE).unwrap();
    let process = &document["processes"][0];
    let listed = process["waiter_stacks"].as_array().unwrap();
    assert_eq!(listed[0]["stack"], serde_json::json!(["app.py:reply:7"]));
    assert_eq!((&listed[0]["waiter"], &listed[0]["samples"]), (&0.into(), &15.into()));
    let sum: u64 = listed.iter().map(|entry| entry["ns"].as_u64().unwrap()).sum();
    assert_eq!(Some(sum), process["threads"][0]["lost_ns"].as_u64());
    assert_eq!(process["capture"]["waiter_samples"], 20);
    let shown = text(&snapshot, &TextOptions { width: 100, color: Color::Never, allowed: Allowed::NONE });
    assert!(shown.contains("wants it back in   75.0 % reply in app.py (n=15)"), "{shown}");
    assert!(shown.contains("20 of waiters") && !shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn threads_that_are_gone_are_forgotten() {
    let mut told = Teller::new(1);
    told.stacks(&["here"]);
    for born in 1..9_001u32 {
        told.born(born);
        told.tick(by(0), u64::from(born) * 2, &[born]);
        sampled(&mut told, born, Some(0), EVERY);
        told.tick(by(born), u64::from(born) * 2 + 1, &[]);
        told.tell(What::ThreadEnded { thread: ThreadKey(born) });
    }
    let snapshot = fold(&told);
    adds_up(&snapshot);
    let process = &snapshot.processes[0];
    assert!(process.folded_threads > 0 && process.blame.waiters.len() <= process.threads.len());
}
