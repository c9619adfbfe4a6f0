//! Who decides: the command line before the configuration, that before the environment, that before the default.
//!
//! The configuration goes before `NO_COLOR`, as no-color.org has it: that is about all programs, it about this one.

use std::time::Duration;

use crate::cli::config::{Config, RateWanted, SymbolsWanted};
use crate::cli::{Common, OnScreen, When};
use crate::dashboard::columns::Columns;
use crate::dashboard::keys::Keymap;
use crate::dashboard::mouse::Mouse;
use crate::dashboard::theme::{Palette, Surroundings, Symbols, Taste, Theme, Wanted};
use crate::dashboard::views::View;
use crate::dashboard::{REFRESH, Settings};
use crate::findings::Allowed;
use crate::time::Ns;

/// What observing may cost the program by default.
const MAX_OVERHEAD: f64 = 0.02;

/// What the command line says; `None`: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    color: Option<When>,
    palette: Option<Palette>,
    symbols: Option<Symbols>,
    mouse: Option<Mouse>,
    rate: Option<Ns>,
    max_overhead: Option<f64>,
}

impl Asked {
    /// What it says of these.
    pub fn of(common: &Common, on_screen: Option<&OnScreen>) -> Asked {
        Asked {
            color: common.color,
            palette: on_screen.and_then(|it| it.palette),
            symbols: on_screen.filter(|it| it.ascii).map(|_| Symbols::Ascii),
            mouse: on_screen.filter(|it| it.no_mouse).map(|_| Mouse::Left),
            rate: common.rate,
            max_overhead: common.max_overhead,
        }
    }
}

/// What it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Colour in text.
    pub color: When,
    /// What the dashboard looks like on this terminal.
    pub theme: Theme,
    /// What a picture of it looks like, which no terminal shows.
    pub picture: Theme,
    /// Whether the dashboard takes the mouse.
    pub mouse: Mouse,
    /// Time between two drawings.
    pub refresh: Duration,
    /// Time between two looks; `None`: as pays.
    pub rate: Option<Ns>,
    /// Share of the program's time that observing may cost.
    pub max_overhead: f64,
    /// Columns of the thread table.
    pub columns: Columns,
    /// Keys.
    pub keys: Keymap,
}

/// Settles it. Nothing but the arguments decides.
pub fn settle(asked: &Asked, surroundings: &Surroundings, config: &Config) -> Settled {
    let color = asked.color.or(config.color).unwrap_or(When::Auto);
    let wanted = match color {
        When::Auto => Wanted::Auto,
        When::Always => Wanted::Always,
        When::Never => Wanted::Never,
    };
    let symbols = asked.symbols.or(match config.symbols {
        Some(SymbolsWanted::Only(symbols)) => Some(symbols),
        Some(SymbolsWanted::Auto) | None => None,
    });
    let taste = Taste { wanted, palette: asked.palette.or(config.palette).unwrap_or_default(), symbols };
    let paper = Surroundings::of_paper();
    Settled {
        color,
        theme: Theme::resolve(taste, surroundings),
        picture: Theme::resolve(taste, &paper),
        mouse: asked.mouse.or(config.mouse).unwrap_or_default(),
        refresh: config.refresh.unwrap_or(REFRESH),
        rate: asked.rate.or(match config.rate {
            Some(RateWanted::Every(interval)) => Some(interval),
            Some(RateWanted::Auto) | None => None,
        }),
        max_overhead: asked.max_overhead.or(config.max_overhead).unwrap_or(MAX_OVERHEAD),
        columns: config.columns.clone().unwrap_or_default(),
        keys: config.keys.clone().unwrap_or_default(),
    }
}

/// As without command line, configuration and environment.
impl Default for Settled {
    fn default() -> Settled {
        settle(&Asked::default(), &Surroundings::default(), &Config::default())
    }
}

impl Settled {
    /// What the dashboard is told of it.
    pub fn dashboard(&self, theme: Theme, allowed: Allowed) -> Settings {
        let (refresh, keys, columns) = (self.refresh, self.keys.clone(), self.columns.clone());
        Settings { theme, refresh, allowed, keys, columns, view: View::Overview }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::parse;
    use crate::dashboard::theme::Depth;

    fn on(pairs: &[(&str, &str)]) -> Surroundings {
        Surroundings::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_that_before_the_environment() {
        let rich = on(&[("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")]);
        let file =
            parse("color = \"always\"\npalette = \"okabe-ito\"\nrate = \"2k\"\nmouse = false\nsymbols = \"ascii\"");
        let file = file.expect("it is right");
        let nothing = settle(&Asked::default(), &rich, &Config::default());
        assert_eq!((nothing.theme.depth, nothing.theme.symbols), (Depth::Mono, Symbols::Unicode), "NO_COLOR");
        assert_eq!((nothing.rate, nothing.mouse), (None, Mouse::Heard));
        let filed = settle(&Asked::default(), &rich, &file);
        assert_eq!((filed.theme.depth, filed.theme.symbols), (Depth::Indexed256, Symbols::Ascii));
        assert_eq!((filed.rate, filed.mouse), (Some(Ns(500_000)), Mouse::Left));
        assert_eq!(filed.max_overhead, 0.02);
        let asked =
            Asked { color: Some(When::Never), rate: Some(Ns(250_000)), max_overhead: Some(0.1), ..Asked::default() };
        let asked = settle(&asked, &rich, &file);
        assert_eq!((asked.theme.depth, asked.rate, asked.max_overhead), (Depth::Mono, Some(Ns(250_000)), 0.1));
        let palette = Asked { palette: Some(Palette::Default), ..Asked::default() };
        assert_eq!(settle(&palette, &rich, &file).theme.depth, Depth::Ansi16);
    }

    #[test]
    fn a_picture_has_the_colours_that_are_wanted_whatever_the_terminal_has() {
        let dumb = on(&[("TERM", "dumb"), ("NO_COLOR", "1")]);
        let plain = settle(&Asked::default(), &dumb, &Config::default());
        assert_eq!(plain.picture, Theme { depth: Depth::Ansi16, symbols: Symbols::Unicode });
        let palette = Asked { palette: Some(Palette::OkabeIto), symbols: Some(Symbols::Ascii), ..Asked::default() };
        let other = settle(&palette, &dumb, &Config::default());
        assert_eq!(other.picture, Theme { depth: Depth::TrueColor, symbols: Symbols::Ascii });
        let never = Asked { color: Some(When::Never), ..Asked::default() };
        assert_eq!(settle(&never, &dumb, &Config::default()).picture.depth, Depth::Mono);
    }
}
