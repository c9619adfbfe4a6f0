//! The target layer against every interpreter of this machine: what it says is compared with what the
//! program itself and the kernel say.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use gilscope::event::{Build, DropRequest, Origin, Pid, Tid};
use gilscope::target::{
    Blocked, Confirmation, Finalization, GilReading, GilSite, ImageState, Interpreter, Lock, MainThread, Target, Task,
    TaskState, ThreadState,
};
use gilscope::time::Ns;

use crate::support::alone;
use crate::support::child::{Child, eventually};
use crate::support::pythons::{Python, pythons, pythons_with_gil};

const PATIENCE: Duration = Duration::from_secs(20);

/// Threads that say who they are, then spin, hog or sleep. `argv`: how many of each.
/// `hog` computes in C without ever looking up.
const THREADS: &str = r"
import os, sys, threading, time
def tid():
    return os.readlink('/proc/thread-self').rsplit('/', 1)[1]
def spin():
    while True:
        pass
def hog():
    while True:
        sum(range(1 << 26))
def sleep():
    time.sleep(1000)
kinds = [spin] * int(sys.argv[1]) + [hog] * int(sys.argv[2]) + [sleep] * int(sys.argv[3])
said = []
barrier = threading.Barrier(len(kinds) + 1)
def run(kind):
    said.append(kind.__name__ + ':' + tid())
    barrier.wait()
    kind()
for kind in kinds:
    threading.Thread(target=run, args=(kind,), daemon=True).start()
barrier.wait()
sys.stdout.write('ready ' + ' '.join(['main:' + tid()] + said) + '\n')
sys.stdout.flush()
sys.stdin.read()
os._exit(0)
";

/// A running [`THREADS`].
struct Threads {
    child: Child,
    said: Vec<(String, Tid)>,
}

impl Threads {
    fn start(command: &mut Command, counts: [usize; 3]) -> Threads {
        command.args(["-B", "-c", THREADS]).args(counts.map(|count| count.to_string()));
        let mut child = Child::spawn(command);
        let words = child.ready(PATIENCE);
        let said = words
            .iter()
            .map(|word| word.split_once(':').unwrap())
            .map(|(kind, tid)| (kind.to_owned(), Tid(tid.parse().unwrap())));
        Threads { said: said.collect(), child }
    }

    fn tids(&self, kind: &str) -> BTreeSet<Tid> {
        self.said.iter().filter(|(it, _)| it == kind).map(|(_, tid)| *tid).collect()
    }

    fn all(&self) -> BTreeSet<Tid> {
        self.said.iter().map(|(_, tid)| *tid).collect()
    }
}

fn attach(pid: u32) -> Target {
    Target::attach(Pid(pid), Ns::SECOND, Origin::Attached).unwrap_or_else(|error| panic!("process {pid}: {error}"))
}

fn only_interpreter(target: &Target) -> Interpreter {
    let interpreters = target.interpreters().unwrap();
    assert_eq!(interpreters.len(), 1, "{interpreters:?}");
    interpreters[0]
}

fn tids(states: &[ThreadState]) -> BTreeSet<Tid> {
    states.iter().filter_map(|state| state.tid).collect()
}

/// Readings a millisecond apart; at most one in twenty may fail.
fn readings(target: &Target, interpreter: &Interpreter, count: usize) -> Vec<GilReading> {
    let mut probe = target.probe(interpreter.gil.unwrap(), interpreter);
    let mut readings = Vec::new();
    let mut failures = Vec::new();
    for _ in 0..count {
        match probe.read(target.memory()) {
            Ok(reading) => readings.push(reading),
            Err(error) => failures.push(error),
        }
        std::thread::sleep(Duration::from_micros(970));
    }
    assert!(failures.len() * 20 <= count, "{failures:?}");
    readings
}

