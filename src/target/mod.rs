//! The process under observation: finding the CPython in it, and reading that from outside.
//!
//! [`Target::attach`] looks at a process as a debugger would, but reads only: it finds `_PyRuntime` through the
//! dynamic linker's own tables in the target's memory, makes out the version, picks the layout, and
//! checks it against what is there before anything is believed. From then on [`Target::interpreters`] and
//! [`Target::thread_states`] say who may take a GIL, a [`GilProbe`] reads one GIL, and a [`Task`] says where in
//! the kernel a thread is.
//!
//! Nothing is ever written to the target, and it is never stopped.

mod affinity;
mod attach;
mod c_library;
pub mod clock;
mod code;
pub mod cpus;
pub(crate) mod descriptors;
mod elf;
mod error;
mod family;
pub mod footprint;
mod gil;
mod interpreters;
mod layout;
mod maps;
mod memory;
mod namespace;
mod permission;
mod progress;
mod runtime;
mod signals;
mod standstill;
mod symbols;
mod task;
mod threads;
mod unwind;
mod version;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

use crate::event::{Address, MAX_NAME, Origin, Pid, ProcessInfo, Tid, cut};
use crate::target::memory::AddressSpace;
use crate::target::namespace::PidNamespace;
use crate::target::runtime::Runtime;
use crate::target::threads::Translation;
use crate::time::Ns;

pub use crate::target::affinity::cores_of;
pub use crate::target::code::Code;
pub use crate::target::error::{AttachError, Kind, ReadError};
pub use crate::target::family::{Changes, Family, descendants};
pub use crate::target::gil::{Confirmation, GilFutexes, GilProbe, GilReading, GilSite, HolderState, Lock};
pub use crate::target::interpreters::{Finalization, Interpreter};
pub use crate::target::memory::{MAX_RANGES, Memory};
pub use crate::target::permission::Refusal;
pub use crate::target::progress::{Place, Position, ProgressProbe};
pub use crate::target::signals::{Disposition, HandlerTable, PendingWord, SignalSites, SignalStatus};
pub use crate::target::standstill::{Register, Standstill};
pub use crate::target::task::{AsleepAt, Blocked, Task, TaskError, TaskStat, TaskState};
pub use crate::target::threads::{MainThread, ThreadState};

/// A process with a CPython in it.
#[derive(Debug)]
pub struct Target {
    info: ProcessInfo,
    memory: Memory,
    runtime: Runtime,
    namespace: PidNamespace,
    /// `/proc/PID`, opened: it means this process for good, even when the pid is given to another.
    directory: File,
}

/// Whether a [`Target`] is still what it was when it was attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// It is.
    Same,
    /// The process has replaced its program (`exec`): addresses mean nothing any more.
    Replaced {
        /// The new program's path, at most [`MAX_NAME`] bytes.
        path: String,
    },
    /// The process has ended.
    Gone,
}

impl Target {
    /// Attaches to a process: finds its CPython, and waits up to `patience` for one that is still starting up.
    /// A program that gilscope has [launched](Origin::Launched) itself may first be another one (a shell script that
    /// ends in `exec python`); one that was running already is taken at its word.
    ///
    /// # Errors
    /// [`AttachError`], with what to do about it.
    pub fn attach(pid: Pid, patience: Ns, origin: Origin) -> Result<Target, AttachError> {
        attach::attach(pid, patience, origin)
    }

