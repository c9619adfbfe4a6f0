//! Command lines of variants.

/// A program with its arguments, and what the variant is called.
pub type CommandLine = (Option<String>, Vec<String>);

/// A variant that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWords {
    /// No name, or no command.
    #[error("`{0}` is no variant: write NAME='COMMAND', as threads='python3 t.py'")]
    NoName(String),
    /// A quotation mark without its other.
    #[error("`{0}` has a quotation mark that nothing closes")]
    Unclosed(String),
}

/// Reads `NAME=COMMAND`, with the command in words as a shell would have them.
///
/// # Errors
/// If it is none.
pub fn words(text: &str) -> Result<CommandLine, NotWords> {
    let no_name = || NotWords::NoName(text.to_owned());
    let (name, command) = text.split_once('=').ok_or_else(no_name)?;
    let words = shell_words::split(command).map_err(|_| NotWords::Unclosed(text.to_owned()))?;
    if name.trim().is_empty() || words.is_empty() {
        return Err(no_name());
    }
    Ok((Some(name.trim().to_owned()), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_words() {
        let (name, command) = words("threads=python3 t.py 'a b' --x=1").unwrap();
        assert_eq!(name.as_deref(), Some("threads"));
        assert_eq!(command, ["python3", "t.py", "a b", "--x=1"]);
        assert!(matches!(words("python3 t.py"), Err(NotWords::NoName(_))));
        assert!(matches!(words("=python3"), Err(NotWords::NoName(_))));
        assert!(matches!(words("a="), Err(NotWords::NoName(_))));
        assert!(matches!(words("a='b"), Err(NotWords::Unclosed(_))));
    }
}