/// Readings that satisfy `expected`, within a few tries: a process that has just said it is ready may not have
/// settled, and on a busy machine a reader sees one moment twenty times over.
#[track_caller]
fn settles(python: &Python, mut read: impl FnMut() -> Vec<GilReading>, expected: impl Fn(&[GilReading]) -> bool) {
    let mut last = Vec::new();
    for _ in 0..8 {
        last = read();
        if expected(&last) {
            return;
        }
    }
    panic!("{python}: {last:?}");
}

fn share<T>(of: &[T], is: impl Fn(&T) -> bool) -> f64 {
    of.iter().filter(|it| is(it)).count() as f64 / of.len() as f64
}

#[test]
fn versions_and_threads_are_those_that_run() {
    for python in pythons() {
        let threads = Threads::start(&mut python.command(), [0, 0, 5]);
        let target = attach(threads.child.pid());
        let info = target.info();
        let (major, minor, patch) = python.version;
        assert_eq!((info.python.major, info.python.minor, info.python.patch), (major, minor, Some(patch)), "{python}");
        let build = if python.free_threaded { Build::FreeThreaded } else { Build::Default };
        assert_eq!(info.build, build, "{python}");
        assert!(info.libc.starts_with("glibc 2.") || info.libc == "musl", "{python}: {}", info.libc);
        assert!(!info.cpus_allowed.is_empty(), "{python}");
        assert_eq!(info.cmdline.get(info.cmdline.len() - 3..).unwrap(), ["0", "0", "5"], "{python}");

        let interpreter = only_interpreter(&target);
        assert_eq!(interpreter.id.0, 0, "{python}");
        let states = target.thread_states(&interpreter).unwrap();
        let mut tasks = Vec::new();
        target.tasks(&mut tasks).unwrap();
        assert_eq!(tids(&states), threads.all(), "{python}: {states:?}");
        assert_eq!(states.len(), 6, "{python}");
        assert_eq!(tasks.iter().copied().collect::<BTreeSet<_>>(), threads.all(), "{python}");
        for state in &states {
            let main = if state.tid == Some(Tid(info.pid.0)) { MainThread::Main } else { MainThread::Other };
            assert_eq!(state.main, main, "{python}: {state:?}");
        }
        let ids: BTreeSet<u64> = states.iter().map(|state| state.unique_id).collect();
        assert_eq!(ids.len(), states.len(), "{python}");
        assert_eq!(target.finalization().unwrap(), Finalization::NotBegun, "{python}");
        assert_eq!(target.image(), ImageState::Same, "{python}");
    }
}

#[test]
fn nobody_holds_an_idle_gil() {
    for python in pythons_with_gil() {
        let threads = Threads::start(&mut python.command(), [0, 0, 2]);
        let target = attach(threads.child.pid());
        let interpreter = only_interpreter(&target);
        settles(
            python,
            || readings(&target, &interpreter, 20),
            |all| {
                all.iter().all(|it| it.lock == Lock::Free && it.holder.is_none() && it.interval == Ns::from_millis(5))
                    && all
                        .iter()
                        .all(|it| it.waiters == Some(0) || (it.waiters.is_none() && target.info().libc == "unknown"))
            },
        );
    }
}

#[test]
fn the_holder_is_the_thread_that_spins() {
    for python in pythons_with_gil() {
        let threads = Threads::start(&mut python.command(), [1, 0, 2]);
        let target = attach(threads.child.pid());
        let interpreter = only_interpreter(&target);
        let spinner = threads.tids("spin");
        settles(
            python,
            || readings(&target, &interpreter, 60),
            |all| {
                let held = share(all, |it| {
                    it.lock == Lock::Held
                        && it.holder.is_some_and(|it| {
                            it.tid.is_some_and(|tid| spinner.contains(&tid)) && it.confirmed == Confirmation::Confirmed
                        })
                });
                held > 0.95
                    && share(all, |it| it.waiters == Some(0)) > 0.95
                    && share(all, |it| it.drop_request == DropRequest::Absent) > 0.95
            },
        );
    }
}

