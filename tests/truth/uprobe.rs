//! What bytecode threads do to the GIL: uprobes on `take_gil` and `drop_gil` of an unstripped interpreter.
//!
//! For threads that cannot stamp their own operations. Needs root, or `CAP_PERFMON`; leaves nothing behind, as the
//! probes go with their file descriptors. They are not innocent: a probe delays `drop_gil` by a microsecond or two,
//! which is enough to end the regime in which two CPU-bound threads starve an I/O thread. Beside one CPU-bound
//! thread, or none, they change nothing that could be measured.

#![expect(unsafe_code, reason = "perf_event_open, its ioctls and its ring have no safe interface in std or libc")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use object::{Object, ObjectSegment, ObjectSymbol};

use super::conds::Conds;
use super::truth::{CONTENDED_NS, Cycle, Kind, Thread, Truth};

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5`, `include/uapi/linux/perf_event.h`.
#[repr(C)]
#[derive(Default)]
struct EventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    uprobe_path: u64,
    probe_offset: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clockid: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}

const PERF_SAMPLE_TIME: u64 = 1 << 2;
const PERF_SAMPLE_IDENTIFIER: u64 = 1 << 16;
const FLAG_USE_CLOCKID: u64 = 1 << 25;
const PERF_EVENT_IOC_SET_OUTPUT: libc::c_ulong = 0x2405;
const PERF_EVENT_IOC_ID: libc::c_ulong = 0x8008_2407;
const PERF_RECORD_SAMPLE: u32 = 9;
const HEAD_OFFSET: usize = 1024;
const PAGE: usize = 4096;
const DATA_PAGES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Ask,
    Taken,
    Drop,
}

/// Probes on all threads that a process had when they were set.
#[derive(Debug)]
pub struct Uprobes {
    pid: u32,
    since: u64,
    threads: Vec<ProbedThread>,
}

#[derive(Debug)]
struct ProbedThread {
    tid: u32,
    name: String,
    ring: Ring,
    events: Vec<(OwnedFd, u64, Point)>,
}

/// The mapped ring of one thread. Its tail is never moved: what does not fit is counted as lost by the kernel.
#[derive(Debug)]
struct Ring {
    base: *mut libc::c_void,
}

impl Uprobes {
    /// Probes every thread of a process; says why not where it cannot be done here.
    ///
    /// # Errors
    /// If the interpreter has no symbols for these functions, or the kernel allows no uprobes.
    pub fn attach(pid: u32) -> Result<Uprobes, String> {
        let kind = fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")
            .map_err(|error| format!("this kernel has no uprobe events: {error}"))?;
        let kind: u32 = kind.trim().parse().map_err(|_| format!("uprobe events are of type {kind:?}"))?;
        let (image, points) = find_points(pid)?;
        let path = CString::new(image.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let mut threads = Vec::new();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
        for task in tasks.flatten() {
            let Some(tid) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            threads.push(probe_thread(kind, tid, name, &path, &points)?);
        }
        Ok(Uprobes { pid, since: now_ns(), threads })
    }

    /// What happened, as if the threads had stamped it: complete from the instant at which the state of all of them
    /// was known. A thread that neither took nor dropped in all that time counts as one that does not want the GIL.
    ///
    /// # Panics
    /// If there was more than the rings had room for.
    pub fn finish(self) -> Truth {
        let end = now_ns();
        let told: Vec<(&ProbedThread, Vec<(Point, u64)>)> =
            self.threads.iter().map(|thread| (thread, thread.points(self.since..end))).collect();
        // Whose first word is a drop held or waited before it, and which of them nothing tells: a return from a call
        // that was entered before the probes were set is not seen.
        let start = told
            .iter()
            .filter_map(|(_, points)| points.first())
            .filter_map(|(point, at)| (*point != Point::Ask).then_some(*at))
            .fold(self.since, u64::max);
        let complete = start..end;
        let threads = told.iter().map(|(thread, points)| thread.story(points, &complete)).collect();
        Truth { pid: self.pid, complete, threads, conds: Conds::default() }
    }
}

impl ProbedThread {
    fn points(&self, window: Range<u64>) -> Vec<(Point, u64)> {
        let samples = self.ring.samples().into_iter().filter(|(_, at)| window.contains(at));
        samples
            .map(|(id, at)| match self.events.iter().find(|event| event.1 == id) {
                Some((_, _, point)) => (*point, at),
                None => panic!("thread {}: a sample of event {id}, which is not one of ours", self.tid),
            })
            .collect()
    }

    /// What was seen from ask to drop becomes a cycle; one that lasts still is cut at the end.
    fn story(&self, points: &[(Point, u64)], complete: &Range<u64>) -> Thread {
        let mut cycles: Vec<Cycle> = Vec::new();
        let (mut ask, mut taken) = (None, None);
        for (point, at) in points {
            match point {
                Point::Ask => (ask, taken) = (Some(*at), None),
                Point::Taken => taken = Some(*at),
                Point::Drop => {
                    if let (Some(ask), Some(taken)) = (ask, taken) {
                        cycles.push(Cycle { ask, taken, drop: *at, dropped: *at });
                    }
                    (ask, taken) = (None, None);
                }
            }
        }
        if let Some(ask) = ask {
            let taken = taken.unwrap_or(complete.end);
            cycles.push(Cycle { ask, taken, drop: complete.end, dropped: complete.end });
        }
        let kind = if points.is_empty() { Kind::Apart } else { Kind::HoldsBusy };
        Thread {
            tid: self.tid,
            name: self.name.clone(),
            kind,
            interpreter: 0,
            life: complete.clone(),
            cycles,
            contended_ns: CONTENDED_NS,
        }
    }
}

/// The image that has the functions, and where in the file they begin.
fn find_points(pid: u32) -> Result<(PathBuf, Vec<(u64, Point)>), String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| error.to_string())?;
    let mut images: Vec<&str> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|path| &line[path..]))
        .filter(|path| Path::new(path).file_name().is_some_and(|name| name.as_encoded_bytes().contains_str(b"python")))
        .collect();
    images.dedup();
    for image in images {
        let bytes = fs::read(image).map_err(|error| format!("{image}: {error}"))?;
        let Ok(file) = object::File::parse(&*bytes) else { continue };
        let mut points = Vec::new();
        for symbol in file.symbols() {
            let Ok(name) = symbol.name() else { continue };
            // Compilers make `take_gil.constprop.0` and the like beside or instead of the function itself.
            let kinds: &[Point] = match name.split('.').next() {
                Some("take_gil") => &[Point::Ask, Point::Taken],
                Some("drop_gil") => &[Point::Drop],
                _ => continue,
            };
            let offset = file.segments().find_map(|segment| {
                let (start, length) = segment.file_range();
                let within = symbol.address().checked_sub(segment.address())?;
                (within < length).then_some(start + within)
            });
            points.extend(offset.into_iter().flat_map(|offset| kinds.iter().map(move |kind| (offset, *kind))));
        }
        if [Point::Ask, Point::Drop].iter().all(|kind| points.iter().any(|point| point.1 == *kind)) {
            return Ok((PathBuf::from(image), points));
        }
    }
    Err("the interpreter has no symbols take_gil and drop_gil".to_owned())
}

/// `[u8]::contains` for a run of bytes.
trait ContainsStr {
    fn contains_str(&self, part: &[u8]) -> bool;
}

impl ContainsStr for [u8] {
    fn contains_str(&self, part: &[u8]) -> bool {
        self.windows(part.len()).any(|window| window == part)
    }
}

fn probe_thread(
    kind: u32,
    tid: u32,
    name: String,
    path: &CString,
    points: &[(u64, Point)],
) -> Result<ProbedThread, String> {
    let mut events: Vec<(OwnedFd, u64, Point)> = Vec::new();
    let mut ring = None;
    for (offset, point) in points {
        let attr = EventAttr {
            kind,
            size: u32::try_from(size_of::<EventAttr>()).unwrap_or(0),
            // Bit 0: a uretprobe.
            config: u64::from(*point == Point::Taken),
            sample_period: 1,
            sample_type: PERF_SAMPLE_TIME | PERF_SAMPLE_IDENTIFIER,
            flags: FLAG_USE_CLOCKID,
            clockid: libc::CLOCK_MONOTONIC,
            uprobe_path: path.as_ptr() as u64,
            probe_offset: *offset,
            ..EventAttr::default()
        };
        // SAFETY: `attr` and the path it points to live through the call; the kernel copies both.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, tid, -1, -1, 8_u64) };
        if fd < 0 {
            return Err(format!("no uprobes allowed here: {}", io::Error::last_os_error()));
        }
        // SAFETY: the kernel just gave this descriptor to us, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|error| error.to_string())?) };
        let mut id = 0_u64;
        // SAFETY: PERF_EVENT_IOC_ID writes one u64 through the pointer.
        if unsafe { libc::ioctl(fd.as_raw_fd(), PERF_EVENT_IOC_ID, &raw mut id) } != 0 {
            return Err(format!("event id: {}", io::Error::last_os_error()));
        }
        match events.first() {
            None => ring = Some(Ring::map(&fd).map_err(|error| format!("ring: {error}"))?),
            Some((first, _, _)) => {
                // SAFETY: both descriptors are open perf events of the same thread.
                if unsafe { libc::ioctl(fd.as_raw_fd(), PERF_EVENT_IOC_SET_OUTPUT, first.as_raw_fd()) } != 0 {
                    return Err(format!("sharing a ring: {}", io::Error::last_os_error()));
                }
            }
        }
        events.push((fd, id, *point));
    }
    let ring = ring.ok_or("no probe points")?;
    Ok(ProbedThread { tid, name, ring, events })
}

impl Ring {
    fn map(event: &OwnedFd) -> io::Result<Ring> {
        // SAFETY: a fresh shared mapping of an open perf event, chosen by the kernel, unmapped in `drop`.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                (1 + DATA_PAGES) * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Ring { base }) }
    }

    /// Event id and time of every sample, in order of time.
    fn samples(&self) -> Vec<(u64, u64)> {
        // SAFETY: `data_head` lies in the mapped first page, aligned, and is written by the kernel only.
        let head = unsafe { &*self.base.cast::<u8>().add(HEAD_OFFSET).cast::<AtomicU64>() };
        let length = usize::try_from(head.load(Ordering::Acquire)).unwrap_or(usize::MAX);
        // One largest record's room is kept: the kernel drops what does not fit and says so only later.
        assert!(length + 64 < DATA_PAGES * PAGE, "more samples than the ring has room for");
        let mut data = vec![0_u8; length];
        // SAFETY: the first `length` bytes of the data pages are published by the load above, and as the tail never
        // moves the kernel does not write them again.
        unsafe { ptr::copy_nonoverlapping(self.base.cast::<u8>().add(PAGE), data.as_mut_ptr(), length) };
        let mut samples = Vec::new();
        let mut rest = &data[..];
        while let Some((header, _)) = rest.split_at_checked(8) {
            let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            let size = usize::from(u16::from_le_bytes([header[6], header[7]]));
            assert!(size >= 8 && size <= rest.len(), "a record of {size} bytes");
            if kind == PERF_RECORD_SAMPLE {
                let word = |at: usize| {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&rest[at..at + 8]);
                    u64::from_le_bytes(bytes)
                };
                samples.push((word(8), word(16)));
            }
            rest = &rest[size..];
        }
        samples.sort_by_key(|sample| sample.1);
        samples
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, and no reference into it is left.
        unsafe { libc::munmap(self.base, (1 + DATA_PAGES) * PAGE) };
    }
}

fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec through the pointer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
