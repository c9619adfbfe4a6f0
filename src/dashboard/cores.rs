//! The lanes of the cores view: what the program's threads did on each core over time, and what others did there.
//!
//! Four things that are told apart come together by time: who held the GIL where (`Lanes`), which threads were on a core
//! or queued for one (`Occupied`), what all programs did on it, and how much of that was the program's (`Steps`).

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::{Cpu, ThreadKey};
use crate::model::lanes::{Company, Lanes};
use crate::model::machine::time_on;
use crate::model::snapshot::{CoreFigures, ProcessFigures, ThreadState};
use crate::time::{MonoNs, Ns};

/// From so many cores on, those that the program was never seen on share a line.
const FOLD_FROM: usize = 9;
/// Cores that are listed: as many as a machine has.
const LISTED: usize = 8_192;

/// Whether cores that were not used share lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fold {
    /// They do, where there are many.
    #[default]
    Unused,
    /// Each has its own.
    Nothing,
}

/// What the user has chosen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice {
    /// The line under the cursor, by its first core.
    pub row: Option<Cpu>,
    /// Whether lines are shared.
    pub fold: Fold,
}

impl Choice {
    /// The other way to fold.
    pub fn turn(&mut self) {
        self.fold = match self.fold {
            Fold::Unused => Fold::Nothing,
            Fold::Nothing => Fold::Unused,
        };
    }

    /// One step back, if there is one.
    pub fn back(&mut self) -> Option<()> {
        if *self == Choice::default() {
            return None;
        }
        *self = Choice::default();
        Some(())
    }
}

/// Whether the program may use a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// One of its threads may.
    Allowed,
    /// None may.
    Denied,
    /// It is not known.
    Unknown,
}

/// A line: one core, or several that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreRow {
    /// The first core.
    pub first: Cpu,
    /// The last one.
    pub last: Cpu,
    /// How many.
    pub count: usize,
    /// Whether the program may use them.
    pub access: Access,
}

/// The cores view.
#[derive(Debug, Clone)]
pub struct Cores<'a> {
    /// The process whose threads they are.
    pub process: Option<&'a ProcessFigures>,
    /// Who held the GIL where; `None`: there is no GIL.
    pub lanes: Option<&'a Lanes>,
    /// The lines, by the numbers of their cores.
    pub rows: Vec<CoreRow>,
    /// The line that is looked at.
    pub cursor: usize,
    /// Whether the user has chosen it.
    pub selected: Option<Cpu>,
    /// Time in one column.
    pub column: Ns,
    /// The instant at the right end.
    pub at: MonoNs,
    /// When the observation began.
    pub start: MonoNs,
    /// Cores that the program may use; empty: not known.
    pub allowed: Vec<Cpu>,
}

impl<'a> Cores<'a> {
    /// What there is of a process and its GIL.
    pub fn of(
        process: Option<&'a ProcessFigures>,
        lanes: Option<&'a Lanes>,
        choice: Choice,
        column: Ns,
        at: MonoNs,
    ) -> Cores<'a> {
        let allowed = process.map_or_else(Vec::new, ProcessFigures::cores_allowed);
        let rows = process.map_or_else(Vec::new, |process| rows(process, &allowed, choice.fold));
        let place = |cpu: Cpu| rows.iter().position(|row| (row.first..=row.last).contains(&cpu));
        let most = || process?.cores.iter().max_by_key(|core| (core.gil_held, core.target_on_cpu)).map(|core| core.cpu);
        let cursor = choice.row.or_else(most).and_then(place).unwrap_or(0);
        let start = process.map_or(MonoNs(0), |process| process.capture.start);
        Cores { process, lanes, cursor, rows, selected: choice.row, column, at, start, allowed }
    }

    /// The line that is looked at.
    pub fn shown(&self) -> Option<&CoreRow> {
        self.rows.get(self.cursor)
    }

    /// The figures of a line's cores.
    pub fn figures(&self, row: &CoreRow) -> impl Iterator<Item = &'a CoreFigures> + use<'a> {
        let row = *row;
        let cores = self.process.map_or(&[][..], |process| &process.cores);
        cores.iter().filter(move |core| (row.first..=row.last).contains(&core.cpu))
    }
}

