//! The state at another instant, to compare what is shown with.

use std::sync::Arc;

use super::{Busy, Dirty, Engine, SLICE, Source};
use crate::session::Baseline;
use crate::session::fold::Fold;
use crate::session::reel::{Reached, Reel};
use crate::time::MonoNs;

/// How far it is.
pub(super) enum Aside {
    /// It is being folded.
    Making { at: MonoNs, reel: Box<Reel> },
    /// It is there.
    Made(Arc<Baseline>),
}

impl Aside {
    /// What there is to compare with.
    pub(super) fn made(&self) -> Option<Arc<Baseline>> {
        match self {
            Aside::Making { .. } => None,
            Aside::Made(baseline) => Some(Arc::clone(baseline)),
        }
    }
}

impl Engine {
    /// Begins to make the state at `at`; with `None` there is nothing to compare with any more.
    pub(super) fn compare_with(&mut self, at: Option<MonoNs>) {
        self.aside = None;
        let Some(at) = at else { return };
        let oldest = match &self.source {
            Source::Live { past, .. } => past.as_ref().and_then(|past| past.span()).map(|span| span.from),
            Source::Recording(_) => None,
        };
        let fold = match (self.checkpoints.before(at, oldest).cloned(), &self.source) {
            (None, Source::Live { .. }) => {
                self.warn("what was before that mark is no longer kept".to_owned());
                return;
            }
            (None, Source::Recording(_)) => Fold::new(),
            (Some(fold), _) => fold,
        };
        let ahead = self.events_from(fold.position());
        self.aside = Some(Aside::Making { at, reel: Box::new(Reel::new(fold, ahead)) });
    }

    /// A slice of that work.
    pub(super) fn fold_aside(&mut self) -> Busy {
        let Some(Aside::Making { at, reel }) = &mut self.aside else { return Busy::Idle };
        match reel.advance(*at, SLICE, None) {
            Reached::Underway => Busy::Busy,
            Reached::Target | Reached::End => {
                let baseline = Baseline { at: *at, snapshot: reel.fold.snapshot() };
                self.aside = Some(Aside::Made(Arc::new(baseline)));
                self.dirty = Dirty::Asked;
                Busy::Idle
            }
        }
    }
}
