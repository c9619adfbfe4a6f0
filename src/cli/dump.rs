//! `gilscope dump`: all that is in a recording, as text.

use std::io::{BufWriter, ErrorKind, Write};

use crate::cli::DumpArgs;
use crate::cli::recorded::{open, unreadable};
use crate::error::{Failure, Status};
use crate::recording::{RecordingError, dump};

/// Runs the command.
///
/// # Errors
/// If the recording cannot be read, or stdout not be written.
pub fn run(args: &DumpArgs) -> Result<u8, Failure> {
    let mut reader = open(&args.recording)?;
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let dumped = dump(&mut reader, &mut out)
        .and_then(|()| out.flush().map_err(|source| RecordingError::Io { doing: "dump", source }));
    match dumped {
        // Whoever reads this has enough: that is no failure.
        Err(RecordingError::Io { doing: "dump", source }) if source.kind() == ErrorKind::BrokenPipe => {}
        Err(RecordingError::Io { doing: "dump", source }) => {
            return Err(Failure::new(Status::Internal, format!("cannot write to stdout: {source}")));
        }
        Err(error) => return Err(unreadable(&args.recording, &error)),
        Ok(()) => {}
    }
    Ok(Status::Ok as u8)
}
