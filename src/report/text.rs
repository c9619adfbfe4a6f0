//! The report for people: the answer first, then the figures behind it, last how far they can be trusted.

use std::collections::BTreeSet;

use crate::event::{Build, CostOrigin, Cpu, Mode, Pid, ProcessKey, RateReason, Refusal};
use crate::findings::figures::{self, Only, SharedGil};
use crate::findings::{self, Allowed, Answer, Finding, Severity};
use crate::model::snapshot::{
    CaptureFigures, CoreFigures, Distribution, ExactFigures, GilFigures, MemoryReadings, Perturbation, ProcessFigures,
    Snapshot, StateTimes, SwitchFigures, UnwatchedFigures,
};
use crate::report::blame;
use crate::report::history::{GAP, History};
use crate::report::interrupts;
use crate::report::natives;
use crate::report::paint::{self, Color, Line, Style};
use crate::report::processes;
use crate::report::table::{self, Gil};
use crate::time::{MonoNs, Ns};
use crate::units;
use crate::words;

/// Wider lines are hard to read.
const WIDEST: usize = 120;
/// Width of a row's label.
const LABEL: usize = 12;
/// Findings shown one by one.
const FINDINGS: usize = 8;
/// GILs shown one by one.
const GILS: usize = 4;
/// Child processes listed one by one.
const CHILDREN: usize = 8;
/// Cores shown one by one.
const CORES: usize = 12;
/// From this share of the time on, other programs on a core are worth a word.
const OTHERS_MATTER: f64 = 0.02;

/// How the report is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns there are; more than 120 are not used.
    pub width: u16,
    /// Whether styles become ANSI escapes.
    pub color: Color,
    /// Findings that are left out.
    pub allowed: Allowed,
}

/// The report as text, with a newline after each line.
///
/// No line is wider than [`TextOptions::width`] columns. Strings of the target are made safe for a terminal.
pub fn text(snapshot: &Snapshot, options: &TextOptions) -> String {
    let width = usize::from(options.width).min(WIDEST);
    let mut lines = Vec::new();
    if snapshot.processes.is_empty() {
        lines.push(Line::new().with(Style::Plain, "No Python process has been observed yet."));
    }
    if snapshot.processes.len() > 1 {
        lines.extend(processes::lines(snapshot, options.allowed, width));
    }
    let shown: BTreeSet<ProcessKey> =
        processes::by_loss(snapshot).iter().take(processes::SECTIONS).map(|process| process.key).collect();
    for process in snapshot.processes.iter().filter(|process| shown.contains(&process.key)) {
        if snapshot.processes.len() > 1 {
            lines.push(Line::new());
            lines.push(Line::new().with(Style::Faint, "─".repeat(width)));
            lines.push(Line::new());
        }
        Page { snapshot, process, width, lines: &mut lines }.fill(options.allowed);
    }
    paint::render(&lines, width, options.color)
}

/// The lines of one process.
struct Page<'a> {
    snapshot: &'a Snapshot,
    process: &'a ProcessFigures,
    width: usize,
    lines: &'a mut Vec<Line>,
}

