//! gilscope's figures beside the truth, as a table.
//!
//! `cargo bench --bench accuracy -- [--seconds 30] [--runs 5] [--rate 1k] [--mode sampled] [--max-overhead 2]
//! [--python 3.11]... [--scenario 'convoy 2']... [--as-nobody] [--tracepoints] [--kept DIRECTORY]`
//!
//! Truth is what the threads of `tests/truth` do with the GIL's condition variables, as a library in the program logs it
//! (`tests/truth/gilconds.c`): takes, drops and sleeps of all threads, bytecode too. A wait begins with the first sleep in
//! `take_gil`, be it on the mutex (with `--mode exact`: on the condition variable, as there). For each figure the table has the
//! truth's median over the runs and the largest error of any run: points for shares, per cent of the truth for totals.
//!
//! With `--mode exact` the table is of the windows alone: holds and waits that lie in one from end
//! to end. An interval whose end is as close to a window's edge as an entry of the log to its hit is doubtful: in the
//! windows or not.
//!
//! With `--kept` the recordings and the stamps are kept there, and a run that is there already is only evaluated again.
//!
//! `--tracepoints` lets the kernel name the futexes that threads sleep on (`gilscope --tracepoints always`).
//!
//! `--as-nobody` runs target and gilscope as a user without rights; only root can.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and ends where it cannot measure"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of what the tests share")]
mod support;

use std::collections::BTreeSet;
use std::fs::{Permissions, copy, create_dir_all, set_permissions};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gilscope::event::{Event, What};
use gilscope::model::Model;
use gilscope::model::snapshot::{Distribution, ProcessFigures};
use hdrhistogram::Histogram;
use support::budget::read;
use support::pythons::{Python, pythons_with_gil};
use support::scenario::Scenario;
use support::truth::{Kind, Thread, Truth, percentile};
use support::windows::{in_one, whole_requests, windows, within};

/// With their arguments.
const SCENARIOS: [&str; 10] =
    ["contended", "convoy", "convoy 2", "convoy 4", "sleeper", "long_waits", "holds", "many", "mayflies", "single"];

/// A user without rights: `nobody` on most machines.
const NOBODY: u32 = 65_534;

#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Own,
    Nobody,
}

impl User {
    fn put_on(self, command: &mut Command) {
        if self == User::Nobody {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
    }
}

struct Options {
    seconds: f64,
    runs: usize,
    /// `None`: as suits.
    rate: Option<String>,
    mode: String,
    max_overhead: String,
    user: User,
    tracepoints: &'static str,
    kept: Option<PathBuf>,
    minors: BTreeSet<u8>,
    scenarios: Vec<String>,
}

fn main() {
    let options = options();
    if options.mode == "exact" {
        return windows_of_all(&options);
    }
    println!(
        "| Python | scenario | coverage | load | contention | asleep | worst thread's wait share | wait total | handoffs \
         | forced | waits over 100 us | all waits | p50 | p90 | p99 |"
    );
    println!("|{}", "---|".repeat(15));
    for python in interpreters(&options) {
        for scenario in &options.scenarios {
            let runs: Vec<Run> =
                (0..options.runs).filter_map(|number| run(python, scenario, number, &options)).collect();
            if runs.is_empty() {
                println!("| {} | {scenario} | no headers to build with |{}", " |".repeat(12), version(python));
                continue;
            }
            print_row(python, scenario, &runs);
        }
    }
}

/// Those that were asked for and that the user may run; says which not.
fn interpreters(options: &Options) -> Vec<&'static Python> {
    let runs = |python: &&Python| {
        let mut command = python.command();
        options.user.put_on(command.args(["-c", ""]).stderr(Stdio::null()));
        let runs = command.status().is_ok_and(|status| status.success());
        if !runs {
            eprintln!("skipped {python}: that user may not run it");
        }
        runs
    };
    pythons_with_gil().into_iter().filter(|python| options.minors.contains(&python.minor())).filter(runs).collect()
}

/// One figure: (truth, gilscope).
type Pair = Option<(f64, f64)>;

struct Run {
    coverage: f64,
    load: Pair,
    contention: Pair,
    asleep: Pair,
    /// The thread whose waiting share is furthest off.
    wait_share: Pair,
    /// The thread whose total wait is furthest off, of those with waits longer than 10 intervals.
    wait_total: Pair,
    /// Takes by another thread than the last.
    handoffs: Pair,
    /// Those of which a thread of bytecode was forced to drop.
    forced: Pair,
    /// Waits over 100 us: how many.
    waits: Pair,
    /// The sum of all waits, those cut by the recording's edges included.
    waited: Pair,
    /// Percentiles of those over 100 us.
    percentiles: [Pair; 3],
}

