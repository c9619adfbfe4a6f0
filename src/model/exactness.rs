//! A process's windows: what the watchpoints on all of its GILs came to, and what of it stands in for the sampler's.

use crate::event::Costs;
use crate::model::gil::GilAccount;
use crate::model::gil::exact::{Exact, Totals};
use crate::model::gil::perturbed::Perturbed;
use crate::model::intervals::{Grain, Intervals};
use crate::model::snapshot::{ExactFigures, Perturbation, ThreadFigures};
use crate::time::{MonoNs, Ns};

/// An interval this many exceptions long is distorted by 5 % at most: there is one at each end of it, of which about
/// half falls into it.
const DISTORTED: u64 = 20;

/// Forced drops are told where one handoff in so many at most is undecided.
const DECIDED: u64 = 33;

/// The windows on the GILs of a process.
pub struct Exactness<'a> {
    gils: Vec<&'a GilAccount>,
    /// Below it, a duration between two hits is not known.
    pub distortion: Ns,
    lifetime: Ns,
}

impl<'a> Exactness<'a> {
    /// Those of `gils`, as of `now`.
    pub fn of(gils: impl Iterator<Item = &'a GilAccount>, now: MonoNs, costs: Option<&Costs>) -> Exactness<'a> {
        let gils: Vec<&GilAccount> = gils.collect();
        let exception = costs.map_or(Costs::ASSUMED.exception, |costs| costs.exception);
        Exactness {
            distortion: Ns(exception.0.saturating_mul(DISTORTED)),
            lifetime: gils.iter().map(|gil| gil.observed(now).lifetime).sum(),
            gils,
        }
    }

    fn exact(&self) -> impl Iterator<Item = &Exact> {
        self.gils.iter().map(|gil| gil.exact()).filter(|exact| exact.has_told())
    }

    /// The totals.
    pub fn figures(&self) -> ExactFigures {
        let mut totals = Totals::default();
        self.gils.iter().for_each(|gil| totals += gil.exact().totals());
        ExactFigures {
            coverage: totals.covered.share_of(self.lifetime).unwrap_or(0.0).min(1.0),
            windows: totals.windows,
            resyncs: totals.resyncs,
            takes: totals.takes,
            handoffs: totals.handoffs,
            cross_core_handoffs: totals.cross_core,
            forced_handoffs: (totals.undecided <= totals.handoffs / DECIDED).then_some(totals.forced),
            refused: self.gils.iter().find_map(|gil| gil.refused()),
        }
    }

    /// What the instruments change, over all GILs.
    pub fn perturbation(&self) -> Option<Perturbation> {
        let mut sum = Perturbed::default();
        self.gils.iter().for_each(|gil| sum += gil.perturbed());
        sum.compare()
    }

    /// A thread's figures with what the watchpoints know better.
    pub fn sharpen(&self, figures: ThreadFigures) -> ThreadFigures {
        let Some(first) = self.exact().next() else { return figures };
        let own = self.exact().find(|exact| exact.thread(figures.key).is_some()).unwrap_or(first);
        let none = Intervals::new(Grain::Coarse);
        let thread = own.thread(figures.key);
        ThreadFigures {
            waits: thread.map_or(&none, |thread| &thread.waits).exact(self.distortion),
            holds: thread.map_or(&none, |thread| &thread.holds).exact(self.distortion),
            needless_releases: Some(thread.map_or(0, |thread| thread.needless_releases)),
            ..figures
        }
    }
}
