//! The guardian: a process of its own that puts back what was there as soon as the one that changed it is gone.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use crate::affinity::restore::Kept;
use crate::affinity::set::CpuSet;

/// What the guardian is told, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// What was there. Comes first.
    Kept(Kept),
    /// What is about to be set.
    Applying(CpuSet),
}

/// Says that it has understood, after the first line.
pub(super) const READY: &str = "ready";

/// Waits until `told` ends, then puts back what was there, and says to `answer` what came of it.
///
/// # Errors
/// If it is told nothing that it understands: then nothing was changed either.
pub fn guard(told: impl Read, mut answer: impl Write) -> io::Result<()> {
    let mut lines = BufReader::new(told).lines();
    let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
    let Told::Kept(kept) = serde_json::from_str(&first)? else { return Err(io::ErrorKind::InvalidData.into()) };
    writeln!(answer, "{READY}").and_then(|()| answer.flush())?;
    let mut applied: Vec<CpuSet> = Vec::new();
    // A line that is cut off is one that was not acted on.
    for line in lines.map_while(Result::ok) {
        if let Ok(Told::Applying(set)) = serde_json::from_str(&line)
            && !applied.contains(&set)
        {
            applied.push(set);
        }
    }
    let restored = kept.restore(&applied);
    // Whoever was to hear it may be gone.
    let _gone = serde_json::to_string(&restored).map(|said| writeln!(answer, "{said}").and_then(|()| answer.flush()));
    Ok(())
}
