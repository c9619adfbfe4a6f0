//! `gilscope record`: observe, and keep every event in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use signal_hook::consts::SIGXFSZ;

use crate::capture::{Root, Stop};
use crate::cli::observe::{Told, attach_all, attach_started, first, named, observe, stop_on_signals};
use crate::cli::progress::Progress;
use crate::cli::recorded::naming;
use crate::cli::report::{ItsEnd, LEFT_BEHIND, launch_failure, passed_on};
use crate::cli::watch::{start_live, watch};
use crate::cli::{Common, RecordArgs, complain};
use crate::error::{Failure, Status};
use crate::event::{Event, Pid};
use crate::findings;
use crate::instruments::clock;
use crate::launch::Launched;
use crate::model::snapshot::Snapshot;
use crate::recording::{DEFAULT_QUEUE, Existing, Offer, Recorder, RecordingError, RecordingFile, Writer};
use crate::report::summary_line;
use crate::time::Ns;
use crate::units;

/// Findings that are said; the report has them all.
const FINDINGS_SAID: usize = 3;

/// Runs the command; its exit status, or the started program's.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &RecordArgs) -> Result<u8, Failure> {
    heed_file_limits()?;
    match args.pid.is_empty() {
        false => running(args),
        true => launched(args),
    }
}

fn running(args: &RecordArgs) -> Result<u8, Failure> {
    let stop = Stop::default();
    let roots = attach_all(&args.pid)?;
    let file = create(args, first(&roots))?;
    if args.live {
        let session = start_live(roots, &args.common, args.duration, &stop, Some(file))?;
        watch(session, &args.common, &stop)?;
        return Ok(Status::Ok as u8);
    }
    stop_on_signals(&stop)?;
    let path = file.path().to_owned();
    args.common.say(&format!("recording {} into {}; Ctrl-C ends it", named(&args.pid, &args.common), path.display()));
    record(roots, args, file, (stop, None), Progress::to_stderr(&args.common))?;
    Ok(Status::Ok as u8)
}

fn launched(args: &RecordArgs) -> Result<u8, Failure> {
    // A file that cannot be written fails now, not when the program runs. Its name may need the program's pid.
    let named = match &args.output {
        Some(_) => Some(create(args, Pid(0))?),
        None => tempfile::tempfile_in(".").map(|_probe| None).map_err(|error| {
            Failure::new(Status::Internal, format!("cannot write a recording here: {error}"))
                .next("name another place with `-o FILE`")
        })?,
    };
    let launched = match Launched::start(&args.program) {
        Ok(launched) => launched,
        Err(error) => {
            if let Some(file) = named {
                file.discard_if_empty();
            }
            return Err(launch_failure(&error, "record"));
        }
    };
    let name = args.program.first().map(|program| program.to_string_lossy()).unwrap_or_default();
    let attached = attach_started(launched.pid(), &name, &args.common, || !matches!(launched.try_status(), Ok(None)));
    let recorded = match (attached, named) {
        (Ok(roots), file) => file
            .map_or_else(|| create(args, launched.pid()), Ok)
            .and_then(|file| record(roots, args, file, (Stop::default(), Some(&launched)), Progress::silent())),
        (Err(failure), file) => {
            if let Some(file) = file {
                file.discard_if_empty();
            }
            Err(failure)
        }
    };
    // The program may run on for long: what is known by now is told by now.
    if let Err(failure) = &recorded {
        complain(failure);
    }
    let status = launched
        .wait()
        .map_err(|error| Failure::new(Status::Internal, format!("cannot learn how the program ended: {error}")))?;
    Ok(match recorded {
        // The program's own failure is the more important one.
        Err(failure) if status.success() => failure.status as u8,
        Ok(()) | Err(_) => passed_on(status),
    })
}

/// A recording that is being written.
pub(super) struct Keeping {
    path: PathBuf,
    recorder: Recorder,
}

impl Keeping {
    /// Begins to write.
    pub(super) fn start(file: RecordingFile) -> Result<Keeping, Failure> {
        let path = file.path().to_owned();
        let recorder = Writer::new(file).and_then(|writer| Recorder::start(writer, DEFAULT_QUEUE));
        let recorder = recorder.map_err(|error| unwritable(&path, &error))?;
        Ok(Keeping { path, recorder })
    }

    /// Keeps events. Where that is no longer possible, whoever makes them is asked to stop.
    pub(super) fn keep(&mut self, events: Vec<Event>, stop: &Stop) {
        for event in events {
            if self.recorder.offer(event) == Offer::Stopped {
                stop.request();
            }
        }
        self.recorder.flush();
    }

