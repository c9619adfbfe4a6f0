//! What the holder of a GIL executes, and now and then a thread that waits for it, looked at while somebody waits.
//!
//! A thread of its own draws random instants. At each it reads the GIL's words; if the GIL is held and somebody waits, it
//! has py-spy walk the holder's frames and reads the words again. The target is not stopped, so a walk takes place while
//! the thread may run on.
//!
//! **What can be believed.** A thread changes its frames only while it holds the GIL. So a walk of the frames of whoever
//! held it at the instant is of that hold, or of where it ended, as long as that thread has not taken the GIL again
//! meanwhile: CPython's count of handoffs tells. Whoever let go of it during the walk is where it let go. Were such walks
//! thrown away, a hold of 1 ms would lose a tenth of its samples to walks of 100 us, one of 50 ms hardly any. What cannot
//! be believed is told as a sample without a stack: it stands for its time all the same.
//!
//! At some of the instants one of those that wait is walked instead: who it is, is drawn by lot. It sleeps, and has slept
//! without a break if the kernel has not given it a core since; then its frames are those that it waits in.

mod interned;
mod pace;
mod waiters;
mod walker;

use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread;

use crate::event::{Frame, GilKey, Pid, ProcessKey, SampleCause, StacksMissing, What};
use crate::instruments::clock;
use crate::instruments::keys::Keys;
use crate::instruments::merge::Merge;
use crate::instruments::roster::StateKey;
use crate::instruments::sampler::Sampler;
use crate::instruments::stacks::interned::Interned;
use crate::instruments::stacks::pace::Pace;
use crate::instruments::stacks::waiters::Waiters;
pub use crate::instruments::stacks::waiters::{Drawn, draw};
use crate::instruments::stacks::walker::{Walk, Walker};
use crate::instruments::watch::holder_state;
use crate::target::{GilProbe, GilReading, Memory, ThreadState};
use crate::time::{MonoNs, Ns};

/// Samples that may wait to be told.
const QUEUE: usize = 512;
/// Longest sleep, so that an end is noticed.
const NAP: Ns = Ns(50_000_000);
/// A look that comes later than this after its instant is none: cores come free when threads let go of the GIL.
const TOLERANCE: Ns = Ns(500_000);
/// A hold that lasts this long is named, whether somebody waits or not.
const LONG_HOLD: Ns = Ns(100_000_000);
/// Attempts to get to know the interpreter: one that is only just up may not be ready for it.
const ATTEMPTS: u32 = 3;
/// Reads of a GIL that may fail in a row before it is taken to be gone.
const FAILURES: u32 = 20;

/// Of so many instants one is for those that wait.
const FOR_WAITERS: u64 = 4;

/// Tells what holders execute. The thread behind it ends by itself when this value is dropped.
#[derive(Debug)]
pub struct Stacks {
    process: ProcessKey,
    told: Sender<News>,
    found: Receiver<Found>,
    over: bool,
}

/// The definitions of a capture: they outlive the processes that it watches.
#[derive(Debug, Default)]
pub struct Definitions(Interned);

/// What the thread is told.
#[derive(Debug)]
enum News {
    Gil(Box<(GilKey, GilProbe)>),
    Threads(Vec<ThreadState>),
    Slow(u32),
}

/// What the thread has found.
#[derive(Debug)]
enum Found {
    Sample(Sample),
    Waiter(Waiter),
    Missing(StacksMissing),
}

#[derive(Debug)]
struct Sample {
    gil: GilKey,
    holder: StateKey,
    instant: MonoNs,
    frames: Option<Vec<Frame>>,
    cause: SampleCause,
}

#[derive(Debug)]
struct Waiter {
    gil: GilKey,
    state: StateKey,
    instant: MonoNs,
    frames: Option<Vec<Frame>>,
    stands_for: Ns,
}

impl Stacks {
    /// Begins to look into a process; `None` if there can be no thread for it.
    pub fn begin(pid: Pid, process: ProcessKey) -> Option<Stacks> {
        let (told, news) = channel();
        let (tell, found) = sync_channel(QUEUE);
        let look = move || {
            if let Ok(memory) = Memory::open(pid) {
                let seed = clock::now().0;
                Looker {
                    pid,
                    memory,
                    sites: Vec::new(),
                    waiters: Waiters::new(pid, seed ^ 1),
                    random: fastrand::Rng::with_seed(seed ^ 2),
                    walker: None,
                    attempts: 0,
                    pace: Pace::new(seed),
                    news,
                    tell,
                }
                .look();
            }
        };
        thread::Builder::new().name("gilscope-stacks".to_owned()).spawn(look).ok()?;
        Some(Stacks { process, told, found, over: false })
    }

