//! The dashboard in a real terminal, on a real process and on a recording of it: what it shows, and how it leaves.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gilscope::dashboard::console::{Console, Heard};
use gilscope::dashboard::mouse::Mouse;
use gilscope::dashboard::terminal::Takeover;
use gilscope::dashboard::views::View;
use portable_pty::{CommandBuilder, MasterPty, PtyPair, PtySize, native_pty_system};
use vt100::MouseProtocolMode;

use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::newest_with_gil;

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with gilscope in it.
pub struct Terminal {
    pair: PtyPair,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
}

impl Terminal {
    pub fn open(directory: &Path, arguments: &[&str]) -> Terminal {
        Terminal::with(Path::new(env!("CARGO_BIN_EXE_gilscope")), directory, arguments)
    }

    fn with(program: &Path, directory: &Path, arguments: &[&str]) -> Terminal {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pty");
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(directory);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        command.env_remove("NO_COLOR");
        command.env_remove("RUST_BACKTRACE");
        let child = pair.slave.spawn_command(command).expect("gilscope starts");
        let keys = pair.master.take_writer().expect("a writer");
        let mut output = pair.master.try_clone_reader().expect("a reader");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let parsed = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                parsed.lock().unwrap().process(&bytes[..count]);
            }
        });
        Terminal { pair, keys, screen, child }
    }

    fn pid(&self) -> u32 {
        self.child.process_id().expect("a pid")
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys are taken");
        self.keys.flush().expect("keys are taken");
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(cells(rows), cells(cols));
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.pair.master.resize(size).expect("it takes a size");
    }

    /// Waits until the screen is as it should be.
    pub fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let shown = std::cell::RefCell::new(String::new());
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(PATIENCE, what, || {
                *shown.borrow_mut() = self.text();
                is_so(&shown.borrow()).then_some(())
            });
        }));
        if let Err(panic) = done {
            eprintln!("the screen, while waiting for {what}:\n{}", shown.borrow());
            std::panic::resume_unwind(panic);
        }
    }

    pub fn until_shown(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Clicks where a text is, `beyond` columns further on.
    fn click(&mut self, text: &str, beyond: usize) {
        let shown = self.text();
        let found = shown.lines().enumerate().find_map(|(row, line)| {
            let column = line.find(text)?;
            Some((line[..column].chars().count() + beyond + 1, row + 1))
        });
        let (column, row) = found.unwrap_or_else(|| panic!("no {text} on:\n{shown}"));
        self.press(&format!("\u{1b}[<0;{column};{row}M\u{1b}[<0;{column};{row}m"));
    }

    /// Whose tab is in reverse.
    pub fn tab(&self) -> Option<View> {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        let rows: Vec<String> = screen.rows(0, screen.size().1.get()).collect();
        let is_reversed =
            |row: usize, column: usize| screen.cell(row as u16, column as u16).is_some_and(vt100::Cell::inverse);
        View::ALL.into_iter().find(|view| {
            rows.iter().enumerate().any(|(number, row)| {
                let place = row.find(&format!(" {} ", view.title()));
                place.is_some_and(|at| is_reversed(number, row[..at].chars().count() + 1))
            })
        })
    }

    /// Whether a row of a table is under the cursor.
    pub fn has_row_in_reverse(&self) -> bool {
        let parser = self.screen.lock().unwrap();
        let screen = parser.screen();
        (0..screen.size().0.get()).any(|row| screen.cell(row, 0).is_some_and(vt100::Cell::inverse))
    }

    pub fn mouse(&self) -> MouseProtocolMode {
        self.screen.lock().unwrap().screen().mouse_protocol_mode()
    }

    fn is_taken(&self) -> bool {
        let on_alternate = self.screen.lock().unwrap().screen().alternate_screen();
        on_alternate && !is_cooked(&*self.pair.master)
    }

    fn assert_restored(&self) {
        let parser = self.screen.lock().unwrap();
        assert!(!parser.screen().alternate_screen(), "still on the alternate screen");
        assert!(!parser.screen().hide_cursor(), "the cursor is still hidden");
        let mouse = parser.screen().mouse_protocol_mode();
        assert_eq!(mouse, MouseProtocolMode::None, "the mouse is still asked for");
        assert!(is_cooked(&*self.pair.master), "still in raw mode");
    }

    /// Waits for its end; its exit status.
    pub fn ended(&mut self) -> u32 {
        let status = eventually(PATIENCE, "gilscope to end", || self.child.try_wait().expect("it can be waited for"));
        // What it wrote last may still be on its way through the terminal.
        eventually(PATIENCE, "the alternate screen to be left", || {
            (!self.screen.lock().unwrap().screen().alternate_screen()).then_some(())
        });
        self.assert_restored();
        status.exit_code()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// The process's state, as `/proc` tells it.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a screen of some size")
}

fn is_cooked(terminal: &dyn MasterPty) -> bool {
    let modes = terminal.get_termios().expect("a terminal has modes");
    let flags = format!("{:?}", modes.local_flags);
    flags.contains("ECHO") && flags.contains("ICANON")
}

pub fn convoy() -> Child {
    let workload = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/workloads/convoy.py");
    Child::spawn(newest_with_gil().command().arg(workload).arg("300"))
}

pub fn attach(target: &Child, directory: &Path) -> Terminal {
    let terminal = Terminal::open(directory, &["attach", &target.pid().to_string()]);
    terminal.until("the figures", |screen| screen.contains("LIVE") && screen.contains("io-echo"));
    assert!(terminal.is_taken());
    terminal
}

#[test]
fn a_user_looks_around_and_leaves() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    terminal.until("contention", |screen| screen.contains("cpu-hog") && screen.contains("by wait"));
    terminal.press("s");
    terminal.until_shown("by hold");
    terminal.press("/hog\r");
    terminal.until("the filter", |screen| screen.contains("filter: hog") && !screen.contains("io-echo"));
    terminal.press("\u{1b}");
    terminal.until("all threads", |screen| screen.contains("io-echo") && !screen.contains("filter: "));
    terminal.resize(120, 40);
    terminal.until("the larger screen", |screen| {
        screen.lines().nth(39).is_some_and(|line| line.contains("q quit")) && screen.contains("time by state")
    });
    terminal.resize(40, 8);
    terminal.until_shown("needs 60x12, has 40x8");
    terminal.resize(100, 30);
    terminal.until_shown("Waits of all threads");
    terminal.press("?");
    terminal.until_shown("give the terminal back to the shell");
    terminal.press("x ");
    terminal.until_shown("PAUSED");
    terminal.press(" ");
    terminal.until_shown("LIVE");
    // The recording has what was before it was asked for, and is replayed in the same place.
    terminal.press("R");
    terminal.until_shown("REC");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    terminal.until_shown("recorded to gilscope-");
    let name = recorded_in(directory.path());
    let mut replay = Terminal::open(directory.path(), &["replay", &name]);
    replay.until("the replay", |screen| screen.contains("REPLAY") && screen.contains("io-echo"));
    replay.press("e");
    replay.until("its end", |screen| screen.contains("PAUSED") && screen.contains("cpu-hog"));
    assert!(!replay.text().contains("was not closed"), "{}", replay.text());
    replay.press("b ");
    replay.until_shown("REPLAY");
    replay.press("Q");
    assert_eq!(replay.ended(), 0);
    assert!(replay.text().contains("own CPU"), "no report was left:\n{}", replay.text());
}

