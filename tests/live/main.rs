//! Tests against real interpreters.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by a panic, and says what it skips"
)]

#[path = "../support/mod.rs"]
mod support;

mod blame;
mod budget;
mod cases;
mod command;
mod command_demo;
mod command_errors;
mod command_experiment;
mod command_interrupt;
mod command_launch;
mod command_stop;
mod configured;
mod dashboard;
mod dashboard_keys;

mod cores;
mod doctor;
mod exact;
mod fallback;
mod findings;
mod flame;
mod fused;
mod interrupts;
mod natives;
mod observed;
mod processes;
mod progress;
mod recorded;
mod scale;
mod signals;
mod still;
mod target;
mod target_errors;
mod tracepoints;
mod truth;
mod truth_conds;
mod truth_uprobes;
mod truth_workloads;
mod unwatched;
mod waiters;
