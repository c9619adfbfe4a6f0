//! Findings: the answer, what was found, and of one of these why, what it rests on, what to do, and what it means.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::action::Action;
use crate::dashboard::found::Found;
use crate::dashboard::keys::Keymap;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{Foreign, ViewModel};
use crate::dashboard::views::View;
use crate::dashboard::widgets::prose::Prose;
use crate::dashboard::widgets::{Line, centred, rows_shown, take_top, titled, who};
use crate::findings::{Answer, Figure, Finding, Name, Severity, explain, figures};
use crate::model::snapshot::ProcessFigures;
use crate::text::{cut, left};
use crate::units;

/// Columns of a severity, with its sign, and of a finding's name.
const SEVERITY: usize = 9;
const NAME: usize = 20;
/// Lines that the text keeps before the list gets more than a few.
const TEXT: u16 = 8;

/// The list, and the text of one of its rows.
fn places(found: &Found<'_>, mut area: Rect) -> (Rect, Rect) {
    let rows = u16::try_from(found.keys().len()).unwrap_or(u16::MAX).saturating_add(1);
    let most = area.height.saturating_sub(TEXT).max(area.height / 3).max(2);
    let list = take_top(rows.min(most), &mut area);
    (list, area)
}

/// Lines of the text on the screen.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    usize::from(places(&view.found, area).1.height.saturating_sub(1))
}

/// How far its text can be scrolled down.
pub fn reach(view: &ViewModel<'_>, area: Rect) -> usize {
    prose(&view.found, &view.keys, area.width).reach(page(view, area))
}

/// The view that shows what a finding tells of.
pub fn shows(name: Name) -> Option<View> {
    match name {
        Name::Convoy => Some(View::Convoys),
        Name::SlowInterrupt => Some(View::Interrupts),
        Name::NeverReleases | Name::StarvedInterpreter | Name::GilHog | Name::Saturated => Some(View::Blame),
        Name::HandoffStorm | Name::HolderPreempted | Name::CrossCoreBounce | Name::NotTheGil => Some(View::Overview),
        Name::LowCoverage => None,
    }
}

/// The rows on the screen, each with its number; and the text.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> (Vec<(Rect, usize)>, Rect) {
    let (list, text) = places(&view.found, area);
    (rows_shown(list, 1, view.found.cursor, view.found.keys().len()).collect(), text)
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let found = &view.found;
    let (list, text) = places(found, area);
    let Some(findings) = &found.findings else {
        let area = titled(area, buffer, theme, "Findings", &[]);
        centred(area, buffer, "nothing observed yet", theme.style(Tone::Faint));
        return;
    };
    let count = match findings.list.len() {
        0 => "nothing but the answer".to_owned(),
        number => format!("{number}, what matters most first"),
    };
    let inner = titled(list, buffer, theme, "Findings", &[(count, Tone::Faint)]);
    for (place, number) in rows_shown(inner, 0, found.cursor, found.keys().len()) {
        match number.checked_sub(1).and_then(|place| findings.list.get(place)) {
            None => answer(findings.verdict.answer, theme, place, buffer),
            Some(finding) => row(found.process, finding, theme, place, buffer),
        }
        if number == found.cursor {
            buffer.set_style(place.intersection(buffer.area), theme.style(Tone::Selected));
        }
    }
    if text.is_empty() {
        return;
    }
    let prose = prose(found, &view.keys, area.width);
    let room = usize::from(text.height.saturating_sub(1));
    let (name, severity) = match found.shown() {
        None => ("The answer", None),
        Some(finding) => (finding.name.id(), Some((finding.severity.id().to_owned(), tone(finding.severity)))),
    };
    let extent = prose.extent(found.choice.scrolled, room).map(|extent| (extent, Tone::Faint));
    let remarks: Vec<(String, Tone)> = severity.into_iter().chain(extent).collect();
    let inner = titled(text, buffer, theme, name, &remarks);
    prose.draw(found.choice.scrolled, theme, inner, buffer);
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Problem => Tone::Bad,
        Severity::Warn => Tone::Warn,
        Severity::Info => Tone::Good,
    }
}

