//! The configuration file, and `gilscope config`, which prints the default.
//!
//! The file is somebody's input like any other: bounded, and refused with its line where it says what cannot be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::cli::rate::{parse_duration, parse_overhead, parse_rate};
use crate::cli::{ConfigArgs, When, print};
use crate::dashboard::action::{Action, BINDINGS};
use crate::dashboard::columns::Columns;
use crate::dashboard::keys::{Keymap, Press};
use crate::dashboard::mouse::Mouse;
use crate::dashboard::theme::{Palette, Symbols};
use crate::error::{Failure, Status};
use crate::text::foreign;
use crate::time::Ns;

/// All of it but the keys, which have a table of their own.
const SAMPLE: &str = include_str!("../../assets/config.sample.toml");
/// Largest file that is read.
const MOST_BYTES: u64 = 256 * 1024;
/// Characters of what is wrong with it: enough for the names of all actions.
const MESSAGE: usize = 1_000;
/// Times between two drawings that make sense.
const REFRESH: std::ops::RangeInclusive<u64> = 50..=10_000;

/// What the file says; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Whether in colour.
    pub color: Option<When>,
    /// In which colours.
    pub palette: Option<Palette>,
    /// With which symbols.
    pub symbols: Option<SymbolsWanted>,
    /// Whether the mouse is taken.
    pub mouse: Option<Mouse>,
    /// Time between two drawings.
    pub refresh: Option<Duration>,
    /// Time between two looks.
    pub rate: Option<RateWanted>,
    /// Share of the program's time that observing may cost.
    pub max_overhead: Option<f64>,
    /// Columns of the thread table.
    pub columns: Option<Columns>,
    /// Keys.
    pub keys: Option<Keymap>,
}

