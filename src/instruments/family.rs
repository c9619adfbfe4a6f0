//! The children that the target makes, looked for in the background.

use std::time::Duration;

use crate::event::Pid;
use crate::instruments::background::{Answer, Background};
use crate::target::Family;

/// At most one look in this time: a child that is there for less may be missed.
const SPACING: Duration = Duration::from_millis(250);

/// Looks for children that `parent` has made since.
pub fn reader(parent: Pid) -> Option<Background<Vec<Pid>>> {
    let mut family = Family::of(parent);
    Background::start("gilscope-family", SPACING, move || match family.newborn() {
        Ok(children) if children.is_empty() => Answer::Nothing,
        Ok(children) => Answer::Found(children),
        Err(_) => Answer::Never,
    })
}
