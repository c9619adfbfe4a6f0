//! What each finding means, at length: the text that is also in the documentation.

use crate::findings::Name;

/// All findings, explained, as Markdown: a section for each, under its name.
pub const DOCUMENT: &str = include_str!("../../assets/docs/findings.md");

/// The section on one finding, without its heading, as Markdown.
pub fn explain(name: Name) -> &'static str {
    let heading = format!("\n## {}\n", name.id());
    let Some((_, section)) = DOCUMENT.split_once(heading.as_str()) else { return "" };
    section.split("\n## ").next().unwrap_or(section).trim()
}
