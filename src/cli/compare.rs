//! `gilscope compare`: two recordings, or two directories of them.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::cli::report::{Destination, color, width};
use crate::cli::{CompareArgs, Format, complain, gate, recorded};
use crate::compare::{Comparison, MOST_RUNS, Run, Side, text, write_json};
use crate::error::{Failure, Status};

/// How the names of recordings end.
pub const EXTENSION: &str = "gscope";

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &CompareArgs) -> Result<u8, Failure> {
    let output = match &args.output {
        Some(path) => Destination::create(path)?,
        None => Destination::Stdout,
    };
    let mut damaged = None;
    let mut side = |letter: char, path: &Path| side(letter, path, args.quiet, &mut damaged);
    let comparison = Comparison::of(side('A', &args.a)?, side('B', &args.b)?);
    write(&comparison, args.format, args.color, output)?;
    match (damaged, gate::compared(&args.gate, &comparison)) {
        (Some(failure), gated) => {
            if let Err(met) = gated {
                complain(&met);
            }
            Err(failure)
        }
        (None, gated) => gated,
    }
}

/// Writes a comparison where it was asked for.
///
/// # Errors
/// If it cannot be written.
pub fn write(
    comparison: &Comparison,
    format: Format,
    when: crate::cli::When,
    output: Destination,
) -> Result<(), Failure> {
    let rendered = match format {
        Format::Text => text(comparison, width(), color(when, output.is_terminal())),
        Format::Json => {
            let mut bytes = Vec::new();
            write_json(comparison, &mut bytes)
                .map_err(|error| Failure::new(Status::Internal, format!("cannot write JSON: {error}")))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    output.write(&rendered)
}

/// Reads one side. What could be read of a damaged recording counts; the failure is told at the end.
fn side(letter: char, path: &Path, quiet: bool, damaged: &mut Option<Failure>) -> Result<Side, Failure> {
    let files = recordings(path)?;
    let mut runs = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let name = file.display().to_string();
        if !quiet && files.len() > 1 && std::io::stderr().is_terminal() {
            let _closed = write!(std::io::stderr(), "\r\x1b[Kreading {} of {} of {letter}", number + 1, files.len());
        }
        let say = |warning: &str| {
            if !quiet {
                let _closed = writeln!(std::io::stderr(), "gilscope: {name}: {warning}");
            }
        };
        let replayed = recorded::read(file, &say)?;
        if replayed.failure.is_some() {
            *damaged = replayed.failure;
        }
        runs.extend(Run::of(name.clone(), &replayed.model.snapshot()));
    }
    if !quiet && files.len() > 1 && std::io::stderr().is_terminal() {
        let _closed = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(Side { letter, name: path.display().to_string(), runs })
}

/// The recordings that a path stands for: itself, or those in the directory, by name.
fn recordings(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failure::new(Status::Unreadable, format!("cannot read {}: {error}", path.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == EXTENSION) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    match found.len() {
        0 => Err(Failure::new(
            Status::Unreadable,
            format!("there is no recording (*.{EXTENSION}) in {}", path.display()),
        )
        .next("record some: gilscope record -o DIRECTORY/1.gscope -- python3 app.py")),
        1..=MOST_RUNS => Ok(found),
        more => Err(Failure::new(
            Status::Usage,
            format!("{more} recordings in {}: more than {MOST_RUNS} a side show nothing more", path.display()),
        )
        .next("put those that are to be compared into a directory of their own")),
    }
}
