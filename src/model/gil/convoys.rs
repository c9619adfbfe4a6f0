//! Convoys, found as they happen.
//!
//! A thread that lets go of the GIL for a moment of I/O, beside threads that compute, waits about a switch interval each
//! time. What makes that a convoy and not just contention: it lets go of its own will, it holds for next to nothing, and it
//! waits under holds that end only by force.
//!
//! Eight waits in a row that are like that open an episode, or continue it. A group of eight that is not ends it, unless the
//! next one is again, and both with what came before still are. So memory is bounded whatever the length.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Wait;
use super::tenure::{Tenures, Under};
use crate::event::{GilKey, ThreadKey};
use crate::model::snapshot::{Convoy, ConvoyCulprit};
use crate::model::thread::{After, ThreadAccount};
use crate::time::{MonoNs, Ns};

/// Waits that make an episode: with fewer, each criterion would rest on one or two.
const GROUP: usize = 8;
/// Waits further apart than this have nothing to do with each other.
const APART: Ns = Ns(2_000_000_000);
/// Parts of four in five.
const MOST: (u64, u64) = (4, 5);
/// Own holds are at most this part of the waits: the victim is not one who computes itself.
const HOLD_TO_WAIT: u64 = 5;
/// A thread asleep for longer than this before it asks has slept for reasons of its own: whoever was forced to let go is
/// woken within some tens of microseconds once another has the GIL.
const SLEPT_ELSEWHERE: Ns = Ns(500_000);
/// By how much a recorded edge may be off what it stands for.
const SLACK: Ns = Ns(100_000);
/// So many looks within a switch interval tell a hold of that length from shorter ones: by looks alone, and with switches.
const LOOKS: u64 = 4;
const LOOKS_WITH_SWITCHES: u64 = 2;
/// A sum of looks as long as this many intervals is a hold for certain.
const SEEN_FOR_CERTAIN: u64 = 4;
/// Holders kept of one wait.
const HOLDERS: usize = 16;
/// Holders kept of one episode, and shown.
const CULPRITS: usize = 64;
const CULPRITS_SHOWN: usize = 8;
/// Episodes that are over and kept: those that cost most.
const KEPT: usize = 256;
/// Threads whose waits are looked at.
const THREADS: usize = 1 << 16;

/// The convoys on one GIL.
#[derive(Debug, Clone, Default)]
pub(super) struct Convoys {
    chains: BTreeMap<ThreadKey, Chain>,
    over: Arc<Vec<Episode>>,
    /// Observed time in which they could be found, and in which not.
    fit: Ns,
    unfit: Ns,
    pruned: MonoNs,
}

/// The waits of one thread, each within two seconds of the one before.
#[derive(Debug, Clone)]
struct Chain {
    /// The end of the newest wait.
    until: MonoNs,
    /// Time that it had held by then.
    held: Ns,
    /// The newest waits: up to eight that are in no episode, or in none yet.
    group: VecDeque<Look>,
    episode: Option<Episode>,
    /// A group that was not like the episode.
    doubtful: Option<Episode>,
}

/// One wait, as far as it matters here.
#[derive(Debug, Clone)]
struct Look {
    from: MonoNs,
    until: MonoNs,
    /// How long it had held before it asked; `None`: not seen.
    held: Option<Ns>,
    release: Release,
    /// How much of the wait is remembered, and the parts of it under long tenures.
    remembered: Ns,
    under: Vec<Under>,
}

/// Why the thread had to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    /// It had let go of its own will.
    Voluntary,
    /// It was forced to, or that is not known.
    Unclear,
}

/// Waits added up.
#[derive(Debug, Clone)]
struct Episode {
    victim: ThreadKey,
    start: MonoNs,
    end: MonoNs,
    waits: u64,
    voluntary: u64,
    lost: Ns,
    remembered: Ns,
    under: Ns,
    culprits: BTreeMap<Option<ThreadKey>, Ns>,
    switch_interval: Ns,
}

