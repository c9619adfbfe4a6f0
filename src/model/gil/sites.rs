//! The places in a program at which it writes `locked`, and what each of them does.

use std::collections::BTreeMap;

use crate::event::Address;

/// Places kept: there are two to four in a build.
const KEPT: usize = 64;
/// Votes after which a place is believed.
const ENOUGH: u32 = 6;
/// A place is believed with so many votes for one thing against one for the other: of looks that fall between two hits
/// 10 us apart, one in ten was seen to have read after the second.
const SURE: u32 = 4;
/// Votes are halved beyond this, so that a place may be unlearned.
const MANY: u32 = 1 << 16;

/// What a write to `locked` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Of 1.
    Take,
    /// Of 0.
    Drop,
    /// Neither can be.
    Neither,
}

/// What was learned of the places so far.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    votes: BTreeMap<Address, Votes>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Votes {
    takes: u32,
    drops: u32,
}

impl Sites {
    /// A write at `site` was seen to be this.
    pub fn vote(&mut self, site: Address, meaning: Meaning) {
        if self.votes.len() >= KEPT && !self.votes.contains_key(&site) {
            return;
        }
        let votes = self.votes.entry(site).or_default();
        match meaning {
            Meaning::Take => votes.takes += 1,
            Meaning::Drop => votes.drops += 1,
            Meaning::Neither => {}
        }
        if votes.takes.max(votes.drops) >= MANY {
            *votes = Votes { takes: votes.takes / 2, drops: votes.drops / 2 };
        }
    }

    /// What a write at `site` is, if that is known.
    pub fn meaning(&self, site: Address) -> Option<Meaning> {
        let votes = self.votes.get(&site)?;
        let sure = |this: u32, other: u32| this >= ENOUGH && this >= other.saturating_mul(SURE);
        match (sure(votes.takes, votes.drops), sure(votes.drops, votes.takes)) {
            (true, false) => Some(Meaning::Take),
            (false, true) => Some(Meaning::Drop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_believed_when_it_was_seen_to_do_one_thing_only() {
        let mut sites = Sites::default();
        let here = Address(7);
        (0..6).for_each(|_| sites.vote(here, Meaning::Take));
        assert_eq!(sites.meaning(here), Some(Meaning::Take));
        (0..2).for_each(|_| sites.vote(here, Meaning::Drop));
        assert_eq!(sites.meaning(here), None, "one in four was a drop");
        (0..40).for_each(|_| sites.vote(here, Meaning::Take));
        assert_eq!(sites.meaning(here), Some(Meaning::Take), "that one was a mistake");
        assert_eq!(sites.meaning(Address(8)), None);
    }
}
