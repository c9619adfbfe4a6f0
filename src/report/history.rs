//! Load and contention over the capture as two rows of blocks.

use crate::model::snapshot::GilFigures;
use crate::model::timeline::Bin;
use crate::time::{MonoNs, Ns};

/// Stands for time that was not observed.
pub(super) const GAP: char = '?';
/// Stands for a share of exactly nothing.
const NOTHING: char = '·';
/// A share above nothing, in eighths.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// With fewer bins there is nothing to see.
const FEWEST_BINS: usize = 5;

/// Rows of equal length, oldest first.
pub(super) struct History {
    pub load: String,
    pub contention: String,
    /// Time that one column stands for.
    pub column: Ns,
}

impl History {
    /// From `since` to `now` in at most `columns` columns; `None` where there is too little to draw.
    pub(super) fn of(gil: &GilFigures, since: MonoNs, now: MonoNs, columns: usize) -> Option<History> {
        let ring = gil.history.ring_since(since, now);
        let bins: Vec<Bin> =
            ring.bins().filter(|(start, _)| *start + ring.width > since).map(|(_, bin)| *bin).collect();
        if bins.len() < FEWEST_BINS || columns == 0 {
            return None;
        }
        let per_column = bins.len().div_ceil(columns);
        let row = |part: fn(&Bin) -> Ns| -> String {
            bins.chunks(per_column)
                .map(|chunk| {
                    let observed: Ns = chunk.iter().map(|bin| bin.observed).sum();
                    glyph(chunk.iter().map(part).sum::<Ns>().share_of(observed))
                })
                .collect()
        };
        Some(History {
            load: row(|bin| bin.held),
            contention: row(|bin| bin.contended),
            column: Ns(ring.width.0.saturating_mul(per_column as u64)),
        })
    }

    pub(super) fn has_gap(&self) -> bool {
        self.load.contains(GAP)
    }
}

fn glyph(share: Option<f64>) -> char {
    match share {
        None => GAP,
        Some(share) if share <= 0.0 => NOTHING,
        Some(share) => {
            let eighth = (share * 8.0).ceil().clamp(1.0, 8.0) as usize;
            BLOCKS.get(eighth - 1).copied().unwrap_or(GAP)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_little_all_and_unknown_look_different() {
        let shown: String = [Some(0.0), Some(0.001), Some(0.5), Some(0.876), Some(1.0), Some(1.2), None]
            .map(glyph)
            .into_iter()
            .collect();
        assert_eq!(shown, "·▁▄███?");
    }
}
