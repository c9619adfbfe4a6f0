//! Observing: a target, a capture, a model; what `report` and `demo` share.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::capture::{Capture, Descendants, MOST_FOLLOWED, Options, Precision, Root, StackLooks, Stop};
use crate::cli::{Common, ModeArg, NativeArg, StacksArg, TracepointsArg};
use crate::error::{Failure, Status};
use crate::event::{Event, Origin, Pid, Tid, Unwatched, What};
use crate::instruments::perf::FutexTracepoint;
use crate::instruments::schedule::{Edges, Rate};
use crate::instruments::{NativeLooks, clock, perf};
use crate::model::Model;
use crate::signals::heeded;
use crate::target::{AttachError, Family, Kind, Target, descriptors};
use crate::time::Ns;

/// How long a running process is observed unless told otherwise.
const DEFAULT_DURATION: Ns = Ns(10_000_000_000);
/// How long an interpreter that is still starting up is waited for.
pub const PATIENCE: Ns = Ns(5_000_000_000);
/// How long a program that was just started is looked at without a pause, in one attempt to attach.
const LAUNCH_POLL: Ns = Ns(200_000_000);
/// The same, where what it starts is looked into too.
const FAMILY_POLL: Ns = Ns(20_000_000);
/// How long such attempts follow one another; whatever is no Python by then is looked at now and then.
const LAUNCH_RUSH: Duration = Duration::from_secs(3);
/// Words of the GIL that the exact mode watches.
const WORDS: usize = 2;
/// The pause between two attempts, and between two looks after the rush: a few percent of a core, and about as long as
/// the fastest Python needs to start up.
const LAUNCH_PAUSES: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(5)];

/// Makes the first Ctrl-C (or SIGTERM, or SIGHUP unless that is ignored) an orderly stop and the second an end at once.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let refused = |error| Failure::new(Status::Internal, format!("cannot install signal handlers: {error}"));
    // A script's `kill -INT` of a job in the background is meant, although its shell has SIGINT ignored there.
    for signal in [SIGINT, SIGTERM].into_iter().chain(heeded(&[SIGHUP])) {
        let armed: Arc<AtomicBool> = stop.flag();
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed)).map_err(refused)?;
        signal_hook::flag::register(signal, armed).map_err(refused)?;
    }
    Ok(())
}

/// Attaches to a running process.
///
/// # Errors
/// With what to type next.
pub fn attach(pid: Pid) -> Result<Target, Failure> {
    Target::attach(pid, PATIENCE, Origin::Attached).map_err(|error| failure(&error))
}

/// Attaches to running processes.
///
/// # Errors
/// With what to type next, if one of them cannot be attached to.
pub fn attach_all(pids: &[Pid]) -> Result<Vec<Root>, Failure> {
    let once: BTreeSet<Pid> = pids.iter().copied().collect();
    let in_order = pids.iter().filter({
        let mut left = once;
        move |pid| left.remove(pid)
    });
    in_order.map(|pid| attach(*pid).map(|target| Root::Attached(Box::new(target)))).collect()
}

/// The pid of the first of them.
pub fn first(roots: &[Root]) -> Pid {
    roots.first().map_or(Pid(0), |root| match root {
        Root::Attached(target) => target.info().pid,
        Root::Started(pid) => *pid,
    })
}

/// Processes in a message.
pub fn named(pids: &[Pid], common: &Common) -> String {
    let list: Vec<String> = pids.iter().map(|pid| pid.0.to_string()).collect();
    let plural = if list.len() == 1 { "" } else { "s" };
    let theirs = match common.descendants() {
        Descendants::Left => "",
        Descendants::Followed => " and what descends from it",
    };
    format!("pid{plural} {}{theirs}", list.join(", "))
}

/// Attaches to a program that was just started, however many programs it replaces itself by on the way to Python.
/// `has_ended` tells whether it is over; `program` is what it is called in messages.
///
/// # Errors
/// If it ends before it became a Python, or may not be observed.
pub fn attach_started(
    pid: Pid,
    program: &str,
    common: &Common,
    has_ended: impl FnMut() -> bool + Send,
) -> Result<Vec<Root>, Failure> {
    // It is a race against the program's first line: it is run on time, or lost.
    let race = || {
        clock::punctual();
        wait_for_python(pid, program, common, has_ended)
    };
    let internal = |why: &str| Failure::new(Status::Internal, format!("cannot attach to `{program}`: {why}"));
    thread::scope(|scope| {
        let racer = thread::Builder::new().name("gilscope-attach".to_owned()).spawn_scoped(scope, race);
        let racer = racer.map_err(|error| internal(&error.to_string()))?;
        racer.join().unwrap_or_else(|_| Err(internal("its thread has failed")))
    })
}

