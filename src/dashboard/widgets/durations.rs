//! How long waits and holds take: two histograms side by side.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::buckets::{Bucket, buckets, fitted};
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::view::ViewModel;
use crate::dashboard::widgets::{Line, centred, line_of, titled};
use crate::model::snapshot::{Distribution, ThreadState};
use crate::text::{left, right};
use crate::units;
use crate::words;

/// Draws them.
pub fn draw(view: &ViewModel<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let whose = match &view.durations.whose {
        Some(name) if name.is_empty() => "of one thread".to_owned(),
        Some(name) => format!("of {}", name.fit(24)),
        None => "of all threads".to_owned(),
    };
    let half = area.width / 2;
    let gap = u16::from(area.width > 2);
    let waits = Rect { width: half.saturating_sub(gap), ..area };
    let holds = Rect { x: area.x.saturating_add(half), width: area.width - half, ..area };
    let state = Tone::State(ThreadState::Waiting);
    one("Waits", &whose, view.durations.waits, state, theme, waits, buffer);
    one("Holds", &whose, view.durations.holds, Tone::State(ThreadState::Running), theme, holds, buffer);
}

fn one(title: &str, whose: &str, of: Option<&Distribution>, tone: Tone, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let area = titled(area, buffer, theme, title, &[(whose.to_owned(), Tone::Faint)]);
    let Some(distribution) = of.filter(|distribution| distribution.count() > 0) else {
        centred(area, buffer, "none seen whole yet", theme.style(Tone::Faint));
        return;
    };
    summary(distribution, theme, line_of(area, 0), buffer);
    let room = usize::from(area.height.saturating_sub(1));
    let buckets = fitted(buckets([Some(distribution)]), room);
    let count = |bucket: &Bucket<1>| bucket.counts.iter().sum::<u64>();
    let most = buckets.iter().map(count).max().unwrap_or(0).max(1);
    let labels = buckets.iter().map(|bucket| bucket.label().chars().count()).max().unwrap_or(0);
    let counts = buckets.iter().map(|bucket| units::count(count(bucket)).len()).max().unwrap_or(0);
    let width = usize::from(area.width).saturating_sub(labels + counts + 4);
    for (number, bucket) in buckets.iter().enumerate() {
        let mut line = Line::new();
        line.push(format!(" {} ", right(&bucket.label(), labels)), theme.style(Tone::Label));
        let bar = theme.bar(count(bucket) as f64 / most as f64, width);
        line.push(left(&bar, width), theme.style(tone));
        line.push(format!(" {}", right(&units::count(count(bucket)), counts)), Style::new());
        line.draw(line_of(area, 1 + number), buffer);
    }
}

/// How many there are, their percentiles and their sum, as far as there is room.
pub(in crate::dashboard) fn summary(distribution: &Distribution, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut line = Line::new();
    let value = |share: f64| distribution.quantile(share).map_or("-".to_owned(), words::length);
    line.push(format!(" {} ", units::count(distribution.count())), theme.style(Tone::Strong));
    for (name, text) in [
        ("p50", value(0.5)),
        ("p99", value(0.99)),
        ("max", distribution.max().map_or("-".to_owned(), words::length)),
        ("sum", distribution.total.to_string()),
    ] {
        if line.width() + name.len() + text.chars().count() + 3 > usize::from(area.width) {
            break;
        }
        line.push(format!(" {name} "), theme.style(Tone::Label));
        line.push(format!("{text} "), theme.style(Tone::Plain));
    }
    if distribution.censored > 0 {
        let cut = format!(" +{} cut", units::count(distribution.censored));
        line.push_whole(&cut, theme.style(Tone::Faint), area.width);
    }
    line.draw(area, buffer);
}
