//! Opening events.
#![expect(unsafe_code, reason = "performance events are the kernel's")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use perf_event_open_sys::{bindings as sys, ioctls as sys_ioctls};

use crate::event::{Address, Cpu, Tid};
use crate::instruments::perf::signalpoints::SignalTracepoints;
use crate::instruments::perf::tracepoint::FutexTracepoint;
use crate::instruments::perf::usersample;
use crate::time::Ns;

/// An event of one task whose ring gets a record of each of its context switches, of its threads' births and of its
/// end, on `CLOCK_MONOTONIC`. It counts nothing, and ends when the task replaces its program.
///
/// Needs `PTRACE_MODE_READ` of the task, and `perf_event_paranoid` of 2 or less where there is no `CAP_PERFMON`.
///
/// # Errors
/// `EACCES` or `EPERM` where that is refused, `ESRCH` when the task has ended, `EMFILE` without a file descriptor left.
pub fn switch_records(tid: Tid) -> io::Result<OwnedFd> {
    let mut attributes = dummy();
    attributes.set_context_switch(1);
    open_until_exec(attributes, tid)
}

/// The same on one core only, of the task and of all that it makes from here on, and those make in turn: they inherit it
/// before they run, and their records come into its ring. Each record tells whose it is ([`Handed`](super::Handed)).
///
/// Without `inherit_thread` (since Linux 5.13) other processes would inherit it, too. Not for
/// all cores at once: the kernel maps no ring then (`perf_mmap` in kernel/events/core.c).
///
/// # Errors
/// As [`switch_records`]; `EINVAL` before Linux 5.13, `ENODEV` for a core that is off.
pub fn handed_records(tid: Tid, core: Cpu) -> io::Result<OwnedFd> {
    let mut attributes = dummy();
    attributes.set_context_switch(1);
    attributes.sample_type |= u64::from(sys::PERF_SAMPLE_TID);
    attributes.set_inherit(1);
    attributes.set_inherit_thread(1);
    let task = task_of(tid)?;
    open_of(&mut attributes, task, libc::c_int::from(core.0))
}

/// As [`switch_records`] without the context switches: a ring for the hits of [`watchpoint`]s.
///
/// # Errors
/// As [`switch_records`].
pub fn task_records(tid: Tid) -> io::Result<OwnedFd> {
    open_until_exec(dummy(), tid)
}

/// An event of one task that hits whenever it writes to the four bytes at `address`, which have to be aligned. It is
/// not armed before [`arm`], and has no ring of its own: see [`share_ring`].
///
/// One of the four debug registers is taken for as long as it exists, armed or not. The same permission is needed as
/// for [`switch_records`]; that the memory may be read is not.
///
/// # Errors
/// As [`switch_records`]; `ENOSPC` when all debug registers are taken, by a debugger or another profiler.
pub fn watchpoint(tid: Tid, address: Address) -> io::Result<OwnedFd> {
    let mut attributes = clocked();
    attributes.type_ = sys::PERF_TYPE_BREAKPOINT;
    attributes.bp_type = sys::HW_BREAKPOINT_W;
    attributes.__bindgen_anon_3.bp_addr = address.0;
    attributes.__bindgen_anon_4.bp_len = 4;
    attributes.__bindgen_anon_1.sample_period = 1;
    attributes.sample_type =
        u64::from(sys::PERF_SAMPLE_IP | sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_ADDR | sys::PERF_SAMPLE_CPU);
    attributes.set_disabled(1);
    open_until_exec(attributes, tid)
}

/// An event of one task that samples its registers and the top of its stack, once in each `period` that it is on a core
/// (`cpu-clock`, a timer of the kernel's: no hardware counters are needed). What falls into the kernel is not sampled.
///
/// Needs what [`switch_records`] needs.
///
/// # Errors
/// As [`switch_records`].
pub fn user_samples(tid: Tid, period: Ns) -> io::Result<OwnedFd> {
    let mut attributes = clocked();
    attributes.type_ = sys::PERF_TYPE_SOFTWARE;
    attributes.config = u64::from(sys::PERF_COUNT_SW_CPU_CLOCK);
    attributes.__bindgen_anon_1.sample_period = period.0;
    attributes.sample_type =
        u64::from(sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_REGS_USER | sys::PERF_SAMPLE_STACK_USER);
    attributes.sample_regs_user = usersample::REGISTERS;
    attributes.sample_stack_user = usersample::STACK;
    open_until_exec(attributes, tid)
}

/// An event of one task that records that it is about to sleep on a futex which `filter` lets through, into the ring of
/// `owner`, another event of the same task. The kernel filters: other futexes cost no record.
///
/// While one exists, every task of the machine takes the longer way into system calls, 45 ns here
/// (`SYSCALL_WORK_SYSCALL_TRACEPOINT`, set by `syscall_regfunc` in kernel/tracepoint.c).
///
/// Needs tracefs to be read, `CAP_PERFMON` or a `perf_event_paranoid` that permits it, and what [`switch_records`] needs.
///
/// # Errors
/// As [`switch_records`]; `EINVAL` for a filter that the kernel does not understand.
pub fn futex_waits(tid: Tid, tracepoint: &FutexTracepoint, filter: &str, owner: &OwnedFd) -> io::Result<OwnedFd> {
    let filter = CString::new(filter)?;
    let mut attributes = clocked();
    attributes.type_ = sys::PERF_TYPE_TRACEPOINT;
    attributes.config = tracepoint.id();
    attributes.__bindgen_anon_1.sample_period = 1;
    attributes.sample_type = u64::from(sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_CPU | sys::PERF_SAMPLE_RAW);
    attributes.set_sample_id_all(1);
    attributes.set_disabled(1);
    let event = open_until_exec(attributes, tid)?;
    // SAFETY: an open event; the kernel copies a string that ends in a zero, and outlives the call.
    let failed = unsafe { sys_ioctls::SET_FILTER(event.as_raw_fd(), filter.as_ptr().cast_mut()) };
    if failed < 0 {
        return Err(io::Error::last_os_error());
    }
    share_ring(&event, owner)?;
    enable(&event)?;
    Ok(event)
}

