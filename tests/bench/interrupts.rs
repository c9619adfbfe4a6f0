//! Interrupt delays beside the truth: what was found of the signals that a sender and the handlers stamped, and whether
//! what was predicted holds.
//!
//! `cargo bench --bench interrupts -- [--signals 100] [--apart 3] [--python 3.11]... [--cell 'bytecode 4']...
//! [--mode auto] [--tracepoints] [--kept DIRECTORY]`
//!
//! The program is `tests/truth/interrupted.py`. The sender stamps `CLOCK_MONOTONIC` before kill(2); a wrapper in C stamps
//! before and after CPython's C handler; the Python handler stamps first of all. The sender waits until a signal was handled,
//! then at least `--apart` times the 99th percentile of the delays so far, and beyond that a random time, so that its
//! signals fall into what the program does by the share of the time.
//!
//! `start` is how far the beginning that was told lies from the stamp that it stands for: with signal tracepoints the
//! sender's, else that after the C handler. `by looks` are those that a look saw wait in the kernel, and whose beginning lies as
//! near to the sender's stamp as was told. `end` is the same for the Python handler's. A range is 95 % confidence. A
//! prediction holds if what was measured lies in its range, or within 20 % or 1 ms of it; where it is one at most for more
//! than a tenth of the time, also if that is less. It assumes that the main thread takes the signal, and is not compared
//! where another does.
//!
//! With `--kept` the recordings and the stamps are kept there, and a run that is there already is only evaluated again.
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
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use gilscope::event::{Event, What};
use gilscope::model::Model;
use gilscope::model::snapshot::{InterruptFigures, Length, NewestInterrupt};
use gilscope::time::Ns;
use support::budget::read;
use support::child::{Child, eventually};
use support::extension::{extension, sources};
use support::pythons::{Python, pythons_with_gil};

/// What the main thread does, and how many threads of bytecode there are beside it.
const CELLS: [&str; 12] = [
    "bytecode 0",
    "bytecode 1",
    "bytecode 4",
    "bytecode 16",
    "join 2",
    "lock 2",
    "sleep 2",
    "select 2",
    "c 0",
    "c-and-bytecode 0",
    "rival-in-c 0",
    "other-thread 1",
];

/// Sends, and says when: `SENDER PID STAMPS COUNT APART MOST_SIGNALS`.
const SENDER: &str = r"
import os, random, signal, struct, sys, time
pid, path, count, apart, most = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
file = os.open(path, os.O_RDONLY)
def word(index):
    return struct.unpack('Q', os.pread(file, 8, index * 8))[0]
def handled():
    return word(1)
sent, delays = [], []
for number in range(count):
    before = handled()
    sent.append(time.monotonic_ns())
    os.kill(pid, signal.SIGUSR1)
    patience = time.monotonic() + 20
    while handled() == before:
        if time.monotonic() > patience:
            break
        time.sleep(0.0003)
    # By the handler's stamp: the sender may have been kept from its core meanwhile.
    delays.append((word(2 + 2 * most + before) - sent[-1]) / 1e9)
    usual = sorted(delays)[min(len(delays) - 1, int(len(delays) * 0.99))]
    time.sleep(usual * apart + random.expovariate(1 / max(0.02, usual / 2)))
print('ready', *sent)
";

/// Where the stamps lie in the file (`tests/truth/giltruth.c`).
const MOST_SIGNALS: usize = 8_192;

const PATIENCE: Duration = Duration::from_secs(60);
/// What is observed before the first signal.
const BEFORE: Duration = Duration::from_millis(2_500);
/// As near as a stamp has to be.
const NEAR: u64 = 100_000;
/// Told on stderr, to be looked at.
const FAR: u64 = 1_000_000;

