//! One signal after the other, each followed until it is handled.

use thiserror::Error;

use crate::event::{Lookup, Pid, Signal, Tid};
use crate::instruments::clock;
use crate::interrupt::{Consent, Pace, Permit, Refused, SendError, Sender};
use crate::target::{HandlerTable, ImageState, ReadError, SignalSites, SignalStatus, Target, Task, TaskError};
use crate::time::{MonoNs, Ns};

/// How often it is looked what became of a signal.
const POLL: Ns = Ns(200_000);
/// A signal that is neither pending in the kernel nor tripped is handled, or between the two: for some microseconds, or
/// longer if the thread that got it has no core. If it is so for this long, it is handled.
const QUIET: Ns = Ns(2_000_000);
/// The longest sleep, so that a stop is noticed.
const NAP: Ns = Ns(50_000_000);
/// A program that has taken its handlers back ends within this time.
const ENDING: Ns = Ns(3_000_000_000);

/// What to send, and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Which signal.
    pub signal: Signal,
    /// How often.
    pub count: u32,
    /// The random pause between two, on average.
    pub pause: Ns,
    /// How long a signal may stay unhandled before no other is sent.
    pub patience: Ns,
    /// What the user has agreed to.
    pub consent: Consent,
}

/// A signal that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Just before.
    pub at: MonoNs,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its Python handler was called, after no longer than this. The call came up to [`POLL`] before.
    Handled(Ns),
    /// Nobody has handled it by the end.
    Unhandled(Stage),
    /// The process is over, or has become another.
    Gone,
}

/// How far a signal has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The kernel keeps it: all threads block it, or none has run since.
    Undelivered,
    /// CPython's C handler has run, and the main thread has not looked since.
    Tripped,
}

/// Why no further signal was sent.
#[derive(Debug, Error)]
pub enum Stopped {
    /// It may not be sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The target could not be read.
    #[error("what becomes of a signal cannot be seen: {0}")]
    Read(#[from] ReadError),
    /// Nor could the kernel's word on it.
    #[error("what becomes of a signal cannot be seen: {0}")]
    Task(#[from] TaskError),
    /// One took too long.
    #[error("{signal} has been {} for {after} and is not handled: no other is sent", match stage {
        Stage::Undelivered => "pending in the kernel",
        Stage::Tripped => "waiting for the main thread",
    })]
    Unhandled {
        /// Which.
        signal: Signal,
        /// How far it got.
        stage: Stage,
        /// For how long.
        after: Ns,
    },
}

/// Sends what `plan` says to `target` until `is_over`, and tells each sending to `sent` just before it. All that were
/// sent, and why there were not more, if that is so.
pub fn run(
    target: &Target,
    plan: &Plan,
    is_over: &dyn Fn() -> bool,
    sent: &mut dyn FnMut(MonoNs, Signal),
) -> (Vec<Sent>, Result<(), Stopped>) {
    let mut all = Vec::new();
    let result = Victim::of(target).and_then(|victim| victim.send_all(plan, is_over, sent, &mut all));
    (all, result)
}

/// Whether `signal` may be sent to `target` now.
///
/// # Errors
/// Why not.
pub fn may_send(target: &Target, signal: Signal, consent: Consent) -> Result<Permit, Stopped> {
    Victim::of(target)?.permit(signal, consent)
}

/// Whoever gets the signals.
struct Victim<'a> {
    target: &'a Target,
    pid: Pid,
    process: Task,
    sender: Sender,
    sites: SignalSites,
}

