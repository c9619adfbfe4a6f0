//! The cores: who ran where, where the GIL was, and what others did there; below, one core by its figures.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::cores::{Access, CoreRow, Cores};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{Line, centred, cores as lanes, line_of, take_top, titled, who};
use crate::event::Cpu;
use crate::model::snapshot::{CoreFigures, ProcessFigures, ThreadCore, ThreadFigures};
use crate::text::{left, right};
use crate::time::Ns;
use crate::units;

/// Lines of the core that is looked at, before the lanes get more than a few.
const CORE: u16 = 7;
/// Fewer lines of it say nothing.
const LEAST: u16 = 4;

/// The lanes, and the core that is looked at.
fn places(cores: &Cores<'_>, mut area: Rect) -> (Rect, Rect) {
    let kept = if cores.shown().is_some() && area.height >= 16 { CORE.min(area.height / 3) } else { 0 };
    let rows = u16::try_from(cores.rows.len()).unwrap_or(u16::MAX);
    let wanted = rows.max(1).saturating_mul(2).saturating_add(lanes::AROUND + 1);
    let top = take_top(wanted.min(area.height.saturating_sub(kept)), &mut area);
    if area.height < LEAST || kept == 0 {
        return (Rect { height: top.height + area.height, ..top }, Rect::default());
    }
    (top, area)
}

/// The lanes without their title.
fn inner(area: Rect) -> Rect {
    let mut rest = area;
    take_top(1, &mut rest);
    rest
}

fn view_of<'a, 'b>(view: &'b ViewModel<'a>) -> Option<&'b Cores<'a>> {
    view.cores.as_ref()
}

/// Lines that fit.
pub fn page(view: &ViewModel<'_>, area: Rect) -> usize {
    view_of(view).map_or(0, |cores| lanes::rows_shown(cores, inner(places(cores, area).0)).len())
}

/// The lines on the screen, each with its number.
pub fn spots(view: &ViewModel<'_>, area: Rect) -> Vec<(Rect, usize)> {
    view_of(view).map_or_else(Vec::new, |cores| lanes::rows_shown(cores, inner(places(cores, area).0)))
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(cores) = view_of(view) else { return };
    let (top, below) = places(cores, area);
    let top = titled(top, buffer, theme, "Cores", &remarks(cores));
    let Some(process) = cores.process.filter(|_| !cores.rows.is_empty()) else {
        centred(top, buffer, "nothing observed yet", theme.style(Tone::Faint));
        return;
    };
    lanes::draw(cores, theme, top, buffer);
    if let Some(row) = cores.shown().filter(|_| !below.is_empty()) {
        core(cores, process, row, theme, below, buffer);
    }
}

/// What the program may use, what it does, and what is not told.
fn remarks(cores: &Cores<'_>) -> Vec<(String, Tone)> {
    let mut remarks = vec![(format!("{} a column;", cores.column), Tone::Plain)];
    let Some(process) = cores.process else { return remarks };
    let duration = process.capture.duration;
    let own: Option<Ns> = process.cores.iter().map(|core| core.target_on_cpu).sum();
    let used = own.and_then(|own| own.share_of(duration)).filter(|_| !process.cores.is_empty());
    match (used, cores.allowed.len()) {
        (Some(used), 0) => remarks.push((format!("keeps {used:.2} cores busy;"), Tone::Strong)),
        (Some(used), allowed) => {
            let plural = if allowed == 1 { "core" } else { "cores" };
            remarks.push((format!("keeps {used:.2} of {allowed} {plural} busy;"), Tone::Strong));
        }
        (None, 0) => {}
        (None, allowed) => remarks.push((format!("may use {allowed};"), Tone::Plain)),
    }
    if let Some(migrations) = &process.migrations {
        let moves = migrations.total();
        let a_second = moves as f64 / duration.as_secs_f64().max(f64::MIN_POSITIVE);
        remarks.push((format!("{} migrations, {a_second:.1}/s", units::count(moves)), Tone::Plain));
    }
    if process.migrations.is_none() {
        remarks.push(("no switch records: only who holds is told;".to_owned(), Tone::Warn));
    }
    if process.cores.iter().all(|core| core.busy.is_none()) {
        remarks.push(("other programs' load is not known".to_owned(), Tone::Warn));
    }
    remarks
}

/// The line that is looked at.
fn core(cores: &Cores<'_>, process: &ProcessFigures, row: &CoreRow, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let name = match row.count {
        0 | 1 => format!("Core {}", row.first.0),
        _ => format!("Cores {}-{}", row.first.0, row.last.0),
    };
    let access = match row.access {
        Access::Allowed => ("the program may use it;", Tone::Faint),
        Access::Denied => ("the program may not use it;", Tone::Warn),
        Access::Unknown => ("", Tone::Faint),
    };
    let aside = [(access.0.to_owned(), access.1), ("figures of the whole capture".to_owned(), Tone::Faint)];
    let area = titled(area, buffer, theme, &name, &aside);
    let figures: Vec<&CoreFigures> = cores.figures(row).collect();
    sums(process, row, &figures, theme, line_of(area, 0), buffer);
    let mut next = 1;
    if row.count <= 1 {
        moves(process, row.first, theme, line_of(area, next), buffer);
        next += 1;
    }
    let threads = threads(process, row.first, row.count);
    if threads.is_empty() {
        let mut line = Line::new();
        line.push(" none of the program's threads was seen there", theme.style(Tone::Faint));
        line.draw(line_of(area, next), buffer);
    }
    for (number, (thread, there)) in threads.iter().enumerate() {
        ran(process, thread, there, theme, line_of(area, next + number), buffer);
    }
}

