//! What is wrong, and what to do about it: a catalogue of findings, each with its evidence.
//!
//! Everything here is a pure function of a snapshot. A finding says what is known and nothing more: what could not be
//! observed makes no finding, and its absence no all-clear (`low-coverage` says so). [`verdict()`] answers the first
//! question, whether the GIL is the problem at all; findings say why, and never contradict it.
//!
//! All thresholds are in [`thresholds`], each with its reason; `assets/docs/findings.md` explains each finding to users.

mod answer;
mod case;
mod code;
mod contention;
mod explain;
pub(crate) mod figures;
mod handoffs;
mod holders;
mod interrupts;
pub mod thresholds;
mod verdict;
mod words;

use crate::event::{GilKey, ThreadKey};
use crate::findings::case::Case;
use crate::model::snapshot::ProcessFigures;
use crate::time::Ns;

pub use explain::{DOCUMENT, explain};
pub use verdict::{Answer, Reason, Verdict};

/// The findings there are, in the order in which they are told among those of one severity: causes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The holder does not let go although it was asked to, or sleeps with it.
    NeverReleases,
    /// A request for the GIL goes to another interpreter than the one that holds it.
    StarvedInterpreter,
    /// A thread waits about a switch interval after each of its own releases.
    Convoy,
    /// One thread holds it for most of the time.
    GilHog,
    /// More threads want it than can have it, and share it fairly.
    Saturated,
    /// It changes hands so often that this is the cost.
    HandoffStorm,
    /// Who holds it is kept off its core.
    HolderPreempted,
    /// It changes cores with most handoffs.
    CrossCoreBounce,
    /// Signals wait long for their Python handlers.
    SlowInterrupt,
    /// What the time goes to is something else.
    NotTheGil,
    /// Too little was observed.
    LowCoverage,
}

impl Name {
    /// All of them.
    pub const ALL: [Name; 11] = [
        Name::NeverReleases,
        Name::StarvedInterpreter,
        Name::Convoy,
        Name::GilHog,
        Name::Saturated,
        Name::HandoffStorm,
        Name::HolderPreempted,
        Name::CrossCoreBounce,
        Name::SlowInterrupt,
        Name::NotTheGil,
        Name::LowCoverage,
    ];

    /// As it is written everywhere.
    pub fn id(self) -> &'static str {
        match self {
            Name::NeverReleases => "never-releases",
            Name::StarvedInterpreter => "starved-interpreter",
            Name::Convoy => "convoy",
            Name::GilHog => "gil-hog",
            Name::Saturated => "saturated",
            Name::HandoffStorm => "handoff-storm",
            Name::HolderPreempted => "holder-preempted",
            Name::CrossCoreBounce => "cross-core-bounce",
            Name::SlowInterrupt => "slow-interrupt",
            Name::NotTheGil => "not-the-gil",
            Name::LowCoverage => "low-coverage",
        }
    }

    /// The finding that is written so.
    pub fn named(id: &str) -> Option<Name> {
        Name::ALL.into_iter().find(|name| name.id() == id)
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// It costs something.
    Warn,
    /// It costs much.
    Problem,
}

impl Severity {
    /// As it is written everywhere.
    pub fn id(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Problem => "problem",
        }
    }
}

/// Findings that the user does not want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed(u16);

impl Allowed {
    /// All are told.
    pub const NONE: Allowed = Allowed(0);

    /// Without this one, too.
    #[must_use]
    pub fn and(self, name: Name) -> Allowed {
        Allowed(self.0 | 1 << name as u16)
    }

    /// Whether this one is not told.
    pub fn has(self, name: Name) -> bool {
        self.0 & (1 << name as u16) != 0
    }
}

impl FromIterator<Name> for Allowed {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Allowed {
        names.into_iter().fold(Allowed::NONE, Allowed::and)
    }
}

