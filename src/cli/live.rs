//! `gilscope experiment -p`: a running process on other cores by turns.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::affinity::{CpuSet, KeepError, Keeper, Restored, guard};
use crate::capture::Stop;
use crate::cli::experiment::{Until, create, finish, has_terminal, root, sized, stored, watched};
use crate::cli::observe::{attach, attach_all, stop_on_signals};
use crate::cli::progress::Progress;
use crate::cli::report::Destination;
use crate::cli::{ExperimentArgs, GUARDIAN};
use crate::compare::Run;
use crate::error::{Failure, Status};
use crate::event::Pid;
use crate::experiment::{Done, Plan, Store, Variant, line};
use crate::instruments::clock;
use crate::time::Ns;
use crate::units;

/// How long each period is observed unless told otherwise.
const PERIOD: Ns = Ns(10_000_000_000);
/// Part of a period that is left out at its beginning, and at most so long.
const SETTLING: (u64, Ns) = (5, Ns(2_000_000_000));
/// How often it is looked whether to stop, meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &ExperimentArgs) -> Result<u8, Failure> {
    let pid = args.pid.ok_or_else(|| Failure::new(Status::Internal, "no process was named"))?;
    if !args.switch_interval.is_empty() {
        return Err(Failure::new(
            Status::Usage,
            "the switch interval of a running process cannot be changed from outside",
        )
        .next("start the program anew: gilscope experiment --switch-interval 0.5ms --switch-interval 5ms -- CMD"));
    }
    let output = match &args.output_file {
        Some(path) => Destination::create(path)?,
        None => Destination::Stdout,
    };
    let plan = plan(args)?;
    let period = args.period.unwrap_or(PERIOD);
    // Whether it can be observed at all is known before anything is changed.
    drop(attach(pid)?);
    consent(args, pid, &plan, period)?;
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let mut store = create(&root(args), plan)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(GUARDIAN);
    let mut keeper = Keeper::begin(pid, command).map_err(|error| failure(&error))?;
    let mut runs = Vec::new();
    let outcome = alternate(args, pid, period, &mut store, &mut keeper, &mut runs, &stop);
    let restored = keeper.finish();
    match &restored {
        Ok(restored) => args.common.say(&put_back(pid, restored)),
        Err(error) => args.common.say(&error.to_string()),
    }
    match &outcome {
        // It is over: what was seen until then is told.
        Err(failure) if failure.status != Status::NoSuchProcess => {}
        _ => finish(&store, runs, args, output)?,
    }
    outcome?;
    match restored {
        Ok(Restored { failed, .. }) if !failed.is_empty() => {
            Err(Failure::new(Status::Internal, format!("not all was put back: {}", failed.join("; ")))
                .next(format!("put it back yourself: taskset -a -p -c LIST {}", pid.0)))
        }
        Ok(_) | Err(_) => Ok(Status::Ok as u8),
    }
}

/// Periods of each set of cores; with one set only, the other is what there is.
fn plan(args: &ExperimentArgs) -> Result<Plan, Failure> {
    let variant = |cpus: Option<CpuSet>| Variant { name: None, command: Vec::new(), cpus, switch_interval: None };
    let mut variants: Vec<Variant> = args.cpus.iter().cloned().map(|cpus| variant(Some(cpus))).collect();
    match variants.len() {
        0 => {
            return Err(Failure::new(Status::Usage, "there is nothing to try: no cores were named")
                .next("type: gilscope experiment -p PID --cpus 0, which alternates that with what there is"));
        }
        1 => variants.insert(0, variant(None)),
        _ => {}
    }
    let plan = sized(args, variants)?;
    Ok(Plan { warm_ups: 0, bare: 0, ..plan })
}

/// Says what will be done to the process, and asks.
fn consent(args: &ExperimentArgs, pid: Pid, plan: &Plan, period: Ns) -> Result<(), Failure> {
    let sets: Vec<String> = plan.variants.iter().map(Variant::label).collect();
    let periods = plan.variants.len() * plan.runs;
    let length = Ns(period.0.saturating_add(settling(period).0).saturating_mul(periods as u64));
    let what = format!(
        "all threads of process {} are moved {periods} times, for {period} each, by turns: {}. That takes {length}. Where each \
         thread could run is put back at the end, on Ctrl-C, and if gilscope is killed",
        pid.0,
        sets.join(" | ")
    );
    if args.yes {
        args.common.say(&what);
        return Ok(());
    }
    let refused = |why: &str| {
        Failure::new(Status::Refused, format!("this changes a running process: {what}; {why}"))
            .next("if it may be done, add --yes")
    };
    if !has_terminal() {
        return Err(refused("and nobody can be asked here"));
    }
    let _closed = write!(std::io::stderr(), "gilscope: {what}. Go on? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(refused("and you did not agree")),
    }
}

