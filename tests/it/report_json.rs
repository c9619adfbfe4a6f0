//! The report for programs keeps its contract, whatever the snapshot.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use gilscope::event::{Cpu, Ending, GilKey, InterpreterId, Pid, ThreadKey, Tid};
use gilscope::findings::Allowed;
use gilscope::model::snapshot::{
    Convoy, ConvoyCulprit, CoreFigures, Distribution, GilFigures, Overdue, Snapshot, Source, StateTimes, ThreadCore,
    ThreadFigures,
};
use gilscope::report::{SCHEMA, SCHEMA_VERSION, TextOptions, json, summary_line, text, write_json};
use gilscope::time::{MonoNs, Ns};
use hdrhistogram::Histogram;
use proptest::prelude::*;
use serde_json::{Value, json as value};
use unicode_width::UnicodeWidthStr;

use crate::fixtures::{self, Scene, Thread};

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn check(validator: &jsonschema::Validator, document: &Value) -> Result<(), String> {
    validator.validate(document).map_err(|error| format!("{error} at {}", error.instance_path()))
}

/// A document in which every optional figure is there.
fn full() -> Value {
    let mut snapshot = fixtures::typical();
    let process = &mut snapshot.processes[0];
    process.ending = Some(Ending::Execed { path: "/bin/true".to_owned() });
    process.children = vec![Pid(7)];
    let waits = process.threads[1].waits.clone();
    process.threads[1].needless_releases = Some(3);
    process.threads[1].cores[0].on_cpu = Some(Ns(5));
    process.cores[0].target_on_cpu = Some(Ns(5));
    process.cores[0].other = Some(Ns(6));
    let gil = Arc::get_mut(process.interpreters[0].gil.as_mut().unwrap()).unwrap();
    gil.held_preempted = Some(0.1);
    gil.forced_handoffs = Some(4);
    gil.cross_core_handoffs = Some(5);
    gil.drop_latency = Some(waits.clone());
    process.interrupts = Some(Arc::new(fixtures::interrupts(&waits)));
    let mut document = json(&snapshot, Allowed::NONE).unwrap();
    let culprits = value!([{"thread": 1, "share": 0.9, "stack": ["a.py:f:3"]}]);
    let process = &mut document["processes"][0];
    process["capture"]["perturbation"] = value!({"contention": 0.2, "handoffs": 1.5});
    process["convoys"] = value!([{"interpreter": 0, "victim": 2, "culprits": culprits, "start_ns": 1, "end_ns": 2,
        "waits": 9, "lost_ns": 1, "slowdown": 1.5, "switch_interval_ns": 5_000_000}]);
    process["blame"] = value!([{"waiter": 2, "holder": null, "held_by": "nobody", "ns": 5, "samples": 1, "basis": "unsampled",
            "stack": [], "native": "libc.so.6:read"}]);
    process["findings"] = value!([{"id": "convoy", "severity": "warn", "message": "m", "advice": "a", "interpreter": 0,
        "culprit": 1, "function": "a.py:f:3", "native": "libc.so.6:read", "evidence": {}}]);
    document
}