fn rows(process: &ProcessFigures, allowed: &[Cpu], fold: Fold) -> Vec<CoreRow> {
    let mut cores: BTreeMap<Cpu, bool> = allowed.iter().take(LISTED).map(|cpu| (*cpu, false)).collect();
    for core in process.cores.iter().take(LISTED) {
        *cores.entry(core.cpu).or_default() |= core.is_used();
    }
    let folds = fold == Fold::Unused && cores.len() >= FOLD_FROM;
    let mut rows: Vec<CoreRow> = Vec::new();
    let mut before = false;
    for (cpu, is_used) in cores {
        let access = match allowed {
            [] => Access::Unknown,
            _ if allowed.binary_search(&cpu).is_ok() => Access::Allowed,
            _ => Access::Denied,
        };
        let joins = |row: &&mut CoreRow| row.access == access && row.last.0.checked_add(1) == Some(cpu.0);
        match rows.last_mut().filter(joins).filter(|_| folds && !is_used && !before) {
            Some(row) => (row.last, row.count) = (cpu, row.count + 1),
            None => rows.push(CoreRow { first: cpu, last: cpu, count: 1, access }),
        }
        before = is_used;
    }
    rows
}

/// What happened on a line's cores in one column.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cell {
    /// The GIL was held by a thread on the core, or queued for it.
    held: Ns,
    /// It was held by a thread that slept.
    asleep: Ns,
    on_core: Ns,
    queued: Ns,
    longest: Option<(Ns, ThreadKey)>,
    company: Option<Company>,
    /// Other programs' time, and how much time that is known of.
    other: Ns,
    other_known: Ns,
}

/// Time in one column of a line, by what threads did there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doing {
    /// On the core, holding the GIL.
    pub running: Ns,
    /// Holding it, asleep or queued.
    pub off: Ns,
    /// On the core without it.
    pub native: Ns,
    /// Queued for a core, without it.
    pub runnable: Ns,
}

impl Doing {
    /// All of it.
    pub fn total(&self) -> Ns {
        self.running + self.off + self.native + self.runnable
    }

    /// What it did most, and for how long; holding goes first.
    pub fn most(&self) -> (ThreadState, Ns) {
        let all = [
            (ThreadState::Runnable, self.runnable),
            (ThreadState::Native, self.native),
            (ThreadState::HoldingOffCpu, self.off),
            (ThreadState::Running, self.running),
        ];
        all.into_iter().max_by_key(|(_, time)| *time).unwrap_or((ThreadState::Idle, Ns::ZERO))
    }
}

impl Cell {
    /// What threads did there. Without records of switches, only who held is known.
    pub fn doing(&self, column: &Column) -> Doing {
        if !column.is_told() {
            return Doing { running: self.held, off: self.asleep, ..Doing::default() };
        }
        let running = self.held.min(self.on_core);
        // Who was seen to hold but had no core was queued for one, as far as anybody was.
        let waited = self.held.saturating_sub(running).min(self.queued);
        Doing {
            running,
            off: self.asleep + waited,
            native: self.on_core.saturating_sub(running),
            runnable: self.queued.saturating_sub(waited),
        }
    }

    /// Who was there longest.
    pub fn thread(&self) -> Option<ThreadKey> {
        self.longest.map(|(_, thread)| thread)
    }

    /// Whether others were there too.
    pub fn company(&self) -> Company {
        self.company.unwrap_or(Company::Alone)
    }

    /// Other programs' share of the line's cores; `None`: not known.
    pub fn other(&self) -> Option<f64> {
        self.other.share_of(self.other_known)
    }

    fn met(&mut self, thread: ThreadKey, time: Ns, company: Company) {
        let is_another = self.longest.is_some_and(|(_, known)| known != thread);
        if is_another || company == Company::WithOthers {
            self.company = Some(Company::WithOthers);
        }
        if self.longest.is_none_or(|(longest, _)| time > longest) {
            self.longest = Some((time, thread));
        }
    }
}

