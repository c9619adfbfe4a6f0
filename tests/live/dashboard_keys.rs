//! Every key of the help, pressed in a real terminal: on a real process, and on a recording of it.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use gilscope::dashboard::action::{Action, BINDINGS, Binding};
use gilscope::dashboard::keys::{Control, Press};
use gilscope::dashboard::views::View;
use gilscope::session::{Ability, Capabilities, Origin};
use ratatui::crossterm::event::KeyCode;

use crate::dashboard::{Terminal, attach, convoy, key_of, recorded_in};
use crate::support::alone;

/// What a key shows.
enum Shows {
    /// This text.
    Text(&'static str),
    /// That no longer.
    No(&'static str),
    /// Another first line with this in it.
    Another(&'static str),
    /// A row in reverse.
    Row,
    /// This view.
    View(View),
    /// What depends on the program: it goes on.
    Something,
    /// The way out: pressed in a terminal of its own.
    Out,
}

/// What it is for an action, pressed in the first of its views with nothing chosen.
fn shows(action: Action, origin: Origin) -> Shows {
    match action {
        Action::Quit | Action::QuitWithReport | Action::Suspend => Shows::Out,
        Action::Help => Shows::Text("Help 1-"),
        Action::Snapshot => Shows::Text("the screen is in gilscope-"),
        Action::Pause if origin == Origin::Recording => Shows::Text("REPLAY"),
        Action::Pause | Action::StepBack | Action::StepAhead | Action::JumpBack | Action::JumpAhead => {
            Shows::Text("PAUSED")
        }
        Action::Beginning | Action::End | Action::Visit | Action::PreviousMark => Shows::Text("PAUSED"),
        Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First | Action::Last => Shows::Row,
        Action::Open => Shows::Text("Its stack"),
        Action::Measure => Shows::Text("of each waiter's own"),
        Action::Compare => Shows::Text("◆"),
        Action::CompareMark => Shows::Text("before mark #"),
        Action::SortNext | Action::SortPrevious | Action::Reverse => Shows::Another("─ Threads"),
        Action::Filter => Shows::Text("filter: "),
        Action::GoTo => Shows::Text("go to: "),
        Action::Select => Shows::Text("Esc closes"),
        // Where there is one, it has no list.
        Action::Show(View::Processes) => Shows::Text("there is one process only"),
        Action::Show(view) => Shows::View(view),
        Action::NextView => Shows::View(View::Overview.step(1, 1)),
        Action::PreviousView => Shows::View(View::Overview.step(-1, 1)),
        Action::NextPanel => Shows::No("Waits of all threads"),
        Action::PreviousPanel => Shows::No("─ Threads"),
        Action::Window => Shows::Text("over all"),
        Action::ZoomIn | Action::ZoomOut => Shows::Another("GIL by core"),
        Action::Slower => Shows::Text("x1/2"),
        Action::Faster => Shows::Text("x1 "),
        Action::Record => Shows::Text("REC"),
        Action::CursorBack | Action::CursorAhead | Action::PanBack | Action::PanAhead | Action::MarkSpan => {
            Shows::Text("stands still")
        }
        Action::ZoomToSpan => Shows::Something,
        Action::Redraw | Action::Back | Action::NextGil | Action::Mark | Action::NextMark => Shows::Something,
        Action::Left | Action::Right => Shows::Something,
        // A machine with few cores has nothing to fold.
        Action::Fold => Shows::Something,
    }
}

/// What a terminal sends for a key.
fn bytes(press: Press) -> String {
    let named = |bytes: &str| bytes.to_owned();
    match (press.code, press.control) {
        (KeyCode::Char(c), Control::Held) => char::from(c as u8 - b'a' + 1).to_string(),
        (KeyCode::Char(c), Control::Free) => c.to_string(),
        (KeyCode::Enter, _) => named("\r"),
        (KeyCode::Esc, _) => named("\u{1b}"),
        (KeyCode::Tab, _) => named("\t"),
        (KeyCode::BackTab, _) => named("\u{1b}[Z"),
        (KeyCode::Up, _) => named("\u{1b}[A"),
        (KeyCode::Down, _) => named("\u{1b}[B"),
        (KeyCode::Right, _) => named("\u{1b}[C"),
        (KeyCode::Left, _) => named("\u{1b}[D"),
        (KeyCode::Home, _) => named("\u{1b}[H"),
        (KeyCode::End, _) => named("\u{1b}[F"),
        (KeyCode::PageUp, _) => named("\u{1b}[5~"),
        (KeyCode::PageDown, _) => named("\u{1b}[6~"),
        (KeyCode::F(1), _) => named("\u{1b}OP"),
        (other, _) => panic!("what a terminal sends for {other:?} has to be said here"),
    }
}

fn offered(origin: Origin) -> impl Iterator<Item = &'static Binding> {
    let recording = if origin == Origin::Live { Ability::Can } else { Ability::Cannot };
    let session = Capabilities { origin, past: Ability::Can, recording };
    BINDINGS.iter().filter(move |binding| binding.needs.met_by(session))
}

/// Back to the overview with nothing open, and to what happens now.
fn settle(terminal: &mut Terminal, origin: Origin) {
    for _ in 0..5 {
        terminal.press("\u{1b}");
        // What follows an Esc too soon is a key with Alt.
        thread::sleep(Duration::from_millis(60));
    }
    terminal.press("1");
    terminal.until("the overview", |_| terminal.tab() == Some(View::Overview));
    match origin {
        Origin::Live => {
            if terminal.text().contains("PAUSED") {
                terminal.press(" ");
            }
            terminal.until_shown("LIVE");
        }
        Origin::Recording => {
            terminal.press("e");
            terminal.until("its end", |screen| screen.contains("PAUSED") && screen.contains("io-echo"));
        }
    }
}

fn press_every_key(terminal: &mut Terminal, origin: Origin) -> usize {
    let mut pressed = 0;
    for binding in offered(origin) {
        for press in binding.keys {
            let what = format!("{press} ({})", binding.action.name());
            let shows = shows(binding.action, origin);
            if matches!(shows, Shows::Out) {
                continue;
            }
            settle(terminal, origin);
            let view = *binding.views.first().expect("a view");
            terminal.press(&bytes(*view.keys().first().expect("a key")));
            terminal.until(&format!("the view of {what}"), |_| terminal.tab() == Some(view));
            if matches!(binding.action, Action::Open | Action::Measure) {
                terminal.until_shown("behind cpu-hog");
            }
            let line = |screen: &str, with: &str| screen.lines().find(|line| line.contains(with)).map(str::to_owned);
            let before = terminal.text();
            terminal.press(&bytes(*press));
            terminal.until(&what, |screen| match &shows {
                Shows::Text(text) => screen.contains(text),
                Shows::No(text) => !screen.contains(text) && screen.contains("q quit"),
                Shows::Another(with) => line(screen, with).is_some_and(|new| line(&before, with) != Some(new)),
                Shows::Row => terminal.has_row_in_reverse(),
                Shows::View(view) => terminal.tab() == Some(*view),
                Shows::Something | Shows::Out => screen.contains("q quit"),
            });
            pressed += 1;
        }
    }
    settle(terminal, origin);
    pressed
}

#[test]
fn every_key_of_the_help_does_what_it_says() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    terminal.resize(110, 40);
    // Blame needs a stack, convoys an episode.
    terminal.press(&key_of(View::Blame));
    terminal.until("a pair", |screen| screen.contains("io-echo behind cpu-hog") && screen.contains("convoy.py:"));
    terminal.press(&key_of(View::Convoys));
    terminal.until("a convoy", |screen| screen.contains("victim") && screen.contains("io-echo"));
    terminal.press("m");
    let pressed = press_every_key(&mut terminal, Origin::Live);
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    let mut replay = Terminal::open(directory.path(), &["replay", &recorded_in(directory.path())]);
    replay.resize(110, 40);
    replay.until_shown("REPLAY");
    let replayed = press_every_key(&mut replay, Origin::Recording);
    replay.press("q");
    assert_eq!(replay.ended(), 0);
    let all = |origin| offered(origin).map(|binding| binding.keys.len()).sum::<usize>();
    let out = ways_out().len();
    assert_eq!((pressed, replayed), (all(Origin::Live) - out, all(Origin::Recording) - out));
}

fn ways_out() -> Vec<Press> {
    let out = |binding: &&Binding| matches!(shows(binding.action, Origin::Live), Shows::Out);
    BINDINGS.iter().filter(out).flat_map(|binding| binding.keys.iter().copied()).collect()
}

/// `^Z` is pressed where it is followed back.
#[test]
fn every_key_that_leaves_gives_the_terminal_back() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let written: BTreeSet<String> = ways_out().iter().map(Press::to_string).collect();
    assert_eq!(written, BTreeSet::from(["Q", "^C", "^Z", "q"].map(str::to_owned)));
    for press in ways_out().into_iter().filter(|press| press.to_string() != "^Z") {
        let mut terminal = attach(&target, directory.path());
        terminal.press(&bytes(press));
        assert_eq!(terminal.ended(), 0, "{press}");
        assert_eq!(terminal.text().contains("own CPU"), press.to_string() == "Q", "{press}: {}", terminal.text());
    }
}
