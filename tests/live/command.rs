//! Running the `gilscope` command as its users do: what its tests share.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use gilscope::report::SCHEMA;
use serde_json::Value;
use tempfile::TempDir;

use crate::observed::gilscope;
use crate::support::child::{Child, Ended};
use crate::support::pythons::{Python, pythons};

/// How long anything here may take; nothing takes a tenth of it on a machine that has time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Plays the terminal: starts a command in one of its own, presses Ctrl-C when it has said a word, and tells what it
/// printed and how it ended. Arguments: the word, the command.
pub const TERMINAL: &str = r#"
import os, pty, signal, sys, time
word = sys.argv[1].encode()
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said, pressed = b"", False
while True:
    try:
        some = os.read(master, 65536)
    except OSError:
        some = b""
    if not some:
        break
    said += some
    if word in said and not pressed:
        pressed = True
        time.sleep(0.3)
        os.write(master, b"\x03")
_, status = os.waitpid(pid, 0)
code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
sys.stdout.write(said.decode("utf-8", "replace").replace("\r\n", "\n"))
sys.stdout.write("\nexit status: %d\n" % code)
"#;

/// A Python program that says `ready` and then does nothing for long.
pub const IDLE: &str = "import sys, time; sys.stdout.write('ready\\n'); sys.stdout.flush(); time.sleep(1000)";

/// The oldest interpreter and the newest.
pub fn oldest_and_newest() -> Vec<&'static Python> {
    let all = pythons();
    let (first, last) = (&all[0], &all[all.len() - 1]);
    if first == last { vec![first] } else { vec![first, last] }
}

/// A directory for a test's files.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Desk {
        Desk(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this text, executable.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The report in a file, held to the schema.
    pub fn report(&self, name: &str) -> Value {
        valid(&String::from_utf8_lossy(&self.read(name)))
    }
}

/// `gilscope report ARGS -- PROGRAM ARGUMENTS`
pub fn report_on(arguments: &[&str], program: &[&OsStr]) -> Command {
    let mut command = gilscope();
    command.arg("report").args(arguments).arg("--").args(program);
    command
}

/// A command in a shell's hands, which sees it as `"$@"`: for redirections, pipes and ignored signals.
pub fn in_shell(line: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(command.get_program()).args(command.get_args());
    shell
}

/// Runs a command to its end, whatever that is.
pub fn run(command: &mut Command) -> Ended {
    Child::spawn(command).finish(PATIENCE)
}

/// Runs a command that has to end with this exit status.
#[track_caller]
pub fn run_to(status: i32, command: &mut Command) -> Ended {
    let ended = run(command);
    let Ended { stdout, stderr, .. } = &ended;
    assert_eq!(ended.status.code(), Some(status), "{command:?}\nstdout:\n{stdout}\nstderr:\n{stderr}");
    ended
}

/// Sends a signal by its name.
pub fn send(signal: &str, pid: u32) -> ExitStatus {
    Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().expect("kill runs")
}

/// A report that keeps the schema.
#[track_caller]
pub fn valid(text: &str) -> Value {
    let report = serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON: {error}\n{text}"));
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema");
    let validator = jsonschema::validator_for(&schema).expect("the schema");
    if let Err(error) = validator.validate(&report) {
        panic!("{error} at {} of {text}", error.instance_path());
    }
    report
}

/// A figure of the first process's capture.
pub fn of_capture(report: &Value, figure: &str) -> u64 {
    report["processes"][0]["capture"][figure].as_u64().unwrap_or_else(|| panic!("{figure} of {report}"))
}

/// What `/proc/PID/status` says behind a name.
pub fn proc_status(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim_matches([':', '\t', ' ']).to_owned())
}
