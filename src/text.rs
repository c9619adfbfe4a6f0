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
    fn a_name_with_a_thousand_marks_stays_in_its_line() {
        let name = format!("a{}b", "\u{301}".repeat(1_000));
        assert!(foreign(&name, 20).chars().count() <= 4, "{}", foreign(&name, 20));
    }
}
