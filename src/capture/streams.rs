//! What several instruments tell, put into one stream in the order of time. Pure.

use std::collections::BTreeMap;

use crate::event::{Ending, Event, ProcessKey, What};
use crate::time::MonoNs;

/// Events that may wait for a source that is behind. Beyond it nobody waits for that one any more.
const MOST_WAITING: usize = 1_000_000;

/// One of those that tell.
pub(super) type Source = u32;

/// What is told.
#[derive(Debug)]
pub(super) enum Told {
    /// A source is there, which tells of nothing before this instant.
    Begins(Source, MonoNs),
    /// Events of a source in the order of time, and up to when it has told everything.
    Events(Source, Vec<Event>, MonoNs),
    /// A source is over.
    Ends(Source),
    /// Events of nobody whom others would have to wait for.
    Aside(Vec<Event>),
}

/// What was told, until nothing earlier can come any more.
#[derive(Debug, Default)]
pub(super) struct Streams {
    sources: BTreeMap<Source, Waiting>,
    /// What is of no source that is still there.
    rest: Vec<Event>,
    released: MonoNs,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Event>,
    until: MonoNs,
    /// The newest process that it has told of.
    process: Option<ProcessKey>,
}

impl Streams {
    /// Takes what is told.
    pub fn take(&mut self, told: Told) {
        match told {
            Told::Begins(source, from) => {
                self.sources.insert(source, Waiting { until: from, ..Waiting::default() });
            }
            Told::Events(source, events, until) => {
                // One that nobody waits for any more.
                let Some(waiting) = self.sources.get_mut(&source) else { return };
                let found = events.iter().rev().find_map(|event| match event.what {
                    What::ProcessFound { process, .. } => Some(process),
                    _ => None,
                });
                waiting.process = found.or(waiting.process);
                waiting.events.extend(events);
                waiting.until = waiting.until.max(until);
            }
            Told::Ends(source) => {
                self.rest.extend(self.sources.remove(&source).into_iter().flat_map(|waiting| waiting.events));
            }
            Told::Aside(events) => self.rest.extend(events),
        }
    }

    /// All that nothing earlier can come before, in the order of time.
    pub fn release(&mut self) -> Vec<Event> {
        let waiting: usize = self.sources.values().map(|source| source.events.len()).sum();
        if waiting > MOST_WAITING {
            self.leave_the_last_behind();
        }
        let until = self.sources.values().map(|source| source.until).min().unwrap_or(MonoNs(u64::MAX));
        let mut ready: Vec<Event> = Vec::new();
        for source in self.sources.values_mut() {
            let behind = source.events.partition_point(|event| event.at <= until);
            ready.extend(source.events.drain(..behind));
        }
        let (due, later) = std::mem::take(&mut self.rest).into_iter().partition(|event| event.at <= until);
        self.rest = later;
        let due: Vec<Event> = due;
        ready.extend(due);
        for event in &mut ready {
            event.at = event.at.max(self.released);
        }
        // Stable: what a source has told of one instant stays together.
        ready.sort_by_key(|event| event.at);
        self.released = ready.last().map_or(self.released, |last| last.at);
        ready
    }

    /// Nobody will tell anything more.
    pub fn finish(&mut self) -> Vec<Event> {
        for source in std::mem::take(&mut self.sources).into_values() {
            self.rest.extend(source.events);
        }
        self.release()
    }

    /// Its times can no longer be put in order: from here on it is not listened to.
    fn leave_the_last_behind(&mut self) {
        let last = self.sources.iter().min_by_key(|(_, waiting)| waiting.until).map(|(source, _)| *source);
        let Some(waiting) = last.and_then(|last| self.sources.remove(&last)) else { return };
        let at = waiting.until;
        self.rest.extend(waiting.events);
        if let Some(process) = waiting.process {
            let reason = "gilscope could not look at it for too long".to_owned();
            self.rest.push(Event { at, what: What::ProcessEnded { process, ending: Ending::LostSight { reason } } });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(at: &[u64]) -> Vec<Event> {
        at.iter().map(|at| Event { at: MonoNs(*at), what: What::Marked { instant: MonoNs(*at) } }).collect()
    }

    fn times(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.at.0).collect()
    }

    #[test]
    fn nothing_is_let_go_of_before_all_have_told_what_came_earlier() {
        let mut streams = Streams::default();
        streams.take(Told::Aside(marks(&[1])));
        assert_eq!(times(&streams.release()), [1], "nobody is there yet");
        streams.take(Told::Begins(1, MonoNs(10)));
        streams.take(Told::Begins(2, MonoNs(15)));
        streams.take(Told::Events(1, marks(&[12, 20, 30]), MonoNs(30)));
        assert_eq!(times(&streams.release()), [12]);
        streams.take(Told::Events(2, marks(&[16, 25]), MonoNs(26)));
        streams.take(Told::Aside(marks(&[24])));
        assert_eq!(times(&streams.release()), [16, 20, 24, 25]);
        streams.take(Told::Ends(2));
        assert_eq!(times(&streams.release()), [30]);
        streams.take(Told::Aside(marks(&[29, 40])));
        assert_eq!(times(&streams.release()), [30], "too late for its place; what is to come waits");
        streams.take(Told::Events(1, marks(&[35]), MonoNs(36)));
        assert_eq!(times(&streams.finish()), [35, 40]);
    }

    #[test]
    fn one_that_never_comes_is_not_waited_for_without_end() {
        let mut streams = Streams::default();
        streams.take(Told::Begins(1, MonoNs(0)));
        streams.take(Told::Begins(2, MonoNs(0)));
        streams.take(Told::Events(1, marks(&vec![7; MOST_WAITING + 1]), MonoNs(8)));
        assert_eq!(streams.release().len(), MOST_WAITING + 1);
        streams.take(Told::Events(2, marks(&[3]), MonoNs(9)));
        assert!(streams.release().is_empty(), "its time has passed");
    }
}
