//! Signals in recordings: their events, what a keyframe restates of them, and what a hole among them does.

use gilscope::event::*;
use gilscope::recording::{Class, Encoder, Offer, Reader, Recorder, Start, Writer};
use gilscope::time::{MonoNs, Ns};
use proptest::prelude::*;

use crate::recording::queue::pipe_to;
use crate::recording::roundtrip::{cpu, ns, number, process, refusal, thread};
use crate::recording::tools::{events, file_of, recording, resumed};

fn signal() -> impl Strategy<Value = Signal> {
    (1i32..=64).prop_map(|number| Signal::new(number).unwrap())
}

fn set() -> impl Strategy<Value = SignalSet> {
    prop_oneof![Just(0), Just(2), any::<u64>(), Just(u64::MAX)].prop_map(SignalSet::from_mask)
}

fn lookup<T: std::fmt::Debug + Clone>(found: impl Strategy<Value = T>) -> impl Strategy<Value = Lookup<T>> {
    prop_oneof![
        3 => found.prop_map(Lookup::Found),
        1 => Just(Lookup::NotYet),
        1 => Just(Lookup::Nowhere),
        1 => Just(Lookup::Unreadable),
    ]
}

fn signals_info() -> impl Strategy<Value = Box<SignalsInfo>> {
    let kind =
        prop_oneof![Just(PendingKind::IsTripped), Just(PendingKind::SignalsPending), Just(PendingKind::CallsToDo)];
    let handlers =
        (set(), set(), set(), set(), set()).prop_map(|(python, keyboard_interrupt, not_python, ignored, default)| {
            Handlers { python, keyboard_interrupt, not_python, ignored, default }
        });
    (proptest::option::of(thread()), lookup(kind), lookup(handlers), proptest::option::of(set()))
        .prop_map(|(main, pending, handlers, caught)| Box::new(SignalsInfo { main, pending, handlers, caught }))
}

fn step() -> impl Strategy<Value = SignalStep> {
    prop_oneof![Just(SignalStep::Generated), Just(SignalStep::Delivered), Just(SignalStep::Written)]
}

fn steps_end() -> impl Strategy<Value = StepsEnd> {
    prop_oneof![
        number().prop_map(|records| StepsEnd::Lost { records }),
        Just(StepsEnd::Birth),
        Just(StepsEnd::Spent),
        Just(StepsEnd::TooCostly),
        Just(StepsEnd::Yielded),
        Just(StepsEnd::Moved),
        refusal().prop_map(|why| StepsEnd::Refused { why }),
        Just(StepsEnd::Closed),
    ]
}

fn state() -> BoxedStrategy<What> {
    let gap = || proptest::option::of(ns());
    let flag = prop_oneof![Just(Flag::Clear), Just(Flag::Set), Just(Flag::Unknown)];
    let pending = (flag, proptest::option::of(set())).prop_map(|(flag, tripped)| PendingSignals { flag, tripped });
    let waiting = (set(), set(), set()).prop_map(|(process, main, blocked)| WaitingSignals { process, main, blocked });
    let progress = prop_oneof![Just(Progress::Moved), Just(Progress::NotSeen), Just(Progress::Unknown)];
    let sleep = prop_oneof![
        Just(Sleep::Awake),
        Just(Sleep::Futex),
        any::<u32>().prop_map(|number| Sleep::Syscall { number }),
        Just(Sleep::Elsewhere),
        Just(Sleep::Unknown)
    ];
    prop_oneof![
        (process(), signals_info()).prop_map(|(process, info)| What::SignalsKnown { process, info }),
        (process(), pending, gap()).prop_map(|(process, pending, gap)| What::SignalsPending { process, pending, gap }),
        (process(), proptest::option::of(waiting), gap()).prop_map(|(process, waiting, gap)| What::SignalsWaiting {
            process,
            waiting,
            gap
        }),
        (thread(), progress, sleep, gap()).prop_map(|(thread, progress, sleep, gap)| What::MainProgress {
            thread,
            progress,
            sleep,
            gap
        }),
    ]
    .boxed()
}

