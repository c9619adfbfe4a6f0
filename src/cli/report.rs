//! `gilscope report`: observe, then say it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::capture::Stop;
use crate::cli::gate;
use crate::cli::observe::{attach_started, observe, observe_running};
use crate::cli::recorded;
use crate::cli::{Common, Format, ReportArgs, When, complain, print};
use crate::error::{Failure, Status};
use crate::launch::{LaunchError, Launched};
use crate::model::snapshot::Snapshot;
use crate::report::{Color, TextOptions, text, write_json};

/// How long processes are still looked at that outlive the program that made them.
pub const LEFT_BEHIND: Duration = Duration::from_millis(500);

/// Runs the command; its exit status, or the started program's.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &ReportArgs) -> Result<u8, Failure> {
    gate::takes_one_side(&args.gate)?;
    // A path that cannot be written fails now, not after the observation.
    let output = match &args.output {
        Some(path) => Destination::create(path)?,
        None if args.program.is_empty() => Destination::Stdout,
        None => Destination::Stderr,
    };
    match (&args.pid[..], &args.recording) {
        ([], Some(path)) => {
            let replayed = recorded::replay(path, &args.common)?;
            let snapshot = replayed.model.snapshot();
            write(&snapshot, args.format, &args.common, output)?;
            replayed.failure.map_or_else(|| gate::status(&args.gate, &snapshot), Err)
        }
        (pids @ [_, ..], _) => {
            let model = observe_running(pids, args.duration, &args.common)?;
            let snapshot = model.snapshot();
            write(&snapshot, args.format, &args.common, output)?;
            gate::status(&args.gate, &snapshot)
        }
        ([], None) => launched(args, output),
    }
}

fn launched(args: &ReportArgs, output: Destination) -> Result<u8, Failure> {
    let launched = Launched::start(&args.program).map_err(|error| launch_failure(&error, "report"))?;
    let name = args.program.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    let is_over = || !matches!(launched.try_status(), Ok(None));
    let reported = attach_started(launched.pid(), &name, &args.common, is_over)
        .and_then(|roots| {
            let stop = Stop::default();
            let mut end = ItsEnd::of(&args.common, &stop, LEFT_BEHIND);
            observe(roots, &args.common, args.duration, stop.clone(), |_| {
                end.heed(is_over);
                Ok(())
            })
        })
        .and_then(|model| {
            let snapshot = model.snapshot();
            write(&snapshot, args.format, &args.common, output)?;
            gate::status(&args.gate, &snapshot)
        });
    // The program may run on for long: what is known by now, report or failure, is told by now.
    if let Err(failure) = &reported {
        complain(failure);
    }
    let status = launched
        .wait()
        .map_err(|error| Failure::new(Status::Internal, format!("cannot learn how the program ended: {error}")))?;
    Ok(match reported {
        // The program's own failure is the more important one.
        Err(failure) if status.success() => failure.status as u8,
        Ok(code) if status.success() => code,
        Ok(_) | Err(_) => passed_on(status),
    })
}

/// Ends an observation a little after the program that was started for it: what it leaves behind may go on for ever.
pub struct ItsEnd<'a> {
    stop: &'a Stop,
    common: &'a Common,
    patience: Duration,
    since: Option<Instant>,
}

impl ItsEnd<'_> {
    /// That of a program. What it leaves behind is looked at for so long.
    pub fn of<'a>(common: &'a Common, stop: &'a Stop, patience: Duration) -> ItsEnd<'a> {
        ItsEnd { stop, common, patience, since: None }
    }

    /// Looks whether it has come, if the program is over. One process alone ends by itself.
    pub fn heed(&mut self, is_over: impl FnOnce() -> bool) {
        if self.common.subprocesses
            && is_over()
            && self.since.get_or_insert_with(Instant::now).elapsed() >= self.patience
        {
            self.stop.request();
        }
    }
}

/// A program that could not be started, with the statuses that shells give.
pub fn launch_failure(error: &LaunchError, command: &str) -> Failure {
    match error {
        LaunchError::Empty => {
            Failure::new(Status::Usage, error).next(format!("type: gilscope {command} -- python3 app.py"))
        }
        LaunchError::Refused { program, error: reason } => match reason.kind() {
            ErrorKind::NotFound if Path::new(program).exists() => Failure::new(Status::CommandNotFound, error)
                .next("it is there, so what its first line (`#!...`) names is not; or the loader that it asks for"),
            ErrorKind::NotFound => {
                Failure::new(Status::CommandNotFound, error).next("check its name, or give its full path")
            }
            _ => Failure::new(Status::NotExecutable, error)
                .next(format!("if it is a Python program, type: gilscope {command} -- python3 {program}")),
        },
        LaunchError::Signals(_) => Failure::new(Status::Internal, error),
    }
}

/// The exit status that a shell would report: a program killed by signal n gives 128 + n.
pub fn passed_on(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// Where a report goes.
#[derive(Debug)]
pub enum Destination {
    /// gilscope's own data.
    Stdout,
    /// Beside a started program, whose stdout is its own.
    Stderr,
    /// What `-o` names.
    File(File),
}

impl Destination {
    /// Opens what `-o` names. What it holds already stays until there is something to write.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> Result<Destination, Failure> {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        opened.map(Destination::File).map_err(|error| {
            let failure = Failure::new(Status::Usage, format!("cannot write {}: {error}", path.display()));
            match path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
                Some(parent) => failure.next(format!("make its directory first: mkdir -p {}", parent.display())),
                None => failure.next("name a file that you may write: -o FILE"),
            }
        })
    }

    /// Whether somebody reads it as it comes.
    pub fn is_terminal(&self) -> bool {
        match self {
            Destination::Stdout => std::io::stdout().is_terminal(),
            Destination::Stderr => std::io::stderr().is_terminal(),
            Destination::File(_) => false,
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self, text: &str) -> Result<(), Failure> {
        match self {
            Destination::Stdout => print(text),
            Destination::Stderr => {
                // A reader that has gone away is no failure, as on stdout.
                let _closed = std::io::stderr().lock().write_all(text.as_bytes());
                Ok(())
            }
            Destination::File(file) => replace(file, text.as_bytes())
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write the report: {error}"))),
        }
    }
}

/// Makes `bytes` all that a file holds; a pipe or a device, such as `/dev/stdout`, just gets them.
fn replace(mut file: File, bytes: &[u8]) -> std::io::Result<()> {
    let regular = file.metadata()?.is_file();
    if regular {
        file.set_len(0)?;
    }
    match file.write_all(bytes) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes the report where it was asked for.
///
/// # Errors
/// If it cannot be written.
pub fn write(snapshot: &Snapshot, format: Format, common: &Common, output: Destination) -> Result<(), Failure> {
    let rendered = match format {
        Format::Text => text(
            snapshot,
            &TextOptions {
                width: width(),
                color: color(common.settled.color, output.is_terminal()),
                allowed: common.allowed(),
            },
        ),
        Format::Json => {
            let mut bytes = Vec::new();
            write_json(snapshot, common.allowed(), &mut bytes)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write JSON: {error}")))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    output.write(&rendered)
}

/// Whether to colour: as asked for, or on a terminal whose user does not mind.
pub fn color(when: When, terminal: bool) -> Color {
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
