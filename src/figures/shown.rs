//! A figure's value in words.

use crate::figures::{Reading, Unit};
use crate::time::Ns;
use crate::units;

/// A reading as people read it: `5.10 ms`, `<1.00 ms`, `none`, `unknown`.
pub fn shown(reading: Reading, unit: Unit) -> String {
    match reading {
        Reading::Known { value, .. } => amount(value, unit),
        Reading::Below { resolution } => format!("<{}", amount(resolution, unit)),
        Reading::Nothing => "none".to_owned(),
        Reading::Unknown(_) => "unknown".to_owned(),
    }
}

/// A value in its unit.
pub(super) fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => units::percent(value),
        Unit::Mean => units::mean_count(value),
        Unit::TimeRate => format!("{}/s", Ns((value * 1e9).round() as u64)),
        Unit::Rate => units::rate(value),
        Unit::Duration => Ns(value.round() as u64).to_string(),
        Unit::Bytes => units::bytes(value.round() as u64),
        Unit::Count => units::count(value.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_words() {
        for (value, unit, text) in [
            (0.974, Unit::Share, "97.4 %"),
            (1.5, Unit::Mean, "1.50"),
            (0.79, Unit::TimeRate, "790 ms/s"),
            (198.0, Unit::Rate, "198 /s"),
            (5_100_000.0, Unit::Duration, "5.10 ms"),
            (12_900_000.0, Unit::Bytes, "12.3 MiB"),
            (7.0, Unit::Count, "7"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
        assert_eq!(shown(Reading::Below { resolution: 1e6 }, Unit::Duration), "<1.00 ms");
        assert_eq!(shown(Reading::Unknown("x"), Unit::Bytes), "unknown");
    }
}
