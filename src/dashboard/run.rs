//! The loop: frames to the terminal, keys to the state and to the session.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::layout::Rect;

use crate::dashboard::columns::Columns;
use crate::dashboard::console::{Clock, Console, Heard};
use crate::dashboard::keys::Keymap;
use crate::dashboard::mouse::{Gesture, Spots, Wheel};
use crate::dashboard::picture;
use crate::dashboard::state::{Effect, Rows, State};
use crate::dashboard::theme::Theme;
use crate::dashboard::view::ViewModel;
use crate::dashboard::views::View;
use crate::dashboard::widgets::screen;
use crate::findings::Allowed;
use crate::session::Watch;

/// Time between two drawings while nobody presses a key.
pub const REFRESH: Duration = Duration::from_millis(150);
/// Keys that are taken between two drawings at most.
const KEYS_AT_ONCE: usize = 256;
/// Time within which a session answers what it is asked, as a rule.
const ANSWER_WITHIN: Duration = Duration::from_millis(400);
/// Time between two looks for that answer.
const EAGER: Duration = Duration::from_millis(15);
/// Time between two looks for a frame that is overdue.
const LOOK_AGAIN: Duration = Duration::from_millis(40);

/// How to show things.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What they look like.
    pub theme: Theme,
    /// Time between two drawings while nobody presses a key.
    pub refresh: Duration,
    /// Findings that are not told.
    pub allowed: Allowed,
    /// Which keys are on which action.
    pub keys: Keymap,
    /// Which columns the thread table has.
    pub columns: Columns,
    /// What is on the screen at first.
    pub view: View,
}

impl Settings {
    /// With this theme, and all else as it is by default.
    pub fn new(theme: Theme) -> Settings {
        Settings {
            theme,
            refresh: REFRESH,
            allowed: Allowed::NONE,
            keys: Keymap::default(),
            columns: Columns::default(),
            view: View::Overview,
        }
    }

    /// What is chosen before the first key.
    pub fn state(&self) -> State {
        State {
            allowed: self.allowed,
            keys: self.keys.clone(),
            columns: self.columns.clone(),
            view: self.view,
            ..State::default()
        }
    }
}

/// How the dashboard was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// The user has seen enough, or somebody asked the program to end.
    Quit,
    /// The user wants a report to stay.
    WithReport,
}

/// Why the dashboard could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The terminal is gone, or refuses.
    #[error("cannot go on with the terminal: {0}")]
    Terminal(String),
    /// A thread of gilscope has failed.
    #[error("a thread of gilscope has failed: {0}. This is a bug in gilscope; what was recorded before is whole")]
    Broken(String),
}

