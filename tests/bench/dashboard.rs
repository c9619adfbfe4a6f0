//! What the dashboard costs: the time of one frame, its thread's share of a core at the refresh it has by default, and
//! the time from a key to the screen while ten thousand looks a second come in.
//!
//! `cargo bench --bench dashboard -- [--threads 64] [--seconds 10]`
//!
//! All on a live process with that many threads, on a screen of 200x60. A frame is everything from what the session
//! hands over to the bytes for the terminal. Aims: under 2 ms a frame, under 3 % of a core, under 50 ms from key to
//! screen.
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

use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gilscope::capture::{Capture, Options, Precision, StackLooks, Stop};
use gilscope::dashboard::state::State;
use gilscope::dashboard::theme::{Depth, Symbols, Theme};
use gilscope::dashboard::view::ViewModel;
use gilscope::dashboard::views::View;
use gilscope::dashboard::widgets::screen;
use gilscope::event::{Origin, Pid};
use gilscope::instruments::schedule::Rate;
use gilscope::session::{Engine, Fed, Feed, Frame, Session, Watch};
use gilscope::target::Target;
use gilscope::time::Ns;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};
use support::pythons::newest_with_gil;

const SIZE: (u16, u16) = (200, 60);
/// Keys whose way to the screen is timed.
const KEYS: u32 = 100;

/// One thread computes, the others sleep a few milliseconds and compute a little.
const WORKLOAD: &str = "
import sys, threading, time
def hog():
    while True:
        sum(range(2000))
def worker(pause):
    while True:
        time.sleep(pause)
        sum(range(500))
threading.Thread(target=hog, name='hog', daemon=True).start()
for i in range(int(sys.argv[1]) - 2):
    threading.Thread(target=worker, args=(0.01 + 0.002 * i,), name=f'worker-{i}', daemon=True).start()
time.sleep(600)
";

fn main() {
    let (mut threads, mut seconds) = (64, 10);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().and_then(|value| value.parse().ok()).expect("a number");
        match argument.as_str() {
            "--threads" => threads = value(),
            "--seconds" => seconds = value(),
            "--bench" => {}
            other => panic!("{other} is not understood"),
        }
    }
    let mut target = start(threads);
    thread::sleep(Duration::from_secs(1));
    let frames = observe(&target, seconds);
    for shown in View::ALL {
        frame_time(&frames, shown, threads);
    }
    own_share(&target, seconds);
    key_to_screen(&target);
    target.kill().expect("the workload ends");
    target.wait().expect("the workload ends");
}

fn start(threads: u64) -> Child {
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
    let precision = Precision::Sampled;
    let options = Options {
        rate: Rate::Suited,
        duration: None,
        precision,
        tracepoint: None,
        native: gilscope::instruments::NativeLooks::Never,
        stacks: StackLooks::AtRandom,
        costs: None,
        descendants: gilscope::capture::Descendants::Left,
        tool_version: "bench".to_owned(),
    };
    let capture = Capture::start(target, options, stop.clone()).expect("it starts");
    let engine = Engine::live(Box::new(Live(capture, stop)), None);
    let session = Session::start(engine).expect("it starts");
    thread::sleep(Duration::from_secs(seconds));
    (0..10)
        .map(|_| {
            thread::sleep(Duration::from_millis(200));
            session.latest()
        })
        .collect()
}

fn frame_time(frames: &[Arc<Frame>], shown: View, threads: u64) {
    let theme = Theme { depth: Depth::TrueColor, symbols: Symbols::Unicode };
    let fixed = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, SIZE.0, SIZE.1)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(std::io::sink()), fixed).expect("a terminal");
    let state = State { view: shown, ..State::default() };
    let mut times: Vec<Duration> = frames
        .iter()
        .cycle()
        .take(1_000)
        .map(|frame| {
            let begun = Instant::now();
            let view = ViewModel::of(frame, &state, capabilities());
            terminal
                .draw(|on| {
                    let area = on.area();
                    screen::draw(&view, theme, area, on.buffer_mut());
                })
                .expect("it draws");
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
    println!(
        "{} at {}x{}, {threads} threads: median {:?}, p90 {:?}, p99 {:?} (aim: under 2 ms)",
        shown.title(),
        SIZE.0,
        SIZE.1,
        at(0.5),
        at(0.9),
        at(0.99)
    );
}

fn capabilities() -> gilscope::session::Capabilities {
    use gilscope::session::{Ability, Capabilities, Origin};
    Capabilities { origin: Origin::Live, past: Ability::Can, recording: Ability::Can }
}

fn attach(target: &Child, more: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gilscope"));
    command.args(["attach", &target.id().to_string()]);
    command.args(more);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// From a key that is written to the terminal to the help that it opens, as the terminal has it.
fn key_to_screen(target: &Child) {
    let size = PtySize { rows: SIZE.1, cols: SIZE.0, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let mut child = pair.slave.spawn_command(attach(target, &["-r", "10k"])).expect("gilscope starts");
    let mut keys = pair.master.take_writer().expect("a writer");
    let mut output = pair.master.try_clone_reader().expect("a reader");
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
    until(&|shown| shown.contains("LIVE") && shown.contains("worker-1"));
    thread::sleep(Duration::from_secs(2));
    let mut times: Vec<Duration> = (0..KEYS)
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
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
    println!(
        "key to screen at 10 000 looks/s: median {:?}, p90 {:?}, max {:?} (aim: under 50 ms)",
        at(0.5),
        at(0.9),
        at(1.0)
    );
    child.kill().expect("gilscope ends");
    child.wait().expect("gilscope ends");
}

/// The share of a core that each thread of `gilscope attach` uses.
fn own_share(target: &Child, seconds: u64) {
    let size = PtySize { rows: SIZE.1, cols: SIZE.0, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let mut child = pair.slave.spawn_command(attach(target, &[])).expect("gilscope starts");
    let mut output = pair.master.try_clone_reader().expect("a reader");
    thread::spawn(move || std::io::copy(&mut output.by_ref(), &mut std::io::sink()));
    let pid = child.process_id().expect("a pid");
    thread::sleep(Duration::from_secs(2));
    let before = usage(pid);
    thread::sleep(Duration::from_secs(seconds));
    let after = usage(pid);
    for (name, spent) in after {
        let earlier = before.iter().find(|(other, _)| *other == name).map_or(Ns::ZERO, |(_, spent)| *spent);
        let share = spent.saturating_sub(earlier).share_of(Ns(seconds * 1_000_000_000)).unwrap_or(0.0);
        let aim = if name == "gilscope" { " (the dashboard; aim: under 3 %)" } else { "" };
        println!("{name:16} {:5.2} % of a core{aim}", share * 100.0);
    }
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
