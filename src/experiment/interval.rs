//! Setting the switch interval of a program without editing it.
//!
//! Python imports `sitecustomize` before the program, from wherever it is found first ([site](https://docs.python.org/3/library/site.html)).
//! One on PYTHONPATH sets the interval, takes itself off the path, and hands on to the program's own. Whether it worked is read from
//! the GIL itself. Processes that the program starts do the same.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use tempfile::TempDir;

use crate::time::Ns;

/// Where the interval stands, in seconds.
const VARIABLE: &str = "GILSCOPE_SWITCH_INTERVAL";

const SITECUSTOMIZE: &str = "\
# Written by gilscope experiment: sets the switch interval, then does as if it had not been here.
import os, sys
import _frozen_importlib as _bootstrap
from _frozen_importlib_external import PathFinder as _finder

_interval = os.environ.get('GILSCOPE_SWITCH_INTERVAL')
if _interval:
    sys.setswitchinterval(float(_interval))
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [_entry for _entry in sys.path if os.path.abspath(_entry) != _here]
_spec = _finder.find_spec('sitecustomize', sys.path)
if _spec is not None:
    _own = _bootstrap.module_from_spec(_spec)
    sys.modules['sitecustomize'] = _own
    _spec.loader.exec_module(_own)
";

/// What sets the interval: a directory that is gone when this is dropped.
#[derive(Debug)]
pub struct IntervalSetter {
    directory: TempDir,
}

/// Why the interval cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the switch interval cannot be set: {option} has Python {why}")]
pub struct Prevented {
    /// The option.
    pub option: String,
    /// What it does.
    pub why: &'static str,
}

impl IntervalSetter {
    /// Writes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new() -> io::Result<IntervalSetter> {
        let directory = tempfile::Builder::new().prefix("gilscope-interval-").tempdir()?;
        fs::write(directory.path().join("sitecustomize.py"), SITECUSTOMIZE)?;
        Ok(IntervalSetter { directory })
    }

    /// Has `command` set it; `None`: leave the interval alone, but start up in the same way.
    pub fn set(&self, command: &mut Command, interval: Option<Ns>, path: Option<&OsStr>) {
        command.env("PYTHONPATH", with(self.directory.path(), path));
        match interval {
            Some(interval) => command.env(VARIABLE, format!("{:.9}", interval.as_secs_f64())),
            None => command.env_remove(VARIABLE),
        };
    }
}

fn with(directory: &Path, path: Option<&OsStr>) -> OsString {
    let mut all = directory.as_os_str().to_owned();
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        all.push(":");
        all.push(path);
    }
    all
}

/// What in a command line, if its program is a Python, prevents that; what a script that starts Python says is seen only by
/// looking at the interval.
pub fn prevented(command: &[String]) -> Option<Prevented> {
    let (program, arguments) = command.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    if !(name.starts_with("python") || name.starts_with("pypy")) {
        return None;
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        if letters.starts_with('-') {
            // `--` ends the options; `--help` and the like are none of these.
            if letters == "-" { break } else { continue }
        }
        for (place, letter) in letters.char_indices() {
            let why = match letter {
                'I' => "ignore its environment (isolated mode)",
                'E' => "ignore PYTHONPATH",
                'S' => "leave out the site module, which would import sitecustomize",
                _ => "",
            };
            if !why.is_empty() {
                return Some(Prevented { option: format!("-{letter}"), why });
            }
            if matches!(letter, 'c' | 'm') {
                return None;
            }
            if matches!(letter, 'W' | 'X') {
                // Its value follows, here or as the next argument.
                if place + 1 == letters.len() {
                    arguments.next();
                }
                break;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(command: &str) -> Option<String> {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        prevented(&words).map(|prevented| prevented.option)
    }

    #[test]
    fn options_that_leave_out_sitecustomize_are_seen_and_no_others() {
        for (command, found) in [
            ("python3 -I app.py", Some("-I")),
            ("/usr/bin/python3.11 -uS app.py", Some("-S")),
            ("python -X dev -E -m app", Some("-E")),
            ("python -Wignore -BE app.py", Some("-E")),
            ("python3 app.py -I", None),
            ("python3 -m app -E", None),
            ("python3 -c pass -S", None),
            ("python3 -u -W error app.py -S", None),
            ("python3 -XI app.py", None),
            ("python3 - -I", None),
            ("./run.sh -I", None),
            ("python3", None),
        ] {
            assert_eq!(option(command), found.map(str::to_owned), "{command}");
        }
    }

    #[test]
    fn the_path_of_the_user_stays() {
        let with = |path: Option<&str>| with(Path::new("/x"), path.map(OsStr::new)).into_string().unwrap();
        assert_eq!(with(None), "/x");
        assert_eq!(with(Some("")), "/x");
        assert_eq!(with(Some("/a:/b")), "/x:/a:/b");
    }
}
