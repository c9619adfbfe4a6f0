//! What tests against real interpreters share. Nothing in here knows gilscope.

pub mod pythons;
