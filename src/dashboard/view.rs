//! What is to be shown, before it is known how large the screen is: made of a frame and of what the user has chosen,
//! and of nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar;

use crate::dashboard::blame::Matrix;
use crate::dashboard::columns::Columns;
use crate::dashboard::convoys::{ConvoyKey, Convoys};
use crate::dashboard::cores::Cores;
use crate::dashboard::details::Details;
use crate::dashboard::found::{FindingView, Found};
use crate::dashboard::histograms::Histograms;
use crate::dashboard::history::History;
use crate::dashboard::keys::Keymap;
use crate::dashboard::processes::Processes;
use crate::dashboard::rows::{Row, Sort, rows};
use crate::dashboard::signals::Signals;
use crate::dashboard::state::{Focus, Panel, Rows, State, Whose, Window};
use crate::dashboard::timeline::{Grid, Timeline};
use crate::dashboard::views::View;
use crate::event::{Build, Cpu, Ending, GilKey, Pid, RateReason, ThreadKey};
use crate::model::lanes::Lanes;
use crate::model::snapshot::{
    Distribution, ExactFigures, GilFigures, InterruptFigures, Length, Perturbation, ProcessFigures, SwitchFigures,
};
use crate::session::{Capabilities, Frame, Lately, Mark, Origin, Play, Recent, Span};
use crate::text;
use crate::time::{MonoNs, Ns};
use crate::units;
use crate::words;

/// Text from outside. It is made safe where it is laid out, and can be had in no other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign(String);

impl Foreign {
    /// Longest text that is kept, in characters: no screen shows more.
    const MOST: usize = 1_024;

    /// Takes text as it is.
    pub fn new(text: &str) -> Foreign {
        Foreign(text.chars().take(Foreign::MOST).collect())
    }

    /// Safe for a terminal, in at most `width` columns.
    pub fn fit(&self, width: usize) -> String {
        text::foreign(&self.0, width)
    }

    /// The same, cut in the middle.
    pub fn fit_name(&self, width: usize) -> String {
        text::foreign_name(&self.0, width)
    }

    /// The same of a command line.
    pub fn fit_command(&self, width: usize) -> String {
        text::foreign_command(&self.0, width)
    }

