//! The format's description tells the truth.

use gilscope::recording::format::{
    CHUNK_MARK, HEADER_LEN, HEADER_LEN_RANGE, MAGIC, MAJOR, MAX_CONTENT, MAX_STORED, MINOR, PREAMBLE_LEN, preamble,
};
use gilscope::recording::{
    CUT_AFTER, CUT_AT, Class, FLUSH_AFTER, KEYFRAME_AFTER, MAX_LIST, MAX_LIST_BYTES, MAX_NAMED, MAX_REMEMBERED,
    MAX_TEXT,
};

use crate::recording::stream::hurried;
use crate::recording::tools::chunks;

const TEXT: &str = include_str!("../../../src/recording/FORMAT.md");

/// `1234567` as `1,234,567`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap()).collect();
    groups.join(",")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn its_figures_are_those_of_the_code() {
    let millis = |ns: gilscope::time::Ns| grouped((ns.0 / 1_000_000) as usize);
    for said in [
        format!("This is the format, {MAJOR}.{MINOR};"),
        format!("The preamble has {PREAMBLE_LEN} bytes"),
        format!("magic: `{}`", hex(&MAGIC)),
        format!("mark: `{}`", hex(&CHUNK_MARK)),
        format!("A header of {HEADER_LEN} bytes"),
        format!("length of the header, {} to {};", HEADER_LEN_RANGE.start(), HEADER_LEN_RANGE.end()),
        format!("as stored, at most {} |", grouped(MAX_STORED)),
        format!("itself, at most {} |", grouped(MAX_CONTENT)),
        format!(
            "span {} ms, when {} ms have passed by the wall clock, or at {} bytes",
            millis(CUT_AFTER),
            FLUSH_AFTER.as_millis(),
            grouped(CUT_AT)
        ),
        format!("One comes every {} ms of\nevents", millis(KEYFRAME_AFTER)),
        format!("within {} ms", grouped(KEYFRAME_AFTER.0 as usize / 1_000_000 * 8)),
        format!("At most {MAX_NAMED} of each are named"),
        format!("most {} bytes) and UTF-8", grouped(MAX_TEXT)),
        format!("at most {} items and {} bytes", grouped(MAX_LIST), grouped(MAX_LIST_BYTES)),
        format!("At most {} threads", grouped(MAX_REMEMBERED)),
    ] {
        assert!(TEXT.contains(&said), "FORMAT.md does not say: {said}");
    }
}

#[test]
fn every_kind_is_named_with_its_number() {
    let kinds = TEXT.split("\nKinds: ").nth(1).unwrap().split(". A body").next().unwrap().replace('\n', " ");
    let source = include_str!("../../../src/recording/kinds.rs");
    let mut named = 0;
    for line in source.lines().filter(|line| line.contains(" => ") && line.ends_with("};")) {
        let (number, rest) = line.trim().split_once(" => ").unwrap();
        let kind = rest.split_whitespace().next().unwrap();
        assert!(format!(" {kinds},").contains(&format!(" {number} {kind},")), "{number} {kind} is not in: {kinds}");
        named += 1;
    }
    assert_eq!(named, kinds.split(", ").count());
    assert_eq!(Class::ALL.map(Class::slot), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_header_lies_as_it_is_described() {
    let made = chunks(&hurried(1, 50));
    let chunk = made.iter().find(|chunk| chunk.observed() > 0).unwrap();
    let (bytes, header) = (chunk.bytes(), chunk.header());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!(bytes[..4], CHUNK_MARK);
    assert_eq!(usize::from(u16::from_le_bytes([bytes[4], bytes[5]])), HEADER_LEN);
    assert_eq!(bytes[6], header.kind.number());
    assert_eq!(bytes[9..12], [0; 3]);
    assert_eq!(u32_at(12), header.stored_len);
    assert_eq!(u32_at(16), header.content_len);
    assert_eq!(u32_at(20), crc32fast::hash(&bytes[HEADER_LEN..]));
    assert_eq!((u64_at(24), u64_at(32), u64_at(40)), (header.sequence, header.builds_on, header.position));
    assert_eq!((u64_at(48), u64_at(56)), (header.first.0, header.last.0));
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|n| u32_at(64 + 4 * n)), header.counts);
    assert_eq!(u32_at(HEADER_LEN - 4), crc32fast::hash(&bytes[..HEADER_LEN - 4]));
    assert_eq!(bytes.len(), HEADER_LEN + header.stored_len as usize);
    let first = preamble(MAJOR, MINOR);
    assert_eq!((&first[..8], first.len()), (&MAGIC[..], PREAMBLE_LEN));
    assert_eq!(u32::from_le_bytes(first[12..16].try_into().unwrap()), crc32fast::hash(&first[..12]));
}