#[test]
fn waiters_are_counted_and_found_at_the_condition_variable() {
    let _alone = alone();
    for python in pythons_with_gil() {
        let threads = Threads::start(&mut python.command(), [3, 0, 1]);
        let target = attach(threads.child.pid());
        let interpreter = only_interpreter(&target);
        settles(
            python,
            || readings(&target, &interpreter, 100),
            |all| {
                assert!(all.iter().all(|it| it.waiters.is_some_and(|waiters| waiters <= 4)), "{python}: {all:?}");
                let holders: BTreeSet<Tid> = all.iter().filter_map(|it| it.holder?.tid).collect();
                share(all, |it| it.waiters == Some(2)) > 0.6
                    && all.last().unwrap().switch_number > all.first().unwrap().switch_number
                    && holders == threads.tids("spin")
            },
        );

        // Where the kernel says that they sleep.
        let mut probe = target.probe(interpreter.gil.unwrap(), &interpreter);
        let mut tasks: Vec<Task> =
            threads.all().into_iter().map(|tid| Task::new(Pid(threads.child.pid()), tid)).collect();
        let (mut both, mut elsewhere) = (0, Vec::new());
        for _ in 0..100 {
            let mut waiting = 0;
            let mut listed = Vec::new();
            // Empty but on musl, where it may change while it is read.
            let _torn = probe.musl_waiters(target.memory(), &mut listed);
            for task in &mut tasks {
                if let Blocked::Futex { address, .. } = task.blocked().unwrap()
                    && let Some(site) = probe.site(address).or(listed.contains(&address).then_some(GilSite::Cond))
                {
                    assert!(threads.tids("spin").contains(&task.tid()), "{python}: only spinners take the GIL");
                    if site == GilSite::Cond {
                        probe.note_cond_futex(address);
                        waiting += 1;
                    } else {
                        elsewhere.push(site);
                    }
                }
            }
            assert!(waiting <= 3, "{python}: {waiting} of three spinners wait");
            both += usize::from(waiting == 2);
            std::thread::sleep(Duration::from_micros(970));
        }
        // One after the other is asked, which on a busy machine takes longer than some turns do.
        assert!(both > 30, "{python}: {both} of 100, and {elsewhere:?}");
        // Learned from the futexes, the count is still right.
        let after = probe.read(target.memory()).unwrap();
        assert!(after.waiters.is_some_and(|waiters| (1..=3).contains(&waiters)), "{python}: {after:?}");
    }
}

#[test]
fn a_request_to_drop_stands_while_the_holder_does_not_look_up() {
    for python in pythons_with_gil() {
        let threads = Threads::start(&mut python.command(), [1, 1, 0]);
        let target = attach(threads.child.pid());
        let hog = threads.tids("hog");
        let readings = readings(&target, &only_interpreter(&target), 300);
        let of_hog: Vec<_> = readings
            .iter()
            .filter(|it| it.holder.is_some_and(|it| it.tid.is_some_and(|tid| hog.contains(&tid))))
            .collect();
        assert!(of_hog.len() > 100, "{python}: {} of {}", of_hog.len(), readings.len());
        let pending = share(&of_hog, |it| it.drop_request == DropRequest::Pending);
        assert!(pending > 0.7, "{python}: {pending}");
    }
}

#[test]
fn a_changed_switch_interval_is_seen() {
    let code = "import sys; sys.setswitchinterval(0.0123); print('ready', flush=True); sys.stdin.read()";
    for python in pythons_with_gil() {
        let mut child = Child::spawn(python.command().args(["-c", code]));
        child.ready(PATIENCE);
        let target = attach(child.pid());
        let readings = readings(&target, &only_interpreter(&target), 1);
        assert_eq!(readings[0].interval, Ns::from_micros(12_300), "{python}");
    }
}