#[test]
fn interrupts_are_told_in_text_and_names_stay_tame() {
    let mut snapshot = fixtures::hostile_names();
    let waits = fixtures::typical().processes[0].threads[1].waits.clone();
    snapshot.processes[0].interrupts = Some(Arc::new(fixtures::interrupts(&waits)));
    for width in [0, 7, 40, 80, 120] {
        let text =
            text(&snapshot, &TextOptions { width, color: gilscope::report::Color::Never, allowed: Allowed::NONE });
        for line in text.lines() {
            assert!(line.width() <= usize::from(width), "{line:?}");
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
        if width == 120 {
            for shown in ["SIGINT", "mostly the GIL, behind rtl", "(x12)", "SIGUSR1", "pending for", "not predictable"]
            {
                assert!(text.contains(shown), "no {shown}: {text}");
            }
        }
    }
    let document = json(&snapshot, Allowed::NONE).unwrap();
    check(&validator(), &document).unwrap();
    let interrupts = &document["processes"][0]["interrupts"];
    assert_eq!(interrupts["measured"][0]["culprits"], value!([{"thread": 1, "share": 0.75, "stack": []}]));
    assert_eq!(interrupts["pending"][0]["stage"], "tripped");
}

#[test]
fn every_scene_keeps_the_schema() {
    let validator = validator();
    for (name, snapshot) in fixtures::all() {
        let document = json(&snapshot, Allowed::NONE).unwrap();
        check(&validator, &document).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(document["schema_version"], SCHEMA_VERSION);
    }
    check(&validator, &full()).unwrap();
}

/// Every place in a document, as a JSON pointer.
fn places(document: &Value, at: &str, found: &mut Vec<String>) {
    match document {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let at = format!("{at}/{key}");
                found.push(at.clone());
                places(inner, &at, found);
            }
        }
        Value::Array(items) => {
            for (i, inner) in items.iter().enumerate().take(2) {
                places(inner, &format!("{at}/{i}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_document_that_lacks_a_field_or_has_it_wrong_is_refused() {
    let validator = validator();
    let full = full();
    let mut found = Vec::new();
    places(&full, "", &mut found);
    // Only the contents of evidence are free.
    assert!(found.len() > 300, "{}", found.len());
    for place in found {
        let (parent, key) = place.rsplit_once('/').unwrap();
        let mut without = full.clone();
        without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        assert!(check(&validator, &without).is_err(), "accepted without {place}");
        let mut wrong = full.clone();
        *wrong.pointer_mut(&place).unwrap() = value!([[{"wrong": -1}]]);
        assert!(check(&validator, &wrong).is_err(), "accepted a wrong {place}");
        if !place.ends_with("/evidence") && full.pointer(&place).unwrap().is_object() {
            let mut more = full.clone();
            more.pointer_mut(&place).unwrap()["unheard_of"] = value!(1);
            assert!(check(&validator, &more).is_err(), "accepted a field too many in {place}");
        }
        if full.pointer(&place).unwrap().is_number() {
            let mut negative = full.clone();
            *negative.pointer_mut(&place).unwrap() = value!(-1);
            let signed = place.ends_with("/interpreter")
                || place.contains("/interpreters/") && key == "id" && !place.contains("/gil/");
            assert_eq!(check(&validator, &negative).is_ok(), signed, "{place} = -1");
        }
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn walk(schema: &Value, at: &str) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let required: Vec<&str> =
                schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
            for (key, inner) in properties {
                let described = inner["description"].as_str().is_some_and(|text| text.len() > 3);
                assert!(described, "{at}/{key} has no description");
                assert!(required.contains(&key.as_str()), "{at}/{key} is not required");
            }
        }
        match schema {
            Value::Object(fields) => fields.iter().for_each(|(key, inner)| walk(inner, &format!("{at}/{key}"))),
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, at)),
            _ => {}
        }
    }
    walk(&serde_json::from_str(SCHEMA).unwrap(), "");
}

#[test]
fn what_sampling_cannot_see_is_null_and_what_it_saw_is_there() {
    let document = json(&fixtures::sleeping_holder(), Allowed::NONE).unwrap();
    let process = &document["processes"][0];
    assert_eq!((&process["convoys"], &process["findings"][0]["id"]), (&value!([]), &value!("never-releases")));
    assert_eq!(process["findings"][0]["culprit"], 1);
    assert!(process["interrupts"].is_null());
    for absent in ["perturbation", "overhead_estimate", "exception_cost_ns", "budget"] {
        assert!(process["capture"][absent].is_null(), "{absent}");
    }
    let gil = &process["interpreters"][0]["gil"];
    assert!(gil["held_preempted"].is_null() && gil["forced_handoffs"].is_null());
    assert!((gil["held_asleep"].as_f64().unwrap() - 0.79 / 0.998).abs() < 1e-6);
    assert_eq!(gil["lost_ns"], 7_440_000_000u64);
    assert_eq!(process["verdict"]["answer"], "is");
    assert_eq!(process["target"]["switch_interval_ns"], 5_000_000);
    assert_eq!(process["capture"]["mode"], "sampled");
    let states = process["threads"][0]["states_ns"].as_object().unwrap();
    assert_eq!(states.values().map(|v| v.as_u64().unwrap()).sum::<u64>(), 12_000_000_000);
}

#[test]
fn a_shared_gil_is_the_same_and_no_gil_is_null() {
    let two = json(&fixtures::two_interpreters(), Allowed::NONE).unwrap();
    let ids: Vec<&Value> = (0..3).map(|i| &two["processes"][0]["interpreters"][i]["gil"]["id"]).collect();
    assert_eq!(ids, [&value!(0), &value!(1), &value!(0)]);
    let free = json(&fixtures::free_threaded(), Allowed::NONE).unwrap();
    assert!(free["processes"][0]["interpreters"][0]["gil"].is_null());
    assert!(free["processes"][0]["target"]["switch_interval_ns"].is_null());
}

#[test]
fn nothing_is_known_below_the_resolution() {
    let mut histogram = Histogram::<u32>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    histogram.record_n(400, 60).unwrap();
    histogram.record_n(2_500, 30).unwrap();
    histogram.record_n(70_000, 10).unwrap();
    let mut snapshot = fixtures::one_busy();
    snapshot.processes[0].threads[0].waits = Distribution {
        source: Source::Sampled,
        resolution: Ns(1_000),
        histogram: Some(Arc::new(histogram)),
        total: Ns(799_000),
        censored: 2,
        below_resolution: 60,
    };
    let waits = json(&snapshot, Allowed::NONE).unwrap()["processes"][0]["threads"][0]["waits"].clone();
    assert_eq!(waits["count"], 100);
    assert_eq!((&waits["min_ns"], &waits["p50_ns"]), (&Value::Null, &Value::Null));
    assert!(waits["p90_ns"].as_u64().unwrap().abs_diff(2_500) < 10 && waits["max_ns"].as_u64().unwrap() >= 70_000);
    assert_eq!(waits["buckets"], value!([[1_000, 60], [3_072, 30], [98_304, 10]]));
}

#[test]
fn an_unobserved_gil_has_no_shares() {
    let document = json(&Scene::new(1).lasting(0.0).thread(Thread::main("m")).snapshot(), Allowed::NONE).unwrap();
    let gil = &document["processes"][0]["interpreters"][0]["gil"];
    for absent in ["load", "contention", "demand", "mean_waiters", "lost_ns", "held_asleep"] {
        assert!(gil[absent].is_null(), "{absent}");
    }
}

#[test]
fn the_written_document_is_one_safe_line_and_means_the_same() {
    let snapshot = fixtures::hostile_names();
    let mut out = Vec::new();
    write_json(&snapshot, Allowed::NONE, &mut out).unwrap();
    let written = String::from_utf8(out).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), json(&snapshot, Allowed::NONE).unwrap());
    let line = written.strip_suffix('\n').unwrap();
    assert!(!line.chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}' | '\u{200d}')));
    assert!(line.starts_with(r#"{"schema_version":1,"tool":{"name":"gilscope","version":""#));
    let name = |i: usize| serde_json::from_str::<Value>(line).unwrap()["processes"][0]["threads"][i]["name"].clone();
    assert_eq!(name(1), "rtl \u{202e}gpj.exe");
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 0..20_000_000_000u64]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(1e300), any::<f64>(), 0.0..1.0f64]
}

