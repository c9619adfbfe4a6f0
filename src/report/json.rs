//! The report for programs: one JSON document by a public, versioned schema.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use crate::event::{
    Ending, Footprint, Frame, GilKey, MAX_FRAMES, MAX_NAME, MAX_SYMBOL, Mode, NativeInfo, Role, Signal, cut,
};
use crate::findings::{self, Allowed, Answer, Figure, Finding, figures};
use crate::model::snapshot::{
    ArrivalKind, Basis, BlameFigures, BlameShare, Blamed, CaptureFigures, Convoy, CoreFigures, Distribution, Fault,
    GilFigures, InterpreterFigures, InterruptFigures, Length, LongHold, MeasuredInterrupts, MemoryReadings,
    ProcessFigures, Release, Snapshot, Source, Stage, StateTimes, ThreadCore, ThreadFigures, Woken,
};
use crate::report::document;
use crate::time::Ns;

/// The version of the document. It changes when a reader of the old one would go wrong; fields may be added without.
pub const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema (2020-12) of the document, with meaning and unit of every field.
pub const SCHEMA: &str = include_str!("../../assets/schema/report.v1.json");

/// Longest command line that is reported, in arguments.
const MAX_ARGUMENTS: usize = 1024;
/// Longest path or reason that is reported, in bytes.
const MAX_DETAIL: usize = 4096;

/// The report as a JSON value, without the findings that are `allowed`.
///
/// # Errors
/// None that a snapshot could cause: serde_json's own, should it refuse a value.
pub fn json(snapshot: &Snapshot, allowed: Allowed) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(report(snapshot, allowed))
}

/// Writes the report as one line of JSON, in the order of the schema, with a newline at its end.
///
/// Control characters and direction overrides in the target's strings are written as `\uXXXX`: the document means
/// the same to a JSON parser and does nothing to a terminal.
///
/// # Errors
/// When `out` refuses to be written to.
pub fn write_json(snapshot: &Snapshot, allowed: Allowed, out: impl Write) -> io::Result<()> {
    write_terminal_safe(&report(snapshot, allowed), out)
}

/// Writes any document as [`write_json`] does.
pub(crate) fn write_terminal_safe(document: &impl Serialize, mut out: impl Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, TerminalSafe);
    document.serialize(&mut serializer).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// Compact JSON with every character escaped that a terminal might obey.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| is_risky(c)) {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// The same set as `units::printable` escapes.
fn is_risky(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    !c.is_ascii_graphic() && c != ' ' && crate::units::printable(text, 1) != text
}

fn report(snapshot: &Snapshot, allowed: Allowed) -> document::Report {
    document::Report {
        schema_version: SCHEMA_VERSION,
        tool: document::Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        processes: snapshot.processes.iter().map(|process| one_process(snapshot, process, allowed)).collect(),
    }
}

fn one_process(snapshot: &Snapshot, process: &ProcessFigures, allowed: Allowed) -> document::Process {
    let found = findings::find(process, allowed);
    let answered = &found.verdict;
    let observed = process.interpreters.iter().any(|interpreter| interpreter.gil.is_some());
    document::Process {
        target: target(snapshot, process),
        ending: process.ending.as_ref().map(ending),
        children: process.children.iter().map(|pid| pid.0).collect(),
        unwatched_children: document::Unwatched {
            too_short: process.unwatched.too_short,
            not_python: process.unwatched.not_python,
            unreadable: process.unwatched.unreadable,
            too_many: process.unwatched.too_many,
        },
        verdict: document::Answered { answer: answer(answered.answer), because: answered.in_full() },
        capture: capture(snapshot, process),
        interpreters: process.interpreters.iter().map(interpreter).collect(),
        threads: process.threads.iter().map(thread).collect(),
        folded_threads: process.folded_threads,
        cores: process.cores.iter().map(core).collect(),
        memory: document::Memory { own: memory(&process.memory.own), tree: memory(&process.memory.tree) },
        convoys: process.convoys.as_ref().map(|convoys| convoys.iter().map(|one| convoy(process, one)).collect()),
        interrupts: process.interrupts.as_deref().map(interrupts),
        blame: observed.then(|| blame(&process.blame)),
        waiter_stacks: observed.then(|| waiter_stacks(&process.blame)),
        findings: found.list.iter().map(|one| finding(process, one)).collect(),
    }
}

