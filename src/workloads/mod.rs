//! Programs with known habits that come with gilscope: what they show, what they need, and how one is laid out to be run.
//!
//! Each is a Python file in `assets/workloads`, embedded here, that runs for the seconds of its first argument and prints
//! nothing. Those that need C have it built from source by [`extension`], for the interpreter that runs them.

mod builds;
mod catalogue;
pub mod extension;
mod interpreter;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

pub use builds::{Builds, Unpaired};
pub use catalogue::{GROUPS, Group, Judged, Need, Processes, Workload};
pub use interpreter::{Build, Interpreter, Unasked};

/// The workload with this name.
pub fn named(name: &str) -> Option<&'static Workload> {
    all().find(|workload| workload.name == name)
}

/// All workloads, in the order of the catalogue.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    GROUPS.iter().flat_map(|group| group.workloads)
}

/// Why a workload cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// The interpreter does not answer.
    #[error(transparent)]
    Unasked(#[from] Unasked),
    /// The interpreter, or the machine, lacks something.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The extension could not be built.
    #[error(transparent)]
    Unbuilt(#[from] extension::Unbuilt),
    /// A file could not be written.
    #[error("cannot write the workload: {0}")]
    Unwritten(#[from] io::Error),
}

impl CannotRun {
    /// What to type to get what is missing, where there is something.
    pub fn next_step(&self) -> Option<String> {
        match self {
            CannotRun::Unasked(_) => Some("name an interpreter: gilscope demo --python /path/to/python3".to_owned()),
            CannotRun::Missing(missing) => missing.next_step(),
            CannotRun::Unbuilt(unbuilt) => unbuilt.next_step(),
            CannotRun::Unwritten(_) => None,
        }
    }
}

/// What a workload needs and does not find.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// numpy cannot be imported.
    #[error("{python} has no numpy")]
    Numpy {
        /// The interpreter, as it was named.
        python: String,
    },
    /// `ctypes` cannot be imported.
    #[error("{python} was built without ctypes")]
    Ctypes {
        /// The interpreter, as it was named.
        python: String,
    },
    /// There is no `cc`.
    #[error("there is no C compiler (cc)")]
    Compiler,
    /// There is no `Python.h`.
    #[error("{python} has no C headers (no Python.h in {include})")]
    Headers {
        /// The interpreter, as it was named.
        python: String,
        /// Where they would be.
        include: String,
    },
    /// Other versions of CPython than this.
    #[error("it is for CPython {wanted}, and {python} is {found}")]
    Version {
        /// The interpreter, as it was named.
        python: String,
        /// The versions that it is for.
        wanted: &'static str,
        /// The version that was found.
        found: String,
    },
    /// It may use one core only.
    #[error("it needs two cores, and may use one")]
    Cores,
}

impl Missing {
    /// What to type to get it, where there is something.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Missing::Numpy { python } => Some(format!("{python} -m pip install numpy")),
            Missing::Compiler => Some("apt install gcc, or what your distribution calls it".to_owned()),
            Missing::Headers { .. } => Some("apt install python3-dev, or dnf install python3-devel".to_owned()),
            Missing::Ctypes { .. } | Missing::Version { .. } => {
                Some("name another interpreter: --python /path/to/python3".to_owned())
            }
            Missing::Cores => None,
        }
    }
}

impl Need {
    /// What of it is missing.
    fn missing(self, interpreter: &Interpreter) -> Option<Missing> {
        let python = interpreter.name();
        match self {
            Need::Numpy => (!interpreter.numpy).then_some(Missing::Numpy { python }),
            Need::Ctypes => (!interpreter.ctypes).then_some(Missing::Ctypes { python }),
            Need::Cores => (interpreter.cores < 2).then_some(Missing::Cores),
            Need::Versions { from, to, wanted } => {
                let found = interpreter.version;
                let fits = from <= (found.0, found.1) && (found.0, found.1) <= to;
                let found = format!("{}.{}.{}", found.0, found.1, found.2);
                (!fits).then_some(Missing::Version { python, wanted, found })
            }
            Need::Extension if !interpreter.headers => {
                Some(Missing::Headers { python, include: interpreter.include.display().to_string() })
            }
            Need::Extension => (!extension::has_compiler()).then_some(Missing::Compiler),
        }
    }
}

/// A workload on disk, gone when dropped.
#[derive(Debug)]
pub struct LaidOut {
    directory: TempDir,
    python: OsString,
    arguments: Vec<OsString>,
}

impl Workload {
    /// What this interpreter, or this machine, lacks for it; `None` if it can run.
    pub fn missing(&self, interpreter: &Interpreter) -> Option<Missing> {
        self.needs.iter().find_map(|need| need.missing(interpreter))
    }

    /// Writes it into a directory of its own, to run for so many seconds, and builds what it needs. `cache` is where a
    /// built extension may be kept ([`extension::cache`]). An interpreter is asked what it is only if the workload needs
    /// something.
    ///
    /// # Errors
    /// If it cannot run here.
    pub fn lay_out(&self, python: &OsString, seconds: f64, cache: Option<&Path>) -> Result<LaidOut, CannotRun> {
        let directory = tempfile::Builder::new().prefix("gilscope-demo-").tempdir()?;
        let file = directory.path().join(self.file);
        fs::write(&file, self.source)?;
        let mut arguments = vec![file.into(), format!("{seconds:.0}").into()];
        arguments.extend(self.variant.map(OsString::from));
        if !self.needs.is_empty() {
            let interpreter = Interpreter::ask(python)?;
            if let Some(missing) = self.missing(&interpreter) {
                return Err(missing.into());
            }
            if self.needs.contains(&Need::Extension) {
                arguments.push(extension::built(&interpreter, cache, directory.path())?.into());
            }
        }
        arguments.extend(self.more.iter().map(OsString::from));
        Ok(LaidOut { directory, python: python.clone(), arguments })
    }
}

impl LaidOut {
    /// The command that runs it, with nothing to read and nothing to say.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}
