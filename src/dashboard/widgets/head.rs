//! The head: who is looked at, what its GIL does, and how well that is known.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::dashboard::found::FindingView;
use crate::dashboard::state::Window;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{GilView, Head, InterruptView, Looks, TargetView, Transport, ViewModel};
use crate::dashboard::widgets::{Line, line_of};
use crate::event::RateReason;
use crate::findings::Severity;
use crate::session::{Origin, Play};
use crate::units;
use crate::words;

/// Lines it needs.
pub fn height(view: &ViewModel<'_>) -> u16 {
    let head = &view.head;
    3 + u16::from(head.interrupts.is_some()) + u16::from(head.finding.is_some()) + u16::from(!head.notices.is_empty())
}

/// Which of its lines the finding has, if there is one.
pub fn finding_line(view: &ViewModel<'_>) -> usize {
    3 + usize::from(view.head.interrupts.is_some())
}

/// Draws it.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    target(&view.head, &view.transport, theme, line_of(area, 0), buffer);
    figures(&view.head, view.threads.window, theme, line_of(area, 1), buffer);
    if let Some(looks) = &view.head.looks {
        observed(looks, view.head.gil.as_ref(), theme, line_of(area, 2), buffer);
    }
    let mut next = 3;
    let mut line = || {
        next += 1;
        line_of(area, next - 1)
    };
    if let Some(view) = &view.head.interrupts {
        interrupts(view, theme, line(), buffer);
    }
    if let Some(view) = &view.head.finding {
        finding(view, theme, line(), buffer);
    }
    notice(&view.head, theme, line(), buffer);
}

/// What matters most of what was found.
fn finding(view: &FindingView, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let tone = match view.severity {
        Severity::Problem => Tone::Bad,
        Severity::Warn => Tone::Warn,
        Severity::Info => Tone::Good,
    };
    let more = match view.more {
        0 => String::new(),
        more => format!(" (+{more} more)"),
    };
    let mut line = Line::new();
    line.push(format!(" {} ", view.name.id()), theme.style(tone));
    let room = usize::from(area.width).saturating_sub(line.width() + more.len() + 1);
    line.push(view.message.fit(room), theme.style(Tone::Plain));
    line.push(more, theme.style(Tone::Faint));
    line.draw(area, buffer);
}

/// How long signals took, and how long the next one would.
fn interrupts(view: &InterruptView, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut pieces = vec![("interrupts".to_owned(), Tone::Label)];
    if let Some((signal, length)) = &view.pending {
        pieces.push((format!("{signal} pending for {length}"), Tone::Bad));
    }
    match &view.predicted {
        Some((p50, p99)) => {
            pieces.push((format!("now p50 {}, p99 {}", words::length(*p50), words::length(*p99)), Tone::Strong));
            let untold = view.not_predictable.filter(|share| *share >= 0.001);
            pieces.extend(untold.map(|share| (format!("not predictable {}", units::percent(share)), Tone::Faint)));
        }
        None => pieces.push(("not predictable".to_owned(), Tone::Faint)),
    }
    if let Some((signal, length)) = &view.newest {
        pieces.push((format!("last {signal} {}", words::length(*length)), Tone::Strong));
    }
    if let Some((count, p99)) = &view.measured {
        pieces.push((format!("p99 of {} {}", units::count(*count), words::length(*p99)), Tone::Faint));
    }
    let mut line = Line::new();
    for (text, tone) in pieces {
        line.push_whole(&format!(" {text} "), theme.style(tone), area.width);
    }
    line.draw(area, buffer);
}

fn target(head: &Head, transport: &Transport, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let (mode, tone) = mode(transport, theme);
    line.push(format!(" {mode} "), theme.style(tone));
    let Some(target) = &head.target else {
        line.push("gilscope: nothing observed yet", theme.style(Tone::Plain));
        line.draw(area, buffer);
        return;
    };
    line.push(format!("pid {} ", target.pid.0), theme.style(Tone::Strong));
    let state = described(target, area.width);
    let room = usize::from(area.width).saturating_sub(line.width() + state.chars().count() + 3);
    line.push(target.command.fit(room.max(8)), theme.style(Tone::Plain));
    line.push_right(format!("{state} "), theme.style(Tone::Faint));
    line.draw(area, buffer);
}

fn described(target: &TargetView, width: u16) -> String {
    let (living, ended) = target.threads;
    if width < 80 {
        return target.python.clone();
    }
    let plural = if living == 1 { "" } else { "s" };
    let ended = if ended > 0 { format!(" (+{} ended)", units::count(ended)) } else { String::new() };
    format!("{}, {} thread{plural}{ended}", target.python, units::count(living as u64))
}

fn mode(transport: &Transport, theme: Theme) -> (String, Tone) {
    let (symbol, word, tone) = match (transport.play, transport.origin) {
        (Play::Live, _) => (theme.pick('●', '*'), "LIVE", Tone::Good),
        (Play::Replaying, _) => (theme.pick('▶', '>'), "REPLAY", Tone::Good),
        (Play::Paused, _) => (theme.pick('‖', '='), "PAUSED", Tone::Warn),
        (Play::Ended, Origin::Live) => (theme.pick('■', '#'), "ENDED", Tone::Warn),
        (Play::Ended, Origin::Recording) => (theme.pick('■', '#'), "END", Tone::Warn),
    };
    (format!("{symbol} {word}"), tone)
}