/// The first interpreter that takes this GIL.
fn interpreter_of(process: &ProcessFigures, gil: GilKey) -> Option<i64> {
    let takes_it = |one: &&InterpreterFigures| one.gil.as_ref().is_some_and(|own| own.key == gil);
    process.interpreters.iter().find(takes_it).map(|one| one.id.0)
}

fn convoy(process: &ProcessFigures, convoy: &Convoy) -> document::Convoy {
    let culprits = convoy.culprits.iter().filter_map(|culprit| {
        let share = figures::share(culprit.share)?;
        let pairs = process.blame.pairs.iter().filter(|pair| pair.waiter == Some(convoy.victim));
        let pair = pairs.filter(|pair| pair.holder == Blamed::Thread(culprit.thread)).max_by_key(|pair| pair.time);
        let sampled = pair.into_iter().flat_map(|pair| &pair.shares).filter(|share| share.basis == Basis::Random);
        let stack = sampled.max_by_key(|share| share.time).map(stack).unwrap_or_default();
        Some(document::Culprit { thread: culprit.thread.0, share, stack })
    });
    document::Convoy {
        interpreter: interpreter_of(process, convoy.gil),
        victim: convoy.victim.0,
        culprits: culprits.collect(),
        start_ns: convoy.start.0,
        end_ns: convoy.end.0,
        waits: convoy.waits,
        lost_ns: convoy.lost.0,
        slowdown: figures::mean(convoy.slowdown),
        switch_interval_ns: convoy.switch_interval.0,
    }
}

fn finding(process: &ProcessFigures, finding: &Finding) -> document::Finding {
    let figure = |figure: &Figure| match *figure {
        Figure::Time(Ns(ns)) | Figure::Count(ns) => ns.into(),
        Figure::Share(share) => figures::share(share).into(),
        Figure::Number(number) => figures::mean(number).into(),
        Figure::Thread(key) => key.0.into(),
        Figure::Word(word) => word.into(),
    };
    document::Finding {
        id: finding.name.id(),
        severity: finding.severity.id(),
        message: finding.message.clone(),
        advice: finding.advice.clone(),
        interpreter: finding.gil.and_then(|gil| interpreter_of(process, gil)),
        culprit: finding.culprit.map(|culprit| culprit.0),
        function: finding.function.as_ref().map(|function| bounded(function, MAX_DETAIL)),
        native: finding.native.as_ref().map(|native| bounded(native, MAX_DETAIL)),
        evidence: finding.evidence.iter().map(|(name, value)| ((*name).to_owned(), figure(value))).collect(),
    }
}

fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Is => "is",
        Answer::Partly => "partly",
        Answer::Unknown => "unknown",
        Answer::IsNot => "is_not",
        Answer::NoGil => "no_gil",
    }
}

fn target(snapshot: &Snapshot, process: &ProcessFigures) -> document::Target {
    let info = &process.target;
    let main_gil = process.interpreters.first().and_then(|i| i.gil.as_ref());
    document::Target {
        pid: info.pid.0,
        cmdline: info.cmdline.iter().take(MAX_ARGUMENTS).map(|arg| bounded(arg, MAX_DETAIL)).collect(),
        python: info.python.to_string(),
        build: info.build,
        libc: bounded(&info.libc, MAX_NAME),
        switch_interval_ns: main_gil.map(|gil| gil.switch_interval.0),
        cpus_allowed: info.cpus_allowed.iter().map(|cpu| cpu.0).collect(),
        host: snapshot.info.as_ref().map(|info| bounded(&info.host, MAX_NAME)),
        kernel: snapshot.info.as_ref().map(|info| bounded(&info.kernel, MAX_NAME)),
        origin: info.origin,
    }
}