struct Options {
    signals: usize,
    apart: f64,
    minors: BTreeSet<u8>,
    cells: Vec<String>,
    mode: String,
    tracepoints: Tracepoints,
    kept: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracepoints {
    Never,
    Always,
}

/// A signal, as those stamped it who had to do with it.
#[derive(Debug, Clone, Copy)]
struct Stamped {
    sent: u64,
    tripped: u64,
    handled: u64,
}

fn main() {
    let options = options();
    println!(
        "| Python | main thread | sent | found | phantoms | mostly | start | end | p50 | predicted | p90 | predicted | holds \
         | not predictable |"
    );
    println!("|{}", "---|".repeat(14));
    let (mut held, mut compared) = (0, 0);
    let pythons = pythons_with_gil().into_iter().filter(|python| options.minors.contains(&python.minor()));
    for python in pythons {
        for cell in &options.cells {
            let Some((stamps, events)) = record(python, cell, &options) else { continue };
            let mut row = Row::of(&stamps, &events);
            if cell.starts_with("other-thread") {
                row.holds = [None, None];
            }
            for holds in row.holds.into_iter().flatten() {
                compared += 1;
                held += u32::from(holds);
            }
            println!("| {python} | {cell} | {} |", row.text());
        }
    }
    println!("\npredictions that hold: {held} of {compared}");
}

/// A run: its stamps, and what was recorded.
fn record(python: &Python, cell: &str, options: &Options) -> Option<(Vec<Stamped>, Vec<Event>)> {
    let extension = extension(python)?;
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = options.kept.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(directory).expect("a directory");
    let (major, minor, patch) = python.version;
    let traced = if options.tracepoints == Tracepoints::Always { "-traced" } else { "" };
    let stem = format!("{major}.{minor}.{patch}-{}{traced}-{}", options.mode, cell.replace(' ', "-"));
    let [file, stamps, sent] = ["gscope", "stamps", "sent"].map(|end| directory.join(format!("{stem}.{end}")));
    if !sent.exists() {
        let (state, hogs) = cell.split_once(' ').expect("a state and a number");
        let mut command = python.command();
        command.arg("-B").arg(sources().join("interrupted.py")).arg(extension).arg("0").arg(&stamps);
        let mut target = Child::spawn(command.args([state, hogs]));
        target.ready(PATIENCE);
        let pid = target.pid().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gilscope"));
        command.args(["record", "-q", "--force", "--mode", &options.mode, "-p", &pid, "-o"]).arg(&file);
        if options.tracepoints == Tracepoints::Always {
            command.args(["--tracepoints", "always"]);
        }
        let mut recorder = Child::spawn(&mut command);
        eventually(PATIENCE, "a recording", || file.exists().then_some(()));
        sleep(BEFORE);
        let (count, apart) = (options.signals.to_string(), options.apart.to_string());
        let mut command = python.command();
        command.args(["-c", SENDER, &pid]).arg(&stamps).args([&count, &apart, &MOST_SIGNALS.to_string()]);
        let words = Child::spawn(&mut command).ready(PATIENCE * 60);
        sleep(Duration::from_millis(200));
        target.say_no_more();
        let ended = recorder.finish(PATIENCE);
        assert!(ended.status.success(), "{}", ended.stderr);
        fs::write(&sent, words.join(" ")).expect("a file can be written");
    }
    Some((stamped(&sent, &stamps), read(&file)))
}

fn stamped(sent: &Path, stamps: &Path) -> Vec<Stamped> {
    let bytes = fs::read(stamps).expect("the stamps");
    let word = |index: usize| {
        let bytes = bytes.get(index * 8..index * 8 + 8).expect("a whole file of stamps");
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    };
    let sent = fs::read_to_string(sent).expect("when signals were sent");
    let sent = sent.split_whitespace().map(|word| word.parse().expect("a stamp"));
    let (tripped, handled) = (word(0), word(1));
    assert_eq!(tripped, handled, "signals became one: the stamps cannot be put together");
    sent.take(handled as usize)
        .enumerate()
        .map(|(index, sent)| Stamped {
            sent,
            tripped: word(2 + index * 2 + 1),
            handled: word(2 + MOST_SIGNALS * 2 + index),
        })
        .collect()
}

/// What was found of signals one by one, and all that was found in the end.
fn fold(events: &[Event]) -> (Vec<NewestInterrupt>, Arc<InterruptFigures>) {
    let mut model = Model::new();
    let mut found: Vec<NewestInterrupt> = Vec::new();
    let figures = |model: &Model| model.snapshot().processes.first().and_then(|process| process.interrupts.clone());
    // A delay is added up some ticks after its end at the latest.
    let mut ticks = 0;
    for event in events {
        model.apply(event);
        let is_of_signals = matches!(event.what, What::SignalsPending { .. }) || event.what.signal_step().is_some();
        match event.what {
            _ if is_of_signals => ticks = 400,
            What::GilSample(_) if ticks > 0 => ticks -= 1,
            _ => continue,
        }
        let newest = figures(&model).and_then(|figures| figures.newest);
        found.extend(newest.filter(|newest| found.last() != Some(newest)));
    }
    (found, figures(&model).expect("the signals were looked at"))
}

struct Row {
    sent: usize,
    found: usize,
    /// Of those, seen to wait in the kernel by a look: right to the resolution that is told.
    sampled: usize,
    phantoms: usize,
    mostly: String,
    start: Errors,
    end: Errors,
    quantiles: [Quantile; 2],
    holds: [Option<bool>; 2],
    not_predictable: Option<f64>,
}

/// A quantile of the delay: measured by the stamps, predicted with its range.
#[derive(Clone, Copy)]
struct Quantile {
    truth: u64,
    told: Option<Length>,
    range: Option<(Ns, Ns)>,
}

impl Quantile {
    fn holds(&self, at_most: bool) -> Option<bool> {
        let (told, is_below) = match self.told? {
            Length::Known(told) => (told.0, at_most),
            Length::Below(told) => (told.0, true),
        };
        let in_range = self.range.is_some_and(|(low, high)| (low.0..=high.0).contains(&self.truth));
        let off = self.truth.abs_diff(told);
        let is_near = off <= 1_000_000 || off as f64 <= 0.2 * self.truth as f64;
        Some(in_range || is_near || is_below && self.truth <= told)
    }

