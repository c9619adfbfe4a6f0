//! One screen of a session, without a terminal: `--once` and `--snapshot`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::Stop;
use crate::cli::observe::stop_on_signals;
use crate::cli::report::Destination;
use crate::cli::{Common, Still, print};
use crate::dashboard::picture;
use crate::dashboard::state::State;
use crate::dashboard::view::ViewModel;
use crate::error::{Failure, Status};
use crate::session::{Command, Frame, Play, Session, Watch};
use crate::time::Ns;
use crate::units;

/// How long a running process is observed before its screen is taken, unless told otherwise.
const OBSERVED: Duration = Duration::from_secs(5);
/// How long a recording may take to be read.
const PATIENCE: Duration = Duration::from_secs(300);
/// Time between two looks at the session.
const LOOK: Duration = Duration::from_millis(50);
/// Looks at which a session that has come to rest has drawn nothing new.
const RESTS: u32 = 6;

/// When a screen is taken.
#[derive(Debug, Clone, Copy)]
pub enum Taken {
    /// Of a running process: when it has been observed for so long.
    After(Option<Ns>),
    /// Of a recording: so long after its beginning, or at its end.
    At(Option<Ns>),
}

/// Takes one screen.
///
/// # Errors
/// If the picture cannot be written, or the recording is never read to there.
pub fn still(session: Session, common: &Common, wanted: &Still, taken: Taken, stop: &Stop) -> Result<(), Failure> {
    // A path that cannot be written fails now.
    let file = wanted.snapshot.as_deref().map(Destination::create).transpose()?;
    stop_on_signals(stop)?;
    let frame = match taken {
        Taken::At(at) => sought(&session, at, common, stop)?,
        Taken::After(duration) => observed(&session, duration, stop),
    };
    let theme = common.settled.picture;
    let state = State { view: wanted.view, ..common.settled.dashboard(theme, common.allowed()).state() };
    let view = ViewModel::of(&frame, &state, session.capabilities());
    let screen = picture::draw(&view, theme, wanted.size.0, wanted.size.1);
    if wanted.once {
        print(&picture::text(&screen))?;
    }
    if let Some(file) = file {
        let svg = picture::svg(&screen)
            .map_err(|error| Failure::new(Status::Internal, format!("cannot draw the picture: {error}")))?;
        file.write(&svg)?;
    }
    session.finish();
    Ok(())
}

fn observed(session: &Session, duration: Option<Ns>, stop: &Stop) -> Arc<Frame> {
    let until = Instant::now() + duration.map_or(OBSERVED, |duration| Duration::from_nanos(duration.0));
    loop {
        let frame = session.latest();
        if stop.is_requested() || frame.status.play == Play::Ended || Instant::now() >= until {
            return frame;
        }
        std::thread::sleep(LOOK);
    }
}

fn sought(session: &Session, at: Option<Ns>, common: &Common, stop: &Stop) -> Result<Arc<Frame>, Failure> {
    session.send(Command::Pause);
    let range = session.latest().status.range;
    let at = at.map_or(range.to, |at| (range.from + at).min(range.to));
    session.send(Command::SeekTo(at));
    let began = Instant::now();
    let (mut last, mut rests) = (session.latest(), 0);
    while began.elapsed() < PATIENCE {
        if stop.is_requested() {
            let frame = session.latest();
            let read = frame.snapshot.at.since(range.from);
            common.say(&format!("stopped: this is the recording at {}, as far as it was read", units::clock(read)));
            return Ok(frame);
        }
        std::thread::sleep(LOOK);
        let frame = session.latest();
        let is_there = frame.status.seeking.is_none() && at.since(frame.status.position) < Ns::SECOND;
        rests = if is_there && frame.number == last.number { rests + 1 } else { 0 };
        if rests >= RESTS {
            return Ok(frame);
        }
        last = frame;
    }
    Err(Failure::new(Status::Internal, "the recording was not read to there in time")
        .next("name an earlier instant: --at SECONDS"))
}
