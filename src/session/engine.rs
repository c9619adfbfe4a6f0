//! The session's engine, a turn at a time: no thread, no clock of its own.

mod aside;
mod travel;

use std::sync::Arc;
use std::time::Duration;

use self::aside::Aside;
use crate::event::Event;
use crate::session::checkpoints::Checkpoints;
use crate::session::fold::Fold;
use crate::session::reel::{Reached, Reel};
use crate::session::source::{Archive, Fed, Feed, Past};
use crate::session::{Ability, Capabilities, Command, Frame, Mark, Origin, Play, Shift, Span, Status};
use crate::time::{MonoNs, Ns};

/// Time between two frames while nobody asks for anything.
const FRAME_EVERY: Duration = Duration::from_millis(100);
/// Time between two frames at least: thirty a second.
const FRAME_AT_MOST: Duration = Duration::from_millis(33);
/// What is not asked for takes one part in so many of the time at most.
const FRAME_SHARE: u32 = 10;
/// However long a frame takes, this is the longest time between two.
const FRAME_AT_LEAST: Duration = Duration::from_secs(1);
/// Events folded in one turn at most, so that commands are heard.
const SLICE: usize = 20_000;
/// Slowest and fastest replay.
const SPEEDS: std::ops::RangeInclusive<f64> = 1.0 / 64.0..=64.0;
/// Warnings that are shown.
const WARNINGS_KEPT: usize = 16;

/// Where the events come from.
enum Source {
    Live { feed: Box<dyn Feed>, past: Option<Box<dyn Past>>, over: Over },
    Recording(Box<dyn Archive>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    NotYet,
    Over,
}

/// What is shown.
enum Shown {
    /// The newest there is.
    Edge,
    /// An instant of the past.
    Past(Box<Reel>),
}

/// What came of a turn.
#[derive(Debug)]
pub struct Turn {
    /// A frame, if one is due.
    pub frame: Option<Arc<Frame>>,
    /// Whether there is more to do at once.
    pub busy: Busy,
}

/// Whether an engine has work to do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// It has.
    Busy,
    /// It waits for events, commands or time.
    Idle,
    /// No more events will come: it waits for commands or time.
    Settled,
    /// It has stopped for good.
    Stopped,
}

/// Live or replay: events to frames.
pub struct Engine {
    source: Source,
    /// Live: the newest state. Replay: how far checkpoints have been made.
    edge: Fold,
    scout: Option<Reel>,
    checkpoints: Checkpoints,
    shown: Shown,
    play: Play,
    speed: f64,
    /// Replaying: at this time of the caller's clock, this instant is shown.
    anchor: (Duration, MonoNs),
    position: MonoNs,
    target: Option<(MonoNs, MonoNs)>,
    /// Replay: those of the recording, as far as it has been read, and the user's own.
    marks: Vec<Mark>,
    warnings: Vec<String>,
    number: u64,
    framed: Option<Duration>,
    /// Time between two frames that nobody asked for.
    spacing: Duration,
    dirty: Dirty,
    stop: Over,
    /// What is shown is compared with this.
    aside: Option<Aside>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    /// The last frame says it all.
    Clean,
    /// There is news.
    News,
    /// Somebody waits for the news.
    Asked,
}

impl Engine {
    /// Shows what `feed` has, as it comes; `past` keeps what one may look back on.
    pub fn live(feed: Box<dyn Feed>, past: Option<Box<dyn Past>>) -> Engine {
        Engine::new(Source::Live { feed, past, over: Over::NotYet }, Play::Live)
    }

    /// Replays `archive` from its beginning.
    pub fn replay(archive: Box<dyn Archive>) -> Engine {
        let from = archive.span().map_or(MonoNs(0), |span| span.from);
        let mut engine = Engine::new(Source::Recording(archive), Play::Replaying);
        let reel = |engine: &mut Engine| match &mut engine.source {
            Source::Recording(archive) => Reel::new(Fold::new(), Some(archive.events_from(0))),
            Source::Live { .. } => Reel::new(Fold::new(), None),
        };
        engine.scout = Some(reel(&mut engine));
        engine.shown = Shown::Past(Box::new(reel(&mut engine)));
        engine.position = from;
        engine.anchor = (Duration::ZERO, from);
        engine
    }

    fn new(source: Source, play: Play) -> Engine {
        Engine {
            source,
            edge: Fold::new(),
            scout: None,
            checkpoints: Checkpoints::default(),
            shown: Shown::Edge,
            play,
            speed: 1.0,
            anchor: (Duration::ZERO, MonoNs(0)),
            position: MonoNs(0),
            target: None,
            marks: Vec::new(),
            warnings: Vec::new(),
            number: 0,
            framed: None,
            spacing: FRAME_EVERY,
            dirty: Dirty::Asked,
            stop: Over::NotYet,
            aside: None,
        }
    }

    /// What this session may do.
    pub fn capabilities(&self) -> Capabilities {
        let (origin, past, recording) = match &self.source {
            Source::Live { past: Some(_), .. } => (Origin::Live, Ability::Can, Ability::Can),
            Source::Live { past: None, .. } => (Origin::Live, Ability::Cannot, Ability::Cannot),
            Source::Recording(_) => (Origin::Recording, Ability::Can, Ability::Cannot),
        };
        Capabilities { origin, past, recording }
    }

