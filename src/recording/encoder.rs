//! Events in, chunks out: no file, no clock.

use std::sync::Arc;

use super::compact::put_event;
use super::error::RecordingError;
use super::format::{COUNTERS, ChunkHeader, ChunkKind, Codec, Finality, HEADER_LEN, MAX_CONTENT};
use super::kinds::class;
use super::predict::Prediction;
use super::provenance::{Novelty, Provenance};
use super::standing::Standing;
use crate::event::Event;
use crate::time::{MonoNs, Ns};

/// A chunk is cut when its events span this much time. Well below the second that a
/// killed recorder may lose, so that the way to the file fits in too.
pub const CUT_AFTER: Ns = Ns::from_millis(700);

/// A chunk is cut when its content has grown to this many bytes.
pub const CUT_AT: usize = 256 * 1024;

/// The least time between two keyframes.
pub const KEYFRAME_AFTER: Ns = Ns::from_millis(2_000);

/// A keyframe waits until this many times its own size was written since the last one ...
const KEYFRAME_SHARE: usize = 4;

/// ... but no longer than this many times [`KEYFRAME_AFTER`].
const KEYFRAME_PATIENCE: u64 = 8;

/// The most events a keyframe restates.
pub(super) const MAX_RESTATED: usize = 1 << 20;

/// The speed of the compression: at 3 it is faster than events can be taken, and 9 saves little more.
const ZSTD_LEVEL: i32 = 3;

/// Why a chunk is cut now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// What there is shall be safe: a second has passed, or somebody wants to read it.
    Flush,
    /// The recording ends.
    End,
}

/// An encoded chunk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chunk {
    header: ChunkHeader,
    bytes: Arc<[u8]>,
}

impl Chunk {
    /// Its header.
    pub fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// Header and content, as they lie in a file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of events it brings: a keyframe restates, and brings none.
    pub fn observed(&self) -> u64 {
        if self.header.kind == ChunkKind::Events { self.header.events() } else { 0 }
    }

    pub(super) fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }
}

/// Makes chunks of events.
///
/// [`Encoder::push`] cuts by itself when a chunk is long enough, in time or in
/// bytes; [`Encoder::cut`] does so at once. What is finished is taken with
/// [`Encoder::take_chunks`].
pub struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    prediction: Prediction,
    standing: Standing,
    provenance: Provenance,
    provenance_is: Novelty,
    scratch: Vec<u8>,
    content: Vec<u8>,
    first: MonoNs,
    last: MonoNs,
    base: MonoNs,
    counts: [u32; COUNTERS],
    pending: u64,
    position: u64,
    sequence: u64,
    builds_on: u64,
    since_keyframe: usize,
    keyframe_len: usize,
    keyframe_at: Option<MonoNs>,
    ready: Vec<Chunk>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("position", &self.position).field("sequence", &self.sequence).finish()
    }
}

impl Encoder {
    /// An encoder for a new recording.
    ///
    /// # Errors
    /// [`RecordingError::Io`] if zstd cannot get its memory.
    pub fn new() -> Result<Encoder, RecordingError> {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(RecordingError::io("encode"))?;
        Ok(Encoder {
            compressor,
            prediction: Prediction::new(),
            standing: Standing::default(),
            provenance: Provenance::default(),
            provenance_is: Novelty::New,
            scratch: Vec::new(),
            content: Vec::new(),
            first: MonoNs(0),
            last: MonoNs(0),
            base: MonoNs(0),
            counts: [0; COUNTERS],
            pending: 0,
            position: 0,
            sequence: 0,
            builds_on: 0,
            since_keyframe: 0,
            keyframe_len: 0,
            keyframe_at: None,
            ready: Vec::new(),
        })
    }

    /// Number of events pushed so far.
    pub fn position(&self) -> u64 {
        self.position + self.pending
    }

    /// Number of events that no chunk holds yet.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The times of the earliest and the latest event that no chunk holds yet.
    pub fn pending_span(&self) -> Option<(MonoNs, MonoNs)> {
        (self.pending > 0).then_some((self.first, self.last))
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`RecordingError::Io`] if zstd fails, which it does only for want of memory.
    pub fn push(&mut self, event: &Event) -> Result<(), RecordingError> {
        if self.pending > 0 && (self.content.len() >= CUT_AT || event.at.since(self.first) >= CUT_AFTER) {
            self.cut(Cut::Flush)?;
        }
        if self.pending == 0 {
            self.first = event.at;
            self.last = event.at;
            self.base = event.at;
            self.content.clear();
            put_base(self.base, &mut self.content);
            self.prediction.begin_chunk(self.base);
        }
        self.first = self.first.min(event.at);
        self.last = self.last.max(event.at);
        put_event(event, &mut self.prediction, &mut self.scratch, &mut self.content);
        let counter = &mut self.counts[class(&event.what).slot()];
        *counter = counter.saturating_add(1);
        self.pending += 1;
        self.standing.observe(event);
        if self.provenance.observe(event) == Novelty::New {
            self.provenance_is = Novelty::New;
        }
        self.keyframe_at.get_or_insert(event.at);
        Ok(())
    }