/// A key that comes together with a change of size takes effect without another key after it.
#[test]
fn a_key_beside_a_change_of_size_is_heard() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    for n in 0..40 {
        terminal.resize(90 + n, 30);
        terminal.press("?");
        terminal.until("the help", |screen| screen.contains("this help"));
        terminal.press("?");
        terminal.resize(100 + n, 30);
        terminal.until("no help", |screen| !screen.contains("this help") && screen.contains("LIVE"));
    }
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

/// What the views show of a convoy, live and in a recording of it, by keys and by mouse.
#[test]
fn a_user_goes_through_the_views() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    terminal.resize(110, 34);
    // A key that comes together with the new size may stay unread until the next one comes.
    terminal.until("the new size", |screen| screen.lines().nth(33).is_some_and(|line| line.contains("quit")));
    look_through_the_views(&mut terminal);
    assert_eq!(terminal.mouse(), MouseProtocolMode::ButtonMotion);
    terminal.click("Histograms", 2);
    terminal.until("durations", |screen| screen.contains("Waits of all threads") && marked(screen).is_some());
    let io_echo = marked(&terminal.text()).expect("as just now");
    terminal.click(io_echo, 3);
    terminal.until_shown("Waits of io-echo");
    terminal.press("cj");
    terminal.until_shown("compared with io-echo");
    terminal.press("1R");
    terminal.until_shown("REC");
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    let recording = recorded_in(directory.path());
    let mut replay = Terminal::open(directory.path(), &["replay", "--no-mouse", &recording]);
    replay.resize(110, 34);
    replay.until_shown("REPLAY");
    assert_eq!(replay.mouse(), MouseProtocolMode::None, "it was not to be asked for");
    replay.press("e");
    replay.until("its end", |screen| screen.contains("PAUSED") && screen.contains("cpu-hog"));
    look_through_the_views(&mut replay);
    replay.press("q");
    assert_eq!(replay.ended(), 0);
}

