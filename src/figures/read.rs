//! How each figure is read off a snapshot.

use crate::event::Footprint;
use crate::figures::whole::{Member, Part, Whole};
use crate::figures::{self, Figure, Reading};
use crate::model::snapshot::{
    ArrivalKind, Distribution, GilFigures, InterruptFigures, Length, MeasuredInterrupts, Source, ThreadFigures,
};
use crate::time::Ns;

/// Where more of the threads' time than this was not observed, how much of it was spent on cores is not known.
const MOST_UNKNOWN: f64 = 0.05;

/// All figures of what was observed.
pub fn readings(whole: &Whole<'_>) -> Vec<(&'static Figure, Reading)> {
    READERS.iter().map(|(figure, read)| (*figure, read(whole))).collect()
}

/// How a figure is read off a run.
type Reader = fn(&Whole<'_>) -> Reading;

/// All figures, in the order in which they are shown, and how each is read.
pub(super) const READERS: &[(&Figure, Reader)] = &[
    (&figures::LOAD, |whole| whole.most(|gil| Some(gil.load))),
    (&figures::HELD_OFF_CPU, |whole| whole.most(|gil| gil.held_off_cpu)),
    (&figures::CONTENTION, |whole| whole.most(|gil| Some(gil.contention))),
    (&figures::DEMAND, |whole| whole.sum(|part| Some(part.gil.demand))),
    (&figures::LOST, |whole| whole.sum(|part| part.gil.lost.share_of(part.gil.observed))),
    (&figures::WAITS, |whole| whole.sum(|part| part.often(&part.gil.waits))),
    (&figures::WAITS_P50, |whole| whole.wait(0.5)),
    (&figures::WAITS_P90, |whole| whole.wait(0.9)),
    (&figures::WAITS_P99, |whole| whole.wait(0.99)),
    (&figures::ROUNDS_LOST, |whole| whole.rounds_lost()),
    (&figures::HOLDS, |whole| whole.alike(|| whole.sum(|part| part.often(&part.gil.holds)))),
    (&figures::HOLDS_P50, |whole| whole.hold(0.5)),
    (&figures::HOLDS_P90, |whole| whole.hold(0.9)),
    (&figures::HOLDS_P99, |whole| whole.hold(0.99)),
    (&figures::HANDOFFS, |whole| whole.handoffs(|gil| Some(gil.handoffs))),
    (&figures::FORCED, |whole| whole.handoffs(|gil| gil.forced_handoffs)),
    (&figures::VOLUNTARY, |whole| whole.handoffs(voluntary)),
    (&figures::CROSS_CORE, |whole| whole.handoffs(|gil| gil.cross_core_handoffs)),
    (&figures::PREDICTED_P50, |whole| whole.predicted(0.5)),
    (&figures::PREDICTED_P90, |whole| whole.predicted(0.9)),
    (&figures::MEASURED_P50, |whole| whole.measured(0.5)),
    (&figures::MEASURED_P90, |whole| whole.measured(0.9)),
    (&figures::CORES_GIL, |whole| whole.on_cores(whole.states().running)),
    (&figures::CORES_NATIVE, |whole| whole.on_cores(whole.states().native)),
    (&figures::CORES_QUEUED, |whole| whole.on_cores(whole.states().runnable)),
    (&figures::SWITCHES_VOLUNTARY, |whole| whole.switches(|thread| thread.voluntary_switches)),
    (&figures::SWITCHES_INVOLUNTARY, |whole| whole.switches(|thread| thread.involuntary_switches)),
    (&figures::MEMORY, |whole| whole.most_memory()),
];

impl Part<'_> {
    /// How often there was one in a second, cut ones included: in exact mode in the windows, which are a part of the time.
    fn often(&self, all: &Distribution) -> Option<f64> {
        let count = all.count().saturating_add(all.censored);
        if all.source != Source::Exact {
            return a_second(count, self.gil.observed);
        }
        let share = self.process.capture.exact.map(|exact| exact.coverage).filter(|share| *share > 0.0)?;
        a_second(count, Ns((self.gil.observed.0 as f64 * share) as u64))
    }
}

