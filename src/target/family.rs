//! Whose child a process is, from all of `/proc`: a kernel without `CONFIG_PROC_CHILDREN` has no list of children.

use std::collections::HashSet;
use std::fs;
use std::io;

use crate::event::Pid;

/// The children of one process, as they come.
#[derive(Debug)]
pub struct Family {
    parent: Pid,
    /// Every process there was at the last look.
    there: HashSet<Pid>,
}

impl Family {
    /// That of `parent`; children it has already are not news.
    pub fn of(parent: Pid) -> Family {
        Family { parent, there: processes().unwrap_or_default() }
    }

    /// The children that were made since the last look and are still there. Costs a listing of `/proc`, and one read
    /// for each process of the machine that was not there before.
    ///
    /// # Errors
    /// If `/proc` cannot be listed.
    pub fn newborn(&mut self) -> io::Result<Vec<Pid>> {
        let there = processes()?;
        let mut children: Vec<Pid> =
            there.difference(&self.there).copied().filter(|pid| parent_of(*pid) == Some(self.parent)).collect();
        children.sort_unstable();
        self.there = there;
        Ok(children)
    }
}

/// The processes that `root` has started, those that these have started, and so on; one whose parent has ended is not found.
/// Costs a listing of `/proc`, and one read for each process of the machine.
///
/// # Errors
/// If `/proc` cannot be listed.
pub fn descendants(root: Pid) -> io::Result<Vec<Pid>> {
    let mut by_parent: Vec<(Pid, Pid)> =
        processes()?.into_iter().filter_map(|pid| Some((parent_of(pid)?, pid))).collect();
    by_parent.sort_unstable();
    let mut found = vec![root];
    let mut asked = 0;
    while let Some(parent) = found.get(asked).copied() {
        asked += 1;
        let from = by_parent.partition_point(|(of, _)| *of < parent);
        let own = by_parent.iter().skip(from).take_while(|(of, _)| *of == parent).map(|(_, pid)| *pid);
        // The numbers were read one after the other: what looks like a circle is none.
        let new: Vec<Pid> = own.filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
    }
    found.swap_remove(0);
    Ok(found)
}

fn processes() -> io::Result<HashSet<Pid>> {
    let numbered = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().map(Pid);
    Ok(fs::read_dir("/proc")?.filter_map(Result::ok).filter_map(numbered).collect())
}

/// Field 4 of proc_pid_stat(5). The name before it may hold anything; the last `)` ends it.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read(format!("/proc/{}/stat", pid.0)).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_its_child_are_descendants() -> io::Result<()> {
        let own = Pid(std::process::id());
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn()?;
        let began = std::time::Instant::now();
        let mut found = Vec::new();
        while found.len() < 2 && began.elapsed().as_secs() < 20 {
            found = descendants(Pid(child.id()))?;
            found.push(Pid(child.id()));
        }
        let of_own = descendants(own)?;
        for pid in &found {
            assert!(of_own.contains(pid), "{pid:?} of {of_own:?}");
        }
        // The grandchild first: it would have another parent then.
        let grandchild = found.first().map(|pid| pid.0.to_string()).unwrap_or_default();
        std::process::Command::new("kill").arg(grandchild).status()?;
        child.kill()?;
        child.wait()?;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!of_own.contains(&own));
        Ok(())
    }

    #[test]
    fn only_children_made_since_are_news() -> io::Result<()> {
        let own = Pid(std::process::id());
        let sleep = || std::process::Command::new("sleep").arg("60").spawn();
        let mut elder = sleep()?;
        let mut family = Family::of(own);
        let mut younger = sleep()?;
        let news = family.newborn()?;
        let later = family.newborn()?;
        for child in [&mut elder, &mut younger] {
            child.kill()?;
            child.wait()?;
        }
        assert!(news.contains(&Pid(younger.id())), "{news:?}");
        assert!(!news.contains(&Pid(elder.id())), "{news:?}");
        assert!(!later.contains(&Pid(younger.id())), "{later:?}");
        Ok(())
    }
}
