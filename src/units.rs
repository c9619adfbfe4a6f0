//! Figures as people read them. Text report and dashboard share these, so that
//! the number on the screen is the number in the file.

use std::fmt;

use crate::time::Ns;

/// A length of time with three significant digits and the unit that fits: `740 ns`, `52.0 us`, `5.10 ms`, `2.34 s`, `1.5 h`.
pub fn duration(length: Ns) -> String {
    let ns = length.0 as f64;
    let (value, unit) = match length.0 {
        0..1_000 => return format!("{} ns", length.0),
        1_000..999_950 => (ns / 1e3, "us"),
        999_950..999_950_000 => (ns / 1e6, "ms"),
        999_950_000..120_000_000_000 => (ns / 1e9, "s"),
        120_000_000_000..7_200_000_000_000 => (ns / 60e9, "min"),
        _ => (ns / 3_600e9, "h"),
    };
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// Shown with the unit that fits: `740 ns`, `52.0 us`, `5.1 ms`, `2.34 s`.
impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&duration(*self))
    }
}

/// A share as a percentage: `0 %`, `0.04 %`, `3.1 %`, `97.4 %`. What is above nothing never reads as nothing.
pub fn percent(share: f64) -> String {
    let pct = share * 100.0;
    if !pct.is_finite() {
        return "-".to_owned();
    }
    match pct.abs() {
        0.0 => "0 %".to_owned(),
        p if p < 0.005 => "<0.01 %".to_owned(),
        p if p < 0.995 => format!("{pct:.2} %"),
        _ => format!("{pct:.1} %"),
    }
}

/// A whole number with thin groups: `1 234 567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes: `512 B`, `1.50 KiB`, `12.3 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = "B";
    for larger in UNITS {
        // As soon as three digits no longer hold it.
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match value {
        _ if unit == "B" => format!("{n} B"),
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// A frequency: `198 /s`, `12.3 k/s`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if !r.is_finite() => "-".to_owned(),
        r if r < 9.95 => format!("{r:.1} /s"),
        r if r < 9_999.5 => format!("{r:.0} /s"),
        r if r < 9_999_500.0 => format!("{:.1} k/s", r / 1e3),
        r => format!("{:.1} M/s", r / 1e6),
    }
}

/// Text from a target made safe for a terminal: control characters, escape sequences and direction
/// overrides become `\u{..}`, and it is cut to `max` characters with `…`.
pub fn printable(text: &str, max: usize) -> String {
    let mut out = String::new();
    for (shown, c) in text.chars().enumerate() {
        if shown >= max {
            out.push('…');
            break;
        }
        let hostile = c.is_control()
            || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        if hostile {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A list of cores as taskset(1) takes it: `0-3,8`.
pub fn cpu_list(cpus: &[u16]) -> String {
    let mut parts: Vec<(u16, u16)> = Vec::new();
    let mut sorted = cpus.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for cpu in sorted {
        match parts.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(cpu) => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    let part = |(from, to): (u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    parts.into_iter().map(part).collect::<Vec<_>>().join(",")
}

/// A mean number of threads: `0.98`, `12.3`, `340`; what is above nothing never reads as nothing.
pub fn mean_count(mean: f64) -> String {
    match mean {
        m if !m.is_finite() => "?".to_owned(),
        m if m <= 0.0 => "0".to_owned(),
        m if m < 0.005 => "<0.01".to_owned(),
        m if m < 9.995 => format!("{m:.2}"),
        m if m < 99.95 => format!("{m:.1}"),
        m => format!("{m:.0}"),
    }
}

/// Time since some start, as on a player: `12.345 s`, `1:02.345`, `2:05:07`.
pub fn clock(since: Ns) -> String {
    let (s, ms) = (since.0 / 1_000_000_000, since.0 / 1_000_000 % 1_000);
    match s {
        0..60 => format!("{s}.{ms:03} s"),
        60..3_600 => format!("{}:{:02}.{ms:03}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60),
    }
}

/// An instant in a file's name, in UTC to the second: `20261121T113015Z`.
pub fn stamp(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, of a number of days since 1970-01-01.
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_a_player() {
        assert_eq!(clock(Ns::from_millis(12_345)), "12.345 s");
        assert_eq!(clock(Ns::from_millis(62_345)), "1:02.345");
        assert_eq!(clock(Ns::from_millis(7_507_000)), "2:05:07");
    }

    #[test]
    fn durations_keep_three_digits_and_never_overflow_their_unit() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (52_040, "52.0 us"),
            (999_949, "1000 us"),
            (999_950, "1.00 ms"),
            (5_099_000, "5.10 ms"),
            (80_000_000, "80.0 ms"),
            (999_950_000, "1.00 s"),
            (90_000_000_000, "90.0 s"),
            (600_000_000_000, "10.0 min"),
            (86_400_000_000_000, "24.0 h"),
        ] {
            assert_eq!(duration(Ns(ns)), text, "{ns}");
        }
    }

    #[test]
    fn a_share_above_nothing_never_reads_as_nothing() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1e-9), "<0.01 %");
        assert_eq!(percent(0.0004), "0.04 %");
        assert_eq!(percent(0.974), "97.4 %");
        assert_eq!(percent(f64::NAN), "-");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1 234 567");
    }

    #[test]
    fn cores_are_listed_as_taskset_takes_them() {
        assert_eq!(cpu_list(&[0]), "0");
        assert_eq!(cpu_list(&[3, 1, 0, 2, 8, 10, 11]), "0-3,8,10-11");
        assert_eq!(cpu_list(&[]), "");
        assert_eq!(cpu_list(&[u16::MAX]), "65535");
    }

    #[test]
    fn hostile_text_reaches_no_terminal() {
        let shown = printable("a\x1b[2Jb\u{202e}c\n", 100);
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(printable("日本語スレッド", 3), "日本語…");
        assert_eq!(printable("a\u{2028}b\u{61c}\u{fe0f}\u{e0041}", 9), "a\\u{2028}b\\u{61c}\\u{fe0f}\\u{e0041}");
    }
}
