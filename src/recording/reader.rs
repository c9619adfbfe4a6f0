//! A recording being read: the index of its chunks, and their contents.
//!
//! Opening skims chunk headers alone: nothing is decompressed. Nothing in a file
//! is believed before its CRC has been checked, and no length in it makes the
//! reader allocate more than [`MAX_CONTENT`] and [`MAX_STORED`].

use std::fs::{File, OpenOptions};
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::error::{RecordingError, Warning};
use super::events::{Events, Start};
#[cfg(doc)]
use super::format::MAX_STORED;
use super::format::{
    CHUNK_MARK, ChunkHeader, ChunkKind, Codec, Finality, HEADER_LEN, MAX_CONTENT, PREAMBLE_LEN, Preamble,
};
use super::kinds::Class;
use super::provenance::Provenance;
use crate::time::MonoNs;

/// Most chunks that are indexed: 45 days at one a second.
pub const MAX_CHUNKS: usize = 1 << 22;

/// Most warnings that are kept.
const MAX_WARNINGS: usize = 1024;

/// How often damage makes the reader look whether the chunk before it is whole: each look reads that chunk.
const MAX_SECOND_LOOKS: u32 = 64;

/// Damaged bytes are searched in pieces of this size.
const PIECE: usize = 64 * 1024;

/// A chunk in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Where its header begins in the file.
    pub offset: u64,
    /// Its header.
    pub header: ChunkHeader,
}

impl ChunkEntry {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.header.total_len())
    }
}

/// Why a chunk's content could not be had.
#[derive(Debug)]
pub(super) enum ContentError {
    Damaged,
    Failed(RecordingError),
}

/// An open recording.
pub struct Reader<R> {
    source: R,
    minor: u16,
    chunks: Vec<ChunkEntry>,
    keyframes: Vec<usize>,
    provenance: Provenance,
    end: u64,
    tail: Option<Warning>,
    warnings: Vec<Warning>,
    unknown_chunks: u64,
    second_looks: u32,
    decompressor: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("chunks", &self.chunks.len()).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Reader<File> {
    /// Opens the recording at `path`.
    ///
    /// # Errors
    /// As [`Reader::new`], and [`RecordingError::NotAFile`].
    pub fn open(path: &Path) -> Result<Reader<File>, RecordingError> {
        // A pipe without a writer would keep a plain open waiting for ever.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(RecordingError::io("open"))?;
        let sort = file.metadata().map_err(RecordingError::io("open"))?.file_type();
        let what = match sort {
            sort if sort.is_dir() => "a directory",
            sort if sort.is_fifo() => "a pipe",
            sort if sort.is_char_device() => "a device",
            sort if sort.is_socket() => "a socket",
            _ => return Reader::new(file),
        };
        Err(RecordingError::NotAFile { path: path.to_owned(), what })
    }
}

impl Reader<Cursor<Vec<u8>>> {
    /// Opens a recording in memory.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Reader<Cursor<Vec<u8>>>, RecordingError> {
        Reader::new(Cursor::new(bytes))
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a recording: checks its first bytes and indexes its chunks.
    ///
    /// # Errors
    /// [`RecordingError::Empty`], [`RecordingError::Foreign`] and [`RecordingError::NewerMajor`] where this is
    /// no recording for this gilscope; [`RecordingError::Io`] where it cannot be read. Damage is no error: see
    /// [`Reader::warnings`].
    pub fn new(source: R) -> Result<Reader<R>, RecordingError> {
        let mut reader = Reader {
            source,
            minor: 0,
            chunks: Vec::new(),
            keyframes: Vec::new(),
            provenance: Provenance::default(),
            end: PREAMBLE_LEN as u64,
            tail: None,
            warnings: Vec::new(),
            unknown_chunks: 0,
            second_looks: 0,
            decompressor: zstd::bulk::Decompressor::new().map_err(RecordingError::io("read"))?,
            stored: Vec::new(),
        };
        let mut start = [0; PREAMBLE_LEN];
        let length = reader.read_at(0, &mut start)?;
        match Preamble::from_bytes(&start[..length])? {
            Preamble::Version { minor } => reader.minor = minor,
            Preamble::Damaged => reader.warn(Warning::DamagedPreamble),
        }
        reader.refresh()?;
        Ok(reader)
    }

