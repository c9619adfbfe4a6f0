//! Flame graphs: times that a snapshot knows, divided over stacks.
//!
//! The widths add up to a total of the snapshot: what was not sampled, and what no thread is to blame for, has a frame of
//! its own. Names come from the target: [`collapsed`] and [`svg`] write them so that they neither end a frame or a line nor
//! reach a terminal.

mod names;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use inferno::flamegraph::{self, Options};

use crate::event::{Frame, ThreadKey, file_name};
use crate::flame::names::frame;
use crate::model::snapshot::{Basis, BlamePair, BlameShare, Blamed, ProcessFigures, Snapshot};
use crate::time::Ns;

/// What was not sampled, or too rarely.
pub const UNSAMPLED: &str = "(unsampled)";
/// The GIL was free, and the waiter had no core yet.
pub const SCHEDULER: &str = "(scheduler)";
/// Held while nobody waited: that is not looked into.
pub const UNCONTENDED: &str = "(nobody waited)";
/// A stack without any Python.
const NO_PYTHON: &str = "(no Python function)";

/// Which times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The time that others waited, by what the holder executed: adds up to all waiting.
    Blame,
    /// The time that threads waited, by where they want the GIL back: adds up to all waiting.
    Waits,
    /// The time that the GIL was held, by what the holder executed: adds up to the holding of all threads that are listed.
    Holds,
}

/// Times by stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flame {
    /// The stacks, each from its thread to its innermost frame, as safe as names can be.
    stacks: BTreeMap<Vec<String>, Ns>,
}

impl Flame {
    /// The times of all processes of a snapshot; of several, each has a frame of its own.
    pub fn of(snapshot: &Snapshot, of: Of) -> Flame {
        let mut flame = Flame::default();
        for process in &snapshot.processes {
            let root: Vec<String> = match snapshot.processes.len() {
                0 | 1 => Vec::new(),
                _ => vec![frame(&format!("process {} (seen {})", process.target.pid.0, process.key.0))],
            };
            let mut add = |stack: Vec<String>, time: Ns| {
                if time > Ns::ZERO {
                    let stack = root.iter().cloned().chain(stack).collect();
                    *flame.stacks.entry(stack).or_default() += time;
                }
            };
            match of {
                Of::Blame => process.blame.pairs.iter().for_each(|pair| blame(process, pair, &mut add)),
                Of::Waits => waits(process, &mut add),
                Of::Holds => holds(process, &mut add),
            }
        }
        flame
    }

    /// The stacks with their times.
    pub fn stacks(&self) -> impl Iterator<Item = (&[String], Ns)> {
        self.stacks.iter().map(|(stack, time)| (stack.as_slice(), *time))
    }

    /// All of it.
    pub fn total(&self) -> Ns {
        self.stacks.values().copied().sum()
    }

    /// One line a stack: its frames with `;` between them, a blank, and its nanoseconds.
    pub fn collapsed(&self) -> String {
        let mut lines = String::new();
        for (stack, time) in &self.stacks {
            let _infallible = writeln!(lines, "{} {}", stack.join(";"), time.0);
        }
        lines
    }

    /// An SVG to be looked at in a browser: a click on a frame widens it. Its colours are the same each time.
    ///
    /// # Errors
    /// When `out` refuses to be written to, and if there is nothing to draw.
    pub fn svg(&self, title: &str, out: impl Write) -> io::Result<()> {
        let mut options = Options::default();
        options.title = names::printable(title);
        options.count_name = "us".to_owned();
        options.factor = 1e-3;
        options.name_type = "Frame:".to_owned();
        options.deterministic = true;
        let lines = self.collapsed();
        flamegraph::from_lines(&mut options, lines.lines(), out)
    }
}

fn blame(process: &ProcessFigures, pair: &BlamePair, add: &mut impl FnMut(Vec<String>, Ns)) {
    let holder = match pair.holder {
        Blamed::Thread(thread) => thread_frame(process, thread),
        Blamed::Free => return add(vec![SCHEDULER.to_owned()], pair.time),
        Blamed::Unknown => return add(vec!["(holder not seen)".to_owned()], pair.time),
        Blamed::Others => return add(vec!["(other threads)".to_owned()], pair.time),
    };
    for share in &pair.shares {
        add(stack(holder.clone(), share), share.time);
    }
}

fn waits(process: &ProcessFigures, add: &mut impl FnMut(Vec<String>, Ns)) {
    for waiter in &process.blame.waiters {
        let name = thread_frame(process, waiter.thread);
        waiter.shares.iter().for_each(|share| add(stack(name.clone(), share), share.time));
    }
    let merged = process.blame.pairs.iter().filter(|pair| pair.waiter.is_none());
    merged.for_each(|pair| add(vec!["(threads no longer listed)".to_owned()], pair.time));
}

/// Of the time that somebody waited the samples tell what was executed; of the rest nobody asked.
fn holds(process: &ProcessFigures, add: &mut impl FnMut(Vec<String>, Ns)) {
    for thread in &process.threads {
        let holding = thread.states.holding();
        let name = thread_frame(process, thread.key);
        // One for each GIL that it takes.
        let known: Vec<_> = process.blame.holders.iter().filter(|holder| holder.thread == thread.key).collect();
        let told: Ns = known.iter().map(|holder| holder.time).sum();
        let contended = told.min(holding);
        let mut left = contended;
        for share in known.iter().flat_map(|holder| &holder.shares) {
            // In windows of watchpoints a hold is known better than the ticks around it have it.
            let part = contended.scaled(share.time, told).min(left);
            left = left.saturating_sub(part);
            add(stack(name.clone(), share), part);
        }
        add(vec![name.clone(), UNSAMPLED.to_owned()], left);
        add(vec![name, UNCONTENDED.to_owned()], holding.saturating_sub(contended));
    }
}

fn stack(thread: String, share: &BlameShare) -> Vec<String> {
    let mut stack = vec![thread];
    if share.basis == Basis::Unsampled {
        stack.push(UNSAMPLED.to_owned());
        return stack;
    }
    match share.stack.is_empty() {
        true => stack.push(NO_PYTHON.to_owned()),
        false => stack.extend(share.stack.iter().rev().map(python_frame)),
    }
    stack.extend(share.native.as_deref().map(|native| frame(&format!("{native} (native)"))));
    stack
}

fn python_frame(it: &Arc<Frame>) -> String {
    let file = file_name(&it.file);
    match it.line {
        0 => frame(&format!("{} ({file})", it.function)),
        line => frame(&format!("{} ({file}:{line})", it.function)),
    }
}

/// By its number too: names need not differ.
fn thread_frame(process: &ProcessFigures, thread: ThreadKey) -> String {
    let known = process.thread(thread);
    let name = known.map(|it| it.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("thread");
    match known.and_then(|it| it.tid) {
        Some(tid) => frame(&format!("{name} (tid {})", tid.0)),
        None => frame(&format!("{name} (#{})", thread.0)),
    }
}