fn figures(head: &Head, window: Window, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let width = area.width;
    let Some(gil) = &head.gil else {
        let text = match &head.target {
            Some(_) => " no GIL found: it runs without one, or its interpreter is not up yet",
            None => " waiting for the first look",
        };
        line.push(text, theme.style(Tone::Faint));
        line.draw(area, buffer);
        return;
    };
    let bar = if width >= 112 { 10 } else { 0 };
    let waiters = gil.waiters.map_or("?".to_owned(), units::mean_count);
    let waiters = if bar > 0 { format!("{waiters} (max {})", gil.max_waiters) } else { waiters };
    let alarm = alarm(gil.contention);
    for (label, value, tone) in [
        ("load", share(gil.load, bar, theme), Tone::Strong),
        ("contention", share(gil.contention, bar, theme), alarm),
        ("waiting", waiters, Tone::Strong),
        ("lost", gil.lost.to_string(), Tone::Strong),
        ("handoffs", gil.handoffs.map_or("?".to_owned(), units::rate), Tone::Strong),
    ] {
        if line.width() + label.len() + value.chars().count() + 3 > usize::from(width) {
            break;
        }
        line.push(format!(" {label} "), theme.style(Tone::Label));
        line.push(value, theme.style(tone));
        line.push(" ", Style::new());
    }
    line.push_right(remark(gil, window), theme.style(Tone::Faint));
    line.draw(area, buffer);
}

fn remark(gil: &GilView, window: Window) -> String {
    let over = match window {
        Window::Second => "over 1 s",
        Window::Ten => "over 10 s",
        Window::Whole => "over all",
    };
    match gil.number {
        (number, many) if many > 1 => format!("GIL {number} of {many}, {over} "),
        _ => format!("{over} "),
    }
}

fn alarm(contention: Option<f64>) -> Tone {
    match contention {
        Some(share) if share >= 0.3 => Tone::Bad,
        Some(share) if share >= 0.1 => Tone::Warn,
        _ => Tone::Strong,
    }
}

fn share(share: Option<f64>, bar: usize, theme: Theme) -> String {
    let text = format!("{:>6}", share.map_or("?".to_owned(), units::percent));
    match bar {
        0 => text,
        bar => format!("{text} {}", crate::text::left(&theme.bar(share.unwrap_or(0.0), bar), bar)),
    }
}

fn notice(head: &Head, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(newest) = head.notices.first() else { return };
    let more = match head.notices.len() {
        0 | 1 => String::new(),
        several => format!(" (+{} more)", several - 1),
    };
    let mut line = Line::new();
    line.push(format!(" {} ", theme.pick('▲', '!')), theme.style(Tone::Warn));
    let room = usize::from(area.width).saturating_sub(4 + more.len());
    line.push(newest.fit(room), theme.style(Tone::Warn));
    line.push(more, theme.style(Tone::Faint));
    line.draw(area, buffer);
}

fn observed(looks: &Looks, gil: Option<&GilView>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let asked = 1e9 / looks.interval.0.max(1) as f64;
    let rate =
        looks.rate.map_or("no looks".to_owned(), |rate| format!("{} looks/s", units::count(rate.round() as u64)));
    let costly = looks.reason == RateReason::TooCostly;
    let slow = costly || looks.rate.is_none_or(|rate| rate < asked * 0.8);
    let warn_if = |troubled: bool| if troubled { Tone::Warn } else { Tone::Faint };
    let mode = match (looks.exact, looks.switches) {
        (Some(exact), _) if exact.takes > 0 => "exact",
        (_, Some(switches)) if switches.followed > 0 => "fused",
        _ => "sampled",
    };
    let mut pieces = vec![(format!("{mode}, {rate}"), warn_if(slow))];
    if let Some(changes) = looks.perturbation.filter(|changes| looks.exact.is_some() && changes.is_large()) {
        let times = |ratio: Option<f64>| ratio.map_or("?".to_owned(), |ratio| format!("x{ratio:.1}"));
        let (contention, handoffs) = (times(changes.contention), times(changes.handoffs));
        pieces.push((format!("watching changes it: contention {contention}, handoffs {handoffs}"), Tone::Warn));
    }
    if costly {
        pieces.push((format!("slowed to {asked:.0} by cost"), Tone::Warn));
    }
    if let Some(switches) = looks.switches.filter(|switches| switches.followed < switches.threads) {
        pieces.push((format!("switches of {}/{}", switches.followed, switches.threads), Tone::Warn));
    }
    if let Some(exact) = looks.exact.filter(|exact| exact.takes > 0) {
        pieces.push((format!("in windows {}", units::percent(exact.coverage)), Tone::Faint));
    }
    pieces.push((format!("covered {}", units::percent(looks.coverage)), warn_if(looks.coverage < 0.95)));
    if let Some(overhead) = looks.overhead {
        pieces.push((format!("costs it {}", units::percent(overhead)), Tone::Faint));
    }
    let late = looks.late.map_or("?".to_owned(), units::percent);
    pieces.push((format!("late {late}"), warn_if(looks.late.is_some_and(|late| late > 0.05))));
    pieces.push((format!("failed {}", units::count(looks.failed)), Tone::Faint));
    if looks.dropped > 0 {
        pieces.push((format!("dropped {}", units::count(looks.dropped)), Tone::Warn));
    }
    if let Some(own) = looks.own_cpu {
        pieces.push((format!("gilscope uses {} of a core", units::percent(own)), Tone::Faint));
    }
    let mut line = Line::new();
    for (text, tone) in pieces {
        line.push_whole(&format!(" {text} "), theme.style(tone), area.width);
    }
    if let Some(gil) = gil {
        line.push_right(format!("switch interval {} ", gil.switch_interval), theme.style(Tone::Faint));
    }
    line.draw(area, buffer);
}
