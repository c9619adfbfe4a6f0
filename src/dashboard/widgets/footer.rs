//! The footer: the keys that matter now, from the action table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::action::{Action, Binding, Group, offered};
use crate::dashboard::state::Focus;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::{Foreign, ViewModel};
use crate::dashboard::views::View;
use crate::dashboard::widgets::Line;
use crate::session::Play;

/// Draws it into the first line of `area`.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    line.push(" ", theme.style(Tone::Plain));
    let entries: Vec<(String, String)> = match &view.focus {
        Focus::Filter { .. } => {
            [("Enter", "keep"), ("Esc", "as before"), ("^U", "clear")].map(|(k, l)| (k.into(), l.into())).to_vec()
        }
        Focus::Help { .. } => vec![("any key".into(), "back".into())],
        Focus::Screen => {
            // Where time is in question, its keys come first after the way out.
            let urgency = |binding: &&Binding| match (binding.action, binding.group) {
                (Action::Quit | Action::Help, _) => 0,
                (_, Group::Time) if view.transport.is_shown() => 1,
                _ => 2,
            };
            let mut bindings: Vec<&Binding> =
                offered(view.session).filter(|binding| binding.views.contains(&view.shown)).collect();
            bindings.sort_by_key(urgency);
            bindings.into_iter().filter_map(|binding| entry(binding, view)).collect()
        }
    };
    let recording = view.transport.recording.as_ref().map(|(path, bytes)| {
        let name = Foreign::new(&path.file_name().unwrap_or_default().to_string_lossy()).fit(32);
        format!("{} REC {name} {} ", theme.pick('●', '*'), size(*bytes))
    });
    let reserved = recording.as_ref().map_or(0, |text| text.chars().count());
    let room = usize::from(area.width).saturating_sub(reserved);
    let entries = match &view.notice {
        Some(notice) => {
            line.push(notice.fit(room.saturating_sub(2)), theme.style(Tone::Warn));
            Vec::new()
        }
        None => entries,
    };
    for (key, label) in entries {
        if line.width() + key.chars().count() + label.chars().count() + 3 > room {
            break;
        }
        line.push(key, theme.style(Tone::Key));
        line.push(format!(" {label}  "), theme.style(Tone::Faint));
    }
    if let Some(recording) = recording {
        line.push_right(recording, theme.style(Tone::Bad));
    }
    line.draw(area, buffer);
}

fn entry(binding: &Binding, view: &ViewModel<'_>) -> Option<(String, String)> {
    let label = match (binding.action, view.transport.play) {
        (Action::Pause, Play::Paused | Play::Ended) => "go on",
        (Action::Record, _) if view.transport.recording.is_some() => "stop recording",
        (Action::Select, _) if view.durations.whose.is_some() => "all threads",
        (Action::PageDown, _) if view.shown == View::Findings => "read on",
        _ => binding.label?,
    };
    let key = match binding.action {
        // Pairs of keys that go both ways.
        Action::ZoomIn => "+-".to_owned(),
        Action::StepBack => "[]".to_owned(),
        Action::JumpBack => "{}".to_owned(),
        Action::Slower => "<>".to_owned(),
        _ => binding.keys.first()?.to_string(),
    };
    Some((key, label.to_owned()))
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b < 10_000 => format!("{b} B"),
        b if b < 10_000_000 => format!("{} kB", b / 1_000),
        b => format!("{} MB", b / 1_000_000),
    }
}
