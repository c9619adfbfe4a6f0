//! The footer: the keys that matter now, from the action table; or what came of the last one; or what is being typed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use crate::dashboard::action::{Action, Group};
use crate::dashboard::keys::{Bound, Keymap};
use crate::dashboard::state::Focus;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{Foreign, ViewModel};
use crate::dashboard::views::View;
use crate::dashboard::widgets::Line;
use crate::session::Play;

/// Columns of what is being typed: its end is seen.
const TYPED: usize = 40;

/// Draws it into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(" ", theme.style(Tone::Plain));
    let recording = view.transport.recording.as_ref().map(|(path, bytes)| {
        let name = Foreign::new(&path.file_name().unwrap_or_default().to_string_lossy()).fit(32);
        format!("{} REC {name} {} ", theme.pick('●', '*'), size(*bytes))
    });
    let reserved = recording.as_ref().map_or(0, |text| text.width());
    let room = usize::from(area.width).saturating_sub(reserved);
    match &view.notice {
        Some(notice) => line.push(notice.fit(room.saturating_sub(2)), theme.style(Tone::Warn)),
        None => keys(view, theme, room, &mut line),
    }
    if let Some(recording) = recording {
        line.push_right(recording, theme.style(Tone::Bad));
    }
    line.draw(area, buffer);
}

/// As many keys as there is room for.
fn keys(view: &ViewModel<'_>, theme: Theme, room: usize, line: &mut Line) {
    let entries: Vec<(String, String)> = match &view.focus {
        Focus::Filter { .. } => {
            typed(line, theme, "filter", &view.threads.filter);
            fixed(&[("Enter", "keep"), ("Esc", "as before"), ("^U", "clear")])
        }
        Focus::Instant { typed: text } => {
            typed(line, theme, "go to", &Foreign::new(text));
            fixed(&[("Enter", "go"), ("Esc", "stay"), ("12.5 1:02 -10s +5s #2", "")])
        }
        Focus::Help { .. } => fixed(&[("any key", "back")]),
        Focus::Screen => on_screen(view),
    };
    for (key, label) in entries {
        if line.width() + key.width() + label.width() + 3 > room {
            break;
        }
        line.push(key, theme.style(Tone::Key));
        line.push(format!(" {label}  "), theme.style(Tone::Faint));
    }
}

fn fixed(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(key, label)| ((*key).to_owned(), (*label).to_owned())).collect()
}

fn typed(line: &mut Line, theme: Theme, what: &str, text: &Foreign) {
    line.push(format!("{what}: "), theme.style(Tone::Label));
    line.push(text.end(TYPED), theme.style(Tone::Strong));
    line.push(theme.pick("▏  ", "_  "), theme.style(Tone::Strong));
}

fn on_screen(view: &ViewModel<'_>) -> Vec<(String, String)> {
    // Where time is in question, its keys come first after the way out.
    let urgency = |bound: &&Bound| match (bound.binding.action, bound.binding.group) {
        (Action::Quit | Action::Help, _) => 0,
        (_, Group::Time) if view.transport.is_shown() => 1,
        _ => 2,
    };
    let mut all: Vec<&Bound> =
        view.keys.offered(view.session).filter(|bound| bound.binding.views.contains(&view.shown)).collect();
    all.sort_by_key(urgency);
    all.into_iter().filter_map(|bound| entry(bound, view)).collect()
}

fn entry(bound: &Bound, view: &ViewModel<'_>) -> Option<(String, String)> {
    let action = bound.binding.action;
    let label = match (action, view.transport.play) {
        (Action::Pause, Play::Paused | Play::Ended) => "go on",
        (Action::Record, _) if view.transport.recording.is_some() => "stop recording",
        (Action::Select, _) if view.details.is_some() => "close",
        (Action::PageDown, _) if view.shown == View::Findings => "read on",
        _ => bound.binding.label?,
    };
    // Pairs of keys that go both ways.
    let back = match action {
        Action::ZoomIn => Some(Action::ZoomOut),
        Action::PanBack => Some(Action::PanAhead),
        Action::StepBack => Some(Action::StepAhead),
        Action::JumpBack => Some(Action::JumpAhead),
        Action::Slower => Some(Action::Faster),
        _ => None,
    };
    Some((pair(&view.keys, action, back)?, label.to_owned()))
}

fn pair(keys: &Keymap, there: Action, back: Option<Action>) -> Option<String> {
    let there = keys.first(there)?.to_string();
    let back = back.and_then(|back| keys.first(back)).map_or(String::new(), |press| press.to_string());
    Some(format!("{there}{back}"))
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b < 10_000 => format!("{b} B"),
        b if b < 10_000_000 => format!("{} kB", b / 1_000),
        b => format!("{} MB", b / 1_000_000),
    }
}
