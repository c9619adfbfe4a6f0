//! What the doctor makes of facts: its verdicts, its words, and the shape of its JSON.

use gilscope::doctor::{
    Capabilities, Diagnosis, Facts, Host, Memory, Namespace, Outcome, OwnWatchpoint, Precision, Process, Protected,
    Python, Rings, SCHEMA, Seccomp, Waiters, diagnose, text, write_json,
};
use gilscope::event::{Build, Pid, PythonVersion};
use gilscope::instruments::perf::{Place, Refusal, Why};
use gilscope::report::Color;
use gilscope::target::AttachError;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

const ROOT: u64 = 0x1ff_ffff_ffff;

fn refusal(why: Why) -> Refusal {
    Refusal { why, place: Place::Host }
}

/// Where everything works.
fn host() -> Host {
    Host {
        kernel: "6.1.0".to_owned(),
        architecture: "x86_64",
        cores: 2,
        uid: Some(1000),
        capabilities: Capabilities(0),
        paranoid: Some(2),
        yama: None,
        seccomp: Seccomp::Off,
        place: Place::Host,
        user_namespace: Namespace::Initial,
        own_memory: Ok(()),
        switch_records: Ok(()),
        watchpoint: OwnWatchpoint::Hits,
        threads: Some(3),
        rings: Rings { tried: 3, had: 3, refusal: None },
        memory_lock: Some(8 << 20),
        perf_lock_kb: Some(516),
        descriptors: Some(1024),
        tracepoints: Err(refusal(Why::TracefsOfRoot)),
        stack_samples: Ok(()),
    }
}

fn process() -> Process {
    Process {
        pid: Pid(4242),
        uid: Some(1000),
        protected: Some(Protected::No),
        user_namespace: Namespace::Initial,
        threads: Some(3),
        tracer: None,
        memory: Memory::Works,
        switch_records: Ok(()),
        watchpoints: Ok(4),
        python: Ok(Python {
            version: PythonVersion { major: 3, minor: 11, patch: Some(2) },
            build: Build::Default,
            libc: "glibc 2.36".to_owned(),
            interpreters: 1,
            threads: 3,
            gils: 1,
            waiters: Waiters::Counted,
        }),
    }
}

fn not_read() -> (Memory, Result<Python, AttachError>) {
    let memory = Memory::NotPermitted {
        why: "kernel.yama.ptrace_scope is 1".to_owned(),
        next: "sudo gilscope attach 4242".to_owned(),
    };
    (memory, Err(AttachError::NotPython { pid: Pid(4242), program: String::new() }))
}

fn of(host: Host, process: Option<Process>) -> Diagnosis {
    diagnose(&Facts { host, process })
}

#[track_caller]
fn assert_can(diagnosis: &Diagnosis, auto: Option<Precision>, outcomes: [Outcome; 3]) {
    let said: Vec<Outcome> = diagnosis.verdicts.iter().map(|verdict| verdict.outcome).collect();
    assert_eq!(said, outcomes, "{:#?}", diagnosis.verdicts);
    assert_eq!(diagnosis.auto, auto);
}

fn page(diagnosis: &Diagnosis) -> String {
    text(diagnosis, 100, Color::Never)
}

/// The text on one line, however it was wrapped.
fn words(diagnosis: &Diagnosis) -> String {
    page(diagnosis).split_whitespace().collect::<Vec<_>>().join(" ")
}

use Outcome::{Missing, Partly, Works};

#[test]
fn where_all_works_auto_takes_the_switch_records() {
    let diagnosis = of(host(), Some(process()));
    assert_can(&diagnosis, Some(Precision::Fused), [Works, Works, Works]);
    assert!(diagnosis.checks.iter().all(|check| check.next.is_none() && check.costs.is_none()), "{diagnosis:#?}");
    assert!(words(&diagnosis).contains("pid 4242: CPython 3.11.2 on glibc 2.36"));
}

