//! A comparison for people: what is not alike first, then what changed, then what did not, then how that is known.

use crate::compare::words::{self, direction, interval, runs, tested};
use crate::compare::{Call, Change, Comparison, Direction, RATE, Row, Sequence, Side, overlay};
use crate::figures::shown;
use crate::report::Color;
use crate::report::paint::{self, Line, Style};
use crate::units;

/// Wider lines are hard to read.
const WIDEST: usize = 120;
/// Columns of a figure's name, a value, a change, an interval.
const COLUMNS: [usize; 4] = [25, 11, 15, 24];
/// Values of an origin that are shown one by one.
const VALUES: usize = 3;

/// The comparison as text of at most `width` columns, with a newline after each line. Strings of the targets are made safe for a
/// terminal.
pub fn text(comparison: &Comparison, width: u16, color: Color) -> String {
    let mut page = Page { comparison, width: usize::from(width).min(WIDEST), lines: Vec::new() };
    page.sides();
    page.origins();
    page.verdict();
    page.figures();
    page.lines.extend(overlay::lines(comparison, page.width));
    page.method();
    paint::render(&page.lines, page.width, color)
}

struct Page<'a> {
    comparison: &'a Comparison,
    width: usize,
    lines: Vec<Line>,
}

impl Page<'_> {
    fn line(&mut self, style: Style, text: impl Into<String>) {
        self.lines.push(Line::new().with(style, text));
    }

    fn prose(&mut self, style: Style, indent: usize, text: &str) {
        for line in paint::wrap(text, self.width.saturating_sub(indent)) {
            self.line(style, format!("{}{line}", " ".repeat(indent)));
        }
    }

    fn heading(&mut self, text: &str, aside: &str) {
        self.lines.push(Line::new());
        self.lines.push(Line::new().with(Style::Heading, text).with(Style::Faint, format!("  {aside}")));
    }

    fn sides(&mut self) {
        for side in [&self.comparison.a, &self.comparison.b] {
            let Side { letter, name, runs } = side;
            let plural = if runs.len() == 1 { "run" } else { "runs" };
            let name = paint::foreign(name, self.width);
            let line = Line::new().with(Style::Heading, format!("{letter}  "));
            self.lines.push(line.with(Style::Plain, name).with(Style::Faint, format!("  {} {plural}", runs.len())));
        }
    }

    /// What is not the same, and the order of the runs, where that is against them.
    fn origins(&mut self) {
        let differences = &self.comparison.differences;
        let warning = match self.comparison.sequence {
            Sequence::Phases => Some(
                "All runs of one side were made before all of the other: whatever changed in between is in the differences. \
                 Make them by turns (A B A B), as gilscope experiment does.",
            ),
            Sequence::AtOnce => {
                Some("Some runs were made at the same time on one machine: they took cores from each other.")
            }
            Sequence::Mixed | Sequence::NotKnown => None,
        };
        if differences.is_empty() && warning.is_none() {
            return;
        }
        self.heading("Not the same on both sides", "");
        let said = |values: &[String]| {
            let mut shown: Vec<String> =
                values.iter().take(VALUES).map(|value| paint::foreign(value, self.width / 3)).collect();
            if let Some(more @ 1..) = values.len().checked_sub(VALUES) {
                shown.push(format!("and {more} more"));
            }
            if shown.is_empty() { "unknown".to_owned() } else { shown.join(" | ") }
        };
        let rows: Vec<Line> = differences
            .iter()
            .map(|one| {
                let about = Line::new().with(Style::Warn, format!("  {}", paint::left(one.about, 16)));
                match one.a == one.b {
                    true => about.with(Style::Plain, format!("within each side: {}", said(&one.a))),
                    false => about.with(Style::Plain, format!("A {}   B {}", said(&one.a), said(&one.b))),
                }
            })
            .collect();
        self.lines.extend(rows);
        if let Some(warning) = warning {
            self.prose(Style::Warn, 2, warning);
        }
    }

    fn verdict(&mut self) {
        self.lines.push(Line::new());
        let verdict = words::verdict(self.comparison);
        self.prose(Style::Heading, 0, &verdict);
        if let Some(scope) = words::scope(self.comparison, ["A", "B"]) {
            self.prose(Style::Warn, 0, &format!("Where there are several: {scope}. Memory is of all processes."));
        }
    }

    fn figures(&mut self) {
        let sure = format!("intervals of {}", confidence(self.comparison.level));
        let rows = |call: Call| -> Vec<&Row> {
            let is = |row: &&Row| row.tested().is_some_and(|tested| tested.call == call);
            self.comparison.rows.iter().filter(is).collect()
        };
        let (differ, alike) = (rows(Call::Differs), rows(Call::NotShown));
        if !differ.is_empty() {
            self.heading("What differs", &format!("the surest and largest first; {sure}"));
            self.table(&differ);
        }
        if !alike.is_empty() {
            let (heading, aside) = match self.comparison.can_tell() {
                true => ("Not shown to differ", sure),
                false => ("What may differ", "without any confidence: there are too few runs".to_owned()),
            };
            self.heading(heading, &aside);
            self.table(&alike);
        }
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in &self.comparison.rows {
            let Change::NotCompared(why) = &row.change else { continue };
            match reasons.iter_mut().find(|(known, _)| known == why) {
                Some((_, names)) => names.push(row.figure.name),
                None => reasons.push((why, vec![row.figure.name])),
            }
        }
        if !reasons.is_empty() {
            self.heading("Not compared", "");
            for (why, names) in reasons {
                self.prose(Style::Faint, 2, &format!("{}: {why}", names.join(", ")));
            }
        }
    }

    fn table(&mut self, rows: &[&Row]) {
        let [name, value, change, wide] = COLUMNS;
        let has_interval = self.width >= name + 2 * value + change + wide + 8 && self.comparison.can_tell();
        let mut header = format!(
            "  {}{}{}{}",
            paint::left("", name),
            paint::right("A", value),
            paint::right("B", value),
            paint::right("change", change)
        );
        if has_interval {
            header.push_str(&paint::right("interval", wide));
        }
        self.line(Style::Faint, header);
        for row in rows {
            let Some(outcome) = row.tested() else { continue };
            let unit = row.figure.unit;
            let mut line = Line::new().with(Style::Plain, format!("  {}", paint::left(row.figure.name, name)));
            for side in [&row.a, &row.b] {
                line.push(Style::Plain, paint::right(&shown(side.median, unit), value));
            }
            let style = match row.direction() {
                Some(Direction::Worse) => Style::Bad,
                Some(Direction::Better) => Style::Good,
                Some(Direction::More | Direction::Less) => Style::Heading,
                None => Style::Plain,
            };
            line.push(style, paint::right(&tested(outcome), change));
            if has_interval {
                let shown = outcome.interval.map_or("too few runs".to_owned(), interval);
                line.push(Style::Faint, paint::right(&shown, wide));
            }
            if let Some(word) = row.direction() {
                line.push(style, format!("  {}", direction(word)));
            }
            let missing = row.a.missing() + row.b.missing();
            if missing > 0 {
                line.push(Style::Faint, format!("  {missing} without"));
            }
            self.lines.push(line);
        }
    }

    fn method(&mut self) {
        let comparison = self.comparison;
        let mut said = match comparison.can_tell() {
            true => format!(
                "A and B: medians of their runs. Change: the median of B over A, of all pairs of runs. Each figure has an exact \
                 rank-sum test of the {} (Wilcoxon, Mann, Whitney), and an interval by its inversion (Hodges, Lehmann). \
                 Of the differences called among all {} figures at most {} are false on average (Benjamini, Hochberg): {} \
                 for each test and interval.",
                runs(comparison),
                comparison.tested,
                units::percent(RATE),
                units::percent(comparison.level),
            ),
            false => format!(
                "{} give no confidence: figures of one program differ from run to run, and by how much is not known. Record \
                 at least four of each side, by turns.",
                runs(comparison)
            ),
        };
        let needed = comparison.runs_for_one_figure();
        if comparison.can_tell() && comparison.a.runs.len().min(comparison.b.runs.len()) < needed {
            said.push_str(&format!(" {needed} runs a side can show a difference in one figure alone."));
        }
        self.lines.push(Line::new());
        self.prose(Style::Faint, 0, &said);
    }
}

/// An error of intervals as their confidence: `99.8 %`.
fn confidence(level: f64) -> String {
    format!("{:.1} %", (1.0 - level) * 100.0)
}
