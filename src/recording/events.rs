//! The events of a recording, decoded one by one.

use std::io::{Read, Seek};

use super::compact::{Record, take_record};
use super::encoder::MAX_RESTATED;
use super::error::{RecordingError, Warning};
use super::format::{ChunkHeader, ChunkKind};
use super::predict::Prediction;
use super::reader::{ChunkEntry, ContentError, Reader};
use super::wire::Input;
use crate::event::Event;
use crate::time::MonoNs;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the recording's first event.
    Beginning,
    /// At the n-th of [`Reader::keyframes`]; behind the last one there is nothing.
    Keyframe(usize),
    /// At the last keyframe before this time: every event of this time or later comes, and some earlier ones,
    /// with which the state at this time is made from what the keyframe restates.
    Time(MonoNs),
    /// At the event with this number: for one who knows the state there.
    Event(u64),
}

/// What decoding yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// An event.
    Event(Event),
    /// Decoding has begun at a keyframe: because it was asked to, because the recording begins with one, or
    /// because what lies before it is damaged.
    Resumed(Box<Resumed>),
}

impl Item {
    /// The event, if it is one.
    pub fn into_event(self) -> Option<Event> {
        match self {
            Item::Event(event) => Some(event),
            Item::Resumed(_) => None,
        }
    }
}

/// The state at a keyframe.
#[derive(Debug, Clone, PartialEq)]
pub struct Resumed {
    /// The time of the last event before it.
    pub at: MonoNs,
    /// Number of events the recorder saw before it.
    pub position: u64,
    /// How many of these are lost to damage just before. Where it is not 0, forget what was in force: it is all in `standing`.
    pub lost: u64,
    /// The definitions and observations in force, each as the event that last said so, with that event's own time.
    pub standing: Vec<Event>,
}

/// The events of a recording from some place on. Ends for good after an error.
pub struct Events<'r, R> {
    reader: &'r mut Reader<R>,
    decoder: Decoder,
}

/// How far a recording is decoded. It goes with one reader, which every step is given anew.
pub(super) struct Decoder {
    next_chunk: usize,
    sync: Option<Sync>,
    position: u64,
    silent_until: u64,
    content: Vec<u8>,
    cursor: usize,
    chunk: Option<ChunkEntry>,
    unknown: u64,
    ended: bool,
}

/// What is needed to decode on: lost when something between was damaged.
struct Sync {
    prediction: Prediction,
    builds_on: u64,
}

impl<R> std::fmt::Debug for Events<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("position", &self.decoder.position).finish_non_exhaustive()
    }
}

impl<'r, R: Read + Seek> Events<'r, R> {
    pub(super) fn new(reader: &'r mut Reader<R>, start: Start) -> Events<'r, R> {
        let decoder = Decoder::new(reader, start);
        Events { reader, decoder }
    }

    /// Number of the next event.
    pub fn position(&self) -> u64 {
        self.decoder.position
    }

    /// How many events so far were of a kind, or had a value, that only a newer gilscope knows. They are skipped.
    pub fn unknown(&self) -> u64 {
        self.decoder.unknown
    }

    /// How many of [`Reader::chunks`] have been entered.
    pub fn chunks_entered(&self) -> usize {
        self.decoder.next_chunk
    }

    /// The recording these events are of.
    pub fn reader(&self) -> &Reader<R> {
        self.reader
    }
}

impl<R: Read + Seek> Iterator for Events<'_, R> {
    type Item = Result<Item, RecordingError>;

    fn next(&mut self) -> Option<Result<Item, RecordingError>> {
        self.decoder.next(self.reader)
    }
}

