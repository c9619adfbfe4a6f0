//! Since when the switches of all threads of a process are told, so that nobody can have taken a GIL unseen.

use crate::time::MonoNs;

/// The threads whose switches are not told: how many, and since when there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    untold: usize,
    /// Since when there have been some.
    since: MonoNs,
    /// Since when there is none.
    all: MonoNs,
}

impl Told {
    /// A thread came into view; that its switches are told begins a little later.
    pub fn found(&mut self, at: MonoNs) {
        if self.untold == 0 {
            self.since = at;
        }
        self.untold += 1;
    }

    /// Some switches of a thread were not told, nor are those to come.
    pub fn ends(&mut self) {
        self.untold += 1;
        self.since = MonoNs(0);
    }

    /// A thread is told from `at` on, or is gone. `ticked` is the newest tick: a thread that was found at it and is told
    /// before the next has left no hole.
    pub fn begins(&mut self, at: MonoNs, ticked: MonoNs) {
        self.untold = self.untold.saturating_sub(1);
        if self.untold == 0 && ticked > self.since {
            self.all = at;
        }
    }

    /// Whether the switches of all threads are told from `since` on.
    pub fn covers(&self, since: MonoNs) -> bool {
        self.untold == 0 && self.all <= since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_once_the_last_is() {
        let mut told = Told::default();
        (0..2).for_each(|_| told.found(MonoNs(10)));
        told.begins(MonoNs(20), MonoNs(15));
        assert!(!told.covers(MonoNs(30)));
        told.begins(MonoNs(25), MonoNs(15));
        assert!(told.covers(MonoNs(25)) && !told.covers(MonoNs(24)));
    }

    #[test]
    fn a_birth_leaves_no_hole_and_a_loss_does() {
        let mut told = Told::default();
        told.found(MonoNs(100));
        told.begins(MonoNs(101), MonoNs(100));
        assert!(told.covers(MonoNs(0)));
        told.ends();
        told.begins(MonoNs(110), MonoNs(100));
        assert!(told.covers(MonoNs(110)) && !told.covers(MonoNs(109)));
    }
}
