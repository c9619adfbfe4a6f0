//! A child process that never outlives its test, and whose failure tells all that it said.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none in time; says what it waited for.
pub fn eventually<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets children begin with their signals at the default, whoever started the tests: a background job of a shell has
/// SIGINT and SIGQUIT ignored, and so have all that it starts. What is handled here begins at the default there.
pub fn unignore_signals() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default().trim().to_owned();
        let ignored = u64::from_str_radix(&set, 16).unwrap_or(0);
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 1) {
            signal_hook::flag::register(signal, Arc::default()).expect("a handler for it");
        }
    });
}

/// What a child had said when it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

/// A running child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    command: String,
    lines: Receiver<String>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Child {
    /// Starts a command with pipes to its stdin, stdout and stderr.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> Child {
        unignore_signals();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let said = format!("{command:?}");
        let mut process = command.spawn().unwrap_or_else(|error| panic!("cannot start {said}: {error}"));
        let (stdout, stderr) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let (sender, lines) = channel();
        let mut readers = Vec::new();
        if let Some(pipe) = process.stdout.take() {
            readers.push(keep_lines(pipe, &stdout, move |line| {
                // Nobody may be listening any more; what it said is kept all the same.
                let _ = sender.send(line);
            }));
        }
        if let Some(pipe) = process.stderr.take() {
            readers.push(keep_lines(pipe, &stderr, drop));
        }
        Child { process, command: said, lines, stdout, stderr, readers }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its stdout.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn line(&mut self, limit: Duration) -> String {
        match self.lines.recv_timeout(limit) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => self.fail(&format!("said nothing on stdout for {limit:?}")),
            Err(RecvTimeoutError::Disconnected) => self.fail("closed its stdout, and a line was expected"),
        }
    }

    /// A line of its stdout that has come already.
    pub fn try_line(&mut self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Waits for a line whose first word is `ready`; gives the words after it.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn ready(&mut self, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        loop {
            let line = self.line(deadline.saturating_duration_since(Instant::now()));
            let mut words = line.split_whitespace().map(str::to_owned);
            if words.next().as_deref() == Some("ready") {
                return words.collect();
            }
        }
    }

    /// Closes its stdin and waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn finish(&mut self, limit: Duration) -> Ended {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + limit;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => {
                    for reader in self.readers.drain(..) {
                        let _ = reader.join();
                    }
                    return Ended { status, stdout: text(&self.stdout), stderr: text(&self.stderr) };
                }
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                Ok(None) => self.fail(&format!("did not end within {limit:?} of its stdin closing")),
                Err(error) => self.fail(&format!("cannot be waited for: {error}")),
            }
        }
    }

    /// Writes to its stdin.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn say(&mut self, words: &str) {
        let said = self.process.stdin.as_mut().map(|pipe| pipe.write_all(words.as_bytes()).and_then(|()| pipe.flush()));
        if !matches!(said, Some(Ok(()))) {
            self.fail("does not listen");
        }
    }

    /// Closes its stdin. It is not reaped before it is dropped or waited for.
    pub fn say_no_more(&mut self) {
        drop(self.process.stdin.take());
    }

    /// As [`Child::finish`], and it has to have ended well.
    ///
    /// # Panics
    /// If it does not end in time, or with another status than 0.
    pub fn succeed(&mut self, limit: Duration) -> Ended {
        let ended = self.finish(limit);
        if !ended.status.success() {
            self.fail(&format!("ended with {}", ended.status));
        }
        ended
    }

    /// Panics with the command, its status and all that it said.
    ///
    /// # Panics
    /// Always.
    pub fn fail(&mut self, what: &str) -> ! {
        let status = match self.process.try_wait() {
            Ok(Some(status)) => status.to_string(),
            Ok(None) => "still running".to_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "child {what}\ncommand: {}\nstatus: {status}\nstdout:\n{}\nstderr:\n{}",
            self.command,
            text(&self.stdout),
            text(&self.stderr)
        );
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and the wait only reaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(kept: &Mutex<String>) -> String {
    kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads a pipe to its end in a thread, so that the child never blocks on it.
fn keep_lines(
    pipe: impl Read + Send + 'static,
    kept: &Arc<Mutex<String>>,
    mut tell: impl FnMut(String) + Send + 'static,
) -> JoinHandle<()> {
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            tell(text.trim_end_matches(['\r', '\n']).to_owned());
            line.clear();
        }
    })
}
