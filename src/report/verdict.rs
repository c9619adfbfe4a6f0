//! Is the GIL the problem at all? One answer, with the figures that made it.
//!
//! Load is not contention: a GIL that is held all the time by the only thread that wants it costs nothing.
//! What costs is waiting, so contention and lost time decide, and load only explains.

use std::cmp::Reverse;

use crate::event::{Ending, GilKey, ThreadKey};
use crate::model::snapshot::{GilFigures, Length, ProcessFigures, StateTimes, ThreadFigures};
use crate::report::figures::{self, Only, SharedGil};
use crate::time::Ns;
use crate::units;

/// A shorter observation decides nothing: 1 s holds 200 switch intervals of 5 ms, and programs have phases.
pub const MIN_OBSERVED: Ns = Ns::SECOND;

/// Fewer samples decide nothing: with 400 a share is off by more than 5 points in one case of twenty
/// (two standard errors of a share are at most `1 / sqrt(n)`), which is [`CONTENTION_NEGLIGIBLE`].
pub const MIN_SAMPLES: u64 = 400;

/// With less of the time observed, what was not seen could turn the answer round.
pub const MIN_COVERAGE: f64 = 0.5;

/// Contention (share of time with a waiter) below which waiting is not the problem: 5 %. All of it gone would
/// win at most a twentieth, which is what the same program differs by from one run to the next.
pub const CONTENTION_NEGLIGIBLE: f64 = 0.05;

/// Contention, or one thread's lost share of its lifetime, from which waiting is the problem: 20 %.
/// A thread that loses it takes 1.25 times as long as it needs.
pub const CONTENTION_MATTERS: f64 = 0.20;

/// A single thread counts as a victim from this much lost time, as a share of the time observed: 2 %.
/// It keeps a thread that lived for an instant, and waited for most of it, from deciding for all.
pub const LOST_TIME_NEGLIGIBLE: f64 = 0.02;

/// Mean number of waiters from which rare contention matters all the same: then many wait at once.
pub const MEAN_WAITERS_BURST: f64 = 0.20;

/// A single wait from which rare contention matters all the same: what people notice as a stall.
pub const STALL: Ns = Ns::from_millis(100);

/// Load below which nothing happens in Python, worth saying.
const LOAD_IDLE: f64 = 0.01;
/// Load from which the GIL is as good as always held.
const LOAD_SATURATED: f64 = 0.90;
/// Share of the held time from which the way it is held is part of the answer.
const HELD_OTHERWISE: f64 = 0.5;
/// Mean number of threads in a state from which that state is worth naming.
const MEAN_THREADS: f64 = 0.20;
/// Share of the load from which the thread that held it longest is worth naming.
const TOP_HOLDER: f64 = 0.2;
/// How many times more threads queue for a core than wait for the GIL before the cores are named as the cause.
const QUEUE_OVER_WAIT: f64 = 4.0;

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
    /// The GIL that decided.
    pub gil: Option<GilKey>,
    /// The thread that lost most to it, where that is part of the answer.
    pub victim: Option<ThreadKey>,
}

/// Answers for one process. With several GILs the worst one decides, and the others are named.
pub fn verdict(process: &ProcessFigures) -> Verdict {
    let gils = figures::gils(process);
    let mut verdict = match (gils.as_slice(), process.interpreters.is_empty()) {
        ([], true) => plain(Answer::Unknown, Reason::NoInterpreter, "No interpreter has been found in it.".to_owned()),
        ([], false) => without_gil(process),
        ([one], _) => of_gil(process, one, Only::One),
        (several, _) => of_several(process, several),
    };
    if let Some(end) = ending(process) {
        verdict.because.push(' ');
        verdict.because.push_str(&end);
    }
    verdict
}

fn plain(answer: Answer, reason: Reason, because: String) -> Verdict {
    Verdict { answer, reason, because, gil: None, victim: None }
}

fn without_gil(process: &ProcessFigures) -> Verdict {
    let native = per_time(figures::sum(process.threads.iter().map(|t| &t.states)).native, process.capture.duration);
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

/// The figures of one GIL, checked, with what belongs to it.
struct Case<'a> {
    gil: &'a GilFigures,
    load: f64,
    contention: f64,
    waiters: f64,
    asleep: Option<f64>,
    preempted: Option<f64>,
    threads: Vec<&'a ThreadFigures>,
    states: StateTimes,
}

impl Case<'_> {
    fn mean_in(&self, state: Ns) -> f64 {
        per_time(state, self.gil.observed)
    }

    /// The thread that lost most, and its share of its lifetime, if it lived and lost enough to count.
    fn victim(&self) -> Option<(&ThreadFigures, f64)> {
        self.threads
            .iter()
            .filter(|t| t.states.total() >= MIN_OBSERVED)
            .filter(|t| self.mean_in(t.lost) >= LOST_TIME_NEGLIGIBLE)
            .filter_map(|t| figures::lost_share(t).map(|share| (*t, share)))
            .max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.key.cmp(&a.key)))
    }

    /// The thread that held it longest, and the share of the observed time.
    fn top_holder(&self) -> Option<(&ThreadFigures, f64)> {
        let top = self.threads.iter().copied().max_by_key(|t| (t.states.holding(), Reverse(t.key)))?;
        Some((top, self.mean_in(top.states.holding()))).filter(|(_, share)| *share > 0.0)
    }
}

