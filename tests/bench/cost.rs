//! What looking costs: the target's throughput with gilscope beside it against without, in interleaved runs; what
//! gilscope says that it costs; and gilscope's own share of a core.
//!
//! `cargo bench --bench cost -- [--pairs 20] [--seconds 1] [--python 3.11] [--workload cpu]... [--mode fused]...
//! [--budget 2]... [--others] [--events]`
//!
//! A run is a workload (`tests/support/workloads.rs`) that is asked what it gets done in a fixed time, after the watcher
//! has had time to settle. Runs come in rounds (bare, bare again, and each of the watchers), in random order within each
//! round; a ratio is taken within a round, so that a machine whose speed drifts does not decide. `bare again` against
//! `bare` shows what the method cannot tell apart. The slowdown is 1 - exp(m) with m the mean of the logarithms of
//! the ratios; its interval is Student's, at 95 %, of that mean. By the clock it has in it that gilscope wants a core
//! too; by the target's CPU time it has in it what looking adds to the target's own path, and nothing of who else uses
//! the machine.
//!
//! `--others` adds uprobes on `take_gil` and `drop_gil`, `py-spy record -r 1000` and viztracer, where they are.
//! `--events` measures something else: whether a target that switches 10,000 times a second loses a record, with
//! gilscope on one core and the target on another.
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

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::SIGINT;
use support::pythons::{Python, pythons_with_gil};
use support::uprobe::Uprobes;
use support::workloads::{Done, Workload};

/// How long a watcher may take to find its way about, before it counts what the target gets done.
const SETTLE: Duration = Duration::from_millis(900);

/// Who looks on.
#[derive(Debug, Clone, PartialEq)]
enum Watcher {
    Bare,
    BareAgain,
    Gilscope {
        mode: String,
        budget: f64,
    },
    Uprobes,
    PySpy,
    /// The program is started by it, and traced from its first line on.
    Viztracer,
}

/// What came of a run.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    done: Done,
    /// The watcher's share of a core.
    own: f64,
    /// What gilscope says that it costs the target.
    estimate: Option<f64>,
}

struct Options {
    pairs: u64,
    seconds: f64,
    minor: u8,
    workloads: Vec<Workload>,
    modes: Vec<String>,
    budgets: Vec<f64>,
    others: Others,
    table: Table,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Left,
    Taken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Slowdown,
    Events,
}

fn main() {
    let options = options();
    let python = pythons_with_gil()
        .into_iter()
        .rev()
        .find(|python| python.minor() == options.minor)
        .expect("that Python is here");
    if options.table == Table::Events {
        return sustained(python);
    }
    let mut watchers = vec![Watcher::Bare, Watcher::BareAgain];
    for mode in &options.modes {
        watchers.extend(options.budgets.iter().map(|&budget| Watcher::Gilscope { mode: mode.clone(), budget }));
    }
    if options.others == Others::Taken {
        watchers.extend(other_tools(python));
    }
    println!("{python}, {} s a run, {} rounds; load of the machine: {}", options.seconds, options.pairs, load());
    println!();
    println!(
        "| workload | watched by | slowdown by the clock, 95 % | by CPU time, 95 % | estimated by gilscope | own CPU, \
         share of a core | |"
    );
    println!("|---|---|---|---|---|---|---|");
    for &workload in &options.workloads {
        let mut rounds: Vec<Vec<Option<Outcome>>> = Vec::new();
        for round in 0..options.pairs {
            let mut order: Vec<usize> = (0..watchers.len()).collect();
            fastrand::Rng::with_seed(round).shuffle(&mut order);
            let mut outcomes = vec![None; watchers.len()];
            for index in order {
                outcomes[index] = run(python, workload, &watchers[index], options.seconds);
            }
            rounds.push(outcomes);
        }
        for (index, watcher) in watchers.iter().enumerate().skip(1) {
            let pairs: Vec<(Outcome, Outcome)> =
                rounds.iter().filter_map(|outcomes| outcomes[0].zip(outcomes[index])).collect();
            print_row(workload, watcher, &pairs);
        }
    }
    println!();
    println!("load of the machine at the end: {}", load());
}

fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