    /// Takes commands and events, and moves on to `now` by the caller's clock. Waits for events no longer than `wait`.
    pub fn turn(&mut self, now: Duration, commands: &mut dyn Iterator<Item = Command>, wait: Duration) -> Turn {
        for command in commands {
            self.command(now, command);
            self.dirty = Dirty::Asked;
        }
        self.take_events(wait);
        let mut busy = self.play_on(now);
        if self.fold_aside() == Busy::Busy {
            busy = Busy::Busy;
        }
        if self.target.is_none() && self.scout_on() == Busy::Busy {
            busy = Busy::Busy;
        }
        let frame = self.frame_if_due(now);
        if busy == Busy::Idle && self.is_over() {
            busy = Busy::Settled;
        }
        if self.stop == Over::Over && self.is_over() {
            self.close();
            busy = Busy::Stopped;
        }
        Turn { frame, busy }
    }

    /// The frame of this moment.
    pub fn frame(&mut self) -> Arc<Frame> {
        self.number += 1;
        let fold = match &self.shown {
            Shown::Edge => &self.edge,
            Shown::Past(reel) => &reel.fold,
        };
        let snapshot = fold.snapshot();
        let [second, ten] = fold.recent([Ns::SECOND, super::LONGEST_WINDOW]);
        let lately = fold.lately(snapshot.at);
        let status = self.status(snapshot.at);
        let baseline = self.aside.as_ref().and_then(Aside::made);
        Arc::new(Frame { number: self.number, snapshot, second, ten, lately, status, baseline })
    }

    /// The last frame took so long to make: those to come are as far apart that they take a tenth of the time at most.
    pub fn frame_took(&mut self, length: Duration) {
        self.spacing = FRAME_EVERY.max(length.saturating_mul(FRAME_SHARE)).min(FRAME_AT_LEAST);
    }

    fn status(&self, at: MonoNs) -> Status {
        let position = match &self.shown {
            Shown::Edge => at,
            Shown::Past(_) => self.position,
        };
        let (recording, mut warnings) = match &self.source {
            Source::Live { past, .. } => {
                (past.as_ref().and_then(|p| p.recording()), past.as_ref().map(|p| p.warnings()).unwrap_or_default())
            }
            Source::Recording(archive) => (None, archive.warnings()),
        };
        warnings.extend(self.warnings.iter().cloned());
        let excess = warnings.len().saturating_sub(WARNINGS_KEPT);
        warnings.drain(..excess);
        let seeking = self.target.map(|(from, to)| {
            let done = self.reel_at().since(from).share_of(to.since(from)).unwrap_or(0.0);
            (to, done.clamp(0.0, 1.0))
        });
        Status {
            play: self.play,
            position,
            range: self.range(),
            speed: self.speed,
            seeking,
            recording,
            marks: match &self.source {
                Source::Live { .. } => self.edge.marks().to_vec(),
                Source::Recording(_) => self.marks.clone(),
            },
            warnings,
        }
    }

    fn reel_at(&self) -> MonoNs {
        match &self.shown {
            Shown::Edge => self.edge.at().unwrap_or(MonoNs(0)),
            Shown::Past(reel) => reel.fold.at().unwrap_or(MonoNs(0)),
        }
    }

    fn range(&self) -> Span {
        let to = self.edge.at().unwrap_or(MonoNs(0));
        match &self.source {
            Source::Recording(archive) => archive.span().unwrap_or(Span { from: MonoNs(0), to: MonoNs(0) }),
            Source::Live { past, .. } => {
                let kept = past.as_ref().and_then(|p| p.span());
                let from = kept.and_then(|span| self.checkpoints.oldest_since(span.from)).unwrap_or(to);
                Span { from: from.min(to), to }
            }
        }
    }

    fn is_over(&self) -> bool {
        match &self.source {
            Source::Live { over, .. } => *over == Over::Over,
            Source::Recording(_) => true,
        }
    }

    fn close(&mut self) {
        if let Source::Live { past: Some(past), .. } = &mut self.source
            && let Err(problem) = past.end_recording()
        {
            self.warn(problem);
        }
    }

    fn warn(&mut self, problem: String) {
        if self.warnings.last() != Some(&problem) {
            self.warnings.push(problem);
        }
        if self.warnings.len() > WARNINGS_KEPT {
            self.warnings.remove(0);
        }
    }

