//! Conditions on figures, as `--fail-if` takes them.
//!
//! ```text
//! condition = figure order value        waits.p99 > 20ms
//!           | figure sign number "%"    lost +10%
//! order     = ">" | ">=" | "<" | "<="
//! sign      = "+" | "-"                 more, or less, than the other side by that much
//! value     = number [unit]             of the figure's kind: 20ms, 5%, 200/s, 64MiB, 1.5
//! ```

use std::fmt;

use crate::figures::shown;
use crate::figures::{Figure, Reading, Unit, all, named};

/// A condition on one figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Which figure.
    pub figure: &'static Figure,
    /// What of it.
    pub limit: Limit,
    text: String,
}

/// When a condition is met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The figure stands so to a value in its unit.
    Value(Order, f64),
    /// The figure is this many times what it was, or more (above 1), or less (below 1). It takes two sides.
    Change(f64),
}

/// How a figure stands to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

/// What became of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It is met, and by what.
    Met(String),
    /// It is not.
    NotMet,
    /// It cannot be told, and why.
    Undecided(String),
}

/// A condition that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misread {
    /// It does not begin with a figure.
    #[error("`{0}` is not a figure: there are {1}")]
    NoFigure(String, String),
    /// What follows is neither an order nor a change.
    #[error("`{0}` says nothing of {1}: write `{1} > {2}`, or, to compare, `{1} +10%`")]
    NoLimit(String, &'static str, &'static str),
    /// The value is no value of the figure's kind.
    #[error("`{0}` is no value for {1}: write one such as {2}")]
    NoValue(String, &'static str, &'static str),
    /// A change without a per cent.
    #[error("`{0}` is no change: write one in per cent, such as +10%; nothing falls by more than 100 %")]
    NoChange(String),
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// If it is not understood, with what could be written.
    pub fn parse(text: &str) -> Result<Condition, Misread> {
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || "<>=+-".contains(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let figure = named(name).ok_or_else(|| {
            let names: Vec<&str> = all().map(|figure| figure.name).collect();
            Misread::NoFigure(name.to_owned(), names.join(", "))
        })?;
        let rest = rest.trim();
        let limit = match rest.chars().next() {
            Some('+' | '-') => change(rest).ok_or_else(|| Misread::NoChange(rest.to_owned()))?,
            Some('<' | '>') => {
                let (order, value) = order(rest);
                let value = value.trim();
                let number = number(value, figure.unit)
                    .ok_or_else(|| Misread::NoValue(value.to_owned(), figure.name, example(figure.unit)))?;
                Limit::Value(order, number)
            }
            _ => return Err(Misread::NoLimit(text.to_owned(), figure.name, example(figure.unit))),
        };
        Ok(Condition { figure, limit, text: text.to_owned() })
    }

    /// Judges what the figure is; one of a change is undecided, since it takes two sides.
    pub fn judge(&self, reading: Reading) -> Judged {
        let Limit::Value(order, limit) = self.limit else {
            return Judged::Undecided(format!("{self}: a change takes two sides, as `gilscope compare A B` has"));
        };
        let name = self.figure.name;
        let met = match reading {
            Reading::Known { value, .. } => order.holds(value, limit),
            Reading::Below { resolution } if limit >= resolution => matches!(order, Order::Below | Order::AtMost),
            // It is less than the resolution, as is the limit: which of them is more is not known.
            Reading::Below { .. } if limit > 0.0 => {
                let known = shown(reading, self.figure.unit);
                return Judged::Undecided(format!("{self}: {name} is {known}, and not known any better"));
            }
            Reading::Below { .. } => matches!(order, Order::Above | Order::AtLeast),
            Reading::Nothing => false,
            Reading::Unknown(why) => return Judged::Undecided(format!("{self}: {name} is not known, {why}")),
        };
        match met {
            true => Judged::Met(format!("{self}: {name} is {}", shown(reading, self.figure.unit))),
            false => Judged::NotMet,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Order {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Order::Above => value > limit,
            Order::AtLeast => value >= limit,
            Order::Below => value < limit,
            Order::AtMost => value <= limit,
        }
    }
}

fn order(text: &str) -> (Order, &str) {
    for (sign, order) in [(">=", Order::AtLeast), ("<=", Order::AtMost), (">", Order::Above), ("<", Order::Below)] {
        if let Some(rest) = text.strip_prefix(sign) {
            return (order, rest);
        }
    }
    (Order::Above, text)
}

fn change(text: &str) -> Option<Limit> {
    let (sign, amount) = match text.strip_prefix('-') {
        Some(amount) => (-1.0, amount),
        None => (1.0, text.strip_prefix('+')?),
    };
    let percent = plain(amount.strip_suffix('%')?.trim())?;
    let ratio = 1.0 + sign * percent / 100.0;
    (percent > 0.0 && ratio >= 0.0).then_some(Limit::Change(ratio))
}

/// A number without a sign.
fn plain(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|number: &f64| is_number && number.is_finite())
}