    /// Its end, as safe, in at most `width` columns.
    pub fn end(&self, width: usize) -> String {
        let whole = self.fit(usize::from(u16::MAX));
        let mut used = 0;
        let fits = |c: &char| {
            used += c.width().unwrap_or(0);
            used <= width
        };
        let mut end: Vec<char> = whole.chars().rev().take_while(fits).collect();
        end.reverse();
        end.into_iter().collect()
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Everything on the screen.
#[derive(Debug, Clone)]
pub struct ViewModel<'a> {
    /// The head line.
    pub head: Head,
    /// The thread table.
    pub threads: Threads<'a>,
    /// The thread that is looked at closer; `None`: none is.
    pub details: Option<Details<'a>>,
    /// What its GIL did of late.
    pub history: History<'a>,
    /// Who held the GIL where.
    pub lanes: LanesView<'a>,
    /// How long waits and holds take.
    pub durations: Durations<'a>,
    /// How long signals wait for their handlers.
    pub signals: Signals<'a>,
    /// Who made whom wait; `None`: another view is shown.
    pub blame: Option<Matrix<'a>>,
    /// What each thread did when; `None`: another view is shown, or there is no process.
    pub timeline: Option<Timeline<'a>>,
    /// Waits and holds by length; `None`: another view is shown.
    pub histograms: Option<Histograms<'a>>,
    /// What was found.
    pub found: Found<'a>,
    /// Threads in convoys.
    pub convoys: Convoys<'a>,
    /// What the cores did; `None`: another view is shown.
    pub cores: Option<Cores<'a>>,
    /// The processes.
    pub processes: Processes,
    /// Where in time the view is.
    pub transport: Transport,
    /// What fills the screen.
    pub shown: View,
    /// Which panels of the overview.
    pub panel: Panel,
    /// What keys go to.
    pub focus: Focus,
    /// Which keys are on which action.
    pub keys: Keymap,
    /// What came of the last key.
    pub notice: Option<Foreign>,
    /// What the session can do.
    pub session: Capabilities,
}

/// The head line.
#[derive(Debug, Clone)]
pub struct Head {
    /// Who is looked at; `None`: nothing was found yet.
    pub target: Option<TargetView>,
    /// What its GIL does; `None`: there is none.
    pub gil: Option<GilView>,
    /// How well it was observed.
    pub looks: Option<Looks>,
    /// How long signals wait for their handlers; `None`: nobody looks.
    pub interrupts: Option<InterruptView>,
    /// What matters most of what was found; `None`: nothing to tell.
    pub finding: Option<FindingView>,
    /// What the user should know.
    pub notices: Vec<Foreign>,
}

/// How long signals wait for their Python handlers.
#[derive(Debug, Clone, PartialEq)]
pub struct InterruptView {
    /// The newest delay, with the signal's name.
    pub newest: Option<(String, Length)>,
    /// Signals seen whole, and the 99th percentile of those with most.
    pub measured: Option<(u64, Length)>,
    /// Median and 99th percentile from any instant on.
    pub predicted: Option<(Length, Length)>,
    /// Share of the time of which nothing can be told.
    pub not_predictable: Option<f64>,
    /// The signal that has waited longest, and for how long.
    pub pending: Option<(String, Ns)>,
}

/// Who is looked at.
#[derive(Debug, Clone)]
pub struct TargetView {
    /// Its pid.
    pub pid: Pid,
    /// Its command line.
    pub command: Foreign,
    /// Version and build of its Python.
    pub python: String,
    /// How it ended, if it did.
    pub ending: Option<Foreign>,
    /// Number of its threads that live, and of those that have ended.
    pub threads: (usize, u64),
}

/// What a GIL does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GilView {
    /// Which of how many this is.
    pub number: (usize, usize),
    /// Share of time held; `None`: not observed in the window.
    pub load: Option<f64>,
    /// Share of time with a waiter.
    pub contention: Option<f64>,
    /// Mean number of waiters.
    pub waiters: Option<f64>,
    /// Handoffs a second.
    pub handoffs: Option<f64>,
    /// Time lost in the whole capture.
    pub lost: Ns,
    /// Most waiters at one instant of the whole capture.
    pub max_waiters: u32,
    /// The switch interval.
    pub switch_interval: Ns,
}

/// How well the target was observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Looks {
    /// Looks a second that were achieved in the window.
    pub rate: Option<f64>,
    /// Mean time between two looks that is aimed at.
    pub interval: Ns,
    /// Why it is that.
    pub reason: RateReason,
    /// Share of the time during which the precision held.
    pub coverage: f64,
    /// Share of looks in the window that came too late.
    pub late: Option<f64>,
    /// Reads that failed, in all.
    pub failed: u64,
    /// Events that were dropped, in all.
    pub dropped: u64,
    /// Share of a core that gilscope itself has used in the window.
    pub own_cpu: Option<f64>,
    /// What the kernel's switch records came to; `None`: they were not asked for.
    pub switches: Option<SwitchFigures>,
    /// What the watchpoints came to; `None`: they were not asked for.
    pub exact: Option<ExactFigures>,
    /// Share of the target's time that observing has cost it, estimated; `None`: nothing that it pays for.
    pub overhead: Option<f64>,
    /// What the instruments change in what they watch.
    pub perturbation: Option<Perturbation>,
}

