//! What the cores did, by the kernel's clock ticks and by the records of switches: whose time was whose.

use std::sync::Arc;

use gilscope::event::{
    CoreTotals, Cpu, Departure, Event, Mode, ProcessKey, Role, SwitchesEnd, ThreadInfo, ThreadKey, Tid, Usage, What,
};
use gilscope::model::Model;
use gilscope::model::machine::time_on;
use gilscope::model::snapshot::{CoreFigures, ProcessFigures};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::sampling::{info, target};

const TICK: u64 = 10_000_000;
const MS: u64 = 1_000_000;
/// Long after the machine was started.
const ORIGIN: u64 = 5_000 * TICK;

/// What one core did in truth, and when it is looked at.
#[derive(Debug, Clone, Copy)]
struct Other {
    cpu: u16,
    /// Of each second, so many milliseconds were others'.
    load: u64,
}

/// A program of one thread, which is on core 0 for 3 ms of every 10, from its third second on core 1, beside others.
struct Scene {
    seconds: u64,
    others: Vec<Other>,
    mode: Mode,
    /// Milliseconds between two readings.
    every: u64,
}

impl Scene {
    fn lasting(seconds: u64) -> Scene {
        Scene {
            seconds,
            others: vec![Other { cpu: 0, load: 250 }, Other { cpu: 1, load: 0 }],
            mode: Mode::Fused,
            every: 250,
        }
    }

    fn core_of(ms: u64) -> u16 {
        u16::from(ms >= 2_000)
    }

    /// The thread's own time on a core by then, in nanoseconds.
    fn own(cpu: u16, ms: u64) -> u64 {
        (0..ms).filter(|ms| ms % 10 < 3 && Scene::core_of(*ms) == cpu).count() as u64 * MS
    }

    fn totals(&self, ms: u64) -> Vec<CoreTotals> {
        let total = |other: &Other| {
            let stranger = ms * other.load / 1_000 * MS;
            let busy = stranger + Scene::own(other.cpu, ms);
            let idle = ms * MS - busy;
            // Counters begin anywhere, and show whole ticks only.
            CoreTotals {
                cpu: Cpu(other.cpu),
                idle: (7_777_777 + idle) / TICK,
                busy: (3_333_333 + busy) / TICK,
                stolen: 0,
            }
        };
        self.others.iter().map(total).collect()
    }

    fn events(&self) -> Vec<Event> {
        let thread = ThreadKey(0);
        let at = |ms: u64| MonoNs(ORIGIN + ms * MS);
        let mut capture = info(Ns::MILLISECOND);
        capture.mode = self.mode;
        let found = ThreadInfo {
            process: ProcessKey(0),
            tid: Some(Tid(7)),
            name: "main".to_owned(),
            role: Role::Main,
            started: MonoNs(1),
        };
        let mut events = vec![
            Event { at: at(0), what: What::CaptureStarted(Box::new(capture)) },
            Event { at: at(0), what: What::ProcessFound { process: ProcessKey(0), info: Box::new(target()) } },
            Event { at: at(0), what: What::ThreadFound { thread, info: Box::new(found) } },
        ];
        if self.mode != Mode::Sampled {
            events.push(Event { at: at(0), what: What::SwitchesBegin { thread } });
        }
        for ms in 0..self.seconds * 1_000 {
            if self.mode != Mode::Sampled && ms % 10 == 0 {
                events.push(Event { at: at(ms), what: What::SwitchedIn { thread, cpu: Cpu(Scene::core_of(ms)) } });
            }
            if self.mode != Mode::Sampled && ms % 10 == 3 {
                events.push(Event { at: at(ms), what: What::SwitchedOut { thread, how: Departure::Asleep } });
            }
            if ms % 100 == 0 {
                let on_cpu = Ns(Scene::own(0, ms) + Scene::own(1, ms));
                let usage = Usage { on_cpu, timeslices: ms / 10, ..Usage::default() };
                events.push(Event { at: at(ms), what: What::Usage { thread, usage } });
            }
            if ms % self.every == 0 {
                events.push(self.reading(ms, self.totals(ms)));
            }
        }
        let end = self.seconds * 1_000;
        events.push(self.reading(end, self.totals(end)));
        events.push(Event { at: at(end), what: What::CaptureEnded });
        events
    }

    fn reading(&self, ms: u64, cores: Vec<CoreTotals>) -> Event {
        Event { at: MonoNs(ORIGIN + ms * MS), what: What::CoresRead { tick: Ns(TICK), cores } }
    }
}

fn folded(events: &[Event]) -> ProcessFigures {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot().processes.remove(0)
}

fn core(process: &ProcessFigures, cpu: u16) -> CoreFigures {
    *process.cores.iter().find(|core| core.cpu == Cpu(cpu)).unwrap_or_else(|| panic!("no core {cpu}"))
}

