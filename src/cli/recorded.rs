//! Reading a recording: events from a file take the same way as events from a process.

use std::fs::File;
use std::path::Path;

use crate::cli::Common;
use crate::error::{Failure, Status};
use crate::model::Model;
use crate::recording::format::Finality;
use crate::recording::{Reader, RecordingError, Replay, Start};
use crate::units;

/// Warnings that are said one by one.
const WARNINGS_SAID: usize = 8;

/// A recording, read.
#[derive(Debug)]
pub struct Replayed {
    /// The fold of all its events.
    pub model: Model,
    /// Why not all of it could be read.
    pub failure: Option<Failure>,
}

/// Opens a recording.
///
/// # Errors
/// If it is none, or cannot be read.
pub fn open(path: &Path) -> Result<Reader<File>, Failure> {
    Reader::open(path).map_err(|error| unreadable(path, &error))
}

/// Folds all events of a recording, and says what is wrong with it.
///
/// # Errors
/// If it cannot be read at all, or no process was observed in it.
pub fn replay(path: &Path, common: &Common) -> Result<Replayed, Failure> {
    read(path, &|warning| common.say(warning))
}

/// As [`replay`], for those who have something else to say it with.
///
/// # Errors
/// As [`replay`].
pub fn read(path: &Path, say: &dyn Fn(&str)) -> Result<Replayed, Failure> {
    let mut replay = Replay::new(open(path)?, Start::Beginning);
    let mut model = Model::new();
    for placed in &mut replay {
        model.apply(&placed.event);
    }
    say_what_is_wrong(&replay, say);
    let failure = replay.into_failure().map(|error| unreadable(path, &error));
    if model.snapshot().processes.is_empty() {
        let nothing = Failure::new(
            Status::Unreadable,
            format!("{}: there is no observation of a process in this recording", path.display()),
        );
        return Err(failure.unwrap_or_else(|| nothing.next("record again: gilscope record -p PID -o FILE")));
    }
    Ok(Replayed { model, failure })
}

fn say_what_is_wrong(replay: &Replay<File>, say: &dyn Fn(&str)) {
    let reader = replay.reader();
    let warnings = reader.warnings();
    for warning in warnings.iter().take(WARNINGS_SAID) {
        say(&format!("warning: {warning}"));
    }
    if let Some(more @ 1..) = warnings.len().checked_sub(WARNINGS_SAID) {
        say(&format!("warning: and {more} more; `gilscope dump` has them all"));
    }
    match replay.unknown() {
        0 => {}
        unknown => say(&format!(
            "warning: {} events that only a newer gilscope understands were left out",
            units::count(unknown)
        )),
    }
    if reader.finality() == Finality::Open {
        say("the recorder did not end in order, or is still at it: up to the last second is missing");
    }
}

/// A recording's error as a command's failure.
pub fn unreadable(path: &Path, error: &RecordingError) -> Failure {
    Failure::new(Status::Unreadable, naming(path, error))
}

/// The error in words that name the file; some do so themselves.
pub fn naming(path: &Path, error: &RecordingError) -> String {
    let (path, text) = (path.display().to_string(), error.to_string());
    if text.contains(&path) { text } else { format!("{path}: {text}") }
}
