//! What the accounts of a process's GILs come to: the figures to show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Defined, Part, Party, Shares};
use crate::event::StacksMissing;
use crate::model::gil::{GilAccount, Threads};
use crate::model::snapshot::{BlameFigures, BlamePair, BlameShare, Blamed};
use crate::time::Ns;

/// Who made whom wait, over all `gils`.
pub fn figures<'a>(
    gils: impl Iterator<Item = &'a GilAccount>,
    threads: &Threads,
    defined: &Defined,
    missing: Option<StacksMissing>,
) -> BlameFigures {
    let mut figures = BlameFigures { missing, ..BlameFigures::default() };
    // Threads that are not kept one by one are not named.
    let mut merged: BTreeMap<(Option<_>, Party), Ns> = BTreeMap::new();
    for gil in gils {
        let (samples, rejected) = gil.blame().samples();
        figures.samples += samples;
        figures.rejected += rejected;
        let natives = gil.natives();
        for ((waiter, party), (time, shares)) in gil.blame().pairs(gil.last_tick(), gil.waiting(threads)) {
            let waiter = waiter.filter(|waiter| threads.contains_key(waiter));
            match party {
                Party::Thread(holder) if threads.contains_key(&holder) && waiter.is_some() => {
                    let shares = shares.map_or_else(|| Shares::default().divide(time), |shares| shares.divide(time));
                    let native = |part: &Part| natives.get(&(holder, part.stack?)).cloned();
                    let shares = shares.iter().map(|part| share(part, native(part), defined)).collect();
                    figures.pairs.push(BlamePair { waiter, holder: Blamed::Thread(holder), time, shares });
                }
                Party::Thread(holder) if !threads.contains_key(&holder) => {
                    *merged.entry((waiter, Party::Others)).or_default() += time;
                }
                party => *merged.entry((waiter, party)).or_default() += time,
            }
        }
    }
    figures.pairs.extend(merged.into_iter().map(|((waiter, party), time)| BlamePair {
        waiter,
        holder: match party {
            Party::Thread(holder) => Blamed::Thread(holder),
            Party::Free => Blamed::Free,
            Party::Unknown => Blamed::Unknown,
            Party::Others => Blamed::Others,
        },
        time,
        shares: Shares::default().divide(time).iter().map(|part| share(part, None, defined)).collect(),
    }));
    figures.pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.time), pair.waiter));
    figures
}

fn share(part: &Part, native: Option<Arc<str>>, defined: &Defined) -> BlameShare {
    BlameShare {
        time: part.time,
        samples: part.samples,
        basis: part.basis,
        stack: part.stack.and_then(|stack| defined.get(stack).cloned()).unwrap_or_else(|| Arc::new([])),
        native,
    }
}
