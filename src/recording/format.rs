//! The layout of a file: its first bytes, and the header of each chunk.

use super::error::RecordingError;
use super::kinds::Class;
use crate::time::MonoNs;

/// The first bytes of every recording. Not ASCII, and with both kinds of line end, so that a transfer in text mode shows.
pub const MAGIC: [u8; 8] = *b"\x8fGILS\r\n\x1a";

/// The major version of the format: another one cannot be read by an older gilscope.
pub const MAJOR: u16 = 1;

/// The minor version of the format: another one adds what an older gilscope skips.
pub const MINOR: u16 = 7;

/// Length of the file's first part: magic, major, minor, CRC.
pub const PREAMBLE_LEN: usize = 16;

/// The first bytes of every chunk.
pub const CHUNK_MARK: [u8; 4] = *b"\x8fgCk";

/// Length of a chunk's header as this version writes it.
pub const HEADER_LEN: usize = 100;

/// The shortest and the longest header that is accepted; a newer minor may append fields before the CRC.
pub const HEADER_LEN_RANGE: std::ops::RangeInclusive<usize> = HEADER_LEN..=1024;

/// Longest content of a chunk before compression.
pub const MAX_CONTENT: usize = 16 * 1024 * 1024;

/// Longest content of a chunk as stored: what zstd may need at worst for [`MAX_CONTENT`], and some room.
pub const MAX_STORED: usize = MAX_CONTENT + MAX_CONTENT / 128 + 1024;

/// Number of event counters in a chunk's header.
pub const COUNTERS: usize = 8;

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkKind {
    /// Where the recording comes from: [`Provenance`](super::Provenance).
    Provenance,
    /// The definitions and observations in force, so that decoding can start here.
    Keyframe,
    /// Events.
    Events,
    /// Something a newer gilscope writes.
    Unknown(u8),
}

impl ChunkKind {
    /// Its number in a file.
    pub const fn number(self) -> u8 {
        match self {
            ChunkKind::Provenance => 1,
            ChunkKind::Keyframe => 2,
            ChunkKind::Events => 3,
            ChunkKind::Unknown(number) => number,
        }
    }

    /// The kind with this number.
    pub const fn from_number(number: u8) -> ChunkKind {
        match number {
            1 => ChunkKind::Provenance,
            2 => ChunkKind::Keyframe,
            3 => ChunkKind::Events,
            other => ChunkKind::Unknown(other),
        }
    }
}

/// Whether a chunk is the last of a recording that was ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finality {
    /// More may follow.
    Open,
    /// The recorder has ended in order here.
    Last,
}

/// How a chunk's content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As it is.
    Plain,
    /// One zstd frame.
    Zstd,
    /// Something a newer gilscope writes.
    Unknown(u8),
}

/// The header of a chunk: enough to find one's way without decompressing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What the chunk holds.
    pub kind: ChunkKind,
    /// Whether the recording ends here.
    pub finality: Finality,
    /// How the content is stored.
    pub codec: Codec,
    /// Length of the header in bytes.
    pub header_len: u16,
    /// Length of the content as stored, in bytes.
    pub stored_len: u32,
    /// Length of the content before compression, in bytes.
    pub content_len: u32,
    /// CRC-32 of the content as stored.
    pub stored_crc: u32,
    /// Number of chunks the recorder made before this one.
    pub sequence: u64,
    /// Sequence number of the keyframe this chunk's events build on; 0: they build on the recording's beginning.
    pub builds_on: u64,
    /// Number of events the recorder saw before this chunk.
    pub position: u64,
    /// Time of the earliest event in it; of a keyframe: of the last event before it.
    pub first: MonoNs,
    /// Time of the latest event in it; of a keyframe: of the last event before it.
    pub last: MonoNs,
    /// Number of events by class: [`Class::slot`].
    pub counts: [u32; COUNTERS],
}

