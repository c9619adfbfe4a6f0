//! Plays a scenario of `tests/truth` in a real interpreter and brings back the stamps.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::Child;
use super::extension::{Symbols, built, extension, sources};
use super::pythons::Python;
use super::truth::Truth;

/// How long a scenario may take to set itself up, and to end once it was told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest that a scenario runs when nobody stops it.
const LONGEST: Duration = Duration::from_secs(300);

/// A scenario whose threads all run.
#[derive(Debug)]
pub struct Scenario {
    child: Child,
    from_ns: u64,
    directory: TempDir,
}

impl Scenario {
    /// Starts `tests/truth/NAME.py` and waits until its threads run; `None` without headers to build with.
    ///
    /// # Panics
    /// If it does not come to run, with all that it said.
    pub fn start(python: &Python, name: &str, arguments: &[&str]) -> Option<Scenario> {
        Scenario::start_with(python, name, arguments, |_| {})
    }

    /// As [`Scenario::start`], with the interpreter's command changed first (environment, working directory).
    ///
    /// # Panics
    /// As [`Scenario::start`].
    pub fn start_with(
        python: &Python,
        name: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Option<Scenario> {
        let extension = extension(python)?;
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary directory: {error}"));
        // The interpreter may be another user's.
        let anybody = Permissions::from_mode(0o777);
        set_permissions(&directory, anybody).unwrap_or_else(|error| panic!("{}: {error}", directory.path().display()));
        let mut command = python.command();
        command
            .arg("-B")
            .arg(sources().join(format!("{name}.py")))
            .arg(extension)
            .arg(LONGEST.as_secs().to_string())
            .arg(dump(directory.path()))
            .args(arguments);
        change(&mut command);
        let mut child = Child::spawn(&mut command);
        let words = child.ready(PATIENCE);
        let [pid, from] = &words[..] else { child.fail(&format!("said `ready {}`", words.join(" "))) };
        assert_eq!(pid.parse(), Ok(child.pid()), "the interpreter does not run in the process that was started");
        let Ok(from_ns) = from.parse() else { child.fail(&format!("began at {from:?}")) };
        Some(Scenario { child, from_ns, directory })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// When all of its threads ran, `CLOCK_MONOTONIC`.
    pub fn running_since_ns(&self) -> u64 {
        self.from_ns
    }

    /// As [`Scenario::start_with`], with all calls on condition variables logged ([`Truth::by_conds`]).
    ///
    /// # Panics
    /// As [`Scenario::start`].
    pub fn start_logged(
        python: &Python,
        name: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Option<Scenario> {
        let log = built(python, "gilconds", Symbols::Kept)?;
        Scenario::start_with(python, name, arguments, |command| {
            command.env("LD_PRELOAD", log);
            change(command);
        })
    }

    /// Stops it and reads what happened.
    ///
    /// # Panics
    /// If it does not end well, or its dump cannot be read.
    pub fn stop(mut self) -> Truth {
        Truth::load(&self.end())
    }

    /// Stops it; where its stamps lie as long as this lives.
    ///
    /// # Panics
    /// If it does not end well.
    pub fn end(&mut self) -> PathBuf {
        self.child.succeed(PATIENCE);
        dump(self.directory.path())
    }
}

fn dump(directory: &Path) -> PathBuf {
    directory.join("stamps")
}