/// The thread that does I/O with its letter, which depends on whether it was there when it was attached to.
fn marked(screen: &str) -> Option<&'static str> {
    ["a io-echo", "b io-echo", "c io-echo"].into_iter().find(|it| screen.contains(it))
}

/// Blame down to a stack, findings with their text, convoys: of a thread that does I/O beside one that computes.
fn look_through_the_views(terminal: &mut Terminal) {
    terminal.press(&key_of(View::Blame));
    terminal.until("the pair", |screen| screen.contains("io-echo behind cpu-hog") && screen.contains("convoy.py:"));
    terminal.press("\r");
    terminal.until("its stacks", |screen| screen.contains("Its stack") && screen.contains("convoy.py:"));
    terminal.press("\r");
    terminal.until("one stack", |screen| screen.contains("Its stack") && !screen.contains("samples "));
    terminal.press("\u{1b}");
    terminal.until("its stacks again", |screen| screen.contains("samples"));
    terminal.press("\u{1b}");
    terminal.until("the matrix again", |screen| screen.contains("scheduler"));
    terminal.press(&key_of(View::Findings));
    terminal.until("the finding", |screen| screen.contains("What to do") && screen.contains("convoy"));
    terminal.press("\u{1b}[6~\u{1b}[6~\u{1b}[6~");
    terminal.until_shown("Pinning the process to one");
    // Enter goes where the finding is shown; on a busy machine another one may be the first by then.
    terminal.press(&key_of(View::Convoys));
    terminal.until("the convoys", |screen| screen.contains("victim") && marked(screen).is_some());
    terminal.press(&key_of(View::Timeline));
    terminal.until("the lanes", |screen| screen.contains("a column") && screen.contains("goes with time"));
    // Beside one that computes, one that does I/O waits most of the time, and is handed the GIL by force.
    terminal.until("waits", |screen| screen.lines().any(|line| line.contains("io-echo") && line.contains("▒")));
    terminal.press("hhhhhhhhhh\rhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    terminal.until("a span", |screen| {
        screen.contains("Span") && screen.contains("handoffs") && screen.contains("forced") && screen.contains("GIL:")
    });
    terminal.press("+++");
    terminal.until("from near", |screen| screen.contains("1.00 ms a column") && screen.contains("stands still"));
    for _ in 0..3 {
        terminal.press("\u{1b}");
        // What follows an Esc too soon is a key with Alt.
        thread::sleep(Duration::from_millis(60));
    }
    terminal.until_shown("goes with time");
    terminal.press("j1");
    terminal.until_shown("Waits of all threads");
}

/// The key of a view.
pub fn key_of(view: View) -> String {
    view.keys().first().map(ToString::to_string).expect("it has one")
}

/// The recording that is there.
pub fn recorded_in(directory: &Path) -> String {
    let recording = std::fs::read_dir(directory)
        .expect("a directory")
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().ends_with(".gscope"))
        .expect("a recording");
    recording.file_name().to_string_lossy().into_owned()
}