impl Page<'_> {
    fn fill(&mut self, allowed: Allowed) {
        self.target();
        self.blank();
        self.findings(allowed);
        let gils = figures::gils(self.process);
        let only = if gils.len() == 1 { Only::One } else { Only::OfSeveral };
        for shared in gils.iter().take(GILS) {
            self.gil(shared, only);
        }
        if let Some(more @ 1..) = gils.len().checked_sub(GILS) {
            self.blank();
            self.line(Style::Faint, format!("… and {more} more GILs; the JSON report has them all"));
        }
        self.threads();
        self.blame();
        self.cores();
        self.interrupts();
        self.observed();
    }

    fn blank(&mut self) {
        self.lines.push(Line::new());
    }

    fn line(&mut self, style: Style, text: impl Into<String>) {
        self.lines.push(Line::new().with(style, text));
    }

    fn heading(&mut self, text: &str, aside: &str) {
        self.blank();
        let mut line = Line::new().with(Style::Heading, text);
        if !aside.is_empty() {
            line.push(Style::Faint, format!("  {aside}"));
        }
        self.lines.push(line);
    }

    /// A labelled row of figures; those that do not fit go to the next line, each as a whole.
    fn row(&mut self, label: &str, style: Style, parts: &[String]) {
        let room = self.width.saturating_sub(LABEL + 2);
        let mut shown = String::new();
        let mut label = label;
        for part in parts {
            let used = unicode_width::UnicodeWidthStr::width(shown.as_str());
            let more = unicode_width::UnicodeWidthStr::width(part.as_str());
            if used > 0 && used + 3 + more > room {
                self.labelled(label, style, std::mem::take(&mut shown));
                label = "";
            }
            if !shown.is_empty() {
                shown.push_str("   ");
            }
            shown.push_str(part);
        }
        self.labelled(label, style, shown);
    }

    fn labelled(&mut self, label: &str, style: Style, text: String) {
        let label = format!("  {}", paint::left(label, LABEL));
        self.lines.push(Line::new().with(Style::Faint, label).with(style, text));
    }

    fn target(&mut self) {
        let info = &self.process.target;
        let quoted = |arg: &String| {
            let arg = paint::foreign(arg, self.width);
            if arg.is_empty() || arg.contains(' ') { format!("'{arg}'") } else { arg }
        };
        let command: Vec<String> = info.cmdline.iter().take(64).map(quoted).collect();
        let command = if command.is_empty() { "(no command line)".to_owned() } else { command.join(" ") };
        self.line(Style::Heading, paint::cut(&command, self.width));
        let build = match info.build {
            Build::Default => "",
            Build::FreeThreaded => ", free-threaded build",
            Build::Debug => ", debug build",
        };
        let text = format!(
            "pid {} · CPython {}{build} · {} · watched for {}{}",
            info.pid.0,
            info.python,
            paint::foreign(&info.libc, 20),
            self.process.capture.duration,
            self.memory()
        );
        for line in paint::wrap(&text, self.width) {
            self.line(Style::Faint, line);
        }
        self.children();
    }

    /// The most that it was seen to have in memory.
    fn memory(&self) -> String {
        let memory = &self.process.memory;
        let Some((peak, _)) = memory.own.peak else { return String::new() };
        let own = format!(" · {} in memory (PSS)", units::bytes(peak));
        match memory.tree {
            MemoryReadings { peak: Some((all, _)), processes, .. } if processes > 1 => {
                format!("{own}, {} with the processes that it has started", units::bytes(all))
            }
            _ => own,
        }
    }

    /// A child is a process of its own, with a GIL of its own.
    fn children(&mut self) {
        let Some(text) = self.of_children() else { return };
        for line in paint::wrap(&text, self.width) {
            self.line(Style::Faint, line);
        }
    }

    fn of_children(&self) -> Option<String> {
        let children = &self.process.children;
        let unwatched = &self.process.unwatched;
        let start = self.process.capture.start;
        let is_shown = |pid: &&Pid| {
            self.snapshot.processes.iter().any(|other| other.target.pid == **pid && other.capture.start >= start)
        };
        let watched = children.iter().filter(is_shown).count();
        if watched == 0 && *unwatched == UnwatchedFigures::default() {
            let pids: Vec<String> = children.iter().take(CHILDREN).map(|pid| pid.0.to_string()).collect();
            return match children.len() {
                0 => None,
                1 => Some(format!("made a child process, which is not watched (-s does): pid {}", pids.join(""))),
                n => Some(format!(
                    "made {} child processes, which are not watched (-s does): pids {}{}",
                    units::count(n as u64),
                    pids.join(", "),
                    if n > CHILDREN { ", …" } else { "" }
                )),
            };
        }
        let mut parts = vec![format!("{} watched", units::count(watched as u64))];
        parts.extend(words::unwatched(unwatched));
        Some(format!("made child processes, with theirs: {}", parts.join(", ")))
    }

    /// What is wrong, before the figures.
    fn findings(&mut self, allowed: Allowed) {
        let found = findings::find(self.process, allowed);
        let answer = found.verdict.answer;
        let style = match answer {
            Answer::Is => Style::Bad,
            Answer::Partly | Answer::Unknown => Style::Warn,
            Answer::IsNot | Answer::NoGil => Style::Good,
        };
        self.line(style, format!("{}.", answer.headline()));
        if let Some(because) = found.because() {
            for line in paint::wrap(&because, self.width.saturating_sub(2)) {
                self.line(Style::Plain, format!("  {line}"));
            }
        }
        let gils = figures::gils(self.process);
        for finding in found.list.iter().take(FINDINGS) {
            let whose = gils.iter().find(|shared| gils.len() > 1 && finding.gil == Some(shared.gil.key));
            self.finding(finding, whose);
        }
        if let Some(more @ 1..) = found.list.len().checked_sub(FINDINGS) {
            self.line(Style::Faint, format!("… and {more} more findings; the JSON report has them all"));
        }
    }

    fn finding(&mut self, finding: &Finding, whose: Option<&SharedGil<'_>>) {
        self.blank();
        let style = match finding.severity {
            Severity::Problem => Style::Bad,
            Severity::Warn => Style::Warn,
            Severity::Info => Style::Heading,
        };
        let aside = match whose {
            Some(shared) => format!("  {}  of {}", finding.severity.id(), shared.whose()),
            None => format!("  {}", finding.severity.id()),
        };
        let line = Line::new().with(style, finding.name.id()).with(Style::Faint, aside);
        self.lines.push(line);
        let room = self.width.saturating_sub(2);
        for line in paint::wrap(&finding.message, room) {
            self.line(Style::Plain, format!("  {line}"));
        }
        for line in paint::wrap(&finding.advice, room) {
            self.line(Style::Faint, format!("  {line}"));
        }
    }

    fn gil(&mut self, shared: &SharedGil<'_>, only: Only) {
        let gil = shared.gil;
        let whose = match (only, shared.interpreters.len()) {
            (Only::One, 1) => String::new(),
            _ => format!("of {}", shared.whose()),
        };
        self.heading("GIL", &whose);
        if gil.observed == Ns::ZERO {
            self.labelled("", Style::Plain, "not observed yet".to_owned());
            return;
        }
        self.row("load", Style::Plain, &load(gil));
        let mean = |value| figures::mean(value).map_or("?".to_owned(), units::mean_count);
        self.row(
            "contention",
            Style::Plain,
            &[
                percent(Some(gil.contention)),
                format!(
                    "{} waiting on average, {} at most",
                    mean(gil.mean_waiters),
                    units::count(gil.max_waiters.into())
                ),
                format!("demand {}", mean(gil.demand)),
            ],
        );
        let of = figures::users(self.process, shared, only).map(|t| &t.states).sum::<StateTimes>().total();
        let share = gil.lost.share_of(of).and_then(figures::share);
        let of_what = share.map(|share| format!("{} of its threads' time", units::percent(share)));
        self.row(
            "lost time",
            Style::Plain,
            &[Some(gil.lost.to_string()), of_what].into_iter().flatten().collect::<Vec<_>>(),
        );
        self.row("waits", Style::Plain, &distribution(&gil.waits));
        self.row("holds", Style::Plain, &distribution(&gil.holds));
        if let Some(latency) = &gil.drop_latency {
            self.row("drop lat.", Style::Plain, &distribution(latency));
        }
        self.row("handoffs", Style::Plain, &handoffs(gil));
        for (label, parts) in natives::rows(self.process, gil) {
            self.row(label, Style::Warn, &parts);
        }
        self.history(gil);
    }

    fn history(&mut self, gil: &GilFigures) {
        let room = self.width.saturating_sub(LABEL + 2);
        let (since, now) = (self.process.capture.start, self.end());
        let Some(history) = History::of(gil, since, now, room) else { return };
        let mut scale = vec![format!("{} a column", history.column), "oldest first".to_owned(), "█ 100 %".to_owned()];
        if history.has_gap() {
            scale.push(format!("{GAP} not observed"));
        }
        self.row("over time", Style::Faint, &scale);
        self.labelled("load", Style::Plain, history.load);
        self.labelled("contention", Style::Plain, history.contention);
    }

    fn end(&self) -> MonoNs {
        self.process.capture.start + self.process.capture.duration
    }

    fn threads(&mut self) {
        let threads = &self.process.threads;
        let gil = if figures::gils(self.process).is_empty() { Gil::Absent } else { Gil::Present };
        let aside = match (gil, threads.len()) {
            (Gil::Present, 2..) => "most lost time first",
            _ => "",
        };
        self.heading(&format!("Threads {}", units::count(threads.len() as u64)), aside);
        self.lines.extend(table::lines(threads, gil, self.width));
        if self.process.folded_threads > 0 {
            let folded = units::count(self.process.folded_threads);
            self.line(Style::Faint, format!("  {folded} more have ended and are in the figures above only"));
        }
    }

    fn cores(&mut self) {
        let mut cores = self.process.cores.clone();
        cores.retain(CoreFigures::is_used);
        if cores.is_empty() {
            return;
        }
        cores.sort_by_key(|core| (std::cmp::Reverse((core.gil_held, core.target_on_cpu)), core.cpu));
        let held: Ns = cores.iter().map(|core| core.gil_held).sum();
        let mut parts: Vec<String> = cores
            .iter()
            .take(CORES)
            .map(|core| format!("cpu {}: {}", core.cpu.0, percent(core.gil_held.share_of(held))))
            .collect();
        if let Some(more @ 1..) = cores.len().checked_sub(CORES) {
            parts.push(format!("… and {more} more"));
        }
        self.heading("Cores", "where the GIL was held, of the time it was");
        self.row("GIL held", Style::Plain, &parts);
        let duration = self.process.capture.duration;
        let used = |core: &CoreFigures| Some((core.cpu, core.target_on_cpu?.share_of(duration)?));
        let used: Vec<String> = cores
            .iter()
            .take(CORES)
            .filter_map(used)
            .map(|(cpu, share)| format!("cpu {}: {}", cpu.0, units::percent(share)))
            .collect();
        if !used.is_empty() {
            self.row("in use", Style::Plain, &[used, vec!["by this program, of all time".to_owned()]].concat());
        }
        self.others(duration);
        let allowed = self.process.cores_allowed();
        if !allowed.is_empty() {
            self.row("may use", Style::Plain, &[format!("cpu {}", words::cores(&allowed))]);
        }
    }

    /// Where other programs were in the way, or could have been.
    fn others(&mut self, duration: Ns) {
        let mut cores: Vec<(Cpu, f64)> = Vec::new();
        for core in &self.process.cores {
            if let Some(share) = core.other.and_then(|other| other.share_of(duration)) {
                cores.push((core.cpu, share));
            }
        }
        if cores.is_empty() {
            return;
        }
        cores.retain(|(_, share)| *share >= OTHERS_MATTER);
        cores.sort_by(|(left_cpu, left), (right_cpu, right)| right.total_cmp(left).then(left_cpu.cmp(right_cpu)));
        let more = cores.len().saturating_sub(CORES);
        let mut parts: Vec<String> =
            cores.iter().take(CORES).map(|(cpu, share)| format!("cpu {}: {}", cpu.0, units::percent(*share))).collect();
        if more > 0 {
            parts.push(format!("… and {more} more"));
        }
        match parts.is_empty() {
            true => parts.push("hardly any".to_owned()),
            false => parts.push("by other programs and the kernel".to_owned()),
        }
        self.row("other load", Style::Plain, &parts);
    }

    fn blame(&mut self) {
        let rows = blame::rows(self.process, LABEL);
        if rows.is_empty() {
            return;
        }
        self.heading("Blame", "who made whom wait, and what the holder executed meanwhile");
        for (label, parts) in rows {
            self.row(&label, Style::Plain, &parts);
        }
    }

    fn interrupts(&mut self) {
        let Some(interrupts) = self.process.interrupts.as_deref() else { return };
        self.heading("Interrupts", "from a signal to the start of its Python handler");
        for (label, parts) in interrupts::rows(self.process, interrupts, self.end()) {
            self.row(&label, Style::Plain, &parts);
        }
    }

    fn observed(&mut self) {
        let capture = &self.process.capture;
        self.heading("How this was observed", "");
        let mode = match self.snapshot.info.as_ref().map(|info| info.mode) {
            Some(Mode::Exact) => {
                "exact, in windows: memory and /proc are read, the kernel records switches and writes to the GIL; never \
                 stopped"
            }
            Some(Mode::Fused) => "fused: memory and /proc are read, the kernel records switches; never stopped",
            Some(Mode::Sampled) => "sampled: memory and /proc are read, the program is never stopped",
            None => "?",
        };
        for (i, line) in paint::wrap(mode, self.width.saturating_sub(LABEL + 2)).into_iter().enumerate() {
            self.labelled(if i == 0 { "mode" } else { "" }, Style::Plain, line);
        }
        let first = self.snapshot.info.as_ref().map(|info| info.interval);
        self.row("samples", Style::Plain, &samples(capture, first));
        let resolution = match capture.resolution < capture.interval && capture.exact.is_none() {
            true => format!("waits known from {}, the rest from {}", capture.resolution, capture.interval),
            false => format!("shorter than {} is not known", capture.resolution),
        };
        self.row("coverage", Style::Plain, &[percent(Some(capture.coverage)), resolution]);
        let health = &capture.health;
        let (late, failed, torn) =
            (units::count(health.late), units::count(health.failed_reads), units::count(health.torn_reads));
        let mut reads =
            vec![format!("{failed} failed"), format!("{torn} torn"), format!("{late} late samples left out")];
        if health.dropped_events > 0 {
            reads.push(format!("{} events dropped", units::count(health.dropped_events)));
        }
        self.row("reads", Style::Plain, &reads);
        if !figures::gils(self.process).is_empty() {
            self.row("handoffs", Style::Plain, &handoffs_observed(capture));
        }
        if let Some(switches) = &capture.switches {
            self.row("switches", Style::Plain, &switches_observed(switches));
        }
        if let Some(exact) = &capture.exact {
            self.row("exact", Style::Plain, &windows_observed(exact));
        }
        if let Some(parts) = cost(capture) {
            self.row("its cost", Style::Plain, &parts);
        }
        if let Some(perturbation) = &capture.perturbation {
            self.row("it changes", Style::Plain, &changed(perturbation));
            if perturbation.is_large() && capture.exact.is_some() {
                let warning = "The microscope shows another program than the one that runs unwatched: believe its \
                               durations, not that they are the program's.";
                for line in paint::wrap(warning, self.width.saturating_sub(LABEL + 2)) {
                    self.labelled("", Style::Warn, line);
                }
            }
        }
        let first = self.snapshot.processes.iter().map(|p| p.capture.start).min().unwrap_or(capture.start);
        let own = match health.own_cpu.share_of(self.snapshot.at.since(first)) {
            Some(share) => format!("{} of a core", units::percent(share)),
            None => "?".to_owned(),
        };
        self.row("own CPU", Style::Plain, &[own]);
    }
}

