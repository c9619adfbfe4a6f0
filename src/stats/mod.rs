//! What differs between two handfuls of runs: exact tests that assume nothing of how a figure is distributed.
//!
//! Runs of one program differ by more than a normal distribution allows for: some programs have two regimes, and a run
//! falls into one or the other. So runs are compared by rank ([`ranks`]), and all figures together with the number of
//! figures in mind ([`adjust`]).

pub mod adjust;
pub mod ranks;
