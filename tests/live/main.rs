//! Tests against real interpreters.

#[path = "../support/mod.rs"]
mod support;

mod truth;
