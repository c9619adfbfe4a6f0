//! The file of a recording that is being written: ours alone, and only ever appended to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::encoder::Chunk;
use super::error::RecordingError;
use super::format::{MAGIC, MAJOR, MINOR, PREAMBLE_LEN, preamble};

/// What to do where a file exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone.
    Refuse,
    /// Replace it, if it is a recording or empty, and nobody writes it.
    Overwrite,
}

/// What an output is: only of a regular file can a half-written chunk be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Regular,
    Device,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Broken,
}

/// A recording being written.
#[derive(Debug)]
pub struct RecordingFile {
    file: File,
    path: PathBuf,
    sort: Sort,
    state: State,
    written: u64,
}

impl RecordingFile {
    /// Makes a file, locks it against other writers for as long as it is open, and writes its first bytes.
    ///
    /// A device or a pipe (`/dev/null`, `/dev/stdout`) is written to as it is, without a lock.
    ///
    /// # Errors
    /// [`RecordingError::Exists`], [`RecordingError::NotOurs`] and [`RecordingError::Locked`] where a file
    /// is in the way; [`RecordingError::NoRoom`] and [`RecordingError::Io`] where the kernel refuses.
    pub fn create(path: &Path, existing: Existing) -> Result<RecordingFile, RecordingError> {
        let file = match OpenOptions::new().read(true).append(true).create_new(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return RecordingFile::reopen(path, existing),
            Err(source) => return Err(RecordingError::Io { doing: "create", source }),
        };
        lock(&file, path)?;
        RecordingFile::begin(file, path, Sort::Regular)
    }

    fn reopen(path: &Path, existing: Existing) -> Result<RecordingFile, RecordingError> {
        let metadata = std::fs::metadata(path).map_err(RecordingError::io("create"))?;
        if !metadata.is_file() {
            return RecordingFile::begin(open_device(path)?, path, Sort::Device);
        }
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(RecordingError::io("create"))?;
        lock(&file, path)?;
        if existing == Existing::Refuse {
            return Err(RecordingError::Exists { path: path.to_owned() });
        }
        let mut start = Vec::new();
        (&mut file).take(MAGIC.len() as u64).read_to_end(&mut start).map_err(RecordingError::io("read"))?;
        if !start.is_empty() && start != MAGIC {
            return Err(RecordingError::NotOurs { path: path.to_owned() });
        }
        file.set_len(0).map_err(RecordingError::writing)?;
        RecordingFile::begin(file, path, Sort::Regular)
    }

    fn begin(file: File, path: &Path, sort: Sort) -> Result<RecordingFile, RecordingError> {
        let mut recording = RecordingFile { file, path: path.to_owned(), sort, state: State::Whole, written: 0 };
        recording.write(&preamble(MAJOR, MINOR))?;
        Ok(recording)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends a chunk. It is in the kernel's hands when this returns: the end of this process loses nothing of it.
    ///
    /// # Errors
    /// [`RecordingError::NoRoom`] where the disk is full, [`RecordingError::Io`] else. The file then ends with
    /// the chunk before, and this recording accepts no more.
    pub fn append(&mut self, chunk: &Chunk) -> Result<(), RecordingError> {
        self.write(chunk.bytes())
    }

    /// Asks the kernel to bring all to the disk itself.
    ///
    /// # Errors
    /// [`RecordingError::Io`].
    pub fn sync(&self) -> Result<(), RecordingError> {
        match self.sort {
            Sort::Regular => self.file.sync_data().map_err(RecordingError::writing),
            Sort::Device => Ok(()),
        }
    }

    /// Takes away a file that nothing came into but its first bytes.
    pub fn discard_if_empty(self) {
        if self.sort == Sort::Regular && self.written <= PREAMBLE_LEN as u64 {
            // One that cannot be removed is a recording without events, which says so when it is read.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordingError> {
        if self.state == State::Broken {
            let source = io::Error::other("an earlier write has failed");
            return Err(RecordingError::Io { doing: "write", source });
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.written += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                self.state = State::Broken;
                if self.sort == Sort::Regular {
                    // Should this fail too, the file ends inside a chunk, which readers expect.
                    let _ = self.file.set_len(self.written);
                }
                Err(RecordingError::writing(source))
            }
        }
    }
}

/// Opens what is no regular file, without waiting for a pipe's reader.
fn open_device(path: &Path) -> Result<File, RecordingError> {
    let listening = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    match listening {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            Err(RecordingError::NoListener { path: path.to_owned() })
        }
        // Opened anew: writes shall wait for room.
        Ok(_listening) => OpenOptions::new().write(true).open(path).map_err(RecordingError::io("create")),
        Err(source) => Err(RecordingError::Io { doing: "create", source }),
    }
}

fn lock(file: &File, path: &Path) -> Result<(), RecordingError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RecordingError::Locked { path: path.to_owned() }),
        // Some network file systems have no locks.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(RecordingError::Io { doing: "lock", source }),
    }
}