fn taken() -> BoxedStrategy<What> {
    let outcome = prop_oneof![
        Just(Generation::Queued),
        Just(Generation::Merged),
        Just(Generation::Ignored),
        Just(Generation::Overflow)
    ];
    let to = prop_oneof![
        Just(Delivery::Default),
        Just(Delivery::Ignored),
        number().prop_map(|function| Delivery::Calls { function: Address(function) }),
        Just(Delivery::Unknown)
    ];
    prop_oneof![
        (process(), step()).prop_map(|(process, step)| What::SignalStepsBegin { process, step }),
        (process(), step(), steps_end()).prop_map(|(process, step, why)| What::SignalStepsEnd { process, step, why }),
        (process(), signal()).prop_map(|(process, signal)| What::SignalSent { process, signal }),
        (process(), proptest::option::of(thread()), signal(), outcome)
            .prop_map(|(process, thread, signal, outcome)| What::SignalGenerated { process, thread, signal, outcome }),
        (process(), thread(), signal(), to).prop_map(|(process, thread, signal, to)| What::SignalDelivered {
            process,
            thread,
            signal,
            to
        }),
        (process(), thread(), number(), cpu()).prop_map(|(process, thread, ip, cpu)| What::PendingWritten {
            process,
            thread,
            ip: Address(ip),
            cpu
        }),
    ]
    .boxed()
}

/// Every kind of event about signals, with every value.
pub fn what() -> BoxedStrategy<What> {
    prop_oneof![state(), taken()].boxed()
}

const PROCESS: ProcessKey = ProcessKey(0);
const MAIN: ThreadKey = ThreadKey(0);
const OTHER: ThreadKey = ThreadKey(3);

fn of(numbers: &[i32]) -> SignalSet {
    numbers.iter().filter_map(|number| Signal::new(*number)).collect()
}

fn pending(flag: Flag, tripped: Option<SignalSet>, gap: Option<Ns>) -> What {
    What::SignalsPending { process: PROCESS, pending: PendingSignals { flag, tripped }, gap }
}

fn clear() -> What {
    pending(Flag::Clear, None, Some(Ns(1_000_000)))
}

fn tripped(numbers: &[i32]) -> What {
    pending(Flag::Set, Some(of(numbers)), Some(Ns(1_000_000)))
}

fn waiting(process: &[i32], main: &[i32]) -> What {
    let sets = WaitingSignals { process: of(process), main: of(main), blocked: of(&[10, 12]) };
    What::SignalsWaiting { process: PROCESS, waiting: Some(sets), gap: Some(Ns(100_000_000)) }
}

fn sent(signal: i32) -> What {
    What::SignalSent { process: PROCESS, signal: Signal::new(signal).unwrap() }
}

fn generated(signal: i32) -> What {
    let signal = Signal::new(signal).unwrap();
    What::SignalGenerated { process: PROCESS, thread: None, signal, outcome: Generation::Queued }
}

fn delivered(signal: i32) -> What {
    let to = Delivery::Calls { function: Address(0x5555_0000_1000) };
    What::SignalDelivered { process: PROCESS, thread: MAIN, signal: Signal::new(signal).unwrap(), to }
}

fn written(ip: u64) -> What {
    What::PendingWritten { process: PROCESS, thread: MAIN, ip: Address(ip), cpu: Cpu(1) }
}

fn progress(progress: Progress, sleep: Sleep) -> What {
    What::MainProgress { thread: MAIN, progress, sleep, gap: Some(Ns(1_000_000)) }
}

fn begin(step: SignalStep) -> What {
    What::SignalStepsBegin { process: PROCESS, step }
}

fn end(step: SignalStep, why: StepsEnd) -> What {
    What::SignalStepsEnd { process: PROCESS, step, why }
}

fn known(pending: Lookup<PendingKind>, handlers: Lookup<Handlers>) -> What {
    let info = SignalsInfo { main: Some(MAIN), pending, handlers, caught: Some(of(&[2, 10])) };
    What::SignalsKnown { process: PROCESS, info: Box::new(info) }
}

/// Events a microsecond apart.
fn timed(whats: &[What]) -> Vec<Event> {
    whats.iter().zip(1u64..).map(|(what, n)| Event { at: MonoNs(n * 1_000), what: what.clone() }).collect()
}

/// What a keyframe behind these events restates.
fn restated(whats: &[What]) -> Vec<What> {
    let all = timed(whats);
    let mut encoder = Encoder::new().unwrap();
    all.iter().for_each(|event| encoder.push(event).unwrap());
    encoder.restate().unwrap();
    let mut reader = Reader::from_bytes(file_of(&encoder.take_chunks())).unwrap();
    let resumed = resumed(&mut reader, Start::Keyframe(0));
    let standing = &resumed[0].standing;
    assert!(standing.iter().all(|event| all.contains(event)), "each with its own time");
    standing.iter().map(|event| event.what.clone()).collect()
}