impl Decoder {
    pub(super) fn new<R: Read + Seek>(reader: &Reader<R>, start: Start) -> Decoder {
        let keyframes = reader.keyframes();
        let header = |keyframe: &usize| reader.chunks()[*keyframe].header;
        let keyframe = match start {
            Start::Beginning => None,
            Start::Keyframe(number) => Some(keyframes.get(number).copied().unwrap_or(reader.chunks().len())),
            Start::Time(at) => {
                keyframes.partition_point(|keyframe| header(keyframe).first < at).checked_sub(1).map(|n| keyframes[n])
            }
            Start::Event(position) => keyframes
                .partition_point(|keyframe| header(keyframe).position <= position)
                .checked_sub(1)
                .map(|n| keyframes[n]),
        };
        let position_of = |chunk: &ChunkEntry| chunk.header.position;
        let position = match keyframe {
            Some(chunk) => reader.chunks().get(chunk).map_or(0, position_of),
            None => {
                let first = reader.chunks().iter().find(|chunk| carries_events(&chunk.header));
                first.filter(|first| reader.is_whole_before(first.offset)).map_or(0, position_of)
            }
        };
        let from_the_start = keyframe.is_none() && position == 0;
        Decoder {
            next_chunk: keyframe.unwrap_or(0),
            sync: from_the_start.then(|| Sync { prediction: Prediction::new(), builds_on: 0 }),
            position,
            silent_until: if let Start::Event(wanted) = start { wanted } else { 0 },
            content: Vec::new(),
            cursor: 0,
            chunk: None,
            unknown: 0,
            ended: false,
        }
    }

    pub(super) fn next<R: Read + Seek>(&mut self, reader: &mut Reader<R>) -> Option<Result<Item, RecordingError>> {
        if self.ended {
            return None;
        }
        let step = self.step(reader);
        self.ended = !matches!(step, Ok(Some(_)));
        step.transpose()
    }

