//! Recordings: whatever happens to them, what was flushed is read again.

mod roundtrip;
mod stream;
mod tools;
