//! `gilscope report -- CMD`: it sees the program from before its first line, and keeps out of its way.

use std::ffi::OsStr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{
    Desk, PATIENCE, TERMINAL, in_shell, of_capture, oldest_and_newest, report_on, run, run_to, send, valid,
};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{pythons, pythons_with_gil};

/// Prints when its first line ran.
const STAMP: &str = "import time; at = time.monotonic_ns()\nprint(at)\ntime.sleep(0.3)\n";

fn os<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

/// Looks at 5 kHz, so that the first look lies within 0.4 ms of the start of the capture. A start-up takes 6 ms and
/// more; where others keep gilscope off the cores for so long it comes too late, but hardly three times in a row.
#[test]
fn a_program_is_seen_from_before_its_first_line() {
    let _alone = alone();
    let desk = Desk::new();
    let script = desk.file("stamp.py", STAMP);
    let report = desk.path("report.json");
    for python in pythons() {
        let mut margins: Vec<f64> = (0..3)
            .map(|_| {
                let arguments = ["-f", "json", "-r", "5k", "-o", report.to_str().unwrap()];
                let program = [python.program.as_os_str(), script.as_os_str()];
                let said = run_to(0, &mut report_on(&arguments, &program)).stdout;
                let first_line: u64 = said.trim().parse().unwrap_or_else(|_| panic!("{python} said {said:?}"));
                let start = of_capture(&desk.report("report.json"), "start_monotonic_ns");
                (first_line as f64 - start as f64) / 1e6
            })
            .collect();
        margins.sort_by(f64::total_cmp);
        eprintln!("{python}: seen {margins:.1?} ms before its first line");
        assert!(margins[2] > 0.4, "{python}: {margins:?} ms");
    }
}

#[test]
fn stdin_stdout_and_stderr_pass_byte_for_byte() {
    let desk = Desk::new();
    // Every byte, in no order that text would have, and more than a pipe holds.
    let data: Vec<u8> = (0u32..1_000_003).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    desk.file("in", &data);
    let copy = desk.file(
        "copy.py",
        "import sys\ndata = sys.stdin.buffer.read()\nsys.stderr.buffer.write(data[:70000])\nsys.stdout.buffer.write(data)\n",
    );
    let report = desk.path("report.json");
    for python in oldest_and_newest() {
        let arguments = ["-f", "json", "-o", report.to_str().unwrap()];
        let command = report_on(&arguments, &[python.program.as_os_str(), copy.as_os_str()]);
        run_to(0, in_shell("exec \"$@\" <in >out 2>err", &command).current_dir(desk.path("")));
        assert!(desk.read("out") == data, "{python}: stdout is another");
        assert!(desk.read("err") == data[..70_000], "{python}: stderr is another: gilscope had nothing to say");
        desk.report("report.json");
    }
}

#[test]
fn the_report_keeps_away_from_the_programs_stdout() {
    let python = &pythons()[0];
    let program =
        [python.program.as_os_str(), OsStr::new("-c"), OsStr::new("print('data'); import time; time.sleep(0.2)")];
    let ended = run_to(0, &mut report_on(&["-f", "json"], &program));
    assert_eq!(ended.stdout, "data\n");
    valid(&ended.stderr);
    let ended = run_to(0, &mut report_on(&["-q"], &program));
    assert_eq!(ended.stdout, "data\n");
    assert!(ended.stderr.contains("How this was observed"), "{}", ended.stderr);
    let help = run_to(0, gilscope().args(["report", "--help"])).stdout;
    assert!(help.contains("stdout with -p, stderr with --"), "{help}");
}

#[test]
fn stdin_is_the_programs_alone() {
    let desk = Desk::new();
    desk.file("in", "12345");
    let report = desk.path("report.txt");
    let code = "import os, time; time.sleep(0.1); print(os.read(0, 2).decode(), flush=True)";
    for python in oldest_and_newest() {
        let arguments = ["-o", report.to_str().unwrap()];
        let command = report_on(&arguments, &[python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)]);
        let ended = run_to(0, in_shell("(\"$@\"; cat) <in", &command).current_dir(desk.path("")));
        assert_eq!(ended.stdout, "12\n345", "{python}: gilscope read what was not meant for it");
    }
}

