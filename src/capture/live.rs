//! A capture that runs: what those who look tell, as one stream over a bounded queue.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::family::{Household, Root};
use crate::capture::streams::{Source, Streams, Told};
use crate::capture::{Flush, Options, SignalsSent, Stop};
use crate::event::Event;
use crate::target::Target;
use crate::time::MonoNs;

/// Batches that may wait in the queue: of one process more than a minute's.
const QUEUE: usize = 2_048;
/// Batches that are put in order at once.
const AT_ONCE: usize = 256;

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    told: Receiver<Told>,
    streams: RefCell<Streams>,
    sent: SignalsSent,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts to observe `target`, on threads of their own.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(target: Target, options: Options, stop: Stop) -> std::io::Result<Capture> {
        Capture::start_all(vec![Root::Attached(Box::new(target))], options, stop)
    }

    /// Starts to observe several processes, on threads of their own. It is over when none of them is there any more, nor
    /// any of their descendants that are followed.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start_all(roots: Vec<Root>, options: Options, stop: Stop) -> std::io::Result<Capture> {
        let (tell, told) = sync_channel(QUEUE);
        let (send, sent) = channel();
        let asked = stop.clone();
        let household = Household::new(options, asked, tell, sent);
        let builder = std::thread::Builder::new().name("gilscope-family".to_owned());
        let thread = builder.spawn(move || household.observe(roots))?;
        let streams = RefCell::default();
        Ok(Capture { told, streams, sent: SignalsSent(send), stop, thread: Some(thread) })
    }

    /// Where it is told of signals that are sent to the first of its targets.
    pub fn signals_sent(&self) -> SignalsSent {
        self.sent.clone()
    }

    /// The next batch of events; `None` once the capture is over and all were taken.
    pub fn next(&self) -> Option<Vec<Event>> {
        loop {
            match self.next_within(Duration::from_secs(3_600)) {
                Ok(events) => return Some(events),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The next batch if there is one by then.
    ///
    /// # Errors
    /// That time is up, or the capture is over and all events were taken.
    pub fn next_within(&self, limit: Duration) -> Result<Vec<Event>, RecvTimeoutError> {
        let until = Instant::now() + limit;
        loop {
            let told = self.told.recv_timeout(until.saturating_duration_since(Instant::now()));
            let mut streams = self.streams.borrow_mut();
            let events = match told {
                Ok(told) => {
                    streams.take(told);
                    self.told.try_iter().take(AT_ONCE).for_each(|told| streams.take(told));
                    streams.release()
                }
                Err(RecvTimeoutError::Timeout) => return Err(RecvTimeoutError::Timeout),
                Err(RecvTimeoutError::Disconnected) => match streams.finish() {
                    events if events.is_empty() => return Err(RecvTimeoutError::Disconnected),
                    events => events,
                },
            };
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.request();
        let Some(thread) = self.thread.take() else { return };
        // What they tell last waits for room.
        while !thread.is_finished() {
            let _unheard = self.told.recv_timeout(Duration::from_millis(5));
        }
        let _panicked = thread.join();
    }
}

/// Where one that looks tells what it saw.
#[derive(Debug)]
pub(super) struct Teller {
    source: Source,
    tell: SyncSender<Told>,
}

/// Whether it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Yes,
    /// There is no room.
    NotYet,
    /// And never will be.
    ByNobody,
}

impl Teller {
    /// One that tells of nothing before `from`.
    pub fn begin(source: Source, from: MonoNs, tell: SyncSender<Told>) -> Teller {
        let _over = tell.send(Told::Begins(source, from));
        Teller { source, tell }
    }

    /// Tells `events`, which are all there are up to `until`. Takes them if they are heard.
    pub fn tell(&self, events: &mut Vec<Event>, until: MonoNs, how: Flush) -> Heard {
        let told = Told::Events(self.source, std::mem::take(events), until);
        let refused = match how {
            Flush::Wait => return if self.tell.send(told).is_ok() { Heard::Yes } else { Heard::ByNobody },
            Flush::Try => self.tell.try_send(told),
        };
        match refused {
            Ok(()) => Heard::Yes,
            Err(TrySendError::Disconnected(_)) => Heard::ByNobody,
            Err(TrySendError::Full(told)) => {
                if let Told::Events(_, kept, _) = told {
                    *events = kept;
                }
                Heard::NotYet
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let _over = self.tell.send(Told::Ends(self.source));
    }
}
