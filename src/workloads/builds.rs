//! The two builds of one minor version of CPython: with the GIL, and free-threaded.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::workloads::interpreter::{Build, Interpreter};

/// The first minor version of CPython 3 that can be built without the GIL.
const FIRST: u8 = 13;
/// The newest that is looked for.
const NEWEST: u8 = 20;

/// An interpreter with the GIL, and a free-threaded one of the same minor version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Builds {
    /// With the GIL.
    pub default: Interpreter,
    /// Built with `--disable-gil`.
    pub free_threaded: Interpreter,
}

/// Which of the two is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpaired {
    /// There is no free-threaded one of any version, or of this one.
    #[error("there is no free-threaded CPython here ({0} was looked for)")]
    NoFreeThreaded(String),
    /// There is a free-threaded one, but none of its version with the GIL.
    #[error("`{found}` is free-threaded, and there is no {wanted} with the GIL beside it")]
    NoDefault {
        /// The free-threaded one.
        found: String,
        /// The program that was looked for.
        wanted: String,
    },
}

impl Builds {
    /// The pair that `asked` is one of, or, if it is older than both, the newest that is found. Each is looked for by its name
    /// (`python3.14t`, `python3.14`) beside `asked`, then in these directories.
    ///
    /// # Errors
    /// If there is none.
    pub fn find(asked: &Interpreter, directories: &[PathBuf]) -> Result<Builds, Unpaired> {
        let beside: Vec<&Path> =
            asked.executable.parent().into_iter().chain(directories.iter().map(PathBuf::as_path)).collect();
        let (major, minor, _) = asked.version;
        let is_old = (major, minor) < (3, FIRST);
        let free_threaded = match (asked.build, is_old) {
            (Build::FreeThreaded, _) => asked.clone(),
            (Build::Default, false) => look(minor, Build::FreeThreaded, &beside)
                .ok_or_else(|| Unpaired::NoFreeThreaded(name(minor, Build::FreeThreaded)))?,
            (Build::Default, true) => {
                let newest = (FIRST..=NEWEST).rev().find_map(|minor| look(minor, Build::FreeThreaded, &beside));
                newest
                    .ok_or_else(|| Unpaired::NoFreeThreaded(format!("{} or newer", name(FIRST, Build::FreeThreaded))))?
            }
        };
        let (_, minor, _) = free_threaded.version;
        let default = match asked.build == Build::Default && asked.version.1 == minor {
            true => Some(asked.clone()),
            false => look(minor, Build::Default, &beside),
        };
        let missing = || Unpaired::NoDefault { found: free_threaded.name(), wanted: name(minor, Build::Default) };
        Ok(Builds { default: default.ok_or_else(missing)?, free_threaded: free_threaded.clone() })
    }

    /// A word on that they are of different patch releases; `None`: they are not.
    pub fn patches_differ(&self) -> Option<String> {
        let named = |(major, minor, patch): (u8, u8, u8)| format!("{major}.{minor}.{patch}");
        let (default, free_threaded) = (self.default.version, self.free_threaded.version);
        (default != free_threaded).then(|| {
            format!(
                "the builds differ in more than the GIL: {} beside a free-threaded {}",
                named(default),
                named(free_threaded)
            )
        })
    }
}

fn name(minor: u8, build: Build) -> String {
    match build {
        Build::Default => format!("python3.{minor}"),
        Build::FreeThreaded => format!("python3.{minor}t"),
    }
}

/// The first that is what its name says: a free-threaded one may be called `python3.14` where it was installed by itself.
fn look(minor: u8, build: Build, directories: &[&Path]) -> Option<Interpreter> {
    let names = match build {
        Build::Default => vec![name(minor, build)],
        Build::FreeThreaded => vec![name(minor, build), name(minor, Build::Default)],
    };
    let paths = names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    paths.filter(|path| path.is_file()).find_map(|path| {
        let found = Interpreter::ask(OsStr::new(&path)).ok()?;
        (found.version.0 == 3 && found.version.1 == minor && found.build == build).then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that answers as an interpreter would: no machine is sure to have a free-threaded one.
    fn put(directory: &Path, name: &str, version: &str, free_threaded: u8) -> PathBuf {
        let path = directory.join(name);
        let answer = format!("{version}\\n{}\\n/i\\n0\\n.so\\n0\\n0\\n2\\n{free_threaded}", path.display());
        fs::write(&path, format!("#!/bin/sh\nprintf '{answer}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn ask(path: &Path) -> Interpreter {
        Interpreter::ask(path.as_os_str()).unwrap()
    }

    #[test]
    fn the_other_build_of_the_same_version_is_found_from_either() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let elsewhere = [other.path().to_owned()];
        let old = ask(&put(one.path(), "python3.11", "3.11.7", 0));
        assert!(
            matches!(Builds::find(&old, &elsewhere), Err(Unpaired::NoFreeThreaded(name)) if name.contains("3.13t"))
        );
        let with = ask(&put(one.path(), "python3.14", "3.14.2", 0));
        assert!(Builds::find(&with, &elsewhere).is_err());
        let without = ask(&put(other.path(), "python3.14t", "3.14.0", 1));
        let pair = Builds { default: with.clone(), free_threaded: without.clone() };
        assert_eq!(
            pair.patches_differ().as_deref(),
            Some("the builds differ in more than the GIL: 3.14.2 beside a free-threaded 3.14.0")
        );
        let names = |builds: Builds| (builds.default.executable, builds.free_threaded.executable);
        let expected = (pair.default.executable, pair.free_threaded.executable);
        for (asked, places) in [(&with, &elsewhere), (&old, &elsewhere), (&without, &[one.path().to_owned()])] {
            assert_eq!(names(Builds::find(asked, places).unwrap()), expected, "{asked:?}");
        }
        let alone = Builds::find(&without, &[]).unwrap_err().to_string();
        assert!(alone.contains("no python3.14 with the GIL"), "{alone}");
    }

    #[test]
    fn a_name_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let with = ask(&put(directory.path(), "python3.14", "3.14.2", 0));
        put(directory.path(), "python3.14t", "3.14.2", 0);
        assert!(Builds::find(&with, &[]).is_err());
        put(directory.path(), "python3.14t", "3.13.2", 1);
        assert!(Builds::find(&with, &[]).is_err());
    }
}
