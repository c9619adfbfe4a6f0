//! Texts of bounded length.

/// The beginning of a text, of at most `most` bytes, cut between two characters.
/// (`str::floor_char_boundary` is stable only since Rust 1.91.)
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
