//! `gilscope experiment`: runs of a program in several variants, by turns.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::builder::PossibleValuesParser;

use crate::affinity::{self, CpuSet};
use crate::capture::{Options, Root, Stop};
use crate::cli::observe::{Told, attach_started, begin, fold, options, stop_on_signals};
use crate::cli::progress::Progress;
use crate::cli::record::{Keeping, create_at, heed_file_limits};
use crate::cli::report::{Destination, ItsEnd, color, launch_failure, width};
use crate::cli::{Common, ExperimentArgs, Format, live, print, recorded};
use crate::compare::{MOST_RUNS, Run};
use crate::error::{Failure, Status};
use crate::event::{CostOrigin, Costs};
use crate::experiment::{
    BUILTINS, CommandLine, Done, IntervalSetter, Kind, Outcome, Plan, Pythons, Started, Store, StoreError, Trial,
    Variant, builtin, line, outcome_json, outcome_text, prevented, program_files,
};
use crate::figures::Whole;
use crate::instruments::clock;
use crate::launch::LaunchError;
use crate::model::snapshot::{GilFigures, Snapshot};
use crate::recording::Existing;
use crate::report::write_terminal_safe;
use crate::time::Ns;
use crate::units;
use crate::workloads::{Builds, Interpreter};

/// Most variants.
const MOST_VARIANTS: usize = 32;
/// The oldest CPython that all but some experiments can be made with: 3.7.
const OLDEST: u8 = 7;
/// Runs of each variant unless told otherwise.
const RUNS: usize = 8;
/// The switch interval that CPython keeps is in whole microseconds.
const INTERVAL_GRAIN: Ns = Ns::MICROSECOND;
/// How long processes are still looked at that have left a program's group and outlive it: others wait for its end.
const LEFT_BEHIND: Duration = Duration::from_millis(100);
/// A switch interval that was set is in force after so much of a process's life: it is set as Python starts up.
const SET_WITHIN: Ns = Ns(200_000_000);
/// What a program says at its end on stderr, as far as it is shown.
const LAST_WORDS: u64 = 2_000;

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &ExperimentArgs) -> Result<u8, Failure> {
    heed_file_limits()?;
    if args.list {
        print(&list())?;
        return Ok(Status::Ok as u8);
    }
    if args.pid.is_some() {
        return live::run(args);
    }
    let output = match &args.output_file {
        Some(path) => Destination::create(path)?,
        None => Destination::Stdout,
    };
    let mut store = match (&args.resume, &args.builtin) {
        (Some(directory), _) => resumed(directory)?,
        (None, Some(name)) => built_in(args, name)?,
        (None, None) => {
            let plan = plan(args)?;
            check(&plan)?;
            create(&root(args), plan)?
        }
    };
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let runs = all(&mut store, &args.common, &stop)?;
    finish(&store, runs, args, output)?;
    if !store.left().is_empty() {
        args.common.say(&format!(
            "not all runs were made: go on with gilscope experiment --resume {}",
            store.root().display()
        ));
    }
    Ok(Status::Ok as u8)
}

/// The plan that the command line asks for.
fn plan(args: &ExperimentArgs) -> Result<Plan, Failure> {
    let mut commands: Vec<CommandLine> = args.variant.clone();
    if !args.program.is_empty() {
        let words = args.program.iter().map(|word| word.clone().into_string());
        let command = words.collect::<Result<Vec<String>, _>>().map_err(|word| {
            Failure::new(Status::Usage, format!("`{}` is no text in UTF-8", word.to_string_lossy()))
                .next("start it by a script with another name")
        })?;
        commands.insert(0, (None, command));
    }
    if commands.is_empty() {
        return Err(Failure::new(Status::Usage, "there is nothing to run")
            .next("type: gilscope experiment --cpus 0 --cpus 0,1 -- python3 app.py"));
    }
    let variants = Plan::combinations(&commands, &args.cpus, &args.switch_interval);
    sized(args, variants)
}