impl Victim<'_> {
    fn of(target: &Target) -> Result<Victim<'_>, Stopped> {
        let pid = target.info().pid;
        let sender = Sender::open(pid)?;
        let process = Task::new(pid, Tid(pid.0));
        Ok(Victim { target, pid, process, sender, sites: target.signal_sites()? })
    }

    fn table(&self) -> Option<&HandlerTable> {
        self.sites.handlers.as_ref()
    }

    fn permit(&self, signal: Signal, consent: Consent) -> Result<Permit, Stopped> {
        let handler = match self.table().map(|table| table.handlers(self.target.memory())) {
            Some(Ok(handlers)) => Lookup::Found(handlers.of(signal)),
            Some(Err(_)) => Lookup::Unreadable,
            None => Lookup::Nowhere,
        };
        Ok(Permit::ask(signal, self.pid, &self.process.signals()?, handler, consent)?)
    }

    fn send_all(
        &self,
        plan: &Plan,
        is_over: &dyn Fn() -> bool,
        told: &mut dyn FnMut(MonoNs, Signal),
        all: &mut Vec<Sent>,
    ) -> Result<(), Stopped> {
        let mut pace = Pace::new(plan.pause, clock::now().0);
        for _ in 0..plan.count {
            sleep(pace.pause(), is_over);
            if is_over() {
                return Ok(());
            }
            if self.target.image() != ImageState::Same {
                return Err(SendError::Gone(self.pid).into());
            }
            let permit = match self.permit(plan.signal, plan.consent) {
                Err(Stopped::Refused(_)) if !all.is_empty() && self.ends(is_over) => {
                    return Err(SendError::Gone(self.pid).into());
                }
                permit => permit?,
            };
            let at = clock::now();
            told(at, plan.signal);
            self.sender.send(permit)?;
            let fate = self.follow(plan, at, is_over)?;
            all.push(Sent { at, fate });
            match fate {
                Fate::Handled(delay) => pace.took(delay),
                Fate::Gone => return Err(SendError::Gone(self.pid).into()),
                Fate::Unhandled(_) if is_over() => return Ok(()),
                Fate::Unhandled(stage) => {
                    return Err(Stopped::Unhandled { signal: plan.signal, stage, after: clock::now().since(at) });
                }
            }
        }
        Ok(())
    }

    /// Whether it ends soon: Python takes its handlers back when it does (`_PySignal_Fini`).
    fn ends(&self, is_over: &dyn Fn() -> bool) -> bool {
        let is_gone = || self.target.image() != ImageState::Same;
        sleep(ENDING, &|| is_over() || is_gone());
        is_gone()
    }

    /// What becomes of a signal that was sent at `at`.
    fn follow(&self, plan: &Plan, at: MonoNs, is_over: &dyn Fn() -> bool) -> Result<Fate, Stopped> {
        let mut quiet: Option<MonoNs> = None;
        loop {
            clock::sleep_until(clock::now() + POLL);
            let now = clock::now();
            let stage = match self.stage(plan.signal) {
                Ok(stage) => stage,
                Err(_) if self.target.image() != ImageState::Same => return Ok(Fate::Gone),
                Err(error) => return Err(error),
            };
            quiet = match stage {
                None => Some(quiet.unwrap_or(now)),
                Some(_) => None,
            };
            if let Some(since) = quiet.filter(|since| now.since(*since) >= QUIET) {
                return Ok(Fate::Handled(since.since(at)));
            }
            if let Some(stage) = stage.filter(|_| is_over() || now.since(at) >= plan.patience) {
                return Ok(Fate::Unhandled(stage));
            }
        }
    }

    fn stage(&self, signal: Signal) -> Result<Option<Stage>, Stopped> {
        let tripped = || -> Result<bool, ReadError> {
            let table = self.table().map(|table| table.tripped(self.target.memory())).transpose()?;
            Ok(table.is_some_and(|tripped| tripped.contains(signal)))
        };
        if tripped()? {
            return Ok(Some(Stage::Tripped));
        }
        let SignalStatus { pending, shared_pending, .. } = self.process.signals()?;
        if pending.contains(signal) || shared_pending.contains(signal) {
            return Ok(Some(Stage::Undelivered));
        }
        // It may have been delivered between the two.
        Ok(tripped()?.then_some(Stage::Tripped))
    }
}

fn sleep(length: Ns, is_over: &dyn Fn() -> bool) {
    let until = clock::now() + length;
    while clock::now() < until && !is_over() {
        clock::sleep_until(until.min(clock::now() + NAP));
    }
}
