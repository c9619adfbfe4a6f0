//! `gilscope demo`: a workload of known habits under the dashboard, or, without a terminal, what gilscope sees in it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::{Child, Command, Stdio};

use clap::builder::PossibleValuesParser;

use crate::capture::Stop;
use crate::cli::observe::{Told, attach_started, observe, stop_on_signals};
use crate::cli::watch::{start_live, watch};
use crate::cli::{DemoArgs, Format, print, report};
use crate::error::{Failure, Status};
use crate::event::Pid;
use crate::launch::LaunchError;
use crate::report::summary_line;
use crate::time::Ns;

/// The workload that runs unless another is named.
pub const DEFAULT: &str = "convoy";
/// How long it is observed for a report.
const DEFAULT_DURATION: Ns = Ns(5_000_000_000);
/// How long it runs at most under the dashboard, should nobody be left to end it.
const LIVE_SECONDS: f64 = 24.0 * 3_600.0;

/// A built-in workload.
struct Workload {
    name: &'static str,
    source: &'static str,
}

const WORKLOADS: [Workload; 6] = [
    Workload { name: "convoy", source: include_str!("../../assets/workloads/convoy.py") },
    Workload { name: "starved", source: include_str!("../../assets/workloads/starved.py") },
    Workload { name: "saturated", source: include_str!("../../assets/workloads/saturated.py") },
    Workload { name: "sleeper", source: include_str!("../../assets/workloads/sleeper.py") },
    Workload { name: "single", source: include_str!("../../assets/workloads/single.py") },
    Workload { name: "idle", source: include_str!("../../assets/workloads/idle.py") },
];

impl Workload {
    /// The first line of the program's docstring.
    fn description(&self) -> &'static str {
        let start = self.source.find("\"\"\"").map_or(0, |at| at + 3);
        self.source[start..].lines().next().unwrap_or("").trim_end_matches("\"\"\"").trim()
    }
}

/// The names that can be typed.
pub fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(WORKLOADS.iter().map(|workload| workload.name))
}

/// The workloads with what each is, for the help.
pub fn listing() -> String {
    let width = WORKLOADS.iter().map(|workload| workload.name.len()).max().unwrap_or(0);
    let mut out = String::from("WORKLOADS:\n");
    for workload in &WORKLOADS {
        out.push_str(&format!("  {:width$}  {}\n", workload.name, workload.description()));
    }
    out
}

/// Runs the command.
///
/// # Errors
/// If the workload cannot be started or observed.
pub fn run(args: &DemoArgs) -> Result<u8, Failure> {
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == args.name)
        .ok_or_else(|| Failure::new(Status::Usage, format!("there is no workload `{}`", args.name)))?;
    let format = match args.format {
        None if std::io::stdout().is_terminal() => return live(workload, args),
        None => Format::Text,
        Some(format) => format,
    };
    let stop = Stop::default();
    stop_on_signals(&stop)?;
    let duration = args.duration.unwrap_or(DEFAULT_DURATION);
    let mut running = Running::start(workload, &args.python, duration.as_secs_f64() + 30.0)?;
    args.common.say(&format!("demo `{}`: {}", workload.name, workload.description()));
    let pid = running.pid();
    let target = attach_started(pid, &args.python.to_string_lossy(), &args.common, || running.has_ended())?;
    let model = observe(target, &args.common, Some(duration), stop, |told| match told {
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
    let target = attach_started(running.pid(), &args.python.to_string_lossy(), &args.common, || running.has_ended())?;
    let stop = Stop::default();
    let session = start_live(target, &args.common, args.duration, &stop, None)?;
    watch(session, &args.common, &stop)?;
    Ok(Status::Ok as u8)
}

/// A workload that runs; ended when dropped.
struct Running {
    child: Child,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(workload: &Workload, python: &OsString, seconds: f64) -> Result<Running, Failure> {
        let refused =
            |error: std::io::Error| Failure::new(Status::Internal, format!("cannot write the workload: {error}"));
        let directory = tempfile::Builder::new().prefix("gilscope-demo-").tempdir().map_err(refused)?;
        let file = directory.path().join(format!("{}.py", workload.name));
        std::fs::write(&file, workload.source).map_err(refused)?;
        let child = Command::new(python)
            .arg(&file)
            .arg(format!("{seconds:.0}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| {
                let error = LaunchError::Refused { program: python.to_string_lossy().into_owned(), error };
                report::launch_failure(&error, "demo")
                    .next("name an interpreter: gilscope demo --python /path/to/python3")
            })?;
        Ok(Running { child, _directory: directory })
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
