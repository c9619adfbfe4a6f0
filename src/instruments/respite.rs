//! An instrument that was too dear for its purse rests for a while, and each time for twice as long.

use crate::time::{MonoNs, Ns};

/// The first rest, and the longest.
const RESTS: (Ns, Ns) = (Ns(2_000_000_000), Ns(60_000_000_000));

/// Whether an instrument works or rests.
#[derive(Debug)]
pub struct Respite {
    state: State,
    /// How long it rests the next time.
    next: Ns,
}

/// Since when it works, or until when it rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Works(MonoNs),
    Rests(MonoNs),
}

impl Respite {
    /// It works from now on.
    pub fn none(now: MonoNs) -> Respite {
        Respite { state: State::Works(now), next: RESTS.0 }
    }

    /// Whether it rests.
    pub fn is_resting(&self) -> bool {
        matches!(self.state, State::Rests(_))
    }

    /// It rests from now on, unless it does already. Who has worked for longer than the longest rest begins anew with the
    /// first.
    pub fn begin(&mut self, now: MonoNs) {
        if let State::Works(since) = self.state {
            if now.since(since) > RESTS.1 {
                self.next = RESTS.0;
            }
            self.state = State::Rests(now + self.next);
            self.next = Ns(self.next.0 * 2).min(RESTS.1);
        }
    }

    /// Whether it works again just now.
    pub fn ends(&mut self, now: MonoNs) -> bool {
        match self.state {
            State::Rests(until) if now >= until => {
                self.state = State::Works(now);
                true
            }
            State::Rests(_) | State::Works(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> MonoNs {
        MonoNs(n * 1_000_000_000)
    }

    #[test]
    fn each_rest_is_twice_as_long_until_it_has_worked_for_long() {
        let mut respite = Respite::none(s(0));
        assert!(!respite.is_resting() && !respite.ends(s(1)));
        respite.begin(s(10));
        // Told twice, it rests once.
        respite.begin(s(11));
        assert!(respite.is_resting() && !respite.ends(s(11)) && respite.ends(s(12)) && !respite.is_resting());
        respite.begin(s(13));
        assert!(!respite.ends(s(16)) && respite.ends(s(17)));
        respite.begin(s(78));
        assert!(!respite.ends(s(79)) && respite.ends(s(80)), "it had worked for more than a minute");
    }
}
