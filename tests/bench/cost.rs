//! What looking costs: the target's throughput with gilscope beside it against without, in interleaved runs, and
//! gilscope's own share of a core.
//!
//! `cargo bench --bench cost -- [--pairs 10] [--seconds 4] [--python 3.11]`
//!
//! A run is a CPU-bound workload of four threads that counts what it gets done in a fixed time. Runs come in rounds
//! (bare, bare again, gilscope, py-spy), in random order within each round; a ratio is taken within a round, so that
//! a machine whose speed drifts does not decide. `bare again` over `bare` shows what the method cannot tell apart.
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

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::pythons::{Python, pythons_with_gil};

/// Four threads of bytecode for a fixed time; prints what they got done.
const WORKLOAD: &str = "
import sys, threading, time
done = [0, 0, 0, 0]
seconds = float(sys.argv[1])
def work(i):
    n = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(2000):
            n += 1
    done[i] = n
time.sleep(0.4)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(sum(done))
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Bare,
    BareAgain,
    Gilscope,
    PySpy,
}

fn main() {
    let mut pairs = 10;
    let mut seconds = 4.0;
    let mut minor = 11;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--pairs" => pairs = value().parse().expect("a number of pairs"),
            "--seconds" => seconds = value().parse().expect("seconds"),
            "--python" => minor = value().split('.').nth(1).and_then(|m| m.parse().ok()).expect("such as 3.11"),
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    let python = pythons_with_gil().into_iter().find(|p| p.minor() == minor).expect("that Python is here");
    let mut kinds = vec![Watched::Bare, Watched::BareAgain, Watched::Gilscope];
    match Command::new("py-spy").arg("--version").output() {
        Ok(_) => kinds.push(Watched::PySpy),
        Err(_) => println!("skipped py-spy: it is not on PATH"),
    }
    let mut rounds: Vec<Vec<(Watched, f64, f64)>> = Vec::new();
    for round in 0..pairs {
        let mut order = kinds.clone();
        fastrand::Rng::with_seed(round).shuffle(&mut order);
        rounds.push(order.into_iter().map(|watched| run(python, watched, seconds)).collect());
    }
    println!("{python}, 4 CPU-bound threads, {seconds} s a run, {pairs} rounds");
    println!("| watched by | throughput over bare: median | 25..75 % | min..max | own CPU, share of a core |");
    println!("|---|---|---|---|---|");
    for kind in kinds.into_iter().filter(|kind| *kind != Watched::Bare) {
        let of = |round: &[(Watched, f64, f64)], wanted: Watched| {
            round
                .iter()
                .find(|(watched, ..)| *watched == wanted)
                .map(|(_, done, cpu)| (*done, *cpu))
                .expect("in every round")
        };
        let mut ratios: Vec<f64> = rounds.iter().map(|round| of(round, kind).0 / of(round, Watched::Bare).0).collect();
        let mut own: Vec<f64> = rounds.iter().map(|round| of(round, kind).1).collect();
        ratios.sort_by(f64::total_cmp);
        own.sort_by(f64::total_cmp);
        let at = |values: &[f64], share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        println!(
            "| {kind:?} | {:.4} | {:.4}..{:.4} | {:.4}..{:.4} | {:.1} % |",
            at(&ratios, 0.5),
            at(&ratios, 0.25),
            at(&ratios, 0.75),
            at(&ratios, 0.0),
            at(&ratios, 1.0),
            at(&own, 0.5) * 100.0
        );
    }
}

/// (who watched, work done, the watcher's share of a core)
fn run(python: &Python, watched: Watched, seconds: f64) -> (Watched, f64, f64) {
    let target = python
        .command()
        .args(["-c", WORKLOAD, &seconds.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the workload starts");
    std::thread::sleep(Duration::from_millis(200));
    let watch = seconds + 0.3;
    let watcher = watcher(watched, target.id(), watch);
    let pid = watcher.as_ref().map(Child::id);
    std::thread::sleep(Duration::from_secs_f64(seconds * 0.9));
    let cpu = pid.map_or(0.0, |pid| cpu_seconds(pid) / (seconds * 0.9));
    let output = target.wait_with_output().expect("the workload ends");
    if let Some(mut watcher) = watcher {
        let _ended = watcher.wait();
    }
    let done = String::from_utf8_lossy(&output.stdout).trim().parse().expect("the workload counts");
    (watched, done, cpu)
}

fn watcher(watched: Watched, pid: u32, seconds: f64) -> Option<Child> {
    let mut command = match watched {
        Watched::Bare | Watched::BareAgain => return None,
        Watched::Gilscope => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_gilscope"));
            command
                .args(["report", "-q", "-f", "json", "-r", "1k", "-d", &seconds.to_string(), "-p"])
                .arg(pid.to_string());
            command
        }
        Watched::PySpy => {
            let mut command = Command::new("py-spy");
            command.args([
                "record",
                "-r",
                "1000",
                "-f",
                "raw",
                "-o",
                "/dev/null",
                "-d",
                &seconds.ceil().to_string(),
                "-p",
            ]);
            command.arg(pid.to_string());
            command
        }
    };
    Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the watcher starts"))
}

/// CPU time that a process has used, in seconds (`/proc/PID/stat`, fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
