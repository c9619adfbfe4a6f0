//! A recorder that is killed, or runs into a limit: what it has flushed is there.
//!
//! The recorder is this test binary, run again for the one test that records; it says on stdout what it has flushed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gilscope::event::Event;
use gilscope::recording::{Existing, Reader, RecordingFile, Warning, Writer};

use crate::recording::stream::Stream;
use crate::recording::tools::events;

const FILE: &str = "GILSCOPE_TEST_RECORDS_INTO";
const SEED: u64 = 99;
const THREADS: usize = 5;

/// Records made-up events until it is killed, or fails. Without a file to record into, it shows that it would.
#[test]
fn the_recorder_that_is_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, limit, out): (PathBuf, _, Box<dyn Write>) = match std::env::var_os(FILE) {
        Some(path) => (path.into(), usize::MAX, Box::new(std::io::stdout())),
        None => (scratch.path().join("short.gscope"), 5_000, Box::new(std::io::sink())),
    };
    let written = record(&path, limit, out);
    assert_eq!(events(&mut Reader::open(&path).unwrap()).len(), limit, "{written}");
}

fn record(path: &Path, limit: usize, mut out: impl Write) -> String {
    // As `gilscope record` does: at a limit on file size the write fails, instead of a signal that kills.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).unwrap();
    let mut writer = Writer::new(RecordingFile::create(path, Existing::Refuse).unwrap()).unwrap();
    let mut flushed = writer.written().bytes;
    for (number, event) in Stream::new(SEED, THREADS).take(limit).enumerate() {
        // Now and then something is made safe at once, as when time passes and few events come.
        let failed = match writer.push(&event) {
            Ok(()) if number % 1_777 == 0 => writer.flush(),
            pushed => pushed,
        };
        if let Err(error) = failed {
            writeln!(out, "failed {error}").unwrap();
            std::process::exit(3);
        }
        if writer.written().bytes > flushed {
            flushed = writer.written().bytes;
            writeln!(out, "flushed {flushed}").unwrap();
        }
    }
    format!("{:?}", writer.finish().unwrap())
}

/// A recorder at work.
struct Recorder(Child);

impl Recorder {
    fn start(path: &Path, mut command: Command) -> Recorder {
        let child = command
            .args(["--exact", "recording::killed::the_recorder_that_is_killed", "--nocapture"])
            .env(FILE, path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Recorder(child)
    }

    /// All that it said from here to its end.
    fn last_words(&mut self) -> Vec<String> {
        let mut said = String::new();
        self.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        // A line that is cut off was not said.
        said.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn flushed(lines: &[String]) -> u64 {
    lines.iter().rev().find_map(|line| line.strip_prefix("flushed ")?.parse().ok()).unwrap_or(0)
}

/// All that is in the file is what was recorded, from the first event on, and all that was flushed is there.
fn check(path: &Path, flushed: u64, expected: &mut Vec<Event>, stream: &mut Stream) -> usize {
    let length = std::fs::metadata(path).unwrap().len();
    assert!(length >= flushed, "{flushed} bytes were flushed, and {length} are there");
    if length == 0 {
        return 0;
    }
    let mut reader = Reader::open(path).unwrap();
    let read = events(&mut reader);
    while expected.len() < read.len() {
        expected.extend(stream.next());
    }
    assert_eq!(read.len() as u64, reader.event_count());
    assert!(read == expected[..read.len()], "what is read is not what was recorded");
    let whole: u64 = reader.chunks().last().map_or(16, |chunk| chunk.offset + chunk.header.total_len());
    assert!(whole >= flushed, "{flushed} bytes were flushed, and only {whole} are whole");
    for warning in reader.warnings() {
        assert!(matches!(warning, Warning::TruncatedTail { .. } | Warning::DamagedPreamble), "{warning}");
    }
    read.len()
}

#[test]
fn a_hundred_recorders_killed_at_random_have_lost_nothing_they_flushed() {
    const TIMES: usize = 100;
    const AT_ONCE: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(41);
    let (mut expected, mut stream) = (Vec::new(), Stream::new(SEED, THREADS));
    let mut lengths = Vec::new();
    for round in 0..TIMES / AT_ONCE {
        let mut recorders: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let path = directory.path().join(format!("{round}-{n}.gscope"));
                let command = Command::new(std::env::current_exe().unwrap());
                (Recorder::start(&path, command), path)
            })
            .collect();
        for (recorder, path) in &mut recorders {
            // From its first flush on: killed before there is a file, it proves nothing.
            let mut out = BufReader::new(recorder.0.stdout.take().unwrap());
            let mut said = Vec::new();
            while flushed(&said) == 0 {
                let mut line = String::new();
                assert!(out.read_line(&mut line).unwrap() > 0, "it ended by itself: {said:?}");
                said.push(line.trim_end().to_owned());
            }
            // Its words must not fill the pipe: they are read on, as the time goes.
            let until = Instant::now() + Duration::from_micros(random.u64(0..15_000));
            while Instant::now() < until {
                let mut line = String::new();
                assert!(out.read_line(&mut line).unwrap() > 0, "it ended by itself: {said:?}");
                said.push(line.trim_end().to_owned());
            }
            recorder.0.kill().unwrap();
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            said.extend(
                rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|l| l.trim_end().to_owned()),
            );
            lengths.push(check(path, flushed(&said), &mut expected, &mut stream));
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(lengths.len(), TIMES);
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > TIMES / 4, "not at random moments: {lengths:?}");
}

#[test]
fn a_recorder_at_its_limit_says_so_and_keeps_what_was_flushed() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in [1, 8, 100] {
        let path = directory.path().join(format!("{blocks}.gscope"));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(std::env::current_exe().unwrap());
        let mut recorder = Recorder::start(&path, command);
        let said = recorder.last_words();
        assert_eq!(recorder.0.wait().unwrap().code(), Some(3), "{said:?}");
        let failure = said.iter().find(|line| line.starts_with("failed ")).unwrap();
        assert!(failure.contains("no room left") && failure.contains("Free some space"), "{failure}");
        let whole = check(&path, flushed(&said), &mut Vec::new(), &mut Stream::new(SEED, THREADS));
        assert!(blocks == 1 || whole > 0);
        // The half chunk was taken back: the file ends in order.
        assert_eq!(Reader::open(&path).unwrap().warnings(), []);
    }
}
