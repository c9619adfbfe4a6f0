//! The target's signals against every interpreter of this machine: what gilscope reads is compared with what the
//! program has set itself, and with what the kernel says.

use std::process::Command;
use std::time::Duration;

use gilscope::event::{Handler, Origin, PendingKind, Pid, Signal, SignalSet, Tid};
use gilscope::target::{Disposition, HandlerTable, PendingWord, SignalSites, SignalStatus, Target, Task};
use gilscope::time::Ns;

use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs its argument, then says so and waits for a line, over and over.
const PROGRAM: &str = r"
import os, signal, sys, threading
def handler(number, frame):
    pass
class Callable:
    def __call__(self, number, frame):
        pass
def rest():
    sys.stdout.write('ready\n')
    sys.stdout.flush()
    if not sys.stdin.readline():
        os._exit(0)
exec(sys.argv[1])
while True:
    rest()
";

struct Program {
    child: Child,
    target: Target,
}

impl Program {
    fn start(python: &Python, code: &str) -> Program {
        let mut child = Child::spawn(python.command().args(["-c", PROGRAM, code]));
        child.ready(PATIENCE);
        let target = Target::attach(Pid(child.pid()), Ns::SECOND, Origin::Attached)
            .unwrap_or_else(|error| panic!("{python}: {error}"));
        Program { child, target }
    }

    fn sites(&self) -> SignalSites {
        self.target.signal_sites().unwrap()
    }

    #[track_caller]
    fn table(&self) -> HandlerTable {
        self.sites().handlers.expect("its table of handlers")
    }

    /// The signals that Python handles.
    fn handled(&self) -> SignalSet {
        self.table().handlers(self.target.memory()).unwrap().runs_python()
    }

    fn handler(&self, signal: i32) -> Handler {
        self.table().handlers(self.target.memory()).unwrap().of(known(signal))
    }

    fn tripped(&self) -> SignalSet {
        self.table().tripped(self.target.memory()).unwrap()
    }

    /// What the kernel says of its main thread.
    fn status(&self) -> SignalStatus {
        Task::new(Pid(self.child.pid()), Tid(self.child.pid())).signals().unwrap()
    }

    /// Sends it a signal.
    fn send(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether a word is set; one that was not found is in nobody's way.
    fn is_set(&self, word: Option<PendingWord>) -> Option<bool> {
        word.map(|word| word.is_set(self.target.memory()).unwrap())
    }
}

fn known(number: i32) -> Signal {
    Signal::new(number).unwrap()
}

fn set(numbers: &[i32]) -> SignalSet {
    numbers.iter().map(|number| known(*number)).collect()
}

#[test]
fn the_table_is_found_on_every_version() {
    for python in pythons() {
        let program = Program::start(python, "");
        let sites = program.sites();
        let table = sites.handlers.unwrap_or_else(|| panic!("{python}: no table"));
        assert_eq!(table.address().0 % 8, 0, "{python}");
        let loop_kind = match python.minor() {
            7 => Some(PendingKind::CallsToDo),
            8..=11 => Some(PendingKind::SignalsPending),
            _ => None,
        };
        assert_eq!(sites.eval_loop.map(|word| word.kind), loop_kind, "{python}");
        if python.minor() >= 12 || cfg!(target_arch = "x86_64") {
            assert_eq!(sites.is_tripped.map(|word| word.kind), Some(PendingKind::IsTripped), "{python}");
        }
        assert_eq!(sites.pending().map(|word| word.kind), Some(PendingKind::IsTripped), "{python}");
        assert_eq!(program.tripped(), SignalSet::EMPTY, "{python}");
        // SIGINT is Python's from the start, SIGPIPE and SIGXFSZ are ignored, two are the C library's.
        assert_eq!(program.handled(), set(&[libc::SIGINT]), "{python}");
        for (signal, handler) in [
            (libc::SIGINT, Handler::KeyboardInterrupt),
            (libc::SIGPIPE, Handler::Ignored),
            (libc::SIGXFSZ, Handler::Ignored),
            (libc::SIGTERM, Handler::Default),
            (libc::SIGKILL, Handler::Default),
            (32, Handler::NotPython),
        ] {
            assert_eq!(program.handler(signal), handler, "{python}: {signal}");
        }
        // Looking again finds the same.
        assert_eq!(program.sites(), sites, "{python}");
    }
}

#[test]
fn handlers_are_those_that_the_program_has_set() {
    let code = r"
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGUSR2, Callable())
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGALRM, signal.default_int_handler)
rest()
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
signal.signal(signal.SIGINT, handler)
";
    for python in pythons() {
        let mut program = Program::start(python, code);
        assert_eq!(program.handled(), set(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGINT]), "{python}");
        assert_eq!(program.handler(libc::SIGUSR1), Handler::Python, "{python}");
        assert_eq!(program.handler(libc::SIGUSR2), Handler::Python, "{python}");
        assert_eq!(program.handler(libc::SIGALRM), Handler::KeyboardInterrupt, "{python}");
        assert_eq!(program.handler(libc::SIGTERM), Handler::Ignored, "{python}");
        let before = program.table();
        program.child.say("on\n");
        program.child.ready(PATIENCE);
        assert_eq!(program.handled(), set(&[libc::SIGUSR2, libc::SIGALRM, libc::SIGINT]), "{python}");
        assert_eq!(program.handler(libc::SIGUSR1), Handler::Default, "{python}");
        assert_eq!(program.handler(libc::SIGINT), Handler::Python, "{python}");
        assert_eq!(program.table(), before, "{python}");
    }
}

