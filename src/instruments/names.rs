//! The names that a program gave its threads, read by py-spy on a thread of its own.
//!
//! CPython keeps them in `threading._active`, a dict of objects whose layout
//! differs with every version: py-spy knows them. It reads memory only
//! (`LockingStrategy::NonBlocking`), the target is not stopped.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use py_spy::config::LockingStrategy;

use crate::event::{Address, MAX_NAME, Pid};
use crate::instruments::clock;
use crate::time::Ns;

/// One lookup may use this share of a core.
const SHARE: u64 = 100;
/// At most one lookup in this time.
const SPACING: Duration = Duration::from_millis(200);
/// Lookups that may fail in a row before it is given up.
const FAILURES: u32 = 5;

/// Looks names up in the background.
#[derive(Debug)]
pub struct NameReader {
    ask: SyncSender<()>,
    found: Receiver<HashMap<Address, String>>,
}

impl NameReader {
    /// Starts the reader for a process. It ends by itself when this value is dropped.
    pub fn start(pid: Pid) -> Option<NameReader> {
        let (ask, asked) = sync_channel(1);
        let (tell, found) = sync_channel(4);
        thread::Builder::new().name("gilscope-names".to_owned()).spawn(move || serve(pid, &asked, &tell)).ok()?;
        Some(NameReader { ask, found })
    }

    /// Asks for the names of all threads. Never blocks: an unanswered question stands for the next.
    pub fn ask(&self) {
        match self.ask.try_send(()) {
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// The names found since, by `pthread_t`; `None` while there is no answer.
    pub fn answer(&self) -> Option<HashMap<Address, String>> {
        self.found.try_recv().ok()
    }
}

fn serve(pid: Pid, asked: &Receiver<()>, tell: &SyncSender<HashMap<Address, String>>) {
    let Ok(target) = py_spy::Pid::try_from(pid.0) else { return };
    let config =
        py_spy::Config { blocking: LockingStrategy::NonBlocking, include_idle: true, ..py_spy::Config::default() };
    let mut spy = None;
    let mut failures = 0;
    while asked.recv().is_ok() {
        if spy.is_none() {
            spy = py_spy::PythonSpy::new(target, &config).ok();
        }
        // Without what is done only once, or a few times: it would keep a program's first second without names.
        let before = clock::thread_cpu();
        match spy.as_mut().and_then(|spy| spy.get_stack_traces().ok()) {
            Some(traces) => {
                failures = 0;
                let names = traces
                    .into_iter()
                    .filter_map(|trace| Some((Address(trace.thread_id), bounded(trace.thread_name?))))
                    .collect();
                if let Err(TrySendError::Disconnected(_)) = tell.try_send(names) {
                    return;
                }
            }
            None => failures += 1,
        }
        if failures >= FAILURES {
            return;
        }
        let cost = clock::thread_cpu().saturating_sub(before);
        thread::sleep(SPACING.max(Duration::from_nanos(Ns(cost.0.saturating_mul(SHARE)).min(Ns::SECOND).0)));
    }
}

/// A name cut to [`MAX_NAME`] bytes at a character's edge.
pub fn bounded(mut name: String) -> String {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}