    /// Indexes what a recorder has appended since; harmless where nothing was. The chunk the recorder may be
    /// writing just now is left for the next time.
    ///
    /// # Errors
    /// [`RecordingError::Io`].
    pub fn refresh(&mut self) -> Result<(), RecordingError> {
        let length = self.source.seek(SeekFrom::End(0)).map_err(RecordingError::io("read"))?;
        self.tail = None;
        while self.end < length {
            if self.chunks.len() >= MAX_CHUNKS {
                self.tail = Some(Warning::TooManyChunks { offset: self.end });
                break;
            }
            let left = length - self.end;
            match self.header_at(self.end)? {
                Found::Header(header) if header.total_len() <= left => {
                    self.index(ChunkEntry { offset: self.end, header })?;
                }
                Found::Header(_) => match self.find_chunk(self.end + 1, length)? {
                    Some(next) => self.skip_to(next),
                    None => {
                        self.tail = Some(Warning::TruncatedTail { offset: self.end, bytes: left });
                        break;
                    }
                },
                Found::Cut => {
                    self.tail = Some(Warning::TruncatedTail { offset: self.end, bytes: left });
                    break;
                }
                Found::Damage => {
                    let from = self.search_from()?;
                    match self.find_chunk(from, length)? {
                        Some(next) => self.skip_to(next),
                        None => {
                            self.tail = Some(Warning::Damaged { offset: self.end, bytes: left });
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The chunks of the recording, in the order of the file.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The places in [`Reader::chunks`] of the keyframes: decoding can start at each.
    pub fn keyframes(&self) -> &[usize] {
        &self.keyframes
    }

    /// The minor version of the format the recording was written in.
    pub fn minor(&self) -> u16 {
        self.minor
    }

    /// Where the recording comes from, as well as it can still be read.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The times of the earliest and the latest event; `None` where there is none.
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        let with_events = || self.events_chunks().filter(|chunk| chunk.header.events() > 0);
        let first = with_events().map(|chunk| chunk.header.first).min()?;
        let last = with_events().map(|chunk| chunk.header.last).max()?;
        Some((first, last))
    }

    /// Number of events by class, as the chunks' headers count them.
    pub fn count(&self, class: Class) -> u64 {
        self.events_chunks().map(|chunk| u64::from(chunk.header.count(class))).sum()
    }

    /// Number of events, as the chunks' headers count them.
    pub fn event_count(&self) -> u64 {
        self.events_chunks().map(|chunk| chunk.header.events()).sum()
    }

    /// Whether the recorder ended in order; else it was killed, has failed, or is still at it.
    pub fn finality(&self) -> Finality {
        self.chunks.last().map_or(Finality::Open, |chunk| chunk.header.finality)
    }

    /// What is wrong with the recording, as far as it was read. Damage inside chunks shows when they are decoded.
    pub fn warnings(&self) -> Vec<Warning> {
        let unknown = (self.unknown_chunks > 0).then_some(Warning::UnknownChunks { chunks: self.unknown_chunks });
        self.warnings.iter().cloned().chain(unknown).chain(self.tail.clone()).collect()
    }

    /// The events from `start` on.
    pub fn events(&mut self, start: Start) -> Events<'_, R> {
        Events::new(self, start)
    }

    fn events_chunks(&self) -> impl Iterator<Item = &ChunkEntry> {
        self.chunks.iter().filter(|chunk| chunk.header.kind == ChunkKind::Events)
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether the bytes before `offset` are all accounted for.
    pub(super) fn is_whole_before(&self, offset: u64) -> bool {
        !self.warnings.iter().any(|warning| matches!(warning, Warning::Damaged { offset: at, .. } if *at < offset))
    }

    /// Puts the content of a chunk into `content`, whose capacity never exceeds [`MAX_CONTENT`].
    pub(super) fn content(&mut self, entry: &ChunkEntry, content: &mut Vec<u8>) -> Result<(), ContentError> {
        content.clear();
        let mut stored = std::mem::take(&mut self.stored);
        let outcome = self.content_through(entry, &mut stored, content);
        self.stored = stored;
        outcome
    }

    fn content_through(
        &mut self,
        entry: &ChunkEntry,
        stored: &mut Vec<u8>,
        content: &mut Vec<u8>,
    ) -> Result<(), ContentError> {
        let header = &entry.header;
        stored.resize(header.stored_len as usize, 0);
        let at = entry.offset + u64::from(header.header_len);
        let length = self.read_at(at, stored).map_err(ContentError::Failed)?;
        if length < stored.len() || crc32fast::hash(stored) != header.stored_crc {
            return Err(ContentError::Damaged);
        }
        let content_len = header.content_len as usize;
        debug_assert!(content_len <= MAX_CONTENT);
        match header.codec {
            Codec::Plain => content.extend_from_slice(stored),
            Codec::Zstd => {
                // The capacity is the limit zstd keeps to, whatever the frame says of itself.
                content.reserve_exact(content_len);
                self.decompressor.decompress_to_buffer(stored, content).map_err(|_| ContentError::Damaged)?;
            }
            Codec::Unknown(_) => return Err(ContentError::Damaged),
        }
        if content.len() == content_len { Ok(()) } else { Err(ContentError::Damaged) }
    }

    fn index(&mut self, entry: ChunkEntry) -> Result<(), RecordingError> {
        self.end = entry.end();
        match entry.header.kind {
            ChunkKind::Keyframe => self.keyframes.push(self.chunks.len()),
            ChunkKind::Unknown(_) => self.unknown_chunks += 1,
            ChunkKind::Events => {}
            ChunkKind::Provenance => {
                let mut content = Vec::new();
                match self.content(&entry, &mut content) {
                    Ok(()) => self.provenance = Provenance::take(&content),
                    Err(ContentError::Damaged) => {
                        self.warn(Warning::DamagedChunk { offset: entry.offset, sequence: entry.header.sequence })
                    }
                    Err(ContentError::Failed(error)) => return Err(error),
                }
            }
        }
        self.chunks.push(entry);
        Ok(())
    }

    fn skip_to(&mut self, next: u64) {
        if next > self.end {
            self.warn(Warning::Damaged { offset: self.end, bytes: next - self.end });
        }
        self.end = next;
    }

    /// Where to search for the next chunk when there is none at `self.end`: behind it, or, should bytes be
    /// missing from the chunk before, in what was taken for that chunk's content.
    fn search_from(&mut self) -> Result<u64, RecordingError> {
        let Some(before) = self.chunks.last().copied() else { return Ok(self.end + 1) };
        if before.end() != self.end || self.second_looks >= MAX_SECOND_LOOKS {
            return Ok(self.end + 1);
        }
        self.second_looks += 1;
        match self.content(&before, &mut Vec::new()) {
            Ok(()) => Ok(self.end + 1),
            Err(ContentError::Damaged) => Ok(before.offset + u64::from(before.header.header_len)),
            Err(ContentError::Failed(error)) => Err(error),
        }
    }

    /// The offset of the first whole header at or behind `from`.
    fn find_chunk(&mut self, from: u64, length: u64) -> Result<Option<u64>, RecordingError> {
        let mut at = from;
        let mut piece = vec![0; PIECE];
        while at < length {
            let filled = self.read_at(at, &mut piece)?;
            let mut searched = 0;
            while let Some(found) = find(&piece[searched..filled], &CHUNK_MARK) {
                let offset = at + (searched + found) as u64;
                if let Found::Header(_) = self.header_at(offset)? {
                    return Ok(Some(offset));
                }
                searched += found + 1;
            }
            if filled < piece.len() {
                break;
            }
            // The mark may lie across two pieces.
            at += (filled - (CHUNK_MARK.len() - 1)) as u64;
        }
        Ok(None)
    }

    fn header_at(&mut self, offset: u64) -> Result<Found, RecordingError> {
        let mut bytes = [0; 1024];
        let filled = self.read_at(offset, &mut bytes[..HEADER_LEN])?;
        let known = filled.min(CHUNK_MARK.len());
        if bytes[..known] != CHUNK_MARK[..known] {
            return Ok(Found::Damage);
        }
        if filled < HEADER_LEN {
            return Ok(Found::Cut);
        }
        let Some(header_len) = ChunkHeader::length_at(&bytes[..filled]) else { return Ok(Found::Damage) };
        if header_len > HEADER_LEN {
            let filled = self.read_at(offset, &mut bytes[..header_len])?;
            if filled < header_len {
                return Ok(Found::Cut);
            }
        }
        Ok(ChunkHeader::from_bytes(&bytes[..header_len]).map_or(Found::Damage, Found::Header))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, RecordingError> {
        self.source.seek(SeekFrom::Start(offset)).map_err(RecordingError::io("read"))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(RecordingError::Io { doing: "read", source }),
            }
        }
        Ok(filled)
    }
}

enum Found {
    Header(ChunkHeader),
    Cut,
    Damage,
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
