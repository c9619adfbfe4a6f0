//! The figures of a run by which it is compared and judged: each with a name, a unit, and which way is worse.
//!
//! They do not depend on how long was watched: counts are a second, times a second or a share. Where there are several processes,
//! or several GILs in one ([`Whole`]), they are of all together:
//!
//! * Times, counts and numbers of threads add up: [`LOST`], [`DEMAND`], [`HANDOFFS`], [`CORES_GIL`] and the like.
//! * Percentiles are of all waits, holds or delays, as the least precise of them are known.
//! * A share of time stays one: [`LOAD`], [`HELD_OFF_CPU`] and [`CONTENTION`] are each of the GIL that has most of it, as a part of the
//!   whole time, which it may not have been there for. How much Python ran side by side is in [`CORES_GIL`].
//! * The interrupt delay that is foretold is of the process whose GIL was observed for longest.
//!
//! What was not observed of one of them, and could be anything, is not known of all: [`Reading::Unknown`], never zero. What there was
//! none of, such as the longest of no waits, or the load of a GIL where there is none, is [`Reading::Nothing`].

mod condition;
mod read;
mod shown;
mod whole;

pub use condition::{Condition, Judged, Limit, Misread, Order};
pub use read::readings;
pub use shown::shown;
pub use whole::{Extent, Whole};

/// What a figure is.
#[derive(Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name, as it is typed and as programs read it.
    pub name: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Which way is worse.
    pub worse: Worse,
    /// Whether every instrument means the same by it.
    pub meaning: Meaning,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share of the time, 0 to 1.
    Share,
    /// A mean number of threads, or of cores.
    Mean,
    /// Seconds of all threads in a second.
    TimeRate,
    /// How often in a second.
    Rate,
    /// Nanoseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// A number of something.
    Count,
}

/// Which way is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// More of it.
    More,
    /// Less of it.
    Less,
    /// Neither: it depends on what the program is for.
    Neither,
}

/// Whether every instrument means the same by a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// All do.
    Same,
    /// Watchpoints see every one; without them, several in a row that others cannot be told from are one.
    ByInstrument,
}

/// What a run has for a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// A value, finite and not negative.
    Known {
        /// The value, in the figure's unit.
        value: f64,
        /// Below this it would not be known.
        resolution: f64,
    },
    /// Less than can be told.
    Below {
        /// Less than this.
        resolution: f64,
    },
    /// There was none of what it is of.
    Nothing,
    /// It was not observed, and why.
    Unknown(&'static str),
}

impl Reading {
    /// A value that is known however small it is; unknown if it is no number of anything.
    pub fn known(value: f64) -> Reading {
        match value.is_finite() && value >= -1e-9 {
            true => Reading::Known { value: value.max(0.0), resolution: 0.0 },
            false => Reading::Unknown("what was recorded makes no sense"),
        }
    }

    /// The same with no more than this resolution: two runs are compared by the coarser one.
    pub fn coarsened(self, coarser: f64) -> Reading {
        match self {
            Reading::Known { value, .. } if value < coarser => Reading::Below { resolution: coarser },
            Reading::Below { resolution } => Reading::Below { resolution: resolution.max(coarser) },
            other => other,
        }
    }

    /// Below which it would not be known.
    pub fn resolution(self) -> f64 {
        match self {
            Reading::Known { resolution, .. } | Reading::Below { resolution } => resolution,
            Reading::Nothing | Reading::Unknown(_) => 0.0,
        }
    }

    /// A number to rank it by: what is below the resolution is all alike.
    pub fn rank(self) -> Option<f64> {
        match self {
            Reading::Known { value, .. } => Some(value),
            Reading::Below { resolution } => Some(resolution),
            Reading::Nothing | Reading::Unknown(_) => None,
        }
    }
}

macro_rules! figures {
    ($($constant:ident: $name:literal, $title:literal, $unit:ident, $worse:ident, $meaning:ident;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $title, ".")]
            pub const $constant: Figure = Figure {
                name: $name,
                title: $title,
                unit: Unit::$unit,
                worse: Worse::$worse,
                meaning: Meaning::$meaning,
            };
        )*
    };
}

figures! {
    LOAD: "load", "share of time the GIL is held", Share, Neither, Same;
    HELD_OFF_CPU: "held_off_cpu", "share of time it is held by a thread off its core", Share, More, Same;
    CONTENTION: "contention", "share of time somebody waits", Share, More, Same;
    DEMAND: "demand", "threads that hold or want it", Mean, More, Same;
    LOST: "lost", "time lost waiting", TimeRate, More, Same;
    WAITS: "waits.rate", "waits", Rate, More, Same;
    WAITS_P50: "waits.p50", "wait, median", Duration, More, Same;
    WAITS_P90: "waits.p90", "wait, p90", Duration, More, Same;
    WAITS_P99: "waits.p99", "wait, p99", Duration, More, Same;
    ROUNDS_LOST: "rounds_lost", "handoffs to others during waits", Rate, More, Same;
    HOLDS: "holds.rate", "holds", Rate, Neither, ByInstrument;
    HOLDS_P50: "holds.p50", "hold, median", Duration, Neither, ByInstrument;
    HOLDS_P90: "holds.p90", "hold, p90", Duration, More, ByInstrument;
    HOLDS_P99: "holds.p99", "hold, p99", Duration, More, ByInstrument;
    HANDOFFS: "handoffs", "handoffs", Rate, More, Same;
    FORCED: "handoffs.forced", "forced handoffs", Rate, More, Same;
    VOLUNTARY: "handoffs.voluntary", "voluntary handoffs", Rate, Neither, Same;
    CROSS_CORE: "handoffs.cross_core", "handoffs to another core", Rate, More, Same;
    PREDICTED_P50: "interrupts.predicted.p50", "interrupt delay foretold, median", Duration, More, Same;
    PREDICTED_P90: "interrupts.predicted.p90", "interrupt delay foretold, p90", Duration, More, Same;
    MEASURED_P50: "interrupts.measured.p50", "interrupt delay measured, median", Duration, More, Same;
    MEASURED_P90: "interrupts.measured.p90", "interrupt delay measured, p90", Duration, More, Same;
    CORES_GIL: "cores.gil", "cores busy with the GIL", Mean, Neither, Same;
    CORES_NATIVE: "cores.native", "cores busy without the GIL", Mean, Neither, Same;
    CORES_QUEUED: "cores.queued", "threads queued for a core", Mean, More, Same;
    SWITCHES_VOLUNTARY: "switches.voluntary", "context switches, voluntary", Rate, More, Same;
    MEMORY: "memory.pss", "memory of all its processes (PSS)", Bytes, More, Same;
    RUN_WALL: "run.wall", "wall time", Duration, More, Same;
    RUN_CPU: "run.cpu", "CPU time", Duration, More, Same;
    RUN_SWITCHES: "run.switches", "context switches of all processes", Count, More, Same;
    RUN_RSS: "run.max_rss", "most memory of a process (RSS)", Bytes, More, Same;
    SWITCHES_INVOLUNTARY: "switches.involuntary", "context switches, involuntary", Rate, More, Same;
}

/// All figures of a snapshot, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Figure> {
    read::READERS.iter().map(|(figure, _)| *figure)
}

/// The figure of a snapshot with this name.
pub fn named(name: &str) -> Option<&'static Figure> {
    all().find(|figure| figure.name == name)
}