fn switches_observed(switches: &SwitchFigures) -> Vec<String> {
    let mut parts = vec![
        format!("{} records", units::count(switches.records)),
        format!("for {} of {} threads", switches.followed, switches.threads),
    ];
    if switches.named > 0 {
        parts.push(format!("{} sleeps named", units::count(switches.named)));
    }
    if switches.lost > 0 {
        parts.push(format!("{} lost", units::count(switches.lost)));
    }
    if switches.given_up > 0 {
        parts.push(format!("given up {}x: too costly", switches.given_up));
    }
    parts
}

fn windows_observed(exact: &ExactFigures) -> Vec<String> {
    let mut parts = vec![
        format!("{} windows", units::count(exact.windows)),
        format!("{} of the time", percent(Some(exact.coverage))),
        format!("{} takes", units::count(exact.takes)),
        format!("{} forced drops", exact.forced_handoffs.map_or("?".to_owned(), units::count)),
    ];
    if exact.resyncs > 0 {
        parts.push(format!("{} resyncs", units::count(exact.resyncs)));
    }
    match exact.refused {
        Some(Refusal::Registers) => parts.push("none now: a debugger has the debug registers".to_owned()),
        Some(Refusal::Limits) => parts.push("none now: the limit for locked memory or open files".to_owned()),
        Some(Refusal::TooManyThreads) => parts.push("none now: too many threads for --max-overhead".to_owned()),
        Some(Refusal::NotPermitted) => parts.push("none now: the kernel refuses".to_owned()),
        None => {}
    }
    parts
}