/// The plan with the numbers of runs that were asked for.
pub(super) fn sized(args: &ExperimentArgs, variants: Vec<Variant>) -> Result<Plan, Failure> {
    let runs = args.runs.unwrap_or(RUNS);
    let bare = args.bare.unwrap_or(runs);
    if variants.len() > MOST_VARIANTS || !(1..=MOST_RUNS).contains(&runs) || bare.max(args.warm_up) > MOST_RUNS {
        return Err(Failure::new(
            Status::Usage,
            format!(
                "{} variants, {runs} runs of each, {bare} bare and {} to warm up: at most {MOST_VARIANTS} variants and \
                     {MOST_RUNS} runs of a kind make an experiment",
                variants.len(),
                args.warm_up
            ),
        ));
    }
    let directories: std::collections::BTreeSet<String> = variants.iter().map(Variant::directory).collect();
    if directories.len() < variants.len() {
        return Err(Failure::new(Status::Usage, "two variants cannot be told apart by their names")
            .next("name them so that they differ in letters or digits: --variant NAME='COMMAND'"));
    }
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    Ok(Plan { variants, runs, warm_ups: args.warm_up, bare, seed })
}

/// Whether all of it can be done, before anything is.
fn check(plan: &Plan) -> Result<(), Failure> {
    for variant in &plan.variants {
        if let Some(why) = variant.switch_interval.and_then(|_| prevented(&variant.command)) {
            return Err(Failure::new(Status::Usage, why).next(
                "leave that option out, or call sys.setswitchinterval() in the program and give it as --variant",
            ));
        }
        if let Some(cpus) = &variant.cpus {
            let there = there()?;
            if !cpus.is_within(&there) {
                return Err(Failure::new(
                    Status::Usage,
                    format!("cores {cpus} are not all there: gilscope may use {there}"),
                )
                .next(format!("name cores of these: --cpus {there}")));
            }
        }
    }
    Ok(())
}

/// Where it is to be kept.
pub(super) fn root(args: &ExperimentArgs) -> PathBuf {
    let named = || PathBuf::from(format!("gilscope-experiment-{}", units::stamp(clock::unix_now())));
    args.output.clone().unwrap_or_else(named)
}

pub(super) fn create(root: &Path, plan: Plan) -> Result<Store, Failure> {
    Store::create(root, plan).map_err(|error| stored(&error))
}

/// The names of the experiments that come with gilscope.
pub fn builtins() -> PossibleValuesParser {
    PossibleValuesParser::new(BUILTINS.iter().map(|one| one.name))
}

/// What they ask, and what to expect.
fn list() -> String {
    let mut out = String::from("Make one with: gilscope experiment --builtin NAME; --python names an interpreter\n");
    for one in BUILTINS {
        out.push_str(&format!("\n  {}\n    {}\n    expect: {}\n", one.name, one.claim, one.expect));
        if one.since > OLDEST {
            out.push_str(&format!("    needs CPython 3.{} or later\n", one.since));
        }
    }
    out
}

