//! Positions in bytecode on every interpreter of this machine: what moves, what does not, and what cannot be told.

use std::time::Duration;

use gilscope::event::Progress;
use gilscope::event::{Origin, Pid};
use gilscope::target::{Position, Target};
use gilscope::time::Ns;

use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOKS: usize = 150;

struct Working {
    target: Target,
    _child: Child,
}

impl Working {
    /// Starts a program that says `ready` and then runs the code.
    fn start(python: &Python, code: &str) -> Working {
        let code = format!("import sys, time\nsys.stdout.write('ready\\n')\nsys.stdout.flush()\n{code}\n");
        let mut child = Child::spawn(python.command().args(["-c", &code]));
        child.ready(PATIENCE);
        let target = Target::attach(Pid(child.pid()), Ns::SECOND, Origin::Attached)
            .unwrap_or_else(|error| panic!("{python}: {error}"));
        Working { target, _child: child }
    }

    fn looks(&self, count: usize) -> Vec<Position> {
        let main = self.target.main_thread().unwrap().unwrap();
        let probe = self.target.progress(&main).unwrap();
        let look = |_| {
            std::thread::sleep(Duration::from_micros(970));
            probe.look(self.target.memory()).unwrap()
        };
        (0..count).map(look).collect()
    }
}

/// How many pairs of neighbours moved.
fn moves(looks: &[Position]) -> usize {
    looks.windows(2).filter(|pair| pair[1].since(&pair[0]) == Progress::Moved).count()
}

/// One C call, however long it takes, and a sleep in one: never any progress.
#[test]
fn one_call_is_one_position() {
    for code in ["sum(range(1 << 60))", "time.sleep(1000)", "sys.stdin.read()"] {
        for python in pythons() {
            let working = Working::start(python, code);
            // It may take a moment from `ready` into the call.
            eventually(PATIENCE, "the call to have begun", || (moves(&working.looks(20)) == 0).then_some(()));
            let looks = working.looks(LOOKS);
            assert_eq!(moves(&looks), 0, "{python}: {code}");
            assert!(looks.iter().all(|look| matches!(look, Position::At(_))), "{python}: {code}: {looks:?}");
        }
    }
}

/// Bytecode moves, whatever it consists of: at the top level, in functions, in generators.
#[test]
fn bytecode_is_progress() {
    for code in [
        "x = 0\nwhile True:\n    x = (x * 3 + 7) % 1000003",
        "def f():\n    x = 0\n    while True:\n        x = (x * 3 + 7) % 1000003\nf()",
        "def g(a):\n    return a + 1\ndef f():\n    while True:\n        g(5)\nf()",
        "def g():\n    while True:\n        yield 1\nfor x in g():\n    pass",
        "key = lambda x: -x\nvalues = list(range(1 << 10))\nwhile True:\n    values.sort(key=key)",
    ] {
        for python in pythons() {
            let looks = Working::start(python, code).looks(LOOKS);
            // One in twenty would do for it to be seen within a tenth of a second.
            assert!(moves(&looks) * 20 > LOOKS, "{python}: {} of {LOOKS} in {code}", moves(&looks));
        }
    }
}

/// What `Progress::NotSeen` does not prove: bytecode that always is at the same place when it is looked at.
#[test]
fn a_jump_to_itself_looks_like_a_call() {
    for python in pythons() {
        let working = Working::start(python, "while True: pass");
        eventually(PATIENCE, "the loop to have begun", || (moves(&working.looks(20)) == 0).then_some(()));
        assert_eq!(moves(&working.looks(LOOKS)), 0, "{python}");
    }
}

/// A loop over C calls of some microseconds is seen to move, mostly by its loop variable.
#[test]
fn a_loop_of_short_calls_is_seen_to_move() {
    let code = "def f():\n    for i in range(1 << 60):\n        sum(range(300))\nf()";
    for python in pythons() {
        let looks = Working::start(python, code).looks(LOOKS);
        assert!(moves(&looks) * 20 > LOOKS, "{python}: {} of {LOOKS}", moves(&looks));
    }
}

/// Where the instruction is kept is where the target changes it, and nobody else.
#[test]
fn the_instruction_word_changes_with_the_bytecode_only() {
    for python in pythons() {
        for (code, changes) in
            [("x = 0\nwhile True:\n    x = (x * 3 + 7) % 1000003", true), ("time.sleep(1000)", false)]
        {
            let working = Working::start(python, code);
            if !changes {
                eventually(PATIENCE, "the call to have begun", || (moves(&working.looks(20)) == 0).then_some(()));
            }
            let Some(Position::At(place)) = working.looks(1).pop() else { panic!("{python}: no position") };
            let (address, size) = place.instruction_word();
            assert_eq!(address.0 % size, 0, "{python}");
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..LOOKS {
                let mut word = [0u8; 8];
                working.target.memory().read(address, &mut word[..size as usize]).unwrap();
                seen.insert(word);
                std::thread::sleep(Duration::from_micros(300));
            }
            assert_eq!(seen.len() > 1, changes, "{python}: {seen:?}");
        }
    }
}
