//! Slow questions, asked on a thread of their own, so that no tick waits for an answer.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::instruments::clock;
use crate::time::Ns;

/// One question's work may use this share of a core: one part in so many.
const SHARE: u64 = 100;
/// The longest pause that this share asks for.
const LONGEST_PAUSE: Ns = Ns(5_000_000_000);

/// A thread that answers one question again and again. It ends by itself when this value is dropped.
#[derive(Debug)]
pub struct Background<T> {
    ask: SyncSender<()>,
    found: Receiver<T>,
}

/// What a question came to.
#[derive(Debug)]
pub enum Answer<T> {
    /// There is news.
    Found(T),
    /// There is none.
    Nothing,
    /// There will never be any.
    Never,
    /// None yet: what is done only once was done, and is not charged. The question is put again at once.
    Prepared,
}

impl<T: Send + 'static> Background<T> {
    /// Starts a thread `name` that answers by calling `answer`, at most once in `spacing`; `None` if there can be none.
    pub fn start(
        name: &str,
        spacing: Duration,
        mut answer: impl FnMut() -> Answer<T> + Send + 'static,
    ) -> Option<Background<T>> {
        let (ask, asked) = sync_channel(1);
        let (tell, found) = sync_channel(4);
        let serve = move || {
            while asked.recv().is_ok() {
                let mut before = clock::thread_cpu();
                let mut answered = answer();
                while matches!(answered, Answer::Prepared) {
                    before = clock::thread_cpu();
                    answered = answer();
                }
                match answered {
                    Answer::Found(news) => {
                        if let Err(TrySendError::Disconnected(_)) = tell.try_send(news) {
                            return;
                        }
                    }
                    Answer::Nothing | Answer::Prepared => {}
                    Answer::Never => return,
                }
                let cost = clock::thread_cpu().saturating_sub(before);
                let pause = Ns(cost.0.saturating_mul(SHARE)).min(LONGEST_PAUSE);
                thread::sleep(spacing.max(Duration::from_nanos(pause.0)));
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(serve).ok()?;
        Some(Background { ask, found })
    }

    /// Asks. Never blocks: an unanswered question stands for the next.
    pub fn ask(&self) {
        match self.ask.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// The next news that has come; `None` while there is none.
    pub fn answer(&self) -> Option<T> {
        self.found.try_recv().ok()
    }
}
