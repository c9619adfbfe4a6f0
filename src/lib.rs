#![doc = include_str!("ARCHITECTURE.md")]

pub mod event;
pub mod model;
pub mod report;
pub mod session;
pub mod target;
pub mod time;
pub mod units;
