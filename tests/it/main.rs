//! Hermetic tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod fixtures;
mod layering;
mod model;
mod recording;
mod report_json;
mod report_text;
mod report_verdict;
mod sampling;
mod simulator;
