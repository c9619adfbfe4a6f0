//! The argued questions, each as an experiment that everybody can make: the claims about the GIL that are made most often, and what
//! decides them.

use crate::affinity::CpuSet;
use crate::experiment::command::CommandLine;
use crate::experiment::plan::{Plan, Variant};
use crate::time::Ns;

/// A question with what answers it.
#[derive(Debug)]
pub struct Builtin {
    /// Its name, as it is typed.
    pub name: &'static str,
    /// What people say.
    pub claim: &'static str,
    /// What to look at, and what to expect.
    pub expect: &'static str,
    /// Its variants: a name, and a program with its arguments.
    programs: &'static [(&'static str, Program, &'static [&'static str])],
    /// On which cores.
    cores: Cores,
    /// At which switch intervals.
    intervals: &'static [Ns],
    /// Runs of each variant that give an answer.
    pub runs: usize,
    /// The oldest CPython that can do it, as a minor version of 3.
    pub since: u8,
}

/// A Python file of `assets/experiments`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    FixedWork,
    Requests,
    Signalled,
}

impl Program {
    const ALL: [Program; 3] = [Program::FixedWork, Program::Requests, Program::Signalled];

    fn file(self) -> &'static str {
        match self {
            Program::FixedWork => "fixed_work.py",
            Program::Requests => "requests.py",
            Program::Signalled => "signalled.py",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Program::FixedWork => include_str!("../../assets/experiments/fixed_work.py"),
            Program::Requests => include_str!("../../assets/experiments/requests.py"),
            Program::Signalled => include_str!("../../assets/experiments/signalled.py"),
        }
    }
}

/// On which cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cores {
    /// On all that there are.
    All,
    /// On two, and on one of these.
    TwoOrOne,
}

use Program::{FixedWork, Requests, Signalled};

