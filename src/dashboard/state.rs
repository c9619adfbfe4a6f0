//! What the user has chosen to look at, and how keys change it. Holds no figures: those are in the frame.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::dashboard::action::Action;
use crate::dashboard::blame;
use crate::dashboard::columns::Columns;
use crate::dashboard::convoys::ConvoyKey;
use crate::dashboard::cores;
use crate::dashboard::found::{self, FoundKey};
use crate::dashboard::histograms;
use crate::dashboard::instant;
use crate::dashboard::keys::{Keymap, Press};
use crate::dashboard::rows::{Column, Ended, Sort};
use crate::dashboard::signals::SignalKey;
use crate::dashboard::timeline::{self, Way};
use crate::dashboard::view::Transport;
use crate::dashboard::views::View;
use crate::dashboard::views::findings::shows;
use crate::event::{Cpu, ProcessKey, ThreadKey};
use crate::findings::Allowed;
use crate::session::{Capabilities, Command, Frame, Play, Shift};
use crate::time::{MonoNs, Ns};

/// Longest text that can be typed, in characters.
const TYPED_MOST: usize = 64;
/// How far the jump keys go.
const JUMP: Ns = Ns(10_000_000_000);

/// Time in one column of the lanes, by zoom.
pub const ZOOMS: [Ns; 13] = [
    Ns::from_millis(10),
    Ns::from_millis(20),
    Ns::from_millis(50),
    Ns::from_millis(100),
    Ns::from_millis(200),
    Ns::from_millis(500),
    Ns::from_millis(1_000),
    Ns::from_millis(2_000),
    Ns::from_millis(5_000),
    Ns::from_millis(10_000),
    Ns::from_millis(30_000),
    Ns::from_millis(60_000),
    Ns::from_millis(300_000),
];

/// Which panels of the overview are on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// A bit of everything.
    All,
    /// Threads alone.
    Threads,
    /// Lanes alone.
    Lanes,
    /// Durations alone.
    Durations,
}

const PANELS: [Panel; 4] = [Panel::All, Panel::Threads, Panel::Lanes, Panel::Durations];

/// What recent figures are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last second.
    Second,
    /// The last ten.
    Ten,
    /// The whole capture.
    Whole,
}

/// Whose durations are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of all threads.
    All,
    /// Those of the selected one.
    Selected,
}

/// What keys go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Focus {
    /// The screen.
    Screen,
    /// The filter's text, which was this before.
    Filter {
        /// To return to.
        before: String,
    },
    /// An instant to go to, as far as it was typed.
    Instant {
        /// What was typed.
        typed: String,
    },
    /// The help, scrolled down by this many lines.
    Help {
        /// Lines.
        scrolled: usize,
    },
}

/// What the cursor keys move over, as it is on the screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The thread table's rows.
    pub threads: Vec<ThreadKey>,
    /// Whether each stands for several threads.
    pub together: Vec<bool>,
    /// The one under the cursor.
    pub thread: usize,
    /// The signals that came.
    pub signals: Vec<SignalKey>,
    /// The one that is looked at.
    pub signal: usize,
    /// The blame matrix.
    pub blame: blame::Grid,
    /// The answer and the findings.
    pub findings: Vec<FoundKey>,
    /// The one that is looked at.
    pub finding: usize,
    /// The convoys, and when each ended.
    pub convoys: Vec<(ConvoyKey, MonoNs)>,
    /// The one that is looked at.
    pub convoy: usize,
    /// The lines of cores, by the first of each.
    pub cores: Vec<Cpu>,
    /// The one that is looked at.
    pub core: usize,
    /// Whose durations there are.
    pub durations: Vec<histograms::Of>,
    /// Those that are looked at.
    pub duration: usize,
    /// The processes.
    pub processes: Vec<ProcessKey>,
    /// The one under the cursor.
    pub process: usize,
    /// How many processes there are, looked into or not.
    pub processes_known: usize,
    /// How far the view's text can be scrolled down.
    pub reach: usize,
    /// Which time is shown, and whose.
    pub timeline: timeline::Grid,
}

