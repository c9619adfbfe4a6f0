//! What the instructions do that write the pending word: learned from the word before and after.

use crate::event::{Address, Flag, ThreadKey};
use crate::time::MonoNs;

/// Instructions that are remembered.
const SITES: usize = 16;
/// Unknown instructions between two looks from which something is learned.
const UNKNOWN: usize = 3;
/// Looks in a row that contradict what was learned, before it is forgotten. One or two may be a little older than a write.
const CONTRADICTED: u32 = 3;

/// What the instruction that writes the pending word does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// The C handler notes a signal.
    Trips,
    /// The main thread is about to call the handlers.
    Clears,
    /// A handler has raised: others may still be waiting.
    SetsAgain,
}

/// A write of the pending word.
#[derive(Debug, Clone, Copy)]
pub struct Write {
    pub at: MonoNs,
    pub by: ThreadKey,
    pub ip: Address,
}

/// Who writes it, and whether these are all writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Every,
    Some,
}

/// The instructions that are known.
#[derive(Debug, Clone, Default)]
pub struct Sites {
    known: Vec<(Address, Site)>,
    contradicted: u32,
}

impl Sites {
    /// What this one does, if that is known.
    pub fn of(&self, ip: Address) -> Option<Site> {
        self.known.iter().find(|(known, _)| *known == ip).map(|(_, site)| *site)
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        *self = Sites::default();
    }

    /// The word was `before` at one look and `after` at the next, and these writes were told in between. Of all that the
    /// unknown instructions could be, if a single choice makes this of that, it is learned.
    pub fn learn(&mut self, main: Option<ThreadKey>, before: Flag, after: Flag, writes: &[Write], told: Told) {
        if before == Flag::Unknown || after == Flag::Unknown || writes.is_empty() {
            return;
        }
        let mut unknown: Vec<(Address, bool)> = Vec::new();
        for write in writes.iter().filter(|write| self.of(write.ip).is_none()) {
            if !unknown.iter().any(|(ip, _)| *ip == write.ip) {
                unknown.push((write.ip, main == Some(write.by)));
            }
        }
        if unknown.is_empty() {
            let fits = outcome(before, writes, |ip| self.of(ip)) == Some(after);
            self.contradicted = if fits || told == Told::Some { 0 } else { self.contradicted + 1 };
            if self.contradicted >= CONTRADICTED {
                self.forget();
            }
            return;
        }
        if unknown.len() > UNKNOWN || self.known.len() + unknown.len() > SITES {
            return;
        }
        let trips_known = self.known.iter().any(|(_, site)| *site == Site::Trips);
        let mut choices: Vec<Vec<(Address, Site)>> = vec![Vec::new()];
        for (ip, is_main) in unknown {
            let could: &[Site] = match is_main {
                // Only the main thread does anything else.
                false => &[Site::Trips],
                true if trips_known => &[Site::Clears, Site::SetsAgain],
                true => &[Site::Trips, Site::Clears, Site::SetsAgain],
            };
            choices = choices
                .iter()
                .flat_map(|choice| could.iter().map(move |site| [choice.as_slice(), &[(ip, *site)]].concat()))
                .collect();
        }
        let by_main = |ip: Address| writes.iter().any(|write| write.ip == ip && main == Some(write.by));
        let mut fitting = choices.into_iter().filter(|choice| {
            let of = |ip| self.of(ip).or_else(|| choice.iter().find(|(other, _)| *other == ip).map(|(_, site)| *site));
            let trips = choice.iter().filter(|(ip, site)| *site == Site::Trips && by_main(*ip)).count();
            // Nothing is set again before it was set.
            let first = choice.iter().find(|(_, site)| *site != Site::Clears).map(|(_, site)| *site);
            let in_order = trips_known || first != Some(Site::SetsAgain);
            trips <= 1 && in_order && outcome(before, writes, of) == Some(after)
        });
        if let (Some(choice), None) = (fitting.next(), fitting.next()) {
            self.known.extend(choice);
        }
    }
}

