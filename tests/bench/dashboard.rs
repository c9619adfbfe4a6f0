//! What the dashboard costs: the time of one frame in every view, its thread's share of a core at the refresh it has by
//! default, and the time from a key to the screen while ten thousand events a second come in.
//!
//! `cargo bench --bench dashboard -- [--threads 64] [--seconds 10] [--only frames|share|keys]`
//!
//! On a screen of 200x60, of a live process with that many threads, two of which compute, and of a made-up capture on a
//! machine with 256 cores and ten thousand events a second. A frame is everything from what the session hands over to the
//! bytes for the terminal, and to what keys and the mouse will mean. Aims: under 2 ms a frame, under 3 % of a core, under
//! 50 ms from key to screen.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and ends where it cannot measure"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "a benchmark uses a part of what the tests share")]
mod support;

#[path = "many_cores.rs"]
mod many_cores;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gilscope::capture::{Capture, Options, Precision, StackLooks, Stop};
use gilscope::dashboard::cores;
use gilscope::dashboard::mouse::Spots;
use gilscope::dashboard::state::{State, ZOOMS};
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::timeline;
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::View;
use gilscope::dashboard::widgets::screen;
use gilscope::event::{Origin, Pid};
use gilscope::instruments::schedule::Rate;
use gilscope::recording::{Existing, RecordingFile, Writer};
use gilscope::session::{Engine, Fed, Feed, Frame, Recorded, Session, Watch};
use gilscope::target::Target;
use gilscope::time::{MonoNs, Ns};
use many_cores::{Machine, Stream};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};
use support::pythons::newest_with_gil;

const SIZE: (u16, u16) = (200, 60);
/// Keys whose way to the screen is timed.
const KEYS: u32 = 100;
/// Draws of one view.
const DRAWS: usize = 500;
/// Of the made-up capture.
const CORES: u16 = 256;
const EVENTS: u64 = 10_000;

/// Two threads compute, the others sleep a few milliseconds and compute a little.
const WORKLOAD: &str = "
import sys, threading, time
def hog():
    while True:
        sum(range(2000))
def worker(pause):
    while True:
        time.sleep(pause)
        sum(range(500))
for i in range(2):
    threading.Thread(target=hog, name=f'hog-{i}', daemon=True).start()
for i in range(int(sys.argv[1]) - 3):
    threading.Thread(target=worker, args=(0.01 + 0.002 * i,), name=f'worker-{i}', daemon=True).start()
time.sleep(600)
";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Frames,
    Share,
    Keys,
}

fn main() {
    let (mut threads, mut seconds) = (64, 10);
    let mut parts = vec![Part::Frames, Part::Share, Part::Keys];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--threads" => threads = value().parse().expect("a number"),
            "--seconds" => seconds = value().parse().expect("a number"),
            "--only" => {
                parts = match value().as_str() {
                    "frames" => vec![Part::Frames],
                    "share" => vec![Part::Share],
                    "keys" => vec![Part::Keys],
                    other => panic!("{other} is not understood"),
                }
            }
            "--bench" => {}
            other => panic!("{other} is not understood"),
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let made_up = directory.path().join("made-up.gscope");
    write(&made_up, Duration::from_secs(seconds + 30), threads);
    let mut target = start(threads);
    thread::sleep(Duration::from_secs(1));
    let attached = vec!["attach".to_owned(), target.id().to_string()];
    let hurried = [attached.clone(), vec!["-r".to_owned(), "10k".to_owned()]].concat();
    let replayed = vec!["replay".to_owned(), made_up.display().to_string()];
    if parts.contains(&Part::Frames) {
        println!("A frame at {}x{} (aim: under 2 ms)", SIZE.0, SIZE.1);
        frame_times(&format!("{threads} threads"), &observe(&target, seconds));
        frame_times(&format!("{threads} threads, {CORES} cores, made up"), &replay(&made_up, seconds));
    }
    let courses = [
        ("of a live process", &attached),
        ("of a live process, 10 000 looks/s asked for", &hurried),
        ("of 10 000 events/s, replayed", &replayed),
    ];
    if parts.contains(&Part::Share) {
        println!("Its thread's share of a core (aim: under 3 %)");
        courses.iter().for_each(|(what, arguments)| own_share(what, arguments, seconds));
    }
    if parts.contains(&Part::Keys) {
        println!("From a key to the screen (aim: under 50 ms)");
        courses.iter().for_each(|(what, arguments)| key_to_screen(what, arguments));
    }
    target.kill().expect("the workload ends");
    target.wait().expect("the workload ends");
}

