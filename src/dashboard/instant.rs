//! Instants as people type them: from the start of the capture, from where they are, or by a mark.

use crate::dashboard::view::Transport;
use crate::time::{MonoNs, Ns};
use crate::units;

/// The instant meant by `text`: `12.5`, `1:02.5` and `2:05:07` from the start; `-10s`, `+500ms` and `-1:30` from the
/// instant shown, as far as there is anything; `#2` is the second mark.
///
/// # Errors
/// What can be typed, or what there is.
pub fn read(text: &str, of: &Transport) -> Result<MonoNs, String> {
    let text = text.trim();
    if let Some(number) = text.strip_prefix('#') {
        let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        return match (place.and_then(|place| of.marks.get(place)), of.marks.len()) {
            (Some(mark), _) => Ok(mark.at),
            (None, 0) => Err("there is no mark yet".to_owned()),
            (None, many) => Err(format!("there are marks #1 to #{many}")),
        };
    }
    let unread =
        || format!("`{text}` is no instant: type 12.5 or 1:02.5 from the start, -10s, +500ms, or #2 for a mark");
    let moved = |length: &str| duration(length).ok_or_else(unread);
    if let Some(length) = text.strip_prefix('-') {
        return Ok(of.range.clamp(of.position - moved(length)?));
    }
    if let Some(length) = text.strip_prefix('+') {
        return Ok(of.range.clamp(of.position + moved(length)?));
    }
    let at = of.start + moved(text)?;
    match of.range.clamp(at) == at {
        true => Ok(at),
        false => {
            let [from, to] = [of.range.from, of.range.to].map(|end| units::clock(end.since(of.start)));
            Err(format!("there is nothing at {}, only from {from} to {to}", units::clock(at.since(of.start))))
        }
    }
}

/// `12.5`, `10s`, `500ms`, `2m`, `1h`, `1:02.5` or `2:05:07`.
fn duration(text: &str) -> Option<Ns> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ':');
    let number = text.get(..text.len().saturating_sub(unit.len()))?;
    let factor = match unit.trim() {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let parts: Vec<&str> = number.split(':').collect();
    if parts.len() > 3 || (parts.len() > 1 && !unit.is_empty()) {
        return None;
    }
    let mut seconds = 0.0;
    for (place, part) in parts.iter().enumerate() {
        let value = part.parse::<f64>().ok()?;
        if place > 0 && value >= 60.0 {
            return None;
        }
        seconds = seconds * 60.0 + value;
    }
    let ns = seconds * factor * 1e9;
    // Half of what there is, so that nothing that is added to it runs over.
    (ns.is_finite() && (0.0..9e18).contains(&ns)).then(|| Ns(ns.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Mark, Origin, Play, Span};

    fn read_at(text: &str) -> Result<u64, String> {
        let second = |s: u64| MonoNs(s * 1_000_000_000);
        let of = Transport {
            origin: Origin::Recording,
            play: Play::Paused,
            start: second(1_000),
            position: second(1_050),
            range: Span { from: second(1_020), to: second(1_200) },
            speed: 1.0,
            seeking: None,
            marks: vec![Mark { at: second(1_030) }, Mark { at: second(1_100) }],
            recording: None,
        };
        read(text, &of).map(|at| (at.0 - second(1_000).0) / 1_000_000)
    }

    #[test]
    fn instants_are_read_as_typed() {
        assert_eq!(read_at("25"), Ok(25_000));
        assert_eq!(read_at(" 25.5s "), Ok(25_500));
        assert_eq!(read_at("1:30.25"), Ok(90_250));
        assert_eq!(read_at("2m"), Ok(120_000));
        assert_eq!(read_at("-10s"), Ok(40_000));
        assert_eq!(read_at("+500ms"), Ok(50_500));
        assert_eq!(read_at("+1:00"), Ok(110_000));
        // Moves end where there is nothing more; instants that are named have to be there.
        assert_eq!(read_at("-10h"), Ok(20_000));
        assert_eq!(read_at("+10h"), Ok(200_000));
        assert!(read_at("10").is_err_and(|why| why.contains("from 20.000 s to 3:20.000")));
        assert_eq!(read_at("#2"), Ok(100_000));
        assert!(read_at("#3").is_err_and(|why| why.contains("#1 to #2")));
        for wrong in ["", "x", "1:2:3:4", "1:99", "-", "+", "1e400", "#", "#0", "1:02ms", "--5", "inf", "NaN", "5 ly"] {
            assert!(read_at(wrong).is_err(), "{wrong}");
        }
    }
}
