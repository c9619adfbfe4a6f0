//! A thread's waits between two ticks, where there is nothing to guess about them.

use crate::model::runs::Spell;
use crate::time::MonoNs;

/// A wait, from falling asleep on the GIL to waking up to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) from: MonoNs,
    pub(super) until: MonoNs,
}

/// A thread's waits between two ticks: settled by the names of its sleeps, or by following the GIL from hand to hand.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled {
    /// When the wait ended that it was in at the tick before.
    pub(super) ended: Option<MonoNs>,
    /// Waits that it was in at neither tick.
    pub(super) whole: Vec<Wait>,
    /// When the wait began that it is in at the tick.
    pub(super) began: Option<MonoNs>,
}

impl Settled {
    /// How often it has taken the GIL and lost it again, of which no tick tells.
    pub(super) fn takes(&self) -> u64 {
        u64::from(self.between().is_some()) + self.whole.len() as u64
    }

    /// When it fell asleep for the first of them that it was not in at the tick before.
    pub(super) fn asked(&self) -> Option<MonoNs> {
        self.whole.first().map(|wait| wait.from).or(self.began)
    }

    /// From the end of the wait that it was in to the beginning of that which it is in.
    pub(super) fn between(&self) -> Option<Spell> {
        self.ended.zip(self.began).map(|(from, to)| Spell::between(from, to))
    }
}
