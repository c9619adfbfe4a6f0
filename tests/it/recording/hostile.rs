//! Files made to harm: what they claim is compared with what there is before anything is done for it.

use gilscope::event::{Event, What};
use gilscope::recording::format::{
    ChunkHeader, ChunkKind, Codec, Finality, HEADER_LEN, MAJOR, MAX_CONTENT, MINOR, PREAMBLE_LEN, preamble,
};
use gilscope::recording::{Reader, RecordingError, Start, Warning};
use gilscope::time::MonoNs;

use crate::recording::stream::{Stream, hurried};
use crate::recording::tools::{chunk_of, chunks, events, events_from, file_of, recording};

fn refusal(bytes: &[u8]) -> RecordingError {
    Reader::from_bytes(bytes.to_vec()).err().unwrap_or_else(|| panic!("{} bytes were accepted", bytes.len()))
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    assert!(matches!(refusal(b""), RecordingError::Empty));
    for foreign in [&b"hello, world"[..], b"\x7fELF\x02\x01\x01", b"{}", &[0; 4096], &preamble(MAJOR, MINOR)[1..]] {
        assert!(matches!(refusal(foreign), RecordingError::Foreign));
    }
    let newer = refusal(&preamble(MAJOR + 1, 3));
    assert!(matches!(newer, RecordingError::NewerMajor { major: 2, minor: 3 }));
    let said = newer.to_string();
    assert!(said.contains("format 2.3") && said.contains("Get gilscope"), "{said}");
    assert!(refusal(b"").to_string().contains("gilscope record"));
    assert!(refusal(b"x").to_string().contains("gilscope record"));
}

#[test]
fn a_newer_minor_is_read_and_an_unknown_chunk_skipped() {
    let all = hurried(3, 300);
    let made = chunks(&all);
    let mut bytes = preamble(MAJOR, MINOR + 7).to_vec();
    for chunk in &made {
        bytes.extend(chunk_of(ChunkHeader { kind: ChunkKind::Unknown(200), ..*chunk.header() }, b"something new"));
        bytes.extend_from_slice(chunk.bytes());
    }
    let mut reader = Reader::from_bytes(bytes).unwrap();
    assert_eq!(reader.minor(), MINOR + 7);
    assert_eq!(events(&mut reader), all);
    assert_eq!(reader.warnings(), [Warning::UnknownChunks { chunks: made.len() as u64 }]);
}

#[test]
fn a_longer_header_is_read() {
    let all = hurried(3, 300);
    let mut bytes = preamble(MAJOR, MINOR + 1).to_vec();
    for chunk in chunks(&all) {
        let header = chunk.header().to_bytes();
        let mut longer = header[..HEADER_LEN - 4].to_vec();
        longer.extend_from_slice(&[0xa5; 20]);
        longer[4..6].copy_from_slice(&(HEADER_LEN as u16 + 20).to_le_bytes());
        let crc = crc32fast::hash(&longer);
        longer.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&longer);
        bytes.extend_from_slice(&chunk.bytes()[HEADER_LEN..]);
    }
    let mut reader = Reader::from_bytes(bytes).unwrap();
    assert_eq!(events(&mut reader), all);
    assert_eq!(reader.warnings(), []);
}

/// A recording whose only events are these bytes.
fn with_content(content: &[u8], count: u32) -> Vec<u8> {
    let header = ChunkHeader {
        kind: ChunkKind::Events,
        finality: Finality::Open,
        codec: Codec::Plain,
        header_len: HEADER_LEN as u16,
        stored_len: 0,
        content_len: content.len() as u32,
        stored_crc: 0,
        sequence: 0,
        builds_on: 0,
        position: 0,
        first: MonoNs(0),
        last: MonoNs(0),
        counts: [count, 0, 0, 0, 0, 0, 0, 0],
    };
    let mut bytes = preamble(MAJOR, MINOR).to_vec();
    bytes.extend(chunk_of(header, content));
    bytes
}

fn based(records: &[u8]) -> Vec<u8> {
    [&[0; 8], records].concat()
}

