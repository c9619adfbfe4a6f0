//! Whose child a process is, from all of `/proc`: a kernel without `CONFIG_PROC_CHILDREN` has no list of children.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;

use crate::event::Pid;

/// Some processes with all their descendants, as they come and go.
#[derive(Debug)]
pub struct Family {
    /// Everybody of it who is there, with the parent.
    members: BTreeMap<Pid, Pid>,
    /// Every other process there was at the last look: whose child one is, is decided when it is born.
    strangers: HashSet<Pid>,
}

/// What a look has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who is new, each behind its parent, with the parent.
    pub born: Vec<(Pid, Pid)>,
    /// Who is no longer there.
    pub gone: Vec<Pid>,
}

impl Family {
    /// That of `heads`. Those that descend from them already are found by the first look.
    pub fn of(heads: &[Pid]) -> Family {
        Family { members: heads.iter().map(|head| (*head, Pid(0))).collect(), strangers: HashSet::new() }
    }

    /// Everybody of it who is there, with the parent.
    pub fn members(&self) -> impl Iterator<Item = (Pid, Pid)> + '_ {
        self.members.iter().map(|(pid, parent)| (*pid, *parent))
    }

    /// Whether this one belongs to it and is there.
    pub fn has(&self, pid: Pid) -> bool {
        self.members.contains_key(&pid)
    }

    /// Somebody else has seen `parent` make `child`. Whether that is news.
    pub fn meet(&mut self, child: Pid, parent: Pid) -> bool {
        self.strangers.remove(&child);
        self.has(parent) && self.members.insert(child, parent).is_none()
    }

    /// Looks who has come and gone. Costs a listing of `/proc`, and one read for each process of the machine that was
    /// not there before.
    ///
    /// # Errors
    /// If `/proc` cannot be listed.
    pub fn look(&mut self) -> io::Result<Changes> {
        let there = processes()?;
        let gone: Vec<Pid> = self.members.keys().copied().filter(|pid| !there.contains(pid)).collect();
        let is_new = |pid: &&Pid| !self.strangers.contains(*pid) && !self.members.contains_key(*pid);
        let mut unknown: Vec<(Pid, Option<Pid>)> =
            there.iter().filter(is_new).map(|pid| (*pid, parent_of(*pid))).collect();
        unknown.sort_unstable();
        let mut born = Vec::new();
        loop {
            let before = unknown.len();
            unknown.retain(|(pid, parent)| match parent.filter(|parent| self.members.contains_key(parent)) {
                Some(parent) => {
                    self.members.insert(*pid, parent);
                    born.push((*pid, parent));
                    false
                }
                None => true,
            });
            if unknown.len() == before {
                break;
            }
        }
        for pid in &gone {
            self.members.remove(pid);
        }
        // One whose parent could not be read is asked again.
        let read: HashSet<Pid> =
            unknown.into_iter().filter(|(_, parent)| parent.is_some()).map(|(pid, _)| pid).collect();
        self.strangers.retain(|pid| there.contains(pid));
        self.strangers.extend(read);
        Ok(Changes { born, gone })
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
    fn children_come_and_go_with_theirs() -> io::Result<()> {
        let own = Pid(std::process::id());
        let shell = |script: &str| std::process::Command::new("sh").args(["-c", script]).spawn();
        let mut elder = shell("sleep 60 & wait")?;
        let mut family = Family::of(&[own]);
        let has_child = |born: &[(Pid, Pid)], of: u32| born.iter().any(|(_, parent)| parent.0 == of);
        let mut first = family.look()?.born;
        for _ in 0..200 {
            if has_child(&first, elder.id()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            first.extend(family.look()?.born);
        }
        let grandchild = first.iter().find(|(_, parent)| parent.0 == elder.id()).map(|(pid, _)| *pid);
        assert!(first.contains(&(Pid(elder.id()), own)) && grandchild.is_some(), "{first:?}");
        let mut younger = shell("exec sleep 60")?;
        assert!(family.meet(Pid(younger.id()), own));
        assert!(!family.look()?.born.contains(&(Pid(younger.id()), own)), "it was met");
        younger.kill()?;
        younger.wait()?;
        assert_eq!(family.look()?.gone, [Pid(younger.id())]);
        elder.kill()?;
        elder.wait()?;
        assert!(family.look()?.gone.contains(&Pid(elder.id())));
        // Its own child is an orphan now, and a member still.
        assert!(grandchild.is_some_and(|pid| family.has(pid)));
        if let Some(pid) = grandchild {
            std::process::Command::new("kill").arg(pid.0.to_string()).status()?;
        }
        Ok(())
    }
}
