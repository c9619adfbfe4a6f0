//! The workloads of `gilscope demo`: the list, what each needs, and where the extension is kept.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use gilscope::workloads::extension::{cache_among, place, place_of};
use gilscope::workloads::{self, Build, GROUPS, Interpreter, Judged, Missing, Need};

/// An interpreter that has everything.
fn complete() -> Interpreter {
    Interpreter {
        program: "python3".into(),
        version: (3, 11, 7),
        executable: "/usr/bin/python3.11".into(),
        include: "/usr/include/python3.11".into(),
        headers: true,
        ext_suffix: ".cpython-311-x86_64-linux-gnu.so".to_owned(),
        numpy: true,
        ctypes: true,
        cores: 4,
        build: Build::Default,
    }
}

#[test]
fn each_has_a_name_of_its_own_and_lines_that_fit() {
    let mut names = BTreeSet::new();
    for workload in workloads::all() {
        let name = workload.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.len() <= 16 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        assert!((20..=102).contains(&workload.shows.len()) && workload.shows.ends_with('.'), "{name}");
        assert!((10..=94).contains(&workload.expect.len()) && !workload.expect.ends_with('.'), "{name}");
        assert!(std::ptr::eq(workloads::named(name).expect("it is there"), workload));
    }
    assert!(workloads::named("no-such-workload").is_none());
    assert!(GROUPS.iter().all(|group| !group.workloads.is_empty() && group.title.len() < 100));
}

/// For each finding a workload that has what it tells of, and one that only looks so. Whatever has one of the others is no
/// case of `not-the-gil`; `low-coverage` is about gilscope, not about a program.
#[test]
fn each_finding_has_a_case_and_one_alike() {
    let with = |judged: Judged| workloads::all().any(|workload| workload.judged == judged);
    for finding in [
        "convoy",
        "gil-hog",
        "never-releases",
        "saturated",
        "handoff-storm",
        "cross-core-bounce",
        "holder-preempted",
        "slow-interrupt",
        "starved-interpreter",
    ] {
        assert!(with(Judged::Is(finding)), "nothing has {finding}");
        assert!(with(Judged::IsNot(finding)), "nothing is like {finding}");
    }
    assert!(with(Judged::Is("not-the-gil")));
}

#[test]
fn every_file_is_used_and_describes_itself() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/workloads");
    let listed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workloads/catalogue.rs")).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "countext.c" {
            continue;
        }
        assert!(listed.contains(&format!("source!({name:?})")), "{name} is in no workload");
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().and_then(|line| line.strip_prefix("\"\"\"")).expect("a docstring");
        assert!((20..=117).contains(&first.len()) && first.ends_with('.'), "{name}: {first:?}");
    }
}

#[test]
fn a_workload_says_what_it_misses_and_how_to_get_it() {
    let missing = |name: &str, interpreter: &Interpreter| workloads::named(name).unwrap().missing(interpreter);
    let words = |missing: &Missing| format!("{missing}; {}", missing.next_step().unwrap_or_default());

    let numpy = missing("count-numpy", &Interpreter { numpy: false, ..complete() }).unwrap();
    assert_eq!(words(&numpy), "python3 has no numpy; python3 -m pip install numpy");
    let headers = missing("count-holding", &Interpreter { headers: false, ..complete() }).unwrap();
    assert_eq!(
        words(&headers),
        "python3 has no C headers (no Python.h in /usr/include/python3.11); apt install python3-dev, or dnf install \
         python3-devel"
    );
    let compiler = words(&Missing::Compiler);
    assert_eq!(compiler, "there is no C compiler (cc); apt install gcc, or what your distribution calls it");
    let ctypes = missing("sleeper", &Interpreter { ctypes: false, ..complete() }).unwrap();
    assert!(words(&ctypes).starts_with("python3 was built without ctypes; "), "{ctypes}");
    let cores = missing("bounce", &Interpreter { cores: 1, ..complete() }).unwrap();
    assert_eq!(cores.to_string(), "it needs two cores, and may use one");

    for (version, runs) in [((3, 8, 18), false), ((3, 9, 0), true), ((3, 12, 9), true), ((3, 13, 0), false)] {
        let said = missing("interpreters", &Interpreter { version, ..complete() });
        assert_eq!(said.is_none(), runs, "{version:?}");
    }
    let old = missing("interpreters-own", &complete()).unwrap();
    assert_eq!(old.to_string(), "it is for CPython 3.12 and later, and python3 is 3.11.7");
}

#[test]
fn an_interpreter_that_lacks_all_runs_what_needs_nothing() {
    let bare = Interpreter { headers: false, numpy: false, ctypes: false, cores: 1, version: (3, 8, 0), ..complete() };
    for workload in workloads::all() {
        assert_eq!(workload.missing(&bare).is_none(), workload.needs.is_empty(), "{}", workload.name);
    }
    assert!(workloads::all().any(|workload| workload.needs.contains(&Need::Extension)));
}

#[test]
fn the_cache_is_where_xdg_has_it() {
    let among = |variables: &[(&str, &str)]| {
        cache_among(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)))
    };
    let at = |path: &str| Some(PathBuf::from(path));
    assert_eq!(among(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/home/u")]), at("/c/gilscope"));
    assert_eq!(among(&[("HOME", "/home/u")]), at("/home/u/.cache/gilscope"));
    // "All paths set in these environment variables must be absolute": what is not is as if it were not set.
    assert_eq!(among(&[("XDG_CACHE_HOME", "c"), ("HOME", "/home/u")]), at("/home/u/.cache/gilscope"));
    assert_eq!(among(&[("XDG_CACHE_HOME", ""), ("HOME", "/home/u")]), at("/home/u/.cache/gilscope"));
    assert_eq!(among(&[("HOME", "here")]), None);
    assert_eq!(among(&[]), None);
}

#[test]
fn an_extension_is_kept_for_what_it_was_built_for() {
    let cache = Path::new("/c/gilscope");
    let kept = place(cache, &complete());
    assert!(kept.starts_with("/c/gilscope"), "{}", kept.display());
    assert_eq!(kept.file_name().unwrap(), "countext.cpython-311-x86_64-linux-gnu.so");
    let directory = kept.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
    assert!(directory.starts_with("countext-3.11.7-"), "{directory}");
    assert_eq!(kept, place(cache, &Interpreter { program: "/usr/bin/python3".into(), ..complete() }), "a name");

    let others = [
        place(cache, &Interpreter { version: (3, 11, 8), ..complete() }),
        place(cache, &Interpreter { ext_suffix: ".cpython-311d-x86_64-linux-gnu.so".into(), ..complete() }),
        place(cache, &Interpreter { executable: "/opt/bin/python3.11".into(), ..complete() }),
        place(cache, &Interpreter { include: "/opt/include/python3.11".into(), ..complete() }),
        place_of("another source", cache, &complete()),
    ];
    let all: BTreeSet<_> = others.iter().chain([&kept]).map(|place| place.parent()).collect();
    assert_eq!(all.len(), 6, "{others:?}");
    // What one part ends with is not what the next begins with.
    let apart = |executable: &str, include: &str| {
        let interpreter = Interpreter { executable: executable.into(), include: include.into(), ..complete() };
        place(cache, &interpreter)
    };
    assert_ne!(apart("/a/b", "/c"), apart("/a", "/b/c"));
}