/// Off by the tick of each end, and no more, however long it lasts.
fn near(told: Option<Ns>, real: u64, what: &str) {
    let told = told.unwrap_or_else(|| panic!("{what}: not told")).0;
    assert!(told.abs_diff(real) <= 2 * TICK, "{what}: {told}, in truth {real}");
}

#[test]
fn what_is_not_the_targets_is_others() {
    for seconds in [1, 5, 60] {
        let process = folded(&Scene::lasting(seconds).events());
        let [first, second] = [core(&process, 0), core(&process, 1)];
        let own = |cpu| Scene::own(cpu, seconds * 1_000);
        assert_eq!(first.target_on_cpu, Some(Ns(own(0))));
        assert_eq!(second.target_on_cpu, Some(Ns(own(1))));
        near(first.other, seconds * 250 * MS, "other on 0");
        near(second.other, 0, "other on 1");
        near(first.busy, seconds * 250 * MS + own(0), "busy on 0");
        near(second.busy, own(1), "busy on 1");
        assert_eq!(first.stolen, Some(Ns::ZERO));
    }
}

#[test]
fn a_core_that_the_target_never_was_on_is_there_too() {
    let others = vec![Other { cpu: 0, load: 0 }, Other { cpu: 1, load: 0 }, Other { cpu: 200, load: 900 }];
    let process = folded(&Scene { others, ..Scene::lasting(3) }.events());
    let core = core(&process, 200);
    assert_eq!((core.target_on_cpu, core.gil_held, core.is_used()), (Some(Ns::ZERO), Ns::ZERO, false));
    near(core.other, 2_700 * MS, "other on 200");
}

#[test]
fn what_nobody_tells_is_unknown_and_not_nothing() {
    let not_told = |events: &[Event], what: &str| {
        let process = folded(events);
        assert!(process.cores.iter().all(|core| core.other.is_none()), "{what}: {:?}", process.cores);
        process
    };
    let mut events = Scene::lasting(3).events();
    events.retain(|event| !matches!(event.what, What::CoresRead { .. }));
    let process = not_told(&events, "an old recording");
    assert!(process.cores.iter().all(|core| core.busy.is_none() && core.is_used()));

    let process = not_told(&Scene { mode: Mode::Sampled, ..Scene::lasting(3) }.events(), "sampled");
    near(core(&process, 0).busy, 750 * MS + Scene::own(0, 3_000), "busy where nobody tells whose");
    assert!(process.migrations.is_none());

    // A virtual one in which nothing ever moves, and one that cannot be read.
    let mut events = Scene::lasting(3).events();
    for event in &mut events {
        if let What::CoresRead { cores, .. } = &mut event.what {
            cores.iter_mut().for_each(|core| (core.idle, core.busy) = (0, 0));
        }
    }
    not_told(&events, "no time passes");
    for event in &mut events {
        if let What::CoresRead { cores, .. } = &mut event.what {
            cores.clear();
        }
    }
    not_told(&events, "no cores");
}

#[test]
fn where_records_are_missing_for_long_nothing_is_said_of_others() {
    let mut events = Scene::lasting(10).events();
    let thread = ThreadKey(0);
    let (from, to) = (MonoNs(ORIGIN + 4_000 * MS), MonoNs(ORIGIN + 7_000 * MS));
    events.retain(|event| {
        let of_a_switch = matches!(event.what, What::SwitchedIn { .. } | What::SwitchedOut { .. });
        !of_a_switch || event.at < from || event.at >= to
    });
    let place = |at| events.partition_point(|event| event.at < at);
    let (begin, end) = (place(to), place(from));
    events.insert(begin, Event { at: to, what: What::SwitchesBegin { thread } });
    events.insert(end, Event { at: from, what: What::SwitchesEnd { thread, why: SwitchesEnd::TooCostly } });
    let process = folded(&events);
    assert!(process.cores.iter().all(|core| core.other.is_none() && core.busy.is_some()), "{:?}", process.cores);
    // Step by step it is known where it is.
    let known = |at: u64| {
        let at = MonoNs(ORIGIN + at * MS);
        let step = process.own_time.since(at).filter(|step| step.from <= at).last();
        step.is_some_and(|step| step.cores.is_some())
    };
    assert!(known(3_000) && !known(5_500) && known(9_000));
}

#[test]
fn steps_add_up_to_the_totals_and_old_ones_become_coarse() {
    let seconds = 400;
    let process = folded(&Scene::lasting(seconds).events());
    let all: Vec<_> = process.machine.since(MonoNs(ORIGIN)).collect();
    assert!(all.len() < 1_100, "{} steps are kept", all.len());
    // The newest first, without holes and without overlaps.
    assert!(all.windows(2).all(|pair| pair[1].to == pair[0].from), "holes");
    assert_eq!((all.last().unwrap().from, all[0].to), (MonoNs(ORIGIN), MonoNs(ORIGIN + seconds * 1_000 * MS)));
    let lengths: Vec<u64> = all.iter().map(|step| step.to.since(step.from).0 / MS).collect();
    assert_eq!((lengths[0], *lengths.last().unwrap()), (250, 1_000));
    let busy = |cpu: u16| -> u64 {
        let cores = all.iter().flat_map(|step| step.cores.iter().flat_map(|cores| cores.iter()));
        cores.filter(|core| core.cpu == Cpu(cpu)).map(|core| core.busy.0).sum()
    };
    near(Some(Ns(busy(0))), core(&process, 0).busy.unwrap().0, "busy");
    let own: u64 = process
        .own_time
        .since(MonoNs(ORIGIN))
        .map(|step| step.cores.as_deref().map_or(0, |own| time_on(own, Cpu(1)).0))
        .sum();
    assert_eq!(own, Scene::own(1, seconds * 1_000));
}

