//! Why signals waited: where the time went, and who held the GIL then.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::dashboard::signals::Signals;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::widgets::{Line, centred, line_of, titled, who};
use crate::model::snapshot::{Culprit, MeasuredInterrupts, Segment, Segments};
use crate::text::{cut, left, right};
use crate::time::Ns;
use crate::units;
use crate::words;

/// Columns of a part's name.
const NAME: usize = 31;
/// Columns of what follows a bar of a part: its share, and its length where there is room.
const SHARE: usize = 8;
const LENGTH: usize = 10;
/// From this width on there is.
const WITH_LENGTH: u16 = 52;

/// The parts that are worth a line: those that took time, and those that nobody saw.
fn parts(segments: &Segments) -> Vec<(Segment, Option<Ns>)> {
    segments.parts().into_iter().filter(|(_, length)| *length != Some(Ns::ZERO)).collect()
}

/// Lines it would use, with its title.
pub fn wanted(signals: &Signals<'_>) -> u16 {
    let Some(shown) = signals.shown() else { return 0 };
    let rows = parts(&shown.segments).len().max(shown.culprits.len()).max(1);
    u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(1)
}

/// Draws both.
pub fn draw(signals: &Signals<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(shown) = signals.shown() else { return };
    let half = area.width / 2;
    let gap = u16::from(area.width > 2);
    spent(shown, theme, Rect { width: half.saturating_sub(gap), ..area }, buffer);
    let beside = Rect { x: area.x.saturating_add(half), width: area.width - half, ..area };
    culprits(signals, shown, theme, beside, buffer);
}

fn spent(shown: &MeasuredInterrupts, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let remark = [(format!("{}, all together", words::signal(shown.signal)), Tone::Faint)];
    let area = titled(area, buffer, theme, "Where the time went", &remark);
    let mut rows = parts(&shown.segments);
    let whole = rows.iter().filter_map(|(_, length)| *length).fold(Ns::ZERO, |sum, length| sum + length);
    if whole == Ns::ZERO {
        centred(area, buffer, "no delay was seen whole", theme.style(Tone::Faint));
        return;
    }
    // What nobody saw goes first where there is no room, then what took least.
    while rows.len() > usize::from(area.height) && !rows.is_empty() {
        let least = rows.iter().enumerate().min_by_key(|(_, (_, length))| *length).map_or(0, |(place, _)| place);
        rows.remove(least);
    }
    let longest = shown.segments.longest().map(|(segment, _)| segment);
    let figures = SHARE + if area.width >= WITH_LENGTH { LENGTH } else { 0 };
    let name = NAME.min(usize::from(area.width).saturating_sub(figures + 4));
    let width = usize::from(area.width).saturating_sub(name + figures + 4);
    for (number, (segment, length)) in rows.iter().enumerate() {
        let mut line = Line::new();
        let is_longest = longest == Some(*segment);
        let tone = if is_longest { Tone::Strong } else { Tone::Plain };
        line.push(if is_longest { theme.pick("▶ ", "> ") } else { "  " }, theme.style(Tone::Warn));
        line.push(format!("{} ", left(&cut(words::segment(*segment), name), name)), theme.style(tone));
        match length {
            Some(length) => {
                let share = length.share_of(whole).unwrap_or(0.0);
                line.push(left(&theme.bar(share, width), width), theme.style(Tone::Thread(0)));
                line.push(format!(" {}", right(&units::percent(share), 7)), theme.style(tone));
                if area.width >= WITH_LENGTH {
                    line.push(format!(" {}", right(&length.to_string(), LENGTH - 1)), theme.style(Tone::Faint));
                }
            }
            None => line.push("not observed", theme.style(Tone::Faint)),
        }
        line.draw(line_of(area, number), buffer);
    }
}

fn culprits(signals: &Signals<'_>, shown: &MeasuredInterrupts, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let remark = [("who held the GIL then".to_owned(), Tone::Faint)];
    let area = titled(area, buffer, theme, "Behind whom", &remark);
    if shown.culprits.is_empty() {
        let why = match shown.segments.gil_wait {
            Some(Ns::ZERO) => "it did not wait for the GIL",
            _ => "nobody was seen",
        };
        centred(area, buffer, why, theme.style(Tone::Faint));
        return;
    }
    let room = usize::from(area.height);
    let columns = usize::from(area.width).saturating_sub(20);
    let name = columns.min(24);
    let width = columns - name;
    for (number, culprit) in shown.culprits.iter().take(room).enumerate() {
        let mut line = Line::new();
        let (letter, who, tone) = named(signals, culprit, name);
        line.push(format!(" {letter} "), theme.style(tone));
        line.push(left(&who, name), theme.style(Tone::Plain));
        let share = if culprit.share.is_finite() { culprit.share.clamp(0.0, 1.0) } else { 0.0 };
        line.push(format!(" {}", left(&theme.bar(share, width), width)), theme.style(tone));
        line.push(format!(" {}", right(&units::percent(culprit.share), 7)), theme.style(Tone::Plain));
        line.push(format!(" x{}", units::count(culprit.times)), theme.style(Tone::Faint));
        line.draw(line_of(area, number), buffer);
    }
}

/// Its letter, its name, and how it is coloured wherever it appears.
fn named(signals: &Signals<'_>, culprit: &Culprit, columns: usize) -> (char, String, Tone) {
    let Some(key) = culprit.thread else { return ('?', cut(words::NOBODY_SEEN, columns), Tone::Faint) };
    who::thread(signals.process, key, columns)
}
