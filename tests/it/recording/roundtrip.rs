//! What is recorded is what is read: all of it, from the start and from every keyframe.

use gilscope::event::*;
use gilscope::recording::{Class, Reader, Start, class};
use gilscope::time::{MonoNs, Ns};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::recording::tools::{events, events_from, recording};
use crate::recording::{natives, signals};

pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z-]{1,12}",
        proptest::collection::vec(any::<char>(), 0..40).prop_map(|c| c.into_iter().collect())
    ]
}

pub fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, any::<u64>(), Just(u64::MAX), (0u64..100).prop_map(|n| n * 10_000_000)]
}

pub fn ns() -> impl Strategy<Value = Ns> {
    number().prop_map(Ns)
}

pub fn cpu() -> impl Strategy<Value = Cpu> {
    prop_oneof![0u16..8, any::<u16>()].prop_map(Cpu)
}

fn key() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..6, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

pub fn thread() -> impl Strategy<Value = ThreadKey> {
    key().prop_map(ThreadKey)
}

pub fn gil() -> impl Strategy<Value = GilKey> {
    prop_oneof![9 => 0u32..3, 1 => any::<u32>()].prop_map(GilKey)
}

pub fn process() -> impl Strategy<Value = ProcessKey> {
    key().prop_map(ProcessKey)
}

fn footprint() -> impl Strategy<Value = Footprint> {
    prop_oneof![
        (number(), any::<u32>()).prop_map(|(pss, processes)| Footprint::Known { pss, processes }),
        Just(Footprint::TooLarge),
        Just(Footprint::Unreadable)
    ]
}

fn interpreter() -> impl Strategy<Value = InterpreterId> {
    prop_oneof![0i64..3, any::<i64>()].prop_map(InterpreterId)
}

fn placement() -> impl Strategy<Value = Placement> {
    prop_oneof![cpu().prop_map(Placement::OnOrQueued), cpu().prop_map(Placement::Asleep), Just(Placement::Unknown)]
}

fn hold() -> impl Strategy<Value = Hold> {
    prop_oneof![
        Just(Hold::Free),
        Just(Hold::ByUnknown),
        (thread(), proptest::option::of(placement())).prop_map(|(thread, placement)| Hold::By { thread, placement }),
    ]
}