fn wait_for_python(
    pid: Pid,
    program: &str,
    common: &Common,
    mut has_ended: impl FnMut() -> bool,
) -> Result<Vec<Root>, Failure> {
    let began = Instant::now();
    let mut rush = true;
    let mut last_refusal = None;
    loop {
        let patience = match (rush, common.descendants()) {
            (false, _) => Ns::ZERO,
            (true, Descendants::Left) => LAUNCH_POLL,
            (true, Descendants::Followed) => FAMILY_POLL,
        };
        let error = match Target::attach(pid, patience, Origin::Launched) {
            Ok(target) => return Ok(vec![Root::Attached(Box::new(target))]),
            Err(error) => error,
        };
        match error.kind() {
            Kind::NotPermitted | Kind::Internal => return Err(failure(&error)),
            Kind::Unsupported => last_refusal = Some(error),
            Kind::NoSuchProcess => {}
        }
        if common.descendants() == Descendants::Followed && has_children(pid) {
            return Ok(vec![Root::Started(pid)]);
        }
        if has_ended() {
            return Err(never_a_python(program, last_refusal.as_ref()));
        }
        if rush && began.elapsed() >= LAUNCH_RUSH {
            rush = false;
            let why = last_refusal.as_ref().map_or_else(|| "it is starting up".to_owned(), ToString::to_string);
            common.say(&format!("`{program}` is not a Python yet ({why}); waiting until it becomes one, or ends"));
        }
        thread::sleep(LAUNCH_PAUSES[usize::from(!rush)]);
    }
}

/// Whether a program, which is no Python, has started others.
fn has_children(pid: Pid) -> bool {
    Family::of(&[pid]).look().is_ok_and(|changes| !changes.born.is_empty())
}

/// A started program ended before there was something to observe; `last_refusal` is what was said of it before.
fn never_a_python(program: &str, last_refusal: Option<&AttachError>) -> Failure {
    match last_refusal {
        None | Some(AttachError::StillStarting(_)) => {
            Failure::new(Status::Unsupported, format!("`{program}` ended before a Python was up in it"))
                .next("nothing was observed; a program that runs longer is: gilscope report -- python3 app.py")
        }
        Some(AttachError::NotPython { program: last, .. }) => Failure::new(
            Status::Unsupported,
            format!("`{program}` ended without ever having been a Python (the last program it ran was {last})"),
        )
        .next(
            "only the started process itself is observed, not those that it starts: end a shell script with \
             `exec python3 app.py`, or type: gilscope report -- python3 app.py",
        ),
        Some(error) => {
            let failure = failure(error);
            Failure { what: format!("`{program}` could not be observed: {}", failure.what), ..failure }
        }
    }
}

