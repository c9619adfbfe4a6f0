//! Builds C extensions for each interpreter, from source: the one that stamps GIL operations, and others.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pythons::Python;

/// Where the extension and the scenarios lie.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/truth")
}

/// What a built extension has of its symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// All.
    Kept,
    /// What it exports, as after `strip`.
    Stripped,
}

/// The extension that stamps, for this interpreter; `None`, with a word on stderr, without headers.
///
/// # Panics
/// As [`built`].
pub fn extension(python: &Python) -> Option<PathBuf> {
    built(python, "giltruth", Symbols::Kept)
}

/// `tests/truth/NAME.c` for this interpreter, built unless it was already; `None`, with a word on stderr, without headers.
///
/// # Panics
/// If there are headers and it does not build: that is a fault of the harness.
pub fn built(python: &Python, name: &str, symbols: Symbols) -> Option<PathBuf> {
    let Some(include) = &python.include else {
        eprintln!("skipped {python}: it has no headers to build the extension with");
        return None;
    };
    let source = sources().join(format!("{name}.c"));
    let code = fs::read(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let hash = code
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let stripped = if symbols == Symbols::Stripped { "-stripped" } else { "" };
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("truth").join(format!("{}-{hash:016x}{stripped}", python.label()));
    let built = directory.join(format!("{name}{}", python.ext_suffix));
    if built.exists() {
        return Some(built);
    }
    fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    // Tests run side by side: each builds its own file, and the last to be renamed is as good as the first.
    let output = tempfile::Builder::new()
        .prefix("building-")
        .tempfile_in(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .into_temp_path();
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]);
    if symbols == Symbols::Stripped {
        command.arg("-s");
    }
    command.arg("-I").arg(include);
    if let Some(parent) = include.parent() {
        // Debian's pyconfig.h includes one from the multiarch directory beside it.
        command.arg("-idirafter").arg(parent);
    }
    command.arg(&source).arg("-o").arg(&*output);
    let result = command.output().unwrap_or_else(|error| panic!("{}: {error}", compiler.display()));
    assert!(result.status.success(), "{python}: {command:?}\n{}", String::from_utf8_lossy(&result.stderr));
    // Another user may be the one to load it.
    let anybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&output, anybody).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
    fs::rename(&output, &built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    Some(built)
}