/// What looking has cost the target, by what each thing was measured to cost.
fn cost(capture: &CaptureFigures) -> Option<Vec<String>> {
    let costs = capture.costs?;
    let mut parts = vec![
        format!("{} of the program's time, estimated", percent(capture.overhead())),
        format!("at most {} in a second", percent(capture.spent.worst_second.share_of(Ns::SECOND))),
        format!("budget {}", percent(costs.budget.share_of(Ns::SECOND))),
    ];
    if capture.exact.is_some() {
        let how = match costs.origin {
            CostOrigin::Measured => "",
            CostOrigin::Assumed => " (assumed)",
        };
        parts.push(format!("a hit costs {}{how}", costs.exception));
    }
    Some(parts)
}

/// What looking changes.
fn changed(perturbation: &Perturbation) -> Vec<String> {
    let show = |what: &str, ratio: Option<f64>| match ratio.filter(|ratio| ratio.is_finite()) {
        Some(ratio) => format!("{what} x{ratio:.2}"),
        None => format!("{what}: none to compare"),
    };
    vec![show("contention", perturbation.contention), show("handoffs a second", perturbation.handoffs)]
}

fn percent(share: Option<f64>) -> String {
    share.and_then(figures::share).map_or("?".to_owned(), units::percent)
}

fn load(gil: &GilFigures) -> Vec<String> {
    let mut parts = vec![percent(Some(gil.load))];
    let asleep = gil.held_asleep.map(|_| format!("asleep {}", percent(gil.held_asleep)));
    let preempted = gil.held_preempted.map(|_| format!("preempted {}", percent(gil.held_preempted)));
    match (gil.held_off_cpu, asleep, preempted) {
        (Some(_), Some(asleep), Some(preempted)) => {
            parts.push(format!("held off a core {} ({asleep}, {preempted})", percent(gil.held_off_cpu)));
        }
        (_, Some(asleep), None) => parts.push(format!("held {asleep}, preempted: not observable")),
        (_, None, Some(preempted)) => parts.push(format!("held {preempted}, asleep: not observable")),
        (Some(_), None, None) => parts.push(format!("held off a core {}", percent(gil.held_off_cpu))),
        (None, ..) => parts.push("held off a core: not observable".to_owned()),
    }
    parts
}

