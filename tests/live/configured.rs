//! The configuration file as a user has it: what it changes, and what is said of it where it cannot be; completions
//! and the manual.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use gilscope::dashboard::views::View;

use crate::command::{Desk, run_to};
use crate::dashboard::{Terminal, convoy, key_of};
use crate::fallback::Ordinary;
use crate::observed::gilscope;
use crate::support::alone;

#[test]
fn the_default_is_printed_and_is_right_where_it_is_looked_for() {
    let desk = Desk::new();
    let sample = run_to(0, gilscope().arg("config")).stdout;
    assert!(sample.contains("palette = \"default\"") && sample.contains("quit = [\"q\", \"^C\"]"), "{sample}");
    let home = desk.path("home");
    let place = run_to(0, gilscope().args(["config", "--path"]).env("XDG_CONFIG_HOME", &home)).stdout;
    assert_eq!(place.trim_end(), home.join("gilscope/config.toml").to_string_lossy());
    std::fs::create_dir_all(home.join("gilscope")).expect("a directory");
    std::fs::write(place.trim_end(), &sample).expect("a file");
    // It is read, and nothing in it is wrong: what is missing is the process.
    let missing = run_to(6, gilscope().args(["attach", "4194304"]).env("XDG_CONFIG_HOME", &home));
    assert!(!missing.stderr.contains("config.toml"), "{}", missing.stderr);
    std::fs::write(place.trim_end(), "\n[keys]\nmark = \"n\"\n").expect("a file");
    let wrong = run_to(2, gilscope().args(["attach", "4194304"]).env("XDG_CONFIG_HOME", &home)).stderr;
    for part in ["config.toml: line 3: ", "`n` is also the key of next-mark", "next-mark = []", "gilscope config"] {
        assert!(wrong.contains(part), "no {part} in {wrong}");
    }
    // The default can be had all the same, and what needs no configuration does not read it.
    run_to(0, gilscope().arg("config").env("XDG_CONFIG_HOME", &home));
    run_to(0, gilscope().args(["completions", "bash"]).env("XDG_CONFIG_HOME", &home));
    assert!(run_to(2, gilscope().args(["attach", "1", "--config", "/nonexistent"])).stderr.contains("/nonexistent"));
}

/// As under `setpriv`, `su` without a dash, or a service manager: the home in the environment is somebody else's.
#[test]
fn a_home_that_may_not_be_looked_into_has_none() {
    let Some(ordinary) = Ordinary::find() else { return };
    let desk = Desk::new();
    let home = desk.path("closed");
    std::fs::create_dir_all(home.join(".config/gilscope")).expect("a directory");
    std::fs::write(home.join(".config/gilscope/config.toml"), "nonsense").expect("a file");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).expect("permissions");
    let said = |command: &mut Command, status| {
        run_to(status, command.args(["attach", "4194304"]).env_remove("XDG_CONFIG_HOME").env("HOME", &home)).stderr
    };
    assert!(!said(&mut ordinary.gilscope(), 6).contains("config"));
    assert!(said(&mut gilscope(), 2).contains("config.toml: line 1"), "its owner is told what is wrong with it");
}

#[test]
fn it_moves_keys_and_columns_and_the_command_line_goes_before_it() {
    let _alone = alone();
    let desk = Desk::new();
    let target = convoy();
    let file = desk.file(
        "mine.toml",
        "symbols = \"ascii\"\nmouse = false\ncolumns = [\"thread\", \"tid\"]\nrefresh = \"80ms\"\n[keys]\nmark = \"K\"\nhelp = \"F1\"\n",
    );
    let file = file.to_string_lossy().into_owned();
    let pid = target.pid().to_string();
    let mut terminal = Terminal::open(desk.path("").as_path(), &["attach", &pid, "--config", &file]);
    terminal.until("ascii", |screen| screen.contains("* LIVE") && screen.contains("io-echo") && screen.contains("tid"));
    assert!(terminal.text().is_ascii() && !terminal.text().contains("wait p50"), "{}", terminal.text());
    assert_eq!(terminal.mouse(), vt100::MouseProtocolMode::None);
    // Paused after it, the mark is there.
    terminal.press(&format!("K {}", key_of(View::Histograms)));
    terminal.until("the mark", |screen| screen.contains("PAUSED") && screen.contains("Waits of all threads"));
    terminal.press("C");
    terminal.until_shown("before mark #1");
    terminal.press("\u{1b}OP");
    terminal.until("the help with its own keys", |screen| screen.contains("F1 ") && screen.contains("this help"));
    terminal.press("q");
    assert_eq!(terminal.ended(), 0);
    let once = |more: &[&str]| {
        let mut command = gilscope();
        command.args(["-p", &pid, "--once", "--config", &file]).args(more);
        run_to(0, &mut command).stdout
    };
    let screen = once(&[]);
    assert!(screen.is_ascii() && screen.contains("io-echo") && screen.contains("thread"), "{screen}");
}

#[test]
fn shells_and_readers_of_manuals_have_theirs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run_to(0, gilscope().args(["completions", shell])).stdout;
        assert!(script.contains("attach") && script.contains("max-overhead"), "{shell}");
    }
    assert!(run_to(2, gilscope().args(["completions", "csh"])).stderr.contains("bash"));
    let manual = run_to(0, gilscope().arg("man")).stdout;
    assert!(manual.starts_with(".ie") && manual.contains(".TH gilscope 1"), "{manual}");
    assert!(run_to(0, gilscope().args(["man", "record"])).stdout.contains("gilscope\\-record"));
    assert!(run_to(2, gilscope().args(["man", "fly"])).stderr.contains("There are: attach"));
}
