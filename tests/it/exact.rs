//! Hits of watchpoints on a simulated GIL, and what the model makes of them: every hold and wait in a window, exactly.

use gilscope::event::{Address, Cpu, Event, GilKey, Mode, Refusal, ThreadKey, What, WindowEnd};
use gilscope::model::Model;
use gilscope::model::snapshot::{Distribution, ExactFigures, GilFigures, Snapshot, Source};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::sampling::{ORIGIN, Sampling};
use crate::simulator::{Script, Step, Truth, World};

const GIL: GilKey = GilKey(0);
/// Builds have one or two places that take, and one or two that drop.
const TAKES: [u64; 2] = [0x1000, 0x1100];
const DROPS: [u64; 2] = [0x2000, 0x2100];
const ASKS: u64 = 0x7000;
const WAKES: u64 = 0x8000;

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

/// The order of hits at one instant: whoever asks has found it held, and what is taken was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Ask,
    Drop,
    Take,
    Wake,
}

/// All hits of `truth`, in their order.
fn hits(truth: &Truth) -> Vec<Event> {
    let mut all: Vec<(u64, Of, usize)> = Vec::new();
    for hold in &truth.holds {
        all.push((hold.from, Of::Take, hold.thread));
        if hold.to < truth.end {
            all.push((hold.to, Of::Drop, hold.thread));
        }
    }
    for wait in &truth.waits {
        all.push((wait.from, Of::Ask, wait.thread));
        let blips = truth.blips[wait.thread].iter().filter(|at| (wait.from + 1..wait.to).contains(*at));
        all.extend(blips.map(|at| (*at, Of::Ask, wait.thread)));
    }
    all.sort_unstable();
    // The dropper wakes a waiter before anybody takes it.
    let wakes: Vec<(u64, Of, usize)> = all
        .windows(2)
        .filter(|pair| pair[0].1 == Of::Drop && pair[1].1 == Of::Take && pair[1].0 > pair[0].0 + 1)
        .map(|pair| (pair[0].0 + 1, Of::Wake, pair[0].2))
        .collect();
    all.extend(wakes);
    all.sort_unstable();
    all.into_iter()
        .enumerate()
        .map(|(n, (at, of, thread))| {
            let (thread, cpu) = (ThreadKey(thread as u32), Cpu(thread as u16 % 2));
            let lock = |ip| What::LockWritten { gil: GIL, thread, ip: Address(ip), cpu };
            let cond = |ip| What::CondWritten { gil: GIL, thread, ip: Address(ip), cpu };
            let what = match of {
                Of::Take => lock(TAKES[n / 7 % 2]),
                Of::Drop => lock(DROPS[n / 5 % 2]),
                Of::Ask => cond(ASKS),
                Of::Wake => cond(WAKES),
            };
            Event { at: MonoNs(ORIGIN + at), what }
        })
        .collect()
}

/// The sampler's events, and the hits of `windows` in virtual time.
fn observed(truth: &Truth, windows: &[(u64, u64)], hits: &[Event]) -> Vec<Event> {
    let mut all: Vec<Event> = Sampling::at(Ns::MILLISECOND, 5).look(truth);
    for event in &mut all {
        if let What::CaptureStarted(info) = &mut event.what {
            info.mode = Mode::Exact;
        }
    }
    let end = all.pop().unwrap();
    for (from, to) in windows {
        let (from, to) = (MonoNs(ORIGIN + from), MonoNs(ORIGIN + to));
        all.push(Event { at: from, what: What::WindowBegins { gil: GIL } });
        all.extend(hits.iter().filter(|hit| hit.at >= from && hit.at <= to).cloned());
        all.push(Event { at: to, what: What::WindowEnds { gil: GIL, why: WindowEnd::Spent } });
    }
    all.sort_by_key(|event| event.at);
    all.push(end);
    all
}

fn snapshot(events: &[Event]) -> Snapshot {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot()
}

fn figures(snapshot: &Snapshot) -> (&GilFigures, ExactFigures) {
    let process = &snapshot.processes[0];
    (process.interpreters[0].gil.as_deref().unwrap(), process.capture.exact.unwrap())
}

