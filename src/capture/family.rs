//! Who is looked into: the processes that were named and, if that is asked for, all that descend from them.
//!
//! Each has a thread of its own that looks. That a process has made another is told at once by the kernel's records of the
//! parent's threads, and by a listing of `/proc` now and then where there are none: of a process that is no Python, and
//! that may make one, there never are. A newborn is left alone for a moment: it may yet replace its program, and a
//! child of vfork(2) has its parent's memory until then.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::capture::calibration::Calibration;
use crate::capture::crowd::Crowd;
use crate::capture::live::Teller;
use crate::capture::streams::{Source, Told};
use crate::capture::{Descendants, Options, Post, Precision, Run, Stop};
use crate::event::{CaptureInfo, Costs, Event, Origin, Pid, ProcessKey, Signal, Unwatched, What};
use crate::instruments::{Cores, Keys, Pot, clock};
use crate::target::{AttachError, Family, Kind, Target};
use crate::time::{MonoNs, Ns};

/// Processes that are looked into at once.
pub const MOST_FOLLOWED: usize = 128;
/// How old a newborn is before it is looked into.
const GRACE: Ns = Ns(10_000_000);
/// Shortest time between two listings of `/proc`: where children are followed, and where they are only told of.
const SPACING: (Ns, Ns) = (Ns(20_000_000), Ns(250_000_000));
/// A listing may use this share of a core: one part in so many.
const SHARE: u64 = 100;
/// Pauses between two attempts at one that is not ready: at first, and at most.
const PAUSES: (Ns, Ns) = (Ns(5_000_000), Ns(500_000_000));
/// Pause between two looks whether one that is no Python has become another program.
const ANOTHER: Ns = Ns(50_000_000);
/// Time until the same program is tried again at first: it may have loaded a Python since. Each time it is left alone for
/// this many times as long.
const AGAIN: (Ns, u64) = (Ns(200_000_000), 4);
/// The same, and between two attempts, for a program that gilscope has started: the first line waits for nobody.
const STARTED: Ns = Ns(1_000_000);
/// How long one that makes no sense yet may take to.
const PATIENCE: Ns = Ns(3_000_000_000);
/// Longest time between two turns: where all that are looked into say themselves when that is over, and where nobody is.
const TURNS: (Ns, Ns) = (Ns(50_000_000), Ns(10_000_000));

/// A process that was named.
#[derive(Debug)]
pub enum Root {
    /// It has been attached to.
    Attached(Box<Target>),
    /// A program that gilscope has started, which is no Python yet: it may become one, or start some.
    Started(Pid),
}

/// What those who look tell of processes.
#[derive(Debug)]
pub(super) enum News {
    /// This image is looked into.
    Found {
        /// Its pid.
        pid: Pid,
        /// Its key.
        process: ProcessKey,
    },
    /// A process was made.
    Born {
        /// By whom.
        parent: Pid,
        /// Its pid.
        child: Pid,
        /// When that was learned.
        at: MonoNs,
    },
    /// A process is no longer looked into, and nothing is told of it that came after this instant.
    Over(MonoNs),
}