fn sums(
    process: &ProcessFigures,
    row: &CoreRow,
    figures: &[&CoreFigures],
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let whole = Ns(process.capture.duration.0.saturating_mul(row.count as u64));
    let all = |figure: fn(&CoreFigures) -> Option<Ns>| -> Option<Ns> {
        figures.iter().map(|core| figure(core)).sum::<Option<Ns>>().filter(|_| !figures.is_empty())
    };
    let held: Ns = figures.iter().map(|core| core.gil_held).sum();
    let parts = [
        ("GIL held there", Some(held)),
        ("this program", all(|core| core.target_on_cpu)),
        ("others", all(|core| core.other)),
        ("busy", all(|core| core.busy)),
        ("stolen by the host", all(|core| core.stolen).filter(|stolen| *stolen > Ns::ZERO)),
    ];
    let mut line = Line::new();
    for (name, time) in parts {
        let says = match time {
            Some(time) => time.share_of(whole).map_or("-".to_owned(), units::percent),
            None if name == "stolen by the host" => continue,
            None => "not known".to_owned(),
        };
        line.push_whole(&format!(" {name} "), theme.style(Tone::Label), area.width);
        line.push_whole(&format!("{says} "), theme.style(Tone::Strong), area.width);
    }
    line.draw(area, buffer);
}

/// How threads came to it and left it.
fn moves(process: &ProcessFigures, cpu: Cpu, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let Some(migrations) = &process.migrations else {
        line.push(" migrations are not told without switch records", theme.style(Tone::Faint));
        return line.draw(area, buffer);
    };
    let list = |pairs: &[(Cpu, u64)], word: &str| {
        let shown: Vec<String> =
            pairs.iter().take(4).map(|(cpu, count)| format!("{} {word} {}", units::count(*count), cpu.0)).collect();
        let more = if pairs.len() > shown.len() { ", …" } else { "" };
        if shown.is_empty() { "none".to_owned() } else { format!("{}{more}", shown.join(", ")) }
    };
    for (says, list) in
        [("arrivals", list(&migrations.to(cpu), "from")), ("departures", list(&migrations.from(cpu), "to"))]
    {
        line.push_whole(&format!(" {says} "), theme.style(Tone::Label), area.width);
        line.push_whole(&format!("{list} "), theme.style(Tone::Plain), area.width);
    }
    line.draw(area, buffer);
}

/// Who was there, the longest first.
fn threads(process: &ProcessFigures, first: Cpu, count: usize) -> Vec<(&ThreadFigures, ThreadCore)> {
    if count > 1 {
        return Vec::new();
    }
    let there = |thread: &ThreadFigures| thread.cores.iter().find(|core| core.cpu == first).copied();
    let mut threads: Vec<(&ThreadFigures, ThreadCore)> =
        process.threads.iter().filter_map(|thread| Some((thread, there(thread)?))).collect();
    threads.retain(|(_, core)| core.gil_held > Ns::ZERO || core.on_cpu.is_some_and(|time| time > Ns::ZERO));
    threads.sort_by_key(|(thread, core)| (std::cmp::Reverse((core.on_cpu, core.gil_held)), thread.key));
    threads.truncate(64);
    threads
}

fn ran(
    process: &ProcessFigures,
    thread: &ThreadFigures,
    there: &ThreadCore,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let name = usize::from(area.width / 3).min(28);
    let (letter, who, tone) = who::thread(Some(process), thread.key, name);
    let whole = process.capture.duration;
    let mut line = Line::new();
    line.push(format!(" {letter} "), theme.style(tone));
    line.push(left(&who, name), Style::new());
    let percent = |time: Option<Ns>| time.and_then(|time| time.share_of(whole)).map_or("-".to_owned(), units::percent);
    line.push(" on it", theme.style(Tone::Label));
    line.push(right(&percent(there.on_cpu), 8), theme.style(Tone::Strong));
    line.push("  with the GIL", theme.style(Tone::Label));
    line.push(right(&percent(Some(there.gil_held)), 8), theme.style(Tone::Strong));
    let width = usize::from(area.width).saturating_sub(line.width() + 2).min(40);
    let share = there.on_cpu.unwrap_or(there.gil_held).share_of(whole).unwrap_or(0.0);
    line.push(format!("  {}", theme.bar(share.clamp(0.0, 1.0), width)), theme.style(tone));
    line.draw(area, buffer);
}
