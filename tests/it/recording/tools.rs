//! Ways to make recordings in memory, and to take them apart.

use std::io::{Read, Seek};

use gilscope::event::Event;
use gilscope::recording::format::{ChunkHeader, MAJOR, MINOR, preamble};
use gilscope::recording::{Chunk, Cut, Encoder, Item, Reader, Resumed, Start};

/// The chunks an encoder makes of the events, ended in order.
pub fn chunks(events: &[Event]) -> Vec<Chunk> {
    let mut encoder = Encoder::new().unwrap();
    for event in events {
        encoder.push(event).unwrap();
    }
    encoder.cut(Cut::End).unwrap();
    encoder.take_chunks()
}

/// A whole recording.
pub fn recording(events: &[Event]) -> Vec<u8> {
    file_of(&chunks(events))
}

/// A recording of these chunks.
pub fn file_of(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = preamble(MAJOR, MINOR).to_vec();
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
    bytes
}

/// A chunk as it lies in a file, with a header of one's own choice; lengths and CRC are made right.
pub fn chunk_of(mut header: ChunkHeader, stored: &[u8]) -> Vec<u8> {
    header.stored_len = stored.len() as u32;
    header.stored_crc = crc32fast::hash(stored);
    let mut bytes = header.to_bytes();
    bytes.extend_from_slice(stored);
    bytes
}

/// The events alone, from `start` on.
pub fn events_from<R: Read + Seek>(reader: &mut Reader<R>, start: Start) -> Vec<Event> {
    reader.events(start).map(Result::unwrap).filter_map(Item::into_event).collect()
}

/// All events.
pub fn events<R: Read + Seek>(reader: &mut Reader<R>) -> Vec<Event> {
    events_from(reader, Start::Beginning)
}

/// What decoding resumed with.
pub fn resumed<R: Read + Seek>(reader: &mut Reader<R>, start: Start) -> Vec<Resumed> {
    reader
        .events(start)
        .map(Result::unwrap)
        .filter_map(|item| match item {
            Item::Resumed(resumed) => Some(*resumed),
            Item::Event(_) => None,
        })
        .collect()
}