/// What else is known where a wait ends.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) tenures: &'a Tenures,
    pub(super) threads: &'a super::Threads,
    pub(super) switch_interval: Ns,
    /// Between two looks.
    pub(super) interval: Ns,
    pub(super) instrument: Instrument,
}

/// What tells of waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instrument {
    Looks,
    /// And the switches of all threads.
    WithSwitches,
}

impl Convoys {
    /// The waits that a step between two looks, `length` long and ending at `at`, has told the end of.
    pub(super) fn step(&mut self, at: MonoNs, length: Ns, over: &[Wait], setting: Setting<'_>) {
        let looks = match setting.instrument {
            Instrument::Looks => LOOKS,
            Instrument::WithSwitches => LOOKS_WITH_SWITCHES,
        };
        if setting.interval.0.saturating_mul(looks) > setting.switch_interval.0 {
            self.unfit += length;
            return;
        }
        self.fit += length;
        let mut over: Vec<&Wait> = over.iter().collect();
        over.sort_by_key(|wait| (wait.until, wait.from));
        for wait in over {
            if let Some(account) = setting.threads.get(&wait.thread) {
                self.add(wait, account, setting);
            }
        }
        if at.since(self.pruned) >= Ns::SECOND {
            self.pruned = at;
            let stale = self.chains.iter().filter(|(_, chain)| at.since(chain.until) > APART);
            for thread in stale.map(|(thread, _)| *thread).collect::<Vec<_>>() {
                self.thread_ended(thread);
            }
        }
    }

    fn add(&mut self, wait: &Wait, account: &ThreadAccount, setting: Setting<'_>) {
        let total = account.weight().1;
        let before = self.chains.get(&wait.thread).map(|chain| chain.until);
        if before.is_some_and(|until| wait.from.since(until) > APART) {
            self.thread_ended(wait.thread);
        }
        if self.chains.len() >= THREADS && !self.chains.contains_key(&wait.thread) {
            return;
        }
        let (remembered, mut under) = setting.tenures.under(wait.from, wait.until);
        let chain = self.chains.entry(wait.thread).or_insert_with(|| Chain {
            until: MonoNs(0),
            held: total,
            group: VecDeque::new(),
            episode: None,
            doubtful: None,
        });
        let follows = chain.until > MonoNs(0);
        let held = follows.then(|| {
            let looks = total.saturating_sub(chain.held);
            let certain = Ns(setting.interval.0.saturating_mul(SEEN_FOR_CERTAIN));
            match account.runs.on_core(chain.until, wait.from) {
                Some(on_core) if looks < certain => looks.min(on_core),
                _ => looks,
            }
        });
        if under.len() > HOLDERS {
            let rest: Ns = under.drain(HOLDERS..).map(|part| part.length).sum();
            under.push(Under { holder: None, length: rest });
        }
        chain.group.push_back(Look {
            from: wait.from,
            until: wait.until,
            held,
            release: release(wait, follows.then_some(chain.until), account, setting),
            remembered,
            under,
        });
        (chain.until, chain.held) = (wait.until, total);
        let ended = chain.decide(wait.thread, setting.switch_interval);
        self.keep(ended);
    }

    fn keep(&mut self, episode: Option<Episode>) {
        let Some(episode) = episode else { return };
        let over = Arc::make_mut(&mut self.over);
        if over.len() >= KEPT
            && let Some((least, _)) = over.iter().enumerate().min_by_key(|(_, old)| old.lost)
        {
            over.remove(least);
        }
        over.push(episode);
    }

    /// Nothing follows on the waits of this thread any more.
    pub(super) fn thread_ended(&mut self, thread: ThreadKey) {
        if let Some(chain) = self.chains.remove(&thread) {
            self.keep(chain.as_it_stands(thread));
        }
    }

    /// Nothing follows on any waits any more: the observation ends, or another switch interval is in force.
    pub(super) fn close(&mut self) {
        for (thread, chain) in std::mem::take(&mut self.chains) {
            self.keep(chain.as_it_stands(thread));
        }
    }

