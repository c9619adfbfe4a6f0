//! Hermetic tests.
mod fixtures;
mod model;
mod report_json;
mod report_text;
mod report_verdict;
mod sampling;
mod simulator;