#[test]
fn memory_and_watchpoints_are_judged_apart() {
    let reads = |process: Process| process;
    let blind = |process: Process| {
        let (memory, python) = not_read();
        Process { memory, python, ..process }
    };
    let watched = |process: Process| process;
    let unwatched = |process: Process| Process {
        watchpoints: Err(refusal(Why::Stranger)),
        switch_records: Err(refusal(Why::Stranger)),
        ..process
    };
    let both = of(host(), Some(reads(watched(process()))));
    assert_can(&both, Some(Precision::Fused), [Works, Works, Works]);
    let reads_only = of(host(), Some(reads(unwatched(process()))));
    assert_can(&reads_only, Some(Precision::Sampled), [Works, Missing, Missing]);
    assert!(words(&reads_only).contains("can be read; its watchpoints are refused all the same"));
    let watchpoints_only = of(host(), Some(blind(watched(process()))));
    assert_can(&watchpoints_only, None, [Missing, Missing, Missing]);
    assert!(words(&watchpoints_only).contains("watchpoints are permitted, but where to put them is in its memory"));
    let neither = of(host(), Some(blind(unwatched(process()))));
    assert_can(&neither, None, [Missing, Missing, Missing]);
    assert!(!words(&neither).contains("watchpoints are permitted"));
    let pages = [&both, &reads_only, &watchpoints_only, &neither].map(page);
    for (at, one) in pages.iter().enumerate() {
        assert!(pages.iter().skip(at + 1).all(|other| other != one), "two of four read the same:\n{one}");
    }
}

#[test]
fn stock_systems_are_told_what_to_type() {
    // Debian: perf_event_paranoid 3; gilscope may not even follow itself.
    let paranoid = || refusal(Why::Paranoid(3));
    let debian = Host {
        paranoid: Some(3),
        switch_records: Err(paranoid()),
        watchpoint: OwnWatchpoint::Refused(paranoid()),
        rings: Rings { tried: 3, had: 0, refusal: Some(paranoid()) },
        stack_samples: Err(paranoid()),
        ..host()
    };
    let target = Process { switch_records: Err(paranoid()), watchpoints: Err(paranoid()), ..process() };
    let diagnosis = of(debian, Some(target));
    assert_can(&diagnosis, Some(Precision::Sampled), [Works, Missing, Missing]);
    assert!(words(&diagnosis).contains("kernel.perf_event_paranoid is 3"));
    assert!(words(&diagnosis).contains("--native always fails"));
    let step = "sudo sysctl kernel.perf_event_paranoid=2";
    assert_eq!(words(&diagnosis).matches(step).count(), 1, "a step is said once:\n{}", page(&diagnosis));
    // Docker: the profile refuses perf_event_open(2).
    let filtered = || Refusal { why: Why::Filtered("EPERM".to_owned()), place: Place::Container };
    let docker = Host { place: Place::Container, switch_records: Err(filtered()), ..host() };
    let diagnosis = of(docker, Some(Process { switch_records: Err(filtered()), ..process() }));
    assert_eq!(diagnosis.verdicts[1].outcome, Missing);
    assert!(words(&diagnosis).contains("--cap-add PERFMON"), "{}", page(&diagnosis));
}

#[test]
fn without_a_process_the_rights_decide() {
    let here =
        |yama, capabilities| of(Host { yama, capabilities: Capabilities(capabilities), threads: None, ..host() }, None);
    assert_can(&here(Some(1), ROOT), Some(Precision::Fused), [Works, Works, Works]);
    assert_can(&here(None, 0), Some(Precision::Fused), [Partly, Works, Works]);
    assert!(words(&here(None, 0)).contains("setcap 'cap_sys_ptrace,cap_perfmon=ep'"));
    assert!(words(&here(Some(1), 0)).contains("sudo sysctl kernel.yama.ptrace_scope=0"));
    assert_can(&here(Some(2), 0), None, [Missing, Missing, Missing]);
    assert_can(&here(Some(3), ROOT), None, [Missing, Missing, Missing]);
}

