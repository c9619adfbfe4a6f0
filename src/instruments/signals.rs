//! Signals on their way to Python: what is pending, found by looking, and the steps that the kernel tells.
//!
//! The looks are part of the sampler's tick. Four bytes say whether any signal is pending; all else is read only when
//! they are set, when another instrument has learned of a step, or at a lower rate.

mod arrivals;
mod known;
mod main;
mod standing;
mod trips;

use crate::event::{Event, Flag, PendingSignals, ProcessKey, SignalSet, ThreadKey, Tid, WaitingSignals, What};
use crate::instruments::clock;
use crate::instruments::job::Job;
use crate::instruments::sampler::Punctuality;
use crate::instruments::signals::known::Known;
use crate::instruments::signals::main::Main;
use crate::instruments::signals::standing::{Standing, Telling};
use crate::instruments::switches::Moves;
use crate::target::{HandlerTable, Memory, PendingWord, SignalStatus, Target, Task, ThreadState};
use crate::time::{MonoNs, Ns};

pub use arrivals::Arrivals;
pub use trips::{Beside, Trips};

/// Between two looks at what the kernel has not delivered, while nothing is known to be on its way.
const KERNEL_SPACING: Ns = Ns(50_000_000);
/// While something is, these looks may take one part in so many of the time.
const KERNEL_SHARE: u64 = 20;
/// Between two looks at the word for pending signals while every write of it is told.
const MEMORY_SPACING: Ns = Ns(20_000_000);
/// Far longer than from a write to the kernel's stamp of it.
const SETTLING: Ns = Ns(20_000);
/// How often a look is taken again that is not the same after that time.
const LOOKS: usize = 3;

/// Looks at the signals of one process image.
#[derive(Debug)]
pub struct SignalLooks {
    process: ProcessKey,
    known: Known,
    main: Option<Main>,
    pending: Standing<PendingSignals>,
    waiting: Standing<Option<WaitingSignals>>,
    kernel: Job,
    steps: Steps,
    writes: Writes,
    /// When memory was looked at last.
    looked: MonoNs,
}

/// Whether another instrument tells every write of the word for pending signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Every one, by whichever thread.
    Told,
    /// Not every one.
    Unseen,
}

/// Whether another instrument has learned of a step since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    None,
    Learned,
}

impl SignalLooks {
    /// Nothing was looked at yet.
    pub fn new(process: ProcessKey) -> SignalLooks {
        SignalLooks {
            process,
            known: Known::new(),
            main: None,
            pending: Standing::new(PendingSignals::UNKNOWN),
            waiting: Standing::new(None),
            kernel: Job::new(Ns::ZERO, KERNEL_SHARE),
            steps: Steps::None,
            writes: Writes::Unseen,
            looked: MonoNs(0),
        }
    }

    /// Whether another instrument tells every write of the word: then it is looked at more rarely.
    pub fn writes_are(&mut self, told: Writes) {
        self.writes = told;
    }

    /// The word that says whether any signal is pending, if it was found.
    pub fn pending_word(&self) -> Option<PendingWord> {
        self.known.pending_word()
    }

    /// A step is known of: the next look says what became of it.
    pub fn expect(&mut self) {
        self.steps = Steps::Learned;
    }

    /// Nobody has heard what was told: all is told anew.
    pub fn forget(&mut self) {
        self.known.forget();
        self.pending.forget();
        self.waiting.forget();
        if let Some(main) = &mut self.main {
            main.forget();
        }
    }

    /// The main thread is this one; `None`: it is not in view.
    pub fn meet_main(&mut self, target: &Target, main: Option<(ThreadKey, ThreadState)>, events: &mut Vec<Event>) {
        if self.main.as_ref().map(|main| (main.thread(), main.state()))
            == main.map(|(key, it)| (key, (it.address, it.unique_id)))
        {
            return;
        }
        if let Some(gone) = self.main.take() {
            gone.leave(clock::now(), events);
        }
        self.main = main.map(|(thread, state)| Main::new(target, thread, &state));
    }

