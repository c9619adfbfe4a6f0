//! What tests against real interpreters share. Nothing in here knows gilscope: it tells what really happens.

pub mod child;
pub mod extension;
pub mod pythons;
pub mod scenario;
pub mod truth;
#[path = "../truth/uprobe.rs"]
pub mod uprobe;