/// One of them, with its programs in its directory.
fn built_in(args: &ExperimentArgs, name: &str) -> Result<Store, Failure> {
    let one = builtin(name).ok_or_else(|| Failure::new(Status::Usage, format!("there is no experiment `{name}`")))?;
    let interpreter = Interpreter::ask(&args.python).map_err(|error| {
        Failure::new(Status::Unsupported, error).next("name an interpreter: --python /path/to/python3")
    })?;
    let (major, minor, patch) = interpreter.version;
    // Where it takes two, the one that was named is where they are looked for.
    if one.pythons == Pythons::One && (major, minor) < (3, one.since) {
        return Err(Failure::new(
            Status::Unsupported,
            format!("`{name}` needs CPython 3.{}, and {} is {major}.{minor}.{patch}", one.since, interpreter.name()),
        )
        .next("name another interpreter: --python /path/to/python3"));
    }
    let pythons = match one.pythons {
        Pythons::One => vec![("", interpreter.name())],
        Pythons::BothBuilds => {
            let builds = Builds::find(&interpreter, &interpreter_directories()).map_err(|error| {
                Failure::new(Status::Unsupported, format!("`{name}` compares two builds of one version: {error}")).next(
                    "install what is missing, such as with `uv python install 3.14 3.14t` or `pyenv install 3.14 3.14t`; if it is \
                     not found then, name the free-threaded one: --python /path/to/python3.14t",
                )
            })?;
            if let Some(odd) = builds.patches_differ() {
                args.common.say(&odd);
            }
            vec![("GIL build", builds.default.name()), ("free-threaded", builds.free_threaded.name())]
        }
    };
    let root = std::path::absolute(root(args)).map_err(|error| Failure::new(Status::Internal, error))?;
    let programs = root.join("programs");
    let variants = one.variants(&pythons, &programs.display().to_string(), &there()?).ok_or_else(|| {
        Failure::new(Status::Unsupported, format!("`{name}` needs two cores, and gilscope may use one"))
    })?;
    let plan = sized(&ExperimentArgs { runs: args.runs.or(Some(one.runs)), ..args.clone() }, variants)?;
    args.common.say(one.claim);
    args.common.say(&format!("expect: {}", one.expect));
    let store = create(&root, plan)?;
    let unwritten = |error: std::io::Error| stored(&StoreError::Unwritten { path: programs.clone(), error });
    std::fs::create_dir(&programs).map_err(unwritten)?;
    for (file, source) in program_files() {
        std::fs::write(programs.join(file), source).map_err(unwritten)?;
    }
    Ok(store)
}

/// Where interpreters are: on PATH, and where pyenv and uv put them.
fn interpreter_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let below_home = |place: &str| home.as_ref().map(|home| home.join(place));
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| below_home(".pyenv"));
    let uv =
        std::env::var_os("UV_PYTHON_INSTALL_DIR").map(PathBuf::from).or_else(|| below_home(".local/share/uv/python"));
    for root in [pyenv.map(|root| root.join("versions")), uv].into_iter().flatten() {
        let mut installed: Vec<PathBuf> =
            std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
        installed.sort_unstable();
        all.append(&mut installed);
    }
    all
}

/// The cores that gilscope may use.
fn there() -> Result<CpuSet, Failure> {
    affinity::of(crate::event::Tid(std::process::id()))
        .map_err(|error| Failure::new(Status::Internal, format!("cannot learn which cores are there: {error}")))
}

fn resumed(directory: &Path) -> Result<Store, Failure> {
    let store = Store::open(directory).map_err(|error| stored(&error))?;
    match store.plan().variants.iter().any(|variant| variant.command.is_empty()) {
        true => {
            Err(Failure::new(Status::Usage, "an experiment on a running process cannot go on later: begin it anew"))
        }
        false => Ok(store),
    }
}

pub(super) fn stored(error: &StoreError) -> Failure {
    let failure = Failure::new(Status::Usage, error);
    match error {
        StoreError::Exists(path) => failure.next(format!(
            "go on with it: gilscope experiment --resume {}; or name another directory: -o DIRECTORY",
            path.display()
        )),
        StoreError::NotOne { .. } => failure.next("name the directory that gilscope experiment has made"),
        StoreError::Unwritten { .. } => failure.next("name a place that you may write to: -o DIRECTORY"),
    }
}

/// What was recorded in this session, by the number of the trial.
type Runs = Vec<(usize, Run)>;

