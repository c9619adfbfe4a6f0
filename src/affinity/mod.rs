//! On which cores threads may run: asking, changing, and putting back.
//!
//! Changing the cores of a running process is the one thing that gilscope does to a process it did not start, and only where
//! that was asked for. [`Keeper`] puts back what was there, thread by thread, on every way out: it does not do so itself, but
//! has a second process, the guardian ([`guard`]), do it as soon as a pipe between them closes, which the kernel sees to
//! even where gilscope is killed.

mod guardian;
mod keeper;
mod kernel;
mod restore;
mod set;
mod tasks;

pub use guardian::guard;
pub use keeper::{KeepError, Keeper};
pub use kernel::{Mask, of, set};
pub use restore::{Kept, Restored, ThreadKept};
pub use set::CpuSet;
