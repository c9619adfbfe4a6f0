//! The real loop on a screen in memory, with keys, clock and session of the test's own; and the table of keys.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gilscope::dashboard::action::{Action, BINDINGS, Group, markdown};
use gilscope::dashboard::console::{Clock, Console, Heard};
use gilscope::dashboard::keys::{Keymap, Press};
use gilscope::dashboard::state::State;
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::View;
use gilscope::dashboard::widgets::screen;
use gilscope::dashboard::{DashboardError, Leaving, REFRESH, Settings, run};
use gilscope::event::ThreadKey;
use gilscope::findings::{Allowed, Name};
use gilscope::session::{Capabilities, Command, Frame, Play, Watch};
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::crossterm::style::force_color_output;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::fixtures;
use crate::fixtures::frames::{FORGETFUL, LIVE, REPLAY, busy, frame};

/// A clock that goes on only while the loop listens.
#[derive(Default)]
struct Time(Cell<Duration>);

impl Clock for Time {
    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// A session that shows one frame, and what it was asked for.
struct Still {
    frame: RefCell<Arc<Frame>>,
    asked: RefCell<Vec<Command>>,
    capabilities: Capabilities,
}

impl Watch for Still {
    fn latest(&self) -> Arc<Frame> {
        Arc::clone(&self.frame.borrow())
    }

    fn send(&self, command: Command) {
        self.asked.borrow_mut().push(command);
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

/// What happens next.
pub enum Cue {
    Hear(Heard),
    /// Nothing happens for so long.
    Wait(Duration),
    Fail,
}

/// Plays cues; each key is given only after the screen shows what came of the one before.
struct Script<'a> {
    cues: VecDeque<Cue>,
    time: &'a Time,
    suspended: usize,
    kept: Vec<String>,
}

impl Console for Script<'_> {
    fn next(&mut self, limit: Duration) -> io::Result<Option<Heard>> {
        if limit.is_zero() {
            return Ok(None);
        }
        match self.cues.pop_front() {
            Some(Cue::Hear(heard)) => Ok(Some(heard)),
            Some(Cue::Wait(length)) if length > limit => {
                self.time.0.set(self.time.0.get() + limit);
                self.cues.push_front(Cue::Wait(length - limit));
                Ok(None)
            }
            Some(Cue::Wait(length)) => {
                self.time.0.set(self.time.0.get() + length);
                Ok(None)
            }
            Some(Cue::Fail) => Err(io::Error::other("the terminal is gone")),
            None => Ok(Some(Heard::Asked)),
        }
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.suspended += 1;
        Ok(())
    }

