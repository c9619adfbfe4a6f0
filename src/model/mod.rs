//! Events in, figures out. Pure: reads no clock, no process, no configuration.

pub mod snapshot;
pub mod timeline;
