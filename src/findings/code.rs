//! In which code a culprit holds the GIL: the Python function that it was seen in while others waited behind it, and the
//! native code that it was seen in during its long holds.

use std::collections::BTreeMap;

use crate::event::{NativeKind, ThreadKey, file_name};
use crate::findings::figures;
use crate::findings::thresholds::{NAMED, NAMING_SAMPLES};
use crate::findings::words::percent;
use crate::findings::{Finding, Name};
use crate::model::snapshot::{Basis, Blamed, LongHold, ProcessFigures};
use crate::time::Ns;
use crate::units;

/// Columns that a name may take in a sentence.
const WIDTH: usize = 60;

/// Most of a culprit's time, in one piece of code.
struct Most {
    code: String,
    share: f64,
}

/// Names the code in those findings whose culprit's code is what has to be changed.
pub(super) fn name(process: &ProcessFigures, list: &mut [Finding]) {
    for finding in list {
        let Some(culprit) = finding.culprit else { continue };
        if !matches!(finding.name, Name::NeverReleases | Name::GilHog | Name::Convoy) {
            continue;
        }
        let function = function(process, culprit);
        let native = native(process, finding, culprit);
        if let Some(Most { code, share }) = &native {
            let told = format!(" {} of its long holds are in {}.", percent(*share), units::printable(code, WIDTH));
            finding.message.push_str(&told);
        }
        if let Some(Most { code, share }) = &function {
            let told = format!(
                " For {} of the time that others wait for it, it is in {}.",
                percent(*share),
                units::printable(code, WIDTH)
            );
            finding.message.push_str(&told);
        }
        finding.function = function.map(|most| most.code);
        finding.native = native.map(|most| most.code);
    }
}

/// The innermost Python function, by the samples at random instants while others waited for the culprit.
fn function(process: &ProcessFigures, culprit: ThreadKey) -> Option<Most> {
    let pairs = process.blame.pairs.iter().filter(|pair| pair.holder == Blamed::Thread(culprit));
    let mut functions: BTreeMap<(&str, &str), (Ns, u32)> = BTreeMap::new();
    let mut all = Ns::ZERO;
    for share in pairs.flat_map(|pair| &pair.shares) {
        all += share.time;
        let frame = share.stack.first().filter(|_| share.basis == Basis::Random);
        if let Some(frame) = frame {
            let sum = functions.entry((&frame.file, &frame.function)).or_default();
            *sum = (sum.0 + share.time, sum.1.saturating_add(share.samples));
        }
    }
    let ((file, function), (time, samples)) = functions.into_iter().max_by_key(|(_, (time, _))| *time)?;
    let share = time.share_of(all).filter(|share| *share >= NAMED && samples >= NAMING_SAMPLES)?;
    Some(Most { code: format!("{}:{function}", file_name(file)), share })
}

/// The native code, but for the interpreter's own, which holds the GIL whenever Python runs.
fn native(process: &ProcessFigures, finding: &Finding, culprit: ThreadKey) -> Option<Most> {
    let gils = figures::gils(process);
    let gil = gils.iter().find(|shared| finding.gil == Some(shared.gil.key))?;
    let its = || gil.gil.long_holds.iter().filter(|hold| hold.thread == culprit);
    let all: Ns = its().map(|hold| hold.held).sum();
    let is_named = |hold: &&LongHold| hold.native.as_ref().is_some_and(|it| it.kind != NativeKind::Interpreter);
    let most = its().filter(is_named).max_by_key(|hold| hold.held)?;
    let share = most.held.share_of(all).filter(|share| *share >= NAMED)?;
    Some(Most { code: most.native.as_ref()?.place.to_string(), share })
}
