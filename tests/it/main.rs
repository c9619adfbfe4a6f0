//! Hermetic tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod blame;
mod columns;
mod compare;
mod convoys;
mod cores;
mod dashboard_loop;
mod dashboard_sizes;
mod dashboard_snapshots;
mod dashboard_views;
mod doctor;
mod exact;
mod experiment;
mod findings;
mod fixtures;
mod flame;
mod handoffs;
mod interrupts;
mod joined;
mod layering;
mod model;
mod natives;
mod recording;
mod report_json;
mod report_text;
mod report_verdict;
mod sampling;
mod segments;
mod session;
mod simulator;
mod switches;
mod waiters;
mod whole;
mod workloads;
