//! Hermetic tests.
mod model;
mod sampling;
mod simulator;
