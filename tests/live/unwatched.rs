//! The program behaves as if nobody watched.
//!
//! The regime that is changed most easily: two or four threads of bytecode that starve an I/O thread on few cores. A
//! microsecond more in `drop_gil` ends it. It comes and goes by itself, too, so runs with and without gilscope are
//! interleaved in pairs, each in an order drawn by lot, and compared by ranks. How much the I/O thread waits is told by its
//! own stamps.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::pythons::{Python, pythons_with_gil};
use crate::support::ranks::{SignedRanks, signed_ranks};
use crate::support::scenario::Scenario;
use crate::support::truth::percentile;

/// Python 3.x to try, where they are.
const MINORS: [u8; 3] = [8, 11, 13];
/// Threads of bytecode beside the I/O thread.
const HOGS: [&str; 2] = ["2", "4"];
/// How long a thread runs before it is measured that nobody watches.
const SETTLED: u64 = 250_000_000;
/// A test of ranks that rejects by chance so seldom.
const LEVEL: f64 = 0.005;

/// Whom gilscope watches meanwhile.
#[derive(Debug, Clone, Copy)]
enum Watched<'a> {
    /// It does not run.
    Nobody,
    /// Another program, which sleeps.
    Another,
    /// The program, with these arguments of `gilscope report`.
    It(&'a [&'a str]),
}

/// Cores in use while nobody watches, of which the program uses one: more, and others decide who waits.
const BUSY: f64 = 1.4;

/// How the I/O thread fared.
#[derive(Debug, Clone, Copy)]
struct Fared {
    /// Cores of the machine that were in use, by anybody.
    busy: f64,
    /// Share of the time that it waited.
    share: f64,
    /// Of its waits, in seconds.
    p90: f64,
}

/// The same program, unwatched and watched.
#[derive(Debug, Clone, Copy)]
struct Pair {
    bare: Fared,
    watched: Fared,
}

/// The tests on what changes between the two.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    share: SignedRanks,
    p90: SignedRanks,
}

impl Verdict {
    fn of(pairs: &[Pair]) -> Verdict {
        let shares: Vec<f64> = pairs.iter().map(|pair| pair.watched.share - pair.bare.share).collect();
        // Of several programs together, only ratios are comparable.
        let p90s: Vec<f64> = pairs.iter().map(|pair| (pair.watched.p90 / pair.bare.p90).ln()).collect();
        Verdict { share: signed_ranks(&shares), p90: signed_ranks(&p90s) }
    }

    /// The smaller probability of the two.
    fn p(&self) -> f64 {
        self.share.p.min(self.p90.p)
    }
}

/// The newest interpreter of each version.
fn interpreters() -> Vec<&'static Python> {
    let all = pythons_with_gil();
    MINORS
        .iter()
        .filter_map(|minor| {
            all.iter().rev().find(|python| python.minor() == *minor && python.include.is_some()).copied()
        })
        .collect()
}

