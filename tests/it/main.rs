//! Hermetic tests.

mod recording_roundtrip;
mod recording_stream;
mod recording_tools;