/// The word after these writes; `None`: they cannot follow each other so.
fn outcome(before: Flag, writes: &[Write], of: impl Fn(Address) -> Option<Site>) -> Option<Flag> {
    let (mut word, mut has_cleared) = (before, false);
    for write in writes {
        word = match of(write.ip)? {
            Site::Trips => Flag::Set,
            Site::Clears if word == Flag::Clear => return None,
            Site::Clears => {
                has_cleared = true;
                Flag::Clear
            }
            // Its handler may have been called before the first of the two looks, but then the word was clear there.
            Site::SetsAgain if word == Flag::Set && !has_cleared => return None,
            Site::SetsAgain => Flag::Set,
        };
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: ThreadKey = ThreadKey(0);
    const OTHER: ThreadKey = ThreadKey(1);
    const TRIP: Address = Address(1);
    const CLEAR: Address = Address(2);
    const AGAIN: Address = Address(3);

    fn learned(sites: &mut Sites, before: Flag, after: Flag, writes: &[(ThreadKey, Address)]) -> [Option<Site>; 3] {
        let writes: Vec<Write> = writes.iter().map(|&(by, ip)| Write { at: MonoNs(0), by, ip }).collect();
        sites.learn(Some(MAIN), before, after, &writes, Told::Every);
        [TRIP, CLEAR, AGAIN].map(|ip| sites.of(ip))
    }

    #[test]
    fn what_can_be_read_in_one_way_is_learned() {
        use Flag::{Clear, Set};
        let (t, c, a) = (Some(Site::Trips), Some(Site::Clears), Some(Site::SetsAgain));
        let mut new = Sites::default();
        assert_eq!(learned(&mut new, Clear, Clear, &[(MAIN, TRIP), (MAIN, CLEAR)]), [t, c, None]);
        assert_eq!(learned(&mut new, Clear, Set, &[(MAIN, TRIP), (MAIN, CLEAR), (MAIN, AGAIN)]), [t, c, a]);
        let mut new = Sites::default();
        assert_eq!(learned(&mut new, Clear, Set, &[(OTHER, TRIP)]), [t, None, None]);
        assert_eq!(learned(&mut new, Set, Clear, &[(MAIN, CLEAR)]), [t, c, None]);
        assert_eq!(learned(&mut new, Clear, Set, &[(MAIN, AGAIN)]), [t, c, a]);
    }

    /// A look is stamped a little before it reads the word.
    #[test]
    fn a_look_that_is_older_than_a_write_that_it_has_seen_does_not_swap_them() {
        use Flag::{Clear, Set};
        let (t, c) = (Some(Site::Trips), Some(Site::Clears));
        let mut new = Sites::default();
        assert_eq!(learned(&mut new, Clear, Set, &[]), [None; 3]);
        assert_eq!(learned(&mut new, Set, Clear, &[(MAIN, TRIP), (MAIN, CLEAR)]), [t, c, None]);
        let mut new = Sites::default();
        assert_eq!(learned(&mut new, Set, Clear, &[]), [None; 3]);
        assert_eq!(learned(&mut new, Clear, Clear, &[(MAIN, CLEAR)]), [None; 3]);
    }

    #[test]
    fn what_goes_on_to_contradict_the_looks_is_forgotten() {
        use Flag::{Clear, Set};
        let mut swapped = Sites { known: vec![(CLEAR, Site::Trips), (TRIP, Site::Clears)], contradicted: 0 };
        for _ in 0..CONTRADICTED {
            let _still = learned(&mut swapped, Clear, Clear, &[(MAIN, TRIP), (MAIN, CLEAR)]);
        }
        assert_eq!(learned(&mut swapped, Clear, Set, &[(MAIN, TRIP)]), [Some(Site::Trips), None, None]);
    }
}