    fn text(&self) -> String {
        let told = match self.told {
            None => "-".to_owned(),
            Some(Length::Known(told)) => ms(told.0),
            Some(Length::Below(told)) => format!("<{}", ms(told.0)),
        };
        let range = self.range.map_or(String::new(), |(low, high)| format!(" ({} to {})", ms(low.0), ms(high.0)));
        format!("{} | {told}{range}", ms(self.truth))
    }
}

fn ms(ns: u64) -> String {
    format!("{:.2} ms", ns as f64 / 1e6)
}

/// How far from the stamps, sorted.
struct Errors(Vec<u64>);

impl Errors {
    fn text(&self) -> String {
        let within = self.0.iter().filter(|error| **error <= NEAR).count();
        let at = |share: f64| support::truth::percentile(&self.0, share) / 1_000;
        match self.0.last() {
            None => "-".to_owned(),
            Some(last) => {
                format!("{within} of {} near; p50 {} p95 {} max {} us", self.0.len(), at(0.5), at(0.95), last / 1_000)
            }
        }
    }
}

impl Row {
    fn of(stamps: &[Stamped], events: &[Event]) -> Row {
        let (found, figures) = fold(events);
        let from_sent = events.iter().any(|event| matches!(event.what, What::SignalGenerated { .. }));
        let mut left: Vec<NewestInterrupt> = found;
        let (mut start, mut end, mut sampled) = (Vec::new(), Vec::new(), 0);
        for one in stamps {
            // Its end lies between its being sent and the next one's.
            let of = left.iter().position(|it| it.at.0 >= one.sent && it.at.0 <= one.handled + 5_000_000);
            let Some(it) = of.map(|index| left.remove(index)) else {
                eprintln!("missing: sent {} delay {} us", one.sent, (one.handled - one.sent) / 1000);
                continue;
            };
            let began = it.at.0 - it.delay.0;
            let of_stamp = began.abs_diff(if from_sent { one.sent } else { one.tripped });
            match began.abs_diff(one.sent) <= it.resolution.0 && of_stamp > NEAR {
                true => sampled += 1,
                false => start.push(of_stamp),
            }
            let off = it.at.0.abs_diff(one.handled);
            if off > FAR {
                eprintln!("far: sent {} handled {} us, told {}", one.sent, off / 1_000, it.at.0);
            }
            end.push(off);
        }
        for it in &left {
            let (at, delay) = (it.at.0, it.delay.0 / 1_000);
            eprintln!("phantom: ended {at} delay {delay} us, give or take {} us", it.resolution.0 / 1_000);
        }
        start.sort_unstable();
        end.sort_unstable();
        let mut delays: Vec<u64> = stamps.iter().map(|one| one.handled - one.sent).collect();
        delays.sort_unstable();
        let predicted = figures.predicted.as_ref();
        let at_most = predicted.is_some_and(|p| p.at_most > 0.1);
        let ranges = [(0.5, predicted.and_then(|p| p.p50_range)), (0.9, predicted.and_then(|p| p.p90_range))];
        let quantiles = ranges.map(|(share, range)| {
            let told = predicted.and_then(|p| p.delay.quantile(share));
            Quantile { truth: support::truth::percentile(&delays, share), told, range }
        });
        let holds = quantiles.map(|quantile| quantile.holds(at_most));
        let mostly: Vec<String> = figures
            .measured
            .iter()
            .filter_map(|measured| {
                let (segment, _) = measured.segments.longest()?;
                let faults: u64 = measured.faults.iter().map(|(_, times)| times).sum();
                let more = if faults > 0 { format!(" ({faults} faults)") } else { String::new() };
                let cut = if measured.delay.censored > 0 {
                    format!(" ({} cut)", measured.delay.censored)
                } else {
                    String::new()
                };
                Some(format!("{segment:?}{more}{cut}"))
            })
            .collect();
        Row {
            sent: stamps.len(),
            found: end.len(),
            sampled,
            phantoms: left.len(),
            mostly: mostly.join(", "),
            start: Errors(start),
            end: Errors(end),
            quantiles,
            holds,
            not_predictable: predicted.map(|p| p.not_predictable),
        }
    }