    /// Those found so far, in the order of time; `None`: there were too few looks to find any.
    pub(super) fn figures(&self, gil: GilKey) -> Option<Vec<Convoy>> {
        if self.fit < self.unfit || self.fit == Ns::ZERO {
            return None;
        }
        let open = self.chains.iter().filter_map(|(thread, chain)| chain.as_it_stands(*thread));
        let mut all: Vec<Convoy> = self.over.iter().cloned().chain(open).map(|episode| episode.figures(gil)).collect();
        all.sort_by_key(|convoy| (convoy.start, convoy.victim));
        Some(all)
    }
}

/// Why a thread that last took the GIL at `took` asks for it again.
fn release(wait: &Wait, took: Option<MonoNs>, account: &ThreadAccount, setting: Setting<'_>) -> Release {
    // By looks alone both edges may be off.
    let edges = match setting.instrument {
        Instrument::Looks => Ns(setting.interval.0.saturating_mul(2)),
        Instrument::WithSwitches => setting.interval,
    };
    let least = setting.switch_interval.saturating_sub(SLACK + edges);
    // Nobody is asked to let go before the others have waited for a switch interval.
    let soon = |at: MonoNs| took.is_some_and(|took| at.since(took) < least);
    // Those after it are the wait itself.
    let slept = || account.runs.sleeps(took?, wait.from).map(|(sleep, _)| sleep).find(|sleep| sleep.until <= wait.from);
    match wait.after {
        After::Apart => Release::Voluntary,
        _ if soon(wait.from) => Release::Voluntary,
        After::Holding | After::Unseen => match slept() {
            Some(sleep) if soon(sleep.from) => Release::Voluntary,
            Some(sleep) if sleep.until.since(sleep.from) > SLEPT_ELSEWHERE => Release::Voluntary,
            Some(_) | None => Release::Unclear,
        },
    }
}

impl Chain {
    /// What the newest wait makes of it; an episode that is over.
    fn decide(&mut self, victim: ThreadKey, switch_interval: Ns) -> Option<Episode> {
        if self.group.len() < GROUP {
            return None;
        }
        let is_convoy = is_convoy(self.group.make_contiguous(), switch_interval);
        if self.episode.is_none() {
            if is_convoy {
                self.episode = Some(Episode::of(victim, &self.group, switch_interval));
                self.group.clear();
            } else {
                self.group.pop_front();
            }
            return None;
        }
        let group = Episode::of(victim, &self.group, switch_interval);
        match (is_convoy, self.doubtful.take()) {
            (true, None) => {
                self.episode.iter_mut().for_each(|episode| episode.add(&group));
                self.group.clear();
                None
            }
            (true, Some(doubtful)) => {
                let mut whole = self.episode.clone()?;
                whole.add(&doubtful);
                whole.add(&group);
                self.group.clear();
                let ended = if whole.is_convoy() { None } else { self.episode.take() };
                self.episode = Some(if ended.is_none() { whole } else { group });
                ended
            }
            (false, None) => {
                self.doubtful = Some(group);
                self.group.clear();
                None
            }
            (false, Some(_)) => {
                self.group.pop_front();
                self.episode.take()
            }
        }
    }

    /// The episode that goes on, with the waits after it if they are like it.
    fn as_it_stands(&self, victim: ThreadKey) -> Option<Episode> {
        let mut episode = self.episode.clone()?;
        let waits: Vec<Look> = self.group.iter().cloned().collect();
        if self.doubtful.is_none() && !waits.is_empty() && is_convoy(&waits, episode.switch_interval) {
            episode.add(&Episode::of(victim, &self.group, episode.switch_interval));
        }
        Some(episode)
    }
}

