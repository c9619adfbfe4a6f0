//! Where the target keeps its signals, and what it does with each.

use crate::event::{Event, Handlers, Lookup, ProcessKey, SignalSet, SignalsInfo, ThreadKey, What};
use crate::instruments::job::Job;
use crate::target::{HandlerTable, PendingWord, ReadError, SignalSites, Target};
use crate::time::{MonoNs, Ns};

/// Between two looks at what handles each signal.
const SPACING: Ns = Ns(1_000_000_000);
/// Between two searches for what was not there yet: most of that time passes while a Python starts up.
const SEARCH: Ns = Ns(20_000_000);
/// A search that has been in vain for so long was in vain: from then on it is searched for this seldom.
const PATIENCE: Ns = Ns(10_000_000_000);
/// All this may take one part in so many of the time.
const SHARE: u64 = 100;

/// What is known, and what of it was told.
#[derive(Debug)]
pub struct Known {
    sites: Option<SignalSites>,
    /// Why there are none.
    missing: Missing,
    told: Option<SignalsInfo>,
    caught: Option<SignalSet>,
    search: Job,
    handlers: Job,
    began: Option<MonoNs>,
}

/// Why something is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    NotYet,
    Nowhere,
    Unreadable,
}

impl Missing {
    fn lookup<T>(self) -> Lookup<T> {
        match self {
            Missing::NotYet => Lookup::NotYet,
            Missing::Nowhere => Lookup::Nowhere,
            Missing::Unreadable => Lookup::Unreadable,
        }
    }
}

impl Known {
    /// Nothing yet.
    pub fn new() -> Known {
        Known {
            sites: None,
            missing: Missing::NotYet,
            told: None,
            caught: None,
            search: Job::new(SEARCH, SHARE),
            handlers: Job::new(SPACING, SHARE),
            began: None,
        }
    }

    /// The word that says whether any signal is pending.
    pub fn pending_word(&self) -> Option<PendingWord> {
        self.sites.and_then(|sites| sites.pending())
    }

    /// The table of handlers.
    pub fn table(&self) -> Option<HandlerTable> {
        self.sites.and_then(|sites| sites.handlers)
    }

    /// Nobody has heard what was told.
    pub fn forget(&mut self) {
        self.told = None;
    }

    /// What was found is no longer there.
    pub fn search_again(&mut self) {
        self.sites = None;
    }

    /// Looks, where it is due, and tells what is new. `caught` is what the kernel says now, if it was asked.
    pub fn look(
        &mut self,
        target: &Target,
        process: ProcessKey,
        main: Option<ThreadKey>,
        caught: Option<SignalSet>,
        at: MonoNs,
        events: &mut Vec<Event>,
    ) {
        let caught = caught.or(self.caught);
        let known = self.told.is_some_and(|told| (told.main, told.caught) == (main, caught));
        if known && !self.handlers.is_due(at) {
            return;
        }
        self.caught = caught;
        self.handlers.begins(at);
        let info = SignalsInfo {
            main,
            pending: self.pending_word().map_or(self.missing.lookup(), |word| Lookup::Found(word.kind)),
            handlers: self.read_handlers(target),
            caught,
        };
        self.handlers.spent(at);
        if self.told != Some(info) {
            self.told = Some(info);
            events.push(Event { at, what: What::SignalsKnown { process, info: Box::new(info) } });
        }
    }

    fn is_incomplete(&self) -> bool {
        self.pending_word().is_none() || self.table().is_none()
    }

    /// Searches for what is missing, where that is due.
    pub fn search(&mut self, target: &Target, at: MonoNs) {
        if !self.is_incomplete() || !self.search.is_due(at) {
            return;
        }
        let began = *self.began.get_or_insert(at);
        self.search.begins(at);
        (self.sites, self.missing) = match target.signal_sites() {
            // A table that is not published is searched for, and may never be found.
            Ok(sites) if sites.eval_loop.is_some() && at.since(began) >= PATIENCE => (Some(sites), Missing::Nowhere),
            Ok(sites) => (Some(sites), Missing::NotYet),
            Err(ReadError::Inconsistent(_)) => (None, Missing::Nowhere),
            Err(_) => (None, Missing::Unreadable),
        };
        self.search.spacing = if at.since(began) >= PATIENCE { PATIENCE } else { SEARCH };
        self.search.spent(at);
        // What was found is told at once.
        self.handlers.due = at;
    }

    fn read_handlers(&mut self, target: &Target) -> Lookup<Handlers> {
        let Some(table) = self.table() else { return self.missing.lookup() };
        match table.handlers(target.memory()) {
            Ok(handlers) if handlers == Handlers::default() => Lookup::NotYet,
            Ok(handlers) => Lookup::Found(handlers),
            Err(_) => {
                self.search_again();
                Lookup::Unreadable
            }
        }
    }
}