/// Which symbols are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolsWanted {
    /// Those that the terminal can show.
    Auto,
    /// These.
    Only(Symbols),
}

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateWanted {
    /// As pays.
    Auto,
    /// At this interval.
    Every(Ns),
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Written {
    color: Option<Spanned<String>>,
    palette: Option<Spanned<String>>,
    symbols: Option<Spanned<String>>,
    mouse: Option<bool>,
    refresh: Option<Spanned<Figure>>,
    rate: Option<Spanned<Figure>>,
    max_overhead: Option<Spanned<Figure>>,
    columns: Option<Spanned<Vec<String>>>,
    keys: BTreeMap<Spanned<String>, Spanned<Keys>>,
}

/// A figure with its unit, or a bare one.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number, or a text such as \"150ms\" or \"10k\"")]
enum Figure {
    Text(String),
    Whole(i64),
    Part(f64),
}

impl Figure {
    fn text(&self) -> String {
        match self {
            Figure::Text(text) => text.clone(),
            Figure::Whole(number) => number.to_string(),
            Figure::Part(number) => number.to_string(),
        }
    }
}

/// One key or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a key such as \"q\", or a list of keys")]
enum Keys {
    One(String),
    Several(Vec<String>),
}

/// What is wrong, and in which bytes.
struct Wrong {
    at: Option<Range<usize>>,
    what: String,
}

impl Wrong {
    fn at<T>(spanned: &Spanned<T>, what: impl Into<String>) -> Wrong {
        Wrong { at: Some(spanned.span()), what: what.into() }
    }
}

/// Reads the text of a file. What is wrong is said with its line.
///
/// # Errors
/// The line, what is wrong with it, and what is allowed.
pub fn parse(text: &str) -> Result<Config, String> {
    read(text).map_err(|wrong| {
        let what = foreign(&wrong.what, MESSAGE);
        match wrong.at.and_then(|at| text.get(..at.start)) {
            Some(before) => format!("line {}: {what}", before.matches('\n').count() + 1),
            None => what,
        }
    })
}

fn read(text: &str) -> Result<Config, Wrong> {
    let written: Written = toml::from_str(text)
        .map_err(|error| Wrong { at: error.span(), what: error.message().trim().replace('\n', " ") })?;
    Ok(Config {
        color: one_of(
            written.color.as_ref(),
            &[("auto", When::Auto), ("always", When::Always), ("never", When::Never)],
        )?,
        palette: one_of(written.palette.as_ref(), &Palette::ALL.map(|palette| (palette.name(), palette)))?,
        symbols: one_of(
            written.symbols.as_ref(),
            &[
                ("auto", SymbolsWanted::Auto),
                ("unicode", SymbolsWanted::Only(Symbols::Unicode)),
                ("ascii", SymbolsWanted::Only(Symbols::Ascii)),
            ],
        )?,
        mouse: written.mouse.map(|taken| if taken { Mouse::Heard } else { Mouse::Left }),
        refresh: figure(written.refresh.as_ref(), refresh)?,
        rate: figure(written.rate.as_ref(), wanted_rate)?,
        max_overhead: figure(written.max_overhead.as_ref(), parse_overhead)?,
        columns: written
            .columns
            .map(|names| {
                let read = Columns::named(names.as_ref().iter().map(String::as_str));
                read.map_err(|why| Wrong::at(&names, why))
            })
            .transpose()?,
        keys: keys(&written.keys)?,
    })
}

/// One of these words.
fn one_of<T: Copy>(word: Option<&Spanned<String>>, known: &[(&str, T)]) -> Result<Option<T>, Wrong> {
    let Some(word) = word else { return Ok(None) };
    let found = known.iter().find(|(name, _)| *name == word.as_ref().as_str());
    found.map(|(_, meant)| Some(*meant)).ok_or_else(|| {
        let names: Vec<String> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        Wrong::at(word, format!("`{}` is none of {}", word.as_ref(), names.join(", ")))
    })
}

fn figure<T>(figure: Option<&Spanned<Figure>>, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, Wrong> {
    figure.map(|figure| read(&figure.as_ref().text()).map_err(|why| Wrong::at(figure, why))).transpose()
}

fn wanted_rate(text: &str) -> Result<RateWanted, String> {
    match text {
        "auto" => Ok(RateWanted::Auto),
        rate => parse_rate(rate).map(RateWanted::Every).map_err(|why| format!("{why}, or auto")),
    }
}

fn refresh(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    let milliseconds = length.0 / 1_000_000;
    match REFRESH.contains(&milliseconds) {
        true => Ok(Duration::from_nanos(length.0)),
        false => Err(format!("`{text}` is out of range: {} ms to {} s", REFRESH.start(), REFRESH.end() / 1_000)),
    }
}

fn keys(written: &BTreeMap<Spanned<String>, Spanned<Keys>>) -> Result<Option<Keymap>, Wrong> {
    if written.is_empty() {
        return Ok(None);
    }
    let mut wanted: Vec<(Action, Vec<Press>)> = Vec::new();
    for (name, keys) in written {
        let action = Action::named(name.as_ref()).ok_or_else(|| {
            let names: Vec<&str> = BINDINGS.iter().map(|binding| binding.action.name()).collect();
            Wrong::at(name, format!("`{}` is not an action: there are {}", name.as_ref(), names.join(", ")))
        })?;
        let texts = match keys.as_ref() {
            Keys::One(text) => std::slice::from_ref(text),
            Keys::Several(texts) => texts.as_slice(),
        };
        let presses: Result<Vec<Press>, String> = texts.iter().map(|text| Press::read(text)).collect();
        wanted.push((action, presses.map_err(|why| Wrong::at(keys, why))?));
    }
    Keymap::with(&wanted).map(Some).map_err(|unusable| {
        let line = written.keys().find(|name| name.as_ref() == unusable.action().name());
        Wrong { at: line.map(Spanned::span), what: unusable.to_string() }
    })
}

/// The default, with what each line means.
pub fn sample() -> String {
    let mut out = format!("{SAMPLE}[keys]\n");
    for binding in &BINDINGS {
        let keys: Vec<String> = binding.keys.iter().map(|press| format!("\"{press}\"")).collect();
        out.push_str(&format!("# {}\n{} = [{}]\n", binding.help, binding.action.name(), keys.join(", ")));
    }
    out
}

/// Where the file is, if its user has one: `variable` is how the environment is asked.
pub fn place(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // A relative one is to be ignored, says the XDG Base Directory Specification.
    let directory = |name: &str| variable(name).filter(|path| path.is_absolute());
    let base = directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))?;
    Some(base.join("gilscope/config.toml"))
}

fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// What the file says that is `named`, or else the user's own, which need not be there: a home that may not be
/// looked into (another user's, as after `setpriv` or under a service manager) has none, either.
///
/// # Errors
/// If it cannot be read, or says what cannot be.
pub fn load(named: Option<&Path>) -> Result<Config, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match place(environment) {
            Some(path) => path,
            None => return Ok(Config::default()),
        },
    };
    let refused = |why: String| {
        Failure::new(Status::Usage, format!("{}: {why}", foreign(&path.to_string_lossy(), 500)))
            .next("What can be said there, and what it means: gilscope config")
    };
    let text = match text_of(&path) {
        Ok(text) => text,
        Err(_) if named.is_none() && std::fs::symlink_metadata(&path).is_err() => return Ok(Config::default()),
        Err(error) => return Err(refused(format!("cannot be read: {error}"))),
    };
    parse(&text).map_err(refused)
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    match read as u64 > MOST_BYTES {
        true => Err(std::io::Error::other(format!("it has more than {} kB", MOST_BYTES / 1_024))),
        false => Ok(text),
    }
}

