//! Files as the system has them: in the way, locked, full, or no files at all.

use std::path::Path;
use std::process::Command;

use gilscope::recording::format::{MAJOR, MINOR, preamble};
use gilscope::recording::{Cut, Encoder, Existing, Reader, RecordingError, RecordingFile, Writer};

use crate::recording::stream::{Stream, hurried};
use crate::recording::tools::{events, recording};

fn refused(path: &Path, existing: Existing) -> RecordingError {
    RecordingFile::create(path, existing).err().unwrap_or_else(|| panic!("{} was opened", path.display()))
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ours = directory.path().join("ours.gscope");
    let bytes = recording(&hurried(1, 100));
    std::fs::write(&ours, &bytes).unwrap();
    let error = refused(&ours, Existing::Refuse);
    assert!(matches!(error, RecordingError::Exists { .. }));
    assert!(error.to_string().contains("-o FILE"), "{error}");
    assert_eq!(std::fs::read(&ours).unwrap(), bytes);

    let theirs = directory.path().join("thesis.txt");
    std::fs::write(&theirs, "years of work").unwrap();
    assert!(matches!(refused(&theirs, Existing::Refuse), RecordingError::Exists { .. }));
    assert!(matches!(refused(&theirs, Existing::Overwrite), RecordingError::NotOurs { .. }));
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "years of work");

    let file = RecordingFile::create(&ours, Existing::Overwrite).unwrap();
    assert_eq!(std::fs::read(&ours).unwrap(), preamble(MAJOR, MINOR));
    drop(file);
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    assert!(RecordingFile::create(&empty, Existing::Overwrite).is_ok());
    assert!(matches!(refused(directory.path(), Existing::Overwrite), RecordingError::Io { doing: "create", .. }));
    assert!(matches!(refused(&directory.path().join("no/such"), Existing::Refuse), RecordingError::Io { .. }));
}

#[test]
fn two_writers_do_not_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.gscope");
    let all = hurried(1, 300);
    let mut first = Writer::new(RecordingFile::create(&path, Existing::Refuse).unwrap()).unwrap();
    all[..200].iter().for_each(|event| first.push(event).unwrap());
    first.flush().unwrap();
    for existing in [Existing::Refuse, Existing::Overwrite] {
        let error = refused(&path, existing);
        assert!(matches!(error, RecordingError::Locked { .. }));
        assert!(error.to_string().contains("another gilscope"), "{error}");
    }
    // A reader is no writer.
    assert_eq!(events(&mut Reader::open(&path).unwrap()), all[..200]);
    all[200..].iter().for_each(|event| first.push(event).unwrap());
    let written = first.finish().unwrap();
    assert_eq!(written.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(events(&mut Reader::open(&path).unwrap()), all);
    assert!(matches!(refused(&path, Existing::Refuse), RecordingError::Exists { .. }), "the lock ends with its writer");
}

#[test]
fn what_is_no_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, what) in [(directory.path(), "a directory"), (Path::new("/dev/null"), "a device"), (&pipe, "a pipe")] {
        let error = Reader::open(path).err().unwrap_or_else(|| panic!("{} was opened", path.display()));
        assert!(matches!(error, RecordingError::NotAFile { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains(what) && said.contains("Save it to a file"), "{said}");
    }
    assert!(matches!(Reader::open(&socket), Err(RecordingError::Io { doing: "open", .. })));
    assert!(matches!(Reader::open(&directory.path().join("none")), Err(RecordingError::Io { doing: "open", .. })));
    // Nobody reads the pipe: that is said at once, not waited for.
    let error = refused(&pipe, Existing::Refuse);
    assert!(matches!(error, RecordingError::NoListener { .. }), "{error}");
}

#[test]
fn a_pipe_with_a_reader_carries_a_recording() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    let all: Vec<_> = Stream::new(3, 8).take(60_000).collect();
    let file = loop {
        match RecordingFile::create(&pipe, Existing::Refuse) {
            Ok(file) => break file,
            Err(RecordingError::NoListener { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let mut writer = Writer::new(file).unwrap();
    all.iter().for_each(|event| writer.push(event).unwrap());
    writer.finish().unwrap();
    let bytes = reader.join().unwrap();
    assert!(bytes.len() > 65_536, "more than the pipe holds");
    assert_eq!(events(&mut Reader::from_bytes(bytes).unwrap()), all);
}

#[test]
fn a_recording_goes_to_dev_null() {
    let mut writer = Writer::new(RecordingFile::create(Path::new("/dev/null"), Existing::Refuse).unwrap()).unwrap();
    hurried(1, 300).iter().for_each(|event| writer.push(event).unwrap());
    assert!(writer.finish().unwrap().bytes > 1_000);
}

#[test]
fn a_full_disk_is_said_and_takes_nothing_away() {
    let error = refused(Path::new("/dev/full"), Existing::Refuse);
    assert!(matches!(error, RecordingError::NoRoom { .. }), "{error}");
    assert!(error.to_string().contains("Free some space"), "{error}");
}

#[test]
fn a_broken_file_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket.gscope");
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(theirs);
    // A file descriptor that refuses every write, by a path.
    let broken = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&ours));
    assert!(RecordingFile::create(Path::new(&broken), Existing::Refuse).is_err());
    let mut file = RecordingFile::create(&path, Existing::Refuse).unwrap();
    let mut encoder = Encoder::new().unwrap();
    hurried(1, 50).iter().for_each(|event| encoder.push(event).unwrap());
    encoder.cut(Cut::End).unwrap();
    encoder.take_chunks().iter().for_each(|chunk| file.append(chunk).unwrap());
    assert_eq!(file.written(), std::fs::metadata(&path).unwrap().len());
}