/// Shows the session until the user leaves.
///
/// # Errors
/// [`DashboardError`]. The terminal is the caller's to restore, in either case.
pub fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    console: &mut dyn Console,
    clock: &dyn Clock,
    session: &dyn Watch,
    settings: &Settings,
) -> Result<Leaving, DashboardError> {
    let refused = |error: &dyn std::fmt::Display| DashboardError::Terminal(error.to_string());
    let capabilities = session.capabilities();
    let mut state = settings.state();
    let (mut rows, mut spots, mut wheel) = (Rows::default(), Spots::default(), Wheel::default());
    let mut drawn = Drawn::default();
    let mut whole = Rect::default();
    loop {
        let frame = session.latest();
        if drawn.is_stale(frame.number, clock.now(), settings.refresh) {
            let view = ViewModel::of(&frame, &state, capabilities);
            terminal
                .draw(|on| {
                    let area = on.area();
                    screen::draw(&view, settings.theme, area, on.buffer_mut());
                    whole = area;
                })
                .map_err(|error| refused(&error))?;
            let body = screen::places(&view, whole).body;
            (state.page, state.cursor) = (view.shown.page(&view, body), view.threads.cursor);
            let (reach, timeline) = (view.shown.reach(&view, body), view.shown.grid(&view, body));
            rows = Rows { reach, timeline, ..view.rows() };
            spots = Spots::of(&view, whole);
            drawn.done(frame.number, clock.now());
        }
        let mut limit = drawn.patience(clock.now(), settings.refresh);
        for _ in 0..KEYS_AT_ONCE {
            let Some(heard) = console.next(limit).map_err(|error| refused(&error))? else { break };
            limit = Duration::ZERO;
            drawn.state = Picture::Outdated;
            let (view, depth) = (state.view, state.blame.depth);
            let effect = match heard {
                Heard::Key(key) => state.press(&key, &rows, &frame, capabilities),
                Heard::Mouse(event) => {
                    let gesture = Gesture::of(&event).filter(|gesture| wheel.takes(*gesture, clock.now()));
                    let Some(gesture) = gesture else { continue };
                    let command = state.point(gesture, spots.at(event.column, event.row), &rows);
                    if let Some(command) = command {
                        session.send(command);
                        drawn.asked = Some(clock.now());
                    }
                    // What is where may be another thing now.
                    break;
                }
                Heard::Disturbed => Effect::Redraw,
                Heard::Asked => Effect::Quit,
                Heard::Broken(what) => return Err(DashboardError::Broken(what)),
            };
            match effect {
                // What the next key moves over is not known before it is drawn.
                Effect::Nothing if (view, depth) != (state.view, state.blame.depth) => break,
                Effect::Nothing => {}
                Effect::Ask(command) => {
                    session.send(command);
                    drawn.asked = Some(clock.now());
                    // The next key may build on what comes of this one.
                    break;
                }
                Effect::Redraw => afresh(terminal)?,
                Effect::Snapshot => {
                    let view = ViewModel::of(&frame, &state, capabilities);
                    let screen = picture::draw(&view, settings.theme, whole.width, whole.height);
                    let kept = picture::svg(&screen).map_err(std::io::Error::other).and_then(|svg| console.keep(&svg));
                    state.notice = Some(match kept {
                        Ok(path) => format!("the screen is in {}", path.display()),
                        Err(error) => format!("cannot write a picture of the screen: {error}"),
                    });
                }
                Effect::Suspend => {
                    console.suspend().map_err(|error| refused(&error))?;
                    afresh(terminal)?;
                }
                Effect::Quit => return Ok(Leaving::Quit),
                Effect::QuitWithReport => return Ok(Leaving::WithReport),
            }
        }
    }
}

/// Forgets what the screen shows. Not by `Terminal::clear`, which asks the terminal where its cursor is and reads the
/// answer from among the keys.
fn afresh<B: Backend>(terminal: &mut Terminal<B>) -> Result<(), DashboardError> {
    let forgotten = terminal.size().and_then(|size| terminal.resize(Rect::new(0, 0, size.width, size.height)));
    forgotten.map_err(|error| DashboardError::Terminal(error.to_string()))
}

/// Whether what is on the screen is what the user has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Picture {
    #[default]
    Outdated,
    OfChoice,
}

/// What was drawn last, and when.
#[derive(Debug, Default)]
struct Drawn {
    state: Picture,
    frame: u64,
    at: Duration,
    /// When the session was asked for something.
    asked: Option<Duration>,
}

impl Drawn {
    fn done(&mut self, frame: u64, now: Duration) {
        *self = Drawn { state: Picture::OfChoice, frame, at: now, asked: self.asked };
    }

    fn is_stale(&self, frame: u64, now: Duration, refresh: Duration) -> bool {
        let due = self.is_eager(now) || now.saturating_sub(self.at) >= refresh;
        self.state == Picture::Outdated || (self.frame != frame && due)
    }

    /// Whether an answer of the session is waited for.
    fn is_eager(&self, now: Duration) -> bool {
        self.asked.is_some_and(|asked| now.saturating_sub(asked) < ANSWER_WITHIN)
    }

    /// How long to listen before looking for a new frame.
    fn patience(&self, now: Duration, refresh: Duration) -> Duration {
        if self.is_eager(now) {
            return EAGER;
        }
        // A frame that was not there when it was due may come at any time.
        let left = refresh.saturating_sub(now.saturating_sub(self.at));
        if left.is_zero() { LOOK_AGAIN.min(refresh) } else { left }
    }
}
