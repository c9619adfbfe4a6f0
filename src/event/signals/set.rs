//! Signals by number and name, sets of them, and what each does where nothing is said about it.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

use serde::{Deserialize, Serialize};

/// A signal of Linux: 1 to 64, the same on x86_64 and aarch64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Signal(u8);

impl From<Signal> for u8 {
    fn from(signal: Signal) -> u8 {
        signal.0
    }
}

/// A number that is no signal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSignal(u8);

impl fmt::Display for NoSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no signal {}: they go from 1 to {}", self.0, Signal::MAX)
    }
}

impl TryFrom<u8> for Signal {
    type Error = NoSignal;

    fn try_from(number: u8) -> Result<Signal, NoSignal> {
        Signal::new(i32::from(number)).ok_or(NoSignal(number))
    }
}

/// What the kernel does with a signal that a process neither handles nor ignores (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultAction {
    /// It ends the process, with a core dump or without.
    Terminate,
    /// It stops the process.
    Stop,
    /// It makes a stopped process go on, and does nothing to another.
    Continue,
    /// Nothing.
    Ignore,
}

/// The names of signals 1 to 31, as on x86_64 and aarch64 (signal(7)).
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

impl Signal {
    /// The highest number.
    pub const MAX: u8 = 64;
    /// Ctrl-C.
    pub const SIGINT: Signal = Signal(2);
    /// For a program's own use.
    pub const SIGUSR1: Signal = Signal(10);
    /// Cannot be caught, blocked or ignored.
    pub const SIGKILL: Signal = Signal(9);
    /// Cannot be caught, blocked or ignored.
    pub const SIGSTOP: Signal = Signal(19);

    /// The signal of a number; `None` if there is none.
    pub fn new(number: i32) -> Option<Signal> {
        u8::try_from(number).ok().filter(|number| (1..=Signal::MAX).contains(number)).map(Signal)
    }

    /// The signal of a name, with or without its `SIG`, whatever the case, or of a number; `None` if there is none.
    pub fn named(text: &str) -> Option<Signal> {
        if let Ok(number) = text.parse() {
            return Signal::new(number);
        }
        let name = text.to_ascii_uppercase();
        let bare = name.strip_prefix("SIG").unwrap_or(&name);
        Signal::all().find(|signal| signal.name().and_then(|name| name.strip_prefix("SIG")) == Some(bare))
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Signal> {
        (1..=Signal::MAX).map(Signal)
    }

    /// Its name, such as `SIGINT`; real-time signals and the C library's own have none.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0).checked_sub(1)?).copied()
    }

    /// What it does to a process that says nothing about it.
    pub fn default_action(self) -> DefaultAction {
        match self.name() {
            Some("SIGCHLD" | "SIGURG" | "SIGWINCH") => DefaultAction::Ignore,
            Some("SIGCONT") => DefaultAction::Continue,
            Some("SIGSTOP" | "SIGTSTP" | "SIGTTIN" | "SIGTTOU") => DefaultAction::Stop,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// None.
    pub const EMPTY: SignalSet = SignalSet(0);

    /// From the kernel's mask, whose lowest bit is signal 1.
    pub fn from_mask(mask: u64) -> SignalSet {
        SignalSet(mask)
    }

    /// As the kernel's mask.
    pub fn mask(self) -> u64 {
        self.0
    }

    /// Whether it holds a signal.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 >> (signal.0 - 1) & 1 == 1
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many it holds.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Its signals, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |signal| self.contains(*signal))
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<T: IntoIterator<Item = Signal>>(signals: T) -> SignalSet {
        SignalSet(signals.into_iter().fold(0, |mask, signal| mask | 1 << (signal.0 - 1)))
    }
}

impl BitAnd for SignalSet {
    type Output = SignalSet;

    fn bitand(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }
}

impl BitOr for SignalSet {
    type Output = SignalSet;

    fn bitor(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }
}

impl Sub for SignalSet {
    type Output = SignalSet;

