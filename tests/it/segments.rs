//! What each thread did when, held against the states of a simulated GIL's threads at every instant, and against the
//! totals of the same capture.

use std::collections::BTreeMap;

use gilscope::event::{Event, SwitchesEnd, What};
use gilscope::model::segments::{Doing, Handoff, Passing, Segment, Segments, Sharpness};
use gilscope::model::snapshot::{ProcessFigures, StateTimes, ThreadState};
use gilscope::time::{MonoNs, Ns};

use crate::sampling::{ORIGIN, Sampling};
use crate::simulator::{Script, State, Step, Truth, World};
use crate::switches::{fused, snapshot, worlds};

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

fn us(n: u64) -> Ns {
    Ns::from_micros(n)
}

/// Programs in which nobody waits, or hardly.
fn quiet_worlds() -> Vec<(&'static str, Truth)> {
    let play = |seed, scripts: &[Script]| World::play(seed, ms(5_000), scripts);
    vec![
        ("bursts alone", play(31, &[Script::new(&[Step::Bytecode(us(300)), Step::Sleep(ms(1))])])),
        ("native work alone", play(32, &[Script::new(&[Step::Bytecode(ms(4)), Step::Native(ms(9))])])),
        ("two that hardly meet", play(33, &vec![Script::new(&[Step::Bytecode(us(200)), Step::Sleep(ms(20))]); 2])),
    ]
}

/// A holder that is kept off its core.
fn queued_world() -> (&'static str, Truth) {
    let steps = [Step::Bytecode(ms(2)), Step::HoldQueued(ms(3)), Step::Bytecode(us(500)), Step::Sleep(ms(9))];
    ("queued holders", World::play(34, ms(5_000), &vec![Script::new(&steps); 2]))
}

fn of(state: State) -> Option<ThreadState> {
    Some(match state {
        State::Running => ThreadState::Running,
        State::HoldingAsleep | State::HoldingQueued => ThreadState::HoldingOffCpu,
        State::Waiting => ThreadState::Waiting,
        State::HandingOver => ThreadState::HandingOver,
        State::Native => ThreadState::Native,
        State::Runnable => ThreadState::Runnable,
        State::Idle => ThreadState::Idle,
        State::Gone => return None,
    })
}

/// How the time of threads reads, against how it was.
#[derive(Debug, Default)]
struct Compared {
    right: u64,
    wrong: BTreeMap<String, u64>,
    not_known: u64,
}

impl Compared {
    fn add(&mut self, truth: &Truth, thread: usize, segments: &[Segment]) {
        let changes = &truth.states[thread];
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([truth.end]);
        let real: Vec<(u64, u64, State)> = changes.iter().zip(ends).map(|((a, s), b)| (*a, b, *s)).collect();
        let mut next = 0;
        for segment in segments {
            let (from, to) = (segment.from.0 - ORIGIN, segment.to.0 - ORIGIN);
            while real.get(next).is_some_and(|(_, end, _)| *end <= from) {
                next += 1;
            }
            for (a, b, state) in real[next..].iter().take_while(|(a, ..)| *a < to) {
                let length = (*b).min(to) - (*a).max(from);
                match (segment.doing, of(*state)) {
                    (Doing::Is(ThreadState::Unknown) | Doing::Mixed(_), _) | (_, None) => self.not_known += length,
                    (Doing::Is(seen), Some(real)) if seen == real => self.right += length,
                    (Doing::Is(seen), Some(real)) => {
                        *self.wrong.entry(format!("{real:?} as {seen:?}")).or_default() += length;
                    }
                }
            }
        }
    }

    /// Shares of the time that read right, and wrong.
    fn shares(&self) -> (f64, f64) {
        let wrong = self.wrong.values().sum::<u64>();
        let all = (self.right + wrong + self.not_known) as f64;
        (self.right as f64 / all, wrong as f64 / all)
    }
}

fn compared(truth: &Truth, segments: &Segments) -> Compared {
    let mut compared = Compared::default();
    for (thread, own) in segments.all(MonoNs(0), segments.until()) {
        compared.add(truth, thread.0 as usize, &own);
    }
    compared
}

fn process(events: &[Event]) -> ProcessFigures {
    snapshot(events).processes.remove(0)
}

fn looks(truth: &Truth) -> Vec<Event> {
    Sampling::at(Ns::MILLISECOND, 7).look(truth)
}

fn records(truth: &Truth) -> Vec<Event> {
    fused(&Sampling::at(Ns::MILLISECOND, 7), truth)
}

