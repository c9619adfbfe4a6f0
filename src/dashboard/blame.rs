//! The matrix of the blame view: who waited behind whom, which cell is looked at, and what is behind it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::dashboard::rows::contains;
use crate::event::{Frame, ThreadKey};
use crate::findings::figures::in_all;
use crate::model::snapshot::{Basis, BlameFigures, BlamePair, BlameShare, Blamed, ProcessFigures};
use crate::time::Ns;

/// Waiters that have a row of their own: those who lost most. The others share one.
const WAITERS: usize = 200;
/// Holders that have a column of their own.
const HOLDERS: usize = 60;

/// Below this share of all time lost, what is missing is not told of: both are known to half a look.
const WORTH_A_WORD: f64 = 0.02;

/// A row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiter {
    /// This thread.
    Thread(ThreadKey),
    /// All that have no row of their own.
    Others,
}

/// A column of the matrix: what a wait went by with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// Nobody held the GIL: the scheduler had not given the waiter a core yet.
    Scheduler,
    /// This thread held it.
    Thread(ThreadKey),
    /// A thread that has no column of its own held it.
    Others,
    /// Who held it was not seen.
    Unknown,
}

/// How far a cell has been opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The matrix.
    #[default]
    Matrix,
    /// What the holder executed, by stacks.
    Pair,
    /// One of these stacks.
    Stack,
}

/// What a cell says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Measure {
    /// Its share of all waiting.
    #[default]
    OfAll,
    /// Its share of what its waiter lost.
    OfWaiter,
    /// Its time.
    Time,
}

/// A cell.
pub type Cell = (Waiter, Behind);

/// What the user has chosen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// The cell under the cursor.
    pub cell: Option<Cell>,
    /// How far it was opened.
    pub depth: Depth,
    /// The row of its stacks.
    pub part: usize,
    /// Lines that an open stack is scrolled down by.
    pub scrolled: usize,
    /// What cells say.
    pub measure: Measure,
}

/// What cursor keys move over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grid {
    /// The rows.
    pub waiters: Vec<Waiter>,
    /// The columns.
    pub columns: Vec<Behind>,
    /// Row and column of the cell that is looked at.
    pub at: (usize, usize),
    /// Stacks behind it.
    pub parts: usize,
    /// Frames of the one that is looked at.
    pub frames: usize,
}

impl Choice {
    /// The row under the cursor; of an open stack, which can be scrolled down as far as `reach`, its first line.
    pub fn row(&self, grid: &Grid, reach: usize) -> usize {
        match self.depth {
            Depth::Matrix => self.at(grid).0,
            Depth::Pair => self.part,
            Depth::Stack => self.scrolled.min(reach),
        }
    }

    /// Row and column of the cell under the cursor, which may have moved since `grid` was drawn.
    fn at(&self, grid: &Grid) -> (usize, usize) {
        let find = |(waiter, behind): Cell| {
            let row = grid.waiters.iter().position(|one| *one == waiter)?;
            Some((row, grid.columns.iter().position(|one| *one == behind)?))
        };
        self.cell.and_then(find).unwrap_or(grid.at)
    }

    /// To a row.
    pub fn go(&mut self, row: usize, grid: &Grid, reach: usize) {
        match self.depth {
            Depth::Matrix => self.point_at(row, self.at(grid).1, grid),
            Depth::Pair => self.part = row.min(grid.parts.saturating_sub(1)),
            Depth::Stack => self.scrolled = row.min(reach),
        }
    }

    /// To the column so many steps to the right.
    pub fn step(&mut self, columns: isize, grid: &Grid) {
        if self.depth == Depth::Matrix {
            let (row, column) = self.at(grid);
            self.point_at(row, column.saturating_add_signed(columns), grid);
        }
    }

    /// To a cell.
    pub fn point_at(&mut self, row: usize, column: usize, grid: &Grid) {
        let waiter = grid.waiters.get(row.min(grid.waiters.len().saturating_sub(1)));
        let behind = grid.columns.get(column.min(grid.columns.len().saturating_sub(1)));
        self.cell = waiter.copied().zip(behind.copied());
    }

    /// Looks closer.
    pub fn open(&mut self, grid: &Grid) {
        match self.depth {
            Depth::Matrix => {
                let (row, column) = self.at(grid);
                self.point_at(row, column, grid);
                if self.cell.is_some() {
                    (self.depth, self.part) = (Depth::Pair, 0);
                }
            }
            Depth::Pair if grid.frames > 0 => (self.depth, self.scrolled) = (Depth::Stack, 0),
            Depth::Pair | Depth::Stack => {}
        }
    }

    /// One step back; `None`: there is none.
    pub fn back(&mut self) -> Option<()> {
        match self.depth {
            Depth::Stack => self.depth = Depth::Pair,
            Depth::Pair => self.depth = Depth::Matrix,
            Depth::Matrix => drop(self.cell.take()?),
        }
        Some(())
    }

    /// The next measure.
    pub fn turn(&mut self) {
        self.measure = match self.measure {
            Measure::OfAll => Measure::OfWaiter,
            Measure::OfWaiter => Measure::Time,
            Measure::Time => Measure::OfAll,
        };
    }
}

