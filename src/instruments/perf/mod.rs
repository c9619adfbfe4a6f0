//! The kernel's performance events, as far as gilscope uses them: opening them, and reading their rings.
//!
//! Facts are from perf_event_open(2), include/uapi/linux/perf_event.h and kernel/events/core.c.

mod follow;
mod handed;
mod open;
mod record;
mod refusal;
mod ring;
mod signalpoints;
mod tracepoint;
mod usersample;

pub use follow::{Unfollowed, follow};
pub use handed::Handed;
pub use open::{
    arm, armed_watchpoint, enable, futex_waits, handed_records, share_ring, signals_on, switch_records, task_records,
    user_samples, watchpoint,
};
pub use record::{LONGEST, Record, Samples, Way};
pub use refusal::{
    Attempt, Place, Refusal, Why, try_futex_waits, try_switch_records, try_user_samples, try_watchpoints,
};
pub use ring::{Ring, Room};
pub use signalpoints::{Addressee, SignalTrace, SignalTracepoints};
pub use tracepoint::FutexTracepoint;
pub use usersample::{LONGEST_SAMPLE, UserSample};