#[test]
fn a_program_without_stdin_reads_nothing() {
    let code = "import sys, time; time.sleep(0.1); print(repr(sys.stdin.read() if sys.stdin else ''))";
    for python in oldest_and_newest() {
        for line in ["exec \"$@\" <&-", "exec \"$@\" </dev/null"] {
            let command = report_on(&[], &[python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)]);
            assert_eq!(run_to(0, &mut in_shell(line, &command)).stdout, "''\n", "{python}: {line}");
        }
    }
}

#[test]
fn a_program_gets_no_descriptor_of_gilscopes() {
    let desk = Desk::new();
    let report = desk.path("report.txt");
    let code = "import os, time; time.sleep(0.05); print(sorted(os.listdir('/proc/self/fd')))";
    let python = &pythons()[0];
    let arguments = ["-o", report.to_str().unwrap()];
    let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)];
    let without = run_to(0, python.command().args(["-c", code])).stdout;
    assert!(without.contains("'0', '1'") && without.contains("'2'"), "{without}");
    assert_eq!(run_to(0, &mut report_on(&arguments, &program)).stdout, without);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_as_without_gilscope() {
    let desk = Desk::new();
    let report = desk.path("report.json");
    let arguments = ["-f", "json", "-o", report.to_str().unwrap()];
    let line = "(\"$@\"; echo $? >status) | head -1";
    let endless = "import sys\nprint('first')\nwhile True: print('more')";
    for python in oldest_and_newest() {
        let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(endless)];
        let ended = run_to(0, in_shell(line, &report_on(&arguments, &program)).current_dir(desk.path("")));
        assert_eq!(ended.stdout, "first\n");
        assert!(ended.stderr.contains("BrokenPipeError"), "{python}: {}", ended.stderr);
        assert_eq!(desk.read("status"), b"1\n", "{python}: a traceback's status");
        desk.report("report.json");
    }
    // A program that leaves SIGPIPE to the system dies of it: 128 + 13.
    let ended = run_to(0, in_shell(line, &report_on(&[], &os(&["yes"]))).current_dir(desk.path("")));
    assert_eq!(ended.stdout, "y\n");
    assert_eq!(desk.read("status"), b"141\n", "{}", ended.stderr);
}

#[test]
fn the_exit_status_is_the_programs() {
    let desk = Desk::new();
    let report = desk.path("report.json");
    let arguments = ["-q", "-f", "json", "-o", report.to_str().unwrap()];
    let sleep = "import os, signal, sys, time; time.sleep(0.3); ";
    for python in oldest_and_newest() {
        for (end, status) in [
            ("sys.exit(0)", 0),
            ("sys.exit(3)", 3),
            ("sys.exit(255)", 255),
            ("raise ValueError('of its own')", 1),
            ("os.kill(os.getpid(), signal.SIGKILL)", 137),
            ("os.kill(os.getpid(), signal.SIGTERM)", 143),
            ("os.kill(os.getpid(), signal.SIGSEGV)", 139),
        ] {
            let code = format!("{sleep}{end}");
            let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(&code)];
            let ended = run_to(status, &mut report_on(&arguments, &program));
            assert_eq!(ended.stderr.contains("of its own"), end.contains("of its own"), "{python}: {}", ended.stderr);
            assert!(of_capture(&desk.report("report.json"), "samples") > 0, "{python}: {end}");
        }
    }
}

#[test]
fn a_program_that_does_not_start_has_a_shells_statuses() {
    let desk = Desk::new();
    let kept = desk.file("kept", "an older report");
    let orphan = desk.file("orphan", "#!/nowhere/python3\n");
    let plain = desk.file("plain.py", "print(1)\n");
    std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let here = desk.path("");
    for (program, status, words) in [
        ("gilscope-no-such-program", 127, ["cannot start `gilscope-no-such-program`", "check its name"]),
        (orphan.to_str().unwrap(), 127, ["No such file", "its first line"]),
        (plain.to_str().unwrap(), 126, ["Permission denied", "type: gilscope report -- python3 "]),
        (here.to_str().unwrap(), 126, ["Permission denied", "python3"]),
    ] {
        let arguments = ["-q", "-o", kept.to_str().unwrap()];
        let ended = run_to(status, &mut report_on(&arguments, &os(&[program])));
        for word in words {
            assert!(ended.stderr.contains(word), "{program}: {}", ended.stderr);
        }
        assert_eq!(desk.read("kept"), b"an older report", "{program}: nothing was observed, nothing is written");
    }
}

