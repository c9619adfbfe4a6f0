//! Where a recording comes from: what one must know to interpret its figures years later.

use super::wire::{Input, Wire, put_varint};
use crate::event::{CaptureInfo, Event, GilKey, ProcessInfo, ProcessKey, What};
use crate::time::{MonoNs, Ns};

/// Most processes, and most GILs, that are named in it; the events name them all.
pub const MAX_NAMED: usize = 64;

/// Longest encoded form.
const MAX_LEN: usize = 1024 * 1024;

const CAPTURE: u64 = 1;
const PROCESS: u64 = 2;
const GIL: u64 = 3;

/// The provenance of a recording: a summary of its first definitions, readable without decoding events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// The clock anchor and the capture: [`CaptureInfo::start_unix_ns`] is the wall-clock time of this [`MonoNs`].
    pub capture: Option<(MonoNs, CaptureInfo)>,
    /// The first processes that came into view: versions and command lines.
    pub processes: Vec<(ProcessKey, ProcessInfo)>,
    /// The first GILs that came into view, with the switch interval at that time.
    pub gils: Vec<(GilKey, ProcessKey, Ns)>,
}

/// Whether an event has added to the provenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    Known,
}

impl Provenance {
    pub(super) fn observe(&mut self, event: &Event) -> Novelty {
        match &event.what {
            What::CaptureStarted(info) if self.capture.is_none() => {
                self.capture = Some((event.at, info.as_ref().clone()));
            }
            What::ProcessFound { process, info } if self.processes.len() < MAX_NAMED => {
                self.processes.push((*process, info.as_ref().clone()));
            }
            What::GilFound { gil, process, switch_interval } if self.gils.len() < MAX_NAMED => {
                self.gils.push((*gil, *process, *switch_interval));
            }
            _ => return Novelty::Known,
        }
        Novelty::New
    }

    /// Fields, each as number, length and body: an unknown one can be skipped.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        if let Some((at, info)) = &self.capture {
            put_field(CAPTURE, out, |body| {
                at.put(body);
                info.put(body);
            });
        }
        for (process, info) in &self.processes {
            put_field(PROCESS, out, |body| {
                process.put(body);
                info.put(body);
            });
        }
        for (gil, process, switch_interval) in &self.gils {
            put_field(GIL, out, |body| {
                gil.put(body);
                process.put(body);
                switch_interval.put(body);
            });
        }
    }

    /// What can be understood of it; the rest is left out.
    pub(super) fn take(bytes: &[u8]) -> Provenance {
        let mut provenance = Provenance::default();
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            let (Ok(number), Ok(length)) = (input.varint(), input.varint()) else { break };
            let Ok(body) = input.bytes(length) else { break };
            provenance.take_field(number, &mut Input::new(body));
        }
        provenance
    }

    fn take_field(&mut self, number: u64, body: &mut Input<'_>) {
        match number {
            CAPTURE => {
                if let (Ok(at), Ok(info)) = (Wire::take(body), Wire::take(body)) {
                    self.capture = Some((at, info));
                }
            }
            PROCESS if self.processes.len() < MAX_NAMED => {
                if let (Ok(process), Ok(info)) = (Wire::take(body), Wire::take(body)) {
                    self.processes.push((process, info));
                }
            }
            GIL if self.gils.len() < MAX_NAMED => {
                if let (Ok(gil), Ok(process), Ok(interval)) = (Wire::take(body), Wire::take(body), Wire::take(body)) {
                    self.gils.push((gil, process, interval));
                }
            }
            _ => {}
        }
    }
}

fn put_field(number: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    write(&mut body);
    if out.len() + body.len() <= MAX_LEN {
        put_varint(number, out);
        put_varint(body.len() as u64, out);
        out.append(&mut body);
    }
}