    /// From here on its instants are so many times as far apart as they would be otherwise.
    pub fn slow(&self, times: u32) {
        let _over = self.told.send(News::Slow(times));
    }

    /// Tells what was found since. What was before `floor` has been told already.
    pub fn drain(
        &mut self,
        floor: MonoNs,
        sampler: &mut Sampler,
        defined: &mut Definitions,
        keys: &mut Keys,
        merge: &mut Merge,
    ) {
        for site in sampler.new_probes() {
            let _over = self.told.send(News::Gil(Box::new(site)));
        }
        if let Some(threads) = sampler.new_thread_states() {
            let _over = self.told.send(News::Threads(threads));
        }
        while !self.over {
            let found = match self.found.try_recv() {
                Ok(found) => found,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Found::Missing(StacksMissing::Unreadable),
            };
            match found {
                Found::Missing(why) => {
                    self.over = true;
                    merge.push(clock::now(), What::StacksMissing { process: self.process, why });
                }
                Found::Waiter(waiter) => {
                    let Some(thread) = sampler.thread_of(waiter.state) else { continue };
                    let (gil, instant, stands_for) = (waiter.gil, waiter.instant, waiter.stands_for);
                    let at = instant.max(floor);
                    let stack = waiter.frames.and_then(|frames| defined.0.stack(frames, at, keys, merge));
                    merge.push(at, What::WaiterSampled { gil, thread, instant, stack, stands_for });
                }
                Found::Sample(sample) => {
                    let Some(thread) = sampler.thread_of(sample.holder) else { continue };
                    let (gil, instant, cause) = (sample.gil, sample.instant, sample.cause);
                    let at = instant.max(floor);
                    let stack = sample.frames.and_then(|frames| defined.0.stack(frames, at, keys, merge));
                    merge.push(at, What::StackSampled { gil, thread, instant, stack, cause });
                }
            }
        }
    }
}

/// One GIL that is looked at.
#[derive(Debug)]
struct Site {
    gil: GilKey,
    probe: GilProbe,
    failures: u32,
    hold: Option<LongHold>,
}

impl Site {
    /// What the GIL is like now; `None`, which is counted, if that cannot be read.
    fn read(&mut self, memory: &Memory) -> Option<GilReading> {
        let read = self.probe.read(memory).ok();
        self.failures = if read.is_some() { 0 } else { self.failures + 1 };
        read
    }
}

/// A hold as far as it was seen at one look after the other.
#[derive(Debug, Clone, Copy)]
struct LongHold {
    holder: StateKey,
    switch_number: u64,
    since: MonoNs,
    named: bool,
}

/// The thread's state.
struct Looker {
    pid: Pid,
    memory: Memory,
    sites: Vec<Site>,
    waiters: Waiters,
    random: fastrand::Rng,
    walker: Option<Walker>,
    attempts: u32,
    pace: Pace,
    news: Receiver<News>,
    tell: SyncSender<Found>,
}

/// Whether there is somebody to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// What was drawn counts no more.
    Anew,
    Over,
}

impl Looker {
    fn look(mut self) {
        clock::punctual();
        loop {
            let (due, every) = self.pace.next(clock::now());
            match self.sleep_until(due) {
                Goes::On => {}
                // To the next instant it is as far as from any other.
                Goes::Anew => continue,
                Goes::Over => return,
            }
            if clock::now().since(due) > TOLERANCE {
                continue;
            }
            // Each kind's instants are again at random, so much rarer.
            let for_waiters = self.random.u64(..FOR_WAITERS) == 0;
            for index in 0..self.sites.len() {
                let goes = match for_waiters {
                    true => self.look_at_a_waiter(index, Ns(every.0 * FOR_WAITERS)),
                    false => self.look_at(index, Ns(every.0 * FOR_WAITERS / (FOR_WAITERS - 1))),
                };
                if goes == Goes::Over {
                    return;
                }
            }
            self.sites.retain(|site| site.failures < FAILURES);
            self.pace.adapt(clock::now(), clock::thread_cpu());
        }
    }