/// Who is there, and who looks at whom.
pub(super) struct Household {
    options: Options,
    stop: Stop,
    until: Option<MonoNs>,
    tell: SyncSender<Told>,
    sent: Option<Receiver<(MonoNs, Signal)>>,
    news: (Sender<News>, Receiver<News>),
    keys: Keys,
    crowd: Crowd,
    /// What looking may cost all of them.
    pot: Pot,
    calibration: Option<Calibration>,
    family: Family,
    roots: BTreeSet<Pid>,
    runs: BTreeMap<Pid, JoinHandle<()>>,
    /// The newest image of each that is or was looked into.
    images: BTreeMap<Pid, ProcessKey>,
    candidates: BTreeMap<Pid, Candidate>,
    /// What all programs do on the cores.
    cores: Option<Cores>,
    next_source: Source,
    look_due: MonoNs,
    /// Whether those that are there already have been found.
    surveyed: Surveyed,
    /// Nothing was told that came after this, but by those who still look.
    told_until: MonoNs,
    aside: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surveyed {
    NotYet,
    Yes,
}

/// One that may be looked into.
#[derive(Debug)]
struct Candidate {
    /// Whom to tell it of.
    ancestor: Option<ProcessKey>,
    since: MonoNs,
    due: MonoNs,
    pause: Ns,
    /// The program that it was when it was found to be no Python, and until when that is believed.
    program: Option<(PathBuf, MonoNs)>,
    /// For how long it is believed next time.
    belief: Ns,
    told: Option<Unwatched>,
}

/// What came of an attempt.
enum Attempt {
    Begun,
    Gone,
    NotReady,
    Never(Unwatched),
}

impl Household {
    pub fn new(options: Options, stop: Stop, tell: SyncSender<Told>, sent: Receiver<(MonoNs, Signal)>) -> Household {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Household {
            until: None,
            stop,
            tell,
            sent: Some(sent),
            news: channel(),
            keys: Keys::default(),
            crowd: Crowd::on(cores),
            pot: Pot::new(Ns(Costs::ASSUMED.within(options.precision.budget()).budget.0.saturating_mul(cores as u64))),
            calibration: (options.precision != Precision::Sampled && options.costs.is_none()).then(Calibration::start),
            family: Family::of(&[]),
            roots: BTreeSet::new(),
            runs: BTreeMap::new(),
            images: BTreeMap::new(),
            candidates: BTreeMap::new(),
            cores: None,
            next_source: 0,
            look_due: MonoNs(0),
            surveyed: Surveyed::NotYet,
            told_until: MonoNs(0),
            aside: Vec::new(),
            options,
        }
    }

    /// Looks until it is over.
    pub fn observe(mut self, roots: Vec<Root>) {
        let started = clock::now();
        self.until = self.options.duration.map(|limit| started + limit);
        self.say(started, What::CaptureStarted(Box::new(info(&self.options))));
        if let Some(costs) = self.options.costs.filter(|_| self.options.precision != Precision::Sampled) {
            self.say(started, What::CostsKnown(costs.within(self.options.precision.budget())));
        }
        let pids = roots.iter().map(|root| match root {
            Root::Attached(target) => target.info().pid,
            Root::Started(pid) => *pid,
        });
        self.roots = pids.collect();
        self.family = Family::of(&self.roots.iter().copied().collect::<Vec<_>>());
        for root in roots {
            match root {
                Root::Attached(target) => self.begin(*target),
                Root::Started(pid) => self.meet(pid, None, started),
            }
        }
        while !self.is_over(clock::now()) {
            self.hear();
            let now = clock::now();
            if now >= self.look_due {
                self.look(now);
            }
            self.attend(now);
            self.runs.retain(|_, run| !run.is_finished());
            let read = self.cores.iter().flat_map(Cores::drain);
            self.aside.extend(read.map(|(at, what)| Event { at, what }));
            self.flush();
        }
        // Whoever still looks takes the totals a last time.
        self.stop.request();
        if let Some((at, last)) = self.cores.take().and_then(Cores::finish) {
            self.say(at, last);
        }
        for (_, run) in std::mem::take(&mut self.runs) {
            let _panicked = run.join();
        }
        self.hear_the_rest();
        self.flush();
        // Not now: to close what the kernel keeps for them takes up to a tenth of a second, in which nobody looks.
        self.say(self.told_until, What::CaptureEnded);
        self.flush();
    }

    fn is_over(&self, now: MonoNs) -> bool {
        let nobody = self.runs.is_empty() && !self.candidates.keys().any(|pid| self.is_awaited(*pid, now));
        nobody || self.stop.is_requested() || self.until.is_some_and(|until| now >= until)
    }

    /// Whether one that is not looked into may make the capture go on.
    fn is_awaited(&self, pid: Pid, now: MonoNs) -> bool {
        let newborn = |candidate: &Candidate| candidate.told.is_none() && now.since(candidate.since) < PATIENCE;
        self.roots.contains(&pid) || self.candidates.get(&pid).is_some_and(newborn)
    }

    fn follows(&self) -> bool {
        self.options.descendants == Descendants::Followed
    }

    fn say(&mut self, at: MonoNs, what: What) {
        self.aside.push(Event { at, what });
    }

    fn flush(&mut self) {
        self.told_until = self.aside.iter().map(|event| event.at).fold(self.told_until, MonoNs::max);
        if !self.aside.is_empty() && self.tell.send(Told::Aside(std::mem::take(&mut self.aside))).is_err() {
            self.stop.request();
        }
    }

