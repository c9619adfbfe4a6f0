//! Moving along the time line: marks, pause, seek, step.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Engine, Over, Shown, Source};
use crate::event::{Event, What};
use crate::session::fold::{Fold, MARKS_KEPT};
use crate::session::reel::Reel;
use crate::session::{Ability, Events, Mark, Play};
use crate::time::{MonoNs, Ns};

/// Furthest single step, in ticks.
const STEP_MOST: u32 = 10_000;

impl Engine {
    /// A mark in a live session is an event of its own, so that recordings have it.
    pub(super) fn mark(&mut self, instant: MonoNs) {
        match &self.source {
            Source::Live { .. } => {
                let Some(at) = self.edge.at() else { return };
                self.take_batch(&[Event { at, what: What::Marked { instant } }]);
            }
            Source::Recording(_) => self.note_marks(&[Mark { at: instant }]),
        }
    }

    pub(super) fn note_marks(&mut self, found: &[Mark]) {
        for mark in found {
            if self.marks.len() < MARKS_KEPT
                && let Err(place) = self.marks.binary_search_by_key(&mark.at, |known| known.at)
            {
                self.marks.insert(place, *mark);
            }
        }
    }

    /// The instant shown.
    pub(super) fn here(&self) -> MonoNs {
        match &self.shown {
            Shown::Edge => self.edge.at().unwrap_or(MonoNs(0)),
            Shown::Past(_) => self.position,
        }
    }

    pub(super) fn pause(&mut self) {
        match (&self.shown, self.play) {
            (_, Play::Ended | Play::Paused) => return,
            (Shown::Edge, _) => {
                self.position = self.here();
                let ahead = self.events_from(self.edge.position());
                self.shown = Shown::Past(Box::new(Reel::new(self.edge.clone(), ahead)));
            }
            (Shown::Past(_), _) => {}
        }
        self.play = Play::Paused;
    }

    pub(super) fn resume(&mut self, now: Duration) {
        match &self.source {
            Source::Live { over, .. } => {
                self.shown = Shown::Edge;
                self.target = None;
                self.play = if *over == Over::Over { Play::Ended } else { Play::Live };
            }
            Source::Recording(_) => {
                let range = self.range();
                if self.position >= range.to {
                    self.seek(now, range.from);
                }
                self.play = Play::Replaying;
                self.anchor = (now, self.position);
            }
        }
    }

    pub(super) fn events_from(&mut self, position: u64) -> Option<Events> {
        match &mut self.source {
            Source::Live { past, .. } => past.as_mut().map(|past| past.events_from(position)),
            Source::Recording(archive) => Some(archive.events_from(position)),
        }
    }

    pub(super) fn seek(&mut self, now: Duration, at: MonoNs) {
        if self.capabilities().past == Ability::Cannot {
            return;
        }
        self.pause_for_seek();
        let at = self.range().clamp(at);
        let oldest = match &self.source {
            Source::Live { past, .. } => past.as_ref().and_then(|p| p.span()).map(|span| span.from),
            Source::Recording(_) => None,
        };
        let reel_at = match &self.shown {
            Shown::Past(reel) => reel.fold.at().filter(|time| *time <= at),
            Shown::Edge => None,
        };
        let checkpoint = self.checkpoints.before(at, oldest).filter(|fold| fold.at() > reel_at).cloned();
        let fold = match (checkpoint, reel_at, &self.source) {
            (Some(fold), ..) => Some(fold),
            // What was kept since this past was last looked at is to be had only afresh.
            (None, Some(_), Source::Live { .. }) => self.shown_fold(),
            (None, Some(_), Source::Recording(_)) => None,
            (None, None, Source::Recording(_)) => Some(Fold::new()),
            (None, None, Source::Live { .. }) => return,
        };
        if let Some(fold) = fold {
            let ahead = self.events_from(fold.position());
            self.shown = Shown::Past(Box::new(Reel::new(fold, ahead)));
        }
        self.position = at;
        self.anchor = (now, at);
        self.target = Some((self.reel_at(), at));
    }

    fn shown_fold(&self) -> Option<Fold> {
        match &self.shown {
            Shown::Edge => None,
            Shown::Past(reel) => Some(reel.fold.clone()),
        }
    }

    fn pause_for_seek(&mut self) {
        if self.play == Play::Ended {
            self.play = Play::Live;
        }
        if self.play == Play::Live {
            self.pause();
        }
    }

    pub(super) fn step(&mut self, now: Duration, ticks: i32) {
        if self.capabilities().past == Ability::Cannot {
            return;
        }
        self.pause_for_seek();
        self.play = Play::Paused;
        let here = self.here();
        let wanted = ticks.unsigned_abs().min(STEP_MOST);
        let found = if ticks < 0 { self.ticks_back(here, wanted) } else { self.ticks_ahead(here, wanted) };
        if let Some(at) = found {
            self.seek(now, at);
        }
    }

    /// The instant `wanted` ticks before `here`, or the oldest there is.
    fn ticks_back(&mut self, here: MonoNs, wanted: u32) -> Option<MonoNs> {
        let wanted = wanted as usize;
        let mut from = here;
        loop {
            let copy = self.checkpoints.before(from - Ns(1), None);
            let (at, position) = (copy.and_then(Fold::at), copy.map_or(0, Fold::position));
            let mut before = VecDeque::new();
            for next in self.events_from(position).into_iter().flatten() {
                if next.event.at >= here {
                    break;
                }
                if before.back() != Some(&next.event.at) {
                    before.push_back(next.event.at);
                }
                if before.len() > wanted {
                    before.pop_front();
                }
            }
            match at {
                // Not far enough back: from an older copy.
                Some(at) if before.len() < wanted => from = at,
                _ => return before.front().copied(),
            }
        }
    }

    /// The instant `wanted` ticks after `here`, or the newest there is.
    fn ticks_ahead(&mut self, here: MonoNs, wanted: u32) -> Option<MonoNs> {
        let from = match &self.shown {
            Shown::Past(reel) => reel.fold.position(),
            Shown::Edge => self.edge.position(),
        };
        let mut last = None;
        let mut left = wanted;
        for next in self.events_from(from).into_iter().flatten() {
            if next.event.at > last.unwrap_or(here) {
                last = Some(next.event.at);
                left = left.saturating_sub(1);
                if left == 0 {
                    break;
                }
            }
        }
        last
    }
}
