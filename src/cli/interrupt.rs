//! `gilscope interrupt`: send a signal at random times, and say how long its Python handler let wait for itself.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use crate::capture::{Root, Stop};
use crate::cli::InterruptArgs;
use crate::cli::observe::{Told, attach, fold, start, stop_on_signals};
use crate::cli::record::{Keeping, create_at, heed_file_limits};
use crate::cli::report::{Destination, write};
use crate::error::{Failure, Status};
use crate::event::{Pid, Signal};
use crate::interrupt::{Consent, Fate, Plan, Refused, SendError, Sent, Stage, Stopped, may_send, run as send};
use crate::recording::Existing;
use crate::time::Ns;

/// Observed before the first signal, so that all instruments look by then; and after the last, for its records.
const AROUND: Duration = Duration::from_millis(800);

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &InterruptArgs) -> Result<u8, Failure> {
    if args.output.is_some() {
        heed_file_limits()?;
    }
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let consent = if args.yes { Consent::Given } else { Consent::Missing };
    let plan = Plan { signal: args.signal, count: args.count, pause: args.every, patience: args.patience, consent };
    // One to be observed, one to send to: each looks for itself.
    let (observed, addressee) = (attach(args.pid)?, attach(args.pid)?);
    may_send(&addressee, plan.signal, consent).map_err(|stopped| failure(&stopped, args.pid, plan.signal))?;
    // A file that cannot be written fails before anything is sent.
    let existing = if args.force { Existing::Overwrite } else { Existing::Refuse };
    let file = args.output.as_ref().map(|path| create_at(path, existing)).transpose()?;
    if std::io::stderr().is_terminal() {
        args.common.say(&format!(
            "sending {} to pid {}, {} times, at random, some {} apart; Ctrl-C ends it early",
            plan.signal, args.pid.0, plan.count, plan.pause
        ));
    }
    let capture = start(vec![Root::Attached(Box::new(observed))], &args.common, None, stop.clone())?;
    let mut keeping = file.map(Keeping::start).transpose()?;
    let told = capture.signals_sent();
    let (model, (sent, result)) = thread::scope(|scope| {
        let sender = thread::Builder::new().name("gilscope-send".to_owned()).spawn_scoped(scope, || {
            thread::sleep(AROUND);
            let is_over = || stop.is_requested();
            let outcome = send(&addressee, &plan, &is_over, &mut |at, signal| told.tell(at, signal));
            thread::sleep(AROUND);
            stop.request();
            outcome
        });
        let sender = sender.map_err(|error| internal(&format!("cannot start the sending thread: {error}")))?;
        let model = fold(&capture, |told| {
            if let (Told::Events(events), Some(keeping)) = (told, &mut keeping) {
                keeping.keep(events, &stop);
            }
            Ok(())
        });
        stop.request();
        let outcome = sender.join().map_err(|_| internal("the sending thread has failed"))?;
        Ok::<_, Failure>((model?, outcome))
    })?;
    args.common.say(&summary(&plan, &sent));
    let snapshot = model.snapshot();
    let kept = keeping.map_or(Ok(()), |keeping| keeping.finish(&snapshot, &args.common));
    write(&snapshot, args.format, &args.common, Destination::Stdout)?;
    kept?;
    match result {
        Ok(()) => Ok(Status::Ok as u8),
        // That it ended is what the signal may do, and the user has agreed to.
        Err(Stopped::Send(SendError::Gone(_))) if !sent.is_empty() => Ok(Status::Ok as u8),
        Err(stopped) => Err(failure(&stopped, args.pid, plan.signal)),
    }
}

/// What became of those that were sent.
fn summary(plan: &Plan, sent: &[Sent]) -> String {
    let mut delays: Vec<Ns> = Vec::new();
    let (mut gone, mut undelivered, mut tripped) = (0, 0, 0);
    for one in sent {
        match one.fate {
            Fate::Handled(delay) => delays.push(delay),
            Fate::Gone => gone += 1,
            Fate::Unhandled(Stage::Undelivered) => undelivered += 1,
            Fate::Unhandled(Stage::Tripped) => tripped += 1,
        }
    }
    delays.sort_unstable();
    let mut parts = vec![format!("{} {} sent, {} handled", sent.len(), plan.signal, delays.len())];
    let at = |share: f64| delays.get(((delays.len() as f64 * share).ceil() as usize).saturating_sub(1)).copied();
    if let (Some(median), Some(ninth), Some(longest)) = (at(0.5), at(0.9), delays.last()) {
        parts.push(format!("after at most {median} (half of them), {ninth} (nine of ten), {longest} (all)"));
    }
    for (count, what) in [
        (undelivered, "still pending in the kernel"),
        (tripped, "still waiting for the main thread"),
        (gone, "after which the process was over"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join("; ")
}

fn internal(what: &str) -> Failure {
    Failure::new(Status::Internal, what)
}

fn failure(stopped: &Stopped, pid: Pid, signal: Signal) -> Failure {
    let doctor = format!("type: gilscope doctor {}", pid.0);
    match stopped {
        Stopped::Refused(Refused::KeyboardInterrupt { .. }) => Failure::new(Status::Refused, stopped)
            .next("if it may end, add --yes; or name a signal that it handles itself, such as --signal SIGUSR1"),
        Stopped::Refused(Refused::WouldHarm { .. } | Refused::NotPython { .. }) => Failure::new(
            Status::Refused,
            stopped,
        )
        .next(format!(
            "have the program handle it, as by signal.signal(signal.{signal}, handler), or name another with --signal"
        )),
        Stopped::Refused(Refused::Unknown { .. }) => Failure::new(Status::Refused, stopped).next(doctor),
        Stopped::Send(SendError::Gone(_)) => Failure::new(Status::NoSuchProcess, stopped),
        Stopped::Send(SendError::NotPermitted(_)) => {
            Failure::new(Status::NotPermitted, stopped).next("run gilscope as that user, or as root")
        }
        Stopped::Send(SendError::Refused { .. }) | Stopped::Read(_) | Stopped::Task(_) => {
            Failure::new(Status::Internal, stopped).next(doctor)
        }
        Stopped::Unhandled { .. } => Failure::new(Status::Refused, stopped)
            .next("look at what holds it up: gilscope attach PID; or wait longer: --patience 5m"),
    }
}
