//! How a thread is called, and what marks it, wherever it appears.

use crate::dashboard::rows::tag;
use crate::dashboard::theme::Tone;
use crate::dashboard::view::Foreign;
use crate::event::ThreadKey;
use crate::model::snapshot::ProcessFigures;
use crate::text::cut;

/// Its letter, its name in at most `columns`, and how it is coloured.
pub fn thread(process: Option<&ProcessFigures>, key: ThreadKey, columns: usize) -> (char, String, Tone) {
    let found = process.and_then(|process| {
        let place = process.place(key)?;
        process.threads.get(place).map(|thread| (&*thread.name, place))
    });
    match found {
        Some((name, place)) if !name.is_empty() => {
            (tag(place), Foreign::new(name).fit_name(columns), Tone::Thread(place))
        }
        Some((_, place)) => (tag(place), cut("(no name)", columns), Tone::Thread(place)),
        None => ('*', cut(&format!("thread {}", key.0), columns), Tone::Plain),
    }
}