fn print_row(workload: Workload, watcher: &Watcher, pairs: &[(Outcome, Outcome)]) {
    let name = match watcher {
        Watcher::Bare => "nobody".to_owned(),
        Watcher::BareAgain => "nobody, again".to_owned(),
        Watcher::Gilscope { mode, budget } => format!("{mode}, {budget} %"),
        Watcher::Uprobes => "uprobes on take_gil, drop_gil".to_owned(),
        Watcher::PySpy => "py-spy record -r 1000".to_owned(),
        Watcher::Viztracer => "viztracer".to_owned(),
    };
    if pairs.len() < 2 {
        println!("| {} | {name} | could not be measured | | | | |", workload.name());
        return;
    }
    let logs = |of: fn(&Outcome) -> f64| -> Vec<f64> {
        pairs.iter().map(|(bare, watched)| (of(watched) / of(bare)).ln()).collect()
    };
    let by_clock = Slowdown::of(&logs(|outcome| outcome.done.count / outcome.done.seconds));
    let by_cpu = Slowdown::of(&logs(|outcome| outcome.done.count / outcome.done.cpu_seconds));
    let estimates: Vec<f64> = pairs.iter().filter_map(|(_, watched)| watched.estimate).collect();
    let own = median(pairs.iter().map(|(_, watched)| watched.own).collect()).unwrap_or(0.0);
    let verdict = match watcher {
        Watcher::Gilscope { budget, .. } => {
            let over = |slowdown: &Slowdown| slowdown.low * 100.0 > *budget;
            match (over(&by_clock), over(&by_cpu)) {
                (false, false) => "within",
                (true, false) => "over by the clock",
                (false, true) => "over by CPU time",
                (true, true) => "over",
            }
        }
        _ => "",
    };
    println!(
        "| {} | {name} | {} | {} | {} | {:.1} % | {verdict} |",
        workload.name(),
        by_clock.text(),
        by_cpu.text(),
        median(estimates).map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0)),
        own * 100.0
    );
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A share of the throughput that is lost, and its interval.
#[derive(Debug, Clone, Copy)]
struct Slowdown {
    mean: f64,
    low: f64,
    high: f64,
}

impl Slowdown {
    fn of(logs: &[f64]) -> Slowdown {
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let half = student(logs.len() - 1) * (variance / n).sqrt();
        let slowdown = |log: f64| 1.0 - log.exp();
        Slowdown { mean: slowdown(mean), low: slowdown(mean + half), high: slowdown(mean - half) }
    }

    fn text(&self) -> String {
        format!("{:.2} % ({:.2} to {:.2})", self.mean * 100.0, self.low * 100.0, self.high * 100.0)
    }
}

/// The 0.975 quantile of Student's distribution: Cornish and Fisher's expansion around the normal's (Abramowitz and
/// Stegun, 26.7.5), to 0.1 % from 4 degrees of freedom on.
fn student(degrees: usize) -> f64 {
    let (z, n) = (1.959_964_f64, degrees as f64);
    z + (z.powi(3) + z) / (4.0 * n)
        + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / (384.0 * n.powi(3))
}

/// The tools to compare with that are here; says which are not.
fn other_tools(python: &Python) -> Vec<Watcher> {
    let mut there = Vec::new();
    let working = Workload::Cpu.start(python);
    match Uprobes::attach(working.pid()) {
        Ok(_) => there.push(Watcher::Uprobes),
        Err(why) => println!("uprobes: {why}"),
    }
    match Command::new("py-spy").arg("--version").output() {
        Ok(_) => there.push(Watcher::PySpy),
        Err(_) => println!("py-spy: not installed"),
    }
    match interpreter_of("viztracer") {
        Some(of) if of == python.executable => there.push(Watcher::Viztracer),
        Some(of) => println!("viztracer: installed for {}", of.display()),
        None => println!("viztracer: not installed"),
    }
    there
}

/// The interpreter that a script on PATH runs in, as its first line says.
fn interpreter_of(script: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let file = env::split_paths(&path).map(|directory| directory.join(script)).find(|file| file.is_file())?;
    let text = fs::read_to_string(file).ok()?;
    fs::canonicalize(text.lines().next()?.strip_prefix("#!")?.trim()).ok()
}

/// `None` where the watcher could not be had.
fn run(python: &Python, workload: Workload, watcher: &Watcher, seconds: f64) -> Option<Outcome> {
    let mut working = match watcher {
        // It would write when the program ends, which ends without.
        Watcher::Viztracer => workload.start_by(Command::new("viztracer").args(["--quiet", "-o", "unwritten.json"])),
        _ => workload.start(python),
    };
    let probes = match watcher {
        Watcher::Uprobes => Some(Uprobes::attach(working.pid()).map_err(|why| eprintln!("uprobes: {why}")).ok()?),
        _ => None,
    };
    let mut beside = watch(watcher, working.pid());
    std::thread::sleep(SETTLE);
    let pid = beside.as_ref().map(Child::id);
    let (began, before) = (Instant::now(), pid.map_or(0.0, cpu_seconds));
    let done = working.work(seconds);
    let own = (pid.map_or(0.0, cpu_seconds) - before) / began.elapsed().as_secs_f64();
    drop(probes);
    let mut estimate = None;
    if let Some(child) = beside.take() {
        interrupt(child.id());
        let output = child.wait_with_output().expect("the watcher ends");
        if let Watcher::Gilscope { .. } = watcher {
            if !output.status.success() {
                eprintln!("gilscope: {}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            let report: Value = serde_json::from_slice(&output.stdout).expect("gilscope writes JSON");
            estimate = report["processes"][0]["capture"]["overhead_estimate"].as_f64();
        }
    }
    Some(Outcome { done, own, estimate })
}

fn watch(watcher: &Watcher, pid: u32) -> Option<Child> {
    let mut command = match watcher {
        Watcher::Bare | Watcher::BareAgain | Watcher::Uprobes | Watcher::Viztracer => return None,
        Watcher::Gilscope { mode, budget } => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_gilscope"));
            command.args(["report", "-q", "-f", "json", "-d", "600", "--mode", mode, "--max-overhead"]);
            command.arg(budget.to_string());
            command
        }
        Watcher::PySpy => {
            let mut command = Command::new("py-spy");
            command.args(["record", "-r", "1000", "-f", "raw", "-o", "/dev/null", "-d", "600"]);
            command
        }
    };
    command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().expect("the watcher starts"))
}