#[test]
fn a_keyframe_restates_the_last_of_each_sort() {
    let handlers = Handlers { keyboard_interrupt: of(&[2]), ..Handlers::default() };
    let all = [
        known(Lookup::NotYet, Lookup::NotYet),
        begin(SignalStep::Written),
        begin(SignalStep::Generated),
        known(Lookup::Found(PendingKind::IsTripped), Lookup::Found(handlers)),
        tripped(&[2]),
        progress(Progress::Moved, Sleep::Awake),
        waiting(&[10], &[]),
        end(SignalStep::Generated, StepsEnd::TooCostly),
        waiting(&[], &[12]),
        progress(Progress::NotSeen, Sleep::Syscall { number: 230 }),
    ];
    let [_, written, _, known, tripped, _, _, generated, waiting, progress] = all.clone();
    assert_eq!(restated(&all), [written, known, tripped, generated, waiting, progress]);
    // Nothing of a process and a thread that have ended.
    let ends = [What::ThreadEnded { thread: MAIN }, What::ProcessEnded { process: PROCESS, ending: Ending::Exited }];
    assert_eq!(restated(&[&all[..], &ends].concat()), []);
}

#[test]
fn a_keyframe_restates_steps_until_a_look_tells_that_they_are_over() {
    let way = [sent(2), generated(2), delivered(2), written(1)];
    // Not looked at since, and found to be tripped: where the clock began to run.
    assert_eq!(restated(&way), way);
    assert_eq!(restated(&[&way[..], &[tripped(&[2])]].concat()), [&way[..], &[tripped(&[2])]].concat());
    // Over; the next one's first write is not the second of this one.
    assert_eq!(restated(&[&way[..], &[tripped(&[2]), written(2), clear()]].concat()), [clear()]);
    let next = [&way[..], &[written(2), clear(), written(1)]].concat();
    assert_eq!(restated(&next), [clear(), written(1)]);
    // Sent and generated, not delivered: as long as the kernel says so.
    let blocked = [sent(10), generated(10), sent(12), generated(12)];
    assert_eq!(restated(&[&blocked[..], &[clear()]].concat()), [&blocked[..], &[clear()]].concat());
    let one_waits = [&blocked[..], &[clear(), waiting(&[10], &[])]].concat();
    assert_eq!(restated(&one_waits), [sent(10), generated(10), clear(), waiting(&[10], &[])]);
    let none_waits = [&blocked[..], &[waiting(&[], &[]), clear()]].concat();
    assert_eq!(restated(&none_waits), [waiting(&[], &[]), clear()]);
    // The second of two is still to be delivered.
    let twice = [sent(2), delivered(2), sent(2), clear()];
    assert_eq!(restated(&twice), [sent(2), clear()]);
}

#[test]
fn steps_are_restated_up_to_a_limit_and_then_no_state_from_before_them() {
    let with = |steps: u64| [&[clear()][..], &(0..steps).map(written).collect::<Vec<_>>()].concat();
    assert_eq!(restated(&with(64)), with(64));
    assert_eq!(restated(&with(65)), [written(64)]);
    assert!(restated(&with(10_000)).len() <= 64);
    let looked_at = [&with(10_000)[..], &[clear(), written(7)]].concat();
    assert_eq!(restated(&looked_at), [clear(), written(7)]);
}

/// One of each kind, and of each case.
fn one_of_each() -> Vec<Event> {
    let handlers = Handlers {
        python: of(&[10, 12]),
        keyboard_interrupt: of(&[2]),
        not_python: of(&[32, 33]),
        ignored: of(&[13, 25]),
        default: of(&[1, 9, 19, 64]),
    };
    let unreadable = SignalsInfo { main: None, pending: Lookup::Nowhere, handlers: Lookup::Unreadable, caught: None };
    let generated = |outcome| What::SignalGenerated {
        process: PROCESS,
        thread: Some(OTHER),
        signal: Signal::new(64).unwrap(),
        outcome,
    };
    let delivered_to = |to| What::SignalDelivered { process: PROCESS, thread: OTHER, signal: Signal::SIGUSR1, to };
    let ways = [
        known(Lookup::NotYet, Lookup::NotYet),
        known(Lookup::Found(PendingKind::CallsToDo), Lookup::NotYet),
        known(Lookup::Found(PendingKind::SignalsPending), Lookup::Nowhere),
        known(Lookup::Found(PendingKind::IsTripped), Lookup::Found(handlers)),
        What::SignalsKnown { process: ProcessKey(1), info: Box::new(unreadable) },
        pending(Flag::Unknown, None, None),
        clear(),
        tripped(&[2, 64]),
        What::SignalsWaiting { process: PROCESS, waiting: None, gap: None },
        waiting(&[10], &[12]),
        begin(SignalStep::Generated),
        begin(SignalStep::Delivered),
        begin(SignalStep::Written),
        sent(2),
        self::generated(2),
        generated(Generation::Merged),
        generated(Generation::Ignored),
        generated(Generation::Overflow),
        delivered(2),
        delivered_to(Delivery::Default),
        delivered_to(Delivery::Ignored),
        delivered_to(Delivery::Unknown),
        written(0x7fff_ffff_f000),
        progress(Progress::Moved, Sleep::Awake),
        progress(Progress::NotSeen, Sleep::Syscall { number: 230 }),
        progress(Progress::NotSeen, Sleep::Futex),
        progress(Progress::Unknown, Sleep::Elsewhere),
        progress(Progress::Unknown, Sleep::Unknown),
        end(SignalStep::Generated, StepsEnd::Lost { records: 3 }),
        end(SignalStep::Delivered, StepsEnd::Birth),
        end(SignalStep::Written, StepsEnd::Spent),
        end(SignalStep::Written, StepsEnd::TooCostly),
        end(SignalStep::Written, StepsEnd::Yielded),
        end(SignalStep::Written, StepsEnd::Moved),
        end(SignalStep::Written, StepsEnd::Refused { why: Refusal::Registers }),
        end(SignalStep::Written, StepsEnd::Closed),
    ];
    timed(&ways)
}

