//! Which native code holds the GIL, beside extensions that hold it in functions of known names.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::{PATIENCE, run_to, valid};
use crate::fallback::{Ordinary, without_events};
use crate::observed::gilscope;
use crate::support::alone;
use crate::support::child::Child;
use crate::support::extension::{Symbols, built, sources};
use crate::support::pythons::{Python, pythons_with_gil};

/// A holder that runs; it is gone when this is dropped.
fn holder(mut command: Command, script: &Path, extension: &Path, [how, seconds, company]: [&str; 3]) -> Child {
    command.arg("-B").arg(script).arg(extension).args([how, seconds, company]);
    let mut child = Child::spawn(&mut command);
    child.ready(PATIENCE);
    child
}

fn hold(python: &Python, symbols: Symbols, what: [&str; 3]) -> Option<Child> {
    let extension = built(python, "gilnative", symbols)?;
    Some(holder(python.command(), &sources().join("holder.py"), &extension, what))
}

/// The long holds in what `gilscope report` says of it.
fn long_holds(mut gilscope: Command, pid: u32, arguments: &[&str]) -> Vec<Value> {
    let pid = pid.to_string();
    gilscope.args(["report", "-q", "-f", "json", "-p", &pid]).args(arguments);
    let report = valid(&run_to(0, &mut gilscope).stdout);
    let gil = &report["processes"][0]["interpreters"][0]["gil"];
    gil["long_holds"].as_array().expect("a list").clone()
}

fn text<'a>(hold: &'a Value, field: &str) -> &'a str {
    hold["native"][field].as_str().unwrap_or("(none)")
}

fn ns(hold: &Value, field: &str) -> u64 {
    hold[field].as_u64().unwrap_or_else(|| panic!("no {field}: {hold}"))
}

/// Newer ones sleep in functions that they do not export.
fn is_c_library(name: &str) -> bool {
    name.starts_with("libc.") || name.starts_with("ld-musl")
}

/// The one with the most time, of those whose code was seen.
#[track_caller]
fn first(holds: &[Value]) -> &Value {
    holds.iter().find(|hold| !hold["native"].is_null()).unwrap_or_else(|| panic!("nothing was seen: {holds:?}"))
}

/// Whether performance events may be had: where they are refused, what a busy holder does is not known.
fn may_sample(gilscope: &mut Command, pid: u32) -> bool {
    let pid = pid.to_string();
    let ended =
        Child::spawn(gilscope.args(["report", "-q", "-d", "0.1", "--native", "always", "-p", &pid])).finish(PATIENCE);
    let may = ended.status.success();
    if !may {
        assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
        eprintln!("skipped: {}", ended.stderr);
    }
    may
}

/// The newest that builds extensions.
fn newest() -> Option<&'static Python> {
    let found = pythons_with_gil().into_iter().rev().find(|python| python.include.is_some());
    if found.is_none() {
        eprintln!("skipped: no interpreter has headers");
    }
    found
}

#[test]
fn a_function_that_sleeps_or_counts_while_it_holds_is_named() {
    let _alone = alone();
    let mut named = 0;
    for python in pythons_with_gil() {
        let Some(napping) = hold(python, Symbols::Kept, ["nap", "1.2", "waited"]) else { continue };
        let holds = long_holds(gilscope(), napping.pid(), &["-d", "1.6"]);
        let nap = first(&holds);
        assert_eq!((text(nap, "kind"), text(nap, "symbol")), ("extension", "nap_cext"), "{python}: {holds:?}");
        assert!(text(nap, "library").starts_with("gilnative."), "{python}: {nap}");
        assert!(is_c_library(text(nap, "through")), "{python}: {nap}");
        assert_eq!(nap["asleep"], nap["samples"], "{python}: {nap}");
        // It holds for 1.2 of 1.25 seconds: most of the 1.6. Where no look was to be had for 20 ms, on a machine that is full,
        // the time is left out, and the hold is two.
        assert!((600_000_000..=1_650_000_000).contains(&ns(nap, "held_ns")), "{python}: {nap}");
        drop(napping);

        let Some(counting) = hold(python, Symbols::Kept, ["count", "1.2", "waited"]) else { continue };
        if !may_sample(&mut gilscope(), counting.pid()) {
            continue;
        }
        let holds = long_holds(gilscope(), counting.pid(), &["-d", "1.6"]);
        let count = first(&holds);
        assert_eq!((text(count, "kind"), text(count, "symbol")), ("extension", "count_cext"), "{python}: {holds:?}");
        assert_eq!(count["asleep"], 0, "{python}: {count}");
        // Between two holds there are 50 ms in which the main thread sleeps.
        assert!((600_000_000..=1_650_000_000).contains(&ns(count, "held_ns")), "{python}: {count}");
        named += 1;
    }
    assert!(named > 0 || newest().is_none(), "no interpreter was tried");
}

