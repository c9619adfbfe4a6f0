//! A running capture as a feed.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::capture::{Capture, Stop};
use crate::session::{Fed, Feed};

/// The events of a capture as they come.
#[derive(Debug)]
pub struct LiveFeed {
    capture: Capture,
    stop: Stop,
}

impl LiveFeed {
    /// The events of `capture`, which ends when `stop` asks.
    pub fn new(capture: Capture, stop: Stop) -> LiveFeed {
        LiveFeed { capture, stop }
    }
}

impl Feed for LiveFeed {
    fn next_within(&mut self, limit: Duration) -> Fed {
        match self.capture.next_within(limit) {
            Ok(events) => Fed::Events(events),
            Err(RecvTimeoutError::Timeout) => Fed::Nothing,
            Err(RecvTimeoutError::Disconnected) => Fed::Over,
        }
    }

    fn stop(&mut self) {
        self.stop.request();
    }
}