fn distribution(d: &Distribution) -> Vec<String> {
    let mut parts = vec![format!("{:<6}", units::count(d.count()))];
    if d.count() > 0 {
        let quantile = |name: &str, share: f64| d.quantile(share).map(|at| format!("{name} {:<8}", words::length(at)));
        parts.extend([quantile("p50", 0.5), quantile("p90", 0.9), quantile("p99", 0.99)].into_iter().flatten());
        parts.extend(d.max().map(|max| format!("max {}", words::length(max))));
    }
    // A few at the edges are of no account; many of them would make the percentiles too low.
    if d.censored.saturating_mul(20) >= d.count() && d.censored > 0 {
        parts.push(format!("{} not seen whole", units::count(d.censored)));
    }
    parts
}

fn handoffs(gil: &GilFigures) -> Vec<String> {
    let per_second = gil.handoffs as f64 / gil.observed.as_secs_f64();
    let mut parts = vec![units::count(gil.handoffs), units::rate(per_second)];
    let mut share = |name: &str, count: Option<u64>| {
        parts.extend(count.map(|count| {
            let of_all = (count > 0).then(|| units::percent(count as f64 / gil.handoffs.max(count) as f64));
            format!("{name} {}{}", units::count(count), of_all.map_or(String::new(), |share| format!(" ({share})")))
        }));
    };
    share("forced", gil.forced_handoffs);
    share("to another core", gil.cross_core_handoffs);
    parts.push(format!("switch interval {}", gil.switch_interval));
    parts
}