/// From here on single waits are compared.
const LONG: u64 = 100_000;

fn run(python: &Python, name: &str, number: usize, options: &Options) -> Option<Run> {
    let (truth, events) = record(python, name, number, options)?;
    let process = fold(&events);
    Some(compare(&truth, &process, looked_at(&events)))
}

/// From the first look at a GIL to the last: what was before or after is missing in the coverage.
fn looked_at(events: &[Event]) -> Range<u64> {
    let mut looks = events.iter().filter(|event| matches!(event.what, What::GilSample(_))).map(|event| event.at.0);
    let first = looks.next().expect("a look");
    first..looks.next_back().unwrap_or(first)
}

/// A scenario under `gilscope record`: what was stamped, and what was recorded.
fn record(python: &Python, name: &str, run: usize, options: &Options) -> Option<(Truth, Vec<Event>)> {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = options.kept.as_deref().unwrap_or(temporary.path());
    let stem = format!("{}-{}-{run}-{}", version(python), options.mode, name.replace(' ', "-"));
    let (file, stamps) = (directory.join(format!("{stem}.gscope")), directory.join(format!("{stem}.stamps")));
    let load = || match options.mode.as_str() {
        "exact" => Truth::load(&stamps).by_conds(),
        _ => Truth::load(&stamps).by_sleeps(),
    };
    if file.exists() && stamps.exists() {
        return Some((load(), read(&file)));
    }
    create_dir_all(directory).expect("a directory");
    set_permissions(directory, Permissions::from_mode(0o777)).expect("it is ours");
    let mut scenario = start(python, name, options)?;
    let output = gilscope(options)
        .args(["record", "-q", "--mode", &options.mode, "--max-overhead", &options.max_overhead])
        .args(["--tracepoints", options.tracepoints])
        .args(options.rate.iter().flat_map(|rate| ["-r", rate]))
        .args(["-d", &options.seconds.to_string(), "-p", &scenario.pid().to_string(), "-o"])
        .arg(&file)
        .output()
        .expect("gilscope runs");
    copy(scenario.end(), &stamps).expect("the stamps can be kept");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((load(), read(&file)))
}

/// The only process of a recording.
fn fold(events: &[Event]) -> ProcessFigures {
    let mut model = Model::new();
    events.iter().for_each(|event| model.apply(event));
    model.snapshot().processes.first().expect("a process").clone()
}

fn start(python: &Python, name: &str, options: &Options) -> Option<Scenario> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let (name, arguments) = words.split_first().expect("a scenario has a name");
    Scenario::start_logged(python, name, arguments, |command| options.user.put_on(command))
}

fn gilscope(options: &Options) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gilscope"));
    options.user.put_on(&mut command);
    command
}

/// The waits of several threads, as gilscope saw them.
#[derive(Default)]
struct Pool {
    seen: Option<Histogram<u32>>,
}

impl Pool {
    fn add(&mut self, seen: &Distribution) {
        let Some(histogram) = &seen.histogram else { return };
        match &mut self.seen {
            Some(all) => all.add(&**histogram).expect("they are of one make"),
            None => self.seen = Some(Histogram::clone(histogram)),
        }
    }

    fn count(&self) -> u64 {
        self.seen.as_ref().map_or(0, Histogram::len)
    }

    fn total(&self) -> f64 {
        let steps = self.seen.iter().flat_map(Histogram::iter_recorded);
        steps.map(|step| (step.value_iterated_to() * u64::from(step.count_at_value())) as f64).sum()
    }

    fn at(&self, share: f64) -> Option<f64> {
        Some(self.seen.as_ref()?.value_at_quantile(share) as f64)
    }

    /// Without those that are shorter than `limit`.
    fn cut(mut self, limit: u64) -> Pool {
        if let Some(seen) = &mut self.seen {
            let steps: Vec<(u64, u32)> =
                seen.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
            seen.reset();
            for (value, count) in steps.into_iter().filter(|(value, _)| *value >= limit) {
                seen.record_n(value, count).expect("it was in there");
            }
        }
        self
    }
}

/// What `--mode exact` saw in its windows, beside what was stamped there.
#[derive(Default)]
struct Windows {
    coverage: f64,
    holds: Intervals,
    waits: Intervals,
    /// From a request to the drop.
    latencies: Intervals,
}

#[derive(Default)]
struct Intervals {
    stamped: Vec<u64>,
    doubtful: usize,
    seen: Pool,
}

impl Intervals {
    fn add(&mut self, (stamped, doubtful): (Vec<u64>, usize), seen: &Distribution) {
        self.stamped.extend(stamped);
        self.doubtful += doubtful;
        self.seen.add(seen);
    }

