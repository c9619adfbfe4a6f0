//! An experiment without a program: its order, its directory, and what it says of what came of it.

use std::fs;
use std::io::Write;

use gilscope::affinity::CpuSet;
use gilscope::compare::Run;
use gilscope::experiment::{
    Change, Done, Kind, Measured, Outcome, Plan, SCHEMA, Store, StoreError, Variant, describe, outcome_json,
    outcome_text, sentence,
};
use gilscope::figures::{self, Extent, Reading};
use gilscope::report::Color;
use gilscope::time::Ns;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::fixtures;

fn plan(cpus: &[&str]) -> Plan {
    let cpus: Vec<CpuSet> = cpus.iter().map(|list| CpuSet::parse(list).unwrap()).collect();
    let variants = Plan::combinations(&[(None, vec!["python3".to_owned()])], &cpus, &[]);
    Plan { variants, runs: 8, warm_ups: 1, bare: 8, seed: 3 }
}

fn measured(wall: f64) -> Measured {
    let time = |seconds: f64| Ns((seconds * 1e9) as u64);
    Measured {
        wall: time(wall),
        user: time(0.95 * wall),
        system: time(0.05 * wall),
        voluntary_switches: 100,
        involuntary_switches: 10,
        max_rss: 10 << 20,
        rss_floor: 5 << 20,
        status: 0,
    }
}

/// All runs of a plan, whose wall time is told by variant and kind; some per cent of chance are in it.
fn done(plan: &Plan, wall: impl Fn(usize, Kind) -> f64) -> Vec<Done> {
    let mut random = fastrand::Rng::with_seed(9);
    let made = plan.trials().into_iter().map(|trial| {
        let chance = 1.0 + 0.01 * (random.f64() - 0.5);
        let measured = Some(measured(chance * wall(trial.variant, trial.kind)));
        let recording = (trial.kind == Kind::Observed).then(|| "x".to_owned());
        Done { trial, start_unix_ns: 1_000_000_000 * (1 + trial.number as u64), measured, recording }
    });
    made.collect()
}

/// A recorded run with these figures, the others as they are in the fixture.
fn run(values: &[(&str, f64)]) -> Run {
    let mut run = Run::of("run", &fixtures::typical()).unwrap();
    for (figure, reading) in &mut run.readings {
        if let Some((_, value)) = values.iter().find(|(name, _)| *name == figure.name) {
            *reading = Reading::known(*value);
        }
    }
    run
}

#[test]
fn what_was_done_is_there_again_and_the_rest_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("x");
    let plan = plan(&["0", "0-1"]);
    let all = done(&plan, |_, _| 1.0);
    let mut store = Store::create(&root, plan.clone()).unwrap();
    assert!(matches!(Store::create(&root, plan.clone()), Err(StoreError::Exists(_))));
    all[..3].iter().for_each(|done| store.note(done.clone()).unwrap());
    drop(store);
    // A line that was cut off, one of another experiment, and what is none.
    let mut runs = fs::OpenOptions::new().append(true).open(root.join("runs.jsonl")).unwrap();
    let mut stranger = all[3].clone();
    stranger.trial.number = 999;
    writeln!(runs, "{}\n{{}}\nx", serde_json::to_string(&stranger).unwrap()).unwrap();
    write!(runs, "{}", &serde_json::to_string(&all[3]).unwrap()[..40]).unwrap();
    let mut store = Store::open(&root).unwrap();
    assert_eq!((store.plan(), store.done()), (&plan, &all[..3]));
    assert_eq!(store.left(), plan.trials()[3..]);
    all[3..].iter().for_each(|done| store.note(done.clone()).unwrap());
    assert!(store.left().is_empty());
    assert_eq!(Store::open(&root).unwrap().done().len(), all.len());
    assert!(plan.variants.iter().all(|variant| root.join(variant.directory()).is_dir()));
}

#[test]
fn a_directory_that_is_no_experiment_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = |text: Option<&str>| {
        if let Some(text) = text {
            fs::write(directory.path().join("experiment.json"), text).unwrap();
        }
        fs::write(directory.path().join("runs.jsonl"), "").unwrap();
        Store::open(directory.path()).unwrap_err().to_string()
    };
    assert!(open(None).contains("no directory of an experiment"));
    assert!(open(Some("{")).contains("experiment.json"));
    let mut planned = serde_json::json!({ "version": 2, "tool_version": "0.1.0", "plan": plan(&["0"]) });
    assert!(open(Some(&planned.to_string())).contains("version 2"));
    planned["version"] = 1.into();
    planned["plan"]["runs"] = 1_000_000_000_u64.into();
    assert!(open(Some(&planned.to_string())).contains("more runs"));
}