#[test]
fn limits_cost_threads_their_records() {
    let rings = |why, had| Rings { tried: 1000, had, refusal: Some(refusal(why)) };
    let locked = Host { threads: Some(1000), descriptors: Some(9999), rings: rings(Why::Locked, 80), ..host() };
    let diagnosis = of(locked, Some(process()));
    assert_can(&diagnosis, Some(Precision::Fused), [Works, Partly, Works]);
    assert!(words(&diagnosis).contains("switch records of 80 of 1000 threads"));
    assert!(words(&diagnosis).contains("ulimit -l unlimited"));
    let none = Host { rings: rings(Why::Locked, 0), ..host() };
    assert_can(&of(none, Some(process())), Some(Precision::Sampled), [Works, Missing, Missing]);
    let few = Host { threads: Some(1000), descriptors: Some(256), rings: rings(Why::Descriptors, 200), ..host() };
    let diagnosis = of(few, Some(process()));
    assert_can(&diagnosis, Some(Precision::Fused), [Works, Partly, Works]);
    assert!(words(&diagnosis).contains("ulimit -n 4096"), "{}", page(&diagnosis));
    // Without a process nobody asked for so many.
    let open = Host { threads: None, rings: rings(Why::Locked, 80), ..host() };
    assert_can(&of(open, None), Some(Precision::Fused), [Partly, Works, Works]);
}

#[test]
fn a_debugger_leaves_no_exact_mode() {
    let taken = Process { watchpoints: Err(refusal(Why::Registers)), tracer: Some(Pid(99)), ..process() };
    let diagnosis = of(host(), Some(taken));
    assert_can(&diagnosis, Some(Precision::Fused), [Works, Works, Missing]);
    assert!(words(&diagnosis).contains("process 99 traces it"));
    let one = of(host(), Some(Process { watchpoints: Ok(1), ..process() }));
    assert_can(&one, Some(Precision::Fused), [Works, Works, Missing]);
    let deaf = of(Host { watchpoint: OwnWatchpoint::Deaf, ..host() }, Some(process()));
    assert_can(&deaf, Some(Precision::Fused), [Works, Works, Missing]);
}

#[test]
fn what_has_no_gil_cannot_be_observed() {
    let mut free_threaded = process();
    if let Ok(python) = &mut free_threaded.python {
        *python = Python { build: Build::FreeThreaded, gils: 0, waiters: Waiters::NoGil, ..python.clone() };
    }
    assert_can(&of(host(), Some(free_threaded)), None, [Missing, Missing, Missing]);
}

/// One diagnosis of each sort.
fn all_sorts() -> Vec<Diagnosis> {
    let (memory, python) = not_read();
    let hostile = AttachError::NotPython { pid: Pid(4242), program: "/tmp/\u{1b}[31mred\u{202e}\n".to_owned() };
    let gone = Process {
        uid: None,
        threads: None,
        memory: Memory::Gone,
        python: Err(AttachError::NoSuchProcess(Pid(4242))),
        ..process()
    };
    vec![
        of(host(), Some(process())),
        of(host(), None),
        of(host(), Some(Process { memory, python, ..process() })),
        of(host(), Some(Process { python: Err(hostile), ..process() })),
        of(host(), Some(gone)),
        of(Host { own_memory: Err("no".to_owned()), architecture: "riscv64", threads: None, ..host() }, None),
    ]
}

#[test]
fn text_fits_and_needs_no_colour() {
    for diagnosis in all_sorts() {
        for width in [0, 40, 60, 79, 100, 200] {
            let plain = text(&diagnosis, width, Color::Never);
            assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}'), "{plain}");
            let widest = plain.lines().map(UnicodeWidthStr::width).max().unwrap();
            assert!(widest <= usize::from(width).max(40), "{widest} of {width}:\n{plain}");
            let mut painted = text(&diagnosis, width, Color::Ansi);
            for escape in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;36m"] {
                painted = painted.replace(escape, "");
            }
            assert_eq!(painted, plain);
        }
    }
}

#[test]
fn json_keeps_its_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for diagnosis in all_sorts() {
        let mut bytes = Vec::new();
        write_json(&diagnosis, &mut bytes).unwrap();
        assert!(bytes.is_ascii() || !String::from_utf8(bytes.clone()).unwrap().contains('\u{202e}'));
        assert!(!bytes.contains(&0x1b), "an escape reaches the terminal");
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        if let Err(error) = validator.validate(&document) {
            panic!("{error} at {} of {document}", error.instance_path());
        }
        // A document without one of its fields is not valid: the schema does hold something.
        for field in ["pid", "auto", "precisions", "checks"] {
            let mut less = document.clone();
            less.as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&less), "{field}");
        }
        assert_eq!(document["precisions"].as_array().unwrap().len(), 3);
    }
}
