//! Where runs come from, and what of that differs: shown before any figure, since it may be all there is to it.

use std::collections::BTreeSet;

use crate::compare::run::{Run, Side};
use crate::event::{Build, Cpu, Mode, Origin, ProcessInfo, cut};
use crate::figures::Whole;
use crate::model::snapshot::Snapshot;
use crate::time::Ns;
use crate::units;

/// Command lines are compared and shown up to so many bytes.
const MOST_COMMAND: usize = 512;
/// Coverage by which two sides differ, and less than which is worth a word.
const COVERAGE: (f64, f64) = (0.1, 0.9);
/// Different values within a run that are named.
const VALUES: usize = 4;
/// By how much two lengths of observation may differ.
const LENGTH: f64 = 1.5;

/// One thing that is known of where a run comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// What it is about.
    pub about: &'static str,
    /// What is so: from the target, so to be made safe before it is shown.
    pub value: String,
}

/// What is not the same on both sides, or within one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub about: &'static str,
    /// What is so in A, each once.
    pub a: Vec<String>,
    /// What is so in B.
    pub b: Vec<String>,
}

/// In which order the runs of two sides were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// By turns, or mixed: what changed meanwhile hit both.
    Mixed,
    /// All of one side before all of the other: what changed in between is in the difference.
    Phases,
    /// Some at the same time on one machine: they took cores from each other.
    AtOnce,
    /// Not known, or one run a side.
    NotKnown,
}

/// What is known of where a run comes from: of several processes, all that there is among them; the command line is of the first.
pub(super) fn facts(snapshot: &Snapshot, whole: &Whole<'_>) -> Vec<Fact> {
    let fact = |about: &'static str, value: String| Fact { about, value };
    let mut facts = vec![fact("Python", several(whole.processes().map(|process| python(&process.target))))];
    if let Some(first) = whole.processes().next() {
        let started = match first.target.origin {
            Origin::Attached => "a running process",
            Origin::Launched => "a program from its start",
        };
        facts.push(fact("command line", cut(&first.target.cmdline.join(" "), MOST_COMMAND).to_owned()));
        facts.push(fact("allowed CPUs", allowed(whole)));
        facts.push(fact("observed", started.to_owned()));
    }
    let intervals: BTreeSet<Ns> = whole.gils().map(|gil| gil.switch_interval).collect();
    if !intervals.is_empty() {
        facts.push(fact("switch interval", several(intervals.iter().map(Ns::to_string))));
    }
    let extent = whole.extent();
    facts.push(fact("GILs", extent.gils.to_string()));
    facts.push(fact("processes", extent.processes.to_string()));
    if let Some(info) = &snapshot.info {
        let mode = match info.mode {
            Mode::Sampled => "sampled",
            Mode::Fused => "fused",
            Mode::Exact => "exact",
        };
        facts.extend([
            fact("mode", mode.to_owned()),
            fact("looks", format!("every {}", info.interval)),
            fact("host", info.host.clone()),
            fact("kernel", info.kernel.clone()),
            fact("gilscope", info.tool_version.clone()),
        ]);
    }
    facts
}

fn python(target: &ProcessInfo) -> String {
    let build = match target.build {
        Build::Default => "",
        Build::FreeThreaded => ", free-threaded",
        Build::Debug => ", debug",
    };
    format!("{}{build}, {}", target.python, target.libc)
}

/// Each value once, and of very many the first.
fn several(values: impl Iterator<Item = String>) -> String {
    let mut each: Vec<String> = Vec::new();
    for value in values {
        if each.contains(&value) {
            continue;
        }
        if each.len() == VALUES {
            each.push("…".to_owned());
            break;
        }
        each.push(value);
    }
    each.join("; ")
}

/// The cores that its threads may use; where they may not all use the same, those of each.
fn allowed(whole: &Whole<'_>) -> String {
    let mut sets: BTreeSet<Vec<Cpu>> = BTreeSet::new();
    for process in whole.processes() {
        let common = &process.target.cpus_allowed;
        if process.threads.is_empty() {
            sets.insert(common.clone());
        }
        sets.extend(process.threads.iter().map(|thread| thread.cpus_allowed.as_deref().unwrap_or(common).to_vec()));
    }
    let list = |set: &Vec<Cpu>| units::cpu_list(&set.iter().map(|cpu| cpu.0).collect::<Vec<_>>());
    match sets.len() {
        0 | 1 => sets.iter().map(list).collect(),
        _ => format!("by thread: {}", several(sets.iter().map(list))),
    }
}

/// What is not the same.
pub(super) fn differences(a: &Side, b: &Side) -> Vec<Difference> {
    let mut abouts: Vec<&'static str> = Vec::new();
    for fact in a.runs.iter().chain(&b.runs).flat_map(|run| &run.facts) {
        if !abouts.contains(&fact.about) {
            abouts.push(fact.about);
        }
    }
    let values = |side: &Side, about: &str| -> Vec<String> {
        let all = side.runs.iter().flat_map(|run| &run.facts).filter(|fact| fact.about == about);
        all.map(|fact| fact.value.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let found = abouts.into_iter().map(|about| Difference { about, a: values(a, about), b: values(b, about) });
    let mut found: Vec<Difference> = found.filter(|one| one.a != one.b || one.a.len() > 1).collect();
    let less_covered = |x: f64, y: f64| (x - y).abs() > COVERAGE.0 || x.min(y) < COVERAGE.1;
    found.extend(measured(a, b, "coverage", |run| run.coverage, less_covered, units::percent));
    let lasted = |run: &Run| run.when.map(|(_, length)| length.0 as f64);
    let longer = |x: f64, y: f64| x.max(y) > LENGTH * x.min(y);
    found.extend(measured(a, b, "observed for", lasted, longer, |ns| Ns(ns as u64).to_string()));
    found
}

/// A difference of medians, if it is worth a word.
fn measured(
    a: &Side,
    b: &Side,
    about: &'static str,
    of: impl Fn(&Run) -> Option<f64>,
    differs: impl Fn(f64, f64) -> bool,
    shown: impl Fn(f64) -> String,
) -> Option<Difference> {
    let median = |side: &Side| {
        let mut values: Vec<f64> = side.runs.iter().filter_map(&of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let (x, y) = (median(a)?, median(b)?);
    differs(x, y).then(|| Difference { about, a: vec![shown(x)], b: vec![shown(y)] })
}

/// In which order the runs were made.
pub(super) fn sequence(a: &Side, b: &Side) -> Sequence {
    let host = |run: &Run| run.facts.iter().find(|fact| fact.about == "host").map(|fact| fact.value.clone());
    let runs = || a.runs.iter().map(|run| (run, 'A')).chain(b.runs.iter().map(|run| (run, 'B')));
    let mut spans: Vec<(u64, u64, char)> = Vec::new();
    for (run, side) in runs() {
        let Some((start, length)) = run.when else { return Sequence::NotKnown };
        spans.push((start, start.saturating_add(length.0), side));
    }
    let hosts: BTreeSet<Option<String>> = runs().map(|(run, _)| host(run)).collect();
    if hosts.len() > 1 {
        return Sequence::NotKnown;
    }
    spans.sort_unstable();
    if spans.windows(2).any(|pair| matches!(pair, [(_, end, _), (start, _, _)] if start < end)) {
        return Sequence::AtOnce;
    }
    let turns = spans.windows(2).filter(|pair| matches!(pair, [(_, _, x), (_, _, y)] if x != y)).count();
    match turns {
        _ if spans.len() < 3 => Sequence::NotKnown,
        1 => Sequence::Phases,
        _ => Sequence::Mixed,
    }
}
