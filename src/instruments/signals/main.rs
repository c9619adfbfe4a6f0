//! The main thread, which alone runs Python handlers: whether it executes bytecode, and where it sleeps.

use crate::event::{Address, Event, Progress, Sleep, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::sampler::Punctuality;
use crate::instruments::switches::Moves;
use crate::target::{Blocked, Memory, Position, ProgressProbe, Target, Task, ThreadState};
use crate::time::MonoNs;

/// The main thread, and what was seen of it at the last look.
#[derive(Debug)]
pub struct Main {
    thread: ThreadKey,
    state: (Address, u64),
    probe: Option<ProgressProbe>,
    task: Option<Task>,
    position: Option<Position>,
    sleep: Sleep,
    looked: Option<MonoNs>,
    told: Option<(Progress, Sleep)>,
    /// Whether it may have run between the last look and one that was left out.
    since: Since,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Stayed,
    MayHaveRun,
}

impl Main {
    /// Not looked at yet.
    pub fn new(target: &Target, thread: ThreadKey, state: &ThreadState) -> Main {
        Main {
            thread,
            state: (state.address, state.unique_id),
            probe: target.progress(state).ok(),
            task: state.tid.map(|tid| Task::new(target.info().pid, tid)),
            position: None,
            sleep: Sleep::Unknown,
            looked: None,
            told: None,
            since: Since::MayHaveRun,
        }
    }

    /// Which thread it is.
    pub fn thread(&self) -> ThreadKey {
        self.thread
    }

    /// Its task, if CPython tells.
    pub fn tid(&self) -> Option<Tid> {
        self.task.as_ref().map(Task::tid)
    }

    /// Its thread state: the address, and CPython's own count.
    pub fn state(&self) -> (Address, u64) {
        self.state
    }

    /// Nobody has heard what was told.
    pub fn forget(&mut self) {
        (self.told, self.looked, self.position) = (None, None, None);
    }

    /// It is no longer looked at.
    pub fn leave(self, at: MonoNs, events: &mut Vec<Event>) {
        if self.told.is_some() {
            let (progress, sleep) = (Progress::Unknown, Sleep::Unknown);
            events.push(Event { at, what: What::MainProgress { thread: self.thread, progress, sleep, gap: None } });
        }
    }

    /// Looks where it is, and tells that if it is new.
    pub fn look(&mut self, memory: &Memory, when: Punctuality, moves: &Moves<'_>, events: &mut Vec<Event>) {
        if !moves.stayed(self.thread) {
            self.since = Since::MayHaveRun;
        }
        if when == Punctuality::Late {
            return;
        }
        let at = clock::now();
        let since = std::mem::replace(&mut self.since, Since::Stayed);
        let asleep = matches!(self.sleep, Sleep::Futex | Sleep::Syscall { .. });
        let before = self.position;
        // Who has been asleep all the time is where it was.
        let still = since == Since::Stayed && asleep && matches!(before, Some(Position::At(_) | Position::Unclear));
        if !still {
            self.position = self.probe.and_then(|probe| probe.look(memory).ok());
            self.sleep = self.task.as_mut().and_then(|task| task.blocked().ok()).map_or(Sleep::Unknown, sleep);
        }
        let progress = match (before, self.position) {
            (Some(before), Some(now)) => now.since(&before),
            _ => Progress::Unknown,
        };
        let gap = self.looked.replace(at).map(|looked| at.since(looked));
        if self.told.replace((progress, self.sleep)) != Some((progress, self.sleep)) {
            events
                .push(Event { at, what: What::MainProgress { thread: self.thread, progress, sleep: self.sleep, gap } });
        }
    }
}

fn sleep(blocked: Blocked) -> Sleep {
    match blocked {
        Blocked::Running => Sleep::Awake,
        Blocked::Futex { .. } => Sleep::Futex,
        Blocked::Syscall { number } => u32::try_from(number).map_or(Sleep::Unknown, |number| Sleep::Syscall { number }),
        Blocked::Asleep => Sleep::Elsewhere,
    }
}