    /// What is known of the process.
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// Its memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether the process still runs the image that was attached to. Exact, and as cheap as a read of memory.
    pub fn image(&self) -> ImageState {
        match self.memory.address_space(self.runtime.address) {
            AddressSpace::Alive => ImageState::Same,
            AddressSpace::Dead => match fs::read_link(format!("/proc/self/fd/{}/exe", self.directory.as_raw_fd())) {
                Ok(path) => ImageState::Replaced { path: bounded(&path.to_string_lossy()) },
                // The new program may be one that this user must not look into.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    ImageState::Replaced { path: "(not permitted to see)".to_owned() }
                }
                Err(_) => ImageState::Gone,
            },
        }
    }

    /// What tells the code that its threads are in, for a thread of its own to use.
    ///
    /// # Errors
    /// `EMFILE` without a file descriptor left.
    pub fn code(&self) -> io::Result<Code> {
        Ok(Code::new(self.memory.try_clone()?, self.runtime.address))
    }

    /// All its interpreters, the newest first.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] for a list that is a ring or does not end.
    pub fn interpreters(&self) -> Result<Vec<Interpreter>, ReadError> {
        interpreters::walk(&self.memory, &self.runtime)
    }

    /// All thread states of an interpreter, the newest first.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Torn`] if the list kept changing, [`ReadError::Inconsistent`] if it
    /// makes no sense, as that of an interpreter that is no more.
    pub fn thread_states(&self, interpreter: &Interpreter) -> Result<Vec<ThreadState>, ReadError> {
        let translation = match self.namespace {
            PidNamespace::Same => Translation::Identity,
            PidNamespace::Other => translation_of(self.info.pid),
        };
        interpreters::retry(|| threads::walk(&self.memory, &self.runtime, interpreter, &translation))
    }

    /// The state of the main thread in the main interpreter, in which signal handlers run; `None` if CPython does not tell,
    /// or has none any more.
    ///
    /// # Errors
    /// As [`Target::interpreters`] and [`Target::thread_states`].
    pub fn main_thread(&self) -> Result<Option<ThreadState>, ReadError> {
        let main = self.main_interpreter()?;
        let Some(interpreter) = self.interpreters()?.into_iter().find(|it| it.address == main) else { return Ok(None) };
        Ok(ThreadState::of_main(self.thread_states(&interpreter)?.into_iter()))
    }

    /// A probe for the progress of one of its threads in bytecode.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] if its frames are laid out in no way that is known.
    pub fn progress(&self, thread: &ThreadState) -> Result<ProgressProbe, ReadError> {
        ProgressProbe::new(&self.memory, &self.runtime, thread)
    }

    /// Finds where it keeps its pending signals. Costs some milliseconds up to 3.11, where it is a search: look once, and
    /// again for what was not there yet.
    ///
    /// # Errors
    /// As [`Memory::read`]; [`ReadError::Inconsistent`] if something else is where the version has them.
    pub fn signal_sites(&self) -> Result<SignalSites, ReadError> {
        signals::find(&self.memory, &self.runtime)
    }

    /// The main interpreter's address; 0 when it is shut down.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn main_interpreter(&self) -> Result<Address, ReadError> {
        self.memory.read_ptr(self.runtime.at(self.runtime.layout.runtime.interpreters_main))
    }

    /// How far the shutdown of its Python has come.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub fn finalization(&self) -> Result<Finalization, ReadError> {
        interpreters::finalization(&self.memory, &self.runtime)
    }

    /// Its tasks, with and without Python, in gilscope's own PID namespace. `out` is emptied first.
    /// The main thread's task id is the pid.
    ///
    /// # Errors
    /// As reading `/proc/PID/task`; `NotFound` or `ESRCH` when the process is gone.
    pub fn tasks(&self, out: &mut Vec<Tid>) -> io::Result<()> {
        tasks_in(&format!("/proc/self/fd/{}/task", self.directory.as_raw_fd()), out)
    }

    /// A probe for one of its GILs. `interpreter` is one that uses it.
    pub fn probe(&self, gil: Address, interpreter: &Interpreter) -> GilProbe {
        let main = self.main_interpreter().unwrap_or(interpreter.address);
        GilProbe::new(self.info.pid, gil, interpreter, main, self.runtime, self.namespace)
    }
}

/// The table for a process in another PID namespace.
fn translation_of(pid: Pid) -> Translation {
    let mut tasks = Vec::new();
    // A process that is gone has no tasks.
    let _gone = tasks_in(&format!("/proc/{}/task", pid.0), &mut tasks);
    Translation::Table(namespace::inner_to_outer(pid, &tasks))
}

fn tasks_in(directory: &str, out: &mut Vec<Tid>) -> io::Result<()> {
    out.clear();
    for entry in fs::read_dir(directory)? {
        if let Some(tid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            out.push(Tid(tid));
        }
    }
    Ok(())
}

/// A text of the target's, cut at [`MAX_NAME`] bytes.
fn bounded(text: &str) -> String {
    cut(text, MAX_NAME).to_owned()
}