/// Who made whom wait, as it is shown.
#[derive(Debug, Clone)]
pub struct Matrix<'a> {
    /// The process whose threads they are.
    pub process: Option<&'a ProcessFigures>,
    /// The rows, those with most time first; [`Waiter::Others`] last.
    pub waiters: Vec<(Waiter, Ns)>,
    /// The columns, the scheduler first, then holders by their time, then what is not told apart.
    pub columns: Vec<(Behind, Ns)>,
    /// All time waited.
    pub total: Ns,
    /// The time of the largest cell.
    pub most: Ns,
    /// Row and column of the cell that is looked at.
    pub at: (usize, usize),
    /// What the user has chosen.
    pub choice: Choice,
    /// Time in each cell, row by row.
    cells: Vec<Ns>,
    /// Whom the filter lets through, each with its cell.
    pairs: Vec<((usize, usize), &'a BlamePair)>,
}

/// A part of a cell's time.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The time.
    pub time: Ns,
    /// Its share of the cell's.
    pub share: f64,
    /// The samples behind it.
    pub samples: u32,
    /// What it rests on.
    pub basis: Basis,
    /// The frames, the innermost first.
    pub stack: &'a [std::sync::Arc<Frame>],
    /// Shared object and symbol.
    pub native: Option<&'a str>,
}

impl<'a> Part<'a> {
    /// The innermost Python function.
    pub fn frame(&self) -> Option<&'a Frame> {
        self.stack.first().map(|frame| &**frame)
    }
}

impl<'a> Matrix<'a> {
    /// That of `process`, with a row for each waiter that `filter` lets through. Unless the user has chosen another cell, the one with most time is looked at.
    pub fn of(process: Option<&'a ProcessFigures>, choice: Choice, filter: &str) -> Matrix<'a> {
        let all: &[BlamePair] = process.map_or(&[], |process| &process.blame.pairs);
        let wanted = filter.to_lowercase();
        let passes = |pair: &&BlamePair| {
            let waits = pair.waiter.and_then(|key| process?.thread(key));
            wanted.is_empty() || waits.is_some_and(|thread| contains(thread, &wanted))
        };
        let pairs: Vec<&'a BlamePair> = all.iter().filter(passes).collect();
        let mut waiters: BTreeMap<Waiter, Ns> = BTreeMap::new();
        let mut columns: BTreeMap<Behind, Ns> = BTreeMap::from([(Behind::Scheduler, Ns::ZERO)]);
        for pair in &pairs {
            *waiters.entry(waiter(pair)).or_default() += pair.time;
            *columns.entry(behind(pair)).or_default() += pair.time;
        }
        let waiters = ordered(waiters, Waiter::Others, WAITERS, |waiter| matches!(waiter, Waiter::Thread(_)));
        let holders = ordered(columns, Behind::Others, HOLDERS, |behind| matches!(behind, Behind::Thread(_)));
        let (first, rest): (Vec<_>, Vec<_>) = holders.into_iter().partition(|(one, _)| *one == Behind::Scheduler);
        let columns: Vec<(Behind, Ns)> = match waiters.is_empty() {
            true => Vec::new(),
            false => first.into_iter().chain(rest).collect(),
        };
        let rows: BTreeMap<Waiter, usize> = waiters.iter().enumerate().map(|(i, (one, _))| (*one, i)).collect();
        let places: BTreeMap<Behind, usize> = columns.iter().enumerate().map(|(i, (one, _))| (*one, i)).collect();
        let cell_of = |pair: &BlamePair| {
            let row = rows.get(&waiter(pair)).or_else(|| rows.get(&Waiter::Others));
            let column = places.get(&behind(pair)).or_else(|| places.get(&Behind::Others));
            row.copied().zip(column.copied())
        };
        let pairs: Vec<((usize, usize), &'a BlamePair)> =
            pairs.into_iter().filter_map(|pair| Some((cell_of(pair)?, pair))).collect();
        let mut cells = vec![Ns::ZERO; waiters.len() * columns.len()];
        for ((row, column), pair) in &pairs {
            if let Some(time) = cells.get_mut(row * columns.len() + column) {
                *time += pair.time;
            }
        }
        let chosen = choice.cell.and_then(|(waiter, behind)| Some((*rows.get(&waiter)?, *places.get(&behind)?)));
        // What is a sum of many tells least.
        let is_one = |(row, column): &(usize, usize)| {
            let waiter = waiters.get(*row).is_some_and(|(waiter, _)| *waiter != Waiter::Others);
            waiter && columns.get(*column).is_some_and(|(behind, _)| *behind != Behind::Others)
        };
        let place = |number: usize| (number / columns.len(), number % columns.len());
        let timed = || cells.iter().enumerate().filter(|(_, time)| **time > Ns::ZERO);
        let largest = || {
            let rank = |(number, time): &(usize, &Ns)| (is_one(&place(*number)), **time, Reverse(*number));
            timed().max_by_key(rank).map(|(number, _)| place(number))
        };
        let at = chosen.or_else(largest).unwrap_or_default();
        let most = cells.iter().copied().max().unwrap_or_default();
        let total = all.iter().map(|pair| pair.time).sum();
        Matrix { process, waiters, columns, total, most, at, choice, cells, pairs }
    }

    /// Time lost, by the number of waiters, beyond the waits of threads that were seen to; `None`: next to none.
    pub fn unnamed(&self) -> Option<Ns> {
        let lost = in_all(self.process?).lost;
        let more = lost.saturating_sub(self.total);
        more.share_of(lost).is_some_and(|share| share > WORTH_A_WORD).then_some(more)
    }

    /// What is known beside the pairs.
    pub fn figures(&self) -> Option<&'a BlameFigures> {
        self.process.map(|process| &*process.blame)
    }

    /// The time in a cell.
    pub fn time(&self, row: usize, column: usize) -> Ns {
        let is_there = column < self.columns.len();
        self.cells.get(row * self.columns.len() + column).copied().filter(|_| is_there).unwrap_or_default()
    }

    /// The cell that is looked at: its row, its column and its time; `None`: nobody has waited.
    pub fn cell(&self) -> Option<(Waiter, Behind, Ns)> {
        let (waiter, _) = self.waiters.get(self.at.0)?;
        let (behind, _) = self.columns.get(self.at.1)?;
        Some((*waiter, *behind, self.time(self.at.0, self.at.1)))
    }

    /// Whether a cell is a thread behind itself, which there is not.
    pub fn is_itself(&self, row: usize, column: usize) -> bool {
        match (self.waiters.get(row), self.columns.get(column)) {
            (Some((Waiter::Thread(waiter), _)), Some((Behind::Thread(holder), _))) => waiter == holder,
            _ => false,
        }
    }

    /// What the holder executed in the cell that is looked at, the most time first; by stacks and native code.
    pub fn parts(&self) -> Vec<Part<'a>> {
        self.divided(|share| (&*share.stack, share.native.as_deref()))
    }