fn samples(capture: &CaptureFigures, first: Option<Ns>) -> Vec<String> {
    let rate =
        |interval: Ns| if interval == Ns::ZERO { "?".to_owned() } else { units::rate(1.0 / interval.as_secs_f64()) };
    let now = rate(capture.interval);
    let why = match (capture.interval_reason, first) {
        (RateReason::TooCostly, Some(first)) => {
            format!("at {now}, {} at first: a look costs too much here", rate(first))
        }
        (RateReason::Quiet, _) => {
            format!("at {now} of late: nobody waits here, and other processes are looked at too")
        }
        (RateReason::TooCostly, None) => format!("at {now}: a look costs too much here"),
        (RateReason::Asked | RateReason::Recovered, Some(first)) if first != capture.interval => {
            format!("at {now}, {} at first", rate(first))
        }
        (RateReason::Asked | RateReason::Recovered, _) => format!("at {now}"),
    };
    vec![units::count(capture.samples), why]
}

/// CPython counts its handoffs itself; of most, a look now and then sees only that they have happened.
fn handoffs_observed(capture: &CaptureFigures) -> Vec<String> {
    let (seen, counted) = (capture.handoffs_seen, capture.handoffs_counted);
    let share = if counted > 0 { figures::share(seen as f64 / counted as f64) } else { None };
    let share = share.map_or(String::new(), |share| format!(" ({})", units::percent(share)));
    let mut parts = vec![
        format!("{} counted by CPython", units::count(counted)),
        format!("{} seen one by one{share}", units::count(seen)),
    ];
    if capture.switches.is_some() && counted >= ENOUGH_HANDOFFS && seen.saturating_mul(10) < counted.saturating_mul(9) {
        parts.push("short waits among the rest are missing above".to_owned());
    }
    parts
}

/// Of fewer, a share says little.
const ENOUGH_HANDOFFS: u64 = 100;