impl Whole<'_> {
    /// Of what adds up: the sum over all GILs, each for as long as it was there.
    fn sum(&self, of: impl Fn(&Part<'_>) -> Option<f64>) -> Reading {
        self.together(of, |all, one| all + one)
    }

    /// Of a share of time, which does not add up: that of the GIL that has most of it.
    fn most(&self, of: impl Fn(&GilFigures) -> Option<f64>) -> Reading {
        self.together(|part| of(part.gil), f64::max)
    }

    /// Joins what it is of each GIL, each for as long as that was there; unknown if it is of one.
    fn together(&self, of: impl Fn(&Part<'_>) -> Option<f64>, join: impl Fn(f64, f64) -> f64) -> Reading {
        let values: Option<Vec<f64>> = self.parts().map(|part| Some(of(&part)? * part.there)).collect();
        match values.map(|values| values.into_iter().reduce(join)) {
            Some(Some(value)) => Reading::known(value),
            Some(None) => self.unseen(),
            None => Reading::Unknown(NOT_WELL_OBSERVED),
        }
    }

    /// Of a kind of handoffs: how often there was one, in a second.
    fn handoffs(&self, count: impl Fn(&GilFigures) -> Option<u64>) -> Reading {
        let is_known = self.parts().any(|part| count(part.gil).is_some());
        self.sum(|part| match count(part.gil) {
            // Where there was none of any kind, nothing need be known of the kind.
            None if is_known && part.gil.handoffs == 0 => Some(0.0),
            count => a_second(count?, part.gil.observed),
        })
    }

    /// Handoffs to others during waits of all threads, in a second.
    fn rounds_lost(&self) -> Reading {
        let observed = self.members().iter().filter_map(|member| {
            let longest = member.gils.iter().map(|part| part.gil.observed).max()?;
            let handoffs: u64 = member.gils.iter().map(|part| part.gil.handoffs).fold(0, u64::saturating_add);
            Some((member, member.sum(|thread| thread.rounds_lost), longest, handoffs))
        });
        let observed: Vec<_> = observed.collect();
        if observed.is_empty() {
            return self.unseen();
        }
        let is_known = observed.iter().any(|(_, count, ..)| count.is_some());
        let rates = observed.iter().map(|(member, count, longest, handoffs)| match count {
            None if is_known && *handoffs == 0 => Some(0.0),
            count => Some(a_second((*count)?, *longest)? * member.there),
        });
        rates.sum::<Option<f64>>().map_or(Reading::Unknown(NOT_WELL_OBSERVED), Reading::known)
    }

    fn wait(&self, share: f64) -> Reading {
        self.seen(|| self.waits().map_or(Reading::Nothing, |waits| quantile(waits, share)))
    }

    fn hold(&self, share: f64) -> Reading {
        self.seen(|| self.alike(|| self.holds().map_or(Reading::Nothing, |holds| quantile(holds, share))))
    }

    fn seen(&self, read: impl FnOnce() -> Reading) -> Reading {
        if self.parts().next().is_some() { read() } else { self.unseen() }
    }

    /// What is to be said of a GIL of which nothing was seen.
    fn unseen(&self) -> Reading {
        if self.is_without_gil() { Reading::Nothing } else { Reading::Unknown("no GIL was observed") }
    }

    fn alike(&self, read: impl FnOnce() -> Reading) -> Reading {
        match self.is_seen_unlike() {
            true => Reading::Unknown("watchpoints saw the holds of some of its GILs only"),
            false => read(),
        }
    }

    /// Mean number of threads in a state that the kernel's totals tell.
    fn on_cores(&self, time: Ns) -> Reading {
        let states = self.states();
        let is_each_kept = self.processes().all(|process| process.folded_threads == 0);
        match states.unknown.share_of(states.total()) {
            Some(unknown) if unknown > MOST_UNKNOWN => {
                Reading::Unknown("too much of the threads' time was not observed")
            }
            Some(_) if is_each_kept => {
                time.share_of(self.length()).map_or(Reading::Unknown(NOT_OBSERVED), Reading::known)
            }
            _ => Reading::Unknown(NOT_OBSERVED),
        }
    }

    fn switches(&self, of: impl Fn(&ThreadFigures) -> Option<u64>) -> Reading {
        let counts: Option<Vec<u64>> = self.members().iter().map(|member| member.sum(&of)).collect();
        let count = counts.map(|counts| counts.into_iter().fold(0, u64::saturating_add));
        let rate = count.and_then(|count| a_second(count, self.length()));
        rate.map_or(Reading::Unknown(NOT_WELL_OBSERVED), Reading::known)
    }

    /// Of the process that was observed for longest: each has a main thread of its own.
    fn predicted(&self, share: f64) -> Reading {
        let interrupts = self.longest().and_then(|process| process.interrupts.as_ref());
        let predicted = interrupts.and_then(|interrupts| interrupts.predicted.as_ref());
        predicted.map_or(Reading::Unknown(NOT_OBSERVED), |predicted| quantile(&predicted.delay, share))
    }

    /// Of all signals to all processes together, from where the kernel generated them if that was seen of any.
    fn measured(&self, share: f64) -> Reading {
        let interrupts: Vec<&InterruptFigures> =
            self.processes().filter_map(|process| process.interrupts.as_deref()).collect();
        if interrupts.is_empty() {
            return Reading::Unknown(NOT_OBSERVED);
        }
        let all = || interrupts.iter().flat_map(|interrupts| &interrupts.measured).filter(|one| one.delay.count() > 0);
        let is_generated = |one: &&MeasuredInterrupts| one.from == ArrivalKind::Generate;
        let kind = if all().any(|one| is_generated(&one)) { ArrivalKind::Generate } else { ArrivalKind::Trip };
        let delays = all().filter(|one| one.from == kind).map(|one| &one.delay);
        let together = delays
            .fold(None, |sum: Option<Distribution>, one| Some(sum.map_or_else(|| one.clone(), |sum| sum.with(one))));
        together.map_or(Reading::Nothing, |delays| quantile(&delays, share))
    }

    /// The most of all readings, of all processes together.
    fn most_memory(&self) -> Reading {
        let Some(readings) = self.memory() else {
            return Reading::Unknown("its processes do not descend from one of them, so they were not read together");
        };
        match readings.iter().find_map(|readings| readings.missing) {
            Some(Footprint::TooLarge) => Reading::Unknown("to read the memory of so large a process would hold it up"),
            Some(_) => Reading::Unknown("the memory of its processes may not be read"),
            None => {
                let peak = readings.iter().filter_map(|readings| readings.peak).map(|(peak, _)| peak).max();
                peak.map_or(Reading::Unknown("its memory was not read"), |peak| Reading::known(peak as f64))
            }
        }
    }
}

impl Member<'_> {
    /// The sum over all threads, if it is known of each, and if each is there.
    fn sum(&self, of: impl Fn(&ThreadFigures) -> Option<u64>) -> Option<u64> {
        if self.process.folded_threads > 0 {
            return None;
        }
        self.process.threads.iter().try_fold(0u64, |sum, thread| Some(sum.saturating_add(of(thread)?)))
    }
}

const NOT_OBSERVED: &str = "it was not observed";
const NOT_WELL_OBSERVED: &str = "it was not observed, or not well enough";

fn voluntary(gil: &GilFigures) -> Option<u64> {
    gil.forced_handoffs.map(|forced| gil.handoffs.saturating_sub(forced))
}

fn a_second(count: u64, time: Ns) -> Option<f64> {
    (time > Ns::ZERO).then(|| count as f64 / time.as_secs_f64())
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
