//! What those who look at one process each know of one another: how many there are, and how many have nothing to see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::time::{MonoNs, Ns};

/// Time without a waiter and without a handoff after which a process is quiet.
const CALM: Ns = Ns(1_000_000_000);
/// Time between two looks at a quiet process at most.
const LONGEST: Ns = Ns(50_000_000);
/// Share of one core that the looks at one process may use before they become fewer.
const OWN_SHARE: f64 = 0.12;
/// Share of one core that the looks at all of them may use.
const ALL_SHARE: f64 = 0.36;
/// Switch records of a thread that there is always room for between two looks: half of the smallest ring.
const ROOM: u64 = 85;

/// How many look, and how many of them at a quiet process.
#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    quiet: AtomicUsize,
}

/// All that look at one process each.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    counts: Arc<Counts>,
    /// Cores that the processes run on, at most.
    cores: usize,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    state: State,
    /// When there was something to see last.
    lively: MonoNs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Lively,
    Quiet,
}

/// Whether a place has changed what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// There is something to see again.
    Woke,
}

impl Crowd {
    /// Nobody yet, on so many cores.
    pub fn on(cores: usize) -> Crowd {
        Crowd { counts: Arc::default(), cores }
    }

    /// One more looks, from `now` on.
    pub fn enter(&self, now: MonoNs) -> Place {
        self.counts.all.fetch_add(1, Ordering::Relaxed);
        Place { crowd: self.clone(), state: State::Lively, lively: now }
    }

    fn all(&self) -> usize {
        self.counts.all.load(Ordering::Relaxed)
    }

    fn quiet(&self) -> usize {
        self.counts.quiet.load(Ordering::Relaxed)
    }
}

impl Place {
    /// How many look.
    pub fn all(&self) -> usize {
        self.crowd.all()
    }

    /// There was something to see.
    pub fn saw(&mut self, now: MonoNs) -> Change {
        self.lively = now;
        if std::mem::replace(&mut self.state, State::Lively) == State::Quiet {
            self.crowd.counts.quiet.fetch_sub(1, Ordering::Relaxed);
            return Change::Woke;
        }
        Change::None
    }

    /// The time between two looks. Those at quiet processes share the looks of one, `asked` apart, unless that would be
    /// too few: at 20 a second, or where `records` a second of its switches would not find room in between.
    pub fn interval(&mut self, now: MonoNs, asked: Ns, records: u64) -> Ns {
        if self.state == State::Lively && now.since(self.lively) >= CALM && self.all() > 1 {
            self.state = State::Quiet;
            self.crowd.counts.quiet.fetch_add(1, Ordering::Relaxed);
        }
        if self.state == State::Lively {
            return asked;
        }
        let shared = Ns(asked.0.saturating_mul(self.crowd.quiet().max(1) as u64)).min(LONGEST);
        let room = Ns(ROOM * Ns::SECOND.0 / records.max(1));
        shared.min(room).max(asked)
    }

    /// Share of one core that this one's looks may use.
    pub fn share(&self) -> f64 {
        (ALL_SHARE / self.lively() as f64).min(OWN_SHARE)
    }

    /// The part of the budget that is this process's: so many as there are cores can run at a time.
    pub fn part(&self) -> f64 {
        (self.crowd.cores as f64 / self.lively() as f64).min(1.0)
    }

    fn lively(&self) -> usize {
        self.all().saturating_sub(self.crowd.quiet()).max(1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.counts.all.fetch_sub(1, Ordering::Relaxed);
        if self.state == State::Quiet {
            self.crowd.counts.quiet.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Ns = Ns::MILLISECOND;

    fn at(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    #[test]
    fn one_alone_is_never_slowed() {
        let mut place = Crowd::on(2).enter(at(0));
        assert_eq!((place.interval(at(60_000), ASKED, 0), place.share()), (ASKED, OWN_SHARE));
        assert_eq!(place.part(), 1.0);
    }

    #[test]
    fn quiet_ones_share_the_looks_of_one_until_there_is_something_to_see() {
        let crowd = Crowd::on(2);
        let mut places: Vec<Place> = (0..10).map(|_| crowd.enter(at(0))).collect();
        assert_eq!(places[0].interval(at(999), ASKED, 0), ASKED);
        places.iter_mut().for_each(|place| {
            place.interval(at(1_000), ASKED, 0);
        });
        assert_eq!(places[0].interval(at(1_001), ASKED, 0), Ns(10_000_000));
        assert_eq!(places[0].saw(at(1_002)), Change::Woke);
        assert_eq!(places[0].saw(at(1_003)), Change::None);
        assert_eq!(places[0].interval(at(1_004), ASKED, 0), ASKED);
        assert_eq!(places[1].interval(at(1_004), ASKED, 0), Ns(9_000_000));
        assert_eq!(places[1].interval(at(1_004), ASKED, 17_000), Ns(5_000_000), "its rings would overflow");
        assert_eq!(places[1].interval(at(1_004), Ns(80_000_000), 0), Ns(80_000_000), "never more than asked for");
        places.truncate(2);
        assert_eq!(places[1].interval(at(1_005), ASKED, 0), ASKED);
    }

    #[test]
    fn many_lively_ones_share_what_gilscope_may_use() {
        let crowd = Crowd::on(2);
        let places: Vec<Place> = (0..12).map(|_| crowd.enter(at(0))).collect();
        assert!((places[0].share() - 0.03).abs() < 1e-9);
        assert!((places[0].part() - 1.0 / 6.0).abs() < 1e-9, "twelve take turns on two cores");
    }
}