/// Since when all is there: of one that was not long enough for the log, since its beginning.
fn beginning(segments: &Segments) -> MonoNs {
    segments.since().max(MonoNs(ORIGIN))
}

#[test]
fn with_records_every_instant_reads_as_it_was() {
    for (name, truth) in worlds().into_iter().chain([queued_world()]) {
        let process = process(&records(&truth));
        let compared = compared(&truth, &process.segments);
        let (right, wrong) = compared.shares();
        eprintln!("{name}: {right:.4} right, {wrong:.4} wrong: {:?}", compared.wrong);
        assert!(wrong <= 0.005, "{name}: {wrong} reads wrong: {:?}", compared.wrong);
        assert!(right >= 0.99, "{name}: only {right} reads right");
    }
}

/// Between two looks the state is taken to have changed half way: wrong for half the time between them at each change.
#[test]
fn by_looks_alone_an_edge_is_half_a_look_off() {
    for (name, truth) in worlds() {
        let process = process(&looks(&truth));
        let compared = compared(&truth, &process.segments);
        let changes: usize = truth.states.iter().map(Vec::len).sum();
        let time = (truth.end * truth.states.len() as u64) as f64;
        let (_, wrong) = compared.shares();
        let most = (changes as f64 * 500_000.0 / time).min(0.06);
        eprintln!("{name}: {wrong:.4} wrong of at most {most:.4}: {:?}", compared.wrong);
        assert!(wrong <= most, "{name}: {wrong} reads wrong: {:?}", compared.wrong);
    }
}

/// Every lane is without holes and overlaps, from its thread's birth or since the log reaches back.
#[test]
fn lanes_have_no_holes() {
    for (name, truth) in worlds().into_iter().chain(quiet_worlds()) {
        for events in [records(&truth), looks(&truth)] {
            let process = process(&events);
            let segments = &process.segments;
            for (key, own) in segments.all(MonoNs(0), MonoNs(u64::MAX)) {
                let thread = process.thread(key).unwrap();
                assert_eq!(own[0].from, thread.start.max(segments.since()), "{name}, {key:?}");
                assert!(own.windows(2).all(|two| two[0].to == two[1].from && two[0].from < two[0].to), "{name}");
                assert!(own.windows(2).all(|two| (two[0].doing, two[0].cpu) != (two[1].doing, two[1].cpu)), "{name}");
                assert!(own[own.len() - 1].to.since(segments.until()) == Ns::ZERO, "{name}, {key:?}");
            }
        }
    }
}

/// The sums over the whole are the totals, which are made of the same looks and records.
#[test]
fn segments_add_up_to_the_totals() {
    for (name, truth) in worlds().into_iter().chain(quiet_worlds()).chain([queued_world()]) {
        for (how, events) in [("records", records(&truth)), ("looks", looks(&truth))] {
            let process = process(&events);
            let segments = &process.segments;
            if beginning(segments) > MonoNs(ORIGIN) {
                continue;
            }
            for (key, own) in segments.all(MonoNs(0), segments.until()) {
                let thread = process.thread(key).unwrap();
                let mut sum = StateTimes::default();
                own.iter().for_each(|segment| sum += segment.states(segment.from, segment.to, Ns::SECOND));
                let lifetime = thread.states.total().0 as f64;
                let off = |a: Ns, b: Ns| (a.0 as f64 - b.0 as f64).abs() / lifetime;
                // A wait is one and the same; but for what goes on after the newest tick.
                assert!(off(sum.waiting, thread.states.waiting) <= 1e-4, "{name} by {how}, {key:?}: {sum:?}");
                // Held time is known to half ticks there, and to the records of switches here.
                let mut differ =
                    ThreadState::LIVING.map(|state| (state, off(sum.get(state), thread.states.get(state))));
                // When a holder was kept off its core is known to records only.
                if how == "looks" {
                    differ[0].1 = off(sum.holding(), thread.states.holding());
                    differ[1].1 = 0.0;
                }
                let most = differ.into_iter().map(|(_, off)| off).fold(0.0, f64::max);
                assert!(most <= 0.025, "{name} by {how}, {key:?}: {differ:?}\n{sum:?}\n{:?}", thread.states);
            }
        }
    }
}