fn ending(ending: &Ending) -> document::End {
    let (kind, detail) = match ending {
        Ending::Exited => ("exited", None),
        Ending::Execed { path } => ("execed", Some(path)),
        Ending::Finalized => ("finalized", None),
        Ending::LostSight { reason } => ("lost_sight", Some(reason)),
    };
    document::End { kind, detail: detail.map(|text| bounded(text, MAX_DETAIL)) }
}

fn capture(snapshot: &Snapshot, process: &ProcessFigures) -> document::Capture {
    let (capture, blame) = (&process.capture, &process.blame);
    let info = snapshot.info.as_deref();
    let health = &capture.health;
    document::Capture {
        tool_version: info.map(|info| bounded(&info.tool_version, MAX_NAME)),
        start_unix_ns: info.map(|info| info.start_unix_ns.saturating_add(capture.start.since(snapshot.start).0)),
        start_monotonic_ns: capture.start.0,
        duration_ns: capture.duration.0,
        mode: info.map(|info| info.mode),
        instruments: instruments(info.map(|info| info.mode), capture, blame),
        coverage: figures::share(match capture.exact {
            Some(exact) if exact.takes > 0 => exact.coverage,
            _ => capture.coverage,
        }),
        resolution_ns: capture.resolution.0,
        samples: capture.samples,
        late_samples: health.late,
        failed_reads: health.failed_reads,
        torn_reads: health.torn_reads,
        lost_records: capture.switches.map_or(0, |switches| switches.lost),
        followed_threads: capture.switches.map(|switches| switches.followed),
        living_threads: capture.switches.map(|switches| switches.threads),
        dropped_events: health.dropped_events,
        resyncs: capture.exact.map_or(0, |exact| exact.resyncs),
        windows: capture.exact.map_or(0, |exact| exact.windows),
        handoffs_seen: capture.handoffs_seen,
        handoffs_counted: capture.handoffs_counted,
        interval_asked_ns: info.map(|info| info.interval.0),
        interval_ns: capture.interval.0,
        interval_reason: capture.interval_reason,
        own_cpu_ns: health.own_cpu.0,
        budget: capture.costs.and_then(|costs| costs.budget.share_of(Ns::SECOND)).and_then(figures::share),
        exception_cost_ns: capture.costs.map(|costs| costs.exception.0),
        overhead_estimate: capture.overhead().and_then(figures::share),
        perturbation: capture.perturbation.map(|ratio| document::Perturbation {
            contention: ratio.contention.and_then(figures::mean),
            handoffs: ratio.handoffs.and_then(figures::mean),
        }),
        stack_samples: blame.samples,
        stacks_rejected: blame.rejected,
        waiter_samples: blame.waiter_samples,
        waiters_rejected: blame.waiters_rejected,
    }
}

fn instruments(mode: Option<Mode>, capture: &CaptureFigures, blame: &BlameFigures) -> Vec<&'static str> {
    let mut instruments = match mode {
        Some(Mode::Exact) => vec!["memory", "proc", "switches", "watchpoints"],
        Some(Mode::Fused) if capture.switches.is_some_and(|switches| switches.named > 0) => {
            vec!["memory", "proc", "switches", "tracepoints"]
        }
        Some(Mode::Fused) => vec!["memory", "proc", "switches"],
        Some(Mode::Sampled) | None => vec!["memory", "proc"],
    };
    if blame.samples > 0 {
        instruments.push("stacks");
    }
    instruments
}

fn interpreter(interpreter: &InterpreterFigures) -> document::Interpreter {
    document::Interpreter { id: interpreter.id.0, gil: interpreter.gil.as_deref().map(gil) }
}

