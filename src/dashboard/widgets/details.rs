//! One thread in full: who it is, what its time went to, and who made it wait.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::action::Action;
use crate::dashboard::blame::Behind;
use crate::dashboard::details::{Details, Made};
use crate::dashboard::theme::{Theme, Tone, word};
use crate::dashboard::view::{Foreign, ViewModel};
use crate::dashboard::widgets::prose::Prose;
use crate::dashboard::widgets::threads::{states, time_in};
use crate::dashboard::widgets::{Line, line_of, titled, who};
use crate::event::{Role, file_name};
use crate::model::snapshot::{Distribution, ThreadState};
use crate::time::Ns;
use crate::units;
use crate::words;

/// Columns of a name in a line of text.
const NAME: usize = 40;
/// Cores, and others behind whom it waited, that are told one by one.
const TOLD: usize = 6;
/// Lines above the text: its bar.
const ABOVE: u16 = 1;

/// Draws it, scrolled down by so many lines.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(of) = &view.details else { return };
    let (letter, name, _) = who::thread(Some(of.process), of.thread.key, NAME);
    let closes = view.keys.first(Action::Back);
    let remarks: Vec<(String, Tone)> =
        closes.into_iter().map(|press| (format!("{press} closes"), Tone::Faint)).collect();
    let inner = titled(area, buffer, theme, &format!("Thread {letter} {name}"), &remarks);
    let mut line = Line::new();
    line.push(" ", theme.style(Tone::Plain));
    states(Some(of.thread.states), usize::from(inner.width).saturating_sub(2), theme, &mut line);
    line.draw(line_of(inner, 0), buffer);
    let text = Rect { y: inner.y.saturating_add(ABOVE), height: inner.height.saturating_sub(ABOVE), ..inner };
    prose(of, theme, area.width).draw(0, theme, text, buffer);
}

/// Lines that it wants, with its title.
pub fn wanted(view: &ViewModel<'_>, theme: Theme, width: u16) -> u16 {
    let lines = view.details.as_ref().map_or(0, |of| prose(of, theme, width).height());
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(1 + ABOVE)
}

fn prose(of: &Details<'_>, theme: Theme, width: u16) -> Prose {
    let thread = of.thread;
    let mut prose = Prose::new(width);
    let role = match thread.role {
        Role::Main => "the main thread",
        Role::Native => "a native thread",
        Role::Python => "a Python thread",
    };
    let tid = thread.tid.map_or("tid not known".to_owned(), |tid| format!("tid {}", tid.0));
    let core = thread.cpu.map_or(String::new(), |cpu| format!(", last on core {}", cpu.0));
    let now = match thread.now {
        ThreadState::Ended => "has ended".to_owned(),
        state => format!("now: {}{core}", word(state)),
    };
    let seen = thread.end.unwrap_or(of.at).since(thread.start);
    prose.figure("who", &format!("{tid}, {role}, {now}, seen for {seen}"));
    let total = thread.states.total();
    let parts: Vec<String> = ThreadState::ALL
        .into_iter()
        .filter_map(|state| {
            let time = time_in(&thread.states, state);
            (time > Ns::ZERO).then_some((time, state))
        })
        .map(|(time, state)| {
            let share = time.share_of(total).map_or("?".to_owned(), units::percent);
            format!("{} {} {share}", theme.block(state), word(state))
        })
        .collect();
    prose.figure("its time", &if parts.is_empty() { "not observed".to_owned() } else { parts.join(", ") });
    prose.figure("waits", &told(&thread.waits));
    let rounds = thread.rounds_lost.map_or(String::new(), |rounds| format!(", {} rounds lost", units::count(rounds)));
    prose.figure("time lost", &format!("{}{rounds}", thread.lost));
    prose.figure("holds", &told(&thread.holds));
    if let Some(needless) = thread.needless_releases {
        prose.figure("needless releases", &units::count(needless));
    }
    if let (Some(voluntary), Some(involuntary)) = (thread.voluntary_switches, thread.involuntary_switches) {
        let of_own = units::count(voluntary);
        prose.figure("left its core", &format!("{of_own} times of its own, {} put off", units::count(involuntary)));
    }
    let cores: Vec<String> = thread
        .cores
        .iter()
        .take(TOLD)
        .map(|core| {
            let on = core.on_cpu.map_or(String::new(), |time| format!("{time} on it, "));
            format!("core {}: {on}{} with the GIL", core.cpu.0, core.gil_held)
        })
        .collect();
    for (number, core) in cores.iter().enumerate() {
        prose.figure(if number == 0 { "cores" } else { "" }, core);
    }
    if thread.cores.len() > TOLD {
        prose.figure("", &format!("and {} more", thread.cores.len() - TOLD));
    }
    for (number, made) in of.behind.iter().take(TOLD).enumerate() {
        prose.figure(if number == 0 { "waited behind" } else { "" }, &behind(of, made));
    }
    if of.behind.len() > TOLD {
        prose.figure("", &format!("and {} more: see Blame", of.behind.len() - TOLD));
    }
    prose
}

fn behind(of: &Details<'_>, made: &Made<'_>) -> String {
    let whom = match made.behind {
        Behind::Thread(key) => {
            let (letter, name, _) = who::thread(Some(of.process), key, NAME);
            format!("{letter} {name}")
        }
        Behind::Scheduler => "nobody: the GIL was free, it had no core yet".to_owned(),
        Behind::Others => "others".to_owned(),
        Behind::Unknown => "somebody who was not seen".to_owned(),
    };
    let share =
        made.time.share_of(of.thread.lost).map_or(String::new(), |share| format!(", {}", units::percent(share)));
    let code = made.code.map_or(String::new(), |(frame, share)| {
        let file = file_name(&frame.file);
        format!("; {} of it in {} ({file}:{})", units::percent(share), frame.function, frame.line)
    });
    Foreign::new(&format!("{whom}: {}{share}{code}", made.time)).fit(300)
}

fn told(distribution: &Distribution) -> String {
    if distribution.count() == 0 {
        return match distribution.censored {
            0 => "none seen".to_owned(),
            cut => format!("none seen whole, {} cut", units::count(cut)),
        };
    }
    let at = |share: f64| distribution.quantile(share).map_or("-".to_owned(), words::length);
    format!(
        "{}: p50 {}, p90 {}, p99 {}, max {}, {} in all",
        units::count(distribution.count()),
        at(0.5),
        at(0.9),
        at(0.99),
        distribution.max().map_or("-".to_owned(), words::length),
        distribution.total
    )
}