fn number(text: &str, unit: Unit) -> Option<f64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    let number = plain(digits)?;
    let factor = factor(suffix.trim(), unit)?;
    Some(number * factor)
}

/// What a unit stands for; `None`: it is none of this kind.
fn factor(suffix: &str, unit: Unit) -> Option<f64> {
    let duration = |suffix: &str| {
        Some(match suffix {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "min" => 60e9,
            _ => return None,
        })
    };
    Some(match (unit, suffix) {
        (Unit::Share | Unit::Mean | Unit::TimeRate | Unit::Rate | Unit::Count, "") | (Unit::Rate, "/s") => 1.0,
        (Unit::Share | Unit::TimeRate | Unit::Mean, "%") => 0.01,
        (Unit::Rate, "k" | "k/s") => 1e3,
        (Unit::Rate, "M" | "M/s") => 1e6,
        (Unit::TimeRate, suffix) => duration(suffix.strip_suffix("/s").unwrap_or(suffix))? / 1e9,
        (Unit::Duration, suffix) => duration(suffix)?,
        (Unit::Bytes, "B") => 1.0,
        (Unit::Bytes, "kB") => 1e3,
        (Unit::Bytes, "MB") => 1e6,
        (Unit::Bytes, "GB") => 1e9,
        (Unit::Bytes, "KiB") => 1024.0,
        (Unit::Bytes, "MiB") => 1024.0 * 1024.0,
        (Unit::Bytes, "GiB") => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    })
}

fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Share => "5%",
        Unit::Mean => "1.5",
        Unit::TimeRate => "50ms/s",
        Unit::Rate => "200/s",
        Unit::Duration => "20ms",
        Unit::Bytes => "64MiB",
        Unit::Count => "3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(value: f64) -> Reading {
        Reading::Known { value, resolution: 0.0 }
    }

    fn judge(text: &str, reading: Reading) -> Judged {
        Condition::parse(text).unwrap().judge(reading)
    }

    #[test]
    fn what_can_be_written_is_understood() {
        for (text, figure, limit) in [
            ("waits.p99 > 20ms", "waits.p99", Limit::Value(Order::Above, 20e6)),
            ("waits.p99>=1.5 s", "waits.p99", Limit::Value(Order::AtLeast, 1.5e9)),
            ("load<5%", "load", Limit::Value(Order::Below, 0.05)),
            ("load <= 0.05", "load", Limit::Value(Order::AtMost, 0.05)),
            ("lost > 50ms/s", "lost", Limit::Value(Order::Above, 0.05)),
            ("lost > 5%", "lost", Limit::Value(Order::Above, 0.05)),
            ("handoffs > 2k/s", "handoffs", Limit::Value(Order::Above, 2000.0)),
            ("lost +10%", "lost", Limit::Change(1.1)),
            ("demand -25 %", "demand", Limit::Change(0.75)),
        ] {
            let condition = Condition::parse(text).unwrap();
            assert_eq!(condition.figure.name, figure);
            match (condition.limit, limit) {
                (Limit::Value(a, x), Limit::Value(b, y)) => assert!(a == b && (x - y).abs() < 1e-9 * y, "{text}: {x}"),
                (Limit::Change(x), Limit::Change(y)) => assert!((x - y).abs() < 1e-12, "{text}: {x}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_not_understood_says_what_could_be_written() {
        for (text, said) in [
            ("wait.p99 > 20ms", "waits.p99"),
            ("", "there are load"),
            ("waits.p99", "waits.p99 > 20ms"),
            ("waits.p99 > 20", "20ms"),
            ("waits.p99 > -20ms", "20ms"),
            ("waits.p99 > 20 lightyears", "20ms"),
            ("load > 1e400", "5%"),
            ("waits.p99 > ", "20ms"),
            ("waits.p99 = 20ms", "waits.p99 > 20ms"),
            ("lost +10", "+10%"),
            ("lost +-10%", "+10%"),
            ("lost -200%", "100 %"),
            ("lost +0%", "+10%"),
        ] {
            let said_of_it = Condition::parse(text).unwrap_err().to_string();
            assert!(said_of_it.contains(said), "{text}: {said_of_it}");
        }
    }

    #[test]
    fn what_is_not_known_decides_nothing() {
        assert_eq!(judge("load > 50%", known(0.4)), Judged::NotMet);
        assert!(matches!(judge("load > 50%", known(0.6)), Judged::Met(said) if said.contains("60.0 %")));
        let below = Reading::Below { resolution: 1e6 };
        assert_eq!(judge("waits.p99 > 20ms", below), Judged::NotMet);
        assert!(matches!(judge("waits.p99 < 20ms", below), Judged::Met(_)));
        assert!(matches!(judge("waits.p99 > 10us", below), Judged::Undecided(_)));
        assert_eq!(judge("waits.p99 > 20ms", Reading::Nothing), Judged::NotMet);
        assert!(matches!(judge("load > 1%", Reading::Unknown("why")), Judged::Undecided(said) if said.contains("why")));
        assert!(matches!(judge("load +10%", known(1.0)), Judged::Undecided(_)));
    }
}