    fn sub(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_are_no_signals() {
        for number in [i32::MIN, -1, 0, 65, 256 + 2, i32::MAX] {
            assert_eq!(Signal::new(number), None, "{number}");
        }
        assert_eq!(Signal::all().count(), 64);
        assert_eq!(Signal::new(2), Some(Signal::SIGINT));
    }

    #[test]
    fn names_as_people_type_them() {
        for text in ["SIGUSR1", "usr1", "SigUsr1", "10"] {
            assert_eq!(Signal::named(text), Some(Signal::SIGUSR1), "{text}");
        }
        assert_eq!(Signal::named("64").map(Signal::number), Some(64));
        for text in ["", "SIG", "0", "65", "-2", "SIGUSR3", "INTERRUPT", "\u{1b}[31m"] {
            assert_eq!(Signal::named(text), None, "{text:?}");
        }
    }

    /// The table of signal(7), for x86_64 and aarch64.
    #[test]
    fn names_and_default_actions_are_those_of_the_manual() {
        let manual = "SIGHUP T SIGINT T SIGQUIT T SIGILL T SIGTRAP T SIGABRT T SIGBUS T SIGFPE T SIGKILL T SIGUSR1 T \
                      SIGSEGV T SIGUSR2 T SIGPIPE T SIGALRM T SIGTERM T SIGSTKFLT T SIGCHLD I SIGCONT C SIGSTOP S \
                      SIGTSTP S SIGTTIN S SIGTTOU S SIGURG I SIGXCPU T SIGXFSZ T SIGVTALRM T SIGPROF T SIGWINCH I \
                      SIGIO T SIGPWR T SIGSYS T";
        let words: Vec<&str> = manual.split_whitespace().collect();
        for (pair, signal) in words.chunks(2).zip(Signal::all()) {
            let action = match pair[1] {
                "T" => DefaultAction::Terminate,
                "I" => DefaultAction::Ignore,
                "S" => DefaultAction::Stop,
                _ => DefaultAction::Continue,
            };
            assert_eq!((signal.to_string().as_str(), signal.default_action()), (pair[0], action));
        }
        for number in 32..=64 {
            let signal = Signal::new(number).unwrap();
            assert_eq!((signal.name(), signal.default_action()), (None, DefaultAction::Terminate));
        }
        assert_eq!(Signal::new(40).unwrap().to_string(), "signal 40");
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        for (number, name) in [
            (libc::SIGINT, "SIGINT"),
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGUSR1, "SIGUSR1"),
            (libc::SIGUSR2, "SIGUSR2"),
            (libc::SIGPIPE, "SIGPIPE"),
            (libc::SIGALRM, "SIGALRM"),
            (libc::SIGTERM, "SIGTERM"),
            (libc::SIGSTOP, "SIGSTOP"),
            (libc::SIGVTALRM, "SIGVTALRM"),
            (libc::SIGSYS, "SIGSYS"),
        ] {
            assert_eq!(Signal::new(number).unwrap().name(), Some(name));
        }
        let constants = [Signal::SIGINT, Signal::SIGUSR1, Signal::SIGKILL, Signal::SIGSTOP];
        assert_eq!(constants.map(Signal::name), ["SIGINT", "SIGUSR1", "SIGKILL", "SIGSTOP"].map(Some));
    }

    #[test]
    fn in_json_they_are_numbers_too() {
        assert_eq!(serde_json::to_string(&Signal::SIGINT).unwrap(), "2");
        assert_eq!(serde_json::from_str::<Signal>("64").unwrap().number(), 64);
        for number in ["0", "65", "200", "256"] {
            assert!(serde_json::from_str::<Signal>(number).is_err(), "{number}");
        }
    }

    #[test]
    fn sets() {
        let set: SignalSet = [Signal::SIGINT, Signal::new(64).unwrap()].into_iter().collect();
        assert_eq!(set.mask(), 1 << 1 | 1 << 63);
        assert_eq!(set.iter().map(Signal::number).collect::<Vec<_>>(), [2, 64]);
        assert_eq!((set.len(), set.is_empty(), SignalSet::EMPTY.is_empty()), (2, false, true));
        let int = SignalSet::from_mask(2);
        assert_eq!((set & int, set - int, (set - int) | int), (int, SignalSet::from_mask(1 << 63), set));
        assert!(!set.contains(Signal::SIGUSR1));
    }
}