fn distribution() -> impl Strategy<Value = Distribution> {
    (proptest::collection::vec((number(), 1..9u32), 0..20), number(), number(), number()).prop_map(
        |(lengths, resolution, total, cut)| {
            let mut histogram = Histogram::<u32>::new_with_bounds(1, u64::MAX / 2, 2).unwrap();
            for (length, times) in &lengths {
                for _ in 0..*times {
                    histogram.saturating_record(*length);
                }
            }
            Distribution {
                source: Source::Sampled,
                resolution: Ns(resolution),
                histogram: (!lengths.is_empty()).then(|| Arc::new(histogram)),
                total: Ns(total),
                censored: cut,
                below_resolution: cut,
            }
        },
    )
}

fn states() -> impl Strategy<Value = StateTimes> {
    proptest::array::uniform8(number()).prop_map(|[a, b, c, d, e, f, g, h]| StateTimes {
        running: Ns(a),
        holding_off_cpu: Ns(b),
        waiting: Ns(c),
        handing_over: Ns(d),
        native: Ns(e),
        runnable: Ns(f),
        idle: Ns(g),
        unknown: Ns(h),
    })
}

fn thread() -> impl Strategy<Value = ThreadFigures> {
    let template = fixtures::ended().processes[0].threads[0].clone();
    (any::<String>(), states(), distribution(), distribution(), number(), proptest::option::of(number())).prop_map(
        move |(name, states, waits, holds, n, maybe)| ThreadFigures {
            name,
            tid: maybe.map(|n| Tid(n as u32)),
            interpreters: vec![InterpreterId((n % 3) as i64 - 1)],
            start: MonoNs(n),
            end: maybe.map(MonoNs),
            states,
            lost: Ns(n),
            rounds_lost: maybe,
            voluntary_switches: maybe,
            waits,
            holds,
            cores: vec![ThreadCore { cpu: Cpu(n as u16), on_cpu: maybe.map(Ns), gil_held: Ns(n) }],
            ..template.clone()
        },
    )
}

