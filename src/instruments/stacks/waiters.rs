//! Who of those that wait is looked at.
//!
//! A few threads are drawn from all that the process has, whatever they do. The kernel says of each whether it sleeps in a
//! GIL's condition variable; one of those that do is drawn again. Both chances are known, so what a sample stands for is,
//! too. A list of who waited at the last look would be cheaper and wrong: short waits come and go between two looks.

use std::collections::BTreeMap;

use crate::event::{Pid, Tid};
use crate::target::{Blocked, GilProbe, GilSite, Task, ThreadState};
use crate::time::Ns;

/// Most threads that are asked at one instant.
const ASKED: usize = 8;
/// Threads drawn for each that is expected to wait.
const PER_WAITER: usize = 2;
/// Threads whose files stay open.
const OPEN: usize = 128;

/// One that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn<T> {
    /// Which of all.
    pub index: usize,
    /// What was said of it.
    pub told: T,
    /// The threads there are.
    among: usize,
    /// Of them, those that were asked.
    asked: usize,
    /// Of them, those that waited.
    waited: usize,
}

impl<T> Drawn<T> {
    /// The waiting that a sample of it stands for, at instants that are `every` apart on average: that time, divided by its
    /// chance to be among those asked and by that to be drawn from those who waited.
    pub fn stands_for(&self, every: Ns) -> Ns {
        let whole = u128::from(every.0) * self.among as u128 * self.waited as u128 / self.asked.max(1) as u128;
        Ns(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}

/// Draws one of those that wait from `among` threads, of which about `expected` do; `waits` says so of one.
pub fn draw<T>(
    random: &mut fastrand::Rng,
    among: usize,
    expected: Option<u32>,
    mut waits: impl FnMut(usize) -> Option<T>,
) -> Option<Drawn<T>> {
    let expected = expected.map_or(among / PER_WAITER, |waiters| waiters as usize).max(1);
    let asked = (PER_WAITER * among).div_ceil(expected).clamp(1, ASKED).min(among);
    let mut waiting: Vec<(usize, T)> = Vec::new();
    for index in random.choose_multiple(0..among, asked) {
        waiting.extend(waits(index).map(|told| (index, told)));
    }
    let waited = waiting.len();
    let (index, told) = if waited == 0 { return None } else { waiting.swap_remove(random.usize(..waited)) };
    Some(Drawn { index, told, among, asked, waited })
}

/// A thread that may wait.
#[derive(Debug)]
struct Candidate {
    task: Task,
    /// Its thread state; `None`: it has several, and which of them waits is not known.
    state: Option<ThreadState>,
}

/// How a thread sleeps: while its count of turns on a core is this, it has not done anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sleep {
    turns: u64,
}

/// The threads of a process, to be drawn from.
#[derive(Debug)]
pub(super) struct Waiters {
    pid: Pid,
    all: Vec<Candidate>,
    random: fastrand::Rng,
}

impl Waiters {
    pub(super) fn new(pid: Pid, seed: u64) -> Waiters {
        Waiters { pid, all: Vec::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// These are there from here on.
    pub(super) fn set(&mut self, states: &[ThreadState]) {
        let mut by_tid: BTreeMap<Tid, Option<ThreadState>> = BTreeMap::new();
        for (tid, state) in states.iter().filter_map(|state| Some((state.tid?, *state))) {
            by_tid.entry(tid).and_modify(|one| *one = None).or_insert(Some(state));
        }
        // Another thread may have the number of one that has ended, whose open files say nothing any more.
        let who = |state: &ThreadState| (state.tid, state.address, state.unique_id);
        let mut tasks: BTreeMap<_, Task> =
            self.all.drain(..).filter_map(|known| Some((who(&known.state?), known.task))).collect();
        let pid = self.pid;
        let candidate = |(tid, state): (Tid, Option<ThreadState>)| {
            let known = state.as_ref().and_then(|state| tasks.remove(&who(state)));
            Candidate { task: known.unwrap_or_else(|| Task::new(pid, tid)), state }
        };
        self.all = by_tid.into_iter().map(candidate).collect();
    }

    /// One of those that wait for this GIL now, of which there are about so many.
    pub(super) fn draw(&mut self, probe: &GilProbe, expected: Option<u32>) -> Option<Drawn<Sleep>> {
        let keeps_files = self.all.len() <= OPEN;
        let all = &mut self.all;
        draw(&mut self.random, all.len(), expected, |index| {
            let candidate = all.get_mut(index)?;
            let sleep = sleep(&mut candidate.task, probe);
            if !keeps_files {
                candidate.task.close();
            }
            sleep
        })
    }

    /// The thread state of one that was drawn, if it is known which.
    pub(super) fn state(&self, drawn: &Drawn<Sleep>) -> Option<ThreadState> {
        self.all.get(drawn.index)?.state
    }

    /// Whether it has slept on without a break, so that its frames are what they were.
    pub(super) fn sleeps_on(&mut self, drawn: &Drawn<Sleep>) -> bool {
        let Some(candidate) = self.all.get_mut(drawn.index) else { return false };
        candidate.task.schedstat().is_ok_and(|usage| usage.timeslices == drawn.told.turns)
    }
}

/// How a thread sleeps that waits for this GIL. Its turns are read first: if it still has as many later, it has slept in
/// what it was found in all the time.
fn sleep(task: &mut Task, probe: &GilProbe) -> Option<Sleep> {
    let turns = task.schedstat().ok()?.timeslices;
    let Ok(Blocked::Futex { address, .. }) = task.blocked() else { return None };
    matches!(probe.futexes()?.site(address)?, GilSite::Cond | GilSite::Mutex).then_some(Sleep { turns })
}