fn worlds() -> Vec<(&'static str, Truth)> {
    let io = |sleep: u64| Script::new(&[Step::Bytecode(Ns::from_micros(30)), Step::Sleep(Ns::from_micros(sleep))]);
    let hog = || Script::new(&[Step::Bytecode(Ns::SECOND)]);
    let play = |seed, scripts: &[Script]| World::play(seed, ms(6_000), scripts);
    vec![
        ("one hog beside I/O", play(1, &[hog(), io(2_000)])),
        ("four hogs beside I/O", play(3, &[hog(), hog(), hog(), hog(), io(7_000)])),
        ("holds of 5 ms", play(4, &vec![Script::new(&[Step::HoldInC(ms(5)), Step::Sleep(ms(4))]); 3])),
        ("nobody else", play(5, &[io(200)])),
        ("short ones", play(6, &[io(150), io(250), io(333)])),
        ("a holder asleep", play(7, &[Script::new(&[Step::HoldAsleep(ms(80)), Step::Sleep(ms(20))]), io(500)])),
    ]
}

fn sum(lengths: &[u64]) -> u64 {
    lengths.iter().sum()
}

/// As long, for all that a histogram of microseconds can tell.
fn as_kept(length: u64) -> u64 {
    length + length / 100 + 1_000
}

/// The longest, as the histogram can tell it.
fn longest(of: &Distribution) -> u64 {
    of.histogram.as_ref().map_or(0, |histogram| histogram.max())
}

#[test]
fn every_hold_and_wait_in_a_window_is_counted_and_measured() {
    for (name, truth) in worlds() {
        let window = (300_000_000, truth.end - 300_000_000);
        let seen = snapshot(&observed(&truth, &[window], &hits(&truth)));
        let (gil, exact) = figures(&seen);
        assert_eq!((gil.holds.source, gil.waits.source, exact.resyncs), (Source::Exact, Source::Exact, 0), "{name}");
        // What comes before the places are learned is left out, and so is what the edges cut; when that was over is
        // known to a tick, for the coverage is of the time since the GIL was found.
        assert!(exact.coverage > 0.85, "{name}: {}", exact.coverage);
        let from = window.1 - (exact.coverage * seen.processes[0].capture.duration.0 as f64) as u64;
        let holds: Vec<u64> =
            truth.holds.iter().filter(|i| i.from >= from && i.to <= window.1).map(|i| i.length()).collect();
        let count = gil.holds.count();
        let blurred = |count: usize| count as u64 / 1_000 + 4;
        assert!(
            count.abs_diff(holds.len() as u64) <= blurred(holds.len()),
            "{name}: {count} holds, in truth {}",
            holds.len()
        );
        // Beside the one that the edge cuts, these are the very ones that ended last.
        let ended: Vec<u64> = truth.holds.iter().filter(|i| i.to <= window.1).map(|i| i.length()).collect();
        let those = sum(&ended[ended.len() - count as usize..]);
        let cut = *truth.holds.iter().map(|i| i.length()).max().as_ref().unwrap();
        assert!((those..=those + cut).contains(&gil.holds.total.0), "{name}: {} of {those}", gil.holds.total);
        let waits: Vec<u64> =
            truth.waits.iter().filter(|i| i.from >= from && i.to <= window.1).map(|i| i.length()).collect();
        // Of each thread, the wait before its first drop is cut.
        let threads = truth.states.len() as u64;
        let count = gil.waits.count();
        assert!(count.abs_diff(waits.len() as u64) <= 2 * threads, "{name}: {count} waits of {}", waits.len());
        let handoffs = truth.handoffs.iter().filter(|(at, _)| (from..=window.1).contains(at)).count() as u64;
        assert!(
            exact.handoffs.abs_diff(handoffs) <= blurred(handoffs as usize),
            "{name}: {} handoffs of {handoffs}",
            exact.handoffs
        );
        let takes = truth.holds.iter().filter(|i| (from..=window.1).contains(&i.from)).count() as u64;
        assert!(exact.takes.abs_diff(takes) <= blurred(takes as usize), "{name}: {} takes of {takes}", exact.takes);
    }
}

