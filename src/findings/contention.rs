//! Others compute with it: `convoy`, `gil-hog`, `saturated`.

use std::collections::BTreeMap;

use crate::event::ThreadKey;
use crate::findings::case::Case;
use crate::findings::thresholds::{
    CONTENTION_MATTERS, CONTENTION_NEGLIGIBLE, CONVOY_SLOWDOWN, HOG_OVER_SECOND, HOG_SHARE, LOAD_SATURATED,
    LOST_TIME_NEGLIGIBLE, SATURATED_DEMAND, SHARER,
};
use crate::findings::words::{percent, quoted, threads, times};
use crate::findings::{Figure, Finding, Name, Severity};
use crate::time::Ns;
use crate::units;

/// A shorter switch interval than this is no longer advised.
const SHORT_INTERVAL: Ns = Ns::from_millis(1);

/// What follows from who holds it and who waits. `found` is what is known of this and other GILs already.
pub(super) fn find(case: &Case<'_>, found: &[Finding]) -> Vec<Finding> {
    let convoy = convoy(case);
    let named = |key: ThreadKey| {
        let known = found.iter().chain(&convoy).filter(|finding| finding.severity > Severity::Info);
        known.into_iter().any(|finding| finding.culprit == Some(key))
    };
    let hog = hog(case);
    let saturated = if hog.is_none() { saturated(case) } else { None };
    // Whoever others are in a convoy behind, or who never lets go, is named there.
    let hog = hog.filter(|hog| hog.culprit.is_none_or(|culprit| !named(culprit)));
    convoy.into_iter().chain(hog).chain(saturated).collect()
}

/// All convoys of one thread together.
#[derive(Debug, Clone, Default)]
struct Victim {
    episodes: u64,
    waits: u64,
    lost: Ns,
    /// Time that was not lost meanwhile.
    rest: f64,
    culprits: BTreeMap<ThreadKey, f64>,
    switch_interval: Ns,
}

impl Victim {
    fn slowdown(&self) -> f64 {
        (self.rest + self.lost.0 as f64) / self.rest.max(1.0)
    }
}

fn convoy(case: &Case<'_>) -> Option<Finding> {
    let mut victims: BTreeMap<ThreadKey, Victim> = BTreeMap::new();
    for convoy in case.process.convoys.iter().flatten().filter(|convoy| convoy.gil == case.gil.key) {
        let victim = victims.entry(convoy.victim).or_default();
        victim.episodes += 1;
        victim.waits = victim.waits.saturating_add(convoy.waits);
        victim.lost += convoy.lost;
        victim.rest += convoy.lost.0 as f64 / (convoy.slowdown - 1.0).max(1e-9);
        victim.switch_interval = convoy.switch_interval;
        for culprit in &convoy.culprits {
            *victim.culprits.entry(culprit.thread).or_default() += culprit.share * convoy.lost.0 as f64;
        }
    }
    let counts =
        |victim: &Victim| victim.slowdown() >= CONVOY_SLOWDOWN && case.mean_in(victim.lost) >= LOST_TIME_NEGLIGIBLE;
    let (key, worst) = victims.iter().max_by(|(_, a), (_, b)| counts(a).cmp(&counts(b)).then(a.lost.cmp(&b.lost)))?;
    let thread = case.thread(*key)?;
    let lost = case.mean_in(worst.lost);
    let severity = match counts(worst) {
        true if lost >= CONTENTION_MATTERS => Severity::Problem,
        true => Severity::Warn,
        false => Severity::Info,
    };
    let others = victims.iter().filter(|(other, victim)| *other != key && counts(victim)).count();
    let (culprit, part) = worst.culprits.iter().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let by = case.thread(*culprit).map_or("another thread".to_owned(), quoted);
    let mean = Ns(worst.lost.0 / worst.waits.max(1));
    let counts_as_one = |part: &&f64| **part >= SHARER * worst.lost.0 as f64;
    let culprits = worst.culprits.values().filter(counts_as_one).count().max(1);
    let behind = match culprits {
        1 => by.clone(),
        n => format!("{by} and {} more", n - 1),
    };
    let mut message = format!(
        "{} lets go of the GIL for a moment, and then waits {mean} on average to get it back, {} times: behind {behind}, \
         which let go only when they are made to, after a switch interval of {}. Meanwhile it took {} as long.",
        quoted(thread),
        units::count(worst.waits),
        worst.switch_interval,
        times(worst.slowdown()),
    );
    if culprits == 1 {
        message = message.replace("which let go only when they are made to", "which lets go only when it is made to");
    }
    match others {
        0 => {}
        1 => message.push_str(" 1 more thread waits like that."),
        n => message.push_str(&format!(" {n} more threads wait like that.")),
    }
    let mut advice = format!(
        "Move what {by} computes to another process, or to code that releases the GIL. Fewer calls that release it (larger \
         reads and writes) mean fewer such waits."
    );
    if worst.switch_interval > SHORT_INTERVAL {
        advice.push_str(
            " sys.setswitchinterval(0.0005) makes each of them shorter; threads that compute then switch more often, which \
             costs them something.",
        );
    }
    let finding = Finding::new(Name::Convoy, severity, message, advice)
        .with("victim", Figure::Thread(*key))
        .with("culprit", Figure::Thread(*culprit))
        .with("culprit_share", Figure::Share((part / (worst.lost.0 as f64).max(1.0)).clamp(0.0, 1.0)))
        .with("culprits", Figure::Count(culprits as u64))
        .with("victims", Figure::Count(others as u64 + u64::from(severity > Severity::Info)))
        .with("episodes", Figure::Count(worst.episodes))
        .with("waits", Figure::Count(worst.waits))
        .with("mean_wait_ns", Figure::Time(mean))
        .with("lost_ns", Figure::Time(worst.lost))
        .with("lost_share", Figure::Share(lost.min(1.0)))
        .with("slowdown", Figure::Number(worst.slowdown()))
        .with("switch_interval_ns", Figure::Time(worst.switch_interval));
    Some(finding.on(case.gil.key).by(Some(*culprit)))
}