    fn text(&self) -> String {
        let [p50, p90] = self.quantiles.map(|quantile| quantile.text());
        let holds = self.holds.map(|holds| match holds {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "-",
        });
        let [before, after] = holds;
        format!(
            "{} | {} | {} | {} | {}; {} by looks | {} | {p50} | {p90} | {before}, {after} | {}",
            self.sent,
            self.found,
            self.phantoms,
            self.mostly,
            self.start.text(),
            self.sampled,
            self.end.text(),
            self.not_predictable.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0)),
        )
    }
}

fn options() -> Options {
    let mut options = Options {
        signals: 100,
        apart: 3.0,
        minors: BTreeSet::new(),
        cells: Vec::new(),
        mode: "auto".to_owned(),
        tracepoints: Tracepoints::Never,
        kept: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
        match argument.as_str() {
            "--signals" => options.signals = value().parse().expect("a number of signals"),
            "--apart" => options.apart = value().parse().expect("a number"),
            "--mode" => options.mode = value(),
            "--tracepoints" => options.tracepoints = Tracepoints::Always,
            "--kept" => options.kept = Some(value().into()),
            "--python" => {
                let minor = value().split('.').nth(1).and_then(|m| m.parse().ok()).expect("a version such as 3.11");
                options.minors.insert(minor);
            }
            "--cell" => options.cells.push(value()),
            "--bench" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    if options.minors.is_empty() {
        options.minors = [8, 9, 11, 12, 13, 14].into();
    }
    if options.cells.is_empty() {
        options.cells = CELLS.map(str::to_owned).to_vec();
    }
    options
}
