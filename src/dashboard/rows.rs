//! The thread table's rows: which there are, and in what order.

use std::collections::BTreeMap;

use crate::model::snapshot::{Length, ProcessFigures, StateTimes, ThreadFigures, ThreadState};
use crate::session::Recent;
use crate::time::Ns;

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Time lost to waits, recently.
    Wait,
    /// Time with the GIL, recently.
    Hold,
    /// Time on a core without it, recently.
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
    /// State at this instant.
    State,
    /// Time in which it wanted or did something, recently.
    Busy,
    /// Core it was last seen on.
    Core,
    /// Thread id.
    Tid,
    /// Name.
    Name,
    /// Order of appearance.
    Appearance,
}

impl Column {
    /// All, in the order in which keys go through them.
    pub const ALL: [Column; 14] = [
        Column::Wait,
        Column::Hold,
        Column::Native,
        Column::Lost,
        Column::Waits,
        Column::P50,
        Column::P99,
        Column::Max,
        Column::Busy,
        Column::State,
        Column::Core,
        Column::Tid,
        Column::Name,
        Column::Appearance,
    ];

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Column::Wait => "wait",
            Column::Hold => "hold",
            Column::Native => "native",
            Column::Lost => "lost",
            Column::Waits => "waits",
            Column::P50 => "p50",
            Column::P99 => "p99",
            Column::Max => "max",
            Column::State => "state",
            Column::Busy => "time not idle",
            Column::Core => "core",
            Column::Tid => "tid",
            Column::Name => "name",
            Column::Appearance => "start",
        }
    }

    /// The column `steps` further on, round and round.
    pub fn step(self, steps: isize) -> Column {
        let all = Column::ALL;
        let here = all.iter().position(|column| *column == self).unwrap_or(0) as isize;
        let index = (here + steps).rem_euclid(all.len() as isize) as usize;
        all.get(index).copied().unwrap_or(self)
    }

    /// The end of the column that one wants to see.
    fn usual(self) -> Order {
        match self {
            Column::State | Column::Core | Column::Tid | Column::Name | Column::Appearance => Order::Rising,
            _ => Order::Falling,
        }
    }
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least.
    Rising,
    /// The most.
    Falling,
}

/// How the table is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub column: Column,
    /// Which end first.
    pub order: Order,
}

impl Sort {
    /// By a column, the end first that one wants to see.
    pub fn by(column: Column) -> Sort {
        Sort { column, order: column.usual() }
    }

    /// The other way round.
    pub fn reversed(self) -> Sort {
        let order = match self.order {
            Order::Rising => Order::Falling,
            Order::Falling => Order::Rising,
        };
        Sort { order, ..self }
    }
}

/// Whether threads that have ended and are called alike share a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// They do, where there are more than a few.
    #[default]
    Together,
    /// Each has its own.
    Apart,
}

/// From so many on, they share a row.
const MANY: usize = 4;

/// What threads that share a row come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Together {
    /// How many they are.
    pub count: usize,
    /// Time lost, of all of them.
    pub lost: Ns,
    /// Their contended waits.
    pub waits: u64,
    /// The longest of these.
    pub longest: Option<Length>,
}

/// One thread, or several that have ended.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What is known of it in all; of several: of the first.
    pub thread: &'a ThreadFigures,
    /// What several come to; `None`: it is one.
    pub together: Option<Together>,
    /// Its time by state within the recent window; `None`: it was not seen in it.
    pub recent: Option<StateTimes>,
    /// Its place among the process's threads, in order of appearance.
    pub place: usize,
}

