//! How each figure is read off a snapshot.

use hdrhistogram::Histogram;

use crate::event::{Footprint, InterpreterId};
use crate::figures::{self, Figure, Reading};
use crate::model::snapshot::{
    ArrivalKind, Distribution, GilFigures, Length, MemoryReadings, ProcessFigures, Snapshot, Source, StateTimes,
    ThreadFigures,
};
use crate::time::Ns;

/// Where more of the threads' time than this was not observed, how much of it was spent on cores is not known.
const MOST_UNKNOWN: f64 = 0.05;

/// The process of a snapshot that its figures are of: the one whose GIL was observed for longest, or, without any, the
/// first. `None`: there is no process.
pub fn subject(snapshot: &Snapshot) -> Option<&ProcessFigures> {
    let observed = |process: &ProcessFigures| main_gil(process).map_or(Ns::ZERO, |gil| gil.observed);
    // Of several that are as long, the first.
    snapshot.processes.iter().rev().max_by_key(|process| observed(process))
}

/// The GIL of the main interpreter, or of the first that has one.
pub fn main_gil(process: &ProcessFigures) -> Option<&GilFigures> {
    let main = process.interpreters.iter().find(|one| one.id == InterpreterId(0));
    main.and_then(|one| one.gil.as_deref()).or_else(|| process.interpreters.iter().find_map(|one| one.gil.as_deref()))
}

/// All figures of a process.
pub fn readings(process: &ProcessFigures) -> Vec<(&'static Figure, Reading)> {
    let run = Run {
        process,
        gil: main_gil(process).filter(|gil| gil.observed > Ns::ZERO),
        states: process.threads.iter().map(|thread| &thread.states).sum(),
    };
    READERS.iter().map(|(figure, read)| (*figure, read(&run))).collect()
}

/// How a figure is read off a run.
type Reader = fn(&Run<'_>) -> Reading;

/// All figures, in the order in which they are shown, and how each is read.
pub(super) const READERS: &[(&Figure, Reader)] = &[
    (&figures::LOAD, |run| run.of_gil(|gil| Reading::known(gil.load))),
    (&figures::HELD_OFF_CPU, |run| run.of_gil(|gil| told(gil.held_off_cpu))),
    (&figures::CONTENTION, |run| run.of_gil(|gil| Reading::known(gil.contention))),
    (&figures::DEMAND, |run| run.of_gil(|gil| Reading::known(gil.demand))),
    (&figures::LOST, |run| run.of_gil(|gil| told(gil.lost.share_of(gil.observed)))),
    (&figures::WAITS, |run| run.of_gil(|gil| run.often(gil, &gil.waits))),
    (&figures::WAITS_P50, |run| run.of_gil(|gil| quantile(&gil.waits, 0.5))),
    (&figures::WAITS_P90, |run| run.of_gil(|gil| quantile(&gil.waits, 0.9))),
    (&figures::WAITS_P99, |run| run.of_gil(|gil| quantile(&gil.waits, 0.99))),
    (&figures::ROUNDS_LOST, |run| run.of_gil(|gil| counted(run.sum(|thread| thread.rounds_lost), gil.observed))),
    (&figures::HOLDS, |run| run.of_gil(|gil| run.often(gil, &gil.holds))),
    (&figures::HOLDS_P50, |run| run.of_gil(|gil| quantile(&gil.holds, 0.5))),
    (&figures::HOLDS_P90, |run| run.of_gil(|gil| quantile(&gil.holds, 0.9))),
    (&figures::HOLDS_P99, |run| run.of_gil(|gil| quantile(&gil.holds, 0.99))),
    (&figures::HANDOFFS, |run| run.of_gil(|gil| a_second(gil.handoffs, gil.observed))),
    (&figures::FORCED, |run| run.of_gil(|gil| counted(gil.forced_handoffs, gil.observed))),
    (&figures::VOLUNTARY, |run| run.of_gil(|gil| counted(voluntary(gil), gil.observed))),
    (&figures::CROSS_CORE, |run| run.of_gil(|gil| counted(gil.cross_core_handoffs, gil.observed))),
    (&figures::PREDICTED_P50, |run| run.predicted(0.5)),
    (&figures::PREDICTED_P90, |run| run.predicted(0.9)),
    (&figures::MEASURED_P50, |run| run.measured(0.5)),
    (&figures::MEASURED_P90, |run| run.measured(0.9)),
    (&figures::CORES_GIL, |run| run.on_cores(run.states.running)),
    (&figures::CORES_NATIVE, |run| run.on_cores(run.states.native)),
    (&figures::CORES_QUEUED, |run| run.on_cores(run.states.runnable)),
    (&figures::SWITCHES_VOLUNTARY, |run| run.switches(|thread| thread.voluntary_switches)),
    (&figures::SWITCHES_INVOLUNTARY, |run| run.switches(|thread| thread.involuntary_switches)),
    (&figures::MEMORY, |run| memory(&run.process.memory.tree)),
];

/// A process while its figures are read.
pub(super) struct Run<'a> {
    process: &'a ProcessFigures,
    gil: Option<&'a GilFigures>,
    states: StateTimes,
}