#[test]
fn a_program_that_is_no_python_is_run_and_named() {
    // Its own failure is the more important one; how quiet gilscope was asked to be does not matter.
    for (program, status) in
        [(&["true"][..], 4), (&["false"], 1), (&["sh", "-c", "exit 7"], 7), (&["sh", "-c", "kill -KILL $$"], 137)]
    {
        let ended = run_to(status, &mut report_on(&["-q"], &os(program)));
        assert_eq!(ended.stdout, "");
        let named = format!("gilscope: `{}` ended", program[0]);
        assert!(ended.stderr.contains(&named), "{program:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("gilscope report -- python3 app.py"), "{program:?}: {}", ended.stderr);
    }
    let ended = run_to(4, &mut report_on(&[], &os(&["sh", "-c", "sleep 0.2; sleep 0.1; true"])));
    assert!(
        ended.stderr.contains("without ever having been a Python (the last program it ran was /"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("exec python3"), "{}", ended.stderr);
}

#[test]
fn a_long_wait_for_a_python_is_told() {
    let _alone = alone();
    let python = &pythons()[0];
    let desk = Desk::new();
    let script = desk.file("stamp.py", STAMP);
    let report = desk.path("report.json");
    let program = [
        OsStr::new("sh"),
        OsStr::new("-c"),
        OsStr::new("sleep 3.6; exec \"$@\""),
        OsStr::new("sh"),
        python.program.as_os_str(),
        script.as_os_str(),
    ];
    let ended = run_to(0, &mut report_on(&["-f", "json", "-o", report.to_str().unwrap()], &program));
    assert!(ended.stderr.contains("gilscope: `sh` is not a Python yet"), "{}", ended.stderr);
    let first_line: u64 = ended.stdout.trim().parse().expect("a stamp");
    let start = of_capture(&desk.report("report.json"), "start_monotonic_ns");
    // By now it is looked at every 5 ms only, and may take 6 ms to its first line: seen early, not surely before.
    let margin = (first_line as f64 - start as f64) / 1e6;
    eprintln!("{python}: seen {margin:.1} ms before its first line, long after the start");
    assert!(margin > -250.0, "{margin} ms: its end was near");
}

#[test]
fn a_script_that_becomes_a_python_is_observed_as_one() {
    let desk = Desk::new();
    let stamp = desk.file("stamp.py", STAMP);
    let report = desk.path("report.json");
    for python in oldest_and_newest() {
        let (program, stamp) = (python.program.display(), stamp.display());
        let text = format!("#!/bin/sh\necho from the shell\nsleep 0.1\nexec '{program}' '{stamp}' an-argument\n");
        let wrapper = desk.file("wrapper", text);
        let arguments = ["-f", "json", "-o", report.to_str().unwrap()];
        let ended = run_to(0, &mut report_on(&arguments, &[wrapper.as_os_str()]));
        let first_line: u64 =
            ended.stdout.strip_prefix("from the shell\n").expect("its line").trim().parse().expect("a stamp");
        let report = desk.report("report.json");
        let cmdline = report["processes"][0]["target"]["cmdline"].as_array().expect("a command line");
        assert_eq!(cmdline.last().and_then(|it| it.as_str()), Some("an-argument"), "{python}: {cmdline:?}");
        let start = of_capture(&report, "start_monotonic_ns");
        eprintln!("{python}: seen {:.1} ms before its first line", (first_line as f64 - start as f64) / 1e6);
        assert_eq!(ended.stderr, "");
    }
}

/// Such a program is up for a few milliseconds. It is seen, or it is said that it was not; never anything else.
#[test]
fn a_program_that_ends_at_once_is_seen_or_said_not_to_have_been() {
    let _alone = alone();
    let desk = Desk::new();
    let report = desk.path("report.json");
    let arguments = ["-f", "json", "-o", report.to_str().unwrap()];
    for python in pythons() {
        let mut seen = 0;
        for _ in 0..3 {
            let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new("pass")];
            let ended = run(&mut report_on(&arguments, &program));
            match ended.status.code() {
                Some(0) => {
                    assert_eq!(ended.stderr, "", "{python}");
                    desk.report("report.json");
                    seen += 1;
                }
                status => {
                    assert_eq!(status, Some(4), "{python}: {}", ended.stderr);
                    assert!(ended.stderr.contains("ended before a Python was up in it"), "{python}: {}", ended.stderr);
                }
            }
        }
        assert!(seen > 0, "{python}: never seen");
        let ended = run_to(4, &mut report_on(&[], &[python.program.as_os_str(), OsStr::new("--version")]));
        assert!(ended.stdout.starts_with("Python 3."), "{python}: {}", ended.stdout);
        assert!(ended.stderr.contains("ended before a Python was up"), "{python}: {}", ended.stderr);
    }
}

/// Up to 3.11 a thread's state names its creator until the thread itself has begun to run. A program that is watched
/// from its start is often looked at in that moment.
#[test]
fn a_newborn_thread_is_not_taken_for_its_creator() {
    let _alone = alone();
    let desk = Desk::new();
    let report = desk.path("report.json");
    let arguments = ["-q", "-f", "json", "-o", report.to_str().unwrap()];
    let code = "import threading, time\n\
                end = time.monotonic() + 0.3\n\
                def spin():\n    while time.monotonic() < end: pass\n\
                threading.Thread(target=spin).start()\n";
    let older: Vec<_> = pythons_with_gil().into_iter().filter(|python| python.minor() <= 11).collect();
    for python in older.into_iter().rev().take(3) {
        for _ in 0..5 {
            let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)];
            run_to(0, &mut report_on(&arguments, &program));
            let report = desk.report("report.json");
            let threads = report["processes"][0]["threads"].as_array().expect("threads");
            let holds = |thread: &Value| {
                let of = |state: &str| thread["states_ns"][state].as_u64().unwrap_or(0);
                of("running") + of("holding_off_cpu")
            };
            let (main, others): (Vec<&Value>, Vec<&Value>) = threads.iter().partition(|thread| thread["main"] == true);
            let others: u64 = others.into_iter().map(holds).sum();
            // The main thread holds it while the program starts up, which may take a while on a busy machine.
            assert!(others > 100_000_000, "{python}: the thread that spins holds the GIL for {others} ns: {threads:?}");
            assert_eq!(main.len(), 1, "{python}");
        }
    }
}