/// All of them.
pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "pin-hashing",
        claim: "\"C code that releases the GIL is crippled by pinning\": two threads that hash, on two cores and on one.",
        expect: "about twice as slow on one core: nearly all of its time runs without the GIL",
        programs: &[("", FixedWork, &["threads", "sha256", "2", "600"])],
        cores: Cores::TwoOrOne,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "pin-python",
        claim: "\"Pinning with taskset makes threads of pure Python faster\": two that count, on two cores and on one.",
        expect: "no great difference in wall time since CPython 3.2; nothing is lost by it either",
        programs: &[("", FixedWork, &["threads", "python", "2", "12000000"])],
        cores: Cores::TwoOrOne,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "threads-or-processes",
        claim: "\"Threads cannot use two cores for Python, processes can\": the same count in two threads, in two processes, and in \
                processes with two threads each.",
        expect: "two processes are about twice as fast as two threads; a pool of threads in each adds nothing here",
        programs: &[
            ("two threads", FixedWork, &["threads", "python", "2", "12000000"]),
            ("two processes", FixedWork, &["processes", "python", "2", "12000000"]),
            ("two pools of two", FixedWork, &["pools", "python", "4", "12000000"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "more-threads",
        claim: "\"The expense of context switching\": a fixed count among one to eight threads.",
        expect: "a few per cent of wall time; demand rises with the threads, speed does not",
        programs: &[
            ("1 thread", FixedWork, &["threads", "python", "1", "12000000"]),
            ("2 threads", FixedWork, &["threads", "python", "2", "12000000"]),
            ("4 threads", FixedWork, &["threads", "python", "4", "12000000"]),
            ("8 threads", FixedWork, &["threads", "python", "8", "12000000"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "switch-interval",
        claim: "\"sys.setswitchinterval makes threads more responsive for free\": four threads that count, at three intervals.",
        expect: "at 0.1 ms some twenty times as many handoffs as at 5 ms, and slower; at 50 ms fewer",
        programs: &[("", FixedWork, &["threads", "python", "4", "12000000"])],
        cores: Cores::All,
        intervals: &[Ns::from_millis(5), Ns::from_micros(100), Ns::from_millis(50)],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "convoy",
        claim: "\"I/O threads are heavily blocked by CPU threads\": the same requests beside none, one, two and four of them.",
        expect: "each wait becomes a switch interval with one, and several with two",
        programs: &[
            ("no hog", Requests, &["0", "150"]),
            ("1 hog", Requests, &["1", "150"]),
            ("2 hogs", Requests, &["2", "150"]),
            ("4 hogs", Requests, &["4", "150"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "convoy-pinned",
        claim: "\"On one core there is no convoy\": requests beside two CPU-bound threads, all on two cores and all on one.",
        expect: "on one core requests are answered faster: who has just let go of the GIL is not running elsewhere",
        programs: &[("", Requests, &["2", "150"])],
        cores: Cores::TwoOrOne,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "convoy-interval",
        claim: "\"A short switch interval cures the convoy\": requests beside one CPU-bound thread, at three intervals.",
        expect: "waits of about one switch interval each",
        programs: &[("", Requests, &["1", "150"])],
        cores: Cores::All,
        intervals: &[Ns::from_millis(5), Ns::from_micros(500), Ns::from_millis(20)],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "ctrl-c",
        claim: "\"Ctrl-C takes long with threads\": signals to a main thread in join(), beside none, one and two CPU-bound threads.",
        expect: "a fraction of a millisecond, a switch interval, and several",
        programs: &[
            ("no hog", Signalled, &["0", "40"]),
            ("1 hog", Signalled, &["1", "40"]),
            ("2 hogs", Signalled, &["2", "40"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "interpreters",
        claim: "\"Separate processes are the only way around the GIL\": the same count in two threads, and in two interpreters with a \
                GIL each.",
        expect: "two interpreters are about twice as fast",
        programs: &[
            ("two threads", FixedWork, &["threads", "python", "2", "12000000"]),
            ("two interpreters", FixedWork, &["interpreters", "python", "2", "12000000"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 12,
    },
    Builtin {
        name: "free-threaded",
        claim: "\"Without the GIL threads scale\": the same count in one and in two threads, on a free-threaded build (--python python3.14t).",
        expect: "two threads are about twice as fast as one; with a GIL they are not",
        programs: &[
            ("1 thread", FixedWork, &["threads", "python", "1", "12000000"]),
            ("2 threads", FixedWork, &["threads", "python", "2", "12000000"]),
        ],
        cores: Cores::All,
        intervals: &[],
        runs: 8,
        since: 13,
    },
];

/// The experiment with this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTINS.iter().find(|one| one.name == name)
}

/// The files that its programs are in, with their text.
pub fn program_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    Program::ALL.into_iter().map(|program| (program.file(), program.source()))
}

impl Builtin {
    /// Its variants, with an interpreter and with the directory that [`program_files`] are in; `there` are the cores that may be used.
    /// `None`: it takes two cores, and there is one.
    pub fn variants(&self, python: &str, directory: &str, there: &CpuSet) -> Option<Vec<Variant>> {
        let cores: Vec<CpuSet> = match (self.cores, there.cpus()) {
            (Cores::All, _) => Vec::new(),
            (Cores::TwoOrOne, [first, second, ..]) => vec![CpuSet::of([*first, *second])?, CpuSet::of([*first])?],
            (Cores::TwoOrOne, _) => return None,
        };
        let command = |(name, program, arguments): &(&str, Program, &[&str])| -> CommandLine {
            let mut words = vec![python.to_owned(), format!("{directory}/{}", program.file())];
            words.extend(arguments.iter().map(|argument| (*argument).to_owned()));
            ((!name.is_empty()).then(|| (*name).to_owned()), words)
        };
        let commands: Vec<CommandLine> = self.programs.iter().map(command).collect();
        Some(Plan::combinations(&commands, &cores, self.intervals))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_question_has_variants_that_can_be_told_apart() {
        let two = CpuSet::parse("2-5").unwrap();
        let names: BTreeSet<&str> = BUILTINS.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), BUILTINS.len());
        for one in BUILTINS {
            let variants = one.variants("python3", "/somewhere", &two).unwrap();
            assert!(variants.len() >= 2, "{}", one.name);
            let directories: BTreeSet<String> = variants.iter().map(Variant::directory).collect();
            assert_eq!(directories.len(), variants.len(), "{directories:?}");
            assert!(builtin(one.name).is_some());
        }
        let pinned = builtin("pin-hashing").unwrap();
        assert!(pinned.variants("python3", "/x", &CpuSet::parse("3").unwrap()).is_none());
    }
}
