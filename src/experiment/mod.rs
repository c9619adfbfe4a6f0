//! Settling a question by experiment: runs of a program in several variants, by turns, compared with each other.
//!
//! A [`Plan`] says which variants there are and in which order they run: in rounds, each with every variant once and in an
//! order drawn anew, so that what changes meanwhile hits all alike. The first rounds warm up and are dropped; in some
//! nobody observes, which tells what observing costs. What was done is in a directory ([`Store`]), so that it can go on after
//! Ctrl-C, and so that recordings can be looked at again. [`Outcome`] says what came of it.

mod builtin;
mod child;
mod command;
mod interval;
mod json;
mod outcome;
mod plan;
mod store;
mod text;
mod verdict;

pub use builtin::{BUILTINS, Builtin, Pythons, builtin, program_files};
pub use child::{Measured, Started};
pub use command::{CommandLine, NotWords, words};
pub use interval::{IntervalSetter, Prevented, prevented};
pub use json::{SCHEMA, SCHEMA_VERSION, json as outcome_json};
pub use outcome::{Cost, Outcome};
pub use plan::{Kind, Plan, Trial, Variant};
pub use store::{Done, Store, StoreError};
pub use text::{line, outcome_text};
pub use verdict::{Change, describe, sentence};
