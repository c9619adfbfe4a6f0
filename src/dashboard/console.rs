//! What the dashboard hears from, and how it is told to step aside: arguments of the loop, so that tests run the
//! same loop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

/// Where keys and signals come from.
pub trait Console {
    /// What was heard, if anything within `limit`.
    ///
    /// # Errors
    /// If the terminal is gone.
    fn next(&mut self, limit: Duration) -> io::Result<Option<Heard>>;

    /// Gives the terminal back, stops this process, and takes the terminal again once it goes on.
    ///
    /// # Errors
    /// If the terminal is gone.
    fn suspend(&mut self) -> io::Result<()>;

    /// Keeps a picture of the screen, an SVG, in a file of its own, and says in which.
    ///
    /// # Errors
    /// If none can be written.
    fn keep(&mut self, svg: &str) -> io::Result<PathBuf>;
}

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal has another size, or shows something else.
    Disturbed,
    /// Somebody asks the program to end.
    Asked,
    /// A thread of the program has failed, in words.
    Broken(String),
}

/// What time it is, from some instant on.
pub trait Clock {
    /// Time since that instant.
    fn now(&self) -> Duration;
}