    /// Makes a chunk of what is pending, and a keyframe behind it when one is due.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn cut(&mut self, cut: Cut) -> Result<(), RecordingError> {
        if self.pending == 0 && cut == Cut::Flush {
            return Ok(());
        }
        if self.provenance_is == Novelty::New {
            self.state_provenance()?;
        }
        if self.pending == 0 {
            self.first = self.last;
            self.content.clear();
            put_base(self.last, &mut self.content);
        }
        let content = std::mem::take(&mut self.content);
        let header = ChunkHeader {
            counts: self.counts,
            finality: if cut == Cut::End { Finality::Last } else { Finality::Open },
            ..self.header(ChunkKind::Events)
        };
        self.finish(header, &content)?;
        self.since_keyframe += content.len();
        self.content = content;
        self.position += self.pending;
        self.pending = 0;
        self.counts = [0; COUNTERS];
        if cut == Cut::Flush && self.keyframe_is_due() {
            self.keyframe()?;
        }
        Ok(())
    }

    /// Cuts what is pending and restates everything at once: a file may begin with the chunks that follow.
    ///
    /// # Errors
    /// As [`Encoder::push`].
    pub fn restate(&mut self) -> Result<(), RecordingError> {
        self.cut(Cut::Flush)?;
        self.state_provenance()?;
        self.keyframe()
    }

    fn state_provenance(&mut self) -> Result<(), RecordingError> {
        let mut content = Vec::new();
        self.provenance.put(&mut content);
        let header = self.header(ChunkKind::Provenance);
        self.finish(header, &content)?;
        self.provenance_is = Novelty::Known;
        Ok(())
    }

    /// The chunks that are finished, oldest first. They are handed out once.
    pub fn take_chunks(&mut self) -> Vec<Chunk> {
        std::mem::take(&mut self.ready)
    }

    fn keyframe_is_due(&self) -> bool {
        let passed = self.last.since(self.keyframe_at.unwrap_or(self.last));
        let worth_it = self.since_keyframe >= self.keyframe_len.saturating_mul(KEYFRAME_SHARE);
        let patience = Ns(KEYFRAME_AFTER.0 * KEYFRAME_PATIENCE);
        (passed >= KEYFRAME_AFTER || self.since_keyframe >= CUT_AT * 2) && (worth_it || passed >= patience)
    }

    fn keyframe(&mut self) -> Result<(), RecordingError> {
        self.keyframe_at = Some(self.last);
        let events = self.standing.events();
        if events.len() > MAX_RESTATED {
            return Ok(());
        }
        let base = events.first().map_or(self.last, |event| event.at);
        let mut prediction = Prediction::new();
        let mut content = Vec::new();
        let mut counts = [0u32; COUNTERS];
        put_base(base, &mut content);
        prediction.begin_chunk(base);
        for event in events {
            put_event(event, &mut prediction, &mut self.scratch, &mut content);
            counts[class(&event.what).slot()] += 1;
        }
        // A state as large as this is not restated: one starts at an earlier keyframe then.
        if content.len() > MAX_CONTENT {
            return Ok(());
        }
        let header = ChunkHeader { counts, first: self.last, last: self.last, ..self.header(ChunkKind::Keyframe) };
        self.builds_on = header.sequence;
        self.finish(header, &content)?;
        // From here on both sides remember exactly what was restated, whatever was said before.
        self.prediction = prediction;
        self.keyframe_len = content.len();
        self.since_keyframe = 0;
        Ok(())
    }

    fn header(&self, kind: ChunkKind) -> ChunkHeader {
        ChunkHeader {
            kind,
            finality: Finality::Open,
            codec: Codec::Zstd,
            header_len: HEADER_LEN as u16,
            stored_len: 0,
            content_len: 0,
            stored_crc: 0,
            sequence: self.sequence,
            builds_on: self.builds_on,
            position: self.position,
            first: self.first,
            last: self.last,
            counts: [0; COUNTERS],
        }
    }

    fn finish(&mut self, mut header: ChunkHeader, content: &[u8]) -> Result<(), RecordingError> {
        let compressed = self.compressor.compress(content).map_err(RecordingError::io("encode"))?;
        let stored = if compressed.len() < content.len() {
            compressed.as_slice()
        } else {
            header.codec = Codec::Plain;
            content
        };
        header.stored_len = stored.len() as u32;
        header.content_len = content.len() as u32;
        header.stored_crc = crc32fast::hash(stored);
        let mut bytes = header.to_bytes();
        bytes.extend_from_slice(stored);
        self.ready.push(Chunk { header, bytes: bytes.into() });
        self.sequence += 1;
        Ok(())
    }
}

/// A chunk's content begins with the time its times count from.
fn put_base(base: MonoNs, out: &mut Vec<u8>) {
    out.extend_from_slice(&base.0.to_le_bytes());
}
