//! Names of the files that gilscope makes unless it is told others.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Pid;

/// A recording's name: the target's pid and the time in UTC, such as `gilscope-4242-20261121T114503Z.gil`.
pub fn recording(pid: Pid) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    PathBuf::from(format!("gilscope-{}-{}.gil", pid.0, utc(seconds)))
}

/// Seconds since 1970 as `20261121T114503Z`.
fn utc(seconds: u64) -> String {
    // Civil date from a count of days: years begin in March, so that the leap day is the last one.
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time / 3_600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_399), "20000228T235959Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(951_868_800), "20000301T000000Z");
        assert_eq!(utc(1_795_261_503), "20261121T114503Z");
        assert_eq!(utc(4_107_542_399), "21000228T235959Z");
        assert_eq!(utc(4_107_542_400), "21000301T000000Z");
    }
}
