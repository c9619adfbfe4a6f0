//! The kernel's performance events, as far as gilscope uses them: opening them, and reading their rings.
//!
//! Facts are from perf_event_open(2), include/uapi/linux/perf_event.h and kernel/events/core.c.

mod follow;
mod open;
mod record;
mod refusal;
mod ring;
mod tracepoint;

pub use follow::{Unfollowed, follow};
pub use open::{arm, futex_waits, share_ring, switch_records, task_records, watchpoint};
pub use record::{Record, Samples, Way};
pub use refusal::{Attempt, Place, Refusal, Why, try_futex_waits, try_switch_records, try_watchpoints};
pub use ring::{Ring, Room};
pub use tracepoint::FutexTracepoint;
