//! All that was observed, taken together: its processes, and each of their GILs.

use std::collections::BTreeSet;

use crate::event::{GilKey, InterpreterId, Origin, Pid};
use crate::model::snapshot::{
    Distribution, GilFigures, MemoryReadings, ProcessFigures, Snapshot, Source, StateTimes, UnwatchedFigures,
};
use crate::time::Ns;

/// The processes of a snapshot as one program, which they may be parts of.
///
/// It lasts from when the first of them came into view until nothing is seen of the last. What there is of a process or
/// of a GIL counts with the part of that time during which it was there, so that sums are what all of them did in it. Of
/// one process with one GIL all is as it is of that process.
#[derive(Debug)]
pub struct Whole<'a> {
    members: Vec<Member<'a>>,
    length: Ns,
    states: StateTimes,
    waits: Option<Distribution>,
    holds: Option<Distribution>,
}

/// A process of it.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Its figures.
    pub process: &'a ProcessFigures,
    /// The part of the whole time during which it was observed, 0..=1.
    pub there: f64,
    /// Its GILs, as far as anything was seen of them, the main interpreter's first.
    pub gils: Vec<Part<'a>>,
}

/// A GIL of it, of which something was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Whose it is.
    pub process: &'a ProcessFigures,
    /// Its figures.
    pub gil: &'a GilFigures,
    /// The part of the whole time during which it was there, 0..=1.
    pub there: f64,
}

/// Of what a run's figures are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Processes that were looked into. One that has replaced its program is still the same.
    pub processes: usize,
    /// GILs that they have, or have had.
    pub gils: usize,
    /// Processes that they made and that could not be looked into, by the reason.
    pub left_out: UnwatchedFigures,
    /// More of them that were seen: nobody was to look into those.
    pub unseen: usize,
}

impl<'a> Whole<'a> {
    /// All of a snapshot; `None`: there is no process.
    pub fn of(snapshot: &'a Snapshot) -> Option<Whole<'a>> {
        let processes = &snapshot.processes;
        let start = processes.iter().map(|process| process.capture.start).min()?;
        let end = processes.iter().map(|process| process.capture.start + process.capture.duration).max()?;
        let length = end.since(start);
        let members: Vec<Member<'_>> = processes.iter().map(|process| Member::of(process, length)).collect();
        let together = |of: fn(&GilFigures) -> &Distribution| {
            let all = processes.iter().flat_map(gils).map(of);
            all.fold(None, |sum: Option<Distribution>, one| Some(sum.map_or_else(|| one.clone(), |sum| sum.with(one))))
        };
        Some(Whole {
            length,
            states: processes.iter().flat_map(|process| &process.threads).map(|thread| &thread.states).sum(),
            waits: together(|gil| &gil.waits),
            holds: together(|gil| &gil.holds),
            members,
        })
    }

    /// How long it lasts.
    pub fn length(&self) -> Ns {
        self.length
    }

    /// Its processes, in order of appearance.
    pub fn processes(&self) -> impl Iterator<Item = &'a ProcessFigures> {
        self.members.iter().map(|member| member.process)
    }

