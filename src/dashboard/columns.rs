//! The columns of the thread table: which there are, which of them a user wants, and which of those fit.

use std::sync::Arc;

use crate::dashboard::rows::Column;
use crate::session::Lately;

/// A column of the table on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The letter that stands for the thread elsewhere.
    Tag,
    /// The letter of its state.
    State,
    /// Its state in a word.
    Word,
    /// Its name.
    Name,
    /// Its tid.
    Tid,
    /// The core it was last seen on.
    Core,
    /// What it did in each of the last seconds.
    History,
    /// Its time by state in the window, as a bar.
    Bar,
    /// Share of the window that it waited.
    Wait,
    /// Share that it held the GIL.
    Hold,
    /// Share on a core without it.
    Native,
    /// Time lost in all.
    Lost,
    /// Contended waits in all.
    Waits,
    /// Their median.
    P50,
    /// Their 99th percentile.
    P99,
    /// The longest.
    Max,
}

/// Columns between two cells.
pub const GAP: usize = 1;
/// Least width of a name, wherever there is a table at all.
pub const NAME_AT_LEAST: usize = 8;
/// Width that a name is left with before a column more is shown.
const NAME_IN_COMFORT: usize = 20;
/// Width beyond which a name gets no wider.
const NAME_AT_MOST: usize = 40;
/// How much a bar grows where there is room: it tells more then.
const BAR_GROWS: usize = 40;

impl Cell {
    /// All, in the order in which they are shown by default.
    pub const ALL: [Cell; 16] = [
        Cell::Tag,
        Cell::State,
        Cell::Word,
        Cell::Name,
        Cell::Tid,
        Cell::Core,
        Cell::History,
        Cell::Bar,
        Cell::Wait,
        Cell::Hold,
        Cell::Native,
        Cell::Lost,
        Cell::Waits,
        Cell::P50,
        Cell::P99,
        Cell::Max,
    ];

    /// The order in which they come as a screen gets wider: where there is no room, the last ones go first.
    const BY_WEIGHT: [Cell; 16] = [
        Cell::Name,
        Cell::State,
        Cell::Tag,
        Cell::Wait,
        Cell::Hold,
        Cell::Core,
        Cell::P50,
        Cell::P99,
        Cell::Max,
        Cell::History,
        Cell::Bar,
        Cell::Native,
        Cell::Lost,
        Cell::Waits,
        Cell::Word,
        Cell::Tid,
    ];
    /// So many of these are shown however narrow a name gets.
    const ALWAYS: usize = 4;

    /// What it is called where it is configured. Never changes: it stands in users' files.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Tag => "tag",
            Cell::State => "state",
            Cell::Word => "state-in-words",
            Cell::Name => "thread",
            Cell::Tid => "tid",
            Cell::Core => "core",
            Cell::History => "history",
            Cell::Bar => "time-by-state",
            Cell::Wait => "wait",
            Cell::Hold => "hold",
            Cell::Native => "native",
            Cell::Lost => "lost",
            Cell::Waits => "waits",
            Cell::P50 => "p50",
            Cell::P99 => "p99",
            Cell::Max => "max",
        }
    }

    /// What its head says.
    pub fn title(self) -> &'static str {
        match self {
            Cell::Tag => "",
            Cell::State => "S",
            Cell::Word => "state",
            Cell::Name => "thread",
            Cell::Tid => "tid",
            Cell::Core => "core",
            Cell::History => "last 8 s",
            Cell::Bar => "time by state",
            Cell::Wait => "wait",
            Cell::Hold => "hold",
            Cell::Native => "native",
            Cell::Lost => "lost",
            Cell::Waits => "waits",
            Cell::P50 => "wait p50",
            Cell::P99 => "p99",
            Cell::Max => "max",
        }
    }

    /// What a click on its head sorts by.
    pub fn sorts_by(self) -> Column {
        match self {
            Cell::Tag => Column::Appearance,
            Cell::State | Cell::Word => Column::State,
            Cell::Name => Column::Name,
            Cell::Tid => Column::Tid,
            Cell::Core => Column::Core,
            Cell::History | Cell::Bar => Column::Busy,
            Cell::Wait => Column::Wait,
            Cell::Hold => Column::Hold,
            Cell::Native => Column::Native,
            Cell::Lost => Column::Lost,
            Cell::Waits => Column::Waits,
            Cell::P50 => Column::P50,
            Cell::P99 => Column::P99,
            Cell::Max => Column::Max,
        }
    }

    /// Its width; a name's is what is left.
    fn width(self) -> usize {
        match self {
            Cell::Tag | Cell::State => 1,
            Cell::Word => 13,
            Cell::Name => 0,
            Cell::Core => 4,
            Cell::History => Lately::SECONDS,
            Cell::Bar => 16,
            Cell::Wait | Cell::Hold | Cell::Native | Cell::Waits => 7,
            Cell::Tid | Cell::Lost | Cell::P50 | Cell::P99 | Cell::Max => 8,
        }
    }

    fn weight(self) -> usize {
        Cell::BY_WEIGHT.iter().position(|cell| *cell == self).unwrap_or(usize::MAX)
    }
}

