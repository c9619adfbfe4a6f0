//! What looking costs the target.

use serde::{Deserialize, Serialize};

use crate::time::Ns;

/// What each thing costs the target on this machine, and what all of them together may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// A debug exception: one hit of a watchpoint.
    pub exception: Ns,
    /// What it adds to a thread's leaving a core and getting one again that its watchpoints are armed.
    pub armed_switch: Ns,
    /// One switch record.
    pub record: Ns,
    /// Arming a watchpoint and taking it away.
    pub arming: Ns,
    /// One record of the tracepoint of futex(2); and about as much is what tracing adds to a thread's leaving a core and
    /// getting one again.
    pub trace: Ns,
    /// What the target may lose in any second.
    pub budget: Ns,
    /// Where the figures are from.
    pub origin: CostOrigin,
    /// How far what is recorded of a switch lies from what it stands for.
    pub lags: Lags,
}

/// How far the records of a thread's switches lie from what `take_gil` (Python/ceval_gil.c) does before and after it sleeps.
/// Zero: not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lags {
    /// From asking for what another has to leaving the core.
    pub asking: Ns,
    /// From getting a core again to having it.
    pub taking: Ns,
}

impl Lags {
    /// No machine takes longer but for noise.
    pub const LONGEST: Ns = Ns(20_000);

    /// They, as far as they make sense.
    pub fn bounded(self) -> Lags {
        Lags { asking: self.asking.min(Lags::LONGEST), taking: self.taking.min(Lags::LONGEST) }
    }
}

/// Where costs are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CostOrigin {
    /// Not measured (yet): what a virtual machine costs, which is more than bare metal does.
    Assumed,
    /// Measured at the start, on gilscope's own threads and memory.
    Measured,
}

impl Costs {
    /// Dear rather than cheap: measured in a virtual machine within another.
    pub const ASSUMED: Costs = Costs {
        exception: Ns(12_000),
        armed_switch: Ns(1_500),
        record: Ns(700),
        arming: Ns(30_000),
        trace: Ns(1_000),
        budget: Ns(20_000_000),
        origin: CostOrigin::Assumed,
        lags: Lags { asking: Ns::ZERO, taking: Ns::ZERO },
    };

    /// A sample of a thread's registers and of 4 KiB of its stack: an interrupt and a long record, taken for two debug
    /// exceptions. Measured beside them in a virtual machine: 17 us and 9.
    pub fn sample(&self) -> Ns {
        Ns(self.exception.0.saturating_mul(2))
    }

    /// They, with a budget that is a share of the target's time.
    pub fn within(self, share: f64) -> Costs {
        Costs { budget: Ns((Ns::SECOND.0 as f64 * share.clamp(0.0, 1.0)) as u64), ..self }
    }
}

/// Running totals of what the target has paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Debug exceptions.
    pub exceptions: u64,
    /// Switches of threads with armed watchpoints.
    pub armed_switches: u64,
    /// Switch records.
    pub records: u64,
    /// Watchpoints armed and taken away.
    pub arms: u64,
    /// Records of the tracepoint of futex(2), and times that traced threads left a core.
    pub traces: u64,
    /// All of it together, by what each was measured to cost.
    pub cost: Ns,
    /// The most in any one second.
    pub worst_second: Ns,
}

/// Why a window of the watchpoints is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowEnd {
    /// A thread has used up the hits that it was given.
    Spent,
    /// A thread was born, which is not watched yet.
    Birth,
    /// Hits were lost.
    Lost {
        /// How many are known to be.
        records: u64,
    },
    /// It has lasted long enough: to be compared with times in which nobody watches.
    Paused,
    /// The observation ends.
    Closed,
}

/// Why there can be no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// All debug registers of a thread are taken, by a debugger or another profiler.
    Registers,
    /// The limit for locked memory, or for open files, does not allow one event and ring a thread.
    Limits,
    /// There are so many threads that arming them all costs more than the budget.
    TooManyThreads,
    /// The kernel refuses.
    NotPermitted,
}
