//! The report's JSON document as types: names and order are the public contract, `assets/schema/report.v1.json`
//! says what each means. An `Option` is null where the figure could not be observed.

use serde::Serialize;
use serde::ser::{SerializeTuple, Serializer};

#[derive(Serialize)]
pub(super) struct Report {
    pub schema_version: u32,
    pub tool: Tool,
    pub processes: Vec<Process>,
}

#[derive(Serialize)]
pub(super) struct Tool {
    pub name: &'static str,
    pub version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Process {
    pub target: Target,
    pub ending: Option<End>,
    pub children: Vec<u32>,
    pub unwatched_children: Unwatched,
    pub verdict: Answered,
    pub capture: Capture,
    pub interpreters: Vec<Interpreter>,
    pub threads: Vec<Thread>,
    pub folded_threads: u64,
    pub cores: Vec<Core>,
    pub memory: Memory,
    pub convoys: Option<Vec<Convoy>>,
    pub interrupts: Option<Interrupts>,
    pub blame: Option<Vec<Blame>>,
    pub waiter_stacks: Option<Vec<WaiterStack>>,
    pub findings: Vec<Finding>,
}

#[derive(Serialize)]
pub(super) struct Unwatched {
    pub too_short: u64,
    pub not_python: u64,
    pub unreadable: u64,
    pub too_many: u64,
}

#[derive(Serialize)]
pub(super) struct Blame {
    pub waiter: Option<u32>,
    pub holder: Option<u32>,
    pub held_by: &'static str,
    pub ns: u64,
    pub samples: u32,
    pub basis: &'static str,
    pub stack: Vec<String>,
    pub native: Option<String>,
}

#[derive(Serialize)]
pub(super) struct WaiterStack {
    pub waiter: u32,
    pub ns: u64,
    pub samples: u32,
    pub basis: &'static str,
    pub stack: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Convoy {
    pub interpreter: Option<i64>,
    pub victim: u32,
    pub culprits: Vec<Culprit>,
    pub start_ns: u64,
    pub end_ns: u64,
    pub waits: u64,
    pub lost_ns: u64,
    pub slowdown: Option<f64>,
    pub switch_interval_ns: u64,
}

#[derive(Serialize)]
pub(super) struct Finding {
    pub id: &'static str,
    pub severity: &'static str,
    pub message: String,
    pub advice: String,
    pub interpreter: Option<i64>,
    pub culprit: Option<u32>,
    pub function: Option<String>,
    pub native: Option<String>,
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
pub(super) struct Target {
    pub pid: u32,
    pub cmdline: Vec<String>,
    pub python: String,
    pub build: crate::event::Build,
    pub libc: String,
    pub switch_interval_ns: Option<u64>,
    pub cpus_allowed: Vec<u16>,
    pub host: Option<String>,
    pub kernel: Option<String>,
    pub origin: crate::event::Origin,
}

#[derive(Serialize)]
pub(super) struct End {
    pub kind: &'static str,
    pub detail: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Answered {
    pub answer: &'static str,
    pub because: String,
}

#[derive(Serialize)]
pub(super) struct Capture {
    pub tool_version: Option<String>,
    pub start_unix_ns: Option<u64>,
    pub start_monotonic_ns: u64,
    pub duration_ns: u64,
    pub mode: Option<crate::event::Mode>,
    pub instruments: Vec<&'static str>,
    pub coverage: Option<f64>,
    pub resolution_ns: u64,
    pub samples: u64,
    pub late_samples: u64,
    pub failed_reads: u64,
    pub torn_reads: u64,
    pub lost_records: u64,
    pub followed_threads: Option<usize>,
    pub living_threads: Option<usize>,
    pub dropped_events: u64,
    pub resyncs: u64,
    pub windows: u64,
    pub handoffs_seen: u64,
    pub handoffs_counted: u64,
    pub interval_asked_ns: Option<u64>,
    pub interval_ns: u64,
    pub interval_reason: crate::event::RateReason,
    pub own_cpu_ns: u64,
    pub budget: Option<f64>,
    pub exception_cost_ns: Option<u64>,
    pub overhead_estimate: Option<f64>,
    pub perturbation: Option<Perturbation>,
    pub stack_samples: u64,
    pub stacks_rejected: u64,
    pub waiter_samples: u64,
    pub waiters_rejected: u64,
}

#[derive(Serialize)]
pub(super) struct Perturbation {
    pub contention: Option<f64>,
    pub handoffs: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct Interpreter {
    pub id: i64,
    pub gil: Option<Gil>,
}

#[derive(Serialize)]
pub(super) struct Gil {
    pub id: u32,
    pub switch_interval_ns: u64,
    pub observed_ns: u64,
    pub load: Option<f64>,
    pub held_off_cpu: Option<f64>,
    pub held_preempted: Option<f64>,
    pub held_asleep: Option<f64>,
    pub contention: Option<f64>,
    pub demand: Option<f64>,
    pub mean_waiters: Option<f64>,
    pub max_waiters: Option<u32>,
    pub lost_ns: Option<u64>,
    pub handoffs: u64,
    pub forced_handoffs: Option<u64>,
    pub cross_core_handoffs: Option<u64>,
    pub drop_latency: Option<Durations>,
    pub waits: Durations,
    pub holds: Durations,
    pub long_holds: Vec<LongHold>,
}

#[derive(Serialize)]
pub(super) struct LongHold {
    pub thread: u32,
    pub native: Option<Native>,
    pub holds: u64,
    pub held_ns: u64,
    pub longest_ns: u64,
    pub samples: u64,
    pub asleep: u64,
    pub released: Option<bool>,
    pub ongoing_ns: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Native {
    pub kind: crate::event::NativeKind,
    pub name: String,
    pub library: String,
    pub symbol: Option<String>,
    pub offset: u64,
    pub through: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Durations {
    pub count: u64,
    pub total_ns: u64,
    pub min_ns: Option<u64>,
    pub mean_ns: Option<u64>,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub p999_ns: Option<u64>,
    pub max_ns: Option<u64>,
    pub censored: u64,
    pub below_resolution: u64,
    pub resolution_ns: u64,
    pub source: &'static str,
    pub buckets: Vec<Bucket>,
}

/// Written as `[upper_ns, count]`.
pub(super) struct Bucket {
    pub upper_ns: u64,
    pub count: u64,
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.upper_ns)?;
        pair.serialize_element(&self.count)?;
        pair.end()
    }
}

#[derive(Serialize)]
pub(super) struct Thread {
    pub id: u32,
    pub tid: Option<u32>,
    pub name: String,
    pub main: bool,
    pub role: crate::event::Role,
    pub interpreters: Vec<i64>,
    pub start_ns: u64,
    pub end_ns: Option<u64>,
    pub states_ns: States,
    pub lost_ns: u64,
    pub rounds_lost: Option<u64>,
    pub needless_releases: Option<u64>,
    pub waits: Durations,
    pub holds: Durations,
    pub voluntary_switches: Option<u64>,
    pub involuntary_switches: Option<u64>,
    pub cores: Vec<ThreadCore>,
    pub cpus_allowed: Option<Vec<u16>>,
}

#[derive(Serialize)]
pub(super) struct States {
    pub running: u64,
    pub holding_off_cpu: u64,
    pub waiting: u64,
    pub handing_over: u64,
    pub native: u64,
    pub runnable: u64,
    pub idle: u64,
    pub unknown: u64,
}

#[derive(Serialize)]
pub(super) struct ThreadCore {
    pub cpu: u16,
    pub on_cpu_ns: Option<u64>,
    pub gil_held_ns: u64,
}

#[derive(Serialize)]
pub(super) struct Memory {
    pub own: MemoryReadings,
    pub tree: MemoryReadings,
}

#[derive(Serialize)]
pub(super) struct MemoryReadings {
    pub readings: u64,
    pub processes: u32,
    pub peak_pss_bytes: Option<u64>,
    pub peak_ns: Option<u64>,
    pub last_pss_bytes: Option<u64>,
    pub last_ns: Option<u64>,
    pub missing: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Core {
    pub cpu: u16,
    pub target_on_cpu_ns: Option<u64>,
    pub gil_held_ns: u64,
    pub other_ns: Option<u64>,
    pub busy_ns: Option<u64>,
    pub stolen_ns: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Interrupts {
    pub measured: Vec<MeasuredInterrupts>,
    pub pending: Vec<PendingInterrupt>,
    pub unresolved: u64,
    pub predicted: Option<Durations>,
    pub prediction: Option<Prediction>,
}

#[derive(Serialize)]
pub(super) struct MeasuredInterrupts {
    pub signal: Option<u8>,
    pub from: &'static str,
    pub delay: Durations,
    pub segments_ns: Segments,
    pub culprits: Vec<Culprit>,
    pub with_others: u64,
    pub merged: u64,
    pub faults: Vec<FaultTimes>,
}

#[derive(Serialize)]
pub(super) struct Segments {
    pub deliver: Option<u64>,
    pub trip: Option<u64>,
    pub uninterruptible: Option<u64>,
    pub gil_wait: Option<u64>,
    pub handler_start: Option<u64>,
    pub unknown: u64,
}

#[derive(Serialize)]
pub(super) struct Culprit {
    pub thread: u32,
    pub share: f64,
    pub stack: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct FaultTimes {
    pub fault: &'static str,
    pub times: u64,
}

#[derive(Serialize)]
pub(super) struct PendingInterrupt {
    pub signal: Option<u8>,
    pub since_ns: u64,
    pub stage: &'static str,
    pub fault: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Prediction {
    pub p50_range_ns: Option<[u64; 2]>,
    pub p90_range_ns: Option<[u64; 2]>,
    pub not_predictable: Option<f64>,
    pub at_most: Option<f64>,
    pub woken: &'static str,
}
