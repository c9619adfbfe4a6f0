//! Who made whom wait.

use std::sync::Arc;

use crate::event::{Frame, StacksMissing, ThreadKey};
use crate::time::Ns;

pub use crate::model::blame::Basis;

/// Who made whom wait in a process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BlameFigures {
    /// The pairs, those with the most time first. Those of one waiter add up to the time that it has lost.
    pub pairs: Vec<BlamePair>,
    /// The holders, those who held it longest while somebody waited first; threads that are no longer kept are missing.
    pub holders: Vec<BlameHolder>,
    /// Those who waited, by where they want the GIL back, those with the most time first. A thread that waits for several
    /// GILs is here once for each.
    pub waiters: Vec<BlameWaiter>,
    /// Samples of what a waiter executed.
    pub waiter_samples: u64,
    /// Samples of waiters of which that was not found out.
    pub waiters_rejected: u64,
    /// Samples of what a holder executed.
    pub samples: u64,
    /// Samples of which that was not found out.
    pub rejected: u64,
    /// Why there are no stacks.
    pub missing: Option<StacksMissing>,
}

/// The time that a thread waited while another held the GIL.
#[derive(Debug, Clone, PartialEq)]
pub struct BlamePair {
    /// Who waited; `None`: threads that have ended and are no longer kept one by one.
    pub waiter: Option<ThreadKey>,
    /// Who held it.
    pub holder: Blamed,
    /// How long.
    pub time: Ns,
    /// What the holder executed: adds up to that time, the longest first.
    pub shares: Vec<BlameShare>,
}

/// The time that a thread waited.
#[derive(Debug, Clone, PartialEq)]
pub struct BlameWaiter {
    /// Who waited.
    pub thread: ThreadKey,
    /// How long: the sum of its pairs.
    pub time: Ns,
    /// Where it wants the GIL back: adds up to that time, the longest first. Without native code.
    pub shares: Vec<BlameShare>,
}

/// The time that a thread held the GIL while others waited, however many.
#[derive(Debug, Clone, PartialEq)]
pub struct BlameHolder {
    /// Who held it.
    pub thread: ThreadKey,
    /// How long; known to half a tick, as holds are.
    pub time: Ns,
    /// What it executed: adds up to that time, the longest first.
    pub shares: Vec<BlameShare>,
}

/// Who a part of a wait goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blamed {
    /// This thread held the GIL.
    Thread(ThreadKey),
    /// Nobody held it: the waiter was on its way to a core.
    Free,
    /// It is not known who held it.
    Unknown,
    /// Threads that are not kept one by one: the smallest of very many pairs, and threads that have ended.
    Others,
}

/// A part of a pair's time, by what the holder executed.
#[derive(Debug, Clone, PartialEq)]
pub struct BlameShare {
    /// The time.
    pub time: Ns,
    /// The samples behind it.
    pub samples: u32,
    /// What it rests on.
    pub basis: Basis,
    /// The frames, the innermost first; empty: not known, or no Python.
    pub stack: Arc<[Arc<Frame>]>,
    /// The shared object and symbol it was in, as `lib.so:symbol`, as the target has them: seen in long holds between two
    /// samples of this very stack. `None`: not known, or in the interpreter itself.
    pub native: Option<Arc<str>>,
}
