//! Programs that get something done that can be counted, for what looking costs.
//!
//! Each says `ready` as soon as it is at it. For each line on stdin, a number of seconds, it says what it got done in that
//! time: count, seconds of the clock, and CPU seconds of the process.

use std::process::Command;
use std::time::Duration;

use super::child::Child;
use super::pythons::Python;

/// How long one may take to start, and beyond the seconds that it is to work.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Four threads of bytecode.
    Cpu,
    /// One thread of bytecode beside one that wants the GIL every few milliseconds; the former's work counts.
    Convoy,
    /// Eight threads that read a file by short reads, with a little to compute and a short sleep between.
    Pool,
    /// One thread that releases the GIL and takes it again as fast as it can.
    Worst,
}

/// The part that all share: a thread for each of `functions`, each of which counts in its own `done[i]`.
const FRAME: &str = "
import os, sys, threading, time
threading.stack_size(256 * 1024)
functions = []
@@
done = [0] * len(functions)
for i, function in enumerate(functions):
    threading.Thread(target=function, args=(i,), daemon=True).start()
time.sleep(0.05)
print('ready', flush=True)
def look():
    return sum(done), time.monotonic(), time.process_time()
while True:
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    before = look()
    time.sleep(float(line))
    after = look()
    print(*(b - a for a, b in zip(before, after)), flush=True)
";

const SPIN: &str = "
def spin(i):
    n = 0
    while True:
        for _ in range(2000):
            n += 1
        done[i] = n
";

const IO: &str = "
def io(i):
    while True:
        time.sleep(0.004)
";

const POOL: &str = "
fd = os.open(sys.executable, os.O_RDONLY)
def serve(i):
    n = 0
    while True:
        at = 0
        for _ in range(4):
            at += len(os.pread(fd, 4096, at))
        sum(range(500))
        n += 1
        done[i] = n
        time.sleep(0.001)
functions = [serve] * 8
";

const WORST: &str = "
fd = os.open('/dev/null', os.O_WRONLY)
def churn(i):
    write, n = os.write, 0
    while True:
        for _ in range(1000):
            write(fd, b'x')
        n += 1000
        done[i] = n
functions = [churn]
";

/// What a program got done.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// In units of its own.
    pub count: f64,
    /// By the clock.
    pub seconds: f64,
    /// CPU time of all of its threads.
    pub cpu_seconds: f64,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 4] = [Workload::Cpu, Workload::Convoy, Workload::Pool, Workload::Worst];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Cpu => "cpu",
            Workload::Convoy => "convoy",
            Workload::Pool => "pool",
            Workload::Worst => "worst",
        }
    }

    /// Starts it and waits until it is at work.
    ///
    /// # Panics
    /// If it does not come to work.
    pub fn start(self, python: &Python) -> Working {
        self.start_by(&mut python.command())
    }

    /// As [`Workload::start`], by a command that takes the program as Python does, after `-c`.
    ///
    /// # Panics
    /// If it does not come to work.
    pub fn start_by(self, command: &mut Command) -> Working {
        let part = match self {
            Workload::Cpu => format!("{SPIN}functions = [spin] * 4"),
            Workload::Convoy => format!("{SPIN}{IO}functions = [spin, io]"),
            Workload::Pool => POOL.to_owned(),
            Workload::Worst => WORST.to_owned(),
        };
        let mut child = Child::spawn(command.args(["-c", &FRAME.replace("@@", &part)]));
        child.ready(PATIENCE);
        Working { child }
    }
}

/// A workload at work. It ends when this is dropped.
#[derive(Debug)]
pub struct Working {
    child: Child,
}

impl Working {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Lets it work for so long and gives what it got done meanwhile.
    ///
    /// # Panics
    /// If it does not say that.
    pub fn work(&mut self, seconds: f64) -> Done {
        self.child.say(&format!("{seconds}\n"));
        let line = self.child.line(PATIENCE + Duration::from_secs_f64(seconds));
        let figures: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [count, seconds, cpu_seconds] = figures[..] else { self.child.fail(&format!("said {line:?}")) };
        Done { count, seconds, cpu_seconds }
    }
}