#[test]
fn sub_interpreters_have_gils_of_their_own_or_share() {
    // Each says its kind; 3.8 to 3.11 know only shared GILs.
    let code = r"
import os, sys, threading
if sys.version_info >= (3, 13):
    import _interpreters as module
    made = [module.create('isolated'), module.create('legacy')]
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as module
    made = [module.create(isolated=True), module.create(isolated=False)]
else:
    import _xxsubinterpreters as module
    made = [module.create()]
spin = 'while True: pass'
def run():
    global tid
    tid = os.readlink('/proc/thread-self').rsplit('/', 1)[1]
    getattr(module, 'run_string', None)(made[0], spin)
threading.Thread(target=run, daemon=True).start()
while 'tid' not in globals():
    pass
print('ready', tid, *[int(i) for i in made], flush=True)
sys.stdin.read()
os._exit(0)
";
    let mut seen = 0;
    for python in pythons_with_gil().into_iter().filter(|it| it.minor() >= 8) {
        let probe = python
            .command()
            .args([
                "-c",
                "import sys; __import__('_interpreters' if sys.version_info >= (3, 13) else '_xxsubinterpreters')",
            ])
            .output()
            .unwrap();
        if !probe.status.success() {
            eprintln!("skipped {python}: it lacks the module for sub-interpreters");
            continue;
        }
        seen += 1;
        let mut child = Child::spawn(python.command().args(["-c", code]));
        let words = if python.minor() >= 12 {
            child.ready(PATIENCE)
        } else {
            // The sub-interpreter never hands the GIL back there (bpo-40010 and after): nothing more is said.
            std::thread::sleep(Duration::from_millis(300));
            Vec::new()
        };
        let target = attach(child.pid());
        let interpreters = target.interpreters().unwrap();
        let main = interpreters.iter().find(|it| it.id.0 == 0).unwrap();
        if python.minor() < 12 {
            assert_eq!(interpreters.len(), 2, "{python}");
            assert!(interpreters.iter().all(|it| it.gil == main.gil && it.gil.is_some()), "{python}");
            continue;
        }
        let of = |id: &str| *interpreters.iter().find(|it| it.id.0.to_string() == id).unwrap();
        let (isolated, legacy) = (of(&words[1]), of(&words[2]));
        assert_eq!(interpreters.len(), 3, "{python}");
        assert_ne!(isolated.gil, main.gil, "{python}");
        assert_eq!(legacy.gil, main.gil, "{python}");

        let spinner = Some(Tid(words[0].parse().unwrap()));
        // 3.12 does not tell which thread runs a sub-interpreter, and no wrong one is made up.
        let expected = if python.minor() == 12 { None } else { spinner };
        settles(
            python,
            || readings(&target, &isolated, 40),
            |all| {
                let rightly = |it: &GilReading| {
                    it.holder.is_some_and(|it| it.tid == expected && it.interpreter == isolated.address)
                };
                share(all, rightly) > 0.9
            },
        );
        let states = target.thread_states(&isolated).unwrap();
        assert!(states.iter().any(|it| it.tid == expected), "{python}: {states:?}");
        assert!(states.iter().all(|it| it.main != MainThread::Main), "{python}: {states:?}");
    }
    assert!(seen > 0, "no interpreter has the module for sub-interpreters");
}

#[test]
fn a_free_threaded_build_has_no_gil_unless_it_was_told_to() {
    for python in pythons().iter().filter(|it| it.free_threaded) {
        let threads = Threads::start(&mut python.command(), [1, 0, 1]);
        let target = attach(threads.child.pid());
        assert_eq!(only_interpreter(&target).gil, None, "{python}");
        drop(threads);

        let threads = Threads::start(python.command().env("PYTHON_GIL", "1"), [3, 0, 1]);
        let target = attach(threads.child.pid());
        assert_eq!(target.info().build, Build::FreeThreaded);
        let readings = readings(&target, &only_interpreter(&target), 100);
        let holders: BTreeSet<Tid> = readings.iter().filter_map(|it| it.holder?.tid).collect();
        assert_eq!(holders, threads.tids("spin"), "{python}");
        assert!(share(&readings, |it| it.waiters == Some(2)) > 0.6, "{python}: {:?}", readings.last());
    }
}