    fn command(&mut self, now: Duration, command: Command) {
        match command {
            Command::Pause => self.pause(),
            Command::Resume => self.resume(now),
            Command::SeekTo(at) => self.seek(now, at),
            Command::Move(shift) => {
                let from = self.target.map_or(self.here(), |(_, to)| to);
                self.seek(
                    now,
                    match shift {
                        Shift::Back(length) => from - length,
                        Shift::Ahead(length) => from + length,
                    },
                );
            }
            Command::Step(ticks) => self.step(now, ticks),
            Command::Speed(speed) if speed.is_finite() => {
                self.anchor = (now, self.position);
                self.speed = speed.clamp(*SPEEDS.start(), *SPEEDS.end());
            }
            Command::Speed(_) => {}
            Command::Mark => self.mark(self.here()),
            Command::CompareWith(at) => self.compare_with(at),
            Command::RecordStart => self.record(|past| past.record()),
            Command::RecordStop => self.record(|past| past.end_recording()),
            Command::Stop => {
                self.stop = Over::Over;
                if let Source::Live { feed, .. } = &mut self.source {
                    feed.stop();
                }
            }
        }
    }

    fn record(&mut self, what: impl FnOnce(&mut dyn Past) -> Result<(), String>) {
        if let Source::Live { past: Some(past), .. } = &mut self.source
            && let Err(problem) = what(past.as_mut())
        {
            self.warn(problem);
        }
    }

    fn take_events(&mut self, wait: Duration) {
        let mut wait = wait;
        let mut taken = 0;
        while taken < SLICE {
            let Source::Live { feed, over, .. } = &mut self.source else { return };
            if *over == Over::Over {
                return;
            }
            match feed.next_within(wait) {
                Fed::Events(events) => {
                    taken += events.len().max(1);
                    self.take_batch(&events);
                    wait = Duration::ZERO;
                }
                Fed::Nothing => return,
                Fed::Over => {
                    *over = Over::Over;
                    if self.play == Play::Live {
                        self.play = Play::Ended;
                    }
                    self.close();
                    self.dirty = Dirty::Asked;
                    return;
                }
            }
        }
    }

    fn take_batch(&mut self, events: &[Event]) {
        let Source::Live { past, .. } = &mut self.source else { return };
        let looks_back = past.is_some();
        if let Some(past) = past {
            past.keep(events);
            if let Some(span) = past.span() {
                self.checkpoints.forget_before(span.from);
            }
        }
        for event in events {
            if looks_back {
                self.checkpoints.offer(&self.edge, event.at);
            }
            self.edge.apply(event, self.edge.position() + 1);
        }
        self.dirty = self.dirty.max(Dirty::News);
    }

    /// Moves what is shown towards where it should be.
    fn play_on(&mut self, now: Duration) -> Busy {
        let range = self.range();
        if self.play == Play::Replaying && self.target.is_none() {
            let passed = now.saturating_sub(self.anchor.0).as_secs_f64() * self.speed * 1e9;
            let at = (self.anchor.1 + Ns(passed as u64)).min(range.to);
            if at > self.position || self.reel_at() == MonoNs(0) {
                self.position = at;
                self.dirty = self.dirty.max(Dirty::News);
            }
            if at >= range.to {
                self.play = Play::Paused;
                self.dirty = Dirty::Asked;
            }
        }
        let to = self.position;
        let Shown::Past(reel) = &mut self.shown else { return Busy::Idle };
        let checkpoints = self.scout.is_some().then_some(&mut self.checkpoints);
        match reel.advance(to, SLICE, checkpoints) {
            Reached::Underway => {
                if self.target.is_none() && self.play == Play::Replaying {
                    // Too fast to follow: time waits for the figures.
                    self.position = reel.fold.at().unwrap_or(to).min(to);
                    self.anchor = (now, self.position);
                }
                Busy::Busy
            }
            Reached::Target | Reached::End => {
                if self.target.take().is_some() {
                    self.anchor = (now, to);
                    self.dirty = Dirty::Asked;
                }
                self.lead_scout();
                Busy::Idle
            }
        }
    }

    /// What has been folded for show need not be folded again for checkpoints.
    fn lead_scout(&mut self) {
        let Shown::Past(reel) = &self.shown else { return };
        let Some(scout) = &self.scout else { return };
        if reel.fold.position() > scout.fold.position() + SLICE as u64 {
            let fold = reel.fold.clone();
            let ahead = self.events_from(fold.position());
            self.scout = Some(Reel::new(fold, ahead));
        }
    }

    fn scout_on(&mut self) -> Busy {
        let Some(scout) = &mut self.scout else { return Busy::Idle };
        let reached = scout.advance(MonoNs(u64::MAX), SLICE, Some(&mut self.checkpoints));
        let marks = Arc::clone(scout.fold.marks());
        self.note_marks(&marks);
        match reached {
            Reached::Underway => Busy::Busy,
            Reached::Target | Reached::End => {
                self.scout = None;
                // Marks and damage were found on the way.
                self.dirty = Dirty::Asked;
                Busy::Idle
            }
        }
    }

    fn frame_if_due(&mut self, now: Duration) -> Option<Arc<Frame>> {
        let since = self.framed.map(|framed| now.saturating_sub(framed));
        let due = match (self.dirty, since) {
            (Dirty::Clean, _) => false,
            (_, None) => true,
            (Dirty::News, Some(since)) => since >= self.spacing,
            (Dirty::Asked, Some(since)) => since >= FRAME_AT_MOST,
        };
        if !due {
            return None;
        }
        self.framed = Some(now);
        self.dirty = Dirty::Clean;
        Some(self.frame())
    }
}
