//! What an interpreter says of itself: whether a workload can run on it, and how an extension is built for it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take to answer: it imports numpy, from a disk that may be cold.
const ANSWER: Duration = Duration::from_secs(30);
/// What an answer may be long.
const LONGEST: u64 = 64 << 10;

/// Answers one a line. Paths may hold any byte but a line's end.
const QUESTION: &str = r"
import os, sys, sysconfig
def can_import(name):
    try:
        __import__(name)
    except Exception:
        return 0
    return 1
variables = sysconfig.get_config_vars()
include = sysconfig.get_paths()['include']
answers = (
    '%d.%d.%d' % sys.version_info[:3],
    os.path.realpath(sys.executable),
    include,
    int(os.path.exists(os.path.join(include, 'Python.h'))),
    variables.get('EXT_SUFFIX') or '.so',
    can_import('numpy'),
    can_import('ctypes'),
    len(os.sched_getaffinity(0)),
    int(bool(variables.get('Py_GIL_DISABLED'))),
)
os.write(1, b'\n'.join(os.fsencode(str(answer)) for answer in answers))
";

/// An interpreter, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// What runs it.
    pub program: OsString,
    /// Major, minor, patch.
    pub version: (u8, u8, u8),
    /// The executable, without symbolic links.
    pub executable: PathBuf,
    /// Where its C headers are, if it has them.
    pub include: PathBuf,
    /// Whether they are there.
    pub headers: bool,
    /// How an extension's file name ends (`EXT_SUFFIX`): it names the ABI.
    pub ext_suffix: String,
    /// Whether numpy can be imported.
    pub numpy: bool,
    /// Whether `ctypes` can be imported.
    pub ctypes: bool,
    /// Cores that it may run on.
    pub cores: usize,
    /// Whether it is built with the GIL.
    pub build: Build,
}

/// Whether an interpreter is built with the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// It is.
    Default,
    /// It is not (`--disable-gil`, CPython 3.13 and later).
    FreeThreaded,
}

/// Why an interpreter did not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// It could not be started.
    #[error("cannot start `{program}`: {error}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// Why not.
        error: io::Error,
    },
    /// It said nothing in time.
    #[error("`{program}` did not say within {} s which Python it is", ANSWER.as_secs())]
    Silent {
        /// What was asked.
        program: String,
    },
    /// It is no Python 3, or says something else.
    #[error("`{program}` does not answer as a Python 3 would")]
    NotUnderstood {
        /// What was asked.
        program: String,
    },
}

impl Interpreter {
    /// Asks an interpreter what it is; takes as long as it needs to start.
    ///
    /// # Errors
    /// If it cannot be started, or does not answer.
    pub fn ask(program: &OsStr) -> Result<Interpreter, Unasked> {
        let name = || program.to_string_lossy().into_owned();
        let not_started = |error| Unasked::NotStarted { program: name(), error };
        let mut child = Command::new(program)
            .args(["-c", QUESTION])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(not_started)?;
        let deadline = Instant::now() + ANSWER;
        // An answer fits into a pipe, so whoever gives one never waits for a reader.
        let status = loop {
            match child.try_wait().map_err(not_started)? {
                Some(status) => break status,
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                None => {
                    let _ended_already = child.kill();
                    let _reaped = child.wait();
                    return Err(Unasked::Silent { program: name() });
                }
            }
        };
        let mut answer = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(LONGEST).read_to_end(&mut answer).map_err(not_started)?;
        }
        let understood = if status.success() { parse(program, &answer) } else { None };
        understood.ok_or_else(|| Unasked::NotUnderstood { program: name() })
    }

    /// What it is called in messages: as it was named.
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

fn parse(program: &OsStr, answer: &[u8]) -> Option<Interpreter> {
    let lines: Vec<&[u8]> = answer.split(|byte| *byte == b'\n').collect();
    let [version, executable, include, headers, ext_suffix, numpy, ctypes, cores, free] = lines[..] else {
        return None;
    };
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let mut numbers = text(version)?.split('.').map(|number| number.parse().ok()).collect::<Vec<Option<u8>>>();
    let (patch, minor, major) = (numbers.pop()??, numbers.pop()??, numbers.pop()??);
    // It becomes a file's name.
    let ext_suffix = text(ext_suffix).filter(|suffix| suffix.starts_with('.') && !suffix.contains('/'))?;
    Some(Interpreter {
        program: program.to_owned(),
        version: (major, minor, patch),
        executable: path(executable),
        include: path(include),
        headers: headers == b"1",
        ext_suffix,
        numpy: numpy == b"1",
        ctypes: ctypes == b"1",
        cores: text(cores)?.parse().ok()?,
        build: if free == b"1" { Build::FreeThreaded } else { Build::Default },
    })
}
