//! What the kernel says of a task's signals, in `/proc/PID/task/TID/status` (proc_pid_status(5)).

use crate::event::{DefaultAction, Signal, SignalSet};

/// A task's signals. `blocked` and `pending` are its own; the others are the whole process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalStatus {
    /// Sent to this very task, and not delivered.
    pub pending: SignalSet,
    /// Sent to the process, and not delivered to any of its tasks.
    pub shared_pending: SignalSet,
    /// Not delivered to this task as long as it blocks them.
    pub blocked: SignalSet,
    /// Thrown away, because the process said so. Those that the kernel throws away by itself are not among them.
    pub ignored: SignalSet,
    /// Handled by a function of the process.
    pub caught: SignalSet,
}

/// What a signal does to a process, once it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A function of the process is called, CPython's or another one's.
    Handled,
    /// Nothing: because the process said so, or by default.
    Ignored,
    /// It ends the process.
    Terminates,
    /// It stops the process.
    Stops,
    /// It makes a stopped process go on.
    Continues,
}

impl SignalStatus {
    /// Takes it from a `status`; `None` if it is cut off or is none.
    pub(crate) fn parse(status: &[u8]) -> Option<SignalStatus> {
        // `Name:`, the only line that the target chooses, has its newlines escaped by the kernel.
        let set = |name: &[u8]| {
            let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            let digits = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t']);
            let hexadecimal = digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).ok().filter(|_| hexadecimal).map(SignalSet::from_mask)
        };
        Some(SignalStatus {
            pending: set(b"SigPnd:")?,
            shared_pending: set(b"ShdPnd:")?,
            blocked: set(b"SigBlk:")?,
            ignored: set(b"SigIgn:")?,
            caught: set(b"SigCgt:")?,
        })
    }

    /// What a signal would do to the process, blocked or not.
    ///
    /// This errs on the side of harm: the kernel spares the first process of a PID namespace (a container's, say)
    /// what is sent from within it, and does not stop a process of an orphaned process group by SIGTSTP, SIGTTIN
    /// or SIGTTOU; both are taken to end or to stop it.
    pub fn disposition(&self, signal: Signal) -> Disposition {
        let by_default = match signal.default_action() {
            DefaultAction::Terminate => Disposition::Terminates,
            DefaultAction::Stop => Disposition::Stops,
            DefaultAction::Continue => Disposition::Continues,
            DefaultAction::Ignore => Disposition::Ignored,
        };
        match signal {
            Signal::SIGKILL | Signal::SIGSTOP => by_default,
            _ if self.caught.contains(signal) => Disposition::Handled,
            _ if self.ignored.contains(signal) => Disposition::Ignored,
            _ => by_default,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "Name:\tSigCgt: 0\\nSigBlk:\t1\nTgid:\t7\nSigQ:\t0/1\nSigPnd:\t0000000000000200\n\
                          ShdPnd:\t0000000000000002\nSigBlk:\t8000000000000000\nSigIgn:\t0000000001001000\n\
                          SigCgt:\t0000000100000202\nCapInh:\t0000000000000000\n";

    fn signal(number: i32) -> Signal {
        Signal::new(number).unwrap()
    }

    #[test]
    fn sets_as_the_kernel_writes_them() {
        let status = SignalStatus::parse(STATUS.as_bytes()).unwrap();
        assert_eq!(status.pending, [Signal::SIGUSR1].into_iter().collect());
        assert_eq!(status.shared_pending, [Signal::SIGINT].into_iter().collect());
        assert_eq!(status.blocked, [signal(64)].into_iter().collect());
        assert_eq!(status.ignored, [signal(libc::SIGPIPE), signal(libc::SIGXFSZ)].into_iter().collect());
        assert_eq!(status.caught, [Signal::SIGINT, Signal::SIGUSR1, signal(33)].into_iter().collect());
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_none() {
        for end in 0..STATUS.find("CapInh").unwrap() - 1 {
            assert_eq!(SignalStatus::parse(&STATUS.as_bytes()[..end]), None, "{end}");
        }
        for damage in
            ["-000000000000202", "+000000000000202", "0x00000000000202", "", "000000010000020", "00000000 0000202"]
        {
            let damaged = STATUS.replace("0000000100000202", damage);
            assert_eq!(SignalStatus::parse(damaged.as_bytes()), None, "{damage:?}");
        }
    }

    #[test]
    fn what_each_signal_would_do() {
        let status = SignalStatus::parse(STATUS.as_bytes()).unwrap();
        for (number, disposition) in [
            (libc::SIGINT, Disposition::Handled),
            (libc::SIGUSR1, Disposition::Handled),
            (libc::SIGPIPE, Disposition::Ignored),
            (libc::SIGCHLD, Disposition::Ignored),
            (libc::SIGUSR2, Disposition::Terminates),
            (libc::SIGQUIT, Disposition::Terminates),
            (libc::SIGTSTP, Disposition::Stops),
            (libc::SIGCONT, Disposition::Continues),
            (64, Disposition::Terminates),
        ] {
            assert_eq!(status.disposition(signal(number)), disposition, "{number}");
        }
        // Whatever is said of them, these two cannot be caught.
        let all = SignalSet::from_mask(u64::MAX);
        let caught = SignalStatus { ignored: all, caught: all, ..status };
        assert_eq!(caught.disposition(Signal::SIGKILL), Disposition::Terminates);
        assert_eq!(caught.disposition(Signal::SIGSTOP), Disposition::Stops);
        assert_eq!(caught.disposition(signal(libc::SIGCONT)), Disposition::Handled);
        let ignored = SignalStatus { caught: SignalSet::EMPTY, ..caught };
        assert_eq!(ignored.disposition(signal(libc::SIGTSTP)), Disposition::Ignored);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            SignalStatus::parse(&bytes);
        }
    }
}