    /// Closes it, and says nothing.
    pub(super) fn close(self) -> Result<(), Failure> {
        self.recorder.finish().map(drop).map_err(|error| unwritable(&self.path, &error))
    }

    /// Closes it, and says what is in it.
    pub(super) fn finish(self, snapshot: &Snapshot, common: &Common) -> Result<(), Failure> {
        let Keeping { path, recorder } = self;
        let outcome = recorder.finish().map_err(|error| unwritable(&path, &error))?;
        let length = snapshot.processes.iter().map(|process| process.capture.start).min();
        let length = length.map_or(Ns::ZERO, |start| snapshot.at.since(start));
        let dropped = match outcome.dropped {
            0 => "none dropped".to_owned(),
            dropped => format!("{} dropped, as the file took them too slowly", units::count(dropped)),
        };
        common.say(&format!(
            "{}: {} of {length}, {} events, {dropped}",
            path.display(),
            units::bytes(outcome.written.bytes),
            units::count(outcome.written.events),
        ));
        common.say(&format!("read it with: gilscope report {}", path.display()));
        Ok(())
    }
}

/// Records until the observation is over, and says what came of it.
fn record(
    roots: Vec<Root>,
    args: &RecordArgs,
    file: RecordingFile,
    (stop, launched): (Stop, Option<&Launched>),
    mut progress: Progress,
) -> Result<(), Failure> {
    let mut keeping = Keeping::start(file)?;
    let mut end = ItsEnd::of(&args.common, &stop, LEFT_BEHIND);
    let observed = observe(roots, &args.common, args.duration, stop.clone(), |told| {
        if let Some(launched) = launched {
            end.heed(|| !matches!(launched.try_status(), Ok(None)));
        }
        match told {
            Told::Events(events) => keeping.keep(events, &stop),
            Told::Second(model) => progress.show(|| {
                let bytes = units::bytes(keeping.recorder.written().bytes);
                format!("recording {bytes}  {}", summary_line(&model.snapshot()).trim_start())
            }),
        }
        Ok(())
    });
    drop(progress);
    let snapshot = match observed {
        Ok(model) => model.snapshot(),
        Err(failure) => {
            // What came before the failure is kept.
            let _closed = keeping.recorder.finish();
            return Err(failure);
        }
    };
    for process in &snapshot.processes {
        let found = findings::find(process, args.common.allowed());
        let because = found.because().map_or(String::new(), |because| format!(" {because}"));
        args.common.say(&format!("{}.{because}", found.verdict.answer.headline()));
        for finding in found.list.iter().take(FINDINGS_SAID) {
            args.common.say(&format!("{}: {}", finding.name.id(), finding.message));
        }
    }
    keeping.finish(&snapshot, &args.common)
}

/// At a limit on file size the kernel sends a signal that kills; with a handler, the write fails and says why.
pub(super) fn heed_file_limits() -> Result<(), Failure> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map(drop)
        .map_err(|error| Failure::new(Status::Internal, format!("cannot install signal handlers: {error}")))
}

/// Makes the file that was asked for, or one named after the process and the time.
fn create(args: &RecordArgs, pid: Pid) -> Result<RecordingFile, Failure> {
    let existing = if args.force { Existing::Overwrite } else { Existing::Refuse };
    let path = args.output.clone().unwrap_or_else(|| default_name(pid, clock::unix_now()));
    create_at(&path, existing)
}

/// Makes a file for a recording.
pub(super) fn create_at(path: &Path, existing: Existing) -> Result<RecordingFile, Failure> {
    RecordingFile::create(path, existing).map_err(|error| {
        let failure = unwritable(path, &error);
        match error {
            RecordingError::Exists { .. } => failure.next("if it is a recording, `--force` replaces it"),
            _ => failure,
        }
    })
}

fn unwritable(path: &Path, error: &RecordingError) -> Failure {
    let status = match error {
        RecordingError::Exists { .. } | RecordingError::NotOurs { .. } | RecordingError::Locked { .. } => Status::Usage,
        _ => Status::Internal,
    };
    Failure::new(status, naming(path, error))
}

/// `gilscope-4242-20261121T093015Z.gscope`: the process, and the time in UTC.
pub(super) fn default_name(pid: Pid, unix_ns: u64) -> PathBuf {
    PathBuf::from(format!("gilscope-{}-{}.gscope", pid.0, units::stamp(unix_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_name_tells_process_and_time() {
        // As `date -u -d @... +%Y%m%dT%H%M%SZ` says.
        for (seconds, time) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_795_260_615, "20261121T113015Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            let name = default_name(Pid(4242), seconds * 1_000_000_000 + 999_999_999);
            assert_eq!(name, PathBuf::from(format!("gilscope-4242-{time}.gscope")));
        }
    }
}
