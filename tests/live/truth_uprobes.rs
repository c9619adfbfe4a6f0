//! Two instruments that share nothing, the threads' own stamps and uprobes, have to tell the same story.

use std::thread;
use std::time::Duration;

use crate::support::alone;
use crate::support::pythons::pythons_with_gil;
use crate::support::scenario::Scenario;
use crate::support::truth::{Truth, percentile};
use crate::support::uprobe::Uprobes;

/// Runs a scenario under probes on every interpreter that allows it, and gives what both say to `check`.
fn under_probes(name: &str, arguments: &[&str], check: impl Fn(&str, &Truth, &Truth)) {
    let _alone = alone();
    for python in pythons_with_gil() {
        let Some(scenario) = Scenario::start(python, name, arguments) else { continue };
        match Uprobes::attach(scenario.pid()) {
            Err(why) => eprintln!("skipped {python}: {why}"),
            Ok(uprobes) => {
                thread::sleep(Duration::from_millis(800));
                let probed = uprobes.finish();
                check(&python.to_string(), &probed, &scenario.stop());
            }
        }
    }
}

#[test]
fn uprobes_and_stamps_agree_on_every_take() {
    under_probes("convoy", &["1"], |python, probed, stamped| {
        let window = probed.complete.clone();
        let (probed_figures, figures) = (probed.within(window.clone()), stamped.within(window));
        let (ours, theirs) = (figures.thread("io"), probed_figures.thread("io"));
        let median = |lengths: &[u64]| percentile(lengths, 0.5) / 1000;
        eprintln!(
            "{python}: takes {} and {}, waits {} and {}, p50 {} and {} us, waiting {:.4} and {:.4}, load {:?}",
            ours.holds.len(),
            theirs.holds.len(),
            ours.wait_count(),
            theirs.wait_count(),
            median(&ours.waits),
            median(&theirs.waits),
            ours.waiting_share,
            theirs.waiting_share,
            probed_figures.load
        );
        assert_eq!(ours.tid, theirs.tid);
        assert!(ours.holds.len() >= 20, "{python}: too few to compare");
        assert!(ours.holds.len().abs_diff(theirs.holds.len()) <= 1, "{python}: takes");
        assert!(ours.wait_count().abs_diff(theirs.wait_count()) <= 1, "{python}: waits");
        assert!(median(&ours.waits).abs_diff(median(&theirs.waits)) <= 100, "{python}: median wait");
        // Between a stamp and its probe the thread may be put off its core.
        assert!((ours.waiting_share - theirs.waiting_share).abs() < 0.06, "{python}: waiting share");
        assert!(probed.overlapping_holds().is_none(), "{python}: {:?}", probed.overlapping_holds());
        // On a busy machine the one that is handed the GIL may have to queue for a core first.
        assert!(probed_figures.load.is_some_and(|load| load > 0.5), "{python}: the hog holds whenever it can");
        assert!(probed_figures.thread("hog-1").waiting_share < 0.5, "{python}: the hog hardly waits");
    });
}

#[test]
fn uprobes_tell_what_bytecode_threads_do() {
    under_probes("saturated", &["4"], |python, probed, _| {
        let figures = probed.within(probed.complete.clone());
        let shares: Vec<f64> = (1..=4).map(|i| figures.thread(&format!("cpu-{i}")).waiting_share).collect();
        eprintln!(
            "{python}: load {:?}, contention {}, handoffs {:?}, waiting {shares:.3?}",
            figures.load, figures.contention, figures.handoffs
        );
        assert!(probed.overlapping_holds().is_none(), "{python}: {:?}", probed.overlapping_holds());
        assert!(figures.load.is_some_and(|load| load > 0.5), "{python}");
        assert!(figures.contention > 0.8, "{python}");
        let mean = shares.iter().sum::<f64>() / 4.0;
        assert!((0.45..=0.85).contains(&mean), "{python}: {mean}");
    });
}
