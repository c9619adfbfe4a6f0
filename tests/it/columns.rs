//! What is kept of segments that are forgotten: bins tell what the segments told while they were there, add up to the
//! totals, and are the same after a copy of the fold has gone on as after folding all.

use gilscope::event::{Event, ThreadKey};
use gilscope::model::Model;
use gilscope::model::segments::{Columns, Kept, Segments, Sums};
use gilscope::model::snapshot::{Length, ProcessFigures, StateTimes, ThreadState};
use gilscope::model::totals::Totals;
use gilscope::time::{MonoNs, Ns};

use crate::sampling::{ORIGIN, Sampling};
use crate::simulator::{Script, Step, Truth, World};
use crate::switches::{fused, worlds};

fn ms(n: u64) -> Ns {
    Ns::from_millis(n)
}

fn captures() -> Vec<(String, Vec<Event>)> {
    let looked = |truth: &Truth| Sampling::at(Ns::MILLISECOND, 7).look(truth);
    let recorded = |truth: &Truth| fused(&Sampling::at(Ns::MILLISECOND, 7), truth);
    let both = |(name, truth): (&str, Truth)| {
        [(format!("{name} by records"), recorded(&truth)), (format!("{name} by looks"), looked(&truth))]
    };
    worlds().into_iter().chain([busy_world()]).flat_map(both).collect()
}

/// The log holds but a few seconds of it.
pub fn busy_world() -> (&'static str, Truth) {
    let quick = Script::new(&[Step::Bytecode(Ns::from_micros(150)), Step::Sleep(Ns::from_micros(400))]);
    ("busy", World::play(9, ms(30_000), &vec![quick; 4]))
}

fn process(model: &Model) -> ProcessFigures {
    model.snapshot().processes.remove(0)
}

fn threads(segments: &Segments) -> Vec<ThreadKey> {
    segments.lanes().iter().map(|lane| lane.thread).collect()
}

fn columns(segments: &Segments, from: MonoNs, column: Ns, count: usize) -> Columns {
    segments.columns(&threads(segments), from, column, count)
}

/// The greatest difference in a state.
fn off(a: &StateTimes, b: &StateTimes) -> Ns {
    let apart = |a: Ns, b: Ns| a.saturating_sub(b).max(b.saturating_sub(a));
    ThreadState::LIVING.into_iter().map(|state| apart(a.get(state), b.get(state))).max().unwrap_or(Ns::ZERO)
}

#[test]
fn bins_tell_what_segments_told_while_they_were_kept() {
    const SPAN: usize = 80;
    let mut compared = 0;
    for (name, events) in captures() {
        let mut model = Model::new();
        let mut told: Vec<(MonoNs, Columns)> = Vec::new();
        let mut next = ORIGIN + 2_000_000_000;
        for event in &events {
            if event.at.0 > next {
                let segments = process(&model).segments;
                let from = MonoNs(next - 1_400_000_000);
                if segments.since() <= from {
                    told.push((from, columns(&segments, from, ms(10), SPAN)));
                }
                next += 1_000_000_000;
            }
            model.apply(event);
        }
        let segments = process(&model).segments;
        let since = segments.since();
        for (from, before) in told.iter().filter(|(from, _)| *from + ms(10 * SPAN as u64) <= since) {
            let now = columns(&segments, *from, ms(10), SPAN);
            for place in (0..SPAN).filter(|place| now.kept[*place] == Kept::InBins) {
                compared += 1;
                for (thread, sums) in before.threads() {
                    let (was, is): (&Sums, &Sums) = (&sums[place], &now.of(thread)[place]);
                    for over in [ms(10), ms(200)] {
                        let off = off(&was.states(over), &is.states(over));
                        // Lengths are kept in units of 16 ns.
                        assert!(
                            off <= Ns(200),
                            "{name}, {thread:?} at {from}, {place}: {was:?}, {is:?}",
                            from = from.0
                        );
                    }
                    if place > 0 {
                        assert_eq!((was.waits.number, was.holds.number), (is.waits.number, is.holds.number), "{name}");
                    }
                    assert!(was.waits.longest <= is.waits.longest, "{name}: {was:?}, {is:?}");
                }
                assert_eq!(before.passed[place], now.passed[place], "{name}");
            }
        }
    }
    assert!(compared > 500, "only {compared} bins were compared");
}

