//! Is the GIL the problem at all? One answer, with the figures that made it.
//!
//! Load is not contention: a GIL that is held all the time by the only thread that wants it costs nothing.
//! What costs is waiting, so contention and lost time decide, and load only explains.

use crate::event::{Ending, GilKey, ThreadKey};
use crate::findings::case::Case;
use crate::findings::figures::{self, Only, SharedGil};
use crate::findings::thresholds::{
    ASLEEP_UNCONTENDED, CONTENTION_MATTERS, CONTENTION_NEGLIGIBLE, HELD_OTHERWISE, LOAD_IDLE, LOAD_SATURATED,
    MEAN_THREADS, MEAN_WAITERS_BURST, MIN_COVERAGE, MIN_OBSERVED, MIN_SAMPLES, MOSTLY_ASLEEP, QUEUE_OVER_WAIT, STALL,
    TOP_HOLDER,
};
use crate::findings::words::{per_time, percent, quoted, threads, threads_are, threads_queue};
use crate::findings::{Finding, Name, Severity};
use crate::model::snapshot::{GilFigures, Length, ProcessFigures, StateTimes, ThreadFigures};
use crate::time::Ns;
use crate::units;

/// The answer to "is the GIL my problem?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Is,
    /// It costs something, but is not the first thing to look at.
    Partly,
    /// Too little is known.
    Unknown,
    /// It is not.
    IsNot,
    /// There is none.
    NoGil,
}

impl Answer {
    /// The answer as a sentence without its full stop.
    pub fn headline(self) -> &'static str {
        match self {
            Answer::Is => "The GIL is your problem",
            Answer::Partly => "The GIL is part of your problem",
            Answer::Unknown => "Whether the GIL is your problem is not known",
            Answer::IsNot => "The GIL is not your problem",
            Answer::NoGil => "There is no GIL here",
        }
    }

    /// The more urgent of two answers decides for a process.
    fn urgency(self) -> u8 {
        match self {
            Answer::Is => 4,
            Answer::Partly => 3,
            Answer::Unknown => 2,
            Answer::IsNot => 1,
            Answer::NoGil => 0,
        }
    }
}

/// What the answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Threads wait for it while another one computes with it.
    Contended,
    /// Threads wait for it while the holder sleeps.
    HolderAsleep,
    /// Threads wait for it while the holder queues for a core.
    HolderPreempted,
    /// Waits are rare, but one thread loses much of its life to them.
    OneVictim,
    /// Contention is rare, but many threads wait at once.
    Bursts,
    /// Waits are rare, but at least one was long.
    LongWaits,
    /// Contention is rare, but a finding says that it matters.
    Found,
    /// One thread keeps it busy and nobody else wants it.
    OneBusyThread,
    /// It is used, and hardly ever waited for.
    Uncontended,
    /// Held by a sleeper, though nobody wants it.
    AsleepUncontended,
    /// The work is done without the GIL.
    WorkOutside,
    /// Threads wait for a core, not for the GIL.
    RunQueue,
    /// Nothing happens.
    Idle,
    /// It was not observed for long enough.
    TooShort,
    /// Too few samples.
    TooFewSamples,
    /// Too much of the time was not observed.
    PoorCoverage,
    /// The threads could not be read for most of the time.
    ThreadsUnread,
    /// The figures contradict themselves.
    Inconsistent,
    /// No interpreter was found.
    NoInterpreter,
    /// All its interpreters run without a GIL.
    FreeThreaded,
}

/// An answer and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// What it rests on.
    pub reason: Reason,
    /// Why, in true sentences for people; safe to print.
    pub because: String,
    /// How it is held while others wait, in more of them.
    pub cause: Option<String>,
    /// How the observation ended, if the process ended it.
    pub ending: Option<String>,
    /// The GIL that decided.
    pub gil: Option<GilKey>,
    /// The thread that lost most to it, where that is part of the answer.
    pub victim: Option<ThreadKey>,
}

