//! Observing: a target, a capture, a model; what `report` and `demo` share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::capture::{Capture, Options, Stop};
use crate::cli::Common;
use crate::error::{Failure, Status};
use crate::event::{Event, Origin, Pid};
use crate::model::Model;
use crate::target::{AttachError, Kind, Target};
use crate::time::Ns;

/// How long an interpreter that is still starting up is waited for.
const PATIENCE: Ns = Ns(5_000_000_000);
/// How often a program that is not (yet) a Python is looked at, while it lives.
const LAUNCH_POLL: Ns = Ns(200_000_000);

/// Makes the first Ctrl-C (or SIGTERM) an orderly stop and the second an end at once.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn stop_on_signals(stop: &Stop) -> Result<(), Failure> {
    let refused = |error| Failure::new(Status::Internal, format!("cannot install signal handlers: {error}"));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
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

/// Attaches to a program that was just started, however many programs it replaces itself by on the way to Python.
/// `has_ended` tells whether it is over.
///
/// # Errors
/// If it ends before it became a Python, or may not be observed.
pub fn attach_started(pid: Pid, mut has_ended: impl FnMut() -> bool) -> Result<Target, Failure> {
    loop {
        match Target::attach(pid, LAUNCH_POLL, Origin::Launched) {
            Ok(target) => return Ok(target),
            Err(error) => {
                let hopeless = matches!(error.kind(), Kind::NotPermitted | Kind::Internal);
                if hopeless || has_ended() {
                    return Err(failure(&error));
                }
            }
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

/// What an observation tells meanwhile.
#[derive(Debug)]
pub enum Told<'a> {
    /// Events came, and are folded in.
    Events(Vec<Event>),
    /// Another second has passed; what is known by now.
    Second(&'a Model),
}

/// Observes `target` until the time is up, it ends, or a stop is asked for; `tell` hears of it meanwhile.
///
/// # Errors
/// If the sampling thread cannot be started, or whatever `tell` fails with.
pub fn observe(
    target: Target,
    common: &Common,
    duration: Option<Ns>,
    stop: Stop,
    mut tell: impl FnMut(Told<'_>) -> Result<(), Failure>,
) -> Result<Model, Failure> {
    let info = target.info();
    common.say_more(&format!(
        "observing pid {}: CPython {} on {}, {} looks a second",
        info.pid.0,
        info.python,
        info.libc,
        1_000_000_000 / common.rate.0.max(1)
    ));
    let options = Options { interval: common.rate, duration, tool_version: env!("CARGO_PKG_VERSION").to_owned() };
    let capture = Capture::start(target, options, stop)
        .map_err(|error| Failure::new(Status::Internal, format!("cannot start the sampling thread: {error}")))?;
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
