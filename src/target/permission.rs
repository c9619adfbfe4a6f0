//! Why the kernel refuses to show a process, from what `/proc` and `/sys` tell, and how to change that.
//!
//! The rule is `PTRACE_MODE_ATTACH_REALCREDS` in ptrace(2): same user and dumpable, or CAP_SYS_PTRACE; then
//! the Yama module may ask for more.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::event::Pid;

/// CAP_SYS_PTRACE's bit in the capability sets of `/proc/PID/status` (linux/capability.h).
const CAP_SYS_PTRACE: u32 = 19;

/// The circumstances of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    own_uid: Option<u32>,
    target_uid: Option<u32>,
    capability: Capability,
    yama: Option<u8>,
    surroundings: Surroundings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capability {
    Present,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surroundings {
    Container,
    Host,
}

impl Refusal {
    /// Looks around for why `pid` is not shown.
    pub fn look_around(pid: Pid) -> Refusal {
        let own = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let target = fs::read_to_string(format!("/proc/{}/status", pid.0)).unwrap_or_default();
        let capabilities = field(&own, "CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
        Refusal {
            own_uid: field(&own, "Uid:").and_then(|uid| uid.parse().ok()),
            target_uid: field(&target, "Uid:").and_then(|uid| uid.parse().ok()),
            capability: if capabilities >> CAP_SYS_PTRACE & 1 == 1 { Capability::Present } else { Capability::Absent },
            yama: fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok().and_then(|it| it.trim().parse().ok()),
            surroundings: surroundings(),
        }
    }

    /// The command that helps.
    pub fn next_step(&self, pid: Pid) -> String {
        let root = self.own_uid == Some(0);
        if self.yama == Some(3) {
            return "kernel.yama.ptrace_scope is 3, which stays until the machine is started anew".to_owned();
        }
        if self.surroundings == Surroundings::Container
            && let Some(owner) = self.stranger()
        {
            return format!("run it as that user: docker exec -u {owner} CONTAINER gilscope attach {}", pid.0);
        }
        if self.surroundings == Surroundings::Container && self.capability == Capability::Absent {
            return "start the container with: docker run --cap-add=SYS_PTRACE ...".to_owned();
        }
        if root {
            return format!(
                "look at it as root of the machine, outside this namespace: sudo gilscope attach {}",
                pid.0
            );
        }
        if self.own_uid == self.target_uid && self.yama == Some(1) {
            return format!(
                "sudo gilscope attach {}, or allow it for all your processes: sudo sysctl -w kernel.yama.ptrace_scope=0, \
                 or start the program under gilscope: gilscope record -- CMD",
                pid.0
            );
        }
        format!("sudo gilscope attach {}", pid.0)
    }

    /// The owner of the process, if that is another user and gilscope does not run as root.
    fn stranger(&self) -> Option<u32> {
        self.target_uid.filter(|target| self.own_uid.is_some_and(|own| own != *target && own != 0))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.stranger(), self.own_uid) {
            (Some(target), Some(own)) => write!(f, "it belongs to user {target}, gilscope runs as user {own}")?,
            _ => match (self.capability, self.yama) {
                (Capability::Absent, Some(scope @ 1..)) => write!(f, "kernel.yama.ptrace_scope is {scope}")?,
                (Capability::Absent, _) => write!(f, "the kernel protects it, and gilscope lacks CAP_SYS_PTRACE")?,
                (Capability::Present, _) => write!(f, "the kernel refuses, although gilscope has CAP_SYS_PTRACE")?,
            },
        }
        match self.surroundings {
            Surroundings::Container => write!(f, " (in a container)"),
            Surroundings::Host => Ok(()),
        }
    }
}

/// The first word behind a name in a `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

fn surroundings() -> Surroundings {
    let marked = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
    let cgroup = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let named = ["docker", "kubepods", "containerd", "libpod", "lxc"].iter().any(|name| cgroup.contains(name));
    if marked || named { Surroundings::Container } else { Surroundings::Host }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        Refusal {
            own_uid: Some(1000),
            target_uid: Some(1000),
            capability: Capability::Absent,
            yama: Some(1),
            surroundings: Surroundings::Host,
        }
    }

    #[test]
    fn yama_is_named_with_its_switch() {
        let refusal = refusal();
        assert_eq!(refusal.to_string(), "kernel.yama.ptrace_scope is 1");
        assert!(refusal.next_step(Pid(7)).contains("sudo sysctl -w kernel.yama.ptrace_scope=0"));
        let locked = Refusal { yama: Some(3), ..refusal };
        assert!(!locked.next_step(Pid(7)).contains("sudo"));
    }

    #[test]
    fn another_user_is_named() {
        let refusal = Refusal { target_uid: Some(0), ..refusal() };
        assert_eq!(refusal.to_string(), "it belongs to user 0, gilscope runs as user 1000");
        assert_eq!(refusal.next_step(Pid(7)), "sudo gilscope attach 7");
        let inside = Refusal { surroundings: Surroundings::Container, ..refusal };
        assert!(inside.next_step(Pid(7)).contains("docker exec -u 0 CONTAINER gilscope attach 7"));
    }

    #[test]
    fn a_container_needs_the_capability() {
        let refusal = Refusal { own_uid: Some(0), yama: None, surroundings: Surroundings::Container, ..refusal() };
        assert!(refusal.to_string().ends_with("lacks CAP_SYS_PTRACE (in a container)"), "{refusal}");
        assert!(refusal.next_step(Pid(7)).contains("--cap-add=SYS_PTRACE"));
    }

    #[test]
    fn status_fields() {
        let status = "Name:\tUid: 5\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t000001ffffffffff\n";
        assert_eq!(field(status, "Uid:"), Some("1000"));
        assert_eq!(field(status, "Gid:"), None);
    }
}