fn median(mut lengths: Vec<Ns>) -> Option<Ns> {
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

fn is_most(part: u64, whole: u64) -> bool {
    part.saturating_mul(MOST.1) >= whole.saturating_mul(MOST.0)
}

/// The criteria that need each wait.
fn is_convoy(waits: &[Look], switch_interval: Ns) -> bool {
    let Some(wait) = median(waits.iter().map(|wait| wait.until.since(wait.from)).collect()) else { return false };
    let held = median(waits.iter().filter_map(|wait| wait.held).collect());
    let voluntary = waits.iter().filter(|wait| wait.release == Release::Voluntary).count() as u64;
    let remembered: Ns = waits.iter().map(|wait| wait.remembered).sum();
    let under: Ns = waits.iter().flat_map(|wait| &wait.under).map(|part| part.length).sum();
    wait.0.saturating_mul(2) >= switch_interval.0
        && held.is_none_or(|held| held.0.saturating_mul(HOLD_TO_WAIT) <= wait.0)
        && is_most(voluntary, waits.len() as u64)
        && remembered > Ns::ZERO
        && is_most(under.0, remembered.0)
}

impl Episode {
    fn of(victim: ThreadKey, waits: &VecDeque<Look>, switch_interval: Ns) -> Episode {
        let mut culprits = BTreeMap::new();
        for part in waits.iter().flat_map(|wait| &wait.under) {
            *culprits.entry(part.holder).or_default() += part.length;
        }
        Episode {
            victim,
            start: waits.front().map_or(MonoNs(0), |wait| wait.from),
            end: waits.back().map_or(MonoNs(0), |wait| wait.until),
            waits: waits.len() as u64,
            voluntary: waits.iter().filter(|wait| wait.release == Release::Voluntary).count() as u64,
            lost: waits.iter().map(|wait| wait.until.since(wait.from)).sum(),
            remembered: waits.iter().map(|wait| wait.remembered).sum(),
            under: culprits.values().copied().sum(),
            culprits,
            switch_interval,
        }
    }

    fn add(&mut self, later: &Episode) {
        self.end = later.end;
        self.waits += later.waits;
        self.voluntary += later.voluntary;
        self.lost += later.lost;
        self.remembered += later.remembered;
        self.under += later.under;
        for (holder, length) in &later.culprits {
            let known = self.culprits.len() < CULPRITS || self.culprits.contains_key(holder);
            *self.culprits.entry(if known { *holder } else { None }).or_default() += *length;
        }
    }

    /// The criteria that add up.
    fn is_convoy(&self) -> bool {
        is_most(self.voluntary, self.waits) && is_most(self.under.0, self.remembered.0)
    }

    /// How many times as long everything takes. From the first wait to the end of the last there is one time without
    /// waiting less than there are waits.
    fn slowdown(&self) -> f64 {
        let rest = self.end.since(self.start).saturating_sub(self.lost).0 as f64;
        let of_all = rest * self.waits as f64 / (self.waits.saturating_sub(1)).max(1) as f64;
        // Times without waiting that are too short to be seen would make it infinite.
        let least = self.waits as f64 * Ns::MICROSECOND.0 as f64;
        let of_all = of_all.max(least);
        (of_all + self.lost.0 as f64) / of_all
    }

    fn figures(self, gil: GilKey) -> Convoy {
        let slowdown = self.slowdown();
        let mut culprits: Vec<(Option<ThreadKey>, Ns)> = self.culprits.into_iter().collect();
        culprits.sort_by_key(|(holder, length)| (std::cmp::Reverse(*length), *holder));
        let share = |length: Ns| length.share_of(self.remembered).unwrap_or(0.0).min(1.0);
        let named = culprits
            .iter()
            .filter_map(|(holder, length)| Some(ConvoyCulprit { thread: (*holder)?, share: share(*length) }));
        Convoy {
            gil,
            victim: self.victim,
            culprits: named.take(CULPRITS_SHOWN).collect(),
            start: self.start,
            end: self.end,
            waits: self.waits,
            lost: self.lost,
            slowdown,
            switch_interval: self.switch_interval,
        }
    }
}
