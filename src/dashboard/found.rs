//! The rows of the findings view: the answer, what was found, and which of these is looked at.

use crate::dashboard::view::Foreign;
use crate::event::GilKey;
use crate::findings::{self, Allowed, Finding, Findings, Name, Severity};
use crate::model::snapshot::ProcessFigures;

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKey {
    /// Whether the GIL is the problem.
    Answer,
    /// A finding, on a GIL if it is about one.
    Finding(Name, Option<GilKey>),
}

impl FoundKey {
    fn of(finding: &Finding) -> FoundKey {
        FoundKey::Finding(finding.name, finding.gil)
    }
}

/// What the user has chosen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// The row under the cursor.
    pub row: Option<FoundKey>,
    /// Lines that its text is scrolled down by.
    pub scrolled: usize,
}

/// What matters most of what was found, for the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingView {
    /// What.
    pub name: Name,
    /// How much it matters.
    pub severity: Severity,
    /// What it is here.
    pub message: Foreign,
    /// How many more there are.
    pub more: usize,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Found<'a> {
    /// In which process.
    pub process: Option<&'a ProcessFigures>,
    /// The answer and the findings; `None`: nothing was observed yet.
    pub findings: Option<Findings>,
    /// The row that is looked at; the answer's is the first.
    pub cursor: usize,
    /// What the user has chosen.
    pub choice: Choice,
}

impl<'a> Found<'a> {
    /// What was found in `process`. Unless the user has chosen another row, the first finding is looked at.
    pub fn of(process: Option<&'a ProcessFigures>, allowed: Allowed, choice: Choice) -> Found<'a> {
        let findings = process.map(|process| findings::find(process, allowed));
        let mut found = Found { process, findings, cursor: 0, choice };
        let keys = found.keys();
        let chosen = choice.row.and_then(|row| keys.iter().position(|key| *key == row));
        found.cursor = chosen.unwrap_or(usize::from(keys.len() > 1));
        found
    }

    /// The findings, what matters most first.
    pub fn list(&self) -> &[Finding] {
        self.findings.as_ref().map_or(&[], |findings| &findings.list)
    }

    /// What matters most; `None`: nothing to tell.
    pub fn first(&self) -> Option<FindingView> {
        let (first, more) = self.list().split_first()?;
        Some(FindingView {
            name: first.name,
            severity: first.severity,
            message: Foreign::new(&first.message),
            more: more.len(),
        })
    }

    /// The keys of the rows.
    pub fn keys(&self) -> Vec<FoundKey> {
        match &self.findings {
            None => Vec::new(),
            Some(findings) => std::iter::once(FoundKey::Answer).chain(findings.list.iter().map(FoundKey::of)).collect(),
        }
    }

    /// The finding that is looked at; `None`: it is the answer.
    pub fn shown(&self) -> Option<&Finding> {
        self.cursor.checked_sub(1).and_then(|place| self.list().get(place))
    }
}