/// Makes all runs that are left, or as many as there is time for.
fn all(store: &mut Store, common: &Common, stop: &Stop) -> Result<Runs, Failure> {
    let left = store.left();
    let plan = store.plan().clone();
    let setter = plan.variants.iter().any(|variant| variant.switch_interval.is_some()).then(IntervalSetter::new);
    let setter = setter.transpose().map_err(|error| {
        Failure::new(Status::Internal, format!("cannot write what sets the switch interval: {error}"))
    })?;
    common.say(&format!(
        "{} variants, {} runs, in an order drawn from --seed {}; all is kept in {}; Ctrl-C stops, --resume goes on",
        plan.variants.len(),
        left.len(),
        plan.seed,
        store.root().display()
    ));
    let mut progress = Progress::to_stderr(common);
    let began = Instant::now();
    let mut runs = Runs::new();
    let mut said = Already::default();
    for (place, trial) in left.iter().enumerate() {
        let Some(variant) = plan.variants.get(trial.variant) else { continue };
        progress.show(|| pending(place, left.len(), began.elapsed(), variant));
        let path = store.root().join(store.recording(*trial));
        let made = one(*trial, variant, setter.as_ref(), &path, common, stop, &mut said)?;
        let Some(made) = made else {
            let _was_not_there = std::fs::remove_file(&path);
            break;
        };
        if let (Kind::Observed | Kind::WarmUp, Some(snapshot)) = (trial.kind, &made.snapshot)
            && let Some(odd) = verify(variant, snapshot)?.filter(|_| !std::mem::replace(&mut said.odd, true))
        {
            common.say(&progress.between(&odd));
        }
        let mut run = made.snapshot.as_ref().and_then(|snapshot| Run::of(path.display().to_string(), snapshot));
        let recorded = trial.kind == Kind::Observed && run.is_some();
        let shown = line(*trial, variant, made.done.measured.as_ref(), run.as_ref());
        common.say(&progress.between(&shown));
        if recorded && let Some(run) = run.take() {
            runs.push((trial.number, run));
        }
        let recording = recorded.then(|| store.recording(*trial));
        store.note(Done { recording, ..made.done }).map_err(|error| stored(&error))?;
    }
    Ok(runs)
}

/// What is going on, and for how long it will.
fn pending(place: usize, all: usize, elapsed: Duration, variant: &Variant) -> String {
    let left = match place {
        0 => String::new(),
        done => {
            let each = elapsed.as_secs_f64() / done as f64;
            format!(", about {} left", Ns((each * (all - place) as f64 * 1e9) as u64))
        }
    };
    let cells = 20 * place / all.max(1);
    format!(
        "[{}{}] run {} of {all}{left}: {}",
        "#".repeat(cells),
        ".".repeat(20 - cells),
        place + 1,
        crate::text::foreign(&variant.label(), 60)
    )
}

/// What one run leaves for those after it.
#[derive(Debug, Default)]
struct Already {
    /// It was said that it cannot be observed.
    unobserved: bool,
    /// It was said that one has failed.
    failed: bool,
    /// It was said that a process of one has a switch interval of its own.
    odd: bool,
    /// What looking costs here, once it was measured.
    costs: Option<Costs>,
}

/// A run that was made.
struct Made {
    done: Done,
    snapshot: Option<Snapshot>,
}

