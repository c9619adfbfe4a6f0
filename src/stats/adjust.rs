//! Many tests at once.
//!
//! Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57 (1995); with tests that depend on each
//! other positively, as figures of one program do: Benjamini and Yekutieli, Ann. Stat. 29 (2001). Intervals at the
//! level of [`Selection::level`] are theirs, too (J. Am. Stat. Assoc. 100, 2005), and agree with the tests.

/// Which of several tests call a difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Of each test, in the order given.
    pub called: Vec<bool>,
    /// The error that each single test and interval may have: one that is at this level excludes what its test rejects,
    /// and includes what it does not.
    pub level: f64,
}

/// Calls differences such that, of those that are called, a share of at most `rate` is false on average; where nothing
/// differs at all, anything is called at most that often.
pub fn select(p_values: &[f64], rate: f64) -> Selection {
    let mut sorted: Vec<f64> = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let tests = sorted.len().max(1) as f64;
    let accepted = |place: usize| rate * (place + 1) as f64 / tests;
    let count = sorted.iter().enumerate().rposition(|(place, p)| *p <= accepted(place)).map_or(0, |last| last + 1);
    let level = accepted(count.saturating_sub(1));
    Selection { called: p_values.iter().map(|p| count > 0 && *p <= level).collect(), level }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_paper() {
        // Benjamini and Hochberg 1995, section 4: 15 tests at 0.05, of which four are called.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
            0.7590, 1.0,
        ];
        let selection = select(&p, 0.05);
        assert_eq!(selection.called.iter().filter(|called| **called).count(), 4);
        assert!((selection.level - 0.05 * 4.0 / 15.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_called_of_nothing() {
        assert!(select(&[], 0.05).called.is_empty());
        let none = select(&[0.03, 0.9], 0.05);
        assert_eq!(none.called, [false, false]);
        assert!((none.level - 0.025).abs() < 1e-12, "the level at which one of two would have been called");
        assert_eq!(select(&[0.025, 0.9], 0.05).called, [true, false]);
    }
}
