//! What the accounts of a process's GILs come to: the figures to show.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Defined, Part, Party, Shares};
use crate::event::{StacksMissing, ThreadKey};
use crate::model::gil::{GilAccount, Threads};
use crate::model::snapshot::{BlameFigures, BlameHolder, BlamePair, BlameShare, BlameWaiter, Blamed};
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
    let mut merged: BTreeMap<(Option<_>, Party), (Ns, Shares)> = BTreeMap::new();
    for gil in gils {
        let (samples, rejected) = gil.blame().samples();
        figures.samples += samples;
        figures.rejected += rejected;
        let natives = gil.natives();
        let held = |holder: ThreadKey, parts: Vec<Part>| {
            let native = |part: &Part| natives.get(&(holder, part.stack?)).cloned();
            parts.iter().map(|part| share(part, native(part), defined)).collect()
        };
        for (holder, time, shares) in gil.blame().holders().filter(|(holder, ..)| threads.contains_key(holder)) {
            let shares = held(holder, shares.divide(time));
            figures.holders.push(BlameHolder { thread: holder, time, shares });
        }
        let (samples, rejected) = gil.blame().samples_of_waiters();
        figures.waiter_samples += samples;
        figures.waiters_rejected += rejected;
        let mut waited: BTreeMap<ThreadKey, Ns> = BTreeMap::new();
        for ((waiter, party), (time, shares)) in gil.blame().pairs(gil.last_tick(), gil.waiting(threads)) {
            let waiter = waiter.filter(|waiter| threads.contains_key(waiter));
            waiter.into_iter().for_each(|waiter| *waited.entry(waiter).or_default() += time);
            match party {
                Party::Thread(holder) if threads.contains_key(&holder) && waiter.is_some() => {
                    let shares = shares.map_or_else(|| Shares::default().divide(time), |shares| shares.divide(time));
                    let shares = held(holder, shares);
                    figures.pairs.push(BlamePair { waiter, holder: Blamed::Thread(holder), time, shares });
                }
                party => {
                    let party = match party {
                        Party::Thread(holder) if !threads.contains_key(&holder) => Party::Others,
                        party => party,
                    };
                    let (sum, all) = merged.entry((waiter, party)).or_default();
                    *sum += time;
                    shares.into_iter().for_each(|shares| all.absorb(shares));
                }
            }
        }
        for (thread, time) in waited {
            let shares =
                gil.blame().waiter(thread).map_or_else(|| Shares::default().divide(time), |it| it.divide(time));
            let shares = shares.iter().map(|part| share(part, None, defined)).collect();
            figures.waiters.push(BlameWaiter { thread, time, shares });
        }
    }
    figures.waiters.sort_by_key(|waiter| (std::cmp::Reverse(waiter.time), waiter.thread));
    figures.pairs.extend(merged.into_iter().map(|((waiter, party), (time, shares))| BlamePair {
        waiter,
        holder: match party {
            Party::Thread(holder) => Blamed::Thread(holder),
            Party::Free => Blamed::Free,
            Party::Unknown => Blamed::Unknown,
            Party::Others => Blamed::Others,
        },
        time,
        shares: shares.divide(time).iter().map(|part| share(part, None, defined)).collect(),
    }));
    figures.holders.sort_by_key(|holder| (std::cmp::Reverse(holder.time), holder.thread));
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
