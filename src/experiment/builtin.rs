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
    /// With which interpreters.
    pub pythons: Pythons,
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

/// With which interpreters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pythons {
    /// With one.
    One,
    /// With one that has the GIL, and one of the same version that is free-threaded.
    BothBuilds,
}

use Program::{FixedWork, Requests, Signalled};

/// All of them.
pub const BUILTINS: &[Builtin] = &[
    Builtin {
        name: "pin-hashing",
        claim: "\"C code that releases the GIL is crippled by pinning\": two threads that hash, on two cores and on one.",
        expect: "about twice as slow on one core: nearly all of its time runs without the GIL",
        programs: &[("", FixedWork, &["threads", "sha256", "2", "4000"])],
        cores: Cores::TwoOrOne,
        pythons: Pythons::One,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "pin-python",
        claim: "\"Pinning with taskset makes threads of pure Python faster\": two that count, on two cores and on one.",
        expect: "as fast as on two, or some per cent slower: since CPython 3.2 there is nothing to be gained by it",
        programs: &[("", FixedWork, &["threads", "python", "2", "12000000"])],
        cores: Cores::TwoOrOne,
        pythons: Pythons::One,
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
            ("two threads", FixedWork, &["threads", "python", "2", "48000000"]),
            ("two processes", FixedWork, &["processes", "python", "2", "48000000"]),
            ("two pools of two", FixedWork, &["pools", "python", "4", "48000000"]),
        ],
        cores: Cores::All,
        pythons: Pythons::One,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "more-threads",
        claim: "\"The expense of context switching\": a fixed count among one to eight threads.",
        expect: "within some ten per cent as fast, whatever their number: they only wait more",
        programs: &[
            ("1 thread", FixedWork, &["threads", "python", "1", "12000000"]),
            ("2 threads", FixedWork, &["threads", "python", "2", "12000000"]),
            ("4 threads", FixedWork, &["threads", "python", "4", "12000000"]),
            ("8 threads", FixedWork, &["threads", "python", "8", "12000000"]),
        ],
        cores: Cores::All,
        pythons: Pythons::One,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "switch-interval",
        claim: "\"sys.setswitchinterval makes threads more responsive for free\": four threads that count, at three intervals.",
        expect: "at 0.1 ms some twenty times as many handoffs as at 5 ms, more CPU time and somewhat slower; at 50 ms fewer",
        programs: &[("", FixedWork, &["threads", "python", "4", "12000000"])],
        cores: Cores::All,
        pythons: Pythons::One,
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
        pythons: Pythons::One,
        intervals: &[],
        runs: 8,
        since: 7,
    },
    Builtin {
        name: "convoy-pinned",
        claim: "\"On one core there is no convoy\": requests beside two CPU-bound threads, all on two cores and all on one.",
        expect: "on one core requests are answered faster, as a rule: who has just let go of the GIL is not running elsewhere",
        programs: &[("", Requests, &["2", "150"])],
        cores: Cores::TwoOrOne,
        pythons: Pythons::One,
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
        pythons: Pythons::One,
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
        pythons: Pythons::One,
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
            ("two threads", FixedWork, &["threads", "python", "2", "48000000"]),
            ("two interpreters", FixedWork, &["interpreters", "python", "2", "48000000"]),
        ],
        cores: Cores::All,
        pythons: Pythons::One,
        intervals: &[],
        runs: 8,
        since: 12,
    },
    Builtin {
        name: "free-threaded",
        claim: "\"Without the GIL threads scale\": the same count in one and in two threads, with the GIL and on a free-threaded build of the same version.",
        expect: "two threads without the GIL are nearly twice as fast as one; with it they are not; one thread is somewhat slower without. \
                 Whatever else differs between the two builds (compiler options, a shared library) is in the difference, too",
        programs: &[
            ("1 thread", FixedWork, &["threads", "python", "1", "48000000"]),
            ("2 threads", FixedWork, &["threads", "python", "2", "48000000"]),
        ],
        cores: Cores::All,
        pythons: Pythons::BothBuilds,
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
    /// Its variants, with interpreters, each with what its variants are called after (nothing, for one), and with the directory that
    /// [`program_files`] are in; `there` are the cores that may be used. `None`: it takes two cores, and there is one.
    pub fn variants(&self, pythons: &[(&str, String)], directory: &str, there: &CpuSet) -> Option<Vec<Variant>> {
        let cores: Vec<CpuSet> = match (self.cores, there.cpus()) {
            (Cores::All, _) => Vec::new(),
            (Cores::TwoOrOne, [first, second, ..]) => vec![CpuSet::of([*first, *second])?, CpuSet::of([*first])?],
            (Cores::TwoOrOne, _) => return None,
        };
        let mut commands: Vec<CommandLine> = Vec::new();
        for (called, python) in pythons {
            for (name, program, arguments) in self.programs {
                let mut words = vec![python.clone(), format!("{directory}/{}", program.file())];
                words.extend(arguments.iter().map(|argument| (*argument).to_owned()));
                let parts: Vec<&str> = [*called, *name].into_iter().filter(|part| !part.is_empty()).collect();
                commands.push(((!parts.is_empty()).then(|| parts.join(", ")), words));
            }
        }
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
            let pythons = [("GIL build", "python3".to_owned()), ("free-threaded", "python3t".to_owned())];
            let pythons = if one.pythons == Pythons::One { &pythons[..1] } else { &pythons };
            let variants = one.variants(pythons, "/somewhere", &two).unwrap();
            assert!(variants.len() >= 2, "{}", one.name);
            let directories: BTreeSet<String> = variants.iter().map(Variant::directory).collect();
            assert_eq!(directories.len(), variants.len(), "{directories:?}");
            assert!(builtin(one.name).is_some());
        }
        let pinned = builtin("pin-hashing").unwrap();
        let python = [("", "python3".to_owned())];
        assert!(pinned.variants(&python, "/x", &CpuSet::parse("3").unwrap()).is_none());
        let builds = [("GIL build", "p".to_owned()), ("free-threaded", "pt".to_owned())];
        let variants = builtin("free-threaded").unwrap().variants(&builds, "/x", &two).unwrap();
        let labels: Vec<String> = variants.iter().map(Variant::label).collect();
        let expected =
            ["GIL build, 1 thread", "GIL build, 2 threads", "free-threaded, 1 thread", "free-threaded, 2 threads"];
        assert_eq!(labels, expected);
        assert!(variants[3].command[0] == "pt" && variants[0].command[0] == "p");
    }
}