/// An attach error as a command's failure.
pub fn failure(error: &AttachError) -> Failure {
    let status = match error.kind() {
        Kind::NotPermitted => Status::NotPermitted,
        Kind::Unsupported => Status::Unsupported,
        Kind::NoSuchProcess => Status::NoSuchProcess,
        Kind::Internal => Status::Internal,
    };
    let failure = Failure::new(status, error);
    match error.next_step() {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// How to capture a process: as precisely as was asked for, or, where that is left to gilscope, as is permitted.
///
/// # Errors
/// If what was asked for may not be had.
pub fn options(roots: &[Root], common: &Common, duration: Option<Ns>) -> Result<Options, Failure> {
    let pid = first(roots);
    // A program that gilscope starts has its own limit by now.
    descriptors::use_all();
    let fused = Precision::Fused { budget: common.settled.max_overhead };
    let precision = match common.mode {
        ModeArg::Sampled => Precision::Sampled,
        ModeArg::Exact => match perf::try_watchpoints(Tid(pid.0), WORDS) {
            Ok(()) => Precision::Exact { budget: common.settled.max_overhead },
            Err(refusal) => return Err(refused("watchpoints", &refusal)),
        },
        ModeArg::Auto | ModeArg::Fused => match (perf::try_switch_records(Tid(pid.0)), common.mode) {
            (Ok(()), _) => fused,
            (Err(refusal), ModeArg::Fused) => return Err(refused("switch records", &refusal)),
            // It ends: that is all there is to say of it.
            (Err(perf::Refusal { why: perf::Why::Gone, .. }), _) => Precision::Sampled,
            (Err(refusal), _) => {
                common.say(&format!(
                    "waits are known to {} only, not to the microsecond: {}",
                    rate(common).interval(Edges::ByLooks),
                    refused("switch records", &refusal).what
                ));
                Precision::Sampled
            }
        },
    };
    let tracepoint = match common.tracepoints {
        TracepointsArg::Never => None,
        TracepointsArg::Always => Some(tracepoint(roots, precision)?),
    };
    let native = match common.native {
        NativeArg::Never => NativeLooks::Never,
        NativeArg::Auto => NativeLooks::WithinBudget,
        NativeArg::Always => match perf::try_user_samples(Tid(pid.0)) {
            Ok(()) => NativeLooks::Always,
            Err(refusal) => return Err(refused("samples of stacks", &refusal)),
        },
    };
    let stacks = match common.stacks {
        StacksArg::Auto => StackLooks::AtRandom,
        StacksArg::Never => StackLooks::Never,
    };
    let tool_version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Options {
        rate: rate(common),
        duration,
        precision,
        tracepoint,
        native,
        stacks,
        costs: None,
        descendants: common.descendants(),
        tool_version,
    })
}

/// How often to look: as asked for, or as pays.
fn rate(common: &Common) -> Rate {
    common.settled.rate.map_or(Rate::Suited, Rate::Asked)
}

/// The tracepoint that was asked for.
fn tracepoint(roots: &[Root], precision: Precision) -> Result<FutexTracepoint, Failure> {
    // Its waiters sleep on their own stacks (`pthread_cond_timedwait.c`): the kernel cannot tell them by the address.
    if roots.iter().any(|root| matches!(root, Root::Attached(it) if it.info().libc.starts_with("musl"))) {
        return Err(Failure::new(Status::Unsupported, "on musl, tracepoints cannot tell who waits for the GIL")
            .next("do without: --tracepoints never"));
    }
    match perf::try_futex_waits(Tid(first(roots).0)) {
        Err(refusal) => Err(refused("tracepoints", &refusal)),
        Ok(_) if !matches!(precision, Precision::Fused { .. }) => {
            Err(Failure::new(Status::Usage, "tracepoints name what switch records tell of: they are for --mode fused")
                .next("--mode fused, or --tracepoints never"))
        }
        Ok(tracepoint) => Ok(tracepoint),
    }
}

fn refused(what: &str, refusal: &perf::Refusal) -> Failure {
    let status = if refusal.why == perf::Why::Gone { Status::NoSuchProcess } else { Status::NotPermitted };
    Failure::new(status, format!("the kernel's {what} are refused: {refusal}")).next(refusal.next_step())
}

/// What an observation tells meanwhile.
#[derive(Debug)]
pub enum Told<'a> {
    /// Events came, and are folded in.
    Events(Vec<Event>),
    /// Another second has passed; what is known by now.
    Second(&'a Model),
}

/// Observes a running process for a while, until it ends, or until Ctrl-C.
///
/// # Errors
/// If it cannot be observed, with what to type next.
pub fn observe_running(pids: &[Pid], duration: Option<Ns>, common: &Common) -> Result<Model, Failure> {
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let roots = attach_all(pids)?;
    let duration = duration.unwrap_or(DEFAULT_DURATION);
    if std::io::stderr().is_terminal() {
        common.say(&format!("observing {} for {duration}; Ctrl-C ends it early", named(pids, common)));
    }
    observe(roots, common, Some(duration), stop, |_| Ok(()))
}

/// Observes `roots` until the time is up, they end, or a stop is asked for; `tell` hears of it meanwhile.
///
/// # Errors
/// If the sampling thread cannot be started, or whatever `tell` fails with.
pub fn observe(
    roots: Vec<Root>,
    common: &Common,
    duration: Option<Ns>,
    stop: Stop,
    mut tell: impl FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<Model, Failure> {
    fold(&start(roots, common, duration, stop)?, |told| {
        if let Told::Events(events) = &told {
            events.iter().for_each(|event| say_who_is_not_watched(&event.what, common));
        }
        tell(told)
    })
}

fn say_who_is_not_watched(what: &What, common: &Common) {
    let What::ChildUnwatched { child, why, .. } = what else { return };
    let why = match why {
        Unwatched::TooShort => "it ended before it could be looked into".to_owned(),
        Unwatched::NotPython => "it is no Python that is supported; those that it makes are followed".to_owned(),
        Unwatched::Unreadable => "it may not be looked into, or makes no sense".to_owned(),
        Unwatched::TooMany => format!("{MOST_FOLLOWED} processes are looked into already"),
    };
    common.say_more(&format!("pid {} is left out: {why}", child.0));
}

/// Starts to observe `roots`.
///
/// # Errors
/// If the sampling thread cannot be started.
pub fn start(roots: Vec<Root>, common: &Common, duration: Option<Ns>, stop: Stop) -> Result<Capture, Failure> {
    for root in &roots {
        if let Root::Attached(target) = root {
            let info = target.info();
            common.say_more(&format!("observing pid {}: CPython {} on {}", info.pid.0, info.python, info.libc));
        }
    }
    let options = options(&roots, common, duration)?;
    begin(roots, options, stop)
}

/// Starts to observe `roots` with these options.
///
/// # Errors
/// If the sampling thread cannot be started.
pub fn begin(roots: Vec<Root>, options: Options, stop: Stop) -> Result<Capture, Failure> {
    Capture::start_all(roots, options, stop)
        .map_err(|error| Failure::new(Status::Internal, format!("cannot start the sampling thread: {error}")))
}

/// Folds what a capture tells until it is over; `tell` hears of it meanwhile.
///
/// # Errors
/// Whatever `tell` fails with.
pub fn fold(capture: &Capture, mut tell: impl FnMut(Told<'_>) -> Result<(), Failure>) -> Result<Model, Failure> {
    let mut model = Model::new();
    let mut shown = std::time::Instant::now();
    loop {
        match capture.next_within(Duration::from_millis(100)) {
            Ok(events) => {
                events.iter().for_each(|event| model.apply(event));
                tell(Told::Events(events))?;
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(model),
        }
        if shown.elapsed() >= Duration::from_secs(1) {
            shown += Duration::from_secs(1);
            tell(Told::Second(&model))?;
        }
    }
}
