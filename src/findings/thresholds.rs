//! From where on something is worth saying: every threshold once, with its reason.

use crate::time::Ns;

/// A shorter observation decides nothing: 1 s holds 200 switch intervals of 5 ms, and programs have phases.
pub const MIN_OBSERVED: Ns = Ns::SECOND;

/// Fewer samples decide nothing: with 400 a share is off by more than 5 points in one case of twenty
/// (two standard errors of a share are at most `1 / sqrt(n)`), which is [`CONTENTION_NEGLIGIBLE`].
pub const MIN_SAMPLES: u64 = 400;

/// With less of the time observed, what was not seen could turn the answer round.
pub const MIN_COVERAGE: f64 = 0.5;

/// With less, the answer stands, but a tenth of what happened is missing in every figure.
pub const GOOD_COVERAGE: f64 = 0.9;

/// Contention (share of time with a waiter) below which waiting is not the problem: 5 %. All of it gone would
/// win at most a twentieth, which is what the same program differs by from one run to the next.
pub const CONTENTION_NEGLIGIBLE: f64 = 0.05;

/// Contention, or one thread's lost share of its lifetime, from which waiting is the problem: 20 %.
/// A thread that loses it takes 1.25 times as long as it needs.
pub const CONTENTION_MATTERS: f64 = 0.20;

/// A single thread counts as a victim from this much lost time, as a share of the time observed: 2 %.
/// It keeps a thread that lived for an instant, and waited for most of it, from deciding for all.
pub const LOST_TIME_NEGLIGIBLE: f64 = 0.02;

/// Mean number of waiters from which rare contention matters all the same: then many wait at once.
pub const MEAN_WAITERS_BURST: f64 = 0.20;

/// A single wait from which rare contention matters all the same: what people notice as a stall.
pub const STALL: Ns = Ns::from_millis(100);

/// Load below which nothing happens in Python, worth saying.
pub const LOAD_IDLE: f64 = 0.01;
/// Load from which the GIL is as good as always held: handing it over takes up to a tenth of the time.
pub const LOAD_SATURATED: f64 = 0.90;
/// Share of the held time from which the way it is held is part of the answer: the greater part.
pub const HELD_OTHERWISE: f64 = 0.5;
/// Mean number of threads in a state from which that state is worth naming: as [`CONTENTION_MATTERS`].
pub const MEAN_THREADS: f64 = 0.20;
/// Share of the load from which the thread that held it longest is worth naming.
pub const TOP_HOLDER: f64 = 0.2;
/// How many times more threads queue for a core than wait for the GIL before the cores are named as the cause.
pub const QUEUE_OVER_WAIT: f64 = 4.0;

/// Slowdown from which a convoy is a finding: as for a thread that loses a sixth of its life, which is what one notices.
pub const CONVOY_SLOWDOWN: f64 = 1.2;

/// Share of the held time from which one thread is a hog: it holds it for longer than all others together.
pub const HOG_SHARE: f64 = 0.5;
/// How many times as long as the second the hog holds it: threads that share fairly differ by less than that.
pub const HOG_OVER_SECOND: f64 = 2.0;

/// Mean number of threads that hold or want the GIL from which it is saturated: half of the time one too many.
pub const SATURATED_DEMAND: f64 = 1.5;
/// Share of the held time from which a thread is one of those that share it, and of the time lost in a convoy from which it is one
/// of its culprits.
pub const SHARER: f64 = 0.1;

/// Share of the time asleep with the GIL, or deaf to requests, from which that is a finding: as
/// [`CONTENTION_NEGLIGIBLE`].
pub const NOT_RELEASED: f64 = 0.05;
/// Share of the time from which a holder's sleep is worth a word though nobody waits: as [`CONTENTION_MATTERS`].
pub const ASLEEP_UNCONTENDED: f64 = 0.20;

/// Share of the time that the holder queues for a core from which that is a finding: as [`CONTENTION_NEGLIGIBLE`].
pub const PREEMPTED: f64 = 0.05;

/// What a handoff costs: two switches between threads and the wake-up between them, 8 to 15 us on the machines that it
/// was measured on.
pub const HANDOFF_COST: Ns = Ns::from_micros(10);
/// Share of the time that handoffs cost from which they are a storm: as [`CONTENTION_NEGLIGIBLE`]. It is 5,000 a second; a
/// switch interval of 5 ms alone makes 200.
pub const HANDOFFS_COST: f64 = 0.05;

/// Handoffs to another core, a second, from which that is worth a word: what each costs more than one on the same core
/// is some microseconds (caches, waking a core up), so it is about a hundredth of the time.
pub const BOUNCES: f64 = 1_000.0;
/// And from which it matters: about a twentieth of the time.
pub const BOUNCES_MATTER: f64 = 5_000.0;
/// Share of all handoffs that go to another core from which it is the rule.
pub const BOUNCES_SHARE: f64 = 0.5;
/// Mean number of threads that run without the GIL from which pinning to one core would cripple them.
pub const CRIPPLED: f64 = 0.05;

/// A signal that has waited for so long is not only late.
pub const SIGNAL_STUCK: Ns = Ns::SECOND;
/// Share of the time for which a prediction must stand, to be one.
pub const PREDICTION_STANDS: f64 = 0.5;

/// Share of its time from which a culprit's code is one piece of code, and that is named.
pub const NAMED: f64 = 0.5;
/// Samples at random behind that share: with ten, one that is named at half has at least a fifth with 95 % confidence (Wilson).
pub const NAMING_SAMPLES: u32 = 10;

/// Share of its time that a thread sleeps from which the process is mostly asleep.
pub const MOSTLY_ASLEEP: f64 = 0.9;
