#![doc = include_str!("ARCHITECTURE.md")]

pub mod capture;
pub mod cli;
pub mod dashboard;
pub mod error;
pub mod event;
pub mod instruments;
pub mod launch;
pub mod model;
pub mod recording;
pub mod report;
pub mod session;
pub mod signals;
pub mod target;
pub mod text;
pub mod time;
pub mod units;