#[test]
fn bins_have_every_run_where_it_was() {
    let seconds = 20;
    let process = folded(&Scene::lasting(seconds).events());
    let bins: Vec<_> = process.occupied.ring_within(Ns::SECOND).bins().collect();
    let on = |cpu: u16| -> Vec<u64> {
        let cell = |bin: &Arc<gilscope::model::occupied::OccupiedBin>| {
            bin.cores.iter().find(|cell| cell.cpu == Cpu(cpu)).map_or(0, |cell| cell.on_core.0 / MS)
        };
        bins.iter().map(|(_, bin)| cell(bin)).collect()
    };
    assert_eq!(on(0)[..3], [300, 300, 0]);
    assert_eq!(on(1)[..3], [0, 0, 300]);
    assert!(bins[1..19].iter().all(|(_, bin)| bin.told == Ns::SECOND), "all switches were told");
    let migrations = process.migrations.as_ref().unwrap();
    assert_eq!((migrations.total(), migrations.to(Cpu(1))), (1, vec![(Cpu(0), 1)]));
    assert_eq!((migrations.from(Cpu(0)), migrations.from(Cpu(1))), (vec![(Cpu(1), 1)], vec![]));
}

#[test]
fn whoever_is_queued_wants_the_core_it_was_on() {
    let thread = ThreadKey(0);
    let mut events = Scene::lasting(1).events();
    for event in &mut events {
        if let What::SwitchedOut { how, .. } = &mut event.what {
            *how = Departure::Preempted;
        }
    }
    let process = folded(&events);
    let bin = process.occupied.ring_within(Ns::from_millis(100)).bins().nth(3).unwrap().1;
    let cell = bin.cores[0];
    assert_eq!((cell.cpu, cell.thread), (Cpu(0), thread));
    assert_eq!((cell.on_core, cell.queued), (Ns::from_millis(30), Ns::from_millis(70)));
}

#[test]
fn what_may_be_used_follows_the_threads() {
    let thread = ThreadKey(0);
    let mut events = Scene::lasting(1).events();
    let end = events.pop().unwrap();
    let common = folded(&events).cores_allowed();
    assert_eq!(common, target().cpus_allowed);
    events.push(Event { at: end.at, what: What::AffinityKnown { thread, cpus: vec![Cpu(1), Cpu(90)] } });
    let process = folded(&events);
    assert_eq!(process.cores_allowed(), [Cpu(1), Cpu(90)]);
    assert_eq!(process.target.cpus_allowed, common, "as it was found");
}

fn totals() -> impl Strategy<Value = CoreTotals> {
    let number = || prop_oneof![0u64..1_000, any::<u64>(), Just(u64::MAX)];
    (0u16..6, number(), number(), number()).prop_map(|(cpu, idle, busy, stolen)| CoreTotals {
        cpu: Cpu(cpu),
        idle,
        busy,
        stolen,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// Whatever a recording says: nothing overflows, and no core did more than there was time for.
    #[test]
    fn hostile_readings_are_harmless(
        readings in proptest::collection::vec((0u64..5_000, any::<u64>(), proptest::collection::vec(totals(), 0..8)), 0..20),
        switches in proptest::collection::vec((0u64..5_000, 0u16..6, any::<bool>()), 0..40),
    ) {
        let scene = Scene::lasting(1);
        let mut events = scene.events()[..4].to_vec();
        for (ms, tick, cores) in readings {
            events.push(Event { at: MonoNs(ORIGIN + ms * MS), what: What::CoresRead { tick: Ns(tick), cores } });
        }
        for (ms, cpu, way) in switches {
            let thread = ThreadKey(0);
            let what = match way {
                true => What::SwitchedIn { thread, cpu: Cpu(cpu) },
                false => What::SwitchedOut { thread, how: Departure::Preempted },
            };
            events.push(Event { at: MonoNs(ORIGIN + ms * MS), what });
        }
        events.sort_by_key(|event| event.at);
        let process = folded(&events);
        for core in &process.cores {
            let most = process.capture.duration;
            prop_assert!(core.busy.is_none_or(|busy| busy <= most));
            prop_assert!(core.other.is_none_or(|other| core.busy.is_some_and(|busy| other <= busy)));
            prop_assert!(core.stolen.is_none_or(|stolen| core.busy.is_some_and(|busy| stolen <= busy)));
        }
    }
}
