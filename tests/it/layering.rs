//! The arrows of the design, read from the source: what each module of gilscope may know of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and all that it may import, in such an order that nothing imports what stands below it.
const ARROWS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("error", &[]),
    ("signals", &[]),
    ("units", &["time"]),
    ("text", &["units"]),
    ("workloads", &["units"]),
    ("event", &["time"]),
    ("target", &["event", "time"]),
    ("launch", &["event", "signals"]),
    ("instruments", &["event", "target", "time"]),
    ("capture", &["event", "instruments", "target", "time"]),
    ("interrupt", &["event", "instruments", "target", "time"]),
    ("recording", &["event", "time"]),
    ("model", &["event", "time"]),
    ("stats", &[]),
    ("affinity", &["event", "units"]),
    ("figures", &["event", "model", "time", "units"]),
    ("buckets", &["model", "time"]),
    ("words", &["event", "model", "time", "units"]),
    ("session", &["event", "model", "recording", "time"]),
    ("findings", &["event", "model", "time", "units"]),
    ("flame", &["event", "model", "time", "units"]),
    ("report", &["event", "findings", "model", "text", "time", "units", "words"]),
    ("doctor", &["event", "instruments", "report", "target", "time", "units"]),
    ("compare", &["buckets", "event", "figures", "model", "report", "stats", "text", "time", "units"]),
    ("experiment", &["affinity", "compare", "event", "figures", "report", "stats", "time", "units"]),
    ("dashboard", &["buckets", "event", "findings", "model", "session", "text", "time", "units", "words"]),
    (
        "cli",
        &[
            "affinity",
            "capture",
            "compare",
            "dashboard",
            "doctor",
            "error",
            "event",
            "experiment",
            "figures",
            "findings",
            "flame",
            "instruments",
            "interrupt",
            "launch",
            "model",
            "recording",
            "report",
            "session",
            "signals",
            "target",
            "text",
            "time",
            "units",
            "workloads",
        ],
    ),
];

/// Modules that may not be there yet. Their rows above, and `cli`'s arrows to them, say what they may import, not that
/// they do. Once such a module is there and its arrows are settled, it leaves this list.
const COMING: &[&str] = &[];

/// Where `unsafe` is: only where the kernel is spoken to.
const SPEAK_TO_THE_KERNEL: &[&str] = &[
    "affinity/keeper.rs",
    "affinity/kernel.rs",
    "experiment/child.rs",
    "instruments/clock.rs",
    "instruments/perf/open.rs",
    "instruments/perf/ring.rs",
    "interrupt/sender.rs",
    "launch.rs",
    "signals.rs",
    "target/affinity.rs",
    "target/clock.rs",
    "target/descriptors.rs",
    "target/memory.rs",
];

/// What would let a module look at more than it is given: the clock, files, `/proc`, the environment, the terminal.
const WINDOWS: &[&str] = &[
    "Instant",
    "SystemTime",
    "std::fs",
    "std::env",
    "std::thread",
    "libc::",
    "terminal_size",
    "is_terminal",
    "File::",
    "\"/proc",
    "\"/sys",
];

/// Modules that see nothing but what they are given.
const WINDOWLESS: &[&str] = &[
    "buckets", "compare", "event", "figures", "findings", "flame", "model", "report", "stats", "time", "units", "words",
];

/// What speaks to the user.
const MOUTHS: &[&str] = &["println!", "print!(", "io::stdout()", "io::stderr()", "process::exit"];

/// A file of `src/`.
struct Source {
    /// Its path within `src/`.
    path: String,
    /// The top-level module that it belongs to; `lib` and `main` are the roots.
    module: String,
    /// Its lines, without comments.
    code: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                let module = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
                let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//")).map(str::to_owned);
                found.push(Source { code: code.collect(), path, module });
            }
        }
    }
    assert!(found.len() > 20, "{} files: this is not the source", found.len());
    found
}

