//! Which native code holds a GIL during a long hold.
//!
//! A holder that sleeps is looked at from outside: `/proc` tells its stack pointer and instruction, which costs it
//! nothing. One that runs has its registers and the top of its stack sampled by the kernel, a few times in a burst, if
//! the purse has that. What an address means is found out on another thread, and what comes of it is believed only if
//! the GIL was held by that thread at the look before the instant and at one after it, with no handoff between.

mod resolver;

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, GilKey, Hold, LONG_HOLD, NativeInfo, NativeKey, Placement, ThreadKey, Tid, What};
use crate::instruments::clock;
use crate::instruments::keys::Keys;
use crate::instruments::natives::resolver::{Answer, Question, Resolver};
use crate::instruments::perf::{self, LONGEST_SAMPLE, Ring, UserSample};
use crate::instruments::purse::{Expense, Purse};
use crate::target::Code;
use crate::time::{MonoNs, Ns};

/// From here on a hold is long although nobody waits.
const LONG_ALONE: Ns = Ns::from_millis(100);
/// Time between two looks at a holder that sleeps: while somebody waits, and otherwise.
const ASLEEP_SPACING: (Ns, Ns) = (Ns::from_millis(50), Ns::from_millis(250));
/// Time between two bursts of samples: while somebody waits, and otherwise.
const BURST_SPACING: (Ns, Ns) = (Ns::from_millis(250), Ns::SECOND);
/// Samples in a burst.
const SAMPLES: u64 = 4;
/// The time on a core that lies between two of them. No divisor of a switch interval or of a clock tick.
const PERIOD: Ns = Ns(3_700_000);
/// A burst ends by then, however few samples came: the holder may be in the kernel, or without a core.
const LONGEST_BURST: Ns = Ns::from_millis(80);
/// Pages of the ring that samples come in: seven samples.
const PAGES: usize = 8;
/// Holds that are over, of which an answer may still come.
const PAST: usize = 64;
/// Answers that wait for the look that confirms them.
const UNCONFIRMED: usize = 64;
/// Pieces of code that are told of one process image.
const MOST_PLACES: usize = 1_024;

/// Whether to find out which native code holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeLooks {
    /// No.
    Never,
    /// Where it costs nothing, and by samples within the budget: without one, of holders that sleep only.
    WithinBudget,
    /// Also by samples where there is no budget, at the same rate.
    Always,
}

/// Finds out which native code holds the GILs of one process image.
#[derive(Debug)]
pub struct Natives {
    samples: Samples,
    resolver: Option<Resolver>,
    tids: BTreeMap<ThreadKey, Tid>,
    holds: BTreeMap<GilKey, Held>,
    past: VecDeque<Held>,
    number: u64,
    burst: Option<Burst>,
    /// When the last burst began.
    burst_at: MonoNs,
    unconfirmed: Vec<Answer>,
    told: BTreeMap<NativeInfo, NativeKey>,
}

/// Whether the kernel is asked for samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Samples {
    /// No, or it refuses.
    Off,
    /// If the purse has them.
    Paid,
    /// Anyway.
    Free,
}

/// A hold, as far as it was seen.
#[derive(Debug, Clone, Copy)]
struct Held {
    number: u64,
    gil: GilKey,
    thread: ThreadKey,
    switch_number: u64,
    from: MonoNs,
    until: MonoNs,
    waiters: u32,
    placement: Option<Placement>,
    /// When it was looked at last.
    looked: Option<MonoNs>,
}

impl Held {
    fn is_long(&self) -> bool {
        let length = self.until.since(self.from);
        length >= if self.waiters > 0 { LONG_HOLD } else { LONG_ALONE }
    }

    fn is_due(&self, now: MonoNs, (waited, alone): (Ns, Ns)) -> bool {
        let spacing = if self.waiters > 0 { waited } else { alone };
        self.is_long() && self.looked.is_none_or(|looked| now.since(looked) >= spacing)
    }
}