#[test]
fn the_report_comes_when_its_time_is_up_though_the_program_runs_on() {
    let python = &pythons()[0];
    let desk = Desk::new();
    let report = desk.path("report.json");
    let code = "import sys, time; sys.stdin.read(); sys.exit(9)";
    let arguments = ["-d", "0.3", "-f", "json", "-o", report.to_str().unwrap()];
    let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)];
    let mut child = Child::spawn(&mut report_on(&arguments, &program));
    // Written at once, but not in one instant.
    eventually(PATIENCE, "the report", || serde_json::from_slice::<Value>(&std::fs::read(&report).ok()?).ok());
    let ended = child.finish(PATIENCE);
    assert_eq!(ended.status.code(), Some(9), "{}", ended.stderr);
    let seconds = of_capture(&desk.report("report.json"), "duration_ns") as f64 / 1e9;
    // The time is checked every 50 ms at the latest; a busy machine adds some.
    assert!((0.29..1.0).contains(&seconds), "{seconds}");
}

const LISTENER: &str = r"
import signal, sys, time
def heard(number, frame):
    sys.stdout.write('heard %d\n' % number)
    sys.stdout.flush()
    if number == signal.SIGTERM:
        sys.exit(7)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
    signal.signal(number, heard)
sys.stdout.write('ready\n')
sys.stdout.flush()
while True:
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        sys.stdout.write('interrupted\n')
        sys.stdout.flush()
";

