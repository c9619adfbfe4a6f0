//! A recording as text: what is in it, chunk by chunk and event by event, for whoever debugs the format.

use std::fmt::Write as _;
use std::io::{Read, Seek, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::error::RecordingError;
use super::events::{Item, Start};
use super::format::{ChunkKind, Codec, Finality, MAJOR};
use super::reader::{ChunkEntry, Reader};

/// Writes the recording as JSON lines: one for the file, one for each chunk and each event, one for each warning at the end.
///
/// Text from the target is made safe for a terminal: outside ASCII only letters and digits are left as they are.
///
/// # Errors
/// [`RecordingError::Io`] where the recording cannot be read or `out` not be written.
pub fn dump<R: Read + Seek>(reader: &mut Reader<R>, out: &mut dyn Write) -> Result<(), RecordingError> {
    line(out, &json!({"file": {"major": MAJOR, "minor": reader.minor()}}))?;
    let mut events = reader.events(Start::Beginning);
    let mut chunks_told = 0;
    loop {
        let position = events.position();
        let item = events.next().transpose()?;
        while chunks_told < events.chunks_entered() {
            line(out, &chunk(chunks_told, &events.reader().chunks()[chunks_told]))?;
            chunks_told += 1;
        }
        match item {
            None => break,
            Some(Item::Event(event)) => {
                // Events of unknown kinds are numbered too, so the number is the one just passed.
                let number = events.position().saturating_sub(1).max(position);
                line(out, &json!({"event": number, "at": event.at, "what": event.what}))?;
            }
            Some(Item::Resumed(resumed)) => {
                line(out, &json!({"resumed": resumed.position, "at": resumed.at, "lost": resumed.lost}))?;
                for event in &resumed.standing {
                    line(out, &json!({"standing": event.what, "at": event.at}))?;
                }
            }
        }
    }
    let unknown = events.unknown();
    if unknown > 0 {
        line(out, &json!({"unknown_events": unknown}))?;
    }
    for warning in reader.warnings() {
        line(out, &json!({"warning": warning.to_string()}))?;
    }
    Ok(())
}

fn chunk(number: usize, entry: &ChunkEntry) -> Value {
    let header = &entry.header;
    json!({"chunk": number, "kind": match header.kind {
            ChunkKind::Provenance => json!("provenance"),
            ChunkKind::Keyframe => json!("keyframe"),
            ChunkKind::Events => json!("events"),
            ChunkKind::Unknown(kind) => json!(kind),
        },
        "sequence": header.sequence, "builds_on": header.builds_on, "position": header.position,
        "first": header.first, "last": header.last, "counts": header.counts,
        "content_len": header.content_len,
        "codec": match header.codec {
            Codec::Plain => json!("plain"),
            Codec::Zstd => json!("zstd"),
            Codec::Unknown(codec) => json!(codec),
        },
        "final": header.finality == Finality::Last,
    })
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> Result<(), RecordingError> {
    let text =
        serde_json::to_string(value).map_err(|error| RecordingError::Io { doing: "dump", source: error.into() })?;
    writeln!(out, "{}", printable(&text)).map_err(RecordingError::io("dump"))
}

/// Escapes, as JSON does, whatever could do something to a terminal or deceive the eye.
fn printable(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_ascii() && !c.is_ascii_control()) || (!c.is_ascii() && c.is_alphanumeric()) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}