/// However far one zooms out, nothing vanishes and nothing is told twice: not where bins end and the log goes on, either.
#[test]
fn columns_of_any_width_add_up_to_the_totals() {
    for (name, events) in captures() {
        let mut model = Model::new();
        events.iter().for_each(|event| model.apply(event));
        let process = process(&model);
        let segments = &process.segments;
        // By looks alone, what is shorter than one is not told one by one.
        let is_told = name.ends_with("by records") && !name.starts_with("busy");
        for column in [ms(100), ms(200), ms(500), Ns::SECOND, ms(7_000), ms(60_000)] {
            let from = MonoNs(ORIGIN / column.0 * column.0);
            let count = segments.until().since(from).0.div_ceil(column.0) as usize;
            let all = columns(segments, from, column, count);
            for thread in &process.threads {
                let sums = all.of(thread.key);
                let mut sum = StateTimes::default();
                sums.iter().for_each(|one| sum += one.states(Ns::SECOND));
                let lived = segments.until().since(thread.start);
                let lost = sum.total().0.abs_diff(lived.0);
                assert!(lost <= 3_000 * 200, "{name} by {column}, {:?}: {lost} ns of {lived}", thread.key);
                let off = |a: Ns, b: Ns| a.0.abs_diff(b.0) as f64 / lived.0 as f64;
                let waiting = off(sum.waiting, thread.states.waiting);
                assert!(waiting <= 3e-4, "{name} by {column}: {sum:?}, {:?}", thread.states);
                let holding = off(sum.holding(), thread.states.holding());
                assert!(holding <= 0.025 || !is_told, "{name} by {column}: {sum:?}, {:?}", thread.states);
                // The longest wait is there, however wide a column is; the distribution knows it to a hundredth.
                let longest = sums.iter().map(|one| one.waits.longest).max().unwrap_or_default();
                let most = match thread.waits.max() {
                    Some(Length::Known(most)) => most,
                    Some(Length::Below(_)) | None => Ns::ZERO,
                };
                assert!(longest.0 * 100 >= most.0 * 99, "{name} by {column}: {longest} of {most}");
                let waits: u64 = sums.iter().map(|one| one.waits.number).sum();
                // Two waits with no time between them read as one.
                let all = thread.waits.count();
                assert!(waits * 50 >= all * 49 || !is_told, "{name} by {column}: {waits} of {all}");
            }
            let handoffs: u64 = all.passed.iter().map(|one| one.seen + one.missed).sum();
            let counted = process.capture.handoffs_counted;
            let fewest = if is_told { counted - counted / 500 } else { 0 };
            let range = fewest.saturating_sub(4)..=counted + 4 + counted / 500;
            assert!(range.contains(&handoffs), "{name} by {column}: {handoffs} of {counted}");
        }
    }
}

/// Whoever goes on from a copy of the fold, as a seek does, sees what is seen by going through all.
#[test]
fn a_copy_of_the_fold_goes_on_to_the_same() {
    let events = fused(&Sampling::at(Ns::MILLISECOND, 7), &busy_world().1);
    let shown = |model: &Model| {
        let segments = process(model).segments;
        let from = MonoNs((segments.until().0 - 9_000_000_000) / 10_000_000 * 10_000_000);
        [ms(10), ms(20), ms(50)].map(|column| columns(&segments, from, column, 160))
    };
    let mut copies = Vec::new();
    let mut model = Model::new();
    for (number, event) in events.iter().enumerate() {
        if number % (events.len() / 7) == 0 {
            copies.push((number, model.clone()));
        }
        model.apply(event);
    }
    let whole = shown(&model);
    assert!(whole[0].kept.contains(&Kept::InBins) && whole[2].kept.contains(&Kept::InFull));
    for (number, mut copy) in copies {
        events[number..].iter().for_each(|event| copy.apply(event));
        assert!(shown(&copy) == whole, "from event {number} on");
    }
}

/// The running totals are those of the snapshot.
#[test]
fn totals_are_those_of_the_snapshot() {
    for (name, events) in captures() {
        let mut model = Model::new();
        for (number, event) in events.iter().enumerate() {
            model.apply(event);
            if number % (events.len() / 20) == 0 {
                assert_eq!(model.totals(), Totals::of(&model.snapshot()), "{name} by event {number}");
            }
        }
    }
}

#[test]
fn threads_that_do_nothing_take_no_room() {
    let quick = Script::new(&[Step::Bytecode(Ns::from_micros(150)), Step::Sleep(Ns::from_micros(700))]);
    let weight = |idle: usize| {
        let mut scripts = vec![quick.clone(); 2];
        scripts.extend(vec![Script::new(&[Step::Sleep(ms(100_000))]); idle]);
        let truth = World::play(11, ms(20_000), &scripts);
        let mut model = Model::new();
        fused(&Sampling::at(Ns::MILLISECOND, 7), &truth).iter().for_each(|event| model.apply(event));
        model.history_weight()
    };
    let (few, many) = (weight(0), weight(200));
    assert!(many <= few + few / 10, "{many} bytes with 200 that sleep, {few} without");
}
