//! A fold that moves along the past.

use crate::session::checkpoints::Checkpoints;
use crate::session::fold::Fold;
use crate::session::source::{Events, Numbered};
use crate::time::MonoNs;

/// The state at some instant, and the events that follow it.
pub struct Reel {
    /// The state.
    pub fold: Fold,
    ahead: Option<Events>,
    peeked: Option<Numbered>,
}

/// How far a move got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// All there is up to the instant is folded in.
    Target,
    /// The budget ran out first.
    Underway,
    /// There is nothing more to come.
    End,
}

impl Reel {
    /// From `fold` on with the events that follow it; `None`: it cannot move.
    pub fn new(fold: Fold, ahead: Option<Events>) -> Reel {
        Reel { fold, ahead, peeked: None }
    }

    fn peek(&mut self) -> Option<&Numbered> {
        if self.peeked.is_none() {
            self.peeked = self.ahead.as_mut().and_then(Iterator::next);
        }
        self.peeked.as_ref()
    }

    /// Folds in what is not later than `to`, at most `budget` events of it; copies of the fold go to `checkpoints`.
    pub fn advance(&mut self, to: MonoNs, budget: usize, mut checkpoints: Option<&mut Checkpoints>) -> Reached {
        for _ in 0..budget {
            match self.peek() {
                None => return Reached::End,
                Some(next) if next.event.at > to => return Reached::Target,
                Some(_) => {}
            }
            let Some(next) = self.peeked.take() else { return Reached::End };
            if let Some(checkpoints) = checkpoints.as_deref_mut() {
                checkpoints.offer(&self.fold, next.event.at);
            }
            self.fold.apply(&next.event, next.position);
        }
        Reached::Underway
    }
}
