//! What a process runs, in a line: first what tells it from other processes of the same interpreter.

use crate::event::file_name;

/// Options of the interpreter that are followed by a value of their own.
const WITH_VALUE: [&str; 3] = ["-X", "-W", "--check-hash-based-pycs"];

/// A command line without what all processes of a program have in common: the directory of the interpreter; where it is
/// told what it runs, the interpreter itself and its options; and where multiprocessing has started it, the words for that.
pub fn program(cmdline: &[String]) -> String {
    let Some((first, rest)) = cmdline.split_first() else { return String::new() };
    // Programs rename themselves: only a path has a directory.
    let name = if first.starts_with(['/', '.']) { file_name(first) } else { first };
    let runs = if is_interpreter(name) { runs(rest) } else { None };
    runs.unwrap_or_else(|| [&[name.to_owned()], rest].concat().join(" "))
}

fn is_interpreter(name: &str) -> bool {
    let version = name.strip_prefix("python").or_else(|| file_name(name).strip_prefix("python"));
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 't' | 'd')))
}

/// What an interpreter with these arguments runs; `None`: that is not among them.
fn runs(arguments: &[String]) -> Option<String> {
    let mut rest = arguments;
    while let Some((option, after)) = rest.split_first() {
        match option.as_str() {
            "-c" => {
                let (code, after) = after.split_first()?;
                let told = by_multiprocessing(code).unwrap_or_else(|| format!("-c {code}"));
                let given = after.iter().filter(|argument| *argument != "--multiprocessing-fork");
                return Some([told].iter().chain(given).cloned().collect::<Vec<_>>().join(" "));
            }
            "-m" => return Some(rest.join(" ")),
            value if WITH_VALUE.contains(&value) => rest = after.get(1..)?,
            option if option.starts_with('-') && option != "-" => rest = after,
            _ => return Some(rest.join(" ")),
        }
    }
    None
}

/// `from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)`, as multiprocessing writes it.
fn by_multiprocessing(code: &str) -> Option<String> {
    let (module, rest) = code.strip_prefix("from multiprocessing.")?.split_once(" import ")?;
    let (function, call) = rest.split_once(';')?;
    let arguments = call.trim().strip_prefix(function.trim())?;
    Some(format!("multiprocessing {module} {arguments}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> String {
        program(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_tells_processes_apart_comes_first() {
        let python = "/home/me/.pyenv/versions/3.11.7/bin/python3.11";
        for (words, told) in [
            (&[python, "/srv/app/work.py", "--id", "3"][..], "/srv/app/work.py --id 3"),
            (&[python, "-u", "-X", "dev", "-Wignore", "work.py"], "work.py"),
            (&[python, "-m", "http.server", "8000"], "-m http.server 8000"),
            (&[python, "-c", "import time; time.sleep(9)", "x"], "-c import time; time.sleep(9) x"),
            (
                &[
                    python,
                    "-c",
                    "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)",
                    "--multiprocessing-fork",
                ],
                "multiprocessing spawn (tracker_fd=5, pipe_handle=7)",
            ),
            (
                &[python, "-s", "-c", "from multiprocessing.resource_tracker import main;main(4)"],
                "multiprocessing resource_tracker (4)",
            ),
            (&["python3.13t", "-"], "-"),
            (&["venv/bin/python", "a.py"], "a.py"),
        ] {
            assert_eq!(of(words), told, "{words:?}");
        }
    }

    #[test]
    fn where_it_is_not_told_what_runs_the_command_stays() {
        let python = "/usr/bin/python3";
        for (words, told) in [
            (&[][..], ""),
            (&[python], "python3"),
            (&[python, "-X"], "python3 -X"),
            (&[python, "-q", "-c"], "python3 -q -c"),
            (&["gunicorn: worker [/srv/app]"], "gunicorn: worker [/srv/app]"),
            (&["/opt/bin/uwsgi", "--ini", "x.ini"], "uwsgi --ini x.ini"),
            (&["/opt/pythonic", "-c", "x"], "pythonic -c x"),
        ] {
            assert_eq!(of(words), told, "{words:?}");
        }
    }
}