/// Time after a change that is left out.
fn settling(period: Ns) -> Ns {
    Ns(period.0 / SETTLING.0).min(SETTLING.1)
}

/// Observes all periods, or as many as there is time for.
fn alternate(
    args: &ExperimentArgs,
    pid: Pid,
    period: Ns,
    store: &mut Store,
    keeper: &mut Keeper,
    runs: &mut Vec<(usize, Run)>,
    stop: &Stop,
) -> Result<(), Failure> {
    let quiet = args.common.quietly();
    let left = store.left();
    let mut progress = Progress::to_stderr(&args.common);
    let mut costs = None;
    for trial in &left {
        let Some(variant) = store.plan().variants.get(trial.variant).cloned() else { continue };
        progress.show(|| format!("period {} of {}: {}", trial.number + 1, left.len(), variant.label()));
        keeper.apply(variant.cpus.as_ref()).map_err(|error| failure(&error))?;
        wait(settling(period), stop);
        if stop.is_requested() {
            return Ok(());
        }
        let start_unix_ns = clock::unix_now();
        let recording = store.recording(*trial);
        let path = store.root().join(&recording);
        let snapshot = watched(attach_all(&[pid])?, Some(&path), &quiet, Until::Passed(period), stop, &mut costs)?;
        let is_over = snapshot.processes.iter().any(|own| own.target.pid == pid && own.ending.is_some());
        if stop.is_requested() || is_over {
            discard(&path);
            return match is_over {
                true => Err(failure(&KeepError::Gone(pid))),
                false => Ok(()),
            };
        }
        if !keeper.holds(variant.cpus.as_ref()) {
            discard(&path);
            return Err(Failure::new(
                Status::Refused,
                format!(
                    "threads of process {} have left {} meanwhile: the program, or somebody else, moves them itself",
                    pid.0,
                    variant.label()
                ),
            )
            .next("what it would do elsewhere cannot be tried from outside then"));
        }
        let run = Run::of(path.display().to_string(), &snapshot);
        args.common.say(&progress.between(&line(*trial, &variant, None, run.as_ref())));
        runs.extend(run.map(|run| (trial.number, run)));
        let done = Done { trial: *trial, start_unix_ns, measured: None, recording: Some(recording) };
        store.note(done).map_err(|error| stored(&error))?;
    }
    Ok(())
}

fn discard(path: &Path) {
    let _was_not_there = std::fs::remove_file(path);
}

fn wait(length: Ns, stop: &Stop) {
    let until = Instant::now() + Duration::from_nanos(length.0);
    while Instant::now() < until && !stop.is_requested() {
        std::thread::sleep(LOOK);
    }
}

/// What was put back, in words.
fn put_back(pid: Pid, restored: &Restored) -> String {
    if restored.gone {
        return format!("process {} is gone: there is nothing to put back", pid.0);
    }
    let mut parts = vec![format!(
        "{} threads of process {} may run where they could before",
        units::count(restored.known as u64),
        pid.0
    )];
    if restored.new > 0 {
        parts.push(format!(
            "{} that were started meanwhile where the main thread can",
            units::count(restored.new as u64)
        ));
    }
    if restored.own > 0 {
        parts.push(format!("{} were moved by the program itself and left there", units::count(restored.own as u64)));
    }
    parts.join("; ")
}

fn failure(error: &KeepError) -> Failure {
    match error {
        KeepError::Gone(_) => Failure::new(Status::NoSuchProcess, error),
        KeepError::NotPermitted { .. } => {
            Failure::new(Status::NotPermitted, error).next("run gilscope as that user, or as root")
        }
        KeepError::NoSuchCores { .. } => {
            Failure::new(Status::Usage, error).next("name cores that it may use: taskset -p PID says which")
        }
        KeepError::NoGuardian(_) | KeepError::GuardianGone => Failure::new(Status::Refused, error),
    }
}

/// The guardian: puts back what was there once its stdin ends.
///
/// # Errors
/// If it is told nothing that it understands.
pub fn guardian() -> Result<u8, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Status::Internal, format!("this is for gilscope itself: {error}"));
    // Whoever ends gilscope and all of its group ends this one only after its work.
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, std::sync::Arc::default()).map_err(failed)?;
    }
    guard(std::io::stdin().lock(), std::io::stdout().lock()).map_err(failed)?;
    Ok(Status::Ok as u8)
}