/// The modules named behind `crate::` in a line of code.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn is_coming(module: &str) -> bool {
    COMING.contains(&module)
}

#[test]
fn the_table_is_in_order() {
    let order: Vec<&str> = ARROWS.iter().map(|(module, _)| *module).collect();
    for (at, (module, arrows)) in ARROWS.iter().enumerate() {
        for arrow in *arrows {
            let to = order.iter().position(|other| other == arrow);
            assert!(to.is_some_and(|to| to < at), "`{module}` may not know `{arrow}`: it stands below it, or nowhere");
        }
    }
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len(), "a module stands in the table twice");
    for module in COMING {
        assert!(order.contains(module), "`{module}` is to come, but has no row");
    }
}

#[test]
fn arrows_point_one_way() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut there: BTreeSet<String> = BTreeSet::new();
    for source in sources() {
        let Source { path, module, code } = source;
        if module == "lib" || module == "main" {
            let outside = code.iter().any(|line| imports(line).next().is_some());
            assert!(!outside, "src/{path} is a root: it declares modules and calls `cli`");
            continue;
        }
        let allowed = table.get(&*module).unwrap_or_else(|| {
            panic!("module `{module}` has no row in the table: say what it may know, and put it where it belongs")
        });
        for line in &code {
            assert!(!line.contains("gilscope::"), "src/{path} names the library from inside: `{line}`");
            for import in imports(line) {
                assert!(!import.is_empty(), "src/{path}: one path per `use`, so that this test can read it: `{line}`");
                let own = import == module;
                let to_come = module == "cli" && is_coming(import);
                assert!(
                    own || to_come || allowed.contains(&import),
                    "src/{path}: `{module}` may not know `{import}`: `{line}`"
                );
                used.insert((module.clone(), import.to_owned()));
            }
        }
        there.insert(module);
    }
    for (module, arrows) in ARROWS.iter().filter(|(module, _)| !is_coming(module)) {
        assert!(there.contains(*module), "the table has a row for `{module}`, which is not there");
        for arrow in *arrows {
            let is_used = used.contains(&((*module).to_owned(), (*arrow).to_owned()));
            assert!(is_used, "the table lets `{module}` know `{arrow}`, which it does not use");
        }
    }
}

#[test]
fn the_roots_only_call_the_command_line() {
    for source in sources().iter().filter(|source| source.module == "lib" || source.module == "main") {
        for line in source.code.iter().filter(|line| line.contains("gilscope::")) {
            assert_eq!(line, "gilscope::cli::main()", "src/{}", source.path);
        }
    }
}

#[test]
fn unsafe_is_where_the_kernel_is_spoken_to() {
    let found: Vec<String> = sources()
        .into_iter()
        .filter(|source| source.code.iter().any(|line| line.contains("unsafe")))
        .map(|source| source.path)
        .filter(|path| !COMING.iter().any(|module| path.starts_with(&format!("{module}/"))))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(found, SPEAK_TO_THE_KERNEL);
}

#[test]
fn figures_follow_from_events_alone() {
    for source in sources().iter().filter(|source| WINDOWLESS.contains(&&*source.module)) {
        let shipped = source.code.iter().take_while(|line| *line != "#[cfg(test)]");
        for line in shipped {
            for window in WINDOWS {
                assert!(!line.contains(window), "src/{}: `{window}` in `{line}`", source.path);
            }
        }
    }
}

#[test]
fn only_the_command_line_speaks() {
    let mut spoken = 0;
    for source in sources().iter().filter(|source| !is_coming(&source.module)) {
        for line in source.code.iter().take_while(|line| *line != "#[cfg(test)]") {
            let speaks = MOUTHS.iter().any(|mouth| line.contains(mouth));
            assert!(!speaks || source.module == "cli", "src/{}: `{line}`", source.path);
            spoken += usize::from(speaks);
        }
    }
    assert!(spoken > 0, "nobody speaks: this test does not see it");
}
