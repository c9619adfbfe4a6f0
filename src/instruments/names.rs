//! The names that a program gave its threads, read by py-spy in the background.
//!
//! CPython keeps them in `threading._active`, a dict of objects whose layout
//! differs with every version: py-spy knows them. It reads memory only
//! (`LockingStrategy::NonBlocking`), the target is not stopped.

use std::collections::HashMap;
use std::time::Duration;

use py_spy::config::LockingStrategy;

use crate::event::{Address, MAX_NAME, Pid, cut};
use crate::instruments::background::{Answer, Background};

/// At most one lookup in this time.
const SPACING: Duration = Duration::from_millis(200);
/// Lookups that may fail in a row before it is given up.
const FAILURES: u32 = 5;

/// Thread names by `pthread_t`.
pub type Names = HashMap<Address, String>;

/// Looks the names of all threads of a process up.
pub fn reader(pid: Pid) -> Option<Background<Names>> {
    let target = py_spy::Pid::try_from(pid.0).ok()?;
    let config =
        py_spy::Config { blocking: LockingStrategy::NonBlocking, include_idle: true, ..py_spy::Config::default() };
    let mut spy = None;
    let mut failures = 0;
    Background::start("gilscope-names", SPACING, move || {
        if spy.is_none() {
            spy = py_spy::PythonSpy::new(target, &config).ok();
            if spy.is_some() {
                // It has read the program's symbols: charged for that, a program's first seconds had no names.
                return Answer::Prepared;
            }
        }
        let Some(traces) = spy.as_mut().and_then(|spy| spy.get_stack_traces().ok()) else {
            failures += 1;
            return if failures < FAILURES { Answer::Nothing } else { Answer::Never };
        };
        failures = 0;
        let named = traces.into_iter().filter_map(|it| Some((Address(it.thread_id), bounded(it.thread_name?))));
        Answer::Found(named.collect())
    })
}

/// A name cut to [`MAX_NAME`] bytes at a character's edge.
pub fn bounded(mut name: String) -> String {
    name.truncate(cut(&name, MAX_NAME).len());
    name
}