/// A few samples of one holder.
#[derive(Debug)]
struct Burst {
    ring: Ring,
    hold: u64,
    began: MonoNs,
    taken: u64,
}

impl Natives {
    /// Begins with a process image whose code is this; `None`: it cannot be read.
    pub fn begin(looks: NativeLooks, code: Option<Code>) -> Natives {
        let samples = match looks {
            NativeLooks::Never => Samples::Off,
            NativeLooks::WithinBudget => Samples::Paid,
            NativeLooks::Always => Samples::Free,
        };
        Natives {
            samples,
            resolver: code.filter(|_| looks != NativeLooks::Never).and_then(Resolver::start),
            tids: BTreeMap::new(),
            holds: BTreeMap::new(),
            past: VecDeque::new(),
            number: 0,
            burst: None,
            burst_at: MonoNs(0),
            unconfirmed: Vec::new(),
            told: BTreeMap::new(),
        }
    }

    /// Follows the holds that `news` tells of.
    pub fn follow(&mut self, news: &[Event]) {
        if self.resolver.is_none() {
            return;
        }
        for event in news {
            match &event.what {
                What::ThreadFound { thread, info } => {
                    if let Some(tid) = info.tid {
                        self.tids.insert(*thread, tid);
                    }
                }
                What::ThreadEnded { thread } => drop(self.tids.remove(thread)),
                What::GilSample(sample) => {
                    let Hold::By { thread, placement } = sample.hold else {
                        self.end(sample.gil);
                        continue;
                    };
                    let goes_on =
                        |held: &&mut Held| held.thread == thread && held.switch_number == sample.switch_number;
                    if let Some(held) = self.holds.get_mut(&sample.gil).filter(goes_on) {
                        held.until = event.at;
                        held.waiters = sample.waiters.unwrap_or(0);
                        held.placement = placement.or(held.placement);
                        continue;
                    }
                    self.end(sample.gil);
                    self.number += 1;
                    let held = Held {
                        number: self.number,
                        gil: sample.gil,
                        thread,
                        switch_number: sample.switch_number,
                        from: event.at,
                        until: event.at,
                        waiters: sample.waiters.unwrap_or(0),
                        placement,
                        looked: None,
                    };
                    self.holds.insert(sample.gil, held);
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, gil: GilKey) {
        // Of a short one nothing was asked.
        let Some(held) = self.holds.remove(&gil).filter(|held| held.looked.is_some()) else { return };
        if self.past.len() >= PAST {
            self.past.pop_front();
        }
        self.past.push_back(held);
    }

    /// Looks at holders that it is time to look at, and tells what came of earlier looks.
    pub fn govern(&mut self, now: MonoNs, purse: &mut Purse, keys: &mut Keys, events: &mut Vec<Event>) {
        if self.resolver.is_none() {
            return;
        }
        self.drain(now, purse);
        let due: Vec<GilKey> = self.holds.values().filter(|held| held.is_long()).map(|held| held.gil).collect();
        for gil in due {
            let Some(held) = self.holds.get_mut(&gil) else { continue };
            let Some(tid) = self.tids.get(&held.thread).copied() else { continue };
            match held.placement {
                Some(Placement::Asleep(_)) if held.is_due(now, ASLEEP_SPACING) => {
                    held.looked = Some(now);
                    let number = held.number;
                    self.ask(Question::Asleep { hold: number, tid });
                }
                Some(Placement::OnOrQueued(_)) if held.is_due(now, BURST_SPACING) => {
                    let held = *held;
                    self.begin_burst(held, tid, now, purse);
                }
                _ => {}
            }
        }
        self.tell(keys, events);
    }

    fn begin_burst(&mut self, held: Held, tid: Tid, now: MonoNs, purse: &mut Purse) {
        // Short of one another, bursts would follow each hold of a program that has many.
        if self.burst.is_some() || now.since(self.burst_at) < BURST_SPACING.0 {
            return;
        }
        let costs = purse.costs();
        let most = Ns(costs.sample().0.saturating_mul(SAMPLES + 1)) + costs.arming;
        match self.samples {
            Samples::Off => return,
            Samples::Paid if purse.left(now) < most => return,
            Samples::Paid | Samples::Free => {}
        }
        self.burst_at = now;
        if let Some(held) = self.holds.get_mut(&held.gil) {
            held.looked = Some(now);
        }
        let ring = perf::user_samples(tid, PERIOD).and_then(|event| Ring::map(event, PAGES));
        match ring {
            Ok(ring) if ring.leaves_descriptors() => {
                purse.pay(now, Expense::Arms(1));
                self.burst = Some(Burst { ring, hold: held.number, began: now, taken: 0 });
            }
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => {
                // Also where no more memory may be locked: rings of others need it more.
                self.samples = Samples::Off;
            }
            Err(_) => {}
        }
    }

    /// Takes the samples that came, and ends a burst that has its number.
    fn drain(&mut self, now: MonoNs, purse: &mut Purse) {
        let Some(burst) = &mut self.burst else { return };
        let mut found = Vec::new();
        burst.ring.drain_whole(&mut [0; LONGEST_SAMPLE], |record| {
            found.extend(record.and_then(UserSample::parse));
        });
        let (number, hold) = (found.len() as u64, burst.hold);
        burst.taken += number;
        purse.pay(now, Expense::Samples(number));
        let goes_on = self
            .holds
            .values()
            .any(|held| held.number == hold && !matches!(held.placement, Some(Placement::Asleep(_))));
        if burst.taken >= SAMPLES || !goes_on || now.since(burst.began) >= LONGEST_BURST {
            self.burst = None;
        }
        for sample in found {
            self.ask(Question::OnCore { hold, sample: Box::new(sample) });
        }
    }

    fn ask(&self, question: Question) {
        if let Some(resolver) = &self.resolver {
            resolver.ask(question);
        }
    }

    /// Tells what the answers say that have come, as far as the looks beside them confirm it.
    fn tell(&mut self, keys: &mut Keys, events: &mut Vec<Event>) {
        let room = UNCONFIRMED.saturating_sub(self.unconfirmed.len());
        if let Some(resolver) = &self.resolver {
            self.unconfirmed.extend(resolver.answers().take(room));
        }
        for answer in std::mem::take(&mut self.unconfirmed) {
            let current = self.holds.values().find(|held| held.number == answer.hold);
            let held = current.or_else(|| self.past.iter().find(|held| held.number == answer.hold)).copied();
            match held {
                Some(held) if held.from <= answer.at && answer.at <= held.until => {
                    self.tell_one(held, answer, keys, events);
                }
                // The next look tells.
                Some(held) if current.is_some() && held.until < answer.at => self.unconfirmed.push(answer),
                _ => {}
            }
        }
    }

    fn tell_one(&mut self, held: Held, answer: Answer, keys: &mut Keys, events: &mut Vec<Event>) {
        let now = clock::now();
        let native = match self.told.get(&answer.info) {
            Some(native) => *native,
            None if self.told.len() >= MOST_PLACES => return,
            None => {
                let native = keys.native();
                self.told.insert(answer.info.clone(), native);
                events.push(Event { at: now, what: What::NativeFound { native, info: Box::new(answer.info) } });
                native
            }
        };
        let Held { gil, thread, .. } = held;
        events.push(Event {
            at: now,
            what: What::NativeSampled { gil, thread, native, instant: answer.at, how: answer.how },
        });
    }

    /// The image is over, or the observation: nobody is sampled any more.
    pub fn finish(&mut self, keys: &mut Keys, events: &mut Vec<Event>) {
        self.burst = None;
        self.tell(keys, events);
        self.resolver = None;
    }
}