fn answer(answer: Answer, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let tone = match answer {
        Answer::Is => Tone::Bad,
        Answer::Partly | Answer::Unknown => Tone::Warn,
        Answer::IsNot | Answer::NoGil => Tone::Good,
    };
    let mut line = Line::new();
    line.push(format!(" {}.", answer.headline()), theme.style(tone));
    line.draw(area, buffer);
}

fn row(process: Option<&ProcessFigures>, finding: &Finding, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let sign = match finding.severity {
        Severity::Problem => theme.pick("▲", "!"),
        Severity::Warn => theme.pick("△", "+"),
        Severity::Info => theme.pick("·", "."),
    };
    let mut line = Line::new();
    line.push(left(&format!(" {sign} {}", finding.severity.id()), SEVERITY + 2), theme.style(tone(finding.severity)));
    line.push(left(finding.name.id(), NAME), theme.style(Tone::Strong));
    if let Some(whose) = whose(process, finding) {
        line.push(format!("{whose}  "), theme.style(Tone::Faint));
    }
    let room = usize::from(area.width).saturating_sub(line.width() + 1);
    line.push(Foreign::new(&finding.message).fit(room), theme.style(Tone::Plain));
    line.draw(area, buffer);
}

/// Whose GIL it is about, where there are several.
fn whose(process: Option<&ProcessFigures>, finding: &Finding) -> Option<String> {
    let gils = figures::gils(process?);
    let shared = gils.iter().find(|shared| gils.len() > 1 && finding.gil == Some(shared.gil.key))?;
    Some(cut(&shared.whose(), 32))
}

/// All that there is to say of the row that is looked at.
fn prose(found: &Found<'_>, keys: &Keymap, width: u16) -> Prose {
    let mut prose = Prose::new(width);
    let Some(findings) = &found.findings else { return prose };
    let Some(finding) = found.shown() else {
        let verdict = &findings.verdict;
        prose.paragraph(&verdict.because, Tone::Plain);
        for sentence in verdict.cause.iter().chain(&verdict.ending) {
            prose.paragraph(sentence, Tone::Plain);
        }
        if findings.list.is_empty() {
            prose.heading("What it means");
            prose.paragraph(
                match verdict.answer {
                    Answer::IsNot | Answer::NoGil => "Nothing was found that costs anything.",
                    Answer::Is | Answer::Partly => {
                        "What it costs is known, but none of the patterns that gilscope knows explains it. Blame says who \
                         made whom wait, and in which code."
                    }
                    Answer::Unknown => "Too little was observed to find anything.",
                },
                Tone::Plain,
            );
        }
        return prose;
    };
    prose.paragraph(&finding.message, Tone::Plain);
    prose.heading("What to do");
    prose.paragraph(&finding.advice, Tone::Plain);
    prose.heading("Evidence");
    for (name, figure) in &finding.evidence {
        prose.figure(&name.strip_suffix("_ns").unwrap_or(name).replace('_', " "), &value(found.process, *figure));
    }
    for (name, code) in [("function", &finding.function), ("native code", &finding.native)] {
        if let Some(code) = code {
            prose.figure(name, code);
        }
    }
    if let Some(view) = shows(finding.name) {
        let ways: Vec<String> = [Action::Open, Action::Show(view)]
            .into_iter()
            .filter_map(|action| keys.first(action).map(|press| press.to_string()))
            .collect();
        prose.figure("where to look", &format!("{} ({})", view.title(), ways.join(", or ")));
    }
    prose.heading("What it means");
    prose.markdown(explain(finding.name));
    prose
}

fn value(process: Option<&ProcessFigures>, figure: Figure) -> String {
    const COLUMNS: usize = 40;
    match figure {
        Figure::Time(length) => length.to_string(),
        Figure::Share(share) => units::percent(share),
        Figure::Number(number) => units::mean_count(number),
        Figure::Count(count) => units::count(count),
        Figure::Thread(key) => {
            let (letter, name, _) = who::thread(process, key, COLUMNS);
            let found = process.and_then(|process| process.thread(key));
            let tid = found.and_then(|thread| thread.tid).map_or(String::new(), |tid| format!(", tid {}", tid.0));
            format!("{letter} {name}{tid}")
        }
        Figure::Word(word) => word.to_owned(),
    }
}
