//! `gilscope demo`: a workload of known habits under the dashboard, or, without a terminal, what gilscope sees in it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::Child;

use clap::builder::PossibleValuesParser;

use crate::capture::Stop;
use crate::cli::observe::{Told, attach_started, observe, stop_on_signals};
use crate::cli::still::Taken;
use crate::cli::watch::{show, start_live};
use crate::cli::{DemoArgs, Format, print, report};
use crate::error::{Failure, Status};
use crate::event::Pid;
use crate::launch::LaunchError;
use crate::report::summary_line;
use crate::time::Ns;
use crate::workloads::{self, CannotRun, GROUPS, Interpreter, LaidOut, Processes, Unasked, Workload, extension};

/// The workload that runs unless another is named.
pub const DEFAULT: &str = "convoy";
/// How long it is observed for a report.
const DEFAULT_DURATION: Ns = Ns(5_000_000_000);
/// The width of a name in lists.
const NAME: usize = 16;
/// How long it runs at most under the dashboard, should nobody be left to end it.
const LIVE_SECONDS: f64 = 24.0 * 3_600.0;

/// The names that can be typed.
pub fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(workloads::all().map(|workload| workload.name))
}

/// The workloads with what each is, for the help.
pub fn listing() -> String {
    let mut out = String::from("WORKLOADS (--list says more):\n");
    for workload in workloads::all() {
        out.push_str(&format!("  {:NAME$}  {}\n", workload.name, workload.shows));
    }
    out
}

/// What each workload shows and what to expect, and which cannot run on this interpreter, and why.
fn list(interpreter: &Interpreter) -> String {
    let (major, minor, patch) = interpreter.version;
    let mut out = format!("Run one with: gilscope demo NAME   here with {}, ", interpreter.name());
    out.push_str(&format!("CPython {major}.{minor}.{patch}; --python names another\n"));
    for group in GROUPS {
        out.push_str(&format!("\n{}\n", group.title));
        for workload in group.workloads {
            out.push_str(&format!("  {:NAME$}  {}\n", workload.name, workload.shows));
            out.push_str(&format!("  {:NAME$}  expect: {}\n", "", workload.expect));
            if let Some(missing) = workload.missing(interpreter) {
                out.push_str(&format!("  {:NAME$}  cannot run here: {missing}", ""));
                out.push_str(&missing.next_step().map_or_else(String::new, |next| format!("; {next}")));
                out.push('\n');
            }
        }
    }
    out
}

/// Runs the command.
///
/// # Errors
/// If the workload cannot be started or observed.
pub fn run(mut args: DemoArgs) -> Result<u8, Failure> {
    if args.list {
        let interpreter = Interpreter::ask(&args.python).map_err(|error| cannot_run(error.into()))?;
        print(&list(&interpreter))?;
        return Ok(Status::Ok as u8);
    }
    let workload = workloads::named(&args.name)
        .ok_or_else(|| Failure::new(Status::Usage, format!("there is no workload `{}`", args.name)))?;
    args.common.subprocesses |= workload.processes == Processes::Several;
    let args = &args;
    let format = match args.format {
        None if std::io::stdout().is_terminal() || args.still.is_wanted() => return live(workload, args),
        None => Format::Text,
        Some(format) => format,
    };
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let duration = args.duration.unwrap_or(DEFAULT_DURATION);
    let mut running = Running::start(workload, &args.python, duration.as_secs_f64() + 30.0)?;
    args.common.say(&format!("demo `{}`: {}", workload.name, workload.shows));
    let pid = running.pid();
    let roots = attach_started(pid, &args.python.to_string_lossy(), &args.common, || running.has_ended())?;
    let model = observe(roots, &args.common, Some(duration), stop, |told| match told {
        Told::Second(model) if format == Format::Text => print(&format!("{}\n", summary_line(&model.snapshot()))),
        Told::Second(_) | Told::Events(_) => Ok(()),
    })?;
    if format == Format::Text {
        print("\n")?;
    }
    report::write(&model.snapshot(), format, &args.common, report::Destination::Stdout)?;
    Ok(Status::Ok as u8)
}

/// The workload under the dashboard, until the user has seen enough.
fn live(workload: &Workload, args: &DemoArgs) -> Result<u8, Failure> {
    let length = args.duration.map_or(LIVE_SECONDS, |duration| duration.as_secs_f64() + 30.0);
    let mut running = Running::start(workload, &args.python, length)?;
    let roots = attach_started(running.pid(), &args.python.to_string_lossy(), &args.common, || running.has_ended())?;
    let stop = Stop::default();
    let session = start_live(roots, &args.common, args.duration, &stop, None)?;
    show(session, &args.common, &args.still, Taken::After(args.duration), &stop)?;
    Ok(Status::Ok as u8)
}

/// A workload that cannot run, as a command's failure.
fn cannot_run(error: CannotRun) -> Failure {
    let status = match &error {
        CannotRun::Unasked(Unasked::NotStarted { error, .. }) => {
            if error.kind() == std::io::ErrorKind::NotFound {
                Status::CommandNotFound
            } else {
                Status::NotExecutable
            }
        }
        CannotRun::Unasked(_) | CannotRun::Missing(_) | CannotRun::Unbuilt(_) => Status::Unsupported,
        CannotRun::Unwritten(_) => Status::Internal,
    };
    let failure = Failure::new(status, &error);
    match error.next_step() {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// A workload that runs; ended when dropped.
struct Running {
    child: Child,
    _files: LaidOut,
}

impl Running {
    fn start(workload: &Workload, python: &OsString, seconds: f64) -> Result<Running, Failure> {
        let cache = extension::cache();
        let files = workload.lay_out(python, seconds, cache.as_deref()).map_err(|error| {
            let failure = cannot_run(error);
            Failure { what: format!("the workload `{}` cannot run here: {}", workload.name, failure.what), ..failure }
        })?;
        let child = files.command().spawn().map_err(|error| {
            let error = LaunchError::Refused { program: python.to_string_lossy().into_owned(), error };
            report::launch_failure(&error, "demo").next("name an interpreter: gilscope demo --python /path/to/python3")
        })?;
        Ok(Running { child, _files: files })
    }

    fn pid(&self) -> Pid {
        Pid(self.child.id())
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