    fn text(&mut self) -> String {
        self.stamped.sort_unstable();
        let mut cells = format!(
            "{} (+ {} doubtful) | {} | {}",
            self.stamped.len(),
            self.doubtful,
            self.seen.count(),
            percent(self.stamped.iter().sum::<u64>() as f64, self.seen.total())
        );
        for share in [0.5, 0.9, 0.99] {
            let truth = percentile(&self.stamped, share) as f64;
            let seen = self.seen.at(share).unwrap_or(0.0);
            cells.push_str(&format!(
                " | {:.0} us ({}, {:+.0} us)",
                truth / 1e3,
                percent(truth, seen),
                (seen - truth) / 1e3
            ));
        }
        cells
    }
}

fn percent(truth: f64, seen: f64) -> String {
    if truth == 0.0 { "-".to_owned() } else { format!("{:+.2} %", (seen - truth) / truth * 100.0) }
}

fn windows_of_all(options: &Options) {
    println!(
        "| Python | scenario | coverage | holds stamped | seen | total | p50 | p90 | p99 | waits stamped | seen | total \
         | p50 | p90 | p99 | drops at a request logged | seen | total | p50 | p90 | p99 |"
    );
    println!("|{}", "---|".repeat(21));
    for python in interpreters(options) {
        for scenario in &options.scenarios {
            let mut all = Windows::default();
            for number in 0..options.runs {
                let Some(one) = look_through_windows(python, scenario, number, options, &mut all) else { continue };
                all.coverage += one / options.runs as f64;
            }
            println!(
                "| {} | {scenario} | {:.1} % | {} | {} | {} |",
                version(python),
                all.coverage * 100.0,
                all.holds.text(),
                all.waits.text(),
                all.latencies.text()
            );
        }
    }
}

/// Adds a run to `all`; gives its coverage.
fn look_through_windows(
    python: &Python,
    name: &str,
    number: usize,
    options: &Options,
    all: &mut Windows,
) -> Option<f64> {
    let (truth, events) = record(python, name, number, options)?;
    let windows = windows(&events);
    let process = fold(&events);
    for thread in truth.threads.iter().filter(|thread| thread.kind != Kind::Apart) {
        let Some(seen) = process.threads.iter().find(|seen| seen.tid.is_some_and(|tid| tid.0 == thread.tid)) else {
            continue;
        };
        all.holds.add(within(&windows, thread.holds()), &seen.holds);
        all.waits.add(within(&windows, whole_waits(thread, &windows)), &seen.waits);
    }
    let gil = process.interpreters.first().and_then(|interpreter| interpreter.gil.as_ref());
    if let Some(seen) = gil.and_then(|gil| gil.drop_latency.as_ref()) {
        all.latencies.add(within(&windows, whole_requests(&truth, &windows)), seen);
    }
    process.capture.exact.map(|exact| exact.coverage)
}

/// The contended waits of which a window can show the beginning: the thread was seen to drop before. Another wait may have
/// begun before the window did, and counts as cut.
fn whole_waits<'a>(thread: &'a Thread, windows: &'a [Range<u64>]) -> impl Iterator<Item = Range<u64>> + 'a {
    let cycles = thread.cycles.windows(2).filter(|pair| in_one(windows, [pair[0].drop, pair[1].ask]));
    cycles.map(|pair| pair[1].ask..pair[1].taken).filter(|wait| !wait.is_empty())
}

fn compare(truth: &Truth, process: &ProcessFigures, window: Range<u64>) -> Run {
    let capture = &process.capture;
    let figures = truth.within(window.clone());
    let gil = process.interpreters[0].gil.as_ref().expect("a GIL");
    let mut wait_share: Pair = None;
    let mut wait_total: Pair = None;
    for thread in &figures.threads {
        // Threads that are gone are in the GIL's figures only.
        let Some(seen) = process.threads.iter().find(|seen| seen.tid.is_some_and(|tid| tid.0 == thread.tid)) else {
            continue;
        };
        let (truth_total, lost) = (thread.wait_total as f64, seen.lost.0 as f64);
        let seen_share = lost / capture.duration.0 as f64;
        if wait_share.is_none_or(|(a, b)| (a - b).abs() < (thread.waiting_share - seen_share).abs()) {
            wait_share = Some((thread.waiting_share, seen_share));
        }
        let long = percentile(&thread.waits, 0.5) as f64 > 10.0 * capture.interval.0 as f64;
        if long && wait_total.is_none_or(|(a, b)| ((a - b) / a).abs() < ((truth_total - lost) / truth_total).abs()) {
            wait_total = Some((truth_total, lost));
        }
    }
    let mut truly: Vec<u64> = figures.threads.iter().flat_map(|thread| thread.waits.iter().copied()).collect();
    truly.sort_unstable();
    truly.retain(|wait| *wait >= LONG);
    let mut seen_waits = Pool::default();
    seen_waits.add(&gil.waits);
    let seen_waits = seen_waits.cut(LONG);
    let forced = truth.forced_handoffs(0, &window) as f64;
    Run {
        coverage: capture.coverage,
        load: figures.load.map(|load| (load, gil.load)),
        contention: Some((figures.contention, gil.contention)),
        asleep: gil.held_asleep.map(|seen| (figures.held_asleep, seen)),
        wait_share,
        wait_total,
        handoffs: figures.handoffs.map(|count| (count as f64, gil.handoffs as f64)),
        forced: gil.forced_handoffs.filter(|_| forced > 0.0).map(|seen| (forced, seen as f64)),
        waits: Some((truly.len() as f64, seen_waits.count() as f64)),
        waited: Some((figures.lost_ns as f64, gil.waits.total.0 as f64)),
        percentiles: [0.5, 0.9, 0.99]
            .map(|share| Some((percentile(&truly, share) as f64, seen_waits.at(share)?)).filter(|_| !truly.is_empty())),
    }
}

