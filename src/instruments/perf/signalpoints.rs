//! The kernel's tracepoints at the two ends of a signal's way through it: `signal:signal_generate`, in the context of whoever
//! sends it, and `signal:signal_deliver`, in that of the task that is about to handle it.

use crate::event::{Address, Delivery, Generation, Signal, Tid};
use crate::instruments::perf::refusal::Why;
use crate::instruments::perf::tracepoint::{Field, describe, field};

/// Both, as tracefs describes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalTracepoints {
    generate: Generate,
    deliver: Deliver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generate {
    id: u64,
    signal: Field,
    task: Field,
    group: Field,
    result: Field,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deliver {
    id: u64,
    signal: Field,
    task: Field,
    handler: Field,
}

/// What one of them has recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalTrace {
    /// A signal was sent.
    Generated {
        /// To this task; for a signal to a process, one of its tasks.
        task: Tid,
        /// Which signal.
        signal: Signal,
        /// Whom it is for.
        to: Addressee,
        /// What the kernel did with it.
        outcome: Generation,
    },
    /// A task is about to handle one.
    Delivered {
        /// Which task.
        task: Tid,
        /// Which signal.
        signal: Signal,
        /// What it does.
        to: Delivery,
    },
}

/// For whom a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// For that task alone.
    Task,
    /// For any task of its process.
    Process,
}

impl SignalTracepoints {
    /// Looks them up.
    ///
    /// # Errors
    /// Where tracefs is not mounted or not for us, or the kernel has none of them.
    pub fn find() -> Result<SignalTracepoints, Why> {
        let generate = describe("events/signal/signal_generate")?;
        let deliver = describe("events/signal/signal_deliver")?;
        SignalTracepoints::parse((&generate.0, &generate.1), (&deliver.0, &deliver.1)).ok_or(Why::NoTracepoint)
    }

    fn parse(generate: (&str, &str), deliver: (&str, &str)) -> Option<SignalTracepoints> {
        Some(SignalTracepoints {
            generate: Generate {
                id: generate.0.trim().parse().ok()?,
                signal: field(generate.1, "sig")?,
                task: field(generate.1, "pid")?,
                group: field(generate.1, "group")?,
                result: field(generate.1, "result")?,
            },
            deliver: Deliver {
                id: deliver.0.trim().parse().ok()?,
                signal: field(deliver.1, "sig")?,
                task: field(deliver.1, "common_pid")?,
                handler: field(deliver.1, "sa_handler")?,
            },
        })
    }

    /// Their numbers.
    pub(super) fn ids(&self) -> [u64; 2] {
        [self.generate.id, self.deliver.id]
    }

    /// What was recorded; `None` if it makes no sense.
    pub(super) fn trace(&self, recorded: &[u8]) -> Option<SignalTrace> {
        // `common_type`, which every tracepoint's record begins with.
        let id = u64::from(u16::from_le_bytes(*recorded.first_chunk()?));
        let signal = |of: Field| Signal::new(i32::try_from(of.read(recorded)?).ok()?);
        let task = |of: Field| u32::try_from(of.read(recorded)?).ok().map(Tid);
        if id == self.generate.id {
            let Generate { signal: number, task: of, group, result, .. } = self.generate;
            // `TRACE_SIGNAL_*` in include/trace/events/signal.h; 4 is one that is queued without what belongs to it.
            let outcome = match result.read(recorded)? {
                0 | 4 => Generation::Queued,
                1 => Generation::Ignored,
                2 => Generation::Merged,
                3 => Generation::Overflow,
                _ => return None,
            };
            let to = if group.read(recorded)? == 0 { Addressee::Task } else { Addressee::Process };
            return Some(SignalTrace::Generated { task: task(of)?, signal: signal(number)?, to, outcome });
        }
        let Deliver { id: deliver, signal: number, task: of, handler } = self.deliver;
        let to = match handler.read(recorded)? {
            0 => Delivery::Default,
            1 => Delivery::Ignored,
            function => Delivery::Calls { function: Address(function) },
        };
        (id == deliver).then_some(SignalTrace::Delivered { task: task(of)?, signal: signal(number)?, to })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of Linux 6.18 on x86_64.
    const GENERATE: &str = "\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;
\tfield:char comm[16];\toffset:20;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:36;\tsize:4;\tsigned:1;
\tfield:int group;\toffset:40;\tsize:4;\tsigned:1;
\tfield:int result;\toffset:44;\tsize:4;\tsigned:1;\n";
    const DELIVER: &str = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
\tfield:int sig;\toffset:8;\tsize:4;\tsigned:1;
\tfield:unsigned long sa_handler;\toffset:24;\tsize:8;\tsigned:0;\n";

    fn tracepoints() -> SignalTracepoints {
        SignalTracepoints::parse(("261\n", GENERATE), ("260\n", DELIVER)).unwrap()
    }

    fn recorded(words: [u32; 12]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn each_kind_is_read_where_the_format_says() {
        let sent = |group, result| tracepoints().trace(&recorded([261, 7, 10, 0, 0, 0, 0, 0, 0, 42, group, result]));
        let generated =
            |to, outcome| Some(SignalTrace::Generated { task: Tid(42), signal: Signal::SIGUSR1, to, outcome });
        assert_eq!(sent(1, 0), generated(Addressee::Process, Generation::Queued));
        assert_eq!(sent(0, 2), generated(Addressee::Task, Generation::Merged));
        assert_eq!(sent(0, 1), generated(Addressee::Task, Generation::Ignored));
        assert_eq!(sent(0, 9), None);
        let handled = |low| tracepoints().trace(&recorded([260, 7, 10, 0, 0, 0, low, 0, 0, 0, 0, 0]));
        for (low, to) in [
            (0, Delivery::Default),
            (1, Delivery::Ignored),
            (0x401_000, Delivery::Calls { function: Address(0x401_000) }),
        ] {
            assert_eq!(handled(low), Some(SignalTrace::Delivered { task: Tid(7), signal: Signal::SIGUSR1, to }));
        }
        assert_eq!(tracepoints().trace(&recorded([9, 7, 10, 0, 0, 0, 0, 0, 0, 42, 0, 0])), None);
        assert_eq!(tracepoints().trace(&recorded([261, 7, 65, 0, 0, 0, 0, 0, 0, 42, 0, 0])), None);
    }

    proptest! {
        #[test]
        fn never_panics(format: String, recorded: Vec<u8>) {
            SignalTracepoints::parse(("1", &format), ("2", &format));
            tracepoints().trace(&recorded);
        }
    }
}