fn hostile() -> impl Strategy<Value = Snapshot> {
    let strings = proptest::collection::vec(any::<String>(), 0..5);
    let floats = proptest::array::uniform8(float());
    let numbers = proptest::array::uniform8(number());
    let threads = proptest::collection::vec(thread(), 0..30);
    (strings, floats, numbers, threads, distribution()).prop_map(|(strings, f, n, threads, waits)| {
        let mut snapshot = fixtures::two_interpreters();
        snapshot.at = MonoNs(n[0]);
        let process = &mut snapshot.processes[0];
        Arc::make_mut(&mut process.target).cmdline = strings.clone();
        process.ending = strings.first().map(|path| Ending::Execed { path: path.clone() });
        process.capture.start = MonoNs(n[1]);
        process.capture.duration = Ns(n[2]);
        process.capture.coverage = f[0];
        process.capture.interval = Ns(n[3]);
        process.capture.resolution = Ns(n[4]);
        process.capture.health.own_cpu = Ns(n[5]);
        process.capture.samples = n[6];
        process.folded_threads = n[7];
        for interpreter in &mut process.interpreters {
            let Some(gil) = &interpreter.gil else { continue };
            interpreter.gil = Some(Arc::new(GilFigures {
                observed: Ns(n[2]),
                load: f[1],
                held_off_cpu: Some(f[2]),
                held_asleep: Some(f[3]),
                held_preempted: Some(f[4]),
                contention: f[5],
                demand: f[6],
                mean_waiters: f[7],
                max_waiters: n[3] as u32,
                lost: Ns(n[4]),
                handoffs: n[5],
                cross_core_handoffs: Some(n[6]),
                overdue: Some(vec![Overdue {
                    holder: ThreadKey(n[0] as u32 % 4),
                    asked: Ns(n[1]),
                    asleep: Ns(n[2]),
                    unasked: Ns(n[3]),
                    longest: Ns(n[4]),
                }]),
                waits: waits.clone(),
                ..(**gil).clone()
            }));
        }
        process.cores = vec![CoreFigures {
            cpu: Cpu(1),
            target_on_cpu: None,
            gil_held: Ns(n[6]),
            other: Some(Ns(n[7])),
            busy: None,
            stolen: None,
        }];
        process.threads = threads;
        process.convoys = Some(vec![Convoy {
            gil: GilKey(n[0] as u32 % 3),
            victim: ThreadKey(n[1] as u32 % 4),
            culprits: vec![ConvoyCulprit { thread: ThreadKey(n[2] as u32 % 4), share: f[0] }],
            start: MonoNs(n[3]),
            end: MonoNs(n[4]),
            waits: n[5],
            lost: Ns(n[6]),
            slowdown: f[1],
            switch_interval: Ns(n[7]),
        }]);
        snapshot
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_hostile_snapshot_makes_a_valid_document_and_a_tame_text(snapshot in hostile(), width in 0u16..160) {
        let document = json(&snapshot, Allowed::NONE).unwrap();
        prop_assert_eq!(check(&validator(), &document), Ok(()));
        let text = text(&snapshot, &TextOptions { width, color: gilscope::report::Color::Never, allowed: Allowed::NONE });
        for line in text.lines() {
            prop_assert!(line.width() <= usize::from(width).min(120), "{} > {}: {:?}", line.width(), width, line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
        prop_assert!(!text.contains("NaN") && !text.contains("inf "), "{}", text);
        let line = summary_line(&snapshot);
        prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
    }
}
