//! Sending signals to a target, for `gilscope interrupt`: the only place where one is sent to a process that gilscope has
//! not started.
//!
//! Nothing is sent without a [`Permit`], which says that the target handles the signal in Python; it is asked for anew
//! before each sending, since a program may change its mind. Nothing is sent to a process that is not the one that was
//! looked at: a [`Sender`] holds on to the process, not to its number.

mod pace;
mod permit;
mod run;
mod sender;

pub use pace::Pace;
pub use permit::{Consent, Permit, Refused};
pub use run::{Fate, Plan, Sent, Stage, Stopped, may_send, run};
pub use sender::{SendError, Sender};
