//! What things look like, decided once at the start: colours, weights and symbols.
//!
//! No state is told by its hue alone: each has a letter and a symbol of its own, so that it can be told in black and
//! white. Without colour, styles have no colour at all: crossterm would print an empty colour as a full reset, which
//! takes the reversal of a selected row with it.

use ratatui::style::{Color, Modifier, Style};

use crate::model::snapshot::ThreadState;

/// How many colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None, or none wanted.
    Mono,
    /// The terminal's own 16.
    Ansi16,
    /// Those of Okabe and Ito, as near as 256 colours come.
    Indexed256,
    /// The same, in 24 bits.
    TrueColor,
}

/// What symbols the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// Blocks and lines.
    Unicode,
    /// Only ASCII.
    Ascii,
}

/// Whether the user wants colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As the surroundings say.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Which colours there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Palette {
    /// The terminal's own 16, as its user has them.
    #[default]
    Default,
    /// Those of Okabe and Ito, which people with any kind of colour vision can tell apart, where the terminal has 256
    /// colours or more; on others the nearest of its own.
    OkabeIto,
    /// None.
    Mono,
}

impl Palette {
    /// All.
    pub const ALL: [Palette; 3] = [Palette::Default, Palette::OkabeIto, Palette::Mono];

    /// What it is called where it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Palette::Default => "default",
            Palette::OkabeIto => "okabe-ito",
            Palette::Mono => "mono",
        }
    }
}

/// What a user wants things to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taste {
    /// Whether in colour.
    pub wanted: Wanted,
    /// In which colours.
    pub palette: Palette,
    /// With which symbols; `None`: those that the terminal can show.
    pub symbols: Option<Symbols>,
}

