//! The truth harness itself, without gilscope: what other tests measure against has to be right first.

use crate::support::pythons::{python2, pythons, pythons_with_gil};

#[test]
fn every_interpreter_is_found_once_and_runs() {
    let mut seen = std::collections::BTreeSet::new();
    for python in pythons() {
        eprintln!("{python} {} include {:?}", python.label(), python.include);
        assert!(seen.insert(&python.executable), "{python} is listed twice");
        let output = python.command().args(["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]).output();
        let output = output.expect("an interpreter that answered before");
        let (major, minor, patch) = python.version;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{major}.{minor}.{patch}"), "{python}");
        assert!((8..=15).contains(&python.minor()), "{python}");
    }
    assert!(pythons_with_gil().iter().all(|python| !python.free_threaded));
    if let Some(python) = python2() {
        assert_eq!(python.version.0, 2);
    } else {
        eprintln!("skipped: no Python 2 on this machine");
    }
}
