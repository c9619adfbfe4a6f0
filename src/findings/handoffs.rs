//! The handoffs themselves: `handoff-storm`, `cross-core-bounce`.

use crate::findings::case::Case;
use crate::findings::thresholds::{
    BOUNCES, BOUNCES_MATTER, BOUNCES_SHARE, CONTENTION_NEGLIGIBLE, CRIPPLED, HANDOFF_COST, HANDOFFS_COST,
};
use crate::findings::words::{percent, threads_are};
use crate::findings::{Figure, Finding, Name, Severity};
use crate::time::Ns;
use crate::units;

/// The default switch interval.
const DEFAULT_INTERVAL: Ns = Ns::from_millis(5);

/// What follows from how often, and to where, it is handed over.
pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    storm(case).into_iter().chain(bounce(case)).collect()
}

fn per_second(case: &Case<'_>, count: u64) -> f64 {
    count as f64 / case.gil.observed.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn storm(case: &Case<'_>) -> Option<Finding> {
    let rate = per_second(case, case.gil.handoffs);
    let cost = rate * HANDOFF_COST.as_secs_f64();
    if cost < HANDOFFS_COST || case.contention < CONTENTION_NEGLIGIBLE {
        return None;
    }
    let hold = Ns((case.gil.observed.0 as f64 * case.load / case.gil.handoffs.max(1) as f64) as u64);
    let message = format!(
        "The GIL goes to another thread {}, after {hold} on average. At about {HANDOFF_COST} each, handing it over takes {} \
         of the time.",
        units::rate(rate),
        percent(cost.min(1.0))
    );
    let mut advice =
        "Do more between two calls that release the GIL: larger reads and writes, batches, one lock for several \
                      steps; or let fewer threads do it."
            .to_owned();
    if case.gil.switch_interval < DEFAULT_INTERVAL {
        advice.push_str(&format!(
            " The switch interval is {}: a longer one means fewer forced handoffs.",
            case.gil.switch_interval
        ));
    }
    let finding = Finding::new(Name::HandoffStorm, Severity::Warn, message, advice)
        .with("handoffs_per_second", Figure::Number(rate))
        .with("mean_hold_ns", Figure::Time(hold))
        .with("handoff_cost_ns", Figure::Time(HANDOFF_COST))
        .with("cost_share", Figure::Share(cost.min(1.0)))
        .with("switch_interval_ns", Figure::Time(case.gil.switch_interval));
    Some(finding.on(case.gil.key))
}

fn bounce(case: &Case<'_>) -> Option<Finding> {
    let crossed = case.gil.cross_core_handoffs?;
    let rate = per_second(case, crossed);
    let share = crossed as f64 / case.gil.handoffs.max(1) as f64;
    if rate < BOUNCES || share < BOUNCES_SHARE {
        return None;
    }
    let native = case.mean_in(case.states.native);
    let severity = if rate >= BOUNCES_MATTER { Severity::Warn } else { Severity::Info };
    let message = format!(
        "The GIL goes to another core {}, with {} of its handoffs. On average {} on a core without it.",
        units::rate(rate),
        percent(share.min(1.0)),
        threads_are(native)
    );
    let advice = match native >= CRIPPLED {
        true => {
            "Do not pin the process to one core: what runs without the GIL would then have to wait for that core. Pinning only \
             the threads that share the GIL (os.sched_setaffinity with their thread ids) may help; measure both ways."
        }
        false => {
            "Pinning the process to one core (taskset -pc 0 PID) ends that, and hardly anything runs without the GIL that it \
             would slow down; it may help or not: measure both ways."
        }
    };
    let finding = Finding::new(Name::CrossCoreBounce, severity, message, advice)
        .with("cross_core_per_second", Figure::Number(rate))
        .with("cross_core_share", Figure::Share(share.min(1.0)))
        .with("mean_native", Figure::Number(native));
    Some(finding.on(case.gil.key))
}