/// What is known of one column, whichever core.
#[derive(Debug, Clone, Copy, Default)]
pub struct Column {
    /// Whether something should have been seen in it.
    pub when: When,
    /// Time in which the GIL was looked at.
    pub observed: Ns,
    /// Of that, it was held where nobody could tell.
    pub unplaced: Ns,
    /// Time in which the switches of all threads were told.
    pub told: Ns,
    /// Integral of the number of waiters.
    pub waited: Ns,
    /// Whether all of it, or some, lies after the newest reading of what others do.
    pub is_recent: bool,
    /// The line on which the GIL was held for most of the time, and its time there.
    pub path: Option<(usize, Ns)>,
}

impl Column {
    /// Whether it is told for most of the time which threads were on a core.
    pub fn is_told(&self) -> bool {
        self.told > Ns::ZERO && self.told.0.saturating_mul(2) >= self.observed.0
    }

    /// How much time was looked at in any way.
    pub fn seen(&self) -> Ns {
        self.observed.max(self.told)
    }
}

/// Whether a column lies in the time observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// It does.
    #[default]
    Watched,
    /// Before the capture began, or just now.
    Outside,
}

/// The lines on the screen, column by column: the newest last.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What is known of each column.
    pub columns: Vec<Column>,
    /// Which lines these are.
    lines: Range<usize>,
    cells: Vec<Cell>,
}

/// A line's shares of the time shown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shares {
    /// The GIL was held there; `None`: nobody looked.
    pub held: Option<f64>,
    /// The program's threads were on it; `None`: not told.
    pub own: Option<f64>,
    /// Other programs were; `None`: not known.
    pub other: Option<f64>,
}

impl Picture {
    /// The last `count` columns of these lines, and the GIL's way over all of them. Columns begin at multiples of their
    /// length, so that they do not flicker while time goes on.
    pub fn of(cores: &Cores<'_>, lines: Range<usize>, count: usize) -> Picture {
        let rows = &cores.rows;
        let length = cores.column.0.max(1);
        let newest = cores.at.0 / length;
        let mut picture = Picture {
            columns: vec![Column::default(); count],
            cells: vec![Cell::default(); count.saturating_mul(lines.len())],
            lines,
        };
        for (behind, column) in picture.columns.iter_mut().rev().enumerate() {
            let number = newest.checked_sub(behind as u64);
            // The one that has just begun may have nothing in it yet.
            if behind == 0 || number.is_none_or(|number| number < cores.start.0 / length) {
                column.when = When::Outside;
            }
        }
        let place = |at: MonoNs| {
            let behind = usize::try_from(newest.checked_sub(at.0 / length)?).ok()?;
            count.checked_sub(behind.checked_add(1)?)
        };
        let row_of = |cpu: Cpu| {
            let row = rows.partition_point(|row| row.last < cpu);
            rows.get(row).is_some_and(|found| found.first <= cpu).then_some(row)
        };
        picture.holds(cores, place, row_of);
        picture.runs(cores, place, row_of);
        picture.others(cores, newest, row_of);
        picture
    }

    /// What happened in a column of a line on the screen.
    pub fn cell(&self, row: usize, column: usize) -> Cell {
        self.place(row, column).and_then(|place| self.cells.get(place)).copied().unwrap_or_default()
    }

    fn cell_mut(&mut self, row: usize, column: usize) -> Option<&mut Cell> {
        let place = self.place(row, column)?;
        self.cells.get_mut(place)
    }

    fn place(&self, row: usize, column: usize) -> Option<usize> {
        let line = row.checked_sub(self.lines.start).filter(|_| row < self.lines.end)?;
        Some(line * self.columns.len() + column)
    }

    fn holds(
        &mut self,
        cores: &Cores<'_>,
        place: impl Fn(MonoNs) -> Option<usize>,
        row_of: impl Fn(Cpu) -> Option<usize>,
    ) {
        let Some(lanes) = cores.lanes else { return };
        let mut times: BTreeMap<(usize, usize), Ns> = BTreeMap::new();
        for (start, bin) in lanes.ring_within(cores.column).bins() {
            let Some(number) = place(start) else { continue };
            if let Some(column) = self.columns.get_mut(number) {
                column.observed += bin.observed;
                column.unplaced += bin.unplaced;
                column.waited += bin.waited;
            }
            for held in &bin.cores {
                let Some(row) = row_of(held.cpu) else { continue };
                if let Some(cell) = self.cell_mut(row, number) {
                    cell.held += held.running;
                    cell.asleep += held.asleep;
                    cell.met(held.thread, held.running + held.asleep, held.company);
                }
                let time = times.entry((number, row)).or_default();
                *time += held.running + held.asleep;
                let time = *time;
                if let Some(column) = self.columns.get_mut(number)
                    && column.path.is_none_or(|(known, most)| known == row || time > most)
                {
                    column.path = Some((row, time));
                }
            }
        }
    }

