//! The last while of a live capture, encoded, in bounded memory.

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::encoder::Chunk;
use super::error::RecordingError;
use super::format::{ChunkKind, MAJOR, MINOR, preamble};
use super::reader::Reader;
use crate::time::MonoNs;

/// How much a ring holds unless told otherwise, in bytes.
pub const DEFAULT_RING: usize = 64 * 1024 * 1024;

/// Encoded chunks, the newest ones: from them one scrubs back, and records after the fact.
#[derive(Debug, Clone)]
pub struct ChunkRing {
    limit: usize,
    held: usize,
    provenance: Option<Chunk>,
    chunks: VecDeque<Chunk>,
}

impl ChunkRing {
    /// An empty ring for at most `limit` bytes of chunks.
    pub fn new(limit: usize) -> ChunkRing {
        ChunkRing { limit, held: 0, provenance: None, chunks: VecDeque::new() }
    }

    /// Adds a chunk, and forgets the oldest ones where there are too many: always up to a keyframe, so that
    /// what is left can be read from its beginning.
    pub fn push(&mut self, chunk: Chunk) {
        if chunk.header().kind == ChunkKind::Provenance {
            self.provenance = Some(chunk);
            return;
        }
        self.held += chunk.bytes().len();
        self.chunks.push_back(chunk);
        if self.held <= self.limit {
            return;
        }
        while let Some(front) = self.chunks.front() {
            if self.held <= self.limit && front.header().kind == ChunkKind::Keyframe {
                break;
            }
            self.held -= front.bytes().len();
            self.chunks.pop_front();
        }
    }

    /// Bytes of chunks held: never more than the limit.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The times of the oldest and the newest event held.
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        Some((self.chunks.front()?.header().first, self.chunks.back()?.header().last))
    }

    /// What is held now as a recording, to be read like any other. Shares the chunks with the ring.
    ///
    /// # Errors
    /// [`RecordingError::Io`] if zstd cannot get its memory.
    pub fn reader(&self) -> Result<Reader<RingSource>, RecordingError> {
        Reader::new(self.source())
    }

    /// What is held now, as the bytes of a recording.
    pub fn source(&self) -> RingSource {
        let mut parts: Vec<(u64, Arc<[u8]>)> = Vec::with_capacity(self.chunks.len() + 2);
        let mut length = 0;
        let start: Arc<[u8]> = Arc::from(preamble(MAJOR, MINOR));
        let chunks = self.chunks().map(Chunk::shared);
        for part in std::iter::once(start).chain(chunks) {
            let part_len = part.len() as u64;
            parts.push((length, part));
            length += part_len;
        }
        RingSource { parts, length, at: 0 }
    }

    /// What is held now, oldest first, and before it where the recording comes from.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.provenance.iter().chain(&self.chunks)
    }
}

/// The bytes of a ring's chunks at one time, as if they were a file.
#[derive(Debug, Clone)]
pub struct RingSource {
    parts: Vec<(u64, Arc<[u8]>)>,
    length: u64,
    at: u64,
}

impl Read for RingSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.length {
            return Ok(0);
        }
        let index = self.parts.partition_point(|(start, _)| *start <= self.at) - 1;
        let (start, part) = &self.parts[index];
        let rest = &part[(self.at - start) as usize..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for RingSource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(step) => self.length.checked_add_signed(step),
            SeekFrom::Current(step) => self.at.checked_add_signed(step),
        };
        self.at = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek to before the first byte"))?;
        Ok(self.at)
    }
}
