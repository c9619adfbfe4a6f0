//! Tests against real interpreters.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod observed;
#[cfg(test)]
mod truth;

#[cfg(test)]
mod truth_uprobes;

#[cfg(test)]
mod truth_workloads;