    fn runs(
        &mut self,
        cores: &Cores<'_>,
        place: impl Fn(MonoNs) -> Option<usize>,
        row_of: impl Fn(Cpu) -> Option<usize>,
    ) {
        let Some(process) = cores.process else { return };
        for (start, bin) in process.occupied.ring_within(cores.column).bins() {
            let Some(number) = place(start) else { continue };
            if let Some(column) = self.columns.get_mut(number) {
                column.told += bin.told;
            }
            for there in &bin.cores {
                let Some(row) = row_of(there.cpu) else { continue };
                let Some(cell) = self.cell_mut(row, number) else { continue };
                cell.on_core += there.on_core;
                cell.queued += there.queued;
                cell.met(there.thread, there.on_core.max(there.queued), there.company);
            }
        }
    }

    /// Spreads what others did in each step evenly over the columns that it lies in.
    fn others(&mut self, cores: &Cores<'_>, newest: u64, row_of: impl Fn(Cpu) -> Option<usize>) {
        let Some(process) = cores.process else { return };
        let length = cores.column.0.max(1);
        let count = self.columns.len() as u64;
        let first = (newest + 1).saturating_sub(count);
        let from = MonoNs(first.saturating_mul(length));
        let own: BTreeMap<MonoNs, _> = process.own_time.since(from).map(|step| (step.from, step)).collect();
        let read = process.machine.since(from).next().map_or(0, |step| step.to.0);
        for (column, number) in self.columns.iter_mut().zip(first..) {
            column.is_recent = read > 0 && (number + 1).saturating_mul(length) > read;
        }
        let lines = self.lines.clone();
        let line_of = |cpu: Cpu| row_of(cpu)?.checked_sub(lines.start);
        let mut sums = vec![(Ns::ZERO, 0_usize); lines.len()];
        for step in process.machine.since(from) {
            let own = own.get(&step.from).filter(|own| own.to == step.to).and_then(|own| own.cores.as_deref());
            let Some((all, own)) = step.cores.as_deref().zip(own) else { continue };
            sums.fill((Ns::ZERO, 0));
            for core in all {
                if let Some((other, known)) = line_of(core.cpu).and_then(|line| sums.get_mut(line)) {
                    *other += core.busy.saturating_sub(time_on(own, core.cpu));
                    *known += 1;
                }
            }
            let whole = step.to.since(step.from);
            let last = step.to.0.saturating_sub(1) / length;
            for number in (step.from.0 / length).max(first)..=last.min(newest) {
                let begin = MonoNs(number.saturating_mul(length));
                let part = step.to.min(begin + Ns(length)).since(step.from.max(begin));
                let column = usize::try_from(number - first).unwrap_or(usize::MAX);
                for (row, (other, known)) in lines.clone().zip(&sums) {
                    if let Some(cell) = self.cell_mut(row, column).filter(|_| *known > 0) {
                        cell.other += other.scaled(part, whole);
                        cell.other_known += Ns(part.0.saturating_mul(*known as u64));
                    }
                }
            }
        }
    }

    /// A line's shares of the time shown.
    pub fn shares(&self, row: usize, cores: usize) -> Shares {
        let (mut held, mut observed) = (Ns::ZERO, Ns::ZERO);
        let (mut own, mut told) = (Ns::ZERO, Ns::ZERO);
        let (mut other, mut known) = (Ns::ZERO, Ns::ZERO);
        for (number, column) in self.columns.iter().enumerate() {
            let cell = self.cell(row, number);
            held += cell.held + cell.asleep;
            observed += column.observed;
            if column.is_told() {
                own += cell.on_core;
                told += column.told;
            }
            other += cell.other;
            known += cell.other_known;
        }
        let told = Ns(told.0.saturating_mul(cores as u64));
        Shares { held: held.share_of(observed), own: own.share_of(told), other: other.share_of(known) }
    }
}