/// Runs `gilscope config`.
///
/// # Errors
/// If there is no place for a file, or stdout cannot be written to.
pub fn run(args: &ConfigArgs) -> Result<u8, Failure> {
    match args.path {
        false => print(&sample())?,
        true => {
            let place = place(environment).ok_or_else(|| {
                Failure::new(Status::Usage, "neither XDG_CONFIG_HOME nor HOME names a directory")
                    .next("Name a file: gilscope attach PID --config FILE")
            })?;
            print(&format!("{}\n", place.display()))?;
        }
    }
    Ok(Status::Ok as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::{Asked, settle};
    use crate::dashboard::theme::Surroundings;

    fn wrong(text: &str, line: usize, says: &[&str]) {
        let said = parse(text).expect_err(text);
        assert!(said.starts_with(&format!("line {line}: ")), "{text}: {said}");
        for part in says {
            assert!(said.contains(part), "{text}: no `{part}` in: {said}");
        }
    }

    #[test]
    fn the_sample_is_the_default() {
        let sampled = parse(&sample()).expect("the sample is right");
        let with = |config: &Config| settle(&Asked::default(), &Surroundings::default(), config);
        assert_eq!(with(&sampled), with(&Config::default()));
        // And has everything in it that there is.
        let Config { color, palette, symbols, mouse, refresh, rate, max_overhead, columns, keys } = sampled;
        assert!(color.is_some() && palette.is_some() && symbols.is_some() && mouse.is_some() && refresh.is_some());
        assert!(rate.is_some() && max_overhead.is_some() && columns.is_some() && keys.is_some());
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_line_and_what_is_allowed() {
        wrong("\ncolour = \"auto\"", 2, &["unknown field `colour`", "`color`", "`max-overhead`"]);
        wrong("color = \"auto\"\npalette = \"neon\"", 2, &["`neon`", "\"okabe-ito\""]);
        wrong("symbols = 3", 1, &["string"]);
        wrong("mouse = \"yes\"", 1, &["boolean"]);
        wrong("refresh = \"1ms\"", 1, &["50 ms to 10 s"]);
        wrong("refresh = \"soon\"", 1, &["500ms"]);
        wrong("rate = \"fast\"", 1, &["10khz"]);
        wrong("rate = []", 1, &["a number, or a text"]);
        wrong("max-overhead = 200", 1, &["at most 100"]);
        wrong("columns = [\"thread\",\n\"cpu\"]", 1, &["`cpu`", "state-in-words"]);
        wrong("columns = [\"wait\"]", 1, &["`thread`"]);
        wrong("[keys]\nexit = \"x\"", 2, &["`exit`", "quit-with-report"]);
        wrong("[keys]\n\nmark = \"n\"", 3, &["`n` is also the key of next-mark", "next-mark = []"]);
        wrong("[keys]\nmark = \"^I\"", 2, &["Tab"]);
        wrong("[keys]\nmark = \"Ctrl-M\"", 2, &["^A to ^Z"]);
        wrong("[keys]\nmark = 5", 2, &["a list of keys"]);
        wrong("[keys]\nquit = []", 2, &["quit needs a key"]);
        wrong("[keys]\nmark = \"M\"\nmark = \"K\"", 3, &["duplicate key"]);
        wrong("rate = \"1k\"\nrate =", 2, &[""]);
        wrong("palette = \"\u{1b}[2J\"", 1, &[""]);
        assert!(!parse("palette = \"\\u001b[2J\"").expect_err("no palette").contains('\u{1b}'));
    }

    #[test]
    fn keys_are_moved() {
        let config = parse("[keys]\nmark = \"K\"\npage-up = [\"PgUp\", \"^B\"]\nhelp = []").expect("it is right");
        let keys = config.keys.expect("there are keys");
        assert_eq!(keys.first(Action::Mark).map(|press| press.to_string()), Some("K".to_owned()));
        assert_eq!(keys.first(Action::Help), None);
        assert_eq!(keys.first(Action::Quit).map(|press| press.to_string()), Some("q".to_owned()));
    }

    #[test]
    fn the_file_is_where_others_have_theirs() {
        let on = |pairs: &'static [(&str, &str)]| {
            place(move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
        };
        assert_eq!(on(&[("HOME", "/home/a")]), Some("/home/a/.config/gilscope/config.toml".into()));
        assert_eq!(on(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "/x")]), Some("/x/gilscope/config.toml".into()));
        assert_eq!(on(&[("HOME", "/home/a"), ("XDG_CONFIG_HOME", "x")]), on(&[("HOME", "/home/a")]));
        assert_eq!(on(&[("XDG_CONFIG_HOME", "")]), None);
    }

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let refused = load(Some(Path::new("/dev/zero"))).expect_err("it has no end");
        assert!(refused.what.contains("256 kB"), "{refused}");
        assert!(load(Some(Path::new("/nonexistent"))).is_err_and(|refused| refused.status == Status::Usage));
        assert!(load(Some(Path::new("/dev/null"))).is_ok_and(|config| config == Config::default()));
    }
}
