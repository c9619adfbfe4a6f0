//! Which signals gilscope may take for itself.
//!
//! Whoever started it may have had a reason to have a signal ignored: nohup(1) for SIGHUP, a shell without job control
//! for the SIGINT of a job in the background. A handler would undo that, and for a started program too: exec(2) resets a
//! handled signal to its default, and leaves an ignored one alone.
#![expect(unsafe_code, reason = "sigaction(2) tells what becomes of a signal")]

use std::mem::MaybeUninit;
use std::ptr;

/// Those of `signals` that are not ignored in this process.
pub fn heeded(signals: &[i32]) -> Vec<i32> {
    signals.iter().copied().filter(|signal| !is_ignored(*signal)).collect()
}

/// Whether a signal is ignored in this process; no for one that does not exist.
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer for the new action means that it is only asked for; the old one is written to `action`.
    let answer = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: sigaction(2) filled it in, as its answer 0 says.
    answer == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_signal_is_left_alone() {
        // Rust's runtime ignores SIGPIPE before `main`; SIGWINCH's default action is none, which is not the same.
        assert_eq!(heeded(&[libc::SIGPIPE, libc::SIGWINCH, 9_999]), [libc::SIGWINCH, 9_999]);
    }
}
