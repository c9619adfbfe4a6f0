//! The kernel's performance events, as far as gilscope uses them: opening them, and reading their rings.
//!
//! Facts are from perf_event_open(2), include/uapi/linux/perf_event.h and kernel/events/core.c.

mod follow;
mod open;
mod record;
mod refusal;
mod ring;

pub use follow::{Unfollowed, follow};
pub use open::{arm, share_ring, switch_records, task_records, watchpoint};
pub use record::{Record, Way};
pub use refusal::{Attempt, Place, Refusal, Why, try_switch_records, try_watchpoints};
pub use ring::{Ring, Room};
