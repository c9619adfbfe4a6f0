//! Names for sleeps: on which of a GIL's futexes a thread is about to sleep, as the kernel's tracepoint of futex(2) tells.
//!
//! The records come in the ring of the thread's switches. They cost a thread that has to wait for the GIL, and no other;
//! but every system call of the machine takes a little longer meanwhile, so nobody is traced unless that was asked for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use crate::event::{Address, FutexSite, GilKey, ThreadKey, Tid};
use crate::instruments::perf::{self, FutexTracepoint, Ring, Samples};
use crate::instruments::respite::Respite;
use crate::target::descriptors::{self, Kept};
use crate::target::{GilFutexes, GilSite};
use crate::time::MonoNs;

/// Most GILs whose futexes are told apart: the kernel looks at all of them at each futex(2).
const MOST_GILS: usize = 32;

/// Where the futexes of the GILs lie, and who is to be traced.
#[derive(Debug)]
pub struct Futexes {
    tracepoint: FutexTracepoint,
    gils: Vec<(GilKey, GilFutexes)>,
    filter: String,
    due: VecDeque<ThreadKey>,
    respite: Respite,
}

impl Futexes {
    /// Nobody is traced yet.
    pub fn begin(tracepoint: FutexTracepoint, now: MonoNs) -> Futexes {
        Futexes {
            tracepoint,
            gils: Vec::new(),
            filter: String::new(),
            due: VecDeque::new(),
            respite: Respite::none(now),
        }
    }

    /// From here on there are these GILs; whether those before were others, so that who is traced is traced wrongly.
    pub fn look_at(&mut self, gils: Vec<(GilKey, GilFutexes)>) -> Change {
        if gils == self.gils {
            return Change::None;
        }
        let ranges: Vec<_> = gils.iter().take(MOST_GILS + 1).map(|(_, futexes)| futexes.range()).collect();
        self.filter = self.tracepoint.filter(&ranges);
        self.gils = gils;
        Change::Gils
    }

    /// A thread may be traced as soon as there is time.
    pub fn is_due(&mut self, thread: ThreadKey) {
        if !self.respite.is_resting() {
            self.due.push_back(thread);
        }
    }

    /// Who is to be traced next.
    pub fn next_due(&mut self) -> Option<ThreadKey> {
        match self.gils.len() {
            1..=MOST_GILS => self.due.pop_front(),
            _ => None,
        }
    }

    /// Traces a thread into the ring of its switches. Where there is no room for it, nor will there be for others.
    pub fn trace(&mut self, tid: Tid, ring: &mut Ring) -> Option<OwnedFd> {
        ring.expect(Samples::Futexes(self.tracepoint));
        let traced = perf::futex_waits(tid, &self.tracepoint, &self.filter, ring.event());
        let traced = traced.and_then(|event| match descriptors::may_stay_open(&event, Kept::ForLack) {
            true => Ok(event),
            false => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        });
        match traced {
            Ok(event) => Some(event),
            // It ended.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => None,
            Err(_) => {
                self.due.clear();
                None
            }
        }
    }

    /// Whose futex an address is, and which.
    pub fn site(&self, address: Address) -> Option<(GilKey, FutexSite)> {
        self.gils.iter().find_map(|(gil, futexes)| {
            let site = match futexes.site(address)? {
                GilSite::Cond => FutexSite::Cond,
                GilSite::Mutex => FutexSite::Mutex,
                GilSite::SwitchCond => FutexSite::SwitchCond,
                GilSite::SwitchMutex => FutexSite::SwitchMutex,
            };
            Some((*gil, site))
        })
    }

    /// It is too dear: nobody is traced for a while.
    pub fn give_up(&mut self, now: MonoNs) {
        self.respite.begin(now);
        self.due.clear();
    }

    /// Whether that while is over just now.
    pub fn resumes(&mut self, now: MonoNs) -> bool {
        self.respite.ends(now)
    }
}

/// Whether there are other GILs than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    Gils,
}