    /// Begins to look into a process.
    fn begin(&mut self, target: Target) {
        // What was said of it before comes before it.
        self.flush();
        let pid = target.info().pid;
        let now = clock::now();
        let source = self.next_source;
        self.next_source += 1;
        let post = Post {
            options: self.options.clone(),
            stop: self.stop.clone(),
            until: self.until,
            teller: Teller::begin(source, now, self.tell.clone()),
            news: self.news.0.clone(),
            sent: self.sent.take(),
            crowd: self.crowd.clone(),
            pot: self.pot.clone(),
            calibration: self.calibration.clone(),
        };
        let keys = self.keys.clone();
        // Here, so that they are numbered in the order in which they were named or found.
        let process = keys.process();
        let builder = std::thread::Builder::new().name("gilscope-sampler".to_owned());
        if let Ok(run) = builder.spawn(move || Run::new(post, keys).observe(target, process)) {
            self.runs.insert(pid, run);
        }
    }

    /// Hears what those who look have learned; waits a little for it.
    fn hear(&mut self) {
        let pause = self.pause(clock::now());
        match self.news.1.recv_timeout(Duration::from_nanos(pause.0)) {
            Ok(news) => self.learn(news),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        self.hear_the_rest();
    }

    /// Until something is due. Each turn wakes a core that may be idle, and with it what the target does next.
    fn pause(&self, now: MonoNs) -> Ns {
        if self.roots.iter().any(|root| self.candidates.contains_key(root)) {
            return STARTED;
        }
        let turn = if self.runs.is_empty() { TURNS.1 } else { TURNS.0 };
        if self.surveyed == Surveyed::NotYet {
            // Whoever was named is looked into first: children are told of it.
            return turn;
        }
        let due = self.candidates.values().map(|candidate| candidate.due).fold(self.look_due, MonoNs::min);
        due.since(now).clamp(STARTED, turn)
    }

    fn hear_the_rest(&mut self) {
        while let Ok(news) = self.news.1.try_recv() {
            self.learn(news);
        }
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Found { pid, process } => {
                // What it made before it was looked into.
                if self.images.insert(pid, process).is_none() && self.follows() {
                    let now = clock::now();
                    let made = self.family.members().filter(|(_, parent)| *parent == pid);
                    self.aside.extend(made.map(|(child, _)| Event { at: now, what: What::Forked { process, child } }));
                }
                // Not before there is somebody to tell from the others.
                if self.cores.is_none() {
                    let (cores, (at, first)) = Cores::begin();
                    self.say(at, first);
                    self.cores = Some(cores);
                }
            }
            // That it is heard ends the pause, too.
            News::Over(at) => self.told_until = self.told_until.max(at),
            News::Born { parent, child, at } => {
                if self.family.meet(child, parent) {
                    self.meet(child, Some(parent), at);
                }
            }
        }
    }

    /// One has come into view.
    fn meet(&mut self, pid: Pid, parent: Option<Pid>, at: MonoNs) {
        // Also one whose parent is no Python has an ancestor that is looked into, unless it is the program itself.
        let ancestor = parent
            .and_then(|parent| self.images.get(&parent).copied().or_else(|| self.candidates.get(&parent)?.ancestor));
        if let Some(process) = parent.and_then(|parent| self.images.get(&parent).copied()) {
            self.say(at, What::Forked { process, child: pid });
        }
        if self.follows() || self.roots.contains(&pid) {
            let grace = if parent.is_some() { GRACE } else { Ns::ZERO };
            let candidate = Candidate {
                ancestor,
                since: at,
                due: at + grace,
                pause: PAUSES.0,
                program: None,
                belief: AGAIN.0,
                told: None,
            };
            self.candidates.insert(pid, candidate);
        }
    }

    /// Looks who has come and gone.
    fn look(&mut self, now: MonoNs) {
        let before = clock::thread_cpu();
        let Ok(changes) = self.family.look() else {
            self.look_due = now + SPACING.1;
            return;
        };
        let is_first = std::mem::replace(&mut self.surveyed, Surveyed::Yes) == Surveyed::NotYet;
        for (pid, parent) in changes.born {
            // Children that were there before are news only to whoever follows them.
            if !is_first || self.follows() {
                self.meet(pid, Some(parent), now);
            }
        }
        for pid in changes.gone {
            self.lose(pid, now);
        }
        let cost = clock::thread_cpu().saturating_sub(before);
        let spacing = if self.follows() { SPACING.0 } else { SPACING.1 };
        self.look_due = now + spacing.max(Ns(cost.0.saturating_mul(SHARE)));
    }