impl Row<'_> {
    /// A share of the time that is known of the window; `None` if none is.
    pub fn share(&self, part: impl Fn(&StateTimes) -> Ns) -> Option<f64> {
        let recent = self.recent.as_ref()?;
        part(recent).share_of(recent.total())
    }

    /// How many threads it stands for.
    pub fn count(&self) -> usize {
        self.together.map_or(1, |together| together.count)
    }

    /// Time lost in all.
    pub fn lost(&self) -> Ns {
        self.together.map_or(self.thread.lost, |together| together.lost)
    }

    /// Contended waits in all.
    pub fn waits(&self) -> u64 {
        self.together.map_or_else(|| self.thread.waits.count(), |together| together.waits)
    }

    /// The longest wait.
    pub fn longest(&self) -> Option<Length> {
        self.together.map_or_else(|| self.thread.waits.max(), |together| together.longest)
    }

    /// A quantile of the waits; of several threads it is not known.
    pub fn quantile(&self, share: f64) -> Option<Length> {
        if self.together.is_some() { None } else { self.thread.waits.quantile(share) }
    }

    /// Another one shares its row.
    fn join(&mut self, other: &Row<'_>) {
        self.recent = match (self.recent, other.recent) {
            (Some(mut own), Some(more)) => {
                own += more;
                Some(own)
            }
            (own, more) => own.or(more),
        };
        self.together = Some(Together {
            count: self.count() + other.count(),
            lost: self.lost() + other.lost(),
            waits: self.waits() + other.waits(),
            longest: [self.longest(), other.longest()].into_iter().flatten().max_by_key(|length| match length {
                Length::Known(ns) => (*ns, 1),
                Length::Below(ns) => (*ns, 0),
            }),
        });
    }

    fn figure(&self, column: Column) -> f64 {
        let share = |part: fn(&StateTimes) -> Ns| self.share(part).unwrap_or(-1.0);
        let length = |length: Option<Length>| match length {
            Some(Length::Known(ns)) => ns.0 as f64,
            Some(Length::Below(_)) => 0.0,
            None => -1.0,
        };
        match column {
            Column::Wait => share(|s| s.waiting),
            Column::Hold => share(StateTimes::holding),
            Column::Native => share(|s| s.native),
            Column::Lost => self.lost().0 as f64,
            Column::Waits => self.waits() as f64,
            Column::P50 => length(self.quantile(0.5)),
            Column::P99 => length(self.quantile(0.99)),
            Column::Max => length(self.longest()),
            Column::Busy => share(|s| s.total().saturating_sub(s.idle + s.unknown)),
            Column::Core => self.thread.cpu.map_or(f64::MAX, |cpu| f64::from(cpu.0)),
            Column::Tid => self.thread.tid.map_or(f64::MAX, |tid| f64::from(tid.0)),
            Column::State => rank(self.thread.now),
            Column::Name | Column::Appearance => 0.0,
        }
    }
}

fn rank(state: ThreadState) -> f64 {
    ThreadState::ALL.iter().position(|s| *s == state).unwrap_or(0) as f64
}

/// A name without the numbers in it: those of threads that are made one after the other differ in nothing else.
pub fn kind(name: &str) -> String {
    let mut kind = String::with_capacity(name.len());
    for c in name.chars() {
        match c.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(c),
        }
    }
    kind
}

/// Puts ended threads together that are called alike.
fn gathered(rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    let (ended, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.thread.now == ThreadState::Ended);
    let mut kinds: BTreeMap<String, Vec<Row<'_>>> = BTreeMap::new();
    for row in ended {
        kinds.entry(kind(&row.thread.name)).or_default().push(row);
    }
    for alike in kinds.into_values() {
        match alike.split_first() {
            Some((first, others)) if alike.len() >= MANY => {
                let mut first = *first;
                others.iter().for_each(|other| first.join(other));
                rows.push(first);
            }
            _ => rows.extend(alike),
        }
    }
    rows
}

/// The rows that `filter` lets through, sorted. Ended threads come last, whatever the order.
pub fn rows<'a>(
    process: &'a ProcessFigures,
    recent: Option<&Recent>,
    filter: &str,
    sort: Sort,
    ended: Ended,
) -> Vec<Row<'a>> {
    let wanted = filter.to_lowercase();
    let rows: Vec<Row<'a>> = process
        .threads
        .iter()
        .enumerate()
        .filter(|(_, thread)| wanted.is_empty() || contains(thread, &wanted))
        .map(|(place, thread)| {
            let recent = match recent {
                Some(recent) => recent.threads.get(&thread.key).copied(),
                None => Some(thread.states),
            };
            Row { thread, together: None, recent, place }
        })
        .collect();
    let rows = if ended == Ended::Together { gathered(rows) } else { rows };
    let mut rows: Vec<(f64, Row<'a>)> = rows.into_iter().map(|row| (row.figure(sort.column), row)).collect();
    rows.sort_by(|(a, left), (b, right)| {
        let ended = |row: &Row<'_>| row.thread.now == ThreadState::Ended;
        let by_name = match sort.column {
            Column::Name => left.thread.name.cmp(&right.thread.name),
            _ => std::cmp::Ordering::Equal,
        };
        let by_column = a.total_cmp(b).then(by_name).then(match sort.column {
            Column::Appearance => left.place.cmp(&right.place),
            _ => std::cmp::Ordering::Equal,
        });
        let by_column = if sort.order == Order::Falling { by_column.reverse() } else { by_column };
        ended(left).cmp(&ended(right)).then(by_column).then(left.place.cmp(&right.place))
    });
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Whether the filter lets a thread through: its name, its tid or its state has `wanted`, in small letters, in it.
pub fn contains(thread: &ThreadFigures, wanted: &str) -> bool {
    thread.name.to_lowercase().contains(wanted)
        || thread.tid.is_some_and(|tid| tid.0.to_string().contains(wanted))
        || crate::dashboard::theme::word(thread.now).contains(wanted)
}

/// Letters that stand for threads. `z` stands for a holder that sleeps.
const TAGS: &[u8] = b"abcdefghijklmnopqrstuvwxyABCDEFGHIJKLMNOPQRSTUVWXY";

/// The letter of the thread at a place; `*` for those beyond the alphabet.
pub fn tag(place: usize) -> char {
    TAGS.get(place).map_or('*', |letter| char::from(*letter))
}
