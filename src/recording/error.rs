//! What can go wrong with a recording: errors stop the work, warnings do not.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::format::{MAJOR, MINOR};

/// Why a recording cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file has no bytes.
    #[error(
        "the recording is empty: it has no bytes at all, not even a header. The recorder may never have got to write; record again with `gilscope record`"
    )]
    Empty,
    /// The file does not begin as a recording does.
    #[error(
        "not a gilscope recording: it does not begin with gilscope's mark. Give a file that `gilscope record` has written"
    )]
    Foreign,
    /// The file was written in a format this version does not know.
    #[error(
        "the recording is in format {major}.{minor}, and this gilscope reads formats up to {MAJOR}. Get gilscope {major}.0 or newer to read it"
    )]
    NewerMajor {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// There is a file already.
    #[error(
        "{} exists already, and is not overwritten unasked. Choose another name with `-o FILE`, or remove it first", path.display()
    )]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// There is a file already that is no recording, so it is not overwritten even when asked to.
    #[error(
        "{} exists and is not a gilscope recording, so it is not overwritten. Choose another name with `-o FILE`, or remove it first", path.display()
    )]
    NotOurs {
        /// Where.
        path: PathBuf,
    },
    /// Another process writes this file.
    #[error(
        "{} is being written by another gilscope. Choose another name with `-o FILE`, or stop the other one first", path.display()
    )]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// The disk is full, or a limit on file size is reached.
    #[error(
        "no room left to write the recording ({source}); all that was flushed before is whole and readable. Free some space, or record to another place with `-o FILE`"
    )]
    NoRoom {
        /// What the kernel said.
        source: io::Error,
    },
    /// Not a file that a recording can be read from.
    #[error("{} is {what}, and a recording is read from a file. Save it to a file first, and name that", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is instead, with its article.
        what: &'static str,
    },
    /// A pipe that nobody reads.
    #[error("{} is a pipe that nobody reads. Start its reader first, or choose a file with `-o FILE`", path.display())]
    NoListener {
        /// Where.
        path: PathBuf,
    },
    /// The kernel refused to read or write.
    #[error("cannot {doing} the recording: {source}. Check the path and its permissions")]
    Io {
        /// `open`, `read`, `write` or `create`.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The writer's thread is gone.
    #[error("the thread that writes the recording is gone; what was flushed is readable. This is a bug in gilscope")]
    WriterGone,
}

impl RecordingError {
    pub(super) fn io(doing: &'static str) -> impl Fn(io::Error) -> RecordingError {
        move |source| RecordingError::Io { doing, source }
    }

    pub(super) fn writing(source: io::Error) -> RecordingError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded => {
                RecordingError::NoRoom { source }
            }
            _ => RecordingError::Io { doing: "write", source },
        }
    }
}

/// Something is wrong with a recording, but the rest of it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The version in the file's first bytes is damaged; it is read as if written by this gilscope.
    DamagedPreamble,
    /// The file ends inside a chunk: the recorder was killed, or the file was cut. All before is whole.
    TruncatedTail {
        /// Offset of the incomplete chunk.
        offset: u64,
        /// Bytes from there to the end of the file.
        bytes: u64,
    },
    /// These bytes are no chunk; reading goes on behind them.
    Damaged {
        /// Offset of the first such byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// A chunk's content is not what was written; reading goes on at the next keyframe.
    DamagedChunk {
        /// Offset of the chunk.
        offset: u64,
        /// Its sequence number.
        sequence: u64,
    },
    /// Events lie between damage and the next keyframe: whole, but not readable without what was damaged.
    Unreadable {
        /// Number of the first event that is missing.
        position: u64,
        /// How many are missing.
        events: u64,
    },
    /// Chunks of a kind that a newer gilscope has introduced were skipped.
    UnknownChunks {
        /// How many.
        chunks: u64,
    },
    /// The file has more chunks than are indexed; the rest is not read.
    TooManyChunks {
        /// Offset of the first chunk that is not.
        offset: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::DamagedPreamble => {
                write!(f, "the version in the recording's first bytes is damaged; read as format {MAJOR}.{MINOR}")
            }
            Warning::TruncatedTail { offset, bytes } => {
                write!(
                    f,
                    "the recording ends inside a chunk (last {bytes} bytes, from offset {offset}); all before it is whole"
                )
            }
            Warning::Damaged { offset, bytes } => write!(f, "{bytes} damaged bytes at offset {offset} were skipped"),
            Warning::DamagedChunk { offset, sequence } => {
                write!(f, "chunk {sequence} at offset {offset} is damaged and was skipped")
            }
            Warning::Unreadable { position, events } => {
                write!(f, "{events} events from number {position} on are lost to damage")
            }
            Warning::UnknownChunks { chunks } => {
                write!(f, "{chunks} chunks of a kind that a newer gilscope writes were skipped")
            }
            Warning::TooManyChunks { offset } => {
                write!(f, "the recording has too many chunks; nothing is read from offset {offset} on")
            }
        }
    }
}