/// Between hogs, every handoff is forced; between those that sleep in between, none is.
#[test]
fn forced_drops_are_told_from_voluntary_ones() {
    let hog = || Script::new(&[Step::Bytecode(Ns::SECOND)]);
    for (name, scripts, forced) in [
        ("hogs", vec![hog(), hog(), hog()], 0.95..=1.0),
        ("sleepers", vec![Script::new(&[Step::HoldInC(ms(3)), Step::Sleep(ms(4))]); 3], 0.0..=0.02),
    ] {
        let truth = World::play(11, ms(5_000), &scripts);
        let seen = snapshot(&observed(&truth, &[(0, truth.end)], &hits(&truth)));
        let (gil, exact) = figures(&seen);
        let number = exact.forced_handoffs.unwrap();
        let share = number as f64 / exact.handoffs as f64;
        assert!(forced.contains(&share), "{name}: {number} of {}", exact.handoffs);
        let latency = gil.drop_latency.as_ref().unwrap();
        assert_eq!(latency.count() > 0, name == "hogs" || number > 0, "{name}: {}", latency.count());
    }
}

#[test]
fn the_places_are_learned_also_where_one_thread_is_alone() {
    let (name, truth) = worlds().swap_remove(3);
    assert_eq!(name, "nobody else");
    let windows: Vec<(u64, u64)> =
        (0..60).map(|n| (n * 100_000_000 + 7_000_000, n * 100_000_000 + 27_000_000)).collect();
    let seen = snapshot(&observed(&truth, &windows, &hits(&truth)));
    let (gil, exact) = figures(&seen);
    assert_eq!((exact.windows, exact.resyncs, gil.waits.count()), (60, 0, 0));
    assert!(exact.coverage > 0.15 && exact.coverage <= 0.2, "{}", exact.coverage);
    let real = truth.holds.iter().map(|hold| hold.length()).max().unwrap();
    assert!(longest(&gil.holds) <= as_kept(real), "{} of {real}", longest(&gil.holds));
}

/// A newborn that is not armed yet, or a hit that is lost: it is noticed, counted, and becomes no data.
#[test]
fn a_missing_hit_makes_no_interval() {
    for (name, truth) in worlds() {
        let mut random = fastrand::Rng::with_seed(3);
        let some: Vec<Event> = hits(&truth).into_iter().filter(|_| random.u32(0..100) > 0).collect();
        let seen = snapshot(&observed(&truth, &[(0, truth.end)], &some));
        let (gil, exact) = figures(&seen);
        assert!(exact.resyncs > 0, "{name}");
        // Two misses in a row may join two holds where nobody else took it between them: hardly ever.
        let mut real: Vec<u64> = truth.holds.iter().map(|hold| hold.length()).collect();
        real.sort_unstable();
        let longer = gil.holds.histogram.as_ref().unwrap().count_between(as_kept(real[real.len() - 1]), u64::MAX / 4);
        assert!(longer <= gil.holds.count() / 50, "{name}: {longer} of {}", gil.holds.count());
        assert!(gil.holds.total.0 as f64 <= sum(&real) as f64 * 1.02, "{name}");
    }
}

/// What the windows cause is not the target's: contention that is there only inside of them is not reported.
#[test]
fn contention_is_what_the_sampler_sees_outside_of_the_windows() {
    let (_, truth) = worlds().swap_remove(3);
    let windows: Vec<(u64, u64)> = (0..12).map(|n| (n * 500_000_000, n * 500_000_000 + 100_000_000)).collect();
    let inside = |at: MonoNs| windows.iter().any(|(from, to)| (ORIGIN + from..=ORIGIN + to).contains(&at.0));
    let mut events = observed(&truth, &windows, &hits(&truth));
    for event in &mut events {
        if let What::GilSample(sample) = &mut event.what
            && inside(event.at)
        {
            sample.waiters = Some(1);
        }
    }
    let seen = snapshot(&events);
    let (gil, _) = figures(&seen);
    assert!(gil.contention < 0.001, "{}", gil.contention);
    let perturbation = seen.processes[0].capture.perturbation.unwrap();
    assert_eq!(perturbation.contention, None, "nothing to compare with");
    assert!(perturbation.compared.0 >= ms(1_000) && perturbation.compared.1 >= ms(4_000), "{perturbation:?}");
}

