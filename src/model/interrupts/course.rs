//! What the main thread does, from one tick to the next.

use std::collections::VecDeque;

use crate::event::{Hold, Progress, Sleep, ThreadKey};
use crate::model::gil::Wait;
use crate::model::thread::Standing;
use crate::time::{MonoNs, Ns};

/// Stretches that are remembered: what a delay longer than they reach back consisted of is unknown.
const KEPT: usize = 8_192;

/// What the main thread does, as to its looking for signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It wants the GIL: it waits for it, or has just lost it at a request.
    Waiting,
    /// It holds the GIL and executes bytecode: it looks all the time.
    Bytecode,
    /// It holds the GIL and was not seen to move.
    Deaf,
    /// It holds the GIL; whether it moves is not known.
    Holding,
    /// It sleeps, without the GIL.
    Blocked,
    /// On a core, or queued for one, without the GIL.
    Native,
    /// It is not known.
    Unknown,
}

/// Who holds the GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    Free,
    /// This thread.
    By(ThreadKey),
    /// Somebody, or that was not seen.
    Unseen,
}

impl From<Hold> for Held {
    fn from(hold: Hold) -> Held {
        match hold {
            Hold::Free => Held::Free,
            Hold::By { thread, .. } => Held::By(thread),
            Hold::ByUnknown => Held::Unseen,
        }
    }
}

/// A time in which it did one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub from: MonoNs,
    pub to: MonoNs,
    pub doing: Doing,
    pub held: Held,
}

impl Stretch {
    pub fn length(&self) -> Ns {
        self.to.since(self.from)
    }
}

/// The main thread at a tick.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub at: MonoNs,
    pub doing: Doing,
    pub held: Held,
    /// Since when it has been waiting, if it is.
    pub asked: Option<MonoNs>,
}

/// Whether a thread sleeps, by the records of its switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Asleep,
    Awake,
    /// They are not told.
    Untold,
}

/// What it does, from all that is known at a tick. Of whether it sleeps its switches tell, and else the last look.
pub fn doing(standing: Option<Standing>, progress: Progress, sleep: Sleep, rest: Rest) -> Doing {
    match (standing, progress) {
        (Some(Standing::Waiting | Standing::HandingOver), _) => Doing::Waiting,
        (Some(Standing::Unseen), _) => Doing::Unknown,
        (Some(Standing::Holding), Progress::Moved) => Doing::Bytecode,
        (Some(Standing::Holding), Progress::NotSeen) => Doing::Deaf,
        (Some(Standing::Holding), Progress::Unknown) => Doing::Holding,
        (None, _) => match (rest, sleep) {
            (Rest::Awake, _) | (Rest::Untold, Sleep::Awake) => Doing::Native,
            (_, Sleep::Elsewhere) => Doing::Unknown,
            (Rest::Asleep, _) | (Rest::Untold, Sleep::Futex | Sleep::Syscall { .. }) => Doing::Blocked,
            (Rest::Untold, Sleep::Unknown) => Doing::Unknown,
        },
    }
}

/// What it did of late.
#[derive(Debug, Clone, Default)]
pub struct Course {
    stretches: VecDeque<Stretch>,
    last: Option<Look>,
}

impl Course {
    /// Up to here it is known.
    pub fn until(&self) -> Option<MonoNs> {
        self.last.map(|last| last.at)
    }

    /// A tick, with the waits of the main thread whose end it tells. Between two ticks it has changed half way, but for
    /// waits, whose edges are better known. Returns what is new. Ticks further apart than `gap` are not bridged.
    pub fn tick(&mut self, look: Look, over: &[Wait], gap: Ns) -> Vec<Stretch> {
        let Some(last) = self.last.replace(look) else { return Vec::new() };
        let mut new = Vec::new();
        if look.at.since(last.at) > gap {
            push(&mut new, Stretch { from: last.at, to: look.at, doing: Doing::Unknown, held: Held::Unseen });
        } else {
            self.step(last, look, over, &mut new);
        }
        for stretch in &new {
            self.remember(*stretch);
        }
        new
    }

