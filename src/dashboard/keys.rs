//! Keys: how they are written, and which of them are on which action for this user.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::dashboard::action::{Action, BINDINGS, Binding};
use crate::dashboard::views::View;
use crate::session::Capabilities;

/// A key as it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Press {
    /// Which key.
    pub code: KeyCode,
    /// Whether with Ctrl.
    pub control: Control,
}

/// Whether Ctrl is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// It is.
    Held,
    /// It is not.
    Free,
}

pub(super) const fn key(code: KeyCode) -> Press {
    Press { code, control: Control::Free }
}

/// A letter or a digit.
pub(super) const fn letter(c: char) -> Press {
    key(KeyCode::Char(c))
}

pub(super) const fn ctrl(c: char) -> Press {
    Press { code: KeyCode::Char(c), control: Control::Held }
}

/// Keys that have a name, each as it is written.
const NAMED: [(&str, KeyCode); 16] = [
    ("Space", KeyCode::Char(' ')),
    ("Enter", KeyCode::Enter),
    ("Esc", KeyCode::Esc),
    ("Tab", KeyCode::Tab),
    ("Shift-Tab", KeyCode::BackTab),
    ("Backspace", KeyCode::Backspace),
    ("Delete", KeyCode::Delete),
    ("Insert", KeyCode::Insert),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
];
/// Letters that a terminal sends as other keys when Ctrl is held with them.
const SENT_AS_OTHERS: [(char, &str); 2] = [('i', "Tab"), ('m', "Enter")];

impl Press {
    /// What a key event presses. Shift is in the character itself.
    pub fn of(event: &KeyEvent) -> Press {
        let control = match event.modifiers.contains(KeyModifiers::CONTROL) {
            true => Control::Held,
            false => Control::Free,
        };
        Press { code: event.code, control }
    }

    /// The key that is written so: `q`, `Q`, `^L`, `F5`, `PgUp`, `Space`.
    ///
    /// # Errors
    /// Why there is no such key, or none that a terminal sends.
    pub fn read(text: &str) -> Result<Press, String> {
        let named = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, code)) = named {
            return Ok(key(*code));
        }
        let function = text.strip_prefix(['F', 'f']).and_then(|number| number.parse::<u8>().ok());
        if let Some(number @ 1..=12) = function {
            return Ok(key(KeyCode::F(number)));
        }
        let mut chars = text.chars();
        match (chars.next(), chars.next(), chars.next()) {
            (Some(c), None, _) if !c.is_control() && !c.is_whitespace() => Ok(letter(c)),
            (Some('^'), Some(c), None) if c.is_ascii_alphabetic() => {
                let c = c.to_ascii_lowercase();
                match SENT_AS_OTHERS.iter().find(|(other, _)| *other == c) {
                    Some((_, sent)) => Err(format!("`{text}` cannot be used: terminals send it as {sent}")),
                    None => Ok(ctrl(c)),
                }
            }
            _ => {
                let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
                Err(format!(
                    "`{text}` is not a key: there are single characters, ^A to ^Z for Ctrl with a letter, F1 to F12, \
                     and {}",
                    names.join(", ")
                ))
            }
        }
    }
}