fn gil(gil: &GilFigures) -> document::Gil {
    let observed = gil.observed > Ns::ZERO;
    let share = |value: f64| figures::share(value).filter(|_| observed);
    let mean = |value: f64| figures::mean(value).filter(|_| observed);
    document::Gil {
        id: gil.key.0,
        switch_interval_ns: gil.switch_interval.0,
        observed_ns: gil.observed.0,
        load: share(gil.load),
        held_off_cpu: gil.held_off_cpu.and_then(share),
        held_preempted: gil.held_preempted.and_then(share),
        held_asleep: gil.held_asleep.and_then(share),
        contention: share(gil.contention),
        demand: mean(gil.demand),
        mean_waiters: mean(gil.mean_waiters),
        max_waiters: observed.then_some(gil.max_waiters),
        lost_ns: observed.then_some(gil.lost.0),
        handoffs: gil.handoffs,
        forced_handoffs: gil.forced_handoffs,
        cross_core_handoffs: gil.cross_core_handoffs,
        drop_latency: gil.drop_latency.as_ref().map(durations),
        waits: durations(&gil.waits),
        holds: durations(&gil.holds),
        long_holds: gil.long_holds.iter().map(long_hold).collect(),
    }
}

fn long_hold(hold: &LongHold) -> document::LongHold {
    document::LongHold {
        thread: hold.thread.0,
        native: hold.native.as_deref().map(native),
        holds: hold.holds,
        held_ns: hold.held.0,
        longest_ns: hold.longest.0,
        samples: hold.samples,
        asleep: hold.asleep,
        released: match hold.release {
            Release::Never => Some(false),
            Release::NotKnown => None,
        },
        ongoing_ns: hold.ongoing.map(|length| length.0),
    }
}

fn native(info: &NativeInfo) -> document::Native {
    document::Native {
        kind: info.kind,
        name: info.place.to_string(),
        library: bounded(&info.place.module, MAX_SYMBOL),
        symbol: info.place.symbol.as_ref().map(|symbol| bounded(symbol, MAX_SYMBOL)),
        offset: info.place.offset,
        through: info.through.as_ref().map(ToString::to_string),
    }
}

fn thread(thread: &ThreadFigures) -> document::Thread {
    document::Thread {
        id: thread.key.0,
        tid: thread.tid.map(|tid| tid.0),
        name: bounded(&thread.name, MAX_NAME),
        main: thread.role == Role::Main,
        role: thread.role,
        interpreters: thread.interpreters.iter().map(|id| id.0).collect(),
        start_ns: thread.start.0,
        end_ns: thread.end.map(|end| end.0),
        states_ns: states(&thread.states),
        lost_ns: thread.lost.0,
        rounds_lost: thread.rounds_lost,
        needless_releases: thread.needless_releases,
        waits: durations(&thread.waits),
        holds: durations(&thread.holds),
        voluntary_switches: thread.voluntary_switches,
        involuntary_switches: thread.involuntary_switches,
        cores: thread.cores.iter().map(thread_core).collect(),
        cpus_allowed: thread.cpus_allowed.as_ref().map(|cpus| cpus.iter().map(|cpu| cpu.0).collect()),
    }
}

fn states(states: &StateTimes) -> document::States {
    document::States {
        running: states.running.0,
        holding_off_cpu: states.holding_off_cpu.0,
        waiting: states.waiting.0,
        handing_over: states.handing_over.0,
        native: states.native.0,
        runnable: states.runnable.0,
        idle: states.idle.0,
        unknown: states.unknown.0,
    }
}

fn thread_core(core: &ThreadCore) -> document::ThreadCore {
    document::ThreadCore {
        cpu: core.cpu.0,
        on_cpu_ns: core.on_cpu.map(|length| length.0),
        gil_held_ns: core.gil_held.0,
    }
}

fn memory(readings: &MemoryReadings) -> document::MemoryReadings {
    document::MemoryReadings {
        readings: readings.count,
        processes: readings.processes,
        peak_pss_bytes: readings.peak.map(|(pss, _)| pss),
        peak_ns: readings.peak.map(|(_, at)| at.0),
        last_pss_bytes: readings.last.map(|(pss, _)| pss),
        last_ns: readings.last.map(|(_, at)| at.0),
        missing: readings.missing.and_then(|missing| match missing {
            Footprint::Known { .. } => None,
            Footprint::TooLarge => Some("too_large"),
            Footprint::Unreadable => Some("unreadable"),
        }),
    }
}

