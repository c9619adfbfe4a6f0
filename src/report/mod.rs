//! What is left of a capture when the screen is gone: the same figures for people and for programs.
//!
//! Everything here is a pure function of a [`Snapshot`](crate::model::snapshot::Snapshot). What could
//! not be observed is said to be unknown, never shown as zero.

mod blame;
mod document;
mod history;
mod interrupts;
mod json;
mod names;
mod natives;
pub(crate) mod paint;
mod processes;
mod summary;
mod table;
mod text;

pub(crate) use json::write_terminal_safe;
pub use json::{SCHEMA, SCHEMA_VERSION, json, write_json};
pub use paint::Color;
pub use summary::summary_line;
pub use text::{TextOptions, text};
