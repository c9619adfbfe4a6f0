//! `gilscope attach`: a running process under the dashboard.

use crate::capture::Stop;
use crate::cli::observe::attach;
use crate::cli::still::{Taken, still};
use crate::cli::watch::{start_live, watch};
use crate::cli::{AttachArgs, Common};
use crate::dashboard::mouse::Mouse;
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
    if !args.still.is_wanted() {
        return attached(pid, args.duration, &args.common, args.on_screen.mouse());
    }
    let stop = Stop::default();
    let session = start_live(attach(pid)?, &args.common, args.duration, &stop, None)?;
    still(session, &args.common, &args.still, Taken::After(args.duration), &stop)?;
    Ok(Status::Ok as u8)
}

/// Attaches to `pid` and shows it.
///
/// # Errors
/// With an exit status and what to type next.
pub fn attached(pid: Pid, duration: Option<Ns>, common: &Common, mouse: Mouse) -> Result<u8, Failure> {
    let stop = Stop::default();
    let session = start_live(attach(pid)?, common, duration, &stop, None)?;
    watch(session, common, mouse, &stop)?;
    Ok(Status::Ok as u8)
}