/// What the environment says of the terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `NO_COLOR`.
    pub no_color: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLORTERM`.
    pub colorterm: Option<String>,
    /// The locale that decides on characters: the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set.
    pub locale: Option<String>,
}

impl Surroundings {
    /// Reads the variables through `variable`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Surroundings {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        Surroundings {
            no_color: filled("NO_COLOR"),
            term: filled("TERM"),
            colorterm: filled("COLORTERM"),
            locale: ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| filled(name)),
        }
    }

    /// What a picture is drawn on: all colours and symbols can be had.
    pub fn of_paper() -> Surroundings {
        Surroundings {
            no_color: None,
            term: Some("xterm-256color".to_owned()),
            colorterm: Some("truecolor".to_owned()),
            locale: Some("C.UTF-8".to_owned()),
        }
    }

    /// How many colours it has, by what it says.
    fn depth(&self) -> Depth {
        let term = self.term.as_deref().unwrap_or("dumb");
        let colorterm = self.colorterm.as_deref().unwrap_or("");
        match (term, colorterm) {
            ("dumb", _) => Depth::Mono,
            (_, "truecolor" | "24bit") => Depth::TrueColor,
            (term, _) if term.contains("256color") => Depth::Indexed256,
            (term, _) if term.ends_with("-m") || term.starts_with("vt1") || term.starts_with("vt2") => Depth::Mono,
            _ => Depth::Ansi16,
        }
    }
}

/// What a piece of the screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// What may be read last.
    Faint,
    /// A panel's name.
    Title,
    /// A column's name, or a label.
    Label,
    /// A figure that matters.
    Strong,
    /// Nothing to worry about.
    Good,
    /// Worth a look.
    Warn,
    /// A problem.
    Bad,
    /// A key to press.
    Key,
    /// The row under the cursor.
    Selected,
    /// A thread's state.
    State(ThreadState),
    /// A thread among others, by its place.
    Thread(usize),
}

/// What things look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// How many colours are used.
    pub depth: Depth,
    /// Which symbols are used.
    pub symbols: Symbols,
}

/// The colours of Okabe and Ito, which people with any kind of colour vision can tell apart.
const OKABE_ITO: [(u8, u8, u8); 7] =
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)];
const INDEXED: [u8; 7] = [214, 74, 36, 221, 32, 166, 175];
const ANSI: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];

/// Places in the palettes above.
const ORANGE: usize = 0;
const SKY: usize = 1;
const GREEN: usize = 2;
const VERMILION: usize = 5;
const PURPLE: usize = 6;

impl Theme {
    /// Decides. What is asked for goes before `NO_COLOR`, and that before what the terminal can do.
    pub fn resolve(taste: Taste, surroundings: &Surroundings) -> Theme {
        let terminals = match taste.wanted {
            Wanted::Never => Depth::Mono,
            Wanted::Always => surroundings.depth().max(Depth::Ansi16),
            Wanted::Auto if surroundings.no_color.is_some() => Depth::Mono,
            Wanted::Auto => surroundings.depth(),
        };
        let utf8 = surroundings.locale.as_deref().is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        let console = matches!(surroundings.term.as_deref(), Some("linux" | "dumb") | None);
        let can_show = if utf8 && !console { Symbols::Unicode } else { Symbols::Ascii };
        let depth = match taste.palette {
            Palette::Default => terminals.min(Depth::Ansi16),
            Palette::OkabeIto => terminals,
            Palette::Mono => Depth::Mono,
        };
        Theme { depth, symbols: taste.symbols.unwrap_or(can_show) }
    }

    fn color(self, place: usize, ansi: Color) -> Option<Color> {
        match self.depth {
            Depth::Mono => None,
            Depth::Ansi16 => Some(ansi),
            Depth::Indexed256 => INDEXED.get(place).map(|index| Color::Indexed(*index)),
            Depth::TrueColor => OKABE_ITO.get(place).map(|(r, g, b)| Color::Rgb(*r, *g, *b)),
        }
    }

    /// The style of a tone. In black and white it has no colour, only weight.
    pub fn style(self, tone: Tone) -> Style {
        let colored = |place, ansi| match self.color(place, ansi) {
            Some(color) => Style::new().fg(color),
            None => Style::new(),
        };
        match tone {
            Tone::Plain => Style::new(),
            Tone::Faint => Style::new().add_modifier(Modifier::DIM),
            Tone::Title | Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
            Tone::Label => Style::new().add_modifier(Modifier::DIM),
            Tone::Good => colored(GREEN, Color::Green),
            Tone::Warn => colored(ORANGE, Color::Yellow).add_modifier(Modifier::BOLD),
            Tone::Bad => colored(VERMILION, Color::Red).add_modifier(Modifier::BOLD),
            Tone::Key => colored(SKY, Color::Cyan).add_modifier(Modifier::BOLD),
            Tone::Selected => Style::new().add_modifier(Modifier::REVERSED),
            Tone::State(state) => match state {
                ThreadState::Running => colored(SKY, Color::Cyan).add_modifier(Modifier::BOLD),
                ThreadState::HoldingOffCpu => colored(VERMILION, Color::Red).add_modifier(Modifier::BOLD),
                ThreadState::Waiting => colored(ORANGE, Color::Yellow),
                ThreadState::HandingOver => colored(PURPLE, Color::Magenta),
                ThreadState::Native => colored(GREEN, Color::Green),
                ThreadState::Runnable => colored(PURPLE, Color::Magenta),
                ThreadState::Idle | ThreadState::Unknown | ThreadState::Ended => {
                    Style::new().add_modifier(Modifier::DIM)
                }
            },
            Tone::Thread(place) => {
                let place = place % OKABE_ITO.len();
                colored(place, ANSI.get(place % ANSI.len()).copied().unwrap_or(Color::Reset))
            }
        }
    }

    /// One of two symbols.
    pub fn pick<T>(self, unicode: T, ascii: T) -> T {
        match self.symbols {
            Symbols::Unicode => unicode,
            Symbols::Ascii => ascii,
        }
    }

    /// What a share of a state is drawn with in a bar.
    pub fn block(self, state: ThreadState) -> char {
        match state {
            ThreadState::Running => self.pick('█', '#'),
            ThreadState::HoldingOffCpu => self.pick('▓', 'Z'),
            ThreadState::Waiting => self.pick('▒', '='),
            ThreadState::HandingOver => self.pick('»', '>'),
            ThreadState::Native => self.pick('░', '-'),
            ThreadState::Runnable => self.pick('¤', 'q'),
            ThreadState::Idle => self.pick('·', '.'),
            ThreadState::Unknown => '?',
            ThreadState::Ended => ' ',
        }
    }

    /// A figure among others, in one of eight heights of `most`. Nothing has a symbol of its own, and what is above it
    /// never looks like it.
    pub fn spark(self, value: f64, most: f64) -> char {
        const HEIGHTS: [[char; 8]; 2] =
            [['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'], ['.', ':', '-', '=', '+', '*', '#', '@']];
        let heights = self.pick(HEIGHTS[0], HEIGHTS[1]);
        match (value, most) {
            (value, most) if value > 0.0 && most > 0.0 => {
                let height = (value / most * 8.0).ceil().clamp(1.0, 8.0) as usize;
                heights.get(height - 1).copied().unwrap_or(' ')
            }
            _ => self.pick('·', '_'),
        }
    }

    /// `share` (0..=1) of `width` columns, to an eighth of a column where the symbols allow it.
    pub fn bar(self, share: f64, width: usize) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let eighths = (share * width as f64 * 8.0).round() as usize;
        let (full, rest) = match self.symbols {
            Symbols::Unicode => ("█", EIGHTHS.get(eighths % 8).copied().unwrap_or("")),
            Symbols::Ascii => ("#", if eighths % 8 >= 4 { "-" } else { "" }),
        };
        let mut bar = full.repeat(eighths / 8);
        bar.push_str(rest);
        // What is above nothing never looks like nothing.
        if bar.is_empty() && share > 0.0 && width > 0 {
            bar.push_str(self.pick("▏", "."));
        }
        bar
    }
}

/// The letter of a state in the thread table.
pub fn letter(state: ThreadState) -> char {
    match state {
        ThreadState::Running => 'H',
        ThreadState::HoldingOffCpu => 'Z',
        ThreadState::Waiting => 'W',
        ThreadState::HandingOver => 'O',
        ThreadState::Native => 'N',
        ThreadState::Runnable => 'Q',
        ThreadState::Idle => 'i',
        ThreadState::Unknown => '?',
        ThreadState::Ended => 'x',
    }
}

/// What stands for a mixture in which a state took more than any other: its letter, but for one that is a block of its
/// own.
pub fn mostly(state: ThreadState) -> char {
    match state {
        ThreadState::HoldingOffCpu => 'z',
        state => letter(state),
    }
}

/// The state in a word.
pub fn word(state: ThreadState) -> &'static str {
    match state {
        ThreadState::Running => "holds",
        ThreadState::HoldingOffCpu => "holds off-cpu",
        ThreadState::Waiting => "waits",
        ThreadState::HandingOver => "hands over",
        ThreadState::Native => "native",
        ThreadState::Runnable => "runnable",
        ThreadState::Idle => "idle",
        ThreadState::Unknown => "unknown",
        ThreadState::Ended => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(pairs: &[(&str, &str)]) -> Surroundings {
        Surroundings::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn tones() -> Vec<Tone> {
        let plain = [
            Tone::Plain,
            Tone::Faint,
            Tone::Title,
            Tone::Label,
            Tone::Strong,
            Tone::Good,
            Tone::Warn,
            Tone::Bad,
            Tone::Key,
            Tone::Selected,
        ];
        plain.into_iter().chain(ThreadState::ALL.map(Tone::State)).chain((0..20).map(Tone::Thread)).collect()
    }

    #[test]
    fn the_order_of_who_decides_on_colour() {
        let in_palette = |wanted, palette, pairs: &[(&str, &str)]| {
            Theme::resolve(Taste { wanted, palette, symbols: None }, &on(pairs)).depth
        };
        let depth = |wanted, pairs: &[(&str, &str)]| in_palette(wanted, Palette::OkabeIto, pairs);
        let rich = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        assert_eq!(depth(Wanted::Auto, &rich), Depth::TrueColor);
        assert_eq!(depth(Wanted::Never, &rich), Depth::Mono);
        assert_eq!(depth(Wanted::Auto, &[("TERM", "xterm-256color")]), Depth::Indexed256);
        assert_eq!(depth(Wanted::Auto, &[("TERM", "xterm")]), Depth::Ansi16);
        assert_eq!(depth(Wanted::Auto, &[("TERM", "xterm"), ("NO_COLOR", "1")]), Depth::Mono);
        assert_eq!(depth(Wanted::Auto, &[("TERM", "xterm"), ("NO_COLOR", "")]), Depth::Ansi16);
        assert_eq!(depth(Wanted::Always, &[("TERM", "dumb"), ("NO_COLOR", "1")]), Depth::Ansi16);
        assert_eq!(depth(Wanted::Auto, &[("TERM", "dumb"), ("COLORTERM", "truecolor")]), Depth::Mono);
        assert_eq!(depth(Wanted::Auto, &[]), Depth::Mono);
        assert_eq!(in_palette(Wanted::Auto, Palette::Default, &rich), Depth::Ansi16);
        assert_eq!(in_palette(Wanted::Never, Palette::Default, &rich), Depth::Mono);
        assert_eq!(in_palette(Wanted::Always, Palette::Mono, &rich), Depth::Mono);
    }

    #[test]
    fn symbols_follow_the_locale() {
        let with = |symbols, pairs: &[(&str, &str)]| {
            Theme::resolve(Taste { wanted: Wanted::Auto, palette: Palette::Default, symbols }, &on(pairs)).symbols
        };
        let symbols = |pairs: &[(&str, &str)]| with(None, pairs);
        assert_eq!(symbols(&[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")]), Symbols::Unicode);
        assert_eq!(symbols(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Symbols::Ascii);
        assert_eq!(symbols(&[("TERM", "linux"), ("LANG", "de_DE.UTF-8")]), Symbols::Ascii);
        assert_eq!(with(Some(Symbols::Ascii), &[("TERM", "xterm"), ("LANG", "de_DE.UTF-8")]), Symbols::Ascii);
        assert_eq!(with(Some(Symbols::Unicode), &[("LANG", "C")]), Symbols::Unicode);
    }

    #[test]
    fn black_and_white_has_no_colour_at_all() {
        let theme = Theme { depth: Depth::Mono, symbols: Symbols::Unicode };
        for tone in tones() {
            let style = theme.style(tone);
            assert_eq!((style.fg, style.bg, style.underline_color), (None, None, None), "{tone:?}");
        }
    }

    /// In every palette, with all symbols: the block or the letter of a state with its weight, its hue left out.
    #[test]
    fn states_differ_without_their_hue() {
        let depths = [Depth::Mono, Depth::Ansi16, Depth::Indexed256, Depth::TrueColor];
        for (depth, symbols) in
            depths.into_iter().flat_map(|depth| [(depth, Symbols::Unicode), (depth, Symbols::Ascii)])
        {
            let theme = Theme { depth, symbols };
            for glyph in [|theme: Theme, state: ThreadState| theme.block(state), |_, state| letter(state)] {
                let seen: Vec<(char, Modifier)> = ThreadState::ALL
                    .iter()
                    .map(|state| (glyph(theme, *state), theme.style(Tone::State(*state)).add_modifier))
                    .collect();
                let alike = |one: &(char, Modifier)| seen.iter().filter(|other| *other == one).count();
                assert!(seen.iter().all(|one| alike(one) == 1), "{depth:?} {symbols:?}: {seen:?}");
                // A mixture's letter is no state's block; of what is not known both say the same.
                let known = ThreadState::ALL.iter().filter(|state| **state != ThreadState::Unknown);
                let blocks: Vec<char> = ThreadState::ALL.iter().map(|state| theme.block(*state)).collect();
                assert!(known.into_iter().all(|state| !blocks.contains(&mostly(*state))));
                assert!(symbols == Symbols::Unicode || seen.iter().all(|(glyph, _)| glyph.is_ascii()));
            }
        }
    }

    /// Who holds and who waits is not told by red against green, nor by two colours of the same lightness.
    #[test]
    fn holding_and_waiting_are_no_pair_that_some_people_cannot_tell_apart() {
        for depth in [Depth::Ansi16, Depth::Indexed256, Depth::TrueColor] {
            let theme = Theme { depth, symbols: Symbols::Unicode };
            let hue = |state| theme.style(Tone::State(state)).fg;
            let red_or_green = |color| matches!(color, Some(Color::Red | Color::Green));
            let pair = [hue(ThreadState::Running), hue(ThreadState::Waiting)];
            assert!(pair[0] != pair[1] && !pair.iter().copied().all(red_or_green), "{depth:?}: {pair:?}");
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let theme = Theme { depth: Depth::Mono, symbols: Symbols::Unicode };
        assert_eq!(theme.bar(0.5, 4), "██");
        assert_eq!(theme.bar(1.0, 3), "███");
        assert_eq!(theme.bar(7.0, 3), "███");
        assert_eq!(theme.bar(1e-9, 3), "▏");
        assert_eq!(theme.bar(0.0, 3), "");
        assert_eq!(theme.bar(f64::NAN, 3), "");
        assert_eq!(theme.bar(0.3, 0), "");
        let sparks: String = [0.0, 1e-9, 0.5, 1.0, 7.0, f64::NAN].map(|value| theme.spark(value, 1.0)).iter().collect();
        assert_eq!(sparks, "·▁▄██·");
        assert_eq!(theme.spark(1.0, 0.0), '·');
    }
}
