//! `gilscope attach`: a running process under the dashboard.

use crate::capture::Stop;
use crate::cli::observe::attach;
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
    let pid = args.pid.or(args.pid_option).ok_or_else(|| {
        Failure::new(Status::Usage, "no process was named").next("Type: gilscope attach PID, or gilscope -p PID")
    })?;
    attached(pid, args.duration, &args.common, &args.still)
}

/// Attaches to `pid` and shows it.
///
/// # Errors
/// With an exit status and what to type next.
pub fn attached(pid: Pid, duration: Option<Ns>, common: &Common, still: &Still) -> Result<u8, Failure> {
    let stop = Stop::default();
    let session = start_live(attach(pid)?, common, duration, &stop, None)?;
    show(session, common, still, Taken::After(duration), &stop)?;
    Ok(Status::Ok as u8)
}
