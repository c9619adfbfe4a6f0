//! The CPython interpreters of this machine, found by looking, never by name of a directory.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::child::unignore_signals;

/// Interpreters to test beside those that are found: files, separated by colons.
pub const EXTRA: &str = "GILSCOPE_TEST_PYTHONS";

/// The minor versions of Python 3 that tests run on.
const MINORS: std::ops::RangeInclusive<u8> = 7..=15;

/// How long an interpreter may take to say what it is.
const ANSWER: Duration = Duration::from_secs(20);

/// One question to all: it has to be understood by Python 2.7 too.
const QUESTION: &str = r"
import os, struct, sys, sysconfig
implementation = getattr(sys, 'implementation', None)
name = implementation.name if implementation else ('cpython' if 'PyPy' not in sys.version else 'pypy')
variables = sysconfig.get_config_vars()
include = sysconfig.get_paths()['include']
has_headers = os.path.exists(os.path.join(include, 'Python.h'))
try:
    import ctypes
except ImportError:
    ctypes = None
for answer in (
    name,
    '%d.%d.%d' % sys.version_info[:3],
    sys.version_info[3],
    struct.calcsize('P'),
    int(bool(variables.get('Py_GIL_DISABLED'))),
    int(hasattr(sys, 'gettotalrefcount')),
    sys.executable,
    os.readlink('/proc/self/exe'),
    include if has_headers else '',
    variables.get('EXT_SUFFIX') or variables.get('SO') or '',
    int(ctypes is not None),
):
    sys.stdout.write('%s\n' % (answer,))
";

/// One interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// What to run. The executable itself, or the script that starts it through a loader of its own.
    pub program: PathBuf,
    /// The executable, without symbolic links; two `Python`s never share one.
    pub executable: PathBuf,
    /// Major, minor, patch.
    pub version: (u8, u8, u8),
    /// Built with `--disable-gil`.
    pub free_threaded: bool,
    /// Built with `--with-pydebug`.
    pub debug: bool,
    /// Where `Python.h` lies, if it is there.
    pub include: Option<PathBuf>,
    /// How a C extension's file name ends (`EXT_SUFFIX`).
    pub ext_suffix: String,
    /// Whether `ctypes` can be imported.
    pub ctypes: bool,
}

impl Python {
    /// A command that runs it, undisturbed by `PYTHON*` variables of whoever runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PYTHON") {
                command.env_remove(name);
            }
        }
        command
    }

    /// The minor version of Python 3.
    pub fn minor(&self) -> u8 {
        self.version.1
    }

    /// A word that tells it from the others and is fit for a file name.
    pub fn label(&self) -> String {
        let (major, minor, patch) = self.version;
        let path: u32 = self
            .executable
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let kind = match (self.free_threaded, self.debug) {
            (false, false) => "",
            (true, false) => "t",
            (false, true) => "d",
            (true, true) => "td",
        };
        format!("{major}.{minor}.{patch}{kind}-{path:08x}")
    }
}

impl fmt::Display for Python {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        let kind = if self.free_threaded { "t" } else { "" };
        write!(f, "Python {major}.{minor}.{patch}{kind} ({})", self.program.display())
    }
}

/// Every CPython 3.8 to 3.15 of this machine, oldest first. Says which it left out, and why.
///
/// # Panics
/// If there is none: a test that found nothing to test has not passed.
pub fn pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        unignore_signals();
        let mut found: Vec<Python> = Vec::new();
        for candidate in candidates("python3") {
            let skip = |why: &str| eprintln!("skipped {}: {why}", candidate.display());
            match ask(&candidate) {
                Err(why) => skip(&why),
                Ok(python) if python.version.0 != 3 || !MINORS.contains(&python.version.1) => {
                    skip(&format!("its version is {}.{}", python.version.0, python.version.1));
                }
                Ok(python) => {
                    if !found.iter().any(|other| other.executable == python.executable) {
                        found.push(python);
                    }
                }
            }
        }
        found.sort_by_key(|python| (python.version, python.free_threaded, python.executable.clone()));
        found
    });
    assert!(!found.is_empty(), "no CPython 3.8 to 3.15 on this machine: put one on PATH or name it in {EXTRA}");
    found
}