/// Writes the made-up capture.
fn write(path: &Path, length: Duration, threads: u32) {
    let mut writer = Writer::new(RecordingFile::create(path, Existing::Refuse).expect("a file")).expect("a writer");
    let machine = Machine { cores: CORES, threads, events: EVENTS };
    let (mut start, mut end, mut count) = (None, Ns::ZERO, 0_u64);
    for event in Stream::of(machine) {
        end = event.at.since(*start.get_or_insert(event.at));
        if u128::from(end.0) > length.as_nanos() {
            break;
        }
        writer.push(&event).expect("room");
        count += 1;
    }
    writer.finish().expect("room");
    println!("made up: {CORES} cores, {threads} threads, {:.0} events a second", count as f64 / end.as_secs_f64());
}

fn start(threads: u32) -> Child {
    let python = newest_with_gil();
    let mut command = python.command();
    command.args(["-c", WORKLOAD, &threads.to_string()]).stdin(Stdio::null());
    command.spawn().expect("the workload starts")
}

struct Live(Capture, Stop);

impl Feed for Live {
    fn next_within(&mut self, limit: Duration) -> Fed {
        match self.0.next_within(limit) {
            Ok(events) => Fed::Events(events),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Fed::Nothing,
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Fed::Over,
        }
    }

    fn stop(&mut self) {
        self.1.request();
    }
}

/// Frames of a live session, one every 200 ms.
fn observe(target: &Child, seconds: u64) -> Vec<Arc<Frame>> {
    let target = Target::attach(Pid(target.id()), Ns::SECOND, Origin::Attached).expect("it can be observed");
    let stop = Stop::default();
    let options = Options {
        rate: Rate::Suited,
        duration: None,
        precision: Precision::Fused { budget: 0.02 },
        tracepoint: None,
        native: gilscope::instruments::NativeLooks::WithinBudget,
        stacks: StackLooks::AtRandom,
        costs: None,
        descendants: gilscope::capture::Descendants::Left,
        tool_version: "bench".to_owned(),
    };
    let capture = Capture::start(target, options, stop.clone()).expect("it starts");
    frames(Session::start(Engine::live(Box::new(Live(capture, stop)), None)), seconds)
}

/// Frames of a session that replays.
fn replay(path: &Path, seconds: u64) -> Vec<Arc<Frame>> {
    let recorded = Recorded::open(path).expect("a recording");
    frames(Session::start(Engine::replay(Box::new(recorded))), seconds)
}

fn frames(session: std::io::Result<Session>, seconds: u64) -> Vec<Arc<Frame>> {
    let session = session.expect("it starts");
    thread::sleep(Duration::from_secs(seconds));
    (0..10)
        .map(|_| {
            thread::sleep(Duration::from_millis(200));
            session.latest()
        })
        .collect()
}

/// What there is to look at, with what the user may have chosen.
fn cases(frame: &Frame) -> Vec<(String, State)> {
    let mut cases: Vec<(String, State)> = View::ALL
        .into_iter()
        .filter(|view| *view != View::Timeline)
        .map(|view| (view.title().to_owned(), State { view, ..State::default() }))
        .collect();
    let unfolded = cores::Choice { fold: cores::Fold::Nothing, ..cores::Choice::default() };
    let each = State { view: View::Cores, cores: unfolded, ..State::default() };
    cases.push(("Cores, a line each".to_owned(), each.clone()));
    cases.push(("Cores, 5 min a column".to_owned(), State { zoom: ZOOMS.len() - 1, ..each }));
    let known = frame.snapshot.processes.first().map_or(MonoNs(0), |process| process.segments.until());
    for zoom in [0, 6, timeline::Choice::default().zoom, 15, timeline::ZOOMS.len() - 1] {
        let column = timeline::ZOOMS.get(zoom).copied().unwrap_or(Ns::SECOND);
        let end = Some(known - Ns::from_millis(200));
        let at = end.map(|end| end - Ns(column.0 * 20));
        let anchor = end.map(|end| end - Ns(column.0 * 150));
        let choice = timeline::Choice { zoom, ..timeline::Choice::default() };
        for (what, choice) in [
            ("", choice),
            (", cursor", timeline::Choice { end, at, ..choice }),
            (", span", timeline::Choice { end, at, anchor, ..choice }),
        ] {
            let state = State { view: View::Timeline, timeline: choice, ..State::default() };
            cases.push((format!("Timeline, {column} a column{what}"), state));
        }
    }
    cases
}

fn frame_times(of: &str, frames: &[Arc<Frame>]) {
    println!("  {of}");
    let newest = frames.last().expect("a frame");
    for (name, state) in cases(newest) {
        frame_time(&name, &state, frames);
    }
}

