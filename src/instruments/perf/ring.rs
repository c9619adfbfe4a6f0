//! The ring that an event's records come in, shared with the kernel.
#![expect(unsafe_code, reason = "the ring is memory that the kernel writes")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use perf_event_open_sys::bindings as sys;

use super::record::{self, HEADER, LONGEST, Record, Samples};
use crate::target::descriptors::{self, Kept};

/// Whether a ring had room for another record when it was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It had.
    Left,
    /// It had not: some may be missing, of which the kernel tells with the next that finds room, if one ever comes.
    Full,
}

/// An event and the ring mapped to it. Closing it takes both from the kernel.
#[derive(Debug)]
pub struct Ring {
    base: NonNull<u8>,
    page: usize,
    /// Bytes of records that it holds: a power of two.
    size: usize,
    tail: u64,
    samples: Samples,
    event: OwnedFd,
}

// SAFETY: the mapping belongs to this value alone and is not bound to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps a ring of `pages` pages for records (a power of two) and one for its state to `event`.
    ///
    /// # Errors
    /// `EPERM` beyond `perf_event_mlock_kb` and the memory-lock limit, which is not `ENOMEM` as one might expect.
    pub fn map(event: OwnedFd, pages: usize) -> io::Result<Ring> {
        // SAFETY: sysconf takes an integer and touches no memory.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let length = (pages + 1) * page;
        // SAFETY: a new mapping of a descriptor that we own, at a place of the kernel's choice.
        let mapped = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, event.as_raw_fd(), 0)
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(mapped.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Ring { base, page, size: pages * page, tail: 0, samples: Samples::Hits, event })
    }

    /// The event that it belongs to, for others of the same task to share the ring.
    pub fn event(&self) -> &OwnedFd {
        &self.event
    }

    /// From here on its samples are these; otherwise they are hits.
    pub fn expect(&mut self, samples: Samples) {
        self.samples = samples;
    }

    /// Whether file descriptors are left beside its own for what has to be opened now and then.
    pub fn leaves_descriptors(&self) -> bool {
        descriptors::may_stay_open(&self.event, Kept::ForLack)
    }

    /// Takes all records that are there, the oldest first. A ring that makes no sense is emptied and tells of a loss.
    /// Says whether there was room for more.
    pub fn drain(&mut self, mut each: impl FnMut(Record)) -> Room {
        let samples = self.samples;
        self.drain_whole(&mut [0; LONGEST], |record| match record {
            Some(record) => each(record::parse(record, &samples)),
            None => each(Record::Lost { at: None, records: 1 }),
        })
    }

    /// The same, as the kernel wrote them; of a record longer than `buffer`, its beginning. `None`: the ring makes no sense.
    pub fn drain_whole(&mut self, buffer: &mut [u8], mut each: impl FnMut(Option<&[u8]>)) -> Room {
        let head = self.head();
        if head == self.tail {
            return Room::Left;
        }
        let used = usize::try_from(head.saturating_sub(self.tail)).unwrap_or(usize::MAX);
        // The records must not be read before the head that says they are there.
        fence(Ordering::Acquire);
        while self.tail < head {
            let mut header = [0u8; HEADER];
            self.copy(self.tail, &mut header);
            let there = usize::try_from(head - self.tail).unwrap_or(usize::MAX);
            let Some(length) = record::length(header).filter(|length| *length <= there.min(self.size)) else {
                each(None);
                self.tail = head;
                break;
            };
            // Those of interest fit; of others the beginning will do.
            let fitting = length.min(buffer.len());
            let whole = buffer.get_mut(..fitting).unwrap_or_default();
            self.copy(self.tail, whole);
            each(Some(whole));
            self.tail += length as u64;
        }
        self.release();
        if used.saturating_add(buffer.len()) > self.size { Room::Full } else { Room::Left }
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: the first page is `struct perf_event_mmap_page`, which begins on a page and has both counters at
        // offsets that are multiples of 8; kernel and user space share them as atomic words for as long as it is mapped.
        unsafe { &*self.base.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    fn head(&self) -> u64 {
        self.counter(std::mem::offset_of!(sys::perf_event_mmap_page, data_head)).load(Ordering::Relaxed)
    }

    /// Lets the kernel write over what was read.
    fn release(&self) {
        let tail = self.counter(std::mem::offset_of!(sys::perf_event_mmap_page, data_tail));
        if tail.load(Ordering::Relaxed) != self.tail {
            tail.store(self.tail, Ordering::Release);
        }
    }

    /// Copies bytes from position `at`, round the end of the ring if need be.
    fn copy(&self, at: u64, out: &mut [u8]) {
        let begin = (at % self.size as u64) as usize;
        let first = out.len().min(self.size - begin);
        let (before, after) = out.split_at_mut(first);
        // SAFETY: both ranges lie within the `size` bytes of records behind the first page, and the kernel does not
        // write between the tail it was given and the head it has published.
        unsafe {
            let records = self.base.as_ptr().add(self.page);
            std::ptr::copy_nonoverlapping(records.add(begin), before.as_mut_ptr(), before.len());
            std::ptr::copy_nonoverlapping(records, after.as_mut_ptr(), after.len());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length and nobody refers to it any more.
        let failed = unsafe { libc::munmap(self.base.as_ptr().cast(), self.size + self.page) };
        debug_assert_eq!(failed, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::super::{Way, switch_records};
    use super::*;
    use crate::event::Tid;
    use crate::time::MonoNs;

    /// A thread that falls asleep for each word it is sent, and its ring; `None` where performance events are refused.
    fn sleeper() -> Option<(mpsc::Sender<()>, mpsc::Receiver<()>, Ring)> {
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: gettid takes nothing and touches no memory.
            let tid = unsafe { libc::gettid() };
            tell.send(Tid(tid.unsigned_abs())).unwrap();
            for () in asked {
                std::thread::sleep(Duration::from_micros(200));
                answer.send(()).unwrap();
            }
        });
        match switch_records(told.recv().unwrap()) {
            Ok(event) => Some((ask, answered, Ring::map(event, 1).unwrap())),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    fn naps(of: &(mpsc::Sender<()>, mpsc::Receiver<()>, Ring), naps: usize) {
        for _ in 0..naps {
            of.0.send(()).unwrap();
            of.1.recv().unwrap();
        }
    }

    #[test]
    fn every_switch_is_recorded_in_its_order() {
        let Some(mut sleeper) = sleeper() else { return };
        let mut switches: Vec<(MonoNs, Way)> = Vec::new();
        // More than one page holds, so the ring goes round.
        for _ in 0..20 {
            naps(&sleeper, 15);
            sleeper.2.drain(|record| match record {
                Record::Switch { at, way, .. } => switches.push((at, way)),
                other => assert_eq!(other, Record::Other),
            });
        }
        assert!(switches.windows(2).all(|pair| pair[0].0 <= pair[1].0), "times do not go back");
        assert!(
            switches.windows(2).all(|pair| (pair[0].1 == Way::In) != (pair[1].1 == Way::In)),
            "in and out by turns: {switches:?}"
        );
        let asleep = switches.iter().filter(|(_, way)| *way == Way::OutAsleep).count();
        assert!((300..=900).contains(&asleep), "{asleep} sleeps in 300 naps");
    }

    #[test]
    fn what_the_ring_has_no_room_for_is_counted() {
        let Some(mut sleeper) = sleeper() else { return };
        naps(&sleeper, 400);
        let mut recorded = 0u64;
        let mut lost = 0;
        let mut count = |record| match record {
            Record::Switch { .. } => recorded += 1,
            Record::Lost { records, .. } => lost += records,
            _ => {}
        };
        assert_eq!(sleeper.2.drain(&mut count), Room::Full);
        // The kernel tells of the loss with the next record that finds room.
        naps(&sleeper, 1);
        assert_eq!(sleeper.2.drain(&mut count), Room::Left);
        assert!((100..=200).contains(&recorded), "a page holds 170 records: {recorded}");
        assert!(recorded + lost >= 800, "{recorded} and {lost} lost");
    }
}