/// While it lasts: a hold of four seconds, of which the first is watched.
#[test]
fn a_hold_is_named_while_it_goes_on_and_others_cannot_get_the_gil() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    for (how, symbol) in [("nap", "nap_cext"), ("count", "count_cext")] {
        let Some(child) = hold(python, Symbols::Kept, [how, "30", "waited"]) else { return };
        if !may_sample(&mut gilscope(), child.pid()) {
            continue;
        }
        let holds = long_holds(gilscope(), child.pid(), &["-d", "1"]);
        let hold = first(&holds);
        assert_eq!(text(hold, "symbol"), symbol, "{hold}");
        assert_eq!(hold["released"], Value::Bool(false), "{hold}");
        // All of the second, but for what a full machine leaves out.
        assert!(ns(hold, "ongoing_ns") > 200_000_000, "{hold}");
        assert!(ns(hold, "samples") >= 4, "{hold}");
    }
}

/// A holder in the C library's `memcpy`: whose doing that is, is said.
#[test]
fn of_the_c_library_the_caller_is_named() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    let Some(child) = hold(python, Symbols::Kept, ["copy", "1", "waited"]) else { return };
    if !may_sample(&mut gilscope(), child.pid()) {
        return;
    }
    let holds = long_holds(gilscope(), child.pid(), &["-d", "1.6"]);
    let copy = first(&holds);
    assert_eq!((text(copy, "kind"), text(copy, "symbol")), ("extension", "copy_cext"), "{holds:?}");
    assert!(is_c_library(text(copy, "through")), "{copy}");
}

#[test]
fn without_symbols_the_library_is_named_and_one_function_told_from_another() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    let mut offsets = Vec::new();
    for how in ["nap", "count"] {
        let Some(child) = hold(python, Symbols::Stripped, [how, "1", "waited"]) else { return };
        if !may_sample(&mut gilscope(), child.pid()) {
            return;
        }
        let holds = long_holds(gilscope(), child.pid(), &["-d", "1.3"]);
        let found = first(&holds);
        assert_eq!((text(found, "kind"), &found["native"]["symbol"]), ("extension", &Value::Null), "{holds:?}");
        let offset = found["native"]["offset"].as_u64().expect("an offset");
        let named = format!("gilnative{}+{offset:#x}", python.ext_suffix);
        assert_eq!(text(found, "name"), named, "{found}");
        offsets.push(offset);
    }
    assert_ne!(offsets[0], offsets[1]);
}

#[test]
fn who_has_released_the_gil_is_not_named() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    for company in ["waited", "alone"] {
        let Some(child) = hold(python, Symbols::Kept, ["released", "0.5", company]) else { return };
        let holds = long_holds(gilscope(), child.pid(), &["-d", "2"]);
        let named = |hold: &&Value| text(hold, "library").starts_with("gilnative");
        assert_eq!(holds.iter().find(named), None, "{holds:?}");
    }
}