fn of_gil(process: &ProcessFigures, shared: &SharedGil<'_>, only: Only) -> Verdict {
    let gil = shared.gil;
    let threads: Vec<&ThreadFigures> = figures::users(process, shared, only).collect();
    let states = figures::sum(threads.iter().map(|t| &t.states));
    let checked = (figures::share(gil.load), figures::share(gil.contention), figures::mean(gil.mean_waiters));
    let (answer, reason, because, victim) = if let Some((reason, why)) = too_little(process, gil, &states) {
        (Answer::Unknown, reason, why, None)
    } else if let (Some(load), Some(contention), Some(waiters)) = checked {
        let of_the_time = |share: Option<f64>| share.and_then(figures::share);
        let (asleep, preempted) = (of_the_time(gil.held_asleep), of_the_time(gil.held_preempted));
        decide(&Case { gil, load, contention, waiters, asleep, preempted, threads, states })
    } else {
        (Answer::Unknown, Reason::Inconsistent, "Its figures contradict themselves.".to_owned(), None)
    };
    Verdict { answer, reason, because, gil: Some(gil.key), victim }
}

fn too_little(process: &ProcessFigures, gil: &GilFigures, states: &StateTimes) -> Option<(Reason, String)> {
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

type Decision = (Answer, Reason, String, Option<ThreadKey>);

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
        (answer, reason, format!("{}{cause}{}", waiting(case, victim), queueing(case)), key)
    } else if let Some((thread, share)) = victim.filter(|_| suffers) {
        let because = format!(
            "Someone waits for it only {} of the time, but {} lost {} of its {} to it.",
            percent(case.contention),
            quoted(thread),
            percent(share),
            thread.states.total()
        );
        (Answer::Partly, Reason::OneVictim, because, key)
    } else if case.waiters >= MEAN_WAITERS_BURST {
        let because = format!(
            "Someone waits for it only {} of the time, but then many do: up to {} threads at once.",
            percent(case.contention),
            units::count(u64::from(case.gil.max_waiters))
        );
        (Answer::Partly, Reason::Bursts, because, key)
    } else if let Some(longest) = longest {
        let because = format!(
            "Someone waits for it only {} of the time, but the longest wait took {longest}.",
            percent(case.contention)
        );
        (Answer::Partly, Reason::LongWaits, because, key)
    } else {
        let (reason, because) = harmless(case);
        (Answer::IsNot, reason, because, None)
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
        let by = sleeper(case)
            .map_or("a thread that sleeps".to_owned(), |t| format!("sleeping threads, mostly {}", quoted(t)));
        let text = format!(
            " It is held {} of the time, and for {} by {by}: the CPU is not the bottleneck, the holder sleeps without letting go of it.",
            percent(case.load),
            percent(asleep)
        );
        return (Reason::HolderAsleep, text);
    }
    if let Some(preempted) = of_held(case.preempted) {
        let text = format!(
            " It is held {} of the time, and for {} by a thread that queues for a core: the holder is short of CPU.",
            percent(case.load),
            percent(preempted)
        );
        return (Reason::HolderPreempted, text);
    }
    let mut text = format!(" It is held {} of the time", percent(case.load));
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

/// The thread that did most of the sleeping with the GIL in hand.
fn sleeper<'a>(case: &'a Case<'_>) -> Option<&'a ThreadFigures> {
    let top = case.threads.iter().copied().max_by_key(|t| t.states.holding_off_cpu)?;
    (top.states.holding_off_cpu.0 > case.states.holding_off_cpu.0 / 2).then_some(top)
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
    if let Some(asleep) = case.asleep.filter(|asleep| *asleep >= CONTENTION_MATTERS) {
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
        let idle = case.states.idle.share_of(case.states.total()).filter(|idle| *idle >= 0.9);
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

fn quoted(thread: &ThreadFigures) -> String {
    match (thread.name.is_empty(), thread.tid) {
        (false, _) => format!("\"{}\"", units::printable(&thread.name, 24)),
        (true, Some(tid)) => format!("thread {}", tid.0),
        (true, None) => "a thread without a name".to_owned(),
    }
}

fn percent(share: f64) -> String {
    figures::share(share).map_or("an unknown share".to_owned(), units::percent)
}

fn per_time(length: Ns, whole: Ns) -> f64 {
    length.share_of(whole).unwrap_or(0.0)
}

/// `0.98 threads`, `1.00 thread`, `12.3 threads`.
fn threads(mean: f64) -> String {
    let number = units::mean_count(mean);
    if number == "1.00" { "1.00 thread".to_owned() } else { format!("{number} threads") }
}

fn threads_are(mean: f64) -> String {
    let threads = threads(mean);
    if threads.ends_with('s') { format!("{threads} are") } else { format!("{threads} is") }
}

fn threads_queue(mean: f64) -> String {
    let threads = threads(mean);
    if threads.ends_with('s') { format!("{threads} queue") } else { format!("{threads} queues") }
}