/// The thread table.
#[derive(Debug, Clone)]
pub struct Threads<'a> {
    /// Its rows, sorted and filtered.
    pub rows: Vec<Row<'a>>,
    /// Rows there are without the filter.
    pub of: usize,
    /// How it is sorted.
    pub sort: Sort,
    /// The row under the cursor.
    pub cursor: usize,
    /// Whether a thread was selected.
    pub selected: Option<ThreadKey>,
    /// What the user has typed to filter by: safe, for no control character gets in, but of any width.
    pub filter: Foreign,
    /// What shares are of.
    pub window: Window,
    /// Which columns it has.
    pub columns: Columns,
    /// What each thread did in the last seconds.
    pub lately: &'a Lately,
}

/// Who held a GIL on which core over time.
#[derive(Debug, Clone)]
pub struct LanesView<'a> {
    /// The process whose threads they are.
    pub process: Option<&'a ProcessFigures>,
    /// The bins; `None`: there is no GIL.
    pub lanes: Option<&'a Lanes>,
    /// Cores that the target may use or has used.
    pub cores: Vec<Cpu>,
    /// Time in one column.
    pub column: Ns,
    /// The instant at the right end.
    pub at: MonoNs,
    /// When the observation began: before it there is nothing to be said.
    pub start: MonoNs,
    /// The thread to bring out.
    pub selected: Option<ThreadKey>,
}

/// How long waits and holds take.
#[derive(Debug, Clone)]
pub struct Durations<'a> {
    /// Whose; `None`: all threads'.
    pub whose: Option<Foreign>,
    /// Contended waits.
    pub waits: Option<&'a Distribution>,
    /// Holds.
    pub holds: Option<&'a Distribution>,
}

/// Where in time the view is.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Live, or from a recording.
    pub origin: Origin,
    /// What the session does.
    pub play: Play,
    /// The start of the capture.
    pub start: MonoNs,
    /// The instant shown.
    pub position: MonoNs,
    /// The time that can be shown.
    pub range: Span,
    /// Speed of replay.
    pub speed: f64,
    /// How far a seek is.
    pub seeking: Option<f64>,
    /// Marks that were set.
    pub marks: Vec<Mark>,
    /// The recording that is being written, with its size.
    pub recording: Option<(PathBuf, u64)>,
}

