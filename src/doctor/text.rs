//! A diagnosis for people.

use crate::doctor::{Check, Diagnosis, Outcome, Precision, Verdict};
use crate::report::Color;
use crate::report::paint::{Line, Style, foreign, left, render, wrap};

/// The narrowest page that is written for: below it, lines are cut at their end.
const NARROWEST: usize = 40;
/// Columns of a state, and of a check's name.
const STATE: usize = 8;
const NAME: usize = 20;
/// Longest text that is written, in columns: it may come from the target.
const LONGEST: usize = 1024;

impl Outcome {
    /// In a word, so that it needs no colour.
    fn word(self) -> &'static str {
        match self {
            Outcome::Works => "ok",
            Outcome::Partly => "part",
            Outcome::Missing => "NO",
            Outcome::Unknown => "?",
            Outcome::Note => "-",
        }
    }

    fn style(self) -> Style {
        match self {
            Outcome::Works => Style::Good,
            Outcome::Partly => Style::Warn,
            Outcome::Missing => Style::Bad,
            Outcome::Unknown | Outcome::Note => Style::Faint,
        }
    }
}

impl Precision {
    /// As `--mode` has it.
    pub fn word(self) -> &'static str {
        match self {
            Precision::Sampled => "sampled",
            Precision::Fused => "fused",
            Precision::Exact => "exact",
        }
    }
}

/// The diagnosis in lines of at most `width` columns.
pub fn text(diagnosis: &Diagnosis, width: u16, color: Color) -> String {
    let width = usize::from(width).max(NARROWEST);
    let mut page = Page { width, lines: Vec::new(), said: Vec::new() };
    page.heading(&foreign(&diagnosis.about, LONGEST));
    page.lines.push(Line::new());
    page.heading("Precision");
    for verdict in &diagnosis.verdicts {
        page.row(verdict.outcome, verdict.precision.word(), &reason(verdict, diagnosis.auto));
        page.once("do:", verdict.next.as_deref());
    }
    if diagnosis.auto.is_none() {
        page.lines.push(Line::new().with(Style::Plain, "  --mode auto has nothing to take."));
    }
    page.lines.push(Line::new());
    page.heading("What was tried");
    for Check { what, outcome, detail, costs, next, .. } in &diagnosis.checks {
        page.row(*outcome, what, detail);
        page.once("costs:", costs.as_deref());
        page.once("do:", next.as_deref());
    }
    render(&page.lines, width, color)
}

fn reason(verdict: &Verdict, auto: Option<Precision>) -> String {
    let taken = if auto == Some(verdict.precision) { "; --mode auto takes this" } else { "" };
    format!("{}{taken}", verdict.reason)
}

/// Lines, as they come about.
struct Page {
    width: usize,
    lines: Vec<Line>,
    /// Remarks that were made: each once.
    said: Vec<String>,
}

impl Page {
    fn heading(&mut self, text: &str) {
        self.lines.push(Line::new().with(Style::Heading, text));
    }

    /// A state, a name, and what there is to say, on as many lines as it takes.
    fn row(&mut self, outcome: Outcome, name: &str, detail: &str) {
        let indent = STATE + NAME;
        let state = left(&format!("  {}", outcome.word()), STATE);
        let mut line = Line::new().with(outcome.style(), state).with(Style::Plain, left(name, NAME));
        for said in wrap(&foreign(detail, LONGEST), self.width.saturating_sub(indent).max(NARROWEST / 3)) {
            line.push(Style::Plain, said);
            self.lines.push(std::mem::replace(&mut line, Line::new().with(Style::Plain, " ".repeat(indent))));
        }
    }

    /// What belongs to the row above.
    fn remark(&mut self, label: &str, remark: &str) {
        const LABEL: usize = 7;
        let mut label = label;
        for said in wrap(&foreign(remark, LONGEST), self.width.saturating_sub(STATE + LABEL).max(NARROWEST / 2)) {
            let head = format!("{}{}", " ".repeat(STATE), left(label, LABEL));
            self.lines.push(Line::new().with(Style::Faint, head).with(Style::Plain, said));
            label = "";
        }
    }

    /// A remark that has not been made yet.
    fn once(&mut self, label: &str, remark: Option<&str>) {
        let Some(remark) = remark else { return };
        if !self.said.iter().any(|said| said == remark) {
            self.remark(label, remark);
            self.said.push(remark.to_owned());
        }
    }
}