fn print_row(python: &Python, scenario: &str, runs: &[Run]) {
    let points = |pick: fn(&Run) -> Pair| {
        cell(
            runs,
            pick,
            |truth| format!("{:.1} %", truth * 100.0),
            |a, b| format!("{:+.2} points", (b - a) * 100.0),
            |a, b| b - a,
        )
    };
    let relative =
        |pick: fn(&Run) -> Pair, unit: fn(f64) -> String| cell(runs, pick, unit, percent, |a, b| (b - a) / a);
    let length = |ns: f64| format!("{:.0} us", ns / 1e3);
    println!(
        "| {} | {scenario} | {:.1} % | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        version(python),
        runs.iter().map(|run| run.coverage).fold(1.0, f64::min) * 100.0,
        points(|run| run.load),
        points(|run| run.contention),
        points(|run| run.asleep),
        points(|run| run.wait_share),
        relative(|run| run.wait_total, |ns| format!("{:.2} s", ns / 1e9)),
        relative(|run| run.handoffs, |count| format!("{count:.0}")),
        relative(|run| run.forced, |count| format!("{count:.0}")),
        relative(|run| run.waits, |count| format!("{count:.0}")),
        relative(|run| run.waited, |ns| format!("{:.2} s", ns / 1e9)),
        relative(|run| run.percentiles[0], length),
        relative(|run| run.percentiles[1], length),
        relative(|run| run.percentiles[2], length),
    );
}

/// The truth's median, and the error of the run that is furthest off.
fn cell(
    runs: &[Run],
    pick: fn(&Run) -> Pair,
    truth: impl Fn(f64) -> String,
    error: impl Fn(f64, f64) -> String,
    size: impl Fn(f64, f64) -> f64,
) -> String {
    let mut pairs: Vec<(f64, f64)> = runs.iter().filter_map(pick).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some((median, _)) = pairs.get(pairs.len() / 2) else { return "-".to_owned() };
    let worst = pairs.iter().max_by(|a, b| size(a.0, a.1).abs().total_cmp(&size(b.0, b.1).abs()));
    worst.map_or("-".to_owned(), |(a, b)| format!("{} ({})", truth(*median), error(*a, *b)))
}

fn version(python: &Python) -> String {
    let (major, minor, patch) = python.version;
    format!("{major}.{minor}.{patch}")
}

fn options() -> Options {
    let mut options = Options {
        seconds: 30.0,
        runs: 5,
        rate: None,
        mode: "auto".to_owned(),
        max_overhead: "2".to_owned(),
        user: User::Own,
        tracepoints: "never",
        kept: None,
        minors: BTreeSet::new(),
        scenarios: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--seconds" => options.seconds = value().parse().expect("seconds"),
            "--runs" => options.runs = value().parse().expect("a number of runs"),
            "--rate" => options.rate = Some(value()),
            "--mode" => options.mode = value(),
            "--max-overhead" => options.max_overhead = value(),
            "--kept" => options.kept = Some(value().into()),
            "--as-nobody" => options.user = User::Nobody,
            "--tracepoints" => options.tracepoints = "always",
            "--python" => {
                let minor = value().split('.').nth(1).and_then(|m| m.parse().ok()).expect("a version such as 3.11");
                options.minors.insert(minor);
            }
            "--scenario" => options.scenarios.push(value()),
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    if options.minors.is_empty() {
        options.minors = [8, 11, 13, 14].into();
    }
    if options.scenarios.is_empty() {
        options.scenarios = SCENARIOS.map(str::to_owned).to_vec();
    }
    options
}
