//! How long signals waited, beside how long the next one would: two histograms on one axis.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::buckets::{buckets, fitted, marks, shares};
use crate::dashboard::signals::Signals;
use crate::dashboard::theme::{Theme, Tone};
use crate::dashboard::widgets::{Line, centred, line_of, titled};
use crate::model::snapshot::Distribution;
use crate::text::{left, right};
use crate::units;
use crate::words;

/// Columns of the marks: `p50-p99`.
const MARKS: usize = 7;
/// Lines that it takes to say that there is nothing.
const NOTHING: usize = 3;

fn distributions<'a>(signals: &Signals<'a>) -> [Option<&'a Distribution>; 2] {
    let measured = signals.shown().map(|measured| &measured.delay);
    let predicted = signals.predicted().map(|predicted| &predicted.delay);
    [measured, predicted].map(|delay| delay.filter(|delay| delay.count() > 0))
}

/// Lines it would use: title and buckets.
pub fn wanted(signals: &Signals<'_>) -> u16 {
    u16::try_from(buckets(distributions(signals)).len().max(NOTHING)).unwrap_or(u16::MAX).saturating_add(1)
}

/// Draws them.
pub fn draw(signals: &Signals<'_>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let half = area.width / 2;
    let gap = u16::from(area.width > 2);
    let sides = [
        Rect { width: half.saturating_sub(gap), ..area },
        Rect { x: area.x.saturating_add(half), width: area.width - half, ..area },
    ];
    let shown = distributions(signals);
    let measured = match (signals.shown(), shown[0]) {
        (Some(measured), Some(delay)) => {
            let faults: u64 = measured.faults.iter().fold(0, |sum, (_, times)| sum.saturating_add(*times));
            let mut remarks = vec![
                (words::signal(measured.signal), Tone::Plain),
                (format!("{}x", units::count(delay.count())), Tone::Plain),
            ];
            if faults > 0 {
                remarks.push((format!("faults {}x", units::count(faults)), Tone::Warn));
            }
            remarks
        }
        _ => Vec::new(),
    };
    let predicted = match signals.predicted().map(|predicted| predicted.not_predictable) {
        Some(share) if share >= 0.001 => vec![(format!("not predictable {}", units::percent(share)), Tone::Warn)],
        Some(_) => vec![("from any instant".to_owned(), Tone::Faint)],
        None => Vec::new(),
    };
    let [on_left, on_right] = [("Measured", measured, sides[0]), ("Predicted", predicted, sides[1])]
        .map(|(title, remarks, side)| titled(side, buffer, theme, title, &remarks));
    let buckets = fitted(buckets(shown), usize::from(on_left.height));
    let labels = buckets.iter().map(|bucket| bucket.label().chars().count()).max().unwrap_or(0);
    let most = shares(&buckets).into_iter().flatten().fold(0.0, f64::max);
    for ((which, side), delay) in [on_left, on_right].into_iter().enumerate().zip(shown) {
        let Some(delay) = delay else {
            let why = match which {
                0 => "none yet; gilscope interrupt sends some",
                _ => "nothing can be told yet",
            };
            centred(side, buffer, why, theme.style(Tone::Faint));
            continue;
        };
        let marks = marks(&buckets, delay);
        let width = usize::from(side.width).saturating_sub(labels + MARKS + 12);
        for (number, ((bucket, shares), marks)) in buckets.iter().zip(shares(&buckets)).zip(marks).enumerate() {
            let share = shares.get(which).copied().unwrap_or(0.0);
            let mut line = Line::new();
            line.push(format!(" {} ", right(&bucket.label(), labels)), theme.style(Tone::Label));
            let bar = theme.bar(share / most.max(f64::MIN_POSITIVE), width);
            line.push(left(&bar, width), theme.style(Tone::Thread(which)));
            let text = if share > 0.0 { units::percent(share) } else { String::new() };
            line.push(format!(" {} ", right(&text, 7)), theme.style(Tone::Plain));
            line.push(left(&marks, MARKS), theme.style(Tone::Strong));
            line.draw(line_of(side, number), buffer);
        }
    }
}
