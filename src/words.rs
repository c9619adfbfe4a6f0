//! Figures in words. Text report and dashboard share these, so that both say the same of the same.

mod program;

use crate::event::{Cpu, Signal};
use crate::model::snapshot::{
    ArrivalKind, Fault, Length, MeasuredInterrupts, PredictedInterrupt, Segment, Stage, UnwatchedFigures, Woken,
};
use crate::time::Ns;
use crate::units;

pub use program::program;

/// Shares of the time below this are not worth a word.
const WORTH_A_WORD: f64 = 0.001;

/// A duration as it is known.
pub fn length(length: Length) -> String {
    match length {
        Length::Known(ns) => ns.to_string(),
        Length::Below(resolution) => format!("<{resolution}"),
    }
}

/// A signal's name, if it is known which it is.
pub fn signal(signal: Option<Signal>) -> String {
    signal.map_or("some signal".to_owned(), |signal| signal.to_string())
}

/// Cores by their numbers, in order, as the kernel lists them: `0-3,8`.
pub fn cores(cores: &[Cpu]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for Cpu(cpu) in cores {
        match ranges.last_mut().filter(|(_, last)| last.checked_add(1) == Some(*cpu)) {
            Some((_, last)) => *last = *cpu,
            None => ranges.push((*cpu, *cpu)),
        }
    }
    let range = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

/// Descendants that are not looked into, by the reason; what to do about it is said where anything can be done.
pub fn unwatched(left: &UnwatchedFigures) -> Vec<String> {
    let told = |count: u64, why: &str| (count > 0).then(|| format!("{} {why}", units::count(count)));
    let unreadable = left.unreadable_pid.map_or("may not be read".to_owned(), |pid| {
        let such = if left.unreadable > 1 { "such as " } else { "" };
        format!(
            "may not be read ({such}pid {0}: gilscope doctor {0} says why and what to type, mostly sudo gilscope)",
            pid.0
        )
    });
    let reasons = [
        told(left.too_short, "ended too soon to be looked into"),
        told(left.not_python, "no Python that is supported"),
        told(left.too_many, "beyond the number that is looked into at once"),
        told(left.unreadable, &unreadable),
    ];
    reasons.into_iter().flatten().collect()
}

/// Where delays begin, after "from".
pub fn arrival(from: ArrivalKind) -> &'static str {
    match from {
        ArrivalKind::Generate => "sent",
        ArrivalKind::Trip => "noted",
    }
}

/// What a delay went by with.
pub fn segment(segment: Segment) -> &'static str {
    match segment {
        Segment::Deliver => "until a thread took it",
        Segment::Trip => "until its C handler had run",
        Segment::Uninterruptible => "in a C call that does not look",
        Segment::GilWait => "waiting for the GIL",
        Segment::HandlerStart => "behind another signal's handler",
        Segment::Unknown => "unknown",
    }
}

/// A fault of CPython.
pub fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::NotNoticed => "a fault of CPython 3.9 to 3.12: taken by another thread, the main one does not notice",
        Fault::OtherInterpreter => "a fault of CPython 3.9 to 3.12: another interpreter's holder sees no request",
    }
}

/// Who held the GIL, where that is not known.
pub const NOBODY_SEEN: &str = "nobody, or not seen";

/// Where a signal is.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Blocked => "the main thread blocks it",
        Stage::Sent => "sent, not seen to arrive",
        Stage::Delivered => "a thread takes it",
        Stage::Tripped => "the main thread has not looked",
    }
}

/// A range that holds a figure: `3.23 ms to 3.53 ms`, `up to 1.00 ms`.
pub fn range((low, high): (Ns, Ns)) -> String {
    match low {
        Ns::ZERO => format!("up to {high}"),
        low => format!("{low} to {high}"),
    }
}

/// What else there is to say of a signal's delays, faults of CPython apart.
pub fn remarks(measured: &MeasuredInterrupts) -> Vec<String> {
    [
        (measured.delay.censored, "more not seen whole"),
        (measured.with_others, "with others at once"),
        (measured.merged, "became one with another"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", units::count(count)))
    .collect()
}

/// The faults of CPython that made a signal late, each with how often.
pub fn faults(measured: &MeasuredInterrupts) -> Vec<String> {
    measured.faults.iter().map(|(kind, times)| format!("{}x: {}", units::count(*times), fault(*kind))).collect()
}

/// Signals that were lost sight of.
pub fn unresolved(count: u64) -> String {
    format!("of {} signals it was not seen what became", units::count(count))
}

/// What a prediction does not say, each with its share of the time.
pub fn reservations(predicted: &PredictedInterrupt) -> Vec<String> {
    let share = |value: f64| (value.is_finite() && value >= WORTH_A_WORD).then(|| units::percent(value.min(1.0)));
    let mut parts = Vec::new();
    if let Some(whole) = share(predicted.not_predictable) {
        let because = predicted.because;
        let reasons: Vec<String> = [
            (because.unfinished, "in a wait or a C call that goes on"),
            (because.asleep, "asleep, and nobody was seen waking up"),
            (because.holding, "with the GIL, whether in bytecode not known"),
            (because.unseen, "not seen"),
        ]
        .into_iter()
        .filter_map(|(part, what)| Some((part, share(part)?, what)))
        .map(
            |(part, share, what)| {
                if part > 0.995 * predicted.not_predictable { what.into() } else { format!("{share} {what}") }
            },
        )
        .collect();
        let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) };
        parts.push(format!("not predictable for {whole} of the time{why}"));
    }
    if let Some(share) = share(predicted.at_most) {
        parts.push(format!("at most that, for {share} of the time"));
    }
    match predicted.woken {
        Woken::All => parts.push("when it sleeps: by the waits of all threads that wake up".to_owned()),
        Woken::Own | Woken::Nobody => {}
    }
    parts
}
