//! Names as frames of a flame graph.

use crate::units;

/// Longest frame, in characters.
const LONGEST: usize = 300;

/// Text without control characters, which XML cannot have, and without what turns the direction of writing.
pub(super) fn printable(text: &str) -> String {
    // XML has no place for these two either, though they are no control characters.
    units::printable(text, LONGEST).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// One frame. In collapsed stacks `;` ends a frame and a number behind a blank is a time; a line that begins with `#` is a
/// comment, and a frame that ends with `_[x]` is taken for a kind of frame.
pub(super) fn frame(name: &str) -> String {
    let mut frame = printable(name).replace(';', ",").split_whitespace().collect::<Vec<_>>().join(" ");
    if frame.starts_with('#') || frame.is_empty() {
        frame.insert(0, '\'');
    }
    if !frame.ends_with([')', '\'', '…']) {
        frame.push('\'');
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_frame_or_a_line_or_looks_like_a_time() {
        for (name, shown) in [
            ("f (a.py:3)", "f (a.py:3)"),
            ("a;b;c (x)", "a,b,c (x)"),
            ("two\nlines 12", "two\\u{a}lines 12'"),
            ("# no comment", "'# no comment'"),
            ("kernel_[k]", "kernel_[k]'"),
            ("", "'"),
            ("  \u{a0} blanks\u{2003}all over (x) ", "blanks all over (x)"),
            ("\u{1b}[31m\u{202e}\u{fffe} (x)", "\\u{1b}[31m\\u{202e}\u{fffd} (x)"),
        ] {
            assert_eq!(frame(name), shown, "{name:?}");
        }
        assert!(frame(&"x".repeat(10_000)).chars().count() <= LONGEST + 1);
    }
}