    /// One that was not looked into has ended.
    fn lose(&mut self, pid: Pid, now: MonoNs) {
        let Some(candidate) = self.candidates.remove(&pid) else { return };
        if let Some(process) = candidate.ancestor.filter(|_| candidate.told.is_none()) {
            self.say(now, What::ChildUnwatched { process, child: pid, why: Unwatched::TooShort });
        }
    }

    /// Tries those whose time has come.
    fn attend(&mut self, now: MonoNs) {
        let mut due: Vec<(MonoNs, Pid)> =
            self.candidates.iter().filter(|(_, it)| it.due <= now).map(|(pid, it)| (it.since, *pid)).collect();
        due.sort_unstable();
        for (_, pid) in due {
            let Some(mut candidate) = self.candidates.remove(&pid) else { continue };
            let started = self.roots.contains(&pid);
            let attempt = self.attempt(pid, &mut candidate);
            let now = clock::now();
            match attempt {
                Attempt::Begun => continue,
                Attempt::Gone => {
                    self.candidates.insert(pid, candidate);
                    self.lose(pid, now);
                    continue;
                }
                Attempt::NotReady => {
                    candidate.due = now + if started { STARTED } else { candidate.pause };
                    candidate.pause = Ns(candidate.pause.0 * 2).min(PAUSES.1);
                }
                Attempt::Never(why) => {
                    candidate.due = now + if started { STARTED } else { ANOTHER };
                    if candidate.told != Some(why) {
                        candidate.told = Some(why);
                        if let Some(process) = candidate.ancestor {
                            self.say(now, What::ChildUnwatched { process, child: pid, why });
                        }
                    }
                }
            }
            self.candidates.insert(pid, candidate);
        }
    }

    fn attempt(&mut self, pid: Pid, candidate: &mut Candidate) -> Attempt {
        let now = clock::now();
        let program = std::fs::read_link(format!("/proc/{}/exe", pid.0)).ok();
        match (candidate.program.take(), &program) {
            (Some((known, until)), Some(program)) if known == *program && now < until => {
                candidate.program = Some((known, until));
                return Attempt::Never(candidate.told.unwrap_or(Unwatched::NotPython));
            }
            (Some((known, _)), Some(program)) if known == *program => {}
            _ => candidate.belief = AGAIN.0,
        }
        if self.runs.len() >= MOST_FOLLOWED {
            return Attempt::Never(Unwatched::TooMany);
        }
        let origin = if self.roots.contains(&pid) { Origin::Launched } else { Origin::Attached };
        let error = match Target::attach(pid, Ns::ZERO, origin) {
            Ok(target) => {
                self.begin(target);
                return Attempt::Begun;
            }
            Err(error) => error,
        };
        let is_young = now.since(candidate.since) < PATIENCE;
        let why = match (&error, error.kind()) {
            (AttachError::Zombie(_), _) | (_, Kind::NoSuchProcess) => return Attempt::Gone,
            (AttachError::StillStarting(_), _) => return Attempt::NotReady,
            // A child of vfork, one that is only just being put in order, or whose libraries are being loaded.
            (AttachError::LayoutMismatch { .. } | AttachError::RuntimeHidden(_) | AttachError::OtherLibc(_), _)
                if is_young =>
            {
                return Attempt::NotReady;
            }
            (AttachError::LayoutMismatch { .. }, _) | (_, Kind::NotPermitted | Kind::Internal) => Unwatched::Unreadable,
            (_, Kind::Unsupported) => Unwatched::NotPython,
        };
        candidate.program = program.map(|program| (program, now + candidate.belief));
        candidate.belief = Ns(candidate.belief.0.saturating_mul(AGAIN.1));
        Attempt::Never(why)
    }
}

fn info(options: &Options) -> CaptureInfo {
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().chars().take(128).collect::<String>()
    };
    CaptureInfo {
        tool_version: options.tool_version.clone(),
        start_unix_ns: clock::unix_now(),
        mode: options.precision.mode(),
        interval: options.first_interval(),
        host: read("/proc/sys/kernel/hostname"),
        kernel: read("/proc/sys/kernel/osrelease"),
    }
}