#[test]
fn an_event_of_a_kind_to_come_is_skipped_and_counted() {
    // Kind 127 with a body of two bytes, kind 300 with one of one, a short kind with four integers, and an ending.
    let records = [0x1f, 127, 2, 0xff, 0xff, 0x1f, 0xac, 2, 1, 0xff, 0x23, 1, 0x80, 1, 3, 4, 2, 0];
    let mut reader = Reader::from_bytes(with_content(&based(&records), 4)).unwrap();
    let mut decoded = reader.events(Start::Beginning);
    let read: Vec<_> = decoded.by_ref().map(|item| item.unwrap().into_event()).collect();
    assert_eq!(read, [Some(Event { at: MonoNs(0), what: What::CaptureEnded })]);
    assert_eq!(decoded.unknown(), 3);
    assert_eq!(reader.warnings(), []);
}

#[test]
fn a_known_kind_with_a_case_to_come_is_skipped_and_counted() {
    // SignalStepsBegin with step 9, SignalsKnown whose pending word is looked for in another way, MainProgress with sleep 77,
    // StackSampled for the cause 9, StacksMissing for the reason 9.
    let records = [0x1f, 34, 2, 0, 9, 0x1f, 31, 6, 0, 0, 12, 0, 0, 0, 0x1f, 40, 4, 0, 0, 77, 0, 2, 0];
    let stacks = [0x1f, 43, 5, 0, 0, 7, 0, 9, 0x1f, 44, 2, 0, 9];
    let records = [&stacks[..], &records].concat();
    let mut reader = Reader::from_bytes(with_content(&based(&records), 6)).unwrap();
    let mut decoded = reader.events(Start::Beginning);
    let read: Vec<_> = decoded.by_ref().map(|item| item.unwrap().into_event()).collect();
    assert_eq!(read, [Some(Event { at: MonoNs(0), what: What::CaptureEnded })]);
    assert_eq!(decoded.unknown(), 5);
    assert_eq!(reader.warnings(), []);
}

#[test]
fn counts_and_lengths_that_lie_are_damage() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let found = |cmdline: &[u8]| {
        // ProcessFound: key 0, pid 1, then the command line.
        let body = [&[0, 1], cmdline].concat();
        [&[3, body.len() as u8], body.as_slice()].concat()
    };
    let lies: Vec<Vec<u8>> = vec![
        // A body, a list and a text that are longer than all there is.
        [&[3][..], &huge].concat(),
        found(&huge),
        found(&[&[1][..], &huge].concat()),
        found(&[0xff, 0xff, 3]),
        // A number of more than 64 bits, and one that ends nowhere.
        [&[0x1f][..], &[0xff; 10]].concat(),
        vec![0x40, 0x80],
        // A text that is not UTF-8.
        found(&[1, 2, 0xc3, 0x28]),
        // A GIL's key, a holder and a core that do not fit.
        [&[0xa0][..], &huge].concat(),
        [&[0x81][..], &huge].concat(),
        vec![0x83, 2, 0xff, 0xff, 0xff, 0xff, 0xf],
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut reader = Reader::from_bytes(with_content(&based(lie), 1)).unwrap();
        assert_eq!(events(&mut reader), [], "lie {number}");
        assert!(matches!(reader.warnings()[0], Warning::DamagedChunk { .. }), "lie {number}: {:?}", reader.warnings());
    }
    // A signal with a number that there is not (SignalSent: process 0), and a set of more than 64.
    for (kind, field) in [(36, vec![0]), (36, vec![65]), (36, vec![0x80, 2]), (36, huge.to_vec())] {
        let body = [&[0], field.as_slice()].concat();
        let lie = [&[0x1f, kind, body.len() as u8], body.as_slice()].concat();
        let mut reader = Reader::from_bytes(with_content(&based(&lie), 1)).unwrap();
        assert_eq!(events(&mut reader), [], "{field:?}");
        assert!(matches!(reader.warnings()[0], Warning::DamagedChunk { .. }), "{field:?}");
    }
    let set = |last: u8| [&[0x1f, 33, 15, 0, 1][..], &[0xff; 9], &[last, 0, 0], &[0]].concat();
    let read = |lie: &[u8]| events(&mut Reader::from_bytes(with_content(&based(lie), 1)).unwrap()).len();
    assert_eq!([1, 2, 0x7f].map(|last| read(&set(last))), [1, 0, 0]);
    // More events than the header says, and fewer.
    for count in [0, 2, u32::MAX] {
        let mut reader = Reader::from_bytes(with_content(&based(&[2, 0]), count)).unwrap();
        assert!(events(&mut reader).len() <= 1);
        assert!(matches!(reader.warnings()[0], Warning::DamagedChunk { .. }), "{count} events");
    }
    // Without even the time that steps count from.
    for length in 0..8 {
        let mut reader = Reader::from_bytes(with_content(&vec![0; length], 1)).unwrap();
        assert_eq!(events(&mut reader), []);
        assert!(matches!(reader.warnings()[0], Warning::DamagedChunk { .. }));
    }
}