    fn sleep_until(&mut self, due: MonoNs) -> Goes {
        loop {
            loop {
                match self.news.try_recv() {
                    Ok(News::Gil(site)) => {
                        let (gil, probe) = *site;
                        self.sites.push(Site { gil, probe, failures: 0, hold: None });
                    }
                    Ok(News::Threads(threads)) => self.waiters.set(&threads),
                    Ok(News::Slow(times)) => {
                        self.pace.slow(times);
                        return Goes::Anew;
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Goes::Over,
                }
            }
            let now = clock::now();
            if now >= due {
                return Goes::On;
            }
            clock::sleep_until(due.min(now + NAP));
        }
    }

    fn look_at(&mut self, index: usize, every: Ns) -> Goes {
        let site = &mut self.sites[index];
        let instant = clock::now();
        let Some(before) = site.read(&self.memory) else { return Goes::On };
        let Some((holder, key)) = before.holder.zip(holder_state(&before)) else {
            site.hold = None;
            return Goes::On;
        };
        let hold = LongHold { holder: key, switch_number: before.switch_number, since: instant, named: false };
        let mut hold = site.hold.filter(|h| h.holder == key && h.switch_number == before.switch_number).unwrap_or(hold);
        let is_long = !hold.named && instant.since(hold.since) >= LONG_HOLD;
        let cause = match before.waiters {
            Some(0) if is_long => SampleCause::LongHold,
            Some(0) => {
                site.hold = Some(hold);
                return Goes::On;
            }
            Some(_) | None => SampleCause::Random { every },
        };
        hold.named |= is_long;
        site.hold = Some(hold);
        let Some(walker) = &mut self.walker else { return self.get_to_know() };
        let (probe, memory) = (&mut site.probe, &self.memory);
        let mut walk = walker.walk(probe, holder.pthread);
        let mut is_of_hold = is_of(&before, probe.read(memory).ok());
        if matches!(walk, Walk::Torn) && is_of_hold {
            walk = walker.walk(probe, holder.pthread);
            is_of_hold = is_of(&before, probe.read(memory).ok());
        }
        let frames = match walk {
            Walk::Frames(frames) if is_of_hold => Some(frames),
            Walk::Frames(_) | Walk::Torn => None,
            Walk::Never => return self.say(Found::Missing(StacksMissing::UnknownLayout)),
        };
        let gil = site.gil;
        self.say(Found::Sample(Sample { gil, holder: key, instant, frames, cause }))
    }

    /// It reads the program's symbols, which takes long: the instant is over by then.
    fn get_to_know(&mut self) -> Goes {
        match Walker::new(self.pid) {
            Ok(walker) => {
                self.walker = Some(walker);
                self.pace.forget(clock::now(), clock::thread_cpu());
                Goes::On
            }
            Err(why) => {
                self.attempts += 1;
                if self.attempts < ATTEMPTS { Goes::On } else { self.say(Found::Missing(why)) }
            }
        }
    }

    /// At an instant for one that waits.
    fn look_at_a_waiter(&mut self, index: usize, every: Ns) -> Goes {
        let site = &mut self.sites[index];
        let instant = clock::now();
        let Some(reading) = site.read(&self.memory) else { return Goes::On };
        if reading.waiters == Some(0) {
            return Goes::On;
        }
        let Some(walker) = &mut self.walker else { return self.get_to_know() };
        let Some(drawn) = self.waiters.draw(&site.probe, reading.waiters) else { return Goes::On };
        let Some(state) = self.waiters.state(&drawn) else { return Goes::On };
        let link = site.probe.link_to(&self.memory, state.address).ok().flatten();
        let walk = link.map(|link| walker.walk_from(&site.probe, link, state.pthread));
        let frames = match walk {
            Some(Walk::Frames(frames)) if self.waiters.sleeps_on(&drawn) => Some(frames),
            Some(Walk::Frames(_) | Walk::Torn | Walk::Never) | None => None,
        };
        let (gil, stands_for) = (site.gil, drawn.stands_for(every));
        let state = StateKey { address: state.address, unique_id: state.unique_id };
        self.say(Found::Waiter(Waiter { gil, state, instant, frames, stands_for }))
    }

    fn say(&self, found: Found) -> Goes {
        let is_last = matches!(found, Found::Missing(_));
        if is_last {
            let _over = self.tell.send(found);
            return Goes::Over;
        }
        match self.tell.try_send(found) {
            Err(TrySendError::Disconnected(_)) => Goes::Over,
            Ok(()) | Err(TrySendError::Full(_)) => Goes::On,
        }
    }
}

/// Whether frames that were walked between the two readings are those of the holder at the first of them: it has not taken
/// the GIL again since. Each handoff is to another thread, so it takes two to come back.
fn is_of(before: &GilReading, after: Option<GilReading>) -> bool {
    let Some(after) = after else { return false };
    match after.switch_number.wrapping_sub(before.switch_number) {
        0 | 1 => true,
        2 => after.last_holder != before.last_holder,
        _ => false,
    }
}