#[test]
fn an_exec_is_noticed_even_when_nothing_else_changes() {
    let code = r"
import os, sys, threading
def go():
    os.execv(sys.argv[1], [sys.argv[1]] + sys.argv[2:])
print('ready', flush=True)
sys.stdin.readline()
go()
";
    for python in pythons() {
        // The very same program again: without address randomisation everything lies where it lay.
        let again = ["-c", "import time; print('ready', flush=True); time.sleep(1000)"];
        let program = python.program.to_str().unwrap();
        let mut child = Child::spawn(python.command().args(["-c", code, program]).args(again));
        child.ready(PATIENCE);
        let target = attach(child.pid());
        assert_eq!(target.image(), ImageState::Same, "{python}");
        child.say("go\n");
        child.ready(PATIENCE);
        let ImageState::Replaced { path } = target.image() else { panic!("{python}: {:?}", target.image()) };
        assert!(path.contains("python") || path.contains("ld-"), "{python}: {path}");
        let anew = attach(child.pid());
        assert_eq!(anew.image(), ImageState::Same, "{python}");
        drop(child);
        assert_eq!(anew.image(), ImageState::Gone, "{python}");
        assert_eq!(target.image(), ImageState::Gone, "{python}");
        assert!(anew.interpreters().is_err(), "{python}");
    }
}

#[test]
fn a_zombie_is_gone() {
    let python = &pythons()[0];
    let mut child =
        Child::spawn(python.command().args(["-c", "import sys; print('ready', flush=True); sys.stdin.read()"]));
    child.ready(PATIENCE);
    let target = attach(child.pid());
    // Not reaped before `child` is dropped.
    child.say_no_more();
    eventually(PATIENCE, "the image to be gone", || (target.image() == ImageState::Gone).then_some(()));
    // Its memory goes a moment before it becomes one.
    let stat = format!("/proc/{}/stat", child.pid());
    eventually(PATIENCE, "a zombie", || fs::read_to_string(&stat).unwrap().contains(") Z ").then_some(()));
    assert_eq!(target.image(), ImageState::Gone);
}

#[test]
fn the_forked_child_of_a_thread_has_one_main_thread() {
    let code = r"
import os, sys, threading, time
def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    print('ready', pid, flush=True)
threading.Thread(target=fork, daemon=True).start()
sys.stdin.read()
";
    for python in pythons() {
        let mut child = Child::spawn(python.command().args(["-W", "ignore", "-c", code]));
        let pid: u32 = child.ready(PATIENCE)[0].parse().unwrap();
        let target = attach(pid);
        let states = target.thread_states(&only_interpreter(&target)).unwrap();
        let main: Vec<_> = states.iter().filter(|it| it.main == MainThread::Main).collect();
        assert_eq!(main.len(), 1, "{python}: {states:?}");
        assert_eq!(main[0].tid, Some(Tid(pid)), "{python}: {states:?}");
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
}

#[test]
fn threads_in_another_pid_namespace_have_their_numbers_here() {
    let possible = Command::new("unshare").args(["-p", "-f", "true"]).output();
    if !possible.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: unshare -p -f is not permitted here");
        return;
    }
    for python in pythons_with_gil() {
        let mut command = python.command();
        let mut wrapped = Command::new("unshare");
        wrapped.args(["-p", "-f", "--kill-child"]).arg(command.get_program());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        command = wrapped;
        // `/proc` is ours, and so the numbers that the threads say are ours.
        let threads = Threads::start(&mut command, [1, 0, 2]);
        let pid = *threads.tids("main").first().unwrap();
        assert_ne!(pid.0, threads.child.pid());
        let target = attach(pid.0);
        let interpreter = only_interpreter(&target);
        let states = target.thread_states(&interpreter).unwrap();
        assert_eq!(tids(&states), threads.all(), "{python}: {states:?}");
        let spinner = threads.tids("spin").first().copied();
        settles(
            python,
            || readings(&target, &interpreter, 20),
            |all| share(all, |it| it.holder.is_some_and(|it| it.tid == spinner)) > 0.9,
        );
    }
}

