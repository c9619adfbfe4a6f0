//! A state that is found by looking, and told when it changes.

use crate::time::{MonoNs, Ns};

/// What was told of a state, and when it was looked at last.
#[derive(Debug)]
pub struct Standing<T> {
    unknown: T,
    told: Option<T>,
    looked: Option<MonoNs>,
}

/// When to tell a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// When it is another than before.
    IfNew,
    /// In any case.
    Always,
}

impl<T: Copy + PartialEq> Standing<T> {
    /// Nothing was told.
    pub fn new(unknown: T) -> Standing<T> {
        Standing { unknown, told: None, looked: None }
    }

    /// What is in force.
    pub fn told(&self) -> Option<T> {
        self.told
    }

    /// Nothing is in force any more.
    pub fn forget(&mut self) {
        (self.told, self.looked) = (None, None);
    }

    /// It was looked at; what is to be told, with the time since the look before.
    pub fn look(&mut self, at: MonoNs, found: T, telling: Telling) -> Option<(T, Option<Ns>)> {
        let gap = self.looked.replace(at).map(|before| at.since(before));
        let news = self.told != Some(found) || gap.is_none() || telling == Telling::Always;
        self.told = Some(found);
        news.then_some((found, gap))
    }

    /// It could not be looked at.
    pub fn fail(&mut self, at: MonoNs) -> Option<(T, Option<Ns>)> {
        let gap = self.looked.take().map(|before| at.since(before));
        let news = self.told != Some(self.unknown);
        self.told = Some(self.unknown);
        news.then_some((self.unknown, gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_told_when_it_changes_and_with_the_time_in_which_it_did() {
        let mut state = Standing::new(0);
        let at = MonoNs;
        assert_eq!(state.look(at(10), 1, Telling::IfNew), Some((1, None)));
        assert_eq!(state.look(at(20), 1, Telling::IfNew), None);
        assert_eq!(state.look(at(35), 2, Telling::IfNew), Some((2, Some(Ns(15)))));
        assert_eq!(state.look(at(40), 2, Telling::Always), Some((2, Some(Ns(5)))));
        assert_eq!(state.fail(at(43)), Some((0, Some(Ns(3)))));
        assert_eq!(state.fail(at(50)), None);
        assert_eq!(state.look(at(60), 2, Telling::IfNew), Some((2, None)), "it may have been anything meanwhile");
        state.forget();
        assert_eq!(state.look(at(61), 2, Telling::IfNew), Some((2, None)));
    }
}