/// gilscope watches a process for `seconds`: from when to when.
fn watch(pid: u32, seconds: f64, arguments: &[&str]) -> Range<u64> {
    let mut command = gilscope();
    command.args(["report", "-q", "-f", "json", "-d", &seconds.to_string()]).args(arguments);
    // Whoever asks again and again whether it has ended changes the program, too.
    let output = command.args(["-p", &pid.to_string()]).output().expect("gilscope runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let capture = &report["processes"][0]["capture"];
    let from = capture["start_monotonic_ns"].as_u64().expect("a start");
    from..from + capture["duration_ns"].as_u64().expect("a duration")
}

/// One run of `seconds`.
fn run(python: &Python, hogs: &str, seconds: f64, watched: Watched<'_>) -> Fared {
    let another = match watched {
        Watched::Another => Scenario::start(python, "idle", &[]),
        Watched::Nobody | Watched::It(_) => None,
    };
    let scenario = Scenario::start(python, "convoy", &[hogs]).expect("it has headers");
    let before = Cores::now();
    let window = match (watched, &another) {
        (Watched::It(arguments), _) => watch(scenario.pid(), seconds, arguments),
        (_, Some(another)) => watch(another.pid(), seconds, &[]),
        (_, None) => {
            thread::sleep(Duration::from_nanos(SETTLED) + Duration::from_secs_f64(seconds));
            let from = scenario.running_since_ns() + SETTLED;
            from..from + (seconds * 1e9) as u64
        }
    };
    let busy = Cores::now().busy_since(&before);
    // Waits that begin in the window are to be whole in the stamps.
    thread::sleep(Duration::from_millis(50));
    let truth = scenario.stop();
    let mut waits: Vec<u64> = truth
        .thread("io")
        .cycles
        .iter()
        .filter(|cycle| window.contains(&cycle.ask))
        .map(|cycle| cycle.taken - cycle.ask)
        .collect();
    waits.sort_unstable();
    let share = truth.within(window).thread("io").waiting_share;
    Fared { busy, share, p90: percentile(&waits, 0.9).max(1) as f64 / 1e9 }
}

/// Time of all cores since the machine was started, in ticks: proc_stat(5), first line of `/proc/stat`.
struct Cores {
    all: f64,
    idle: f64,
    number: usize,
}

impl Cores {
    fn now() -> Cores {
        let stat = std::fs::read_to_string("/proc/stat").expect("it is always there");
        let number = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
        let ticks: Vec<f64> =
            stat.lines().next().unwrap().split_whitespace().skip(1).take(8).map(|word| word.parse().unwrap()).collect();
        Cores { all: ticks.iter().sum(), idle: ticks[3] + ticks[4], number }
    }

    fn busy_since(&self, before: &Cores) -> f64 {
        self.number as f64 * (1.0 - (self.idle - before.idle) / (self.all - before.all).max(1.0))
    }
}

/// Whether others use the machine so much that it is they who decide who waits; says so.
fn is_crowded(pairs: &[Pair]) -> bool {
    let busy = median(pairs, |pair| pair.bare.busy);
    if busy > BUSY {
        eprintln!("skipped: {busy:.2} cores were in use, of which the program uses one");
    }
    busy > BUSY
}

fn pair(python: &Python, hogs: &str, seconds: f64, arguments: &[&str]) -> Pair {
    let pair = round(python, hogs, seconds, &[Watched::Nobody, Watched::It(arguments)])[1];
    eprintln!(
        "{python}, {hogs}: waits {:.3} and {:.3} of the time, p90 {:.1} and {:.1} ms",
        pair.bare.share,
        pair.watched.share,
        pair.bare.p90 * 1e3,
        pair.watched.p90 * 1e3
    );
    pair
}

fn median(pairs: &[Pair], of: impl Fn(&Pair) -> f64) -> f64 {
    let mut values: Vec<f64> = pairs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A row of a table in Markdown.
fn row(what: &str, pairs: &[Pair], verdict: &Verdict) -> String {
    format!(
        "| {what} | {} | {:.1} % | {:.1} % | {:.3} | {:.1} ms | {:.1} ms | {:.3} |",
        pairs.len(),
        median(pairs, |pair| pair.bare.share) * 100.0,
        median(pairs, |pair| pair.watched.share) * 100.0,
        verdict.share.p,
        median(pairs, |pair| pair.bare.p90) * 1e3,
        median(pairs, |pair| pair.watched.p90) * 1e3,
        verdict.p90.p
    )
}

/// Pairs of all interpreters together. What speaks against chance has to do so twice, on a machine that is not crowded.
#[test]
fn starving_threads_starve_as_if_nobody_watched() {
    let _alone = alone();
    let interpreters = interpreters();
    if interpreters.is_empty() {
        return eprintln!("skipped: none of 3.8, 3.11 and 3.13 with headers");
    }
    let rounds = 18_usize.div_ceil(interpreters.len() * HOGS.len());
    let play = || {
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            for python in &interpreters {
                pairs.extend(HOGS.map(|hogs| pair(python, hogs, 1.0, &[])));
            }
        }
        let verdict = Verdict::of(&pairs);
        eprintln!("{}", row("all", &pairs, &verdict));
        (verdict, is_crowded(&pairs))
    };
    let (first, is_crowded) = play();
    if first.p() < LEVEL && !is_crowded {
        let (second, is_crowded) = play();
        assert!(second.p() >= LEVEL || is_crowded, "watching changes the program: {first:?}, and again {second:?}");
    }
}

/// One run each of all ways, in an order drawn by lot, and each held against the first of them.
fn round(python: &Python, hogs: &str, seconds: f64, ways: &[Watched<'_>]) -> Vec<Pair> {
    let mut order: Vec<usize> = (0..ways.len()).collect();
    fastrand::shuffle(&mut order);
    let mut fared: Vec<(usize, Fared)> =
        order.into_iter().map(|way| (way, run(python, hogs, seconds, ways[way]))).collect();
    fared.sort_by_key(|(way, _)| *way);
    let bare = fared[0].1;
    fared.into_iter().map(|(_, watched)| Pair { bare, watched }).collect()
}

/// Each interpreter and number of threads for itself; a table on stderr. Beside it stands what gilscope changes while it
/// watches another program: it uses a core now and then, as any program does.
#[test]
#[ignore = "a quarter of an hour"]
fn each_starves_as_if_nobody_watched() {
    let _alone = alone();
    let interpreters = interpreters();
    let tests = interpreters.len() * HOGS.len() * 2;
    let ways = [Watched::Nobody, Watched::It(&[]), Watched::Another];
    let mut rows = Vec::new();
    let mut changed = Vec::new();
    let mut all: [Vec<Pair>; 2] = Default::default();
    for python in interpreters {
        for hogs in HOGS {
            let rounds: Vec<Vec<Pair>> = (0..16).map(|_| round(python, hogs, 2.0, &ways)).collect();
            for (way, (whom, all)) in ["", ", another"].into_iter().zip(&mut all).enumerate() {
                let pairs: Vec<Pair> = rounds.iter().map(|round| round[way + 1]).collect();
                let verdict = Verdict::of(&pairs);
                let (major, minor, _) = python.version;
                rows.push(row(&format!("{major}.{minor} | {hogs}{whom}"), &pairs, &verdict));
                // So many tests reject by chance as seldom as one alone (Bonferroni).
                if way == 0 && verdict.p() < 0.01 / tests as f64 {
                    changed.push(format!("{python}, {hogs}: {verdict:?}"));
                }
                all.extend(pairs);
            }
        }
    }
    let [watched, another] = all;
    rows.push(row("all | 2, 4", &watched, &Verdict::of(&watched)));
    rows.push(row("all | 2, 4, another", &another, &Verdict::of(&another)));
    eprintln!(
        "| Python | bytecode threads | pairs | waiting: unwatched | watched | p | p90: unwatched | watched | p |"
    );
    eprintln!("|---|---|---|---|---|---|---|---|---|\n{}", rows.join("\n"));
    assert!(changed.is_empty() || is_crowded(&watched), "{changed:#?}");
}

/// Watchpoints all the time ease the regime. If the test does not see that, it sees nothing.
#[test]
#[ignore = "a minute, and it judges the test rather than gilscope"]
fn what_changes_the_program_is_noticed() {
    let _alone = alone();
    let Some(python) = interpreters().pop() else { return eprintln!("skipped: no interpreter with headers") };
    let microscope = ["--mode", "exact", "--max-overhead", "60"];
    let pairs: Vec<Pair> = (0..9).flat_map(|_| HOGS.map(|hogs| pair(python, hogs, 1.5, &microscope))).collect();
    let verdict = Verdict::of(&pairs);
    eprintln!("{}", row("exact, 60 %", &pairs, &verdict));
    assert!(verdict.p() < LEVEL || is_crowded(&pairs), "{verdict:?}");
}

/// What changes it: a table on stderr, for whoever looks into it.
#[test]
#[ignore = "a table, not a verdict"]
fn what_each_instrument_changes() {
    let _alone = alone();
    let Some(python) = interpreters().pop() else { return eprintln!("skipped: no interpreter with headers") };
    let ways = [
        Watched::Nobody,
        Watched::Nobody,
        Watched::Another,
        Watched::It(&["--mode", "sampled", "-r", "50"]),
        Watched::It(&["--mode", "sampled"]),
        Watched::It(&["--mode", "fused", "-r", "50"]),
        Watched::It(&["--mode", "fused"]),
        Watched::It(&["--mode", "exact"]),
    ];
    for hogs in HOGS {
        let rounds: Vec<Vec<Pair>> = (0..20).map(|_| round(python, hogs, 2.0, &ways)).collect();
        for (way, watched) in ways.iter().enumerate().skip(1) {
            let pairs: Vec<Pair> = rounds.iter().map(|round| round[way]).collect();
            eprintln!("{}", row(&format!("{watched:?}, {hogs} beside"), &pairs, &Verdict::of(&pairs)));
        }
    }
}

/// Counted by hand, and as in the tables of the books.
#[test]
fn ranks_have_the_probabilities_of_the_tables() {
    let ten = |negative: &[usize]| -> Vec<f64> {
        (1..=10).map(|rank| if negative.contains(&rank) { -(rank as f64) } else { rank as f64 }).collect()
    };
    assert_eq!(signed_ranks(&ten(&[])).p, 2.0 / 1024.0);
    assert_eq!(signed_ranks(&ten(&[3])).p, 10.0 / 1024.0, "0, 1, 2, and 3 in two ways");
    assert_eq!(signed_ranks(&ten(&[1, 7])).p, 50.0 / 1024.0, "the table's bound for 0.05 is 8");
    assert_eq!(signed_ranks(&ten(&[1, 2, 3, 4, 5, 6, 7])).p, 1.0, "27 and 28 are the middle");
    assert_eq!(signed_ranks(&[1.0, -1.0, 1.0, 1.0, 0.0]), SignedRanks { pairs: 4, positive: 7.5, p: 10.0 / 16.0 });
    assert_eq!(signed_ranks(&[]).p, 1.0);
}