/// A figure that a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// A length of time.
    Time(Ns),
    /// A share, 0..=1.
    Share(f64),
    /// A number that may exceed 1: of threads, times as long, a second.
    Number(f64),
    /// How many.
    Count(u64),
    /// Where to look.
    Thread(ThreadKey),
    /// One of a few words.
    Word(&'static str),
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What.
    pub name: Name,
    /// How much it matters.
    pub severity: Severity,
    /// What it is here, in true sentences for people; safe to print.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    /// What it rests on, by name: times end in `_ns`.
    pub evidence: Vec<(&'static str, Figure)>,
    /// Whose GIL; `None`: it is about the process.
    pub gil: Option<GilKey>,
    /// The thread that causes it, if it is one.
    pub culprit: Option<ThreadKey>,
    /// The Python function in which that thread holds the GIL; `None`: not known.
    pub function: Option<String>,
    /// The shared object and symbol in which it does; `None`: not known.
    pub native: Option<String>,
}

impl Finding {
    fn new(name: Name, severity: Severity, message: String, advice: impl Into<String>) -> Finding {
        Finding {
            name,
            severity,
            message,
            advice: advice.into(),
            evidence: Vec::new(),
            gil: None,
            culprit: None,
            function: None,
            native: None,
        }
    }

    fn with(mut self, name: &'static str, figure: Figure) -> Finding {
        self.evidence.push((name, figure));
        self
    }

    fn on(self, gil: GilKey) -> Finding {
        Finding { gil: Some(gil), ..self }
    }

    fn by(self, culprit: Option<ThreadKey>) -> Finding {
        Finding { culprit, ..self }
    }
}

/// The answer for a process, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// Whether the GIL is the problem.
    pub verdict: Verdict,
    /// What was found: what matters most first.
    pub list: Vec<Finding>,
}

impl Findings {
    /// The verdict's sentences that no finding says.
    pub fn because(&self) -> Option<String> {
        let told = |name| self.list.iter().any(|finding| finding.name == name);
        let Verdict { answer, because, cause, ending, .. } = &self.verdict;
        let is_told = match answer {
            Answer::IsNot => told(Name::NotTheGil),
            Answer::Unknown => told(Name::LowCoverage),
            Answer::Is | Answer::Partly | Answer::NoGil => false,
        };
        let is_caused = self.list.iter().any(Finding::tells_the_cause);
        let sentences = [Some(because).filter(|_| !is_told), cause.as_ref().filter(|_| !is_caused), ending.as_ref()];
        let sentences: Vec<&str> = sentences.into_iter().flatten().map(String::as_str).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

impl Finding {
    fn tells_the_cause(&self) -> bool {
        let is_one = matches!(
            self.name,
            Name::NeverReleases | Name::Convoy | Name::GilHog | Name::Saturated | Name::HolderPreempted
        );
        is_one && self.severity > Severity::Info
    }
}

/// Whether the GIL is the problem of a process. With several GILs the worst one decides, and the others are named.
pub fn verdict(process: &ProcessFigures) -> Verdict {
    find(process, Allowed::NONE).verdict
}

/// All that is found in a process, but for what is `allowed`.
pub fn find(process: &ProcessFigures, allowed: Allowed) -> Findings {
    let mut verdict = verdict::of(process);
    let mut list = Vec::new();
    let gils = figures::gils(process);
    let only = if gils.len() == 1 { figures::Only::One } else { figures::Only::OfSeveral };
    for shared in &gils {
        let Some(case) = Case::of(process, shared, only) else { continue };
        list.extend(holders::find(&case));
        list.extend(contention::find(&case, &list));
        list.extend(handoffs::find(&case));
    }
    list.extend(interrupts::find(process));
    verdict::agree(&mut verdict, &list);
    list.extend(answer::find(process, &verdict));
    code::name(process, &mut list);
    list.retain(|finding| !allowed.has(finding.name));
    list.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.name, finding.gil));
    Findings { verdict, list }
}