fn core(core: &CoreFigures) -> document::Core {
    document::Core {
        cpu: core.cpu.0,
        target_on_cpu_ns: core.target_on_cpu.map(|length| length.0),
        gil_held_ns: core.gil_held.0,
        other_ns: core.other.map(|length| length.0),
        busy_ns: core.busy.map(|length| length.0),
        stolen_ns: core.stolen.map(|length| length.0),
    }
}

fn interrupts(interrupts: &InterruptFigures) -> document::Interrupts {
    let range = |range: Option<(Ns, Ns)>| range.map(|(low, high)| [low.0, high.0]);
    document::Interrupts {
        measured: interrupts.measured.iter().map(measured).collect(),
        pending: interrupts
            .pending
            .iter()
            .map(|pending| document::PendingInterrupt {
                signal: pending.signal.map(Signal::number),
                since_ns: pending.since.0,
                stage: match pending.stage {
                    Stage::Blocked => "blocked",
                    Stage::Sent => "sent",
                    Stage::Delivered => "delivered",
                    Stage::Tripped => "tripped",
                },
                fault: pending.fault.map(fault),
            })
            .collect(),
        unresolved: interrupts.unresolved,
        predicted: interrupts.predicted.as_ref().map(|predicted| durations(&predicted.delay)),
        prediction: interrupts.predicted.as_ref().map(|predicted| document::Prediction {
            p50_range_ns: range(predicted.p50_range),
            p90_range_ns: range(predicted.p90_range),
            not_predictable: figures::share(predicted.not_predictable),
            at_most: figures::share(predicted.at_most),
            woken: match predicted.woken {
                Woken::Own => "own",
                Woken::All => "all",
                Woken::Nobody => "nobody",
            },
        }),
    }
}

fn blame(blame: &BlameFigures) -> Vec<document::Blame> {
    let pairs = blame.pairs.iter().flat_map(|pair| pair.shares.iter().map(move |share| (pair, share)));
    pairs
        .map(|(pair, share)| document::Blame {
            waiter: pair.waiter.map(|waiter| waiter.0),
            holder: match pair.holder {
                Blamed::Thread(holder) => Some(holder.0),
                Blamed::Free | Blamed::Unknown | Blamed::Others => None,
            },
            held_by: match pair.holder {
                Blamed::Thread(_) => "thread",
                Blamed::Free => "nobody",
                Blamed::Unknown => "unknown",
                Blamed::Others => "others",
            },
            ns: share.time.0,
            samples: share.samples,
            basis: basis(share.basis),
            stack: stack(share),
            native: share.native.as_deref().map(|native| bounded(native, MAX_DETAIL)),
        })
        .collect()
}

fn waiter_stacks(blame: &BlameFigures) -> Vec<document::WaiterStack> {
    let shares = blame.waiters.iter().flat_map(|waiter| waiter.shares.iter().map(move |share| (waiter, share)));
    shares
        .map(|(waiter, share)| document::WaiterStack {
            waiter: waiter.thread.0,
            ns: share.time.0,
            samples: share.samples,
            basis: basis(share.basis),
            stack: stack(share),
        })
        .collect()
}

fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Random => "random",
        Basis::LongHold => "long_hold",
        Basis::Unsampled => "unsampled",
    }
}

/// The frames, the outermost first; a stack without any Python is one frame that says so.
fn stack(share: &BlameShare) -> Vec<String> {
    if share.stack.is_empty() && share.basis != Basis::Unsampled {
        return vec![":(no Python function):0".to_owned()];
    }
    let frame = |frame: &Frame| {
        format!("{}:{}:{}", bounded(&frame.file, MAX_NAME), bounded(&frame.function, MAX_NAME), frame.line)
    };
    share.stack.iter().take(MAX_FRAMES).rev().map(|it| frame(it)).collect()
}

fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::NotNoticed => "not_noticed",
        Fault::OtherInterpreter => "other_interpreter",
    }
}