    /// All of their GILs, those of which nothing was seen included.
    pub fn gils(&self) -> impl Iterator<Item = &'a GilFigures> {
        self.processes().flat_map(gils)
    }

    /// The waits for all GILs, as the least precise of them are known; `None`: there is no GIL.
    pub fn waits(&self) -> Option<&Distribution> {
        self.waits.as_ref()
    }

    /// The holds of all GILs, likewise.
    pub fn holds(&self) -> Option<&Distribution> {
        self.holds.as_ref()
    }

    /// Share of the whole time during which the stated precision held, of the process of which most is missing, 0..=1.
    pub fn coverage(&self) -> f64 {
        let missing = self.members.iter().map(|member| (1.0 - member.process.capture.coverage) * member.there);
        1.0 - missing.fold(0.0, f64::max)
    }

    /// How many processes and GILs it is of, and how many it is not.
    pub fn extent(&self) -> Extent {
        let recorded: BTreeSet<Pid> = self.processes().map(|process| process.target.pid).collect();
        let made: BTreeSet<Pid> = self.processes().flat_map(|process| process.children.iter().copied()).collect();
        let left_out: UnwatchedFigures = self.processes().map(|process| process.unwatched).sum();
        // Descendants of which nothing was told have memory all the same.
        let at_a_time = self.processes().map(|process| process.memory.tree.processes).max().unwrap_or(0);
        let at_a_time = usize::try_from(at_a_time).unwrap_or(usize::MAX);
        let known = recorded.len().saturating_add(usize::try_from(left_out.total()).unwrap_or(usize::MAX));
        let keys: BTreeSet<(usize, GilKey)> = self
            .processes()
            .enumerate()
            .flat_map(|(place, process)| gils(process).map(move |gil| (place, gil.key)))
            .collect();
        Extent {
            processes: recorded.len(),
            gils: keys.len(),
            left_out,
            unseen: recorded.union(&made).count().max(at_a_time).saturating_sub(known),
        }
    }

    /// Whether there is no GIL to be observed: all of it runs without one.
    pub(super) fn is_without_gil(&self) -> bool {
        self.processes()
            .all(|process| !process.interpreters.is_empty() && process.interpreters.iter().all(|one| one.gil.is_none()))
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The process whose GIL was observed for longest, or, without any, the first.
    pub(super) fn longest(&self) -> Option<&'a ProcessFigures> {
        let observed = |member: &&Member<'_>| member.gils.first().map_or(Ns::ZERO, |part| part.gil.observed);
        // Of several that are as long, the first.
        self.members.iter().rev().max_by_key(observed).map(|member| member.process)
    }

    /// All GILs of which something was seen.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        self.members.iter().flat_map(|member| member.gils.iter().copied())
    }

    /// Time of all threads by state.
    pub(super) fn states(&self) -> &StateTimes {
        &self.states
    }

    /// Whether watchpoints saw the holds of some GILs, and not those of others: they do not mean the same by one.
    pub(super) fn is_seen_unlike(&self) -> bool {
        let mut kinds = self.gils().map(|gil| &gil.holds).filter(|holds| !holds.is_empty());
        let first = kinds.next().map(|holds| holds.source == Source::Exact);
        kinds.any(|holds| Some(holds.source == Source::Exact) != first)
    }

    /// What the process that all others descend from has in memory together with them, as each of its programs was read;
    /// `None`: there is no such process.
    pub(super) fn memory(&self) -> Option<Vec<&'a MemoryReadings>> {
        let made: BTreeSet<Pid> = self.processes().flat_map(|process| process.children.iter().copied()).collect();
        let launched = self.processes().find(|process| process.target.origin == Origin::Launched);
        let mut tops: BTreeSet<Pid> = self.processes().map(|process| process.target.pid).collect();
        tops.retain(|pid| !made.contains(pid));
        let top = launched.map(|process| process.target.pid).or_else(|| tops.pop_first().filter(|_| tops.is_empty()));
        let top = top?;
        let images = self.processes().filter(|process| process.target.pid == top);
        Some(images.map(|process| &process.memory.tree).collect())
    }
}

impl<'a> Member<'a> {
    fn of(process: &'a ProcessFigures, whole: Ns) -> Member<'a> {
        let part = |length: Ns| length.share_of(whole).unwrap_or(1.0).clamp(0.0, 1.0);
        let there = part(process.capture.duration);
        let parts = gils(process).enumerate().map(|(place, gil)| Part {
            process,
            gil,
            // The main interpreter's is there as long as the process.
            there: if place == 0 { there } else { part(gil.lifetime) },
        });
        Member { process, there, gils: parts.filter(|part| part.gil.observed > Ns::ZERO).collect() }
    }
}

/// Each GIL of a process once, the main interpreter's first.
fn gils(process: &ProcessFigures) -> impl Iterator<Item = &GilFigures> {
    let is_main = |id: InterpreterId| id == InterpreterId(0);
    let (main, others): (Vec<_>, Vec<_>) = process.interpreters.iter().partition(|one| is_main(one.id));
    let mut seen = BTreeSet::new();
    let all = main.into_iter().chain(others).filter_map(|one| one.gil.as_deref());
    all.filter(move |gil| seen.insert(gil.key))
}
