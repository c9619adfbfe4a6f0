//! Hermetic tests.
mod fixtures;
mod report_json;
mod report_text;
mod report_verdict;