impl<'a> ViewModel<'a> {
    /// What is to be shown of `frame`.
    pub fn of(frame: &'a Frame, state: &State, session: Capabilities) -> ViewModel<'a> {
        let chosen = Chosen::of(frame, state);
        let process = chosen.process;
        let recent = match state.window {
            Window::Second => Some(&*frame.second),
            Window::Ten => Some(&*frame.ten),
            Window::Whole => None,
        };
        let rows =
            process.map_or_else(Vec::new, |process| rows(process, recent, &state.filter, state.sort, state.ended));
        let thread = state.selected.filter(|_| state.whose == Whose::Selected).and_then(|key| process?.thread(key));
        let durations = match thread {
            Some(thread) => Durations {
                whose: Some(Foreign::new(&thread.name)),
                waits: Some(&thread.waits),
                holds: Some(&thread.holds),
            },
            None => Durations {
                whose: None,
                waits: chosen.gil.map(|gil| &gil.waits),
                holds: chosen.gil.map(|gil| &gil.holds),
            },
        };
        let found = Found::of(process, state.allowed, state.finding);
        ViewModel {
            head: head(frame, &chosen, recent, &found),
            threads: Threads {
                cursor: cursor(&rows, state),
                rows,
                of: process.map_or(0, |process| process.threads.len()),
                sort: state.sort,
                selected: state.selected,
                filter: Foreign::new(&state.filter),
                window: state.window,
                columns: state.columns.clone(),
                lately: &frame.lately,
            },
            details: thread.and_then(|thread| Some(Details::of(process?, thread, frame.snapshot.at))),
            history: History::of(chosen.gil, state.column(), frame.snapshot.at),
            lanes: LanesView {
                process,
                lanes: chosen.gil.map(|gil| &*gil.lanes),
                cores: process.map_or_else(Vec::new, cores),
                column: state.column(),
                at: frame.snapshot.at,
                start: process.map_or(MonoNs(0), |process| process.capture.start),
                selected: state.selected,
            },
            durations,
            timeline: Timeline::of(process.filter(|_| state.view == View::Timeline), state.timeline, &state.filter),
            transport: Transport::of(frame, session),
            histograms: (state.view == View::Histograms)
                .then(|| Histograms::of(process, chosen.gil, state.histograms, &state.filter, frame)),
            found,
            convoys: Convoys::of(process, state.convoy, &state.filter, frame.snapshot.at),
            cores: (state.view == View::Cores).then(|| {
                let lanes = chosen.gil.map(|gil| &*gil.lanes);
                Cores::of(process, lanes, state.cores, state.column(), frame.snapshot.at)
            }),
            processes: Processes::of(&frame.snapshot, recent, state.listed, process.map(|process| process.key)),
            signals: Signals::of(process, state.signal, frame.snapshot.at),
            blame: (state.view == View::Blame).then(|| Matrix::of(process, state.blame, &state.filter)),
            shown: state.view,
            panel: state.panel,
            focus: state.focus.clone(),
            keys: state.keys.clone(),
            notice: state.notice.as_deref().map(Foreign::new),
            session,
        }
    }

    /// What the cursor keys move over.
    pub fn rows(&self) -> Rows {
        Rows {
            threads: self.threads.rows.iter().map(|row| row.thread.key).collect(),
            together: self.threads.rows.iter().map(|row| row.together.is_some()).collect(),
            thread: self.threads.cursor,
            signals: self.signals.keys(),
            signal: self.signals.cursor,
            blame: self.blame.as_ref().map(Matrix::grid).unwrap_or_default(),
            findings: self.found.keys(),
            finding: self.found.cursor,
            convoys: self.convoys.rows.iter().map(|convoy| (ConvoyKey::of(convoy), convoy.end)).collect(),
            convoy: self.convoys.cursor,
            cores: self.cores.iter().flat_map(|it| &it.rows).map(|row| row.first).collect(),
            core: self.cores.as_ref().map_or(0, |it| it.cursor),
            durations: self.histograms.iter().flat_map(|it| &it.rows).map(|row| row.of).collect(),
            duration: self.histograms.as_ref().map_or(0, |it| it.cursor),
            processes: self.processes.keys(),
            process: self.processes.cursor,
            processes_known: self.processes.known(),
            reach: 0,
            timeline: self.timeline.as_ref().map_or_else(Grid::default, |of| of.grid(0)),
        }
    }
}

/// The cursor stays on its thread when the rows have moved.
fn cursor(rows: &[Row<'_>], state: &State) -> usize {
    let of_selected = |key| rows.iter().position(|row| row.thread.key == key);
    state.selected.and_then(of_selected).unwrap_or(state.cursor).min(rows.len().saturating_sub(1))
}

/// The process and the GIL that are looked at.
struct Chosen<'a> {
    process: Option<&'a ProcessFigures>,
    gil: Option<&'a GilFigures>,
    number: (usize, usize),
}

impl<'a> Chosen<'a> {
    /// The newest image of the process that was chosen, unless the user goes on from there; within it, one GIL after the
    /// other.
    fn of(frame: &'a Frame, state: &State) -> Chosen<'a> {
        let mut gils: Vec<(&ProcessFigures, &GilFigures)> = Vec::new();
        let all = &frame.snapshot.processes;
        let wanted = state.process.and_then(|key| all.iter().find(|process| process.key == key));
        let pid = wanted.or(all.first()).map(|process| process.target.pid);
        // What a process was before it replaced itself is told with what it is.
        let images = || all.iter().rev().filter(|process| Some(process.target.pid) == pid);
        for process in images() {
            let mut of_process = BTreeMap::<GilKey, &GilFigures>::new();
            of_process.extend(process.interpreters.iter().filter_map(|i| i.gil.as_deref()).map(|gil| (gil.key, gil)));
            gils.extend(of_process.into_values().map(|gil| (process, gil)));
        }
        let index = state.gil % gils.len().max(1);
        match gils.get(index) {
            Some((process, gil)) => Chosen { process: Some(process), gil: Some(gil), number: (index + 1, gils.len()) },
            None => Chosen { process: images().next(), gil: None, number: (0, 0) },
        }
    }
}

fn head(frame: &Frame, chosen: &Chosen<'_>, recent: Option<&Recent>, found: &Found<'_>) -> Head {
    let status = &frame.status;
    let mut notices: Vec<Foreign> = status.warnings.iter().rev().map(|warning| Foreign::new(warning)).collect();
    let Some(process) = chosen.process else {
        return Head { target: None, gil: None, looks: None, interrupts: None, finding: None, notices };
    };
    let ending = process.ending.as_ref().map(|ending| match ending {
        Ending::Exited => Foreign::new("the process has exited"),
        Ending::Execed { path } => Foreign::new(&format!("the process was replaced by {path}")),
        Ending::Finalized => Foreign::new("the interpreter has shut down"),
        Ending::LostSight { reason } => Foreign::new(&format!("lost sight of it: {reason}")),
    });
    notices.extend(ending.clone());
    notices.extend(advice(frame, process));
    let ended = process.threads.iter().filter(|thread| thread.end.is_some()).count();
    let build = match process.target.build {
        Build::Default => "",
        Build::FreeThreaded => " free-threaded",
        Build::Debug => " debug",
    };
    let capture = &process.capture;
    let (samples, length) = match recent {
        Some(recent) => (recent.looks(process.key).samples, recent.length),
        None => (capture.samples / chosen.number.1.max(1) as u64, capture.duration),
    };
    // These are told once a second: over one second they would jump.
    let (ticks, late, own_cpu, over) = match recent {
        Some(_) => {
            let looks = frame.ten.looks(process.key);
            (looks.ticks, looks.late, looks.own_cpu, frame.ten.length)
        }
        None => (capture.health.ticks, capture.health.late, capture.health.own_cpu, capture.duration),
    };
    let per_second = |count: u64| (length > Ns::ZERO).then(|| count as f64 / length.as_secs_f64());
    Head {
        target: Some(TargetView {
            pid: process.target.pid,
            command: Foreign::new(&process.target.cmdline.join(" ")),
            python: format!("CPython {}{build}", process.target.python),
            ending,
            threads: (process.threads.len() - ended, ended as u64 + process.folded_threads),
        }),
        gil: chosen.gil.map(|gil| gil_view(gil, chosen.number, recent)),
        finding: found.first(),
        looks: Some(Looks {
            rate: per_second(samples).filter(|_| samples > 0),
            interval: capture.interval,
            reason: capture.interval_reason,
            coverage: capture.coverage,
            // What came too late is no tick.
            late: (ticks + late > 0).then(|| late as f64 / (ticks + late) as f64),
            failed: capture.health.failed_reads,
            dropped: capture.health.dropped_events,
            own_cpu: own_cpu.share_of(over).filter(|_| own_cpu > Ns::ZERO),
            switches: capture.switches,
            exact: capture.exact,
            overhead: capture.overhead(),
            perturbation: capture.perturbation,
        }),
        interrupts: process.interrupts.as_deref().map(|it| interrupt_view(it, capture.start + capture.duration)),
        notices,
    }
}

/// Share of looks that come too late from which on there is something to do about it.
const MANY_LATE: f64 = 0.1;

/// What a user could do to see more.
fn advice(frame: &Frame, process: &ProcessFigures) -> Option<Foreign> {
    let looks = frame.ten.looks(process.key);
    let late = looks.late.saturating_add(looks.ticks);
    let share = (late > 0).then(|| looks.late as f64 / late as f64)?;
    (share >= MANY_LATE && process.ending.is_none()).then(|| {
        Foreign::new(&format!(
            "{} of the looks come too late: every core is busy. Leave gilscope one (taskset), or start it with nice -n -10",
            units::percent(share)
        ))
    })
}

fn interrupt_view(interrupts: &InterruptFigures, at: MonoNs) -> InterruptView {
    let newest = interrupts.newest.map(|newest| {
        let known = newest.delay >= newest.resolution;
        (
            words::signal(newest.signal),
            if known { Length::Known(newest.delay) } else { Length::Below(newest.resolution) },
        )
    });
    let most = interrupts.measured.iter().max_by_key(|measured| measured.delay.count());
    let oldest = interrupts.pending.iter().min_by_key(|pending| pending.since);
    InterruptView {
        newest,
        measured: most.and_then(|most| Some((most.delay.count(), most.delay.quantile(0.99)?))),
        predicted: interrupts
            .predicted
            .as_ref()
            .and_then(|predicted| predicted.delay.quantile(0.5).zip(predicted.delay.quantile(0.99))),
        not_predictable: interrupts.predicted.as_ref().map(|predicted| predicted.not_predictable),
        pending: oldest.map(|pending| (words::signal(pending.signal), at.since(pending.since))),
    }
}

fn gil_view(gil: &GilFigures, number: (usize, usize), recent: Option<&Recent>) -> GilView {
    let (load, contention, waiters, handoffs) = match recent {
        Some(recent) => {
            let bin = recent.gils.get(&gil.key).copied().unwrap_or_default();
            let share = |part: Ns| part.share_of(bin.observed);
            let handoffs = (bin.observed > Ns::ZERO).then(|| bin.handoffs as f64 / bin.observed.as_secs_f64());
            (share(bin.held), share(bin.contended), share(bin.lost), handoffs)
        }
        None => {
            let seen = gil.observed > Ns::ZERO;
            let some = |value: f64| seen.then_some(value);
            let handoffs = seen.then(|| gil.handoffs as f64 / gil.observed.as_secs_f64());
            (some(gil.load), some(gil.contention), some(gil.mean_waiters), handoffs)
        }
    };
    GilView {
        number,
        load,
        contention,
        waiters,
        handoffs,
        lost: gil.lost,
        max_waiters: gil.max_waiters,
        switch_interval: gil.switch_interval,
    }
}

/// Cores that were used, before those that might be: more than fit on a screen are of no use.
fn cores(process: &ProcessFigures) -> Vec<Cpu> {
    let mut cores: Vec<Cpu> = process.cores.iter().filter(|core| core.is_used()).map(|core| core.cpu).collect();
    if cores.len() + process.target.cpus_allowed.len() <= 16 || cores.is_empty() {
        cores.extend(process.target.cpus_allowed.iter().take(1_024));
    }
    cores.sort_unstable();
    cores.dedup();
    cores
}

impl Transport {
    /// That of `frame`.
    pub fn of(frame: &Frame, session: Capabilities) -> Transport {
        let status = &frame.status;
        let start = frame.snapshot.processes.iter().map(|process| process.capture.start).min();
        Transport {
            origin: session.origin,
            play: status.play,
            start: start.unwrap_or(status.range.from).min(status.range.from),
            position: status.position,
            range: status.range,
            speed: status.speed,
            seeking: status.seeking.map(|(_, done)| done),
            marks: status.marks.clone(),
            recording: status.recording.as_ref().map(|recording| (recording.path.clone(), recording.bytes)),
        }
    }

    /// Whether a bar helps: wherever the view is not simply at the edge of what happens.
    pub fn is_shown(&self) -> bool {
        self.origin == Origin::Recording || self.play == Play::Paused
    }
}

impl LanesView<'_> {
    /// The place of a thread among those of the process.
    pub fn place(&self, thread: ThreadKey) -> Option<usize> {
        self.process?.place(thread)
    }
}
