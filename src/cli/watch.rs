//! Watching a session: on a terminal the dashboard, without one a line a second and the report at the end.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::capture::{Capture, Root, Stop};
use crate::cli::feed::LiveFeed;
use crate::cli::observe::{first, options, stop_on_signals};
use crate::cli::record::default_name;
use crate::cli::report::Destination;
use crate::cli::still::{Taken, still};
use crate::cli::{Common, Format, Still, print, report};
use crate::dashboard::terminal::{RealTime, Takeover};
use crate::dashboard::views::View;
use crate::dashboard::{DashboardError, Leaving, Settings, run};
use crate::error::{Failure, Status};
use crate::instruments::clock;
use crate::recording::{DEFAULT_RING, RecordingFile};
use crate::report::summary_line;
use crate::session::{Command, Engine, Frame, Kept, Origin, Play, Session, Watch};
use crate::time::Ns;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// Starts to observe `roots`, as a session that records into `file` from its first event on, if there is one.
///
/// # Errors
/// If a thread cannot be started.
pub fn start_live(
    roots: Vec<Root>,
    common: &Common,
    duration: Option<Ns>,
    stop: &Stop,
    file: Option<RecordingFile>,
) -> Result<Session, Failure> {
    let refused = |error| Failure::new(Status::Internal, format!("cannot start a thread to observe with: {error}"));
    let pid = first(&roots);
    let options = options(&roots, common, duration)?;
    let mut kept = Kept::new(DEFAULT_RING, Box::new(move || default_name(pid, clock::unix_now())))
        .map_err(|error| Failure::new(Status::Internal, error))?;
    if let Some(file) = file {
        kept.record_into(file).map_err(|error| Failure::new(Status::Internal, error))?;
    }
    let capture = Capture::start_all(roots, options, stop.clone()).map_err(refused)?;
    let engine = Engine::live(Box::new(LiveFeed::new(capture, stop.clone())), Some(Box::new(kept)));
    Session::start(engine).map_err(refused)
}

/// Shows a session: one screen of it if that is wanted, else until the user has seen enough.
///
/// # Errors
/// Those of [`still`] and [`watch`].
pub fn show(session: Session, common: &Common, one: &Still, taken: Taken, stop: &Stop) -> Result<(), Failure> {
    match one.is_wanted() {
        true => still(session, common, one, taken, stop),
        false => watch(session, common, stop),
    }
}

/// Shows a session until the user has seen enough, or, without a terminal, until it ends or `stop` is asked for.
///
/// # Errors
/// If the terminal is gone, or stdout cannot be written to.
pub fn watch(session: Session, common: &Common, stop: &Stop) -> Result<(), Failure> {
    match std::io::stdout().is_terminal() {
        true => on_terminal(session, common),
        false => in_lines(session, common, stop),
    }
}

fn on_terminal(session: Session, common: &Common) -> Result<(), Failure> {
    let settings = common.settled.dashboard(common.settled.theme, common.allowed());
    // Of several processes their list comes first.
    let view = if common.subprocesses { View::Processes } else { settings.view };
    let settings = Settings { view, ..settings };
    let outcome = {
        let refused = |error: std::io::Error| {
            Failure::new(Status::Internal, format!("cannot take the terminal: {error}"))
                .next("For lines of text instead of the dashboard, pipe it: gilscope attach PID | cat")
        };
        let mut takeover = Takeover::begin(common.settled.mouse).map_err(refused)?;
        let mut terminal = takeover.terminal().map_err(refused)?;
        run(&mut terminal, &mut takeover, &RealTime::default(), &session, &settings)
    };
    // The terminal is as it was: what follows may take a moment, and may speak.
    let recording = session.latest().status.recording.clone();
    let last = session.finish();
    for warning in &last.status.warnings {
        common.say(&crate::text::foreign(warning, 1_000));
    }
    if let Some(recording) = recording {
        common.say(&format!("recorded to {}", recording.path.display()));
    }
    match outcome {
        Ok(Leaving::Quit) => Ok(()),
        Ok(Leaving::WithReport) => report::write(&last.snapshot, Format::Text, common, Destination::Stdout),
        Err(error @ (DashboardError::Terminal(_) | DashboardError::Broken(_))) => {
            Err(Failure::new(Status::Internal, error))
        }
    }
}

fn in_lines(session: Session, common: &Common, stop: &Stop) -> Result<(), Failure> {
    stop_on_signals(stop)?;
    let origin = session.capabilities().origin;
    if origin == Origin::Recording {
        // Nobody watches it play: only how it ends matters.
        let end = session.latest().status.range.to;
        session.send(Command::SeekTo(end));
    }
    let mut next = Instant::now() + LINE_EVERY;
    while !stop.is_requested() && !is_over(&session.latest(), origin) {
        std::thread::sleep(LOOK);
        if Instant::now() >= next {
            next += LINE_EVERY;
            if origin == Origin::Live {
                print(&format!("{}\n", summary_line(&session.latest().snapshot)))?;
            }
        }
    }
    let last = session.finish();
    print("\n")?;
    report::write(&last.snapshot, Format::Text, common, Destination::Stdout)
}

fn is_over(frame: &Frame, origin: Origin) -> bool {
    let status = &frame.status;
    match origin {
        Origin::Recording => status.seeking.is_none() && frame.snapshot.at >= status.range.to,
        Origin::Live => status.play == Play::Ended,
    }
}
