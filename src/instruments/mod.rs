//! What looks at the target and says what it saw, as [`Event`](crate::event::Event)s.
//!
//! The sampled instrument reads the GIL's own words from memory at every tick.
//! From them follows for whom `/proc` has to be asked: a thread that sleeps on
//! the GIL leaves it only by taking it, so while neither the count of handoffs
//! nor the count of waiters has moved, nobody has to be asked at all.

mod background;
mod broods;
mod calibrate;
pub mod clock;
mod cores;
mod futexes;
mod job;
mod keys;
mod memory;
mod merge;
mod names;
mod natives;
pub mod perf;
mod purse;
mod respite;
mod roster;
mod sampler;
pub mod schedule;
mod signals;
mod stacks;
mod switches;
mod watch;
mod watchpoints;

pub use calibrate::calibrate;
pub use cores::Cores;
pub use keys::Keys;
pub use memory::Memory;
pub use merge::{Merge, Release, Sighting};
pub use natives::{NativeLooks, Natives};
pub use purse::{Pot, Purse};
pub use sampler::{Births, Punctuality, Sampler, Verdict};
pub use signals::{Arrivals, Beside, Trips, Writes};
pub use stacks::{Definitions, Drawn, Stacks, draw};
pub use switches::{Moves, Switches};
pub use watchpoints::{Process, Watchpoints, Words};
