//! What a process has in memory, as far as that was read.

use crate::event::Footprint;
use crate::time::MonoNs;

/// What a process has in memory (PSS), alone and with all that it has started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryFigures {
    /// Its own.
    pub own: MemoryReadings,
    /// Of it and its descendants together.
    pub tree: MemoryReadings,
}

/// What the readings of it came to. Between two of them it may have been more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReadings {
    /// How many came to something.
    pub count: u64,
    /// The most, in bytes, and when it was read.
    pub peak: Option<(u64, MonoNs)>,
    /// The newest, in bytes, and when it was read.
    pub last: Option<(u64, MonoNs)>,
    /// Of how many processes there were most at a time.
    pub processes: u32,
    /// What came of the newest, if that is not known.
    pub missing: Option<Footprint>,
}

impl MemoryFigures {
    /// One more.
    pub(in crate::model) fn read(&mut self, at: MonoNs, own: Footprint, tree: Footprint) {
        self.own.read(at, own);
        self.tree.read(at, tree);
    }
}

impl MemoryReadings {
    fn read(&mut self, at: MonoNs, footprint: Footprint) {
        let Footprint::Known { pss, processes } = footprint else {
            self.missing = Some(footprint);
            return;
        };
        self.missing = None;
        self.count += 1;
        self.last = Some((pss, at));
        self.processes = self.processes.max(processes);
        if self.peak.is_none_or(|(peak, _)| pss > peak) {
            self.peak = self.last;
        }
    }
}