/// Makes a run; `None`: it was stopped.
fn one(
    trial: Trial,
    variant: &Variant,
    setter: Option<&IntervalSetter>,
    path: &Path,
    common: &Common,
    stop: &Stop,
    already: &mut Already,
) -> Result<Option<Made>, Failure> {
    let Some((program, arguments)) = variant.command.split_first() else {
        return Err(Failure::new(Status::Internal, "a variant has no command"));
    };
    let unwritten =
        |error: std::io::Error| Failure::new(Status::Internal, format!("cannot keep what a run says: {error}"));
    let mut said = tempfile::tempfile().map_err(unwritten)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone().map_err(unwritten)?);
    if let Some(setter) = setter {
        setter.set(&mut command, variant.switch_interval, std::env::var_os("PYTHONPATH").as_deref());
    }
    let start_unix_ns = clock::unix_now();
    let started = Started::start(&mut command, variant.cpus.as_ref())
        .map_err(|error| launch_failure(&LaunchError::Refused { program: program.clone(), error }, "experiment"))?;
    let snapshot = match trial.kind {
        Kind::Bare => None,
        Kind::WarmUp | Kind::Observed => {
            let file = (trial.kind == Kind::Observed).then_some(path);
            match observed(&started, program, file, common, stop, &mut already.costs) {
                Ok(snapshot) => Some(snapshot),
                Err(failure) if failure.status == Status::Unsupported => {
                    if !std::mem::replace(&mut already.unobserved, true) {
                        common.say(&format!("it is measured from outside only: {failure}"));
                    }
                    None
                }
                Err(failure) => return Err(failure),
            }
        }
    };
    let measured = started
        .finish(|| stop.is_requested())
        .map_err(|error| Failure::new(Status::Internal, format!("cannot learn what the run took: {error}")))?;
    let Some(measured) = measured else { return Ok(None) };
    if stop.is_requested() {
        return Ok(None);
    }
    if measured.status != 0 && !std::mem::replace(&mut already.failed, true) {
        let words = last_words(&mut said).unwrap_or_default();
        common.say(&format!("`{program}` ended with status {}{words}", measured.status));
    }
    Ok(Some(Made { done: Done { trial, start_unix_ns, measured: Some(measured), recording: None }, snapshot }))
}

/// Observes a program from its start to its end, and keeps a recording.
fn observed(
    started: &Started,
    program: &str,
    path: Option<&Path>,
    common: &Common,
    stop: &Stop,
    costs: &mut Option<Costs>,
) -> Result<Snapshot, Failure> {
    // What it takes is taken of all that it makes, and so are its figures.
    let quiet = Common { subprocesses: true, ..common.quietly() };
    let is_over = || started.is_over();
    let roots = attach_started(started.pid(), program, &quiet, || is_over() || stop.is_requested())?;
    let snapshot = watched(roots, path, &quiet, Until::Over(&is_over), stop, costs)?;
    if !snapshot.processes.is_empty() {
        return Ok(snapshot);
    }
    if let Some(path) = path {
        let _was_not_there = std::fs::remove_file(path);
    }
    let why = format!("neither `{program}` nor what it started was seen to be a Python");
    Err(Failure::new(Status::Unsupported, why))
}

/// How long a run is observed.
pub(super) enum Until<'a> {
    /// So long.
    Passed(Ns),
    /// Until the program is over.
    Over(&'a dyn Fn() -> bool),
}

/// Observes a program, and keeps a recording. What looking costs is measured once, and not in each run.
pub(super) fn watched(
    roots: Vec<Root>,
    path: Option<&Path>,
    common: &Common,
    until: Until<'_>,
    stop: &Stop,
    costs: &mut Option<Costs>,
) -> Result<Snapshot, Failure> {
    let duration = match until {
        Until::Passed(duration) => Some(duration),
        Until::Over(_) => None,
    };
    let options = Options { costs: *costs, ..options(&roots, common, duration)? };
    let file = path.map(|path| create_at(path, Existing::Overwrite)).transpose()?;
    let mut keeping = file.map(Keeping::start).transpose()?;
    // It is used up by the capture: the next one needs its own.
    let own = Stop::default();
    let capture = begin(roots, options, own.clone())?;
    let mut end = ItsEnd::of(common, &own, LEFT_BEHIND);
    let model = fold(&capture, |told| {
        if stop.is_requested() {
            own.request();
        }
        if let Until::Over(is_over) = until {
            end.heed(is_over);
        }
        if let (Told::Events(events), Some(keeping)) = (told, &mut keeping) {
            keeping.keep(events, &own);
        }
        Ok(())
    });
    let closed = keeping.map_or(Ok(()), Keeping::close);
    let snapshot = model?.snapshot();
    let told = snapshot.processes.iter().find_map(|process| process.capture.costs);
    *costs = costs.or(told.filter(|costs| costs.origin == CostOrigin::Measured));
    closed.map(|()| snapshot)
}