/// Those of [`pythons`] that have a GIL.
///
/// # Panics
/// As [`pythons`].
pub fn pythons_with_gil() -> Vec<&'static Python> {
    pythons().iter().filter(|python| !python.free_threaded).collect()
}

/// The newest interpreter with a GIL.
///
/// # Panics
/// As [`pythons`].
pub fn newest_with_gil() -> &'static Python {
    pythons_with_gil().into_iter().next_back().expect("an interpreter")
}

/// A Python 2.7, for the test that gilscope refuses it; `None` where there is none.
pub fn python2() -> Option<Python> {
    candidates("python2").into_iter().find_map(|candidate| ask(&candidate).ok().filter(|python| python.version.0 == 2))
}

/// Files that may be interpreters, each once: named, on PATH, pyenv's, the distribution's.
fn candidates(stem: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Some(extra) = env::var_os(EXTRA) {
        files.extend(env::split_paths(&extra).filter(|path| !path.as_os_str().is_empty()));
    }
    let pyenv = env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    let mut directories: Vec<PathBuf> = Vec::new();
    if let Some(versions) = pyenv.map(|root| root.join("versions")) {
        directories.extend(entries(&versions).into_iter().map(|version| version.join("bin")));
    }
    directories.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    directories.push(PathBuf::from("/usr/bin"));
    for directory in directories {
        files.extend(entries(&directory).into_iter().filter(|file| is_interpreter_name(file.file_name(), stem)));
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
    files
}

/// The entries of a directory in order; none if it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).map(|read| read.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    paths.sort();
    paths
}

/// `python3`, `python3.11`, `python3.13t`, but not `python3-config`.
fn is_interpreter_name(name: Option<&OsStr>, stem: &str) -> bool {
    let Some(rest) = name.and_then(OsStr::to_str).and_then(|name| name.strip_prefix(stem)) else { return false };
    let Some(minor) = rest.strip_prefix('.') else { return rest.is_empty() };
    let minor = minor.trim_end_matches(['t', 'd', 'm']);
    !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
}

/// Asks a file what interpreter it is. A shim, a link and a virtual environment answer with what they lead to.
fn ask(candidate: &Path) -> Result<Python, String> {
    let mut child = Command::new(candidate)
        .args(["-E", "-s", "-c", QUESTION])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + ANSWER;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                return Err(format!("it did not answer within {} s", ANSWER.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let (mut answer, mut complaint) = (String::new(), String::new());
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint).map_err(|error| error.to_string())?;
    }
    if !status.success() {
        return Err(format!("{status}: {}", complaint.lines().next().unwrap_or("no word on stderr")));
    }
    let lines: Vec<&str> = answer.lines().collect();
    let [name, version, level, pointer, free_threaded, debug, executable, image, include, ext_suffix, ctypes] =
        lines[..]
    else {
        return Err(format!("it answered {answer:?}"));
    };
    if name != "cpython" || pointer != "8" {
        return Err(format!("it is a {name} with pointers of {pointer} bytes"));
    }
    if level != "final" {
        return Err(format!("it is a pre-release ({version} {level})"));
    }
    let mut numbers = version.split('.').map(str::parse::<u8>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) = (numbers.next(), numbers.next(), numbers.next()) else {
        return Err(format!("it says that its version is {version:?}"));
    };
    let executable = fs::canonicalize(executable).map_err(|error| format!("{executable}: {error}"))?;
    // Started through a loader of its own, the executable alone would find other libraries, or none.
    let program = if fs::canonicalize(image).is_ok_and(|image| image == executable) {
        executable.clone()
    } else {
        candidate.to_path_buf()
    };
    Ok(Python {
        program,
        executable,
        version: (major, minor, patch),
        free_threaded: free_threaded == "1",
        debug: debug == "1",
        include: Some(PathBuf::from(include)).filter(|include| !include.as_os_str().is_empty()),
        ext_suffix: ext_suffix.to_owned(),
        ctypes: ctypes == "1",
    })
}
