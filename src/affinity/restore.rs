//! Putting back the cores that the threads of a process could run on.

use serde::{Deserialize, Serialize};

use crate::affinity::kernel;
use crate::affinity::set::CpuSet;
use crate::affinity::tasks::{self, TaskId};
use crate::event::{Pid, Tid};

/// Passes over the threads at most: a thread that is born of one that is not put back yet inherits what has to go.
const PASSES: usize = 100;

/// What was there before the first change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The process.
    pub pid: Pid,
    /// When it was started, in the kernel's ticks since boot.
    pub started: u64,
    /// Its threads, and where each could run.
    pub threads: Vec<ThreadKept>,
    /// Processes that it had made by then, with their starts: those that it has made since have inherited what was set.
    pub children: Vec<(Pid, u64)>,
}

/// A thread, and where it could run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadKept {
    /// The thread.
    pub tid: Tid,
    /// When it was started, in the kernel's ticks since boot.
    pub started: u64,
    /// Where it could run.
    pub cpus: CpuSet,
}

/// What came of putting back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Threads that have again what they had.
    pub known: usize,
    /// Threads started meanwhile, those of new children included, that have what their process had.
    pub new: usize,
    /// Threads that the program has moved itself meanwhile: they were left where they are.
    pub own: usize,
    /// Threads that could not be put back, and why.
    pub failed: Vec<String>,
    /// Whether the process was over.
    pub gone: bool,
}

impl Kept {
    /// What is there now; `None`: there is no such process.
    pub fn of(pid: Pid) -> Option<Kept> {
        let started = tasks::started(pid, Tid(pid.0))?;
        let all = tasks::tasks(pid);
        let threads = all
            .into_iter()
            .filter_map(|TaskId { tid, started }| Some(ThreadKept { tid, started, cpus: kernel::of(tid).ok()? }));
        let children = tasks::descendants(pid).into_iter();
        let children = children.filter_map(|child| Some((child, tasks::started(child, Tid(child.0))?)));
        Some(Kept { pid, started, threads: threads.collect(), children: children.collect() })
    }

    /// Whether the process is still there.
    pub fn is_there(&self) -> bool {
        tasks::started(self.pid, Tid(self.pid.0)) == Some(self.started)
    }

    /// Where a thread could run that was started meanwhile: where all could, or where the main thread could.
    pub fn ordinary(&self) -> Option<&CpuSet> {
        let main = self.threads.iter().find(|thread| thread.tid.0 == self.pid.0);
        main.or(self.threads.first()).map(|thread| &thread.cpus)
    }

    fn of_thread(&self, task: TaskId) -> Option<&CpuSet> {
        let is = |thread: &&ThreadKept| thread.tid == task.tid && thread.started == task.started;
        self.threads.iter().find(is).map(|thread| &thread.cpus)
    }

    /// Puts back what was there, in all threads that are still where one of the `applied` sets has put them.
    pub fn restore(&self, applied: &[CpuSet]) -> Restored {
        let mut restored = Restored::default();
        if !self.is_there() {
            return Restored { gone: true, ..restored };
        }
        let mut done: Vec<TaskId> = Vec::new();
        for _ in 0..PASSES {
            let mut found = false;
            for (pid, task) in self.concerned() {
                // It may have ended, and its number be another's, since the list was read.
                if done.contains(&task) || tasks::started(pid, task.tid) != Some(task.started) {
                    continue;
                }
                done.push(task);
                found = true;
                let Ok(now) = kernel::of(task.tid) else { continue };
                let before = self.of_thread(task);
                let Some(wanted) = before.or_else(|| self.ordinary()) else { continue };
                let is_ours = applied.iter().any(|set| now.is_within(set));
                match (is_ours, before) {
                    _ if now == *wanted => {}
                    (false, _) => {
                        restored.own += 1;
                        continue;
                    }
                    (true, _) => {
                        if let Err(error) = kernel::set(task.tid, wanted)
                            && tasks::started(pid, task.tid) == Some(task.started)
                        {
                            restored.failed.push(format!("thread {} to {wanted}: {error}", task.tid.0));
                            continue;
                        }
                    }
                }
                match before {
                    Some(_) => restored.known += 1,
                    None => restored.new += 1,
                }
            }
            if !found {
                break;
            }
        }
        restored
    }

    /// All threads that may have been moved: those of the process, and those of children that it has made since.
    fn concerned(&self) -> Vec<(Pid, TaskId)> {
        let mut all: Vec<(Pid, TaskId)> = tasks::tasks(self.pid).into_iter().map(|task| (self.pid, task)).collect();
        for child in tasks::descendants(self.pid) {
            if tasks::started(child, Tid(child.0)).is_some_and(|started| !self.children.contains(&(child, started))) {
                all.extend(tasks::tasks(child).into_iter().map(|task| (child, task)));
            }
        }
        all
    }
}