fn sample() -> impl Strategy<Value = GilSample> {
    let drop_request = prop_oneof![Just(DropRequest::Absent), Just(DropRequest::Pending), Just(DropRequest::Unknown)];
    (gil(), hold(), number(), proptest::option::of(any::<u32>()), drop_request).prop_map(
        |(gil, hold, switch_number, waiters, drop_request)| GilSample {
            gil,
            hold,
            switch_number,
            waiters,
            drop_request,
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    let switches = (number(), number()).prop_map(|(voluntary, involuntary)| Switches { voluntary, involuntary });
    (ns(), ns(), number(), proptest::option::of(switches)).prop_map(|(on_cpu, run_delay, timeslices, switches)| Usage {
        on_cpu,
        run_delay,
        timeslices,
        switches,
    })
}

fn process_info() -> impl Strategy<Value = Box<ProcessInfo>> {
    let build = prop_oneof![Just(Build::Default), Just(Build::FreeThreaded), Just(Build::Debug)];
    let origin = prop_oneof![Just(Origin::Attached), Just(Origin::Launched)];
    let python = (any::<u8>(), any::<u8>(), any::<Option<u8>>()).prop_map(|(major, minor, patch)| PythonVersion {
        major,
        minor,
        patch,
    });
    (any::<u32>(), vec(name(), 0..5), python, build, name(), vec(cpu(), 0..6), origin).prop_map(
        |(pid, cmdline, python, build, libc, cpus_allowed, origin)| {
            Box::new(ProcessInfo { pid: Pid(pid), cmdline, python, build, libc, cpus_allowed, origin })
        },
    )
}

fn thread_info() -> impl Strategy<Value = Box<ThreadInfo>> {
    let role = prop_oneof![Just(Role::Main), Just(Role::Python), Just(Role::Native)];
    (process(), any::<Option<u32>>(), name(), role, number()).prop_map(|(process, tid, name, role, started)| {
        Box::new(ThreadInfo { process, tid: tid.map(Tid), name, role, started: MonoNs(started) })
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(Ending::Exited),
        name().prop_map(|path| Ending::Execed { path }),
        Just(Ending::Finalized),
        name().prop_map(|reason| Ending::LostSight { reason }),
    ]
}

fn capture() -> impl Strategy<Value = Box<CaptureInfo>> {
    (name(), number(), ns(), name(), name()).prop_map(|(tool_version, start_unix_ns, interval, host, kernel)| {
        Box::new(CaptureInfo { tool_version, start_unix_ns, mode: Mode::Exact, interval, host, kernel })
    })
}

fn unwatched() -> impl Strategy<Value = Unwatched> {
    let ways = [Unwatched::TooShort, Unwatched::NotPython, Unwatched::Unreadable, Unwatched::TooMany];
    proptest::sample::select(ways.to_vec())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Capture), process().prop_map(Scope::Process)]
}

fn health() -> impl Strategy<Value = Health> {
    (number(), number(), number(), number(), number(), ns()).prop_map(
        |(ticks, late, failed_reads, torn_reads, dropped_events, own_cpu)| Health {
            ticks,
            late,
            failed_reads,
            torn_reads,
            dropped_events,
            own_cpu,
        },
    )
}

fn core_totals() -> impl Strategy<Value = CoreTotals> {
    (cpu(), number(), number(), number()).prop_map(|(cpu, idle, busy, stolen)| CoreTotals { cpu, idle, busy, stolen })
}

fn frame_key() -> impl Strategy<Value = FrameKey> {
    key().prop_map(FrameKey)
}

fn stack_key() -> impl Strategy<Value = StackKey> {
    key().prop_map(StackKey)
}

fn stacks() -> impl Strategy<Value = What> {
    let frame =
        (name(), name(), any::<u32>()).prop_map(|(file, function, line)| Box::new(Frame { file, function, line }));
    let cause = prop_oneof![ns().prop_map(|every| SampleCause::Random { every }), Just(SampleCause::LongHold)];
    let sampled = (gil(), thread(), number(), proptest::option::of(stack_key()), cause);
    let why =
        prop_oneof![Just(StacksMissing::NotAsked), Just(StacksMissing::UnknownLayout), Just(StacksMissing::Unreadable)];
    prop_oneof![
        (frame_key(), frame).prop_map(|(frame, info)| What::FrameFound { frame, info }),
        (stack_key(), vec(frame_key(), 0..12)).prop_map(|(stack, frames)| What::StackFound { stack, frames }),
        sampled.prop_map(|(gil, thread, instant, stack, cause)| What::StackSampled {
            gil,
            thread,
            instant: MonoNs(instant),
            stack,
            cause
        }),
        (gil(), thread(), number(), proptest::option::of(stack_key()), ns()).prop_map(
            |(gil, thread, instant, stack, stands_for)| What::WaiterSampled {
                gil,
                thread,
                instant: MonoNs(instant),
                stack,
                stands_for
            }
        ),
        (process(), why).prop_map(|(process, why)| What::StacksMissing { process, why }),
    ]
}

fn costs() -> impl Strategy<Value = Costs> {
    let origin = prop_oneof![Just(CostOrigin::Assumed), Just(CostOrigin::Measured)];
    let lags = (ns(), ns()).prop_map(|(asking, taking)| Lags { asking, taking });
    (ns(), ns(), ns(), ns(), ns(), ns(), origin, lags).prop_map(
        |(exception, armed_switch, record, arming, trace, budget, origin, lags)| Costs {
            exception,
            armed_switch,
            record,
            arming,
            trace,
            budget,
            origin,
            lags,
        },
    )
}

fn spent() -> impl Strategy<Value = Spent> {
    (number(), number(), number(), number(), number(), ns(), ns()).prop_map(
        |(exceptions, armed_switches, records, arms, traces, cost, worst_second)| Spent {
            exceptions,
            armed_switches,
            records,
            arms,
            traces,
            cost,
            worst_second,
        },
    )
}

pub fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::Registers),
        Just(Refusal::Limits),
        Just(Refusal::TooManyThreads),
        Just(Refusal::NotPermitted)
    ]
}

