//! Progress on stderr: one line redrawn on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::{Common, report};

/// Time between two lines where nothing can be redrawn.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Redrawn,
    Lines,
    Silent,
}

/// Shows how something goes on. What is redrawn is gone when this is dropped.
#[derive(Debug)]
pub struct Progress {
    manner: Manner,
    shown: Instant,
}

impl Progress {
    /// As fits stderr.
    pub fn to_stderr(common: &Common) -> Progress {
        let manner = match (common.quiet, std::io::stderr().is_terminal()) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Redrawn,
            (false, false) => Manner::Lines,
        };
        Progress { manner, shown: Instant::now() }
    }

    /// None: the terminal is somebody else's.
    pub fn silent() -> Progress {
        Progress { manner: Manner::Silent, shown: Instant::now() }
    }

    /// What is said between two lines of progress, so that none of it is left behind.
    pub fn between(&self, text: &str) -> String {
        if self.manner == Manner::Redrawn {
            let _closed = write!(std::io::stderr(), "\r\x1b[K");
        }
        text.to_owned()
    }

    /// Shows a line, which is made only if it is needed.
    pub fn show(&mut self, line: impl FnOnce() -> String) {
        let mut err = std::io::stderr().lock();
        // Nothing can be told to anybody if stderr is closed.
        let _closed = match self.manner {
            Manner::Redrawn => {
                let room = usize::from(report::width()).saturating_sub(1);
                let line: String = line().chars().take(room).collect();
                write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
            }
            Manner::Lines if self.shown.elapsed() >= LINES_EVERY => {
                self.shown = Instant::now();
                writeln!(err, "gilscope: {}", line())
            }
            Manner::Lines | Manner::Silent => Ok(()),
        };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.manner == Manner::Redrawn {
            let _closed = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