fn frame_time(name: &str, state: &State, frames: &[Arc<Frame>]) {
    let theme = Theme { depth: Depth::TrueColor, symbols: Symbols::Unicode };
    let area = Rect::new(0, 0, SIZE.0, SIZE.1);
    let fixed = TerminalOptions { viewport: Viewport::Fixed(area) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(std::io::sink()), fixed).expect("a terminal");
    let times = frames
        .iter()
        .cycle()
        .take(DRAWS)
        .map(|frame| {
            let begun = Instant::now();
            let view = ViewModel::of(frame, state, capabilities());
            terminal.draw(|on| screen::draw(&view, theme, area, on.buffer_mut())).expect("it draws");
            let body = screen::places(&view, area).body;
            std::hint::black_box((view.shown.page(&view, body), view.shown.reach(&view, body)));
            std::hint::black_box((view.shown.grid(&view, body), view.rows(), Spots::of(&view, area)));
            begun.elapsed()
        })
        .collect();
    println!("    {name:34} {}", spread(times));
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
    format!("median {:8.2?}, p90 {:8.2?}, p99 {:8.2?}, max {:8.2?}", at(0.5), at(0.9), at(0.99), at(1.0))
}

fn capabilities() -> gilscope::session::Capabilities {
    use gilscope::session::{Ability, Capabilities, Origin};
    Capabilities { origin: Origin::Live, past: Ability::Can, recording: Ability::Can }
}

/// gilscope in a terminal.
fn spawn(
    arguments: &[String],
) -> (Box<dyn portable_pty::Child + Send + Sync>, Box<dyn portable_pty::MasterPty + Send>) {
    let size = PtySize { rows: SIZE.1, cols: SIZE.0, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gilscope"));
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    (pair.slave.spawn_command(command).expect("gilscope starts"), pair.master)
}

/// From a key that is written to the terminal to the help that it opens, as the terminal has it.
fn key_to_screen(what: &str, arguments: &[String]) {
    let (mut child, terminal) = spawn(arguments);
    let mut keys = terminal.take_writer().expect("a writer");
    let mut output = terminal.try_clone_reader().expect("a reader");
    let (sender, chunks) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let cells = |count: u16| std::num::NonZero::new(count).expect("a screen of some size");
    let mut screen = vt100::Parser::new(cells(SIZE.1), cells(SIZE.0), 0);
    let mut until = |is_so: &dyn Fn(&str) -> bool| {
        while !is_so(&screen.screen().contents()) {
            screen.process(&chunks.recv_timeout(Duration::from_secs(20)).expect("the screen changes"));
        }
    };
    until(&|shown| shown.contains("worker-1"));
    thread::sleep(Duration::from_secs(2));
    let times: Vec<Duration> = (0..KEYS)
        .map(|n| {
            // At any place between two drawings.
            thread::sleep(Duration::from_millis(u64::from(90 + n * 37 % 150)));
            let begun = Instant::now();
            keys.write_all(b"?").expect("keys are taken");
            until(&|shown| shown.contains("this help"));
            let took = begun.elapsed();
            keys.write_all(b"x").expect("keys are taken");
            until(&|shown| !shown.contains("this help"));
            took
        })
        .collect();
    println!("  {what:44} {}", spread(times));
    child.kill().expect("gilscope ends");
    child.wait().expect("gilscope ends");
}

/// The share of a core that each thread of gilscope uses.
fn own_share(what: &str, arguments: &[String], seconds: u64) {
    let (mut child, terminal) = spawn(arguments);
    let mut output = terminal.try_clone_reader().expect("a reader");
    thread::spawn(move || std::io::copy(&mut output.by_ref(), &mut std::io::sink()));
    let pid = child.process_id().expect("a pid");
    thread::sleep(Duration::from_secs(2));
    let before = usage(pid);
    thread::sleep(Duration::from_secs(seconds));
    let after = usage(pid);
    let mut shares = Vec::new();
    for (name, spent) in after {
        let earlier = before.iter().find(|(other, _)| *other == name).map_or(Ns::ZERO, |(_, spent)| *spent);
        let share = spent.saturating_sub(earlier).share_of(Ns(seconds * 1_000_000_000)).unwrap_or(0.0);
        // Threads with one name, such as those that look at a process each, count together.
        match shares.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known += share,
            None => shares.push((name, share)),
        }
    }
    shares.sort_by_key(|(name, _)| name != "gilscope");
    let told: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {:.2} %", share * 100.0)).collect();
    println!("  {what:44} {}", told.join(", "));
    child.kill().expect("gilscope ends");
    child.wait().expect("gilscope ends");
}

/// Each thread's name and the time it has spent on a core.
fn usage(pid: u32) -> Vec<(String, Ns)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
            let spent = std::fs::read_to_string(path.join("schedstat")).ok()?;
            Some((name, Ns(spent.split(' ').next()?.parse().ok()?)))
        })
        .collect()
}
