//! Tests against real interpreters.
