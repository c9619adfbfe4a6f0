//! `gilscope report`: observe, then say it.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::capture::Stop;
use crate::cli::observe::{attach, attach_started, observe, stop_on_signals};
use crate::cli::recorded;
use crate::cli::{Common, Format, ReportArgs, When, print};
use crate::error::{Failure, Status};
use crate::launch::{LaunchError, Launched};
use crate::model::snapshot::Snapshot;
use crate::report::{Color, TextOptions, text, write_json};
use crate::time::Ns;

/// How long a running process is observed unless told otherwise.
const DEFAULT_DURATION: Ns = Ns(10_000_000_000);

/// Runs the command; its exit status, or the started program's.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &ReportArgs) -> Result<u8, Failure> {
    // A path that cannot be written fails now, not after the observation.
    let output = match &args.output {
        Some(path) => Some(
            File::create(path)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write {}: {error}", path.display())))?,
        ),
        None => None,
    };
    match (args.pid, &args.recording) {
        (None, Some(path)) => {
            let replayed = recorded::replay(path, &args.common)?;
            write(&replayed.model.snapshot(), args.format, &args.common, output)?;
            replayed.failure.map_or(Ok(Status::Ok as u8), Err)
        }
        (Some(pid), _) => {
            let stop = Stop::default();
            stop_on_signals(&stop)?;
            let target = attach(pid)?;
            let duration = args.duration.unwrap_or(DEFAULT_DURATION);
            if std::io::stderr().is_terminal() {
                args.common.say(&format!("observing pid {} for {duration}; Ctrl-C ends it early", pid.0));
            }
            let model = observe(target, &args.common, Some(duration), stop, |_| Ok(()))?;
            write(&model.snapshot(), args.format, &args.common, output)?;
            Ok(Status::Ok as u8)
        }
        (None, None) => launched(args, output),
    }
}

fn launched(args: &ReportArgs, output: Option<File>) -> Result<u8, Failure> {
    let launched = Launched::start(&args.program).map_err(|error| launch_failure(&error, "report"))?;
    let stop = Stop::default();
    let observed = attach_started(launched.pid(), || !matches!(launched.try_status(), Ok(None)))
        .and_then(|target| observe(target, &args.common, args.duration, stop, |_| Ok(())));
    let status = launched
        .wait()
        .map_err(|error| Failure::new(Status::Internal, format!("cannot learn how the program ended: {error}")))?;
    match observed {
        Ok(model) => {
            write(&model.snapshot(), args.format, &args.common, output)?;
            Ok(passed_on(status))
        }
        // The program's own failure is the better news than that it could not be observed.
        Err(failure) if !status.success() => {
            args.common.say(&failure.to_string());
            Ok(passed_on(status))
        }
        Err(failure) => Err(failure),
    }
}

/// A program that could not be started, with the statuses that shells give.
pub fn launch_failure(error: &LaunchError, command: &str) -> Failure {
    match error {
        LaunchError::Empty => {
            Failure::new(Status::Usage, error).next(format!("Type: gilscope {command} -- python3 app.py"))
        }
        LaunchError::Refused { .. } => {
            Failure::new(Status::NoSuchProcess, error).next("Check its name, or give its full path.")
        }
        LaunchError::Signals(_) => Failure::new(Status::Internal, error),
    }
}

/// The exit status that a shell would report: a program killed by signal n gives 128 + n.
pub fn passed_on(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Writes the report where it was asked for.
///
/// # Errors
/// If it cannot be written.
pub fn write(snapshot: &Snapshot, format: Format, common: &Common, output: Option<File>) -> Result<(), Failure> {
    let rendered = match format {
        Format::Text => {
            let terminal = output.is_none() && std::io::stdout().is_terminal();
            text(snapshot, &TextOptions { width: width(), color: color(common.color, terminal) })
        }
        Format::Json => {
            let mut bytes = Vec::new();
            write_json(snapshot, &mut bytes)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write JSON: {error}")))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    match output {
        Some(mut file) => file
            .write_all(rendered.as_bytes())
            .and_then(|()| file.sync_all().or(Ok(())))
            .map_err(|error| Failure::new(Status::Internal, format!("cannot write the report: {error}"))),
        None => print(&rendered),
    }
}

fn color(when: When, terminal: bool) -> Color {
    let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    match when {
        When::Always => Color::Ansi,
        When::Auto if terminal && !asked_not_to && !dumb => Color::Ansi,
        When::Auto | When::Never => Color::Never,
    }
}

/// The terminal's width, or a page's.
pub fn width() -> u16 {
    terminal_size::terminal_size().map_or(100, |(terminal_size::Width(columns), _)| columns)
}