/// `signal(SIGPIPE, SIG_DFL)` is what many programs begin with; others have a handler for all that they can.
#[test]
fn the_table_is_found_whatever_the_program_has_set() {
    let everything = r"
for number in range(1, 65):
    try:
        signal.signal(number, handler)
    except (OSError, ValueError):
        pass
";
    let nothing_ignored = r"
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
";
    for python in pythons() {
        let program = Program::start(python, nothing_ignored);
        assert_eq!(program.handled(), set(&[libc::SIGINT]), "{python}");
        assert_eq!(program.handler(libc::SIGPIPE), Handler::Default, "{python}");
        assert_eq!(program.status().disposition(known(libc::SIGPIPE)), Disposition::Terminates, "{python}");

        let program = Program::start(python, everything);
        // The C library handles some itself: 32 to 34 at most.
        let of_the_c_library = set(&[32, 33, 34]);
        assert_eq!(program.handled() - of_the_c_library, program.status().caught - of_the_c_library, "{python}");
        assert!(program.handled().len() >= 59, "{python}: all but five");
        assert_eq!(program.handler(libc::SIGSTOP), Handler::Default, "{python}");
        assert!(program.sites().pending().is_some(), "{python}");
    }
}

/// The main thread sits in C and cannot run the handler; meanwhile all words say that it has to.
#[test]
fn a_signal_is_tripped_until_its_handler_runs() {
    let code = r"
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGUSR2, handler)
rest()
sys.stdout.write('ready\n')
sys.stdout.flush()
sum(range(1 << 60))
";
    for python in pythons() {
        let mut program = Program::start(python, code);
        let sites = program.sites();
        let words = |program: &Program| [sites.is_tripped, sites.eval_loop].map(|word| program.is_set(word));
        assert!(words(&program).iter().all(|set| *set != Some(true)), "{python}");
        program.child.say("on\n");
        program.child.ready(PATIENCE);
        // It may be handled in the bytecode before the long call, and is sent again then.
        eventually(PATIENCE, "SIGUSR1 to be tripped", || {
            program.send("USR1");
            (!program.tripped().is_empty()).then_some(())
        });
        assert_eq!(program.tripped(), set(&[libc::SIGUSR1]), "{python}");
        assert_eq!(program.target.memory().read_u32(program.table().tripped_word(Signal::SIGUSR1)).unwrap(), 1);
        // What is told to the eval loop comes a few instructions later.
        eventually(PATIENCE, "all words to be set", || {
            words(&program).iter().all(|set| *set != Some(false)).then_some(())
        });
        program.send("USR2");
        let both = set(&[libc::SIGUSR1, libc::SIGUSR2]);
        eventually(PATIENCE, "SIGUSR2 to be tripped", || (program.tripped() == both).then_some(()));
        // All can be found while signals are pending, too.
        assert_eq!(program.sites(), sites, "{python}");
    }
}

