//! The real terminal: taken in order, and left as it was found, whatever happens.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{Command, execute, queue};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::dashboard::console::{Clock, Console, Heard};
use crate::dashboard::mouse::{Gesture, Mouse};
use crate::units;

/// How long a look for keys takes when there are none.
const LOOK: Duration = Duration::from_millis(500);
/// Pictures of one second.
const PICTURES: u32 = 100;

/// The terminal in the dashboard's hands. Dropping it gives it back.
#[derive(Debug)]
pub struct Takeover {
    hold: Hold,
    heard: Receiver<Message>,
    signals: signal_hook::iterator::Handle,
    over: Arc<AtomicBool>,
}

/// What the threads that listen have to say.
#[derive(Debug)]
enum Message {
    Heard(Heard),
    /// Somebody wants this process to stop for a while.
    Stop,
    /// It goes on after a stop.
    GoesOn,
    /// The terminal is gone.
    Gone(io::Error),
}

impl Takeover {
    /// Takes the terminal, and the mouse if it is to be heard. From here on, a panic on any thread and every signal that ends or stops a program give it
    /// back first.
    ///
    /// # Errors
    /// If there is no terminal, or it refuses.
    pub fn begin(mouse: Mouse) -> io::Result<Takeover> {
        // Whether there is colour is the theme's business, which knows NO_COLOR.
        force_color_output(true);
        let hold = Hold { taken: Arc::default(), mouse };
        let over = Arc::new(AtomicBool::new(false));
        let (sender, heard) = channel();
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT])?;
        let handle = signals.handle();
        give_back_on_panic(hold.clone(), sender.clone());
        hold.take()?;
        let takeover = Takeover { hold: hold.clone(), heard, signals: handle, over: Arc::clone(&over) };
        let told = sender.clone();
        std::thread::Builder::new()
            .name("gilscope-signals".to_owned())
            .spawn(move || listen_to_signals(signals, &told, &hold))?;
        std::thread::Builder::new().name("gilscope-keys".to_owned()).spawn(move || listen_to_keys(&sender, &over))?;
        Ok(takeover)
    }

    /// A ratatui terminal on it.
    ///
    /// # Errors
    /// If its size cannot be had.
    pub fn terminal(&self) -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
        Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, stdout())))
    }

    fn stop_for_a_while(&self) -> io::Result<()> {
        self.hold.give_back();
        emulate_default_handler(SIGTSTP)?;
        self.hold.take()
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.hold.give_back();
        self.signals.close();
    }
}

impl Console for Takeover {
    fn next(&mut self, limit: Duration) -> io::Result<Option<Heard>> {
        match self.heard.recv_timeout(limit) {
            Ok(Message::Heard(heard)) => Ok(Some(heard)),
            Ok(Message::Stop) => {
                self.stop_for_a_while()?;
                Ok(Some(Heard::Disturbed))
            }
            Ok(Message::GoesOn) => {
                // Whoever had the terminal meanwhile may have changed its mode.
                self.hold.give_back();
                self.hold.take()?;
                Ok(Some(Heard::Disturbed))
            }
            Ok(Message::Gone(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Heard::Asked)),
        }
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.stop_for_a_while()
    }

    fn keep(&mut self, svg: &str) -> io::Result<PathBuf> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = units::stamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX));
        let names = (1..=PICTURES).map(|number| match number {
            1 => PathBuf::from(format!("gilscope-{stamp}.svg")),
            more => PathBuf::from(format!("gilscope-{stamp}-{more}.svg")),
        });
        for path in names {
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return file?.write_all(svg.as_bytes()).map(|()| path),
            }
        }
        Err(io::Error::other("there are too many of this second"))
    }
}

/// Whether the terminal is taken: shared with those who have to give it back in a hurry.
#[derive(Debug, Clone)]
struct Hold {
    taken: Arc<AtomicBool>,
    mouse: Mouse,
}

impl Hold {
    fn take(&self) -> io::Result<()> {
        if self.taken.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let taken = enable_raw_mode().and_then(|()| execute!(stdout(), EnterAlternateScreen, Hide)).and_then(|()| {
            match self.mouse {
                Mouse::Heard => execute!(stdout(), Clicks::Told),
                Mouse::Left => Ok(()),
            }
        });
        if taken.is_err() {
            self.give_back();
        }
        taken
    }

    /// Does nothing if it is not taken. There is nobody to tell of a failure: the terminal is gone then.
    fn give_back(&self) {
        if !self.taken.swap(false, Ordering::SeqCst) {
            return;
        }
        let mut out = stdout();
        if self.mouse == Mouse::Heard {
            let _gone = queue!(out, Clicks::Untold);
        }
        let _gone = queue!(out, Show, LeaveAlternateScreen).and_then(|()| out.flush());
        let _gone = disable_raw_mode();
    }
}

/// Buttons and wheel of the mouse, and its movement while a button is down. Crossterm's own command asks for every other
/// movement as well, hundreds a second.
enum Clicks {
    Told,
    Untold,
}

impl Command for Clicks {
    fn write_ansi(&self, out: &mut impl std::fmt::Write) -> std::fmt::Result {
        out.write_str(match self {
            Clicks::Told => "\u{1b}[?1002h\u{1b}[?1006h",
            Clicks::Untold => "\u{1b}[?1006l\u{1b}[?1002l",
        })
    }
}

/// Makes a panic readable: on this thread, after the terminal was given back; on another, by way of the loop.
fn give_back_on_panic(hold: Hold, told: Sender<Message>) {
    let mine = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !hold.taken.load(Ordering::SeqCst) {
            before(panic);
        } else if std::thread::current().id() == mine {
            hold.give_back();
            before(panic);
        } else {
            let _ended = told.send(Message::Heard(Heard::Broken(panic.to_string())));
        }
    }));
}

fn listen_to_signals(mut signals: Signals, told: &Sender<Message>, hold: &Hold) {
    let mut asked = false;
    for signal in signals.forever() {
        let message = match signal {
            SIGTSTP => Message::Stop,
            SIGCONT => Message::GoesOn,
            _ if asked => {
                // Asked twice: now.
                hold.give_back();
                let _ends = emulate_default_handler(signal);
                return;
            }
            _ => {
                asked = true;
                Message::Heard(Heard::Asked)
            }
        };
        let _ended = told.send(message);
    }
}

/// On a thread of its own: reading from a terminal that has hung up may never return.
fn listen_to_keys(told: &Sender<Message>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let message = match event::poll(LOOK).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) if key.kind == KeyEventKind::Press => Message::Heard(Heard::Key(key)),
            Ok(Some(Event::Mouse(event))) if Gesture::of(&event).is_some() => Message::Heard(Heard::Mouse(event)),
            Ok(Some(Event::Resize(..))) => Message::Heard(Heard::Disturbed),
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ended = told.send(Message::Gone(error));
                return;
            }
        };
        if told.send(message).is_err() {
            return;
        }
    }
}

/// Real time.
#[derive(Debug, Clone, Copy)]
pub struct RealTime(Instant);

impl Default for RealTime {
    fn default() -> RealTime {
        RealTime(Instant::now())
    }
}

impl Clock for RealTime {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