/// What the user has chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// What fills the screen.
    pub view: View,
    /// Which panels of the overview.
    pub panel: Panel,
    /// The thread table's order.
    pub sort: Sort,
    /// Whether threads that have ended share rows.
    pub ended: Ended,
    /// What rows must contain.
    pub filter: String,
    /// What keys go to.
    pub focus: Focus,
    /// What came of the last key, until the next.
    pub notice: Option<String>,
    /// The thread under the cursor.
    pub selected: Option<ThreadKey>,
    /// The cursor's row.
    pub cursor: usize,
    /// The signal under the cursor.
    pub signal: Option<SignalKey>,
    /// The pair that is looked at.
    pub blame: blame::Choice,
    /// The finding that is looked at.
    pub finding: found::Choice,
    /// The durations that are looked at.
    pub histograms: histograms::Choice,
    /// What is looked at of the timeline.
    pub timeline: timeline::Choice,
    /// The convoy under the cursor.
    pub convoy: Option<ConvoyKey>,
    /// The core that is looked at.
    pub cores: cores::Choice,
    /// The process that all views are of; `None`: the first.
    pub process: Option<ProcessKey>,
    /// The process under the cursor in their list.
    pub listed: Option<ProcessKey>,
    /// Whose durations are shown.
    pub whose: Whose,
    /// What recent figures are of.
    pub window: Window,
    /// Place in [`ZOOMS`].
    pub zoom: usize,
    /// How many GILs further than the first one.
    pub gil: usize,
    /// Rows of the view's table on the screen, as it was drawn last.
    pub page: usize,
    /// Findings that are not told.
    pub allowed: Allowed,
    /// Which keys are on which action.
    pub keys: Keymap,
    /// Which columns the thread table has.
    pub columns: Columns,
}

impl Default for State {
    fn default() -> State {
        State {
            view: View::Overview,
            panel: Panel::All,
            sort: Sort::by(Column::Wait),
            ended: Ended::Together,
            filter: String::new(),
            focus: Focus::Screen,
            notice: None,
            selected: None,
            cursor: 0,
            signal: None,
            blame: blame::Choice::default(),
            finding: found::Choice::default(),
            histograms: histograms::Choice::default(),
            timeline: timeline::Choice::default(),
            convoy: None,
            cores: cores::Choice::default(),
            process: None,
            listed: None,
            whose: Whose::All,
            window: Window::Ten,
            zoom: 3,
            gil: 0,
            page: 10,
            allowed: Allowed::NONE,
            keys: Keymap::default(),
            columns: Columns::default(),
        }
    }
}

/// What a key leads to beyond a change of [`State`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Something for the session.
    Ask(Command),
    /// Draw everything afresh.
    Redraw,
    /// Write the screen as a picture.
    Snapshot,
    /// Give the terminal back for a while.
    Suspend,
    /// Leave.
    Quit,
    /// Leave with a report.
    QuitWithReport,
}

impl State {
    /// Time in one column of the lanes.
    pub fn column(&self) -> Ns {
        ZOOMS.get(self.zoom).copied().unwrap_or(Ns::SECOND)
    }

    /// Takes a key. `rows` are as they are on the screen.
    pub fn press(&mut self, event: &KeyEvent, rows: &Rows, frame: &Frame, session: Capabilities) -> Effect {
        let press = Press::of(event);
        self.notice = None;
        match &mut self.focus {
            Focus::Filter { .. } | Focus::Instant { .. } => return self.edit(event, press, frame, session),
            Focus::Help { scrolled } => {
                let step = match self.keys.action(press, session, self.view) {
                    Some(Action::Down) => 1,
                    Some(Action::PageDown) => 10,
                    Some(Action::Up) => -1,
                    Some(Action::PageUp) => -10,
                    Some(Action::Quit) => return Effect::Quit,
                    Some(Action::Suspend) => return Effect::Suspend,
                    Some(Action::Redraw) => return Effect::Redraw,
                    _ => {
                        self.focus = Focus::Screen;
                        return Effect::Nothing;
                    }
                };
                *scrolled = scrolled.saturating_add_signed(step);
                return Effect::Nothing;
            }
            Focus::Screen => {}
        }
        match self.keys.action(press, session, self.view) {
            Some(action) => self.act(action, rows, frame),
            None => Effect::Nothing,
        }
    }

