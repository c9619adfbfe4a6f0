//! `gilscope interrupt`: it sends what the program handles, as often as was said, and nothing that would harm it.

use std::time::Duration;

use crate::command::{oldest_and_newest, run, run_to, valid};
use crate::observed::gilscope;
use crate::support::child::Child;
use crate::support::pythons::{Python, pythons};

const PATIENCE: Duration = Duration::from_secs(30);

/// Handles SIGUSR1, counts, and says how often as soon as a line is said to it.
const COUNTS: &str = r"
import signal, sys, threading
count = 0
def handler(number, frame):
    global count
    count += 1
signal.signal(signal.SIGUSR1, handler)
def hog():
    while True:
        pass
thread = threading.Thread(target=hog)
thread.daemon = True
thread.start()
sys.stdout.write('ready\n')
sys.stdout.flush()
while sys.stdin.readline():
    sys.stdout.write('%d\n' % count)
    sys.stdout.flush()
";

fn counting(python: &Python) -> Child {
    let mut child = Child::spawn(python.command().args(["-c", COUNTS]));
    child.ready(PATIENCE);
    child
}

/// How many signals the program has handled.
fn handled(child: &mut Child) -> u32 {
    child.say("\n");
    child.line(PATIENCE).trim().parse().expect("a count")
}

#[test]
fn as_many_are_sent_as_were_asked_for_and_all_are_handled() {
    for python in pythons() {
        let mut child = counting(python);
        let pid = child.pid().to_string();
        let arguments = ["interrupt", &pid, "--signal", "usr1", "-n", "7", "--every", "20ms", "-f", "json"];
        let ended = run_to(0, gilscope().args(arguments));
        assert!(ended.stderr.contains("7 SIGUSR1 sent, 7 handled; after at most"), "{python}: {}", ended.stderr);
        let report = valid(&ended.stdout);
        assert_eq!(report["processes"][0]["target"]["pid"], child.pid(), "{python}");
        assert_eq!(handled(&mut child), 7, "{python}");
    }
}

/// What is kept tells the same as what was said at once.
#[test]
fn a_recording_of_it_has_the_measured_delays() {
    for python in oldest_and_newest() {
        let mut child = counting(python);
        let directory = tempfile::tempdir().unwrap();
        let (pid, file) = (child.pid().to_string(), directory.path().join("usr1.gscope"));
        let file = file.to_str().unwrap();
        let arguments = ["interrupt", &pid, "--signal", "usr1", "-n", "5", "--every", "20ms", "-f", "json", "-o", file];
        let ended = run_to(0, gilscope().args(arguments));
        assert!(ended.stderr.contains("read it with: gilscope report"), "{python}: {}", ended.stderr);
        assert!(ended.stderr.contains("none dropped"), "{python}: {}", ended.stderr);
        let recorded = valid(&run_to(0, gilscope().args(["report", file, "-f", "json"])).stdout);
        let told = &valid(&ended.stdout)["processes"][0]["interrupts"];
        assert_eq!(&recorded["processes"][0]["interrupts"], told, "{python}");
        let measured = &told["measured"][0];
        let (count, cut) = (&measured["delay"]["count"], &measured["delay"]["censored"]);
        let seen = count.as_u64().zip(cut.as_u64()).map(|(count, cut)| count + cut);
        assert!(measured["from"] == "generate" && seen == Some(5), "{python}: {measured}");
        // It is not written over unless that is said, and then nothing is sent; one that is refused makes no file.
        let again = ["interrupt", &pid, "--signal", "usr1", "-n", "1", "-o", file, "-q"];
        let refused = run_to(2, gilscope().args(again));
        assert!(refused.stderr.contains("`--force` replaces it"), "{python}: {}", refused.stderr);
        assert_eq!(handled(&mut child), 5, "{python}");
        let forced = run_to(0, gilscope().args(again).arg("--force"));
        assert_eq!(forced.stderr, "", "{python}: quiet");
        let other = directory.path().join("term.gscope");
        run_to(8, gilscope().args(["interrupt", &pid, "--signal", "TERM", "-q", "-o"]).arg(&other));
        assert!(!other.exists(), "{python}");
        assert_eq!(handled(&mut child), 6, "{python}");
    }
}

#[test]
fn nothing_is_sent_that_would_harm_or_do_nothing() {
    for python in oldest_and_newest() {
        only_what_is_handled_is_sent(&mut counting(python));
    }
}

fn only_what_is_handled_is_sent(child: &mut Child) {
    let pid = child.pid().to_string();
    for (signal, what) in [
        ("SIGTERM", "SIGTERM would end process"),
        ("9", "SIGKILL would end process"),
        ("TSTP", "SIGTSTP would stop process"),
        ("stop", "SIGSTOP would stop process"),
        ("SIGCHLD", "no Python handler for SIGCHLD"),
        ("SIGINT", "SIGINT raises KeyboardInterrupt"),
    ] {
        let ended = run_to(8, gilscope().args(["interrupt", &pid, "--signal", signal, "-q"]));
        assert!(ended.stderr.contains(what), "{signal}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{signal}");
    }
    let ended = run_to(2, gilscope().args(["interrupt", &pid, "--signal", "SIGNONE"]));
    assert!(ended.stderr.contains("is not a signal"), "{}", ended.stderr);
    assert_eq!(handled(child), 0, "it lives, and was sent nothing");
}

#[test]
fn a_keyboard_interrupt_is_sent_with_consent_and_its_end_is_no_failure() {
    for python in oldest_and_newest() {
        let child = counting(python);
        let pid = child.pid().to_string();
        let ended = run(gilscope().args(["interrupt", &pid, "--yes", "-n", "3", "--every", "20ms"]));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("SIGINT sent"), "{}", ended.stderr);
    }
}

/// Its main thread sits in C and does not look: one is sent, and no other.
#[test]
fn a_signal_that_is_not_handled_is_the_last() {
    let code = "
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
sys.stdout.write('ready\\n')
sys.stdout.flush()
while True:
    sum(range(10**11))
";
    for python in oldest_and_newest() {
        let mut child = Child::spawn(python.command().args(["-c", code]));
        child.ready(PATIENCE);
        let pid = child.pid().to_string();
        let arguments =
            ["interrupt", &pid, "--signal", "USR1", "-n", "3", "--every", "20ms", "--patience", "500ms", "-q"];
        let ended = run_to(8, gilscope().args(arguments));
        assert!(ended.stderr.contains("waiting for the main thread for"), "{}", ended.stderr);
        assert!(ended.stderr.contains("no other is sent"), "{}", ended.stderr);
    }
}