/// Bytecode with nobody who waits, and one instruction of a second with somebody who does.
#[test]
fn what_the_interpreter_does_itself_is_no_extensions() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    for (how, company, released) in [("python", "alone", Value::Null), ("interpreter", "waited", Value::Bool(false))] {
        let Some(child) = hold(python, Symbols::Kept, [how, "1", company]) else { return };
        if !may_sample(&mut gilscope(), child.pid()) {
            continue;
        }
        let holds = long_holds(gilscope(), child.pid(), &["-d", "2.5"]);
        let found = first(&holds);
        assert_eq!((text(found, "kind"), &found["released"]), ("interpreter", &released), "{how}: {holds:?}");
        let of_others = |hold: &&Value| matches!(text(hold, "kind"), "extension" | "anonymous");
        assert_eq!(holds.iter().find(of_others), None, "{how}: {holds:?}");
    }
}

#[test]
fn it_is_looked_for_as_was_asked() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    let Some(child) = hold(python, Symbols::Kept, ["count", "1", "waited"]) else { return };
    let pid = child.pid();
    let seen = |arguments: &[&str]| {
        let holds = long_holds(gilscope(), pid, &[&["-d", "1.3"], arguments].concat());
        assert!(!holds.is_empty(), "holds are told of, whoever looked");
        holds.iter().any(|hold| !hold["native"].is_null())
    };
    assert!(!seen(&["--native", "never"]));
    assert!(!seen(&["--mode", "sampled"]), "samples cost something, and there is no budget");
    if may_sample(&mut gilscope(), pid) {
        assert!(seen(&["--native", "always", "--mode", "sampled"]));
        assert!(seen(&["--native", "auto", "--mode", "fused"]));
    }
}

/// An ordinary user, its own program: both ways. Where events are refused, holders that sleep are named all the same, and
/// whoever insists on the others is told why not.
#[test]
fn an_ordinary_user_may_have_it_too() {
    let _alone = alone();
    let Some(ordinary) = Ordinary::find() else { return };
    let Some(extension) = built(ordinary.python, "gilnative", Symbols::Kept) else { return };
    let [script, library] = [sources().join("holder.py"), extension].map(|file| {
        let copy = ordinary.directory.path().join(file.file_name().expect("a name"));
        fs::copy(&file, &copy).expect("a copy");
        copy
    });
    for (how, symbol) in [("nap", "nap_cext"), ("count", "count_cext")] {
        let child = holder(ordinary.python(), &script, &library, [how, "1", "waited"]);
        if how == "count" && !may_sample(&mut ordinary.gilscope(), child.pid()) {
            continue;
        }
        let holds = long_holds(ordinary.gilscope(), child.pid(), &["-d", "1.5"]);
        assert_eq!(text(first(&holds), "symbol"), symbol, "{holds:?}");
    }
    let napping = holder(ordinary.python(), &script, &library, ["nap", "1", "waited"]);
    let holds = long_holds(without_events(gilscope(), libc::EPERM), napping.pid(), &["-d", "1.5"]);
    assert_eq!(text(first(&holds), "symbol"), "nap_cext", "{holds:?}");
    let mut insisting = without_events(gilscope(), libc::EPERM);
    let pid = napping.pid().to_string();
    let refused = run_to(3, insisting.args(["report", "-d", "0.3", "--native", "always", "-p", &pid]));
    assert!(refused.stderr.contains("samples of stacks are refused"), "{}", refused.stderr);
}

/// The file is gone, as after an upgrade: it is read all the same where that is permitted, and what it exports is in memory.
#[test]
fn a_deleted_library_is_named_at_least() {
    let _alone = alone();
    let Some(python) = newest() else { return };
    let Some(extension) = built(python, "gilnative", Symbols::Kept) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = directory.path().join(extension.file_name().expect("a name"));
    fs::copy(&extension, &copy).expect("a copy");
    let child = holder(python.command(), &sources().join("holder.py"), &copy, ["nap", "1", "waited"]);
    fs::remove_file(&copy).expect("it is there");
    // Another file with its name is not it.
    fs::copy(env!("CARGO_BIN_EXE_gilscope"), &copy).expect("a copy");
    thread::sleep(Duration::from_millis(50));
    let holds = long_holds(gilscope(), child.pid(), &["-d", "1.5"]);
    let found = first(&holds);
    assert_eq!(text(found, "library"), format!("gilnative{}", python.ext_suffix), "{holds:?}");
    assert!(matches!(text(found, "symbol"), "nap_cext" | "(none)"), "{found}");
}