fn measured(measured: &MeasuredInterrupts) -> document::MeasuredInterrupts {
    let segments = &measured.segments;
    let part = |part: Option<Ns>| part.map(|length| length.0);
    document::MeasuredInterrupts {
        signal: measured.signal.map(Signal::number),
        from: match measured.from {
            ArrivalKind::Generate => "generate",
            ArrivalKind::Trip => "trip",
        },
        delay: durations(&measured.delay),
        segments_ns: document::Segments {
            deliver: part(segments.deliver),
            trip: part(segments.trip),
            uninterruptible: part(segments.uninterruptible),
            gil_wait: part(segments.gil_wait),
            handler_start: part(segments.handler_start),
            unknown: segments.unknown.0,
        },
        culprits: measured
            .culprits
            .iter()
            .filter_map(|culprit| {
                let (thread, share) = (culprit.thread?.0, figures::share(culprit.share)?);
                Some(document::Culprit { thread, share, stack: Vec::new() })
            })
            .collect(),
        with_others: measured.with_others,
        merged: measured.merged,
        faults: measured
            .faults
            .iter()
            .map(|(kind, times)| document::FaultTimes { fault: fault(*kind), times: *times })
            .collect(),
    }
}

fn durations(from: &Distribution) -> document::Durations {
    let known = |length: Option<Length>| match length {
        Some(Length::Known(ns)) => Some(ns.0),
        Some(Length::Below(_)) | None => None,
    };
    document::Durations {
        count: from.count(),
        total_ns: from.total.0,
        min_ns: known(from.min()),
        mean_ns: known(from.mean()),
        p50_ns: known(from.quantile(0.5)),
        p90_ns: known(from.quantile(0.9)),
        p99_ns: known(from.quantile(0.99)),
        p999_ns: known(from.quantile(0.999)),
        max_ns: known(from.max()),
        censored: from.censored,
        below_resolution: from.below_resolution,
        resolution_ns: from.resolution.0,
        source: match from.source {
            Source::Sampled => "sampled",
            Source::Fused => "fused",
            Source::Exact => "exact",
        },
        buckets: buckets(from),
    }
}

/// At most two buckets an octave (128 in all). The first ends at the resolution: below it nothing is known.
fn buckets(from: &Distribution) -> Vec<document::Bucket> {
    let mut buckets: Vec<document::Bucket> = Vec::new();
    let Some(histogram) = &from.histogram else { return buckets };
    for step in histogram.iter_recorded() {
        let upper_ns = upper_edge(step.value_iterated_to(), from.resolution.0);
        let count = step.count_since_last_iteration();
        match buckets.last_mut() {
            Some(last) if last.upper_ns == upper_ns => last.count = last.count.saturating_add(count),
            _ => buckets.push(document::Bucket { upper_ns, count }),
        }
    }
    buckets
}

/// The first of 1, 2, 3, 4, 6, 8, 12, 16, … above `value`, but no less than the resolution.
fn upper_edge(value: u64, resolution: u64) -> u64 {
    if value < resolution {
        return resolution;
    }
    let octave = 1u64 << value.checked_ilog2().unwrap_or(0);
    let half = octave.saturating_add(octave / 2);
    if value == 0 {
        1
    } else if value < half {
        half
    } else {
        octave.saturating_mul(2)
    }
}

/// At most `max` bytes of `text`, cut at a character and marked with `…`.
fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    format!("{}…", cut(text, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lie_above_their_values_in_half_octaves() {
        for (value, edge) in
            [(0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (5, 6), (6, 8), (7, 8), (8, 12), (1 << 63, (1 << 63) + (1 << 62))]
        {
            assert_eq!(upper_edge(value, 0), edge, "{value}");
        }
        assert_eq!(upper_edge(u64::MAX, 0), u64::MAX);
        assert_eq!(upper_edge(999, 1_000), 1_000);
        assert_eq!(upper_edge(1_000, 1_000), 1_024);
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(bounded("日本語", 9), "日本語");
        assert_eq!(bounded("日本語", 8), "日本…");
    }
}
