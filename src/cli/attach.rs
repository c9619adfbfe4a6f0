//! `gilscope attach`: a running process under the dashboard.

use crate::capture::Stop;
use crate::cli::observe::attach_all;
use crate::cli::still::Taken;
use crate::cli::watch::{show, start_live};
use crate::cli::{AttachArgs, Common, Still};
use crate::error::{Failure, Status};
use crate::event::Pid;
use crate::time::Ns;

/// Runs the command.
///
/// # Errors
/// With an exit status and what to type next.
pub fn run(args: &AttachArgs) -> Result<u8, Failure> {
    let pids = [&args.pid[..], &args.pid_option[..]].concat();
    attached(&pids, args.duration, &args.common, &args.still)
}

/// Attaches to processes and shows them.
///
/// # Errors
/// With an exit status and what to type next.
pub fn attached(pids: &[Pid], duration: Option<Ns>, common: &Common, still: &Still) -> Result<u8, Failure> {
    let stop = Stop::default();
    let session = start_live(attach_all(pids)?, common, duration, &stop, None)?;
    show(session, common, still, Taken::After(duration), &stop)?;
    Ok(Status::Ok as u8)
}