impl Run<'_> {
    fn of_gil(&self, read: impl FnOnce(&GilFigures) -> Reading) -> Reading {
        self.gil.map_or(Reading::Unknown("no GIL was observed"), read)
    }

    /// How often there was one, cut ones included: in exact mode in the windows, which are a part of the time.
    fn often(&self, gil: &GilFigures, all: &Distribution) -> Reading {
        let count = all.count().saturating_add(all.censored);
        if all.source != Source::Exact {
            return a_second(count, gil.observed);
        }
        match self.process.capture.exact.map(|exact| exact.coverage) {
            Some(share) if share > 0.0 => a_second(count, Ns((gil.observed.0 as f64 * share) as u64)),
            _ => Reading::Unknown(NOT_OBSERVED),
        }
    }

    /// The sum over all threads, if it is known of each, and if each is there.
    fn sum(&self, of: impl Fn(&ThreadFigures) -> Option<u64>) -> Option<u64> {
        if self.process.folded_threads > 0 {
            return None;
        }
        self.process.threads.iter().try_fold(0u64, |sum, thread| Some(sum.saturating_add(of(thread)?)))
    }

    /// Mean number of threads in a state that the kernel's totals tell.
    fn on_cores(&self, time: Ns) -> Reading {
        match self.states.unknown.share_of(self.states.total()) {
            Some(unknown) if unknown > MOST_UNKNOWN => {
                Reading::Unknown("too much of the threads' time was not observed")
            }
            Some(_) if self.process.folded_threads == 0 => told(time.share_of(self.process.capture.duration)),
            _ => Reading::Unknown(NOT_OBSERVED),
        }
    }

    fn switches(&self, of: impl Fn(&ThreadFigures) -> Option<u64>) -> Reading {
        counted(self.sum(of), self.process.capture.duration)
    }

    fn predicted(&self, share: f64) -> Reading {
        let predicted = self.process.interrupts.as_ref().and_then(|interrupts| interrupts.predicted.as_ref());
        predicted.map_or(Reading::Unknown(NOT_OBSERVED), |predicted| quantile(&predicted.delay, share))
    }

    /// Of all signals together, from where the kernel generated them if that was seen of any.
    fn measured(&self, share: f64) -> Reading {
        let Some(interrupts) = &self.process.interrupts else { return Reading::Unknown(NOT_OBSERVED) };
        let begins = |kind| interrupts.measured.iter().filter(move |one| one.from == kind && one.delay.count() > 0);
        let kind = if begins(ArrivalKind::Generate).count() > 0 { ArrivalKind::Generate } else { ArrivalKind::Trip };
        let resolution = begins(kind).map(|one| one.delay.resolution).max().unwrap_or(Ns::ZERO);
        let mut all: Option<Histogram<u32>> = None;
        for histogram in begins(kind).filter_map(|one| one.delay.histogram.as_deref()) {
            match &mut all {
                None => all = Some(histogram.clone()),
                Some(sum) => {
                    if sum.add(histogram).is_err() {
                        return Reading::Unknown("what was recorded makes no sense");
                    }
                }
            }
        }
        match all {
            None => Reading::Nothing,
            Some(all) => length(Ns(all.value_at_quantile(share)), resolution),
        }
    }
}

const NOT_OBSERVED: &str = "it was not observed";

fn voluntary(gil: &GilFigures) -> Option<u64> {
    gil.forced_handoffs.map(|forced| gil.handoffs.saturating_sub(forced))
}

/// The most of all readings.
fn memory(readings: &MemoryReadings) -> Reading {
    match (readings.peak, readings.missing) {
        (Some((peak, _)), None) => Reading::known(peak as f64),
        (_, Some(Footprint::TooLarge)) => Reading::Unknown("to read the memory of so large a process would hold it up"),
        (_, Some(_)) => Reading::Unknown("the memory of its processes may not be read"),
        (None, None) => Reading::Unknown("its memory was not read"),
    }
}

fn told(value: Option<f64>) -> Reading {
    value.map_or(Reading::Unknown(NOT_OBSERVED), Reading::known)
}

fn a_second(count: u64, time: Ns) -> Reading {
    match time {
        Ns::ZERO => Reading::Unknown(NOT_OBSERVED),
        time => Reading::known(count as f64 / time.as_secs_f64()),
    }
}

fn counted(count: Option<u64>, time: Ns) -> Reading {
    count.map_or(Reading::Unknown("it was not observed, or not well enough"), |count| a_second(count, time))
}

fn quantile(durations: &Distribution, share: f64) -> Reading {
    match durations.quantile(share) {
        Some(Length::Known(value)) => length(value, durations.resolution),
        Some(Length::Below(resolution)) => Reading::Below { resolution: resolution.0 as f64 },
        None if durations.censored > 0 => Reading::Unknown("none was seen whole"),
        None => Reading::Nothing,
    }
}

fn length(value: Ns, resolution: Ns) -> Reading {
    match value < resolution {
        true => Reading::Below { resolution: resolution.0 as f64 },
        false => Reading::Known { value: value.0 as f64, resolution: resolution.0 as f64 },
    }
}