fn hog(case: &Case<'_>) -> Option<Finding> {
    let (top, share) = case.top_holder()?;
    let second = case.second_holder(top.key);
    let is_hog = share >= HOG_SHARE * case.load && share >= HOG_OVER_SECOND * second;
    if case.contention < CONTENTION_NEGLIGIBLE || !is_hog {
        return None;
    }
    // What it holds while others wait is not known by itself: it has most of the load, so it has most of that.
    let severity = if case.contention >= CONTENTION_MATTERS { Severity::Problem } else { Severity::Warn };
    let name = quoted(top);
    let message = format!(
        "{name} holds the GIL {} of the time, more than all others together, while others want it.",
        percent(share)
    );
    let advice = format!(
        "Find out what {name} computes (py-spy top --gil --pid {}), and move it to another process or to code that releases \
         the GIL.",
        case.process.target.pid.0
    );
    let finding = Finding::new(Name::GilHog, severity, message, advice)
        .with("holder", Figure::Thread(top.key))
        .with("held_share", Figure::Share(share.min(1.0)))
        .with("second_share", Figure::Share(second.min(1.0)))
        .with("contention", Figure::Share(case.contention))
        .with("mean_waiters", Figure::Number(case.waiters));
    Some(finding.on(case.gil.key).by(Some(top.key)))
}

fn saturated(case: &Case<'_>) -> Option<Finding> {
    let demand = case.load + case.waiters;
    if case.load < LOAD_SATURATED || case.contention < CONTENTION_MATTERS || demand < SATURATED_DEMAND {
        return None;
    }
    let holding =
        |key: &&&crate::model::snapshot::ThreadFigures| case.mean_in(key.states.holding()) >= SHARER * case.load;
    let sharers = case.threads.iter().filter(holding).count();
    let cores = case.process.cores_allowed().len();
    let bound = match cores {
        0 => demand,
        cores => demand.min(cores as f64),
    };
    let shared = match sharers {
        0 | 1 => "many threads that hold it for little each".to_owned(),
        n => format!("{n} threads"),
    };
    let message = format!(
        "{} want the GIL at once, on average, and only one can have it: it is held {} of the time, shared by {shared}.",
        threads(demand),
        percent(case.load)
    );
    let mut advice = "More threads cannot make this faster. More processes can, and a free-threaded Python (3.13t and \
                      later), and code that releases the GIL"
        .to_owned();
    if bound >= SATURATED_DEMAND {
        let cores = match cores {
            0 => String::new(),
            n => format!(" on the {n} cores that it may use"),
        };
        advice.push_str(&format!(": at most about {}{cores}", times(bound).replace(" times", " times as fast")));
    }
    advice.push('.');
    let finding = Finding::new(Name::Saturated, Severity::Problem, message, advice)
        .with("demand", Figure::Number(demand))
        .with("load", Figure::Share(case.load))
        .with("contention", Figure::Share(case.contention))
        .with("sharers", Figure::Count(sharers as u64))
        .with("speedup_bound", Figure::Number(bound));
    Some(finding.on(case.gil.key))
}