#[test]
fn handoffs_are_told_one_by_one() {
    for (name, truth) in worlds() {
        let process = process(&records(&truth));
        let segments = &process.segments;
        let from = beginning(segments);
        let seen = segments.handoffs(from, segments.until());
        let missed = segments.unseen_handoffs(from, segments.until());
        let real: Vec<(u64, usize)> = truth.handoffs.iter().copied().filter(|(at, _)| at + ORIGIN > from.0).collect();
        let all = seen.len() as f64 + missed as f64;
        let real_all = real.len() as f64;
        assert!((all - real_all).abs() <= 4.0 + real_all * 0.002, "{name}: {} + {missed} of {real_all}", seen.len());
        // When and to whom: to 0.1 ms where it was recorded, else to a look.
        let is_right = |handoff: &Handoff| {
            let off = if handoff.sharpness == Sharpness::Switch { 100_000 } else { 1_500_000 };
            let near = real.partition_point(|(real, _)| real + ORIGIN + off < handoff.at.0);
            let mut near = real[near..].iter().take_while(|(real, _)| real + ORIGIN < handoff.at.0 + off);
            near.any(|(_, who)| Some(*who as u32) == handoff.to.map(|to| to.0))
        };
        let wrong = seen.iter().filter(|handoff| !is_right(handoff)).count();
        // Beside a holder that sleeps for 80 ms, those that wait are woken in no order that can be seen.
        let most = if name == "a holder asleep" { 0.03 } else { 0.01 };
        assert!(wrong as f64 <= 2.0 + seen.len() as f64 * most, "{name}: {wrong} of {} are wrong", seen.len());
        let forced = seen.iter().filter(|handoff| handoff.passing == Passing::Forced).count() as f64;
        let real_forced = truth.forced.iter().filter(|(at, _)| at + ORIGIN > from.0).count() as f64;
        assert!((forced - real_forced).abs() <= 3.0 + real_forced * 0.03, "{name}: {forced} forced, not {real_forced}");
    }
}

/// Where it was not seen when they were, they are counted all the same: with two between two looks, where nobody looked, and
/// where it could not be read who held.
#[test]
fn handoffs_that_nobody_saw_are_counted() {
    for (name, truth) in worlds() {
        let at = |share: u64| truth.end * share / 100;
        let looks = Sampling { gaps: vec![at(20)..at(25), at(60)..at(61)], ..Sampling::at(Ns::MILLISECOND, 7) };
        let unreadable = at(30)..at(35);
        let blind = Sampling { unreadable: vec![unreadable], ..looks.clone() };
        for (how, events) in [
            ("by looks", looks.look(&truth)),
            ("by blind looks", blind.look(&truth)),
            ("with records", fused(&looks, &truth)),
            ("with records and blind looks", fused(&blind, &truth)),
        ] {
            let process = process(&events);
            let segments = &process.segments;
            let (from, to) = (segments.since(), segments.until());
            let all = segments.handoffs(from, to).len() as u64 + segments.unseen_handoffs(from, to);
            let samples = events.iter().filter_map(|event| match event.what {
                What::GilSample(sample) if event.at >= from => Some(sample.switch_number),
                _ => None,
            });
            let (least, most) = samples.fold((u64::MAX, 0), |(a, b), number| (a.min(number), b.max(number)));
            // Some of what the log has just forgotten reaches into what it tells.
            let edge = if from > MonoNs(ORIGIN) { 3 } else { 0 };
            assert!(all.abs_diff(most - least) <= edge, "{name}, {how}: {all} of {}", most - least);
        }
    }
}

/// Where records are lost, what they would have told is unknown or as the looks say: not made up.
#[test]
fn lost_records_make_nothing_up() {
    let (name, truth) = worlds().swap_remove(1);
    let mut random = fastrand::Rng::with_seed(3);
    let mut events: Vec<Event> = Vec::new();
    for event in records(&truth) {
        let of = match event.what {
            What::SwitchedIn { thread, .. } | What::SwitchedOut { thread, .. } => Some(thread),
            _ => None,
        };
        match of.filter(|_| random.u32(0..50) == 0) {
            Some(thread) => {
                let why = SwitchesEnd::Lost { records: 1 };
                events.push(Event { at: event.at, what: What::SwitchesEnd { thread, why } });
                events.push(Event { at: event.at, what: What::SwitchesBegin { thread } });
            }
            None => events.push(event),
        }
    }
    let compared = compared(&truth, &process(&events).segments);
    let (right, wrong) = compared.shares();
    assert!(wrong <= 0.03 && right >= 0.9, "{name}: {right} right, {wrong} wrong: {:?}", compared.wrong);
}