#[test]
fn recording_under_the_dashboard_is_whole_when_it_ends_by_a_signal() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal =
        Terminal::open(directory.path(), &["record", "--live", "-p", &target.pid().to_string(), "-o", "it.gscope"]);
    terminal.until("the recording", |screen| screen.contains("REC it.gscope") && screen.contains("io-echo"));
    terminal.signal("TERM");
    assert_eq!(terminal.ended(), 0);
    let report = Child::spawn(gilscope().arg("report").arg(directory.path().join("it.gscope"))).succeed(PATIENCE);
    assert!(report.stdout.contains("io-echo"), "{}", report.stdout);
    assert!(!report.stderr.contains("not closed") && !report.stderr.contains("warning"), "{}", report.stderr);
}

#[test]
fn signals_give_the_terminal_back() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    for signal in ["TERM", "HUP", "INT"] {
        let mut terminal = attach(&target, directory.path());
        terminal.signal(signal);
        assert_eq!(terminal.ended(), 0, "{signal}");
    }
}

#[test]
fn suspended_it_gives_the_terminal_back_and_takes_it_again() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    for how in ["key", "signal"] {
        match how {
            "key" => terminal.press("\u{1a}"),
            _ => terminal.signal("TSTP"),
        }
        eventually(PATIENCE, "it to stop", || (terminal.state() == 'T').then_some(()));
        eventually(PATIENCE, "the screen it found", || {
            (!terminal.screen.lock().unwrap().screen().alternate_screen()).then_some(())
        });
        terminal.assert_restored();
        terminal.signal("CONT");
        terminal.until_shown("LIVE");
        eventually(PATIENCE, "the terminal to be taken again", || terminal.is_taken().then_some(()));
    }
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn the_targets_end_is_shown_until_the_user_leaves() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory");
    let target = convoy();
    let mut terminal = attach(&target, directory.path());
    drop(target);
    terminal.until("the end", |screen| screen.contains("ENDED") && screen.contains("the process has exited"));
    assert!(terminal.is_taken());
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn without_a_terminal_there_are_lines_and_a_report() {
    let _alone = alone();
    let target = convoy();
    let pid = target.pid().to_string();
    let mut short = Child::spawn(gilscope().args(["-p", &pid, "-r", "500"]));
    assert!(short.line(PATIENCE).contains("contention"));
    let ended = Child::spawn(gilscope().args(["attach", &pid, "-d", "2.5"])).succeed(PATIENCE);
    let lines = ended.stdout.lines().filter(|line| line.contains("load") && line.contains("handoffs")).count();
    assert!((2..=3).contains(&lines), "{}", ended.stdout);
    assert!(ended.stdout.contains("own CPU"), "no report:\n{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "escapes in:\n{}", ended.stdout);
    let missing = gilscope().args(["replay", "/nonexistent.gscope"]).output().expect("it runs");
    assert_eq!(missing.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent.gscope"));
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_readable() {
    for half in ["dashboard::a_panic_here", "dashboard::a_panic_elsewhere"] {
        let program = std::env::current_exe().expect("this program");
        let mut terminal = Terminal::with(
            &program,
            Path::new("/"),
            &["--exact", half, "--ignored", "--nocapture", "--test-threads=1"],
        );
        let _code = terminal.ended();
        terminal.until("the panic in words", |screen| screen.contains("it has broken"));
        assert!(terminal.text().contains("the terminal was taken"), "{half}: {}", terminal.text());
    }
}

fn taken() -> Takeover {
    let takeover = Takeover::begin(Mouse::Heard).expect("a terminal");
    assert!(is_raw(), "it was not taken");
    takeover
}

fn is_raw() -> bool {
    ratatui::crossterm::terminal::is_raw_mode_enabled().expect("a terminal")
}

#[test]
#[ignore = "half of a_panic_gives_the_terminal_back_and_is_readable, run by it in a terminal"]
fn a_panic_here() {
    let _takeover = taken();
    panic!("the terminal was taken, and then it has broken");
}

#[test]
#[ignore = "half of a_panic_gives_the_terminal_back_and_is_readable, run by it in a terminal"]
fn a_panic_elsewhere() {
    let mut takeover = taken();
    let _failed = thread::spawn(|| panic!("it has broken")).join();
    let heard = takeover.next(PATIENCE).expect("a terminal");
    assert!(is_raw(), "only the loop gives the terminal back");
    drop(takeover);
    let Some(Heard::Broken(words)) = heard else { panic!("{heard:?}") };
    eprintln!("the terminal was taken\n{words}");
}
