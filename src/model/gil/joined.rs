//! Stacks and native code that were seen in the same hold.
//!
//! A stack tells which Python line holds, a look at native code which function of C. They come from different instants, so
//! they belong together only if the stack cannot have been another one at the look: one sample of it before, and the next
//! after, in one hold, with the same frames and lines. Nothing else is joined: not a look beside a sample of another hold,
//! however alike, and none between two stacks.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{NativeKey, StackKey, ThreadKey};
use crate::time::{MonoNs, Ns};

/// Two samples of one stack further apart say nothing about what was between them.
const NEAR: Ns = Ns::from_millis(100);
/// Stretches of one stack that are kept of one hold.
const STRETCHES: usize = 32;
/// Looks at native code that are kept of one hold.
const LOOKS: usize = 64;
/// Stacks of threads of which the code is kept.
const STACKS: usize = 4_096;
/// Pieces of code that are kept of each.
const PLACES: usize = 8;
/// Of the looks beside a stack, so many have to have found one place.
const MOST: f64 = 0.9;

/// What was seen in one hold, in the order of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Scenes {
    stacks: Vec<Stretch>,
    natives: Vec<(MonoNs, NativeKey)>,
}

/// One stack, as long as no other was seen.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: MonoNs,
    last: MonoNs,
    stack: StackKey,
    weight: Ns,
}

impl Scenes {
    /// The hold's thread executed this.
    pub(super) fn executed(&mut self, instant: MonoNs, stack: StackKey, weight: Ns) {
        let has_room = self.stacks.len() < STRETCHES;
        match self.stacks.last_mut() {
            Some(last) if instant < last.last => {}
            Some(last) if last.stack == stack && instant.since(last.last) <= NEAR => {
                last.last = instant;
                last.weight += weight;
            }
            _ if has_room => self.stacks.push(Stretch { first: instant, last: instant, stack, weight }),
            _ => {}
        }
    }

    /// The hold's thread was in that code.
    pub(super) fn was_in(&mut self, instant: MonoNs, native: NativeKey) {
        if self.natives.len() < LOOKS {
            self.natives.push((instant, native));
        }
    }

    /// The looks that were beside one stack.
    fn together(&self) -> impl Iterator<Item = (StackKey, NativeKey)> {
        self.natives.iter().filter_map(|(at, native)| {
            let around = |stretch: &&Stretch| stretch.first <= *at && *at <= stretch.last;
            Some((self.stacks.iter().find(around)?.stack, *native))
        })
    }
}

/// What was seen beside one stack of one thread.
#[derive(Debug, Clone, Default)]
struct Beside {
    /// The time that its samples at random stand for.
    all: Ns,
    /// Of that, in long holds.
    long: Ns,
    natives: BTreeMap<NativeKey, u64>,
}

/// Which native code was seen beside which stacks.
#[derive(Debug, Clone, Default)]
pub(super) struct Joined {
    stacks: BTreeMap<(ThreadKey, StackKey), Beside>,
}

impl Joined {
    /// A thread executed this, in whatever hold.
    pub(super) fn executed(&mut self, thread: ThreadKey, stack: StackKey, weight: Ns) {
        if let Some(beside) = self.entry(thread, stack) {
            beside.all += weight;
        }
    }

    /// A long hold, with what was seen in it.
    pub(super) fn add(&mut self, thread: ThreadKey, scenes: &Scenes) {
        for stretch in &scenes.stacks {
            if let Some(beside) = self.entry(thread, stretch.stack) {
                beside.long += stretch.weight;
            }
        }
        for (stack, native) in scenes.together() {
            if let Some(beside) = self.entry(thread, stack)
                && (beside.natives.len() < PLACES || beside.natives.contains_key(&native))
            {
                *beside.natives.entry(native).or_default() += 1;
            }
        }
    }

    fn entry(&mut self, thread: ThreadKey, stack: StackKey) -> Option<&mut Beside> {
        let key = (thread, stack);
        let fits = self.stacks.len() < STACKS || self.stacks.contains_key(&key);
        fits.then(|| self.stacks.entry(key).or_default())
    }

    /// The code that a stack stands for, with the holds of `fresh` counted in: found at nearly every look beside it. A stack
    /// whose time is mostly in holds too short to be looked into stands for none.
    pub(super) fn natives(&self, fresh: &Joined) -> impl Iterator<Item = ((ThreadKey, StackKey), NativeKey)> {
        let looked = |(key, beside): (&(ThreadKey, StackKey), &Beside)| (!beside.natives.is_empty()).then_some(*key);
        let keys: BTreeSet<_> =
            self.stacks.iter().filter_map(looked).chain(fresh.stacks.iter().filter_map(looked)).collect();
        keys.into_iter().filter_map(move |key| {
            let mut sum = Beside::default();
            for beside in [self, fresh].into_iter().filter_map(|joined| joined.stacks.get(&key)) {
                sum.all += beside.all;
                sum.long += beside.long;
                for (native, times) in &beside.natives {
                    *sum.natives.entry(*native).or_default() += times;
                }
            }
            Some((key, sum.place()?))
        })
    }
}

impl Beside {
    fn place(&self) -> Option<NativeKey> {
        let looks: u64 = self.natives.values().sum();
        let (native, found) = self.natives.iter().max_by_key(|(_, times)| **times)?;
        let is_it = *found as f64 >= MOST * looks as f64;
        let is_long = self.long >= self.all.saturating_sub(self.long);
        (is_it && is_long).then_some(*native)
    }
}