/// The columns that a user wants, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Arc<[Cell]>);

impl Default for Columns {
    fn default() -> Columns {
        Columns(Cell::ALL.into())
    }
}

impl Columns {
    /// Those of these names.
    ///
    /// # Errors
    /// Which name is none, or is there twice, or has to be there.
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Columns, String> {
        let mut cells: Vec<Cell> = Vec::new();
        for name in names {
            let cell = Cell::ALL.into_iter().find(|cell| cell.name() == name).ok_or_else(|| {
                format!("`{name}` is not a column: there are {}", Cell::ALL.map(Cell::name).join(", "))
            })?;
            if cells.contains(&cell) {
                return Err(format!("the column `{name}` stands there twice"));
            }
            cells.push(cell);
        }
        match cells.contains(&Cell::Name) {
            true => Ok(Columns(cells.into())),
            false => Err("the column `thread` has to be among them: without it nobody knows who is who".to_owned()),
        }
    }

    /// Those that fit into `width`, each with its own.
    pub fn fitting(&self, width: usize) -> Vec<(Cell, usize)> {
        let mut by_weight: Vec<Cell> = self.0.to_vec();
        by_weight.sort_by_key(|cell| cell.weight());
        let mut used = 0;
        let mut shown: Vec<Cell> = Vec::new();
        for (place, cell) in by_weight.into_iter().enumerate() {
            let name = if cell.weight() < Cell::ALWAYS { NAME_AT_LEAST } else { NAME_IN_COMFORT };
            let with = used + cell.width() + GAP;
            if place > 0 && with + name > width {
                break;
            }
            (used, shown) = (with, [shown, vec![cell]].concat());
        }
        let name = width.saturating_sub(used).min(NAME_AT_MOST);
        let spare = width.saturating_sub(used + name).min(BAR_GROWS);
        let of_its_own = |cell: Cell| match cell {
            Cell::Name => name,
            Cell::Bar => cell.width() + spare,
            _ => cell.width(),
        };
        self.0.iter().filter(|cell| shown.contains(cell)).map(|cell| (*cell, of_its_own(*cell))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(columns: &Columns, width: usize) -> Vec<Cell> {
        columns.fitting(width).into_iter().map(|(cell, _)| cell).collect()
    }

    #[test]
    fn columns_go_in_the_declared_order_and_never_overflow() {
        let all = Columns::default();
        let mut before = 0;
        for width in 0..400 {
            let fitting = all.fitting(width);
            let used: usize = fitting.iter().map(|(_, columns)| columns + GAP).sum();
            assert!(used <= width.max(1), "{width}: {fitting:?}");
            assert!(fitting.len() >= before, "{width}: a wider table shows less");
            before = fitting.len();
            let mut weights: Vec<usize> = fitting.iter().map(|(cell, _)| cell.weight()).collect();
            weights.sort_unstable();
            assert!(weights.iter().copied().eq(0..fitting.len()), "{width}: {fitting:?}");
        }
        assert_eq!(before, Cell::ALL.len());
        assert!(shown(&all, 60).contains(&Cell::P50) && !shown(&all, 60).contains(&Cell::Max));
        assert!(shown(&all, 80).contains(&Cell::Max) && !shown(&all, 80).contains(&Cell::History));
    }

    #[test]
    fn a_user_has_the_columns_that_were_asked_for_in_that_order() {
        let some = Columns::named(["wait", "thread", "tid"]).unwrap();
        assert_eq!(shown(&some, 100), [Cell::Wait, Cell::Name, Cell::Tid]);
        assert_eq!(shown(&some, 30), [Cell::Wait, Cell::Name]);
        assert!(Columns::named(["thread", "wait", "thread"]).is_err_and(|why| why.contains("twice")));
        assert!(Columns::named(["wait"]).is_err_and(|why| why.contains("`thread`")));
        assert!(Columns::named(["thread", "cpu"]).is_err_and(|why| why.contains("tag, state, ")));
        assert_eq!(Columns::named(Cell::ALL.map(Cell::name)), Ok(Columns::default()));
    }
}
