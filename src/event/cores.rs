//! What the machine's cores do, whoever uses them.
//!
//! [`What::CoresRead`](super::What::CoresRead) has the kernel's own totals, as it gives them in `/proc/stat` (proc(5)). They
//! come in whole clock ticks, so two readings tell what lies between them to a tick at each end. Time asleep is measured
//! by the kernel from one edge to the other; what a core was busy with is what a timer interrupt finds on it, by a
//! chance that evens out over many of them.

use serde::{Deserialize, Serialize};

use super::Cpu;

/// Most cores that are told of: as many as a Linux kernel can be built for (`CONFIG_NR_CPUS`).
pub const MAX_CORES: usize = 8_192;

/// What one core has done since the machine was started, in the clock ticks of the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreTotals {
    /// Which core.
    pub cpu: Cpu,
    /// Nothing, whether somebody waited for a disk meanwhile or not (`idle`, `iowait`).
    pub idle: u64,
    /// Running programs, the kernel and its interrupts (`user`, `nice`, `system`, `irq`, `softirq`).
    pub busy: u64,
    /// Waiting for the machine that it is a virtual part of (`steal`).
    pub stolen: u64,
}