#[test]
fn signals_are_passed_on_each_once() {
    for python in oldest_and_newest() {
        let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(LISTENER)];
        let mut child = Child::spawn(&mut report_on(&["-f", "json"], &program));
        child.ready(PATIENCE);
        for (signal, word) in [
            ("USR1", "heard 10"),
            ("USR2", "heard 12"),
            ("WINCH", "heard 28"),
            ("HUP", "heard 1"),
            ("QUIT", "heard 3"),
            ("INT", "interrupted"),
            ("TERM", "heard 15"),
        ] {
            send(signal, child.pid());
            assert_eq!(child.line(PATIENCE), word, "{python}: SIG{signal}");
        }
        let ended = child.finish(PATIENCE);
        assert_eq!(ended.status.code(), Some(7), "{python}: {}", ended.stderr);
        assert_eq!(ended.stdout.lines().count(), 8, "{python}: {}", ended.stdout);
        valid(&ended.stderr);
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let code = "import signal, sys\n\
                print('ready', *[n for n in (1, 2, 3, 15) if signal.getsignal(n) == signal.SIG_IGN])\n\
                sys.stdout.flush()\nsys.stdin.read()\n";
    let python = &pythons()[0];
    let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)];
    // nohup(1), and a shell's job in the background.
    let mut child = Child::spawn(&mut in_shell("trap '' HUP INT; exec \"$@\"", &report_on(&["-q"], &program)));
    // Whoever runs the tests may have had others ignored; SIGTERM, hardly.
    let ignored = child.ready(PATIENCE);
    assert!(ignored.starts_with(&["1".to_owned(), "2".to_owned()]), "{ignored:?}");
    assert!(!ignored.contains(&"15".to_owned()), "{ignored:?}");
    send("HUP", child.pid());
    send("INT", child.pid());
    thread::sleep(Duration::from_millis(100));
    child.succeed(PATIENCE);
}

#[test]
fn ctrl_c_in_a_terminal_interrupts_the_program_once() {
    let code = "import sys, time\n\
                count = 0\n\
                print('ready')\n\
                end = time.monotonic() + 60\n\
                while time.monotonic() < end:\n    \
                    try:\n        \
                        time.sleep(max(0, end - time.monotonic()))\n    \
                    except KeyboardInterrupt:\n        \
                        count += 1\n        \
                        end = time.monotonic() + 0.5\n\
                print('interrupted', count)\n\
                sys.exit(5)\n";
    let terminal = pythons().last().expect("one at least");
    for python in oldest_and_newest() {
        let program = [python.program.as_os_str(), OsStr::new("-uc"), OsStr::new(code)];
        let command = report_on(&[], &program);
        let mut terminal = terminal.command();
        terminal.args(["-W", "ignore", "-c", TERMINAL, "ready"]).arg(command.get_program()).args(command.get_args());
        let said = run_to(0, &mut terminal).stdout;
        assert!(said.contains("interrupted 1\n"), "{python}: {said}");
        assert!(said.contains("How this was observed"), "{python}: {said}");
        assert!(said.ends_with("exit status: 5\n"), "{python}: {said}");
    }
}

#[test]
fn ctrl_c_that_ends_the_program_leaves_its_status_and_a_report() {
    let python = pythons().last().expect("one at least");
    let code = "import time\nprint('ready')\ntime.sleep(1000)";
    let command = report_on(&[], &[python.program.as_os_str(), OsStr::new("-uc"), OsStr::new(code)]);
    let mut terminal = python.command();
    terminal.args(["-W", "ignore", "-c", TERMINAL, "ready"]).arg(command.get_program()).args(command.get_args());
    let began = Instant::now();
    let said = run_to(0, &mut terminal).stdout;
    assert_eq!(said.matches("KeyboardInterrupt").count(), 1, "{said}");
    assert!(said.contains("How this was observed") && said.ends_with("exit status: 130\n"), "{said}");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[test]
fn a_killed_gilscope_leaves_its_program_running() {
    let python = &pythons()[0];
    let code =
        "import os, sys\nprint('ready', os.getpid(), flush=True)\nprint(sys.stdin.readline().strip(), flush=True)";
    let program = [python.program.as_os_str(), OsStr::new("-c"), OsStr::new(code)];
    let mut child = Child::spawn(&mut report_on(&[], &program));
    let pid: u32 = child.ready(PATIENCE)[0].parse().expect("a pid");
    send("KILL", child.pid());
    child.say("still here\n");
    assert_eq!(child.line(PATIENCE), "still here");
    eventually(PATIENCE, "the program to end", || {
        (!Command::new("kill").args(["-0", &pid.to_string()]).output().is_ok_and(|it| it.status.success())
            || crate::command::proc_status(pid, "State").is_none_or(|it| it.starts_with('Z')))
        .then_some(())
    });
}
