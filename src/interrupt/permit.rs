//! Whether a signal may be sent: only where the target itself has asked for it.

use thiserror::Error;

use crate::event::{Handler, Lookup, Pid, Signal};
use crate::target::{Disposition, SignalStatus};

/// A signal that the target handles in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    signal: Signal,
}

/// Whether the user has agreed to a signal that may end the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// With `--yes`.
    Given,
    /// Not asked for, or not given.
    Missing,
}

/// Why a signal is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// It would end the program, or stop it.
    #[error("{signal} would {harm} process {}: it has no handler for it", pid.0)]
    WouldHarm {
        /// Which.
        signal: Signal,
        /// To whom.
        pid: Pid,
        /// What it would do.
        harm: &'static str,
    },
    /// Python raises `KeyboardInterrupt`, which ends a program that does not catch it.
    #[error(
        "{signal} raises KeyboardInterrupt in process {}, as in every Python that has installed no handler of its own: \
         if the program does not catch it, it ends", pid.0
    )]
    KeyboardInterrupt {
        /// Which.
        signal: Signal,
        /// To whom.
        pid: Pid,
    },
    /// No Python code would run.
    #[error("process {} has no Python handler for {signal} ({why}): there is nothing to measure", pid.0)]
    NotPython {
        /// Which.
        signal: Signal,
        /// To whom.
        pid: Pid,
        /// What becomes of it instead.
        why: &'static str,
    },
    /// What would become of it could not be found out.
    #[error("what {signal} would do to process {} cannot be told: its table of handlers {why}", pid.0)]
    Unknown {
        /// Which.
        signal: Signal,
        /// To whom.
        pid: Pid,
        /// What came of looking.
        why: &'static str,
    },
}

impl Permit {
    /// Asks for one, by what the kernel says of the process and what CPython would do.
    ///
    /// # Errors
    /// If the signal would do anything but call a Python handler.
    pub fn ask(
        signal: Signal,
        pid: Pid,
        kernel: &SignalStatus,
        handler: Lookup<Handler>,
        consent: Consent,
    ) -> Result<Permit, Refused> {
        match kernel.disposition(signal) {
            Disposition::Handled => {}
            Disposition::Terminates => return Err(Refused::WouldHarm { signal, pid, harm: "end" }),
            Disposition::Stops => return Err(Refused::WouldHarm { signal, pid, harm: "stop" }),
            Disposition::Ignored => return Err(Refused::NotPython { signal, pid, why: "it is ignored" }),
            Disposition::Continues => {
                return Err(Refused::NotPython { signal, pid, why: "it makes a stopped process go on" });
            }
        }
        let why = match handler {
            Lookup::Found(Handler::Python) => return Ok(Permit { signal }),
            Lookup::Found(Handler::KeyboardInterrupt) => {
                return match consent {
                    Consent::Given => Ok(Permit { signal }),
                    Consent::Missing => Err(Refused::KeyboardInterrupt { signal, pid }),
                };
            }
            Lookup::Found(_) => return Err(Refused::NotPython { signal, pid, why: "C code handles it" }),
            Lookup::NotYet => "is not there yet",
            Lookup::Nowhere => "was not found in this build",
            Lookup::Unreadable => "could not be read",
        };
        Err(Refused::Unknown { signal, pid, why })
    }

    /// The signal that may be sent.
    pub fn signal(self) -> Signal {
        self.signal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SignalSet;

    fn ask(
        kernel: &SignalStatus,
        signal: Signal,
        handler: Lookup<Handler>,
        consent: Consent,
    ) -> Result<Permit, Refused> {
        Permit::ask(signal, Pid(7), kernel, handler, consent)
    }

    fn caught(signals: &[Signal]) -> SignalStatus {
        SignalStatus {
            pending: SignalSet::EMPTY,
            shared_pending: SignalSet::EMPTY,
            blocked: SignalSet::EMPTY,
            ignored: SignalSet::EMPTY,
            caught: signals.iter().copied().collect(),
        }
    }

    #[test]
    fn only_what_python_handles_is_sent() {
        let kernel = caught(&[Signal::SIGUSR1, Signal::SIGINT]);
        let python = Lookup::Found(Handler::Python);
        assert_eq!(ask(&kernel, Signal::SIGUSR1, python, Consent::Missing), Ok(Permit { signal: Signal::SIGUSR1 }));
        // The table says so, but C code has taken it from Python, and the kernel would do as by default.
        let harm = |signal| ask(&caught(&[]), signal, python, Consent::Given).unwrap_err();
        let stop = Signal::new(libc::SIGTSTP).unwrap();
        assert!(matches!(harm(Signal::SIGUSR1), Refused::WouldHarm { harm: "end", .. }));
        assert!(matches!(harm(stop), Refused::WouldHarm { harm: "stop", .. }));
        assert!(matches!(harm(Signal::new(libc::SIGCHLD).unwrap()), Refused::NotPython { .. }));
        assert!(matches!(harm(Signal::new(libc::SIGCONT).unwrap()), Refused::NotPython { .. }));
    }

    #[test]
    fn nothing_makes_up_for_what_is_not_known() {
        let kernel = caught(&[Signal::SIGINT]);
        for handler in [Lookup::NotYet, Lookup::Nowhere, Lookup::Unreadable] {
            let refused = ask(&kernel, Signal::SIGINT, handler, Consent::Given);
            assert!(matches!(refused, Err(Refused::Unknown { .. })), "{handler:?}");
        }
        for handler in [Handler::Absent, Handler::Default, Handler::Ignored, Handler::NotPython] {
            let refused = ask(&kernel, Signal::SIGINT, Lookup::Found(handler), Consent::Given);
            assert!(matches!(refused, Err(Refused::NotPython { .. })), "{handler:?}");
        }
    }

    #[test]
    fn kill_and_stop_are_never_sent() {
        let all = SignalStatus { caught: SignalSet::from_mask(u64::MAX), ..caught(&[]) };
        for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
            let refused = ask(&all, signal, Lookup::Found(Handler::Python), Consent::Given);
            assert!(matches!(refused, Err(Refused::WouldHarm { .. })), "{signal}");
        }
    }

    #[test]
    fn a_keyboard_interrupt_needs_consent() {
        let kernel = caught(&[Signal::SIGINT]);
        let handler = Lookup::Found(Handler::KeyboardInterrupt);
        let refused = ask(&kernel, Signal::SIGINT, handler, Consent::Missing);
        assert!(matches!(refused, Err(Refused::KeyboardInterrupt { .. })));
        assert!(refused.unwrap_err().to_string().contains("it ends"));
        assert!(ask(&kernel, Signal::SIGINT, handler, Consent::Given).is_ok());
    }
}