/// As it is written on keyboards.
impl std::fmt::Display for Press {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.control == Control::Held {
            f.write_str("^")?;
        }
        match (NAMED.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, KeyCode::Char(c)) if self.control == Control::Held => write!(f, "{}", c.to_ascii_uppercase()),
            (None, KeyCode::Char(c)) => write!(f, "{c}"),
            (None, KeyCode::F(n)) => write!(f, "F{n}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

/// A line of the table, with the keys that this user has for it.
#[derive(Debug, Clone)]
pub struct Bound {
    /// What it is.
    pub binding: &'static Binding,
    /// Its keys, the usual one first; none: it can only be had by the mouse, or not at all.
    pub keys: Vec<Press>,
}

impl Bound {
    /// All its keys, as they are written.
    pub fn written(&self) -> String {
        self.keys.iter().map(Press::to_string).collect::<Vec<_>>().join(" ")
    }
}

/// Which keys are on which action.
#[derive(Debug, Clone)]
pub struct Keymap(Arc<[Bound]>);

/// As [`BINDINGS`] has it.
impl Default for Keymap {
    fn default() -> Keymap {
        Keymap(BINDINGS.iter().map(|binding| Bound { binding, keys: binding.keys.to_vec() }).collect())
    }
}

impl PartialEq for Keymap {
    fn eq(&self, other: &Keymap) -> bool {
        let keys = |map: &Keymap| map.0.iter().map(|bound| bound.keys.clone()).collect::<Vec<_>>();
        Arc::ptr_eq(&self.0, &other.0) || keys(self) == keys(other)
    }
}

/// Why keys cannot be as somebody wants them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// One key would do two things in one view.
    #[error("`{press}` is also the key of {}: give that another key, or none: {} = []", other.name(), other.name())]
    Twice {
        /// The key.
        press: Press,
        /// What it was wanted for.
        action: Action,
        /// What it does as well.
        other: Action,
    },
    /// Nobody could leave.
    #[error("quit needs a key")]
    NoWayOut,
}

impl Unusable {
    /// What it is about.
    pub fn action(&self) -> Action {
        match self {
            Unusable::Twice { action, .. } => *action,
            Unusable::NoWayOut => Action::Quit,
        }
    }
}

impl Keymap {
    /// The default keys, but these actions on these keys.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn with(wanted: &[(Action, Vec<Press>)]) -> Result<Keymap, Unusable> {
        let asked = |action: Action| wanted.iter().rfind(|(other, _)| *other == action).map(|(_, keys)| keys);
        let all: Vec<Bound> = BINDINGS
            .iter()
            .map(|binding| {
                let keys = asked(binding.action).cloned().unwrap_or_else(|| binding.keys.to_vec());
                Bound { binding, keys }
            })
            .collect();
        for (place, bound) in all.iter().enumerate() {
            let action = bound.binding.action;
            if action == Action::Quit && bound.keys.is_empty() {
                return Err(Unusable::NoWayOut);
            }
            let rivals = all.iter().enumerate().filter(|(other, rival)| *other != place && meet(bound, rival));
            for (_, rival) in rivals {
                let (Some(press), Some(_)) = (bound.keys.iter().find(|key| rival.keys.contains(key)), asked(action))
                else {
                    continue;
                };
                return Err(Unusable::Twice { press: *press, action, other: rival.binding.action });
            }
        }
        Ok(Keymap(all.into()))
    }

    /// The action that a key stands for in a view, if the session can do it.
    pub fn action(&self, press: Press, session: Capabilities, view: View) -> Option<Action> {
        let meant = |bound: &&Bound| bound.binding.views.contains(&view) && bound.keys.contains(&press);
        self.offered(session).find(meant).map(|bound| bound.binding.action)
    }

    /// The lines that a session can use.
    pub fn offered(&self, session: Capabilities) -> impl Iterator<Item = &Bound> {
        self.0.iter().filter(move |bound| bound.binding.needs.met_by(session))
    }

    /// The usual key of an action, if it has one.
    pub fn first(&self, action: Action) -> Option<Press> {
        self.0.iter().find(|bound| bound.binding.action == action)?.keys.first().copied()
    }
}

/// Whether two actions mean something in one view.
fn meet(one: &Bound, other: &Bound) -> bool {
    one.binding.views.iter().any(|view| other.binding.views.contains(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for press in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert_eq!(Press::read(&press.to_string()), Ok(*press), "{press}");
        }
        assert_eq!(Press::read("^a"), Ok(ctrl('a')));
        assert_eq!(Press::read("pgup"), Ok(key(KeyCode::PageUp)));
        assert_eq!(Press::read("^"), Ok(letter('^')));
        assert_eq!(Press::read("ü"), Ok(letter('ü')));
        for (unusable, why) in
            [("^I", "Tab"), ("^m", "Enter"), ("Ctrl-x", "^A to ^Z"), ("", "F1 to F12"), ("F13", "F12")]
        {
            assert!(Press::read(unusable).is_err_and(|said| said.contains(why)), "{unusable}");
        }
    }

    #[test]
    fn a_key_that_would_mean_two_things_is_refused() {
        let with = |action, keys: &[Press]| Keymap::with(&[(action, keys.to_vec())]);
        assert!(with(Action::Mark, &[letter('M')]).is_ok_and(|map| map.first(Action::Mark) == Some(letter('M'))));
        let taken = Unusable::Twice { press: letter('n'), action: Action::Mark, other: Action::NextMark };
        assert_eq!(with(Action::Mark, &[letter('n')]), Err(taken));
        let swapped = Keymap::with(&[(Action::Mark, vec![letter('n')]), (Action::NextMark, vec![letter('m')])]);
        assert!(swapped.is_ok_and(|map| map.first(Action::NextMark) == Some(letter('m'))));
        assert!(Keymap::with(&[(Action::Mark, vec![letter('n')]), (Action::NextMark, vec![])]).is_ok());
        assert_eq!(with(Action::Quit, &[]), Err(Unusable::NoWayOut));
        // Where two views have them, they do not meet.
        assert!(with(Action::Compare, &[letter('u')]).is_ok());
        assert_eq!(Keymap::with(&[]), Ok(Keymap::default()));
    }

    #[test]
    fn every_action_has_a_name_of_its_own() {
        for binding in &BINDINGS {
            assert_eq!(Action::named(binding.action.name()), Some(binding.action));
        }
    }
}
