//! The engine on a thread of its own.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::session::engine::Busy;
use crate::session::{Capabilities, Command, Engine, Frame, Watch};

/// How long a turn waits for events.
const TURN: Duration = Duration::from_millis(10);

/// A session that runs.
#[derive(Debug)]
pub struct Session {
    latest: Arc<Mutex<Arc<Frame>>>,
    commands: Sender<Command>,
    capabilities: Capabilities,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts `engine` on a thread of its own.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(mut engine: Engine) -> std::io::Result<Session> {
        let capabilities = engine.capabilities();
        let latest = Arc::new(Mutex::new(engine.frame()));
        let (commands, asked) = channel();
        let published = Arc::clone(&latest);
        let thread = std::thread::Builder::new()
            .name("gilscope-session".to_owned())
            .spawn(move || run(engine, &asked, &published))?;
        Ok(Session { latest, commands, capabilities, thread: Some(thread) })
    }

    /// Ends the capture in order and waits for it: a recording is whole afterwards. The last frame.
    pub fn finish(mut self) -> Arc<Frame> {
        self.join();
        self.latest()
    }

    fn join(&mut self) {
        let _gone = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.join();
    }
}

impl Watch for Session {
    fn latest(&self) -> Arc<Frame> {
        Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, command: Command) {
        let _gone = self.commands.send(command);
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

fn run(mut engine: Engine, asked: &Receiver<Command>, published: &Mutex<Arc<Frame>>) {
    let start = Instant::now();
    let mut first = None;
    loop {
        let mut commands = first.take().into_iter().chain(asked.try_iter());
        let begun = Instant::now();
        let turn = engine.turn(start.elapsed(), &mut commands, TURN);
        if turn.frame.is_some() {
            // It may have waited for events.
            engine.frame_took(begun.elapsed().saturating_sub(TURN));
        }
        let stopped = turn.busy == Busy::Stopped;
        let frame = if stopped { Some(engine.frame()) } else { turn.frame };
        if let Some(frame) = frame {
            *published.lock().unwrap_or_else(PoisonError::into_inner) = frame;
        }
        if stopped {
            return;
        }
        if turn.busy == Busy::Settled {
            match asked.recv_timeout(TURN) {
                Ok(command) => first = Some(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
