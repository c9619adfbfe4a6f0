//! Whether pairs of measurements differ, by ranks alone: no assumption of how they are distributed, which suits a program
//! that is in one of two regimes for a while each.
//!
//! Wilcoxon's signed-rank test (F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945,
//! 80-83), exact: where watching changes nothing and the order within a pair is drawn by lot, each difference is as likely
//! to have the one sign as the other, whatever its size, so the probability of a rank sum is the share of the 2^n choices
//! of signs that have it. Ties get their mean rank, and differences of zero are left out (M. Hollander, D. A. Wolfe and
//! E. Chicken, "Nonparametric Statistical Methods", 3rd edition, 2014, section 3.1). Pairs from different programs may
//! be pooled: the argument is about each pair's sign alone.

/// What the test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignedRanks {
    /// Pairs that differ.
    pub pairs: usize,
    /// Sum of the ranks of the positive differences.
    pub positive: f64,
    /// Probability, two-sided, of a sum as far from the middle by chance; 1 without pairs.
    pub p: f64,
}

/// Tests differences within pairs.
pub fn signed_ranks(differences: &[f64]) -> SignedRanks {
    let mut differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    // Twice the rank, so that the mean of two is whole.
    let mut ranks: Vec<usize> = Vec::new();
    for tied in differences.chunk_by(|a, b| a.abs() == b.abs()) {
        ranks.extend(std::iter::repeat_n(2 * ranks.len() + tied.len() + 1, tied.len()));
    }
    let positive: usize =
        differences.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum();
    let mut probabilities = vec![1.0];
    for rank in &ranks {
        let mut next = vec![0.0; probabilities.len() + rank];
        for (sum, probability) in probabilities.iter().enumerate() {
            next[sum] += probability / 2.0;
            next[sum + rank] += probability / 2.0;
        }
        probabilities = next;
    }
    let at_most: f64 = probabilities.iter().take(positive + 1).sum();
    let at_least: f64 = probabilities.iter().skip(positive).sum();
    SignedRanks { pairs: ranks.len(), positive: positive as f64 / 2.0, p: (2.0 * at_most.min(at_least)).min(1.0) }
}