/// Every kind of event, with every value; the order is anything but legal.
fn what() -> impl Strategy<Value = What> {
    let relation = prop_oneof![
        Just(Relation::Apart),
        Just(Relation::Waiting),
        Just(Relation::HandingOver),
        Just(Relation::Unknown)
    ];
    let reason = prop_oneof![
        Just(RateReason::Asked),
        Just(RateReason::TooCostly),
        Just(RateReason::Recovered),
        Just(RateReason::Quiet)
    ];
    let rare = prop_oneof![
        capture().prop_map(What::CaptureStarted),
        Just(What::CaptureEnded),
        (process(), process_info()).prop_map(|(process, info)| What::ProcessFound { process, info }),
        (process(), ending()).prop_map(|(process, ending)| What::ProcessEnded { process, ending }),
        (process(), any::<u32>()).prop_map(|(process, child)| What::Forked { process, child: Pid(child) }),
        (process(), interpreter(), proptest::option::of(gil()))
            .prop_map(|(process, interpreter, gil)| What::InterpreterFound { process, interpreter, gil }),
        (process(), interpreter()).prop_map(|(process, interpreter)| What::InterpreterEnded { process, interpreter }),
        (gil(), process(), ns()).prop_map(|(gil, process, switch_interval)| What::GilFound {
            gil,
            process,
            switch_interval
        }),
    ];
    let rare_too = prop_oneof![
        (gil(), ns()).prop_map(|(gil, switch_interval)| What::SwitchIntervalChanged { gil, switch_interval }),
        (thread(), thread_info()).prop_map(|(thread, info)| What::ThreadFound { thread, info }),
        (thread(), name()).prop_map(|(thread, name)| What::ThreadNamed { thread, name }),
        (thread(), interpreter()).prop_map(|(thread, interpreter)| What::ThreadJoined { thread, interpreter }),
        thread().prop_map(|thread| What::ThreadEnded { thread }),
        (process(), key(), unwatched()).prop_map(|(process, child, why)| What::ChildUnwatched {
            process,
            child: Pid(child),
            why
        }),
        (ns(), reason, scope()).prop_map(|(interval, reason, of)| What::RateChanged { interval, reason, of }),
        (health(), scope()).prop_map(|(health, of)| What::Health(health, of)),
        (ns(), vec(core_totals(), 0..6)).prop_map(|(tick, cores)| What::CoresRead { tick, cores }),
        (thread(), vec(cpu(), 0..6)).prop_map(|(thread, cpus)| What::AffinityKnown { thread, cpus }),
        (process(), footprint(), footprint()).prop_map(|(process, own, tree)| What::MemoryRead { process, own, tree }),
    ];
    let departure = prop_oneof![Just(Departure::Asleep), Just(Departure::Preempted)];
    let lost = number().prop_map(|records| SwitchesEnd::Lost { records });
    let why = prop_oneof![lost, Just(SwitchesEnd::TooCostly), Just(SwitchesEnd::Refused)];
    let why_futexes = prop_oneof![Just(SwitchesEnd::TooCostly), Just(SwitchesEnd::Refused)];
    let site = prop_oneof![
        Just(FutexSite::Cond),
        Just(FutexSite::Mutex),
        Just(FutexSite::SwitchCond),
        Just(FutexSite::SwitchMutex)
    ];
    let switches = prop_oneof![
        thread().prop_map(|thread| What::SwitchesBegin { thread }),
        (thread(), why).prop_map(|(thread, why)| What::SwitchesEnd { thread, why }),
        (thread(), cpu()).prop_map(|(thread, cpu)| What::SwitchedIn { thread, cpu }),
        thread().prop_map(|thread| What::FutexesBegin { thread }),
        (thread(), why_futexes).prop_map(|(thread, why)| What::FutexesEnd { thread, why }),
        (gil(), thread(), site).prop_map(|(gil, thread, site)| What::FutexEntered { gil, thread, site }),
        (thread(), departure).prop_map(|(thread, how)| What::SwitchedOut { thread, how }),
    ];
    let end = prop_oneof![
        Just(WindowEnd::Spent),
        Just(WindowEnd::Birth),
        number().prop_map(|records| WindowEnd::Lost { records }),
        Just(WindowEnd::Paused),
        Just(WindowEnd::Closed)
    ];
    let hit = || (gil(), thread(), number(), cpu());
    let windows = prop_oneof![
        costs().prop_map(What::CostsKnown),
        (spent(), scope()).prop_map(|(spent, of)| What::Spent(spent, of)),
        gil().prop_map(|gil| What::WindowBegins { gil }),
        (gil(), end).prop_map(|(gil, why)| What::WindowEnds { gil, why }),
        (gil(), refusal()).prop_map(|(gil, why)| What::WindowRefused { gil, why }),
        hit().prop_map(|(gil, thread, ip, cpu)| What::LockWritten { gil, thread, ip: Address(ip), cpu }),
        hit().prop_map(|(gil, thread, ip, cpu)| What::CondWritten { gil, thread, ip: Address(ip), cpu }),
    ];
    prop_oneof![
        1 => stacks(),
        2 => windows,
        2 => rare,
        2 => rare_too,
        2 => switches,
        4 => signals::what(),
        1 => natives::what(),
        3 => sample().prop_map(What::GilSample),
        3 => (thread(), gil(), relation).prop_map(|(thread, gil, relation)| What::Relation { thread, gil, relation }),
        3 => (thread(), usage()).prop_map(|(thread, usage)| What::Usage { thread, usage }),
    ]
}

