#![doc = include_str!("ARCHITECTURE.md")]

pub mod event;
pub mod model;
pub mod recording;
pub mod target;
pub mod time;
pub mod units;