impl Verdict {
    /// Why, with how it is held, and how it ended.
    pub fn in_full(&self) -> String {
        let sentences = [Some(&self.because), self.cause.as_ref(), self.ending.as_ref()];
        sentences.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// No answer is at odds with a finding: what is worth a warning is at least part of the problem.
pub(super) fn agree(verdict: &mut Verdict, list: &[Finding]) {
    // Of others, and of signals, the answer says nothing.
    let of_it = |finding: &&Finding| {
        finding.gil.is_some() && finding.severity > Severity::Info && finding.name != Name::CrossCoreBounce
    };
    let Some(first) = list.iter().filter(of_it).max_by_key(|finding| finding.severity) else { return };
    if verdict.answer == Answer::IsNot {
        verdict.answer = Answer::Partly;
        verdict.reason = Reason::Found;
        verdict.gil = first.gil;
        verdict.because = "Someone waits for it only now and then, but where that is, it matters.".to_owned();
        verdict.cause = Some(first.message.clone());
    }
}

/// Answers for one process. With several GILs the worst one decides, and the others are named.
pub(super) fn of(process: &ProcessFigures) -> Verdict {
    let gils = figures::gils(process);
    let mut verdict = match (gils.as_slice(), process.interpreters.is_empty()) {
        ([], true) => plain(Answer::Unknown, Reason::NoInterpreter, "No interpreter has been found in it.".to_owned()),
        ([], false) => without_gil(process),
        ([one], _) => of_gil(process, one, Only::One),
        (several, _) => of_several(process, several),
    };
    verdict.ending = ending(process);
    verdict
}

fn plain(answer: Answer, reason: Reason, because: String) -> Verdict {
    Verdict { answer, reason, because, cause: None, ending: None, gil: None, victim: None }
}

fn without_gil(process: &ProcessFigures) -> Verdict {
    let native =
        per_time(process.threads.iter().map(|t| &t.states).sum::<StateTimes>().native, process.capture.duration);
    let mut because = "This interpreter runs without one: its threads execute Python code in parallel.".to_owned();
    if native >= MEAN_THREADS {
        because.push_str(&format!(" On average {} on a core.", threads_are(native)));
    }
    plain(Answer::NoGil, Reason::FreeThreaded, because)
}

fn of_several(process: &ProcessFigures, gils: &[SharedGil<'_>]) -> Verdict {
    const SHOWN: usize = 4;
    let mut all: Vec<(&SharedGil<'_>, Verdict)> =
        gils.iter().map(|gil| (gil, of_gil(process, gil, Only::OfSeveral))).collect();
    // The sort is stable: among equals the most contended decides, then the first.
    all.sort_by(|(a, va), (b, vb)| {
        vb.answer.urgency().cmp(&va.answer.urgency()).then(b.gil.contention.total_cmp(&a.gil.contention))
    });
    let mut rest = all.into_iter();
    let Some((worst, mut verdict)) = rest.next() else {
        return plain(Answer::Unknown, Reason::NoInterpreter, "No interpreter has been found in it.".to_owned());
    };
    let others: Vec<_> = rest.collect();
    verdict.because = format!("The worst of {} GILs is that of {}. {}", gils.len(), worst.whose(), verdict.because);
    for (gil, other) in others.iter().take(SHOWN) {
        let word = match other.answer {
            Answer::Is => "a problem too",
            Answer::Partly => "a part of the problem too",
            Answer::Unknown => "not known",
            Answer::IsNot | Answer::NoGil => "no problem",
        };
        verdict.because.push_str(&format!(
            " The GIL of {}: {word} (load {}, contention {}).",
            gil.whose(),
            percent(gil.gil.load),
            percent(gil.gil.contention)
        ));
    }
    if let Some(more @ 1..) = others.len().checked_sub(SHOWN) {
        verdict.because.push_str(&format!(" {more} more are no worse."));
    }
    verdict
}

fn of_gil(process: &ProcessFigures, shared: &SharedGil<'_>, only: Only) -> Verdict {
    let gil = shared.gil;
    let threads: Vec<&ThreadFigures> = figures::users(process, shared, only).collect();
    let states: StateTimes = threads.iter().map(|t| &t.states).sum();
    let decision = if let Some((reason, because)) = too_little(process, gil, &states) {
        Decision::of(Answer::Unknown, reason, because)
    } else if let Some(case) = Case::checked(process, shared, threads, states) {
        decide(&case)
    } else {
        Decision::of(Answer::Unknown, Reason::Inconsistent, "Its figures contradict themselves.".to_owned())
    };
    let Decision { answer, reason, because, cause, victim } = decision;
    Verdict { answer, reason, because, cause, ending: None, gil: Some(gil.key), victim }
}

pub(super) fn too_little(process: &ProcessFigures, gil: &GilFigures, states: &StateTimes) -> Option<(Reason, String)> {
    let capture = &process.capture;
    let so_far = || match (figures::share(gil.load), figures::share(gil.contention)) {
        (Some(load), Some(contention)) if gil.observed > Ns::ZERO => {
            format!(" So far: load {}, contention {}.", units::percent(load), units::percent(contention))
        }
        _ => String::new(),
    };
    let unread = states.unknown.share_of(states.total()).unwrap_or(0.0);
    let (reason, why) = if gil.observed == Ns::ZERO {
        (Reason::TooShort, "Nothing has been observed of it yet.".to_owned())
    } else if !capture.coverage.is_finite() || (capture.duration >= MIN_OBSERVED && capture.coverage < MIN_COVERAGE) {
        (Reason::PoorCoverage, format!("Only {} of the time could be observed.", percent(capture.coverage)))
    } else if gil.observed < MIN_OBSERVED {
        (Reason::TooShort, format!("It was observed for {} only, and less than a second tells little.", gil.observed))
    } else if capture.samples < MIN_SAMPLES {
        let seen = units::count(capture.samples);
        (Reason::TooFewSamples, format!("There are {seen} samples only, and fewer than {MIN_SAMPLES} tell little."))
    } else if unread >= 0.5 {
        (Reason::ThreadsUnread, format!("What its threads do could not be read for {} of their time.", percent(unread)))
    } else {
        return None;
    };
    Some((reason, why + &so_far()))
}

struct Decision {
    answer: Answer,
    reason: Reason,
    because: String,
    cause: Option<String>,
    victim: Option<ThreadKey>,
}

impl Decision {
    fn of(answer: Answer, reason: Reason, because: String) -> Decision {
        Decision { answer, reason, because, cause: None, victim: None }
    }
}

fn decide(case: &Case<'_>) -> Decision {
    let victim = case.victim();
    let suffers = victim.is_some_and(|(_, share)| share >= CONTENTION_MATTERS);
    let longest = match case.gil.waits.max() {
        Some(Length::Known(longest)) if longest >= STALL => Some(longest),
        _ => None,
    };
    let key = victim.map(|(thread, _)| thread.key);
    if case.contention >= CONTENTION_NEGLIGIBLE {
        let answer = if suffers || case.contention >= CONTENTION_MATTERS { Answer::Is } else { Answer::Partly };
        let (reason, cause) = cause(case);
        let because = format!("{}{}", waiting(case, victim), queueing(case));
        Decision { answer, reason, because, cause: Some(cause), victim: key }
    } else if let Some((thread, share)) = victim.filter(|_| suffers) {
        let because = format!(
            "Someone waits for it only {} of the time, but {} lost {} of its {} to it.",
            percent(case.contention),
            quoted(thread),
            percent(share),
            thread.states.total()
        );
        Decision { victim: key, ..Decision::of(Answer::Partly, Reason::OneVictim, because) }
    } else if case.waiters >= MEAN_WAITERS_BURST {
        let because = format!(
            "Someone waits for it only {} of the time, but then many do: up to {} threads at once.",
            percent(case.contention),
            units::count(u64::from(case.gil.max_waiters))
        );
        Decision { victim: key, ..Decision::of(Answer::Partly, Reason::Bursts, because) }
    } else if let Some(longest) = longest {
        let because = format!(
            "Someone waits for it only {} of the time, but the longest wait took {longest}.",
            percent(case.contention)
        );
        Decision { victim: key, ..Decision::of(Answer::Partly, Reason::LongWaits, because) }
    } else {
        let (reason, because) = harmless(case);
        Decision::of(Answer::IsNot, reason, because)
    }
}

fn waiting(case: &Case<'_>, victim: Option<(&ThreadFigures, f64)>) -> String {
    let mut text =
        format!("Someone waits for it {} of the time, {} on average.", percent(case.contention), threads(case.waiters));
    if let Some((thread, share)) = victim {
        text.push_str(&format!(" Worst off is {}: it waits {} of its time.", quoted(thread), percent(share)));
    }
    text
}

fn cause(case: &Case<'_>) -> (Reason, String) {
    let of_held = |share: Option<f64>| share.filter(|share| case.load > 0.0 && share / case.load >= HELD_OTHERWISE);
    if let Some(asleep) = of_held(case.asleep) {
        let by = case
            .sleeper()
            .map_or("a thread that sleeps".to_owned(), |t| format!("sleeping threads, mostly {}", quoted(t)));
        let text = format!(
            "It is held {} of the time, and for {} by {by}: the CPU is not the bottleneck, the holder sleeps without letting go of it.",
            percent(case.load),
            percent(asleep)
        );
        return (Reason::HolderAsleep, text);
    }
    if let Some(preempted) = of_held(case.preempted) {
        let text = format!(
            "It is held {} of the time, and for {} by a thread that queues for a core: the holder is short of CPU.",
            percent(case.load),
            percent(preempted)
        );
        return (Reason::HolderPreempted, text);
    }
    let mut text = format!("It is held {} of the time", percent(case.load));
    if let Some((top, share)) = case.top_holder().filter(|(_, share)| *share >= TOP_HOLDER * case.load) {
        text.push_str(&format!(", longest by {} ({})", quoted(top), percent(share)));
    }
    if case.load >= LOAD_SATURATED {
        text.push_str(": more threads cannot add to that, only work outside the GIL can.");
    } else {
        text.push('.');
    }
    (Reason::Contended, text)
}

fn queueing(case: &Case<'_>) -> String {
    match case.mean_in(case.states.runnable) {
        queued if queued >= MEAN_THREADS => format!(" Besides, {} for a core on average.", threads_queue(queued)),
        _ => String::new(),
    }
}

fn harmless(case: &Case<'_>) -> (Reason, String) {
    let (load, contention) = (percent(case.load), percent(case.contention));
    let queued = case.mean_in(case.states.runnable);
    let native = case.mean_in(case.states.native);
    if queued >= MEAN_THREADS && queued >= QUEUE_OVER_WAIT * case.waiters {
        let text = format!(
            "Its threads wait for a core, not for the GIL: on average {} for a core, {} for the GIL (contention {contention}).",
            threads_queue(queued),
            threads(case.waiters)
        );
        return (Reason::RunQueue, text);
    }
    if let Some(asleep) = case.asleep.filter(|asleep| *asleep >= ASLEEP_UNCONTENDED) {
        let text = format!(
            "Someone waits for it only {contention} of the time. But it is held {load} of the time, and for {} by a thread that sleeps: any other thread that wants it meanwhile has to wait for that.",
            percent(asleep)
        );
        return (Reason::AsleepUncontended, text);
    }
    if case.load < LOAD_IDLE && native >= MEAN_THREADS {
        let text = format!("It is held {load} of the time. On average {} on a core without it.", threads_are(native));
        return (Reason::WorkOutside, text);
    }
    if case.load < LOAD_IDLE {
        let idle = case.states.idle.share_of(case.states.total()).filter(|idle| *idle >= MOSTLY_ASLEEP);
        let rest =
            idle.map_or(String::new(), |idle| format!(" Its threads were idle {} of their time.", percent(idle)));
        return (Reason::Idle, format!("Next to nothing happens: it is held {load} of the time.{rest}"));
    }
    if let Some((top, share)) = case.top_holder().filter(|(_, share)| *share >= 0.5 && *share >= 0.9 * case.load) {
        let text = format!(
            "{} holds it {} of the time, and someone waits for it {contention} of the time: load is not contention. A second thread that computes in Python would have to share it.",
            quoted(top),
            percent(share)
        );
        return (Reason::OneBusyThread, text);
    }
    let whole = case.states.total();
    let lost = case.gil.lost.share_of(whole).and_then(figures::share);
    let of = lost.map_or(String::new(), |share| format!(" ({} of its threads' time)", percent(share)));
    let text = format!(
        "It is held {load} of the time, but someone waits for it only {contention} of the time. Lost time is {}{of}.",
        case.gil.lost
    );
    (Reason::Uncontended, text)
}

fn ending(process: &ProcessFigures) -> Option<String> {
    let after = process.capture.duration;
    Some(match process.ending.as_ref()? {
        Ending::Exited => format!("The process has ended, after {after} of observation."),
        Ending::Execed { path } => {
            format!("After {after} of observation it replaced itself by {}.", units::printable(path, 60))
        }
        Ending::Finalized => format!("Its interpreter has shut down, after {after} of observation."),
        Ending::LostSight { reason } => {
            format!("After {after} of observation it could no longer be read: {}.", units::printable(reason, 120))
        }
    })
}