    /// A key while something is typed.
    fn edit(&mut self, event: &KeyEvent, press: Press, frame: &Frame, session: Capabilities) -> Effect {
        let with_control = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::Enter => return self.typed(frame, session),
            KeyCode::Esc => {
                if let Focus::Filter { before } = std::mem::replace(&mut self.focus, Focus::Screen) {
                    self.filter = before;
                }
            }
            KeyCode::Backspace => drop(self.text().pop()),
            KeyCode::Char('u') if with_control => self.text().clear(),
            KeyCode::Char(c) if !with_control && !event.modifiers.contains(KeyModifiers::ALT) && !c.is_control() => {
                let text = self.text();
                if text.chars().count() < TYPED_MOST {
                    text.push(c);
                }
            }
            _ => match self.keys.action(press, session, self.view) {
                Some(Action::Quit) => return Effect::Quit,
                Some(Action::Suspend) => return Effect::Suspend,
                Some(Action::Redraw) => return Effect::Redraw,
                _ => {}
            },
        }
        Effect::Nothing
    }

    /// The text that is typed.
    fn text(&mut self) -> &mut String {
        match &mut self.focus {
            Focus::Instant { typed } => typed,
            Focus::Screen | Focus::Filter { .. } | Focus::Help { .. } => &mut self.filter,
        }
    }

    /// What was typed is as it should be.
    fn typed(&mut self, frame: &Frame, session: Capabilities) -> Effect {
        if let Focus::Instant { typed } = &self.focus
            && !typed.trim().is_empty()
        {
            match instant::read(typed, &Transport::of(frame, session)) {
                Ok(at) => {
                    self.focus = Focus::Screen;
                    return Effect::Ask(Command::SeekTo(at));
                }
                Err(why) => {
                    // It can be mended.
                    self.notice = Some(why);
                    return Effect::Nothing;
                }
            }
        }
        self.focus = Focus::Screen;
        Effect::Nothing
    }

    fn act(&mut self, action: Action, rows: &Rows, frame: &Frame) -> Effect {
        let status = &frame.status;
        match action {
            Action::Quit => return Effect::Quit,
            Action::QuitWithReport => return Effect::QuitWithReport,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            Action::Snapshot => return Effect::Snapshot,
            Action::Help => self.focus = Focus::Help { scrolled: 0 },
            Action::Up => self.go(self.row(rows).saturating_sub(1), rows),
            Action::Down => self.go(self.row(rows).saturating_add(1), rows),
            Action::PageUp => self.turn_page(-1, rows),
            Action::PageDown => self.turn_page(1, rows),
            Action::First => self.go(0, rows),
            Action::Last => self.go(usize::MAX, rows),
            Action::Left => self.blame.step(-1, &rows.blame),
            Action::Right => self.blame.step(1, &rows.blame),
            Action::Open => self.open(rows),
            Action::Measure => self.blame.turn(),
            Action::Compare => self.histograms.compare(rows.durations.get(self.row(rows)).copied()),
            Action::CompareMark => return self.compare_with_mark(frame),
            Action::Fold => self.cores.turn(),
            Action::Visit => return seek(rows.convoys.get(self.row(rows)).map(|(_, end)| *end)),
            Action::Show(View::Processes) if rows.processes_known < 2 => {
                self.notice = Some("there is one process only".to_owned());
            }
            Action::Show(view) => self.view = view,
            Action::NextView => self.view = self.view.step(1, rows.processes_known),
            Action::PreviousView => self.view = self.view.step(-1, rows.processes_known),
            Action::SortNext => self.sort = Sort::by(self.sort.column.step(1)),
            Action::SortPrevious => self.sort = Sort::by(self.sort.column.step(-1)),
            Action::Reverse => self.sort = self.sort.reversed(),
            Action::Filter => self.focus = Focus::Filter { before: self.filter.clone() },
            Action::Select if rows.together.get(self.cursor) == Some(&true) => self.ended = Ended::Apart,
            Action::Select => match self.whose {
                Whose::All => {
                    self.go(self.cursor, rows);
                    self.whose = Whose::Selected;
                }
                Whose::Selected => self.whose = Whose::All,
            },
            Action::Back => self.back(rows),
            Action::NextPanel => self.turn(1),
            Action::PreviousPanel => self.turn(PANELS.len() - 1),
            Action::Window => {
                self.window = match self.window {
                    Window::Second => Window::Ten,
                    Window::Ten => Window::Whole,
                    Window::Whole => Window::Second,
                }
            }
            Action::NextGil => self.gil = self.gil.wrapping_add(1),
            Action::ZoomIn if self.view == View::Timeline => {
                let zoom = self.timeline.zoom.saturating_sub(1);
                return seek(self.timeline.zoom_to(zoom, &rows.timeline));
            }
            Action::ZoomOut if self.view == View::Timeline => {
                return seek(self.timeline.zoom_to(self.timeline.zoom + 1, &rows.timeline));
            }
            Action::CursorBack => return seek(self.timeline.step(Way::Back, 1, &rows.timeline)),
            Action::CursorAhead => return seek(self.timeline.step(Way::Ahead, 1, &rows.timeline)),
            Action::PanBack => return seek(self.timeline.pan(Way::Back, &rows.timeline)),
            Action::PanAhead => return seek(self.timeline.pan(Way::Ahead, &rows.timeline)),
            Action::MarkSpan => return seek(self.timeline.mark_span(&rows.timeline)),
            Action::ZoomToSpan => return seek(self.timeline.zoom_to_span(&rows.timeline)),
            Action::ZoomIn => self.zoom = self.zoom.saturating_sub(1),
            Action::ZoomOut => self.zoom = (self.zoom + 1).min(ZOOMS.len() - 1),
            Action::Pause => {
                if matches!(status.play, Play::Paused | Play::Ended) {
                    self.timeline.follow();
                }
                return Effect::Ask(match status.play {
                    Play::Live | Play::Replaying => Command::Pause,
                    Play::Paused | Play::Ended => Command::Resume,
                });
            }
            Action::StepBack => return Effect::Ask(Command::Step(-1)),
            Action::StepAhead => return Effect::Ask(Command::Step(1)),
            Action::JumpBack => return Effect::Ask(Command::Move(Shift::Back(JUMP))),
            Action::JumpAhead => return Effect::Ask(Command::Move(Shift::Ahead(JUMP))),
            Action::GoTo => self.focus = Focus::Instant { typed: String::new() },
            Action::Beginning => return Effect::Ask(Command::SeekTo(status.range.from)),
            Action::End => return Effect::Ask(Command::SeekTo(status.range.to)),
            Action::Slower => return Effect::Ask(Command::Speed(status.speed / 2.0)),
            Action::Faster => return Effect::Ask(Command::Speed(status.speed * 2.0)),
            Action::Mark => return Effect::Ask(Command::Mark),
            Action::PreviousMark => return seek(marks(frame).rfind(|at| *at < status.position)),
            Action::NextMark => return seek(marks(frame).find(|at| *at > status.position)),
            Action::Record => {
                return Effect::Ask(match status.recording {
                    None => Command::RecordStart,
                    Some(_) => Command::RecordStop,
                });
            }
        }
        Effect::Nothing
    }

    /// Before and after the newest mark, or the one before the last.
    fn compare_with_mark(&mut self, frame: &Frame) -> Effect {
        let before = self.histograms.mark.unwrap_or(MonoNs(u64::MAX));
        let mark = marks(frame).rfind(|at| *at < before);
        if mark.is_none() && self.histograms.mark.is_none() {
            self.notice = Some("there is no mark yet to compare before and after".to_owned());
            return Effect::Nothing;
        }
        self.histograms.mark = mark;
        Effect::Ask(Command::CompareWith(mark))
    }

    /// One step back.
    fn back(&mut self, rows: &Rows) {
        match (self.view, self.whose, self.selected) {
            (View::Interrupts, ..) if self.signal.is_some() => self.signal = None,
            (View::Convoys, ..) if self.convoy.is_some() => self.convoy = None,
            (View::Findings, ..) if self.finding != found::Choice::default() => self.finding = found::Choice::default(),
            (View::Blame, ..) if self.blame.back().is_some() => {}
            (View::Histograms, ..) if self.histograms.back().is_some() => {}
            (View::Timeline, ..) if self.timeline.back().is_some() => {}
            (View::Blame | View::Histograms | View::Convoys | View::Timeline, ..) if !self.filter.is_empty() => {
                self.filter.clear();
            }
            (View::Cores, ..) if self.cores.back().is_some() => {}
            (
                View::Interrupts
                | View::Convoys
                | View::Findings
                | View::Blame
                | View::Histograms
                | View::Timeline
                | View::Cores,
                ..,
            ) => {
                self.view = View::Overview;
            }
            (View::Overview, Whose::Selected, _) => self.whose = Whose::All,
            (View::Overview, Whose::All, Some(_)) => self.selected = None,
            (View::Overview, Whose::All, None) if self.ended == Ended::Apart => self.ended = Ended::Together,
            (View::Overview, Whose::All, None) if !self.filter.is_empty() => self.filter.clear(),
            (View::Overview, Whose::All, None) if self.panel != Panel::All => self.panel = Panel::All,
            (View::Overview, Whose::All, None) if rows.processes_known > 1 => self.view = View::Processes,
            (View::Overview, Whose::All, None) => {}
            (View::Processes, ..) => self.listed = None,
        }
    }

    /// The row under the cursor, which may have moved since `rows` were drawn.
    pub(super) fn row(&self, rows: &Rows) -> usize {
        match self.view {
            View::Overview => self.cursor,
            View::Interrupts => place(&rows.signals, self.signal).unwrap_or(rows.signal),
            View::Blame => self.blame.row(&rows.blame, rows.reach),
            View::Convoys => {
                let chosen = rows.convoys.iter().position(|(key, _)| Some(*key) == self.convoy);
                chosen.unwrap_or(rows.convoy)
            }
            View::Cores => place(&rows.cores, self.cores.row).unwrap_or(rows.core),
            View::Timeline => place(&rows.timeline.threads, self.timeline.thread).unwrap_or(rows.timeline.row),
            View::Histograms => place(&rows.durations, self.histograms.row).unwrap_or(rows.duration),
            View::Findings => place(&rows.findings, self.finding.row).unwrap_or(rows.finding),
            View::Processes => place(&rows.processes, self.listed).unwrap_or(rows.process),
        }
    }

    pub(super) fn go(&mut self, row: usize, rows: &Rows) {
        match self.view {
            View::Overview => {
                self.cursor = row.min(rows.threads.len().saturating_sub(1));
                self.selected = rows.threads.get(self.cursor).copied();
            }
            View::Interrupts => {
                let row = row.min(rows.signals.len().saturating_sub(1));
                self.signal = rows.signals.get(row).copied();
            }
            View::Blame => self.blame.go(row, &rows.blame, rows.reach),
            View::Cores => {
                let row = row.min(rows.cores.len().saturating_sub(1));
                self.cores.row = rows.cores.get(row).copied();
            }
            View::Timeline => {
                let row = row.min(rows.timeline.threads.len().saturating_sub(1));
                self.timeline.thread = rows.timeline.threads.get(row).copied();
            }
            View::Histograms => {
                let row = row.min(rows.durations.len().saturating_sub(1));
                self.histograms.row = rows.durations.get(row).copied();
            }
            View::Convoys => {
                let row = row.min(rows.convoys.len().saturating_sub(1));
                self.convoy = rows.convoys.get(row).map(|(key, _)| *key);
            }
            View::Findings => {
                let row = row.min(rows.findings.len().saturating_sub(1));
                self.finding = found::Choice { row: rows.findings.get(row).copied(), scrolled: 0 };
            }
            View::Processes => {
                let row = row.min(rows.processes.len().saturating_sub(1));
                self.listed = rows.processes.get(row).copied();
            }
        }
    }

    /// By so many screens. Where the rows have a text below them, it is that which moves.
    fn turn_page(&mut self, pages: isize, rows: &Rows) {
        let lines = pages.saturating_mul(isize::try_from(self.page.max(1)).unwrap_or(isize::MAX));
        match self.view {
            View::Findings => self.scroll(lines, rows),
            _ => self.go(self.row(rows).saturating_add_signed(lines), rows),
        }
    }

    pub(super) fn scroll(&mut self, lines: isize, rows: &Rows) {
        let from = self.finding.scrolled.min(rows.reach);
        self.finding.scrolled = from.saturating_add_signed(lines).min(rows.reach);
    }

    /// Looks closer.
    pub(super) fn open(&mut self, rows: &Rows) {
        match (self.view, rows.findings.get(self.row(rows))) {
            (View::Blame, _) => self.blame.open(&rows.blame),
            (View::Processes, _) => self.look_into(rows.processes.get(self.row(rows)).copied()),
            (View::Findings, Some(FoundKey::Finding(name, _))) => self.view = shows(*name).unwrap_or(self.view),
            _ => {}
        }
    }

    /// All views are of this process from here on. What was chosen in them was of another one.
    fn look_into(&mut self, process: Option<ProcessKey>) {
        if process.is_some() && process != self.process {
            let State { panel, sort, cores, window, zoom, page, allowed, keys, columns, .. } = std::mem::take(self);
            let of = State { process, listed: process, panel, sort, cores, ..State::default() };
            *self = State { window, zoom, page, allowed, keys, columns, ..of };
        }
        self.view = View::Overview;
    }

    fn turn(&mut self, steps: usize) {
        let here = PANELS.iter().position(|panel| *panel == self.panel).unwrap_or(0);
        self.panel = PANELS.get((here + steps) % PANELS.len()).copied().unwrap_or(Panel::All);
    }
}

fn place<T: PartialEq + Copy>(rows: &[T], chosen: Option<T>) -> Option<usize> {
    rows.iter().position(|row| Some(*row) == chosen)
}

fn marks(frame: &Frame) -> impl DoubleEndedIterator<Item = MonoNs> {
    frame.status.marks.iter().map(|mark| mark.at)
}

fn seek(at: Option<MonoNs>) -> Effect {
    at.map_or(Effect::Nothing, |at| Effect::Ask(Command::SeekTo(at)))
}