/// Times that stand still, step, leap by many seconds, and now and then (which is illegal) go back.
fn stream() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![
        4 => Just(0i64),
        4 => 0i64..2_000_000,
        2 => 0i64..3_000_000_000,
        1 => -5_000_000_000i64..0,
    ];
    (number(), vec((step, what()), 0..200)).prop_map(|(start, steps)| {
        let mut at = start;
        steps
            .into_iter()
            .map(|(step, what)| {
                at = at.saturating_add_signed(step);
                Event { at: MonoNs(at), what }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(31), ..ProptestConfig::default() })]

    #[test]
    fn what_is_recorded_is_read(stream in stream()) {
        let mut reader = Reader::from_bytes(recording(&stream)).unwrap();
        prop_assert_eq!(events(&mut reader), stream.clone());
        prop_assert_eq!(reader.warnings(), vec![]);
        prop_assert_eq!(reader.event_count(), stream.len() as u64);
        for class_wanted in Class::ALL {
            let expected = stream.iter().filter(|event| class(&event.what) == class_wanted).count();
            prop_assert_eq!(reader.count(class_wanted), expected as u64);
        }
    }

    #[test]
    fn from_every_keyframe_come_the_same_events(stream in stream(), n in any::<proptest::sample::Index>()) {
        let mut reader = Reader::from_bytes(recording(&stream)).unwrap();
        for number in 0..reader.keyframes().len() {
            let position = reader.chunks()[reader.keyframes()[number]].header.position as usize;
            prop_assert_eq!(&events_from(&mut reader, Start::Keyframe(number)), &stream[position..]);
        }
        let n = n.index(stream.len() + 1);
        prop_assert_eq!(&events_from(&mut reader, Start::Event(n as u64)), &stream[n..]);
        prop_assert_eq!(reader.warnings(), vec![]);
    }
}
