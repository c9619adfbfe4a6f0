//! What processes have in memory.
//!
//! PSS (proc_pid_smaps(5)) counts a page that n processes have at 1/n of its size for each: so the sum over processes is what
//! they take together, which sums of RSS are not. What is swapped out is in neither.

use serde::{Deserialize, Serialize};

/// The memory (PSS) of one process or of several at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Footprint {
    /// It was read.
    Known {
        /// Bytes.
        pss: u64,
        /// Of how many processes.
        processes: u32,
    },
    /// One of them is so large that to read it would hold it up: the kernel keeps its memory map locked meanwhile.
    TooLarge,
    /// One of them may not be read, or the kernel does not tell.
    Unreadable,
}