/// `v1.3.gscope`: these very events, as the first gilscope with this format wrote them.
#[test]
fn format_1_3_is_read_as_it_was_written() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.3.gscope");
    let mut reader = Reader::open(&golden).unwrap();
    assert_eq!(reader.minor(), 3);
    assert_eq!(events(&mut reader), one_of_each());
    assert_eq!(events(&mut Reader::from_bytes(recording(&one_of_each())).unwrap()), one_of_each());
    assert_eq!(reader.warnings(), []);
    assert_eq!((reader.count(Class::Signal), reader.count(Class::Definition)), (31, 5));
}

/// A disk that stands still while signals come.
#[test]
fn a_hole_among_steps_is_told_and_the_last_state_owed() {
    let (go_on, stand_still) = std::sync::mpsc::channel::<()>();
    let (file, reader) = pipe_to(move |mut pipe| {
        stand_still.recv().unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut pipe, &mut bytes).unwrap();
        bytes
    });
    let mut recorder = Recorder::start(Writer::new(file).unwrap(), 1_024).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut at = MonoNs(0);
    let mut offer = |what: What, recorder: &mut Recorder| {
        at.0 += 50_000;
        recorder.offer(Event { at, what })
    };
    let steps = [SignalStep::Generated, SignalStep::Written];
    assert_eq!(steps.map(|step| offer(begin(step), &mut recorder)), [Offer::Taken; 2]);
    // Until there has been no room for a while: then it is the pipe that is full.
    let mut room = std::time::Instant::now();
    while room.elapsed().as_millis() < 500 {
        let name = std::iter::repeat_with(|| random.alphanumeric()).take(200).collect();
        offer(What::ThreadNamed { thread: OTHER, name }, &mut recorder);
        if offer(What::Health(Health::default(), Scope::Capture), &mut recorder) != Offer::Dropped {
            room = std::time::Instant::now();
        }
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
    let before = recorder.dropped();
    let during = [
        written(1),
        tripped(&[2]),
        written(2),
        progress(Progress::NotSeen, Sleep::Futex),
        sent(10),
        clear(),
        generated(2),
        progress(Progress::Moved, Sleep::Awake),
        end(SignalStep::Generated, StepsEnd::Closed),
    ];
    let dropped = during.map(|what| offer(what, &mut recorder)).iter().filter(|it| **it == Offer::Dropped).count();
    assert_eq!((dropped, recorder.dropped() - before), (3, 5), "three steps, and two states that others have replaced");
    go_on.send(()).unwrap();
    recorder.finish().unwrap();
    let read = events(&mut Reader::from_bytes(reader.join().unwrap()).unwrap());
    assert!(read.is_sorted_by_key(|event| event.at));
    let about: Vec<What> = read
        .into_iter()
        .map(|event| event.what)
        .filter(|what| !matches!(what, What::ThreadNamed { .. } | What::Health(..)))
        .collect();
    let lost = StepsEnd::Lost { records: 0 };
    assert_eq!(
        about,
        [
            begin(SignalStep::Generated),
            begin(SignalStep::Written),
            end(SignalStep::Written, lost),
            sent(10),
            // Of a state before it nobody knows.
            pending(Flag::Clear, None, None),
            end(SignalStep::Generated, lost),
            What::MainProgress { thread: MAIN, progress: Progress::Moved, sleep: Sleep::Awake, gap: None },
            end(SignalStep::Generated, StepsEnd::Closed),
            begin(SignalStep::Written),
        ]
    );
}