    /// The same by functions, each with one of its stacks.
    pub fn functions(&self) -> Vec<Part<'a>> {
        self.divided(|share| {
            let function = share.stack.first().map(|frame| (&*frame.file, &*frame.function));
            (function, share.native.as_deref())
        })
    }

    fn divided<K: Ord>(&self, key: impl Fn(&'a BlameShare) -> K) -> Vec<Part<'a>> {
        let whole = self.time(self.at.0, self.at.1);
        let pairs = self.pairs.iter().filter(|(at, _)| *at == self.at);
        let mut parts: BTreeMap<(K, u8), Part<'a>> = BTreeMap::new();
        for share in pairs.flat_map(|(_, pair)| &pair.shares) {
            let part = parts.entry((key(share), share.basis as u8)).or_insert_with(|| Part {
                time: Ns::ZERO,
                share: 0.0,
                samples: 0,
                basis: share.basis,
                stack: &share.stack,
                native: share.native.as_deref(),
            });
            part.time += share.time;
            part.samples = part.samples.saturating_add(share.samples);
        }
        let mut parts: Vec<Part<'a>> = parts.into_values().collect();
        parts.iter_mut().for_each(|part| part.share = part.time.share_of(whole).unwrap_or(0.0));
        parts.sort_by_key(|part| Reverse(part.time));
        parts
    }

    /// What cursor keys move over.
    pub fn grid(&self) -> Grid {
        let (parts, frames) = match self.choice.depth {
            Depth::Matrix => (0, 0),
            Depth::Pair | Depth::Stack => {
                let parts = self.parts();
                (parts.len(), parts.get(self.choice.part).map_or(0, |part| part.stack.len()))
            }
        };
        Grid {
            waiters: self.waiters.iter().map(|(waiter, _)| *waiter).collect(),
            columns: self.columns.iter().map(|(behind, _)| *behind).collect(),
            at: self.at,
            parts,
            frames,
        }
    }
}

fn waiter(pair: &BlamePair) -> Waiter {
    pair.waiter.map_or(Waiter::Others, Waiter::Thread)
}

/// Its column.
pub(super) fn behind(pair: &BlamePair) -> Behind {
    match pair.holder {
        Blamed::Thread(thread) => Behind::Thread(thread),
        Blamed::Free => Behind::Scheduler,
        Blamed::Unknown => Behind::Unknown,
        Blamed::Others => Behind::Others,
    }
}

/// Those with most time first, so many that are `single`; the rest of these is in `others`. What is no thread comes last.
fn ordered<T: Copy + Ord>(all: BTreeMap<T, Ns>, others: T, most: usize, single: impl Fn(T) -> bool) -> Vec<(T, Ns)> {
    let (mut singles, mut rest): (Vec<_>, BTreeMap<_, _>) = (Vec::new(), BTreeMap::new());
    for (one, time) in all {
        match single(one) {
            true => singles.push((one, time)),
            false => drop(rest.insert(one, time)),
        }
    }
    singles.sort_by_key(|(one, time)| (Reverse(*time), *one));
    if singles.len() > most {
        *rest.entry(others).or_default() += singles.drain(most..).map(|(_, time)| time).sum();
    }
    singles.into_iter().chain(rest).collect()
}
