//! The C extension of the workloads: built from source for the interpreter that loads it, and kept.
//!
//! Its place in the cache names all that it depends on: version, ABI, executable and headers of the interpreter, and the
//! source. It is loaded into a process of whoever runs gilscope, so a cache that somebody else could have written to is not used.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::interpreter::Interpreter;
use crate::units;

/// The source of the extension.
const SOURCE: &str = include_str!("../../assets/workloads/countext.c");
/// Its name, as Python imports it.
const MODULE: &str = "countext";
/// The compiler; POSIX calls it `c99`, everybody else this.
const COMPILER: &str = "cc";
/// Optimised, and so that symbols and stacks can be told from outside.
const FLAGS: [&str; 7] = ["-std=gnu11", "-O2", "-g", "-fno-omit-frame-pointer", "-fPIC", "-shared", "-pthread"];
/// What is shown of what a compiler says.
const COMPLAINT: usize = 300;

/// Loads an extension, to see whether that works.
const LOAD: &str = r"
import importlib.machinery, importlib.util, sys
loader = importlib.machinery.ExtensionFileLoader('countext', sys.argv[1])
spec = importlib.util.spec_from_file_location('countext', sys.argv[1], loader=loader)
loader.exec_module(importlib.util.module_from_spec(spec))
";

/// Why there is no extension.
#[derive(Debug, thiserror::Error)]
pub enum Unbuilt {
    /// The compiler could not be started.
    #[error("cannot start the C compiler ({COMPILER}): {0}")]
    NoCompiler(io::Error),
    /// The compiler refused.
    #[error("the C extension cannot be built: {0}")]
    Refused(String),
    /// What was built cannot be loaded.
    #[error("the C extension was built, and {python} cannot load it: {why}")]
    NotLoaded {
        /// The interpreter, as it was named.
        python: String,
        /// The last line of what it said.
        why: String,
    },
    /// A file could not be written.
    #[error("cannot write the C extension: {0}")]
    Unwritten(#[from] io::Error),
}

impl Unbuilt {
    /// What to type, where there is something.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Unbuilt::NoCompiler(_) | Unbuilt::Refused(_) => {
                Some("apt install gcc libc6-dev python3-dev, or what your distribution calls them".to_owned())
            }
            Unbuilt::NotLoaded { .. } => Some("name another interpreter: --python /path/to/python3".to_owned()),
            Unbuilt::Unwritten(_) => None,
        }
    }
}

/// Whether there is a C compiler on PATH.
pub fn has_compiler() -> bool {
    let silent = Command::new(COMPILER).arg("--version").stdin(Stdio::null()).output();
    silent.is_ok_and(|output| output.status.success())
}

/// Where gilscope keeps what it builds, as the XDG Base Directory Specification (0.8) has it: in `$XDG_CACHE_HOME`, if
/// that is an absolute path, else in `$HOME/.cache`. `None` without either.
pub fn cache() -> Option<PathBuf> {
    cache_among(|name| env::var_os(name))
}

/// As [`cache`], with what the environment says.
pub fn cache_among(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("gilscope"))
}

/// The file in which the extension for this interpreter is kept, within a cache.
pub fn place(cache: &Path, interpreter: &Interpreter) -> PathBuf {
    place_of(SOURCE, cache, interpreter)
}

/// As [`place`], for a source.
pub fn place_of(source: &str, cache: &Path, interpreter: &Interpreter) -> PathBuf {
    let parts: [&[u8]; 4] = [
        source.as_bytes(),
        interpreter.executable.as_os_str().as_bytes(),
        interpreter.include.as_os_str().as_bytes(),
        interpreter.ext_suffix.as_bytes(),
    ];
    // FNV-1a (G. Fowler, L. Noll, K.-P. Vo). It need not resist anybody: who can write here has no need of collisions.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let (major, minor, patch) = interpreter.version;
    cache.join(format!("{MODULE}-{major}.{minor}.{patch}-{hash:016x}")).join(file_name(interpreter))
}

fn file_name(interpreter: &Interpreter) -> String {
    format!("{MODULE}{}", interpreter.ext_suffix)
}

/// The extension for this interpreter: from the cache, or built into it, or, where there is no cache that can be used, into
/// `scratch`.
///
/// # Errors
/// If it cannot be built, or not be loaded.
pub fn built(interpreter: &Interpreter, cache: Option<&Path>, scratch: &Path) -> Result<PathBuf, Unbuilt> {
    let Some(kept) = cache.map(|cache| place(cache, interpreter)) else {
        return build(interpreter, &scratch.join(file_name(interpreter)));
    };
    match (cache, kept.parent()) {
        (Some(cache), Some(directory)) if private(cache, scratch) && private(directory, scratch) => {
            if fs::symlink_metadata(&kept).is_ok_and(|file| file.is_file() && only_ours(&file, scratch)) {
                return Ok(kept);
            }
            build(interpreter, &kept)
        }
        _ => build(interpreter, &scratch.join(file_name(interpreter))),
    }
}

/// Makes sure of a directory that nobody else can write to; no, if there is one that is not.
fn private(directory: &Path, ours: &Path) -> bool {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.is_ok() && fs::symlink_metadata(directory).is_ok_and(|found| found.is_dir() && only_ours(&found, ours))
}

/// Whether a file belongs to us, as `ours` does, and only we can write to it.
fn only_ours(file: &Metadata, ours: &Path) -> bool {
    fs::metadata(ours).is_ok_and(|ours| ours.uid() == file.uid()) && file.permissions().mode() & 0o022 == 0
}

/// Compiles it beside where it is to be, and puts it there in one step: whoever looks meanwhile sees none or a whole one,
/// and of two that build at once the last is as good as the first.
fn build(interpreter: &Interpreter, to: &Path) -> Result<PathBuf, Unbuilt> {
    let beside = to.parent().unwrap_or(Path::new("."));
    let working = tempfile::Builder::new().prefix("building-").tempdir_in(beside)?;
    let source = working.path().join(format!("{MODULE}.c"));
    fs::write(&source, SOURCE)?;
    let output = working.path().join(file_name(interpreter));
    let mut compiler = Command::new(COMPILER);
    compiler.args(FLAGS).arg("-I").arg(&interpreter.include);
    if let Some(parent) = interpreter.include.parent() {
        // Debian's pyconfig.h includes one from the multiarch directory beside it.
        compiler.arg("-idirafter").arg(parent);
    }
    compiler.arg(&source).arg("-o").arg(&output).stdin(Stdio::null());
    let compiled = compiler.output().map_err(Unbuilt::NoCompiler)?;
    if !compiled.status.success() {
        return Err(Unbuilt::Refused(complaint(&compiled.stderr, Some("error"))));
    }
    let mut load = Command::new(&interpreter.program);
    let loaded = load.args(["-c", LOAD]).arg(&output).stdin(Stdio::null()).output()?;
    if !loaded.status.success() {
        return Err(Unbuilt::NotLoaded { python: interpreter.name(), why: complaint(&loaded.stderr, None) });
    }
    fs::set_permissions(&output, fs::Permissions::from_mode(0o700))?;
    fs::rename(&output, to)?;
    Ok(to.to_owned())
}

/// A line of what a program said on stderr, fit to be shown: the first with this in it, or else the last.
fn complaint(said: &[u8], with: Option<&str>) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| with.is_some_and(|with| line.contains(with))).or_else(|| lines().next_back());
    units::printable(line.unwrap_or("it does not say why"), COMPLAINT)
}