#[test]
fn headers_that_lie_about_lengths_allocate_nothing() {
    let all = hurried(3, 400);
    let made = chunks(&all);
    let place = made.iter().position(|chunk| chunk.observed() > 50).unwrap();
    let lies: [fn(&mut ChunkHeader); 5] = [
        |header| header.content_len = u32::MAX,
        |header| header.content_len = MAX_CONTENT as u32,
        |header| header.stored_len = u32::MAX,
        |header| header.content_len -= 1,
        |header| header.codec = Codec::Unknown(9),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut header = *made[place].header();
        lie(&mut header);
        let mut bytes = file_of(&made[..place]);
        // With a right CRC: it was made to deceive.
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(&made[place].bytes()[HEADER_LEN..]);
        made[place + 1..].iter().for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
        let mut reader = Reader::from_bytes(bytes).unwrap();
        let read = events(&mut reader);
        assert_eq!(read.last(), all.last(), "lie {number}: it goes on behind it");
        assert!(read.len() < all.len() && !reader.warnings().is_empty(), "lie {number}");
    }
}

#[test]
fn a_keyframe_that_restates_millions_is_refused() {
    // One byte each: a GIL sample as last time, sixteen million times.
    let content = [&[0; 8][..], &vec![0x80; MAX_CONTENT - 8]].concat();
    let stored = zstd::bulk::compress(&content, 3).unwrap();
    assert!(stored.len() < 10_000);
    let all = hurried(3, 400);
    let made = chunks(&all);
    let mut header = *made.iter().find(|chunk| chunk.header().kind == ChunkKind::Keyframe).unwrap().header();
    header.content_len = content.len() as u32;
    header.codec = Codec::Zstd;
    header.position = 0;
    let mut bytes = preamble(MAJOR, MINOR).to_vec();
    bytes.extend(chunk_of(header, &stored));
    bytes.extend_from_slice(&file_of(&made)[PREAMBLE_LEN..]);
    let mut reader = Reader::from_bytes(bytes).unwrap();
    let read = events(&mut reader);
    assert!(matches!(reader.warnings()[0], Warning::DamagedChunk { offset: 16, .. }), "{:?}", reader.warnings());
    assert_eq!(read.last(), all.last());
}

#[test]
fn noise_behind_a_good_beginning_is_got_over() {
    let mut random = fastrand::Rng::with_seed(23);
    let good = recording(&Stream::new(1, 4).take(2_000).collect::<Vec<_>>());
    for _ in 0..200 {
        let mut bytes = good[..random.usize(PREAMBLE_LEN..good.len())].to_vec();
        let noise = random.usize(1..5_000);
        bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(noise));
        // Now and then something that looks like a chunk.
        bytes.extend_from_slice(&good[PREAMBLE_LEN..random.usize(PREAMBLE_LEN..good.len())]);
        let mut reader = Reader::from_bytes(bytes).unwrap();
        for start in [
            Start::Beginning,
            Start::Keyframe(0),
            Start::Keyframe(99),
            Start::Time(MonoNs(u64::MAX)),
            Start::Event(777),
        ] {
            assert!(events_from(&mut reader, start).len() <= 4_000);
        }
    }
}