    fn step(&self, last: Look, look: Look, over: &[Wait], new: &mut Vec<Stretch>) {
        let middle = last.at.midpoint(look.at);
        let mut waits: Vec<(MonoNs, MonoNs)> = over.iter().map(|wait| (wait.from, wait.until)).collect();
        waits.extend(look.asked.map(|asked| (asked, look.at)));
        waits.sort_unstable();
        // What a wait leaves of the step: whoever waits at an end of it did something else in between.
        let other = |here: Look, there: Look| match (here.doing, there.doing) {
            (Doing::Waiting, Doing::Waiting) => Doing::Holding,
            (Doing::Waiting, there) => there,
            (here, _) => here,
        };
        let is_edged = !waits.is_empty();
        let mut at = last.at;
        let mut fill = |from: MonoNs, to: MonoNs, doing: Option<Doing>| {
            for (here, there, from, to) in [(last, look, from, to.min(middle)), (look, last, from.max(middle), to)] {
                let doing = doing.unwrap_or(if is_edged { other(here, there) } else { here.doing });
                push(new, Stretch { from, to, doing, held: here.held });
            }
        };
        for (from, to) in waits {
            let (from, to) = (from.clamp(at, look.at), to.clamp(at, look.at));
            fill(at, from, None);
            fill(from, to, Some(Doing::Waiting));
            at = to;
        }
        fill(at, look.at, None);
    }

    fn remember(&mut self, stretch: Stretch) {
        match self.stretches.back_mut() {
            Some(back) if back.to == stretch.from && (back.doing, back.held) == (stretch.doing, stretch.held) => {
                back.to = stretch.to;
            }
            _ => {
                if self.stretches.len() >= KEPT {
                    self.stretches.pop_front();
                }
                self.stretches.push_back(stretch);
            }
        }
    }

    /// What it did between two instants, the newest first, as far as that is remembered.
    pub fn between(&self, from: MonoNs, to: MonoNs) -> impl Iterator<Item = Stretch> + '_ {
        let newest = self.stretches.iter().rev().skip_while(move |stretch| stretch.from >= to);
        newest.take_while(move |stretch| stretch.to > from).map(move |stretch| Stretch {
            from: stretch.from.max(from),
            to: stretch.to.min(to),
            ..*stretch
        })
    }
}

fn push(all: &mut Vec<Stretch>, stretch: Stretch) {
    if stretch.to > stretch.from {
        all.push(stretch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::thread::After;

    fn look(at: u64, doing: Doing, asked: Option<u64>) -> Look {
        Look { at: MonoNs(at), doing, held: Held::Free, asked: asked.map(MonoNs) }
    }

    fn lengths(course: &Course, doing: Doing) -> u64 {
        course.between(MonoNs(0), MonoNs(u64::MAX)).filter(|s| s.doing == doing).map(|s| s.length().0).sum()
    }

    #[test]
    fn a_step_is_told_once_and_waits_have_their_own_edges() {
        let mut course = Course::default();
        course.tick(look(0, Doing::Bytecode, None), &[], Ns(1_000));
        course.tick(look(100, Doing::Waiting, Some(90)), &[], Ns(1_000));
        let wait = Wait { thread: ThreadKey(0), from: MonoNs(90), until: MonoNs(130), after: After::Apart };
        course.tick(look(200, Doing::Blocked, None), &[wait], Ns(1_000));
        course.tick(look(5_000, Doing::Blocked, None), &[], Ns(1_000));
        assert_eq!(lengths(&course, Doing::Waiting), 40);
        assert_eq!(lengths(&course, Doing::Bytecode), 90);
        assert_eq!(lengths(&course, Doing::Blocked), 70);
        assert_eq!(lengths(&course, Doing::Unknown), 4_800);
        let part: Vec<Stretch> = course.between(MonoNs(80), MonoNs(110)).collect();
        assert_eq!(part.iter().map(|s| s.length().0).sum::<u64>(), 30);
    }
}