#[test]
fn nothing_is_pending_once_the_handlers_have_run() {
    let code = r"
def handler(number, frame):
    os.write(1, b'ready handled\n')
signal.signal(signal.SIGUSR1, handler)
";
    for python in pythons() {
        let mut program = Program::start(python, code);
        let sites = program.sites();
        for _ in 0..3 {
            program.send("USR1");
            assert_eq!(program.child.ready(PATIENCE), ["handled"], "{python}");
            assert_eq!(program.tripped(), SignalSet::EMPTY, "{python}");
            // The read that the signal interrupted is C code that calls `PyErr_CheckSignals`: see `SignalsPending`.
            assert_eq!(program.is_set(sites.is_tripped), Some(false), "{python}");
        }
        program.child.say("on\n");
        program.child.ready(PATIENCE);
        eventually(PATIENCE, "the eval loop's word to be clear", || {
            (program.is_set(sites.pending()) == Some(false) && program.is_set(sites.eval_loop) != Some(true))
                .then_some(())
        });
    }
}

#[test]
fn what_the_kernel_says_is_what_the_program_did() {
    let code = r"
signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGRTMIN + 3])
";
    for python in pythons() {
        let program = Program::start(python, code);
        let status = program.status();
        assert_eq!(status.blocked & set(&[libc::SIGUSR1, libc::SIGINT]), set(&[libc::SIGUSR1]), "{python}");
        assert_eq!(status.blocked.len(), 2, "{python}: {status:?}");
        assert_eq!(status.caught & set(&[libc::SIGUSR1, libc::SIGINT, libc::SIGTERM]), program.handled(), "{python}");
        for (signal, disposition) in [
            (libc::SIGINT, Disposition::Handled),
            (libc::SIGUSR1, Disposition::Handled),
            (libc::SIGHUP, Disposition::Ignored),
            (libc::SIGPIPE, Disposition::Ignored),
            (libc::SIGUSR2, Disposition::Terminates),
            (libc::SIGTSTP, Disposition::Stops),
            (libc::SIGWINCH, Disposition::Ignored),
        ] {
            assert_eq!(status.disposition(known(signal)), disposition, "{python}: {signal}");
        }
        assert_eq!(status.pending | status.shared_pending, SignalSet::EMPTY, "{python}");
        program.send("USR1");
        eventually(PATIENCE, "SIGUSR1 to wait", || {
            (program.status().shared_pending == set(&[libc::SIGUSR1])).then_some(())
        });
        assert_eq!(program.tripped(), SignalSet::EMPTY, "{python}: it was not delivered");
    }
}

#[test]
fn the_main_thread_is_known() {
    let code = "threading.Thread(target=threading.Event().wait, daemon=True).start()";
    for python in pythons() {
        let program = Program::start(python, code);
        let main = program.target.main_thread().unwrap().unwrap();
        assert_eq!(main.tid, Some(Tid(program.child.pid())), "{python}");
    }
}

/// Asked from its first moment on, a Python has no table until it is the one that it keeps.
#[test]
fn a_table_that_is_found_early_is_the_right_one() {
    for python in pythons() {
        let mut child = Child::spawn(python.command().args(["-c", PROGRAM, ""]));
        let target = Target::attach(Pid(child.pid()), Ns::SECOND, Origin::Launched).unwrap();
        let early = eventually(PATIENCE, "a table", || target.signal_sites().ok()?.handlers);
        child.ready(PATIENCE);
        assert_eq!(target.signal_sites().unwrap().handlers, Some(early), "{python}");
    }
}