impl ChunkHeader {
    /// Number of events in the chunk; of a keyframe: of those it restates.
    pub fn events(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Number of events of a class in the chunk.
    pub fn count(&self, class: Class) -> u32 {
        self.counts[class.slot()]
    }

    /// Bytes from the header's first to the content's last.
    pub fn total_len(&self) -> u64 {
        u64::from(self.header_len) + u64::from(self.stored_len)
    }

    /// The header as it lies in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(&CHUNK_MARK);
        bytes.extend_from_slice(&(HEADER_LEN as u16).to_le_bytes());
        bytes.push(self.kind.number());
        bytes.push(match self.finality {
            Finality::Open => 0,
            Finality::Last => 1,
        });
        bytes.push(match self.codec {
            Codec::Plain => 0,
            Codec::Zstd => 1,
            Codec::Unknown(number) => number,
        });
        bytes.extend_from_slice(&[0; 3]);
        for number in [self.stored_len, self.content_len, self.stored_crc] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.sequence, self.builds_on, self.position, self.first.0, self.last.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for count in self.counts {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The length of the header that begins with these bytes; `None` if none does.
    pub(super) fn length_at(bytes: &[u8]) -> Option<usize> {
        let length = usize::from(u16::from_le_bytes(*bytes.get(4..)?.first_chunk()?));
        (bytes.starts_with(&CHUNK_MARK) && HEADER_LEN_RANGE.contains(&length)).then_some(length)
    }

    /// The header in these bytes, which are as many as [`ChunkHeader::length_at`] says; `None` if it is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<ChunkHeader> {
        let (fields, crc) = bytes.split_last_chunk()?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut fields = Fields(fields);
        fields.take::<4>()?;
        let header_len = u16::from_le_bytes(fields.take()?);
        let [kind, flags, codec, ..] = fields.take::<6>()?;
        let header = ChunkHeader {
            kind: ChunkKind::from_number(kind),
            finality: if flags & 1 == 0 { Finality::Open } else { Finality::Last },
            codec: match codec {
                0 => Codec::Plain,
                1 => Codec::Zstd,
                other => Codec::Unknown(other),
            },
            header_len,
            stored_len: u32::from_le_bytes(fields.take()?),
            content_len: u32::from_le_bytes(fields.take()?),
            stored_crc: u32::from_le_bytes(fields.take()?),
            sequence: u64::from_le_bytes(fields.take()?),
            builds_on: u64::from_le_bytes(fields.take()?),
            position: u64::from_le_bytes(fields.take()?),
            first: MonoNs(u64::from_le_bytes(fields.take()?)),
            last: MonoNs(u64::from_le_bytes(fields.take()?)),
            counts: {
                let mut counts = [0; COUNTERS];
                for count in &mut counts {
                    *count = u32::from_le_bytes(fields.take()?);
                }
                counts
            },
        };
        let sane = header.stored_len as usize <= MAX_STORED && header.content_len as usize <= MAX_CONTENT;
        sane.then_some(header)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

/// The first bytes of a file. They are the same in every version to come.
pub fn preamble(major: u16, minor: u16) -> [u8; PREAMBLE_LEN] {
    let mut bytes = [0; PREAMBLE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&major.to_le_bytes());
    bytes[10..12].copy_from_slice(&minor.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a file's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preamble {
    Version { minor: u16 },
    Damaged,
}

impl Preamble {
    /// Reads the first bytes of a file: as many as there are, up to [`PREAMBLE_LEN`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Preamble, RecordingError> {
        if bytes.is_empty() {
            return Err(RecordingError::Empty);
        }
        if bytes.len() < PREAMBLE_LEN {
            let known = bytes.len().min(MAGIC.len());
            return if bytes[..known] == MAGIC[..known] { Ok(Preamble::Damaged) } else { Err(RecordingError::Foreign) };
        }
        if bytes[..8] != MAGIC {
            return Err(RecordingError::Foreign);
        }
        let major = u16::from_le_bytes([bytes[8], bytes[9]]);
        let minor = u16::from_le_bytes([bytes[10], bytes[11]]);
        if bytes != preamble(major, minor) || major == 0 {
            return Ok(Preamble::Damaged);
        }
        if major > MAJOR {
            return Err(RecordingError::NewerMajor { major, minor });
        }
        Ok(Preamble::Version { minor })
    }
}
