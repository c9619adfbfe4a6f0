//! Convoys beside the truth of a simulated GIL, and what looks like one and is none.

use gilscope::event::ThreadKey;
use gilscope::model::snapshot::{Convoy, Snapshot};
use gilscope::time::Ns;

use crate::sampling::Sampling;
use crate::simulator::{Script, State, Step, Truth, World};
use crate::switches::{fused, snapshot};

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

fn us(n: u64) -> Ns {
    Ns::from_micros(n)
}

/// A thread that needs the GIL for 30 us after each sleep.
pub fn io(sleep: u64) -> Script {
    Script::new(&[Step::Bytecode(us(30)), Step::Sleep(us(sleep))])
}

/// A thread that lets go only when it is asked to.
pub fn hog() -> Script {
    Script::new(&[Step::Bytecode(Ns::SECOND)])
}

/// Both ways to look at it.
fn seen(truth: &Truth) -> [(&'static str, Snapshot); 2] {
    let sampling = Sampling::at(Ns::MILLISECOND, 11);
    [("fused", snapshot(&fused(&sampling, truth))), ("sampled", snapshot(&sampling.look(truth)))]
}

fn convoys(snapshot: &Snapshot) -> &[Convoy] {
    snapshot.processes[0].convoys.as_deref().unwrap()
}

#[test]
fn an_io_thread_beside_threads_that_compute_is_in_a_convoy() {
    for hogs in [1, 2, 4] {
        for sleep in [2_000, 9_000] {
            let mut scripts = vec![hog(); hogs];
            scripts.push(io(sleep));
            let truth = World::play(hogs as u64, ms(20_000), &scripts);
            let waited = truth.time_in(hogs, 0, truth.end, |state| state == State::Waiting) as f64;
            let slower = truth.end as f64 / (truth.end as f64 - waited);
            for (how, snapshot) in seen(&truth) {
                let name = format!("{hogs} hogs, sleeps of {sleep} us, {how}");
                let found = convoys(&snapshot);
                println!("{name}: {slower} in truth, {waited}: {found:?}");
                let waits: u64 = found.iter().map(|convoy| convoy.waits).sum();
                let lost: u64 = found.iter().map(|convoy| convoy.lost.0).sum();
                let contended = truth.waits_of(hogs).iter().filter(|wait| **wait > 1_000_000).count() as f64;
                // One in ten of the waits is in a group that chance made another.
                assert!(waits as f64 >= 0.9 * contended, "{name}: {waits} of {contended}");
                assert!(waits as f64 <= 1.05 * contended, "{name}: {waits} of {contended}");
                assert!((0.9..1.05).contains(&(lost as f64 / waited)), "{name}: {lost} of {waited}");
                for convoy in found {
                    assert_eq!((convoy.victim, convoy.switch_interval), (ThreadKey(hogs as u32), ms(5)), "{name}");
                    assert_eq!(convoy.culprits.len(), hogs, "{name}");
                    let shares: Vec<f64> = convoy.culprits.iter().map(|culprit| culprit.share).collect();
                    // What is left over is from letting go until the next has it.
                    assert!((0.9..=1.0).contains(&shares.iter().sum()), "{name}: {shares:?}");
                    if convoy.waits > 500 {
                        assert!(shares.iter().all(|share| *share < 1.4 / hogs as f64), "{name}: {shares:?}");
                        assert!((convoy.slowdown / slower - 1.0).abs() < 0.05, "{name}: {} {slower}", convoy.slowdown);
                    }
                }
            }
        }
    }
}

/// What looks like a convoy in some respect.
pub fn look_alikes() -> Vec<(&'static str, Truth)> {
    let works = |work: u64, sleep: u64| Script::new(&[Step::Bytecode(us(work)), Step::Sleep(us(sleep))]);
    let in_c = |hold: u64, sleep: u64| Script::new(&[Step::HoldInC(us(hold)), Step::Sleep(us(sleep))]);
    let queued = |hold: u64, queue: u64| Script::new(&[Step::Bytecode(us(hold)), Step::Queued(us(queue))]);
    let preempted = Script::new(&[Step::Bytecode(us(400)), Step::HoldQueued(us(7_000)), Step::Sleep(us(2_000))]);
    let play = |seed, scripts: &[Script]| World::play(seed, ms(20_000), scripts);
    vec![
        // Whoever waits for a lock is asleep elsewhere, and holds as long as the others.
        ("a lock, briefly", play(1, &vec![works(200, 4_000); 4])),
        ("a lock, for long", play(2, &vec![works(3_000, 6_000); 3])),
        ("a lock, always wanted", play(3, &vec![works(4_000, 300); 3])),
        ("timed waits of a switch interval", play(4, &vec![works(20, 5_000); 4])),
        ("timed waits beside some work", play(5, &[works(20, 5_000), works(20, 5_000), works(1_500, 3_000)])),
        ("two that compute", play(6, &[hog(), hog()])),
        ("four that compute", play(7, &vec![hog(); 4])),
        ("two that compute, with pauses", play(8, &vec![works(20_000, 1_000); 2])),
        ("two that compute, and a third now and then", play(9, &[hog(), hog(), works(30_000, 200_000)])),
        ("a queue of short holds", play(10, &vec![in_c(1_000, 1_000); 8])),
        ("a long queue of very short holds", play(11, &vec![in_c(500, 25_000); 32])),
        ("one that waits for cores", play(12, &vec![queued(1_000, 6_000); 3])),
        ("a holder that is kept off its core", play(13, &[preempted.clone(), io(3_000), io(4_000)])),
        ("I/O beside a thread that computes in C without the GIL", {
            play(14, &[Script::new(&[Step::Bytecode(us(50)), Step::Native(ms(8))]), io(2_000)])
        }),
        ("rare I/O beside one that computes", play(15, &[hog(), io(3_000_000)])),
    ]
}

#[test]
fn look_alikes_are_no_convoys() {
    for (name, truth) in look_alikes() {
        for (how, snapshot) in seen(&truth) {
            let found = convoys(&snapshot);
            // What the kernel does with a holder shows only in switches.
            if how == "sampled" && name == "a holder that is kept off its core" {
                continue;
            }
            assert!(found.is_empty(), "{name}, {how}: {found:?}");
        }
    }
}

#[test]
fn a_convoy_begins_and_ends_with_the_thread_that_computes() {
    let busy = Script { born: ms(4_000).0, ends: ms(9_000).0, ..Script::new(&[Step::Bytecode(ms(50))]) };
    let truth = World::play(5, ms(15_000), &[io(3_000), busy]);
    for (how, snapshot) in seen(&truth) {
        let found = convoys(&snapshot);
        assert_eq!(found.len(), 1, "{how}: {found:?}");
        let at = |at: gilscope::time::MonoNs| at.0 - crate::sampling::ORIGIN;
        assert!((4_000_000_000..4_100_000_000).contains(&at(found[0].start)), "{how}: {found:?}");
        assert!((8_800_000_000..9_100_000_000).contains(&at(found[0].end)), "{how}: {found:?}");
    }
}

#[test]
fn with_a_switch_interval_as_short_as_a_look_there_is_nothing_to_find() {
    let truth = World::play_at(5, ms(2_000), us(500), &[hog(), io(3_000)]);
    for (how, snapshot) in seen(&truth) {
        assert_eq!(snapshot.processes[0].convoys, None, "{how}");
    }
}