/// Events of one core that record each signal that is sent there, and each that is delivered there, to whichever task of the
/// machine. They do not record before [`enable`].
///
/// Needs tracefs to be read, and `CAP_PERFMON` or a `perf_event_paranoid` of -1.
///
/// # Errors
/// As [`futex_waits`]; `ENODEV` for a core that is off.
pub fn signals_on(core: Cpu, tracepoints: &SignalTracepoints) -> io::Result<[OwnedFd; 2]> {
    let event = |id: u64| {
        let mut attributes = clocked();
        attributes.type_ = sys::PERF_TYPE_TRACEPOINT;
        attributes.config = id;
        attributes.__bindgen_anon_1.sample_period = 1;
        attributes.sample_type = u64::from(sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_CPU | sys::PERF_SAMPLE_RAW);
        attributes.set_sample_id_all(1);
        attributes.set_disabled(1);
        // These are hit in the kernel, other than those of system calls.
        attributes.set_exclude_kernel(0);
        attributes.set_remove_on_exec(0);
        open_of(&mut attributes, ANY_TASK, libc::c_int::from(core.0))
    };
    let [generated, delivered] = tracepoints.ids();
    Ok([event(generated)?, event(delivered)?])
}

/// Lets an event record from here on.
///
/// # Errors
/// When what it belongs to has ended.
pub fn enable(event: &OwnedFd) -> io::Result<()> {
    // SAFETY: an open event; the argument is a number.
    let failed = unsafe { sys_ioctls::ENABLE(event.as_raw_fd(), 0) };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A [`watchpoint`] whose hits go into the ring that `owner` owns, an event of the same task, armed for so many of them.
///
/// # Errors
/// As those of the steps.
pub fn armed_watchpoint(tid: Tid, address: Address, owner: &OwnedFd, hits: u32) -> io::Result<OwnedFd> {
    let event = watchpoint(tid, address)?;
    share_ring(&event, owner)?;
    arm(&event, hits)?;
    Ok(event)
}

/// Lets what an event records go into the ring of another event of the same task.
///
/// # Errors
/// `EINVAL` for events of different tasks or clocks.
pub fn share_ring(event: &OwnedFd, owner: &OwnedFd) -> io::Result<()> {
    // SAFETY: both descriptors are open events; the argument is a descriptor, not a pointer.
    let failed = unsafe { sys_ioctls::SET_OUTPUT(event.as_raw_fd(), owner.as_raw_fd()) };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Arms a watchpoint for so many hits, after which the **kernel** disarms it (`PERF_EVENT_IOC_REFRESH`): what it costs
/// is bounded whatever the task does.
///
/// Once only: armed anew after it was disarmed, it is in the debug register again, but deaf (`hw_breakpoint_add` in
/// kernel/events/hw_breakpoint.c leaves it stopped), so that the task pays for each hit and nothing is recorded.
///
/// # Errors
/// When the task has ended.
pub fn arm(watchpoint: &OwnedFd, hits: u32) -> io::Result<()> {
    // SAFETY: an open event; the argument is a number.
    let failed = unsafe { sys_ioctls::REFRESH(watchpoint.as_raw_fd(), hits as libc::c_int) };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn clocked() -> sys::perf_event_attr {
    let mut attributes = sys::perf_event_attr::default();
    attributes.size = size_of::<sys::perf_event_attr>() as u32;
    attributes.clockid = libc::CLOCK_MONOTONIC;
    attributes.set_use_clockid(1);
    attributes.set_exclude_kernel(1);
    attributes.set_exclude_hv(1);
    attributes.set_remove_on_exec(1);
    attributes
}

fn dummy() -> sys::perf_event_attr {
    let mut attributes = clocked();
    attributes.type_ = sys::PERF_TYPE_SOFTWARE;
    attributes.config = u64::from(sys::PERF_COUNT_SW_DUMMY);
    attributes.sample_type = u64::from(sys::PERF_SAMPLE_TIME | sys::PERF_SAMPLE_CPU);
    attributes.set_task(1);
    attributes.set_sample_id_all(1);
    attributes
}

fn open_until_exec(mut attributes: sys::perf_event_attr, tid: Tid) -> io::Result<OwnedFd> {
    match open(&mut attributes, tid) {
        // Before Linux 5.13 nothing is removed on exec: the capture sees the exec and closes the event.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            attributes.set_remove_on_exec(0);
            open(&mut attributes, tid)
        }
        opened => opened,
    }
}

const ANY_TASK: libc::pid_t = -1;

fn open(attributes: &mut sys::perf_event_attr, tid: Tid) -> io::Result<OwnedFd> {
    const ANY_CORE: libc::c_int = -1;
    open_of(attributes, task_of(tid)?, ANY_CORE)
}

fn task_of(tid: Tid) -> io::Result<libc::pid_t> {
    libc::pid_t::try_from(tid.0).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn open_of(attributes: &mut sys::perf_event_attr, task: libc::pid_t, core: libc::c_int) -> io::Result<OwnedFd> {
    const NO_GROUP: libc::c_int = -1;
    let flags = libc::c_ulong::from(sys::PERF_FLAG_FD_CLOEXEC);
    // SAFETY: the kernel reads `attributes.size` bytes from the attributes, and those are the struct's.
    let fd = unsafe { perf_event_open_sys::perf_event_open(attributes, task, core, NO_GROUP, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