/// A program whose file is deleted, in a mount namespace or not, is read like any other.
#[test]
fn a_deleted_program_is_still_read() {
    let mut seen = 0;
    for python in pythons().iter().filter(|it| it.program == it.executable) {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("python3 (deleted)");
        fs::copy(&python.executable, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        let prefix = python.command().args(["-c", "import sys; print(sys.base_prefix)"]).output().unwrap().stdout;
        let prefix = String::from_utf8(prefix).unwrap();
        let mut command = Command::new(&copy);
        command.env_clear().envs(python.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PYTHONHOME", prefix.trim());
        let threads = Threads::start(&mut command, [0, 0, 1]);
        fs::remove_file(&copy).unwrap();
        let target = attach(threads.child.pid());
        assert_eq!(target.info().python.minor, python.minor(), "{python}");
        assert_eq!(tids(&target.thread_states(&only_interpreter(&target)).unwrap()), threads.all(), "{python}");
        seen += 1;
    }
    assert!(seen > 0, "no interpreter could be copied");
}

#[test]
fn tasks_say_what_they_do() {
    let python: &Python = &pythons()[0];
    let before = gilscope::target::clock::monotonic_now();
    let threads = Threads::start(&mut python.command(), [1, 0, 1]);
    let pid = Pid(threads.child.pid());
    let mut spinner = Task::new(pid, *threads.tids("spin").first().unwrap());
    let mut sleeper = Task::new(pid, *threads.tids("sleep").first().unwrap());
    let stat =
        eventually(PATIENCE, "sleep", || Some(sleeper.stat().unwrap()).filter(|it| it.state == TaskState::Sleeping));
    assert!(stat.started + Ns::from_millis(10) >= before && stat.started <= gilscope::target::clock::monotonic_now());
    assert!(matches!(sleeper.blocked().unwrap(), Blocked::Syscall { .. } | Blocked::Futex { .. }));
    assert_eq!(spinner.stat().unwrap().state, TaskState::Running);
    let (from, cpu) = (spinner.schedstat().unwrap(), spinner.stat().unwrap().user);
    std::thread::sleep(Duration::from_millis(200));
    let (to, cpu_after) = (spinner.schedstat().unwrap(), spinner.stat().unwrap().user);
    let (on_cpu, queued) = (to.on_cpu.saturating_sub(from.on_cpu), to.run_delay.saturating_sub(from.run_delay));
    assert!((on_cpu + queued).0.abs_diff(200_000_000) < 60_000_000, "{on_cpu} on a core, {queued} queued");
    assert!(cpu_after.saturating_sub(cpu).0.abs_diff(on_cpu.0) <= 40_000_000, "{cpu} {cpu_after} {on_cpu}");
    assert!(spinner.switches().unwrap().involuntary > 0 || to.timeslices > 0);
    assert!(spinner.name().unwrap().len() < 16);
    spinner.close();
    assert_eq!(spinner.blocked().unwrap(), Blocked::Running);
    drop(threads);
    assert!(matches!(spinner.stat(), Err(gilscope::target::TaskError::Gone)), "{:?}", spinner.stat());
    assert!(matches!(spinner.blocked(), Err(gilscope::target::TaskError::Gone)));
    assert!(matches!(sleeper.stat(), Err(gilscope::target::TaskError::Gone)));
    assert!(matches!(sleeper.name(), Err(gilscope::target::TaskError::Gone)));
}