fn interrupt(pid: u32) {
    let status = Command::new("kill").args([format!("-{SIGINT}"), pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "the watcher is no longer there");
}

/// CPU time that a process has used, in seconds: field 1 of each `/proc/PID/task/TID/schedstat`, in nanoseconds.
fn cpu_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|stat| stat.split_whitespace().next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

/// Four threads that each sleep for an instant, so often a second.
const SWITCHER: &str = "
import sys, threading, time
rate = float(sys.argv[1])
def switch():
    due = time.monotonic()
    while True:
        due += 1 / rate
        rest = due - time.monotonic()
        if rest > 0:
            time.sleep(rest)
for _ in range(4):
    threading.Thread(target=switch, daemon=True).start()
print('ready', flush=True)
time.sleep(1000)
";

/// Each sleep is two records. gilscope has one core and the target another.
fn sustained(python: &Python) {
    let cores = allowed_cores();
    let [one, two, ..] = &cores[..] else { return println!("skipped: it takes two cores") };
    println!("load of the machine: {}", load());
    println!();
    println!(
        "| sleeps a second | switch records a second | lost records | dropped events | late looks | coverage | own CPU |"
    );
    println!("|---|---|---|---|---|---|---|");
    for rate in [1_250, 2_500, 5_000] {
        let mut target = Command::new("taskset");
        target.args(["-c", one]).arg(&python.program).args(["-c", SWITCHER, &rate.to_string()]);
        let mut target = support::child::Child::spawn(&mut target);
        target.ready(Duration::from_secs(60));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("events.gscope");
        let mut command = Command::new("taskset");
        command.args(["-c", two, env!("CARGO_BIN_EXE_gilscope"), "record", "-q", "--mode", "fused"]);
        command.args(["--max-overhead", "100", "-d", "20", "-p", &target.pid().to_string(), "-o"]).arg(&file);
        let output = command.output().expect("taskset is here");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let events = support::budget::read(&file);
        let paid = support::budget::paid(&events, 0).expect("costs are in it");
        let mut model = gilscope::model::Model::new();
        events.iter().for_each(|event| model.apply(event));
        let snapshot = model.snapshot();
        let capture = &snapshot.processes[0].capture;
        let length = capture.duration.0 as f64;
        println!(
            "| {} | {:.0} | {} | {} | {:.2} % | {:.2} % | {:.1} % |",
            4 * rate,
            paid.spent.records as f64 / length * 1e9,
            capture.switches.map_or(0, |switches| switches.lost),
            capture.health.dropped_events,
            capture.health.late as f64 / (capture.health.late + capture.health.ticks).max(1) as f64 * 100.0,
            capture.coverage * 100.0,
            capture.health.own_cpu.0 as f64 / length * 100.0
        );
    }
}

/// The cores that this process may use, as `taskset` names them.
fn allowed_cores() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default().trim();
    list.split(',')
        .flat_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.parse::<u32>().unwrap_or(0), to.parse::<u32>().unwrap_or(0));
            (from..=to).map(|core| core.to_string())
        })
        .collect()
}

fn options() -> Options {
    let mut options = Options {
        pairs: 20,
        seconds: 1.0,
        minor: 11,
        workloads: Vec::new(),
        modes: Vec::new(),
        budgets: Vec::new(),
        others: Others::Left,
        table: Table::Slowdown,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--pairs" => options.pairs = value().parse().expect("a number of pairs"),
            "--seconds" => options.seconds = value().parse().expect("seconds"),
            "--python" => {
                options.minor = value().split('.').nth(1).and_then(|m| m.parse().ok()).expect("such as 3.11");
            }
            "--workload" => {
                let name = value();
                let workload = Workload::ALL.into_iter().find(|workload| workload.name() == name);
                options.workloads.push(workload.unwrap_or_else(|| panic!("there is no workload {name}")));
            }
            "--mode" => options.modes.push(value()),
            "--budget" => options.budgets.push(value().parse().expect("per cent")),
            "--others" => options.others = Others::Taken,
            "--events" => options.table = Table::Events,
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    // By default what everybody gets: the rest takes half an hour.
    if options.workloads.is_empty() {
        options.workloads = Workload::ALL.to_vec();
    }
    if options.modes.is_empty() {
        options.modes = vec!["fused".to_owned(), "exact".to_owned()];
    }
    if options.budgets.is_empty() {
        options.budgets = vec![2.0];
    }
    options
}
