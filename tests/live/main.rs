//! Tests against real interpreters.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod target;
#[cfg(test)]
mod target_errors;

#[cfg(test)]
mod truth;
