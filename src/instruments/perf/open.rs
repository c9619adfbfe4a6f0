//! Opening events.
#![expect(unsafe_code, reason = "performance events are the kernel's")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use perf_event_open_sys::bindings as sys;

use crate::event::Tid;

/// An event of one task whose ring gets a record of each of its context switches, of its threads' births and of its
/// end, on `CLOCK_MONOTONIC`. It counts nothing, and ends when the task replaces its program.
///
/// Needs `PTRACE_MODE_READ` of the task, and `perf_event_paranoid` of 2 or less where there is no `CAP_PERFMON`.
///
/// # Errors
/// `EACCES` or `EPERM` where that is refused, `ESRCH` when the task has ended, `EMFILE` without a file descriptor left.
pub fn switch_records(tid: Tid) -> io::Result<OwnedFd> {
    let mut attributes = sys::perf_event_attr::default();
    attributes.type_ = sys::PERF_TYPE_SOFTWARE;
    attributes.size = size_of::<sys::perf_event_attr>() as u32;
    attributes.config = u64::from(sys::PERF_COUNT_SW_DUMMY);
    attributes.sample_type = u64::from(sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_CPU);
    attributes.clockid = libc::CLOCK_MONOTONIC;
    attributes.set_context_switch(1);
    attributes.set_task(1);
    attributes.set_sample_id_all(1);
    attributes.set_use_clockid(1);
    attributes.set_exclude_kernel(1);
    attributes.set_exclude_hv(1);
    attributes.set_remove_on_exec(1);
    match open(&mut attributes, tid) {
        // Before Linux 5.13 nothing is removed on exec: the capture sees the exec and closes the event.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            attributes.set_remove_on_exec(0);
            open(&mut attributes, tid)
        }
        opened => opened,
    }
}

fn open(attributes: &mut sys::perf_event_attr, tid: Tid) -> io::Result<OwnedFd> {
    const ANY_CORE: libc::c_int = -1;
    const NO_GROUP: libc::c_int = -1;
    let task = libc::pid_t::try_from(tid.0).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let flags = libc::c_ulong::from(sys::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: the kernel reads `attributes.size` bytes from the attributes, and those are the struct's.
    let fd = unsafe { perf_event_open_sys::perf_event_open(attributes, task, ANY_CORE, NO_GROUP, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
