//! `gilscope replay`: a recording under the dashboard.

use crate::capture::Stop;
use crate::cli::ReplayArgs;
use crate::cli::still::Taken;
use crate::cli::watch::show;
use crate::error::{Failure, Status};
use crate::session::{Engine, Recorded, Session};

/// Runs the command.
///
/// # Errors
/// If the file is no recording that can be read.
pub fn run(args: &ReplayArgs) -> Result<u8, Failure> {
    let recorded = Recorded::open(&args.file)
        .map_err(|error| Failure::new(Status::Unreadable, format!("{}: {error}", args.file.display())))?;
    let engine = Engine::replay(Box::new(recorded));
    let session = Session::start(engine)
        .map_err(|error| Failure::new(Status::Internal, format!("cannot start a thread to replay with: {error}")))?;
    let stop = Stop::default();
    show(session, &args.common, &args.still, Taken::At(args.at), &stop)?;
    Ok(Status::Ok as u8)
}