    /// Looks at what is pending, and now and then at what handles it.
    pub fn look(&mut self, target: &Target, events: &mut Vec<Event>) {
        let at = clock::now();
        self.known.search(target, at);
        let steps = std::mem::replace(&mut self.steps, Steps::None);
        let telling = if steps == Steps::Learned { Telling::Always } else { Telling::IfNew };
        let quiet = self.writes == Writes::Told && self.pending.told().is_some_and(is_quiet);
        if !quiet || telling == Telling::Always || at.since(self.looked) >= MEMORY_SPACING {
            self.looked = at;
            self.look_at_memory(target.memory(), at, telling, events);
        }
        let on_its_way = self.pending.told().is_some_and(is_on_its_way)
            || self.waiting.told().flatten().is_some_and(|it| !(it.process | it.main).is_empty());
        let spacing = if on_its_way { Ns::ZERO } else { KERNEL_SPACING };
        let status = match telling == Telling::Always || at >= self.kernel.due.max(self.kernel.began + spacing) {
            true => self.look_at_kernel(target, at, telling, events),
            false => None,
        };
        let main = self.main.as_ref().map(Main::thread);
        let caught = status.map(|status| status.caught);
        self.known.look(target, self.process, main, caught, at, events);
    }

    /// Looks at the main thread's progress, unless the look is late: what such a look sees is not what a random instant
    /// sees.
    pub fn look_at_main(&mut self, memory: &Memory, when: Punctuality, moves: &Moves<'_>, events: &mut Vec<Event>) {
        if let Some(main) = &mut self.main {
            main.look(memory, when, moves, events);
        }
    }

    fn look_at_memory(&mut self, memory: &Memory, at: MonoNs, telling: Telling, events: &mut Vec<Event>) {
        let process = self.process;
        let told = |at, (pending, gap)| Event { at, what: What::SignalsPending { process, pending, gap } };
        let before = self.pending.told();
        let mut seen = self.read(memory, at, telling);
        // The kernel stamps a write some microseconds after it is seen here: a look that might come before its step is
        // taken once more.
        for _ in 0..LOOKS {
            let Some((at, found)) = seen.filter(|(_, found)| telling == Telling::Always || before != Some(*found))
            else {
                break;
            };
            let later = at + SETTLING;
            while clock::now() < later {
                std::hint::spin_loop();
            }
            seen = self.read(memory, clock::now(), Telling::Always);
            if seen.is_some_and(|(_, again)| again == found || is_quiet(again) && is_quiet(found)) {
                break;
            }
        }
        match seen {
            Some((at, found)) => events.extend(self.pending.look(at, found, telling).map(|it| told(at, it))),
            None => {
                self.known.search_again();
                events.extend(self.pending.fail(at).map(|it| told(at, it)));
            }
        }
    }

    /// What is pending, from `at` on.
    fn read(&self, memory: &Memory, at: MonoNs, telling: Telling) -> Option<(MonoNs, PendingSignals)> {
        let set = self.known.pending_word()?.is_set(memory).ok()?;
        let flag = if set { Flag::Set } else { Flag::Clear };
        let before = self.pending.told();
        let ask = set || telling == Telling::Always || before.is_some_and(is_on_its_way);
        let table = self.known.table().filter(|_| ask);
        let tripped = table.and_then(|table: HandlerTable| table.tripped(memory).ok());
        let found = PendingSignals { flag, tripped };
        // What is not asked for since there is none, is none.
        Some((at, if ask { found } else { before.filter(|it| is_quiet(*it)).unwrap_or(found) }))
    }

    fn look_at_kernel(
        &mut self,
        target: &Target,
        at: MonoNs,
        telling: Telling,
        events: &mut Vec<Event>,
    ) -> Option<SignalStatus> {
        let pid = target.info().pid;
        let process = self.process;
        let told = |(waiting, gap)| Event { at, what: What::SignalsWaiting { process, waiting, gap } };
        self.kernel.begins(at);
        // As long as the main thread is not known, the one with the process's id tells what goes for all.
        let tid = self.main.as_ref().and_then(Main::tid).unwrap_or(Tid(pid.0));
        let status = Task::new(pid, tid).signals();
        self.kernel.spent(at);
        // Without the main thread nobody knows whose signals these are.
        let told = match (&status, &self.main) {
            (Ok(status), Some(_)) => {
                let waiting =
                    WaitingSignals { process: status.shared_pending, main: status.pending, blocked: status.blocked };
                self.waiting.look(at, Some(waiting), telling).map(told)
            }
            _ => self.waiting.fail(at).map(told),
        };
        events.extend(told);
        status.ok()
    }
}

/// Whether some signal has been tripped, and not been handled.
fn is_on_its_way(pending: PendingSignals) -> bool {
    pending.flag == Flag::Set || pending.tripped.is_some_and(|tripped| !tripped.is_empty())
}

/// Whether it is known that none has.
fn is_quiet(pending: PendingSignals) -> bool {
    pending.flag == Flag::Clear && pending.tripped.unwrap_or(SignalSet::EMPTY).is_empty()
}