#[test]
fn a_slower_variant_and_what_looking_cost_are_told() {
    let plan = plan(&["0-1", "0"]);
    let done = done(&plan, |variant, kind| {
        let observed = if kind == Kind::Bare { 1.0 } else { 1.02 };
        observed * if variant == 1 { 1.96 } else { 1.0 }
    });
    let outcome = Outcome::of(&plan, &done, |_| Some(run(&[("cores.gil", 1.0), ("cores.native", 0.96)])));
    let (place, comparison) = &outcome.comparisons[0];
    let (what, change) = describe(&plan.variants[0], &plan.variants[*place]);
    assert_eq!((what.as_str(), change), ("cores 0 instead of 0-1", Change::FewerCores));
    let said = sentence(comparison, change);
    assert!(said.starts_with("1.9") && said.contains("x slower (") && said.contains("CI 1.9"), "{said}");
    assert!(said.contains("49.0 % of its time on cores was without the GIL, and that has fewer cores now"), "{said}");
    let cost = outcome.cost.unwrap();
    let (from, to) = cost.wall_interval.unwrap();
    assert!(from > 1.01 && to < 1.03 && cost.runs == (16, 16), "{cost:?}");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let document = outcome_json(&outcome).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.validate(&document).map_err(|error| format!("{error} at {}", error.instance_path())).unwrap();
    for width in [0, 10, 60, 100, 200] {
        for line in outcome_text(&outcome, width, Color::Never).lines() {
            assert!(line.width() <= usize::from(width).max(2), "{width}: {line:?}");
        }
    }
    assert!(outcome_text(&outcome, 100, Color::Never).contains("What observing cost, by 16 bare runs beside 16"));
}

#[test]
fn where_nothing_differs_it_says_how_much_would_have_been_seen() {
    let plan = plan(&["0-1", "0"]);
    let done = done(&plan, |_, _| 1.0);
    let outcome = Outcome::of(&plan, &done, |_| None);
    let said = sentence(&outcome.comparisons[0].1, Change::FewerCores);
    assert!(said.starts_with("no difference in wall time that 8 runs a side can show (within "), "{said}");
}

#[test]
fn where_nothing_is_crippled_that_is_said_and_no_more() {
    let plan = plan(&["0-1", "0"]);
    let mut done = done(&plan, |_, _| 1.0);
    done.iter_mut().for_each(|done| done.measured = None);
    let mut random = fastrand::Rng::with_seed(1);
    let outcome = {
        let random = std::cell::RefCell::new(&mut random);
        Outcome::of(&plan, &done, |done| {
            let chance = 1.0 + 0.1 * random.borrow_mut().f64();
            let less = if done.trial.variant == 1 { 0.02 } else { 1.0 };
            Some(run(&[("lost", chance * less), ("cores.gil", 1.0), ("cores.native", 0.001)]))
        })
    };
    let said = sentence(&outcome.comparisons[0].1, Change::FewerCores);
    assert!(said.starts_with("what it gets done is not measured here, but time lost waiting falls by 98 %"), "{said}");
    assert!(said.ends_with("; next to nothing ran without the GIL, so nothing is crippled."), "{said}");
    assert!(outcome.cost.is_none());
    let lost = outcome.sides[1].median(&figures::LOST);
    assert!(matches!(lost, Reading::Known { value, .. } if value < 0.03), "{lost:?}");
    let shorter = Variant { switch_interval: Some(Ns::from_micros(500)), ..plan.variants[0].clone() };
    let (what, change) = describe(&plan.variants[0], &shorter);
    assert_eq!((what.as_str(), change), ("a switch interval of 500 us instead of its own", Change::Other));
}

#[test]
fn what_was_not_there_before_is_told_with_its_size_and_whose_figures_they_are() {
    let plan = plan(&["0-1", "0"]);
    let done = done(&plan, |variant, _| if variant == 1 { 3.0 } else { 1.0 });
    let outcome = Outcome::of(&plan, &done, |done| {
        let mut run = run(&[("lost", 0.9), ("handoffs.forced", 180.0)]);
        if done.trial.variant == 1 {
            run.extent = Extent { processes: 3, gils: 3, ..Extent::default() };
            run.extent.left_out.too_short = done.trial.run as u64;
        }
        let set = |run: &mut Run, name: &str, to: Reading| {
            run.readings.iter_mut().filter(|(figure, _)| figure.name == name).for_each(|(_, reading)| *reading = to);
        };
        let chance = done.trial.run as f64 * 1e-3;
        match done.trial.variant {
            0 => {
                set(&mut run, "waits.p50", Reading::Nothing);
                set(&mut run, "lost", Reading::known(0.0));
                set(&mut run, "handoffs.forced", Reading::known(2.0));
            }
            _ => set(&mut run, "waits.p50", Reading::known(5.1e6)),
        }
        set(&mut run, "memory.pss", Reading::known((1.0 + chance) * if done.trial.variant == 0 { 1e7 } else { 3e7 }));
        Some(run)
    });
    let said = sentence(&outcome.comparisons[0].1, Change::Other);
    assert!(said.starts_with("3.0") || said.starts_with("2.9"), "{said}");
    let parts = [
        "; CPU time becomes x",
        "; time lost waiting rises from nothing (to 900 ms/s), forced handoffs become x90.0 (from 2.0 /s to 180 /s) and there are \
         waits, and the median one takes 5.10 ms",
        "; memory of all processes (PSS) becomes x3.00 (from 9.58 MiB to 28.7 MiB)",
        "; the GIL's figures are of all GILs together (the one: 1 process; the other: 3 processes, each with a GIL of its own), but \
         shares of time of the one GIL that has most; processes that were not looked into are in none of these (the other: up to 8 \
         that ended too soon).",
    ];
    let mut rest = said.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not in {rest:?} of {said:?}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(rest, "");
    // Nothing is left out where it is narrow.
    let shown = outcome_text(&outcome, 60, Color::Never);
    for title in ["wall", "CPU", "lost", "wait p50", "handoffs", "forced", "native", "PSS", "switches"] {
        assert!(shown.contains(title), "{title}: {shown}");
    }
}
