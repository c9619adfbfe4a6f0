//! One thread's frames, walked by py-spy.
//!
//! py-spy walks the thread states of an interpreter from the head of their list, and, told so, only the frames of the one
//! that holds the GIL. Where it looks for that head is a public field. Pointed at the word in which CPython itself keeps
//! the holder, its list begins with that thread and its walk ends there, however many threads there are and whichever
//! interpreter they belong to.

use py_spy::config::{LineNo, LockingStrategy};

use crate::event::{Address, Frame, MAX_FRAMES, Pid, StacksMissing};
use crate::instruments::names::bounded;
use crate::target::GilProbe;

/// Since 3.12 py-spy reads the holder from the GIL's struct, before that from the word that it is given.
const READS_THE_STRUCT: u64 = 12;
/// Walks that may come to nothing, one after the other, before there will never be any.
const FAILURES: u32 = 200;

/// Walks the frames of one thread at a time.
pub(super) struct Walker {
    spy: py_spy::PythonSpy,
    failures: u32,
    succeeded: bool,
}

/// What a walk came to.
#[derive(Debug)]
pub(super) enum Walk {
    /// The thread's frames, the innermost first.
    Frames(Vec<Frame>),
    /// They changed under it, or another thread holds.
    Torn,
    /// It never comes to anything here.
    Never,
}

impl Walker {
    /// Gets to know the interpreter of a process.
    pub(super) fn new(pid: Pid) -> Result<Walker, StacksMissing> {
        let target = py_spy::Pid::try_from(pid.0).map_err(|_| StacksMissing::Unreadable)?;
        let config = py_spy::Config {
            blocking: LockingStrategy::NonBlocking,
            include_idle: true,
            gil_only: true,
            collect_thread_names: false,
            full_filenames: true,
            lineno: LineNo::LastInstruction,
            ..py_spy::Config::default()
        };
        let spy = py_spy::PythonSpy::new(target, &config).map_err(|_| StacksMissing::UnknownLayout)?;
        Ok(Walker { spy, failures: 0, succeeded: false })
    }

    /// Walks the frames of the thread that holds a GIL, which is taken to be `expected`.
    pub(super) fn walk(&mut self, probe: &GilProbe, expected: Address) -> Walk {
        self.walk_from(probe, probe.last_holder(), expected)
    }

    /// Walks the frames of the thread whose thread state's address is in this word. py-spy takes the word for a GIL's
    /// `last_holder`. Behind a link in the list of thread states there is an address, as well, which it takes for `locked`.
    pub(super) fn walk_from(&mut self, probe: &GilProbe, link: Address, expected: Address) -> Walk {
        let addresses = &mut self.spy.addresses;
        addresses.interpreter_address = link.0.wrapping_sub(probe.threads_head_offset()) as usize;
        let reads_the_struct = self.spy.version.minor >= READS_THE_STRUCT;
        let in_the_struct = link.0.wrapping_sub(probe.last_holder_offset());
        addresses.threadstate_address = if reads_the_struct { in_the_struct } else { link.0 } as usize;
        let traces = self.spy.get_stack_traces().unwrap_or_default();
        match traces.into_iter().find(|trace| Address(trace.thread_id) == expected) {
            Some(trace) => {
                (self.failures, self.succeeded) = (0, true);
                Walk::Frames(trace.frames.into_iter().take(MAX_FRAMES).map(frame).collect())
            }
            None => {
                self.failures += 1;
                let is_hopeless = !self.succeeded && self.failures >= FAILURES;
                if is_hopeless { Walk::Never } else { Walk::Torn }
            }
        }
    }
}

fn frame(frame: py_spy::Frame) -> Frame {
    Frame { file: bounded(frame.filename), function: bounded(frame.name), line: u32::try_from(frame.line).unwrap_or(0) }
}
