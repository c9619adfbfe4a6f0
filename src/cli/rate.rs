//! Rates and durations as people type them.

use crate::instruments::schedule::{LONGEST, SHORTEST};
use crate::time::Ns;

/// A rate such as `1000`, `10k` or `10khz`, as the interval between two looks.
pub fn parse_rate(text: &str) -> Result<Ns, String> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.strip_suffix("hz").unwrap_or(&lower);
    let (number, factor) = match number.strip_suffix('k') {
        Some(number) => (number, 1_000.0),
        None => (number, 1.0),
    };
    let slowest = 1e9 / LONGEST.0 as f64;
    let fastest = 1e9 / SHORTEST.0 as f64;
    let rate = number.parse::<f64>().map_err(|_| format!("`{text}` is not a rate: type 1000, 1k or 10khz"))? * factor;
    if !(slowest..=fastest).contains(&rate) {
        return Err(format!("`{text}` is out of range: {slowest:.0} to {fastest:.0} looks a second"));
    }
    Ok(Ns((1e9 / rate).round() as u64))
}

/// A share such as `2`, `0.5` or `5%`, as a number from 0 to 1.
pub fn parse_overhead(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a share of the program's time: type 2 or 0.5, at most 100")),
    }
}

/// A duration such as `10`, `0.5`, `10s`, `500ms`, `5m` or `2h`.
pub fn parse_duration(text: &str) -> Result<Ns, String> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = lower.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &lower[..lower.len() - unit.len()];
    let seconds = match unit.trim() {
        "" | "s" | "sec" => 1.0,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("`{text}` is not a duration: type 10, 0.5, 500ms, 5m or 2h")),
    };
    let value =
        number.parse::<f64>().map_err(|_| format!("`{text}` is not a duration: type 10, 0.5, 500ms, 5m or 2h"))?;
    let ns = value * seconds * 1e9;
    if !(1e6..=3.2e18).contains(&ns) {
        return Err(format!("`{text}` is out of range: 1 ms to a hundred years"));
    }
    Ok(Ns(ns as u64))
}

/// A switch interval as typed: `5ms`, `0.5ms`, `100us`, or in seconds as Python has it.
pub fn parse_interval(text: &str) -> Result<Ns, String> {
    let wrong = || format!("`{text}` is no switch interval: type one such as 5ms, 0.5ms or 100us, of 1us to 100s");
    let lower = text.trim().to_ascii_lowercase();
    let unit = lower.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = lower[..lower.len() - unit.len()].parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        _ => return Err(wrong()),
    };
    let ns = (number * seconds * 1e9).round();
    if (1e3..=1e11).contains(&ns) { Ok(Ns(ns as u64)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_intervals_are_read_as_typed() {
        for (text, us) in
            [("5ms", 5_000), ("0.5ms", 500), ("100us", 100), ("0.005", 5_000), ("1us", 1), ("1 s", 1_000_000)]
        {
            assert_eq!(parse_interval(text), Ok(Ns::from_micros(us)), "{text}");
        }
        for text in ["", "x", "0.5us", "-1ms", "5 minutes", "101s", "5mss"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_read_as_typed() {
        assert_eq!(parse_rate("1000"), Ok(Ns::MILLISECOND));
        assert_eq!(parse_rate("1k"), Ok(Ns::MILLISECOND));
        assert_eq!(parse_rate("20kHz"), Ok(Ns(50_000)));
        assert_eq!(parse_rate("50k"), Ok(SHORTEST));
        for wrong in ["0", "-5", "1e9", "fast", "", "k", "nan"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_as_typed() {
        assert_eq!(parse_duration("10"), Ok(Ns(10_000_000_000)));
        assert_eq!(parse_duration("0.5"), Ok(Ns(500_000_000)));
        assert_eq!(parse_duration("250ms"), Ok(Ns(250_000_000)));
        assert_eq!(parse_duration("2m"), Ok(Ns(120_000_000_000)));
        for wrong in ["0", "-1", "", "s", "10 years", "1e40", "inf"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
