//! Text in columns of a terminal. Report and dashboard share this, so that what a target says reaches a terminal
//! in one way only.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::units;

/// At most `width` columns of `text`, with `…` where something was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// At most `width` columns of `text`, with `…` in the middle where something was cut: names often differ at their end.
pub fn cut_middle(text: &str, width: usize) -> String {
    if text.width() <= width || width < 8 {
        return cut(text, width);
    }
    let end_wanted = (width - 1) * 2 / 5;
    let (mut end, mut used) = (Vec::new(), 0);
    for c in text.chars().rev() {
        let columns = c.width().unwrap_or(0);
        if used + columns > end_wanted {
            break;
        }
        used += columns;
        end.push(c);
    }
    let start = cut(text, width - used);
    start.chars().chain(end.into_iter().rev()).collect()
}

/// Text from a target in at most `width` columns: safe for a terminal, and with no more than two marks on a letter.
pub fn foreign(text: &str, width: usize) -> String {
    const MARKS: usize = 2;
    let mut marks = 0;
    let calm: String = units::printable(text, width.saturating_mul(MARKS + 1))
        .chars()
        .filter(|c| {
            marks = if c.width() == Some(0) { marks + 1 } else { 0 };
            marks <= MARKS
        })
        .collect();
    cut(&calm, width)
}

/// A name from a target in at most `width` columns, as safe as [`foreign`] makes it, cut in the middle.
pub fn foreign_name(text: &str, width: usize) -> String {
    const WHOLE: usize = 256;
    cut_middle(&foreign(text, WHOLE), width)
}

/// A command line from a target in at most `width` columns, as safe: both its ends, where there is room for them.
pub fn foreign_command(text: &str, width: usize) -> String {
    const BOTH_ENDS: usize = 24;
    if width < BOTH_ENDS { foreign(text, width) } else { foreign_name(text, width) }
}

/// `text` with blanks on its right up to `width` columns.
pub fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text` with blanks on its left up to `width` columns.
pub fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_fits() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn what_is_cut_in_the_middle_keeps_both_ends() {
        assert_eq!(cut_middle("ThreadPoolExecutor-0_17", 16), "ThreadPoo…r-0_17");
        assert_eq!(cut_middle("ThreadPoolExecutor-0_17", 23), "ThreadPoolExecutor-0_17");
        assert_eq!(cut_middle("abcdefghijkl", 5), "abcd…");
        for width in 0..40 {
            assert!(cut_middle("日本語のとても長いスレッド名 with an end", width).width() <= width, "{width}");
        }
    }

    #[test]
    fn a_name_with_a_thousand_marks_stays_in_its_line() {
        let name = format!("a{}b", "\u{301}".repeat(1_000));
        assert!(foreign(&name, 20).chars().count() <= 4, "{}", foreign(&name, 20));
    }
}
