//! What a recording says that its target has paid, second by second.

use std::path::Path;

use gilscope::event::{Costs, Event, Spent, What};
use gilscope::recording::{Reader, Start};

/// Nanoseconds of a target's time.
#[derive(Debug, Clone, Copy)]
pub struct Paid {
    /// What it may lose in a second.
    pub budget: u64,
    /// The most that it lost in any second, by exceptions, switch records and windows that are in the recording one by one.
    pub worst_told: u64,
    /// The most in a second by the running totals, which have in them what came of no use and was not told. They come about
    /// once a second: it is the steepest of them.
    pub worst_counted: u64,
    /// The totals at the end.
    pub spent: Spent,
}

/// The events of a recording.
///
/// # Panics
/// If it cannot be read.
pub fn read(file: &Path) -> Vec<Event> {
    let mut reader = Reader::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let items = reader.events(Start::Beginning);
    items.filter_map(|item| item.unwrap_or_else(|error| panic!("{}: {error}", file.display())).into_event()).collect()
}

/// Adds up a recording from an instant on; `None` if it has no costs in it, as where nothing was used that the target
/// pays for.
pub fn paid(events: &[Event], since: u64) -> Option<Paid> {
    // As measured: what was counted before that is judged by it too.
    let costs = events.iter().rev().find_map(|event| match event.what {
        What::CostsKnown(costs) => Some(costs),
        _ => None,
    })?;
    let mut told: Vec<(u64, u64)> = Vec::new();
    let mut worst_counted = 0;
    let (mut before, mut spent) = (None, Spent::default());
    for event in events.iter().filter(|event| event.at.0 >= since) {
        let price = match event.what {
            What::LockWritten { .. } | What::CondWritten { .. } => costs.exception.0,
            What::SwitchedIn { .. } | What::SwitchedOut { .. } => costs.record.0,
            // Two words of one thread at least.
            What::WindowBegins { .. } => 2 * costs.arming.0,
            What::Spent(now, _) => {
                if let Some((at, earlier)) = before.replace((event.at.0, now)) {
                    let length = (event.at.0 - at).max(1_000_000_000) as f64 / 1e9;
                    let lost = cost(&costs, &now) - cost(&costs, &earlier);
                    worst_counted = worst_counted.max((lost as f64 / length) as u64);
                }
                spent = now;
                continue;
            }
            _ => continue,
        };
        told.push((event.at.0, price));
    }
    Some(Paid { budget: costs.budget.0, worst_told: worst_second(&told), worst_counted, spent })
}

/// Says what was lost, and that it is not more than the target may lose, in any second from an instant on.
///
/// # Panics
/// If it is, by more than what is counted only after it has come: the switch records of a look.
pub fn keeps_to_the_budget(what: &str, events: &[Event], since: u64) -> Paid {
    let paid = paid(events, since).unwrap_or_else(|| panic!("{what}: costs are not in the recording"));
    let share = |ns: u64| ns as f64 / 1e7;
    eprintln!(
        "{what}: at most {:.2} % of a second by what was told, {:.2} % by the totals, of {:.2} %; {:?}",
        share(paid.worst_told),
        share(paid.worst_counted),
        share(paid.budget),
        paid.spent
    );
    let most = paid.worst_told.max(paid.worst_counted);
    assert!(most <= paid.budget + paid.budget / 10, "{what}: {most} ns were paid in a second, of {}", paid.budget);
    paid
}

fn cost(costs: &Costs, spent: &Spent) -> u64 {
    spent.exceptions * costs.exception.0
        + spent.armed_switches * costs.armed_switch.0
        + spent.records * costs.record.0
        + spent.arms * costs.arming.0
}

fn worst_second(paid: &[(u64, u64)]) -> u64 {
    let (mut first, mut sum, mut worst) = (0, 0, 0);
    for (at, cost) in paid {
        sum += cost;
        while paid[first].0 + 1_000_000_000 <= *at {
            sum -= paid[first].1;
            first += 1;
        }
        worst = worst.max(sum);
    }
    worst
}