#[test]
fn why_there_is_no_window_is_known_until_there_is_one() {
    let (_, truth) = worlds().swap_remove(0);
    let mut events = observed(&truth, &[(3_000_000_000, 4_000_000_000)], &hits(&truth));
    let at = events.iter().position(|event| event.at.0 >= ORIGIN + 1_000_000_000).unwrap();
    let refused = What::WindowRefused { gil: GIL, why: Refusal::Registers };
    events.insert(at, Event { at: events[at].at, what: refused });
    let then = snapshot(&events[..at + 10]);
    assert_eq!(figures(&then).1.refused, Some(Refusal::Registers));
    assert_eq!(figures(&then).0.holds.source, Source::Sampled);
    assert_eq!(figures(&snapshot(&events)).1.refused, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// Whatever is watched when: no interval is longer than any there was, and all of them together are not more.
    #[test]
    fn windows_anywhere_give_nothing_that_was_not_there(
        world in 0usize..6,
        cuts in proptest::collection::btree_set(0u64..6_000_000_000, 2..20),
    ) {
        let (_, truth) = worlds().swap_remove(world);
        let cuts: Vec<u64> = cuts.into_iter().collect();
        let windows: Vec<(u64, u64)> = cuts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let seen = snapshot(&observed(&truth, &windows, &hits(&truth)));
        let (gil, exact) = figures(&seen);
        let most = |intervals: &[crate::simulator::Interval]| {
            intervals.iter().map(|interval| interval.length()).max().unwrap_or(0)
        };
        prop_assert!(longest(&gil.holds) <= as_kept(most(&truth.holds)) || gil.holds.source != Source::Exact);
        prop_assert!(longest(&gil.waits) <= as_kept(most(&truth.waits)) || gil.waits.source != Source::Exact);
        let covered: u64 = windows.iter().map(|(from, to)| to - from).sum();
        let whole = seen.processes[0].capture.duration;
        prop_assert!(exact.coverage <= covered as f64 / whole.0 as f64 + 1e-3, "{} of {whole}", exact.coverage);
        prop_assert_eq!(exact.resyncs, 0);
        let inside = |i: &&crate::simulator::Interval| windows.iter().any(|(from, to)| i.from >= *from && i.to <= *to);
        if gil.holds.source == Source::Exact {
            prop_assert!(gil.holds.count() as usize <= truth.holds.iter().filter(inside).count());
            prop_assert!(gil.waits.count() as usize <= truth.waits.iter().filter(inside).count());
        }
    }

    /// A recording may say anything.
    #[test]
    fn nonsense_does_no_harm(steps in proptest::collection::vec((0u64..100_000, 0u32..4, 0u64..4, 0u8..5), 0..400)) {
        let truth = World::play(1, ms(50), &vec![Script::new(&[Step::Bytecode(Ns::SECOND)]); 3]);
        let mut all = observed(&truth, &[], &[]);
        let end = all.pop().unwrap();
        let mut at = ORIGIN;
        for (step, thread, ip, kind) in steps {
            at += step;
            let (thread, ip, cpu) = (ThreadKey(thread), Address(ip), Cpu(0));
            let what = match kind {
                0 => What::WindowBegins { gil: GIL },
                1 => What::WindowEnds { gil: GIL, why: WindowEnd::Birth },
                2 => What::CondWritten { gil: GIL, thread, ip, cpu },
                _ => What::LockWritten { gil: GIL, thread, ip, cpu },
            };
            all.push(Event { at: MonoNs(at), what });
        }
        all.sort_by_key(|event| event.at);
        all.push(end);
        let seen = snapshot(&all);
        let (gil, exact) = figures(&seen);
        prop_assert!((0.0..=1.0).contains(&exact.coverage) && (0.0..=1.0).contains(&gil.contention));
    }
}