    /// Number of the next event.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    fn step<R: Read + Seek>(&mut self, reader: &mut Reader<R>) -> Result<Option<Item>, RecordingError> {
        loop {
            if let Some(chunk) = self.chunk {
                match self.next_in(reader, &chunk) {
                    Some(event) => return Ok(Some(Item::Event(event))),
                    None => continue,
                }
            }
            let Some(entry) = reader.chunks().get(self.next_chunk).copied() else {
                self.report_lost_end(reader);
                return Ok(None);
            };
            self.next_chunk += 1;
            let resumed = match entry.header.kind {
                ChunkKind::Events => {
                    self.enter(reader, entry)?;
                    None
                }
                ChunkKind::Keyframe => self.pass_keyframe(reader, &entry)?,
                ChunkKind::Provenance | ChunkKind::Unknown(_) => None,
            };
            if let Some(resumed) = resumed {
                return Ok(Some(Item::Resumed(Box::new(resumed))));
            }
        }
    }

    /// The next event of the chunk that is being decoded; `None` where it has no more to tell, or to be skipped.
    fn next_in<R: Read + Seek>(&mut self, reader: &mut Reader<R>, chunk: &ChunkEntry) -> Option<Event> {
        let Some(sync) = &mut self.sync else {
            self.chunk = None;
            return None;
        };
        let mut input = Input::new(&self.content[self.cursor..]);
        let record = take_record(&mut input, &mut sync.prediction);
        self.cursor = self.content.len() - input.left();
        match record {
            Ok(Some(Record::Event(event))) => {
                self.position = self.position.saturating_add(1);
                (self.position > self.silent_until).then_some(event)
            }
            Ok(Some(Record::Unknown)) => {
                self.position = self.position.saturating_add(1);
                self.unknown += 1;
                None
            }
            Ok(None) if self.position == end_of(&chunk.header) => {
                self.chunk = None;
                None
            }
            Ok(None) | Err(_) => {
                self.chunk = None;
                self.damaged(reader, chunk);
                None
            }
        }
    }

    fn enter<R: Read + Seek>(&mut self, reader: &mut Reader<R>, entry: ChunkEntry) -> Result<(), RecordingError> {
        let header = &entry.header;
        let fits = self.sync.as_ref().is_some_and(|sync| sync.builds_on == header.builds_on)
            && self.position == header.position;
        if !fits {
            self.sync = None;
            return Ok(());
        }
        if self.load(reader, &entry)?
            && let Some(sync) = &mut self.sync
            && let Some(base) = base_of(&self.content)
        {
            sync.prediction.begin_chunk(base);
            self.cursor = BASE_LEN;
            self.chunk = Some(entry);
        } else {
            self.damaged(reader, &entry);
        }
        Ok(())
    }

    /// Makes what the keyframe restates the base of what follows.
    fn pass_keyframe<R: Read + Seek>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &ChunkEntry,
    ) -> Result<Option<Resumed>, RecordingError> {
        let header = &entry.header;
        let in_step = self.sync.is_some() && self.position == header.position;
        // Behind what was decoded already: a copy, or a file put together by hand.
        if self.sync.is_some() && self.position > header.position {
            return Ok(None);
        }
        let seeking = self.silent_until > 0 && header.position <= self.silent_until;
        if !self.load(reader, entry)? {
            self.damaged(reader, entry);
            return Ok(None);
        }
        let Some((sync, standing, unknown)) = restate(header, &self.content) else {
            self.damaged(reader, entry);
            return Ok(None);
        };
        self.sync = Some(sync);
        self.unknown += unknown;
        if in_step {
            return Ok(None);
        }
        let unreadable = header.position.saturating_sub(self.position);
        if unreadable > 0 {
            reader.warn(Warning::Unreadable { position: self.position, events: unreadable });
        }
        let lost = header.position.saturating_sub(self.position.max(self.silent_until));
        self.position = header.position;
        let resumed = Resumed { at: header.first, position: header.position, lost, standing };
        Ok((!seeking).then_some(resumed))
    }

    fn load<R: Read + Seek>(&mut self, reader: &mut Reader<R>, entry: &ChunkEntry) -> Result<bool, RecordingError> {
        match reader.content(entry, &mut self.content) {
            Ok(()) => Ok(true),
            Err(ContentError::Damaged) => Ok(false),
            Err(ContentError::Failed(error)) => Err(error),
        }
    }

    fn damaged<R: Read + Seek>(&mut self, reader: &mut Reader<R>, entry: &ChunkEntry) {
        self.sync = None;
        reader.warn(Warning::DamagedChunk { offset: entry.offset, sequence: entry.header.sequence });
    }

    fn report_lost_end<R: Read + Seek>(&mut self, reader: &mut Reader<R>) {
        let chunks = reader.chunks().iter().filter(|chunk| carries_events(&chunk.header));
        let end = chunks.map(|chunk| match chunk.header.kind {
            ChunkKind::Events => end_of(&chunk.header),
            _ => chunk.header.position,
        });
        let events = end.max().unwrap_or(0).saturating_sub(self.position);
        if self.sync.is_none() && events > 0 {
            reader.warn(Warning::Unreadable { position: self.position, events });
        }
    }
}

/// A chunk's content begins with the time its times count from.
const BASE_LEN: usize = 8;

fn base_of(content: &[u8]) -> Option<MonoNs> {
    content.first_chunk().map(|base| MonoNs(u64::from_le_bytes(*base)))
}

fn carries_events(header: &ChunkHeader) -> bool {
    matches!(header.kind, ChunkKind::Events | ChunkKind::Keyframe)
}

fn end_of(header: &ChunkHeader) -> u64 {
    header.position.saturating_add(header.events())
}

/// Decodes a keyframe's content from nothing; also how many events in it are unknown.
fn restate(header: &ChunkHeader, content: &[u8]) -> Option<(Sync, Vec<Event>, u64)> {
    let mut prediction = Prediction::new();
    let mut standing = Vec::new();
    let mut unknown = 0;
    prediction.begin_chunk(base_of(content)?);
    let mut input = Input::new(&content[BASE_LEN..]);
    while let Some(record) = take_record(&mut input, &mut prediction).ok()? {
        match record {
            Record::Event(event) => standing.push(event),
            Record::Unknown => unknown += 1,
        }
        if standing.len() > MAX_RESTATED {
            return None;
        }
    }
    Some((Sync { prediction, builds_on: header.sequence }, standing, unknown))
}