/// Whether the program ran with the switch interval that it was to have; if only some of its processes did, that is said.
fn verify(variant: &Variant, snapshot: &Snapshot) -> Result<Option<String>, Failure> {
    let (Some(wanted), Some(whole)) = (variant.switch_interval, Whole::of(snapshot)) else { return Ok(None) };
    let longest = whole.gils().map(|gil| gil.lifetime).max().unwrap_or(Ns::ZERO);
    let lived = |gil: &&GilFigures| gil.lifetime >= SET_WITHIN.min(longest);
    let found = || whole.gils().filter(lived).map(|gil| gil.switch_interval);
    let is_odd = |found: &Ns| found.0.abs_diff(wanted.0) > INTERVAL_GRAIN.0;
    let odd = found().filter(is_odd).count();
    match found().find(is_odd) {
        None => Ok(None),
        Some(found_so) if odd == found().count() => Err(Failure::new(
            Status::Usage,
            format!("the switch interval was to be {wanted} and is {found_so}: the program sets its own, or leaves sitecustomize out"),
        )
        .next("look for sys.setswitchinterval() in it, and for -I, -S or -E where it starts Python")),
        Some(found_so) => Ok(Some(format!(
            "the switch interval was to be {wanted}, but {odd} of {} GILs had another, such as {found_so}: of a process that \
             sets its own, or leaves sitecustomize out",
            found().count()
        ))),
    }
}

/// The end of what a run has said on stderr.
fn last_words(file: &mut File) -> Option<String> {
    let length = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS))).ok()?;
    let mut bytes = Vec::new();
    Read::take(&mut *file, LAST_WORDS).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().rev().take(5).map(|line| units::printable(line, 200)).collect();
    (!lines.is_empty()).then(|| format!("; it said:\n  {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n  ")))
}

/// Says what came of all that was done, in this session and before.
pub(super) fn finish(store: &Store, runs: Runs, args: &ExperimentArgs, output: Destination) -> Result<(), Failure> {
    let quiet = args.common.quietly();
    let read = |done: &Done| -> Option<Run> {
        if let Some((_, run)) = runs.iter().find(|(number, _)| *number == done.trial.number) {
            return Some(run.clone());
        }
        done.recording.as_ref()?;
        let path = store.root().join(store.recording(done.trial));
        let replayed = recorded::replay(&path, &quiet).ok()?;
        Run::of(path.display().to_string(), &replayed.model.snapshot())
    };
    let outcome = Outcome::of(store.plan(), store.done(), read);
    let rendered = match args.format {
        Format::Text => {
            let mut text = outcome_text(&outcome, width(), color(args.common.settled.color, output.is_terminal()));
            text.push_str(&next_steps(store));
            text
        }
        Format::Json => {
            let failed =
                |error: &dyn std::fmt::Display| Failure::new(Status::Internal, format!("cannot write JSON: {error}"));
            let document = outcome_json(&outcome).map_err(|error| failed(&error))?;
            let mut bytes = Vec::new();
            write_terminal_safe(&document, &mut bytes).map_err(|error| failed(&error))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    output.write(&rendered)
}

/// What can be typed to see more.
fn next_steps(store: &Store) -> String {
    let root = store.root().display();
    let directories: Vec<String> = store.plan().variants.iter().take(2).map(Variant::directory).collect();
    match &directories[..] {
        [a, b] => format!(
            "\nall figures: gilscope compare {root}/{a} {root}/{b}   one run: gilscope replay {root}/{b}/run-001.gscope\n"
        ),
        _ => format!("\none run: gilscope replay {root}/{}/run-001.gscope\n", directories.concat()),
    }
}

/// Whether somebody can be asked.
pub(super) fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