    fn keep(&mut self, svg: &str) -> io::Result<PathBuf> {
        self.kept.push(svg.to_owned());
        match self.kept.len() {
            1 => Ok(PathBuf::from("screen.svg")),
            _ => Err(io::Error::other("the disk is full")),
        }
    }
}

pub struct Played {
    pub outcome: Result<Leaving, DashboardError>,
    pub screen: Vec<String>,
    pub selected: Vec<usize>,
    /// Column and line of the cells in reverse.
    pub reversed: Vec<(u16, u16)>,
    pub asked: Vec<Command>,
    suspended: usize,
    kept: Vec<String>,
}

pub fn play_on(frame: Frame, capabilities: Capabilities, cues: Vec<Cue>) -> Played {
    play_with(Keymap::default(), frame, capabilities, cues)
}

/// The same with keys of the user's own.
fn play_with(keys: Keymap, frame: Frame, capabilities: Capabilities, cues: Vec<Cue>) -> Played {
    let still = Still { frame: RefCell::new(Arc::new(frame)), asked: RefCell::default(), capabilities };
    let time = Time::default();
    let mut script = Script { cues: cues.into(), time: &time, suspended: 0, kept: Vec::new() };
    let theme = Theme { depth: Depth::Mono, symbols: Symbols::Ascii };
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    let settings = Settings { keys, ..Settings::new(theme) };
    let outcome = run(&mut terminal, &mut script, &time, &still, &settings);
    let buffer = terminal.backend().buffer();
    let lines = 0..buffer.area.height;
    let screen: Vec<String> =
        lines.clone().map(|y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect()).collect();
    let is_reversed = |x: u16, y: u16| buffer[(x, y)].modifier.contains(Modifier::REVERSED);
    let cells = lines.clone().flat_map(|y| (0..buffer.area.width).map(move |x| (x, y)));
    let reversed: Vec<(u16, u16)> = cells.filter(|(x, y)| is_reversed(*x, *y)).collect();
    // Rows, and neither tabs nor cells.
    let selected = lines.filter(|y| is_reversed(0, *y)).map(usize::from).collect();
    let Script { suspended, kept, .. } = script;
    Played { outcome, screen, selected, reversed, asked: still.asked.into_inner(), suspended, kept }
}

pub fn key(code: KeyCode) -> Cue {
    Cue::Hear(Heard::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn ctrl(c: char) -> Cue {
    Cue::Hear(Heard::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

/// Keys pressed in a view.
pub fn on(view: View, keys: &str) -> String {
    format!("{}{keys}", view.keys()[0])
}

/// Keys, as they are typed.
pub fn typed(text: &str) -> Vec<Cue> {
    text.chars()
        .map(|c| match c {
            '\n' => key(KeyCode::Enter),
            '\u{1b}' => key(KeyCode::Esc),
            '\u{8}' => key(KeyCode::Backspace),
            c => key(KeyCode::Char(c)),
        })
        .collect()
}

fn play(text: &str) -> Played {
    play_on(frame(fixtures::typical(), Play::Live), LIVE, typed(text))
}

impl Played {
    pub fn has(&self, text: &str) -> bool {
        self.screen.iter().any(|line| line.contains(text))
    }

    /// The names in the thread table, from the top.
    fn names(&self) -> Vec<&str> {
        let first = self.screen.iter().position(|line| line.contains("S thread")).unwrap() + 1;
        self.screen[first..]
            .iter()
            .take_while(|line| !line.starts_with('-'))
            .filter_map(|l| l.get(4..14))
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect()
    }
}

#[test]
fn a_picture_of_the_screen_is_kept_and_said_where_until_the_next_key() {
    let kept = play("P");
    assert!(kept.has("the screen is in screen.svg"), "{:?}", kept.screen);
    let [picture] = &kept.kept[..] else { panic!("{} pictures", kept.kept.len()) };
    assert!(picture.starts_with("<svg ") && picture.contains("Overview"), "{picture}");
    assert!(!play("Pj").has("screen.svg"));
    assert!(play("PP").has("cannot write a picture of the screen: the disk is full"));
}

#[test]
fn keys_sort_filter_and_select() {
    assert_eq!(play("").names()[..3], ["http-2", "http-1", "report-bui"]);
    assert_eq!(play("s").names()[..3], ["report-bui", "http-1", "http-2"]);
    assert_eq!(play("sS").names()[..3], ["http-2", "http-1", "report-bui"]);
    // Ended threads stay last, in either direction.
    assert_eq!(play("i").names().last(), Some(&"http-3"));
    assert!(play("s").has("by hold v"));
    let filtered = play("/http\n");
    assert_eq!(filtered.names(), ["http-2", "http-1", "http-3"]);
    assert!(filtered.has("Threads 3 of 6") && filtered.has("filter: http"));
    assert_eq!(play("/httpX\u{8}\n").names().len(), 3);
    assert_eq!(play("/http\u{1b}").names().len(), 6, "Esc takes back what was typed");
    assert_eq!(play("/http\n\u{1b}").names().len(), 6, "Esc clears the filter");
    assert!(play("/zzz\n").has("no thread matches the filter"));
    // While a filter is typed, letters are letters.
    let typing = play("/q");
    assert_eq!(typing.outcome.unwrap(), Leaving::Quit);
    assert_eq!(typing.asked, []);
    assert!(play("/ q").has("filter:  q_"));
}

#[test]
fn the_cursor_is_one_reversed_row_and_stays_on_its_thread() {
    assert!(play("").selected.is_empty());
    let down = play("jj");
    assert_eq!(down.selected.len(), 1);
    assert!(down.screen[down.selected[0]].contains("report-builder"));
    let resorted = play("jjs");
    assert!(resorted.screen[resorted.selected[0]].contains("report-builder"));
    assert_ne!(down.selected, resorted.selected);
    let last = play("G");
    assert!(last.screen[last.selected[0]].contains("http-3"));
    assert_eq!(play("Gjjjj").selected, last.selected);
    assert_eq!(play("Ggkkk").selected, play("g").selected);
    assert!(play("g\n").has("Esc closes") && play("g\n").has("time lost") && !play("g\n").has("GIL by core"));
    assert!(play("g\n\n").has("Waits of all threads"));
    assert!(play("g\u{1b}").selected.is_empty());
}

#[test]
fn several_processes_have_a_list_and_all_views_are_of_one() {
    let play = |cues| play_on(frame(fixtures::processes(5), Play::Live), LIVE, cues);
    let is_list = |played: &Played| played.has("worst wait") && !played.has("GIL by core");
    let is_of = |played: &Played, pid: u32| played.has(&format!("pid {pid} ")) && played.has("GIL by core");
    // The first one's views, until another is chosen.
    assert!(is_of(&play(typed("")), 4242) && is_list(&play(typed("0"))));
    assert!(is_list(&play(vec![key(KeyCode::BackTab)])) && is_list(&play(typed("\u{1b}"))));
    // Those that lost most come first: 4242 and 4245; then those that lost nothing.
    assert!(is_of(&play(typed("0\n")), 4242) && is_of(&play(typed("0j\n")), 4245));
    assert!(is_list(&play(typed("0j\n\u{1b}"))) && play(typed("0j\n\u{1b}")).has(">alive"));
    assert!(play(typed("0j\n5")).has("pid 4245 "), "also the other views");
    let last = play(typed("0G"));
    assert!(last.screen[last.selected[0]].contains("ended"), "those that have ended come last");
    // What was chosen in the views of one process means nothing in those of another.
    assert!(play(typed("g0j\n")).selected.is_empty());
    // What the user has set up is not of a process.
    let own = Keymap::with(&[(Action::Show(View::Processes), vec![Press::read("x").unwrap()])]).unwrap();
    assert!(is_list(&play_with(own, frame(fixtures::processes(5), Play::Live), LIVE, typed("xj\nx"))));
    // One alone has no list.
    let alone = play_on(frame(fixtures::typical(), Play::Live), LIVE, typed("0"));
    assert!(alone.has("GIL by core") && alone.has("there is one process only"));
}

#[test]
fn tab_and_digits_choose_a_view() {
    let with = |cues| play_on(frame(fixtures::signals_to_a_busy_main(), Play::Live), LIVE, cues);
    let is_interrupts = |played: &Played| played.has("Where the time went") && !played.has("GIL by core");
    let is_overview = |played: &Played| !played.has("Where the time went") && played.has("GIL by core");
    assert!(is_overview(&with(typed(""))));
    assert!(is_interrupts(&with(typed(&on(View::Interrupts, "")))));
    let views = View::tabs(1);
    let place = views.iter().position(|view| *view == View::Interrupts).unwrap();
    assert!(is_interrupts(&with((0..place).map(|_| key(KeyCode::Tab)).collect())));
    assert!(is_interrupts(&with((place..views.len()).map(|_| key(KeyCode::BackTab)).collect())));
    assert!(is_overview(&with(views.iter().map(|_| key(KeyCode::Tab)).collect())));
    assert!(
        is_overview(&with(typed(&on(View::Interrupts, "1"))))
            && is_overview(&with(typed(&on(View::Interrupts, "\u{1b}"))))
    );
    for (place, view) in views.iter().copied().enumerate() {
        let played = with(typed(&(place + 1).to_string()));
        assert!(played.has(&format!(" {} {} ", place + 1, view.title())));
        assert!(BINDINGS.iter().any(|binding| binding.action == Action::Show(view)), "{view:?} is on no key");
    }
    // Its rows are signals. The one that came most often is looked at until another is chosen.
    assert!(with(typed(&on(View::Interrupts, ""))).has("Measured SIGUSR1 40x"));
    let up = with(typed(&on(View::Interrupts, "k")));
    assert!(up.has("Measured SIGINT 3x"));
    assert_eq!(up.selected.len(), 1);
    assert!(up.screen[up.selected[0]].contains("SIGINT"));
    assert!(
        with(typed(&on(View::Interrupts, "kj"))).has("Measured SIGUSR1")
            && with(typed(&on(View::Interrupts, "gG"))).has("Measured SIGUSR1")
    );
    assert!(
        with(typed(&on(View::Interrupts, "k\u{1b}"))).has("Measured SIGUSR1")
            && with(typed(&on(View::Interrupts, "k\u{1b}"))).selected.is_empty()
    );
    // Keys of the overview do nothing here, and are not offered.
    let typing = with(typed(&on(View::Interrupts, "/")));
    assert!(is_interrupts(&typing) && !typing.has("filter:") && !typing.has("Enter one thread"));
    assert!(with(typed(&on(View::Interrupts, "s1"))).has("by wait v"), "nor does it sort");
}

#[test]
fn panels_of_the_overview_are_shown_alone() {
    assert!(play("v").has("Threads 6") && !play("v").has("GIL by core"));
    assert!(play("vv").has("GIL by core") && !play("vv").has("Threads 6"));
    assert!(play("V").has("Waits of all") && play("vvvv").has("Threads 6"));
}

#[test]
fn commands_reach_the_session_only_if_it_can() {
    let at = |seconds: u64| fixtures::START + gilscope::time::Ns(seconds * 1_000_000_000);
    assert_eq!(play(" ").asked, [Command::Pause]);
    assert_eq!(play("[]").asked, [Command::Step(-1), Command::Step(1)]);
    assert_eq!(play("be").asked, [Command::SeekTo(at(0)), Command::SeekTo(at(21))]);
    assert_eq!(play("Rm<").asked, [Command::RecordStart, Command::Mark], "live has no speed");
    let paused = play_on(frame(fixtures::typical(), Play::Paused), LIVE, typed(" "));
    assert_eq!(paused.asked, [Command::Resume]);
    let replay = play_on(frame(fixtures::typical(), Play::Replaying), REPLAY, typed("><R"));
    assert_eq!(replay.asked, [Command::Speed(2.0), Command::Speed(0.5)]);
    let forgetful = play_on(frame(fixtures::typical(), Play::Live), FORGETFUL, typed("[]be{}mR"));
    assert_eq!(forgetful.asked, []);
}

/// Paused, with marks after 0, 3 and 9 s.
fn marked() -> Frame {
    let mut frame = busy(frame(fixtures::typical(), Play::Paused));
    (frame.status.recording, frame.status.seeking) = (None, None);
    frame
}

#[test]
fn one_goes_to_an_instant_that_is_typed() {
    let at = |ms: u64| fixtures::START + gilscope::time::Ns::from_millis(ms);
    let with = |keys: &str| play_on(marked(), REPLAY, typed(keys));
    assert_eq!(with("t3.5\n").asked, [Command::SeekTo(at(3_500))]);
    assert_eq!(with("t0:04\n").asked, [Command::SeekTo(at(4_000))]);
    assert_eq!(with("t-10s\n").asked, [Command::SeekTo(at(2_000))]);
    assert_eq!(with("t+1\n").asked, [Command::SeekTo(at(13_000))]);
    assert_eq!(with("t#2\n").asked, [Command::SeekTo(at(3_000))]);
    assert!(with("t#2").has("go to: #2_"));
    // What is wrong is said, and can be mended; Esc stays.
    let wrong = with("tsoon\n");
    assert!(wrong.asked.is_empty() && wrong.has("`soon` is no instant"));
    assert_eq!(with("tsoon\n\u{8}\u{8}\u{8}\u{8}5\n").asked, [Command::SeekTo(at(5_000))]);
    assert!(with("t99\n").has("there is nothing at 1:39.000, only from 0.000 s to 21.000 s"));
    assert!(with("t5\u{1b}").asked.is_empty() && with("t\n").asked.is_empty());
    // Letters are letters meanwhile.
    assert_eq!(with("tq").outcome.unwrap(), Leaving::Quit);
    assert!(with("tq").has("go to: q_"));
    assert!(play_on(frame(fixtures::typical(), Play::Live), FORGETFUL, typed("t5\n")).asked.is_empty());
}

#[test]
fn keys_are_where_the_user_has_put_them_and_are_shown_there() {
    let keys = Keymap::with(&[
        (Action::Mark, vec![Press::read("K").unwrap(), Press::read("F5").unwrap()]),
        (Action::Help, vec![Press::read("F2").unwrap()]),
        (Action::Show(View::Blame), vec![Press::read("B").unwrap()]),
        (Action::Pause, vec![]),
    ]);
    let with = |cues| play_with(keys.clone().unwrap(), frame(fixtures::typical(), Play::Live), LIVE, cues);
    assert_eq!(with(typed("mK ")).asked, [Command::Mark]);
    assert_eq!(with(vec![key(KeyCode::F(5))]).asked, [Command::Mark]);
    let plain = with(vec![]);
    assert!(plain.has("F2 help") && plain.has(" B Blame ") && !plain.has("? help") && !plain.has("pause"));
    assert!(with(typed("B")).has("nobody has waited") || with(typed("B")).has("scheduler"));
    let help = with(vec![
        key(KeyCode::F(2)),
        key(KeyCode::PageDown),
        key(KeyCode::PageDown),
        key(KeyCode::PageDown),
        key(KeyCode::PageDown),
    ]);
    assert!(help.has("K F5") && help.has("set a mark"), "{:#?}", help.screen);
}

#[test]
fn every_way_out() {
    assert_eq!(play("q").outcome.unwrap(), Leaving::Quit);
    assert_eq!(play("Q").outcome.unwrap(), Leaving::WithReport);
    let quit = |cues| play_on(frame(fixtures::typical(), Play::Live), LIVE, cues).outcome;
    assert_eq!(quit(vec![ctrl('c')]).unwrap(), Leaving::Quit);
    assert_eq!(quit(vec![Cue::Hear(Heard::Asked)]).unwrap(), Leaving::Quit);
    let mut typing = typed("/abc");
    typing.push(ctrl('c'));
    typing.push(Cue::Fail);
    assert_eq!(quit(typing).unwrap(), Leaving::Quit);
    assert!(matches!(quit(vec![Cue::Fail]), Err(DashboardError::Terminal(why)) if why.contains("gone")));
    let broken = vec![Cue::Hear(Heard::Broken("it broke".to_owned()))];
    assert!(matches!(quit(broken), Err(DashboardError::Broken(why)) if why == "it broke"));
    let suspended = play_on(frame(fixtures::typical(), Play::Live), LIVE, vec![ctrl('z'), ctrl('l')]);
    assert_eq!(suspended.suspended, 1);
    assert!(suspended.has("* LIVE"), "drawn afresh");
}

#[test]
fn help_is_opened_scrolled_and_left() {
    let help = play("?");
    assert!(help.has("Help 1-") && help.has("q ^C") && !help.has("GIL by core"), "{:#?}", help.screen);
    assert!(play("?jj").has("Help 3-"));
    assert!(play("?x").has("GIL by core"));
    assert!(!play("?2").has("Where the time went"), "any key closes the help, and does no more");
    assert_eq!(play("?q").outcome.unwrap(), Leaving::Quit);
}

#[test]
fn a_frame_is_drawn_when_it_is_due_and_not_before() {
    struct Counting<'a> {
        time: &'a Time,
        frame: RefCell<Frame>,
        looks: Cell<u64>,
    }
    impl Watch for Counting<'_> {
        fn latest(&self) -> Arc<Frame> {
            self.looks.set(self.looks.get() + 1);
            // A new frame every 10 ms.
            let number = 2 + (self.time.now().as_millis() / 10) as u64;
            self.frame.borrow_mut().number = number;
            Arc::new(self.frame.borrow().clone())
        }
        fn send(&self, _: Command) {}
        fn capabilities(&self) -> Capabilities {
            LIVE
        }
    }
    let time = Time::default();
    let session =
        Counting { time: &time, frame: RefCell::new(frame(fixtures::idle(), Play::Live)), looks: Cell::new(0) };
    let mut script = Script {
        cues: VecDeque::from([Cue::Wait(Duration::from_secs(3))]),
        time: &time,
        suspended: 0,
        kept: Vec::new(),
    };
    let theme = Theme { depth: Depth::Mono, symbols: Symbols::Ascii };
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    run(&mut terminal, &mut script, &time, &session, &Settings::new(theme)).unwrap();
    let looks = session.looks.get();
    let expected = 3_000 / REFRESH.as_millis() as u64;
    assert!((expected..expected + 5).contains(&looks), "{looks} looks in 3 s");
}

#[test]
fn no_key_has_two_meanings_and_no_action_is_without_a_key() {
    let mut meanings: BTreeMap<String, Action> = BTreeMap::new();
    for binding in &BINDINGS {
        assert!(!binding.keys.is_empty() && !binding.help.is_empty() && !binding.views.is_empty(), "{binding:?}");
        assert!(BINDINGS.iter().filter(|other| other.action == binding.action).count() == 1, "{binding:?}");
        for (press, view) in binding.keys.iter().flat_map(|press| binding.views.iter().map(move |view| (press, *view)))
        {
            let taken = meanings.insert(format!("{press} in {view:?}"), binding.action);
            assert_eq!(taken, None, "in {view:?} {press} also means {:?}", binding.action);
            let event = KeyEvent::new(press.code, KeyModifiers::NONE);
            if press.to_string().starts_with('^') && press.to_string().len() > 1 {
                assert_ne!(Press::of(&event), *press);
            } else {
                let means = |session| Keymap::default().action(Press::of(&event), session, view);
                assert_eq!(means(REPLAY).or(means(LIVE)), Some(binding.action));
            }
        }
    }
    let keys = Keymap::default();
    assert_eq!(
        keys.offered(LIVE).chain(keys.offered(REPLAY)).map(|bound| bound.binding.help).collect::<BTreeSet<_>>().len(),
        BINDINGS.len()
    );
}

#[test]
fn help_and_readme_name_every_key() {
    let markdown = markdown();
    for binding in &BINDINGS {
        assert!(markdown.contains(binding.help), "{}", binding.help);
    }
    assert_eq!(markdown.lines().count(), BINDINGS.len() + 2);
    assert!(Group::ALL.iter().all(|group| BINDINGS.iter().any(|binding| binding.group == *group)));
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&markdown), "the README's table of keys should be:\n{markdown}");
}

/// Bytes for a terminal, kept.
#[derive(Clone, Default)]
struct Wire(std::rc::Rc<RefCell<Vec<u8>>>);

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes that a terminal gets for a screen with a selected row.
fn bytes_with_selection(theme: Theme) -> String {
    let frame = frame(fixtures::typical(), Play::Live);
    // The finding in the head names the same thread.
    let allowed = Allowed::NONE.and(Name::GilHog);
    let state = State { selected: Some(ThreadKey(1)), allowed, ..State::default() };
    let view = ViewModel::of(&frame, &state, LIVE);
    let wire = Wire::default();
    let fixed = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 80, 24)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(wire.clone()), fixed).unwrap();
    terminal.draw(|on| screen::draw(&view, theme, on.area(), on.buffer_mut())).unwrap();
    String::from_utf8(wire.0.take()).unwrap()
}

#[test]
fn without_colour_the_selection_is_still_reversed_when_its_text_is_written() {
    force_color_output(true);
    let bytes = bytes_with_selection(Theme { depth: Depth::Mono, symbols: Symbols::Ascii });
    // What an SGR sets: in black and white never a colour, and nothing empty, which would be a full reset.
    let mut reversed = false;
    let mut found = false;
    for piece in bytes.split("\u{1b}[").skip(1) {
        let end = piece.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        let (parameters, text) = piece.split_at(end);
        if text.starts_with('m') {
            for parameter in parameters.split(';') {
                assert!(
                    ["0", "1", "2", "4", "7", "22", "24", "27", "39", "49", "59"].contains(&parameter),
                    "{piece:?}"
                );
                match parameter {
                    "7" => reversed = true,
                    "0" | "27" => reversed = false,
                    _ => {}
                }
            }
        }
        found |= reversed && text.contains("report-builder");
        assert!(reversed || !text.contains("report-builder"), "{piece:?}");
    }
    assert!(found);
    let colored = bytes_with_selection(Theme { depth: Depth::Ansi16, symbols: Symbols::Ascii });
    assert!(colored.contains("38;5;"), "colours are written where there are to be some");
}
